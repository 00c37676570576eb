//! Specifications and loads that must fail, and the transcript of one that works.
#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use crate::support::{DIM, Filled, HEADS, HIDDEN, Tiny, VOCAB, int, logits};
use torchless_base::{Logits, Runner, SeqId, StepPlan, TokenId, Wanted};
use torchless_device::Recorder;
use torchless_formats::gguf::Value;
use torchless_model::{LoadOptions, Mixer, ModelError, RopeScaling, RunnerOptions, load, spec};

fn try_load(tiny: &Tiny) -> Result<(), ModelError> {
    let checkpoint = tiny.checkpoint();
    let spec = spec(&checkpoint)?;
    load(&checkpoint, spec, Box::new(Recorder::new()), &LoadOptions::default(), &mut |_, _| {}).map(drop)
}

fn error(tiny: Tiny) -> String {
    try_load(&tiny).map_err(|e| e.to_string()).expect_err("it has to be refused")
}

#[test]
fn a_whole_model_loads_and_reports_progress() {
    let checkpoint = Tiny::llama().checkpoint();
    let spec = spec(&checkpoint).unwrap();
    assert_eq!((spec.vocab, spec.dim, spec.layers.len(), spec.tied_head), (VOCAB, DIM, 2, false));
    let mut seen = Vec::new();
    let mut progress = |done, total| seen.push((done, total));
    load(&checkpoint, spec, Box::new(Recorder::new()), &LoadOptions::default(), &mut progress).unwrap();
    let &(done, total) = seen.last().unwrap();
    assert_eq!(done, total);
    assert!(seen.is_sorted(), "progress goes forward");
}

#[test]
fn missing_unused_and_misshapen_tensors_are_named() {
    let name = "blk.1.ffn_up.weight";
    assert_eq!(error(Tiny::llama().tensor(name, None)), format!("tensor '{name}' is missing"));
    let wrong = error(Tiny::llama().tensor(name, Some(&[3, DIM])));
    assert_eq!(wrong, format!("tensor '{name}' is [3, 8], the metadata asks for [12, 8]"));
    let unused = error(Tiny::llama().tensor("blk.1.attn_q_norm.weight", Some(&[DIM])));
    assert!(unused.contains("'blk.1.attn_q_norm.weight'"), "{unused}");
    let beyond = error(Tiny::llama().tensor("blk.2.attn_norm.weight", Some(&[DIM])));
    assert!(beyond.contains("unused"), "{beyond}");
}

#[test]
fn metadata_that_makes_no_model_is_refused_with_the_key() {
    let text = |s: &str| Value::String(s.to_owned());
    let cases = [
        (
            Tiny::llama().with("general.architecture", text("fooformer")),
            "unknown architecture 'fooformer' (known: ",
        ),
        (Tiny::llama().without("general.architecture"), "general.architecture"),
        (Tiny::llama().without("llama.embedding_length"), "'llama.embedding_length'"),
        (Tiny::llama().with("llama.attention.head_count", int(0)), "'llama.attention.head_count' is 0"),
        (Tiny::llama().with("llama.attention.head_count", int(3)), "llama.attention.head_count"),
        (Tiny::llama().with("llama.attention.head_count_kv", int(0)), "llama.attention.head_count_kv"),
        (Tiny::llama().with("llama.attention.head_count_kv", int(4)), "a divisor of the 2 query heads"),
        (Tiny::llama().with("llama.attention.key_length", int(0)), "llama.attention.key_length"),
        (Tiny::llama().with("llama.rope.dimension_count", int(3)), "even"),
        (Tiny::llama().with("llama.rope.dimension_count", int(6)), "llama.rope.dimension_count"),
        (Tiny::llama().with("llama.block_count", int(1 << 30)), "llama.block_count"),
        (Tiny::llama().with("llama.block_count", text("two")), "llama.block_count"),
        (Tiny::llama().with("llama.attention.layer_norm_rms_epsilon", Value::F32(f32::NAN)), "finite"),
        (Tiny::llama().with("llama.rope.freq_base", Value::F32(-1.0)), "llama.rope.freq_base"),
        (Tiny::llama().with("llama.rope.scaling.type", text("linear")), "llama.rope.scaling.factor"),
        (Tiny::llama().with("llama.rope.scaling.type", text("spiral")), "llama.rope.scaling.type"),
        (Tiny::llama().with("llama.expert_count", int(8)), "lacks 'llama.expert_used_count'"),
        (
            Tiny::llama().with("llama.expert_count", int(8)).with("llama.expert_used_count", int(9)),
            "'llama.expert_used_count' is 9, expected a whole number from 1 to 8",
        ),
        (Tiny::llama().with("llama.expert_count", int(1 << 20)), "llama.expert_count"),
        (Tiny::llama().with("llama.attention.new_idea", int(1)), "unknown key 'llama.attention.new_idea'"),
    ];
    for (tiny, words) in cases {
        let error = error(tiny);
        assert!(error.contains(words), "{error}\nlacks: {words}");
    }
}

#[test]
fn an_unknown_scaling_is_named_with_the_known_ones() {
    let tiny = Tiny::llama()
        .with("llama.rope.scaling.type", Value::String("spiral".to_owned()))
        .with("llama.rope.scaling.factor", Value::F32(2.0));
    let error = error(tiny);
    assert!(error.contains("spiral") && error.contains("yarn"), "{error}");
}

/// As llama.cpp reads them: files of 2023 have another name and no type.
#[test]
fn a_factor_of_positions_is_linear_where_no_type_says_otherwise() {
    let scaling = |keys: &[(&str, Value)]| {
        let with =
            |tiny: Tiny, (key, value): &(&str, Value)| tiny.with(&format!("llama.rope.{key}"), value.clone());
        let spec = spec(&keys.iter().fold(Tiny::llama(), with).checkpoint()).unwrap();
        let Mixer::Attention(attn) = &spec.layers[0].mixer else { panic!("attention") };
        attn.rope.clone().unwrap().scaling
    };
    let ty = |name: &str| ("scaling.type", Value::String(name.to_owned()));
    let (factor, older) = (("scaling.factor", Value::F32(4.0)), ("scale_linear", Value::F32(2.0)));
    let linear = |factor| RopeScaling::Linear { factor };
    assert_eq!(scaling(std::slice::from_ref(&factor)), linear(4.0));
    assert_eq!(scaling(std::slice::from_ref(&older)), linear(2.0));
    assert_eq!(scaling(&[ty("linear"), older.clone()]), linear(2.0));
    assert_eq!(scaling(&[factor.clone(), older]), linear(4.0));
    assert_eq!(scaling(&[ty("none"), factor]), RopeScaling::None);
}

#[test]
fn a_context_beyond_what_dynamic_scaling_allows_is_refused() {
    let tiny = Tiny::llama()
        .with("llama.rope.scaling.type", Value::String("dynamic".to_owned()))
        .with("llama.rope.scaling.factor", Value::F32(2.0));
    let checkpoint = tiny.checkpoint();
    let spec = spec(&checkpoint).unwrap();
    let runner = RunnerOptions { max_seq_len: Some(65), ..RunnerOptions::default() };
    let options = LoadOptions { runner, ..LoadOptions::default() };
    let error = load(&checkpoint, spec, Box::new(Recorder::new()), &options, &mut |_, _| {}).err().unwrap();
    assert!(error.to_string().contains("65") && error.to_string().contains("64"), "{error}");
}

#[test]
fn a_plan_that_does_not_fit_is_refused_by_the_runner() {
    let checkpoint = Tiny::llama().checkpoint();
    let spec = spec(&checkpoint).unwrap();
    let mut runner =
        load(&checkpoint, spec, Box::new(Recorder::new()), &LoadOptions::default(), &mut |_, _| {}).unwrap();
    let mut plan = StepPlan::default();
    plan.push((SeqId(0), 0), &[TokenId(VOCAB as u32)], &[], Wanted::Last);
    let error = runner.step(&plan, &mut Logits::default()).unwrap_err();
    assert!(error.to_string().contains("token 10 is not in the vocabulary of 10"), "{error}");
}

/// LLaMA with biases of queries, keys and values.
fn with_biases() -> Tiny {
    let mut tiny = Tiny::llama();
    for i in 0..2 {
        for (name, rows) in [("attn_q", DIM), ("attn_k", DIM / HEADS), ("attn_v", DIM / HEADS)] {
            tiny.tensors.push((format!("blk.{i}.{name}.bias"), vec![rows]));
        }
    }
    tiny
}

/// The tensors with these parts of queries, keys and values one below the other in one.
fn fused(tensors: &[Filled], parts: &[&str]) -> Vec<Filled> {
    let mut out = tensors.to_vec();
    for (i, part) in (0..2).flat_map(|i| parts.iter().map(move |part| (i, part))) {
        let of = |name: &str| tensors.iter().find(|t| t.name == format!("blk.{i}.{name}.{part}")).unwrap();
        let each = ["attn_q", "attn_k", "attn_v"].map(of);
        let mut whole = Filled { name: format!("blk.{i}.attn_qkv.{part}"), ..each[0].clone() };
        whole.shape[0] = each.iter().map(|t| t.shape[0]).sum();
        whole.values = each.iter().flat_map(|t| t.values.clone()).collect();
        out.retain(|t| each.iter().all(|part| part.name != t.name));
        out.push(whole);
    }
    out
}

#[test]
fn fused_queries_keys_and_values_compute_the_same_with_their_biases() {
    let tiny = with_biases();
    let apart = tiny.filled();
    let expected = logits(&tiny.checkpoint());
    assert_ne!(expected, logits(&Tiny::llama().checkpoint()), "biases count");
    for parts in [&["weight", "bias"][..], &["weight"]] {
        assert_eq!(logits(&tiny.checkpoint_of(&fused(&apart, parts))), expected, "{parts:?}");
    }
}

/// Three experts of which each token meets two, stacked as llama.cpp's converter does it.
fn mixture() -> Tiny {
    let mut tiny = Tiny::llama().with("llama.expert_count", int(3)).with("llama.expert_used_count", int(2));
    for i in 0..2 {
        for part in ["gate", "up", "down"] {
            tiny = tiny.tensor(&format!("blk.{i}.ffn_{part}.weight"), None);
        }
        let mut stack = |part: &str, shape: &[usize]| {
            tiny.tensors.push((format!("blk.{i}.{part}.weight"), shape.to_vec()));
        };
        stack("ffn_gate_inp", &[3, DIM]);
        stack("ffn_gate_exps", &[3, HIDDEN, DIM]);
        stack("ffn_up_exps", &[3, HIDDEN, DIM]);
        stack("ffn_down_exps", &[3, DIM, HIDDEN]);
    }
    tiny
}

#[test]
fn experts_are_loaded_from_stacks_and_named_when_something_is_wrong() {
    try_load(&mixture()).unwrap();
    let cases = [
        (mixture().tensor("blk.1.ffn_up_exps.weight", None), "tensor 'blk.1.ffn_up_exps.weight' is missing"),
        (
            mixture().tensor("blk.0.ffn_down_exps.weight", Some(&[2, DIM, HIDDEN])),
            "tensor 'blk.0.ffn_down_exps.weight' is [2, 8, 12], the metadata asks for [3, 8, 12]",
        ),
        (mixture().tensor("blk.0.ffn_gate_inp.weight", Some(&[4, DIM])), "blk.0.ffn_gate_inp.weight"),
        (mixture().tensor("blk.0.ffn_gate.weight", Some(&[HIDDEN, DIM])), "unused"),
    ];
    for (tiny, words) in cases {
        let error = error(tiny);
        assert!(error.contains(words), "{error}\nlacks: {words}");
    }
}
