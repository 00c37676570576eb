//! Calls whose arguments stand between tags as plain text: of which type they are, the tool's schema says.

use super::ToolCall;
use super::tools::Tools;
use serde_json::{Map, Value};

/// The tags of such calls.
#[derive(Debug)]
pub(super) struct Markup {
    /// Before the name of the tool and after it; where nothing is after it, it ends where the first argument begins.
    tool: (&'static str, &'static str),
    /// Around the name of an argument; the first of several that fits.
    key: (&'static str, &'static [&'static str]),
    /// Around its value.
    value: (&'static str, &'static str),
    /// After all arguments.
    end: &'static str,
    /// Values stand on lines of their own.
    lines: bool,
}

const FUNCTION: Markup = Markup {
    tool: ("<function=", ">"),
    key: ("<parameter=", &[">"]),
    value: ("", "</parameter>"),
    end: "</function>",
    lines: true,
};
/// Qwen3-Coder, Nemotron 3 and Step.
pub(super) const QWEN: &Markup = &FUNCTION;
pub(super) const SEED: &Markup = &Markup { lines: false, ..FUNCTION };
pub(super) const MINIMAX: &Markup = &Markup {
    tool: ("<invoke name=\"", "\">"),
    key: ("<parameter name=\"", &["\">"]),
    value: ("", "</parameter>"),
    end: "</invoke>",
    lines: false,
};
/// DeepSeek V3.2, which says beside the name whether the value is a text; the tool's schema says so as well.
pub(super) const DSML: &Markup = &Markup {
    tool: ("<｜DSML｜invoke name=\"", "\">"),
    key: ("<｜DSML｜parameter name=\"", &["\" string=\"true\">", "\" string=\"false\">", "\">"]),
    value: ("", "</｜DSML｜parameter>"),
    end: "</｜DSML｜invoke>",
    lines: false,
};
pub(super) const GLM: &Markup = &Markup {
    tool: ("", ""),
    key: ("<arg_key>", &["</arg_key>"]),
    value: ("<arg_value>", "</arg_value>"),
    end: "",
    lines: false,
};

impl Markup {
    /// The calls of a text that holds nothing else.
    pub fn calls(&self, text: &str, tools: &Tools) -> Option<Vec<ToolCall>> {
        let (mut calls, mut rest) = (Vec::new(), text.trim());
        while !rest.is_empty() {
            let (call, after) = self.call(rest, tools)?;
            calls.push(call);
            rest = after.trim_start();
        }
        Some(calls)
    }

    /// Whether a text that is no call may become one as it goes on.
    pub fn is_begun(&self, text: &str) -> bool {
        text.contains(self.key.0) || !self.tool.0.is_empty() && text.contains(self.tool.0)
    }

    fn call<'t>(&self, text: &'t str, tools: &Tools) -> Option<(ToolCall, &'t str)> {
        let text = text.strip_prefix(self.tool.0)?;
        let (name, mut rest) = match self.tool.1 {
            "" => text.split_at(text.find(self.key.0).unwrap_or(text.len())),
            end => text.split_once(end)?,
        };
        let name = name.trim();
        let mut arguments = Map::new();
        loop {
            rest = rest.trim_start();
            if let Some(after) = self.ended(rest) {
                let arguments = Value::Object(arguments);
                return Some((ToolCall { id: None, name: name.to_owned(), arguments }, after));
            }
            let (key, after) = self.keyed(rest)?;
            arguments.insert(key.to_owned(), Value::Null);
            let next = |key: &str, on_own_line: bool| {
                !arguments.contains_key(key) && (on_own_line || tools.declare(name, key))
            };
            let (value, after) = self.valued(after, &next)?;
            arguments.insert(key.to_owned(), tools.argument(name, key, value));
            rest = after;
        }
    }

    /// What follows the end of a call, which is another one or nothing.
    fn ended<'t>(&self, text: &'t str) -> Option<&'t str> {
        let after = text.strip_prefix(self.end)?.trim_start();
        let more = !self.end.is_empty() && after.starts_with(self.tool.0);
        (after.is_empty() || more).then_some(after)
    }

    /// The name of an argument, and what follows where its value begins.
    fn keyed<'t>(&self, text: &'t str) -> Option<(&'t str, &'t str)> {
        let text = text.strip_prefix(self.key.0)?;
        let (key, after) = text.split_at(text.find(['<', '>', '"', '\n'])?);
        let mut after = self.key.1.iter().find_map(|end| after.strip_prefix(end))?;
        if !self.value.0.is_empty() {
            after = after.trim_start().strip_prefix(self.value.0)?;
        }
        Some((key.trim(), after))
    }

    /// A value, and what follows it. It ends where the call does or where a `next` argument begins, as it may hold tags itself.
    fn valued<'t>(&self, text: &'t str, next: &dyn Fn(&str, bool) -> bool) -> Option<(&'t str, &'t str)> {
        let ends = |after: &str| {
            let rest = after.trim_start();
            let on_own_line = after[..after.len() - rest.len()].contains('\n');
            self.ended(rest).is_some() || self.keyed(rest).is_some_and(|(key, _)| next(key, on_own_line))
        };
        let closed = text.match_indices(self.value.1).map(|(at, tag)| (at, &text[at + tag.len()..]));
        let (at, after) = closed.into_iter().find(|(_, after)| ends(after))?;
        let mut value = &text[..at];
        if self.lines {
            value = value.strip_prefix('\n').unwrap_or(value);
            value = value.strip_suffix('\n').unwrap_or(value);
        }
        Some((value, after))
    }
}
