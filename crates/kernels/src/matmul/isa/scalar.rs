//! The instruction set that every processor has: plain Rust on arrays.

use super::Isa;
use half::f16;

#[derive(Clone, Copy)]
pub(crate) struct Scalar;

type Words = [u32; 16];
type Floats = [f32; 16];

#[inline(always)]
fn map(a: Words, f: impl Fn(u32) -> u32) -> Words {
    let mut out = a;
    for lane in &mut out {
        *lane = f(*lane);
    }
    out
}

#[inline(always)]
fn zip(a: Words, b: Words, f: impl Fn(u32, u32) -> u32) -> Words {
    let mut out = a;
    for (lane, b) in out.iter_mut().zip(b) {
        *lane = f(*lane, b);
    }
    out
}

#[inline(always)]
fn zip_floats(a: Floats, b: Floats, f: impl Fn(f32, f32) -> f32) -> Floats {
    let mut out = a;
    for (lane, b) in out.iter_mut().zip(b) {
        *lane = f(*lane, b);
    }
    out
}

#[inline(always)]
fn dot(acc: Words, w: Words, a: Words, offset: i32) -> Words {
    let mut out = acc;
    for (i, lane) in out.iter_mut().enumerate() {
        let products = w[i].to_le_bytes().into_iter().zip(a[i].to_le_bytes());
        let sum: i32 = products.map(|(w, a)| (i32::from(w) - offset) * i32::from(a.cast_signed())).sum();
        *lane = lane.wrapping_add(sum.cast_unsigned());
    }
    out
}

// SAFETY (of every `unsafe` below): the reads and writes have exactly the size that the trait promises to be accessible,
// and are unaligned ones.
impl Isa for Scalar {
    type Words = Words;
    type Floats = Floats;

    const INT_WIDTH: usize = 1;
    const FLOAT_WIDTH: usize = 1;

    #[inline(always)]
    unsafe fn load(p: *const u8) -> Words {
        // SAFETY: 64 readable bytes.
        let bytes = unsafe { p.cast::<[[u8; 4]; 16]>().read_unaligned() };
        bytes.map(u32::from_le_bytes)
    }

    #[inline(always)]
    unsafe fn store(p: *mut u8, v: Words) {
        // SAFETY: 64 writable bytes.
        unsafe { p.cast::<[[u8; 4]; 16]>().write_unaligned(v.map(u32::to_le_bytes)) }
    }

    #[inline(always)]
    unsafe fn splat(v: u32) -> Words {
        [v; 16]
    }

    #[inline(always)]
    unsafe fn shr(v: Words, n: u32) -> Words {
        map(v, |v| v >> n)
    }

    #[inline(always)]
    unsafe fn sar(v: Words, n: u32) -> Words {
        map(v, |v| (v.cast_signed() >> n).cast_unsigned())
    }

    #[inline(always)]
    unsafe fn shl(v: Words, n: u32) -> Words {
        map(v, |v| v << n)
    }

    #[inline(always)]
    unsafe fn and(a: Words, b: Words) -> Words {
        zip(a, b, |a, b| a & b)
    }

    #[inline(always)]
    unsafe fn or(a: Words, b: Words) -> Words {
        zip(a, b, |a, b| a | b)
    }

    #[inline(always)]
    unsafe fn add_bytes(a: Words, b: Words) -> Words {
        // Without the top bits no carry leaves a byte; these are then added without carry.
        zip(a, b, |a, b| ((a & 0x7f7f_7f7f) + (b & 0x7f7f_7f7f)) ^ ((a ^ b) & 0x8080_8080))
    }

    #[inline(always)]
    unsafe fn sub(a: Words, b: Words) -> Words {
        zip(a, b, u32::wrapping_sub)
    }

    #[inline(always)]
    unsafe fn lookup(v: Words, table: &[u8; 16]) -> Words {
        map(v, |v| u32::from_le_bytes(v.to_le_bytes().map(|b| table[usize::from(b & 15)])))
    }

    #[inline(always)]
    unsafe fn quad(p: *const i8) -> Words {
        // SAFETY: 4 readable bytes.
        [u32::from_le_bytes(unsafe { p.cast::<[u8; 4]>().read_unaligned() }); 16]
    }

    #[inline(always)]
    unsafe fn start_offset(_: *const i32) -> Words {
        [0; 16]
    }

    #[inline(always)]
    unsafe fn dot_offset(acc: Words, w: Words, a: Words) -> Words {
        dot(acc, w, a, 128)
    }

    #[inline(always)]
    unsafe fn dot_small(acc: Words, w: Words, a: Words) -> Words {
        dot(acc, w, a, 0)
    }

    #[inline(always)]
    unsafe fn to_floats(v: Words) -> Floats {
        v.map(|v| v.cast_signed() as f32)
    }

    #[inline(always)]
    unsafe fn as_floats(v: Words) -> Floats {
        v.map(f32::from_bits)
    }

    #[inline(always)]
    unsafe fn load_floats(p: *const f32) -> Floats {
        // SAFETY: 16 readable floats.
        unsafe { p.cast::<Floats>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_floats(p: *mut f32, v: Floats) {
        // SAFETY: 16 writable floats.
        unsafe { p.cast::<Floats>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn load_halves(p: *const u8) -> Floats {
        // SAFETY: 32 readable bytes.
        let bytes = unsafe { p.cast::<[[u8; 2]; 16]>().read_unaligned() };
        bytes.map(|b| f16::from_le_bytes(b).to_f32())
    }

    #[inline(always)]
    unsafe fn splat_float(v: f32) -> Floats {
        [v; 16]
    }

    #[inline(always)]
    unsafe fn add(a: Floats, b: Floats) -> Floats {
        zip_floats(a, b, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn mul(a: Floats, b: Floats) -> Floats {
        zip_floats(a, b, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn div(a: Floats, b: Floats) -> Floats {
        zip_floats(a, b, |a, b| a / b)
    }

    #[inline(always)]
    unsafe fn fma(a: Floats, b: Floats, c: Floats) -> Floats {
        let product = zip_floats(a, b, |a, b| a * b);
        zip_floats(product, c, |product, c| product + c)
    }

    #[inline(always)]
    unsafe fn store_halves(p: *mut u8, v: Words) {
        // SAFETY: 32 writable bytes.
        unsafe { p.cast::<[[u8; 2]; 16]>().write_unaligned(v.map(|v| (v as u16).to_le_bytes())) }
    }

    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}

    #[inline(always)]
    unsafe fn prefetch_far(_: *const u8) {}
}
