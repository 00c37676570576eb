//! What is scanned: standard input, files, folders with all that is in them, conversations.

use crate::exit::Usage;
use crate::firewall_args::ScanArgs;
use crate::input;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use torchless::firewall::ToolCall;
use torchless::{Message, Role};

/// The most of a file that is read.
const MAX_FILE: u64 = 256 << 20;

/// Where a text stands.
#[derive(Clone)]
pub struct Source {
    /// Its file; `-` for standard input.
    pub file: String,
    /// Its line, in a conversation.
    pub line: Option<usize>,
}

/// Messages of one file: a text alone, or a conversation.
pub struct Input {
    pub file: String,
    /// And the line that each stands in.
    pub messages: Vec<(Message, Option<usize>)>,
}

/// A line of a conversation.
#[derive(Deserialize)]
struct Row {
    role: Option<Role>,
    #[serde(alias = "text")]
    content: Option<String>,
    #[serde(default)]
    tool_calls: Vec<CallRow>,
}

/// A call, as the endpoints of chat give it or without its wrapping.
#[derive(Deserialize)]
struct CallRow {
    function: Option<FunctionRow>,
    name: Option<String>,
    arguments: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct FunctionRow {
    name: String,
    arguments: serde_json::Value,
}

/// Reads what is to be scanned.
///
/// # Errors
/// A file cannot be read, or a conversation is none.
pub fn read(args: &ScanArgs) -> Result<Vec<Input>> {
    let role = args.role.role();
    if args.files.is_empty() || args.files == [Path::new("-")] {
        let text = input::text(if args.files.is_empty() { None } else { Some("-") })?;
        return Ok(vec![Input { file: "-".to_owned(), messages: vec![(Message::new(role, text), None)] }]);
    }
    let mut inputs = Vec::new();
    for path in &args.files {
        for file in files(path)? {
            inputs.push(file_input(&file, role)?);
        }
    }
    Ok(inputs)
}

/// A file, or every file of a folder in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let reading = || format!("reading {}", path.display());
    if !std::fs::metadata(path).with_context(reading)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries: Vec<_> = std::fs::read_dir(path).with_context(reading)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            eprintln!("torchless: {}: a link, which is not followed", entry.path().display());
        } else if kind.is_dir() || kind.is_file() {
            found.extend(files(&entry.path())?);
        } else {
            eprintln!("torchless: {}: neither file nor folder, not scanned", entry.path().display());
        }
    }
    Ok(found)
}

fn file_input(path: &Path, role: Role) -> Result<Input> {
    let file = path.display().to_string();
    let length = std::fs::metadata(path).with_context(|| format!("reading {file}"))?.len();
    if length > MAX_FILE {
        return Err(Usage(format!("{file} has {length} bytes, at most {MAX_FILE} are read")).into());
    }
    let bytes = std::fs::read(path).with_context(|| format!("reading {file}"))?;
    // What is no UTF-8 is scanned too, with a sign in the place of each byte that means nothing.
    let text =
        String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    let is_conversation = path.extension().is_some_and(|extension| extension == "jsonl");
    let messages = if is_conversation {
        conversation(&file, &text, role)?
    } else {
        vec![(Message::new(role, text), None)]
    };
    Ok(Input { file, messages })
}

fn conversation(file: &str, text: &str, role: Role) -> Result<Vec<(Message, Option<usize>)>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let read = |(at, line): (usize, &str)| {
        let wrong = |reason: String| Usage(format!("{file}, line {}: {reason}", at + 1));
        let row: Row = serde_json::from_str(line).map_err(|e| wrong(e.to_string()))?;
        if row.content.is_none() && row.tool_calls.is_empty() {
            return Err(wrong("neither content nor tool_calls".to_owned()).into());
        }
        let calls = row.tool_calls.into_iter().map(call).collect::<Option<Vec<ToolCall>>>();
        let calls = calls.ok_or_else(|| wrong("a tool call without a name".to_owned()))?;
        let message = Message::new(row.role.unwrap_or(role), row.content.unwrap_or_default());
        Ok((message.with_tool_calls(calls), Some(at + 1)))
    };
    lines.map(read).collect()
}

fn call(row: CallRow) -> Option<ToolCall> {
    let (name, arguments) = match row.function {
        Some(function) => (function.name, function.arguments),
        None => (row.name?, row.arguments.unwrap_or_default()),
    };
    let arguments = arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned);
    Some(ToolCall { name, arguments })
}
