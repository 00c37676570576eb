//! Models with adapters against models whose weights have them added in: matrices alone, fused, transposed, by turns of heads, in
//! gated units and in the head, from safetensors and from GGUF.

use super::made::{Tensors, Written, folder, noise, tensors_of, write};
use super::on_devices::{self, cpu, loaded, runner};
use super::sharded::shared;
use super::support::{Session, exact, fixtures, max_distance, ways};
use serde_json::json;
use std::path::{Path, PathBuf};
use torchless::{FileType, ModelOptions, Source, convert_to_gguf};
use torchless_formats::gguf::Header;
use torchless_formats::{OpenOptions, open, open_adapter};
use torchless_model::{LoadOptions, ScaledAdapter};
use torchless_quant::TensorType;

const IDS: [u32; 9] = [1, 7, 30, 2, 90, 41, 5, 66, 12];
const RANK: usize = 3;
const ALPHA: f32 = 6.0;

/// A family, how it names a module of each kind, and whether its matrices lie input by input.
struct Case {
    name: &'static str,
    modules: &'static [&'static str],
    columns: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "llama_plain",
        modules: &[
            "self_attn.q_proj",
            "self_attn.v_proj",
            "self_attn.o_proj",
            "mlp.gate_proj",
            "mlp.down_proj",
        ],
        columns: false,
    },
    Case { name: "qwen3", modules: &["self_attn.k_proj", "mlp.up_proj"], columns: false },
    Case { name: "phi3_plain", modules: &["self_attn.qkv_proj", "mlp.gate_up_proj"], columns: false },
    Case { name: "gpt2", modules: &["attn.c_attn", "mlp.c_fc", "attn.c_proj"], columns: true },
    Case { name: "gpt_neox", modules: &["attention.query_key_value", "mlp.dense_h_to_4h"], columns: false },
    Case { name: "gemma3n_text", modules: &["mlp.gate_proj", "laurel.linear_right"], columns: false },
    Case { name: "deepseek_v2_lite", modules: &["self_attn.q_proj", "self_attn.o_proj"], columns: false },
];

/// One pair for a tensor: `[RANK, in]` and `[out, RANK]`.
struct Pair {
    tensor: String,
    down: Vec<f32>,
    up: Vec<f32>,
}

fn pairs(tensors: &Tensors, case: &Case, seed: u64) -> Vec<Pair> {
    let is_one = |name: &&String| case.modules.iter().any(|m| name.ends_with(&format!("{m}.weight")));
    let pair = |(i, name): (usize, &String)| {
        let [a, b] = tensors[name].shape[..] else { panic!("{name} is no matrix") };
        let (out, cols) = if case.columns { (b, a) } else { (a, b) };
        let seed = seed + i as u64;
        Pair { tensor: name.clone(), down: noise(RANK * cols, seed), up: noise(out * RANK, seed + 1000) }
    };
    let found: Vec<_> = tensors.keys().filter(is_one).enumerate().map(pair).collect();
    assert!(found.len() >= case.modules.len(), "{}: {} matrices", case.name, found.len());
    found
}

/// Families whose matrices GGUF has under other names, in another order of rows or in other parts.
const IN_GGUF: &[Case] = &[
    Case { name: "smollm3", modules: &["self_attn.q_proj", "self_attn.k_proj"], columns: false },
    Case { name: "granite", modules: &["self_attn.q_proj", "mlp.up_proj", "lm_head"], columns: false },
    Case { name: "olmo", modules: &["self_attn.k_proj", "self_attn.o_proj"], columns: false },
    Case { name: "phi", modules: &["self_attn.q_proj", "self_attn.dense", "mlp.fc1"], columns: false },
    Case { name: "glm4", modules: &["self_attn.q_proj", "mlp.gate_up_proj"], columns: false },
    Case {
        name: "qwen3_5_text",
        modules: &["linear_attn.in_proj_qkv", "linear_attn.in_proj_a", "linear_attn.out_proj", "q_proj"],
        columns: false,
    },
];

/// Experts one by one, and what chooses among them.
const EXPERTS: &[Case] = &[
    Case {
        name: "mixtral",
        modules: &["experts.1.w1", "experts.3.w2", "block_sparse_moe.gate"],
        columns: false,
    },
    Case { name: "qwen3_moe", modules: &["experts.0.gate_proj", "experts.7.down_proj"], columns: false },
    Case {
        name: "deepseek_v2_lite",
        modules: &["experts.2.up_proj", "shared_experts.down_proj", "kv_b_proj"],
        columns: false,
    },
];

/// Adds `factor * up * down` to each tensor.
fn add(tensors: &mut Tensors, pairs: &[Pair], factor: f32, columns: bool) {
    for pair in pairs {
        let tensor = tensors.get_mut(&pair.tensor).unwrap();
        let (mut values, width) = (tensor.values(), tensor.shape[1]);
        let cols = pair.down.len() / RANK;
        for (i, value) in values.iter_mut().enumerate() {
            let (row, col) = if columns { (i % width, i / width) } else { (i / width, i % width) };
            let sum: f32 = (0..RANK).map(|r| pair.up[row * RANK + r] * pair.down[r * cols + col]).sum();
            *value += factor * sum;
        }
        *tensor = Written::floats(&tensor.shape.clone(), &values);
    }
}

/// The pairs as PEFT writes them.
fn peft(pairs: &[Pair], at: &Path) {
    let mut tensors = Tensors::new();
    for pair in pairs {
        let module = format!("base_model.model.{}", pair.tensor.strip_suffix(".weight").unwrap());
        let (cols, out) = (pair.down.len() / RANK, pair.up.len() / RANK);
        tensors.insert(format!("{module}.lora_A.weight"), Written::floats(&[RANK, cols], &pair.down));
        tensors.insert(format!("{module}.lora_B.weight"), Written::floats(&[out, RANK], &pair.up));
    }
    std::fs::create_dir_all(at).unwrap();
    write(&at.join("adapter_model.safetensors"), &tensors);
    let config =
        json!({"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": ["x"], "bias": "none"});
    std::fs::write(at.join("adapter_config.json"), config.to_string()).unwrap();
}

fn logits(model: &Path, adapters: &[(PathBuf, f32)], options: &ModelOptions) -> Vec<f32> {
    let options = ModelOptions { adapters: adapters.to_vec(), ..options.clone() };
    Session::open(model, &options).prefill(&IDS, 512)
}

#[test]
fn an_adapter_is_as_good_as_weights_with_it_added() {
    let Some(fixtures) = fixtures() else { return };
    for case in CASES.iter().chain(EXPERTS) {
        let base = fixtures.join("goldens").join(case.name);
        let mut tensors = tensors_of(&base);
        let scratch = tempfile::tempdir().unwrap();
        let (first, second) = (pairs(&tensors, case, 1), pairs(&tensors, case, 50));
        let adapters = [(scratch.path().join("a"), 0.05), (scratch.path().join("b"), -0.025)];
        peft(&first, &adapters[0].0);
        peft(&second, &adapters[1].0);
        add(&mut tensors, &first, 0.05 * ALPHA / RANK as f32, case.columns);
        add(&mut tensors, &second, -0.025 * ALPHA / RANK as f32, case.columns);
        let merged = folder(&base, &tensors, |_| {});
        for options in ways(&exact()) {
            let want = logits(merged.path(), &[], &options);
            let plain = max_distance(&logits(&base, &[], &options), &want);
            assert!(plain > 0.01, "{}: the adapters change nothing ({plain})", case.name);
            let distance = max_distance(&logits(&base, &adapters, &options), &want);
            assert!(distance < 2e-4, "{}: {distance} with {options:?}", case.name);
        }
    }
}

#[test]
fn devices_that_share_layers_share_what_stands_beside_them() {
    let Some(fixtures) = fixtures() else { return };
    for case in CASES.iter().chain(EXPERTS) {
        let base = fixtures.join("goldens").join(case.name);
        let scratch = tempfile::tempdir().unwrap();
        peft(&pairs(&tensors_of(&base), case, 7), scratch.path());
        let adapters = [ScaledAdapter { adapter: open_adapter(scratch.path()).unwrap(), scale: 0.05 }];
        let checkpoint = open(&base, &OpenOptions::default()).unwrap();
        let options = LoadOptions { adapters: &adapters, ..LoadOptions::default() };
        let alone = on_devices::logits(loaded(&checkpoint, cpu(), &options));
        let plain = on_devices::logits(runner(&checkpoint, cpu()));
        assert!(max_distance(&alone, &plain) > 0.01, "{}: the adapter changes nothing", case.name);
        let largest = alone.iter().fold(1.0_f32, |largest, x| largest.max(x.abs()));
        for count in [2, 3] {
            let devices = shared((0..count).map(|_| cpu()).collect());
            let together = on_devices::logits(loaded(&checkpoint, devices, &options));
            let distance = max_distance(&alone, &together);
            assert!(distance <= 1e-4 * largest, "{} on {count}: {distance} of {largest}", case.name);
        }
    }
}

/// A model in GGUF, in single precision.
fn in_gguf(model: &Path, at: &Path) -> PathBuf {
    let file = at.join("model.gguf");
    let whole = FileType::from_name("F32").unwrap();
    convert_to_gguf(&Source::Path(model.to_owned()), &file, whole, &mut |_, _| {}).unwrap();
    file
}

#[test]
fn an_adapter_of_peft_is_added_to_a_model_in_gguf() {
    let Some(fixtures) = fixtures() else { return };
    for case in CASES.iter().chain(IN_GGUF).chain(EXPERTS) {
        let base = fixtures.join("goldens").join(case.name);
        let mut tensors = tensors_of(&base);
        let scratch = tempfile::tempdir().unwrap();
        let pairs = pairs(&tensors, case, 3);
        let adapter = scratch.path().join("a");
        peft(&pairs, &adapter);
        add(&mut tensors, &pairs, 0.05 * ALPHA / RANK as f32, case.columns);
        let want = logits(folder(&base, &tensors, |_| {}).path(), &[], &exact());
        let model = in_gguf(&base, scratch.path());
        let plain = max_distance(&logits(&model, &[], &exact()), &want);
        assert!(plain > 0.01, "{}: the adapter changes nothing ({plain})", case.name);
        let distance = max_distance(&logits(&model, &[(adapter, 0.05)], &exact()), &want);
        assert!(distance < 2e-4, "{}: {distance}", case.name);
    }
}

#[test]
fn chunks_change_no_bit_of_a_model_with_adapters() {
    let Some(fixtures) = fixtures() else { return };
    let base = fixtures.join("goldens/llama_plain");
    let scratch = tempfile::tempdir().unwrap();
    peft(&pairs(&tensors_of(&base), &CASES[0], 1), scratch.path());
    for options in ways(&ModelOptions::default()) {
        let options = ModelOptions { adapters: vec![(scratch.path().to_owned(), 0.1)], ..options };
        let mut session = Session::open(&base, &options);
        let whole = session.prefill(&IDS, 512);
        assert_eq!(session.prefill(&IDS, 2), whole, "{options:?}");
    }
}

/// The pairs as llama.cpp's converter writes them.
fn gguf(pairs: &[Pair], names: impl Fn(&str) -> String, at: &Path) {
    let mut header = Header::new();
    for (key, value) in
        [("general.type", "adapter"), ("adapter.type", "lora"), ("general.architecture", "qwen3")]
    {
        header.put(key, value).unwrap();
    }
    header.put("adapter.lora.alpha", ALPHA).unwrap();
    let mut values = Vec::new();
    for pair in pairs {
        let name = names(&pair.tensor);
        let (cols, out) = (pair.down.len() / RANK, pair.up.len() / RANK);
        header.tensor(&format!("{name}.lora_a"), TensorType::F32, &[RANK, cols]).unwrap();
        header.tensor(&format!("{name}.lora_b"), TensorType::F32, &[out, RANK]).unwrap();
        values.extend([&pair.down, &pair.up]);
    }
    let mut writer = header.start(Vec::new()).unwrap();
    for values in values {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        writer.write(&bytes).unwrap();
    }
    std::fs::write(at, writer.finish().unwrap()).unwrap();
}

#[test]
fn an_adapter_in_gguf_is_added_to_a_model_in_gguf() {
    let Some(fixtures) = fixtures() else { return };
    let base = fixtures.join("goldens/qwen3");
    let case =
        Case { name: "qwen3", modules: &["self_attn.q_proj", "mlp.down_proj", "lm_head"], columns: false };
    let mut tensors = tensors_of(&base);
    let pairs = pairs(&tensors, &case, 9);
    add(&mut tensors, &pairs, 0.1 * ALPHA / RANK as f32, false);
    let merged = folder(&base, &tensors, |_| {});
    let scratch = tempfile::tempdir().unwrap();
    let (model, adapter) = (scratch.path().join("m.gguf"), scratch.path().join("a.gguf"));
    let whole = FileType::from_name("F32").unwrap();
    convert_to_gguf(&Source::Path(base), &model, whole, &mut |_, _| {}).unwrap();
    let names = |name: &str| {
        let name = name.replace("model.layers.", "blk.").replace("self_attn.q_proj", "attn_q");
        name.replace("mlp.down_proj", "ffn_down").replace("lm_head", "output")
    };
    gguf(&pairs, names, &adapter);
    let want = logits(merged.path(), &[], &exact());
    for model in [&model, &fixtures.join("goldens/qwen3")] {
        let distance = max_distance(&logits(model, &[(adapter.clone(), 0.1)], &exact()), &want);
        assert!(distance < 2e-4, "{}: {distance}", model.display());
    }
    let error = refusal(&fixtures.join("goldens/llama_plain"), &adapter);
    assert!(error.contains("is for the architecture qwen3, and the model is llama"), "{error}");
}

const QUERY: &str = "model.layers.0.self_attn.q_proj.weight";

fn width(tensors: &Tensors) -> usize {
    tensors[QUERY].shape[1]
}

fn rows(tensors: &Tensors) -> usize {
    tensors[QUERY].shape[0]
}

fn refusal(model: &Path, adapter: &Path) -> String {
    let options = ModelOptions { adapters: vec![(adapter.to_owned(), 1.0)], ..exact() };
    Session::try_open(model, &options).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn adapters_that_do_not_go_with_the_model_are_refused() {
    let Some(fixtures) = fixtures() else { return };
    let base = fixtures.join("goldens/llama_plain");
    let scratch = tempfile::tempdir().unwrap();
    let adapter = |name: &str, pair: Pair| {
        let at = scratch.path().join(name);
        peft(&[pair], &at);
        at
    };
    let pair = |tensor: &str, cols: usize, out: usize| Pair {
        tensor: tensor.to_owned(),
        down: noise(RANK * cols, 1),
        up: noise(out * RANK, 2),
    };
    let error = refusal(&base, &adapter("embedding", pair("model.embed_tokens.weight", 8, 8)));
    assert!(error.contains("'model.embed_tokens.weight', which is no matrix of this model"), "{error}");
    let error = refusal(&base, &adapter("shape", pair("model.layers.0.self_attn.q_proj.weight", 7, 9)));
    assert!(error.contains("[3, 7] and [9, 3] for 'model.layers.0.self_attn.q_proj.weight'"), "{error}");
    let own = tensors_of(&base);
    let copied = adapter("copied", pair("model.layers.0.self_attn.q_proj.weight", width(&own), rows(&own)));
    let file = copied.join("adapter_model.safetensors");
    let mut tensors = tensors_of(&file);
    let head = "base_model.model.lm_head.base_layer.weight".to_owned();
    let values = own["lm_head.weight"].values();
    tensors.insert(head.clone(), Written::floats(&own["lm_head.weight"].shape, &values));
    write(&file, &tensors);
    let with = ModelOptions { adapters: vec![(copied.clone(), 1.0)], ..exact() };
    assert!(Session::try_open(&base, &with).is_ok(), "a copy of the model's own head");
    let other: Vec<f32> = values.iter().map(|v| v + 1.0).collect();
    tensors.insert(head, Written::floats(&own["lm_head.weight"].shape, &other));
    write(&file, &tensors);
    let error = refusal(&base, &copied);
    assert!(error.contains("has another 'lm_head.weight' than the model"), "{error}");
    let error = refusal(&base, &base);
    assert!(error.contains("adapter_model.safetensors"), "{error}");
    let lone = scratch.path().join("lone.safetensors");
    std::fs::copy(scratch.path().join("shape/adapter_model.safetensors"), &lone).unwrap();
    let error = refusal(&base, &lone);
    assert!(error.contains("has no adapter_config.json beside it"), "{error}");
    let error = refusal(&base, &base.join("model.safetensors"));
    assert!(error.contains("adapter_config.json"), "{error}");
}
