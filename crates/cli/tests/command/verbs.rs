//! The verbs beside running a model.

use super::remake::Remake;
use super::support::{
    NATIVE, STORY, assert_refused, command, finish, json, output, root, run, run_with, text,
};
use serde_json::Value;
use std::path::Path;
use torchless::{ModelOptions, Scorer, Source, TokenId};

#[test]
fn backends_are_listed() {
    let list = output(&["--list-backends", "--threads", "2"]);
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[0].starts_with("cpu  ") && lines[0].ends_with("2 threads"), "{list}");
    // Each of the others has its devices, or says why not and what would help.
    for (name, system) in [("CUDA", "any"), ("ROCm", "any"), ("Metal", "macos"), ("OpenCL", "any")] {
        let of = |line: &&str| line.starts_with(&name.to_lowercase());
        let line = lines.iter().find(|line| of(line)).unwrap_or_else(|| panic!("{name} in {list}"));
        let refused = line.contains(&format!("{name} cannot be used: ")) && line.ends_with(')');
        let device = line[name.len()..].trim_start().starts_with("0  ");
        assert!(refused || (device && (system == "any" || cfg!(target_os = "macos"))), "{line}");
    }
}

#[test]
fn backends_are_listed_for_programs() {
    for option in ["--json", "--jsonl"] {
        let list: Value =
            serde_json::from_str(&output(&["--list-backends", "--threads", "2", option])).unwrap();
        assert_eq!((&list["event"], &list["threads"]), (&"backends".into(), &2.into()));
        let names: Vec<_> = list["backends"].as_array().unwrap().iter().map(|b| &b["name"]).collect();
        assert!(names.contains(&&"cuda".into()), "{list}");
    }
}

/// The first of these backends that this machine lacks.
fn absent() -> Option<&'static str> {
    let list = output(&["--list-backends"]);
    let lacks =
        |name: &str| list.lines().any(|line| line.starts_with(name) && line.contains("cannot be used"));
    ["cuda", "rocm", "metal"].into_iter().find(|name| lacks(name))
}

#[test]
fn a_backend_that_is_not_there_is_an_error_and_never_the_cpu() {
    let Some(name) = absent() else { return };
    let ids = ["logits", STORY, "--ids", "1,482", "--output", "never-written", "--backend", name];
    for words in [&["--prompt", "x", "--backend", name][..], &ids, &["bench", STORY, "--backend", name]] {
        assert_refused(&run(words), 2, &["cannot be used"]);
    }
    assert!(!Path::new("never-written").exists());
    assert_refused(&run(&["--prompt", "x", "--backend", "cpu", "--gpu-layers", "3"]), 2, &["no GPU layers"]);
    assert_refused(&run(&["--prompt", "x", "--gpu-memory-fraction", "1.5"]), 2, &["1.5"]);
    assert_refused(&run(&["--prompt", "x", "--split", "tensor"]), 2, &["--device 0,1"]);
    let nowhere = ["--prompt", "x", "--backend", name, "--gpu-layers", "0"];
    assert_refused(&run(&nowhere), 2, &["cannot be used"]);
}

#[test]
fn a_cache_is_counted_in_the_type_that_a_run_would_take() {
    let needs = &json(&["doctor", NATIVE])["model"]["needs"];
    let bytes = |name: &str| needs[name][0][1].as_u64().unwrap();
    assert_eq!(bytes("caches"), 2 * bytes("gpu_caches"), "{needs}");
}

/// Whether OpenCL leads to a device here; says so where it does not.
fn has_opencl() -> bool {
    let found = output(&["--list-backends"]).lines().any(|line| line.starts_with("opencl  0"));
    if !found {
        eprintln!("skipped: OpenCL has no device");
    }
    found
}

#[test]
fn the_model_inside_tells_the_same_story_on_opencl_and_in_parts() {
    if !has_opencl() {
        return;
    }
    let tell = |more: &[&str]| {
        let words = ["--prompt", "Once upon a time", "--temperature", "0", "-n", "40", "--quiet", "--exact"];
        output(&[&words[..], more].concat())
    };
    let cpu = tell(&["--backend", "cpu"]);
    assert!(cpu.len() > 40, "{cpu}");
    assert_eq!(tell(&["--backend", "opencl"]), cpu);
    assert_eq!(tell(&["--backend", "opencl", "--gpu-layers", "2"]), cpu);
    assert_eq!(tell(&["--backend", "opencl", "--gpu-layers", "0"]), cpu);
}

#[test]
fn what_would_lie_where_is_shown_and_what_does_not_fit_is_refused() {
    if !has_opencl() {
        return;
    }
    let shown = output(&["inspect", STORY, "--backend", "opencl", "--gpu-layers", "3"]);
    let placement = shown.split_once("\nplacement\n").unwrap().1;
    let starts: Vec<&str> = placement.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(starts, ["embeddings", "layers 0 to 1", "layers 2 to 4", "head"]);
    assert!(
        placement.lines().nth(1).unwrap().contains("CPU") && placement.contains("OpenCL 0"),
        "{placement}"
    );
    let tiny = ["--prompt", "x", "--backend", "opencl", "--gpu-memory-fraction", "0.000001"];
    assert_refused(&run(&tiny), 4, &["of its layers fit"]);
    assert_refused(&run(&["--prompt", "x", "--backend", "opencl", "--device", "77"]), 2, &["no device 77"]);
}

#[test]
fn inspect_shows_what_a_file_holds() {
    insta::assert_snapshot!("inspect_native", output(&["inspect", NATIVE, "--tensors"]));
}

#[test]
fn inspect_is_there_as_json() {
    let report = json(&["inspect", STORY]);
    assert_eq!((&report["format"], &report["model"]["runs"]), (&"GGUF".into(), &true.into()));
    assert_eq!(report["model"]["architecture"], "llama");
    let bytes = std::fs::metadata(root().join(STORY)).unwrap().len();
    assert_eq!(report["files"][0]["bytes"], bytes);
    let tensors = report["tensors"].as_array().unwrap();
    assert!(tensors.iter().any(|t| t["name"] == "token_embd.weight" && t["type"] == "Q8_0"));
    assert_eq!(report["metadata"]["general.architecture"], "llama");
    let need = report["model"]["memory"].as_array().unwrap().last().unwrap();
    let (weights, cache) = (need["weights"].as_u64().unwrap(), need["cache"].as_u64().unwrap());
    assert!(weights > 1_000_000 && weights < bytes && cache > 0);
    assert_eq!((&need["resident"], &need["mapped"]), (&(weights + cache).into(), &cache.into()));
    assert_eq!(report["chat_template"], Value::Null);
}

#[cfg(unix)]
#[test]
fn a_name_that_is_no_text_is_shown_as_well_as_it_can_be() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join(std::ffi::OsStr::from_bytes(b"bad\xff.gguf"));
    std::fs::copy(root().join(STORY), &model).unwrap();
    let mut command = command(&["inspect", "--json"]);
    command.arg(&model);
    let ran = finish(command);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert!(report["files"][0]["path"].as_str().unwrap().ends_with("bad\u{fffd}.gguf"), "{report}");
}

#[test]
fn inspect_counts_memory_for_the_context_that_a_run_would_have() {
    let needs = |positions: &str| {
        let report = json(&["inspect", STORY, "--max-seq-len", positions]);
        let need = report["model"]["memory"].as_array().unwrap().last().unwrap().clone();
        (need["context"].as_u64().unwrap(), need["cache"].as_u64().unwrap())
    };
    let (few, many) = (needs("100"), needs("4096"));
    assert_eq!((few.0, many), (100, (4096, few.1 / 100 * 4096)));
    assert_eq!(needs(&usize::MAX.to_string()).1, u64::MAX);
}

#[test]
fn inspect_shows_what_cannot_run_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let model =
        Remake::story().with("general.architecture", "nonsense").write(&folder.path().join("strange.gguf"));
    let ran = run(&["inspect", text(&model)]);
    assert_eq!(ran.code, Some(3));
    assert!(
        ran.out.contains("runs       no") && ran.out.contains("token_embd") | ran.out.contains("Q8_0"),
        "{}",
        ran.out
    );
    assert!(ran.err.contains("nonsense") && ran.err.contains("llama"), "{}", ran.err);
    let ran = run(&["inspect", text(&model), "--json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &report["model"]["runs"]), (Some(3), &false.into()));
    assert!(report["model"]["error"].as_str().unwrap().contains("nonsense"));
}

#[test]
fn inspect_prints_nothing_that_a_terminal_obeys() {
    let folder = tempfile::tempdir().unwrap();
    let model =
        Remake::story().with("general.name", "\u{1b}]0;owned\u{7}name").write(&folder.path().join("m.gguf"));
    let out = output(&["inspect", text(&model)]);
    assert!(out.contains("general.name") && !out.contains(['\u{1b}', '\u{7}']), "{out}");
}

#[test]
fn text_becomes_tokens_and_text_again() {
    for model in [STORY, NATIVE] {
        for words in ["Once upon a time", "naïve café 東京 🦀", "  two  spaces\nand lines\t", "x"] {
            let ids = output(&["tokenize", "--ids", "--no-special", model, words]);
            let ids = ids.trim();
            assert_eq!(output(&["detokenize", model, ids]), format!("{words}\n"), "{model} {ids}");
            let apart: Vec<_> = ids.split(',').collect();
            let lines = output(&["tokenize", "--no-special", model, words]);
            let first: Vec<_> = lines.lines().map(|l| l.split('\t').next().unwrap()).collect();
            assert_eq!(first, apart);
            assert_eq!(output(&[&["detokenize", model], &apart[..]].concat()), format!("{words}\n"));
            let piped = run_with(&["tokenize", "--ids", "--no-special", model], words.as_bytes());
            assert_eq!(piped.out.trim(), ids);
        }
        let plain = output(&["tokenize", "--ids", "--no-special", model, "day"]);
        assert_eq!(output(&["tokenize", "--ids", model, "day"]), format!("1,{plain}"));
        let marked = output(&["tokenize", "--ids", model, "day</s>"]);
        assert_eq!(marked.trim().rsplit(',').next(), Some("2"), "{marked}");
        let as_text = output(&["tokenize", "--ids", "--no-special", model, "day</s>"]);
        assert!(as_text.trim().split(',').all(|id| id != "2"), "{as_text}");
    }
}

/// What the command wrote to a file, as floats.
fn logits(model: &str, ids: &str, more: &[&str]) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("logits.f32");
    let words = [&["logits", model, "--ids", ids, "--output", text(&file), "--threads", "1"], more].concat();
    assert_eq!(output(&words), "");
    let bytes = std::fs::read(file).unwrap();
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

#[test]
fn logits_are_the_librarys() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("ids.txt");
    std::fs::write(&list, "1 300\n301, 302\t5\n").unwrap();
    let ids = [1, 300, 301, 302, 5].map(TokenId);
    for (more, options) in [
        (&[][..], ModelOptions::default()),
        (
            &["--exact"][..],
            ModelOptions { precision: torchless::RunPrecision::Exact, ..ModelOptions::default() },
        ),
    ] {
        let options = ModelOptions { threads: Some(1), max_seq_len: Some(5), ..options };
        let source = Source::Path(root().join(STORY));
        let mut scorer = Scorer::open(&source, &options, &mut |_, _| {}).unwrap();
        let mut want = Vec::new();
        let mut each = |rows: &[f32]| {
            want.extend_from_slice(rows);
            Ok(())
        };
        scorer.score(&ids, &mut each).unwrap();
        assert_eq!(want.len(), ids.len() * scorer.spec().vocab);
        assert_eq!(logits(STORY, "1,300,301,302,5", more), want);
        assert_eq!(logits(STORY, &format!("@{}", list.display()), more), want);
    }
}

#[test]
fn logits_leave_nothing_behind_where_they_fail() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out");
    for model in ["no-such-model", "Cargo.toml"] {
        assert_refused(&run(&["logits", model, "--ids", "1", "--output", text(&file)]), 3, &[model]);
        assert!(!file.exists());
    }
    let nowhere = folder.path().join("no/such/folder/out");
    assert_refused(&run(&["logits", STORY, "--ids", "1", "--output", text(&nowhere)]), 1, &[text(&nowhere)]);
}

/// A Mistral in safetensors with random weights, without a tokenizer.
fn safetensors(folder: &Path) {
    let (dim, hidden, heads, kv_heads, vocab) = (64usize, 128usize, 4usize, 2usize, 96usize);
    let config = serde_json::json!({
        "model_type": "mistral", "architectures": ["MistralForCausalLM"], "hidden_size": dim, "intermediate_size": hidden,
        "num_hidden_layers": 2, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "max_position_embeddings": 128, "rope_theta": 10000.0, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        "vocab_size": vocab, "sliding_window": null, "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": 2,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let kv = dim / heads * kv_heads;
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocab, dim]),
        ("model.norm.weight".to_owned(), vec![dim]),
        ("lm_head.weight".to_owned(), vec![vocab, dim]),
    ];
    for layer in 0..2 {
        for (name, shape) in [
            ("input_layernorm", vec![dim]),
            ("post_attention_layernorm", vec![dim]),
            ("self_attn.q_proj", vec![dim, dim]),
            ("self_attn.k_proj", vec![kv, dim]),
            ("self_attn.v_proj", vec![kv, dim]),
            ("self_attn.o_proj", vec![dim, dim]),
            ("mlp.gate_proj", vec![hidden, dim]),
            ("mlp.up_proj", vec![hidden, dim]),
            ("mlp.down_proj", vec![dim, hidden]),
        ] {
            tensors.push((format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in tensors {
        let start = data.len();
        for i in 0..shape.iter().product::<usize>() {
            // Multiples of 1/64 between -1/2 and 1/2, without a pattern that rows share.
            let x = (((i + start) * 2_654_435_761 % 4_294_967_296) >> 26) as f32 / 64.0 - 0.5;
            data.extend((x / 4.0).to_le_bytes());
        }
        let entry =
            serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] });
        header.insert(name, entry);
    }
    let header = Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.extend(data);
    std::fs::write(folder.join("model.safetensors"), file).unwrap();
}

#[test]
fn gguf_is_converted_to_the_other_formats() {
    let folder = tempfile::tempdir().unwrap();
    let [hub, bin] = ["hub", "story.bin"].map(|name| folder.path().join(name));
    let tell = |model: &str| {
        let logits = folder.path().join("logits.f32");
        output(&["logits", model, "--ids", "1,482,515", "--exact", "--output", text(&logits)]);
        std::fs::read(&logits).unwrap()
    };
    let near = |a: &[u8], b: &[u8]| {
        let values = |bytes: &[u8]| -> Vec<f32> {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        };
        a.len() == b.len() && values(a).iter().zip(values(b)).all(|(a, b)| (a - b).abs() < 1e-4)
    };
    let want = tell(STORY);
    for made in [&hub, &bin] {
        assert_eq!(output(&["convert", STORY, text(made)]), "");
        assert!(near(&tell(text(made)), &want), "{}", made.display());
    }
    assert_refused(&run(&["convert", STORY, text(&hub)]), 2, &["is not empty"]);
    assert_refused(&run(&["convert", STORY, "x.safetensors"]), 2, &["new folder"]);
    assert_refused(&run(&["convert", text(&bin), text(&folder.path().join("again"))]), 2, &["native .bin"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left beside");
}

#[test]
fn what_is_read_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (model, encoder) = (path("model"), path("encoder"));
    std::fs::create_dir_all(folder.path().join("encoder/1_Pooling")).unwrap();
    std::fs::create_dir(&model).unwrap();
    safetensors(Path::new(&model));
    for entry in std::fs::read_dir(root().join("tests/fixtures/test_encoder")).unwrap() {
        let entry = entry.unwrap().path();
        std::fs::copy(&entry, Path::new(&encoder).join(entry.file_name().unwrap())).unwrap();
    }
    std::fs::copy(root().join(STORY), path("story.bin")).unwrap();
    std::fs::write(path("ids"), "1,2").unwrap();
    std::fs::write(path("adapter.gguf"), "an adapter").unwrap();
    std::fs::write(path("encoder/1_Pooling/config.json"), "{\"pooling_mode\": \"cls\"}").unwrap();
    let refused = |words: &[&str], output: &str| {
        let before = std::fs::read(output).unwrap();
        assert_refused(&run(words), 2, &[output, "is read from"]);
        assert_eq!(std::fs::read(output).unwrap(), before, "{words:?}");
    };
    let (story, ids, adapter) = (path("story.bin"), path("ids"), path("adapter.gguf"));
    let config = path("model/config.json");
    refused(&["convert", &story, &story], &story);
    refused(&["convert", &model, &config], &config);
    refused(&["quantize", &model, &config, "Q8_0"], &config);
    refused(&["logits", &model, "--ids", "1", "--output", &config], &config);
    refused(&["logits", &story, "--ids", &format!("@{ids}"), "--output", &ids], &ids);
    refused(&["logits", &story, "--ids", "1", "--lora", &adapter, "--output", &adapter], &adapter);
    for name in ["config.json", "tokenizer.json", "1_Pooling/config.json"] {
        let file = path(&format!("encoder/{name}"));
        refused(&["embed", &encoder, "--ids", "1", "--output", &file], &file);
    }
    refused(&["embed", &encoder, "--ids", &format!("@{ids}"), "--output", &ids], &ids);
}

#[test]
fn a_converted_model_computes_the_same() {
    let folder = tempfile::tempdir().unwrap();
    safetensors(folder.path());
    let (input, bin) = (text(folder.path()), folder.path().join("out.bin"));
    let ids = "1,5,90,17,33,2,64";
    let want = logits(input, ids, &["--exact"]);
    assert_eq!(want.len(), 7 * 96);
    let distance = |got: &[f32]| got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(want.iter().any(|x| x.abs() > 0.1), "logits that say something");

    assert_eq!(output(&["convert", input, text(&bin)]), "");
    assert_eq!(logits(text(&bin), ids, &["--exact"]), want);
    assert_eq!(json(&["inspect", text(&bin)])["model"]["runs"], true);
    let plain = std::fs::metadata(&bin).unwrap().len();

    output(&["convert", input, text(&bin), "--quant", "int8"]);
    let apart = distance(&logits(text(&bin), ids, &["--exact"]));
    assert!(apart > 0.0 && apart < 0.05, "{apart}");
    assert!(std::fs::metadata(&bin).unwrap().len() < plain);
}

/// Changes the JSON object in a file, or makes one.
fn change(file: &Path, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|_| "{}".to_owned());
    let mut object = serde_json::from_str(&text).unwrap();
    change(&mut object);
    std::fs::write(file, Value::Object(object).to_string()).unwrap();
}

#[test]
fn a_native_file_says_which_window_the_model_has() {
    let folder = tempfile::tempdir().unwrap();
    safetensors(folder.path());
    let (input, bin) = (text(folder.path()), folder.path().join("out.bin"));
    let config = folder.path().join("config.json");
    for (family, shown) in [("mistral", true), ("ernie4_5", false)] {
        change(&config, |config| {
            config.remove("sliding_window");
            config.insert("model_type".to_owned(), family.into());
            config.insert("max_position_embeddings".to_owned(), 8192.into());
            config.insert("head_dim".to_owned(), 16.into());
        });
        output(&["convert", input, text(&bin)]);
        for model in [input, text(&bin)] {
            assert_eq!(output(&["inspect", model]).contains("window 4096"), shown, "{family}: {model}");
        }
    }
}

#[test]
fn a_native_file_keeps_what_lies_beside_the_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let [hub, bin] = ["hub", "out.bin"].map(|name| folder.path().join(name));
    output(&["convert", STORY, text(&hub)]);
    let tell = |model: &Path| {
        let words = [text(model), "One day", "--max-tokens", "12", "--temperature", "0", "--exact"];
        json(&words)["token_ids"].as_array().unwrap().clone()
    };
    let told = tell(&hub);
    change(&hub.join("tokenizer_config.json"), |config| {
        config.insert("tokenizer_class".to_owned(), "LlamaTokenizer".into());
        config.insert("add_bos_token".to_owned(), false.into());
        config.insert("add_eos_token".to_owned(), true.into());
    });
    let tokens = |model: &Path| output(&["tokenize", text(model), "One day", "--ids"]);
    output(&["convert", text(&hub), text(&bin)]);
    assert_eq!(tokens(&bin), tokens(&hub));
    assert_ne!(tokens(&bin), tokens(Path::new(STORY)), "the settings change the tokens");

    change(&hub.join("tokenizer_config.json"), |config| drop(config.remove("add_bos_token")));
    change(&hub.join("tokenizer_config.json"), |config| drop(config.remove("add_eos_token")));
    change(&hub.join("generation_config.json"), |config| {
        config.insert("eos_token_id".to_owned(), told[5].clone());
    });
    output(&["convert", text(&hub), text(&bin)]);
    assert_eq!(tell(&bin), tell(&hub));
    assert!(tell(&bin).len() < told.len(), "the reply ends at the token that ends it");
}

#[test]
fn convert_refuses_options_for_another_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name)).to_owned();
    for output in [path("out.gguf"), path("out")] {
        let ran = run(&["convert", STORY, &output, "--quant", "int8"]);
        assert_refused(&ran, 2, &["--quant is for .bin", "--type"]);
    }
    let ran = run(&["convert", STORY, &path("out.bin"), "--type", "F32"]);
    assert_refused(&ran, 2, &["--type is for GGUF", "--quant"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was begun");
}

#[test]
fn a_model_without_a_tokenizer_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    safetensors(folder.path());
    let path = text(folder.path());
    assert_refused(&run(&[path, "hello"]), 2, &["no tokenizer", "tokenizer.json"]);
    assert_refused(&run(&["tokenize", path, "hello"]), 2, &["no tokenizer"]);
}

#[test]
fn what_cannot_be_converted_is_refused_and_the_old_file_kept() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.bin");
    std::fs::write(&out, "old").unwrap();
    safetensors(folder.path());
    let config = folder.path().join("config.json");
    let spoiled = std::fs::read_to_string(&config).unwrap().replace("mistral", "nonsense");
    std::fs::write(&config, spoiled).unwrap();
    assert_refused(&run(&["convert", text(folder.path()), text(&out)]), 3, &["nonsense"]);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "no other file is left");
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let [hub, story] = ["hub", "story"].map(path);
    std::fs::create_dir(&hub).unwrap();
    safetensors(&hub);
    output(&["convert", STORY, text(&story)]);
    std::fs::copy(story.join("tokenizer.json"), hub.join("tokenizer.json")).unwrap();
    std::fs::write(path("text.txt"), "One day. ".repeat(99)).unwrap();
    let (model, words) = (text(&hub), path("text.txt"));
    let [gguf, bin, out] = ["out.gguf", "out.bin", "out"].map(|name| text(&path(name)).to_owned());
    for words in [
        vec!["convert", model, &gguf],
        vec!["convert", model, &bin],
        vec!["quantize", model, &gguf, "Q8_0"],
        vec!["perplexity", model, text(&words), "-c", "8"],
        vec!["imatrix", model, text(&words), &out, "-c", "8"],
    ] {
        let ran = run(&words);
        assert_refused(&ran, 3, &["1280 tokens, the model 96", "do not belong together"]);
    }
    assert!(!path("out.gguf").exists() && !path("out.bin").exists());
    std::fs::write(hub.join("tokenizer.json"), "{}").unwrap();
    let broken = run(&["tokenize", model, "One day"]);
    assert_refused(&broken, 3, &[&format!("{model}: tokenizer: tokenizer.json: ")]);
}

#[test]
fn bench_refuses_options_on_random_weights_for_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("made.gguf");
    for (option, value) in [("--write", text(&file)), ("--type", "Q8_0")] {
        assert_refused(
            &run(&["bench", STORY, option, value]),
            2,
            &[option, "give --shape instead of a model"],
        );
    }
}

#[test]
fn one_token_has_no_standard_error() {
    let words = ["perplexity", STORY, "README.md", "-c", "4", "--chunks", "1"];
    let out = output(&words);
    assert!(out.ends_with(" (1 tokens scored)\n") && !out.contains("+/-"), "{out}");
    assert_eq!(json(&words)["standard_error"], Value::Null);
}

#[test]
fn bench_refuses_what_it_cannot_measure() {
    let beyond = usize::MAX.to_string();
    let words = ["bench", STORY, "-p", "1", "-n", "2"];
    assert_refused(&run(&[&words[..], &["-d", &beyond]].concat()), 2, &[&beyond, "positions"]);
    let short = [&words[..], &["-d", "5", "--max-seq-len", "6"]].concat();
    assert_refused(&run(&short), 2, &["7 positions", "--max-seq-len 6"]);
    assert_refused(&run(&["bench", STORY, "-p", "0", "-n", "0"]), 2, &["nothing to measure"]);
}

#[test]
fn bench_says_where_it_goes_beyond_what_the_model_was_trained_for() {
    let ran = run(&["bench", STORY, "-p", "600", "-n", "0", "-r", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("a context of 600 is more than the 512"), "{}", ran.err);
}

#[test]
fn bench_says_how_many_sequences_a_step_takes() {
    let ran = run(&["bench", STORY, "-b", "600", "-p", "1", "-n", "1", "-r", "1"]);
    assert_refused(&ran, 2, &["600 sequences at once are more than the"]);
}

#[test]
fn a_template_that_is_no_text_or_empty_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("chat.jinja");
    let words = [STORY, "One day", "--chat-template", text(&template)];
    std::fs::write(&template, b"{{ messages }}\xff").unwrap();
    assert_refused(&run(&words), 3, &["chat.jinja is not UTF-8"]);
    std::fs::write(&template, b" \n").unwrap();
    assert_refused(&run(&words), 2, &["chat.jinja is empty, and no chat template"]);
}

#[test]
fn what_llama_cpp_cannot_do_names_both_options_for_it() {
    let ran = run(&["logits", STORY, "--ids", "1", "--output", "out", "--llama-lib", "nowhere"]);
    assert_refused(&ran, 2, &["leave --engine and --llama-lib out"]);
}

#[test]
fn bench_measures_a_model() {
    let report = json(&["bench", STORY, "-p", "16", "-n", "4", "-r", "2", "-t", "1", "-b", "2", "-d", "3"]);
    for key in [
        "model",
        "device",
        "threads",
        "weight_bytes",
        "bytes_per_token",
        "load_seconds",
        "ceilings",
        "results",
    ] {
        assert!(!report[key].is_null(), "{key} is not in {report}");
    }
    for ceiling in ["read_gbps", "int8_gops", "f32_gflops"] {
        assert!(report["ceilings"][ceiling].as_f64().unwrap() > 0.0, "{report}");
    }
    let results = report["results"].as_array().unwrap();
    let names: Vec<_> = results.iter().map(|r| r["test"].as_str().unwrap()).collect();
    assert_eq!(names, ["pp16@d3x2", "tg4@d3x2"]);
    for result in results {
        assert_eq!(result["tokens_per_second"].as_array().unwrap().len(), 2);
        let [low, median, high] = ["min", "median", "max"].map(|key| result[key].as_f64().unwrap());
        assert!(0.0 < low && low <= median && median <= high, "{result}");
        assert!(result["share_of_ceiling"].as_f64().unwrap() > 0.0, "{result}");
    }
    assert!(results[0]["tflops"].as_f64().unwrap() > 0.0 && results[1]["gbps"].as_f64().unwrap() > 0.0);
}

#[test]
fn types_that_bench_names_are_types_that_it_takes() {
    let refused = run(&["bench", "--shape", "smollm2-135m", "--type", "Q9_K"]);
    assert_refused(&refused, 2, &["no type 'Q9_K'", "Q4_0", "IQ2_XXS", "Q4_K_M"]);
    for ty in ["I2_S", "Int8G64", "F64"] {
        assert!(!refused.err.contains(ty), "{ty} is in {}", refused.err);
        assert_refused(&run(&["bench", "--shape", "smollm2-135m", "--type", ty]), 2, &["no type"]);
    }
}

#[test]
fn a_random_model_is_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("random.gguf");
    let words = ["bench", "--shape", "smollm2-135m", "--type", "Q4_0", "--write", text(&file)];
    assert_eq!(output(&words), "");
    let report = json(&["inspect", text(&file)]);
    assert_eq!((&report["model"]["runs"], &report["model"]["layers"]), (&true.into(), &30.into()));
    assert!(report["tensors"].as_array().unwrap().iter().any(|t| t["type"] == "Q4_0"));
    let ran = run(&[text(&file), "x", "--lazy", "--max-seq-len", "16", "--max-tokens", "1", "--seed", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}
