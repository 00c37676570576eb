//! Each op in the handles of the device that runs it.

use super::{At, Buffer, Matrix, Placed};
use crate::experts::{ExpertLinear, Experts, SigmoidGate};
use crate::latent::LatentAttend;
use crate::ops::{
    Activation, Attend, BufId, CacheId, CacheShape, Device, Elementwise, Embed, Glu, Largest, Linear, Listed,
    MatrixId, ModelPart, Norm, Rope, RopeId, Select, StackId, StateId, VectorId, handle,
};
use crate::recurrent::{DeltaNet, Split, StateShape};
use crate::streams::{Blend, Rowwise};
use crate::{DeviceError, MatrixSource, MatrixUse, MemoryGauge, Residency};
use torchless_base::{BlockCopy, Logits, SeqId, StepPlan};

impl Device for Placed {
    fn name(&self) -> String {
        let run = |(range, device): &(std::ops::Range<usize>, usize)| {
            format!("layers {} to {} on {}", range.start, range.end - 1, self.devices[*device].name())
        };
        self.parts.runs().iter().map(run).collect::<Vec<_>>().join("; ")
    }

    fn memory(&self) -> Vec<MemoryGauge> {
        self.devices.iter().flat_map(|device| device.memory()).collect()
    }

    fn place(&mut self, part: ModelPart) {
        self.home = self.parts.of(part);
        self.here().place(part);
    }

    fn matrix(&mut self, source: &MatrixSource, residency: Residency) -> Result<MatrixId, DeviceError> {
        let (start, end) = (self.parts.start, self.parts.end);
        let matrix = if source.purpose == MatrixUse::Both && start != end {
            let lookup = MatrixSource { purpose: MatrixUse::Lookup, ..source.clone() };
            let product = MatrixSource { purpose: MatrixUse::Product, ..source.clone() };
            Matrix {
                lookup: At { device: start, id: self.devices[start].matrix(&lookup, residency)? },
                product: At { device: end, id: self.devices[end].matrix(&product, residency)? },
            }
        } else {
            let at = At { device: self.home, id: self.here().matrix(source, residency)? };
            Matrix { lookup: at, product: at }
        };
        Ok(MatrixId(handle(&mut self.matrices, matrix)))
    }

    fn stack(&mut self, sources: &[MatrixSource], residency: Residency) -> Result<StackId, DeviceError> {
        let at = At { device: self.home, id: self.here().stack(sources, residency)? };
        Ok(StackId(handle(&mut self.stacks, at)))
    }

    fn state(&mut self, shape: &StateShape) -> Result<StateId, DeviceError> {
        let at = At { device: self.home, id: self.here().state(shape)? };
        Ok(StateId(handle(&mut self.states, at)))
    }

    fn vector(&mut self, name: &str, values: &[f32]) -> Result<VectorId, DeviceError> {
        let ids: Result<_, _> = self.devices.iter_mut().map(|device| device.vector(name, values)).collect();
        Ok(VectorId(handle(&mut self.vectors, ids?)))
    }

    fn rope(&mut self, rope: &Rope) -> Result<RopeId, DeviceError> {
        let ids: Result<_, _> = self.devices.iter_mut().map(|device| device.rope(rope)).collect();
        Ok(RopeId(handle(&mut self.ropes, ids?)))
    }

    fn buffer(&mut self, name: &str, tokens: usize, width: usize) -> Result<BufId, DeviceError> {
        let ids: Result<Vec<_>, _> =
            self.devices.iter_mut().map(|device| device.buffer(name, tokens, width)).collect();
        let is_current = vec![true; self.devices.len()];
        Ok(BufId(handle(&mut self.buffers, Buffer { ids: ids?, is_current, tokens, width })))
    }

    fn cache(&mut self, shape: &CacheShape) -> Result<CacheId, DeviceError> {
        let at = At { device: self.home, id: self.here().cache(shape)? };
        Ok(CacheId(handle(&mut self.caches, at)))
    }

    fn begin(&mut self, plan: &StepPlan) -> Result<(), DeviceError> {
        self.rows = plan.tokens.len();
        self.devices.iter_mut().try_for_each(|device| device.begin(plan))
    }

    fn embed(&mut self, op: &Embed) -> Result<(), DeviceError> {
        let At { device, id: table } = self.matrices[op.table.0 as usize].lookup;
        let positions = op.positions.map(|positions| self.matrices[positions.0 as usize].lookup.id);
        let out = self.written(op.out, device);
        self.on(device).embed(&Embed { table, positions, out, ..*op })
    }

    fn norm(&mut self, rows: usize, input: BufId, norm: &Norm, out: BufId) -> Result<(), DeviceError> {
        let device = self.device_of(input);
        let norm = self.norm_on(norm, device);
        let input = self.bring(input, device)?;
        let out = self.written(out, device);
        self.on(device).norm(rows, input, &norm, out)
    }

    /// In as few ops as there are devices that hold the matrices, in their order.
    fn linear(&mut self, op: &Linear<'_>) -> Result<(), DeviceError> {
        let mut rest = op.projections;
        while let Some(first) = rest.first() {
            let device = self.product(first.matrix).device;
            let together = rest.iter().take_while(|p| self.product(p.matrix).device == device).count();
            let (now, later) = rest.split_at(together);
            let input = self.bring(op.input, device)?;
            let norm = op.norm.as_ref().map(|norm| self.norm_on(norm, device));
            let projections = now.iter().map(|p| self.projection(p)).collect::<Result<Vec<_>, _>>()?;
            self.on(device).linear(&Linear { rows: op.rows, input, norm, projections: &projections })?;
            rest = later;
        }
        Ok(())
    }

    fn glu(&mut self, op: &Glu) -> Result<(), DeviceError> {
        let device = self.product(op.gate.0).device;
        let half = |(matrix, bias): (MatrixId, Option<VectorId>)| {
            (self.product(matrix).id, bias.map(|bias| self.vector_on(bias, device)))
        };
        let (gate, up) = (half(op.gate), half(op.up));
        let norm = op.norm.as_ref().map(|norm| self.norm_on(norm, device));
        let input = self.bring(op.input, device)?;
        let out = self.written(op.out, device);
        self.on(device).glu(&Glu { input, norm, gate, up, out, ..*op })
    }

    fn activate(&mut self, rows: usize, act: Activation, buf: BufId) -> Result<(), DeviceError> {
        let device = self.device_of(buf);
        let buf = self.changed(buf, device)?;
        self.on(device).activate(rows, act, buf)
    }

    fn elementwise(&mut self, rows: usize, op: Elementwise, buf: BufId) -> Result<(), DeviceError> {
        let device = self.device_of(buf);
        let op = match op {
            Elementwise::Multiply { by, first } => {
                Elementwise::Multiply { by: self.bring(by, device)?, first }
            }
            other => other,
        };
        let buf = self.changed(buf, device)?;
        self.on(device).elementwise(rows, op, buf)
    }

    fn rowwise(&mut self, rows: usize, op: Rowwise, buf: BufId) -> Result<(), DeviceError> {
        let device = self.device_of(buf);
        let op = match op {
            Rowwise::Times(vector) => Rowwise::Times(self.vector_on(vector, device)),
            Rowwise::Magnitude { of, floor } => Rowwise::Magnitude { of: self.bring(of, device)?, floor },
            cut @ Rowwise::CutBelow { .. } => cut,
        };
        let buf = self.changed(buf, device)?;
        self.on(device).rowwise(rows, op, buf)
    }

    fn blend(&mut self, op: &Blend<'_>) -> Result<(), DeviceError> {
        let device = self.device_of(op.weights);
        let inputs: Result<Vec<_>, _> = op.inputs.iter().map(|buf| self.bring(*buf, device)).collect();
        let (inputs, weights) = (inputs?, self.bring(op.weights, device)?);
        let outs: Vec<_> = op.outs.iter().map(|buf| self.written(*buf, device)).collect();
        self.on(device).blend(&Blend { rows: op.rows, inputs: &inputs, weights, outs: &outs })
    }

    fn attend(&mut self, op: &Attend) -> Result<(), DeviceError> {
        let At { device, id: cache } = self.caches[op.cache.0 as usize];
        let kv = match op.kv {
            Some((k, v)) => Some((self.changed(k, device)?, self.bring(v, device)?)),
            None => None,
        };
        let q = self.changed(op.q, device)?;
        let out = self.written(op.out, device);
        let rope = op.rope.map(|rope| self.ropes[rope.0 as usize][device]);
        let sinks = op.sinks.map(|sinks| self.vector_on(sinks, device));
        self.on(device).attend(&Attend { q, kv, out, cache, rope, sinks, ..*op })
    }

    fn experts(&mut self, op: &Experts) -> Result<(), DeviceError> {
        let device = self.stacks[op.gate.stack.0 as usize].device;
        let linear = |linear: &ExpertLinear| ExpertLinear {
            stack: self.stacks[linear.stack.0 as usize].id,
            bias: linear.bias.map(|bias| self.vector_on(bias, device)),
        };
        let (gate, up, down) = (linear(&op.gate), linear(&op.up), linear(&op.down));
        let bias = op.bias.map(|bias| self.vector_on(bias, device));
        let factors = op.factors.map(|factors| self.vector_on(factors, device));
        let norm = op.norm.as_ref().map(|norm| self.norm_on(norm, device));
        let (input, scores) = (self.bring(op.input, device)?, self.changed(op.scores, device)?);
        let out = self.stored(op.out, op.store, device)?;
        let op = Experts { input, norm, scores, bias, factors, gate, up, down, out, ..*op };
        self.on(device).experts(&op)
    }

    fn sigmoid_gate(&mut self, op: &SigmoidGate) -> Result<(), DeviceError> {
        let device = self.device_of(op.buf);
        let gate = self.bring(op.gate, device)?;
        let buf = self.changed(op.buf, device)?;
        self.on(device).sigmoid_gate(&SigmoidGate { gate, buf, ..*op })
    }

    fn attend_latent(&mut self, op: &LatentAttend) -> Result<(), DeviceError> {
        let At { device, id: cache } = self.caches[op.cache.0 as usize];
        let (q, kv) = (self.changed(op.q, device)?, self.changed(op.kv, device)?);
        let out = self.written(op.out, device);
        let norm = self.norm_on(&op.norm, device);
        let [key, value] = [op.key, op.value].map(|stack| self.stacks[stack.0 as usize].id);
        let rope = self.ropes[op.rope.0 as usize][device];
        self.on(device).attend_latent(&LatentAttend { q, kv, norm, key, value, out, cache, rope, ..*op })
    }

    fn delta_net(&mut self, op: &DeltaNet) -> Result<(), DeviceError> {
        let At { device, id: state } = self.states[op.state.0 as usize];
        let (qkv, z) = (self.changed(op.qkv, device)?, self.changed(op.z, device)?);
        let (beta, alpha) = (self.bring(op.beta, device)?, self.bring(op.alpha, device)?);
        let out = self.written(op.out, device);
        let [conv, rate, shift] = [op.conv, op.rate, op.shift].map(|vector| self.vector_on(vector, device));
        let norm = (self.vector_on(op.norm.0, device), op.norm.1);
        self.on(device).delta_net(&DeltaNet { qkv, z, beta, alpha, conv, rate, shift, norm, state, out })
    }

    fn split(&mut self, op: &Split<'_>) -> Result<(), DeviceError> {
        let device = self.device_of(op.input);
        let input = self.bring(op.input, device)?;
        let mut parts = op.parts.to_vec();
        for part in &mut parts {
            // Other parts of its rows stay as they are.
            part.out = self.changed(part.out, device)?;
        }
        self.on(device).split(&Split { input, parts: &parts, ..*op })
    }

    fn add(&mut self, rows: usize, input: BufId, scale: f32, out: BufId) -> Result<(), DeviceError> {
        let device = self.device_of(input);
        let input = self.bring(input, device)?;
        let out = self.changed(out, device)?;
        self.on(device).add(rows, input, scale, out)
    }

    fn select(&mut self, op: &Select<'_>) -> Result<(), DeviceError> {
        let device = self.device_of(op.input);
        let input = self.bring(op.input, device)?;
        let out = self.written(op.out, device);
        self.on(device).select(&Select { input, rows: op.rows, out })
    }

    /// As the device of the head does.
    fn most_listed(&self) -> usize {
        self.devices[self.parts.end].most_listed()
    }

    fn largest(&mut self, op: &Largest<'_>, lists: &mut Logits) -> Result<Listed, DeviceError> {
        let device = self.device_of(op.input);
        let input = self.bring(op.input, device)?;
        self.on(device).largest(&Largest { input, ..*op }, lists)
    }

    fn read(&mut self, buf: BufId, out: &mut [f32]) -> Result<(), DeviceError> {
        let device = self.device_of(buf);
        let id = self.buffers[buf.0 as usize].ids[device];
        self.on(device).read(id, out)
    }

    fn write(&mut self, buf: BufId, values: &[f32]) -> Result<(), DeviceError> {
        let device = self.device_of(buf);
        let id = self.changed(buf, device)?;
        self.on(device).write(id, values)
    }

    fn copy_blocks(&mut self, copies: &[BlockCopy]) -> Result<(), DeviceError> {
        self.devices.iter_mut().try_for_each(|device| device.copy_blocks(copies))
    }

    fn fork(&mut self, from: SeqId, to: SeqId) -> Result<(), DeviceError> {
        self.devices.iter_mut().try_for_each(|device| device.fork(from, to))
    }

    /// As far back as the device that goes back furthest.
    fn rewind(&mut self, seq: SeqId, len: usize) -> Result<usize, DeviceError> {
        let back = |devices: &mut [Box<dyn Device>], len| -> Result<usize, DeviceError> {
            devices.iter_mut().try_fold(len, |least, device| Ok(device.rewind(seq, len)?.min(least)))
        };
        let least = back(&mut self.devices, len)?;
        if least < len { back(&mut self.devices, least) } else { Ok(len) }
    }

    fn forget(&mut self, seq: SeqId) {
        self.devices.iter_mut().for_each(|device| device.forget(seq));
    }

    fn end(&mut self) -> Result<(), DeviceError> {
        self.devices.iter_mut().try_for_each(|device| device.end())
    }
}
