//! Levels that a scale is multiplied with, and the scale that suits some values best.

use super::{LANES, nearest, ratio};

/// A set of levels, numbered from the lowest.
pub(crate) trait Levels: Copy {
    /// The levels at both ends.
    const ENDS: [f32; 2];

    /// The number of the level nearest to `v`.
    fn number(self, v: f32) -> u8;

    /// The level of a number.
    fn level(self, number: u8) -> f32;

    /// The level nearest to `v`.
    #[inline(always)]
    fn at(self, v: f32) -> f32 {
        self.level(self.number(v))
    }
}

/// The integers from `LOW` to `HIGH`.
#[derive(Clone, Copy)]
pub(crate) struct Integers<const LOW: i8, const HIGH: i8>;

impl<const LOW: i8, const HIGH: i8> Levels for Integers<LOW, HIGH> {
    const ENDS: [f32; 2] = [LOW as f32, HIGH as f32];

    #[inline(always)]
    fn number(self, v: f32) -> u8 {
        (self.at(v) - f32::from(LOW)) as u8
    }

    #[inline(always)]
    fn level(self, number: u8) -> f32 {
        f32::from(number) + f32::from(LOW)
    }

    #[inline(always)]
    fn at(self, v: f32) -> f32 {
        nearest(v.clamp(f32::from(LOW), f32::from(HIGH)))
    }
}

/// The levels of `IQ4_NL`.
#[derive(Clone, Copy)]
pub(crate) struct Curved;

impl Levels for Curved {
    const ENDS: [f32; 2] = [-127.0, 113.0];

    #[inline(always)]
    fn number(self, v: f32) -> u8 {
        const MIDDLES: [f32; 15] = {
            let levels = crate::legacy::IQ4_NL_LEVELS;
            let mut middles = [0.0; 15];
            let mut i = 0;
            while i < 15 {
                middles[i] = (levels[i] as f32 + levels[i + 1] as f32) / 2.0;
                i += 1;
            }
            middles
        };
        MIDDLES.iter().map(|middle| u8::from(v > *middle)).sum()
    }

    /// In floating point, which becomes vector code where looking up does not.
    #[inline(always)]
    fn at(self, v: f32) -> f32 {
        let mut level = Self::ENDS[0];
        for pair in crate::legacy::IQ4_NL_LEVELS.windows(2) {
            let (low, high) = (f32::from(pair[0]), f32::from(pair[1]));
            level += if v > (low + high) / 2.0 { high - low } else { 0.0 };
        }
        level
    }

    #[inline(always)]
    fn level(self, number: u8) -> f32 {
        f32::from(crate::legacy::IQ4_NL_LEVELS[usize::from(number & 15)])
    }
}

/// The doubled values of E2M1 without signs.
#[derive(Clone, Copy)]
pub(crate) struct Microfloat;

impl Levels for Microfloat {
    const ENDS: [f32; 2] = [-12.0, 12.0];

    #[inline(always)]
    fn number(self, v: f32) -> u8 {
        const MIDDLES: [f32; 7] = [0.5, 1.5, 2.5, 3.5, 5.0, 7.0, 10.0];
        let number = MIDDLES.iter().map(|middle| u8::from(v.abs() > *middle)).sum();
        if v < 0.0 && number > 0 { number | 8 } else { number }
    }

    /// As above.
    #[inline(always)]
    fn at(self, v: f32) -> f32 {
        let mut level = 0.0;
        for pair in crate::microscaling::E2M1[..8].windows(2) {
            let (low, high) = (f32::from(pair[0]), f32::from(pair[1]));
            level += if v.abs() > (low + high) / 2.0 { high - low } else { 0.0 };
        }
        f32::copysign(level, v)
    }

    #[inline(always)]
    fn level(self, number: u8) -> f32 {
        f32::from(crate::microscaling::E2M1[usize::from(number & 15)])
    }
}

/// The value of greatest magnitude, with its sign.
pub(crate) fn extreme(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most: f32, v| if v.abs() > most.abs() { *v } else { most })
}

/// Sums of products: of value and level, and of level and level. Values come in multiples of [`LANES`].
#[inline(always)]
pub(crate) fn sums<L: Levels>(levels: L, inverse: f32, x: &[f32], w: &[f32]) -> (f32, f32) {
    let (mut xl, mut ll) = ([0.0; LANES], [0.0; LANES]);
    for (x, w) in x.as_chunks::<LANES>().0.iter().zip(w.as_chunks::<LANES>().0) {
        for i in 0..LANES {
            let level = levels.at(x[i] * inverse);
            xl[i] += w[i] * x[i] * level;
            ll[i] += w[i] * level * level;
        }
    }
    (xl.iter().sum(), ll.iter().sum())
}

/// Squared error of `x` for a given scale. Values come in multiples of [`LANES`].
#[inline(always)]
pub(crate) fn error<L: Levels>(levels: L, scale: f32, x: &[f32], w: &[f32]) -> f32 {
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let mut squares = [0.0; LANES];
    for (x, w) in x.as_chunks::<LANES>().0.iter().zip(w.as_chunks::<LANES>().0) {
        for i in 0..LANES {
            let off = x[i] - scale * levels.at(x[i] * inverse);
            squares[i] += w[i] * off * off;
        }
    }
    squares.iter().sum()
}

/// The scale with the least squared error among `2 steps + 1` stretches, up to 0.9 of a level each way, in either direction, that bring the
/// extreme value to an end of the levels; each improved by least squares. Zero where all values are.
pub(crate) fn best_scale<L: Levels>(levels: L, steps: i32, x: &[f32], w: &[f32]) -> f32 {
    let most = extreme(x);
    if most.abs() < 1e-30 {
        return 0.0;
    }
    let step = 0.9 * unit::<L>() / steps as f32;
    let (mut best, mut scale) = (0.0, 0.0);
    for end in L::ENDS {
        for i in -steps..=steps {
            let (xl, ll) = sums(levels, (end + i as f32 * step) / most, x, w);
            let gain = ratio(xl * xl, ll);
            if gain > best {
                (best, scale) = (gain, ratio(xl, ll));
            }
        }
    }
    // The best scale of some codes may have better codes of its own.
    let (xl, ll) = sums(levels, if scale == 0.0 { 0.0 } else { 1.0 / scale }, x, w);
    if ratio(xl * xl, ll) > best { ratio(xl, ll) } else { scale }
}

/// About the distance between two levels at the ends.
fn unit<L: Levels>() -> f32 {
    let [low, high] = L::ENDS;
    (high - low) / if high - low > 200.0 { 15.0 } else { high - low }
}
