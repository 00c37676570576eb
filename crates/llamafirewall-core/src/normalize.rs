//! The forms in which a text can be read, each mapped back to the text as it came: as a reader sees it, as a reader
//! takes it, with letters brought together, ciphers undone, and what was packed into other alphabets unpacked.
//!
//! The work is bounded: nesting by [`DEEPEST`], and each form is no longer than a small multiple of what it was
//! read from. Plain prose costs one survey and one search for telling words, and has no other form than itself.

mod characters;
mod ciphers;
mod encodings;
mod escapes;
mod fold;
mod invisible;
mod leet;
mod mapping;
mod markup;
mod open;
mod script;
mod spacing;
mod survey;
mod terminal;

pub use invisible::Invisible;

use ciphers::{Cipher, Hints};
use encodings::Blob;
use mapping::{Mapping, Rewriting};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use survey::Survey;

/// How often something packed is unpacked within something unpacked.
const DEEPEST: usize = 3;
/// Letters that stand alone near each other before words are looked for in them.
const FEWEST_ALONE: usize = 4;
/// Letters beside digits before words are looked for in them.
const FEWEST_MIXED: usize = 1;

/// Stands between two blobs: a file separator, over which no pattern may reach from one blob into the other.
const WALL: &str = "\n\u{1c}\n";

/// Forms in which ciphers are tried.
const IN_PLACE: [&str; 4] = ["", "normalised", "look-alikes", "normalised, look-alikes"];

/// One form of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    text: String,
    how: String,
    kind: ViewKind,
    /// From this form to the text as it came, in this order.
    back: Vec<Arc<Mapping>>,
}

/// What kind of form it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewKind {
    /// The text, perhaps with other characters or fewer, in its own order.
    InPlace,
    /// The same with every letter standing for another: only words mean something in it.
    Cipher,
    /// The text from its end.
    Reversed,
    /// What was unpacked from blobs: a span of it came from a whole blob.
    Unpacked,
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

    /// Whether reading it in this way, such as `leet`, was a step to this form.
    pub fn was_read_as(&self, step: &str) -> bool {
        self.how.split(", ").any(|known| known == step)
    }

    /// What kind of form it is.
    pub fn kind(&self) -> ViewKind {
        self.kind
    }

    /// Bytes of this form that are not as in the form it was made from, in order, an empty range where something was left out; `None` for a
    /// form all of which is new: the text as it came, and what was unpacked or deciphered.
    pub fn changed(&self) -> Option<Vec<Range<usize>>> {
        let last = self.back.first().filter(|_| self.kind == ViewKind::InPlace)?;
        Some(last.changed(self.text.len()))
    }

    /// Of a text that goes on: the first byte of this form from which a continuation could change how it is read.
    pub fn open_tail(&self) -> usize {
        match self.kind {
            ViewKind::InPlace | ViewKind::Unpacked => open::tail(&self.text),
            // Nothing is joined or unpacked in a cipher: its letters are those of one form alone.
            ViewKind::Cipher | ViewKind::Reversed => open::word(&self.text),
        }
    }

    /// Whether a phrase that ends with this word is looked for in a reversed text; others would have to be held back
    /// from their last word on, which may be any.
    pub fn may_end_reversed(word: &str) -> bool {
        ciphers::may_end(word)
    }

    /// Bytes of the original that `span` of this form came from. What was unpacked came from all of what was packed.
    pub fn original(&self, span: Range<usize>) -> Range<usize> {
        self.back.iter().fold(span, |span, mapping| mapping.original(span))
    }

    /// The last `reach` bytes, or a few more.
    fn end(&self, reach: usize) -> View {
        let mut from = self.text.len().saturating_sub(reach);
        while !self.text.is_char_boundary(from) {
            from -= 1;
        }
        let mut rewriting = Rewriting::of(&self.text);
        rewriting.keep(from..self.text.len());
        match rewriting.finish() {
            Some(read) => self.read_as("", ViewKind::InPlace, read),
            None => self.clone(),
        }
    }

    fn of(text: &str) -> View {
        View { text: text.to_owned(), how: String::new(), kind: ViewKind::InPlace, back: Vec::new() }
    }

    /// A form of this form.
    fn read_as(&self, how: &str, kind: ViewKind, (text, mapping): (String, Mapping)) -> View {
        let how = if self.how.is_empty() { how.to_owned() } else { format!("{}, {how}", self.how) };
        let back = std::iter::once(Arc::new(mapping)).chain(self.back.iter().cloned()).collect();
        // What came from a blob stays so, and a cipher within it changes only what is looked for.
        let kind = match (self.kind, kind) {
            (own, ViewKind::InPlace) => own,
            (_, kind) => kind,
        };
        View { text, how, kind, back }
    }
}

/// All forms of a text, the text as it came first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Views {
    views: Vec<View>,
    opaque: Vec<Range<usize>>,
    /// While the text is read: bytes of the original that were unpacked, and those that look packed in a form that was made in too many
    /// steps. They are no secret if they are the same.
    unpacked: BTreeSet<(usize, usize)>,
    too_deep: Vec<Range<usize>>,
}

impl Views {
    /// Reads `text` in every form that it is worth.
    pub fn of(text: &str) -> Self {
        let (views, opaque) = (Vec::new(), Vec::new());
        let mut views = Self { views, opaque, unpacked: BTreeSet::new(), too_deep: Vec::new() };
        views.read(View::of(text), 0);
        let unpacked = std::mem::take(&mut views.unpacked);
        let too_deep = std::mem::take(&mut views.too_deep).into_iter();
        views.opaque.extend(too_deep.filter(|range| !unpacked.contains(&(range.start, range.end))));
        views.opaque.sort_by_key(|range| (range.start, range.end));
        views.opaque.dedup();
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

    /// Of a text that goes on: every form in its own order that the text, or a continuation, may be read in; ciphers of
    /// its last `reach` bytes alone.
    pub fn open(text: &str, reach: usize) -> Vec<View> {
        let mut views = Self::of(text).views;
        views.retain(|view| matches!(view.kind, ViewKind::InPlace));
        let first: Vec<View> =
            views.iter().filter(|view| IN_PLACE.contains(&view.how.as_str())).cloned().collect();
        for view in first {
            let read = leet::lettered(&view.text);
            views.extend(read.map(|read| view.read_as("leet", ViewKind::InPlace, read)));
            let end = view.end(reach);
            for cipher in Cipher::all().filter(|cipher| cipher.kind() == ViewKind::Cipher) {
                let read = cipher.read(&end.text);
                views.extend(read.map(|read| end.read_as(cipher.name(), ViewKind::Cipher, read)));
            }
        }
        views
    }

    /// Of a text that goes on: what stands before its last word, which may become another one, and before what is
    /// invisible at its end.
    pub fn without_last_word(text: &str) -> &str {
        &text[..open::word(text)]
    }

    /// Of a text that goes on: what stands before what may still come to be read in another way, such as letters that stand apart; no
    /// longer than [`without_last_word`](Self::without_last_word).
    pub fn without_open_tail(text: &str) -> &str {
        &text[..open::tail(text)]
    }

    /// Of a text that goes on: the first byte of an end of at most `reach` bytes that may be part of a reversed phrase.
    pub fn open_reversed(text: &str, reach: usize) -> usize {
        ciphers::open_reversed(text, reach)
    }

    /// Adds a form and every form that it can be read in.
    fn read(&mut self, view: View, depth: usize) {
        let mut survey = Survey::of(&view.text);
        let first = self.views.len();
        self.views.push(view);
        let (mut seen, mut last) = (first, first);
        let may_have_commands = !survey.is_plain() || survey.escapes > 0;
        let shown = if may_have_commands { terminal::shown(&self.views[first].text) } else { None };
        if !survey.is_plain() {
            let hidden = encodings::hidden(&self.views[first].text);
            self.unpack(first, hidden, depth);
            seen = self.add("normalised", first, fold::normalised);
            self.add("own script", seen, script::own);
            last = self.add("look-alikes", seen, fold::folded);
        }
        for read in markup::shown(&self.views[last].text).into_iter().flatten() {
            let view = self.views[last].read_as("markup", ViewKind::InPlace, read);
            self.views.push(view);
        }
        let may_stand_apart = survey.alone >= FEWEST_ALONE || !survey.is_plain();
        if seen != first {
            survey = Survey::of(&self.views[seen].text);
        }
        let words = self.words(seen, may_stand_apart, survey.escapes > 0);
        if last != seen {
            survey = Survey::of(&self.views[last].text);
        }
        let hints = ciphers::hints(&self.views[last].text);
        self.read_letters(last, &survey, &hints);
        let words = words.into_iter().map(|(how, read)| (seen, how, read));
        for (from, how, read) in words.chain([(first, "terminal", shown)]) {
            let Some(read) = read.filter(|_| depth < DEEPEST) else { continue };
            let view = self.views[from].read_as(how, ViewKind::InPlace, read);
            self.read(view, depth + 1);
        }
        let blobs = encodings::blobs(&self.views[last].text, &survey, &hints);
        self.unpack(last, blobs, depth);
    }

    /// Adds a form of a form, if it is another; gives the place of it, or else of what it was read from.
    fn add(&mut self, how: &str, from: usize, form: Form) -> usize {
        let Some(read) = form(&self.views[from].text) else { return from };
        let view = self.views[from].read_as(how, ViewKind::InPlace, read);
        self.views.push(view);
        self.views.len() - 1
    }

    /// What is a text like any other, in which letters may stand for others again, read before letters of one script are taken for those
    /// of another.
    fn words(
        &self,
        from: usize,
        may_stand_apart: bool,
        may_have_escapes: bool,
    ) -> [(&'static str, Option<(String, Mapping)>); 2] {
        let text = &self.views[from].text;
        let joined = if may_stand_apart { spacing::joined(text) } else { None };
        let unescaped = if may_have_escapes { escapes::unescaped(text) } else { None };
        [("letters joined", joined), ("escapes", unescaped)]
    }

    /// Forms in which every letter stands for one other.
    fn read_letters(&mut self, from: usize, survey: &Survey, hints: &Hints) {
        let text = &self.views[from].text;
        let mut forms: Vec<View> = Vec::new();
        let view = &self.views[from];
        let mut add = |how, kind, form: Option<(String, Mapping)>| {
            forms.extend(form.map(|form| view.read_as(how, kind, form)));
        };
        if survey.mixed >= FEWEST_MIXED {
            add("leet", ViewKind::InPlace, leet::lettered(text));
        }
        for cipher in &hints.ciphers {
            add(cipher.name(), cipher.kind(), cipher.read(text));
        }
        self.views.extend(forms);
    }

    /// Adds what was packed, one form for each encoding, with a wall between each two.
    fn unpack(&mut self, from: usize, blobs: Vec<Blob>, depth: usize) {
        let mut encodings: Vec<&'static str> = Vec::new();
        for blob in &blobs {
            let view = &self.views[from];
            let range = view.original(blob.range.clone());
            let is_in_place = view.kind == ViewKind::InPlace;
            // What is packed too deeply is not read either.
            match blob.text {
                Some(_) if depth < DEEPEST => {
                    if is_in_place {
                        self.unpacked.insert((range.start, range.end));
                    }
                    if !encodings.contains(&blob.encoding) {
                        encodings.push(blob.encoding);
                    }
                }
                Some(_) if is_in_place => self.too_deep.push(range),
                _ => self.opaque.push(range),
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
                    rewriting.replace(blob.range.clone(), WALL);
                }
                rewriting.replace(blob.range.clone(), text);
            }
            if let Some(read) = rewriting.finish() {
                let view = view.read_as(encoding, ViewKind::Unpacked, read);
                self.read(view, depth + 1);
            }
        }
    }
}

type Form = fn(&str) -> Option<(String, Mapping)>;
