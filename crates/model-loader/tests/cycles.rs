//! Loading and freeing a thousand times leaves nothing behind.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use model_loader::{Library, Model, TokenId};

#[path = "suite/support.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod support;

/// Bytes of this process that are in memory and belong to no file.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

fn cycle(library: Library) {
    let config = support::config(&support::story()).with_context_size(64);
    let model = Model::load_with(library, config).unwrap();
    let mut context = model.create_context().unwrap();
    context.decode(&[TokenId(300), TokenId(301)]).unwrap();
    context.logits().unwrap();
    assert!(context.save_state().is_ok());
}

/// Bytes that so many cycles left behind.
fn growth(library: Library, cycles: usize) -> u64 {
    let before = resident();
    (0..cycles).for_each(|_| cycle(library));
    resident().saturating_sub(before)
}

#[test]
fn a_thousand_models_come_and_go_without_growth() {
    let Some(library) = support::library() else { return };
    (0..100).for_each(|_| cycle(library));
    let rounds: [u64; 5] = std::array::from_fn(|_| growth(library, 200));
    println!("bytes more after each 200 cycles: {rounds:?}");
    // A leak is there in every round: 240 MB where models leak, 20 MB where vocabularies do, 400 KB or more where a page does. An
    // allocator that cuts its memory into pieces takes some megabytes in one round and then goes on with them.
    let least = rounds.into_iter().min().unwrap();
    assert!(least < 128 << 10, "every 200 cycles leave {least} bytes or more: {rounds:?}");
}
