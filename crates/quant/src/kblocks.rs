//! Super-blocks of 256 values whose sub-blocks have quantised scales: ggml's Q2_K to Q6_K; and Q8_K, which has one scale.

use crate::legacy::{decode_blocks, half_at};

const LEN: usize = 256;

/// Values that share a scale in Q2_K, Q3_K and Q6_K.
const SUB: usize = 16;

pub(crate) fn decode_q2_k(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_blocks::<84, LEN>(data, out, |bytes, out| {
        let (d, dmin) = (half_at(bytes, 80), half_at(bytes, 82));
        for (sub, out) in out.as_chunks_mut::<SUB>().0.iter_mut().enumerate() {
            let scale = d * f32::from(bytes[sub] & 15);
            let min = dmin * f32::from(bytes[sub] >> 4);
            let (first, shift) = two_bit_place(sub);
            for (out, q) in out.iter_mut().zip(&bytes[16 + first..]) {
                *out = scale * f32::from(q >> shift & 3) - min;
            }
        }
    });
}

/// Where the 2-bit codes of sub-block `sub` lie: the first of its 16 bytes, and the shift within each.
fn two_bit_place(sub: usize) -> (usize, usize) {
    (sub / 8 * 32 + sub % 2 * SUB, sub % 8 / 2 * 2)
}

pub(crate) fn decode_q3_k(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_blocks::<110, LEN>(data, out, |bytes, out| {
        let d = half_at(bytes, 108);
        for (sub, out) in out.as_chunks_mut::<SUB>().0.iter_mut().enumerate() {
            let scale = d * (f32::from(q3_k_scale(&bytes[96..108], sub)) - 32.0);
            let (first, shift) = two_bit_place(sub);
            let codes = bytes[32 + first..].iter().zip(&bytes[sub % 2 * SUB..]);
            for (out, (q, mask)) in out.iter_mut().zip(codes) {
                let third = mask >> (sub / 2) & 1;
                *out = scale * (f32::from(q >> shift & 3 | third << 2) - 4.0);
            }
        }
    });
}

/// Six bits: the low four in the first eight bytes (two per byte), the high two in the last four (four per byte).
fn q3_k_scale(packed: &[u8], sub: usize) -> u8 {
    let low = packed[sub % 8] >> (sub / 8 * 4) & 15;
    let high = packed[8 + sub % 4] >> (sub / 4 * 2) & 3;
    low | high << 4
}

/// Six-bit scale and minimum of sub-block `sub` of 8: the first four pairs are whole bytes' low bits, the others
/// are put together from nibbles and the two spare bits.
fn scale_and_min(packed: &[u8], sub: usize) -> (f32, f32) {
    let (scale, min) = if sub < 4 {
        (packed[sub] & 63, packed[sub + 4] & 63)
    } else {
        (packed[sub + 4] & 15 | packed[sub - 4] >> 6 << 4, packed[sub + 4] >> 4 | packed[sub] >> 6 << 4)
    };
    (f32::from(scale), f32::from(min))
}

pub(crate) fn decode_q4_k(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_blocks::<144, LEN>(data, out, |bytes, out| {
        let (d, dmin) = (half_at(bytes, 0), half_at(bytes, 2));
        for (sub, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (scale, min) = scale_and_min(&bytes[4..16], sub);
            let (scale, min) = (d * scale, dmin * min);
            for (out, q) in out.iter_mut().zip(&bytes[16 + sub / 2 * 32..]) {
                *out = scale * f32::from(q >> (sub % 2 * 4) & 15) - min;
            }
        }
    });
}

pub(crate) fn decode_q5_k(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_blocks::<176, LEN>(data, out, |bytes, out| {
        let (d, dmin) = (half_at(bytes, 0), half_at(bytes, 2));
        for (sub, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (scale, min) = scale_and_min(&bytes[4..16], sub);
            let (scale, min) = (d * scale, dmin * min);
            let codes = bytes[48 + sub / 2 * 32..].iter().zip(&bytes[16..48]);
            for (out, (q, high)) in out.iter_mut().zip(codes) {
                *out = scale * f32::from(q >> (sub % 2 * 4) & 15 | (high >> sub & 1) << 4) - min;
            }
        }
    });
}

pub(crate) fn decode_q6_k(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_blocks::<210, LEN>(data, out, |bytes, out| {
        let d = half_at(bytes, 208);
        for (sub, out) in out.as_chunks_mut::<SUB>().0.iter_mut().enumerate() {
            let scale = d * f32::from(bytes[192 + sub].cast_signed());
            // A half of the super-block is four runs of 32: two in the low nibbles of 64 bytes, two in the high ones.
            let (half, run, part) = (sub / 8, sub % 8 / 2, sub % 2 * SUB);
            let low = &bytes[half * 64 + run % 2 * 32 + part..];
            let high = &bytes[128 + half * 32 + part..];
            for (out, (q, h)) in out.iter_mut().zip(low.iter().zip(high)) {
                let code = q >> (run / 2 * 4) & 15 | (h >> (run * 2) & 3) << 4;
                *out = scale * (f32::from(code) - 32.0);
            }
        }
    });
}

/// A single-precision scale, the values, and sums of 16 that a reader does not need.
pub(crate) fn q8_k(block: &[u8], _: &[u8], codes: &mut [i8], scales: &mut [f32]) {
    for (code, byte) in codes.iter_mut().zip(&block[4..]) {
        *code = byte.cast_signed();
    }
    scales.fill(f32::from_le_bytes([block[0], block[1], block[2], block[3]]));
}

pub(crate) fn decode_q8_k(data: &[u8], plane: &[u8], out: &mut [f32]) {
    crate::integers::decode::<292, 0, LEN>((data, plane), out, q8_k);
}
