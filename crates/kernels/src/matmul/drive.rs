//! Cuts products into chunks for the workers and each chunk into tiles.
//!
//! Few tokens: one pass over each strip in its packed form. Many: the columns are walked in stretches that leave weights
//! and activations in the caches; a pair of strips is unpacked once per stretch and multiplied with every panel. Sums wait
//! in scratch memory between the stretches, which keeps the order of additions the same in both cases.

use super::acts::{Activations, Panels, TOKENS};
use super::strips::Strips;
use super::table::{Finish, Floats, HALVES_PAD, HALVES_RUN, Halves, MatmulTable, Quantised};
use super::tile::{Next, ROWS, Tile};
use super::{Layout, MatrixRef};
use crate::Activation;
use crate::buffer::AlignedBuf;
use crate::cpu::Cpu;
use std::ops::Range;
use torchless_quant::TensorType;

/// Products that share a dispatch.
pub(crate) const GROUP: usize = 8;
/// Columns of a stretch whose weights are unpacked; a multiple of every type's unit.
const STRETCH: usize = 1024;
/// Up to this many tokens, weights from memory are what takes the time.
const FEW: usize = 64;
/// Columns of a stretch whose weights are unpacked for few tokens: two strips leave half of the first cache free.
const FEW_STRETCH: usize = 512;
/// Columns of a stretch that is repacked from the file's layout for few tokens.
const FILE_STRETCH: usize = 512;
/// Columns of a stretch of weights turned into single precision.
const EXACT_STRETCH: usize = 256;
/// Up to this many tokens, weights that are multiplied as bf16 are read without tiles.
const WITHOUT_TILES: usize = 2;
/// Tokens whose sums are brought to the output together.
const FINISHED: usize = 32;
/// Strips of a chunk with many tokens.
const CHUNK: usize = 8;
/// Bytes of weights of a chunk with few tokens: some microseconds of work.
const CHUNK_BYTES: usize = 32 << 10;

/// How the weights are multiplied.
#[derive(Clone, Copy)]
enum Kind {
    /// Integers by integers.
    Codes(Quantised),
    /// Turned into single precision, by single precision.
    Exact(Quantised, Floats),
    /// Floating point by single precision.
    Values(Floats),
    /// Floating point by pairs of bf16.
    Halves(Halves),
}

/// A weight matrix with its kernels.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
    m: MatrixRef<'a>,
    strips: &'static Strips,
    units: usize,
    kind: Kind,
    /// Rows of activations per token.
    rows_per_token: usize,
}

impl<'a> Operand<'a> {
    /// Checks the matrix against its shape and against the activations, and finds its kernels.
    pub(crate) fn new(m: MatrixRef<'a>, x: &Activations, table: &MatmulTable) -> Self {
        let strips = m.checked();
        let (_, cols) = x.shape();
        assert!(m.cols == cols, "a matrix of {} columns by activations of {cols}", m.cols);
        let has = x.has();
        let halves = (table.halves)(m.ty).filter(|_| has.halves);
        let kind = match ((table.floats)(m.ty), (table.quantised)(m.ty), (table.floats)(TensorType::F32)) {
            _ if let Some(halves) = halves => Kind::Halves(halves),
            (Some(floats), ..) if has.values => Kind::Values(floats),
            (None, Some(quantised), _) if has.codes => Kind::Codes(quantised),
            (None, Some(quantised), Some(floats)) if has.values => Kind::Exact(quantised, floats),
            _ => panic!("activations were not prepared for weights of type {}", m.ty),
        };
        let rows_per_token = if matches!(kind, Kind::Codes(_)) { has.code_rows() } else { 1 };
        Self { m, strips, units: strips.units(m.cols), kind, rows_per_token }
    }

    /// The rows of activations that this operand reads for `tokens`.
    fn rows_for(&self, tokens: &Range<usize>) -> Range<usize> {
        tokens.start * self.rows_per_token..tokens.end * self.rows_per_token
    }

    pub(crate) fn strip_count(&self) -> usize {
        self.m.rows.div_ceil(ROWS)
    }

    /// The widest panel of the activations that this operand reads.
    fn widest(&self, table: &MatmulTable) -> usize {
        if matches!(self.kind, Kind::Codes(_) | Kind::Halves(_)) {
            table.int_width
        } else {
            table.float_width
        }
    }

    /// Units of a stretch of at most `cols` columns.
    fn stretch(&self, cols: usize) -> usize {
        let cols = match self.kind {
            Kind::Exact(..) => EXACT_STRETCH,
            Kind::Halves(_) => HALVES_RUN,
            Kind::Codes(_) | Kind::Values(_) => cols,
        };
        cols / self.strips.unit_cols
    }

    /// Units of a stretch that is read in one go where nothing is unpacked.
    fn direct_stretch(&self, tokens: usize) -> usize {
        match (self.kind, self.m.layout) {
            (Kind::Halves(_), _) if tokens > WITHOUT_TILES => self.stretch(FILE_STRETCH),
            (Kind::Exact(..), _) | (_, Layout::File) => self.stretch(FILE_STRETCH),
            (_, Layout::Strips) => self.units.max(1),
        }
    }

    /// The operand of a tile: the units `range` of a strip, in the form that `tile` reads, and how many units of that form.
    fn prepared(
        &self,
        strip: usize,
        range: Range<usize>,
        (packed, unpacked): (&mut [u8], &mut [u8]),
    ) -> (*const u8, usize) {
        let units = range.len();
        let columns = units * self.strips.unit_cols;
        let src = self.packed(strip, range, packed);
        match self.kind {
            Kind::Values(_) => (src, units),
            Kind::Halves(kernels) => {
                let Some(unpack) = kernels.unpack else { return (src, units) };
                let padded = columns.next_multiple_of(HALVES_PAD);
                assert!(padded * ROWS * size_of::<f32>() <= unpacked.len(), "scratch memory is too short");
                // SAFETY: as below.
                unsafe { unpack(src, units, unpacked.as_mut_ptr()) };
                (unpacked.as_ptr(), units)
            }
            Kind::Codes(kernels) => {
                let subs = columns / kernels.sub;
                assert!(subs * kernels.unpacked_bytes <= unpacked.len(), "scratch memory is too short");
                // SAFETY: `src` leads to these units and `unpacked` has room for them; the table is one that this
                // processor can run.
                unsafe { (kernels.unpack)(src, units, unpacked.as_mut_ptr()) };
                (unpacked.as_ptr(), subs)
            }
            Kind::Exact(kernels, _) => {
                assert!(columns * ROWS * size_of::<f32>() <= unpacked.len(), "scratch memory is too short");
                // SAFETY: as above; the halves of scratch memory begin at multiples of 64 bytes.
                unsafe { (kernels.dequantise)(src, units, unpacked.as_mut_ptr().cast()) };
                (unpacked.as_ptr(), columns / 2)
            }
        }
    }

    /// Adds up what goes without repacking of a strip in the file's layout, for a row or a pair: how many units that were.
    fn add_in_file(&self, strip: usize, tile: &Tile) -> usize {
        let (Kind::Codes(kernels), Layout::File, 1 | 2) = (self.kind, self.m.layout, tile.panel.width) else {
            return 0;
        };
        let call = self.strips.call(&self.m.strip_rows(strip), 0, &mut []);
        // SAFETY: the call has checked the rows; the panel has its columns, `acc` room for its sums. The table
        // is one that this processor can run.
        let columns = unsafe { (kernels.add_in_file)(&call, tile) };
        columns / self.strips.unit_cols
    }

    /// Where the weights of a step lie, for those who ask for them early. There need be no such step.
    fn place(&self, step: &Step) -> Next {
        if self.m.layout == Layout::File {
            return Next::NOTHING;
        }
        let strip = |strip: usize| {
            let unit = strip * self.units + step.units.start;
            self.m.data.as_ptr().wrapping_add(unit * self.strips.unit_bytes)
        };
        let from = [strip(step.first), strip(step.first + 1)];
        Next { from, bytes: step.units.len() * self.strips.unit_bytes }
    }

    /// The units `range` of a strip in the packed form: in place, or repacked into `room`.
    fn packed(&self, strip: usize, range: Range<usize>, room: &mut [u8]) -> *const u8 {
        let bytes = self.strips.unit_bytes;
        match self.m.layout {
            Layout::Strips => self.m.data[(strip * self.units + range.start) * bytes..].as_ptr(),
            Layout::File => {
                let repack = match self.kind {
                    Kind::Codes(quantised) | Kind::Exact(quantised, _) => quantised.repack,
                    Kind::Values(floats) => floats.repack,
                    Kind::Halves(halves) => halves.repack,
                };
                let room = &mut room[..range.len() * bytes];
                self.strips.pack(&self.m.strip_rows(strip), range.start, (repack, &mut *room));
                room.as_ptr()
            }
        }
    }
}

/// One product, or two that are gated, as the workers see it.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) w: Operand<'a>,
    /// The group of activations that it multiplies.
    pub(crate) first: usize,
    pub(crate) n: usize,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) up: Option<Up<'a>>,
    pub(crate) add: bool,
    /// `[n, rows]`; the workers write disjoint rows.
    pub(crate) y: Output,
}

#[derive(Clone, Copy)]
pub(crate) struct Up<'a> {
    pub(crate) w: Operand<'a>,
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) act: Activation,
}

/// The start of an output that several threads write to, each its own rows.
#[derive(Clone, Copy)]
pub(crate) struct Output(pub(crate) *mut f32);

// SAFETY: it stands for an exclusive borrow that outlives the job; `run` gives each row to one chunk.
unsafe impl Sync for Output {}

/// A worker's scratch memory, divided up.
struct Room<'a> {
    packed: &'a mut [u8],
    unpacked: &'a mut [u8],
    /// `[halves of a gate][strips][tokens][ROWS]`.
    sums: &'a mut [f32],
}

/// Bytes that two strips of a stretch can take in the packed form: the widest unit per column is that of `F32`.
const PACKED_ROOM: usize = 2 * STRETCH * ROWS * size_of::<f32>();
/// The same unpacked: a byte per code and at most two floats per 16 codes.
const UNPACKED_ROOM: usize = 2 * STRETCH * ROWS * 2;

impl<'a> Room<'a> {
    fn new(scratch: &'a mut AlignedBuf, sums: usize) -> Self {
        scratch.grow(PACKED_ROOM + UNPACKED_ROOM + sums * size_of::<f32>());
        let (bytes, sums) = scratch.split_f32(PACKED_ROOM + UNPACKED_ROOM);
        let (packed, unpacked) = bytes.split_at_mut(PACKED_ROOM);
        Self { packed, unpacked, sums }
    }
}

/// What a chunk consists of.
struct Chunk {
    strips: Range<usize>,
    /// Counted from the first of the piece.
    tokens: Range<usize>,
    /// The piece's first row and how many it has.
    first: usize,
    n: usize,
}

impl Piece<'_> {
    /// The most rows of activations that an operand has per token.
    fn rows_per_token(&self) -> usize {
        self.up.map_or(1, |up| up.w.rows_per_token).max(self.w.rows_per_token)
    }
}

impl Cpu {
    /// Computes all pieces, at most [`GROUP`], in one dispatch.
    pub(crate) fn run_pieces(&self, pieces: &[Option<Piece<'_>>], x: &Activations) {
        let mut ends = [0; GROUP];
        let mut total = 0;
        for (end, piece) in ends.iter_mut().zip(pieces.iter().flatten()) {
            if piece.n > 0 {
                total += piece.w.strip_count().div_ceil(self.strips_per_chunk(piece));
            }
            *end = total;
        }
        self.for_chunks(total, &|scratch, chunk| {
            let index = ends.iter().take(pieces.len()).position(|end| chunk < *end).unwrap_or(0);
            let first = if index == 0 { 0 } else { ends[index - 1] };
            let Some(piece) = &pieces[index] else { return };
            let step = self.strips_per_chunk(piece);
            let start = (chunk - first) * step;
            let strips = start..(start + step).min(piece.w.strip_count());
            let (first, n) = (piece.first, piece.n);
            let most = TOKENS / piece.rows_per_token();
            for token in (0..n).step_by(most) {
                let tokens = token..(token + most).min(n);
                let chunk = Chunk { strips: strips.clone(), tokens, first, n };
                self.run_chunk(piece, x, &chunk, scratch);
            }
        });
    }

    fn strips_per_chunk(&self, piece: &Piece<'_>) -> usize {
        if piece.n * piece.w.rows_per_token <= self.kernels.matmul.direct {
            let bytes = piece.w.units * piece.w.strips.unit_bytes;
            return (CHUNK_BYTES / bytes.max(1)).max(1);
        }
        // Fewer for small matrices, so that all workers get some; even, because tiles take two.
        (piece.w.strip_count() / (self.workers() * 4)).next_multiple_of(2).clamp(2, CHUNK)
    }

    fn run_chunk(&self, piece: &Piece<'_>, x: &Activations, chunk: &Chunk, scratch: &mut AlignedBuf) {
        let tokens = chunk.tokens.len();
        let sums = chunk.strips.len() * tokens * ROWS;
        let halves = if piece.up.is_some() { 2 } else { 1 };
        let mut room = Room::new(scratch, halves * sums * piece.rows_per_token());
        self.sum(&piece.w, x, chunk, (&mut room, 0));
        if let Some(up) = &piece.up {
            self.sum(&up.w, x, chunk, (&mut room, sums));
        }
        let rows = piece.w.m.rows;
        if let Some(up) = &piece.up {
            let (gate_sums, up_sums) = room.sums.split_at_mut(sums);
            let up_sums = &mut up_sums[..sums];
            add_bias(gate_sums, piece.bias, (chunk, rows));
            add_bias(up_sums, up.bias, (chunk, rows));
            (self.kernels.ops.glu)(up.act, gate_sums, up_sums);
        }
        let bias = if piece.up.is_some() { None } else { piece.bias };
        // A few tokens at a time: strips of a token lie side by side in the output, those of the next one pages away.
        let blocks = (0..tokens).step_by(FINISHED);
        for (block, (i, strip)) in blocks.flat_map(|b| chunk.strips.clone().enumerate().map(move |s| (b, s)))
        {
            let first = strip * ROWS;
            let finish = Finish {
                acc: room.sums[(i * tokens + block) * ROWS..].as_ptr(),
                tokens: (tokens - block).min(FINISHED),
                rows: (rows - first).min(ROWS),
                bias: bias.map_or(std::ptr::null(), |bias| bias[first..].as_ptr()),
                y: piece.y.0.wrapping_add((chunk.tokens.start + block) * rows + first),
                stride: rows,
                add: piece.add,
            };
            // SAFETY: the sums were written above; bias and output have one entry per row (and token), and this chunk is the
            // only one with these rows. The table is one that this processor can run.
            unsafe { (self.kernels.matmul.finish)(&finish) };
        }
    }

    /// Writes the sums of one operand to `room.sums[at..]`.
    fn sum(&self, w: &Operand<'_>, x: &Activations, chunk: &Chunk, (room, at): (&mut Room<'_>, usize)) {
        // From here on in rows of activations.
        let (tokens, each) = (w.rows_for(&chunk.tokens), w.rows_per_token);
        let (first, n) = (chunk.first * each, chunk.n * each);
        let chunk = &Chunk { strips: chunk.strips.clone(), tokens, first, n };
        let need = chunk.strips.len() * chunk.tokens.len() * ROWS;
        let sums = room.sums[at..at + need].as_mut_ptr();
        if w.units == 0 {
            room.sums[at..at + need].fill(0.0);
        } else if chunk.n <= self.kernels.matmul.direct {
            direct(w, x, chunk, (room, sums));
        } else {
            self.tiled(w, x, chunk, (room, sums));
        }
        if w.rows_per_token == 2 {
            add_pairs(&mut room.sums[at..at + need]);
        }
    }

    /// More tokens: the strips' pairs and the columns' stretches, each with every panel.
    fn tiled(
        &self,
        w: &Operand<'_>,
        x: &Activations,
        chunk: &Chunk,
        (room, sums): (&mut Room<'_>, *mut f32),
    ) {
        let few = chunk.tokens.len() <= FEW;
        let stretch = w.stretch(if few { FEW_STRETCH } else { STRETCH });
        let stretches = w.units.div_ceil(stretch);
        let pairs = chunk.strips.len().div_ceil(2);
        let table = &self.kernels.matmul;
        if let Kind::Codes(kernels) = w.kind {
            // SAFETY: the table is one that this processor can run.
            unsafe { (table.open)(kernels.sub, chunk.tokens.len().min(table.int_width)) };
        }
        // Few tokens: weights come from memory, in one stream. Many: a stretch of all activations stays in the cache.
        let step = |i: usize| {
            let (part, pair) = match (i < stretches * pairs, few) {
                (true, true) => (i % stretches, i / stretches),
                (true, false) => (i / pairs, i % pairs),
                (false, _) => (0, pairs),
            };
            let units = part * stretch..((part + 1) * stretch).min(w.units);
            Step { first: chunk.strips.start + 2 * pair, units }
        };
        for i in 0..stretches * pairs {
            let next = w.place(&step(i + 1));
            self.tiled_step(w, x, (chunk, step(i), next), (room, sums));
        }
        if matches!(w.kind, Kind::Codes(_)) {
            // SAFETY: as above.
            unsafe { (table.close)() };
        }
    }

    /// A pair of strips and a stretch of columns with every panel.
    fn tiled_step(
        &self,
        w: &Operand<'_>,
        x: &Activations,
        (chunk, step, next): (&Chunk, Step, Next),
        (room, sums): (&mut Room<'_>, *mut f32),
    ) {
        let tokens = chunk.tokens.len();
        let panels = Panels::new(tokens, w.widest(&self.kernels.matmul));
        let tile = match w.kind {
            Kind::Codes(kernels) => kernels.tile,
            Kind::Exact(_, floats) | Kind::Values(floats) => floats.tile,
            Kind::Halves(halves) => halves.tile,
        };
        // An odd strip has itself for a partner, whose sums go nowhere.
        let mut nowhere = [0.0; ROWS * MOST_WIDTH];
        let paired = step.first + 1 < chunk.strips.end;
        let (packed, other_packed) = room.packed.split_at_mut(PACKED_ROOM / 2);
        let (unpacked, other_unpacked) = room.unpacked.split_at_mut(UNPACKED_ROOM / 2);
        let (one, units) = w.prepared(step.first, step.units.clone(), (packed, unpacked));
        let two = if paired {
            w.prepared(step.first + 1, step.units.clone(), (other_packed, other_unpacked)).0
        } else {
            one
        };
        for p in 0..panels.count() {
            let part = panels.tokens(p);
            let at = ((step.first - chunk.strips.start) * tokens + part.start) * ROWS;
            let before = chunk.first + chunk.tokens.start;
            let global = before + part.start..before + part.end;
            let acc = sums.wrapping_add(at);
            let other = if paired { acc.wrapping_add(tokens * ROWS) } else { nowhere.as_mut_ptr() };
            let call = Tile {
                w: [one, two],
                units,
                panel: x.panel(global, step.units.start * w.strips.unit_cols),
                acc: [acc, other],
                fresh: step.units.start == 0,
                next: if p + 1 == panels.count() { next } else { Next::NOTHING },
            };
            // SAFETY: the strips' units were prepared above; the panel is one of the division by which `x` was filled
            // (`TOKENS` is a limit of both), its columns are padded beyond the last unit; the sums lie in the room that
            // `sum` has checked. The table is one that this processor can run.
            unsafe { tile(&call) };
        }
    }
}

/// A pair of strips, by its first, and some of their units.
struct Step {
    first: usize,
    units: Range<usize>,
}

/// Adds the sums of each pair of rows, `[pairs][2][ROWS]`, and moves them together.
fn add_pairs(sums: &mut [f32]) {
    for pair in 0..sums.len() / (2 * ROWS) {
        for i in 0..ROWS {
            sums[pair * ROWS + i] = sums[2 * pair * ROWS + i] + sums[(2 * pair + 1) * ROWS + i];
        }
    }
}

/// Adds the biases of a chunk's rows to its sums, `[strips][tokens][ROWS]`.
fn add_bias(sums: &mut [f32], bias: Option<&[f32]>, (chunk, rows): (&Chunk, usize)) {
    let Some(bias) = bias else { return };
    let strips = sums.chunks_exact_mut(chunk.tokens.len() * ROWS).zip(chunk.strips.clone());
    for (sums, strip) in strips {
        let bias = &bias[strip * ROWS..rows.min((strip + 1) * ROWS)];
        for token in sums.chunks_exact_mut(ROWS) {
            token.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias);
        }
    }
}

/// The widest panel of any table.
const MOST_WIDTH: usize = 16;

/// Few tokens: each strip once, from beginning to end.
fn direct(w: &Operand<'_>, x: &Activations, chunk: &Chunk, (room, sums): (&mut Room<'_>, *mut f32)) {
    let tokens = chunk.tokens.len();
    let stretch = w.direct_stretch(tokens);
    let rows = chunk.first + chunk.tokens.start..chunk.first + chunk.tokens.end;
    for (i, strip) in chunk.strips.clone().enumerate() {
        let acc = sums.wrapping_add(i * tokens * ROWS);
        let panel = x.panel(rows.clone(), 0);
        let whole = Tile {
            w: [std::ptr::null(); 2],
            units: 0,
            panel,
            acc: [acc; 2],
            fresh: true,
            next: Next::NOTHING,
        };
        let done = w.add_in_file(strip, &whole);
        for start in (done..w.units).step_by(stretch) {
            let range = start..(start + stretch).min(w.units);
            let (kernel, (src, units)) = match w.kind {
                Kind::Codes(kernels) => {
                    (kernels.direct, (w.packed(strip, range.clone(), &mut *room.packed), range.len()))
                }
                Kind::Halves(halves) if tokens > WITHOUT_TILES => {
                    (halves.tile, w.prepared(strip, range, (&mut *room.packed, &mut *room.unpacked)))
                }
                Kind::Halves(halves) => {
                    (halves.direct, (w.packed(strip, range.clone(), &mut *room.packed), range.len()))
                }
                Kind::Exact(_, floats) | Kind::Values(floats) => {
                    (floats.direct, w.prepared(strip, range, (&mut *room.packed, &mut *room.unpacked)))
                }
            };
            let panel = x.panel(rows.clone(), start * w.strips.unit_cols);
            let fresh = start == 0;
            let tile = Tile { w: [src; 2], units, panel, acc: [acc; 2], fresh, next: Next::NOTHING };
            // SAFETY: as in `tiled`; up to `direct` tokens are one panel in every table.
            unsafe { kernel(&tile) };
        }
    }
}
