//! Lookups and products, of every type of weights that has an encoder.

use super::{FUNCTIONS, Rig, SUMS, Tolerance, agree, agree_by, agree_where, noise, plan, source};
use torchless_device::{
    Activation, BufId, Embed, Glu, Linear, MatrixId, Norm, NormKind, Projection, Residency, Store,
};
use torchless_device_gpu::driver::{DeviceInfo, Dialect, Hardware};
use torchless_kernels::Precision;
use torchless_quant::TensorType;

const COLS: usize = 256;
const OUT: usize = 83;

/// The types that products are made with.
fn types() -> impl Iterator<Item = TensorType> {
    let tested = |ty: &TensorType| {
        torchless_kernels::packed_bytes(*ty, OUT, COLS).is_some() && ty.info().encode.is_some()
    };
    TensorType::ALL.iter().copied().filter(tested)
}

fn matrix(rig: &mut Rig, rows: usize, cols: usize, (seed, ty): (usize, TensorType)) -> MatrixId {
    let source = source("weights", &noise(rows * cols, seed), cols, ty);
    rig.device.matrix(&source, Residency::Resident).unwrap()
}

fn project(matrix: MatrixId, out: BufId) -> Projection {
    Projection { matrix, bias: None, out, store: Store::Set }
}

/// Rows looked up, a product with a bias, another one on top, and a gated unit of the normed rows.
fn run(rig: &mut Rig, ty: TensorType, tokens: usize) -> Vec<f32> {
    let (gate, up) = (matrix(rig, OUT, COLS, (1, ty)), matrix(rig, OUT, COLS, (2, ty)));
    let bias = rig.device.vector("bias", &noise(OUT, 3)).unwrap();
    let weight = rig.device.vector("norm", &noise(COLS, 4)).unwrap();
    let (x, y, z) = (rig.buffer(tokens, COLS), rig.buffer(tokens, OUT), rig.buffer(tokens, OUT));
    rig.begin(&plan(0, 0, tokens));
    rig.device.embed(&Embed { table: gate, scale: 0.5, positions: Some(up), out: x }).unwrap();
    let first = Projection { bias: Some(bias), ..project(gate, y) };
    let op = Linear { rows: tokens, input: x, norm: None, projections: &[first] };
    rig.device.linear(&op).unwrap();
    let second = Projection { store: Store::Add, ..project(up, y) };
    let norm = Some(Norm { kind: NormKind::Rms { eps: 1e-6 }, weight, groups: 1 });
    rig.device
        .linear(&Linear { rows: tokens, input: x, norm, projections: &[second, project(gate, z)] })
        .unwrap();
    let mut got = rig.read(x, tokens * COLS);
    got.extend(rig.read(y, tokens * OUT));
    got.extend(rig.read(z, tokens * OUT));
    let (gate, up, act) = ((gate, Some(bias)), (up, None), Activation::Silu);
    rig.device.glu(&Glu { rows: tokens, input: x, norm, gate, up, act, out: y }).unwrap();
    got.extend(rig.read(y, tokens * OUT));
    got
}

#[test]
fn every_type_by_few_rows_and_by_many() {
    // Emulated waves and SIMD groups take every type alike.
    let is_usual = |ty| [TensorType::F32, TensorType::Q4_0, TensorType::Q6_K].contains(&ty);
    for ty in types() {
        let is_asked = |info: &DeviceInfo| {
            let takes_alike = matches!(info.dialect, Dialect::Hip(_) | Dialect::Metal);
            info.hardware == Hardware::Gpu || !takes_alike || is_usual(ty)
        };
        for tokens in [1, 3, 37, 80] {
            agree_where(&is_asked, FUNCTIONS, &|rig: &mut Rig| run(rig, ty, tokens));
        }
    }
}

#[test]
fn sizes_that_fill_no_tile() {
    for (rows, cols, tokens) in [
        (1, 32, 1),
        (65, 96, 9),
        (130, 64, 64),
        (64, 160, 65),
        (3, 2048, 130),
        (257, 32, 8),
        (700, 8192, 7),
        (300, 512, 300),
    ] {
        for ty in [TensorType::F32, TensorType::Q8_0, TensorType::Q4_0] {
            agree(SUMS, &|rig: &mut Rig| {
                let w = matrix(rig, rows, cols, (5, ty));
                let x = rig.input(&noise(tokens * cols, 6), cols);
                let y = rig.buffer(tokens, rows);
                rig.begin(&plan(0, 0, tokens));
                let op = Linear { rows: tokens, input: x, norm: None, projections: &[project(w, y)] };
                rig.device.linear(&op).unwrap();
                rig.read(y, tokens * rows)
            });
        }
    }
}

#[test]
fn rows_of_no_whole_number_of_eights() {
    for (cols, tokens) in [(1, 1), (13, 5), (44, 20), (100, 70)] {
        for ty in [TensorType::F32, TensorType::F16, TensorType::BF16] {
            agree(SUMS, &|rig: &mut Rig| {
                let w = matrix(rig, 9, cols, (5, ty));
                let x = rig.input(&noise(tokens * cols, 6), cols);
                let y = rig.buffer(tokens, 9);
                rig.begin(&plan(0, 0, tokens));
                let op = Linear { rows: tokens, input: x, norm: None, projections: &[project(w, y)] };
                rig.device.linear(&op).unwrap();
                rig.read(y, tokens * 9)
            });
        }
    }
}

fn is_hip(info: &DeviceInfo) -> bool {
    matches!(info.dialect, Dialect::Hip(_))
}

/// Activations of few rows are two bytes a value there, 15 bits, so that little of what they are is lost.
#[test]
fn dot_products_of_bytes_keep_fifteen_bits() {
    use TensorType as T;
    let coded = [T::Q4_0, T::Q4_1, T::Q5_0, T::Q5_1, T::Q8_0, T::Q2_K, T::Q3_K, T::Q4_K, T::Q5_K, T::Q6_K];
    for ty in coded.into_iter().chain([T::IQ4_NL, T::IQ4_XS, T::MXFP4]) {
        assert!(types().any(|tested| tested == ty), "{ty}");
        for tokens in [1, 11] {
            agree_by(Precision::Fast, &is_hip, Tolerance(1e-4), &|rig: &mut Rig| run(rig, ty, tokens));
        }
    }
}

/// Rows far larger and far smaller than halves reach, and columns of zeros.
#[test]
fn rows_of_any_size_are_multiplied() {
    const COLS: usize = 64;
    for (ty, tokens) in [(TensorType::Q4_0, 3), (TensorType::Q4_0, 40), (TensorType::BF16, 40)] {
        for size in [1e-18, 1e-6, 1e6, 1e15] {
            agree(SUMS, &|rig: &mut Rig| {
                let w = matrix(rig, 70, COLS, (5, ty));
                let scaled: Vec<f32> = noise(tokens * COLS, 6).iter().map(|x| x * size).collect();
                let x = rig.input(&scaled, COLS);
                let y = rig.buffer(tokens, 70);
                rig.begin(&plan(0, 0, tokens));
                let op = Linear { rows: tokens, input: x, norm: None, projections: &[project(w, y)] };
                rig.device.linear(&op).unwrap();
                rig.read(y, tokens * 70).iter().map(|value| value / size).collect()
            });
        }
    }
}
