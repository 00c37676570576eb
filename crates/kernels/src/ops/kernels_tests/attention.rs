//! Attention over the cache against an oracle in f64, and what must not change a bit of it.

use super::{Random, assert_close, bits, cpus, single_cpus};
use crate::lanes::half::{f16_to_f32, f32_to_f16};
use crate::{AttendSpec, Cpu, KvLayer, KvShape, KvSlice, KvType, KvValues};
use torchless_quant::TensorType;

/// One sequence's queries, keys and values, and how they are attended to.
#[derive(Clone)]
struct Case {
    heads: usize,
    kv_heads: usize,
    k_dim: usize,
    v_dim: usize,
    block_len: usize,
    dtype: KvType,
    values: KvValues,
    tokens: usize,
    window: Option<usize>,
    softcap: Option<f32>,
    sinks: Option<Vec<f32>>,
}

const BASE: Case = Case {
    heads: 4,
    kv_heads: 2,
    k_dim: 32,
    v_dim: 32,
    block_len: 32,
    dtype: KvType::F32,
    values: KvValues::Own,
    tokens: 70,
    window: None,
    softcap: None,
    sinks: None,
};

struct Data {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Case {
    fn data(&self, seed: u64) -> Data {
        let mut random = Random::new(seed);
        let mut rows = |n: usize, factor: f32| -> Vec<f32> {
            random.values(self.tokens * n).iter().map(|x| x * factor).collect()
        };
        Data {
            q: rows(self.heads * self.k_dim, 3.0),
            k: rows(self.kv_heads * self.k_dim, 2.0),
            v: rows(self.kv_heads * self.v_dim, 1.0),
        }
    }

    fn spec(&self) -> AttendSpec<'_> {
        AttendSpec {
            heads: self.heads,
            scale: 1.0 / (self.k_dim as f32).sqrt(),
            window: self.window,
            softcap: self.softcap,
            sinks: self.sinks.as_deref(),
        }
    }

    fn layer(&self, blocks: usize) -> KvLayer {
        let Self { block_len, kv_heads, k_dim, v_dim, dtype, values, .. } = *self;
        KvLayer::new(KvShape { blocks, block_len, kv_heads, k_dim, v_dim, dtype, values }).unwrap()
    }

    /// Blocks of the sequence, the last one first, `first` being the lowest.
    fn blocks(&self, first: u32) -> Vec<u32> {
        let n = self.tokens.div_ceil(self.block_len) as u32;
        (0..n).rev().map(|i| first + i).collect()
    }

    /// Appends and attends in chunks of these sizes, the last one repeated.
    fn run(&self, cpu: &Cpu, data: &Data, chunks: &[usize]) -> Vec<f32> {
        let blocks = self.blocks(1);
        let mut layer = self.layer(blocks.len() + 1);
        let mut out = vec![f32::NAN; self.tokens * self.heads * self.v_dim];
        let (mut start, mut sizes) = (0, chunks.iter());
        let mut size = self.tokens;
        while start < self.tokens {
            size = sizes.next().copied().unwrap_or(size).min(self.tokens - start);
            let slice = KvSlice { first_row: 0, n_tokens: size, start_pos: start, blocks: &blocks };
            let part = |x: &[f32], row: usize| x[start * row..(start + size) * row].to_vec();
            let k = part(&data.k, self.kv_heads * self.k_dim);
            let v = match self.values {
                KvValues::Own => part(&data.v, self.kv_heads * self.v_dim),
                KvValues::InKeys => Vec::new(),
            };
            cpu.kv_append(&mut layer, &[slice], &k, &v);
            let row = self.heads * self.v_dim;
            let out = &mut out[start * row..(start + size) * row];
            cpu.attend(&layer, &[slice], &part(&data.q, self.heads * self.k_dim), &self.spec(), out);
            start += size;
        }
        out
    }

    /// Keys or values as the cache keeps them. In codes they go through the tensor type of that name, whose blocks are as long as
    /// the cases' vectors.
    fn kept(&self, x: &[f32]) -> Vec<f32> {
        let through = |ty: TensorType| {
            let mut codes = vec![0; ty.row_bytes(x.len()).unwrap()];
            let encode = ty.info().encode.unwrap();
            let mut kept = vec![0.0; x.len()];
            encode(x, &[], &mut codes, &mut []);
            ty.decode(&codes, &[], &mut kept);
            kept
        };
        match self.dtype {
            KvType::F16 => x.iter().map(|x| f16_to_f32(f32_to_f16(*x))).collect(),
            KvType::Bf16 => x.iter().map(|x| half::bf16::from_f32(*x).to_f32()).collect(),
            KvType::F32 => x.to_vec(),
            KvType::Q8_0 => through(TensorType::Q8_0),
            KvType::Q4_0 => through(TensorType::Q4_0),
        }
    }

    fn oracle(&self, data: &Data) -> Vec<f64> {
        let (keys, values) = (self.kept(&data.k), self.kept(&data.v));
        let mut out = Vec::new();
        for i in 0..self.tokens {
            for head in 0..self.heads {
                let kv_head = head / (self.heads / self.kv_heads);
                let q = &data.q[(i * self.heads + head) * self.k_dim..][..self.k_dim];
                let first = self.window.map_or(0, |window| (i + 1).saturating_sub(window));
                let score = |j: usize| {
                    let k = &keys[(j * self.kv_heads + kv_head) * self.k_dim..][..self.k_dim];
                    let dot: f64 = q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum();
                    let score = dot / (self.k_dim as f64).sqrt();
                    self.softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
                };
                let weights: Vec<f64> = (first..=i).map(|j| score(j).exp()).collect();
                let sink = self.sinks.as_ref().map_or(0.0, |sinks| f64::from(sinks[head]).exp());
                let sum = weights.iter().sum::<f64>() + sink;
                out.extend((0..self.v_dim).map(|d| {
                    let value = |j: usize| f64::from(values[(j * self.kv_heads + kv_head) * self.v_dim + d]);
                    weights.iter().zip(first..).map(|(w, j)| w * value(j)).sum::<f64>() / sum
                }));
            }
        }
        out
    }
}

#[track_caller]
fn check(case: Case) {
    let data = case.data(1);
    let want = case.oracle(&data);
    for cpu in single_cpus() {
        let got = case.run(&cpu, &data, &[case.tokens]);
        assert_close(&got, &want, 3e-6, cpu.kernels.name);
    }
}

#[test]
fn attention_equals_the_oracle() {
    check(BASE);
    check(Case { tokens: 1, ..BASE });
    check(Case { tokens: 600, ..BASE });
}

#[test]
fn attention_in_binary16() {
    check(Case { dtype: KvType::F16, ..BASE });
    check(Case { dtype: KvType::F16, heads: 8, kv_heads: 1, k_dim: 64, v_dim: 64, tokens: 300, ..BASE });
}

#[test]
fn attention_in_every_type_of_the_cache() {
    for dtype in [KvType::Bf16, KvType::Q8_0, KvType::Q4_0] {
        check(Case { dtype, ..BASE });
        check(Case { dtype, block_len: 16, window: Some(37), tokens: 300, ..BASE });
        check(Case { dtype, heads: 8, kv_heads: 1, k_dim: 64, v_dim: 96, tokens: 600, ..BASE });
    }
}

/// Vectors that are no whole number of groups are padded; company and chunks change nothing.
#[test]
fn codes_of_the_cache_do_not_depend_on_chunks() {
    for dtype in [KvType::Bf16, KvType::Q8_0, KvType::Q4_0] {
        let case = Case { dtype, k_dim: 24, v_dim: 40, tokens: 290, ..BASE };
        let data = case.data(5);
        for cpu in cpus() {
            let want = case.run(&cpu, &data, &[case.tokens]);
            assert!(want.iter().all(|x| x.is_finite()));
            for chunks in [&[1][..], &[3, 17], &[256]] {
                assert_eq!(bits(&case.run(&cpu, &data, chunks)), bits(&want), "{}", cpu.kernels.name);
            }
        }
    }
}

#[test]
fn attention_with_all_ratios_of_heads() {
    for (heads, kv_heads) in [(1, 1), (3, 3), (6, 2), (7, 1), (14, 2), (5, 5), (32, 1), (50, 2)] {
        check(Case { heads, kv_heads, tokens: 40, ..BASE });
    }
}

#[test]
fn attention_with_all_sizes_of_heads() {
    for (k_dim, v_dim) in
        [(1, 1), (8, 8), (13, 7), (16, 48), (80, 80), (128, 128), (255, 33), (256, 256), (300, 530)]
    {
        check(Case { k_dim, v_dim, heads: 2, kv_heads: 1, tokens: 37, ..BASE });
    }
}

#[test]
fn attention_with_all_lengths_of_blocks() {
    for block_len in [16, 48, 64, 80, 512] {
        check(Case { block_len, tokens: 530, heads: 2, kv_heads: 1, k_dim: 16, v_dim: 16, ..BASE });
    }
}

#[test]
fn attention_in_windows() {
    for window in [1, 2, 15, 16, 17, 33, 255, 256, 257, 500, 1000] {
        check(Case { window: Some(window), tokens: 560, k_dim: 16, v_dim: 16, ..BASE });
    }
}

#[test]
fn a_window_of_no_length_gives_zeros() {
    let case = Case { window: Some(0), ..BASE };
    for cpu in single_cpus() {
        let out = case.run(&cpu, &case.data(1), &[case.tokens]);
        assert!(out.iter().all(|&x| x == 0.0), "{}", cpu.kernels.name);
    }
}

#[test]
fn attention_with_softcap_and_sinks() {
    check(Case { softcap: Some(2.0), ..BASE });
    check(Case { softcap: Some(50.0), tokens: 300, ..BASE });
    check(Case { sinks: Some(vec![-3.0, 0.0, 2.0, 9.0]), ..BASE });
    check(Case {
        sinks: Some(vec![-3.0, 0.0, 2.0, 9.0]),
        softcap: Some(3.0),
        window: Some(40),
        tokens: 300,
        ..BASE
    });
}

fn awkward_cases() -> [Case; 3] {
    let base = Case { tokens: 650, heads: 6, kv_heads: 2, k_dim: 24, v_dim: 40, dtype: KvType::F16, ..BASE };
    [
        Case { window: Some(300), ..base.clone() },
        Case { block_len: 48, sinks: Some(vec![0.5; 6]), softcap: Some(5.0), ..base.clone() },
        base,
    ]
}

#[test]
fn chunks_and_threads_do_not_change_a_bit() {
    for case in awkward_cases() {
        let data = case.data(2);
        for table in crate::available() {
            let want = bits(&case.run(&Cpu::new(table, 1), &data, &[case.tokens]));
            for (threads, chunks) in
                [(1, &[1][..]), (1, &[3, 250, 7, 64]), (2, &[650]), (3, &[1]), (3, &[100, 29])]
            {
                let got = case.run(&Cpu::new(table, threads), &data, chunks);
                assert!(bits(&got) == want, "{}: {threads} threads, chunks {chunks:?}", table.name);
            }
        }
    }
}

/// Several sequences in one step give what each gives alone.
#[test]
fn company_does_not_change_a_bit() {
    for case in awkward_cases() {
        for cpu in cpus() {
            let lens = [1, 30, 7];
            let sequences: Vec<(Data, Vec<u32>)> =
                (0..3).map(|i| (case.data(10 + i), case.blocks(i as u32 * 50))).collect();
            let mut layer = case.layer(150);
            let (mut q, mut k, mut v) = (Vec::new(), Vec::new(), Vec::new());
            let (mut want, mut slices) = (Vec::new(), Vec::new());
            for ((data, blocks), len) in sequences.iter().zip(lens) {
                let start = case.tokens - len;
                let rest = |x: &[f32]| x[x.len() / case.tokens * start..].to_vec();
                let before = KvSlice { first_row: 0, n_tokens: start, start_pos: 0, blocks };
                cpu.kv_append(&mut layer, &[before], &data.k[..start * 2 * 24], &data.v[..start * 2 * 40]);
                slices.push(KvSlice {
                    first_row: q.len() / (6 * 24),
                    n_tokens: len,
                    start_pos: start,
                    blocks,
                });
                q.extend(rest(&data.q));
                k.extend(rest(&data.k));
                v.extend(rest(&data.v));
                want.extend(rest(&case.run(&cpu, data, &[case.tokens])));
            }
            let mut got = vec![0.0; want.len()];
            cpu.kv_append(&mut layer, &slices, &k, &v);
            cpu.attend(&layer, &slices, &q, &case.spec(), &mut got);
            assert!(bits(&got) == bits(&want), "{} with {}", cpu.kernels.name, cpu.workers());
        }
    }
}

#[test]
fn what_a_query_does_not_see_cannot_reach_it() {
    let case = Case { window: Some(20), tokens: 60, ..BASE };
    for cpu in single_cpus() {
        let mut data = case.data(3);
        let row = case.heads * case.v_dim;
        let want = case.run(&cpu, &data, &[60]);
        for (x, bad) in [(&mut data.k, f32::NAN), (&mut data.v, f32::INFINITY)] {
            let dim = x.len() / 60;
            x[30 * dim..31 * dim].fill(bad);
        }
        let got = case.run(&cpu, &data, &[60]);
        for i in 0..60 {
            let same = bits(&got[i * row..][..row]) == bits(&want[i * row..][..row]);
            assert_eq!(same, !(30..50).contains(&i), "{}: query {i}", cpu.kernels.name);
        }
    }
}

#[test]
fn numbers_that_are_none_do_not_crash() {
    for cpu in cpus() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            let case = Case { tokens: 300, softcap: Some(4.0), sinks: Some(vec![bad; 4]), ..BASE };
            let mut data = case.data(4);
            data.q[40] = bad;
            data.k[70] = bad;
            data.v[99] = bad;
            case.run(&cpu, &data, &[7, 100]);
        }
    }
}

#[test]
fn copied_blocks_attend_alike() {
    let case = Case { dtype: KvType::F16, ..BASE };
    let data = case.data(5);
    for cpu in single_cpus() {
        let mut layer = case.layer(10);
        let blocks = [0, 1, 2];
        let all = KvSlice { first_row: 0, n_tokens: case.tokens, start_pos: 0, blocks: &blocks };
        cpu.kv_append(&mut layer, &[all], &data.k, &data.v);
        for (from, to) in [(0, 9), (1, 4), (2, 3)] {
            layer.copy_block(from, to);
        }
        let mut outputs = [&[0, 1, 2], &[9, 4, 3]].map(|blocks| {
            let mut out = vec![0.0; case.tokens * case.heads * case.v_dim];
            cpu.attend(&layer, &[KvSlice { blocks, ..all }], &data.q, &case.spec(), &mut out);
            bits(&out)
        });
        assert!(outputs[0] == outputs[1]);
        outputs[0].fill(0);
        assert!(outputs[0] != outputs[1]);
    }
}

#[test]
fn impossible_shapes_are_refused() {
    let shape = *BASE.layer(1).shape();
    for (bad, want) in [
        (KvShape { block_len: 0, ..shape }, "block of 0 positions"),
        (KvShape { block_len: 17, ..shape }, "block of 17 positions"),
        (KvShape { kv_heads: 0, ..shape }, "0 heads"),
        (KvShape { v_dim: 0, ..shape }, "values of 0"),
        (KvShape { v_dim: shape.k_dim + 1, values: KvValues::InKeys, ..shape }, "inside keys of"),
        (KvShape { blocks: usize::MAX / 4, ..shape }, "address space"),
        (KvShape { v_dim: usize::MAX, ..shape }, "address space"),
    ] {
        let error = KvLayer::new(bad).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains(want), "{error:?} should speak of {want:?}");
    }
}

/// A large cache can be reserved, because only what is written takes memory.
#[test]
#[cfg(target_os = "linux")]
fn reserving_costs_nothing() {
    let mut layer = Case { dtype: KvType::F16, ..BASE }.layer(1 << 22);
    let cpu = &single_cpus()[0];
    let last = [(1 << 22) - 1];
    let slice = KvSlice { first_row: 0, n_tokens: 1, start_pos: 0, blocks: &last };
    cpu.kv_append(&mut layer, &[slice], &[1.0; 64], &[1.0; 64]);
    assert!(layer.bytes() >= 1 << 35);
}

#[test]
fn values_inside_keys_are_as_values_beside_them() {
    for (v_dim, dtype) in
        [(32, KvType::F32), (20, KvType::F32), (20, KvType::F16), (1, KvType::F16), (20, KvType::Bf16)]
    {
        for (block_len, window, tokens) in [(32, None, 70), (16, Some(9), 300), (48, None, 5)] {
            let beside = Case { heads: 30, kv_heads: 1, v_dim, dtype, block_len, window, tokens, ..BASE };
            let inside = Case { values: KvValues::InKeys, ..beside.clone() };
            let mut data = beside.data(3);
            data.v =
                data.k.chunks(beside.k_dim).flat_map(|key| key[beside.k_dim - v_dim..].to_vec()).collect();
            for cpu in cpus() {
                let want = beside.run(&cpu, &data, &[tokens]);
                for chunks in [&[tokens][..], &[1], &[3, 17]] {
                    assert_eq!(bits(&inside.run(&cpu, &data, chunks)), bits(&want), "{}", cpu.kernels.name);
                }
            }
            assert!(inside.layer(9).bytes() < beside.layer(9).bytes());
        }
    }
}
