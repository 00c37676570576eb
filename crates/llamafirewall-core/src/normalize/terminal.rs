//! What a terminal shows of a text: without the commands in it (ECMA-48, 5.4 and 5.6), such as `ESC [ 31 m`, which turns what
//! follows red, and without letters that were struck over, as pages of manuals have them.

use super::mapping::{Edits, Mapping};

/// Longest command that is read as one, in bytes. Colours take a few, links as much as an address.
const LONGEST: usize = 4096;
const ESCAPE: char = '\u{1b}';
const BACKSPACE: char = '\u{8}';
/// The first signs of a command with parameters: as a character, and as program text has it.
const INTRODUCERS: [&str; 5] = ["\u{1b}[", "\u{9b}", r"\e[", r"\033[", r"\x1b["];

/// The text as a terminal shows it, if it has commands.
pub(super) fn shown(text: &str) -> Option<(String, Mapping)> {
    let (mut edits, mut at) = (Edits::of(text), 0);
    let mut terminators = Terminators { text, next: None };
    while let Some(passed) = text[at..].find([ESCAPE, '\u{9b}', '\\', BACKSPACE]) {
        let sign = at + passed;
        if text[sign..].starts_with(BACKSPACE) {
            at = sign + 1;
            edits.strike(sign..at);
            continue;
        }
        let Some((end, with)) = command((text, &mut terminators), sign) else {
            at = sign + text[sign..].chars().next().map_or(1, char::len_utf8);
            continue;
        };
        edits.replace(sign..end, with);
        at = end;
    }
    edits.finish()
}

/// The end of a command whose sign is at `sign`, and what stands there for a reader: nothing, or a blank where the cursor moves.
/// One that is not over at the end of the text takes all of the rest.
fn command((text, terminators): (&str, &mut Terminators<'_>), sign: usize) -> Option<(usize, &'static str)> {
    let rest = &text[sign..];
    if let Some(introducer) = INTRODUCERS.iter().find(|introducer| rest.starts_with(**introducer)) {
        let (length, last) = parameters(&rest.as_bytes()[introducer.len()..])?;
        let moves = matches!(last, Some(b'A'..=b'H' | b'a' | b'd'..=b'f' | b'`'));
        return Some((sign + introducer.len() + length, if moves { " " } else { "" }));
    }
    let mut chars = rest.strip_prefix(ESCAPE)?.chars();
    let length = match chars.next() {
        None => 1,
        Some(']' | 'P' | 'X' | '^' | '_') => terminators.end_of(sign)? - sign,
        Some(' '..='/') => 2 + usize::from(chars.next().is_some_and(|c| ('0'..='~').contains(&c))),
        Some('0'..='~') => 2,
        Some(_) => return None,
    };
    Some((sign + length, ""))
}

/// How long the parameters of a command are with the letter behind them, which says what it does.
fn parameters(bytes: &[u8]) -> Option<(usize, Option<u8>)> {
    let length = bytes.iter().take(LONGEST).take_while(|byte| (b' '..=b'?').contains(*byte)).count();
    match bytes.get(length) {
        Some(last @ b'@'..=b'~') => Some((length + 1, Some(*last))),
        None => Some((length, None)),
        Some(_) => None,
    }
}

/// Ends of commands that are followed by a text, such as an address or the title of the window: the bell, or the sign for it.
struct Terminators<'a> {
    text: &'a str,
    /// Where the last search began, and the end of the first terminator from there on.
    next: Option<(usize, Option<usize>)>,
}

impl Terminators<'_> {
    /// The end of the command that begins at `sign`. No part of the text is searched twice.
    fn end_of(&mut self, sign: usize) -> Option<usize> {
        let begin = sign + 2;
        let is_known =
            |(from, end): &(usize, Option<usize>)| *from <= begin && end.is_none_or(|end| begin < end);
        let (_, end) = self.next.filter(is_known).unwrap_or_else(|| (begin, self.search(begin)));
        self.next = Some((begin, end));
        let within = |end: &usize| end - sign <= LONGEST;
        end.or(Some(self.text.len())).filter(within)
    }

    fn search(&self, begin: usize) -> Option<usize> {
        let rest = &self.text[begin..];
        let ends = rest.char_indices().filter_map(|(at, c)| match c {
            '\u{7}' | '\u{9c}' => Some(at + c.len_utf8()),
            ESCAPE => rest[at + 1..].starts_with('\\').then_some(at + 2),
            _ => None,
        });
        ends.map(|end| begin + end).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        shown(text).map_or(text.to_owned(), |(text, _)| text)
    }

    #[test]
    fn commands_are_left_out() {
        for text in [
            "Ig\u{1b}[1mno\u{1b}[0mre",
            "\u{1b}[38;5;208mIgnore\u{1b}[K",
            "\u{9b}31mIgnore",
            "\u{1b}]8;;https://example.com\u{1b}\\Ignore\u{1b}]8;;\u{7}",
            "\u{1b}]0;title\u{9c}Ignore",
            "\u{1b}(BIgnore\u{1b}7\u{1b}=",
            r"\e[1mIg\033[0mnore\x1b[0;1m",
            "I\u{8}Ig\u{8}gn\u{8}nore",
            "_\u{8}I_\u{8}gnore",
            "Ignxyz\u{8}\u{8}\u{8}ore",
            "I\u{1b}[1m\u{8}I\u{1b}[0mgx\u{8}nore",
            "Ignore\u{1b}",
            "Ignore\u{1b}[3",
            "Ignore\u{1b}]0;tit",
            "\u{1b}[?25lIgnore",
        ] {
            assert_eq!(read(text), "Ignore", "{text:?}");
        }
        assert_eq!(read("all\u{1b}[1Cprevious\u{1b}[2;1Hrules"), "all previous rules");
    }

    #[test]
    fn what_is_no_command_stays() {
        let long = format!("\u{1b}]0;{}", "a".repeat(LONGEST));
        for text in ["", "plain", r"C:\edit [1m", "\u{1b}[é", "\u{1b}é", "\u{8}a", "\n\u{8}", r"\e", &long]
        {
            assert_eq!(shown(text), None, "{text:?}");
        }
    }

    /// Without what is known of the ends this takes minutes.
    #[test]
    fn commands_that_never_end_take_linear_time() {
        for unit in ["\u{1b}]", "\u{1b}]\u{7}\u{1b}]", "\u{1b}P\u{1b}\\", "\u{1b}_é"] {
            let text = unit.repeat((1 << 20) / unit.len());
            assert!(shown(&text).is_some_and(|(read, _)| read.len() < text.len()), "{unit:?}");
        }
    }

    #[test]
    fn spans_reach_over_commands() {
        let (text, mapping) = shown("so \u{1b}[1mig\u{1b}[0mnore!").expect("it changes");
        let at = text.find("ignore").expect("joined");
        assert_eq!(mapping.original(at..at + 6), 7..17);
    }
}
