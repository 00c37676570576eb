//! A language model that is asked for a verdict. Which model, and how it is reached, is for others to say.

use std::future::Future;
use std::pin::Pin;

/// Why there is no answer. Must not quote the text.
#[derive(Debug, thiserror::Error)]
#[error("judge: {0}")]
pub struct JudgeError(pub String);

/// What a judge is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Instructions, written by the scanner alone.
    pub system: String,
    /// What is judged. Whatever others wrote in it is escaped, so that it cannot end its own quotation.
    pub user: String,
    /// JSON schema that the answer follows; a judge forces its model to follow it where it can.
    pub schema: serde_json::Value,
}

/// An answer to come: JSON that follows the schema.
pub type JudgeFuture<'a> = Pin<Box<dyn Future<Output = Result<serde_json::Value, JudgeError>> + Send + 'a>>;

/// Answers questions in JSON, always the same answer to the same question (temperature 0).
pub trait Judge: Send + Sync {
    /// Asks.
    fn ask<'a>(&'a self, question: &'a Question) -> JudgeFuture<'a>;
}
