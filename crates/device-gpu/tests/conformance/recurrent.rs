//! Linear attention: states follow their sequences through chunks, company, forks and ends.

use super::{FUNCTIONS, Rig, agree, noise, plan, push};
use torchless_base::SeqId;
use torchless_device::{DeltaNet, DeltaShape, HeadSharing, StateShape};

fn run(rig: &mut Rig, sharing: HeadSharing) -> Vec<f32> {
    let delta = DeltaShape { key_heads: 2, value_heads: 4, key_dim: 16, value_dim: 24, sharing };
    let shape = StateShape { delta, taps: 4 };
    let (width, out_width) = (delta.qkv_width(), 4 * 24);
    let qkv = rig.input(&noise(40 * width, 1), width);
    let z = rig.input(&noise(40 * out_width, 2), out_width);
    let beta = rig.input(&noise(40 * 4, 3), 4);
    let alpha = rig.input(&noise(40 * 4, 4), 4);
    let mut vector = |len, seed: usize, shift: f32| {
        let values: Vec<f32> = noise(len, seed).iter().map(|x| x + shift).collect();
        rig.device.vector("v", &values).unwrap()
    };
    let (conv, rate, shift, norm) =
        (vector(4 * width, 5, 0.0), vector(4, 6, -1.1), vector(4, 7, 0.0), vector(24, 8, 0.0));
    let state = rig.device.state(&shape).unwrap();
    let out = rig.buffer(40, out_width);
    let op = DeltaNet { qkv, z, beta, alpha, conv, rate, shift, norm: (norm, 1e-6), state, out };
    let mut got = Vec::new();
    let mut two = plan(0, 17, 2);
    push(&mut two, 1, 0, 5);
    for (plan, first) in [(plan(0, 0, 17), 0), (two, 17), (plan(1, 5, 1), 24), (plan(0, 19, 9), 19)] {
        rig.begin_at(&plan, first);
        rig.device.delta_net(&op).unwrap();
        got.extend(rig.read(out, plan.tokens.len() * out_width));
        rig.device.end().unwrap();
    }
    rig.device.fork(SeqId(0), SeqId(2)).unwrap();
    let mut both = plan(0, 28, 3);
    push(&mut both, 2, 28, 4);
    rig.begin_at(&both, 28);
    rig.device.delta_net(&op).unwrap();
    got.extend(rig.read(out, 7 * out_width));
    rig.device.end().unwrap();
    rig.device.forget(SeqId(0));
    rig.begin_at(&plan(3, 0, 3), 0);
    rig.device.delta_net(&op).unwrap();
    got.extend(rig.read(out, 3 * out_width));
    rig.device.end().unwrap();
    got
}

#[test]
fn states_follow_their_sequences() {
    agree(FUNCTIONS, &|rig: &mut Rig| run(rig, HeadSharing::Runs));
    agree(FUNCTIONS, &|rig: &mut Rig| run(rig, HeadSharing::Rounds));
}

#[test]
fn a_state_goes_on_only_where_it_stopped() {
    for driver in super::drivers(&super::Limits::default()) {
        let device = super::GpuDevice::new(driver, super::Precision::Exact).unwrap();
        let mut rig = Rig::new(Box::new(device));
        let delta =
            DeltaShape { key_heads: 1, value_heads: 1, key_dim: 8, value_dim: 8, sharing: HeadSharing::Runs };
        rig.device.state(&StateShape { delta, taps: 2 }).unwrap();
        rig.begin(&plan(0, 0, 3));
        rig.device.end().unwrap();
        let error = rig.device.begin(&plan(0, 5, 1)).unwrap_err().to_string();
        assert_eq!(error, "sequence 0 goes on at position 5, its state has seen 3: start it anew");
        assert_eq!(rig.device.rewind(SeqId(0), 2).unwrap(), 0);
    }
}
