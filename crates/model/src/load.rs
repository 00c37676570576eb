//! From a checkpoint and its specification to handles on a device. Every tensor is used exactly once or the load
//! fails.

use crate::config::Dialect;
use crate::decoder::{Decoder, Layer, Linear};
use crate::memory::left_for_weights;
use crate::roles::{Part, Role, is_redundant};
use crate::runner::{NativeRunner, RunnerOptions};
use crate::spec::{AttnSpec, Ffn, LayerSpec, Mixer, MlpSpec, ModelSpec, NormSpec, RopeSpec};
use crate::{ModelError, rope};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use torchless_device::{
    CacheShape, CacheType, Device, MatrixId, MatrixSource, MatrixUse, Norm, NormKind, Residency, RopeId,
    VectorId, WeightBytes,
};
use torchless_formats::{Bytes, Checkpoint, Format, Tensor};

/// How to load.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// Where weights live.
    pub residency: Residency,
    /// Element type of the KV cache.
    pub cache: CacheType,
    /// Limits of the runner.
    pub runner: RunnerOptions,
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
    options: &LoadOptions,
    progress: Progress<'_>,
) -> Result<NativeRunner, ModelError> {
    let info = options.runner.info(&spec)?;
    let residency = match options.residency {
        Residency::Mapped { limit: Some(limit) } => {
            Residency::Mapped { limit: Some(left_for_weights(limit, &spec, &info)?) }
        }
        other => other,
    };
    let total = checkpoint.tensors.iter().map(|t| t.byte_len() as u64).sum();
    let mut loader = Loader {
        checkpoint,
        dialect: if checkpoint.format == Format::Gguf { Dialect::Gguf } else { Dialect::Json },
        device: &mut *device,
        residency,
        cache: options.cache,
        blocks: (info.blocks, info.block_len),
        used: BTreeSet::new(),
        ropes: Vec::new(),
        done: 0,
        total,
        progress,
    };
    let decoder = loader.decoder(spec, info.max_batch_tokens)?;
    loader.refuse_unused()?;
    Ok(NativeRunner::new(decoder, device, info))
}

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

struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    dialect: Dialect,
    device: &'a mut dyn Device,
    residency: Residency,
    cache: CacheType,
    blocks: (usize, usize),
    used: BTreeSet<String>,
    ropes: Vec<(RopeSpec, RopeId)>,
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

impl Loader<'_> {
    fn decoder(&mut self, spec: ModelSpec, max_tokens: usize) -> Result<Decoder, ModelError> {
        let purpose = if spec.tied_head { MatrixUse::Both } else { MatrixUse::Lookup };
        let embed = self.matrix(Role::TokenEmbedding, None, [spec.vocab, spec.dim], purpose)?;
        let layers: Result<Vec<_>, _> =
            (0..).zip(&spec.layers).map(|(i, l)| self.layer(i, l, spec.dim)).collect();
        let layers = layers?;
        let final_norm = self.norm(Role::FinalNorm, None, spec.final_norm, spec.dim)?;
        let head = match purpose {
            MatrixUse::Both => embed,
            _ => self.matrix(Role::Head, None, [spec.vocab, spec.dim], MatrixUse::Product)?,
        };
        Ok(Decoder::new(spec, layers, (embed, final_norm, head), max_tokens, self.device)?)
    }

    fn layer(&mut self, i: usize, layer: &LayerSpec, dim: usize) -> Result<Layer, ModelError> {
        let Mixer::Attention(attn) = &layer.mixer;
        let Ffn::Dense(mlp) = &layer.ffn;
        let mixer_norm = self.norm(Role::MixerNorm, Some(i), layer.norm, dim)?;
        let [query, key, value, out] = self.attention(i, attn, dim)?;
        let ffn_norm = self.norm(Role::FfnNorm, Some(i), layer.norm, dim)?;
        let [gate, up, down] = self.mlp(i, mlp, dim)?;
        let rope = attn.rope.as_ref().map(|r| self.rope(r)).transpose()?;
        let (blocks, block_len) = self.blocks;
        let (kv_heads, k_dim, v_dim) = (attn.kv_heads, attn.head_dim, attn.v_dim);
        let shape = CacheShape { blocks, block_len, kv_heads, k_dim, v_dim, ty: self.cache };
        let cache = self.device.cache(&shape)?;
        Ok(Layer { mixer_norm, query, key, value, rope, cache, out, ffn_norm, gate, up, down })
    }

    fn attention(&mut self, i: usize, a: &AttnSpec, dim: usize) -> Result<[Linear; 4], ModelError> {
        let (q, k, v) = (a.heads * a.head_dim, a.kv_heads * a.head_dim, a.kv_heads * a.v_dim);
        Ok([
            self.linear(Role::Query, i, [q, dim], a.qkv_bias)?,
            self.linear(Role::Key, i, [k, dim], a.qkv_bias)?,
            self.linear(Role::Value, i, [v, dim], a.qkv_bias)?,
            self.linear(Role::MixerOut, i, [dim, a.heads * a.v_dim], a.out_bias)?,
        ])
    }

    fn mlp(&mut self, i: usize, m: &MlpSpec, dim: usize) -> Result<[Linear; 3], ModelError> {
        Ok([
            self.linear(Role::Gate, i, [m.hidden, dim], m.bias)?,
            self.linear(Role::Up, i, [m.hidden, dim], m.bias)?,
            self.linear(Role::Down, i, [dim, m.hidden], m.bias)?,
        ])
    }

    fn rope(&mut self, spec: &RopeSpec) -> Result<RopeId, ModelError> {
        if let Some((_, id)) = self.ropes.iter().find(|(known, _)| known == spec) {
            return Ok(*id);
        }
        let id = self.device.rope(&rope::build(spec))?;
        self.ropes.push((spec.clone(), id));
        Ok(id)
    }

    fn linear(
        &mut self,
        role: Role,
        i: usize,
        shape: [usize; 2],
        bias: impl Into<Bias>,
    ) -> Result<Linear, ModelError> {
        let matrix = self.matrix(role, Some(i), shape, MatrixUse::Product)?;
        let bias = match bias.into() {
            Bias::Absent => None,
            Bias::Present => Some(self.vector(role, Some(i), Part::Bias, shape[0])?),
        };
        Ok(Linear { matrix, bias })
    }

    fn norm(&mut self, role: Role, i: Option<usize>, spec: NormSpec, dim: usize) -> Result<Norm, ModelError> {
        let weight = self.vector(role, i, Part::Weight, dim)?;
        let NormSpec::Rms { eps } = spec;
        Ok(Norm { kind: NormKind::Rms { eps }, weight })
    }

    fn take(&mut self, role: Role, i: Option<usize>, part: Part) -> Result<Tensor, ModelError> {
        let name = role.name(self.dialect, i, part);
        let tensor = match self.checkpoint.tensors.get(&name) {
            Ok(tensor) => tensor.clone(),
            Err(_) if !self.checkpoint.tensors.contains(&name) => {
                return Err(ModelError::MissingTensor { name });
            }
            Err(e) => return Err(ModelError::Format(e)),
        };
        self.used.insert(name);
        Ok(tensor)
    }

    fn vector(
        &mut self,
        role: Role,
        i: Option<usize>,
        part: Part,
        len: usize,
    ) -> Result<VectorId, ModelError> {
        let tensor = self.take(role, i, part)?;
        let values = vector(&tensor, len)?;
        self.advance(&tensor);
        Ok(self.device.vector(&tensor.name, &values)?)
    }

    fn matrix(
        &mut self,
        role: Role,
        i: Option<usize>,
        shape: [usize; 2],
        purpose: MatrixUse,
    ) -> Result<MatrixId, ModelError> {
        let tensor = self.take(role, i, Part::Weight)?;
        if tensor.shape != shape {
            return Err(wrong_shape(&tensor, shape.to_vec()));
        }
        let source = MatrixSource {
            name: tensor.name.clone(),
            purpose,
            ty: tensor.ty,
            rows: shape[0],
            cols: shape[1],
            data: Arc::new(FileBytes(tensor.data.clone())),
            scales: tensor.scales.clone().map(|s| Arc::new(FileBytes(s)) as Arc<dyn WeightBytes>),
        };
        let id = self.device.matrix(&source, self.residency)?;
        self.advance(&tensor);
        Ok(id)
    }

    fn advance(&mut self, tensor: &Tensor) {
        self.done += tensor.byte_len() as u64;
        (self.progress)(self.done, self.total);
    }

    /// A tied head may lie in the file a second time; transformers ignores it too.
    fn refuse_unused(&self) -> Result<(), ModelError> {
        let head = Role::Head.name(self.dialect, None, Part::Weight);
        let unused = |name: &&str| !self.used.contains(*name) && !is_redundant(name) && **name != head;
        let mut names = self.checkpoint.tensors.names().filter(unused);
        match names.next() {
            None => Ok(()),
            Some(first) => {
                Err(ModelError::UnusedTensors { count: 1 + names.count(), first: first.to_owned() })
            }
        }
    }
}

/// Whether a projection has a bias.
enum Bias {
    Absent,
    Present,
}

impl From<bool> for Bias {
    fn from(present: bool) -> Self {
        if present { Bias::Present } else { Bias::Absent }
    }
}

/// A file's bytes in the words of the device.
struct FileBytes(Bytes);

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

    fn read_at(&self, offset: usize, out: &mut [u8]) -> std::io::Result<bool> {
        self.0.read_at(offset, out)
    }
}
