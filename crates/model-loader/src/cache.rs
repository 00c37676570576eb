//! The library's memory of sequences, under the three names that its functions have had.

use crate::Error;
use crate::functions::{Functions, RawContext};

/// Which functions a library has.
#[derive(Clone, Copy)]
pub struct Cache {
    f: &'static Functions,
    generation: Generation,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Generation {
    /// `llama_memory_*`, on a handle that the context gives.
    Memory,
    /// `llama_kv_self_*` or `llama_kv_cache_*`, on the context.
    Kv,
}

impl Cache {
    /// Of two generations that a library has, the newer one.
    pub fn of(f: &'static Functions) -> Result<Self, Error> {
        let memory = f.context_memory.is_some() && f.memory_remove.is_some() && f.memory_clear.is_some();
        let kv = f.kv_remove.is_some() && f.kv_clear.is_some();
        let generation = match (memory, kv) {
            (true, _) => Generation::Memory,
            (false, true) => Generation::Kv,
            (false, false) => {
                return Err(Error::Unsupported { what: "manage sequences", symbol: "llama_memory_seq_rm" });
            }
        };
        Ok(Self { f, generation })
    }

    /// Whether only one context of the process may compute at a time. Releases up to the spring of 2025 (before `llama_memory_*`) gave
    /// now and then wrong results when two did.
    pub fn computes_alone(self) -> bool {
        self.generation == Generation::Kv
    }

    /// Forgets everything. `context` has to be live.
    pub fn clear(self, context: *mut RawContext) {
        match (self.generation, self.f.context_memory, self.f.memory_clear, self.f.kv_clear) {
            (Generation::Memory, Some(memory), Some(clear), _) => {
                // SAFETY: a live context.
                let memory = unsafe { memory(context) };
                if !memory.is_null() {
                    // SAFETY: the memory of a live context.
                    unsafe { clear(memory, true) };
                }
            }
            (_, _, _, Some(clear)) => {
                // SAFETY: a live context.
                unsafe { clear(context) };
            }
            _ => {}
        }
    }

    /// Forgets positions of a sequence from `from` on; says whether that was possible. `context` has to be live, and `sequence` one of its own.
    pub fn remove(self, context: *mut RawContext, sequence: u32, from: usize) -> bool {
        let (sequence, from) = (sequence.cast_signed(), i32::try_from(from).unwrap_or(i32::MAX));
        match (self.generation, self.f.context_memory, self.f.memory_remove, self.f.kv_remove) {
            (Generation::Memory, Some(memory), Some(remove), _) => {
                // SAFETY: a live context.
                let memory = unsafe { memory(context) };
                // SAFETY: the memory of a live context, and one of its sequences. Models without one have nothing to forget.
                memory.is_null() || unsafe { remove(memory, sequence, from, -1) }
            }
            // SAFETY: a live context, and one of its sequences.
            (_, _, _, Some(remove)) => unsafe { remove(context, sequence, from, -1) },
            _ => false,
        }
    }

    /// Makes one sequence share all positions of another. `context` has to be live, and both its own.
    pub fn copy(self, context: *mut RawContext, from: u32, to: u32) {
        let (from, to) = (from.cast_signed(), to.cast_signed());
        match (self.generation, self.f.context_memory, self.f.memory_copy, self.f.kv_copy) {
            (Generation::Memory, Some(memory), Some(copy), _) => {
                // SAFETY: a live context.
                let memory = unsafe { memory(context) };
                if !memory.is_null() {
                    // SAFETY: the memory of a live context, and two of its sequences, which share one cache.
                    unsafe { copy(memory, from, to, -1, -1) };
                }
            }
            (_, _, _, Some(copy)) => {
                // SAFETY: a live context, and two of its sequences.
                unsafe { copy(context, from, to, -1, -1) };
            }
            _ => {}
        }
    }
}
