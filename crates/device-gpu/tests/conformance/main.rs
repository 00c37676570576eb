//! Every op of a device gives what the CPU's exact kernels give, which are held against plain loops in f64 themselves.
//!
//! Each case runs twice, on the CPU and on a GPU, with the same numbers. `TORCHLESS_TEST_GPU=cuda:0` or `emulated` asks one device only,
//! and fails where it cannot be opened; otherwise every device that is found is asked, and what is not found is said.
#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

mod attention;
mod encoder;
mod experts;
mod largest;
mod memory;
mod recurrent;
mod refused;
mod rows;
mod weights;

use std::sync::Arc;
use torchless_base::{BlockId, SeqId, StepPlan, TokenId, Wanted};
use torchless_device::{
    BufId, CpuDevice, CpuOptions, Divide, EncoderDevice, Gather, MatrixId, MatrixSource, MatrixUse,
    Residency, Store,
};
use torchless_device_gpu::GpuDevice;
use torchless_device_gpu::driver::{DeviceInfo, Dialect, Hardware, Limits};
use torchless_gpu_emulator::{drivers, drivers_of_every_overlay};
use torchless_kernels::{Precision, best};
use torchless_quant::TensorType;

/// A device with tables of rows, which is how tests bring values into buffers.
struct Rig {
    device: Box<dyn EncoderDevice>,
    inputs: Vec<(MatrixId, BufId, usize)>,
}

/// How far a result may be from the CPU's, in parts of the largest value.
#[derive(Clone, Copy)]
struct Tolerance(f32);

/// Sums in another order.
const SUMS: Tolerance = Tolerance(2e-5);
/// The same with functions that vendors compute to a few units in the last place.
const FUNCTIONS: Tolerance = Tolerance(5e-5);

impl Rig {
    fn new(device: Box<dyn EncoderDevice>) -> Self {
        Self { device, inputs: Vec::new() }
    }

    /// A buffer that holds `values` after [`Rig::begin`].
    fn input(&mut self, values: &[f32], width: usize) -> BufId {
        let rows = values.len() / width;
        // As a table it stays as it is: products may round what they read.
        let purpose = MatrixUse::Lookup;
        let table = MatrixSource { purpose, ..source("input", values, width, TensorType::F32) };
        let table = self.device.matrix(&table, Residency::Resident).unwrap();
        let buf = self.device.buffer("input", rows, width).unwrap();
        self.inputs.push((table, buf, rows));
        buf
    }

    fn buffer(&mut self, rows: usize, width: usize) -> BufId {
        self.device.buffer("out", rows, width).unwrap()
    }

    /// Opens a step and fills the inputs from row `first` of their tables on.
    fn begin_at(&mut self, plan: &StepPlan, first: usize) {
        self.device.begin(plan).unwrap();
        self.fill_inputs(first, plan.tokens.len());
    }

    /// Fills the inputs from row `first` of their tables on.
    fn fill_inputs(&mut self, first: usize, count: usize) {
        for (table, out, rows) in self.inputs.clone() {
            let count = count.min(rows - first);
            let rows: Vec<u32> = (first..first + count).map(|row| row as u32).collect();
            self.device.gather(&Gather { table, rows: &rows, out, store: Store::Set }).unwrap();
        }
    }

    fn begin(&mut self, plan: &StepPlan) {
        self.begin_at(plan, 0);
    }

    fn read(&mut self, buf: BufId, len: usize) -> Vec<f32> {
        let mut out = vec![f32::NAN; len];
        self.device.read(buf, &mut out).unwrap();
        out
    }
}

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
    let mut scales = vec![0; rows * ty.row_scale_bytes(cols).unwrap()];
    assert!(ty.encode(values, &mut data, &mut scales), "{ty} has an encoder");
    let scales = (!scales.is_empty()).then(|| Arc::new(scales) as Arc<dyn torchless_device::WeightBytes>);
    let purpose = MatrixUse::Both;
    MatrixSource {
        name: name.to_owned(),
        purpose,
        ty,
        rows,
        cols,
        data: Arc::new(data),
        scales,
        divide: Divide::Whole,
    }
}

/// One sequence from position `start` on, in blocks of 32.
fn plan(seq: u32, start: usize, len: usize) -> StepPlan {
    let mut plan = StepPlan::default();
    push(&mut plan, seq, start, len);
    plan
}

/// Adds a sequence; its blocks lie apart from those of others, and not in order.
fn push(plan: &mut StepPlan, seq: u32, start: usize, len: usize) {
    let tokens: Vec<_> = (0..len).map(|i| TokenId(i as u32)).collect();
    let blocks: Vec<_> = (0..(start + len).div_ceil(32)).map(|i| BlockId(seq * 4 + (i as u32 ^ 1))).collect();
    plan.push((SeqId(seq), start), &tokens, &blocks, Wanted::All);
}

/// Rounding of activations to halves, where a device does that.
const HALVES: Tolerance = Tolerance(3e-3);

/// Runs a case on the CPU and on every GPU, exactly and as fast as it can, and compares what it gives, value by value.
#[track_caller]
fn agree(tolerance: Tolerance, case: &dyn Fn(&mut Rig) -> Vec<f32>) {
    agree_where(&|_| true, tolerance, case);
}

/// As [`agree`], on some of the devices.
#[track_caller]
fn agree_where(
    is_asked: &dyn Fn(&DeviceInfo) -> bool,
    tolerance: Tolerance,
    case: &dyn Fn(&mut Rig) -> Vec<f32>,
) {
    agree_by(Precision::Exact, is_asked, tolerance, case);
    agree_by(Precision::Fast, is_asked, Tolerance(tolerance.0.max(HALVES.0)), case);
}

/// As [`agree_where`], exactly or as fast as a device can.
#[track_caller]
fn agree_by(
    precision: Precision,
    is_asked: &dyn Fn(&DeviceInfo) -> bool,
    tolerance: Tolerance,
    case: &dyn Fn(&mut Rig) -> Vec<f32>,
) {
    let options = CpuOptions { kernels: best(), threads: 2, precision: Precision::Exact };
    let want = case(&mut Rig::new(Box::new(CpuDevice::new(options))));
    assert!(want.iter().all(|x| x.is_finite()), "the CPU gives numbers");
    let limits = Limits { memory: None, programs: torchless_device_gpu::driver::usual_folder() };
    for driver in drivers_of_every_overlay(&limits).into_iter().filter(|d| is_asked(d.info())) {
        let info = driver.info();
        // Its portable kernels are those of the other emulated capability.
        let repeats = info.hardware == Hardware::Cpu && info.dialect == Dialect::Cuda(7, 5);
        let name = format!("{}, {precision:?}", info.name);
        let device = GpuDevice::new(driver, precision).unwrap();
        let is_wanted = if precision == Precision::Exact { !repeats } else { device.rounds() };
        if is_wanted {
            let got = case(&mut Rig::new(Box::new(device)));
            compare(&name, tolerance.0, &got, &want);
        }
    }
}

#[track_caller]
fn compare(what: &str, tolerance: f32, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    let most = want.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let far = |(a, b): (&f32, &f32)| (a - b).abs() > tolerance * most.max(1e-3) || a.is_nan();
    let wrong: Vec<_> = got.iter().zip(want).enumerate().filter(|(_, pair)| far(*pair)).collect();
    let first = wrong.first().map(|(i, (got, want))| format!("value {i} is {got}, should be {want}"));
    assert!(wrong.is_empty(), "{what}: {} of {} values: {first:?}", wrong.len(), want.len());
}
