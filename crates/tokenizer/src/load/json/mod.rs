//! A tokenizer from the text of a tokenizer.json, with what tokenizer_config.json adds to it.
//!
//! `truncation` and `padding` are for batches of training texts and are not applied: a text that a model is
//! given is never cut without a word.

mod components;
mod decoders;
mod model;
mod normalizers;
mod postprocessors;
mod pretokenizers;

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;
use torchless_base::TokenId;

use super::config::{Beside, Config, named};
use super::limited::{component, list};
use super::{SPACE_SIGN, read_json};
use crate::added::{AddedToken, AddedTokens};
use crate::decode::{DecodeStep, DecodeSteps};
use crate::error::excerpt;
use crate::normalize::{Normalizer, Rewrite};
use crate::postprocess::{Piece, PostProcessor};
use crate::pretokenize::{PreTokenizer, Splitter};
use crate::special::{end_ids, is_turn_markup};
use crate::tokenizer::Parts;
use crate::vocab::{Kind, Vocab};
use crate::{SpecialIds, Tokenizer, TokenizerError};
use components::check_growth;
use model::{Entries, Lists, ModelJson};
pub(super) use pretokenizers::bert as bert_splitters;

const FILE: &str = "tokenizer.json";

#[derive(Deserialize)]
struct File {
    #[serde(default, deserialize_with = "list")]
    added_tokens: Vec<AddedJson>,
    #[serde(default, deserialize_with = "component")]
    normalizer: Option<Value>,
    #[serde(default, deserialize_with = "component")]
    pre_tokenizer: Option<Value>,
    #[serde(default, deserialize_with = "component")]
    post_processor: Option<Value>,
    #[serde(default, deserialize_with = "component")]
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

impl Tokenizer {
    /// Makes a tokenizer from the text of a tokenizer.json, and of the tokenizer_config.json beside it.
    ///
    /// # Errors
    /// Text that is not such JSON, components and models that are not known, vocabularies that contradict
    /// themselves.
    pub fn from_tokenizer_json(file: &[u8], config: Option<&[u8]>) -> Result<Self, TokenizerError> {
        Self::from_tokenizer_json_beside(file, Beside { tokenizer_config: config, ..Beside::default() })
    }

    /// Makes a tokenizer from the text of a tokenizer.json, and of the files beside it.
    ///
    /// # Errors
    /// As [`Tokenizer::from_tokenizer_json`].
    pub fn from_tokenizer_json_beside(file: &[u8], beside: Beside<'_>) -> Result<Self, TokenizerError> {
        let file: File = read_json(FILE, file)?;
        assemble(file, &Config::read(beside)?)
    }
}

fn assemble(mut file: File, config: &Config) -> Result<Tokenizer, TokenizerError> {
    let kind = file.model.kind()?;
    let (entries, scores) = file.model.entries(kind)?;
    let normalizer = normalizers::normalizer(file.normalizer.as_ref())?;
    let pre_tokenizer = pretokenizers::pre_tokenizer(file.pre_tokenizer.as_ref())?;
    let growths = normalizer.0.iter().map(Rewrite::growth);
    let growths = growths.chain(pre_tokenizer.0.iter().map(Splitter::growth));
    check_growth("times that normalizer and pre_tokenizer make text longer", growths)?;
    let normalizes_to_bytes = normalizer.0.iter().any(|step| matches!(step, Rewrite::ByteLevel));
    let splits_to_bytes = pre_tokenizer.0.iter().any(|step| matches!(step, Splitter::ByteLevel { .. }));
    let byte_level = normalizes_to_bytes || splits_to_bytes;

    let added = added_tokens(file.added_tokens, config)?;
    let listed: HashSet<u32> = entries.iter().map(|(_, id)| *id).collect();
    let (mut vocab, index) = vocabulary(entries, &added)?;
    if file.model.byte_fallback {
        vocab.mark_byte_tokens();
    }
    added.iter().for_each(|token| {
        vocab.set_kind(token.id, if token.special { Kind::Control } else { Kind::UserDefined });
    });
    let unknown = unknown_id(&file.model, kind, &index)?;
    vocab.check("model.unk_id", unknown.map(|id| id.0))?;
    if let Some(TokenId(id)) = unknown
        && vocab.kind(id) == Kind::Normal
    {
        vocab.set_kind(id, Kind::Unknown);
    }
    // The model has no token that was only added: its text is found as a whole, and never put together.
    let only_added = added.iter().filter(|token| !listed.contains(&token.id));
    let only_added: Vec<_> = only_added.map(|token| (token.id, vocab.kind(token.id))).collect();
    only_added.iter().for_each(|(id, _)| vocab.set_kind(*id, Kind::Hole));
    let by_letters = byte_level
        && (kind != model::Kind::Bpe
            || file.model.has_affixes()
            || writes_past_bytes(&normalizer, &pre_tokenizer));
    let unknown_id = unknown.map(|id| id.0);
    let lists = Lists { vocab: &vocab, scores, unknown: unknown_id, byte_level: byte_level && !by_letters };
    let model = file.model.build(kind, lists)?;
    only_added.into_iter().for_each(|(id, kind)| vocab.set_kind(id, kind));
    let steps = decode_steps(file.decoder.as_ref(), kind, byte_level)?;
    let post = postprocessors::post_processor(file.post_processor.as_ref())?.unwrap_or_default();
    post.check(postprocessors::PLACE, &vocab)?;
    let special = roles(config, &index, unknown, &post)?;
    let post = if config.replaces_template() { config.around(&post, special) } else { post };
    Ok(Tokenizer::new(Parts {
        kind: name(kind, byte_level, file.model.byte_fallback),
        pre_split: file.pre_tokenizer.as_ref().and_then(components::name),
        added: AddedTokens::new(&added, &normalizer)?,
        normalizer,
        normalizes_to_bytes,
        wants_byte_chars: by_letters,
        pre_tokenizer,
        model,
        decoder: decoders::decoder(&steps, &vocab)?,
        post,
        special,
        end: end_ids(&vocab, special, &[]),
        vocab,
    }))
}

/// Whether a step behind `ByteLevel` may write what is no letter of its alphabet.
fn writes_past_bytes(normalizer: &Normalizer, pre_tokenizer: &PreTokenizer) -> bool {
    let first = normalizer.0.iter().position(|step| matches!(step, Rewrite::ByteLevel));
    let rewrites = first.is_some_and(|at| at + 1 < normalizer.0.len());
    let is_bytes = |step: &Splitter| first.is_some() || matches!(step, Splitter::ByteLevel { .. });
    let mut splitters = pre_tokenizer.0.iter().skip_while(|step| !is_bytes(step));
    rewrites || splitters.any(|step| matches!(step, Splitter::Metaspace { .. }))
}

fn name(kind: model::Kind, byte_level: bool, byte_fallback: bool) -> &'static str {
    match (kind, byte_level, byte_fallback) {
        (model::Kind::Bpe, true, _) => "byte-level BPE",
        (model::Kind::Bpe, false, true) => "BPE with byte fallback",
        (model::Kind::Bpe, false, false) => "BPE",
        (model::Kind::Unigram, ..) => "Unigram",
        (model::Kind::WordPiece, ..) => "WordPiece",
        (model::Kind::WordLevel, ..) => "WordLevel",
    }
}

impl AddedJson {
    fn token(self) -> AddedToken {
        AddedToken {
            id: self.id,
            special: self.special || is_turn_markup(self.content.as_bytes()),
            text: self.content,
            lstrip: self.lstrip,
            rstrip: self.rstrip,
            single_word: self.single_word,
            normalized: self.normalized.unwrap_or(!self.special),
        }
    }
}

/// The added tokens of the file; what tokenizer_config.json says of one counts more, and it may have others.
fn added_tokens(file: Vec<AddedJson>, config: &Config) -> Result<Vec<AddedToken>, TokenizerError> {
    let mut tokens: Vec<AddedToken> = file.into_iter().map(AddedJson::token).collect();
    let mut places: HashMap<String, usize> =
        tokens.iter().enumerate().map(|(place, token)| (token.text.clone(), place)).collect();
    for token in config.added_tokens()? {
        match places.get(&token.text) {
            Some(&place) if tokens[place].id == token.id => tokens[place] = token,
            _ => {
                places.insert(token.text.clone(), tokens.len());
                tokens.push(token);
            }
        }
    }
    Ok(tokens)
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

/// The token for what the vocabulary cannot write: by its id in Unigram, by its name elsewhere.
fn unknown_id(
    model: &ModelJson,
    kind: model::Kind,
    index: &HashMap<String, u32>,
) -> Result<Option<TokenId>, TokenizerError> {
    match (kind, model.unk_token.as_deref()) {
        (model::Kind::Unigram, _) => Ok(model.unk_id.map(TokenId)),
        (_, Some(name)) => named(index, "model.unk_token", name).map(Some),
        (model::Kind::WordPiece, None) => named(index, "model.unk_token", "[UNK]").map(Some),
        (_, None) => Ok(None),
    }
}

/// The decoder of the file, or the one that goes with its model.
fn decode_steps(
    value: Option<&Value>,
    kind: model::Kind,
    byte_level: bool,
) -> Result<DecodeSteps, TokenizerError> {
    match value {
        Some(value) if !value.is_null() => decoders::steps(value),
        _ if byte_level => Ok(DecodeSteps(vec![DecodeStep::ByteLevel])),
        _ if kind == model::Kind::WordPiece => {
            Ok(DecodeSteps(vec![DecodeStep::WordPiece { prefix: "##".to_owned(), cleanup: false }]))
        }
        _ if kind == model::Kind::WordLevel => Ok(DecodeSteps(vec![DecodeStep::Words])),
        _ => Ok(DecodeSteps::signs(SPACE_SIGN)),
    }
}

fn roles(
    config: &Config,
    index: &HashMap<String, u32>,
    unknown: Option<TokenId>,
    post: &PostProcessor,
) -> Result<SpecialIds, TokenizerError> {
    let first_only = match post.single.as_slice() {
        [Piece::Tokens(ids, _), Piece::First(_), ..] if ids.len() == 1 => ids.first().copied(),
        _ => None,
    };
    let roles = config.roles(index)?;
    Ok(SpecialIds { bos: roles.bos.or(first_only), unk: unknown.or(roles.unk), ..roles })
}
