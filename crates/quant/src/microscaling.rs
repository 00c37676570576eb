//! Values of 4 and 8 bits in floating point, with scales of 8 bits or single precision: MXFP4, NVFP4 and FP8.
//!
//! E2M1, E4M3, E5M2 and E8M0 are those of the OCP Microscaling Formats (MX) Specification 1.0 and OCP FP8 1.0.

use crate::integers;
use half::f16;

/// The values of E2M1, doubled so that they are integers: sign, two bits of exponent, one of mantissa.
pub(crate) static E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Half the power of two that an E8M0 byte stands for, so as to go with doubled values. As in ggml, 255 is no NaN.
pub(crate) fn half_of_e8m0(byte: u8) -> f32 {
    f32::from_bits(if byte < 2 { 0x0020_0000 << byte } else { (u32::from(byte) - 1) << 23 })
}

/// The value of an E4M3 byte.
pub fn e4m3(byte: u8) -> f32 {
    let size = match byte & 127 {
        127 => f32::NAN,
        // Below 8 there is no leading one: eighths of 2^-6.
        bits if bits < 8 => f32::from(bits) / 512.0,
        bits => f32::from_bits((u32::from(bits) << 20) + (120 << 23)),
    };
    if byte > 127 { -size } else { size }
}

/// The value of an E5M2 byte, which is the upper half of binary16.
pub fn e5m2(byte: u8) -> f32 {
    f16::from_bits(u16::from(byte) << 8).to_f32()
}

/// Half of an E4M3 scale. As in ggml the sign is not read, and the byte of NaN without sign counts as zero.
fn half_of_e4m3_scale(byte: u8) -> f32 {
    match byte {
        127 => 0.0,
        255 => 240.0,
        _ => e4m3(byte & 127) / 2.0,
    }
}

/// An exponent, then 32 values: byte `i` holds value `i` and value `i + 16`.
pub(crate) fn mxfp4(block: &[u8], _: &[u8], codes: &mut [i8], scales: &mut [f32]) {
    for i in 0..16 {
        codes[i] = E2M1[usize::from(block[1 + i] & 15)];
        codes[i + 16] = E2M1[usize::from(block[1 + i] >> 4)];
    }
    scales[..2].fill(half_of_e8m0(block[0]));
}

/// Four scales, then four runs of 16 values: byte `i` of a run holds value `i` and value `i + 8`.
pub(crate) fn nvfp4(block: &[u8], _: &[u8], codes: &mut [i8], scales: &mut [f32]) {
    for (run, codes) in codes.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        for i in 0..8 {
            let byte = block[4 + 8 * run + i];
            codes[i] = E2M1[usize::from(byte & 15)];
            codes[i + 8] = E2M1[usize::from(byte >> 4)];
        }
        scales[run] = half_of_e4m3_scale(block[run]);
    }
}

/// The same, times the scale in the second plane: that of the whole tensor, or of the expert, in files.
pub(crate) fn nvfp4_g64(block: &[u8], plane: &[u8], codes: &mut [i8], scales: &mut [f32]) {
    nvfp4(block, &[], codes, scales);
    let whole = f32::from_le_bytes([plane[0], plane[1], plane[2], plane[3]]);
    scales[..4].iter_mut().for_each(|scale| *scale *= whole);
}

pub(crate) fn decode_mxfp4(data: &[u8], plane: &[u8], out: &mut [f32]) {
    integers::decode::<17, 0, 32>((data, plane), out, mxfp4);
}

pub(crate) fn decode_nvfp4(data: &[u8], plane: &[u8], out: &mut [f32]) {
    integers::decode::<36, 0, 64>((data, plane), out, nvfp4);
}

pub(crate) fn decode_nvfp4_g64(data: &[u8], plane: &[u8], out: &mut [f32]) {
    integers::decode::<36, 4, 64>((data, plane), out, nvfp4_g64);
}

/// MXFP4 as safetensors files of gpt-oss have it: byte `i` holds value `2 i` and value `2 i + 1`, exponents in the second plane.
pub(crate) fn mxfp4_planes(block: &[u8], plane: &[u8], codes: &mut [i8], scales: &mut [f32]) {
    for (codes, byte) in codes.as_chunks_mut::<2>().0.iter_mut().zip(block) {
        *codes = [byte & 15, byte >> 4].map(|code| E2M1[usize::from(code)]);
    }
    scales[..2].fill(half_of_e8m0(plane[0]));
}

pub(crate) fn decode_mxfp4_planes(data: &[u8], plane: &[u8], out: &mut [f32]) {
    integers::decode::<16, 1, 32>((data, plane), out, mxfp4_planes);
}

pub(crate) fn decode_f8_e4m3(data: &[u8], _: &[u8], out: &mut [f32]) {
    out.iter_mut().zip(data).for_each(|(out, byte)| *out = e4m3(*byte));
}

pub(crate) fn decode_f8_e5m2(data: &[u8], _: &[u8], out: &mut [f32]) {
    out.iter_mut().zip(data).for_each(|(out, byte)| *out = e5m2(*byte));
}

pub(crate) fn decode_f8_e4m3_g32(data: &[u8], scales: &[u8], out: &mut [f32]) {
    scaled(data, scales, out, e4m3);
}

pub(crate) fn decode_f8_e5m2_g32(data: &[u8], scales: &[u8], out: &mut [f32]) {
    scaled(data, scales, out, e5m2);
}

/// Values times the single-precision scale of their 32.
fn scaled(data: &[u8], scales: &[u8], out: &mut [f32], value: fn(u8) -> f32) {
    let groups = data.as_chunks::<32>().0.iter().zip(scales.as_chunks::<4>().0);
    for (out, (bytes, scale)) in out.as_chunks_mut::<32>().0.iter_mut().zip(groups) {
        let scale = f32::from_le_bytes(*scale);
        out.iter_mut().zip(bytes).for_each(|(out, byte)| *out = value(*byte) * scale);
    }
}
