//! How tokenizer.json means a class: as Oniguruma reads Ruby's syntax, which is not always as `regex-syntax` does.
//!
//! What the two read alike is left as it stands, what can be said otherwise is rewritten, the rest is refused.

use std::collections::HashSet;
use std::sync::OnceLock;

use super::PatternError;
use super::classes::CharSet;

/// `\w` by itself: superscripts and fractions of Latin-1 belong to words, joiners of width zero do not.
const WORD: &str = r"[\w\u00B2\u00B3\u00B9\u00BC-\u00BE--[\u200C\u200D]]";
const NOT_WORD: &str = r"[\W\u200C\u200D--[\u00B2\u00B3\u00B9\u00BC-\u00BE]]";
/// `\w` in a bracket, where those superscripts and fractions do not belong to words.
const WORD_IN_BRACKET: &str = r"[\w--[\u200C\u200D]]";
const NOT_WORD_IN_BRACKET: &str = r"[\W\u200C\u200D]";

/// Classes of POSIX, which are Unicode's, as members of a bracket.
const POSIX: &[(&str, &str)] = &[
    ("alnum", r"\p{Alphabetic}\p{Nd}"),
    ("alpha", r"\p{Alphabetic}"),
    ("ascii", r"\x00-\x7F"),
    ("blank", r"\p{Zs}\t"),
    ("cntrl", r"\p{Cc}"),
    ("digit", r"\p{Nd}"),
    ("graph", r"[^\p{White_Space}\p{Cc}\p{Cn}]"),
    ("lower", r"\p{Lowercase}"),
    ("print", r"[^\p{White_Space}\p{Cc}\p{Cn}]\p{Zs}"),
    ("punct", r"\p{P}\p{S}"),
    ("space", r"\p{White_Space}"),
    ("upper", r"\p{Uppercase}"),
    ("word", r"\w--[\u200C\u200D]"),
    ("xdigit", "0-9A-Fa-f"),
];

/// The class `source` (an escape or a bracket, at character `at` of its pattern) in the syntax of `regex-syntax`.
pub(super) fn class(source: &[char], at: usize) -> Result<String, PatternError> {
    let refuse = |offset: usize, what| Err(PatternError::Unsupported { at: at + offset, what });
    let (mut out, mut here) = (String::new(), 0);
    let in_bracket = source.first() == Some(&'[');
    while let Some(&c) = source.get(here) {
        let next = source.get(here + 1).copied();
        let after = source.get(here + 2).copied();
        let taken = match (c, next) {
            ('\\', Some('w')) => rewrite(&mut out, if in_bracket { WORD_IN_BRACKET } else { WORD }, 2),
            ('\\', Some('W')) => {
                rewrite(&mut out, if in_bracket { NOT_WORD_IN_BRACKET } else { NOT_WORD }, 2)
            }
            ('\\', Some('p' | 'P')) if after != Some('{') => {
                return refuse(here, "a property without braces");
            }
            ('\\', Some('p' | 'P')) if names_its_kind(&source[here + 3..]) => {
                return refuse(here, "a property that names its kind, or begins with Is,");
            }
            ('\\', Some('U')) => return refuse(here, "this escape"),
            ('\\', Some('u')) if after == Some('{') => return refuse(here, "this escape"),
            ('\\', Some(escaped)) => {
                out.extend([c, escaped]);
                2
            }
            ('[', Some(':')) if here > 0 => match posix(&source[here..]) {
                None => rewrite(&mut out, "[", 1),
                Some(Ok((set, len))) => rewrite(&mut out, &set, len),
                Some(Err(())) => return refuse(here, "this POSIX class"),
            },
            ('-', Some('-')) | ('~', Some('~')) if in_bracket => {
                return refuse(here, "'--' or '~~' in a class");
            }
            _ => {
                out.push(c);
                1
            }
        };
        here += taken;
    }
    Ok(out)
}

fn rewrite(out: &mut String, text: &str, taken: usize) -> usize {
    out.push_str(text);
    taken
}

/// Whether the property that is named here is written in a way that Oniguruma does not know.
fn names_its_kind(name: &[char]) -> bool {
    let name: String = name.iter().take_while(|c| **c != '}').collect();
    let begins_with_is = name.trim_start().get(..2).is_some_and(|head| head.eq_ignore_ascii_case("is"));
    begins_with_is || name.contains(['=', ':'])
}

/// `[:name:]` or `[:^name:]` as a set, and its length; `None` where it is no such thing, an error where it has no known name.
fn posix(source: &[char]) -> Option<Result<(String, usize), ()>> {
    let end = source.windows(2).skip(2).position(|pair| pair == [':', ']'])? + 2;
    let name: String = source[2..end].iter().collect();
    let (caret, name) = name.strip_prefix('^').map_or(("", name.as_str()), |name| ("^", name));
    if !name.chars().all(|c| c.is_ascii_alphabetic()) {
        return None;
    }
    let set = POSIX.iter().find(|(known, _)| *known == name).ok_or(());
    Some(set.map(|(_, set)| (format!("[{caret}{set}]"), end + 2)))
}

/// Where case is ignored, one character may equal several: `ß` is `ss`. Both sides of such pairs.
struct Foldings {
    single: HashSet<char>,
    /// The first two of the several, without case.
    starts: HashSet<(char, char)>,
}

fn foldings() -> &'static Foldings {
    static FOLDINGS: OnceLock<Foldings> = OnceLock::new();
    FOLDINGS.get_or_init(|| {
        let (mut single, mut starts) = (HashSet::new(), HashSet::new());
        // None stands beyond the Latin and Armenian ligatures.
        for c in (0..0xFB18).filter_map(char::from_u32) {
            let folded: Vec<char> = folded(c).collect();
            if let [first, second, ..] = folded[..] {
                single.insert(c);
                starts.insert((first, second));
            }
        }
        Foldings { single, starts }
    })
}

fn folded(c: char) -> impl Iterator<Item = char> {
    c.to_uppercase().flat_map(char::to_lowercase)
}

/// Whether a member of `set` equals several characters where case is ignored.
pub(super) fn has_long_folding(set: &CharSet) -> bool {
    let has = |c: &char| set.iter().any(|(low, high)| (*low..=*high).contains(&u32::from(*c)));
    foldings().single.iter().any(has)
}

/// Whether `first` and `second` in a row equal, or begin what equals, one character where case is ignored.
pub(super) fn make_one_folding(first: char, second: char) -> bool {
    let one = |c| folded(c).next().unwrap_or(c);
    foldings().starts.contains(&(one(first), one(second)))
}
