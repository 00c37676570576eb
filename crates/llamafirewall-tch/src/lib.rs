//! Classifiers in TorchScript for the firewall, run by libtorch on a CPU or a GPU: [`TchInferenceEngine`] is an
//! [`InferenceEngine`](llamafirewall_core::InferenceEngine). Needs libtorch to build and to run; `scripts/libtorch.sh` installs it.
//! The engine of crate llamafirewall-ml needs nothing and is faster on a CPU.

#![forbid(unsafe_code)]

mod device;
mod engine;
mod metadata;
mod model;

pub use engine::TchInferenceEngine;
pub use metadata::ModelMetadata;
pub use model::TchModel;
pub use tch::{Device, TchError};

/// Under this name logs say which device and which file is used.
const LOADER: &str = "llamafirewall_ml::tch_loader";

/// The chapter on libtorch, whose blocks are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/firewall/libtorch.md")]
pub struct Chapter;
