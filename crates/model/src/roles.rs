//! Tensor roles and their names in each dialect: the only place where names stand.

use crate::config::Dialect;

/// What a tensor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `[vocab, dim]`.
    TokenEmbedding,
    /// `[dim]`.
    FinalNorm,
    /// `[vocab, dim]`.
    Head,
    /// `[dim]`, before the mixer.
    MixerNorm,
    /// `[heads * head_dim, dim]`.
    Query,
    /// `[kv_heads * head_dim, dim]`.
    Key,
    /// `[kv_heads * v_dim, dim]`.
    Value,
    /// `[dim, heads * v_dim]`.
    MixerOut,
    /// `[dim]`, before the feed-forward part.
    FfnNorm,
    /// `[hidden, dim]`.
    Gate,
    /// `[hidden, dim]`.
    Up,
    /// `[dim, hidden]`.
    Down,
}

/// Weight or bias of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The matrix or the norm's factor.
    Weight,
    /// What is added.
    Bias,
}

impl Role {
    fn stem(self, dialect: Dialect) -> (&'static str, &'static str) {
        let (gguf, json) = match self {
            Role::TokenEmbedding => ("token_embd", "model.embed_tokens"),
            Role::FinalNorm => ("output_norm", "model.norm"),
            Role::Head => ("output", "lm_head"),
            Role::MixerNorm => ("attn_norm", "input_layernorm"),
            Role::Query => ("attn_q", "self_attn.q_proj"),
            Role::Key => ("attn_k", "self_attn.k_proj"),
            Role::Value => ("attn_v", "self_attn.v_proj"),
            Role::MixerOut => ("attn_output", "self_attn.o_proj"),
            Role::FfnNorm => ("ffn_norm", "post_attention_layernorm"),
            Role::Gate => ("ffn_gate", "mlp.gate_proj"),
            Role::Up => ("ffn_up", "mlp.up_proj"),
            Role::Down => ("ffn_down", "mlp.down_proj"),
        };
        match dialect {
            Dialect::Gguf => ("blk", gguf),
            Dialect::Json => ("model.layers", json),
        }
    }

    /// The tensor's name; `layer` is `None` for tensors of the whole model.
    pub fn name(self, dialect: Dialect, layer: Option<usize>, part: Part) -> String {
        let (prefix, stem) = self.stem(dialect);
        let suffix = if part == Part::Weight { "weight" } else { "bias" };
        match layer {
            Some(i) => format!("{prefix}.{i}.{stem}.{suffix}"),
            None => format!("{stem}.{suffix}"),
        }
    }
}

/// Tensors that hold nothing but what the metadata says too.
pub fn is_redundant(name: &str) -> bool {
    name == "rope_freqs.weight" || name.ends_with("rotary_emb.inv_freq")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_each_dialect() {
        let name = |r: Role, d, l| r.name(d, l, Part::Weight);
        assert_eq!(name(Role::Query, Dialect::Gguf, Some(3)), "blk.3.attn_q.weight");
        assert_eq!(name(Role::Query, Dialect::Json, Some(3)), "model.layers.3.self_attn.q_proj.weight");
        assert_eq!(name(Role::Head, Dialect::Json, None), "lm_head.weight");
    }
}
