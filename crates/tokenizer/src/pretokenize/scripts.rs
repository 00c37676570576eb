//! Splits where the script changes, as the tables of Unicode 9 know scripts.

use std::ops::Range;
use std::sync::OnceLock;

use crate::pattern::Classes;

/// The scripts of Unicode 9, without those of Japan, which count as Han.
const NAMES: &[&str] = &[
    "Adlam",
    "Ahom",
    "Anatolian_Hieroglyphs",
    "Arabic",
    "Armenian",
    "Avestan",
    "Balinese",
    "Bamum",
    "Bassa_Vah",
    "Batak",
    "Bengali",
    "Bhaiksuki",
    "Bopomofo",
    "Brahmi",
    "Braille",
    "Buginese",
    "Buhid",
    "Canadian_Aboriginal",
    "Carian",
    "Caucasian_Albanian",
    "Chakma",
    "Cham",
    "Cherokee",
    "Common",
    "Coptic",
    "Cuneiform",
    "Cypriot",
    "Cyrillic",
    "Deseret",
    "Devanagari",
    "Duployan",
    "Egyptian_Hieroglyphs",
    "Elbasan",
    "Ethiopic",
    "Georgian",
    "Glagolitic",
    "Gothic",
    "Grantha",
    "Greek",
    "Gujarati",
    "Gurmukhi",
    "Hangul",
    "Hanunoo",
    "Hatran",
    "Hebrew",
    "Imperial_Aramaic",
    "Inherited",
    "Inscriptional_Pahlavi",
    "Inscriptional_Parthian",
    "Javanese",
    "Kaithi",
    "Kannada",
    "Kayah_Li",
    "Kharoshthi",
    "Khmer",
    "Khojki",
    "Khudawadi",
    "Lao",
    "Latin",
    "Lepcha",
    "Limbu",
    "Linear_A",
    "Linear_B",
    "Lisu",
    "Lycian",
    "Lydian",
    "Mahajani",
    "Malayalam",
    "Mandaic",
    "Manichaean",
    "Marchen",
    "Meetei_Mayek",
    "Mende_Kikakui",
    "Meroitic_Cursive",
    "Meroitic_Hieroglyphs",
    "Miao",
    "Modi",
    "Mongolian",
    "Mro",
    "Multani",
    "Myanmar",
    "Nabataean",
    "New_Tai_Lue",
    "Newa",
    "Nko",
    "Ogham",
    "Ol_Chiki",
    "Old_Hungarian",
    "Old_Italic",
    "Old_North_Arabian",
    "Old_Permic",
    "Old_Persian",
    "Old_South_Arabian",
    "Old_Turkic",
    "Oriya",
    "Osage",
    "Osmanya",
    "Pahawh_Hmong",
    "Palmyrene",
    "Pau_Cin_Hau",
    "Phags_Pa",
    "Phoenician",
    "Psalter_Pahlavi",
    "Rejang",
    "Runic",
    "Samaritan",
    "Saurashtra",
    "Sharada",
    "Shavian",
    "Siddham",
    "SignWriting",
    "Sinhala",
    "Sora_Sompeng",
    "Sundanese",
    "Syloti_Nagri",
    "Syriac",
    "Tagalog",
    "Tagbanwa",
    "Tai_Le",
    "Tai_Tham",
    "Tai_Viet",
    "Takri",
    "Tamil",
    "Tangut",
    "Telugu",
    "Thaana",
    "Thai",
    "Tibetan",
    "Tifinagh",
    "Tirhuta",
    "Ugaritic",
    "Vai",
    "Warang_Citi",
    "Yi",
];

/// A number for the script of `c`; 0 for a space and for what belongs to none.
fn script(c: char) -> u8 {
    static SCRIPTS: OnceLock<Classes> = OnceLock::new();
    let scripts = SCRIPTS.get_or_init(|| {
        let of = |name: &&str| format!(r"[\p{{sc={name}}}&&\p{{age:9.0}}]");
        let han = r"[[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]&&\p{age:9.0}]".to_owned();
        let sets: Vec<String> = NAMES.iter().map(of).chain([han]).collect();
        Classes::new(&sets.iter().map(String::as_str).collect::<Vec<_>>())
    });
    match c {
        ' ' => 0,
        // They had another script in Unicode 9 than they have today.
        '\u{61C}' | '\u{589}' => scripts.symbol(','),
        '\u{953}' | '\u{954}' => scripts.symbol('क'),
        // The sign that makes a vowel long goes with the scripts of Japan.
        'ー' => scripts.symbol('一'),
        c => scripts.symbol(c),
    }
}

/// The stretches of one script. What belongs to none goes with the one before; at the start it is left out.
pub(super) fn stretches(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut last = 0;
    let starts = text.char_indices().filter_map(move |(at, c)| {
        let script = script(c);
        let begins = script != 0 && script != last;
        last = if script == 0 { last } else { script };
        begins.then_some(at)
    });
    let mut starts = starts.peekable();
    std::iter::from_fn(move || {
        let start = starts.next()?;
        Some(start..starts.peek().copied().unwrap_or(text.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_end_where_the_script_changes() {
        let parts = |text: &'static str| stretches(text).map(|range| &text[range]).collect::<Vec<_>>();
        assert_eq!(parts("どこで生れ。Yes"), ["どこで生れ", "。", "Yes"]);
        assert_eq!(parts("Apples are りんご 林檎"), ["Apples are ", "りんご 林檎"]);
        assert_eq!(parts("  Яa"), ["Я", "a"]);
        assert_eq!(parts("データ"), ["データ"]);
        assert_eq!(parts("  "), Vec::<&str>::new());
    }

    #[test]
    fn every_name_is_a_script() {
        assert_eq!(script('a'), script('z'));
        let samples = "aя語αאक,ก가\u{301}";
        let numbers: std::collections::HashSet<u8> = samples.chars().map(script).collect();
        assert_eq!(numbers.len(), samples.chars().count());
        for name in NAMES {
            assert!(regex_syntax::parse(&format!(r"\p{{sc={name}}}")).is_ok(), "{name}");
        }
    }
}
