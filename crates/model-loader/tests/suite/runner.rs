//! The engine's scheduler on top of the library.

use std::sync::Arc;

use model_loader::{GenerateOptions, LlamaRunner, LlamaRunnerOptions, SamplerConfig, TokenId};
use torchless_base::{Logits, Runner, SeqId, StepPlan, Wanted};
use torchless_engine::{Engine, EngineConfig, Event, Request};

use crate::support::load;

fn greedy() -> SamplerConfig {
    SamplerConfig { temperature: 0.0, ..SamplerConfig::default() }
}

fn prompt(number: u32) -> Vec<TokenId> {
    (300..310 + 3 * number).map(|id| TokenId(id + 20 * number)).collect()
}

fn reply(ticket: torchless_engine::Ticket) -> Vec<TokenId> {
    let mut tokens = Vec::new();
    for event in ticket {
        match event {
            Event::Token { id, .. } => tokens.push(id),
            Event::Failed { error } => panic!("{error}"),
            _ => {}
        }
    }
    tokens
}

fn options() -> LlamaRunnerOptions {
    LlamaRunnerOptions { max_seq_len: Some(128), sequences: 2, max_running: 3, max_batch_tokens: 64 }
}

#[test]
fn the_engine_drives_it_with_more_requests_than_it_has_sequences() {
    let Some(model) = load(|config| config) else { return };
    let texts = [
        "Once upon a time",
        "Lily liked to",
        "One day, a boy",
        "The dog was very",
        "Tom and his mom",
        "There was a little bird",
        "She said",
        "They went to the park and",
    ];
    let prompts = texts.map(|text| model.tokenize(text, true).unwrap());
    let stop_ids = vec![model.token_eos().id().unwrap()];
    let request = |number: usize| Request {
        sampler: greedy(),
        max_tokens: 20,
        stop_ids: stop_ids.clone(),
        ..Request::new(prompts[number].clone())
    };
    let mut context = model.create_context().unwrap();
    let options_of = || GenerateOptions { max_tokens: Some(20), sampler: greedy(), ..Default::default() };
    let wanted: Vec<_> =
        prompts.iter().map(|prompt| context.generate(prompt, options_of()).unwrap().tokens).collect();
    drop(context);
    let runner = LlamaRunner::new(model, options()).unwrap();
    let info = runner.info();
    assert_eq!((info.vocab, info.max_seq_len, info.max_batch_tokens, info.blocks), (1280, 128, 64, 8));
    let engine = Engine::start(Box::new(runner), EngineConfig::default()).unwrap();
    for (number, wanted) in wanted.iter().enumerate() {
        assert_eq!(reply(engine.submit(request(number)).unwrap()), *wanted, "alone, {number}");
    }
    let tickets: Vec<_> = (0..8).map(|number| engine.submit(request(number)).unwrap()).collect();
    for (ticket, wanted) in tickets.into_iter().zip(&wanted) {
        // In company the library adds up in another order, so a near tie may fall the other way late in a reply.
        assert_eq!(reply(ticket)[..6], wanted[..6]);
    }
}

#[test]
fn sequences_are_forked_cut_and_released_by_the_schedulers_numbers() {
    let Some(model) = load(|config| config) else { return };
    let mut runner = LlamaRunner::new(model, options()).unwrap();
    assert!(runner.keeps_state());
    assert_eq!(runner.max_sequences(), 3);
    let (mut plan, mut logits) = (StepPlan::default(), Logits::default());
    let blocks: Vec<_> = (0..4).map(torchless_base::BlockId).collect();
    let tokens = prompt(1);
    plan.push((SeqId(70), 0), &tokens, &blocks, Wanted::All);
    runner.step(&plan, &mut logits).unwrap();
    assert_eq!(logits.rows(), tokens.len());
    let at_8 = logits.row(8).to_vec();
    runner.fork(SeqId(70), SeqId(71)).unwrap();
    assert_eq!(runner.truncate(SeqId(71), 8).unwrap(), 8);
    let mut again = |seq: u32, start: usize| {
        plan.clear();
        plan.push((SeqId(seq), start), &tokens[start..9], &blocks, Wanted::Last);
        runner.step(&plan, &mut logits).map(|()| logits.row(0).to_vec())
    };
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.05);
    assert!(close(&again(71, 8).unwrap(), &at_8));
    // A step that starts earlier than the sequence ends goes back first.
    assert!(close(&again(71, 2).unwrap(), &at_8));
    let said = again(72, 4).unwrap_err().to_string();
    assert!(said.contains("go on at 4, of which 0 positions"), "{said}");
    let said = again(73, 0).unwrap_err().to_string();
    assert!(said.contains("3 sequences run already"), "{said}");
    runner.release(SeqId(72));
    runner.release(SeqId(99));
    plan.clear();
    plan.push((SeqId(73), 0), &tokens[..9], &blocks, Wanted::Last);
    runner.step(&plan, &mut logits).unwrap();
    assert!(close(logits.row(0), &at_8));
}

#[test]
fn short_contexts_and_steps_hold_as_many_sequences_as_tokens() {
    let Some(model) = load(|config| config) else { return };
    let model = Arc::new(model);
    for (max_seq_len, max_batch_tokens, sequences) in
        [(1, 512, 1), (15, 512, 15), (16, 512, 16), (64, 1, 1), (64, 5, 5)]
    {
        let options =
            LlamaRunnerOptions { max_seq_len: Some(max_seq_len), max_batch_tokens, ..Default::default() };
        let runner = LlamaRunner::new(Arc::clone(&model), options).unwrap();
        assert_eq!((runner.info().max_seq_len, runner.max_sequences()), (max_seq_len as usize, sequences));
    }
}
