//! Scanner `hidden_ascii`: characters that nobody sees, where they have no business.
//!
//! Emoji of several parts, flags, joiners beside letters of Persian and the scripts of India, and marks of direction that part no word
//! are at their right place. What is hidden is not repeated in the reason. In JSON an escape counts as what it
//! stands for.

mod json;

use llamafirewall_core::{
    ConfigurationError, Finding, Invisible, Placement, ScanFuture, ScanInput, ScanResult, Scanner,
    ScannerOptions, ScannerType,
};
use std::ops::Range;
use std::sync::Arc;

/// Characters on both sides in which letters from right to left are looked for.
const NEIGHBOURHOOD: usize = 32;
/// Flags of regions that Unicode recommends: England, Scotland, Wales.
const REGIONS: [&str; 3] = ["gbeng", "gbsct", "gbwls"];

/// Finds invisible characters at places where they can only hide something.
#[derive(Clone, Debug)]
pub struct HiddenAsciiScanner {
    name: String,
}

impl Default for HiddenAsciiScanner {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

/// Makes the scanner for a policy.
pub(crate) fn build(options: &ScannerOptions) -> Result<Arc<dyn Scanner>, ConfigurationError> {
    let NoOptions {} = options.read()?;
    Ok(Arc::new(HiddenAsciiScanner { name: options.name().to_owned() }))
}

impl HiddenAsciiScanner {
    /// The scanner.
    pub fn new() -> Self {
        Self { name: "hidden_ascii".to_owned() }
    }
}

impl Scanner for HiddenAsciiScanner {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> ScannerType {
        ScannerType::HiddenAscii
    }

    fn placement(&self) -> Placement {
        Placement::Task
    }

    fn scan<'a>(&'a self, input: &'a ScanInput) -> ScanFuture<'a> {
        Box::pin(async { Ok(verdict(input.text())) })
    }

    fn settled(&self, input: &ScanInput) -> Option<usize> {
        let text = input.text();
        // What follows a character may put it right; the last one seen is what an invisible one would stand on.
        let near = text.char_indices().rev().take(NEIGHBOURHOOD + 1);
        let settled =
            near.filter(|(_, c)| Invisible::of(*c).is_some()).last().map_or(text.len(), |(at, _)| at);
        // Whether it is in JSON is known at its end.
        Some(json::first_escape(text).map_or(settled, |escape| settled.min(escape)))
    }
}

fn verdict(text: &str) -> ScanResult {
    // Most text has no such character, at whatever place.
    let is_plain = text.is_ascii() && !text.contains('\u{1b}');
    let mut findings = Vec::new();
    if !is_plain && text.chars().any(|c| Invisible::of(c).is_some()) {
        findings = hidden(&text.char_indices().collect::<Vec<_>>(), text.len());
    }
    for string in json::strings(text) {
        // What is no escape was looked at where it stands.
        let escaped = hidden(&string.chars, string.end).into_iter();
        let escaped = escaped.filter(|finding| text.as_bytes()[finding.span.start] == b'\\');
        findings.extend(escaped.map(|finding| Finding { seen_in: "escapes".into(), ..finding }));
    }
    if findings.is_empty() {
        return ScanResult::allow("No hidden ASCII detected");
    }
    findings.sort_by_key(|finding| finding.span.start);
    let mut names: Vec<&str> = findings.iter().map(|finding| finding.rule.as_ref()).collect();
    names.sort_unstable();
    names.dedup();
    ScanResult::block(format!("Hidden text: {}", names.join(", ")), 1.0).with_findings(findings)
}

/// Runs of characters of one class that are not at their right place; `last` is where the last character ends.
fn hidden(chars: &[(usize, char)], last: usize) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let flag = flag_tags(chars, at);
        if flag > 0 {
            at += flag;
            continue;
        }
        let (start, c) = chars[at];
        let class = Invisible::of(c).filter(|class| !is_right(chars, at, *class));
        if let Some(class) = class {
            let end = chars.get(at + 1).map_or(last, |(next, _)| *next);
            add(&mut findings, class, start..end);
        }
        at += 1;
    }
    findings
}

fn add(findings: &mut Vec<Finding>, class: Invisible, span: Range<usize>) {
    match findings.last_mut() {
        Some(last) if last.rule == class.name() && last.span.end == span.start => last.span.end = span.end,
        _ => findings.push(Finding::new(class.name(), span)),
    }
}

/// How many characters at `at` are the flag of a region, its tags included.
fn flag_tags(chars: &[(usize, char)], at: usize) -> usize {
    if chars[at].1 != '\u{1f3f4}' {
        return 0;
    }
    let tags = chars[at + 1..].iter().map_while(|(_, c)| {
        ('\u{e0020}'..='\u{e007e}').contains(c).then(|| char::from_u32(*c as u32 - 0xe0000).unwrap_or(' '))
    });
    let region: String = tags.take(REGIONS[0].len() + 1).collect();
    let ends = chars.get(at + 1 + region.len()).is_some_and(|(_, c)| *c == '\u{e007f}');
    if ends && REGIONS.contains(&region.as_str()) { region.len() + 2 } else { 0 }
}

/// Whether an invisible character is where writing needs it.
fn is_right(chars: &[(usize, char)], at: usize, class: Invisible) -> bool {
    let c = chars[at].1;
    let before = at.checked_sub(1).map(|before| chars[before].1);
    let after = chars.get(at + 1).map(|(_, c)| *c);
    let alone = |c: Option<char>| {
        !c.is_some_and(|c| {
            Invisible::of(c)
                .is_some_and(|class| class != Invisible::VariationSelector && class != Invisible::Control)
        })
    };
    let has = |side: Option<char>, test: fn(char) -> bool| side.is_some_and(test);
    let between = |test: fn(char) -> bool| has(before, test) && has(after, test);
    match class {
        Invisible::Control => !conceals(chars, at),
        Invisible::VariationSelector => has(before, |b| Invisible::of(b).is_none()) && selects(c, before),
        Invisible::Joiner => alone(before) && alone(after) && joins(c, before, after),
        Invisible::Bidi => directs(chars, at),
        Invisible::ZeroWidth => {
            (c == '\u{feff}' && at == 0) || (alone(before) && alone(after) && !between(needs_blanks))
        }
        Invisible::Filler => {
            let beside = |test: fn(char) -> bool| has(before, test) || has(after, test);
            match c {
                '\u{115f}' | '\u{1160}' => beside(is_jamo),
                '\u{17b4}' | '\u{17b5}' => beside(|c| ('\u{1780}'..='\u{17ff}').contains(&c)),
                '\u{180e}' => beside(|c| ('\u{1800}'..='\u{18af}').contains(&c)),
                _ => false,
            }
        }
        Invisible::GraphemeJoiner => between(is_mark_or_hebrew),
        Invisible::Mathematical => {
            let operands = between(|c| !c.is_whitespace() && !is_word_letter(c));
            alone(before) && alone(after) && operands && !splits_word(chars, at)
        }
        Invisible::SoftHyphen => {
            let goes_on = |c: char| is_written(c) || c.is_whitespace() || is_dash(c);
            has(before, is_written) && after.is_none_or(goes_on) && !near(chars, at, '\u{ad}', 2)
        }
        Invisible::Format => {
            ('\u{1d173}'..='\u{1d17a}').contains(&c)
                && has(before, |c| ('\u{1d100}'..='\u{1d1ff}').contains(&c))
        }
        Invisible::Tag | Invisible::Unassigned => false,
    }
}

/// Whether it begins a terminal's command to show text invisibly: `ESC [ ... m` with a parameter 8 that is no part of a colour
/// (ECMA-48, 8.3.117).
fn conceals(chars: &[(usize, char)], at: usize) -> bool {
    let parameters = match (chars[at].1, chars.get(at + 1)) {
        ('\u{1b}', Some((_, '['))) => at + 2,
        ('\u{9b}', _) => at + 1,
        _ => return false,
    };
    let length =
        chars[parameters..].iter().take_while(|(_, c)| c.is_ascii_digit() || ";:".contains(*c)).count();
    let list = &chars[parameters..parameters + length];
    let ends = chars.get(parameters + length).is_some_and(|(_, c)| *c == 'm');
    ends && has_conceal(&list.iter().map(|(_, c)| *c).collect::<String>())
}

/// Whether parameters of how text is shown have the one for concealed text. 38, 48 and 58 are followed by a colour: 5 and its number, or
/// 2 and three shares.
fn has_conceal(list: &str) -> bool {
    // What belongs to a colour by colons is no parameter of its own.
    let mut parameters =
        list.split(';').map(|one| one.split(':').next().unwrap_or(one).trim_start_matches('0'));
    while let Some(parameter) = parameters.next() {
        match parameter {
            "8" => return true,
            "38" | "48" | "58" => {
                let skipped = match parameters.next() {
                    Some("5") => 1,
                    Some("2") => 3,
                    _ => 0,
                };
                parameters.by_ref().take(skipped).for_each(drop);
            }
            _ => {}
        }
    }
    false
}

/// Whether an operator of mathematics has a word around it. Operands are single letters or no letters; the name of a function stands
/// before U+2061.
fn splits_word(chars: &[(usize, char)], at: usize) -> bool {
    let is_letter =
        |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(|(_, c)| c.is_alphabetic());
    if !is_letter(at.checked_sub(1)) || !is_letter(Some(at + 1)) {
        return false;
    }
    let applies = |at: usize| chars.get(at).is_some_and(|(_, c)| *c == '\u{2061}');
    let end = (at + 1..chars.len()).find(|other| !is_letter(Some(*other))).unwrap_or(chars.len());
    let word_before = is_letter(at.checked_sub(2)) && !applies(at);
    let word_after = end > at + 2 && !applies(end);
    word_before || word_after
}

fn selects(selector: char, before: Option<char>) -> bool {
    let Some(before) = before else { return false };
    match selector {
        '\u{fe0e}' | '\u{fe0f}' => is_emoji(before) || "0123456789#*".contains(before),
        '\u{fe00}'..='\u{fe0d}' => !before.is_ascii() && !before.is_whitespace(),
        '\u{e0100}'..='\u{e01ef}' => is_ideograph(before),
        _ => ('\u{1800}'..='\u{18af}').contains(&before),
    }
}

fn joins(joiner: char, before: Option<char>, after: Option<char>) -> bool {
    let is = |side: Option<char>, test: fn(char) -> bool| side.is_some_and(test);
    let emoji = joiner == '\u{200d}' && is(before, is_emoji_end) && is(after, is_emoji);
    // Endings of Persian stand behind words, numbers and brackets of any other script; no word has letters of both.
    emoji || is(before, needs_joiners) || is(after, needs_joiners)
}

/// Whether a control of direction is no part of a word, and in a text that has two directions where it gives more than that from left to
/// right.
fn directs(chars: &[(usize, char)], at: usize) -> bool {
    // Formats of money write two at once: that of the pattern, and that of the minus sign in it.
    const MOST: usize = 2;
    let is_hidden = |(_, c): &&(usize, char)| {
        Invisible::of(*c)
            .is_some_and(|class| !matches!(class, Invisible::VariationSelector | Invisible::Control))
    };
    let before = chars[..at].iter().rev().take(MOST).take_while(is_hidden).count();
    let after = chars[at + 1..].iter().take(MOST).take_while(is_hidden).count();
    let run = &chars[at - before..=at + after];
    if run.len() > MOST || run.iter().any(|(_, c)| Invisible::of(*c) != Some(Invisible::Bidi)) {
        return false;
    }
    let is_beside = |at: Option<usize>, test: fn(char) -> bool| {
        at.and_then(|at| chars.get(at)).is_some_and(|(_, c)| test(*c))
    };
    let is_in_word = is_beside((at - before).checked_sub(1), needs_blanks)
        && is_beside(Some(at + after + 1), needs_blanks);
    let near = &chars[at.saturating_sub(NEIGHBOURHOOD)..chars.len().min(at + NEIGHBOURHOOD)];
    match chars[at].1 {
        '\u{202d}' | '\u{202e}' => false,
        // From right to left, letters would be shown in an order that is not theirs.
        '\u{202b}' | '\u{2067}' => near.iter().any(|(_, c)| is_right_to_left(*c)),
        _ => !is_in_word || near.iter().any(|(_, c)| is_right_to_left(*c)),
    }
}

/// Whether `wanted` stands at most `reach` characters away.
fn near(chars: &[(usize, char)], at: usize, wanted: char, reach: usize) -> bool {
    let from = at.saturating_sub(reach);
    let to = chars.len().min(at + reach + 1);
    (from..to).any(|other| other != at && chars[other].1 == wanted)
}

/// Whether words of its script stand apart by blanks, so that nothing has to say where a line may break.
fn needs_blanks(c: char) -> bool {
    c.is_alphanumeric()
        && !is_ideograph(c)
        && !matches!(c,
            '\u{e00}'..='\u{109f}' // Thai, Lao, Tibetan, Myanmar
            | '\u{1780}'..='\u{17ff}' | '\u{1950}'..='\u{19ff}' // Khmer, Tai Le, New Tai Lue
            | '\u{1a20}'..='\u{1b7f}' // Tai Tham, Balinese
            | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{ff66}'..='\u{ff9f}' // kana
            | '\u{a000}'..='\u{a4cf}' // Yi
            | '\u{a980}'..='\u{aadf}') // Javanese, Cham, Tai Viet
}

/// Letters and digits, and what stands on them.
fn is_written(c: char) -> bool {
    c.is_alphanumeric() || is_mark_or_hebrew(c) || needs_joiners(c)
}

fn is_dash(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}')
}

fn is_word_letter(c: char) -> bool {
    c.is_alphabetic() && c.len_utf8() > 1 && !('\u{370}'..='\u{3ff}').contains(&c)
}

fn is_jamo(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97f}' | '\u{d7b0}'..='\u{d7ff}')
}

fn is_mark_or_hebrew(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{590}'..='\u{5ff}')
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{2fdf}' | '\u{3005}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
        && Invisible::of(c).is_none()
}

/// Scripts whose letters take other shapes beside joiners.
fn needs_joiners(c: char) -> bool {
    is_right_to_left(c)
        || matches!(c, '\u{900}'..='\u{109f}' | '\u{1780}'..='\u{18af}' | '\u{1900}'..='\u{1cff}' | '\u{a800}'..='\u{abff}' | '\u{11000}'..='\u{11fff}')
}

fn is_emoji(c: char) -> bool {
    matches!(c, '\u{a9}' | '\u{ae}' | '\u{203c}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}')
}

fn is_emoji_end(c: char) -> bool {
    is_emoji(c) || matches!(c, '\u{fe0f}' | '\u{20e3}' | '\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> Vec<Finding> {
        verdict(text).findings
    }

    /// The same as JSON in ASCII has it, in an object.
    fn escaped(text: &str) -> String {
        let unit = |unit| match u8::try_from(unit) {
            Ok(byte @ b' '..=b'~') => char::from(byte).to_string(),
            _ => format!("\\u{unit:04x}"),
        };
        format!(r#"{{"r": "{}"}}"#, text.encode_utf16().map(unit).collect::<String>())
    }

    #[track_caller]
    fn passes(text: &str) {
        assert_eq!(hidden(text), [], "{text:?}");
        assert_eq!(hidden(&escaped(text)), [], "{text:?} in JSON");
    }

    #[track_caller]
    fn hides(text: &str, what: Invisible) {
        let names: Vec<String> = hidden(text).into_iter().map(|finding| finding.rule.into_owned()).collect();
        assert!(names.contains(&what.name().to_owned()), "{text:?}: {names:?}");
        let json = escaped(text);
        let found = hidden(&json);
        let found = found.iter().find(|finding| finding.rule == what.name() && finding.seen_in == "escapes");
        assert!(found.is_some_and(|found| json[found.span.clone()].starts_with("\\u")), "{json}");
    }

    #[test]
    fn writing_of_every_kind_passes() {
        for text in [
            "👩\u{200d}👩\u{200d}👧\u{200d}👦 family",
            "❤\u{fe0f}\u{200d}🔥",
            "👨🏽\u{200d}💻",
            "1\u{fe0f}\u{20e3}",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f} flag",
            "🇩🇪🇮🇳",
            "🏳\u{fe0f}\u{200d}🌈",
            "می\u{200c}خواهم کتاب\u{200c}ها را بخوانم",
            "क्\u{200d}ष और क्\u{200c}ष",
            "ශ්\u{200d}රී ලංකා",
            "שלום\u{200f} (hello)",
            "العربية \u{200f}2024\u{200f} نص",
            "\u{2067}עברית\u{2069} in English",
            "葛\u{e0100}城",
            "漢字\u{fe00}",
            "Donau\u{ad}dampf\u{ad}schiff",
            "\u{feff}starts with a mark",
            "ภาษา\u{200b}ไทย",
            "price \u{200e}+1 555",
            "a\u{301} \u{334}",
            "colour \u{1b}[31mred\u{1b}[0m",
            "漢\u{200b}字 かな\u{2060}カナ",
            "по\u{ad}русски/\u{200b}путь. \u{200b}Да",
            "f\u{2061}(x)",
            "sin\u{2061}x = a\u{2062}cos\u{2061}y, x\u{2063}y",
            "\u{1b}[38;5;8mgrey\u{1b}[0m \u{1b}[1;48;2;8;8;8m \u{1b}[38:2::8:8:8m \u{1b}[18m \u{1b}8 \u{1b}[8A",
            "Hello \u{2068}Anna\u{2069}!",
            "plain text",
            "PDF\u{200c}ها، API\u{200c}ها، 3\u{200c}ام و (GPS)\u{200c}های",
            "\u{200f}1,234.50\u{a0}\u{200f}₪, \u{200f}\u{200e}-5.00\u{a0}\u{200f}₪",
            "12\u{200f}/3\u{200f}/2025",
            "ASIN \u{200f} : \u{200e} B07XYZ1234",
            "\u{202a}C:\\Users\\anna, \u{202a}+49 30 901820\u{202c}, \u{2066}x\u{2069}",
            "Bundes\u{ad}\nregierung, Bundes\u{ad} und Landes\u{ad}- Covid\u{ad}19 Mu\u{308}\u{ad}ll\u{ad}",
            "",
        ] {
            passes(text);
        }
    }

    #[test]
    fn what_hides_is_found() {
        hides("hi\u{e0048}\u{e0069}", Invisible::Tag);
        hides("🏴\u{e0069}\u{e0067}\u{e006e}\u{e007f}", Invisible::Tag);
        hides("🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}", Invisible::Tag);
        hides("ig\u{200b}nore", Invisible::ZeroWidth);
        hides("и\u{200b}г\u{200b}нор", Invisible::ZeroWidth);
        hides("αγνό\u{200b}ησε", Invisible::ZeroWidth);
        hides("приве\u{2060}т", Invisible::ZeroWidth);
        hides("무\u{200b}시", Invisible::ZeroWidth);
        hides("a\u{200b}\u{200c}\u{200b} b", Invisible::ZeroWidth);
        hides("a \u{200d}\u{200c}", Invisible::Joiner);
        hides("abc\u{202e}fed", Invisible::Bidi);
        hides("ab\u{2066}cd", Invisible::Bidi);
        hides("иг\u{200f}нор", Invisible::Bidi);
        hides("무\u{200e}\u{200f}시", Invisible::Bidi);
        hides("see \u{200e}\u{200f}\u{200e} this", Invisible::Bidi);
        hides("see \u{200e}\u{200b} this", Invisible::Bidi);
        hides("see \u{2067}this\u{2069}", Invisible::Bidi);
        hides("ig\u{200d}nore", Invisible::Joiner);
        hides("a \u{ad}b", Invisible::SoftHyphen);
        hides("😊\u{e0158}\u{e0159}", Invisible::VariationSelector);
        hides("a\u{fe01}b", Invisible::VariationSelector);
        hides("x\u{3164}y", Invisible::Filler);
        hides("i\u{34f}gnore", Invisible::GraphemeJoiner);
        hides("go\u{2062}\u{2064}\u{2062}", Invisible::Mathematical);
        hides("ig\u{2063}nore", Invisible::Mathematical);
        hides("i\u{2062}gnore", Invisible::Mathematical);
        hides("ignor\u{2064}e", Invisible::Mathematical);
        hides("i\u{ad}g\u{ad}n\u{ad}ore", Invisible::SoftHyphen);
        hides("a\u{fff9}b", Invisible::Format);
        hides("\u{1b}[8mhidden\u{1b}[0m", Invisible::Control);
        for conceal in ["\u{1b}[08m", "\u{1b}[0;38;5;1;8m", "\u{9b}8m", "\u{1b}[0;0;0;0;0;0;0;0;0;0;8m"] {
            hides(&format!("{conceal}hidden"), Invisible::Control);
        }
        hides("a\u{e0fff}", Invisible::Unassigned);
    }

    #[test]
    fn what_is_said_about_hidden_characters_hides_nothing() {
        for text in
            [r"strip \u200b and \u202e", r#"{"code": "s/[\\u200b\\u202e]//"}"#, "let hidden = [\"\\u200b\"];"]
        {
            assert_eq!(hidden(text), [], "{text}");
        }
        assert_eq!(hidden(r#"{"a": "{\"b\": \"x\\u200by\"}"}"#)[0].span, 18..25);
    }

    #[test]
    fn the_reason_does_not_tell_what_was_hidden() {
        let result = verdict("look \u{e0073}\u{e0065}\u{e0063}\u{e0072}\u{e0065}\u{e0074}");
        assert_eq!(result.reason, "Hidden text: tag characters");
        assert_eq!(result.findings[0].span, 5..29);
    }
}
