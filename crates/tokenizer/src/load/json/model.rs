//! The models of tokenizer.json: their lists and options, and what they become.

use std::fmt;

use serde::Deserialize;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::components::unknown;
use crate::TokenizerError;
use crate::error::excerpt;
use crate::load::limited::{List, optional_list, refuse_more};
use crate::model::{
    Affixes, Bpe, BpeParts, Merges, Model, NamedMerge, Rounding, Unigram, UnigramParts, Unknown, WordLevel,
    WordPiece, WordPieceParts,
};
use crate::vocab::{MAX_TOKENS, Vocab};

const PLACE: &str = "tokenizer.json model";
const KNOWN: &str = "BPE, Unigram, WordPiece, WordLevel";
/// The longest word in characters where a WordPiece model does not say.
const MAX_CHARS: usize = 100;

#[derive(Deserialize)]
pub(super) struct ModelJson {
    r#type: Option<String>,
    pub(super) vocab: Option<VocabJson>,
    #[serde(default, deserialize_with = "optional_list")]
    merges: Option<Vec<MergeJson>>,
    pub(super) unk_token: Option<String>,
    pub(super) unk_id: Option<u32>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    max_input_chars_per_word: Option<usize>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    pub(super) byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    dropout: Option<f64>,
}

/// `"a b"` or `["a", "b"]`.
enum MergeJson {
    Halves(NamedMerge),
    /// Not two texts with a space between.
    Malformed(String),
}

impl<'de> Deserialize<'de> for MergeJson {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = MergeJson;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge: \"a b\" or [\"a\", \"b\"]")
            }

            fn visit_str<E>(self, text: &str) -> Result<MergeJson, E> {
                Ok(match text.split_once(' ') {
                    Some((left, right)) if !right.contains(' ') => {
                        MergeJson::Halves((left.to_owned(), right.to_owned()))
                    }
                    _ => MergeJson::Malformed(text.to_owned()),
                })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<MergeJson, A::Error> {
                let halves = (list.next_element()?, list.next_element()?);
                match (halves, list.next_element::<IgnoredAny>()?) {
                    ((Some(left), Some(right)), None) => Ok(MergeJson::Halves((left, right))),
                    _ => Err(A::Error::custom("a merge is not two texts")),
                }
            }
        }
        from.deserialize_any(Reader)
    }
}

/// Texts with their ids.
pub(super) type Entries = Vec<(String, u32)>;

/// Texts as the file lists them, so that texts that stand twice can be seen.
pub(super) enum VocabJson {
    /// With their ids.
    Map(Entries),
    /// With their scores, in the order of their ids, as Unigram has them.
    List(Vec<(String, f64)>),
}

impl<'de> Deserialize<'de> for VocabJson {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = VocabJson;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from texts to ids, or a list of texts with scores")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VocabJson, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    refuse_more(entries.len(), MAX_TOKENS)?;
                    entries.push(entry);
                }
                Ok(VocabJson::Map(entries))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<VocabJson, A::Error> {
                List::default().visit_seq(list).map(VocabJson::List)
            }
        }
        from.deserialize_any(Reader)
    }
}

/// The kinds of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bpe,
    Unigram,
    WordPiece,
    WordLevel,
}

/// What a model is built from, beside its options.
pub(super) struct Lists<'a> {
    pub(super) vocab: &'a Vocab,
    /// Scores of the first ids.
    pub(super) scores: Vec<f64>,
    pub(super) unknown: Option<u32>,
    /// Words are bytes, which the vocabulary writes in GPT-2's alphabet.
    pub(super) byte_level: bool,
}

impl ModelJson {
    /// What the model is; files from before `type` show it by what they hold.
    pub(super) fn kind(&self) -> Result<Kind, TokenizerError> {
        match (self.r#type.as_deref(), &self.vocab) {
            (Some("BPE"), _) => Ok(Kind::Bpe),
            (Some("Unigram"), _) | (None, Some(VocabJson::List(_))) => Ok(Kind::Unigram),
            (Some("WordPiece"), _) => Ok(Kind::WordPiece),
            (Some("WordLevel"), _) => Ok(Kind::WordLevel),
            (None, _) if self.merges.is_some() => Ok(Kind::Bpe),
            (None, _) if self.max_input_chars_per_word.is_some() => Ok(Kind::WordPiece),
            (found, _) => Err(unknown(PLACE, found.unwrap_or("a model without a type"), KNOWN)),
        }
    }

    /// The tokens of the model with their ids, and the scores of those that have one.
    pub(super) fn entries(&mut self, kind: Kind) -> Result<(Entries, Vec<f64>), TokenizerError> {
        match (self.vocab.take(), kind) {
            (Some(VocabJson::List(list)), Kind::Unigram) => {
                if let Some((id, (_, score))) = list.iter().enumerate().find(|(_, (_, s))| !s.is_finite()) {
                    return Err(TokenizerError::Score { id, value: *score as f32 });
                }
                let scores = list.iter().map(|(_, score)| *score).collect();
                Ok((list.into_iter().map(|(text, _)| text).zip(0..).collect(), scores))
            }
            (Some(VocabJson::Map(entries)), Kind::Bpe | Kind::WordPiece | Kind::WordLevel) => {
                Ok((entries, Vec::new()))
            }
            (Some(VocabJson::Map(_)), Kind::Unigram) => {
                Err(unknown(PLACE, "a map as the vocab of Unigram", "a list of texts with scores"))
            }
            (Some(VocabJson::List(_)), _) => {
                Err(unknown(PLACE, "a list as model.vocab", "a map from texts to ids"))
            }
            (None, _) => Err(TokenizerError::Missing { what: "model.vocab", needed_by: "every model" }),
        }
    }

    /// Builds the model from its options and the lists of the file.
    pub(super) fn build(&mut self, kind: Kind, lists: Lists<'_>) -> Result<Model, TokenizerError> {
        let Lists { vocab, mut scores, unknown, byte_level } = lists;
        match kind {
            Kind::Bpe => self.bpe(vocab, unknown, byte_level),
            Kind::Unigram => {
                // Added tokens have no score and are never made from text.
                let listed = scores.len();
                scores.resize(vocab.len(), 0.0);
                let byte_fallback = self.byte_fallback;
                let rounding = Rounding::Double;
                let parts = UnigramParts { vocab, scores: &scores, listed, unknown, byte_fallback, rounding };
                Ok(Model::Unigram(Unigram::new(&parts)?))
            }
            Kind::WordPiece => Ok(Model::WordPiece(WordPiece::new(&WordPieceParts {
                vocab,
                unknown,
                beginning: "",
                continuing: self.continuing_subword_prefix.as_deref().unwrap_or("##"),
                max_chars: self.max_input_chars_per_word.unwrap_or(MAX_CHARS),
            })?)),
            Kind::WordLevel => Ok(Model::WordLevel(WordLevel::new(vocab, unknown))),
        }
    }

    fn bpe(&mut self, vocab: &Vocab, id: Option<u32>, byte_level: bool) -> Result<Model, TokenizerError> {
        if self.dropout.is_some_and(|share| share != 0.0) {
            return Err(unknown(PLACE, "dropout", "0"));
        }
        let merges = self.merges.take();
        let merges =
            merges.ok_or(TokenizerError::Missing { what: "model.merges", needed_by: "a BPE model" })?;
        let merges = merges
            .into_iter()
            .enumerate()
            .map(|(index, merge)| merge.halves(index))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Model::Bpe(Bpe::new(&BpeParts {
            vocab,
            merges: Merges::Listed(&merges),
            affixes: self.affixes(),
            byte_level,
            byte_fallback: self.byte_fallback,
            unknown: Unknown { id, fuse: self.fuse_unk },
            ignore_merges: self.ignore_merges,
        })?))
    }

    fn affixes(&self) -> Affixes {
        let text = |option: &Option<String>| option.clone().unwrap_or_default();
        Affixes { continuing: text(&self.continuing_subword_prefix), end: text(&self.end_of_word_suffix) }
    }

    /// Whether the places in a word are told apart by what is written to its characters.
    pub(super) fn has_affixes(&self) -> bool {
        self.affixes() != Affixes::default()
    }
}

impl MergeJson {
    fn halves(self, index: usize) -> Result<NamedMerge, TokenizerError> {
        match self {
            Self::Halves(halves) => Ok(halves),
            Self::Malformed(text) => {
                let why = "it is not two texts with a space between";
                Err(TokenizerError::Merge { index, merge: excerpt(text.as_bytes()), why })
            }
        }
    }
}
