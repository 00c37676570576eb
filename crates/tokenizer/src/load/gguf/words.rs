//! The other way round: a tokenizer.json in the words of GGUF.
//!
//! GGUF names splittings and has no normalisers, so which words fit is found by trying: those are taken that give the same ids for a few
//! thousand texts, made of the tokens themselves and of what tokenizers disagree on.

use std::collections::HashMap;

use serde::Deserialize;
use torchless_base::TokenId;
use unicode_normalization::UnicodeNormalization;

use super::GgufVocab;
use crate::pretokenize::{PreTokenizer, Word};
use crate::vocab::Kind;
use crate::{Around, EncodeOptions, Special, Tokenizer, alphabet, presplit};

/// What GGUF can say of a tokenizer.
#[derive(Debug, Clone)]
pub struct GgufWords {
    /// The metadata, with as many tokens as the model has rows.
    pub vocab: GgufVocab<'static>,
    /// Whether a tokenizer of these words does in every tried case what the original does, also around added tokens and with
    /// characters that are not composed.
    pub exact: bool,
}

/// Texts made of tokens, and tokens in each.
const TEXTS: usize = 2000;
const TOKENS_IN_TEXT: usize = 5;
/// Added tokens that are tried between texts.
const ADDED: usize = 64;

/// What vocabularies and splittings disagree on.
const PROBES: &[&str] = &[
    "",
    " ",
    "Hello world, it's 12345 o'clock!  Don't   panic.\n\n\tI'LL pay $3.50 (or 1,000,000).\r\n",
    "áàâäãåąçćčéèêëęíîñńóòôöøúùûüýžẞ ÀÉÎõü straße ΑΒΓ αβγ Привет мир שלום مرحبا بالعالم नमस्ते ไทยสวัสดี 你好，世界。 こんにちは カタカナ 한국어",
    "fn main() { let x: Vec<u8> = vec![0x1F; 16]; } // a_b-c/d\\e 'quoted' \"twice\"",
    "😀👩‍👩‍👧 ①½ ²³ … — “quotes” ’s ’LL \u{200d}\u{feff}\u{a0}\u{3000}x",
    "a1b22c333d4444e55555 0.001 1e-9 10⁵ ٣٤٥ ",
    "   leading\n  lines\n\n\n   and trailing   ",
    "CamelCaseWORDSAndACRONYMs SHOUTING'S it'S we'Re\nx\u{85}y\u{2028}z",
];

impl Tokenizer {
    /// This tokenizer, which was made from `file`, in the words of GGUF for a model of `rows` tokens. `None` where no
    /// words of GGUF give the same ids.
    pub fn in_gguf(&self, file: &[u8], rows: usize) -> Option<GgufWords> {
        let base = self.base(rows.max(self.vocab_size()))?;
        let listed = serde_json::from_slice::<File>(file).ok().and_then(|file| file.model.merges);
        let listed = listed.map(|merges| merges.into_iter().map(Merge::halves).collect::<Option<Vec<_>>>());
        let vocab = match (self.parts.kind, listed) {
            ("byte-level BPE", Some(merges)) => self.as_byte_level(&base, &merges?),
            ("byte-level BPE", None) => self.as_byte_level(&base, &self.merges_by_rank()),
            ("BPE with byte fallback", Some(merges)) => self.as_sentencepiece(&base, &merges?),
            ("SentencePiece BPE" | "Unigram", None) => self.of_pieces(&base, file),
            _ => None,
        }?;
        let other = Self::from_gguf(vocab.clone()).ok()?;
        let exact = self.exact_probes().all(|(text, special)| {
            let options = EncodeOptions { special, around: Around::ModelDefault };
            self.encode(&text, options) == other.encode(&text, options)
        });
        Some(GgufWords { vocab, exact })
    }

    /// What does not depend on the kind.
    fn base(&self, rows: usize) -> Option<GgufVocab<'static>> {
        let (mut tokens, mut types) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for id in 0..rows as u32 {
            let kind = if (id as usize) < self.vocab_size() { self.parts.vocab.kind(id) } else { Kind::Hole };
            let text = self.parts.vocab.text(id).unwrap_or_default();
            tokens.push(if kind == Kind::Hole { format!("[PAD{id}]").into_bytes() } else { text.to_vec() });
            types.push(type_of(kind));
        }
        let special = self.special_ids();
        let id = |id: Option<TokenId>| id.map(|id| id.0);
        let around = self.encode("a", EncodeOptions::TEXT);
        Some(GgufVocab {
            tokens,
            types: Some(types),
            bos: id(special.bos),
            eos: id(special.eos),
            eot: id(special.eot),
            eom: id(special.eom),
            unk: id(special.unk),
            pad: id(special.pad),
            more_end_ids: self.end_ids().iter().map(|id| id.0).collect(),
            add_bos: Some(special.bos.is_some() && around.first().copied() == special.bos),
            add_eos: Some(special.eos.is_some() && around.last().copied() == special.eos),
            ..GgufVocab::default()
        })
    }

    /// The name of a splitting with which byte-level BPE gives the same ids.
    fn as_byte_level(&self, base: &GgufVocab<'static>, merges: &[Halves]) -> Option<GgufVocab<'static>> {
        let joined = merges.iter().map(|(a, b)| format!("{a} {b}")).collect();
        let base = GgufVocab { model: "gpt2", merges: Some(joined), ..base.clone() };
        let texts = self.plain_probes();
        let wanted: Vec<_> = texts.iter().map(|text| self.plain_ids(text)).collect();
        // Vocabularies may give the same ids where words differ: what splits alike is tried first.
        let own = words(&self.parts.pre_tokenizer);
        let mut rows: Vec<_> = presplit::rows().collect();
        let splitters = |name| presplit::find(name).map(|row| PreTokenizer(row.splitters));
        rows.sort_by_cached_key(|(name, _)| splitters(name).ok().is_none_or(|other| words(&other) != own));
        let mut trials = [false, true].map(|ignores_merges| {
            let (name, _) = rows.iter().find(|(_, ignores)| *ignores == ignores_merges)?;
            Self::from_gguf(GgufVocab { pre: Some(name), ..base.clone() }).ok()
        });
        for (name, ignores_merges) in rows {
            let trial = trials[usize::from(ignores_merges)].as_mut()?;
            trial.parts.pre_tokenizer = splitters(name).ok()?;
            if texts.iter().zip(&wanted).all(|(text, ids)| trial.plain_ids(text) == *ids) {
                return Some(GgufVocab { pre: Some(name), ..base });
            }
        }
        None
    }

    /// Scores from merges: the earlier one is, the better.
    fn as_sentencepiece(&self, base: &GgufVocab<'static>, merges: &[Halves]) -> Option<GgufVocab<'static>> {
        let mut ranks = HashMap::with_capacity(merges.len());
        for (rank, (a, b)) in merges.iter().enumerate() {
            ranks.entry(format!("{a}{b}").into_bytes()).or_insert(rank);
        }
        // What no merge makes is never chosen for its score; integers up to 2^24 are themselves in single precision.
        let score = |text: &Vec<u8>| -(*ranks.get(text).unwrap_or(&merges.len()) as f32);
        let scores = Some(base.tokens.iter().map(score).collect());
        let texts = self.plain_probes();
        [true, false].into_iter().find_map(|prefix| {
            let words = GgufVocab {
                model: "llama",
                pre: Some("default"),
                scores: scores.clone(),
                add_space_prefix: Some(prefix),
                ..base.clone()
            };
            let other = Self::from_gguf(words.clone()).ok()?;
            texts.iter().all(|text| self.plain_ids(text) == other.plain_ids(text)).then_some(words)
        })
    }

    /// The last merge of each token of a vocabulary whose tokens are merged in the order of their ids.
    fn merges_by_rank(&self) -> Vec<Halves> {
        let normal = self.parts.vocab.iter().filter(|(.., kind)| *kind == Kind::Normal);
        let texts: Vec<_> =
            normal.filter_map(|(id, text, _)| Some((id, std::str::from_utf8(text).ok()?))).collect();
        let ids: HashMap<&str, u32> = texts.iter().map(|(id, text)| (*text, *id)).collect();
        texts
            .iter()
            .filter_map(|(id, text)| last_merge(text, |part| ids.get(part).copied().filter(|of| of < id)))
            .collect()
    }

    /// A model of SentencePiece, with its scores and what it does to texts.
    fn of_pieces(&self, base: &GgufVocab<'static>, file: &[u8]) -> Option<GgufVocab<'static>> {
        let pieces = crate::load::sentencepiece::pieces(file).ok()?;
        let mut scores = pieces.scores;
        scores.resize(base.tokens.len(), 0.0);
        let unigram = self.parts.kind == "Unigram";
        let words = GgufVocab {
            model: if unigram { "t5" } else { "llama" },
            pre: Some("default"),
            scores: Some(scores),
            add_space_prefix: Some(pieces.add_dummy_prefix),
            remove_extra_whitespaces: Some(pieces.remove_extra_whitespaces),
            charsmap: Some(pieces.charsmap).filter(|charsmap| unigram && !charsmap.is_empty()),
            ..base.clone()
        };
        let other = Self::from_gguf(words.clone()).ok()?;
        let texts = self.plain_probes();
        texts.iter().all(|text| self.plain_ids(text) == other.plain_ids(text)).then_some(words)
    }

    pub(super) fn plain_ids(&self, text: &str) -> (Vec<TokenId>, String) {
        let ids = self.encode(text, EncodeOptions { special: Special::Text, around: Around::Nothing });
        let decoded = self.decode(&ids);
        (ids, decoded)
    }

    /// Composed texts without added tokens.
    pub(super) fn plain_probes(&self) -> Vec<String> {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = move |below: usize| {
            // Xorshift: any sequence will do, as long as it is always the same.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below.max(1) as u64) as usize
        };
        let mut text = |_| {
            let ids = (0..TOKENS_IN_TEXT).map(|_| next(self.vocab_size()) as u32);
            let normal = ids.filter(|id| self.parts.vocab.kind(*id) == Kind::Normal);
            self.decode(&normal.map(TokenId).collect::<Vec<_>>())
        };
        let made = (0..TEXTS).map(&mut text).collect::<Vec<_>>();
        PROBES.iter().map(|text| (*text).to_owned()).chain(made).map(|text| text.nfc().collect()).collect()
    }

    /// Texts in which more can differ: added tokens between others, and characters that are not composed.
    pub(super) fn exact_probes(&self) -> impl Iterator<Item = (String, Special)> {
        let apart = PROBES.iter().map(|text| (text.nfd().collect(), Special::Text));
        let added = self
            .parts
            .vocab
            .iter()
            .filter(|(.., kind)| matches!(kind, Kind::Control | Kind::UserDefined | Kind::Unknown));
        let between = added.take(ADDED).map(|(_, text, _)| {
            let name = String::from_utf8_lossy(text);
            (format!("a {name} b{name}\n{name}  c"), Special::Parse)
        });
        apart.chain(between)
    }
}

/// The two parts that a text is in before its last merge, where `rank` says what may be merged, the lower the earlier.
fn last_merge(text: &str, rank: impl Fn(&str) -> Option<u32>) -> Option<Halves> {
    // Where parts begin, and the end.
    let mut cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    while cuts.len() > 3 {
        let pairs = (1..cuts.len() - 1).filter_map(|i| Some((rank(&text[cuts[i - 1]..cuts[i + 1]])?, i)));
        let (_, first) = pairs.min()?;
        cuts.remove(first);
    }
    let [_, middle, _] = cuts[..] else { return None };
    Some((text[..middle].to_owned(), text[middle..].to_owned()))
}

/// The words of the probes, in bytes.
fn words(splitters: &PreTokenizer) -> Vec<usize> {
    let mut lengths = Vec::new();
    for text in PROBES {
        splitters.split(Word { text, first: true, byte_chars: false }, &mut |word| {
            let bytes = alphabet::to_bytes(word.text).filter(|_| word.byte_chars);
            lengths.push(bytes.map_or(word.text.len(), |bytes| bytes.len()));
        });
    }
    lengths
}

fn type_of(kind: Kind) -> i32 {
    match kind {
        Kind::Normal => 1,
        Kind::Unknown => 2,
        Kind::Control => 3,
        Kind::UserDefined => 4,
        Kind::Unused | Kind::Hole => 5,
        Kind::Byte(_) => 6,
    }
}

#[derive(Deserialize)]
struct File {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    merges: Option<Vec<Merge>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Joined(String),
}

type Halves = (String, String);

impl Merge {
    fn halves(self) -> Option<Halves> {
        match self {
            Self::Pair(left, right) => Some((left, right)),
            Self::Joined(both) => both.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())),
        }
    }
}
