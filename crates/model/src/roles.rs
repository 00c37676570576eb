//! Tensor roles and their usual names in each dialect. A family that names a tensor otherwise says so in its own table.

use crate::arch::Family;
use crate::config::Dialect;
use std::ops::Range;
use torchless_formats::Checkpoint;

/// Weight or bias of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The matrix or the norm's factor.
    Weight,
    /// What is added.
    Bias,
    /// The name has no ending.
    Bare,
}

/// Each role with its name in GGUF and in safetensors; `{}` is the layer's number, nothing means that the dialect has no such tensor.
macro_rules! roles {
    ($($(#[$doc:meta])* $role:ident: $gguf:literal, $json:literal;)*) => {
        /// What a tensor is for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Role {
            $($(#[$doc])* $role,)*
        }

        impl Role {
            /// All of them.
            pub const ALL: &'static [Role] = &[$(Role::$role,)*];

            /// Whether every layer has one.
            pub fn is_of_layers(self) -> bool {
                self.usual(Dialect::Gguf).contains("blk.{}") || self.usual(Dialect::Json).contains("layers.{}")
            }

            fn usual(self, dialect: Dialect) -> &'static str {
                let (gguf, json) = match self {
                    $(Role::$role => ($gguf, $json),)*
                };
                match dialect {
                    Dialect::Gguf => gguf,
                    Dialect::Json => json,
                }
            }
        }
    };
}

roles! {
    /// `[vocab, dim]`.
    TokenEmbedding: "token_embd", "model.embed_tokens";
    /// `[positions, dim]`, learned.
    PositionEmbedding: "position_embd", "";
    /// `[rows, layers * width]`, the second table of embeddings.
    TokenInputs: "per_layer_token_embd", "model.embed_tokens_per_layer";
    /// `[layers * width, dim]`, off the embeddings.
    TokenInputsProjection: "per_layer_model_proj", "model.per_layer_model_projection";
    /// `[width]`.
    TokenInputsNorm: "per_layer_proj_norm", "model.per_layer_projection_norm";
    /// `[dim, dim]` for each stream beside the first; in GGUF all in one.
    StreamsInto: "altup_proj", "model.altup_projections.{}";
    /// The same, at the other end.
    StreamsOut: "altup_unembd_proj", "model.altup_unembed_projections.{}";
    /// `[dim]`.
    FinalNorm: "output_norm", "model.norm";
    /// `[vocab, dim]`.
    Head: "output", "lm_head";
    /// `[dim]`, before the mixer.
    MixerNorm: "blk.{}.attn_norm", "model.layers.{}.input_layernorm";
    /// `[heads * head_dim, dim]`.
    Query: "blk.{}.attn_q", "model.layers.{}.self_attn.q_proj";
    /// `[kv_heads * head_dim, dim]`.
    Key: "blk.{}.attn_k", "model.layers.{}.self_attn.k_proj";
    /// `[kv_heads * v_dim, dim]`.
    Value: "blk.{}.attn_v", "model.layers.{}.self_attn.v_proj";
    /// Rows of query, key and value in one.
    FusedQkv: "blk.{}.attn_qkv", "model.layers.{}.self_attn.qkv_proj";
    /// `[head_dim]` or one for each head.
    QueryNorm: "blk.{}.attn_q_norm", "model.layers.{}.self_attn.q_norm";
    /// `[head_dim]` or one for each head.
    KeyNorm: "blk.{}.attn_k_norm", "model.layers.{}.self_attn.k_norm";
    /// `[heads]`, a logit for each.
    Sinks: "blk.{}.attn_sinks", "model.layers.{}.self_attn.sinks";
    /// `[query_rank, dim]`.
    QueryDown: "blk.{}.attn_q_a", "model.layers.{}.self_attn.q_a_proj";
    /// `[query_rank]`.
    QueryDownNorm: "blk.{}.attn_q_a_norm", "model.layers.{}.self_attn.q_a_layernorm";
    /// `[heads * (plain + turned), query_rank]`.
    QueryUp: "blk.{}.attn_q_b", "model.layers.{}.self_attn.q_b_proj";
    /// `[latent + turned, dim]`.
    LatentDown: "blk.{}.attn_kv_a_mqa", "model.layers.{}.self_attn.kv_a_proj_with_mqa";
    /// `[latent]`.
    LatentNorm: "blk.{}.attn_kv_a_norm", "model.layers.{}.self_attn.kv_a_layernorm";
    /// Of each head the rows of its keys, then those of its values, `[latent]` each.
    LatentUp: "blk.{}.attn_kv_b", "model.layers.{}.self_attn.kv_b_proj";
    /// `[heads, latent, plain]`.
    LatentKey: "blk.{}.attn_k_b", "";
    /// `[heads, value, latent]`.
    LatentValue: "blk.{}.attn_v_b", "";
    /// `[heads * v_dim]`, before the output projection.
    MixerInnerNorm: "blk.{}.attn_sub_norm", "model.layers.{}.self_attn.attn_sub_norm";
    /// `[dim, heads * v_dim]`.
    MixerOut: "blk.{}.attn_output", "model.layers.{}.self_attn.o_proj";
    /// `[dim]`, of what the mixer yields.
    MixerPostNorm: "blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm";
    /// `[dim]`, before the feed-forward part.
    FfnNorm: "blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm";
    /// `[hidden, dim]`.
    Gate: "blk.{}.ffn_gate", "model.layers.{}.mlp.gate_proj";
    /// `[hidden, dim]`.
    Up: "blk.{}.ffn_up", "model.layers.{}.mlp.up_proj";
    /// Rows of gate and up in one.
    FusedGateUp: "", "model.layers.{}.mlp.gate_up_proj";
    /// `[hidden]`, before `Down`.
    FfnInnerNorm: "blk.{}.ffn_sub_norm", "model.layers.{}.mlp.ffn_sub_norm";
    /// `[dim, hidden]`.
    Down: "blk.{}.ffn_down", "model.layers.{}.mlp.down_proj";
    /// `[dim]`, of what the feed-forward part yields.
    FfnPostNorm: "blk.{}.post_ffw_norm", "model.layers.{}.post_feedforward_layernorm";
    /// `[width, dim]`, the gate of the layer's own input from the token.
    TokenGate: "blk.{}.inp_gate", "model.layers.{}.per_layer_input_gate";
    /// `[dim, width]`.
    TokenProjection: "blk.{}.proj", "model.layers.{}.per_layer_projection";
    /// `[dim]`.
    TokenPostNorm: "blk.{}.post_norm", "model.layers.{}.post_per_layer_input_norm";
    /// `[1]`, a factor of the residual stream.
    OutputScale: "blk.{}.layer_output_scale", "model.layers.{}.layer_scalar";
    /// `[dim]`, before the router of streams.
    StreamNorm: "blk.{}.altup_router_norm", "model.layers.{}.altup.router_norm";
    /// `[streams, dim]`.
    StreamRouter: "blk.{}.altup_router", "model.layers.{}.altup.modality_router";
    /// `[streams * streams, streams]`: weights of the streams in each guess, off the router's values.
    StreamGuess: "blk.{}.altup_predict_coef", "model.layers.{}.altup.prediction_coefs";
    /// `[streams, streams]`: how far each is corrected.
    StreamCorrect: "blk.{}.altup_correct_coef", "model.layers.{}.altup.correction_coefs";
    /// `[dim]`, of the first stream where it gates the token's own input.
    StreamWeight: "blk.{}.altup_correct_scale", "model.layers.{}.altup.correct_output_scale";
    /// `[rank, dim]`, a way around the mixer.
    DetourDown: "blk.{}.laurel_l", "model.layers.{}.laurel.linear_left";
    /// `[dim, rank]`.
    DetourUp: "blk.{}.laurel_r", "model.layers.{}.laurel.linear_right";
    /// `[dim]`, of what it yields.
    DetourNorm: "blk.{}.laurel_post_norm", "model.layers.{}.laurel.post_laurel_norm";
    /// `[queries + keys + values, dim]` of linear attention.
    DeltaQkv: "blk.{}.attn_qkv", "model.layers.{}.linear_attn.in_proj_qkv";
    /// `[values, dim]`.
    DeltaZ: "blk.{}.attn_gate", "model.layers.{}.linear_attn.in_proj_z";
    /// Both, the parts of each key head together.
    DeltaQkvz: "blk.{}.ssm_in", "model.layers.{}.linear_attn.in_proj_qkvz";
    /// `[value_heads, dim]`.
    DeltaBeta: "blk.{}.ssm_beta", "model.layers.{}.linear_attn.in_proj_b";
    /// `[value_heads, dim]`.
    DeltaAlpha: "blk.{}.ssm_alpha", "model.layers.{}.linear_attn.in_proj_a";
    /// Both, the parts of each key head together.
    DeltaBetaAlpha: "blk.{}.ssm_ba", "model.layers.{}.linear_attn.in_proj_ba";
    /// `[queries + keys + values, taps]`.
    DeltaConv: "blk.{}.ssm_conv1d", "model.layers.{}.linear_attn.conv1d";
    /// `[value_heads]`: the rate of decay, or the logarithm of its magnitude.
    DeltaRate: "blk.{}.ssm_a", "model.layers.{}.linear_attn.A_log";
    /// `[value_heads]`.
    DeltaShift: "blk.{}.ssm_dt", "model.layers.{}.linear_attn.dt_bias";
    /// `[value_dim]`.
    DeltaNorm: "blk.{}.ssm_norm", "model.layers.{}.linear_attn.norm";
    /// `[dim, values]`.
    DeltaOut: "blk.{}.ssm_out", "model.layers.{}.linear_attn.out_proj";
    /// `[dim]`, of what the router sees, beside a root of the width.
    RouterScale: "blk.{}.ffn_gate_inp.scale", "model.layers.{}.router.scale";
    /// `[experts]`, factors of their weights.
    ExpertFactors: "blk.{}.ffn_down_exps.scale", "model.layers.{}.router.per_expert_scale";
    /// `[dim]`, before the experts where they have a norm of their own.
    ExpertsNorm: "blk.{}.pre_ffw_norm_2", "model.layers.{}.pre_feedforward_layernorm_2";
    /// `[dim]`, of what the experts yield.
    ExpertsPostNorm: "blk.{}.post_ffw_norm_2", "model.layers.{}.post_feedforward_layernorm_2";
    /// `[dim]`, of what the unit for all tokens yields.
    SharedPostNorm: "blk.{}.post_ffw_norm_1", "model.layers.{}.post_feedforward_layernorm_1";
    /// `[experts, dim]`.
    Router: "blk.{}.ffn_gate_inp", "model.layers.{}.mlp.gate";
    /// `[experts]`, added where experts are chosen.
    ChoiceBias: "blk.{}.exp_probs_b", "model.layers.{}.mlp.gate.e_score_correction_bias";
    /// `[hidden, dim]` of one expert.
    ExpertGate: "blk.{}.ffn_gate.{}", "model.layers.{}.mlp.experts.{}.gate_proj";
    /// `[hidden, dim]` of one expert.
    ExpertUp: "blk.{}.ffn_up.{}", "model.layers.{}.mlp.experts.{}.up_proj";
    /// `[dim, hidden]` of one expert.
    ExpertDown: "blk.{}.ffn_down.{}", "model.layers.{}.mlp.experts.{}.down_proj";
    /// `[experts, hidden, dim]`.
    ExpertsGate: "blk.{}.ffn_gate_exps", "";
    /// `[experts, hidden, dim]`.
    ExpertsUp: "blk.{}.ffn_up_exps", "";
    /// `[experts, 2 * hidden, dim]`, or as the storage says.
    ExpertsGateUp: "blk.{}.ffn_gate_up_exps", "model.layers.{}.mlp.experts.gate_up_proj";
    /// `[experts, dim, hidden]`, or as the storage says.
    ExpertsDown: "blk.{}.ffn_down_exps", "model.layers.{}.mlp.experts.down_proj";
    /// `[experts, 2 * hidden]`, of gates and the other half by turns.
    ExpertsGateUpBias: "", "model.layers.{}.mlp.experts.gate_up_proj_bias";
    /// `[experts, dim]`.
    ExpertsDownBias: "", "model.layers.{}.mlp.experts.down_proj_bias";
    /// `[hidden, dim]` of the unit for all tokens.
    SharedGate: "blk.{}.ffn_gate_shexp", "model.layers.{}.mlp.shared_experts.gate_proj";
    /// `[hidden, dim]`.
    SharedUp: "blk.{}.ffn_up_shexp", "model.layers.{}.mlp.shared_experts.up_proj";
    /// `[dim, hidden]`.
    SharedDown: "blk.{}.ffn_down_shexp", "model.layers.{}.mlp.shared_experts.down_proj";
    /// `[1, dim]`: how much the unit for all tokens counts.
    SharedRouter: "blk.{}.ffn_gate_inp_shexp", "model.layers.{}.mlp.shared_expert_gate";
}

/// Where a family names tensors otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// In GGUF.
    pub gguf: &'static [(Role, &'static str)],
    /// In safetensors.
    pub json: &'static [(Role, &'static str)],
    /// How safetensors hold matrices.
    pub layout: Layout,
    /// Endings of tensors that safetensors may hold and that say nothing.
    pub redundant: &'static [&'static str],
    /// Beginnings of tensors of other parts than the language model.
    pub foreign: &'static [&'static str],
}

/// What multimodal models have beside the language model.
const FOREIGN: &[&str] = &[
    "audio_tower.",
    "model.audio_tower.",
    "model.embed_audio.",
    "model.embed_vision.",
    "model.multi_modal_projector.",
    "model.vision_tower.",
    "multi_modal_projector.",
    "vision_tower.",
];

/// How values of matrices lie in safetensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Output by output.
    Rows,
    /// Input by input: everything but the embeddings is transposed.
    Columns,
    /// Output by output; of queries, keys and values in one, each head's three parts lie together.
    HeadsTakeTurns,
}

impl Names {
    /// All names are the usual ones.
    pub const USUAL: Self =
        Self { gguf: &[], json: &[], layout: Layout::Rows, redundant: &[], foreign: FOREIGN };
}

/// What a model inside another one, or outside one, has before its names: usual beginnings and what stands for them.
const WRAPPINGS: &[&[(&str, &str)]] = &[
    &[("model.", "language_model.model."), ("lm_head", "language_model.lm_head")],
    &[("model.", "model.language_model.")],
    &[("model.", "")],
    &[("transformer.", "")],
    &[("gpt_neox.", "")],
];

/// How the tensors of one checkpoint are named.
#[derive(Clone, Copy, Debug)]
pub struct Naming {
    dialect: Dialect,
    own: &'static [(Role, &'static str)],
    layout: Layout,
    redundant: &'static [&'static str],
    foreign: &'static [&'static str],
    wrapping: &'static [(&'static str, &'static str)],
}

impl Naming {
    /// The names of a family; what they are wrapped in is seen from where the embedding table is.
    pub fn new(checkpoint: &Checkpoint, dialect: Dialect, family: &Family) -> Self {
        let names = family.names;
        let plain = match dialect {
            Dialect::Gguf => Self { own: names.gguf, ..Self::usual(dialect) },
            Dialect::Json => {
                let Names { json: own, layout, redundant, foreign, .. } = names;
                Self { own, layout, redundant, foreign, ..Self::usual(dialect) }
            }
        };
        let fits = |n: &Self| {
            n.find(Role::TokenEmbedding, None, Part::Weight)
                .is_some_and(|name| checkpoint.tensors.contains(&name))
        };
        let wrapped = WRAPPINGS.iter().map(|wrapping| Self { wrapping, ..plain });
        std::iter::once(plain).chain(wrapped).find(fits).unwrap_or(plain)
    }

    /// All names that a family's tensors may have in a dialect, whatever they are wrapped in, and the usual ones: newer releases of
    /// transformers name some modules otherwise than checkpoints do.
    pub fn possible(dialect: Dialect, family: &Family) -> impl Iterator<Item = Self> {
        let own = match dialect {
            Dialect::Gguf => family.names.gguf,
            Dialect::Json => family.names.json,
        };
        let plain = [own, &[]].map(|own| Self { own, ..Self::usual(dialect) });
        let wrapped = |plain: Self| WRAPPINGS.iter().map(move |wrapping| Self { wrapping, ..plain });
        plain.into_iter().flat_map(move |plain| std::iter::once(plain).chain(wrapped(plain)))
    }

    fn usual(dialect: Dialect) -> Self {
        Self { dialect, own: &[], layout: Layout::Rows, redundant: &[], foreign: &[], wrapping: &[] }
    }

    /// How matrices lie.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Tensors that hold nothing but what the metadata says too, or belong to another part than the language model.
    pub fn is_redundant(&self, name: &str) -> bool {
        matches!(name, "rope_freqs.weight" | "rope_factors_long.weight" | "rope_factors_short.weight")
            || name.ends_with("rotary_emb.inv_freq")
            || self.redundant.iter().any(|ending| name.ends_with(ending))
            || self.foreign.iter().any(|beginning| name.starts_with(beginning))
    }

    /// Whether a tensor belongs to one of these layers, by its name.
    pub fn is_of_layers(&self, name: &str, layers: &Range<usize>) -> bool {
        let norm = self.name(Role::MixerNorm, Some(0), Part::Weight);
        let Some((before, _)) = norm.split_once('0') else { return false };
        let number = name.strip_prefix(before).and_then(|rest| rest.split('.').next());
        number.and_then(|n| n.parse().ok()).is_some_and(|n| layers.contains(&n))
    }

    /// The dialect of the names.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The tensor's name; `layer` is `None` for tensors of the whole model. `None` where there is no such tensor in the dialect.
    pub fn find(&self, role: Role, layer: Option<usize>, part: Part) -> Option<String> {
        let own = self.own.iter().find(|(of, _)| *of == role).map(|(_, name)| *name);
        let stem = own.unwrap_or_else(|| role.usual(self.dialect));
        if stem.is_empty() {
            return None;
        }
        let mut name = match layer {
            Some(i) => stem.replacen("{}", &i.to_string(), 1),
            None => stem.to_owned(),
        };
        if let Some((from, to)) = self.wrapping.iter().find(|(from, _)| name.starts_with(from)) {
            name.replace_range(..from.len(), to);
        }
        match part {
            Part::Weight => name.push_str(".weight"),
            Part::Bias => name.push_str(".bias"),
            Part::Bare => {}
        }
        Some(name)
    }

    /// Whether a family names this role otherwise than others.
    pub fn has_own(&self, role: Role) -> bool {
        self.own.iter().any(|(of, _)| *of == role)
    }

    /// A tensor's name without what the model is wrapped in.
    pub fn unwrapped(&self, name: &str) -> String {
        let own = self.wrapping.iter().filter(|(_, to)| name.starts_with(to)).max_by_key(|(_, to)| to.len());
        own.map_or_else(|| name.to_owned(), |(from, to)| format!("{from}{}", &name[to.len()..]))
    }

    /// The name for messages where there may be none.
    pub fn name(&self, role: Role, layer: Option<usize>, part: Part) -> String {
        self.find(role, layer, part).unwrap_or_else(|| format!("{role:?} of layer {layer:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(dialect: Dialect, own: &'static [(Role, &'static str)]) -> Naming {
        Naming { own, ..Naming::usual(dialect) }
    }

    #[test]
    fn names_follow_each_dialect() {
        let name = |n: Naming, r: Role, l| n.name(r, l, Part::Weight);
        assert_eq!(name(naming(Dialect::Gguf, &[]), Role::Query, Some(3)), "blk.3.attn_q.weight");
        let json = naming(Dialect::Json, &[]);
        assert_eq!(name(json, Role::Query, Some(3)), "model.layers.3.self_attn.q_proj.weight");
        assert_eq!(name(json, Role::Head, None), "lm_head.weight");
    }

    #[test]
    fn a_family_may_name_tensors_otherwise() {
        let own = naming(Dialect::Json, &[(Role::Up, "transformer.h.{}.mlp.c_fc")]);
        assert_eq!(own.name(Role::Up, Some(2), Part::Bias), "transformer.h.2.mlp.c_fc.bias");
        let bare = Naming { wrapping: &[("transformer.", "")], ..own };
        assert_eq!(bare.name(Role::Up, Some(2), Part::Bias), "h.2.mlp.c_fc.bias");
        assert_eq!(naming(Dialect::Gguf, &[]).find(Role::FusedGateUp, Some(0), Part::Weight), None);
    }
}
