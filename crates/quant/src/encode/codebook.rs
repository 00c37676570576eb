//! Encoders of the types with codebooks: IQ1, IQ2 and IQ3.

use super::levels::extreme;
use super::points::Search;
use super::{LEN, blocks, halved, nearest};
use crate::codebook::grids;
use crate::legacy::put_half;
use half::f16;
use std::sync::LazyLock;

/// What was chosen for a sub-block at some scale.
#[derive(Clone, Copy, Default)]
struct Choice {
    /// The points: one per 8 or 4 values.
    points: [u16; 8],
    /// Per 8 values: the signs, or for IQ1 whether the point is moved down.
    turns: [u8; 4],
    /// Weighted products of value and level, and of level and level.
    xl: f32,
    ll: f32,
    error: f32,
}

impl Choice {
    /// Takes account of values and the levels they got.
    fn count(&mut self, (x, w): (&[f32], &[f32]), scale: f32, level: impl Fn(usize) -> f32) {
        for (i, (x, w)) in x.iter().zip(w).enumerate() {
            let level = level(i);
            let off = x - scale * level;
            self.xl += w * x * level;
            self.ll += w * level * level;
            self.error += w * off * off;
        }
    }
}

/// A type with a codebook: how a sub-block of `SUB` values is brought into codes.
trait Book {
    const SUB: usize;
    /// The greatest factor of a sub-block.
    const TOP: u8;
    /// A sub-block's scale is this times the super-block's times an odd number, `2 factor + 1`.
    const UNIT: f32;
    /// The greatest level.
    const MOST: f32;
    /// Guesses of the scale: how far the greatest value is stretched, as shares of the greatest level.
    const STRETCH: (f32, f32);

    fn choose(x: &[f32], w: &[f32], scale: f32) -> Choice;
}

/// A super-block in codes.
struct Super {
    d: f32,
    factors: [u8; 16],
    choices: [Choice; 16],
}

/// Guesses of a sub-block's scale.
const GUESSES: usize = 18;

fn best_scale<B: Book>(x: &[f32], w: &[f32]) -> f32 {
    let most = extreme(x).abs();
    if most < 1e-30 {
        return 0.0;
    }
    let (mut best, mut scale) = (0.0, 0.0);
    for i in 0..GUESSES {
        let (from, to) = B::STRETCH;
        let stretch = from + (to - from) * i as f32 / (GUESSES - 1) as f32;
        let choice = B::choose(x, w, most / (stretch * B::MOST));
        if choice.xl > 0.0 && choice.xl * choice.xl > best * choice.ll {
            (best, scale) = (choice.xl * choice.xl / choice.ll, choice.xl / choice.ll);
        }
    }
    scale
}

fn super_block<B: Book>(x: &[f32; LEN], w: &[f32; LEN]) -> Super {
    let subs = LEN / B::SUB;
    let part = |j: usize| (&x[j * B::SUB..(j + 1) * B::SUB], &w[j * B::SUB..(j + 1) * B::SUB]);
    let mut scales = [0.0; 16];
    for (j, scale) in scales[..subs].iter_mut().enumerate() {
        let (x, w) = part(j);
        *scale = best_scale::<B>(x, w);
    }
    let top = f32::from(B::TOP);
    let unit = |d: f32| d * B::UNIT;
    let mut found = Super { d: 0.0, factors: [0; 16], choices: [Choice::default(); 16] };
    found.d = halved(extreme(&scales) / (B::UNIT * (2.0 * top + 1.0)));
    if found.d == 0.0 {
        return found;
    }
    // A second time with the scale that is best for the codes of the first.
    for round in 0..2 {
        let (mut xl, mut ll) = (0.0, 0.0);
        for (j, scale) in scales[..subs].iter().enumerate() {
            let (x, w) = part(j);
            let middle = nearest(((scale / unit(found.d) - 1.0) / 2.0).clamp(0.0, top));
            let mut best = f32::MAX;
            for factor in [0.0, -1.0, 1.0].map(|off| middle + off) {
                if (0.0..=top).contains(&factor) {
                    let choice = B::choose(x, w, unit(found.d) * (2.0 * factor + 1.0));
                    if choice.error < best {
                        best = choice.error;
                        (found.factors[j], found.choices[j]) = (factor as u8, choice);
                    }
                }
            }
            let odd = B::UNIT * f32::from(2 * found.factors[j] + 1);
            xl += odd * found.choices[j].xl;
            ll += odd * odd * found.choices[j].ll;
        }
        let better = halved(if ll > 0.0 { xl / ll } else { 0.0 });
        if round == 0 && better > 0.0 {
            found.d = better;
        }
    }
    found
}

/// Eight values without their signs, and which of them those were. With `even`, as many as turned signs are an even number: the
/// value that matters least is then left on the wrong side.
fn unsigned(x: &[f32], w: &[f32], even: bool) -> ([f32; 8], u8) {
    let mut sizes: [f32; 8] = std::array::from_fn(|i| x[i].abs());
    let mut signs = (0..8).fold(0u8, |signs, i| signs | u8::from(x[i] < 0.0) << i);
    if even && signs.count_ones() % 2 == 1 {
        let cost = |i: usize| w[i] * x[i] * x[i];
        let least = (1..8).fold(0, |least, i| if cost(i) < cost(least) { i } else { least });
        signs ^= 1 << least;
        sizes[least] = -sizes[least];
    }
    (sizes, signs)
}

/// Types with unsigned levels: points of 8 or 4 coordinates, and signs.
fn choose_signed<const DIMS: usize>(
    search: &Search<DIMS>,
    even: bool,
    (x, w): (&[f32], &[f32]),
    scale: f32,
) -> Choice {
    let mut choice = Choice::default();
    let inverse = 1.0 / scale;
    for (g, (x, w)) in x.as_chunks::<8>().0.iter().zip(w.as_chunks::<8>().0).enumerate() {
        let (sizes, signs) = unsigned(x, w, even);
        choice.turns[g] = signs;
        let runs = sizes.as_chunks::<DIMS>().0.iter().zip(w.as_chunks::<DIMS>().0);
        for (i, (sizes, w)) in runs.enumerate() {
            let number = search.closest(&sizes.map(|x| x * inverse), w);
            choice.points[g * (8 / DIMS) + i] = number;
            let point = search.point(number);
            choice.count((sizes, w), scale, |i| point[i]);
        }
    }
    choice
}

/// A book of unsigned levels.
macro_rules! signed_book {
    ($name:ident, $grid:ident, $dims:literal, $levels:expr, sub: $sub:literal, unit: $unit:expr, most: $most:expr,
     stretch: $stretch:expr, even: $even:literal) => {
        struct $name;

        impl Book for $name {
            const SUB: usize = $sub;
            const TOP: u8 = 15;
            const UNIT: f32 = $unit;
            const MOST: f32 = $most;
            const STRETCH: (f32, f32) = $stretch;

            fn choose(x: &[f32], w: &[f32], scale: f32) -> Choice {
                static SEARCH: LazyLock<Search<$dims>> =
                    LazyLock::new(|| Search::new(&grids::$grid, $levels));
                choose_signed(&SEARCH, $even, (x, w), scale)
            }
        }
    };
}

const IQ2_LEVELS: &[i8] = &[8, 25, 43];

signed_book!(Iq2Xxs, IQ2_XXS, 8, IQ2_LEVELS, sub: 32, unit: 0.125, most: 43.0, stretch: (0.8, 1.6), even: true);
signed_book!(Iq2Xs, IQ2_XS, 8, IQ2_LEVELS, sub: 16, unit: 0.125, most: 43.0, stretch: (0.8, 1.5), even: true);
signed_book!(Iq2S, IQ2_S, 8, IQ2_LEVELS, sub: 16, unit: 0.125, most: 43.0, stretch: (0.8, 1.5), even: false);
signed_book!(Iq3Xxs, IQ3_XXS, 4, &[4, 12, 20, 28, 36, 44, 52, 62], sub: 32, unit: 0.25, most: 62.0,
    stretch: (0.75, 1.25), even: true);
signed_book!(Iq3S, IQ3_S, 4, &[1, 3, 5, 7, 9, 11, 13, 15], sub: 32, unit: 1.0, most: 15.0,
    stretch: (0.75, 1.25), even: false);

static TERNARY: LazyLock<Search<8>> = LazyLock::new(|| Search::new(&grids::IQ1, &[-1, 0, 1]));

/// Eight values as a ternary point, moved up or down by an eighth.
fn choose_moved((x, w): (&[f32; 8], &[f32; 8]), scale: f32, down: bool, (choice, at): (&mut Choice, usize)) {
    let moved = if down { -0.125 } else { 0.125 };
    let number = TERNARY.closest(&x.map(|x| x / scale - moved), w);
    choice.points[at] = number;
    choice.turns[at] = u8::from(down);
    let point = TERNARY.point(number);
    choice.count((x, w), scale, |i| point[i] + moved);
}

struct Iq1S;

impl Book for Iq1S {
    const SUB: usize = 32;
    const TOP: u8 = 7;
    const UNIT: f32 = 1.0;
    const MOST: f32 = 1.125;
    const STRETCH: (f32, f32) = (0.9, 2.6);

    fn choose(x: &[f32], w: &[f32], scale: f32) -> Choice {
        let [up, down] = [false, true].map(|down| {
            let mut choice = Choice::default();
            for (g, (x, w)) in x.as_chunks::<8>().0.iter().zip(w.as_chunks::<8>().0).enumerate() {
                choose_moved((x, w), scale, down, (&mut choice, g));
            }
            choice
        });
        if down.error < up.error { down } else { up }
    }
}

struct Iq1M;

impl Book for Iq1M {
    const SUB: usize = 16;
    const TOP: u8 = 7;
    const UNIT: f32 = 1.0;
    const MOST: f32 = 1.125;
    const STRETCH: (f32, f32) = (0.9, 2.4);

    fn choose(x: &[f32], w: &[f32], scale: f32) -> Choice {
        let mut choice = Choice::default();
        for (g, (x, w)) in x.as_chunks::<8>().0.iter().zip(w.as_chunks::<8>().0).enumerate() {
            let [up, down] = [false, true].map(|down| {
                let mut tried = choice;
                choose_moved((x, w), scale, down, (&mut tried, g));
                tried
            });
            choice = if down.error < up.error { down } else { up };
        }
        choice
    }
}

pub(crate) fn encode_iq2_xxs(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<LEN, 66>(values, importance, data, |x, w, bytes| {
        let found = super_block::<Iq2Xxs>(x, w);
        put_half(bytes, 0, found.d);
        for j in 0..8 {
            let (choice, at) = (&found.choices[j], 2 + 8 * j);
            for g in 0..4 {
                bytes[at + g] = choice.points[g] as u8;
            }
            bytes[at + 4..at + 8].copy_from_slice(&signs_and_factor(choice, found.factors[j]).to_le_bytes());
        }
    });
}

/// Four times seven signs, of which the eighth follows, and a factor.
fn signs_and_factor(choice: &Choice, factor: u8) -> u32 {
    let signs = choice.turns.iter().enumerate();
    signs.fold(u32::from(factor) << 28, |word, (g, signs)| word | u32::from(signs & 127) << (7 * g))
}

pub(crate) fn encode_iq2_xs(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<LEN, 74>(values, importance, data, |x, w, bytes| {
        let found = super_block::<Iq2Xs>(x, w);
        put_half(bytes, 0, found.d);
        for g in 0..32 {
            let choice = &found.choices[g / 2];
            let word = choice.points[g % 2] | u16::from(choice.turns[g % 2] & 127) << 9;
            bytes[2 + 2 * g..4 + 2 * g].copy_from_slice(&word.to_le_bytes());
        }
        for j in 0..16 {
            bytes[66 + j / 2] |= found.factors[j] << (j % 2 * 4);
        }
    });
}

pub(crate) fn encode_iq2_s(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<LEN, 82>(values, importance, data, |x, w, bytes| {
        let found = super_block::<Iq2S>(x, w);
        put_half(bytes, 0, found.d);
        for g in 0..32 {
            let choice = &found.choices[g / 2];
            bytes[2 + g] = choice.points[g % 2] as u8;
            bytes[34 + g] = choice.turns[g % 2];
            bytes[66 + g / 4] |= ((choice.points[g % 2] >> 8) as u8) << (g % 4 * 2);
        }
        for j in 0..16 {
            bytes[74 + j / 2] |= found.factors[j] << (j % 2 * 4);
        }
    });
}

pub(crate) fn encode_iq3_xxs(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<LEN, 98>(values, importance, data, |x, w, bytes| {
        let found = super_block::<Iq3Xxs>(x, w);
        put_half(bytes, 0, found.d);
        for j in 0..8 {
            let choice = &found.choices[j];
            for (i, point) in choice.points.iter().enumerate() {
                bytes[2 + 8 * j + i] = *point as u8;
            }
            let word = signs_and_factor(choice, found.factors[j]).to_le_bytes();
            bytes[66 + 4 * j..70 + 4 * j].copy_from_slice(&word);
        }
    });
}

pub(crate) fn encode_iq3_s(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<LEN, 110>(values, importance, data, |x, w, bytes| {
        let found = super_block::<Iq3S>(x, w);
        put_half(bytes, 0, found.d);
        for j in 0..8 {
            let choice = &found.choices[j];
            for (i, point) in choice.points.iter().enumerate() {
                bytes[2 + 8 * j + i] = *point as u8;
                bytes[66 + j] |= ((point >> 8) as u8) << i;
            }
            bytes[74 + 4 * j..78 + 4 * j].copy_from_slice(&choice.turns);
            bytes[106 + j / 2] |= found.factors[j] << (j % 2 * 4);
        }
    });
}

pub(crate) fn encode_iq1_s(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<LEN, 50>(values, importance, data, |x, w, bytes| {
        let found = super_block::<Iq1S>(x, w);
        put_half(bytes, 0, found.d);
        for j in 0..8 {
            let choice = &found.choices[j];
            let mut high = u16::from(found.factors[j]) << 12 | u16::from(choice.turns[0]) << 15;
            for g in 0..4 {
                bytes[2 + 4 * j + g] = choice.points[g] as u8;
                high |= choice.points[g] >> 8 << (3 * g);
            }
            bytes[34 + 2 * j..36 + 2 * j].copy_from_slice(&high.to_le_bytes());
        }
    });
}

pub(crate) fn encode_iq1_m(values: &[f32], importance: &[f32], data: &mut [u8], _: &mut [u8]) {
    blocks::<LEN, 56>(values, importance, data, |x, w, bytes| {
        let found = super_block::<Iq1M>(x, w);
        let d = f16::from_f32(found.d).to_bits();
        let mut words: [u16; 4] = std::array::from_fn(|i| (d >> (4 * i) & 15) << 12);
        for g in 0..32 {
            let choice = &found.choices[g / 2];
            bytes[g] = choice.points[g % 2] as u8;
            let high = (choice.points[g % 2] >> 8) as u8 | choice.turns[g % 2] << 3;
            bytes[32 + g / 2] |= high << (g % 2 * 4);
        }
        for (j, factor) in found.factors.iter().enumerate() {
            words[j / 4] |= u16::from(*factor) << (3 * (j % 4));
        }
        for (bytes, word) in bytes[48..].as_chunks_mut::<2>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
    });
}
