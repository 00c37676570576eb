//! Several residual streams, and ways around the mixer, on their way to the device.
//!
//! Weights of sums come out of one matrix with a bias: what a checkpoint holds of them, with the rows that the arithmetic has beside.

use super::Loader;
use super::experts::flat;
use super::tensors::{rows_of, source};
use crate::ModelError;
use crate::decoder::{Detour, Linear, StreamBuffers, StreamLayer, Streams};
use crate::roles::{Part, Role};
use crate::spec::{ModelSpec, NormSpec, StreamsSpec};
use torchless_device::{MatrixSource, MatrixUse};

/// Rows of a matrix and a bias in the making.
#[derive(Default)]
struct Table {
    values: Vec<f32>,
    bias: Vec<f32>,
}

impl Table {
    fn push(&mut self, row: impl IntoIterator<Item = f32>, bias: f32) {
        self.values.extend(row);
        self.bias.push(bias);
    }
}

/// Weights of the guesses: of each stream those that the checkpoint holds beside the stream itself, and the first one twice.
fn guess_table(held: &[f32], n: usize) -> Table {
    let mut table = Table::default();
    for out in (0..n).chain([0]) {
        for input in 0..n {
            let row = &held[(out * n + input) * n..][..n];
            table.push(row.iter().copied(), if out == input { 1.0 } else { 0.0 });
        }
    }
    table
}

/// Weights of the corrections. Inputs are the worked on first stream, the other guesses, and the guess of the first one; each
/// output is its guess and a part of what the first stream was wrong by.
fn correct_table(held: &[f32], n: usize) -> Table {
    let mut table = Table::default();
    for out in (0..n).chain([0]) {
        let row = &held[out * n..][..n];
        let guess = if out == 0 { n } else { out };
        for input in 0..=n {
            let itself = if input == guess { 1.0 } else { 0.0 };
            match input {
                0 => table.push(row.iter().copied(), 1.0),
                _ if input == n => table.push(row.iter().map(|w| -w), itself - 1.0),
                _ => table.push(vec![0.0; n], itself),
            }
        }
    }
    table
}

impl Loader<'_> {
    pub(super) fn streams(&mut self, spec: &ModelSpec) -> Result<Option<Streams>, ModelError> {
        let (Some(streams), dim) = (spec.streams, spec.dim) else { return Ok(None) };
        let into = self.stream_matrices(Role::StreamsInto, streams.count - 1, dim)?;
        let out = self.stream_matrices(Role::StreamsOut, streams.count - 1, dim)?;
        let all = self.stream_buffers("x", streams.count, dim)?;
        let wanted = self.stream_buffers("wanted_x", streams.count, dim)?;
        Ok(Some(Streams { into, out, all, wanted }))
    }

    fn stream_buffers(
        &mut self,
        first: &'static str,
        n: usize,
        dim: usize,
    ) -> Result<StreamBuffers, ModelError> {
        let mut guessed = vec![self.buffers.get(first, dim, self.device)?];
        for i in 1..=n {
            let name = if i < n { format!("{first} {i}") } else { format!("{first} guessed") };
            guessed.push(self.device.buffer(&name, self.buffers.tokens(), dim)?);
        }
        let mut corrected = guessed[..n].to_vec();
        corrected.push(self.buffers.get("first_stream", dim, self.device)?);
        Ok(StreamBuffers { guessed, corrected })
    }

    /// A matrix for each stream: one by one, or all in one tensor.
    fn stream_matrices(&mut self, role: Role, n: usize, dim: usize) -> Result<Vec<Linear>, ModelError> {
        let name = self.naming.name(role, None, Part::Weight);
        let mut tensors = Vec::with_capacity(n);
        if name.contains("{}") {
            for i in 0..n {
                tensors.push(self.take_named(&name.replacen("{}", &i.to_string(), 1), &[dim, dim])?);
            }
        } else {
            let all = self.take_named(&name, &[n, dim, dim])?;
            tensors.extend((0..n).map(|i| rows_of(&all, &i.to_string(), i * dim..(i + 1) * dim)));
        }
        let mut matrices = Vec::with_capacity(n);
        for tensor in &tensors {
            let matrix = self.device.matrix(&source(tensor, MatrixUse::Product), self.residency)?;
            self.advance(tensor);
            matrices.push(Linear { matrix, bias: None });
        }
        Ok(matrices)
    }

    pub(super) fn stream_layer(
        &mut self,
        i: usize,
        spec: &StreamsSpec,
        dim: usize,
    ) -> Result<StreamLayer, ModelError> {
        let n = spec.count;
        let norm = self.norm_divided(i, spec.norm, dim)?;
        let router = self.linear(Role::StreamRouter, i, [n, dim], false)?;
        let guess = self.table((Role::StreamGuess, i), [n * n, n], guess_table)?;
        let correct = self.table((Role::StreamCorrect, i), [n, n], correct_table)?;
        let weight = match spec.weighed {
            true => Some(self.bare_vector(Role::StreamWeight, i, dim)?),
            false => {
                self.pass_over(Role::StreamWeight, i);
                None
            }
        };
        let mut buffer = |name, width| self.buffers.get(name, width, self.device);
        let routed = buffer("routed_streams", n)?;
        let weights = (
            buffer("weights of guesses", (n + 1) * n)?,
            buffer("weights of corrections", (n + 1) * (n + 1))?,
        );
        Ok(StreamLayer { norm, router, guess, correct, weight, routed, weights })
    }

    /// The norm before the router, whose values are divided by the width.
    fn norm_divided(
        &mut self,
        i: usize,
        spec: NormSpec,
        dim: usize,
    ) -> Result<torchless_device::Norm, ModelError> {
        let tensor = self.take(Role::StreamNorm, Some(i), Part::Weight, &[dim])?;
        let values: Vec<f32> = flat(&tensor).iter().map(|w| w / dim as f32).collect();
        self.advance(&tensor);
        let weight = self.device.vector(&format!("{} / {dim}", tensor.name), &values)?;
        let kind = torchless_device::NormKind::Rms { eps: spec.eps };
        Ok(torchless_device::Norm { kind, weight, groups: 1 })
    }

    /// The matrix and the bias that give the weights of sums.
    fn table(
        &mut self,
        (role, i): (Role, usize),
        shape: [usize; 2],
        make: fn(&[f32], usize) -> Table,
    ) -> Result<Linear, ModelError> {
        let tensor = self.take(role, Some(i), Part::Weight, &shape)?;
        let Table { values, bias } = make(&flat(&tensor), shape[1]);
        self.advance(&tensor);
        let name = format!("{} with its own", tensor.name);
        let source = MatrixSource::of_floats(name, &values, shape[1].max(1));
        let matrix = self.device.matrix(&source, self.residency)?;
        let bias = self.device.vector(&format!("{} itself", tensor.name), &bias)?;
        Ok(Linear { matrix, bias: Some(bias) })
    }

    pub(super) fn detour(
        &mut self,
        i: usize,
        norm: NormSpec,
        (dim, rank): (usize, usize),
    ) -> Result<Detour, ModelError> {
        let down = self.linear(Role::DetourDown, i, [rank, dim], false)?;
        let up = self.linear(Role::DetourUp, i, [dim, rank], false)?;
        let norm = self.norm(Role::DetourNorm, Some(i), norm, dim)?;
        let mut buffer = |name, width| self.buffers.get(name, width, self.device);
        let (narrow, wide, normed) =
            (buffer("detour", rank)?, buffer("around", dim)?, buffer("normed", dim)?);
        Ok(Detour { down, up, norm, narrow, wide, normed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sums whose weights follow from `routed`, of values one per input.
    fn sums(table: &Table, routed: &[f32], inputs: &[f32]) -> Vec<f32> {
        let weights: Vec<f32> = table
            .values
            .chunks(routed.len())
            .zip(&table.bias)
            .map(|(row, bias)| row.iter().zip(routed).map(|(a, b)| a * b).sum::<f32>() + bias)
            .collect();
        weights.chunks(inputs.len()).map(|w| w.iter().zip(inputs).map(|(a, b)| a * b).sum()).collect()
    }

    #[test]
    fn guesses_add_weighted_streams_to_each() {
        let held = [0.5, 0.0, -1.0, 2.0, 0.25, 0.0, 3.0, 1.0];
        let (routed, x) = ([0.5, -1.0], [2.0, 10.0]);
        let coefficient = |k: usize| held[2 * k] * routed[0] + held[2 * k + 1] * routed[1];
        let first = x[0] + coefficient(0) * x[0] + coefficient(1) * x[1];
        let second = x[1] + coefficient(2) * x[0] + coefficient(3) * x[1];
        assert_eq!(sums(&guess_table(&held, 2), &routed, &x), [first, second, first]);
    }

    #[test]
    fn corrections_spread_what_the_first_stream_was_wrong_by() {
        let held = [0.5, 0.0, -1.0, 2.0];
        let (routed, worked, other, guess) = ([0.5, -1.0], 7.0, 10.0, 4.0);
        let part = |k: usize| held[2 * k] * routed[0] + held[2 * k + 1] * routed[1] + 1.0;
        let wrong = worked - guess;
        let want = [guess + part(0) * wrong, other + part(1) * wrong, guess + part(0) * wrong];
        assert_eq!(sums(&correct_table(&held, 2), &routed, &[worked, other, guess]), want);
    }
}
