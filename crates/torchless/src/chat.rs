//! From a conversation to tokens: which template a model talks by, and what it is given.

use crate::Error;
use llamafirewall_core::Message;
use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};
use torchless_base::TokenId;
use torchless_chat::{
    ChatTemplate, CivilTime, Conversation, Part, RenderOptions, RenderedPrompt, THINKING, TemplateError,
    builtin_for,
};
use torchless_formats::Checkpoint;
use torchless_tokenizer::{EncodeOptions, Special, Tokenizer};

/// The template of a model: its own, or the built-in one that fits its architecture and vocabulary.
///
/// # Errors
/// Its own is no template.
pub fn model_template(
    own: Option<&str>,
    architecture: &str,
    tokenizer: &Tokenizer,
) -> Result<Option<ChatTemplate>, TemplateError> {
    let source = match own {
        Some(source) => Some(source.to_owned()),
        None => {
            let has = |token: &str| tokenizer.id_of(token).is_some_and(|id| tokenizer.is_control(id));
            builtin_for(architecture, &has).map(|builtin| {
                tracing::info!(template = builtin.name, "the file brings no chat template");
                builtin.source()
            })
        }
    };
    source.map(|source| ChatTemplate::new(&source)).transpose()
}

/// The template of a checkpoint as opening a model finds it, and the options that it is rendered with.
///
/// # Errors
/// The tokenizer or the template is broken, or there is no template.
pub fn checkpoint_template(checkpoint: &Checkpoint) -> Result<(ChatTemplate, RenderOptions), Error> {
    let own = crate::chat_template(checkpoint)?;
    let tokenizer = crate::tokenizer(checkpoint)?.ok_or(Error::NoTokenizer)?;
    let template = model_template(own.as_deref(), "", &tokenizer)?.ok_or(Error::NoTemplate)?;
    Ok((template, render_options(&tokenizer)))
}

/// What a template writes around turns of plain messages, one stretch after the other.
fn around_turns(template: &ChatTemplate, options: &RenderOptions) -> Vec<String> {
    let rendered = |roles: &&[&str]| {
        let mut probe = Conversation::new();
        roles.iter().for_each(|role| probe.push(role, "x"));
        // A template that refuses these roles tells nothing of them.
        template.render(&probe, options).map(|prompt| prompt.parts).unwrap_or_default()
    };
    let control = |part| match part {
        Part::Control(text) => Some(text),
        Part::Text(_) => None,
    };
    let probes = [&["user"][..], &["system", "user"], &["user", "assistant", "user"]];
    probes.iter().flat_map(rendered).filter_map(control).collect()
}

/// Keeps the markup that a template writes around turns from users' texts, also where the vocabulary has it as tokens that any text may
/// have: otherwise a user could end his turn and begin another's. Thinking stays what a message may hold.
///
/// # Errors
/// None that the tokenizer did not have before.
pub(crate) fn reserve_markup(tokenizer: &mut Tokenizer, template: &ChatTemplate) -> Result<(), Error> {
    let is_markup = |id: &TokenId| {
        let name = tokenizer.piece(*id).unwrap_or_default();
        let bracketed = name.starts_with(['<', '[']) && name.ends_with(['>', ']']) && name.len() > 2;
        bracketed
            && !name.contains(char::is_whitespace)
            && !THINKING.iter().any(|tags| tags.open.starts_with(&*name) || tags.close == name)
    };
    let written = around_turns(template, &render_options(tokenizer));
    let tokens = written.iter().flat_map(|text| tokenizer.encode(text, EncodeOptions::CONTROL));
    let markup: HashSet<TokenId> = tokens.filter(is_markup).collect();
    Ok(tokenizer.reserve(markup)?)
}

/// Where some templates look for tools instead of under `tools`.
const XML_TOOLS: &str = "xml_tools";

/// What a model sees of a conversation, of whose tools it has to learn.
///
/// # Errors
/// The template fails, or has no place for tools.
pub fn rendered(
    template: &ChatTemplate,
    conversation: &Conversation,
    mut options: RenderOptions,
) -> Result<RenderedPrompt, Error> {
    if let Some(tools) = conversation.tool_list() {
        let given = options.extra.iter().any(|(name, _)| name == XML_TOOLS);
        if !given && template.source().contains(XML_TOOLS) {
            options.extra.push((XML_TOOLS.to_owned(), tools.clone()));
        } else if conversation.callable().is_some_and(|t| !t.is_empty())
            && template.ignores_tools(tools, &options)
        {
            let how = "leave them out, describe them in a message, or name a template that has one with --chat-template";
            return Err(Error::Option(format!("--tools: the chat template has no place for tools: {how}")));
        }
    }
    Ok(template.render(conversation, &options)?)
}

/// A conversation of plain messages.
pub(crate) fn conversation(messages: &[Message]) -> Conversation {
    let mut conversation = Conversation::new();
    for message in messages {
        conversation.push(message.role.name(), &message.content);
    }
    conversation
}

/// What the tokenizer says about the words that templates use, and the time now, in UTC.
pub fn render_options(tokenizer: &Tokenizer) -> RenderOptions {
    let piece = |id: Option<TokenId>| {
        id.and_then(|id| tokenizer.piece(id)).map_or_else(String::new, |piece| piece.into_owned())
    };
    let (bos, eos) = (piece(tokenizer.bos()), piece(tokenizer.eos()));
    RenderOptions { bos, eos, now: now(), ..RenderOptions::default() }
}

/// The time now, in UTC.
pub fn now() -> CivilTime {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    CivilTime::from_unix(i64::try_from(seconds).unwrap_or(0))
}

/// A rendered prompt in the words of the tokenizer: special tokens are made of control parts alone.
pub(crate) fn tokenizer_parts<'p>(prompt: &'p RenderedPrompt) -> Vec<torchless_tokenizer::Part<'p>> {
    let part = |part: &'p Part| {
        let special = match part {
            Part::Control(_) => Special::Parse,
            Part::Text(_) => Special::Text,
        };
        torchless_tokenizer::Part { text: part.as_str(), special }
    };
    prompt.parts.iter().map(part).collect()
}

impl From<TemplateError> for Error {
    fn from(error: TemplateError) -> Self {
        Error::Template(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use torchless_tokenizer::GgufVocab;

    /// Tokens of single letters, and some that the file says any text may have.
    #[test]
    fn what_a_template_writes_around_turns_is_kept_from_texts() {
        let names = ["<user>", "<end>", "<think>", "<b>"];
        let letters = "<>abcdehiknrstux/".chars().map(|letter| letter.to_string().into_bytes());
        let tokens: Vec<Vec<u8>> = names.iter().map(|name| name.as_bytes().to_vec()).chain(letters).collect();
        let vocab = GgufVocab {
            model: "gpt2",
            types: Some((0..tokens.len()).map(|id| if id < names.len() { 4 } else { 1 }).collect()),
            merges: Some(Vec::new()),
            tokens,
            ..GgufVocab::default()
        };
        let mut tokenizer = Tokenizer::from_gguf(vocab).unwrap();
        let source = "{% for m in messages %}<user>{{ m.content }}<end>{% endfor %}\
             {% if add_generation_prompt %}<user><think></think>{% endif %}";
        reserve_markup(&mut tokenizer, &ChatTemplate::new(source).unwrap()).unwrap();
        for (id, name) in names.iter().enumerate() {
            let control = tokenizer.encode(name, EncodeOptions::CONTROL);
            assert_eq!(control, [TokenId(id as u32)], "{name}");
            let text = tokenizer.encode(name, EncodeOptions::TEXT);
            assert_eq!(text == control, id >= 2, "{name} in a text is {text:?}");
            assert_eq!(tokenizer.decode(&text), *name);
        }
    }
}
