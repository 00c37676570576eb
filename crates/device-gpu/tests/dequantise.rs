//! Weights as kernels read them, held against the reference decoders, bit for bit, on every device of this machine.
#![expect(clippy::unwrap_used, reason = "a failure ends the test")]

use torchless_device_gpu::dequant;
use torchless_device_gpu::driver::{Arg, Driver, Launch, Limits, Place};
use torchless_gpu_emulator::drivers;
use torchless_quant::TensorType;

/// Rows of the matrix that is read, and its width: whole blocks of every type.
const ROWS: usize = 12;
const COLS: usize = 512;

/// SplitMix64: the cases are many and always the same.
struct Random(u64);

impl Random {
    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 56) as u8
    }

    /// Rows of anything, then some of one byte: zeros, largest and smallest codes, infinite and subnormal scales.
    fn plane(&mut self, row: usize) -> Vec<u8> {
        let extremes = [0, 255, 127, 128, 1, 0x7c];
        let mut bytes: Vec<u8> = (0..(ROWS - extremes.len()) * row).map(|_| self.byte()).collect();
        extremes.iter().for_each(|byte| bytes.extend(std::iter::repeat_n(*byte, row)));
        bytes
    }
}

fn uploaded(driver: &mut dyn Driver, bytes: &[u8]) -> Arg {
    let memory = driver.alloc(bytes.len() as u64, "a matrix").unwrap();
    driver.write(Place { memory, offset: 0 }, bytes).unwrap();
    Arg::Memory(memory)
}

fn read_on(driver: &mut dyn Driver, ty: TensorType, blocks: &[u8]) -> Vec<f32> {
    let parts = (ROWS * COLS / dequant::PART) as u32;
    let program = driver.program(&dequant::dequantise(ty)).unwrap();
    let kernel = driver.kernel(program, "dequantise").unwrap();
    let blocks = uploaded(driver, blocks);
    let out = driver.alloc((ROWS * COLS * 4) as u64, "values").unwrap();
    let args = vec![blocks, Arg::Memory(out), Arg::Int(parts as i32)];
    let launch = Launch { kernel, groups: [parts.div_ceil(64), 1, 1], threads: [64, 1, 1], local: 0, args };
    driver.launch(&[launch]).unwrap();
    let mut bytes = vec![0; ROWS * COLS * 4];
    driver.read(Place { memory: out, offset: 0 }, &mut bytes).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
}

/// One NaN is like another: processors differ in what they keep of it.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

fn check(driver: &mut dyn Driver, ty: TensorType) {
    let mut random = Random(ty.info().block_bytes as u64);
    let data = random.plane(ty.row_bytes(COLS).unwrap());
    let scales = random.plane(ty.row_scale_bytes(COLS).unwrap());
    let mut want = vec![0.0; ROWS * COLS];
    ty.decode(&data, &scales, &mut want);
    let got = read_on(driver, ty, &dequant::pack(ty, COLS, &data, &scales));
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let (row, col) = (i / COLS, i % COLS);
        assert!(same(*got, *want), "{ty} on {}, [{row}, {col}]: {got}, not {want}", driver.info().name);
    }
}

#[test]
fn every_type_is_read_as_the_reference_reads_it() {
    for mut driver in drivers(&Limits::default()) {
        TensorType::ALL.iter().for_each(|ty| check(&mut *driver, *ty));
    }
}
