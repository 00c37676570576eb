//! A string that remembers which of its bytes came from outside the template.
//!
//! Every operation on strings keeps that memory exact, byte for byte, so that a rendering can say which of its parts
//! the template wrote and which a message brought along.

use std::ops::Range;
use std::sync::Arc;

/// Where bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Written in the template, or by the program: special tokens in it are meant.
    Template,
    /// From a message, a tool or an argument: stays text whatever it spells.
    Foreign,
}

/// Stretches of one origin: where each ends, in bytes.
type Runs = Vec<(usize, Origin)>;

/// A shared string with the origin of its bytes.
#[derive(Clone, Debug)]
pub struct Text {
    text: Arc<str>,
    origin: Mark,
    /// Whether it is what Python's markupsafe calls markup: text that is added to it is escaped.
    markup: bool,
}

#[derive(Clone, Debug)]
enum Mark {
    All(Origin),
    Mixed(Arc<[(usize, Origin)]>),
}

impl Text {
    /// Text of one origin.
    pub fn new(text: impl Into<Arc<str>>, origin: Origin) -> Self {
        Self { text: text.into(), origin: Mark::All(origin), markup: false }
    }

    /// Text that the template or the program wrote.
    pub fn template(text: impl Into<Arc<str>>) -> Self {
        Self::new(text, Origin::Template)
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Bytes of memory that a copy takes: what is said of origins counts too where it changes within the text.
    pub fn weight(&self) -> usize {
        match &self.origin {
            Mark::All(_) => self.len(),
            Mark::Mixed(runs) => self.len().saturating_add(size_of_val(&**runs)),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Stretches of one origin in order, none of them empty.
    pub fn runs(&self) -> impl Iterator<Item = (Range<usize>, Origin)> + '_ {
        self.runs_in(0..self.len())
    }

    fn runs_in(&self, range: Range<usize>) -> impl Iterator<Item = (Range<usize>, Origin)> + '_ {
        let (one, many) = match &self.origin {
            Mark::All(origin) => (Some((self.len(), *origin)), &[][..]),
            Mark::Mixed(runs) => (None, &runs[runs.partition_point(|run| run.0 <= range.start)..]),
        };
        let mut start = range.start;
        one.into_iter().chain(many.iter().copied()).map_while(move |(end, origin)| {
            let run = start..end.min(range.end);
            start = run.end;
            (!run.is_empty()).then_some((run, origin))
        })
    }

    /// The bytes of `range`, which lies on character boundaries.
    pub fn slice(&self, range: Range<usize>) -> Self {
        if range == (0..self.len()) {
            return self.clone();
        }
        let mut out = TextBuilder::default();
        out.push_slice(self, range);
        out.finish().with_markup(self.markup)
    }

    /// The part of this text that `part`, a slice of its characters, stands for.
    ///
    /// Panics if `part` is not a slice of [`Text::as_str`].
    pub fn part(&self, part: &str) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        assert!(start + part.len() <= self.len(), "not a part of this text");
        self.slice(start..start + part.len())
    }

    /// The origin of the byte at `at`, or of what comes before the end.
    pub fn origin_at(&self, at: usize) -> Origin {
        match &self.origin {
            Mark::All(origin) => *origin,
            Mark::Mixed(runs) => {
                let run = runs.partition_point(|run| run.0 <= at).min(runs.len().saturating_sub(1));
                runs.get(run).map_or(Origin::Template, |run| run.1)
            }
        }
    }

    /// Whether text that is added to it is escaped.
    pub fn is_markup(&self) -> bool {
        self.markup
    }

    /// The same characters, as markup or not.
    pub fn with_markup(mut self, markup: bool) -> Self {
        self.markup = markup;
        self
    }

    /// Replaces every stretch by what `change` makes of it.
    pub fn map_runs(&self, mut change: impl FnMut(&str) -> String) -> Self {
        let mut out = TextBuilder::default();
        for (range, origin) in self.runs() {
            out.push(&change(&self.text[range]), origin);
        }
        out.finish().with_markup(self.markup)
    }

    /// Replaces single characters by what `change` makes of them.
    pub fn map_chars(&self, mut change: impl FnMut(char, &mut String)) -> Self {
        self.map_runs(|run| {
            let mut out = String::with_capacity(run.len());
            run.chars().for_each(|c| change(c, &mut out));
            out
        })
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::template(text)
    }
}

/// Puts texts together.
#[derive(Debug, Default)]
pub struct TextBuilder {
    text: String,
    runs: Runs,
}

impl TextBuilder {
    /// Adds characters of one origin.
    pub fn push(&mut self, text: &str, origin: Origin) {
        if text.is_empty() {
            return;
        }
        self.text.push_str(text);
        let end = self.text.len();
        match self.runs.last_mut() {
            Some(last) if last.1 == origin => last.0 = end,
            _ => self.runs.push((end, origin)),
        }
    }

    /// Adds a text.
    pub fn push_text(&mut self, text: &Text) {
        self.push_slice(text, 0..text.len());
    }

    /// Adds the bytes of `range`, which lies on character boundaries.
    pub fn push_slice(&mut self, text: &Text, range: Range<usize>) {
        for (range, origin) in text.runs_in(range) {
            self.push(&text.text[range], origin);
        }
    }

    /// Number of bytes so far.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// What was put together.
    pub fn finish(self) -> Text {
        let origin = match &self.runs[..] {
            [] => Mark::All(Origin::Template),
            [one] => Mark::All(one.1),
            many => Mark::Mixed(many.into()),
        };
        Text { text: self.text.into(), origin, markup: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Origin::{Foreign, Template};

    fn mixed() -> Text {
        let mut out = TextBuilder::default();
        out.push("ab", Template);
        out.push("cd", Foreign);
        out.push("", Template);
        out.push("é", Foreign);
        out.push("f", Template);
        out.finish()
    }

    fn runs(text: &Text) -> Vec<(&str, Origin)> {
        text.runs().map(|(range, origin)| (&text.as_str()[range], origin)).collect()
    }

    #[test]
    fn stretches_of_one_origin_join() {
        assert_eq!(runs(&mixed()), [("ab", Template), ("cdé", Foreign), ("f", Template)]);
        assert_eq!(runs(&TextBuilder::default().finish()), []);
    }

    #[test]
    fn slices_keep_the_origin_of_every_byte() {
        let text = mixed();
        assert_eq!(runs(&text.slice(1..4)), [("b", Template), ("cd", Foreign)]);
        assert_eq!(runs(&text.slice(2..6)), [("cdé", Foreign)]);
        assert_eq!(runs(&text.slice(6..7)), [("f", Template)]);
        assert_eq!(runs(&text.part(&text.as_str()[3..6])), [("dé", Foreign)]);
        assert_eq!(
            [0, 1, 2, 5, 6, 7].map(|at| text.origin_at(at)).map(|o| o == Foreign),
            [false, false, true, true, false, false]
        );
    }

    #[test]
    fn changed_characters_stay_where_they_came_from() {
        let upper = mixed().map_runs(str::to_uppercase);
        assert_eq!(runs(&upper), [("AB", Template), ("CDÉ", Foreign), ("F", Template)]);
    }
}
