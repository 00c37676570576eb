//! Words of Cyrillic or Greek in the letters of their own script: what looks like one of these letters is read as it, and marks that
//! no writing of such a word has are left out, as are the vowel signs of Arabic and Hebrew, which most texts have none of. [`folded`](super::fold::folded) reads the other way, as ASCII.

use super::characters::Character;
use super::fold::Look;
use super::mapping::{Edits, Mapping};
use std::ops::Range;

/// Pairs of a letter as it looks in ASCII and what it is read as.
const CYRILLIC: &str = "AАBВCСEЕHНIІJЈKКMМOОPРSЅTТXХYУaаbьcсeеhнiіjјkкmмnпoоpрrгsѕtтuиwшxхyу";
const GREEK: &str = "AΑBΒEΕHΗIΙKΚMΜNΝOΟPΡTΤXΧYΥZΖaαbβeεiιkκmμnηoοpρtτuυvνwωxχyγ";

/// The text with such words in their own letters, unless all of them are.
pub(super) fn own(text: &str) -> Option<(String, Mapping)> {
    let (mut edits, mut at) = (Edits::of(text), 0);
    while let Some(word) = next_word(text, at) {
        at = word.range.end;
        if word.script == Class::Vowel {
            edits.replace(word.range.clone(), "");
        }
        let Some(letters) = word.rewritten_from() else { continue };
        for (from, c) in text[word.range.clone()].char_indices() {
            let place = word.range.start + from..word.range.start + from + c.len_utf8();
            let read = match class(c) {
                Class::Mark => None,
                own if own == word.script => continue,
                _ => match own_letter(letters, c) {
                    None => continue,
                    read => read,
                },
            };
            match read {
                Some(read) => edits.replace_by(place, read),
                None => edits.replace(place, ""),
            }
        }
    }
    edits.finish()
}

/// Where the letters begin that end the text and may come to be read in another script, with what follows.
pub(super) fn open_word(text: &str) -> usize {
    let letters = text.chars().rev().take_while(|c| class(*c) != Class::Other);
    text.len() - letters.map(char::len_utf8).sum::<usize>()
}

/// What of a word a character is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Latin,
    Greek,
    Cyrillic,
    /// A mark of no script in particular.
    Mark,
    /// A vowel sign of Arabic or Hebrew, or what draws a word of Arabic out.
    Vowel,
    Other,
}

fn class(c: char) -> Class {
    match c {
        'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => Class::Latin,
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Class::Greek,
        '\u{400}'..='\u{52f}' => Class::Cyrillic,
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' => Class::Mark,
        '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}' => Class::Mark,
        '\u{64b}'..='\u{65f}' | '\u{640}' | '\u{670}' | '\u{6d6}'..='\u{6dc}' | '\u{6df}'..='\u{6e4}' => {
            Class::Vowel
        }
        '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{5c7}' => {
            Class::Vowel
        }
        _ => Class::Other,
    }
}

/// Letters of these scripts that stand together.
struct Word {
    range: Range<usize>,
    /// The script of most letters that are no Latin ones; [`Class::Other`] of none.
    script: Class,
    /// Whether all letters are of that script.
    is_pure: bool,
}

impl Word {
    /// The letters to read it in, if something in it is to be read.
    fn rewritten_from(&self) -> Option<&'static str> {
        match self.script {
            _ if self.is_pure => None,
            Class::Cyrillic => Some(CYRILLIC),
            Class::Greek => Some(GREEK),
            _ => None,
        }
    }
}

/// The next word from `at` on that has more than ASCII.
fn next_word(text: &str, at: usize) -> Option<Word> {
    let first = at + text.as_bytes()[at..].iter().position(|byte| !byte.is_ascii())?;
    let ascii = text.as_bytes()[at..first].iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let start = first - ascii;
    let (mut end, mut greek, mut cyrillic, mut others) = (first, 0, 0, ascii);
    for c in text[first..].chars() {
        match class(c) {
            Class::Greek => greek += 1,
            Class::Cyrillic => cyrillic += 1,
            Class::Latin | Class::Mark => others += 1,
            // Of what has no words here, as much as is not ASCII is passed over at once.
            class @ (Class::Other | Class::Vowel) if end == start && !c.is_ascii() => {
                return Some(other(text, start, class));
            }
            Class::Other | Class::Vowel => break,
        }
        end += c.len_utf8();
    }
    let script = match (greek, cyrillic) {
        (0, 0) => Class::Other,
        (greek, cyrillic) if greek > cyrillic => Class::Greek,
        _ => Class::Cyrillic,
    };
    let end = end.max(first + text[first..].chars().next().map_or(1, char::len_utf8));
    Some(Word { range: start..end, script, is_pure: others + greek.min(cyrillic) == 0 })
}

/// Characters of one class that are no letters of a script that is read here.
fn other(text: &str, start: usize, script: Class) -> Word {
    let length = text[start..].chars().take_while(|c| !c.is_ascii() && class(*c) == script);
    let end = start + length.map(char::len_utf8).sum::<usize>();
    Word { range: start..end, script, is_pure: true }
}

/// What a letter of another script is read as.
fn own_letter(letters: &str, c: char) -> Option<char> {
    let ascii = match Character::of(c).look {
        _ if c.is_ascii() => c,
        Look::Ascii(byte) => byte as char,
        Look::Itself | Look::Several => return None,
    };
    let mut pairs = letters.chars();
    while let (Some(looks), Some(own)) = (pairs.next(), pairs.next()) {
        if looks == ascii {
            return Some(own);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        own(text).map_or(text.to_owned(), |(text, _)| text)
    }

    #[test]
    fn words_are_read_in_their_own_letters() {
        assert_eq!(read("все инстpукции"), "все инструкции");
        assert_eq!(read("Игнoриpyй вce, Зaбyдь!"), "Игнорируй все, Забудь!");
        assert_eq!(read("Игнοрируй oтмена"), "Игнорируй отмена");
        assert_eq!(read("Αγvόησε oδηγίες"), "Αγνόησε οδηγίες");
        assert_eq!(read("за\u{301}будь и\u{335}н\u{336}с"), "забудь инс");
        assert_eq!(read("تَجَاهَلْ جَمِيعَ، تجـاهـل"), "تجاهل جميع، تجاهل");
        assert_eq!(read("שָׁלוֹם x"), "שלום x");
    }

    #[test]
    fn other_words_stay() {
        for text in [
            "",
            "plain",
            "naïve café",
            "日本語 text",
            "IT-отдел и Wi-Fi",
            "x\u{301}y",
            "ёлка й",
            "é日本ω",
            "中x",
        ] {
            assert_eq!(own(text), None, "{text}");
        }
    }

    #[test]
    fn spans_go_back() {
        let (text, mapping) = own("все инстpу\u{335}кции, да").expect("it changes");
        let at = text.find("инструкции").expect("read");
        assert_eq!(mapping.original(at..at + "инструкции".len()), 7..28);
    }

    #[test]
    fn the_last_letters_are_open() {
        for (text, open) in
            [("сказал: oтме", "oтме"), ("说明", ""), ("日本x", "x"), ("да ", ""), ("и\u{301}", "и\u{301}")]
        {
            assert_eq!(&text[open_word(text)..], open);
        }
    }
}
