//! Cutting a text of any length into pieces that a model has room for, so that together they hold all of it.

use std::ops::Range;

/// Longest run of characters that is taken whole; longer ones are cut, for they may be more tokens than fit.
const LONGEST: usize = 64;
/// The part of a window that the next one shows again, as one in so many.
const OVERLAP: usize = 4;

/// Byte ranges that cover `text` and overlap by about a quarter. `count` says how many tokens a piece of the text is;
/// the pieces of a window add up to at most `room`.
pub(crate) fn windows(text: &str, room: usize, mut count: impl FnMut(&str) -> usize) -> Vec<Range<usize>> {
    let pieces = pieces(text);
    let sizes: Vec<usize> = pieces.iter().map(|piece| count(&text[piece.clone()])).collect();
    let mut out = Vec::new();
    let mut first = 0;
    loop {
        let last = fill(&sizes, first, room);
        let start = if first == 0 { 0 } else { pieces[first].start };
        let end = pieces.get(last).map_or(text.len(), |piece| piece.start);
        out.push(start..end);
        if last >= pieces.len() {
            return out;
        }
        first = back(&sizes, first, last, room / OVERLAP);
    }
}

/// The first piece from `first` on that has no room any more; at least one is taken.
fn fill(sizes: &[usize], first: usize, room: usize) -> usize {
    let mut used = 0;
    let mut last = first;
    while last < sizes.len() && (last == first || used + sizes[last] <= room) {
        used += sizes[last];
        last += 1;
    }
    last
}

/// Where the window after `first..last` begins: back from `last` by about `shared` tokens, but after `first`.
fn back(sizes: &[usize], first: usize, last: usize, shared: usize) -> usize {
    let mut used = 0;
    let mut next = last;
    while next > first + 1 && used + sizes[next - 1] <= shared {
        next -= 1;
        used += sizes[next];
    }
    next
}

/// Words with the whitespace before them, long ones in parts.
fn pieces(text: &str) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let (mut start, mut characters, mut seen) = (0, 0, false);
    for (at, c) in text.char_indices() {
        let space = c.is_whitespace();
        if (space && seen) || characters == LONGEST {
            out.push(start..at);
            (start, characters, seen) = (at, 0, false);
        }
        characters += 1;
        seen |= !space;
    }
    if start < text.len() {
        out.push(start..text.len());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, room: usize) -> Vec<Range<usize>> {
        let windows = windows(text, room, |piece| piece.chars().count());
        assert_eq!((windows[0].start, windows[windows.len() - 1].end), (0, text.len()));
        for pair in windows.windows(2) {
            assert!(pair[1].start <= pair[0].end && pair[1].start > pair[0].start);
        }
        for window in &windows {
            let held = text[window.clone()].chars().count();
            assert!(held <= room.max(LONGEST), "{held} of {room}");
        }
        windows
    }

    #[test]
    fn every_byte_is_covered_and_nothing_is_too_long() {
        check("", 10);
        check("one", 10);
        check(&"a few words of text ".repeat(50), 100);
        check(&"x".repeat(1000), 128);
        check(&"ä ö\n\n".repeat(400), 77);
        check(&" ".repeat(500), 64);
    }

    #[test]
    fn windows_overlap_where_words_are_short() {
        let windows = check(&"word ".repeat(300), 100);
        let pairs = windows.windows(2);
        assert!(windows.len() > 10);
        assert!(pairs.map(|pair| pair[0].end - pair[1].start).all(|shared| shared >= 15));
    }

    #[test]
    fn short_text_is_one_window() {
        let windows = check("short text", 100);
        assert_eq!((windows.len(), &windows[0]), (1, &(0..10)));
    }
}
