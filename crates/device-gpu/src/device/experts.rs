//! Mixtures of experts: rows go to the experts that were chosen for them and come back as a weighted sum. Nothing of the choice
//! comes to the host.

use super::matmul::{Stack, TILE, TILE_THREADS, adds};
use super::programs::Family;
use super::queue::{Args, Grid};
use super::rounded::{Input, Rounded};
use super::{GpuDevice, Room, number};
use crate::driver::MemoryId;
use torchless_device::{DeviceError, ExpertLinear, Experts, Gating, GroupScore, Score};

/// Choices up to which each meets its matrix alone.
const FEW_CHOICES: usize = 64;
/// Threads of a group that routes, that places, and that multiplies one row.
const ROUTE_THREADS: usize = 64;
const PLACE_THREADS: usize = 256;
const FEW_THREADS: usize = 64;

/// Where the choices of a step lie.
#[derive(Clone, Copy)]
struct Choices {
    members: MemoryId,
    weights: MemoryId,
    /// Where the rows of each expert end and where each choice goes; none for few choices.
    grouped: Option<(MemoryId, MemoryId)>,
    count: usize,
    chosen: usize,
    experts: usize,
}

impl GpuDevice {
    fn ints_room(
        &mut self,
        pick: fn(&mut super::Rooms) -> &mut Room,
        values: usize,
    ) -> Result<MemoryId, DeviceError> {
        self.floats(pick, values, "choices of experts")
    }

    pub(super) fn run_experts(&mut self, op: &Experts) -> Result<(), DeviceError> {
        let choices = self.choose(op)?;
        let input = self.input(op.rows, op.input, op.norm.as_ref())?;
        let (gate_stack, down_stack) =
            (self.stacks[op.gate.stack.0 as usize], self.stacks[op.down.stack.0 as usize]);
        let (dim, hidden) = (input.width, gate_stack.rows);
        let mut x = input.memory;
        if let Some((_, places)) = choices.grouped {
            let count = choices.count * dim;
            x = self.floats(|r| &mut r.spread, count, "inputs of experts")?;
            let args = Args::of(&[input.memory, places, x]).ints(&[choices.chosen, dim, count]);
            self.op("spread", Grid::Threads(count), args)?;
        }
        let count = choices.count * hidden;
        let gate = self.floats(|r| &mut r.gate, count, "hidden activations of experts")?;
        let up = self.floats(|r| &mut r.up, count, "hidden activations of experts")?;
        let share = if choices.grouped.is_some() { 1 } else { choices.chosen };
        let mut rounded = Rounded::default();
        self.meet(&choices, &op.gate, (x, gate, share), &mut rounded)?;
        self.meet(&choices, &op.up, (x, up, share), &mut rounded)?;
        match op.gating {
            Gating::Plain(act) => {
                let args = Args::of(&[gate, up, gate]).ints(&[number(act), count]);
                self.op("glu", Grid::Threads(count), args)?;
            }
            Gating::Clamped { alpha, limit } => {
                let args = Args::of(&[gate, up]).ints(&[count]).floats(&[alpha, limit]);
                self.op("clamped_glu", Grid::Threads(count), args)?;
            }
        }
        let y = self.floats(|r| &mut r.yielded, choices.count * down_stack.rows, "yields of experts")?;
        self.meet(&choices, &op.down, (gate, y, 1), &mut Rounded::default())?;
        self.sum(op, &choices, y)
    }

    fn choose(&mut self, op: &Experts) -> Result<Choices, DeviceError> {
        let r = op.routing;
        if let Some(fault) = r.fault() {
            return Err(self.refuse(fault));
        }
        let count = op.rows * r.chosen;
        let left = self.floats(|r| &mut r.left, op.rows * r.experts, "scores of experts")?;
        let members = self.ints_room(|r| &mut r.members, count)?;
        let weights = self.ints_room(|r| &mut r.weights, count)?;
        let ((bias, has_bias), (factors, has_factors)) =
            (self.vector_or_nothing(op.bias), self.vector_or_nothing(op.factors));
        let (score, jitter) = match r.score {
            Score::Softmax => (0, 0.0),
            Score::SoftmaxOfChosen => (1, 0.0),
            Score::Sigmoid => (2, 0.0),
            Score::SparseMixer { jitter } => (3, jitter),
        };
        let (groups, kept, two) =
            r.groups.map_or((0, 0, 0), |g| (g.groups, g.chosen, usize::from(g.by == GroupScore::TwoLargest)));
        let args = Args::of(&[self.buf(op.scores).memory, left, bias, factors, members, weights]);
        let args = args.ints(&[r.experts, r.chosen, score, groups, kept, two]);
        let args = args.ints(&[usize::from(r.normalise.is_some()), has_bias, has_factors]);
        let args = args.floats(&[r.normalise.unwrap_or(0.0), r.scale, jitter]);
        self.op("route", Grid::Groups([op.rows, 1, 1], ROUTE_THREADS), args)?;
        let mut choices =
            Choices { members, weights, grouped: None, count, chosen: r.chosen, experts: r.experts };
        if count > FEW_CHOICES {
            let ends = self.ints_room(|r| &mut r.ends, r.experts)?;
            let places = self.ints_room(|r| &mut r.places, count)?;
            let args = Args::of(&[members, ends, places]).ints(&[r.experts, count]);
            self.op("place", Grid::Groups([1, 1, 1], PLACE_THREADS), args)?;
            choices.grouped = Some((ends, places));
        }
        Ok(choices)
    }

    /// Each choice's row times its expert's matrix; `rounded` is what was made of the same rows before.
    fn meet(
        &mut self,
        choices: &Choices,
        linear: &ExpertLinear,
        (x, y, share): (MemoryId, MemoryId, usize),
        rounded: &mut Rounded,
    ) -> Result<(), DeviceError> {
        let w = self.stacks[linear.stack.0 as usize];
        let Stack { memory, ty, count, rows, cols, ranges } = w;
        let (bias, has_bias) = self.vector_or_nothing(linear.bias);
        let input = Input::dense(x, choices.count / share, cols);
        let Some((ends, _)) = choices.grouped else {
            let sizes = [cols, rows, share, has_bias];
            let (name, from) = if self.takes_bytes(&w) {
                let (codes, scales) = self.codes(&w, input, rounded)?;
                ("dots_routed", vec![codes, scales])
            } else {
                ("matvec_routed", vec![x])
            };
            let pointers = [from, vec![memory, bias, choices.members, y]].concat();
            let grid = Grid::Groups([rows, choices.count, 1], FEW_THREADS);
            return self.launch(Family::Matmul(ty), name, grid, Args::of(&pointers).ints(&sizes));
        };
        let mut pointers = vec![x, memory, bias, ends, y];
        let name = match ranges {
            Some(ranges) => {
                pointers.extend([self.ranges(&w, input, rounded)?, ranges]);
                "matmul_halves_routed"
            }
            None => "matmul_routed",
        };
        // Any expert may have been chosen by every row: groups beyond its rows end at once.
        let most = choices.count / choices.chosen;
        let grid = [rows.div_ceil(TILE), most.div_ceil(TILE), count.min(choices.experts)];
        let args = Args::of(&pointers).ints(&[cols, rows, has_bias]);
        self.launch(Family::Matmul(ty), name, Grid::Groups(grid, TILE_THREADS), args)
    }

    fn sum(&mut self, op: &Experts, choices: &Choices, y: MemoryId) -> Result<(), DeviceError> {
        let out = self.buf(op.out);
        let count = op.rows * out.width;
        let (places, placed) = choices.grouped.map_or((self.nothing, 0), |(_, places)| (places, 1));
        let args = Args::of(&[y, places, choices.weights, out.memory]);
        let args = args.ints(&[choices.chosen, out.width, placed, adds(op.store), count]);
        self.op("gather_sum", Grid::Threads(count), args)
    }
}
