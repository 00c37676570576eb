//! Runs the stages over a row of logits and draws.

use crate::exp::{exp_neg, sum};
use crate::stages::{Candidate, Entry, ON_DISTRIBUTION, ON_LOGITS, Work, largest};
use crate::{ConfigError, Constraint, Enough, Listing, Rng, SamplerConfig, TokenMask, listed, nucleus};
use torchless_base::TokenId;

/// A chosen token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The token.
    pub token: TokenId,
    /// ln of the probability that the model gave it, before any stage; only where
    /// [`SamplerConfig::logprobs`] asks.
    pub logprob: Option<f32>,
}

/// Why no token could be chosen.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SampleError {
    /// The model computed something that is not a logit.
    #[error("the logit of token {token} is {value}: the model's arithmetic went wrong")]
    NotALogit {
        /// The first such token.
        token: TokenId,
        /// NaN or infinity.
        value: f32,
    },
    /// The row is not as wide as the vocabulary.
    #[error("a row of {got} logits does not fit a vocabulary of {vocab} tokens")]
    Width {
        /// Length of the row.
        got: usize,
        /// Tokens in the vocabulary.
        vocab: usize,
    },
    /// The history has a token that does not exist.
    #[error("token {token} of the history is not in the vocabulary of {vocab}")]
    History {
        /// The token.
        token: TokenId,
        /// Tokens in the vocabulary.
        vocab: usize,
    },
    /// Mask and bias ban every token.
    #[error("no token is left to choose: constraint and logit-bias ban them all")]
    NothingLeft,
    /// The constraint lets no token follow.
    #[error("the reply cannot go on: {0}")]
    Stuck(String),
}

/// Memory that picks need, for one vocabulary. One serves any number of samplers, one after the other.
#[derive(Debug)]
pub struct Scratch {
    row: Vec<f32>,
    list: Vec<Entry>,
    counts: Vec<u32>,
    mask: TokenMask,
    alternatives: Vec<(TokenId, f32)>,
}

impl Scratch {
    /// Makes room for rows of `vocab` logits: 16 bytes each and a bit.
    pub fn new(vocab: usize) -> Self {
        Self {
            row: Vec::with_capacity(vocab),
            list: Vec::with_capacity(vocab),
            counts: vec![0; vocab],
            mask: TokenMask::new(vocab),
            alternatives: Vec::with_capacity(crate::MAX_LOGPROBS),
        }
    }

    /// The likeliest tokens of the last pick with their log probabilities, likeliest first; as many as
    /// [`SamplerConfig::logprobs`] asked for.
    pub fn alternatives(&self) -> &[(TokenId, f32)] {
        &self.alternatives
    }
}

/// Chooses the tokens of one sequence.
pub struct Sampler {
    config: SamplerConfig,
    vocab: usize,
    rng: Rng,
    constraint: Option<Box<dyn Constraint>>,
    patience: Patience,
}

/// For how long whole rows are asked for after lists that did not decide, since finding that out costs more than the row: twice as long
/// each time.
#[derive(Clone, Copy, Debug, Default)]
struct Patience {
    misses: u32,
    wait: u32,
}

impl Patience {
    const MOST: u32 = 6;

    fn miss(&mut self) {
        self.misses = (self.misses + 1).min(Self::MOST);
        // The row of this choice is the first.
        self.wait = 1 << self.misses;
    }
}

impl Sampler {
    /// A sampler for rows of `vocab` logits.
    ///
    /// # Errors
    /// What [`SamplerConfig::check`] finds.
    pub fn new(config: SamplerConfig, vocab: usize) -> Result<Self, ConfigError> {
        config.check(vocab)?;
        let rng = Rng::new(config.seed);
        Ok(Self { config, vocab, rng, constraint: None, patience: Patience::default() })
    }

    /// Lets `constraint` say which tokens may come.
    pub fn with_constraint(mut self, constraint: Box<dyn Constraint>) -> Self {
        self.constraint = Some(constraint);
        self
    }

    /// The options it was made with.
    pub fn config(&self) -> &SamplerConfig {
        &self.config
    }

    /// The generator, to look at its state.
    pub fn rng(&self) -> &Rng {
        &self.rng
    }

    /// A copy that makes its further choices with another generator; with a clone of [`Sampler::rng`] it makes
    /// the same ones.
    pub fn fork(&self, rng: Rng) -> Self {
        let constraint = self.constraint.as_ref().map(|c| c.fork());
        Self { config: self.config.clone(), vocab: self.vocab, rng, constraint, patience: self.patience }
    }

    /// Chooses the token that follows `history` (prompt and reply), of which `logits` are the model's, `[vocab]`.
    /// A random choice takes one number from the generator, a greedy one none. The choice has no effect on later
    /// ones before [`Sampler::accept`].
    ///
    /// # Errors
    /// NaN or +inf among the logits, sizes that do not fit, or nothing left to choose.
    ///
    /// # Panics
    /// If `scratch` is for another vocabulary.
    pub fn pick(
        &mut self,
        logits: &[f32],
        history: &[TokenId],
        scratch: &mut Scratch,
    ) -> Result<Choice, SampleError> {
        assert_eq!(scratch.counts.len(), self.vocab, "scratch is for another vocabulary");
        scratch.alternatives.clear();
        self.patience.wait = self.patience.wait.saturating_sub(1);
        let mut work = prepare(&self.config, self.constraint.as_deref_mut(), (logits, history), scratch)?;
        let token = if self.config.is_greedy() {
            first_equal(work.row, work.max)
        } else {
            shape(&mut work);
            draw(&work, self.rng.next_f64())
        };
        let token = TokenId(token as u32);
        let logprob = self.config.logprobs.map(|n| logprobs(logits, (token, n), scratch));
        Ok(Choice { token, logprob })
    }

    /// What of a row is enough for [`Sampler::pick_among`] after a history of `known` tokens; `None` where a choice needs the whole row,
    /// and for a while after choices of top-p and min-p that did.
    pub fn enough(&self, known: usize) -> Option<Enough> {
        if self.constraint.is_some() || self.patience.wait > 0 {
            return None;
        }
        listed::enough(&self.config, known, self.vocab)
    }

    /// The choice of [`Sampler::pick`] from the largest logits of a row alone, as many as [`Sampler::enough`] says or more, and its mass
    /// where that was asked for. `None`, and nothing drawn, where they do not decide.
    ///
    /// # Errors
    /// The history does not fit the vocabulary, or nothing is left to choose.
    ///
    /// # Panics
    /// As [`Sampler::pick`].
    pub fn pick_among(
        &mut self,
        listing: Listing<'_>,
        history: &[TokenId],
        scratch: &mut Scratch,
    ) -> Result<Option<Choice>, SampleError> {
        assert_eq!(scratch.counts.len(), self.vocab, "scratch is for another vocabulary");
        scratch.alternatives.clear();
        let Listing { largest, asked, .. } = listing;
        let window = window(&self.config, history);
        check_window(window, self.vocab)?;
        let (counts, list) = (&mut scratch.counts[..], &mut scratch.list);
        listed::apply(&self.config, (largest, window), counts, list);
        let max = list.iter().fold(f32::NEG_INFINITY, |max, entry| max.max(entry.value));
        if max == f32::NEG_INFINITY {
            let is_whole = largest.len() < asked;
            return if is_whole { Err(SampleError::NothingLeft) } else { Ok(None) };
        }
        let token = if self.config.is_greedy() {
            list.iter().filter(|entry| entry.value == max).map(|entry| entry.token).min().unwrap_or(0)
        } else if nucleus::is_wanted(&self.config) {
            if !nucleus::cut(&self.config, list, (listing, window.len()), max) {
                self.patience.miss();
                return Ok(None);
            }
            self.patience = Patience::default();
            draw_listed(list, self.rng.next_f64()) as u32
        } else {
            let rest = if largest.len() < asked { None } else { largest.last().map(|last| last.logit) };
            let Some(max) = listed::cut(&self.config, list, (max, rest)) else { return Ok(None) };
            let mut work = Work {
                config: &self.config,
                window,
                mask: None,
                counts,
                row: &mut [],
                list,
                listed: true,
                max,
            };
            for stage in
                ON_DISTRIBUTION.iter().skip(listed::DONE).filter(|stage| (stage.active)(&self.config))
            {
                (stage.apply)(&mut work);
            }
            draw(&work, self.rng.next_f64()) as u32
        };
        Ok(Some(Choice { token: TokenId(token), logprob: None }))
    }

    /// Tells the constraint that `token` was taken.
    pub fn accept(&mut self, token: TokenId) {
        if let Some(constraint) = &mut self.constraint {
            constraint.accept(token);
        }
    }

    /// The distribution that [`Sampler::pick`] would draw from, in no particular order; greedy choice is one
    /// candidate. Draws nothing. Allocates its result.
    ///
    /// # Errors
    /// As [`Sampler::pick`].
    ///
    /// # Panics
    /// As [`Sampler::pick`].
    pub fn distribution(
        &mut self,
        logits: &[f32],
        history: &[TokenId],
        scratch: &mut Scratch,
    ) -> Result<Vec<Candidate>, SampleError> {
        assert_eq!(scratch.counts.len(), self.vocab, "scratch is for another vocabulary");
        let mut work = prepare(&self.config, self.constraint.as_deref_mut(), (logits, history), scratch)?;
        if self.config.is_greedy() {
            let token = TokenId(first_equal(work.row, work.max) as u32);
            return Ok(vec![Candidate { token, p: 1.0 }]);
        }
        shape(&mut work);
        let total = work.total();
        let candidate = |token, weight| Candidate { token: TokenId(token), p: f64::from(weight) / total };
        let mut candidates: Vec<_> = if work.listed {
            work.list.iter().map(|e| candidate(e.token, e.value)).collect()
        } else {
            work.row.iter().enumerate().map(|(id, &weight)| candidate(id as u32, weight)).collect()
        };
        candidates.retain(|c| c.p > 0.0);
        Ok(candidates)
    }
}

/// Checks the input and applies the stages that act on logits.
fn prepare<'a>(
    config: &'a SamplerConfig,
    constraint: Option<&mut (dyn Constraint + 'static)>,
    (logits, history): (&[f32], &'a [TokenId]),
    scratch: &'a mut Scratch,
) -> Result<Work<'a>, SampleError> {
    let window = window(config, history);
    check_window(window, scratch.counts.len())?;
    check_row(logits, scratch.counts.len())?;
    scratch.row.clear();
    scratch.row.extend_from_slice(logits);
    let mask = match constraint {
        None => None,
        Some(constraint) => {
            scratch.mask.clear();
            constraint.allow(&mut scratch.mask);
            match constraint.error() {
                Some(why) => return Err(SampleError::Stuck(why)),
                None => Some(&scratch.mask),
            }
        }
    };
    let mut work = Work {
        config,
        window,
        mask,
        counts: &mut scratch.counts,
        row: &mut scratch.row,
        list: &mut scratch.list,
        listed: false,
        max: 0.0,
    };
    for stage in ON_LOGITS.iter().filter(|stage| (stage.active)(config)) {
        (stage.apply)(&mut work);
    }
    work.max = max(work.row);
    if work.max == f32::NEG_INFINITY { Err(SampleError::NothingLeft) } else { Ok(work) }
}

/// What penalties see of a history.
fn window<'a>(config: &SamplerConfig, history: &'a [TokenId]) -> &'a [TokenId] {
    &history[history.len().saturating_sub(config.repeat_last_n)..]
}

fn check_window(window: &[TokenId], vocab: usize) -> Result<(), SampleError> {
    match window.iter().find(|token| token.index() >= vocab) {
        Some(&token) => Err(SampleError::History { token, vocab }),
        None => Ok(()),
    }
}

fn check_row(logits: &[f32], vocab: usize) -> Result<(), SampleError> {
    if logits.len() != vocab {
        return Err(SampleError::Width { got: logits.len(), vocab });
    }
    // Counting instead of searching, so that the loop becomes vector code.
    let below_infinity = logits.iter().fold(0u32, |count, &logit| count + u32::from(logit < f32::INFINITY));
    if (below_infinity as usize) < vocab {
        let wrong = logits.iter().position(|&logit| logit.is_nan() || logit == f32::INFINITY).unwrap_or(0);
        return Err(SampleError::NotALogit { token: TokenId(wrong as u32), value: logits[wrong] });
    }
    Ok(())
}

/// Values that are looked at together.
const BLOCK: usize = 1024;

fn shape(work: &mut Work<'_>) {
    for stage in ON_DISTRIBUTION.iter().filter(|stage| (stage.active)(work.config)) {
        (stage.apply)(work);
    }
}

/// In lanes that do not wait for each other.
fn max(row: &[f32]) -> f32 {
    let larger = |max: f32, x: f32| if x > max { x } else { max };
    let (lanes, rest) = row.as_chunks::<32>();
    let best = lanes.iter().fold([f32::NEG_INFINITY; 32], |mut best, lane| {
        best.iter_mut().zip(lane).for_each(|(best, &x)| *best = larger(*best, x));
        best
    });
    best.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &x| larger(max, x))
}

fn first_equal(row: &[f32], value: f32) -> usize {
    // A whole block is compared before anybody looks where, so that the loop becomes vector code.
    let among = |block: &[f32]| block.iter().fold(false, |found, &x| found | (x == value));
    let skipped = row.chunks(BLOCK).take_while(|block| !among(block)).count() * BLOCK;
    let rest = row.get(skipped..).unwrap_or_default();
    rest.iter().position(|&x| x == value).map_or(0, |at| skipped + at)
}

/// Walks along the weights until the share `u` of their sum is passed.
fn draw(work: &Work<'_>, u: f64) -> usize {
    if work.listed {
        draw_listed(work.list, u)
    } else {
        let target = u * work.total();
        let (skipped, before) = skip(work.row, target);
        skipped + walk(work.row[skipped..].iter().copied(), target - before)
    }
}

fn draw_listed(list: &[Entry], u: f64) -> usize {
    let target = u * sum(list, |entry| entry.value);
    list[walk(list.iter().map(|entry| entry.value), target)].token as usize
}

/// How many weights can be left out before [`walk`], a block at a time, and their sum, which does not exceed `target`.
fn skip(row: &[f32], target: f64) -> (usize, f64) {
    let (mut skipped, mut before) = (0, 0.0);
    for block in row.chunks(BLOCK) {
        let after = before + sum(block, |&weight| weight);
        if after > target {
            break;
        }
        (skipped, before) = (skipped + block.len(), after);
    }
    // Where rounding hides it, all are walked.
    if skipped == row.len() { (0, 0.0) } else { (skipped, before) }
}

/// Index of the first weight with which the sum exceeds `target`; where rounding hides it, the last weight that is
/// not zero.
fn walk(weights: impl Iterator<Item = f32>, target: f64) -> usize {
    let (mut sum, mut last) = (0.0, 0);
    for (i, weight) in weights.enumerate() {
        if weight > 0.0 {
            sum += f64::from(weight);
            last = i;
            if sum > target {
                break;
            }
        }
    }
    last
}

/// Log probability of a token, and the `n` best into `scratch`, from the model's own logits.
fn logprobs(logits: &[f32], (token, n): (TokenId, usize), scratch: &mut Scratch) -> f32 {
    let max = max(logits);
    let total = sum(logits, |&logit| exp_neg(logit - max));
    let logprob = |logit: f32| (f64::from(logit) - f64::from(max) - total.ln()) as f32;
    if n > 0 {
        largest(logits, n, &mut scratch.list);
        let best = scratch.list.iter().map(|e| (TokenId(e.token), logprob(e.value)));
        scratch.alternatives.extend(best);
    }
    logprob(logits[token.index()])
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let constrained = self.constraint.is_some();
        f.debug_struct("Sampler")
            .field("config", &self.config)
            .field("rng", &self.rng)
            .field("constrained", &constrained)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_change_neither_the_draw_nor_the_largest() {
        let mut rng = Rng::new(3);
        for n in [1, BLOCK - 1, BLOCK, 5 * BLOCK + 33] {
            let row: Vec<f32> = (0..n).map(|_| rng.next_f64() as f32).collect();
            let total = sum(&row, |&weight| weight);
            for target in (0..100).map(|i| total * f64::from(i) / 99.0).chain([total * 1.1]) {
                let (skipped, before) = skip(&row, target);
                let at = skipped + walk(row[skipped..].iter().copied(), target - before);
                assert_eq!(at, walk(row.iter().copied(), target), "{n} weights, {target} of {total}");
            }
            let largest = row.iter().copied().reduce(f32::max).unwrap();
            assert_eq!(max(&row), largest);
            assert_eq!(first_equal(&row, largest), row.iter().position(|&x| x == largest).unwrap());
        }
    }
}
