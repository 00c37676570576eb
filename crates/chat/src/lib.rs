//! Conversations: what a model sees of them, and what its replies say.
//!
//! [`ChatTemplate`] renders a [`Conversation`] to a [`RenderedPrompt`], whose parts say what may become a control
//! token. It sees no tensors, no tokens and no files; what time it is, is an argument.

#![forbid(unsafe_code)]

mod builtin;
mod conversation;
mod data;
mod jinja;
mod template;

pub use builtin::{BUILTINS, Builtin, builtin, builtin_for};
pub use conversation::{Conversation, ConversationError};
pub use data::{Data, DataError, MAX_JSON};
pub use jinja::{CivilTime, Kind, TemplateError};
pub use template::{ChatTemplate, Part, RenderOptions, RenderedPrompt};
