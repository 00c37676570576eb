//! Blocks of values of one or two bits around zero: ggml's TQ1_0, TQ2_0, Q1_0 and Q2_0, and I2_S of bitnet.cpp.

use crate::integers;
use crate::legacy::half_at;

/// Powers of three; the first digit of a byte is its highest.
const POWERS: [u8; 5] = [1, 3, 9, 27, 81];

/// Digit `n` of the five in `byte`, which holds their number, read as a fraction of 243, in 256ths.
fn digit(byte: u8, n: usize) -> i8 {
    let rest = byte.wrapping_mul(POWERS[n]);
    ((u16::from(rest) * 3) >> 8) as i8 - 1
}

/// 32 bytes and 16 bytes of five digits each, the first digits of all of them first, and 4 bytes of four digits.
pub(crate) fn tq1_0(block: &[u8], _: &[u8], codes: &mut [i8], scales: &mut [f32]) {
    for (i, code) in codes.iter_mut().enumerate() {
        *code = match i {
            0..160 => digit(block[i % 32], i / 32),
            160..240 => digit(block[32 + (i - 160) % 16], (i - 160) / 16),
            _ => digit(block[48 + (i - 240) % 4], (i - 240) / 4),
        };
    }
    scales.fill(half_at(block, 52));
}

/// Two bits each; a byte holds the values `i`, `i + 32`, `i + 64` and `i + 96` of a half of the block.
pub(crate) fn tq2_0(block: &[u8], _: &[u8], codes: &mut [i8], scales: &mut [f32]) {
    for (i, code) in codes.iter_mut().enumerate() {
        *code = (block[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3) as i8 - 1;
    }
    scales.fill(half_at(block, 64));
}

/// One bit each: minus or plus the scale.
pub(crate) fn q1_0(block: &[u8], _: &[u8], codes: &mut [i8], scales: &mut [f32]) {
    for (i, code) in codes.iter_mut().enumerate() {
        *code = (block[2 + i / 8] >> (i % 8) & 1) as i8 * 2 - 1;
    }
    scales[..8].fill(half_at(block, 0));
}

/// Two bits each: -1 to 2.
pub(crate) fn q2_0(block: &[u8], _: &[u8], codes: &mut [i8], scales: &mut [f32]) {
    for (i, code) in codes.iter_mut().enumerate() {
        *code = (block[2 + i / 4] >> (i % 4 * 2) & 3) as i8 - 1;
    }
    scales[..4].fill(half_at(block, 0));
}

pub(crate) fn decode_tq1_0(data: &[u8], plane: &[u8], out: &mut [f32]) {
    integers::decode::<54, 0, 256>((data, plane), out, tq1_0);
}

pub(crate) fn decode_tq2_0(data: &[u8], plane: &[u8], out: &mut [f32]) {
    integers::decode::<66, 0, 256>((data, plane), out, tq2_0);
}

pub(crate) fn decode_q1_0(data: &[u8], plane: &[u8], out: &mut [f32]) {
    integers::decode::<18, 0, 128>((data, plane), out, q1_0);
}

pub(crate) fn decode_q2_0(data: &[u8], plane: &[u8], out: &mut [f32]) {
    integers::decode::<18, 0, 64>((data, plane), out, q2_0);
}

/// Two bits each; a byte holds the values `i`, `i + 32`, `i + 64` and `i + 96`, the first in its highest bits. The scale, one
/// for the whole tensor in the file, stands once per block in the second plane.
pub(crate) fn i2_s(block: &[u8], plane: &[u8], codes: &mut [i8], scales: &mut [f32]) {
    for (i, code) in codes.iter_mut().enumerate() {
        *code = (block[i % 32] >> (6 - i / 32 * 2) & 3) as i8 - 1;
    }
    scales[..8].fill(f32::from_le_bytes([plane[0], plane[1], plane[2], plane[3]]));
}

pub(crate) fn decode_i2_s(data: &[u8], plane: &[u8], out: &mut [f32]) {
    integers::decode::<32, 4, 128>((data, plane), out, i2_s);
}
