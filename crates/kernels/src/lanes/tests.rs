//! Each kind of lanes against `f64` and against the crate `half`.

use super::{Lanes, Scalar, WIDTH, math};

/// Runs a check on every kind of lanes that this CPU has.
macro_rules! on_all_lanes {
    ($check:expr) => {{
        $check("scalar", Scalar);
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c")
            {
                // SAFETY: the features were detected.
                $check("avx2", unsafe { super::Avx2::new() });
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                // SAFETY: the features were detected.
                $check("avx512", unsafe { super::Avx512::new() });
            }
        }
        #[cfg(target_arch = "aarch64")]
        $check("neon", super::Neon);
    }};
}

#[test]
fn binary16_equals_the_crate_half() {
    fn check<L: Lanes>(name: &str, l: L) {
        for first in (0..=u16::MAX).step_by(WIDTH) {
            let bits: [u16; WIDTH] = std::array::from_fn(|i| first + i as u16);
            let wide = l.load_f16(&bits);
            let mut narrow = [0; WIDTH];
            l.store_f16(wide, &mut narrow);
            for ((bits, wide), narrow) in bits.into_iter().zip(l.to_array(wide)).zip(narrow) {
                let want = half::f16::from_bits(bits);
                assert_eq!(wide.to_bits(), want.to_f32().to_bits(), "{name}: {bits:#06x}");
                assert_eq!(narrow, half::f16::from_f32(want.to_f32()).to_bits(), "{name}: {bits:#06x} back");
            }
        }
    }
    on_all_lanes!(check);
}

/// Every 61st `f32`, and all near the ties between two binary16.
#[test]
fn narrowing_rounds_as_the_crate_half() {
    fn check<L: Lanes>(name: &str, l: L) {
        let spread = (0..=u32::MAX / 61).map(|i| i * 61);
        let ties = (0..0x7c00u32).flat_map(|h| {
            let tie = half::f16::from_bits(h as u16).to_f32().to_bits() + 0x1000;
            [tie - 1, tie, tie + 1]
        });
        let mut numbers = spread.step_by(17).chain(ties).map(f32::from_bits).peekable();
        while numbers.peek().is_some() {
            let x: [f32; WIDTH] = std::array::from_fn(|_| numbers.next().unwrap_or(0.0));
            let mut narrow = [0; WIDTH];
            l.store_f16(l.load(&x), &mut narrow);
            for (x, narrow) in x.into_iter().zip(narrow) {
                assert_eq!(narrow, half::f16::from_f32(x).to_bits(), "{name}: {x:e} ({:#x})", x.to_bits());
            }
        }
    }
    on_all_lanes!(check);
}

/// Largest error of `f` in units in the last place of the true value, over `n` numbers of `from` to `to`.
fn worst<L: Lanes>(l: L, (from, to): (f32, f32), f: impl Fn(L::V) -> L::V, want: impl Fn(f64) -> f64) -> f64 {
    let n = 400_000;
    let mut worst = 0.0f64;
    for first in (0..n).step_by(WIDTH) {
        let x: [f32; WIDTH] = std::array::from_fn(|i| from + (to - from) * ((first + i) as f32 / n as f32));
        for (x, got) in x.into_iter().zip(l.to_array(f(l.load(&x)))) {
            let want = want(f64::from(x));
            let nearest = (want as f32).abs().max(f32::MIN_POSITIVE);
            let unit = f64::from(nearest.next_up()) - f64::from(nearest);
            worst = worst.max((f64::from(got) - want).abs() / unit);
        }
    }
    worst
}

#[test]
fn functions_are_accurate() {
    fn check<L: Lanes>(name: &str, l: L) {
        let bound = |what: &str, error: f64, bound: f64| {
            assert!(error <= bound, "{name}: {what} is off by {error} units in the last place");
        };
        for range in [(-87.3, 88.7), (-1.0, 1.0), (-103.9, -87.0), (-1e-3, 1e-3)] {
            bound("exp", worst(l, range, |x| math::exp(l, x), f64::exp), 2.0);
        }
        for range in [(-12.0, 12.0), (-0.7, 0.7), (-1e-3, 1e-3), (-90.0, 90.0)] {
            bound("tanh", worst(l, range, |x| math::tanh(l, x), f64::tanh), 3.0);
        }
        for range in [(-80.0, 80.0), (-1.0, 1.0)] {
            bound("sigmoid", worst(l, range, |x| math::sigmoid(l, x), |x| 1.0 / (1.0 + (-x).exp())), 4.0);
        }
    }
    on_all_lanes!(check);
}

#[test]
fn functions_keep_their_limits() {
    fn check<L: Lanes>(name: &str, l: L) {
        let of = |f: fn(L, L::V) -> L::V, x: f32| l.to_array(f(l, l.splat(x)))[0];
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        assert_eq!(
            [0.0, -0.0, -inf, inf, -104.0, 89.0].map(|x| of(math::exp, x)),
            [1.0, 1.0, 0.0, inf, 0.0, inf]
        );
        assert_eq!(
            [0.0, -inf, inf, 1e30, -1e30].map(|x| of(math::tanh, x)),
            [0.0, -1.0, 1.0, 1.0, -1.0],
            "{name}"
        );
        assert_eq!([0.0, -inf, inf].map(|x| of(math::sigmoid, x)), [0.5, 0.0, 1.0], "{name}");
        assert_eq!(of(math::normal_tail, 15.0), 0.0, "{name}");
        for f in [math::exp::<L>, math::tanh::<L>, math::sigmoid::<L>, math::normal_tail::<L>] {
            assert!(of(f, nan).is_nan(), "{name}");
        }
    }
    on_all_lanes!(check);
}

#[test]
fn parts_and_sums() {
    fn check<L: Lanes>(name: &str, l: L) {
        let x: [f32; WIDTH] = std::array::from_fn(|i| (i as f32 - 3.3) * 1.7);
        for n in 0..WIDTH {
            let v = l.load_part(&x[..n]);
            let lanes = l.to_array(v);
            assert_eq!((&lanes[..n], &lanes[n..]), (&x[..n], &[0.0; WIDTH][n..]), "{name}");
            let mut out = [9.0; WIDTH];
            l.store_part(v, &mut out[..n]);
            assert_eq!((&out[..n], &out[n..]), (&x[..n], &[9.0; WIDTH][n..]), "{name}");
        }
        let tree = |x: &[f32]| {
            let mut x = x.to_vec();
            while x.len() > 1 {
                let half = x.len() / 2;
                x = (0..half).map(|i| x[i] + x[i + half]).collect();
            }
            x[0]
        };
        assert_eq!(l.reduce_sum(l.load(&x)).to_bits(), tree(&x).to_bits(), "{name}");
        assert_eq!(l.reduce_max(l.load(&x)), x[WIDTH - 1], "{name}");
        let (nan, one) = (l.splat(f32::NAN), l.splat(1.0));
        assert_eq!([l.max(nan, one), l.min(nan, one)].map(|v| l.to_array(v)[0]), [1.0, 1.0], "{name}");
        assert!([l.max(one, nan), l.min(one, nan)].iter().all(|&v| l.to_array(v)[5].is_nan()), "{name}");
    }
    on_all_lanes!(check);
}
