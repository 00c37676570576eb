//! Safetensors as one native `.bin` file.
//!
//! As with the other formats, the header is read back before any weight is written: a file whose specification is not that of the
//! original is not made.

use super::convert::{Converted, refuse_encoder};
use super::replace::write_whole;
use crate::Error;
use crate::open::{Source, check, spec};
use crate::vocabulary::{fits, tokenizer};
use std::path::Path;
use torchless_formats::native::{NativeFile, Quant};
use torchless_formats::{Format, TokenizerSource};
use torchless_model::translate::{self, Difference};
use torchless_model::{Mixer, ModelSpec};

/// Writes `source`, safetensors with their `config.json`, as a native file.
///
/// # Errors
/// It is no model that runs here, the format has no place for something in it, or the file cannot be written.
pub fn convert_to_native(source: &Source, output: &Path, quant: Quant) -> Result<Converted, Error> {
    let checkpoint = source.checkpoint()?;
    if checkpoint.format != Format::Safetensors {
        let (name, format) = (source.name().display(), checkpoint.format.name());
        return Err(Error::Mismatch(format!("{name} is {format}: native files are made from safetensors")));
    }
    refuse_encoder(source, &checkpoint)?;
    let wanted = spec(source, &checkpoint)?;
    if let Some(tokenizer) = tokenizer(&checkpoint)? {
        fits(&tokenizer, &wanted)?;
    }
    let file = NativeFile::new(&checkpoint, quant, window(&wanted))?;
    let read = file.read_back()?;
    let fault = |e| Error::Model { path: source.name().to_owned(), source: e };
    let made = torchless_model::spec(&read).map_err(fault)?;
    if let Some(Difference { first, .. }) = translate::difference(&wanted, &made) {
        let arch = &wanted.arch;
        return Err(Error::Mismatch(format!(
            "{arch} is not converted, since the header of a native file cannot say what it is: {first}"
        )));
    }
    check(source, &read, &made)?;
    let bytes = write_whole(output, |out| Ok(file.write(out)?))?;
    let left = |tokenizer: &TokenizerSource| matches!(tokenizer, TokenizerSource::None);
    Ok(Converted {
        tensors: checkpoint.tensors.len(),
        bytes,
        without_tokenizer: left(&read.tokenizer) && !left(&checkpoint.tokenizer),
        tokens_differ: false,
        own_words: Vec::new(),
    })
}

/// The sliding window of the layers that have one.
fn window(spec: &ModelSpec) -> Option<usize> {
    spec.layers.iter().find_map(|layer| match &layer.mixer {
        Mixer::Attention(attn) => attn.window,
        Mixer::Latent(_) | Mixer::Delta(_) => None,
    })
}
