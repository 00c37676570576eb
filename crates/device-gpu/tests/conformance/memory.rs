//! Memory that ops have used is used again, given back where it is short, and accounted for.

use super::{Rig, noise, source};
use torchless_base::{SeqId, StepPlan, TokenId, Wanted};
use torchless_device::{
    Activation, CacheShape, CacheType, CacheValues, Device, DeviceError, EncoderDevice, Glu, MemoryNumbers,
    MemoryUse, Norm, NormKind, Residency,
};
use torchless_device_gpu::GpuDevice;
use torchless_device_gpu::driver::Limits;
use torchless_gpu_emulator::drivers;
use torchless_kernels::Precision;
use torchless_quant::TensorType;

const WIDTH: usize = 64;
const LIMIT: u64 = 8 << 20;

/// On every device, of whose memory [`LIMIT`] bytes may be used.
fn on_every_device(check: &dyn Fn(GpuDevice)) {
    let programs = torchless_device_gpu::driver::usual_folder();
    for driver in drivers(&Limits { memory: Some(LIMIT), programs }) {
        check(GpuDevice::new(driver, Precision::Exact).unwrap());
    }
}

fn numbers(device: &dyn EncoderDevice) -> MemoryNumbers {
    device.memory()[0].read()
}

fn rows(count: usize) -> StepPlan {
    let mut plan = StepPlan::default();
    plan.push((SeqId(0), 0), &vec![TokenId(0); count], &[], Wanted::Nothing);
    plan
}

fn cache(blocks: usize) -> CacheShape {
    let (block_len, kv_heads, k_dim, v_dim) = (32, 1, 32, 32);
    CacheShape { blocks, block_len, kv_heads, k_dim, v_dim, ty: CacheType::F32, values: CacheValues::Own }
}

/// A gated unit, which needs scratch memory by its rows.
fn unit(rig: &mut Rig) -> impl Fn(&mut Rig, usize) -> Vec<f32> + use<> {
    let input = rig.input(&noise(512 * WIDTH, 1), WIDTH);
    let matrix = |rig: &mut Rig, seed| {
        let source = source("matrix", &noise(WIDTH * WIDTH, seed), WIDTH, TensorType::F32);
        rig.device.matrix(&source, Residency::Resident).unwrap()
    };
    let (gate, up) = (matrix(rig, 2), matrix(rig, 3));
    let weight = rig.device.vector("norm", &noise(WIDTH, 4)).unwrap();
    let out = rig.buffer(512, WIDTH);
    move |rig, count| {
        rig.begin(&rows(count));
        let norm = Some(Norm { kind: NormKind::Rms { eps: 1e-5 }, weight, groups: 1 });
        let (gate, up, act) = ((gate, None), (up, None), Activation::Silu);
        rig.device.glu(&Glu { rows: count, input, norm, gate, up, act, out }).unwrap();
        let got = rig.read(out, count * WIDTH);
        rig.device.end().unwrap();
        got
    }
}

#[test]
fn scratch_that_grows_leaves_what_others_use() {
    on_every_device(&|device| {
        let mut rig = Rig::new(Box::new(device));
        let run = unit(&mut rig);
        let counts = [1, 300, 512, 17];
        let want = counts.map(|count| run(&mut rig, count));
        let largest = numbers(&*rig.device);
        for (count, want) in counts.into_iter().zip(want).rev() {
            assert_eq!(run(&mut rig, count), want, "{count} rows: the same bits");
        }
        assert_eq!(numbers(&*rig.device).most, largest.most, "no more than was held once");
        assert_eq!(numbers(&*rig.device).in_use(), largest.in_use());
    });
}

#[test]
fn buffers_that_are_resized_come_out_of_what_was_released() {
    on_every_device(&|mut device| {
        let buf = device.buffer("rows", 1000, WIDTH).unwrap();
        device.resize(buf, 10).unwrap();
        let before = device.memory()[0].read();
        assert_eq!(before.kept, 1000 * WIDTH as u64 * 4);
        for tokens in [900, 10, 1000, 600] {
            device.resize(buf, tokens).unwrap();
        }
        let after = device.memory()[0].read();
        assert_eq!(after.most, before.most, "nothing new was taken");
        assert_eq!(after.held(), before.held());
        assert_eq!(after.used(MemoryUse::Activations), 1000 * WIDTH as u64 * 4, "all of it counts");
    });
}

#[test]
fn what_is_kept_makes_room_for_what_does_not_fit() {
    on_every_device(&|mut device| {
        let buf = device.buffer("rows", 6 << 12, WIDTH).unwrap();
        device.resize(buf, 1).unwrap();
        assert_eq!(device.memory()[0].read().kept, 6 << 20);
        // 4 MiB, of which 2 are free.
        device.cache(&cache(512)).unwrap();
        let numbers = device.memory()[0].read();
        assert_eq!((numbers.kept, numbers.pressed_out), (0, 6 << 20));
        assert_eq!(numbers.used(MemoryUse::Cache), 4 << 20);
    });
}

#[test]
fn an_allocation_that_does_not_fit_says_what_is_there() {
    on_every_device(&|mut device| {
        device.cache(&cache(512)).unwrap();
        let limit = device.memory()[0].read().limit;
        let error = device.cache(&cache(4096)).unwrap_err();
        assert!(matches!(error, DeviceError::OutOfMemory { bytes: 16_777_216, .. }), "{error}");
        let text = error.to_string();
        for words in [
            "16777216 bytes for a layer's KV cache of 131072 positions".to_owned(),
            format!("{} bytes are free", limit - (4 << 20)),
            "cache 4.0 MiB".to_owned(),
            "a shorter context".to_owned(),
        ] {
            assert!(text.contains(&words), "{words:?} in {text}");
        }
    });
}

#[test]
fn after_a_resize_that_does_not_fit_a_smaller_one_does() {
    on_every_device(&|mut device| {
        let buf = device.buffer("rows", 1, WIDTH).unwrap();
        let error = device.resize(buf, 1 << 16).unwrap_err().to_string();
        assert!(error.contains("activations of 65536 tokens") && error.contains("fewer tokens"), "{error}");
        device.resize(buf, 100).unwrap();
        device.begin(&rows(100)).unwrap();
        device.write(buf, &noise(100 * WIDTH, 1)).unwrap();
        let mut got = vec![0.0; 100 * WIDTH];
        device.read(buf, &mut got).unwrap();
        assert_eq!(got, noise(100 * WIDTH, 1));
    });
}

#[test]
fn what_kernels_cannot_do_is_refused_by_name() {
    on_every_device(&|mut device| {
        let error = device.cache(&CacheShape { k_dim: 1025, ..cache(1) }).unwrap_err();
        let name = device.name();
        assert_eq!(error.to_string(), format!("{name} does not support a cache of 1 heads of 1025 and 32"));
        let wide = source("wide", &[0.0; 64], 64, TensorType::F32);
        let error = device
            .stack(&[wide.clone(), source("narrow", &[0.0; 64], 32, TensorType::F32)], Residency::Resident);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("does not support a stack of") && error.contains("narrow"), "{error}");
        device.stack(&[wide.clone(), wide], Residency::Resident).unwrap();
    });
}
