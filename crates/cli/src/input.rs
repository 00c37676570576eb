//! Where text comes from: arguments, standard input, files of ids.

use crate::exit::Usage;
use crate::output;
use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
#[cfg(not(unix))]
use std::io::IsTerminal;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// The most text that is read from standard input.
const MAX_INPUT: u64 = 256 << 20;

/// How long standard input may take before the user is told that it is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The prompt of a run: the argument, piped input, or both, the argument first. `None` where neither is there.
///
/// Beside an argument only files and pipes are read: services and test harnesses hand down sockets that nobody
/// writes to and nobody closes.
///
/// # Errors
/// Standard input is no UTF-8, too long, or cannot be read.
pub fn prompt(argument: Option<&str>) -> Result<Option<String>> {
    match (argument, Behind::of_standard_input()) {
        (Some("-"), _) | (None, Behind::Data | Behind::Socket) => standard_input().map(Some),
        (Some(text), Behind::Data) => Ok(Some(join(text, &standard_input()?))),
        (argument, _) => Ok(argument.map(str::to_owned)),
    }
}

/// Both texts, with a line break between them unless one is empty or the first brings white space.
fn join(first: &str, second: &str) -> String {
    let apart = first.is_empty() || second.is_empty() || first.ends_with(char::is_whitespace);
    format!("{first}{}{second}", if apart { "" } else { "\n" })
}

/// A line of JSON lines. Which line it is, the caller knows: what is wrong is told with its place within the line, and without what
/// stands there, which may be anybody's secret.
///
/// # Errors
/// The line is no JSON object, or none of this kind.
pub fn row<T: DeserializeOwned>(line: &str) -> Result<T, String> {
    if !line.trim_start().starts_with('{') {
        return Err("no JSON object".to_owned());
    }
    serde_json::from_str(line).map_err(|error| {
        let whole = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        format!("{}, column {}", without_values(whole.strip_suffix(&place).unwrap_or(&whole)), error.column())
    })
}

/// What serde says is wrong, without the value that it is wrong with. Behind the last `expected` stands what the program asks for.
fn without_values(words: &str) -> String {
    let with_values = ["invalid type", "invalid value", "invalid length", "unknown variant", "unknown field"];
    if !with_values.iter().any(|start| words.starts_with(start)) {
        return words.to_owned();
    }
    match words.rsplit_once(", expected ") {
        Some((_, expected)) => format!("found something else, expected {expected}"),
        None => "not what is expected".to_owned(),
    }
}

/// Text of an argument, or standard input for `-` and for nothing.
///
/// # Errors
/// Nothing was given on a terminal, or input cannot be read.
pub fn text(argument: Option<&str>) -> Result<String> {
    match argument {
        Some("-") => standard_input(),
        Some(text) => Ok(text.to_owned()),
        None => given("give it as an argument or pipe it in").and_then(|()| standard_input()),
    }
}

/// Standard input as it comes, whether it is text or not; `-` waits for it, nothing asks for it to be there. `how` says how else to
/// give a text.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn bytes(argument: Option<&str>, how: &str) -> Result<Vec<u8>> {
    if argument.is_none() {
        given(how)?;
    }
    bytes_of_standard_input()
}

/// Refuses to wait for somebody to type.
fn given(how: &str) -> Result<()> {
    match Behind::of_standard_input() {
        Behind::Data | Behind::Socket => Ok(()),
        Behind::Nothing => Err(Usage(format!("no text: {how}")).into()),
    }
}

/// The text of a file, or standard input for `-`. One line break at its end is left out, as llama.cpp does.
///
/// # Errors
/// It cannot be read, is too long or no UTF-8.
pub fn file(path: &Path) -> Result<String> {
    let mut text = whole_file(path)?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

/// The same with every line break.
///
/// # Errors
/// As above.
pub fn whole_file(path: &Path) -> Result<String> {
    if path.as_os_str() == "-" {
        return standard_input();
    }
    let text = String::from_utf8(bounded(path, MAX_INPUT)?);
    Ok(text.map_err(|_| Usage(format!("{} is no UTF-8 text", path.display())))?)
}

/// The text without the mark of its byte order, which some programs begin files with.
pub fn without_mark(mut text: String) -> String {
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    text
}

/// Whether something can be read there: a file, a pipe such as the shell's `<(...)`, a device.
pub fn is_there(path: &Path) -> bool {
    path.metadata().is_ok_and(|what| !what.is_dir())
}

/// The bytes of a file that may be a pipe or a device, which say no size: `most` of them at most, a whole number of MiB.
///
/// # Errors
/// It cannot be read, or has more.
pub fn bounded(path: &Path, most: u64) -> Result<Vec<u8>> {
    let name = || path.display().to_string();
    let file = std::fs::File::open(path).with_context(name)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).with_context(name)?;
    if bytes.len() as u64 > most {
        return Err(Usage(format!("{} has more than {} MiB", name(), most >> 20)).into());
    }
    Ok(bytes)
}

/// What is behind standard input.
#[derive(Clone, Copy)]
enum Behind {
    /// A file, or a pipe that somebody writes to.
    Data,
    /// A socket, which may be there without anybody who writes.
    #[cfg_attr(
        not(unix),
        expect(dead_code, reason = "sockets as standard input are told apart on Unix alone")
    )]
    Socket,
    /// A person at a terminal, a device such as /dev/null, or nothing.
    Nothing,
}

impl Behind {
    #[cfg(unix)]
    fn of_standard_input() -> Self {
        use std::os::fd::AsFd;
        use std::os::unix::fs::FileTypeExt;
        let file = std::io::stdin().as_fd().try_clone_to_owned().map(std::fs::File::from);
        match file.and_then(|f| f.metadata()).map(|m| m.file_type()) {
            Ok(kind) if kind.is_fifo() || kind.is_file() => Behind::Data,
            Ok(kind) if kind.is_socket() => Behind::Socket,
            _ => Behind::Nothing,
        }
    }

    #[cfg(not(unix))]
    fn of_standard_input() -> Self {
        if std::io::stdin().is_terminal() { Behind::Nothing } else { Behind::Data }
    }
}

/// Says on standard error that standard input is waited for, if it takes long; dropping the sender ends the watch.
fn say_if_slow() -> Sender<()> {
    let (done, watched) = channel();
    std::thread::spawn(move || {
        if watched.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            output::note(
                "torchless: waiting for the end of standard input (Ctrl-D ends it at a terminal; \
                with `< /dev/null` none is read)",
            );
        }
    });
    done
}

/// All of standard input, which is to be text.
fn standard_input() -> Result<String> {
    String::from_utf8(bytes_of_standard_input()?).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Usage(format!("standard input is not UTF-8: byte {at} begins no character")).into()
    })
}

fn bytes_of_standard_input() -> Result<Vec<u8>> {
    let watch = say_if_slow();
    let mut bytes = Vec::new();
    std::io::stdin().take(MAX_INPUT + 1).read_to_end(&mut bytes).context("reading standard input")?;
    drop(watch);
    if bytes.len() as u64 > MAX_INPUT {
        return Err(Usage(format!("standard input is longer than {MAX_INPUT} bytes")).into());
    }
    Ok(bytes)
}

/// The file that ids come from, where it is one.
pub fn ids_file(word: &str) -> Option<PathBuf> {
    word.strip_prefix('@').map(PathBuf::from)
}

/// Token ids from `1,2,3`, from words, or from `@FILE`.
///
/// # Errors
/// Something is no id, or the file cannot be read.
pub fn ids(words: &[String]) -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    for word in words {
        let text = match ids_file(word) {
            Some(path) => whole_file(&path)?,
            None => word.clone(),
        };
        for id in text.split(|c: char| c == ',' || c.is_whitespace()).filter(|s| !s.is_empty()) {
            let parsed =
                id.parse().map_err(|_| Usage(format!("'{id}' is no token id: give whole numbers, 1,2,3")))?;
            ids.push(parsed);
        }
    }
    if ids.is_empty() {
        return Err(Usage("no token ids: give them as 1,2,3 or as @FILE".to_owned()).into());
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_with_commas_blanks_or_lines() {
        let ids = |words: &[&str]| ids(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(ids(&["1,2,3"]).unwrap(), [1, 2, 3]);
        assert_eq!(ids(&["1", "2 3,\n4,"]).unwrap(), [1, 2, 3, 4]);
        for wrong in ["", ",", "1,x", "-1", "4294967296", "@/no/such/file"] {
            assert!(ids(&[wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_row_is_told_without_what_stands_there() {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only read")]
        struct Row {
            role: torchless::Role,
            calls: Option<Vec<u8>>,
        }
        for (line, why) in [
            (r#"{"role": "ghp_a, expected b"}"#, "found something else, expected a role: user, system"),
            (r#"{"role": ["ghp_a"]}"#, "found something else, expected a role: user, system"),
            (r#"{"role": "user", "calls": "ghp_a"}"#, "found something else, expected a sequence, column 3"),
            (r#"{"role": "user", "calls": [{"ghp_a": 1}]}"#, "found something else, expected u8"),
            (r#"{"role": "user", "ghp_a": 1}"#, "found something else, expected `role` or `calls`, column 2"),
            (r#"{"calls": null}"#, "missing field `role`, column"),
            (r#"{"role": "user", ghp_a}"#, "key must be a string, column 18"),
        ] {
            let error = row::<Row>(line).err().unwrap();
            assert!(error.starts_with(why) && !error.contains("ghp_a"), "{line}: {error}");
        }
    }

    #[test]
    fn a_prompt_and_piped_text_are_kept_apart() {
        assert_eq!(join("Summarise:", "text"), "Summarise:\ntext");
        assert_eq!(join("Summarise: ", "text"), "Summarise: text");
        assert_eq!([join("", "text"), join("text", "")], ["text", "text"]);
    }
}
