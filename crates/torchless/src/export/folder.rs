//! GGUF as a folder with `config.json` and safetensors, as transformers has them.
//!
//! The `config.json` is written from the specification and read back before any weight is: a folder whose specification is not that of
//! the original is not made.

use super::convert::Converted;
use super::gguf::{Rows, Sheet};
use super::mixes::is_quantised;
use super::replace::write_whole;
use super::temporary::Temporary;
use crate::Error;
use crate::open::{Source, check, check_model};
use crate::vocabulary;
use serde_json::{Map, Value, json};
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use tabagent_hardware::usable_cores;
use torchless_device::{Gating, Score};
use torchless_formats::{Checkpoint, Metadata, OpenOptions, TokenizerSource, open};
use torchless_model::translate::{self, BackTranslation, Change, Difference};
use torchless_model::{
    AttnSpec, Ffn, LatentSpec, Mixer, MlpForm, ModelSpec, RopeScaling, RopeSpec, activation_name,
};
use torchless_quant::TensorType;
use torchless_tokenizer::{JsonWords, Tokenizer};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
/// Stretches of LLaMA 3, of which GGUF has the divisors alone: factor, and the same for all releases.
const LLAMA3_FACTORS: &[f32] = &[8.0, 32.0, 16.0, 4.0];
const LLAMA3: (f32, f32, usize) = (1.0, 4.0, 8192);

/// Writes a GGUF model as a new folder, with matrices of the type `ty`, a floating-point one.
///
/// # Errors
/// The folder is there and not empty, the model has no place in `config.json`, or something cannot be written.
pub fn convert_to_folder(source: &Source, output: &Path, ty: TensorType) -> Result<Converted, Error> {
    let io = |source| Error::Io { path: output.to_owned(), source };
    let checkpoint = source.checkpoint()?;
    check_model(source, &checkpoint)?;
    // The folder is removed last, and only if nothing of somebody else's has come into it.
    let new = Temporary::folder_at(output).map_err(io)?;
    let making = Temporary::folder_in(output).map_err(io)?;
    // Whoever else has begun here is seen too.
    let mut names = std::fs::read_dir(output).map_err(io)?;
    if names.any(|entry| entry.map_or(true, |entry| entry.path() != making.path())) {
        let what = format!("{} is not empty: give the name of a new folder", output.display());
        return Err(Error::Option(what));
    }
    let done = into_folder(source, &checkpoint, making.path(), ty);
    let done = done.map_err(|error| moved(error, making.path(), output))?;
    // Without config.json a folder is no model.
    making.empty_into(output, CONFIG).map_err(io)?;
    if let Some(new) = new {
        new.keep();
    }
    Ok(done)
}

/// An error of a file in `making`, with the name that it would have had in `output`.
fn moved(error: Error, making: &Path, output: &Path) -> Error {
    let name = |path: PathBuf| match path.strip_prefix(making) {
        Ok(inside) if inside.as_os_str().is_empty() => output.to_owned(),
        Ok(inside) => output.join(inside),
        Err(_) => path,
    };
    match error {
        Error::Io { path, source } => Error::Io { path: name(path), source },
        Error::Model { path, source } => Error::Model { path: name(path), source },
        other => other,
    }
}

fn into_folder(
    source: &Source,
    checkpoint: &Checkpoint,
    output: &Path,
    ty: TensorType,
) -> Result<Converted, Error> {
    let fault = |e| Error::Model { path: source.name().to_owned(), source: e };
    let mut nearest: Option<Failure> = None;
    for back in translate::translate_back(checkpoint).map_err(fault)? {
        // The key for biases speaks of queries, keys and values in some families, and of all four matrices in others.
        for bias in [Bias::OfInputs, Bias::OfAll] {
            match settle(&back, bias, output) {
                Ok(made) => return write(&back, &made, checkpoint, (output, ty)),
                Err(failure) if nearest.as_ref().is_none_or(|other| failure.apart < other.apart) => {
                    nearest = Some(failure);
                }
                Err(_) => {}
            }
        }
    }
    let nowhere = || Error::Mismatch("it has no place in config.json".to_owned());
    Err(nearest.map_or_else(nowhere, |failure| failure.error))
}

/// Why a way to write a model is none. Of several, the one that comes nearest tells what is missing.
struct Failure {
    error: Error,
    /// Lines of the specification that would be others; more than any number where nothing could be read back.
    apart: usize,
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into(), apart: usize::MAX }
    }
}

/// What `attention_bias` speaks of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bias {
    OfInputs,
    OfAll,
}

/// The attention of the first layer that has one.
fn some_attention(spec: &ModelSpec) -> Option<&AttnSpec> {
    spec.layers.iter().find_map(|layer| match &layer.mixer {
        Mixer::Attention(attn) => Some(attn),
        Mixer::Latent(_) | Mixer::Delta(_) => None,
    })
}

/// Writes a `config.json` beside tensors without values, until it reads back as the specification.
fn settle(back: &BackTranslation, bias: Bias, output: &Path) -> Result<ModelSpec, Failure> {
    let mut config = config(&back.spec, back.model_type);
    if let (Bias::OfAll, Some(attn)) = (bias, some_attention(&back.spec)) {
        config.insert("attention_bias".to_owned(), attn.out_bias.into());
    }
    let sheets: Vec<_> =
        back.places.iter().map(|place| (place.name.as_str(), place.shape.as_slice())).collect();
    let (header, bytes) = header(&sheets, |_| TensorType::F32)?;
    let weights = output.join(WEIGHTS);
    let io = |source| Error::Io { path: weights.clone(), source };
    std::fs::write(&weights, &header).map_err(io)?;
    let file = std::fs::File::options().write(true).open(&weights).map_err(io)?;
    // The system keeps no place for what was never written.
    file.set_len(header.len() as u64 + bytes).map_err(io)?;
    let made = loop {
        write_whole(&output.join(CONFIG), |out| put(out, &pretty(&config)))?;
        let checkpoint = open(output, &OpenOptions::default())?;
        match torchless_model::spec(&checkpoint) {
            Err(torchless_model::ModelError::UnknownKey { key, .. }) if drop_key(&mut config, &key) => {}
            Ok(_) if drop_idle(&mut config, &checkpoint) => {}
            made => break made.map_err(|e| unsaid(back, &e))?,
        }
    };
    match translate::difference(&back.spec, &made) {
        Some(Difference { first, lines }) => Err(Failure { error: unsaid(back, &first), apart: lines }),
        None => {
            check(&Source::Path(output.to_owned()), &open(output, &OpenOptions::default())?, &made)?;
            Ok(made)
        }
    }
}

/// The error for a model that a `config.json` cannot describe.
fn unsaid(back: &BackTranslation, why: &dyn Display) -> Error {
    let (arch, ty) = (&back.spec.arch, back.model_type);
    Error::Mismatch(format!(
        "{arch} is not converted, since config.json of '{ty}' cannot say what it is: {why}"
    ))
}

/// Removes keys that the architecture does not read and that say nothing; `false` where there are none.
fn drop_idle(config: &mut Map<String, Value>, checkpoint: &Checkpoint) -> bool {
    let idle = torchless_model::idle_keys(checkpoint).unwrap_or_default();
    // All of them, not the first alone.
    idle.iter().filter(|key| drop_key(config, key)).count() > 0
}

/// Removes a key, or one of an object; `false` where there is none.
fn drop_key(config: &mut Map<String, Value>, key: &str) -> bool {
    match key.split_once('.') {
        Some((outer, inner)) => config
            .get_mut(outer)
            .and_then(Value::as_object_mut)
            .is_some_and(|map| map.remove(inner).is_some()),
        None => config.remove(key).is_some(),
    }
}

fn write(
    back: &BackTranslation,
    made: &ModelSpec,
    checkpoint: &Checkpoint,
    (output, ty): (&Path, TensorType),
) -> Result<Converted, Error> {
    let mut sheets = Vec::with_capacity(back.places.len());
    for place in &back.places {
        let tensor = checkpoint.tensors.get(&place.from)?;
        let change = place.change(&back.spec, made);
        let change = match change.map_err(|e| Error::Model { path: output.to_owned(), source: e })? {
            Change::LessOne => Rows::Plus(-1.0),
            Change::Order(order) => Rows::Order(order),
            _ => match (place.matrix, &place.shape[..]) {
                (Some(i), [_]) => Rows::One(i),
                (Some(i), [rows, ..]) => Rows::Order((i * rows..(i + 1) * rows).collect()),
                _ => Rows::AsTheyAre,
            },
        };
        let (name, shape) = (place.name.clone(), place.shape.clone());
        let ty = if is_quantised(&place.from, &shape) { ty } else { TensorType::F32 };
        sheets.push(Sheet { name, shape, parts: vec![tensor], change, ty });
    }
    let named: Vec<_> = sheets.iter().map(|sheet| (sheet.name.as_str(), sheet.shape.as_slice())).collect();
    let (header, _) = header(&named, |i| sheets[i].ty)?;
    let bytes = write_whole(&output.join(WEIGHTS), |out| {
        put(out, &header)?;
        let mut sink = |bytes: &[u8]| put(out, bytes);
        sheets.iter().try_for_each(|sheet| sheet.encode(&[], usable_cores(), &mut sink))
    })?;
    let without_tokenizer = !tokenizer(checkpoint, output)?;
    let (tensors, own_words) = (sheets.len(), Vec::new());
    Ok(Converted { tensors, bytes, without_tokenizer, tokens_differ: false, own_words })
}

fn put(out: &mut dyn Write, bytes: &[u8]) -> Result<(), Error> {
    out.write_all(bytes).map_err(|source| Error::Io { path: WEIGHTS.into(), source })
}

fn pretty(config: &Map<String, Value>) -> Vec<u8> {
    let mut text = format!("{:#}", Value::Object(config.clone()));
    text.push('\n');
    text.into_bytes()
}

/// The header of a safetensors file, and how many bytes follow it.
fn header(sheets: &[(&str, &[usize])], ty: impl Fn(usize) -> TensorType) -> Result<(Vec<u8>, u64), Error> {
    let (mut map, mut at) = (Map::new(), 0u64);
    map.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    for (i, (name, shape)) in sheets.iter().enumerate() {
        let (dtype, width) = match ty(i) {
            TensorType::F16 => ("F16", 2),
            TensorType::BF16 => ("BF16", 2),
            TensorType::F32 => ("F32", 4),
            other => return Err(Error::Mismatch(format!("no weights are written as {other} here"))),
        };
        let end = at + shape.iter().product::<usize>() as u64 * width;
        map.insert((*name).to_owned(), json!({"dtype": dtype, "shape": shape, "data_offsets": [at, end]}));
        at = end;
    }
    let mut text = Value::Object(map).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.extend(text);
    Ok((header, at))
}

/// Writes the tokenizer beside the weights; whether nothing stays behind.
fn tokenizer(checkpoint: &Checkpoint, output: &Path) -> Result<bool, Error> {
    let pretty = |value: &Value| format!("{value:#}\n").into_bytes();
    let mut files = match (&checkpoint.tokenizer, &checkpoint.metadata) {
        (TokenizerSource::None, _) => return Ok(true),
        (TokenizerSource::HuggingFace { tokenizer_json, tokenizer_config, chat_template }, _) => vec![
            ("tokenizer.json", Some(tokenizer_json.to_vec())),
            ("tokenizer_config.json", tokenizer_config.as_ref().map(pretty)),
            ("chat_template.jinja", chat_template.as_ref().map(|text| text.clone().into_bytes())),
        ],
        (TokenizerSource::Gguf, Metadata::Gguf(meta)) => {
            // What cannot be read as a tokenizer is no reason to leave the weights behind as well.
            let words = vocabulary::gguf_vocab(meta)?.in_json();
            let Ok(Some(JsonWords { tokenizer, mut config })) = words else { return Ok(false) };
            if let Some(template) = vocabulary::chat_template(checkpoint)? {
                config["chat_template"] = template.into();
            }
            vec![
                ("tokenizer.json", Some(tokenizer.to_string().into_bytes())),
                ("tokenizer_config.json", Some(pretty(&config))),
            ]
        }
        _ => return Ok(false),
    };
    let ends = vocabulary::tokenizer(checkpoint)?;
    let ends: Vec<u32> = ends.iter().flat_map(Tokenizer::end_ids).map(|id| id.0).collect();
    let generation = json!({"eos_token_id": ends});
    files.push(("generation_config.json", (!ends.is_empty()).then(|| pretty(&generation))));
    for (name, bytes) in files.into_iter().filter_map(|(name, bytes)| Some((name, bytes?))) {
        write_whole(&output.join(name), |out| put(out, &bytes))?;
    }
    Ok(true)
}

/// Families in which experts have the width of dense units, and config.json no other key for it.
const ONE_WIDTH: &[&str] = &[
    "mixtral",
    "olmoe",
    "phimoe",
    "granitemoe",
    "granitemoeshared",
    "granitemoehybrid",
    "gpt_oss",
    "minimax",
];

/// Everything that a specification says, in the words of many families; those that one does not have are dropped later.
fn config(spec: &ModelSpec, model_type: &str) -> Map<String, Value> {
    let mut config = Map::new();
    let mut put = |key: &str, value: Value| config.insert(key.to_owned(), value);
    put("model_type", model_type.into());
    put("vocab_size", spec.vocab.into());
    put("hidden_size", spec.dim.into());
    put("num_hidden_layers", spec.layers.len().into());
    put("max_position_embeddings", spec.context.into());
    put("tie_word_embeddings", spec.tied_head.into());
    put("lm_head_bias", spec.head_bias.into());
    // A usual one may lie beyond the table.
    put("pad_token_id", Value::Null);
    // Layers that guess at tokens further on stay behind.
    put("num_nextn_predict_layers", 0.into());
    put("embedding_multiplier", number(spec.embed_scale));
    put("logit_scale", number(spec.logit_scale));
    put("logits_scaling", number(1.0 / spec.logit_scale));
    if let Some(cap) = spec.logit_softcap {
        config.insert("final_logit_softcapping".to_owned(), number(cap));
    }
    let Some(first) = spec.layers.first() else { return config };
    for key in ["rms_norm_eps", "layer_norm_eps", "norm_epsilon", "layer_norm_epsilon"] {
        config.insert(key.to_owned(), number(first.norm.eps));
    }
    config.insert("use_parallel_residual".to_owned(), first.wiring.is_parallel().into());
    config.insert("residual_multiplier".to_owned(), number(first.residual_scale));
    mixers(&mut config, spec);
    units(&mut config, spec);
    if ONE_WIDTH.contains(&model_type) {
        config.remove("moe_intermediate_size");
    }
    config
}

/// In as few digits as mean the same number.
fn number(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

fn mixers(config: &mut Map<String, Value>, spec: &ModelSpec) {
    let windows = spec.layers.iter().filter_map(|layer| match &layer.mixer {
        Mixer::Attention(attn) => Some(attn.window),
        Mixer::Latent(_) | Mixer::Delta(_) => None,
    });
    let windows: Vec<_> = windows.collect();
    // No window is said too, and of which kind layers are: what is left out may have another default.
    let window = windows.iter().copied().flatten().next();
    config.insert("sliding_window".to_owned(), window.map_or(Value::Null, Value::from));
    if window.is_some() {
        config.insert("use_sliding_window".to_owned(), true.into());
    }
    if windows.len() == spec.layers.len() {
        let name =
            |window: &Option<usize>| if window.is_some() { "sliding_attention" } else { "full_attention" };
        config.insert("layer_types".to_owned(), windows.iter().map(name).collect());
    }
    let slides = |mixer: &&Mixer| matches!(mixer, Mixer::Attention(attn) if attn.window.is_some());
    let mixers =
        || spec.layers.iter().map(|layer| &layer.mixer).filter(|mixer| !matches!(mixer, Mixer::Delta(_)));
    if let Some(Mixer::Attention(AttnSpec { rope: Some(rope), .. })) = mixers().find(slides) {
        config.insert("rope_local_base_freq".to_owned(), number(rope.theta));
    }
    let turns = |mixer: &&Mixer| !matches!(mixer, Mixer::Attention(attn) if attn.rope.is_none());
    match mixers()
        .find(|mixer| !slides(mixer) && turns(mixer))
        .or_else(|| mixers().find(turns))
        .or_else(|| mixers().next())
    {
        Some(Mixer::Attention(attn)) => attention(config, attn, spec),
        Some(Mixer::Latent(latent)) => latents(config, latent, spec),
        Some(Mixer::Delta(_)) | None => {}
    }
}

fn attention(config: &mut Map<String, Value>, attn: &AttnSpec, spec: &ModelSpec) {
    let mut put = |key: &str, value: Value| config.insert(key.to_owned(), value);
    put("num_attention_heads", attn.heads.into());
    put("num_key_value_heads", attn.kv_heads.into());
    put("head_dim", attn.head_dim.into());
    put("attention_bias", attn.qkv_bias.into());
    put("attention_out_bias", attn.out_bias.into());
    put("use_bias", attn.out_bias.into());
    put("use_qkv_bias", attn.qkv_bias.into());
    put("attention_multiplier", number(attn.scale));
    put("query_pre_attn_scalar", ((1.0 / (attn.scale * attn.scale)).round() as i64).into());
    put("attn_logit_softcapping", attn.softcap.map_or(Value::Null, number));
    put("use_qk_norm", attn.qk_norm.is_some().into());
    put("qk_layernorm", attn.qk_norm.is_some().into());
    if let Some(clip) = attn.clip {
        put("clip_qkv", number(clip));
    }
    if let Some(rope) = &attn.rope {
        put("partial_rotary_factor", number(rope.dims as f32 / attn.head_dim as f32));
        rotary(config, rope, spec.context);
    }
}

fn latents(config: &mut Map<String, Value>, latent: &LatentSpec, spec: &ModelSpec) {
    let mut put = |key: &str, value: Value| config.insert(key.to_owned(), value);
    put("num_attention_heads", latent.heads.into());
    put("num_key_value_heads", latent.heads.into());
    put("qk_nope_head_dim", latent.plain.into());
    put("qk_rope_head_dim", latent.turned.into());
    put("v_head_dim", latent.value.into());
    put("kv_lora_rank", latent.latent.into());
    put("q_lora_rank", latent.query_rank.map_or(Value::Null, Value::from));
    put("attention_bias", latent.bias.into());
    rotary(config, &latent.rope, spec.context);
    // Scores are stretched by the square of 1 + 0.1 m ln factor.
    let stretch = (latent.scale * ((latent.plain + latent.turned) as f32).sqrt()).sqrt();
    let scaling = config.get_mut("rope_scaling").and_then(Value::as_object_mut);
    if let (Some(scaling), RopeScaling::Yarn { factor, .. }) = (scaling, &latent.rope.scaling)
        && stretch > 1.0
    {
        scaling.insert("mscale_all_dim".to_owned(), number((stretch - 1.0) / (0.1 * factor.ln())));
    }
}

fn rotary(config: &mut Map<String, Value>, rope: &RopeSpec, context: usize) {
    config.insert("rope_theta".to_owned(), number(rope.theta));
    let scaling = match &rope.scaling {
        RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": number(*factor)}),
        RopeScaling::Yarn { factor, original, beta_fast, beta_slow, magnitude, truncate } => json!({
            "rope_type": "yarn", "factor": number(*factor), "original_max_position_embeddings": original,
            "beta_fast": number(*beta_fast), "beta_slow": number(*beta_slow),
            "attention_factor": number(*magnitude), "truncate": truncate,
        }),
        RopeScaling::LongRope { short, long, original, magnitudes } => json!({
            "rope_type": "longrope", "short_factor": short, "long_factor": long,
            "original_max_position_embeddings": original, "attention_factor": number(magnitudes.0),
            "factor": context as f64 / *original as f64,
            "short_mscale": number(magnitudes.0), "long_mscale": number(magnitudes.1),
        }),
        _ => match llama3(rope) {
            Some(scaling) => scaling,
            None => return,
        },
    };
    config.insert("rope_scaling".to_owned(), scaling);
}

/// The rule whose divisors the file has.
fn llama3(rope: &RopeSpec) -> Option<Value> {
    let divisors = rope.factors.as_ref()?;
    let (low, high, original) = LLAMA3;
    let by_rule = |factor: &&f32| {
        let scaling = RopeScaling::Llama3 { factor: **factor, low, high, original };
        let rule = translate::rope_divisors(&RopeSpec { scaling, factors: None, ..rope.clone() });
        rule.iter().zip(divisors).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs())
    };
    let factor = LLAMA3_FACTORS.iter().find(by_rule)?;
    Some(json!({
        "rope_type": "llama3", "factor": number(*factor), "low_freq_factor": low, "high_freq_factor": high,
        "original_max_position_embeddings": original,
    }))
}

fn units(config: &mut Map<String, Value>, spec: &ModelSpec) {
    let ffns = || spec.layers.iter().map(|layer| &layer.ffn);
    let moe = ffns().find_map(|ffn| if let Ffn::Experts(moe) = ffn { Some(moe) } else { None });
    let dense = ffns().find_map(|ffn| if let Ffn::Dense(mlp) = ffn { Some(mlp) } else { None });
    let mut put = |key: &str, value: Value| config.insert(key.to_owned(), value);
    let hidden = dense.map(|mlp| mlp.hidden).or(moe.map(|moe| moe.hidden)).unwrap_or(0);
    put("intermediate_size", hidden.into());
    if let Some(mlp) = dense {
        let (MlpForm::Glu(act) | MlpForm::Plain(act)) = mlp.form;
        put("mlp_bias", mlp.bias.into());
        for key in ["hidden_act", "hidden_activation"] {
            put(key, activation_name(act).into());
        }
    }
    let Some(moe) = moe else { return };
    if let Gating::Plain(act) = moe.gating {
        put("hidden_act", activation_name(act).into());
    }
    for key in ["num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"] {
        put(key, moe.routing.experts.into());
    }
    for key in ["num_experts_per_tok", "moe_k"] {
        put(key, moe.routing.chosen.into());
    }
    put("moe_intermediate_size", moe.hidden.into());
    put("norm_topk_prob", moe.routing.normalise.is_some().into());
    put("routed_scaling_factor", number(moe.routing.scale));
    put("scoring_func", if moe.routing.score == Score::Sigmoid { "sigmoid" } else { "softmax" }.into());
    let is_dense = |ffn: &&Ffn| matches!(ffn, Ffn::Dense(_));
    let first = ffns().take_while(is_dense).count();
    let all_dense: Vec<usize> =
        ffns().enumerate().filter(|(_, ffn)| is_dense(ffn)).map(|(layer, _)| layer).collect();
    put("mlp_only_layers", all_dense.into());
    put("decoder_sparse_step", 1.into());
    put("first_k_dense_replace", first.into());
    put("moe_layer_start_index", first.into());
    if let Some(shared) = &moe.shared {
        put("shared_expert_intermediate_size", shared.mlp.hidden.into());
        for key in ["n_shared_experts", "moe_num_shared_experts"] {
            put(key, (shared.mlp.hidden / moe.hidden.max(1)).into());
        }
    }
    let groups = moe.routing.groups.map_or((1, 1), |groups| (groups.groups, groups.chosen));
    put("n_group", groups.0.into());
    put("topk_group", groups.1.into());
    let method = match (moe.routing.score, moe.routing.groups.is_some()) {
        (Score::Sigmoid, _) => "noaux_tc",
        (_, true) => "group_limited_greedy",
        (_, false) => "greedy",
    };
    put("topk_method", method.into());
}
