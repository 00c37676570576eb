//! Where values from outside flow within one function: from sources through names to sinks.

use std::collections::HashSet;

use super::facts::Bound;
use super::tree::{NodeId, Tree};
use super::vocabulary::{Field, Role};

/// What counts as untrusted and what makes it safe. A name keeps what it was given until it is given something else, whatever happens.
pub(crate) struct Flow<'a> {
    /// Expressions whose value is untrusted.
    pub is_source: &'a dyn Fn(NodeId) -> bool,
    /// Expressions whose value is safe whatever went in.
    pub is_safe: &'a dyn Fn(NodeId) -> bool,
}

/// A part of the code that may not run, and what is untrusted if it does not.
struct Branch<'t> {
    /// One past its last node.
    end: NodeId,
    /// Whether another runs in its stead.
    has_other: bool,
    names: HashSet<&'t str>,
}

/// Answers whether something untrusted is in an expression.
pub(crate) type IsTainted<'a> = dyn Fn(NodeId) -> bool + 'a;

/// What may not run, wherever it stands.
const OPTIONAL: [&str; 6] = [
    "catch_clause",
    "lambda_expression",
    "switch_block_statement_group",
    "switch_expression_arm",
    "switch_rule",
    "switch_section",
];

impl Tree<'_> {
    /// Calls `sink` for every node of a function with a question: is something untrusted in this expression?
    pub(crate) fn follow(
        &self,
        function: NodeId,
        flow: &Flow<'_>,
        sink: &mut dyn FnMut(NodeId, &IsTainted<'_>),
    ) {
        let mut tainted: HashSet<&str> = HashSet::new();
        let mut branches: Vec<Branch<'_>> = Vec::new();
        let mut pending: Vec<(NodeId, &str, bool)> = Vec::new();
        for id in self.within(function) {
            pending.retain(|&(from, name, is_tainted)| {
                if from <= id {
                    if is_tainted {
                        tainted.insert(name)
                    } else {
                        tainted.remove(name)
                    };
                }
                from > id
            });
            self.leave(&mut branches, id, &mut tainted);
            if let Some(has_other) = self.is_optional(id) {
                self.spend(0..tainted.len() as NodeId);
                branches.push(Branch { end: self.node(id).last, has_other, names: tainted.clone() });
            }
            if let Some((name, bound)) = self.bound_at.get(&id).copied() {
                let is_tainted = match bound {
                    Bound::To(value) => self.is_tainted(value, flow, &tainted),
                    Bound::From(value) => tainted.contains(name) || self.is_tainted(value, flow, &tainted),
                    Bound::Unknown => continue,
                };
                let effective = if self.role(id) == Role::ForEach { id + 1 } else { self.node(id).last };
                pending.push((effective, name, is_tainted));
            }
            sink(id, &|expression| self.is_tainted(expression, flow, &tainted));
        }
    }

    /// Ends the branches before a node: what either way leaves untrusted is so from there on.
    fn leave<'a>(&self, branches: &mut Vec<Branch<'a>>, id: NodeId, tainted: &mut HashSet<&'a str>) {
        while let Some(mut branch) = branches.pop_if(|branch| branch.end <= id) {
            self.spend(0..branch.names.len() as NodeId);
            if branch.has_other {
                std::mem::swap(tainted, &mut branch.names);
                // The other is the last part of the statement that has both.
                let end = self.node(self.node(branch.end).parent).last;
                branches.push(Branch { end, has_other: false, ..branch });
            } else {
                tainted.extend(branch.names);
            }
        }
    }

    /// Whether a node may not run; and if so, whether another runs in its stead.
    fn is_optional(&self, id: NodeId) -> Option<bool> {
        let parent = self.node(id).parent;
        let is_optional = match (self.kind(parent), self.kind(id)) {
            ("if_statement" | "conditional_expression" | "ternary_expression", _) => {
                let has_other = || self.child(parent, Field::Alternative).is_some();
                return (self.node(id).field == Field::Consequence).then(has_other);
            }
            ("for_statement" | "enhanced_for_statement" | "foreach_statement" | "while_statement", _) => {
                self.node(id).last == self.node(parent).last
            }
            ("try_statement" | "try_with_resources_statement", "block") => {
                self.children(parent).any(|part| self.kind(part) == "catch_clause")
            }
            (_, kind) => OPTIONAL.contains(&kind),
        };
        is_optional.then_some(false)
    }

    fn is_tainted(&self, expression: NodeId, flow: &Flow<'_>, tainted: &HashSet<&str>) -> bool {
        let mut range = self.within(expression);
        while let Some(id) = range.next() {
            if (flow.is_safe)(id) {
                range = self.node(id).last.max(range.start)..range.end;
            } else if (flow.is_source)(id) || (self.is_variable(id) && tainted.contains(self.text(id))) {
                return true;
            }
        }
        false
    }
}
