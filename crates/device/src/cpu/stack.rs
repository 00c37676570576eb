//! Products of groups of rows, each group with a matrix of its own: what experts and the heads of latent attention share.

use super::{CpuDevice, Matrix, Stream};
use crate::ops::StackId;
use crate::{DeviceError, MatrixSource, Residency, Witness};
use std::ops::Range;
use torchless_kernels::{ActNeeds, Activations, Cpu, MatmulJob, MatrixRef, Precision, Store};

/// Products that go to the kernels in one call: their table lies on the stack.
const TOGETHER: usize = 8;

/// Matrices of one shape.
pub(super) struct Stack {
    pub(super) matrices: Vec<Matrix>,
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Of the matrices, where somebody is shown what they meet.
    names: Vec<String>,
}

impl Stack {
    fn show(&self, witness: &mut dyn Witness, groups: &Groups, x: &[f32]) {
        for (&member, rows) in groups.members.iter().zip(&groups.rows) {
            let x = &x[rows.start * self.cols..rows.end * self.cols];
            witness.met(&self.names[member as usize], x, self.cols);
        }
    }

    fn needs(&self, members: &[u32], precision: Precision) -> ActNeeds {
        let of = |m: &u32| self.matrices[*m as usize].needs(precision);
        members.iter().map(of).fold(ActNeeds::default(), ActNeeds::and)
    }
}

/// Rows that were put in the order of the matrices they meet.
#[derive(Default)]
pub(super) struct Groups {
    /// Which matrix each group meets.
    pub(super) members: Vec<u32>,
    /// The rows of each group.
    pub(super) rows: Vec<Range<usize>>,
    /// Where groups end.
    pub(super) ends: Vec<usize>,
}

impl Groups {
    pub(super) fn clear(&mut self) {
        self.members.clear();
        self.rows.clear();
        self.ends.clear();
    }

    /// Appends a group of `len` rows, unless there are none.
    pub(super) fn push(&mut self, member: usize, len: usize) {
        if len > 0 {
            let start = self.ends.last().copied().unwrap_or(0);
            self.members.push(member as u32);
            self.rows.push(start..start + len);
            self.ends.push(start + len);
        }
    }

    /// Rows of all groups.
    pub(super) fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }
}

/// What products of groups are made by, and who is shown what they meet.
pub(super) struct On<'a> {
    pub(super) cpu: &'a Cpu,
    pub(super) stream: &'a mut Stream,
    pub(super) precision: Precision,
    pub(super) seen: Option<&'a mut Box<dyn Witness>>,
}

/// What products of groups work with, kept from step to step.
#[derive(Default)]
pub(super) struct Grouped {
    pub(super) groups: Groups,
    acts: Option<Activations>,
    /// Rows, columns and forms that `acts` has room for.
    held: (usize, ActNeeds),
}

impl Grouped {
    fn acts(&mut self, cols: usize, needs: ActNeeds) -> &mut Activations {
        let (rows, padded) = (self.groups.len(), cols.next_multiple_of(256));
        let (room, forms) = self.held;
        let (want, both) = ((rows * padded).max(room), forms.and(needs));
        if self.acts.is_none() || (want, both) != self.held {
            self.acts = None;
            self.held = (want, both);
        }
        self.acts.get_or_insert_with(|| Activations::new(want.div_ceil(256), 256, both))
    }

    /// `y = x m + bias`, group by group: `x` is `[rows, cols]`, `y` is `[rows, stack's rows]`, `bias` has a part for each matrix.
    ///
    /// # Errors
    /// Weights that are not in memory cannot be read.
    pub(super) fn product(
        &mut self,
        on: On<'_>,
        (stack, bias): (&Stack, Option<&[f32]>),
        x: &[f32],
        y: &mut [f32],
    ) -> Result<(), DeviceError> {
        let On { cpu, stream, precision, seen } = on;
        if let Some(witness) = seen {
            stack.show(&mut **witness, &self.groups, x);
        }
        let needs = stack.needs(&self.groups.members, precision);
        self.acts(stack.cols, needs);
        let (Some(acts), groups) = (&mut self.acts, &self.groups) else { return Ok(()) };
        let bias = |member: u32| bias.map(|b| &b[member as usize * stack.rows..][..stack.rows]);
        if groups.members.iter().any(|&m| stack.matrices[m as usize].is_streamed()) {
            for (&member, rows) in groups.members.iter().zip(&groups.rows) {
                cpu.prepare(&x[rows.start * stack.cols..rows.end * stack.cols], stack.cols, needs, acts);
                let y = &mut y[rows.start * stack.rows..rows.end * stack.rows];
                let matrix = &stack.matrices[member as usize];
                if matrix.is_streamed() {
                    stream.product(cpu, matrix, acts, (y, bias(member), Store::Set))?;
                } else {
                    let job = MatmulJob { w: matrix.as_ref(), bias: bias(member), y, store: Store::Set };
                    cpu.matmul(&mut [job], acts);
                }
            }
            return Ok(());
        }
        cpu.prepare_groups(x, (stack.cols, &groups.ends), needs, acts);
        let mut rest = y;
        for (members, rows) in groups.members.chunks(TOGETHER).zip(groups.rows.chunks(TOGETHER)) {
            let mut parts = members.iter().zip(rows);
            let mut jobs: [MatmulJob<'_>; TOGETHER] = std::array::from_fn(|_| match parts.next() {
                Some((&member, rows)) => {
                    let (y, after) = std::mem::take(&mut rest).split_at_mut(rows.len() * stack.rows);
                    rest = after;
                    let w = stack.matrices[member as usize].as_ref();
                    MatmulJob { w, bias: bias(member), y, store: Store::Set }
                }
                None => MatmulJob { w: NOTHING, bias: None, y: &mut [], store: Store::Set },
            });
            cpu.matmul_groups(&mut jobs[..members.len()], rows, acts);
        }
        Ok(())
    }
}

/// Fills the table where there are fewer products than it has places.
const NOTHING: MatrixRef<'static> = MatrixRef {
    ty: torchless_quant::TensorType::F32,
    layout: torchless_kernels::Layout::File,
    rows: 0,
    cols: 0,
    data: &[],
    scales: &[],
};

impl CpuDevice {
    pub(super) fn make_stack(
        &mut self,
        sources: &[MatrixSource],
        residency: Residency,
    ) -> Result<StackId, DeviceError> {
        let Some(first) = sources.first() else {
            return Err(self.refuse("a stack of no matrices".to_owned()));
        };
        let (rows, cols) = (first.rows, first.cols);
        let mut matrices = Vec::with_capacity(sources.len());
        for source in sources {
            if (source.rows, source.cols) != (rows, cols) {
                return Err(self.refuse(format!("{source:?} in a stack of [{rows}, {cols}]")));
            }
            matrices.push(self.take_matrix(source, residency)?);
        }
        let shown = self.seen.by.is_some();
        let names = sources.iter().filter(|_| shown).map(|source| source.name.clone()).collect();
        self.stacks.push(Stack { matrices, rows, cols, names });
        Ok(StackId(self.stacks.len() as u32 - 1))
    }
}
