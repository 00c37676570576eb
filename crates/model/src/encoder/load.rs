//! From a checkpoint and its specification to handles on a device. Every tensor is used exactly once, or named as
//! harmless, or the load fails.

mod distance_tables;

use super::families;
use super::forward::Encoder;
use super::handles::{Dense, EncoderHandles, HeadHandles, LayerHandles, TransformHandles};
use super::names::{Names, Place, Stem, whole};
use super::precision::EncoderPrecision;
use super::spec::{
    ConvSpec, EmbedProjection, EncoderLayer, EncoderSpec, FfnKind, LayerNorm, Transform, WithinSpec,
};
use crate::ModelError;
use crate::load::{FileBytes, Progress};
use std::collections::BTreeSet;
use std::sync::Arc;
use torchless_device::{
    Divide, EncoderDevice, MatrixId, MatrixSource, MatrixUse, Norm, NormKind, Pairing, Residency, Rope,
    RopeId, VectorId, WeightBytes,
};
use torchless_formats::{Checkpoint, Tensor};
use torchless_quant::TensorType;

/// How to load an encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncoderOptions {
    /// Where weights live; those that are converted live in memory.
    pub residency: Residency,
    /// In which numbers the layers' matrices are multiplied.
    pub precision: EncoderPrecision,
    /// Tokens of all texts that are encoded together; a longer text goes alone. 0 stands for 1024.
    pub batch_tokens: usize,
}

/// Loads the encoder that `checkpoint` holds onto `device`.
///
/// # Errors
/// It is no encoder that is known here; a tensor is missing, unused or of another shape than the metadata asks for; the
/// device refuses.
pub fn load_encoder(
    checkpoint: &Checkpoint,
    mut device: Box<dyn EncoderDevice>,
    options: &EncoderOptions,
    progress: Progress<'_>,
) -> Result<Encoder, ModelError> {
    let (spec, names) = families::read(checkpoint)?;
    let mut loader = Loader::new(checkpoint, names, (&mut *device, *options), progress);
    let handles = loader.encoder(&spec)?;
    loader.refuse_unused()?;
    Ok(Encoder::new(spec, handles, device, options.batch_tokens)?)
}

struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    names: &'static Names,
    prefix: &'static str,
    device: &'a mut dyn EncoderDevice,
    options: EncoderOptions,
    used: BTreeSet<String>,
    ropes: Vec<(WithinSpec, RopeId)>,
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

impl<'a> Loader<'a> {
    fn new(
        checkpoint: &'a Checkpoint,
        names: &'static Names,
        (device, options): (&'a mut dyn EncoderDevice, EncoderOptions),
        progress: Progress<'a>,
    ) -> Self {
        let (Stem::Base(tokens) | Stem::Top(tokens)) = names.tokens;
        let behind = checkpoint.tensors.contains(&format!("{}{tokens}.weight", names.prefix));
        Self {
            checkpoint,
            names,
            prefix: if behind { names.prefix } else { "" },
            device,
            options,
            used: BTreeSet::new(),
            ropes: Vec::new(),
            done: 0,
            total: checkpoint.tensors.iter().map(|t| t.byte_len() as u64).sum(),
            progress,
        }
    }

    fn encoder(&mut self, spec: &EncoderSpec) -> Result<EncoderHandles, ModelError> {
        let (names, embed) = (self.names, &spec.embed);
        let tokens = self.table(names.tokens, [spec.vocab, embed.width])?;
        let positions =
            embed.positions.map(|p| self.table(names.positions, [p.rows, embed.width])).transpose()?;
        let types = embed.types.map(|rows| self.table(names.types, [rows, embed.width])).transpose()?;
        let normed = match embed.projection {
            Some(EmbedProjection::BeforeNorm) => spec.dim,
            _ => embed.width,
        };
        let embed_norm = self.norm(&self.stem(names.embed_norm), embed.norm, normed)?;
        let projection = embed.projection.map(|order| {
            let bias = order == EmbedProjection::AfterNorm;
            self.dense(&self.stem(names.projection), [spec.dim, embed.width], bias)
        });
        let projection = projection.transpose()?;
        let layers: Result<Vec<_>, _> =
            spec.layers.iter().enumerate().map(|(i, l)| self.layer(i, l, spec.dim)).collect();
        let mut layers = layers?;
        match &spec.distance {
            Some(distance) => self.distances(distance, spec, &mut layers)?,
            // transformers keeps the norm of distances where there are none, and does not use it.
            None => self.pass_over(&self.stem(names.distance_norm)),
        }
        let conv = spec.conv.map(|conv| self.conv(&conv, spec.dim)).transpose()?;
        let final_norm =
            spec.final_norm.map(|n| self.norm(&self.stem(names.final_norm), n, spec.dim)).transpose()?;
        let pooler =
            spec.pooler.map(|t| self.transform((names.pooler, names.head_norm), &t, spec.dim)).transpose()?;
        let head = self.head(spec)?;
        // BERT classifies with its pooler.
        let shared = head.as_ref().filter(|_| names.head_dense == names.pooler);
        let pooler = pooler.or(shared.and_then(|head| head.transform));
        Ok(EncoderHandles {
            tokens,
            positions,
            types,
            embed_norm,
            projection,
            layers,
            conv,
            final_norm,
            pooler,
            head,
        })
    }

    fn head(&mut self, spec: &EncoderSpec) -> Result<Option<HeadHandles>, ModelError> {
        let Some(head) = &spec.head else { return Ok(None) };
        let names = self.names;
        let transform =
            head.transform.map(|t| self.transform((names.head_dense, names.head_norm), &t, spec.dim));
        // A classifier of tokens has no matrix before it, nor the name that goes with it.
        let classifier =
            if head.transform.is_some() { self.stem(names.classifier) } else { "classifier".to_owned() };
        let transform = transform.transpose()?;
        let classifier = self.dense(&classifier, [head.labels.len(), spec.dim], true)?;
        Ok(Some(HeadHandles { transform, classifier }))
    }

    fn layer(&mut self, i: usize, layer: &EncoderLayer, dim: usize) -> Result<LayerHandles, ModelError> {
        let (names, a, ffn) = (self.names, &layer.attention, &layer.ffn);
        let inner = a.heads * a.head_dim;
        let attention_norm = layer.attention_norm.map(|n| {
            let name = self.in_layer(i, names.attention_norm);
            self.norm(&name, n, dim)
        });
        Ok(LayerHandles {
            attention_norm: attention_norm.transpose()?,
            query: self.placed(i, names.query, [inner, dim], a.qkv_bias)?,
            key: self.placed(i, names.key, [inner, dim], a.qkv_bias)?,
            value: self.placed(i, names.value, [inner, dim], a.qkv_bias)?,
            out: self.placed(i, names.attention_out, [dim, inner], a.out_bias)?,
            rope: self.rope(a)?,
            offsets: None,
            halves: self.options.precision != EncoderPrecision::F32,
            ffn_norm: self.norm(&self.in_layer(i, names.ffn_norm), layer.ffn_norm, dim)?,
            gate: match ffn.kind {
                FfnKind::Plain => None,
                FfnKind::Gated => Some(self.placed(i, names.gate, [ffn.hidden, dim], ffn.bias)?),
            },
            up: self.placed(i, names.up, [ffn.hidden, dim], ffn.bias)?,
            down: self.placed(i, names.down, [dim, ffn.hidden], ffn.bias)?,
        })
    }

    fn rope(&mut self, a: &WithinSpec) -> Result<Option<RopeId>, ModelError> {
        let Some(theta) = a.rope_theta else { return Ok(None) };
        let same = |known: &WithinSpec| (known.rope_theta, known.head_dim) == (a.rope_theta, a.head_dim);
        if let Some((_, id)) = self.ropes.iter().find(|(known, _)| same(known)) {
            return Ok(Some(*id));
        }
        let inv_freq = (0..a.head_dim / 2)
            .map(|i| f64::from(theta).powf(-2.0 * i as f64 / a.head_dim as f64) as f32)
            .collect();
        let id =
            self.device.rope(&Rope { inv_freq, magnitude: 1.0, pairing: Pairing::Halves, beyond: None })?;
        self.ropes.push((*a, id));
        Ok(Some(id))
    }

    fn transform(
        &mut self,
        (dense, norm): (Stem, Stem),
        spec: &Transform,
        dim: usize,
    ) -> Result<TransformHandles, ModelError> {
        let dense = self.dense(&self.stem(dense), [dim, dim], spec.bias)?;
        let norm = spec.norm.map(|n| self.norm(&self.stem(norm), n, dim)).transpose()?;
        Ok(TransformHandles { dense, act: spec.act, norm })
    }

    /// A convolution as one matrix over neighbours: `[dim, taps * dim]`, from `[dim, dim / groups, taps]`.
    fn conv(&mut self, spec: &ConvSpec, dim: usize) -> Result<(Dense, Norm), ModelError> {
        let name = self.stem(self.names.conv);
        let tensor = self.take(&format!("{name}.weight"))?;
        let group = dim / spec.groups;
        check_shape(&tensor, &[dim, group, spec.taps])?;
        let mut values = vec![0f32; dim * spec.taps * dim];
        let mut taps = vec![0.0; spec.taps];
        for (out, row) in values.chunks_exact_mut(spec.taps * dim).enumerate() {
            for column in 0..group {
                tensor.decode_row(out * group + column, &mut taps);
                let input = out / group * group + column;
                taps.iter().enumerate().for_each(|(tap, x)| row[tap * dim + input] = *x);
            }
        }
        let source = MatrixSource {
            name: tensor.name.clone(),
            purpose: MatrixUse::Product,
            ty: TensorType::F32,
            rows: dim,
            cols: spec.taps * dim,
            data: Arc::new(values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()),
            scales: None,
            divide: Divide::Whole,
        };
        let matrix = self.device.matrix(&source, Residency::Resident)?;
        self.advance(&tensor);
        let bias = Some(self.vector(&format!("{name}.bias"), dim)?);
        let norm = self.norm(&self.stem(self.names.conv_norm), spec.norm, dim)?;
        Ok((Dense { matrix, bias }, norm))
    }
}

/// Tensors by name.
impl Loader<'_> {
    fn stem(&self, stem: Stem) -> String {
        match stem {
            Stem::Base(name) => format!("{}{name}", self.prefix),
            Stem::Top(name) => name.to_owned(),
        }
    }

    fn in_layer(&self, i: usize, name: &str) -> String {
        format!("{}{}.{i}.{name}", self.prefix, self.names.layer)
    }

    /// A tensor, under the name that TensorFlow gave norms where the file has that one.
    fn take(&mut self, name: &str) -> Result<Tensor, ModelError> {
        let older =
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        let has = |name: &str| self.checkpoint.tensors.contains(name);
        let found = [name, &older].into_iter().find(|n| has(n));
        let Some(found) = found else { return Err(ModelError::MissingTensor { name: name.to_owned() }) };
        let tensor = self.checkpoint.tensors.get(found)?.clone();
        self.used.insert(found.to_owned());
        Ok(tensor)
    }

    /// Counts a module's tensors as used that have no use here.
    fn pass_over(&mut self, name: &str) {
        self.used.extend(["weight", "bias"].map(|part| format!("{name}.{part}")));
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<VectorId, ModelError> {
        self.vector_part(name, len, whole(""))
    }

    fn vector_part(&mut self, name: &str, len: usize, place: Place) -> Result<VectorId, ModelError> {
        let tensor = self.take(name)?;
        let values = crate::load::vector(&tensor, len * place.of)?;
        self.advance(&tensor);
        Ok(self.device.vector(name, &values[place.part * len..][..len])?)
    }

    fn norm(&mut self, name: &str, spec: LayerNorm, dim: usize) -> Result<Norm, ModelError> {
        let weight = self.vector(&format!("{name}.weight"), dim)?;
        let bias = spec.bias.then(|| self.vector(&format!("{name}.bias"), dim)).transpose()?;
        Ok(Norm { kind: NormKind::Layer { eps: spec.eps, bias }, weight, groups: 1 })
    }

    fn table(&mut self, stem: Stem, shape: [usize; 2]) -> Result<MatrixId, ModelError> {
        let name = format!("{}.weight", self.stem(stem));
        self.matrix(&name, shape, (whole(""), MatrixUse::Lookup))
    }

    fn dense(&mut self, name: &str, shape: [usize; 2], bias: bool) -> Result<Dense, ModelError> {
        let matrix = self.matrix(&format!("{name}.weight"), shape, (whole(""), MatrixUse::Product))?;
        let bias = bias.then(|| self.vector(&format!("{name}.bias"), shape[0])).transpose()?;
        Ok(Dense { matrix, bias })
    }

    fn placed(&mut self, i: usize, place: Place, shape: [usize; 2], bias: bool) -> Result<Dense, ModelError> {
        let name = self.in_layer(i, place.name);
        let matrix = self.matrix(&format!("{name}.weight"), shape, (place, MatrixUse::Rounded))?;
        let bias = bias.then(|| self.vector_part(&format!("{name}.bias"), shape[0], place)).transpose()?;
        Ok(Dense { matrix, bias })
    }

    fn matrix(
        &mut self,
        name: &str,
        [rows, cols]: [usize; 2],
        (place, purpose): (Place, MatrixUse),
    ) -> Result<MatrixId, ModelError> {
        let tensor = self.take(name)?;
        check_shape(&tensor, &[rows * place.of, cols])?;
        let size = tensor.data.len() / place.of;
        let data = tensor.data.slice(place.part * size..(place.part + 1) * size);
        let stored = FileBytes(data.unwrap_or_else(|| tensor.data.clone()));
        let own = place.part * rows..(place.part + 1) * rows;
        let converted = match purpose {
            MatrixUse::Rounded => self.options.precision.convert(&tensor, own, cols)?,
            _ => None,
        };
        // What stays as it is, is multiplied as usual.
        let purpose = match purpose {
            MatrixUse::Rounded if converted.is_none() => MatrixUse::Product,
            other => other,
        };
        let (ty, data, residency): (_, Arc<dyn WeightBytes>, _) = match converted {
            Some((ty, bytes)) => {
                stored.release(0..size);
                (ty, Arc::new(bytes), Residency::Resident)
            }
            None => (tensor.ty, Arc::new(stored), self.options.residency),
        };
        let source = MatrixSource {
            name: name.to_owned(),
            purpose,
            ty,
            rows,
            cols,
            data,
            scales: None,
            divide: Divide::Whole,
        };
        let id = self.device.matrix(&source, residency)?;
        self.advance(&tensor);
        Ok(id)
    }

    /// Tensors of several parts are counted at their first.
    fn advance(&mut self, tensor: &Tensor) {
        self.done = (self.done + tensor.byte_len() as u64).min(self.total);
        (self.progress)(self.done, self.total);
    }

    fn refuse_unused(&self) -> Result<(), ModelError> {
        let unused = |name: &&str| !self.used.contains(*name) && !self.names.is_harmless(name);
        let mut names = self.checkpoint.tensors.names().filter(unused);
        match names.next() {
            None => Ok(()),
            Some(first) => {
                Err(ModelError::UnusedTensors { count: 1 + names.count(), first: first.to_owned() })
            }
        }
    }
}

fn check_shape(tensor: &Tensor, expected: &[usize]) -> Result<(), ModelError> {
    if tensor.shape != expected {
        let (name, found) = (tensor.name.clone(), tensor.shape.clone());
        return Err(ModelError::Shape { name, found, expected: expected.to_vec() });
    }
    Ok(())
}
