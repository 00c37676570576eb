//! Texts that were shifted, mirrored or reversed letter by letter. A text is tried only where a telling word of such
//! a form stands in it.

use super::ViewKind;
use super::encodings::SPELLING;
use super::mapping::{Mapping, Rewriting};
use aho_corasick::AhoCorasick;
use std::collections::HashMap;
use std::sync::OnceLock;

/// Words that instructions to a model can hardly do without.
const TELLING: &[&str] = &[
    "ignore",
    "disregard",
    "forget",
    "override",
    "bypass",
    "previous",
    "instruction",
    "prompt",
    "directive",
    "guideline",
    "command",
    "programming",
    "constraint",
    "restriction",
    "conversation",
    "everything",
    "developer",
    "jailbreak",
    "unrestricted",
    "unfiltered",
    "anything",
    "reveal",
    "system",
    "message",
    "character",
];

/// Words that a phrase may end with; a reversed text begins with them.
const LAST: &[&str] = &[
    "instruction",
    "instructions",
    "prompt",
    "prompts",
    "directive",
    "directives",
    "guidelines",
    "command",
    "commands",
    "programming",
    "orders",
    "directions",
    "constraints",
    "restrictions",
    "policies",
    "training",
    "rules",
    "messages",
    "conversation",
    "context",
    "limitations",
    "filters",
    "jailbroken",
    "unrestricted",
    "unfiltered",
    "uncensored",
    "above",
    "before",
    "earlier",
    "told",
    "instructed",
];

/// Whether a phrase that ends with this word is looked for in reversed texts.
pub(super) fn may_end(word: &str) -> bool {
    LAST.iter().any(|last| last.eq_ignore_ascii_case(word))
}

/// The first byte of an end of so many bytes that may be part of a reversed phrase.
pub(super) fn open_reversed(text: &str, reach: usize) -> usize {
    static WORDS: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let reversed = || LAST.iter().map(|word| Cipher::Reversed.hides(word));
    let build = || AhoCorasick::builder().ascii_case_insensitive(true).build(reversed()).ok();
    let mut from = text.len().saturating_sub(reach);
    while !text.is_char_boundary(from) {
        from -= 1;
    }
    match WORDS.get_or_init(build) {
        Some(words) => words.find(&text[from..]).map_or(text.len(), |hit| from + hit.start()),
        None => 0,
    }
}

/// How letters were put in the place of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    /// Each letter moved on by so many places; 13 is ROT13.
    Shift(u8),
    /// The alphabet from its end.
    Atbash,
    /// The whole text from its end.
    Reversed,
    /// Each word from its end.
    WordsReversed,
}

impl Cipher {
    /// Every cipher that is tried.
    pub fn all() -> impl Iterator<Item = Cipher> {
        (1..26).map(Cipher::Shift).chain([Cipher::Atbash, Cipher::Reversed, Cipher::WordsReversed])
    }

    pub fn name(self) -> &'static str {
        match self {
            Cipher::Shift(13) => "rot13",
            Cipher::Shift(_) => "shifted letters",
            Cipher::Atbash => "atbash",
            Cipher::Reversed => "reversed",
            Cipher::WordsReversed => "reversed words",
        }
    }

    /// What kind of form a text in it is.
    pub fn kind(self) -> ViewKind {
        match self {
            Cipher::Reversed => ViewKind::Reversed,
            _ => ViewKind::Cipher,
        }
    }

    /// A plain word in this cipher.
    fn hides(self, word: &str) -> String {
        match self {
            Cipher::Shift(by) => word.bytes().map(|byte| shifted(byte, by) as char).collect(),
            Cipher::Atbash => word.bytes().map(|byte| mirrored(byte) as char).collect(),
            Cipher::Reversed | Cipher::WordsReversed => word.chars().rev().collect(),
        }
    }

    /// Reads a text that was written in this cipher.
    pub fn read(self, text: &str) -> Option<(String, Mapping)> {
        match self {
            Cipher::Shift(by) => letter_by_letter(text, |byte| shifted(byte, 26 - by)),
            Cipher::Atbash => letter_by_letter(text, mirrored),
            Cipher::Reversed => Some((text.chars().rev().collect(), Mapping::Reversed(text.len()))),
            Cipher::WordsReversed => words_reversed(text),
        }
    }
}

/// What the words of a text suggest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// The ciphers that it may be written in.
    pub ciphers: Vec<Cipher>,
    /// Words of the spelling alphabet, at least as many as there are.
    pub spelled: usize,
}

/// What a word suggests.
#[derive(Clone, Copy)]
enum Hint {
    Cipher(Cipher),
    Spelled,
}

/// Telling words in every cipher and those that spell, found by their first four letters: a bit per hash of four letters
/// says at once of almost every place in a text that none of them begins there.
struct Telltales {
    begins: Box<[u64; 1 << (HASH_BITS - 6)]>,
    /// By their first four letters, which are small.
    words: HashMap<u32, Vec<(Vec<u8>, Hint)>>,
}

const HASH_BITS: u32 = 16;
/// Makes ASCII capitals small, and other bytes something else than a small letter or themselves.
const SMALL: u32 = 0x2020_2020;

/// The word and the bit of it that stand for four letters.
fn bit(four: u32) -> (usize, u64) {
    let hash = four.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS);
    ((hash >> 6) as usize, 1 << (hash & 63))
}

impl Telltales {
    fn new() -> Self {
        let mut made = Self { begins: Box::new([0; 1 << (HASH_BITS - 6)]), words: HashMap::new() };
        for cipher in Cipher::all() {
            let last = if cipher == Cipher::Reversed { LAST } else { &[] };
            for word in TELLING.iter().chain(last) {
                made.add(cipher.hides(word), Hint::Cipher(cipher));
            }
        }
        SPELLING.iter().for_each(|word| made.add((*word).to_owned(), Hint::Spelled));
        made
    }

    fn add(&mut self, word: String, hint: Hint) {
        let word = word.into_bytes();
        let Some(four) = word.first_chunk() else { return };
        let four = u32::from_le_bytes(*four) | SMALL;
        let (at, bit) = bit(four);
        self.begins[at] |= bit;
        self.words.entry(four).or_default().push((word, hint));
    }

    /// What the words suggest that begin at a place.
    fn at<'a>(&'a self, text: &'a [u8], four: u32) -> impl Iterator<Item = Hint> + 'a {
        let words = self.words.get(&four).into_iter().flatten();
        let stands =
            |word: &[u8]| text.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word));
        words.filter(move |(word, _)| stands(word)).map(|(_, hint)| *hint)
    }
}

/// What all words of a text suggest.
pub(super) fn hints(text: &str) -> Hints {
    static TELLTALES: OnceLock<Telltales> = OnceLock::new();
    let telltales = TELLTALES.get_or_init(Telltales::new);
    let mut hints = Hints::default();
    for (at, four) in text.as_bytes().windows(4).enumerate() {
        let four = u32::from_le_bytes([four[0], four[1], four[2], four[3]]) | SMALL;
        let (word, bit) = bit(four);
        if telltales.begins[word] & bit == 0 {
            continue;
        }
        for hint in telltales.at(&text.as_bytes()[at..], four) {
            match hint {
                Hint::Spelled => hints.spelled += 1,
                Hint::Cipher(cipher) if hints.ciphers.contains(&cipher) => {}
                Hint::Cipher(cipher) => hints.ciphers.push(cipher),
            }
        }
    }
    hints
}

fn shifted(byte: u8, by: u8) -> u8 {
    match byte {
        b'a'..=b'z' => (byte - b'a' + by) % 26 + b'a',
        b'A'..=b'Z' => (byte - b'A' + by) % 26 + b'A',
        _ => byte,
    }
}

fn mirrored(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => b'a' + b'z' - byte,
        b'A'..=b'Z' => b'A' + b'Z' - byte,
        _ => byte,
    }
}

/// The same bytes, other letters: every byte came from the one at its place.
fn letter_by_letter(text: &str, read: impl Fn(u8) -> u8) -> Option<(String, Mapping)> {
    let bytes = text.bytes().map(read).collect();
    let mut rewriting = Rewriting::of(text);
    rewriting.keep(0..text.len());
    let mapping = rewriting.into_mapping();
    String::from_utf8(bytes).ok().map(|text| (text, mapping))
}

fn words_reversed(text: &str) -> Option<(String, Mapping)> {
    let mut rewriting = Rewriting::of(text);
    let mut at = 0;
    for word in text.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let letters = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        rewriting.replace(at..at + letters.len(), &letters.chars().rev().collect::<String>());
        rewriting.keep(at + letters.len()..at + word.len());
        at += word.len();
    }
    rewriting.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cipher_reads_what_it_hides() {
        for cipher in Cipher::all() {
            let hidden = cipher.hides("Ignore previous");
            assert!(hints(&hidden).ciphers.contains(&cipher), "{cipher:?}");
            let (read, mapping) = cipher.read(&hidden).expect("it is read");
            let want = if cipher == Cipher::WordsReversed { "previous Ignore" } else { "Ignore previous" };
            assert_eq!(read, want);
            assert!(mapping.original(0..read.len()) == (0..hidden.len()), "{cipher:?}");
        }
    }

    #[test]
    fn plain_prose_is_suspected_of_nothing() {
        let text =
            "The system prompt of a language model sets its tone. Ignore previous instructions is an attack.";
        assert_eq!(hints(text), Hints::default());
    }
}
