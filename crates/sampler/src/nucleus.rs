//! What top-p and min-p leave of a whole row, from its largest logits and its mass.
//!
//! The mass is known to within a bound, so that what top-p aims at is an interval. The list decides where the whole interval lies between the
//! same two sums of the largest weights; then the tokens that are left, and the one that is drawn, are those of the whole row, bit for bit.

use crate::SamplerConfig;
use crate::exp::exp_neg;
use crate::listed::Listing;
use crate::stages::{Entry, has_penalties, has_temperature, larger_first, tempered};
use torchless_base::Logits;

/// Logits that are asked for: more than what most replies keep, and few enough to be found quickly.
pub(crate) const ASKED: usize = 64;

/// More than rounding moves sums of weights in f64, and weights that are compared.
const SUMS: f64 = 1e-9;
const WEIGHTS: f32 = 1e-6;

/// Whether a nucleus is cut from the whole distribution.
pub(crate) fn is_wanted(config: &SamplerConfig) -> bool {
    config.top_k == 0 && !config.is_greedy() && (config.top_p < 1.0 || config.min_p > 0.0)
}

/// From `0` to `1` of what the whole row weighs.
struct Interval(f64, f64);

/// Leaves in `list`, which has the logits of `of` after bias and penalties with `max` as the largest of them, the weights that the
/// stages would leave of the whole row, in order of id. `window` tokens at most were penalised. False where the list does not decide.
pub(crate) fn cut(
    config: &SamplerConfig,
    list: &mut Vec<Entry>,
    (of, window): (Listing<'_>, usize),
    max: f32,
) -> bool {
    let scaled = |logit: f32| {
        if has_temperature(config) { tempered(logit, max, config) } else { logit - max }
    };
    let rest = if of.largest.len() < of.asked { None } else { of.largest.last().map(|s| scaled(s.logit)) };
    let rest = rest.map(|x| exp_neg(x.min(0.0)) * (1.0 + WEIGHTS));
    let moved: (f64, f64) = of
        .largest
        .iter()
        .zip(&*list)
        .filter(|(before, after)| before.logit.to_bits() != after.value.to_bits())
        .map(|(before, after)| (weight(scaled(before.logit)), weight(scaled(after.value))))
        .fold((0.0, 0.0), |sum, (before, after)| (sum.0 + before, sum.1 + after));
    list.iter_mut().for_each(|entry| entry.value = exp_neg(scaled(entry.value)));
    list.sort_unstable_by(larger_first);
    if config.top_p < 1.0 {
        let unlisted = if has_penalties(config) { window } else { 0 } + config.logit_bias.len();
        let beyond = rest.map(|rest| (unlisted as f64 * f64::from(rest), weight(scaled_top(&of, &scaled))));
        let Some(total) = total(list, &of, (moved, beyond)) else { return false };
        let Some(kept) = reach(list, f64::from(config.top_p), &total) else { return false };
        list.truncate(kept);
        if rest.is_some_and(|rest| list[kept - 1].value <= rest) {
            return false;
        }
    } else if rest.is_some_and(|rest| rest >= config.min_p) {
        return false;
    }
    if config.min_p > 0.0 {
        list.retain(|entry| entry.value >= config.min_p);
    }
    list.sort_unstable_by_key(|entry| entry.token);
    true
}

fn scaled_top(of: &Listing<'_>, scaled: &dyn Fn(f32) -> f32) -> f32 {
    of.largest.first().map_or(f32::NEG_INFINITY, |top| scaled(top.logit))
}

fn weight(scaled: f32) -> f64 {
    f64::from(scaled).exp()
}

/// What the whole row weighs after bias and penalties. `moved` is what those listed tokens weighed that they touched, and weigh now;
/// `beyond` is what they can have taken from others at most, and what the largest logit of the model weighs; none where all are listed.
fn total(
    list: &[Entry],
    of: &Listing<'_>,
    (moved, beyond): ((f64, f64), Option<(f64, f64)>),
) -> Option<Interval> {
    let listed: f64 = list.iter().map(|entry| f64::from(entry.value)).sum();
    let Some((taken, top)) = beyond else {
        return Some(Interval(listed * (1.0 - SUMS), listed * (1.0 + SUMS)));
    };
    let mass = f64::from(of.mass?) * top;
    let error = Logits::MASS_ERROR * (mass + moved.1);
    let total = mass - moved.0 + moved.1;
    let interval = Interval((total - error - taken).max(listed * (1.0 - SUMS)), total + error);
    (interval.0.is_finite() && interval.1.is_finite() && interval.0 <= interval.1).then_some(interval)
}

/// How many of the largest weights reach the part `p` of the total, if that is the same for all that it can be.
fn reach(list: &[Entry], p: f64, total: &Interval) -> Option<usize> {
    let mut sum = 0.0;
    let last = list.iter().position(|entry| {
        sum += f64::from(entry.value);
        sum >= p * total.0 * (1.0 - SUMS)
    })?;
    (sum * (1.0 - SUMS) >= p * total.1).then_some(last + 1)
}
