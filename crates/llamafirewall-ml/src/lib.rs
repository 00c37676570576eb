//! Classifiers for the firewall: the [`Detector`] inside, which needs no file, and [`NativeEngine`], which runs Prompt
//! Guard and its like on the encoders of this project. It knows no policies: what follows from a score is decided by
//! scanners.

#![forbid(unsafe_code)]

mod cache;
mod classifier;
mod cover;
mod detector;
pub mod evaluation;
mod native;
mod place;
mod squeeze;

pub use classifier::AttackClassifier;
pub use detector::{Detector, DetectorError, Judgement, Origin, ReadBefore};
pub use llamafirewall_core::{TorchDevice, model_for, select_model};
#[cfg(feature = "tch")]
pub use llamafirewall_tch::{ModelMetadata, TchError, TchInferenceEngine, TchModel};
pub use native::{LoadError, NativeEngine, NativeOptions};
pub use place::EnginePlace;
pub use torchless_model::encoder::EncoderPrecision;
