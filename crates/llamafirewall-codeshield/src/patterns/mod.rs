//! The rules over plain text: words that are looked for all at once, and what must stand around each.
//!
//! Every rule starts with a fixed word, so one pass of an automaton finds the places worth a look, and each is checked
//! from there on. A check that fails says how far it is pointless to try again, so that no text takes more than
//! linear time, however often the word is repeated in it.

mod table;

use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::Regex;

use crate::base64::is_within_base64;
use crate::issue::Severity;
use crate::language::Language;
use crate::scan::PLACES_PER_RULE;
pub(crate) use table::PATTERNS;

/// One rule.
pub(crate) struct Pattern {
    /// Its name in the Python CodeShield.
    pub id: &'static str,
    /// `None` for secrets, which no language has to itself.
    pub language: Option<Language>,
    pub cwe: &'static str,
    pub severity: Severity,
    pub message: &'static str,
    /// Words that a match begins with.
    pub words: &'static [&'static str],
    pub before: Before,
    /// What follows the start of the word.
    pub tail: Tail,
}

/// What must stand in front of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    Anything,
    /// No letter, digit or underscore.
    Boundary,
    /// No letter or digit of ASCII.
    NoAlphanumeric,
    /// Three dashes or more, and space.
    Dashes,
}

/// What must follow.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tail {
    /// A regular expression from the start of the word on. Where it fails, later words fail too up to the given
    /// border: it asks for something after the word that did not come.
    Expression(&'static str, Border),
    /// At least so many bytes of a kind after the word.
    Run(usize, fn(u8) -> bool),
}

/// How far a failed check speaks for later words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Border {
    /// Not beyond this word.
    Here,
    /// To the end of letters, digits and underscores.
    Name,
    /// To the next white space.
    Space,
    /// To the end of the line, which the check does not leave.
    Line,
    /// To the next semicolon, which the check does not pass.
    Statement,
}

/// A match: which rule, and where.
pub(crate) struct Hit {
    pub pattern: &'static Pattern,
    pub start: usize,
    pub end: usize,
}

struct Engine {
    words: AhoCorasick,
    /// The rules of each word.
    owners: Vec<usize>,
    tails: Vec<Option<Regex>>,
}

/// What is known of the text that rules look at. It is asked only where a rule's word stands.
pub(crate) trait Known {
    /// Whether a rule holds for this text.
    fn holds(&self, pattern: &Pattern) -> bool;
    /// Whether a byte belongs to a comment or to the text of a string; `None` where that is not known.
    fn is_inert(&self, at: usize) -> Option<bool>;
}

/// All matches in code, in the order of the text; of each rule one per line and at most the first 64. Secrets are secrets in strings
/// too. Where nothing is known of the text, lines that begin as comments are none.
pub(crate) fn find(text: &str, known: &dyn Known) -> Vec<Hit> {
    let engine = engine();
    let mut hits = Vec::new();
    let mut lines = Lines::default();
    let mut tried = vec![0; PATTERNS.len()];
    let mut listed = vec![0; PATTERNS.len()];
    for word in engine.words.find_overlapping_iter(text) {
        let owner = engine.owners[word.pattern().as_usize()];
        let pattern = &PATTERNS[owner];
        let is_listed = listed[owner] < PLACES_PER_RULE;
        if word.start() < tried[owner] || !is_listed || !stands_before(text, word.start(), pattern.before) {
            continue;
        }
        lines.go_to(text, word.start());
        if !known.holds(pattern) {
            continue;
        }
        let is_inert =
            |language| known.is_inert(word.start()).unwrap_or_else(|| lines.is_comment(text, Some(language)));
        if pattern.language.is_some_and(is_inert) {
            continue;
        }
        match engine.end(text, owner, word.start()..word.end()) {
            Ok(end) if is_of_base64(pattern, text, word.start()..end) => tried[owner] = end,
            Ok(end) => {
                hits.push(Hit { pattern, start: word.start(), end });
                listed[owner] += 1;
                tried[owner] = end.max(lines.end(text));
            }
            Err(border) => tried[owner] = border,
        }
    }
    hits.sort_by_key(|hit| hit.start);
    hits
}

/// Builds the automaton, so that no scan has to.
pub(crate) fn prepare() {
    engine();
}

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let owners: Vec<(usize, &str)> = PATTERNS
            .iter()
            .enumerate()
            .flat_map(|(at, pattern)| pattern.words.iter().map(move |word| (at, *word)))
            .collect();
        let words = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .build(owners.iter().map(|(_, word)| word));
        let tails = PATTERNS.iter().map(|pattern| match pattern.tail {
            Tail::Expression(expression, _) => Regex::new(&format!(r"\A(?:{expression})")).ok(),
            Tail::Run(..) => None,
        });
        Engine {
            words: words.expect("the words of the table fit an automaton"),
            tails: tails.collect(),
            owners: owners.iter().map(|(owner, _)| *owner).collect(),
        }
    })
}

impl Engine {
    /// Where the match that starts with a word ends; otherwise how far its rule need not be tried again.
    fn end(&self, text: &str, owner: usize, word: std::ops::Range<usize>) -> Result<usize, usize> {
        match PATTERNS[owner].tail {
            Tail::Run(least, kind) => {
                let rest = &text.as_bytes()[word.end..];
                let length = rest.iter().take_while(|&&byte| kind(byte)).count();
                if length >= least { Ok(word.end + length) } else { Err(word.end + length) }
            }
            Tail::Expression(_, border) => {
                let limit = border.limit(text, word.start);
                let rest = &text[word.start..limit.unwrap_or(text.len())];
                match self.tails[owner].as_ref().and_then(|tail| tail.find(rest)) {
                    Some(found) => Ok(word.start + found.end()),
                    None => Err(limit.unwrap_or_else(|| border.retry(text, word.end))),
                }
            }
        }
    }
}

impl Border {
    /// Where the text that a check may see ends, where the border limits it.
    fn limit(self, text: &str, from: usize) -> Option<usize> {
        let end = match self {
            Self::Line => text[from..].find('\n'),
            Self::Statement => text[from..].find(';'),
            Self::Here | Self::Name | Self::Space => return None,
        };
        Some(end.map_or(text.len(), |end| from + end))
    }

    /// Where to try again after a check that nothing limits.
    fn retry(self, text: &str, from: usize) -> usize {
        let rest = &text[from..];
        let length = match self {
            Self::Name => rest.find(|c: char| !(c.is_alphanumeric() || c == '_')),
            Self::Space => rest.find(char::is_whitespace),
            Self::Here | Self::Line | Self::Statement => Some(0),
        };
        length.map_or(text.len(), |length| from + length)
    }
}

/// Whether letters and digits that a rule counts are those of a longer run of base64.
fn is_of_base64(pattern: &Pattern, text: &str, span: std::ops::Range<usize>) -> bool {
    let begins = |word: &&&str| text[span.start..].starts_with(**word);
    matches!(pattern.tail, Tail::Run(..))
        && pattern.words.iter().find(begins).is_some_and(|word| is_within_base64(text, &span, word))
}

fn stands_before(text: &str, at: usize, before: Before) -> bool {
    let head = &text[..at];
    match before {
        Before::Anything => true,
        Before::Boundary => !head.ends_with(|c: char| c.is_alphanumeric() || c == '_'),
        Before::NoAlphanumeric => !head.ends_with(|c: char| c.is_ascii_alphanumeric()),
        Before::Dashes => head.trim_end().ends_with("---"),
    }
}

/// The line that a walk over a text has reached.
#[derive(Default)]
struct Lines {
    start: usize,
    reached: usize,
    /// Where the line's first sign is that is no space.
    first: usize,
}

impl Lines {
    fn go_to(&mut self, text: &str, at: usize) {
        if at < self.reached {
            return;
        }
        if let Some(last) = text[self.reached..at].rfind('\n') {
            self.start = self.reached + last + 1;
        }
        if self.first < self.start || self.reached == 0 {
            let blank = text[self.start..].find(|c: char| !c.is_whitespace() || c == '\n');
            self.first = blank.map_or(text.len(), |blank| self.start + blank);
        }
        self.reached = at;
    }

    fn end(&self, text: &str) -> usize {
        text[self.reached..].find('\n').map_or(text.len(), |end| self.reached + end)
    }

    /// Whether the line begins as a comment that reaches to the place that was reached. A macro of C is none.
    fn is_comment(&self, text: &str, language: Option<Language>) -> bool {
        if self.first >= self.reached {
            return false;
        }
        let before = &text[self.first..self.reached];
        let is_macro = matches!(language, Some(Language::C | Language::Cpp))
            && before.strip_prefix('#').is_some_and(|rest| rest.trim_start().starts_with("define"));
        (before.starts_with('#') && !is_macro)
            || before.starts_with("//")
            || (before.starts_with("/*") && !before.contains("*/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every rule holds, and nothing is known.
    struct Nothing;

    impl Known for Nothing {
        fn holds(&self, _: &Pattern) -> bool {
            true
        }

        fn is_inert(&self, _: usize) -> Option<bool> {
            None
        }
    }

    fn ids(text: &str) -> Vec<&'static str> {
        find(text, &Nothing).iter().map(|hit| hit.pattern.id).collect()
    }

    #[test]
    fn every_expression_compiles() {
        for (pattern, tail) in PATTERNS.iter().zip(&engine().tails) {
            assert_eq!(tail.is_some(), matches!(pattern.tail, Tail::Expression(..)), "{}", pattern.id);
        }
    }

    #[test]
    fn comments_are_skipped_and_what_follows_them_is_not() {
        assert_eq!(ids("# hashlib.sha1(x)\n"), Vec::<&str>::new());
        assert_eq!(ids("# hashlib.sha1(x)\nhashlib.sha1(x)\n").len(), 2);
        assert_eq!(ids("   // std::auto_ptr<int> p;"), Vec::<&str>::new());
        assert_eq!(ids("/* std::auto_ptr<int> p; */"), Vec::<&str>::new());
        assert_eq!(ids("/* x */ std::auto_ptr<int> p;"), ["deprecated-auto_ptr-usage"]);
        assert_eq!(ids("int x; /* y */ std::auto_ptr<int> p;"), ["deprecated-auto_ptr-usage"]);
        assert_eq!(ids("int x; // std::auto_ptr<int> p;"), ["deprecated-auto_ptr-usage"]);
        assert_eq!(ids("#define READ gets(line)"), ["bugprone-gets"]);
    }

    #[test]
    fn lines_begin_with_any_character() {
        for text in ["• She gets it.", "Éric gets up early.", "不要使用 gets() 函数。", "é scanf", "…DES_x"]
        {
            ids(text);
        }
        assert_eq!(ids("« gets(line) »"), ["bugprone-gets"]);
    }

    #[test]
    fn a_failed_try_does_not_hide_a_later_match() {
        assert_eq!(
            ids("Cipher.getInstance(mode); Cipher.getInstance(\"AES/ECB/X\");"),
            ["deprecated-ecb-usage"]
        );
        assert!(ids("EVP_bf_x; EVP_bf_cbc();").contains(&"blowfish-encryption-usage"));
        assert_eq!(
            ids("xmlReadDoc(a); xmlReadDoc(a, b, c, XML_PARSE_NOENT);"),
            ["xml-external-entity-usage"]
        );
        let url =
            "x.setFeature(\"http://a/b\", false); x.setFeature(\"http://a/disallow-doctype-decl\", false);";
        assert_eq!(ids(url), ["doctype-not-disabled"]);
    }

    #[test]
    fn pieces_of_base64_are_no_tokens() {
        let token = format!("EAA{}", "a1B2".repeat(25));
        let (before, behind) = ("iz9gFwAA6FsNAACFwA", "EAQEAAEiLdQBIjT03Gg");
        for text in [
            format!("src=\"data:image/png;base64,{}/{token}+{}\"", before.repeat(20), behind.repeat(20)),
            format!("\"{before}+{token}/{behind}==\""),
            format!("\"{token}+{behind}=\""),
        ] {
            assert_eq!(ids(&text), Vec::<&str>::new(), "{text}");
        }
        for text in [
            token.clone(),
            format!("\"{before}\" + \"{token}\""),
            format!("https://graph.example.com/{before}/{token}"),
            format!("access_token={token}&x={before}/{behind}"),
            format!("/me/{token}"),
            format!("// {token}\n{before}"),
        ] {
            assert_eq!(ids(&text), ["ALL-R-008"], "{text}");
        }
        assert_eq!(ids(&format!("{token}/{token}")), ["ALL-R-008"]);
    }

    #[test]
    fn of_each_rule_one_match_per_line() {
        assert_eq!(ids("gets(a); gets(b);\ngets(c);"), ["bugprone-gets", "bugprone-gets"]);
    }
}
