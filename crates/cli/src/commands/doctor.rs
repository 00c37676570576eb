//! `torchless doctor`: what this machine is, what runs models on it, and what to do with it.

use crate::doctor::advice::Advice;
use crate::doctor::findings::Findings;
use crate::doctor::text::report;
use crate::doctor::verdict::{ModelNeeds, Verdict};
use crate::doctor_args::DoctorArgs;
use crate::exit::TooLarge;
use crate::output;
use anyhow::Result;
use serde_json::json;
use std::path::Path;
use torchless::{MemoryNeed, ModelOptions, Source};

/// The shortest context that memory is counted for.
const SHORTEST: usize = 512;

/// Runs the verb.
pub fn run(args: &DoctorArgs) -> Result<()> {
    let kernels = std::env::var("TORCHLESS_KERNELS").ok();
    let options = ModelOptions { threads: args.threads, kernels, ..ModelOptions::default() };
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
        Some(verdict) => Err(TooLarge(verdict.needs.path).into()),
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
    let need = |context: usize| MemoryNeed::new(&checkpoint, &spec, context);
    Ok(ModelNeeds {
        path: path.display().to_string(),
        architecture: spec.arch.to_string(),
        weights: need(spec.context).weights,
        parameters: checkpoint.tensors.iter().map(|tensor| tensor.len() as u64).sum(),
        layers: spec.layers.len(),
        caches: contexts.into_iter().map(|context| (context, need(context).cache)).collect(),
    })
}
