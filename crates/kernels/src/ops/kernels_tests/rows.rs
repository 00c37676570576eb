//! Row-wise operations against oracles in f64, and their independence of company and threads.

use super::{Random, assert_close, bits, cpus, single_cpus};
use crate::{Activation, Cpu, RopePairing, RopeSpec, RowNorm, WeightedRow, rope_angles};

const LENGTHS: [usize; 9] = [1, 5, 15, 16, 17, 64, 255, 1000, 4099];

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

#[test]
fn norms_equal_the_oracle() {
    let mut random = Random::new(1);
    for cpu in single_cpus() {
        for dim in LENGTHS {
            let x: Vec<f32> = random.values(3 * dim).iter().map(|v| v * 5.0 + 3.0).collect();
            let (w, b) = (random.values(dim), random.values(dim));
            let (mut rms, mut layer) = (vec![0.0; 3 * dim], vec![0.0; 3 * dim]);
            cpu.rms_norm(&x, &RowNorm::whole(&w, 1e-5), &mut rms);
            cpu.layer_norm(&x, &RowNorm { bias: &b, ..RowNorm::whole(&w, 1e-5) }, &mut layer);
            let (mut want_rms, mut want_layer) = (Vec::new(), Vec::new());
            for row in wide(&x).chunks(dim) {
                let mean = row.iter().sum::<f64>() / dim as f64;
                let square = row.iter().map(|v| v * v).sum::<f64>() / dim as f64;
                let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / dim as f64;
                for (i, v) in row.iter().enumerate() {
                    let (w, b) = (f64::from(w[i]), f64::from(b[i]));
                    want_rms.push(v / (square + 1e-5f32 as f64).sqrt() * w);
                    want_layer.push((v - mean) / (variance + 1e-5f32 as f64).sqrt() * w + b);
                }
            }
            assert_close(&rms, &want_rms, 3e-7, &format!("{} rms {dim}", cpu.kernels.name));
            assert_close(&layer, &want_layer, 1e-6, &format!("{} layer {dim}", cpu.kernels.name));
        }
    }
}

#[test]
fn groups_of_a_row_are_normed_on_their_own() {
    let mut random = Random::new(3);
    let (x, w) = (random.values(3 * 40), random.values(40));
    for cpu in single_cpus() {
        let (mut shared, mut own, mut one) = (vec![0.0; 120], vec![0.0; 120], vec![0.0; 20]);
        cpu.rms_norm(&x, &RowNorm { group: 20, ..RowNorm::whole(&w[..20], 1e-5) }, &mut shared);
        cpu.rms_norm(&x, &RowNorm { group: 20, ..RowNorm::whole(&w, 1e-5) }, &mut own);
        for i in 0..6 {
            let part = i * 20..(i + 1) * 20;
            cpu.rms_norm(&x[part.clone()], &RowNorm::whole(&w[..20], 1e-5), &mut one);
            assert_eq!(shared[part.clone()], one, "one weight for all, part {i}");
            cpu.rms_norm(&x[part.clone()], &RowNorm::whole(&w[i % 2 * 20..][..20], 1e-5), &mut one);
            assert_eq!(own[part], one, "a weight for each of two, part {i}");
        }
    }
}

#[test]
fn norms_survive_extremes() {
    for cpu in single_cpus() {
        let mut out = [0.0; 20];
        cpu.rms_norm(&[0.0; 20], &RowNorm::whole(&[1.0; 20], 1e-6), &mut out);
        assert_eq!(out, [0.0; 20]);
        cpu.layer_norm(
            &[7.0; 20],
            &RowNorm { bias: &[2.0; 20], ..RowNorm::whole(&[1.0; 20], 1e-6) },
            &mut out,
        );
        assert_eq!(out, [2.0; 20]);
        for bad in [f32::NAN, f32::INFINITY] {
            cpu.rms_norm(&[bad; 20], &RowNorm::whole(&[1.0; 20], 1e-6), &mut out);
            cpu.layer_norm(
                &[bad; 20],
                &RowNorm { bias: &[0.0; 20], ..RowNorm::whole(&[1.0; 20], 1e-6) },
                &mut out,
            );
        }
    }
}

#[test]
fn sums_and_products_equal_the_oracle() {
    let mut random = Random::new(2);
    for cpu in single_cpus() {
        for n in LENGTHS {
            let (x, y) = (random.values(n), random.values(n));
            let zip = |f: fn(f64, f64) -> f64| -> Vec<f64> {
                x.iter().zip(&y).map(|(&x, &y)| f(x.into(), y.into())).collect()
            };
            let check = |f: &dyn Fn(&mut [f32]), want: Vec<f64>| {
                let mut x = x.clone();
                f(&mut x);
                assert_close(&x, &want, 1e-7, cpu.kernels.name);
            };
            check(&|x| cpu.add(x, &y), zip(|x, y| x + y));
            check(&|x| cpu.add_bias(x, &y), zip(|x, y| x + y));
            check(&|x| cpu.add_scaled(x, &y, 0.75), zip(|x, y| x + 0.75 * y));
            check(&|x| cpu.scale(x, -3.0), zip(|x, _| -3.0 * x));
            check(&|x| cpu.softcap(x, 0.5), zip(|x, _| 0.5 * (2.0 * x).tanh()));
        }
    }
}

#[test]
fn a_bias_is_added_to_each_row() {
    for cpu in single_cpus() {
        let mut x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        cpu.add_bias(&mut x, &[10.0, 20.0]);
        assert_eq!(x, [11.0, 22.0, 13.0, 24.0, 15.0, 26.0]);
    }
}

/// The normal distribution function by its series, and by its continued fraction in the tail.
fn normal(x: f64) -> f64 {
    if x > 0.0 {
        return 1.0 - normal(-x);
    }
    let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x > -3.0 {
        let (mut term, mut sum) = (x, x);
        for i in 1..120 {
            term *= x * x / f64::from(2 * i + 1);
            sum += term;
        }
        return 0.5 + density * sum;
    }
    density / (1..200).rev().fold(-x, |tail, i| -x + f64::from(i) / tail)
}

fn oracle(function: Activation, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match function {
        Activation::Silu => x * sigmoid(x),
        Activation::Gelu => x * normal(x),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        // What lies between is held to the bit below.
        Activation::GeluTanhHalf => oracle(Activation::GeluTanh, x),
        Activation::GeluQuick => x * sigmoid(1.702 * x),
        Activation::Relu => x.max(0.0),
        Activation::ReluSquared => x.max(0.0).powi(2),
        Activation::Tanh => x.tanh(),
    }
}

const FUNCTIONS: [Activation; 8] = [
    Activation::Silu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::GeluTanhHalf,
    Activation::GeluQuick,
    Activation::Relu,
    Activation::ReluSquared,
    Activation::Tanh,
];

#[test]
fn activations_equal_the_oracle() {
    let x: Vec<f32> = (-40_000..40_001).map(|i| i as f32 * 0.0005).collect();
    let up: Vec<f32> = x.iter().map(|x| (x * 7.0).sin()).collect();
    for cpu in single_cpus() {
        for function in FUNCTIONS {
            let (mut plain, mut gated) = (x.clone(), x.clone());
            cpu.activate(function, &mut plain);
            cpu.glu(function, &mut gated, &up);
            for (i, &x) in x.iter().enumerate() {
                let want = oracle(function, x.into());
                // Rounded before and after: twice half a unit, and what is below the smallest halves.
                let (near, least) =
                    if function == Activation::GeluTanhHalf { (1.2e-3, 6e-8) } else { (4e-7, 0.0) };
                let bound = near * f64::from(x.abs()).max(want.abs()) + least;
                let what = format!("{} {function:?} of {x}", cpu.kernels.name);
                let (plain, gated) = (f64::from(plain[i]), f64::from(gated[i]));
                assert!((plain - want).abs() <= bound, "{what}: {plain}, should be {want}");
                assert!((gated - want * f64::from(up[i])).abs() <= 2.0 * bound, "{what}: gate {gated}");
            }
        }
    }
}

/// ggml's table, with an entry for each half between its ends. Entries are what f64 gives, rounded once; lanes round in f32 first, which
/// shows where the exact value lies next to the middle of two halves, and ggml's own table has such entries too.
#[test]
fn gelu_in_half_precision_is_a_table_of_halves() {
    let halves = (0..=u16::MAX).map(|bits| half::f16::from_bits(bits).to_f32());
    let x: Vec<f32> = halves.filter(|x| x.abs() < 10.0).collect();
    for cpu in single_cpus() {
        // A quarter of the distance to the next half is rounded away.
        let mut got: Vec<f32> = x.iter().map(|x| x * (1.0 + 1.0 / 8192.0)).collect();
        cpu.activate(Activation::GeluTanhHalf, &mut got);
        let mut others = 0;
        for (&x, &got) in x.iter().zip(&got) {
            let exact = oracle(Activation::GeluTanh, x.into());
            let (want, what) = (half::f16::from_f64(exact), format!("{}: {x}", cpu.kernels.name));
            let there = half::f16::from_f32(got);
            assert!(there.to_f32() == got, "{what}: {got} is no half");
            if there.to_f32() != want.to_f32() {
                let apart = (f64::from(got) - exact).abs() / (want.to_f64() - exact).abs();
                assert!(apart < 1.01, "{what}: {got}, should be {want}");
                others += 1;
            }
        }
        assert!(others < 100, "{}: {others} of {} differ", cpu.kernels.name, x.len());
    }
}

#[test]
fn activations_keep_their_limits() {
    for cpu in single_cpus() {
        for function in FUNCTIONS.into_iter().filter(|f| *f != Activation::Tanh) {
            let mut x = [1e30f32, f32::INFINITY, -200.0, f32::NAN, 0.0, -0.0, -1e30];
            cpu.activate(function, &mut x);
            assert!(x[0] >= 1e30 && x[1] == f32::INFINITY, "{} {function:?}: {x:?}", cpu.kernels.name);
            assert!(x[2] == 0.0 && x[3].is_nan() && x[4] == 0.0 && x[5] == 0.0, "{function:?}: {x:?}");
            assert!(x[6] == 0.0, "{function:?}: {x:?}");
        }
    }
}

fn rope_oracle(x: &[f32], spec: RopeSpec, positions: &[usize], inv_freq: &[f32]) -> Vec<f64> {
    let mut out = wide(x);
    let per_token = x.len() / positions.len();
    for (row, &position) in out.chunks_mut(per_token).zip(positions) {
        for head in row.chunks_mut(spec.head_dim) {
            for (i, &f) in inv_freq.iter().enumerate() {
                let (a, b) = match spec.pairing {
                    RopePairing::Adjacent => (2 * i, 2 * i + 1),
                    RopePairing::Halves => (i, i + spec.dims / 2),
                };
                let (s, c) = (position as f64 * f64::from(f)).sin_cos();
                (head[a], head[b]) = (head[a] * c - head[b] * s, head[a] * s + head[b] * c);
            }
        }
    }
    out
}

#[test]
fn rope_equals_the_oracle() {
    let mut random = Random::new(3);
    let positions = [0, 1, 77, 1_000_000];
    for cpu in single_cpus() {
        for pairing in [RopePairing::Adjacent, RopePairing::Halves] {
            for (head_dim, dims) in [(64, 64), (80, 32), (6, 4), (128, 128), (50, 46), (8, 0)] {
                let inv_freq: Vec<f32> =
                    (0..dims / 2).map(|i| 1e4f32.powf(-2.0 * i as f32 / dims as f32)).collect();
                let spec = RopeSpec { head_dim, dims, pairing };
                let x = random.values(4 * 3 * head_dim);
                let (mut cos, mut sin) = (vec![0.0; 2 * dims], vec![0.0; 2 * dims]);
                rope_angles(&positions, &inv_freq, 1.0, &mut cos, &mut sin);
                let mut got = x.clone();
                cpu.rope(&mut got, spec, &cos, &sin);
                let want = rope_oracle(&x, spec, &positions, &inv_freq);
                assert_close(&got, &want, 2e-7, &format!("{} {spec:?}", cpu.kernels.name));
            }
        }
    }
}

#[test]
fn angles_are_scaled() {
    let (mut cos, mut sin) = ([0.0; 2], [0.0; 2]);
    rope_angles(&[0, 5], &[0.5], 2.0, &mut cos, &mut sin);
    assert_eq!((cos[0], sin[0]), (2.0, 0.0));
    assert_eq!((cos[1], sin[1]), ((2.0 * 2.5f64.cos()) as f32, (2.0 * 2.5f64.sin()) as f32));
}

#[test]
fn softmax_equals_the_oracle() {
    let mut random = Random::new(4);
    for cpu in single_cpus() {
        for len in LENGTHS {
            let x: Vec<f32> = random.values(2 * len).iter().map(|v| v * 40.0).collect();
            let mut got = x.clone();
            cpu.softmax(&mut got, len);
            let mut want = Vec::new();
            for row in wide(&x).chunks(len) {
                let sum: f64 = row.iter().map(|v| v.exp()).sum();
                want.extend(row.iter().map(|v| v.exp() / sum));
            }
            assert_close(&got, &want, 1e-6, &format!("{} {len}", cpu.kernels.name));
        }
    }
}

#[test]
fn softmax_of_masks_and_extremes() {
    for cpu in single_cpus() {
        let mut x = [f32::NEG_INFINITY, 3e38, f32::NEG_INFINITY, -3e38];
        cpu.softmax(&mut x, 4);
        assert_eq!(x, [0.0, 1.0, 0.0, 0.0]);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            cpu.softmax(&mut [bad; 40], 20);
        }
    }
}

#[test]
fn the_first_of_the_largest_is_chosen() {
    let mut random = Random::new(5);
    for cpu in single_cpus() {
        for n in LENGTHS {
            let x: Vec<f32> = (0..n).map(|_| random.below(50) as f32 - 60.0).collect();
            let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(cpu.argmax(&x), x.iter().position(|&v| v == largest), "{}", cpu.kernels.name);
        }
        assert_eq!(cpu.argmax(&[]), None);
        assert_eq!(cpu.argmax(&[f32::NAN; 40]), None);
        assert_eq!(cpu.argmax(&[f32::NEG_INFINITY; 40]), Some(0));
        let mut x = [f32::NAN; 40];
        x[33] = -5.0;
        assert_eq!(cpu.argmax(&x), Some(33));
    }
}

/// Runs `f` on `n` rows of `dim` values with each table and number of threads, whole and row by row.
#[track_caller]
fn check_rows(n: usize, dim: usize, f: &dyn Fn(&Cpu, &mut [f32], usize)) {
    let x = Random::new(6).values(n * dim);
    for table in crate::available() {
        let mut want = x.clone();
        let alone = Cpu::new(table, 1);
        want.chunks_mut(dim).enumerate().for_each(|(i, row)| f(&alone, row, i));
        for threads in 1..=3 {
            let mut got = x.clone();
            f(&Cpu::new(table, threads), &mut got, 0);
            assert!(bits(&got) == bits(&want), "{} with {threads} threads", table.name);
        }
    }
}

#[test]
fn company_and_threads_do_not_change_a_bit() {
    let (n, dim) = (50, 1000);
    let (w, b) = (Random::new(7).values(dim), Random::new(8).values(n * dim));
    let other = |x: &[f32], i: usize| b[i * dim..][..x.len()].to_vec();
    check_rows(n, dim, &|cpu, x, i| cpu.rms_norm(&other(x, i), &RowNorm::whole(&w, 1e-5), x));
    check_rows(n, dim, &|cpu, x, i| {
        cpu.layer_norm(&other(x, i), &RowNorm { bias: &w, ..RowNorm::whole(&w, 1e-5) }, x)
    });
    check_rows(n, dim, &|cpu, x, i| cpu.add(x, &other(x, i)));
    check_rows(n, dim, &|cpu, x, i| cpu.add_scaled(x, &other(x, i), 0.3));
    check_rows(n, dim, &|cpu, x, _| cpu.add_bias(x, &w));
    check_rows(n, dim, &|cpu, x, _| cpu.softcap(x, 0.3));
    check_rows(n, dim, &|cpu, x, _| cpu.softmax(x, dim));
    for function in FUNCTIONS {
        check_rows(n, dim, &|cpu, x, _| cpu.activate(function, x));
        check_rows(n, dim, &|cpu, x, i| cpu.glu(function, x, &other(x, i)));
    }
}

#[test]
fn rope_is_the_same_for_all_numbers_of_threads() {
    let positions: Vec<usize> = (0..50).collect();
    let inv_freq: Vec<f32> = (0..16).map(|i| 0.7f32.powi(i)).collect();
    let (mut cos, mut sin) = (vec![0.0; 50 * 16], vec![0.0; 50 * 16]);
    rope_angles(&positions, &inv_freq, 1.0, &mut cos, &mut sin);
    for pairing in [RopePairing::Adjacent, RopePairing::Halves] {
        let spec = RopeSpec { head_dim: 40, dims: 32, pairing };
        check_rows(50, 1000, &|cpu, x, i| {
            let angles = i * 16..i * 16 + x.len() / 1000 * 16;
            cpu.rope(x, spec, &cos[angles.clone()], &sin[angles]);
        });
    }
}

#[test]
fn empty_inputs_give_empty_outputs() {
    for cpu in cpus() {
        cpu.rms_norm(&[], &RowNorm::whole(&[1.0; 4], 1e-5), &mut []);
        cpu.add(&mut [], &[]);
        cpu.softmax(&mut [], 4);
        cpu.activate(Activation::Silu, &mut []);
        cpu.rope(&mut [], RopeSpec { head_dim: 4, dims: 4, pairing: RopePairing::Halves }, &[], &[]);
    }
}

#[test]
fn gates_equal_the_oracle() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut random = Random::new(23);
    for cpu in cpus() {
        for n in LENGTHS {
            let x = random.values(3 * n);
            let gates: Vec<f32> = random.values(3 * n).iter().map(|v| v * 6.0).collect();
            let mut each = x.clone();
            cpu.sigmoid_gate(&mut each, &gates);
            let want: Vec<f64> = wide(&x).iter().zip(wide(&gates)).map(|(x, g)| x * sigmoid(g)).collect();
            assert_close(&each, &want, 2e-7, cpu.kernels.name);
            let mut rows = x.clone();
            cpu.sigmoid_gate(&mut rows, &gates[..3]);
            let want: Vec<f64> =
                wide(&x).iter().enumerate().map(|(i, x)| x * sigmoid(gates[i / n].into())).collect();
            assert_close(&rows, &want, 2e-7, cpu.kernels.name);
            let mut glu: Vec<f32> = gates.clone();
            let up: Vec<f32> = x.iter().map(|v| v * 4.0).collect();
            cpu.clamped_glu((1.702, 3.0), &mut glu, &up);
            let want: Vec<f64> = gates
                .iter()
                .zip(&up)
                .map(|(g, u)| {
                    let (g, u) = (f64::from(g.min(3.0)), f64::from(u.clamp(-3.0, 3.0)));
                    g * sigmoid(1.702 * g) * (u + 1.0)
                })
                .collect();
            assert_close(&glu, &want, 1e-6, cpu.kernels.name);
        }
    }
}

#[test]
fn rows_are_gathered_and_summed_by_weight() {
    let mut random = Random::new(29);
    for cpu in cpus() {
        for dim in LENGTHS {
            let x = random.values(4 * dim);
            let mut out = vec![f32::NAN; 6 * dim];
            let rows = [3, 0, 1, 1, 2, 3];
            cpu.gather_rows(&x, dim, &rows, &mut out);
            for (out, row) in out.chunks(dim).zip(rows) {
                assert_eq!(bits(out), bits(&x[row as usize * dim..][..dim]));
            }
            let term = |row, factor| WeightedRow { row, factor };
            let terms = [term(2, 0.5), term(0, -1.0), term(3, 2.0), term(3, 0.25)];
            let mut sum = random.values(2 * dim);
            let want: Vec<f64> = (0..2 * dim)
                .map(|i| {
                    let terms = &terms[i / dim * 2..][..2];
                    let value =
                        |t: &WeightedRow| f64::from(t.factor) * f64::from(x[t.row as usize * dim + i % dim]);
                    f64::from(sum[i]) + terms.iter().map(value).sum::<f64>()
                })
                .collect();
            cpu.add_weighted_rows(&x, dim, &terms, &mut sum);
            assert_close(&sum, &want, 3e-7, cpu.kernels.name);
        }
    }
}

#[test]
fn heads_go_first_and_come_back() {
    let mut random = Random::new(41);
    for cpu in cpus() {
        for (n, heads, width) in [(1, 1, 1), (5, 3, 7), (3, 64, 100)] {
            let x = random.values(n * heads * width);
            let part = width / 3..width;
            let mut heads_first = vec![f32::NAN; n * heads * part.len()];
            cpu.heads_first(&x, (heads, width), part.clone(), &mut heads_first);
            let at = (heads - 1) * n * part.len();
            assert_eq!(heads_first[at], x[(heads - 1) * width + part.start]);
            let mut back = x.clone();
            back.chunks_mut(width).for_each(|head| head[part.clone()].fill(f32::NAN));
            cpu.tokens_first(&heads_first, (heads, width), part, &mut back);
            assert_eq!(bits(&back), bits(&x));
        }
    }
}
