//! The worker and its tickets: streaming, cancellation, failures, many threads. Nothing here waits for time to
//! pass; where order matters, the runner is held back by a channel.

use crate::fake::{Fake, alone, info, request, row};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use torchless_base::{RunError, RunnerInfo, StepPlan, TokenId};
use torchless_engine::{
    Engine, EngineConfig, Event, FinishReason, PrefixReuse, Request, RequestError, StartError, SubmitError,
    Ticket,
};
use torchless_sampler::{Constraint, Rng, SampleError, SamplerConfig, TokenMask};

const INFO: RunnerInfo = RunnerInfo {
    vocab: 40,
    max_seq_len: 64,
    max_batch_tokens: 16,
    block_len: 4,
    blocks: 64,
    turning_point: None,
};

fn fake() -> Fake {
    Fake::new(INFO, PrefixReuse::Blocks)
}

fn start(runner: Fake) -> Engine {
    Engine::start(Box::new(runner), EngineConfig::default()).unwrap()
}

fn prompt(tokens: &[u32]) -> Request {
    Request { max_tokens: 8, ..Request::new(tokens.iter().map(|&t| TokenId(t)).collect()) }
}

/// A runner that waits at each step until it is let go, and says so before.
fn held() -> (Fake, Receiver<usize>, Sender<()>) {
    let (reached, at_step) = channel();
    let (go, may_go) = channel();
    let runner = fake().before(move |plan: &StepPlan| {
        // The test may be over already.
        let _ = reached.send(plan.slices.len());
        let _ = may_go.recv();
        Ok(())
    });
    (runner, at_step, go)
}

fn outcome(ticket: Ticket) -> (Vec<TokenId>, Option<Event>) {
    let (mut tokens, mut last) = (Vec::new(), None);
    for event in ticket {
        match event {
            Event::Token { id, .. } => tokens.push(id),
            event => last = Some(event),
        }
    }
    (tokens, last)
}

#[track_caller]
fn expect_reply(ticket: Ticket, request: &Request, info: &RunnerInfo) {
    let (tokens, last) = outcome(ticket);
    let (want, end) = alone(request, info);
    let Some(Event::Finished { reason, stats }) = last else { panic!("{last:?}") };
    assert_eq!((tokens, reason), (want, end));
    assert_eq!(stats.prompt_tokens, request.tokens.len());
}

#[test]
fn a_reply_streams() {
    let engine = start(fake());
    let request = prompt(&[1, 2, 3]);
    let mut ticket = engine.submit(prompt(&[1, 2, 3])).unwrap();
    assert_eq!(ticket.recv(), Some(Event::Prompt { done: 3, total: 3 }));
    expect_reply(ticket, &request, &INFO);
}

/// The fake asks that what it keeps of a sequence begins with its first token.
#[test]
fn a_runner_with_state_gets_every_prompt_whole() {
    let engine = start(Fake::new(INFO, PrefixReuse::Off));
    let tokens: Vec<u32> = (0..30).collect();
    for _ in 0..2 {
        let ticket = engine.submit(prompt(&tokens)).unwrap();
        let (reply, last) = outcome(ticket);
        let Some(Event::Finished { stats, .. }) = last else { panic!("{last:?}") };
        assert_eq!((reply, stats.reused_tokens), (alone(&prompt(&tokens), &INFO).0, 0));
    }
}

#[test]
fn many_threads_get_what_each_would_get_alone() {
    (0..20).for_each(|seed| many_threads(seed, |runner| runner));
}

#[test]
fn lists_of_the_largest_logits_change_no_reply() {
    let asked_again = Arc::default();
    (0..40).for_each(|seed| many_threads(seed, |runner| runner.listing(&asked_again)));
    assert!(asked_again.load(Ordering::Relaxed) > 0, "some lists do not decide");
}

fn many_threads(seed: u64, change: impl FnOnce(Fake) -> Fake) {
    let mut rng = Rng::new(seed);
    let info = info(&mut rng);
    let config = EngineConfig { prefill_chunk: 3, max_running: 5, ..EngineConfig::default() };
    let engine = Engine::start(Box::new(change(Fake::new(info, PrefixReuse::Blocks))), config).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let engine = &engine;
            scope.spawn(move || {
                let mut rng = Rng::new(seed * 100 + thread);
                for _ in 0..5 {
                    // The same random numbers twice: once to submit, once to compare.
                    let state = rng.state();
                    let ticket = engine.submit(request(&mut rng, &info)).unwrap();
                    let request = request(&mut Rng::from_state(state), &info);
                    if request.max_tokens == 5 {
                        drop(ticket);
                    } else {
                        expect_reply(ticket, &request, &info);
                    }
                }
            });
        }
    });
}

#[test]
fn cancelling_ends_a_running_request_within_a_step() {
    let (runner, at_step, go) = held();
    let engine = start(runner);
    let ticket = engine.submit(prompt(&[1, 2])).unwrap();
    let other = engine.submit(Request { max_tokens: 3, ..prompt(&[5]) });
    at_step.recv().unwrap();
    let elsewhere = ticket.canceller();
    std::thread::scope(|scope| scope.spawn(move || elsewhere.cancel()).join().unwrap());
    drop(go);
    let (tokens, last) = outcome(ticket);
    assert!(tokens.len() <= 1, "{tokens:?}");
    assert!(matches!(last, Some(Event::Finished { reason: FinishReason::Cancelled, .. })), "{last:?}");
    expect_reply(other.unwrap(), &Request { max_tokens: 3, ..prompt(&[5]) }, &INFO);
}

#[test]
fn dropping_a_ticket_frees_its_place() {
    let (runner, at_step, go) = held();
    let config = EngineConfig { max_running: 1, max_queued: 1, ..EngineConfig::default() };
    let engine = Engine::start(Box::new(runner), config).unwrap();
    let running = engine.submit(Request { max_tokens: usize::MAX, ..prompt(&[1]) }).unwrap();
    at_step.recv().unwrap();
    let queued = engine.submit(prompt(&[2])).unwrap();
    let said = engine.submit(prompt(&[3])).unwrap_err();
    assert_eq!(said, SubmitError::Full { queued: 2, limit: 2 });
    assert_eq!(engine.requests(), 2);
    drop(running);
    go.send(()).unwrap();
    // The next step that runs is the queued request's.
    assert_eq!(at_step.recv(), Ok(1));
    assert_eq!(engine.requests(), 1);
    drop(go);
    expect_reply(queued, &prompt(&[2]), &INFO);
    assert_eq!(engine.requests(), 0);
}

#[test]
fn a_receiver_that_does_not_read_holds_no_one_up() {
    let engine = start(fake());
    let mut lazy = engine.submit(Request { max_tokens: 40, ..prompt(&[7]) }).unwrap();
    let quick: Vec<_> = (0..10).map(|n| (n, engine.submit(prompt(&[n])).unwrap())).collect();
    for (n, ticket) in quick {
        expect_reply(ticket, &prompt(&[n]), &INFO);
    }
    while engine.requests() > 0 {
        std::thread::yield_now();
    }
    assert!(matches!(lazy.try_recv(), Poll::Ready(Some(Event::Prompt { done: 1, total: 1 }))));
    assert_eq!(outcome(lazy).0.len(), 40);
}

#[test]
fn dropping_the_engine_fails_what_is_left() {
    let (runner, at_step, go) = held();
    let engine = start(runner);
    let running = engine.submit(prompt(&[1])).unwrap();
    at_step.recv().unwrap();
    let queued = engine.submit(prompt(&[2])).unwrap();
    let late = queued.canceller();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(engine));
        drop(go);
    });
    for ticket in [running, queued] {
        let last = outcome(ticket).1;
        let finished = matches!(last, Some(Event::Finished { .. }));
        assert!(finished || last == Some(Event::Failed { error: RequestError::Stopped }), "{last:?}");
    }
    late.cancel();
}

#[test]
fn a_failing_step_fails_its_requests_only() {
    let mut steps = 0;
    let error = RunError::Failed { runner: "fake".into(), reason: "out of order".into() };
    let failure = error.clone();
    let runner = fake().before(move |_: &StepPlan| {
        steps += 1;
        if steps == 3 { Err(failure.clone()) } else { Ok(()) }
    });
    let engine = start(runner);
    let (tokens, last) = outcome(engine.submit(prompt(&[1])).unwrap());
    assert_eq!(tokens, alone(&prompt(&[1]), &INFO).0[..2]);
    assert_eq!(last, Some(Event::Failed { error: RequestError::Run(error) }));
    expect_reply(engine.submit(prompt(&[1])).unwrap(), &prompt(&[1]), &INFO);
}

#[test]
fn a_panic_of_the_runner_is_an_error_of_the_request() {
    let mut steps = 0;
    let runner = fake().before(move |_: &StepPlan| {
        steps += 1;
        assert_ne!(steps, 2, "a bug");
        Ok(())
    });
    let engine = start(runner);
    let last = outcome(engine.submit(prompt(&[1])).unwrap()).1;
    let Some(Event::Failed { error: RequestError::Panicked { who: "runner", message } }) = last else {
        panic!("{last:?}");
    };
    assert!(message.contains("a bug"), "{message}");
    expect_reply(engine.submit(prompt(&[1])).unwrap(), &prompt(&[1]), &INFO);
}

/// Allows even tokens, and panics or allows nothing after a few.
struct Even {
    left: usize,
    then_panic: bool,
}

impl Constraint for Even {
    fn allow(&mut self, mask: &mut TokenMask) {
        assert!(self.left > 0 || !self.then_panic, "no grammar left");
        let even = (0..mask.vocab() as u32).step_by(2).filter(|_| self.left > 0);
        even.for_each(|id| assert!(mask.insert(TokenId(id))));
    }
    fn accept(&mut self, _: TokenId) {
        self.left -= 1;
    }
    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(Self { ..*self })
    }
}

#[test]
fn a_constraint_that_fails_fails_its_request_only() {
    let engine = start(fake());
    let constrained = |then_panic| {
        let constraint: Box<dyn Constraint> = Box::new(Even { left: 3, then_panic });
        engine.submit(Request { constraint: Some(constraint), ..prompt(&[1]) }).unwrap()
    };
    let tickets = [constrained(false), constrained(true)];
    let free = engine.submit(prompt(&[9])).unwrap();
    let [(tokens, nothing), (_, panicked)] = tickets.map(outcome);
    assert!(tokens.len() == 3 && tokens.iter().all(|token| token.0 % 2 == 0), "{tokens:?}");
    assert_eq!(nothing, Some(Event::Failed { error: RequestError::Sample(SampleError::NothingLeft) }));
    assert!(matches!(panicked, Some(Event::Failed { error: RequestError::Panicked { who: "sampler", .. } })));
    expect_reply(free, &prompt(&[9]), &INFO);
}

#[test]
fn what_could_never_run_is_refused_at_once() {
    let engine = start(fake());
    let refused = |request| engine.submit(request).unwrap_err().to_string();
    assert_eq!(refused(prompt(&[1; 65])), "the prompt has 65 tokens, the context holds 64");
    assert_eq!(refused(prompt(&[])), "the prompt has no tokens, it needs at least 1");
    assert_eq!(refused(prompt(&[40])), "token 40 in the prompt is not in the vocabulary of 40");
    let sampler = SamplerConfig { top_p: f32::NAN, ..SamplerConfig::default() };
    assert!(refused(Request { sampler, ..prompt(&[1]) }).starts_with("top-p is NaN"));
    assert_eq!(engine.requests(), 0);
    let none = Fake::new(RunnerInfo { blocks: 0, ..INFO }, PrefixReuse::Off);
    let said = Engine::start(Box::new(none), EngineConfig::default()).unwrap_err();
    assert!(matches!(said, StartError::Config(_)));
}

#[test]
fn logprobs_and_alternatives_come_with_their_token() {
    let engine = start(fake());
    let sampler = SamplerConfig { logprobs: Some(3), ..SamplerConfig::default() };
    let mut known = vec![TokenId(4)];
    for event in engine.submit(Request { sampler, ..prompt(&[4]) }).unwrap() {
        let Event::Token { id, logprob, alternatives } = event else { continue };
        let logits = row(&known, INFO.vocab);
        let total: f32 = logits.iter().map(|l| l.exp()).sum();
        assert!((logprob.unwrap() - (logits[id.index()] - total.ln())).abs() < 1e-4);
        assert_eq!(alternatives.len(), 3);
        let best = logits.iter().copied().fold(0.0, f32::max);
        assert_eq!(logits[alternatives[0].0.index()], best);
        known.push(id);
    }
    assert_eq!(known.len(), 9);
}

struct Signal(Mutex<Sender<()>>);

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap().send(()).unwrap();
    }
}

#[test]
fn a_waker_is_called_when_there_is_something_to_read() {
    let (runner, at_step, go) = held();
    let engine = start(runner);
    let mut ticket = engine.submit(Request { max_tokens: 1, ..prompt(&[1]) }).unwrap();
    at_step.recv().unwrap();
    let (woken, wakes) = channel();
    let waker = Waker::from(Arc::new(Signal(Mutex::new(woken))));
    assert_eq!(ticket.poll_recv(&mut Context::from_waker(&waker)), Poll::Pending);
    drop(go);
    wakes.recv().unwrap();
    assert_eq!(ticket.recv(), Some(Event::Prompt { done: 1, total: 1 }));
    assert_eq!(outcome(ticket).0, alone(&Request { max_tokens: 1, ..prompt(&[1]) }, &INFO).0);
}
