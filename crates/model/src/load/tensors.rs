//! Single tensors on their way to the device: found by role, checked against the specification, split where a file has several
//! matrices in one.

use super::adapters::Adapted;
use super::{Loader, arrange};
use crate::ModelError;
use crate::decoder::Linear;
use crate::roles::{Layout, Part, Role};
use crate::spec::{NormForm, NormSpec, NormWeight};
use std::ops::Range;
use std::sync::Arc;
use torchless_device::{Divide, MatrixId, MatrixSource, MatrixUse, Norm, NormKind, VectorId, WeightBytes};
use torchless_formats::{Bytes, Tensor};

/// The values of a short tensor.
pub(crate) fn vector(tensor: &Tensor, len: usize) -> Result<Vec<f32>, ModelError> {
    if tensor.shape != [len] {
        return Err(wrong_shape(tensor, vec![len]));
    }
    let mut values = vec![0.0; len];
    tensor.decode_row(0, &mut values);
    Ok(values)
}

fn wrong_shape(tensor: &Tensor, expected: Vec<usize>) -> ModelError {
    ModelError::Shape { name: tensor.name.clone(), found: tensor.shape.clone(), expected }
}

/// Matrices off the same input, which a file may hold one by one, or one below the other in one.
pub(super) struct Rows<const N: usize> {
    /// The role of all in one.
    pub fused: Role,
    /// Each role with its number of rows.
    pub parts: [(Role, usize); N],
    /// Values in a row.
    pub cols: usize,
    /// Whether they have biases.
    pub bias: bool,
    /// Rows of a head, where heads may take turns.
    pub head_dim: usize,
}

impl Loader<'_> {
    /// Matrices one by one or from one, as the file has them.
    pub(super) fn rows<const N: usize>(
        &mut self,
        i: usize,
        rows: &Rows<N>,
    ) -> Result<[Linear; N], ModelError> {
        let mut out = Vec::with_capacity(N);
        if self.has(rows.parts[0].0, i, Part::Weight) || !self.has(rows.fused, i, Part::Weight) {
            for (role, n) in rows.parts {
                out.push(self.linear(role, i, [n, rows.cols], rows.bias)?);
            }
        } else {
            self.split(i, rows, &mut out)?;
        }
        Ok(std::array::from_fn(|i| out[i]))
    }

    fn has(&self, role: Role, i: usize, part: Part) -> bool {
        let name = self.naming.find(role, Some(i), part);
        name.is_some_and(|name| self.checkpoint.tensors.contains(&name))
    }

    fn split<const N: usize>(
        &mut self,
        i: usize,
        rows: &Rows<N>,
        out: &mut Vec<Linear>,
    ) -> Result<(), ModelError> {
        let total = rows.parts.iter().map(|(_, n)| n).sum();
        let mut tensor = self.product(rows.fused, i, [total, rows.cols])?;
        let mut bias = if rows.bias { Some(self.biases_of_rows(i, rows, total)?) } else { None };
        let mut order: Vec<usize> = (0..total).collect();
        if self.naming.layout() == Layout::HeadsTakeTurns {
            order = parts_together(rows.head_dim, total);
            tensor = arrange::rows(&tensor, &order);
            if let Some((_, values)) = &mut bias {
                *values = order.iter().map(|&row| values[row]).collect();
            }
        }
        let mut first = 0;
        for (role, n) in rows.parts {
            let part = rows_of(&tensor, &format!("{role:?}"), first..first + n);
            let matrix =
                self.device.matrix(&self.divided(source(&part, purpose(role)), role), self.residency)?;
            let (shape, own) = ([total, rows.cols], Some(&order[first..first + n]));
            self.adapt(&Adapted { matrix, tensor: &tensor.name, shape, rows: own, role })?;
            let bias = match &bias {
                Some((name, all)) => {
                    Some(self.device.vector(&format!("{name} {role:?}"), &all[first..first + n])?)
                }
                None => None,
            };
            out.push(Linear { matrix, bias });
            first += n;
        }
        self.advance(&tensor);
        Ok(())
    }

    /// The biases of several matrices in one: in one tensor too, or one by one.
    fn biases_of_rows<const N: usize>(
        &mut self,
        i: usize,
        rows: &Rows<N>,
        total: usize,
    ) -> Result<(String, Vec<f32>), ModelError> {
        let apart = self.has(rows.parts[0].0, i, Part::Bias) && !self.has(rows.fused, i, Part::Bias);
        let whole = [(rows.fused, total)];
        let mut values = Vec::with_capacity(total);
        for &(role, n) in if apart { &rows.parts[..] } else { &whole[..] } {
            let tensor = self.take(role, Some(i), Part::Bias, &[n])?;
            values.extend(vector(&tensor, n)?);
        }
        Ok((self.naming.name(rows.fused, Some(i), Part::Bias), values))
    }

    /// One matrix with its bias, where it has one.
    pub(super) fn linear(
        &mut self,
        role: Role,
        i: usize,
        shape: [usize; 2],
        bias: impl Into<Bias>,
    ) -> Result<Linear, ModelError> {
        let tensor = self.product(role, i, shape)?;
        let matrix =
            self.device.matrix(&self.divided(source(&tensor, purpose(role)), role), self.residency)?;
        self.advance(&tensor);
        self.adapt(&Adapted { matrix, tensor: &tensor.name, shape, rows: None, role })?;
        Ok(Linear { matrix, bias: self.bias(role, Some(i), shape[0], bias)? })
    }

    /// The tensor of a matrix for products, `[out, in]`.
    fn product(&mut self, role: Role, i: usize, [rows, cols]: [usize; 2]) -> Result<Tensor, ModelError> {
        if self.naming.layout() != Layout::Columns {
            return self.take(role, Some(i), Part::Weight, &[rows, cols]);
        }
        let tensor = self.take(role, Some(i), Part::Weight, &[cols, rows])?;
        arrange::transposed(&tensor)
    }

    /// A matrix for products outside the layers.
    pub(super) fn end_matrix(&mut self, role: Role, shape: [usize; 2]) -> Result<Linear, ModelError> {
        Ok(Linear { matrix: self.matrix(role, None, shape, MatrixUse::Product)?, bias: None })
    }

    /// Passes over a tensor that a checkpoint may hold and that has no use here.
    pub(super) fn pass_over(&mut self, role: Role, i: usize) {
        for part in [Part::Weight, Part::Bias, Part::Bare] {
            if let Some(name) = self.naming.find(role, Some(i), part) {
                self.used.insert(name);
            }
        }
    }

    /// A bias, where there is one.
    pub(super) fn bias(
        &mut self,
        role: Role,
        i: Option<usize>,
        len: usize,
        bias: impl Into<Bias>,
    ) -> Result<Option<VectorId>, ModelError> {
        match bias.into() {
            Bias::Absent => Ok(None),
            Bias::Present => self.vector(role, i, Part::Bias, len).map(Some),
        }
    }

    /// A norm of whole rows of `dim` values.
    pub(super) fn norm(
        &mut self,
        role: Role,
        i: Option<usize>,
        spec: NormSpec,
        dim: usize,
    ) -> Result<Norm, ModelError> {
        self.norm_in_groups(role, i, spec, (dim, 1))
    }

    /// A norm of `groups` equal parts of a row; the weight has `len` values, which are those of one part or of all.
    pub(super) fn norm_in_groups(
        &mut self,
        role: Role,
        i: Option<usize>,
        spec: NormSpec,
        (len, groups): (usize, usize),
    ) -> Result<Norm, ModelError> {
        let weight = match spec.weight {
            NormWeight::Absent => self.device.vector("ones", &vec![1.0; len])?,
            NormWeight::Plain | NormWeight::LessOne => {
                let (mut name, mut values) = self.norm_weight(role, i, (len, groups))?;
                if spec.weight == NormWeight::LessOne {
                    values.iter_mut().for_each(|w| *w += 1.0);
                    name += " + 1";
                }
                self.device.vector(&name, &values)?
            }
        };
        let bias = self.bias(role, i, len, spec.bias)?;
        let eps = spec.eps;
        let kind = match spec.kind {
            NormForm::Rms => NormKind::Rms { eps },
            NormForm::Layer => NormKind::Layer { eps, bias },
        };
        Ok(Norm { kind, weight, groups })
    }

    /// The weight of a norm; one for each group may be a row for each, or a tensor for each whose number is in its name.
    fn norm_weight(
        &mut self,
        role: Role,
        i: Option<usize>,
        (len, groups): (usize, usize),
    ) -> Result<(String, Vec<f32>), ModelError> {
        let name = self.naming.name(role, i, Part::Weight);
        let each = len / groups.max(1);
        if !name.contains("{}") {
            let mut tensor = self.named(&name)?;
            if tensor.shape == [groups, each] {
                tensor.shape = vec![len];
            }
            let values = vector(&tensor, len)?;
            self.advance(&tensor);
            return Ok((name, values));
        }
        let mut values = Vec::with_capacity(len);
        for group in 0..groups {
            let tensor = self.named(&name.replacen("{}", &group.to_string(), 1))?;
            values.extend(vector(&tensor, each)?);
            self.advance(&tensor);
        }
        Ok((name, values))
    }

    /// The tensor of that name.
    fn named(&mut self, name: &str) -> Result<Tensor, ModelError> {
        let tensor = match self.checkpoint.tensors.get(name) {
            Ok(tensor) => tensor.clone(),
            Err(_) if !self.checkpoint.tensors.contains(name) => {
                return Err(ModelError::MissingTensor { name: name.to_owned() });
            }
            Err(e) => return Err(ModelError::Format(e)),
        };
        self.used.insert(name.to_owned());
        Ok(tensor)
    }

    /// The tensor of a role, of this shape.
    pub(super) fn take(
        &mut self,
        role: Role,
        i: Option<usize>,
        part: Part,
        shape: &[usize],
    ) -> Result<Tensor, ModelError> {
        self.take_named(&self.naming.name(role, i, part), shape)
    }

    /// The tensor of that name, of this shape; one row is as good as a vector, and the other way round.
    pub(super) fn take_named(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let mut tensor = self.named(name)?;
        let without_ones = |shape: &[usize]| shape.iter().copied().filter(|n| *n != 1).collect::<Vec<_>>();
        if tensor.shape != shape {
            if without_ones(&tensor.shape) != without_ones(shape) {
                return Err(wrong_shape(&tensor, shape.to_vec()));
            }
            tensor.shape = shape.to_vec();
        }
        Ok(tensor)
    }

    /// A short vector.
    pub(super) fn vector(
        &mut self,
        role: Role,
        i: Option<usize>,
        part: Part,
        len: usize,
    ) -> Result<VectorId, ModelError> {
        let tensor = self.take(role, i, part, &[len])?;
        let values = vector(&tensor, len)?;
        self.advance(&tensor);
        Ok(self.device.vector(&tensor.name, &values)?)
    }

    /// A matrix of its own.
    pub(super) fn matrix(
        &mut self,
        role: Role,
        i: Option<usize>,
        shape: [usize; 2],
        purpose: MatrixUse,
    ) -> Result<MatrixId, ModelError> {
        let tensor = self.take(role, i, Part::Weight, &shape)?;
        let id = self.device.matrix(&self.divided(source(&tensor, purpose), role), self.residency)?;
        self.advance(&tensor);
        Ok(id)
    }

    pub(super) fn advance(&mut self, tensor: &Tensor) {
        self.done += tensor.byte_len() as u64;
        (self.progress)(self.done, self.total);
    }
}

/// What a layer's matrix is for.
fn purpose(role: Role) -> MatrixUse {
    match role {
        Role::Query | Role::Key | Role::Value | Role::FusedQkv | Role::MixerOut => MatrixUse::Attention,
        Role::QueryDown | Role::QueryUp | Role::LatentDown => MatrixUse::Attention,
        _ => MatrixUse::Product,
    }
}

/// Whether a matrix may be one of the two of a gated unit.
pub(super) fn is_half(role: Role) -> bool {
    matches!(role, Role::Gate | Role::Up | Role::SharedGate | Role::SharedUp)
}

/// A matrix in the words of the device.
pub(super) fn source(tensor: &Tensor, purpose: MatrixUse) -> MatrixSource {
    MatrixSource {
        name: tensor.name.clone(),
        purpose,
        ty: tensor.ty,
        rows: tensor.rows(),
        cols: tensor.cols(),
        data: Arc::new(FileBytes(tensor.data.clone())),
        scales: tensor.scales.clone().map(|s| Arc::new(FileBytes(s)) as Arc<dyn WeightBytes>),
        divide: Divide::Whole,
    }
}

/// Some rows of a matrix, in place.
pub(super) fn rows_of(tensor: &Tensor, what: &str, range: Range<usize>) -> Tensor {
    let plane = |bytes: &Bytes| {
        let row = bytes.len() / tensor.rows().max(1);
        bytes.slice(range.start * row..range.end * row)
    };
    let mut part = tensor.clone();
    part.name = format!("{} {what}", tensor.name);
    part.shape = vec![range.len(), tensor.cols()];
    part.data = plane(&tensor.data).unwrap_or_else(|| tensor.data.clone());
    part.scales = tensor.scales.as_ref().and_then(plane);
    part
}

/// The order of rows that brings queries, keys and values each together, where head by head the three lie side by side.
pub(crate) fn parts_together(head_dim: usize, total: usize) -> Vec<usize> {
    let heads = total / (3 * head_dim);
    let row = |part: usize, head: usize, i: usize| (head * 3 + part) * head_dim + i;
    let heads_of = |part| (0..heads).flat_map(move |head| (0..head_dim).map(move |i| row(part, head, i)));
    (0..3).flat_map(heads_of).collect()
}

/// Whether a projection has a bias.
pub(super) enum Bias {
    Absent,
    Present,
}

impl From<bool> for Bias {
    fn from(present: bool) -> Self {
        if present { Bias::Present } else { Bias::Absent }
    }
}

/// A file's bytes in the words of the device.
pub(crate) struct FileBytes(pub(crate) Bytes);

impl WeightBytes for FileBytes {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn will_need(&self, range: Range<usize>) {
        if let Some(part) = self.0.slice(range) {
            part.advise_will_need();
        }
    }

    fn release(&self, range: Range<usize>) {
        if let Some(part) = self.0.slice(range) {
            part.release();
        }
    }

    fn populate(&self, range: Range<usize>) -> std::io::Result<bool> {
        self.0.slice(range).map_or(Ok(false), |part| part.populate())
    }

    fn read_at(&self, offset: usize, out: &mut [u8]) -> std::io::Result<bool> {
        self.0.read_at(offset, out)
    }
}
