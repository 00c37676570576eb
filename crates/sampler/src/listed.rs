//! Which options need no more than a row's largest logits, and the stages on a list of those.
//!
//! Penalties and biases that lower logits change the order of the tokens they touch alone. Of `k + w` largest logits, `w` of them
//! touched at most, `k` stay where they are, so nothing from outside of the list comes among the `k` largest.

use crate::stages::{Entry, biased, has_penalties, has_temperature, larger_first, penalised, tempered};
use crate::{SamplerConfig, nucleus};
use torchless_base::{Scored, TokenId};

/// Stages on the distribution that [`cut`] has done: temperature and top-k.
pub(crate) const DONE: usize = 2;

/// More than top-k keeps, so that the last one kept can be told from what is not in the list: dividing by a temperature can make
/// two logits equal.
const SPARE: usize = 8;

/// What of a row is enough for a choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Enough {
    /// So many of its largest logits.
    pub count: usize,
    /// The temperature at which its mass has to be known ([`torchless_base::Logits::mass`]).
    pub temperature: Option<f32>,
}

/// What is known of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Listing<'a> {
    /// Its largest logits, in descending order, of equal ones the smaller ids first.
    pub largest: &'a [Scored],
    /// How many were asked for: there are fewer only where no others are above -inf.
    pub asked: usize,
    /// Its mass, where that was asked for.
    pub mass: Option<f32>,
}

/// What of a row is enough; `None` where all of it is needed.
pub(crate) fn enough(config: &SamplerConfig, known: usize, vocab: usize) -> Option<Enough> {
    let raises = config.repeat_penalty < 1.0
        || config.presence_penalty < 0.0
        || config.frequency_penalty < 0.0
        || config.logit_bias.iter().any(|&(_, bias)| bias > 0.0);
    if raises || config.logprobs.is_some() {
        return None;
    }
    let kept = match (config.is_greedy(), config.top_k) {
        (true, _) => 1,
        (false, k) if k > 0 && k < vocab => k.checked_add(SPARE)?,
        (false, _) if nucleus::is_wanted(config) => nucleus::ASKED,
        (false, _) => return None,
    };
    let penalised = if has_penalties(config) { known.min(config.repeat_last_n) } else { 0 };
    let count = kept.checked_add(penalised)?.checked_add(config.logit_bias.len())?;
    let is_weighed = nucleus::is_wanted(config) && config.top_p < 1.0;
    Some(Enough { count, temperature: is_weighed.then_some(config.temperature) })
}

/// Fills `list` with the largest logits after bias and penalties. `counts` is zero for every token, and left so.
pub(crate) fn apply(
    config: &SamplerConfig,
    (largest, window): (&[Scored], &[TokenId]),
    counts: &mut [u32],
    list: &mut Vec<Entry>,
) {
    list.clear();
    let has_penalties = has_penalties(config);
    if has_penalties {
        window.iter().for_each(|token| counts[token.index()] += 1);
    }
    list.extend(largest.iter().map(|scored| {
        let biases = config.logit_bias.iter().filter(|(token, _)| *token == scored.token);
        let logit = biases.fold(scored.logit, |logit, &(_, bias)| biased(logit, bias));
        let count = if has_penalties { counts[scored.token.index()] } else { 0 };
        let value = if count > 0 { penalised(logit, count, config) } else { logit };
        Entry { token: scored.token.0, value }
    }));
    if has_penalties {
        window.iter().for_each(|token| counts[token.index()] = 0);
    }
}

/// Temperature and top-k on a list whose largest value is `max`; `rest` is the largest logit that a token outside of the list can
/// have, `None` where there is no such token. Returns the new largest value; `None` where a token outside could be among the k.
pub(crate) fn cut(
    config: &SamplerConfig,
    list: &mut Vec<Entry>,
    (max, rest): (f32, Option<f32>),
) -> Option<f32> {
    let is_tempered = has_temperature(config);
    let temper = |value: f32| if is_tempered { tempered(value, max, config) } else { value };
    list.iter_mut().for_each(|entry| entry.value = temper(entry.value));
    list.retain(|entry| entry.value > f32::NEG_INFINITY);
    list.sort_unstable_by(larger_first);
    let rest = rest.map_or(f32::NEG_INFINITY, temper);
    let is_apart = match list.get(config.top_k - 1) {
        Some(last) => last.value > rest,
        None => rest == f32::NEG_INFINITY,
    };
    list.truncate(config.top_k);
    is_apart.then_some(if is_tempered { 0.0 } else { max })
}
