//! Texts in, logits out: a tokenizer before a TorchScript module.

use crate::TchModel;
use anyhow::{Context, Result, bail};
use llamafirewall_core::{InferenceEngine, InferenceError};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use tch::{Device, Tensor};
use torchless_tokenizer::{Beside, EncodeOptions, Tokenizer};

/// Tokens that a text may have: what Prompt Guard was trained on.
const MOST_TOKENS: usize = 512;
/// Characters that neighbouring windows share.
const SHARED: usize = 128;

/// A classifier of texts on libtorch. Cheap to clone; clones share the model, and threads do not wait for each other.
#[derive(Clone)]
pub struct TchInferenceEngine {
    model: Arc<TchModel>,
    tokenizer: Arc<Tokenizer>,
    /// Fills up batches.
    pad: i64,
}

impl TchInferenceEngine {
    /// Loads a model, as [`TchModel::load`], and a `tokenizer.json`.
    ///
    /// # Errors
    /// One of them cannot be loaded.
    pub fn new(model_path: &str, tokenizer_path: &str) -> Result<Self> {
        Self::with_model(TchModel::load(model_path)?, tokenizer_path)
    }

    /// The same on a certain device.
    ///
    /// # Errors
    /// The device is not there, or one of the files cannot be loaded.
    pub fn with_device(model_path: &str, tokenizer_path: &str, device: Device) -> Result<Self> {
        Self::with_model(TchModel::load_on_device(model_path, device)?, tokenizer_path)
    }

    /// With a model that was loaded before.
    ///
    /// # Errors
    /// The tokenizer cannot be loaded.
    pub fn with_model(model: TchModel, tokenizer_path: &str) -> Result<Self> {
        let failed = || format!("Failed to load tokenizer from {tokenizer_path}");
        let bytes = std::fs::read(tokenizer_path).with_context(failed)?;
        let config = Path::new(tokenizer_path).with_file_name("tokenizer_config.json");
        let config = std::fs::read(config).ok();
        let beside = Beside { tokenizer_config: config.as_deref(), ..Beside::default() };
        let tokenizer = Tokenizer::from_bytes(&bytes, beside).with_context(failed)?;
        let pad = tokenizer.special_ids().pad.map_or(0, |id| i64::from(id.0));
        Ok(Self { model: Arc::new(model), tokenizer: Arc::new(tokenizer), pad })
    }

    /// Logits of a text, one per label.
    ///
    /// # Errors
    /// It has more than 512 tokens ([`InferenceEngine::windows`] cuts it), or libtorch fails.
    pub fn infer(&self, text: &str) -> Result<Vec<f32>> {
        Ok(self.infer_batch(&[text])?.swap_remove(0))
    }

    /// Logits of several texts at once, padded to the longest of them.
    ///
    /// # Errors
    /// As [`TchInferenceEngine::infer`].
    pub fn infer_batch(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<Vec<i64>> = texts.iter().map(|text| self.tokens(text)).collect();
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        if let Some(text) = rows.iter().position(|row| row.len() > MOST_TOKENS) {
            let tokens = rows[text].len();
            bail!("text {text} has {tokens} tokens, the model holds {MOST_TOKENS}: cut it into windows");
        }
        let shape = [rows.len() as i64, longest as i64];
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        for row in &rows {
            let padding = longest - row.len();
            ids.extend(row.iter().copied().chain(std::iter::repeat_n(self.pad, padding)));
            mask.extend((0..longest).map(|i| i64::from(i < row.len())));
        }
        let logits = self
            .model
            .forward_masked(&Tensor::from_slice(&ids).view(shape), &Tensor::from_slice(&mask).view(shape))?;
        Ok(Vec::<Vec<f32>>::try_from(&logits)?)
    }

    /// The device in use.
    pub fn device(&self) -> Device {
        self.model.device()
    }

    /// Whether the module is told which tokens are padding; otherwise it has to know by itself.
    pub fn is_told_of_padding(&self) -> bool {
        self.model.takes_mask()
    }

    fn tokens(&self, text: &str) -> Vec<i64> {
        self.tokenizer.encode(text, EncodeOptions::TEXT).iter().map(|id| i64::from(id.0)).collect()
    }

    /// Halves a range, with a shared middle, until the model has room for the pieces.
    fn halved(&self, text: &str, range: Range<usize>, out: &mut Vec<Range<usize>>) {
        let length = range.end - range.start;
        if length <= 2 * SHARED || self.tokens(&text[range.clone()]).len() <= MOST_TOKENS {
            out.push(range);
            return;
        }
        let middle = range.start + length / 2;
        self.halved(text, range.start..text.ceil_char_boundary(middle + SHARED / 2), out);
        self.halved(text, text.floor_char_boundary(middle - SHARED / 2)..range.end, out);
    }
}

impl InferenceEngine for TchInferenceEngine {
    fn infer(&self, text: &str) -> Result<Vec<f32>, InferenceError> {
        Self::infer(self, text).map_err(|e| InferenceError(format!("{e:#}")))
    }

    fn infer_batch(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, InferenceError> {
        Self::infer_batch(self, texts).map_err(|e| InferenceError(format!("{e:#}")))
    }

    fn windows(&self, text: &str) -> Result<Vec<Range<usize>>, InferenceError> {
        let mut out = Vec::new();
        self.halved(text, 0..text.len(), &mut out);
        Ok(out)
    }
}
