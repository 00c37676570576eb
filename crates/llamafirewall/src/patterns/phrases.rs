//! How instructions to a model try to take the place of those it has. A phrase begins with one of its keywords; what
//! has to follow is a pattern that is anchored there.

use super::tongues::{self, Tongue, Words};
use std::ops::Range;

/// A family of phrases.
pub(super) struct Phrase {
    pub name: &'static str,
    /// In lower case; ASCII letters are found in either case.
    pub keywords: &'static [&'static str],
    /// What follows the keyword. `~` stands for what may stand between two words, `@` for up to four other words.
    pub pattern: &'static str,
    /// The language, where it is not English.
    pub tongue: Option<&'static Tongue>,
}

impl Phrase {
    const ENGLISH: Self = Self { name: INJECTION, keywords: &[], pattern: "", tongue: None };

    /// What has to follow a keyword, with abbreviations written out.
    pub fn spelt(&self) -> String {
        match self.tongue {
            Some(tongue) => tongue.spell(self.pattern),
            None => self.pattern.replace('@', OTHER_WORDS).replace('~', BETWEEN),
        }
    }
}

/// Points and semicolons, and what closes after them. White space behind them ends a sentence.
macro_rules! points {
    () => {
        r#"(?:[.;]+[)"'\]*_`]*)"#
    };
}

/// The same with another sign behind them that is no white space, or three points and more.
macro_rules! inner_points {
    () => {
        r#"\.{3,}|[.;]+[)"'\]*_`]*[^a-z0-9\x1c.;\s)"'\]*_`]"#
    };
}

/// What makes the instructions those of a model; `the` and `any` alone do not.
macro_rules! of_a_model {
    () => {
        concat!(
            r"(?:all|your|my|these|those|every|previous|previously|prior|above|earlier|preceding|former|foregoing|",
            r"initial|original|system|existing|current|given|other|old|past|safety|developer|hidden)"
        )
    };
}

/// What a model is told.
macro_rules! instructions {
    () => {
        concat!(
            r"(?:instructions?|prompts?|directives?|guidelines|commands?|programming|orders|directions|constraints|",
            r"restrictions|policies|training)"
        )
    };
}

/// Between two words: nothing at all, where letters were brought together, and no end of a sentence.
pub(super) const BETWEEN: &str =
    concat!(r"(?-u:(?:[^a-z0-9\x1c.;]|", inner_points!(), r")*", points!(), r"?)");
/// Up to four other words, in the same paragraph.
pub(super) const OTHER_WORDS: &str = concat!(
    r"(?:(?-u:(?:(?:[^a-z0-9\x1c.;\n]|",
    inner_points!(),
    r")+\n?(?:[^a-z0-9\x1c.;\n]|",
    inner_points!(),
    r")*|\n(?:[^a-z0-9\x1c.;\n]|",
    inner_points!(),
    r")*)",
    points!(),
    r"?|(?-u:",
    points!(),
    r"))[a-z']+){0,4}"
);

pub(super) const INJECTION: &str = "Prompt injection";

/// All families. Nothing here was taken from a set that detectors are measured on.
pub(super) fn phrases() -> impl Iterator<Item = &'static Phrase> {
    PHRASES.iter().chain(tongues::PHRASES)
}

const PHRASES: &[Phrase] = &[
    Phrase {
        keywords: &[
            "ignore",
            "ignoring",
            "disregard",
            "forget",
            "override",
            "overlook",
            "neglect",
            "bypass",
            "discard",
            "dismiss",
            "do not follow",
            "don't follow",
            "stop following",
            "pay no attention to",
            "do not obey",
        ],
        pattern: concat!(
            r"(?:ing)?@(?:(?:~(?:the|any|of|and)){0,3}~",
            of_a_model!(),
            r"(?:~(?:the|any|of|and|",
            of_a_model!(),
            r")){0,4}~",
            instructions!(),
            r"|~(?:the|any)~",
            instructions!(),
            r"~(?:(?:from~)?(?:above|before|earlier)|previously|(?:that~)?(?:you|i|we)(?:'ve|~have|~had|~were|~are)*~",
            r"(?:given|gave|told|got|received)))"
        ),
        ..Phrase::ENGLISH
    },
    Phrase {
        keywords: &["ignore", "disregard", "forget", "discard"],
        pattern: concat!(
            r"@(?:~(?:all|any|the|your|of)){0,3}~(?:previous|prior|above|earlier|preceding|foregoing)~(?:rules|",
            r"messages|conversation|context|text|tasks?|requests?|statements?|input|content|information)(?-u:\b)"
        ),
        ..Phrase::ENGLISH
    },
    Phrase {
        keywords: &["ignore", "disregard", "forget"],
        pattern: concat!(
            r"~(?:everything|anything|all|whatever)(?:~(?:of|the|that|what))?~(?:above|(?:you(?:'ve|~have|~had)?|i(?:'ve|",
            r"~have)?|we(?:'ve|~have)?)~(?:were|been|was)?~(?:told|said|learned|instructed|given|discussed)|",
            r"(?:came|was|said|written)~(?:before|above|earlier))"
        ),
        ..Phrase::ENGLISH
    },
    Phrase {
        keywords: &[
            "reveal", "repeat", "print", "output", "leak", "show", "tell", "give", "display", "recite",
            "dump",
        ],
        pattern: concat!(
            r"(?:~(?:me|us|out|back|the|your|all|full|entire|exact|complete|verbatim|of|text|contents?|word|for|with|",
            r"whole)){0,6}~(?:(?:your|the)~)?(?:system|initial|original|hidden|secret|internal)~(?:prompt|instructions?)(?-u:\b)"
        ),
        ..Phrase::ENGLISH
    },
    Phrase {
        name: "Jailbreak",
        keywords: &[
            "do anything now",
            "developer mode output",
            "dan mode",
            "jailbreak mode",
            "god mode enabled",
        ],
        pattern: "",
        ..Phrase::ENGLISH
    },
    // Telephones have such a mode too.
    Phrase {
        name: "Jailbreak",
        keywords: &[
            "chatgpt with",
            "gpt with",
            "assistant with",
            "model with",
            "ai with",
            "respond with",
            "answer with",
        ],
        pattern: r"(?:~(?:the|your))?~developer~mode~(?:enabled|on|activated)",
        ..Phrase::ENGLISH
    },
    Phrase {
        name: "Jailbreak",
        keywords: &["developer mode enabled"],
        pattern: r"(?-u:[^a-z0-9\x1c])*(?:you~(?:will|must|are)|chatgpt|ignore|all~(?:filters|restrictions|safety))",
        ..Phrase::ENGLISH
    },
    Phrase {
        name: "Jailbreak",
        keywords: &["you are now", "you're now", "act as", "pretend to be", "pretend you are", "respond as"],
        pattern: concat!(
            r"(?:~(?:an?|the|my|in|going|to|be|called|named|ai|evil))?(?:~[a-z]{1,16}){0,2}?~(?:dan(?-u:\b)|jailbroken|",
            r"unrestricted|unfiltered|uncensored|amoral|developer~mode|an?~ai~without)"
        ),
        ..Phrase::ENGLISH
    },
    Phrase {
        name: "Jailbreak",
        keywords: &[
            "no longer bound by",
            "not bound by",
            "free from",
            "freed from",
            "without any",
            "have no",
            "has no",
        ],
        pattern: concat!(
            r"@~(?:ethical|moral|openai|anthropic|programmed)(?:~(?:and|or|moral|ethical|legal|content|safety))*",
            r"~(?:guidelines|restrictions|constraints|limitations|filters|policies|policy)"
        ),
        ..Phrase::ENGLISH
    },
    // Interfaces have no such limits either, so it has to be said to somebody.
    Phrase {
        name: "Jailbreak",
        keywords: &[
            "no longer bound by",
            "not bound by",
            "you have no",
            "you now have no",
            "you are free from",
            "you're free from",
            "you are now free from",
            "you are freed from",
            "act without any",
            "answer without any",
            "reply without any",
            "respond without any",
        ],
        pattern: concat!(
            r"@~(?:content|safety)(?:~(?:and|or|moral|ethical|legal|content|safety))*",
            r"~(?:guidelines|restrictions|constraints|limitations|filters|policies|policy)"
        ),
        ..Phrase::ENGLISH
    },
];

/// Words that end in a keyword and mean something else. In other words letters may have been brought together.
const OTHER_WORDS_WITH_KEYWORDS: &[&str] = &[
    "gitignore",
    "dockerignore",
    "npmignore",
    "eslintignore",
    "prettierignore",
    "helmignore",
    "hgignore",
    "contact as",
    "exact as",
    "impact as",
    "interact as",
    "react as",
    "blueprint",
    "fingerprint",
    "footprint",
    "forgive",
];

/// Whether a keyword does not mean what it means elsewhere: it ends another word, or is about what is not to be forgotten.
pub(super) fn is_other_word(text: &str, keyword: &Range<usize>, tongue: Option<&Tongue>) -> bool {
    if let Some(tongue) = tongue {
        return tongue.has_whole_words() && is_within_word(text, keyword.start);
    }
    let (text, before) = (text.as_bytes(), &text.as_bytes()[..keyword.start]);
    let is_end_of = |word: &str| word.len() > keyword.len() && ends_with(&text[..keyword.end], word);
    if OTHER_WORDS_WITH_KEYWORDS.iter().any(|word| is_end_of(word)) {
        return true;
    }
    const REMEMBER: [&str; 4] = ["not ", "n't ", "n’t ", "never "];
    let is_kept = || REMEMBER.iter().any(|word| ends_with(before, word)) && !ends_with(before, "why not ");
    let is_work = || {
        let begins = |words: &str| {
            text[keyword.end..]
                .get(..words.len())
                .is_some_and(|text| text.eq_ignore_ascii_case(words.as_bytes()))
        };
        begins(" to ") && !begins(" to follow") && !begins(" to obey")
    };
    let is = |word: &str| text[keyword.clone()].eq_ignore_ascii_case(word.as_bytes());
    (["forget", "ignore", "disregard", "overlook", "neglect"].iter().any(|word| is(word)) && is_kept())
        || (is("forget") && is_work())
}

/// Whether a letter stands before this place.
pub(super) fn is_within_word(text: &str, at: usize) -> bool {
    text.get(..at).is_some_and(|before| before.ends_with(is_letter))
}

/// Whether words before an order of another language make it none.
pub(super) fn is_denied(text: &str, keyword: usize, tongue: &Tongue) -> bool {
    /// How far before the order they may stand, in letters.
    const REACH: usize = 40;
    let before = &text[..keyword];
    let far = before.char_indices().rev().take(REACH).last().map_or(keyword, |(at, _)| at);
    let is_gap = |c: char| matches!(c, ' ' | '\'' | '’');
    let clause = before[far..].rsplit(|c: char| !is_letter(c) && !is_gap(c)).next().unwrap_or_default();
    let clause = clause.to_lowercase();
    if tongue.words == Words::Together {
        let near = clause.trim_end();
        let near = &near[near.char_indices().rev().take(3).last().map_or(near.len(), |(at, _)| at)..];
        return tongue.before.iter().any(|word| match word.strip_suffix('*') {
            Some(begin) => !near.is_empty() && near.contains(begin),
            None => near.contains(word),
        });
    }
    let is_one = |word: &str, known: &&str| {
        known.strip_suffix('*').map_or(word == *known, |begin| word.starts_with(begin))
    };
    let words = clause.rsplit(is_gap).filter(|word| !word.is_empty()).take(2);
    words.into_iter().any(|word| tongue.before.iter().any(|known| is_one(word, known)))
}

/// Letters, digits, and the signs that are part of words in Devanagari and Arabic.
fn is_letter(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\u{900}'..='\u{963}' | '\u{64b}'..='\u{652}')
}

fn ends_with(text: &[u8], word: &str) -> bool {
    text.len().checked_sub(word.len()).is_some_and(|at| text[at..].eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether a phrase that begins behind its keyword at `start` may end at `end`: it is one sentence, its last word is whole where its language
/// has words, and nothing in it or behind it says that it is none. A command line is nothing that a model is told.
pub(super) fn may_end(text: &str, start: usize, end: usize, tongue: Option<&Tongue>) -> bool {
    let (Some(inside), Some(rest)) = (text.get(start..end), text.get(end..)) else { return false };
    if has_end_of_sentence(inside) {
        return false;
    }
    let Some(tongue) = tongue else {
        let rest = rest.strip_prefix(['-', ' ']).unwrap_or(rest).as_bytes();
        let is_line = rest.get(..4).is_some_and(|rest| rest.eq_ignore_ascii_case(b"line"));
        return !(is_line && ends_with(inside.as_bytes(), "command"));
    };
    if tongue.words != Words::Together && inside.ends_with(is_letter) && rest.starts_with(is_letter) {
        return false;
    }
    let is_denial = |word: &str| tongue.inside.iter().any(|known| word.eq_ignore_ascii_case(known));
    let behind = rest.strip_prefix(' ').and_then(|rest| rest.split(|c: char| !is_letter(c)).next());
    !behind.is_some_and(is_denial) && !inside.split(|c: char| !is_letter(c)).any(is_denial)
}

/// Whether a sentence ends before the last letter, with a sign of another script than ASCII, which need no white space behind them.
fn has_end_of_sentence(text: &str) -> bool {
    const ENDS: [char; 9] = ['。', '｡', '！', '？', '；', '।', '॥', '؟', '۔'];
    let text = text.trim_end_matches(|c: char| !is_letter(c));
    text.char_indices().filter(|(_, c)| ENDS.contains(c)).any(|(at, c)| {
        let beside = [text[..at].chars().next_back(), text[at + c.len_utf8()..].chars().next()];
        beside.into_iter().flatten().any(|c| !c.is_ascii() || c.is_ascii_whitespace())
    })
}

/// Whether a finding of that name is a phrase.
pub(super) fn is_phrase(name: &str) -> bool {
    phrases().any(|phrase| phrase.name == name)
}
