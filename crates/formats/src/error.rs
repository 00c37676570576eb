//! What can be wrong with a model file: one error type that says where, what, and what would have worked.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A model file (or folder) that cannot be opened, or a fact that it lacks.
#[derive(Debug)]
pub struct FormatError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    file: Option<PathBuf>,
    place: Place,
    problem: Problem,
}

/// Where in the file the problem lies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The file as a whole.
    File,
    /// At this byte.
    Offset(u64),
    /// In the metadata entry of this key.
    Key(String),
    /// In the tensor of this name.
    Tensor(String),
}

/// What the problem is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The operating system refused.
    #[error("{0}")]
    Io(#[source] std::io::Error),
    /// The path names something other than a regular file or a folder.
    #[error("is {0}, not a regular file")]
    NotRegular(&'static str),
    /// The file has no bytes.
    #[error("is empty (0 bytes)")]
    Empty,
    /// The file is a known kind of file, but not one that holds a readable model.
    #[error("is {}", .0.what)]
    Foreign(&'static Foreign),
    /// The first bytes fit no known format.
    #[error("is in no known model format (it begins with {0})")]
    Unknown(String),
    /// Something reaches past the end of the file.
    #[error("the end of {what} is byte {end}, but there are only {have}")]
    Truncated {
        /// What reaches too far.
        what: &'static str,
        /// Where it would end.
        end: u64,
        /// The length of the file.
        have: u64,
    },
    /// A count or a size above what this reader accepts.
    #[error("{what} is {value}, above the limit of {limit}")]
    Limit {
        /// What is counted.
        what: &'static str,
        /// The value in the file.
        value: u64,
        /// The greatest value accepted.
        limit: u64,
    },
    /// A GGUF version that this reader does not know.
    #[error("GGUF version {0} is not supported")]
    Version(u32),
    /// Bytes that should be UTF-8 text and are not.
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
    /// The same key, tensor or token stands twice.
    #[error("{0} stands twice")]
    Duplicate(&'static str),
    /// A key that was asked for, or that must exist, is not there.
    #[error("is missing")]
    Missing,
    /// A value of another type than the one asked for.
    #[error("is {have} where {want} is needed")]
    WrongType {
        /// The type needed.
        want: &'static str,
        /// The type (or value) found.
        have: String,
    },
    /// An element type outside the table of tensor types.
    #[error("has the element type {name}, which is not supported")]
    UnsupportedType {
        /// Its name.
        name: String,
        /// The names of those that this format has and this reader knows.
        known: Vec<&'static str>,
    },
    /// A shape that its bytes or its type do not allow.
    #[error("{0}")]
    Shape(String),
    /// Data that lies where it must not: misaligned, overlapping, or leaving a gap.
    #[error("{0}")]
    Layout(String),
    /// A header that is not the JSON it should be.
    #[error("{what} is not valid: {why}")]
    Json {
        /// Which document.
        what: &'static str,
        /// The parser's reason.
        why: String,
    },
    /// Anything else that is wrong with a header.
    #[error("{0}")]
    Header(String),
    /// Files that do not belong together: parts of a split model, shards of an index.
    #[error("{0}")]
    Set(String),
    /// Data for writing that does not fit what was announced.
    #[error("{0}")]
    Write(String),
}

/// A kind of file that people hand over by mistake, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Foreign {
    /// What the file is, with its article.
    pub what: &'static str,
    /// What would have worked.
    pub hint: &'static str,
}

impl FormatError {
    /// A problem with no file named yet.
    pub(crate) fn new(place: Place, problem: Problem) -> Self {
        Self(Box::new(Inner { file: None, place, problem }))
    }

    pub(crate) fn at(offset: usize, problem: Problem) -> Self {
        Self::new(Place::Offset(offset as u64), problem)
    }

    pub(crate) fn key(key: &str, problem: Problem) -> Self {
        Self::new(Place::Key(key.to_owned()), problem)
    }

    pub(crate) fn tensor(name: &str, problem: Problem) -> Self {
        Self::new(Place::Tensor(name.to_owned()), problem)
    }

    /// Names the file, unless one is named already.
    pub(crate) fn in_file(mut self, file: &Path) -> Self {
        self.0.file.get_or_insert_with(|| file.to_owned());
        self
    }

    /// What the system said, where that is all there is: an error of writing, which names no file.
    ///
    /// # Errors
    /// It is another error, which comes back.
    pub fn into_io(self) -> Result<std::io::Error, Self> {
        match *self.0 {
            Inner { file: None, place: Place::File, problem: Problem::Io(error) } => Ok(error),
            inner => Err(Self(Box::new(inner))),
        }
    }

    /// The file at fault, where one is known.
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// Where in the file.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// Whether the system had no memory or no handle left for the file, which says nothing of the file.
    pub fn is_short_of_resources(&self) -> bool {
        match self.problem() {
            Problem::Io(error) => error.kind() == ErrorKind::OutOfMemory || is_short_of_handles(error),
            _ => false,
        }
    }

    /// What would have worked, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        self.0.problem.hint()
    }
}

/// Files that this process or the whole system has open are as many as may be: `EMFILE`, `ENFILE`, for which Rust has no name.
fn is_short_of_handles(error: &std::io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

impl Problem {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Problem::Foreign(foreign) => foreign.hint,
            Problem::NotRegular(_) | Problem::Unknown(_) => KNOWN_FORMATS,
            Problem::Empty | Problem::Truncated { .. } => {
                "the file looks cut off: download or copy it again and compare its size"
            }
            Problem::Version(_) => "versions 2 and 3 are: convert the model again with a current converter",
            Problem::UnsupportedType { known, .. } => {
                return Some(format!("supported: {}", known.join(", ")));
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// What can be opened, in the words of a hint.
const KNOWN_FORMATS: &str = "give a GGUF file (version 2 or 3), a .safetensors file, a folder with config.json and \
     safetensors files, or a native .bin file";

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = self.file() {
            write!(f, "{}: ", file.display())?;
        }
        match self.place() {
            Place::File => {}
            Place::Offset(offset) => write!(f, "at byte {offset}: ")?,
            Place::Key(key) => write!(f, "key '{}': ", shown(key))?,
            Place::Tensor(name) => write!(f, "tensor '{}': ", shown(name))?,
        }
        write!(f, "{}", self.problem())?;
        match self.hint() {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FormatError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.problem() {
            Problem::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// A name from a file as it may stand in a message: control characters escaped, long ones cut.
pub(crate) fn shown(name: &str) -> String {
    cut(name, 80)
}

/// The first `most` characters of `text`, control characters escaped.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in text.chars().take(most) {
        if matches!(c, '\'' | '"') { out.push(c) } else { out.extend(c.escape_debug()) }
    }
    if text.chars().nth(most).is_some() {
        out.push_str("...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_where_what_and_what_would_have_worked() {
        let problem = Problem::UnsupportedType { name: "IQ9".to_owned(), known: vec!["F32", "F16"] };
        let error = FormatError::tensor("blk.0\u{1b}[2J", problem)
            .in_file(Path::new("a.gguf"))
            .in_file(Path::new("ignored"));
        let text = error.to_string();
        assert!(
            text.starts_with("a.gguf: tensor 'blk.0\\u{1b}[2J': has the element type IQ9, which is not supported (supported: F32, F16)"),
            "{text}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn what_the_system_is_short_of_is_no_fault_of_the_file() {
        let is_short = |code| {
            let problem = Problem::Io(std::io::Error::from_raw_os_error(code));
            FormatError::new(Place::File, problem).is_short_of_resources()
        };
        let (enoent, enomem, enfile, emfile) = (2, 12, 23, 24);
        assert_eq!([enoent, enomem, enfile, emfile].map(is_short), [false, true, true, true]);
        assert!(!FormatError::new(Place::File, Problem::Empty).is_short_of_resources());
    }

    #[test]
    fn long_names_are_cut() {
        let name = "x".repeat(500);
        assert_eq!(shown(&name).len(), 83);
    }
}
