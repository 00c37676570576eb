//! `torchless [MODEL] [PROMPT]`: a model completes a text, or answers.

mod talk;

use super::render::set_tools;
use crate::args::{RunArgs, ShowArgs};
use crate::doctor::findings::{self, device_line};
use crate::exit::{Interrupted, NoModel, Usage};
use crate::interrupt::Interrupt;
use crate::{exit, input, interrupt, open, output, policy, progress, template};
use anyhow::Result;
use serde::de::IgnoredAny;
use serde_json::json;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;
use torchless::conversation::{Conversation, Data, Grammar, ToolCall};
use torchless::{
    DoneReason, Error, Event, Firewall, GenerateOptions, Model, Passed, Prompt, Role, SamplerConfig, Source,
    Summary, TokenId, gpu,
};

/// Runs the verb.
pub fn run(args: &RunArgs) -> Result<()> {
    if args.show.list_backends {
        return list_backends(args);
    }
    let source = open::source_as(args.model.as_deref(), &args.open)?;
    let asked = what_is_asked(args, &source)?;
    let options = generate_options(args)?;
    let firewall = args.policy.as_deref().map(policy::firewall).transpose()?;
    if matches!(asked, Asked::Talk(_)) {
        interrupt::give_back_the_terminal_at_the_end()?;
    }
    let interrupt = Interrupt::install()?;
    let model = load(args, &source, firewall)?;
    let show = Shown { as_asked: &args.show, thinking: args.show_thinking };
    let seed = args.sampling.seed;
    let session = Session { model: &model, options, seed, show, interrupt: &interrupt };
    match asked {
        Asked::Once(prompt) => match session.reply(prompt, &mut Passed::default())? {
            Reply { interrupted: true, .. } => Err(Interrupted.into()),
            _ => Ok(()),
        },
        Asked::Talk(beginning) => talk::talk(&session, &beginning),
    }
}

/// One prompt, or a conversation on the terminal.
enum Asked {
    Once(Prompt),
    Talk(Conversation),
}

/// Text is completed as it is; `--chat`, `--system` and `--tools` make a conversation of it.
fn what_is_asked(args: &RunArgs, source: &Source) -> Result<Asked> {
    let given = given_prompt(args)?;
    let chat = args.chat || args.system.is_some() || args.chat_template.is_some() || args.tools.is_some();
    if args.show_thinking && !chat {
        let what = "--show-thinking is for conversations: give --chat, --system, --chat-template or --tools";
        return Err(Usage(what.to_owned()).into());
    }
    match given {
        Some(text) if chat => {
            let mut asked = beginning(args)?;
            asked.push("user", &text);
            Ok(Asked::Once(Prompt::Conversation(asked)))
        }
        Some(text) => Ok(Asked::Once(Prompt::Text(text))),
        None if chat && std::io::stdin().is_terminal() => Ok(Asked::Talk(beginning(args)?)),
        // The story model begins on its own.
        None if *source == Source::Inside && !chat => Ok(Asked::Once(Prompt::Text(String::new()))),
        None if args.model.as_ref().is_some_and(|m| !m.exists()) => {
            let path = args.model.as_deref().unwrap_or(Path::new("")).display();
            let how = "a prompt for the model inside goes after --prompt";
            Err(NoModel(format!("{path}: there is no such model file or folder ({how})")).into())
        }
        None => {
            let how = "give it after the model, with --prompt TEXT, or pipe it in";
            Err(Usage(format!("no prompt: {how} (`torchless --help` shows more)")).into())
        }
    }
}

/// Where standard input has the tools, it has no part of the prompt.
fn given_prompt(args: &RunArgs) -> Result<Option<String>> {
    let word = args.prompt.as_deref().or(args.prompt_option.as_deref());
    match word {
        _ if args.tools.as_deref() != Some(Path::new("-")) => input::prompt(word),
        None | Some("-") => {
            let what = "standard input has the tools (--tools -): give the prompt as an argument";
            Err(Usage(what.to_owned()).into())
        }
        Some(text) => Ok(Some(text.to_owned())),
    }
}

/// What a conversation has before the first message of the user.
fn beginning(args: &RunArgs) -> Result<Conversation> {
    let mut messages = Conversation::new();
    if let Some(system) = &args.system {
        messages.push("system", system);
    }
    if let Some(path) = &args.tools {
        set_tools(&mut messages, path)?;
    }
    Ok(messages)
}

fn generate_options(args: &RunArgs) -> Result<GenerateOptions> {
    let s = &args.sampling;
    let sampler = SamplerConfig {
        temperature: s.temperature,
        top_k: s.top_k,
        top_p: s.top_p,
        min_p: s.min_p,
        repeat_penalty: s.repeat_penalty,
        presence_penalty: s.presence_penalty,
        frequency_penalty: s.frequency_penalty,
        logit_bias: s.logit_bias.iter().map(|&(id, bias)| (TokenId(id), bias)).collect(),
        ..SamplerConfig::default()
    };
    // What is wrong whatever the vocabulary is said before a model is loaded.
    sampler.check(u32::MAX as usize).map_err(|e| Usage(e.to_string()))?;
    let grammar = grammar(args)?;
    Ok(GenerateOptions { sampler, max_tokens: args.max_tokens, stop: s.stop.clone(), grammar })
}

/// What the reply has to look like: from a file of that name, or from the word itself.
fn grammar(args: &RunArgs) -> Result<Option<Grammar>> {
    let source = |word: &str, is_source: &dyn Fn(&str) -> bool, what: &str| -> Result<String> {
        match Path::new(word) {
            path if input::is_there(path) => {
                let text = String::from_utf8(input::bounded(path, template::MAX_TEMPLATE)?);
                let wrong = |_| Usage(format!("{} is not UTF-8, and no {what}", path.display()));
                Ok(input::without_mark(text.map_err(wrong)?))
            }
            _ if is_source(word.trim()) => Ok(word.to_owned()),
            _ if word.trim().is_empty() => Err(Usage(format!("an empty text is no {what}")).into()),
            path if path.is_dir() => Err(Usage(format!("{word} is a folder, and no {what}")).into()),
            _ => Err(Usage(format!("{word}: there is no such file, and it is no {what}")).into()),
        }
    };
    if let Some(word) = &args.json_schema {
        let is_json = |text: &str| {
            text.starts_with(['{', '[', '"']) || serde_json::from_str::<IgnoredAny>(text).is_ok()
        };
        return Ok(Some(Grammar::JsonSchema(source(word, &is_json, "JSON schema")?)));
    }
    let is_grammar =
        |text: &str| text.contains(':') || text.len() > 1 && text.starts_with('/') && text.ends_with('/');
    let text =
        args.grammar.as_deref().map(|word| source(word, &is_grammar, "grammar (rules have `:` or `::=`)"));
    Ok(text.transpose()?.map(|text| Grammar::of_unknown_kind(&text)))
}

/// A seed of 32 bits: short enough to be typed again.
fn any_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish() & 0xFFFF_FFFF
}

fn list_backends(args: &RunArgs) -> Result<()> {
    let options = open::options(&args.open)?;
    let name = options.table()?.name;
    if args.show.json || args.show.jsonl {
        let (threads, backends) = (options.thread_count(), findings::backends());
        return Ok(output::json(
            &json!({ "event": "backends", "kernels": name, "threads": threads, "backends": backends }),
        )?);
    }
    let mut list = format!("cpu     {name}, {} threads\n", options.thread_count());
    for found in gpu::driver::list() {
        let backend = found.backend.to_string().to_lowercase();
        match found.devices {
            Ok(devices) => {
                for info in &devices {
                    let free = gpu::driver::measured_free(info.backend, info.ordinal);
                    let free = free.map_or(String::new(), |free| format!(", {} free", output::size(free)));
                    list += &format!("{backend:<6}  {}{free}\n", device_line(info));
                }
            }
            Err(error) => list += &format!("{backend:<6}  {error}\n"),
        }
    }
    Ok(output::write(&list)?)
}

fn load(args: &RunArgs, source: &Source, firewall: Option<Firewall>) -> Result<Model> {
    let debug = args.show.debug;
    if debug {
        output::note(&format!("Loading model from: {}", source.name().display()));
        if let Ok(spec) = torchless::spec(source, &source.checkpoint()?) {
            let (layers, arch, dim) = (spec.layers.len(), &spec.arch, spec.dim);
            output::note(&format!("Loading {layers} layers of {arch} ({dim} wide)..."));
        }
    }
    let mut bar = progress::LoadProgress::new(!args.show.quiet);
    let options = open::options(&args.open)?;
    let template = args.chat_template.as_deref().map(template::source).transpose()?;
    let mut model = Model::open(source, &options, &mut |done, total| bar.update(done, total))?;
    drop(bar);
    if let Some(template) = template {
        model.set_chat_template(&template)?;
    }
    if let Some(firewall) = firewall {
        model.set_firewall(firewall);
    }
    let asked = model.info().max_seq_len;
    if !args.show.quiet {
        open::warn_beyond(asked, model.trained_context());
    }
    if debug {
        output::note(&format!("Running on {}, context {asked}", model.device_name()));
        model.layout().to_string().lines().for_each(output::note);
        show_memory(&model);
        match &args.policy {
            Some(policy) => {
                output::note(&format!("Firewall: on, policy {policy}{}", open_roles(model.firewall())));
            }
            None => output::note("Firewall: open, nothing is scanned"),
        }
    }
    Ok(model)
}

/// Whose words a policy lets pass unseen.
fn open_roles(firewall: &Firewall) -> String {
    let open: Vec<&str> =
        Role::ALL.into_iter().filter(|role| firewall.is_open_for(*role)).map(Role::name).collect();
    if open.is_empty() { String::new() } else { format!("; open for: {}", open.join(", ")) }
}

/// What GPUs' memory is used for now.
fn show_memory(model: &Model) {
    for gauge in model.memory() {
        output::note(&format!("Memory of {gauge}"));
    }
}

/// What of a reply is shown, and how.
#[derive(Clone, Copy)]
struct Shown<'a> {
    as_asked: &'a ShowArgs,
    thinking: bool,
}

struct Session<'a> {
    model: &'a Model,
    options: GenerateOptions,
    /// Of every reply; without one each has another.
    seed: Option<u64>,
    show: Shown<'a>,
    interrupt: &'a Interrupt,
}

impl Session<'_> {
    /// Makes one reply and shows it; it comes back for a conversation to go on. What goes wrong is shown to programs as the last event.
    /// What of the conversation has `passed` the firewall is not shown to it again.
    fn reply(&self, prompt: Prompt, passed: &mut Passed) -> Result<Reply> {
        let mut view = View { show: self.show, reply: Reply::default(), last: Last::Nothing };
        let done = self.show_reply(prompt, passed, &mut view);
        self.interrupt.forget();
        if let Err(error) = &done {
            // What cannot be written either is no news.
            let _ = view.failed(error);
        }
        done.map(|()| view.reply)
    }

    fn show_reply(&self, prompt: Prompt, passed: &mut Passed, view: &mut View) -> Result<()> {
        let prompt = self.model.admit_after(prompt, passed)?;
        if self.show.as_asked.debug {
            let tokens: Vec<_> = self.model.encode(&prompt)?.iter().map(|t| t.0).collect();
            output::note(&format!("Tokens: {tokens:?}"));
            output::note(&format!("Processing {} prompt tokens...", tokens.len()));
        }
        let mut options = self.options.clone();
        options.sampler.seed = self.seed.unwrap_or_else(any_seed);
        let mut generation = self.model.generate(&prompt, &options)?;
        self.interrupt.watch(generation.canceller());
        let mut summary = None;
        for event in &mut generation {
            match event? {
                Event::Done(done) => summary = Some(done),
                event => view.event(&event)?,
            }
        }
        generation.remember(passed);
        if let Some(summary) = summary {
            view.done(&summary, options.sampler.seed)?;
            if self.show.as_asked.debug {
                show_memory(self.model);
            }
            view.reply.interrupted = summary.reason == DoneReason::Cancelled;
            view.reply.is_full = summary.reason == DoneReason::ContextFull;
        }
        Ok(())
    }
}

/// Shows a reply while it comes.
struct View<'a> {
    show: Shown<'a>,
    reply: Reply,
    last: Last,
}

/// What a reply said.
#[derive(Default)]
struct Reply {
    text: String,
    thinking: String,
    calls: Vec<ToolCall>,
    /// By Ctrl-C.
    interrupted: bool,
    /// It ended because the context did.
    is_full: bool,
}

impl Reply {
    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.thinking.is_empty() && self.calls.is_empty()
    }

    /// The message that it is in a conversation. Whether thinking is seen again is for the template to say.
    fn fields(&self) -> Result<Vec<(&'static str, Data)>> {
        let mut fields = vec![("content", Data::text(&self.text))];
        if !self.thinking.is_empty() {
            fields.push(("reasoning_content", Data::text(&self.thinking)));
        }
        if !self.calls.is_empty() {
            let calls = self.calls.iter().map(|call| {
                json!({ "type": "function", "id": call.id, "function": { "name": call.name, "arguments": call.arguments } })
            });
            fields.push(("tool_calls", Data::parse(&calls.collect::<serde_json::Value>().to_string())?));
        }
        Ok(fields)
    }
}

/// A call as it is shown.
fn shown_call(call: &ToolCall) -> serde_json::Value {
    let mut shown = json!({ "event": "tool_call", "name": call.name, "arguments": call.arguments });
    if let Some(id) = &call.id {
        shown["id"] = json!(id);
    }
    shown
}

/// What was printed last.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    Nothing,
    Thinking,
    Text,
    /// A line of its own.
    Call,
}

impl View<'_> {
    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Prompt { done, total } => {
                if self.show.as_asked.debug {
                    output::note(&format!("Prompt token {done}/{total}"));
                }
                if self.show.as_asked.jsonl {
                    output::json(&json!({ "event": "prompt", "done": done, "total": total }))?;
                }
            }
            Event::Text(text) => {
                self.reply.text.push_str(text);
                self.print(Last::Text, "text", text)?;
            }
            Event::Reasoning(text) => {
                self.reply.thinking.push_str(text);
                if self.show.thinking {
                    self.print(Last::Thinking, "thinking", text)?;
                }
            }
            Event::ToolCall(call) => {
                self.reply.calls.push(call.clone());
                if !self.show.as_asked.json {
                    self.end_line()?;
                    output::json(&shown_call(call))?;
                    self.last = Last::Call;
                }
            }
            Event::Done(_) => {}
        }
        Ok(())
    }

    /// Prints text, or an event that holds it.
    fn print(&mut self, kind: Last, name: &str, text: &str) -> Result<()> {
        if self.show.as_asked.jsonl {
            return Ok(output::json(&json!({ "event": name, name: text }))?);
        }
        if self.show.as_asked.json {
            return Ok(());
        }
        match (self.last, kind) {
            (Last::Thinking, Last::Text) => output::write("\n</think>\n\n")?,
            (Last::Nothing | Last::Text | Last::Call, Last::Thinking) => output::write("<think>\n")?,
            _ => {}
        }
        self.last = kind;
        Ok(output::write(text)?)
    }

    /// Ends a line that was begun.
    fn end_line(&self) -> Result<()> {
        let begun = match self.last {
            Last::Thinking => true,
            Last::Text => !self.reply.text.ends_with('\n'),
            Last::Nothing | Last::Call => false,
        };
        if begun { Ok(output::write("\n")?) } else { Ok(()) }
    }

    /// Ends the line that was begun, or tells the error as an event.
    fn failed(&self, error: &anyhow::Error) -> Result<()> {
        let show = self.show.as_asked;
        if !show.json && !show.jsonl {
            return self.end_line();
        }
        let message = exit::message(error);
        Ok(output::json(&match error.downcast_ref() {
            Some(Error::Refused(refusal)) => {
                json!({ "event": "refused", "decision": refusal.decision.name(), "message": message })
            }
            _ => json!({ "event": "error", "message": message }),
        })?)
    }

    fn done(&self, summary: &Summary, seed: u64) -> Result<()> {
        let fast = rate(summary.prompt_read, summary.prompt_time);
        // The first token comes with the prompt.
        let slow = rate(summary.reply_tokens.saturating_sub(1), summary.reply_time);
        let show = self.show.as_asked;
        if show.json || show.jsonl {
            let mut report = json!({
                "event": "done", "reason": summary.reason.name(), "seed": seed,
                "prompt_tokens": summary.prompt_tokens, "reply_tokens": summary.reply_tokens,
                "prompt_tokens_per_second": fast, "tokens_per_second": slow,
                "token_ids": summary.tokens.iter().map(|t| t.0).collect::<Vec<_>>(),
            });
            if !summary.scan_failures.is_empty() {
                report["scan_failures"] = json!(summary.scan_failures);
            }
            if show.json {
                report["text"] = json!(self.reply.text);
            }
            if show.json && !self.reply.calls.is_empty() {
                report["tool_calls"] = self.reply.calls.iter().map(shown_call).collect();
            }
            if show.json && self.show.thinking {
                report["thinking"] = json!(self.reply.thinking);
            }
            output::json(&report)?;
        } else if self.last == Last::Nothing {
            output::write("\n")?;
        } else {
            self.end_line()?;
        }
        policy::note_failures(&summary.scan_failures);
        if !show.quiet {
            let (prompt, reply, reason) =
                (summary.prompt_tokens, summary.reply_tokens, summary.reason.name());
            let told = |what: &str, speed: Option<f64>| {
                speed.map_or(String::new(), |speed| format!("{what}{speed:.1} tok/s, "))
            };
            let speeds = told("", slow) + &told("prompt ", fast);
            output::note(&format!("[{prompt} + {reply} tokens, {speeds}seed {seed}, {reason}]"));
        }
        Ok(())
    }
}

/// Tokens per second; none where there was none.
fn rate(tokens: usize, time: Duration) -> Option<f64> {
    (tokens > 0 && !time.is_zero()).then(|| tokens as f64 / time.as_secs_f64())
}
