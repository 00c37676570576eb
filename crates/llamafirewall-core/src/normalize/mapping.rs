//! From places in a rewritten text back to places in the text that it was made of.

use std::ops::Range;

/// How a text came from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mapping {
    /// Piece by piece, in order.
    Pieces(Vec<Piece>),
    /// Every character of a text of so many bytes, from the last to the first.
    Reversed(usize),
}

/// A piece of a rewritten text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Where it begins.
    at: u32,
    /// Where what it came from begins.
    original: u32,
    /// Bytes that it replaces; 0 for a piece that is copied byte for byte.
    replaces: u32,
}

impl Mapping {
    /// Where `span` of the rewritten text came from. What was left out between two pieces belongs to a span that
    /// reaches over it.
    pub fn original(&self, span: Range<usize>) -> Range<usize> {
        match self {
            Mapping::Reversed(len) => len - span.end..len - span.start,
            Mapping::Pieces(pieces) if span.is_empty() => {
                let at = begin(pieces, span.start);
                at..at
            }
            Mapping::Pieces(pieces) => begin(pieces, span.start)..end(pieces, span.end - 1),
        }
    }
}

impl Mapping {
    /// Places of a rewritten text of `length` bytes that are not as they came: what replaces something, and where something was left out
    /// (an empty place). Of a text that was turned round, all of it.
    pub fn changed(&self, length: usize) -> Vec<Range<usize>> {
        let Mapping::Pieces(pieces) = self else { return std::iter::once(0..length).collect() };
        let mut changed: Vec<Range<usize>> = Vec::new();
        let mut reached = 0;
        for (i, piece) in pieces.iter().enumerate() {
            let at = piece.at as usize;
            let end = pieces.get(i + 1).map_or(length, |next| next.at as usize);
            let place = match piece.replaces {
                0 if piece.original as usize == reached => None,
                0 => Some(at..at),
                _ => Some(at..end),
            };
            reached = piece.original as usize
                + if piece.replaces == 0 { end - at } else { piece.replaces as usize };
            match (changed.last_mut(), place) {
                (Some(last), Some(place)) if last.end == place.start => last.end = place.end,
                (_, place) => changed.extend(place),
            }
        }
        changed
    }
}

fn piece(pieces: &[Piece], at: usize) -> Piece {
    let next = pieces.partition_point(|piece| piece.at as usize <= at);
    pieces.get(next.wrapping_sub(1)).copied().unwrap_or(Piece { at: 0, original: 0, replaces: 0 })
}

fn begin(pieces: &[Piece], at: usize) -> usize {
    let piece = piece(pieces, at);
    let inside = if piece.replaces == 0 { at - piece.at as usize } else { 0 };
    piece.original as usize + inside
}

/// The end of what the byte `at` came from.
fn end(pieces: &[Piece], at: usize) -> usize {
    let piece = piece(pieces, at);
    let inside = if piece.replaces == 0 { at + 1 - piece.at as usize } else { piece.replaces as usize };
    piece.original as usize + inside
}

/// A text while it is rewritten, from front to back.
pub(super) struct Rewriting<'a> {
    source: &'a str,
    text: String,
    pieces: Vec<Piece>,
}

impl<'a> Rewriting<'a> {
    /// Nothing yet.
    pub fn of(source: &'a str) -> Self {
        Self { source, text: String::with_capacity(source.len()), pieces: Vec::new() }
    }

    /// What was written so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Takes back the last character of the line that is being written, if there is one.
    fn strike(&mut self) -> bool {
        if self.text.is_empty() || self.text.ends_with('\n') {
            return false;
        }
        self.text.pop();
        while self.pieces.last().is_some_and(|piece| piece.at as usize >= self.text.len()) {
            self.pieces.pop();
        }
        true
    }

    /// Copies bytes of the source.
    pub fn keep(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let goes_on = self.pieces.last().is_some_and(|last| {
            last.replaces == 0 && last.original as usize + self.text.len() - last.at as usize == range.start
        });
        if !goes_on {
            self.pieces.push(Piece { at: self.text.len() as u32, original: range.start as u32, replaces: 0 });
        }
        self.text.push_str(&self.source[range]);
    }

    /// Writes `text` for bytes of the source.
    pub fn replace(&mut self, range: Range<usize>, text: &str) {
        if text.is_empty() || range.is_empty() {
            return;
        }
        self.pieces.push(Piece {
            at: self.text.len() as u32,
            original: range.start as u32,
            replaces: range.len() as u32,
        });
        self.text.push_str(text);
    }

    /// The way back, for a text whose bytes stay where they are.
    pub fn into_mapping(self) -> Mapping {
        Mapping::Pieces(self.pieces)
    }

    /// The text and its way back, unless it is the source itself.
    pub fn finish(self) -> Option<(String, Mapping)> {
        (self.text != self.source).then_some((self.text, Mapping::Pieces(self.pieces)))
    }
}

/// What is changed here and there in a text, from front to back; the rest is kept. Nothing is copied before the first change.
pub(super) struct Edits<'a> {
    source: &'a str,
    rewriting: Option<Rewriting<'a>>,
    /// How far the source was kept or written for.
    kept: usize,
}

impl<'a> Edits<'a> {
    /// Nothing yet.
    pub fn of(source: &'a str) -> Self {
        Self { source, rewriting: None, kept: 0 }
    }

    /// What comes before `range`, with all of it kept.
    fn before(&mut self, range: &Range<usize>) -> &mut Rewriting<'a> {
        let rewriting = self.rewriting.get_or_insert_with(|| Rewriting::of(self.source));
        rewriting.keep(self.kept..range.start);
        self.kept = range.end;
        rewriting
    }

    /// Writes `text` for bytes of the source, which is nothing where they are left out.
    pub fn replace(&mut self, range: Range<usize>, text: &str) {
        self.before(&range).replace(range, text);
    }

    /// The same for one character.
    pub fn replace_by(&mut self, range: Range<usize>, c: char) {
        self.replace(range, c.encode_utf8(&mut [0; 4]));
    }

    /// Leaves out what stands at `range`, and the character that was kept or written before it, if it is of the same line; otherwise
    /// nothing is changed.
    pub fn strike(&mut self, range: Range<usize>) {
        let from = range.start..range.start;
        if self.before(&from).strike() {
            self.kept = range.end;
        }
    }

    /// The text and its way back, unless it is the source itself.
    pub fn finish(self) -> Option<(String, Mapping)> {
        let mut rewriting = self.rewriting?;
        rewriting.keep(self.kept..self.source.len());
        rewriting.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_go_back_to_what_they_came_from() {
        let source = "ab<hidden>cde";
        let mut rewriting = Rewriting::of(source);
        rewriting.keep(0..2);
        rewriting.replace(10..11, "XYZ");
        rewriting.keep(11..13);
        let (text, mapping) = rewriting.finish().expect("it changed");
        assert_eq!(text, "abXYZde");
        assert_eq!(mapping.original(0..2), 0..2);
        assert_eq!(mapping.original(1..3), 1..11);
        assert_eq!(mapping.original(3..4), 10..11);
        assert_eq!(mapping.original(5..7), 11..13);
    }

    #[test]
    fn what_changed_is_known() {
        let mut rewriting = Rewriting::of("ab<hidden>cde");
        rewriting.keep(0..2);
        rewriting.keep(10..11);
        rewriting.replace(11..12, "X");
        rewriting.replace(12..13, "YZ");
        let (text, mapping) = rewriting.finish().expect("it changed");
        assert_eq!(text, "abcXYZ");
        assert_eq!(mapping.changed(text.len()), [2..2, 3..6]);
        assert_eq!(Mapping::Reversed(4).changed(4).first(), Some(&(0..4)));
    }

    #[test]
    fn characters_are_taken_back() {
        let mut edits = Edits::of("ab\nc<é>-+*xy");
        edits.replace(4..8, "é");
        (8..11).for_each(|at| edits.strike(at..at + 1));
        let (text, mapping) = edits.finish().expect("it changed");
        assert_eq!(text, "ab\n*xy");
        assert_eq!([mapping.original(0..3), mapping.original(3..6)], [0..3, 10..13]);
    }

    #[test]
    fn what_is_kept_changes_nothing() {
        let mut edits = Edits::of("\nsame");
        edits.strike(1..2);
        edits.replace(2..3, "a");
        assert_eq!(edits.finish(), None);
        assert_eq!(Edits::of("same").finish(), None);
    }

    #[test]
    fn reversed_spans_are_counted_from_the_end() {
        assert_eq!(Mapping::Reversed(10).original(0..3), 7..10);
    }

    #[test]
    fn what_did_not_change_is_no_form_of_its_own() {
        let mut rewriting = Rewriting::of("same");
        rewriting.keep(0..2);
        rewriting.keep(2..4);
        assert_eq!(rewriting.finish(), None);
    }
}
