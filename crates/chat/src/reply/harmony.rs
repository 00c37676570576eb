//! Replies of gpt-oss: messages in channels, each with a header between control tokens.
//!
//! `<|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...<|return|>`; a call is a
//! message in the channel `commentary` whose header says `to=functions.NAME`.

use super::calls::ToolCall;
use super::tools::Tools;
use super::{Piece, exact};

#[derive(Debug)]
pub(super) struct Harmony {
    /// Between `<|start|>` or `<|channel|>` and `<|message|>`.
    header: Option<String>,
    channel: Channel,
    /// The arguments of a call so far.
    call: String,
    tools: Tools,
}

#[derive(Clone, Debug, PartialEq)]
enum Channel {
    Final,
    Analysis,
    /// To whom.
    Call(String),
}

impl Harmony {
    pub fn new(prompt_end: &str, tools: Tools) -> Self {
        // The prompt ends in `<|start|>assistant`: what follows is the rest of the header.
        let header = prompt_end.ends_with("assistant").then(String::new);
        Self { header, channel: Channel::Final, call: String::new(), tools }
    }

    /// Whether the reply begins within the header of a message.
    pub fn begins_in_header(&self) -> bool {
        self.header.is_some()
    }

    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        if let Some(header) = &mut self.header {
            header.push_str(text);
            return Vec::new();
        }
        match &self.channel {
            _ if text.is_empty() => Vec::new(),
            Channel::Final => vec![Piece::Text(text.to_owned())],
            Channel::Analysis => vec![Piece::Reasoning(text.to_owned())],
            Channel::Call(_) => {
                self.call.push_str(text);
                Vec::new()
            }
        }
    }

    pub fn control(&mut self, name: &str) -> Vec<Piece> {
        match name {
            "<|start|>" => {
                let ended = self.end();
                self.header = Some(String::new());
                ended
            }
            "<|channel|>" | "<|constrain|>" => {
                self.header.get_or_insert_default().push_str(" | ");
                Vec::new()
            }
            "<|message|>" => {
                let header = self.header.take().unwrap_or_default();
                self.channel = channel(&header);
                Vec::new()
            }
            "<|end|>" | "<|return|>" | "<|call|>" => self.end(),
            _ => Vec::new(),
        }
    }

    pub fn finish(&mut self) -> Vec<Piece> {
        let header = self.header.take().filter(|header| !header.trim().is_empty());
        let mut pieces = self.end();
        pieces.extend(header.map(Piece::Text));
        pieces
    }

    fn end(&mut self) -> Vec<Piece> {
        let call = std::mem::take(&mut self.call);
        let Channel::Call(to) = std::mem::replace(&mut self.channel, Channel::Final) else {
            return Vec::new();
        };
        let name = to.strip_prefix("functions.").unwrap_or(&to).to_owned();
        let arguments = exact::parse(&call).filter(serde_json::Value::is_object);
        let found = arguments.map(|arguments| ToolCall { id: None, name, arguments });
        match found.filter(|found| self.tools.know(&found.name)) {
            Some(found) => vec![Piece::Call(found)],
            None if call.is_empty() => Vec::new(),
            None => vec![Piece::Text(format!("to={to} {call}"))],
        }
    }
}

/// Whether a message with this header is for the reader.
pub(crate) fn is_for_reader(header: &str) -> bool {
    channel(header) == Channel::Final
}

/// The channel that a header such as `assistant to=functions.f | commentary | json` names.
fn channel(header: &str) -> Channel {
    let words: Vec<&str> = header.split_whitespace().collect();
    let to = words.iter().find_map(|word| word.strip_prefix("to="));
    if let Some(to) = to {
        return Channel::Call(to.to_owned());
    }
    if words.contains(&"analysis") { Channel::Analysis } else { Channel::Final }
}
