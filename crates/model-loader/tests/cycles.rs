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

#[test]
fn a_thousand_models_come_and_go_without_growth() {
    let Some(library) = support::library() else { return };
    (0..100).for_each(|_| cycle(library));
    let before = resident();
    (0..1000).for_each(|_| cycle(library));
    let growth = resident().saturating_sub(before);
    println!("{growth} bytes more after 1000 cycles");
    // A leaked model would be 1.2 GB, a leaked vocabulary 100 MB; what the allocator keeps in pieces comes to one or two MB at times.
    assert!(growth < 4 << 20, "{growth} bytes were left behind");
}
