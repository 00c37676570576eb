//! Routed units: as a loop over tokens and their experts, from every residency, and the same bits in any company.

use super::{Rig, assert_close, noise, options, product, source, values};
use torchless_device::{
    Activation, BufId, Choice, CpuOptions, Device, ExpertLinear, Experts, Gating, MatrixSource, Residency,
    Routing, Score, SigmoidGate, Store,
};
use torchless_quant::TensorType;

const EXPERTS: usize = 7;
const DIM: usize = 96;
const HIDDEN: usize = 64;
const TOKENS: usize = 41;
const CHOSEN: usize = 3;

const ROUTING: Routing = Routing {
    experts: EXPERTS,
    chosen: CHOSEN,
    score: Score::Sigmoid,
    groups: None,
    normalise: Some(0.0),
    scale: 1.5,
};

struct Weights {
    gate: Vec<MatrixSource>,
    up: Vec<MatrixSource>,
    down: Vec<MatrixSource>,
    gate_bias: Vec<f32>,
    down_bias: Vec<f32>,
    choice_bias: Vec<f32>,
    factors: Vec<f32>,
}

fn weights(ty: TensorType) -> Weights {
    let stack = |seed, rows, cols| -> Vec<_> {
        (0..EXPERTS).map(|e| source("expert", &noise(rows * cols, seed + e), cols, ty)).collect()
    };
    Weights {
        gate: stack(10, HIDDEN, DIM),
        up: stack(20, HIDDEN, DIM),
        down: stack(30, DIM, HIDDEN),
        gate_bias: noise(EXPERTS * HIDDEN, 2),
        down_bias: noise(EXPERTS * DIM, 3),
        choice_bias: noise(EXPERTS, 4),
        factors: noise(EXPERTS, 5),
    }
}

fn unit(gating: Gating, gate: f32, up: f32) -> f32 {
    let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
    match gating {
        Gating::Clamped { alpha, limit } => {
            let (gate, up) = (gate.min(limit), up.clamp(-limit, limit));
            gate * sigmoid(alpha * gate) * (up + 1.0)
        }
        Gating::Plain(_) => gate * sigmoid(gate) * up,
    }
}

fn oracle(w: &Weights, gating: Gating, x: &[f32], scores: &[f32]) -> Vec<f32> {
    let mut choices = [Choice::default(); CHOSEN];
    ROUTING.choose(&mut scores.to_vec(), Some(&w.choice_bias), &mut [0.0; EXPERTS], &mut choices);
    let mut out = vec![0.0; DIM];
    for choice in choices {
        let e = choice.expert as usize;
        let gate = product(&values(&w.gate[e]), x);
        let up = product(&values(&w.up[e]), x);
        let hidden: Vec<f32> =
            (0..HIDDEN).map(|i| unit(gating, gate[i] + w.gate_bias[e * HIDDEN + i], up[i])).collect();
        for (i, y) in product(&values(&w.down[e]), &hidden).iter().enumerate() {
            out[i] += choice.weight * w.factors[e] * (y + w.down_bias[e * DIM + i]);
        }
    }
    out
}

struct Mixture {
    rig: Rig,
    op: Experts,
    out: BufId,
}

impl Mixture {
    fn new(
        options: CpuOptions,
        w: &Weights,
        (x, scores): (&[f32], &[f32]),
        (gating, residency): (Gating, Residency),
    ) -> Self {
        let mut rig = Rig::new(options);
        let input = rig.input(x, DIM, TOKENS);
        let scores = rig.input(scores, EXPERTS, TOKENS);
        let out = rig.device.buffer("out", TOKENS, DIM).unwrap();
        let device = &mut rig.device;
        let mut linear = |sources: &[MatrixSource], bias: Option<&[f32]>| ExpertLinear {
            stack: device.stack(sources, residency).unwrap(),
            bias: bias.map(|b| device.vector("bias", b).unwrap()),
        };
        let (gate, up, down) =
            (linear(&w.gate, Some(&w.gate_bias)), linear(&w.up, None), linear(&w.down, Some(&w.down_bias)));
        let bias = Some(device.vector("choice", &w.choice_bias).unwrap());
        let factors = Some(device.vector("factors", &w.factors).unwrap());
        let routing = ROUTING;
        let (rows, norm, store) = (0, None, Store::Set);
        let op =
            Experts { rows, input, norm, scores, routing, bias, factors, gate, up, down, gating, out, store };
        Self { rig, op, out }
    }

    fn run(&mut self, tokens: &[u32]) -> Vec<f32> {
        let op = self.op;
        self.rig.step(&[(0, 0, tokens)], |device, rows| device.experts(&Experts { rows, ..op }).unwrap());
        self.rig.read(self.out, tokens.len() * DIM)
    }
}

#[test]
fn experts_are_a_loop_over_tokens_in_any_company() {
    let (x, scores) = (noise(TOKENS * DIM, 1), noise(TOKENS * EXPERTS, 6));
    let all: Vec<u32> = (0..TOKENS as u32).collect();
    for gating in [Gating::Plain(Activation::Silu), Gating::Clamped { alpha: 1.702, limit: 2.0 }] {
        for ty in [TensorType::F32, TensorType::Q8_0] {
            let w = weights(ty);
            let want: Vec<f32> = (0..TOKENS)
                .flat_map(|t| oracle(&w, gating, &x[t * DIM..][..DIM], &scores[t * EXPERTS..][..EXPERTS]))
                .collect();
            for options in options() {
                let name = options.kernels.name;
                let mut mixture = Mixture::new(options, &w, (&x, &scores), (gating, Residency::Resident));
                let got = mixture.run(&all);
                assert_close(&got, &want, name);
                for t in [0, 5, TOKENS - 1] {
                    let alone = mixture.run(&[t as u32]);
                    assert_eq!(alone, got[t * DIM..][..DIM], "{name} {ty} token {t}");
                }
                for limit in [None, Some(0), Some(30_000)] {
                    let home = Residency::Mapped { limit };
                    let other = Mixture::new(options, &w, (&x, &scores), (gating, home)).run(&all);
                    assert_close(&other, &want, name);
                }
            }
        }
    }
}

#[test]
fn results_are_added_to_what_was_there() {
    let (x, scores, w) = (noise(DIM, 1), noise(EXPERTS, 6), weights(TensorType::F32));
    let gating = Gating::Plain(Activation::Silu);
    let mut mixture = Mixture::new(options()[0], &w, (&x, &scores), (gating, Residency::Resident));
    let once = mixture.run(&[0]);
    mixture.op.store = Store::Add;
    let twice = mixture.run(&[0]);
    assert_close(&twice, &once.iter().map(|x| 2.0 * x).collect::<Vec<_>>(), "twice");
}

#[test]
fn shapes_of_a_stack_have_to_agree() {
    let mut rig = Rig::new(options()[0]);
    let sources =
        [source("a", &noise(64, 1), 8, TensorType::F32), source("b", &noise(64, 1), 16, TensorType::F32)];
    let error = rig.device.stack(&sources, Residency::Resident).unwrap_err().to_string();
    assert!(error.contains("b F32 [4, 16] in a stack of [8, 8]"), "{error}");
    assert!(rig.device.stack(&[], Residency::Resident).is_err());
}

#[test]
fn gates_are_for_values_or_for_rows() {
    let mut rig = Rig::new(options()[0]);
    let buf = rig.input(&[1.0, -2.0, 3.0, 4.0], 4, 1);
    let wide = rig.input(&[0.0, 0.0, 0.0, 100.0], 4, 1);
    let narrow = rig.input(&[0.0, -100.0], 2, 1);
    let (mut one, mut two) = (Vec::new(), Vec::new());
    rig.step(&[(0, 0, &[0])], |device, rows| {
        device.sigmoid_gate(&SigmoidGate { rows, gate: wide, buf }).unwrap();
        one = vec![0.0; 4];
        device.read(buf, &mut one).unwrap();
        device.sigmoid_gate(&SigmoidGate { rows, gate: narrow, buf }).unwrap();
        two = vec![0.0; 4];
        device.read(buf, &mut two).unwrap();
    });
    assert_eq!((&one[..], &two[..2]), (&[0.5, -1.0, 1.5, 4.0][..], &[0.25, -0.5][..]));
    assert!(two[2..].iter().all(|x| x.abs() < 1e-30));
}
