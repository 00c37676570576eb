//! The forms in which a text can be read, each mapped back to the text as it came: as a reader sees it, as a reader
//! takes it, with letters brought together, ciphers undone, and what was packed into other alphabets unpacked.
//!
//! The work is bounded: nesting by [`DEEPEST`], and each form is no longer than a small multiple of what it was
//! read from. Plain prose costs one survey and one search for telling words, and has no other form than itself.

mod ciphers;
mod encodings;
mod escapes;
mod fold;
mod invisible;
mod leet;
mod mapping;
mod spacing;
mod survey;

pub use invisible::Invisible;

use encodings::Blob;
use mapping::{Mapping, Rewriting};
use std::ops::Range;
use std::sync::Arc;
use survey::Survey;

/// How often something packed is unpacked within something unpacked.
const DEEPEST: usize = 3;
/// Letters that stand alone before words are looked for in them.
const FEWEST_ALONE: usize = 4;
/// Letters beside digits before words are looked for in them.
const FEWEST_MIXED: usize = 3;

/// One form of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    text: String,
    how: String,
    /// From this form to the text as it came, in this order.
    back: Vec<Arc<Mapping>>,
}

impl View {
    /// The text in this form.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How it came about, such as `base64` or `base64, rot13`; empty for the text as it came.
    pub fn how(&self) -> &str {
        &self.how
    }

    /// Bytes of the original that `span` of this form came from. What was unpacked came from all of what was packed.
    pub fn original(&self, span: Range<usize>) -> Range<usize> {
        self.back.iter().fold(span, |span, mapping| mapping.original(span))
    }

    /// A form of this form.
    fn read_as(&self, how: &str, (text, mapping): (String, Mapping)) -> View {
        let how = if self.how.is_empty() { how.to_owned() } else { format!("{}, {how}", self.how) };
        let back = std::iter::once(Arc::new(mapping)).chain(self.back.iter().cloned()).collect();
        View { text, how, back }
    }
}

/// All forms of a text, the text as it came first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Views {
    views: Vec<View>,
    opaque: Vec<Range<usize>>,
}

impl Views {
    /// Reads `text` in every form that it is worth.
    pub fn of(text: &str) -> Self {
        let mut views = Self { views: Vec::new(), opaque: Vec::new() };
        views.read(View { text: text.to_owned(), how: String::new(), back: Vec::new() }, 0);
        views.opaque.sort_by_key(|range| (range.start, range.end));
        views
    }

    /// The forms.
    pub fn iter(&self) -> impl Iterator<Item = &View> {
        self.views.iter()
    }

    /// Bytes of the original that look packed or encrypted, and that nothing here can read.
    pub fn opaque(&self) -> &[Range<usize>] {
        &self.opaque
    }

    /// Adds a form and every form that it can be read in.
    fn read(&mut self, view: View, depth: usize) {
        let mut survey = Survey::of(&view.text);
        let mut last = self.views.len();
        self.views.push(view);
        if !survey.is_plain() {
            let hidden = encodings::hidden(&self.views[last].text);
            self.unpack(last, hidden, depth);
            let first = last;
            for (how, form) in [("normalised", fold::normalised as Form), ("look-alikes", fold::folded)] {
                if let Some(read) = form(&self.views[last].text) {
                    let view = self.views[last].read_as(how, read);
                    last = self.views.len();
                    self.views.push(view);
                }
            }
            if last != first {
                survey = Survey::of(&self.views[last].text);
            }
        }
        self.read_letters(last, &survey, depth);
        let blobs = encodings::blobs(&self.views[last].text, &survey);
        self.unpack(last, blobs, depth);
    }

    /// Forms in which every letter stands for one other.
    fn read_letters(&mut self, from: usize, survey: &Survey, depth: usize) {
        let text = &self.views[from].text;
        let mut forms: Vec<(&str, (String, Mapping))> = Vec::new();
        let mut add = |how, form: Option<(String, Mapping)>| forms.extend(form.map(|form| (how, form)));
        if survey.alone >= FEWEST_ALONE {
            add("letters joined", spacing::joined(text));
        }
        if survey.mixed >= FEWEST_MIXED {
            add("leet", leet::lettered(text));
        }
        for cipher in ciphers::suspected(text) {
            add(cipher.name(), cipher.read(text));
        }
        let unescaped = if survey.escapes > 0 { escapes::unescaped(text) } else { None };
        let forms: Vec<View> =
            forms.into_iter().map(|(how, form)| self.views[from].read_as(how, form)).collect();
        self.views.extend(forms);
        if let Some(read) = unescaped.filter(|_| depth < DEEPEST) {
            let view = self.views[from].read_as("escapes", read);
            self.read(view, depth + 1);
        }
    }

    /// Adds what was packed, one form for each encoding, with a line for each blob.
    fn unpack(&mut self, from: usize, blobs: Vec<Blob>, depth: usize) {
        let mut encodings: Vec<&'static str> = Vec::new();
        for blob in &blobs {
            if blob.text.is_none() {
                self.opaque.push(self.views[from].original(blob.range.clone()));
            } else if !encodings.contains(&blob.encoding) {
                encodings.push(blob.encoding);
            }
        }
        if depth >= DEEPEST {
            return;
        }
        for encoding in encodings {
            let view = &self.views[from];
            let mut rewriting = Rewriting::of(&view.text);
            for blob in blobs.iter().filter(|blob| blob.encoding == encoding) {
                let Some(text) = &blob.text else { continue };
                if !rewriting.text().is_empty() {
                    rewriting.replace(blob.range.clone(), "\n");
                }
                rewriting.replace(blob.range.clone(), text);
            }
            if let Some(read) = rewriting.finish() {
                let view = view.read_as(encoding, read);
                self.read(view, depth + 1);
            }
        }
    }
}

type Form = fn(&str) -> Option<(String, Mapping)>;
