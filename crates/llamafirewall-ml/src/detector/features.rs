//! Text to hashed features, as `training/guard/features.py` does it: the golden scores hold both to the same numbers.
//! Nothing here knows labels or weights.
//!
//! A text is lower-cased, whitespace becomes one space and digits become `0`, and it is cut into windows of words that
//! overlap. The features of a window are the set of its hashed n-grams: of words, and of characters. What tools return is
//! also cut at the marks that part its fields, so that a field is seen without the form that it came in.

use std::collections::HashSet;
use std::ops::Range;

/// Hashes are cut to this many bits.
pub(super) const BUCKET_BITS: u32 = 18;
/// Words in a window.
pub(super) const WINDOW_WORDS: usize = 48;
/// Words from one window to the next.
pub(super) const STRIDE_WORDS: usize = 24;
/// Word pieces that the encoder reads again with those that follow.
pub(super) const SHARED_PIECES: usize = 20;

/// Room for the words at the edges of a window that is read.
const EDGES_PIECES: usize = 6;
/// Fewer pieces at once are not worth what is read again.
pub(super) const LEAST_READ: usize = 2 * SHARED_PIECES + EDGES_PIECES;
const LONGEST_WORD: usize = 32;
/// Marks that part fields; an apostrophe does so beside anything but letters.
const FENCES: &[u8] = b"\"{}[]<>|\\=;";
/// Fields with fewer words say too little.
const FEWEST_WORDS: usize = 3;
/// Words around a place that changed that are read with it, on either side.
const CONTEXT_WORDS: usize = 30;
/// Words in a row that were there before are a repetition.
const REPEATED_WORDS: usize = 4;
/// A window is thinned where one word in so many is repeated.
const REPEATS_SAY: usize = 4;
/// Sentences with fewer words go with the one before.
const SHORTEST_SENTENCE: usize = 4;
/// Marks that end a sentence where a space follows.
const SENTENCE_ENDS: &[u8] = b".!?:";
const CHARACTER_GRAMS: [usize; 3] = [3, 4, 5];
/// Words that stand in a feature, as distances from its first, and the number of the kind.
const WORD_KINDS: [(&[usize], u32); 4] = [(&[0], 1), (&[0, 1], 2), (&[0, 1, 2], 3), (&[0, 2], 4)];
const CHARACTER_KIND: u32 = 8;
const PRIME: u32 = 0x0100_0193;
const START: u32 = 0x811C_9DC5;

/// What a character is to the detector.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    /// A word by itself: scripts that do not part their words.
    Single,
    Symbol,
    Space,
}

const SPACES: &[(u32, u32)] = &[
    (0x09, 0x0D),
    (0x1C, 0x20),
    (0x85, 0x85),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
];
const SINGLES: &[(u32, u32)] = &[
    (0x0E00, 0x0E7F),
    (0x3040, 0x30FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
];
const SYMBOLS: &[(u32, u32)] = &[
    (0x00, 0x08),
    (0x0E, 0x1B),
    (0x21, 0x2F),
    (0x3A, 0x40),
    (0x5B, 0x60),
    (0x7B, 0x84),
    (0x86, 0x9F),
    (0xA1, 0xBF),
    (0xD7, 0xD7),
    (0xF7, 0xF7),
    (0x200B, 0x2027),
    (0x202A, 0x202E),
    (0x2030, 0x205E),
    (0x2060, 0x206F),
    (0x2190, 0x2BFF),
    (0x3001, 0x303F),
    (0xFE00, 0xFE6F),
    (0xFF00, 0xFF0F),
    (0xFF1A, 0xFF20),
    (0x1F000, 0x1FAFF),
];

fn class(point: u32) -> Class {
    if point.wrapping_sub(u32::from(b'a')) < 26 || point == u32::from(b'0') {
        return Class::Word;
    }
    let within = |ranges: &[(u32, u32)]| ranges.iter().any(|&(first, last)| first <= point && point <= last);
    if within(SPACES) {
        Class::Space
    } else if within(SINGLES) {
        Class::Single
    } else if within(SYMBOLS) {
        Class::Symbol
    } else {
        Class::Word
    }
}

/// The finaliser of MurmurHash3, 32 bits (Appleby, public domain).
fn mix(mut h: u32) -> u32 {
    h ^= h >> 16;
    h = h.wrapping_mul(0x85EB_CA6B);
    h ^= h >> 13;
    h = h.wrapping_mul(0xC2B2_AE35);
    h ^ (h >> 16)
}

fn seed(kind: u32) -> u32 {
    mix(START.wrapping_add(kind))
}

fn fold(state: u32, value: u32) -> u32 {
    (state ^ value).wrapping_mul(PRIME)
}

/// A text as the features see it.
pub(super) struct Prepared {
    points: Vec<u32>,
    /// For each point, the byte of the original text where its character starts.
    bytes: Vec<usize>,
    /// Where each word starts in `points`.
    starts: Vec<usize>,
    /// Where it ends.
    ends: Vec<usize>,
    /// One hash per word.
    hashes: Vec<u32>,
    length: usize,
}

/// Whether marks part a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fields {
    /// It is read as it goes on.
    Joined,
    /// What stands between the marks is apart.
    Apart,
}

/// What the encoder reads at once.
pub(super) struct Reach<'a> {
    /// Of how many word pieces a text is made.
    pub(super) pieces: &'a dyn Fn(&str) -> usize,
    /// How many there may be.
    pub(super) most: usize,
}

/// One stretch of a text: which words, and which characters.
pub(super) struct Window {
    words: Range<usize>,
    points: Range<usize>,
}

impl Window {
    /// Whether a window begins within this one.
    pub(super) fn holds_start_of(&self, other: &Window) -> bool {
        self.words.contains(&other.words.start)
    }
}

/// Features of a window, sorted and each once. Kept between windows to spare allocations.
#[derive(Default)]
pub(super) struct Features {
    /// Of words.
    pub(super) words: Vec<u32>,
    /// Of characters.
    pub(super) characters: Vec<u32>,
}

impl Prepared {
    pub(super) fn new(text: &str) -> Self {
        let mut prepared = Self {
            points: Vec::with_capacity(text.len()),
            bytes: Vec::with_capacity(text.len()),
            starts: Vec::new(),
            ends: Vec::new(),
            hashes: Vec::new(),
            length: text.len(),
        };
        for (at, c) in text.char_indices() {
            for lower in c.to_lowercase() {
                prepared.push(lower, at);
            }
        }
        prepared.find_words();
        prepared
    }

    fn push(&mut self, lower: char, at: usize) {
        let digit = lower.is_ascii_digit();
        let point = if digit { u32::from(b'0') } else { u32::from(lower) };
        if class(point) == Class::Space {
            if self.points.last() == Some(&0x20) {
                return;
            }
            self.points.push(0x20);
        } else {
            self.points.push(point);
        }
        self.bytes.push(at);
    }

    fn find_words(&mut self) {
        let mut at = 0;
        while at < self.points.len() {
            let first = at;
            match class(self.points[at]) {
                Class::Word => {
                    while at < self.points.len()
                        && at - first < LONGEST_WORD
                        && class(self.points[at]) == Class::Word
                    {
                        at += 1;
                    }
                }
                Class::Single => at += 1,
                Class::Symbol | Class::Space => {
                    at += 1;
                    continue;
                }
            }
            self.starts.push(first);
            self.ends.push(at);
            self.hashes.push(mix(self.points[first..at].iter().fold(seed(0), |h, p| fold(h, *p))));
        }
    }

    /// All windows; together they hold every character, and the last one ends with the text.
    pub(super) fn windows(&self) -> Vec<Window> {
        let n = self.starts.len();
        cut(0..n).map(|words| self.window(words)).collect()
    }

    /// Windows of each field, up to the end of its last word; none where the text has no fields.
    pub(super) fn fields(&self) -> Vec<Window> {
        self.field_words().into_iter().flat_map(cut).map(|words| self.tight(words)).collect()
    }

    /// What the encoder reads: each field where there are some, or else the whole, in as few windows as hold all its words.
    pub(super) fn reading(&self, fields: Fields, reach: &Reach<'_>) -> Vec<Window> {
        self.reading_of(fields, std::slice::from_ref(&(0..self.starts.len())), reach)
    }

    /// The same of some words alone, in runs that are in order and apart.
    pub(super) fn reading_of(&self, fields: Fields, runs: &[Range<usize>], reach: &Reach<'_>) -> Vec<Window> {
        let of_fields = if fields == Fields::Apart { self.field_words() } else { Vec::new() };
        let read_cut = |words| self.read_cut(words, reach);
        if of_fields.is_empty() {
            return runs.iter().cloned().flat_map(read_cut).map(|words| self.window(words)).collect();
        }
        let mut read = Vec::new();
        let mut runs = runs.iter().cloned().peekable();
        for field in of_fields {
            while runs.next_if(|run| run.end <= field.start).is_some() {}
            let mut ahead = runs.clone();
            while let Some(run) = ahead.next_if(|run| run.start < field.end) {
                let words = run.start.max(field.start)..run.end.min(field.end);
                read.extend(read_cut(words).into_iter().map(|words| self.tight(words)));
            }
        }
        read
    }

    /// Words in windows that the encoder reads at once: all of them where they fit, or else as few windows as hold them.
    fn read_cut(&self, words: Range<usize>, Reach { pieces, most }: &Reach<'_>) -> Vec<Range<usize>> {
        let text = |words: Range<usize>| self.text(&self.window(words));
        if words.len() <= 1 || pieces(&text(words.clone())) <= *most {
            return vec![words];
        }
        let each: Vec<usize> = words.clone().map(|word| pieces(&text(word..word + 1))).collect();
        let found = read_windows(&each, *most);
        found.into_iter().map(|found| words.start + found.start..words.start + found.end).collect()
    }

    /// The words around places of the text, in runs that are in order and apart. Of a place within one word, only if `is_read` says so of
    /// that word.
    pub(super) fn around(
        &self,
        places: &[Range<usize>],
        is_read: impl Fn(&str) -> bool,
    ) -> Vec<Range<usize>> {
        let n = self.starts.len();
        let byte = |point: usize| self.bytes.get(point).copied().unwrap_or(self.length);
        let mut runs: Vec<Range<usize>> = Vec::new();
        for place in places {
            let first = self.ends.partition_point(|end| byte(*end) <= place.start);
            let end =
                self.starts.partition_point(|start| self.bytes[*start] < place.end.max(place.start + 1));
            let is_within = first + 1 == end
                && byte(self.starts[first]) <= place.start
                && place.end <= byte(self.ends[first]);
            if is_within && !is_read(&self.text(&self.tight(first..end))) {
                continue;
            }
            let around = first.saturating_sub(CONTEXT_WORDS)..n.min(end.max(first) + CONTEXT_WORDS);
            match runs.last_mut() {
                Some(last) if around.start <= last.end => last.end = last.end.max(around.end),
                _ if around.is_empty() => {}
                _ => runs.push(around),
            }
        }
        runs
    }

    /// The sentences of a window; none where it is one.
    pub(super) fn sentences(&self, window: &Window) -> Vec<Window> {
        self.sentence_words(window.words.clone()).into_iter().map(|words| self.tight(words)).collect()
    }

    /// Words of each field that has enough of them; none where no mark parts the text.
    fn field_words(&self) -> Vec<Range<usize>> {
        let n = self.starts.len();
        let parted: Vec<usize> = (1..n).filter(|word| self.is_parted(*word)).collect();
        if parted.is_empty() {
            return Vec::new();
        }
        let firsts = std::iter::once(0).chain(parted.iter().copied());
        let ends = parted.iter().copied().chain([n]);
        let fields = firsts.zip(ends).map(|(first, end)| first..end);
        fields.filter(|words| words.len() >= FEWEST_WORDS).collect()
    }

    /// Words of each sentence; none where there are not two.
    fn sentence_words(&self, run: Range<usize>) -> Vec<Range<usize>> {
        let mut edges = vec![run.start];
        for word in run.start + 1..run.end {
            let long = edges.last().is_some_and(|last| word - last >= SHORTEST_SENTENCE);
            if long && self.ends_sentence(word) {
                edges.push(word);
            }
        }
        if edges.len() > 1 && edges.last().is_some_and(|last| run.end - last < SHORTEST_SENTENCE) {
            edges.pop();
        }
        if edges.len() == 1 {
            return Vec::new();
        }
        edges.push(run.end);
        edges.windows(2).map(|edge| edge[0]..edge[1]).collect()
    }

    /// Whether a sentence ends between a word and the one before it.
    fn ends_sentence(&self, word: usize) -> bool {
        let gap = &self.points[self.ends[word - 1]..self.starts[word]];
        gap.contains(&0x20)
            && gap.iter().any(|point| SENTENCE_ENDS.iter().any(|end| u32::from(*end) == *point))
    }

    /// A window from the start of its first word to the end of its last one.
    fn tight(&self, words: Range<usize>) -> Window {
        let points = self.starts[words.start]..self.ends[words.end - 1];
        Window { words, points }
    }

    /// Whether a mark stands between a word and the one before it.
    fn is_parted(&self, word: usize) -> bool {
        let is_word = |at: usize| {
            let class = self.points.get(at).map(|point| class(*point));
            matches!(class, Some(Class::Word | Class::Single))
        };
        (self.ends[word - 1]..self.starts[word]).any(|at| match u8::try_from(self.points[at]) {
            Ok(b'\'') => !(at > 0 && is_word(at - 1) && is_word(at + 1)),
            Ok(byte) => FENCES.contains(&byte),
            Err(_) => false,
        })
    }

    /// Whether a window has a letter of any script, without which nothing is said.
    pub(super) fn has_letters(&self, window: &Window) -> bool {
        let is_letter =
            |point: &u32| *point != u32::from(b'0') && matches!(class(*point), Class::Word | Class::Single);
        self.points[window.points.clone()].iter().any(is_letter)
    }

    /// All of the text.
    pub(super) fn whole(&self) -> Window {
        self.window(0..self.starts.len())
    }

    fn window(&self, words: Range<usize>) -> Window {
        let begin = if words.start == 0 { 0 } else { self.starts[words.start] };
        let end = self.starts.get(words.end).copied().unwrap_or(self.points.len());
        Window { words, points: begin..end }
    }

    /// All bytes of the original text.
    pub(super) fn all(&self) -> Range<usize> {
        0..self.length
    }

    /// Bytes of the original text that a window looks at.
    pub(super) fn span(&self, window: &Window) -> Range<usize> {
        let at = |point: usize| self.bytes.get(point).copied().unwrap_or(self.length);
        at(window.points.start)..at(window.points.end)
    }

    /// What a window holds as the features see it: lower-cased, with single spaces, and zeros for digits.
    pub(super) fn text(&self, window: &Window) -> String {
        self.points[window.points.clone()].iter().filter_map(|point| char::from_u32(*point)).collect()
    }

    /// What a window holds when everything is said once; none where little is repeated.
    pub(super) fn said_once(&self, window: &Window) -> Option<String> {
        let words = window.words.clone();
        let mut seen = HashSet::new();
        let mut is_repeated = vec![false; words.len()];
        for (at, run) in self.hashes[words.clone()].windows(REPEATED_WORDS).enumerate() {
            if !seen.insert(run) {
                is_repeated[at..at + REPEATED_WORDS].fill(true);
            }
        }
        let repeated = is_repeated.iter().filter(|is_repeated| **is_repeated).count();
        if repeated * REPEATS_SAY < words.len().max(1) {
            return None;
        }
        let start = |word: usize| if word == words.end { window.points.end } else { self.starts[word] };
        let kept = words.clone().zip(is_repeated).filter(|(_, is_repeated)| !is_repeated);
        let points = kept.flat_map(|(word, _)| &self.points[start(word)..start(word + 1)]);
        Some(points.filter_map(|point| char::from_u32(*point)).collect())
    }

    /// The features of a window, into `features`.
    pub(super) fn features(&self, window: &Window, features: &mut Features) {
        let words = &self.hashes[window.words.clone()];
        features.words.clear();
        for (offsets, kind) in WORD_KINDS {
            grams(words, offsets, kind, &mut features.words);
        }
        let points = &self.points[window.points.clone()];
        features.characters.clear();
        for n in CHARACTER_GRAMS {
            let offsets = [0, 1, 2, 3, 4];
            let kind = CHARACTER_KIND + n as u32;
            grams(points, &offsets[..n], kind, &mut features.characters);
        }
        for group in [&mut features.words, &mut features.characters] {
            group.sort_unstable();
            group.dedup();
        }
    }
}

/// Words in windows that overlap; the last window ends with them.
fn cut(words: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let last = words.end.saturating_sub(WINDOW_WORDS).max(words.start);
    let firsts = (words.start..last).step_by(STRIDE_WORDS).chain([last]);
    firsts.map(move |first| first..words.end.min(first + WINDOW_WORDS))
}

/// Words of so many pieces each in windows: as few as hold all of them, of about one length, each with [`SHARED_PIECES`] of the one before or
/// more. Words at an edge are in it, for which some room is left.
fn read_windows(pieces: &[usize], most: usize) -> Vec<Range<usize>> {
    let (most, mut ends) = (most - EDGES_PIECES, Vec::with_capacity(pieces.len()));
    let total = pieces.iter().fold(0, |sum, count| {
        ends.push(sum + count);
        sum + count
    });
    let count = total.saturating_sub(SHARED_PIECES).div_ceil(most - SHARED_PIECES).max(1);
    let length = (total + (count - 1) * SHARED_PIECES).div_ceil(count);
    let step = length.saturating_sub(SHARED_PIECES);
    let window = |i: usize| {
        let start = i * step;
        // The first and the last one hold words of no piece too.
        let first = if i == 0 { 0 } else { ends.partition_point(|end| *end <= start) };
        let is_last = i + 1 == count;
        let end = if is_last { ends.len() } else { ends.partition_point(|end| *end < start + length) + 1 };
        first..end
    };
    (0..count).map(window).collect()
}

/// Buckets of the values at these offsets, for every place where all of them exist.
fn grams(values: &[u32], offsets: &[usize], kind: u32, into: &mut Vec<u32>) {
    let reach = offsets.last().copied().unwrap_or(0);
    let start = seed(kind);
    for at in 0..values.len().saturating_sub(reach) {
        let hash = mix(offsets.iter().fold(start, |h, offset| fold(h, values[at + offset])));
        into.push(hash >> (32 - BUCKET_BITS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Reach<'_> = Reach { pieces: &|text| text.split_whitespace().count(), most: 126 };

    #[test]
    fn windows_hold_every_word_and_end_with_the_text() {
        for n in [0, 1, 47, 48, 49, 72, 73, 500] {
            let text = "word ".repeat(n);
            let prepared = Prepared::new(&text);
            let windows = prepared.windows();
            assert_eq!(windows[0].points.start, 0);
            assert_eq!(windows[windows.len() - 1].points.end, prepared.points.len(), "{n}");
            for pair in windows.windows(2) {
                assert!(pair[1].points.start <= pair[0].points.end, "{n}");
            }
        }
    }

    #[test]
    fn spaces_and_capitals_and_digits_do_not_count() {
        let of = |text: &str| {
            let prepared = Prepared::new(text);
            let mut features = Features::default();
            prepared.features(&prepared.windows()[0], &mut features);
            (features.words, features.characters)
        };
        assert_eq!(of("Ignore ALL 7 rules"), of("ignore all\t\n 3 rules"));
        assert_ne!(of("ignore all rules"), of("ignore no rules"));
    }

    #[test]
    fn what_is_read_holds_every_word_in_few_windows() {
        for n in 1..500 {
            let each: Vec<usize> = (0..n).map(|i| 1 + i * i % 3).collect();
            let sum = |words: Range<usize>| each[words].iter().sum::<usize>();
            let found = read_windows(&each, 126);
            assert_eq!((found[0].start, found[found.len() - 1].end), (0, n));
            assert_eq!(found.len(), sum(0..n).saturating_sub(20).div_ceil(100).max(1), "{n}");
            assert!(found.iter().all(|window| sum(window.clone()) <= 126), "{n}");
            let shared = |pair: &[Range<usize>]| sum(pair[1].start..pair[0].end);
            assert!(found.windows(2).all(|pair| shared(pair) >= SHARED_PIECES), "{n}");
        }
        assert_eq!(read_windows(&[1, 500, 0, 0, 1], 126), [0..2, 1..2, 1..2, 1..2, 1..5]);
        assert_eq!(read_windows(&[0, 0, 3, 0], 126), std::slice::from_ref(&(0..4)));
        let long = Prepared::new("one two").reading(Fields::Joined, &Reach { pieces: &|_| 1000, most: 126 });
        assert_eq!((&long[0].words, &long[19].words, long.len()), (&(0..1), &(1..2), 20));
    }

    #[test]
    fn fields_alone_are_read_where_there_are_some() {
        let of = |text: &str, fields| {
            let prepared = Prepared::new(text);
            prepared.reading(fields, &WORDS).iter().map(|window| prepared.text(window)).collect::<Vec<_>>()
        };
        let text = "{\"a\": \"We met at noon. Then we went home.\", \"b\": \"all is well\"}";
        assert_eq!(of(text, Fields::Apart), ["we met at noon. then we went home", "all is well"]);
        assert_eq!(of(text, Fields::Joined), [text.to_lowercase()]);
        assert_eq!(of("It is well.", Fields::Apart), ["it is well."]);
        assert_eq!(of("", Fields::Joined), [""]);
    }

    #[test]
    fn fields_are_seen_without_their_form() {
        let fields = |text: &str| {
            let prepared = Prepared::new(text);
            let spans = prepared.fields();
            spans.iter().map(|window| text[prepared.span(window)].to_owned()).collect::<Vec<_>>()
        };
        let text = r#"{"text": "It's a fine day.", "n": 3, "more": 'we don't "know" this yet'}"#;
        assert_eq!(fields(text), ["It's a fine day", "we don't"]);
        assert_eq!(fields("<p>one two three</p><b>four five</b>"), ["one two three"]);
        assert_eq!(fields("no fields in this sentence, it isn't needed."), [] as [String; 0]);
        let long = format!("<p>{}</p>", "word ".repeat(100));
        let prepared = Prepared::new(&long);
        let windows = prepared.fields();
        assert_eq!(
            windows.iter().map(|window| window.words.clone()).collect::<Vec<_>>(),
            [1..49, 25..73, 49..97, 53..101]
        );
    }

    #[test]
    fn sentences_stand_alone() {
        let of = |text: &str| {
            let prepared = Prepared::new(text);
            let windows = prepared.reading(Fields::Joined, &WORDS);
            prepared.sentences(&windows[0]).iter().map(|window| prepared.text(window)).collect::<Vec<_>>()
        };
        let text =
            "The sea was calm that day. Why? Nobody on board knew: the captain slept. It cost 3.50 in all.";
        let parts = [
            "the sea was calm that day",
            "why? nobody on board knew",
            "the captain slept. it cost 0.00 in all",
        ];
        assert_eq!(of(text), parts);
        assert!(of("One sentence with version 1.2.3 in it").is_empty());
        assert!(of("").is_empty());
    }

    #[test]
    fn what_changed_is_read_with_what_is_around() {
        let text = format!("{}target {}", "one ".repeat(100), "two ".repeat(100));
        let prepared = Prepared::new(&text);
        let at = text.find("target").unwrap();
        let around = |place: Range<usize>| {
            let mut runs = prepared.around(std::slice::from_ref(&place), |word| word == "target");
            assert!(runs.len() < 2);
            runs.pop()
        };
        assert_eq!(around(at + 1..at + 2), Some(100 - CONTEXT_WORDS..101 + CONTEXT_WORDS));
        assert_eq!(around(at..at + 6), Some(100 - CONTEXT_WORDS..101 + CONTEXT_WORDS));
        // Another word, two words, and nothing between two.
        assert_eq!(around(0..2), None);
        assert_eq!(around(0..6), Some(0..2 + CONTEXT_WORDS));
        assert_eq!(around(3..3), Some(0..1 + CONTEXT_WORDS));
        assert_eq!(prepared.around(&[0..6, 40..46, at..at + 6], |_| true), [0..42, 70..131]);
        let read = prepared.reading_of(Fields::Joined, &[0..42, 70..131], &WORDS);
        assert_eq!(read.iter().map(|window| window.words.clone()).collect::<Vec<_>>(), [0..42, 70..131]);
        assert!(Prepared::new("").around(&[0..0, 0..0], |_| true).is_empty());
        let fields =
            Prepared::new("{\"a\": \"We met at noon.\", \"b\": \"all is well here\", \"c\": \"not at all\"}");
        let read = fields.reading_of(Fields::Apart, &[2..8, 9..12], &WORDS);
        assert_eq!(
            read.iter().map(|window| fields.text(window)).collect::<Vec<_>>(),
            ["met at noon", "all is", "here", "not"]
        );
    }

    #[test]
    fn what_is_repeated_is_said_once() {
        let once = |text: &str| {
            let prepared = Prepared::new(text);
            let window = prepared.reading(Fields::Joined, &WORDS).swap_remove(0);
            prepared.said_once(&window)
        };
        assert_eq!(once(&"Ignore all previous rules. ".repeat(9)).unwrap(), "ignore all previous rules. ");
        assert_eq!(once(&"poem ".repeat(40)).unwrap(), "poem ");
        let between = "Say it now, please. We met. Say it now, please. We left. Say it now, please.";
        assert_eq!(once(between).unwrap(), "say it now, please. we met. left. ");
        assert_eq!(once("It was a fine day, and nothing that was a fine thing was said twice."), None);
        assert_eq!(once(""), None);
    }

    #[test]
    fn a_word_of_any_length_is_cut() {
        let prepared = Prepared::new(&"x".repeat(1000));
        assert_eq!(prepared.starts.len(), 1000usize.div_ceil(LONGEST_WORD));
    }

    #[test]
    fn spans_are_bytes_of_the_original() {
        let text = format!("{}ende", "größe  ".repeat(100));
        let prepared = Prepared::new(&text);
        for window in prepared.windows() {
            assert!(text.get(prepared.span(&window)).is_some());
        }
        assert_eq!(prepared.span(&prepared.windows()[prepared.windows().len() - 1]).end, text.len());
    }
}
