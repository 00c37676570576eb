//! Attention over a cache: chunks, company, windows, caps, sinks, rotations of all kinds, latents.

use super::{FUNCTIONS, Rig, Tolerance, agree, noise, plan, push, source};
use torchless_base::{BlockCopy, BlockId, StepPlan};
use torchless_device::{
    Attend, CacheShape, CacheType, CacheValues, LatentAttend, Norm, NormKind, Pairing, Residency, Rope,
    RopeBeyond,
};
use torchless_quant::TensorType;

#[derive(Clone, Copy)]
struct Case {
    heads: usize,
    kv_heads: usize,
    k_dim: usize,
    v_dim: usize,
    ty: CacheType,
    pairing: Pairing,
    pairs: usize,
    window: Option<usize>,
    softcap: Option<f32>,
    sinks: bool,
    beyond: bool,
}

const PLAIN: Case = Case {
    heads: 4,
    kv_heads: 2,
    k_dim: 24,
    v_dim: 24,
    ty: CacheType::F32,
    pairing: Pairing::Halves,
    pairs: 12,
    window: None,
    softcap: None,
    sinks: false,
    beyond: false,
};

const TOKENS: usize = 100;

/// A sequence in chunks, one of them beside another sequence, then a copied block.
fn run(rig: &mut Rig, c: Case) -> Vec<f32> {
    let q = rig.input(&noise((TOKENS + 9) * c.heads * c.k_dim, 1), c.heads * c.k_dim);
    let k = rig.input(&noise((TOKENS + 9) * c.kv_heads * c.k_dim, 2), c.kv_heads * c.k_dim);
    let v = rig.input(&noise((TOKENS + 9) * c.kv_heads * c.v_dim, 3), c.kv_heads * c.v_dim);
    let out = rig.buffer(TOKENS + 9, c.heads * c.v_dim);
    let shape = CacheShape {
        blocks: 12,
        block_len: 32,
        kv_heads: c.kv_heads,
        k_dim: c.k_dim,
        v_dim: c.v_dim,
        ty: c.ty,
        values: CacheValues::Own,
    };
    let cache = rig.device.cache(&shape).unwrap();
    let inv_freq: Vec<f32> = (0..c.pairs).map(|i| 0.7_f32.powi(i as i32)).collect();
    let beyond = c.beyond.then(|| RopeBeyond {
        tokens: 60,
        inv_freq: inv_freq.iter().map(|f| f / 3.0).collect(),
        magnitude: 1.3,
    });
    let rope = rig.device.rope(&Rope { inv_freq, magnitude: 1.1, pairing: c.pairing, beyond }).unwrap();
    let sinks = c.sinks.then(|| rig.device.vector("sinks", &noise(c.heads, 4)).unwrap());
    let op = Attend {
        q,
        kv: Some((k, v)),
        out,
        cache,
        heads: c.heads,
        rope: Some(rope),
        scale: 0.3,
        window: c.window,
        softcap: c.softcap,
        sinks,
    };
    let mut got = Vec::new();
    let mut two = plan(0, 41, 30);
    push(&mut two, 1, 0, 9);
    let mut last = plan(0, 99, 1);
    last.copies.push(BlockCopy { from: BlockId(0), to: BlockId(3) });
    for (plan, first) in [(plan(0, 0, 41), 0), (two, 41), (plan(0, 71, 28), 71), (last, 99)] {
        let rows = plan.tokens.len();
        rig.begin_at(&plan, first);
        rig.device.attend(&op).unwrap();
        got.extend(rig.read(out, rows * c.heads * c.v_dim));
        rig.device.end().unwrap();
        // What another layer has put into the cache; queries are made anew, since attending may turn them in place.
        rig.begin_at(&StepPlan { copies: Vec::new(), ..plan.clone() }, first);
        rig.device.attend(&Attend { kv: None, ..op }).unwrap();
        got.extend(rig.read(out, rows * c.heads * c.v_dim));
        rig.device.end().unwrap();
    }
    got
}

#[track_caller]
fn check(case: Case) {
    let tolerance = match case.ty {
        CacheType::F32 => FUNCTIONS,
        CacheType::F16 => Tolerance(1e-3),
        // A key that is turned a little differently may get the next code.
        CacheType::Bf16 | CacheType::Q8_0 => Tolerance(4e-3),
        CacheType::Q4_0 => Tolerance(4e-2),
    };
    agree(tolerance, &|rig: &mut Rig| run(rig, case));
}

#[test]
fn heads_in_groups() {
    check(PLAIN);
    check(Case { kv_heads: 4, ..PLAIN });
    check(Case { kv_heads: 1, ..PLAIN });
    check(Case { heads: 3, kv_heads: 3, k_dim: 10, v_dim: 5, pairs: 5, ..PLAIN });
}

#[test]
fn half_precision() {
    let half = Case { ty: CacheType::F16, ..PLAIN };
    check(half);
    // Shapes that matrix instructions take, and all that goes with them.
    let wide = Case { heads: 8, kv_heads: 2, k_dim: 64, v_dim: 64, pairs: 32, ..half };
    check(wide);
    check(Case { window: Some(37), sinks: true, ..wide });
    check(Case { softcap: Some(2.0), pairing: Pairing::Adjacent, pairs: 20, ..wide });
    check(Case { heads: 20, kv_heads: 1, k_dim: 128, v_dim: 128, pairs: 64, beyond: true, ..half });
    check(Case { heads: 3, kv_heads: 3, k_dim: 192, v_dim: 128, pairs: 16, ..half });
    check(Case { heads: 2, kv_heads: 1, k_dim: 256, v_dim: 256, pairs: 128, ..half });
}

/// The types that have no kernels of their own for matrix instructions: the portable ones take them everywhere.
#[test]
fn other_types_of_cache() {
    for ty in [CacheType::Bf16, CacheType::Q8_0, CacheType::Q4_0] {
        let case = Case { ty, ..PLAIN };
        check(case);
        check(Case { heads: 3, kv_heads: 3, k_dim: 40, v_dim: 33, pairs: 20, ..case });
        let wide = Case { heads: 4, kv_heads: 1, k_dim: 64, v_dim: 128, pairs: 32, ..case };
        check(Case { window: Some(37), sinks: true, softcap: Some(2.0), ..wide });
    }
}

#[test]
fn windows() {
    check(Case { window: Some(1), ..PLAIN });
    check(Case { window: Some(37), ..PLAIN });
    check(Case { window: Some(usize::MAX), ..PLAIN });
}

#[test]
fn caps_and_sinks() {
    check(Case { softcap: Some(0.5), ..PLAIN });
    check(Case { sinks: true, ..PLAIN });
    check(Case { sinks: true, softcap: Some(2.0), window: Some(20), ..PLAIN });
}

#[test]
fn rotations() {
    check(Case { pairing: Pairing::Adjacent, ..PLAIN });
    check(Case { pairs: 5, ..PLAIN });
    check(Case { pairs: 5, pairing: Pairing::Adjacent, ..PLAIN });
    check(Case { beyond: true, ..PLAIN });
}

#[test]
fn long_heads() {
    check(Case { heads: 2, kv_heads: 1, k_dim: 320, v_dim: 256, pairs: 32, ..PLAIN });
}

/// Positions far out are turned as exactly as near ones.
#[test]
fn far_positions() {
    agree(FUNCTIONS, &|rig: &mut Rig| {
        let q = rig.input(&noise(24, 1), 24);
        let k = rig.input(&noise(24, 2), 24);
        let out = rig.buffer(1, 24);
        let shape = CacheShape {
            blocks: 4000,
            block_len: 32,
            kv_heads: 1,
            k_dim: 24,
            v_dim: 24,
            ty: CacheType::F32,
            values: CacheValues::Own,
        };
        let cache = rig.device.cache(&shape).unwrap();
        let inv_freq: Vec<f32> = (0..12).map(|i| 0.5_f32.powi(i)).collect();
        let rope = Rope { inv_freq, magnitude: 1.0, pairing: Pairing::Halves, beyond: None };
        let rope = rig.device.rope(&rope).unwrap();
        let mut got = Vec::new();
        for position in [1023, 32_768, 127_999] {
            rig.begin(&plan(0, position, 1));
            let op = Attend {
                q,
                kv: Some((k, k)),
                out,
                cache,
                heads: 1,
                rope: Some(rope),
                scale: 1.0,
                window: Some(1),
                softcap: None,
                sinks: None,
            };
            rig.device.attend(&op).unwrap();
            got.extend(rig.read(q, 24));
            rig.device.end().unwrap();
        }
        got
    });
}

#[test]
fn latents() {
    const HEADS: usize = 5;
    const PLAIN_DIM: usize = 32;
    const TURNED: usize = 6;
    const LATENT: usize = 64;
    const VALUE: usize = 11;
    for (ty, cache_ty, tolerance) in [
        (TensorType::F32, CacheType::F32, FUNCTIONS),
        (TensorType::Q8_0, CacheType::F32, FUNCTIONS),
        (TensorType::F32, CacheType::Bf16, Tolerance(4e-3)),
        (TensorType::F32, CacheType::Q8_0, Tolerance(4e-3)),
        (TensorType::F32, CacheType::Q4_0, Tolerance(4e-2)),
    ] {
        agree(tolerance, &|rig: &mut Rig| {
            let q = rig.input(&noise(50 * HEADS * (PLAIN_DIM + TURNED), 1), HEADS * (PLAIN_DIM + TURNED));
            let kv = rig.input(&noise(50 * (LATENT + TURNED), 2), LATENT + TURNED);
            let out = rig.buffer(50, HEADS * VALUE);
            let weight = rig.device.vector("norm", &noise(LATENT, 3)).unwrap();
            let mut stack = |seed: usize, rows: usize, cols: usize| {
                let one = |h| source("head", &noise(rows * cols, seed + h), cols, ty);
                let sources: Vec<_> = (0..HEADS).map(one).collect();
                rig.device.stack(&sources, Residency::Resident).unwrap()
            };
            let (key, value) = (stack(10, LATENT, PLAIN_DIM), stack(20, VALUE, LATENT));
            let rope = Rope {
                inv_freq: vec![1.0, 0.3, 0.1],
                magnitude: 1.0,
                pairing: Pairing::Adjacent,
                beyond: None,
            };
            let rope = rig.device.rope(&rope).unwrap();
            let shape = CacheShape {
                blocks: 12,
                block_len: 32,
                kv_heads: 1,
                k_dim: LATENT + TURNED,
                v_dim: LATENT,
                ty: cache_ty,
                values: CacheValues::InKeys,
            };
            let cache = rig.device.cache(&shape).unwrap();
            let norm = Norm { kind: NormKind::Rms { eps: 1e-3 }, weight, groups: 1 };
            let op = LatentAttend { q, kv, norm, key, value, out, cache, heads: HEADS, rope, scale: 0.3 };
            let mut got = Vec::new();
            for (start, len) in [(0, 40), (40, 9), (49, 1)] {
                rig.begin_at(&plan(0, start, len), start);
                rig.device.attend_latent(&op).unwrap();
                got.extend(rig.read(out, len * HEADS * VALUE));
                rig.device.end().unwrap();
            }
            got
        });
    }
}
