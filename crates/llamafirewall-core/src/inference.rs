//! What a classifier of text offers to scanners. The engines themselves live elsewhere.

use std::ops::Range;

/// Why an engine has no scores. Must not quote the text.
#[derive(Debug, thiserror::Error)]
#[error("inference: {0}")]
pub struct InferenceError(pub String);

/// A model that gives every text one logit per label.
pub trait InferenceEngine: Send + Sync {
    /// Logits of one text, in the order of the model's labels. A text longer than the model's context is an error,
    /// not a shorter text.
    ///
    /// # Errors
    /// The text is too long, or the model fails.
    fn infer(&self, text: &str) -> Result<Vec<f32>, InferenceError>;

    /// Logits of several texts, in their order.
    ///
    /// # Errors
    /// One of them cannot be scored.
    fn infer_batch(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, InferenceError> {
        texts.iter().map(|text| self.infer(text)).collect()
    }

    /// Byte ranges that together cover the text, each short enough for [`infer`](Self::infer), neighbours overlapping.
    /// By default one range, the whole.
    ///
    /// # Errors
    /// The text cannot be cut.
    fn windows(&self, text: &str) -> Result<Vec<Range<usize>>, InferenceError> {
        Ok(std::iter::once(0..text.len()).collect())
    }
}
