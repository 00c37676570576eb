//! Rounded products against sums in `f64` of the rounded numbers, for every kernel that this processor has.

use super::*;
use crate::table::{available, best};
use half::{bf16, f16};

/// Numbers between -1 and 1.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Weights in the file's layout and as numbers.
fn weights(rounding: Rounding, rows: usize, cols: usize) -> (Vec<u8>, Vec<f64>) {
    let (mut bytes, mut numbers) = (Vec::new(), Vec::new());
    for (i, row) in noise(rows * cols, 7).chunks_exact(cols).enumerate() {
        if rounding == Rounding::Bf16 {
            for x in row {
                let x = bf16::from_f32(*x);
                bytes.extend(x.to_le_bytes());
                numbers.push(x.to_f64());
            }
            continue;
        }
        let scale = f16::from_f32(0.001 * (1 + i % 5) as f32);
        for block in row.chunks_exact(32) {
            bytes.extend(scale.to_le_bytes());
            for x in block {
                let code = (x * 127.0).round() as i8;
                bytes.push(code.cast_unsigned());
                numbers.push(f64::from(code) * scale.to_f64());
            }
        }
    }
    (bytes, numbers)
}

/// What activations are rounded to.
fn rounded(rounding: Rounding, row: &[f32]) -> Vec<f64> {
    if rounding == Rounding::Bf16 {
        return row.iter().map(|x| bf16::from_f32(*x).to_f64()).collect();
    }
    let most = row.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let codes = row.iter().map(|x| (x * (127.0 / most)).round_ties_even());
    codes.map(|code| f64::from(code) * f64::from(most / 127.0)).collect()
}

fn check_shape(kernel: Kernel, rounding: Rounding, (n, rows, cols): (usize, usize, usize)) {
    let cpu = Cpu::new(best(), 2);
    let (bytes, numbers) = weights(rounding, rows, cols);
    let ty = if rounding == Rounding::Bf16 { TensorType::BF16 } else { TensorType::Q8_0 };
    let packed = cpu.pack(MatrixRef { ty, layout: Layout::File, rows, cols, data: &bytes, scales: &[] });
    let (x, bias, before) = (noise(n * cols, 3), noise(rows, 5), noise(n * rows, 9));
    let mut acts = RoundedActs::default();
    cpu.round(&x, cols, rounding, &mut acts);
    let (mut set, mut sum) = (vec![0.0; n * rows], before.clone());
    let job = |y, store| RoundedJob { w: packed.as_ref(), bias: Some(&bias[..]), act: None, y, store };
    cpu.products_by(kernel, &mut [job(&mut set, Store::Set), job(&mut sum, Store::Add)], &acts);
    for t in 0..n {
        let x = rounded(rounding, &x[t * cols..][..cols]);
        for r in 0..rows {
            let exact: f64 = numbers[r * cols..][..cols].iter().zip(&x).map(|(w, x)| w * x).sum();
            let exact = exact + f64::from(bias[r]);
            let at = t * rows + r;
            assert!(
                (f64::from(set[at]) - exact).abs() < 1e-4,
                "{n} x {rows} x {cols}: {} for {exact}",
                set[at]
            );
            let exact = exact + f64::from(before[at]);
            assert!((f64::from(sum[at]) - exact).abs() < 1e-4, "added: {} for {exact}", sum[at]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn products_are_those_of_the_rounded_numbers() {
    for rounding in [Rounding::Bf16, Rounding::Int8] {
        for (_, kernel) in x86_kernels(rounding) {
            for n in [1, 2, 12, 13, 16, 17, 32, 33, 71] {
                check_shape(kernel, rounding, (n, 40, 128));
            }
            for (rows, cols) in [(1, 64), (16, 64), (33, 192), (300, 64)] {
                check_shape(kernel, rounding, (9, rows, cols));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_row_does_not_depend_on_its_company() {
    for rounding in [Rounding::Bf16, Rounding::Int8] {
        for (_, kernel) in x86_kernels(rounding) {
            let (rows, cols, n) = (48, 256, 45);
            let cpu = Cpu::new(best(), 2);
            let (bytes, _) = weights(rounding, rows, cols);
            let ty = if rounding == Rounding::Bf16 { TensorType::BF16 } else { TensorType::Q8_0 };
            let w = MatrixRef { ty, layout: Layout::File, rows, cols, data: &bytes, scales: &[] };
            let packed = cpu.pack(w);
            let x = noise(n * cols, 3);
            let run = |x: &[f32]| {
                let mut acts = RoundedActs::default();
                cpu.round(x, cols, rounding, &mut acts);
                let mut y = vec![0.0; x.len() / cols * rows];
                let act = Some(Activation::Gelu);
                let job = RoundedJob { w: packed.as_ref(), bias: None, act, y: &mut y, store: Store::Set };
                cpu.products_by(kernel, &mut [job], &acts);
                y
            };
            let all = run(&x);
            for t in [0, 11, 31, 32, 44] {
                assert_eq!(run(&x[t * cols..][..cols]), all[t * rows..][..rows]);
            }
        }
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    let cpu = Cpu::new(available()[0], 1);
    let mut acts = RoundedActs::default();
    for bad in [f32::NAN, f32::INFINITY] {
        cpu.round(&[1.0, bad, 2.0, 3.0], 2, Rounding::Int8, &mut acts);
        let (factors, _) = acts.scales(&(0..2)).unwrap();
        assert!(!factors[0].is_finite() && factors[1] == 3.0 / 127.0);
        cpu.round(&[1.0, bad], 2, Rounding::Bf16, &mut acts);
        let second = bf16::from_le_bytes(acts.row(0)[2..4].try_into().unwrap());
        assert!(second.is_nan() == bad.is_nan() && !second.is_finite());
    }
}

#[test]
fn the_plainest_table_has_no_rounded_products() {
    let cpu = Cpu::new(available()[0], 1);
    assert_eq!(cpu.rounding(TensorType::BF16, 64), None);
    assert_eq!(Cpu::new(best(), 1).rounding(TensorType::F32, 64), None);
}
