//! Lanes on aarch64, where NEON is part of the base instruction set.

use super::{Lanes, WIDTH};
use std::arch::aarch64::*;
use std::arch::asm;

/// Four registers of four lanes. No proof is needed: the targets of this architecture all have NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon;

type Quad = [float32x4_t; 4];

/// The same expression for each of the four registers.
macro_rules! quad {
    ($i:ident => $body:expr) => {
        [
            {
                let $i = 0;
                $body
            },
            {
                let $i = 1;
                $body
            },
            {
                let $i = 2;
                $body
            },
            {
                let $i = 3;
                $body
            },
        ]
    };
}

#[inline(always)]
fn widen(h: uint16x4_t) -> float32x4_t {
    let wide: float32x4_t;
    // SAFETY: register to register; the instruction is part of the base set, its intrinsic is not stable.
    unsafe {
        asm!("fcvtl {o:v}.4s, {i:v}.4h", o = out(vreg) wide, i = in(vreg) h,
            options(pure, nomem, nostack, preserves_flags));
    }
    wide
}

#[inline(always)]
fn narrow(x: float32x4_t) -> uint16x4_t {
    let h: uint16x4_t;
    // SAFETY: as in `widen`.
    unsafe {
        asm!("fcvtn {o:v}.4h, {i:v}.4s", o = out(vreg) h, i = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags));
    }
    h
}

/// Two exact steps and one that rounds, as in `Scalar::scale2`.
#[inline(always)]
unsafe fn scale2_quarter(v: float32x4_t, n: float32x4_t) -> float32x4_t {
    // SAFETY: the caller vouches for NEON.
    unsafe {
        let bias = vdupq_n_s32(127);
        let n = vcvtq_s32_f32(n);
        let first = vshrq_n_s32::<1>(n);
        let second = vsubq_s32(n, first);
        let v = vmulq_f32(v, vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(first, bias))));
        vmulq_f32(v, vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(second, bias))))
    }
}

impl Lanes for Neon {
    type V = Quad;
    const TILE: usize = 6;

    methods! {
        splat(x: f32) -> Quad = [vdupq_n_f32(x); 4];
        load(from: &[f32; WIDTH]) -> Quad = quad!(i => vld1q_f32(from.as_ptr().add(4 * i)));
        store(v: Quad, to: &mut [f32; WIDTH]) = {
            let _: [(); 4] = quad!(i => vst1q_f32(to.as_mut_ptr().add(4 * i), v[i]));
        };
        load_f16(from: &[u16; WIDTH]) -> Quad = quad!(i => widen(vld1_u16(from.as_ptr().add(4 * i))));
        store_f16(v: Quad, to: &mut [u16; WIDTH]) = {
            let _: [(); 4] = quad!(i => vst1_u16(to.as_mut_ptr().add(4 * i), narrow(v[i])));
        };
        add(a: Quad, b: Quad) -> Quad = quad!(i => vaddq_f32(a[i], b[i]));
        sub(a: Quad, b: Quad) -> Quad = quad!(i => vsubq_f32(a[i], b[i]));
        mul(a: Quad, b: Quad) -> Quad = quad!(i => vmulq_f32(a[i], b[i]));
        div(a: Quad, b: Quad) -> Quad = quad!(i => vdivq_f32(a[i], b[i]));
        fma(a: Quad, b: Quad, c: Quad) -> Quad = quad!(i => vfmaq_f32(c[i], a[i], b[i]));
        max(a: Quad, b: Quad) -> Quad = quad!(i => vbslq_f32(vcgtq_f32(a[i], b[i]), a[i], b[i]));
        min(a: Quad, b: Quad) -> Quad = quad!(i => vbslq_f32(vcltq_f32(a[i], b[i]), a[i], b[i]));
        select_lt(a: Quad, b: Quad, yes: Quad, no: Quad) -> Quad =
            quad!(i => vbslq_f32(vcltq_f32(a[i], b[i]), yes[i], no[i]));
        scale2(v: Quad, n: Quad) -> Quad = quad!(i => scale2_quarter(v[i], n[i]));
    }
}
