//! In steady state planning and committing allocate nothing, whatever blocks do meanwhile.

use torchless_base::{RunnerInfo, StepPlan, TokenId, Wanted};
use torchless_engine::{Choices, EngineConfig, Scheduler, SeqChange, SequenceSpec};
use torchless_sampler::Choice;

#[test]
fn a_step_allocates_nothing() {
    // 4 x 300 tokens in blocks of 4, of which the pool has so few that old contents are evicted all the time.
    let info = RunnerInfo {
        vocab: 100,
        max_seq_len: 400,
        max_batch_tokens: 64,
        block_len: 4,
        blocks: 330,
        turning_point: None,
    };
    let mut scheduler = Scheduler::new(&info, EngineConfig::default()).unwrap();
    let (mut plan, mut events) = (StepPlan::default(), Vec::with_capacity(64));
    let mut choices = Choices::default();
    let mut produced = 0;
    for round in 0..3 {
        for n in 0..4 {
            let tokens = (0..20).map(|i| TokenId((i * 7 + n + round) % 100)).collect();
            let spec = SequenceSpec { tokens, max_tokens: 300, stop_ids: vec![TokenId(99)] };
            let accepted = scheduler.limits().accept(spec).unwrap();
            scheduler.submit(accepted);
        }
        let mut step = |scheduler: &mut Scheduler, produced: &mut usize| {
            scheduler.plan(&mut plan);
            scheduler.drain_released().for_each(drop);
            choices.clear();
            for (i, slice) in plan.slices.iter().enumerate() {
                let token = TokenId(((*produced + i * 31) % 99) as u32);
                choices.push((slice.wanted != Wanted::Nothing).then_some(Choice { token, logprob: None }));
            }
            events.clear();
            scheduler.commit(&plan, &choices, &mut events);
            *produced += events.iter().filter(|event| matches!(event.what, SeqChange::Token(_))).count();
        };
        for _ in 0..10 {
            step(&mut scheduler, &mut produced);
        }
        let before = produced;
        let allocated = allocation_counter::measure(|| {
            for _ in 0..200 {
                step(&mut scheduler, &mut produced);
            }
        });
        assert_eq!(allocated.count_total, 0, "round {round}");
        assert_eq!(produced - before, 800, "round {round}");
        while !scheduler.is_idle() {
            step(&mut scheduler, &mut produced);
        }
    }
}
