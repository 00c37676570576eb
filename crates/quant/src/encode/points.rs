//! The point of a codebook that comes closest to some values: candidates are looked up by the place of the lattice that the
//! values round to, and compared.

/// Candidates per place of the lattice.
const NEAR: usize = 24;

/// A codebook with the candidates of each place.
pub(crate) struct Search<const DIMS: usize> {
    points: Vec<[f32; DIMS]>,
    /// Between one level and the next.
    middles: Vec<f32>,
    /// `[levels ^ DIMS]`.
    near: Vec<[u16; NEAR]>,
}

impl<const DIMS: usize> Search<DIMS> {
    /// Finds the candidates of all places.
    pub(crate) fn new(points: &[[i8; DIMS]], levels: &[i8]) -> Self {
        let places = levels.len().pow(DIMS as u32);
        let mut rated = Vec::with_capacity(points.len());
        let near = (0..places).map(|place| {
            let mut rest = place;
            let at: [i32; DIMS] = std::array::from_fn(|_| {
                let level = levels[rest % levels.len()];
                rest /= levels.len();
                i32::from(level)
            });
            rated.clear();
            rated.extend(points.iter().enumerate().map(|(number, point)| {
                let off = point.iter().zip(at).map(|(p, a)| (i32::from(*p) - a).pow(2)).sum::<i32>();
                (off, number as u16)
            }));
            rated.select_nth_unstable(NEAR - 1);
            std::array::from_fn(|i| rated[i].1)
        });
        let near = near.collect();
        let middles = levels.windows(2).map(|pair| (f32::from(pair[0]) + f32::from(pair[1])) / 2.0).collect();
        Self { points: points.iter().map(|point| point.map(f32::from)).collect(), middles, near }
    }

    /// The number of the point with the least weighted squared distance from `t`.
    #[inline]
    pub(crate) fn closest(&self, t: &[f32; DIMS], w: &[f32; DIMS]) -> u16 {
        let mut digits = [0; DIMS];
        for middle in &self.middles {
            for (digit, t) in digits.iter_mut().zip(t) {
                *digit += u32::from(t > middle);
            }
        }
        let base = self.middles.len() + 1;
        let place = digits.iter().rev().fold(0, |place, digit| place * base + *digit as usize);
        let (mut best, mut found) = (f32::MAX, 0);
        for &number in &self.near[place] {
            let point = &self.points[usize::from(number)];
            let mut squares = [0.0; DIMS];
            for i in 0..DIMS {
                let d = t[i] - point[i];
                squares[i] = w[i] * d * d;
            }
            // In pairs, which leaves no long chain of additions.
            let (one, two) = squares.split_at(DIMS / 2);
            let off: f32 = one.iter().zip(two).map(|(a, b)| a + b).sum();
            if off < best {
                (best, found) = (off, number);
            }
        }
        found
    }

    /// The coordinates of a point.
    pub(crate) fn point(&self, number: u16) -> &[f32; DIMS] {
        &self.points[usize::from(number)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codebook::grids;

    /// Candidates are few; what the best of all points is better by has to be little.
    #[test]
    fn candidates_lose_little_against_all_points() {
        let search = Search::new(&grids::IQ2_XXS, &[8, 25, 43]);
        let mut state = 1u64;
        let (mut found, mut best) = (0.0, 0.0);
        for _ in 0..500 {
            let t: [f32; 8] = std::array::from_fn(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1u64 << 24) as f32 * 55.0
            });
            let off = |point: [f32; 8]| -> f32 { t.iter().zip(point).map(|(t, p)| (t - p).powi(2)).sum() };
            found += off(*search.point(search.closest(&t, &[1.0; 8])));
            best += grids::IQ2_XXS.iter().map(|point| off(point.map(f32::from))).fold(f32::MAX, f32::min);
        }
        assert!(found <= best * 1.002, "{found} instead of {best}");
    }
}
