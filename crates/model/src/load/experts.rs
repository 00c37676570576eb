//! Mixtures of experts on their way to the device: experts one by one, or all in one tensor.

use super::ffn::UnitRoles;
use super::seats::OfExpert;
use super::tensors::{rows_of, source};
use super::turned::Turned;
use super::{Loader, arrange, division};
use crate::ModelError;
use crate::decoder::{Apart, Mixture, MixtureBuffers, Shared};
use crate::roles::{Part, Role};
use crate::spec::{ExpertStorage, MoeSpec, NormSpec, SharedNamed, SharedSpec};
use torchless_device::{ExpertLinear, MatrixSource, MatrixUse, Norm, NormKind, StackId, VectorId};
use torchless_formats::Tensor;

/// Where the matrices of one place in all experts may be.
struct Places {
    /// One tensor for each expert.
    each: Role,
    /// One for all.
    all: Role,
    /// Which matrix of each.
    matrix: OfExpert,
    /// Of one expert, `[rows, cols]`.
    shape: [usize; 2],
}

impl Loader<'_> {
    pub(super) fn mixture(&mut self, i: usize, m: &MoeSpec, dim: usize) -> Result<Mixture, ModelError> {
        let experts = m.routing.experts;
        let router = self.linear(Role::Router, i, [experts, dim], m.router_bias)?;
        let choice_bias = match m.choice_bias {
            true => Some(self.bare_vector(Role::ChoiceBias, i, experts)?),
            false => None,
        };
        let hidden = self.hidden_pieces(m.hidden, i, &[Role::ExpertsDown, Role::ExpertDown]);
        self.divide(hidden);
        let [gate, up, down] = match m.storage {
            ExpertStorage::Rows => self.expert_rows(i, m, dim)?,
            ExpertStorage::Columns => self.expert_columns(i, m, dim)?,
        };
        self.divide(0);
        let shared = match &m.shared {
            Some(shared) => Some(self.shared(i, shared, dim)?),
            None => None,
        };
        let apart = match m.apart {
            Some(norm) => Some(self.apart(i, norm, (experts, dim))?),
            None => None,
        };
        let mut buffer = |name, width| self.buffers.get(name, width, self.device);
        let (normed, yielded) = (buffer("normed", dim)?, buffer("yielded", dim)?);
        let buffers = MixtureBuffers { normed, scores: buffer("scores", experts)?, yielded };
        let (routing, gating) = (m.routing, m.gating);
        Ok(Mixture { routing, gating, router, choice_bias, gate, up, down, shared, apart, buffers })
    }

    fn shared(&mut self, i: usize, shared: &SharedSpec, dim: usize) -> Result<Shared, ModelError> {
        let roles = match shared.named {
            SharedNamed::Expert => UnitRoles::SHARED,
            SharedNamed::Dense => UnitRoles::DENSE,
        };
        let mlp = self.mlp(i, &shared.mlp, dim, &roles)?;
        let weight = match shared.gated {
            true => Some((
                self.linear(Role::SharedRouter, i, [1, dim], false)?,
                self.buffers.get("shared_weight", 1, self.device)?,
            )),
            false => None,
        };
        Ok(Shared { mlp, weight })
    }

    /// Norms of the parts, each on its own; that of the router has no weight but a scale.
    fn apart(
        &mut self,
        i: usize,
        spec: NormSpec,
        (experts, dim): (usize, usize),
    ) -> Result<Apart, ModelError> {
        let scale = self.take(Role::RouterScale, Some(i), Part::Bare, &[dim])?;
        let root = 1.0 / (dim as f32).sqrt();
        let values: Vec<f32> = flat(&scale).iter().map(|x| x * root).collect();
        self.advance(&scale);
        let weight = self.device.vector(&format!("{} / root", scale.name), &values)?;
        Ok(Apart {
            router: Norm { kind: NormKind::Rms { eps: spec.eps }, weight, groups: 1 },
            experts: self.norm(Role::ExpertsNorm, Some(i), spec, dim)?,
            experts_post: self.norm(Role::ExpertsPostNorm, Some(i), spec, dim)?,
            shared_post: self.norm(Role::SharedPostNorm, Some(i), spec, dim)?,
            factors: self.bare_vector(Role::ExpertFactors, i, experts)?,
            routed: self.buffers.get("routed", dim, self.device)?,
        })
    }

    pub(super) fn exists(&self, role: Role, i: usize, part: Part) -> bool {
        let name = self.naming.find(role, Some(i), part);
        name.is_some_and(|name| self.checkpoint.tensors.contains(&name.replacen("{}", "0", 1)))
    }

    /// Whichever of the parts the file has; the first where it has none.
    fn part(&self, role: Role, i: usize, parts: &[Part]) -> Part {
        let there = parts.iter().find(|part| self.exists(role, i, **part));
        there.or(parts.first()).copied().unwrap_or(Part::Weight)
    }

    /// A vector whose name may have an ending or not.
    pub(super) fn bare_vector(&mut self, role: Role, i: usize, len: usize) -> Result<VectorId, ModelError> {
        let part = self.part(role, i, &[Part::Bare, Part::Bias, Part::Weight]);
        self.vector(role, Some(i), part, len)
    }

    /// Gate, up and down where rows are rows.
    fn expert_rows(&mut self, i: usize, m: &MoeSpec, dim: usize) -> Result<[ExpertLinear; 3], ModelError> {
        let experts = m.routing.experts;
        let fused = self.part(Role::ExpertsGateUp, i, &[Part::Weight, Part::Bare]);
        let (gate, up) = if self.exists(Role::ExpertsGateUp, i, fused) {
            let shape = [experts, 2 * m.hidden, dim];
            let all = self.take(Role::ExpertsGateUp, Some(i), fused, &shape)?;
            let half = |first: usize| -> Vec<Tensor> {
                let start = |e: usize| (2 * e + first) * m.hidden;
                (0..experts).map(|e| rows_of(&all, &e.to_string(), start(e)..start(e) + m.hidden)).collect()
            };
            let both = (
                self.expert_stack((i, OfExpert::Gate), &half(0))?,
                self.expert_stack((i, OfExpert::Up), &half(1))?,
            );
            self.advance(&all);
            both
        } else {
            let place = |each, all, matrix| Places { each, all, matrix, shape: [m.hidden, dim] };
            (
                self.stack_of(i, experts, &place(Role::ExpertGate, Role::ExpertsGate, OfExpert::Gate))?,
                self.stack_of(i, experts, &place(Role::ExpertUp, Role::ExpertsUp, OfExpert::Up))?,
            )
        };
        let (each, all, matrix) = (Role::ExpertDown, Role::ExpertsDown, OfExpert::Down);
        let places = Places { each, all, matrix, shape: [dim, m.hidden] };
        let down = self.stack_of(i, experts, &places)?;
        let mut biased = |role, stack, len| -> Result<ExpertLinear, ModelError> {
            let bias = if m.bias { Some(self.biases((role, i), (experts, len))?) } else { None };
            Ok(ExpertLinear { stack, bias })
        };
        Ok([
            biased(Role::ExpertsGate, gate, m.hidden)?,
            biased(Role::ExpertsUp, up, m.hidden)?,
            biased(Role::ExpertsDown, down, dim)?,
        ])
    }

    /// Matrices one by one or from one tensor, as the file has them.
    fn stack_of(&mut self, i: usize, experts: usize, places: &Places) -> Result<StackId, ModelError> {
        let [rows, cols] = places.shape;
        let all = self.part(places.all, i, &[Part::Weight, Part::Bare]);
        let named = self.naming.find(places.all, Some(i), all).is_some();
        let one_by_one = self.exists(places.each, i, Part::Weight) || !named;
        if named && (self.exists(places.all, i, all) || !one_by_one) {
            let tensor = self.take(places.all, Some(i), all, &[experts, rows, cols])?;
            let parts: Vec<_> =
                (0..experts).map(|e| rows_of(&tensor, &e.to_string(), e * rows..(e + 1) * rows)).collect();
            let stack = self.expert_stack((i, places.matrix), &parts)?;
            self.advance(&tensor);
            return Ok(stack);
        }
        let name = self.naming.name(places.each, Some(i), Part::Weight);
        let mut parts = Vec::new();
        for e in 0..experts {
            parts.push(self.take_named(&name.replacen("{}", &e.to_string(), 1), &[rows, cols])?);
        }
        let stack = self.expert_stack((i, places.matrix), &parts)?;
        parts.iter().for_each(|part| self.advance(part));
        Ok(stack)
    }

    /// The matrices of one place in all experts, with what adapters add to them.
    fn expert_stack(&mut self, place: (usize, OfExpert), parts: &[Tensor]) -> Result<StackId, ModelError> {
        let sources = parts.iter().map(|part| source(part, MatrixUse::Product)).collect();
        self.stack_in_pieces(sources, place)
    }

    fn stack_in_pieces(
        &mut self,
        sources: Vec<MatrixSource>,
        place: (usize, OfExpert),
    ) -> Result<StackId, ModelError> {
        let divide = division::of_expert(place.1, self.buffers.pieces());
        let mut sources = self.merged(sources, place)?;
        sources.iter_mut().for_each(|source| source.divide = divide);
        Ok(self.device.stack(&sources, self.residency)?)
    }

    /// The biases of all experts, one after the other.
    fn biases(
        &mut self,
        (role, i): (Role, usize),
        (experts, len): (usize, usize),
    ) -> Result<VectorId, ModelError> {
        let tensor = self.take(role, Some(i), Part::Bias, &[experts, len])?;
        let values = flat(&tensor);
        self.advance(&tensor);
        Ok(self.device.vector(&tensor.name, &values)?)
    }

    /// Gate, up and down where columns are rows, those of gate and up by turns; packed ones lie the other way round.
    fn expert_columns(&mut self, i: usize, m: &MoeSpec, dim: usize) -> Result<[ExpertLinear; 3], ModelError> {
        let (experts, hidden) = (m.routing.experts, m.hidden);
        let both = self.columns((Role::ExpertsGateUp, i), experts, [dim, 2 * hidden])?;
        let down = self.columns((Role::ExpertsDown, i), experts, [hidden, dim])?;
        let biases = self.biases_by_turns(i, m, dim)?;
        let stacks = [
            self.turned_stack((i, OfExpert::Gate), &both, &Turned { first: 0, step: 2, rows: hidden })?,
            self.turned_stack((i, OfExpert::Up), &both, &Turned { first: 1, step: 2, rows: hidden })?,
            self.turned_stack((i, OfExpert::Down), &down, &Turned { first: 0, step: 1, rows: dim })?,
        ];
        self.advance(&both);
        self.advance(&down);
        Ok(std::array::from_fn(|k| ExpertLinear { stack: stacks[k], bias: biases[k] }))
    }

    /// The matrices of all experts, `[rows, cols]` each, or `[cols, rows]` where they are packed.
    fn columns(
        &mut self,
        (role, i): (Role, usize),
        experts: usize,
        [rows, cols]: [usize; 2],
    ) -> Result<Tensor, ModelError> {
        let part = self.part(role, i, &[Part::Bare, Part::Weight]);
        let name = self.naming.name(role, Some(i), part);
        let packed = self.checkpoint.tensors.get(&name).is_ok_and(is_packed);
        let shape = if packed { [experts, cols, rows] } else { [experts, rows, cols] };
        self.take(role, Some(i), part, &shape)
    }

    /// Biases of gate, up and down, those of gate and up by turns.
    fn biases_by_turns(
        &mut self,
        i: usize,
        m: &MoeSpec,
        dim: usize,
    ) -> Result<[Option<VectorId>; 3], ModelError> {
        let (experts, hidden) = (m.routing.experts, m.hidden);
        let mut biases = [None; 3];
        if m.bias {
            let tensor = self.take(Role::ExpertsGateUpBias, Some(i), Part::Bare, &[experts, 2 * hidden])?;
            let values = flat(&tensor);
            for (half, bias) in biases[..2].iter_mut().enumerate() {
                let own: Vec<f32> = values.iter().skip(half).step_by(2).copied().collect();
                *bias = Some(self.device.vector(&format!("{} {half}", tensor.name), &own)?);
            }
            self.advance(&tensor);
            let tensor = self.take(Role::ExpertsDownBias, Some(i), Part::Bare, &[experts, dim])?;
            biases[2] = Some(self.device.vector(&tensor.name, &flat(&tensor))?);
            self.advance(&tensor);
        }
        Ok(biases)
    }

    fn turned_stack(
        &mut self,
        place: (usize, OfExpert),
        tensor: &Tensor,
        columns: &Turned,
    ) -> Result<StackId, ModelError> {
        let [experts, rows, _] = tensor.shape[..] else { return Ok(self.device.stack(&[], self.residency)?) };
        if is_packed(tensor) {
            let part = |e: usize| rows_of(tensor, &e.to_string(), e * rows..(e + 1) * rows);
            let order: Vec<_> = (0..columns.rows).map(|row| columns.first + row * columns.step).collect();
            let turned = |part: Tensor| if columns.step == 1 { part } else { arrange::rows(&part, &order) };
            let parts: Vec<_> = (0..experts).map(|e| turned_shape(turned(part(e)), columns.rows)).collect();
            return self.expert_stack(place, &parts);
        }
        let one = |e: usize| columns.of(&rows_of(tensor, &e.to_string(), e * rows..(e + 1) * rows));
        let sources = (0..experts).map(one).collect::<Result<_, _>>()?;
        self.stack_in_pieces(sources, place)
    }
}

/// Blocks of several values lie along rows that are multiplied, whatever the dialect does with whole values.
fn is_packed(tensor: &Tensor) -> bool {
    tensor.ty.info().block_len > 1
}

/// A matrix of so many rows.
fn turned_shape(tensor: Tensor, rows: usize) -> Tensor {
    let cols = tensor.cols();
    let mut tensor = tensor;
    tensor.shape = vec![rows, cols];
    tensor
}

/// All values of a small tensor.
pub(super) fn flat(tensor: &Tensor) -> Vec<f32> {
    let mut values = vec![0.0; tensor.rows() * tensor.cols()];
    for (row, out) in values.chunks_exact_mut(tensor.cols().max(1)).enumerate() {
        tensor.decode_row(row, out);
    }
    values
}
