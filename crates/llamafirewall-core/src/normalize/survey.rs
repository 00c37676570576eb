//! One look at a text, which says what other looks it is worth.

/// What is in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Bytes that are not plain ASCII.
    pub other: usize,
    /// Digits.
    pub digits: usize,
    /// Dots, dashes and underscores that follow no letter or digit: the end of a sentence is no sign of Morse.
    pub strokes: usize,
    /// Signs that begin an escape: `%`, `\`, `&`, `=`.
    pub escapes: usize,
    /// Places where a letter meets a digit or a sign that stands for a letter.
    pub mixed: usize,
    /// Letters or digits that stand alone.
    pub alone: usize,
    /// The longest run of letters, digits and `+/_-`.
    pub longest_run: usize,
    /// The longest run without white space.
    pub longest_word: usize,
}

const LETTER: u8 = 1;
const DIGIT: u8 = 2;
/// Signs that stand for a letter: `@$!|`.
const SIGN: u8 = 4;
const STROKE: u8 = 8;
const ESCAPE: u8 = 16;
const RUN: u8 = 32;
const SPACE: u8 = 64;
const OTHER: u8 = 128;

const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        table[byte] = match c {
            b'a'..=b'z' | b'A'..=b'Z' => LETTER | RUN,
            b'0'..=b'9' => DIGIT | RUN,
            b'+' | b'/' => RUN,
            b'_' | b'-' => RUN | STROKE,
            b'.' => STROKE,
            b'@' | b'$' | b'!' | b'|' => SIGN,
            b'%' | b'\\' | b'&' | b'=' => ESCAPE,
            b' ' | b'\t' | b'\n' | b'\r' => SPACE,
            _ if is_seen(c) => 0,
            _ => OTHER,
        };
        byte += 1;
    }
    table
};

const fn is_seen(c: u8) -> bool {
    c >= b' ' && c <= b'~'
}

impl Survey {
    /// Looks at every byte once.
    pub fn of(text: &str) -> Self {
        let mut survey = Self::default();
        let (mut run, mut word) = (0, 0);
        let (mut last, mut before) = (SPACE, SPACE);
        for byte in text.bytes() {
            let class = CLASS[byte as usize];
            survey.other += usize::from(class & OTHER != 0);
            survey.digits += usize::from(class & DIGIT != 0);
            survey.strokes += usize::from(class & STROKE != 0 && last & (LETTER | DIGIT) == 0);
            survey.escapes += usize::from(class & ESCAPE != 0);
            let meets = (last & LETTER != 0 && class & (DIGIT | SIGN) != 0)
                || (last & (DIGIT | SIGN) != 0 && class & LETTER != 0);
            survey.mixed += usize::from(meets);
            let named = LETTER | DIGIT;
            survey.alone += usize::from(last & named != 0 && (before | class) & named == 0);
            run = if class & RUN != 0 { run + 1 } else { 0 };
            word = if class & SPACE == 0 { word + 1 } else { 0 };
            survey.longest_run = survey.longest_run.max(run);
            survey.longest_word = survey.longest_word.max(word);
            (before, last) = (last, class);
        }
        survey
    }

    /// Whether all of it is seen, or white space.
    pub fn is_plain(&self) -> bool {
        self.other == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_worth_no_second_look() {
        let survey = Survey::of("It is a fine day, and nothing is hidden in a sentence like this.");
        assert!(survey.is_plain() && survey.mixed == 0 && survey.longest_run < 16);
        assert_eq!(survey.alone, 2);
    }

    #[test]
    fn what_is_odd_is_counted() {
        assert_eq!(Survey::of("1gn0r3").mixed, 4);
        assert_eq!(Survey::of("i g n o r e ").alone, 6);
        assert_eq!((Survey::of("one. two.\nthree.").strokes, Survey::of(".. --. /-.").strokes), (0, 7));
        assert_eq!(Survey::of("%69%67").escapes, 2);
        assert_eq!(Survey::of("é\u{8}").other, 3);
        assert_eq!(Survey::of("aWdub3JlIHByZXZpb3Vz x").longest_run, 20);
    }
}
