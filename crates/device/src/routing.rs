//! Which experts a token goes to, and how much each of them counts: plain numbers in, plain numbers out.

/// How a router's scores become a choice of experts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Routing {
    /// Experts to choose from.
    pub experts: usize,
    /// Experts that a token goes to.
    pub chosen: usize,
    /// What a router's logits become.
    pub score: Score,
    /// Only experts of the best groups are chosen from.
    pub groups: Option<GroupLimit>,
    /// Weights are divided by their sum, which counts at least this much.
    pub normalise: Option<f32>,
    /// Factor of all weights.
    pub scale: f32,
}

/// What a router's logits become.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    /// Softmax over all experts.
    Softmax,
    /// Softmax over those that are chosen, by logit.
    SoftmaxOfChosen,
    /// Each for itself.
    Sigmoid,
    /// Two experts, one after the other; each weight is a softmax over the experts whose logit is not much smaller.
    /// Liu et al. 2024, arXiv 2409.12136, as it runs without training.
    SparseMixer {
        /// Logits further than twice this from the largest, relative to the larger magnitude, do not count.
        jitter: f32,
    },
}

/// The experts are consecutive groups of one size; those of some groups are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupLimit {
    /// Groups; divides the number of experts.
    pub groups: usize,
    /// Groups that are looked at.
    pub chosen: usize,
    /// What a group counts.
    pub by: GroupScore,
}

/// What a group of experts counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupScore {
    /// Its largest score. DeepSeek-AI 2024, arXiv 2405.04434, section 2.2.2.
    Largest,
    /// The sum of its two largest scores. DeepSeek-AI 2024, arXiv 2412.19437, section 2.1.2.
    TwoLargest,
}

/// An expert and the weight of its result.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Choice {
    /// Which expert.
    pub expert: u32,
    /// Factor of its result.
    pub weight: f32,
}

impl Routing {
    /// Why no token can be routed like this, if so.
    pub fn fault(&self) -> Option<String> {
        let Self { experts, chosen, score, groups, .. } = *self;
        if chosen == 0 || chosen > experts {
            return Some(format!("{chosen} of {experts} experts"));
        }
        if matches!(score, Score::SparseMixer { .. }) && chosen != 2 {
            return Some(format!("{chosen} experts by sparse mixing, which chooses 2"));
        }
        let limit = groups?;
        if limit.groups == 0 || limit.chosen == 0 || !experts.is_multiple_of(limit.groups) {
            return Some(format!("{} of {} groups of {experts} experts", limit.chosen, limit.groups));
        }
        if limit.groups > GroupLimit::MOST {
            return Some(format!("{} groups, more than {}", limit.groups, GroupLimit::MOST));
        }
        let size = experts / limit.groups;
        if limit.chosen > limit.groups || limit.chosen * size < chosen {
            return Some(format!(
                "{chosen} experts from {} of {} groups of {size}",
                limit.chosen, limit.groups
            ));
        }
        (limit.by == GroupScore::TwoLargest && size < 2).then(|| "two experts of groups of one".to_owned())
    }

    /// Chooses for one token. `logits` has one value per expert and is overwritten; `room` likewise. `bias` is added to the
    /// scores where experts are chosen and not where they are weighed. `out` has one entry per chosen expert, the one that was
    /// chosen first in front; of equal scores the first is taken.
    ///
    /// # Panics
    /// The lengths do not agree.
    pub fn choose(&self, logits: &mut [f32], bias: Option<&[f32]>, room: &mut [f32], out: &mut [Choice]) {
        let lens = (logits.len(), room.len(), out.len());
        assert_eq!(lens, (self.experts, self.experts, self.chosen), "a router's values");
        match self.score {
            Score::SparseMixer { jitter } => return mix_sparsely(logits, jitter, self.scale, out),
            Score::Softmax => softmax(logits),
            Score::Sigmoid => logits.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
            Score::SoftmaxOfChosen => {}
        }
        room.copy_from_slice(logits);
        if let Some(bias) = bias {
            room.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
        }
        if let Some(limit) = self.groups {
            limit.mask(room);
        }
        for out in out.iter_mut() {
            let expert = largest(room);
            room[expert] = f32::NEG_INFINITY;
            *out = Choice { expert: expert as u32, weight: logits[expert] };
        }
        self.weigh(out);
    }

    fn weigh(&self, out: &mut [Choice]) {
        if self.score == Score::SoftmaxOfChosen {
            let most = out.iter().fold(f32::NEG_INFINITY, |most, c| most.max(c.weight));
            out.iter_mut().for_each(|c| c.weight = (c.weight - most).exp());
            let sum: f32 = out.iter().map(|c| c.weight).sum();
            out.iter_mut().for_each(|c| c.weight /= sum);
        }
        if let Some(least) = self.normalise {
            let sum = out.iter().map(|c| c.weight).sum::<f32>().max(least);
            out.iter_mut().for_each(|c| c.weight /= sum);
        }
        out.iter_mut().for_each(|c| c.weight *= self.scale);
    }
}

impl GroupLimit {
    /// The most groups that there may be.
    const MOST: usize = 64;

    /// Takes the experts of all but the best groups out of the choice; of equal groups the first is taken.
    fn mask(&self, scores: &mut [f32]) {
        let size = scores.len() / self.groups;
        let mut counts = [f32::NEG_INFINITY; Self::MOST];
        for (count, group) in counts.iter_mut().zip(scores.chunks_exact(size)) {
            *count = self.count(group);
        }
        let counts = &mut counts[..self.groups];
        let mut kept = 0_u64;
        for _ in 0..self.chosen {
            let best = largest(counts);
            kept |= 1 << best;
            counts[best] = f32::NEG_INFINITY;
        }
        for (g, group) in scores.chunks_exact_mut(size).enumerate() {
            if kept & 1 << g == 0 {
                group.fill(f32::NEG_INFINITY);
            }
        }
    }

    fn count(&self, group: &[f32]) -> f32 {
        let first = largest(group);
        match self.by {
            GroupScore::Largest => group[first],
            GroupScore::TwoLargest => {
                let others = group.iter().enumerate().filter(|(i, _)| *i != first).map(|(_, score)| *score);
                group[first] + others.fold(f32::NEG_INFINITY, f32::max)
            }
        }
    }
}

/// The first of the largest; what is not a number counts as the smallest.
fn largest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (i, score) in scores.iter().enumerate() {
        if *score > scores[best] || scores[best].is_nan() {
            best = i;
        }
    }
    best
}

fn softmax(logits: &mut [f32]) {
    let most = logits.iter().fold(f32::NEG_INFINITY, |most, x| most.max(*x));
    logits.iter_mut().for_each(|x| *x = (*x - most).exp());
    let sum: f32 = logits.iter().sum();
    logits.iter_mut().for_each(|x| *x /= sum);
}

/// Chooses the largest logit, then the largest of the others.
fn mix_sparsely(logits: &mut [f32], jitter: f32, scale: f32, out: &mut [Choice]) {
    let mut taken = None;
    for out in out {
        let free = |i: usize| Some(i) != taken;
        let best = (0..logits.len())
            .filter(|&i| free(i))
            .reduce(|best, i| if logits[i] > logits[best] || logits[best].is_nan() { i } else { best });
        let Some(best) = best else { return };
        let most = logits[best];
        let counts = |i: usize| (most - logits[i]) / logits[i].abs().max(most) <= 2.0 * jitter;
        let sum: f32 =
            (0..logits.len()).filter(|&i| free(i) && counts(i)).map(|i| (logits[i] - most).exp()).sum();
        *out = Choice { expert: best as u32, weight: scale / sum };
        taken = Some(best);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Routing =
        Routing { experts: 4, chosen: 2, score: Score::Softmax, groups: None, normalise: None, scale: 1.0 };

    /// Experts and weights that `routing` chooses.
    fn choose(routing: Routing, logits: &[f32], bias: Option<&[f32]>) -> Vec<(u32, f32)> {
        assert_eq!(routing.fault(), None);
        let mut out = vec![Choice::default(); routing.chosen];
        routing.choose(&mut logits.to_vec(), bias, &mut vec![0.0; logits.len()], &mut out);
        out.iter().map(|c| (c.expert, c.weight)).collect()
    }

    #[track_caller]
    fn check(got: Vec<(u32, f32)>, want: &[(u32, f32)]) {
        let close = got.iter().zip(want).all(|(g, w)| g.0 == w.0 && (g.1 - w.1).abs() < 1e-6);
        assert!(close && got.len() == want.len(), "{got:?}, should be {want:?}");
    }

    /// Logits whose exponentials are 1, 2, 4, 3: a sum of 10.
    fn logs() -> Vec<f32> {
        [1.0_f32, 2.0, 4.0, 3.0].map(f32::ln).to_vec()
    }

    #[test]
    fn softmax_weighs_by_share_of_all() {
        check(choose(PLAIN, &logs(), None), &[(2, 0.4), (3, 0.3)]);
        let scaled = Routing { scale: 2.5, ..PLAIN };
        check(choose(scaled, &logs(), None), &[(2, 1.0), (3, 0.75)]);
    }

    #[test]
    fn normalised_weights_sum_to_one_unless_the_sum_counts_more() {
        let normal = Routing { normalise: Some(0.0), ..PLAIN };
        check(choose(normal, &logs(), None), &[(2, 4.0 / 7.0), (3, 3.0 / 7.0)]);
        let least = Routing { normalise: Some(1.4), ..PLAIN };
        check(choose(least, &logs(), None), &[(2, 0.4 / 1.4), (3, 0.3 / 1.4)]);
    }

    #[test]
    fn softmax_of_the_chosen_is_normalised_softmax() {
        let routing = Routing { score: Score::SoftmaxOfChosen, ..PLAIN };
        check(choose(routing, &logs(), None), &[(2, 4.0 / 7.0), (3, 3.0 / 7.0)]);
    }

    #[test]
    fn a_bias_chooses_and_does_not_weigh() {
        let sigmoid = Routing { score: Score::Sigmoid, ..PLAIN };
        // Sigmoid of ln x is x / (1 + x).
        check(choose(sigmoid, &logs(), None), &[(2, 0.8), (3, 0.75)]);
        check(choose(sigmoid, &logs(), Some(&[9.0, 0.0, 0.0, -9.0])), &[(0, 0.5), (2, 0.8)]);
    }

    #[test]
    fn groups_are_chosen_by_their_largest_or_by_their_two_largest() {
        let limit = |by| Some(GroupLimit { groups: 3, chosen: 1, by });
        let six = Routing { experts: 6, score: Score::SoftmaxOfChosen, ..PLAIN };
        let logits = [0.0, 5.0, 4.0, 4.0, 1.0, 1.0];
        let largest = Routing { groups: limit(GroupScore::Largest), ..six };
        assert_eq!(choose(largest, &logits, None).iter().map(|c| c.0).collect::<Vec<_>>(), [1, 0]);
        let two = Routing { groups: limit(GroupScore::TwoLargest), ..six };
        assert_eq!(choose(two, &logits, None).iter().map(|c| c.0).collect::<Vec<_>>(), [2, 3]);
        let both =
            Routing { groups: Some(GroupLimit { groups: 3, chosen: 2, by: GroupScore::Largest }), ..six };
        assert_eq!(choose(both, &logits, None).iter().map(|c| c.0).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn equal_scores_go_to_the_first() {
        check(choose(PLAIN, &[1.0; 4], None), &[(0, 0.25), (1, 0.25)]);
        let groups = Some(GroupLimit { groups: 2, chosen: 1, by: GroupScore::TwoLargest });
        check(choose(Routing { groups, ..PLAIN }, &[1.0; 4], None), &[(0, 0.25), (1, 0.25)]);
    }

    #[test]
    fn sparse_mixing_counts_near_logits_only() {
        let mixer = Routing { score: Score::SparseMixer { jitter: 0.05 }, ..PLAIN };
        // From 10: 9.5 is 5 % away and counts, 8 does not. From 9.5: neither 8 nor the taken one counts.
        let first = 1.0 / (1.0 + (-0.5_f32).exp());
        check(choose(mixer, &[8.0, 10.0, 9.5, -3.0], None), &[(1, first), (2, 1.0)]);
        // From 1: (1 + 2) / 2 is far. Then from -1: (-1 + 1.05) / 1.05 is near, (-1 - 1) / 1 is negative and taken already.
        let second = 1.0 / (1.0 + (-0.05_f32).exp());
        check(choose(mixer, &[-1.05, 1.0, -1.0, -2.0], None), &[(1, 1.0), (2, second)]);
    }

    #[test]
    fn values_that_are_none_choose_something() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for score in [Score::Softmax, Score::Sigmoid, Score::SparseMixer { jitter: 0.1 }] {
                let got = choose(Routing { score, ..PLAIN }, &[bad; 4], None);
                assert!(got.iter().all(|c| c.0 < 4));
            }
        }
    }

    #[test]
    fn impossible_choices_are_named() {
        let groups =
            |groups, chosen, by| Routing { groups: Some(GroupLimit { groups, chosen, by }), ..PLAIN };
        let faults = [
            (Routing { chosen: 5, ..PLAIN }, "5 of 4 experts"),
            (Routing { chosen: 0, ..PLAIN }, "0 of 4 experts"),
            (Routing { chosen: 1, score: Score::SparseMixer { jitter: 0.1 }, ..PLAIN }, "which chooses 2"),
            (groups(3, 1, GroupScore::Largest), "1 of 3 groups of 4 experts"),
            (groups(4, 1, GroupScore::Largest), "2 experts from 1 of 4 groups of 1"),
            (groups(4, 2, GroupScore::TwoLargest), "groups of one"),
            (Routing { experts: 130, ..groups(65, 2, GroupScore::Largest) }, "65 groups"),
        ];
        for (routing, want) in faults {
            let fault = routing.fault().unwrap_or_default();
            assert!(fault.contains(want), "{fault}, should contain {want}");
        }
    }
}
