//! A list of the largest logits gives the token that the whole row gives.

#![expect(clippy::unwrap_used, reason = "these are tests")]

use torchless_base::{Logits, Scored, TokenId};
use torchless_sampler::{Enough, Listing, Rng, SampleError, Sampler, SamplerConfig, Scratch};

const VOCAB: usize = 300;

fn below(rng: &mut Rng, n: usize) -> usize {
    (rng.next_u64() % n as u64) as usize
}

fn one_of<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[below(rng, of.len())]
}

/// The `count` largest by sorting them all.
fn largest(row: &[f32], count: usize) -> Vec<Scored> {
    let mut all: Vec<_> = row.iter().enumerate().map(|(id, &logit)| (id as u32, logit)).collect();
    all.retain(|entry| entry.1 > f32::NEG_INFINITY);
    all.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
    all.truncate(count);
    all.into_iter().map(|(id, logit)| Scored { token: TokenId(id), logit }).collect()
}

/// Logits of which some are equal, in steps that get lost beside a large one, or -inf.
fn row(rng: &mut Rng) -> Vec<f32> {
    let (steps, size) = (one_of(rng, &[3, 40, 1 << 20]), one_of(rng, &[1e-6, 0.1, 8.0, 3e5]));
    let mut row: Vec<f32> =
        (0..VOCAB).map(|_| (below(rng, steps) as f32 / steps as f32 - 0.4) * size).collect();
    for _ in 0..one_of(rng, &[0, 0, 5, VOCAB * 20]) {
        row[below(rng, VOCAB)] = f32::NEG_INFINITY;
    }
    row[below(rng, VOCAB)] = one_of(rng, &[0.5, 20.0, 1e7]);
    row
}

/// What a row weighs at a temperature, as far off as it may be.
fn mass(row: &[f32], temperature: f32, rng: &mut Rng) -> f32 {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weigh = |&x: &f32| ((f64::from(x) - f64::from(most)) / f64::from(temperature)).exp();
    let off = one_of(rng, &[0.0, 0.9, -0.9]) * Logits::MASS_ERROR;
    (row.iter().map(weigh).sum::<f64>() * (1.0 + off)) as f32
}

fn config(rng: &mut Rng) -> SamplerConfig {
    let bias = |rng: &mut Rng| (TokenId(below(rng, VOCAB) as u32), one_of(rng, &[-100.0, -0.5, 0.0, -3.0]));
    SamplerConfig {
        temperature: one_of(rng, &[0.0, 0.7, 1.0, 1.3, 1e-38]),
        top_k: one_of(rng, &[1, 2, 40, 299]),
        top_p: one_of(rng, &[1.0, 0.9, 0.2]),
        min_p: one_of(rng, &[0.0, 0.05]),
        repeat_penalty: one_of(rng, &[1.0, 1.0, 1.3]),
        repeat_last_n: one_of(rng, &[0, 20, usize::MAX]),
        presence_penalty: one_of(rng, &[0.0, 0.0, 0.5]),
        frequency_penalty: one_of(rng, &[0.0, 0.0, 0.25]),
        logit_bias: (0..one_of(rng, &[0, 0, 1, 6])).map(|_| bias(rng)).collect(),
        seed: rng.next_u64(),
        logprobs: None,
    }
}

#[test]
fn a_list_gives_the_token_of_the_row() {
    let mut rng = Rng::new(11);
    let mut scratch = Scratch::new(VOCAB);
    let (mut decided, mut undecided) = (0, 0);
    for _ in 0..20_000 {
        let (row, config) = (row(&mut rng), config(&mut rng));
        let history: Vec<_> =
            (0..below(&mut rng, 60)).map(|_| TokenId(below(&mut rng, VOCAB) as u32)).collect();
        let mut whole = Sampler::new(config.clone(), VOCAB).unwrap();
        let mut listed = Sampler::new(config.clone(), VOCAB).unwrap();
        let enough = listed.enough(history.len()).unwrap();
        let asked = enough.count + one_of(&mut rng, &[0, 0, 3]);
        let (list, mass) = (largest(&row, asked), enough.temperature.map(|t| mass(&row, t, &mut rng)));
        let listing = Listing { largest: &list, asked, mass };
        let want = whole.pick(&row, &history, &mut scratch);
        match listed.pick_among(listing, &history, &mut scratch) {
            Ok(None) => {
                undecided += 1;
                assert_ne!(config.temperature, 0.0, "greedy choice is decided");
                assert_eq!(listed.pick(&row, &history, &mut scratch), want, "nothing was drawn");
            }
            got => {
                decided += 1;
                assert_eq!(got.map(Option::unwrap), want, "{config:?} of {list:?}");
            }
        }
        assert_eq!(whole.rng(), listed.rng());
    }
    assert!(decided > 4 * undecided && undecided > 100, "{decided} decided, {undecided} not");
}

#[test]
fn what_needs_the_whole_row_says_so() {
    let enough = |change: fn(&mut SamplerConfig)| {
        let mut config = SamplerConfig { top_k: 40, ..SamplerConfig::default() };
        change(&mut config);
        Sampler::new(config, VOCAB).unwrap().enough(1000)
    };
    let some = |count| Some(Enough { count, temperature: None });
    assert_eq!(enough(|c| c.temperature = 0.0), some(1));
    assert_eq!(enough(|_| ()), some(48));
    assert_eq!(enough(|c| c.repeat_penalty = 1.1), some(48 + 64));
    assert_eq!(enough(|c| c.logit_bias = vec![(TokenId(3), -1.0)]), some(49));
    assert_eq!(enough(|c| (c.top_k, c.min_p) = (0, 0.1)), some(64));
    let weighed = Some(Enough { count: 64, temperature: Some(0.7) });
    assert_eq!(enough(|c| (c.top_k, c.top_p) = (0, 0.9)), weighed);
    let needs_all: [fn(&mut SamplerConfig); 7] = [
        |c| c.top_k = 0,
        |c| c.top_k = VOCAB,
        |c| c.logprobs = Some(0),
        |c| c.repeat_penalty = 0.9,
        |c| c.presence_penalty = -0.1,
        |c| c.frequency_penalty = -0.1,
        |c| c.logit_bias = vec![(TokenId(3), 1.0)],
    ];
    for change in needs_all {
        assert_eq!(enough(change), None);
    }
}

#[test]
fn errors_are_those_of_the_row() {
    let config = SamplerConfig {
        temperature: 0.0,
        logit_bias: vec![(TokenId(0), -100.0)],
        ..SamplerConfig::default()
    };
    let mut sampler = Sampler::new(config, 3).unwrap();
    let mut scratch = Scratch::new(3);
    let only = [Scored { token: TokenId(0), logit: 1.0 }];
    let two = |largest| Listing { largest, asked: 2, mass: None };
    assert_eq!(sampler.pick_among(two(&only), &[], &mut scratch), Err(SampleError::NothingLeft));
    assert_eq!(sampler.pick_among(two(&[]), &[], &mut scratch), Err(SampleError::NothingLeft));
    let beyond = Err(SampleError::History { token: TokenId(3), vocab: 3 });
    assert_eq!(sampler.pick_among(two(&only), &[TokenId(3)], &mut scratch), beyond);
}

/// A row like those of models: logits that fall off, in no order of ids.
fn falling(rng: &mut Rng, vocab: usize) -> Vec<f32> {
    let slope = one_of(rng, &[0.5, 1.5, 4.0]);
    let mut row: Vec<f32> =
        (0..vocab).map(|rank| -slope * ((rank + 1) as f32).ln() + rng.next_f64() as f32).collect();
    for i in (1..vocab).rev() {
        row.swap(i, below(rng, i + 1));
    }
    row
}

#[test]
fn a_list_and_the_mass_give_the_nucleus_of_the_row() {
    let mut rng = Rng::new(12);
    let mut scratch = Scratch::new(VOCAB);
    let (mut decided, mut undecided) = (0, 0);
    for turn in 0..20_000 {
        let row = if turn % 2 == 0 { row(&mut rng) } else { falling(&mut rng, VOCAB) };
        let (top_p, min_p) = one_of(&mut rng, &[(0.9, 0.0), (0.5, 0.0), (0.95, 0.02), (1.0, 0.05)]);
        let config = SamplerConfig { top_k: 0, top_p, min_p, ..config(&mut rng) };
        let history: Vec<_> =
            (0..below(&mut rng, 60)).map(|_| TokenId(below(&mut rng, VOCAB) as u32)).collect();
        let mut whole = Sampler::new(config.clone(), VOCAB).unwrap();
        let mut listed = Sampler::new(config.clone(), VOCAB).unwrap();
        let enough = listed.enough(history.len()).unwrap();
        let list = largest(&row, enough.count);
        let mass = enough.temperature.map(|t| mass(&row, t, &mut rng));
        let listing = Listing { largest: &list, asked: enough.count, mass };
        let want = whole.pick(&row, &history, &mut scratch);
        match listed.pick_among(listing, &history, &mut scratch) {
            Ok(None) => {
                undecided += 1;
                assert_eq!(listed.pick(&row, &history, &mut scratch), want, "nothing was drawn");
            }
            got => {
                decided += 1;
                assert_eq!(got.map(Option::unwrap), want, "{config:?} of {listing:?}");
            }
        }
        assert_eq!(whole.rng(), listed.rng());
    }
    assert!(decided > undecided && undecided > 100, "{decided} decided, {undecided} not");
}

#[test]
fn rows_that_lists_do_not_decide_are_asked_for_whole_for_a_while() {
    let config = SamplerConfig { top_p: 0.9, ..SamplerConfig::default() };
    let mut sampler = Sampler::new(config, VOCAB).unwrap();
    let mut scratch = Scratch::new(VOCAB);
    let flat = vec![0.5; VOCAB];
    for whole_rows in [2, 4, 8] {
        let asked = sampler.enough(0).unwrap().count;
        let list = largest(&flat, asked);
        let listing = Listing { largest: &list, asked, mass: Some(VOCAB as f32) };
        assert_eq!(sampler.pick_among(listing, &[], &mut scratch), Ok(None));
        for _ in 0..whole_rows {
            assert_eq!(sampler.enough(0), None);
            sampler.pick(&flat, &[], &mut scratch).unwrap();
        }
    }
    assert!(sampler.enough(0).is_some());
}
