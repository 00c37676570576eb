//! A tokenizer from the header of a native `.bin` file: BPE over characters with space signs and byte tokens,
//! as Mistral 7B has it.

use torchless_base::TokenId;

use super::{signed_bytes, space_signs};
use crate::added::{AddedToken, AddedTokens};
use crate::decode::{Decoder, Start};
use crate::model::{Affixes, Bpe, BpeParts, Merges, Model, Unknown};
use crate::postprocess::PostProcessor;
use crate::pretokenize::PreTokenizer;
use crate::special::end_ids;
use crate::tokenizer::Parts;
use crate::vocab::{Kind, Vocab};
use crate::{SpecialIds, Tokenizer, TokenizerError};

impl Tokenizer {
    /// Makes a tokenizer from texts with their ids and merges in the order of their rank. `<s>`, `</s>` and
    /// `<unk>` are its control tokens; `<s>`, if there is one, begins every text.
    ///
    /// # Errors
    /// Ids or texts that stand twice, ids far beyond the number of texts, merges of what is not a token.
    pub fn from_native(
        vocab: impl IntoIterator<Item = (String, u32)>,
        merges: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, TokenizerError> {
        let mut vocab = Vocab::from_pairs(vocab.into_iter().collect())?;
        vocab.mark_byte_tokens();
        let merges: Vec<_> = merges.into_iter().collect();
        let index = vocab.index()?;
        let named = |name: &str| index.get(name.as_bytes()).copied().map(TokenId);
        let special = SpecialIds {
            bos: named("<s>"),
            eos: named("</s>"),
            unk: named("<unk>"),
            ..SpecialIds::default()
        };
        drop(index);

        let mut added = Vec::new();
        for (id, kind) in
            [(special.bos, Kind::Control), (special.eos, Kind::Control), (special.unk, Kind::Unknown)]
        {
            let Some(TokenId(id)) = id else { continue };
            vocab.set_kind(id, kind);
            let text = String::from_utf8_lossy(vocab.text(id).unwrap_or_default()).into_owned();
            added.push(AddedToken { id, text, special: true, ..AddedToken::default() });
        }
        let normalizer = space_signs(true);
        let model = Model::Bpe(Bpe::new(&BpeParts {
            vocab: &vocab,
            merges: Merges::Listed(&merges),
            affixes: Affixes::default(),
            byte_level: false,
            byte_fallback: true,
            unknown: Unknown { id: special.unk.map(|id| id.0), fuse: true },
            ignore_merges: false,
        })?);
        Ok(Self::new(Parts {
            kind: "BPE with byte fallback",
            pre_split: Some("Metaspace".to_owned()),
            added: AddedTokens::new(&added, &normalizer)?,
            normalizer,
            normalizes_to_bytes: false,
            wants_byte_chars: false,
            pre_tokenizer: PreTokenizer::default(),
            model,
            decoder: Decoder::new(signed_bytes(&vocab), Start::Strip { byte: b' ', count: 1 }),
            post: PostProcessor::ends(special.bos, None),
            special,
            end: end_ids(&vocab, special, &[]),
            vocab,
        }))
    }
}
