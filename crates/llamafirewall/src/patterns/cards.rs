//! Numbers of payment cards: told by issuer, length and check digit, or by their groups and a word before them.

use super::personal::{digits, is_word};
use std::ops::Range;

/// First four digits from and to, and how many digits such numbers have (ISO/IEC 7812, and what issuers publish).
const ISSUERS: &[(u32, u32, &[usize])] = &[
    (2200, 2204, &[16, 17, 18, 19]), // Mir
    (2221, 2720, &[16]),             // Mastercard
    (3000, 3059, &[14]),             // Diners Club
    (3400, 3499, &[15]),             // American Express
    (3528, 3589, &[16, 17, 18, 19]), // JCB
    (3600, 3699, &[14]),             // Diners Club
    (3700, 3799, &[15]),             // American Express
    (3800, 3999, &[14]),             // Diners Club
    (4000, 4999, &[13, 16, 19]),     // Visa
    (5018, 5018, MAESTRO),
    (5020, 5020, MAESTRO),
    (5038, 5038, MAESTRO),
    (5100, 5599, &[16]), // Mastercard
    (5893, 5893, MAESTRO),
    (6011, 6011, &[16, 17, 18, 19]), // Discover
    (6200, 6299, &[16, 17, 18, 19]), // UnionPay
    (6304, 6304, MAESTRO),
    (6440, 6599, &[16, 17, 18, 19]), // Discover
    (6759, 6763, MAESTRO),
];
const MAESTRO: &[usize] = &[13, 14, 15, 16, 17, 18, 19];
/// Digits that nearly all cards have.
const USUAL: std::ops::RangeInclusive<usize> = 14..=16;
/// Words for cards, in some languages.
const NAMES: &[&str] = &[
    "card",
    "cards",
    "cardno",
    "cardnumber",
    "creditcard",
    "debitcard",
    "bankcard",
    "mastercard",
    "kreditkarte",
    "kreditkarten",
    "kreditkartennummer",
    "kartennummer",
    "bankkarte",
    "tarjeta",
    "tarjetas",
    "visa",
    "amex",
];
/// Words that mean maps, letters and teachers too, and what beside them makes them cards.
const MAYBE_NAMES: &[&str] = &["karte", "carte", "carta", "cartes", "maestro"];
const BESIDE_THEM: &[&str] = &["bancaire", "bleue", "credit", "crédit", "credito", "crédito", "debito"];
/// How many bytes before the number they stand at most.
const REACH: usize = 32;
/// Most bytes before the last groups of a line that shows bytes in hexadecimal.
const DUMP_LINE: usize = 80;
/// Digits of the address that such a line begins with.
const DUMP_ADDRESS: std::ops::RangeInclusive<usize> = 7..=16;
/// Digits of a group, bytes of four of them, and how many more groups make a table, and are looked at on either side.
const GROUP: usize = 4;
const CARD: usize = 4 * GROUP + 3;
const FEWEST_BESIDE: usize = 2;
const MOST_BESIDE: usize = 12;
const LONGEST_ROW: usize = CARD + MOST_BESIDE * (GROUP + 1);
/// Digits of an article's number.
const ARTICLE: usize = 13;

/// Whether digits in a row at `span` are a card's number. Lengths that few cards have are those of many identifiers (63 bits, and a
/// shop's numbers): there a word for cards has to stand before.
pub(super) fn is_plain_card(text: &str, span: Range<usize>) -> bool {
    let is_named = || has_word(&text[..span.start], NAMES) || has_word(&text[..span.start], MAYBE_NAMES);
    (USUAL.contains(&span.len()) || is_named())
        && !is_part_of_fraction(text.as_bytes(), &span)
        && is_card(&text[span])
}

/// Whether digits in groups at `span` are a card's number: by issuer, length and check digit, or because a word for cards stands before
/// them. Years, sizes and other identifiers come in such groups too, and so do accounts and bytes in hexadecimal.
pub(super) fn is_grouped_card(text: &str, span: Range<usize>) -> bool {
    let before = &text[..span.start];
    let is_named =
        || has_word(before, NAMES) || (has_word(before, MAYBE_NAMES) && has_word(before, BESIDE_THEM));
    let is_told = || is_card(&text[span.clone()]) && !is_in_row(text, &span);
    !is_in_dump(before.as_bytes()) && (is_told() || is_named())
}

/// Whether groups of four have more of them beside them, with the same gap, so that they are a part of a table. One alone may be a year,
/// or when a card expires, and cards may stand behind one another.
fn is_in_row(text: &str, span: &Range<usize>) -> bool {
    let bytes = text.as_bytes();
    let gap = bytes[span.start + GROUP];
    // Without a digit it may be a word.
    let is_group =
        |group: &[u8]| group.iter().all(u8::is_ascii_hexdigit) && group.iter().any(u8::is_ascii_digit);
    let after = bytes[span.end..].chunks_exact(GROUP + 1).take(MOST_BESIDE + 1);
    let after = after.take_while(|part| part[0] == gap && is_group(&part[1..])).count();
    let before = bytes[..span.start].rchunks_exact(GROUP + 1).take(MOST_BESIDE + 1);
    let before = before.take_while(|part| part[GROUP] == gap && is_group(&part[..GROUP])).count();
    // The end of a longer word is no group.
    let cuts = |byte: Option<&u8>| usize::from(byte.is_some_and(|byte| is_word(*byte)));
    let before = before.saturating_sub(cuts(bytes[..span.start - before * (GROUP + 1)].last()));
    let after = after.saturating_sub(cuts(bytes.get(span.end + after * (GROUP + 1))));
    if after + before < FEWEST_BESIDE {
        return false;
    }
    let start = span.start - before * (GROUP + 1);
    let row = &text[start..span.end + after * (GROUP + 1)];
    let are_cards = || {
        row.as_bytes().chunks(4 * (GROUP + 1)).all(|card| {
            let card = std::str::from_utf8(card).unwrap_or_default();
            card.bytes().all(|byte| byte.is_ascii_digit() || byte == gap) && is_card(card)
        })
    };
    before > MOST_BESIDE || after > MOST_BESIDE || !are_cards()
}

/// Of a text that goes on: the first byte of digits that could be a card's, were there no more groups beside them.
pub(super) fn open_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut end = bytes.len();
    for _ in 0..FEWEST_BESIDE {
        let group = bytes[..end].iter().rev().take(GROUP).take_while(|byte| byte.is_ascii_hexdigit()).count();
        end -= group;
        end -= usize::from(bytes[..end].last().is_some_and(|byte| b" -".contains(byte)));
        let row = bytes[..end].iter().rev().take(LONGEST_ROW);
        let digits = row.take_while(|byte| byte.is_ascii_digit() || b" -".contains(byte)).count();
        if digits >= CARD {
            return end - digits;
        }
    }
    bytes.len()
}

/// Whether one of these words stands a little before, perhaps as part of a name such as `card_number` or `cardNumber`.
fn has_word(before: &str, known: &[&str]) -> bool {
    let far = (before.len().saturating_sub(REACH)..).find(|at| before.is_char_boundary(*at)).unwrap_or(0);
    // What the reach cuts may be the end of another word.
    let cut = before[..far].chars().next_back().is_some_and(char::is_alphabetic);
    let reach = if cut { before[far..].trim_start_matches(char::is_alphabetic) } else { &before[far..] };
    let is = |word: &str| known.iter().any(|name| word.to_lowercase() == *name);
    reach.split(|c: char| !c.is_alphabetic()).any(|word| is(word) || parts(word).any(is))
}

/// The parts of a name, each of which begins with a capital behind a small letter.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let pairs = rest.char_indices().zip(rest.chars().skip(1));
        let mut ends = pairs.filter(|((_, c), next)| c.is_lowercase() && next.is_uppercase());
        let end = ends.next().map_or(rest.len(), |((at, c), _)| at + c.len_utf8());
        let (part, after) = rest.split_at(end);
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

/// Whether what stands before is the beginning of a line of `xxd`, `hexdump` or `od -x`: an address, and groups of four hexadecimal digits.
fn is_in_dump(before: &[u8]) -> bool {
    let reach = &before[before.len().saturating_sub(DUMP_LINE)..];
    let line = reach.rsplit(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or(reach);
    let hex = |part: &[u8]| part.iter().all(u8::is_ascii_hexdigit);
    let mut parts = line.split(|byte| *byte == b' ').filter(|part| !part.is_empty());
    let address = parts.next().map(|part| part.strip_suffix(b":").unwrap_or(part));
    address.is_some_and(|address| DUMP_ADDRESS.contains(&address.len()) && hex(address))
        && parts.all(|part| part.len() == 4 && hex(part))
}

/// Digits after or before a decimal point, or after the zero before a decimal comma.
fn is_part_of_fraction(bytes: &[u8], span: &Range<usize>) -> bool {
    let after = match &bytes[..span.start] {
        [.., digit, b'.'] => digit.is_ascii_digit(),
        [b'0', b','] => true,
        [.., before, b'0', b','] => !before.is_ascii_digit(),
        _ => false,
    };
    after || matches!(bytes[span.end..], [b'.', digit, ..] if digit.is_ascii_digit())
}

/// By issuer, length and check digit.
fn is_card(number: &str) -> bool {
    let count = digits(number).count();
    let first = digits(number).take(4).fold(0, |first, digit| first * 10 + digit);
    let is_issued =
        ISSUERS.iter().any(|(from, to, lengths)| (*from..=*to).contains(&first) && lengths.contains(&count));
    let weigh = |(at, digit): (usize, u32)| match digit * (1 + at as u32 % 2) {
        double if double > 9 => double - 9,
        single => single,
    };
    let checks = || digits(number).rev().enumerate().map(weigh).sum::<u32>() % 10 == 0;
    is_issued && checks() && !(count == ARTICLE && is_article(number))
}

/// By its check digit (GS1): cards of thirteen digits are no longer issued, and articles are many.
fn is_article(number: &str) -> bool {
    let weigh = |(at, digit): (usize, u32)| digit * (1 + 2 * (at as u32 % 2));
    digits(number).rev().enumerate().map(weigh).sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_have_their_lengths() {
        let check = |number: &str, want: bool| assert_eq!(is_card(number), want, "{number}");
        check("4111111111111111", true);
        check("4111 1111 1111 1111", true);
        check("5555555555554444", true);
        check("2223003122003222", true);
        check("378282246310005", true);
        check("30569309025904", true);
        check("6011111111111117", true);
        check("3530111333300000", true);
        check("6200000000000005", true);
        check("4222222222222", true);
        // The check digit, and lengths that nobody issues.
        check("4111111111111112", false);
        check("490154203237518", false);
        check("356938035643809", false);
        check("5968134880050162", false);
    }

    #[test]
    fn rare_lengths_need_a_word() {
        let check = |before: &str, number: &str, want: bool| {
            let text = format!("{before}{number}");
            assert_eq!(is_plain_card(&text, before.len()..text.len()), want, "{text}");
        };
        check("\"trace_id\": \"", "4532015112830366724", false);
        check("\"id\": ", "4512345678908", false);
        check("card_number: ", "4532015112830366724", true);
        check("Visa ", "4512345678908", true);
        check("\"id\": ", "4111111111111111", true);
    }

    #[test]
    fn bytes_in_hexadecimal_are_no_cards() {
        let check = |before: &str, want: bool| {
            let text = format!("{before}4111 1111 1111 1111 2020");
            assert_eq!(is_grouped_card(&text, before.len()..before.len() + 19), want, "{before}");
        };
        check("00000010: 6563 2f62 ", false);
        check("a line\n0000020 2123 ", false);
        check("00000010:  ", false);
        check("00000010: paid by ", true);
        check("12345 ", true);
        check("00000010: 6563\n", true);
        check("card ", true);
    }

    #[test]
    fn groups_alone_make_no_card() {
        let check = |text: &str, want: bool| {
            let start = text.find(|c: char| c.is_ascii_digit()).expect("a number");
            assert_eq!(is_grouped_card(text, start..start + 19), want, "{text}");
        };
        check("4111 1111 1111 1111", true);
        check("My credit card is 1234-5678-9012-3456", true);
        check("Tarjeta: 1234 5678 9012 3456", true);
        check("1234 5678 9012 3456", false);
        check("from 1990 1991 1992 1993", false);
        check("myCardNumber=1234 5678 9012 3456", true);
        check("Carta di credito 1234 5678 9012 3456", true);
        // Maps, letters, and words with those for cards within.
        check("Die Seekarte nennt 1920 1931 1947 1958", false);
        check("Sulla carta: 1100 1300 1500 1700", false);
        check("postcards sold: 1200 1400 1600 1800", false);
        check("discards: 1200 1400 1600 1800", false);
        check("wildcard 1200 1400 1600 1800", false);
        check("ORCID 0000-0002-1825-0097", false);
    }

    #[test]
    fn parts_of_tables_are_no_cards() {
        let check = |before: &str, number: &str, after: &str, want: bool| {
            let text = format!("{before}{number}{after}");
            let span = before.len()..before.len() + number.len();
            assert_eq!(is_grouped_card(&text, span), want, "{text}");
        };
        let card = "4111 1111 1111 1111";
        check("", card, " 5629 9069 3036 6396", false);
        check("6700 51F1 ", card, " 52DE", false);
        check("", card, " 52DE 52DB", false);
        check("1990 ", card, "", true);
        check("", card, " 1227", true);
        check("", card, " dead beef", true);
        check("", card, " 5555 5555 5555 4444", true);
        check("5555 5555 5555 4444 ", card, " 4242 4242 4242 4242", true);
        check("card ", card, " 5629 9069 3036 6396", true);
        check("", card, "-5629-9069-3036-6396", true);
        check("5629\n9069\n", card, "\n3036\n6396", true);
        check("", card, &" 5629".repeat(40), false);
    }

    #[test]
    fn articles_are_no_cards() {
        // Both check digits fit.
        let both = (0..10_000).map(|n| format!("400000{n:07}")).find(|n| is_article(n));
        assert!(!is_card(&both.expect("one in ten")));
    }
}
