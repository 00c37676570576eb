//! Linear attention: states follow their sequences through cuts, company, forks and new beginnings.

use super::{Rig, assert_close, noise, options};
use torchless_base::{BlockId, SeqId, StepPlan, TokenId, Wanted};
use torchless_device::{
    BufId, CpuOptions, DeltaNet, DeltaShape, Device, HeadSharing, Split, SplitPart, StateShape,
};

const SHAPE: DeltaShape =
    DeltaShape { key_heads: 2, value_heads: 4, key_dim: 8, value_dim: 6, sharing: HeadSharing::Runs };
const TAPS: usize = 4;
const TOKENS: usize = 12;
const OUT: usize = 24;

struct Net {
    rig: Rig,
    op: DeltaNet,
    out: BufId,
}

impl Net {
    fn new(options: CpuOptions) -> Self {
        let mut rig = Rig::new(options);
        let width = SHAPE.qkv_width();
        let qkv = rig.input(&noise(TOKENS * width, 1), width, TOKENS);
        let z = rig.input(&noise(TOKENS * OUT, 2), OUT, TOKENS);
        let beta = rig.input(&noise(TOKENS * 4, 3), 4, TOKENS);
        let alpha = rig.input(&noise(TOKENS * 4, 4), 4, TOKENS);
        let device = &mut rig.device;
        let conv = device.vector("conv", &noise(TAPS * width, 5)).unwrap();
        let rate = device.vector("rate", &[-0.1, -0.5, -1.0, -2.0]).unwrap();
        let shift = device.vector("shift", &noise(4, 6)).unwrap();
        let norm = (device.vector("norm", &noise(6, 7)).unwrap(), 1e-3);
        let state = device.state(&StateShape { delta: SHAPE, taps: TAPS }).unwrap();
        let out = device.buffer("out", TOKENS, OUT).unwrap();
        Self { rig, op: DeltaNet { qkv, z, beta, alpha, conv, rate, shift, norm, state, out }, out }
    }

    fn run(&mut self, slices: &[(u32, usize, &[u32])]) -> Vec<f32> {
        let op = self.op;
        self.rig.step(slices, |device, _| device.delta_net(&op).unwrap());
        self.rig.read(self.out, slices.iter().map(|s| s.2.len()).sum::<usize>() * OUT)
    }
}

/// The first token sees nothing but itself, so that it can be computed by hand.
fn first_token() -> Vec<f32> {
    let width = SHAPE.qkv_width();
    let (qkv, z, beta) = (noise(TOKENS * width, 1), noise(TOKENS * OUT, 2), noise(TOKENS * 4, 3));
    let (conv, norm) = (noise(TAPS * width, 5), noise(6, 7));
    let silu = |x: f32| x / (1.0 + (-x).exp());
    let x: Vec<f32> = (0..width).map(|c| silu(qkv[c] * conv[(TAPS - 1) * width + c])).collect();
    let unit = |x: &[f32]| -> Vec<f32> {
        let length = (x.iter().map(|v| v * v).sum::<f32>() + 1e-6).sqrt();
        x.iter().map(|v| v / length).collect()
    };
    let mut out = Vec::new();
    for head in 0..4 {
        let (q, k) = (unit(&x[head / 2 * 8..][..8]), unit(&x[16 + head / 2 * 8..][..8]));
        let meet: f32 = q.iter().zip(&k).map(|(a, b)| a * b).sum::<f32>() / 8f32.sqrt();
        let gate = 1.0 / (1.0 + (-beta[head]).exp());
        let y: Vec<f32> = x[32 + head * 6..][..6].iter().map(|v| v * gate * meet).collect();
        let square = y.iter().map(|v| v * v).sum::<f32>() / 6.0;
        let weighed = y.iter().zip(&norm).map(|(v, w)| v / (square + 1e-3).sqrt() * w);
        out.extend(weighed.zip(&z[head * 6..]).map(|(v, z)| v * silu(*z)));
    }
    out
}

#[test]
fn states_follow_their_sequences() {
    let all: Vec<u32> = (0..TOKENS as u32).collect();
    for options in options() {
        let mut net = Net::new(options);
        let whole = net.run(&[(1, 0, &all)]);
        assert_close(&whole[..OUT], &first_token(), options.kernels.name);
        // In pieces, beside another sequence, which begins anew half way.
        let mut net = Net::new(options);
        let mut pieces = net.run(&[(1, 0, &all[..5])]);
        let both = net.run(&[(2, 0, &[9, 3]), (1, 5, &all[5..6])]);
        pieces.extend(&both[2 * OUT..]);
        let both = net.run(&[(1, 6, &all[6..]), (2, 2, &[4])]);
        pieces.extend(&both[..6 * OUT]);
        assert_eq!(pieces, whole, "{}", options.kernels.name);
        let other = net.run(&[(2, 0, &all[..3])]);
        assert_eq!(other, whole[..3 * OUT], "a sequence that begins anew");
    }
}

#[test]
fn forks_go_on_from_the_same_state_and_ends_are_forgotten() {
    let all: Vec<u32> = (0..TOKENS as u32).collect();
    let mut net = Net::new(options()[0]);
    let whole = net.run(&[(1, 0, &all)]);
    net.run(&[(2, 0, &all[..7])]);
    net.rig.device.fork(SeqId(2), SeqId(3)).unwrap();
    net.run(&[(2, 7, &[0])]);
    assert_eq!(net.run(&[(3, 7, &all[7..])]), whole[7 * OUT..], "a fork");
    assert_eq!(net.rig.device.rewind(SeqId(3), TOKENS).unwrap(), TOKENS, "where it is");
    assert_eq!(net.rig.device.rewind(SeqId(3), 5).unwrap(), 0, "back is the start");
    assert_eq!(net.run(&[(3, 0, &all)]), whole, "from the start");
    net.rig.device.forget(SeqId(3));
    let mut plan = StepPlan::default();
    plan.push((SeqId(3), 4), &[TokenId(0)], &[BlockId(0)], Wanted::All);
    let error = net.rig.device.begin(&plan).unwrap_err().to_string();
    assert_eq!(error, "sequence 3 goes on at position 4, its state has seen 0: start it anew");
}

#[test]
fn heads_are_taken_apart() {
    let mut rig = Rig::new(options()[0]);
    let input = rig.input(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 6, 1);
    let one = rig.device.buffer("one", 1, 4).unwrap();
    let two = rig.device.buffer("two", 1, 2).unwrap();
    let part = |width, out, at| SplitPart { width, out, at };
    // Two heads of three: the first value of each behind the second, the third apart.
    let parts = [part(1, one, 2), part(1, one, 0), part(1, two, 0)];
    rig.step(&[(0, 0, &[0])], |device, rows| {
        device.split(&Split { rows, input, heads: 2, parts: &parts }).unwrap();
    });
    assert_eq!((rig.read(one, 4), rig.read(two, 2)), (vec![2.0, 5.0, 1.0, 4.0], vec![3.0, 6.0]));
}
