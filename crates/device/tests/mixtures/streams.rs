//! Weighted sums of buffers in place, and rows that are measured as a whole, on the CPU.

use super::{Rig, assert_close, noise, options};
use torchless_device::{Blend, Device, Rowwise};

const ROWS: usize = 3;
const WIDTH: usize = 37;

#[test]
fn sums_read_everything_before_they_write() {
    for options in options() {
        let (a, b, weights) = (noise(ROWS * WIDTH, 1), noise(ROWS * WIDTH, 2), noise(ROWS * 6, 3));
        let mut rig = Rig::new(options);
        let (x, y) = (rig.input(&a, WIDTH, ROWS), rig.input(&b, WIDTH, ROWS));
        let by = rig.input(&weights, 6, ROWS);
        let z = rig.device.buffer("z", ROWS, WIDTH).unwrap();
        rig.step(&[(0, 0, &[0, 1, 2])], |device, rows| {
            device.blend(&Blend { rows, inputs: &[x, y], weights: by, outs: &[y, z, x] }).unwrap();
        });
        for (out, buf) in [y, z, x].into_iter().enumerate() {
            let sum = |i: usize| {
                let weights = &weights[i / WIDTH * 6 + out * 2..];
                weights[0] * a[i] + weights[1] * b[i]
            };
            let want: Vec<f32> = (0..ROWS * WIDTH).map(sum).collect();
            assert_close(&rig.read(buf, ROWS * WIDTH), &want, &format!("sum {out}"));
        }
    }
}

#[test]
fn rows_are_measured_as_a_whole() {
    let rms = |row: &[f32]| (row.iter().map(|v| v * v).sum::<f32>() / row.len() as f32).sqrt();
    for options in options() {
        let (a, b, by) = (noise(ROWS * WIDTH, 4), noise(ROWS * WIDTH, 5), noise(WIDTH, 6));
        let mut rig = Rig::new(options);
        let (x, y, z) = (rig.input(&a, WIDTH, ROWS), rig.input(&b, WIDTH, ROWS), rig.input(&a, WIDTH, ROWS));
        let vector = rig.device.vector("by", &by).unwrap();
        rig.step(&[(0, 0, &[0, 1, 2])], |device, rows| {
            device.rowwise(rows, Rowwise::Times(vector), x).unwrap();
            device.rowwise(rows, Rowwise::Magnitude { of: z, floor: 1e-5 }, y).unwrap();
            device.rowwise(rows, Rowwise::CutBelow { deviations: 0.0 }, z).unwrap();
        });
        let want: Vec<f32> = a.iter().enumerate().map(|(i, v)| v * by[i % WIDTH]).collect();
        assert_close(&rig.read(x, ROWS * WIDTH), &want, "times");
        let rows = a.chunks(WIDTH).zip(b.chunks(WIDTH));
        let want: Vec<f32> = rows.flat_map(|(a, b)| b.iter().map(|v| v * rms(a) / rms(b))).collect();
        assert_close(&rig.read(y, ROWS * WIDTH), &want, "magnitude");
        let cut = |row: &[f32]| {
            let mean = row.iter().sum::<f32>() / WIDTH as f32;
            row.iter().map(|v| (v - mean).max(0.0)).collect::<Vec<_>>()
        };
        let want: Vec<f32> = a.chunks(WIDTH).flat_map(cut).collect();
        assert_close(&rig.read(z, ROWS * WIDTH), &want, "cut");
    }
}
