//! What the binding takes: library, model, context, token, and the share of a generation that lies outside of the library's function that decodes.
//!
//! Runs a model of random weights in the shape of one with 120 million, or the file that is given: `cargo bench -p model-loader -- FILE`.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

mod weights;

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use model_loader::{GenerateOptions, Library, Model, ModelConfig, SamplerConfig, TokenId};

/// Times that a step is repeated, of which the median counts.
const ROUNDS: usize = 7;
const TOKENS: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let library = Library::find()?;
    row("load the library", start.elapsed());
    // Cargo passes `--bench` first.
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let path = match given {
        Some(path) => PathBuf::from(path),
        None => weights::written()?,
    };
    let config = || ModelConfig::new(&path).map(|config| config.with_context_size(1024));
    let model = Model::load_with(library, config()?)?;
    row("load the model", median(|| Model::load_with(library, config()?).map(drop))?);
    row("create a context", median(|| model.create_context().map(drop))?);
    let greedy = SamplerConfig { temperature: 0.0, ..SamplerConfig::default() };
    let drawn = SamplerConfig {
        temperature: 0.8,
        top_k: 40,
        top_p: 0.95,
        min_p: 0.05,
        seed: 7,
        ..SamplerConfig::default()
    };
    for (name, sampler) in [("greedy", greedy), ("temperature, top-k, top-p, min-p", drawn)] {
        generate(&model, name, &sampler)?;
    }
    println!("\n{} with {}, {}", path.display(), library.path().display(), model.description());
    Ok(())
}

/// Time per token, and how much of it is the binding's.
fn generate(model: &Model, name: &str, sampler: &SamplerConfig) -> Result<(), model_loader::Error> {
    let mut context = model.create_context()?;
    let prompt: Vec<TokenId> = (0..16).map(|id| TokenId(300 + id)).collect();
    let mut runs = Vec::new();
    for _ in 0..ROUNDS {
        let options = GenerateOptions {
            max_tokens: Some(TOKENS),
            sampler: sampler.clone(),
            ..GenerateOptions::default()
        };
        let (start, inside) = (Instant::now(), context.time_decoding());
        let tokens = context.generate(&prompt, options)?.tokens.len();
        let (whole, inside) = (start.elapsed(), context.time_decoding() - inside);
        runs.push((whole / tokens.max(1) as u32, 100.0 * (1.0 - inside.as_secs_f64() / whole.as_secs_f64())));
    }
    runs.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (time, share) = runs[ROUNDS / 2];
    row(&format!("a token, {name}"), time);
    println!("{:<44} {share:>9.2} %", "  of it outside of llama_decode");
    Ok(())
}

fn median(work: impl Fn() -> Result<(), model_loader::Error>) -> Result<Duration, model_loader::Error> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[ROUNDS / 2])
}

fn row(name: &str, time: Duration) {
    println!("{name:<44} {:>9.2} ms", time.as_secs_f64() * 1e3);
}
