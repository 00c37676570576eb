//! Personal data that can be told by its shape: addresses of mail, telephone, card, account and insurance numbers.

use super::Found;
use regex_automata::meta::Regex;
use regex_automata::{Input, Span};
use std::ops::Range;

pub(super) const ADDRESS: &str = "Email address";
const PHONE: &str = "Phone number";
const CARD: &str = "Credit card";
const INSURANCE: &str = "Social security number";
const ACCOUNT: &str = "Bank account number";

/// Longest local part of an address (RFC 5321).
pub(super) const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 255;
/// Fewer digits make none of these numbers.
const FEWEST_DIGITS: usize = 9;
/// How far before ten plain digits a word has to stand that makes them a telephone number.
const PHONE_WORD_REACH: usize = 32;
const PHONE_WORDS: [&str; 10] =
    ["phone", "call", "tel", "mobile", "cell", "fax", "whatsapp", "sms", "text me", "contact"];

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

pub(super) fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._%+-".contains(&byte)
}

/// The address around the `@` at `at`, and where one could begin that more text completes.
pub(super) fn address(text: &str, at: usize) -> (Option<Range<usize>>, Option<usize>) {
    let bytes = text.as_bytes();
    let local = bytes[..at].iter().rev().take(LONGEST_LOCAL).take_while(|byte| is_local(**byte)).count();
    // It begins with a letter or a digit.
    let start = at - local + bytes[at - local..at].iter().take_while(|byte| !is_word(**byte)).count();
    if start == at {
        return (None, None);
    }
    let in_domain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'.' || *byte == b'-';
    let domain = bytes[at + 1..].iter().take(LONGEST_DOMAIN).take_while(|byte| in_domain(byte)).count();
    let domain_end = at + 1 + domain;
    let open = (domain_end == bytes.len()).then_some(start);
    let ends_name = |dot: usize| {
        let letters = bytes[dot + 1..domain_end].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let end = dot + 1 + letters;
        (dot > at + 1 && letters >= 2 && !bytes.get(end).copied().is_some_and(is_word)).then_some(end)
    };
    let dots = (at + 1..domain_end).rev().filter(|dot| bytes[*dot] == b'.');
    let end = dots.filter_map(ends_name).next();
    (end.map(|end| start..end), open)
}

/// The numbers.
pub(super) struct Numbers {
    phone: Regex,
    insurance: Regex,
    grouped_card: Regex,
    plain_card: Regex,
}

impl Numbers {
    pub fn new() -> Result<Self, String> {
        let build = |pattern: &str| Regex::new(pattern).map_err(|e| e.to_string());
        Ok(Self {
            phone: build(r"(?-u:\b(?:\+\d{1,2}\s?)?\(?\d{3}\)?[\s.-]?\d{3}[\s.-]?\d{4}\b)")?,
            insurance: build(r"(?-u:\b\d{3}-\d{2}-\d{4}\b)")?,
            grouped_card: build(r"(?-u:\b(?:(?:\d{4}[- ]){3}\d{4}|\d{4}[- ]\d{6}[- ]\d{5})\b)")?,
            plain_card: build(r"(?-u:\b\d{13,19}\b)")?,
        })
    }

    /// Finds numbers wherever there are digits enough.
    pub fn look(&self, text: &str, found: &mut Vec<Found>) {
        for region in regions(text).filter(|region| digits(&text[region.clone()]).count() >= FEWEST_DIGITS) {
            let input = Input::new(text).span(Span::from(region));
            let mut add = |name: &'static str, span: Span| {
                found.push(Found { name: name.into(), span: span.start..span.end });
            };
            let phones = self.phone.find_iter(input.clone()).filter(|m| is_phone(text, m.range()));
            phones.for_each(|m| add(PHONE, m.span()));
            self.grouped_card.find_iter(input.clone()).for_each(|m| add(CARD, m.span()));
            let cards = self.plain_card.find_iter(input.clone()).filter(|m| is_card(&text[m.range()]));
            cards.for_each(|m| add(CARD, m.span()));
            self.insurance.find_iter(input).for_each(|m| add(INSURANCE, m.span()));
        }
        accounts(text).for_each(|span| found.push(Found { name: ACCOUNT.into(), span }));
    }

    /// The first byte of an end of `text` that more text could make a number of.
    pub fn open_end(text: &str) -> usize {
        let bytes = text.as_bytes();
        let tail = bytes.iter().rev().take_while(|byte| in_region(**byte)).count();
        let start = bytes.len() - tail;
        let first = bytes[start..].iter().position(|byte| byte.is_ascii_digit() || b"+(".contains(byte));
        let numbers = first.map_or(bytes.len(), |at| start + at);
        // Account numbers have capitals, in groups.
        let account = bytes.iter().rev().take(LONGEST_ACCOUNT).take_while(|b| in_account(**b)).count();
        let account = &bytes[bytes.len() - account..];
        let begins =
            |at: &usize| account[*at].is_ascii_uppercase() && (*at == 0 || !is_word(account[at - 1]));
        let account_start =
            (0..account.len()).find(begins).map_or(bytes.len(), |at| bytes.len() - account.len() + at);
        numbers.min(account_start)
    }
}

fn in_region(byte: u8) -> bool {
    byte.is_ascii_digit() || b" ()+.-\t\n\r".contains(&byte)
}

/// Runs of digits and of what may stand between them, that begin with a digit.
fn regions(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        at = next_digit(bytes, at);
        let start = at;
        at += bytes[at..].iter().take_while(|byte| in_region(**byte)).count();
        // What may stand before the first digit.
        let before = bytes[..start].iter().rev().take(2).take_while(|byte| b"+(".contains(byte)).count();
        (at > start).then_some(start - before..at)
    })
}

/// The first digit from `at` on, or the end. Most text has few: it is passed over in strides, without a branch per byte.
fn next_digit(bytes: &[u8], at: usize) -> usize {
    const STRIDE: usize = 32;
    let mut at = at;
    while let Some(stride) = bytes.get(at..at + STRIDE) {
        if stride.iter().fold(false, |any, byte| any | byte.is_ascii_digit()) {
            break;
        }
        at += STRIDE;
    }
    bytes[at..].iter().position(u8::is_ascii_digit).map_or(bytes.len(), |more| at + more)
}

fn digits(text: &str) -> impl DoubleEndedIterator<Item = u32> {
    text.bytes().filter(u8::is_ascii_digit).map(|byte| u32::from(byte - b'0'))
}

/// Ten digits in a row may be anything: a sign between them, or a word before them, makes a telephone number.
fn is_phone(text: &str, span: Range<usize>) -> bool {
    let number = &text[span.clone()];
    let before = &text.as_bytes()[span.start.saturating_sub(PHONE_WORD_REACH)..span.start];
    let before = String::from_utf8_lossy(before).to_ascii_lowercase();
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
    // Half of a card number is no telephone number, nor is a number with a point in it.
    let country = before.trim_end().trim_end_matches(|c: char| c.is_ascii_digit()).ends_with('+');
    !is_plain || country || PHONE_WORDS.iter().any(|word| before.contains(word))
}

/// By its first digits and its check digit (ISO/IEC 7812).
fn is_card(number: &str) -> bool {
    let issuer = matches!(
        number.as_bytes(),
        [b'3', b'0' | b'4'..=b'9', ..]
            | [b'4', ..]
            | [b'5', b'0'..=b'9', ..]
            | [b'2', b'2'..=b'7', ..]
            | [b'6', ..]
    );
    let weigh = |(at, digit): (usize, u32)| match digit * (1 + at as u32 % 2) {
        double if double > 9 => double - 9,
        single => single,
    };
    issuer && digits(number).rev().enumerate().map(weigh).sum::<u32>() % 10 == 0
}

const LONGEST_ACCOUNT: usize = 42;

fn in_account(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' '
}

/// International bank account numbers (ISO 13616), by length and check digits: two capitals, then digits first.
fn accounts(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let digit = next_digit(bytes, at);
            if digit == bytes.len() {
                return None;
            }
            at = digit + 1;
            let Some(start) = digit.checked_sub(2) else { continue };
            let begins = matches!(
                bytes[start..],
                [a, b, _, d, ..] if a.is_ascii_uppercase() && b.is_ascii_uppercase() && d.is_ascii_digit()
            );
            if begins && (start == 0 || !is_word(bytes[start - 1])) {
                return Some(start);
            }
        }
    })
    .filter_map(move |start| account(bytes, start))
}

fn account(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let length = bytes[start..].iter().take(LONGEST_ACCOUNT).take_while(|byte| in_account(**byte)).count();
    let mut end = start + length;
    // The words after it may be capitals too: the longest beginning that checks counts.
    while end - start >= 15 {
        let number: Vec<u8> = bytes[start..end].iter().copied().filter(|byte| *byte != b' ').collect();
        let stands_alone = !bytes.get(end).copied().is_some_and(is_word) && bytes[end - 1] != b' ';
        if stands_alone && (15..=34).contains(&number.len()) && checks(&number) {
            return Some(start..end);
        }
        end -= 1;
    }
    None
}

/// The rest of the number by 97 is 1, its first four characters put last.
fn checks(number: &[u8]) -> bool {
    let turned = number[4..].iter().chain(&number[..4]);
    let rest = turned.fold(0_u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    rest == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        Numbers::new().expect("the patterns compile").look(text, &mut found);
        found.into_iter().map(|found| found.name.into_owned()).collect()
    }

    #[test]
    fn numbers_are_told_by_their_shape() {
        for (text, want) in [
            ("Call (123) 456-7890", PHONE),
            ("+44 1234567890", PHONE),
            ("my phone is 2025550143", PHONE),
            ("call 123.456.7890 now", PHONE),
            ("card 1234-5678-9012-3456", CARD),
            ("4111111111111111", CARD),
            ("378282246310005", CARD),
            ("SSN: 123-45-6789", INSURANCE),
            ("pay to DE89370400440532013000 TODAY", ACCOUNT),
            ("GB82WEST12345698765432", ACCOUNT),
        ] {
            assert_eq!(names(text), [want], "{text}");
        }
    }

    #[test]
    fn other_numbers_pass() {
        for text in [
            "1700000000",
            "12345678901",
            "1234567890123456",
            "4111111111111112",
            "x123-45-6789",
            "order 123-456-78901",
            "2024-01-02 03:04:05",
            "DE89370400440532013001",
            "192.168.100.200 and 10.0.0.1",
            "3.14159265358979",
        ] {
            assert_eq!(names(text), [] as [String; 0], "{text}");
        }
    }

    #[test]
    fn addresses_are_whole() {
        let check = |text: &str, want: Option<&str>| {
            let at = text.find('@').expect("an @");
            assert_eq!(address(text, at).0.map(|span| &text[span]), want, "{text}");
        };
        check("mail me at a@b.co.", Some("a@b.co"));
        check("USER+tag%x@SUB.DOMAIN.ORG!", Some("USER+tag%x@SUB.DOMAIN.ORG"));
        check("..x@a.example.com,", Some("x@a.example.com"));
        check("a@b.c", None);
        check("not-an-email@", None);
        check("@decorator.name", None);
        check("a@b.||x", None);
    }
}
