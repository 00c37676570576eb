//! exp for softmax, from basic operations only: a platform's own may differ in the last bit, and a text must
//! not depend on that.

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts; the first has so few bits that its products with small integers are exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Adding 1.5 * 2^23 rounds to an integer and leaves it, in two's complement, in the lowest bits.
const ROUND: f32 = 12_582_912.0;
/// Below this the result is taken as 0 instead of a subnormal number.
const SMALLEST: f32 = -87.0;

/// e^x for x <= 0, to 2 units in the last place; 0 below -87. Written without branches, so that a loop over it
/// becomes vector code.
pub(crate) fn exp_neg(x: f32) -> f32 {
    let bounded = if x < SMALLEST { SMALLEST } else { x };
    let rounded = bounded * LOG2_E + ROUND;
    let k = rounded - ROUND;
    let r = (bounded - k * LN2_HIGH) - k * LN2_LOW;
    // Taylor series; |r| <= ln(2)/2, so the first missing term is below 2e-8 of the result.
    let series = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let poly = series.iter().fold(1.0 / 5040.0, |sum, c| sum * r + c);
    let scale = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    if x < SMALLEST { 0.0 } else { poly * scale }
}

/// Sum in eight interleaved parts: fast, and in an order that depends on nothing but the length.
pub(crate) fn sum<T>(items: &[T], value: impl Fn(&T) -> f32) -> f64 {
    let (blocks, rest) = items.as_chunks::<8>();
    let mut parts = [0.0f64; 8];
    for block in blocks.iter().map(<[T; 8]>::as_slice).chain([rest]) {
        parts.iter_mut().zip(block).for_each(|(part, item)| *part += f64::from(value(item)));
    }
    parts.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_close_to_the_exact_exponential() {
        for i in 0..870_000 {
            let x = -(i as f32) * 1e-4;
            let exact = f64::from(x).exp();
            let off = (f64::from(exp_neg(x)) - exact).abs() / exact;
            assert!(off < 2.5e-7, "exp({x}) is off by {off}");
        }
        assert_eq!(exp_neg(0.0), 1.0);
        assert_eq!(exp_neg(-0.0), 1.0);
        assert_eq!(exp_neg(-1e30), 0.0);
        assert_eq!(exp_neg(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn it_never_rises_as_x_falls() {
        let mut last = 1.0;
        for i in 0..100_000 {
            let now = exp_neg(-(i as f32) * 1e-3);
            assert!(now <= last);
            last = now;
        }
    }
}
