//! Firewall core: admission of conversations; knows no models and no network.
//!
//! Whatever reaches a model has passed [`Firewall::admit`]: [`Admitted`] has no other constructor. Today there is
//! one policy, [`Firewall::open`], which lets everything through and says so.

#![forbid(unsafe_code)]

mod admission;
mod message;

pub use admission::{Admitted, Content, Firewall, Refusal};
pub use message::{Message, Role};
