//! The emulator itself: what it computes of the instructions of a warp, and that it notices what a GPU would not say.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a failure ends the test")]

use torchless_device_gpu::Program;
use torchless_device_gpu::driver::{Arg, Dialect, Driver, Launch, Limits, MemoryId, Place};
use torchless_gpu_emulator::{Emulator, find_compiler};

/// A device, or why the test is skipped.
fn emulator() -> Option<Emulator> {
    match find_compiler() {
        Ok(compiler) => Some(Emulator::new(compiler, Dialect::Cuda(9, 0), &Limits::default())),
        Err(reason) => {
            eprintln!("skipped: {reason}");
            None
        }
    }
}

/// Runs `kernel` of `text` with `threads` threads on `out`, zeros at first, and gives what it left there.
fn run(text: &'static str, threads: u32, out: usize) -> Option<Result<Vec<i32>, String>> {
    let mut device = emulator()?;
    let program = Program { name: "test".to_owned(), defines: vec![], parts: vec![text] };
    let program = device.program(&program).unwrap();
    let kernel = device.kernel(program, "kernel").unwrap();
    let memory = device.alloc(out as u64 * 4, "results").unwrap();
    device.zero(Place { memory, offset: 0 }, out as u64 * 4).unwrap();
    let args = vec![Arg::Memory(memory)];
    let launch = Launch { kernel, groups: [1, 1, 1], threads: [threads, 1, 1], local: 256, args };
    let done = device.launch(&[launch]).map_err(|error| error.to_string());
    Some(done.map(|()| integers(&mut device, memory, out)))
}

fn integers(device: &mut Emulator, memory: MemoryId, count: usize) -> Vec<i32> {
    let mut bytes = vec![0; count * 4];
    device.read(Place { memory, offset: 0 }, &mut bytes).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|four| i32::from_le_bytes(*four)).collect()
}

fn check(text: &'static str, threads: u32, want: impl Fn(usize) -> i32) {
    let Some(got) = run(text, threads, threads as usize) else { return };
    let want: Vec<i32> = (0..threads as usize).map(want).collect();
    assert_eq!(got.unwrap(), want);
}

fn check_error(text: &'static str, threads: u32, words: &str) {
    let Some(got) = run(text, threads, 60) else { return };
    let error = got.unwrap_err();
    assert!(error.contains(words), "{error}");
}

#[test]
fn shuffles_bring_other_lanes_values() {
    let text = "KERNEL(kernel)(OUT(int, out)) {
        int lane = THREAD(0) % 32, base = THREAD(0) - lane;
        int sum = 0;
        for (int i = 1; i < 32; i *= 2) sum = sum * 3 + __shfl_xor_sync(0xffffffffu, THREAD(0), i);
        int down = __shfl_down_sync(0xffffffffu, THREAD(0), 3), from = __shfl_sync(0xffffffffu, THREAD(0), 7, 8);
        out[THREAD(0)] = sum * 10000 + down * 100 + from;
    }";
    check(text, 64, |t| {
        let (lane, base) = (t % 32, t - t % 32);
        let sum = [1, 2, 4, 8, 16].iter().fold(0, |sum, i| sum * 3 + (t ^ i));
        let down = if lane + 3 < 32 { t + 3 } else { t };
        (sum * 10000 + down * 100 + base + lane / 8 * 8 + 7) as i32
    });
}

#[test]
fn lanes_vote_in_their_mask() {
    let text = "KERNEL(kernel)(OUT(int, out)) {
        unsigned mask = THREAD(0) < 16 ? 0xffffu : 0xffff0000u;
        unsigned odd = __ballot_sync(mask, THREAD(0) & 1);
        int any = __any_sync(mask, THREAD(0) == 3), all = __all_sync(mask, THREAD(0) > 15);
        out[THREAD(0)] = (int)(odd & 0x7fffffffu) ^ (any << 1) ^ (all << 2);
    }";
    check(text, 32, |t| if t < 16 { 0xaaaa ^ 2 } else { 0x2aaa_0000 ^ 4 });
}

#[test]
fn those_who_left_are_not_waited_for() {
    let text = "KERNEL(kernel)(OUT(int, out)) {
        SHARED(int, seen, 64);
        if (THREAD(0) >= 40) return;
        seen[THREAD(0)] = THREAD(0);
        BARRIER();
        out[THREAD(0)] = seen[39 - THREAD(0)];
    }";
    check(text, 64, |t| if t < 40 { 39 - t as i32 } else { 0 });
}

#[test]
fn dot_products_and_permutations_of_bytes() {
    let text = "KERNEL(kernel)(OUT(int, out)) {
        int a = 0x80017f02, b = 0x02030405;
        int values[4] = {__dp4a(a, b, 10), (int)__byte_perm(0x33221100u, 0x77665544u, 0x7531), (int)__vsub4(0x01020304u, 0x02020202u),
                         (int)__byte_perm(0x80u, 0u, 0x8888)};
        out[THREAD(0)] = values[THREAD(0)];
    }";
    check(text, 4, |t| {
        [10 + 2 * 5 + 127 * 4 + 3 - 128 * 2, 0x7755_3311, 0xff00_0102_u32.cast_signed(), -1][t]
    });
}

#[test]
fn a_barrier_that_is_missing_shows() {
    // Whichever way the threads run, some read what is not written yet.
    let text = "KERNEL(kernel)(OUT(int, out)) {
        SHARED(int, seen, 64);
        seen[THREAD(0)] = 1;
        out[THREAD(0)] = seen[63 - THREAD(0)];
    }";
    let Some(got) = run(text, 64, 64) else { return };
    assert!(got.unwrap().contains(&-1));
}

#[test]
fn threads_that_wait_for_nobody_are_an_error() {
    let text = "KERNEL(kernel)(OUT(int, out)) {
        if (THREAD(0) < 8) __syncwarp(); else BARRIER();
        out[0] = 1;
    }";
    check_error(text, 32, "kernel: threads wait for others that never come");
}

#[test]
fn a_lane_outside_its_mask_is_an_error() {
    let text = "KERNEL(kernel)(OUT(int, out)) { out[0] = __shfl_sync(1u, 1, 0); }";
    check_error(text, 2, "kernel: a lane that is not in its own mask");
    let text = "KERNEL(kernel)(OUT(int, out)) { out[0] = __shfl_sync(3u, 1, 5); }";
    check_error(text, 2, "kernel: a shuffle from a lane outside its mask");
}

#[test]
fn arguments_of_another_kind_are_an_error() {
    check_error("KERNEL(kernel)(INT(n)) {}", 1, "kernel: an argument of another kind");
    check_error("KERNEL(kernel)(OUT(int, out), INT(n)) {}", 1, "kernel: another number of arguments");
}

#[test]
fn a_stack_that_overflows_is_an_error() {
    let text = "static int deep(volatile char *above, int n) {
        volatile char room[1024];
        for (int i = 0; i < 1024; i++) room[i] = (char)n;
        return n > 0 ? deep(room, n - 1) + above[n] : room[5];
    }
    KERNEL(kernel)(OUT(int, out)) { volatile char top[200]; out[0] = deep(top, 135); }";
    check_error(text, 1, "kernel: a stack overflowed");
}

#[test]
fn a_write_beyond_the_end_is_an_error() {
    check_error(
        "KERNEL(kernel)(OUT(int, out)) { out[60] = 1; }",
        1,
        "kernel: results was written beyond its end",
    );
    let Some(got) = run("KERNEL(kernel)(OUT(u8, out)) { out[255] = 1; }", 1, 64) else { return };
    assert_eq!(got.unwrap()[63], 1 << 24);
}
