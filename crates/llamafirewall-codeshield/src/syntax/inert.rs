//! Where code is none: comments, and the text of strings and of JSX. What is put into a string is code again.

use std::cmp::Reverse;
use std::ops::Range;

use super::tree::Node;
use super::vocabulary::Role;

/// From which byte on text is inert, or is code again, in the order of the text.
pub(crate) struct Inert(Vec<(usize, bool)>);

impl Inert {
    /// Of nodes and comments, each in the order of the text.
    pub(super) fn of(nodes: &[Node], comments: &[Range<usize>]) -> Self {
        let marked = nodes.iter().filter_map(|node| match node.role {
            Role::Str | Role::Template | Role::JsxText => {
                Some((node.start as usize..node.end as usize, true))
            }
            Role::Interpolation => Some((node.start as usize..node.end as usize, false)),
            _ => None,
        });
        let mut marked: Vec<_> = marked.chain(comments.iter().map(|place| (place.clone(), true))).collect();
        marked.sort_by_key(|(place, _)| (place.start, Reverse(place.end)));
        let mut changes = Vec::new();
        let mut open: Vec<(usize, bool)> = Vec::new();
        for (place, is_inert) in marked {
            close(&mut open, &mut changes, place.start);
            changes.push((place.start, is_inert));
            open.push((place.end, is_inert));
        }
        close(&mut open, &mut changes, usize::MAX);
        Self(changes)
    }

    /// Whether a byte belongs to a comment or to the text of a string.
    pub(crate) fn has(&self, at: usize) -> bool {
        let later = self.0.partition_point(|(from, _)| *from <= at);
        later.checked_sub(1).is_some_and(|last| self.0[last].1)
    }
}

/// Ends what ends at `at` or before.
fn close(open: &mut Vec<(usize, bool)>, changes: &mut Vec<(usize, bool)>, at: usize) {
    while let Some((end, _)) = open.pop_if(|(end, _)| *end <= at) {
        changes.push((end, open.last().is_some_and(|(_, is_inert)| *is_inert)));
    }
}
