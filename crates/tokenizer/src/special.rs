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

/// Names of control tokens that end a reply in the models that have them. The last three end what Qwen's models for code fill in.
const END_NAMES: &[&str] = &[
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<|END_OF_TURN_TOKEN|>",
    "<｜end▁of▁sentence｜>",
    "<turn|>",
    "<|tool_response>",
    "[e~[",
    "</s>",
    "<eos>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
];

/// What else stands around turns in the usual formats of conversations.
const TURN_NAMES: &[&str] = &[
    "<|im_start|>",
    "<|im_sep|>",
    "<|im_system|>",
    "<|im_user|>",
    "<|im_assistant|>",
    "<|im_middle|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|header_start|>",
    "<|header_end|>",
    "<start_of_turn>",
    "<|turn>",
    "<|start_of_role|>",
    "<|end_of_role|>",
    "<|START_OF_TURN_TOKEN|>",
    "<|SYSTEM_TOKEN|>",
    "<|USER_TOKEN|>",
    "<|CHATBOT_TOKEN|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<|end_of_turn|>",
    "<|eot|>",
    "<｜User｜>",
    "<｜Assistant｜>",
];

/// An end of a text to some models, and to Gemma's the end of what HTML strikes through.
const ALSO_TEXT: &str = "</s>";

/// Whether a token of this name can only be markup of conversations, so that it is control whatever kind a file gives it: otherwise a
/// user's text could end his turn and begin another's.
pub(crate) fn is_turn_markup(name: &[u8]) -> bool {
    // Most tokens are none: they need not be compared with all names.
    matches!(name.first(), Some(b'<' | b'[' | b'_'))
        && END_NAMES.iter().chain(TURN_NAMES).any(|known| known.as_bytes() == name && *known != ALSO_TEXT)
}

/// Makes control tokens of those that a file should have called so: markup of conversations by its name, and of what was added as a whole
/// that which ends a reply.
pub(crate) fn settle_kinds(vocab: &mut Vocab, special: SpecialIds) {
    let plain = |kind| matches!(kind, Kind::Normal | Kind::UserDefined | Kind::Unused);
    let named = vocab.iter().filter(|(_, text, kind)| plain(*kind) && is_turn_markup(text));
    let ends = [special.eos, special.eot, special.eom].into_iter().flatten().map(|id| id.0);
    let added = ends.filter(|id| vocab.kind(*id) == Kind::UserDefined);
    let ids: Vec<u32> = named.map(|(id, ..)| id).chain(added).collect();
    ids.into_iter().for_each(|id| vocab.set_kind(id, Kind::Control));
}

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
    // Where replies end in <|return|> or <|call|> (Solar's in <|flush|> or <|calls|>), <|end|> only ends one of several messages.
    let inner_end = has("<|return|>") && has("<|call|>") || has("<|flush|>") && has("<|calls|>");
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
        assert_eq!(ends(&["<|end|>", "<|flush|>", "<|calls|>"], SpecialIds::default()), [1, 2]);
        assert_eq!(ends(&["<|end|>"], SpecialIds::default()), [0]);
    }

    #[test]
    fn markup_of_conversations_is_control_whatever_a_file_says() {
        let names = ["<|im_start|>", "<|im_end|>", "</s>", "<b>", "<end>", "\n\n", "[EOT]"];
        let mut vocab = Vocab::new(names.iter().map(|name| name.as_bytes().to_vec()).collect()).unwrap();
        [0, 2, 4].into_iter().for_each(|id| vocab.set_kind(id, Kind::UserDefined));
        let special = SpecialIds { eos: Some(TokenId(4)), eot: Some(TokenId(5)), ..SpecialIds::default() };
        settle_kinds(&mut vocab, special);
        let control: Vec<u32> =
            vocab.iter().filter(|(.., kind)| *kind == Kind::Control).map(|(id, ..)| id).collect();
        assert_eq!(control, [0, 1, 4, 6], "line ends stay text though they end a turn, as in RWKV's files");
        assert_eq!(end_ids(&vocab, special, &[]).iter().map(|id| id.0).collect::<Vec<_>>(), [1, 4, 5, 6]);
    }
}
