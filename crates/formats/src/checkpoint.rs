//! What every model file becomes: metadata, tensors by name, and where its tokenizer is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::bytes::Bytes;
use crate::error::{FormatError, Place, Problem};
use crate::gguf::GgufMetadata;
use crate::limits;
use crate::safetensors;
use crate::strings::StringTable;
use crate::tensor::Tensor;

/// The format that a checkpoint was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// GGUF version 2 or 3, one file or several.
    Gguf,
    /// One safetensors file or several, with the folder's JSON files.
    Safetensors,
    /// The native `.bin` file.
    Native,
}

impl Format {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Format::Gguf => "GGUF",
            Format::Safetensors => "safetensors",
            Format::Native => "native .bin",
        }
    }
}

/// A model as it lies in its files: parsed and checked, not yet understood.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Where it comes from.
    pub format: Format,
    /// What the files say about the model.
    pub metadata: Metadata,
    /// The tensors by name.
    pub tensors: Tensors,
    /// The files that were opened, in order; empty for bytes in memory.
    pub files: Vec<FileInfo>,
    /// Files without weights that were read as well: `config.json`, those of the tokenizer.
    pub beside: Vec<PathBuf>,
    /// Where the tokenizer is.
    pub tokenizer: TokenizerSource,
}

impl Checkpoint {
    /// All files that it was read from.
    pub fn read_from(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path()).chain(self.beside.iter().map(PathBuf::as_path))
    }
}

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Its path, as given or as found beside the given one.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The metadata in the words of the format.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Metadata {
    /// GGUF key-value pairs.
    Gguf(GgufMetadata),
    /// The JSON files of a Hugging Face folder.
    HuggingFace {
        /// `config.json`; `Null` for a lone safetensors file with none beside it.
        config: serde_json::Value,
        /// `generation_config.json`.
        generation_config: Option<serde_json::Value>,
    },
    /// The `metadata` object of a native file: an object whose numbers are often strings, such as `"4096"`.
    Native(serde_json::Value),
}

/// Where the tokenizer of a checkpoint is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TokenizerSource {
    /// Nowhere.
    None,
    /// In the GGUF metadata, under `tokenizer.*`.
    Gguf,
    /// In the files of a Hugging Face folder.
    HuggingFace {
        /// `tokenizer.json`, unparsed.
        tokenizer_json: Bytes,
        /// `tokenizer_config.json`, with the roles of tokens from `special_tokens_map.json` that it lacks.
        tokenizer_config: Option<serde_json::Value>,
        /// The chat template: `chat_template.jinja`, or the one in `tokenizer_config.json`.
        chat_template: Option<String>,
    },
    /// In a file of another kind: `tekken.json`, a model of SentencePiece, ranks in the manner of tiktoken.
    File {
        /// Its bytes, unparsed.
        bytes: Bytes,
        /// `tokenizer_config.json`.
        tokenizer_config: Option<serde_json::Value>,
        /// As of a Hugging Face folder.
        chat_template: Option<String>,
    },
    /// In the header of a native file.
    Native(NativeTokenizer),
}

/// The tokenizer of a native file: a BPE vocabulary with its merges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NativeTokenizer {
    /// The tokens, in ascending order of their ids.
    pub tokens: StringTable,
    /// The id of each token in `tokens`; strictly ascending, usually `0, 1, 2, ...`.
    pub ids: Vec<u32>,
    /// The merges in order of priority, each `left right` with one space between.
    pub merges: StringTable,
    /// The chat template, where the file has one.
    pub chat_template: Option<String>,
}

impl NativeTokenizer {
    /// The tokens with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.tokens.iter().zip(self.ids.iter().copied())
    }

    /// The merges as pairs, in order of priority.
    pub fn merge_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.merges.iter().filter_map(|merge| merge.split_once(' '))
    }
}

/// The tensors of a checkpoint, by name.
#[derive(Clone, Debug, Default)]
pub struct Tensors {
    by_name: BTreeMap<String, Entry>,
}

/// Boxed, since nodes of the map are often half empty.
#[derive(Clone, Debug)]
enum Entry {
    Readable(Box<Tensor>),
    Opaque(Box<OpaqueTensor>),
}

/// A tensor that is there, with an element type that this project cannot compute with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpaqueTensor {
    /// The name in the file.
    pub name: String,
    /// The element type in the words of the format, such as `I64`.
    pub dtype: &'static str,
    /// Outermost dimension first.
    pub shape: Vec<usize>,
    /// Bytes in the file.
    pub bytes: usize,
    /// What they are: codes that may make sense together with another tensor.
    pub(crate) data: Bytes,
}

impl Tensors {
    pub(crate) fn insert(&mut self, tensor: Tensor) -> Result<(), FormatError> {
        self.insert_entry(tensor.name.clone(), Entry::Readable(Box::new(tensor)))
    }

    pub(crate) fn insert_opaque(&mut self, tensor: OpaqueTensor) -> Result<(), FormatError> {
        self.insert_entry(tensor.name.clone(), Entry::Opaque(Box::new(tensor)))
    }

    fn insert_entry(&mut self, name: String, entry: Entry) -> Result<(), FormatError> {
        use std::collections::btree_map::Entry as Slot;
        if self.by_name.len() as u64 >= limits::TENSORS {
            let (value, limit) = (self.by_name.len() as u64 + 1, limits::TENSORS);
            let problem = Problem::Limit { what: "the number of tensors in all files", value, limit };
            return Err(FormatError::tensor(&name, problem));
        }
        match self.by_name.entry(name) {
            Slot::Vacant(slot) => {
                slot.insert(entry);
                Ok(())
            }
            Slot::Occupied(slot) => Err(FormatError::tensor(slot.key(), Problem::Duplicate("the tensor"))),
        }
    }

    /// Forgets a tensor, if there is one of that name.
    pub(crate) fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    /// Puts a tensor in the place of the one of its name, whatever that is; `false`, and nothing changes, where there is none.
    pub fn replace(&mut self, tensor: Tensor) -> bool {
        let place = self.by_name.get_mut(&tensor.name);
        place.map(|entry| *entry = Entry::Readable(Box::new(tensor))).is_some()
    }

    /// Takes over the tensors of another part of the same model.
    pub(crate) fn append(&mut self, other: Tensors) -> Result<(), FormatError> {
        other.by_name.into_iter().try_for_each(|(name, entry)| self.insert_entry(name, entry))
    }

    /// The tensor of this name; an error where there is none or its element type is not supported.
    pub fn get(&self, name: &str) -> Result<&Tensor, FormatError> {
        let problem = match self.by_name.get(name) {
            Some(Entry::Readable(tensor)) => return Ok(tensor),
            Some(Entry::Opaque(opaque)) => safetensors::unsupported(opaque.dtype),
            None => Problem::Missing,
        };
        Err(FormatError::new(Place::Tensor(name.to_owned()), problem))
    }

    /// The tensor of this name where it is there and not readable.
    pub(crate) fn opaque_of(&self, name: &str) -> Option<&OpaqueTensor> {
        match self.by_name.get(name) {
            Some(Entry::Opaque(opaque)) => Some(opaque),
            _ => None,
        }
    }

    /// Whether there is a tensor of this name, of whatever type.
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The names of all tensors, sorted, those of [`Tensors::opaque`] included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// The readable tensors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Tensor> {
        self.by_name.values().filter_map(|entry| match entry {
            Entry::Readable(tensor) => Some(&**tensor),
            Entry::Opaque(_) => None,
        })
    }

    /// The tensors whose element type is not supported, sorted by name.
    pub fn opaque(&self) -> impl Iterator<Item = &OpaqueTensor> {
        self.by_name.values().filter_map(|entry| match entry {
            Entry::Readable(_) => None,
            Entry::Opaque(opaque) => Some(&**opaque),
        })
    }

    /// The number of tensors, of whatever type.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}
