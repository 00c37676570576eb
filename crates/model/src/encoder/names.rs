//! Names of an encoder's tensors in `config.json` folders: one table per family.

/// Where a tensor's name begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stem {
    /// In the model without its head: behind the family's prefix where the file has a head.
    Base(&'static str),
    /// Beside it.
    Top(&'static str),
}

/// A matrix of a layer: a tensor, or one of equal parts of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub name: &'static str,
    pub part: usize,
    pub of: usize,
}

/// A whole tensor.
pub(crate) const fn whole(name: &'static str) -> Place {
    Place { name, part: 0, of: 1 }
}

/// Part `part` of `of` equal ones.
pub(crate) const fn part(name: &'static str, part: usize, of: usize) -> Place {
    Place { name, part, of }
}

/// The names of one family, without `.weight` and `.bias`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    /// Before the names of [`Stem::Base`] in files with a head.
    pub prefix: &'static str,
    pub tokens: Stem,
    pub positions: Stem,
    pub types: Stem,
    pub embed_norm: Stem,
    pub projection: Stem,
    /// Before the number of a layer.
    pub layer: &'static str,
    pub query: Place,
    pub key: Place,
    pub value: Place,
    pub attention_out: Place,
    pub attention_norm: &'static str,
    pub gate: Place,
    pub up: Place,
    pub down: Place,
    pub ffn_norm: &'static str,
    pub distances: Stem,
    pub distance_norm: Stem,
    pub distance_key: Place,
    pub distance_query: Place,
    pub conv: Stem,
    pub conv_norm: Stem,
    pub final_norm: Stem,
    pub pooler: Stem,
    pub head_dense: Stem,
    pub head_norm: Stem,
    pub classifier: Stem,
    /// Beginnings of names, behind the prefix or without it, that a checkpoint may have and nothing here needs.
    pub harmless: &'static [&'static str],
}

const NOTHING: Place = whole("");

/// BERT's names: others differ in some.
pub(crate) const BERT: Names = Names {
    prefix: "bert.",
    tokens: Stem::Base("embeddings.word_embeddings"),
    positions: Stem::Base("embeddings.position_embeddings"),
    types: Stem::Base("embeddings.token_type_embeddings"),
    embed_norm: Stem::Base("embeddings.LayerNorm"),
    projection: Stem::Base("embeddings_project"),
    layer: "encoder.layer",
    query: whole("attention.self.query"),
    key: whole("attention.self.key"),
    value: whole("attention.self.value"),
    attention_out: whole("attention.output.dense"),
    attention_norm: "attention.output.LayerNorm",
    gate: NOTHING,
    up: whole("intermediate.dense"),
    down: whole("output.dense"),
    ffn_norm: "output.LayerNorm",
    distances: Stem::Base("encoder.relative_attention_bias"),
    distance_norm: Stem::Base("encoder.LayerNorm"),
    distance_key: NOTHING,
    distance_query: NOTHING,
    conv: Stem::Base("encoder.conv.conv"),
    conv_norm: Stem::Base("encoder.conv.LayerNorm"),
    final_norm: Stem::Base("final_norm"),
    pooler: Stem::Base("pooler.dense"),
    head_dense: Stem::Base("pooler.dense"),
    head_norm: Stem::Top("head.norm"),
    classifier: Stem::Top("classifier"),
    harmless: &["embeddings.position_ids", "embeddings.token_type_ids", "cls.", "pooler."],
};

const ROBERTA_HARMLESS: &[&str] =
    &["embeddings.position_ids", "embeddings.token_type_ids", "lm_head.", "pooler."];

/// RoBERTa and XLM-R: a head of two matrices.
pub(crate) const ROBERTA: Names = Names {
    prefix: "roberta.",
    head_dense: Stem::Top("classifier.dense"),
    classifier: Stem::Top("classifier.out_proj"),
    harmless: ROBERTA_HARMLESS,
    ..BERT
};

/// ELECTRA's discriminator.
pub(crate) const ELECTRA: Names = Names {
    prefix: "electra.",
    head_dense: Stem::Top("classifier.dense"),
    classifier: Stem::Top("classifier.out_proj"),
    harmless: &[
        "embeddings.position_ids",
        "embeddings.token_type_ids",
        "discriminator_predictions.",
        "generator_predictions.",
        "generator_lm_head.",
    ],
    ..BERT
};

/// MPNet.
pub(crate) const MPNET: Names = Names {
    prefix: "mpnet.",
    query: whole("attention.attn.q"),
    key: whole("attention.attn.k"),
    value: whole("attention.attn.v"),
    attention_out: whole("attention.attn.o"),
    attention_norm: "attention.LayerNorm",
    head_dense: Stem::Top("classifier.dense"),
    classifier: Stem::Top("classifier.out_proj"),
    harmless: ROBERTA_HARMLESS,
    ..BERT
};

/// DistilBERT.
pub(crate) const DISTILBERT: Names = Names {
    prefix: "distilbert.",
    layer: "transformer.layer",
    query: whole("attention.q_lin"),
    key: whole("attention.k_lin"),
    value: whole("attention.v_lin"),
    attention_out: whole("attention.out_lin"),
    attention_norm: "sa_layer_norm",
    up: whole("ffn.lin1"),
    down: whole("ffn.lin2"),
    ffn_norm: "output_layer_norm",
    head_dense: Stem::Top("pre_classifier"),
    harmless: &["embeddings.position_ids", "vocab_transform.", "vocab_layer_norm.", "vocab_projector."],
    ..BERT
};

/// ModernBERT: queries, keys and values in one tensor, gate and up in another.
pub(crate) const MODERNBERT: Names = Names {
    prefix: "model.",
    tokens: Stem::Base("embeddings.tok_embeddings"),
    embed_norm: Stem::Base("embeddings.norm"),
    layer: "layers",
    query: part("attn.Wqkv", 0, 3),
    key: part("attn.Wqkv", 1, 3),
    value: part("attn.Wqkv", 2, 3),
    attention_out: whole("attn.Wo"),
    attention_norm: "attn_norm",
    gate: part("mlp.Wi", 0, 2),
    up: part("mlp.Wi", 1, 2),
    down: whole("mlp.Wo"),
    ffn_norm: "mlp_norm",
    head_dense: Stem::Top("head.dense"),
    harmless: &["head.", "decoder."],
    ..BERT
};

/// NomicBERT, as its files are; transformers' own names are made of these.
pub(crate) const NOMIC: Names = Names {
    prefix: "nomic_bert.",
    embed_norm: Stem::Base("emb_ln"),
    layer: "encoder.layers",
    query: part("attn.Wqkv", 0, 3),
    key: part("attn.Wqkv", 1, 3),
    value: part("attn.Wqkv", 2, 3),
    attention_out: whole("attn.out_proj"),
    attention_norm: "norm1",
    gate: whole("mlp.fc12"),
    up: whole("mlp.fc11"),
    down: whole("mlp.fc2"),
    ffn_norm: "norm2",
    harmless: &["embeddings.position_ids", "embeddings.token_type_ids", "rotary_emb.", "cls.", "pooler."],
    ..BERT
};

/// NomicBERT under the names of transformers' classes.
pub(crate) const NOMIC_SPLIT: Names = Names {
    embed_norm: Stem::Base("embeddings.LayerNorm"),
    layer: "layers",
    query: whole("self_attn.q_proj"),
    key: whole("self_attn.k_proj"),
    value: whole("self_attn.v_proj"),
    attention_out: whole("self_attn.o_proj"),
    attention_norm: "post_attention_layernorm",
    gate: whole("mlp.gate_proj"),
    up: whole("mlp.up_proj"),
    down: whole("mlp.down_proj"),
    ffn_norm: "post_mlp_layernorm",
    ..NOMIC
};

/// DeBERTa-v2 and v3.
pub(crate) const DEBERTA: Names = Names {
    prefix: "deberta.",
    projection: Stem::Base("embeddings.embed_proj"),
    query: whole("attention.self.query_proj"),
    key: whole("attention.self.key_proj"),
    value: whole("attention.self.value_proj"),
    distances: Stem::Base("encoder.rel_embeddings"),
    distance_key: whole("attention.self.pos_key_proj"),
    distance_query: whole("attention.self.pos_query_proj"),
    head_dense: Stem::Top("pooler.dense"),
    harmless: &[
        "embeddings.position_ids",
        "embeddings.position_embeddings.",
        "pooler.",
        "cls.",
        "lm_predictions.",
        "mask_predictions.",
    ],
    ..BERT
};

/// BERT in GGUF: queries, keys and values apart.
pub(crate) const GGML: Names = Names {
    prefix: "",
    tokens: Stem::Base("token_embd"),
    positions: Stem::Base("position_embd"),
    types: Stem::Base("token_types"),
    embed_norm: Stem::Base("token_embd_norm"),
    layer: "blk",
    query: whole("attn_q"),
    key: whole("attn_k"),
    value: whole("attn_v"),
    attention_out: whole("attn_output"),
    attention_norm: "attn_output_norm",
    gate: whole("ffn_gate"),
    up: whole("ffn_up"),
    down: whole("ffn_down"),
    ffn_norm: "layer_output_norm",
    final_norm: Stem::Base("output_norm"),
    head_dense: Stem::Top("cls"),
    head_norm: Stem::Top("cls.norm"),
    classifier: Stem::Top("cls.output"),
    harmless: &[],
    ..BERT
};

/// The same with queries, keys and values in one tensor.
pub(crate) const GGML_FUSED: Names = Names {
    query: part("attn_qkv", 0, 3),
    key: part("attn_qkv", 1, 3),
    value: part("attn_qkv", 2, 3),
    ..GGML
};

impl Names {
    /// Whether a tensor of this name may be left out.
    pub(crate) fn is_harmless(&self, name: &str) -> bool {
        let bare = name.strip_prefix(self.prefix).unwrap_or(name);
        self.harmless.iter().any(|start| bare.starts_with(start)) || name.ends_with("rotary_emb.inv_freq")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_left_out_is_named() {
        for name in ["bert.embeddings.position_ids", "cls.predictions.bias", "bert.pooler.dense.weight"] {
            assert!(BERT.is_harmless(name), "{name}");
        }
        for name in ["bert.encoder.layer.0.extra.weight", "classifier.weight", "lm_head.bias"] {
            assert!(!BERT.is_harmless(name), "{name}");
        }
    }
}
