//! `torchless convert`: to GGUF, from GGUF to a folder of safetensors, and to the native format.

use crate::args::{ConvertArgs, NativeQuant};
use crate::exit::Usage;
use crate::{open, output};
use anyhow::Result;
use torchless::formats::Format;
use torchless::formats::native::{self, Quant};
use torchless::{
    Converted, Error, FileType, Source, Temporary, TensorType, convert_to_gguf, lossless, workplace,
};

/// Runs the verb. What is there already is replaced only once the new file is whole.
pub fn run(args: &ConvertArgs) -> Result<()> {
    let source = open::source(Some(&args.input));
    let ends_in =
        |ending: &str| args.output.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
    if ends_in("gguf") {
        return to_gguf(args, &source);
    }
    if ends_in("safetensors") {
        let what = "safetensors come in a folder, with config.json: give the name of a new folder";
        return Err(Usage(what.to_owned()).into());
    }
    let checkpoint = source.checkpoint()?;
    torchless::refuse_same(&args.output, checkpoint.read_from())?;
    match (checkpoint.format, ends_in("bin")) {
        (Format::Gguf, false) => to_folder(args, &source),
        (Format::Gguf, true) => through_folder(args, &source),
        (Format::Safetensors, _) => to_native(args, &source),
        (Format::Native, _) => {
            let what = format!("{} is native .bin: convert takes it to GGUF", args.input.display());
            Err(Usage(what).into())
        }
    }
}

fn to_folder(args: &ConvertArgs, source: &Source) -> Result<()> {
    let file = file_type(args, source, &["F32", "F16", "BF16"])?;
    let done = torchless::convert_to_folder(source, &args.output, file.ty)?;
    eprintln!("{} tensors, {} in {}", done.tensors, output::size(done.bytes), args.output.display());
    say_what_stays(&done);
    Ok(())
}

/// The native format has the names of safetensors, which a folder beside the file has first.
fn through_folder(args: &ConvertArgs, source: &Source) -> Result<()> {
    let io = |source| Error::Io { path: args.output.clone(), source };
    let folder = Temporary::folder_in(&workplace(&args.output)).map_err(io)?;
    let through = folder.path().join("model");
    torchless::convert_to_folder(source, &through, TensorType::F32).map_err(|error| match error {
        // The folder is not what was asked for.
        Error::Io { source, .. } => io(source),
        other => other,
    })?;
    to_native(args, &Source::Path(through))
}

fn to_native(args: &ConvertArgs, source: &Source) -> Result<()> {
    if args.ty.is_some() {
        return Err(Usage(
            "--type is for GGUF and folders of safetensors; for .bin it is --quant".to_owned(),
        )
        .into());
    }
    let checkpoint = source.checkpoint()?;
    torchless::spec(source, &checkpoint)?;
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

/// The kind of file that is asked for, or the one that loses nothing.
fn file_type(args: &ConvertArgs, source: &Source, known: &[&str]) -> Result<&'static FileType> {
    let Some(name) = &args.ty else { return Ok(lossless(source)?) };
    let file = FileType::from_name(name).filter(|file| known.contains(&file.name));
    Ok(file.ok_or_else(|| {
        let known = known.join(", ");
        Usage(format!("'{name}' is no type to convert to ({known} are; others are for quantize)"))
    })?)
}

fn to_gguf(args: &ConvertArgs, source: &Source) -> Result<()> {
    let file = file_type(args, source, &["F32", "F16", "BF16", "Q8_0"])?;
    let done = convert_to_gguf(source, &args.output, file, &mut |_, _| {})?;
    eprintln!("{} tensors, {} in {}", done.tensors, output::size(done.bytes), args.output.display());
    if !done.own_words.is_empty() {
        let words = done.own_words.join(", ");
        eprintln!(
            "note: only torchless reads this file, since GGUF has no word for what these keys say: {words}"
        );
    }
    say_what_stays(&done);
    Ok(())
}

fn say_what_stays(done: &Converted) {
    if done.tokens_differ {
        eprintln!(
            "note: GGUF has no words for all that the tokenizer does: around control tokens, or where characters are not composed, ids may differ"
        );
    }
    if done.without_tokenizer {
        eprintln!("note: the tokenizer stays behind: the result takes token ids, not text");
    }
}
