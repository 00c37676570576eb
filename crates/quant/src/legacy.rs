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

#[inline]
pub(crate) fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

pub(crate) fn put_half(bytes: &mut [u8], at: usize, value: f32) {
    bytes[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
}

fn high_bits(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The greatest magnitude; what is no number is passed over. In lanes, which the compiler has a processor compare side by side.
fn greatest(values: &[f32; LEN]) -> f32 {
    let greater = |a: f32, b: f32| if a < b { b } else { a };
    let mut lanes = [0.0_f32; 8];
    for part in values.as_chunks::<8>().0 {
        lanes.iter_mut().zip(part).for_each(|(lane, value)| *lane = greater(*lane, value.abs()));
    }
    lanes.into_iter().fold(0.0, greater)
}

/// The value of greatest magnitude, with its sign; the first one of equals.
fn signed_extreme(values: &[f32; LEN]) -> f32 {
    let most = greatest(values);
    values.iter().copied().find(|value| value.abs() == most).unwrap_or(0.0)
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

/// Added to a number of less than half its magnitude, it leaves the nearest whole number in the lowest bits, with ties to even.
const WHOLE: f32 = 12_582_912.0;

/// The whole number that is left of a number that is one, below 2^22 in magnitude. Casts are one value at a time, for what would not fit.
#[inline]
fn integer(whole: f32) -> i32 {
    (whole + WHOLE).to_bits().wrapping_sub(WHOLE.to_bits()).cast_signed()
}

/// The nearest whole number, ties to even: 0 of what is no number, and the limit of what lies beyond `-limit..=limit`, a whole number below
/// 2^21. In instructions that every processor does for several values at once, where a method of `f32` may be a call for each.
#[inline]
pub fn nearest_even(value: f32, limit: f32) -> i32 {
    integer(within(value, limit) + WHOLE - WHOLE)
}

/// As [`nearest_even`], but ties away from zero, as C's `roundf` has it.
#[inline]
pub fn nearest(value: f32, limit: f32) -> i32 {
    let known = within(value, limit);
    let even = known + WHOLE - WHOLE;
    let (rest, up) = (known - even, if known > 0.0 { 1.0 } else { -1.0 });
    integer(if rest * up == 0.5 { even + up } else { even })
}

#[inline]
fn within(value: f32, limit: f32) -> f32 {
    if value.is_nan() { 0.0 } else { value.clamp(-limit, limit) }
}

fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// Each value as the whole number below it on a scale of its own, from 0, which what is no number becomes too, to `most`.
fn codes(values: &[f32; LEN], most: f32, scaled: impl Fn(f32) -> f32) -> [u8; LEN] {
    let mut out = [0; LEN];
    for (code, value) in out.iter_mut().zip(values) {
        let place = scaled(*value);
        let within = if place > 0.0 { place } else { 0.0 };
        let within = if within < most { within } else { most };
        let even = within + WHOLE - WHOLE;
        *code = integer(if even > within { even - 1.0 } else { even }) as u8;
    }
    out
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
        put_four_bits(&codes(values, 15.0, |v| v * id + 8.5), bytes, 2);
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
        put_four_bits(&codes(values, 15.0, |v| (v - min) * id + 0.5), bytes, 4);
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
        put_five_bits(&codes(values, 31.0, |v| v * id + 16.5), bytes, 2, 6);
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
        put_five_bits(&codes(values, 31.0, |v| (v - min) * id + 0.5), bytes, 4, 8);
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

pub(crate) fn encode_q8_0(values: &[f32], _: &[f32], data: &mut [u8], _: &mut [u8]) {
    encode_blocks::<34>(values, data, |values, bytes| {
        let d = greatest(values) / 127.0;
        let id = inverse(d);
        put_half(bytes, 0, d);
        for (q, value) in bytes[2..].iter_mut().zip(values) {
            *q = (nearest(value * id, 127.0) as i8).cast_unsigned();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Halves and whole numbers, with the numbers beside them, and what is none.
    fn edges() -> impl Iterator<Item = f32> {
        let near = |x: f32| [x.next_down(), x, x.next_up()];
        let halves = (-300..=300).flat_map(move |i| near(i as f32 / 2.0));
        halves.chain([
            0.0,
            -0.0,
            f32::MIN_POSITIVE,
            f32::MAX,
            f32::MIN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
        ])
    }

    #[test]
    fn the_nearest_is_that_of_round() {
        for value in edges() {
            assert_eq!(nearest(value, 127.0), (value.round() as i32).clamp(-127, 127), "{value}");
            assert_eq!(
                nearest_even(value, 127.0),
                (value.round_ties_even() as i32).clamp(-127, 127),
                "{value}"
            );
            assert_eq!(nearest(value, 100_000.0), (value.round() as i32).clamp(-100_000, 100_000), "{value}");
        }
    }

    #[test]
    fn codes_are_the_whole_numbers_below() {
        for value in edges() {
            let cast = (value as u8).min(31);
            assert_eq!(codes(&[value; LEN], 31.0, |v| v), [cast; LEN], "{value}");
        }
    }

    #[test]
    fn the_extreme_is_the_first_of_greatest_magnitude() {
        let mut values = [1.0; LEN];
        assert_eq!(signed_extreme(&values), 1.0);
        (values[4], values[9], values[20], values[31]) = (f32::NAN, -3.0, 3.0, 2.0);
        assert_eq!(signed_extreme(&values), -3.0);
        assert_eq!(signed_extreme(&[f32::NAN; LEN]), 0.0);
        values[2] = f32::NEG_INFINITY;
        assert_eq!(signed_extreme(&values), f32::NEG_INFINITY);
    }
}
