//! Characters that nobody sees, by class. Whether one of them is at its right place is for scanners to say.

/// A class of invisible characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invisible {
    /// U+E0000..U+E007F: a second ASCII that is not shown.
    Tag,
    /// Zero-width space, word joiner, byte order mark.
    ZeroWidth,
    /// Zero-width joiner and non-joiner.
    Joiner,
    /// Marks, embeddings, overrides and isolates of writing direction.
    Bidi,
    /// Variation selectors 1 to 256, and the Mongolian ones.
    VariationSelector,
    /// Letters without a shape: Hangul fillers, Khmer inherent vowels, the Mongolian vowel separator.
    Filler,
    /// The combining grapheme joiner.
    GraphemeJoiner,
    /// Invisible operators of mathematics.
    Mathematical,
    /// Soft hyphens.
    SoftHyphen,
    /// Format characters without use in running text: deprecated ones, annotations, shorthand, music.
    Format,
    /// Control characters that are no white space.
    Control,
    /// Not assigned, and not shown by rule.
    Unassigned,
}

impl Invisible {
    /// The class of a character; `None` for one that is seen, or is white space.
    pub fn of(c: char) -> Option<Self> {
        if (' '..='~').contains(&c) {
            return None;
        }
        Some(match c {
            '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' => return None,
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Self::Control,
            '\u{ad}' => Self::SoftHyphen,
            '\u{34f}' => Self::GraphemeJoiner,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                Self::Bidi
            }
            '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' => {
                Self::Filler
            }
            '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => {
                Self::VariationSelector
            }
            '\u{200b}' | '\u{2060}' | '\u{feff}' => Self::ZeroWidth,
            '\u{200c}' | '\u{200d}' => Self::Joiner,
            '\u{2061}'..='\u{2064}' => Self::Mathematical,
            '\u{206a}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' => Self::Format,
            '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' => Self::Format,
            '\u{2065}' | '\u{fff0}'..='\u{fff8}' => Self::Unassigned,
            '\u{e0000}'..='\u{e007f}' => Self::Tag,
            '\u{e0080}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}' => Self::Unassigned,
            _ => return None,
        })
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tag => "tag characters",
            Self::ZeroWidth => "zero-width characters",
            Self::Joiner => "joiners",
            Self::Bidi => "direction controls",
            Self::VariationSelector => "variation selectors",
            Self::Filler => "fillers",
            Self::GraphemeJoiner => "grapheme joiners",
            Self::Mathematical => "invisible operators",
            Self::SoftHyphen => "soft hyphens",
            Self::Format => "format characters",
            Self::Control => "control characters",
            Self::Unassigned => "unassigned characters",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_has_no_class() {
        for c in "aé7 \t\n\r中ا🙂\u{301}\u{a0}\u{3000}".chars() {
            assert_eq!(Invisible::of(c), None, "U+{:04X}", c as u32);
        }
    }

    #[test]
    fn every_class_is_found() {
        let one_each = [
            ('\u{e0041}', Invisible::Tag),
            ('\u{200b}', Invisible::ZeroWidth),
            ('\u{200d}', Invisible::Joiner),
            ('\u{202e}', Invisible::Bidi),
            ('\u{fe01}', Invisible::VariationSelector),
            ('\u{e01ef}', Invisible::VariationSelector),
            ('\u{3164}', Invisible::Filler),
            ('\u{34f}', Invisible::GraphemeJoiner),
            ('\u{2064}', Invisible::Mathematical),
            ('\u{ad}', Invisible::SoftHyphen),
            ('\u{fff9}', Invisible::Format),
            ('\u{8}', Invisible::Control),
            ('\u{e0fff}', Invisible::Unassigned),
        ];
        for (c, class) in one_each {
            assert_eq!(Invisible::of(c), Some(class));
        }
    }
}
