//! Personal data that can be told by its shape and has digits: telephone, card, account and insurance numbers.

use super::Found;
use super::accounts::{self, accounts};
use super::cards::{self, is_grouped_card, is_plain_card};
use super::phones::Phones;
use super::printed;
use regex_automata::meta::Regex;
use regex_automata::{Input, Span};
use std::ops::Range;

pub(super) const PHONE: &str = "Phone number";
const CARD: &str = "Credit card";
const INSURANCE: &str = "Social security number";
pub(super) const ACCOUNT: &str = "Bank account number";

/// Fewer digits make none of these numbers.
const FEWEST_DIGITS: usize = 9;

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The numbers.
pub(super) struct Numbers {
    phones: Phones,
    insurance: Regex,
    grouped_card: Regex,
    plain_card: Regex,
}

impl Numbers {
    pub fn new() -> Result<Self, String> {
        let build = |pattern: &str| Regex::new(pattern).map_err(|e| e.to_string());
        Ok(Self {
            phones: Phones::new()?,
            insurance: build(r"(?-u:\b\d{3}-\d{2}-\d{4}\b)")?,
            grouped_card: build(r"(?-u:\b(?:(?:\d{4}[- ]){3}\d{4}|\d{4}[- ]\d{6}[- ]\d{5})\b)")?,
            plain_card: build(r"(?-u:\b\d{13,19}\b)")?,
        })
    }

    /// Finds numbers wherever there are digits enough. What is part of an account's number is no other one.
    pub fn look(&self, text: &str, found: &mut Vec<Found>) {
        let accounts = accounts(text);
        for region in regions(text).filter(|region| digits(&text[region.clone()]).count() >= FEWEST_DIGITS) {
            let input = Input::new(text).span(Span::from(region));
            let mut add = |name: &'static str, span: Range<usize>| {
                if !overlaps(&accounts, &span) && !printed::stands_in_dump(text, &span) {
                    found.push(Found { name: name.into(), span });
                }
            };
            self.phones.look(text, &input).into_iter().for_each(|span| add(PHONE, span));
            let grouped =
                self.grouped_card.find_iter(input.clone()).filter(|m| is_grouped_card(text, m.range()));
            grouped.for_each(|m| add(CARD, m.range()));
            let plain = self.plain_card.find_iter(input.clone()).filter(|m| is_plain_card(text, m.range()));
            plain.for_each(|m| add(CARD, m.range()));
            let insurance = self.insurance.find_iter(input).filter(|m| is_insurance(&text[m.range()]));
            insurance.for_each(|m| add(INSURANCE, m.range()));
        }
        found.extend(accounts.into_iter().map(|span| Found { name: ACCOUNT.into(), span }));
    }

    /// The first byte of an end of `text` that more text could make a number of.
    pub fn open_end(text: &str) -> usize {
        let bytes = text.as_bytes();
        let tail = bytes.iter().rev().take_while(|byte| in_region(**byte)).count();
        let start = bytes.len() - tail;
        let first = bytes[start..].iter().position(|byte| byte.is_ascii_digit() || b"+(".contains(byte));
        let numbers = first.map_or(bytes.len(), |at| start + at);
        numbers.min(accounts::open_end(text)).min(cards::open_end(text))
    }
}

/// Whether a place shares bytes with one of others, which come in order.
pub(super) fn overlaps(places: &[Range<usize>], span: &Range<usize>) -> bool {
    let next = places.partition_point(|place| place.end <= span.start);
    places.get(next).is_some_and(|place| place.start < span.end)
}

/// Whether such a number is ever given out: area, group and serial are not zero, and the area is none of those that mean something else
/// (SSA, POMS RM 10201.030).
fn is_insurance(number: &str) -> bool {
    let (area, rest) = number.split_at(3);
    !matches!(area, "000" | "666")
        && !area.starts_with('9')
        && !rest.starts_with("-00")
        && !rest.ends_with("-0000")
}

fn in_region(byte: u8) -> bool {
    byte.is_ascii_digit() || b" ()+.-/\t\n\r".contains(&byte)
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
pub(super) fn next_digit(bytes: &[u8], at: usize) -> usize {
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

pub(super) fn digits(text: &str) -> impl DoubleEndedIterator<Item = u32> {
    text.bytes().filter(u8::is_ascii_digit).map(|byte| u32::from(byte - b'0'))
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
            ("4111 1111 1111 1111", CARD),
            ("4111111111111111", CARD),
            ("378282246310005", CARD),
            ("SSN: 123-45-6789", INSURANCE),
            ("pay to DE89370400440532013000 TODAY", ACCOUNT),
            ("GB82WEST12345698765432", ACCOUNT),
            ("DE89 3704 0044 0532 0130 00", ACCOUNT),
            ("1,4111111111111111,Ada", CARD),
            ("DE12 4111 1111 1111 1111", CARD),
            ("tel:+442079460958", PHONE),
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
            "000-12-3456, 666-12-3456, 900-12-3456, 123-00-4567 and 123-45-0000",
            "0755 0644 0600 0777",
            "2024-01-02 03:04:05",
            "DE89370400440532013001",
            "192.168.100.200 and 10.0.0.1",
            "3.14159265358979",
            "loss 0.5968134880050162",
            "loss 0,4539578763621486",
            "4539578763621486.5",
            "DE88 3704 0044 0532 0130 00",
        ] {
            assert_eq!(names(text), [] as [String; 0], "{text}");
        }
    }
}
