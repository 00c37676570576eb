//! One file per verb.

mod bench;
mod convert;
mod doctor;
mod encode;
mod guard;
mod imatrix;
mod inspect;
mod libllama;
mod logits;
mod perplexity;
mod quantize;
mod render;
mod run;
mod scan;
mod tokens;

use crate::args::{Cli, Verb};
use crate::{interrupt, open};

/// Does what was asked for.
///
/// # Errors
/// It could not be done; the error knows its exit code.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    if cli.verb.as_ref().is_some_and(makes_files) {
        interrupt::clear_up_at_the_end()?;
    }
    open::kernels_of_the_environment()?;
    match cli.verb {
        None => run::run(&cli.run),
        Some(Verb::Run(args)) => run::run(&args),
        Some(Verb::Inspect(args)) => inspect::run(&args),
        Some(Verb::Tokenize(args)) => tokens::tokenize(&args),
        Some(Verb::Detokenize(args)) => tokens::detokenize(&args),
        Some(Verb::Render(args)) => render::run(&args),
        Some(Verb::Logits(args)) => logits::run(&args),
        Some(Verb::Convert(args)) => convert::run(&args),
        Some(Verb::Quantize(args)) => quantize::run(&args),
        Some(Verb::Imatrix(args)) => imatrix::run(&args),
        Some(Verb::Perplexity(args)) => perplexity::run(&args),
        Some(Verb::Bench(args)) => bench::run(&args),
        Some(Verb::Embed(args)) => encode::embed(&args),
        Some(Verb::Classify(args)) => encode::classify(&args),
        Some(Verb::Rerank(args)) => encode::rerank(&args),
        Some(Verb::Scan(args)) => scan::run(&args),
        Some(Verb::Guard(args)) => guard::run(&args),
        Some(Verb::Doctor(args)) => doctor::run(&args),
        Some(Verb::Libllama(args)) => libllama::run(&args),
    }
}

/// Whether a verb makes files that may be large.
fn makes_files(verb: &Verb) -> bool {
    use Verb::{Bench, Classify, Convert, Embed, Imatrix, Logits, Quantize, Rerank};
    matches!(
        verb,
        Bench(_) | Classify(_) | Convert(_) | Embed(_) | Imatrix(_) | Logits(_) | Quantize(_) | Rerank(_)
    )
}
