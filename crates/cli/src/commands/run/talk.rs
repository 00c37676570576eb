//! A conversation on the terminal: what lines mean, and turn after turn.

use super::Session;
use crate::exit;
use crate::lines::Lines;
use crate::output;
use anyhow::Result;
use std::ops::ControlFlow;
use torchless::conversation::{Conversation, Data, ToolCall};
use torchless::{Error, Passed, Prompt, counted};

const PROMPT: &str = "> ";
const HELP: &str = "\
/clear  begin anew
/bye    end; so does Ctrl-D
/help   show this
After a call of a tool, its result is asked for. A message that begins with a slash is typed with two.
Ctrl-C stops a reply; pressed twice in place of a message, it ends the conversation.";

/// What a line means.
#[derive(Debug, PartialEq)]
enum Line<'a> {
    Nothing,
    Command(Command),
    Help,
    Unknown(&'a str),
    Text(&'a str),
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        match line.trim() {
            "" => Line::Nothing,
            "/bye" | "/exit" | "/quit" => Line::Command(Command::Bye),
            "/clear" => Line::Command(Command::Clear),
            "/help" => Line::Help,
            _ if line.starts_with("//") => Line::Text(&line[1..]),
            word if line.starts_with('/') => Line::Unknown(word.split_whitespace().next().unwrap_or(word)),
            _ => Line::Text(line),
        }
    }
}

/// What ends or drops a conversation.
#[derive(Debug, PartialEq)]
enum Command {
    Bye,
    Clear,
}

/// A conversation under way.
struct Talk<'a> {
    session: &'a Session<'a>,
    lines: Lines,
    beginning: &'a Conversation,
    messages: Conversation,
    /// Of the last reply: their results come next.
    calls: Vec<ToolCall>,
    /// What of the messages the firewall has seen.
    passed: Passed,
}

/// Turn by turn until the input ends. What cannot be answered is said, and leaves the conversation as it was.
pub(super) fn talk(session: &Session, beginning: &Conversation) -> Result<()> {
    session.model.render(beginning).map(drop).or_else(only_of_messages)?;
    let lines = Lines::open()?;
    session.interrupt.talk();
    if !session.show.as_asked.quiet {
        output::note("Type a message; /help shows more, /bye or Ctrl-D ends, Ctrl-C stops a reply.");
    }
    let (messages, calls) = (beginning.clone(), Vec::new());
    let mut talk = Talk { session, lines, beginning, messages, calls, passed: Passed::default() };
    loop {
        match talk.ask()? {
            ControlFlow::Continue((asked, alone)) => talk.answer(asked, alone)?,
            ControlFlow::Break(Command::Clear) => {
                talk.messages = beginning.clone();
                talk.calls.clear();
            }
            ControlFlow::Break(Command::Bye) => return Ok(()),
        }
    }
}

impl Talk<'_> {
    /// The conversation with what is typed next, a message or the results of calls; and that behind the beginning alone.
    fn ask(&mut self) -> Result<ControlFlow<Command, (Conversation, Conversation)>> {
        let (mut asked, mut alone) = (self.messages.clone(), self.beginning.clone());
        if self.calls.is_empty() {
            match typed(&mut self.lines, PROMPT)? {
                ControlFlow::Continue(text) => [&mut asked, &mut alone].map(|c| c.push("user", &text)),
                ControlFlow::Break(command) => return Ok(ControlFlow::Break(command)),
            };
        }
        for call in &self.calls {
            match typed(&mut self.lines, &format!("result of {}{PROMPT}", output::escaped(&call.name)))? {
                ControlFlow::Continue(text) => {
                    [&mut asked, &mut alone].map(|c| c.push_fields("tool", result(call, &text)))
                }
                ControlFlow::Break(command) => return Ok(ControlFlow::Break(command)),
            };
        }
        Ok(ControlFlow::Continue((asked, alone)))
    }

    fn answer(&mut self, mut asked: Conversation, alone: Conversation) -> Result<()> {
        let mut reply = match self.session.reply(Prompt::Conversation(asked.clone()), &mut self.passed) {
            Ok(reply) => reply,
            Err(error) if can_go_on(&error) => {
                output::note(&format!("torchless: {}", self.complaint(error, alone)));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if reply.is_full && !self.session.show.as_asked.quiet {
            output::note(&format!("torchless: the context is full, so that the reply ended: {MORE_ROOM}"));
        }
        if reply.is_empty() {
            return Ok(());
        }
        name_calls(&mut reply.calls, asked.len());
        asked.push_fields("assistant", reply.fields()?);
        self.messages = asked;
        self.calls = reply.calls;
        Ok(())
    }

    /// Where a message is too long, it may be so by itself, or because of what was said before.
    fn complaint(&self, error: anyhow::Error, alone: Conversation) -> String {
        let Some(&Error::PromptTooLong { tokens, limit }) = error.downcast_ref() else {
            return exit::message(&error);
        };
        let model = self.session.model;
        let alone = model.admit(Prompt::Conversation(alone)).and_then(|prompt| model.encode(&prompt));
        match alone {
            Err(error @ Error::PromptTooLong { .. }) => exit::message(&error.into()),
            Ok(ids) if ids.len() > limit => {
                exit::message(&Error::PromptTooLong { tokens: ids.len(), limit }.into())
            }
            _ => format!(
                "the conversation is full: with this message it has {}, the context holds {limit}: {MORE_ROOM}",
                counted(tokens)
            ),
        }
    }
}

/// The next text that is typed, or what ends the conversation. What is asked on the way is answered.
fn typed(lines: &mut Lines, prompt: &str) -> Result<ControlFlow<Command, String>> {
    while let Some(line) = lines.next(prompt)? {
        match Line::of(&line) {
            Line::Nothing => {}
            Line::Command(command) => return Ok(ControlFlow::Break(command)),
            Line::Help => HELP.lines().for_each(output::note),
            Line::Unknown(word) => output::note(&format!("torchless: {}", no_command(word))),
            Line::Text(text) => return Ok(ControlFlow::Continue(text.to_owned())),
        }
    }
    Ok(ControlFlow::Break(Command::Bye))
}

/// Gives calls an id that the model gave none: results name it. Some templates want nine letters and digits. `at` is the place of the
/// reply in the conversation, which makes them unique there.
fn name_calls(calls: &mut [ToolCall], at: usize) {
    for (i, call) in calls.iter_mut().enumerate() {
        call.id.get_or_insert_with(|| format!("call{:05}", at + i));
    }
}

/// The fields of a result, in the words of the usual APIs.
fn result(call: &ToolCall, text: &str) -> Vec<(&'static str, Data)> {
    let mut fields = vec![("name", Data::text(&call.name)), ("content", Data::text(text))];
    fields.extend(call.id.as_ref().map(|id| ("tool_call_id", Data::text(id))));
    fields
}

fn no_command(word: &str) -> String {
    let why = match Line::of(word) {
        Line::Unknown(_) => "is no command (/help shows them)",
        _ => "is a command on a line of its own",
    };
    format!("{word} {why}; a message that begins with a slash is typed with two: /{word}")
}

const MORE_ROOM: &str = "/clear begins anew, a larger --max-seq-len holds more";

/// Before the first message a template may object to what is not there yet; that there is none at all, or that it has no place
/// for tools, messages cannot change.
fn only_of_messages(error: Error) -> Result<()> {
    if matches!(error, Error::NoTemplate | Error::Option(_)) { Err(error.into()) } else { Ok(()) }
}

/// Whether another message may be answered after this.
fn can_go_on(error: &anyhow::Error) -> bool {
    use Error::{EmptyPrompt, PromptTooLong, Refused, Template};
    let error = error.downcast_ref::<Error>();
    error.is_some_and(|error| matches!(error, PromptTooLong { .. } | EmptyPrompt | Refused(_) | Template(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_or_text() {
        for (line, want) in [
            (" ", Line::Nothing),
            ("/bye", Line::Command(Command::Bye)),
            (" /quit ", Line::Command(Command::Bye)),
            ("/clear", Line::Command(Command::Clear)),
            ("/help", Line::Help),
            ("/hlep me", Line::Unknown("/hlep")),
            ("/clear it", Line::Unknown("/clear")),
            ("//etc is a folder", Line::Text("/etc is a folder")),
            ("say /bye", Line::Text("say /bye")),
            (" hi ", Line::Text(" hi ")),
        ] {
            assert_eq!(Line::of(line), want, "{line:?}");
        }
        assert!(matches!(Line::of("/clear\n/bye"), Line::Unknown("/clear")));
        assert!(no_command("/clear").contains("/clear is a command on a line of its own"));
        assert!(no_command("/hlep").contains("/hlep is no command"));
    }
}
