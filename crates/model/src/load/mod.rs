//! From a checkpoint and its specification to handles on a device. Every tensor is used exactly once or the load
//! fails.

mod adapters;
mod arrange;
mod attention;
mod delta;
mod division;
mod experts;
mod ffn;
mod latent;
mod seat_shapes;
mod seats;
mod streams;
mod tensors;
mod token_input;
mod turned;

pub use adapters::ScaledAdapter;
pub(crate) use tensors::{FileBytes, parts_together, vector};

use crate::arch;
use crate::config::Dialect;
use crate::decoder::{BufferPool, Decoder, Ends, FfnParts, Layer, Linear, MixerParts};
use crate::memory::left_for_weights;
use crate::roles::{Naming, Part, Role};
use crate::runner::{NativeRunner, RunnerOptions};
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec, NormSpec, RopeSpec, Wiring};
use crate::{ModelError, rope};
use adapters::Adapters;
use ffn::UnitRoles;
use std::collections::BTreeSet;
use std::ops::Range;
use torchless_device::{Adapted, CacheId, CacheType, Device, MatrixUse, ModelPart, Norm, Residency, RopeId};
use torchless_formats::{Checkpoint, Format};

/// How to load.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions<'a> {
    /// Where weights live.
    pub residency: Residency,
    /// Element type of the KV cache.
    pub cache: CacheType,
    /// Limits of the runner.
    pub runner: RunnerOptions,
    /// What is added to matrices.
    pub adapters: &'a [ScaledAdapter],
}

/// Called while weights are taken over, with bytes done and bytes in all.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Loads `spec`'s tensors from `checkpoint` onto `device`.
///
/// # Errors
/// A tensor is missing, unused or of another shape than `spec` asks for, the context is larger than the model allows, or
/// the device refuses.
pub fn load(
    checkpoint: &Checkpoint,
    spec: ModelSpec,
    mut device: Box<dyn Device>,
    options: &LoadOptions<'_>,
    progress: Progress<'_>,
) -> Result<NativeRunner, ModelError> {
    let info = options.runner.info(&spec, options.residency)?;
    let residency = match options.residency {
        Residency::Mapped { limit: Some(limit) } => {
            Residency::Mapped { limit: Some(left_for_weights(limit, &spec, &info, options.cache)?) }
        }
        other => other,
    };
    let dialect = if checkpoint.format == Format::Gguf { Dialect::Gguf } else { Dialect::Json };
    let naming = Naming::new(checkpoint, dialect, arch::family(dialect, &spec.arch)?);
    let total = checkpoint.tensors.iter().map(|t| t.byte_len() as u64).sum();
    let mut loader = Loader {
        checkpoint,
        naming,
        device: &mut *device,
        residency,
        cache: options.cache,
        blocks: (info.blocks, info.block_len),
        buffers: BufferPool::new(info.max_batch_tokens),
        used: BTreeSet::new(),
        skipped: spec.skipped(),
        ropes: Vec::new(),
        caches: Vec::new(),
        adapters: Adapters { all: options.adapters, ..Adapters::default() },
        done: 0,
        total,
        progress,
    };
    loader.seat_adapters(&spec)?;
    let decoder = loader.decoder(spec)?;
    loader.refuse_unused()?;
    loader.refuse_unused_pairs()?;
    let beside = loader.adapters.made;
    let device = if beside.is_empty() { device } else { Box::new(Adapted::new(device, beside)) };
    Ok(NativeRunner::new(decoder, device, info))
}

struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    naming: Naming,
    device: &'a mut dyn Device,
    residency: Residency,
    cache: CacheType,
    blocks: (usize, usize),
    buffers: BufferPool,
    used: BTreeSet<String>,
    skipped: Range<usize>,
    ropes: Vec<(RopeSpec, RopeId)>,
    caches: Vec<(usize, CacheId)>,
    adapters: Adapters<'a>,
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

impl Loader<'_> {
    fn decoder(&mut self, spec: ModelSpec) -> Result<Decoder, ModelError> {
        self.device.place(ModelPart::Start);
        let purpose = if spec.tied_head { MatrixUse::Both } else { MatrixUse::Lookup };
        self.divide(if spec.tied_head { spec.vocab } else { 0 });
        let embed = self.matrix(Role::TokenEmbedding, None, [spec.vocab, spec.dim], purpose)?;
        self.divide(0);
        let positions = match spec.learned_positions {
            Some(n) => Some(self.matrix(Role::PositionEmbedding, None, [n, spec.dim], MatrixUse::Lookup)?),
            None => None,
        };
        let token_inputs = self.token_inputs(&spec)?;
        let streams = self.streams(&spec)?;
        let width = spec.token_inputs.map_or(0, |t| t.width);
        let layers: Result<Vec<_>, _> =
            (0..).zip(&spec.layers).map(|(i, l)| self.layer(i, l, (spec.dim, width))).collect();
        let mut layers = layers?;
        if let Some(spec_of_streams) = &spec.streams {
            for (i, layer) in layers.iter_mut().enumerate() {
                self.device.place(ModelPart::Layer(i));
                layer.streams = Some(self.stream_layer(i, spec_of_streams, spec.dim)?);
            }
        }
        self.device.place(ModelPart::End);
        let final_norm = self.norm(Role::FinalNorm, None, spec.final_norm, spec.dim)?;
        self.divide(spec.vocab);
        let matrix = match purpose {
            MatrixUse::Both => embed,
            _ => self.matrix(Role::Head, None, [spec.vocab, spec.dim], MatrixUse::Product)?,
        };
        let tensor = self.naming.name(Role::Head, None, Part::Weight);
        let shape = [spec.vocab, spec.dim];
        self.adapt(&adapters::Adapted { matrix, tensor: &tensor, shape, rows: None, role: Role::Head })?;
        self.divide(0);
        let head = Linear { matrix, bias: self.bias(Role::Head, None, spec.vocab, spec.head_bias)? };
        let ends = Ends { embed, positions, token_inputs, streams, final_norm, head };
        Ok(Decoder::new(spec, layers, ends, &mut self.buffers, self.device)?)
    }

    fn layer(
        &mut self,
        i: usize,
        layer: &LayerSpec,
        (dim, width): (usize, usize),
    ) -> Result<Layer, ModelError> {
        self.device.place(ModelPart::Layer(i));
        let wiring = layer.wiring;
        let before_ffn = wiring.norms_inputs() && wiring != Wiring::Parallel;
        let mixer_norm = self.norm_if(wiring.norms_inputs(), (Role::MixerNorm, i), layer.norm, dim)?;
        let mixer = match &layer.mixer {
            Mixer::Attention(attn) => MixerParts::Attention(self.attention(i, attn, dim)?),
            Mixer::Delta(delta) => MixerParts::Delta(self.delta(i, delta, dim)?),
            Mixer::Latent(latent) => MixerParts::Latent(self.latent(i, latent, dim)?),
        };
        let mixer_post = self.norm_if(wiring.norms_outputs(), (Role::MixerPostNorm, i), layer.norm, dim)?;
        let own = self.norm_if(before_ffn, (Role::FfnNorm, i), layer.norm, dim)?;
        let ffn_norm = if wiring == Wiring::Parallel { mixer_norm } else { own };
        let ffn = match &layer.ffn {
            Ffn::Dense(mlp) => FfnParts::Dense(self.mlp(i, mlp, dim, &UnitRoles::DENSE)?),
            Ffn::Experts(moe) => FfnParts::Experts(Box::new(self.mixture(i, moe, dim)?)),
        };
        let ffn_post = self.norm_if(wiring.norms_outputs(), (Role::FfnPostNorm, i), layer.norm, dim)?;
        let token_input = match layer.token_input {
            Some(act) => Some(self.token_input(i, (act, layer.norm), (dim, width))?),
            None => None,
        };
        let output_scale = layer.output_scale.then(|| self.output_scale(i)).transpose()?;
        let detour = layer.detour.map(|rank| self.detour(i, layer.norm, (dim, rank))).transpose()?;
        Ok(Layer {
            mixer_norm,
            streams: None,
            detour,
            mixer,
            mixer_post,
            ffn_norm,
            ffn,
            ffn_post,
            token_input,
            output_scale,
        })
    }

    fn norm_if(
        &mut self,
        present: bool,
        (role, i): (Role, usize),
        spec: NormSpec,
        dim: usize,
    ) -> Result<Option<Norm>, ModelError> {
        present.then(|| self.norm(role, Some(i), spec, dim)).transpose()
    }

    fn rope(&mut self, spec: &RopeSpec) -> Result<RopeId, ModelError> {
        if let Some((_, id)) = self.ropes.iter().find(|(known, _)| known == spec) {
            return Ok(*id);
        }
        let id = self.device.rope(&rope::build(spec))?;
        self.ropes.push((spec.clone(), id));
        Ok(id)
    }

    /// The table that is the head too may lie in the file a second time; transformers ignores it too.
    fn refuse_unused(&self) -> Result<(), ModelError> {
        let head = self.naming.name(Role::Head, None, Part::Weight);
        let unused = |name: &&str| {
            let known = self.used.contains(*name) || self.naming.is_redundant(name) || **name == head;
            !known && !self.naming.is_of_layers(name, &self.skipped)
        };
        let mut names = self.checkpoint.tensors.names().filter(unused);
        match names.next() {
            None => Ok(()),
            Some(first) => {
                Err(ModelError::UnusedTensors { count: 1 + names.count(), first: first.to_owned() })
            }
        }
    }
}
