//! Runs console blocks: lines after `$ ` are commands, the lines below are what they print.
//!
//! A command runs under `sh` with `torchless` on its path, and both of its streams count as output. A line `...`
//! stands for any lines, `...` within a line for any text. A command without lines below may print anything. It must
//! succeed unless the last line below it is `[exit status N]`. Not a terminal: commands see no keyboard.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One command and what it should do.
#[derive(Debug, PartialEq, Eq)]
pub struct Example {
    /// Line within the block, from 1.
    pub line: usize,
    /// Everything after `$ `; a backslash at the end takes the next line in.
    pub command: String,
    /// Lines it should print, with wildcards.
    pub output: Vec<String>,
    /// Exit status it should end with.
    pub status: i32,
}

/// Reads the lines of a console block.
///
/// # Errors
/// Names the first line that is not of the form above, and a command that does not run `torchless`.
pub fn examples(lines: &[String]) -> Result<Vec<Example>, String> {
    let mut found: Vec<Example> = Vec::new();
    let mut continues = false;
    for (index, text) in lines.iter().enumerate() {
        let line = index + 1;
        if let Some(command) = text.strip_prefix("$ ").filter(|_| !continues) {
            found.push(Example { line, command: command.into(), output: Vec::new(), status: 0 });
        } else {
            let last =
                found.last_mut().ok_or(format!("line {line}: output before the first '$ ' command"))?;
            if continues {
                last.command.push('\n');
                last.command.push_str(text);
            } else if let Some(status) =
                text.strip_prefix("[exit status ").and_then(|rest| rest.strip_suffix(']'))
            {
                last.status =
                    status.parse().map_err(|_| format!("line {line}: no exit status: '{status}'"))?;
            } else {
                last.output.push(text.trim_end().to_string());
            }
        }
        continues = found.last().is_some_and(|last| last.output.is_empty() && last.command.ends_with('\\'));
    }
    match found.iter().find(|example| !example.command.split_whitespace().any(|word| word == "torchless")) {
        Some(foreign) => Err(format!("line {}: '{}' does not run torchless", foreign.line, foreign.command)),
        None => Ok(found),
    }
}

/// Where commands run.
#[derive(Debug)]
pub struct Shell<'a> {
    /// Directory of the `torchless` command.
    pub program_directory: &'a Path,
    /// Working directory of the commands.
    pub directory: PathBuf,
}

impl Shell<'_> {
    /// Runs one example.
    ///
    /// # Errors
    /// Says how status or output differ from what the page shows.
    pub fn run(&self, example: &Example) -> Result<(), String> {
        let old = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(self.program_directory.to_path_buf()).chain(std::env::split_paths(&old));
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1\n{}", example.command)])
            .current_dir(&self.directory)
            .env("PATH", std::env::join_paths(path).map_err(|error| error.to_string())?)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("sh: {error}"))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let say = |fault: String| Err(format!("$ {}\n{fault}; it printed:\n{printed}", example.command));
        if output.status.code() != Some(example.status) {
            return say(format!("ended with {} instead of {}", output.status, example.status));
        }
        let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
        if !example.output.is_empty() && !output_matches(&example.output, &lines) {
            return say(format!("did not print\n{}", example.output.join("\n")));
        }
        Ok(())
    }
}

fn output_matches(wanted: &[String], printed: &[&str]) -> bool {
    matches(wanted, printed, |line| line == "...", |line, printed| line_matches(line, printed))
}

fn line_matches(wanted: &str, printed: &str) -> bool {
    let split: Vec<&str> = wanted.split("...").collect();
    let mut pattern: Vec<Option<char>> = Vec::new();
    for (index, part) in split.iter().enumerate() {
        if index > 0 {
            pattern.push(None);
        }
        pattern.extend(part.chars().map(Some));
    }
    let printed: Vec<char> = printed.chars().collect();
    matches(&pattern, &printed, Option::is_none, |wanted, printed| *wanted == Some(*printed))
}

/// Whether `pattern` covers all of `items`, where a wild entry covers any number of them. Goes back only to the last
/// wild entry, so the time is at most the product of both lengths.
fn matches<P, T>(
    pattern: &[P],
    items: &[T],
    is_wild: impl Fn(&P) -> bool,
    fits: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut item) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while item < items.len() {
        match pattern.get(at) {
            Some(entry) if is_wild(entry) => {
                at += 1;
                retry = Some((at, item));
            }
            Some(entry) if fits(entry, &items[item]) => (at, item) = (at + 1, item + 1),
            _ => match &mut retry {
                Some((after_wild, from)) => {
                    *from += 1;
                    (at, item) = (*after_wild, *from);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(is_wild)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Vec<String> {
        text.lines().map(String::from).collect()
    }

    fn check_match(wanted: &str, printed: &str, is_match: bool) {
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(output_matches(&block(wanted), &lines), is_match, "{wanted:?} against {printed:?}");
    }

    #[test]
    fn output_is_compared_with_wildcards() {
        check_match("a\nb", "a\nb", true);
        check_match("a\nb", "a\nc", false);
        check_match("a", "a\nb", false);
        check_match("a\n...", "a\nb\nc", true);
        check_match("...\nc", "a\nb\nc", true);
        check_match("...\nb\n...\nb", "a\nb\nc\nb", true);
        check_match("...\nb", "a\nb\nc", false);
        check_match("...", "", true);
        check_match("9 tokens, ... tok/s", "9 tokens, 12.5 tok/s", true);
        check_match("9 tokens, ... tok/s", "8 tokens, 12.5 tok/s", false);
        check_match("...aab", "aaab", true);
    }

    #[test]
    fn commands_output_and_status_are_read() {
        let found =
            examples(&block("$ torchless a \\\n  b\nout\n$ echo x | torchless -\n[exit status 3]")).unwrap();
        assert_eq!(found[0].command, "torchless a \\\n  b");
        assert_eq!((found[0].status, &found[0].output[..]), (0, &["out".to_string()][..]));
        assert_eq!((found[1].line, found[1].status, found[1].output.len()), (4, 3, 0));
    }

    #[test]
    fn malformed_blocks_are_refused() {
        assert!(examples(&block("out\n$ torchless")).unwrap_err().contains("before the first"));
        assert!(examples(&block("$ cargo test")).unwrap_err().contains("does not run torchless"));
        assert!(examples(&block("$ torchless\n[exit status x]")).unwrap_err().contains("no exit status"));
    }

    #[cfg(unix)]
    #[test]
    fn running_tells_status_and_output() {
        let shell = Shell { program_directory: Path::new("/"), directory: std::env::temp_dir() };
        let run = |command: &str, output: &str, status| {
            shell.run(&Example { line: 1, command: command.into(), output: block(output), status })
        };
        assert_eq!(run("printf 'a\\nb\\n'; echo c >&2", "a\n...\nc", 0), Ok(()));
        assert_eq!(run("exit 3", "", 3), Ok(()));
        assert!(run("exit 3", "", 0).unwrap_err().contains("exit status: 3 instead of 0"));
        assert!(run("echo a", "b", 0).unwrap_err().contains("did not print\nb; it printed:\na"));
    }
}
