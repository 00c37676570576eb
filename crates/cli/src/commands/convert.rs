//! `torchless convert`: to GGUF, or safetensors to the native format.

use crate::args::{ConvertArgs, NativeQuant};
use crate::exit::Usage;
use crate::{open, output};
use anyhow::Result;
use torchless::formats::Format;
use torchless::formats::native::{self, Quant};
use torchless::{Error, FileType, Source, convert_to_gguf, lossless};

/// Runs the verb. What is there already is replaced only once the new file is whole.
pub fn run(args: &ConvertArgs) -> Result<()> {
    let source = open::source(Some(&args.input));
    if args.output.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf")) {
        return to_gguf(args, &source);
    }
    if args.ty.is_some() {
        return Err(Usage("--type is for GGUF: give the output a name that ends in .gguf".to_owned()).into());
    }
    let checkpoint = source.checkpoint()?;
    if checkpoint.format != Format::Safetensors {
        let name = checkpoint.format.name();
        let what = format!("{} is {name}: convert takes a safetensors file or folder", args.input.display());
        return Err(Usage(what).into());
    }
    torchless::spec(&source, &checkpoint)?;
    let quant = match args.quant {
        NativeQuant::F32 => Quant::F32,
        NativeQuant::Int8 => Quant::Int8,
    };
    let bytes = torchless::write_whole(&args.output, |out| {
        native::write(&checkpoint, quant, out).map_err(Error::from)
    })?;
    eprintln!("{} tensors, {} in {}", checkpoint.tensors.len(), output::size(bytes), args.output.display());
    Ok(())
}

fn to_gguf(args: &ConvertArgs, source: &Source) -> Result<()> {
    let file = match &args.ty {
        None => lossless(source)?,
        Some(name) => FileType::from_name(name)
            .filter(|file| matches!(file.name, "F32" | "F16" | "BF16" | "Q8_0"))
            .ok_or_else(|| {
                Usage(format!(
                    "'{name}' is no type to convert to: F32, F16, BF16 and Q8_0 are; others are for quantize"
                ))
            })?,
    };
    let done = convert_to_gguf(source, &args.output, file, &mut |_, _| {})?;
    eprintln!("{} tensors, {} in {}", done.tensors, output::size(done.bytes), args.output.display());
    if !done.own_words.is_empty() {
        let words = done.own_words.join(", ");
        eprintln!(
            "note: only torchless reads this file, since GGUF has no word for what these keys say: {words}"
        );
    }
    if done.without_tokenizer {
        eprintln!("note: the tokenizer stays behind: the file takes token ids, not text");
    }
    Ok(())
}
