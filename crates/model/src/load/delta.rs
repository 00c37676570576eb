//! Linear attention on its way to the device.

use super::Loader;
use super::experts::flat;
use crate::ModelError;
use crate::config::Dialect;
use crate::decoder::Delta;
use crate::roles::{Part, Role};
use crate::spec::DeltaSpec;
use torchless_device::{BufId, DeltaNet, DeltaShape, Projection, SplitPart, Store, VectorId};

/// Two buffers that a file may fill from two matrices or from one.
struct Pair {
    apart: [(Role, BufId, usize); 2],
    together: (Role, &'static str),
    /// Of each key head in one row, its parts.
    parts: Vec<SplitPart>,
}

impl Loader<'_> {
    pub(super) fn delta(&mut self, i: usize, d: &DeltaSpec, dim: usize) -> Result<Delta, ModelError> {
        let DeltaShape { key_heads, value_heads, key_dim, value_dim, .. } = d.state.delta;
        let (qkv_width, width) = (d.qkv_width(), d.out_width());
        // The file has to be worth its widths before there are buffers of them.
        let conv = self.taps(i, d)?;
        let rate = self.rates(i, value_heads)?;
        let shift = self.bare_vector(Role::DeltaShift, i, value_heads)?;
        let norm = self.norm(Role::DeltaNorm, Some(i), d.norm, value_dim)?;
        let out = self.linear(Role::DeltaOut, i, [dim, width], false)?;
        let mut buffer = |name, width| self.buffers.get(name, width, self.device);
        let (qkv, z) = (buffer("qkv", qkv_width)?, buffer("z", width)?);
        let (beta, alpha) = (buffer("beta", value_heads)?, buffer("alpha", value_heads)?);
        let mixed = (buffer("mixed", width)?, buffer("wanted_mixed", width)?);
        let (each, keys) = (value_heads / key_heads, key_heads * key_dim);
        let part = |width, out, at| SplitPart { width, out, at };
        let pairs = [
            Pair {
                apart: [(Role::DeltaQkv, qkv, qkv_width), (Role::DeltaZ, z, width)],
                together: (Role::DeltaQkvz, "qkvz"),
                parts: vec![
                    part(key_dim, qkv, 0),
                    part(key_dim, qkv, keys),
                    part(each * value_dim, qkv, 2 * keys),
                    part(each * value_dim, z, 0),
                ],
            },
            Pair {
                apart: [(Role::DeltaBeta, beta, value_heads), (Role::DeltaAlpha, alpha, value_heads)],
                together: (Role::DeltaBetaAlpha, "beta_alpha"),
                parts: vec![part(each, beta, 0), part(each, alpha, 0)],
            },
        ];
        let (mut projections, mut splits) = (Vec::new(), Vec::new());
        for pair in pairs {
            self.pair(i, pair, dim, (&mut projections, &mut splits))?;
        }
        let state = self.device.state(&d.state)?;
        let norm = (norm.weight, d.norm.eps);
        let net = DeltaNet { qkv, z, beta, alpha, conv, rate, shift, norm, state, out: mixed.0 };
        Ok(Delta { projections, splits, key_heads, net, out, mixed })
    }

    fn pair(
        &mut self,
        i: usize,
        pair: Pair,
        dim: usize,
        (projections, splits): (&mut Vec<Projection>, &mut Vec<(BufId, Vec<SplitPart>)>),
    ) -> Result<(), ModelError> {
        let [(first, ..), _] = pair.apart;
        if self.exists(pair.together.0, i, Part::Weight) && !self.exists(first, i, Part::Weight) {
            let width = pair.apart.iter().map(|(.., width)| width).sum();
            let both = self.linear(pair.together.0, i, [width, dim], false)?;
            let buf = self.buffers.get(pair.together.1, width, self.device)?;
            projections.push(both.onto(buf, Store::Set));
            splits.push((buf, pair.parts));
            return Ok(());
        }
        for (role, buf, width) in pair.apart {
            projections.push(self.linear(role, i, [width, dim], false)?.onto(buf, Store::Set));
        }
        Ok(())
    }

    /// The convolution, tap by tap.
    fn taps(&mut self, i: usize, d: &DeltaSpec) -> Result<VectorId, ModelError> {
        let (channels, taps) = (d.qkv_width(), d.state.taps);
        let tensor = self.take(Role::DeltaConv, Some(i), Part::Weight, &[channels, taps])?;
        let values = flat(&tensor);
        let turned: Vec<f32> =
            (0..taps * channels).map(|at| values[at % channels * taps + at / channels]).collect();
        self.advance(&tensor);
        Ok(self.device.vector(&tensor.name, &turned)?)
    }

    /// Rates of decay; safetensors hold the logarithms of their magnitudes.
    fn rates(&mut self, i: usize, heads: usize) -> Result<VectorId, ModelError> {
        if self.naming.dialect() == Dialect::Gguf {
            return self.bare_vector(Role::DeltaRate, i, heads);
        }
        let tensor = self.take(Role::DeltaRate, Some(i), Part::Bare, &[heads])?;
        let values: Vec<f32> = flat(&tensor).iter().map(|x| -x.exp()).collect();
        self.advance(&tensor);
        Ok(self.device.vector(&tensor.name, &values)?)
    }
}
