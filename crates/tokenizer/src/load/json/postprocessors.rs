//! The post-processors of tokenizer.json: each `type` is one arm, an unknown one an error that names it.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use torchless_base::TokenId;

use super::components::{chain, read, unknown};
use crate::TokenizerError;
use crate::postprocess::{Piece, PostProcessor};

pub(super) const PLACE: &str = "tokenizer.json post_processor";

#[derive(Deserialize)]
struct Pairs {
    sep: (String, u32),
    cls: (String, u32),
}

#[derive(Deserialize)]
struct TemplateJson {
    single: Vec<PieceJson>,
    #[serde(default)]
    pair: Vec<PieceJson>,
    #[serde(default)]
    special_tokens: HashMap<String, Ids>,
}

#[derive(Deserialize)]
enum PieceJson {
    SpecialToken {
        id: String,
        #[serde(default)]
        type_id: u32,
    },
    Sequence {
        id: Which,
        #[serde(default)]
        type_id: u32,
    },
}

#[derive(Deserialize, PartialEq)]
enum Which {
    A,
    B,
}

#[derive(Deserialize)]
struct Ids {
    ids: Vec<u32>,
}

/// What the file puts around texts; `None` where it puts nothing.
pub(super) fn post_processor(value: Option<&Value>) -> Result<Option<PostProcessor>, TokenizerError> {
    let mut found = None;
    for (kind, value) in chain(PLACE, value, "processors")? {
        let post = match kind {
            // It only moves offsets, which are not kept here.
            "ByteLevel" => continue,
            "TemplateProcessing" => template(value)?,
            "BertProcessing" => {
                let Pairs { sep, cls } = read(PLACE, value)?;
                PostProcessor::bert(TokenId(cls.1), TokenId(sep.1))
            }
            "RobertaProcessing" => {
                let Pairs { sep, cls } = read(PLACE, value)?;
                PostProcessor::roberta(TokenId(cls.1), TokenId(sep.1))
            }
            other => {
                let known = "Sequence, ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing";
                return Err(unknown(PLACE, other, known));
            }
        };
        if found.replace(post).is_some() {
            return Err(unknown(PLACE, "a second processor that adds tokens", "one of them"));
        }
    }
    Ok(found)
}

fn template(value: &Value) -> Result<PostProcessor, TokenizerError> {
    let template: TemplateJson = read(PLACE, value)?;
    let piece = |piece: &PieceJson| {
        Ok(match piece {
            PieceJson::Sequence { id: Which::A, type_id } => Piece::First(*type_id),
            PieceJson::Sequence { id: Which::B, type_id } => Piece::Second(*type_id),
            PieceJson::SpecialToken { id, type_id } => {
                let ids = template.special_tokens.get(id);
                let ids = ids.ok_or_else(|| unknown(PLACE, id, "the keys of its special_tokens"))?;
                Piece::Tokens(ids.ids.iter().copied().map(TokenId).collect(), *type_id)
            }
        })
    };
    let pieces = |list: &[PieceJson]| list.iter().map(piece).collect::<Result<Vec<_>, TokenizerError>>();
    let count = |pieces: &[Piece], is_it: fn(&Piece) -> bool| pieces.iter().filter(|p| is_it(p)).count();
    let texts = |pieces: &[Piece]| {
        (count(pieces, |p| matches!(p, Piece::First(_))), count(pieces, |p| matches!(p, Piece::Second(_))))
    };
    let (single, pair) = (pieces(&template.single)?, pieces(&template.pair)?);
    if texts(&single) != (1, 0) {
        return Err(unknown(PLACE, "a template without exactly one sequence", "single with one Sequence A"));
    }
    if !pair.is_empty() && texts(&pair) != (1, 1) {
        return Err(unknown(PLACE, "a template without both sequences", "pair with a Sequence A and a B"));
    }
    Ok(PostProcessor { single, pair: (!pair.is_empty()).then_some(pair) })
}
