//! Products through NVIDIA's matrix instructions: weights in tiles, activations as halves. How they lie is said in
//! [`overlay`](crate::overlay); here is which kernel does what, with how many threads.

use super::matmul::adds;
use super::programs::Family;
use super::queue::{Args, Grid};
use super::{Buffer, GpuDevice, number};
use crate::driver::{DeviceInfo, Dialect, MemoryId};
use crate::overlay::{Format, PIECE_BYTES, TILE_ROWS, units};
use torchless_device::{Activation, BufId, DeviceError, Norm, NormKind, Precision, Store, VectorId};

/// Rows of activations up to which weights are read once as they lie, and above which they become halves first.
const MOST_FEW: usize = 8;
const MOST_SOME: usize = 64;
/// Warps that a group of the kernel for few rows may have, and those that share a multiprocessor where they can.
const FEW_WARPS: [usize; 4] = [16, 8, 4, 2];
const WARPS_TOGETHER: usize = 32;
/// What the kernel for tens of rows takes at a time, in eights of rows, as many as it may.
const SOME_EIGHTS: [usize; 3] = [8, 4, 2];
/// Bytes that kernels declare to share beside what they are given.
const DECLARED: usize = 1024;
/// Rows and weights in a tile of the kernel for many rows, its threads and its stages.
const MANY_TILE: usize = 128;
const MANY_THREADS: usize = 288;
const MANY_STAGES: usize = 4;
/// Threads that prepare a row, and that expand weights.
const PREPARE_THREADS: usize = 256;

/// What the device has for these kernels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matrices {
    units: usize,
    local: usize,
    /// Whether there is wgmma.
    is_hopper: bool,
}

impl Matrices {
    /// `None` where weights have to stay in their blocks.
    pub(super) fn of(info: &DeviceInfo, precision: Precision) -> Option<Self> {
        let Dialect::Cuda(major, minor) = info.dialect else { return None };
        let has = (major, minor) >= OLDEST && precision == Precision::Fast;
        has.then_some(Self {
            units: info.units as usize,
            local: (info.max_local as usize).saturating_sub(DECLARED),
            is_hopper: major == 9,
        })
    }

    /// Bytes that a group may be given to share.
    pub(super) fn local(self) -> usize {
        self.local
    }
}

/// The compute capability from which there are matrix instructions that these kernels use.
pub(super) const OLDEST: (u32, u32) = (7, 5);

/// How far ahead kernels load weights, which is what the memory of a group is for: units per warp of the kernel for few rows, stages and
/// tiles of the one for tens of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stages {
    pub few: usize,
    pub some: usize,
    pub tiles: usize,
}

impl Stages {
    /// The best first.
    const ALL: [Self; 3] = [
        Self { few: 4, some: 3, tiles: 8 },
        Self { few: 4, some: 2, tiles: 8 },
        Self { few: 2, some: 2, tiles: 4 },
    ];

    /// The best ones where a group has `local` bytes beside what kernels declare.
    pub(super) fn of(format: Format, local: usize) -> Self {
        let [.., least] = Self::ALL;
        let fits = |stages: &Self| stages.some_local(format, SOME_EIGHTS[0]) <= local;
        Self::ALL.into_iter().find(fits).unwrap_or(least)
    }

    /// The best ones on devices of a dialect, whose groups have different sizes.
    pub(super) fn usual(format: Format, dialect: Dialect) -> Vec<Self> {
        let mut all: Vec<_> = local_sizes(dialect).iter().map(|&local| Self::of(format, local)).collect();
        all.dedup();
        all
    }

    /// Bytes that a group of the kernel for tens of rows shares: operands on their way, later the sums.
    fn some_local(self, format: Format, eights: usize) -> usize {
        let staged = self.some * (self.tiles * format.unit_bytes() + 4 * eights * 512);
        staged.max(self.tiles * 8 * eights * 20 * 4)
    }
}

/// Bytes that groups may be given on devices of a compute capability, each smallest first.
pub(super) fn local_sizes(dialect: Dialect) -> &'static [usize] {
    const SMALL: usize = (64 << 10) - DECLARED;
    const CONSUMER: usize = (99 << 10) - DECLARED;
    const AMPERE: usize = (163 << 10) - DECLARED;
    const HOPPER: usize = (227 << 10) - DECLARED;
    match dialect {
        Dialect::Cuda(7, 5) => &[SMALL],
        Dialect::Cuda(8, _) => &[CONSUMER, AMPERE],
        Dialect::Cuda(9, _) => &[HOPPER],
        Dialect::Cuda(10.., _) => &[CONSUMER, HOPPER],
        _ => &[],
    }
}

/// A matrix in tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiled {
    pub memory: MemoryId,
    pub format: Format,
    pub rows: usize,
    pub cols: usize,
    /// Factor of results.
    pub scale: f32,
}

/// One matrix of a product, and where its result goes.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub matrix: Tiled,
    pub bias: Option<VectorId>,
    pub out: Buffer,
    pub store: Store,
}

/// How results become outputs.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Outcome {
    /// Each matrix has its own.
    Apart,
    /// `act(first) * second` goes where the first would.
    Gated(Activation),
}

/// Up to three matrices of one format off the same rows.
struct Job<'a> {
    targets: &'a [Target],
    rows: usize,
    depth: usize,
    outcome: Outcome,
}

impl Job<'_> {
    /// Tiles of all matrices, `tile` rows each; gated ones go in pairs.
    fn tiles(&self, tile: usize) -> usize {
        let of = |t: &Target| t.matrix.rows.div_ceil(tile);
        if self.is_gated() { of(&self.targets[0]) } else { self.targets.iter().map(of).sum() }
    }

    fn is_gated(&self) -> bool {
        self.outcome != Outcome::Apart
    }

    fn format(&self) -> Format {
        self.targets[0].matrix.format
    }

    /// Which matrices have a bias, which add.
    fn flags(&self, device: &GpuDevice) -> usize {
        let bits = self.targets.iter().enumerate().map(|(i, t)| {
            let adds = usize::from(t.store == Store::Add && !self.is_gated());
            device.vector_or_nothing(t.bias).1 << i | adds << (3 + i)
        });
        bits.sum()
    }

    /// Weights, biases and outputs; three of each.
    fn pointers(&self, device: &GpuDevice, weights: &[MemoryId]) -> Vec<MemoryId> {
        let three = |f: &dyn Fn(usize) -> MemoryId| {
            (0..3).map(|i| if i < self.targets.len() { f(i) } else { device.nothing }).collect::<Vec<_>>()
        };
        let mut all = three(&|i| weights[i]);
        all.extend(three(&|i| device.vector_or_nothing(self.targets[i].bias).0));
        all.extend(three(&|i| self.targets[i].out.memory));
        all
    }

    fn rows_of_weights(&self) -> [usize; 3] {
        std::array::from_fn(|i| self.targets.get(i).map_or(0, |t| t.matrix.rows))
    }

    fn scales(&self, up: &[f32]) -> [f32; 3] {
        std::array::from_fn(|i| self.targets.get(i).map_or(1.0, |t| t.matrix.scale / up[i]))
    }

    fn act(&self) -> usize {
        match self.outcome {
            Outcome::Apart => 0,
            Outcome::Gated(act) => number(act),
        }
    }

    fn stages(&self, m: Matrices) -> Stages {
        Stages::of(self.format(), m.local)
    }

    fn family(&self, m: Matrices) -> Family {
        Family::Tiles(self.format(), self.stages(m))
    }

    /// Bytes of memory that a group of the kernel for few rows shares.
    fn few_local(&self, m: Matrices, warps: usize) -> usize {
        let (k, gates) = (units(self.depth) * 128, if self.is_gated() { 2 } else { 1 });
        let parts = match self.format() {
            Format::Halves => 0,
            Format::FineBytes | Format::Sixes => 2,
            _ => 1,
        };
        let starts = parts * (k / 32) * self.rows.div_ceil(2) * 16;
        let staged = (self.rows * (k * 2 + 64)).next_multiple_of(128);
        warps * self.stages(m).few * gates * self.format().unit_bytes()
            + staged
            + starts
            + 2 * warps * gates * 512
    }

    /// Warps of a group of the kernel for few rows: the most where each multiprocessor has a tile at most, and fewer where the memory
    /// that groups share is short; `None` where it is too short.
    fn few_warps(&self, m: Matrices) -> Option<usize> {
        let is_small = self.tiles(TILE_ROWS) <= m.units;
        let able = FEW_WARPS.iter().skip(usize::from(!is_small));
        able.copied().find(|&warps| self.few_local(m, warps) <= m.local)
    }

    /// Eights of rows that a group of the kernel for tens of rows takes: no more than there are, nor than there is memory for.
    fn some_eights(&self, m: Matrices) -> usize {
        let rows = self.rows.div_ceil(8);
        let (&least, more) = SOME_EIGHTS.split_last().unwrap_or((&2, &[]));
        let fits = |&eights: &usize| {
            eights < 2 * rows && self.stages(m).some_local(self.format(), eights) <= m.local
        };
        more.iter().copied().find(fits).unwrap_or(least)
    }
}

/// Flags of a norm that a kernel does on the way.
fn norm_flags(norm: Option<&Norm>) -> (usize, f32, Option<VectorId>, Option<VectorId>) {
    match norm.map(|n| (n.kind, n.weight)) {
        None => (0, 0.0, None, None),
        Some((NormKind::Rms { eps }, weight)) => (1 << 6, eps, Some(weight), None),
        Some((NormKind::Layer { eps, bias }, weight)) => {
            (2 << 6 | usize::from(bias.is_some()) << 8, eps, Some(weight), bias)
        }
    }
}

impl GpuDevice {
    /// Products of rows of `input`, normed where there is a norm, with matrices in tiles, all of one format.
    pub(super) fn multiply_tiles(
        &mut self,
        (rows, input, norm): (usize, BufId, Option<&Norm>),
        targets: &[Target],
        outcome: Outcome,
    ) -> Result<(), DeviceError> {
        let depth = targets[0].matrix.cols;
        let from = self.buf(input);
        let fits = targets.iter().all(|t| t.out.width == t.matrix.rows) && from.width == depth;
        if !fits {
            return Err(self.refuse("products of rows that lie apart".to_owned()));
        }
        let job = Job { targets, rows, depth, outcome };
        let Some(m) = self.matrix_units else { return Err(self.refuse("matrix instructions".to_owned())) };
        let is_whole = |n: &&Norm| n.groups <= 1 && self.vectors[n.weight.0 as usize].len == depth;
        let fused = norm.filter(is_whole);
        let warps = job.few_warps(m).filter(|_| rows <= MOST_FEW);
        if let Some(warps) = warps {
            let rms = fused.and_then(|n| match n.kind {
                NormKind::Rms { eps } => Some((n.weight, eps)),
                NormKind::Layer { .. } => None,
            });
            let from = if rms.is_some() { from } else { self.input(rows, input, norm)? };
            return self.multiply_few(m, (&job, warps), from.memory, rms);
        }
        let from = if fused.is_some() { from } else { self.input(rows, input, norm)? };
        let is_many = rows > MOST_SOME && m.is_hopper;
        let prepared = self.prepare(m, &job, (from.memory, fused), is_many)?;
        if is_many { self.multiply_many(m, &job, prepared) } else { self.multiply_some(m, &job, prepared) }
    }

    /// One pass over the weights for a few rows; a root mean square norm is done on the way.
    fn multiply_few(
        &mut self,
        m: Matrices,
        (job, warps): (&Job<'_>, usize),
        x: MemoryId,
        norm: Option<(VectorId, f32)>,
    ) -> Result<(), DeviceError> {
        let local = job.few_local(m, warps);
        let at_once = (m.local / (local + 1024)).clamp(1, WARPS_TOGETHER / warps);
        let tiles = job.tiles(TILE_ROWS);
        // As many warps share a tile as leave a team for every tile.
        let teams = |bits: usize| m.units * at_once * (warps >> bits);
        let bits = (1..=warps.ilog2() as usize).rev().find(|&bits| teams(bits) >= tiles).unwrap_or(0);
        let per_team = tiles.div_ceil(teams(bits)).max(1);
        let groups = tiles.div_ceil(per_team).div_ceil(warps >> bits);
        let weights: Vec<_> = job.targets.iter().map(|t| t.matrix.memory).collect();
        let mut pointers = job.pointers(self, &weights);
        pointers.extend([x, self.vector_or_nothing(norm.map(|n| n.0)).0]);
        let args = Args::of(&pointers).ints(&job.rows_of_weights());
        let args = args.ints(&[job.depth, job.rows, job.flags(self), job.act(), bits]);
        let args = args.floats(&[norm.map_or(0.0, |n| n.1)]).floats(&job.scales(&[1.0; 3]));
        let name = match (job.is_gated(), norm.is_some()) {
            (false, false) => "few",
            (false, true) => "few_rms",
            (true, false) => "few_gated",
            (true, true) => "few_rms_gated",
        };
        self.launch(job.family(m), name, Grid::Groups([groups, 1, 1], warps * 32), args.sharing(local))
    }

    /// Rows as halves and a power of two each: in fragments, or in pieces for many rows.
    fn prepare(
        &mut self,
        m: Matrices,
        job: &Job<'_>,
        (x, norm): (MemoryId, Option<&Norm>),
        in_pieces: bool,
    ) -> Result<(MemoryId, MemoryId), DeviceError> {
        let (flags, eps, weight, bias) = norm_flags(norm);
        let padded = job.rows.next_multiple_of(MANY_TILE);
        // Two halves to a float.
        let to = self.floats(|r| &mut r.prepared, padded * units(job.depth) * 64, "prepared activations")?;
        let scale = self.floats(|r| &mut r.ranges, padded, "ranges of activations")?;
        let pointers = [x, self.vector_or_nothing(weight).0, self.vector_or_nothing(bias).0, to, scale];
        let args = Args::of(&pointers).ints(&[job.depth, flags, usize::from(!in_pieces)]).floats(&[eps]);
        let threads = (job.depth / 16).next_multiple_of(32).clamp(64, 512);
        let grid = Grid::Groups([job.rows, 1, 1], threads);
        self.launch(job.family(m), "prepare_rows", grid, args)?;
        Ok((to, scale))
    }

    /// Tens of rows, or many where there is nothing better; the depth may be split over groups.
    fn multiply_some(
        &mut self,
        m: Matrices,
        job: &Job<'_>,
        (x, scale): (MemoryId, MemoryId),
    ) -> Result<(), DeviceError> {
        let (eights, stages) = (job.some_eights(m), job.stages(m));
        let tiles = job.tiles(TILE_ROWS);
        let across =
            if job.is_gated() { tiles.div_ceil(stages.tiles / 2) } else { tiles.div_ceil(stages.tiles) };
        let down = job.rows.div_ceil(8 * eights);
        let splits = (2 * m.units / (across * down).max(1)).clamp(1, (units(job.depth) / 2).max(1));
        let sums = across * down * splits * stages.tiles * 8 * eights * TILE_ROWS;
        let partial = self.floats(|r| &mut r.partial, if splits > 1 { sums } else { 1 }, "partial sums")?;
        let arrived = self.arrivals(across * down)?;
        let weights: Vec<_> = job.targets.iter().map(|t| t.matrix.memory).collect();
        let mut pointers = job.pointers(self, &weights);
        pointers.extend([x, scale, partial, arrived]);
        let args = Args::of(&pointers).ints(&job.rows_of_weights());
        let args =
            args.ints(&[job.depth, job.rows, job.flags(self), job.act()]).floats(&job.scales(&[1.0; 3]));
        let name = match (eights, job.is_gated()) {
            (2, false) => "some16",
            (2, true) => "some16_gated",
            (4, false) => "some32",
            (4, true) => "some32_gated",
            (_, false) => "some64",
            (_, true) => "some64_gated",
        };
        let local = stages.some_local(job.format(), eights);
        let grid = Grid::Groups([across, splits, down], 32 * stages.tiles);
        self.launch(job.family(m), name, grid, args.sharing(local))
    }

    /// Counters of groups that have arrived: zero before and after every kernel that uses them.
    pub(super) fn arrivals(&mut self, count: usize) -> Result<MemoryId, DeviceError> {
        let before = self.rooms.arrived.memory;
        let memory = self.floats(|r| &mut r.arrived, count.next_power_of_two().max(4096), "counters")?;
        if before != Some(memory) {
            let bytes = self.rooms.arrived.bytes;
            self.driver.zero(crate::driver::Place { memory, offset: 0 }, bytes)?;
        }
        Ok(memory)
    }

    /// Many rows: weights become halves, unless they are, then tiles of both go through wgmma.
    fn multiply_many(
        &mut self,
        m: Matrices,
        job: &Job<'_>,
        (x, scale): (MemoryId, MemoryId),
    ) -> Result<(), DeviceError> {
        let mut weights = Vec::with_capacity(3);
        for (i, target) in job.targets.iter().enumerate() {
            weights.push(self.expand(m, target.matrix, i)?);
        }
        let mut pointers = job.pointers(self, &weights);
        pointers.extend([x, scale]);
        let args = Args::of(&pointers).ints(&job.rows_of_weights());
        let args = args.ints(&[job.depth, job.rows, job.flags(self)]).floats(&job.scales(&[1.0; 3]));
        let (down, across) = (job.rows.div_ceil(MANY_TILE), job.tiles(MANY_TILE));
        // Two tiles of weights at once where that leaves work for all.
        let is_wide = !job.is_gated() && down * across.div_ceil(2) >= m.units;
        let tiles = down * if is_wide { across.div_ceil(2) } else { across };
        let (name, operands) = match (job.is_gated(), is_wide) {
            (true, _) => ("gemm_gated", 3),
            (false, true) => ("gemm_wide", 3),
            (false, false) => ("gemm_narrow", 2),
        };
        let grid = Grid::Groups([tiles.min(m.units), 1, 1], MANY_THREADS);
        let local = MANY_STAGES * operands * PIECE_BYTES;
        self.launch(Family::Many(job.act()), name, grid, args.sharing(local))
    }

    /// Weights as halves.
    fn expand(&mut self, m: Matrices, w: Tiled, place: usize) -> Result<MemoryId, DeviceError> {
        if w.format == Format::Halves {
            return Ok(w.memory);
        }
        let halves = w.rows.next_multiple_of(MANY_TILE) * units(w.cols) * 128;
        let pick: fn(&mut super::Rooms) -> &mut super::Room = match place {
            0 => |r| &mut r.expanded[0],
            1 => |r| &mut r.expanded[1],
            _ => |r| &mut r.expanded[2],
        };
        let to = self.floats(pick, halves / 2, "expanded weights")?;
        let tiles = w.rows.div_ceil(TILE_ROWS);
        let args = Args::of(&[w.memory, to]).ints(&[tiles, units(w.cols)]).floats(&[1.0]);
        let groups = (tiles * units(w.cols)).div_ceil(PREPARE_THREADS / 32);
        let family = Family::Tiles(w.format, Stages::of(w.format, m.local));
        self.launch(family, "expand", Grid::Groups([groups, 1, 1], PREPARE_THREADS), args)?;
        Ok(to)
    }

    /// Rows of a table in tiles, whose numbers lie in the step's list.
    pub(super) fn look_up_tiles(
        &mut self,
        table: Tiled,
        (at, rows): (usize, usize),
        out: Buffer,
        (factor, store): (f32, Store),
    ) -> Result<(), DeviceError> {
        let Some(m) = self.matrix_units else {
            return Err(self.refuse("rows of a table in tiles".to_owned()));
        };
        let step = self.ints_memory()?;
        let args =
            Args::of(&[table.memory, step, out.memory]).ints(&[at, table.rows, table.cols, adds(store)]);
        let groups = [units(table.cols).div_ceil(PREPARE_THREADS / 32), rows, 1];
        let grid = Grid::Groups(groups, PREPARE_THREADS);
        let family = Family::Tiles(table.format, Stages::of(table.format, m.local));
        self.launch(family, "look_up", grid, args.floats(&[factor * table.scale]))
    }
}
