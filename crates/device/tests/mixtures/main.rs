//! Experts, latent attention, linear attention and sums of streams on the CPU, each against a plain loop over single tokens.
#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

mod experts;
mod latent;
mod recurrent;
mod streams;

use std::sync::Arc;
use torchless_base::{BlockId, SeqId, StepPlan, TokenId, Wanted};
use torchless_device::{
    BufId, CpuDevice, CpuOptions, Device, Divide, Embed, MatrixId, MatrixSource, MatrixUse, Residency,
};
use torchless_kernels::{Precision, available};
use torchless_quant::TensorType;

/// Numbers without a pattern, from -1 to 1.
fn noise(len: usize, seed: usize) -> Vec<f32> {
    let mut state = seed as u64 * 2_654_435_761 + 88_172_645_463_325_252;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn source(name: &str, values: &[f32], cols: usize, ty: TensorType) -> MatrixSource {
    let rows = values.len() / cols;
    let mut data = vec![0; rows * ty.row_bytes(cols).unwrap()];
    assert!(ty.encode(values, &mut data, &mut []));
    let purpose = MatrixUse::Both;
    MatrixSource {
        name: name.to_owned(),
        purpose,
        ty,
        rows,
        cols,
        data: Arc::new(data),
        scales: None,
        divide: Divide::Whole,
    }
}

/// The values that a source holds.
fn values(source: &MatrixSource) -> Vec<f32> {
    let mut out = vec![0.0; source.rows * source.cols];
    let row = source.data.bytes().len() / source.rows;
    for (i, out) in out.chunks_mut(source.cols).enumerate() {
        source.ty.decode(&source.data.bytes()[i * row..(i + 1) * row], &[], out);
    }
    out
}

fn product(matrix: &[f32], x: &[f32]) -> Vec<f32> {
    let row = |row: &[f32]| row.iter().zip(x).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32;
    matrix.chunks(x.len()).map(row).collect()
}

fn options() -> Vec<CpuOptions> {
    available()
        .iter()
        .map(|&kernels| CpuOptions { kernels, threads: 2, precision: Precision::Exact })
        .collect()
}

/// A device whose token `i` looks up row `i` of given tables: how tests bring values into buffers.
struct Rig {
    device: CpuDevice,
    tables: Vec<(MatrixId, BufId)>,
}

impl Rig {
    fn new(options: CpuOptions) -> Self {
        Self { device: CpuDevice::new(options), tables: Vec::new() }
    }

    /// A buffer that will hold the rows of `table`, `width` values each, of the step's tokens.
    fn input(&mut self, table: &[f32], width: usize, tokens: usize) -> BufId {
        let source = source("table", table, width, TensorType::F32);
        let matrix = self.device.matrix(&source, Residency::Resident).unwrap();
        let buf = self.device.buffer("input", tokens, width).unwrap();
        self.tables.push((matrix, buf));
        buf
    }

    /// Runs `op` in a step of slices: sequence, first position, tokens. Each has four blocks of its own. Token ids are rows of the
    /// tables.
    fn step(&mut self, slices: &[(u32, usize, &[u32])], op: impl FnOnce(&mut CpuDevice, usize)) {
        let mut plan = StepPlan::default();
        for &(seq, start, tokens) in slices {
            let ids: Vec<_> = tokens.iter().map(|t| TokenId(*t)).collect();
            let blocks: Vec<_> = (0..4).map(|b| BlockId(4 * seq + b)).collect();
            plan.push((SeqId(seq), start), &ids, &blocks, Wanted::All);
        }
        let rows = plan.tokens.len();
        self.device.begin(&plan).unwrap();
        for &(table, out) in &self.tables {
            self.device.embed(&Embed { table, scale: 1.0, positions: None, out }).unwrap();
        }
        op(&mut self.device, rows);
        self.device.end().unwrap();
    }

    fn read(&mut self, buf: BufId, len: usize) -> Vec<f32> {
        let mut out = vec![0.0; len];
        self.device.read(buf, &mut out).unwrap();
        out
    }
}

#[track_caller]
fn assert_close(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(0f32, |m, x| m.max(x.abs()));
    assert!(largest > 0.01, "{what}: nothing was computed");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= 2e-5 * largest, "{what}: [{i}] is {got}, should be {want}");
    }
}
