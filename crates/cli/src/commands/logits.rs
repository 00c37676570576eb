//! `torchless logits`: every position's logits as raw floats.

use crate::args::LogitsArgs;
use crate::{input, open, output, progress};
use anyhow::Result;
use torchless::{ModelOptions, Scorer, TokenId};

/// Runs the verb.
pub fn run(args: &LogitsArgs) -> Result<()> {
    let ids: Vec<TokenId> = input::ids(std::slice::from_ref(&args.ids))?.into_iter().map(TokenId).collect();
    let source = open::source_as(Some(&args.model), &args.open)?;
    let others: Vec<_> = open::adapters(&args.open).chain(input::ids_file(&args.ids)).collect();
    open::refuse_same(&args.output, &source, &others)?;
    let mut bar = progress::LoadProgress::new(true);
    let options = open::options(&args.open)?;
    // Room for what is asked for and no more: a context of 128k positions is not needed for ten tokens.
    let options =
        ModelOptions { max_seq_len: Some(args.open.max_seq_len.unwrap_or(ids.len().max(1))), ..options };
    let mut scorer = Scorer::open(&source, &options, &mut |done, total| bar.update(done, total))?;
    drop(bar);
    open::warn_beyond(ids.len(), scorer.spec().context);
    torchless::write_whole(&args.output, |out| {
        scorer.score(&ids, &mut |rows| rows.iter().try_for_each(|x| out.write_all(&x.to_le_bytes())))
    })?;
    output::note(&format!("{} x {} logits in {}", ids.len(), scorer.spec().vocab, args.output.display()));
    Ok(())
}
