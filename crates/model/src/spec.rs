//! What a model is, as plain data. A new idea is a new variant, not a flag.

mod delta;
mod latent;
mod mixture;
mod streams;

pub use delta::DeltaSpec;
pub use latent::LatentSpec;
pub use mixture::{ExpertStorage, MoeSpec, SharedNamed, SharedSpec};
pub use streams::StreamsSpec;

use std::ops::Range;
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
    /// Rows of a table of learned positions, which are added to the embeddings.
    pub learned_positions: Option<usize>,
    /// A second table of embeddings, with a part for each layer.
    pub token_inputs: Option<TokenInputs>,
    /// Residual streams beside the one that layers see.
    pub streams: Option<StreamsSpec>,
    /// One entry per layer.
    pub layers: Vec<LayerSpec>,
    /// Before the head.
    pub final_norm: NormSpec,
    /// The head is the embedding table.
    pub tied_head: bool,
    /// Bias of the head.
    pub head_bias: bool,
    /// Factor of the logits.
    pub logit_scale: f32,
    /// `cap * tanh(logit / cap)`.
    pub logit_softcap: Option<f32>,
    /// Positions that the model was trained for.
    pub context: usize,
    /// Positions that the arithmetic is defined for; more is an error, not a warning.
    pub context_limit: Option<usize>,
    /// Layers after the last that a checkpoint may have and nothing here runs: they guess at tokens further on.
    pub skipped_layers: usize,
}

/// Inputs that each layer gets from the token itself: rows of a table, and of a projection of the embeddings, added up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenInputs {
    /// Values per layer.
    pub width: usize,
    /// Rows of the table; tokens beyond it take its first row.
    pub rows: usize,
    /// Of the projection, in each layer's part.
    pub norm: NormSpec,
}

/// How a layer's parts are joined. All norms are those of the layer, each with a weight of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// `x += mixer(norm(x)); x += ffn(norm(x))`.
    PreNorm,
    /// `x += norm(mixer(x)); x += norm(ffn(x))`.
    PostNorm,
    /// `x += norm(mixer(norm(x))); x += norm(ffn(norm(x)))`.
    Sandwich,
    /// `y = norm(x); x += mixer(y) + ffn(y)`.
    Parallel,
    /// `x += mixer(norm(x)) + ffn(norm(x))`, with two norms.
    ParallelTwoNorms,
}

impl Wiring {
    /// Whether the inputs of both parts are normed.
    pub fn norms_inputs(self) -> bool {
        self != Wiring::PostNorm
    }

    /// Whether the outputs of both parts are normed.
    pub fn norms_outputs(self) -> bool {
        matches!(self, Wiring::PostNorm | Wiring::Sandwich)
    }

    /// Whether both parts work on the same input.
    pub fn is_parallel(self) -> bool {
        matches!(self, Wiring::Parallel | Wiring::ParallelTwoNorms)
    }
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
    /// Width of a narrow way around the mixer, which is added to its normed input.
    pub detour: Option<usize>,
    /// What follows.
    pub ffn: Ffn,
    /// Factor of what either part adds to the residual stream.
    pub residual_scale: f32,
    /// What is added at last from the token's own input for this layer.
    pub token_input: Option<Activation>,
    /// Whether the residual stream is scaled at the layer's end, by a number in the checkpoint.
    pub output_scale: bool,
}

impl LayerSpec {
    /// The usual wiring.
    pub fn pre_norm(norm: NormSpec, mixer: Mixer, ffn: Ffn) -> Self {
        Self {
            wiring: Wiring::PreNorm,
            norm,
            mixer,
            detour: None,
            ffn,
            residual_scale: 1.0,
            token_input: None,
            output_scale: false,
        }
    }
}

/// A norm; weights come from the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormSpec {
    /// What it does with a row.
    pub kind: NormForm,
    /// Added to the mean of squares, or to the variance.
    pub eps: f32,
    /// What the checkpoint holds of its weight.
    pub weight: NormWeight,
    /// Whether something is added at last.
    pub bias: bool,
}

/// What a norm does with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormForm {
    /// Scales to unit root mean square.
    Rms,
    /// Shifts to mean 0 and scales to variance 1.
    Layer,
}

/// What a checkpoint holds of a norm's weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormWeight {
    /// Nothing: it is 1 everywhere.
    Absent,
    /// The weight.
    Plain,
    /// The weight less 1.
    LessOne,
}

impl NormSpec {
    /// A root mean square norm with a plain weight.
    pub fn rms(eps: f32) -> Self {
        Self { kind: NormForm::Rms, eps, weight: NormWeight::Plain, bias: false }
    }

    /// A layer norm with weight and bias.
    pub fn layer(eps: f32) -> Self {
        Self { kind: NormForm::Layer, eps, weight: NormWeight::Plain, bias: true }
    }
}

/// What mixes positions.
#[derive(Clone, Debug, PartialEq)]
pub enum Mixer {
    /// Softmax attention over a KV cache.
    Attention(AttnSpec),
    /// Softmax attention over a cache of latents.
    Latent(LatentSpec),
    /// Linear attention with a state per sequence.
    Delta(DeltaSpec),
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
    /// `softcap * tanh(score / softcap)`.
    pub softcap: Option<f32>,
    /// Each head has a logit that takes part in the softmax and has no value.
    pub sinks: bool,
    /// Queries come with as many gates, whose sigmoids weigh what the heads yield.
    pub gated: bool,
    /// Biases of q, k and v.
    pub qkv_bias: bool,
    /// Values of q, k and v beyond this are cut, at either side, once they have been normed.
    pub clip: Option<f32>,
    /// Norms of q and k before they are rotated.
    pub qk_norm: Option<QkNorm>,
    /// Norm of what the heads yield, before the output projection.
    pub inner_norm: Option<NormSpec>,
    /// Bias of the output projection.
    pub out_bias: bool,
    /// Norm of each head's values.
    pub v_norm: Option<NormSpec>,
    /// Where keys and values come from.
    pub kv: KvSource,
}

/// Where the keys and values of a layer come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvSource {
    /// From matrices of their own.
    Own,
    /// Values are what the matrix of keys yields, before norm and rotation.
    ValuesFromKeys,
    /// From the cache of an earlier layer; this one has none.
    Layer(usize),
}

/// Norms of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QkNorm {
    /// Which norm.
    pub norm: NormSpec,
    /// What it takes together.
    pub over: NormedOver,
}

/// What a norm of queries or keys takes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormedOver {
    /// Each head on its own, all with one weight.
    Head,
    /// Each head on its own, each with its own weight.
    HeadWithOwnWeight,
    /// All heads of a position.
    Row,
}

/// A rotary embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeSpec {
    /// Base of the frequencies.
    pub theta: f32,
    /// Rotated dimensions of a head; even, at most `head_dim`.
    pub dims: usize,
    /// Dimensions over which the exponents of the frequencies run from 0 to 1, usually `dims`.
    pub wave_dims: usize,
    /// How pairs lie.
    pub pairing: Pairing,
    /// How frequencies are stretched for longer contexts.
    pub scaling: RopeScaling,
    /// Divisors per pair from the checkpoint, applied after `scaling`.
    pub factors: Option<Vec<f32>>,
}

/// How rotary frequencies are changed for contexts longer than the original one.
#[derive(Clone, Debug, PartialEq)]
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
    /// A divisor for each pair, others for sequences longer than the original context. Ding et al. 2024, arXiv 2402.13753.
    LongRope {
        /// Divisors up to the original context.
        short: Vec<f32>,
        /// Divisors beyond it, for all positions.
        long: Vec<f32>,
        /// The original context.
        original: usize,
        /// Factors of both halves of a pair, up to the original context and beyond it.
        magnitudes: (f32, f32),
    },
    /// The first pairs alone turn, all divided by `factor`.
    Proportional {
        /// Pairs that turn.
        pairs: usize,
        /// Divisor.
        factor: f32,
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
    /// Many, of which each token meets a few.
    Experts(MoeSpec),
}

/// A feed-forward unit.
#[derive(Clone, Debug, PartialEq)]
pub struct MlpSpec {
    /// Inner width.
    pub hidden: usize,
    /// What lies between its matrices.
    pub form: MlpForm,
    /// Of the gate's values only those count that exceed their mean by so many standard deviations, less that bound.
    pub cut: Option<f32>,
    /// Biases of the matrices that widen.
    pub bias: bool,
    /// Norm of the inner values.
    pub inner_norm: Option<NormSpec>,
    /// Bias of the matrix that narrows.
    pub down_bias: bool,
}

/// What lies between the matrices of a feed-forward unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MlpForm {
    /// `down(act(gate x) * up x)`. Shazeer 2020, arXiv 2002.05202.
    Glu(Activation),
    /// `down(act(up x))`.
    Plain(Activation),
}

impl ModelSpec {
    /// Bytes of KV cache that one position takes over all layers, at `value_bytes` bytes a value.
    pub fn kv_bytes_per_token(&self, value_bytes: usize) -> usize {
        self.layers.iter().map(|l| l.mixer.cached_values() * value_bytes).sum()
    }

    /// The numbers that layers have which nothing here runs.
    pub fn skipped(&self) -> Range<usize> {
        self.layers.len()..self.layers.len() + self.skipped_layers
    }

    /// The share of its experts that a token meets; 1 where there are none.
    pub fn experts_per_token(&self) -> f64 {
        let share = |l: &LayerSpec| match &l.ffn {
            Ffn::Experts(moe) => Some(moe.routing.chosen as f64 / moe.routing.experts.max(1) as f64),
            Ffn::Dense(_) => None,
        };
        self.layers.iter().find_map(share).unwrap_or(1.0)
    }

    /// Tokens beyond which all positions of a sequence are computed in another way.
    pub fn turning_point(&self) -> Option<usize> {
        let point = |l: &LayerSpec| match &l.mixer {
            Mixer::Attention(AttnSpec { rope: Some(rope), .. }) => match rope.scaling {
                RopeScaling::LongRope { original, .. } => Some(original),
                _ => None,
            },
            _ => None,
        };
        self.layers.iter().filter_map(point).min()
    }
}

impl ModelSpec {
    /// Bytes of state that a sequence has beside its KV cache, however long it is.
    pub fn state_bytes(&self) -> usize {
        let of = |l: &LayerSpec| match &l.mixer {
            Mixer::Delta(d) => d.state.len() * size_of::<f32>(),
            Mixer::Attention(_) | Mixer::Latent(_) => 0,
        };
        self.layers.iter().map(of).sum()
    }
}

impl Ffn {
    /// The widest row of values inside.
    pub fn inner_width(&self) -> usize {
        match self {
            Ffn::Dense(mlp) => mlp.hidden,
            Ffn::Experts(moe) => moe.inner_width(),
        }
    }
}

impl Mixer {
    /// Values that one position adds to the layer's cache.
    pub fn cached_values(&self) -> usize {
        match self {
            Mixer::Attention(AttnSpec { kv: KvSource::Layer(_), .. }) => 0,
            Mixer::Attention(a) => a.kv_heads * (a.head_dim + a.v_dim),
            Mixer::Latent(a) => a.cached_values(),
            Mixer::Delta(_) => 0,
        }
    }

    /// Values that one position takes in buffers: queries, keys, values, and what the mixer yields twice.
    pub fn inner_width(&self) -> usize {
        match self {
            Mixer::Attention(a) => a.heads * (a.head_dim + 2 * a.v_dim) + self.cached_values(),
            Mixer::Latent(a) => a.inner_width(),
            Mixer::Delta(d) => d.inner_width(),
        }
    }
}
