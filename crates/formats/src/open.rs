//! Opens a path as a checkpoint: only regular files are read, and their content says what they are.

use std::fs::{File, FileType, Metadata as FileMetadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::bytes::{Bytes, Shared};
use crate::checkpoint::{Checkpoint, FileInfo, Format, TokenizerSource};
use crate::error::{FormatError, Place, Problem};
use crate::hugging_face::Beside;
use crate::{foreign, gguf, hugging_face, json, native};

/// How to open a model.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OpenOptions {
    /// How the bytes of the files get into memory.
    pub access: Access,
    /// The format to read a file as, whatever its content looks like.
    pub format: Option<Format>,
}

/// How the bytes of a file get into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Mapped: pages are read when they are touched and may be given back. The file must not be shortened meanwhile.
    #[default]
    Map,
    /// Read once, as a whole: for files that others may rewrite.
    Read,
}

/// Opens a model file or folder.
///
/// The content decides on the format, not the name, unless the options name one. Errors name the file, the place in it, and what would have worked.
pub fn open(path: &Path, options: &OpenOptions) -> Result<Checkpoint, FormatError> {
    if path.is_dir() {
        if let Some(other @ (Format::Gguf | Format::Native)) = options.format {
            let why = format!("is a folder, which no {} file is: give the file itself", other.name());
            return Err(FormatError::new(Place::File, Problem::Set(why)).in_file(path));
        }
        return hugging_face::open_folder(path, options.access);
    }
    let opened = open_regular(path, options.access)?;
    let in_file = |error: FormatError| error.in_file(path);
    let detected = match options.format {
        None => detect(&opened.bytes).map_err(in_file)?,
        Some(Format::Gguf) => Detected::Gguf,
        Some(Format::Native) => Detected::Native,
        // An index of shards is as good as they are.
        Some(Format::Safetensors) => match detect(&opened.bytes) {
            Ok(Detected::Index) => Detected::Index,
            _ => Detected::Safetensors,
        },
    };
    match detected {
        Detected::Gguf => gguf::open(opened),
        Detected::Safetensors => hugging_face::open_file(&opened),
        Detected::Index => hugging_face::open_index(&opened),
        Detected::Native => {
            let mut checkpoint = native::read(&opened.bytes).map_err(in_file)?;
            checkpoint.files.push(opened.info());
            Ok(checkpoint)
        }
    }
}

/// The tokenizer at a path that holds no model: one of its files, or a folder with such a file.
///
/// `None` where the path is a model, which brings its own.
///
/// # Errors
/// The path cannot be read, or what lies beside the tokenizer is broken.
pub fn tokenizer_at(path: &Path, options: &OpenOptions) -> Result<Option<TokenizerSource>, FormatError> {
    let access = options.access;
    if path.is_dir() {
        let found = Beside::new(path, access).tokenizer()?;
        return Ok(Some(found).filter(|found| !matches!(found, TokenizerSource::None)));
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !is_tokenizer_name(name) {
        return Ok(None);
    }
    let opened = open_regular(path, access)?;
    if detect(&opened.bytes).is_ok() {
        return Ok(None);
    }
    Beside::new(hugging_face::folder_of(path), access).tokenizer_in(opened).map(Some)
}

/// `tokenizer.json`, `tekken.json`, `*.tiktoken`, `*.model`, and with a version behind it as Mistral has them.
fn is_tokenizer_name(name: &str) -> bool {
    let plain = name.rsplit_once(".v").filter(|(_, n)| n.bytes().all(|b| b.is_ascii_digit()));
    let name = plain.map_or(name, |(plain, _)| plain);
    [".json", ".tiktoken", ".model"].iter().any(|ending| name.ends_with(ending))
}

/// Opens a model that lies in memory; only what needs no second file.
pub fn open_bytes(bytes: Shared) -> Result<Checkpoint, FormatError> {
    let bytes = Bytes::new(bytes);
    match detect(&bytes)? {
        Detected::Gguf => gguf::open_bytes(&bytes),
        Detected::Safetensors => hugging_face::open_bytes(&bytes),
        Detected::Native => native::read(&bytes),
        Detected::Index => Err(FormatError::new(Place::File, Problem::Foreign(&foreign::INDEX_ALONE))),
    }
}

enum Detected {
    Gguf,
    Safetensors,
    Index,
    Native,
}

/// Tells the formats apart by their first bytes, and safetensors from native by the keys of the header.
fn detect(bytes: &Bytes) -> Result<Detected, FormatError> {
    if bytes.starts_with(gguf::MAGIC) {
        return Ok(Detected::Gguf);
    }
    let size = bytes.first_chunk::<8>().map(|size| u64::from_le_bytes(*size));
    match size {
        // Eight letters of text, read as a length, lie far above any file's.
        Some(size) if bytes.get(8) == Some(&b'{') && (size < 1 << 48 || bytes[0] != b'{') => {
            let header = usize::try_from(size).ok().and_then(|size| bytes.get(8..size.checked_add(8)?));
            Ok(if header.is_some_and(native::looks_like) { Detected::Native } else { Detected::Safetensors })
        }
        _ if bytes.trim_ascii_start().starts_with(b"{") => detect_document(bytes),
        _ => Err(foreign::refuse(bytes)),
    }
}

fn detect_document(bytes: &Bytes) -> Result<Detected, FormatError> {
    let document = json::document(bytes, "the JSON file")?;
    if document.get("weight_map").is_some() {
        return Ok(Detected::Index);
    }
    Err(FormatError::new(Place::File, Problem::Foreign(&foreign::JSON)))
}

/// A regular file with its bytes.
#[derive(Debug)]
pub(crate) struct Opened {
    pub path: PathBuf,
    pub bytes: Bytes,
    pub access: Access,
}

impl Opened {
    pub(crate) fn info(&self) -> FileInfo {
        FileInfo { path: self.path.clone(), bytes: self.bytes.len() as u64 }
    }
}

/// Opens a file without ever waiting for one: a FIFO, a socket or a device is refused before and after opening.
pub(crate) fn open_regular(path: &Path, access: Access) -> Result<Opened, FormatError> {
    read_regular(path, access)
        .map(|bytes| Opened { path: path.to_owned(), bytes, access })
        .map_err(|problem| FormatError::new(Place::File, problem).in_file(path))
}

fn read_regular(path: &Path, access: Access) -> Result<Bytes, Problem> {
    refuse_irregular(&std::fs::metadata(path).map_err(Problem::Io)?)?;
    let file = open_without_waiting(path).map_err(Problem::Io)?;
    let before = file.metadata().map_err(Problem::Io)?;
    refuse_irregular(&before)?;
    if before.len() == 0 {
        return Err(Problem::Empty);
    }
    let len = usize::try_from(before.len()).map_err(|_| Problem::Limit {
        what: "the file's length",
        value: before.len(),
        limit: usize::MAX as u64,
    })?;
    let bytes = match access {
        Access::Map => Bytes::map(&file, len).map_err(Problem::Io)?,
        Access::Read => read_whole(&file, len)?,
    };
    let have = file.metadata().map_err(Problem::Io)?.len();
    if have < before.len() {
        return Err(Problem::Truncated {
            what: "the file, which shrank while it was opened,",
            end: before.len(),
            have,
        });
    }
    Ok(bytes)
}

fn read_whole(file: &File, len: usize) -> Result<Bytes, Problem> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|error| Problem::Io(error.into()))?;
    file.take(len as u64).read_to_end(&mut bytes).map_err(Problem::Io)?;
    Ok(bytes.into())
}

#[cfg(unix)]
fn open_without_waiting(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

#[cfg(not(unix))]
fn open_without_waiting(path: &Path) -> std::io::Result<File> {
    File::open(path)
}

fn refuse_irregular(metadata: &FileMetadata) -> Result<(), Problem> {
    if metadata.is_file() { Ok(()) } else { Err(Problem::NotRegular(kind(metadata.file_type()))) }
}

#[cfg(unix)]
fn kind(ty: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match ty {
        ty if ty.is_dir() => "a directory",
        ty if ty.is_fifo() => "a FIFO",
        ty if ty.is_socket() => "a socket",
        ty if ty.is_char_device() => "a character device",
        ty if ty.is_block_device() => "a block device",
        _ => "something else",
    }
}

#[cfg(not(unix))]
fn kind(ty: FileType) -> &'static str {
    if ty.is_dir() { "a directory" } else { "something else" }
}
