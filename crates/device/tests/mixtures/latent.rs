//! Latent attention: as attention over keys and values that each head makes of the latents.

use super::{Rig, assert_close, noise, options, product, source, values};
use torchless_device::{
    CacheShape, CacheType, CacheValues, CpuOptions, Device, LatentAttend, MatrixSource, Norm, NormKind,
    Pairing, Residency, Rope,
};
use torchless_quant::TensorType;

const HEADS: usize = 5;
const PLAIN: usize = 32;
const TURNED: usize = 6;
const LATENT: usize = 32;
const VALUE: usize = 11;
const TOKENS: usize = 50;
const SCALE: f32 = 0.3;
const EPS: f32 = 1e-3;

struct Model {
    q: Vec<f32>,
    kv: Vec<f32>,
    norm: Vec<f32>,
    key: Vec<MatrixSource>,
    value: Vec<MatrixSource>,
    inv_freq: Vec<f32>,
}

fn model(ty: TensorType) -> Model {
    let stack = |seed, rows, cols| -> Vec<_> {
        (0..HEADS).map(|h| source("head", &noise(rows * cols, seed + h), cols, ty)).collect()
    };
    Model {
        q: noise(TOKENS * HEADS * (PLAIN + TURNED), 1),
        kv: noise(TOKENS * (LATENT + TURNED), 2),
        norm: noise(LATENT, 3),
        key: stack(10, LATENT, PLAIN),
        value: stack(20, VALUE, LATENT),
        inv_freq: vec![1.0, 0.3, 0.1],
    }
}

fn turn(m: &Model, x: &[f32], position: usize) -> Vec<f32> {
    let mut out = x.to_vec();
    for (i, freq) in m.inv_freq.iter().enumerate() {
        let (sin, cos) = (position as f32 * freq).sin_cos();
        let [a, b] = [x[2 * i], x[2 * i + 1]];
        (out[2 * i], out[2 * i + 1]) = (a * cos - b * sin, a * sin + b * cos);
    }
    out
}

/// Keys and values are expanded, which is what the matrices were trained for.
fn oracle(m: &Model) -> Vec<f32> {
    let latents: Vec<Vec<f32>> =
        m.kv.chunks(LATENT + TURNED)
            .map(|row| {
                let square: f32 = row[..LATENT].iter().map(|x| x * x).sum::<f32>() / LATENT as f32;
                row[..LATENT].iter().zip(&m.norm).map(|(x, w)| x / (square + EPS).sqrt() * w).collect()
            })
            .collect();
    let mut out = Vec::new();
    for (t, row) in m.q.chunks(HEADS * (PLAIN + TURNED)).enumerate() {
        for (h, q) in row.chunks(PLAIN + TURNED).enumerate() {
            let to_latent = values(&m.key[h]);
            let turned = turn(m, &q[PLAIN..], t);
            let scores: Vec<f32> = (0..=t)
                .map(|j| {
                    let key = |i: usize| -> f32 {
                        (0..LATENT).map(|l| to_latent[l * PLAIN + i] * latents[j][l]).sum()
                    };
                    let shared = turn(m, &m.kv[j * (LATENT + TURNED) + LATENT..][..TURNED], j);
                    let plain: f32 = (0..PLAIN).map(|i| q[i] * key(i)).sum();
                    let turned: f32 = turned.iter().zip(&shared).map(|(a, b)| a * b).sum();
                    ((plain + turned) * SCALE).exp()
                })
                .collect();
            let sum: f32 = scores.iter().sum();
            let to_value = values(&m.value[h]);
            let all: Vec<Vec<f32>> = latents[..=t].iter().map(|c| product(&to_value, c)).collect();
            out.extend(
                (0..VALUE).map(|v| scores.iter().zip(&all).map(|(s, value)| s / sum * value[v]).sum::<f32>()),
            );
        }
    }
    out
}

/// Runs all tokens in chunks of `chunk`, every second time beside another sequence.
fn run(options: CpuOptions, m: &Model, chunk: usize, residency: Residency) -> Vec<f32> {
    let mut rig = Rig::new(options);
    let q = rig.input(&m.q, HEADS * (PLAIN + TURNED), TOKENS + 1);
    let kv = rig.input(&m.kv, LATENT + TURNED, TOKENS + 1);
    let device = &mut rig.device;
    let out = device.buffer("out", TOKENS + 1, HEADS * VALUE).unwrap();
    let norm =
        Norm { kind: NormKind::Rms { eps: EPS }, weight: device.vector("norm", &m.norm).unwrap(), groups: 1 };
    let (key, value) = (device.stack(&m.key, residency).unwrap(), device.stack(&m.value, residency).unwrap());
    let (inv_freq, pairing) = (m.inv_freq.clone(), Pairing::Adjacent);
    let rope = Rope { inv_freq, magnitude: 1.0, pairing, beyond: None };
    let rope = device.rope(&rope).unwrap();
    let (ty, values) = (CacheType::F32, CacheValues::InKeys);
    let shape = CacheShape {
        blocks: 8,
        block_len: 16,
        kv_heads: 1,
        k_dim: TURNED + LATENT,
        v_dim: LATENT,
        ty,
        values,
    };
    let cache = device.cache(&shape).unwrap();
    let op = LatentAttend { q, kv, norm, key, value, out, cache, heads: HEADS, rope, scale: SCALE };
    let ids: Vec<u32> = (0..TOKENS as u32).collect();
    let mut all = Vec::new();
    for (i, ids) in ids.chunks(chunk).enumerate() {
        let slices = [(1, i * chunk, ids), (0, 0, &[7][..])];
        let slices = if i % 2 == 0 { &slices[..1] } else { &slices[..] };
        rig.step(slices, |device, _| device.attend_latent(&op).unwrap());
        all.extend(rig.read(out, ids.len() * HEADS * VALUE));
    }
    all
}

#[test]
fn latents_stand_for_keys_and_values() {
    for ty in [TensorType::F32, TensorType::Q8_0] {
        let m = model(ty);
        let want = oracle(&m);
        for options in options() {
            let got = run(options, &m, TOKENS, Residency::Resident);
            assert_close(&got, &want, options.kernels.name);
            for chunk in [1, 7] {
                let cut = run(options, &m, chunk, Residency::Resident);
                assert_eq!(cut, got, "{} {ty} in chunks of {chunk}", options.kernels.name);
            }
            for limit in [None, Some(0)] {
                let other = run(options, &m, TOKENS, Residency::Mapped { limit });
                assert_close(&other, &want, options.kernels.name);
            }
        }
    }
}
