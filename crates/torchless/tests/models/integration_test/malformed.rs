//! Malformed files, from opening to text: each in a process of its own, so that memory, time and crashes count.
//!
//! What is refused is refused with an error that blames the model; what is sound loads and completes a text.

use super::made::{folder, tensors_of};
use super::support::fixtures;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use torchless::{
    Error, ErrorKind, Event, GenerateOptions, Message, Model, ModelOptions, Prompt, Role, SamplerConfig,
    Source,
};

/// Names the file that the child process is to try.
const FILE: &str = "TORCHLESS_TEST_MALFORMED_FILE";
/// Memory that a file may cost beyond what a sound one does.
const MEMORY_KIB: u64 = 64 << 10;
/// Processor time that a file may cost; the clock on the wall depends on who else runs.
const CPU_SECONDS: f64 = 2.0;

#[test]
fn malformed_gguf_is_the_models_fault() {
    check("gguf", "ok_minimal_v3.gguf");
}

#[test]
fn malformed_safetensors_is_the_models_fault() {
    check("safetensors", "ok.safetensors");
}

#[test]
fn checkpoints_of_llama2c_are_refused() {
    check("llama2c_bin", "hdr_dim0.bin");
}

/// Buffers of such widths would take more memory than there is, which ends a process.
#[test]
fn widths_of_linear_attention_are_held_against_tensors_first() {
    let Some(fixtures) = fixtures() else { return };
    let base = fixtures.join("goldens/qwen3_next");
    let model = folder(&base, &tensors_of(&base), |config| {
        for kind in ["key", "value"] {
            config[format!("linear_{kind}_head_dim")] = json!(1 << 20);
            config[format!("linear_num_{kind}_heads")] = json!(64);
        }
    });
    let source = Source::Path(model.path().to_owned());
    let checkpoint = source.checkpoint().unwrap();
    let opened = torchless::open_runner(&source, &checkpoint, &ModelOptions::default(), &mut |_, _| {});
    let error = opened.err().unwrap().to_string();
    assert!(error.contains("linear_attn") && error.contains("the metadata asks for"), "{error}");
}

/// Not a test on its own: what the others start for each file.
#[test]
fn child_tries_one_file() {
    let Some(path) = std::env::var_os(FILE) else { return };
    println!("\nRESULT {}", try_file(Path::new(&path)));
}

fn check(folder: &str, sound: &str) {
    let Some(fixtures) = fixtures() else { return };
    let folder = fixtures.join("malformed").join(folder);
    let manifest = std::fs::read(folder.join("MANIFEST.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&manifest).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let usual = in_child(&folder.join(sound)).unwrap()["memory_kib"].as_u64().unwrap_or(0);
    let mut wrong = Vec::new();
    for case in &cases {
        let (file, expect) = (case["file"].as_str().unwrap(), case["expect"].as_str().unwrap());
        let Some(path) = unpacked(&folder.join(file), scratch.path()) else { continue };
        let fault = match in_child(&path) {
            Ok(result) => fault(expect, &result).or_else(|| costly(&result, usual)),
            Err(crash) => Some(crash),
        };
        wrong.extend(fault.map(|fault| format!("{file} [{expect}]: {fault}")));
    }
    assert!(
        cases.len() > 15 && wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// What is wrong about a result, if anything.
fn fault(expect: &str, result: &Value) -> Option<String> {
    let stage = |name: &str| result[name].as_str().unwrap_or("not reached");
    let (opened, loaded, rendered, told) = (stage("open"), stage("load"), stage("render"), stage("tell"));
    // A container of tensors is no model yet.
    let container = result["is_container"] == json!(true);
    let right = match expect {
        "load" | "load_generation_must_terminate" if container => opened == "ok",
        "load" => loaded == "ok" && told == "ok",
        "load_generation_must_terminate" => loaded == "ok" && told != "not reached",
        "load_but_render_must_fail_bounded" => loaded == "ok" && rendered == "Model" && told == "ok",
        "reject" | "reject_model" => opened == "Model" || loaded == "Model",
        "load_or_reject" | "reject_or_sane" | "no_panic" => {
            opened == "Model" || loaded == "Model" || (loaded == "ok" && told == "ok")
        }
        other => panic!("unknown expectation {other}"),
    };
    // What `inspect` says and what a run does is the same.
    let consistent = container || opened != "ok" || (stage("inspect") == "ok") == (loaded == "ok");
    (!right || !consistent).then(|| result.to_string())
}

fn costly(result: &Value, usual: u64) -> Option<String> {
    let memory = result["memory_kib"].as_u64().unwrap_or(0);
    let seconds = result["cpu_seconds"].as_f64().unwrap_or(0.0);
    (memory > usual + MEMORY_KIB || seconds > CPU_SECONDS).then(|| format!("costs too much: {result}"))
}

/// The file itself, or what is in the packed file beside it.
fn unpacked(path: &Path, scratch: &Path) -> Option<PathBuf> {
    if path.exists() {
        return Some(path.to_owned());
    }
    let name = path.file_name()?.to_str()?;
    let packed = path.with_file_name(format!("{name}.gz"));
    let output = Command::new("gzip").arg("-dc").arg(packed).output().ok().filter(|o| o.status.success());
    let Some(output) = output else {
        eprintln!("skipped: {name} cannot be unpacked (no gzip?)");
        return None;
    };
    let target = scratch.join(name);
    std::fs::write(&target, output.stdout).unwrap();
    Some(target)
}

fn in_child(path: &Path) -> Result<Value, String> {
    let name = format!("{}::child_tries_one_file", module_path!().split_once("::").unwrap().1);
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("sh");
    // A file that sends the program round in circles ends it, not the tests.
    command.args(["-c", "ulimit -t 20; exec \"$0\" \"$@\""]).arg(program);
    command.args(["--exact", &name, "--nocapture", "--test-threads=1"]).env(FILE, path);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
    match line.filter(|_| output.status.success()) {
        Some(line) => Ok(serde_json::from_str(line).unwrap()),
        None => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

fn word<T>(result: &Result<T, Error>) -> Value {
    match result {
        Ok(_) => json!("ok"),
        Err(e) if e.kind() == ErrorKind::Model => json!("Model"),
        Err(e) => json!(format!("{:?}: {e}", e.kind())),
    }
}

/// Each stage is `ok`, `Model`, or what else went wrong.
fn try_file(path: &Path) -> Value {
    let source = Source::Path(path.to_owned());
    let mut result = json!({});
    let checkpoint = source.checkpoint();
    result["open"] = word(&checkpoint);
    result["error"] = json!(checkpoint.as_ref().err().map(ToString::to_string));
    if let Ok(checkpoint) = checkpoint {
        result["is_container"] = json!(path.extension().is_some_and(|e| e == "safetensors"));
        result["inspect"] = word(&inspect(&source, &checkpoint));
        // A program has a file open once.
        drop(checkpoint);
        let options = ModelOptions { threads: Some(1), ..ModelOptions::default() };
        let model = Model::open(&source, &options, &mut |_, _| {});
        result["load"] = word(&model);
        result["error"] = json!(model.as_ref().err().map(ToString::to_string));
        if let Ok(model) = &model {
            result["render"] = word(&render(model));
            result["tell"] = word(&tell(model));
        }
    }
    result["memory_kib"] = json!(memory_kib());
    result["cpu_seconds"] = json!(cpu_seconds());
    result
}

/// What `torchless inspect` tries.
fn inspect(source: &Source, checkpoint: &torchless::formats::Checkpoint) -> Result<(), Error> {
    let spec = torchless::spec(source, checkpoint)?;
    torchless::check(source, checkpoint, &spec)?;
    match torchless::tokenizer(checkpoint)? {
        Some(tokenizer) => torchless::fits(&tokenizer, &spec),
        None => Ok(()),
    }
}

fn render(model: &Model) -> Result<(), Error> {
    let prompt = model.admit(Prompt::Chat(vec![Message::new(Role::User, "hello")]))?;
    model.encode(&prompt).map(drop)
}

fn tell(model: &Model) -> Result<usize, Error> {
    let sampler = SamplerConfig { temperature: 0.7, seed: 1, ..SamplerConfig::default() };
    let options = GenerateOptions { sampler, max_tokens: Some(12), ..GenerateOptions::default() };
    let prompt = model.admit(Prompt::Text("a b".to_owned()))?;
    let mut tokens = 0;
    for event in model.generate(&prompt, &options)? {
        if let Event::Done(summary) = event? {
            tokens = summary.reply_tokens;
        }
    }
    Ok(tokens)
}

/// The largest resident set so far, where the system tells.
fn memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// Time on processors so far, in user and system mode, where the system tells; it counts hundredths.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Fields are counted after the name, which is in parentheses and may hold blanks.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks as f64 / 100.0)
}
