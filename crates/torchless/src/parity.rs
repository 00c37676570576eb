//! How far apart the native engine and llama.cpp are on the same tokens.

use crate::llama::EngineKind;
use crate::open::{ModelOptions, RunPrecision, Source, is_all_f32, is_quantised};
use crate::opened::Opened;
use crate::score::score_from;
use crate::{Error, Event, GenerateOptions, Model, Prompt};
use std::path::PathBuf;
use torchless_base::{Runner, TokenId};
use torchless_sampler::SamplerConfig;

/// What is compared.
#[derive(Clone, Debug)]
pub struct ParityOptions {
    /// The text to begin with.
    pub prompt: String,
    /// Tokens that the native engine goes on with, each the likeliest one.
    pub tokens: usize,
    /// The largest difference of two logits that is no fault; by default [`F32_TOLERANCE`], [`HALF_TOLERANCE`] or
    /// [`QUANTISED_TOLERANCE`], as the weights are.
    pub tolerance: Option<f32>,
    /// The library; by default [`llama_library`](crate::llama_library) finds one.
    pub library: Option<PathBuf>,
    /// Threads of each; by default one per physical core.
    pub threads: Option<usize>,
}

/// All weights in F32, and both engines asked for F32 throughout: sums in another order.
pub const F32_TOLERANCE: f32 = 1e-3;
/// Weights in half precision: llama.cpp rounds what meets them, and both may round keys and values.
pub const HALF_TOLERANCE: f32 = 0.2;
/// Quantised weights: each engine rounds what meets them to 8 bits in its own way. llama.cpp alone is up to 0.26 from exact arithmetic on
/// small models.
pub const QUANTISED_TOLERANCE: f32 = 0.5;

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Parity {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens that followed.
    pub reply_tokens: usize,
    /// Logits of each position.
    pub vocab: usize,
    /// The largest difference.
    pub largest: f32,
    /// The position and the token that it is at.
    pub at: (usize, TokenId),
    /// The root of the mean of all squared differences.
    pub rms: f64,
    /// Where the engines would first choose different tokens.
    pub first_different: Option<Different>,
    /// What `largest` may be.
    pub tolerance: f32,
    /// Where the native engine ran.
    pub native: String,
    /// The library, with its version and devices.
    pub other: String,
}

/// Two likeliest tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Different {
    /// Which token of the reply, from 0.
    pub token: usize,
    /// The native engine's choice.
    pub native: TokenId,
    /// llama.cpp's choice.
    pub other: TokenId,
    /// By how much the native engine prefers its own.
    pub margin: f32,
}

impl Parity {
    /// Whether the engines agree as far as they can.
    #[must_use]
    pub fn within(&self) -> bool {
        self.largest <= self.tolerance
    }
}

/// Runs both engines on a prompt and what the native one makes of it. One model is in memory at a time.
///
/// # Errors
/// One of them does not run the model, there is no library, or the prompt does not fit.
pub fn parity(source: &Source, options: &ParityOptions) -> Result<Parity, Error> {
    let checkpoint = source.checkpoint()?;
    let exact = is_all_f32(&checkpoint);
    let precision = if exact { RunPrecision::Exact } else { RunPrecision::Fast };
    let mut how = ModelOptions { threads: options.threads, precision, ..ModelOptions::default() };
    how.placement.place = crate::Place::Cpu;
    let (ids, prompt_tokens) = continued(source, &how, options)?;
    how.max_seq_len = Some(ids.len());
    let native = Opened::native(source, &checkpoint, &how, &mut |_, _| {})?;
    let (ours, vocab) = logits(native.runner, &ids)?;
    let engine = EngineKind::LlamaCpp { library: options.library.clone() };
    let how = ModelOptions { engine, ..how };
    let other = Opened::llama(source, &checkpoint, &how, options.library.clone())?;
    let (theirs, other_vocab) = logits(other.runner, &ids)?;
    if vocab != other_vocab {
        let reason = format!("the native engine has logits of {vocab} tokens, llama.cpp of {other_vocab}");
        return Err(Error::Mismatch(reason));
    }
    let usual = match () {
        () if exact => F32_TOLERANCE,
        () if is_quantised(&checkpoint) => QUANTISED_TOLERANCE,
        () => HALF_TOLERANCE,
    };
    let (largest, at, rms) = distance(&ours, &theirs, vocab);
    Ok(Parity {
        prompt_tokens,
        reply_tokens: ids.len() - prompt_tokens,
        vocab,
        largest,
        at,
        rms,
        first_different: first_different(&ours, &theirs, vocab, prompt_tokens - 1),
        tolerance: options.tolerance.unwrap_or(usual),
        native: native.about.device,
        other: other.about.device,
    })
}

/// The prompt's tokens and those that follow, and how many the prompt has.
fn continued(
    source: &Source,
    how: &ModelOptions,
    options: &ParityOptions,
) -> Result<(Vec<TokenId>, usize), Error> {
    let model = Model::open(source, how, &mut |_, _| {})?;
    let prompt = model.admit(Prompt::Text(options.prompt.clone()))?;
    let mut ids = model.encode(&prompt)?;
    let prompt_tokens = ids.len();
    let sampler = SamplerConfig { temperature: 0.0, ..SamplerConfig::default() };
    let generate =
        GenerateOptions { sampler, max_tokens: Some(options.tokens), ..GenerateOptions::default() };
    for event in model.generate(&prompt, &generate)? {
        if let Event::Done(summary) = event? {
            ids.extend(summary.tokens);
        }
    }
    Ok((ids, prompt_tokens))
}

/// Logits of all positions, `[ids, vocab]`, and how many a position has.
fn logits(mut runner: Box<dyn Runner>, ids: &[TokenId]) -> Result<(Vec<f32>, usize), Error> {
    let mut all = Vec::new();
    score_from(runner.as_mut(), ids, 0, &mut |rows| {
        all.extend_from_slice(rows);
        Ok(())
    })?;
    Ok((all, runner.info().vocab))
}

/// The largest difference, the position and token that it is at, and the root of the mean square.
fn distance(ours: &[f32], theirs: &[f32], vocab: usize) -> (f32, (usize, TokenId), f64) {
    let (mut largest, mut at, mut squares) = (0.0, 0, 0.0);
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        let difference = apart(*a, *b);
        squares += f64::from(difference) * f64::from(difference);
        if difference > largest {
            (largest, at) = (difference, i);
        }
    }
    let rms = (squares / ours.len().max(1) as f64).sqrt();
    (largest, (at / vocab, TokenId((at % vocab) as u32)), rms)
}

/// What is no number is as far from everything as can be; the same infinity is no difference.
fn apart(a: f32, b: f32) -> f32 {
    match (a - b).abs() {
        _ if a == b => 0.0,
        difference if difference.is_nan() => f32::INFINITY,
        difference => difference,
    }
}

/// The first of the positions from `first` on where the likeliest tokens differ.
fn first_different(ours: &[f32], theirs: &[f32], vocab: usize, first: usize) -> Option<Different> {
    let rows = ours.chunks_exact(vocab).zip(theirs.chunks_exact(vocab)).skip(first);
    rows.enumerate().find_map(|(token, (ours, theirs))| {
        let (native, other) = (likeliest(ours), likeliest(theirs));
        (native != other).then(|| Different {
            token,
            native: TokenId(native as u32),
            other: TokenId(other as u32),
            margin: ours[native] - ours[other],
        })
    })
}

/// The first of the largest.
fn likeliest(row: &[f32]) -> usize {
    row.iter().enumerate().fold(0, |best, (i, logit)| if *logit > row[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_difference_is_found_where_it_is() {
        let ours = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let theirs = [1.0, 2.5, 3.0, 4.0, 4.0, 6.0];
        let (largest, at, rms) = distance(&ours, &theirs, 3);
        assert_eq!((largest, at), (1.0, (1, TokenId(1))));
        assert!((rms - (1.25f64 / 6.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_number_is_never_within() {
        let (largest, at, _) = distance(&[1.0, f32::NAN, 9.0], &[1.0, 2.0, 0.0], 3);
        assert_eq!((largest, at), (f32::INFINITY, (0, TokenId(1))));
        let infinite = [f32::NEG_INFINITY];
        assert_eq!(distance(&infinite, &infinite, 1).0, 0.0);
    }

    #[test]
    fn the_first_other_choice_is_counted_from_the_reply() {
        let ours = [0.0, 1.0, 1.0, 0.0, 0.25, 0.0];
        let theirs = [1.0, 0.0, 1.0, 0.0, 0.0, 0.5];
        let found = first_different(&ours, &theirs, 2, 1);
        let expected = Different { token: 1, native: TokenId(0), other: TokenId(1), margin: 0.25 };
        assert_eq!(found, Some(expected));
        assert_eq!(first_different(&ours, &ours, 2, 0), None);
    }
}
