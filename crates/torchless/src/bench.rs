//! What a benchmark runs: prefill and decode of random tokens, without sampling, text or clock.

use crate::Error;
use crate::open::{ModelOptions, Source, open_placed};
use crate::placement::Layout;
use torchless_base::{BlockId, Logits, Runner, RunnerInfo, SeqId, StepPlan, TokenId, Wanted};
use torchless_device::{CacheType, MemoryGauge};
use torchless_model::{ModelSpec, NativeRunner};
use torchless_quant::TensorType;

/// A model with some sequences in its cache.
pub struct BenchRun {
    runner: NativeRunner,
    info: RunnerInfo,
    threads: usize,
    layout: Layout,
    weights: Vec<(TensorType, u64, u64)>,
    embedding: u64,
    total: u64,
    cache: CacheType,
    positions: usize,
    sequences: usize,
    next: u64,
    plan: StepPlan,
    logits: Logits,
}

impl BenchRun {
    /// Opens a model; `progress` is told bytes done and bytes in all.
    ///
    /// # Errors
    /// As [`open_runner`](crate::open_runner).
    pub fn open(
        source: &Source,
        options: &ModelOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, Error> {
        let checkpoint = source.checkpoint()?;
        let (runner, layout) = open_placed(source, &checkpoint, options, progress)?;
        let (asked, most) = (options.sequences, runner.info().max_batch_tokens);
        if asked > most {
            let what = format!("{asked} sequences at once are more than the {most} tokens of a step");
            return Err(Error::Option(what));
        }
        let table = |name: &str| name.starts_with("token_embd") || name == "model.embed_tokens.weight";
        let tied = runner.spec().tied_head;
        let used = checkpoint.tensors.iter().filter(|t| tied || !table(&t.name));
        // Of experts a token meets a few: three-dimensional tensors hold one matrix for each.
        let share = runner.spec().experts_per_token();
        let met = |t: &torchless_formats::Tensor, n: usize| match t.shape.as_slice() {
            [_, _, _] => (n as f64 * share) as u64,
            _ => n as u64,
        };
        let weights = used.map(|t| (t.ty, met(t, t.len()), met(t, t.byte_len()))).collect();
        let row = |t: &torchless_formats::Tensor| (t.byte_len() / t.rows().max(1)) as u64;
        let embedding = checkpoint.tensors.iter().find(|t| table(&t.name)).map_or(0, row);
        Ok(Self {
            info: runner.info(),
            threads: options.thread_count(),
            layout,
            weights,
            embedding,
            cache: options.cache_type(&checkpoint),
            total: checkpoint.tensors.iter().map(|t| t.byte_len() as u64).sum(),
            positions: 0,
            sequences: 1,
            next: 1,
            plan: StepPlan::default(),
            logits: Logits::default(),
            runner,
        })
    }

    /// What the model is.
    pub fn spec(&self) -> &ModelSpec {
        self.runner.spec()
    }

    /// Where it runs.
    pub fn device_name(&self) -> String {
        self.runner.device_name()
    }

    /// What lies where; empty where all of it lies on the CPU.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What the memory of GPUs is used for.
    pub fn memory(&self) -> Vec<MemoryGauge> {
        self.runner.memory()
    }

    /// Threads in use.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Bytes of all weights.
    pub fn weight_bytes(&self) -> u64 {
        self.total
    }

    /// Bytes of weights that a decoded step reads: all but an embedding table that is not the head, of which it reads a row.
    pub fn weight_bytes_per_step(&self) -> u64 {
        self.weights.iter().map(|w| w.2).sum::<u64>() + self.embedding
    }

    /// Bytes of cache per position.
    pub fn cache_bytes_per_token(&self) -> u64 {
        self.cache.bytes(self.spec().kv_bytes_per_token(1)) as u64
    }

    /// Multiplications and additions of the matrices for one token of a prompt; its head is left out, since a prompt needs
    /// the head once.
    pub fn ops_per_token(&self) -> u64 {
        let all: u64 = self.weights.iter().map(|w| 2 * w.1).sum();
        all - 2 * (self.info.vocab * self.spec().dim) as u64
    }

    /// The machine's limit for the products of this model, which is that of the kind of weights that most of it is.
    pub fn ceiling_gops(&self, ceilings: &crate::Ceilings) -> f64 {
        let count =
            |kind: fn(TensorType) -> bool| self.weights.iter().filter(|w| kind(w.0)).map(|w| w.1).sum();
        let singles: u64 = count(|ty| ty == TensorType::F32);
        let halves: u64 = count(|ty| matches!(ty, TensorType::F16 | TensorType::BF16));
        let all: u64 = count(|_| true);
        if 2 * (singles + halves) <= all {
            ceilings.int8_gops
        } else if halves > singles {
            ceilings.half_gflops
        } else {
            ceilings.f32_gflops
        }
    }

    /// Starts over with `sequences` empty sequences.
    pub fn reset(&mut self, sequences: usize) {
        self.positions = 0;
        self.sequences = sequences.max(1);
    }

    /// Adds `tokens` random tokens to each sequence, in steps as large as the runner takes; logits of the last one.
    ///
    /// # Errors
    /// The runner failed, or the context is too short.
    pub fn prefill(&mut self, tokens: usize) -> Result<(), Error> {
        let mut left = tokens;
        while left > 0 {
            let part = left.min((self.info.max_batch_tokens / self.sequences).max(1));
            left -= part;
            self.step(part, if left == 0 { Wanted::Last } else { Wanted::Nothing })?;
        }
        Ok(())
    }

    /// Adds one token at a time to each sequence, as greedy choice would have it: where a device looks for the largest logit
    /// itself, the others stay there.
    ///
    /// # Errors
    /// The runner failed, or the context is too short.
    pub fn decode(&mut self, tokens: usize) -> Result<(), Error> {
        (0..tokens).try_for_each(|_| self.step(1, Wanted::Largest(1)))
    }

    fn step(&mut self, tokens: usize, wanted: Wanted) -> Result<(), Error> {
        self.plan.clear();
        let per_sequence = self.info.blocks / self.sequences;
        let needed = (self.positions + tokens).div_ceil(self.info.block_len).min(per_sequence);
        for seq in 0..self.sequences {
            let ids: Vec<_> = (0..tokens).map(|_| self.token()).collect();
            let first = seq * per_sequence;
            let blocks: Vec<_> = (first..first + needed).map(|b| BlockId(b as u32)).collect();
            self.plan.push((SeqId(seq as u32), self.positions), &ids, &blocks, wanted);
        }
        self.runner.step(&self.plan, &mut self.logits)?;
        self.positions += tokens;
        Ok(())
    }

    /// The generator of Numerical Recipes: enough to touch other rows of the embedding each time.
    fn token(&mut self) -> TokenId {
        self.next = self.next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        TokenId(((self.next >> 33) % self.info.vocab as u64) as u32)
    }
}
