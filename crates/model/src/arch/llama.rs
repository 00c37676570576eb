//! LLaMA 1 to 3.3 and Mistral: pre-norm, grouped-query attention, SwiGLU. In GGUF both are `llama`.
//!
//! GGUF stores q and k with the rows of each head reordered so that rotated pairs are adjacent; safetensors and
//! the native format keep halves.

use super::{Family, mixtral};
use crate::ModelError;
use crate::config::Config;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::read;
use crate::roles::Names;
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec};
use torchless_device::Activation;

pub(crate) const FAMILIES: &[Family] = &[
    Family {
        gguf: &["llama"],
        json: &["llama"],
        names: Names::USUAL,
        defaults: &[
            ("vocab_size", Int(32000)),
            ("hidden_size", Int(4096)),
            ("intermediate_size", Int(11008)),
            ("num_hidden_layers", Int(32)),
            ("num_attention_heads", Int(32)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(2048)),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(false)),
            ("attention_bias", Bool(false)),
            ("mlp_bias", Bool(false)),
        ],
        spec,
    },
    Family {
        gguf: &[],
        json: &["mistral"],
        names: Names::USUAL,
        defaults: &[
            ("vocab_size", Int(32000)),
            ("hidden_size", Int(4096)),
            ("intermediate_size", Int(14336)),
            ("num_hidden_layers", Int(32)),
            ("num_attention_heads", Int(32)),
            ("num_key_value_heads", Int(8)),
            ("hidden_act", Text("silu")),
            ("rms_norm_eps", Float(1e-06)),
            ("tie_word_embeddings", Bool(false)),
            ("sliding_window", Int(4096)),
            ("max_position_embeddings", Int(131072)),
        ],
        spec,
    },
];

pub(super) fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    let context_limit = read::rotate(c, &sizes, &mut attn, read::reordered(c))?;
    attn.window = read::window(c)?;
    let ffn = match read::moe::has_experts(c)? {
        true => mixtral::ffn(c)?,
        false => Ffn::Dense(read::glu(c, Activation::Silu)?),
    };
    let layer = LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn);
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
