//! Syntax trees: code of seven grammars as one flat table of nodes, and questions that rules ask of it.

mod constants;
mod facts;
mod flow;
mod inert;
mod tree;
mod vocabulary;
mod work;

pub(crate) use facts::Call;
pub(crate) use flow::Flow;
pub(crate) use inert::Inert;
pub(crate) use tree::{MAX_BYTES, NodeId, Outcome, Tree};
pub(crate) use vocabulary::{Field, Grammar, Role};
pub(crate) use work::within;
