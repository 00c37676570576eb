//! Adapters for the stacked matrices of experts, as PEFT writes them for parameters with three dimensions and as llama.cpp's converter does, against
//! models whose weights have them added in.

use super::made::{Tensors, Written, folder, noise, tensors_of, write};
use super::support::{Session, exact, fixtures, max_distance};
use serde_json::json;
use std::path::Path;
use torchless::{FileType, ModelOptions, Source, convert_to_gguf};
use torchless_formats::gguf::Header;
use torchless_quant::TensorType;

const IDS: [u32; 9] = [1, 7, 30, 2, 90, 41, 5, 66, 12];
const RANK: usize = 2;
const FACTOR: f32 = 0.05;

/// A family with stacked experts in transformers: sizes, where PEFT finds gate and up in one and down, and how a checkpoint names them.
struct Case {
    name: &'static str,
    experts: usize,
    hidden: usize,
    modules: [&'static str; 2],
    stored: Stored,
}

/// How a checkpoint has the matrices of experts.
enum Stored {
    /// Gate, up and down of each.
    Each([&'static str; 3]),
    /// Rows of gates, then of ups; and down.
    Rows([&'static str; 2]),
    /// Columns of gates and ups by turns; and columns of down.
    Columns([&'static str; 2]),
}

const CASES: &[Case] = &[
    Case {
        name: "mixtral",
        experts: 4,
        hidden: 40,
        modules: ["mlp.experts.base_layer", "mlp.experts"],
        stored: Stored::Each([
            "block_sparse_moe.experts.{}.w1",
            "block_sparse_moe.experts.{}.w3",
            "block_sparse_moe.experts.{}.w2",
        ]),
    },
    Case {
        name: "qwen3_moe",
        experts: 8,
        hidden: 16,
        modules: ["mlp.experts.base_layer", "mlp.experts"],
        stored: Stored::Each([
            "mlp.experts.{}.gate_proj",
            "mlp.experts.{}.up_proj",
            "mlp.experts.{}.down_proj",
        ]),
    },
    Case {
        name: "granite_moe",
        experts: 6,
        hidden: 24,
        modules: ["block_sparse_moe.input_linear", "block_sparse_moe.output_linear"],
        stored: Stored::Rows([
            "block_sparse_moe.input_linear.weight",
            "block_sparse_moe.output_linear.weight",
        ]),
    },
    Case {
        name: "gpt_oss",
        experts: 4,
        hidden: 32,
        modules: ["mlp.experts.base_layer", "mlp.experts"],
        stored: Stored::Columns(["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]),
    },
];

const DIM: usize = 48;
const LAYER: &str = "model.layers.1.";

/// What is added to one matrix of all experts: `[experts, RANK, cols]` and `[experts, rows, RANK]`.
struct Pairs {
    rows: usize,
    cols: usize,
    factor: f32,
    down: Vec<f32>,
    up: Vec<f32>,
}

impl Pairs {
    fn new(experts: usize, [rows, cols]: [usize; 2], seed: u64) -> Self {
        let (down, up) = (noise(experts * RANK * cols, seed), noise(experts * rows * RANK, seed + 1));
        Self { rows, cols, factor: FACTOR, down, up }
    }

    fn delta(&self, expert: usize, row: usize, col: usize) -> f32 {
        let of = |r| {
            let down = self.down[(expert * RANK + r) * self.cols + col];
            self.up[(expert * self.rows + row) * RANK + r] * down
        };
        self.factor * (0..RANK).map(of).sum::<f32>()
    }

    /// As PEFT has them: below one another, and side by side for each rank.
    fn peft(&self, experts: usize) -> [Written; 2] {
        let beside = |i: usize| {
            let (row, r, expert) = (i / (RANK * experts), i / experts % RANK, i % experts);
            self.up[(expert * self.rows + row) * RANK + r]
        };
        let up: Vec<f32> = (0..self.up.len()).map(beside).collect();
        [
            Written::floats(&[experts * RANK, self.cols], &self.down),
            Written::floats(&[self.rows, RANK * experts], &up),
        ]
    }
}

fn change(tensors: &mut Tensors, name: &str, delta: impl Fn(usize) -> f32) {
    let tensor = tensors.get_mut(name).unwrap_or_else(|| panic!("there is {name}"));
    let values: Vec<f32> = tensor.values().iter().enumerate().map(|(i, value)| value + delta(i)).collect();
    *tensor = Written::floats(&tensor.shape.clone(), &values);
}

/// Adds the pairs to a checkpoint's weights. Rows of `both` are gates, then ups, or both by turns.
fn merge(tensors: &mut Tensors, case: &Case, both: &Pairs, down: &Pairs) {
    let hidden = case.hidden;
    match &case.stored {
        Stored::Each([gate, up, last]) => {
            for expert in 0..case.experts {
                let name = |stem: &str| format!("{LAYER}{}.weight", stem.replace("{}", &expert.to_string()));
                change(tensors, &name(gate), |i| both.delta(expert, i / DIM, i % DIM));
                change(tensors, &name(up), |i| both.delta(expert, hidden + i / DIM, i % DIM));
                change(tensors, &name(last), |i| down.delta(expert, i / hidden, i % hidden));
            }
        }
        Stored::Rows([first, last]) => {
            let rows = |pairs: &Pairs, i: usize| {
                pairs.delta(i / (pairs.rows * pairs.cols), i / pairs.cols % pairs.rows, i % pairs.cols)
            };
            change(tensors, &format!("{LAYER}{first}"), |i| rows(both, i));
            change(tensors, &format!("{LAYER}{last}"), |i| rows(down, i));
        }
        Stored::Columns([first, last]) => {
            let columns = |pairs: &Pairs, i: usize| {
                pairs.delta(i / (pairs.rows * pairs.cols), i % pairs.rows, i / pairs.rows % pairs.cols)
            };
            change(tensors, &format!("{LAYER}{first}"), |i| columns(both, i));
            change(tensors, &format!("{LAYER}{last}"), |i| columns(down, i));
        }
    }
}

fn logits(model: &Path, adapter: Option<&Path>) -> Vec<f32> {
    let adapters = adapter.map(|path| (path.to_owned(), 1.0)).into_iter().collect();
    Session::open(model, &ModelOptions { adapters, ..exact() }).prefill(&IDS, 512)
}

fn pairs_of(case: &Case) -> [Pairs; 2] {
    [Pairs::new(case.experts, [2 * case.hidden, DIM], 11), Pairs::new(case.experts, [DIM, case.hidden], 23)]
}

/// Writes the pairs as PEFT does, of the version that is given. What gate and up have another factor by is said as PEFT says it of itself.
fn write_peft(case: &Case, pairs: &[Pairs; 2], version: &str, at: &Path) {
    let alpha = |pairs: &Pairs| pairs.factor * RANK as f32;
    let mut tensors = Tensors::new();
    for (module, pairs) in case.modules.iter().zip(pairs) {
        let [down, up] = pairs.peft(case.experts);
        tensors.insert(format!("base_model.model.{LAYER}{module}.lora_A.weight"), down);
        tensors.insert(format!("base_model.model.{LAYER}{module}.lora_B.weight"), up);
    }
    std::fs::create_dir_all(at).unwrap();
    write(&at.join("adapter_model.safetensors"), &tensors);
    let config = json!({
        "peft_type": "LORA", "r": RANK, "lora_alpha": alpha(&pairs[1]), "peft_version": version,
        "alpha_pattern": {r".*\.gate_up_proj": alpha(&pairs[0]), "experts": 1e9},
        "target_parameters": ["experts.gate_up_proj", "experts.down_proj"],
    });
    std::fs::write(at.join("adapter_config.json"), config.to_string()).unwrap();
}

fn in_gguf(model: &Path, file: &Path) {
    let whole = FileType::from_name("F32").unwrap();
    convert_to_gguf(&Source::Path(model.to_owned()), file, whole, &mut |_, _| {}).unwrap();
}

#[test]
fn pairs_for_stacked_experts_are_added_in_whatever_the_model_is_in() {
    let Some(fixtures) = fixtures() else { return };
    for case in CASES {
        let base = fixtures.join("goldens").join(case.name);
        let scratch = tempfile::tempdir().unwrap();
        let (adapter, file) = (scratch.path().join("adapter"), scratch.path().join("model.gguf"));
        let pairs = pairs_of(case);
        write_peft(case, &pairs, "0.21.2", &adapter);
        let mut tensors = tensors_of(&base);
        merge(&mut tensors, case, &pairs[0], &pairs[1]);
        let want = logits(folder(&base, &tensors, |_| {}).path(), None);
        in_gguf(&base, &file);
        for model in [&base, &file] {
            let (plain, own) = (logits(model, None), logits(model, Some(&adapter)));
            assert!(max_distance(&plain, &want) > 0.01, "{}: the adapter changes nothing", case.name);
            let distance = max_distance(&own, &want);
            assert!(distance < 2e-4, "{} from {}: {distance}", case.name, model.display());
        }
    }
}

/// Each of the pairs of one module has the factor of its parameter.
#[test]
fn factors_of_stacked_experts_go_by_the_parameter() {
    let Some(fixtures) = fixtures() else { return };
    for case in CASES.iter().filter(|case| case.modules[1] == "mlp.experts") {
        let base = fixtures.join("goldens").join(case.name);
        let adapter = tempfile::tempdir().unwrap();
        let mut pairs = pairs_of(case);
        pairs[0].factor = 2.0 * FACTOR;
        write_peft(case, &pairs, "0.21.2", adapter.path());
        let mut tensors = tensors_of(&base);
        merge(&mut tensors, case, &pairs[0], &pairs[1]);
        let want = logits(folder(&base, &tensors, |_| {}).path(), None);
        let distance = max_distance(&logits(&base, Some(adapter.path())), &want);
        assert!(distance < 2e-4, "{}: {distance}", case.name);
    }
}

/// Pairs for all experts in three dimensions.
#[test]
fn an_adapter_in_gguf_for_stacked_experts_is_added_in() {
    let Some(fixtures) = fixtures() else { return };
    let case = &CASES[1];
    let base = fixtures.join("goldens").join(case.name);
    let scratch = tempfile::tempdir().unwrap();
    let (adapter, file) = (scratch.path().join("adapter.gguf"), scratch.path().join("model.gguf"));
    let (experts, hidden) = (case.experts, case.hidden);
    let mut header = Header::new();
    for (key, value) in
        [("general.type", "adapter"), ("adapter.type", "lora"), ("general.architecture", "qwen3moe")]
    {
        header.put(key, value).unwrap();
    }
    header.put("adapter.lora.alpha", FACTOR * RANK as f32).unwrap();
    let shapes = [("gate", [hidden, DIM]), ("up", [hidden, DIM]), ("down", [DIM, hidden])];
    let pairs: Vec<_> =
        shapes.iter().zip(1..).map(|((_, shape), i)| Pairs::new(experts, *shape, 31 * i)).collect();
    for ((name, [rows, cols]), _) in shapes.iter().zip(&pairs) {
        let name = format!("blk.1.ffn_{name}_exps.weight");
        header.tensor(&format!("{name}.lora_a"), TensorType::F32, &[experts, RANK, *cols]).unwrap();
        header.tensor(&format!("{name}.lora_b"), TensorType::F32, &[experts, *rows, RANK]).unwrap();
    }
    let mut writer = header.start(Vec::new()).unwrap();
    for values in pairs.iter().flat_map(|pairs| [&pairs.down, &pairs.up]) {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        writer.write(&bytes).unwrap();
    }
    std::fs::write(&adapter, writer.finish().unwrap()).unwrap();
    let mut tensors = tensors_of(&base);
    for expert in 0..experts {
        for ((name, _), pairs) in shapes.iter().zip(&pairs) {
            let name = format!("{LAYER}mlp.experts.{expert}.{name}_proj.weight");
            change(&mut tensors, &name, |i| pairs.delta(expert, i / pairs.cols, i % pairs.cols));
        }
    }
    let want = logits(folder(&base, &tensors, |_| {}).path(), None);
    in_gguf(&base, &file);
    for model in [&base, &file] {
        let distance = max_distance(&logits(model, Some(&adapter)), &want);
        assert!(distance < 2e-4, "from {}: {distance}", model.display());
    }
}
