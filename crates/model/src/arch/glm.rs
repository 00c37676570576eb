//! GLM-4 in both its forms: neighbours rotated in half of each head, gate and up in one matrix. The later form norms both
//! sides of each part. In GGUF the earlier form is `chatglm`.

use super::Family;
use crate::ModelError;
use crate::config::Config;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::read;
use crate::roles::{Names, Role};
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec, Wiring};
use torchless_device::{Activation, Pairing};

const NAMES: Names = Names {
    gguf: &[(Role::FusedGateUp, "blk.{}.ffn_up")],
    json: &[
        (Role::MixerPostNorm, "model.layers.{}.post_self_attn_layernorm"),
        (Role::FfnPostNorm, "model.layers.{}.post_mlp_layernorm"),
    ],
    ..Names::USUAL
};

pub(crate) const FAMILIES: &[Family] = &[
    Family {
        gguf: &["chatglm"],
        json: &["glm"],
        names: NAMES,
        defaults: &[
            ("vocab_size", Int(151552)),
            ("hidden_size", Int(4096)),
            ("intermediate_size", Int(13696)),
            ("num_hidden_layers", Int(40)),
            ("num_attention_heads", Int(32)),
            ("num_key_value_heads", Int(2)),
            ("head_dim", Int(128)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(131072)),
            ("rms_norm_eps", Float(1.5625e-07)),
            ("tie_word_embeddings", Bool(false)),
            ("attention_bias", Bool(true)),
            ("partial_rotary_factor", Float(0.5)),
        ],
        spec,
    },
    Family {
        gguf: &["glm4"],
        json: &["glm4"],
        names: NAMES,
        defaults: &[
            ("vocab_size", Int(151552)),
            ("hidden_size", Int(4096)),
            ("intermediate_size", Int(13696)),
            ("num_hidden_layers", Int(40)),
            ("num_attention_heads", Int(32)),
            ("num_key_value_heads", Int(2)),
            ("head_dim", Int(128)),
            ("hidden_act", Text("silu")),
            ("max_position_embeddings", Int(131072)),
            ("rms_norm_eps", Float(1.5625e-07)),
            ("tie_word_embeddings", Bool(false)),
            ("attention_bias", Bool(true)),
            ("partial_rotary_factor", Float(0.5)),
        ],
        spec,
    },
];

fn spec(c: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let sizes = read::sizes(c)?;
    let norm = read::rms(c)?;
    let mut attn = read::attention(c, &sizes)?;
    attn.out_bias = false;
    let context_limit = read::rotate(c, &sizes, &mut attn, Pairing::Adjacent)?;
    let ffn = Ffn::Dense(read::glu(c, Activation::Silu)?);
    let wiring = if c.arch == "glm4" { Wiring::Sandwich } else { Wiring::PreNorm };
    let layer = LayerSpec { wiring, ..LayerSpec::pre_norm(norm, Mixer::Attention(attn), ffn) };
    let model = read::model(c, sizes, vec![layer; sizes.layers], norm)?;
    Ok(ModelSpec { context_limit, ..model })
}
