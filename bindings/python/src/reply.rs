//! Prompts from Python, and what replies are for it: plain dictionaries and tuples that the package makes classes of.

use crate::failure::Failure;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use torchless::conversation::{Conversation, ToolCall};
use torchless::{Event, GenerateOptions, Model, Prompt, Summary};

/// A prompt: `("text", TEXT)`, or `("chat", JSON)` with the messages of a conversation.
pub fn prompt((kind, content): (String, String)) -> Result<Prompt, Failure> {
    if kind == "text" {
        return Ok(Prompt::Text(content));
    }
    let conversation =
        Conversation::from_json(&content).map_err(|e| Failure::Usage(format!("messages: {e}")))?;
    Ok(Prompt::Conversation(conversation))
}

/// A whole reply.
#[derive(Default)]
pub struct Reply {
    text: String,
    reasoning: String,
    calls: Vec<ToolCall>,
    summary: Option<Summary>,
}

impl Reply {
    /// Makes one; `goes_on` is asked before each step.
    ///
    /// # Errors
    /// What the library says, or nobody waits any more.
    pub fn make(
        model: &Model,
        prompt: Prompt,
        options: &GenerateOptions,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Self, Failure> {
        let admitted = model.admit(prompt)?;
        let mut reply = Self::default();
        for event in model.generate(&admitted, options)? {
            if !goes_on() {
                return Err(Failure::Internal("nobody waits for this reply"));
            }
            match event? {
                Event::Prompt { .. } => {}
                Event::Text(text) => reply.text.push_str(&text),
                Event::Reasoning(text) => reply.reasoning.push_str(&text),
                Event::ToolCall(call) => reply.calls.push(call),
                Event::Done(summary) => reply.summary = Some(summary),
            }
        }
        Ok(reply)
    }

    /// For Python: a dictionary.
    ///
    /// # Errors
    /// Memory is short.
    pub fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let reply = match &self.summary {
            Some(summary) => summary_dict(py, summary)?,
            None => PyDict::new(py),
        };
        reply.set_item("text", &self.text)?;
        reply.set_item("reasoning", &self.reasoning)?;
        reply.set_item("tool_calls", self.calls.iter().map(call_parts).collect::<Vec<_>>())?;
        Ok(reply)
    }
}

/// A call of a tool: its id, the tool, its arguments in JSON.
fn call_parts(call: &ToolCall) -> (Option<&str>, &str, String) {
    (call.id.as_deref(), &call.name, call.arguments.to_string())
}

fn summary_dict<'py>(py: Python<'py>, summary: &Summary) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("finish_reason", summary.reason.name())?;
    dict.set_item("prompt_tokens", summary.prompt_tokens)?;
    dict.set_item("reply_tokens", summary.reply_tokens)?;
    dict.set_item("prompt_seconds", summary.prompt_time.as_secs_f64())?;
    dict.set_item("reply_seconds", summary.reply_time.as_secs_f64())?;
    dict.set_item("scan_failures", &summary.scan_failures)?;
    dict.set_item("token_ids", summary.tokens.iter().map(|id| id.0).collect::<Vec<_>>())?;
    Ok(dict)
}

/// An event for Python: its kind, and what belongs to it.
///
/// # Errors
/// Memory is short.
pub fn event_parts<'py>(py: Python<'py>, event: &Event) -> PyResult<(&'static str, Bound<'py, PyAny>)> {
    use pyo3::IntoPyObjectExt;
    Ok(match event {
        Event::Prompt { done, total } => ("prompt", (*done, *total).into_bound_py_any(py)?),
        Event::Text(text) => ("text", text.into_bound_py_any(py)?),
        Event::Reasoning(text) => ("reasoning", text.into_bound_py_any(py)?),
        Event::ToolCall(call) => ("tool_call", call_parts(call).into_bound_py_any(py)?),
        Event::Done(summary) => ("done", summary_dict(py, summary)?.into_any()),
    })
}
