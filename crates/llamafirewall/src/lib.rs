//! Firewall for language models: the scanners, and the policies that put them in place.
//!
//! Everything of `llamafirewall-core` is here too, so that applications name one crate.

#![forbid(unsafe_code)]

mod builtin;

pub use builtin::registry;

pub use llamafirewall_core::*;
