//! Keys of well-known models' `config.json` as they lie on the hub, beside sizes of a tiny one: names and values that change nothing
//! for their family are passed over, others are refused.
#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use crate::made::{json, spec_of_json, tensors_for};
use serde_json::{Value as Json, json as object};
use torchless_device::Recorder;
use torchless_model::{LoadOptions, load, spec};

/// Sizes that every family can have, with `more`.
fn tiny(model_type: &str, more: &Json) -> Json {
    let mut all = object!({
        "model_type": model_type, "vocab_size": 10, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 4,
        "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 64, "head_dim": 4
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

/// Model, `model_type`, keys that the family reads and that are sizes here, and all others that the file has.
fn published() -> Vec<(&'static str, &'static str, Json, Json)> {
    let experts = object!({"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 4});
    let usual = || {
        object!({
            "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.02, "torch_dtype": "bfloat16",
            "transformers_version": "4.46.1", "use_cache": true
        })
    };
    let with = |more: Json| {
        let mut all = usual();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    vec![
        (
            "Qwen2.5-0.5B",
            "qwen2",
            object!({}),
            with(object!({
                "architectures": ["Qwen2ForCausalLM"], "max_window_layers": 24, "rope_theta": 1e6, "sliding_window": 32768,
                "tie_word_embeddings": true, "use_mrope": false, "use_sliding_window": false
            })),
        ),
        (
            "Qwen2.5-7B-Instruct-1M",
            "qwen2",
            object!({}),
            with(object!({
                "dual_chunk_attention_config":
                    {"chunk_size": 262_144, "local_size": 8192, "original_max_position_embeddings": 262_144}
            })),
        ),
        (
            "Qwen3-Coder-30B-A3B",
            "qwen3_moe",
            experts.clone(),
            with(object!({
                "attention_bias": false, "decoder_sparse_step": 1, "max_window_layers": 28, "mlp_only_layers": [],
                "norm_topk_prob": true, "output_router_logits": false, "qkv_bias": false, "router_aux_loss_coef": 0.0,
                "shared_expert_intermediate_size": 0, "use_qk_norm": true, "use_sliding_window": false
            })),
        ),
        (
            "Qwen3.5-27B",
            "qwen3_5_text",
            object!({
                "linear_key_head_dim": 4, "linear_value_head_dim": 4, "linear_num_key_heads": 2, "linear_num_value_heads": 2
            }),
            with(object!({
                "attn_output_gate": true, "full_attention_interval": 4, "mamba_ssm_dtype": "float32", "mlp_only_layers": [],
                "mtp_num_hidden_layers": 1, "mtp_use_dedicated_embeddings": false, "use_sliding_window": false
            })),
        ),
        (
            "SmolLM2-1.7B-Instruct",
            "llama",
            object!({}),
            with(object!({
                "attention_bias": false, "is_llama_config": true, "mlp_bias": false, "pretraining_tp": 1, "rope_interleaved": false,
                "transformers.js_config": {
                    "dtype": "q4", "kv_cache_dtype": {"q4f16": "float16", "fp16": "float16"},
                    "use_external_data_format": {"model.onnx": true, "model_fp16.onnx": true}
                }
            })),
        ),
        (
            "Yarn-Llama-2",
            "llama",
            object!({}),
            with(object!({
                "rope_scaling": {"factor": 16.0, "finetuned": true, "original_max_position_embeddings": 16, "type": "yarn"}
            })),
        ),
        (
            "DictaLM-2.0",
            "mistral",
            object!({}),
            with(object!({"document_attention": true, "sliding_window": 4096})),
        ),
        (
            "phi-1",
            "phi",
            object!({}),
            with(object!({
                "attention_bias": false, "auto_map": {"AutoConfig": "configuration_phi.PhiConfig"}, "embd_pdrop": 0.0,
                "partial_rotary_factor": 0.5, "qk_layernorm": false, "resid_pdrop": 0.0, "rope_scaling": null, "rotary_dim": 32
            })),
        ),
        (
            "Phi-4-mini-instruct",
            "phi3",
            object!({
                "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.0], "long_factor": [2.0, 2.0]}
            }),
            with(object!({
                "_name_or_path": "Phi-4-mini-instruct", "attention_bias": false, "embd_pdrop": 0.0, "full_attn_mod": 1,
                "interpolate_factor": 1, "lm_head_bias": false, "mlp_bias": false, "original_max_position_embeddings": 16,
                "partial_rotary_factor": 0.75, "resid_pdrop": 0.0, "sliding_window": 262_144
            })),
        ),
        (
            "Phi-mini-MoE-instruct",
            "phimoe",
            object!({"num_local_experts": 4, "num_experts_per_tok": 2}),
            with(object!({
                "expert_dropout": 0.0, "input_jitter_noise": 0.01, "lm_head_bias": true, "router_jitter_noise": 0.01
            })),
        ),
        (
            "gemma-3n-E4B",
            "gemma3n",
            object!({
                "num_kv_shared_layers": 0, "vocab_size_per_layer_input": 10, "hidden_size_per_layer_input": 4, "laurel_rank": 2,
                "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
            }),
            with(object!({
                "altup_active_idx": 0, "altup_coef_clip": 120.0, "altup_correct_scale": true, "altup_lr_multiplier": 1.0,
                "audio_soft_tokens_per_image": 188, "query_pre_attn_scalar": 256, "rope_local_base_freq": 1e4,
                "vision_soft_tokens_per_image": 256
            })),
        ),
        (
            "gemma-4-26B-A4B",
            "gemma4_text",
            object!({
                "global_head_dim": 4, "hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 10
            }),
            with(object!({"image_token_id": 9, "vision_soft_tokens_per_image": 280})),
        ),
        (
            "StarCoder2-3B",
            "starcoder2",
            object!({}),
            with(object!({
                "activation_function": "gelu", "attention_softmax_in_fp32": true, "embedding_dropout": 0.1,
                "hidden_act": "gelu_pytorch_tanh", "layer_norm_epsilon": 1e-5, "mlp_type": "default", "norm_epsilon": 1e-5,
                "norm_type": "layer_norm", "residual_dropout": 0.1, "scale_attention_softmax_in_fp32": true,
                "scale_attn_weights": true, "use_bias": true
            })),
        ),
        (
            "stablelm-3b-4e1t",
            "stablelm",
            object!({"partial_rotary_factor": 0.5}),
            with(object!({
                "norm_eps": 1e-5, "num_heads": 32, "rotary_scaling_factor": 1.0, "use_qkv_bias": false
            })),
        ),
        (
            "ERNIE-4.5-21B-A3B",
            "ernie4_5_moe",
            object!({
                "moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 4, "moe_num_shared_experts": 1
            }),
            with(object!({
                "moe_capacity": [64, 64, 64], "moe_gate": "topk", "moe_layer_interval": 1, "moe_layer_start_index": 1,
                "moe_use_aux_free": true, "num_nextn_predict_layers": 1, "use_bias": false, "use_rmsnorm": true
            })),
        ),
        (
            "distilgpt2",
            "gpt2",
            object!({
                "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16, "num_key_value_heads": null
            }),
            object!({
                "_num_labels": 1, "activation_function": "gelu_new", "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0},
                "n_ctx": 1024, "summary_activation": null, "summary_proj_to_labels": true, "summary_type": "cls_index",
                "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}}
            }),
        ),
        (
            "dolly-v2-3b",
            "gpt_neox",
            object!({"num_key_value_heads": null, "rotary_pct": 1.0}),
            with(object!({
                "custom_pipelines": {"text-generation": {"impl": "instruct_pipeline.InstructionTextGenerationPipeline"}},
                "rotary_emb_base": 10000, "use_parallel_residual": true
            })),
        ),
    ]
}

#[test]
fn what_files_of_the_hub_have_beside_is_passed_over() {
    for (name, model_type, sizes, beside) in published() {
        let mut all = sizes.clone();
        all.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
        spec_of_json(&tiny(model_type, &all)).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn the_part_of_a_multimodal_model_needs_nothing_of_the_whole() {
    let text = tiny("mistral", &object!({}));
    let whole = object!({
        "model_type": "mistral3", "image_grid_pinpoints": [[336, 672]], "image_seq_length": 576, "image_token_index": 10,
        "ignore_index": -100, "multimodal_projector_bias": false, "projector_hidden_act": "gelu", "spatial_merge_size": 2,
        "use_image_newline_parameter": true, "vision_feature_layer": -1, "vision_feature_select_strategy": "full",
        "vision_config": {"hidden_size": 1024, "model_type": "pixtral"}, "text_config": text.clone()
    });
    assert_eq!(spec_of_json(&whole).unwrap(), spec_of_json(&text).unwrap());
}

/// The value decides, and the family does.
#[test]
fn the_same_keys_are_refused_where_they_may_change_something() {
    let cases = [
        ("qwen2", object!({"use_mrope": true}), "unknown key 'use_mrope' = true"),
        ("qwen2", object!({"is_causal": false}), "unknown key 'is_causal' = false"),
        ("llama", object!({"attention_chunk_size": 128}), "unknown key 'attention_chunk_size' = 128"),
        ("llama", object!({"rope_interleave": false}), "unknown key 'rope_interleave'"),
        ("llama", object!({"qkv_bias": true}), "unknown key 'qkv_bias' = true"),
        ("llama", object!({"qkv_bias": 0}), "unknown key 'qkv_bias' = 0"),
        ("llama", object!({"use_qk_norm": true}), "unknown key 'use_qk_norm' = true"),
        ("llama", object!({"residual_multiplier": 0.5}), "unknown key 'residual_multiplier' = 0.5"),
        ("llama", object!({"query_pre_attn_scalar": 256}), "unknown key 'query_pre_attn_scalar'"),
        ("llama", object!({"num_heads": 2}), "unknown key 'num_heads'"),
        ("llama", object!({"rope_scaling": {"tuned": true}}), "unknown key 'rope_scaling.tuned'"),
        ("mistral", object!({"use_sliding_window": false}), "unknown key 'use_sliding_window'"),
        ("phi3", object!({"full_attn_mod": 2}), "unknown key 'full_attn_mod' = 2"),
        ("phi3", object!({"lm_head_bias": {"x": false}}), "unknown key 'lm_head_bias.x'"),
        ("stablelm", object!({"rotary_scaling_factor": 2.0}), "unknown key 'rotary_scaling_factor' = 2"),
        ("starcoder2", object!({"scale_attn_weights": false}), "unknown key 'scale_attn_weights' = false"),
        ("ernie4_5", object!({"moe_gate": "topk"}), "unknown key 'moe_gate'"),
    ];
    for (model_type, more, words) in cases {
        let error = spec_of_json(&tiny(model_type, &more)).map(|_| ()).expect_err(words).to_string();
        assert!(error.contains(words), "{error}\nlacks: {words}");
    }
}

/// Which keys may go where a `config.json` is written.
#[test]
fn idle_keys_are_named_and_read_ones_are_not() {
    let config = tiny(
        "llama",
        &object!({"attention_bias": false, "qkv_bias": false, "use_mrope": false, "use_cache": true}),
    );
    assert_eq!(torchless_model::idle_keys(&json(&config, &[])).unwrap(), ["qkv_bias", "use_mrope"]);
}

/// transformers' class leaves out what begins with `mtp`.
#[test]
fn the_layer_of_ernie_that_guesses_on_is_left_out() {
    let more = object!({"moe_num_experts": 2, "moe_k": 1, "moe_intermediate_size": 4, "num_nextn_predict_layers": 1});
    let config = tiny("ernie4_5_moe", &more);
    let mut tensors = tensors_for(&config);
    for name in ["mtp_block.0.mlp.up_proj.weight", "mtp_linear_proj.0.weight", "mtp_emb_norm.0.weight"] {
        tensors.push((format!("model.{name}"), vec![8]));
    }
    let loaded = |tensors: &[(String, Vec<usize>)]| {
        let checkpoint = json(&config, tensors);
        let spec = spec(&checkpoint).unwrap();
        load(&checkpoint, spec, Box::new(Recorder::new()), &LoadOptions::default(), &mut |_, _| {})
            .map(|_| ())
    };
    loaded(&tensors).unwrap();
    tensors.push(("model.extra.weight".to_owned(), vec![8]));
    assert!(
        loaded(&tensors)
            .unwrap_err()
            .to_string()
            .contains("1 tensors are unused, the first is 'model.extra.weight'")
    );
}
