//! The checks. Each makes a program of its own out of the dialect.

use std::panic::{AssertUnwindSafe, catch_unwind};

use torchless_device_gpu::driver::{Arg, Driver, KernelId, Launch, Limits, MemoryId, Opened, Place};
use torchless_device_gpu::{GpuError, Program};
use torchless_gpu_emulator::drivers;

use crate::{on_every_driver, on_every_driver_within};

const SCALE: &str = "
KERNEL(scale)(IN(float, x), OUT(float, y), INT(n), FLOAT(factor) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    if (i < n) { y[i] = x[i] * factor; }
}
KERNEL(reversed)(OUT(float, x) IDS) {
    SHARED(float, seen, 64);
    WAIT_FOR_EARLIER();
    seen[THREAD(0)] = x[GROUP(0) * 64 + THREAD(0)];
    BARRIER();
    x[GROUP(0) * 64 + THREAD(0)] = seen[63 - THREAD(0)] + OFFSET;
}
KERNEL(where)(OUT(u32, x) IDS) {
    WAIT_FOR_EARLIER();
    int group = GROUP(0) + GROUPS(0) * (GROUP(1) + GROUPS(1) * GROUP(2));
    int thread = THREAD(0) + THREADS(0) * (THREAD(1) + THREADS(1) * THREAD(2));
    x[group * THREADS(0) * THREADS(1) * THREADS(2) + thread] = 1000 * group + thread;
}
KERNEL(halves)(IN(u16, x), OUT(float, y), OUT(u16, back) IDS) {
    WAIT_FOR_EARLIER();
    int i = GROUP(0) * THREADS(0) + THREAD(0);
    y[i] = from_half(x[i]);
    back[i] = to_half(y[i]);
}
";

fn program(part: &'static str) -> Program {
    Program { name: "suite".to_owned(), defines: vec![("OFFSET", "100".to_owned())], parts: vec![part] }
}

fn kernel(driver: &mut dyn Driver, name: &str) -> KernelId {
    let program = driver.program(&program(SCALE)).unwrap();
    driver.kernel(program, name).unwrap()
}

fn at(memory: MemoryId, offset: u64) -> Place {
    Place { memory, offset }
}

fn launch(kernel: KernelId, groups: u32, threads: u32, args: &[Arg]) -> Launch {
    Launch { kernel, groups: [groups, 1, 1], threads: [threads, 1, 1], local: 0, args: args.to_vec() }
}

fn floats(driver: &mut dyn Driver, values: &[f32]) -> MemoryId {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let memory = driver.alloc(bytes.len() as u64, "floats").unwrap();
    driver.write(at(memory, 0), &bytes).unwrap();
    memory
}

fn read_floats(driver: &mut dyn Driver, from: MemoryId, count: usize) -> Vec<f32> {
    let mut bytes = vec![0; count * 4];
    driver.read(at(from, 0), &mut bytes).unwrap();
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

fn ascending(count: usize) -> Vec<f32> {
    (0..count).map(|i| i as f32).collect()
}

#[test]
fn what_is_written_at_an_offset_is_read_there() {
    on_every_driver(&|driver| {
        let memory = driver.alloc(1000, "bytes").unwrap();
        driver.zero(at(memory, 0), 1000).unwrap();
        driver.write(at(memory, 7), &[1, 2, 3]).unwrap();
        driver.write(at(memory, 997), &[4, 5, 6]).unwrap();
        let mut out = vec![9; 1000];
        driver.read(at(memory, 0), &mut out).unwrap();
        let mut expected = vec![0; 1000];
        expected[7..10].copy_from_slice(&[1, 2, 3]);
        expected[997..].copy_from_slice(&[4, 5, 6]);
        assert_eq!(out, expected);
        let mut few = [0; 2];
        driver.read(at(memory, 998), &mut few).unwrap();
        assert_eq!(few, [5, 6]);
    });
}

#[test]
fn large_writes_arrive_whole() {
    on_every_driver(&|driver| {
        let bytes: Vec<u8> =
            (0..40_000_003_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let memory = driver.alloc(bytes.len() as u64, "a large matrix").unwrap();
        driver.write(at(memory, 0), &bytes).unwrap();
        let mut out = vec![0; bytes.len()];
        driver.read(at(memory, 0), &mut out).unwrap();
        assert!(out == bytes);
    });
}

#[test]
fn copies_and_zeros_touch_their_range_only() {
    on_every_driver(&|driver| {
        let from = driver.alloc(64, "from").unwrap();
        let to = driver.alloc(64, "to").unwrap();
        driver.write(at(from, 0), &(0..64).collect::<Vec<u8>>()).unwrap();
        driver.write(at(to, 0), &[200; 64]).unwrap();
        driver.copy(at(from, 10), at(to, 20), 5).unwrap();
        driver.copy(at(to, 20), at(to, 40), 5).unwrap();
        driver.zero(at(to, 60), 3).unwrap();
        let mut out = [0; 64];
        driver.read(at(to, 0), &mut out).unwrap();
        let mut expected = [200; 64];
        expected[20..25].copy_from_slice(&[10, 11, 12, 13, 14]);
        expected[40..45].copy_from_slice(&[10, 11, 12, 13, 14]);
        expected[60..63].fill(0);
        assert_eq!(out, expected);
    });
}

#[test]
fn nothing_is_read_written_copied_and_zeroed_without_harm() {
    on_every_driver(&|driver| {
        let empty = driver.alloc(0, "nothing").unwrap();
        driver.write(at(empty, 0), &[]).unwrap();
        driver.read(at(empty, 0), &mut []).unwrap();
        driver.zero(at(empty, 0), 0).unwrap();
        driver.copy(at(empty, 0), at(empty, 0), 0).unwrap();
        driver.launch(&[]).unwrap();
        driver.finish().unwrap();
        driver.free(empty);
    });
}

#[test]
fn a_kernel_gets_memory_integers_and_floats_in_order() {
    on_every_driver(&|driver| {
        let scale = kernel(driver, "scale");
        let x = floats(driver, &ascending(1000));
        let y = floats(driver, &[-1.0; 1000]);
        let args = [Arg::Memory(x), Arg::Memory(y), Arg::Int(999), Arg::Float(0.5)];
        driver.launch(&[launch(scale, 16, 64, &args)]).unwrap();
        let mut expected: Vec<f32> = ascending(1000).iter().map(|x| x * 0.5).collect();
        expected[999] = -1.0;
        assert_eq!(read_floats(driver, y, 1000), expected);
    });
}

#[test]
fn groups_share_memory_and_wait_for_each_other() {
    on_every_driver(&|driver| {
        let reversed = kernel(driver, "reversed");
        let x = floats(driver, &ascending(128));
        driver.launch(&[launch(reversed, 2, 64, &[Arg::Memory(x)])]).unwrap();
        let expected: Vec<f32> =
            (0..64).rev().chain((64..128).rev()).map(|i: i32| i as f32 + 100.0).collect();
        assert_eq!(read_floats(driver, x, 128), expected);
    });
}

#[test]
fn groups_and_threads_count_in_three_directions() {
    on_every_driver(&|driver| {
        let kernel = kernel(driver, "where");
        let x = floats(driver, &[0.0; 24 * 24]);
        let launch =
            Launch { kernel, groups: [2, 3, 4], threads: [4, 3, 2], local: 0, args: vec![Arg::Memory(x)] };
        driver.launch(&[launch]).unwrap();
        let seen: Vec<u32> = read_floats(driver, x, 24 * 24).iter().map(|value| value.to_bits()).collect();
        let expected: Vec<u32> = (0..24).flat_map(|group| (0..24).map(move |i| 1000 * group + i)).collect();
        assert_eq!(seen, expected);
    });
}

#[test]
fn every_half_survives_a_round_trip() {
    on_every_driver(&|driver| {
        let halves = kernel(driver, "halves");
        let patterns: Vec<u16> = (0..=u16::MAX).filter(|bits| bits & 0x7c00 != 0x7c00).collect();
        let bytes: Vec<u8> = patterns.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let x = driver.alloc(bytes.len() as u64, "halves").unwrap();
        driver.write(at(x, 0), &bytes).unwrap();
        let y = floats(driver, &vec![0.0; patterns.len()]);
        let back = driver.alloc(bytes.len() as u64, "halves again").unwrap();
        let args = [x, y, back].map(Arg::Memory);
        let groups = patterns.len() as u32 / 64;
        driver.launch(&[launch(halves, groups, 64, &args)]).unwrap();
        let mut again = vec![0; bytes.len()];
        driver.read(at(back, 0), &mut again).unwrap();
        assert!(again == bytes);
        let one = patterns.iter().position(|bits| *bits == 0x3c00).unwrap();
        assert_eq!(read_floats(driver, y, patterns.len())[one], 1.0);
    });
}

#[test]
fn a_list_that_comes_again_runs_again_in_order() {
    on_every_driver(&|driver| {
        let scale = kernel(driver, "scale");
        let a = floats(driver, &[1.0; 64]);
        let b = floats(driver, &[0.0; 64]);
        let step = |from: MemoryId, to: MemoryId, factor: f32| {
            launch(scale, 1, 64, &[Arg::Memory(from), Arg::Memory(to), Arg::Int(64), Arg::Float(factor)])
        };
        let list = [step(a, b, 4.0), step(b, a, 0.5)];
        for _ in 0..20 {
            driver.launch(&list).unwrap();
        }
        let other = [step(a, b, 4.0), step(b, a, 0.25)];
        driver.launch(&other).unwrap();
        assert_eq!(read_floats(driver, a, 64), vec![2_f32.powi(20); 64]);
    });
}

#[test]
fn thousands_of_launches_wait_for_nobody() {
    on_every_driver(&|driver| {
        let scale = kernel(driver, "scale");
        let a = floats(driver, &[1.0; 64]);
        let args = [Arg::Memory(a), Arg::Memory(a), Arg::Int(64), Arg::Float(-1.0)];
        let list = vec![launch(scale, 1, 64, &args); 5001];
        driver.launch(&list).unwrap();
        driver.finish().unwrap();
        assert_eq!(read_floats(driver, a, 64), vec![-1.0; 64]);
    });
}

#[test]
fn a_program_that_is_wrong_is_refused_in_the_compilers_words() {
    on_every_driver(&|driver| {
        let wrong = program("KERNEL(wrong)(OUT(float, x) IDS) { x[0] = no_such_variable; }");
        let GpuError::Compile { program, reason, .. } = driver.program(&wrong).unwrap_err() else {
            panic!("another error");
        };
        assert_eq!(program, "suite");
        assert!(reason.contains("no_such_variable"), "{reason}");
    });
}

#[test]
fn a_kernel_that_is_not_there_is_named() {
    on_every_driver(&|driver| {
        let program = driver.program(&program(SCALE)).unwrap();
        let error = driver.kernel(program, "absent").unwrap_err().to_string();
        assert!(error.contains("absent") && error.contains("suite"), "{error}");
    });
}

#[test]
fn the_same_program_is_compiled_once() {
    on_every_driver(&|driver| {
        let first = driver.program(&program(SCALE)).unwrap();
        assert_eq!(driver.program(&program(SCALE)).unwrap(), first);
        let mut other = program(SCALE);
        other.defines[0].1 = "7".to_owned();
        assert_ne!(driver.program(&other).unwrap(), first);
    });
}

#[test]
fn a_launch_that_cannot_be_is_refused_and_the_next_one_runs() {
    on_every_driver(&|driver| {
        let reversed = kernel(driver, "reversed");
        let x = floats(driver, &ascending(64));
        let args = [Arg::Memory(x)];
        let most = driver.info().max_group;
        for wrong in [
            launch(reversed, 1, most + 1, &args),
            launch(reversed, 0, 64, &args),
            launch(reversed, 1, 64, &[]),
            launch(reversed, 1, 64, &[args[0], args[0]]),
        ] {
            let error = driver.launch(std::slice::from_ref(&wrong)).unwrap_err().to_string();
            assert!(error.contains("reversed") && error.contains(&driver.info().name), "{error}");
        }
        driver.launch(&[launch(reversed, 1, 64, &args)]).unwrap();
        assert_eq!(read_floats(driver, x, 2), [163.0, 162.0]);
    });
}

#[test]
fn memory_beyond_the_limit_is_refused_and_comes_back_when_freed() {
    let limits = Limits { memory: Some(1 << 20), programs: None };
    on_every_driver_within(&limits, &|driver| {
        let half = driver.alloc(1 << 19, "half").unwrap();
        let error = driver.alloc((1 << 19) + 1, "the other half").unwrap_err();
        assert!(matches!(error, GpuError::OutOfMemory { free: 524_288, .. }), "{error}");
        assert!(error.to_string().contains("the other half"), "{error}");
        driver.free(half);
        driver.alloc(1 << 20, "all of it").unwrap();
        assert_eq!(driver.free_memory(), 0);
    });
}

#[test]
fn whether_a_model_fits_is_said_in_numbers() {
    for driver in drivers(&Limits { memory: Some(1 << 20), programs: None }) {
        let opened = Opened::new(driver);
        opened.room_for(opened.free).unwrap();
        let short = opened.room_for((1 << 20) + 1).unwrap_err();
        assert_eq!((short.needed, short.free), ((1 << 20) + 1, 1 << 20));
        assert!(short.device.contains(&opened.driver.info().name), "{}", short.device);
    }
}

#[test]
fn more_than_the_device_has_is_refused() {
    on_every_driver(&|driver| {
        let bytes = driver.info().memory + 1;
        let error = driver.alloc(bytes, "too much").unwrap_err();
        assert!(matches!(error, GpuError::OutOfMemory { .. } | GpuError::TooLarge { .. }), "{error}");
        driver.alloc(1024, "little").unwrap();
    });
}

#[test]
fn a_range_beyond_its_memory_is_a_broken_promise() {
    on_every_driver(&|driver| {
        let memory = driver.alloc(8, "bytes").unwrap();
        let beyond = AssertUnwindSafe(|| driver.write(at(memory, 6), &[1, 2, 3]));
        assert!(catch_unwind(beyond).is_err());
    });
}

#[test]
fn compiled_programs_are_kept_and_damaged_ones_compiled_again() {
    let folder = std::env::temp_dir().join(format!("torchless-suite-{}", std::process::id()));
    let limits = Limits { memory: None, programs: Some(folder.clone()) };
    let check = &|driver: &mut dyn Driver| {
        let scale = kernel(driver, "scale");
        let x = floats(driver, &ascending(64));
        let args = [Arg::Memory(x), Arg::Memory(x), Arg::Int(64), Arg::Float(2.0)];
        driver.launch(&[launch(scale, 1, 64, &args)]).unwrap();
        assert_eq!(read_floats(driver, x, 3), [0.0, 2.0, 4.0]);
    };
    let files = || std::fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    on_every_driver_within(&limits, check);
    on_every_driver_within(&limits, check);
    for file in files() {
        let mut bytes = std::fs::read(&file).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 0xff;
        std::fs::write(&file, bytes).unwrap();
    }
    on_every_driver_within(&limits, check);
    // No part of an entry stays behind.
    assert!(files().all(|file| file.extension().is_some_and(|extension| extension == "kernel")));
    let _ = std::fs::remove_dir_all(&folder);
}
