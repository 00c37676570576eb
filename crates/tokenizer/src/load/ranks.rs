//! Tokenizers from lists of byte strings in the order of their merging, as tiktoken and tekken files hold them.

use std::collections::HashMap;

use torchless_base::TokenId;

use super::{byte_level_bytes, pattern};
use crate::added::{AddedToken, AddedTokens};
use crate::alphabet;
use crate::decode::{Decoder, Start};
use crate::error::excerpt;
use crate::model::{Affixes, Bpe, BpeParts, Merges, Model, Unknown};
use crate::normalize::Normalizer;
use crate::postprocess::PostProcessor;
use crate::pretokenize::{Behavior, Delimiter, PreTokenizer, Splitter};
use crate::special::end_ids;
use crate::tokenizer::Parts;
use crate::vocab::{Kind, Vocab};
use crate::{SpecialIds, Tokenizer, TokenizerError};

/// What a tokenizer of ranks is made from.
#[derive(Debug)]
pub(super) struct RankParts<'a> {
    /// Which file, for errors.
    pub(super) file: &'static str,
    /// Name of the splitting, for people.
    pub(super) name: &'a str,
    pub(super) pattern: &'a str,
    pub(super) normalizer: Normalizer,
    /// Byte strings with their ids; the lower the id, the earlier it is merged.
    pub(super) tokens: Vec<(Vec<u8>, u32)>,
    /// Further tokens, found as a whole.
    pub(super) added: Vec<AddedToken>,
    /// Names of BOS, EOS, padding and unknown, where there are such.
    pub(super) roles: [Option<&'a str>; 4],
    /// BOS goes before each text.
    pub(super) adds_bos: bool,
}

/// A byte that is no token: texts with it could not be written down.
pub(super) fn lacking_byte(tokens: &[(Vec<u8>, u32)]) -> Option<u8> {
    let mut there = [false; 256];
    for (bytes, _) in tokens {
        if let [byte] = bytes[..] {
            there[usize::from(byte)] = true;
        }
    }
    (0..=255).find(|byte| !there[usize::from(*byte)])
}

pub(super) fn assemble(parts: RankParts<'_>) -> Result<Tokenizer, TokenizerError> {
    let written = parts.tokens.iter().map(|(bytes, id)| (alphabet::of_bytes(bytes), *id));
    // A special token may be called like a string of bytes; its bytes are then out of reach for texts.
    let named = parts.added.iter().map(|token| (token.text.clone(), token.id));
    let mut vocab = Vocab::from_pairs(written.chain(named).collect())?;
    let mut seen = HashMap::with_capacity(parts.tokens.len());
    for (bytes, id) in &parts.tokens {
        if let Some(first) = seen.insert(bytes.as_slice(), *id) {
            return Err(TokenizerError::Duplicate { token: excerpt(bytes), first, second: *id });
        }
    }
    for token in &parts.added {
        vocab.set_kind(token.id, if token.special { Kind::Control } else { Kind::UserDefined });
    }
    let role = |place: usize| {
        let name = parts.roles[place]?;
        parts.added.iter().find(|token| token.text == name).map(|token| TokenId(token.id))
    };
    let special =
        SpecialIds { bos: role(0), eos: role(1), pad: role(2), unk: role(3), ..SpecialIds::default() };
    if let Some(TokenId(id)) = special.unk {
        vocab.set_kind(id, Kind::Unknown);
    }
    let model = Model::Bpe(Bpe::new(&BpeParts {
        vocab: &vocab,
        merges: Merges::ById,
        affixes: Affixes::default(),
        byte_level: true,
        byte_fallback: false,
        unknown: Unknown { id: special.unk.map(|id| id.0), fuse: false },
        ignore_merges: true,
    })?);
    let bytes = vocab.iter().map(|(_, text, kind)| match kind {
        Kind::Normal => byte_level_bytes(text),
        _ => text.to_vec(),
    });
    let delimiter = Delimiter::Pattern(Box::new(pattern(parts.file, parts.pattern)?));
    let splitters = vec![
        Splitter::Split { delimiter, behavior: Behavior::Isolated, invert: false },
        Splitter::ByteLevel { add_prefix_space: false, pattern: None },
    ];
    Ok(Tokenizer::new(Parts {
        kind: "byte-level BPE",
        pre_split: Some(parts.name.to_owned()),
        added: AddedTokens::new(&parts.added, &parts.normalizer)?,
        normalizer: parts.normalizer,
        normalizes_to_bytes: false,
        wants_byte_chars: false,
        pre_tokenizer: PreTokenizer(splitters),
        model,
        decoder: Decoder::new(bytes, Start::KEEP),
        post: PostProcessor::ends(special.bos.filter(|_| parts.adds_bos), None),
        special,
        end: end_ids(&vocab, special, &[]),
        vocab,
    }))
}
