//! What the decoder asks of a device, as a person can read it.

use crate::support::Tiny;
use torchless_base::{BlockCopy, BlockId, Logits, Runner, SeqId, StepPlan, TokenId, Wanted};
use torchless_device::Recorder;
use torchless_model::{LoadOptions, load, spec};

#[test]
fn a_step_of_two_sequences() {
    let checkpoint = Tiny::llama().checkpoint();
    let spec = spec(&checkpoint).unwrap();
    let recorder = Recorder::new();
    let transcript = recorder.transcript();
    let mut runner =
        load(&checkpoint, spec, Box::new(recorder), &LoadOptions::default(), &mut |_, _| {}).unwrap();
    let mut plan = StepPlan::default();
    plan.push((SeqId(1), 0), &[1, 2, 3].map(TokenId), &[BlockId(0)], Wanted::Nothing);
    plan.push((SeqId(2), 4), &[5, 6].map(TokenId), &[BlockId(1)], Wanted::Last);
    plan.copies.push(BlockCopy { from: BlockId(0), to: BlockId(1) });
    runner.step(&plan, &mut Logits::default()).unwrap();
    insta::assert_snapshot!(transcript.text());
}
