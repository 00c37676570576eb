//! The one decoder: a textbook forward pass that follows the specification. It knows no family and no names.

use crate::spec::{Ffn, Mixer, MlpSpec, ModelSpec, Wiring};
use torchless_base::{Logits, StepPlan};
use torchless_device::{
    Attend, BufId, CacheId, Device, DeviceError, Embed, Glu, Linear as LinearOp, MatrixId, Norm, Projection,
    RopeId, Select, Store, VectorId,
};

/// Rows of logits that the head makes at a time: bounds the buffer where every position is wanted.
pub(crate) const HEAD_ROWS: usize = 32;

/// A matrix with its bias.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    pub matrix: MatrixId,
    pub bias: Option<VectorId>,
}

impl Linear {
    fn onto(self, out: BufId, store: Store) -> Projection {
        Projection { matrix: self.matrix, bias: self.bias, out, store }
    }
}

/// Handles of one layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    pub mixer_norm: Norm,
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub rope: Option<RopeId>,
    pub cache: CacheId,
    pub out: Linear,
    pub ffn_norm: Norm,
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
}

/// Activation buffers, shared by all layers.
#[derive(Clone, Copy, Debug)]
struct Buffers {
    x: BufId,
    q: BufId,
    k: BufId,
    v: BufId,
    mixed: BufId,
    hidden: BufId,
    wanted_x: BufId,
    wanted_mixed: BufId,
    head_in: BufId,
    logits: BufId,
}

/// A model on a device: its specification, handles, and the order of ops.
#[derive(Debug)]
pub struct Decoder {
    spec: ModelSpec,
    layers: Vec<Layer>,
    embed: MatrixId,
    final_norm: Norm,
    head: MatrixId,
    buffers: Buffers,
    wanted: Vec<usize>,
}

impl Decoder {
    /// Makes buffers for up to `max_tokens` tokens a step. `ends` are embedding table, final norm and head.
    pub(crate) fn new(
        spec: ModelSpec,
        layers: Vec<Layer>,
        ends: (MatrixId, Norm, MatrixId),
        max_tokens: usize,
        dev: &mut dyn Device,
    ) -> Result<Self, DeviceError> {
        let widest = |f: fn(&crate::LayerSpec) -> usize| spec.layers.iter().map(f).max().unwrap_or(1);
        let q = widest(|l| l.mixer.attention().heads * l.mixer.attention().head_dim);
        let k = widest(|l| l.mixer.attention().kv_heads * l.mixer.attention().head_dim);
        let v = widest(|l| l.mixer.attention().kv_heads * l.mixer.attention().v_dim);
        let mixed = widest(|l| l.mixer.attention().heads * l.mixer.attention().v_dim);
        let hidden = widest(|l| l.ffn.dense().hidden);
        let mut make = |name, tokens, width| dev.buffer(name, tokens, width);
        let buffers = Buffers {
            x: make("x", max_tokens, spec.dim)?,
            q: make("q", max_tokens, q)?,
            k: make("k", max_tokens, k)?,
            v: make("v", max_tokens, v)?,
            mixed: make("mixed", max_tokens, mixed)?,
            hidden: make("hidden", max_tokens, hidden)?,
            wanted_x: make("wanted_x", max_tokens, spec.dim)?,
            wanted_mixed: make("wanted_mixed", max_tokens, mixed)?,
            head_in: make("head_in", HEAD_ROWS.min(max_tokens), spec.dim)?,
            logits: make("logits", HEAD_ROWS.min(max_tokens), spec.vocab)?,
        };
        let (embed, final_norm, head) = ends;
        Ok(Self { spec, layers, embed, final_norm, head, buffers, wanted: Vec::with_capacity(max_tokens) })
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
        dev.begin(plan)?;
        dev.embed(&Embed { table: self.embed, scale: self.spec.embed_scale, out: self.buffers.x })?;
        let Some((last, others)) = self.layers.split_last() else { return dev.end() };
        let mut rest = self.spec.layers.iter();
        for (layer, spec) in others.iter().zip(rest.by_ref()) {
            let Wiring::PreNorm = spec.wiring;
            self.mix(layer, &spec.mixer, rows, dev)?;
            self.join(layer, (self.buffers.mixed, self.buffers.x), rows, dev)?;
            self.feed(layer, &spec.ffn, (self.buffers.x, rows), dev)?;
        }
        if let Some(spec) = rest.next() {
            // After the last mixer no position needs another one: go on with the wanted ones alone.
            self.mix(last, &spec.mixer, rows, dev)?;
            let wanted = &self.wanted[..];
            let (x, mixed) = (self.buffers.wanted_x, self.buffers.wanted_mixed);
            if !wanted.is_empty() {
                dev.select(&Select { input: self.buffers.x, rows: wanted, out: x })?;
                dev.select(&Select { input: self.buffers.mixed, rows: wanted, out: mixed })?;
                self.join(last, (mixed, x), wanted.len(), dev)?;
                self.feed(last, &spec.ffn, (x, wanted.len()), dev)?;
            }
        }
        self.predict(dev, logits)?;
        dev.end()
    }

    fn collect_wanted(&mut self, plan: &StepPlan) {
        self.wanted.clear();
        for slice in &plan.slices {
            self.wanted.extend(slice.tokens.end - slice.logit_rows()..slice.tokens.end);
        }
    }

    /// Everything of the mixer up to its output projection, from `x` to `mixed`.
    fn mix(
        &self,
        layer: &Layer,
        mixer: &Mixer,
        rows: usize,
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        let Mixer::Attention(spec) = mixer;
        let b = &self.buffers;
        dev.linear(&LinearOp {
            rows,
            input: b.x,
            norm: Some(layer.mixer_norm),
            projections: &[
                layer.query.onto(b.q, Store::Set),
                layer.key.onto(b.k, Store::Set),
                layer.value.onto(b.v, Store::Set),
            ],
        })?;
        dev.attend(&Attend {
            q: b.q,
            k: b.k,
            v: b.v,
            out: b.mixed,
            cache: layer.cache,
            heads: spec.heads,
            rope: layer.rope,
            scale: spec.scale,
            window: spec.window,
            softcap: None,
            sinks: None,
        })
    }

    /// The mixer's output projection, added to the residual stream.
    fn join(
        &self,
        layer: &Layer,
        (mixed, x): (BufId, BufId),
        rows: usize,
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        dev.linear(&LinearOp {
            rows,
            input: mixed,
            norm: None,
            projections: &[layer.out.onto(x, Store::Add)],
        })
    }

    /// The feed-forward part, added to the residual stream.
    fn feed(
        &self,
        layer: &Layer,
        ffn: &Ffn,
        (x, rows): (BufId, usize),
        dev: &mut dyn Device,
    ) -> Result<(), DeviceError> {
        let Ffn::Dense(MlpSpec { act, .. }) = ffn;
        let out = self.buffers.hidden;
        dev.glu(&Glu {
            rows,
            input: x,
            norm: Some(layer.ffn_norm),
            gate: (layer.gate.matrix, layer.gate.bias),
            up: (layer.up.matrix, layer.up.bias),
            act: *act,
            out,
        })?;
        dev.linear(&LinearOp { rows, input: out, norm: None, projections: &[layer.down.onto(x, Store::Add)] })
    }

    /// Final norm and head over the wanted rows.
    fn predict(&self, dev: &mut dyn Device, logits: &mut Logits) -> Result<(), DeviceError> {
        let vocab = self.spec.vocab;
        let out = logits.reset(self.wanted.len(), vocab);
        let projection =
            Projection { matrix: self.head, bias: None, out: self.buffers.logits, store: Store::Set };
        let mut chosen = [0; HEAD_ROWS];
        for (part, out) in out.chunks_mut(HEAD_ROWS * vocab).enumerate() {
            let rows = out.len() / vocab;
            let chosen = &mut chosen[..rows];
            chosen.iter_mut().zip(part * HEAD_ROWS..).for_each(|(c, row)| *c = row);
            dev.select(&Select { input: self.buffers.wanted_x, rows: chosen, out: self.buffers.head_in })?;
            let norm = Some(self.final_norm);
            dev.linear(&LinearOp { rows, input: self.buffers.head_in, norm, projections: &[projection] })?;
            dev.read(self.buffers.logits, out)?;
            self.shape_logits(out);
        }
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
