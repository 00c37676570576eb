//! Attention within texts, with and without what distances add.

use super::{FUNCTIONS, Rig, agree, noise, plan, push};
use torchless_device::{AttendWithin, Elementwise, OffsetSource, Pairing, Rope, Select};

const HEADS: usize = 3;
const ROWS: usize = 90;
const REACH: usize = 70;

#[derive(Clone, Copy)]
enum Added {
    Nothing,
    Biases,
    Products { keys: bool, queries: bool },
}

fn run(rig: &mut Rig, added: Added, window: Option<usize>, (turned, dim): (bool, usize)) -> Vec<f32> {
    let width = HEADS * dim;
    let [q, k, v] = [1, 2, 3].map(|seed| rig.input(&noise(ROWS * width, seed), width));
    let tables = [4, 5].map(|seed| rig.input(&noise(ROWS * width, seed), width));
    let out = rig.buffer(ROWS, width);
    let rope =
        Rope { inv_freq: vec![1.0, 0.2, 0.05], magnitude: 1.0, pairing: Pairing::Halves, beyond: None };
    let rope = turned.then(|| rig.device.rope(&rope).unwrap());
    // Tables of distances are made of what a step has put into buffers.
    rig.begin(&plan(0, 0, ROWS));
    rig.device.end().unwrap();
    let rows: Vec<u32> = (0..2 * REACH + 1).rev().map(|d| (d / 2) as u32).collect();
    let biases = noise(HEADS * (2 * REACH + 1), 6);
    let pick = |wanted: bool, i: usize| wanted.then_some(tables[i]);
    let offsets = match added {
        Added::Nothing => None,
        Added::Biases => Some(OffsetSource::Bias { heads: HEADS, values: &biases }),
        Added::Products { keys, queries } => {
            let (keys, queries) = (pick(keys, 0), pick(queries, 1));
            Some(OffsetSource::Products { heads: HEADS, keys, queries, rows: &rows })
        }
    };
    let offsets = offsets.map(|source| rig.device.offsets(&source).unwrap());
    let mut two = plan(0, 0, 69);
    push(&mut two, 1, 0, ROWS - 69);
    rig.begin(&two);
    let op = AttendWithin { q, k, v, out, heads: HEADS, rope, scale: 0.3, window, offsets, halves: false };
    rig.device.attend_within(&op).unwrap();
    rig.read(out, ROWS * width)
}

#[track_caller]
fn check(added: Added, window: Option<usize>) {
    // The second is one that matrix instructions take.
    for dim in [20, 32] {
        for turned in [false, true] {
            agree(FUNCTIONS, &|rig: &mut Rig| run(rig, added, window, (turned, dim)));
        }
    }
}

#[test]
fn texts_attend_to_themselves() {
    check(Added::Nothing, None);
    check(Added::Nothing, Some(0));
    check(Added::Nothing, Some(11));
}

#[test]
fn distances_add_to_scores() {
    check(Added::Biases, None);
    check(Added::Biases, Some(20));
    for (keys, queries) in [(true, true), (true, false), (false, true)] {
        check(Added::Products { keys, queries }, None);
    }
}

/// Encoders make tables of distances while they are loaded, before any step.
#[test]
fn rows_are_looked_up_outside_of_a_step() {
    agree(super::Tolerance(1e-6), &|rig: &mut Rig| {
        let table = rig.input(&noise(700 * 24, 1), 24);
        let out = rig.buffer(700, 24);
        rig.fill_inputs(0, 700);
        rig.device.elementwise(700, Elementwise::Scale(2.0), table).unwrap();
        rig.device.select(&Select { input: table, rows: &(0..700).rev().collect::<Vec<_>>(), out }).unwrap();
        rig.read(out, 700 * 24)
    });
}
