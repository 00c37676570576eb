//! The decoders of tokenizer.json: each `type` is one arm, an unknown one an error that names it.

use serde::Deserialize;
use serde_json::Value;

use super::components::{MetaspaceJson, PatternJson, chain, check_growth, needle, read, unknown};
use crate::TokenizerError;
use crate::decode::{DecodeStep, DecodeSteps, Decoder};
use crate::normalize::Rewrite;
use crate::pretokenize::PrependScheme;
use crate::vocab::Vocab;

const PLACE: &str = "tokenizer.json decoder";
const KNOWN: &str =
    "Sequence, ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, WordPiece, BPEDecoder, CTC";

#[derive(Deserialize)]
struct Replace {
    pattern: PatternJson,
    content: String,
}

#[derive(Deserialize)]
struct Strip {
    content: char,
    start: usize,
    stop: usize,
}

#[derive(Deserialize)]
struct WordPiece {
    prefix: String,
    cleanup: bool,
}

#[derive(Deserialize)]
struct WordEnd {
    suffix: String,
}

#[derive(Deserialize)]
struct Ctc {
    pad_token: String,
    word_delimiter_token: String,
    cleanup: bool,
}

pub(super) fn steps(value: &Value) -> Result<DecodeSteps, TokenizerError> {
    let steps = chain(PLACE, Some(value), "decoders")?;
    let steps = steps.into_iter().map(step).collect::<Result<Vec<_>, _>>()?;
    let replaces = steps.iter().filter_map(|step| match step {
        DecodeStep::Replace(replace) => Some(replace.growth()),
        _ => None,
    });
    check_growth("times that decoder makes text longer", replaces)?;
    Ok(DecodeSteps(steps))
}

/// The decoder that `steps` describe for the tokens of `vocab`.
pub(super) fn decoder(steps: &DecodeSteps, vocab: &Vocab) -> Result<Decoder, TokenizerError> {
    Decoder::of_steps(steps, vocab.iter().map(|(_, text, _)| text)).map_err(|step| {
        let known = "behind Fuse or ByteLevel one Strip of an ASCII character at each end, behind ByteFallback \
                     also Metaspace and Replace of a text beyond ASCII";
        unknown(PLACE, &format!("{} behind Fuse, ByteLevel or ByteFallback", step.name()), known)
    })
}

fn step((kind, value): (&str, &Value)) -> Result<DecodeStep, TokenizerError> {
    Ok(match kind {
        "ByteLevel" => DecodeStep::ByteLevel,
        "ByteFallback" => DecodeStep::ByteFallback,
        "Fuse" => DecodeStep::Fuse,
        "Replace" => {
            let Replace { pattern, content } = read(PLACE, value)?;
            DecodeStep::Replace(Box::new(Rewrite::Replace(needle(PLACE, pattern)?, content)))
        }
        "Strip" => {
            let Strip { content, start, stop } = read(PLACE, value)?;
            DecodeStep::Strip { content, start, stop }
        }
        "Metaspace" => {
            let meta: MetaspaceJson = read(PLACE, value)?;
            let strips_first = meta.prepend(PLACE)? != PrependScheme::Never;
            DecodeStep::Metaspace { sign: meta.replacement, strips_first }
        }
        "WordPiece" => {
            let WordPiece { prefix, cleanup } = read(PLACE, value)?;
            DecodeStep::WordPiece { prefix, cleanup }
        }
        "BPEDecoder" => match read::<WordEnd>(PLACE, value)?.suffix {
            suffix if suffix.is_empty() => {
                return Err(unknown(PLACE, "BPEDecoder with an empty suffix", "one such as </w>"));
            }
            suffix => DecodeStep::WordEnd { suffix },
        },
        "CTC" => {
            let Ctc { pad_token: pad, word_delimiter_token: delimiter, cleanup } = read(PLACE, value)?;
            if pad.is_empty() || delimiter.is_empty() {
                return Err(unknown(PLACE, "CTC with an empty token", "tokens such as <pad> and |"));
            }
            DecodeStep::Ctc { pad, delimiter, cleanup }
        }
        other => return Err(unknown(PLACE, other, KNOWN)),
    })
}
