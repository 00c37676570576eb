//! A runner of integers: its cache holds the tokens themselves, and a row of logits is a function of all tokens
//! that its blocks hold up to that position. Wrong blocks, wrong copies and skipped tokens change what comes out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use torchless_base::{Logits, RunError, Runner, RunnerInfo, Scored, SeqId, StepPlan, TokenId, Wanted};
use torchless_engine::{FinishReason, PrefixReuse, Request};
use torchless_sampler::{Rng, Sampler, Scratch};

pub type Hook = Box<dyn FnMut(&StepPlan) -> Result<(), RunError> + Send>;

pub struct Fake {
    info: RunnerInfo,
    reuse: PrefixReuse,
    cache: Vec<TokenId>,
    lens: HashMap<SeqId, usize>,
    /// Called before each step; may wait, fail or panic.
    before: Hook,
    /// Whether it gives lists where they are enough, and the rows of the last step, which it then kept to itself.
    lists: bool,
    rows: Logits,
    /// Rows that were asked for again.
    asked_again: Arc<AtomicUsize>,
}

impl Fake {
    pub fn new(info: RunnerInfo, reuse: PrefixReuse) -> Self {
        let cache = vec![TokenId(u32::MAX); info.blocks * info.block_len];
        let (before, rows): (Hook, _) = (Box::new(|_| Ok(())), Logits::default());
        Self {
            info,
            reuse,
            cache,
            lens: HashMap::new(),
            before,
            lists: false,
            rows,
            asked_again: Arc::default(),
        }
    }

    /// Gives no more than the largest logits where they are enough, and counts the rows that are asked for again.
    pub fn listing(mut self, asked_again: &Arc<AtomicUsize>) -> Self {
        self.lists = true;
        self.asked_again = Arc::clone(asked_again);
        self
    }

    pub fn before(mut self, hook: impl FnMut(&StepPlan) -> Result<(), RunError> + Send + 'static) -> Self {
        self.before = Box::new(hook);
        self
    }

    /// Sequences that it keeps state for.
    pub fn sequences(&self) -> usize {
        self.lens.len()
    }
}

impl Runner for Fake {
    fn info(&self) -> RunnerInfo {
        self.info
    }

    fn step(&mut self, plan: &StepPlan, logits: &mut Logits) -> Result<(), RunError> {
        (self.before)(plan)?;
        plan.check(&self.info)?;
        let len = self.info.block_len;
        for copy in &plan.copies {
            let from = copy.from.index() * len;
            self.cache.copy_within(from..from + len, copy.to.index() * len);
        }
        let vocab = self.info.vocab;
        let mut rows = logits.reset(plan.logit_rows(), vocab).chunks_exact_mut(vocab);
        for slice in &plan.slices {
            let known = self.lens.entry(slice.seq).or_insert(0);
            match self.reuse {
                PrefixReuse::Off => assert_eq!(*known, slice.start),
                PrefixReuse::Blocks => assert!(*known <= slice.start),
            }
            *known = slice.start + slice.tokens.len();
            let blocks = &plan.blocks[slice.blocks.clone()];
            let at = |position: usize| blocks[position / len].index() * len + position % len;
            let tokens = &plan.tokens[slice.tokens.clone()];
            for (i, &token) in tokens.iter().enumerate() {
                self.cache[at(slice.start + i)] = token;
            }
            let first = match slice.wanted {
                Wanted::Nothing => continue,
                Wanted::Last | Wanted::Largest(_) | Wanted::Weighed(..) => *known - 1,
                Wanted::All => slice.start,
            };
            for position in first..*known {
                let prefix: Vec<TokenId> = (0..=position).map(|p| self.cache[at(p)]).collect();
                rows.next().unwrap().copy_from_slice(&row(&prefix, vocab));
            }
        }
        if let Some(count) = plan.largest_wanted().filter(|_| self.lists) {
            self.rows = std::mem::take(logits);
            let wants = plan.slices.iter().filter(|slice| slice.logit_rows() > 0);
            for (i, slice) in (0..self.rows.rows()).zip(wants) {
                let mut all: Vec<Scored> = (0..)
                    .zip(self.rows.row(i))
                    .map(|(id, &logit)| Scored { token: TokenId(id), logit })
                    .collect();
                all.sort_by(|a, b| b.logit.total_cmp(&a.logit));
                if let Some(temperature) = slice.temperature() {
                    let most = all[0].logit;
                    let weights = all.iter().map(|s| ((s.logit - most) / temperature.value()).exp());
                    let mass = weights.sum();
                    logits.push_list(all.into_iter().take(count));
                    logits.weigh_last(mass);
                } else {
                    logits.push_list(all.into_iter().take(count));
                }
            }
        }
        Ok(())
    }

    fn whole_row(&mut self, row: usize, logits: &mut Logits) -> Result<(), RunError> {
        self.asked_again.fetch_add(1, Ordering::Relaxed);
        logits.reset(1, self.info.vocab).copy_from_slice(self.rows.row(row));
        Ok(())
    }

    fn keeps_state(&self) -> bool {
        self.reuse == PrefixReuse::Off
    }

    fn fork(&mut self, _: SeqId, _: SeqId) -> Result<(), RunError> {
        Err(RunError::Unsupported { op: "fork", runner: "fake".into() })
    }

    fn truncate(&mut self, _: SeqId, _: usize) -> Result<usize, RunError> {
        Err(RunError::Unsupported { op: "truncate", runner: "fake".into() })
    }

    fn release(&mut self, seq: SeqId) {
        self.lens.remove(&seq);
    }
}

/// The logits after `prefix`.
pub fn row(prefix: &[TokenId], vocab: usize) -> Vec<f32> {
    let seed = prefix.iter().fold(7u64, |h, t| (h ^ u64::from(t.0)).wrapping_mul(0x100_0000_01b3));
    let mut rng = Rng::new(seed);
    // Few values in every other row, so that lists do not always decide.
    let levels = [2.0, 4096.0][(seed % 2) as usize];
    (0..vocab).map(|_| (rng.next_f64() * levels).floor() as f32 * (8.0 / levels as f32)).collect()
}

/// The reply to a request without scheduler, blocks or company.
pub fn alone(request: &Request, info: &RunnerInfo) -> (Vec<TokenId>, FinishReason) {
    let max_len = info.max_seq_len.min(info.blocks * info.block_len);
    let mut sampler = Sampler::new(request.sampler.clone(), info.vocab).unwrap();
    let mut scratch = Scratch::new(info.vocab);
    let mut known = request.tokens.clone();
    let prompt = known.len();
    let reason = loop {
        if known.len() - prompt == request.max_tokens {
            break FinishReason::Length;
        }
        if known.len() > max_len {
            break FinishReason::ContextFull;
        }
        let token = sampler.pick(&row(&known, info.vocab), &known, &mut scratch).unwrap().token;
        if request.stop_ids.contains(&token) {
            break FinishReason::Stop(token);
        }
        known.push(token);
    };
    (known.split_off(prompt), reason)
}

/// A random request; prompts often start alike.
pub fn request(rng: &mut Rng, info: &RunnerInfo) -> Request {
    let below = |n: usize, rng: &mut Rng| (rng.next_u64() % n as u64) as usize;
    let max_len = info.max_seq_len.min(info.blocks * info.block_len);
    let len = 1 + below(max_len, rng);
    let shared = if below(3, rng) == 0 { len } else { below(len + 1, rng) };
    let token = |i: usize, rng: &mut Rng| {
        TokenId(if i < shared { (i * i) % info.vocab } else { below(info.vocab, rng) } as u32)
    };
    let mut request = Request::new((0..len).map(|i| token(i, rng)).collect());
    request.max_tokens = [0, 1, 5, 20, usize::MAX][below(5, rng)];
    request.stop_ids = (0..below(3, rng)).map(|_| TokenId(below(info.vocab, rng) as u32)).collect();
    request.sampler.seed = rng.next_u64();
    request.sampler.temperature = [0.0, 0.7, 1.5][below(3, rng)];
    request.sampler.repeat_penalty = [1.0, 1.3][below(2, rng)];
    request.sampler.top_p = [1.0, 0.8][below(2, rng)];
    request.sampler.top_k = [0, 1, 3][below(3, rng)];
    request
}

/// A random small runner.
pub fn info(rng: &mut Rng) -> RunnerInfo {
    let mut between = |low: u64, high: u64| (low + rng.next_u64() % (high - low + 1)) as usize;
    RunnerInfo {
        vocab: between(2, 30),
        max_seq_len: between(1, 40),
        max_batch_tokens: between(1, 14),
        block_len: between(1, 5),
        blocks: between(1, 16),
        turning_point: None,
    }
}
