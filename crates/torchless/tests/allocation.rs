//! A decode step of a whole model allocates nothing once the first steps have made room, and what cannot fit takes little before it is
//! refused.
//!
//! Counted on this thread, the only one that computes here: workers of the pool run the same code on their shares.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use torchless::{
    CacheType, Error, Model, ModelOptions, Prompt, Residency, RunPrecision, Source, open_runner,
};
use torchless_base::{BlockId, Logits, Runner, SeqId, StepPlan, TokenId, Wanted};
use torchless_model::NativeRunner;

const SEQUENCES: u32 = 3;

/// Steps by one token in every sequence.
fn step(runner: &mut NativeRunner, plan: &mut StepPlan, logits: &mut Logits, position: usize) {
    let info = runner.info();
    let each = info.max_seq_len.div_ceil(info.block_len) as u32;
    let mut blocks = [BlockId(0); 64];
    plan.clear();
    for seq in 0..SEQUENCES {
        let needed = (position + 1).div_ceil(info.block_len);
        blocks.iter_mut().zip(seq * each..).for_each(|(to, block)| *to = BlockId(block));
        let token = TokenId((position as u32 * 31 + seq * 7) % info.vocab as u32);
        plan.push((SeqId(seq), position), &[token], &blocks[..needed], Wanted::Last);
    }
    runner.step(plan, logits).unwrap();
}

fn check(options: ModelOptions) {
    let options = ModelOptions { threads: Some(1), sequences: 3, max_seq_len: Some(256), ..options };
    let checkpoint = Source::Inside.checkpoint().unwrap();
    let mut runner = open_runner(&Source::Inside, &checkpoint, &options, &mut |_, _| {}).unwrap();
    let (mut plan, mut logits) = (StepPlan::default(), Logits::default());
    // Lists of blocks grow with the text, and weights are packed in the first five steps; both are done before counting begins.
    step(&mut runner, &mut plan, &mut logits, 255);
    (0..4).for_each(|position| step(&mut runner, &mut plan, &mut logits, position));
    let allocated = allocation_counter::measure(|| {
        (4..40).for_each(|position| step(&mut runner, &mut plan, &mut logits, position));
    });
    assert_eq!(allocated.count_total, 0, "{} bytes with {options:?}", allocated.bytes_total);
}

#[test]
fn a_decode_step_allocates_nothing() {
    let all = torchless_kernels::available();
    assert!(!all.is_empty());
    for table in all {
        for residency in [Residency::Resident, Residency::Mapped { limit: None }] {
            let kernels = Some(table.name.to_owned());
            check(ModelOptions { kernels: kernels.clone(), residency, ..ModelOptions::default() });
            let cache = Some(CacheType::F32);
            check(ModelOptions { kernels: kernels.clone(), residency, cache, ..ModelOptions::default() });
            let precision = RunPrecision::Exact;
            check(ModelOptions { kernels, residency, precision, ..ModelOptions::default() });
        }
    }
}

#[test]
fn the_count_sees_allocations() {
    let allocated = allocation_counter::measure(|| drop(std::hint::black_box(vec![1u8; 100])));
    assert_eq!(allocated.count_total, 1);
}

#[test]
fn a_prompt_that_is_far_too_long_takes_the_memory_of_copies() {
    let model = Model::open(&Source::Inside, &ModelOptions::default(), &mut |_, _| {}).unwrap();
    let bytes = 4 << 20;
    let prompt = model.admit(Prompt::Text("a".repeat(bytes))).unwrap();
    let allocated = allocation_counter::measure(|| {
        assert!(matches!(model.encode(&prompt), Err(Error::PromptTooLong { .. })));
    });
    assert!(allocated.bytes_max < 4 * bytes as u64, "{} bytes", allocated.bytes_max);
}
