//! The rules over syntax trees: one table per language, and the checks that its rows name.

mod c;
mod csharp;
mod csharp_flow;
mod java;
mod javascript;
pub(crate) mod needles;
mod python;

use crate::issue::Severity;
use crate::syntax::{NodeId, Tree};

/// One rule: what it is called, when it is worth parsing for, and how it looks for its issue.
pub(crate) struct TreeRule {
    /// Its name in the Python CodeShield.
    pub id: &'static str,
    pub cwe: &'static str,
    pub severity: Severity,
    pub message: &'static str,
    /// Words of which one stands in every code that the rule can find something in, some with what must follow ([`needles`]).
    pub needles: &'static [&'static str],
    /// Pushes the nodes at fault.
    pub check: fn(&Tree<'_>, &mut Vec<NodeId>),
}

pub(crate) use c::RULES as C;
pub(crate) use csharp::RULES as CSHARP;
pub(crate) use java::RULES as JAVA;
pub(crate) use javascript::RULES as JAVASCRIPT;
pub(crate) use python::RULES as PYTHON;
