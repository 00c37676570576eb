//! Lines that a person types at the terminal, with a line editor: history, editing, pasted text of several lines.

use crate::exit::Interrupted;
use crate::output;
use anyhow::{Context, Result};
use rustyline::error::ReadlineError;
use rustyline::history::{History, MemHistory};
use rustyline::{Behavior, Config, Editor};
use std::io::ErrorKind;

/// Where lines come from.
pub struct Lines {
    editor: Editor<(), MemHistory>,
}

impl Lines {
    /// Opens the terminal. It is written to itself, so that a transcript that goes to a file has no prompts.
    ///
    /// # Errors
    /// There is no terminal.
    pub fn open() -> Result<Self> {
        let config = Config::builder().behavior(Behavior::PreferTerm).auto_add_history(false).build();
        let editor = Editor::with_history(config, MemHistory::new()).context("opening the terminal")?;
        Ok(Self { editor })
    }

    /// The next line, however long, without its end, asked for by `prompt`; `None` where input ends. It can be had back by the arrow
    /// keys.
    ///
    /// # Errors
    /// Ctrl-C twice: the first may have been meant for the reply that just ended. Or the terminal cannot be read.
    pub fn next(&mut self, prompt: &str) -> Result<Option<String>> {
        let mut pressed = false;
        loop {
            match self.editor.readline(prompt) {
                Ok(line) => {
                    self.editor.history_mut().add(&line).context("remembering a line")?;
                    return Ok(Some(line));
                }
                Err(ReadlineError::Eof) => return Ok(None),
                Err(ReadlineError::Interrupted) if pressed => return Err(Interrupted.into()),
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
