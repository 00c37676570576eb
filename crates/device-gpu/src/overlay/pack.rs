//! Weights on their way into tiles: blocks are taken apart into integers and scales, which go to their places.
//!
//! Scales become halves. Where they, or the weights themselves, are out of the range in which halves are exact enough, all are
//! multiplied by a power of two that results are divided by again.

use super::format::{Format, Place, RUN, TILE_ROWS, UNIT_DEPTH, half_at, units};
use half::{bf16, f16};
use std::num::NonZero;
use std::sync::LazyLock;
use std::thread;
use torchless_quant::TensorType;
use torchless_quant::integers::SUB;

/// A matrix in tiles.
#[derive(Clone, Debug)]
pub struct Packed {
    /// As kernels read them.
    pub bytes: Vec<u8>,
    /// Factor of results: a power of two.
    pub scale: f32,
}

/// Rows of `cols` values of a type, whose planes are `data` and `scales`.
#[derive(Clone, Copy)]
struct Source<'a> {
    ty: TensorType,
    cols: usize,
    data: &'a [u8],
    scales: &'a [u8],
}

/// 32 values of a row: integers as they are stored, one scale for each half of them, and what is added to each value.
#[derive(Clone, Copy, Default)]
struct Run {
    codes: [u8; RUN],
    scales: [f32; 2],
    min: f32,
}

/// Puts a matrix of `cols` columns into tiles; `None` where the format does not hold the type, or a plane has not the bytes of whole
/// rows.
pub fn pack(format: Format, ty: TensorType, cols: usize, (data, scales): (&[u8], &[u8])) -> Option<Packed> {
    let row = ty.row_bytes(cols).filter(|&row| row > 0 && data.len().is_multiple_of(row))?;
    let rows = data.len() / row;
    let right =
        Format::of(ty) == Some(format) && Some(scales.len()) == ty.row_scale_bytes(cols).map(|s| s * rows);
    if !right {
        return None;
    }
    let source = Source { ty, cols, data, scales };
    let factor = factor(largest(source, rows), ty);
    let mut bytes = vec![0; format.matrix_bytes(rows, cols)?];
    // What pads a tile: halves lie in pieces of 128 rows, everything else in tiles of 16.
    let tile_rows = if format == Format::Halves { 128 } else { TILE_ROWS };
    let tile_bytes = bytes.len() / rows.div_ceil(tile_rows);
    in_parts(&mut bytes, tile_bytes, &|tile, to| {
        let first = tile * tile_rows;
        let rows = first..(first + tile_rows).min(rows);
        if format == Format::Halves {
            halves(source, rows, factor, to);
        } else {
            Tile { format, source, factor }.fill(rows, to);
        }
    });
    Some(Packed { bytes, scale: 1.0 / factor })
}

/// Calls `f(number, bytes)` for parts of `len` bytes, on all processors.
fn in_parts(bytes: &mut [u8], len: usize, f: &(dyn Fn(usize, &mut [u8]) + Sync)) {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let each = (bytes.len() / len).div_ceil(workers).max(1);
    thread::scope(|scope| {
        for (worker, share) in bytes.chunks_mut(each * len).enumerate() {
            scope.spawn(move || {
                share.chunks_mut(len).enumerate().for_each(|(i, part)| f(worker * each + i, part));
            });
        }
    });
}

impl Source<'_> {
    /// Bytes of a row in both planes.
    fn row(&self, row: usize) -> (&[u8], &[u8]) {
        let (len, scales) =
            (self.ty.row_bytes(self.cols).unwrap_or(0), self.ty.row_scale_bytes(self.cols).unwrap_or(0));
        (&self.data[row * len..][..len], &self.scales[row * scales..][..scales])
    }

    /// Calls `f` with the values of a row of single values.
    fn floats(&self, row: usize, mut f: impl FnMut(usize, f32)) {
        let bytes = self.row(row).0;
        let two = bytes.as_chunks::<2>().0.iter().enumerate();
        match self.ty {
            TensorType::F32 => {
                let four = bytes.as_chunks::<4>().0.iter().enumerate();
                four.for_each(|(i, &b)| f(i, f32::from_le_bytes(b)));
            }
            TensorType::BF16 => two.for_each(|(i, &b)| f(i, bf16::from_le_bytes(b).to_f32())),
            _ => two.for_each(|(i, &b)| f(i, f16::from_le_bytes(b).to_f32())),
        }
    }

    /// Calls `f` with the runs of a row.
    fn runs(&self, row: usize, mut f: impl FnMut(usize, &Run)) {
        let (data, plane) = self.row(row);
        let info = self.ty.info();
        let blocks = data.chunks_exact(info.block_bytes).enumerate();
        let mut runs = [Run::default(); 8];
        for (i, block) in blocks {
            let plane = plane.get(i * info.scale_bytes..(i + 1) * info.scale_bytes).unwrap_or(&[]);
            let count = read_block(self.ty, (block, plane), &mut runs);
            runs[..count].iter().enumerate().for_each(|(n, run)| f(i * count + n, run));
        }
    }
}

fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Takes a block apart; how many runs it has.
fn read_block(ty: TensorType, (block, plane): (&[u8], &[u8]), runs: &mut [Run; 8]) -> usize {
    match ty {
        TensorType::Q4_0 | TensorType::Q4_1 => {
            let has_min = ty == TensorType::Q4_1;
            let codes = &block[if has_min { 4 } else { 2 }..];
            let run = &mut runs[0];
            for (i, byte) in codes.iter().enumerate() {
                (run.codes[i], run.codes[i + 16]) = (byte & 15, byte >> 4);
            }
            run.scales = [half(block, 0); 2];
            run.min = if has_min { half(block, 2) } else { 0.0 };
            1
        }
        TensorType::Q8_0 => {
            let run = &mut runs[0];
            run.codes.iter_mut().zip(&block[2..]).for_each(|(to, byte)| *to = byte ^ 0x80);
            run.scales = [half(block, 0); 2];
            1
        }
        TensorType::Q4_K => read_q4_k(block, runs),
        TensorType::Q6_K => read_q6_k(block, runs),
        _ => read_integers(ty, (block, plane), runs),
    }
}

/// 256 nibbles, 64 at a time: low nibbles of 32 bytes, then the high ones; scales and minima of 6 bits in 12 bytes.
fn read_q4_k(block: &[u8], runs: &mut [Run; 8]) -> usize {
    let (d, min, packed) = (half(block, 0), half(block, 2), &block[4..16]);
    for (sub, run) in runs.iter_mut().enumerate() {
        let (scale, least) = match sub {
            0..=3 => (packed[sub] & 63, packed[sub + 4] & 63),
            _ => (
                packed[sub + 4] & 15 | packed[sub - 4] >> 6 << 4,
                packed[sub + 4] >> 4 | packed[sub] >> 6 << 4,
            ),
        };
        let bytes = &block[16 + sub / 2 * 32..][..RUN];
        run.codes.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte >> (sub % 2 * 4) & 15);
        run.scales = [d * f32::from(scale); 2];
        run.min = -(min * f32::from(least));
    }
    8
}

/// 256 values of 6 bits in two halves: 64 bytes of nibbles and 32 bytes of upper bits for each; a scale of 8 bits per 16.
fn read_q6_k(block: &[u8], runs: &mut [Run; 8]) -> usize {
    let d = half(block, 208);
    for (n, run) in runs.iter_mut().enumerate() {
        let (part, quarter) = (n / 4, n % 4);
        let nibbles = &block[part * 64 + quarter % 2 * 32..][..RUN];
        let upper = &block[128 + part * 32..][..RUN];
        for (to, (low, high)) in run.codes.iter_mut().zip(nibbles.iter().zip(upper)) {
            *to = low >> (quarter / 2 * 4) & 15 | (high >> (2 * quarter) & 3) << 4;
        }
        let scale = |i: usize| d * f32::from(block[192 + 2 * n + i].cast_signed());
        run.scales = [scale(0), scale(1)];
    }
    8
}

fn read_integers(ty: TensorType, (block, plane): (&[u8], &[u8]), runs: &mut [Run; 8]) -> usize {
    let Some(integers) = ty.info().integers else { return 0 };
    let (mut codes, mut scales) = ([0_i8; 256], [0.0; 16]);
    let len = ty.info().block_len;
    integers(block, plane, &mut codes[..len], &mut scales);
    let parts = codes[..len].as_chunks::<RUN>().0.iter().zip(scales.as_chunks::<{ RUN / SUB }>().0);
    for (run, (codes, scales)) in runs.iter_mut().zip(parts) {
        run.codes.iter_mut().zip(codes).for_each(|(to, code)| *to = code.cast_unsigned() ^ 0x80);
        run.scales = *scales;
    }
    len / RUN
}

/// The largest magnitude that a value of a matrix may have.
fn largest(source: Source<'_>, rows: usize) -> f32 {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let each = rows.div_ceil(workers).max(1);
    let of_row = |row: usize| {
        let mut most = 0.0_f32;
        let mut note = |x: f32| most = if x.is_finite() { most.max(x.abs()) } else { most };
        match Format::of(source.ty) {
            Some(Format::Halves) => source.floats(row, |_, x| note(x)),
            Some(format) => {
                let code = f32::from(format.largest_code());
                source.runs(row, |_, run| {
                    run.scales.iter().for_each(|scale| note(scale * code));
                    note(run.min);
                });
            }
            None => {}
        }
        most
    };
    thread::scope(|scope| {
        let shares: Vec<_> = (0..rows)
            .step_by(each)
            .map(|first| {
                let of_row = &of_row;
                scope.spawn(move || (first..(first + each).min(rows)).map(of_row).fold(0.0, f32::max))
            })
            .collect();
        shares.into_iter().map(|share| share.join().unwrap_or(0.0)).fold(0.0, f32::max)
    })
}

/// What all values are multiplied by: 1 where they are halves already and in range.
fn factor(largest: f32, ty: TensorType) -> f32 {
    let is_exact = matches!(ty, TensorType::F16 | TensorType::Q4_0 | TensorType::Q4_1 | TensorType::Q8_0);
    let usual = is_exact && (1.0 / 256.0..16384.0).contains(&largest);
    if usual || largest == 0.0 {
        return 1.0;
    }
    // To between 512 and 1024: far from the largest half, and 24 powers of two above the smallest usual one.
    let exponent = (9 - largest.log2().floor() as i32).clamp(-120, 120);
    2.0_f32.powi(exponent)
}

fn to_half(x: f32) -> [u8; 2] {
    f16::from_f32(x).to_le_bytes()
}

/// Rows of a piece of halves.
fn halves(source: Source<'_>, rows: std::ops::Range<usize>, factor: f32, to: &mut [u8]) {
    let units = units(source.cols);
    for (i, row) in rows.enumerate() {
        source.floats(row, |depth, value| {
            to[half_at(i, depth, units)..][..2].copy_from_slice(&to_half(value * factor));
        });
    }
}

/// Byte and bit of the places of a unit's values, `[row][depth]`.
type Places = Vec<(u16, u8)>;

fn places(of: fn(Place) -> (usize, usize)) -> Places {
    let all = (0..TILE_ROWS).flat_map(|row| (0..UNIT_DEPTH).map(move |depth| (row, depth)));
    all.map(|(row, depth)| of(Place::new(row, depth))).map(|(byte, bit)| (byte as u16, bit as u8)).collect()
}

static NIBBLES: LazyLock<Places> = LazyLock::new(|| places(Place::nibble));
static UPPER: LazyLock<Places> = LazyLock::new(|| places(Place::upper_bits));
static BYTES: LazyLock<Places> = LazyLock::new(|| places(|place| (place.byte(), 0)));

/// A tile of 16 rows of integers.
struct Tile<'a> {
    format: Format,
    source: Source<'a>,
    factor: f32,
}

impl Tile<'_> {
    fn fill(&self, rows: std::ops::Range<usize>, to: &mut [u8]) {
        let unit = self.format.unit_bytes();
        self.pad(rows.len(), to);
        for (i, row) in rows.enumerate() {
            self.source.runs(row, |run, values| {
                let (at, depth) = (run / 4 * unit, run % 4 * RUN);
                self.put(&mut to[at..at + unit], (i, depth), values);
            });
        }
    }

    /// What no row has and what is beyond a row's end is zero: as an integer its offset, with a scale of zero.
    fn pad(&self, rows: usize, to: &mut [u8]) {
        let whole = rows == TILE_ROWS && self.source.cols.is_multiple_of(UNIT_DEPTH);
        let code = match self.format {
            Format::Nibbles => 0x88,
            Format::Bytes | Format::FineBytes => 0x80,
            _ => 0,
        };
        if whole {
            return;
        }
        for unit in to.chunks_exact_mut(self.format.unit_bytes()) {
            unit[..self.format.scales_at()].fill(code);
            if self.format == Format::Sixes {
                // 32: nibbles of 0, upper bits of 2.
                unit[1024..1536].fill(0xaa);
            }
        }
        if rows < TILE_ROWS || !self.source.cols.is_multiple_of(UNIT_DEPTH) {
            self.clear(rows, to);
        }
    }

    /// Takes padding out of the places that values are put into by bits.
    fn clear(&self, rows: usize, to: &mut [u8]) {
        let tables: &[(&Places, u8)] = match self.format {
            Format::Nibbles | Format::Affine => &[(&NIBBLES, 15)],
            Format::Sixes => &[(&NIBBLES, 15), (&UPPER, 3)],
            _ => &[],
        };
        for (number, unit) in to.chunks_exact_mut(self.format.unit_bytes()).enumerate() {
            let deep = self.source.cols.saturating_sub(number * UNIT_DEPTH).min(UNIT_DEPTH);
            for (places, mask) in tables {
                for row in 0..rows {
                    for (byte, bit) in &places[row * UNIT_DEPTH..][..deep] {
                        unit[usize::from(*byte)] &= !(mask << bit);
                    }
                }
            }
        }
    }

    fn put(&self, unit: &mut [u8], (row, depth): (usize, usize), run: &Run) {
        let at = row * UNIT_DEPTH + depth;
        let places = |table: &'static Places| &table[at..at + RUN];
        match self.format {
            Format::Nibbles | Format::Affine | Format::Sixes => {
                for ((byte, bit), code) in places(&NIBBLES).iter().zip(run.codes) {
                    unit[usize::from(*byte)] |= (code & 15) << bit;
                }
            }
            Format::Bytes | Format::FineBytes => {
                for ((byte, _), code) in places(&BYTES).iter().zip(run.codes) {
                    unit[usize::from(*byte)] = code;
                }
            }
            Format::Halves => {}
        }
        if self.format == Format::Sixes {
            for ((byte, bit), code) in places(&UPPER).iter().zip(run.codes) {
                unit[usize::from(*byte)] |= (code >> 4) << bit;
            }
        }
        self.put_scales(&mut unit[self.format.scales_at()..], Place::new(row, depth), run);
    }

    fn put_scales(&self, to: &mut [u8], place: Place, run: &Run) {
        let mut put = |at: usize, x: f32| to[at..at + 2].copy_from_slice(&to_half(x * self.factor));
        match self.format {
            Format::Nibbles | Format::Bytes => put(place.scale(2), run.scales[0]),
            Format::Affine => {
                put(place.scale(4), run.scales[0]);
                put(place.scale(4) + 2, run.min);
            }
            Format::FineBytes | Format::Sixes => {
                // Slots 0 to 3 of each lane are the first half of a run.
                put(place.fine_scale(), run.scales[0]);
                put(Place { slot: 4, ..place }.fine_scale(), run.scales[1]);
            }
            Format::Halves => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value at a row and depth, read from its places.
    fn value(format: Format, bytes: &[u8], cols: usize, (row, depth): (usize, usize)) -> f32 {
        let half = |bytes: &[u8], at: usize| f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32();
        if format == Format::Halves {
            return half(bytes, half_at(row, depth, units(cols)));
        }
        let unit = (row / TILE_ROWS * units(cols) + depth / UNIT_DEPTH) * format.unit_bytes();
        let unit = &bytes[unit..unit + format.unit_bytes()];
        let place = Place::new(row % TILE_ROWS, depth % UNIT_DEPTH);
        let bits = |(byte, bit): (usize, usize), mask: u8| i32::from(unit[byte] >> bit & mask);
        let scales = &unit[format.scales_at()..];
        match format {
            Format::Nibbles => (bits(place.nibble(), 15) - 8) as f32 * half(scales, place.scale(2)),
            Format::Affine => {
                let at = place.scale(4);
                bits(place.nibble(), 15) as f32 * half(scales, at) + half(scales, at + 2)
            }
            Format::Bytes => (bits((place.byte(), 0), 255) - 128) as f32 * half(scales, place.scale(2)),
            Format::FineBytes => {
                (bits((place.byte(), 0), 255) - 128) as f32 * half(scales, place.fine_scale())
            }
            Format::Sixes => {
                let code = bits(place.nibble(), 15) | bits(place.upper_bits(), 3) << 4;
                (code - 32) as f32 * half(scales, place.fine_scale())
            }
            Format::Halves => f32::NAN,
        }
    }

    fn noise(len: usize, scale: f32) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + 11) % 1009) as f32 / 504.0 * scale - scale).collect()
    }

    #[track_caller]
    fn check(ty: TensorType, (rows, cols): (usize, usize), scale: f32) {
        let format = Format::of(ty).expect("a format for the type");
        let mut data = vec![0; rows * ty.row_bytes(cols).expect("whole blocks")];
        let mut plane = vec![0; rows * ty.row_scale_bytes(cols).expect("whole blocks")];
        if !ty.encode(&noise(rows * cols, scale), &mut data, &mut plane) {
            return;
        }
        let mut want = vec![0.0; rows * cols];
        ty.decode(&data, &plane, &mut want);
        let packed = pack(format, ty, cols, (&data, &plane)).expect("packed");
        let most = want.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        for (i, want) in want.iter().enumerate() {
            let got = value(format, &packed.bytes, cols, (i / cols, i % cols)) * packed.scale;
            assert!((got - want).abs() <= most * 1.5e-3, "{ty}: {got} at {i}, should be {want}");
        }
        // What pads tiles counts as nothing.
        let padded = (rows.next_multiple_of(TILE_ROWS), cols.next_multiple_of(UNIT_DEPTH));
        for row in 0..padded.0 {
            for depth in 0..padded.1 {
                if row >= rows || depth >= cols {
                    assert_eq!(
                        value(format, &packed.bytes, cols, (row, depth)),
                        0.0,
                        "{ty} at {row}, {depth}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_type_is_found_again_in_its_tiles() {
        for &ty in TensorType::ALL {
            if Format::of(ty).is_some() {
                check(ty, (16, 256), 1.0);
                check(ty, (37, 768), 1.0);
            }
        }
    }

    #[test]
    fn tiles_are_padded() {
        for ty in [TensorType::Q4_0, TensorType::Q4_1, TensorType::Q8_0] {
            check(ty, (19, 160), 1.0);
        }
        check(TensorType::F16, (130, 100), 1.0);
        check(TensorType::BF16, (1, 4), 1.0);
    }

    #[test]
    fn values_of_any_size_keep_their_precision() {
        for scale in [1e-6, 1e-3, 1e3, 3e4] {
            check(TensorType::Q8_0, (16, 256), scale);
            check(TensorType::Q6_K, (16, 256), scale);
            check(TensorType::F16, (16, 256), scale);
        }
        for scale in [1e-30, 1e-9, 1e9, 1e30] {
            check(TensorType::BF16, (16, 256), scale);
            check(TensorType::F32, (16, 256), scale);
        }
    }

    #[test]
    fn planes_of_another_size_are_refused() {
        assert!(pack(Format::Bytes, TensorType::Q8_0, 32, (&[0; 33], &[])).is_none());
        assert!(pack(Format::Nibbles, TensorType::Q8_0, 32, (&[0; 34], &[])).is_none());
        assert!(pack(Format::Bytes, TensorType::Q8_0, 33, (&[0; 34], &[])).is_none());
    }
}
