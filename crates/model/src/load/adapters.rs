//! Adapters on their way to the device: pairs of narrow matrices beside those of the model. Pairs of several adapters for one matrix
//! become one.

use super::Loader;
use super::experts::flat;
use crate::ModelError;
use crate::config::Dialect;
use crate::roles::{Part, Role};
use std::collections::BTreeSet;
use std::sync::Arc;
use torchless_device::{Adaptation, MatrixId, MatrixSource, MatrixUse};
use torchless_formats::{Adapter, AdapterPair, Format, Tensor};
use torchless_quant::TensorType;

/// An adapter and how much of it is added.
#[derive(Clone, Debug)]
pub struct ScaledAdapter {
    /// As its file has it.
    pub adapter: Adapter,
    /// Beside the factor that the file says.
    pub scale: f32,
}

/// Adapters, what of them has been used, and the matrices that have something beside them.
#[derive(Default)]
pub(super) struct Adapters<'a> {
    pub all: &'a [ScaledAdapter],
    pub used: BTreeSet<(usize, String)>,
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
    /// Whether it is one half of a gated unit.
    pub half: bool,
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
    /// Refuses adapters of the other dialect, whose names and order of rows are not those of the checkpoint.
    pub(super) fn check_adapters(&self, arch: &str) -> Result<(), ModelError> {
        let own = self.naming.dialect();
        for ScaledAdapter { adapter, .. } in self.adapters.all {
            let dialect = if adapter.format == Format::Gguf { Dialect::Gguf } else { Dialect::Json };
            let named = adapter.architecture.as_deref().filter(|named| *named != arch);
            let what = match (dialect == own, named) {
                (true, None) => match self.replaced(adapter) {
                    None => continue,
                    Some(name) => format!("has another '{name}' than the model, which is not applied"),
                },
                (true, Some(named)) => format!("is for the architecture {named}, and the model is {arch}"),
                (false, _) if own == Dialect::Gguf => {
                    "is safetensors, and the model GGUF: convert it with llama.cpp's convert_lora_to_gguf.py"
                        .to_owned()
                }
                (false, _) => {
                    "is GGUF, and the model safetensors: give the adapter that PEFT wrote".to_owned()
                }
            };
            return Err(ModelError::Adapter { path: adapter.path.clone(), what });
        }
        Ok(())
    }

    /// A whole tensor of an adapter that is not the model's own.
    fn replaced<'n>(&self, adapter: &'n Adapter) -> Option<&'n str> {
        let same = |name: &str, tensor: &Tensor| {
            let named = |n: &&str| *n == name || self.naming.unwrapped(n) == name;
            let own = self.checkpoint.tensors.names().find(named);
            let own = own.and_then(|own| self.checkpoint.tensors.get(own).ok());
            // A head that is tied may be there under its own name alone.
            let tied = || {
                self.checkpoint.tensors.get(&self.naming.name(Role::TokenEmbedding, None, Part::Weight)).ok()
            };
            own.or_else(tied).is_some_and(|own| own.shape == tensor.shape && flat(own) == flat(tensor))
        };
        adapter.whole.iter().find(|(name, tensor)| !same(name, tensor)).map(|(name, _)| name.as_str())
    }

    /// Puts what adapters have for a matrix beside it.
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
        let down = self.narrow(format!("{} down", to.tensor), &down, cols)?;
        let up = self.narrow(format!("{} up", to.tensor), &beside, rank)?;
        let narrow = self.buffers.get("adapter", rank, self.device)?;
        let half = match to.half {
            true => Some(self.buffers.get("half", rows.len(), self.device)?),
            false => None,
        };
        self.adapters.made.push((to.matrix, Adaptation { down, up, narrow, half }));
        Ok(())
    }

    fn narrow(&mut self, name: String, values: &[f32], cols: usize) -> Result<MatrixId, ModelError> {
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let (ty, purpose, rows) = (TensorType::F32, MatrixUse::Product, values.len() / cols.max(1));
        let source = MatrixSource { name, purpose, ty, rows, cols, data: Arc::new(data), scales: None };
        Ok(self.device.matrix(&source, self.residency)?)
    }

    /// All pairs for a tensor in one.
    fn join(&mut self, to: &Adapted<'_>) -> Result<Option<Joined>, ModelError> {
        let plain = self.naming.unwrapped(to.tensor);
        let mut joined = Joined { rank: 0, down: Vec::new(), up: Vec::new() };
        for (i, ScaledAdapter { adapter, scale }) in self.adapters.all.iter().enumerate() {
            let names = [to.tensor, plain.as_str()];
            let Some(name) = names.into_iter().find(|name| adapter.pairs.contains_key(*name)) else {
                continue;
            };
            let pair = &adapter.pairs[name];
            let [out, cols] = to.shape;
            if pair.down.cols() != cols || pair.up.rows() != out {
                let (down, up) = (&pair.down.shape, &pair.up.shape);
                let what =
                    format!("has {down:?} and {up:?} for '{name}', which is {out} x {cols} in the model");
                return Err(ModelError::Adapter { path: adapter.path.clone(), what });
            }
            let factor = pair.scale * scale;
            joined.rank += pair.down.rows();
            joined.down.extend(flat(&pair.down));
            let up = flat(&pair.up).iter().map(|value| value * factor).collect();
            joined.up.push((pair.down.rows(), up));
            self.adapters.used.insert((i, name.to_owned()));
        }
        Ok((joined.rank > 0).then_some(joined))
    }

    /// Every pair is beside a matrix now, or there is one that this model cannot have.
    pub(super) fn refuse_unused_pairs(&self) -> Result<(), ModelError> {
        for (i, ScaledAdapter { adapter, .. }) in self.adapters.all.iter().enumerate() {
            let left =
                |(name, _): &(&String, &AdapterPair)| !self.adapters.used.contains(&(i, (*name).clone()));
            if let Some((name, _)) = adapter.pairs.iter().find(left) {
                let what = format!(
                    "has a pair for '{name}', which is no matrix of this model that one can be added to (attention, dense and shared \
                     feed-forward units, and the head can)"
                );
                return Err(ModelError::Adapter { path: adapter.path.clone(), what });
            }
        }
        Ok(())
    }
}
