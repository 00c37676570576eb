//! Private keys as text: PEM, the files of PuTTY, and JSON Web Keys. What is found is the key to its end.

use super::assigned::signs;
use super::matcher::{Seen, run};
use std::ops::Range;

const NAME: &str = "Private key";
/// What PEM begins with (RFC 7468), and the end of the kind that stands behind it.
const PEM: (&str, &str) = ("-----BEGIN ", "PRIVATE KEY");
/// What stands before the private lines of a file of PuTTY.
const PUTTY: &str = "Private-Lines: ";
/// The private member of a JSON Web Key (RFC 7518, 6.2.2 and 6.3.2), whose closing quotation mark may have backslashes before it.
const JWK: &str = "\"d";
/// What begins keys, and is searched for.
pub(super) const BEGINNINGS: &[&str] = &[PEM.0, PUTTY, JWK];
/// How far the kind of a private key may be from its beginning, and the key from its kind.
const LONGEST_KIND: usize = 40;
/// How much of a private key tells that it is one.
const TELLING: usize = 40;
/// How far its end is looked for: a key of RSA with 16,384 bits has 13,000 bytes, one of OpenPGP may have pictures.
const LONGEST_KEY: usize = 1 << 16;
/// Characters of base64 in a row that no word has.
const FEWEST: usize = 24;
/// Lines that may stand before the base64, and how long they are.
const FIELDS: [&[u8]; 4] = [b"Proc-Type:", b"DEK-Info:", b"Version:", b"Comment:"];
const LONGEST_FIELD: usize = 200;
/// Digits of a number of lines.
const LONGEST_COUNT: usize = 4;
/// The shortest private member, of P-256 and Ed25519, and the longest, of RSA with 16,384 bits.
const MEMBER: (usize, usize) = (42, 2731);
/// The member that every JSON Web Key has, and how far before and after the private one it may be.
const KIND_OF_JWK: &[u8] = b"\"kty";
const BEFORE: usize = 1000;
const AFTER: usize = 2048;

/// Looks at what stands at one of the [`BEGINNINGS`].
pub(super) fn private_key(text: &str, begin: Range<usize>) -> Seen {
    let is = |known: &str| text[begin.clone()] == *known;
    if is(PEM.0) {
        pem(text, begin)
    } else if is(PUTTY) {
        putty(text, begin)
    } else if is(JWK) {
        member(text, begin)
    } else {
        Seen::nothing()
    }
}

fn pem(text: &str, begin: Range<usize>) -> Seen {
    let kind = begin.end
        + run(text, begin.end, LONGEST_KIND, |b| b.is_ascii_uppercase() || b" 0123456789".contains(&b));
    let is_kind = text[begin.end..kind].contains(PEM.1);
    if kind - begin.end > LONGEST_KIND || (kind < text.len() && !is_kind) {
        return Seen::nothing();
    }
    let key = kind + quoting(&text.as_bytes()[kind..]);
    let window = &text.as_bytes()[key..text.len().min(key + TELLING)];
    let found = (is_kind && is_key(window)).then(|| end(text.as_bytes(), key));
    seen(text, begin.start, key, found)
}

fn putty(text: &str, begin: Range<usize>) -> Seen {
    let count = run(text, begin.end, LONGEST_COUNT, |byte| byte.is_ascii_digit());
    let key = begin.end + count + quoting(&text.as_bytes()[begin.end + count..]);
    if count == 0 && key < text.len() {
        return Seen::nothing();
    }
    let rest = &text.as_bytes()[key..text.len().min(key + LONGEST_KEY)];
    // Without fields, which could hold the beginning of another one, no text is read for two keys.
    let found = (count > 0 && base64(rest) >= FEWEST).then(|| key + lines(rest, |_| false));
    seen(text, begin.start, key, found)
}

/// What begins at `start`, has its first characters at `key`, and ends at `end` where it is a key.
fn seen(text: &str, start: usize, key: usize, end: Option<usize>) -> Seen {
    let open = (key + TELLING > text.len()).then_some(start);
    Seen { open, ..end.map_or_else(Seen::nothing, |end| Seen::found(NAME, start..end)) }
}

/// Whether this is how the text of a private key begins: with a field, or base64. The line before it is often quoted alone.
fn is_key(text: &[u8]) -> bool {
    // A sequence in DER, of hundreds of bytes.
    is_field(text) || text.starts_with(b"MII") || base64(text) >= FEWEST
}

fn is_field(text: &[u8]) -> bool {
    FIELDS.iter().any(|field| text.starts_with(field))
}

fn base64(text: &[u8]) -> usize {
    let is_base64 = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    text.iter().take_while(is_base64).count()
}

/// Where a key ends whose first characters are at `key`: behind its last line, or with its last characters where there is none. Dashes
/// bound it, so that no text is read for two keys.
fn end(text: &[u8], key: usize) -> usize {
    let rest = &text[key..text.len().min(key + LONGEST_KEY)];
    let dashes = rest.windows(5).position(|window| window == b"-----").unwrap_or(rest.len());
    let Some(last) = rest[dashes..].strip_prefix(b"-----END ") else {
        return key + lines(&rest[..dashes], is_field);
    };
    let is_kind = |byte: &&u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || **byte == b' ';
    let kind = last.iter().take(LONGEST_KIND).take_while(is_kind).count();
    let closing = last[kind..].iter().take(5).take_while(|byte| **byte == b'-').count();
    key + rest.len() - last.len() + kind + closing
}

/// How much of a text is fields, and base64 in rows.
fn lines(text: &[u8], is_field: fn(&[u8]) -> bool) -> usize {
    let (mut at, mut end) = (0, 0);
    loop {
        let rest = &text[at..];
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\\');
        let (length, is_line) = if is_field(rest) {
            let field = rest.iter().take(LONGEST_FIELD);
            (field.take_while(|byte| !is_end(byte)).count(), true)
        } else {
            let length = base64(rest);
            (length, length >= FEWEST || at == 0)
        };
        if length == 0 || !is_line {
            return end;
        }
        end = at + length;
        at = end + quoting(&text[end..]);
    }
}

/// How much of a text is dashes, ends of lines, and signs that quote or continue them.
fn quoting(text: &[u8]) -> usize {
    let mut at = 0;
    while at < LONGEST_KIND {
        at += match &text[at..] {
            [b'\\', b'n' | b'r', ..] => 2,
            [byte, ..] if byte.is_ascii_whitespace() || b"-\\\"'+,>|#*".contains(byte) => 1,
            _ => break,
        };
    }
    at
}

/// Looks at what follows `"d`: in an object that is a JSON Web Key the private part.
fn member(text: &str, name: Range<usize>) -> Seen {
    let bytes = text.as_bytes();
    let start = signs(text, name.end, |byte| b" \t\r\n\":".contains(&byte));
    if start == text.len() {
        return Seen::open_at(name.start);
    }
    if bytes[start - 1] != b'"' || !bytes[name.end..start].contains(&b':') {
        return Seen::nothing();
    }
    let end = start + run(text, start, MEMBER.1, |b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let has_length = (MEMBER.0..=MEMBER.1).contains(&(end - start));
    match bytes.get(end) {
        None if end - start <= MEMBER.1 => return Seen::open_at(name.start),
        Some(b'"' | b'\\') if has_length => {}
        _ => return Seen::nothing(),
    }
    let has_kind = |part: &[u8]| part.windows(KIND_OF_JWK.len()).any(|window| window == KIND_OF_JWK);
    let after = &bytes[end..text.len().min(end + AFTER)];
    if has_kind(&bytes[name.start.saturating_sub(BEFORE)..name.start]) || has_kind(after) {
        return Seen::found(NAME, start..end);
    }
    Seen { open: (after.len() < AFTER).then_some(name.start), ..Seen::nothing() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patterns::Found;

    /// What is found at the first beginning.
    fn found(text: &str) -> Option<&str> {
        let begins = |known: &&str| text.find(known).map(|at| at..at + known.len());
        let begin = BEGINNINGS.iter().find_map(begins).expect("a beginning");
        let Found { span, .. } = private_key(text, begin).found?;
        Some(&text[span])
    }

    const LINE: &str = "MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04aB3dE5fG7hI9jK1lM3nO5pQ7r";

    #[test]
    fn a_key_is_found_to_its_end() {
        for (begin, end) in [
            ("-----BEGIN EC PRIVATE KEY-----\n", "\n-----END EC PRIVATE KEY-----"),
            ("-----BEGIN PRIVATE KEY-----\\n", "\\n-----END PRIVATE KEY-----"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A1B\n\n",
                "\n-----END RSA PRIVATE KEY-----",
            ),
            ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A1B\n\n", ""),
            ("-----BEGIN PRIVATE KEY-----\r\n", ""),
            ("Private-Lines: 2\n", ""),
        ] {
            let key = format!("{begin}{LINE}\n{LINE}{end}");
            assert_eq!(found(&format!("a {key}\nb, and more")), Some(&key[..]));
        }
        // The next key is another one.
        let key = format!("-----BEGIN PRIVATE KEY-----\n{LINE}");
        assert_eq!(found(&format!("{key}\n{key}")), Some(&key[..]));
    }

    #[test]
    fn the_private_member_of_a_web_key_is_one() {
        let member = "aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5zA7b-_Q";
        for text in [
            format!(r#"{{"kty":"OKP","crv":"Ed25519","d":"{member}","x":"y"}}"#),
            format!(r#"{{ "d" : "{member}", "kty" : "EC" }}"#),
            format!(r#"{{\"kty\":\"EC\",\"d\":\"{member}\"}}"#),
        ] {
            assert_eq!(found(&text), Some(member), "{text}");
        }
        for text in [
            format!(r#"{{"kty":"EC","date":"{member}"}}"#),
            format!(r#"{{"e":"f","d":"{member}"}}"#),
            format!(r#"{{"kty":"EC","d":"{}"}}"#, &member[..20]),
        ] {
            assert_eq!(found(&text), None, "{text}");
        }
    }
}
