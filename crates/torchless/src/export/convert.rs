//! Model files in another format: safetensors and the native format as GGUF, with weights as they are or in another float type.
//!
//! The metadata is written from the specification of the model, and read back before any weight is written: a file whose
//! specification is not that of the original is not made.

use super::gguf::{Book, Rows, Sheet};
use super::mixes::{FileType, is_quantised};
use super::replace::{of_output, refuse_same, workplace, write_whole};
use super::temporary::Temporary;
use super::tokens;
use crate::Error;
use crate::open::{Source, check_model};
use std::path::Path;
use tabagent_hardware::usable_cores;
use torchless_device::Score;
use torchless_formats::gguf::Value;
use torchless_formats::{Checkpoint, Format, OpenOptions, Tensor, TokenizerSource, open};
use torchless_model::own_words;
use torchless_model::translate::{self, Change, Difference, Translation};
use torchless_model::{
    Ffn, KvSource, LayerSpec, Mixer, ModelError, ModelSpec, MoeSpec, RopeScaling, RopeSpec, SharedNamed,
    SharedSpec,
};
use torchless_quant::TensorType;

/// The kind of file that loses nothing, or as little as can be: the type of most weights where it is a float, F32 otherwise.
///
/// # Errors
/// It is no model file.
pub fn lossless(source: &Source) -> Result<&'static FileType, Error> {
    let checkpoint = source.checkpoint()?;
    let values = |ty| checkpoint.tensors.iter().filter(|t| t.ty == ty).map(|t| t.len()).sum::<usize>();
    let most =
        [TensorType::F16, TensorType::BF16].into_iter().find(|ty| 2 * values(*ty) > values(TensorType::F32));
    let only = checkpoint.tensors.iter().all(|t| t.shape.len() < 2 || Some(t.ty) == most);
    let name = if only { most.map_or("F32", |ty| ty.info().name) } else { "F32" };
    FileType::from_name(name).ok_or_else(|| Error::Mismatch(format!("no kind of file is {name}")))
}

/// What became of a conversion.
#[derive(Clone, Debug)]
pub struct Converted {
    /// Tensors.
    pub tensors: usize,
    /// Bytes of the file.
    pub bytes: u64,
    /// Whether the tokenizer stayed behind.
    pub without_tokenizer: bool,
    /// Whether the tokenizer came along in words that do not give the same ids in every case: around control tokens, or for characters that are
    /// not composed.
    pub tokens_differ: bool,
    /// Keys that no other reader of GGUF knows, and that the model cannot do without.
    pub own_words: Vec<String>,
}

/// Writes `source` as a GGUF file with matrices of the type of `file`, a floating-point one or `Q8_0`.
///
/// # Errors
/// It is no model that runs here, GGUF has no place for something in it, or the file cannot be written.
pub fn convert_to_gguf(
    source: &Source,
    output: &Path,
    file: &'static FileType,
    progress: &mut dyn FnMut(&str, TensorType),
) -> Result<Converted, Error> {
    let checkpoint = source.checkpoint()?;
    refuse_same(output, checkpoint.read_from())?;
    let mut book = book(source, &checkpoint, output)?;
    for sheet in &mut book.sheets {
        sheet.ty = if is_quantised(&sheet.name, &sheet.shape) {
            fitting(file.ty, sheet.cols())
        } else {
            TensorType::F32
        };
    }
    book.set("general.file_type", file.number);
    let none = |_: &str| None;
    let threads = usable_cores();
    let bytes = write_whole(output, |out| book.write(out, &none, threads, progress).map(drop))?;
    let had_tokenizer = !matches!(checkpoint.tokenizer, TokenizerSource::None);
    let without_tokenizer = had_tokenizer && tokens::has_none(&book.metadata);
    let own_words = own_keys(&book);
    let (tensors, tokens_differ) = (book.sheets.len(), book.tokens_differ);
    Ok(Converted { tensors, bytes, without_tokenizer, tokens_differ, own_words })
}

/// The keys of our own in a file that names an architecture of our own.
fn own_keys(book: &Book<'_>) -> Vec<String> {
    let is_ours = |(key, value): &(String, Value)| {
        key == ARCHITECTURE && matches!(value, Value::String(name) if &**name == own_words::ARCHITECTURE)
    };
    if !book.metadata.iter().any(is_ours) {
        return Vec::new();
    }
    let keys = book.metadata.iter().map(|(key, _)| key);
    keys.filter(|key| own_words::is_own(key)).cloned().collect()
}

/// The key of a file's architecture.
const ARCHITECTURE: &str = "general.architecture";

fn fitting(ty: TensorType, cols: usize) -> TensorType {
    if cols.is_multiple_of(ty.info().block_len) { ty } else { TensorType::F16 }
}

/// Encoders have no words in the formats that are made here.
pub(super) fn refuse_encoder(source: &Source, checkpoint: &Checkpoint) -> Result<(), Error> {
    if !crate::Encoder::is_one(checkpoint) {
        return Ok(());
    }
    let name = source.name().display();
    Err(Error::Option(format!(
        "{name} is an encoder: other files are made here of models that complete text"
    )))
}

/// What a checkpoint becomes in GGUF, all in the types that it has.
pub(crate) fn book<'a>(
    source: &Source,
    checkpoint: &'a Checkpoint,
    output: &Path,
) -> Result<Book<'a>, Error> {
    if checkpoint.format == Format::Gguf {
        return match check_model(source, checkpoint) {
            // Weights need no one who computes with them here.
            Ok(()) | Err(Error::Model { source: ModelError::UnknownArchitecture { .. }, .. }) => {
                Book::of_gguf(checkpoint)
            }
            Err(error) => Err(error),
        };
    }
    refuse_encoder(source, checkpoint)?;
    // From here on shapes are what the metadata says.
    check_model(source, checkpoint)?;
    let fault = |e| Error::Model { path: source.name().to_owned(), source: e };
    let translation = translate::translate(checkpoint).map_err(fault)?;
    let mut sheets = Vec::with_capacity(translation.places.len());
    for place in &translation.places {
        let parts: Vec<&Tensor> =
            place.from.iter().map(|name| checkpoint.tensors.get(name)).collect::<Result<_, _>>()?;
        let change = match &place.change {
            Change::AddOne => Rows::Plus(1.0),
            Change::LessOne => Rows::Plus(-1.0),
            Change::Order(order) => Rows::Order(order.clone()),
            Change::Columns(order) => Rows::Columns(order.clone()),
            Change::Turned { first, step } => Rows::Turned { first: *first, step: *step },
            Change::Decay(order) => Rows::Decay(order.clone()),
            Change::None | Change::Rotated { .. } => Rows::AsTheyAre,
        };
        let (name, shape) = (place.name.clone(), place.shape.clone());
        let first = parts.first().map_or(TensorType::F32, |part| part.ty);
        let ty = if is_quantised(&name, &shape) { first } else { TensorType::F32 };
        sheets.push(Sheet { name, shape, parts, change, ty });
    }
    sheets.extend(stretch(&translation.spec));
    sheets.sort_by_cached_key(|sheet| (super::mixes::layer_of(&sheet.name), sheet.name.clone()));
    let mut book = Book { metadata: metadata(&translation), sheets, tokens_differ: false };
    let made = settle(&mut book, &translation, output)?;
    reorder(&mut book, &translation, &made)?;
    // The other metadata is written and read several times.
    let tokens = tokens::metadata(checkpoint, translation.spec.vocab)?;
    book.metadata.extend(tokens.metadata);
    book.tokens_differ = !tokens.exact;
    Ok(book)
}

/// Tensors of rotary divisors, where frequencies are stretched by a rule that GGUF has no key for.
fn stretch(spec: &ModelSpec) -> Vec<Sheet<'static>> {
    let sheet = |name: &str, divisors: Vec<f32>| Sheet {
        name: format!("{name}.weight"),
        shape: vec![divisors.len()],
        parts: Vec::new(),
        change: Rows::Values(divisors),
        ty: TensorType::F32,
    };
    match rope(spec).map(|rope| (rope, &rope.scaling)) {
        Some((rope, RopeScaling::Llama3 { .. } | RopeScaling::Proportional { .. })) => {
            vec![sheet("rope_freqs", translate::rope_divisors(rope))]
        }
        Some((_, RopeScaling::LongRope { short, long, .. })) => {
            vec![sheet("rope_factors_short", short.clone()), sheet("rope_factors_long", long.clone())]
        }
        _ => Vec::new(),
    }
}

/// The rotary embedding of layers that see everything, or else of the first that has one.
fn rope(spec: &ModelSpec) -> Option<&RopeSpec> {
    let of = |layer: &'_ LayerSpec| match &layer.mixer {
        Mixer::Attention(attn) => attn.rope.clone().map(|_| attn.window.is_none()),
        Mixer::Latent(_) => Some(true),
        Mixer::Delta(_) => None,
    };
    let whole = spec.layers.iter().find(|layer| of(layer) == Some(true));
    let layer = whole.or_else(|| spec.layers.iter().find(|layer| of(layer).is_some()))?;
    match &layer.mixer {
        Mixer::Attention(attn) => attn.rope.as_ref(),
        Mixer::Latent(latent) => Some(&latent.rope),
        Mixer::Delta(_) => None,
    }
}

/// Keys and values under the architecture's name.
struct Keys {
    arch: &'static str,
    all: Vec<(String, Value)>,
}

impl Keys {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.all.push((format!("{}.{key}", self.arch), value.into()));
    }

    fn count(&mut self, key: &str, n: usize) {
        self.put(key, n as u32);
    }

    /// One number where all layers have the same, or one for each.
    fn each(&mut self, key: &str, values: &[usize]) {
        let values: Vec<u32> = values.iter().map(|n| *n as u32).collect();
        match values.first() {
            Some(first) if values.iter().all(|n| n == first) => self.put(key, *first),
            _ => self.put(key, &values[..]),
        }
    }
}

/// Everything that a specification says, in GGUF's words. Keys that an architecture does not have are dropped later.
fn metadata(translation: &Translation) -> Vec<(String, Value)> {
    let Translation { spec, arch, .. } = translation;
    let mut keys = Keys { arch, all: vec![(ARCHITECTURE.to_owned(), (*arch).into())] };
    keys.count("block_count", spec.layers.len());
    keys.count("context_length", spec.context);
    keys.count("embedding_length", spec.dim);
    keys.count("vocab_size", spec.vocab);
    if let Some(layer) = spec.layers.first() {
        // Some architectures have layer norms under the other's key.
        keys.put("attention.layer_norm_rms_epsilon", layer.norm.eps);
        keys.put("attention.layer_norm_epsilon", layer.norm.eps);
        keys.put("use_parallel_residual", layer.wiring.is_parallel());
        if layer.residual_scale != 1.0 {
            keys.put("residual_scale", layer.residual_scale);
        }
    }
    attention(&mut keys, spec);
    linear_attention(&mut keys, spec);
    slides(&mut keys, spec);
    units(&mut keys, spec);
    if let Some(cap) = spec.logit_softcap {
        keys.put("final_logit_softcapping", cap);
    }
    if spec.logit_scale != 1.0 {
        // Granite divides by what others multiply with.
        let divides = arch.starts_with("granite");
        keys.put("logit_scale", if divides { 1.0 / spec.logit_scale } else { spec.logit_scale });
    }
    if spec.embed_scale != 1.0 {
        keys.put("embedding_scale", spec.embed_scale);
    }
    beside(&mut keys, spec);
    if let Some(rope) = rope(spec) {
        keys.all.extend(rotary(arch, rope, spec.context));
    }
    stretched_scores(&mut keys, spec);
    keys.all
}

/// Scores that are stretched beside the rotation: by the square of 1 + 0.1 m ln factor, of which GGUF has a tenth of m. The rotation's own
/// magnitude stands there without its usual part then.
fn stretched_scores(keys: &mut Keys, spec: &ModelSpec) {
    let Some(Mixer::Latent(latent)) = spec.layers.first().map(|layer| &layer.mixer) else { return };
    let RopeScaling::Yarn { factor, magnitude, .. } = latent.rope.scaling else { return };
    let whole = (latent.plain + latent.turned) as f32;
    let stretch = (latent.scale * whole.sqrt()).sqrt();
    if stretch > 1.0 {
        keys.put("rope.scaling.yarn_log_multiplier", (stretch - 1.0) / factor.ln());
        keys.all.retain(|(key, _)| !key.ends_with("rope.scaling.attn_factor"));
        keys.put("rope.scaling.attn_factor", magnitude);
    }
}

/// Heads, and what is done to their values.
fn attention(keys: &mut Keys, spec: &ModelSpec) {
    let slides = |layer: &&LayerSpec| matches!(&layer.mixer, Mixer::Attention(attn) if attn.window.is_some());
    let linear = |layer: &&LayerSpec| matches!(layer.mixer, Mixer::Delta(_));
    let whole = spec.layers.iter().find(|layer| !slides(layer) && !linear(layer));
    let local = spec.layers.iter().find(slides);
    if let Some(Mixer::Attention(attn)) = local.map(|layer| &layer.mixer) {
        keys.count("attention.key_length_swa", attn.head_dim);
        keys.count("attention.value_length_swa", attn.v_dim);
        if let Some(rope) = &attn.rope {
            keys.count("rope.dimension_count_swa", rope.dims);
        }
    }
    match whole.or(local).map(|layer| &layer.mixer) {
        Some(Mixer::Attention(attn)) => {
            keys.count("attention.head_count", attn.heads);
            let kv_heads = |layer: &LayerSpec| match &layer.mixer {
                Mixer::Attention(attn) => Some(attn.kv_heads),
                Mixer::Latent(_) | Mixer::Delta(_) => None,
            };
            let kv_heads: Vec<_> = spec.layers.iter().filter_map(kv_heads).collect();
            keys.each("attention.head_count_kv", &kv_heads);
            keys.count("attention.key_length", attn.head_dim);
            keys.count("attention.value_length", attn.v_dim);
            if let Some(cap) = attn.softcap {
                keys.put("attn_logit_softcapping", cap);
            }
            if let Some(limit) = attn.clip {
                keys.put("attention.clamp_kqv", limit);
            }
            if attn.scale != 1.0 / (attn.head_dim as f32).sqrt() {
                keys.put("attention.scale", attn.scale);
            }
        }
        Some(Mixer::Latent(latent)) => {
            let whole = latent.plain + latent.turned;
            keys.count("attention.head_count", latent.heads);
            keys.count("attention.head_count_kv", latent.heads);
            keys.count("attention.key_length", whole);
            keys.count("attention.value_length", latent.value);
            keys.count("attention.kv_lora_rank", latent.latent);
            if let Some(rank) = latent.query_rank {
                keys.count("attention.q_lora_rank", rank);
            }
        }
        // What reading the file back would show to lack its keys is refused there.
        Some(Mixer::Delta(_)) | None => {}
    }
}

/// Linear attention, and which layers are of it.
fn linear_attention(keys: &mut Keys, spec: &ModelSpec) {
    let linear: Vec<bool> = spec.layers.iter().map(|layer| matches!(layer.mixer, Mixer::Delta(_))).collect();
    let delta = |layer: &LayerSpec| if let Mixer::Delta(delta) = &layer.mixer { Some(*delta) } else { None };
    let Some(delta) = spec.layers.iter().find_map(delta) else { return };
    let heads = delta.state.delta;
    keys.count("ssm.conv_kernel", delta.state.taps);
    keys.count("ssm.group_count", heads.key_heads);
    keys.count("ssm.time_step_rank", heads.value_heads);
    keys.count("ssm.state_size", heads.key_dim);
    keys.count("ssm.inner_size", delta.out_width());
    match rounds_of(&linear) {
        Some(interval) => keys.count("full_attention_interval", interval),
        None => keys.put("attention.recurrent_layers", &linear[..]),
    }
    if let Some(rope) = rope(spec) {
        // Pairs for each direction of a picture; those of a text are all the same, so any division will do.
        let third = (rope.dims / 2).div_ceil(3) as u32;
        let rest = (rope.dims / 2) as u32 - (2 * third).min((rope.dims / 2) as u32);
        keys.put("rope.dimension_sections", &[third, third, rest, 0][..]);
    }
}

/// After how many layers one is not, where that holds for all.
fn rounds_of(layers: &[bool]) -> Option<usize> {
    let turn =
        |n: &usize| layers.iter().zip(1..).all(|(layer, i): (_, usize)| *layer != i.is_multiple_of(*n));
    (1..=layers.len()).find(turn)
}

/// Which layers slide: every so many do not, or one by one.
fn slides(keys: &mut Keys, spec: &ModelSpec) {
    let attn = |layer: &LayerSpec| match &layer.mixer {
        Mixer::Attention(attn) => Some((attn.window, attn.rope.as_ref().map(|rope| rope.theta))),
        Mixer::Latent(_) | Mixer::Delta(_) => None,
    };
    let all: Vec<_> = spec.layers.iter().filter_map(attn).collect();
    let Some(&(Some(window), theta)) = all.iter().find(|(window, _)| window.is_some()) else { return };
    keys.count("attention.sliding_window", window);
    if let Some(theta) = theta {
        keys.put("rope.freq_base_swa", theta);
    }
    let slides: Vec<bool> = all.iter().map(|(window, _)| window.is_some()).collect();
    match rounds_of(&slides) {
        // llama.cpp takes no number for this one.
        Some(turn) if keys.arch != "gemma4" => keys.count("attention.sliding_window_pattern", turn),
        _ => keys.put("attention.sliding_window_pattern", &slides[..]),
    }
}

/// Widths of feed-forward units, and experts.
fn units(keys: &mut Keys, spec: &ModelSpec) {
    let moes = || {
        spec.layers.iter().filter_map(|layer| match &layer.ffn {
            Ffn::Experts(moe) => Some(moe),
            Ffn::Dense(_) => None,
        })
    };
    let dense = spec.layers.iter().find_map(|layer| match &layer.ffn {
        Ffn::Dense(mlp) => Some(mlp.hidden),
        Ffn::Experts(_) => None,
    });
    let width = |layer: &LayerSpec| match &layer.ffn {
        Ffn::Dense(mlp) => mlp.hidden,
        Ffn::Experts(MoeSpec { shared: Some(SharedSpec { mlp, named: SharedNamed::Dense, .. }), .. }) => {
            mlp.hidden
        }
        Ffn::Experts(moe) => dense.unwrap_or(moe.hidden),
    };
    keys.each("feed_forward_length", &spec.layers.iter().map(width).collect::<Vec<_>>());
    let Some(moe) = moes().next() else { return };
    keys.count("expert_count", moe.routing.experts);
    keys.count("expert_used_count", moe.routing.chosen);
    keys.count("expert_feed_forward_length", moe.hidden);
    keys.put("expert_weights_norm", moe.routing.normalise.is_some());
    keys.put("expert_weights_scale", moe.routing.scale);
    let function = match moe.routing.score {
        Score::Softmax => Some(1u32),
        Score::Sigmoid => Some(2),
        Score::SoftmaxOfChosen => Some(3),
        Score::SparseMixer { .. } => None,
    };
    if let Some(function) = function {
        keys.put("expert_gating_func", function);
    }
    if let Some(groups) = &moe.routing.groups {
        keys.count("expert_group_count", groups.groups);
        keys.count("expert_group_used_count", groups.chosen);
    }
    if let Some(shared) = &moe.shared {
        keys.count("expert_shared_feed_forward_length", shared.mlp.hidden);
        keys.count("expert_shared_count", shared.mlp.hidden / moe.hidden.max(1));
    }
    let sparse: Vec<bool> = spec.layers.iter().map(|layer| matches!(layer.ffn, Ffn::Experts(_))).collect();
    let first = sparse.iter().take_while(|sparse| !**sparse).count();
    keys.count("leading_dense_block_count", first);
    let step = |n: &usize| (first..sparse.len()).all(|i| sparse[i] == (i + 1).is_multiple_of(*n));
    if let Some(step) = (1..=sparse.len()).find(step) {
        keys.count("interleave_moe_layer_step", step);
    }
}

/// What layers get beside the residual stream: inputs from tokens, other streams, gates of which few values count.
fn beside(keys: &mut Keys, spec: &ModelSpec) {
    // A width of 0 is asked for where there are none.
    keys.count(
        "embedding_length_per_layer_input",
        spec.token_inputs.as_ref().map_or(0, |inputs| inputs.width),
    );
    let shares = |layer: &&LayerSpec| matches!(&layer.mixer, Mixer::Attention(a) if matches!(a.kv, KvSource::Layer(_)));
    if spec.token_inputs.is_some() || spec.streams.is_some() {
        keys.count("attention.shared_kv_layers", spec.layers.iter().filter(shares).count());
    }
    if let Some(streams) = &spec.streams {
        keys.count("altup.num_inputs", streams.count);
        keys.count("altup.active_idx", 0);
        let cut = |layer: &LayerSpec| match &layer.ffn {
            Ffn::Dense(mlp) => mlp.cut.unwrap_or(f32::NEG_INFINITY),
            Ffn::Experts(_) => f32::NEG_INFINITY,
        };
        let cuts: Vec<f32> = spec.layers.iter().map(cut).collect();
        keys.put("activation_sparsity_scale", Value::from(&cuts[..]));
    }
}

fn rotary(arch: &str, rope: &RopeSpec, context: usize) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut put = |key: &str, value: Value| all.push((format!("{arch}.rope.{key}"), value));
    put("dimension_count", (rope.dims as u32).into());
    put("freq_base", rope.theta.into());
    match rope.scaling {
        RopeScaling::Linear { factor } => {
            put("scaling.type", "linear".into());
            put("scaling.factor", factor.into());
        }
        RopeScaling::Yarn { factor, original, beta_fast, beta_slow, magnitude, .. } => {
            put("scaling.type", "yarn".into());
            put("scaling.factor", factor.into());
            put("scaling.original_context_length", (original.min(context) as u32).into());
            put("scaling.yarn_beta_fast", beta_fast.into());
            put("scaling.yarn_beta_slow", beta_slow.into());
            let usual = if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 };
            put("scaling.attn_factor", (magnitude / usual).into());
        }
        RopeScaling::LongRope { original, magnitudes: (magnitude, _), .. } => {
            put("scaling.original_context_length", (original as u32).into());
            put("scaling.attn_factor", magnitude.into());
        }
        _ => {}
    }
    all
}

/// Keys that are read here and that llama.cpp passes over: in its words the model would be another one.
const PASSED_OVER: &[(&str, &str)] =
    &[("llama", "attention.sliding_window"), ("olmoe", "attention.clamp_kqv")];

/// Makes the metadata say what the original's says: in GGUF's words, and where these do not reach in some of our own.
fn settle(book: &mut Book<'_>, translation: &Translation, output: &Path) -> Result<ModelSpec, Error> {
    let wanted = &translation.spec;
    let passed_over = |key: &str| PASSED_OVER.iter().any(|(arch, name)| key == format!("{arch}.{name}"));
    book.metadata.retain(|(key, _)| !passed_over(key));
    let read_back = |book: &mut Book<'_>| read_back(book, &wanted.arch, output);
    let mut made = read_back(book)?;
    if let Some(word) = own_words::exact_gelu(wanted, &made) {
        book.metadata.push(word);
        made = read_back(book)?;
    }
    let words = own_words::words(wanted, &made);
    if translate::difference(wanted, &made).is_some() && !words.is_empty() {
        book.set(ARCHITECTURE, own_words::ARCHITECTURE);
        book.set(own_words::OF, translation.arch);
        book.metadata.extend(words);
        made = read_back(book)?;
    }
    match translate::difference(wanted, &made) {
        None => Ok(made),
        Some(Difference { first: what, .. }) => {
            let arch = &wanted.arch;
            Err(Error::Mismatch(format!(
                "{arch} has something that GGUF has no word for, so it is not converted: {what}"
            )))
        }
    }
}

/// Reads the metadata back, and drops what the architecture has no word for. The file that is read has all sizes and no weights: the
/// system keeps no place for what was never written.
fn read_back(book: &mut Book<'_>, arch: &str, output: &Path) -> Result<ModelSpec, Error> {
    let io = |source| Error::Io { path: output.to_owned(), source };
    let (trial, _) = Temporary::file_in(&workplace(output)).map_err(io)?;
    loop {
        book.write_sizes(trial.path()).map_err(|error| of_output(error, output))?;
        let checkpoint = open(trial.path(), &OpenOptions::default())?;
        match torchless_model::spec(&checkpoint) {
            Err(torchless_model::ModelError::UnknownKey { key, .. })
                if book.metadata.iter().any(|(there, _)| *there == key) =>
            {
                book.metadata.retain(|(there, _)| *there != key);
            }
            made => {
                let unsaid = |e| {
                    Error::Mismatch(format!("{arch} is not converted, since GGUF cannot say what it is: {e}"))
                };
                return made.map_err(unsaid);
            }
        }
    }
}

/// Puts rows of queries and keys into the order that GGUF wants.
fn reorder(book: &mut Book<'_>, translation: &Translation, made: &ModelSpec) -> Result<(), Error> {
    for place in &translation.places {
        let Change::Rotated { head_dim } = place.change else { continue };
        let Some(layer) = super::mixes::layer_of(&place.name) else { continue };
        match translate::is_reordered(&translation.spec, made, layer) {
            Some(false) => {}
            Some(true) => {
                let sheets = book.sheets.iter_mut().filter(|sheet| sheet.name == place.name);
                sheets.for_each(|sheet| sheet.change = Rows::PairsTogether { head_dim });
            }
            None => {
                let what =
                    format!("{}: rotated pairs lie otherwise than reordering rows can make them", place.name);
                return Err(Error::Mismatch(what));
            }
        }
    }
    Ok(())
}
