//! Elementary functions over lanes: one algorithm for every instruction set.
//!
//! The polynomials are minimax fits (Remez exchange on the relative error) made for these reductions; the error named
//! beside each is that of the fit, to which the arithmetic adds one or two units in the last place.

use super::Lanes;

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// The upper bits of ln 2, few enough that products with whole numbers up to 2^10 are exact, and the rest.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -0.000_212_194_44;

/// (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2; 3e-9.
const EXP: [f32; 5] = [0.499_999_94, 0.166_665_2, 0.041_668_393, 0.008_368_781, 0.001_381_446_8];
/// (tanh(x) - x) / x^3 in x^2, for |x| <= 0.625; 4e-9.
const TANH: [f32; 5] = [-0.333_332_84, 0.133_314_91, -0.053_743_497, 0.020_650_588, -0.005_717_045];
/// e^(z^2) erfc(z) / t in t = 1 / (1 + ERFC_STEP z), for z of 0 to 10; 7e-9.
const ERFC: [f32; 10] = [
    0.197_483_78,
    0.197_138_35,
    0.187_902_4,
    0.151_186_18,
    0.146_042_15,
    0.087_018_86,
    -0.027_705_84,
    0.181_461_41,
    -0.158_928_38,
    0.038_401_075,
];
const ERFC_STEP: f32 = 0.35;

#[inline(always)]
fn horner<L: Lanes, const N: usize>(l: L, x: L::V, coefficients: &[f32; N]) -> L::V {
    let mut sum = l.splat(coefficients[N - 1]);
    for &c in coefficients[..N - 1].iter().rev() {
        sum = l.fma(sum, x, l.splat(c));
    }
    sum
}

/// `e^x` to about 2 units in the last place, subnormal results and infinities included.
#[inline(always)]
pub(crate) fn exp<L: Lanes>(l: L, x: L::V) -> L::V {
    let x = l.max(l.splat(-104.0), l.min(l.splat(89.0), x));
    let n = l.round(l.mul(x, l.splat(LOG2_E)));
    let r = l.fma(n, l.splat(-LN2_HIGH), x);
    let r = l.fma(n, l.splat(-LN2_LOW), r);
    let tail = l.fma(l.mul(r, r), horner(l, r, &EXP), r);
    l.scale2(l.add(tail, l.splat(1.0)), n)
}

/// Hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh<L: Lanes>(l: L, x: L::V) -> L::V {
    let square = l.mul(x, x);
    let small = l.fma(l.mul(square, x), horner(l, square, &TANH), x);
    let magnitude = l.abs(x);
    let e = exp(l, l.add(magnitude, magnitude));
    let one = l.splat(1.0);
    let large = l.sub(one, l.div(l.splat(2.0), l.add(e, one)));
    let signed = l.select_lt(x, l.zero(), l.sub(l.zero(), large), large);
    l.select_lt(magnitude, l.splat(0.625), small, signed)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<L: Lanes>(l: L, x: L::V) -> L::V {
    let one = l.splat(1.0);
    l.div(one, l.add(one, exp(l, l.sub(l.zero(), x))))
}

/// The upper tail of the normal distribution, `erfc(a / sqrt 2) / 2`, for `a` from 0 on; 0 from 15 on.
#[inline(always)]
pub(crate) fn normal_tail<L: Lanes>(l: L, a: L::V) -> L::V {
    let one = l.splat(1.0);
    let step = l.splat(ERFC_STEP * std::f32::consts::FRAC_1_SQRT_2);
    let t = l.div(one, l.fma(a, step, one));
    let scaled = l.mul(t, horner(l, t, &ERFC));
    let decay = exp(l, l.mul(l.mul(a, a), l.splat(-0.5)));
    l.mul(l.mul(scaled, decay), l.splat(0.5))
}
