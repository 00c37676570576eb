//! Tokens with a role: which ids begin, end, pad; which ones end a reply.

use torchless_base::TokenId;

use crate::vocab::{Kind, Vocab};

/// Ids with a special role; `None` where the model has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// Begins a text.
    pub bos: Option<TokenId>,
    /// Ends a text.
    pub eos: Option<TokenId>,
    /// Ends a turn.
    pub eot: Option<TokenId>,
    /// Ends a message that a tool will answer.
    pub eom: Option<TokenId>,
    /// Stands for what the vocabulary cannot write.
    pub unk: Option<TokenId>,
    /// Fills up batches.
    pub pad: Option<TokenId>,
}

/// Names of control tokens that end a reply in the models that have them.
const END_NAMES: &[&str] = &[
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<|END_OF_TURN_TOKEN|>",
    "<｜end▁of▁sentence｜>",
    "<turn|>",
    "</s>",
    "<eos>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
];

/// All ids that end a reply: those with such a role, and control tokens with such a name.
pub(crate) fn end_ids(vocab: &Vocab, special: SpecialIds, more: &[u32]) -> Vec<TokenId> {
    let roles = [special.eos, special.eot, special.eom].into_iter().flatten();
    let mut ids: Vec<TokenId> = roles.chain(more.iter().copied().map(TokenId)).collect();
    let control = |name: &str| {
        let is_it = |&(_, text, kind): &(u32, &[u8], Kind)| kind == Kind::Control && text == name.as_bytes();
        vocab.iter().find(is_it).map(|(id, ..)| TokenId(id))
    };
    let named: Vec<(&str, TokenId)> =
        END_NAMES.iter().filter_map(|&name| control(name).map(|id| (name, id))).collect();
    let has = |wanted: &str| named.iter().any(|(name, _)| *name == wanted);
    // Where replies end in <|return|> or <|call|>, <|end|> only ends one of several messages.
    let inner_end = has("<|return|>") && has("<|call|>");
    ids.extend(named.iter().filter(|(name, _)| !(inner_end && *name == "<|end|>")).map(|(_, id)| *id));
    ids.sort_unstable_by_key(|id| id.0);
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(names: &[&str], special: SpecialIds) -> Vec<u32> {
        let mut vocab = Vocab::new(names.iter().map(|name| name.as_bytes().to_vec()).collect()).unwrap();
        (0..names.len()).for_each(|id| vocab.set_kind(id as u32, Kind::Control));
        end_ids(&vocab, special, &[]).iter().map(|id| id.0).collect()
    }

    #[test]
    fn roles_and_known_names_end_a_reply() {
        let special = SpecialIds { eos: Some(TokenId(0)), ..SpecialIds::default() };
        assert_eq!(ends(&["x", "<|im_start|>", "<|im_end|>"], special), [0, 2]);
    }

    #[test]
    fn the_inner_end_of_a_message_ends_no_reply() {
        assert_eq!(ends(&["<|end|>", "<|return|>", "<|call|>"], SpecialIds::default()), [1, 2]);
        assert_eq!(ends(&["<|end|>"], SpecialIds::default()), [0]);
    }
}
