//! Decides what to run next. Pure: no tensors, no text, no clock, no threads.

use crate::pool::BlockPool;
use crate::sequence::Sequence;
use crate::{Accepted, ConfigError, EngineConfig, Limits, PrefixReuse, config};
use std::collections::VecDeque;
use torchless_base::{BlockCopy, RunnerInfo, SeqId, StepPlan, TokenId, Wanted};
use torchless_sampler::Choice;

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model chose this one of the stop ids.
    Stop(TokenId),
    /// The reply has as many tokens as were asked for.
    Length,
    /// Prompt and reply fill the context.
    ContextFull,
    /// It was cancelled.
    Cancelled,
    /// A step or a choice failed.
    Failed,
}

/// Counts of one sequence. Times are the caller's to take: it sees every event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those of them that did not have to be computed, because an earlier sequence started with them.
    pub reused_tokens: usize,
    /// Tokens of the reply, without the stop id.
    pub reply_tokens: usize,
    /// Steps that the sequence took part in.
    pub steps: usize,
    /// Times that its blocks were taken away and it had to be computed again.
    pub preemptions: usize,
}

/// Something that happened to a sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeqEvent {
    /// The sequence.
    pub seq: SeqId,
    /// What happened.
    pub what: SeqChange,
}

/// What can happen to a sequence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SeqChange {
    /// So many tokens of the prompt are computed.
    Prompt {
        /// Tokens computed.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
    },
    /// The reply has a new token.
    Token(Choice),
    /// It ended and its blocks are free; nothing more will happen to it.
    Finished {
        /// Why.
        reason: FinishReason,
        /// Its counts.
        stats: Stats,
    },
}

/// The tokens chosen after a step, slice by slice. Reused from step to step, so that choosing allocates nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choices {
    all: Vec<Choice>,
    /// Where each slice's choices end in `all`.
    ends: Vec<usize>,
}

impl Choices {
    /// Forgets all slices and keeps the memory.
    pub fn clear(&mut self) {
        self.all.clear();
        self.ends.clear();
    }

    /// Appends what was chosen for the next slice: nothing where it wanted no logits or no token could be chosen,
    /// one token, or several where drafts were verified.
    pub fn push(&mut self, choices: impl IntoIterator<Item = Choice>) {
        self.all.extend(choices);
        self.ends.push(self.all.len());
    }

    /// Number of slices.
    pub fn slices(&self) -> usize {
        self.ends.len()
    }

    fn of(&self, slice: usize) -> &[Choice] {
        let start = if slice == 0 { 0 } else { self.ends[slice - 1] };
        &self.all[start..self.ends[slice]]
    }
}

/// Shares a runner's steps and blocks between sequences.
///
/// Every sequence that runs and has one token to compute gets it in every step; prompts get what the step has
/// left, first come first served. When blocks run out, the sequence that came last gives up its own and waits to
/// be computed again, so the one that came first always moves. A sequence that waits costs nothing.
///
/// Use: [`Scheduler::plan`], run the plan, choose tokens, [`Scheduler::commit`] (or [`Scheduler::fail`]); before a
/// step and after a commit tell the runner what was [released](Scheduler::drain_released).
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    max_batch_tokens: usize,
    max_running: usize,
    config: EngineConfig,
    pool: BlockPool,
    /// In the order in which they came.
    running: Vec<Sequence>,
    /// Likewise, all after those that run.
    waiting: VecDeque<Sequence>,
    released: Vec<SeqId>,
    last_id: u32,
}

impl Scheduler {
    /// A scheduler for a runner with these limits.
    ///
    /// # Errors
    /// A limit of zero, or more blocks than can be numbered.
    pub fn new(info: &RunnerInfo, config: EngineConfig) -> Result<Self, ConfigError> {
        config::check(info, &config)?;
        let max_running = config.max_running.min(info.max_batch_tokens);
        Ok(Self {
            limits: Limits::of(info),
            max_batch_tokens: info.max_batch_tokens,
            max_running,
            config,
            pool: BlockPool::new(info.blocks, info.block_len),
            running: Vec::with_capacity(max_running),
            waiting: VecDeque::with_capacity(max_running),
            released: Vec::with_capacity(2 * max_running),
            last_id: 0,
        })
    }

    /// What sequences have to keep to.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Blocks that no sequence uses.
    pub fn free_blocks(&self) -> usize {
        self.pool.free()
    }

    /// Whether there is no sequence.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Appends a sequence to those that wait.
    pub fn submit(&mut self, sequence: Accepted) -> SeqId {
        self.last_id = self.last_id.wrapping_add(1);
        while self.sequences().any(|s| s.id.0 == self.last_id) {
            self.last_id = self.last_id.wrapping_add(1);
        }
        let id = SeqId(self.last_id);
        self.waiting.push_back(Sequence::new(id, sequence.0, &self.limits));
        id
    }

    /// Prompt and reply of a sequence so far; none if there is no such sequence.
    pub fn known(&self, seq: SeqId) -> Option<&[TokenId]> {
        self.sequences().find(|s| s.id == seq).map(Sequence::known)
    }

    /// Fills `plan` with the next step. `false` means that there is nothing to run.
    pub fn plan(&mut self, plan: &mut StepPlan) -> bool {
        plan.clear();
        self.admit();
        self.grant_tokens();
        self.reserve_blocks(&mut plan.copies);
        self.make_room(plan);
        for sequence in self.running.iter().filter(|s| s.grant > 0) {
            sequence.push_slice(plan);
        }
        !plan.slices.is_empty()
    }

    /// Records that `plan`, the last one, was run and `choices` were made. A sequence whose slice wanted logits and
    /// got no choice has failed. Appends to `events`.
    ///
    /// # Panics
    /// If the choices are for another number of slices.
    pub fn commit(&mut self, plan: &StepPlan, choices: &Choices, events: &mut Vec<SeqEvent>) {
        assert_eq!(plan.slices.len(), choices.slices(), "one entry per slice");
        for (i, slice) in plan.slices.iter().enumerate() {
            let planned = |s: &Sequence| s.id == slice.seq && s.grant == slice.tokens.len();
            let Some(at) = self.running.iter().position(planned) else { continue };
            if let Some(reason) = self.commit_slice(at, (slice.wanted, choices.of(i)), events) {
                self.finish(at, reason, events);
            }
        }
    }

    /// Ends the sequences of `plan`, the last one, because it could not be run. Appends to `events`.
    pub fn fail(&mut self, plan: &StepPlan, events: &mut Vec<SeqEvent>) {
        for slice in &plan.slices {
            if let Some(at) = self.running.iter().position(|s| s.id == slice.seq) {
                self.finish(at, FinishReason::Failed, events);
            }
        }
    }

    /// Ends a sequence; unknown ones are ignored. Appends to `events`.
    pub fn cancel(&mut self, seq: SeqId, events: &mut Vec<SeqEvent>) {
        if let Some(at) = self.running.iter().position(|s| s.id == seq) {
            self.finish(at, FinishReason::Cancelled, events);
        } else if let Some(at) = self.waiting.iter().position(|s| s.id == seq) {
            let stats = self.waiting.remove(at).map(|s| s.stats).unwrap_or_default();
            events
                .push(SeqEvent { seq, what: SeqChange::Finished { reason: FinishReason::Cancelled, stats } });
        }
    }

    /// Nothing that was computed so far is reused for later sequences.
    pub fn forget_computed(&mut self) {
        self.pool.forget_all();
    }

    /// Sequences whose state a runner has to forget: they ended, or will be computed anew from their start.
    pub fn drain_released(&mut self) -> impl Iterator<Item = SeqId> {
        self.released.drain(..)
    }

    fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.running.iter().chain(&self.waiting)
    }

    /// Lets waiting sequences run while all that run find blocks for what they know.
    fn admit(&mut self) {
        let len = self.pool.block_len();
        while self.running.len() < self.max_running {
            let Some(next) = self.waiting.front() else { break };
            let owed: usize = self.running.iter().map(|s| s.missing_blocks(len)).sum();
            if !self.running.is_empty() && owed + next.missing_blocks(len) > self.pool.free() {
                break;
            }
            let Some(mut next) = self.waiting.pop_front() else { break };
            next.make_room(&self.limits, len);
            self.running.push(next);
        }
    }

    /// Lets the plan grow when sequences are admitted, and not when they grow.
    fn make_room(&self, plan: &mut StepPlan) {
        plan.tokens.reserve(self.max_batch_tokens);
        plan.slices.reserve(self.max_running);
        plan.copies.reserve(self.max_running);
        plan.blocks.reserve(self.running.iter().map(Sequence::most_blocks).sum());
    }

    fn grant_tokens(&mut self) {
        let mut budget = self.max_batch_tokens;
        for sequence in &mut self.running {
            sequence.grant = usize::from(sequence.pending() == 1);
            budget -= sequence.grant;
        }
        if budget < self.max_batch_tokens {
            budget = budget.min(self.config.prefill_chunk);
        }
        for sequence in self.running.iter_mut().filter(|s| s.grant == 0) {
            if budget == 0 {
                break;
            }
            if self.config.prefix_reuse == PrefixReuse::Blocks {
                sequence.take_computed(&mut self.pool);
            }
            sequence.grant = sequence.pending().min(budget);
            budget -= sequence.grant;
        }
    }

    /// Who came first is served first, with the blocks of who came last if need be.
    fn reserve_blocks(&mut self, copies: &mut Vec<BlockCopy>) {
        let mut at = 0;
        while at < self.running.len() {
            while !self.running[at].reserve(&mut self.pool, copies) {
                if at + 1 == self.running.len() {
                    self.running[at].shrink_grant(&self.pool);
                    break;
                }
                self.preempt_last();
            }
            at += 1;
        }
    }

    fn preempt_last(&mut self) {
        if let Some(mut last) = self.running.pop() {
            last.stats.preemptions += 1;
            last.start_anew(&mut self.pool);
            self.released.push(last.id);
            self.waiting.push_front(last);
        }
    }

    /// Returns why the sequence has ended, if it has.
    fn commit_slice(
        &mut self,
        at: usize,
        (wanted, choices): (Wanted, &[Choice]),
        events: &mut Vec<SeqEvent>,
    ) -> Option<FinishReason> {
        let sequence = &mut self.running[at];
        let seq = sequence.id;
        let pool = (self.config.prefix_reuse == PrefixReuse::Blocks).then_some(&mut self.pool);
        if let Some(done) = sequence.computed_grant(pool) {
            let total = sequence.stats.prompt_tokens;
            events.push(SeqEvent { seq, what: SeqChange::Prompt { done, total } });
        }
        if wanted == Wanted::Nothing {
            let ended = sequence.pending() == 0;
            return ended.then_some(FinishReason::Length);
        }
        if choices.is_empty() {
            return Some(FinishReason::Failed);
        }
        let ended = choices.iter().find_map(|&choice| {
            if sequence.stops_at(choice.token) {
                return Some(FinishReason::Stop(choice.token));
            }
            events.push(SeqEvent { seq, what: SeqChange::Token(choice) });
            sequence.push_token(choice.token, &self.limits)
        });
        if ended.is_none() && sequence.has_turned() {
            sequence.start_anew(&mut self.pool);
            self.released.push(seq);
        }
        ended
    }

    fn finish(&mut self, at: usize, reason: FinishReason, events: &mut Vec<SeqEvent>) {
        let mut sequence = self.running.remove(at);
        sequence.release_blocks(&mut self.pool);
        self.released.push(sequence.id);
        let (seq, stats) = (sequence.id, sequence.stats);
        events.push(SeqEvent { seq, what: SeqChange::Finished { reason, stats } });
    }
}
