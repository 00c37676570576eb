//! A device that computes nothing and writes every call down: proof that the seam is complete, and a transcript
//! per architecture that a person can read.

mod encode;

use crate::experts::{ExpertLinear, Experts, SigmoidGate};
use crate::latent::LatentAttend;
use crate::needs::{Need, Needs};
use crate::ops::ModelPart;
use crate::ops::{
    Activation, Attend, BufId, CacheId, CacheShape, CacheValues, Device, Elementwise, Embed, Glu, Linear,
    MatrixId, Norm, NormKind, Rope, RopeId, Select, StackId, StateId, Store, VectorId,
};
use crate::recurrent::{DeltaNet, Split, StateShape};
use crate::streams::{Blend, Rowwise};
use crate::{DeviceError, MatrixSource, MatrixUse, Residency};
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use torchless_base::{BlockCopy, SeqId, StepPlan};

/// Writes calls down. Buffers read as zeros.
#[derive(Debug, Default)]
pub struct Recorder {
    matrices: Vec<String>,
    vectors: Vec<String>,
    buffers: Vec<String>,
    stacks: Vec<String>,
    ropes: usize,
    caches: usize,
    offsets: Vec<String>,
    states: usize,
    part: Option<ModelPart>,
    needs: Arc<Mutex<Needs>>,
    transcript: Transcript,
}

/// What a recorder has written so far; outlives it.
#[derive(Clone, Debug, Default)]
pub struct Transcript(Arc<Mutex<String>>);

impl Transcript {
    /// All calls, one per line.
    pub fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn line(&self, text: std::fmt::Arguments<'_>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a String cannot fail.
        let _ = all.write_fmt(text);
        all.push('\n');
    }
}

impl Recorder {
    /// A recorder that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle on what is written, for when the recorder itself is inside a model.
    pub fn transcript(&self) -> Transcript {
        self.transcript.clone()
    }

    /// What a device would need for what was taken so far.
    pub fn needs(&self) -> Arc<Mutex<Needs>> {
        self.needs.clone()
    }

    fn need(&self, kind: Need, bytes: u64) {
        self.needs.lock().unwrap_or_else(PoisonError::into_inner).add(self.part, kind, bytes);
    }

    fn line(&self, text: std::fmt::Arguments<'_>) {
        self.transcript.line(text);
    }

    fn buf(&self, id: BufId) -> &str {
        &self.buffers[id.0 as usize]
    }

    fn matrix_with_bias(&self, matrix: MatrixId, bias: Option<VectorId>) -> String {
        let name = &self.matrices[matrix.0 as usize];
        bias.map_or_else(|| name.clone(), |b| format!("{name} + {}", self.vectors[b.0 as usize]))
    }

    fn stacked(&self, linear: &ExpertLinear) -> String {
        let name = &self.stacks[linear.stack.0 as usize];
        linear.bias.map_or_else(|| name.clone(), |b| format!("{name} + {}", self.vectors[b.0 as usize]))
    }

    fn normed(&self, input: BufId, norm: Option<&Norm>) -> String {
        let Some(norm) = norm else { return self.buf(input).to_owned() };
        let weight = &self.vectors[norm.weight.0 as usize];
        let kind = match norm.kind {
            NormKind::Rms { eps } => format!("rms eps {eps:e}"),
            NormKind::Layer { eps, bias: None } => format!("layer eps {eps:e}"),
            NormKind::Layer { eps, bias: Some(b) } => {
                format!("layer eps {eps:e} + {}", self.vectors[b.0 as usize])
            }
        };
        let parts = if norm.groups > 1 { format!(" in {} parts", norm.groups) } else { String::new() };
        format!("{kind} * {weight} ({}{parts})", self.buf(input))
    }
}

fn next<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

impl Device for Recorder {
    fn name(&self) -> String {
        "recorder".to_owned()
    }

    fn place(&mut self, part: ModelPart) {
        self.part = Some(part);
    }

    fn matrix(&mut self, source: &MatrixSource, residency: Residency) -> Result<MatrixId, DeviceError> {
        let both = source.purpose == MatrixUse::Both;
        self.need(if both { Need::Tied } else { Need::Weights }, source.byte_len());
        let id = MatrixId(next(&self.matrices));
        self.line(format_args!("matrix {source:?} {:?} {residency:?}", source.purpose));
        self.matrices.push(source.name.clone());
        Ok(id)
    }

    fn stack(&mut self, sources: &[MatrixSource], residency: Residency) -> Result<StackId, DeviceError> {
        let id = StackId(next(&self.stacks));
        let Some(first) = sources.first() else {
            return Err(DeviceError::Unsupported {
                op: "a stack of no matrices".to_owned(),
                device: self.name(),
            });
        };
        self.need(Need::Weights, sources.iter().map(MatrixSource::byte_len).sum());
        self.line(format_args!("stack of {} {first:?} {residency:?}", sources.len()));
        self.stacks.push(first.name.clone());
        Ok(id)
    }

    fn state(&mut self, s: &StateShape) -> Result<StateId, DeviceError> {
        let d = s.delta;
        self.need(Need::Cache, 4 * s.len() as u64);
        self.line(format_args!(
            "state of {} heads [{}, {}] over {} keys in {:?}, {} taps",
            d.value_heads, d.key_dim, d.value_dim, d.key_heads, d.sharing, s.taps
        ));
        self.states += 1;
        Ok(StateId(self.states as u32 - 1))
    }

    fn vector(&mut self, name: &str, values: &[f32]) -> Result<VectorId, DeviceError> {
        let id = VectorId(next(&self.vectors));
        self.need(Need::Weights, 4 * values.len() as u64);
        self.line(format_args!("vector {name} [{}]", values.len()));
        self.vectors.push(name.to_owned());
        Ok(id)
    }

    fn rope(&mut self, rope: &Rope) -> Result<RopeId, DeviceError> {
        let (n, last) = (rope.inv_freq.len(), rope.inv_freq.last().copied().unwrap_or(0.0));
        let beyond =
            rope.beyond.as_ref().map_or(String::new(), |b| format!(", others beyond {} tokens", b.tokens));
        let (pairing, magnitude) = (rope.pairing, rope.magnitude);
        self.line(format_args!("rope {n} pairs {pairing:?} last {last:.6e} x {magnitude}{beyond}"));
        self.ropes += 1;
        Ok(RopeId(self.ropes as u32 - 1))
    }

    fn buffer(&mut self, name: &str, tokens: usize, width: usize) -> Result<BufId, DeviceError> {
        let id = BufId(next(&self.buffers));
        self.need(Need::Buffers, 4 * (tokens * width) as u64);
        self.line(format_args!("buffer {name} [{tokens}, {width}]"));
        self.buffers.push(name.to_owned());
        Ok(id)
    }

    fn cache(&mut self, s: &CacheShape) -> Result<CacheId, DeviceError> {
        let (n, len) = (s.blocks, s.block_len);
        self.need(Need::Cache, s.byte_len());
        self.line(format_args!(
            "cache {n} x {len}, {} heads, k {} v {} {:?}{}",
            s.kv_heads,
            s.k_dim,
            s.v_dim,
            s.ty,
            if s.values == CacheValues::InKeys { " in keys" } else { "" }
        ));
        self.caches += 1;
        Ok(CacheId(self.caches as u32 - 1))
    }

    fn begin(&mut self, plan: &StepPlan) -> Result<(), DeviceError> {
        self.line(format_args!("begin {} tokens in {} slices", plan.tokens.len(), plan.slices.len()));
        self.copy_blocks(&plan.copies)
    }

    fn embed(&mut self, op: &Embed) -> Result<(), DeviceError> {
        let (out, table) = (self.buf(op.out).to_owned(), self.matrices[op.table.0 as usize].clone());
        let positions = op.positions.map_or(String::new(), |p| format!(" + {}", self.matrices[p.0 as usize]));
        self.line(format_args!("{out} = embed {table} x {}{positions}", op.scale));
        Ok(())
    }

    fn norm(&mut self, _rows: usize, input: BufId, norm: &Norm, out: BufId) -> Result<(), DeviceError> {
        let (from, to) = (self.normed(input, Some(norm)), self.buf(out).to_owned());
        self.line(format_args!("{to} = {from}"));
        Ok(())
    }

    fn linear(&mut self, op: &Linear<'_>) -> Result<(), DeviceError> {
        let input = self.normed(op.input, op.norm.as_ref());
        for p in op.projections {
            let (out, by) = (self.buf(p.out).to_owned(), self.matrix_with_bias(p.matrix, p.bias));
            let sign = if p.store == Store::Add { "+=" } else { "=" };
            self.line(format_args!("{out} {sign} {by} . {input}"));
        }
        Ok(())
    }

    fn glu(&mut self, op: &Glu) -> Result<(), DeviceError> {
        let input = self.normed(op.input, op.norm.as_ref());
        let (gate, up) =
            (self.matrix_with_bias(op.gate.0, op.gate.1), self.matrix_with_bias(op.up.0, op.up.1));
        let out = self.buf(op.out).to_owned();
        self.line(format_args!("{out} = {:?}({gate}) * {up} . {input}", op.act));
        Ok(())
    }

    fn activate(&mut self, _rows: usize, act: Activation, buf: BufId) -> Result<(), DeviceError> {
        let buf = self.buf(buf).to_owned();
        self.line(format_args!("{buf} = {act:?}({buf})"));
        Ok(())
    }

    fn elementwise(&mut self, _rows: usize, op: Elementwise, buf: BufId) -> Result<(), DeviceError> {
        let to = self.buf(buf).to_owned();
        match op {
            Elementwise::Clamp(limit) => self.line(format_args!("{to} = clamp({to}, {limit})")),
            Elementwise::Scale(factor) => self.line(format_args!("{to} *= {factor}")),
            Elementwise::Multiply { by, first } => {
                let by = self.buf(by).to_owned();
                self.line(format_args!("{to} *= {by} from {first}"));
            }
        }
        Ok(())
    }

    fn rowwise(&mut self, _rows: usize, op: Rowwise, buf: BufId) -> Result<(), DeviceError> {
        let to = self.buf(buf).to_owned();
        match op {
            Rowwise::Times(vector) => {
                let by = &self.vectors[vector.0 as usize];
                self.line(format_args!("{to} *= {by}"));
            }
            Rowwise::Magnitude { of, floor } => {
                let of = self.buf(of).to_owned();
                self.line(format_args!("{to} *= rms({of}) / rms({to}), at least {floor:e}"));
            }
            Rowwise::CutBelow { deviations } => {
                self.line(format_args!("{to} = what exceeds {deviations} deviations of {to}"));
            }
        }
        Ok(())
    }

    fn blend(&mut self, op: &Blend<'_>) -> Result<(), DeviceError> {
        let names = |bufs: &[BufId]| bufs.iter().map(|b| self.buf(*b)).collect::<Vec<_>>().join(", ");
        let line = format!("{} = {} . {}", names(op.outs), self.buf(op.weights), names(op.inputs));
        self.line(format_args!("{line}"));
        Ok(())
    }

    fn attend(&mut self, op: &Attend) -> Result<(), DeviceError> {
        let [q, out] = [op.q, op.out].map(|b| self.buf(b).to_owned());
        let kv = op.kv.map_or(String::new(), |(k, v)| format!(", {}, {}", self.buf(k), self.buf(v)));
        let rope = op.rope.map_or("none".to_owned(), |r| r.0.to_string());
        let mut extra = String::new();
        for (name, value) in
            [("window", op.window.map(|w| w.to_string())), ("softcap", op.softcap.map(|c| c.to_string()))]
        {
            if let Some(value) = value {
                extra += &format!(" {name} {value}");
            }
        }
        if let Some(sinks) = op.sinks {
            extra += &format!(" sinks {}", self.vectors[sinks.0 as usize]);
        }
        let (cache, heads, scale) = (op.cache.0, op.heads, op.scale);
        self.line(format_args!(
            "{out} = attend({q}{kv}) cache {cache} heads {heads} rope {rope} scale {scale}{extra}"
        ));
        Ok(())
    }

    fn experts(&mut self, op: &Experts) -> Result<(), DeviceError> {
        let input = self.normed(op.input, op.norm.as_ref());
        let [gate, up, down] = [&op.gate, &op.up, &op.down].map(|linear| self.stacked(linear));
        let [scores, out] = [op.scores, op.out].map(|b| self.buf(b).to_owned());
        let sign = if op.store == Store::Add { "+=" } else { "=" };
        let mut chosen = format!("{:?}", op.routing);
        for (name, vector) in [("bias", op.bias), ("factors", op.factors)] {
            if let Some(vector) = vector {
                chosen += &format!(" {name} {}", self.vectors[vector.0 as usize]);
            }
        }
        self.line(format_args!("{out} {sign} experts {:?}({gate}) * {up}, {down} . {input}", op.gating));
        self.line(format_args!("  chosen by {scores}: {chosen}"));
        Ok(())
    }

    fn sigmoid_gate(&mut self, op: &SigmoidGate) -> Result<(), DeviceError> {
        let [buf, gate] = [op.buf, op.gate].map(|b| self.buf(b).to_owned());
        self.line(format_args!("{buf} *= sigmoid({gate})"));
        Ok(())
    }

    fn attend_latent(&mut self, op: &LatentAttend) -> Result<(), DeviceError> {
        let [q, kv, out] = [op.q, op.kv, op.out].map(|b| self.buf(b).to_owned());
        let [key, value] = [op.key, op.value].map(|s| self.stacks[s.0 as usize].clone());
        let norm = self.normed(op.kv, Some(&op.norm));
        let (cache, heads, rope, scale) = (op.cache.0, op.heads, op.rope.0, op.scale);
        self.line(format_args!(
            "{out} = attend latent({q}, {kv}) by {key}, {value}, {norm} cache {cache} heads {heads} rope {rope} scale {scale}"
        ));
        Ok(())
    }

    fn delta_net(&mut self, op: &DeltaNet) -> Result<(), DeviceError> {
        let [qkv, z, beta, alpha, out] =
            [op.qkv, op.z, op.beta, op.alpha, op.out].map(|b| self.buf(b).to_owned());
        let [conv, rate, shift, norm] =
            [op.conv, op.rate, op.shift, op.norm.0].map(|v| self.vectors[v.0 as usize].clone());
        let (eps, state) = (op.norm.1, op.state.0);
        self.line(format_args!(
            "{out} = rms eps {eps:e} * {norm} (delta(conv {conv} {qkv}, {beta}, {rate} softplus({alpha} + {shift})) state {state}) silu({z})"
        ));
        Ok(())
    }

    fn split(&mut self, op: &Split<'_>) -> Result<(), DeviceError> {
        let input = self.buf(op.input).to_owned();
        for part in op.parts {
            let out = self.buf(part.out).to_owned();
            self.line(format_args!(
                "{out}[{}..] = {} of each of {} heads of {input}",
                part.at, part.width, op.heads
            ));
        }
        Ok(())
    }

    fn fork(&mut self, from: SeqId, to: SeqId) -> Result<(), DeviceError> {
        self.line(format_args!("fork {from} to {to}"));
        Ok(())
    }

    fn rewind(&mut self, seq: SeqId, len: usize) -> Result<usize, DeviceError> {
        self.line(format_args!("rewind {seq} to {len}"));
        Ok(len)
    }

    fn forget(&mut self, seq: SeqId) {
        self.line(format_args!("forget {seq}"));
    }

    fn add(&mut self, _rows: usize, input: BufId, scale: f32, out: BufId) -> Result<(), DeviceError> {
        let (input, out) = (self.buf(input).to_owned(), self.buf(out).to_owned());
        self.line(format_args!("{out} += {input} x {scale}"));
        Ok(())
    }

    fn select(&mut self, op: &Select<'_>) -> Result<(), DeviceError> {
        let (input, out) = (self.buf(op.input).to_owned(), self.buf(op.out).to_owned());
        self.line(format_args!("{out} = rows {:?} of {input}", op.rows));
        Ok(())
    }

    fn read(&mut self, buf: BufId, out: &mut [f32]) -> Result<(), DeviceError> {
        out.fill(0.0);
        let buf = self.buf(buf).to_owned();
        self.line(format_args!("read {} values of {buf}", out.len()));
        Ok(())
    }

    fn write(&mut self, buf: BufId, values: &[f32]) -> Result<(), DeviceError> {
        let buf = self.buf(buf).to_owned();
        self.line(format_args!("write {} values of {buf}", values.len()));
        Ok(())
    }

    fn copy_blocks(&mut self, copies: &[BlockCopy]) -> Result<(), DeviceError> {
        for c in copies {
            self.line(format_args!("copy block {} to {}", c.from, c.to));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), DeviceError> {
        self.line(format_args!("end"));
        Ok(())
    }
}
