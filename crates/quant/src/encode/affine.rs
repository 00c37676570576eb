//! Encoders of types whose values are a code times a scale, less a minimum: Q2_K, Q4_K, Q5_K, and Q4_1 and Q5_1 where the
//! importance of columns is known.

use super::{LANES, LEN, blocks, halved, nearest, ratio};
use crate::legacy::put_half;

/// Sums over the values of a sub-block: weights, and weighted products of values and codes.
struct Sums {
    w: f32,
    x: f32,
    q: f32,
    qq: f32,
    xq: f32,
}

impl Sums {
    /// Scale and minimum (subtracted, not below zero) with the least squared error, and how much less that is than the
    /// squares of the values.
    fn solve(&self) -> (f32, f32, f32) {
        let det = self.w * self.qq - self.q * self.q;
        if det > 0.0 {
            let scale = (self.w * self.xq - self.x * self.q) / det;
            let offset = (self.qq * self.x - self.q * self.xq) / det;
            if offset <= 0.0 {
                return (scale, -offset, scale * self.xq + offset * self.x);
            }
        }
        let scale = ratio(self.xq, self.qq);
        (scale, 0.0, scale * self.xq)
    }
}

/// The codes' sums for a guess: `q = (x - low) * inverse`. Values come in multiples of [`LANES`].
#[inline(always)]
fn sums(x: &[f32], w: &[f32], (low, inverse, most): (f32, f32, f32)) -> Sums {
    let [mut sw, mut sx, mut sq, mut qq, mut xq] = [[0.0; LANES]; 5];
    for (x, w) in x.as_chunks::<LANES>().0.iter().zip(w.as_chunks::<LANES>().0) {
        for i in 0..LANES {
            let q = nearest(((x[i] - low) * inverse).clamp(0.0, most));
            let wq = w[i] * q;
            sw[i] += w[i];
            sx[i] += w[i] * x[i];
            sq[i] += wq;
            qq[i] += wq * q;
            xq[i] += wq * x[i];
        }
    }
    let sum = |lanes: [f32; LANES]| lanes.iter().sum();
    Sums { w: sum(sw), x: sum(sx), q: sum(sq), qq: sum(qq), xq: sum(xq) }
}

/// Scale and minimum of a sub-block with codes up to `most`, by guesses that stretch the extent of the values.
fn best_pair(x: &[f32], w: &[f32], most: f32) -> (f32, f32) {
    let low = x.iter().fold(0.0_f32, |low, v| low.min(*v));
    let high = x.iter().fold(f32::MIN, |high, v| high.max(*v));
    if high - low < 1e-30 {
        return (0.0, -low);
    }
    let (mut best, mut pair) = (f32::MIN, (0.0, -low));
    for i in -10..=10 {
        let inverse = (most + 0.1 * i as f32) / (high - low);
        let (mut scale, mut min, mut gain) = sums(x, w, (low, inverse, most)).solve();
        // What the best scale and minimum make of the codes.
        if scale > 0.0 {
            let again = sums(x, w, (-min, 1.0 / scale, most)).solve();
            if again.2 > gain {
                (scale, min, gain) = again;
            }
        }
        if gain > best && scale > 0.0 {
            (best, pair) = (gain, (scale, min));
        }
    }
    pair
}

/// Squared error for given scale and minimum. Values come in multiples of [`LANES`].
#[inline(always)]
fn error(x: &[f32], w: &[f32], (scale, min, most): (f32, f32, f32)) -> f32 {
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let mut squares = [0.0; LANES];
    for (x, w) in x.as_chunks::<LANES>().0.iter().zip(w.as_chunks::<LANES>().0) {
        for i in 0..LANES {
            let q = nearest(((x[i] + min) * inverse).clamp(0.0, most));
            let off = x[i] - (scale * q - min);
            squares[i] += w[i] * off * off;
        }
    }
    squares.iter().sum()
}

/// A super-block: scale of scales and of minima, the factors, and the codes.
struct Super<const SUBS: usize> {
    d: f32,
    dmin: f32,
    factors: [(u8, u8); SUBS],
    codes: [u8; LEN],
}

/// The codes, up to `most`, of a super-block of `SUBS` sub-blocks whose factors go up to `TOP`.
fn super_block<const SUBS: usize, const TOP: u8>(x: &[f32; LEN], w: &[f32; LEN], most: f32) -> Super<SUBS> {
    let sub = LEN / SUBS;
    let part = |j: usize| (&x[j * sub..(j + 1) * sub], &w[j * sub..(j + 1) * sub]);
    let mut pairs = [(0.0, 0.0); SUBS];
    for (j, pair) in pairs.iter_mut().enumerate() {
        let (x, w) = part(j);
        *pair = best_pair(x, w, most);
    }
    let top = f32::from(TOP);
    let mut d = halved(pairs.iter().fold(0.0, |most: f32, pair| most.max(pair.0)) / top);
    let mut dmin = halved(pairs.iter().fold(0.0, |most: f32, pair| most.max(pair.1)) / top);
    let mut factors = [(0, 0); SUBS];
    for round in 0..2 {
        for (j, factors) in factors.iter_mut().enumerate() {
            let (x, w) = part(j);
            *factors = best_factors::<TOP>(x, w, (d, dmin, most), pairs[j]);
        }
        if round == 0 {
            (d, dmin) = refined(x, w, (d, dmin, most), &factors);
        }
    }
    let codes = std::array::from_fn(|i| {
        let (scale, min) = factors[i / sub];
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        if scale == 0.0 { 0 } else { nearest(((x[i] + min) / scale).clamp(0.0, most)) as u8 }
    });
    Super { d, dmin, factors, codes }
}

/// The factors with the least error around those that come nearest to `pair`.
fn best_factors<const TOP: u8>(
    x: &[f32],
    w: &[f32],
    (d, dmin, most): (f32, f32, f32),
    pair: (f32, f32),
) -> (u8, u8) {
    let place = |v: f32, d: f32| nearest(ratio(v, d).clamp(0.0, f32::from(TOP))) as u8;
    let near = |v: u8| [v, v.saturating_sub(1), (v + 1).min(TOP)];
    let (mut best, mut found) = (f32::MAX, (0, 0));
    for scale in near(place(pair.0, d)) {
        for min in near(place(pair.1, dmin)) {
            let error = error(x, w, (d * f32::from(scale), dmin * f32::from(min), most));
            if error < best {
                (best, found) = (error, (scale, min));
            }
        }
    }
    found
}

/// The two scales of a super-block that are best for its factors and codes.
fn refined<const SUBS: usize>(
    x: &[f32; LEN],
    w: &[f32; LEN],
    (d, dmin, most): (f32, f32, f32),
    factors: &[(u8, u8); SUBS],
) -> (f32, f32) {
    let (mut aa, mut ab, mut bb, mut xa, mut xb) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    for (i, (x, w)) in x.iter().zip(w).enumerate() {
        let (scale, min) = factors[i / (LEN / SUBS)];
        let (scale, min) = (f32::from(scale), f32::from(min));
        let q = nearest(ratio(x + dmin * min, d * scale).clamp(0.0, most));
        let (a, b, x, w) = (f64::from(scale * q), f64::from(-min), f64::from(*x), f64::from(*w));
        aa += w * a * a;
        ab += w * a * b;
        bb += w * b * b;
        xa += w * x * a;
        xb += w * x * b;
    }
    let det = aa * bb - ab * ab;
    if det <= 1e-12 * aa * bb {
        return (d, dmin);
    }
    let found = (((xa * bb - xb * ab) / det) as f32, ((xb * aa - xa * ab) / det) as f32);
    if found.0 > 0.0 && found.1 > 0.0 { (halved(found.0), halved(found.1)) } else { (d, dmin) }
}

pub(crate) fn encode_q2_k(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<LEN, 84>(values, importance, data, |x, w, bytes| {
        let found = super_block::<16, 15>(x, w, 3.0);
        put_half(bytes, 80, found.d);
        put_half(bytes, 82, found.dmin);
        for (byte, (scale, min)) in bytes.iter_mut().zip(found.factors) {
            *byte = scale | min << 4;
        }
        for (i, code) in found.codes.iter().enumerate() {
            bytes[16 + i / 128 * 32 + i % 32] |= code << (i % 128 / 32 * 2);
        }
    });
}

/// The 12 bytes of six-bit factors of `Q4_K` and `Q5_K`: the reverse of `scale_and_min` in `kblocks.rs`.
fn put_factors(factors: &[(u8, u8); 8], bytes: &mut [u8]) {
    for (j, (scale, min)) in factors.iter().enumerate() {
        if j < 4 {
            bytes[j] |= scale;
            bytes[j + 4] |= min;
        } else {
            bytes[j + 4] = scale & 15 | (min & 15) << 4;
            bytes[j - 4] |= scale >> 4 << 6;
            bytes[j] |= min >> 4 << 6;
        }
    }
}

pub(crate) fn encode_q4_k(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<LEN, 144>(values, importance, data, |x, w, bytes| {
        let found = super_block::<8, 63>(x, w, 15.0);
        put_half(bytes, 0, found.d);
        put_half(bytes, 2, found.dmin);
        put_factors(&found.factors, &mut bytes[4..16]);
        for (i, code) in found.codes.iter().enumerate() {
            bytes[16 + i / 64 * 32 + i % 32] |= code << (i % 64 / 32 * 4);
        }
    });
}

pub(crate) fn encode_q5_k(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<LEN, 176>(values, importance, data, |x, w, bytes| {
        let found = super_block::<8, 63>(x, w, 31.0);
        put_half(bytes, 0, found.d);
        put_half(bytes, 2, found.dmin);
        put_factors(&found.factors, &mut bytes[4..16]);
        for (i, code) in found.codes.iter().enumerate() {
            bytes[48 + i / 64 * 32 + i % 32] |= (code & 15) << (i % 64 / 32 * 4);
            bytes[16 + i % 32] |= code >> 4 << (i / 32);
        }
    });
}

/// One scale and one minimum, which may have either sign in these types and is not above zero here.
fn one_pair(x: &[f32; 32], w: &[f32; 32], most: f32) -> (f32, f32, [u8; 32]) {
    let (scale, min) = best_pair(x, w, most);
    let (scale, min) = (halved(scale), halved(min));
    let codes = x.map(|x| nearest(ratio(x + min, scale).clamp(0.0, most)) as u8);
    (scale, -min, codes)
}

/// As [`crate::legacy::encode_q4_1`] where all columns are worth the same.
pub(crate) fn encode_q4_1(values: &[f32], importance: &[f32], data: &mut [u8], scales: &mut [u8]) {
    if importance.is_empty() {
        return crate::legacy::encode_q4_1(values, importance, data, scales);
    }
    blocks::<32, 20>(values, importance, data, |x, w, bytes| {
        let (scale, min, codes) = one_pair(x, w, 15.0);
        put_half(bytes, 0, scale);
        put_half(bytes, 2, min);
        crate::legacy::put_four_bits(&codes, bytes, 4);
    });
}

/// As [`crate::legacy::encode_q5_1`] where all columns are worth the same.
pub(crate) fn encode_q5_1(values: &[f32], importance: &[f32], data: &mut [u8], scales: &mut [u8]) {
    if importance.is_empty() {
        return crate::legacy::encode_q5_1(values, importance, data, scales);
    }
    blocks::<32, 24>(values, importance, data, |x, w, bytes| {
        let (scale, min, codes) = one_pair(x, w, 31.0);
        put_half(bytes, 0, scale);
        put_half(bytes, 2, min);
        crate::legacy::put_five_bits(&codes, bytes, 4, 8);
    });
}
