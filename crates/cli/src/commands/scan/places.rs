//! From bytes of a text to lines and columns.

use torchless::firewall::Finding;

/// A line and a column, both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// Where something begins, and where it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub start: Position,
    pub end: Position,
}

/// Where findings stand, in one pass over the text however many there are; those in calls of tools and fields, or in a whole message, stand nowhere in it.
pub fn places(text: &str, findings: &[Finding]) -> Vec<Option<Place>> {
    let edges = findings.iter().flat_map(|finding| [finding.span.start, finding.span.end]);
    let found = positions(text, &edges.collect::<Vec<_>>());
    let places = found.chunks_exact(2).map(|edge| Place { start: edge[0], end: edge[1] });
    findings.iter().zip(places).map(|(finding, place)| (!finding.is_beside_text()).then_some(place)).collect()
}

/// The position of each byte; of one beyond the end, that of the end. A byte order mark is no character of its line (SARIF 2.1.0, 3.30.2).
fn positions(text: &str, bytes: &[usize]) -> Vec<Position> {
    let mut order: Vec<usize> = (0..bytes.len()).collect();
    order.sort_by_key(|i| bytes[*i]);
    let mut now = Position { line: 1, column: 1 };
    let mut found = vec![now; bytes.len()];
    let mut characters = text.char_indices().peekable();
    for i in order {
        while let Some((at, c)) = characters.next_if(|(at, _)| *at < bytes[i]) {
            now = match (at, c) {
                (_, '\n') => Position { line: now.line + 1, column: 1 },
                (0, '\u{feff}') => now,
                _ => Position { column: now.column + 1, ..now },
            };
        }
        found[i] = now;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let text = "é1\n\nab";
        let of = |byte: usize| {
            let found = positions(text, &[text.len(), byte])[1];
            (found.line, found.column)
        };
        assert_eq!([0, 2, 3, 4, 5, 6].map(of), [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (3, 2)]);
        assert_eq!([of(text.len()), of(99)], [(3, 3), (3, 3)]);
        assert_eq!(positions("\u{feff}ab", &[4])[0], Position { line: 1, column: 2 });
    }
}
