//! What the distance of two tokens adds to their score: a bias per head, or products with embeddings of distances.

use super::halves::TableStrips;
use crate::lanes::WIDTH;
use std::ops::Range;
use std::sync::OnceLock;

/// A table over distances from `-reach` to `reach`, key position less query position.
pub struct Offsets {
    reach: usize,
    heads: usize,
    kind: Kind,
}

enum Kind {
    /// `[heads, 2 * reach + 1]`, added to the scaled score.
    Bias(Vec<f32>),
    /// Added to the score before it is scaled.
    Products {
        /// Values per head.
        dim: usize,
        /// Columns of the tables, padded.
        stride: usize,
        /// The column of each distance; ascending: the model's rows backwards.
        columns: Vec<u32>,
        /// The distances around 0, counted from `-reach`, whose columns follow each other.
        even: Range<usize>,
        /// `[heads, dim, stride]`: what queries are multiplied with.
        keys: Option<Vec<f32>>,
        /// The same for keys.
        queries: Option<Vec<f32>>,
        /// Both in bf16, made when they are first asked for.
        halves: OnceLock<[Option<TableStrips>; 2]>,
    },
}

/// Embeddings of distances as a model has them: rows `[rows, heads * dim]`.
#[derive(Clone, Copy, Debug)]
pub struct DistanceRows<'a> {
    /// Heads.
    pub heads: usize,
    /// Values per head.
    pub dim: usize,
    /// What queries are multiplied with: the score gets `q_i . keys[column(j - i)]`.
    pub keys: Option<&'a [f32]>,
    /// What keys are multiplied with: the score gets `k_j . queries[column(j - i)]`.
    pub queries: Option<&'a [f32]>,
    /// The row of each distance from `-reach` to `reach`; never ascending.
    pub columns: &'a [u32],
}

/// The columns that a text needs, and what is made of them.
#[derive(Clone, Copy, Default)]
pub(super) struct Pair {
    pub first: usize,
    pub width: usize,
    /// Values between two rows of products; apart from powers of two.
    pub stride: usize,
    pub by_query: bool,
    pub by_key: bool,
}

/// A head's table of embedded distances, from some column on.
pub(super) struct HeadTable<'a> {
    pub values: &'a [f32],
    pub stride: usize,
}

impl Offsets {
    /// Biases `[heads, 2 * reach + 1]`, the first for the key that is `reach` positions before the query.
    /// Panics where there is no odd number of them per head.
    pub fn bias(heads: usize, values: Vec<f32>) -> Self {
        let per_head = values.len() / heads.max(1);
        assert!(per_head % 2 == 1 && per_head * heads == values.len(), "{} biases", values.len());
        Self { reach: per_head / 2, heads, kind: Kind::Bias(values) }
    }

    /// Products with embedded distances, as in He et al. 2020, arXiv 2006.03654, eq. 4.
    /// Panics where lengths do not agree or columns ascend.
    pub fn products(rows: &DistanceRows<'_>) -> Self {
        let DistanceRows { heads, dim, columns, .. } = *rows;
        assert!(columns.len() % 2 == 1, "{} distances", columns.len());
        assert!(columns.windows(2).all(|w| w[0] >= w[1]), "rows of distances ascend");
        let count = columns.first().map_or(0, |&c| c as usize + 1);
        let stride = count.next_multiple_of(WIDTH);
        let table = |from: Option<&[f32]>| {
            from.map(|from| {
                assert!(from.len() >= count * heads * dim, "{} values for {count} distances", from.len());
                let mut to = vec![0.0; heads * dim * stride];
                for (row, column) in from.chunks_exact(heads * dim).zip((0..count).rev()) {
                    row.iter().zip(to.chunks_exact_mut(stride)).for_each(|(x, to)| to[column] = *x);
                }
                to
            })
        };
        let (keys, queries) = (table(rows.keys), table(rows.queries));
        let columns: Vec<u32> = columns.iter().map(|c| count as u32 - 1 - c).collect();
        let even = even_around(&columns, columns.len() / 2);
        let reach = columns.len() / 2;
        let kind = Kind::Products { dim, stride, columns, even, keys, queries, halves: OnceLock::new() };
        Self { reach, heads, kind }
    }

    /// Panics where a text of `n` tokens is too long, or heads are others.
    pub(super) fn check(&self, n: usize, heads: usize, dim: usize) {
        assert!(n <= self.reach + 1, "{n} tokens, offsets reach {}", self.reach);
        let same_dim = match &self.kind {
            Kind::Bias(_) => true,
            Kind::Products { dim: of, .. } => *of == dim,
        };
        assert!(self.heads == heads && same_dim, "offsets of other heads");
    }

    /// The distances from query `i` to the keys `seen`.
    fn distances(&self, i: usize, seen: &Range<usize>) -> Range<usize> {
        self.reach + seen.start - i..self.reach + seen.end - i
    }

    /// The columns of all distances within `n` tokens.
    pub(super) fn columns(&self, n: usize) -> Pair {
        let Kind::Products { columns, keys, queries, .. } = &self.kind else { return Pair::default() };
        let (least, most) = (columns[self.reach + 1 - n] as usize, columns[self.reach + n - 1] as usize);
        let first = least / WIDTH * WIDTH;
        let width = (most + 1 - first).next_multiple_of(WIDTH);
        Pair { first, width, stride: width + WIDTH, by_query: keys.is_some(), by_key: queries.is_some() }
    }

    /// Of those columns, the ones that some of these queries and some of these keys need, whole registers of them.
    pub(super) fn between(&self, pair: Pair, queries: &Range<usize>, keys: &Range<usize>) -> Range<usize> {
        let Kind::Products { columns, .. } = &self.kind else { return 0..0 };
        let least = columns[self.reach + keys.start + 1 - queries.end] as usize - pair.first;
        let most = columns[self.reach + keys.end - 1 - queries.start] as usize - pair.first;
        least / WIDTH * WIDTH..(most + 1).next_multiple_of(WIDTH)
    }

    /// The column of each key's distance from query `i`.
    pub(super) fn rows(&self, i: usize, seen: &Range<usize>) -> &[u32] {
        match &self.kind {
            Kind::Bias(_) => &[],
            Kind::Products { columns, .. } => &columns[self.distances(i, seen)],
        }
    }

    /// Those of the keys `seen` whose columns follow each other.
    pub(super) fn even(&self, i: usize, seen: &Range<usize>) -> Range<usize> {
        let Kind::Products { even, .. } = &self.kind else { return seen.end..seen.end };
        let key = |distance: usize| (distance + i).saturating_sub(self.reach).clamp(seen.start, seen.end);
        key(even.start)..key(even.end)
    }

    /// The bias of each key's distance from query `i`.
    pub(super) fn biases(&self, head: usize, i: usize, seen: &Range<usize>) -> Option<&[f32]> {
        match &self.kind {
            Kind::Bias(values) => Some(&values[head * (2 * self.reach + 1)..][self.distances(i, seen)]),
            Kind::Products { .. } => None,
        }
    }

    /// What queries and what keys are multiplied with, in bf16.
    pub(super) fn halves(&self) -> [Option<&TableStrips>; 2] {
        let Kind::Products { dim, stride, keys, queries, halves, .. } = &self.kind else { return [None; 2] };
        let strips = |table: &Option<Vec<f32>>| {
            table.as_ref().map(|table| TableStrips::new(table, (self.heads, *dim, *stride)))
        };
        halves.get_or_init(|| [strips(keys), strips(queries)]).each_ref().map(Option::as_ref)
    }

    /// What the queries of a head are multiplied with.
    pub(super) fn keys(&self, head: usize, pair: Pair) -> Option<HeadTable<'_>> {
        let Kind::Products { keys, .. } = &self.kind else { return None };
        self.table(keys.as_deref()?, head, pair)
    }

    /// What the keys of a head are multiplied with.
    pub(super) fn queries(&self, head: usize, pair: Pair) -> Option<HeadTable<'_>> {
        let Kind::Products { queries, .. } = &self.kind else { return None };
        self.table(queries.as_deref()?, head, pair)
    }

    fn table<'a>(&self, values: &'a [f32], head: usize, pair: Pair) -> Option<HeadTable<'a>> {
        let Kind::Products { dim, stride, .. } = self.kind else { return None };
        Some(HeadTable { values: &values[head * dim * stride..][pair.first..], stride })
    }
}

/// The stretch around `middle` in which each number is the one before plus 1.
fn even_around(columns: &[u32], middle: usize) -> Range<usize> {
    let follows = |i: &usize| columns[*i] == columns[*i - 1] + 1;
    let start = (1..=middle).rev().take_while(follows).last().map_or(middle, |i| i - 1);
    let end = (middle + 1..columns.len()).take_while(follows).last().map_or(middle + 1, |i| i + 1);
    start..end
}

impl std::fmt::Debug for Offsets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.kind {
            Kind::Bias(_) => "biases",
            Kind::Products { .. } => "products",
        };
        write!(f, "{kind} of {} heads over {} positions", self.heads, self.reach)
    }
}
