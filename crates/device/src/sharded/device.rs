//! Each op on every device, on what that device has of its buffers.

use super::{Buffer, Layout, Matrix, Sharded, Vector};
use crate::experts::{ExpertLinear, Experts, SigmoidGate};
use crate::latent::LatentAttend;
use crate::ops::{
    Activation, Attend, BufId, CacheId, CacheShape, Device, Elementwise, Embed, Glu, Largest, Linear, Listed,
    MatrixId, ModelPart, Norm, Projection, Rope, RopeId, Select, StackId, StateId, Store, VectorId, handle,
};
use crate::recurrent::{DeltaNet, Split, StateShape};
use crate::streams::{Blend, Rowwise};
use crate::{DeviceError, Divide, MatrixSource, MatrixUse, MemoryGauge, Residency};
use torchless_base::{BlockCopy, Logits, SeqId, StepPlan};

/// How device `device` stores its part of a sum: what is added to is there once in all.
fn partial(store: Store, device: usize) -> Store {
    if device == 0 { store } else { Store::Set }
}

impl Sharded {
    /// Products off one input whose results lie apart, or are the same everywhere.
    fn side_by_side(&mut self, op: &Linear<'_>) -> Result<(), DeviceError> {
        let norms = self.maybe_norm(op.norm.as_ref(), (self.layout(op.input), self.width(op.input)))?;
        let inputs = self.ids(op.input);
        let mut each: Vec<Vec<Projection>> = vec![Vec::new(); self.devices.len()];
        for projection in op.projections {
            let (layout, _) = self.yields(projection.matrix, op.input)?;
            let slice = layout.map(|pieces| (self.width(projection.out), pieces));
            let biases = self.maybe_vector(projection.bias, slice)?;
            let outs = self.ids_in(projection.out, layout)?;
            let matrices = &self.matrices[projection.matrix.0 as usize].product;
            for (k, list) in each.iter_mut().enumerate() {
                list.push(Projection {
                    matrix: matrices[k],
                    bias: biases[k],
                    out: outs[k],
                    store: projection.store,
                });
            }
        }
        self.each(|k, device| {
            device.linear(&Linear { rows: op.rows, input: inputs[k], norm: norms[k], projections: &each[k] })
        })?;
        Ok(())
    }

    /// A product of which each device has a part of the sum.
    fn in_parts(&mut self, op: &Linear<'_>, projection: &Projection) -> Result<(), DeviceError> {
        let norms = self.maybe_norm(op.norm.as_ref(), (self.layout(op.input), self.width(op.input)))?;
        let inputs = self.ids(op.input);
        let biases = self.maybe_vector(projection.bias, None)?;
        let outs = self.ids_in(projection.out, None)?;
        let matrices = self.matrices[projection.matrix.0 as usize].product.clone();
        self.each(|k, device| {
            let projections = &[Projection {
                matrix: matrices[k],
                bias: biases[k].filter(|_| k == 0),
                out: outs[k],
                store: partial(projection.store, k),
            }];
            device.linear(&Linear { rows: op.rows, input: inputs[k], norm: norms[k], projections })
        })?;
        self.sum(op.rows, projection.out, &outs)
    }

    fn sum(&mut self, rows: usize, buf: BufId, ids: &[BufId]) -> Result<(), DeviceError> {
        let values = rows * self.width(buf);
        self.exchange.sum(&mut self.devices, ids, values)
    }

    /// How many of `heads` heads, whose buffer lies as `layout` says, a device has.
    fn heads(&self, heads: usize, layout: Layout, device: usize) -> usize {
        layout.map_or(heads, |pieces| self.range(heads, pieces, device).len())
    }

    /// What is there on every device, in the same way.
    fn whole_vector(&mut self, vector: VectorId) -> Result<Vec<VectorId>, DeviceError> {
        self.vector_in(vector, None)
    }
}

impl Device for Sharded {
    fn name(&self) -> String {
        let names: Vec<String> = self.devices.iter().map(|device| device.name()).collect();
        format!("every layer on {}, sums through {}", names.join(" and "), self.exchange.name())
    }

    fn memory(&self) -> Vec<MemoryGauge> {
        self.devices.iter().flat_map(|device| device.memory()).collect()
    }

    fn place(&mut self, part: ModelPart) {
        self.part = Some(part);
        self.devices.iter_mut().for_each(|device| device.place(part));
    }

    fn divide(&mut self, pieces: usize) {
        self.pieces = self.pieces(pieces);
    }

    /// A head that is the table of embeddings is there twice: rows are looked up in all of it, products are divided.
    fn matrix(&mut self, source: &MatrixSource, residency: Residency) -> Result<MatrixId, DeviceError> {
        let mut source = MatrixSource { divide: self.division(source.divide), ..source.clone() };
        let lookup = if source.purpose == MatrixUse::Both && source.divide != Divide::Whole {
            let table = MatrixSource { purpose: MatrixUse::Lookup, divide: Divide::Whole, ..source.clone() };
            source.purpose = MatrixUse::Product;
            Some(self.divided(&table, residency)?)
        } else {
            None
        };
        let product = self.divided(&source, residency)?;
        let lookup = lookup.unwrap_or_else(|| product.clone());
        Ok(MatrixId(handle(&mut self.matrices, Matrix { lookup, product, divide: source.divide })))
    }

    fn stack(&mut self, sources: &[MatrixSource], residency: Residency) -> Result<StackId, DeviceError> {
        let divide = self.division(sources.first().map_or(Divide::Whole, |source| source.divide));
        let members = |k| match divide {
            Divide::Members(pieces) => self.range(sources.len(), pieces, k),
            _ => 0..sources.len(),
        };
        if let (Divide::Members(pieces), Some(first)) = (divide, sources.first()) {
            self.check(sources.len(), pieces, &first.name)?;
        }
        let parts = (0..self.devices.len())
            .map(|k| sources[members(k)].iter().map(|source| self.part_of(source, k)).collect())
            .collect::<Result<Vec<Vec<_>>, _>>()?;
        let ids = self.each(|k, device| device.stack(&parts[k], residency))?;
        Ok(StackId(handle(&mut self.stacks, (divide, ids))))
    }

    fn state(&mut self, shape: &StateShape) -> Result<StateId, DeviceError> {
        let ids = self.each(|_, device| device.state(shape))?;
        Ok(StateId(handle(&mut self.states, ids)))
    }

    fn vector(&mut self, name: &str, values: &[f32]) -> Result<VectorId, DeviceError> {
        // Most are used whole.
        let ids = self.each(|_, device| device.vector(name, values))?;
        let vector = Vector { name: name.to_owned(), values: values.to_vec(), made: vec![(None, ids)] };
        Ok(VectorId(handle(&mut self.vectors, vector)))
    }

    fn rope(&mut self, rope: &Rope) -> Result<RopeId, DeviceError> {
        let ids = self.each(|_, device| device.rope(rope))?;
        Ok(RopeId(handle(&mut self.ropes, ids)))
    }

    fn buffer(&mut self, name: &str, tokens: usize, width: usize) -> Result<BufId, DeviceError> {
        let layout = self.pieces;
        if let Some(pieces) = layout {
            self.check(width, pieces, name)?;
        }
        let width_on = |k| layout.map_or(width, |pieces| self.range(width, pieces, k).len());
        let widths: Vec<usize> = (0..self.devices.len()).map(width_on).collect();
        let ids = self.each(|k, device| device.buffer(name, tokens, widths[k]))?;
        Ok(BufId(handle(&mut self.buffers, Buffer { name: name.to_owned(), width, layout, ids })))
    }

    fn cache(&mut self, shape: &CacheShape) -> Result<CacheId, DeviceError> {
        let layout = self.pieces;
        if let Some(pieces) = layout {
            self.check(shape.kv_heads, pieces, "heads of keys and values")?;
        }
        let heads: Vec<usize> =
            (0..self.devices.len()).map(|k| self.heads(shape.kv_heads, layout, k)).collect();
        let ids = self.each(|k, device| device.cache(&CacheShape { kv_heads: heads[k], ..*shape }))?;
        Ok(CacheId(handle(&mut self.caches, (layout, ids))))
    }

    fn begin(&mut self, plan: &StepPlan) -> Result<(), DeviceError> {
        self.part = None;
        self.devices.iter_mut().try_for_each(|device| device.begin(plan))
    }

    fn embed(&mut self, op: &Embed) -> Result<(), DeviceError> {
        let outs = self.ids_in(op.out, None)?;
        let table = self.matrices[op.table.0 as usize].lookup.clone();
        let positions = op.positions.map(|positions| self.matrices[positions.0 as usize].lookup.clone());
        self.each(|k, device| {
            let positions = positions.as_ref().map(|ids| ids[k]);
            device.embed(&Embed { table: table[k], positions, out: outs[k], ..*op })
        })?;
        Ok(())
    }

    fn norm(&mut self, rows: usize, input: BufId, norm: &Norm, out: BufId) -> Result<(), DeviceError> {
        let layout = self.layout(input);
        let norms = self.norm_in(norm, (layout, self.width(input)))?;
        let (inputs, outs) = (self.ids(input), self.ids_in(out, layout)?);
        self.each(|k, device| device.norm(rows, inputs[k], &norms[k], outs[k]))?;
        Ok(())
    }

    fn linear(&mut self, op: &Linear<'_>) -> Result<(), DeviceError> {
        let mut rest = op.projections;
        while let Some(first) = rest.first() {
            let (_, is_sum) = self.yields(first.matrix, op.input)?;
            if is_sum {
                self.in_parts(op, first)?;
                rest = &rest[1..];
                continue;
            }
            let is_alone = |p: &Projection| self.yields(p.matrix, op.input).is_ok_and(|(_, is_sum)| !is_sum);
            let together = rest.iter().take_while(|p| is_alone(p)).count();
            let (now, later) = rest.split_at(together);
            self.side_by_side(&Linear { projections: now, ..*op })?;
            rest = later;
        }
        Ok(())
    }

    fn glu(&mut self, op: &Glu) -> Result<(), DeviceError> {
        let (layout, is_sum) = self.yields(op.gate.0, op.input)?;
        if is_sum || self.yields(op.up.0, op.input)? != (layout, false) {
            return Err(self.refuse("a gated unit whose halves lie otherwise"));
        }
        let norms = self.maybe_norm(op.norm.as_ref(), (None, self.width(op.input)))?;
        let slice = layout.map(|pieces| (self.width(op.out), pieces));
        let (gate_bias, up_bias) = (self.maybe_vector(op.gate.1, slice)?, self.maybe_vector(op.up.1, slice)?);
        let (inputs, outs) = (self.ids(op.input), self.ids_in(op.out, layout)?);
        let [gate, up] = [op.gate.0, op.up.0].map(|id| self.matrices[id.0 as usize].product.clone());
        self.each(|k, device| {
            let (gate, up) = ((gate[k], gate_bias[k]), (up[k], up_bias[k]));
            device.glu(&Glu { input: inputs[k], norm: norms[k], gate, up, out: outs[k], ..*op })
        })?;
        Ok(())
    }

    fn activate(&mut self, rows: usize, act: Activation, buf: BufId) -> Result<(), DeviceError> {
        let ids = self.ids(buf);
        self.each(|k, device| device.activate(rows, act, ids[k]))?;
        Ok(())
    }

    fn elementwise(&mut self, rows: usize, op: Elementwise, buf: BufId) -> Result<(), DeviceError> {
        let by = match op {
            Elementwise::Multiply { by, first } => {
                let ids = self.ids_in(by, self.layout(buf))?;
                if first != 0 && self.layout(by).is_some() {
                    return Err(self.refuse(format!("some columns of {}", self.named(by))));
                }
                Some((ids, first))
            }
            Elementwise::Clamp(_) | Elementwise::Scale(_) => None,
        };
        let ids = self.ids(buf);
        self.each(|k, device| {
            let op = match &by {
                Some((by, first)) => Elementwise::Multiply { by: by[k], first: *first },
                None => op,
            };
            device.elementwise(rows, op, ids[k])
        })?;
        Ok(())
    }

    fn rowwise(&mut self, rows: usize, op: Rowwise, buf: BufId) -> Result<(), DeviceError> {
        let layout = self.layout(buf);
        if layout.is_some() && !matches!(op, Rowwise::Times(_)) {
            return Err(self.refuse(format!("what depends on whole rows of {}", self.named(buf))));
        }
        let ids = self.ids(buf);
        let ops: Vec<Rowwise> = match op {
            Rowwise::Times(vector) => {
                let slice = layout.map(|pieces| (self.width(buf), pieces));
                self.vector_in(vector, slice)?.into_iter().map(Rowwise::Times).collect()
            }
            Rowwise::Magnitude { of, floor } => {
                self.ids_in(of, layout)?.into_iter().map(|of| Rowwise::Magnitude { of, floor }).collect()
            }
            Rowwise::CutBelow { .. } => vec![op; self.devices.len()],
        };
        self.each(|k, device| device.rowwise(rows, ops[k], ids[k]))?;
        Ok(())
    }

    fn blend(&mut self, op: &Blend<'_>) -> Result<(), DeviceError> {
        let whole =
            |bufs: &[BufId]| bufs.iter().map(|buf| self.ids_in(*buf, None)).collect::<Result<Vec<_>, _>>();
        let (inputs, outs, weights) = (whole(op.inputs)?, whole(op.outs)?, self.ids_in(op.weights, None)?);
        self.each(|k, device| {
            let of = |bufs: &[Vec<BufId>]| bufs.iter().map(|ids| ids[k]).collect::<Vec<_>>();
            let (inputs, outs) = (of(&inputs), of(&outs));
            device.blend(&Blend { rows: op.rows, inputs: &inputs, weights: weights[k], outs: &outs })
        })?;
        Ok(())
    }

    fn attend(&mut self, op: &Attend) -> Result<(), DeviceError> {
        let (layout, caches) = self.caches[op.cache.0 as usize].clone();
        let sinks = self.maybe_vector(op.sinks, layout.map(|pieces| (op.heads, pieces)))?;
        let ropes = op.rope.map(|rope| self.ropes[rope.0 as usize].clone());
        let (q, outs) = (self.ids_in(op.q, layout)?, self.ids_in(op.out, layout)?);
        let kv = match op.kv {
            Some((k, v)) => Some((self.ids_in(k, layout)?, self.ids_in(v, layout)?)),
            None => None,
        };
        let heads: Vec<usize> = (0..q.len()).map(|k| self.heads(op.heads, layout, k)).collect();
        self.each(|k, device| {
            device.attend(&Attend {
                q: q[k],
                kv: kv.as_ref().map(|(keys, values)| (keys[k], values[k])),
                out: outs[k],
                cache: caches[k],
                heads: heads[k],
                rope: ropes.as_ref().map(|ids| ids[k]),
                sinks: sinks[k],
                ..*op
            })
        })?;
        Ok(())
    }

    /// Every device chooses the same experts, and computes some of the hidden values of each.
    fn experts(&mut self, op: &Experts) -> Result<(), DeviceError> {
        let of = |linear: &ExpertLinear| self.stacks[linear.stack.0 as usize].clone();
        let [(gate_lies, gates), (up_lies, ups), (down_lies, downs)] =
            [of(&op.gate), of(&op.up), of(&op.down)];
        let pieces = match (gate_lies, up_lies, down_lies) {
            (Divide::Whole, Divide::Whole, Divide::Whole) => None,
            (Divide::Rows(a), Divide::Rows(b), Divide::Cols(c)) if a == b && b == c => Some(a),
            _ => return Err(self.refuse("experts whose matrices lie otherwise")),
        };
        let norms = self.maybe_norm(op.norm.as_ref(), (None, self.width(op.input)))?;
        let (inputs, scores) = (self.ids_in(op.input, None)?, self.ids_in(op.scores, None)?);
        let outs = self.ids_in(op.out, None)?;
        let [bias, factors, down_bias] =
            [op.bias, op.factors, op.down.bias].map(|id| self.maybe_vector(id, None));
        let (bias, factors, down_bias) = (bias?, factors?, down_bias?);
        // Of each expert the hidden values that a device has.
        let mut hidden_bias = |bias: Option<VectorId>| {
            let len = bias.map_or(0, |bias| self.vectors[bias.0 as usize].values.len());
            self.maybe_vector(bias, pieces.map(|pieces| (len / op.routing.experts, pieces)))
        };
        let (gate_bias, up_bias) = (hidden_bias(op.gate.bias)?, hidden_bias(op.up.bias)?);
        self.each(|k, device| {
            let is_rest = pieces.is_some() && k > 0;
            device.experts(&Experts {
                input: inputs[k],
                norm: norms[k],
                scores: scores[k],
                bias: bias[k],
                factors: factors[k],
                gate: ExpertLinear { stack: gates[k], bias: gate_bias[k] },
                up: ExpertLinear { stack: ups[k], bias: up_bias[k] },
                down: ExpertLinear { stack: downs[k], bias: down_bias[k].filter(|_| !is_rest) },
                out: outs[k],
                store: if pieces.is_some() { partial(op.store, k) } else { op.store },
                ..*op
            })
        })?;
        if pieces.is_some() { self.sum(op.rows, op.out, &outs) } else { Ok(()) }
    }

    fn sigmoid_gate(&mut self, op: &SigmoidGate) -> Result<(), DeviceError> {
        // One gate per row is for all values, wherever these are.
        let layout = if self.width(op.gate) == 1 { None } else { self.layout(op.buf) };
        let (gates, bufs) = (self.ids_in(op.gate, layout)?, self.ids(op.buf));
        self.each(|k, device| {
            device.sigmoid_gate(&SigmoidGate { rows: op.rows, gate: gates[k], buf: bufs[k] })
        })?;
        Ok(())
    }

    /// Latents are everywhere; each device has some of the heads that read them.
    fn attend_latent(&mut self, op: &LatentAttend) -> Result<(), DeviceError> {
        let layout = self.layout(op.q);
        let heads_of = |stack: StackId| match &self.stacks[stack.0 as usize] {
            (divide, ids) if *divide == layout.map_or(Divide::Whole, Divide::Members) => Ok(ids.clone()),
            _ => Err(self.refuse("heads of latents that lie otherwise than queries")),
        };
        let (key, value) = (heads_of(op.key)?, heads_of(op.value)?);
        let (_, caches) = self.caches[op.cache.0 as usize].clone();
        let norms = self.norm_in(&op.norm, (None, self.vectors[op.norm.weight.0 as usize].values.len()))?;
        let ropes = self.ropes[op.rope.0 as usize].clone();
        let (q, kv, out) = (self.ids(op.q), self.ids_in(op.kv, None)?, self.ids_in(op.out, layout)?);
        let heads: Vec<usize> = (0..q.len()).map(|k| self.heads(op.heads, layout, k)).collect();
        self.each(|k, device| {
            let (q, kv, out, norm, cache) = (q[k], kv[k], out[k], norms[k], caches[k]);
            let (key, value, heads, rope) = (key[k], value[k], heads[k], ropes[k]);
            device.attend_latent(&LatentAttend { q, kv, norm, key, value, out, cache, heads, rope, ..*op })
        })?;
        Ok(())
    }

    fn delta_net(&mut self, op: &DeltaNet) -> Result<(), DeviceError> {
        let states = self.states[op.state.0 as usize].clone();
        let [qkv, z, beta, alpha, out] =
            [op.qkv, op.z, op.beta, op.alpha, op.out].map(|buf| self.ids_in(buf, None));
        let (qkv, z, beta, alpha, out) = (qkv?, z?, beta?, alpha?, out?);
        let [conv, rate, shift, norm] =
            [op.conv, op.rate, op.shift, op.norm.0].map(|vector| self.whole_vector(vector));
        let (conv, rate, shift, norm) = (conv?, rate?, shift?, norm?);
        self.each(|k, device| {
            let (qkv, z, beta, alpha, out) = (qkv[k], z[k], beta[k], alpha[k], out[k]);
            let (conv, rate, shift, norm) = (conv[k], rate[k], shift[k], (norm[k], op.norm.1));
            device.delta_net(&DeltaNet {
                qkv,
                z,
                beta,
                alpha,
                conv,
                rate,
                shift,
                norm,
                state: states[k],
                out,
            })
        })?;
        Ok(())
    }

    fn split(&mut self, op: &Split<'_>) -> Result<(), DeviceError> {
        let layout = self.layout(op.input);
        let is_apart = layout.is_some();
        if is_apart
            && (op.parts.iter().any(|part| part.at != 0) || !op.heads.is_multiple_of(layout.unwrap_or(1)))
        {
            return Err(self.refuse(format!("some of the heads of {}", self.named(op.input))));
        }
        let inputs = self.ids(op.input);
        let outs =
            op.parts.iter().map(|part| self.ids_in(part.out, layout)).collect::<Result<Vec<_>, _>>()?;
        let heads: Vec<usize> = (0..inputs.len()).map(|k| self.heads(op.heads, layout, k)).collect();
        self.each(|k, device| {
            let mut parts = op.parts.to_vec();
            parts.iter_mut().zip(&outs).for_each(|(part, outs)| part.out = outs[k]);
            device.split(&Split { input: inputs[k], heads: heads[k], parts: &parts, ..*op })
        })?;
        Ok(())
    }

    fn add(&mut self, rows: usize, input: BufId, scale: f32, out: BufId) -> Result<(), DeviceError> {
        let (inputs, outs) = (self.ids_in(input, self.layout(out))?, self.ids(out));
        self.each(|k, device| device.add(rows, inputs[k], scale, outs[k]))?;
        Ok(())
    }

    fn select(&mut self, op: &Select<'_>) -> Result<(), DeviceError> {
        let layout = self.layout(op.input);
        let (inputs, outs) = (self.ids(op.input), self.ids_in(op.out, layout)?);
        self.each(|k, device| device.select(&Select { input: inputs[k], rows: op.rows, out: outs[k] }))?;
        Ok(())
    }

    fn most_listed(&self) -> usize {
        self.most_of_all()
    }

    fn largest(&mut self, op: &Largest<'_>, lists: &mut Logits) -> Result<Listed, DeviceError> {
        let ids = self.ids(op.input);
        match self.layout(op.input) {
            Some(pieces) => self.list_apart(op, (&ids, pieces), lists),
            None => self.devices[0].largest(&Largest { input: ids[0], ..*op }, lists),
        }
    }

    fn read(&mut self, buf: BufId, out: &mut [f32]) -> Result<(), DeviceError> {
        let ids = self.ids(buf);
        let (layout, width) = (self.layout(buf), self.width(buf));
        let Some(pieces) = layout else { return self.devices[0].read(ids[0], out) };
        for (k, id) in ids.iter().enumerate() {
            let range = self.range(width, pieces, k);
            self.carried.resize(out.len() / width * range.len(), 0.0);
            self.devices[k].read(*id, &mut self.carried)?;
            let rows = out.chunks_exact_mut(width).zip(self.carried.chunks_exact(range.len()));
            rows.for_each(|(row, part)| row[range.clone()].copy_from_slice(part));
        }
        Ok(())
    }

    fn write(&mut self, buf: BufId, values: &[f32]) -> Result<(), DeviceError> {
        let ids = self.ids_in(buf, None)?;
        self.each(|k, device| device.write(ids[k], values))?;
        Ok(())
    }

    fn copy_blocks(&mut self, copies: &[BlockCopy]) -> Result<(), DeviceError> {
        self.devices.iter_mut().try_for_each(|device| device.copy_blocks(copies))
    }

    fn fork(&mut self, from: SeqId, to: SeqId) -> Result<(), DeviceError> {
        self.devices.iter_mut().try_for_each(|device| device.fork(from, to))
    }

    /// States are the same everywhere, and go back as far.
    fn rewind(&mut self, seq: SeqId, len: usize) -> Result<usize, DeviceError> {
        self.devices.iter_mut().try_fold(len, |least, device| Ok(device.rewind(seq, len)?.min(least)))
    }

    fn forget(&mut self, seq: SeqId) {
        self.devices.iter_mut().for_each(|device| device.forget(seq));
    }

    fn end(&mut self) -> Result<(), DeviceError> {
        self.devices.iter_mut().try_for_each(|device| device.end())
    }
}
