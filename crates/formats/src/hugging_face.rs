//! A Hugging Face folder: safetensors files with `config.json`, an index of shards, and the tokenizer's files.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bytes::Bytes;
use crate::checkpoint::{Checkpoint, FileInfo, Format, Metadata, Tensors, TokenizerSource};
use crate::error::{FormatError, Place, Problem, shown};
use crate::open::{self, Access, Opened};
use crate::{json, limits, packed, safetensors, scaled};

const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";
const CONFIG: &str = "config.json";

/// Files that hold a tokenizer, the most telling first.
const TOKENIZERS: [&str; 7] = [
    "tokenizer.json",
    "tekken.json",
    "tokenizer.model",
    "tiktoken.model",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
];

/// The bytes that a `tokenizer.json` may have.
const TOKENIZER_BYTES: u64 = 128 << 20;

/// Opens a folder: by its `model.safetensors`, its index, or its only safetensors file, in the order in which transformers looks for them.
pub(crate) fn open_folder(folder: &Path, access: Access) -> Result<Checkpoint, FormatError> {
    if !exists(&folder.join(CONFIG)) {
        return Err(set_error(folder, format!("the folder has no {CONFIG}; {}", what_is_there(folder)?)));
    }
    let (single, index) = (folder.join(SINGLE), folder.join(INDEX));
    if exists(&single) {
        return open_file(&open::open_regular(&single, access)?);
    }
    if exists(&index) {
        return open_index(&open::open_regular(&index, access)?);
    }
    let file = match safetensors_in(folder)?.as_slice() {
        [only] => folder.join(only),
        [] => {
            let why = format!("the folder has no safetensors file; {}", what_is_there(folder)?);
            return Err(set_error(folder, why));
        }
        several => {
            let why =
                format!("the folder has {} safetensors files but no {INDEX} to join them", several.len());
            return Err(set_error(folder, why));
        }
    };
    open_file(&open::open_regular(&file, access)?)
}

/// Opens a lone safetensors file with what lies beside it; one shard of several leads to the index.
pub(crate) fn open_file(opened: &Opened) -> Result<Checkpoint, FormatError> {
    let folder = folder_of(&opened.path);
    if is_shard(&opened.path) {
        let index = folder.join(INDEX);
        if !exists(&index) {
            let why = format!("is one shard of several, and there is no {INDEX} beside it");
            return Err(set_error(&opened.path, why));
        }
        return open_index(&open::open_regular(&index, opened.access)?);
    }
    let tensors = safetensors::read(&opened.bytes).map_err(|error| error.in_file(&opened.path))?;
    checkpoint(folder, opened.access, tensors, vec![opened.info()])
}

/// Opens the shards that an index names.
pub(crate) fn open_index(index: &Opened) -> Result<Checkpoint, FormatError> {
    let folder = folder_of(&index.path);
    let shards = read_index(&index.bytes).map_err(|error| error.in_file(&index.path))?;
    let mut tensors = Tensors::default();
    let mut files = Vec::new();
    for (name, announced) in shards {
        let opened = open::open_regular(&folder.join(&name), index.access)?;
        let found = safetensors::read(&opened.bytes).map_err(|error| error.in_file(&opened.path))?;
        check_shard(&announced, &found).map_err(|error| error.in_file(&opened.path))?;
        tensors.append(found).map_err(|error| error.in_file(&opened.path))?;
        files.push(opened.info());
    }
    let mut checkpoint = checkpoint(folder, index.access, tensors, files)?;
    checkpoint.beside.push(index.path.clone());
    Ok(checkpoint)
}

/// A safetensors file in memory, with nothing beside it.
pub(crate) fn open_bytes(bytes: &Bytes) -> Result<Checkpoint, FormatError> {
    let metadata = Metadata::HuggingFace { config: Value::Null, generation_config: None };
    let tensors = safetensors::read(bytes)?;
    let tokenizer = TokenizerSource::None;
    let (files, beside) = (Vec::new(), Vec::new());
    Ok(Checkpoint { format: Format::Safetensors, metadata, tensors, files, beside, tokenizer })
}

fn checkpoint(
    folder: &Path,
    access: Access,
    tensors: Tensors,
    files: Vec<FileInfo>,
) -> Result<Checkpoint, FormatError> {
    let beside = Beside::new(folder, access);
    let config = beside.object(CONFIG, "config.json")?.unwrap_or(Value::Null);
    let tensors = scaled::join(tensors, &config).map_err(|error| error.in_file(folder))?;
    let tensors = packed::join(tensors, &config).map_err(|error| error.in_file(folder))?;
    let metadata = Metadata::HuggingFace {
        config,
        generation_config: beside.object("generation_config.json", "generation_config.json")?,
    };
    let tokenizer = beside.tokenizer()?;
    let beside = beside.read.into_inner();
    Ok(Checkpoint { format: Format::Safetensors, metadata, tensors, files, beside, tokenizer })
}

/// The tensor names that the index announces for each shard.
fn read_index(bytes: &[u8]) -> Result<BTreeMap<String, BTreeSet<String>>, FormatError> {
    let index = json::document(bytes, "the index of shards")?;
    let header = |why: String| FormatError::new(Place::File, Problem::Header(why));
    let map = index
        .get("weight_map")
        .and_then(Value::as_object)
        .ok_or_else(|| header("has no object 'weight_map' that names the file of each tensor".to_owned()))?;
    let mut shards = BTreeMap::<String, BTreeSet<String>>::new();
    for (tensor, file) in map {
        let file = file.as_str().filter(|file| is_plain_name(file)).ok_or_else(|| {
            let why = format!(
                "its file is {}, not the name of a file in the same folder",
                shown(&file.to_string())
            );
            FormatError::tensor(tensor, Problem::Header(why))
        })?;
        shards.entry(file.to_owned()).or_default().insert(tensor.clone());
    }
    let value = shards.len() as u64;
    if value > limits::PARTS {
        let problem = Problem::Limit { what: "the number of shards", value, limit: limits::PARTS };
        return Err(FormatError::new(Place::File, problem));
    }
    Ok(shards)
}

/// A name that cannot lead out of the folder.
fn is_plain_name(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.starts_with('.') && !name.contains(['/', '\\', ':', '\0'])
}

fn check_shard(announced: &BTreeSet<String>, found: &Tensors) -> Result<(), FormatError> {
    if let Some(name) = announced.iter().find(|name| !found.contains(name)) {
        return Err(FormatError::tensor(
            name,
            Problem::Set("is in the index but not in this shard".to_owned()),
        ));
    }
    if let Some(name) = found.names().find(|name| !announced.contains(*name)) {
        return Err(FormatError::tensor(
            name,
            Problem::Set("is in this shard but not in the index".to_owned()),
        ));
    }
    Ok(())
}

/// `NAME-00001-of-00003.safetensors`, with more than one shard.
fn is_shard(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let Some((rest, count)) = stem.rsplit_once("-of-") else { return false };
    let number = rest.rsplit('-').next().unwrap_or_default();
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number(number) && is_number(count) && count != "00001"
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn set_error(path: &Path, why: String) -> FormatError {
    FormatError::new(Place::File, Problem::Set(why)).in_file(path)
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn names_in(folder: &Path) -> Result<Vec<String>, FormatError> {
    let io = |error| FormatError::new(Place::File, Problem::Io(error)).in_file(folder);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        names.extend(entry.map_err(io)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn safetensors_in(folder: &Path) -> Result<Vec<String>, FormatError> {
    let mut names = names_in(folder)?;
    names.retain(|name| name.ends_with(".safetensors"));
    Ok(names)
}

/// What a folder without a readable model holds, for the error.
fn what_is_there(folder: &Path) -> Result<String, FormatError> {
    let names = names_in(folder)?;
    let with = |ending: &str| names.iter().find(|name| name.ends_with(ending));
    Ok(if let Some(gguf) = with(".gguf") {
        format!("it has {}: give that file", shown(gguf))
    } else if let Some(pickle) = with(".pth").or(with(".pt")).or(with("pytorch_model.bin")) {
        format!(
            "it has {}, a pickle, which is never read: take the safetensors files of the model",
            shown(pickle)
        )
    } else if let Some(index) = with(".bin.index.json") {
        format!(
            "it has {}, pickles, which are never read: take the safetensors files of the model",
            shown(index)
        )
    } else {
        "give a folder with config.json and safetensors files, or one model file".to_owned()
    })
}

/// The files beside the weights.
pub(crate) struct Beside<'a> {
    folder: &'a Path,
    access: Access,
    /// Which were opened.
    read: RefCell<Vec<PathBuf>>,
}

impl<'a> Beside<'a> {
    pub(crate) fn new(folder: &'a Path, access: Access) -> Self {
        Self { folder, access, read: RefCell::default() }
    }

    fn open(&self, name: &str) -> Result<Option<Opened>, FormatError> {
        let path: PathBuf = self.folder.join(name);
        if !exists(&path) {
            return Ok(None);
        }
        let opened = open::open_regular(&path, self.access)?;
        self.read.borrow_mut().push(path);
        Ok(Some(opened))
    }

    fn object(&self, name: &str, what: &'static str) -> Result<Option<Value>, FormatError> {
        let Some(opened) = self.open(name)? else { return Ok(None) };
        let value = json::document(&opened.bytes, what).map_err(|error| error.in_file(&opened.path))?;
        if value.is_object() {
            Ok(Some(value))
        } else {
            let why = "is not a JSON object".to_owned();
            Err(FormatError::new(Place::File, Problem::Header(why)).in_file(&opened.path))
        }
    }

    /// The first of the folder's tokenizer files: `tokenizer.json`, `tekken.json`, a model of SentencePiece, ranks.
    pub(crate) fn tokenizer(&self) -> Result<TokenizerSource, FormatError> {
        let mut names: Vec<String> = TOKENIZERS.iter().map(|name| (*name).to_owned()).collect();
        names.extend(names_in(self.folder)?.into_iter().filter(|name| name.ends_with(".tiktoken")));
        for name in names {
            if let Some(opened) = self.open(&name)? {
                return self.tokenizer_in(opened);
            }
        }
        Ok(TokenizerSource::None)
    }

    /// The tokenizer in this file, with what lies beside it.
    pub(crate) fn tokenizer_in(&self, opened: Opened) -> Result<TokenizerSource, FormatError> {
        let value = opened.bytes.len() as u64;
        if value > TOKENIZER_BYTES {
            let problem = Problem::Limit { what: "the tokenizer's length", value, limit: TOKENIZER_BYTES };
            return Err(FormatError::new(Place::File, problem).in_file(&opened.path));
        }
        let tokenizer_config = self.tokenizer_config()?;
        let chat_template = match self.open("chat_template.jinja")? {
            Some(template) => Some(self.text(&template)?),
            None => tokenizer_config.as_ref().and_then(template_in),
        };
        let is_json = opened.path.file_name().is_some_and(|name| name == TOKENIZERS[0]);
        Ok(match is_json {
            true => {
                TokenizerSource::HuggingFace { tokenizer_json: opened.bytes, tokenizer_config, chat_template }
            }
            false => TokenizerSource::File { bytes: opened.bytes, tokenizer_config, chat_template },
        })
    }

    /// `tokenizer_config.json`; a role that it gives to no token has the one of `special_tokens_map.json`.
    fn tokenizer_config(&self) -> Result<Option<Value>, FormatError> {
        let config = self.object("tokenizer_config.json", "tokenizer_config.json")?;
        let map = self.object("special_tokens_map.json", "special_tokens_map.json")?;
        Ok(match (config, map) {
            (Some(Value::Object(mut config)), Some(Value::Object(map))) => {
                for (role, token) in map {
                    let slot = config.entry(role).or_insert(Value::Null);
                    *slot = if slot.is_null() { token } else { slot.take() };
                }
                Some(Value::Object(config))
            }
            (config, map) => config.or(map),
        })
    }

    fn text(&self, opened: &Opened) -> Result<String, FormatError> {
        let value = opened.bytes.len() as u64;
        let problem = match std::str::from_utf8(&opened.bytes) {
            _ if value > limits::STRING_BYTES => {
                Problem::Limit { what: "the template's length", value, limit: limits::STRING_BYTES }
            }
            Ok(text) => return Ok(text.to_owned()),
            Err(_) => Problem::NotUtf8("the template"),
        };
        Err(FormatError::new(Place::File, problem).in_file(&opened.path))
    }
}

/// `chat_template` is the template, or a list of named ones of which `default` is taken.
fn template_in(config: &Value) -> Option<String> {
    let template = config.get("chat_template")?;
    let named = |template: &Value| template.get("name").and_then(Value::as_str) == Some("default");
    let text = match template.as_array() {
        Some(list) => list.iter().find(|template| named(template))?.get("template")?.as_str()?,
        None => template.as_str()?,
    };
    Some(text.to_owned())
}
