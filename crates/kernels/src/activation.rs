//! The functions between the two halves of a feed-forward block, defined once for all tables.
//!
//! They are free of branches, so that loops over them become vector code wherever they are inlined.

/// An element-wise activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// `x * Phi(x)` with the exact normal distribution function.
    Gelu,
    /// GELU in its tanh form: `0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`.
    GeluTanh,
    /// `x * sigmoid(1.702 x)`.
    GeluQuick,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)^2`.
    ReluSquared,
}

impl Activation {
    /// Applies the function to one value.
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Activation::Silu => silu(x),
            Activation::Gelu => gelu(x),
            Activation::GeluTanh => gelu_tanh(x),
            Activation::GeluQuick => gelu_quick(x),
            Activation::Relu => relu(x),
            Activation::ReluSquared => relu(x) * relu(x),
        }
    }

    /// `gate[i] = f(gate[i]) * up[i]`. Inlined, so that it takes on the instruction set of its caller.
    #[inline(always)]
    pub(crate) fn gate(self, gate: &mut [f32], up: &[f32]) {
        match self {
            Activation::Silu => gate_with(gate, up, silu),
            Activation::Gelu => gate_with(gate, up, gelu),
            Activation::GeluTanh => gate_with(gate, up, gelu_tanh),
            Activation::GeluQuick => gate_with(gate, up, gelu_quick),
            Activation::Relu => gate_with(gate, up, relu),
            Activation::ReluSquared => gate_with(gate, up, |x| relu(x) * relu(x)),
        }
    }
}

#[inline(always)]
fn gate_with(gate: &mut [f32], up: &[f32], f: impl Fn(f32) -> f32) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = f(*gate) * up;
    }
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

#[inline(always)]
fn gelu_quick(x: f32) -> f32 {
    x / (1.0 + exp(-1.702 * x))
}

/// `0.5 (1 + tanh(u))` is `sigmoid(2u)`.
#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    const ROOT: f32 = 0.797_884_6;
    let u = ROOT * x * (1.0 + 0.044715 * x * x);
    x / (1.0 + exp(-2.0 * u))
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    x * (0.5 * erfc(-x * std::f32::consts::FRAC_1_SQRT_2))
}

#[inline(always)]
fn relu(x: f32) -> f32 {
    // Written so that NaN stays NaN.
    if x < 0.0 { 0.0 } else { x }
}

/// Complementary error function, relative error below 2e-6 (W. J. Cody's idea in the form of Numerical Recipes'
/// `erfcc`: a polynomial in `t = 1 / (1 + |x| / 2)` inside the exponential, whose relative error is 1.2e-7 in exact arithmetic).
#[inline(always)]
fn erfc(x: f32) -> f32 {
    const C: [f32; 10] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_9,
        -1.135_204,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_7,
        -1.265_512_2,
    ];
    let z = x.abs();
    let t = 1.0 / (1.0 + 0.5 * z);
    let mut p = C[0];
    let mut i = 1;
    while i < C.len() {
        p = p * t + C[i];
        i += 1;
    }
    let tail = t * exp(p - z * z);
    if x < 0.0 { 2.0 - tail } else { tail }
}

/// `e^x` to about 2e-7: `2^n * p(r)` with `x = n ln 2 + r`, `|r| <= ln 2 / 2`. 0 and infinity at the ends, NaN stays NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    const LN2_HIGH: f32 = 0.693_359_4; // 11 bits of ln 2, so that n * LN2_HIGH is exact
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x > 89.0 { 89.0 } else { x };
    let clamped = if clamped < -104.0 { -104.0 } else { clamped };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = (p * r) * r + r + 1.0;
    // Two factors, because 2^n alone leaves the range of normal numbers at both ends.
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()).cast_signed();
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127).wrapping_shl(23)).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_over_its_range() {
        for i in -10_400..8_872 {
            let x = i as f32 * 0.01 + 0.003;
            let want = f64::from(x).exp();
            let got = f64::from(exp(x));
            assert!((got - want).abs() <= 3e-7 * want + 2e-45, "exp({x}) = {got}, want {want}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn erfc_meets_known_values() {
        // Abramowitz & Stegun, table 7.1.
        for (x, erf) in [(0.0, 0.0), (0.5, 0.520_499_877_8), (1.0, 0.842_700_792_9), (2.0, 0.995_322_265_0)] {
            let x: f32 = x;
            assert!((f64::from(erfc(x)) - (1.0 - erf)).abs() < 4e-7, "erfc({x})");
            assert!((f64::from(erfc(-x)) - (1.0 + erf)).abs() < 4e-7, "erfc(-{x})");
        }
    }

    #[test]
    fn functions_meet_their_definitions() {
        for i in -600..600 {
            let x = i as f32 * 0.02;
            let wide = f64::from(x);
            let tanh = (0.797_884_560_802_865_4 * (wide + 0.044715 * wide.powi(3))).tanh();
            for (activation, want) in [
                (Activation::Silu, wide / (1.0 + (-wide).exp())),
                (Activation::GeluTanh, 0.5 * wide * (1.0 + tanh)),
                (Activation::GeluQuick, wide / (1.0 + (-1.702 * wide).exp())),
                (Activation::Relu, wide.max(0.0)),
                (Activation::ReluSquared, wide.max(0.0).powi(2)),
            ] {
                let got = f64::from(activation.apply(x));
                assert!(
                    (got - want).abs() <= 2e-6 * want.abs() + 1e-7,
                    "{activation:?}({x}) = {got}, want {want}"
                );
            }
        }
        assert!((Activation::Gelu.apply(1.0) - 0.841_344_8).abs() < 1e-6);
        assert!((Activation::Gelu.apply(-1.0) + 0.158_655_25).abs() < 1e-6);
        for activation in [Activation::Silu, Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
            assert!(activation.apply(f32::NAN).is_nan());
            assert_eq!(activation.apply(1e30), 1e30);
            assert_eq!(activation.apply(-1e30), 0.0);
        }
    }
}
