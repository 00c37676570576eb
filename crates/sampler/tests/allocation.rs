//! Once a scratch exists, choosing a token allocates nothing.

use torchless_base::TokenId;
use torchless_sampler::{Sampler, SamplerConfig, Scratch};

#[test]
fn a_pick_allocates_nothing() {
    let vocab = 5000;
    let logits: Vec<f32> = (0..vocab).map(|i| ((i * 7919) % vocab) as f32 / 700.0).collect();
    let history: Vec<TokenId> = (0..300).map(TokenId).collect();
    let plain = SamplerConfig::default();
    let configs = [
        plain.clone(),
        SamplerConfig { temperature: 0.0, ..plain.clone() },
        SamplerConfig { top_k: 40, top_p: 0.95, ..plain.clone() },
        SamplerConfig { top_p: 0.999, min_p: 0.001, ..plain.clone() },
        SamplerConfig { repeat_penalty: 1.1, frequency_penalty: 0.1, logprobs: Some(20), ..plain },
    ];
    for config in configs {
        let mut scratch = Scratch::new(vocab);
        let mut sampler = Sampler::new(config.clone(), vocab).unwrap();
        let allocated = allocation_counter::measure(|| {
            for _ in 0..50 {
                let choice = sampler.pick(&logits, &history, &mut scratch).unwrap();
                sampler.accept(choice.token);
            }
        });
        assert_eq!(allocated.count_total, 0, "{config:?}");
    }
}
