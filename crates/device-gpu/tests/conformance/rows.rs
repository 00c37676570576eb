//! Ops on rows of activations: norms, functions, sums, copies.

use super::{FUNCTIONS, HALVES, Rig, SUMS, Tolerance, agree, noise, plan};
use torchless_device::{
    Activation, Blend, Elementwise, Norm, NormKind, PoolKind, PoolRows, Rowwise, Select, SigmoidGate, Split,
    SplitPart, Unfold,
};

const ROWS: usize = 7;

#[test]
fn norms_of_rows_and_of_their_parts() {
    for (width, groups, weights) in [(96, 1, 96), (96, 3, 32), (96, 3, 96), (1031, 1, 1031)] {
        for kind in [false, true] {
            agree(SUMS, &|rig: &mut Rig| {
                let x = rig.input(&noise(ROWS * width, 1), width);
                let out = rig.buffer(ROWS, width);
                let weight = rig.device.vector("weight", &noise(weights, 2)).unwrap();
                let bias = rig.device.vector("bias", &noise(weights, 3)).unwrap();
                let kind = match kind {
                    true => NormKind::Layer { eps: 1e-5, bias: Some(bias) },
                    false => NormKind::Rms { eps: 1e-6 },
                };
                let norm = Norm { kind, weight, groups };
                rig.begin(&plan(0, 0, ROWS));
                rig.device.norm(ROWS, x, &norm, out).unwrap();
                rig.device.norm(ROWS, x, &norm, x).unwrap();
                let mut got = rig.read(out, ROWS * width);
                got.extend(rig.read(x, ROWS * width));
                got
            });
        }
    }
}

#[test]
fn a_layer_norm_without_bias() {
    agree(SUMS, &|rig: &mut Rig| {
        let x = rig.input(&noise(ROWS * 40, 1), 40);
        let weight = rig.device.vector("weight", &noise(40, 2)).unwrap();
        let norm = Norm { kind: NormKind::Layer { eps: 1e-5, bias: None }, weight, groups: 1 };
        rig.begin(&plan(0, 0, ROWS));
        rig.device.norm(ROWS, x, &norm, x).unwrap();
        rig.read(x, ROWS * 40)
    });
}

#[test]
fn activations() {
    use Activation as A;
    for act in [A::Silu, A::Gelu, A::GeluTanh, A::GeluQuick, A::Relu, A::ReluSquared, A::Tanh] {
        agree(FUNCTIONS, &|rig: &mut Rig| {
            let values: Vec<f32> = noise(ROWS * 50, 4).iter().map(|x| x * 9.0).collect();
            let x = rig.input(&values, 50);
            rig.begin(&plan(0, 0, ROWS));
            rig.device.activate(ROWS, act, x).unwrap();
            rig.read(x, ROWS * 50)
        });
    }
}

/// Where functions differ by units in the last place, halves differ by one of theirs.
#[test]
fn gelu_in_half_precision() {
    agree(HALVES, &|rig: &mut Rig| {
        let values: Vec<f32> = noise(ROWS * 50, 4).iter().map(|x| x * 12.0).collect();
        let x = rig.input(&values, 50);
        rig.begin(&plan(0, 0, ROWS));
        rig.device.activate(ROWS, Activation::GeluTanhHalf, x).unwrap();
        rig.read(x, ROWS * 50)
    });
}

#[test]
fn values_one_by_one() {
    agree(Tolerance(1e-6), &|rig: &mut Rig| {
        let x = rig.input(&noise(ROWS * 50, 4), 50);
        let y = rig.input(&noise(ROWS * 120, 5), 120);
        let z = rig.input(&noise(ROWS * 50, 6), 50);
        rig.begin(&plan(0, 0, ROWS));
        rig.device.elementwise(ROWS, Elementwise::Clamp(0.4), x).unwrap();
        rig.device.elementwise(ROWS, Elementwise::Scale(3.0), x).unwrap();
        rig.device.elementwise(ROWS, Elementwise::Multiply { by: y, first: 60 }, x).unwrap();
        rig.device.add(ROWS, z, 0.25, x).unwrap();
        rig.device.sigmoid_gate(&SigmoidGate { rows: ROWS, gate: z, buf: x }).unwrap();
        rig.read(x, ROWS * 50)
    });
}

#[test]
fn gates_of_runs() {
    for gates in [1, 5, 50] {
        agree(FUNCTIONS, &|rig: &mut Rig| {
            let x = rig.input(&noise(ROWS * 50, 4), 50);
            let gate = rig.input(&noise(ROWS * gates, 5), gates);
            rig.begin(&plan(0, 0, ROWS));
            rig.device.sigmoid_gate(&SigmoidGate { rows: ROWS, gate, buf: x }).unwrap();
            rig.read(x, ROWS * 50)
        });
    }
}

#[test]
fn rows_are_chosen_again_and_again() {
    agree(Tolerance(0.0), &|rig: &mut Rig| {
        let x = rig.input(&noise(ROWS * 33, 4), 33);
        let out = rig.buffer(ROWS, 33);
        rig.begin(&plan(0, 0, ROWS));
        let mut got = Vec::new();
        // More lists than there is room for: earlier ones have to be on their way first.
        for turn in 0..40 {
            let rows: Vec<usize> = (0..ROWS).map(|i| (i * 3 + turn) % ROWS).collect();
            rig.device.select(&Select { input: x, rows: &rows, out }).unwrap();
            rig.device.add(ROWS, out, 1.0, x).unwrap();
            rig.device.elementwise(ROWS, Elementwise::Scale(0.5), x).unwrap();
        }
        got.extend(rig.read(x, ROWS * 33));
        got
    });
}

#[test]
fn heads_are_taken_apart() {
    agree(Tolerance(0.0), &|rig: &mut Rig| {
        let x = rig.input(&noise(ROWS * 30, 4), 30);
        let (a, b) = (rig.input(&noise(ROWS * 20, 5), 20), rig.buffer(ROWS, 15));
        rig.begin(&plan(0, 0, ROWS));
        let parts = &[
            SplitPart { width: 3, out: a, at: 2 },
            SplitPart { width: 2, out: b, at: 5 },
            SplitPart { width: 1, out: b, at: 0 },
        ];
        rig.device.split(&Split { rows: ROWS, input: x, heads: 5, parts }).unwrap();
        let mut got = rig.read(a, ROWS * 20);
        got.extend(rig.read(b, ROWS * 15));
        got
    });
}

#[test]
fn texts_become_rows() {
    for kind in [PoolKind::Mean, PoolKind::MeanSqrt, PoolKind::Weighted, PoolKind::Max] {
        agree(SUMS, &|rig: &mut Rig| {
            let x = rig.input(&noise(300 * 20, 4), 20);
            let out = rig.buffer(3, 20);
            rig.begin(&plan(0, 0, 300));
            let texts = &[0..1, 5..290, 290..300];
            rig.device.pool_rows(&PoolRows { input: x, texts, kind, out }).unwrap();
            rig.read(out, 3 * 20)
        });
    }
}

#[test]
fn neighbours_end_with_their_text() {
    agree(Tolerance(0.0), &|rig: &mut Rig| {
        let x = rig.input(&noise(9 * 4, 4), 4);
        let out = rig.buffer(9, 5 * 4);
        let mut two = plan(0, 0, 6);
        super::push(&mut two, 1, 0, 3);
        rig.begin(&two);
        rig.device.unfold(&Unfold { input: x, taps: 5, out }).unwrap();
        rig.read(out, 9 * 20)
    });
}

#[test]
fn sums_of_streams_go_where_they_came_from() {
    agree(SUMS, &|rig: &mut Rig| {
        let streams = [1, 2, 3].map(|seed| rig.input(&noise(ROWS * 40, seed), 40));
        let weights = rig.input(&noise(ROWS * 6, 4), 6);
        rig.begin(&plan(0, 0, ROWS));
        let (inputs, outs) = (&streams[..], &[streams[2], streams[0]]);
        rig.device.blend(&Blend { rows: ROWS, inputs, weights, outs }).unwrap();
        streams.iter().flat_map(|&buf| rig.read(buf, ROWS * 40)).collect()
    });
}

#[test]
fn rows_as_a_whole() {
    agree(SUMS, &|rig: &mut Rig| {
        let [x, y] = [1, 2].map(|seed| rig.input(&noise(ROWS * 200, seed), 200));
        let factors = rig.device.vector("factors", &noise(200, 3)).unwrap();
        rig.begin(&plan(0, 0, ROWS));
        rig.device.rowwise(ROWS, Rowwise::Times(factors), x).unwrap();
        rig.device.rowwise(ROWS, Rowwise::Magnitude { of: y, floor: 1e-5 }, x).unwrap();
        let mut got = rig.read(x, ROWS * 200);
        rig.device.rowwise(ROWS, Rowwise::CutBelow { deviations: 0.7 }, x).unwrap();
        got.extend(rig.read(x, ROWS * 200));
        got
    });
}
