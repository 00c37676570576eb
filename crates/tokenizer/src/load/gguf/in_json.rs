//! The words of GGUF as a tokenizer.json.
//!
//! What is written is read again, and given only where it does the same on a few thousand texts.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::GgufVocab;
use crate::load::{SPACE_SIGN, base64};
use crate::vocab::Kind;
use crate::{Around, EncodeOptions, Tokenizer, TokenizerError, presplit};
use torchless_base::TokenId;

/// A tokenizer.json and the tokenizer_config.json beside it, without a chat template.
#[derive(Debug, Clone)]
pub struct JsonWords {
    /// tokenizer.json
    pub tokenizer: Value,
    /// tokenizer_config.json
    pub config: Value,
}

/// What tokenizer.json says beside tokens: normaliser, splitting, decoder, model.
struct Parts {
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    model: Value,
}

impl GgufVocab<'_> {
    /// The same as a tokenizer.json; `None` where there is none that gives the same ids.
    ///
    /// # Errors
    /// As [`Tokenizer::from_gguf`].
    pub fn in_json(&self) -> Result<Option<JsonWords>, TokenizerError> {
        let own = Tokenizer::from_gguf(self.clone())?;
        let ways = match self.model {
            "llama" => self.sentencepiece(&own).into_iter().collect(),
            "gpt2" if !self.pre.is_some_and(presplit::writes_signs) => {
                self.byte_level(&own).into_iter().collect()
            }
            "gpt2" | "gemma4" => self.lines(&own).into_iter().collect(),
            "t5" => self.unigram(&own),
            "bert" => self.wordpiece(&own).into_iter().collect(),
            _ => Vec::new(),
        };
        let config = own.json_config();
        let written = |parts| JsonWords { tokenizer: own.in_file(parts), config: config.clone() };
        Ok(ways.into_iter().map(written).find(|words| own.does_what(words)))
    }

    /// Merges as GGUF lists them.
    fn listed_merges(&self) -> Option<Vec<Value>> {
        let halves = |merge: &String| {
            let (at, _) = merge.char_indices().skip(1).find(|(_, c)| *c == ' ')?;
            Some(json!([&merge[..at], &merge[at + 1..]]))
        };
        self.merges.as_ref()?.iter().map(halves).collect()
    }

    fn byte_level(&self, own: &Tokenizer) -> Option<Parts> {
        let name = self.pre.filter(|name| !name.is_empty()).unwrap_or("default");
        let (patterns, ignore_merges) = presplit::patterns(name)?;
        let split = |pattern: &&str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let bytes =
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
        let steps: Vec<Value> = patterns.iter().map(split).chain([bytes]).collect();
        let mut model = own.bpe(self.listed_merges()?);
        model["ignore_merges"] = ignore_merges.into();
        Some(Parts {
            normalizer: Value::Null,
            pre_tokenizer: json!({"type": "Sequence", "pretokenizers": steps}),
            decoder: json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
            model,
        })
    }

    /// Spaces as signs, bytes as tokens, lines apart.
    fn lines(&self, own: &Tokenizer) -> Option<Parts> {
        let mut model = own.bpe(self.listed_merges()?);
        (model["byte_fallback"], model["fuse_unk"]) = (true.into(), true.into());
        let pattern = json!({"Regex": presplit::LINES});
        Some(Parts {
            normalizer: signs(false),
            pre_tokenizer: json!({"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false}),
            decoder: signed(false),
            model,
        })
    }

    /// Merges in the order of the scores of what they make.
    fn sentencepiece(&self, own: &Tokenizer) -> Option<Parts> {
        let prefix = self.add_space_prefix.unwrap_or(true);
        let mut model = own.bpe(own.merges_by_score(self.scores.as_deref()?));
        (model["byte_fallback"], model["fuse_unk"]) = (true.into(), true.into());
        Some(Parts { normalizer: signs(prefix), pre_tokenizer: Value::Null, decoder: signed(prefix), model })
    }

    /// SentencePiece takes a text in one, tokenizer.json often word by word; either may be what gives the same ids.
    fn unigram(&self, own: &Tokenizer) -> Vec<Parts> {
        let Some(scores) = self.scores.as_deref() else { return Vec::new() };
        let mut steps = Vec::new();
        if let Some(charsmap) = &self.charsmap {
            steps.push(json!({"type": "Precompiled", "precompiled_charsmap": base64::encode(charsmap)}));
        }
        if self.remove_extra_whitespaces.unwrap_or(false) {
            steps.push(json!({"type": "Strip", "strip_left": true, "strip_right": true}));
            steps.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}));
        }
        let entries = own.entries().zip(scores);
        let vocab: Vec<Value> =
            entries.map(|((_, text, _), score)| json!([text, f64::from(*score)])).collect();
        let unknown = own.special_ids().unk.map(|id| id.0);
        let scheme = if self.add_space_prefix.unwrap_or(false) { "always" } else { "never" };
        let way = |split: bool| {
            let metaspace = json!({"type": "Metaspace", "replacement": SPACE_SIGN, "prepend_scheme": scheme, "split": split});
            Parts {
                normalizer: json!({"type": "Sequence", "normalizers": steps}),
                pre_tokenizer: metaspace.clone(),
                decoder: metaspace,
                model: json!({"type": "Unigram", "unk_id": unknown, "vocab": vocab, "byte_fallback": false}),
            }
        };
        [false, true].map(way).into()
    }

    fn wordpiece(&self, own: &Tokenizer) -> Option<Parts> {
        let written = |(id, text, kind): (u32, String, Kind)| {
            let text = match (kind, text.strip_prefix(SPACE_SIGN)) {
                (Kind::Normal, Some(word)) => word.to_owned(),
                (Kind::Normal, None) => format!("##{text}"),
                _ => text,
            };
            (text, Value::from(id))
        };
        let vocab: Map<String, Value> = own.entries().map(written).collect();
        let unknown = own.text_of(own.special_ids().unk?.0)?;
        let lowercase = self.lowercase.unwrap_or(true);
        Some(Parts {
            normalizer: json!({
                "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": self.strip_accents.unwrap_or(lowercase), "lowercase": lowercase,
            }),
            pre_tokenizer: json!({"type": "BertPreTokenizer"}),
            decoder: json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
            model: json!({
                "type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
                "max_input_chars_per_word": super::kinds::BERT_CHARS, "vocab": vocab,
            }),
        })
    }
}

/// Spaces become signs, with one more before the text where `prefix` says so.
fn signs(prefix: bool) -> Value {
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE_SIGN});
    match prefix {
        true => {
            json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE_SIGN}, replace]})
        }
        false => replace,
    }
}

/// The way back from signs and from tokens of bytes.
fn signed(prefix: bool) -> Value {
    let mut steps = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE_SIGN}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        steps.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    json!({"type": "Sequence", "decoders": steps})
}

impl Tokenizer {
    /// Tokens that are no filling up of a vocabulary, in the order of their ids.
    fn entries(&self) -> impl Iterator<Item = (u32, String, Kind)> {
        let text =
            |(id, text, kind): (u32, &[u8], Kind)| (id, String::from_utf8_lossy(text).into_owned(), kind);
        self.parts.vocab.iter().map(text)
    }

    fn text_of(&self, id: u32) -> Option<String> {
        self.parts.vocab.text(id).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    /// A BPE model of these merges.
    fn bpe(&self, merges: Vec<Value>) -> Value {
        let unused = |id: u32, text: &str| text == format!("[PAD{id}]");
        let vocab: Map<String, Value> = self
            .entries()
            .filter(|(id, text, kind)| !unused(*id, text) && *kind != Kind::Control)
            .map(|(id, text, _)| (text, Value::from(id)))
            .collect();
        let unknown = self.special_ids().unk.and_then(|id| self.text_of(id.0));
        // It has to be a token of the model, and is one here unless the file says that it is a control token.
        let unknown = unknown.filter(|text| vocab.contains_key(text));
        json!({
            "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges,
        })
    }

    /// Every way to put a token together from two others, the best token first.
    fn merges_by_score(&self, scores: &[f32]) -> Vec<Value> {
        let is_piece = |kind: &Kind| matches!(kind, Kind::Normal | Kind::UserDefined);
        let pieces: Vec<_> = self.entries().filter(|(.., kind)| is_piece(kind)).collect();
        let ids: HashMap<&str, u32> = pieces.iter().map(|(id, text, _)| (text.as_str(), *id)).collect();
        let mut merges = Vec::new();
        for (id, text, kind) in &pieces {
            if *kind != Kind::Normal {
                continue;
            }
            let score = scores.get(*id as usize).copied().unwrap_or(f32::MIN);
            let halves = text.char_indices().skip(1).map(|(at, _)| text.split_at(at));
            let there = halves.filter_map(|(a, b)| Some(((*ids.get(a)?, *ids.get(b)?), a, b)));
            merges.extend(there.map(|(own, a, b)| (score, *id, own, a, b)));
        }
        merges.sort_by(|x, y| y.0.total_cmp(&x.0).then((x.1, x.2).cmp(&(y.1, y.2))));
        merges.into_iter().map(|(.., a, b)| json!([a, b])).collect()
    }

    fn in_file(&self, parts: Parts) -> Value {
        let Parts { normalizer, pre_tokenizer, decoder, model } = parts;
        let is_added = |kind: &Kind| matches!(kind, Kind::Control | Kind::Unknown | Kind::UserDefined);
        let added = |(id, text, kind): (u32, String, Kind)| {
            json!({
                "id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": kind != Kind::UserDefined,
            })
        };
        let added: Vec<Value> = self.entries().filter(|(.., kind)| is_added(kind)).map(added).collect();
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": self.template(),
            "decoder": decoder, "model": model,
        })
    }

    /// What stands around one text and around two.
    fn template(&self) -> Value {
        let (before, after) = self.parts.post.around();
        let is_bert = matches!(self.parts.kind, "WordPiece");
        let mut tokens = Map::new();
        let mut special = |id: &TokenId, kind: u32| {
            let name = self.text_of(id.0).unwrap_or_default();
            let entry = json!({"id": name, "ids": [id.0], "tokens": [name]});
            tokens.insert(name.clone(), entry);
            json!({"SpecialToken": {"id": name, "type_id": kind}})
        };
        let mut around = |name: &str, kind: u32, before: &[TokenId]| {
            let text = json!({"Sequence": {"id": name, "type_id": kind}});
            let first: Vec<_> = before.iter().map(|id| special(id, kind)).collect();
            let last: Vec<_> = after.iter().map(|id| special(id, kind)).collect();
            first.into_iter().chain([text]).chain(last).collect::<Vec<_>>()
        };
        let single = around("A", 0, &before);
        let second = around("B", 1, if is_bert { &[] } else { &before });
        let pair: Vec<Value> = single.iter().cloned().chain(second).collect();
        if tokens.is_empty() {
            return Value::Null;
        }
        json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens})
    }

    fn json_config(&self) -> Value {
        let special = self.special_ids();
        let mut config =
            json!({"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false});
        for (role, id) in [
            ("bos_token", special.bos),
            ("eos_token", special.eos),
            ("unk_token", special.unk),
            ("pad_token", special.pad),
        ] {
            if let Some(text) = id.and_then(|id| self.text_of(id.0)) {
                config[role] = text.into();
            }
        }
        config
    }

    /// Whether a tokenizer of these words gives the same ids, and the same texts for them where white space is kept.
    fn does_what(&self, words: &JsonWords) -> bool {
        let (file, config) = (words.tokenizer.to_string(), words.config.to_string());
        let Ok(other) = Self::from_tokenizer_json(file.as_bytes(), Some(config.as_bytes())) else {
            return false;
        };
        let keeps_space = self.parts.kind != "WordPiece";
        // The decoder of a tokenizer.json goes over added tokens too, and may take their letters for bytes.
        let is_piece = |id: &TokenId| matches!(self.parts.vocab.kind(id.0), Kind::Normal | Kind::Byte(_));
        let plain = self.plain_probes().into_iter().all(|text| {
            let [(ids, decoded), (other_ids, other_decoded)] = [self, &other].map(|one| one.plain_ids(&text));
            let compared = keeps_space && ids.iter().all(is_piece);
            ids == other_ids && (!compared || decoded == other_decoded)
        });
        plain
            && self.exact_probes().all(|(text, special)| {
                let options = EncodeOptions { special, around: Around::ModelDefault };
                self.encode(&text, options) == other.encode(&text, options)
            })
    }
}
