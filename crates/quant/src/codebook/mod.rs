//! Super-blocks whose groups of 4 or 8 values are a point of a codebook, with signs and scales beside it: ggml's IQ1, IQ2 and
//! IQ3 types, and IQ4_XS, whose codebook is one of single levels.
//!
//! Every value is an integer of 8 bits times a scale that up to 16 values or more share, without rounding: that is how blocks are read
//! here, and what kernels build on.

pub(crate) mod grids;

use crate::legacy::{IQ4_NL_LEVELS, half_at};

/// Values of a super-block.
const LEN: usize = 256;
/// Values of a group.
const GROUP: usize = 8;

/// Group `g` of 32: a scale and the integers that it multiplies.
type Group = fn(&[u8], usize) -> (f32, [i8; GROUP]);

/// Reads a super-block as integers and a scale per 16 values.
fn integers(block: &[u8], codes: &mut [i8], scales: &mut [f32], group: Group) {
    for (g, codes) in codes.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
        let (scale, values) = group(block, g);
        *codes = values;
        scales[g / 2] = scale;
    }
}

/// A row of functions per type: `integers` for a block, and `decode` for many.
macro_rules! codebook {
    ($($(#[$doc:meta])* $name:ident, $decode:ident: $group:path, $bytes:literal;)+) => {
        $(
        $(#[$doc])*
        pub(crate) fn $name(block: &[u8], _: &[u8], codes: &mut [i8], scales: &mut [f32]) {
            integers(block, codes, scales, $group);
        }

        pub(crate) fn $decode(data: &[u8], plane: &[u8], out: &mut [f32]) {
            crate::integers::decode::<$bytes, 0, LEN>((data, plane), out, $name);
        }
        )+
    };
}

codebook! {
    iq1_s, decode_iq1_s: iq1_s_group, 50;
    iq1_m, decode_iq1_m: iq1_m_group, 56;
    iq2_xxs, decode_iq2_xxs: iq2_xxs_group, 66;
    iq2_xs, decode_iq2_xs: iq2_xs_group, 74;
    iq2_s, decode_iq2_s: iq2_s_group, 82;
    iq3_xxs, decode_iq3_xxs: iq3_xxs_group, 98;
    iq3_s, decode_iq3_s: iq3_s_group, 110;
    iq4_xs, decode_iq4_xs: iq4_xs_group, 136;
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Half `which` of a byte: 0 for the low one.
fn nibble(byte: u8, which: usize) -> u8 {
    byte >> (which % 2 * 4) & 15
}

/// `values` with the sign turned where `signs` has a bit.
fn signed(values: [i8; GROUP], signs: u8) -> [i8; GROUP] {
    std::array::from_fn(|i| if signs >> i & 1 == 1 { -values[i] } else { values[i] })
}

/// Eight signs of which seven are stored: the number of turned ones is even.
pub(crate) fn even_signs(seven: u32) -> u8 {
    let seven = (seven & 127) as u8;
    seven | ((seven.count_ones() & 1) as u8) << 7
}

/// Two points of four coordinates.
fn joined(first: [i8; 4], second: [i8; 4]) -> [i8; GROUP] {
    std::array::from_fn(|i| if i < 4 { first[i] } else { second[i - 4] })
}

/// The ternary point `index`, moved up or down by an eighth, in eighths.
fn moved(index: usize, down: bool) -> [i8; GROUP] {
    grids::IQ1[index].map(|v| 8 * v + if down { -1 } else { 1 })
}

fn iq1_s_group(block: &[u8], g: usize) -> (f32, [i8; GROUP]) {
    let high = u16_at(block, 34 + g / 4 * 2);
    let index = usize::from(block[2 + g]) | usize::from(high >> (g % 4 * 3) & 7) << 8;
    let scale = half_at(block, 0) * f32::from(2 * (high >> 12 & 7) + 1);
    (scale / 8.0, moved(index, high >> 15 == 1))
}

/// The scale of the super-block lies in the upper four bits of the four words of scales.
fn iq1_m_group(block: &[u8], g: usize) -> (f32, [i8; GROUP]) {
    let word = |i: usize| u16_at(block, 48 + 2 * i);
    let d = (0..4).fold(0, |d, i| d | word(i) >> 12 << (4 * i));
    let d = half::f16::from_bits(d).to_f32();
    let high = nibble(block[32 + g / 2], g);
    let index = usize::from(block[g]) | usize::from(high & 7) << 8;
    let scale = d * f32::from(2 * (word(g / 8) >> (g / 2 % 4 * 3) & 7) + 1);
    (scale / 8.0, moved(index, high & 8 != 0))
}

fn iq2_xxs_group(block: &[u8], g: usize) -> (f32, [i8; GROUP]) {
    let at = 2 + g / 4 * 8;
    let word = u32_at(block, at + 4);
    let scale = half_at(block, 0) * (0.5 + (word >> 28) as f32) * 0.25;
    let values = grids::IQ2_XXS[usize::from(block[at + g % 4])];
    (scale, signed(values, even_signs(word >> (7 * (g % 4)))))
}

fn iq2_xs_group(block: &[u8], g: usize) -> (f32, [i8; GROUP]) {
    let word = u16_at(block, 2 + 2 * g);
    let scale = half_at(block, 0) * (0.5 + f32::from(nibble(block[66 + g / 4], g / 2))) * 0.25;
    (scale, signed(grids::IQ2_XS[usize::from(word & 511)], even_signs(u32::from(word >> 9))))
}

fn iq2_s_group(block: &[u8], g: usize) -> (f32, [i8; GROUP]) {
    let index = usize::from(block[2 + g]) | usize::from(block[66 + g / 4] >> (g % 4 * 2) & 3) << 8;
    let scale = half_at(block, 0) * (0.5 + f32::from(nibble(block[74 + g / 4], g / 2))) * 0.25;
    (scale, signed(grids::IQ2_S[index], block[34 + g]))
}

fn iq3_xxs_group(block: &[u8], g: usize) -> (f32, [i8; GROUP]) {
    let word = u32_at(block, 66 + g / 4 * 4);
    let scale = half_at(block, 0) * (0.5 + (word >> 28) as f32) * 0.5;
    let point = |i: usize| grids::IQ3_XXS[usize::from(block[2 + 2 * g + i])];
    (scale, signed(joined(point(0), point(1)), even_signs(word >> (7 * (g % 4)))))
}

fn iq3_s_group(block: &[u8], g: usize) -> (f32, [i8; GROUP]) {
    let high = block[66 + g / 4] >> (g % 4 * 2);
    let point = |i: usize| grids::IQ3_S[usize::from(block[2 + 2 * g + i]) | usize::from(high >> i & 1) << 8];
    let scale = half_at(block, 0) * f32::from(1 + 2 * nibble(block[106 + g / 8], g / 4));
    (scale, signed(joined(point(0), point(1)), block[74 + g]))
}

fn iq4_xs_group(block: &[u8], g: usize) -> (f32, [i8; GROUP]) {
    let sub = g / 4;
    let scale = nibble(block[4 + sub / 2], sub) | ((u16_at(block, 2) >> (2 * sub) & 3) as u8) << 4;
    let codes = &block[8 + sub * 16 + g % 2 * GROUP..];
    let values = std::array::from_fn(|i| IQ4_NL_LEVELS[usize::from(nibble(codes[i], g % 4 / 2))]);
    (half_at(block, 0) * (f32::from(scale) - 32.0), values)
}
