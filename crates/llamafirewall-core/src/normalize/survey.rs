//! One look at a text, which says what other looks it is worth.

/// What is in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Bytes that are not plain ASCII.
    pub other: usize,
    /// Digits.
    pub digits: usize,
    /// Dots, dashes and underscores at the beginning of a word, as letters of Morse have them.
    pub strokes: usize,
    /// Signs that begin an escape (`%`, `\`, `&`, `=`, `<`) and what may follow them in one.
    pub escapes: usize,
    /// Places where a letter meets a digit or a sign that stands for a letter.
    pub mixed: usize,
    /// Letters or digits that stand alone, the most in two strides that follow each other.
    pub alone: usize,
}

const LETTER: u8 = 1;
const DIGIT: u8 = 2;
/// Signs that stand for a letter: `@$!|`.
const SIGN: u8 = 4;
const STROKE: u8 = 8;
const ESCAPE: u8 = 16;
/// What follows the sign of an escape: digits of base 16, `#`, the end of a line, the first letters of entities and of `<wbr>`, which are nearly all.
const ESCAPED: u8 = 32;
/// What parts letters of Morse.
const BETWEEN: u8 = 64;
const OTHER: u8 = 128;
const NAMED: u8 = LETTER | DIGIT;
const MIXED: u8 = DIGIT | SIGN;

const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let c = byte as u8;
        table[byte] = match c {
            b'a'..=b'z' | b'A'..=b'Z' => LETTER | ESCAPED,
            b'0'..=b'9' => DIGIT | ESCAPED,
            b'.' | b'_' | b'-' => STROKE,
            b'@' | b'$' | b'!' => SIGN,
            b'|' => SIGN | BETWEEN,
            b'/' | b' ' | b'\t' => BETWEEN,
            b'#' => ESCAPED,
            b'\n' | b'\r' => BETWEEN | ESCAPED,
            b'%' | b'\\' | b'&' | b'=' | b'<' => ESCAPE,
            b' '..=b'~' => 0,
            _ => OTHER,
        };
        byte += 1;
    }
    table
};

/// Bytes that are counted at once: in vectors, whose sums fit into bytes.
const STRIDE: usize = 64;

impl Survey {
    /// Looks at every byte once.
    pub fn of(text: &str) -> Self {
        let mut survey = Self::default();
        // Two bytes before those of a stride; beyond both ends of the text is nothing but the beginning of a word.
        let mut classes = [BETWEEN; STRIDE + 2];
        let mut alone = 0;
        let (strides, rest) = text.as_bytes().as_chunks::<STRIDE>();
        for stride in strides {
            classes.copy_within(STRIDE.., 0);
            classes[2..].iter_mut().zip(stride).for_each(|(class, byte)| *class = CLASS[*byte as usize]);
            alone = survey.count(&classes, alone);
        }
        classes.copy_within(STRIDE.., 0);
        classes[2..].fill(0);
        classes[2..].iter_mut().zip(rest).for_each(|(class, byte)| *class = CLASS[*byte as usize]);
        survey.count(&classes, alone);
        survey
    }

    /// Counts what a stride has, whose classes come after those of the two bytes before. Takes how many letters stood alone
    /// in the stride before it, and gives the same for this one.
    fn count(&mut self, classes: &[u8; STRIDE + 2], alone_before: usize) -> usize {
        self.other += sum(classes, |_, _, class| class & OTHER != 0);
        self.digits += sum(classes, |_, _, class| class & DIGIT != 0);
        self.strokes += sum(classes, |_, last, class| (class & STROKE != 0) & (last & BETWEEN != 0));
        self.escapes += sum(classes, |_, last, class| (last & ESCAPE != 0) & (class & ESCAPED != 0));
        let meet = |one: u8, other: u8| (one & LETTER != 0) & (other & MIXED != 0);
        self.mixed += sum(classes, |_, last, class| meet(last, class) | meet(class, last));
        let alone = sum(classes, |before, last, class| (last & NAMED != 0) & ((before | class) & NAMED == 0));
        self.alone = self.alone.max(alone_before + alone);
        alone
    }

    /// Whether all of it is seen, or white space.
    pub fn is_plain(&self) -> bool {
        self.other == 0
    }
}

/// How many bytes of a stride have something, by their classes and those of the two bytes before. Nothing branches, so
/// that many are looked at at once.
fn sum(classes: &[u8; STRIDE + 2], has: impl Fn(u8, u8, u8) -> bool) -> usize {
    let one = |at: usize| u8::from(has(classes[at], classes[at + 1], classes[at + 2]));
    usize::from((0..STRIDE).map(one).sum::<u8>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_worth_no_second_look() {
        let survey = Survey::of("It is a fine day, and nothing is hidden in a sentence like this.");
        assert!(survey.is_plain() && survey.mixed == 0);
        assert_eq!(survey.alone, 2);
    }

    #[test]
    fn what_is_odd_is_counted() {
        assert_eq!(Survey::of("1gn0r3").mixed, 4);
        assert_eq!(Survey::of("i g n o r e ").alone, 6);
        assert_eq!((Survey::of("one. two.\nthree.").strokes, Survey::of(".. --. /-.").strokes), (0, 3));
        assert_eq!((Survey::of("%69%67=\n&lt;").escapes, Survey::of("a = 5 % 3 && b\\\\").escapes), (4, 0));
        assert_eq!(Survey::of("a&shy;b&Tab;c&ZeroWidthSpace;d<wbr>e<WBR/>").escapes, 5);
        assert_eq!(Survey::of("é\u{8}").other, 3);
    }

    #[test]
    fn strides_leave_nothing_out() {
        let piece = "a 1b. --x%0é\u{8}\n";
        for repeats in 1..40 {
            let survey = Survey::of(&piece.repeat(repeats));
            let counts = [survey.other, survey.digits, survey.strokes, survey.escapes, survey.mixed];
            assert_eq!(counts, [3, 2, 1, 1, 1].map(|count| count * repeats), "{repeats}");
            let apart = format!("{}i g n o{}", "word ".repeat(repeats), " word".repeat(repeats));
            assert_eq!(Survey::of(&apart).alone, 4);
        }
        assert!(Survey::of(&"a word that stands in between ".repeat(100)).alone <= 5);
        assert_eq!(Survey::of("i g n o").alone, 4);
    }
}
