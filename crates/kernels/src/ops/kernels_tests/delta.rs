//! The gated delta rule and its convolution against plain loops in f64, whatever the tokens come with.

use super::{Random, assert_close, bits, cpus};
use crate::{DeltaGate, DeltaShape, HeadSharing};

const SHAPES: [DeltaShape; 3] = [
    DeltaShape { key_heads: 2, value_heads: 4, key_dim: 16, value_dim: 16, sharing: HeadSharing::Runs },
    DeltaShape { key_heads: 3, value_heads: 6, key_dim: 5, value_dim: 19, sharing: HeadSharing::Rounds },
    DeltaShape { key_heads: 1, value_heads: 1, key_dim: 33, value_dim: 7, sharing: HeadSharing::Runs },
];

fn oracle(shape: &DeltaShape, qkv: &[f32], gates: &[DeltaGate], state: &mut [f64]) -> Vec<f64> {
    let DeltaShape { key_heads, value_heads, key_dim, value_dim, sharing } = *shape;
    let unit = |x: &[f32]| -> Vec<f64> {
        let square: f64 = x.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        x.iter().map(|&v| f64::from(v) / (square + 1e-6).sqrt()).collect()
    };
    let mut out = Vec::new();
    for (row, gates) in qkv.chunks(shape.qkv_width()).zip(gates.chunks(value_heads)) {
        for (head, gate) in gates.iter().enumerate() {
            let shared = match sharing {
                HeadSharing::Runs => head * key_heads / value_heads,
                HeadSharing::Rounds => head % key_heads,
            };
            let part = |at: usize, len: usize| &row[at..at + len];
            let query = unit(part(shared * key_dim, key_dim));
            let key = unit(part((key_heads + shared) * key_dim, key_dim));
            let value = part(2 * key_heads * key_dim + head * value_dim, value_dim);
            let state = &mut state[head * key_dim * value_dim..][..key_dim * value_dim];
            for (v, value) in value.iter().enumerate() {
                let column = |k: usize| k * value_dim + v;
                (0..key_dim).for_each(|k| state[column(k)] *= f64::from(gate.decay));
                let known: f64 = (0..key_dim).map(|k| state[column(k)] * key[k]).sum();
                let delta = (f64::from(*value) - known) * f64::from(gate.beta);
                (0..key_dim).for_each(|k| state[column(k)] += key[k] * delta);
                let read: f64 = (0..key_dim).map(|k| state[column(k)] * query[k]).sum();
                out.push(read / (key_dim as f64).sqrt());
            }
        }
    }
    out
}

#[test]
fn the_delta_rule_equals_the_oracle_and_does_not_depend_on_cuts() {
    let mut random = Random::new(31);
    for cpu in cpus() {
        for shape in SHAPES {
            let n = 9;
            let qkv = random.values(n * shape.qkv_width());
            let gates: Vec<DeltaGate> = (0..n * shape.value_heads)
                .map(|_| DeltaGate { decay: random.value().abs(), beta: random.value().abs() })
                .collect();
            let width = shape.value_heads * shape.value_dim;
            let before = random.values(shape.state_len());
            let mut wide: Vec<f64> = before.iter().map(|&v| v.into()).collect();
            let want = oracle(&shape, &qkv, &gates, &mut wide);
            let (mut state, mut out) = (before.clone(), vec![f32::NAN; n * width]);
            cpu.delta_rule(&shape, &qkv, &gates, &mut state, &mut out);
            assert_close(&out, &want, 2e-6, cpu.kernels.name);
            assert_close(&state, &wide, 2e-6, cpu.kernels.name);
            let (mut pieces, mut cut) = (before, vec![f32::NAN; n * width]);
            for (first, end) in [(0, 1), (1, 6), (6, 9)] {
                let rows = &qkv[first * shape.qkv_width()..end * shape.qkv_width()];
                let gates = &gates[first * shape.value_heads..end * shape.value_heads];
                cpu.delta_rule(&shape, rows, gates, &mut pieces, &mut cut[first * width..end * width]);
            }
            assert_eq!((bits(&cut), bits(&pieces)), (bits(&out), bits(&state)), "{shape:?}");
        }
    }
}

#[test]
fn the_convolution_equals_the_oracle_and_does_not_depend_on_cuts() {
    let mut random = Random::new(37);
    for cpu in cpus() {
        for (channels, taps) in [(7, 4), (32, 4), (40, 1), (5, 2)] {
            let n = 8;
            let (x, weight) = (random.values(n * channels), random.values(taps * channels));
            let before = random.values((taps - 1) * channels);
            let all: Vec<f32> = before.iter().chain(&x).copied().collect();
            let want: Vec<f64> = (0..n * channels)
                .map(|i| {
                    let tap = |j: usize| {
                        f64::from(all[i + j * channels]) * f64::from(weight[j * channels + i % channels])
                    };
                    (0..taps).map(tap).sum()
                })
                .collect();
            let (mut history, mut out) = (before.clone(), vec![f32::NAN; n * channels]);
            cpu.causal_conv(&x, &weight, &mut history, &mut out);
            assert_close(&out, &want, 1e-6, cpu.kernels.name);
            assert_eq!(bits(&history), bits(&all[n * channels..]));
            let (mut pieces, mut cut) = (before, vec![f32::NAN; n * channels]);
            for (first, end) in [(0, 1), (1, 3), (3, 8)] {
                let range = first * channels..end * channels;
                cpu.causal_conv(&x[range.clone()], &weight, &mut pieces, &mut cut[range]);
            }
            assert_eq!((bits(&cut), bits(&pieces)), (bits(&out), bits(&history)));
        }
    }
}
