//! IEEE binary16 in integer arithmetic, in a form that compilers turn into vector code.
//! Equal to the instructions of the CPUs (F16C, `fcvtl`, `fcvtn`) for every input.

const SIGN: u32 = 0x8000;
const EXPONENT_F32: u32 = 0x7f80_0000;

/// Widens binary16. Exact; signalling NaN become quiet.
#[inline(always)]
pub(crate) fn f16_to_f32(h: u16) -> f32 {
    let sign = (u32::from(h) & SIGN) << 16;
    let magnitude = (u32::from(h) & 0x7fff) << 13;
    // The exponent is off by 127 - 15; the product also brings subnormals into normal form.
    let finite = (f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23)).to_bits();
    let quiet = if magnitude > 0x0f80_0000 { 0x0040_0000 } else { 0 };
    let special = magnitude | EXPONENT_F32 | quiet;
    let bits = if magnitude >= 0x0f80_0000 { special } else { finite };
    f32::from_bits(bits | sign)
}

/// Narrows to binary16, ties to even; too large becomes infinite, NaN stay NaN and become quiet.
#[inline(always)]
pub(crate) fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16) & SIGN;
    let magnitude = bits & 0x7fff_ffff;
    // One unit in the last place of 0.5 is 2^-24, the step of binary16's subnormals: the sum does the rounding.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let odd = (magnitude >> 13) & 1;
    let normal = magnitude.wrapping_add(0xfff + odd).wrapping_sub(112 << 23) >> 13;
    let nan = 0x7e00 | ((magnitude >> 13) & 0x3ff);
    let finite = if magnitude < 0x3880_0000 { subnormal } else { normal };
    let number = if magnitude >= 0x477f_f000 { 0x7c00 } else { finite };
    let result = if magnitude > EXPONENT_F32 { nan } else { number };
    (result | sign) as u16
}
