//! `torchless imatrix`: which columns of a model's weights matter.

use super::perplexity::begin;
use crate::args::ImatrixArgs;
use crate::{input, open, output};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use torchless::{Calibration, EncodeOptions, Error, write_importance};

/// Runs the verb.
pub fn run(args: &ImatrixArgs) -> Result<()> {
    let source = open::source_as(Some(&args.model), &args.open)?;
    let others: Vec<_> = open::adapters(&args.open).chain([args.file.clone()]).collect();
    open::refuse_same(&args.output, &source, &others)?;
    open::refuse_longer(args.context, &args.open)?;
    let text = input::file(&args.file)?;
    let checkpoint = source.checkpoint()?;
    let spec = torchless::spec(&source, &checkpoint)?;
    let tokenizer = torchless::tokenizer(&checkpoint)?.ok_or(Error::NoTokenizer)?;
    torchless::fits(&tokenizer, &spec)?;
    open::warn_beyond(args.context, spec.context);
    let mut ids = tokenizer.encode(&text, EncodeOptions::TEXT);
    if let Some(chunks) = args.chunks {
        ids.truncate(chunks.saturating_mul(args.context));
    }
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{pos}/{len} {bar:30} {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let dataset = args.file.display().to_string();
    let from = Calibration {
        ids: &ids,
        dataset: &dataset,
        context: args.context,
        bos: begin(&tokenizer),
        with_output: args.process_output,
    };
    let done =
        write_importance(&source, &args.output, &from, &open::options(&args.open)?, &mut |done, all| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        });
    bar.finish_and_clear();
    let done = done?;
    let mut text =
        format!("{} tensors, {} stretches in {}\n", done.tensors, done.chunks, args.output.display());
    if done.unmet > 0 {
        text += &format!(
            "{} experts' matrices were met by no token: a longer text would tell of them\n",
            done.unmet
        );
    }
    Ok(output::write(&text)?)
}
