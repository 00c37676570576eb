//! Replies of functionary: messages one after another, each after `>>>` and a line that says to whom it goes.
//!
//! `>>>all` is text for the reader, `>>>NAME` the arguments of a call.

use super::{Piece, ToolCall, Tools, exact, open_end};
use serde_json::json;

const BEFORE: &str = ">>>";
/// Bytes of a line that may say to whom a message goes.
const MAX_LINE: usize = 128;

#[derive(Debug)]
pub(super) struct Recipients {
    tools: Tools,
    /// Not told yet.
    held: String,
    to: To,
}

#[derive(Debug)]
enum To {
    /// The line that says it has not ended.
    Unknown,
    All,
    Tool(String),
}

/// Where the next message begins.
enum Next {
    /// Here, to whom, and so long is what says so.
    At(usize, To, usize),
    /// Not before here.
    After(usize),
}

impl Recipients {
    pub fn new(prompt_end: &str, tools: Tools) -> Self {
        let to = if prompt_end.ends_with(BEFORE) { To::Unknown } else { To::All };
        Self { tools, held: String::new(), to }
    }

    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held.push_str(text);
        let mut out = Vec::new();
        while self.step(&mut out) {}
        out
    }

    pub fn finish(&mut self) -> Vec<Piece> {
        let rest = std::mem::take(&mut self.held);
        self.told(rest).into_iter().collect()
    }

    fn step(&mut self, out: &mut Vec<Piece>) -> bool {
        if matches!(self.to, To::Unknown) {
            let Some((line, _)) = self.held.split_once('\n').filter(|(line, _)| line.len() <= MAX_LINE)
            else {
                self.to = if self.held.len() > MAX_LINE { To::All } else { To::Unknown };
                return matches!(self.to, To::All);
            };
            let to = self.recipient(line);
            if to.is_some() {
                self.held.drain(..=line.len());
            }
            self.to = to.unwrap_or(To::All);
            return true;
        }
        match self.next() {
            Next::At(at, to, length) => {
                let message = self.held.drain(..at).collect();
                out.extend(self.told(message));
                self.held.drain(..length);
                self.to = to;
                true
            }
            Next::After(at) => {
                if matches!(self.to, To::All) {
                    let text = self.held.drain(..at).collect();
                    out.extend(self.told(text));
                }
                false
            }
        }
    }

    fn next(&self) -> Next {
        for (at, _) in self.held.match_indices(BEFORE) {
            let rest = &self.held[at + BEFORE.len()..];
            match rest.split_once('\n') {
                Some((line, _)) => {
                    if let Some(to) = self.recipient(line) {
                        return Next::At(at, to, BEFORE.len() + line.len() + 1);
                    }
                }
                None if rest.len() <= MAX_LINE => return Next::After(at),
                None => {}
            }
        }
        Next::After(self.held.len() - open_end(&self.held, &[BEFORE]))
    }

    fn recipient(&self, line: &str) -> Option<To> {
        match line.trim() {
            "all" => Some(To::All),
            name => self.tools.know(name).then(|| To::Tool(name.to_owned())),
        }
    }

    /// What a message, or a part of a text, says; code for Python needs no JSON.
    fn told(&self, message: String) -> Option<Piece> {
        let To::Tool(name) = &self.to else {
            return (!message.is_empty()).then_some(Piece::Text(message));
        };
        let arguments = exact::parse(&message).filter(serde_json::Value::is_object);
        let arguments = arguments.or_else(|| (name == "python").then(|| json!({ "code": message })));
        Some(match arguments {
            Some(arguments) => Piece::Call(ToolCall { id: None, name: name.clone(), arguments }),
            None => Piece::Text(format!("{BEFORE}{name}\n{message}")),
        })
    }
}
