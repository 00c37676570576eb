//! Lanes in plain Rust: the reference that runs everywhere.

use super::half::{f16_to_f32, f32_to_f16};
use super::{Lanes, WIDTH};

/// Arrays; the compiler may use whatever vectors the target has by default.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

#[inline(always)]
fn zip(a: [f32; WIDTH], b: [f32; WIDTH], f: impl Fn(f32, f32) -> f32) -> [f32; WIDTH] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

impl Lanes for Scalar {
    type V = [f32; WIDTH];
    const TILE: usize = 2;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; WIDTH]
    }
    #[inline(always)]
    fn load(self, from: &[f32; WIDTH]) -> Self::V {
        *from
    }
    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32; WIDTH]) {
        *to = v;
    }
    #[inline(always)]
    fn load_f16(self, from: &[u16; WIDTH]) -> Self::V {
        from.map(f16_to_f32)
    }
    #[inline(always)]
    fn store_f16(self, v: Self::V, to: &mut [u16; WIDTH]) {
        *to = v.map(f32_to_f16);
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x + y)
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x - y)
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x * y)
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| x / y)
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Not `mul_add`: without the instruction that is a call into the C library per lane.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| if x > y { x } else { y })
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        zip(a, b, |x, y| if x < y { x } else { y })
    }
    #[inline(always)]
    fn select_lt(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
        std::array::from_fn(|i| if a[i] < b[i] { yes[i] } else { no[i] })
    }
    #[inline(always)]
    fn scale2(self, v: Self::V, n: Self::V) -> Self::V {
        zip(v, n, |x, n| {
            // Two exact steps and one that rounds: 2^n itself may be too small or too large for an f32.
            let n = (n as i32).clamp(-152, 130);
            let first = n >> 1;
            x * power_of_two(first) * power_of_two(n - first)
        })
    }
}
