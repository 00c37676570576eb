//! Keys and values in codes of 8 or 4 bits with a half-precision scale per [`GROUP`] values, numbers as in `Q8_0` and `Q4_0`.
//!
//! A head of a block has its codes first, then the scales. Of keys these are `[k_dim][block_len]` and `[groups][block_len]`, so that
//! lanes are positions; of values `[block_len][v_dim]` and `[block_len][groups]`. Of 4 bits, value `i` of a group shares a byte with
//! value `i + 16`. They are turned into single precision a head of a block at a time, for all queries that meet it together.

use super::kv::{KvLayer, KvShape};
use crate::lanes::half::{f16_to_f32, f32_to_f16};
use crate::lanes::{Lanes, WIDTH};
use std::ops::Range;
use torchless_quant::nearest;

/// Values that share a scale.
const GROUP: usize = 32;
const HALF: usize = GROUP / 2;
const SCALE_BYTES: usize = 2;

/// Bytes of the codes of a group.
const fn code_bytes(bits: usize) -> usize {
    GROUP * bits / 8
}

/// Bytes of `dim` values at one position; `None` where they do not fit into memory.
pub(super) fn position_bytes(bits: usize, dim: usize) -> Option<usize> {
    dim.div_ceil(GROUP).checked_mul(code_bytes(bits) + SCALE_BYTES)
}

/// Where things lie in a head of a block.
#[derive(Clone, Copy)]
struct Plane {
    dim: usize,
    block_len: usize,
}

impl Plane {
    fn groups(self) -> usize {
        self.dim.div_ceil(GROUP)
    }

    /// Where the scales begin.
    fn scales(self, bits: usize) -> usize {
        self.groups() * code_bytes(bits) * self.block_len
    }
}

/// A group's scale and codes: of 8 bits signed ones, of 4 bits two to a byte.
struct Group {
    scale: u16,
    codes: [u8; GROUP],
}

/// Rounds up to [`GROUP`] values, as the reference does for `Q8_0` and `Q4_0`. What is not finite makes the scale not finite.
fn encode<const BITS: usize>(values: &[f32]) -> Group {
    let mut x = [0.0; GROUP];
    x[..values.len()].copy_from_slice(values);
    let mut most = 0.0_f32;
    for v in x {
        most = if v.abs() > most.abs() || v.is_nan() { v } else { most };
    }
    let scale = if BITS == 8 { most.abs() / 127.0 } else { most / -8.0 };
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let mut codes = [0; GROUP];
    if BITS == 8 {
        for (code, v) in codes.iter_mut().zip(x) {
            *code = (nearest(v * inverse, 127.0) as i8).cast_unsigned();
        }
    } else {
        let code = |v: f32| (v * inverse + 8.5).clamp(0.0, 15.0) as u8;
        for i in 0..HALF {
            codes[i] = code(x[i]) | code(x[i + HALF]) << 4;
        }
    }
    Group { scale: f32_to_f16(scale), codes }
}

/// Writes a key to position `at` of a head of a block.
pub(super) fn write_key<const BITS: usize>(key: &[f32], head: &mut [u8], (block_len, at): (usize, usize)) {
    let plane = Plane { dim: key.len(), block_len };
    let (codes, scales) = head.split_at_mut(plane.scales(BITS));
    for (g, values) in key.chunks(GROUP).enumerate() {
        let group = encode::<BITS>(values);
        let rows = g * code_bytes(BITS)..(g + 1) * code_bytes(BITS);
        for (row, code) in rows.zip(group.codes) {
            codes[row * block_len + at] = code;
        }
        let place = (g * block_len + at) * SCALE_BYTES;
        scales[place..place + SCALE_BYTES].copy_from_slice(&group.scale.to_le_bytes());
    }
}

/// Writes a value vector to position `at` of a head of a block.
pub(super) fn write_value<const BITS: usize>(
    value: &[f32],
    head: &mut [u8],
    (block_len, at): (usize, usize),
) {
    let plane = Plane { dim: value.len(), block_len };
    let (codes, scales) = head.split_at_mut(plane.scales(BITS));
    for (g, values) in value.chunks(GROUP).enumerate() {
        let group = encode::<BITS>(values);
        let number = at * plane.groups() + g;
        let len = code_bytes(BITS);
        codes[number * len..(number + 1) * len].copy_from_slice(&group.codes[..len]);
        let place = number * SCALE_BYTES;
        scales[place..place + SCALE_BYTES].copy_from_slice(&group.scale.to_le_bytes());
    }
}

/// Bytes of a head of a block in the planes of keys and of values.
fn head_bytes<const BITS: usize>(shape: &KvShape) -> (usize, usize) {
    let of = |dim: usize| position_bytes(BITS, dim).unwrap_or(0) * shape.block_len;
    (of(shape.k_dim), of(shape.v_dim))
}

/// The heads of blocks as bytes, and the size of one.
pub(super) type Heads<'a> = (&'a mut [u8], usize);

/// Those of keys, then those of values.
pub(super) fn heads<const BITS: usize>(layer: &mut KvLayer) -> (Heads<'_>, Heads<'_>) {
    let (k_len, v_len) = head_bytes::<BITS>(layer.shape());
    let (k, v) = layer.bytes_mut();
    ((k, k_len), (v, v_len))
}

/// 16 codes as numbers.
#[inline(always)]
fn numbers<L: Lanes, const BITS: usize>(l: L, codes: &[u8; WIDTH], high: bool) -> L::V {
    let number = |byte: u8| match (BITS, high) {
        (8, _) => f32::from(byte.cast_signed()),
        (_, false) => f32::from(byte & 15) - 8.0,
        (_, true) => f32::from(byte >> 4) - 8.0,
    };
    let mut all = [0.0; WIDTH];
    for i in 0..WIDTH {
        all[i] = number(codes[i]);
    }
    l.load(&all)
}

/// The keys of head `unit` at `positions` (multiples of [`WIDTH`]) of its block, `[k_dim][block_len]`, in single precision.
#[inline(always)]
pub(super) fn decode_keys<L: Lanes, const BITS: usize>(
    l: L,
    layer: &KvLayer,
    (unit, positions): (usize, Range<usize>),
    out: &mut [f32],
) {
    let KvShape { k_dim, block_len, .. } = *layer.shape();
    let plane = Plane { dim: k_dim, block_len };
    let (len, _) = head_bytes::<BITS>(layer.shape());
    let (codes, scales) = layer.key_bytes()[unit * len..][..len].split_at(plane.scales(BITS));
    for g in 0..plane.groups() {
        for at in positions.clone().step_by(WIDTH) {
            let (halves, _) = scales[(g * block_len + at) * SCALE_BYTES..].as_chunks::<SCALE_BYTES>();
            let mut bits = [0; WIDTH];
            for (bits, half) in bits.iter_mut().zip(halves) {
                *bits = u16::from_le_bytes(*half);
            }
            let scale = l.load_f16(&bits);
            for i in 0..GROUP.min(k_dim - g * GROUP) {
                let (row, high) = if BITS == 8 { (i, false) } else { (i % HALF, i >= HALF) };
                let from = &codes[(g * code_bytes(BITS) + row) * block_len + at..];
                let (Some(from), Some(to)) = (
                    from.first_chunk::<WIDTH>(),
                    out[(g * GROUP + i) * block_len + at..].first_chunk_mut::<WIDTH>(),
                ) else {
                    return;
                };
                l.store(l.mul(numbers::<L, BITS>(l, from, high), scale), to);
            }
        }
    }
}

/// The value vectors of head `unit` at `positions` of its block, `[block_len][stride of values]`, in single precision.
#[inline(always)]
pub(super) fn decode_values<L: Lanes, const BITS: usize>(
    l: L,
    layer: &KvLayer,
    (unit, positions): (usize, Range<usize>),
    out: &mut [f32],
) {
    let KvShape { v_dim, block_len, .. } = *layer.shape();
    let plane = Plane { dim: v_dim, block_len };
    let stride = layer.shape().v_stride();
    let (_, len) = head_bytes::<BITS>(layer.shape());
    let (codes, scales) = layer.value_bytes()[unit * len..][..len].split_at(plane.scales(BITS));
    for at in positions {
        let (row, _) = out[at * stride..(at + 1) * stride].as_chunks_mut::<WIDTH>();
        for (i, to) in row.iter_mut().enumerate() {
            let number = at * plane.groups() + i / 2;
            let place = number * SCALE_BYTES;
            let scale = l.splat(f16_to_f32(u16::from_le_bytes([scales[place], scales[place + 1]])));
            let from = number * code_bytes(BITS) + if BITS == 8 { i % 2 * HALF } else { 0 };
            let Some(from) = codes[from..].first_chunk::<WIDTH>() else { return };
            l.store(l.mul(numbers::<L, BITS>(l, from, i % 2 == 1), scale), to);
        }
    }
}
