//! A model's chat template: messages in, control parts and text parts out.

use crate::conversation::Conversation;
use crate::data::Data;
use crate::jinja::{CivilTime, Given, Origin, Template, TemplateError, Value};

/// A part of a rendered prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Written by the template: special tokens in it are meant.
    Control(String),
    /// From a message or a tool: stays text, whatever it spells.
    Text(String),
}

impl Part {
    /// The characters.
    pub fn as_str(&self) -> &str {
        match self {
            Part::Control(text) | Part::Text(text) => text,
        }
    }
}

/// What the model is to see. Neighbouring parts are of different kinds, and none is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenderedPrompt {
    /// In order.
    pub parts: Vec<Part>,
}

impl RenderedPrompt {
    /// All parts as one text.
    pub fn text(&self) -> String {
        self.parts.iter().map(Part::as_str).collect()
    }
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    template: Template,
    source: String,
}

/// What a rendering is given besides the conversation.
#[derive(Clone, Debug)]
pub struct RenderOptions {
    /// Whether the prompt ends where the assistant's reply begins.
    pub add_generation_prompt: bool,
    /// Beginning of text, or nothing.
    pub bos: String,
    /// End of text, or nothing.
    pub eos: String,
    /// What `strftime_now` says.
    pub now: CivilTime,
    /// More variables, such as `enable_thinking`.
    pub extra: Vec<(String, Data)>,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self {
            add_generation_prompt: true,
            bos: String::new(),
            eos: String::new(),
            now: CivilTime::from_unix(0),
            extra: Vec::new(),
        }
    }
}

impl ChatTemplate {
    /// Compiles a Jinja template.
    ///
    /// # Errors
    /// It is none, or it nests too deep.
    pub fn new(source: &str) -> Result<Self, TemplateError> {
        Ok(Self { template: Template::new(source)?, source: source.to_owned() })
    }

    /// The template as it came.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether tools leave no trace in what the template writes, so that no model would learn of them.
    pub fn ignores_tools(&self, tools: &Data, options: &RenderOptions) -> bool {
        let text = |roles: &[&str], tools: Option<&Data>| {
            let mut probe = Conversation::new();
            roles.iter().for_each(|role| probe.push(role, "x"));
            if let Some(tools) = tools {
                probe.set_tools(tools.clone()).ok()?;
            }
            self.render(&probe, options).ok().map(|prompt| prompt.text())
        };
        // Of a conversation that the template refuses either way nothing can be said.
        let pairs =
            [&["user"][..], &["system", "user"]].map(|roles| (text(roles, Some(tools)), text(roles, None)));
        let mut told = pairs.iter().filter(|pair| **pair != (None, None)).peekable();
        told.peek().is_some() && told.all(|(with, without)| with == without)
    }

    /// Renders a conversation.
    ///
    /// # Errors
    /// The template fails or refuses, or needs more steps, memory or depth than it gets.
    pub fn render(
        &self,
        conversation: &Conversation,
        options: &RenderOptions,
    ) -> Result<RenderedPrompt, TemplateError> {
        let mut variables = vec![
            ("messages", conversation.messages()?),
            ("tools", conversation.tools()),
            ("documents", Value::None),
            ("add_generation_prompt", Value::Bool(options.add_generation_prompt)),
            ("bos_token", Value::str(options.bos.as_str())),
            ("eos_token", Value::str(options.eos.as_str())),
        ];
        let mut size = conversation.size();
        for (name, data) in &options.extra {
            variables.push((name, data.value.clone()));
            size += data.size;
        }
        let text = self.template.render(Given { variables, size, now: options.now })?;
        let parts = text.runs().map(|(range, origin)| {
            let part = text.as_str()[range].to_owned();
            match origin {
                Origin::Template => Part::Control(part),
                Origin::Foreign => Part::Text(part),
            }
        });
        Ok(RenderedPrompt { parts: parts.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_says_stays_its_text_whatever_is_done_with_it() {
        let json = r#"[{"role": "user", "content": "<|", "format": "{0:<>1}{0:|>1}", "object": {"<|": 1}, "number": 60}]"#;
        let conversation = Conversation::from_json(json).unwrap();
        for work in [
            "strftime_now(m.content)",
            "[1, 2] | tojson(indent=m.content)",
            "[1, 2] | tojson(separators=(m.content, ''))",
            "{1: 2} | tojson(separators=('', m.content))",
            "dict(**m.object) | join",
            "keywords(**m.object)",
            "m.format.format('')",
            "('{0:' ~ m.content[0] ~ '>5}').format('')",
            "'%c' % m.number",
        ] {
            let source = format!(
                "{{% set m = messages[0] %}}{{% macro keywords() %}}{{{{ kwargs | join }}}}{{% endmacro %}}\
                 {{{{ {work} }}}}"
            );
            let template = ChatTemplate::new(&source).unwrap();
            let prompt = template.render(&conversation, &RenderOptions::default()).unwrap();
            let (control, text): (Vec<_>, Vec<_>) =
                prompt.parts.iter().partition(|part| matches!(part, Part::Control(_)));
            assert!(control.iter().all(|part| !part.as_str().contains(['<', '|'])), "{work}: {prompt:?}");
            assert!(text.iter().any(|part| part.as_str().contains('<')), "{work}: {prompt:?}");
        }
    }

    #[test]
    fn tools_that_leave_no_trace_are_ignored() {
        let tools = Data::parse(r#"[{"name": "f"}]"#).unwrap();
        for (source, ignores) in [
            ("{{ messages[0].content }}", true),
            ("{% if not tools %}a{% endif %}", false),
            ("{% if messages[0].role == 'system' %}{{ tools | tojson }}{% endif %}", false),
            ("{% if tools %}{{ raise_exception('no') }}{% endif %}", false),
            ("{{ raise_exception('no') }}", false),
        ] {
            let template = ChatTemplate::new(source).unwrap();
            assert_eq!(template.ignores_tools(&tools, &RenderOptions::default()), ignores, "{source}");
        }
    }
}
