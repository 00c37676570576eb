//! Byte-pair encoding: of all neighbours the pair that stands first in the list of merges is joined first, the
//! leftmost of equals, until no neighbours are in the list. Works on ids, so texts are not compared.

use std::collections::HashMap;

use super::queues::{NO_RANK, Queues};
use super::trie::Trie;
use super::{NONE, Scratch, at_signs, crosses_sign, fewest, fuse, longest};
use crate::TokenizerError;
use crate::alphabet;
use crate::error::excerpt;
use crate::hash::PairState;
use crate::pretokenize::Word;
use crate::vocab::{ByteTokens, Kind, Vocab};

/// Words of up to this many symbols are merged by scanning, longer ones with queues.
const SCANNED: usize = 24;
/// Most pairs that a file of ranks may come to.
const MAX_PAIRS: usize = 1 << 24;

/// A merge by the texts of its halves.
pub(crate) type NamedMerge = (String, String);

/// What a character becomes that has neither a token nor byte tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Unknown {
    pub(crate) id: Option<u32>,
    /// Neighbours become one.
    pub(crate) fuse: bool,
}

/// Where the order of merges comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Merges<'a> {
    /// A list.
    Listed(&'a [NamedMerge]),
    /// What any two neighbours make, if it is a token, in the order of the ids, as in files of ranks.
    ById,
}

/// What is written to the characters of a word before they are looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Affixes {
    /// Before each but the first.
    pub(crate) continuing: String,
    /// Behind the last.
    pub(crate) end: String,
}

/// What a [`Bpe`] is made from.
#[derive(Debug)]
pub(crate) struct BpeParts<'a> {
    pub(crate) vocab: &'a Vocab,
    pub(crate) merges: Merges<'a>,
    pub(crate) affixes: Affixes,
    /// The vocabulary is written in GPT-2's alphabet.
    pub(crate) byte_level: bool,
    /// Characters without a token become their `<0xHH>` tokens.
    pub(crate) byte_fallback: bool,
    pub(crate) unknown: Unknown,
    /// A word that is a token is not split.
    pub(crate) ignore_merges: bool,
}

#[derive(Debug, Clone, Copy)]
struct Merge {
    rank: u32,
    into: u32,
}

#[derive(Debug, Clone)]
enum Units {
    /// Token of each byte by its letter, and for letters without one the tokens of their own bytes.
    Letters {
        letters: Box<[u32; 256]>,
        bytes: Option<Box<ByteTokens>>,
    },
    Chars {
        chars: HashMap<char, u32>,
        bytes: Option<Box<ByteTokens>>,
    },
    /// Characters with something before or behind them.
    Affixed {
        texts: HashMap<Box<[u8]>, u32>,
        affixes: Affixes,
        bytes: Option<Box<ByteTokens>>,
    },
}

/// A model of merges in the order of a list.
#[derive(Debug, Clone)]
pub(crate) struct Bpe {
    merges: HashMap<u64, Merge, PairState>,
    units: Units,
    /// Whole words, where words that are tokens are not split.
    words: Option<HashMap<Box<[u8]>, u32>>,
    unknown: Unknown,
    /// No token holds U+2581 after another character, so text can be cut there.
    cut_at_sign: bool,
    listed: usize,
    longest: Option<usize>,
}

/// Space for merging one word.
#[derive(Debug, Default)]
pub(crate) struct Space {
    ids: Vec<u32>,
    ranks: Vec<u32>,
    next: Vec<usize>,
    prev: Vec<usize>,
    queues: Queues,
}

impl Bpe {
    /// # Errors
    /// Merges that name what is not a token, or that stand twice.
    pub(crate) fn new(parts: &BpeParts<'_>) -> Result<Self, TokenizerError> {
        let vocab = parts.vocab;
        let plain = parts.affixes == Affixes::default();
        let merges = match parts.merges {
            Merges::Listed(merges) => resolve(vocab, merges, &parts.affixes.continuing)?,
            Merges::ById => by_id(vocab)?,
        };
        let usable = |kind| matches!(kind, Kind::Normal | Kind::UserDefined);
        let written = || {
            let texts = vocab.iter().filter(|(_, text, kind)| usable(*kind) && !text.is_empty());
            texts.filter_map(|(id, text, _)| Some((raw_text(text, parts.byte_level)?, id)))
        };
        let bytes = || {
            let bytes = parts.byte_fallback.then(|| vocab.byte_tokens()).transpose()?;
            Ok::<_, TokenizerError>(bytes.map(Box::new))
        };
        let units = if parts.byte_level {
            let mut letters = Box::new([NONE; 256]);
            written()
                .filter(|(text, _)| text.len() == 1)
                .for_each(|(text, id)| letters[text[0] as usize] = id);
            Units::Letters { letters, bytes: bytes()? }
        } else if plain {
            let one = |text: &[u8]| {
                let mut chars = std::str::from_utf8(text).ok()?.chars();
                chars.next().filter(|_| chars.next().is_none())
            };
            let chars = written().filter_map(|(text, id)| Some((one(&text)?, id))).collect();
            Units::Chars { chars, bytes: bytes()? }
        } else {
            Units::Affixed { texts: written().collect(), affixes: parts.affixes.clone(), bytes: bytes()? }
        };
        let cut_at_sign = !parts.byte_level
            && plain
            && !parts.ignore_merges
            && merges
                .values()
                .all(|merge| !vocab.text(merge.into).is_some_and(|text| crosses_sign(text, '▁')));
        let words = parts.ignore_merges.then(|| written().collect());
        let (listed, longest) = (merges.len(), longest(vocab, parts.unknown.id));
        Ok(Self { merges, units, words, unknown: parts.unknown, cut_at_sign, listed, longest })
    }

    pub(super) fn merges(&self) -> usize {
        self.listed
    }

    pub(super) fn uncovered_bytes(&self) -> usize {
        match &self.units {
            Units::Letters { letters, bytes } => {
                let writes = |byte: &u8| {
                    letters[*byte as usize] != NONE
                        || bytes
                            .as_ref()
                            .is_some_and(|own| own.push_all(letter(*byte).as_bytes(), &mut Vec::new()))
                };
                (0..=255).filter(|byte| !writes(byte)).count()
            }
            Units::Chars { bytes: Some(bytes), .. } | Units::Affixed { bytes: Some(bytes), .. } => {
                bytes.0.iter().filter(|id| id.is_none()).count()
            }
            Units::Chars { bytes: None, .. } | Units::Affixed { bytes: None, .. } => 256,
        }
    }

    /// Letters and characters with a token of their own are never unknown, and a token has as many of them as bytes at most.
    pub(super) fn fewest(&self, word: Word<'_>) -> usize {
        let known = match &self.units {
            Units::Letters { letters, .. } if word.byte_chars => {
                let bytes = alphabet::to_bytes(word.text).unwrap_or_default();
                bytes.iter().filter(|byte| letters[**byte as usize] != NONE).count()
            }
            Units::Letters { letters, .. } => {
                word.text.bytes().filter(|byte| letters[*byte as usize] != NONE).count()
            }
            Units::Chars { chars, .. } => word.text.chars().filter(|c| chars.contains_key(c)).count(),
            // What continues a word stands between the first character and the last.
            Units::Affixed { texts, affixes, .. } => {
                let mut written = String::new();
                let mut is_known = |c: char| {
                    written.clear();
                    written.push_str(&affixes.continuing);
                    written.push(c);
                    texts.contains_key(written.as_bytes())
                };
                word.text.chars().filter(|c| is_known(*c)).count().saturating_sub(2)
            }
        };
        fewest(known, self.longest)
    }

    pub(super) fn encode(&self, word: Word<'_>, scratch: &mut Scratch, out: &mut Vec<u32>) {
        if word.byte_chars && matches!(self.units, Units::Letters { .. }) {
            let bytes = alphabet::to_bytes(word.text).unwrap_or_else(|| word.text.as_bytes().to_vec());
            self.encode_piece(&bytes, scratch, out);
        } else if self.cut_at_sign {
            let start = out.len();
            at_signs(word.text, '▁').for_each(|piece| self.encode_piece(piece.as_bytes(), scratch, out));
            self.fuse_unknown(start, out);
        } else {
            self.encode_piece(word.text.as_bytes(), scratch, out);
        }
    }

    fn encode_piece(&self, piece: &[u8], scratch: &mut Scratch, out: &mut Vec<u32>) {
        if let Some(&id) = self.words.as_ref().and_then(|words| words.get(piece)) {
            return out.push(id);
        }
        scratch.remembered(piece, out, |scratch, out| {
            let space = &mut scratch.bpe;
            space.ids.clear();
            self.push_units(piece, &mut space.ids);
            if space.ids.len() <= SCANNED {
                self.merge_by_scan(space)
            } else {
                self.merge_by_queues(space)
            }
            out.extend_from_slice(&space.ids);
        });
    }

    fn push_units(&self, piece: &[u8], ids: &mut Vec<u32>) {
        match &self.units {
            Units::Letters { letters, bytes } => {
                let start = ids.len();
                for &byte in piece {
                    // What has neither a token nor an unknown one is lost here, and its neighbours may merge.
                    if letters[byte as usize] != NONE {
                        ids.push(letters[byte as usize]);
                    } else if !bytes.as_ref().is_some_and(|own| own.push_all(letter(byte).as_bytes(), ids)) {
                        ids.extend(self.unknown.id);
                    }
                }
                self.fuse_unknown(start, ids);
            }
            Units::Chars { chars, bytes } => {
                let start = ids.len();
                for c in String::from_utf8_lossy(piece).chars() {
                    let mut buffer = [0; 4];
                    let utf8 = c.encode_utf8(&mut buffer).as_bytes();
                    if let Some(&id) = chars.get(&c) {
                        ids.push(id);
                    } else if !bytes.as_ref().is_some_and(|bytes| bytes.push_all(utf8, ids)) {
                        ids.extend(self.unknown.id);
                    }
                }
                self.fuse_unknown(start, ids);
            }
            Units::Affixed { texts, affixes, bytes } => {
                let (start, text) = (ids.len(), String::from_utf8_lossy(piece));
                let mut chars = text.char_indices().peekable();
                let mut written = String::new();
                while let Some((at, c)) = chars.next() {
                    written.clear();
                    written.push_str(if at == 0 { "" } else { &affixes.continuing });
                    written.push(c);
                    written.push_str(if chars.peek().is_none() { &affixes.end } else { "" });
                    if let Some(&id) = texts.get(written.as_bytes()) {
                        ids.push(id);
                    } else if !bytes.as_ref().is_some_and(|bytes| bytes.push_all(written.as_bytes(), ids)) {
                        ids.extend(self.unknown.id);
                    }
                }
                self.fuse_unknown(start, ids);
            }
        }
    }

    fn fuse_unknown(&self, start: usize, ids: &mut Vec<u32>) {
        if let Unknown { id: Some(unknown), fuse: true } = self.unknown {
            fuse(unknown, start, ids);
        }
    }

    fn merge(&self, left: u32, right: u32) -> Option<&Merge> {
        self.merges.get(&pair(left, right))
    }

    fn rank(&self, left: u32, right: u32) -> u32 {
        self.merge(left, right).map_or(NO_RANK, |merge| merge.rank)
    }

    /// Quadratic in the number of symbols, which is small.
    fn merge_by_scan(&self, space: &mut Space) {
        let Space { ids, ranks, .. } = space;
        ranks.clear();
        ranks.extend(ids.windows(2).map(|pair| self.rank(pair[0], pair[1])));
        while let Some((at, &rank)) = ranks.iter().enumerate().min_by_key(|(_, rank)| **rank) {
            if rank == NO_RANK {
                return;
            }
            let Some(merge) = self.merge(ids[at], ids[at + 1]) else { return };
            ids[at] = merge.into;
            ids.remove(at + 1);
            ranks.remove(at);
            if at < ranks.len() {
                ranks[at] = self.rank(ids[at], ids[at + 1]);
            }
            if at > 0 {
                ranks[at - 1] = self.rank(ids[at - 1], ids[at]);
            }
        }
    }

    /// A linked list, and per rank a queue of places. Places of one rank are joined from left to right until a
    /// join makes a pair of a better rank. An entry is stale if the rank at its place has changed since.
    fn merge_by_queues(&self, space: &mut Space) {
        let Space { ids, ranks, next, prev, queues } = space;
        let len = ids.len();
        next.clear();
        next.extend(1..=len);
        prev.clear();
        prev.extend((0..len).map(|at| at.wrapping_sub(1)));
        ranks.clear();
        ranks.extend(ids.windows(2).map(|pair| self.rank(pair[0], pair[1])));
        ranks.push(NO_RANK);
        ranks.iter().enumerate().for_each(|(at, &rank)| queues.push(rank, at));
        while let Some((rank, at)) = queues.pop() {
            if ranks[at] != rank {
                continue;
            }
            let right = next[at];
            let Some(merge) = self.merge(ids[at], ids[right]) else { continue };
            (ids[at], ids[right], ranks[right]) = (merge.into, NONE, NO_RANK);
            next[at] = next[right];
            ranks[at] = NO_RANK;
            if let Some(after) = prev.get_mut(next[at]) {
                *after = at;
                ranks[at] = self.rank(ids[at], ids[next[at]]);
            }
            if let Some(rank) = ranks.get_mut(prev[at]) {
                *rank = self.rank(ids[prev[at]], ids[at]);
                queues.push(*rank, prev[at]);
            }
            queues.push(ranks[at], at);
        }
        ids.retain(|&id| id != NONE);
    }
}

/// How GPT-2's alphabet writes a byte.
fn letter(byte: u8) -> String {
    alphabet::of_bytes(&[byte])
}

fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// The bytes that a token is made from; `None` if text never makes it.
fn raw_text(text: &[u8], byte_level: bool) -> Option<Box<[u8]>> {
    if !byte_level {
        return Some(text.into());
    }
    alphabet::to_bytes(std::str::from_utf8(text).ok()?).map(Vec::into_boxed_slice)
}

/// Merges by ids. One that would make a control token is left out: text must not become control.
fn resolve(
    vocab: &Vocab,
    merges: &[NamedMerge],
    continuing: &str,
) -> Result<HashMap<u64, Merge, PairState>, TokenizerError> {
    if merges.len() > crate::vocab::MAX_TOKENS {
        let (what, limit) = ("merges", crate::vocab::MAX_TOKENS);
        return Err(TokenizerError::TooMany { what, found: merges.len(), limit });
    }
    let index = vocab.index()?;
    let mut resolved = HashMap::with_capacity_and_hasher(merges.len(), PairState::default());
    let mut joined = Vec::new();
    for (rank, (left, right)) in merges.iter().enumerate() {
        let bad = |why| TokenizerError::Merge {
            index: rank,
            merge: excerpt(format!("{left} {right}").as_bytes()),
            why,
        };
        let left_id = *index.get(left.as_bytes()).ok_or_else(|| bad("its left half is not a token"))?;
        let right_id = *index.get(right.as_bytes()).ok_or_else(|| bad("its right half is not a token"))?;
        joined.clear();
        joined.extend_from_slice(left.as_bytes());
        let right = right.strip_prefix(continuing).ok_or_else(|| bad("its right half continues no word"))?;
        joined.extend_from_slice(right.as_bytes());
        let into = *index.get(joined.as_slice()).ok_or_else(|| bad("what it makes is not a token"))?;
        if matches!(vocab.kind(into), Kind::Control | Kind::Unknown) {
            continue;
        }
        let merge = Merge { rank: rank as u32, into };
        if resolved.insert(pair(left_id, right_id), merge).is_some() {
            return Err(bad("it stands in the list twice"));
        }
    }
    Ok(resolved)
}

/// A merge for each way to make a token of the vocabulary, which is byte-level, from two others.
fn by_id(vocab: &Vocab) -> Result<HashMap<u64, Merge, PairState>, TokenizerError> {
    let written: Vec<(Box<[u8]>, u32)> = vocab
        .iter()
        .filter(|(_, _, kind)| *kind == Kind::Normal)
        .filter_map(|(id, text, _)| Some((raw_text(text, true)?, id)))
        .collect();
    let reversed: Vec<Vec<u8>> =
        written.iter().map(|(text, _)| text.iter().rev().copied().collect()).collect();
    let heads = Trie::new(written.iter().map(|(text, id)| (&**text, *id)))?;
    let tails = Trie::new(reversed.iter().zip(&written).map(|(text, (_, id))| (&**text, *id)))?;
    let mut merges = HashMap::with_hasher(PairState::default());
    let mut rights = Vec::new();
    for ((text, into), reversed) in written.iter().zip(&reversed) {
        rights.clear();
        rights.extend(tails.prefixes(reversed).map(|(id, len)| (text.len() - len, id)));
        for (left, len) in heads.prefixes(text) {
            // The places of the right halves come in descending order.
            if let Ok(at) = rights.binary_search_by(|(place, _)| len.cmp(place)) {
                merges.insert(pair(left, rights[at].1), Merge { rank: *into, into: *into });
            }
        }
        if merges.len() > MAX_PAIRS {
            return Err(TokenizerError::TooMany { what: "pairs", found: merges.len(), limit: MAX_PAIRS });
        }
    }
    Ok(merges)
}

#[cfg(test)]
mod tests;
