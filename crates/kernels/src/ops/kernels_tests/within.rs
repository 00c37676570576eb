//! Attention within texts against an oracle in f64, and what must not change a bit of it.

use super::{Random, assert_close, bits, cpus, single_cpus};
use crate::{Cpu, DistanceRows, Offsets, WithinSpec};
use std::ops::Range;

/// What the distance of two tokens adds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Adds {
    Nothing,
    Bias,
    Keys,
    Queries,
    Both,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    heads: usize,
    dim: usize,
    window: Option<usize>,
    adds: Adds,
    reach: usize,
    span: usize,
}

const BASE: Case = Case { heads: 3, dim: 20, window: None, adds: Adds::Nothing, reach: 700, span: 9 };

struct Data {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

/// Tables of distances as a model has them.
struct Tables {
    bias: Vec<f32>,
    keys: Vec<f32>,
    queries: Vec<f32>,
    columns: Vec<u32>,
}

/// A number that bf16 has too, so that only weights are rounded where factors are.
fn short(x: f32) -> f32 {
    half::bf16::from_f32(x).to_f32()
}

impl Case {
    fn data(&self, rows: usize) -> Data {
        let mut random = Random::new(rows as u64);
        let mut values = |factor: f32| -> Vec<f32> {
            random.values(rows * self.heads * self.dim).iter().map(|x| short(x * factor)).collect()
        };
        Data { q: values(2.0), k: values(2.0), v: values(1.0) }
    }

    fn tables(&self) -> Tables {
        let mut random = Random::new(99);
        let width = self.heads * self.dim;
        let column =
            |d: isize| (-d).clamp(-(self.span as isize), self.span as isize - 1) + self.span as isize;
        let reach = self.reach as isize;
        Tables {
            bias: random.values(self.heads * (2 * self.reach + 1)),
            keys: random.values(2 * self.span * width).into_iter().map(short).collect(),
            queries: random.values(2 * self.span * width).into_iter().map(short).collect(),
            columns: (-reach..=reach).map(|d| column(d) as u32).collect(),
        }
    }

    fn offsets(&self) -> Option<Offsets> {
        let tables = self.tables();
        let products = |keys: bool, queries: bool| {
            Offsets::products(&DistanceRows {
                heads: self.heads,
                dim: self.dim,
                keys: keys.then_some(&tables.keys[..]),
                queries: queries.then_some(&tables.queries[..]),
                columns: &tables.columns,
            })
        };
        Some(match self.adds {
            Adds::Nothing => return None,
            Adds::Bias => Offsets::bias(self.heads, tables.bias.clone()),
            Adds::Keys => products(true, false),
            Adds::Queries => products(false, true),
            Adds::Both => products(true, true),
        })
    }

    fn run(&self, cpu: &Cpu, texts: &[Range<usize>], data: &Data) -> Vec<f32> {
        self.run_with(false, cpu, (texts, data))
    }

    fn run_with(&self, halves: bool, cpu: &Cpu, (texts, data): (&[Range<usize>], &Data)) -> Vec<f32> {
        let offsets = self.offsets();
        let scale = 1.0 / (self.dim as f32).sqrt();
        let Self { heads, dim, window, .. } = *self;
        let spec = WithinSpec { heads, dim, scale, window, offsets: offsets.as_ref(), halves };
        let mut out = vec![f32::NAN; data.q.len()];
        cpu.attend_within(texts, [&data.q, &data.k, &data.v], &spec, &mut out);
        out
    }

    /// The whole of one text, in f64.
    fn oracle(&self, text: &Range<usize>, data: &Data) -> Vec<f64> {
        let tables = self.tables();
        let scale = 1.0 / (self.dim as f64).sqrt();
        let width = self.heads * self.dim;
        let row = |x: &[f32], at: usize| -> Vec<f64> {
            x[at..at + self.dim].iter().map(|&x| f64::from(x)).collect()
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut out = Vec::new();
        for i in text.clone() {
            for h in 0..self.heads {
                let (q, at) = (row(&data.q, i * width + h * self.dim), h * self.dim);
                let score = |j: usize| {
                    let (k, distance) = (row(&data.k, j * width + at), self.reach + j - i);
                    let column = tables.columns[distance] as usize * width + at;
                    let mut score = dot(&q, &k);
                    if matches!(self.adds, Adds::Keys | Adds::Both) {
                        score += dot(&q, &row(&tables.keys, column));
                    }
                    if matches!(self.adds, Adds::Queries | Adds::Both) {
                        score += dot(&k, &row(&tables.queries, column));
                    }
                    let bias = tables.bias[h * (2 * self.reach + 1) + distance];
                    score * scale + if self.adds == Adds::Bias { f64::from(bias) } else { 0.0 }
                };
                let seen = |j: &usize| self.window.is_none_or(|w| i.abs_diff(*j) <= w);
                let weights: Vec<_> = text.clone().filter(seen).map(|j| (j, score(j).exp())).collect();
                let sum: f64 = weights.iter().map(|w| w.1).sum();
                for d in 0..self.dim {
                    let value = |j: usize| f64::from(data.v[j * width + at + d]);
                    out.push(weights.iter().map(|&(j, w)| w * value(j)).sum::<f64>() / sum);
                }
            }
        }
        out
    }

    #[track_caller]
    fn check(&self, n: usize) {
        let (data, text) = (self.data(n), 0..n);
        let want = self.oracle(&text, &data);
        for cpu in single_cpus() {
            let got = self.run(&cpu, std::slice::from_ref(&text), &data);
            assert_close(&got, &want, 5e-5, &format!("{} {self:?} of {n}", cpu.kernels.name));
            // Weights sum to 1, each off by up to 2^-9 of itself; values are up to 1.
            let got = self.run_with(true, &cpu, (std::slice::from_ref(&text), &data));
            assert_close(&got, &want, 5e-3, &format!("{} in bf16, {self:?} of {n}", cpu.kernels.name));
        }
    }
}

#[test]
fn texts_of_all_lengths_equal_the_oracle() {
    for n in [1, 2, 15, 16, 17, 24, 25, 49, 255, 256, 257, 530] {
        BASE.check(n);
    }
}

#[test]
fn heads_of_all_widths_equal_the_oracle() {
    for (heads, dim) in [(1, 1), (2, 16), (1, 33), (1, 300)] {
        Case { heads, dim, ..BASE }.check(40);
        Case { heads, dim, adds: Adds::Both, ..BASE }.check(40);
    }
}

#[test]
fn distances_add_what_the_oracle_says() {
    for adds in [Adds::Bias, Adds::Keys, Adds::Queries, Adds::Both] {
        for n in [1, 5, 17, 40, 300] {
            Case { adds, ..BASE }.check(n);
            Case { adds, span: 40, ..BASE }.check(n);
        }
    }
}

#[test]
fn windows_hide_what_is_far() {
    for window in [0, 1, 8, 100, 1000] {
        for adds in [Adds::Nothing, Adds::Both] {
            Case { window: Some(window), adds, ..BASE }.check(290);
        }
    }
}

#[test]
fn company_and_threads_change_no_bit() {
    for adds in [Adds::Nothing, Adds::Both, Adds::Bias] {
        let case = Case { adds, window: Some(60), ..BASE };
        let texts = [3..40, 40..41, 45..200, 200..200];
        let data = case.data(204);
        let width = case.heads * case.dim;
        for (cpu, halves) in cpus()
            .into_iter()
            .flat_map(|cpu| [false, true].map(|halves| (Cpu::new(cpu.kernels, cpu.workers()), halves)))
        {
            let all = case.run_with(halves, &cpu, (&texts, &data));
            for text in &texts {
                let rows = text.start * width..text.end * width;
                let cut = |x: &[f32]| x[rows.clone()].to_vec();
                let alone = Data { q: cut(&data.q), k: cut(&data.k), v: cut(&data.v) };
                let single = Cpu::new(cpu.kernels, 1);
                let got = case.run_with(halves, &single, (std::slice::from_ref(&(0..text.len())), &alone));
                assert_eq!(bits(&all[rows]), bits(&got), "{} {text:?}", cpu.kernels.name);
            }
            assert!(all[..3 * width].iter().all(|x| x.is_nan()), "rows of no text were written");
        }
    }
}

#[test]
#[should_panic(expected = "offsets reach")]
fn a_text_beyond_the_offsets_is_refused() {
    let case = Case { adds: Adds::Bias, reach: 3, ..BASE };
    case.run(&Cpu::new(crate::best(), 1), std::slice::from_ref(&(0..5)), &case.data(5));
}

#[test]
#[should_panic(expected = "texts overlap")]
fn texts_that_overlap_are_refused() {
    BASE.run(&Cpu::new(crate::best(), 1), &[0..5, 4..6], &BASE.data(6));
}
