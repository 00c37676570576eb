//! Reads a native file; see the module above for the layout.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use torchless_quant::TensorType;

use super::{ALIGNMENT, HEADER_BYTES};
use crate::bytes::Bytes;
use crate::checkpoint::{Checkpoint, Format, Metadata, NativeTokenizer, Tensors, TokenizerSource};
use crate::error::{FormatError, Place, Problem, shown};
use crate::json::{self, Shape, ValueSeed};
use crate::limits;
use crate::safetensors::{NAME_BYTES, split_header};
use crate::strings::StringTable;
use crate::tensor::{PlaneSizes, Tensor};

/// Tokens in a vocabulary.
const TOKENS: usize = 524_288;

/// Merges of a vocabulary.
const MERGES: usize = 1 << 20;

/// Parses a whole file.
pub(crate) fn read(bytes: &Bytes) -> Result<Checkpoint, FormatError> {
    let (text, payload) = split_header(bytes, HEADER_BYTES)?;
    header(text, |tensors| place_tensors(tensors, &payload))
}

/// Parses a header, whose tensors `place` finds.
pub(super) fn header(
    text: &[u8],
    place: impl FnOnce(Vec<(String, Info)>) -> Result<Tensors, FormatError>,
) -> Result<Checkpoint, FormatError> {
    let header = json::parse(text, "the header", HeaderSeed)?;
    let Some(metadata) = header.metadata.filter(Value::is_object) else {
        return Err(FormatError::new(
            Place::File,
            Problem::Header("the header has no object 'metadata'".to_owned()),
        ));
    };
    let tensors = place(header.tensors)?;
    Ok(Checkpoint {
        format: Format::Native,
        metadata: Metadata::Native(metadata),
        tensors,
        files: Vec::new(),
        beside: Vec::new(),
        tokenizer: header.tokenizer.unwrap_or_default().source()?,
    })
}

/// Whether a header that follows an 8-byte length has the top-level keys of a native file: two of them, or no other.
/// Of a header that cannot be parsed, the part before the fault decides.
pub(crate) fn looks_like(header: &[u8]) -> bool {
    let seen = Seen::default();
    // The verdict is in what was seen, whether or not parsing went to the end.
    let _ = json::parse(header, "the header", &seen);
    seen.own.get() == 2 || (seen.own.get() == 1 && seen.others.get() == 0)
}

/// Counts top-level keys: those of a native file, and others.
#[derive(Default)]
struct Seen {
    own: Cell<usize>,
    others: Cell<usize>,
}

/// So many keys of other names make it no native file, whatever follows.
const MOST_OTHERS: usize = 4;

const KEYS: &[&str] = &["metadata", "tokenizer", "tensors"];

impl<'de> DeserializeSeed<'de> for &Seen {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &Seen {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let count = if KEYS.contains(&key.as_str()) { &self.own } else { &self.others };
            count.set(count.get() + 1);
            if self.own.get() == 2 || self.others.get() == MOST_OTHERS {
                return Err(A::Error::custom("enough seen"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Header {
    metadata: Option<Value>,
    tokenizer: Option<Tokenizer>,
    tensors: Vec<(String, Info)>,
}

#[derive(Default)]
struct Tokenizer {
    vocab: Vocab,
    merges: StringTable,
    json: Option<String>,
    config: Option<Value>,
    chat_template: Option<String>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Info {
    dtype: String,
    shape: Shape,
    offset: u64,
    #[serde(default)]
    scale_offset: u64,
    #[serde(default)]
    scale_size: u64,
}

/// Reads an object whose keys are known one by one, none of them twice.
fn each_key<'de, A: MapAccess<'de>>(
    mut map: A,
    known: &[&'static str],
    mut read: impl FnMut(&'static str, &mut A) -> Result<(), A::Error>,
) -> Result<(), A::Error> {
    let mut seen = Vec::new();
    while let Some(key) = map.next_key::<String>()? {
        let Some(name) = known.iter().find(|name| **name == key) else {
            let known = known.join(", ");
            return Err(A::Error::custom(format_args!("unknown key '{}' (known: {known})", shown(&key))));
        };
        if seen.contains(name) {
            return Err(json::twice(name));
        }
        seen.push(*name);
        read(name, &mut map)?;
    }
    Ok(())
}

struct HeaderSeed;

impl<'de> DeserializeSeed<'de> for HeaderSeed {
    type Value = Header;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Header, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with metadata, tokenizer and tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        let count = Cell::new(0);
        each_key(map, KEYS, |key, map| {
            match key {
                "metadata" => {
                    header.metadata = Some(map.next_value_seed(ValueSeed::new(&json::METADATA, &count))?);
                }
                "tokenizer" => header.tokenizer = Some(map.next_value_seed(TokenizerSeed)?),
                _ => header.tensors = map.next_value_seed(TensorsSeed)?,
            }
            Ok(())
        })?;
        Ok(header)
    }
}

struct TokenizerSeed;

impl<'de> DeserializeSeed<'de> for TokenizerSeed {
    type Value = Tokenizer;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tokenizer, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TokenizerSeed {
    type Value = Tokenizer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with vocab and merges")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Tokenizer, A::Error> {
        let mut tokenizer = Tokenizer::default();
        let count = Cell::new(0);
        each_key(map, &["vocab", "merges", "json", "config", "chat_template"], |key, map| {
            match key {
                "vocab" => tokenizer.vocab = map.next_value_seed(VocabSeed)?,
                "merges" => tokenizer.merges = map.next_value_seed(MergesSeed)?,
                "json" => tokenizer.json = Some(map.next_value()?),
                "config" => {
                    let seed = ValueSeed::new(&json::DOCUMENT, &count);
                    let config = Some(map.next_value_seed(seed)?).filter(Value::is_object);
                    let wrong = || A::Error::custom("the tokenizer's config is not an object");
                    tokenizer.config = Some(config.ok_or_else(wrong)?);
                }
                _ => tokenizer.chat_template = Some(map.next_value()?),
            }
            Ok(())
        })?;
        Ok(tokenizer)
    }
}

/// Tokens and their ids, in the order of the file.
#[derive(Default)]
struct Vocab {
    tokens: StringTable,
    ids: Vec<u32>,
}

struct VocabSeed;

impl<'de> DeserializeSeed<'de> for VocabSeed {
    type Value = Vocab;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for VocabSeed {
    type Value = Vocab;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of token ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut vocab = Vocab::default();
        while let Some((token, id)) = map.next_entry::<String, u32>()? {
            if vocab.ids.len() == TOKENS || !vocab.tokens.push(&token) {
                return Err(json::too_many("tokens", TOKENS));
            }
            vocab.ids.push(id);
        }
        Ok(vocab)
    }
}

struct MergesSeed;

impl<'de> DeserializeSeed<'de> for MergesSeed {
    type Value = StringTable;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<StringTable, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for MergesSeed {
    type Value = StringTable;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of merges")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<StringTable, A::Error> {
        let mut merges = StringTable::new();
        while let Some(Merge(merge)) = seq.next_element()? {
            if merges.len() == MERGES {
                return Err(json::too_many("merges", MERGES));
            }
            let halves = merge.split_once(' ');
            if !halves.is_some_and(|(l, r)| !l.is_empty() && !r.is_empty() && !r.contains(' ')) {
                return Err(A::Error::custom(format_args!(
                    "the merge '{}' is not two tokens",
                    shown(&merge)
                )));
            }
            if !merges.push(&merge) {
                return Err(A::Error::custom("too much text in merges"));
            }
        }
        Ok(merges)
    }
}

/// `"a b"` or `["a", "b"]`, as older and newer tokenizer files have it.
struct Merge(String);

impl<'de> serde::Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge: \"a b\" or [\"a\", \"b\"]")
            }

            fn visit_str<E>(self, merge: &str) -> Result<Merge, E> {
                Ok(Merge(merge.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merge, A::Error> {
                let pair = (seq.next_element::<String>()?, seq.next_element::<String>()?);
                match (pair, seq.next_element::<IgnoredAny>()?) {
                    ((Some(left), Some(right)), None) => Ok(Merge(format!("{left} {right}"))),
                    _ => Err(A::Error::custom("a merge is not two tokens")),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

struct TensorsSeed;

impl<'de> DeserializeSeed<'de> for TensorsSeed {
    type Value = Vec<(String, Info)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TensorsSeed {
    type Value = Vec<(String, Info)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        const MOST: usize = limits::TENSORS as usize;
        let mut tensors = Vec::new();
        while let Some((name, mut info)) = map.next_entry::<String, Info>()? {
            if tensors.len() == MOST {
                return Err(json::too_many("tensors", MOST));
            }
            if name.is_empty() || name.len() > NAME_BYTES {
                return Err(A::Error::custom(format_args!("a tensor's name of {} bytes", name.len())));
            }
            info.dtype = info.dtype.chars().take(32).collect();
            tensors.push((name, info));
        }
        Ok(tensors)
    }
}

impl Tokenizer {
    fn source(self) -> Result<TokenizerSource, FormatError> {
        if let Some(json) = self.json {
            let (tokenizer_json, chat_template) = (json.into_bytes().into(), self.chat_template);
            let tokenizer_config = self.config;
            return Ok(TokenizerSource::HuggingFace { tokenizer_json, tokenizer_config, chat_template });
        }
        if self.vocab.ids.is_empty() && self.merges.is_empty() {
            return Ok(TokenizerSource::None);
        }
        let (tokens, ids) =
            self.vocab.sorted().map_err(|why| FormatError::key("tokenizer", Problem::Header(why)))?;
        let (merges, chat_template) = (self.merges, self.chat_template);
        Ok(TokenizerSource::Native(NativeTokenizer { tokens, ids, merges, chat_template }))
    }
}

impl Vocab {
    fn token(&self, at: usize) -> &str {
        self.tokens.get(at).unwrap_or_default()
    }

    /// Tokens and ids in the order of the ids, or which of either stands twice.
    fn sorted(&self) -> Result<(StringTable, Vec<u32>), String> {
        let mut order: Vec<usize> = (0..self.ids.len()).collect();
        order.sort_unstable_by_key(|&at| self.token(at));
        if let Some(pair) = order.windows(2).find(|pair| self.token(pair[0]) == self.token(pair[1])) {
            return Err(format!("the token '{}' stands twice", shown(self.token(pair[0]))));
        }
        order.sort_unstable_by_key(|&at| self.ids[at]);
        if let Some(pair) = order.windows(2).find(|pair| self.ids[pair[0]] == self.ids[pair[1]]) {
            let (first, second) = (shown(self.token(pair[0])), shown(self.token(pair[1])));
            return Err(format!(
                "the tokens '{first}' and '{second}' have the same id {}",
                self.ids[pair[0]]
            ));
        }
        let mut tokens = StringTable::new();
        let fits = order.iter().all(|&at| tokens.push(self.token(at)));
        let ids = order.iter().map(|&at| self.ids[at]).collect();
        if fits { Ok((tokens, ids)) } else { Err("the vocabulary has too much text".to_owned()) }
    }
}

/// Where the planes of a tensor lie in the payload.
struct Placed {
    ty: TensorType,
    data: Range<usize>,
    scales: Option<Range<usize>>,
}

impl Info {
    fn place(&self) -> Result<Placed, Problem> {
        let ty = match self.dtype.as_str() {
            "f32" => TensorType::F32,
            "f16" => TensorType::F16,
            "int8" => TensorType::Int8G64,
            other => {
                let known = vec!["f32", "f16", "int8"];
                return Err(Problem::UnsupportedType { name: shown(other), known });
            }
        };
        let sizes = PlaneSizes::of(ty, &self.shape.0)?;
        if sizes.data == 0 {
            return Err(Problem::Shape(format!("has no values (shape {:?})", self.shape.0)));
        }
        let data = range(self.offset, sizes.data)?;
        if self.scale_size != sizes.scales as u64 / 4 {
            let want = sizes.scales / 4;
            return Err(Problem::Shape(format!(
                "has {} scales where its shape needs {want}",
                self.scale_size
            )));
        }
        let scales = (sizes.scales > 0).then(|| range(self.scale_offset, sizes.scales)).transpose()?;
        Ok(Placed { ty, data, scales })
    }
}

fn range(offset: u64, size: usize) -> Result<Range<usize>, Problem> {
    let start = usize::try_from(offset).ok();
    let range = start.and_then(|start| Some(start..start.checked_add(size)?));
    range.ok_or_else(|| Problem::Layout(format!("its offset {offset} cannot be")))
}

fn place_tensors(infos: Vec<(String, Info)>, payload: &Bytes) -> Result<Tensors, FormatError> {
    let mut tensors = Tensors::default();
    let mut ranges = Vec::new();
    for (name, info) in infos {
        let Placed { ty, data, scales } =
            info.place().map_err(|problem| FormatError::tensor(&name, problem))?;
        let slice = |what, range: &Range<usize>| {
            let (end, have) = (range.end as u64, payload.len() as u64);
            let truncated = || FormatError::tensor(&name, Problem::Truncated { what, end, have });
            payload.slice(range.clone()).ok_or_else(truncated)
        };
        let planes = (
            slice("its data (after the header)", &data)?,
            scales.as_ref().map(|scales| slice("its scales (after the header)", scales)).transpose()?,
        );
        ranges.extend([Some(data), scales].into_iter().flatten().map(|range| (range, name.clone())));
        tensors.insert(Tensor::new(name, ty, info.shape.0, planes.0, planes.1)?)?;
    }
    check_layout(ranges, payload.len())?;
    Ok(tensors)
}

/// No two planes share bytes, and what lies between and behind them is padding at most.
fn check_layout(mut ranges: Vec<(Range<usize>, String)>, payload: usize) -> Result<(), FormatError> {
    ranges.sort_by_key(|(range, _)| range.start);
    let mut covered = 0;
    for (range, name) in &ranges {
        let why = if range.start < covered {
            format!("its bytes {}..{} belong to another tensor too", range.start, range.end)
        } else if range.start - covered >= ALIGNMENT {
            format!("{} bytes before it belong to no tensor", range.start - covered)
        } else {
            covered = range.end;
            continue;
        };
        return Err(FormatError::tensor(name, Problem::Layout(why)));
    }
    if payload - covered >= ALIGNMENT {
        let why = format!("{} bytes after the last tensor belong to none", payload - covered);
        return Err(FormatError::new(Place::File, Problem::Layout(why)));
    }
    Ok(())
}
