//! Logits of a text: `cargo run --example classify -- FOLDER TEXT`. `RUST_LOG=llamafirewall_ml::tch_loader=debug` says which
//! device is used.

use anyhow::Context;
use llamafirewall_tch::TchInferenceEngine;

fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let mut args = std::env::args().skip(1);
    let folder = args.next().context("a folder with promptguard.pt and tokenizer.json")?;
    let text = args.next().context("a text")?;
    let engine = TchInferenceEngine::new(&folder, &format!("{folder}/tokenizer.json"))?;
    println!("{:?} on {:?}", engine.infer(&text)?, engine.device());
    Ok(())
}
