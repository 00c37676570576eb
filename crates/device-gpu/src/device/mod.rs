//! The GPU device: handles on one side, launches on the other. Launches of a step are gathered and given to the driver together,
//! so that it may recognise a step that it has seen.

mod attention;
mod encode;
mod experts;
pub(crate) mod flash;
mod largest;
mod latent;
mod matmul;
mod pool;
pub mod programs;
mod queue;
mod recurrent;
mod rounded;
mod step;
mod streams;
mod tiles;

use crate::GpuError;
use crate::driver::{Driver, MemoryId, Place};
use crate::host::{float_bytes, float_bytes_mut, int_bytes};
use matmul::{Matrix, Stack};
use pool::Pool;
use programs::Family;
use queue::{Args, Grid, Kernels, Queue};
use rounded::Rounding;
use step::Step;
use torchless_base::{BlockCopy, Logits, SeqId, StepPlan};
use torchless_device::{
    Activation, Attend, Blend, BufId, CacheId, CacheShape, DeltaNet, Device, DeviceError, Elementwise, Embed,
    Experts, Glu, Largest, LatentAttend, Lent, Linear, Listed, MatrixId, MatrixSource, MemoryGauge,
    MemoryUse, Norm, NormKind, Precision, Residency, Rope, RopeId, Rowwise, Select, SigmoidGate, Split,
    StackId, StateId, StateShape, Store, VectorId,
};

/// Threads of a group in the kernels that norm.
const NORM_THREADS: usize = 128;

/// Runs ops on a GPU.
pub struct GpuDevice {
    driver: Box<dyn Driver>,
    pool: Pool,
    /// What matrix instructions there are, where rounding activations to halves is allowed.
    matrix_units: Option<tiles::Matrices>,
    /// What other devices round to where it is allowed.
    rounding: Rounding,
    kernels: Kernels,
    queue: Queue,
    step: Step,
    /// The step's numbers.
    ints: Room,
    /// Stands where a kernel's argument is not used.
    nothing: MemoryId,
    matrices: Vec<Matrix>,
    stacks: Vec<Stack>,
    vectors: Vec<Vector>,
    buffers: Vec<Buffer>,
    ropes: Vec<attention::Rotation>,
    caches: Vec<attention::Cache>,
    offsets: Vec<encode::Offsets>,
    states: recurrent::States,
    rooms: Rooms,
    /// Lists on their way to the host.
    found: Vec<i32>,
}

#[derive(Clone, Copy)]
struct Buffer {
    memory: MemoryId,
    width: usize,
}

#[derive(Clone, Copy)]
struct Vector {
    memory: MemoryId,
    len: usize,
}

/// Memory that grows with what is asked of it.
#[derive(Clone, Copy, Default)]
struct Room {
    memory: Option<MemoryId>,
    bytes: u64,
}

/// What ops work with, kept from step to step.
#[derive(Default)]
struct Rooms {
    normed: Room,
    up: Room,
    latent_q: Room,
    latent_k: Room,
    mixed: Room,
    left: Room,
    members: Room,
    weights: Room,
    ends: Room,
    places: Room,
    spread: Room,
    gate: Room,
    yielded: Room,
    convolved: Room,
    sums: Room,
    prepared: Room,
    codes: Room,
    scales: Room,
    ranges: Room,
    partial: Room,
    arrived: Room,
    expanded: [Room; 3],
    halves: [Room; 5],
    largest: Room,
    faults: Room,
    masses: Room,
    found: Room,
}

impl From<GpuError> for DeviceError {
    fn from(e: GpuError) -> Self {
        match e {
            GpuError::OutOfMemory { device, bytes, what, free } => {
                let holding = format!(": {}", crate::error::shortage(bytes, free));
                Self::OutOfMemory { device, bytes, what, holding }
            }
            GpuError::TooLarge { device, bytes, what, most } => Self::TooLarge { device, bytes, what, most },
            GpuError::Exhausted { .. } => Self::Exhausted(e.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl GpuDevice {
    /// A device with nothing on it.
    ///
    /// # Errors
    /// The driver fails, or its compiler refuses the kernels that every model needs.
    pub fn new(mut driver: Box<dyn Driver>, precision: Precision) -> Result<Self, GpuError> {
        let nothing = driver.alloc(256, "nothing")?;
        driver.zero(Place { memory: nothing, offset: 0 }, 256)?;
        let mut kernels = Kernels::default();
        kernels.get(&mut *driver, Family::Ops, "rms_norm")?;
        Ok(Self {
            matrix_units: tiles::Matrices::of(driver.info(), precision),
            rounding: Rounding::of(driver.info(), precision),
            pool: Pool::new(&*driver),
            driver,
            kernels,
            queue: Queue::default(),
            step: Step::default(),
            ints: Room::default(),
            nothing,
            matrices: Vec::new(),
            stacks: Vec::new(),
            vectors: Vec::new(),
            buffers: Vec::new(),
            ropes: Vec::new(),
            caches: Vec::new(),
            offsets: Vec::new(),
            states: recurrent::States::default(),
            rooms: Rooms::default(),
            found: Vec::new(),
        })
    }

    /// Whether activations are rounded: to halves for matrix instructions, or to bytes for dot products.
    pub fn rounds(&self) -> bool {
        self.matrix_units.is_some() || self.rounding.is_any()
    }

    /// The driver beneath, for what is not an op.
    pub fn driver(&mut self) -> &mut dyn Driver {
        &mut *self.driver
    }

    fn refuse(&self, op: String) -> DeviceError {
        DeviceError::Unsupported { op, device: self.name() }
    }

    fn buf(&self, id: BufId) -> Buffer {
        self.buffers[id.0 as usize]
    }

    fn vector_or_nothing(&self, id: Option<VectorId>) -> (MemoryId, usize) {
        id.map_or((self.nothing, 0), |id| (self.vectors[id.0 as usize].memory, 1))
    }

    /// Starts a kernel after those that were asked for before.
    fn launch(
        &mut self,
        family: Family,
        name: &'static str,
        grid: Grid,
        args: Args,
    ) -> Result<(), DeviceError> {
        if args.is_beyond {
            return Err(
                self.refuse(format!("{name} over 2^31 values at once (fewer tokens per step are fewer)"))
            );
        }
        let kernel = self.kernels.get(&mut *self.driver, family, name)?;
        self.queue.push(kernel, grid, args);
        Ok(())
    }

    /// Starts a kernel that sees neither weights nor a cache.
    fn op(&mut self, name: &'static str, grid: Grid, args: Args) -> Result<(), DeviceError> {
        self.launch(Family::Ops, name, grid, args)
    }

    /// Gives everything that waits to the driver.
    fn flush(&mut self) -> Result<(), DeviceError> {
        if self.step.is_stale && !self.queue.launches.is_empty() {
            let memory = self.ints_memory()?;
            self.driver.write(Place { memory, offset: 0 }, int_bytes(&self.step.ints))?;
            self.step.is_stale = false;
        }
        let done = self.driver.launch(&self.queue.launches);
        self.queue.launches.clear();
        self.step.forget_lists();
        Ok(done?)
    }

    /// The memory of the step's numbers, large enough for them.
    fn ints_memory(&mut self) -> Result<MemoryId, DeviceError> {
        let bytes = (self.step.ints.len() * 4) as u64;
        match self.ints.memory {
            Some(memory) if self.ints.bytes >= bytes => Ok(memory),
            _ => {
                let mut ints = std::mem::take(&mut self.ints);
                let memory = self.room(&mut ints, bytes.next_power_of_two(), "the numbers of a step");
                self.ints = ints;
                memory
            }
        }
    }

    /// Memory of `bytes` bytes.
    fn take(&mut self, bytes: u64, what: MemoryUse, name: &str) -> Result<MemoryId, DeviceError> {
        self.pool.take(&mut *self.driver, bytes, (what, name))
    }

    /// Keeps memory for what is asked for later; what waits may still use it.
    fn release(&mut self, memory: MemoryId) -> Result<(), DeviceError> {
        if !self.queue.launches.is_empty() {
            self.flush()?;
        }
        self.pool.keep(memory);
        Ok(())
    }

    /// Makes memory at least as large as asked for; its content is lost when it grows.
    fn room(&mut self, room: &mut Room, bytes: u64, what: &str) -> Result<MemoryId, DeviceError> {
        if let Some(memory) = room.memory.filter(|_| room.bytes >= bytes) {
            return Ok(memory);
        }
        let mut wanted = bytes;
        if let Some(memory) = std::mem::take(room).memory {
            self.release(memory)?;
            // What has grown once will grow again.
            wanted = pool::size_class(bytes);
        }
        let (memory, bytes) = self.pool.take_kept(&mut *self.driver, wanted, (MemoryUse::Scratch, what))?;
        *room = Room { memory: Some(memory), bytes };
        Ok(memory)
    }

    /// A room for `values` floats; see [`GpuDevice::room`].
    fn floats(
        &mut self,
        pick: fn(&mut Rooms) -> &mut Room,
        values: usize,
        what: &str,
    ) -> Result<MemoryId, DeviceError> {
        let mut room = *pick(&mut self.rooms);
        let memory = self.room(&mut room, (values as u64).saturating_mul(4), what);
        *pick(&mut self.rooms) = room;
        memory
    }

    /// Everything that was asked for has happened.
    fn finish(&mut self) -> Result<(), DeviceError> {
        if !self.queue.launches.is_empty() {
            self.flush()?;
        }
        Ok(self.driver.finish()?)
    }

    /// A list of numbers for a kernel; returns where it begins.
    fn list(&mut self, values: impl ExactSizeIterator<Item = usize>) -> Result<usize, DeviceError> {
        if !self.step.has_room(values.len()) {
            self.flush()?;
            self.step.grow(values.len());
            self.ints_memory()?;
        }
        Ok(self.step.list(values))
    }

    fn upload(&mut self, values: &[f32], what: &str) -> Result<MemoryId, DeviceError> {
        let memory = self.take(values.len() as u64 * 4, MemoryUse::Weights, what)?;
        self.driver.write(Place { memory, offset: 0 }, float_bytes(values))?;
        Ok(memory)
    }

    /// Multiprocessors.
    fn units(&self) -> usize {
        self.driver.info().units as usize
    }

    /// Norms rows of `x`, which lie as `rows` says, into `out`.
    fn norm_rows(&mut self, norm: &Norm, x: MemoryId, out: MemoryId, rows: Rows) -> Result<(), DeviceError> {
        let weight = self.vectors[norm.weight.0 as usize];
        let parts = norm.groups.max(1);
        let group = rows.width / parts;
        let grid = Grid::Groups([rows.count * parts, 1, 1], NORM_THREADS);
        let places = [rows.x_stride, rows.y_stride, rows.x_at, rows.y_at];
        match norm.kind {
            NormKind::Rms { eps } => {
                let args = Args::of(&[x, weight.memory, out]).ints(&[group, parts, weight.len]);
                self.op("rms_norm", grid, args.ints(&places).floats(&[eps]))
            }
            NormKind::Layer { eps, bias } => {
                let (bias, has_bias) = self.vector_or_nothing(bias);
                let args =
                    Args::of(&[x, weight.memory, bias, out]).ints(&[group, parts, weight.len, has_bias]);
                self.op("layer_norm", grid, args.ints(&places).floats(&[eps]))
            }
        }
    }

    /// Rows of a buffer, normed where there is a norm.
    fn input(&mut self, rows: usize, input: BufId, norm: Option<&Norm>) -> Result<Buffer, DeviceError> {
        let from = self.buf(input);
        let Some(norm) = norm else { return Ok(from) };
        let memory = self.floats(|r| &mut r.normed, rows * from.width, "normed activations")?;
        self.norm_rows(norm, from.memory, memory, Rows::dense(rows, from.width))?;
        Ok(Buffer { memory, width: from.width })
    }
}

/// How rows that are normed lie.
#[derive(Clone, Copy)]
struct Rows {
    count: usize,
    width: usize,
    x_stride: usize,
    y_stride: usize,
    x_at: usize,
    y_at: usize,
}

impl Rows {
    /// One after the other.
    fn dense(count: usize, width: usize) -> Self {
        Self { count, width, x_stride: width, y_stride: width, x_at: 0, y_at: 0 }
    }
}

/// The number by which kernels know a function.
fn number(act: Activation) -> usize {
    match act {
        Activation::Silu => 0,
        Activation::Gelu => 1,
        Activation::GeluTanh => 2,
        Activation::GeluQuick => 3,
        Activation::Relu => 4,
        Activation::ReluSquared => 5,
        Activation::Tanh => 6,
        Activation::GeluTanhHalf => 7,
    }
}

fn handle<T>(list: &mut Vec<T>, item: T) -> u32 {
    list.push(item);
    (list.len() - 1) as u32
}

impl Device for GpuDevice {
    fn name(&self) -> String {
        let info = self.driver.info();
        format!("{} ({})", info.backend, info.name)
    }

    fn matrix(&mut self, source: &MatrixSource, _residency: Residency) -> Result<MatrixId, DeviceError> {
        let matrix = self.make_matrix(source)?;
        Ok(MatrixId(handle(&mut self.matrices, matrix)))
    }

    fn stack(&mut self, sources: &[MatrixSource], _residency: Residency) -> Result<StackId, DeviceError> {
        let stack = self.make_stack(sources)?;
        Ok(StackId(handle(&mut self.stacks, stack)))
    }

    fn state(&mut self, shape: &StateShape) -> Result<StateId, DeviceError> {
        Ok(self.states.add(shape))
    }

    fn vector(&mut self, name: &str, values: &[f32]) -> Result<VectorId, DeviceError> {
        let memory = self.upload(values, name)?;
        Ok(VectorId(handle(&mut self.vectors, Vector { memory, len: values.len() })))
    }

    fn rope(&mut self, rope: &Rope) -> Result<RopeId, DeviceError> {
        let rotation = self.make_rotation(rope)?;
        Ok(RopeId(handle(&mut self.ropes, rotation)))
    }

    fn buffer(&mut self, name: &str, tokens: usize, width: usize) -> Result<BufId, DeviceError> {
        let bytes = (tokens as u64).saturating_mul(width as u64 * 4);
        let memory = self.take(bytes, MemoryUse::Activations, name)?;
        Ok(BufId(handle(&mut self.buffers, Buffer { memory, width })))
    }

    fn cache(&mut self, shape: &CacheShape) -> Result<CacheId, DeviceError> {
        let cache = self.make_cache(shape)?;
        Ok(CacheId(handle(&mut self.caches, cache)))
    }

    fn begin(&mut self, plan: &StepPlan) -> Result<(), DeviceError> {
        self.queue.launches.clear();
        self.copy_blocks(&plan.copies)?;
        self.step.set(plan);
        self.ints_memory()?;
        self.begin_states(plan)?;
        self.turn()
    }

    fn embed(&mut self, op: &Embed) -> Result<(), DeviceError> {
        let (tokens, positions) = (self.step.at.tokens, self.step.at.positions);
        self.look_up(op.table, tokens, self.step.rows, (op.out, Store::Set, op.scale))?;
        match op.positions {
            Some(table) => self.look_up(table, positions, self.step.rows, (op.out, Store::Add, 1.0)),
            None => Ok(()),
        }
    }

    fn norm(&mut self, rows: usize, input: BufId, norm: &Norm, out: BufId) -> Result<(), DeviceError> {
        let (from, to) = (self.buf(input), self.buf(out));
        self.norm_rows(norm, from.memory, to.memory, Rows::dense(rows, from.width))
    }

    fn linear(&mut self, op: &Linear<'_>) -> Result<(), DeviceError> {
        self.run_linear(op)
    }

    fn glu(&mut self, op: &Glu) -> Result<(), DeviceError> {
        self.gated(op)
    }

    fn activate(&mut self, rows: usize, act: Activation, buf: BufId) -> Result<(), DeviceError> {
        let Buffer { memory, width } = self.buf(buf);
        let count = rows * width;
        self.op("activate", Grid::Threads(count), Args::of(&[memory]).ints(&[number(act), count]))
    }

    fn elementwise(&mut self, rows: usize, op: Elementwise, buf: BufId) -> Result<(), DeviceError> {
        let Buffer { memory, width } = self.buf(buf);
        let (count, x) = (rows * width, Args::of(&[memory]));
        let grid = Grid::Threads(count);
        match op {
            Elementwise::Clamp(limit) => self.op("clamp_values", grid, x.ints(&[count]).floats(&[limit])),
            Elementwise::Scale(factor) => self.op("scale_values", grid, x.ints(&[count]).floats(&[factor])),
            Elementwise::Multiply { by, first } => {
                let by = self.buf(by);
                let args = Args::of(&[memory, by.memory]).ints(&[width, by.width, first, count]);
                self.op("multiply", grid, args)
            }
        }
    }

    fn rowwise(&mut self, rows: usize, op: Rowwise, buf: BufId) -> Result<(), DeviceError> {
        self.run_rowwise(rows, op, buf)
    }

    fn blend(&mut self, op: &Blend<'_>) -> Result<(), DeviceError> {
        self.run_blend(op)
    }

    fn attend(&mut self, op: &Attend) -> Result<(), DeviceError> {
        self.run_attend(op)
    }

    fn experts(&mut self, op: &Experts) -> Result<(), DeviceError> {
        self.run_experts(op)
    }

    fn sigmoid_gate(&mut self, op: &SigmoidGate) -> Result<(), DeviceError> {
        let (gate, to) = (self.buf(op.gate), self.buf(op.buf));
        let count = op.rows * to.width;
        let args = Args::of(&[to.memory, gate.memory]).ints(&[to.width, gate.width, count]);
        self.op("sigmoid_gate", Grid::Threads(count), args)
    }

    fn attend_latent(&mut self, op: &LatentAttend) -> Result<(), DeviceError> {
        self.run_latent(op)
    }

    fn delta_net(&mut self, op: &DeltaNet) -> Result<(), DeviceError> {
        self.run_delta_net(op)
    }

    fn split(&mut self, op: &Split<'_>) -> Result<(), DeviceError> {
        let from = self.buf(op.input);
        let head = from.width / op.heads;
        let mut at = 0;
        for part in op.parts {
            let to = self.buf(part.out);
            let count = op.rows * op.heads * part.width;
            let args = Args::of(&[from.memory, to.memory])
                .ints(&[from.width, head, at, to.width, part.width, part.at]);
            self.op("move_heads", Grid::Threads(count), args.ints(&[part.width, op.heads, count]))?;
            at += part.width;
        }
        Ok(())
    }

    fn add(&mut self, rows: usize, input: BufId, scale: f32, out: BufId) -> Result<(), DeviceError> {
        let (from, to) = (self.buf(input), self.buf(out));
        let count = rows * from.width;
        let args = Args::of(&[to.memory, from.memory]).ints(&[count]).floats(&[scale]);
        self.op("add_scaled", Grid::Threads(count), args)
    }

    fn select(&mut self, op: &Select<'_>) -> Result<(), DeviceError> {
        let (from, to) = (self.buf(op.input), self.buf(op.out));
        let at = self.list(op.rows.iter().copied())?;
        let count = op.rows.len() * from.width;
        let step = self.ints_memory()?;
        let args = Args::of(&[from.memory, step, to.memory]).ints(&[at, from.width, count]);
        self.op("select_rows", Grid::Threads(count), args)
    }

    fn write(&mut self, buf: BufId, values: &[f32]) -> Result<(), DeviceError> {
        // What was asked for before reads what the buffer holds now.
        self.flush()?;
        let at = Place { memory: self.buf(buf).memory, offset: 0 };
        Ok(self.driver.write(at, float_bytes(values))?)
    }

    fn memory(&self) -> Vec<MemoryGauge> {
        vec![self.pool.gauge()]
    }

    fn most_listed(&self) -> usize {
        largest::MOST
    }

    fn largest(&mut self, op: &Largest<'_>, lists: &mut Logits) -> Result<Listed, DeviceError> {
        self.list_largest(op, lists)
    }

    fn read(&mut self, buf: BufId, out: &mut [f32]) -> Result<(), DeviceError> {
        self.flush()?;
        let at = Place { memory: self.buf(buf).memory, offset: 0 };
        Ok(self.driver.read(at, float_bytes_mut(out))?)
    }

    fn lend(&mut self, buf: BufId) -> Result<Lent, DeviceError> {
        if !self.queue.launches.is_empty() {
            self.flush()?;
        }
        let memory = self.buf(buf).memory;
        self.driver
            .lend(memory)
            .ok_or_else(|| self.refuse("work of other libraries on its buffers".to_owned()))
    }

    fn copy_blocks(&mut self, copies: &[BlockCopy]) -> Result<(), DeviceError> {
        if copies.is_empty() {
            return Ok(());
        }
        self.flush()?;
        for copy in copies {
            for cache in &self.caches {
                cache.copy(&mut *self.driver, copy)?;
            }
        }
        Ok(())
    }

    fn fork(&mut self, from: SeqId, to: SeqId) -> Result<(), DeviceError> {
        self.fork_state(from, to)
    }

    fn rewind(&mut self, seq: SeqId, len: usize) -> Result<usize, DeviceError> {
        Ok(self.states.rewind(seq, len))
    }

    fn forget(&mut self, seq: SeqId) {
        self.states.forget(seq);
    }

    fn end(&mut self) -> Result<(), DeviceError> {
        self.finish()?;
        self.states.end();
        Ok(())
    }
}
