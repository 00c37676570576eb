//! What a model is, as plain data. A new idea is a new variant, not a flag.

use torchless_device::{Activation, Pairing};

/// A decoder-only transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// Name of the architecture, as its own files spell it.
    pub arch: String,
    /// Tokens in the vocabulary.
    pub vocab: usize,
    /// Width of the residual stream.
    pub dim: usize,
    /// Factor of the embeddings.
    pub embed_scale: f32,
    /// One entry per layer.
    pub layers: Vec<LayerSpec>,
    /// Before the head.
    pub final_norm: NormSpec,
    /// The head is the embedding table.
    pub tied_head: bool,
    /// Factor of the logits.
    pub logit_scale: f32,
    /// `cap * tanh(logit / cap)`.
    pub logit_softcap: Option<f32>,
    /// Positions that the model was trained for.
    pub context: usize,
    /// Positions that the arithmetic is defined for; more is an error, not a warning.
    pub context_limit: Option<usize>,
}

/// How a layer's parts are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// `x += mixer(norm(x)); x += ffn(norm(x))`.
    PreNorm,
}

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSpec {
    /// How its parts are joined.
    pub wiring: Wiring,
    /// Kind of its norms.
    pub norm: NormSpec,
    /// What mixes positions.
    pub mixer: Mixer,
    /// What follows.
    pub ffn: Ffn,
}

/// Kind of a norm; weights come from the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NormSpec {
    /// Root mean square.
    Rms {
        /// Added to the mean of squares.
        eps: f32,
    },
}

/// What mixes positions.
#[derive(Clone, Debug, PartialEq)]
pub enum Mixer {
    /// Softmax attention over a KV cache.
    Attention(AttnSpec),
}

/// Grouped-query attention. Ainslie et al. 2023, arXiv 2305.13245.
#[derive(Clone, Debug, PartialEq)]
pub struct AttnSpec {
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub kv_heads: usize,
    /// Values per query and key head.
    pub head_dim: usize,
    /// Values per value head.
    pub v_dim: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// `None` in layers without positions.
    pub rope: Option<RopeSpec>,
    /// Key `j` is visible to query `i` when `i - j < window`.
    pub window: Option<usize>,
    /// Biases of q, k and v.
    pub qkv_bias: bool,
    /// Bias of the output projection.
    pub out_bias: bool,
}

/// A rotary embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeSpec {
    /// Base of the frequencies.
    pub theta: f32,
    /// Rotated dimensions of a head; even, at most `head_dim`.
    pub dims: usize,
    /// How pairs lie.
    pub pairing: Pairing,
    /// How frequencies are stretched for longer contexts.
    pub scaling: RopeScaling,
    /// Divisors per pair from the checkpoint, applied after `scaling`.
    pub factors: Option<Vec<f32>>,
}

/// How rotary frequencies are changed for contexts longer than the original one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// They are not.
    None,
    /// All divided by `factor`. Chen et al. 2023, arXiv 2306.15595.
    Linear {
        /// Divisor.
        factor: f32,
    },
    /// By parts, with a magnitude. Peng et al. 2023, arXiv 2309.00071.
    Yarn {
        /// Stretch.
        factor: f32,
        /// Context before stretching.
        original: usize,
        /// Rotations above which nothing changes.
        beta_fast: f32,
        /// Rotations below which all is divided.
        beta_slow: f32,
        /// Factor of both halves of a pair.
        magnitude: f32,
        /// Whether the bounds of the ramp are rounded outwards to whole dimensions.
        truncate: bool,
    },
    /// LLaMA 3.1: long wavelengths divided, short ones kept, a ramp between.
    Llama3 {
        /// Divisor of long wavelengths.
        factor: f32,
        /// Rotations within the original context below which a wavelength is long.
        low: f32,
        /// Rotations above which it is short.
        high: f32,
        /// Context before stretching.
        original: usize,
    },
}

/// What follows the mixer.
#[derive(Clone, Debug, PartialEq)]
pub enum Ffn {
    /// One unit for all tokens.
    Dense(MlpSpec),
}

/// A gated unit: `down(act(gate x) * up x)`. Shazeer 2020, arXiv 2002.05202.
#[derive(Clone, Debug, PartialEq)]
pub struct MlpSpec {
    /// Inner width.
    pub hidden: usize,
    /// Of the gate.
    pub act: Activation,
    /// Biases of all three matrices.
    pub bias: bool,
}

impl ModelSpec {
    /// Bytes of KV cache that one position takes over all layers, at `value_bytes` bytes a value.
    pub fn kv_bytes_per_token(&self, value_bytes: usize) -> usize {
        self.layers.iter().map(|l| l.mixer.cached_values() * value_bytes).sum()
    }
}

impl Ffn {
    /// The dense unit.
    pub fn dense(&self) -> &MlpSpec {
        let Ffn::Dense(mlp) = self;
        mlp
    }
}

impl Mixer {
    /// The attention.
    pub fn attention(&self) -> &AttnSpec {
        let Mixer::Attention(attn) = self;
        attn
    }

    /// Values that one position adds to the layer's cache.
    pub fn cached_values(&self) -> usize {
        match self {
            Mixer::Attention(a) => a.kv_heads * (a.head_dim + a.v_dim),
        }
    }
}
