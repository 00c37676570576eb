//! The CPU device: handles on one side, kernels on the other. All arithmetic is in the kernels.

mod encode;
mod experts;
mod latent;
mod matrix;
mod recurrent;
mod rounded;
mod settle;
mod shared;
mod stack;
mod step;
mod stream;
mod streams;

use crate::experts::{Experts, SigmoidGate};
use crate::latent::LatentAttend;
use crate::ops::{
    Activation, Attend, BufId, CacheId, CacheShape, CacheType, CacheValues, Device, Elementwise, Embed, Glu,
    Linear, MatrixId, Norm, NormKind, Projection, Rope, RopeId, Select, StackId, StateId, Store, VectorId,
    handle,
};
use crate::recurrent::{DeltaNet, Split, StateShape};
use crate::streams::{Blend, Rowwise};
use crate::{DeviceError, MatrixSource, Residency, Witness};
use matrix::Matrix;
use rounded::Rounded;
use settle::Settling;
use shared::Shared;
use stack::{Grouped, Stack};
use step::{Rotation, Step};
use stream::Stream;
use torchless_base::{BlockCopy, SeqId, StepPlan};
use torchless_kernels as kernels;
use torchless_kernels::{
    ActNeeds, Activations, Cpu, Floats, GluJob, Kernels, KvLayer, MatmulJob, Offsets, Precision, RowNorm,
};

/// How the CPU is used.
#[derive(Clone, Copy)]
pub struct CpuOptions {
    /// Table of kernels.
    pub kernels: &'static Kernels,
    /// Threads that share each op.
    pub threads: usize,
    /// Whether activations may be quantised for quantised weights.
    pub precision: Precision,
}

/// Runs ops on the CPU.
pub struct CpuDevice {
    cpu: Cpu,
    precision: Precision,
    matrices: Shared<Vec<Matrix>>,
    vectors: Shared<Vectors>,
    ropes: Vec<Rotation>,
    buffers: Vec<Buffer>,
    caches: Vec<KvLayer>,
    offsets: Shared<Vec<Offsets>>,
    stacks: Vec<Stack>,
    states: recurrent::States,
    scratch: Option<Scratch>,
    /// Changes places with a buffer that is normed in place.
    normed: Floats,
    rounded: Rounded,
    grouped: Grouped,
    routed: experts::Routed,
    latent: latent::Latent,
    /// Sums on their way to buffers.
    blended: Floats,
    step: Step,
    stream: Stream,
    /// One row of an embedding table on its way.
    row: Vec<u8>,
    /// One row of a table of positions.
    position: Vec<f32>,
    held: u64,
    settling: Settling,
    seen: Seen,
}

/// Who is shown what matrices meet, and the names of those.
#[derive(Default)]
struct Seen {
    by: Option<Box<dyn Witness>>,
    matrices: Vec<String>,
}

#[derive(Default)]
struct Buffer {
    width: usize,
    data: Floats,
}

/// Short vectors, and as many zeros as the longest of them has values.
#[derive(Default)]
struct Vectors {
    all: Vec<Vec<f32>>,
    zeros: Vec<f32>,
}

impl Vectors {
    fn get(&self, id: VectorId) -> &[f32] {
        &self.all[id.0 as usize]
    }
}

/// Memory that ops share: made at the first step, when all shapes are known.
struct Scratch {
    normed: Floats,
    acts: Activations,
    /// Of gated units that are streamed; empty where none is.
    up: Floats,
}

impl CpuDevice {
    /// A device with nothing on it.
    pub fn new(options: CpuOptions) -> Self {
        Self {
            cpu: Cpu::new(options.kernels, options.threads),
            precision: options.precision,
            matrices: Shared::default(),
            vectors: Shared::default(),
            ropes: Vec::new(),
            buffers: Vec::new(),
            caches: Vec::new(),
            offsets: Shared::default(),
            stacks: Vec::new(),
            states: recurrent::States::default(),
            scratch: None,
            normed: Floats::default(),
            rounded: Rounded::default(),
            grouped: Grouped::default(),
            routed: experts::Routed::default(),
            latent: latent::Latent::default(),
            blended: Floats::default(),
            step: Step::default(),
            stream: Stream::default(),
            row: Vec::new(),
            position: Vec::new(),
            held: 0,
            settling: Settling::default(),
            seen: Seen::default(),
        }
    }

    /// Shows the rows that each matrix meets from now on. Before any matrix is taken.
    pub fn show(&mut self, witness: Box<dyn Witness>) {
        self.seen.by = Some(witness);
    }

    /// Shows what `prepare` has just prepared for these matrices.
    fn show_rows(&mut self, (rows, input, normed): (usize, BufId, bool), matrices: &[MatrixId]) {
        let (Some(witness), Some(scratch)) = (&mut self.seen.by, &self.scratch) else { return };
        let buffer = &self.buffers[input.0 as usize];
        let x = if normed { &scratch.normed } else { &buffer.data };
        for matrix in matrices {
            witness.met(&self.seen.matrices[matrix.0 as usize], &x[..rows * buffer.width], buffer.width);
        }
    }

    fn refuse(&self, op: String) -> DeviceError {
        DeviceError::Unsupported { op, device: self.name() }
    }

    /// Asks the system for as much memory as a cache takes, since a cache that does not fit would end the process.
    fn check_room(&self, s: &CacheShape) -> Result<(), DeviceError> {
        let positions = s.blocks.saturating_mul(s.block_len);
        let own = if s.values == CacheValues::Own { s.v_dim } else { 0 };
        let bytes =
            positions.saturating_mul(s.kv_heads.saturating_mul(s.ty.bytes(s.k_dim) + s.ty.bytes(own)));
        Vec::<u8>::new().try_reserve_exact(bytes).map_err(|_| DeviceError::OutOfMemory {
            device: self.name(),
            bytes: bytes as u64,
            what: format!("a layer's KV cache of {positions} positions (a shorter context takes less)"),
            holding: String::new(),
        })
    }

    fn buf(&self, id: BufId) -> &Buffer {
        &self.buffers[id.0 as usize]
    }

    /// Takes a buffer's values out, so that others can be read while they are written.
    fn take(&mut self, id: BufId) -> Floats {
        std::mem::take(&mut self.buffers[id.0 as usize].data)
    }

    fn give(&mut self, id: BufId, data: Floats) {
        self.buffers[id.0 as usize].data = data;
    }

    /// Rows and widths of everything there is decide how much memory ops share.
    fn make_scratch(&mut self) {
        let tokens = self.buffers.iter().map(|b| b.data.len() / b.width.max(1)).max().unwrap_or(0);
        let width = self.buffers.iter().map(|b| b.width).max().unwrap_or(0);
        let cols = self.matrices.iter().map(Matrix::cols).max().unwrap_or(0);
        let own = |m: &&Matrix| m.is_product() && m.rounding(&self.cpu, self.precision).is_none();
        let needs = self.matrices.iter().filter(own).map(|m| m.needs(self.precision));
        let needs = needs.fold(ActNeeds::default(), ActNeeds::and);
        let normed = Floats::zeroed(tokens * width.min(cols));
        self.scratch =
            Some(Scratch { normed, acts: Activations::new(tokens, cols, needs), up: Floats::default() });
    }

    /// Brings `rows` rows of a buffer, optionally normed, into the forms that matrices of these types read.
    fn prepare(&mut self, rows: usize, input: BufId, norm: Option<&Norm>, needs: ActNeeds) {
        let Some(scratch) = &mut self.scratch else { return };
        let buffer = &self.buffers[input.0 as usize];
        let (cols, mut x) = (buffer.width, &buffer.data[..rows * buffer.width]);
        if let Some(norm) = norm {
            let normed = &mut scratch.normed[..rows * cols];
            apply_norm(&self.cpu, norm, &self.vectors, (x, cols), normed);
            x = normed;
        }
        self.cpu.prepare(x, cols, needs, &mut scratch.acts);
    }

    fn needs(&self, matrix: MatrixId) -> ActNeeds {
        self.matrices[matrix.0 as usize].needs(self.precision)
    }

    fn project<const N: usize>(&mut self, rows: usize, projections: [Projection; N]) {
        let mut outs = projections.map(|p| (self.take(p.out), self.buf(p.out).width));
        if let Some(scratch) = &self.scratch {
            let mut parts = outs.iter_mut().zip(projections);
            let mut jobs = std::array::from_fn::<_, N, _>(|_| {
                let ((y, width), p) = parts.next().expect("as many outputs as projections");
                MatmulJob {
                    w: self.matrices[p.matrix.0 as usize].as_ref(),
                    bias: p.bias.map(|b| self.vectors.get(b)),
                    y: &mut y[..rows * *width],
                    store: if p.store == Store::Add { kernels::Store::Add } else { kernels::Store::Set },
                }
            });
            self.cpu.matmul(&mut jobs, &scratch.acts);
        }
        for (p, (data, _)) in projections.iter().zip(outs) {
            self.give(p.out, data);
        }
    }
}

impl CpuDevice {
    /// One matrix, streamed or not.
    fn project_one(&mut self, rows: usize, p: &Projection) -> Result<(), DeviceError> {
        if !self.matrices[p.matrix.0 as usize].is_streamed() {
            self.project(rows, [*p]);
            return Ok(());
        }
        let width = self.buf(p.out).width;
        let mut y = self.take(p.out);
        let bias = p.bias.map(|b| self.vectors.get(b));
        let store = if p.store == Store::Add { kernels::Store::Add } else { kernels::Store::Set };
        let matrix = &self.matrices[p.matrix.0 as usize];
        let done = match &self.scratch {
            Some(s) => self.stream.product(&self.cpu, matrix, &s.acts, (&mut y[..rows * width], bias, store)),
            None => Ok(()),
        };
        self.give(p.out, y);
        done
    }

    /// Adds to each token's row the one of its position.
    fn add_positions(&mut self, table: MatrixId, width: usize, out: &mut [f32]) -> Result<(), DeviceError> {
        let table = &self.matrices[table.0 as usize];
        self.position.resize(width, 0.0);
        for (row, &position) in out.chunks_exact_mut(width).zip(&self.step.positions) {
            table.decode_row(position, &mut self.row, &mut self.position)?;
            self.cpu.add(row, &self.position);
        }
        Ok(())
    }

    /// A gated unit whose matrices do not go through the kernel side by side.
    fn glu_in_parts(&mut self, op: &Glu) -> Result<(), DeviceError> {
        let width = self.buf(op.out).width;
        let project = |m: (MatrixId, Option<VectorId>), out| Projection {
            matrix: m.0,
            bias: m.1,
            out,
            store: Store::Set,
        };
        self.project_one(op.rows, &project(op.up, op.out))?;
        let Some(scratch) = &mut self.scratch else { return Ok(()) };
        scratch.up.room(op.rows * width);
        let mut up = std::mem::take(&mut scratch.up);
        up[..op.rows * width].copy_from_slice(&self.buf(op.out).data[..op.rows * width]);
        self.project_one(op.rows, &project(op.gate, op.out))?;
        let mut y = self.take(op.out);
        self.cpu.glu(op.act, &mut y[..op.rows * width], &up[..op.rows * width]);
        self.give(op.out, y);
        if let Some(scratch) = &mut self.scratch {
            scratch.up = up;
        }
        Ok(())
    }
}

/// Norms rows of as many values as `x` has from one of `row` to the next; `zeros` stand for biases that are not there.
fn apply_norm(cpu: &Cpu, norm: &Norm, vectors: &Vectors, (x, row): (&[f32], usize), out: &mut [f32]) {
    let weight = vectors.get(norm.weight);
    let with = |eps, bias| RowNorm { weight, bias, eps, group: row / norm.groups.max(1) };
    match norm.kind {
        NormKind::Rms { eps } => cpu.rms_norm(x, &with(eps, &[]), out),
        NormKind::Layer { eps, bias } => {
            let bias = bias.map_or(&vectors.zeros[..weight.len()], |b| vectors.get(b));
            cpu.layer_norm(x, &with(eps, bias), out);
        }
    }
}

impl Device for CpuDevice {
    fn name(&self) -> String {
        let n = self.cpu.workers();
        format!("cpu ({}, {n} thread{})", self.cpu.kernels.name, if n == 1 { "" } else { "s" })
    }

    fn matrix(&mut self, source: &MatrixSource, residency: Residency) -> Result<MatrixId, DeviceError> {
        let matrix = self.take_matrix(source, residency)?;
        self.scratch = None;
        if self.seen.by.is_some() {
            self.seen.matrices.push(source.name.clone());
        }
        Ok(MatrixId(handle(self.matrices.alone()?, matrix)))
    }

    fn stack(&mut self, sources: &[MatrixSource], residency: Residency) -> Result<StackId, DeviceError> {
        self.make_stack(sources, residency)
    }

    fn state(&mut self, shape: &StateShape) -> Result<StateId, DeviceError> {
        Ok(self.make_state(shape))
    }

    fn vector(&mut self, _name: &str, values: &[f32]) -> Result<VectorId, DeviceError> {
        let vectors = self.vectors.alone()?;
        vectors.zeros.resize(vectors.zeros.len().max(values.len()), 0.0);
        Ok(VectorId(handle(&mut vectors.all, values.to_vec())))
    }

    fn rope(&mut self, rope: &Rope) -> Result<RopeId, DeviceError> {
        Ok(RopeId(handle(&mut self.ropes, Rotation::new(rope))))
    }

    fn buffer(&mut self, name: &str, tokens: usize, width: usize) -> Result<BufId, DeviceError> {
        self.scratch = None;
        let len = tokens.saturating_mul(width);
        let data = Floats::try_zeroed(len).ok_or_else(|| DeviceError::OutOfMemory {
            device: self.name(),
            bytes: (len as u64).saturating_mul(size_of::<f32>() as u64),
            what: format!("the buffer {name} of {tokens} tokens (smaller steps take less)"),
            holding: String::new(),
        })?;
        Ok(BufId(handle(&mut self.buffers, Buffer { width, data })))
    }

    fn cache(&mut self, shape: &CacheShape) -> Result<CacheId, DeviceError> {
        self.check_room(shape)?;
        let layer = step::make_cache(shape).map_err(|e| self.refuse(format!("a KV cache with {e}")))?;
        Ok(CacheId(handle(&mut self.caches, layer)))
    }

    fn begin(&mut self, plan: &StepPlan) -> Result<(), DeviceError> {
        self.settle()?;
        if self.scratch.is_none() {
            self.make_scratch();
        }
        self.copy_blocks(&plan.copies)?;
        self.step.set(plan);
        self.states.begin(&self.step)?;
        self.ropes.iter_mut().for_each(|r| r.turn(&self.step));
        Ok(())
    }

    fn embed(&mut self, op: &Embed) -> Result<(), DeviceError> {
        let width = self.buf(op.out).width;
        let mut out = self.take(op.out);
        let table = &self.matrices[op.table.0 as usize];
        let mut rows = out.chunks_exact_mut(width).zip(&self.step.tokens);
        let known = |token: usize| if token < table.rows() { token } else { 0 };
        let found =
            rows.try_for_each(|(row, token)| table.decode_row(known(token.index()), &mut self.row, row));
        if op.scale != 1.0 {
            self.cpu.scale(&mut out[..self.step.tokens.len() * width], op.scale);
        }
        if let Some(positions) = op.positions {
            self.add_positions(positions, width, &mut out)?;
        }
        self.give(op.out, out);
        found
    }

    fn norm(&mut self, rows: usize, input: BufId, norm: &Norm, out: BufId) -> Result<(), DeviceError> {
        let width = self.buf(input).width;
        let mut normed = if input == out { std::mem::take(&mut self.normed) } else { self.take(out) };
        if input == out {
            // What lies behind the rows is no part of any result.
            normed.room(self.buf(input).data.len());
        }
        let x = &self.buf(input).data[..rows * width];
        apply_norm(&self.cpu, norm, &self.vectors, (x, width), &mut normed[..rows * width]);
        if input == out {
            self.normed = self.take(out);
        }
        self.give(out, normed);
        Ok(())
    }

    fn linear(&mut self, op: &Linear<'_>) -> Result<(), DeviceError> {
        if let Some(rounding) = self.rounding(op.projections.iter().map(|p| p.matrix)) {
            self.linear_rounded(op, rounding, None);
            return Ok(());
        }
        let streamed = op.projections.iter().any(|p| self.matrices[p.matrix.0 as usize].is_streamed());
        let needs =
            op.projections.iter().map(|p| self.needs(p.matrix)).fold(ActNeeds::default(), ActNeeds::and);
        self.prepare(op.rows, op.input, op.norm.as_ref(), needs);
        if self.seen.by.is_some() {
            let matrices: Vec<_> = op.projections.iter().map(|p| p.matrix).collect();
            self.show_rows((op.rows, op.input, op.norm.is_some()), &matrices);
        }
        if streamed {
            return op.projections.iter().try_for_each(|p| self.project_one(op.rows, p));
        }
        match *op.projections {
            [a] => self.project(op.rows, [a]),
            [a, b] => self.project(op.rows, [a, b]),
            [a, b, c] => self.project(op.rows, [a, b, c]),
            ref many => many.iter().for_each(|&p| self.project(op.rows, [p])),
        }
        Ok(())
    }

    fn glu(&mut self, op: &Glu) -> Result<(), DeviceError> {
        if let Some(rounding) = self.rounding([op.gate.0, op.up.0]) {
            self.glu_rounded(op, rounding);
            return Ok(());
        }
        let needs = self.needs(op.gate.0).and(self.needs(op.up.0));
        self.prepare(op.rows, op.input, op.norm.as_ref(), needs);
        self.show_rows((op.rows, op.input, op.norm.is_some()), &[op.gate.0, op.up.0]);
        if [op.gate.0, op.up.0].iter().any(|m| self.matrices[m.0 as usize].is_streamed()) {
            return self.glu_in_parts(op);
        }
        let width = self.buf(op.out).width;
        let mut y = self.take(op.out);
        if let Some(scratch) = &self.scratch {
            let bias = |b: Option<VectorId>| b.map(|b| self.vectors.get(b));
            let job = GluJob {
                gate: self.matrices[op.gate.0.0 as usize].as_ref(),
                up: self.matrices[op.up.0.0 as usize].as_ref(),
                gate_bias: bias(op.gate.1),
                up_bias: bias(op.up.1),
                act: op.act,
                y: &mut y[..op.rows * width],
            };
            self.cpu.matmul_glu(job, &scratch.acts);
        }
        self.give(op.out, y);
        Ok(())
    }

    fn activate(&mut self, rows: usize, act: Activation, buf: BufId) -> Result<(), DeviceError> {
        let len = rows * self.buf(buf).width;
        let mut data = self.take(buf);
        self.cpu.activate(act, &mut data[..len]);
        self.give(buf, data);
        Ok(())
    }

    fn elementwise(&mut self, rows: usize, op: Elementwise, buf: BufId) -> Result<(), DeviceError> {
        let width = self.buf(buf).width;
        let mut data = self.take(buf);
        let x = &mut data[..rows * width];
        match op {
            Elementwise::Clamp(limit) => self.cpu.clamp(x, limit),
            Elementwise::Scale(factor) => self.cpu.scale(x, factor),
            Elementwise::Multiply { by, first } => {
                let by = self.buf(by);
                for (x, y) in x.chunks_exact_mut(width).zip(by.data.chunks_exact(by.width)) {
                    self.cpu.times(x, &y[first..first + width]);
                }
            }
        }
        self.give(buf, data);
        Ok(())
    }

    fn rowwise(&mut self, rows: usize, op: Rowwise, buf: BufId) -> Result<(), DeviceError> {
        self.run_rowwise(rows, op, buf);
        Ok(())
    }

    fn blend(&mut self, op: &Blend<'_>) -> Result<(), DeviceError> {
        self.run_blend(op);
        Ok(())
    }

    fn attend(&mut self, op: &Attend) -> Result<(), DeviceError> {
        self.rotate_and_append(op);
        self.attend_over_cache(op);
        Ok(())
    }

    fn experts(&mut self, op: &Experts) -> Result<(), DeviceError> {
        self.run_experts(op)
    }

    fn sigmoid_gate(&mut self, op: &SigmoidGate) -> Result<(), DeviceError> {
        self.run_sigmoid_gate(op);
        Ok(())
    }

    fn attend_latent(&mut self, op: &LatentAttend) -> Result<(), DeviceError> {
        self.run_latent(op)
    }

    fn delta_net(&mut self, op: &DeltaNet) -> Result<(), DeviceError> {
        self.run_delta_net(op);
        Ok(())
    }

    fn split(&mut self, op: &Split<'_>) -> Result<(), DeviceError> {
        self.run_split(op);
        Ok(())
    }

    fn add(&mut self, rows: usize, input: BufId, scale: f32, out: BufId) -> Result<(), DeviceError> {
        let len = rows * self.buf(input).width;
        let mut sum = self.take(out);
        self.cpu.add_scaled(&mut sum[..len], &self.buf(input).data[..len], scale);
        self.give(out, sum);
        Ok(())
    }

    fn select(&mut self, op: &Select<'_>) -> Result<(), DeviceError> {
        let width = self.buf(op.input).width;
        let mut out = self.take(op.out);
        for (to, &row) in out.chunks_exact_mut(width).zip(op.rows) {
            to.copy_from_slice(&self.buf(op.input).data[row * width..][..width]);
        }
        self.give(op.out, out);
        Ok(())
    }

    fn read(&mut self, buf: BufId, out: &mut [f32]) -> Result<(), DeviceError> {
        out.copy_from_slice(&self.buf(buf).data[..out.len()]);
        Ok(())
    }

    fn write(&mut self, buf: BufId, values: &[f32]) -> Result<(), DeviceError> {
        self.buffers[buf.0 as usize].data[..values.len()].copy_from_slice(values);
        Ok(())
    }

    fn copy_blocks(&mut self, copies: &[BlockCopy]) -> Result<(), DeviceError> {
        for copy in copies {
            self.caches.iter_mut().for_each(|c| step::copy_block(c, copy));
        }
        Ok(())
    }

    fn fork(&mut self, from: SeqId, to: SeqId) -> Result<(), DeviceError> {
        self.states.fork(from, to);
        Ok(())
    }

    fn rewind(&mut self, seq: SeqId, len: usize) -> Result<usize, DeviceError> {
        Ok(self.states.rewind(seq, len))
    }

    fn forget(&mut self, seq: SeqId) {
        self.states.forget(seq);
    }

    fn end(&mut self) -> Result<(), DeviceError> {
        self.states.end();
        Ok(())
    }
}

/// Element type of a cache in the words of the kernels.
fn kv_type(ty: CacheType) -> kernels::KvType {
    match ty {
        CacheType::F16 => kernels::KvType::F16,
        CacheType::F32 => kernels::KvType::F32,
        CacheType::Bf16 => kernels::KvType::Bf16,
        CacheType::Q8_0 => kernels::KvType::Q8_0,
        CacheType::Q4_0 => kernels::KvType::Q4_0,
    }
}
