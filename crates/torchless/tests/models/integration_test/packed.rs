//! Folders whose weights are packed codes against folders of the values that these stand for.

use super::made::{Tensors, Written, folder, noise};
use super::support::{Session, exact, fixtures, ways};
use serde_json::json;
use std::path::Path;

const IDS: [u32; 9] = [1, 7, 30, 2, 50, 41, 5, 66, 12];
/// The values of the codes of 4 bits.
const E2M1: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

/// Codes and powers of two of `[experts, rows, cols]`, packed, and their values.
fn microscaled(shape: [usize; 3], seed: u64) -> (Written, Written, Vec<f32>) {
    let [experts, rows, cols] = shape;
    let random = noise(experts * rows * cols, seed);
    let codes: Vec<u8> = random.iter().map(|v| ((v + 1.0) * 7.99) as u8).collect();
    let groups = experts * rows * cols / 32;
    let powers: Vec<u8> = (0..groups).map(|i| 121 + (i * 7 % 5) as u8).collect();
    let value = |(i, code): (usize, &u8)| {
        let size = E2M1[usize::from(code & 7)] * 2f32.powi(i32::from(powers[i / 32]) - 127);
        if code & 8 == 0 { size } else { -size }
    };
    let values = codes.iter().enumerate().map(value).collect();
    let packed = codes.chunks(2).map(|pair| pair[0] | pair[1] << 4).collect();
    let blocks = Written::bytes(&[experts, rows, cols / 32, 16], packed);
    (blocks, Written::bytes(&[experts, rows, cols / 32], powers), values)
}

/// `[n, rows, cols]` as `[n, cols, rows]`.
fn turned([n, rows, cols]: [usize; 3], values: &[f32]) -> Written {
    let value = |i: usize| values[i / (rows * cols) * rows * cols + i % rows * cols + i / rows % cols];
    Written::floats(&[n, cols, rows], &(0..values.len()).map(value).collect::<Vec<_>>())
}

fn same_logits(packed: &Path, whole: &Path) {
    for options in ways(&exact()) {
        let [packed, whole] = [packed, whole].map(|path| Session::open(path, &options).prefill(&IDS, 512));
        assert!(whole.iter().any(|v| v.abs() > 0.01), "nothing was computed");
        let distance = super::support::max_distance(&packed, &whole);
        assert!(distance < 1e-4, "{distance} with {options:?}");
    }
}

/// Tensors of these shapes, of small random values.
fn random(shapes: &[(&str, &[usize])]) -> Tensors {
    let one = |(i, (name, shape)): (usize, &(&str, &[usize]))| {
        let values: Vec<f32> = noise(shape.iter().product(), i as u64).iter().map(|v| v * 0.3).collect();
        ((*name).to_owned(), Written::floats(shape, &values))
    };
    shapes.iter().enumerate().map(one).collect()
}

#[test]
fn packed_experts_are_those_of_their_values() {
    let Some(fixtures) = fixtures() else { return };
    let base = fixtures.join("goldens/gpt_oss");
    let shapes: &[(&str, &[usize])] = &[
        ("model.embed_tokens.weight", &[80, 64]),
        ("model.norm.weight", &[64]),
        ("lm_head.weight", &[80, 64]),
        ("model.layers.0.input_layernorm.weight", &[64]),
        ("model.layers.0.post_attention_layernorm.weight", &[64]),
        ("model.layers.0.self_attn.q_proj.weight", &[64, 64]),
        ("model.layers.0.self_attn.q_proj.bias", &[64]),
        ("model.layers.0.self_attn.k_proj.weight", &[32, 64]),
        ("model.layers.0.self_attn.k_proj.bias", &[32]),
        ("model.layers.0.self_attn.v_proj.weight", &[32, 64]),
        ("model.layers.0.self_attn.v_proj.bias", &[32]),
        ("model.layers.0.self_attn.o_proj.weight", &[64, 64]),
        ("model.layers.0.self_attn.o_proj.bias", &[64]),
        ("model.layers.0.self_attn.sinks", &[4]),
        ("model.layers.0.mlp.router.weight", &[4, 64]),
        ("model.layers.0.mlp.router.bias", &[4]),
        ("model.layers.0.mlp.experts.gate_up_proj_bias", &[4, 128]),
        ("model.layers.0.mlp.experts.down_proj_bias", &[4, 64]),
    ];
    // Gate and up as wide as the model, so that nothing but the packing says which way they lie.
    let sizes = |config: &mut serde_json::Value| {
        for (key, value) in [
            ("vocab_size", 80),
            ("hidden_size", 64),
            ("intermediate_size", 64),
            ("num_hidden_layers", 1),
            ("num_attention_heads", 4),
            ("num_key_value_heads", 2),
            ("head_dim", 16),
            ("num_local_experts", 4),
        ] {
            config[key] = json!(value);
        }
        config["layer_types"] = json!(["full_attention"]);
    };
    let (mut packed, mut whole) = (random(shapes), random(shapes));
    for (i, (name, rows)) in [("gate_up_proj", 128), ("down_proj", 64)].into_iter().enumerate() {
        let name = format!("model.layers.0.mlp.experts.{name}");
        let (blocks, scales, values) = microscaled([4, rows, 64], i as u64);
        whole.insert(name.clone(), turned([4, rows, 64], &values));
        packed.insert(format!("{name}_blocks"), blocks);
        packed.insert(format!("{name}_scales"), scales);
    }
    let whole = folder(&base, &whole, sizes);
    let packed = folder(&base, &packed, |config| {
        sizes(config);
        config["quantization_config"] =
            json!({"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]});
    });
    same_logits(packed.path(), whole.path());
}

/// A BitNet of ternary weights, whole or packed: rows of matrices that are whole blocks of 128.
fn ternary(like: &Tensors, is_packed: bool) -> Tensors {
    let mut out = Tensors::new();
    for (i, (name, tensor)) in like.iter().enumerate() {
        if !name.ends_with("_proj.weight") {
            out.insert(
                name.clone(),
                Written::floats(&tensor.shape, &noise(tensor.bytes.len() / 4, i as u64)),
            );
            continue;
        }
        let [rows, cols] = tensor.shape[..] else { panic!("{name}") };
        let codes: Vec<u8> = noise(rows * cols, i as u64).iter().map(|v| ((v + 1.0) * 1.49) as u8).collect();
        if is_packed {
            let quarter = rows / 4 * cols;
            let byte = |at: usize| (0..4).map(|q| codes[q * quarter + at] << (2 * q)).fold(0, |a, b| a | b);
            out.insert(name.clone(), Written::bytes(&[rows / 4, cols], (0..quarter).map(byte).collect()));
            out.insert(format!("{name}_scale"), Written::floats(&[1], &[0.0625]));
        } else {
            let values: Vec<f32> = codes.iter().map(|code| (f32::from(*code) - 1.0) * 0.0625).collect();
            out.insert(name.clone(), Written::floats(&[rows, cols], &values));
        }
    }
    out
}

#[test]
fn packed_ternary_weights_are_those_of_their_values() {
    let Some(fixtures) = fixtures() else { return };
    let base = fixtures.join("goldens/bitnet");
    let shapes: &[(&str, &[usize])] = &[
        ("model.embed_tokens.weight", &[80, 128]),
        ("model.norm.weight", &[128]),
        ("lm_head.weight", &[80, 128]),
        ("model.layers.0.input_layernorm.weight", &[128]),
        ("model.layers.0.post_attention_layernorm.weight", &[128]),
        ("model.layers.0.self_attn.attn_sub_norm.weight", &[128]),
        ("model.layers.0.mlp.ffn_sub_norm.weight", &[256]),
        ("model.layers.0.self_attn.q_proj.weight", &[128, 128]),
        ("model.layers.0.self_attn.k_proj.weight", &[64, 128]),
        ("model.layers.0.self_attn.v_proj.weight", &[64, 128]),
        ("model.layers.0.self_attn.o_proj.weight", &[128, 128]),
        ("model.layers.0.mlp.gate_proj.weight", &[256, 128]),
        ("model.layers.0.mlp.up_proj.weight", &[256, 128]),
        ("model.layers.0.mlp.down_proj.weight", &[128, 256]),
    ];
    let like = random(shapes);
    let sizes = |config: &mut serde_json::Value| {
        for (key, value) in [
            ("vocab_size", 80),
            ("hidden_size", 128),
            ("intermediate_size", 256),
            ("num_hidden_layers", 1),
            ("num_attention_heads", 4),
            ("num_key_value_heads", 2),
        ] {
            config[key] = json!(value);
        }
        config["head_dim"] = json!(null);
        config["tie_word_embeddings"] = json!(false);
    };
    let whole = folder(&base, &ternary(&like, false), sizes);
    let packed = folder(&base, &ternary(&like, true), |config| {
        sizes(config);
        config["quantization_config"] = json!({"quant_method": "bitnet", "linear_class": "autobitlinear"});
    });
    same_logits(packed.path(), whole.path());
}
