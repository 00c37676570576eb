//! Speed of products per type and shape, beside the ceilings of this machine measured in the same run.
//!
//! `cargo bench -p torchless-kernels --bench matmul -- [--threads N] [--kernels NAME] [--types Q4_0,Q4_K] [--tokens 512]`
//! prints, for each type, products with one token (bytes of weights per second, memory being the limit) and with many
//! (operations per second), each as the median and the best of the repetitions.

use std::time::Instant;
use torchless_kernels::{
    ActNeeds, Activations, Cpu, Layout, MatmulJob, MatrixRef, Precision, Store, best, by_name,
};
use torchless_quant::TensorType;

/// Rows and columns of the matrices of a model with a billion weights.
const SHAPES: [(usize, usize); 3] = [(2048, 2048), (8192, 2048), (2048, 8192)];
/// Bytes of weights for products with one token: several times the caches.
const STREAM: usize = 160 << 20;
const REPEAT: usize = 9;

struct Options {
    threads: usize,
    kernels: Option<String>,
    types: Vec<TensorType>,
    tokens: Vec<usize>,
    layout: Layout,
}

fn options() -> Options {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let types = "Q4_0,Q4_1,Q5_0,Q5_1,Q8_0,Q2_K,Q3_K,Q4_K,Q5_K,Q6_K,IQ4_NL,Int8G64,F16,BF16,F32";
    let mut found =
        Options { threads, kernels: None, types: list(types), tokens: vec![512], layout: Layout::Strips };
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
        match arg.as_str() {
            "--threads" => found.threads = value().parse().expect("a number of threads"),
            "--kernels" => found.kernels = Some(value()),
            "--types" => found.types = list(&value()),
            "--tokens" => {
                found.tokens = value().split(',').map(|n| n.parse().expect("a number of tokens")).collect();
            }
            "--file" => found.layout = Layout::File,
            _ => panic!("unknown argument {arg}"),
        }
    }
    found
}

fn list(names: &str) -> Vec<TensorType> {
    let ty = |name| TensorType::from_name(name).unwrap_or_else(|| panic!("unknown type {name}"));
    names.split(',').map(ty).collect()
}

/// Median and best time of `f` in seconds, after one run to warm up.
fn time(repeat: usize, mut f: impl FnMut()) -> (f64, f64) {
    f();
    let mut times: Vec<f64> = (0..repeat)
        .map(|_| {
            let start = clock();
            f();
            clock() - start
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[repeat / 2], times[0])
}

/// Seconds of this thread's own processor time where `CPU_TIME` is set (with one thread, on a machine that others use too),
/// else of the clock on the wall.
fn clock() -> f64 {
    static START: std::sync::LazyLock<(Instant, bool)> =
        std::sync::LazyLock::new(|| (Instant::now(), std::env::var_os("CPU_TIME").is_some()));
    let (start, cpu_time) = *START;
    if cpu_time { thread_seconds() } else { start.elapsed().as_secs_f64() }
}

#[cfg(target_os = "linux")]
fn thread_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every Linux, and the place for the answer is valid.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

#[cfg(not(target_os = "linux"))]
fn thread_seconds() -> f64 {
    panic!("CPU_TIME is only for Linux")
}

struct Ceilings {
    int8: f64,
    f32: f64,
    read: f64,
}

fn ceilings(cpu: &Cpu) -> Ceilings {
    let data = vec![1_u8; STREAM];
    let rate = |work: u64, seconds: f64| work as f64 / seconds / 1e9;
    let mut work = 0;
    let int8 = time(REPEAT, || work = cpu.probe_int8(1 << 20));
    let int8 = rate(work, int8.1);
    let f32 = time(REPEAT, || work = cpu.probe_f32(1 << 20));
    let f32 = rate(work, f32.1);
    let read = time(REPEAT, || work = cpu.probe_read(&data));
    let read = rate(work, read.1);
    Ceilings { int8, f32, read }
}

fn main() {
    let options = options();
    let kernels = match &options.kernels {
        Some(name) => by_name(name).unwrap_or_else(|| panic!("no table {name} on this machine")),
        None => best(),
    };
    let cpu = Cpu::new(kernels, options.threads);
    let top = ceilings(&cpu);
    eprintln!(
        "{} x {}: int8 {:.0} GOP/s, f32 {:.0} GFLOP/s, read {:.1} GB/s",
        kernels.name, options.threads, top.int8, top.f32, top.read
    );
    for n in [1, 512] {
        prepare(&cpu, n);
    }
    for ty in &options.types {
        gemv(&cpu, *ty, options.layout, &top);
        for n in &options.tokens {
            for shape in SHAPES {
                gemm(&cpu, *ty, (shape, *n, options.layout), &top);
            }
        }
    }
}

/// Bytes of a matrix in the file's layout. All bits are sensible for speed but those that make scales odd.
fn weights(ty: TensorType, rows: usize, cols: usize) -> (Vec<u8>, Vec<u8>) {
    let bytes = rows * ty.row_bytes(cols).expect("whole blocks");
    let data = (0..bytes).map(|i| (i as u8).wrapping_mul(37) & 0x3b).collect();
    let scales = 100.0_f32.to_le_bytes().repeat(rows * ty.row_scale_bytes(cols).expect("whole blocks") / 4);
    (data, scales)
}

fn run(cpu: &Cpu, w: MatrixRef<'_>, n: usize, repeat: usize) -> (f64, f64) {
    let needs = ActNeeds::of(w.ty, Precision::Fast);
    let x: Vec<f32> = (0..n * w.cols).map(|i| (i % 97) as f32 * 0.01 - 0.4).collect();
    let mut acts = Activations::new(n, w.cols, needs);
    let mut y = vec![0.0; n * w.rows];
    cpu.prepare(&x, w.cols, needs, &mut acts);
    time(repeat, || cpu.matmul(&mut [MatmulJob { w, bias: None, y: &mut y, store: Store::Set }], &acts))
}

fn prepare(cpu: &Cpu, n: usize) {
    let cols = 2048;
    let x: Vec<f32> = (0..n * cols).map(|i| (i % 97) as f32 * 0.01 - 0.4).collect();
    for ty in [TensorType::Q4_0, TensorType::F32] {
        let needs = ActNeeds::of(ty, Precision::Fast);
        let mut acts = Activations::new(n, cols, needs);
        let rounds = 1 + 512 / n;
        let (median, best) =
            time(REPEAT, || (0..rounds).for_each(|_| cpu.prepare(&x, cols, needs, &mut acts)));
        let each = |seconds: f64| seconds / rounds as f64 * 1e6;
        eprintln!("activations of {n} x {cols} for {ty}: {:.1} us (best {:.1})", each(median), each(best));
    }
}

fn gemv(cpu: &Cpu, ty: TensorType, layout: Layout, top: &Ceilings) {
    let cols = 2048;
    let row = ty.row_bytes(cols).expect("whole blocks") + ty.row_scale_bytes(cols).expect("whole blocks");
    let rows = STREAM / row / 16 * 16;
    let (data, scales) = weights(ty, rows, cols);
    let file = MatrixRef { ty, layout: Layout::File, rows, cols, data: &data, scales: &scales };
    let packed = cpu.pack(file);
    let w = if layout == Layout::File { file } else { packed.as_ref() };
    let (median, best) = run(cpu, w, 1, REPEAT);
    let rate = |seconds: f64| (rows * row) as f64 / seconds / 1e9;
    eprintln!(
        "{:8} {rows:6} x {cols}, 1 token: {:6.1} GB/s (best {:.1}, {:.0} % of reading)",
        ty.info().name,
        rate(median),
        rate(best),
        rate(best) / top.read * 100.0
    );
}

fn gemm(
    cpu: &Cpu,
    ty: TensorType,
    ((rows, cols), n, layout): ((usize, usize), usize, Layout),
    top: &Ceilings,
) {
    let (data, scales) = weights(ty, rows, cols);
    let file = MatrixRef { ty, layout: Layout::File, rows, cols, data: &data, scales: &scales };
    let packed = cpu.pack(file);
    let w = if layout == Layout::File { file } else { packed.as_ref() };
    let (median, best) = run(cpu, w, n, REPEAT);
    let rate = |seconds: f64| (2 * rows * cols * n) as f64 / seconds / 1e9;
    let float = matches!(ty, TensorType::F32 | TensorType::F16 | TensorType::BF16);
    let peak = if float { top.f32 } else { top.int8 };
    eprintln!(
        "{:8} {rows:6} x {cols}, {n} tokens: {:6.0} GOP/s (best {:.0}, {:.0} % of peak)",
        ty.info().name,
        rate(median),
        rate(best),
        rate(best) / peak * 100.0
    );
}
