//! International bank account numbers (ISO 13616): told by their country, its length and their check digits.

use super::personal::{is_word, next_digit};
use super::printed;
use std::ops::Range;

/// Longest number with the blanks in it, in bytes.
const LONGEST: usize = 42;
/// Country and check digits.
const HEAD: usize = 4;

/// Countries and how many characters their numbers have (IBAN registry, release 97): those whose numbers are digits alone.
const OF_DIGITS: &[(&[u8; 2], usize)] = &[
    (b"AE", 23),
    (b"AT", 20),
    (b"BA", 20),
    (b"BE", 16),
    (b"BI", 27),
    (b"CR", 22),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FO", 18),
    (b"GL", 18),
    (b"HR", 21),
    (b"HU", 28),
    (b"IL", 23),
    (b"IS", 26),
    (b"LT", 20),
    (b"LY", 25),
    (b"ME", 22),
    (b"MN", 20),
    (b"MR", 27),
    (b"NO", 15),
    (b"PL", 28),
    (b"PT", 25),
    (b"RS", 22),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SO", 23),
    (b"ST", 25),
    (b"TL", 23),
    (b"TN", 24),
    (b"VA", 22),
    (b"XK", 20),
];

/// The same for those whose numbers may have letters.
const WITH_LETTERS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AL", 28),
    (b"AZ", 28),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CY", 28),
    (b"DO", 28),
    (b"FK", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"IE", 22),
    (b"IQ", 23),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LU", 20),
    (b"LV", 21),
    (b"MC", 27),
    (b"MD", 24),
    (b"MK", 19),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"OM", 23),
    (b"PK", 24),
    (b"PS", 29),
    (b"QA", 29),
    (b"RO", 24),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SM", 27),
    (b"SV", 28),
    (b"TR", 26),
    (b"UA", 29),
    (b"VG", 24),
    (b"YE", 30),
];

/// What a country's numbers are like.
struct Country {
    length: usize,
    has_letters: bool,
}

fn country(name: [u8; 2]) -> Option<Country> {
    let find = |table: &[(&[u8; 2], usize)]| Some(table.iter().find(|(known, _)| **known == name)?.1);
    let of_digits = find(OF_DIGITS).map(|length| Country { length, has_letters: false });
    of_digits.or_else(|| find(WITH_LETTERS).map(|length| Country { length, has_letters: true }))
}

/// What a place turned out to be.
enum Read {
    /// A number that ends there.
    Account(usize),
    /// The text ends before the number could.
    Unfinished,
    Nothing,
}

/// The numbers of a text, from front to back.
pub(super) fn accounts(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let digit = next_digit(bytes, at);
        if digit == bytes.len() {
            return found;
        }
        at = digit + 1;
        // The first digit stands behind the country.
        let Some(start) = digit.checked_sub(2) else { continue };
        let Read::Account(end) = read(bytes, start) else { continue };
        let span = start..end;
        if !printed::is_no_account(text, &span) {
            found.push(span);
            at = end;
        }
    }
}

/// The first byte of an end of `text` that more text could make a number of.
pub(super) fn open_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let is_open = |at: &usize| match read(bytes, *at) {
        Read::Account(end) => end == bytes.len(),
        Read::Unfinished => true,
        Read::Nothing => false,
    };
    (bytes.len().saturating_sub(LONGEST)..bytes.len()).find(is_open).unwrap_or(bytes.len())
}

fn name(a: u8, b: u8) -> [u8; 2] {
    [a.to_ascii_uppercase(), b.to_ascii_uppercase()]
}

/// Reads on from `start`. Letters are all of one case, and groups are parted by single blanks: of four, where the letters
/// are small, because four small letters and a blank may be any words.
fn read(bytes: &[u8], start: usize) -> Read {
    let (Some(a), Some(b)) = (bytes.get(start), bytes.get(start + 1)) else {
        return if bytes[start].is_ascii_alphabetic() { Read::Unfinished } else { Read::Nothing };
    };
    // Looked at first: the table would else be searched for every digit.
    if !a.is_ascii_alphabetic() || !b.is_ascii_alphabetic() || (start > 0 && is_word(bytes[start - 1])) {
        return Read::Nothing;
    }
    let Some(country) = country(name(*a, *b)) else { return Read::Nothing };
    let is_capital = a.is_ascii_uppercase();
    let mut number = Vec::with_capacity(country.length);
    let mut end = start;
    while number.len() < country.length {
        if end - start == LONGEST {
            return Read::Nothing;
        }
        let Some(byte) = bytes.get(end) else { return Read::Unfinished };
        let may_be_letter = number.len() < 2 || (number.len() >= HEAD && country.has_letters);
        let is_gap = number.len() >= HEAD && (is_capital || number.len() % 4 == 0);
        match byte {
            b'0'..=b'9' if number.len() >= 2 => number.push(*byte),
            b' ' if is_gap && bytes[end - 1] != b' ' => {}
            _ if may_be_letter && byte.is_ascii_alphabetic() && byte.is_ascii_uppercase() == is_capital => {
                number.push(byte.to_ascii_uppercase());
            }
            _ => return Read::Nothing,
        }
        end += 1;
    }
    let stands_alone = !bytes.get(end).copied().is_some_and(is_word);
    if stands_alone && checks(&number) { Read::Account(end) } else { Read::Nothing }
}

/// The rest of the number by 97 is 1, its first four characters put last.
fn checks(number: &[u8]) -> bool {
    let turned = number[HEAD..].iter().chain(&number[..HEAD]);
    let rest = turned.fold(0_u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    rest == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_by_country_length_and_check_digits() {
        let check = |text: &str, want: &[&str]| {
            let found: Vec<&str> = accounts(text).into_iter().map(|span| &text[span]).collect();
            assert_eq!(found, want, "{text}");
        };
        check("pay to DE89370400440532013000 TODAY", &["DE89370400440532013000"]);
        check("DE89 3704 0044 0532 0130 00.", &["DE89 3704 0044 0532 0130 00"]);
        check("IBAN: de89370400440532013000", &["de89370400440532013000"]);
        check("GB82WEST12345698765432", &["GB82WEST12345698765432"]);
        check("gb82 west 1234 5698 7654 32", &["gb82 west 1234 5698 7654 32"]);
        check("NO9386011117947 and BE68539007547034", &["NO9386011117947", "BE68539007547034"]);
        check("DE88370400440532013000", &[]);
        check("DE893704004405320130001", &[]);
        check("xDE89370400440532013000", &[]);
        check("Gb82west12345698765432", &[]);
    }

    /// One beginning in 97 has check digits that fit, and fingerprints have many.
    #[test]
    fn fingerprints_are_no_accounts() {
        let mut state = 1_u64;
        for _ in 0..3000 {
            let mut group = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                format!("{:04X}", state >> 48)
            };
            let groups: Vec<String> = (0..10).map(|_| group()).collect();
            assert!(accounts(&groups.join(" ")).is_empty(), "{groups:?}");
        }
    }

    #[test]
    fn only_what_may_become_a_number_is_open() {
        for (text, open) in [("my own ", ""), ("see DE89 37", "DE89 37"), ("see de", "de"), ("NASA ", "")] {
            assert_eq!(&text[open_end(text)..], open, "{text}");
        }
    }
}
