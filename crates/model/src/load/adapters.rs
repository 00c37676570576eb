//! Adapters on their way to the device: pairs of narrow matrices beside those of the model, or added into those of experts. Pairs of several
//! adapters for one matrix become one.

use super::experts::flat;
use super::seats::{self, OfExpert, Seat, Seated, Seats};
use super::tensors::is_half;
use super::{Loader, division};
use crate::ModelError;
use crate::roles::{Part, Role};
use crate::spec::ModelSpec;
use std::collections::BTreeSet;
use std::sync::Arc;
use torchless_device::{Adaptation, Divide, MatrixId, MatrixSource};
use torchless_formats::{Adapter, Tensor};
use torchless_quant::TensorType;

/// An adapter and how much of it is added.
#[derive(Clone, Debug)]
pub struct ScaledAdapter {
    /// As its file has it.
    pub adapter: Adapter,
    /// Beside the factor that the file says.
    pub scale: f32,
}

/// Adapters, where their pairs belong, and the matrices that have something beside them.
#[derive(Default)]
pub(super) struct Adapters<'a> {
    pub all: &'a [ScaledAdapter],
    pub seats: Seats,
    pub used: BTreeSet<Seat>,
    pub made: Vec<(MatrixId, Adaptation)>,
}

/// A matrix that adapters may add to.
pub(super) struct Adapted<'a> {
    /// On the device.
    pub matrix: MatrixId,
    /// The tensor in the checkpoint that it comes from.
    pub tensor: &'a str,
    /// Rows of that, and values in each.
    pub shape: [usize; 2],
    /// Which of its rows the matrix has, in their order; none means all.
    pub rows: Option<&'a [usize]>,
    /// What it is in its layer.
    pub role: Role,
}

/// One pair in the making.
struct Joined {
    rank: usize,
    /// `[rank, in]`.
    down: Vec<f32>,
    /// `[out, rank]` for each pair.
    up: Vec<(usize, Vec<f32>)>,
}

impl Loader<'_> {
    /// Finds out where the pairs of all adapters belong.
    pub(super) fn seat_adapters(&mut self, spec: &ModelSpec) -> Result<(), ModelError> {
        if self.adapters.all.is_empty() {
            return Ok(());
        }
        for ScaledAdapter { adapter, .. } in self.adapters.all {
            if let Some(name) = self.replaced(adapter, spec)? {
                let what = format!("has another '{name}' than the model, which is not applied");
                return Err(ModelError::Adapter { path: adapter.path.clone(), what });
            }
        }
        self.adapters.seats = seats::find(self.checkpoint, (self.naming, spec), self.adapters.all)?;
        Ok(())
    }

    /// A whole tensor of an adapter that is not the model's own.
    fn replaced<'n>(&self, adapter: &'n Adapter, spec: &ModelSpec) -> Result<Option<&'n str>, ModelError> {
        for (name, tensor) in &adapter.whole {
            let own = seats::tensor_of(self.checkpoint, (self.naming, spec), (adapter, name))?;
            // A head that is tied may be there under its own name alone.
            let tied = || self.naming.find(Role::TokenEmbedding, None, Part::Weight);
            let own = own.or_else(tied).and_then(|name| self.checkpoint.tensors.get(&name).ok());
            if !own.is_some_and(|own| is_rounded(tensor, own)) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Puts what adapters have for a matrix beside it. Where devices share that one, a pair is divided as it is: the rows of the second, or the
    /// columns of the first, and what is between them is whole on every device.
    pub(super) fn adapt(&mut self, to: &Adapted<'_>) -> Result<(), ModelError> {
        let Some(joined) = self.join(to)? else { return Ok(()) };
        let Joined { rank, down, up } = joined;
        let [out, cols] = to.shape;
        let own = || to.rows.map_or_else(|| (0..out).collect(), <[usize]>::to_vec);
        let rows: Vec<usize> = own();
        let mut beside = Vec::with_capacity(rows.len() * rank);
        for &row in &rows {
            up.iter().for_each(|(rank, values)| beside.extend(&values[row * rank..(row + 1) * rank]));
        }
        let (of_down, of_up) = match division::of_role(to.role, self.buffers.pieces()) {
            cols @ Divide::Cols(_) => (cols, Divide::Whole),
            other => (Divide::Whole, other),
        };
        let down = self.narrow(format!("{} down", to.tensor), &down, (cols, of_down))?;
        let up = self.narrow(format!("{} up", to.tensor), &beside, (rank, of_up))?;
        let narrow = self.whole_buffer("adapter", rank)?;
        let half = match is_half(to.role) {
            true => Some(self.buffers.get("half", rows.len(), self.device)?),
            false => None,
        };
        self.adapters.made.push((to.matrix, Adaptation { down, up, narrow, half }));
        Ok(())
    }

    fn narrow(
        &mut self,
        name: String,
        values: &[f32],
        (cols, divide): (usize, Divide),
    ) -> Result<MatrixId, ModelError> {
        let source = MatrixSource { divide, ..MatrixSource::of_floats(name, values, cols.max(1)) };
        Ok(self.device.matrix(&source, self.residency)?)
    }

    /// All pairs for a tensor in one.
    fn join(&mut self, to: &Adapted<'_>) -> Result<Option<Joined>, ModelError> {
        let mut joined = Joined { rank: 0, down: Vec::new(), up: Vec::new() };
        for pair in self.pairs_for(&Seat::Tensor(to.tensor.to_owned()), to.shape)? {
            joined.rank += pair.rank;
            joined.down.extend(pair.down);
            joined.up.push((pair.rank, pair.up));
        }
        Ok((joined.rank > 0).then_some(joined))
    }

    /// The pairs for what has that many rows and columns.
    pub(super) fn pairs_for(
        &mut self,
        seat: &Seat,
        [rows, cols]: [usize; 2],
    ) -> Result<Vec<Seated>, ModelError> {
        let Some(pairs) = self.adapters.seats.get(seat) else { return Ok(Vec::new()) };
        if let Some(other) = pairs.iter().find(|pair| pair.rows() != rows || pair.cols() != cols) {
            let (down, up) = ([other.rank, other.cols()], [other.rows(), other.rank]);
            let name = &other.name;
            let what = format!("has {down:?} and {up:?} for '{name}', which is {rows} x {cols} in the model");
            let path = self.adapters.all[other.adapter].adapter.path.clone();
            return Err(ModelError::Adapter { path, what });
        }
        self.adapters.used.insert(seat.clone());
        Ok(pairs.clone())
    }

    /// The matrices of one place in all experts with what adapters have for them added in: no op of a device has room for it beside them. Where
    /// there is anything, all become floats: in half precision where they are or were no more precise, otherwise in single precision.
    pub(super) fn merged(
        &mut self,
        sources: Vec<MatrixSource>,
        (layer, matrix): (usize, OfExpert),
    ) -> Result<Vec<MatrixSource>, ModelError> {
        let seat = |expert| Seat::Expert { layer, matrix, expert };
        if !(0..sources.len()).any(|expert| self.adapters.seats.contains_key(&seat(expert))) {
            return Ok(sources);
        }
        let mut all = Vec::with_capacity(sources.len());
        for (expert, source) in sources.into_iter().enumerate() {
            let pairs = self.pairs_for(&seat(expert), [source.rows, source.cols])?;
            let mut values = vec![0.0; source.rows * source.cols];
            let scales = source.scales.as_ref().map_or(&[][..], |scales| scales.bytes());
            source.ty.decode(source.data.bytes(), scales, &mut values);
            pairs.iter().for_each(|pair| pair.add_to(&mut values));
            all.push(self.as_floats(source, &values, &pairs)?);
        }
        Ok(all)
    }

    /// A tensor with what adapters have for it added in, in single precision where that is anything.
    pub(super) fn with_pairs(&mut self, tensor: Tensor) -> Result<Tensor, ModelError> {
        let shape = [tensor.rows(), tensor.cols()];
        let pairs = self.pairs_for(&Seat::Tensor(tensor.name.clone()), shape)?;
        if pairs.is_empty() {
            return Ok(tensor);
        }
        let mut values = flat(&tensor);
        pairs.iter().for_each(|pair| pair.add_to(&mut values));
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let Tensor { name, shape, .. } = tensor;
        Ok(Tensor::new(name, TensorType::F32, shape, data.into(), None)?)
    }

    fn as_floats(
        &self,
        source: MatrixSource,
        values: &[f32],
        pairs: &[Seated],
    ) -> Result<MatrixSource, ModelError> {
        let ty = if matches!(source.ty, TensorType::F32 | TensorType::BF16) {
            TensorType::F32
        } else {
            TensorType::F16
        };
        let size = ty.info().block_bytes;
        if ty == TensorType::F16
            && let (Some(pair), Some(value)) =
                (pairs.first(), values.iter().find(|value| value.abs() > 65504.0))
        {
            let what =
                format!("makes a weight for '{}' {value}, which half precision does not hold", pair.name);
            let path = self.adapters.all[pair.adapter].adapter.path.clone();
            return Err(ModelError::Adapter { path, what });
        }
        let mut data = vec![0; values.len() * size];
        ty.encode(values, &mut data, &mut []);
        Ok(MatrixSource { ty, data: Arc::new(data), scales: None, ..source })
    }

    /// Every pair is beside a matrix now, or there is one that this model cannot have.
    pub(super) fn refuse_unused_pairs(&self) -> Result<(), ModelError> {
        let left = |(seat, _): &(&Seat, &Vec<Seated>)| !self.adapters.used.contains(seat);
        let Some(pair) = self.adapters.seats.iter().find(left).and_then(|(_, pairs)| pairs.first()) else {
            return Ok(());
        };
        let what = seats::no_matrix(&pair.name);
        let path = self.adapters.all[pair.adapter].adapter.path.clone();
        Err(ModelError::Adapter { path, what })
    }
}

/// Whether the second tensor is the first, as its type has it.
fn is_rounded(tensor: &Tensor, own: &Tensor) -> bool {
    if tensor.shape != own.shape {
        return false;
    }
    let (mut values, mut there) = (vec![0.0; tensor.cols()], vec![0.0; tensor.cols()]);
    let info = own.ty.info();
    let mut row_bytes = vec![0; own.ty.row_bytes(own.cols()).unwrap_or(0)];
    (0..tensor.rows()).all(|row| {
        tensor.decode_row(row, &mut values);
        own.decode_row(row, &mut there);
        if values == there {
            return true;
        }
        info.scale_bytes == 0 && own.ty.encode(&values, &mut row_bytes, &mut []) && {
            own.ty.decode(&row_bytes, &[], &mut values);
            values == there
        }
    })
}
