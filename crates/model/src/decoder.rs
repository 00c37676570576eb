//! The one decoder: a textbook forward pass that follows the specification. It knows no family and no names.

mod attention;
mod delta;
mod handles;
mod latent;
mod mixture;
mod streams;
mod token_input;

pub(crate) use attention::{Attention, AttnBuffers, QueryGate};
pub(crate) use delta::Delta;
pub(crate) use handles::{
    BufferPool, Ends, FfnParts, Layer, Linear, MixerParts, Mlp, TokenInput, TokenInputTable, Widen,
};
pub(crate) use latent::{Latent, Query};
pub(crate) use mixture::{Apart, Mixture, MixtureBuffers, Shared};
pub(crate) use streams::{Detour, StreamBuffers, StreamLayer, Streams};

use crate::spec::{LayerSpec, ModelSpec};
use std::ops::Range;
use torchless_base::{Logits, StepPlan, Temperature};
use torchless_device::{
    BufId, Device, DeviceError, Elementwise, Embed, Largest, Linear as LinearOp, Listed, Norm, Select, Store,
};

/// Rows of logits that the head makes at a time: bounds the buffer where every position is wanted.
pub(crate) const HEAD_ROWS: usize = 32;

/// Activation buffers of the residual stream and of the head.
#[derive(Clone, Copy, Debug)]
struct Buffers {
    x: BufId,
    /// What a part yields before it is normed or scaled.
    branch: BufId,
    wanted_x: BufId,
    head_in: BufId,
    logits: BufId,
}

/// Rows of the residual stream that a part works on, and the mixer's yield for them.
#[derive(Clone, Copy)]
struct Stream<'a> {
    rows: usize,
    x: BufId,
    mixed: BufId,
    /// Inputs of these rows from their tokens, where there are such.
    inputs: Option<BufId>,
    /// These rows of the other streams, where there are such.
    beside: Option<&'a StreamBuffers>,
}

/// A model on a device: its specification, handles, and the order of ops.
#[derive(Debug)]
pub struct Decoder {
    spec: ModelSpec,
    layers: Vec<Layer>,
    ends: Ends,
    buffers: Buffers,
    wanted: Vec<usize>,
    /// The temperature at which each of them is weighed, 0 for none.
    temperatures: Vec<f32>,
}

impl Decoder {
    /// Makes the buffers that are left to make.
    pub(crate) fn new(
        spec: ModelSpec,
        layers: Vec<Layer>,
        ends: Ends,
        pool: &mut BufferPool,
        dev: &mut dyn Device,
    ) -> Result<Self, DeviceError> {
        let tokens = pool.tokens();
        let x = pool.get("x", spec.dim, dev)?;
        let needs_branch = spec
            .layers
            .iter()
            .any(|l| l.wiring.norms_outputs() || l.residual_scale != 1.0 || l.token_input.is_some());
        pool.divide(spec.vocab, dev);
        let logits = dev.buffer("logits", HEAD_ROWS.min(tokens), spec.vocab)?;
        pool.divide(0, dev);
        let buffers = Buffers {
            x,
            branch: if needs_branch { pool.get("branch", spec.dim, dev)? } else { x },
            wanted_x: pool.get("wanted_x", spec.dim, dev)?,
            head_in: dev.buffer("head_in", HEAD_ROWS.min(tokens), spec.dim)?,
            logits,
        };
        Ok(Self {
            spec,
            layers,
            ends,
            buffers,
            wanted: Vec::with_capacity(tokens),
            temperatures: Vec::with_capacity(tokens),
        })
    }

    /// What the model is.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Runs a checked step on the device that holds the handles and fills `logits`.
    ///
    /// # Errors
    /// The device failed.
    pub fn forward(
        &mut self,
        plan: &StepPlan,
        dev: &mut dyn Device,
        logits: &mut Logits,
    ) -> Result<(), DeviceError> {
        self.collect_wanted(plan);
        let rows = plan.tokens.len();
        let x = self.buffers.x;
        dev.begin(plan)?;
        let Ends { embed: table, positions, .. } = self.ends;
        dev.embed(&Embed { table, scale: self.spec.embed_scale, positions, out: x })?;
        let inputs = self.make_token_inputs(rows, dev)?;
        self.start_streams(rows, dev)?;
        let beside = self.ends.streams.as_ref().map(|s| &s.all);
        let last = self.layers.len().saturating_sub(1);
        for (i, (layer, spec)) in self.layers.iter().zip(&self.spec.layers).enumerate() {
            self.guess(layer, rows, dev)?;
            self.mix(layer, rows, dev)?;
            let (mixed, wanted_mixed) = layer.mixer.mixed();
            if i < last {
                self.join(layer, spec, Stream { rows, x, mixed, inputs, beside }, dev)?;
            } else if !self.wanted.is_empty() {
                // After the last mixer no position needs another one: go on with the wanted ones alone.
                let to = self.select_wanted((mixed, wanted_mixed), dev)?;
                self.join(layer, spec, to, dev)?;
                self.merge_streams(dev)?;
            }
        }
        self.predict(plan.largest_wanted(), dev, logits)?;
        dev.end()
    }

    /// The wanted rows of everything that the last layer goes on with.
    fn select_wanted(
        &self,
        (mixed, to): (BufId, BufId),
        dev: &mut dyn Device,
    ) -> Result<Stream<'_>, DeviceError> {
        let rows = &self.wanted[..];
        if let Some(table) = self.ends.token_inputs {
            dev.select(&Select { input: table.inputs, rows, out: table.wanted })?;
        }
        dev.select(&Select { input: self.buffers.x, rows, out: self.buffers.wanted_x })?;
        dev.select(&Select { input: mixed, rows, out: to })?;
        self.select_streams(dev)?;
        Ok(Stream {
            rows: rows.len(),
            x: self.buffers.wanted_x,
            mixed: to,
            inputs: self.ends.token_inputs.map(|t| t.wanted),
            beside: self.ends.streams.as_ref().map(|s| &s.wanted),
        })
    }

    fn collect_wanted(&mut self, plan: &StepPlan) {
        self.wanted.clear();
        self.temperatures.clear();
        for slice in &plan.slices {
            self.wanted.extend(slice.tokens.end - slice.logit_rows()..slice.tokens.end);
            self.temperatures.resize(self.wanted.len(), slice.temperature().map_or(0.0, Temperature::value));
        }
    }

    /// Everything of the mixer up to its output projection.
    fn mix(&self, layer: &Layer, rows: usize, dev: &mut dyn Device) -> Result<(), DeviceError> {
        let input = (rows, self.buffers.x);
        match &layer.mixer {
            MixerParts::Attention(attention) => attention.mix(input, layer.mixer_norm, dev),
            MixerParts::Delta(delta) => delta.mix(input, layer.mixer_norm, dev),
            MixerParts::Latent(latent) => latent.mix(input, layer.mixer_norm, dev),
        }
    }

    /// Adds what the mixer and the feed-forward part yield to the residual stream.
    fn join(
        &self,
        layer: &Layer,
        spec: &LayerSpec,
        s: Stream<'_>,
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        if spec.wiring.is_parallel() {
            self.widen(layer, s, dev)?;
            self.add_mixed(layer, spec, s, dev)?;
        } else {
            self.add_mixed(layer, spec, s, dev)?;
            self.widen(layer, s, dev)?;
        }
        self.narrow(layer, spec, s, dev)?;
        self.correct(layer, s, dev)?;
        self.add_token_input(layer, s, dev)
    }

    /// The mixer's output projection, and what goes around it, added to the residual stream.
    fn add_mixed(
        &self,
        layer: &Layer,
        spec: &LayerSpec,
        s: Stream<'_>,
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        if let Some(detour) = &layer.detour {
            detour.run((s.rows, s.x), layer.mixer_norm, dev)?;
        }
        let (norm, out) = layer.mixer.out();
        let branch = Branch { input: s.mixed, norm, out, post: layer.mixer_post };
        self.add_branch(branch, spec.residual_scale, s, dev)?;
        match &layer.detour {
            Some(detour) => detour.join(s.rows, s.x, dev),
            None => Ok(()),
        }
    }

    /// The feed-forward part up to its last matrix.
    fn widen(&self, layer: &Layer, s: Stream<'_>, dev: &mut dyn Device) -> Result<(), DeviceError> {
        match &layer.ffn {
            FfnParts::Dense(mlp) => mlp.widen((s.rows, s.x), layer.ffn_norm, dev),
            FfnParts::Experts(mixture) => mixture.run((s.rows, s.x), layer.ffn_norm, dev),
        }
    }

    /// The last matrix of the feed-forward part, added to the residual stream.
    fn narrow(
        &self,
        layer: &Layer,
        spec: &LayerSpec,
        s: Stream<'_>,
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        let mlp = match &layer.ffn {
            FfnParts::Dense(mlp) => mlp,
            FfnParts::Experts(mixture) => {
                let yielded = mixture.buffers.yielded;
                return add_yield((yielded, layer.ffn_post, spec.residual_scale), s, dev);
            }
        };
        let branch = Branch { input: mlp.hidden, norm: mlp.inner_norm, out: mlp.down, post: layer.ffn_post };
        self.add_branch(branch, spec.residual_scale, s, dev)
    }

    fn add_branch(
        &self,
        branch: Branch,
        scale: f32,
        s: Stream<'_>,
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        let Branch { input, norm, out, post } = branch;
        let (rows, yielded) = (s.rows, self.buffers.branch);
        if post.is_none() && scale == 1.0 {
            return dev.linear(&LinearOp { rows, input, norm, projections: &[out.onto(s.x, Store::Add)] });
        }
        dev.linear(&LinearOp { rows, input, norm, projections: &[out.onto(yielded, Store::Set)] })?;
        add_yield((yielded, post, scale), s, dev)
    }

    /// Final norm and head over the wanted rows: the largest logits of each where `listed` of them are enough and the device looks for
    /// them, else whole rows.
    fn predict(
        &self,
        listed: Option<usize>,
        dev: &mut dyn Device,
        logits: &mut Logits,
    ) -> Result<(), DeviceError> {
        let is_listed = match listed {
            Some(count) if self.spec.logit_softcap.is_none() && count <= dev.most_listed() => {
                self.list(count, dev, logits)? == Listed::All
            }
            _ => false,
        };
        if is_listed { Ok(()) } else { self.read(0..self.wanted.len(), dev, logits) }
    }

    /// Whole rows of those that are wanted.
    fn read(&self, rows: Range<usize>, dev: &mut dyn Device, logits: &mut Logits) -> Result<(), DeviceError> {
        let out = logits.reset(rows.len(), self.spec.vocab);
        let parts = rows.step_by(HEAD_ROWS).zip(out.chunks_mut(HEAD_ROWS * self.spec.vocab));
        for (first, out) in parts {
            self.run_head(first..first + out.len() / self.spec.vocab, dev)?;
            dev.read(self.buffers.logits, out)?;
            self.shape_logits(out);
        }
        Ok(())
    }

    /// The `count` largest logits of each row that is wanted.
    fn list(&self, count: usize, dev: &mut dyn Device, logits: &mut Logits) -> Result<Listed, DeviceError> {
        logits.reset_lists();
        let input = self.buffers.logits;
        for first in (0..self.wanted.len()).step_by(HEAD_ROWS) {
            let rows = HEAD_ROWS.min(self.wanted.len() - first);
            self.run_head(first..first + rows, dev)?;
            if self.spec.logit_scale != 1.0 {
                dev.elementwise(rows, Elementwise::Scale(self.spec.logit_scale), input)?;
            }
            let temperatures = &self.temperatures[first..first + rows];
            if dev.largest(&Largest { rows, input, count, temperatures }, logits)? == Listed::NotNumbers {
                return Ok(Listed::NotNumbers);
            }
        }
        Ok(Listed::All)
    }

    /// Fills the first rows of the buffer of logits with those of some of the wanted rows, [`HEAD_ROWS`] at most.
    fn run_head(&self, wanted: Range<usize>, dev: &mut dyn Device) -> Result<(), DeviceError> {
        let rows = wanted.len();
        let mut chosen = [0; HEAD_ROWS];
        chosen.iter_mut().zip(wanted).for_each(|(c, row)| *c = row);
        let chosen = &chosen[..rows];
        dev.select(&Select { input: self.buffers.wanted_x, rows: chosen, out: self.buffers.head_in })?;
        let norm = Some(self.ends.final_norm);
        let projection = self.ends.head.onto(self.buffers.logits, Store::Set);
        dev.linear(&LinearOp { rows, input: self.buffers.head_in, norm, projections: &[projection] })
    }

    /// Row `row` of the last step whole. It is computed in the company that it had, so that it has the bits that its list was made of.
    ///
    /// # Errors
    /// The device failed.
    pub(crate) fn whole_row(
        &self,
        row: usize,
        dev: &mut dyn Device,
        logits: &mut Logits,
    ) -> Result<(), DeviceError> {
        let vocab = self.spec.vocab;
        let first = row - row % HEAD_ROWS;
        let mut company = Logits::default();
        self.read(first..self.wanted.len().min(first + HEAD_ROWS), dev, &mut company)?;
        logits.reset(1, vocab).copy_from_slice(company.row(row - first));
        Ok(())
    }

    fn shape_logits(&self, logits: &mut [f32]) {
        if self.spec.logit_scale != 1.0 {
            logits.iter_mut().for_each(|l| *l *= self.spec.logit_scale);
        }
        if let Some(cap) = self.spec.logit_softcap {
            logits.iter_mut().for_each(|l| *l = cap * (*l / cap).tanh());
        }
    }
}

/// Adds what a part yields to the residual stream.
fn add_yield(
    (yielded, post, scale): (BufId, Option<Norm>, f32),
    s: Stream<'_>,
    dev: &mut dyn Device,
) -> Result<(), DeviceError> {
    if let Some(post) = post {
        dev.norm(s.rows, yielded, &post, yielded)?;
    }
    dev.add(s.rows, yielded, scale, s.x)
}

/// The last matrix of a part, with the norms around it.
struct Branch {
    input: BufId,
    norm: Option<Norm>,
    out: Linear,
    post: Option<Norm>,
}
