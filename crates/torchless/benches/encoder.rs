//! Speed of encoders with random weights in well-known shapes.
//!
//! `cargo bench -p torchless --bench encoder -- [--shape deberta-86m | --model FOLDER] [--precision f32|bf16|int8]
//! [--threads N] [--kernels NAME] [--texts 1x16,1x512,8x128] [--serve]`
//! prints milliseconds per classification of so many texts of so many tokens: median and best of the repetitions. The
//! vocabulary is small: looking rows up costs the same in a large one.

#![expect(clippy::expect_used, reason = "a bench: a panic is the report")]

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;
use torchless::{Encoder, EncoderPrecision, EncoderText, ModelOptions, Source, TokenId};

/// Name, layers, width, heads, inner width.
type Shape = (&'static str, usize, usize, usize, usize);

/// DeBERTa-v3 in the shapes of Prompt Guard 2.
const SHAPES: [Shape; 2] = [("deberta-86m", 12, 768, 12, 3072), ("deberta-22m", 12, 384, 6, 1536)];
const VOCAB: usize = 4096;
const REPEAT: usize = 7;

struct Options {
    shape: Shape,
    /// A model on disk instead of one of random weights.
    folder: Option<PathBuf>,
    model: ModelOptions,
    texts: Vec<(usize, usize)>,
    /// Whether batches come from standard input, one a line.
    serve: bool,
}

fn options() -> Options {
    let mut found = Options {
        shape: SHAPES[0],
        folder: None,
        serve: false,
        model: ModelOptions::default(),
        texts: texts("1x16,1x64,1x128,1x256,1x512,8x128"),
    };
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
        match arg.as_str() {
            "--shape" => {
                let name = value();
                let named = SHAPES.iter().find(|shape| shape.0 == name);
                found.shape = *named.unwrap_or_else(|| panic!("unknown shape {name} (known: {SHAPES:?})"));
            }
            "--model" => found.folder = Some(PathBuf::from(value())),
            "--precision" => {
                let name = value();
                let named = EncoderPrecision::named(&name);
                found.model.encoder_precision = named.unwrap_or_else(|| panic!("unknown precision {name}"));
            }
            "--serve" => found.serve = true,
            "--threads" => found.model.threads = Some(value().parse().expect("a number of threads")),
            "--kernels" => found.model.kernels = Some(value()),
            "--texts" => found.texts = texts(&value()),
            _ => panic!("unknown argument {arg}"),
        }
    }
    found
}

fn texts(list: &str) -> Vec<(usize, usize)> {
    let number = |text: &str| text.parse().expect("a number");
    list.split(',')
        .map(|pair| pair.split_once('x').map(|(a, b)| (number(a), number(b))).expect("TEXTSxTOKENS"))
        .collect()
}

fn config((_, layers, dim, heads, hidden): Shape) -> String {
    serde_json::json!({
        "model_type": "deberta-v2", "architectures": ["DebertaV2ForSequenceClassification"],
        "vocab_size": VOCAB, "hidden_size": dim, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": hidden, "max_position_embeddings": 512, "type_vocab_size": 0,
        "relative_attention": true, "position_buckets": 256, "norm_rel_ebd": "layer_norm", "share_att_key": true,
        "pos_att_type": "p2c|c2p", "position_biased_input": false, "layer_norm_eps": 1e-7,
    })
    .to_string()
}

fn tensors((_, layers, dim, _, hidden): Shape) -> Vec<(String, Vec<usize>)> {
    let mut all = Vec::new();
    let mut add = |name: String, shape: &[usize]| all.push((name, shape.to_vec()));
    let mut norm = vec!["embeddings.LayerNorm".to_owned(), "encoder.LayerNorm".to_owned()];
    add("deberta.embeddings.word_embeddings.weight".to_owned(), &[VOCAB, dim]);
    add("deberta.encoder.rel_embeddings.weight".to_owned(), &[512, dim]);
    for i in 0..layers {
        let layer = format!("encoder.layer.{i}");
        norm.extend(["attention.output", "output"].map(|part| format!("{layer}.{part}.LayerNorm")));
        let square = [
            "attention.self.query_proj",
            "attention.self.key_proj",
            "attention.self.value_proj",
            "attention.output.dense",
        ];
        let all = square.map(|name| (name, dim, dim));
        for (name, rows, cols) in
            all.into_iter().chain([("intermediate.dense", hidden, dim), ("output.dense", dim, hidden)])
        {
            add(format!("deberta.{layer}.{name}.weight"), &[rows, cols]);
            add(format!("deberta.{layer}.{name}.bias"), &[rows]);
        }
    }
    for name in norm {
        add(format!("deberta.{name}.weight"), &[dim]);
        add(format!("deberta.{name}.bias"), &[dim]);
    }
    for (name, rows) in [("pooler.dense", dim), ("classifier", 2)] {
        add(format!("{name}.weight"), &[rows, dim]);
        add(format!("{name}.bias"), &[rows]);
    }
    all
}

/// Writes a model of random weights.
fn write(folder: &Path, shape: Shape) -> std::io::Result<()> {
    std::fs::write(folder.join("config.json"), config(shape))?;
    let (tensors, mut end, mut header) = (tensors(shape), 0, serde_json::Map::new());
    for (name, shape) in &tensors {
        let start = end;
        end += shape.iter().product::<usize>() * 4;
        header.insert(
            name.clone(),
            serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]}),
        );
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut out = BufWriter::new(std::fs::File::create(folder.join("model.safetensors"))?);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    let mut random = 1u64;
    for _ in 0..end / 4 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let x = ((random >> 40) as f32 / (1 << 23) as f32 - 1.0) * 0.04;
        out.write_all(&x.to_le_bytes())?;
    }
    out.flush()
}

/// Seconds of this thread's own processor time where `CPU_TIME` is set (with one thread, on a machine that others use too),
/// else of the clock on the wall.
fn clock() -> f64 {
    static START: std::sync::LazyLock<(Instant, bool)> =
        std::sync::LazyLock::new(|| (Instant::now(), std::env::var_os("CPU_TIME").is_some()));
    let (start, cpu_time) = *START;
    if !cpu_time {
        return start.elapsed().as_secs_f64();
    }
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("CPU_TIME is only for Linux");
    let nanoseconds = stat.split(' ').next().and_then(|n| n.parse::<f64>().ok());
    nanoseconds.expect("a number of nanoseconds") * 1e-9
}

/// Runs a batch once: milliseconds and logits.
fn run(encoder: &Encoder, (count, length): (usize, usize)) -> (f64, Vec<Vec<f32>>) {
    let ids: Vec<TokenId> = (0..length).map(|i| TokenId((i * 37 % VOCAB) as u32)).collect();
    let texts = vec![EncoderText { ids: &ids, types: &[] }; count];
    let start = clock();
    let logits = encoder.logits_ids(&texts).expect("logits");
    ((clock() - start) * 1e3, logits)
}

/// Answers each line `TEXTSxTOKENS` with a line of milliseconds and logits.
fn serve(encoder: &Encoder) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{}", encoder.device_name())?;
    for line in std::io::stdin().lines() {
        for batch in texts(&line?) {
            let (took, logits) = run(encoder, batch);
            let logits: Vec<_> = logits.iter().flatten().map(f32::to_string).collect();
            writeln!(out, "{took} {}", logits.join(" "))?;
        }
    }
    Ok(())
}

fn main() {
    let options = options();
    let made = tempfile::tempdir().expect("a folder");
    let folder = options.folder.clone().unwrap_or_else(|| {
        write(made.path(), options.shape).expect("a model on disk");
        made.path().to_owned()
    });
    let encoder = Encoder::open(&Source::Path(folder), &options.model, &mut |_, _| {}).expect("an encoder");
    if options.serve {
        return serve(&encoder).expect("standard input and output");
    }
    let mut lines = format!("{} on {}\n", options.shape.0, encoder.device_name());
    for (count, length) in options.texts {
        let mut times: Vec<f64> = (0..=REPEAT).map(|_| run(&encoder, (count, length)).0).skip(1).collect();
        times.sort_by(f64::total_cmp);
        lines += &format!("{count}x{length}: {:.1} ms, best {:.1}\n", times[REPEAT / 2], times[0]);
    }
    std::io::stdout().write_all(lines.as_bytes()).expect("standard output");
}
