//! A model that is open, whichever engine computes.

use crate::Error;
use crate::llama::{device_name, open_llama};
use crate::open::{ModelOptions, Source, open_placed, spec};
use crate::placement::Layout;
use std::path::PathBuf;
use torchless_base::Runner;
use torchless_device::MemoryGauge;
use torchless_formats::Checkpoint;
use torchless_model::ModelSpec;

/// What computes, and what is known of the model.
pub(crate) struct Opened {
    pub runner: Box<dyn Runner>,
    pub about: About,
}

/// What is known of a model.
pub(crate) struct About {
    pub architecture: String,
    /// Positions that it was trained for.
    pub trained: usize,
    /// Of models that the native engine knows.
    pub spec: Option<ModelSpec>,
    pub device: String,
    pub layout: Layout,
    pub memory: Vec<MemoryGauge>,
}

impl Opened {
    /// By the native engine; `progress` is told bytes done and bytes in all.
    pub fn native(
        source: &Source,
        checkpoint: &Checkpoint,
        options: &ModelOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, Error> {
        let (runner, layout) = open_placed(source, checkpoint, options, progress)?;
        let (spec, device) = (runner.spec().clone(), runner.device_name());
        let (architecture, trained, memory) = (spec.arch.clone(), spec.context, runner.memory());
        let about = About { architecture, trained, spec: Some(spec), device, layout, memory };
        Ok(Self { runner: Box::new(runner), about })
    }

    /// By llama.cpp, which may know models that the native engine does not.
    pub fn llama(
        source: &Source,
        checkpoint: &Checkpoint,
        options: &ModelOptions,
        library: Option<PathBuf>,
    ) -> Result<Self, Error> {
        if crate::Encoder::is_one(checkpoint) {
            return Err(Error::Encoder { path: source.name().to_owned() });
        }
        let runner = open_llama(source, checkpoint, options, library)?;
        let model = runner.model();
        let about = About {
            architecture: model.metadata_value("general.architecture").unwrap_or_default(),
            trained: model.context_train_size(),
            spec: spec(source, checkpoint).ok(),
            device: device_name(&runner),
            layout: Layout::default(),
            memory: Vec::new(),
        };
        Ok(Self { runner: Box::new(runner), about })
    }
}
