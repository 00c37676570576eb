//! Which row of a table the distance of two tokens has.

use super::spec::DisentangledSpec;

/// Buckets of [`bias_bucket`], half of them for keys behind the query.
pub(super) const BUCKETS: usize = 32;
/// Distance from which on all fall into the last bucket.
const FAR: f64 = 128.0;

/// The bucket of a key `distance` positions behind its query, negative before it: one each up to 8, then logarithmic.
/// In f32 as transformers does it, because borders fall on whole numbers. Raffel et al. 2020, arXiv 1910.10683, 2.1.
pub(super) fn bias_bucket(distance: isize) -> usize {
    let half = BUCKETS / 2;
    let exact = half / 2;
    let n = distance.unsigned_abs();
    let side = if distance > 0 { half } else { 0 };
    if n < exact {
        return side + n;
    }
    let scale = (FAR / exact as f64).ln() as f32;
    let steps = (n as f32 / exact as f32).ln() / scale * (half - exact) as f32;
    side + (exact + steps as usize).min(half - 1)
}

/// The row of the table of embedded distances for a query `distance` positions behind its key.
/// In f32 as transformers does it.
pub(super) fn disentangled_row(distance: isize, spec: &DisentangledSpec) -> u32 {
    let bucket = spec.buckets.map_or(distance, |buckets| log_bucket(distance, buckets, spec.max_distance));
    let span = spec.span as isize;
    bucket.saturating_add(span).clamp(0, 2 * span - 1) as u32
}

/// Distances as they are up to half the buckets, then logarithmic. He et al. 2021, arXiv 2111.09543, their code.
fn log_bucket(distance: isize, buckets: usize, max_distance: usize) -> isize {
    let middle = buckets / 2;
    if distance.unsigned_abs() <= middle {
        return distance;
    }
    let ratio = distance.unsigned_abs() as f32 / middle as f32;
    let most = ((max_distance as f64 - 1.0) / middle as f64) as f32;
    let steps = (ratio.ln() / most.ln() * (middle as f32 - 1.0)).ceil();
    distance.signum() * (steps as isize + middle as isize)
}
