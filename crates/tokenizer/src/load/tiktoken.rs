//! A tokenizer from a file of ranks in the manner of tiktoken: a line per token, its bytes in base64 and its
//! rank, which is its id. Such a file names neither the splitting nor the special tokens; the number of its
//! ranks says which of the known vocabularies it is.

use super::base64;
use super::config::{Beside, Config};
use super::ranks::{RankParts, assemble, lacking_byte};
use crate::added::AddedToken;
use crate::error::excerpt;
use crate::normalize::{Form, Normalizer, Rewrite};
use crate::presplit;
use crate::vocab::MAX_TOKENS;
use crate::{Tokenizer, TokenizerError};

const FILE: &str = "tiktoken file";

/// A vocabulary that is published as ranks.
struct Known {
    name: &'static str,
    ranks: usize,
    /// Row of the table of pre-splits that has its pattern.
    pattern: &'static str,
    nfc: bool,
    specials: &'static [(&'static str, u32)],
    /// Names `<|reserved_special_token_N|>` and the like: text before the number, first number, ids.
    numbered: Option<(&'static str, u32, std::ops::Range<u32>)>,
    bos: Option<&'static str>,
    eos: Option<&'static str>,
}

const TABLE: &[Known] = &[
    Known {
        name: "Llama 3",
        ranks: 128_000,
        pattern: "llama3",
        nfc: false,
        specials: &[
            ("<|begin_of_text|>", 128_000),
            ("<|end_of_text|>", 128_001),
            ("<|reserved_special_token_0|>", 128_002),
            ("<|reserved_special_token_1|>", 128_003),
            ("<|finetune_right_pad_id|>", 128_004),
            ("<|reserved_special_token_2|>", 128_005),
            ("<|start_header_id|>", 128_006),
            ("<|end_header_id|>", 128_007),
            ("<|eom_id|>", 128_008),
            ("<|eot_id|>", 128_009),
            ("<|python_tag|>", 128_010),
        ],
        numbered: Some(("<|reserved_special_token_", 3, 128_011..128_256)),
        bos: Some("<|begin_of_text|>"),
        eos: Some("<|end_of_text|>"),
    },
    Known {
        name: "Qwen",
        ranks: 151_643,
        pattern: "qwen2",
        nfc: true,
        specials: &[("<|endoftext|>", 151_643), ("<|im_start|>", 151_644), ("<|im_end|>", 151_645)],
        numbered: Some(("<|extra_", 0, 151_646..151_851)),
        bos: None,
        eos: Some("<|endoftext|>"),
    },
    Known {
        name: "GLM-4",
        ranks: 151_329,
        pattern: "llama3",
        nfc: false,
        specials: &[
            ("<|endoftext|>", 151_329),
            ("[MASK]", 151_330),
            ("[gMASK]", 151_331),
            ("[sMASK]", 151_332),
            ("<sop>", 151_333),
            ("<eop>", 151_334),
            ("<|system|>", 151_335),
            ("<|user|>", 151_336),
            ("<|assistant|>", 151_337),
            ("<|observation|>", 151_338),
            ("<|begin_of_image|>", 151_339),
            ("<|end_of_image|>", 151_340),
            ("<|begin_of_video|>", 151_341),
            ("<|end_of_video|>", 151_342),
        ],
        numbered: None,
        bos: None,
        eos: Some("<|endoftext|>"),
    },
    Known {
        name: "cl100k_base",
        ranks: 100_256,
        pattern: "llama3",
        nfc: false,
        specials: &[
            ("<|endoftext|>", 100_257),
            ("<|fim_prefix|>", 100_258),
            ("<|fim_middle|>", 100_259),
            ("<|fim_suffix|>", 100_260),
            ("<|endofprompt|>", 100_276),
        ],
        numbered: None,
        bos: None,
        eos: Some("<|endoftext|>"),
    },
    Known {
        name: "o200k",
        ranks: 199_998,
        pattern: "gpt-4o",
        nfc: false,
        specials: &[
            ("<|startoftext|>", 199_998),
            ("<|endoftext|>", 199_999),
            ("<|return|>", 200_002),
            ("<|constrain|>", 200_003),
            ("<|channel|>", 200_005),
            ("<|start|>", 200_006),
            ("<|end|>", 200_007),
            ("<|message|>", 200_008),
            ("<|call|>", 200_012),
            ("<|endofprompt|>", 200_018),
        ],
        numbered: None,
        bos: None,
        eos: Some("<|endoftext|>"),
    },
    Known {
        name: "GPT-2",
        ranks: 50_256,
        pattern: "gpt-2",
        nfc: false,
        specials: &[("<|endoftext|>", 50_256)],
        numbered: None,
        bos: None,
        eos: Some("<|endoftext|>"),
    },
    Known {
        name: "p50k_base",
        ranks: 50_280,
        pattern: "gpt-2",
        nfc: false,
        specials: &[("<|endoftext|>", 50_256)],
        numbered: None,
        bos: None,
        eos: Some("<|endoftext|>"),
    },
    Known {
        name: "Kimi K2",
        ranks: 163_584,
        pattern: "kimi-k2",
        nfc: false,
        specials: &[
            ("[BOS]", 163_584),
            ("[EOS]", 163_585),
            ("<|im_end|>", 163_586),
            ("<|im_user|>", 163_587),
            ("<|im_assistant|>", 163_588),
            ("<|start_header_id|>", 163_590),
            ("<|end_header_id|>", 163_591),
            ("[EOT]", 163_593),
            ("<|im_system|>", 163_594),
            ("<|tool_calls_section_begin|>", 163_595),
            ("<|tool_calls_section_end|>", 163_596),
            ("<|tool_call_begin|>", 163_597),
            ("<|tool_call_argument_begin|>", 163_598),
            ("<|tool_call_end|>", 163_599),
            ("<|im_middle|>", 163_601),
            ("[UNK]", 163_838),
            ("[PAD]", 163_839),
        ],
        // Their numbers are their ids.
        numbered: Some(("<|reserved_token_", 163_584, 163_584..163_840)),
        bos: None,
        eos: Some("[EOS]"),
    },
];

/// Whether `file` begins like a file of ranks.
pub(super) fn looks_like(file: &[u8]) -> bool {
    let head = &file[..file.len().min(4096)];
    head.split(|byte| *byte == b'\n')
        .next()
        .is_some_and(|line| rank(0, line).is_ok_and(|rank| rank.is_some()))
}

impl Tokenizer {
    /// Makes a tokenizer from a file of ranks, and of the files beside it, whose `added_tokens_decoder` names
    /// the special tokens if there is one.
    ///
    /// # Errors
    /// Lines that are no ranks, ranks that stand twice, bytes without one, and a number of ranks that no known vocabulary has.
    pub fn from_tiktoken(file: &[u8], beside: Beside<'_>) -> Result<Self, TokenizerError> {
        let config = Config::read(beside)?;
        let mut tokens = Vec::new();
        for (number, line) in file.split(|byte| *byte == b'\n').enumerate() {
            tokens.extend(rank(number, line)?);
            if tokens.len() > MAX_TOKENS {
                return Err(TokenizerError::TooMany {
                    what: "ranks",
                    found: tokens.len(),
                    limit: MAX_TOKENS,
                });
            }
        }
        let known = TABLE.iter().find(|row| row.ranks == tokens.len()).ok_or_else(|| {
            let known = TABLE.iter().map(|row| format!("{} ({})", row.ranks, row.name));
            TokenizerError::Unknown {
                place: FILE,
                found: format!("{} ranks", tokens.len()),
                known: known.collect::<Vec<_>>().join(", "),
            }
        })?;
        if let Some(byte) = lacking_byte(&tokens) {
            let what =
                format!("has no rank for the byte {byte:#04x}: it is damaged, since every byte has one");
            return Err(TokenizerError::Binary { file: FILE, what });
        }
        let mut steps = Vec::new();
        steps.extend(known.nfc.then_some(Rewrite::Form(Form::Nfc)));
        assemble(RankParts {
            file: FILE,
            name: known.name,
            pattern: presplit::only_pattern(known.pattern)?,
            normalizer: Normalizer(steps),
            tokens,
            added: specials(known, &config)?,
            roles: [known.bos, known.eos, None, None],
            adds_bos: config.add_bos_token.unwrap_or(known.bos.is_some()),
        })
    }
}

/// The special tokens of the vocabulary; what the config says of an id counts more.
fn specials(known: &Known, config: &Config) -> Result<Vec<AddedToken>, TokenizerError> {
    let mut tokens = config.added_tokens()?;
    let taken = |tokens: &[AddedToken], text: &str, id: u32| {
        tokens.iter().any(|token| token.id == id || token.text == text)
    };
    let numbered = known.numbered.clone().into_iter().flat_map(|(text, first, ids)| {
        let start = ids.start;
        ids.map(move |id| (format!("{text}{}|>", id - start + first), id))
    });
    for (text, id) in known.specials.iter().map(|(text, id)| ((*text).to_owned(), *id)).chain(numbered) {
        if !taken(&tokens, &text, id) {
            tokens.push(AddedToken { id, text, special: true, ..AddedToken::default() });
        }
    }
    Ok(tokens)
}

/// The token of a line; `None` for an empty one.
fn rank(number: usize, line: &[u8]) -> Result<Option<(Vec<u8>, u32)>, TokenizerError> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    let read = || {
        let at = line.iter().position(|byte| *byte == b' ')?;
        let bytes = base64::decode(&line[..at]).filter(|bytes| !bytes.is_empty())?;
        Some((bytes, std::str::from_utf8(&line[at + 1..]).ok()?.parse().ok()?))
    };
    read().map(Some).ok_or_else(|| TokenizerError::Binary {
        file: FILE,
        what: format!("line {}: {:?} is not base64, a space and a rank", number + 1, excerpt(line)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reserved_id_has_a_name_and_no_name_stands_twice() {
        for (row, first, last) in [("Kimi K2", 163_584, 163_839), ("Llama 3", 128_000, 128_255)] {
            let known = TABLE.iter().find(|known| known.name == row).unwrap();
            let tokens = specials(known, &Config::default()).unwrap();
            let mut ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
            ids.sort_unstable();
            assert_eq!(ids, (first..=last).collect::<Vec<u32>>(), "{row}");
            let mut names: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), tokens.len(), "{row}");
        }
        let kimi = TABLE.iter().find(|known| known.name == "Kimi K2").unwrap();
        let named = specials(kimi, &Config::default()).unwrap();
        assert!(named.iter().any(|t| (t.id, t.text.as_str()) == (163_589, "<|reserved_token_163589|>")));
    }
}
