//! Contexts: sequences, states, embeddings, threads, options.

use std::sync::Arc;

use model_loader::{Batch, ContextConfig, Error, KvType, Model, Pooling, State, TokenId, Wanted};

use crate::support::load;

fn ids(range: std::ops::Range<u32>) -> Vec<TokenId> {
    range.map(TokenId).collect()
}

fn is_send<T: Send>(_: &T) {}
fn is_sync<T: Sync>(_: &T) {}

#[test]
fn two_contexts_in_two_threads_compute_what_one_does() {
    let Some(model) = load(|config| config) else { return };
    is_sync(&model);
    let alone = |prompt: &[TokenId]| {
        let mut context = model.create_context().unwrap();
        is_send(&context);
        context.generate(prompt, 40).unwrap()
    };
    let (first, second) = (ids(300..320), ids(400..430));
    let wanted = (alone(&first), alone(&second));
    std::thread::scope(|scope| {
        let threads = [(&first, &wanted.0), (&second, &wanted.1)].map(|(prompt, wanted)| {
            scope.spawn(move || (0..5).for_each(|_| assert_eq!(alone(prompt), *wanted)))
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_state_goes_on_where_it_was_saved() {
    let Some(model) = load(|config| config) else { return };
    let mut context = model.create_context().unwrap();
    context.decode(&ids(300..340)).unwrap();
    let state = context.save_state().unwrap();
    let next = |context: &mut model_loader::Context<'_>| {
        context.decode(&[TokenId(500)]).unwrap();
        context.logits().unwrap().to_vec()
    };
    let wanted = next(&mut context);
    let state = State::from_bytes(&state.to_bytes()).unwrap();
    let mut other = model.create_context().unwrap();
    other.decode(&ids(600..700)).unwrap();
    other.restore_state(&state).unwrap();
    assert_eq!(other.tokens(0), ids(300..340));
    assert!(other.logits().is_err());
    assert_eq!(next(&mut other), wanted);
    let config = ContextConfig { context_size: Some(1024), ..model.context_config().clone() };
    let mut larger = model.create_context_with(&config).unwrap();
    let said = larger.restore_state(&state).unwrap_err().to_string();
    assert!(said.contains("512 positions") && said.contains("1024 positions"), "{said}");
}

#[test]
fn sequences_lie_side_by_side() {
    let Some(model) = load(|config| config.with_sequences(3)) else { return };
    let mut context = model.create_context().unwrap();
    assert_eq!((context.context_size(), context.sequence_count()), (512, 3));
    let alone = |tokens: &[TokenId]| {
        let mut context = model.create_context().unwrap();
        context.decode(tokens).unwrap();
        context.logits().unwrap().to_vec()
    };
    let mut batch = Batch::default();
    batch.extend(0, &ids(300..310), Wanted::Last);
    batch.extend(2, &ids(400..420), Wanted::Last);
    context.decode_batch(&batch).unwrap();
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.05);
    assert!(close(context.logits_of(0).unwrap(), &alone(&ids(300..310))));
    assert!(close(context.logits_of(1).unwrap(), &alone(&ids(400..420))));
    context.copy_sequence(2, 1).unwrap();
    assert_eq!(context.truncate(1, 15).unwrap(), 15);
    assert_eq!(context.truncate(1, 99).unwrap(), 15);
    batch.clear();
    batch.extend(1, &ids(500..505), Wanted::Last);
    context.decode_batch(&batch).unwrap();
    assert!(close(context.logits().unwrap(), &alone(&[ids(400..415), ids(500..505)].concat())));
    assert_eq!([0, 1, 2].map(|sequence| context.tokens(sequence).len()), [10, 20, 20]);
    assert!(matches!(context.truncate(3, 0), Err(Error::Sequence { sequence: 3, sequences: 3 })));
    batch.extend(3, &ids(1..2), Wanted::Last);
    assert!(matches!(context.decode_batch(&batch), Err(Error::Sequence { .. })));
}

#[test]
fn one_sequence_may_fill_what_all_share() {
    let Some(model) = load(|config| config.with_sequences(4)) else { return };
    let mut context = model.create_context().unwrap();
    let full = ids(300..812);
    context.decode(&full).unwrap();
    assert!(matches!(context.decode(&ids(1..2)), Err(Error::TooLong { len: 513, limit: 512 })));
    // All room is taken, whoever asks; and what is there stays.
    let mut batch = Batch::default();
    batch.extend(1, &ids(1..4), Wanted::Last);
    assert!(matches!(context.decode_batch(&batch), Err(Error::TooLong { .. })));
    assert_eq!((context.tokens(0).len(), context.tokens(1).len()), (512, 0));
    context.truncate(0, 500).unwrap();
    context.decode_batch(&batch).unwrap();
    assert_eq!(context.tokens(1).len(), 3);
}

#[test]
fn embeddings_of_texts_are_made_of_those_of_tokens() {
    let Some(model) = load(|config| config) else { return };
    let with =
        |pooling| ContextConfig { pooling: Some(pooling), context_size: Some(512), ..Default::default() };
    let text = ids(300..312);
    let tokens = model.create_context_with(&with(Pooling::None)).unwrap().embed_tokens(&text).unwrap();
    assert_eq!((tokens.len(), tokens[0].len()), (12, 128));
    let pooled = |pooling| model.create_context_with(&with(pooling)).unwrap().embed(&text).unwrap();
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3 * (1.0 + b.abs()));
    assert!(close(&pooled(Pooling::Last), &tokens[11]));
    assert!(close(&pooled(Pooling::Cls), &tokens[0]));
    let mean: Vec<f32> =
        (0..128).map(|at| tokens.iter().map(|token| token[at]).sum::<f32>() / 12.0).collect();
    assert!(close(&pooled(Pooling::Mean), &mean));
    assert!(!close(&tokens[0], &tokens[1]));
    let mut context = model.create_context_with(&with(Pooling::Mean)).unwrap();
    assert!(context.embed_tokens(&text).is_err());
    assert!(matches!(context.embed(&ids(0..600)), Err(Error::BatchTooLong { tokens: 600, limit: 512 })));
    assert!(matches!(context.embed(&[]), Err(Error::NoTokens)));
    // The same context still generates.
    assert_eq!(context.generate(&text, 5).unwrap().tokens.len(), 5);
    let mut plain = model.create_context().unwrap();
    assert!(plain.embed(&text).unwrap_err().to_string().contains("with_pooling"));
}

#[test]
fn options_reach_the_library() {
    let Some(model) = load(|config| config.with_mmap(false).with_batch_size(64).with_ubatch_size(32)) else {
        return;
    };
    let prompt = ids(300..320);
    let logits = |config: &ContextConfig| {
        let mut context = model.create_context_with(config).unwrap();
        context.decode(&prompt).unwrap();
        context.logits().unwrap().to_vec()
    };
    let own = model.context_config().clone();
    assert_eq!(model.create_context().unwrap().batch_size(), 64);
    let plain = logits(&own);
    let differs = |config: ContextConfig| {
        let other = logits(&config);
        let difference = plain.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1.0, "{difference}");
        difference
    };
    let flash = ContextConfig { flash_attention: Some(true), ..own.clone() };
    assert!(
        differs(ContextConfig { flash_attention: Some(false), kv_type: Some(KvType::F32), ..own.clone() })
            > 0.0
    );
    assert!(differs(ContextConfig { kv_type: Some(KvType::Q8_0), ..flash }) > 0.0);
    assert!(matches!(
        model.create_context_with(&ContextConfig { kv_type: Some(KvType::Q4_0), ..own }),
        Err(Error::Option { option: "KV type", .. })
    ));
}

#[test]
fn a_shared_context_keeps_its_model() {
    let Some(model) = load(|config| config) else { return };
    let model: Arc<Model> = Arc::new(model);
    let mut context = model.create_shared_context(&model.context_config().clone()).unwrap();
    drop(model);
    let thread = std::thread::spawn(move || context.generate(&ids(300..305), 5).unwrap().tokens.len());
    assert_eq!(thread.join().unwrap(), 5);
}
