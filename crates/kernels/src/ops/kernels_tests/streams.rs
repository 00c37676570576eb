//! Rows that are measured as a whole, against oracles in f64.

use super::{Random, assert_close, bits, cpus};
use crate::{Cpu, SumWeights};

const LENGTHS: [usize; 5] = [1, 15, 64, 257, 5000];

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

#[test]
fn weighted_sums_equal_the_oracle() {
    let mut random = Random::new(51);
    for cpu in cpus() {
        for dim in LENGTHS {
            let (a, b, weights) = (random.values(3 * dim), random.values(4 * dim), random.values(3 * 5));
            let mut out = vec![f32::NAN; 3 * dim];
            let sums = SumWeights { values: &weights, width: 5, first: 2 };
            cpu.weighted_sum(&[&a, &b], sums, dim, &mut out);
            let weight = |i: usize, j: usize| f64::from(weights[i / dim * 5 + 2 + j]);
            let want: Vec<f64> = (0..3 * dim)
                .map(|i| weight(i, 0) * f64::from(a[i]) + weight(i, 1) * f64::from(b[i]))
                .collect();
            assert_close(&out, &want, 3e-7, cpu.kernels.name);
            let mut times = a.clone();
            cpu.times_row(&mut times, &b[..dim]);
            let want: Vec<f64> = (0..3 * dim).map(|i| f64::from(a[i]) * f64::from(b[i % dim])).collect();
            assert_close(&times, &want, 1e-7, cpu.kernels.name);
        }
    }
}

#[test]
fn magnitudes_are_those_of_the_other_row() {
    let mut random = Random::new(53);
    let mean_square = |row: &[f64]| row.iter().map(|v| v * v).sum::<f64>() / row.len() as f64;
    for cpu in cpus() {
        for dim in LENGTHS {
            let like = random.values(2 * dim);
            let mut x = random.values(2 * dim);
            x[dim..].iter_mut().for_each(|v| *v *= 1e-3);
            let (wide_x, wide_like) = (wide(&x), wide(&like));
            cpu.match_magnitude(&mut x, &like, dim, 1e-5);
            let mut want = Vec::new();
            for (x, like) in wide_x.chunks(dim).zip(wide_like.chunks(dim)) {
                let factor = (mean_square(like) / mean_square(x).max(f64::from(1e-5f32))).sqrt();
                want.extend(x.iter().map(|v| v * factor));
            }
            assert_close(&x, &want, 1e-6, cpu.kernels.name);
        }
    }
}

#[test]
fn rows_are_cut_at_their_own_deviations() {
    let mut random = Random::new(57);
    for cpu in cpus() {
        for dim in LENGTHS {
            let x: Vec<f32> = random.values(3 * dim).iter().map(|v| v * 4.0 + 1.0).collect();
            let mut cut = x.clone();
            cpu.cut_below(&mut cut, dim, 0.5);
            let mut want = Vec::new();
            for row in wide(&x).chunks(dim) {
                let mean = row.iter().sum::<f64>() / dim as f64;
                let deviation = (row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / dim as f64).sqrt();
                want.extend(row.iter().map(|v| (v - mean - 0.5 * deviation).max(0.0)));
            }
            assert_close(&cut, &want, 1e-6, cpu.kernels.name);
            assert!(dim == 1 || cut.contains(&0.0) && cut.iter().any(|v| *v > 0.0));
        }
    }
}

#[test]
fn company_and_threads_change_no_bit_of_measured_rows() {
    let mut random = Random::new(59);
    let (dim, n) = (700, 40);
    let (x, like, weights) = (random.values(n * dim), random.values(n * dim), random.values(n * 2));
    let run = |cpu: &Cpu, rows: std::ops::Range<usize>| {
        let part = |v: &[f32]| v[rows.start * dim..rows.end * dim].to_vec();
        let (mut cut, mut matched, mut sum) = (part(&x), part(&x), part(&x));
        cpu.cut_below(&mut cut, dim, 1.0);
        cpu.match_magnitude(&mut matched, &part(&like), dim, 1e-5);
        let sums = SumWeights { values: &weights[2 * rows.start..], width: 2, first: 0 };
        cpu.weighted_sum(&[&part(&x), &part(&like)], sums, dim, &mut sum);
        [bits(&cut), bits(&matched), bits(&sum)].concat()
    };
    for cpu in cpus() {
        let (all, one) = (run(&cpu, 0..n), run(&cpu, 7..8));
        let alone: Vec<u32> = (0..3).flat_map(|k| all[(k * n + 7) * dim..][..dim].to_vec()).collect();
        assert_eq!(one, alone, "{}", cpu.kernels.name);
    }
}
