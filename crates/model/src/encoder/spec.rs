//! What an encoder is, as plain data. A new idea is a new variant, not a flag.

use torchless_device::{Activation, PoolKind};

/// A bidirectional transformer, with what is put on top of it.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderSpec {
    /// Name of the architecture, as its own files spell it.
    pub arch: String,
    /// Tokens in the vocabulary.
    pub vocab: usize,
    /// Width of the hidden states.
    pub dim: usize,
    /// From ids to the first hidden state.
    pub embed: EmbedSpec,
    /// One entry per layer.
    pub layers: Vec<EncoderLayer>,
    /// What the distance of two tokens adds to their score.
    pub distance: Option<DistanceSpec>,
    /// A convolution beside the first layer.
    pub conv: Option<ConvSpec>,
    /// After the last layer.
    pub final_norm: Option<LayerNorm>,
    /// From the first token's hidden state to the vector that the model was trained to speak with.
    pub pooler: Option<Transform>,
    /// What classifies.
    pub head: Option<HeadSpec>,
    /// Tokens that a text may have.
    pub context: usize,
}

/// A layer norm. Ba et al. 2016, arXiv 1607.06450.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm {
    /// Added to the variance.
    pub eps: f32,
    /// Whether something is added to the result.
    pub bias: bool,
}

/// From ids to the first hidden state.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedSpec {
    /// Width of the tables.
    pub width: usize,
    /// A table of positions.
    pub positions: Option<PositionSpec>,
    /// Rows of the table of token types.
    pub types: Option<usize>,
    /// After the sum.
    pub norm: LayerNorm,
    /// From the width of the tables to that of the hidden states.
    pub projection: Option<EmbedProjection>,
}

/// A table of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionSpec {
    /// Rows.
    pub rows: usize,
    /// Which row a token gets.
    pub order: PositionOrder,
}

/// Which row of the table of positions a token gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionOrder {
    /// Its place in the text.
    Place,
    /// `pad` plus the number of tokens other than `pad` up to it; `pad` for such tokens themselves.
    AfterPadding {
        /// The padding token.
        pad: u32,
    },
}

/// From the width of the tables to that of the hidden states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbedProjection {
    /// A matrix, then the norm.
    BeforeNorm,
    /// The norm, then a matrix with bias.
    AfterNorm,
}

/// How a layer's parts are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncoderWiring {
    /// `x += attention(norm(x)); x += ffn(norm(x))`.
    PreNorm,
    /// `x = norm(x + attention(x)); x = norm(x + ffn(x))`.
    PostNorm,
}

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderLayer {
    /// How its parts are joined.
    pub wiring: EncoderWiring,
    /// Of the attention; `None` where the embeddings have just been normed.
    pub attention_norm: Option<LayerNorm>,
    /// Every token with every other.
    pub attention: WithinSpec,
    /// Of the feed-forward part.
    pub ffn_norm: LayerNorm,
    /// What follows.
    pub ffn: EncoderFfn,
}

/// Attention within a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WithinSpec {
    /// Heads of queries, keys and values.
    pub heads: usize,
    /// Values per head.
    pub head_dim: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// Base of a rotary embedding of all dimensions, halves paired.
    pub rope_theta: Option<f32>,
    /// Key `j` is visible to query `i` when `|i - j| <= window`.
    pub window: Option<usize>,
    /// Biases of q, k and v.
    pub qkv_bias: bool,
    /// Bias of the output projection.
    pub out_bias: bool,
}

/// The feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EncoderFfn {
    /// Inner width.
    pub hidden: usize,
    /// The function.
    pub act: Activation,
    /// What it is applied to.
    pub kind: FfnKind,
    /// Biases of all matrices.
    pub bias: bool,
}

/// What the function of a feed-forward part is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FfnKind {
    /// `down(act(up x))`.
    Plain,
    /// `down(act(gate x) * up x)`.
    Gated,
}

/// What the distance of two tokens adds to their score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DistanceSpec {
    /// A bias per head and bucket of distances. Raffel et al. 2020, arXiv 1910.10683.
    Bias {
        /// Rows of the table.
        rows: usize,
    },
    /// Products with embedded distances. He et al. 2020, arXiv 2006.03654.
    Disentangled(DisentangledSpec),
}

/// Disentangled attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DisentangledSpec {
    /// Half the rows of the table.
    pub span: usize,
    /// Buckets of distances: equal up to half of them, logarithmic up to `max_distance`; `None` leaves distances as they are.
    pub buckets: Option<usize>,
    /// The distance of the last bucket.
    pub max_distance: usize,
    /// Queries with embedded distances.
    pub content_to_position: bool,
    /// Keys with embedded distances.
    pub position_to_content: bool,
    /// Where the matrices of embedded distances come from.
    pub source: DistanceMatrices,
    /// Of the table.
    pub norm: Option<LayerNorm>,
}

/// Where the matrices of embedded distances come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DistanceMatrices {
    /// They are those of queries and keys.
    Shared,
    /// They are their own.
    Own,
}

/// `x = norm(x + act(conv(embeddings)))` after the first layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvSpec {
    /// Tokens that meet; odd.
    pub taps: usize,
    /// Columns that meet only each other.
    pub groups: usize,
    /// The function.
    pub act: Activation,
    /// After the sum.
    pub norm: LayerNorm,
}

/// `norm(act(dense x))`, as wide as the hidden states.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    /// The function.
    pub act: Activation,
    /// Of the matrix.
    pub bias: bool,
    /// After the function.
    pub norm: Option<LayerNorm>,
}

/// What classifies.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadSpec {
    /// What is classified.
    pub level: HeadLevel,
    /// Before the classifier itself.
    pub transform: Option<Transform>,
    /// Names of the classes.
    pub labels: Vec<String>,
    /// How logits become scores.
    pub scores: Scores,
}

/// What is classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadLevel {
    /// Each text, by one vector.
    Text(Pooling),
    /// Each token.
    Token,
}

/// How logits become scores between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// They exclude each other: softmax.
    Softmax,
    /// Each on its own: sigmoid.
    Sigmoid,
    /// They are none: the logit itself.
    Identity,
}

/// How a text becomes one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The first token's.
    First,
    /// The last token's.
    Last,
    /// Of all tokens.
    Rows(PoolKind),
    /// The first token's, through the model's pooler.
    Pooler,
}

impl EncoderSpec {
    /// Names of the classes; empty without a head.
    pub fn labels(&self) -> &[String] {
        self.head.as_ref().map_or(&[], |head| &head.labels)
    }
}
