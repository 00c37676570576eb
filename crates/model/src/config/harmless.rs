//! Keys that say nothing about the arithmetic of a forward pass: a file may hold them, nobody reads them. Some do so in every family and
//! with every value, others in families that do not read them, with the values that are named here.

use super::Value;
use super::value::outermost;

/// Keys of `config.json`: what transformers takes for training, generation, other parts of the model, or leaves unread.
const HARMLESS_JSON: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_flash_attn_2_enabled",
    "_from_model_config",
    "_name_or_path",
    "_num_labels",
    "add_tail_layers",
    "altup_lr_multiplier",
    "architectures",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attention_softmax_in_fp32",
    "attn_implementation",
    "attn_pdrop",
    "audio_config",
    "audio_soft_tokens_per_image",
    "audio_token_id",
    "audio_token_index",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "boa_token_id",
    "boa_token_index",
    "boi_token_id",
    "boi_token_index",
    "bos_token",
    "bos_token_id",
    "bos_token_ids",
    "cache_implementation",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "cls_token_id",
    "compression_ratio",
    "cross_attention_hidden_size",
    "custom_pipelines",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dropout",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "embedding_dropout",
    "encoder_no_repeat_ngram_size",
    "eoa_token_id",
    "eoa_token_index",
    "eoi_token_id",
    "eoi_token_index",
    "eos_token",
    "eos_token_id",
    "eos_token_ids",
    "expert_dropout",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "flash_attn",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "freeze_embedding",
    "fuse_linear",
    "fuse_rms_norm",
    "fuse_softmax_mask",
    "fuse_swiglu",
    "generation_config",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "id2label",
    "ignore_index",
    "ignored_index",
    "image_grid_pinpoints",
    "image_seq_length",
    "image_token_id",
    "image_token_index",
    "initializer_factor",
    "initializer_range",
    "is_composition",
    "is_decoder",
    "is_encoder_decoder",
    "is_llama_config",
    "label2id",
    "layer_switch",
    "length_penalty",
    "line_by_line",
    "mask_token_id",
    "max_length",
    "max_sequence_length",
    "min_length",
    "mlp_type",
    "mm_tokens_per_image",
    "model_max_length",
    "model_type",
    "multimodal_projector_bias",
    "n_ctx",
    "no_repeat_ngram_size",
    "norm_type",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_logits_to_keep",
    "num_return_sequences",
    "order_of_interleaved_layers",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_router_logits",
    "output_scores",
    "pad_token",
    "pad_token_id",
    "position_embedding_type",
    "predict_special_tokens",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "projector_hidden_act",
    "pruned_heads",
    "quant",
    "quantization_config",
    "remove_invalid_values",
    "reorder_and_upcast_attn",
    "repetition_penalty",
    "resid_pdrop",
    "residual_dropout",
    "return_dict",
    "return_dict_in_generate",
    "rope_interleaved",
    "rope_parameters.finetuned",
    "rope_scaling.finetuned",
    "router_aux_loss_coef",
    "scale_attention_softmax_in_fp32",
    "sep_token_id",
    "sliding_window_size",
    "spatial_merge_size",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unk_token",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_embedding_sharing",
    "use_flash_attention",
    "use_flash_attention_2",
    "use_flash_attn",
    "use_gated_activation",
    "use_image_newline_parameter",
    "use_parallel_block",
    "use_parallel_embedding",
    "use_rmsnorm",
    "video_token_id",
    "vision_config",
    "vision_end_token_id",
    "vision_feature_layer",
    "vision_feature_select_strategy",
    "vision_soft_tokens_per_image",
    "vision_start_token_id",
    "vision_token_id",
    "weight_share_add_bias",
    "xla_device",
];

/// Which values of an unread key say nothing.
#[derive(Clone, Copy, Debug)]
enum Idle {
    /// All: transformers' class of these families knows no such key.
    Any,
    /// `false`.
    Off,
    /// `true`.
    On,
    /// 0 and the empty list.
    None,
    /// The factor 1.
    One,
    /// This text.
    Text(&'static str),
}

/// Every family.
const ALL: &[&str] = &[];
const ERNIE: &[&str] = &["ernie4_5", "ernie4_5_moe"];

/// Keys with a say in some families, and what they say where they are not read: families, values, keys. Not here are switches that a
/// part without tensors could hang on, such as `rope_interleave` or `is_causal`: that a family has no key for it does not mean that it
/// computes what the key says.
const UNREAD: &[(&[&str], Idle, &[&str])] = &[
    // Parts with tensors of their own: those of one that is there all the same would be left over, and those of one that a family
    // always has would be missing.
    (
        ALL,
        Idle::Off,
        &[
            "attention_out_bias",
            "attn_bias",
            "attn_output_gate",
            "lm_head_bias",
            "mlp_bias",
            "qk_layernorm",
            "qkv_bias",
            "use_bias",
            "use_qk_norm",
            "use_qkv_bias",
        ],
    ),
    (
        ALL,
        Idle::None,
        &[
            "mlp_only_layers",
            "moe_intermediate_size",
            "n_shared_experts",
            "num_experts",
            "num_kv_shared_layers",
            "num_local_experts",
            "num_nextn_predict_layers",
            "shared_expert_intermediate_size",
        ],
    ),
    // A text has positions of one kind.
    (ALL, Idle::Off, &["use_mrope"]),
    // Nothing is scaled or stretched.
    (
        ALL,
        Idle::One,
        &[
            "embedding_multiplier",
            "logit_scale",
            "logits_scaling",
            "residual_multiplier",
            "rotary_scaling_factor",
        ],
    ),
    // Every layer is the first of one that sees everything, and positions are not interpolated.
    (&["phi3"], Idle::One, &["full_attn_mod", "interpolate_factor"]),
    // Nothing slides in these families, or only where another key says so.
    (&["llama", "qwen3_5_moe_text", "qwen3_5_text", "qwen3_next"], Idle::Off, &["use_sliding_window"]),
    // What other programs do with texts that are longer than those in training.
    (&["qwen2", "qwen3", "qwen3_moe"], Idle::Any, &["dual_chunk_attention_config"]),
    // How texts were kept apart in training.
    (&["mistral"], Idle::Any, &["document_attention"]),
    // Queries and keys are always normed.
    (&["qwen3_moe"], Idle::On, &["use_qk_norm"]),
    // Scores are never scaled by this.
    (&["gemma3n", "gemma3n_text"], Idle::Any, &["query_pre_attn_scalar"]),
    // `partial_rotary_factor` says it.
    (&["phi"], Idle::Any, &["rotary_dim"]),
    // `num_attention_heads` says it.
    (&["stablelm", "stablelm_epoch"], Idle::Any, &["num_heads"]),
    (&["starcoder2"], Idle::On, &["scale_attn_weights"]),
    // The layer that guesses on has names of its own and is left out; experts have what balances them as a tensor.
    (&["ernie4_5_moe"], Idle::Any, &["num_nextn_predict_layers", "moe_use_aux_free"]),
    (&["ernie4_5_moe"], Idle::Text("topk"), &["moe_gate"]),
    (&["ernie4_5_moe"], Idle::Text("softmax"), &["moe_gate_act"]),
    // Training, and how its own program computes.
    (
        ERNIE,
        Idle::Any,
        &[
            "fuse_gate_detach_matmul",
            "fuse_ln",
            "fuse_rope",
            "global_aux_loss",
            "moe_aux_loss_lambda",
            "moe_capacity",
            "moe_group",
            "moe_group_orthogonal_loss",
            "moe_orthogonal_loss_lambda",
            "moe_z_loss_lambda",
            "use_fast_ln",
        ],
    ),
];

impl Idle {
    fn holds(self, value: &Value) -> bool {
        match self {
            Idle::Any => true,
            Idle::Off => *value == Value::Bool(false),
            Idle::On => *value == Value::Bool(true),
            Idle::None => value.whole() == Some(0) || *value == Value::List(Vec::new()),
            Idle::One => value.whole() == Some(1),
            Idle::Text(text) => matches!(value, Value::Text(found) if found == text),
        }
    }
}

/// Whether a key of `config.json` says nothing about the arithmetic of any family.
pub(super) fn is_harmless(key: &str) -> bool {
    HARMLESS_JSON.contains(&key) || HARMLESS_JSON.contains(&outermost(key).as_str())
}

/// Whether a key that an architecture of `config.json` does not read says nothing there, having this value.
pub(super) fn is_idle(arch: &str, key: &str, value: &Value) -> bool {
    let (top, of) = (outermost(key), |families: &[&str]| families.is_empty() || families.contains(&arch));
    let mut rows = UNREAD.iter().filter(|(families, idle, _)| of(families) && idle.holds(value));
    // Of an object that says nothing, no value does; other values are those of keys that stand alone.
    rows.any(|(_, idle, keys)| match idle {
        Idle::Any => keys.contains(&top.as_str()),
        _ => keys.contains(&key),
    })
}

/// Keys under the architecture's prefix that say nothing about the arithmetic. llama.cpp's converter copies the two of YaRN from any model's
/// `config.json`; llama.cpp reads them for Grok alone, which is none of the families here, and has their values from the factor.
pub(super) const HARMLESS_GGUF: &[&str] = &[
    "rope.scaling.finetuned",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_ext_factor",
    "tensor_data_layout",
    "vocab_size",
];
