//! Generated text: equal to the native engine's, streamed, stopped, cancelled.

use model_loader::{Canceller, Context, Error, FinishReason, GenerateOptions, Model, SamplerConfig, TokenId};

use crate::support::{config, fixtures, library, load};

fn greedy(max_tokens: usize) -> GenerateOptions {
    let sampler = SamplerConfig { temperature: 0.0, ..SamplerConfig::default() };
    GenerateOptions { max_tokens: Some(max_tokens), sampler, ..GenerateOptions::default() }
}

fn reply(path: &std::path::Path, prompt: &str, max_tokens: usize) -> Option<String> {
    let model = Model::load_with(library()?, config(path)).unwrap();
    let mut context = model.create_context().unwrap();
    let tokens = context.tokenize(prompt, true).unwrap();
    Some(context.generate(&tokens, greedy(max_tokens)).unwrap().text)
}

#[test]
fn greedy_text_is_the_known_good_one() {
    let Some(fixtures) = fixtures() else { return };
    let folder = fixtures.join("models/stories260K");
    let golden = std::fs::read_to_string(folder.join("golden_t0_n200.txt")).unwrap();
    let Some(text) = reply(&folder.join("stories260K-F32.gguf"), "", 100) else { return };
    assert!(golden.starts_with(text.trim_start()), "{text}\n{golden}");
    assert!(text.len() > 150);
}

#[test]
fn pieces_together_are_the_whole_reply() {
    let Some(model) = load(|config| config) else { return };
    let mut context = model.create_context().unwrap();
    let prompt = context.tokenize("Once upon a time", true).unwrap();
    let options = || GenerateOptions {
        sampler: SamplerConfig {
            temperature: 1.0,
            top_p: 0.9,
            top_k: 40,
            seed: 5,
            ..SamplerConfig::default()
        },
        ..greedy(40)
    };
    let whole =
        context.generate(&prompt, GenerateOptions { sampler: options().sampler, ..greedy(40) }).unwrap();
    let mut generation =
        context.stream(&prompt, GenerateOptions { sampler: options().sampler, ..greedy(40) }).unwrap();
    let pieces: Vec<String> = generation.by_ref().map(Result::unwrap).collect();
    assert_eq!(generation.tokens(), whole.tokens);
    assert!(pieces.len() > 5);
    assert_eq!(pieces.concat(), whole.text);
    assert_eq!(whole.reason, FinishReason::Length);
    assert_eq!(whole.tokens.len(), 40);
}

#[test]
fn stop_strings_end_a_reply_and_are_not_shown() {
    let Some(model) = load(|config| config) else { return };
    let mut context = model.create_context().unwrap();
    let prompt = context.tokenize("Once upon a time", true).unwrap();
    let whole = context.generate(&prompt, greedy(40)).unwrap().text;
    let at = whole.find('.').unwrap();
    let options = GenerateOptions { stop: vec![".".into()], ..greedy(40) };
    let reply = context.generate(&prompt, options).unwrap();
    assert_eq!((reply.text.as_str(), reply.reason), (&whole[..at], FinishReason::Stop));
}

#[test]
fn a_reply_ends_when_cancelled_and_the_context_lives_on() {
    let Some(model) = load(|config| config) else { return };
    let mut context = model.create_context().unwrap();
    let prompt = context.tokenize("Once upon a time", true).unwrap();
    let whole = context.generate(&prompt, greedy(20)).unwrap();
    let mut generation = context.stream(&prompt, greedy(100)).unwrap();
    let canceller = generation.canceller();
    generation.next().unwrap().unwrap();
    canceller.cancel();
    assert!(generation.by_ref().all(|piece| piece.is_ok()));
    assert_eq!(generation.finish_reason(), Some(FinishReason::Cancelled));
    assert!(generation.tokens().len() < 20);
    let cancelled = Canceller::default();
    cancelled.cancel();
    let options = GenerateOptions { canceller: cancelled, ..greedy(20) };
    assert_eq!(context.generate(&prompt, options).unwrap().reason, FinishReason::Cancelled);
    assert_eq!(context.generate(&prompt, greedy(20)).unwrap(), whole);
}

#[test]
fn a_reply_that_is_over_has_no_say_any_more() {
    let Some(model) = load(|config| config) else { return };
    let mut context = model.create_context().unwrap();
    let prompt = context.tokenize("Once upon a time", true).unwrap();
    let late = |context: &mut Context<'_>, prompt: &[TokenId]| {
        let options = greedy(3);
        let canceller = options.canceller.clone();
        let made = context.generate(prompt, options);
        canceller.cancel();
        made
    };
    late(&mut context, &prompt).unwrap();
    context.decode(&prompt).unwrap();
    assert!(late(&mut context, &[]).is_err());
    context.decode(&prompt).unwrap();
}

#[test]
fn a_reply_ends_where_the_context_is_full() {
    let Some(model) = load(|config| config) else { return };
    let mut context = model.create_context().unwrap();
    let limit = context.context_size();
    let word = context.tokenize("Once upon a time", true).unwrap();
    let prompt: Vec<_> = word.iter().copied().cycle().take(limit - 3).collect();
    // Models end by themselves, unless that is ruled out.
    let eos = model.token_eos().id().unwrap();
    let sampler =
        SamplerConfig { temperature: 0.0, logit_bias: vec![(eos, -100.0)], ..SamplerConfig::default() };
    let reply = context.generate(&prompt, GenerateOptions { sampler, ..greedy(50) }).unwrap();
    assert_eq!((reply.reason, reply.tokens.len()), (FinishReason::ContextFull, 4));
    let prompt: Vec<_> = word.iter().copied().cycle().take(limit + 1).collect();
    assert!(matches!(context.generate(&prompt, 5), Err(Error::TooLong { .. })));
    assert!(matches!(context.generate(&[], 5), Err(Error::NoTokens)));
}
