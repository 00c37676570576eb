//! A model that runs here as the judge of scanners that ask one.

use crate::{Error, Event, GenerateOptions, Model, Prompt};
use llamafirewall_core::{Firewall, Judge, JudgeError, JudgeFuture, Message, Question, Role};
use std::sync::Arc;
use torchless_chat::Grammar;
use torchless_sampler::SamplerConfig;

/// Tokens of a verdict at most.
const LONGEST_VERDICT: usize = 1024;

/// Asks a model with a chat template. Its answer cannot but follow the schema, and is the same each time.
pub struct ModelJudge {
    model: Arc<Model>,
}

impl ModelJudge {
    /// Asks this model. It should have no firewall of its own: what it is asked about is what a firewall wonders about.
    pub fn new(model: Arc<Model>) -> Self {
        Self { model }
    }

    fn answer(&self, question: &Question) -> Result<serde_json::Value, Error> {
        let messages =
            vec![Message::new(Role::System, &question.system), Message::new(Role::User, &question.user)];
        let prompt = Firewall::open().admit(Prompt::Chat(messages))?;
        let options = GenerateOptions {
            sampler: SamplerConfig { temperature: 0.0, seed: 0, ..SamplerConfig::default() },
            max_tokens: Some(LONGEST_VERDICT),
            grammar: Some(Grammar::JsonSchema(question.schema.to_string())),
            ..GenerateOptions::default()
        };
        let mut answer = String::new();
        for event in self.model.generate(&prompt, &options)? {
            if let Event::Text(text) = event? {
                answer.push_str(&text);
            }
        }
        // What a model wrote may quote what it was asked about: the error does not.
        serde_json::from_str(&answer).map_err(|_| Error::Engine("the verdict is cut off".to_owned()))
    }
}

impl Judge for ModelJudge {
    fn ask<'a>(&'a self, question: &'a Question) -> JudgeFuture<'a> {
        Box::pin(async { self.answer(question).map_err(|e| JudgeError(e.to_string())) })
    }
}
