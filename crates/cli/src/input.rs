//! Where text comes from: arguments, standard input, files of ids.

use crate::exit::Usage;
use anyhow::{Context, Result};
use std::io::{IsTerminal, Read};

/// The most text that is read from standard input.
const MAX_INPUT: u64 = 256 << 20;

/// The prompt of a run: the argument, piped input, or both, the argument first. `None` where neither is there.
///
/// # Errors
/// Standard input is no UTF-8, too long, or cannot be read.
pub fn prompt(argument: Option<&str>) -> Result<Option<String>> {
    let piped = || if is_piped() { standard_input().map(Some) } else { Ok(None) };
    match argument {
        Some("-") => standard_input().map(Some),
        Some(text) => Ok(Some(match piped()? {
            Some(more) if !more.is_empty() => join(text, &more),
            _ => text.to_owned(),
        })),
        None => piped(),
    }
}

fn join(first: &str, second: &str) -> String {
    let gap = if first.ends_with(char::is_whitespace) { "" } else { "\n" };
    format!("{first}{gap}{second}")
}

/// Text of an argument, or standard input for `-` and for nothing.
///
/// # Errors
/// Nothing was given on a terminal, or input cannot be read.
pub fn text(argument: Option<&str>) -> Result<String> {
    match argument {
        Some("-") => standard_input(),
        Some(text) => Ok(text.to_owned()),
        None if is_piped() => standard_input(),
        None => Err(Usage("no text: give it as an argument or pipe it in".to_owned()).into()),
    }
}

/// Whether something other than a person or nothing is behind standard input.
fn is_piped() -> bool {
    let stdin = std::io::stdin();
    !stdin.is_terminal() && has_source(&stdin)
}

/// Started by a service or a test, standard input may be closed or /dev/null: there is nothing to read then.
#[cfg(unix)]
fn has_source(stdin: &std::io::Stdin) -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;
    let Ok(file) = stdin.as_fd().try_clone_to_owned().map(std::fs::File::from) else { return false };
    file.metadata().is_ok_and(|m| {
        let kind = m.file_type();
        kind.is_fifo() || kind.is_file() || kind.is_socket()
    })
}

#[cfg(not(unix))]
fn has_source(_: &std::io::Stdin) -> bool {
    true
}

fn standard_input() -> Result<String> {
    let mut bytes = Vec::new();
    std::io::stdin().take(MAX_INPUT + 1).read_to_end(&mut bytes).context("reading standard input")?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(Usage(format!("standard input is longer than {MAX_INPUT} bytes")).into());
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Usage(format!("standard input is not UTF-8: byte {at} begins no character"))
    })?;
    Ok(text)
}

/// Token ids from `1,2,3`, from words, or from `@FILE`.
///
/// # Errors
/// Something is no id, or the file cannot be read.
pub fn ids(words: &[String]) -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    for word in words {
        let text = match word.strip_prefix('@') {
            Some(path) => {
                std::fs::read_to_string(path).with_context(|| format!("reading ids from {path}"))?
            }
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
    fn a_prompt_and_piped_text_are_kept_apart() {
        assert_eq!(join("Summarise:", "text"), "Summarise:\ntext");
        assert_eq!(join("Summarise: ", "text"), "Summarise: text");
    }
}
