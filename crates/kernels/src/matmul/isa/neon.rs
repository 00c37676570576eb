//! NEON: 16 lanes are four registers. With dot products of bytes, with matrix products, or without.

use super::super::tile::Tile;
use super::{Isa, neon_pairs};
use std::arch::aarch64::*;
use std::arch::asm;

/// What every AArch64 has.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

/// The same and dot products of bytes.
#[derive(Clone, Copy)]
pub(crate) struct NeonDot;

/// The same and matrix products of bytes.
#[derive(Clone, Copy)]
pub(crate) struct NeonMatrix;

type Words = [uint32x4_t; 4];
type Floats = [float32x4_t; 4];

/// Applies an expression to each quarter.
macro_rules! each {
    (|$i:ident| $e:expr) => {{
        let one = |$i: usize| {
            // SAFETY: NEON by the trait's contract; pointers as the caller promises.
            unsafe { $e }
        };
        [one(0), one(1), one(2), one(3)]
    }};
}

/// Signed codes of weights from those that are numbers plus 128.
///
/// # Safety
/// NEON.
#[inline(always)]
unsafe fn signed(w: uint32x4_t) -> int8x16_t {
    // SAFETY: as the caller promises.
    unsafe { vreinterpretq_s8_u8(veorq_u8(vreinterpretq_u8_u32(w), vdupq_n_u8(128))) }
}

/// Four products and sums of signed bytes per lane. Two products are at most 2 * 128 * 127 and fit into 16 bits.
///
/// # Safety
/// NEON.
#[inline(always)]
unsafe fn dot(acc: uint32x4_t, w: int8x16_t, a: int8x16_t) -> uint32x4_t {
    // SAFETY: as the caller promises.
    unsafe {
        let low = vmull_s8(vget_low_s8(w), vget_low_s8(a));
        let high = vmull_high_s8(w, a);
        vreinterpretq_u32_s32(vpadalq_s16(vreinterpretq_s32_u32(acc), vpaddq_s16(low, high)))
    }
}

/// The same by one instruction, whose intrinsic is not stable.
///
/// # Safety
/// NEON with dot products.
#[inline(always)]
unsafe fn sdot(acc: uint32x4_t, w: int8x16_t, a: int8x16_t) -> uint32x4_t {
    let mut out = acc;
    // SAFETY: as the caller promises.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {0:v}.4s, {1:v}.16b, {2:v}.16b",
            inout(vreg) out, in(vreg) w, in(vreg) a,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    out
}

/// Shared by all: everything but the dot products.
macro_rules! common {
    ($int_width:expr) => {
        type Words = Words;
        type Floats = Floats;

        const INT_WIDTH: usize = $int_width;
        const FLOAT_WIDTH: usize = 3;

        #[inline(always)]
        unsafe fn load(p: *const u8) -> Words {
            each!(|i| vreinterpretq_u32_u8(vld1q_u8(p.add(16 * i))))
        }

        #[inline(always)]
        unsafe fn store(p: *mut u8, v: Words) {
            for (i, v) in v.into_iter().enumerate() {
                // SAFETY: 64 writable bytes.
                unsafe { vst1q_u8(p.add(16 * i), vreinterpretq_u8_u32(v)) }
            }
        }

        #[inline(always)]
        unsafe fn splat(v: u32) -> Words {
            // SAFETY: NEON by the trait's contract.
            unsafe { [vdupq_n_u32(v); 4] }
        }

        #[inline(always)]
        unsafe fn shr(v: Words, n: u32) -> Words {
            each!(|i| vshlq_u32(v[i], vdupq_n_s32(-n.cast_signed())))
        }

        #[inline(always)]
        unsafe fn sar(v: Words, n: u32) -> Words {
            each!(|i| vreinterpretq_u32_s32(vshlq_s32(
                vreinterpretq_s32_u32(v[i]),
                vdupq_n_s32(-n.cast_signed())
            )))
        }

        #[inline(always)]
        unsafe fn shl(v: Words, n: u32) -> Words {
            each!(|i| vshlq_u32(v[i], vdupq_n_s32(n.cast_signed())))
        }

        #[inline(always)]
        unsafe fn and(a: Words, b: Words) -> Words {
            each!(|i| vandq_u32(a[i], b[i]))
        }

        #[inline(always)]
        unsafe fn or(a: Words, b: Words) -> Words {
            each!(|i| vorrq_u32(a[i], b[i]))
        }

        #[inline(always)]
        unsafe fn add_bytes(a: Words, b: Words) -> Words {
            each!(|i| vreinterpretq_u32_u8(vaddq_u8(vreinterpretq_u8_u32(a[i]), vreinterpretq_u8_u32(b[i]))))
        }

        #[inline(always)]
        unsafe fn sub(a: Words, b: Words) -> Words {
            each!(|i| vsubq_u32(a[i], b[i]))
        }

        #[inline(always)]
        unsafe fn lookup(v: Words, table: &[u8; 16]) -> Words {
            // SAFETY: the table has the 16 bytes that are read.
            let table = unsafe { vld1q_u8(table.as_ptr()) };
            each!(|i| vreinterpretq_u32_u8(vqtbl1q_u8(table, vreinterpretq_u8_u32(v[i]))))
        }

        #[inline(always)]
        unsafe fn quad(p: *const i8) -> Words {
            // SAFETY: 4 readable bytes.
            unsafe { [vdupq_n_u32(p.cast::<u32>().read_unaligned()); 4] }
        }

        #[inline(always)]
        unsafe fn start_offset(_: *const i32) -> Words {
            // SAFETY: NEON by the trait's contract.
            unsafe { [vdupq_n_u32(0); 4] }
        }

        #[inline(always)]
        unsafe fn to_floats(v: Words) -> Floats {
            each!(|i| vcvtq_f32_s32(vreinterpretq_s32_u32(v[i])))
        }

        #[inline(always)]
        unsafe fn as_floats(v: Words) -> Floats {
            each!(|i| vreinterpretq_f32_u32(v[i]))
        }

        #[inline(always)]
        unsafe fn load_floats(p: *const f32) -> Floats {
            each!(|i| vld1q_f32(p.add(4 * i)))
        }

        #[inline(always)]
        unsafe fn store_floats(p: *mut f32, v: Floats) {
            for (i, v) in v.into_iter().enumerate() {
                // SAFETY: 16 writable floats.
                unsafe { vst1q_f32(p.add(4 * i), v) }
            }
        }

        #[inline(always)]
        unsafe fn load_halves(p: *const u8) -> Floats {
            each!(|i| {
                let halves = vld1_u8(p.add(8 * i));
                let floats: float32x4_t;
                // The conversion is part of every NEON; only its intrinsic is not stable.
                asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) floats, in(vreg) halves, options(pure, nomem, nostack));
                floats
            })
        }

        #[inline(always)]
        unsafe fn splat_float(v: f32) -> Floats {
            // SAFETY: NEON by the trait's contract.
            unsafe { [vdupq_n_f32(v); 4] }
        }

        #[inline(always)]
        unsafe fn add(a: Floats, b: Floats) -> Floats {
            each!(|i| vaddq_f32(a[i], b[i]))
        }

        #[inline(always)]
        unsafe fn mul(a: Floats, b: Floats) -> Floats {
            each!(|i| vmulq_f32(a[i], b[i]))
        }

        #[inline(always)]
        unsafe fn div(a: Floats, b: Floats) -> Floats {
            each!(|i| vdivq_f32(a[i], b[i]))
        }

        #[inline(always)]
        unsafe fn fma(a: Floats, b: Floats, c: Floats) -> Floats {
            each!(|i| vfmaq_f32(c[i], a[i], b[i]))
        }

        #[inline(always)]
        unsafe fn store_halves(p: *mut u8, v: Words) {
            for (i, v) in v.into_iter().enumerate() {
                // SAFETY: 32 writable bytes.
                unsafe { vst1_u8(p.add(8 * i), vreinterpret_u8_u16(vmovn_u32(v))) }
            }
        }

        #[inline(always)]
        unsafe fn prefetch(p: *const u8) {
            // SAFETY: a prefetch of any address is harmless.
            unsafe { asm!("prfm pldl1keep, [{}]", in(reg) p, options(readonly, nostack, preserves_flags)) }
        }

        #[inline(always)]
        unsafe fn prefetch_far(p: *const u8) {
            // SAFETY: as above.
            unsafe { asm!("prfm pldl2keep, [{}]", in(reg) p, options(readonly, nostack, preserves_flags)) }
        }
    };
}

macro_rules! dots {
    ($dot:ident) => {
        #[inline(always)]
        unsafe fn dot_offset(acc: Words, w: Words, a: Words) -> Words {
            each!(|i| $dot(acc[i], signed(w[i]), vreinterpretq_s8_u32(a[i])))
        }

        #[inline(always)]
        unsafe fn dot_small(acc: Words, w: Words, a: Words) -> Words {
            each!(|i| $dot(acc[i], vreinterpretq_s8_u32(w[i]), vreinterpretq_s8_u32(a[i])))
        }
    };
}

impl Isa for Neon {
    common!(2);
    dots!(dot);
}

impl Isa for NeonDot {
    common!(2);
    dots!(sdot);
}

impl Isa for NeonMatrix {
    common!(neon_pairs::WIDTH);
    dots!(sdot);

    const DIRECT: usize = NeonDot::DIRECT;
    const PAIRS: bool = true;

    #[inline(always)]
    unsafe fn zip(first: Words, second: Words) -> [Words; 2] {
        // SAFETY: NEON by the trait's contract.
        unsafe { neon_pairs::zip(first, second) }
    }

    #[inline(always)]
    unsafe fn int_pairs<const SUB: usize, const MIN: bool>(tile: &Tile) {
        // SAFETY: as the caller promises.
        unsafe { neon_pairs::int_tile::<SUB, MIN>(tile) }
    }

    #[inline(always)]
    unsafe fn pairs_probe(products: usize) -> u32 {
        // SAFETY: as the caller promises.
        unsafe { neon_pairs::probe(products) }
    }
}
