//! Every table and every type against one oracle in `f64`, and the properties that hold of all of them.

use torchless_kernels::{
    ActNeeds, Activation, Activations, Cpu, GluJob, Kernels, Layout, MatmulJob, MatrixRef, PackedMatrix,
    Precision, Store, available, is_decoded, packed_bytes,
};
use torchless_quant::TensorType;

/// A generator of numbers for the tests (Marsaglia's xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// In `-1.0..1.0`.
    fn float(&mut self) -> f32 {
        (self.next() & 0xff_ffff) as f32 / 8_388_608.0 - 1.0
    }

    fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.float()).collect()
    }
}

struct Weights {
    ty: TensorType,
    rows: usize,
    cols: usize,
    data: Vec<u8>,
    scales: Vec<u8>,
}

impl Weights {
    /// Random blocks, with scales and minima of a sensible size at the `half-precision` places of the type.
    fn random(ty: TensorType, rows: usize, cols: usize, random: &mut Random) -> Self {
        let info = ty.info();
        let mut data: Vec<u8> =
            (0..rows * ty.row_bytes(cols).expect("whole blocks")).map(|_| random.next() as u8).collect();
        let mut scales = vec![0; rows * ty.row_scale_bytes(cols).expect("whole blocks")];
        for block in data.chunks_exact_mut(info.block_bytes) {
            for at in half_places(ty) {
                let half = (0x1c00 + (random.next() & 0x3ff) as u16) | (random.next() as u16 & 0x8000);
                block[*at..at + 2].copy_from_slice(&half.to_le_bytes());
            }
            match ty {
                TensorType::F32 => block.copy_from_slice(&random.float().to_le_bytes()),
                TensorType::BF16 => block.copy_from_slice(&random.float().to_le_bytes()[2..]),
                TensorType::F64 => block.copy_from_slice(&f64::from(random.float()).to_le_bytes()),
                TensorType::Q8_K => block[..4].copy_from_slice(&random.float().to_le_bytes()),
                TensorType::MXFP4 => block[0] = 110 + block[0] % 16,
                // The upper bits of the scale lie in four places: a half of about 2^-9.
                TensorType::IQ1_M => {
                    for (at, nibble) in [(49, 0), (51, 0), (53, 0x80), (55, 0x10)] {
                        block[at] = block[at] & 15 | nibble;
                    }
                }
                // Without the greatest exponents, which have infinities and NaN.
                TensorType::F8_E4M3 | TensorType::F8_E5M2 => block[0] &= 0xbf,
                TensorType::F8_E4M3_G32 | TensorType::F8_E5M2_G32 => {
                    block.iter_mut().for_each(|byte| *byte &= 0xbf);
                }
                _ => {}
            }
        }
        if ty == TensorType::MXFP4Planes {
            scales.iter_mut().for_each(|exponent| *exponent = 110 + (random.next() % 16) as u8);
        } else {
            for scale in scales.as_chunks_mut::<4>().0 {
                *scale = (100.0 + 50.0 * random.float()).to_le_bytes();
            }
        }
        Self { ty, rows, cols, data, scales }
    }

    fn file(&self) -> MatrixRef<'_> {
        let Self { ty, rows, cols, ref data, ref scales } = *self;
        MatrixRef { ty, layout: Layout::File, rows, cols, data, scales }
    }

    fn values(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.rows * self.cols];
        self.ty.decode(&self.data, &self.scales, &mut out);
        out
    }
}

fn half_places(ty: TensorType) -> &'static [usize] {
    match ty {
        TensorType::F16 | TensorType::Q4_0 | TensorType::Q5_0 | TensorType::Q8_0 | TensorType::IQ4_NL => &[0],
        TensorType::Q4_1 | TensorType::Q5_1 | TensorType::Q4_K | TensorType::Q5_K => &[0, 2],
        TensorType::Q2_K => &[80, 82],
        TensorType::Q3_K => &[108],
        TensorType::Q6_K => &[208],
        TensorType::IQ1_S | TensorType::IQ2_XXS | TensorType::IQ2_XS | TensorType::IQ2_S => &[0],
        TensorType::IQ3_XXS | TensorType::IQ3_S | TensorType::IQ4_XS => &[0],
        TensorType::TQ1_0 => &[52],
        TensorType::TQ2_0 => &[64],
        TensorType::Q1_0 | TensorType::Q2_0 => &[0],
        _ => &[],
    }
}

/// Whether any number of columns goes.
fn is_float(ty: TensorType) -> bool {
    ty.info().block_len == 1
}

/// The activations as the product sees them: in 8 bits with a scale per 32 values, that and the rest in 8 bits, or as they are
/// (where they are pairs of bf16, to within the tolerance).
fn seen(x: &[f32], cols: usize, needs: ActNeeds) -> Vec<f64> {
    let as_they_are = [(TensorType::F32, Precision::Exact), (TensorType::F16, Precision::Fast)];
    if as_they_are.iter().any(|(ty, precision)| needs == ActNeeds::of(*ty, *precision)) {
        return x.iter().map(|v| f64::from(*v)).collect();
    }
    let mut out = Vec::new();
    for block in x.chunks(cols).flat_map(|row| row.chunks(32)) {
        let first = rounded(block);
        if needs == ActNeeds::of(TensorType::Q4_0, Precision::Fine) {
            let rest: Vec<f32> = block.iter().zip(&first).map(|(v, seen)| v - *seen as f32).collect();
            out.extend(rounded(&rest).iter().zip(&first).map(|(rest, first)| rest + first));
        } else {
            out.extend(first);
        }
    }
    out
}

/// A block in 8 bits.
fn rounded(block: &[f32]) -> Vec<f64> {
    let most = block.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    let (scale, inverse) = if most == 0.0 { (0.0, 0.0) } else { (most / 127.0, 127.0 / most) };
    block.iter().map(|v| f64::from((v * inverse).round_ties_even()) * f64::from(scale)).collect()
}

/// The product and, for each entry, the sum of absolute terms by which its error is judged.
fn oracle(w: &Weights, x: &[f64]) -> Vec<(f64, f64)> {
    let values = w.values();
    let mut out = Vec::new();
    for x in x.chunks_exact(w.cols) {
        for row in values.chunks_exact(w.cols) {
            let terms = row.iter().zip(x).map(|(w, x)| f64::from(*w) * x);
            out.push(terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs())));
        }
    }
    out
}

fn prepared(cpu: &Cpu, x: &[f32], cols: usize, needs: ActNeeds) -> Activations {
    let mut acts = Activations::new(x.len() / cols.max(1), cols, needs);
    cpu.prepare(x, cols, needs, &mut acts);
    acts
}

fn product(cpu: &Cpu, w: MatrixRef<'_>, x: &Activations) -> Vec<f32> {
    let mut y = vec![f32::NAN; x.shape().0 * w.rows];
    cpu.matmul(&mut [MatmulJob { w, bias: None, y: &mut y, store: Store::Set }], x);
    y
}

#[track_caller]
fn assert_close(what: &str, got: &[f32], want: &[(f64, f64)]) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, (want, size))) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        assert!(
            error <= 1e-5 * size + 1e-30,
            "{what}, entry {i}: {got}, want {want}, error {error}, size {size}"
        );
    }
}

#[track_caller]
fn assert_same_bits(what: &str, a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert_eq!(a.to_bits(), b.to_bits(), "{what}, entry {i}: {a} and {b}");
    }
}

/// One block, two, three, and some more than the kernels take in one stretch.
fn column_counts(ty: TensorType) -> Vec<usize> {
    let block = ty.info().block_len;
    if is_float(ty) {
        vec![1, 2, 7, 33, 64, 1031]
    } else {
        vec![block, 2 * block, 3 * block, 1024 + block, 2304]
    }
}

/// Calls `f` for every table and type.
fn for_all(threads: usize, f: impl Fn(&Cpu, TensorType, &mut Random)) {
    for table in available() {
        let cpu = Cpu::new(table, threads);
        for ty in TensorType::ALL.iter().filter(|ty| packed_bytes(**ty, 16, 1024).is_some()) {
            f(&cpu, *ty, &mut Random(0x9e37_79b9_7f4a_7c15));
        }
    }
}

#[test]
fn products_meet_the_oracle() {
    for_all(2, |cpu, ty, random| {
        let rows = [1, 15, 16, 17, 33, 50];
        let tokens = [1, 2, 3, 4, 5, 6, 7, 13, 24];
        let mut turn = 0;
        for cols in column_counts(ty) {
            for rows in rows {
                let n = tokens[turn % tokens.len()];
                turn += 1;
                let w = Weights::random(ty, rows, cols, random);
                let packed = cpu.pack(w.file());
                let x = random.floats(n * cols);
                for precision in [Precision::Fast, Precision::Fine, Precision::Exact] {
                    let needs = ActNeeds::of(ty, precision);
                    let acts = prepared(cpu, &x, cols, needs);
                    let want = oracle(&w, &seen(&x, cols, needs));
                    let what = format!("{} {ty} {precision:?} {rows} x {cols}, {n} tokens", cpu.kernels.name);
                    assert_close(&what, &product(cpu, packed.as_ref(), &acts), &want);
                }
            }
        }
    });
}

/// Tables that add products in words of 16 bits have to know how many fit.
#[test]
fn the_largest_codes_and_activations_fit() {
    for_all(1, |cpu, ty, random| {
        let halves = half_places(ty);
        if halves.is_empty() || is_float(ty) {
            return;
        }
        let cols = 2 * ty.info().block_len;
        for (byte, value) in [(0xff, 1.0), (0xff, -1.0), (0, 1.0), (0, -1.0)] {
            let mut w = Weights::random(ty, 16, cols, random);
            for block in w.data.chunks_exact_mut(ty.info().block_bytes) {
                let of_a_half = |i: usize| halves.iter().any(|at| (*at..at + 2).contains(&i));
                block.iter_mut().enumerate().filter(|(i, _)| !of_a_half(*i)).for_each(|(_, b)| *b = byte);
            }
            let x = vec![value; 3 * cols];
            let acts = prepared(cpu, &x, cols, ActNeeds::of(ty, Precision::Fast));
            let what = format!("{} {ty}, bytes of {byte} by {value}", cpu.kernels.name);
            let want = oracle(&w, &seen(&x, cols, ActNeeds::of(ty, Precision::Fast)));
            assert_close(&what, &product(cpu, cpu.pack(w.file()).as_ref(), &acts), &want);
        }
    });
}

#[test]
fn what_rounding_leaves_over_is_not_lost() {
    for_all(1, |cpu, ty, random| {
        let w = Weights::random(ty, 16, 512, random);
        let x = random.floats(512);
        let want = oracle(&w, &x.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
        let furthest = |precision| {
            let acts = prepared(cpu, &x, 512, ActNeeds::of(ty, precision));
            let got = product(cpu, w.file(), &acts);
            got.iter().zip(&want).map(|(got, (want, _))| (f64::from(*got) - want).abs()).fold(0.0, f64::max)
        };
        let (fast, fine) = (furthest(Precision::Fast), furthest(Precision::Fine));
        let rounds = !is_float(ty) && !is_decoded(ty);
        assert!(!rounds || fine < fast / 20.0, "{} {ty}: {fine} and {fast}", cpu.kernels.name);
    });
}

#[test]
fn a_token_alone_and_in_company_gives_the_same_bits() {
    for_all(2, |cpu, ty, random| {
        let cols = if is_float(ty) { 77 } else { 2 * ty.info().block_len.max(128) };
        let w = Weights::random(ty, 35, cols, random);
        let packed = cpu.pack(w.file());
        let x = random.floats(40 * cols);
        for precision in [Precision::Fast, Precision::Fine, Precision::Exact] {
            let needs = ActNeeds::of(ty, precision);
            let run = |x: &[f32]| product(cpu, packed.as_ref(), &prepared(cpu, x, cols, needs));
            let alone: Vec<f32> = x.chunks_exact(cols).flat_map(run).collect();
            for n in 1..=40 {
                let what = format!("{} {ty} {precision:?}, {n} tokens", cpu.kernels.name);
                assert_same_bits(&what, &run(&x[..n * cols]), &alone[..n * 35]);
            }
        }
    });
}

#[test]
fn more_tokens_than_are_summed_at_a_time_give_the_same_bits() {
    for table in available() {
        let cpu = Cpu::new(table, 2);
        for ty in [TensorType::Q4_K, TensorType::Q8_0, TensorType::F16] {
            let mut random = Random(3);
            let w = Weights::random(ty, 20, 256, &mut random);
            let packed = cpu.pack(w.file());
            let x = random.floats(1100 * 256);
            let needs = ActNeeds::of(ty, Precision::Fast);
            let all = product(&cpu, packed.as_ref(), &prepared(&cpu, &x, 256, needs));
            for token in [0, 1, 511, 512, 513, 1023, 1024, 1099] {
                let alone = prepared(&cpu, &x[token * 256..][..256], 256, needs);
                assert_same_bits(
                    table.name,
                    &all[token * 20..][..20],
                    &product(&cpu, packed.as_ref(), &alone),
                );
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let run = |table: &'static Kernels, ty: TensorType, threads: usize, n: usize| {
        let cpu = Cpu::new(table, threads);
        let mut random = Random(5);
        let w = Weights::random(ty, 200, 1280, &mut random);
        let acts = prepared(&cpu, &random.floats(n * 1280), 1280, ActNeeds::of(ty, Precision::Fast));
        product(&cpu, cpu.pack(w.file()).as_ref(), &acts)
    };
    for table in available() {
        for ty in [TensorType::Q4_0, TensorType::Q6_K, TensorType::BF16] {
            for n in [1, 9] {
                let one = run(table, ty, 1, n);
                for threads in [2, 3] {
                    let what = format!("{} {ty}, {threads} threads, {n} tokens", table.name);
                    assert_same_bits(&what, &run(table, ty, threads, n), &one);
                }
            }
        }
    }
}

#[test]
fn file_and_strips_give_the_same_bits() {
    for_all(2, |cpu, ty, random| {
        for cols in column_counts(ty) {
            for n in [1, 3, 17] {
                let w = Weights::random(ty, 37, cols, random);
                let x = random.floats(n * cols);
                for precision in [Precision::Fast, Precision::Fine, Precision::Exact] {
                    let acts = prepared(cpu, &x, cols, ActNeeds::of(ty, precision));
                    let what = format!("{} {ty} {precision:?} 37 x {cols}, {n} tokens", cpu.kernels.name);
                    let packed = cpu.pack(w.file());
                    assert_same_bits(
                        &what,
                        &product(cpu, w.file(), &acts),
                        &product(cpu, packed.as_ref(), &acts),
                    );
                }
            }
        }
    });
}

#[test]
fn packing_in_parts_is_packing_the_whole() {
    for_all(2, |cpu, ty, random| {
        let cols = ty.info().block_len * 3;
        let w = Weights::random(ty, 70, cols, random);
        let whole = cpu.pack(w.file());
        assert_eq!(Some(whole.bytes().len()), packed_bytes(ty, 70, cols));
        let mut parts = PackedMatrix::zeroed(ty, 70, cols).unwrap();
        for (first, count) in [(32, 32), (0, 16), (64, 6), (16, 16)] {
            cpu.pack_rows(w.file().slice_rows(first, count), first, &mut parts);
        }
        assert_eq!(whole.bytes(), parts.bytes(), "{} {ty}", cpu.kernels.name);
    });
}

#[test]
fn packing_takes_little_more_memory_than_the_file_or_a_known_part_of_a_byte() {
    for ty in TensorType::ALL.iter().filter(|ty| !is_decoded(**ty)) {
        let file = ty.row_bytes(1024).unwrap() + ty.row_scale_bytes(1024).unwrap();
        let packed = packed_bytes(*ty, 64, 1024).unwrap();
        let levels = ty.info().integers.is_some();
        let most = if levels { 64 * 1024 * 6 / 8 } else { file * 64 * 102 / 100 };
        assert!(packed <= most, "{ty}: {packed} bytes for {}", file * 64);
    }
}

#[test]
fn sliced_rows_are_the_rows() {
    let cpu = Cpu::new(torchless_kernels::best(), 1);
    for ty in [TensorType::Q4_0, TensorType::Int8G64, TensorType::F32] {
        let mut random = Random(7);
        let w = Weights::random(ty, 50, 64, &mut random);
        let packed = cpu.pack(w.file());
        let acts = prepared(&cpu, &random.floats(64), 64, ActNeeds::of(ty, Precision::Fast));
        let whole = product(&cpu, packed.as_ref(), &acts);
        for (first, count) in [(0, 50), (16, 16), (32, 18), (48, 2), (0, 0)] {
            let want = &whole[first..first + count];
            assert_same_bits("strips", &product(&cpu, packed.as_ref().slice_rows(first, count), &acts), want);
            assert_same_bits("file", &product(&cpu, w.file().slice_rows(first, count), &acts), want);
        }
        assert_same_bits("file", &product(&cpu, w.file().slice_rows(3, 7), &acts), &whole[3..10]);
    }
}

#[test]
fn several_products_share_a_dispatch_with_bias_and_sum() {
    for table in available() {
        let cpu = Cpu::new(table, 3);
        let mut random = Random(11);
        let types =
            [TensorType::Q4_K, TensorType::Q6_K, TensorType::F16, TensorType::Q4_0, TensorType::Int8G64];
        let weights: Vec<Weights> =
            (0..11).map(|i| Weights::random(types[i % 5], 5 + 13 * i, 512, &mut random)).collect();
        let packed: Vec<PackedMatrix> = weights.iter().map(|w| cpu.pack(w.file())).collect();
        let needs =
            types.iter().fold(ActNeeds::default(), |all, ty| all.and(ActNeeds::of(*ty, Precision::Fast)));
        for n in [1, 4, 11] {
            let acts = prepared(&cpu, &random.floats(n * 512), 512, needs);
            let biases: Vec<Vec<f32>> = weights.iter().map(|w| random.floats(w.rows)).collect();
            let before: Vec<Vec<f32>> = weights.iter().map(|w| random.floats(n * w.rows)).collect();
            let mut together = before.clone();
            let store = |i: usize| if i.is_multiple_of(3) { Store::Add } else { Store::Set };
            let mut jobs: Vec<MatmulJob<'_>> = together
                .iter_mut()
                .enumerate()
                .map(|(i, y)| MatmulJob {
                    w: packed[i].as_ref(),
                    bias: (i % 2 == 0).then_some(&biases[i]),
                    y,
                    store: store(i),
                })
                .collect();
            cpu.matmul(&mut jobs, &acts);
            for (i, got) in together.iter().enumerate() {
                let mut want = product(&cpu, packed[i].as_ref(), &acts);
                for (j, want) in want.iter_mut().enumerate() {
                    *want += if i % 2 == 0 { biases[i][j % weights[i].rows] } else { 0.0 };
                    *want = if store(i) == Store::Add { before[i][j] + *want } else { *want };
                }
                assert_same_bits(&format!("{} product {i}, {n} tokens", table.name), got, &want);
            }
        }
    }
}

#[test]
fn a_gated_product_is_the_product_of_its_halves() {
    for table in available() {
        let cpu = Cpu::new(table, 2);
        let mut random = Random(13);
        for (gate, up) in [(TensorType::Q4_0, TensorType::Q4_0), (TensorType::Q6_K, TensorType::F32)] {
            let gate = Weights::random(gate, 43, 256, &mut random);
            let up = Weights::random(up, 43, 256, &mut random);
            let biases = [random.floats(43), random.floats(43)];
            let needs = ActNeeds::of(gate.ty, Precision::Fast).and(ActNeeds::of(up.ty, Precision::Fast));
            for (n, act) in [(1, Activation::Silu), (9, Activation::GeluTanh), (600, Activation::Silu)] {
                let acts = prepared(&cpu, &random.floats(n * 256), 256, needs);
                let mut y = vec![f32::NAN; n * 43];
                cpu.matmul_glu(
                    GluJob {
                        gate: gate.file(),
                        up: up.file(),
                        gate_bias: Some(&biases[0]),
                        up_bias: Some(&biases[1]),
                        act,
                        y: &mut y,
                    },
                    &acts,
                );
                let (gates, ups) = (product(&cpu, gate.file(), &acts), product(&cpu, up.file(), &acts));
                for (i, got) in y.iter().enumerate() {
                    let mut want = [gates[i] + biases[0][i % 43]];
                    cpu.activate(act, &mut want);
                    let want = want[0] * (ups[i] + biases[1][i % 43]);
                    let error = (got - want).abs();
                    assert!(
                        error <= 1e-6 * want.abs() + 1e-12,
                        "{} {act:?} {n}: {got}, want {want}",
                        table.name
                    );
                }
            }
        }
    }
}

#[test]
fn nothing_is_a_product_of_nothing() {
    let cpu = Cpu::new(torchless_kernels::best(), 2);
    for ty in [TensorType::Q4_0, TensorType::F32] {
        let needs = ActNeeds::of(ty, Precision::Fast);
        let w = Weights::random(ty, 20, 64, &mut Random(17));
        let none = prepared(&cpu, &[], 64, needs);
        assert_eq!(none.shape(), (0, 64));
        assert!(product(&cpu, w.file(), &none).is_empty());
        let empty = Weights::random(ty, 0, 64, &mut Random(17));
        assert!(
            product(&cpu, cpu.pack(empty.file()).as_ref(), &prepared(&cpu, &[1.0; 64], 64, needs)).is_empty()
        );
    }
}

#[test]
fn values_that_are_not_finite_spoil_their_token_only() {
    for_all(1, |cpu, ty, random| {
        let w = Weights::random(ty, 16, 512, random);
        for precision in [Precision::Fast, Precision::Fine, Precision::Exact] {
            let needs = ActNeeds::of(ty, precision);
            let mut x = random.floats(8 * 512);
            let clean = product(cpu, w.file(), &prepared(cpu, &x, 512, needs));
            for (token, bad) in [(1, f32::NAN), (3, f32::INFINITY), (6, f32::NEG_INFINITY)] {
                x[token * 512 + 100] = bad;
            }
            let got = product(cpu, w.file(), &prepared(cpu, &x, 512, needs));
            for token in 0..8 {
                let (got, clean) = (&got[token * 16..][..16], &clean[token * 16..][..16]);
                if [1, 3, 6].contains(&token) {
                    let what = format!("{} {ty} {precision:?} token {token}: {got:?}", cpu.kernels.name);
                    assert!(got.iter().filter(|v| !v.is_finite()).count() > 12, "{what}");
                } else {
                    assert_same_bits(&format!("{} {ty} {precision:?}", cpu.kernels.name), got, clean);
                }
            }
        }
    });
}

#[test]
fn activations_are_reused_for_other_shapes() {
    let cpu = Cpu::new(torchless_kernels::best(), 2);
    let needs = ActNeeds::of(TensorType::Q5_0, Precision::Fast);
    let mut acts = Activations::new(20, 600, needs);
    let mut random = Random(19);
    for (n, cols) in [(20, 576), (1, 32), (7, 96), (3, 544)] {
        let w = Weights::random(TensorType::Q5_0, 18, cols, &mut random);
        let x = random.floats(n * cols);
        cpu.prepare(&x, cols, needs, &mut acts);
        assert_close("reused", &product(&cpu, w.file(), &acts), &oracle(&w, &seen(&x, cols, needs)));
    }
}

#[track_caller]
fn assert_refused(what: &str, f: impl FnOnce()) {
    let payload =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).expect_err("should have been refused");
    let text = payload.downcast_ref::<String>().cloned();
    let text = text
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .expect("a panic with a text");
    assert!(text.contains(what), "{text:?} does not say {what:?}");
}

#[test]
fn wrong_sizes_are_refused() {
    let cpu = Cpu::new(torchless_kernels::best(), 1);
    let w = Weights::random(TensorType::Q4_0, 20, 64, &mut Random(23));
    let needs = ActNeeds::of(TensorType::Q4_0, Precision::Fast);
    let acts = prepared(&cpu, &[1.0; 128], 64, needs);
    let run = |w: MatrixRef<'_>, y: usize, bias: Option<&[f32]>, acts: &Activations| {
        cpu.matmul(&mut [MatmulJob { w, bias, y: &mut vec![0.0; y], store: Store::Set }], acts);
    };
    run(w.file(), 40, None, &acts);
    assert_refused("output of 39", || run(w.file(), 39, None, &acts));
    assert_refused("bias of 3", || run(w.file(), 40, Some(&[0.0; 3]), &acts));
    assert_refused("planes of", || run(MatrixRef { rows: 21, ..w.file() }, 42, None, &acts));
    assert_refused("planes of", || run(MatrixRef { layout: Layout::Strips, ..w.file() }, 40, None, &acts));
    assert_refused("planes of", || run(MatrixRef { cols: 63, ..w.file() }, 40, None, &acts));
    let other = prepared(&cpu, &[1.0; 64], 32, needs);
    assert_refused("columns", || run(w.file(), 40, None, &other));
    let floats = Weights::random(TensorType::F32, 20, 64, &mut Random(23));
    assert_refused("not prepared", || run(floats.file(), 40, None, &acts));
    assert_refused("rows of 64", || drop(prepared(&cpu, &[1.0; 100], 64, needs)));
    let mut small = Activations::new(1, 64, needs);
    assert_refused("less room", || cpu.prepare(&[0.0; 512], 256, needs, &mut small));
    let values = ActNeeds::of(TensorType::F32, Precision::Fast);
    assert_refused("without values", || cpu.prepare(&[0.0; 64], 64, values, &mut small));
    let mut packed = PackedMatrix::zeroed(TensorType::Q4_0, 40, 64).unwrap();
    assert_refused("whole strips", || cpu.pack_rows(w.file(), 0, &mut packed));
    assert_refused("whole strips", || cpu.pack_rows(w.file(), 20, &mut packed));
    assert_refused("rows 32..", || cpu.pack_rows(w.file(), 32, &mut packed));
    assert!(packed_bytes(TensorType::Q4_0, 16, 63).is_none());
    assert!(packed_bytes(TensorType::F32, usize::MAX / 2, 1 << 20).is_none());
}

/// The rows of a group meet a matrix of their own, with the bits that they have alone.
#[test]
fn groups_of_rows_are_as_alone() {
    for table in available() {
        let cpu = Cpu::new(table, 3);
        let mut random = Random(17);
        for ty in [TensorType::Q4_0, TensorType::Q6_K, TensorType::F32] {
            // Eleven groups: more than share a dispatch; one longer than what a worker sums at a time.
            let lens = [1, 7, 2, 520, 1, 1, 3, 4, 33, 1, 5];
            let ends: Vec<usize> = lens
                .iter()
                .scan(0, |end, len| {
                    *end += len;
                    Some(*end)
                })
                .collect();
            let groups: Vec<_> = lens.iter().zip(&ends).map(|(len, end)| end - len..*end).collect();
            let weights: Vec<Weights> =
                (0..lens.len()).map(|i| Weights::random(ty, 5 + 7 * i, 256, &mut random)).collect();
            let needs = ActNeeds::of(ty, Precision::Fast);
            let x = random.floats(ends[10] * 256);
            let mut acts = Activations::new(ends[10], 256, needs);
            cpu.prepare_groups(&x, (256, &ends), needs, &mut acts);
            let mut ys: Vec<Vec<f32>> =
                weights.iter().zip(lens).map(|(w, len)| vec![f32::NAN; len * w.rows]).collect();
            let mut jobs: Vec<_> = weights
                .iter()
                .zip(&mut ys)
                .map(|(w, y)| MatmulJob { w: w.file(), bias: None, y, store: Store::Set })
                .collect();
            cpu.matmul_groups(&mut jobs, &groups, &acts);
            for (i, (w, got)) in weights.iter().zip(&ys).enumerate() {
                let rows = &x[groups[i].start * 256..groups[i].end * 256];
                let want = product(&cpu, w.file(), &prepared(&cpu, rows, 256, needs));
                assert_same_bits(&format!("{} {ty} group {i}", table.name), got, &want);
            }
        }
    }
}

#[test]
#[should_panic(expected = "are no group of the activations")]
fn rows_that_are_no_group_are_refused() {
    let cpu = Cpu::new(torchless_kernels::best(), 1);
    let mut random = Random(19);
    let w = Weights::random(TensorType::F32, 3, 32, &mut random);
    let needs = ActNeeds::of(TensorType::F32, Precision::Fast);
    let mut acts = Activations::new(5, 32, needs);
    cpu.prepare_groups(&random.floats(5 * 32), (32, &[2, 5]), needs, &mut acts);
    let mut y = vec![0.0; 9];
    let groups = std::slice::from_ref(&(1..4));
    cpu.matmul_groups(
        &mut [MatmulJob { w: w.file(), bias: None, y: &mut y, store: Store::Set }],
        groups,
        &acts,
    );
}
