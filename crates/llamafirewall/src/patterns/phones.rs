//! Telephone numbers: with a country code, in groups as in North America, or after a word that says so.

use super::personal::{is_word, overlaps};
use regex_automata::Input;
use regex_automata::meta::Regex;
use std::ops::Range;

/// Digits of a number with its country code (E.164), and the fewest that are taken for one.
const INTERNATIONAL: std::ops::RangeInclusive<usize> = 8..=15;
/// The same where nothing stands between them.
const FEWEST_IN_A_ROW: usize = 10;
/// How far before plain digits a word has to stand that makes them a telephone number.
const REACH: usize = 32;
/// Words for it, which may be part of a name such as `phone_number`.
const NAMES: &[&str] = &[
    "phone",
    "phones",
    "telephone",
    "cellphone",
    "mobile",
    "tel",
    "fax",
    "whatsapp",
    "telefon",
    "telefonnummer",
    "rufnummer",
    "mobil",
    "telefono",
    "telefone",
    "celular",
];
/// Words that have other meanings within names.
const WORDS: &[&str] = &["call", "cell", "sms", "text me", "contact", "dial"];
/// Words before `call` that make it one of a program, whose numbers are others.
const CALLERS: &[&str] = &[
    "tool",
    "function",
    "rpc",
    "grpc",
    "api",
    "system",
    "method",
    "procedure",
    "model",
    "llm",
    "agent",
    "http",
];
/// Country codes whose numbers are written in pairs.
const IN_PAIRS: &[&str] = &["33", "45", "47", "352"];

pub(super) struct Phones {
    international: Regex,
    grouped: Regex,
    named: Regex,
}

impl Phones {
    pub fn new() -> Result<Self, String> {
        let build = |pattern: &str| Regex::new(pattern).map_err(|e| e.to_string());
        Ok(Self {
            // In a row; with the area in brackets or on its own; or with the area beside the country code.
            international: build(concat!(
                r"(?-u:\+[1-9](?:\d{7,14}",
                r"|\d{0,2}\)?(?:[ .-]?\(\d{1,5}\)[ .-]?|[ .-]\d{1,5}[ .-]?)(?:\d{2,5}[ .-]){0,5}\d{2,8}",
                r"|\d{3,6}(?:[ -]\d{3,8}){1,3})\b)"
            ))?,
            // Groups with blanks alone may be columns, and a point beside another sign parts a fraction.
            grouped: build(concat!(
                r"(?-u:(?:\(\d{3}\) ?\d{3}[ -]?\d{4}|\b\d{3}-\d{3}-\d{4}|\b\d{3} \d{3}-\d{4}",
                r"|(?:\(\d{3}\) ?|\b\d{3}\.)\d{3}\.\d{4})\b)"
            ))?,
            named: build(concat!(
                r"(?-u:\b(?:\d{10}|0\d{10}|0\d{1,4}(?:[ -]\d{2,8}){1,4}",
                r"|0\d{1,5}/ ?\d{3,9}(?:[ -]\d{1,5}){0,2}|0\d(?:\.\d{2}){4}|[2-9]\d{2} \d{3} \d{3,4})\b)"
            ))?,
        })
    }

    /// The numbers in a run of digits and of what may stand between them.
    pub fn look(&self, text: &str, region: &Input<'_>) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let international = self.international.find_iter(region.clone());
        found.extend(international.filter_map(|m| international_number(text, m.range())));
        let grouped = self.grouped.find_iter(region.clone()).map(|m| m.range());
        let grouped = grouped.filter(|span| !text[span.clone()].bytes().all(|byte| byte.is_ascii_digit()));
        let grouped = grouped.filter(|span| !is_version(text.as_bytes(), span) && has_area(text, span));
        let named = self.named.find_iter(region.clone()).map(|m| m.range());
        let named = named.filter(|span| is_named(text, span.clone()));
        let others: Vec<_> = grouped.chain(named).filter(|span| !overlaps(&found, span)).collect();
        found.extend(others);
        found
    }
}

/// Whether groups with points are a part of more of them: of a version, or an address of the internet. The country code may stand before.
fn is_version(bytes: &[u8], span: &Range<usize>) -> bool {
    if !bytes[span.clone()].contains(&b'.') {
        return false;
    }
    let goes_on = matches!(bytes[span.end..], [b'.', digit, ..] if digit.is_ascii_digit());
    let begins = match &bytes[..span.start] {
        [b'1', b'.'] => false,
        [.., before, b'1', b'.'] => is_word(*before) || *before == b'.',
        [.., before, b'.'] => before.is_ascii_digit(),
        _ => false,
    };
    goes_on || begins
}

/// No area in North America has a code that begins with 1; elsewhere many begin with 0. The one that everyone makes up counts, as does any
/// in brackets or behind a word for telephones.
fn has_area(text: &str, span: &Range<usize>) -> bool {
    let number = &text[span.clone()];
    !number.starts_with('1') || number.starts_with("123") || is_named(text, span.clone())
}

/// A place on the earth in degrees and minutes, perhaps seconds (ISO 6709): `+1306-05937`.
fn is_place(number: &str) -> bool {
    let Some((latitude, longitude)) = number[1..].split_once('-') else { return false };
    let part =
        |from: &str, at: usize| from.get(at..at + 2).and_then(|part| part.parse().ok()).unwrap_or(99_u32);
    let degrees = longitude.get(..3).and_then(|degrees| degrees.parse().ok()).unwrap_or(999_u32);
    matches!((latitude.len(), longitude.len()), (4, 5) | (6, 7))
        && part(latitude, 0) <= 90
        && part(latitude, 2) < 60
        && part(longitude, 3) < 60
        && degrees <= 180
}

/// The number that begins with the `+` of a span, without the numbers that come after it.
fn international_number(text: &str, span: Range<usize>) -> Option<Range<usize>> {
    // What stands before the sign makes it a sum.
    let before = span.start.checked_sub(1).map(|at| text.as_bytes()[at]);
    if before.is_some_and(|byte| is_word(byte) || b")]+".contains(&byte)) {
        return None;
    }
    let mut number = &text[span.clone()];
    while count(number) > *INTERNATIONAL.end() {
        number = number[..number.rfind([' ', '.', '-'])?].trim_end_matches([' ', '.', '-']);
    }
    (is_international(number) && !is_place(number)).then_some(span.start..span.start + number.len())
}

fn is_international(number: &str) -> bool {
    let groups: Vec<&str> =
        number.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty()).collect();
    let [first, rest @ ..] = &groups[..] else { return false };
    let code = code_length(first.as_bytes());
    if rest.is_empty() {
        // Times in seconds begin with 1 too, and have ten digits or thirteen.
        let fits = first.as_bytes()[0] != b'1' || first.len() == 11;
        return fits && first.len() >= FEWEST_IN_A_ROW;
    }
    // Points part the groups of a number, or fractions in a list.
    let has_points = number.contains('.') && !number.contains('(');
    let mut others = number.bytes().filter(|byte| b" .-".contains(byte)).skip(1);
    let is_list = has_points && others.any(|sign| sign != b'.');
    let fits = first.len() == code || (first.len() > 3 && !has_points);
    let is_told = rest.iter().any(|group| group.len() >= 3) || IN_PAIRS.contains(first);
    fits && is_told && !is_list && INTERNATIONAL.contains(&count(number))
}

fn count(number: &str) -> usize {
    number.bytes().filter(u8::is_ascii_digit).count()
}

/// How many digits the country code has that a number begins with (E.164, annex).
fn code_length(number: &[u8]) -> usize {
    match number {
        [b'1' | b'7', ..] => 1,
        [b'2', b'0' | b'7', ..]
        | [b'3', b'0'..=b'4' | b'6' | b'9', ..]
        | [b'4', b'0' | b'1' | b'3'..=b'9', ..]
        | [b'5', b'1'..=b'8', ..]
        | [b'6', b'0'..=b'6', ..]
        | [b'8', b'1' | b'2' | b'4' | b'6', ..]
        | [b'9', b'0'..=b'5' | b'8', ..] => 2,
        _ => 3,
    }
}

/// Whether a word before the number at `span` makes it a telephone number; ten digits in a row may be anything.
fn is_named(text: &str, span: Range<usize>) -> bool {
    let bytes = text.as_bytes();
    let is_fraction = matches!(bytes[..span.start], [.., digit, b'.'] if digit.is_ascii_digit());
    if is_fraction || count(&text[span.clone()]) < FEWEST_IN_A_ROW - 1 {
        return false;
    }
    let mut starts = (span.start.saturating_sub(REACH)..span.start).rev();
    let word = starts.find_map(|at| Some(at..word_end(bytes, at)?));
    word.is_some_and(|word| !is_code(&bytes[word.end..span.start]) && !is_other(bytes, &word))
}

/// Whether `call` and `cell` mean something else: a call of a tool, a cell of a table.
fn is_other(bytes: &[u8], word: &Range<usize>) -> bool {
    let has = |name: &str| bytes[word.clone()].eq_ignore_ascii_case(name.as_bytes());
    if has("cell") {
        let rest = bytes[word.end..].trim_ascii_start();
        let letters = rest.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        return letters > 0 && rest.get(letters).is_some_and(u8::is_ascii_digit);
    }
    let before = bytes[word.start.saturating_sub(REACH)..word.start].trim_ascii_end();
    let letters = before.iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let caller = &before[before.len() - letters..];
    has("call") && CALLERS.iter().any(|known| caller.eq_ignore_ascii_case(known.as_bytes()))
}

/// Where a word for telephones ends that begins at `at`.
fn word_end(bytes: &[u8], at: usize) -> Option<usize> {
    let (before, here) = (at.checked_sub(1).map(|before| bytes[before]), bytes[at]);
    // A capital after a small letter begins a word within a name.
    let begins = |before: u8| {
        !before.is_ascii_alphabetic() || (before.is_ascii_lowercase() && here.is_ascii_uppercase())
    };
    if !here.is_ascii_alphabetic() || !before.is_none_or(begins) {
        return None;
    }
    let end = |word: &&str| {
        let end = at + word.len();
        bytes.get(at..end)?.eq_ignore_ascii_case(word.as_bytes()).then_some(end)
    };
    let ends = |end: &usize| match bytes.get(*end) {
        Some(next) if next.is_ascii_uppercase() => bytes[*end - 1].is_ascii_lowercase(),
        next => !next.is_some_and(u8::is_ascii_alphabetic),
    };
    let stands_alone =
        |end: &usize| !before.is_some_and(is_word) && !bytes.get(*end).copied().is_some_and(is_word);
    let names = NAMES.iter().filter_map(end).filter(ends);
    names.chain(WORDS.iter().filter_map(end).filter(stands_alone)).next()
}

/// Whether what stands between the word and the number is a comparison or a call.
fn is_code(between: &[u8]) -> bool {
    between.windows(2).any(|pair| pair == b"==" || (is_word(pair[0]) && pair[1] == b'('))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &[&str]) {
        let found = Phones::new().expect("the patterns compile").look(text, &Input::new(text));
        assert_eq!(found.into_iter().map(|span| &text[span]).collect::<Vec<_>>(), want, "{text}");
    }

    #[test]
    fn country_codes_make_numbers() {
        for number in [
            "+14155552671",
            "+442079460958",
            "+44 20 7946 0958",
            "+44 (0)20 7946 0958",
            "+4420 7946 0958",
            "+33 1 23 45 67 89",
            "+49 30 901820",
            "+91 98765 43210",
            "+1 (555) 123-4567",
            "+1-800-555-0143",
            "+1 415.555.2671",
            "+44 1234567890",
        ] {
            check(&format!("ring {number} now"), &[number]);
            check(&format!("tel:{number}"), &[number]);
        }
        check("(+44) 20 7946 0958", &["+44) 20 7946 0958"]);
        check("+44 20 7946 0958 2025 11 29", &["+44 20 7946 0958"]);
    }

    #[test]
    fn sums_and_lines_of_patches_are_no_numbers() {
        for text in [
            "x+442079460958",
            "(a)+14155552671",
            "+2024-01-02 03:04:05",
            "+1700000000",
            "+1700000000000",
            "+1.2345 12.3456 2.3456",
            "+100 200 300",
            "+12 34 56 78",
            "+0.1234567890",
            "BB\t+1306-05937\tAmerica/Barbados",
            "GB\t+513030-0000731\tEurope/London",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn words_make_numbers() {
        check("my phone is 2025550143", &["2025550143"]);
        check("please call 2025550143, cell: 2025550144", &["2025550143", "2025550144"]);
        check("phone_number=2025550143, userPhone: 2025550144", &["2025550143", "2025550144"]);
        check("mobile 07700900123", &["07700900123"]);
        check("Tel. 020 7946 0958", &["020 7946 0958"]);
        check("Call (123) 456-7890 or 123.456.7890", &["(123) 456-7890", "123.456.7890"]);
        check("(123) 456.7890, 123 456-7890", &["(123) 456.7890", "123 456-7890"]);
        check("phone 345 678 1234, Tel: 912 345 678", &["345 678 1234", "912 345 678"]);
        check("Tel. 030/12345678, tel 01.42.68.53.00", &["030/12345678", "01.42.68.53.00"]);
        check("1.800.555.0199, or 1.800.555.0198.", &["800.555.0199", "800.555.0198"]);
        check("phone: 100-200-3000", &["100-200-3000"]);
        check("Telefon: 0171 2345678", &["0171 2345678"]);
    }

    #[test]
    fn other_numbers_pass() {
        for text in [
            "f(1234567890)",
            "time.sleep(1700000000)",
            "'{:,}'.format(1234567890)",
            "recall 1234567890 items",
            "tool call 1234567890 finished",
            "RPC call 1764498367 failed",
            "Cell B12: 4471223011",
            "telemetry 1234567890",
            "TELEMETRY=1234567890",
            "callback(id=1234567890)",
            "contact_id = 1234567890",
            "cell === 2147483647",
            "call sleep(1234567890)",
            "tel 2.8333333333",
            "M277.764 1035 L277.764-1035",
            "277 764.1035",
            "345 678 1234",
            "345\n678\n1234",
            "201.123 4567.8",
            "tel 192.168.100.200",
            "mobile 2024-01-02 03:04",
            "mobile 07700",
            "100-200-3000 rows",
            "192.168.100.1234",
            "version 1.800.555.0199.2",
            "1.2.800.555.0199",
            "800.555.0199.2",
        ] {
            check(text, &[]);
        }
    }
}
