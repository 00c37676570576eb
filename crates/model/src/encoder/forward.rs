//! The one encoder: a forward pass over whole texts that follows the specification. It knows no family and no names.

use super::EncodeError;
use super::handles::{Buffers, Dense, EncoderHandles, HeadHandles, LayerHandles, TransformHandles};
use super::spec::{
    ConvSpec, EmbedProjection, EncoderLayer, EncoderSpec, EncoderWiring, HeadLevel, Pooling, PositionOrder,
};
use super::workspaces::{Workspace, Workspaces};
use std::ops::Range;
use torchless_base::{SeqId, StepPlan, TokenId, Wanted};
use torchless_device::{
    AttendWithin, BufId, DeviceError, EncoderDevice, Gather, Glu, Linear, PoolRows, Select, Store, Unfold,
};

/// Tokens that are encoded together where nobody says otherwise.
const BATCH_TOKENS: usize = 1024;

/// A text in ids.
#[derive(Clone, Copy, Debug, Default)]
pub struct EncoderText<'a> {
    /// Its tokens, special ones included.
    pub ids: &'a [TokenId],
    /// The type of each token; empty where all are 0.
    pub types: &'a [u32],
}

/// What is wanted of each text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The last hidden states, `[tokens, dim]`.
    Hidden,
    /// One vector, `[dim]`.
    Pooled(Pooling),
    /// `[labels]`, or `[tokens, labels]` of a classifier of tokens.
    Logits,
}

/// An encoder on a device. Threads share it: where the device can, each that encodes has buffers of its own over the same weights.
pub struct Encoder {
    spec: EncoderSpec,
    handles: EncoderHandles,
    buffers: Buffers,
    workspaces: Workspaces,
    device_name: String,
    batch_tokens: usize,
}

impl Encoder {
    pub(super) fn new(
        spec: EncoderSpec,
        handles: EncoderHandles,
        mut device: Box<dyn EncoderDevice>,
        batch_tokens: usize,
    ) -> Result<Self, DeviceError> {
        let buffers = Buffers::new(&spec, &mut *device)?;
        let batch_tokens = if batch_tokens == 0 { BATCH_TOKENS } else { batch_tokens };
        let device_name = device.name();
        Ok(Self { spec, handles, buffers, workspaces: Workspaces::new(device), device_name, batch_tokens })
    }

    /// What the model is.
    pub fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    /// Where it runs.
    pub fn device_name(&self) -> String {
        self.device_name.clone()
    }

    /// What is wanted of each of `texts`, in order. Texts are computed together as far as they fit; the result of one
    /// does not depend on the others, bit for bit.
    ///
    /// # Errors
    /// A text is empty, too long or has ids or types that the model does not know; the model cannot give what is
    /// wanted; the device fails.
    pub fn encode(&self, texts: &[EncoderText<'_>], want: Want) -> Result<Vec<Vec<f32>>, EncodeError> {
        self.check_want(want)?;
        texts.iter().enumerate().try_for_each(|(i, text)| self.check(i, text))?;
        self.workspaces.with(|workspace| {
            let mut results = Vec::with_capacity(texts.len());
            let mut rest = texts;
            while !rest.is_empty() {
                let mut tokens = 0;
                let fits = |text: &&EncoderText<'_>| {
                    tokens += text.ids.len();
                    tokens <= self.batch_tokens
                };
                let (now, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
                let model = Parts { spec: &self.spec, handles: &self.handles, buffers: &self.buffers };
                model.make_room(now, self.batch_tokens, workspace)?;
                Step { model, device: &mut *workspace.device }.run(now, want, &mut results)?;
                rest = later;
            }
            Ok(results)
        })
    }

    fn check_want(&self, want: Want) -> Result<(), EncodeError> {
        let missing =
            |what: &str, has: &str| Err(EncodeError::Missing { what: what.to_owned(), has: has.to_owned() });
        match want {
            Want::Logits if self.spec.head.is_none() => missing("classes", "it embeds texts"),
            Want::Pooled(Pooling::Pooler) if self.handles.pooler.is_none() => {
                missing("pooler", "mean or first token would work")
            }
            _ => Ok(()),
        }
    }

    fn check(&self, text: usize, given: &EncoderText<'_>) -> Result<(), EncodeError> {
        let (tokens, limit) = (given.ids.len(), self.spec.context);
        if tokens == 0 {
            return Err(EncodeError::Empty { text });
        }
        if tokens > limit {
            return Err(EncodeError::TooLong { text, tokens, limit });
        }
        if let Some(&token) = given.ids.iter().find(|id| id.index() >= self.spec.vocab) {
            return Err(EncodeError::Token { text, token, last: self.spec.vocab - 1 });
        }
        self.check_types(text, given)
    }

    fn check_types(&self, text: usize, given: &EncoderText<'_>) -> Result<(), EncodeError> {
        let (count, known) = (given.types.len(), self.spec.embed.types.unwrap_or(0));
        let error = |found, expected| Err(EncodeError::Types { text, found, expected });
        if count == 0 {
            return Ok(());
        }
        if known == 0 {
            return error("token types are given".to_owned(), "the model has none".to_owned());
        }
        if count != given.ids.len() {
            return error(format!("{count} token types"), format!("{} tokens are", given.ids.len()));
        }
        match given.types.iter().find(|&&ty| ty as usize >= known) {
            Some(ty) => error(format!("token type {ty}"), format!("the model has {known}, from 0 on")),
            None => Ok(()),
        }
    }
}

/// What an encoder is, without a device.
#[derive(Clone, Copy)]
struct Parts<'a> {
    spec: &'a EncoderSpec,
    handles: &'a EncoderHandles,
    buffers: &'a Buffers,
}

impl Parts<'_> {
    fn make_room(
        &self,
        texts: &[EncoderText<'_>],
        batch_tokens: usize,
        to: &mut Workspace,
    ) -> Result<(), DeviceError> {
        let rows: usize = texts.iter().map(|text| text.ids.len()).sum();
        if rows > to.room {
            // Half as much again, so that texts that grow do not move everything each time.
            let room = (rows + rows / 2).min(rows.max(batch_tokens));
            // Where one of them does not fit, the others cannot be relied on either.
            to.room = 0;
            self.buffers.all().into_iter().try_for_each(|buf| to.device.resize(buf, room))?;
            to.room = room;
        }
        Ok(())
    }
}

/// One pass over some texts.
struct Step<'a> {
    model: Parts<'a>,
    device: &'a mut dyn EncoderDevice,
}

impl Step<'_> {
    fn run(
        &mut self,
        texts: &[EncoderText<'_>],
        want: Want,
        results: &mut Vec<Vec<f32>>,
    ) -> Result<(), EncodeError> {
        let mut plan = StepPlan::default();
        for (i, text) in texts.iter().enumerate() {
            plan.push((SeqId(i as u32), 0), text.ids, &[], Wanted::Nothing);
        }
        let rows = plan.tokens.len();
        self.device.begin(&plan)?;
        self.embed(texts, rows)?;
        self.run_layers(rows)?;
        let ranges: Vec<_> = plan.slices.iter().map(|slice| slice.tokens.clone()).collect();
        self.collect(&ranges, want, results)?;
        Ok(self.device.end()?)
    }

    /// From ids to the first hidden states.
    fn embed(&mut self, texts: &[EncoderText<'_>], rows: usize) -> Result<(), DeviceError> {
        let (h, b, out) = (self.model.handles, self.model.buffers, self.model.buffers.embedded);
        let ids: Vec<u32> = texts.iter().flat_map(|text| text.ids.iter().map(|id| id.0)).collect();
        self.device.gather(&Gather { table: h.tokens, rows: &ids, out, store: Store::Set })?;
        if let (Some(table), Some(positions)) = (h.positions, self.model.spec.embed.positions) {
            let places: Vec<u32> = texts.iter().flat_map(|text| places(text.ids, positions.order)).collect();
            self.device.gather(&Gather { table, rows: &places, out, store: Store::Add })?;
        }
        if let Some(table) = h.types {
            let types: Vec<u32> = texts.iter().flat_map(types).collect();
            self.device.gather(&Gather { table, rows: &types, out, store: Store::Add })?;
        }
        let norm = h.embed_norm;
        match (self.model.spec.embed.projection, h.projection) {
            (Some(EmbedProjection::BeforeNorm), Some(dense)) => {
                let projections = &[dense.onto(b.x, Store::Set)];
                self.device.linear(&Linear { rows, input: out, norm: None, projections })?;
                self.device.norm(rows, b.x, &norm, b.x)
            }
            (_, Some(dense)) => {
                let projections = &[dense.onto(b.x, Store::Set)];
                self.device.linear(&Linear { rows, input: out, norm: Some(norm), projections })
            }
            (_, None) => self.device.norm(rows, out, &norm, out),
        }
    }

    fn run_layers(&mut self, rows: usize) -> Result<(), DeviceError> {
        let (h, b, spec) = (self.model.handles, self.model.buffers, self.model.spec);
        let device = &mut *self.device;
        for (i, (layer, spec_of)) in h.layers.iter().zip(&spec.layers).enumerate() {
            let conv = spec.conv.zip(h.conv).zip(b.conv).filter(|_| i == 0);
            if let Some(((spec, (dense, _)), bufs)) = conv {
                convolve((spec, dense), bufs, (b.x, rows), device)?;
            }
            attend(layer, spec_of, (b, rows), device)?;
            feed(layer, spec_of, (b, rows), device)?;
            if let Some(((_, (_, norm)), (_, out))) = conv {
                device.add(rows, out, 1.0, b.x)?;
                device.norm(rows, b.x, &norm, b.x)?;
            }
        }
        h.final_norm.map_or(Ok(()), |norm| device.norm(rows, b.x, &norm, b.x))
    }

    /// Brings what is wanted to the host.
    fn collect(
        &mut self,
        texts: &[Range<usize>],
        want: Want,
        results: &mut Vec<Vec<f32>>,
    ) -> Result<(), DeviceError> {
        let (dim, b) = (self.model.spec.dim, self.model.buffers);
        let (buf, width, per_token) = match want {
            Want::Hidden => (b.x, dim, true),
            Want::Pooled(pooling) => (self.pool(texts, pooling)?, dim, false),
            Want::Logits => {
                let Some((head, out)) = self.model.handles.head.zip(b.logits) else { return Ok(()) };
                let (level, labels) = self
                    .model
                    .spec
                    .head
                    .as_ref()
                    .map_or((HeadLevel::Token, 1), |h| (h.level, h.labels.len()));
                let (input, rows) = match level {
                    HeadLevel::Token => (b.x, texts.last().map_or(0, |text| text.end)),
                    HeadLevel::Text(pooling) => (self.pool(texts, pooling)?, texts.len()),
                };
                self.classify(&head, (input, rows), out)?;
                (out, labels, level == HeadLevel::Token)
            }
        };
        let count = |text: &Range<usize>| if per_token { text.len() * width } else { width };
        let mut values = vec![0.0; texts.iter().map(count).sum()];
        self.device.read(buf, &mut values)?;
        let mut rest = &values[..];
        for text in texts {
            let (now, later) = rest.split_at(count(text));
            results.push(now.to_vec());
            rest = later;
        }
        Ok(())
    }

    /// One row per text.
    fn pool(&mut self, texts: &[Range<usize>], pooling: Pooling) -> Result<BufId, DeviceError> {
        let (input, out) = (self.model.buffers.x, self.model.buffers.pooled);
        let mut select = |f: fn(&Range<usize>) -> usize| {
            let rows: Vec<_> = texts.iter().map(f).collect();
            self.device.select(&Select { input, rows: &rows, out })
        };
        match pooling {
            Pooling::First | Pooling::Pooler => select(|text| text.start)?,
            Pooling::Last => select(|text| text.end - 1)?,
            Pooling::Rows(kind) => self.device.pool_rows(&PoolRows { input, texts, kind, out })?,
        }
        match self.model.handles.pooler.filter(|_| pooling == Pooling::Pooler) {
            Some(pooler) => self.transform(&pooler, (out, texts.len())),
            None => Ok(out),
        }
    }

    fn transform(
        &mut self,
        t: &TransformHandles,
        (input, rows): (BufId, usize),
    ) -> Result<BufId, DeviceError> {
        let out = self.model.buffers.shaped;
        let projections = &[t.dense.onto(out, Store::Set)];
        self.device.linear(&Linear { rows, input, norm: None, projections })?;
        self.device.activate(rows, t.act, out)?;
        if let Some(norm) = t.norm {
            self.device.norm(rows, out, &norm, out)?;
        }
        Ok(out)
    }

    fn classify(
        &mut self,
        head: &HeadHandles,
        (input, rows): (BufId, usize),
        out: BufId,
    ) -> Result<(), DeviceError> {
        let input = match &head.transform {
            Some(transform) => self.transform(transform, (input, rows))?,
            None => input,
        };
        let projections = &[head.classifier.onto(out, Store::Set)];
        self.device.linear(&Linear { rows, input, norm: None, projections })
    }
}

/// The convolution of the embeddings, before the first layer overwrites them.
fn convolve(
    (spec, dense): (ConvSpec, Dense),
    (neighbours, out): (BufId, BufId),
    (x, rows): (BufId, usize),
    device: &mut dyn EncoderDevice,
) -> Result<(), DeviceError> {
    device.unfold(&Unfold { input: x, taps: spec.taps, out: neighbours })?;
    let projections = &[dense.onto(out, Store::Set)];
    device.linear(&Linear { rows, input: neighbours, norm: None, projections })?;
    device.activate(rows, spec.act, out)
}

/// Attention, added to `x`.
fn attend(
    layer: &LayerHandles,
    spec: &EncoderLayer,
    (b, rows): (&Buffers, usize),
    device: &mut dyn EncoderDevice,
) -> Result<(), DeviceError> {
    let before = spec.wiring == EncoderWiring::PreNorm;
    let norm = layer.attention_norm.filter(|_| before);
    let projections = &[
        layer.query.onto(b.q, Store::Set),
        layer.key.onto(b.k, Store::Set),
        layer.value.onto(b.v, Store::Set),
    ];
    device.linear(&Linear { rows, input: b.x, norm, projections })?;
    let a = &spec.attention;
    device.attend_within(&AttendWithin {
        q: b.q,
        k: b.k,
        v: b.v,
        out: b.mixed,
        heads: a.heads,
        rope: layer.rope,
        scale: a.scale,
        window: a.window,
        offsets: layer.offsets,
        halves: layer.halves,
    })?;
    let projections = &[layer.out.onto(b.x, Store::Add)];
    device.linear(&Linear { rows, input: b.mixed, norm: None, projections })?;
    match layer.attention_norm.filter(|_| !before) {
        Some(norm) => device.norm(rows, b.x, &norm, b.x),
        None => Ok(()),
    }
}

/// The feed-forward part, added to `x`.
fn feed(
    layer: &LayerHandles,
    spec: &EncoderLayer,
    (b, rows): (&Buffers, usize),
    device: &mut dyn EncoderDevice,
) -> Result<(), DeviceError> {
    let before = spec.wiring == EncoderWiring::PreNorm;
    let (norm, act, out) = (Some(layer.ffn_norm).filter(|_| before), spec.ffn.act, b.hidden);
    match layer.gate {
        Some(gate) => {
            let (gate, up) = ((gate.matrix, gate.bias), (layer.up.matrix, layer.up.bias));
            device.glu(&Glu { rows, input: b.x, norm, gate, up, act, out })?;
        }
        None => {
            let projections = &[layer.up.onto(out, Store::Set)];
            device.linear_then(&Linear { rows, input: b.x, norm, projections }, act)?;
        }
    }
    let projections = &[layer.down.onto(b.x, Store::Add)];
    device.linear(&Linear { rows, input: out, norm: None, projections })?;
    if before { Ok(()) } else { device.norm(rows, b.x, &layer.ffn_norm, b.x) }
}

/// The row of each token in the table of positions.
fn places(ids: &[TokenId], order: PositionOrder) -> impl Iterator<Item = u32> {
    let mut before = 0;
    ids.iter().enumerate().map(move |(i, id)| match order {
        PositionOrder::Place => i as u32,
        PositionOrder::AfterPadding { pad } if id.0 == pad => pad,
        PositionOrder::AfterPadding { pad } => {
            before += 1;
            pad + before
        }
    })
}

/// The type of each token.
fn types(text: &EncoderText<'_>) -> impl Iterator<Item = u32> {
    let given = text.types;
    (0..text.ids.len()).map(move |i| given.get(i).copied().unwrap_or(0))
}
