//! Two forms of a text that is not plain ASCII. *Normalised* is what a reader sees: NFKC, without what is
//! invisible. *Folded* is what a reader takes it for: look-alikes, accents, digits and dressed-up letters as ASCII.

use super::characters::{Character, steady};
use super::invisible::Invisible;
use super::mapping::{Mapping, Rewriting};
use std::ops::Range;
use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// Marks on one letter that are taken for writing; more are dropped.
const MOST_MARKS: usize = 4;

/// The text as a reader sees it, unless it is so already.
pub(super) fn normalised(text: &str) -> Option<(String, Mapping)> {
    let mut rewriting = Rewriting::of(text);
    let mut rest = 0;
    while rest < text.len() {
        let (last, end) = steady(text, rest);
        // A mark may follow the last steady character, which is then part of a cluster.
        let kept = if end < text.len() { last } else { end };
        rewriting.keep(rest..kept);
        rest = cluster(text, kept, &mut rewriting);
    }
    rewriting.finish()
}

/// Writes the character at `at` with the marks on it; gives the place after them.
fn cluster(text: &str, at: usize, rewriting: &mut Rewriting<'_>) -> usize {
    let mut chars = text[at..].char_indices();
    let Some((_, first)) = chars.next() else { return text.len() };
    let mut end = at + first.len_utf8();
    let mut letters: [char; MOST_MARKS + 1] = [first; MOST_MARKS + 1];
    let mut count = usize::from(Invisible::of(first).is_none());
    let mut whole = count == 1;
    for (offset, c) in chars {
        let hidden = Invisible::of(c).is_some();
        let is_part = is_combining_mark(c) || (count > 0 && completes(letters[count - 1], c));
        if !hidden && !is_part {
            break;
        }
        end = at + offset + c.len_utf8();
        if hidden || count > MOST_MARKS {
            whole = false;
        } else {
            letters[count] = c;
            count += 1;
        }
    }
    let letters = &letters[..count];
    if whole && is_nfkc_quick(letters.iter().copied()) == IsNormalized::Yes {
        rewriting.keep(at..end);
    } else {
        let text: String = letters.iter().copied().nfkc().collect();
        rewriting.replace(at..end, &text);
    }
    end
}

/// Whether a letter is written into one with the letter before it: voicing marks of half width, and the letters of a Korean syllable.
fn completes(last: char, c: char) -> bool {
    match c {
        '\u{ff9e}' | '\u{ff9f}' => matches!(last, '\u{3041}'..='\u{30fe}' | '\u{ff66}'..='\u{ff9d}'),
        '\u{1161}'..='\u{1175}' | '\u{314f}'..='\u{3163}' | '\u{ffc2}'..='\u{ffdc}' => {
            matches!(last, '\u{1100}'..='\u{1112}' | '\u{3131}'..='\u{314e}' | '\u{ffa1}'..='\u{ffbe}')
        }
        '\u{11a8}'..='\u{11c2}' => match last {
            '\u{ac00}'..='\u{d7a3}' => (last as u32 - 0xac00).is_multiple_of(28),
            _ => matches!(last, '\u{1161}'..='\u{1175}'),
        },
        _ => false,
    }
}

/// Whether a character is part of what the one before it begins.
pub(super) fn goes_on(last: char, c: char) -> bool {
    !c.is_ascii() && (is_combining_mark(c) || completes(last, c))
}

/// The first byte of what ends the text and may yet become another letter, by a mark on it or a letter that completes it.
pub(super) fn open_letter(text: &str) -> usize {
    /// Characters after the first one of a letter that are looked at: more marks than stay on one, and what is hidden among them.
    const FARTHEST: usize = 64;
    let mut open = text.len();
    let mut after = None;
    for (at, c) in text.char_indices().rev().take(FARTHEST) {
        let is_hidden = Invisible::of(c).is_some();
        if !is_hidden && (c.is_ascii() || after.is_some_and(|after| !goes_on(c, after))) {
            break;
        }
        open = at;
        after = if is_hidden { after } else { Some(c) };
    }
    open
}

/// The text as a reader takes it, unless it is so already. Meant for what [`normalised`] gives.
pub(super) fn folded(text: &str) -> Option<(String, Mapping)> {
    let mut rewriting = Rewriting::of(text);
    let mut kept = 0;
    for (at, c) in text.char_indices().filter(|(_, c)| !c.is_ascii()) {
        let range = at..at + c.len_utf8();
        let mut put = |rewriting: &mut Rewriting<'_>, range: Range<usize>, with: &str| {
            rewriting.keep(kept..range.start);
            rewriting.replace(range.clone(), with);
            kept = range.end;
        };
        match Character::of(c).look {
            Look::Itself => {}
            Look::Ascii(byte) => put(&mut rewriting, range, (byte as char).encode_utf8(&mut [0; 4])),
            Look::Several => put(&mut rewriting, range, &skeleton(c)),
        }
    }
    rewriting.keep(kept..text.len());
    rewriting.finish()
}

/// What a character is taken for.
#[derive(Clone, Copy)]
pub(super) enum Look {
    Itself,
    Ascii(u8),
    /// Nothing, or several letters.
    Several,
}

/// What a character is taken for, made anew: [`Character`] knows it.
pub(super) fn look(c: char) -> Look {
    let text = skeleton(c);
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Look::Ascii(*byte),
        _ if text.chars().eq([c]) => Look::Itself,
        _ => Look::Several,
    }
}

/// The letters that a character is taken for; empty for a mark on a letter.
fn skeleton(c: char) -> String {
    if is_combining_mark(c) {
        return String::new();
    }
    if let Some(ascii) = dressed_up(c).or_else(|| digit(c)) {
        return ascii.to_string();
    }
    let bare: String = std::iter::once(c).nfkd().filter(|c| !is_combining_mark(*c)).collect();
    if bare.is_ascii() {
        return bare;
    }
    bare.chars().map(confusable).collect()
}

/// By the list of confusable characters of Unicode (UTS 39), where it leads to ASCII.
fn confusable(c: char) -> String {
    if let Some(ascii) = dressed_up(c) {
        return ascii.to_string();
    }
    let skeleton: String = unicode_security::skeleton(c.encode_utf8(&mut [0; 4])).collect();
    match skeleton.as_str() {
        // The list takes every upright stroke for a small l.
        "l" if c.is_uppercase() => "I".to_owned(),
        text if !text.is_empty() && text.is_ascii() => skeleton,
        _ => c.to_string(),
    }
}

/// Letters that no decomposition tells: small capitals, squares, flags, Braille, upside-down ones.
fn dressed_up(c: char) -> Option<char> {
    const SMALL_CAPITALS: &str = "ᴀaʙbᴄcᴅdᴇeꜰfɢgʜhɪiᴊjᴋkʟlᴍmɴnᴏoᴘpꞯqʀrꜱsᴛtᴜuᴠvᴡwʏyᴢz";
    const UPSIDE_DOWN: &str = "ɐaɔcǝeɟfƃgɥhıiɾjʞkꞁlɯmɹrʇtʌvʍwʎy";
    const BRAILLE: &str = "⠁a⠃b⠉c⠙d⠑e⠋f⠛g⠓h⠊i⠚j⠅k⠇l⠍m⠝n⠕o⠏p⠟q⠗r⠎s⠞t⠥u⠧v⠺w⠭x⠽y⠵z⠂,⠲.⠖!⠦?⠤-⠀ ";
    let letter = |first: u32| char::from_u32(u32::from(b'a') + (c as u32 - first));
    match c {
        '\u{1f1e6}'..='\u{1f1ff}' => return letter(0x1f1e6),
        '\u{1f130}'..='\u{1f149}' => return letter(0x1f130),
        '\u{1f150}'..='\u{1f169}' => return letter(0x1f150),
        '\u{1f170}'..='\u{1f189}' => return letter(0x1f170),
        '≠' => return Some('='),
        // What NFKC makes of the lunate sigma, which is a `c` to the eye.
        'ς' => return Some('c'),
        _ => {}
    }
    let find = |pairs: &str| {
        let mut pairs = pairs.chars();
        while let (Some(from), Some(to)) = (pairs.next(), pairs.next()) {
            if from == c {
                return Some(to);
            }
        }
        None
    };
    match c {
        '\u{2800}'..='\u{283f}' => find(BRAILLE),
        '\u{80}'..='\u{2ff}' | '\u{1d00}'..='\u{1d7f}' | '\u{a700}'..='\u{a7ff}' => {
            find(SMALL_CAPITALS).or_else(|| find(UPSIDE_DOWN))
        }
        _ => None,
    }
}

/// Decimal digits of other scripts.
fn digit(c: char) -> Option<char> {
    const ZEROS: [u32; 36] = [
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50,
        0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40,
        0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0x104a0,
    ];
    let zero = ZEROS.into_iter().find(|zero| (*zero..zero + 10).contains(&(c as u32)))?;
    char::from_digit(c as u32 - zero, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let normalised = normalised(text).map_or(text.to_owned(), |(text, _)| text);
        folded(&normalised).map_or(normalised, |(text, _)| text)
    }

    #[test]
    fn dressed_up_letters_are_read() {
        for text in [
            "ignore",
            "ｉｇｎｏｒｅ",
            "𝐢𝐠𝐧𝐨𝐫𝐞",
            "ⓘⓖⓝⓞⓡⓔ",
            "іgnоrе",
            "ignοre",
            "ɪɢɴᴏʀᴇ",
            "i̷̡̛g̸n̴o̵r̶e̷",
            "🇮🇬🇳🇴🇷🇪",
            "⠊⠛⠝⠕⠗⠑",
            "íğńőŕè",
            "ıgnore",
            "ig\u{200b}no\u{ad}re",
            "\u{202e}ignore\u{202c}",
        ] {
            assert_eq!(read(text).to_lowercase(), "ignore", "{text}");
        }
        assert_eq!(read("ІGNORE"), "IGNORE");
        assert_eq!(read("٠١٢-٣٤٥"), "012-345");
    }

    #[test]
    fn what_a_reader_sees_stays() {
        for text in ["", "plain text\n", "naïve café", "日本語", "Привет"] {
            assert_eq!(normalised(text), None, "{text}");
        }
        assert_eq!(folded("日本語"), None);
    }

    #[test]
    fn letters_of_several_parts_are_put_together() {
        let read = |text: &str| normalised(text).map_or(text.to_owned(), |(text, _)| text);
        assert_eq!(read("ﾌﾟﾛﾝﾌﾟﾄ ｶﾞ"), "プロンプト ガ");
        assert_eq!(read("\u{110b}\u{1175}\u{110c}\u{1165}\u{11ab}"), "이전");
        assert_eq!(read("이\u{c800}\u{11ab}"), "이전");
        assert_eq!(read("ﾟa\u{1161}\u{11ab}"), "\u{309a}a\u{1161}\u{11ab}");
        let (text, mapping) = normalised("가\u{1109}\u{1161}b").expect("it changes");
        assert_eq!((text.as_str(), mapping.original(3..6)), ("가사b", 3..9));
    }

    #[test]
    fn what_may_become_another_letter_is_open() {
        for (text, open) in
            [("ab", ""), ("игнорируи", "и"), ("무\u{1109}", "\u{1109}"), ("ﾌ", "ﾌ"), ("日 ", "")]
        {
            assert_eq!(&text[open_letter(text)..], open, "{text}");
        }
    }

    #[test]
    fn many_marks_on_one_letter_are_few_afterwards() {
        let text = format!("a{}b", "\u{301}".repeat(100_000));
        let (read, mapping) = normalised(&text).expect("it changes");
        assert!(read.len() < 20, "{}", read.len());
        assert_eq!(mapping.original(read.len() - 1..read.len()), text.len() - 1..text.len());
    }
}
