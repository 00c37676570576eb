//! What this machine can do at best, measured.

use crate::Error;
use crate::open::ModelOptions;
use std::sync::Arc;
use std::time::Instant;
use torchless_device::{Device, Divide, Linear, MatrixSource, MatrixUse, Projection, Residency, Store};
use torchless_device_gpu::GpuDevice;
use torchless_device_gpu::driver::{Driver, Place};
use torchless_kernels::Cpu;
use torchless_quant::TensorType;

/// Limits of the machine with the kernels and threads that a model would run with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceilings {
    /// Reading memory, GB/s; on a GPU bytes read and written while copying.
    pub read_gbps: f64,
    /// Multiplications and additions of 8-bit integers, 10^9 per second; on a GPU those of the best product.
    pub int8_gops: f64,
    /// Multiplications and additions of f32, 10^9 per second; on a GPU those of the best product.
    pub f32_gflops: f64,
    /// The same for weights of `F16` and `BF16`; on a GPU as the others.
    pub half_gflops: f64,
    /// Whose limits these are.
    pub of: CeilingsOf,
}

/// Whose limits were measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CeilingsOf {
    /// The processor's.
    Cpu,
    /// The first GPU's that a model would run on.
    Gpu,
}

/// Larger than the caches of one socket.
const READ_BYTES: usize = 256 << 20;
/// A tenth of a second or so of arithmetic.
const ROUNDS: usize = 8 << 20;
/// The best of a few: a ceiling is what nothing disturbed.
const TRIES: usize = 3;

impl Ceilings {
    /// Measures for about a second.
    ///
    /// # Errors
    /// The options name kernels that this CPU does not run, or a GPU that cannot be used.
    pub fn measure(options: &ModelOptions) -> Result<Self, Error> {
        if let Some(device) = options.placement.first_gpu(options)? {
            return of_gpu(device);
        }
        let cpu = Cpu::new(options.table()?, options.thread_count());
        let data = vec![1u8; READ_BYTES];
        Ok(Self {
            read_gbps: best(|| cpu.probe_read(&data)),
            int8_gops: best(|| cpu.probe_int8(ROUNDS)),
            f32_gflops: best(|| cpu.probe_f32(ROUNDS)),
            half_gflops: best(|| cpu.probe_halves(ROUNDS)),
            of: CeilingsOf::Cpu,
        })
    }
}

/// Bytes that are copied on a GPU at a time, where it has four times as many, and copies that are timed together.
const COPY_BYTES: u64 = 256 << 20;
const COPIES: u64 = 8;
/// Rows of the products that are timed on a GPU, fewer where it has no room for as many, and their other sides, which double until a
/// product takes long enough to be timed.
const PRODUCT_ROWS: usize = 2048;
const LEAST_SIDE: usize = 512;
const MOST_SIDE: usize = 8192;
const LONG_ENOUGH: f64 = 2e-3;
const PRODUCTS: usize = 4;

fn of_gpu(mut device: GpuDevice) -> Result<Ceilings, Error> {
    let read_gbps = copying(device.driver())?;
    let mut side = LEAST_SIDE;
    let mut product = multiplying(&mut device, side)?;
    while product.1 < LONG_ENOUGH && side < MOST_SIDE {
        side *= 2;
        // What a small device has no room for is not measured.
        let Ok(next) = multiplying(&mut device, side) else { break };
        product = (product.0.max(next.0), next.1);
    }
    let gops = product.0;
    Ok(Ceilings { read_gbps, int8_gops: gops, f32_gflops: gops, half_gflops: gops, of: CeilingsOf::Gpu })
}

/// GB/s of copies, bytes read and bytes written.
fn copying(driver: &mut dyn Driver) -> Result<f64, Error> {
    let bytes = COPY_BYTES.min(driver.free_memory() / 4).min(driver.info().max_alloc);
    let [from, to] = [driver.alloc(bytes, "a copy")?, driver.alloc(bytes, "a copy")?];
    let at = |memory| Place { memory, offset: 0 };
    let mut most = 0.0_f64;
    for _ in 0..=TRIES {
        driver.finish()?;
        let start = Instant::now();
        for _ in 0..COPIES {
            driver.copy(at(from), at(to), bytes)?;
        }
        driver.finish()?;
        most = most.max((2 * COPIES * bytes) as f64 / start.elapsed().as_secs_f64() / 1e9);
    }
    driver.free(from);
    driver.free(to);
    Ok(most)
}

/// 10^9 operations per second of a product of half precision with a square of weights, and seconds of one.
fn multiplying(device: &mut GpuDevice, side: usize) -> Result<(f64, f64), Error> {
    let fault = Error::Measuring;
    // Halves between 1/32 and 1/16 and of both signs: zeros would take less power.
    let data: Vec<u8> =
        (0..side * side).flat_map(|i| [(i * 31) as u8, 0x28 | ((i & 1) << 7) as u8]).collect();
    let source = MatrixSource {
        name: "a product".to_owned(),
        purpose: MatrixUse::Product,
        ty: TensorType::F16,
        rows: side,
        cols: side,
        data: Arc::new(data),
        scales: None,
        divide: Divide::Whole,
    };
    let matrix = device.matrix(&source, Residency::Resident).map_err(fault)?;
    let rows = rows_within(device.driver().free_memory(), side);
    let input = device.buffer("input", rows, side).map_err(fault)?;
    let out = device.buffer("output", rows, side).map_err(fault)?;
    device.write(input, &vec![0.25; rows * side]).map_err(fault)?;
    let projections = &[Projection { matrix, bias: None, out, store: Store::Set }];
    let op = Linear { rows, input, norm: None, projections };
    let mut least = f64::INFINITY;
    for _ in 0..=TRIES {
        let start = Instant::now();
        (0..PRODUCTS).try_for_each(|_| device.linear(&op)).map_err(fault)?;
        device.end().map_err(fault)?;
        least = least.min(start.elapsed().as_secs_f64() / PRODUCTS as f64);
    }
    Ok(((2 * rows * side * side) as f64 / least / 1e9, least))
}

/// Rows of which input and output take half of what is free: as much is left for what the product works with.
fn rows_within(free: u64, side: usize) -> usize {
    let row = (side * size_of::<f32>()) as u64;
    usize::try_from(free / (4 * row)).unwrap_or(PRODUCT_ROWS).clamp(1, PRODUCT_ROWS)
}

/// Largest rate of what `work` says it did, in 10^9 per second.
fn best(mut work: impl FnMut() -> u64) -> f64 {
    let rate = |_| {
        let start = Instant::now();
        let done = work() as f64;
        done / start.elapsed().as_secs_f64() / 1e9
    };
    (0..TRIES).map(rate).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_as_large_as_a_device_has_room_for() {
        assert_eq!(rows_within(64 << 30, MOST_SIDE), PRODUCT_ROWS);
        assert_eq!(rows_within(3 << 20, LEAST_SIDE), 384);
        assert_eq!(rows_within(0, LEAST_SIDE), 1);
        assert_eq!(rows_within(u64::MAX, LEAST_SIDE), PRODUCT_ROWS);
    }
}
