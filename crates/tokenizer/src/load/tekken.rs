//! A tokenizer from Mistral's tekken.json: byte strings with ranks, the pattern that splits, special tokens.

use std::collections::HashMap;

use serde::Deserialize;

use super::limited::{list, optional_list};
use super::ranks::{RankParts, assemble, lacking_byte};
use super::{base64, read_json};
use crate::added::AddedToken;
use crate::error::excerpt;
use crate::normalize::Normalizer;
use crate::vocab::MAX_TOKENS;
use crate::{Tokenizer, TokenizerError};

const FILE: &str = "tekken.json";

/// The special tokens of files that do not list them, in the order of their ids.
const SPECIALS: &[&str] = &[
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
];

#[derive(Deserialize)]
struct File {
    config: Settings,
    #[serde(deserialize_with = "list")]
    vocab: Vec<TokenJson>,
    #[serde(default, deserialize_with = "optional_list")]
    special_tokens: Option<Vec<SpecialJson>>,
}

#[derive(Deserialize)]
struct Settings {
    pattern: String,
    default_vocab_size: usize,
    default_num_special_tokens: usize,
}

#[derive(Deserialize)]
struct TokenJson {
    rank: usize,
    token_bytes: String,
}

#[derive(Deserialize)]
struct SpecialJson {
    rank: usize,
    token_str: String,
}

impl Tokenizer {
    /// Makes a tokenizer from the text of a tekken.json. BOS goes before each text.
    ///
    /// # Errors
    /// Text that is not such JSON, tokens that are not base64 or stand twice, bytes without a token, and sizes that are
    /// not those of the lists.
    pub fn from_tekken(file: &[u8]) -> Result<Self, TokenizerError> {
        let file: File = read_json(FILE, file)?;
        let Settings { pattern, default_vocab_size: size, default_num_special_tokens: specials } =
            file.config;
        if size > MAX_TOKENS || specials > size {
            let (found, limit) = (size.max(specials), MAX_TOKENS.min(size));
            return Err(TokenizerError::TooMany { what: "tokens", found, limit });
        }
        // The file may list more tokens than its models have; those of the last ranks are left out.
        let usable = size - specials;
        let mut tokens = Vec::with_capacity(usable.min(file.vocab.len()));
        for token in file.vocab.iter().filter(|token| token.rank < usable) {
            let bytes = base64::decode(token.token_bytes.as_bytes()).filter(|bytes| !bytes.is_empty());
            let bytes = bytes.ok_or_else(|| TokenizerError::Json {
                file: FILE,
                what: format!("token_bytes {:?} are not base64", excerpt(token.token_bytes.as_bytes())),
            })?;
            tokens.push((bytes, (token.rank + specials) as u32));
        }
        check(&tokens, usable)?;
        assemble(RankParts {
            file: "tekken.json config.pattern",
            name: "tekken",
            pattern: &pattern,
            normalizer: Normalizer::default(),
            tokens,
            added: added(file.special_tokens, specials)?,
            roles: [Some("<s>"), Some("</s>"), Some("<pad>"), Some("<unk>")],
            adds_bos: true,
        })
    }
}

/// Every rank has a token, and every byte is one.
fn check(tokens: &[(Vec<u8>, u32)], usable: usize) -> Result<(), TokenizerError> {
    let wrong = |what| Err(TokenizerError::Json { file: FILE, what });
    if tokens.len() < usable {
        return wrong(format!("has {} tokens of the {usable} that its sizes ask for", tokens.len()));
    }
    match lacking_byte(tokens) {
        Some(byte) => wrong(format!("has no token for the byte {byte:#04x}: it is damaged")),
        None => Ok(()),
    }
}

/// The special tokens of the file, or those of its time; ids without a name get one.
fn added(listed: Option<Vec<SpecialJson>>, count: usize) -> Result<Vec<AddedToken>, TokenizerError> {
    let mut names: Vec<Option<String>> = vec![None; count];
    let listed = listed.unwrap_or_else(|| {
        let special = |(rank, text): (usize, &&str)| SpecialJson { rank, token_str: (*text).to_owned() };
        SPECIALS.iter().take(count).enumerate().map(special).collect()
    });
    for SpecialJson { rank, token_str } in listed {
        let name = names.get_mut(rank).ok_or(TokenizerError::TooMany {
            what: "the rank of a special token in tekken.json",
            found: rank,
            limit: count.saturating_sub(1),
        })?;
        if let Some(known) = name.replace(token_str) {
            let (token, id) = (excerpt(known.as_bytes()), rank as u32);
            return Err(TokenizerError::Duplicate { token, first: id, second: id });
        }
    }
    let token = |(id, name): (usize, Option<String>)| {
        let text = name.unwrap_or_else(|| format!("<SPECIAL_{id}>"));
        AddedToken { id: id as u32, text, special: true, ..AddedToken::default() }
    };
    let tokens: Vec<AddedToken> = names.into_iter().enumerate().map(token).collect();
    let mut seen = HashMap::with_capacity(tokens.len());
    for token in &tokens {
        if let Some(first) = seen.insert(token.text.as_str(), token.id) {
            let text = excerpt(token.text.as_bytes());
            return Err(TokenizerError::Duplicate { token: text, first, second: token.id });
        }
    }
    Ok(tokens)
}
