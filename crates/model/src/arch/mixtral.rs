//! Mixtral: LLaMA whose feed-forward parts are experts; in GGUF it is `llama` with a number of experts.

use super::{Family, llama};
use crate::ModelError;
use crate::config::Config;
use crate::config::Fallback::{Bool, Float, Int, Text};
use crate::read::moe;
use crate::roles::{Names, Role};
use crate::spec::Ffn;
use torchless_device::Score;

/// The names that Mixtral's first implementation gave its experts.
pub(super) const EXPERTS: [(Role, &str); 4] = [
    (Role::Router, "model.layers.{}.block_sparse_moe.gate"),
    (Role::ExpertGate, "model.layers.{}.block_sparse_moe.experts.{}.w1"),
    (Role::ExpertDown, "model.layers.{}.block_sparse_moe.experts.{}.w2"),
    (Role::ExpertUp, "model.layers.{}.block_sparse_moe.experts.{}.w3"),
];

pub(crate) const FAMILIES: &[Family] = &[Family {
    gguf: &[],
    json: &["mixtral"],
    names: Names { json: &EXPERTS, ..Names::USUAL },
    defaults: &[
        ("rope_theta", Float(1000000.0)),
        ("vocab_size", Int(32000)),
        ("hidden_size", Int(4096)),
        ("intermediate_size", Int(14336)),
        ("num_hidden_layers", Int(32)),
        ("num_attention_heads", Int(32)),
        ("num_key_value_heads", Int(8)),
        ("hidden_act", Text("silu")),
        ("max_position_embeddings", Int(131072)),
        ("rms_norm_eps", Float(1e-05)),
        ("tie_word_embeddings", Bool(false)),
        ("num_experts_per_tok", Int(2)),
        ("num_local_experts", Int(8)),
        ("router_jitter_noise", Float(0.0)),
    ],
    spec: llama::spec,
}];

/// Weights of the chosen experts sum to one.
pub(super) fn ffn(c: &Config<'_>) -> Result<Ffn, ModelError> {
    let mut routing = moe::routing(c, Score::Softmax)?;
    routing.normalise = Some(0.0);
    routing.scale = moe::weight_scale(c)?;
    Ok(Ffn::Experts(moe::experts(c, routing)?))
}
