//! One sequence: what is known of it, what is computed of it, and the blocks that hold the latter.

use crate::pool::{BlockPool, Content};
use crate::{FinishReason, Limits, SequenceSpec, Stats};
use torchless_base::{BlockCopy, BlockId, SeqId, StepPlan, TokenId, Wanted};

/// A sequence that runs or waits. A step moves `computed` towards the number of known tokens.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub id: SeqId,
    pub stats: Stats,
    /// Tokens of the next step.
    pub grant: usize,
    /// Prompt, then reply.
    known: Vec<TokenId>,
    prompt: usize,
    max_tokens: usize,
    stop_ids: Vec<TokenId>,
    computed: usize,
    blocks: Vec<BlockId>,
    /// How many of the blocks are sealed, and what they hold.
    sealed: usize,
    content: Content,
    /// Prompt tokens that were reported as done.
    reported: usize,
    turning_point: Option<usize>,
    /// Whether what is computed was computed as beyond the turning point.
    beyond: bool,
}

impl Sequence {
    pub fn new(id: SeqId, spec: SequenceSpec, limits: &Limits) -> Self {
        let prompt = spec.tokens.len();
        let mut new = Self {
            id,
            stats: Stats { prompt_tokens: prompt, ..Stats::default() },
            grant: 0,
            known: spec.tokens,
            prompt,
            max_tokens: spec.max_tokens,
            stop_ids: spec.stop_ids,
            computed: 0,
            blocks: Vec::new(),
            sealed: 0,
            content: Content::NONE,
            reported: 0,
            turning_point: limits.turning_point,
            beyond: false,
        };
        new.restart();
        new
    }

    /// Nothing is computed: what comes is computed as the number of known tokens asks for.
    fn restart(&mut self) {
        (self.grant, self.computed, self.sealed) = (0, 0, 0);
        self.beyond = self.is_beyond();
        self.content = if self.beyond { Content::NONE_BEYOND } else { Content::NONE };
    }

    fn is_beyond(&self) -> bool {
        self.turning_point.is_some_and(|point| self.known.len() > point)
    }

    /// Whether it grew beyond the runner's turning point: nothing that is computed counts any more.
    pub fn has_turned(&self) -> bool {
        self.is_beyond() && !self.beyond
    }

    pub fn known(&self) -> &[TokenId] {
        &self.known
    }

    pub fn pending(&self) -> usize {
        self.known.len() - self.computed
    }

    /// Blocks that the known tokens and one more need, and the sequence does not have.
    pub fn missing_blocks(&self, block_len: usize) -> usize {
        (self.known.len() + 1).div_ceil(block_len).saturating_sub(self.blocks.len())
    }

    /// Takes now all memory that the sequence can come to need.
    pub fn make_room(&mut self, limits: &Limits, block_len: usize) {
        let longest = self.prompt.saturating_add(self.max_tokens).min(limits.max_len + 1);
        self.known.reserve(longest - self.known.len().min(longest));
        self.blocks.reserve(longest.div_ceil(block_len));
    }

    /// Length that the block table can come to have without growing.
    pub fn most_blocks(&self) -> usize {
        self.blocks.capacity()
    }

    /// Takes over blocks that already hold the next tokens. One token at least is left to compute, because its
    /// logits are wanted.
    pub fn take_computed(&mut self, pool: &mut BlockPool) {
        let len = pool.block_len();
        while self.computed == self.blocks.len() * len && self.pending() >= len {
            let next = &self.known[self.computed..self.computed + len];
            let last = self.pending() == len;
            let Some((block, content)) = pool.find(self.content, next).filter(|_| !last || len > 1) else {
                break;
            };
            pool.share(block);
            self.blocks.push(block);
            let taken = if last { len - 1 } else { len };
            self.computed += taken;
            if self.stats.preemptions == 0 {
                self.stats.reused_tokens += taken;
            }
            if last {
                break;
            }
            (self.sealed, self.content) = (self.blocks.len(), content);
        }
    }

    /// Gets blocks for the granted tokens; `false`, and as far as it came, if the pool has no more. May be called
    /// again.
    pub fn reserve(&mut self, pool: &mut BlockPool, copies: &mut Vec<BlockCopy>) -> bool {
        if self.grant == 0 {
            return true;
        }
        let len = pool.block_len();
        let first = self.computed / len;
        if let Some(block) = self.blocks.get_mut(first) {
            let Some((writable, copy)) = pool.writable(*block) else { return false };
            *block = writable;
            copies.extend(copy);
        }
        while self.blocks.len() < (self.computed + self.grant).div_ceil(len) {
            let Some(block) = pool.allocate() else { return false };
            self.blocks.push(block);
        }
        true
    }

    /// After [`Sequence::reserve`] failed: reduces the grant to what fits into the blocks it got. A block that is
    /// still shared has no room.
    pub fn shrink_grant(&mut self, pool: &BlockPool) {
        let len = pool.block_len();
        let shared = self.blocks.get(self.computed / len).is_some_and(|&block| pool.is_shared(block));
        let room = if shared { 0 } else { self.blocks.len() * len - self.computed };
        self.grant = self.grant.min(room);
    }

    pub fn push_slice(&self, plan: &mut StepPlan) {
        let tokens = &self.known[self.computed..self.computed + self.grant];
        let choose = self.grant == self.pending() && self.max_tokens > 0;
        let wanted = if choose { Wanted::Last } else { Wanted::Nothing };
        plan.push((self.id, self.computed), tokens, &self.blocks, wanted);
        plan.announce(self.known.len());
    }

    /// Records that the granted tokens are computed. Returns the prompt's progress where it moved.
    pub fn computed_grant(&mut self, pool: Option<&mut BlockPool>) -> Option<usize> {
        self.computed += std::mem::take(&mut self.grant);
        self.stats.steps += 1;
        if let Some(pool) = pool {
            self.seal(pool);
        }
        let done = self.computed.min(self.prompt);
        (done > self.reported).then(|| {
            self.reported = done;
            done
        })
    }

    fn seal(&mut self, pool: &mut BlockPool) {
        let len = pool.block_len();
        while (self.sealed + 1) * len <= self.computed {
            let tokens = &self.known[self.sealed * len..(self.sealed + 1) * len];
            let (block, content) = pool.seal(self.blocks[self.sealed], self.content, tokens);
            self.blocks[self.sealed] = block;
            self.content = content;
            self.sealed += 1;
        }
    }

    /// Whether a chosen token ends the reply without being part of it.
    pub fn stops_at(&self, token: TokenId) -> bool {
        self.stop_ids.contains(&token)
    }

    /// Appends a token to the reply. Returns why it is the last one, if it is.
    pub fn push_token(&mut self, token: TokenId, limits: &Limits) -> Option<FinishReason> {
        self.known.push(token);
        self.stats.reply_tokens += 1;
        if self.stats.reply_tokens >= self.max_tokens {
            Some(FinishReason::Length)
        } else if self.known.len() > limits.max_len {
            Some(FinishReason::ContextFull)
        } else {
            None
        }
    }

    pub fn release_blocks(&mut self, pool: &mut BlockPool) {
        self.blocks.drain(..).rev().for_each(|block| pool.release(block));
    }

    /// Back to the start: everything known, nothing computed.
    pub fn start_anew(&mut self, pool: &mut BlockPool) {
        self.release_blocks(pool);
        self.restart();
    }
}
