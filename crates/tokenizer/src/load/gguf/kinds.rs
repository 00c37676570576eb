//! The kinds of tokenizers that `tokenizer.ggml.model` names: a function for each.

use torchless_base::TokenId;

use super::{Base, GgufVocab, assemble, check_scores, checked, ends, named_merge};
use crate::decode::{Decoder, Start};
use crate::load::json::bert_splitters;
use crate::load::{byte_level_bytes, signed_bytes, space_signs};
use crate::model::{
    Affixes, Bpe, BpeParts, Greedy, Merges, Model, NamedMerge, Rounding, Spm, Unigram, UnigramParts, Unknown,
    WordPiece, WordPieceParts,
};
use crate::normalize::{Bert, Charsmap, Normalizer, Rewrite, SentencePiece, Symbols};
use crate::postprocess::PostProcessor;
use crate::presplit;
use crate::pretokenize::PreTokenizer;
use crate::vocab::{Kind, Vocab};
use crate::{Tokenizer, TokenizerError};

/// Where BERT's vocabularies have these tokens unless the file says otherwise.
const BERT_CLS: u32 = 101;
const BERT_SEP: u32 = 102;
const BERT_UNKNOWN: u32 = 100;
/// Words of more characters are unknown to BERT; the format has no place for the number.
pub(super) const BERT_CHARS: usize = 100;

fn missing(what: &'static str, needed_by: &'static str) -> TokenizerError {
    TokenizerError::Missing { what, needed_by }
}

/// The scores, one finite number for each of so many tokens.
fn scores(file: &GgufVocab<'_>, tokens: usize) -> Result<Vec<f32>, TokenizerError> {
    let scores = file.scores.clone();
    let scores =
        scores.ok_or(missing("tokenizer.ggml.scores", "a tokenizer of the model 'llama' or 't5'"))?;
    check_scores(&scores, tokens)?;
    Ok(scores)
}

fn merges(file: &mut GgufVocab<'_>) -> Result<Vec<NamedMerge>, TokenizerError> {
    let merges = file.merges.take();
    let merges =
        merges.ok_or(missing("tokenizer.ggml.merges", "a tokenizer of the model 'gpt2' or 'gemma4'"))?;
    merges.iter().enumerate().map(named_merge).collect()
}

/// The text begins after one space where the model puts one there.
fn start(prefix: bool) -> Start {
    if prefix { Start::Strip { byte: b' ', count: 1 } } else { Start::KEEP }
}

pub(super) fn sentencepiece(mut file: GgufVocab<'_>) -> Result<Tokenizer, TokenizerError> {
    let (vocab, special) = checked(&mut file, Some([1, 2, 0]))?;
    let scores = scores(&file, vocab.len())?;
    let prefix = file.add_space_prefix.unwrap_or(true);
    let base = Base {
        kind: "SentencePiece BPE",
        pre_split: None,
        model: Model::Spm(Spm::new(&vocab, &scores, special.unk.map(|id| id.0))?),
        decoder: Decoder::new(signed_bytes(&vocab), start(prefix)),
        normalizer: space_signs(prefix),
        pre_tokenizer: PreTokenizer::default(),
        post: ends(&file, special, (true, false))?,
        special,
        vocab,
    };
    assemble(&file, base)
}

pub(super) fn byte_level(mut file: GgufVocab<'_>) -> Result<Tokenizer, TokenizerError> {
    if file.pre.is_some_and(presplit::writes_signs) {
        return gemma4(file);
    }
    let (vocab, special) = checked(&mut file, None)?;
    if let Some(scores) = &file.scores {
        check_scores(scores, vocab.len())?;
    }
    let merges = merges(&mut file)?;
    let name = file.pre.filter(|name| !name.is_empty()).unwrap_or("default");
    let pre = presplit::find(name)?;
    let model = Model::Bpe(Bpe::new(&BpeParts {
        vocab: &vocab,
        merges: Merges::Listed(&merges),
        affixes: Affixes::default(),
        byte_level: true,
        byte_fallback: false,
        unknown: Unknown { id: special.unk.map(|id| id.0), fuse: false },
        ignore_merges: pre.ignore_merges,
    })?);
    let bytes = vocab.iter().map(|(_, text, kind)| match kind {
        Kind::Normal => byte_level_bytes(text),
        Kind::Byte(byte) => vec![byte],
        _ => text.to_vec(),
    });
    let base = Base {
        kind: "byte-level BPE",
        pre_split: Some(name.to_owned()),
        decoder: Decoder::new(bytes, Start::KEEP),
        normalizer: Normalizer::default(),
        pre_tokenizer: PreTokenizer(pre.splitters),
        post: ends(&file, special, (pre.add_bos, false))?,
        model,
        special,
        vocab,
    };
    assemble(&file, base)
}

/// BPE over characters with space signs and byte tokens, split at line ends.
pub(super) fn gemma4(mut file: GgufVocab<'_>) -> Result<Tokenizer, TokenizerError> {
    let (mut vocab, special) = checked(&mut file, None)?;
    vocab.mark_byte_tokens();
    let merges = merges(&mut file)?;
    let model = Model::Bpe(Bpe::new(&BpeParts {
        vocab: &vocab,
        merges: Merges::Listed(&merges),
        affixes: Affixes::default(),
        byte_level: false,
        byte_fallback: true,
        unknown: Unknown { id: special.unk.map(|id| id.0), fuse: true },
        ignore_merges: false,
    })?);
    let base = Base {
        kind: "BPE with byte fallback",
        pre_split: Some("lines".to_owned()),
        model,
        decoder: Decoder::new(signed_bytes(&vocab), Start::KEEP),
        normalizer: space_signs(false),
        pre_tokenizer: PreTokenizer(presplit::lines()?),
        post: ends(&file, special, (false, false))?,
        special,
        vocab,
    };
    assemble(&file, base)
}

pub(super) fn unigram(mut file: GgufVocab<'_>) -> Result<Tokenizer, TokenizerError> {
    let (vocab, mut special) = checked(&mut file, None)?;
    let usual = |id: u32, kind| (vocab.kind(id) == kind).then_some(TokenId(id));
    special.eos = special.eos.or_else(|| usual(1, Kind::Control));
    special.unk = special.unk.or_else(|| usual(2, Kind::Unknown));
    let scores: Vec<f64> = scores(&file, vocab.len())?.into_iter().map(f64::from).collect();
    let prefix = file.add_space_prefix.unwrap_or(false);
    let normalizer = SentencePiece {
        charsmap: file.charsmap.as_deref().map(Charsmap::new).transpose()?,
        // They are found in the text as it came.
        symbols: Symbols::default(),
        add_dummy_prefix: prefix,
        remove_extra_whitespaces: file.remove_extra_whitespaces.unwrap_or(false),
        escape_whitespaces: true,
        treat_whitespace_as_suffix: false,
    };
    let model = Model::Unigram(Unigram::new(&UnigramParts {
        vocab: &vocab,
        scores: &scores,
        listed: vocab.len(),
        unknown: special.unk.map(|id| id.0),
        byte_fallback: false,
        rounding: Rounding::Double,
    })?);
    let base = Base {
        kind: "Unigram",
        pre_split: None,
        model,
        decoder: Decoder::new(signed_bytes(&vocab), start(prefix)),
        normalizer: Normalizer(vec![Rewrite::SentencePiece(Box::new(normalizer))]),
        pre_tokenizer: PreTokenizer::default(),
        post: ends(&file, special, (false, true))?,
        special,
        vocab,
    };
    assemble(&file, base)
}

/// The vocabulary has a space sign before each token that begins a word, and nothing before the others. Every text stands between
/// `[CLS]` and `[SEP]`: the keys `add_bos_token`, `add_eos_token` and `add_sep_token` are not asked, as llama.cpp asks none of them here.
/// Its converter writes false into the last for BERT itself, where it means a second `[SEP]` between two texts.
pub(super) fn wordpiece(mut file: GgufVocab<'_>) -> Result<Tokenizer, TokenizerError> {
    let sep = file.sep.take();
    file.bos = file.bos.or(file.cls.take());
    let (vocab, mut special) = checked(&mut file, Some([BERT_CLS, BERT_SEP, BERT_UNKNOWN]))?;
    let named = |name: &[u8]| vocab.iter().find(|(_, text, _)| *text == name).map(|(id, ..)| TokenId(id));
    let sep = vocab.check("tokenizer.ggml.seperator_token_id", sep)?.map(TokenId);
    let sep = sep.or(special.eos).or_else(|| named(b"[SEP]"));
    special.bos = special.bos.or_else(|| named(b"[CLS]"));
    special.unk = special.unk.or_else(|| named(b"[UNK]"));
    let unknown = special.unk.map(|id| id.0);
    let model = Model::WordPiece(WordPiece::new(&WordPieceParts {
        vocab: &vocab,
        unknown,
        beginning: "▁",
        continuing: "",
        max_chars: BERT_CHARS,
    })?);
    let lowercase = file.lowercase.unwrap_or(true);
    let strip_accents = file.strip_accents.unwrap_or(lowercase);
    let bert = Bert { clean_text: true, handle_chinese_chars: true, strip_accents, lowercase };
    let post = match (special.bos, sep) {
        (Some(cls), Some(sep)) => PostProcessor::bert(cls, sep),
        (cls, sep) => PostProcessor::ends(cls, sep),
    };
    let base = Base {
        kind: "WordPiece",
        pre_split: Some("BERT".to_owned()),
        model,
        decoder: Decoder::new(signed_bytes(&vocab), start(true)),
        normalizer: Normalizer(vec![Rewrite::Bert(bert)]),
        pre_tokenizer: PreTokenizer(bert_splitters()),
        post,
        special,
        vocab,
    };
    assemble(&file, base)
}

/// Longest matches; the vocabulary writes bytes in the manner of C.
pub(super) fn rwkv(mut file: GgufVocab<'_>) -> Result<Tokenizer, TokenizerError> {
    let (vocab, special) = checked(&mut file, None)?;
    let texts = unescaped(&vocab);
    let base = Base {
        kind: "longest matches",
        pre_split: None,
        model: Model::Greedy(Greedy::new(&vocab, &texts, special.unk.map(|id| id.0))?),
        decoder: Decoder::new(texts.into_iter(), Start::KEEP),
        normalizer: Normalizer::default(),
        pre_tokenizer: PreTokenizer::default(),
        post: ends(&file, special, (false, false))?,
        special,
        vocab,
    };
    assemble(&file, base)
}

/// The bytes of each token, with `\t`, `\n`, `\r` and `\xHH` read.
fn unescaped(vocab: &Vocab) -> Vec<Vec<u8>> {
    let read = |text: &[u8]| {
        let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.iter().copied());
        while let Some(byte) = rest.next() {
            let escaped = if byte == b'\\' { rest.next() } else { None };
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).unwrap_or(0);
            out.push(match escaped {
                None => byte,
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b'x') => (digit(rest.next()) * 16 + digit(rest.next())) as u8,
                Some(other) => other,
            });
        }
        out
    };
    vocab.iter().map(|(_, text, _)| read(text)).collect()
}
