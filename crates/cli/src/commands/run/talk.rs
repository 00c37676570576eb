//! A conversation on the terminal: what lines mean, and turn after turn.

use super::{Reply, Session};
use crate::exit;
use crate::lines::Lines;
use crate::output;
use anyhow::Result;
use torchless::conversation::Conversation;
use torchless::{Error, Prompt};

const PROMPT: &str = "> ";
const HELP: &str = "\
/clear  begin anew
/bye    end; so does Ctrl-D
/help   show this
Ctrl-C stops a reply. A message that begins with a slash is typed with two.";

/// What a line means.
#[derive(Debug, PartialEq)]
enum Line<'a> {
    Nothing,
    Bye,
    Clear,
    Help,
    Unknown(&'a str),
    Text(&'a str),
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        match line.trim() {
            "" => Line::Nothing,
            "/bye" | "/exit" | "/quit" => Line::Bye,
            "/clear" => Line::Clear,
            "/help" => Line::Help,
            _ if line.starts_with("//") => Line::Text(&line[1..]),
            word if line.starts_with('/') => Line::Unknown(word.split_whitespace().next().unwrap_or(word)),
            _ => Line::Text(line),
        }
    }
}

/// Turn by turn until the input ends. What cannot be answered is said, and leaves the conversation as it was.
pub(super) fn talk(session: &Session, beginning: &Conversation) -> Result<()> {
    session.model.render(beginning).map(drop).or_else(only_of_messages)?;
    let mut lines = Lines::open()?;
    output::note("Type a message; /help shows more, /bye or Ctrl-D ends, Ctrl-C stops a reply.");
    let mut messages = beginning.clone();
    while let Some(line) = lines.next(PROMPT)? {
        match Line::of(&line) {
            Line::Nothing => {}
            Line::Bye => return Ok(()),
            Line::Clear => messages = beginning.clone(),
            Line::Help => HELP.lines().for_each(output::note),
            Line::Unknown(word) => output::note(&format!("torchless: {}", no_command(word))),
            Line::Text(text) => {
                let mut asked = messages.clone();
                asked.push("user", text);
                let is_first = messages.len() == beginning.len();
                if let Some(reply) = answer(session, &asked, is_first)? {
                    asked.push_fields("assistant", reply.fields()?);
                    messages = asked;
                }
            }
        }
    }
    Ok(())
}

fn no_command(word: &str) -> String {
    format!(
        "{word} is no command (/help shows them); a message that begins with a slash is typed with two: /{word}"
    )
}

/// A reply that says something.
fn answer(session: &Session, asked: &Conversation, is_first: bool) -> Result<Option<Reply>> {
    let reply = match session.reply(Prompt::Conversation(asked.clone())) {
        Ok(reply) => reply,
        Err(error) if can_go_on(&error) => {
            output::note(&format!("torchless: {}", complaint(&error, is_first)));
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if reply.is_full {
        output::note(&format!("torchless: the context is full, so that the reply ended: {MORE_ROOM}"));
    }
    Ok((!reply.is_empty()).then_some(reply))
}

const MORE_ROOM: &str = "/clear begins anew, a larger --max-seq-len holds more";

/// Where more than one message is too long, a shorter one helps no more.
fn complaint(error: &anyhow::Error, is_first: bool) -> String {
    match error.downcast_ref() {
        Some(Error::PromptTooLong { tokens, limit }) if !is_first => format!(
            "the conversation is full: with this message it has {tokens} tokens, the context holds {limit}: {MORE_ROOM}"
        ),
        _ => exit::message(error),
    }
}

/// Before the first message a template may object to what is not there yet; that there is none at all, it cannot change.
fn only_of_messages(error: Error) -> Result<()> {
    if matches!(error, Error::NoTemplate) { Err(error.into()) } else { Ok(()) }
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
            ("/bye", Line::Bye),
            (" /quit ", Line::Bye),
            ("/clear", Line::Clear),
            ("/help", Line::Help),
            ("/hlep me", Line::Unknown("/hlep")),
            ("/clear it", Line::Unknown("/clear")),
            ("//etc is a folder", Line::Text("/etc is a folder")),
            ("say /bye", Line::Text("say /bye")),
            (" hi ", Line::Text(" hi ")),
        ] {
            assert_eq!(Line::of(line), want, "{line:?}");
        }
    }
}
