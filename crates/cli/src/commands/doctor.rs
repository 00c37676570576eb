//! `torchless doctor`: what this machine is, what runs models on it, and what to do with it.

use crate::doctor::advice::Advice;
use crate::doctor::findings::Findings;
use crate::doctor::text::report;
use crate::doctor::verdict::{ModelNeeds, Verdict};
use crate::doctor_args::DoctorArgs;
use crate::exit::{Apart, TooLarge};
use crate::output;
use anyhow::Result;
use serde_json::{Value, json};
use std::path::Path;
use torchless::{MemoryNeed, ModelOptions, Parity, ParityOptions, Place, Placement, Source, gpu};

/// The shortest context that memory is counted for.
const SHORTEST: usize = 512;

/// Runs the verb.
pub fn run(args: &DoctorArgs) -> Result<()> {
    if let (true, Some(model)) = (args.parity, &args.model) {
        return parity(model, args);
    }
    let options = ModelOptions { threads: args.threads, ..ModelOptions::default() };
    // A file that is no model is said before everything is looked at.
    let needs = args.model.as_deref().map(needs).transpose()?;
    let findings = Findings::look(&options)?;
    let advice = Advice::of(&findings);
    let verdict = needs.map(|needs| Verdict::of(needs, &findings, &advice));
    if args.json {
        output::json(&json!({ "findings": findings, "advice": advice, "model": verdict }))?;
    } else {
        output::write(&report(&findings, &advice, verdict.as_ref()))?;
    }
    match verdict.filter(|verdict| !verdict.fits()) {
        Some(verdict) => {
            let what = format!("{} does not fit into the memory of this machine", verdict.needs.path);
            Err(TooLarge(what).into())
        }
        None => Ok(()),
    }
}

fn needs(path: &Path) -> Result<ModelNeeds> {
    let source = Source::Path(path.to_owned());
    let checkpoint = source.checkpoint()?;
    let spec = torchless::spec(&source, &checkpoint)?;
    let mut contexts: Vec<usize> = std::iter::successors(Some(SHORTEST), |context| context.checked_mul(2))
        .take_while(|c| *c < spec.context)
        .collect();
    contexts.push(spec.context);
    let caches = |place: Place| {
        let placement = Placement { place, ..Placement::default() };
        let cache = ModelOptions { placement, ..ModelOptions::default() }.cache_type(&checkpoint);
        let need = |context| MemoryNeed::new(&checkpoint, &spec, context, cache);
        contexts.iter().map(|&context| (context, need(context).cache)).collect()
    };
    Ok(ModelNeeds {
        path: path.display().to_string(),
        architecture: spec.arch.to_string(),
        weights: checkpoint.tensors.iter().map(|tensor| tensor.byte_len() as u64).sum(),
        parameters: checkpoint.tensors.iter().map(|tensor| tensor.len() as u64).sum(),
        layers: spec.layers.len(),
        caches: caches(Place::Cpu),
        // Of whichever interface: the type of the cache does not depend on it.
        gpu_caches: caches(Place::Gpu(gpu::Backend::Cuda)),
    })
}

/// Both engines on the same tokens.
fn parity(model: &Path, args: &DoctorArgs) -> Result<()> {
    let options = ParityOptions {
        prompt: args.prompt.clone(),
        tokens: args.max_tokens,
        tolerance: args.tolerance,
        library: args.llama_lib.clone(),
        threads: args.threads,
    };
    let found = torchless::parity(&Source::Path(model.to_owned()), &options)?;
    if args.json {
        output::json(&parity_json(&found))?;
    } else {
        output::write(&parity_text(model, &found))?;
    }
    if found.within() {
        return Ok(());
    }
    Err(Apart { largest: found.largest, tolerance: found.tolerance }.into())
}

fn parity_json(found: &Parity) -> Value {
    let different = found.first_different.map(|one| {
        json!({ "token": one.token, "native": one.native.0, "llama.cpp": one.other.0, "margin": one.margin })
    });
    json!({
        "prompt_tokens": found.prompt_tokens, "reply_tokens": found.reply_tokens, "vocab": found.vocab,
        "largest_difference": found.largest, "position": found.at.0, "token": found.at.1.0, "rms": found.rms,
        "first_different": different, "tolerance": found.tolerance, "within": found.within(),
        "native": found.native, "llama.cpp": found.other,
    })
}

fn parity_text(model: &Path, found: &Parity) -> String {
    let Parity { prompt_tokens, reply_tokens, vocab, largest, at, rms, tolerance, .. } = found;
    let greedy = match found.first_different {
        None => format!("the same for all {reply_tokens} tokens"),
        Some(one) => format!(
            "differs first at token {}: native {}, llama.cpp {}, with {:.2e} between them",
            one.token, one.native, one.other, one.margin
        ),
    };
    let verdict = if found.within() { "within" } else { "beyond" };
    format!(
        "model      {}\n\
         native     {}\n\
         llama.cpp  {}\n\
         tokens     {prompt_tokens} of the prompt, {reply_tokens} that follow; {vocab} logits each\n\
         logits     {largest:.2e} at most (position {}, token {}), root mean square {rms:.2e}\n\
         greedy     {greedy}\n\
         verdict    {verdict} the tolerance of {tolerance}\n",
        model.display(),
        found.native,
        found.other,
        at.0,
        at.1
    )
}
