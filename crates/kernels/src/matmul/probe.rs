//! Loops that do nothing but keep one resource of the processor busy, to find this machine's ceilings. The caller times them.

use super::isa::{Isa, MatrixProbe};
use crate::cpu::Cpu;
use std::hint::black_box;

/// Independent sums: enough to hide the latency of an instruction on every unit that executes it.
const CHAINS: usize = 12;
/// Bytes of a chunk that one worker reads.
const CHUNK: usize = 1 << 20;

/// The loops of one table.
pub(crate) struct Probes {
    /// That many rounds of byte dot products.
    pub(crate) dots: unsafe fn(usize) -> u32,
    /// That many rounds of fused multiply-adds.
    pub(crate) floats: unsafe fn(usize) -> f32,
    /// The products of matrix instructions with bf16 that make up so many rounds of fused multiply-adds; these where there are none.
    pub(crate) halves: unsafe fn(usize) -> f32,
    /// Reads the bytes.
    pub(crate) read: unsafe fn(&[u8]) -> u32,
}

/// # Safety
/// As [`Isa`].
#[inline(always)]
pub(crate) unsafe fn dots<I: Isa>(rounds: usize) -> u32 {
    if I::MATRIX {
        // SAFETY: as the caller promises.
        unsafe { I::matrix_probe(MatrixProbe::Bytes, rounds * CHAINS / (16 * 16)) };
        return 0;
    }
    if I::PAIRS {
        // SAFETY: as the caller promises; a round has 64 multiplications on each chain, a product 32.
        return unsafe { I::pairs_probe(rounds * CHAINS * 64 / 32) };
    }
    let source = [1_u8; 64 * 3];
    let mut out = [0_u8; 64];
    // SAFETY: as the caller promises; the arrays have the 64 bytes that are read and written.
    unsafe {
        let mut acc = [[I::splat(0); CHAINS / 3]; 3];
        for _ in 0..rounds {
            // Read anew in each round: otherwise what two rounds have in common might be computed once.
            let source = black_box(source.as_ptr());
            for (i, acc) in acc.iter_mut().enumerate() {
                let w = I::load(source.add(64 * i));
                for (j, acc) in acc.iter_mut().enumerate() {
                    let a = I::quad(source.add(4 * j).cast());
                    *acc = if I::NARROW { I::add_products(*acc, w, a) } else { I::dot_small(*acc, w, a) };
                }
            }
        }
        let mut all = I::splat(0);
        for acc in acc.into_iter().flatten() {
            all = I::or(all, acc);
        }
        I::store(out.as_mut_ptr(), all);
    }
    u32::from(out[0])
}

/// # Safety
/// As [`Isa`].
#[inline(always)]
pub(crate) unsafe fn floats<I: Isa>(rounds: usize) -> f32 {
    let source = black_box([0.5_f32; 16]);
    let mut out = [0.0_f32; 16];
    // SAFETY: as the caller promises; the arrays have the 16 floats that are read and written.
    unsafe {
        let w = I::load_floats(source.as_ptr());
        let mut acc = [w; CHAINS];
        for _ in 0..rounds {
            for acc in &mut acc {
                *acc = I::fma(*acc, w, w);
            }
        }
        let mut all = acc[0];
        for acc in acc {
            all = I::add(all, acc);
        }
        I::store_floats(out.as_mut_ptr(), all);
    }
    out[0]
}

/// # Safety
/// As [`Isa`].
#[inline(always)]
pub(crate) unsafe fn halves<I: Isa>(rounds: usize) -> f32 {
    // SAFETY: as the caller promises.
    unsafe {
        if !I::MATRIX {
            return floats::<I>(rounds);
        }
        I::matrix_probe(MatrixProbe::Halves, rounds * CHAINS * 16 / (16 * 16 * 32));
    }
    0.0
}

/// # Safety
/// As [`Isa`].
#[inline(always)]
pub(crate) unsafe fn read<I: Isa>(data: &[u8]) -> u32 {
    let mut out = [0_u8; 64];
    // SAFETY: as the caller promises; the chunks have the bytes that are read. Prefetching needs no readable address.
    unsafe {
        let mut acc = [I::splat(0); 4];
        for lines in data.chunks_exact(256) {
            for (i, acc) in acc.iter_mut().enumerate() {
                let p = lines.as_ptr().wrapping_add(64 * i);
                I::prefetch(p.wrapping_add(super::tile::AHEAD));
                *acc = I::or(*acc, I::load(p));
            }
        }
        I::store(out.as_mut_ptr(), I::or(I::or(acc[0], acc[1]), I::or(acc[2], acc[3])));
    }
    u32::from(out[0])
}

impl Cpu {
    /// Runs `rounds` of independent 8-bit dot products on every worker and returns how many operations that were (a product
    /// and a sum are two). By the time it takes, the ceiling of products with quantised weights.
    pub fn probe_int8(&self, rounds: usize) -> u64 {
        self.pool().run(&|_| {
            // SAFETY: the table is one that this processor can run.
            black_box(unsafe { (self.kernels.matmul.probes.dots)(rounds) });
        });
        (self.workers() * rounds * CHAINS * 64 * 2) as u64
    }

    /// The same with fused multiply-adds of `f32`.
    pub fn probe_f32(&self, rounds: usize) -> u64 {
        self.pool().run(&|_| {
            // SAFETY: the table is one that this processor can run.
            black_box(unsafe { (self.kernels.matmul.probes.floats)(rounds) });
        });
        (self.workers() * rounds * CHAINS * 16 * 2) as u64
    }

    /// The same for weights of `F16` and `BF16`: products of bf16 where there are matrix instructions for them.
    pub fn probe_halves(&self, rounds: usize) -> u64 {
        self.pool().run(&|_| {
            // SAFETY: the table is one that this processor can run.
            black_box(unsafe { (self.kernels.matmul.probes.halves)(rounds) });
        });
        (self.workers() * rounds * CHAINS * 16 * 2) as u64
    }

    /// Reads `data` once, shared among the workers as weights are, and returns how many bytes that were. With data much
    /// larger than the caches, the time it takes tells the bandwidth of memory.
    pub fn probe_read(&self, data: &[u8]) -> u64 {
        let chunks = data.len().div_ceil(CHUNK);
        self.pool().for_chunks(chunks, &|_, chunk| {
            let part = &data[chunk * CHUNK..((chunk + 1) * CHUNK).min(data.len())];
            // SAFETY: the table is one that this processor can run.
            black_box(unsafe { (self.kernels.matmul.probes.read)(part) });
        });
        data.len() as u64
    }
}
