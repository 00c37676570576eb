//! What is known of a model's file without running a text through it.

use crate::TchModel;
use anyhow::Result;
use tch::{Device, Tensor};

/// A model in numbers. Of shapes -1 is what the caller chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelMetadata {
    /// Where it was loaded to look at it: the CPU.
    pub device: Device,
    /// `[texts, tokens]`.
    pub input_shape: Vec<i64>,
    /// `[texts, labels]`.
    pub output_shape: Vec<i64>,
    /// Values in all parameters; 0 for a frozen module, which has made constants of them.
    pub param_count: usize,
}

impl ModelMetadata {
    /// Loads the model of this path on the CPU and asks it.
    ///
    /// # Errors
    /// As [`TchModel::load_on_device`].
    pub fn from_file(model_path: &str) -> Result<Self> {
        let model = TchModel::load_on_device(model_path, Device::Cpu)?;
        let logits = model.forward(&Tensor::from_slice(&[1_i64, 2]).view([1, 2]))?;
        Ok(Self {
            device: model.device(),
            input_shape: vec![-1, -1],
            output_shape: vec![-1, logits.size()[1]],
            param_count: model.parameters()?,
        })
    }
}
