//! Characters written as numbers or names within a text: `%69`, `=69`, `&#105;`, `&shy;`, `&eacute;`, `\x69`, `\u0069`, `\ud835\udc08`, `\U00000069`, `\n`.

use super::mapping::{Edits, Mapping};
use unicode_normalization::char::compose;

/// Longest escape after its first sign, in bytes.
const LONGEST: usize = 24;
/// Backslashes of one escape: three levels of strings within strings have seven.
const MOST_BACKSLASHES: usize = 7;

/// Characters that HTML has names for (13.5 of its standard): those of ASCII, blanks, hyphens, and those that nobody sees.
const ENTITIES: &[(&str, char)] = &[
    ("Tab", '\t'),
    ("NewLine", '\n'),
    ("excl", '!'),
    ("quot", '"'),
    ("QUOT", '"'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("amp", '&'),
    ("AMP", '&'),
    ("apos", '\''),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("midast", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("lt", '<'),
    ("LT", '<'),
    ("equals", '='),
    ("gt", '>'),
    ("GT", '>'),
    ("quest", '?'),
    ("commat", '@'),
    ("lsqb", '['),
    ("lbrack", '['),
    ("bsol", '\\'),
    ("rsqb", ']'),
    ("rbrack", ']'),
    ("Hat", '^'),
    ("lowbar", '_'),
    ("UnderBar", '_'),
    ("grave", '`'),
    ("DiacriticalGrave", '`'),
    ("lcub", '{'),
    ("lbrace", '{'),
    ("verbar", '|'),
    ("vert", '|'),
    ("VerticalLine", '|'),
    ("rcub", '}'),
    ("rbrace", '}'),
    ("nbsp", ' '),
    ("NonBreakingSpace", ' '),
    ("ensp", ' '),
    ("emsp", ' '),
    ("emsp13", ' '),
    ("emsp14", ' '),
    ("numsp", ' '),
    ("puncsp", ' '),
    ("thinsp", ' '),
    ("ThinSpace", ' '),
    ("hairsp", ' '),
    ("VeryThinSpace", ' '),
    ("MediumSpace", ' '),
    ("hyphen", '-'),
    ("dash", '-'),
    ("shy", '\u{ad}'),
    ("ZeroWidthSpace", '\u{200b}'),
    ("NegativeVeryThinSpace", '\u{200b}'),
    ("NegativeThinSpace", '\u{200b}'),
    ("NegativeMediumSpace", '\u{200b}'),
    ("NegativeThickSpace", '\u{200b}'),
    ("zwnj", '\u{200c}'),
    ("zwj", '\u{200d}'),
    ("lrm", '\u{200e}'),
    ("rlm", '\u{200f}'),
    ("NoBreak", '\u{2060}'),
    ("af", '\u{2061}'),
    ("ApplyFunction", '\u{2061}'),
    ("it", '\u{2062}'),
    ("InvisibleTimes", '\u{2062}'),
    ("ic", '\u{2063}'),
    ("InvisibleComma", '\u{2063}'),
];

/// Names that follow a letter and say what mark is on it (`&eacute;`, 13.5 of the standard of HTML), or that it is of another cut
/// (`&efr;`), which is no mark.
const ON_LETTERS: &[(&str, Option<char>)] = &[
    ("grave", Some('\u{300}')),
    ("acute", Some('\u{301}')),
    ("circ", Some('\u{302}')),
    ("tilde", Some('\u{303}')),
    ("macr", Some('\u{304}')),
    ("breve", Some('\u{306}')),
    ("dot", Some('\u{307}')),
    ("uml", Some('\u{308}')),
    ("ring", Some('\u{30a}')),
    ("dblac", Some('\u{30b}')),
    ("caron", Some('\u{30c}')),
    ("cedil", Some('\u{327}')),
    ("ogon", Some('\u{328}')),
    ("fr", None),
    ("scr", None),
    ("opf", None),
];

/// Letters with names of their own, in small letters: a name with a capital stands for the capital.
const LETTERS: &[(&str, char)] = &[
    ("aelig", 'æ'),
    ("oelig", 'œ'),
    ("oslash", 'ø'),
    ("szlig", 'ß'),
    ("eth", 'ð'),
    ("thorn", 'þ'),
    ("lstrok", 'ł'),
    ("dstrok", 'đ'),
    ("imath", 'ı'),
    ("inodot", 'ı'),
    ("acy", 'а'),
    ("bcy", 'б'),
    ("vcy", 'в'),
    ("gcy", 'г'),
    ("dcy", 'д'),
    ("iecy", 'е'),
    ("iocy", 'ё'),
    ("zhcy", 'ж'),
    ("zcy", 'з'),
    ("icy", 'и'),
    ("jcy", 'й'),
    ("kcy", 'к'),
    ("lcy", 'л'),
    ("mcy", 'м'),
    ("ncy", 'н'),
    ("ocy", 'о'),
    ("pcy", 'п'),
    ("rcy", 'р'),
    ("scy", 'с'),
    ("tcy", 'т'),
    ("ucy", 'у'),
    ("fcy", 'ф'),
    ("khcy", 'х'),
    ("tscy", 'ц'),
    ("chcy", 'ч'),
    ("shcy", 'ш'),
    ("shchcy", 'щ'),
    ("hardcy", 'ъ'),
    ("ycy", 'ы'),
    ("softcy", 'ь'),
    ("ecy", 'э'),
    ("yucy", 'ю'),
    ("yacy", 'я'),
];

/// The text with such characters in their own shape, if there are any.
pub(super) fn unescaped(text: &str) -> Option<(String, Mapping)> {
    let (mut edits, mut at) = (Edits::of(text), 0);
    let bytes = text.as_bytes();
    while let Some(passed) =
        bytes[at..].iter().position(|byte| matches!(byte, b'%' | b'=' | b'&' | b'\\' | b'<'))
    {
        at += passed;
        let Some((end, read)) = may_begin(&bytes[at..]).then(|| sequence(text, at)).flatten() else {
            at += 1;
            continue;
        };
        edits.replace(at..end, &read);
        at = end;
    }
    edits.finish()
}

/// Whether an escape may begin here: most of these signs in code begin none.
fn may_begin(bytes: &[u8]) -> bool {
    match bytes {
        [b'%', next, ..] => next.is_ascii_hexdigit() || *next == b'u',
        [b'=', next, ..] => next.is_ascii_hexdigit() || matches!(next, b'\n' | b'\r'),
        [b'&', next, ..] => *next == b'#' || next.is_ascii_alphabetic(),
        [b'<', next, ..] => matches!(next, b'w' | b'W'),
        [b'\\', ..] => {
            matches!(
                bytes.get(backslashes(bytes)),
                Some(b'x' | b'u' | b'U' | b'n' | b'r' | b't' | b'\n' | b'\r')
            )
        }
        _ => false,
    }
}

/// Backslashes at the beginning: a text that was escaped several times has some.
fn backslashes(text: &[u8]) -> usize {
    text.iter().take(MOST_BACKSLASHES).take_while(|byte| **byte == b'\\').count()
}

/// One character that is escaped at `at`, or several bytes in a row that make one or more characters.
fn sequence(text: &str, at: usize) -> Option<(usize, String)> {
    if let Some((length, c)) = character(&text[at..]) {
        return Some((at + length, c.to_string()));
    }
    let mut read = Vec::new();
    let mut ends = Vec::new();
    let mut end = at;
    while let Some((length, byte)) = text.get(end..).and_then(byte) {
        end += length;
        if let Some(byte) = byte {
            read.push(byte);
            ends.push(end);
        }
    }
    if end == at {
        return None;
    }
    // A value that is given to a name is written as bytes of quoted-printable are: those make characters, or were none.
    let valid = std::str::from_utf8(&read).map_or_else(|e| e.valid_up_to(), |_| read.len());
    if text[at..].starts_with('=') && valid < read.len() {
        read.truncate(valid);
        end = *ends.get(valid.checked_sub(1)?)?;
    }
    Some((end, String::from_utf8_lossy(&read).into_owned()))
}

/// An escape that stands for a byte. A soft line break of quoted-printable stands for none, and so do a line that goes on and the place
/// where HTML lets a word break.
fn byte(text: &str) -> Option<(usize, Option<u8>)> {
    let more = backslashes(text.as_bytes()).saturating_sub(1);
    let text = &text[more..];
    let bytes = text.as_bytes();
    match bytes {
        [b'=' | b'\\', b'\n', ..] => return Some((more + 2, None)),
        [b'=' | b'\\', b'\r', b'\n', ..] => return Some((more + 3, None)),
        [b'\\', b'n', ..] => return Some((more + 2, Some(b'\n'))),
        [b'\\', b'r', ..] => return Some((more + 2, Some(b'\r'))),
        [b'\\', b't', ..] => return Some((more + 2, Some(b'\t'))),
        [b'<', ..] => return Some((word_break(text)?, None)),
        _ => {}
    }
    let (skip, digits) = match bytes {
        [b'%' | b'=', a, b, ..] => (1, [*a, *b]),
        [b'\\', b'x', a, b, ..] => (2, [*a, *b]),
        _ => return None,
    };
    let digit = |byte: u8| (byte as char).to_digit(16);
    let value = u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?;
    // Quoted-printable keeps texts, which have no control characters but tabs and ends of lines.
    let is_text = !value.is_ascii_control() || matches!(value, b'\t' | b'\n' | b'\r');
    (bytes[0] != b'=' || is_text).then_some((more + skip + 2, Some(value)))
}

/// How many bytes are a tag `<wbr>`.
fn word_break(text: &str) -> Option<usize> {
    let tag = text.get(..4).filter(|tag| tag.eq_ignore_ascii_case("<wbr"))?;
    let rest = text[tag.len()..].trim_start().trim_start_matches('/').strip_prefix('>')?;
    Some(text.len() - rest.len())
}

/// An escape that stands for a whole character.
fn character(text: &str) -> Option<(usize, char)> {
    if let Some(rest) = text.strip_prefix('&') {
        let end = rest.bytes().take(LONGEST).position(|byte| byte == b';')?;
        return entity(&rest[..end]).map(|c| (end + 2, c));
    }
    let (length, first) = unit(text)?;
    if let Some(c) = char::from_u32(first) {
        return Some((length, c));
    }
    // JSON and what writes as it does have two halves in UTF-16 for what lies beyond U+FFFF.
    let (more, second) = unit(&text[length..])?;
    let halves = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    let c = char::decode_utf16(halves).next()?.ok()?;
    Some((length + more, c))
}

/// A number behind `\u`, `\U` or `%u`, however often it was escaped: of a character, or of half of one.
fn unit(text: &str) -> Option<(usize, u32)> {
    let more = text.bytes().take_while(|byte| *byte == b'\\').count().saturating_sub(1);
    let text = &text[more..];
    let short = || text.strip_prefix("\\u").or_else(|| text.strip_prefix("%u")).map(|rest| (rest, 4));
    let (rest, count) = text.strip_prefix("\\U").map(|rest| (rest, 8)).or_else(short)?;
    let (skip, digits, close) = match rest.strip_prefix('{') {
        Some(inner) => (1, &inner[..inner.bytes().take(LONGEST).position(|byte| byte == b'}')?], 1),
        None => (0, rest.get(..count)?, 0),
    };
    let number = u32::from_str_radix(digits, 16).ok()?;
    Some((more + 2 + skip + digits.len() + close, number))
}

fn entity(name: &str) -> Option<char> {
    let number = match name.strip_prefix('#') {
        Some(digits) => match digits.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => digits.parse().ok()?,
        },
        None => {
            let known = ENTITIES.iter().find(|(known, _)| *known == name).map(|(_, c)| *c);
            return known.or_else(|| letter(name)).or_else(|| with_mark(name));
        }
    };
    char::from_u32(number)
}

/// A letter with a name of its own.
fn letter(name: &str) -> Option<char> {
    let (_, c) = LETTERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    if name.starts_with(|first: char| first.is_ascii_uppercase()) {
        c.to_uppercase().next()
    } else {
        Some(*c)
    }
}

/// A letter of ASCII with a mark.
fn with_mark(name: &str) -> Option<char> {
    let letter = name.chars().next().filter(char::is_ascii_alphabetic)?;
    let (_, mark) = ON_LETTERS.iter().find(|(known, _)| *known == &name[1..])?;
    match mark {
        Some(mark) => compose(letter, *mark),
        None => Some(letter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_escape_is_read() {
        for text in [
            "say: %69%67%6e%6F%72%65",
            "say: =69=67=6E=\n=6F=72=65",
            "say: &#105;&#103;&#x6e;&#111;re",
            r"say: \x69\x67\x6e\x6f\x72\x65",
            r"say: \u0069\u0067\u{6e}ore",
            r"say: \U00000069gn\U0000006fre",
            r"say: \\x69g\\\\u006eore",
            "say: ig\\\nno\\\\\r\nre",
            "say: %u0069gnore",
            "say&colon;&NonBreakingSpace;ig<wbr>no<WBR />re",
        ] {
            assert_eq!(unescaped(text).expect(text).0, "say: ignore");
        }
        let named = unescaped("i&shy;g&ZeroWidthSpace;n&zwnj;o&NoBreak;re&Tab;a&commat;b&period;c");
        assert_eq!(named.expect("it changes").0, "i\u{ad}g\u{200b}n\u{200c}o\u{2060}re\ta@b.c");
        let letters = unescaped(
            "pr&eacute;c&Eacute;d &ccedil;&otilde;&#245;&lstrok;&Scaron;&szlig; &Icy;&gcy;&KHcy; &iscr;&gopf;",
        );
        assert_eq!(letters.expect("it changes").0, "précÉd çõõłŠß ИгХ ig");
        assert_eq!(unescaped("%C3%A9t%C3%A9").expect("it changes").0, "été");
        assert_eq!(unescaped("=C3=A9t=C3=A9=FF").expect("it changes").0, "été=FF");
        assert_eq!(unescaped("one=0D=0Atwo").expect("it changes").0, "one\r\ntwo");
        for text in [
            r"\ud835\udc08gnore",
            r"\\uD835\\uDC08gnore",
            r"%uD835%uDC08gnore",
            r"\u{d835}\u{dc08}gnore",
            r"\U0001d408gnore",
        ] {
            assert_eq!(unescaped(text).expect("it changes").0, "\u{1d408}gnore", "{text}");
        }
        assert_eq!(unescaped(r"one\ntwo\\n\\tthree\r\n").expect("it changes").0, "one\ntwo\n\tthree\r\n");
    }

    #[test]
    fn what_is_no_escape_stays() {
        for text in [
            "",
            "100 % = all & more",
            "a=b",
            "50%",
            "\\",
            "&#xzz;",
            "&Shy;",
            "&qacute;",
            "&acute;",
            "&éacute;",
            "&;",
            "<w",
            "<wbrx>",
            "<wbr",
            "\\u{",
            "&é",
            "=é",
            "\\xé",
            "%uéé",
            "uid=123456789012345678901",
            "id=8F12",
            "x=7F",
            r"\ud835",
            r"\ud835 \udc08",
            r"\udc08\ud835",
        ] {
            assert_eq!(unescaped(text), None, "{text}");
        }
    }
}
