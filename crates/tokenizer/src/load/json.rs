//! A tokenizer from the text of a tokenizer.json, with what tokenizer_config.json adds to it.
//!
//! `truncation` and `padding` are for batches of training texts and are not applied.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use torchless_base::TokenId;

use super::components::{self, Around, DecodeStep};
use crate::added::{AddedToken, AddedTokens};
use crate::decode::Decoder;
use crate::error::excerpt;
use crate::model::{Bpe, BpeParts, Model, NamedMerge, Unknown};
use crate::normalize::Rewrite;
use crate::pretokenize::Splitter;
use crate::special::end_ids;
use crate::tokenizer::Parts;
use crate::vocab::{Kind, Vocab};
use crate::{SpecialIds, Tokenizer, TokenizerError};

const FILE: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedJson>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    decoder: Option<Value>,
    model: ModelJson,
}

#[derive(Deserialize)]
struct AddedJson {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
    normalized: Option<bool>,
}

#[derive(Deserialize)]
struct ModelJson {
    r#type: Option<String>,
    vocab: Option<VocabJson>,
    merges: Option<Vec<MergeJson>>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    dropout: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MergeJson {
    Pair(String, String),
    Joined(String),
}

/// Texts with their ids.
type Entries = Vec<(String, u32)>;

/// Texts with ids as the file lists them, so that texts that stand twice can be seen.
enum VocabJson {
    Map(Entries),
    /// Texts with scores, as Unigram has them.
    List,
}

impl<'de> Deserialize<'de> for VocabJson {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = VocabJson;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from texts to ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VocabJson, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(VocabJson::Map(entries))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<VocabJson, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(VocabJson::List)
            }
        }
        from.deserialize_any(Reader)
    }
}

/// What counts in tokenizer_config.json.
#[derive(Deserialize, Default)]
struct Config {
    tokenizer_class: Option<String>,
    bos_token: Option<NameJson>,
    eos_token: Option<NameJson>,
    unk_token: Option<NameJson>,
    pad_token: Option<NameJson>,
    add_bos_token: Option<bool>,
    add_eos_token: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NameJson {
    Text(String),
    Token { content: String },
}

impl Tokenizer {
    /// Makes a tokenizer from the text of a tokenizer.json, and of the tokenizer_config.json beside it.
    ///
    /// # Errors
    /// Text that is not such JSON, components and models that are not known, vocabularies that contradict
    /// themselves.
    pub fn from_tokenizer_json(file: &[u8], config: Option<&[u8]>) -> Result<Self, TokenizerError> {
        let file: File = read(FILE, file)?;
        let config: Config = config.map(|text| read(CONFIG, text)).transpose()?.unwrap_or_default();
        assemble(file, &config)
    }
}

fn read<'a, T: Deserialize<'a>>(file: &'static str, text: &'a [u8]) -> Result<T, TokenizerError> {
    serde_json::from_slice(text)
        .map_err(|error| TokenizerError::Json { file, what: excerpt(error.to_string().as_bytes()) })
}

fn assemble(file: File, config: &Config) -> Result<Tokenizer, TokenizerError> {
    let (entries, merges) = bpe_lists(&file.model)?;
    let normalizer = components::normalizer(file.normalizer.as_ref())?;
    let pre_tokenizer = components::pre_tokenizer(file.pre_tokenizer.as_ref())?;
    let normalizes_to_bytes = normalizer.0.iter().any(|step| matches!(step, Rewrite::ByteLevel));
    let splits_to_bytes = pre_tokenizer.0.iter().any(|step| matches!(step, Splitter::ByteLevel { .. }));
    let byte_level = normalizes_to_bytes || splits_to_bytes;

    let added: Vec<AddedToken> = file.added_tokens.into_iter().map(AddedJson::token).collect();
    let (mut vocab, index) = vocabulary(entries, &added)?;
    if file.model.byte_fallback {
        vocab.mark_byte_tokens();
    }
    added.iter().for_each(|token| {
        vocab.set_kind(token.id, if token.special { Kind::Control } else { Kind::UserDefined });
    });
    let unknown =
        file.model.unk_token.as_deref().map(|name| named(&index, "model.unk_token", name)).transpose()?;
    if let Some(TokenId(id)) = unknown
        && vocab.kind(id) == Kind::Normal
    {
        vocab.set_kind(id, Kind::Unknown);
    }

    let model = Model::Bpe(Bpe::new(&BpeParts {
        vocab: &vocab,
        merges: &merges,
        byte_level,
        byte_fallback: file.model.byte_fallback,
        unknown: Unknown { id: unknown.map(|id| id.0), fuse: file.model.fuse_unk },
        ignore_merges: file.model.ignore_merges,
    })?);
    let steps = match &file.decoder {
        Some(value) if !value.is_null() => components::decoder(value)?,
        _ if byte_level => vec![DecodeStep::ByteLevel],
        _ => vec![DecodeStep::signs()],
    };
    let decoder = Decoder::new(
        vocab.iter().map(|(_, text, _)| components::token_bytes(&steps, text)),
        components::start(&steps)?,
    );
    let around = components::post_processor(file.post_processor.as_ref())?;
    around.check(&vocab)?;
    let special = roles(config, &index, unknown, &around)?;
    let around = with_config(around, config, special);
    let kind = match (byte_level, file.model.byte_fallback) {
        (true, _) => "byte-level BPE",
        (false, true) => "BPE with byte fallback",
        (false, false) => "BPE",
    };
    Ok(Tokenizer::new(Parts {
        kind,
        pre_split: file.pre_tokenizer.as_ref().and_then(components::name),
        added: AddedTokens::new(&added, &normalizer)?,
        normalizer,
        normalizes_to_bytes,
        pre_tokenizer,
        model,
        decoder,
        before: around.before,
        after: around.after,
        special,
        end: end_ids(&vocab, special, &[]),
        vocab,
    }))
}

impl AddedJson {
    fn token(self) -> AddedToken {
        AddedToken {
            id: self.id,
            text: self.content,
            special: self.special,
            lstrip: self.lstrip,
            rstrip: self.rstrip,
            single_word: self.single_word,
            normalized: self.normalized.unwrap_or(!self.special),
        }
    }
}

/// Vocabulary and merges of a BPE model; other models and options that change its ids are refused.
fn bpe_lists(model: &ModelJson) -> Result<(Entries, Vec<NamedMerge>), TokenizerError> {
    let place = "tokenizer.json model";
    let unknown = |found: &str, known: &str| {
        Err(TokenizerError::Unknown { place, found: excerpt(found.as_bytes()), known: known.to_owned() })
    };
    match (model.r#type.as_deref(), &model.vocab) {
        (Some("BPE"), _) => {}
        (None, Some(VocabJson::List)) => return unknown("Unigram", "BPE"),
        (None, _) if model.merges.is_some() => {}
        (found, _) => return unknown(found.unwrap_or("a model without a type"), "BPE"),
    }
    let is_set = |option: &Option<String>| option.as_ref().is_some_and(|text| !text.is_empty());
    if is_set(&model.continuing_subword_prefix) {
        return unknown("continuing_subword_prefix", "an empty one");
    }
    if is_set(&model.end_of_word_suffix) {
        return unknown("end_of_word_suffix", "an empty one");
    }
    if model.dropout.is_some_and(|share| share != 0.0) {
        return unknown("dropout", "0");
    }
    let Some(VocabJson::Map(entries)) = &model.vocab else {
        return Err(TokenizerError::Missing { what: "model.vocab", needed_by: "a BPE model" });
    };
    let Some(merges) = &model.merges else {
        return Err(TokenizerError::Missing { what: "model.merges", needed_by: "a BPE model" });
    };
    let merges =
        merges.iter().enumerate().map(|(index, merge)| merge.halves(index)).collect::<Result<_, _>>()?;
    Ok((entries.clone(), merges))
}

impl MergeJson {
    fn halves(&self, index: usize) -> Result<NamedMerge, TokenizerError> {
        match self {
            Self::Pair(left, right) => Ok((left.clone(), right.clone())),
            Self::Joined(text) => match text.split_once(' ') {
                Some((left, right)) if !right.contains(' ') => Ok((left.to_owned(), right.to_owned())),
                _ => {
                    let why = "it is not two texts with a space between";
                    Err(TokenizerError::Merge { index, merge: excerpt(text.as_bytes()), why })
                }
            },
        }
    }
}

/// The vocabulary of the model with the added tokens, and ids by text.
fn vocabulary(
    mut entries: Entries,
    added: &[AddedToken],
) -> Result<(Vocab, HashMap<String, u32>), TokenizerError> {
    let mut index = HashMap::with_capacity(entries.len());
    let duplicate = |token: &str, first, second| {
        Err(TokenizerError::Duplicate { token: excerpt(token.as_bytes()), first, second })
    };
    for (text, id) in &entries {
        if let Some(first) = index.insert(text.clone(), *id) {
            return duplicate(text, first, *id);
        }
    }
    for token in added {
        match index.insert(token.text.clone(), token.id) {
            None => entries.push((token.text.clone(), token.id)),
            Some(first) if first != token.id => return duplicate(&token.text, first, token.id),
            Some(_) => {}
        }
    }
    Ok((Vocab::from_pairs(entries)?, index))
}

fn named(index: &HashMap<String, u32>, what: &'static str, name: &str) -> Result<TokenId, TokenizerError> {
    index.get(name).copied().map(TokenId).ok_or_else(|| TokenizerError::Unknown {
        place: what,
        found: excerpt(name.as_bytes()),
        known: "the tokens of tokenizer.json".to_owned(),
    })
}

fn roles(
    config: &Config,
    index: &HashMap<String, u32>,
    unknown: Option<TokenId>,
    around: &Around,
) -> Result<SpecialIds, TokenizerError> {
    let role = |what, name: &Option<NameJson>| {
        let Some(NameJson::Text(name) | NameJson::Token { content: name }) = name else { return Ok(None) };
        named(index, what, name).map(Some)
    };
    let first_only = match around.before.as_slice() {
        [only] => Some(*only),
        _ => None,
    };
    Ok(SpecialIds {
        bos: role("tokenizer_config.json bos_token", &config.bos_token)?.or(first_only),
        eos: role("tokenizer_config.json eos_token", &config.eos_token)?,
        unk: unknown.or(role("tokenizer_config.json unk_token", &config.unk_token)?),
        pad: role("tokenizer_config.json pad_token", &config.pad_token)?,
        ..SpecialIds::default()
    })
}

/// In these classes of transformers `add_bos_token` and `add_eos_token` replace the template of the file.
fn with_config(around: Around, config: &Config, special: SpecialIds) -> Around {
    let replaces = ["Llama", "CodeLlama", "Gemma", "Cohere"];
    let class = config.tokenizer_class.as_deref().unwrap_or_default();
    if !replaces.iter().any(|name| class.starts_with(name)) {
        return around;
    }
    let pick = |asked: Option<bool>, id: Option<TokenId>, file: Vec<TokenId>| match (asked, id) {
        (Some(true), Some(id)) => vec![id],
        (Some(false), _) => Vec::new(),
        _ => file,
    };
    Around {
        before: pick(config.add_bos_token, special.bos, around.before),
        after: pick(config.add_eos_token, special.eos, around.after),
    }
}
