//! From a rotary specification to one frequency per pair.

use crate::spec::{RopeScaling, RopeSpec};
use std::f64::consts::PI;
use torchless_device::{Rope, RopeBeyond};

/// The frequencies and the magnitude that `spec` stands for. All arithmetic is in f64, rounded once.
pub fn build(spec: &RopeSpec) -> Rope {
    let pairs = spec.dims / 2;
    let base = |i: usize| f64::from(spec.theta).powf(-2.0 * i as f64 / spec.wave_dims as f64);
    let inv_freq = (0..pairs).map(|i| {
        let divisor = spec.factors.as_ref().map_or(1.0, |f| f64::from(f[i]));
        (scale(base(i), i, spec) / divisor) as f32
    });
    let beyond = match &spec.scaling {
        RopeScaling::LongRope { long, original, magnitudes, .. } => {
            let inv_freq = (0..pairs).map(|i| (base(i) / f64::from(long[i])) as f32).collect();
            Some(RopeBeyond { tokens: *original, inv_freq, magnitude: magnitudes.1 })
        }
        _ => None,
    };
    Rope { inv_freq: inv_freq.collect(), magnitude: magnitude(&spec.scaling), pairing: spec.pairing, beyond }
}

fn magnitude(scaling: &RopeScaling) -> f32 {
    match *scaling {
        RopeScaling::Yarn { magnitude, .. } => magnitude,
        RopeScaling::LongRope { magnitudes, .. } => magnitudes.0,
        _ => 1.0,
    }
}

fn scale(base: f64, pair: usize, spec: &RopeSpec) -> f64 {
    match spec.scaling {
        RopeScaling::None => base,
        RopeScaling::Proportional { pairs, .. } if pair >= pairs => 0.0,
        RopeScaling::Proportional { factor, .. } => base / f64::from(factor),
        RopeScaling::LongRope { ref short, .. } => base / f64::from(short[pair]),
        RopeScaling::Linear { factor } => base / f64::from(factor),
        RopeScaling::Yarn { factor, original, beta_fast, beta_slow, truncate, .. } => {
            let at = |rotations| correction_dim(f64::from(rotations), original as f64, spec);
            let (mut low, mut high) = (at(beta_fast), at(beta_slow));
            if truncate {
                (low, high) = (low.floor(), high.ceil());
            }
            let (low, mut high) = (low.max(0.0), high.min(spec.wave_dims as f64 - 1.0));
            if low == high {
                high += 0.001;
            }
            let ramp = ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
            base / f64::from(factor) * ramp + base * (1.0 - ramp)
        }
        RopeScaling::Llama3 { factor, low, high, original } => {
            let rotations = original as f64 * base / (2.0 * PI);
            let (low, high) = (f64::from(low), f64::from(high));
            let keep = ((rotations - low) / (high - low)).clamp(0.0, 1.0);
            base / f64::from(factor) * (1.0 - keep) + base * keep
        }
    }
}

/// The dimension whose pair turns `rotations` times within `original` positions (YaRN, section 3.2).
fn correction_dim(rotations: f64, original: f64, spec: &RopeSpec) -> f64 {
    spec.wave_dims as f64 * (original / (rotations * 2.0 * PI)).ln() / (2.0 * f64::from(spec.theta).ln())
}

#[cfg(test)]
mod tests {
    use super::*;
    use torchless_device::Pairing;

    fn freqs(scaling: RopeScaling, factors: Option<Vec<f32>>) -> Vec<f32> {
        let spec =
            RopeSpec { theta: 10000.0, dims: 8, wave_dims: 8, pairing: Pairing::Halves, scaling, factors };
        build(&spec).inv_freq
    }

    #[test]
    fn plain_frequencies_are_powers_of_theta() {
        assert_eq!(freqs(RopeScaling::None, None), [1.0, 0.1, 0.01, 0.001]);
    }

    #[test]
    fn linear_divides_all() {
        assert_eq!(freqs(RopeScaling::Linear { factor: 4.0 }, None), [0.25, 0.025, 0.0025, 0.00025]);
    }

    #[test]
    fn llama3_keeps_short_and_divides_long_wavelengths() {
        let scaling = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 64 };
        let f = freqs(scaling, None);
        assert_eq!(f[0], 1.0, "10 rotations in 64 positions: kept");
        assert!(f[1] < 0.1 && f[1] > 0.0125, "about one rotation: between");
        assert_eq!(&f[2..], [0.01 / 8.0, 0.001 / 8.0]);
    }

    #[test]
    fn factors_divide_pair_by_pair() {
        assert_eq!(freqs(RopeScaling::None, Some(vec![1.0, 2.0, 4.0, 8.0])), [1.0, 0.05, 0.0025, 0.000125]);
    }

    #[test]
    fn yarn_keeps_fast_pairs_and_divides_slow_ones() {
        let scaling = RopeScaling::Yarn {
            factor: 4.0,
            original: 64,
            beta_fast: 32.0,
            beta_slow: 1.0,
            magnitude: 1.5,
            truncate: true,
        };
        let f = freqs(scaling, None);
        assert_eq!((f[0], f[3]), (1.0, 0.00025));
    }
}
