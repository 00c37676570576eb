//! The driver over a library that stands in for the vendor's: how calls are made, kept and reported. What a device computes is for
//! devices to show.

use std::ffi::{CStr, CString, c_char, c_int, c_long};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

use libloading::Library;
use torchless_device::{BufId, Device, Exchange, Precision};

use super::*;
use crate::GpuDevice;

const KERNELS: &str = "
KERNEL(scale)(IN(float, x), OUT(float, y), INT(n), FLOAT(factor) IDS) { }
KERNEL(other)(IN(float, x), OUT(float, y), INT(n), FLOAT(factor) IDS) { }
";

/// The compiled library, in a file of its own so that no two tests share its state.
struct StandIn {
    path: PathBuf,
    library: Library,
}

/// The library with these options of the C compiler; `None`, said aloud, without one.
fn stand_in(options: &[&str]) -> Option<StandIn> {
    made_of("cuda.c", options)
}

/// The same for a file of C beside the tests.
fn made_of(file: &str, options: &[&str]) -> Option<StandIn> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir().join(format!("torchless-stand-in-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand_in").join(file);
    let path = folder.join("stand_in.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1"]).args(options).arg("-o").arg(&path).arg(source);
    let Ok(output) = compiler.output() else {
        eprintln!("skipped: there is no C compiler");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // SAFETY: our own library, which does nothing when it is loaded.
    let library = unsafe { Library::new(&path) }.unwrap();
    Some(StandIn { path, library })
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.path.parent().unwrap());
    }
}

impl StandIn {
    fn function<T: Copy>(&self, name: &str) -> T {
        // SAFETY: the types below are those of the library's source.
        unsafe { api::symbol(&self.library, name) }.unwrap()
    }

    /// What was called since the last time.
    fn calls(&self) -> Vec<String> {
        let get: unsafe extern "C" fn() -> *const c_char = self.function("stand_in_calls");
        let forget: unsafe extern "C" fn() = self.function("stand_in_forget");
        // SAFETY: the text ends with a zero and is copied before it is changed.
        let text = unsafe { CStr::from_ptr(get()) }.to_str().unwrap().to_owned();
        // SAFETY: no arguments.
        unsafe { forget() };
        text.lines().map(str::to_owned).collect()
    }

    fn fail_next(&self, what: &str, status: Status) {
        let fail: unsafe extern "C" fn(*const c_char, c_int) = self.function("stand_in_fail");
        let what = CString::new(what).unwrap();
        // SAFETY: the name is copied.
        unsafe { fail(what.as_ptr(), status) };
    }

    fn is(&self, devices: c_int, capability: c_int, version: c_int) {
        let is: unsafe extern "C" fn(c_int, c_int, c_int) = self.function("stand_in_is");
        // SAFETY: three numbers.
        unsafe { is(devices, capability, version) };
    }

    fn allocated(&self) -> c_long {
        let allocated: unsafe extern "C" fn() -> c_long = self.function("stand_in_allocated");
        // SAFETY: no arguments.
        unsafe { allocated() }
    }

    fn libraries(&self) -> Libraries {
        Libraries { interface: Some(vec![self.path.clone()]), compiler: Some(vec![self.path.clone()]) }
    }

    fn open(&self, vendor: Vendor, words: &str, limits: &Limits) -> Result<Gpu, GpuError> {
        Gpu::open(vendor, 0, limits, (&self.libraries(), Switches::parse(words).unwrap()))
    }

    fn cuda(&self, words: &str) -> Gpu {
        self.open(Vendor::Nvidia, words, &Limits::default()).unwrap()
    }
}

fn program(text: &'static str) -> Program {
    Program { name: "suite".to_owned(), defines: Vec::new(), parts: vec![text] }
}

fn kernel(gpu: &mut Gpu, name: &str) -> KernelId {
    let program = gpu.program(&program(KERNELS)).unwrap();
    gpu.kernel(program, name).unwrap()
}

fn at(memory: MemoryId, offset: u64) -> Place {
    Place { memory, offset }
}

fn floats(gpu: &mut Gpu, values: &[f32]) -> MemoryId {
    let memory = gpu.alloc(values.len() as u64 * 4, "floats").unwrap();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    gpu.write(at(memory, 0), &bytes).unwrap();
    memory
}

fn read(gpu: &mut Gpu, memory: MemoryId) -> Vec<f32> {
    let mut bytes = vec![0; gpu.memory(memory).bytes as usize];
    gpu.read(at(memory, 0), &mut bytes).unwrap();
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

fn launch(kernel: KernelId, x: MemoryId, y: MemoryId, factor: f32) -> Launch {
    let args = vec![Arg::Memory(x), Arg::Memory(y), Arg::Int(3), Arg::Float(factor)];
    Launch { kernel, groups: [4, 5, 6], threads: [32, 2, 1], local: 0, args }
}

#[test]
fn arguments_arrive_as_the_kernel_declares_them() {
    let Some(stand_in) = stand_in(&[]) else { return };
    stand_in.is(1, 80, 12_080);
    let mut gpu = stand_in.cuda("");
    let (x, y) = (floats(&mut gpu, &[1.0, 2.0, 3.0]), floats(&mut gpu, &[0.0; 3]));
    let scale = kernel(&mut gpu, "scale");
    stand_in.calls();
    gpu.launch(&[Launch { local: 100_000, ..launch(scale, x, y, -0.5) }]).unwrap();
    gpu.launch(&[Launch { local: 90_000, ..launch(scale, x, y, -0.5) }]).unwrap();
    let expected = [
        "attribute scale 8 100000",
        "launch scale 4 5 6 x 32 2 1, 100000",
        "launch scale 4 5 6 x 32 2 1, 90000",
    ];
    assert_eq!(stand_in.calls(), expected);
    assert_eq!(read(&mut gpu, y), [-0.5, -1.0, -1.5]);
}

#[test]
fn kernels_start_early_where_the_device_can() {
    let Some(stand_in) = stand_in(&[]) else { return };
    for (words, expected) in
        [("", "launch with 6=1: scale 4 5 6 x 32 2 1, 0"), ("no-overlap", "launch scale 4 5 6 x 32 2 1, 0")]
    {
        let mut gpu = stand_in.cuda(words);
        let (x, y) = (floats(&mut gpu, &[1.0, 2.0, 3.0]), floats(&mut gpu, &[0.0; 3]));
        let scale = kernel(&mut gpu, "scale");
        stand_in.calls();
        gpu.launch(&[launch(scale, x, y, 2.0)]).unwrap();
        assert_eq!(stand_in.calls(), [expected]);
        assert_eq!(read(&mut gpu, y), [2.0, 4.0, 6.0]);
    }
}

#[test]
fn an_old_driver_starts_kernels_in_the_old_manner() {
    let Some(stand_in) = stand_in(&["-DOLD"]) else { return };
    let mut gpu = stand_in.cuda("");
    let x = floats(&mut gpu, &[1.0, 2.0, 3.0]);
    let scale = kernel(&mut gpu, "scale");
    stand_in.calls();
    gpu.launch(&[launch(scale, x, x, 2.0)]).unwrap();
    assert_eq!(stand_in.calls(), ["launch scale 4 5 6 x 32 2 1, 0"]);
}

#[test]
fn a_list_that_comes_again_becomes_a_graph() {
    let Some(stand_in) = stand_in(&[]) else { return };
    let mut gpu = stand_in.cuda("");
    let (x, y) = (floats(&mut gpu, &[1.0, 2.0, 3.0]), floats(&mut gpu, &[0.0; 3]));
    let scale = kernel(&mut gpu, "scale");
    let list: Vec<Launch> = [(x, y, 4.0), (y, x, 1.0), (x, y, 0.5), (y, x, 1.0)]
        .map(|(a, b, by)| launch(scale, a, b, by))
        .to_vec();
    stand_in.calls();
    gpu.launch(&list).unwrap();
    assert!(stand_in.calls().iter().all(|call| call.starts_with("launch with 6=1")));
    gpu.launch(&list).unwrap();
    let calls = stand_in.calls();
    assert_eq!((calls[0].as_str(), calls[5].as_str(), calls.len()), ("capture", "replay", 6));
    assert!(calls[1].starts_with("launch with 6=1"));
    gpu.launch(&list).unwrap();
    assert_eq!(stand_in.calls(), ["replay"]);
    assert_eq!(read(&mut gpu, x), [8.0, 16.0, 24.0]);
    gpu.free(y);
    assert_eq!(stand_in.calls().last().unwrap(), "drop graph");
}

#[test]
fn graphs_of_an_old_driver_start_no_kernel_early() {
    let Some(stand_in) = stand_in(&[]) else { return };
    stand_in.is(1, 90, 12_020);
    let mut gpu = stand_in.cuda("");
    let x = floats(&mut gpu, &[1.0, 2.0, 3.0]);
    let scale = kernel(&mut gpu, "scale");
    let list = vec![launch(scale, x, x, 2.0); 4];
    gpu.launch(&list).unwrap();
    stand_in.calls();
    gpu.launch(&list).unwrap();
    assert!(stand_in.calls()[1].starts_with("launch scale"));
    assert_eq!(read(&mut gpu, x), [256.0, 512.0, 768.0]);
}

#[test]
fn without_graphs_every_kernel_is_started() {
    let Some(stand_in) = stand_in(&[]) else { return };
    for (words, refused) in [("no-graphs", ""), ("", "capture"), ("", "instantiate")] {
        let mut gpu = stand_in.cuda(words);
        let x = floats(&mut gpu, &[1.0, 2.0, 3.0]);
        let scale = kernel(&mut gpu, "scale");
        let list = vec![launch(scale, x, x, 2.0); 4];
        gpu.launch(&list).unwrap();
        stand_in.fail_next(refused, 801);
        gpu.launch(&list).unwrap();
        gpu.launch(&list).unwrap();
        assert!(!stand_in.calls().contains(&"replay".to_owned()), "{words} {refused}");
        assert_eq!(read(&mut gpu, x), [4096.0, 8192.0, 12288.0]);
    }
}

#[test]
fn a_launch_that_does_not_fit_its_kernel_is_never_made() {
    let Some(stand_in) = stand_in(&[]) else { return };
    let mut gpu = stand_in.cuda("");
    let x = floats(&mut gpu, &[1.0, 2.0, 3.0]);
    let scale = kernel(&mut gpu, "scale");
    let right = launch(scale, x, x, 2.0);
    let mut few = right.clone();
    few.args.pop();
    let mut other = right.clone();
    other.args[2] = Arg::Float(3.0);
    stand_in.calls();
    for (wrong, words) in [
        (few, "it takes 4 arguments, not 3"),
        (other, "argument 2 is Float(3.0), it takes Int there"),
        (Launch { threads: [1025, 1, 1], ..right.clone() }, "a group has at most 1024 threads"),
        (Launch { local: 232_449, ..right.clone() }, "a group has at most 232448"),
        (Launch { groups: [1, 0, 1], ..right.clone() }, "are none"),
    ] {
        // A list that is refused once is refused again.
        for _ in 0..3 {
            let list = vec![wrong.clone(); 4];
            let error = gpu.launch(&list).unwrap_err().to_string();
            assert!(error.starts_with("Stand-in 0 failed in scale: ") && error.contains(words), "{error}");
        }
    }
    assert!(stand_in.calls().is_empty());
}

#[test]
fn large_writes_go_through_chunks_and_small_ones_wait_for_nothing() {
    let Some(stand_in) = stand_in(&[]) else { return };
    let mut gpu = stand_in.cuda("");
    let bytes: Vec<u8> = (0..30_000_001_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let memory = gpu.alloc(bytes.len() as u64 + 2, "bytes").unwrap();
    stand_in.calls();
    for _ in 0..100 {
        gpu.write(at(memory, 0), &[1, 2, 3]).unwrap();
    }
    assert_eq!(stand_in.calls(), vec!["copy in 3"; 100]);
    gpu.write(at(memory, 1), &bytes).unwrap();
    let calls = stand_in.calls();
    assert_eq!(calls.iter().filter(|call| *call == "record").count(), 7);
    assert_eq!(calls.iter().filter(|call| *call == "wait for event").count(), 4);
    let mut out = vec![0; bytes.len() + 2];
    gpu.read(at(memory, 0), &mut out).unwrap();
    assert!(out[0] == 1 && out[1..=bytes.len()] == bytes);
}

#[test]
fn a_lost_device_refuses_everything_without_a_panic() {
    let Some(stand_in) = stand_in(&[]) else { return };
    let mut gpu = stand_in.cuda("");
    let x = floats(&mut gpu, &[1.0, 2.0, 3.0]);
    let scale = kernel(&mut gpu, "scale");
    gpu.launch(&[launch(scale, x, x, 2.0)]).unwrap();
    stand_in.fail_next("wait", 719);
    let error = gpu.finish().unwrap_err();
    let words =
        "Stand-in 0 was lost in waiting after scale: CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure";
    assert!(error.to_string().starts_with(words), "{error}");
    let is_lost = |error: GpuError| matches!(error, GpuError::Lost { .. });
    assert!(is_lost(gpu.launch(&[launch(scale, x, x, 2.0)]).unwrap_err()));
    assert!(is_lost(gpu.write(at(x, 0), &[1]).unwrap_err()));
    assert!(is_lost(gpu.read(at(x, 0), &mut [1]).unwrap_err()));
    assert!(is_lost(gpu.zero(at(x, 0), 1).unwrap_err()));
    assert!(is_lost(gpu.alloc(1, "more").unwrap_err()));
    assert!(is_lost(gpu.program(&program(KERNELS)).unwrap_err()));
    assert!(is_lost(gpu.finish().unwrap_err()));
    gpu.free(x);
}

#[test]
fn waiting_after_each_kernel_names_the_one_that_failed() {
    let Some(stand_in) = stand_in(&[]) else { return };
    let mut gpu = stand_in.cuda("wait,no-graphs");
    let x = floats(&mut gpu, &[1.0, 2.0, 3.0]);
    let scale = kernel(&mut gpu, "scale");
    stand_in.fail_next("wait", 719);
    let error = gpu.launch(&[launch(scale, x, x, 2.0)]).unwrap_err().to_string();
    assert!(error.contains("lost in scale ([4, 5, 6] groups of [32, 2, 1] threads)"), "{error}");
}

#[test]
fn an_error_that_passes_leaves_the_device_usable() {
    let Some(stand_in) = stand_in(&[]) else { return };
    let mut gpu = stand_in.cuda("");
    let x = floats(&mut gpu, &[1.0, 2.0, 3.0]);
    let scale = kernel(&mut gpu, "scale");
    stand_in.fail_next("launch", 701);
    let error = gpu.launch(&[launch(scale, x, x, 2.0)]).unwrap_err().to_string();
    assert!(
        error.contains("failed in scale") && error.contains("CUDA_ERROR_OTHER: something else"),
        "{error}"
    );
    stand_in.fail_next("copy in", 1);
    assert!(matches!(gpu.write(at(x, 0), &[1]), Err(GpuError::Failed { .. })));
    gpu.launch(&[launch(scale, x, x, 2.0)]).unwrap();
    assert_eq!(read(&mut gpu, x), [2.0, 4.0, 6.0]);
}

#[test]
fn memory_that_runs_out_is_told_with_what_is_free() {
    let Some(stand_in) = stand_in(&[]) else { return };
    let mut gpu = stand_in.cuda("");
    stand_in.fail_next("alloc", 2);
    let error = gpu.alloc(1000, "weights").unwrap_err().to_string();
    assert!(
        error.starts_with(
            "Stand-in 0 cannot allocate 1000 bytes for weights: the driver refused, with 536870912 bytes left"
        ),
        "{error}"
    );
    assert_eq!(gpu.free_memory(), 1 << 29);
    stand_in.fail_next("host alloc", 2);
    let x = gpu.alloc(8, "x").unwrap();
    assert!(matches!(gpu.write(at(x, 0), &[1]), Err(GpuError::Exhausted { .. })));
    gpu.write(at(x, 0), &[1]).unwrap();
}

#[test]
fn everything_is_given_back() {
    let Some(stand_in) = stand_in(&[]) else { return };
    let mut gpu = stand_in.cuda("");
    let x = floats(&mut gpu, &[1.0, 2.0, 3.0]);
    kernel(&mut gpu, "scale");
    read(&mut gpu, x);
    assert!(stand_in.allocated() > 0);
    drop(gpu);
    assert_eq!(stand_in.allocated(), 0);
    let calls = stand_in.calls();
    assert_eq!(calls[calls.len() - 2..], ["unload", "release"]);
}

#[test]
fn programs_are_compiled_for_the_device_and_kept() {
    let Some(stand_in) = stand_in(&[]) else { return };
    let folder = stand_in.path.parent().unwrap().join("kept");
    let limits = Limits { memory: None, programs: Some(folder.clone()) };
    let mut gpu = stand_in.open(Vendor::Nvidia, "", &limits).unwrap();
    stand_in.calls();
    gpu.program(&program(KERNELS)).unwrap();
    let options = ["option --gpu-architecture=sm_90a", "option --std=c++17", "option --fmad=false"];
    let compiled = [&["create suite.cu"][..], &options, &["destroy", "load"]].concat();
    assert_eq!(stand_in.calls(), compiled);
    gpu.program(&program(KERNELS)).unwrap();
    assert!(stand_in.calls().is_empty());
    drop(gpu);
    let mut gpu = stand_in.open(Vendor::Nvidia, "", &limits).unwrap();
    stand_in.calls();
    gpu.program(&program(KERNELS)).unwrap();
    assert_eq!(stand_in.calls(), ["load"]);
    drop(gpu);
    // Code that the driver does not take any more is compiled again.
    let mut gpu = stand_in.open(Vendor::Nvidia, "", &limits).unwrap();
    stand_in.calls();
    stand_in.fail_next("load", 209);
    gpu.program(&program(KERNELS)).unwrap();
    assert_eq!(stand_in.calls(), compiled);
}

#[test]
fn what_the_compiler_refuses_is_told_in_its_words() {
    let Some(stand_in) = stand_in(&[]) else { return };
    let mut gpu = stand_in.cuda("");
    let error = gpu.program(&program("no_such_variable")).unwrap_err().to_string();
    let expected = "Stand-in 0 cannot compile suite: NVRTC_ERROR_COMPILATION: \
        suite.cu(3): error: identifier \"no_such_variable\" is undefined";
    assert_eq!(error, expected);
    stand_in.fail_next("load", 209);
    let error = gpu.program(&program(KERNELS)).unwrap_err().to_string();
    assert!(error.contains("no code for sm_90"), "{error}");
    let program = gpu.program(&program(KERNELS)).unwrap();
    let error = gpu.kernel(program, "absent").unwrap_err().to_string();
    assert!(error.starts_with("Stand-in 0 failed in kernel absent of suite"), "{error}");
}

#[test]
fn a_missing_compiler_is_an_error_with_advice() {
    let Some(stand_in) = stand_in(&[]) else { return };
    let mut libraries = stand_in.libraries();
    libraries.compiler = Some(vec![PathBuf::from("libno-such-compiler.so")]);
    let switches = Switches::parse("").unwrap();
    let mut gpu = Gpu::open(Vendor::Nvidia, 0, &Limits::default(), (&libraries, switches)).unwrap();
    let error = gpu.program(&program(KERNELS)).unwrap_err().to_string();
    assert!(error.contains("libno-such-compiler.so") && error.contains("TORCHLESS_NVRTC"), "{error}");
}

#[test]
fn devices_are_described() {
    let Some(stand_in) = stand_in(&[]) else { return };
    let devices = devices_through(Vendor::Nvidia, &stand_in.libraries()).unwrap();
    assert_eq!(devices.len(), 2);
    let device = &devices[1];
    assert_eq!(
        (device.ordinal, device.name.as_str(), device.driver.as_str()),
        (1, "Stand-in 1", "CUDA 12.8, sm_90a")
    );
    assert_eq!((device.units, device.warp, device.max_group, device.max_local), (132, 32, 1024, 232_448));
    assert_eq!((device.dialect, device.memory), (Dialect::Cuda(9, 0), 1 << 30));
}

#[test]
fn what_is_missing_is_an_error_with_advice() {
    let nowhere =
        Libraries { interface: Some(vec![PathBuf::from("libno-such-driver.so.1")]), compiler: None };
    let error = devices_through(Vendor::Nvidia, &nowhere).unwrap_err().to_string();
    assert!(error.contains("libno-such-driver.so.1") && error.contains("install NVIDIA's driver"), "{error}");
    let Some(stand_in) = stand_in(&[]) else { return };
    // CUDA's names are not HIP's.
    let error = devices_through(Vendor::Amd, &stand_in.libraries()).unwrap_err().to_string();
    assert!(error.contains("has no function hipInit") && error.contains("update AMD's"), "{error}");
    stand_in.fail_next("init", 100);
    let error = devices_through(Vendor::Nvidia, &stand_in.libraries()).unwrap_err().to_string();
    assert!(error.contains("CUDA_ERROR_NO_DEVICE") && error.contains("nvidia-smi"), "{error}");
    let beyond = Gpu::open(
        Vendor::Nvidia,
        2,
        &Limits::default(),
        (&stand_in.libraries(), Switches::parse("").unwrap()),
    );
    let expected = GpuError::NoDevice { backend: crate::Backend::Cuda, asked: 2, found: 2 };
    assert_eq!(beyond.err().unwrap(), expected);
    stand_in.is(0, 90, 12_080);
    let error = devices_through(Vendor::Nvidia, &stand_in.libraries()).unwrap_err().to_string();
    assert!(error.contains("no device is there"), "{error}");
}

#[test]
fn hip_is_the_same_by_other_names() {
    let Some(stand_in) = stand_in(&["-DHIP"]) else { return };
    let device = devices_through(Vendor::Amd, &stand_in.libraries()).unwrap().swap_remove(0);
    assert_eq!((device.warp, device.max_local, device.dialect), (64, 65_536, Dialect::Hip(64)));
    assert_eq!(device.driver, "HIP 6.0, gfx90a:sramecc+:xnack-");
    let mut gpu = stand_in.open(Vendor::Amd, "", &Limits::default()).unwrap();
    let (x, y) = (floats(&mut gpu, &[1.0, 2.0, 3.0]), floats(&mut gpu, &[0.0; 3]));
    let scale = kernel(&mut gpu, "scale");
    let calls = stand_in.calls();
    assert!(calls.contains(&"option --gpu-architecture=gfx90a:sramecc+:xnack-".to_owned()), "{calls:?}");
    let list = vec![Launch { local: 100, ..launch(scale, x, y, 2.0) }; 4];
    for _ in 0..3 {
        gpu.launch(&list).unwrap();
        assert_eq!(stand_in.calls(), vec!["launch scale 4 5 6 x 32 2 1, 100"; 4]);
    }
    assert_eq!(read(&mut gpu, y), [2.0, 4.0, 6.0]);
    stand_in.fail_next("wait", 719);
    let error = gpu.finish().unwrap_err().to_string();
    assert!(error.contains("hipErrorLaunchFailure: unspecified launch failure"), "{error}");
}

/// Two devices of the library that stands in for the vendor's, with the same values doubled on the second.
fn two_devices(stand_in: &StandIn, values: &[f32]) -> (Vec<Box<dyn Device>>, Vec<BufId>) {
    let open = |ordinal: usize| -> (Box<dyn Device>, BufId) {
        let found = (&stand_in.libraries(), Switches::parse("").unwrap());
        let gpu = Gpu::open(Vendor::Nvidia, ordinal, &Limits::default(), found).unwrap();
        let mut device = GpuDevice::new(Box::new(gpu), Precision::Exact).unwrap();
        let buf = device.buffer("x", 2, values.len() / 2).unwrap();
        let own: Vec<f32> = values.iter().map(|x| x * (ordinal as f32 + 1.0)).collect();
        device.write(buf, &own).unwrap();
        (Box::new(device), buf)
    };
    (0..2).map(open).unzip()
}

#[test]
fn sums_over_devices_are_made_by_the_vendors_library() {
    let (Some(cuda), Some(nccl)) = (stand_in(&[]), made_of("nccl.c", &[])) else { return };
    let (mut devices, bufs) = two_devices(&cuda, &[1.0, -2.0, 3.0, 4.0]);
    let from = [nccl.path.clone()];
    let mut collective = Collective::open_from(Vendor::Nvidia, &[0, 1], &from).unwrap();
    assert_eq!(collective.name(), "NCCL 2.27.3");
    // The first row alone.
    collective.sum(&mut devices, &bufs, 2).unwrap();
    collective.sum(&mut devices, &bufs, 0).unwrap();
    for (device, (buf, second)) in devices.iter_mut().zip(bufs.iter().zip([[3.0, 4.0], [6.0, 8.0]])) {
        let mut values = [0.0; 4];
        device.read(*buf, &mut values).unwrap();
        assert_eq!(values, [3.0, -6.0, second[0], second[1]]);
    }
    let fail: unsafe extern "C" fn(c_int) = nccl.function("stand_in_fail");
    // SAFETY: a number.
    unsafe { fail(2) };
    let error = collective.sum(&mut devices, &bufs, 4).unwrap_err().to_string();
    assert!(error.contains("NCCL 2.27.3") && error.contains("unhandled system error"), "{error}");
    // The group was closed all the same.
    collective.sum(&mut devices, &bufs, 4).unwrap();
    drop(collective);
    let calls: unsafe extern "C" fn() -> *const c_char = nccl.function("stand_in_calls");
    // SAFETY: the text ends with a zero.
    let calls = unsafe { CStr::from_ptr(calls()) }.to_str().unwrap();
    let lines: Vec<&str> = calls.lines().collect();
    let expected =
        ["join 0 2", "join 1 2", "sum 0 2", "sum 1 2", "sum 0 4", "sum 1 4", "leave 0 0", "leave 1 0"];
    assert!(expected.iter().all(|call| lines.contains(call)), "{calls}");
}

#[test]
fn without_the_vendors_library_nothing_is_summed() {
    let nowhere = [PathBuf::from("libno-such-collective.so.2")];
    let error = Collective::open_from(Vendor::Nvidia, &[0, 1], &nowhere).err().unwrap().to_string();
    assert!(error.contains("libno-such-collective") && error.contains("TORCHLESS_NCCL"), "{error}");
    assert!(error.contains("--split layers"), "{error}");
    let (Some(cuda), Some(nccl)) = (stand_in(&[]), made_of("nccl.c", &[])) else { return };
    let error = Collective::open_from(Vendor::Amd, &[0, 1], std::slice::from_ref(&cuda.path))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("no function ncclGetVersion") && error.contains("RCCL"), "{error}");
    let error = Collective::open_from(Vendor::Nvidia, &[1, 1], std::slice::from_ref(&nccl.path))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("joining devices [1, 1]") && error.contains("invalid usage"), "{error}");
}

/// Without GPUs it refuses them in its own words; with two it takes them.
#[test]
fn nvidias_own_library_has_the_functions_that_are_called() {
    if env::var_os("TORCHLESS_NCCL").is_none() {
        eprintln!("skipped: TORCHLESS_NCCL names no library");
        return;
    }
    match Collective::open(Vendor::Nvidia, &[0, 1]) {
        Ok(collective) => assert!(collective.name().starts_with("NCCL 2."), "{}", collective.name()),
        Err(error) => {
            let words = error.to_string();
            assert!(words.starts_with("NCCL 2.") && words.contains("joining devices [0, 1]"), "{words}");
        }
    }
}

#[test]
fn switches_are_known_words() {
    let expected = Switches { graphs: false, overlap: true, wait: true };
    assert_eq!(Switches::parse(" wait, no-graphs").unwrap(), expected);
    let error = Switches::parse("fast").unwrap_err();
    assert_eq!(error, "unknown word 'fast' (known: wait, no-graphs, no-overlap)");
}

#[test]
fn the_vendors_own_compiler_takes_the_dialect() {
    let compiler = match Compiler::load(Vendor::Nvidia, None) {
        Ok(compiler) => compiler,
        Err(reason) => return eprintln!("skipped: no NVRTC: {reason} (TORCHLESS_NVRTC may name its folder)"),
    };
    let text = program(KERNELS).text(Dialect::Cuda(9, 0));
    for architecture in ["sm_75", "sm_80", "sm_90a"] {
        let options = compiler::options(Vendor::Nvidia, architecture);
        let code = compiler.compile("suite", &text, &options).unwrap();
        assert_eq!(&code[..4], b"\x7fELF", "{architecture} {}", compiler.name);
        let error = compiler
            .compile("suite", &format!("{text} KERNEL(w)(IDS) {{ missing(); }}"), &options)
            .unwrap_err();
        assert!(error.contains("suite.cu(") && error.contains("\"missing\" is undefined"), "{error}");
    }
}

/// For one architecture only: versions of hipRTC have crashed over a second one in the same process.
#[test]
fn the_other_vendors_compiler_takes_the_dialect_too() {
    let compiler = match Compiler::load(Vendor::Amd, None) {
        Ok(compiler) => compiler,
        Err(reason) => {
            return eprintln!("skipped: no hipRTC: {reason} (TORCHLESS_HIPRTC may name its folder)");
        }
    };
    let options = ["--gpu-architecture=gfx90a:sramecc+:xnack-".to_owned(), "--std=c++17".to_owned()];
    let code = compiler.compile("suite", &program(KERNELS).text(Dialect::Hip(64)), &options).unwrap();
    assert_eq!(&code[..4], b"\x7fELF", "{}", compiler.name);
}
