//! A trie over the bytes of tokens: finds all tokens that begin at a place in one walk.

use super::NONE;
use crate::TokenizerError;

/// Longest token in bytes; a walk costs at most this per byte of text.
const MAX_BYTES: usize = 1024;
/// Most nodes; the largest known vocabularies make about two million.
const MAX_NODES: usize = 1 << 24;
/// Nodes with at least so many children get a table by byte.
const DENSE: usize = 24;

/// A place in a [`Trie`].
pub(super) type NodeId = u32;

/// All tokens of a vocabulary by their bytes.
#[derive(Debug, Clone)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    /// The byte that leads to each node.
    labels: Vec<u8>,
    tables: Vec<[NodeId; 256]>,
}

/// The children of a node stand side by side, in the order of their labels.
#[derive(Debug, Clone, Copy)]
struct Node {
    first: NodeId,
    count: u16,
    token: u32,
    table: u32,
}

impl Trie {
    pub(super) const ROOT: NodeId = 0;

    /// Builds from texts with their ids; of equal texts the last counts.
    ///
    /// # Errors
    /// A text that is too long, or too many of them.
    pub(super) fn new<'t>(tokens: impl Iterator<Item = (&'t [u8], u32)>) -> Result<Self, TokenizerError> {
        let mut tokens: Vec<_> = tokens.filter(|(text, _)| !text.is_empty()).collect();
        if let Some((long, _)) = tokens.iter().find(|(text, _)| text.len() > MAX_BYTES) {
            let what = "bytes of a token that is matched as a whole";
            return Err(TokenizerError::TooMany { what, found: long.len(), limit: MAX_BYTES });
        }
        tokens.sort_unstable();
        let mut trie = Self { nodes: vec![Node::EMPTY], labels: vec![0], tables: Vec::new() };
        // Stretches of `tokens` that share the bytes up to a node, in the order of the nodes.
        let mut stretches = vec![(0, tokens.len())];
        let mut depths = vec![0];
        let mut at = 0;
        while at < trie.nodes.len() {
            let ((mut begin, end), depth) = (stretches[at], depths[at]);
            trie.nodes[at].first = trie.nodes.len() as NodeId;
            while begin < end {
                let (text, id) = tokens[begin];
                let Some(&label) = text.get(depth) else {
                    trie.nodes[at].token = id;
                    begin += 1;
                    continue;
                };
                let same = |&(text, _): &(&[u8], u32)| text[depth] == label;
                let len = tokens[begin..end].partition_point(same);
                trie.add_child(at, label)?;
                stretches.push((begin, begin + len));
                depths.push(depth + 1);
                begin += len;
            }
            at += 1;
        }
        trie.fill_tables();
        Ok(trie)
    }

    fn add_child(&mut self, parent: usize, label: u8) -> Result<(), TokenizerError> {
        if self.nodes.len() >= MAX_NODES {
            let what = "prefixes of tokens";
            return Err(TokenizerError::TooMany { what, found: self.nodes.len() + 1, limit: MAX_NODES });
        }
        self.nodes[parent].count += 1;
        self.nodes.push(Node::EMPTY);
        self.labels.push(label);
        Ok(())
    }

    fn fill_tables(&mut self) {
        for at in 0..self.nodes.len() {
            let Node { first, count, .. } = self.nodes[at];
            if usize::from(count) < DENSE {
                continue;
            }
            let mut table = [NONE; 256];
            (first..first + NodeId::from(count))
                .for_each(|child| table[self.labels[child as usize] as usize] = child);
            self.nodes[at].table = self.tables.len() as u32;
            self.tables.push(table);
        }
    }

    /// The child of `node` for `byte`.
    #[inline]
    pub(super) fn step(&self, node: NodeId, byte: u8) -> Option<NodeId> {
        let Node { first, count, table, .. } = self.nodes[node as usize];
        if table != NONE {
            return Some(self.tables[table as usize][byte as usize]).filter(|&child| child != NONE);
        }
        let labels = &self.labels[first as usize..][..count.into()];
        labels.iter().position(|&label| label == byte).map(|place| first + place as NodeId)
    }

    /// Where `text` leads to from `node`.
    pub(super) fn descend(&self, node: NodeId, text: &[u8]) -> Option<NodeId> {
        text.iter().try_fold(node, |node, &byte| self.step(node, byte))
    }

    /// The token that ends at `node`.
    #[inline]
    pub(super) fn token(&self, node: NodeId) -> Option<u32> {
        Some(self.nodes[node as usize].token).filter(|&token| token != NONE)
    }

    /// All tokens at the start of `text` with their lengths, the shortest first.
    pub(super) fn prefixes(&self, text: &[u8]) -> impl Iterator<Item = (u32, usize)> {
        let mut node = Some(Self::ROOT);
        text.iter()
            .enumerate()
            .map_while(move |(at, &byte)| {
                node = self.step(node?, byte);
                Some((self.token(node?), at + 1))
            })
            .filter_map(|(token, len)| Some((token?, len)))
    }

    /// The longest token at the start of `text`, below `node`, with its length.
    pub(super) fn longest(&self, node: NodeId, text: &[u8]) -> Option<(u32, usize)> {
        let (mut node, mut best) = (node, None);
        for (at, &byte) in text.iter().enumerate() {
            let Some(next) = self.step(node, byte) else { break };
            node = next;
            best = self.token(node).map(|token| (token, at + 1)).or(best);
        }
        best
    }
}

impl Node {
    const EMPTY: Self = Self { first: 0, count: 0, token: NONE, table: NONE };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn the_longest_token_is_found() {
        let texts: [&[u8]; 4] = [b"a", b"abc", b"b", b""];
        let trie = Trie::new(texts.into_iter().zip(0..)).unwrap();
        assert_eq!(trie.longest(Trie::ROOT, b"abd"), Some((0, 1)));
        assert_eq!(trie.longest(Trie::ROOT, b"abcd"), Some((1, 3)));
        assert_eq!(trie.longest(Trie::ROOT, b"c"), None);
        let below = trie.descend(Trie::ROOT, b"ab").unwrap();
        assert_eq!(trie.longest(below, b"cc"), Some((1, 1)));
        assert_eq!(trie.descend(Trie::ROOT, b"ba"), None);
    }

    #[test]
    fn walks_find_what_a_search_through_all_finds() {
        let mut random = Random::new(5);
        for _ in 0..50 {
            let texts: Vec<Vec<u8>> = (0..random.below(300))
                .map(|_| (0..1 + random.below(4)).map(|_| random.below(60) as u8 * 3).collect())
                .collect();
            let trie = Trie::new(texts.iter().map(|text| text.as_slice()).zip(0..)).unwrap();
            for _ in 0..100 {
                let text: Vec<u8> = (0..random.below(8)).map(|_| random.below(60) as u8 * 3).collect();
                let found = trie.longest(Trie::ROOT, &text).map(|(_, len)| len);
                let want = texts.iter().filter(|token| text.starts_with(token)).map(Vec::len).max();
                assert_eq!(found, want);
            }
        }
    }

    #[test]
    fn a_token_that_costs_too_much_is_refused() {
        let long = [b'x'; MAX_BYTES + 1];
        let error = Trie::new([(&long[..], 0)].into_iter()).unwrap_err();
        assert!(error.to_string().contains("1025 is more than the limit of 1024"), "{error}");
    }
}
