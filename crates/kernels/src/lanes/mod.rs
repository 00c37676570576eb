//! Sixteen `f32` lanes as one logical register, on every instruction set that the kernels know.
//!
//! A value of a type that implements [`Lanes`] is the proof that its instructions exist on this CPU: it is made by an
//! `unsafe` constructor only, so that kernels written over it are safe code. Kernels are generic `#[inline(always)]`
//! functions; the functions that instantiate them carry the `#[target_feature]` (see `ops::table`).
//! Not here: integer dot products, which differ too much between instruction sets to share a trait.

/// Writes methods of a type whose values exist only where its instructions do.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! methods {
    ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) $(-> $ret)? {
            // SAFETY: a value of this type is made only where the CPU has its instructions (see the type), and the
            // pointers come from references to whole registers.
            unsafe { $body }
        }
    )*};
}

#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;

pub(crate) mod half;
pub(crate) mod math;

#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use scalar::Scalar;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// Lanes in a logical register.
pub(crate) const WIDTH: usize = 16;

/// Adding and taking away this number rounds to a whole number, ties to even: 1.5 * 2^23.
const ROUNDING: f32 = 12_582_912.0;

/// Sixteen `f32` at once. All methods work lane by lane unless they say otherwise.
pub(crate) trait Lanes: Copy + Send + Sync {
    /// The logical register.
    type V: Copy;

    /// How many logical registers a tile of accumulators may take before it spills.
    const TILE: usize;

    /// `x` in each lane.
    fn splat(self, x: f32) -> Self::V;
    /// Reads a whole register.
    fn load(self, from: &[f32; WIDTH]) -> Self::V;
    /// Writes a whole register.
    fn store(self, v: Self::V, to: &mut [f32; WIDTH]);
    /// Widens IEEE binary16.
    fn load_f16(self, from: &[u16; WIDTH]) -> Self::V;
    /// Narrows to IEEE binary16, ties to even.
    fn store_f16(self, v: Self::V, to: &mut [u16; WIDTH]);

    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once where the CPU can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a` where `a > b`, otherwise `b`: NaN in `b` comes through, NaN in `a` is dropped.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a` where `a < b`, otherwise `b`: NaN in `b` comes through, NaN in `a` is dropped.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `yes` where `a < b`, otherwise (also for NaN) `no`.
    fn select_lt(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// `v * 2^n` with one rounding, for whole `n` of -152 to 130 and `v` of 0.5 to 2.
    fn scale2(self, v: Self::V, n: Self::V) -> Self::V;

    /// All lanes 0.
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(0.0)
    }

    /// Reads the first `from.len()` lanes, fewer than all; the others are those of `rest`.
    #[inline(always)]
    fn load_part_or(self, from: &[f32], rest: Self::V) -> Self::V {
        let mut all = self.to_array(rest);
        all[..from.len()].copy_from_slice(from);
        self.load(&all)
    }

    /// Reads the first `from.len()` lanes, fewer than all; the others are 0.
    #[inline(always)]
    fn load_part(self, from: &[f32]) -> Self::V {
        self.load_part_or(from, self.zero())
    }

    /// Writes the first `to.len()` lanes, fewer than all.
    #[inline(always)]
    fn store_part(self, v: Self::V, to: &mut [f32]) {
        let all = self.to_array(v);
        to.copy_from_slice(&all[..to.len()]);
    }

    /// The lanes in order.
    #[inline(always)]
    fn to_array(self, v: Self::V) -> [f32; WIDTH] {
        let mut all = [0.0; WIDTH];
        self.store(v, &mut all);
        all
    }

    /// The nearest whole number, ties to even, for `|v| < 2^22`.
    #[inline(always)]
    fn round(self, v: Self::V) -> Self::V {
        let magic = self.splat(ROUNDING);
        self.sub(self.add(v, magic), magic)
    }

    /// The nearest number of half precision, ties to even.
    #[inline(always)]
    fn round_to_half(self, v: Self::V) -> Self::V {
        let mut halves = [0; WIDTH];
        self.store_f16(v, &mut halves);
        self.load_f16(&halves)
    }

    /// `|v|`.
    #[inline(always)]
    fn abs(self, v: Self::V) -> Self::V {
        self.max(self.sub(self.zero(), v), v)
    }

    /// Sum of the lanes as a balanced tree, in the same order on every instruction set.
    #[inline(always)]
    fn reduce_sum(self, v: Self::V) -> f32 {
        let mut x = self.to_array(v);
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                x[i] += x[i + half];
            }
        }
        x[0]
    }

    /// Largest lane; lanes that are NaN are skipped.
    #[inline(always)]
    fn reduce_max(self, v: Self::V) -> f32 {
        let x = self.to_array(v);
        x.iter().fold(f32::NEG_INFINITY, |m, &lane| if lane > m { lane } else { m })
    }
}

/// Asks the CPU to bring `data[index]` into its caches; any index is allowed.
#[inline(always)]
pub(crate) fn prefetch<T>(data: &[T], index: usize) {
    let address = data.as_ptr().wrapping_add(index);
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of x86-64, and a prefetch of an address that is not mapped does nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a prefetch of an address that is not mapped does nothing.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}
