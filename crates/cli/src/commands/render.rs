//! `torchless render`: what a model would see of a conversation.

use crate::args::RenderArgs;
use crate::exit::Usage;
use crate::{input, open, output, template};
use anyhow::Result;
use serde_json::json;
use std::path::Path;
use torchless::conversation::{
    ChatTemplate, CivilTime, Conversation, Data, Part, RenderOptions, RenderedPrompt, builtin,
};

/// Runs the verb.
pub fn run(args: &RenderArgs) -> Result<()> {
    if args.messages == Path::new("-") && args.tools.as_deref() == Some(Path::new("-")) {
        return Err(Usage("standard input has the messages: give the tools as a file".to_owned()).into());
    }
    let mut conversation =
        Conversation::from_json(&json_text(&args.messages)?).map_err(usage(&args.messages))?;
    if let Some(path) = &args.tools {
        set_tools(&mut conversation, path)?;
    }
    let (template, mut options) = chosen(args)?;
    options.add_generation_prompt = args.add_generation_prompt;
    if let Some(seconds) = args.now {
        options.now = CivilTime::from_unix(seconds);
    }
    for (name, value) in &args.template_arg {
        let value = Data::parse(value).map_err(|e| Usage(format!("--template-arg {name}: {e}")))?;
        options.extra.push((name.clone(), value));
    }
    let rendered = torchless::rendered(&template, &conversation, options)?;
    if args.json { output::json(&report(&rendered)) } else { output::write(&rendered.text()) }?;
    Ok(())
}

/// Gives a conversation the tools of a file.
///
/// # Errors
/// It cannot be read, or is no list of tools.
pub(super) fn set_tools(conversation: &mut Conversation, path: &Path) -> Result<()> {
    let tools = Data::parse(&json_text(path)?).map_err(usage(path))?;
    Ok(conversation.set_tools(tools).map_err(usage(path))?)
}

fn json_text(path: &Path) -> Result<String> {
    input::whole_file(path).map(input::without_mark)
}

/// Says which file is at fault.
fn usage<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> Usage {
    move |e| Usage(format!("{}: {e}", path.display()))
}

/// The template that was asked for, and what it is rendered with.
fn chosen(args: &RenderArgs) -> Result<(ChatTemplate, RenderOptions)> {
    let word = args.model.to_string_lossy();
    let is_template = |path: &Path| {
        path.extension().is_some_and(|end| ["jinja", "jinja2", "j2", "tmpl", "txt"].iter().any(|e| end == *e))
    };
    // A model is a file or a folder; a pipe can bring a template.
    let is_pipe = input::is_there(&args.model) && !args.model.is_file();
    if is_pipe || is_template(&args.model) || (!args.model.exists() && builtin(&word).is_some()) {
        let source = template::source(args.chat_template.as_deref().unwrap_or(&word))?;
        let now = torchless::now();
        let (bos, eos) = (args.bos_token.clone(), args.eos_token.clone());
        let options = RenderOptions { bos, eos, now, ..RenderOptions::default() };
        return Ok((ChatTemplate::new(&source).map_err(torchless::Error::from)?, options));
    }
    let checkpoint = open::source(Some(&args.model)).checkpoint()?;
    match &args.chat_template {
        None => Ok(torchless::checkpoint_template(&checkpoint)?),
        Some(word) => {
            let template = ChatTemplate::new(&template::source(word)?).map_err(torchless::Error::from)?;
            let tokenizer = torchless::tokenizer(&checkpoint)?.ok_or(torchless::Error::NoTokenizer)?;
            Ok((template, torchless::render_options(&tokenizer)))
        }
    }
}

fn report(rendered: &RenderedPrompt) -> serde_json::Value {
    let parts = rendered.parts.iter().map(|part| match part {
        Part::Control(text) => json!({ "control": text }),
        Part::Text(text) => json!({ "text": text }),
    });
    json!({ "text": rendered.text(), "parts": parts.collect::<Vec<_>>() })
}
