//! What is scanned: standard input, files, folders with all that is in them, conversations. What cannot be read is told as such, and the
//! rest is read all the same.

use super::conversation::conversation;
use crate::firewall_args::ScanArgs;
use crate::input;
use crate::speaker::Speaker;
use anyhow::Result;
use std::io::Read;
use std::path::{Path, PathBuf};
use torchless::firewall::ScanStatus;
use torchless::{Message, Role};

/// The most of a file that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// Where a text stands.
#[derive(Clone)]
pub struct Source {
    /// Its file; `-` for standard input.
    pub file: PathBuf,
    /// Its line, in a conversation.
    pub line: Option<usize>,
}

/// What is in one file: a text alone, or a conversation.
pub struct Input {
    pub file: PathBuf,
    /// And the line that each stands in.
    pub entries: Vec<(Entry, Option<usize>)>,
}

/// A message, or why there is none.
pub enum Entry {
    Message(Message),
    /// What was thought before the next message was said.
    Thought(Message),
    Unseen(Unseen),
}

/// What is not scanned.
pub struct Unseen {
    /// `Error` where something should have been there, `Skipped` where nothing was asked for.
    pub status: ScanStatus,
    pub reason: String,
    /// Whose it is, where that is known.
    pub role: Option<Role>,
}

impl Unseen {
    pub fn error(reason: impl ToString) -> Self {
        Self { status: ScanStatus::Error, reason: reason.to_string(), role: None }
    }

    pub fn skipped(reason: impl ToString) -> Self {
        Self { status: ScanStatus::Skipped, reason: reason.to_string(), role: None }
    }

    /// The same of a role.
    pub fn of(self, role: Role) -> Self {
        Self { role: Some(role), ..self }
    }
}

/// Hands over what is to be scanned, file by file.
///
/// # Errors
/// There is no standard input to read.
pub fn each(args: &ScanArgs, visit: &mut dyn FnMut(Input)) -> Result<()> {
    let speaker = args.speaker();
    if args.files.is_empty() {
        visit(standard_input(None, speaker)?);
    }
    for path in &args.files {
        if path == Path::new("-") {
            visit(standard_input(Some("-"), speaker)?);
        } else {
            walk(path, speaker, visit);
        }
    }
    Ok(())
}

fn standard_input(word: Option<&str>, speaker: Speaker) -> Result<Input> {
    let message = Message::new(
        speaker.role(),
        decoded(input::bytes(word, "name a file or a folder, or pipe a text in")?),
    );
    Ok(Input { file: "-".into(), entries: vec![(Entry::Message(message), None)] })
}

/// A file, or every file of a folder in the order of their names.
fn walk(path: &Path, speaker: Speaker, visit: &mut dyn FnMut(Input)) {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => walk_folder(path, speaker, visit),
        Ok(_) => visit(file_input(path, speaker)),
        Err(e) => visit(unseen(path, Unseen::error(e))),
    }
}

fn walk_folder(path: &Path, speaker: Speaker, visit: &mut dyn FnMut(Input)) {
    let mut entries = match std::fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(e) => return visit(unseen(path, Unseen::error(e))),
    };
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk_folder(&path, speaker, visit),
            Ok(kind) if kind.is_file() => visit(file_input(&path, speaker)),
            Ok(kind) if kind.is_symlink() => {
                visit(unseen(&path, Unseen::skipped("a link, which is not followed")));
            }
            Ok(_) => visit(unseen(&path, Unseen::skipped("neither file nor folder"))),
            Err(e) => visit(unseen(&path, Unseen::error(e))),
        }
    }
}

fn unseen(path: &Path, why: Unseen) -> Input {
    Input { file: path.to_owned(), entries: vec![(Entry::Unseen(why), None)] }
}

fn file_input(path: &Path, speaker: Speaker) -> Input {
    let bytes = match contents(path) {
        Ok(bytes) => bytes,
        Err(e) => return unseen(path, Unseen::error(e)),
    };
    if bytes.len() as u64 > MAX_FILE {
        return unseen(path, Unseen::error(format!("more than {MAX_FILE} bytes, the most that is read")));
    }
    let text = decoded(bytes);
    let is_conversation = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"));
    let entries = if is_conversation {
        conversation(&text, speaker)
    } else {
        let mut message = Message::new(speaker.role(), text);
        message.written_in = path.extension().map(|ending| ending.to_string_lossy().into_owned());
        vec![(Entry::Message(message), None)]
    };
    Input { file: path.to_owned(), entries }
}

/// At most one byte more than may be read, also of what has no length of its own.
fn contents(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Text of any bytes, so that nothing is too odd to be scanned: UTF-16 where a mark says so, else UTF-8, with a sign in the place of what
/// means nothing.
fn decoded(bytes: Vec<u8>) -> String {
    let wide = |unit: fn([u8; 2]) -> u16| {
        let units = bytes[2..].chunks(2).map(|pair| unit([pair[0], pair.get(1).copied().unwrap_or(0)]));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match bytes.get(..2) {
        Some([0xFF, 0xFE]) => wide(u16::from_le_bytes),
        Some([0xFE, 0xFF]) => wide(u16::from_be_bytes),
        _ => String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_a_text() {
        let wide = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect();
        assert_eq!(decoded(wide("\u{feff}hé 🙂", u16::to_le_bytes)), "hé 🙂");
        assert_eq!(decoded(wide("\u{feff}hé 🙂", u16::to_be_bytes)), "hé 🙂");
        assert_eq!(decoded(b"\xff\xfeh\0x".to_vec()), "hx");
        assert_eq!(decoded(b"h\xffi".to_vec()), "h\u{fffd}i");
        assert_eq!(decoded(b"\xff".to_vec()), "\u{fffd}");
    }
}
