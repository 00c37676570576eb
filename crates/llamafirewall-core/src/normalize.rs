//! The forms in which a text can be read, each mapped back to the text as it came.

use std::ops::Range;

/// One form of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    text: String,
    how: &'static str,
}

impl View {
    /// The text in this form.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How it came about; empty for the text as it came.
    pub fn how(&self) -> &str {
        self.how
    }

    /// Bytes of the original that `span` of this form came from.
    pub fn original(&self, span: Range<usize>) -> Range<usize> {
        span
    }
}

/// All forms of a text, the text as it came first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Views(Vec<View>);

impl Views {
    /// Reads `text` in every form.
    pub fn of(text: &str) -> Self {
        Self(vec![View { text: text.to_owned(), how: "" }])
    }

    /// The forms.
    pub fn iter(&self) -> impl Iterator<Item = &View> {
        self.0.iter()
    }
}
