//! Where a value stands that is given to a name without a colon or an equals sign between the two: in types of programs, elements of
//! XML, options of commands, calls that set a name, and sentences.

use super::assigned::{Given, before, signs};
use super::matcher::run;
use super::personal::is_word;
use std::ops::Range;

/// How long a type is, or a tag up to a name in it.
const LONGEST_TYPE: usize = 40;
const LONGEST_TAG: usize = 64;
/// How far before a name its command may begin.
const LONGEST_COMMAND: usize = 100;
/// Commands of shells that set a variable, the rest of whose line is the value.
const SHELLS: &[&str] = &["set -gx ", "set -x ", "set -xg ", "set -ux ", "set -xu ", "setx ", "setenv "];
/// Functions that set the name in their first argument to the second.
const SETTERS: &[&str] = &["define", "setenv", "putenv", "setproperty"];
/// Words of SQL before `PASSWORD '...'`, and what stands for both.
const SQL: &[&str] = &["with", "encrypted", "unencrypted", "login", "superuser", "createdb", "createrole"];
pub(super) const IDENTIFIED: &str = "identified by";
/// The attribute with the value of a name.
const VALUE: &str = "value";

/// Looks for a value in one of the ways of a language.
pub(super) type Way = fn(&str, &Range<usize>) -> Given;
pub(super) const WAYS: [Way; 5] = [typed, element, attribute, command, said];

fn ends_with(text: &[u8], end: &str) -> bool {
    let start = text.len().checked_sub(end.len());
    start.is_some_and(|start| text[start..].eq_ignore_ascii_case(end.as_bytes()))
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// `name: Type = "value"`, `name string = "value"`: only what stands in quotation marks.
fn typed(text: &str, name: &Range<usize>) -> Given {
    let bytes = text.as_bytes();
    let start = signs(text, name.end, |byte| b" \t:?".contains(&byte));
    let has_colon = bytes[name.end..start].contains(&b':');
    let of_type = |byte: u8| is_word(byte) || (has_colon && b" &'<>[]|?.,:".contains(&byte));
    let length = run(text, start, LONGEST_TYPE, of_type);
    let equals = start + length + run(text, start + length, 1, |byte| byte == b' ');
    if equals == text.len() && length <= LONGEST_TYPE {
        return Given::Open;
    }
    if length == 0 || length > LONGEST_TYPE || bytes[equals] != b'=' {
        return Given::Nothing;
    }
    let value = signs(text, equals + 1, |byte| byte == b' ' || is_quote(byte));
    match value == text.len() {
        true => Given::Open,
        false if is_quote(bytes[value - 1]) => Given::At(value),
        false => Given::Nothing,
    }
}

/// `<name>value</name>`, also with a name of a space before it.
fn element(text: &str, name: &Range<usize>) -> Given {
    let bytes = text.as_bytes();
    let of_tag = |byte: &&u8| is_word(**byte) || b"-:.".contains(byte);
    let tag = bytes[..name.start].iter().rev().take(LONGEST_TYPE).take_while(of_tag).count();
    if !bytes[..name.start - tag].ends_with(b"<") {
        return Given::Nothing;
    }
    match bytes.get(name.end..) {
        Some([] | [b'>']) | None => Given::Open,
        Some([b'>', ..]) => Given::Element(name.end + 1),
        Some(_) => Given::Nothing,
    }
}

/// `key="name" value="value"`. Fields of forms hold what changes with every page.
fn attribute(text: &str, name: &Range<usize>) -> Given {
    let bytes = text.as_bytes();
    let word = signs(text, name.end, |byte| byte.is_ascii_whitespace() || is_quote(byte));
    let end = word + run(text, word, VALUE.len(), is_word);
    let begins = VALUE.get(..end - word).is_some_and(|known| known.eq_ignore_ascii_case(&text[word..end]));
    if !begins {
        return Given::Nothing;
    }
    if end == text.len() {
        return Given::Open;
    }
    let start = signs(text, end, |byte| b" =".contains(&byte) || is_quote(byte));
    if end - word < VALUE.len() || !bytes[name.end..word].iter().any(|byte| is_quote(*byte)) {
        return Given::Nothing;
    }
    if start == text.len() {
        return Given::Open;
    }
    let tag = &bytes[name.start.saturating_sub(LONGEST_TAG)..name.start];
    let tag = tag.iter().rposition(|byte| *byte == b'<').map(|at| &tag[at + 1..]);
    let is_field = |tag: &[u8]| tag.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case(b"input"));
    let is_given = bytes[end..start].contains(&b'=') && is_quote(bytes[start - 1]);
    if is_given && tag.is_some_and(|tag| !is_field(tag)) { Given::At(start) } else { Given::Nothing }
}

/// `--name value`, `set -gx NAME value`, `define('NAME', 'value')`, `WITH PASSWORD 'value'`, `login USER password VALUE`.
fn command(text: &str, name: &Range<usize>) -> Given {
    let bytes = text.as_bytes();
    let first = name.start - before(text, name.start);
    let lead = &bytes[first.saturating_sub(LONGEST_COMMAND)..first];
    let is_option = bytes[first..].starts_with(b"--");
    let is_whole = first == name.start && text[name.clone()].eq_ignore_ascii_case("password");
    let behind = |of_gap: fn(u8) -> bool| {
        let next = signs(text, name.end, of_gap);
        (next, &bytes[name.end..next])
    };
    let in_sql = || is_whole && last_words(lead, SQL) || text[name.clone()].eq_ignore_ascii_case(IDENTIFIED);
    let (next, has_gap) = if is_option {
        let (next, gap) = behind(|byte| b" \t\"',".contains(&byte));
        (next, gap.first().is_some_and(|byte| b" \t".contains(byte)) || gap.contains(&b','))
    } else if is_setter(lead) {
        let (next, gap) = behind(|byte| b" \t\n\"',".contains(&byte));
        (next, gap.contains(&b',') && gap.last().copied().is_some_and(is_quote))
    } else if SHELLS.iter().any(|known| ends_with(lead, known)) || is_whole && is_netrc(lead) {
        let (next, gap) = behind(|byte| b" \t\n\"'".contains(&byte));
        (next, gap.first().is_some_and(|byte| byte.is_ascii_whitespace()))
    } else if in_sql() {
        let (next, gap) = behind(|byte| b" \t\n'".contains(&byte));
        (next, gap.contains(&b'\''))
    } else {
        return Given::Nothing;
    };
    match bytes.get(next) {
        None => Given::Open,
        // The next option.
        Some(b'-') => Given::Nothing,
        Some(_) if has_gap => Given::At(next),
        Some(_) => Given::Nothing,
    }
}

/// Whether a quotation mark stands at the end, behind the beginning of a call that sets a name.
fn is_setter(lead: &[u8]) -> bool {
    let Some((quote, call)) = lead.split_last() else { return false };
    let Some(call) = call.trim_ascii_end().strip_suffix(b"(") else { return false };
    is_quote(*quote) && SETTERS.iter().any(|known| ends_with(call, known))
}

/// Whether the last word before a name is one of these.
fn last_words(lead: &[u8], known: &[&str]) -> bool {
    let mut words = lead.rsplit(u8::is_ascii_whitespace);
    let is_apart = words.next().is_some_and(<[u8]>::is_empty);
    let last = words.next().unwrap_or_default();
    is_apart && known.iter().any(|known| last.eq_ignore_ascii_case(known.as_bytes()))
}

/// Whether `login` and the name of a user stand before, as in a file of `.netrc`.
fn is_netrc(lead: &[u8]) -> bool {
    let mut words = lead.rsplit(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    lead.ends_with(b" ") | lead.ends_with(b"\t") | lead.ends_with(b"\n")
        && words.next().is_some()
        && words.next() == Some(b"login")
}

/// `The password is: value`.
fn said(text: &str, name: &Range<usize>) -> Given {
    const IS: &[u8] = b" is:";
    let rest = &text.as_bytes()[name.end..];
    let begins = rest.iter().zip(IS).all(|(byte, of)| byte == of);
    if !begins {
        return Given::Nothing;
    }
    let start = signs(text, (name.end + IS.len()).min(text.len()), |byte| byte == b' ' || is_quote(byte));
    if start == text.len() { Given::Open } else { Given::At(start) }
}
