//! An automaton that reads on from a fixed place, whose states are made as they are met and forgotten when they are
//! many: linear in time, and bounded in memory.

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::pool::Pool;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

/// What came of reading up to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The first match ends so many bytes after the place.
    Match(usize),
    /// Nothing that follows can make it a match.
    Dead,
    /// More text could make it a match.
    Alive,
    /// It is a match as it stands, and the text ends with it.
    MatchAtEnd,
}

pub(super) struct Automaton {
    dfa: DFA,
    caches: Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync>>,
}

impl Automaton {
    pub fn new(pattern: &str, syntax: syntax::Config) -> Result<Self, String> {
        let dfa = DFA::builder()
            .configure(DFA::config().match_kind(MatchKind::All).unicode_word_boundary(true))
            .syntax(syntax)
            .thompson(thompson::Config::new().utf8(false))
            .build(pattern)
            .map_err(|e| format!("{pattern}: {e}"))?;
        let made = dfa.clone();
        Ok(Self { dfa, caches: Pool::new(Box::new(move || made.create_cache())) })
    }

    /// Reads on from `at` up to the first match that may end where it does, so many bytes on.
    pub fn first_match(&self, text: &[u8], at: usize, may_end: impl Fn(usize) -> bool) -> Outcome {
        self.read(text, at, text.len(), |read| may_end(read).then_some(Outcome::Match(read))).0
    }

    /// Reads on from `at` to the end, over matches; no more than `work` bytes, which are taken off it.
    pub fn at_end(&self, text: &[u8], at: usize, work: &mut usize) -> Outcome {
        let (outcome, read) = self.read(text, at, *work, |_| None);
        *work -= read;
        outcome
    }

    /// What came of it, and how many bytes were read, at most `most`. What is not read may be anything.
    fn read(
        &self,
        text: &[u8],
        at: usize,
        most: usize,
        matched: impl Fn(usize) -> Option<Outcome>,
    ) -> (Outcome, usize) {
        let mut cache = self.caches.get();
        let input = Input::new(text).range(at..).anchored(Anchored::Yes);
        let Ok(mut state) = self.dfa.start_state_forward(&mut cache, &input) else {
            return (Outcome::Alive, 0);
        };
        for (read, byte) in text[at..].iter().enumerate() {
            if read == most {
                return (Outcome::Alive, read);
            }
            // What it cannot go on with may be anything.
            let Ok(next) = self.dfa.next_state(&mut cache, state, *byte) else {
                return (Outcome::Alive, read);
            };
            state = next;
            // A match is known one byte after its end.
            if let Some(outcome) = state.is_match().then(|| matched(read)).flatten() {
                return (outcome, read);
            }
            if state.is_dead() {
                return (Outcome::Dead, read);
            }
            if state.is_quit() {
                return (Outcome::Alive, read);
            }
        }
        match self.dfa.next_eoi_state(&mut cache, state) {
            Ok(end) if end.is_match() => (Outcome::MatchAtEnd, text.len() - at),
            _ => (Outcome::Alive, text.len() - at),
        }
    }
}
