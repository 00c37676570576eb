//! Types without packed blocks: floats, integers and the native int8.

use half::{bf16, f16};

const GROUP: usize = 64;

fn decode_each<const N: usize>(data: &[u8], out: &mut [f32], value: fn([u8; N]) -> f32) {
    for (out, bytes) in out.iter_mut().zip(data.as_chunks::<N>().0) {
        *out = value(*bytes);
    }
}

fn encode_each<const N: usize>(values: &[f32], data: &mut [u8], bytes: fn(f32) -> [u8; N]) {
    for (value, out) in values.iter().zip(data.as_chunks_mut::<N>().0) {
        *out = bytes(*value);
    }
}

pub(crate) fn decode_f32(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_each(data, out, f32::from_le_bytes);
}

pub(crate) fn encode_f32(values: &[f32], _: &[f32], data: &mut [u8], _: &mut [u8]) {
    encode_each(values, data, f32::to_le_bytes);
}

pub(crate) fn decode_f16(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_each(data, out, |bytes| f16::from_le_bytes(bytes).to_f32());
}

pub(crate) fn encode_f16(values: &[f32], _: &[f32], data: &mut [u8], _: &mut [u8]) {
    encode_each(values, data, |value| f16::from_f32(value).to_le_bytes());
}

pub(crate) fn decode_bf16(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_each(data, out, |bytes| bf16::from_le_bytes(bytes).to_f32());
}

pub(crate) fn encode_bf16(values: &[f32], _: &[f32], data: &mut [u8], _: &mut [u8]) {
    encode_each(values, data, |value| bf16::from_f32(value).to_le_bytes());
}

pub(crate) fn decode_f64(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_each(data, out, |bytes| f64::from_le_bytes(bytes) as f32);
}

pub(crate) fn decode_i8(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_each(data, out, |bytes| f32::from(i8::from_le_bytes(bytes)));
}

pub(crate) fn decode_i16(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_each(data, out, |bytes| f32::from(i16::from_le_bytes(bytes)));
}

pub(crate) fn decode_i32(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_each(data, out, |bytes| i32::from_le_bytes(bytes) as f32);
}

pub(crate) fn decode_i64(data: &[u8], _: &[u8], out: &mut [f32]) {
    decode_each(data, out, |bytes| i64::from_le_bytes(bytes) as f32);
}

/// `value = q / scale`, a division as the format states it, not a product with the reciprocal.
pub(crate) fn decode_int8_g64(data: &[u8], scales: &[u8], out: &mut [f32]) {
    let groups = data.as_chunks::<GROUP>().0.iter().zip(scales.as_chunks::<4>().0);
    for (out, (group, scale)) in out.as_chunks_mut::<GROUP>().0.iter_mut().zip(groups) {
        let scale = f32::from_le_bytes(*scale);
        for (out, q) in out.iter_mut().zip(group) {
            *out = f32::from(q.cast_signed()) / scale;
        }
    }
}

/// `scale = 127 / amax`, `q = round(x * scale)` with ties to even. A group whose scale would not be a finite
/// positive number (all zero, or so small that the quotient overflows) gets scale 1.
pub(crate) fn encode_int8_g64(values: &[f32], _: &[f32], data: &mut [u8], scales: &mut [u8]) {
    let planes = data.as_chunks_mut::<GROUP>().0.iter_mut().zip(scales.as_chunks_mut::<4>().0);
    for (values, (group, out)) in values.as_chunks::<GROUP>().0.iter().zip(planes) {
        let amax = values.iter().fold(0.0_f32, |amax, v| amax.max(v.abs()));
        let quotient = 127.0 / amax;
        let scale = if quotient.is_finite() && quotient > 0.0 { quotient } else { 1.0 };
        for (q, value) in group.iter_mut().zip(values) {
            *q = ((value * scale).round_ties_even().clamp(-127.0, 127.0) as i8).cast_unsigned();
        }
        *out = scale.to_le_bytes();
    }
}
