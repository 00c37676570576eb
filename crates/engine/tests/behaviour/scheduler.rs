//! Plans and commits, driven by hand: what a sequence yields does not depend on company, and nothing leaks.

use crate::fake::{Fake, alone, info, request};
use std::collections::HashMap;
use torchless_base::{Logits, Runner, RunnerInfo, SeqId, StepPlan, TokenId, Wanted};
use torchless_engine::{
    Choices, EngineConfig, FinishReason, PrefixReuse, Request, Scheduler, SeqChange, SeqEvent, SequenceSpec,
    Stats,
};
use torchless_sampler::{Choice, Rng, Sampler, Scratch};

struct Drive {
    scheduler: Scheduler,
    runner: Fake,
    plan: StepPlan,
    logits: Logits,
    samplers: HashMap<SeqId, Sampler>,
    events: Vec<SeqEvent>,
    copies: usize,
}

impl Drive {
    fn new(info: &RunnerInfo, config: EngineConfig) -> Self {
        Self {
            scheduler: Scheduler::new(info, config).unwrap(),
            runner: Fake::new(*info, config.prefix_reuse),
            plan: StepPlan::default(),
            logits: Logits::default(),
            samplers: HashMap::new(),
            events: Vec::new(),
            copies: 0,
        }
    }

    fn submit(&mut self, request: &Request) -> SeqId {
        let limits = self.scheduler.limits();
        let (tokens, stop_ids) = (request.tokens.clone(), request.stop_ids.clone());
        let spec = SequenceSpec { tokens, max_tokens: request.max_tokens, stop_ids };
        let seq = self.scheduler.submit(limits.accept(spec).unwrap());
        self.samplers.insert(seq, Sampler::new(request.sampler.clone(), limits.vocab).unwrap());
        seq
    }

    fn step(&mut self) -> bool {
        let planned = self.scheduler.plan(&mut self.plan);
        self.scheduler.drain_released().for_each(|seq| self.runner.release(seq));
        if !planned {
            return false;
        }
        self.copies += self.plan.copies.len();
        self.runner.step(&self.plan, &mut self.logits).unwrap();
        let mut scratch = Scratch::new(self.scheduler.limits().vocab);
        let mut row = 0;
        let mut choices = Choices::default();
        for slice in &self.plan.slices {
            choices.push((slice.wanted == Wanted::Last).then(|| {
                row += 1;
                let history = self.scheduler.known(slice.seq).unwrap();
                let sampler = self.samplers.get_mut(&slice.seq).unwrap();
                sampler.pick(self.logits.row(row - 1), history, &mut scratch).unwrap()
            }));
        }
        self.scheduler.commit(&self.plan, &choices, &mut self.events);
        self.scheduler.drain_released().for_each(|seq| self.runner.release(seq));
        true
    }

    /// Runs until nothing is left, or panics where that takes absurdly long.
    fn finish(&mut self) {
        for _ in 0..100_000 {
            if !self.step() {
                assert!(self.scheduler.is_idle(), "sequences are left but none can run");
                return;
            }
        }
        panic!("no end in sight");
    }

    /// Tokens of one sequence, and how it ended.
    fn outcome(&self, seq: SeqId) -> (Vec<TokenId>, FinishReason, Stats) {
        let (mut tokens, mut end) = (Vec::new(), None);
        for event in self.events.iter().filter(|event| event.seq == seq) {
            assert!(end.is_none(), "{event:?} comes after the end");
            match event.what {
                SeqChange::Token(choice) => tokens.push(choice.token),
                SeqChange::Finished { reason, stats } => end = Some((reason, stats)),
                SeqChange::Prompt { .. } => {}
            }
        }
        let (reason, stats) = end.unwrap();
        (tokens, reason, stats)
    }
}

fn config(rng: &mut Rng) -> EngineConfig {
    EngineConfig {
        max_running: 1 + (rng.next_u64() % 6) as usize,
        prefill_chunk: 1 + (rng.next_u64() % 6) as usize,
        prefix_reuse: if rng.next_u64().is_multiple_of(3) { PrefixReuse::Off } else { PrefixReuse::Blocks },
        ..EngineConfig::default()
    }
}

#[test]
fn alone_equals_in_company_and_nothing_leaks() {
    let mut sums = Stats::default();
    let mut copies = 0;
    for seed in 0..500 {
        let mut rng = Rng::new(seed);
        let info = info(&mut rng);
        let config = config(&mut rng);
        let mut drive = Drive::new(&info, config);
        let mut sequences = Vec::new();
        for _ in 0..12 {
            let request = request(&mut rng, &info);
            sequences.push((drive.submit(&request), request));
            for _ in 0..rng.next_u64() % 4 {
                drive.step();
            }
        }
        drive.finish();
        for (seq, request) in &sequences {
            let (tokens, reason, stats) = drive.outcome(*seq);
            assert_eq!((tokens, reason), alone(request, &info), "seed {seed}: {info:?}, {config:?}");
            sums.preemptions += stats.preemptions;
            sums.reused_tokens += stats.reused_tokens;
        }
        copies += drive.copies;
        assert_eq!(drive.scheduler.free_blocks(), info.blocks, "seed {seed}");
        assert_eq!(drive.runner.sequences(), 0, "seed {seed}");
    }
    assert!(sums.preemptions > 100 && sums.reused_tokens > 1000 && copies > 10, "{sums:?}, {copies} copies");
}

#[test]
fn cancelling_at_any_time_disturbs_no_one_else() {
    for seed in 1000..1200 {
        let mut rng = Rng::new(seed);
        let info = info(&mut rng);
        let mut drive = Drive::new(&info, config(&mut rng));
        let requests: Vec<Request> = (0..10).map(|_| request(&mut rng, &info)).collect();
        let sequences: Vec<SeqId> = requests.iter().map(|request| drive.submit(request)).collect();
        for _ in 0..12 {
            let victim = sequences[(rng.next_u64() % 10) as usize];
            drive.scheduler.cancel(victim, &mut drive.events);
            drive.step();
        }
        drive.finish();
        for (seq, request) in sequences.iter().zip(&requests) {
            let (tokens, reason, _) = drive.outcome(*seq);
            let (want, end) = alone(request, &info);
            match reason {
                FinishReason::Cancelled => assert!(want.starts_with(&tokens), "seed {seed}"),
                reason => assert_eq!((tokens, reason), (want, end), "seed {seed}"),
            }
        }
        assert_eq!(
            (drive.scheduler.free_blocks(), drive.runner.sequences()),
            (info.blocks, 0),
            "seed {seed}"
        );
    }
}

#[test]
fn a_failed_step_ends_its_sequences_and_frees_their_blocks() {
    let info = RunnerInfo {
        vocab: 9,
        max_seq_len: 20,
        max_batch_tokens: 8,
        block_len: 4,
        blocks: 10,
        turning_point: None,
    };
    let mut drive = Drive::new(&info, EngineConfig { max_running: 2, ..EngineConfig::default() });
    let request = |n| Request { max_tokens: 3, ..Request::new(vec![TokenId(n); 3]) };
    let sequences = [1, 2, 3].map(|n| drive.submit(&request(n)));
    assert!(drive.scheduler.plan(&mut drive.plan));
    drive.scheduler.fail(&drive.plan, &mut drive.events);
    drive.finish();
    assert_eq!(drive.outcome(sequences[0]).1, FinishReason::Failed);
    assert_eq!(drive.outcome(sequences[1]).1, FinishReason::Failed);
    assert_eq!(drive.outcome(sequences[2]).0, alone(&request(3), &info).0);
    assert_eq!(drive.scheduler.free_blocks(), 10);
}

fn long(vocab: u32, len: u32) -> Request {
    Request::new((0..len).map(|i| TokenId(i % vocab)).collect())
}

#[test]
fn a_long_prompt_does_not_make_others_wait() {
    let info = RunnerInfo {
        vocab: 50,
        max_seq_len: 200,
        max_batch_tokens: 32,
        block_len: 8,
        blocks: 60,
        turning_point: None,
    };
    let config = EngineConfig { prefill_chunk: 10, ..EngineConfig::default() };
    let mut drive = Drive::new(&info, config);
    let talker = drive.submit(&Request { max_tokens: 40, ..Request::new(vec![TokenId(3)]) });
    drive.step();
    let reader = drive.submit(&Request { max_tokens: 1, ..long(50, 95) });
    for step in 0..10 {
        drive.step();
        let slices = &drive.plan.slices;
        assert_eq!((slices[0].seq, slices[0].tokens.len()), (talker, 1), "step {step}");
        let chunk = if step < 9 { 10 } else { 5 };
        assert_eq!((slices[1].seq, slices[1].tokens.len()), (reader, chunk), "step {step}");
    }
    let progress: Vec<_> = drive
        .events
        .iter()
        .filter(|event| event.seq == reader)
        .filter_map(|event| match event.what {
            SeqChange::Prompt { done, total } => Some((done, total)),
            _ => None,
        })
        .collect();
    assert_eq!(progress.len(), 10);
    assert_eq!((progress[0], progress[9]), ((10, 95), (95, 95)));
    drive.finish();
    let whole = drive.submit(&long(49, 90));
    drive.step();
    assert_eq!(
        (drive.plan.slices[0].seq, drive.plan.slices[0].tokens.len()),
        (whole, 32),
        "alone: whole steps"
    );
}

#[test]
fn a_prompt_seen_before_costs_one_token() {
    let info = RunnerInfo {
        vocab: 50,
        max_seq_len: 200,
        max_batch_tokens: 64,
        block_len: 8,
        blocks: 60,
        turning_point: None,
    };
    let mut drive = Drive::new(&info, EngineConfig::default());
    let request = Request { max_tokens: 2, ..long(50, 48) };
    for reused in [0, 47, 47] {
        let seq = drive.submit(&request);
        drive.finish();
        let (tokens, _, stats) = drive.outcome(seq);
        assert_eq!((tokens, stats.reused_tokens), (alone(&request, &info).0, reused));
    }
    // Two at once: the second shares blocks that the first computes in the same breath.
    let mut request = Request { max_tokens: 2, ..long(50, 96) };
    request.tokens.reverse();
    let sequences = [drive.submit(&request), drive.submit(&request)];
    drive.finish();
    let stats = sequences.map(|seq| drive.outcome(seq).2.reused_tokens);
    assert_eq!(stats, [0, 64]);
}

/// First position, tokens and known tokens of each slice of one sequence that always gets token 1.
fn slices(scheduler: &mut Scheduler, tokens: &[u32], max_tokens: usize) -> Vec<(usize, usize, usize)> {
    let tokens = tokens.iter().map(|&t| TokenId(t)).collect();
    let spec = SequenceSpec { tokens, max_tokens, stop_ids: Vec::new() };
    scheduler.submit(scheduler.limits().accept(spec).unwrap());
    let (mut plan, mut events, mut seen) = (StepPlan::default(), Vec::new(), Vec::new());
    while scheduler.plan(&mut plan) {
        let slice = &plan.slices[0];
        seen.push((slice.start, slice.tokens.len(), slice.known));
        let mut choices = Choices::default();
        choices.push((slice.wanted == Wanted::Last).then_some(Choice { token: TokenId(1), logprob: None }));
        scheduler.commit(&plan, &choices, &mut events);
    }
    seen
}

#[test]
fn who_grows_beyond_the_turning_point_starts_anew() {
    let info = RunnerInfo {
        vocab: 9,
        max_seq_len: 40,
        max_batch_tokens: 8,
        block_len: 2,
        blocks: 20,
        turning_point: Some(4),
    };
    let mut scheduler = Scheduler::new(&info, EngineConfig::default()).unwrap();
    assert_eq!(slices(&mut scheduler, &[1, 1, 1], 4), [(0, 3, 3), (3, 1, 4), (0, 5, 5), (5, 1, 6)]);
    // Blocks of the short time serve short sequences, those of the long time long ones.
    assert_eq!(slices(&mut scheduler, &[1, 1, 1, 1], 1), [(3, 1, 4)]);
    assert_eq!(slices(&mut scheduler, &[1; 5], 1), [(4, 1, 5)]);
    assert_eq!(slices(&mut scheduler, &[2, 2, 2, 2, 2], 1), [(0, 5, 5)]);
    assert_eq!(slices(&mut scheduler, &[2, 2, 2], 1), [(0, 3, 3)]);
    // A long prompt knows its length from the first part on.
    assert_eq!(slices(&mut scheduler, &[3; 10], 1), [(0, 8, 10), (8, 2, 10)]);
}

#[test]
fn the_end_of_a_reply_has_a_reason() {
    let info = RunnerInfo {
        vocab: 9,
        max_seq_len: 12,
        max_batch_tokens: 8,
        block_len: 4,
        blocks: 10,
        turning_point: None,
    };
    let mut drive = Drive::new(&info, EngineConfig::default());
    let mut run = |request: Request| {
        let seq = drive.submit(&request);
        drive.finish();
        let (tokens, reason, stats) = drive.outcome(seq);
        assert_eq!(stats.reply_tokens, tokens.len());
        (tokens.len(), reason)
    };
    let prompt = || Request::new(vec![TokenId(1); 5]);
    assert_eq!(run(Request { max_tokens: 0, ..prompt() }), (0, FinishReason::Length));
    assert_eq!(run(Request { max_tokens: 4, ..prompt() }), (4, FinishReason::Length));
    // The token after the last position can be chosen, though not computed.
    assert_eq!(run(prompt()), (8, FinishReason::ContextFull));
    assert_eq!(run(Request::new(vec![TokenId(1); 12])), (1, FinishReason::ContextFull));
    let mut stopped = prompt();
    let reply = alone(&stopped, &info).0;
    let at = reply.iter().position(|&token| token == reply[3]).unwrap();
    stopped.stop_ids = vec![TokenId(0), reply[3]];
    let first = reply.iter().position(|token| stopped.stop_ids.contains(token)).unwrap();
    assert!(first <= at);
    assert_eq!(run(stopped), (first, FinishReason::Stop(reply[first])));
}
