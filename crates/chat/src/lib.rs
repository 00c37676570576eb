//! Conversations: what a model sees of them, and what its replies say.
//!
//! [`ChatTemplate`] renders a [`Conversation`] to a [`RenderedPrompt`], whose parts say what may become a control
//! token; [`ReplyParser`] takes replies apart; [`GrammarVocabulary`] holds them to a grammar. It sees no tensors and no
//! files, and what time it is, is an argument.

#![forbid(unsafe_code)]

mod builtin;
mod conversation;
mod data;
mod grammar;
mod integers;
mod jinja;
mod reply;
mod said;
mod template;

pub use builtin::{BUILTINS, Builtin, builtin, builtin_for};
pub use conversation::{Conversation, ConversationError};
pub use data::{Data, DataError, MAX_JSON};
pub use grammar::{
    AfterThinking, ChannelTokens, ForReader, Grammar, GrammarConstraint, GrammarError, GrammarVocabulary,
};
pub use jinja::{CivilTime, Kind, TemplateError};
pub use reply::{Beginning, Piece, ReplyFormat, ReplyParser, THINKING, Thinking, ToolCall, Tools};
pub use said::{Beside, Said, place_within, thought};
pub use template::{ChatTemplate, Part, RenderOptions, RenderedPrompt};
