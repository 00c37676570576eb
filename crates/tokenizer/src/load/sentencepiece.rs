//! A tokenizer from a model of SentencePiece (`tokenizer.model`, `spiece.model`, `spm.model`), with what
//! tokenizer_config.json adds to it.

use std::collections::HashMap;

use torchless_base::TokenId;

use super::config::{Beside, Config};
use super::protobuf::{Fields, Value};
use super::signed_bytes;
use crate::added::{AddedToken, AddedTokens};
use crate::alphabet::byte_token;
use crate::decode::{Decoder, Start};
use crate::error::excerpt;
use crate::model::{Model, Rounding, Spm, Unigram, UnigramParts};
use crate::normalize::{Charsmap, Normalizer, Rewrite, SentencePiece, Symbols};
use crate::postprocess::PostProcessor;
use crate::pretokenize::PreTokenizer;
use crate::special::{end_ids, is_turn_markup};
use crate::tokenizer::Parts;
use crate::vocab::{Kind, MAX_TOKENS, Vocab};
use crate::{SpecialIds, Tokenizer, TokenizerError};

const FILE: &str = "SentencePiece model";

/// What counts in the file; names and numbers are those of `sentencepiece_model.proto`.
#[derive(Debug, Default)]
struct File<'a> {
    texts: Vec<Vec<u8>>,
    scores: Vec<f32>,
    types: Vec<u64>,
    trainer: Trainer,
    charsmap: &'a [u8],
    normalizer: SentencePiece,
}

/// `TrainerSpec`.
#[derive(Debug)]
struct Trainer {
    model_type: u64,
    byte_fallback: bool,
    treat_whitespace_as_suffix: bool,
    /// Ids of unknown, BOS, EOS and padding; -1 where there is none.
    ids: [i64; 4],
}

impl Default for Trainer {
    fn default() -> Self {
        Self { model_type: 1, byte_fallback: false, treat_whitespace_as_suffix: false, ids: [0, 1, 2, -1] }
    }
}

impl Tokenizer {
    /// Makes a tokenizer from the bytes of a SentencePiece model, BPE or Unigram, and of the files beside it.
    ///
    /// What stands around a text says `tokenizer_class` in tokenizer_config.json; without one, BOS goes before
    /// texts of a BPE model and nothing around those of others.
    ///
    /// # Errors
    /// Bytes that are no such model, pieces that contradict themselves, and classes of transformers that give
    /// the pieces other ids than the file.
    pub fn from_sentencepiece(file: &[u8], beside: Beside<'_>) -> Result<Self, TokenizerError> {
        assemble(read(file)?, &Config::read(beside)?)
    }
}

/// What GGUF takes over of a model as it is.
pub(super) struct Pieces {
    pub(super) scores: Vec<f32>,
    pub(super) charsmap: Vec<u8>,
    pub(super) add_dummy_prefix: bool,
    pub(super) remove_extra_whitespaces: bool,
}

/// Reads that.
///
/// # Errors
/// As [`Tokenizer::from_sentencepiece`].
pub(super) fn pieces(file: &[u8]) -> Result<Pieces, TokenizerError> {
    let File { scores, charsmap, normalizer, .. } = read(file)?;
    let SentencePiece { add_dummy_prefix, remove_extra_whitespaces, .. } = normalizer;
    Ok(Pieces { scores, charsmap: charsmap.to_vec(), add_dummy_prefix, remove_extra_whitespaces })
}

fn read(file: &[u8]) -> Result<File<'_>, TokenizerError> {
    let mut out = File {
        normalizer: SentencePiece {
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
            ..SentencePiece::default()
        },
        ..File::default()
    };
    let mut fields = Fields::new(FILE, file);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Bytes(piece)) => read_piece(piece, &mut out)?,
            (2, Value::Bytes(spec)) => read_trainer(spec, &mut out.trainer)?,
            (3, Value::Bytes(spec)) => read_normalizer(spec, &mut out)?,
            // What the trainer tested, and how text is changed back: neither changes ids.
            (4 | 5, Value::Bytes(_)) => {}
            (1..=5, _) => return Err(fields.bad("a field of the wrong type")),
            _ => {}
        }
        if out.texts.len() > MAX_TOKENS {
            return Err(TokenizerError::TooMany {
                what: "tokens",
                found: out.texts.len(),
                limit: MAX_TOKENS,
            });
        }
    }
    Ok(out)
}

fn read_piece(piece: &[u8], out: &mut File<'_>) -> Result<(), TokenizerError> {
    let mut fields = Fields::new(FILE, piece);
    let (mut text, mut score, mut kind) = (&[][..], 0.0, 1);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Bytes(bytes)) => text = bytes,
            (2, Value::Fixed32(bits)) => score = f32::from_bits(bits),
            (3, Value::Varint(value)) => kind = value,
            (1..=3, _) => return Err(fields.bad("a piece with a field of the wrong type")),
            _ => {}
        }
    }
    if !score.is_finite() {
        return Err(TokenizerError::Score { id: out.texts.len(), value: score });
    }
    out.texts.push(text.to_vec());
    out.scores.push(score);
    out.types.push(kind);
    Ok(())
}

fn read_trainer(spec: &[u8], out: &mut Trainer) -> Result<(), TokenizerError> {
    let mut fields = Fields::new(FILE, spec);
    while let Some((number, value)) = fields.next()? {
        let Value::Varint(value) = value else { continue };
        match number {
            3 => out.model_type = value,
            24 => out.treat_whitespace_as_suffix = value != 0,
            35 => out.byte_fallback = value != 0,
            // 32 bits with a sign, written as 64.
            40..=43 => out.ids[number as usize - 40] = i64::from(value as i32),
            _ => {}
        }
    }
    Ok(())
}

fn read_normalizer<'a>(spec: &'a [u8], out: &mut File<'a>) -> Result<(), TokenizerError> {
    let mut fields = Fields::new(FILE, spec);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (2, Value::Bytes(blob)) => out.charsmap = blob,
            (3, Value::Varint(value)) => out.normalizer.add_dummy_prefix = value != 0,
            (4, Value::Varint(value)) => out.normalizer.remove_extra_whitespaces = value != 0,
            (5, Value::Varint(value)) => out.normalizer.escape_whitespaces = value != 0,
            (2..=5, _) => return Err(fields.bad("a normaliser with a field of the wrong type")),
            _ => {}
        }
    }
    Ok(())
}

fn assemble(file: File<'_>, config: &Config) -> Result<Tokenizer, TokenizerError> {
    let class = config.tokenizer_class.as_deref().unwrap_or_default();
    let shifting =
        ["XLMRoberta", "Camembert", "MBart", "Nllb", "NLLB", "Barthez", "XGLM", "Pegasus", "Marian"];
    if shifting.iter().any(|name| class.starts_with(name)) {
        return Err(TokenizerError::Unknown {
            place: "tokenizer_config.json tokenizer_class",
            found: excerpt(class.as_bytes()),
            known:
                "classes whose ids are those of the SentencePiece model; for this one use its tokenizer.json"
                    .to_owned(),
        });
    }
    let listed = file.texts.len();
    let (vocab, added) = vocabulary(&file, config)?;
    let index = names(&vocab);
    let special = roles(&file, config, &vocab, &index)?;
    let unknown = special.unk.map(|id| id.0);
    let mut scores = file.scores.clone();
    scores.resize(vocab.len(), 0.0);
    let (kind, model) = match file.trainer.model_type {
        1 => {
            let scores: Vec<f64> = scores.iter().copied().map(f64::from).collect();
            let model = Unigram::new(&UnigramParts {
                vocab: &vocab,
                scores: &scores,
                listed,
                unknown,
                byte_fallback: file.trainer.byte_fallback,
                rounding: Rounding::Single,
            })?;
            ("Unigram", Model::Unigram(model))
        }
        2 => ("SentencePiece BPE", Model::Spm(Spm::new(&vocab, &scores, unknown)?)),
        other => {
            return Err(TokenizerError::Unknown {
                place: "model_type of the SentencePiece model",
                found: other.to_string(),
                known: "1 (Unigram), 2 (BPE)".to_owned(),
            });
        }
    };
    let mut normalizer = file.normalizer;
    if !file.charsmap.is_empty() {
        normalizer.charsmap = Some(Charsmap::new(file.charsmap)?);
    }
    // Of their number are pieces that are control tokens here.
    let is_symbol = |at: &usize| file.types[*at] == 4;
    let symbols = (0..listed).filter(is_symbol).filter_map(|at| std::str::from_utf8(&file.texts[at]).ok());
    normalizer.symbols = Symbols::new(&symbols.filter(|text| !text.is_empty()).collect::<Vec<_>>())?;
    normalizer.treat_whitespace_as_suffix = file.trainer.treat_whitespace_as_suffix;
    let count = usize::from(normalizer.add_dummy_prefix && !normalizer.treat_whitespace_as_suffix);
    let post = around(config, class, special, &index, file.trainer.model_type == 2);
    Ok(Tokenizer::new(Parts {
        kind,
        pre_split: None,
        // Pieces that the user defined are found in the normalised text, which begins with its space.
        added: AddedTokens::new(&added, &Normalizer::default())?,
        normalizer: Normalizer(vec![Rewrite::SentencePiece(Box::new(normalizer))]),
        normalizes_to_bytes: false,
        wants_byte_chars: false,
        pre_tokenizer: PreTokenizer::default(),
        model,
        decoder: Decoder::new(signed_bytes(&vocab), Start::Strip { byte: b' ', count }),
        post,
        special,
        end: end_ids(&vocab, special, &[]),
        vocab,
    }))
}

/// The pieces with the tokens that tokenizer_config.json adds, and all that are found as a whole.
fn vocabulary(file: &File<'_>, config: &Config) -> Result<(Vocab, Vec<AddedToken>), TokenizerError> {
    let mut texts = file.texts.clone();
    let configured = config.added_tokens()?;
    for token in configured.iter().filter(|token| token.id as usize >= file.texts.len()) {
        if token.id as usize != texts.len() {
            let limit = texts.len();
            let what = "an id in added_tokens_decoder, where ids follow those of the model,";
            return Err(TokenizerError::TooMany { what, found: token.id as usize, limit });
        }
        texts.push(token.text.clone().into_bytes());
    }
    let mut vocab = Vocab::new(texts)?;
    let mut added = Vec::new();
    for (id, kind) in file.types.iter().enumerate() {
        let id = id as u32;
        let text = vocab.text(id).unwrap_or_default().to_vec();
        let kind = match kind {
            1 => continue,
            2 => Kind::Unknown,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            5 if file.trainer.model_type == 1 => Kind::Unused,
            5 => continue,
            6 => match byte_token(&text) {
                Some(byte) => Kind::Byte(byte),
                None => {
                    let why = "has the type of a byte and is none";
                    return Err(TokenizerError::ByteToken { id, token: excerpt(&text), why });
                }
            },
            other => {
                let value = i32::try_from(*other).unwrap_or(i32::MAX);
                return Err(TokenizerError::TokenType { id: id as usize, value });
            }
        };
        let marks = kind == Kind::UserDefined && is_turn_markup(&text);
        let kind = if marks { Kind::Control } else { kind };
        vocab.set_kind(id, kind);
        let special = matches!(kind, Kind::Control | Kind::Unknown);
        if let (true, Ok(text)) = (special || kind == Kind::UserDefined, String::from_utf8(text)) {
            added.push(AddedToken { id, text, special, normalized: !special, ..AddedToken::default() });
        }
    }
    for token in configured {
        vocab.check("an id in added_tokens_decoder", Some(token.id))?;
        vocab.set_kind(token.id, if token.special { Kind::Control } else { Kind::UserDefined });
        added.retain(|known| known.id != token.id);
        added.push(token);
    }
    Ok((vocab, added))
}

fn names(vocab: &Vocab) -> HashMap<String, u32> {
    vocab.iter().filter_map(|(id, text, _)| Some((String::from_utf8(text.to_vec()).ok()?, id))).collect()
}

/// Roles as tokenizer_config.json names them, else as the trainer did.
fn roles(
    file: &File<'_>,
    config: &Config,
    vocab: &Vocab,
    index: &HashMap<String, u32>,
) -> Result<SpecialIds, TokenizerError> {
    let trained = |place: usize| {
        let id = u32::try_from(file.trainer.ids[place]).ok()?;
        matches!(vocab.kind(id), Kind::Control | Kind::Unknown).then_some(TokenId(id))
    };
    let named = config.roles(index)?;
    Ok(SpecialIds {
        unk: trained(0).or(named.unk),
        bos: named.bos.or(trained(1)),
        eos: named.eos.or(trained(2)),
        pad: named.pad.or(trained(3)),
        ..SpecialIds::default()
    })
}

/// What classes of transformers put around a text.
fn around(
    config: &Config,
    class: &str,
    special: SpecialIds,
    index: &HashMap<String, u32>,
    is_bpe: bool,
) -> PostProcessor {
    let is = |names: &[&str]| names.iter().any(|name| class.starts_with(name));
    let token = |name: &str| index.get(name).copied().map(TokenId);
    if let (true, Some(cls), Some(sep)) =
        (is(&["Deberta", "Albert", "BigBird"]), token("[CLS]"), token("[SEP]"))
    {
        return PostProcessor::bert(cls, sep);
    }
    let (bos, eos) = match class {
        _ if is(&["T5", "MT5", "UMT5"]) => (None, special.eos),
        "" if !is_bpe => (None, None),
        _ if is(&["Llama", "CodeLlama", "Gemma"]) || is_bpe => (special.bos, None),
        _ => (None, None),
    };
    let pick = |asked: Option<bool>, usual: Option<TokenId>, id: Option<TokenId>| match asked {
        Some(true) => id,
        Some(false) => None,
        None => usual,
    };
    let bos = pick(config.add_bos_token, bos, special.bos);
    PostProcessor::ends(bos, pick(config.add_eos_token, eos, special.eos))
}
