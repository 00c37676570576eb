//! `torchless perplexity`: how well a model foretells a text.

use crate::args::PerplexityArgs;
use crate::{input, open, output, progress};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use torchless::{
    EncodeOptions, Error, ModelOptions, Perplexity, Scorer, Stretches, TokenId, Tokenizer, perplexity,
};

/// Runs the verb.
pub fn run(args: &PerplexityArgs) -> Result<()> {
    let source = open::source_as(Some(&args.model), &args.open)?;
    open::refuse_longer(args.context, &args.open)?;
    let text = input::file(&args.file)?;
    let tokenizer = torchless::tokenizer(&source.checkpoint()?)?.ok_or(Error::NoTokenizer)?;
    let ids = tokenizer.encode(&text, EncodeOptions::TEXT);
    let mut bar = progress::LoadProgress::new(true);
    let options = ModelOptions { max_seq_len: Some(args.context), ..open::options(&args.open)? };
    let mut scorer = Scorer::open(&source, &options, &mut |done, total| bar.update(done, total))?;
    drop(bar);
    torchless::fits(&tokenizer, scorer.spec())?;
    open::warn_beyond(args.context, scorer.spec().context);
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{pos}/{len} {bar:30} {msg}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let stretches = Stretches { context: args.context, bos: begin(&tokenizer), most: args.chunks };
    let done = perplexity(&mut scorer, &ids, stretches, &mut |done, all, so_far| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
        bar.set_message(format!("{:.4}", so_far.value()));
    });
    bar.finish_and_clear();
    print(args, &done?)
}

/// The token that the model puts before every text of its own accord.
pub(super) fn begin(tokenizer: &Tokenizer) -> Option<TokenId> {
    let first = tokenizer.encode("", EncodeOptions::TEXT).first().copied();
    first.filter(|first| Some(*first) == tokenizer.bos())
}

fn print(args: &PerplexityArgs, done: &Perplexity) -> Result<()> {
    let error = done.error();
    if args.json {
        let value = json!({
            "perplexity": done.value(), "standard_error": error, "tokens": done.tokens(), "context": args.context,
        });
        return Ok(output::json(&value)?);
    }
    let (value, tokens) = (done.value(), done.tokens());
    let error = error.map_or(String::new(), |error| format!(" +/- {error:.5}"));
    Ok(output::write(&format!("perplexity {value:.4}{error} ({tokens} tokens scored)\n"))?)
}
