//! Lines that a person types at the terminal, with a line editor where the terminal has what it needs: history, editing, pasted text of
//! several lines.

use crate::exit::Interrupted;
use crate::output;
use anyhow::{Context, Result};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::{History, MemHistory};
use rustyline::validate::Validator;
use rustyline::{Behavior, ColorMode, Config, Editor, Helper};
use std::borrow::Cow;
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, ErrorKind, IsTerminal, Write};

/// Where lines come from.
pub struct Lines {
    source: Source,
}

enum Source {
    Editor(Box<Editor<Shown, MemHistory>>),
    /// The terminal's own lines. The prompt goes to the terminal where it can be opened, else to standard error.
    Plain(Option<File>),
}

impl Lines {
    /// Opens the terminal. It is written to itself, so that a transcript that goes to a file has no prompts.
    ///
    /// # Errors
    /// There is no terminal.
    pub fn open() -> Result<Self> {
        let terminal = terminal();
        // Without one the editor would draw on standard output.
        let can_draw = terminal.is_some() || std::io::stdout().is_terminal();
        if is_plain(&std::env::var("TERM").unwrap_or_default()) || !can_draw {
            return Ok(Self { source: Source::Plain(terminal) });
        }
        // What is shown goes through `Shown` whatever NO_COLOR says: it has no colours.
        let config = Config::builder().behavior(Behavior::PreferTerm).color_mode(ColorMode::Forced);
        let config = config.auto_add_history(false).build();
        let mut editor = Editor::with_history(config, MemHistory::new()).context("opening the terminal")?;
        editor.set_helper(Some(Shown::default()));
        Ok(Self { source: Source::Editor(Box::new(editor)) })
    }

    /// The next line, however long, without its end, asked for by `prompt`; `None` where input ends. It can be had back by the arrow
    /// keys. What was typed beyond it stays for the next call.
    ///
    /// # Errors
    /// Ctrl-C twice with nothing typed in between: the first may have been meant for the reply that just ended, or for what was typed.
    /// Or the terminal cannot be read.
    pub fn next(&mut self, prompt: &str) -> Result<Option<String>> {
        let mut pressed = false;
        loop {
            match self.source.read(prompt) {
                Ok(line) => {
                    let controls = controls(&line);
                    if !controls.is_empty() {
                        output::note(&format!("torchless: this has control characters: {controls}"));
                    }
                    return Ok(Some(line));
                }
                Err(ReadlineError::Eof) => return Ok(None),
                Err(ReadlineError::Interrupted) if pressed && !self.source.drops_text() => {
                    return Err(Interrupted.into());
                }
                Err(ReadlineError::Interrupted) => {
                    pressed = true;
                    output::note("Ctrl-C once more ends the conversation, as /bye and Ctrl-D do.");
                }
                Err(ReadlineError::Io(e)) if e.kind() == ErrorKind::InvalidData => {
                    output::note("torchless: that was no UTF-8: type it again");
                }
                Err(error) => return Err(error).context("reading the terminal"),
            }
        }
    }
}

impl Source {
    /// Whether the line that Ctrl-C dropped had something in it. The terminal's own lines never come so far: its Ctrl-C is a signal.
    fn drops_text(&self) -> bool {
        match self {
            Source::Editor(editor) => editor.helper().is_some_and(|shown| shown.has_text.get()),
            Source::Plain(_) => false,
        }
    }

    fn read(&mut self, prompt: &str) -> rustyline::Result<String> {
        match self {
            Source::Editor(editor) => {
                let line = editor.readline(prompt)?;
                editor.history_mut().add(&line)?;
                Ok(line)
            }
            Source::Plain(terminal) => {
                match terminal {
                    Some(terminal) => terminal.write_all(prompt.as_bytes())?,
                    None => std::io::stderr().lock().write_all(prompt.as_bytes())?,
                }
                line_of(std::io::stdin().lock())
            }
        }
    }
}

/// The terminal itself, wherever the program's input and output go.
fn terminal() -> Option<File> {
    if cfg!(unix) { OpenOptions::new().write(true).open("/dev/tty").ok() } else { None }
}

/// Terminals that cannot move the cursor. The editor knows the same and would write prompts to standard output there.
fn is_plain(term: &str) -> bool {
    ["dumb", "cons25", "emacs"].iter().any(|plain| plain.eq_ignore_ascii_case(term))
}

fn line_of(mut input: impl BufRead) -> rustyline::Result<String> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Err(ReadlineError::Eof);
    }
    let end = line.trim_end_matches('\n').trim_end_matches('\r').len();
    line.truncate(end);
    Ok(line)
}

/// Control characters other than the ends of lines and tabs.
fn is_steering(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

/// The control characters of a line, each once, spelled.
fn controls(line: &str) -> String {
    let mut found: Vec<char> = line.chars().filter(|&c| is_steering(c)).collect();
    found.sort_unstable();
    found.dedup();
    found.iter().map(|c| output::escaped(&c.to_string())).collect::<Vec<_>>().join(" ")
}

/// Leaves control characters out of what the editor shows: pasted ones would steer the terminal. The editor counts no columns for them.
#[derive(Default)]
struct Shown {
    /// Whether the line has text: the editor asks after every change of it.
    has_text: Cell<bool>,
}

impl Highlighter for Shown {
    fn highlight<'l>(&self, line: &'l str, _pos: usize) -> Cow<'l, str> {
        if line.contains(is_steering) { line.replace(is_steering, "").into() } else { line.into() }
    }

    fn highlight_char(&self, line: &str, _pos: usize, _kind: CmdKind) -> bool {
        self.has_text.set(!line.is_empty());
        line.contains(is_steering)
    }
}

impl Completer for Shown {
    type Candidate = String;
}

impl Hinter for Shown {
    type Hint = String;
}

impl Validator for Shown {}

impl Helper for Shown {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_line_are_told_and_not_shown() {
        assert_eq!(controls("a\u{9b}b\u{7}c\u{7}\td\n"), "\\u0007 \\u009b");
        assert_eq!(controls("a\tb\nc"), "");
        assert_eq!(Shown::default().highlight("a\u{9b}31m\u{7}\u{1b}[2J\tb\nc", 0), "a31m[2J\tb\nc");
    }

    #[test]
    fn plain_lines_end_anyhow() {
        let mut input: &[u8] = b"one\r\ntwo\n\nlast";
        let read: Vec<String> = std::iter::from_fn(|| line_of(&mut input).ok()).collect();
        assert_eq!(read, ["one", "two", "", "last"]);
        assert!(matches!(line_of(&mut input), Err(ReadlineError::Eof)));
    }
}
