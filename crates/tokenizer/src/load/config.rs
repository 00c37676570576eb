//! What lies beside a tokenizer file: tokenizer_config.json and special_tokens_map.json.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use torchless_base::TokenId;

use super::read_json;
use crate::TokenizerError;
use crate::added::AddedToken;
use crate::error::excerpt;
use crate::postprocess::PostProcessor;
use crate::special::{SpecialIds, is_turn_markup};

const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";

/// The texts of the files beside a tokenizer file, where there are such.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside<'a> {
    /// tokenizer_config.json
    pub tokenizer_config: Option<&'a [u8]>,
    /// special_tokens_map.json, which counts where tokenizer_config.json names no token for a role.
    pub special_tokens_map: Option<&'a [u8]>,
}

/// What counts in tokenizer_config.json. How texts are cut to a length and filled up is for batches, and
/// `legacy` and `sp_model_kwargs` say how transformers makes a tokenizer.json of other files: neither changes
/// the ids of a text here.
#[derive(Deserialize, Default)]
pub(super) struct Config {
    pub(super) tokenizer_class: Option<String>,
    #[serde(flatten)]
    roles: Roles,
    pub(super) add_bos_token: Option<bool>,
    pub(super) add_eos_token: Option<bool>,
    #[serde(default)]
    added_tokens_decoder: BTreeMap<String, AddedConfig>,
}

/// Names of tokens by their role.
#[derive(Deserialize, Default)]
struct Roles {
    bos_token: Option<NameJson>,
    eos_token: Option<NameJson>,
    unk_token: Option<NameJson>,
    pad_token: Option<NameJson>,
}

/// A token by its text, or by an object with its `content`.
struct NameJson(String);

impl<'de> Deserialize<'de> for NameJson {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Token {
            content: String,
        }
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = NameJson;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the text of a token, or an object with its content")
            }

            fn visit_str<E>(self, text: &str) -> Result<NameJson, E> {
                Ok(NameJson(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NameJson, A::Error> {
                let Token { content } = Token::deserialize(MapAccessDeserializer::new(map))?;
                Ok(NameJson(content))
            }
        }
        from.deserialize_any(Reader)
    }
}

#[derive(Deserialize)]
struct AddedConfig {
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

impl Config {
    pub(super) fn read(beside: Beside<'_>) -> Result<Self, TokenizerError> {
        let config = beside.tokenizer_config.map(|text| read_json::<Self>(CONFIG, text)).transpose()?;
        let map = beside.special_tokens_map.map(|text| read_json::<Roles>(SPECIAL, text)).transpose()?;
        let (mut config, map) = (config.unwrap_or_default(), map.unwrap_or_default());
        let Roles { bos_token, eos_token, unk_token, pad_token } = std::mem::take(&mut config.roles);
        config.roles = Roles {
            bos_token: bos_token.or(map.bos_token),
            eos_token: eos_token.or(map.eos_token),
            unk_token: unk_token.or(map.unk_token),
            pad_token: pad_token.or(map.pad_token),
        };
        Ok(config)
    }

    /// The tokens of `added_tokens_decoder`, in the order of their ids.
    pub(super) fn added_tokens(&self) -> Result<Vec<AddedToken>, TokenizerError> {
        let mut tokens = Vec::new();
        for (id, token) in &self.added_tokens_decoder {
            let id = id.parse().map_err(|_| TokenizerError::Json {
                file: CONFIG,
                what: format!("added_tokens_decoder: {:?} is no token id", excerpt(id.as_bytes())),
            })?;
            tokens.push(AddedToken {
                id,
                text: token.content.clone(),
                special: token.special || is_turn_markup(token.content.as_bytes()),
                lstrip: token.lstrip,
                rstrip: token.rstrip,
                single_word: token.single_word,
                normalized: token.normalized.unwrap_or(!token.special),
            });
        }
        tokens.sort_by_key(|token| token.id);
        Ok(tokens)
    }

    /// The ids with a role by the names that the files give them.
    pub(super) fn roles(&self, index: &HashMap<String, u32>) -> Result<SpecialIds, TokenizerError> {
        let role = |what, name: &Option<NameJson>| {
            let Some(NameJson(name)) = name else { return Ok(None) };
            named(index, what, name).map(Some)
        };
        Ok(SpecialIds {
            bos: role("tokenizer_config.json bos_token", &self.roles.bos_token)?,
            eos: role("tokenizer_config.json eos_token", &self.roles.eos_token)?,
            unk: role("tokenizer_config.json unk_token", &self.roles.unk_token)?,
            pad: role("tokenizer_config.json pad_token", &self.roles.pad_token)?,
            ..SpecialIds::default()
        })
    }

    /// In these classes of transformers `add_bos_token` and `add_eos_token` replace the template of the file.
    pub(super) fn replaces_template(&self) -> bool {
        let class = self.tokenizer_class.as_deref().unwrap_or_default();
        ["Llama", "CodeLlama", "Gemma", "Cohere"].iter().any(|name| class.starts_with(name))
            && (self.add_bos_token.is_some() || self.add_eos_token.is_some())
    }

    /// BOS and EOS around each text as this file wants them, else as `post` has them.
    pub(super) fn around(&self, post: &PostProcessor, special: SpecialIds) -> PostProcessor {
        let (before, after) = post.around();
        let pick = |asked: Option<bool>, id: Option<TokenId>, file: &[TokenId]| match (asked, id) {
            (Some(true), Some(id)) => Some(id),
            (Some(false), _) => None,
            _ => file.first().copied(),
        };
        let bos = pick(self.add_bos_token, special.bos, &before);
        PostProcessor::ends(bos, pick(self.add_eos_token, special.eos, &after))
    }
}

pub(super) fn named(
    index: &HashMap<String, u32>,
    what: &'static str,
    name: &str,
) -> Result<TokenId, TokenizerError> {
    index.get(name).copied().map(TokenId).ok_or_else(|| TokenizerError::Unknown {
        place: what,
        found: excerpt(name.as_bytes()),
        known: "the tokens of the tokenizer file".to_owned(),
    })
}
