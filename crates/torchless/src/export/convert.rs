//! Model files in another format: safetensors and the native format as GGUF, with weights as they are or in another float type.
//!
//! The metadata is written from the specification of the model, and read back before any weight is written: a file whose
//! specification is not that of the original is not made.

use super::gguf::{Book, Rows, Sheet};
use super::mixes::{FileType, is_quantised};
use super::replace::{refuse_same, write_whole};
use crate::Error;
use crate::open::Source;
use crate::threads::default_threads;
use std::path::Path;
use torchless_formats::gguf::Value;
use torchless_formats::{Checkpoint, Format, OpenOptions, TokenizerSource, open};
use torchless_model::translate::{self, Change, Translation};
use torchless_model::{Mixer, ModelSpec, NormForm, RopeScaling, RopeSpec};
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
#[derive(Clone, Copy, Debug)]
pub struct Converted {
    /// Tensors.
    pub tensors: usize,
    /// Bytes of the file.
    pub bytes: u64,
    /// Whether the tokenizer stayed behind.
    pub without_tokenizer: bool,
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
    refuse_same(output, checkpoint.files.iter().map(|file| file.path.as_path()))?;
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
    let threads = default_threads();
    let bytes = write_whole(output, |out| book.write(out, &none, threads, progress).map(drop))?;
    let without_tokenizer =
        checkpoint.format != Format::Gguf && !matches!(checkpoint.tokenizer, TokenizerSource::None);
    Ok(Converted { tensors: book.sheets.len(), bytes, without_tokenizer })
}

fn fitting(ty: TensorType, cols: usize) -> TensorType {
    if cols.is_multiple_of(ty.info().block_len) { ty } else { TensorType::F16 }
}

/// What a checkpoint becomes in GGUF, all in the types that it has.
pub(crate) fn book<'a>(
    source: &Source,
    checkpoint: &'a Checkpoint,
    output: &Path,
) -> Result<Book<'a>, Error> {
    if checkpoint.format == Format::Gguf {
        return Book::of_gguf(checkpoint);
    }
    let fault = |e| Error::Model { path: source.name().to_owned(), source: e };
    let translation = translate::translate(checkpoint).map_err(fault)?;
    let mut sheets = Vec::with_capacity(translation.places.len());
    for (name, place) in &translation.places {
        let tensor = checkpoint.tensors.get(name)?;
        let change = if place.change == Change::AddOne { Rows::PlusOne } else { Rows::AsTheyAre };
        let ty = if is_quantised(&place.name, &tensor.shape) { tensor.ty } else { TensorType::F32 };
        sheets.push(Sheet { name: place.name.clone(), change, ty, ..Sheet::of(tensor) });
    }
    sheets.extend(stretch(&translation.spec));
    sheets.sort_by_cached_key(|sheet| (super::mixes::layer_of(&sheet.name), sheet.name.clone()));
    let mut book = Book { metadata: metadata(&translation), sheets };
    book.set("tokenizer.ggml.model", "no_vocab");
    let made = settle(&mut book, &translation, output)?;
    reorder(&mut book, &translation, &made)?;
    Ok(book)
}

/// A tensor of rotary divisors, where frequencies are stretched by a rule that GGUF has no key for.
fn stretch(spec: &ModelSpec) -> Option<Sheet<'static>> {
    let rope = rope(spec)?;
    matches!(rope.scaling, RopeScaling::Llama3 { .. }).then(|| {
        let divisors = translate::rope_divisors(rope);
        Sheet {
            name: "rope_freqs.weight".to_owned(),
            shape: vec![divisors.len()],
            parts: Vec::new(),
            change: Rows::Values(divisors),
            ty: TensorType::F32,
        }
    })
}

fn rope(spec: &ModelSpec) -> Option<&RopeSpec> {
    spec.layers.iter().find_map(|layer| match &layer.mixer {
        Mixer::Attention(attn) => attn.rope.as_ref(),
        Mixer::Latent(latent) => Some(&latent.rope),
        Mixer::Delta(_) => None,
    })
}

/// Everything that a specification says, in GGUF's words. Keys that an architecture does not have are dropped later.
fn metadata(translation: &Translation) -> Vec<(String, Value)> {
    let Translation { spec, arch, .. } = translation;
    let mut all: Vec<(String, Value)> = vec![("general.architecture".to_owned(), (*arch).into())];
    let mut put = |key: &str, value: Value| all.push((format!("{arch}.{key}"), value));
    let count = |n: usize| Value::from(n as u32);
    put("block_count", count(spec.layers.len()));
    put("context_length", count(spec.context));
    put("embedding_length", count(spec.dim));
    put("vocab_size", count(spec.vocab));
    let widths: Vec<u32> = spec.layers.iter().map(|layer| layer.ffn.inner_width() as u32).collect();
    match widths.first() {
        Some(first) if widths.iter().all(|width| width == first) => {
            put("feed_forward_length", (*first).into())
        }
        _ => put("feed_forward_length", Value::from(&widths[..])),
    }
    if let Some(layer) = spec.layers.first() {
        let key = match layer.norm.kind {
            NormForm::Rms => "attention.layer_norm_rms_epsilon",
            NormForm::Layer => "attention.layer_norm_epsilon",
        };
        put(key, layer.norm.eps.into());
        match &layer.mixer {
            Mixer::Attention(attn) => {
                put("attention.head_count", count(attn.heads));
                put("attention.head_count_kv", count(attn.kv_heads));
                put("attention.key_length", count(attn.head_dim));
                put("attention.value_length", count(attn.v_dim));
                attn.window.into_iter().for_each(|window| put("attention.sliding_window", count(window)));
                attn.softcap.into_iter().for_each(|cap| put("attn_logit_softcapping", cap.into()));
            }
            // What reading the file back would show to lack its keys is refused there.
            Mixer::Latent(_) | Mixer::Delta(_) => {}
        }
    }
    spec.logit_softcap.into_iter().for_each(|cap| put("final_logit_softcapping", cap.into()));
    if spec.logit_scale != 1.0 {
        put("logit_scale", spec.logit_scale.into());
    }
    if let Some(rope) = rope(spec) {
        all.extend(rotary(arch, rope, spec.context));
    }
    all
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
        _ => {}
    }
    all
}

/// Reads the metadata back, drops what the architecture has no word for, and compares. The file that is read has all sizes and no
/// weights: the system keeps no place for what was never written.
fn settle(book: &mut Book<'_>, translation: &Translation, output: &Path) -> Result<ModelSpec, Error> {
    let mut trial = output.to_owned().into_os_string();
    trial.push(".trial");
    let trial = Path::new(&trial);
    let made = loop {
        let read = book.write_sizes(trial).and_then(|()| {
            let checkpoint = open(trial, &OpenOptions::default())?;
            Ok(torchless_model::spec(&checkpoint))
        });
        match read {
            Ok(Err(torchless_model::ModelError::UnknownKey { key, .. }))
                if book.metadata.iter().any(|(there, _)| *there == key) =>
            {
                book.metadata.retain(|(there, _)| *there != key);
            }
            other => break other,
        }
    };
    // The first error is the one to report.
    let _ = std::fs::remove_file(trial);
    let made = made?.map_err(|e| Error::Model { path: output.to_owned(), source: e })?;
    if translate::same_model(&translation.spec, &made) {
        return Ok(made);
    }
    let what = format!(
        "{} has something that GGUF has no word for here, so it is not converted",
        translation.spec.arch
    );
    Err(Error::Mismatch(what))
}

/// Puts rows of queries and keys into the order that GGUF wants.
fn reorder(book: &mut Book<'_>, translation: &Translation, made: &ModelSpec) -> Result<(), Error> {
    for place in translation.places.values() {
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
