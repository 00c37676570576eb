//! What a device does not do is an error that says what was asked of whom; and a device that was lost answers everything with that.

use super::{Rig, noise, plan, source};
use torchless_device::{
    AttendWithin, CacheShape, CacheType, CacheValues, Device, DeviceError, Embed, Linear, MatrixSource,
    Projection, Residency, Store,
};
use torchless_device_gpu::driver::{
    DeviceInfo, Driver, KernelId, Launch, Limits, MemoryId, Place, ProgramId, usual_folder,
};
use torchless_device_gpu::{GpuDevice, GpuError, Program};
use torchless_gpu_emulator::drivers;
use torchless_kernels::Precision;
use torchless_quant::TensorType;

const WIDTH: usize = 64;

fn every_driver() -> Vec<Box<dyn Driver>> {
    drivers(&Limits { memory: None, programs: usual_folder() })
}

/// On every device; each way of asking has to be refused by its name.
fn refused(words: &str, ask: &dyn Fn(&mut Rig) -> Result<(), DeviceError>) {
    for driver in every_driver() {
        let device = GpuDevice::new(driver, Precision::Exact).unwrap();
        let name = device.name();
        let error = ask(&mut Rig::new(Box::new(device))).unwrap_err();
        let DeviceError::Unsupported { op, device } = &error else { panic!("{error}") };
        assert!(*device == name && op.contains(words), "{error}");
        assert!(error.to_string().starts_with(&format!("{name} does not support ")), "{error}");
    }
}

#[test]
fn ops_that_a_device_lacks_are_errors() {
    let weights = |ty| source("blk.0.experts", &noise(4 * WIDTH, 1), WIDTH, ty);
    refused("a stack of", &|rig| {
        let two = [weights(TensorType::F32), weights(TensorType::Q4_0)];
        rig.device.stack(&two, Residency::Resident).map(|_| ())
    });
    refused("a stack of no matrices", &|rig| rig.device.stack(&[], Residency::Resident).map(|_| ()));
    refused("blk.0.experts of 2147483648 x 64 values", &|rig| {
        let endless = MatrixSource { rows: 1 << 31, ..weights(TensorType::Q4_0) };
        rig.device.matrix(&endless, Residency::Resident).map(|_| ())
    });
    refused("a cache of 0 heads", &|rig| {
        let shape = CacheShape {
            blocks: 1,
            block_len: 32,
            kv_heads: 0,
            k_dim: 32,
            v_dim: 32,
            ty: CacheType::F16,
            values: CacheValues::Own,
        };
        rig.device.cache(&shape).map(|_| ())
    });
    refused("heads of 4096 values", &|rig| {
        let [q, k, v] = [1, 2, 3].map(|_| rig.buffer(2, 4096));
        let out = rig.buffer(2, 4096);
        rig.begin(&plan(0, 0, 2));
        rig.device.attend_within(&AttendWithin {
            q,
            k,
            v,
            out,
            heads: 1,
            rope: None,
            scale: 1.0,
            window: None,
            offsets: None,
            halves: false,
        })
    });
}

/// A device on which nothing works after so many launches.
struct Failing {
    inner: Box<dyn Driver>,
    left: usize,
    /// Of the device, what it was asked for, and why it fails.
    fails: fn(String, String, String) -> GpuError,
}

impl Failing {
    fn check(&self, what: &str) -> Result<(), GpuError> {
        if self.left > 0 {
            return Ok(());
        }
        let reason = "unspecified launch failure".to_owned();
        Err((self.fails)(self.inner.info().label(), what.to_owned(), reason))
    }
}

impl Driver for Failing {
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }

    fn free_memory(&self) -> u64 {
        self.inner.free_memory()
    }

    fn alloc(&mut self, bytes: u64, what: &str) -> Result<MemoryId, GpuError> {
        self.check(what)?;
        self.inner.alloc(bytes, what)
    }

    fn free(&mut self, memory: MemoryId) {
        self.inner.free(memory);
    }

    fn write(&mut self, to: Place, bytes: &[u8]) -> Result<(), GpuError> {
        self.check("writing")?;
        self.inner.write(to, bytes)
    }

    fn read(&mut self, from: Place, out: &mut [u8]) -> Result<(), GpuError> {
        self.check("reading")?;
        self.inner.read(from, out)
    }

    fn copy(&mut self, from: Place, to: Place, bytes: u64) -> Result<(), GpuError> {
        self.check("copying")?;
        self.inner.copy(from, to, bytes)
    }

    fn zero(&mut self, at: Place, bytes: u64) -> Result<(), GpuError> {
        self.check("clearing")?;
        self.inner.zero(at, bytes)
    }

    fn program(&mut self, program: &Program) -> Result<ProgramId, GpuError> {
        self.check(&program.name)?;
        self.inner.program(program)
    }

    fn kernel(&mut self, program: ProgramId, name: &str) -> Result<KernelId, GpuError> {
        self.inner.kernel(program, name)
    }

    fn launch(&mut self, launches: &[Launch]) -> Result<(), GpuError> {
        let done = launches.len().min(self.left);
        self.left -= done;
        self.inner.launch(&launches[..done])?;
        self.check("a kernel")
    }

    fn finish(&mut self) -> Result<(), GpuError> {
        self.check("waiting")?;
        self.inner.finish()
    }
}

/// Whatever step of a product the loss falls into.
#[test]
fn a_lost_device_is_an_error_of_every_later_op() {
    for inner in every_driver() {
        let label = inner.info().label();
        let fails = |device, what, reason| GpuError::Lost { device, what, reason };
        let mut device =
            GpuDevice::new(Box::new(Failing { inner, left: 2, fails }), Precision::Exact).unwrap();
        let weights = source("weights", &noise(WIDTH * WIDTH, 1), WIDTH, TensorType::Q8_0);
        let matrix = device.matrix(&weights, Residency::Resident).unwrap();
        let [x, y] = ["x", "y"].map(|name| device.buffer(name, 4, WIDTH).unwrap());
        let mut step = |values: &mut [f32]| {
            device.begin(&plan(0, 0, 4))?;
            device.embed(&Embed { table: matrix, scale: 1.0, positions: None, out: x })?;
            let projections = &[Projection { matrix, bias: None, out: y, store: Store::Set }];
            device.linear(&Linear { rows: 4, input: x, norm: None, projections })?;
            device.read(y, values)?;
            device.end()
        };
        let mut values = vec![0.0; 4 * WIDTH];
        // The second launch of the first step is the last one that the device lives to see.
        for _ in 0..3 {
            let error = step(&mut values).unwrap_err();
            assert!(matches!(error, DeviceError::Failed(_)), "{error}");
            let error = error.to_string();
            let words =
                [&format!("{label} was lost in "), "unspecified launch failure", "start the program again"];
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
        assert!(device.buffer("more", 1, WIDTH).is_err());
        assert!(device.vector("bias", &[1.0]).is_err());
    }
}

#[test]
fn memory_that_runs_out_within_a_call_is_told_from_a_failure() {
    for inner in every_driver() {
        let label = inner.info().label();
        let fails = |device, what, reason| GpuError::Exhausted { device, what, reason };
        let mut device =
            GpuDevice::new(Box::new(Failing { inner, left: 1, fails }), Precision::Exact).unwrap();
        let weights = source("weights", &noise(WIDTH * WIDTH, 1), WIDTH, TensorType::F32);
        let table = device.matrix(&weights, Residency::Resident).unwrap();
        let out = device.buffer("x", 4, WIDTH).unwrap();
        device.begin(&plan(0, 0, 4)).unwrap();
        device.embed(&Embed { table, scale: 1.0, positions: None, out }).unwrap();
        let step = device.end().unwrap_err();
        let later = device.vector("bias", &[1.0]).unwrap_err();
        for error in [step, later] {
            assert!(matches!(error, DeviceError::Exhausted(_)) && error.is_short_of_memory(), "{error}");
            let error = error.to_string();
            let words = [&format!("{label} ran out of memory in "), "other programs", "--gpu-layers"];
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }
}
