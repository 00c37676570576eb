//! Finds keywords in one pass, and looks at each place by the rule that the keyword belongs to. Every rule looks no
//! further than a fixed distance, so the time grows with the text alone.

use super::addresses;
use super::assigned::{assigned, login};
use super::automaton::{Automaton, Outcome};
use super::personal::is_word;
use super::phrases::{self, Phrase, is_denied, is_other_word, may_end};
use super::printed;
use super::private_keys::{self, private_key};
use super::secrets::{ASSIGNED, Assigned, Class, Demand, LOGIN, TOKENS, Token, entropy, is_placeholder};
use super::tongues::Tongue;
use super::{Found, Group};
use aho_corasick::{AhoCorasick, AhoCorasickKind};
use llamafirewall_codeshield::is_within_base64;
use regex_automata::util::syntax;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

/// How far a phrase reaches, in bytes.
pub(super) const LONGEST_PHRASE: usize = 400;
/// How much longer its last word may be.
const LONGEST_ENDING: usize = 16;
/// Bits per character that a token has at least.
const FEWEST_BITS: f32 = 2.5;
/// How much text after a phrase may say that it is none: ` line` after `command`, ` niemals` after an order.
const LOOK_AHEAD: usize = 16;

/// What a place turned out to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    /// A finding.
    pub found: Option<Found>,
    /// More text could make it a finding, or a longer one, that begins here.
    pub open: Option<usize>,
    /// Whether it is one of the phrases.
    pub is_phrase: bool,
}

impl Seen {
    pub fn nothing() -> Self {
        Self::default()
    }

    pub fn open_at(at: usize) -> Self {
        Self { open: Some(at), ..Self::default() }
    }

    pub fn found(name: &'static str, span: Range<usize>) -> Self {
        Self { found: Some(Found { name: name.into(), span }), ..Self::default() }
    }
}

enum Rule {
    Phrase(&'static Phrase, OnceLock<Box<Result<Automaton, Broken>>>),
    Token(&'static Token),
    Assigned(&'static Assigned),
    Login,
    PrivateKey,
    Address,
}

/// The rules of some groups.
pub(super) struct Matcher {
    keywords: AhoCorasick,
    /// Keyword as written, and the rule of it.
    rules: Vec<(Cow<'static, str>, usize)>,
    kinds: Vec<Rule>,
    longest_keyword: usize,
}

/// What makes the rules unusable: a mistake in their tables.
pub(super) type Broken = String;

impl Matcher {
    /// The rules of these groups.
    pub fn new(groups: &[Group]) -> Result<Self, Broken> {
        let mut matcher = Self::without_keywords()?;
        for group in groups {
            match group {
                Group::Injection => {
                    for phrase in phrases::phrases() {
                        let words = in_either_case(phrase.keywords);
                        matcher.rules.extend(words.map(|word| (word, matcher.kinds.len())));
                        matcher.kinds.push(Rule::Phrase(phrase, OnceLock::new()));
                    }
                }
                Group::Personal => matcher.add(&["@"], Rule::Address),
                Group::Secrets => {
                    TOKENS.iter().for_each(|token| matcher.add(token.prefixes, Rule::Token(token)));
                    ASSIGNED.iter().for_each(|row| matcher.add(row.names, Rule::Assigned(row)));
                    matcher.add(LOGIN.names, Rule::Login);
                    matcher.add(private_keys::BEGINNINGS, Rule::PrivateKey);
                }
            }
        }
        let words = matcher.rules.iter().map(|(word, _)| word.as_bytes());
        let builder = &mut AhoCorasick::builder();
        let builder = builder.ascii_case_insensitive(true).kind(Some(AhoCorasickKind::DFA));
        matcher.keywords = builder.build(words).map_err(|e| e.to_string())?;
        matcher.longest_keyword = matcher.rules.iter().map(|(word, _)| word.len()).max().unwrap_or(0);
        Ok(matcher)
    }

    fn without_keywords() -> Result<Self, Broken> {
        let keywords = AhoCorasick::new([] as [&str; 0]).map_err(|e| e.to_string())?;
        Ok(Self { keywords, rules: Vec::new(), kinds: Vec::new(), longest_keyword: 0 })
    }

    fn add(&mut self, words: &[&'static str], rule: Rule) {
        self.rules.extend(words.iter().map(|word| (Cow::Borrowed(*word), self.kinds.len())));
        self.kinds.push(rule);
    }

    fn has_whole_words(&self, rule: usize) -> bool {
        matches!(&self.kinds[rule], Rule::Phrase(row, _) if row.tongue.is_some_and(Tongue::has_whole_words))
    }

    /// Calls `each` with what every place turned out to be.
    pub fn look(&self, text: &str, each: &mut dyn FnMut(Seen)) {
        for hit in self.keywords.find_overlapping_iter(text) {
            let (word, rule) = &self.rules[hit.pattern().as_usize()];
            let place = hit.start()..hit.end();
            let seen = match &self.kinds[*rule] {
                Rule::Phrase(row, _) if is_other_word(text, &place, row.tongue) => Seen::nothing(),
                // Made when its first keyword is met, for most texts have those of few languages. A rule that cannot be made finds
                // whatever it is asked about.
                Rule::Phrase(row, made) => match made.get_or_init(|| Box::new(tail(row))).as_ref() {
                    Ok(tail) => phrase(row, tail, text, place),
                    Err(_) => Seen::found(row.name, place),
                },
                Rule::Token(token) if text[place.clone()] == **word => self::token(token, text, place),
                Rule::Token(_) => Seen::nothing(),
                Rule::Assigned(row) => assigned(row, text, place),
                Rule::Login => login(&LOGIN, text, place),
                Rule::PrivateKey => private_key(text, place),
                Rule::Address => address(text, place.start),
            };
            if seen.found.is_some() || seen.open.is_some() {
                let is_phrase = matches!(self.kinds[*rule], Rule::Phrase(..));
                each(Seen { is_phrase, ..seen });
            }
        }
    }

    /// The first byte of an end of `text` that a keyword could begin with, or an address.
    pub fn open_end(&self, text: &str) -> usize {
        let bytes = text.as_bytes();
        let begins = |at: usize| {
            let tail = &bytes[at..];
            self.rules.iter().any(|(word, rule)| {
                word.len() > tail.len()
                    && word.as_bytes()[..tail.len()].eq_ignore_ascii_case(tail)
                    && !(self.has_whole_words(*rule) && phrases::is_within_word(text, at))
            })
        };
        let first = bytes.len().saturating_sub(self.longest_keyword);
        let keyword = (first..bytes.len()).find(|at| begins(*at)).unwrap_or(bytes.len());
        let has_addresses = self.kinds.iter().any(|rule| matches!(rule, Rule::Address));
        keyword.min(if has_addresses { addresses::open_end(text) } else { bytes.len() })
    }
}

/// Keywords with each of their cases, where they have letters beyond ASCII, which the search for keywords takes as they are.
fn in_either_case(words: &'static [&'static str]) -> impl Iterator<Item = Cow<'static, str>> {
    words.iter().flat_map(|word| {
        let has_cases = word.chars().any(|c| !c.is_ascii() && c.to_uppercase().ne([c]));
        if !has_cases {
            return vec![Cow::Borrowed(*word)];
        }
        let mut spelt = vec![String::new()];
        for c in word.chars() {
            let large = c.to_uppercase().ne([c]).then(|| c.to_uppercase());
            let large: Vec<String> = large.map_or_else(Vec::new, |large| {
                spelt.iter().map(|word| word.clone() + &large.to_string()).collect()
            });
            spelt.iter_mut().for_each(|word| word.push(c));
            spelt.extend(large);
        }
        spelt.into_iter().map(Cow::Owned).collect()
    })
}

/// An automaton for what follows a keyword.
fn tail(phrase: &Phrase) -> Result<Automaton, Broken> {
    Automaton::new(&phrase.spelt(), syntax::Config::new().case_insensitive(true).utf8(false))
}

/// Looks at what follows a keyword. The first match ends the phrase.
fn phrase(phrase: &Phrase, tail: &Automaton, text: &str, keyword: Range<usize>) -> Seen {
    let window = &text.as_bytes()[..text.len().min(keyword.start + LONGEST_PHRASE)];
    let is_cut = window.len() < text.len();
    let name = |end: usize| {
        if phrase.tongue.is_some_and(|tongue| is_denied(text, keyword.start, tongue)) {
            return Seen::nothing();
        }
        // The last word counts whole: `instruction` is known before its plural ends.
        let end = end + run(text, end, LONGEST_ENDING, |byte| byte.is_ascii_alphabetic());
        let open = (end + LOOK_AHEAD >= text.len()).then_some(keyword.start);
        Seen { open, ..Seen::found(phrase.name, keyword.start..end) }
    };
    let may_end = |end: usize| may_end(text, keyword.end, end, phrase.tongue);
    match tail.first_match(window, keyword.end, |read| may_end(keyword.end + read)) {
        Outcome::Match(read) => name(keyword.end + read),
        Outcome::Dead => Seen::nothing(),
        Outcome::Alive | Outcome::MatchAtEnd if is_cut => Seen::nothing(),
        Outcome::MatchAtEnd if may_end(text.len()) => name(text.len()),
        Outcome::Alive | Outcome::MatchAtEnd => Seen::open_at(keyword.start),
    }
}

/// Bytes of a class from `at` on, one more than `most` at the most.
pub(super) fn run(text: &str, at: usize, most: usize, has: impl Fn(u8) -> bool) -> usize {
    text.as_bytes()[at..].iter().take(most + 1).take_while(|byte| has(**byte)).count()
}

fn token(token: &Token, text: &str, prefix: Range<usize>) -> Seen {
    let bytes = text.as_bytes();
    // Looked at first: a run of such beginnings would else be read again from each of them.
    if !may_stand_after(token.demand, &bytes[..prefix.start]) {
        return Seen::nothing();
    }
    let (fewest, most) = token.length;
    let length = run(text, prefix.end, most, |byte| token.class.has(byte));
    let end = prefix.end + length;
    if length > most {
        return Seen::nothing();
    }
    let start = match token.demand {
        Demand::Behind(count, _) => prefix.start - count,
        _ => prefix.start,
    };
    let open = (end == text.len()).then_some(start);
    let secret = &bytes[prefix.end..end];
    let is_whole = match token.demand {
        Demand::Digit => secret.iter().any(u8::is_ascii_digit),
        Demand::ThreeParts => secret.iter().filter(|byte| **byte == b'.').count() >= 2,
        Demand::Padding => secret.windows(3).any(|window| window.eq_ignore_ascii_case(b"%3d")),
        Demand::Word | Demand::NoDash | Demand::Number(..) | Demand::Behind(..) => true,
    };
    let bits = if matches!(token.demand, Demand::Behind(..)) {
        entropy(&bytes[start..end])
    } else {
        entropy(secret)
    };
    let is_secret = length >= fewest
        && is_whole
        && bits >= FEWEST_BITS
        && !is_placeholder(secret)
        && !is_of_base64(token, text, &prefix, end);
    let found = is_secret.then(|| Found { name: token.provider.into(), span: start..end });
    Seen { found, open, is_phrase: false }
}

/// Whether it is a piece of base64, of which long runs have what few letters begin and any follow.
fn is_of_base64(token: &Token, text: &str, prefix: &Range<usize>, end: usize) -> bool {
    const MOST_LETTERS: usize = 4;
    let is_of_any = matches!(token.class, Class::Alnum | Class::Dashed | Class::Dotted | Class::Base64);
    is_of_any
        && prefix.len() <= MOST_LETTERS
        && is_within_base64(text, &(prefix.start..end), &text[prefix.clone()])
}

/// Whether a token may begin after this text.
fn may_stand_after(demand: Demand, before: &[u8]) -> bool {
    let is_word_before = |count: usize| before.iter().rev().nth(count).is_some_and(|byte| is_word(*byte));
    match demand {
        Demand::Number(fewest, most) => {
            let digits = before.iter().rev().take(most + 1).take_while(|byte| byte.is_ascii_digit()).count();
            (fewest..=most).contains(&digits) && !is_word_before(digits)
        }
        Demand::Behind(count, class) => {
            let behind = before.iter().rev().take(count + 1).take_while(|byte| class.has(**byte)).count();
            // An equals sign may stand before it, as before any value.
            behind == count || (behind > count && before[before.len() - behind] == b'=')
        }
        Demand::NoDash => !is_word_before(0) && before.last() != Some(&b'-'),
        Demand::ThreeParts => !is_word_before(0) && !is_part(before),
        Demand::Word | Demand::Digit | Demand::Padding => !is_word_before(0),
    }
}

/// Whether the first part of such a token, and a point, stand before: a run of them would be read again from each part.
fn is_part(before: &[u8]) -> bool {
    /// Bytes of a token's first part, at most: it names an algorithm and a key.
    const LONGEST_HEAD: usize = 400;
    let Some((b'.', before)) = before.split_last() else { return false };
    let length = before.iter().rev().take(LONGEST_HEAD).take_while(|b| is_word(**b) || **b == b'-').count();
    before[before.len() - length..].starts_with(b"eyJ")
}

fn address(text: &str, at: usize) -> Seen {
    let (span, open) = addresses::address(text, at);
    let span = span.filter(|span| !printed::is_no_address(text, span));
    let found = span.map(|span| Found { name: addresses::ADDRESS.into(), span });
    Seen { found, open, is_phrase: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_can_be_made() {
        for phrase in phrases::phrases() {
            assert_eq!(tail(phrase).err(), None, "{}", phrase.pattern);
        }
    }
}
