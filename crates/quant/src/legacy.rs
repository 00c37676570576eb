//! Blocks of 32 values with one `f16` scale (and a minimum): ggml's Q4_0 to Q8_0 and IQ4_NL.
//!
//! Rounding follows ggml's reference quantisers, so that a file written here holds the same bytes.

use half::f16;

const LEN: usize = 32;
const HALF: usize = LEN / 2;

/// The 16 levels of IQ4_NL.
pub(crate) static IQ4_NL_LEVELS: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

pub(crate) fn decode_blocks<const BYTES: usize, const N: usize>(
    data: &[u8],
    out: &mut [f32],
    block: fn(&[u8; BYTES], &mut [f32; N]),
) {
    for (bytes, out) in data.as_chunks::<BYTES>().0.iter().zip(out.as_chunks_mut::<N>().0) {
        block(bytes, out);
    }
}

fn encode_blocks<const BYTES: usize>(
    values: &[f32],
    data: &mut [u8],
    block: fn(&[f32; LEN], &mut [u8; BYTES]),
) {
    for (values, bytes) in values.as_chunks::<LEN>().0.iter().zip(data.as_chunks_mut::<BYTES>().0) {
        block(values, bytes);
    }
}

pub(crate) fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

pub(crate) fn put_half(bytes: &mut [u8], at: usize, value: f32) {
    bytes[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
}

fn high_bits(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The value of greatest magnitude, with its sign; the first one of equals.
fn signed_extreme(values: &[f32; LEN]) -> f32 {
    let mut extreme = 0.0_f32;
    for &value in values {
        if extreme.abs() < value.abs() {
            extreme = value;
        }
    }
    extreme
}

fn extent(values: &[f32; LEN]) -> (f32, f32) {
    let (mut min, mut max) = (f32::MAX, -f32::MAX);
    for &value in values {
        if value < min {
            min = value;
        }
        if value > max {
            max = value;
        }
    }
    (min, max)
}

fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// Five-bit codes of a block: the low four bits side by side at `low`, the fifth ones gathered at `high`.
pub(crate) fn put_five_bits(codes: &[u8; LEN], bytes: &mut [u8], high: usize, low: usize) {
    let mut fifth = 0u32;
    for (j, code) in codes.iter().enumerate() {
        fifth |= u32::from(code >> 4) << j;
    }
    bytes[high..high + 4].copy_from_slice(&fifth.to_le_bytes());
    put_four_bits(codes, bytes, low);
}

pub(crate) fn put_four_bits(codes: &[u8; LEN], bytes: &mut [u8], low: usize) {
    for j in 0..HALF {
        bytes[low + j] = (codes[j] & 15) | ((codes[j + HALF] & 15) << 4);
    }
}

fn five_bits(bytes: &[u8], high: usize, low: usize, j: usize) -> (u8, u8) {
    let fifth = high_bits(bytes, high);
    let bit = |at: usize| u8::from(fifth >> at & 1 == 1) << 4;
    (bytes[low + j] & 15 | bit(j), bytes[low + j] >> 4 | bit(j + HALF))
}

pub(crate) fn decode_q4_0(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_blocks::<18, LEN>(data, out, |bytes, out| {
        let d = half_at(bytes, 0);
        for j in 0..HALF {
            out[j] = (f32::from(bytes[2 + j] & 15) - 8.0) * d;
            out[j + HALF] = (f32::from(bytes[2 + j] >> 4) - 8.0) * d;
        }
    });
}

pub(crate) fn encode_q4_0(values: &[f32], _: &[f32], data: &mut [u8], _: &mut [u8]) {
    encode_blocks::<18>(values, data, |values, bytes| {
        let d = signed_extreme(values) / -8.0;
        let id = inverse(d);
        put_half(bytes, 0, d);
        put_four_bits(&values.map(|v| ((v * id + 8.5) as u8).min(15)), bytes, 2);
    });
}

pub(crate) fn decode_q4_1(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_blocks::<20, LEN>(data, out, |bytes, out| {
        let (d, min) = (half_at(bytes, 0), half_at(bytes, 2));
        for j in 0..HALF {
            out[j] = f32::from(bytes[4 + j] & 15) * d + min;
            out[j + HALF] = f32::from(bytes[4 + j] >> 4) * d + min;
        }
    });
}

pub(crate) fn encode_q4_1(values: &[f32], _: &[f32], data: &mut [u8], _: &mut [u8]) {
    encode_blocks::<20>(values, data, |values, bytes| {
        let (min, max) = extent(values);
        let d = (max - min) / 15.0;
        let id = inverse(d);
        put_half(bytes, 0, d);
        put_half(bytes, 2, min);
        put_four_bits(&values.map(|v| (((v - min) * id + 0.5) as u8).min(15)), bytes, 4);
    });
}

pub(crate) fn decode_q5_0(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_blocks::<22, LEN>(data, out, |bytes, out| {
        let d = half_at(bytes, 0);
        for j in 0..HALF {
            let (lower, upper) = five_bits(bytes, 2, 6, j);
            out[j] = (f32::from(lower) - 16.0) * d;
            out[j + HALF] = (f32::from(upper) - 16.0) * d;
        }
    });
}

pub(crate) fn encode_q5_0(values: &[f32], _: &[f32], data: &mut [u8], _: &mut [u8]) {
    encode_blocks::<22>(values, data, |values, bytes| {
        let d = signed_extreme(values) / -16.0;
        let id = inverse(d);
        put_half(bytes, 0, d);
        put_five_bits(&values.map(|v| ((v * id + 16.5) as u8).min(31)), bytes, 2, 6);
    });
}

pub(crate) fn decode_q5_1(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_blocks::<24, LEN>(data, out, |bytes, out| {
        let (d, min) = (half_at(bytes, 0), half_at(bytes, 2));
        for j in 0..HALF {
            let (lower, upper) = five_bits(bytes, 4, 8, j);
            out[j] = f32::from(lower) * d + min;
            out[j + HALF] = f32::from(upper) * d + min;
        }
    });
}

pub(crate) fn encode_q5_1(values: &[f32], _: &[f32], data: &mut [u8], _: &mut [u8]) {
    encode_blocks::<24>(values, data, |values, bytes| {
        let (min, max) = extent(values);
        let d = (max - min) / 31.0;
        let id = inverse(d);
        put_half(bytes, 0, d);
        put_half(bytes, 2, min);
        put_five_bits(&values.map(|v| (((v - min) * id + 0.5) as u8).min(31)), bytes, 4, 8);
    });
}

pub(crate) fn decode_q8_0(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_blocks::<34, LEN>(data, out, |bytes, out| {
        let d = half_at(bytes, 0);
        for (out, q) in out.iter_mut().zip(&bytes[2..]) {
            *out = f32::from(q.cast_signed()) * d;
        }
    });
}

/// `f32::round` rounds ties away from zero, as C's `roundf` does.
pub(crate) fn encode_q8_0(values: &[f32], _: &[f32], data: &mut [u8], _: &mut [u8]) {
    encode_blocks::<34>(values, data, |values, bytes| {
        let d = values.iter().fold(0.0_f32, |amax, v| amax.max(v.abs())) / 127.0;
        let id = inverse(d);
        put_half(bytes, 0, d);
        for (q, value) in bytes[2..].iter_mut().zip(values) {
            *q = ((value * id).round() as i8).cast_unsigned();
        }
    });
}

pub(crate) fn decode_iq4_nl(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_blocks::<18, LEN>(data, out, |bytes, out| {
        let d = half_at(bytes, 0);
        for j in 0..HALF {
            out[j] = d * f32::from(IQ4_NL_LEVELS[usize::from(bytes[2 + j] & 15)]);
            out[j + HALF] = d * f32::from(IQ4_NL_LEVELS[usize::from(bytes[2 + j] >> 4)]);
        }
    });
}
