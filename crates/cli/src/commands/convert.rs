//! `torchless convert`: safetensors to the native format.

use crate::args::{ConvertArgs, NativeQuant};
use crate::exit::Usage;
use crate::{open, output};
use anyhow::{Context, Result};
use std::io::{BufWriter, Write};
use torchless::Error;
use torchless::formats::Format;
use torchless::formats::native::{self, Quant};

/// Runs the verb. What is there already is replaced only once the new file is whole.
pub fn run(args: &ConvertArgs) -> Result<()> {
    let source = open::source(Some(&args.input));
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
    let mut part = args.output.clone().into_os_string();
    part.push(".part");
    let file = std::fs::File::create(&part).with_context(|| args.output.display().to_string())?;
    let mut out = BufWriter::new(file);
    let written = native::write(&checkpoint, quant, &mut out).map_err(Error::from);
    let done = written.map_err(anyhow::Error::from).and_then(|()| {
        out.flush()?;
        std::fs::rename(&part, &args.output)?;
        Ok(std::fs::metadata(&args.output)?.len())
    });
    if done.is_err() {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&part);
    }
    let bytes = done.with_context(|| args.output.display().to_string())?;
    eprintln!("{} tensors, {} in {}", checkpoint.tensors.len(), output::size(bytes), args.output.display());
    Ok(())
}
