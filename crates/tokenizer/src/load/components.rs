//! The components of tokenizer.json: each `type` is one arm here, an unknown one is an error that names it.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use torchless_base::TokenId;

use super::{SPACE_SIGN, byte_level_bytes, pattern};
use crate::TokenizerError;
use crate::alphabet::byte_token;
use crate::decode::Start;
use crate::error::excerpt;
use crate::normalize::{Form, Needle, Normalizer, Rewrite};
use crate::presplit::GPT2;
use crate::pretokenize::{Behavior, Delimiter, PreTokenizer, PrependScheme, Splitter};
use crate::vocab::Vocab;

/// Most components in one chain.
const MAX_STEPS: usize = 16;
/// By what factor a chain may make text longer, short of Unicode's own forms.
const MAX_GROWTH: usize = 256;

const NORMALIZER: &str = "tokenizer.json normalizer";
const PRE_TOKENIZER: &str = "tokenizer.json pre_tokenizer";
const POST_PROCESSOR: &str = "tokenizer.json post_processor";
const DECODER: &str = "tokenizer.json decoder";

/// The `type` of a component.
pub(super) fn name(value: &Value) -> Option<String> {
    value.get("type")?.as_str().map(|name| excerpt(name.as_bytes()))
}

fn unknown(place: &'static str, found: &str, known: &str) -> TokenizerError {
    TokenizerError::Unknown { place, found: excerpt(found.as_bytes()), known: known.to_owned() }
}

fn read<T: DeserializeOwned>(place: &'static str, value: &Value) -> Result<T, TokenizerError> {
    T::deserialize(value).map_err(|error| TokenizerError::Json {
        file: place,
        what: format!("{}: {}", name(value).unwrap_or_default(), excerpt(error.to_string().as_bytes())),
    })
}

/// The components of `value` in order, with `Sequence` (whose list is called `list`) unfolded.
fn chain<'v>(
    place: &'static str,
    value: Option<&'v Value>,
    list: &str,
) -> Result<Vec<(&'v str, &'v Value)>, TokenizerError> {
    let (mut steps, mut stack) = (Vec::new(), Vec::new());
    stack.extend(value.filter(|value| !value.is_null()));
    while let Some(value) = stack.pop() {
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
        if kind == "Sequence" {
            let inner = value.get(list).and_then(Value::as_array);
            let inner = inner.ok_or_else(|| unknown(place, "Sequence without its list", list))?;
            stack.extend(inner.iter().rev());
        } else {
            steps.push((kind, value));
        }
        if steps.len() + stack.len() > MAX_STEPS {
            let found = steps.len() + stack.len();
            return Err(TokenizerError::TooMany { what: place, found, limit: MAX_STEPS });
        }
    }
    Ok(steps)
}

/// `{"String": ...}` or `{"Regex": ...}`.
#[derive(Deserialize)]
enum PatternJson {
    String(String),
    Regex(String),
}

#[derive(Deserialize)]
struct ReplaceJson {
    pattern: PatternJson,
    content: String,
}

pub(super) fn normalizer(value: Option<&Value>) -> Result<Normalizer, TokenizerError> {
    #[derive(Deserialize)]
    struct Prepend {
        prepend: String,
    }
    #[derive(Deserialize)]
    struct Strip {
        strip_left: bool,
        strip_right: bool,
    }
    let known = "Sequence, NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip, StripAccents, ByteLevel";
    let rewrite = |(kind, value): (&str, &Value)| {
        Ok(match kind {
            "NFC" => Rewrite::Form(Form::Nfc),
            "NFD" => Rewrite::Form(Form::Nfd),
            "NFKC" => Rewrite::Form(Form::Nfkc),
            "NFKD" => Rewrite::Form(Form::Nfkd),
            "Lowercase" => Rewrite::Lowercase,
            "Prepend" => Rewrite::Prepend(read::<Prepend>(NORMALIZER, value)?.prepend),
            "Replace" => {
                let replace: ReplaceJson = read(NORMALIZER, value)?;
                Rewrite::Replace(needle(NORMALIZER, replace.pattern)?, replace.content)
            }
            "Strip" => {
                let strip: Strip = read(NORMALIZER, value)?;
                Rewrite::Strip { start: strip.strip_left, end: strip.strip_right }
            }
            "StripAccents" => Rewrite::StripAccents(pattern(NORMALIZER, r"\p{Mn}")?),
            "ByteLevel" => Rewrite::ByteLevel,
            other => return Err(unknown(NORMALIZER, other, known)),
        })
    };
    let steps =
        chain(NORMALIZER, value, "normalizers")?.into_iter().map(rewrite).collect::<Result<Vec<_>, _>>()?;
    check_growth("times that normalizer makes text longer", steps.iter())?;
    Ok(Normalizer(steps))
}

/// A chain of replacements must not turn a short text into one that fills the memory.
fn check_growth<'r>(
    what: &'static str,
    steps: impl Iterator<Item = &'r Rewrite>,
) -> Result<(), TokenizerError> {
    let found = steps.fold(1_usize, |factor, step| factor.saturating_mul(step.growth()));
    if found > MAX_GROWTH {
        return Err(TokenizerError::TooMany { what, found, limit: MAX_GROWTH });
    }
    Ok(())
}

fn needle(place: &'static str, from: PatternJson) -> Result<Needle, TokenizerError> {
    match from {
        PatternJson::String(text) if text.is_empty() => {
            Err(unknown(place, "an empty pattern", "any other text"))
        }
        PatternJson::String(text) => Ok(Needle::Literal(text)),
        PatternJson::Regex(source) => Ok(Needle::Pattern(pattern(place, &source)?)),
    }
}

#[derive(Deserialize)]
struct MetaspaceJson {
    replacement: char,
    prepend_scheme: Option<String>,
    add_prefix_space: Option<bool>,
    split: Option<bool>,
}

impl MetaspaceJson {
    fn prepend(&self, place: &'static str) -> Result<PrependScheme, TokenizerError> {
        match (self.prepend_scheme.as_deref(), self.add_prefix_space) {
            (Some("always"), _) | (None, None | Some(true)) => Ok(PrependScheme::Always),
            (Some("first"), _) => Ok(PrependScheme::First),
            (Some("never"), _) | (None, Some(false)) => Ok(PrependScheme::Never),
            (Some(other), _) => Err(unknown(place, other, "always, first, never")),
        }
    }
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

fn behavior(name: &str) -> Result<Behavior, TokenizerError> {
    match name {
        "Removed" => Ok(Behavior::Removed),
        "Isolated" => Ok(Behavior::Isolated),
        "MergedWithPrevious" => Ok(Behavior::MergedWithPrevious),
        "MergedWithNext" => Ok(Behavior::MergedWithNext),
        "Contiguous" => Ok(Behavior::Contiguous),
        other => {
            let known = "Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous";
            Err(unknown(PRE_TOKENIZER, other, known))
        }
    }
}

pub(super) fn pre_tokenizer(value: Option<&Value>) -> Result<PreTokenizer, TokenizerError> {
    let steps = chain(PRE_TOKENIZER, value, "pretokenizers")?;
    Ok(PreTokenizer(steps.into_iter().map(splitter).collect::<Result<_, _>>()?))
}

fn splitter((kind, value): (&str, &Value)) -> Result<Splitter, TokenizerError> {
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
    let known = "Sequence, ByteLevel, Metaspace, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit";
    match kind {
        "ByteLevel" => {
            let ByteLevelJson { add_prefix_space, use_regex } = read(PRE_TOKENIZER, value)?;
            let pattern = use_regex.then(|| pattern(PRE_TOKENIZER, GPT2)).transpose()?;
            Ok(Splitter::ByteLevel { add_prefix_space, pattern })
        }
        "Metaspace" => {
            let meta: MetaspaceJson = read(PRE_TOKENIZER, value)?;
            let prepend = meta.prepend(PRE_TOKENIZER)?;
            Ok(Splitter::Metaspace {
                replacement: meta.replacement,
                prepend,
                split: meta.split.unwrap_or(true),
            })
        }
        "Split" => {
            let split: SplitJson = read(PRE_TOKENIZER, value)?;
            let delimiter = match needle(PRE_TOKENIZER, split.pattern)? {
                Needle::Literal(text) => Delimiter::Literal(text),
                Needle::Pattern(pattern) => Delimiter::Pattern(pattern),
            };
            Ok(Splitter::Split { delimiter, behavior: behavior(&split.behavior)?, invert: split.invert })
        }
        "Digits" => {
            let individual = read::<Digits>(PRE_TOKENIZER, value)?.individual_digits;
            split_at(r"\p{N}", if individual { Behavior::Isolated } else { Behavior::Contiguous })
        }
        "Punctuation" => {
            let asked = read::<Punctuation>(PRE_TOKENIZER, value)?.behavior;
            split_at(r"[\p{P}!-/:-@\[-`{-~]", behavior(asked.as_deref().unwrap_or("Isolated"))?)
        }
        "Whitespace" => {
            let delimiter = Delimiter::Pattern(pattern(PRE_TOKENIZER, r"\w+|[^\w\s]+")?);
            Ok(Splitter::Split { delimiter, behavior: Behavior::Removed, invert: true })
        }
        "WhitespaceSplit" => split_at(r"\s", Behavior::Removed),
        "CharDelimiterSplit" => {
            let delimiter =
                Delimiter::Literal(read::<Delimited>(PRE_TOKENIZER, value)?.delimiter.to_string());
            Ok(Splitter::Split { delimiter, behavior: Behavior::Removed, invert: false })
        }
        other => Err(unknown(PRE_TOKENIZER, other, known)),
    }
}

fn split_at(source: &str, behavior: Behavior) -> Result<Splitter, TokenizerError> {
    let delimiter = Delimiter::Pattern(pattern(PRE_TOKENIZER, source)?);
    Ok(Splitter::Split { delimiter, behavior, invert: false })
}

/// Tokens that are put before and after a text.
#[derive(Debug, Default)]
pub(super) struct Around {
    pub(super) before: Vec<TokenId>,
    pub(super) after: Vec<TokenId>,
}

impl Around {
    pub(super) fn check(&self, vocab: &Vocab) -> Result<(), TokenizerError> {
        self.before
            .iter()
            .chain(&self.after)
            .try_for_each(|id| vocab.check(POST_PROCESSOR, Some(id.0)).map(drop))
    }
}

pub(super) fn post_processor(value: Option<&Value>) -> Result<Around, TokenizerError> {
    #[derive(Deserialize)]
    struct Pairs {
        sep: (String, u32),
        cls: (String, u32),
    }
    let mut around = Around::default();
    for (kind, value) in chain(POST_PROCESSOR, value, "processors")? {
        let Around { before, after } = match kind {
            "ByteLevel" => continue,
            "TemplateProcessing" => template(value)?,
            "BertProcessing" | "RobertaProcessing" => {
                let pairs: Pairs = read(POST_PROCESSOR, value)?;
                Around { before: vec![TokenId(pairs.cls.1)], after: vec![TokenId(pairs.sep.1)] }
            }
            other => {
                let known = "Sequence, ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing";
                return Err(unknown(POST_PROCESSOR, other, known));
            }
        };
        around.before.splice(0..0, before);
        around.after.extend(after);
    }
    Ok(around)
}

/// The tokens before and after the one sequence of the template `single`.
fn template(value: &Value) -> Result<Around, TokenizerError> {
    #[derive(Deserialize)]
    struct Template {
        single: Vec<Piece>,
        #[serde(default)]
        special_tokens: std::collections::HashMap<String, Ids>,
    }
    #[derive(Deserialize)]
    enum Piece {
        SpecialToken { id: String },
        Sequence {},
    }
    #[derive(Deserialize)]
    struct Ids {
        ids: Vec<u32>,
    }
    let template: Template = read(POST_PROCESSOR, value)?;
    let (mut around, mut sequences) = (Around::default(), 0);
    for piece in &template.single {
        match piece {
            Piece::Sequence {} => sequences += 1,
            Piece::SpecialToken { id } => {
                let ids = template.special_tokens.get(id);
                let ids = ids.ok_or_else(|| unknown(POST_PROCESSOR, id, "the keys of its special_tokens"))?;
                let side = if sequences == 0 { &mut around.before } else { &mut around.after };
                side.extend(ids.ids.iter().copied().map(TokenId));
            }
        }
    }
    if sequences != 1 {
        return Err(unknown(
            POST_PROCESSOR,
            "a template without exactly one sequence",
            "single with one Sequence",
        ));
    }
    Ok(around)
}

/// One step of decoding.
#[derive(Debug, Clone)]
pub(super) enum DecodeStep {
    Replace(Box<Rewrite>),
    ByteFallback,
    ByteLevel,
    /// From here on the text is one.
    Fuse,
    Strip {
        content: char,
        start: usize,
        stop: usize,
    },
    Metaspace {
        sign: char,
        strips_first: bool,
    },
}

impl DecodeStep {
    /// Space signs become spaces.
    pub(super) fn signs() -> Self {
        let sign = Needle::Literal(SPACE_SIGN.to_string());
        Self::Replace(Box::new(Rewrite::Replace(sign, " ".to_owned())))
    }
}

pub(super) fn decoder(value: &Value) -> Result<Vec<DecodeStep>, TokenizerError> {
    #[derive(Deserialize)]
    struct Strip {
        content: char,
        start: usize,
        stop: usize,
    }
    let known = "Sequence, ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace";
    let step = |(kind, value): (&str, &Value)| {
        Ok(match kind {
            "ByteLevel" => DecodeStep::ByteLevel,
            "ByteFallback" => DecodeStep::ByteFallback,
            "Fuse" => DecodeStep::Fuse,
            "Replace" => {
                let replace: ReplaceJson = read(DECODER, value)?;
                let from = needle(DECODER, replace.pattern)?;
                DecodeStep::Replace(Box::new(Rewrite::Replace(from, replace.content)))
            }
            "Strip" => {
                let Strip { content, start, stop } = read(DECODER, value)?;
                DecodeStep::Strip { content, start, stop }
            }
            "Metaspace" => {
                let meta: MetaspaceJson = read(DECODER, value)?;
                let strips_first = meta.prepend(DECODER)? != PrependScheme::Never;
                DecodeStep::Metaspace { sign: meta.replacement, strips_first }
            }
            other => return Err(unknown(DECODER, other, known)),
        })
    };
    let steps =
        chain(DECODER, Some(value), "decoders")?.into_iter().map(step).collect::<Result<Vec<_>, _>>()?;
    let replaces = steps.iter().filter_map(|step| match step {
        DecodeStep::Replace(replace) => Some(&**replace),
        _ => None,
    });
    check_growth("times that decoder makes text longer", replaces)?;
    Ok(steps)
}

/// The steps that see single tokens, and those that see the whole text.
fn halves(steps: &[DecodeStep]) -> (&[DecodeStep], &[DecodeStep]) {
    let fuse = steps.iter().position(|step| matches!(step, DecodeStep::Fuse)).unwrap_or(steps.len());
    (&steps[..fuse], &steps[fuse..])
}

/// What a token contributes to a text.
pub(super) fn token_bytes(steps: &[DecodeStep], text: &[u8]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(text).into_owned();
    for step in halves(steps).0 {
        match step {
            DecodeStep::ByteFallback => {
                if let Some(byte) = byte_token(text.as_bytes()) {
                    return vec![byte];
                }
            }
            DecodeStep::ByteLevel => return byte_level_bytes(text.as_bytes()),
            DecodeStep::Replace(replace) => text = replace.apply(&text).unwrap_or(text),
            DecodeStep::Strip { content, start, stop } => text = stripped(&text, *content, *start, *stop),
            DecodeStep::Metaspace { sign, .. } => text = text.replace(*sign, " "),
            DecodeStep::Fuse => {}
        }
    }
    text.into_bytes()
}

fn stripped(text: &str, content: char, start: usize, stop: usize) -> String {
    let mut text = text;
    for _ in 0..start.min(text.len()) {
        text = text.strip_prefix(content).unwrap_or(text);
    }
    for _ in 0..stop.min(text.len()) {
        text = text.strip_suffix(content).unwrap_or(text);
    }
    text.to_owned()
}

/// What the steps do to the start of a whole text.
pub(super) fn start(steps: &[DecodeStep]) -> Result<Start, TokenizerError> {
    let (single, whole) = halves(steps);
    let mut rule = match single {
        [DecodeStep::Metaspace { sign, strips_first: true }] => Start::WithoutSign(*sign),
        _ => Start::KEEP,
    };
    for step in whole {
        match step {
            DecodeStep::Fuse => {}
            DecodeStep::Strip { content, start, stop: 0 } if content.is_ascii() && rule == Start::KEEP => {
                rule = Start::Strip { byte: *content as u8, count: *start };
            }
            other => {
                let known = "one Strip of an ASCII character at the start";
                return Err(unknown(DECODER, &format!("after Fuse: {other:?}"), known));
            }
        }
    }
    Ok(rule)
}
