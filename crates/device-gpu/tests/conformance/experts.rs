//! Mixtures of experts: every way to choose, few rows and many.

use super::{FUNCTIONS, Rig, agree, noise, plan, source};
use torchless_device::{
    Activation, ExpertLinear, Experts, Gating, GroupLimit, GroupScore, Norm, NormKind, Residency, Routing,
    Score, Store,
};
use torchless_quant::TensorType;

const DIM: usize = 64;
const HIDDEN: usize = 96;

#[derive(Clone, Copy)]
struct Case {
    routing: Routing,
    bias: bool,
    factors: bool,
    gating: Gating,
    ty: TensorType,
}

const ROUTING: Routing =
    Routing { experts: 12, chosen: 3, score: Score::Softmax, groups: None, normalise: None, scale: 1.0 };
const PLAIN: Case = Case {
    routing: ROUTING,
    bias: false,
    factors: false,
    gating: Gating::Plain(Activation::Silu),
    ty: TensorType::Q8_0,
};

fn run(rig: &mut Rig, c: Case, rows: usize) -> Vec<f32> {
    let n = c.routing.experts;
    let x = rig.input(&noise(rows * DIM, 1), DIM);
    let scores: Vec<f32> = noise(rows * n, 2).iter().map(|x| x * 3.0).collect();
    let scores = rig.input(&scores, n);
    let out = rig.input(&noise(rows * DIM, 3), DIM);
    let mut linear = |seed: usize, to: usize, from: usize| {
        let sources: Vec<_> =
            (0..n).map(|e| source("expert", &noise(to * from, seed + e), from, c.ty)).collect();
        let stack = rig.device.stack(&sources, Residency::Resident).unwrap();
        let bias = c.bias.then(|| rig.device.vector("bias", &noise(n * to, seed + 77)).unwrap());
        ExpertLinear { stack, bias }
    };
    let (gate, up, down) = (linear(100, HIDDEN, DIM), linear(200, HIDDEN, DIM), linear(300, DIM, HIDDEN));
    let bias = c.bias.then(|| rig.device.vector("bias", &noise(n, 4)).unwrap());
    let factors = c.factors.then(|| rig.device.vector("factors", &noise(n, 5)).unwrap());
    let weight = rig.device.vector("norm", &noise(DIM, 6)).unwrap();
    let norm = Some(Norm { kind: NormKind::Rms { eps: 1e-6 }, weight, groups: 1 });
    rig.begin(&plan(0, 0, rows));
    let op = Experts {
        rows,
        input: x,
        norm,
        scores,
        routing: c.routing,
        bias,
        factors,
        gate,
        up,
        down,
        gating: c.gating,
        out,
        store: if c.bias { Store::Add } else { Store::Set },
    };
    rig.device.experts(&op).unwrap();
    rig.read(out, rows * DIM)
}

#[track_caller]
fn check(case: Case) {
    for rows in [1, 5, 60] {
        agree(FUNCTIONS, &|rig: &mut Rig| run(rig, case, rows));
    }
}

#[test]
fn every_score() {
    check(PLAIN);
    for score in [Score::SoftmaxOfChosen, Score::Sigmoid] {
        check(Case { routing: Routing { score, normalise: Some(0.1), scale: 2.5, ..ROUTING }, ..PLAIN });
    }
    let score = Score::SparseMixer { jitter: 0.1 };
    check(Case { routing: Routing { score, chosen: 2, ..ROUTING }, ..PLAIN });
}

#[test]
fn groups_of_experts() {
    for by in [GroupScore::Largest, GroupScore::TwoLargest] {
        let groups = Some(GroupLimit { groups: 4, chosen: 2, by });
        check(Case { routing: Routing { score: Score::Sigmoid, groups, ..ROUTING }, bias: true, ..PLAIN });
    }
}

#[test]
fn biases_factors_and_gates() {
    check(Case { bias: true, factors: true, ..PLAIN });
    check(Case { gating: Gating::Clamped { alpha: 1.702, limit: 0.5 }, bias: true, ..PLAIN });
    check(Case { gating: Gating::Plain(Activation::GeluTanh), ty: TensorType::F32, ..PLAIN });
}

#[test]
fn more_experts_than_threads() {
    check(Case { routing: Routing { experts: 300, chosen: 9, ..ROUTING }, ty: TensorType::Q4_0, ..PLAIN });
}
