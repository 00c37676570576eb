//! A list of the largest logits gives the token that the whole row gives.

#![expect(clippy::unwrap_used, reason = "these are tests")]

use torchless_base::{Scored, TokenId};
use torchless_sampler::{Rng, SampleError, Sampler, SamplerConfig, Scratch};

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
        let asked = listed.enough(history.len()).unwrap() + one_of(&mut rng, &[0, 0, 3]);
        let list = largest(&row, asked);
        let want = whole.pick(&row, &history, &mut scratch);
        match listed.pick_among((&list, asked), &history, &mut scratch) {
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
    assert_eq!(enough(|c| c.temperature = 0.0), Some(1));
    assert_eq!(enough(|_| ()), Some(48));
    assert_eq!(enough(|c| c.repeat_penalty = 1.1), Some(48 + 64));
    assert_eq!(enough(|c| c.logit_bias = vec![(TokenId(3), -1.0)]), Some(49));
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
    assert_eq!(sampler.pick_among((&only, 2), &[], &mut scratch), Err(SampleError::NothingLeft));
    assert_eq!(sampler.pick_among((&[], 2), &[], &mut scratch), Err(SampleError::NothingLeft));
    let beyond = Err(SampleError::History { token: TokenId(3), vocab: 3 });
    assert_eq!(sampler.pick_among((&only, 2), &[TokenId(3)], &mut scratch), beyond);
}
