//! Encoders of types whose values are a level times a scale: Q3_K, Q6_K, IQ4_NL, IQ4_XS, TQ1_0, TQ2_0, MXFP4, NVFP4, and
//! Q4_0 and Q5_0 where the importance of columns is known.

use super::levels::{Curved, Integers, Levels, Microfloat, best_scale, error, extreme};
use super::{LEN, blocks, halved, nearest};
use crate::legacy::put_half;
use crate::microscaling::{e4m3, half_of_e8m0};

/// A super-block: its scale, the factors of its sub-blocks, and the numbers of its levels.
struct Super<const SUBS: usize> {
    d: f32,
    factors: [i8; SUBS],
    numbers: [u8; LEN],
}

/// The codes of a super-block of `SUBS` sub-blocks whose factors lie in `LOW..=HIGH`.
fn super_block<L: Levels, const SUBS: usize, const LOW: i8, const HIGH: i8>(
    levels: L,
    steps: i32,
    (x, w): (&[f32; LEN], &[f32; LEN]),
) -> Super<SUBS> {
    let sub = LEN / SUBS;
    let parts = |j: usize| (&x[j * sub..(j + 1) * sub], &w[j * sub..(j + 1) * sub]);
    let mut scales = [0.0; SUBS];
    for (j, scale) in scales.iter_mut().enumerate() {
        let (x, w) = parts(j);
        *scale = best_scale(levels, steps, x, w);
    }
    let mut d = halved(extreme(&scales) / f32::from(LOW));
    let mut factors = [0; SUBS];
    // A second time with the scale that is best for the factors of the first.
    for round in 0..2 {
        for (j, factor) in factors.iter_mut().enumerate() {
            let (x, w) = parts(j);
            *factor = best_factor::<L, LOW, HIGH>(levels, (d, scales[j]), x, w);
        }
        if round == 0 {
            d = refined(levels, d, &factors, (x, w));
        }
    }
    let mut numbers = [0; LEN];
    for (i, number) in numbers.iter_mut().enumerate() {
        let scale = d * f32::from(factors[i / sub]);
        *number = levels.number(if scale == 0.0 { 0.0 } else { x[i] / scale });
    }
    Super { d, factors, numbers }
}

/// The factor near `scale / d` with the least error.
fn best_factor<L: Levels, const LOW: i8, const HIGH: i8>(
    levels: L,
    (d, scale): (f32, f32),
    x: &[f32],
    w: &[f32],
) -> i8 {
    if d == 0.0 {
        return 0;
    }
    let middle = nearest((scale / d).clamp(f32::from(LOW), f32::from(HIGH)));
    let near = [0.0, -1.0, 1.0].map(|off| (middle + off).clamp(f32::from(LOW), f32::from(HIGH)));
    let rated = near.map(|factor| (error(levels, d * factor, x, w), factor));
    rated.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |(_, factor)| factor as i8)
}

/// The scale of a super-block that is best for its factors and levels.
fn refined<L: Levels, const SUBS: usize>(
    levels: L,
    d: f32,
    factors: &[i8; SUBS],
    (x, w): (&[f32; LEN], &[f32; LEN]),
) -> f32 {
    let (mut xl, mut ll) = (0.0, 0.0);
    for (i, (x, w)) in x.iter().zip(w).enumerate() {
        let factor = f32::from(factors[i / (LEN / SUBS)]);
        if d * factor != 0.0 {
            let level = factor * levels.at(x / (d * factor));
            xl += w * x * level;
            ll += w * level * level;
        }
    }
    if ll > 0.0 && (xl / ll).is_normal() { halved(xl / ll) } else { d }
}

pub(crate) fn encode_q3_k(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<LEN, 110>(values, importance, data, |x, w, bytes| {
        let found = super_block::<_, 16, -32, 31>(Integers::<-4, 3>, 9, (x, w));
        put_half(bytes, 108, found.d);
        for (j, factor) in found.factors.iter().enumerate() {
            let scale = (factor + 32) as u8;
            bytes[96 + j % 8] |= (scale & 15) << (j / 8 * 4);
            bytes[104 + j % 4] |= scale >> 4 << (j / 4 * 2);
        }
        for (i, number) in found.numbers.iter().enumerate() {
            bytes[32 + i / 128 * 32 + i % 32] |= (number & 3) << (i % 128 / 32 * 2);
            bytes[i % 32] |= number >> 2 << (i / 32);
        }
    });
}

pub(crate) fn encode_q6_k(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<LEN, 210>(values, importance, data, |x, w, bytes| {
        let found = super_block::<_, 16, -128, 127>(Integers::<-32, 31>, 9, (x, w));
        put_half(bytes, 208, found.d);
        for (byte, factor) in bytes[192..208].iter_mut().zip(found.factors) {
            *byte = factor.cast_unsigned();
        }
        for (i, number) in found.numbers.iter().enumerate() {
            let (half, run, at) = (i / 128, i % 128 / 32, i % 32);
            bytes[half * 64 + run % 2 * 32 + at] |= (number & 15) << (run / 2 * 4);
            bytes[128 + half * 32 + at] |= number >> 4 << (run * 2);
        }
    });
}

pub(crate) fn encode_iq4_xs(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<LEN, 136>(values, importance, data, |x, w, bytes| {
        let found = super_block::<_, 8, -32, 31>(Curved, 9, (x, w));
        put_half(bytes, 0, found.d);
        let mut high = 0u16;
        for (j, factor) in found.factors.iter().enumerate() {
            let scale = (factor + 32) as u8;
            bytes[4 + j / 2] |= (scale & 15) << (j % 2 * 4);
            high |= u16::from(scale >> 4) << (2 * j);
        }
        bytes[2..4].copy_from_slice(&high.to_le_bytes());
        for (i, number) in found.numbers.iter().enumerate() {
            bytes[8 + i / 32 * 16 + i % 16] |= number << (i % 32 / 16 * 4);
        }
    });
}

/// Numbers of one scale for a whole block.
fn one_scale<L: Levels, const N: usize>(levels: L, x: &[f32; N], w: &[f32; N]) -> (f32, [u8; N]) {
    let d = halved(best_scale(levels, 9, x, w));
    (d, x.map(|x| levels.number(if d == 0.0 { 0.0 } else { x / d })))
}

pub(crate) fn encode_iq4_nl(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<32, 18>(values, importance, data, |x, w, bytes| {
        let (d, numbers) = one_scale(Curved, x, w);
        put_half(bytes, 0, d);
        put_nibbles(&numbers, &mut bytes[2..]);
    });
}

/// As [`crate::legacy::encode_q4_0`] where all columns are worth the same.
pub(crate) fn encode_q4_0(values: &[f32], importance: &[f32], data: &mut [u8], scales: &mut [u8]) {
    if importance.is_empty() {
        return crate::legacy::encode_q4_0(values, importance, data, scales);
    }
    blocks::<32, 18>(values, importance, data, |x, w, bytes| {
        let (d, numbers) = one_scale(Integers::<-8, 7>, x, w);
        put_half(bytes, 0, d);
        put_nibbles(&numbers, &mut bytes[2..]);
    });
}

/// As [`crate::legacy::encode_q5_0`] where all columns are worth the same.
pub(crate) fn encode_q5_0(values: &[f32], importance: &[f32], data: &mut [u8], scales: &mut [u8]) {
    if importance.is_empty() {
        return crate::legacy::encode_q5_0(values, importance, data, scales);
    }
    blocks::<32, 22>(values, importance, data, |x, w, bytes| {
        let (d, numbers) = one_scale(Integers::<-16, 15>, x, w);
        put_half(bytes, 0, d);
        crate::legacy::put_five_bits(&numbers, bytes, 2, 6);
    });
}

/// Codes of four bits: number `i` in the low half of byte `i`, number `i + len` in the high half.
fn put_nibbles(numbers: &[u8], bytes: &mut [u8]) {
    let half = numbers.len() / 2;
    for (j, byte) in bytes[..half].iter_mut().enumerate() {
        *byte = numbers[j] | numbers[j + half] << 4;
    }
}

pub(crate) fn encode_tq2_0(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<LEN, 66>(values, importance, data, |x, w, bytes| {
        let (d, numbers) = one_scale(Integers::<-1, 1>, x, w);
        put_half(bytes, 64, d);
        for (i, number) in numbers.iter().enumerate() {
            bytes[i / 128 * 32 + i % 32] |= number << (i % 128 / 32 * 2);
        }
    });
}

pub(crate) fn encode_tq1_0(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<LEN, 54>(values, importance, data, |x, w, bytes| {
        let (d, numbers) = one_scale(Integers::<-1, 1>, x, w);
        put_half(bytes, 52, d);
        for (at, byte) in bytes[..52].iter_mut().enumerate() {
            // The runs of bytes: where their first values lie, how far apart, and how many digits there are.
            let (first, apart, digits) = match at {
                0..32 => (at, 32, 5),
                32..48 => (160 + at - 32, 16, 5),
                _ => (240 + at - 48, 4, 4),
            };
            let number = (0..5).fold(0u16, |sum, n| {
                3 * sum + if n < digits { u16::from(numbers[first + n * apart]) } else { 0 }
            });
            // As a fraction of 243 in 256ths, rounded up, so that its digits come back by multiplication.
            *byte = (number * 256).div_ceil(243) as u8;
        }
    });
}

/// Powers of two as scales: that by which the greatest value just fits, and its neighbours.
pub(crate) fn encode_mxfp4(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<32, 17>(values, importance, data, |x, w, bytes| {
        let most = extreme(x).abs();
        // The exponent with its bias, less that of the greatest level, 6.
        let fitting = i32::from((most.to_bits() >> 23) as u8) - 2;
        let near = [0, 1, -1].map(|off| (fitting + off).clamp(0, 254) as u8);
        let rated = near.map(|e| (error(Microfloat, half_of_e8m0(e), x, w), e));
        let exponent = rated.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0, |(_, e)| e);
        bytes[0] = exponent;
        let scale = half_of_e8m0(exponent);
        put_nibbles(&x.map(|x| Microfloat.number(x / scale)), &mut bytes[1..]);
    });
}

/// Scales in E4M3: the two nearest to the best one.
pub(crate) fn encode_nvfp4(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<64, 36>(values, importance, data, |x, w, bytes| {
        let runs = x.as_chunks::<16>().0.iter().zip(w.as_chunks::<16>().0);
        for (run, (x, w)) in runs.enumerate() {
            let wanted = best_scale(Microfloat, 9, x, w).abs() * 2.0;
            let above = (0..=126).find(|&byte| e4m3(byte) >= wanted).unwrap_or(126);
            let near = [above, above.saturating_sub(1)];
            let rated = near.map(|byte| (error(Microfloat, e4m3(byte) / 2.0, x, w), byte));
            let byte = if rated[1].0 < rated[0].0 { rated[1].1 } else { rated[0].1 };
            bytes[run] = byte;
            let scale = e4m3(byte) / 2.0;
            let numbers = x.map(|x| if scale == 0.0 { 0 } else { Microfloat.number(x / scale) });
            put_nibbles(&numbers, &mut bytes[4 + 8 * run..]);
        }
    });
}
