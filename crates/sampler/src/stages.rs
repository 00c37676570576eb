//! The stages as rows of two tables, and what they work on. A new stage is a function and a row.

use crate::exp::exp_neg;
use crate::{SamplerConfig, TokenMask};
use std::cmp::Ordering;
use torchless_base::TokenId;

/// A bias from here down bans its token.
const BAN: f32 = -100.0;

/// A token that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The token.
    pub token: TokenId,
    /// Its probability; those of all candidates add up to 1.
    pub p: f64,
}

/// A token of a short list, with its logit before softmax and its weight after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry {
    pub token: u32,
    pub value: f32,
}

/// What the stages work on: one value per token of the vocabulary, until a stage leaves a short list.
pub(crate) struct Work<'a> {
    pub config: &'a SamplerConfig,
    /// The last tokens of prompt and reply, as far as penalties see them.
    pub window: &'a [TokenId],
    pub mask: Option<&'a TokenMask>,
    /// Zero for every token; left so by each stage.
    pub counts: &'a mut [u32],
    /// Logits before softmax, weights after; not kept up to date once there is a list.
    pub row: &'a mut [f32],
    /// The tokens that are left, in descending order from top-k, else in order of id.
    pub list: &'a mut Vec<Entry>,
    pub listed: bool,
    /// The largest logit that is left.
    pub max: f32,
}

pub(crate) struct Stage {
    pub name: &'static str,
    pub active: fn(&SamplerConfig) -> bool,
    pub apply: fn(&mut Work<'_>),
}

/// Stages that change logits one by one; greedy choice obeys them.
pub(crate) const ON_LOGITS: [Stage; 3] = [
    Stage { name: "mask", active: |_| true, apply: mask },
    Stage { name: "logit-bias", active: |c| !c.logit_bias.is_empty(), apply: logit_bias },
    Stage { name: "penalties", active: has_penalties, apply: penalties },
];

/// Stages that shape the distribution of a random draw.
pub(crate) const ON_DISTRIBUTION: [Stage; 5] = [
    Stage { name: "temperature", active: has_temperature, apply: temperature },
    Stage { name: "top-k", active: |c| c.top_k > 0, apply: top_k },
    Stage { name: "softmax", active: |_| true, apply: softmax },
    Stage { name: "top-p", active: |c| c.top_p < 1.0, apply: top_p },
    Stage { name: "min-p", active: |c| c.min_p > 0.0, apply: min_p },
];

/// The names of all stages in the order in which they act.
pub fn stage_names() -> impl Iterator<Item = &'static str> {
    ON_LOGITS.iter().chain(&ON_DISTRIBUTION).map(|stage| stage.name)
}

fn mask(work: &mut Work<'_>) {
    let Some(mask) = work.mask else { return };
    for (id, logit) in work.row.iter_mut().enumerate() {
        if !mask.contains(TokenId(id as u32)) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

fn logit_bias(work: &mut Work<'_>) {
    for &(token, bias) in &work.config.logit_bias {
        let logit = &mut work.row[token.index()];
        *logit = biased(*logit, bias);
    }
}

pub(crate) fn biased(logit: f32, bias: f32) -> f32 {
    if bias <= BAN { f32::NEG_INFINITY } else { logit + bias }
}

pub(crate) fn has_temperature(c: &SamplerConfig) -> bool {
    c.temperature != 1.0
}

pub(crate) fn has_penalties(c: &SamplerConfig) -> bool {
    c.repeat_penalty != 1.0 || c.presence_penalty != 0.0 || c.frequency_penalty != 0.0
}

fn penalties(work: &mut Work<'_>) {
    let c = work.config;
    for token in work.window {
        work.counts[token.index()] += 1;
    }
    for token in work.window {
        let count = std::mem::take(&mut work.counts[token.index()]);
        if count > 0 {
            let logit = &mut work.row[token.index()];
            *logit = penalised(*logit, count, c);
        }
    }
}

/// The logit of a token that occurs `count` times in the window, once at the least.
pub(crate) fn penalised(logit: f32, count: u32, c: &SamplerConfig) -> f32 {
    let scaled = if logit > 0.0 { logit / c.repeat_penalty } else { logit * c.repeat_penalty };
    (scaled - c.presence_penalty - count as f32 * c.frequency_penalty).min(f32::MAX)
}

/// Also moves the largest logit to 0, which softmax does not notice and which keeps tiny temperatures finite.
fn temperature(work: &mut Work<'_>) {
    for logit in work.row.iter_mut() {
        *logit = tempered(*logit, work.max, work.config);
    }
    work.max = 0.0;
}

pub(crate) fn tempered(logit: f32, max: f32, c: &SamplerConfig) -> f32 {
    (logit - max) / c.temperature
}

fn top_k(work: &mut Work<'_>) {
    if work.config.top_k < work.row.len() {
        largest(work.row, work.config.top_k, work.list);
        work.listed = true;
    }
}

/// Weights are e^(logit - max), so the largest is exactly 1.
fn softmax(work: &mut Work<'_>) {
    let max = work.max;
    if work.listed {
        work.list.iter_mut().for_each(|entry| entry.value = exp_neg(entry.value - max));
    } else {
        work.row.iter_mut().for_each(|logit| *logit = exp_neg(*logit - max));
    }
}

fn top_p(work: &mut Work<'_>) {
    let total = work.total();
    let target = f64::from(work.config.top_p) * total;
    if work.listed {
        let mut sum = 0.0;
        let reached = work.list.iter().position(|entry| {
            sum += f64::from(entry.value);
            sum >= target
        });
        work.list.truncate(reached.map_or(work.list.len(), |last| last + 1));
        return;
    }
    // All tokens below this share could not add up to what may be left out.
    let needless = (total - target) / work.row.len() as f64;
    work.list_where(|entry| f64::from(entry.value) >= needless);
    let last = last_needed(work.list, target);
    work.list_where(|entry| larger_first(entry, &last).is_le());
}

/// The entry with which the sum of the largest values reaches `target`, by halving: linear time, no sorting.
fn last_needed(list: &mut [Entry], target: f64) -> Entry {
    let (mut from, mut to, mut before) = (0, list.len(), 0.0);
    while to - from > 1 {
        let half = from + (to - from) / 2;
        list[from..to].select_nth_unstable_by(half - from, larger_first);
        let with: f64 = before + list[from..half].iter().map(|entry| f64::from(entry.value)).sum::<f64>();
        if with >= target {
            to = half;
        } else {
            (from, before) = (half, with);
        }
    }
    list[from]
}

fn min_p(work: &mut Work<'_>) {
    let least = work.config.min_p;
    if work.listed {
        work.list.retain(|entry| entry.value >= least);
    } else {
        work.list_where(|entry| entry.value >= least);
    }
}

impl Work<'_> {
    /// Sum of all weights that are left.
    pub fn total(&self) -> f64 {
        if self.listed {
            crate::exp::sum(self.list, |entry| entry.value)
        } else {
            crate::exp::sum(self.row, |&weight| weight)
        }
    }

    /// Lists the tokens of the row that `keep` says, in order of id.
    fn list_where(&mut self, keep: impl Fn(&Entry) -> bool) {
        self.list.clear();
        let entries = self.row.iter().enumerate().map(|(id, &value)| Entry { token: id as u32, value });
        self.list.extend(entries.filter(keep));
        self.listed = true;
    }
}

/// Larger values first, then smaller ids. Values are never NaN here.
pub(crate) fn larger_first(a: &Entry, b: &Entry) -> Ordering {
    b.value.partial_cmp(&a.value).unwrap_or(Ordering::Equal).then(a.token.cmp(&b.token))
}

/// Puts the `k` largest values of `row` into `list`, in order; of equal values those with the smaller ids, and
/// never -inf. One pass: whenever twice as many are gathered, half of them go.
pub(crate) fn largest(row: &[f32], k: usize, list: &mut Vec<Entry>) {
    list.clear();
    let mut above = f32::NEG_INFINITY;
    for (id, &value) in row.iter().enumerate() {
        if value > above {
            list.push(Entry { token: id as u32, value });
            if list.len() >= k.saturating_mul(2).max(64) && list.len() > k {
                list.select_nth_unstable_by(k - 1, larger_first);
                list.truncate(k);
                above = list[k - 1].value;
            }
        }
    }
    list.sort_unstable_by(larger_first);
    list.truncate(k);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn the_documented_stages_act_in_the_documented_order() {
        let names: Vec<_> = stage_names().collect();
        let order = "mask logit-bias penalties temperature top-k softmax top-p min-p";
        assert_eq!(names.join(" "), order);
    }

    #[test]
    fn largest_equals_a_full_sort() {
        let mut rng = Rng::new(5);
        let mut list = Vec::new();
        for (n, spread) in [(1, 3), (63, 4), (64, 1000), (65, 2), (1000, 20), (1000, 1_000_000)] {
            let row: Vec<f32> = (0..n).map(|_| (rng.next_u64() % spread) as f32).collect();
            let mut all: Vec<(f32, usize)> = row.iter().enumerate().map(|(i, &v)| (-v, i)).collect();
            all.sort_by(|a, b| a.partial_cmp(b).unwrap());
            for k in [1, 2, 40, 64, 999] {
                largest(&row, k, &mut list);
                let got: Vec<_> = list.iter().map(|e| e.token as usize).collect();
                let want: Vec<_> = all.iter().take(k).map(|&(_, i)| i).collect();
                assert_eq!(got, want, "n {n}, spread {spread}, k {k}");
            }
        }
    }

    #[test]
    fn largest_does_not_bring_back_banned_tokens() {
        let mut list = Vec::new();
        largest(&[f32::NEG_INFINITY, 1.0, f32::NEG_INFINITY], 3, &mut list);
        assert_eq!(list, [Entry { token: 1, value: 1.0 }]);
    }
}
