//! A tokenizer from the `tokenizer.ggml.*` metadata of a GGUF file.

mod in_json;
mod kinds;
mod words;

pub use in_json::JsonWords;
pub use words::GgufWords;

use torchless_base::TokenId;

use crate::added::{AddedToken, AddedTokens};
use crate::alphabet::byte_token;
use crate::decode::Decoder;
use crate::error::excerpt;
use crate::model::{Model, NamedMerge};
use crate::normalize::Normalizer;
use crate::postprocess::PostProcessor;
use crate::pretokenize::PreTokenizer;
use crate::special::{end_ids, settle_kinds};
use crate::tokenizer::Parts;
use crate::vocab::{Kind, Vocab};
use crate::{SpecialIds, Tokenizer, TokenizerError};

/// The metadata of a GGUF file that make a tokenizer; each field is the key `tokenizer.ggml.<field>` unless it
/// says otherwise, `None` where the file lacks it.
#[derive(Debug, Clone, Default)]
pub struct GgufVocab<'a> {
    /// `llama` (SentencePiece BPE), `gpt2` (byte-level BPE), `gemma4` (BPE with space signs), `t5` (Unigram),
    /// `bert` (WordPiece) or `rwkv` (longest matches).
    pub model: &'a str,
    /// Name of the pre-split; byte-level BPE only. `None` is `default`.
    pub pre: Option<&'a str>,
    /// Texts by id.
    pub tokens: Vec<Vec<u8>>,
    /// One finite score per token; `llama` and `t5` only, and needed there.
    pub scores: Option<Vec<f32>>,
    /// `token_type`: one of 0 (undefined), 1 (normal), 2 (unknown), 3 (control), 4 (user-defined), 5 (unused),
    /// 6 (byte) per token.
    pub types: Option<Vec<i32>>,
    /// Pairs with a space between; `gpt2` and `gemma4` only, and needed there.
    pub merges: Option<Vec<String>>,
    /// `bos_token_id`.
    pub bos: Option<u32>,
    /// `eos_token_id`.
    pub eos: Option<u32>,
    /// `eot_token_id`.
    pub eot: Option<u32>,
    /// `eom_token_id`.
    pub eom: Option<u32>,
    /// `unknown_token_id`.
    pub unk: Option<u32>,
    /// `padding_token_id`.
    pub pad: Option<u32>,
    /// Further ids that end a reply, from wherever the caller knows them.
    pub more_end_ids: Vec<u32>,
    /// `add_bos_token`; not of `bert`, which always has its two.
    pub add_bos: Option<bool>,
    /// `add_eos_token`; likewise.
    pub add_eos: Option<bool>,
    /// `seperator_token_id`, in this spelling.
    pub sep: Option<u32>,
    /// `cls_token_id`.
    pub cls: Option<u32>,
    /// `add_space_prefix`; `llama` and `t5` only.
    pub add_space_prefix: Option<bool>,
    /// `remove_extra_whitespaces`; `t5` only, of the others none joins spaces.
    pub remove_extra_whitespaces: Option<bool>,
    /// `precompiled_charsmap`; `t5` only.
    pub charsmap: Option<Vec<u8>>,
    /// `normalizer.lowercase`; `bert` only.
    pub lowercase: Option<bool>,
    /// `normalizer.strip_accents`; `bert` only.
    pub strip_accents: Option<bool>,
}

impl Tokenizer {
    /// Makes a tokenizer from the metadata of a GGUF file. The format has no place for a normaliser, so text is
    /// taken as it is: models whose tokenizer.json composes characters (NFC) expect composed text.
    ///
    /// # Errors
    /// Every way in which the metadata contradict themselves, and kinds that are not known.
    pub fn from_gguf(file: GgufVocab<'_>) -> Result<Self, TokenizerError> {
        match file.model {
            "llama" => kinds::sentencepiece(file),
            "gpt2" => kinds::byte_level(file),
            "t5" => kinds::unigram(file),
            "bert" => kinds::wordpiece(file),
            "rwkv" => kinds::rwkv(file),
            "gemma4" => kinds::gemma4(file),
            other => Err(TokenizerError::Unknown {
                place: "tokenizer.ggml.model",
                found: excerpt(other.as_bytes()),
                known: "bert, gemma4, gpt2, llama, rwkv, t5".to_owned(),
            }),
        }
    }
}

/// What the kinds of tokenizers differ in.
struct Base {
    kind: &'static str,
    pre_split: Option<String>,
    vocab: Vocab,
    special: SpecialIds,
    model: Model,
    decoder: Decoder,
    normalizer: Normalizer,
    pre_tokenizer: PreTokenizer,
    post: PostProcessor,
}

fn assemble(file: &GgufVocab<'_>, base: Base) -> Result<Tokenizer, TokenizerError> {
    let Base { kind, pre_split, vocab, special, model, decoder, normalizer, pre_tokenizer, post } = base;
    for &id in &file.more_end_ids {
        vocab.check("an end token", Some(id))?;
    }
    Ok(Tokenizer::new(Parts {
        kind,
        pre_split,
        added: AddedTokens::new(&added_tokens(&vocab), &normalizer)?,
        normalizer,
        normalizes_to_bytes: false,
        wants_byte_chars: false,
        pre_tokenizer,
        model,
        decoder,
        post,
        special,
        end: end_ids(&vocab, special, &file.more_end_ids),
        vocab,
    }))
}

/// BOS before and EOS behind a text, as the file or else the kind of tokenizer wants them.
fn ends(
    file: &GgufVocab<'_>,
    special: SpecialIds,
    (adds_bos, adds_eos): (bool, bool),
) -> Result<PostProcessor, TokenizerError> {
    let bos = around(file.add_bos, adds_bos, special.bos, "tokenizer.ggml.bos_token_id")?;
    let eos = around(file.add_eos, adds_eos, special.eos, "tokenizer.ggml.eos_token_id")?;
    Ok(PostProcessor::ends(bos, eos))
}

/// The token to add, if the file or else the kind of tokenizer wants it.
fn around(
    asked: Option<bool>,
    default: bool,
    id: Option<TokenId>,
    what: &'static str,
) -> Result<Option<TokenId>, TokenizerError> {
    match (asked, id) {
        (Some(true), None) => {
            Err(TokenizerError::Missing { what, needed_by: "the wish to add it to every text" })
        }
        (asked, id) => Ok(id.filter(|_| asked.unwrap_or(default))),
    }
}

/// The vocabulary with the kinds of its tokens, and the ids with a role. `usual` are BOS, EOS and unknown where
/// the file names none but has tokens of the right kind there.
fn checked(file: &mut GgufVocab<'_>, usual: Option<[u32; 3]>) -> Result<(Vocab, SpecialIds), TokenizerError> {
    let mut vocab = Vocab::new(std::mem::take(&mut file.tokens))?;
    let types = file.types.take();
    match &types {
        Some(types) => set_kinds(&mut vocab, types)?,
        None if matches!(file.model, "llama" | "gemma4") => vocab.mark_byte_tokens(),
        None => {}
    }
    let id = |what, id| Ok(vocab.check(what, id)?.map(TokenId));
    let mut special = SpecialIds {
        bos: id("tokenizer.ggml.bos_token_id", file.bos)?,
        eos: id("tokenizer.ggml.eos_token_id", file.eos)?,
        eot: id("tokenizer.ggml.eot_token_id", file.eot)?,
        eom: id("tokenizer.ggml.eom_token_id", file.eom)?,
        unk: id("tokenizer.ggml.unknown_token_id", file.unk)?,
        pad: id("tokenizer.ggml.padding_token_id", file.pad)?,
    };
    if let Some([bos, eos, unk]) = usual {
        let usual = |id: u32, kind| (vocab.kind(id) == kind).then_some(TokenId(id));
        special.bos = special.bos.or_else(|| usual(bos, Kind::Control));
        special.eos = special.eos.or_else(|| usual(eos, Kind::Control));
        special.unk = special.unk.or_else(|| usual(unk, Kind::Unknown));
    }
    if types.is_none() {
        for id in [special.bos, special.eos, special.eot, special.eom, special.pad].into_iter().flatten() {
            vocab.set_kind(id.0, Kind::Control);
        }
        special.unk.into_iter().for_each(|id| vocab.set_kind(id.0, Kind::Unknown));
    }
    settle_kinds(&mut vocab, special);
    Ok((vocab, special))
}

fn set_kinds(vocab: &mut Vocab, types: &[i32]) -> Result<(), TokenizerError> {
    if types.len() != vocab.len() {
        let what = "tokenizer.ggml.token_type";
        return Err(TokenizerError::Length { what, found: types.len(), expected: vocab.len() });
    }
    for (id, &value) in types.iter().enumerate() {
        let text = vocab.text(id as u32).unwrap_or_default();
        let kind = match value {
            0 | 1 | 5 => Kind::Normal,
            2 => Kind::Unknown,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            6 => match byte_token(text) {
                Some(byte) => Kind::Byte(byte),
                None => {
                    let why = "has the type of a byte and is none";
                    return Err(TokenizerError::ByteToken { id: id as u32, token: excerpt(text), why });
                }
            },
            _ => return Err(TokenizerError::TokenType { id, value }),
        };
        vocab.set_kind(id as u32, kind);
    }
    Ok(())
}

fn check_scores(scores: &[f32], expected: usize) -> Result<(), TokenizerError> {
    if scores.len() != expected {
        return Err(TokenizerError::Length { what: "tokenizer.ggml.scores", found: scores.len(), expected });
    }
    match scores.iter().enumerate().find(|(_, score)| !score.is_finite()) {
        Some((id, &value)) => Err(TokenizerError::Score { id, value }),
        None => Ok(()),
    }
}

/// Halves of a merge: the space between them is the first that is not the first character.
fn named_merge((index, merge): (usize, &String)) -> Result<NamedMerge, TokenizerError> {
    let space = merge.char_indices().skip(1).find(|(_, c)| *c == ' ').map(|(at, _)| at);
    match space.map(|at| (&merge[..at], &merge[at + 1..])) {
        Some((left, right)) if !right.is_empty() => Ok((left.to_owned(), right.to_owned())),
        _ => {
            let why = "it is not two texts with a space between";
            Err(TokenizerError::Merge { index, merge: excerpt(merge.as_bytes()), why })
        }
    }
}

fn added_tokens(vocab: &Vocab) -> Vec<AddedToken> {
    let added = |(id, text, kind): (u32, &[u8], Kind)| {
        let special = match kind {
            Kind::Control | Kind::Unknown => true,
            Kind::UserDefined => false,
            _ => return None,
        };
        Some(AddedToken {
            id,
            text: std::str::from_utf8(text).ok()?.to_owned(),
            special,
            ..AddedToken::default()
        })
    };
    vocab.iter().filter_map(added).collect()
}
