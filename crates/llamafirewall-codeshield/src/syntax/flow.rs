//! Where values from outside flow within one function: from sources through names to sinks.

use std::collections::HashSet;

use super::facts::Bound;
use super::tree::{NodeId, Tree};
use super::vocabulary::Role;

/// What counts as untrusted and what makes it safe. A name keeps what it was given until it is given something else.
pub(crate) struct Flow<'a> {
    /// Expressions whose value is untrusted.
    pub is_source: &'a dyn Fn(NodeId) -> bool,
    /// Expressions whose value is safe whatever went in.
    pub is_safe: &'a dyn Fn(NodeId) -> bool,
}

/// Answers whether something untrusted is in an expression.
pub(crate) type IsTainted<'a> = dyn Fn(NodeId) -> bool + 'a;

impl Tree<'_> {
    /// Calls `sink` for every node of a function with a question: is something untrusted in this expression?
    pub(crate) fn follow(
        &self,
        function: NodeId,
        flow: &Flow<'_>,
        sink: &mut dyn FnMut(NodeId, &IsTainted<'_>),
    ) {
        let mut tainted: HashSet<&str> = HashSet::new();
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
