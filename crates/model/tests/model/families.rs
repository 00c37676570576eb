//! Families without their files: the same specification from every spelling, and what the decoder asks of a device.
#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use crate::made::{flags, json, number, settled, spec_of_gguf, spec_of_json, tensors_for};
use crate::support::int;
use serde_json::{Value as Json, json as object};
use torchless_base::{BlockId, Logits, Runner, SeqId, StepPlan, TokenId, Wanted};
use torchless_device::{Activation, Recorder};
use torchless_formats::gguf::{Array, Value, ValueType};
use torchless_model::{AttnSpec, Ffn, LoadOptions, Mixer, MlpForm, ModelSpec, RopeScaling, load, spec};

/// Sizes that every family can have.
fn tiny(model_type: &str, more: Json) -> Json {
    let mut all = object!({
        "model_type": model_type, "vocab_size": 10, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64, "head_dim": 4
    });
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

/// The same sizes in GGUF, with `more`.
fn keys<'a>(eps: &'a str, more: &[(&'a str, Value)]) -> Vec<(&'a str, Value)> {
    let mut all = vec![
        ("vocab_size", int(10)),
        ("embedding_length", int(8)),
        ("feed_forward_length", int(12)),
        ("block_count", int(2)),
        ("attention.head_count", int(2)),
        ("attention.head_count_kv", int(1)),
        ("context_length", int(64)),
        ("attention.key_length", int(4)),
        ("attention.value_length", int(4)),
        (eps, number(1e-5)),
    ];
    all.extend(more.iter().cloned());
    all
}

const RMS: &str = "attention.layer_norm_rms_epsilon";
const LAYER: &str = "attention.layer_norm_epsilon";

fn same(gguf: (&str, Vec<(&str, Value)>, &[&str]), configs: &[Json]) -> ModelSpec {
    let expected = settled(spec_of_gguf(gguf.0, &gguf.1, gguf.2).unwrap());
    for config in configs {
        assert_eq!(settled(spec_of_json(config).unwrap()), expected, "{config}");
    }
    expected
}

fn attention(spec: &ModelSpec, layer: usize) -> &AttnSpec {
    match &spec.layers[layer].mixer {
        Mixer::Attention(attn) => attn,
        other => panic!("{other:?}"),
    }
}

#[test]
fn gemma_2_is_the_same_in_every_spelling() {
    let gguf = keys(
        RMS,
        &[
            ("attention.sliding_window", int(16)),
            ("attn_logit_softcapping", number(50.0)),
            ("final_logit_softcapping", number(30.0)),
        ],
    );
    let more = object!({"sliding_window": 16, "query_pre_attn_scalar": 4, "rms_norm_eps": 1e-5});
    let typed = object!({
        "sliding_window": 16, "query_pre_attn_scalar": 4, "rms_norm_eps": 1e-5, "hidden_act": "gelu_pytorch_tanh",
        "layer_types": ["sliding_attention", "full_attention"], "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}
    });
    let spec = same(("gemma2", gguf, &[]), &[tiny("gemma2", more), tiny("gemma2", typed)]);
    assert_eq!((attention(&spec, 0).window, attention(&spec, 1).window), (Some(16), None));
    assert_eq!((attention(&spec, 0).softcap, spec.logit_softcap), (Some(50.0), Some(30.0)));
    assert!(spec.tied_head && spec.embed_scale == 8f32.sqrt());
}

#[test]
fn gemma_3_rotates_layers_that_slide_by_a_base_of_their_own() {
    let gguf = keys(
        RMS,
        &[
            ("attention.sliding_window", int(16)),
            ("attention.sliding_window_pattern", int(2)),
            ("rope.freq_base", number(1e6)),
            ("rope.scaling.type", Value::String("linear".to_owned())),
            ("rope.scaling.factor", number(8.0)),
        ],
    );
    let old = object!({
        "sliding_window": 16, "sliding_window_pattern": 2, "query_pre_attn_scalar": 4, "rms_norm_eps": 1e-5,
        "rope_local_base_freq": 10000.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "attn_logit_softcapping": 2.0
    });
    let new = object!({
        "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"], "query_pre_attn_scalar": 4,
        "rms_norm_eps": 1e-5, "use_bidirectional_attention": false,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}
        }
    });
    let spec = same(("gemma3", gguf, &[]), &[tiny("gemma3_text", old), tiny("gemma3_text", new)]);
    let rope = |layer| attention(&spec, layer).rope.clone().unwrap();
    assert_eq!((rope(0).theta, rope(0).scaling), (10000.0, RopeScaling::None));
    assert_eq!((rope(1).theta, rope(1).scaling), (1e6, RopeScaling::Linear { factor: 8.0 }));
}

#[test]
fn a_multimodal_file_leaves_out_what_transformers_knows() {
    let config = object!({
        "model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "image_token_index": 262144,
        "text_config": {
            "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024
        },
        "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"}
    });
    let spec = spec_of_json(&config).unwrap();
    let attn = attention(&spec, 0);
    assert_eq!((attn.heads, attn.kv_heads, attn.head_dim, attn.window), (8, 4, 256, Some(1024)));
    assert_eq!((spec.vocab, spec.context, spec.tied_head), (262_208, 131_072, true));
    assert_eq!((attention(&spec, 5).window, attention(&spec, 6).window), (None, Some(1024)));
}

#[test]
fn qwen_2_slides_in_upper_layers_where_it_does_at_all() {
    let more = |extra: Json| {
        let mut all = object!({"rms_norm_eps": 1e-5, "sliding_window": 16, "max_window_layers": 1});
        all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        tiny("qwen2", all)
    };
    let gguf = (("qwen2"), keys(RMS, &[]), &["output.weight"][..]);
    same(gguf, &[more(object!({})), more(object!({"use_sliding_window": false}))]);
    let spec = spec_of_json(&more(object!({"use_sliding_window": true}))).unwrap();
    assert_eq!((attention(&spec, 0).window, attention(&spec, 1).window), (None, Some(16)));
    assert!(attention(&spec, 0).qkv_bias && !attention(&spec, 0).out_bias);
}

#[test]
fn command_r_2_rotates_where_it_slides() {
    let window = [("attention.sliding_window", int(16)), ("logit_scale", number(0.25))];
    let gguf =
        keys(LAYER, &[&window[..], &[("attention.sliding_window_pattern", flags(&[true, false]))]].concat());
    let old = object!({"sliding_window": 16, "sliding_window_pattern": 2, "logit_scale": 0.25});
    let new = object!({"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"], "logit_scale": 0.25});
    let spec = same(("cohere2", gguf, &[]), &[tiny("cohere2", old), tiny("cohere2", new)]);
    assert!(attention(&spec, 0).rope.is_some() && attention(&spec, 1).rope.is_none());
}

#[test]
fn longrope_is_known_by_its_lists() {
    let old = |name: &str| {
        object!({
            "rms_norm_eps": 1e-5, "original_max_position_embeddings": 16,
            "rope_scaling": {"type": name, "short_factor": [1.0, 1.5], "long_factor": [2.0, 4.0]}
        })
    };
    let new = object!({
        "rms_norm_eps": 1e-5, "original_max_position_embeddings": 16,
        "rope_parameters": {
            "rope_type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [2.0, 4.0], "rope_theta": 10000.0,
            "original_max_position_embeddings": 16, "partial_rotary_factor": 1.0
        }
    });
    let spec = spec_of_json(&tiny("phi3", new)).unwrap();
    for name in ["longrope", "su", "yarn"] {
        assert_eq!(spec_of_json(&tiny("phi3", old(name))).unwrap(), spec, "{name}");
    }
    assert_eq!(spec.turning_point(), Some(16));
    let Some(RopeScaling::LongRope { magnitudes, .. }) =
        attention(&spec, 0).rope.as_ref().map(|r| &r.scaling)
    else {
        panic!("no longrope")
    };
    let stretch = (1.0 + 4f32.ln() / 16f32.ln()).sqrt();
    assert_eq!(*magnitudes, (stretch, stretch));
    let short =
        object!({"rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [2.0, 4.0]}});
    let error = spec_of_json(&tiny("phi3", short)).unwrap_err().to_string();
    assert!(error.contains("short_factor") && error.contains("a list of 2 finite numbers"), "{error}");
}

/// transformers takes the usual object whole, or that of the file.
#[test]
fn gpt_oss_stretches_where_a_file_does_not_say_how() {
    let scaling = |more: Json| {
        let mut all = object!({"num_local_experts": 4, "num_experts_per_tok": 2});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let spec = spec_of_json(&tiny("gpt_oss", all)).unwrap();
        attention(&spec, 0).rope.as_ref().map(|rope| (rope.theta, rope.scaling.clone())).unwrap()
    };
    let usual = RopeScaling::Yarn {
        factor: 32.0,
        original: 4096,
        beta_fast: 32.0,
        beta_slow: 1.0,
        magnitude: 0.1 * 32f32.ln() + 1.0,
        truncate: false,
    };
    for said in [object!({}), object!({"rope_scaling": null}), object!({"rope_parameters": null})] {
        assert_eq!(scaling(said), (150_000.0, usual.clone()));
    }
    assert_eq!(scaling(object!({"rope_theta": 1e4})), (1e4, usual.clone()));
    let plain = object!({"rope_parameters": {"rope_theta": 1e4}});
    assert_eq!(scaling(plain), (1e4, RopeScaling::None));
    let own = object!({"rope_scaling": {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096}});
    let RopeScaling::Yarn { truncate: true, .. } = scaling(own).1 else { panic!("its own keys count alone") };
}

#[test]
fn experts_without_a_width_have_their_part_of_the_dense_one_where_llama_cpp_says_so() {
    let experts = [("expert_count", int(4)), ("expert_used_count", int(3))];
    let moe = |arch: &str| {
        let spec = spec_of_gguf(arch, &keys(RMS, &experts), &["blk.0.ffn_gate_inp.weight"]).unwrap();
        let Ffn::Experts(moe) = &spec.layers[0].ffn else { panic!("{arch} has experts") };
        (moe.hidden, moe.shared.as_ref().map(|shared| shared.mlp.hidden))
    };
    assert_eq!(moe("qwen2moe"), (4, Some(12)));
    assert_eq!(moe("qwen3moe"), (4, None));
    assert_eq!(moe("llama"), (12, None));
}

/// What llama.cpp's converter copies from `config.json` and llama.cpp does not read.
#[test]
fn yarn_in_gguf_needs_no_more_than_its_factor() {
    let spec = |more: &[(&str, Value)]| {
        let yarn = [
            ("rope.scaling.type", Value::String("yarn".to_owned())),
            ("rope.scaling.factor", number(8.0)),
            ("rope.scaling.original_context_length", int(16)),
        ];
        let more = [&yarn[..], more].concat();
        spec_of_gguf("olmo2", &keys(RMS, &more), &[]).unwrap()
    };
    let beside =
        [("rope.scaling.yarn_attn_factor", number(1.2079)), ("rope.scaling.yarn_ext_factor", number(1.0))];
    assert_eq!(spec(&beside), spec(&[]));
}

/// Whichever family it is, as in llama.cpp; chatglm's converter writes no other form.
#[test]
fn biases_of_queries_keys_and_values_may_be_in_one_tensor() {
    let experts =
        [("expert_count", int(4)), ("expert_used_count", int(2)), ("expert_feed_forward_length", int(4))];
    for arch in ["llama", "chatglm", "glm4", "seed_oss", "qwen2moe", "stablelm", "ernie4_5", "phi3"] {
        let norm = if arch == "stablelm" { LAYER } else { RMS };
        let keys = keys(norm, if arch == "qwen2moe" { &experts } else { &[] });
        let biased = |tensors: &[&str]| {
            let spec = spec_of_gguf(arch, &keys, tensors).unwrap_or_else(|e| panic!("{arch}: {e}"));
            attention(&spec, 0).qkv_bias
        };
        assert!(biased(&["blk.0.attn_qkv.bias"]) && biased(&["blk.0.attn_q.bias"]) && !biased(&[]), "{arch}");
    }
}

#[test]
fn granite_divides_its_logits() {
    let scales = [
        ("attention.scale", number(0.5)),
        ("residual_scale", number(0.25)),
        ("embedding_scale", number(12.0)),
        ("logit_scale", number(8.0)),
    ];
    let more = object!({
        "rms_norm_eps": 1e-5, "attention_multiplier": 0.5, "residual_multiplier": 0.25, "embedding_multiplier": 12.0,
        "logits_scaling": 8.0, "tie_word_embeddings": true
    });
    let spec = same(("granite", keys(RMS, &scales), &[]), &[tiny("granite", more)]);
    assert_eq!(
        (spec.logit_scale, spec.layers[0].residual_scale, attention(&spec, 0).scale),
        (0.125, 0.25, 0.5)
    );
}

#[test]
fn gemma_4_has_heads_of_two_widths_in_both_spellings() {
    let more = |extra: Json| {
        let mut all = object!({
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
            "num_hidden_layers": 4, "num_kv_shared_layers": 2, "hidden_size_per_layer_input": 4, "use_double_wide_mlp": true
        });
        all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        tiny("gemma4_text", all)
    };
    let old = spec_of_json(&more(object!({"global_head_dim": 8}))).unwrap();
    let new = more(object!({"per_layer_config": {"1": {"head_dim": 8}, "3": {"head_dim": 8}}}));
    assert_eq!(spec_of_json(&new).unwrap(), old);
    assert_eq!((attention(&old, 0).head_dim, attention(&old, 1).head_dim), (4, 8));
    for alike in
        [object!({"per_layer_config": {}}), object!({"per_layer_config": null, "global_head_dim": 8})]
    {
        let spec = spec_of_json(&more(alike)).unwrap();
        assert_eq!((attention(&spec, 0).head_dim, attention(&spec, 1).head_dim), (4, 4));
    }
    use torchless_model::KvSource::{Layer, Own};
    let kv: Vec<_> = (0..4).map(|i| attention(&old, i).kv).collect();
    assert_eq!(kv, [Own, Own, Layer(0), Layer(1)]);
}

/// In GGUF the function is llama.cpp's unless the file says that it is exact.
#[test]
fn gelu_is_in_half_precision_in_gguf_alone() {
    let gelu = |spec: &ModelSpec| match &spec.layers[0].ffn {
        Ffn::Dense(mlp) => mlp.form,
        Ffn::Experts(_) => panic!("it has one unit"),
    };
    let of = |more: &[(&str, Value)]| spec_of_gguf("gemma", &keys(RMS, more), &[]);
    assert_eq!(gelu(&of(&[]).unwrap()), MlpForm::Glu(Activation::GeluTanhHalf));
    let exact = [("torchless.activation", Value::from("gelu_pytorch_tanh"))];
    assert_eq!(gelu(&of(&exact).unwrap()), MlpForm::Glu(Activation::GeluTanh));
    let other = [("torchless.activation", Value::from("mish"))];
    assert!(of(&other).unwrap_err().to_string().contains("mish"));
    assert_eq!(gelu(&spec_of_json(&tiny("gemma", object!({}))).unwrap()), MlpForm::Glu(Activation::GeluTanh));
}

#[test]
fn gemma_3n_says_in_gguf_at_how_many_deviations_gates_are_cut() {
    let bytes: Vec<u8> = [1.644_853_5f32, f32::NEG_INFINITY].iter().flat_map(|v| v.to_le_bytes()).collect();
    let cuts = Value::Array(Array::Numbers { ty: ValueType::F32, bytes: bytes.into() });
    let gguf = [
        ("attention.sliding_window", int(16)),
        ("attention.sliding_window_pattern", flags(&[true, false])),
        ("attention.shared_kv_layers", int(0)),
        ("rope.freq_base", number(1e6)),
        ("embedding_length_per_layer_input", int(4)),
        ("altup.num_inputs", int(4)),
        ("altup.active_idx", int(0)),
        ("activation_sparsity_scale", cuts),
    ];
    let more = object!({
        "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 16, "num_kv_shared_layers": 0,
        "hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 10, "activation_sparsity_pattern": [0.95, 0.0],
        "laurel_rank": 1, "rms_norm_eps": 1e-5
    });
    let spec = same(("gemma3n", keys(RMS, &gguf), &["blk.0.laurel_l.weight"]), &[tiny("gemma3n_text", more)]);
    let cut = |layer: usize| match &spec.layers[layer].ffn {
        torchless_model::Ffn::Dense(mlp) => mlp.cut,
        other => panic!("{other:?}"),
    };
    assert_eq!((cut(0), cut(1)), (Some(1.644_853_5), None));
}

#[test]
fn ernie_with_experts_has_a_bias_at_its_head() {
    let spec = |model_type, bias| {
        let more = object!({"use_bias": bias, "moe_num_experts": 2, "moe_k": 1});
        spec_of_json(&tiny(
            model_type,
            if model_type == "ernie4_5" { object!({"use_bias": bias}) } else { more },
        ))
        .unwrap()
    };
    assert!(spec("ernie4_5_moe", true).head_bias && !spec("ernie4_5_moe", false).head_bias);
    assert!(!spec("ernie4_5", true).head_bias);
}

#[test]
fn a_model_may_be_taken_for_another_architecture() {
    let config = tiny("llama_of_tomorrow", object!({"rms_norm_eps": 1e-5}));
    assert!(spec_of_json(&config).is_err());
    let checkpoint = json(&config, &[]);
    let spec = torchless_model::spec_as(&checkpoint, "llama").unwrap();
    assert_eq!(spec, spec_of_json(&tiny("llama", object!({"rms_norm_eps": 1e-5}))).unwrap());
    assert!(torchless_model::spec_as(&checkpoint, "fooformer").is_err());
}

/// A dot within a name parts nothing: neither is such an object another one, nor such a name a key of an object.
#[test]
fn a_dot_may_be_part_of_a_name() {
    let js = object!({"transformers.js_config": {"dtype": "q4", "use_external_data_format": {"model.onnx": true}}});
    let spec = spec_of_json(&tiny("llama", js)).unwrap();
    assert_eq!(spec, spec_of_json(&tiny("llama", object!({}))).unwrap());
    for more in [
        object!({"transformers.js": {"x": 1}}),
        object!({"rope_scaling.factor": 2.0}),
        object!({"vision_config.x": 1}),
        object!({"a\\.b": 1}),
    ] {
        let (key, _) = more.as_object().unwrap().iter().next().unwrap();
        let error = spec_of_json(&tiny("llama", more.clone())).unwrap_err().to_string();
        assert!(error.contains(&format!("unknown key '{key}")), "{error}");
    }
}

#[test]
fn unknown_values_are_refused_by_name() {
    let cases = [
        (tiny("qwen3", object!({"hidden_act": "mish"})), "hidden_act = \"mish\""),
        (tiny("olmo2", object!({"layer_norm_kind": "zero"})), "unknown key 'layer_norm_kind'"),
        (
            tiny("gemma3_text", object!({"use_bidirectional_attention": true})),
            "use_bidirectional_attention = true",
        ),
        (tiny("olmo3", object!({"layer_types": ["sliding_attention", "linear_attention"]})), "layer_types"),
        (tiny("olmo3", object!({"layer_types": ["sliding_attention"]})), "a list of 2 texts"),
        (tiny("gpt2", object!({"add_cross_attention": true})), "add_cross_attention = true"),
        (tiny("glm4", object!({"partial_rotary_factor": 1.5})), "an even part of the 4 values"),
        (
            tiny("gemma3n_text", object!({"altup_active_idx": 1, "num_kv_shared_layers": 0})),
            "altup_active_idx = 1",
        ),
        (
            tiny(
                "gemma3n_text",
                object!({"activation_sparsity_pattern": [1.0, 0.0], "num_kv_shared_layers": 0}),
            ),
            "2 numbers from 0 to below 1",
        ),
        (tiny("bitnet", object!({"quantization_config": {"quant_method": "bitnet"}})), "quantization_config"),
    ];
    for (config, words) in cases {
        let error = spec_of_json(&config).map(|_| ()).expect_err(words).to_string();
        assert!(error.contains(words), "{error}\nlacks: {words}");
    }
}

/// The ops of one step of one token, without what was made before it.
fn transcript(config: &Json) -> String {
    let tensors = tensors_for(config);
    let checkpoint = json(config, &tensors);
    let recorder = Recorder::new();
    let transcript = recorder.transcript();
    let spec = spec(&checkpoint).unwrap();
    let mut runner =
        load(&checkpoint, spec, Box::new(recorder), &LoadOptions::default(), &mut |_, _| {}).unwrap();
    let mut plan = StepPlan::default();
    plan.push((SeqId(1), 0), &[TokenId(1)], &[BlockId(0)], Wanted::Last);
    runner.step(&plan, &mut Logits::default()).unwrap();
    let text = transcript.text();
    text[text.find("begin").unwrap()..].to_owned()
}

#[test]
fn each_family_asks_for_its_own_steps() {
    let none = object!({});
    let cases = [
        ("bitnet", none.clone()),
        ("cohere", object!({"use_qk_norm": true})),
        ("cohere2", object!({"sliding_window_pattern": 2})),
        ("ernie4_5", none.clone()),
        ("exaone4", object!({"sliding_window_pattern": 2})),
        ("gemma", none.clone()),
        ("gemma2", none.clone()),
        ("gemma3_text", object!({"sliding_window_pattern": 2})),
        (
            "gemma3n_text",
            object!({"num_kv_shared_layers": 1, "layer_types": ["full_attention", "full_attention"], "altup_num_inputs": 2,
            "hidden_size_per_layer_input": 4, "laurel_rank": 2, "activation_sparsity_pattern": [0.95, 0.0]}),
        ),
        (
            "gemma4_text",
            object!({"num_kv_shared_layers": 1, "layer_types": ["full_attention", "full_attention"],
            "hidden_size_per_layer_input": 4, "global_head_dim": 4}),
        ),
        ("glm", none.clone()),
        ("glm4", none.clone()),
        (
            "gpt2",
            object!({"n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 16, "num_key_value_heads": null}),
        ),
        ("gpt_neox", object!({"num_key_value_heads": null})),
        ("granite", object!({"residual_multiplier": 0.25})),
        ("olmo", object!({"clip_qkv": 8.0})),
        ("olmoe", object!({"clip_qkv": 8.0, "num_experts": 2, "num_experts_per_tok": 1})),
        ("olmo2", none.clone()),
        ("olmo3", object!({"layer_types": ["sliding_attention", "full_attention"]})),
        ("phi", none.clone()),
        ("phi3", none.clone()),
        ("qwen2", none.clone()),
        ("qwen3", none.clone()),
        ("seed_oss", none.clone()),
        ("smollm3", object!({"no_rope_layers": [1, 0]})),
        ("stablelm", object!({"qk_layernorm": true, "use_parallel_residual": true})),
        ("starcoder2", none.clone()),
    ];
    for (name, more) in cases {
        insta::assert_snapshot!(name, transcript(&tiny(name, more)));
    }
}

#[test]
fn an_architecture_is_named_by_a_text() {
    let said = spec_of_json(&object!({"model_type": 5})).unwrap_err().to_string();
    assert_eq!(said, "'model_type' is 5, expected a text");
    let said = spec_of_json(&object!({})).unwrap_err().to_string();
    assert_eq!(said, "the metadata lacks 'model_type', which every model needs");
}
