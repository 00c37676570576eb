//! The pre-tokenisers of tokenizer.json: each `type` is one arm, an unknown one an error that names it.

use serde::Deserialize;
use serde_json::Value;

use super::components::{MetaspaceJson, PatternJson, chain, needle, read, unknown};
use crate::TokenizerError;
use crate::load::pattern;
use crate::normalize::Needle;
use crate::presplit::GPT2;
use crate::pretokenize::{Behavior, Delimiter, PreTokenizer, Splitter};
use crate::unicode::Class;

const PLACE: &str = "tokenizer.json pre_tokenizer";
const KNOWN: &str = "Sequence, ByteLevel, Metaspace, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, \
                     CharDelimiterSplit, BertPreTokenizer, UnicodeScripts, FixedLength";

pub(super) fn pre_tokenizer(value: Option<&Value>) -> Result<PreTokenizer, TokenizerError> {
    let steps = chain(PLACE, value, "pretokenizers")?;
    let steps = steps.into_iter().map(splitters).collect::<Result<Vec<_>, _>>()?;
    Ok(PreTokenizer(steps.into_iter().flatten().collect()))
}

#[derive(Deserialize)]
struct ByteLevelJson {
    #[serde(default = "yes")]
    add_prefix_space: bool,
    #[serde(default = "yes")]
    use_regex: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct SplitJson {
    pattern: PatternJson,
    behavior: String,
    #[serde(default)]
    invert: bool,
}

#[derive(Deserialize)]
struct Digits {
    #[serde(default)]
    individual_digits: bool,
}

#[derive(Deserialize)]
struct Punctuation {
    behavior: Option<String>,
}

#[derive(Deserialize)]
struct Delimited {
    delimiter: char,
}

#[derive(Deserialize)]
struct FixedLength {
    length: Option<usize>,
}

fn behavior(name: &str) -> Result<Behavior, TokenizerError> {
    match name {
        "Removed" => Ok(Behavior::Removed),
        "Isolated" => Ok(Behavior::Isolated),
        "MergedWithPrevious" => Ok(Behavior::MergedWithPrevious),
        "MergedWithNext" => Ok(Behavior::MergedWithNext),
        "Contiguous" => Ok(Behavior::Contiguous),
        other => {
            let known = "Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous";
            Err(unknown(PLACE, other, known))
        }
    }
}

fn splitters((kind, value): (&str, &Value)) -> Result<Vec<Splitter>, TokenizerError> {
    Ok(vec![match kind {
        "ByteLevel" => {
            let ByteLevelJson { add_prefix_space, use_regex } = read(PLACE, value)?;
            let pattern = use_regex.then(|| pattern(PLACE, GPT2)).transpose()?;
            Splitter::ByteLevel { add_prefix_space, pattern: pattern.map(Box::new) }
        }
        "Metaspace" => {
            let meta: MetaspaceJson = read(PLACE, value)?;
            let (replacement, prepend) = (meta.replacement, meta.prepend(PLACE)?);
            Splitter::Metaspace { replacement, prepend, split: meta.split.unwrap_or(true) }
        }
        "Split" => {
            let split: SplitJson = read(PLACE, value)?;
            let delimiter = match needle(PLACE, split.pattern)? {
                Needle::Literal(text) => Delimiter::Literal(text),
                Needle::Pattern(pattern) => Delimiter::Pattern(pattern),
            };
            Splitter::Split { delimiter, behavior: behavior(&split.behavior)?, invert: split.invert }
        }
        "Digits" => {
            let individual = read::<Digits>(PLACE, value)?.individual_digits;
            at(char::is_numeric, if individual { Behavior::Isolated } else { Behavior::Contiguous })
        }
        "Punctuation" => {
            let asked = read::<Punctuation>(PLACE, value)?.behavior;
            at(is_punctuation, behavior(asked.as_deref().unwrap_or("Isolated"))?)
        }
        "Whitespace" => {
            let delimiter = Delimiter::Pattern(Box::new(pattern(PLACE, r"\w+|[^\w\s]+")?));
            Splitter::Split { delimiter, behavior: Behavior::Removed, invert: true }
        }
        "WhitespaceSplit" => at(char::is_whitespace, Behavior::Removed),
        "CharDelimiterSplit" => {
            let delimiter = Delimiter::Literal(read::<Delimited>(PLACE, value)?.delimiter.to_string());
            Splitter::Split { delimiter, behavior: Behavior::Removed, invert: false }
        }
        "BertPreTokenizer" => return Ok(bert()),
        "UnicodeScripts" => Splitter::Scripts,
        "FixedLength" => match read::<FixedLength>(PLACE, value)?.length.unwrap_or(5) {
            0 => return Err(unknown(PLACE, "FixedLength of 0", "a length of 1 or more")),
            length => Splitter::FixedLength(length),
        },
        other => return Err(unknown(PLACE, other, KNOWN)),
    }])
}

/// White space is removed, signs stand alone.
pub(in crate::load) fn bert() -> Vec<Splitter> {
    vec![at(char::is_whitespace, Behavior::Removed), at(is_punctuation, Behavior::Isolated)]
}

fn is_punctuation(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_punctuation() } else { Class::Punctuation.has(c) }
}

fn at(is_it: fn(char) -> bool, behavior: Behavior) -> Splitter {
    Splitter::Split { delimiter: Delimiter::Char(is_it), behavior, invert: false }
}
