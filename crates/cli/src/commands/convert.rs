//! `torchless convert`: to GGUF, from GGUF to a folder of safetensors, and to the native format.

use crate::args::{ConvertArgs, NativeQuant};
use crate::exit::Usage;
use crate::{open, output};
use anyhow::Result;
use std::path::Path;
use torchless::formats::Format;
use torchless::formats::native::Quant;
use torchless::{
    Converted, Error, FileType, Source, Temporary, TensorType, convert_to_gguf, convert_to_native, lossless,
    workplace,
};

/// What is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Gguf,
    Folder,
    Native,
}

/// Runs the verb. What is there already is replaced only once the new file is whole.
pub fn run(args: &ConvertArgs) -> Result<()> {
    let source = open::source(Some(&args.input));
    let target = target(args, &source)?;
    let idle = match target {
        Target::Native => {
            args.ty.as_ref().map(|_| "--type is for GGUF and folders of safetensors; for .bin it is --quant")
        }
        Target::Gguf | Target::Folder => {
            args.quant.map(|_| "--quant is for .bin; for GGUF and folders of safetensors it is --type")
        }
    };
    if let Some(what) = idle {
        return Err(Usage(what.to_owned()).into());
    }
    match target {
        Target::Gguf => to_gguf(args, &source),
        Target::Folder => to_folder(args, &source),
        Target::Native => to_native(args, &source),
    }
}

/// By the name of the output, and where that says nothing by the input.
fn target(args: &ConvertArgs, source: &Source) -> Result<Target> {
    let ends_in =
        |ending: &str| args.output.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
    if ends_in("gguf") {
        return Ok(Target::Gguf);
    }
    if ends_in("safetensors") {
        let what = "safetensors come in a folder, with config.json: give the name of a new folder";
        return Err(Usage(what.to_owned()).into());
    }
    let checkpoint = source.checkpoint()?;
    torchless::refuse_same(&args.output, checkpoint.read_from())?;
    match (checkpoint.format, ends_in("bin")) {
        (Format::Gguf, false) => Ok(Target::Folder),
        (Format::Gguf, true) | (Format::Safetensors, _) => Ok(Target::Native),
        (Format::Native, _) => {
            let what = format!("{} is native .bin: convert takes it to GGUF", args.input.display());
            Err(Usage(what).into())
        }
    }
}

fn to_folder(args: &ConvertArgs, source: &Source) -> Result<()> {
    let file = file_type(args, source, &["F32", "F16", "BF16"])?;
    let done = torchless::convert_to_folder(source, &args.output, file.ty)?;
    say_what_is_made(args, &done);
    say_what_stays(&done);
    Ok(())
}

fn to_native(args: &ConvertArgs, source: &Source) -> Result<()> {
    let quant = match args.quant {
        None | Some(NativeQuant::F32) => Quant::F32,
        Some(NativeQuant::Int8) => Quant::Int8,
    };
    let done = match source.checkpoint()?.format {
        Format::Gguf => {
            // The native format has the names of safetensors, which a folder beside the file has first.
            let io = |source| Error::Io { path: args.output.clone(), source };
            let folder = Temporary::folder_in(&workplace(&args.output)).map_err(io)?;
            through(source, &folder.path().join("model"), (&args.output, quant))
                .map_err(|error| of_input(error, &args.input))?
        }
        _ => convert_to_native(source, &args.output, quant)?,
    };
    say_what_is_made(args, &done);
    say_what_stays(&done);
    Ok(())
}

/// From GGUF by way of a folder. What stays behind on either way stays behind.
fn through(source: &Source, folder: &Path, (output, quant): (&Path, Quant)) -> Result<Converted, Error> {
    let made =
        torchless::convert_to_folder(source, folder, TensorType::F32).map_err(|error| match error {
            // The folder is not what was asked for.
            Error::Io { source, .. } => Error::Io { path: output.to_owned(), source },
            other => other,
        })?;
    let done = convert_to_native(&Source::Path(folder.to_owned()), output, quant)?;
    Ok(Converted { without_tokenizer: made.without_tokenizer || done.without_tokenizer, ..done })
}

/// Speaks of the model that was given, not of a folder that is gone by then.
fn of_input(error: Error, input: &Path) -> Error {
    match error {
        Error::Model { source, .. } => Error::Model { path: input.to_owned(), source },
        other => other,
    }
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
    say_what_is_made(args, &done);
    if !done.own_words.is_empty() {
        let words = done.own_words.join(", ");
        output::note(&format!(
            "note: only torchless reads this file, since GGUF has no word for what these keys say: {words}"
        ));
    }
    say_what_stays(&done);
    Ok(())
}

fn say_what_is_made(args: &ConvertArgs, done: &Converted) {
    let (tensors, size) = (done.tensors, output::size(done.bytes));
    output::note(&format!("{tensors} tensors, {size} in {}", args.output.display()));
}

fn say_what_stays(done: &Converted) {
    if done.tokens_differ {
        output::note(
            "note: GGUF has no words for all that the tokenizer does: around control tokens, or where characters are not composed, ids may differ",
        );
    }
    if done.without_tokenizer {
        output::note("note: the tokenizer stays behind: the result takes token ids, not text");
    }
}
