//! Secrets that are given to a name, and what is given to names in code without being one.

use super::Found;
use super::commands::{IDENTIFIED, WAYS, Way};
use super::matcher::{Seen, run};
use super::personal::is_word;
use super::secrets::{Assigned, Class, entropy, is_placeholder};
use std::ops::Range;

/// How far the secret may be from the name that it is given to.
const LONGEST: usize = 40;
/// Backslashes before one quotation mark: seven levels of JSON within JSON have 127.
const MOST_BACKSLASHES: usize = 127;
/// Words that the value of a pair stands behind, those that may stand between it and the name, and how many there may be:
/// `"type": "string", "value": {"stringValue": "..."}`.
const VALUES: &[&str] = &["value", "stringvalue", "string_value", "parametervalue"];
const BETWEEN: &[&str] = &["type", "kind", "enabled", "secret", "sensitive", "encrypted"];
const MOST_WORDS: usize = 4;
/// Last words of names that say something about a key or a password; those that do so of a key alone, since people write passwords behind
/// them; and those of what was made from a key.
const ABOUT: &[&str] = &[
    "arn",
    "count",
    "encryption",
    "expires",
    "expiry",
    "file",
    "length",
    "limit",
    "path",
    "pattern",
    "policies",
    "policy",
    "ref",
    "status",
    "strength",
    "type",
    "uri",
    "url",
    "version",
];
const ABOUT_KEYS: &[&str] = &["alias", "hint", "id", "label", "name"];
const HASHES: &[&str] = &["checksum", "crc", "digest", "fingerprint", "hash", "md", "sha"];
/// What is called so is the secret itself.
const SECRET_IDS: &[&str] = &["secret_id", "secret-id", "secretid"];
/// Words of which a name consists before `token` that make it a place in a list, and those that make a UUID the number of a request.
const PAGES: &[&str] = &[
    "change",
    "continuation",
    "cursor",
    "delta",
    "next",
    "nextpage",
    "page",
    "pagination",
    "previous",
    "resume",
    "skip",
    "sync",
];
const REQUESTS: &[&str] =
    &["client", "done", "idempotency", "lock", "partial", "progress", "request", "result", "work"];
/// What names a place where a secret is kept begins so.
const REFERENCES: &[&[u8]] =
    &[b"op://", b"vault:", b"ssm:", b"arn:", b"projects/", b"file:", b"env:", b"npm:"];
/// Behind a piece of text in the probabilities of a model.
const BESIDE_PIECES: &[&str] = &["logprob", "bytes"];
/// How far behind it that is looked for.
const BESIDE: usize = 24;
/// What stands before a secret in the field `Authorization`.
const SCHEMES: &[&str] = &["bearer ", "token ", "basic "];
/// How much text after a value tells whether it is code.
const LOOK_AHEAD: usize = 2;
/// Letters of a word, and digits behind it: `sha256`.
const LONGEST_WORD: usize = 20;
const LONGEST_VERSION: usize = 3;
/// Characters of a UUID.
const UUID: usize = 36;
/// What random digits of base 16 have: of 32, one in ten thousand has fewer.
const HEX_BITS: f32 = 3.0;
/// By how much a sign that comes twice among eight lowers the bits of each, and a little more.
const ONE_TWICE: f32 = 0.3;
/// In a path, any part of so many characters counts as a word.
const SHORT_PART: usize = 3;

/// Looks at what follows a name.
pub(super) fn assigned(row: &Assigned, text: &str, name: Range<usize>) -> Seen {
    let name_end = name.end + run(text, name.end, LONGEST, |b| is_word(b) || b == b'-');
    let name = name.start..name_end;
    let mut seen = Seen::nothing();
    let ways = std::iter::once(&(given as Way)).chain(&WAYS);
    for way in ways {
        let next = match way(text, &name) {
            Given::At(start) => valued(row, text, &name, Value::at(row, text, start)),
            Given::Element(start) => valued(row, text, &name, Value::within(row, text, start, Some(b'<'))),
            Given::Open => Seen::open_at(name.start),
            Given::Nothing => Seen::nothing(),
        };
        seen.open = seen.open.or(next.open);
        seen.found = seen.found.or(next.found);
    }
    seen
}

/// Looks at a value that is given to a name.
fn valued(row: &Assigned, text: &str, name: &Range<usize>, value: Value) -> Seen {
    let is_token = text[name.clone()].eq_ignore_ascii_case("token");
    let ahead = if is_token { BESIDE } else { LOOK_AHEAD };
    let open = (value.read + ahead >= text.len() && value.span.len() <= row.length.1).then_some(name.start);
    let secret = &text.as_bytes()[value.span.clone()];
    let is_secret = names_secret(row, text, name.clone(), secret)
        && value.is_secret(row, text)
        && !(is_token && is_piece(&text.as_bytes()[value.span.end..]));
    let found = is_secret.then(|| Found { name: row.provider.into(), span: value.span });
    Seen { found, open, is_phrase: false }
}

/// What follows a name.
pub(super) enum Given {
    /// A value that is given to it begins here.
    At(usize),
    /// And ends with its element.
    Element(usize),
    /// Nothing yet: the text ends before.
    Open,
    Nothing,
}

/// Where the value begins that is given to a name: `name = value`, `"name": "value"`, also with its quotation marks
/// escaped, `"name": "NAME", "value": "..."`, `"name": {"value": "..."}`, or `"name", "Bearer ..."`.
fn given(text: &str, name: &Range<usize>) -> Given {
    let at = name.end;
    if text[name.clone()].eq_ignore_ascii_case(IDENTIFIED) {
        return Given::Nothing;
    }
    let signs = signs(text, at, |byte| b" \t\"'`:=>(".contains(&byte));
    if signs == text.len() {
        return Given::Open;
    }
    if text.as_bytes()[at..signs].iter().any(|byte| matches!(byte, b':' | b'=')) {
        return if text.as_bytes()[signs] == b'{' { beside(text, signs) } else { Given::At(signs) };
    }
    match next_of_list(text, at) {
        Given::Nothing => beside(text, at),
        next => next,
    }
}

/// The same where the value is the next one of a list, as headers are kept: it begins with a scheme, for most lists hold no pairs.
fn next_of_list(text: &str, at: usize) -> Given {
    let next = signs(text, at, |byte| b" \t\n\"',".contains(&byte));
    if !text[at..next].contains(',') {
        return Given::Nothing;
    }
    let rest = &text.as_bytes()[next..];
    let begins =
        |scheme: &str| rest.iter().zip(scheme.bytes()).all(|(byte, of)| byte.eq_ignore_ascii_case(&of));
    match SCHEMES.iter().find(|scheme| begins(scheme)) {
        Some(scheme) if rest.len() < scheme.len() => Given::Open,
        Some(_) => Given::At(next),
        None => Given::Nothing,
    }
}

/// The same where name and value each stand behind a word that says so, as in headers, environments and attributes of traces.
fn beside(text: &str, mut at: usize) -> Given {
    for _ in 0..MOST_WORDS {
        at = signs(text, at, |byte| byte.is_ascii_whitespace() || b"\"',{".contains(&byte));
        let word = at + run(text, at, LONGEST_WORD, is_word);
        let begins =
            |known: &&str| known.get(..word - at).is_some_and(|k| k.eq_ignore_ascii_case(&text[at..word]));
        let known = VALUES.iter().chain(BETWEEN).find(|known| begins(known));
        match known {
            Some(_) if word == text.len() => return Given::Open,
            Some(known) if known.len() == word - at => {}
            _ => return Given::Nothing,
        }
        at = signs(text, word, |byte| b" \t\"':".contains(&byte));
        if at == text.len() {
            return Given::Open;
        }
        if !text[word..at].contains(':') {
            return Given::Nothing;
        }
        if known.is_some_and(|known| BETWEEN.contains(known)) {
            at += run(text, at, LONGEST, |byte| is_word(byte) || byte == b'-');
            if at == text.len() {
                return Given::Open;
            }
            continue;
        }
        if text.as_bytes()[at] != b'{' {
            return Given::At(at);
        }
    }
    Given::Nothing
}

/// The end of a run of signs, among them the backslashes that stand before a quotation mark in JSON within JSON; where there are too
/// many, that of none.
pub(super) fn signs(text: &str, at: usize, is_sign: impl Fn(u8) -> bool) -> usize {
    let bytes = text.as_bytes();
    let (mut end, mut count) = (at, 0);
    while count <= LONGEST {
        match bytes.get(end) {
            Some(b'\\') => {
                let quote = end + run(text, end, MOST_BACKSLASHES, |byte| byte == b'\\');
                match bytes.get(quote) {
                    Some(b'"' | b'\'' | b'`') => end = quote,
                    None if quote - end <= MOST_BACKSLASHES => return text.len(),
                    _ => return end,
                }
            }
            Some(byte) if is_sign(*byte) => {
                end += 1;
                count += 1;
            }
            _ => return end,
        }
    }
    at
}

/// Looks at what follows the `://` of an address for a password that stands before its host.
pub(super) fn login(row: &Assigned, text: &str, sign: Range<usize>) -> Seen {
    let is_login = |byte: u8| byte.is_ascii_graphic() && !b"/?#@\"'<>`".contains(&byte);
    let end = sign.end + run(text, sign.end, 2 * row.length.1, is_login);
    let open = (end == text.len() && end - sign.end <= 2 * row.length.1).then_some(sign.start);
    let Some(colon) = text[sign.end..end].find(':').filter(|_| text[end..].starts_with('@')) else {
        return Seen { open, ..Seen::nothing() };
    };
    let value = Value { span: sign.end + colon + 1..end, is_quoted: true, read: end };
    let found = value.is_secret(row, text).then(|| Found { name: row.provider.into(), span: value.span });
    Seen { found, open, is_phrase: false }
}

/// Whether a secret has such a name. A model's tokenizer has none, what turns pages opens nothing, some names say something about a key, and
/// identifiers look like keys that are identifiers.
fn names_secret(row: &Assigned, text: &str, name: Range<usize>, value: &[u8]) -> bool {
    let word = &text[name.clone()];
    let lower = word.to_ascii_lowercase();
    let is_uuid = || row.class == Class::Uuid || (value.len() == UUID && value.iter().all(is_hex_or_dash));
    if lower.contains("tokeniz") || (lower.ends_with("id") && is_uuid()) {
        return false;
    }
    let is_any = |words: &[&str], word: &str| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    // Those of providers have a form of their own.
    if !matches!(row.class, Class::Signed | Class::Printable) {
        return true;
    }
    // `sha256` is a word too.
    let last = last_word(word.trim_end_matches(|c: char| c.is_ascii_digit()));
    // A password can be looked for by its hash.
    let of_key = row.class == Class::Signed && (is_any(HASHES, last) || is_any(ABOUT_KEYS, last));
    let is_about = (is_any(ABOUT, last) || of_key) && !is_any(SECRET_IDS, word);
    if is_checksum(&text.as_bytes()[..name.start]) {
        return false;
    }
    let before = &text[name.start - before(text, name.start)..name.start];
    // In capitals alone it is a variable of an environment, where nothing turns pages.
    let is_key = before.bytes().any(|byte| byte.is_ascii_lowercase());
    let consists_of = |words: &[&str]| is_key && words_of(before).all(|word| is_any(words, word));
    let is_place = lower == "token" && (consists_of(PAGES) || is_uuid() && consists_of(REQUESTS));
    !is_about && !is_place
}

/// Whether a name is the second part of one such as `checksum/secret`, as files are called from which something was made.
fn is_checksum(before: &[u8]) -> bool {
    let of_name = |byte: &&u8| is_word(**byte) || b"-./".contains(byte);
    let length = before.iter().rev().take(LONGEST).take_while(of_name).count();
    let mut parts = before[before.len() - length..].split(|byte| *byte == b'/').rev().skip(1);
    parts.any(|part| HASHES[..1].iter().any(|word| part.eq_ignore_ascii_case(word.as_bytes())))
}

/// Whether what follows a token is its probability, so that it is a piece of text that a model gave.
fn is_piece(rest: &[u8]) -> bool {
    let near = &rest[..rest.len().min(BESIDE)];
    let signs = near.iter().take_while(|byte| b"\\\"', \n".contains(byte)).count();
    BESIDE_PIECES.iter().any(|word| near[signs..].starts_with(word.as_bytes()))
}

/// The words of a name from the last to the first; an empty one where there is something else.
fn words_of(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(name.trim_end_matches(['_', '-']));
    std::iter::from_fn(move || {
        let now = rest.filter(|rest| !rest.is_empty())?;
        let word = last_word(now);
        rest = (!word.is_empty()).then(|| now[..now.len() - word.len()].trim_end_matches(['_', '-']));
        Some(word)
    })
}

/// How many bytes before a name are part of it, as far as a word in it may reach.
pub(super) fn before(text: &str, at: usize) -> usize {
    let before = text.as_bytes()[..at].iter().rev().take(LONGEST_WORD);
    before.take_while(|byte| is_word(**byte) || **byte == b'-').count()
}

/// The last word of a name, such as `Hash` of `tokenHash` and `hash` of `token_hash`.
fn last_word(name: &str) -> &str {
    let name = name.trim_end_matches(['_', '-']);
    let small = name.bytes().rev().take_while(u8::is_ascii_lowercase).count();
    let capitals = name[..name.len() - small].bytes().rev().take_while(u8::is_ascii_uppercase).count();
    let length = if small == 0 { capitals } else { small + capitals.min(1) };
    &name[name.len() - length..]
}

fn is_hex_or_dash(byte: &u8) -> bool {
    byte.is_ascii_hexdigit() || *byte == b'-'
}

/// Bits per character that a secret of a row has at least. Of sixteen signs each says four bits at most, a few dozen of them look
/// like less, and in a short one a sign that comes twice counts for much.
fn fewest_bits(row: &Assigned, secret: &[u8]) -> f32 {
    let most = if secret.iter().all(is_hex_or_dash) { HEX_BITS } else { row.entropy };
    most.min((secret.len() as f32).log2() - ONE_TWICE)
}

/// What is given to a name.
struct Value {
    span: Range<usize>,
    is_quoted: bool,
    /// How far the text had to be read.
    read: usize,
}

impl Value {
    /// The value that begins at `start`, behind a quotation mark or without one.
    fn at(row: &Assigned, text: &str, start: usize) -> Self {
        let quote = Some(text.as_bytes()[start - 1]).filter(|byte| matches!(byte, b'"' | b'\'' | b'`'));
        Self::within(row, text, start, quote)
    }

    /// The same with what it stands within. Within quotation marks it goes on to the second one, where it can; in an element it ends with it.
    fn within(row: &Assigned, text: &str, start: usize, quote: Option<u8>) -> Self {
        let bytes = text.as_bytes();
        let scheme = SCHEMES.iter().map(|scheme| scheme.len()).zip(SCHEMES);
        let has = |length: usize, scheme: &str| {
            bytes.get(start..start + length).is_some_and(|text| text.eq_ignore_ascii_case(scheme.as_bytes()))
        };
        let skipped = scheme.filter(|(length, scheme)| has(*length, scheme)).map(|(length, _)| length).next();
        let (opening, start) = (start, start + skipped.unwrap_or(0));
        let most = row.length.1;
        let limit =
            if row.class == Class::Printable { escaped_letter(&bytes[start..], most) } else { most + 1 };
        let end = start + run(text, start, most, |byte| row.class.has(byte)).min(limit);
        let Some(quote) = quote else { return Self { span: start..end, is_quoted: false, read: end } };
        // In JSON within JSON quotation marks have backslashes before them, the second as many as the first.
        let before = bytes[..opening].iter().rev().skip(1).take(MOST_BACKSLASHES);
        let escaped = before.take_while(|byte| **byte == b'\\').count();
        let quoted_end = match row.class {
            Class::Signed => start + run(text, start, most, |byte| Class::Quoted.has(byte)),
            Class::Printable => start + printable(&bytes[start..], most, quote, escaped).min(limit),
            _ => end,
        };
        let signs = bytes.get(quoted_end..=quoted_end + escaped).and_then(|signs| signs.split_last());
        let is_closed =
            signs.is_some_and(|(last, before)| *last == quote && before.iter().all(|byte| *byte == b'\\'));
        let read = (quoted_end + escaped).min(text.len()).max(end);
        let span = match quote {
            b'<' if !is_closed || !bytes[quoted_end..].starts_with(b"</") => start..start,
            _ => start..if is_closed { quoted_end } else { end },
        };
        Self { span, is_quoted: true, read }
    }

    fn is_secret(&self, row: &Assigned, text: &str) -> bool {
        let (fewest, most) = row.length;
        let secret = &text.as_bytes()[self.span.clone()];
        let is_mixed = secret.iter().any(u8::is_ascii_digit) && secret.iter().any(u8::is_ascii_alphabetic);
        (fewest..=most).contains(&secret.len())
            && is_mixed
            && entropy(secret) >= fewest_bits(row, secret)
            && !is_placeholder(secret)
            && !is_rules(secret)
            && !is_date(secret)
            && !REFERENCES.iter().any(|known| secret.starts_with(known))
            && !(row.class == Class::Signed && is_path(secret))
            && (self.is_quoted || !is_code(secret, &text.as_bytes()[self.span.end..]))
    }
}

/// Bytes up to the signs that end a value within quotation marks, or one more than `most`. In JSON with `escaped` backslashes before such
/// marks, those of the value itself have others.
fn printable(text: &[u8], most: usize, quote: u8, escaped: usize) -> usize {
    let mut backslashes = 0;
    for (at, byte) in text.iter().enumerate().take(most + 1 + escaped) {
        match *byte {
            b'\\' => backslashes += 1,
            byte if byte == quote && backslashes % (2 * escaped + 2) == escaped => return at - escaped,
            byte if byte.is_ascii_graphic() => backslashes = 0,
            _ => return at,
        }
    }
    text.len().min(most + 1)
}

/// Bytes up to the escape of a letter beyond ASCII, which ends a value as the letter does: `\u00f1`, `\xf1`. One more than `most` where there is none.
fn escaped_letter(text: &[u8], most: usize) -> usize {
    let is_letter = |digits: Option<&[u8]>| {
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        digits
            .is_some_and(|d| !d.starts_with('+') && u32::from_str_radix(d, 16).is_ok_and(|code| code > 0x7f))
    };
    let is_escape = |at: &usize| match text[*at..] {
        [b'\\', b'u', ..] => is_letter(text.get(at + 2..at + 6)),
        [b'\\', b'x', ..] => is_letter(text.get(at + 2..at + 4)),
        _ => false,
    };
    (0..text.len().min(most + 1)).find(is_escape).unwrap_or(most + 1)
}

/// Words, numbers and short parts with slashes between them: the path of a file, the name of a model.
fn is_path(value: &[u8]) -> bool {
    let is_sign = |byte: &u8| !byte.is_ascii_alphanumeric();
    let has_signs_of_paths = value.iter().filter(|byte| is_sign(byte)).all(|byte| b"/._-+".contains(byte));
    let is_part = |part: &[u8]| part.len() <= SHORT_PART || is_wordlike(part);
    value.contains(&b'/') && has_signs_of_paths && value.split(is_sign).all(is_part)
}

/// Letters, digits, or letters with a few digits behind them.
fn is_wordlike(part: &[u8]) -> bool {
    let letters = part.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let digits = &part[letters..];
    let has_length = letters <= LONGEST_WORD && (letters == 0 || digits.len() <= LONGEST_VERSION);
    has_length && digits.iter().all(u8::is_ascii_digit)
}

/// A date, with a time or without: when a password was changed.
fn is_date(value: &[u8]) -> bool {
    let form = b"0000-00-00";
    let begins = value.iter().zip(form).all(|(byte, form)| match form {
        b'0' => byte.is_ascii_digit(),
        sign => byte == sign,
    });
    let is_of_time = |byte: &u8| byte.is_ascii_digit() || b"TZ:.+- ".contains(byte);
    value.len() >= form.len() && begins && value.iter().all(is_of_time)
}

/// Rules of a form, such as `required|min:8`.
fn is_rules(value: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'_';
    let is_rule = |rule: &[u8]| match rule.split(|byte| *byte == b':').next() {
        Some(name) => !name.is_empty() && name.iter().all(is_name),
        None => false,
    };
    value.contains(&b'|') && value.split(|byte| *byte == b'|').all(is_rule)
}

/// Whether a value without quotation marks is an expression or a type: a call, an element, a path of names, a constant.
fn is_code(value: &[u8], rest: &[u8]) -> bool {
    let signs = value.iter().take_while(|byte| b"!&*([<".contains(byte)).count();
    if value[..signs].iter().any(|byte| b"[<".contains(byte)) {
        return true;
    }
    let value = &value[signs..];
    let next = |at: usize| value.get(at).or_else(|| rest.get(at.wrapping_sub(value.len()))).copied();
    let (mut at, mut names) = (0, 0);
    while next(at).is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_') {
        names += 1;
        while next(at).is_some_and(is_word) {
            at += 1;
        }
        match (next(at), next(at + 1)) {
            (Some(b'(' | b'[' | b'<'), _) | (Some(b'!'), Some(b'(')) => return true,
            (Some(b':'), Some(b':')) | (Some(b'-'), Some(b'>')) => return true,
            (Some(b'.'), Some(_)) if at < value.len() => at += 1,
            (Some(b'?'), Some(b'.')) if at < value.len() => at += 2,
            _ => break,
        }
    }
    if at == 0 || at < value.len() {
        return false;
    }
    let is_constant = value.contains(&b'_') && value.iter().all(|b| !b.is_ascii_lowercase());
    let is_word_or_sign = |part: &[u8]| part.is_empty() || is_wordlike(part);
    let is_names = || names > 1 && value.split(|byte| b"._?".contains(byte)).all(is_word_or_sign);
    is_constant || is_names()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patterns::secrets::{ASSIGNED, LOGIN};

    /// What is found after the first name of the last two rows, `Secret` and `Password`.
    fn found(text: &str) -> Option<&str> {
        let rows = ASSIGNED.iter().flat_map(|row| row.names.iter().map(move |name| (row, *name)));
        let lower = text.to_ascii_lowercase();
        let seen = rows.filter_map(|(row, name)| {
            let at = lower.find(name)?;
            assigned(row, text, at..at + name.len()).found
        });
        seen.map(|found| &text[found.span]).next()
    }

    #[test]
    fn secrets_are_found_whatever_signs_they_have() {
        for (text, secret) in [
            (
                "secret_key = \"Orjj5VfqRTk8j1d/bWWbjkloG1QX647kdNl9cDo/\"",
                "Orjj5VfqRTk8j1d/bWWbjkloG1QX647kdNl9cDo/",
            ),
            (
                "client_secret: abc8Q~lM68xvRCzVSCKXP-6kNwEfngHj5Tma2UiM",
                "abc8Q~lM68xvRCzVSCKXP-6kNwEfngHj5Tma2UiM",
            ),
            (
                "SECRET_KEY = \"django-insecure-q8&k2!x)9=v@r5#m3$z7^w1(t4*y6+u0-p\"",
                "django-insecure-q8&k2!x)9=v@r5#m3$z7^w1(t4*y6+u0-p",
            ),
            ("client_secret=\"p4$$w0rd+abcDEF123/xyz==\"", "p4$$w0rd+abcDEF123/xyz=="),
            (
                "Authorization: Bearer 8f3Kq92LmZx71Vb6TnYw04RsGh5JdPcE8uAoQi2W",
                "8f3Kq92LmZx71Vb6TnYw04RsGh5JdPcE8uAoQi2W",
            ),
            (
                "\"Authorization\": \"Bearer 8f3Kq92LmZx71Vb6TnYw04RsGh5JdPcE8uAoQi2W\"",
                "8f3Kq92LmZx71Vb6TnYw04RsGh5JdPcE8uAoQi2W",
            ),
            ("api_key: Zx81.kQ2-mV93_tLp7sRw5", "Zx81.kQ2-mV93_tLp7sRw5"),
            ("password = \"tr0ub4dor&3xQ9\"", "tr0ub4dor&3xQ9"),
            ("password: tr0ub4dor&3xQ9", "tr0ub4dor&3xQ9"),
            ("password: p@ss(w0rd|7", "p@ss(w0rd|7"),
            ("password: \"models.Field(max_length=128)\"", "models.Field(max_length=128)"),
            ("heroku_api_key: 0ab1c2d3-e4f5-4a6b-8c7d-9e0f1a2b3c4d", "0ab1c2d3-e4f5-4a6b-8c7d-9e0f1a2b3c4d"),
            ("api_key: a2d3c442-e4f5-4a2b-8c2d-9e4f2a2b3c4d", "a2d3c442-e4f5-4a2b-8c2d-9e4f2a2b3c4d"),
            ("api_key = a3b1c9d4a3e8f1a0c3b7a1d9e4a3c8b1", "a3b1c9d4a3e8f1a0c3b7a1d9e4a3c8b1"),
            ("password: kx7kq92m", "kx7kq92m"),
            (r#"{\"password\": \"tr0ub4dor&3xQ9\"}"#, "tr0ub4dor&3xQ9"),
            (r#"{\\\"password\\\":\\\"tr0ub\\\\\\\"4dor&3xQ9\\\",\\\"a\\\":1"#, r#"tr0ub\\\\\\\"4dor&3xQ9"#),
            (r#"API_KEY=\"3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d\"\n"#, "3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d"),
            (r#"{"name":"DB_PASSWORD","value":"tr0ub4dor&3xQ9"}"#, "tr0ub4dor&3xQ9"),
            ("- name: DB_PASSWORD\n  value: tr0ub4dor&3xQ9\n", "tr0ub4dor&3xQ9"),
            (
                r#"{"key": "authorization", "value": {"stringValue": "Bearer 8f3Kq92LmZx71Vb6TnYw04RsGh5JdPcE8uAoQi2W"}}"#,
                "8f3Kq92LmZx71Vb6TnYw04RsGh5JdPcE8uAoQi2W",
            ),
            (
                r#"[{"Name":"/prod/DB_PASSWORD","Type":"SecureString","Value":"tr0ub4dor&3xQ9"}]"#,
                "tr0ub4dor&3xQ9",
            ),
            (
                "{\"name\": \"API_KEY\",\n \"enabled\": true, \"value\": \"3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d\"}",
                "3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d",
            ),
            (r#"{"ParameterKey":"DbPassword","ParameterValue":"tr0ub4dor&3xQ9"}"#, "tr0ub4dor&3xQ9"),
            (
                r#"{"db_password": {"sensitive": true, "type": "string", "value": "tr0ub4dor&3xQ9"}}"#,
                "tr0ub4dor&3xQ9",
            ),
            (
                r#"["Host", "a.example", "Authorization", "Bearer 8f3Kq92LmZx71Vb6TnYw04RsGh5JdPcE8uAoQi2W"]"#,
                "8f3Kq92LmZx71Vb6TnYw04RsGh5JdPcE8uAoQi2W",
            ),
            ("password_hint: tr0ub4dor&3xQ9", "tr0ub4dor&3xQ9"),
            (
                "const apiKey: string = \"3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d\"",
                "3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d",
            ),
            (
                "let api_key: &'static str = \"3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d\"",
                "3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d",
            ),
            ("password: Optional[str] = 'tr0ub4dor&3xQ9'", "tr0ub4dor&3xQ9"),
            ("const password string = `tr0ub4dor&3xQ9`", "tr0ub4dor&3xQ9"),
            ("password: tr0ub4dor&3xQ9 = \"x\"", "tr0ub4dor&3xQ9"),
            ("<db:password>tr0ub4dor&amp;3xQ9</db:password>", "tr0ub4dor&amp;3xQ9"),
            (
                "<add key=\"ApiKey\"\n value=\"3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d\"/>",
                "3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d",
            ),
            ("define('DB_PASSWORD', 'tr0ub4dor&3xQ9');", "tr0ub4dor&3xQ9"),
            ("os.putenv(\"DB_PASSWORD\", \"tr0ub4dor&3xQ9\")", "tr0ub4dor&3xQ9"),
            ("app --db-password tr0ub4dor&3xQ9 --x", "tr0ub4dor&3xQ9"),
            ("[\"app\", \"--password\", \"tr0ub4dor&3xQ9\"]", "tr0ub4dor&3xQ9"),
            ("set -gx API_KEY 3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d", "3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d"),
            ("CREATE USER ana WITH PASSWORD 'tr0ub4dor&3xQ9'", "tr0ub4dor&3xQ9"),
            ("CREATE USER 'ana'@'%' IDENTIFIED BY 'tr0ub4dor&3xQ9'", "tr0ub4dor&3xQ9"),
            ("machine h login ana password tr0ub4dor&3xQ9", "tr0ub4dor&3xQ9"),
            ("Your new password is: tr0ub4dor&3xQ9", "tr0ub4dor&3xQ9"),
            ("Authorization: Basic YW5hOlhrNyNtUTJ2IXBMOXpS", "YW5hOlhrNyNtUTJ2IXBMOXpS"),
            (
                "PrivateKey = 4Pm1YhKD/tqvXFbS8xQ0o2lZkR7uJcA9eWgH+iN5MTs=",
                "4Pm1YhKD/tqvXFbS8xQ0o2lZkR7uJcA9eWgH+iN5MTs=",
            ),
            ("secret_id=3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d", "3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d"),
            ("email_change_token_new: 3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d", "3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d"),
            ("FB_PAGE_TOKEN=3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d", "3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d"),
            ("SYNC_TOKEN=3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d", "3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d"),
            ("password_hash: 5f4dcc3b5aa765d61d8327deb882cf90", "5f4dcc3b5aa765d61d8327deb882cf90"),
            ("resetToken: CiAKGjBpNDd2Nmp2Zml2cXRwYjBpOXAQARgB", "CiAKGjBpNDd2Nmp2Zml2cXRwYjBpOXAQARgB"),
        ] {
            assert_eq!(found(text), Some(secret), "{text}");
        }
    }

    #[test]
    fn passwords_in_addresses_are_secrets() {
        let found = |text: &str| {
            let at = text.find("://").expect("an address");
            login(&LOGIN, text, at..at + 3).found.map(|found| text[found.span].to_owned())
        };
        for address in ["postgres://app:kx7kq92m@db:5432/x", "https://me:kx7kq92m@example.org"] {
            assert_eq!(found(address).as_deref(), Some("kx7kq92m"), "{address}");
        }
        for address in [
            "postgres://postgres:postgres@localhost",
            "https://user:${PASSWORD1}@host",
            "https://user:your_passw0rd@host",
            "http://host:8080/a:b1c2d3e4@f",
            "ssh://git@host",
            "redis://:p@host",
        ] {
            assert_eq!(found(address), None, "{address}");
        }
    }

    #[test]
    fn long_values_are_secrets_too() {
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from_digit(state >> 27, 32).expect("one of 32")
        };
        let long: String = (0..1000).map(|_| next()).collect();
        assert_eq!(found(&format!("aws_session_token = {long}")), Some(&long[..]));
    }

    #[test]
    fn pages_and_what_is_said_about_keys_are_no_secrets() {
        let page = "CiAKGjBpNDd2Nmp2Zml2cXRwYjBpOXAQARgB";
        for name in [
            "nextPageToken",
            "NextToken",
            "next_sync_token",
            "$skiptoken",
            "NextContinuationToken",
            "deltaToken",
        ] {
            assert_eq!(found(&format!("\"{name}\": \"{page}\"")), None, "{name}");
        }
        let request = "0ab1c2d3-e4f5-4a6b-8c7d-9e0f1a2b3c4d";
        for name in ["clientToken", "progressToken", "partialResultToken"] {
            assert_eq!(found(&format!("\"{name}\": \"{request}\"")), None, "{name}");
        }
        for text in [
            r#""password_changed_at": "2025-11-30T10:26:07Z""#,
            r#""password_encryption": "scram-sha-256""#,
            r#"{"name":"DB_PASSWORD","value":"op://vault/item/password1"}"#,
            r#"{"token":"worker-5f6b7c8d9e-qq4zt","logprob":-0.1}"#,
            r#""password": "npm:password-validator2@5.3.0""#,
            r#"{"password": {"type": "string", "minLength": 8, "value": "tr0ub4dor&3xQ9"}}"#,
            r#"["password", "tr0ub4dor&3xQ9"]"#,
            r#"{"password": "contrase\u00f1a", "b": "R\u00e9initialiser-le-mot-de-passe1"}"#,
            r#"{\"password\": \"Has\\u0142o-i-klucz\", "c": b'password=contrase\xc3\xb1a'"#,
            "checksum/secret: f91624a8940f1f836f99eee3692f09e2e8c662248b483b7ffc050fec94dbca3a",
            "checksum/app-secrets: f91624a8940f1f836f99eee3692f09e2e8c662248b483b7ffc050fec94dbca3a",
            "secret_sha256: f91624a8940f1f836f99eee3692f09e2e8c662248b483b7ffc050fec94dbca3a",
            "<input name=\"csrf_token\" value=\"3f2a9c0d4e1b8f7a6c5d2e9b0a1f4c3d\">",
            "<password>tr0ub4dor&3xQ9",
            "<password>${env.DB_PASSWORD_2}</password>",
            "--password --user2name",
            "--password-file /run/secrets/db1",
            "set -gx API_KEY (cat /run/secrets/api_key_1)",
            "identified by: 3f2a9c0d4e1b8f7a",
            "assert_eq!(\"password\", \"tr0ub4dor&3xQ9\")",
            "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
        assert_eq!(found(&format!("\"clientToken\": \"{page}\"")), Some(page));
        for name in
            ["user_api_key_alias", "api_key_hash", "tokenHash", "api_key_id", "apiKeyID", "secretName"]
        {
            assert_eq!(found(&format!("\"{name}\": \"{page}\"")), None, "{name}");
        }
    }

    #[test]
    fn code_is_no_secret() {
        for text in [
            "password = models.CharField(max_length=128)",
            "password = Column(String(128))",
            "password: z.string().min(8)",
            "'password' => 'required|min:8|confirmed'",
            "password: Option<[u8; 32]>",
            "const password = crypto.randomBytes(16).toString('hex');",
            "String password = Base64.getEncoder().encodeToString(b);",
            "var password = Convert.ToBase64String(bytes);",
            "password = hashlib.sha256(pw).hexdigest()",
            "$password = Hash::make($x1)",
            "password = user->password2_of_user",
            "password = settings.db2_password",
            "password = os.environ['DB_PASSWORD_2']",
            "api_key = config.get_v2_api_key_from_env()",
            "api_key = config.get_v2_api_key_from_env;",
            "pub Password: WIN32_ERROR",
            "token_id = tokenizer2.convert_tokens_to_ids(x)",
            "tokenizer = \"facebook/wav2vec2-base-960h\"",
            "token_model = \"meta-llama/Llama-3.2-1B-Instruct\"",
            "secret_path = \"/var/run/secrets/kubernetes.io/token1\"",
            "token_url = \"https://auth2.example.org/oauth2/token\"",
            "token_pattern = \"[A-Z]{3}-[0-9]{6}-[a-z0-9]{12}\"",
            "\"secret\": \"The 3 words that nobody knows are these\"",
            "heroku_app_id: 0ab1c2d3-e4f5-4a6b-8c7d-9e0f1a2b3c4d",
            "token_id: 0ab1c2d3-e4f5-4a6b-8c7d-9e0f1a2b3c4d",
            "password: aaaa1111",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
