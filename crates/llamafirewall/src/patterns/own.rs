//! Patterns that a policy brings.

use super::Found;
use super::automaton::{Automaton, Outcome};
use llamafirewall_core::ScanDecision;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use std::borrow::Cow;

/// Memory that a compiled pattern may take, in bytes.
const LARGEST: usize = 4 << 20;
/// Look-around reaches over one character.
const LOOK_AROUND: usize = 4;

/// How many bytes are read for each of a text, and at least, to tell where matches can still come about.
const WORK_PER_BYTE: usize = 16;
const LEAST_WORK: usize = 4096;

/// A pattern of a policy.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// How it is called in reasons and reports.
    pub name: String,
    /// A regular expression, without look-around and references back; letters are found in either case unless
    /// `(?-i)` says otherwise, and `.` is any character.
    pub regex: String,
    /// What a match leads to; by default it blocks.
    #[serde(default = "block")]
    pub decision: ScanDecision,
}

fn block() -> ScanDecision {
    ScanDecision::Block
}

/// A pattern that is ready.
pub(super) struct OwnPattern {
    name: String,
    regex: Regex,
    decision: ScanDecision,
    reach: Option<usize>,
    /// Tells whether a match can still come about; not every pattern has one.
    progress: Option<Automaton>,
}

impl OwnPattern {
    pub fn new(pattern: Pattern) -> Result<Self, String> {
        if pattern.name.trim().is_empty() {
            return Err(format!(
                "the pattern '{}' needs a name, which is what reports call it by",
                pattern.regex
            ));
        }
        let syntax = syntax::Config::new().case_insensitive(true).dot_matches_new_line(true);
        let invalid = |e: &dyn std::fmt::Display| format!("pattern '{}': {e}", pattern.name);
        let parsed = syntax::parse_with(&pattern.regex, &syntax).map_err(|e| invalid(&e))?;
        if parsed.properties().minimum_len() == Some(0) || parsed.properties().minimum_len().is_none() {
            return Err(invalid(&"matches the empty text, which is everywhere"));
        }
        let config = Regex::config().nfa_size_limit(Some(LARGEST)).onepass_size_limit(Some(LARGEST));
        let regex = Regex::builder().configure(config).syntax(syntax).build(&pattern.regex);
        let regex = regex.map_err(|e| match e.size_limit() {
            Some(_) => invalid(&format!("compiles to more than {LARGEST} bytes")),
            None => invalid(&e),
        })?;
        let reach = parsed.properties().maximum_len().map(|length| length + LOOK_AROUND);
        let progress = Automaton::new(&pattern.regex, syntax).ok();
        Ok(Self { name: pattern.name, regex, decision: pattern.decision, reach, progress })
    }

    /// The first byte of an end of `text` that more text could make a match; `None` where a match may be of any length, and nothing tells
    /// how it comes about.
    pub fn open_end(&self, text: &str) -> Option<usize> {
        let mut first = self.reach.map_or(0, |reach| text.len().saturating_sub(reach));
        while !text.is_char_boundary(first) {
            first -= 1;
        }
        let Some(automaton) = &self.progress else { return self.reach.map(|_| first) };
        let mut work = LEAST_WORK + WORK_PER_BYTE * (text.len() - first);
        let mut starts = (first..text.len()).filter(|at| text.is_char_boundary(*at));
        // What would take longer stays open from where the work is done.
        let open = starts.find(|at| automaton.at_end(text.as_bytes(), *at, &mut work) != Outcome::Dead);
        Some(open.unwrap_or(text.len()))
    }

    pub fn look(&self, text: &str, each: &mut dyn FnMut(Found, ScanDecision, f32)) {
        for found in self.regex.find_iter(text) {
            let found = Found { name: Cow::Owned(self.name.clone()), span: found.range() };
            each(found, self.decision, if self.decision == ScanDecision::Allow { 0.0 } else { 1.0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(regex: &str) -> Pattern {
        Pattern { name: "mine".to_owned(), regex: regex.to_owned(), decision: ScanDecision::Block }
    }

    #[test]
    fn what_cannot_run_in_linear_time_is_refused() {
        for regex in [r"(a)\1", "(?=x)y", "(", "a{1000}{1000}", "x*", ""] {
            let refused = OwnPattern::new(pattern(regex)).map(|_| ()).expect_err(regex);
            assert!(refused.starts_with("pattern 'mine': "), "{refused}");
        }
    }

    #[test]
    fn only_what_may_become_a_match_is_open() {
        let open =
            |regex: &str, text: &str| OwnPattern::new(pattern(regex)).expect("it compiles").open_end(text);
        assert_eq!(open("ab{2,3}c", "xx abb"), Some(3));
        assert_eq!(open("ab{2,3}c", "xx abx"), Some(6));
        assert_eq!(open(r"project\s+bluebird", "a project by a project \n "), Some(15));
        assert_eq!(open(r"project\s+bluebird", "a project bluebirs"), Some(18));
        assert_eq!(open("ab+", "abb"), Some(0));
        assert_eq!(open("ab+", "xx"), Some(2));
        assert_eq!(open("a.*b", "xx a x"), Some(3));
    }

    /// Every start of a row of letters is read to its end.
    #[test]
    fn the_work_on_what_may_match_is_bounded() {
        let own = OwnPattern::new(pattern(r"[a-z]+\d")).expect("it compiles");
        let text = format!("{} {} ", "word ".repeat(1000), "a".repeat(1 << 20));
        let open = own.open_end(&text).expect("it is known");
        assert!((5000..5100).contains(&open), "{open}");
    }
}
