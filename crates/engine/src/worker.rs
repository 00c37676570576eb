//! The one thread that owns scheduler and runner: plan, run, choose, commit, tell.

use crate::ticket::Outbox;
use crate::{Accepted, Choices, Event, FinishReason, RequestError, Scheduler, SeqChange, SeqEvent};
use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, TryRecvError};
use torchless_base::{Logits, Runner, SeqId, StepPlan, Temperature, TokenId, Wanted};
use torchless_sampler::{Choice, Enough, Listing, Sampler, Scratch};

pub(crate) enum Command {
    Submit(Box<NewRequest>),
    /// Ends the request of this number.
    Cancel(u64),
    Stop,
}

pub(crate) struct NewRequest {
    pub number: u64,
    pub sequence: Accepted,
    pub sampler: Sampler,
    pub outbox: Outbox,
}

struct Live {
    number: u64,
    sampler: Sampler,
    outbox: Outbox,
    /// Belong to the token or the failure that the scheduler is about to report.
    alternatives: Vec<(TokenId, f32)>,
    error: Option<RequestError>,
}

pub(crate) struct Worker {
    runner: Box<dyn Runner>,
    scheduler: Scheduler,
    incoming: Receiver<Command>,
    live: HashMap<SeqId, Live>,
    scratch: Scratch,
    plan: StepPlan,
    logits: Logits,
    /// A row that its list did not decide.
    whole: Logits,
    choices: Choices,
    events: Vec<SeqEvent>,
}

impl Worker {
    pub fn new(runner: Box<dyn Runner>, scheduler: Scheduler, incoming: Receiver<Command>) -> Self {
        Self {
            scratch: Scratch::new(scheduler.limits().vocab),
            runner,
            scheduler,
            incoming,
            live: HashMap::new(),
            plan: StepPlan::default(),
            logits: Logits::default(),
            whole: Logits::default(),
            choices: Choices::default(),
            events: Vec::new(),
        }
    }

    /// Runs until it is told to stop.
    pub fn run(mut self) {
        let mut busy = false;
        while let Some(command) = self.next_command(busy) {
            match command {
                Some(Command::Submit(new)) => {
                    self.begin(*new);
                    busy = true;
                }
                Some(Command::Cancel(number)) => self.cancel(number),
                Some(Command::Stop) => break,
                None => busy = self.step(),
            }
        }
    }

    /// The next command; `Some(None)` if there is none and steps are to be run, `None` at the end.
    fn next_command(&self, busy: bool) -> Option<Option<Command>> {
        if !busy {
            return self.incoming.recv().ok().map(Some);
        }
        match self.incoming.try_recv() {
            Ok(command) => Some(Some(command)),
            Err(TryRecvError::Empty) => Some(None),
            Err(TryRecvError::Disconnected) => None,
        }
    }

    fn begin(&mut self, new: NewRequest) {
        let NewRequest { number, sequence, sampler, outbox } = new;
        let seq = self.scheduler.submit(sequence);
        tracing::debug!(%seq, "request taken in");
        let live = Live { number, sampler, outbox, alternatives: Vec::new(), error: None };
        self.live.insert(seq, live);
    }

    fn cancel(&mut self, number: u64) {
        let seq = self.live.iter().find(|(_, live)| live.number == number).map(|(&seq, _)| seq);
        if let Some(seq) = seq {
            self.scheduler.cancel(seq, &mut self.events);
            self.release();
            self.tell();
        }
    }

    /// Runs one step; `false` if there was nothing to run.
    fn step(&mut self) -> bool {
        let planned = self.scheduler.plan(&mut self.plan);
        self.release();
        if !planned {
            if !self.scheduler.is_idle() {
                tracing::error!("sequences are left but none can run");
            }
            return false;
        }
        self.ask_for_lists();
        match self.compute() {
            Ok(()) => {
                self.choose();
                self.scheduler.commit(&self.plan, &self.choices, &mut self.events);
            }
            Err(error) => self.fail_step(&error),
        }
        self.release();
        self.tell();
        true
    }

    /// Where the largest logits decide, a runner may keep the others to itself.
    fn ask_for_lists(&mut self) {
        for slice in self.plan.slices.iter_mut().filter(|slice| slice.wanted == Wanted::Last) {
            let known = self.scheduler.known(slice.seq).map_or(0, <[TokenId]>::len);
            let enough = self.live.get(&slice.seq).and_then(|live| live.sampler.enough(known));
            slice.wanted = match enough {
                None => Wanted::Last,
                Some(Enough { count, temperature: None }) => Wanted::Largest(count),
                Some(Enough { count, temperature: Some(t) }) => Wanted::Weighed(count, Temperature::new(t)),
            };
        }
    }

    fn compute(&mut self) -> Result<(), RequestError> {
        let (runner, plan, logits) = (&mut self.runner, &self.plan, &mut self.logits);
        guard("runner", || runner.step(plan, logits))??;
        let wanted = self.plan.logit_rows();
        let (vocab, logits) = (self.scheduler.limits().vocab, &self.logits);
        let is_listed = logits.rows() > 0 && logits.list(0).is_some();
        let values = if is_listed { logits.rows() * vocab } else { logits.as_slice().len() };
        if wanted > 0 && values != wanted * vocab {
            return Err(RequestError::Rows { got: values / vocab, wanted });
        }
        Ok(())
    }

    /// Chooses a token for every slice that wanted logits.
    fn choose(&mut self) {
        self.choices.clear();
        let mut row = 0;
        for at in 0..self.plan.slices.len() {
            let slice = &self.plan.slices[at];
            // Of several rows the last one is for the token to come.
            row += slice.logit_rows();
            let wants = slice.wanted != Wanted::Nothing;
            let choice = if wants { self.choose_for(at, row - 1) } else { None };
            self.choices.push(choice);
        }
    }

    /// The token for a slice, from its row; from the whole one where a list of it does not decide.
    fn choose_for(&mut self, slice: usize, row: usize) -> Option<Choice> {
        let seq = self.plan.slices[slice].seq;
        let asked = self.plan.largest_wanted().unwrap_or(0);
        if let Some(largest) = self.logits.list(row) {
            let listing = Listing { largest, asked, mass: self.logits.mass(row) };
            let (live, history) = (self.live.get_mut(&seq)?, self.scheduler.known(seq)?);
            match live.choose_among(listing, history, &mut self.scratch) {
                Ok(None) => {}
                chosen => return live.keep(chosen, &self.scratch),
            }
            if let Err(error) = self.fetch_whole(row) {
                self.live.get_mut(&seq)?.error = Some(error);
                return None;
            }
        }
        let (live, history) = (self.live.get_mut(&seq)?, self.scheduler.known(seq)?);
        let logits = if self.logits.list(row).is_some() { self.whole.row(0) } else { self.logits.row(row) };
        let chosen = live.choose(logits, history, &mut self.scratch);
        live.keep(chosen.map(Some), &self.scratch)
    }

    fn fetch_whole(&mut self, row: usize) -> Result<(), RequestError> {
        let (runner, whole) = (&mut self.runner, &mut self.whole);
        guard("runner", || runner.whole_row(row, whole))??;
        let vocab = self.scheduler.limits().vocab;
        let got = self.whole.as_slice().len();
        if got == vocab { Ok(()) } else { Err(RequestError::Rows { got: got / vocab, wanted: 1 }) }
    }

    fn fail_step(&mut self, error: &RequestError) {
        tracing::warn!(%error, sequences = self.plan.slices.len(), "a step failed");
        for slice in &self.plan.slices {
            if let Some(live) = self.live.get_mut(&slice.seq) {
                live.error = Some(error.clone());
            }
        }
        self.scheduler.fail(&self.plan, &mut self.events);
        if matches!(error, RequestError::Panicked { .. }) {
            // Who knows what it left half written.
            self.scheduler.forget_computed();
        }
    }

    /// Tells the runner which sequences it can forget.
    fn release(&mut self) {
        for seq in self.scheduler.drain_released() {
            if let Err(error) = guard("runner", || self.runner.release(seq)) {
                tracing::error!(%seq, %error, "a sequence could not be released");
            }
        }
    }

    /// Passes the scheduler's events on to the tickets.
    fn tell(&mut self) {
        for SeqEvent { seq, what } in self.events.drain(..) {
            let Some(live) = self.live.get_mut(&seq) else { continue };
            match what {
                SeqChange::Prompt { done, total } => live.outbox.send(Event::Prompt { done, total }),
                SeqChange::Token(Choice { token, logprob }) => {
                    let alternatives = std::mem::take(&mut live.alternatives);
                    live.outbox.send(Event::Token { id: token, logprob, alternatives });
                }
                SeqChange::Finished { reason, stats } => {
                    tracing::debug!(%seq, ?reason, ?stats, "request ended");
                    let last = match reason {
                        FinishReason::Failed => {
                            Event::Failed { error: live.error.take().unwrap_or(RequestError::Stopped) }
                        }
                        reason => Event::Finished { reason, stats },
                    };
                    live.outbox.send(last);
                    self.live.remove(&seq);
                }
            }
        }
    }
}

impl Live {
    /// From a whole row.
    fn choose(
        &mut self,
        logits: &[f32],
        history: &[TokenId],
        scratch: &mut Scratch,
    ) -> Result<Choice, RequestError> {
        guard("sampler", || {
            let choice = self.sampler.pick(logits, history, scratch)?;
            self.sampler.accept(choice.token);
            Ok(choice)
        })?
        .map_err(RequestError::Sample)
    }

    /// From the largest logits of a row; none if they do not decide.
    fn choose_among(
        &mut self,
        listing: Listing<'_>,
        history: &[TokenId],
        scratch: &mut Scratch,
    ) -> Result<Option<Choice>, RequestError> {
        guard("sampler", || {
            let choice = self.sampler.pick_among(listing, history, scratch)?;
            if let Some(choice) = choice {
                self.sampler.accept(choice.token);
            }
            Ok(choice)
        })?
        .map_err(RequestError::Sample)
    }

    /// None, and the error kept, if no token could be chosen.
    fn keep(&mut self, chosen: Result<Option<Choice>, RequestError>, scratch: &Scratch) -> Option<Choice> {
        match chosen {
            Ok(choice) => {
                self.alternatives.extend_from_slice(scratch.alternatives());
                choice
            }
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }
}

/// Runs code of others; a panic in it becomes an error.
fn guard<T>(who: &'static str, run: impl FnOnce() -> T) -> Result<T, RequestError> {
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|payload| RequestError::Panicked { who, message: message(payload.as_ref()) })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ticket::{Permit, Ticket};
    use crate::{EngineConfig, SequenceSpec};
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::task::Poll;
    use torchless_base::{RunError, RunnerInfo};
    use torchless_sampler::SamplerConfig;

    const INFO: RunnerInfo = RunnerInfo {
        vocab: 100,
        max_seq_len: 400,
        max_batch_tokens: 64,
        block_len: 4,
        blocks: 500,
        turning_point: None,
    };

    struct Flat;

    impl Runner for Flat {
        fn info(&self) -> RunnerInfo {
            INFO
        }
        fn step(&mut self, plan: &StepPlan, logits: &mut Logits) -> Result<(), RunError> {
            logits.reset(plan.logit_rows(), INFO.vocab).fill(0.5);
            Ok(())
        }
        fn fork(&mut self, _: SeqId, _: SeqId) -> Result<(), RunError> {
            Ok(())
        }
        fn truncate(&mut self, _: SeqId, len: usize) -> Result<usize, RunError> {
            Ok(len)
        }
        fn release(&mut self, _: SeqId) {}
    }

    /// From plan to ticket, as long as the receiver keeps up.
    #[test]
    fn a_step_of_the_worker_allocates_nothing() {
        let scheduler = Scheduler::new(&INFO, EngineConfig::default()).unwrap();
        let limits = scheduler.limits();
        let (commands, incoming) = channel();
        let mut worker = Worker::new(Box::new(Flat), scheduler, incoming);
        let count = Arc::default();
        let mut tickets: Vec<Ticket> = Vec::new();
        for number in 0..4 {
            let permit = Permit::take(&count, 4).unwrap();
            let (ticket, outbox) = Ticket::new(number, commands.clone(), permit);
            let spec =
                SequenceSpec { tokens: vec![TokenId(number as u32)], max_tokens: 300, stop_ids: vec![] };
            let config = SamplerConfig { seed: number, repeat_penalty: 1.1, ..SamplerConfig::default() };
            let sampler = Sampler::new(config, INFO.vocab).unwrap();
            worker.begin(NewRequest { number, sequence: limits.accept(spec).unwrap(), sampler, outbox });
            tickets.push(ticket);
        }
        for _ in 0..10 {
            worker.step();
        }
        let mut tokens = 0;
        let allocated = allocation_counter::measure(|| {
            for _ in 0..200 {
                assert!(worker.step());
                for ticket in &mut tickets {
                    while let Poll::Ready(Some(event)) = ticket.try_recv() {
                        tokens += usize::from(matches!(event, Event::Token { .. }));
                    }
                }
            }
        });
        assert_eq!((allocated.count_total, tokens), (0, 4 * 210));
    }
}
