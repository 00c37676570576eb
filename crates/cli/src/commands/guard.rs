//! `torchless guard eval`: how good the guard's classifier is on labelled texts.

use crate::args::Backend;
use crate::exit::{NoModel, TooLarge, Usage};
use crate::guard_args::{GuardArgs, GuardEvalArgs, GuardVerb};
use crate::{input, output, progress};
use anyhow::{Context, Result};
use llamafirewall_core::Role;
use llamafirewall_ml::evaluation::{Evaluation, Figures, Scored, evaluate};
use llamafirewall_ml::{AttackClassifier, EnginePlace, LoadError, NativeOptions};
use serde::Deserialize;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Instant;
use torchless::gpu;

/// Largest file of texts, in bytes.
const LARGEST: u64 = 1 << 30;

/// Does what was asked for.
pub fn run(args: &GuardArgs) -> Result<()> {
    match &args.verb {
        GuardVerb::Eval(args) => eval(args),
    }
}

fn eval(args: &GuardEvalArgs) -> Result<()> {
    let mut texts = Vec::new();
    for file in &args.files {
        texts.extend(read(file)?);
    }
    if texts.is_empty() {
        return Err(Usage("the files hold no texts".to_owned()).into());
    }
    let classifier = match &args.model {
        None => AttackClassifier::inside()?,
        Some(folder) => {
            let defaults = NativeOptions::default();
            let threads = args.threads.unwrap_or(defaults.threads);
            // What is remembered would make repeated texts look fast.
            let (place, precision) = (place(args)?, args.precision);
            let options = NativeOptions { place, threads, precision, cached: 0, ..defaults };
            AttackClassifier::open(folder, options).map_err(at_fault)?
        }
    };
    let bar = progress::count("scoring", texts.len() as u64);
    let scored = texts.iter().map(|text| {
        let scored = score(&classifier, text);
        bar.inc(1);
        scored
    });
    let scored = scored.collect::<Result<Vec<_>>>()?;
    bar.finish_and_clear();
    let found = evaluate(&scored);
    if args.json {
        return Ok(output::json(&serde_json::to_value(&found)?)?);
    }
    Ok(output::write(&table(&found))?)
}

/// Whether it is the model that is at fault, or where it was to run.
fn at_fault(error: LoadError) -> anyhow::Error {
    match error {
        LoadError::Format(error) => torchless::Error::from(error).into(),
        LoadError::Gpu(error) => torchless::Error::from(error).into(),
        LoadError::Model { path, source } => torchless::Error::Model { path, source }.into(),
        LoadError::NoGpu { .. } => Usage(error.to_string()).into(),
        LoadError::DoesNotFit { .. } => TooLarge(error.to_string()).into(),
        error => NoModel(error.to_string()).into(),
    }
}

fn place(args: &GuardEvalArgs) -> Result<EnginePlace> {
    let gpu = |backend| EnginePlace::Gpu(backend, args.device.unwrap_or(0));
    Ok(match args.backend {
        Backend::Cpu if args.device.is_some() => {
            return Err(Usage("the CPU has no numbered devices: name another backend".to_owned()).into());
        }
        Backend::Cpu => EnginePlace::Cpu,
        Backend::Auto => EnginePlace::Auto(args.device),
        Backend::Cuda => gpu(gpu::Backend::Cuda),
        Backend::Rocm => gpu(gpu::Backend::Rocm),
        Backend::Metal => gpu(gpu::Backend::Metal),
        Backend::Opencl => gpu(gpu::Backend::OpenCl),
    })
}

/// A row of a file.
#[derive(Deserialize)]
struct Row {
    text: String,
    label: Label,
    dataset: Option<String>,
    role: Option<Role>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "serde_json::Value")]
enum Label {
    Injection,
    Benign,
}

impl TryFrom<serde_json::Value> for Label {
    type Error = &'static str;

    /// Of any value, for serde's own message for numbers names neither the key nor what would have worked.
    fn try_from(value: serde_json::Value) -> Result<Self, Self::Error> {
        match value.as_str() {
            Some("injection") => Ok(Self::Injection),
            Some("benign") => Ok(Self::Benign),
            _ => Err("the label of a text is \"injection\" or \"benign\""),
        }
    }
}

/// A text with all that was left out.
struct Labelled {
    text: String,
    label: Label,
    dataset: String,
    role: Role,
}

fn read(file: &Path) -> Result<Vec<Labelled>> {
    let name = || file.display().to_string();
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut content = Vec::new();
    // One byte more than may be read, also of what has no length of its own.
    let file = File::open(file).with_context(name)?;
    file.take(LARGEST + 1).read_to_end(&mut content).with_context(name)?;
    if content.len() as u64 > LARGEST {
        return Err(Usage(format!("{}: more than {LARGEST} bytes, the most that are read", name())).into());
    }
    let content = content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&content);
    let lines = content.split(|byte| *byte == b'\n').enumerate();
    let rows = lines.filter(|(_, line)| !line.trim_ascii().is_empty()).map(|(at, line)| {
        let place = |what: &str| Usage(format!("{}, line {}: {what}", name(), at + 1));
        let line = str::from_utf8(line).map_err(|_| place("not UTF-8"))?;
        let row: Row = input::row(line).map_err(|reason| place(&reason))?;
        let dataset = row.dataset.unwrap_or_else(|| stem.clone());
        if dataset == "overall" {
            return Err(place("'overall' stands for all sets and cannot be the name of one").into());
        }
        Ok(Labelled { text: row.text, label: row.label, dataset, role: row.role.unwrap_or(Role::User) })
    });
    rows.collect()
}

fn score(classifier: &AttackClassifier, text: &Labelled) -> Result<Scored> {
    let start = Instant::now();
    let judged = classifier.judge(text.role, &text.text)?;
    Ok(Scored {
        dataset: text.dataset.clone(),
        is_attack: text.label == Label::Injection,
        score: judged.score,
        milliseconds: start.elapsed().as_secs_f64() * 1000.0,
    })
}

fn table(found: &Evaluation) -> String {
    let widest =
        found.datasets.keys().map(|name| name.chars().count()).max().unwrap_or(0).max("overall".len());
    let mut out = format!(
        "{:widest$}  {:>6}  {:>9}  {:>6}  {:>5}  {:>13}  {:>7}  {:>7}  {:>7}\n",
        "", "n", "precision", "recall", "auc", "recall@1%fpr", "fpr", "p50 ms", "p99 ms"
    );
    let all = std::iter::once(("overall", &found.overall));
    for (name, figures) in all.chain(found.datasets.iter().map(|(name, figures)| (&name[..], figures))) {
        out += &line(name, figures, widest);
    }
    out
}

fn line(name: &str, figures: &Figures, widest: usize) -> String {
    let percent = |x: Option<f64>| x.map_or("-".to_owned(), |x| format!("{:.1} %", x * 100.0));
    let auc = figures.auc.map_or("-".to_owned(), |x| format!("{x:.3}"));
    let shown: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut line = format!("{shown:widest$}  {:>6}  {:>9}", figures.n, percent(figures.precision));
    // Writing to a string does not fail.
    let _ = writeln!(
        line,
        "  {:>6}  {auc:>5}  {:>13}  {:>7}  {:>7.2}  {:>7.2}",
        percent(figures.recall),
        percent(figures.recall_at_1pct_fpr),
        percent(figures.false_positive_rate),
        figures.latency_ms.p50,
        figures.latency_ms.p99
    );
    line
}
