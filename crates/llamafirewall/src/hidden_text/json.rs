//! The strings of JSON as a program gets them, each character with the place where it is written. In JSON an escape is the character;
//! in other texts, such as code that takes such characters out, it is a word about one.

use llamafirewall_core::Invisible;
use serde::de::IgnoredAny;

/// What stands before the JSON of an event that a server sends.
const EVENT: &str = "data:";

/// Characters with their places in a text, and where the last one ends.
pub(super) struct Placed {
    pub chars: Vec<(usize, char)>,
    pub end: usize,
}

/// The first escape that may stand for something invisible, or is not whole yet; the backslashes before it are part of it.
pub(super) fn first_escape(text: &str) -> Option<usize> {
    // Most text has no backslash, and is searched for one much faster than for two signs.
    let first = text.find('\\')?;
    let without = |end: usize| text[..end].trim_end_matches('\\').len();
    let mut escapes = text[first..].match_indices("\\u").map(|(at, _)| first + at);
    let escape = escapes.find(|at| match text.as_bytes().get(at + 2..at + 6) {
        Some(_) => unit(&text[at + 2..]).is_some_and(may_hide),
        None => true,
    });
    let unfinished = text.ends_with('\\').then_some(text.len());
    escape.or(unfinished).map(without)
}

/// Four digits of an escape.
fn unit(text: &str) -> Option<u16> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

/// Whether a unit of UTF-16 is invisible, or the first half of something that may be.
fn may_hide(unit: u16) -> bool {
    match char::from_u32(u32::from(unit)) {
        Some(c) => Invisible::of(c).is_some(),
        // U+1BC00, U+1D000, and U+E0000 to U+E0FFF.
        None => matches!(unit, 0xd82f | 0xd834 | 0xdb40..=0xdb43),
    }
}

/// The strings of a text that is JSON, of those of its lines that are, and of JSON in them, if something invisible is in them.
pub(super) fn strings(text: &str) -> Vec<Placed> {
    let mut found = Vec::new();
    if first_escape(text).is_none() {
        return found;
    }
    let mut read = |from: usize, document: &str| {
        let chars: Vec<_> = document.char_indices().map(|(at, c)| (from + at, c)).collect();
        strings_of(&chars, &mut found);
    };
    if is_json(text) {
        read(0, text);
        return found;
    }
    let mut from = 0;
    for line in text.split_inclusive('\n') {
        let data = line.strip_prefix(EVENT).unwrap_or(line);
        if first_escape(data).is_some() && is_json(data) {
            read(from + line.len() - data.len(), data);
        }
        from += line.len();
    }
    found
}

/// Whether it is one value or several, the first of which has strings.
fn is_json(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    text.starts_with(['{', '[', '"']) && values.all(|value| value.is_ok())
}

/// Adds the strings of JSON. Quotation marks in a string take twice the signs of those around it, so that JSON within JSON comes to an end.
fn strings_of(json: &[(usize, char)], found: &mut Vec<Placed>) {
    let mut at = 0;
    while let Some(passed) = json[at..].iter().position(|(_, c)| *c == '"') {
        at += passed + 1;
        let (string, end) = string(json, at);
        at = end + 1;
        if string.iter().any(|(_, c)| *c == '\\') {
            let text: String = string.iter().map(|(_, c)| *c).collect();
            if first_escape(&text).is_some() && is_json(&text) {
                strings_of(&string, found);
            }
        }
        if string.iter().any(|(_, c)| Invisible::of(*c).is_some()) {
            let last = json.get(end).or(json.last()).map_or(0, |(place, _)| *place);
            found.push(Placed { chars: string, end: last });
        }
        if at > json.len() {
            break;
        }
    }
}

/// The string that begins at `at`, without its escapes, and where its last quotation mark is.
fn string(json: &[(usize, char)], mut at: usize) -> (Vec<(usize, char)>, usize) {
    let mut read = Vec::new();
    while let Some(&(place, c)) = json.get(at).filter(|(_, c)| *c != '"') {
        let (length, c) = if c == '\\' { escape(&json[at..]) } else { (1, c) };
        read.push((place, c));
        at += length;
    }
    (read, at.min(json.len()))
}

/// How many characters an escape has, and what it stands for.
fn escape(json: &[(usize, char)]) -> (usize, char) {
    let half = |from: usize| {
        let text: String = json.get(from..from + 6)?.iter().map(|(_, c)| *c).collect();
        text.strip_prefix("\\u").and_then(unit)
    };
    if let Some(first) = half(0) {
        if let Some(c) = char::from_u32(u32::from(first)) {
            return (6, c);
        }
        let both = half(6).and_then(|second| char::decode_utf16([first, second]).next()?.ok());
        return both.map_or((6, char::REPLACEMENT_CHARACTER), |c| (12, c));
    }
    let c = match json.get(1).map(|(_, c)| *c) {
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        // Moving the cursor back or to another page is no hiding by itself.
        Some('b' | 'f') => ' ',
        Some(c) => c,
        None => '\\',
    };
    (2, c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, usize)> {
        let string = |placed: Placed| (placed.chars.iter().map(|(_, c)| *c).collect(), placed.chars[0].0);
        strings(text).into_iter().map(string).collect()
    }

    #[test]
    fn strings_have_their_characters_and_places() {
        assert_eq!(read(r#"{"a": "x\u200by", "b": "z"}"#), [("x\u{200b}y".to_owned(), 7)]);
        assert_eq!(read(r#"["\udb40\udc41\n"]"#), [("\u{e0041}\n".to_owned(), 2)]);
        assert_eq!(read("{\"a\": 1}\n{\"b\": \"\\u200b\"}"), [("\u{200b}".to_owned(), 16)]);
        assert_eq!(read("event: a\ndata: {\"b\": \"\\u200b\"}\n\n"), [("\u{200b}".to_owned(), 22)]);
        assert_eq!(read("log:\n{\"b\": \"\\u200b\"}\nend"), [("\u{200b}".to_owned(), 12)]);
        let inner = r#"{"a": "{\"b\": \"x\\u200b\"}"}"#;
        assert_eq!(read(inner), [("x\u{200b}".to_owned(), 17)]);
    }

    #[test]
    fn what_is_no_json_is_not_read() {
        for text in [
            r"take out \u200b and \u202e",
            r#"x = ["\u200b"]"#,
            r#"{"a": "\u200b""#,
            r#"{"code": "/[\\u200b]/"}"#,
        ] {
            assert_eq!(read(text), [], "{text}");
        }
    }

    #[test]
    fn escapes_that_may_hide_are_known_before_they_end() {
        for (text, place) in [
            (r"a\u200b", Some(1)),
            (r"a\\\u200b", Some(1)),
            (r"a\ud83d\udc41 \udb40", Some(14)),
            (r"a\u00e9 \u20", Some(8)),
            (r"a\u00e9 \\", Some(8)),
            (r"a\u00e9 \n b", None),
            (r"a\ué", Some(1)),
            (r"a\uéééé", None),
        ] {
            assert_eq!(first_escape(text), place, "{text}");
        }
    }

    #[test]
    fn deep_json_comes_to_an_end() {
        let deep = (0..12).fold(r"x\u200b".to_owned(), |text, depth| match depth {
            0 => format!("[\"{text}\"]"),
            _ => format!("[{}]", serde_json::Value::from(text)),
        });
        assert_eq!(read(&deep)[0].0, "x\u{200b}");
        let long = format!("[{}\"\\u200b\"]", "[],".repeat(100_000));
        assert_eq!(read(&long)[0].0, "\u{200b}");
    }
}
