//! Blocks of CommonMark (0.31), as far as it depends on them whether a line begins or ends a fence: quotations, items of lists, blocks
//! of HTML, and paragraphs. Each line costs what it is long, however deeply blocks stand in each other.

use crate::fences::{Fence, closes, opened_by};

/// What a block stands in.
#[derive(Clone, Copy)]
enum Container {
    Quote,
    /// An item of a list, whose lines are indented by so many columns.
    Item(usize),
}

/// The block that lines go to.
enum Leaf {
    Nothing,
    Paragraph,
    Fence(Fence),
    Html(Until),
}

/// Where a block of HTML ends: in a line with one of these, whatever their case, or before an empty line.
#[derive(Clone, Copy)]
enum Until {
    Line(&'static [&'static str]),
    EmptyLine,
}

/// What a line did to fences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    None,
    /// It begins one, and ends one before if the flag says so.
    Opens { ends_another: bool },
    /// It is the line that closes one.
    Closes,
    /// It stands behind one, whose quotation or item is over.
    Leaves,
}

/// Blocks that are open behind a line.
pub(crate) struct Blocks {
    containers: Vec<Container>,
    /// Where quotations stand among the containers.
    quotes: Vec<usize>,
    leaf: Leaf,
}

impl Blocks {
    pub(crate) fn new() -> Self {
        Self { containers: Vec::new(), quotes: Vec::new(), leaf: Leaf::Nothing }
    }

    /// The open fence, in how many quotations it stands among what it says.
    pub(crate) fn fence(&self) -> Option<&Fence> {
        match &self.leaf {
            Leaf::Fence(fence) => Some(fence),
            _ => None,
        }
    }

    /// Whether the next line is read as it would be at the start of a message, but for quotations that it begins with anew.
    pub(crate) fn are_fresh(&self) -> bool {
        self.is_outside_of_lists() && matches!(self.leaf, Leaf::Nothing | Leaf::Paragraph)
    }

    pub(crate) fn is_html(&self) -> bool {
        matches!(self.leaf, Leaf::Html(_))
    }

    pub(crate) fn is_outside_of_lists(&self) -> bool {
        self.containers.len() == self.quotes.len()
    }

    /// Takes the next line.
    pub(crate) fn take(&mut self, line: &str) -> Step {
        let mut cursor = Cursor::new(line);
        let matched = self.matched(&mut cursor);
        let is_within = matched == self.containers.len();
        match &self.leaf {
            Leaf::Fence(fence) if is_within => {
                let is_closed = cursor.indentation().is_some() && closes(cursor.rest, fence);
                if is_closed {
                    self.leaf = Leaf::Nothing;
                }
                return if is_closed { Step::Closes } else { Step::None };
            }
            Leaf::Html(until) if is_within => {
                if until.is_met_by(&cursor) {
                    self.leaf = Leaf::Nothing;
                }
                return Step::None;
            }
            _ => {}
        }
        let had_fence = self.fence().is_some();
        self.begin(cursor, matched);
        match (had_fence, self.fence()) {
            (_, Some(_)) => Step::Opens { ends_another: had_fence },
            (true, None) => Step::Leaves,
            (false, None) => Step::None,
        }
    }

    /// How many of the containers a line goes on with; the cursor stands behind their signs.
    fn matched(&self, cursor: &mut Cursor<'_>) -> usize {
        let (mut matched, mut quotes) = (0, 0);
        while let Some(container) = self.containers.get(matched) {
            let goes_on = match container {
                Container::Quote => cursor.quote(),
                Container::Item(_) if cursor.is_blank() => {
                    // An empty line goes on with all items up to the next quotation.
                    matched = self.quotes.get(quotes).copied().unwrap_or(self.containers.len());
                    continue;
                }
                Container::Item(columns) => cursor.skip(*columns),
            };
            if !goes_on {
                break;
            }
            quotes += usize::from(matches!(container, Container::Quote));
            matched += 1;
        }
        matched
    }

    /// Begins what the rest of a line begins, behind the containers that it goes on with.
    fn begin(&mut self, mut cursor: Cursor<'_>, matched: usize) {
        let mut goes_on = matches!(self.leaf, Leaf::Paragraph);
        let mut is_in_paragraph = goes_on && matched == self.containers.len();
        let mut within = matched;
        loop {
            if cursor.is_blank() {
                return self.end(within, Leaf::Nothing);
            }
            let Some(rest) = cursor.indentation() else {
                // Indented code, or a line of the paragraph.
                if !goes_on {
                    self.end(within, Leaf::Nothing);
                }
                return;
            };
            if let Some(fence) = opened_by(rest) {
                self.end(within, Leaf::Nothing);
                self.leaf = Leaf::Fence(Fence { quotes: self.quotes.len(), ..fence });
                return;
            }
            if let Some(until) = html(rest, goes_on) {
                let is_over = until.is_met_by(&cursor);
                return self.end(within, if is_over { Leaf::Nothing } else { Leaf::Html(until) });
            }
            if cursor.is_rule() || is_heading(rest) {
                return self.end(within, Leaf::Nothing);
            }
            let container = match cursor.quote() {
                true => Container::Quote,
                false => match cursor.item(is_in_paragraph) {
                    Some(columns) => Container::Item(columns),
                    None => break,
                },
            };
            self.end(within, Leaf::Nothing);
            self.quotes.extend(matches!(container, Container::Quote).then_some(within));
            self.containers.push(container);
            within += 1;
            (goes_on, is_in_paragraph) = (false, false);
        }
        // A paragraph goes on also without the signs of its containers.
        if !goes_on {
            self.end(within, Leaf::Paragraph);
        }
    }

    /// Ends all but the first containers.
    fn end(&mut self, within: usize, leaf: Leaf) {
        self.containers.truncate(within);
        while self.quotes.pop_if(|at| *at >= within).is_some() {}
        self.leaf = leaf;
    }
}

/// A place in a line, and its column: tabs reach to columns of four.
struct Cursor<'t> {
    rest: &'t str,
    column: usize,
    /// Columns of a tab before it that are left.
    spare: usize,
    /// Length of the rest of the line from which on nothing but white space follows.
    blank: usize,
    /// The same for each sign of rules (`***`) and white space, once it was asked for.
    rules: [Option<usize>; 3],
}

impl<'t> Cursor<'t> {
    fn new(line: &'t str) -> Self {
        let line = line.trim_end_matches(['\n', '\r']).trim_start_matches('\u{feff}');
        let blank = line.len() - line.trim_end_matches([' ', '\t']).len();
        Self { rest: line, column: 0, spare: 0, blank, rules: [None; 3] }
    }

    fn is_blank(&self) -> bool {
        self.rest.len() <= self.blank
    }

    /// Moves over as many columns of white space as there are, at most `most`.
    fn pass(&mut self, most: usize) -> usize {
        let mut passed = 0;
        while passed < most {
            if self.spare == 0 {
                self.spare = match self.rest.as_bytes().first() {
                    Some(b' ') => 1,
                    Some(b'\t') => 4 - self.column % 4,
                    _ => break,
                };
                self.column += self.spare;
                self.rest = &self.rest[1..];
            }
            let step = self.spare.min(most - passed);
            self.spare -= step;
            passed += step;
        }
        passed
    }

    fn place(&self) -> (&'t str, usize, usize) {
        (self.rest, self.column, self.spare)
    }

    fn go_to(&mut self, place: (&'t str, usize, usize)) {
        (self.rest, self.column, self.spare) = place;
    }

    /// Moves over exactly so much white space, if it is there.
    fn skip(&mut self, columns: usize) -> bool {
        let place = self.place();
        let is_there = self.pass(columns) == columns;
        if !is_there {
            self.go_to(place);
        }
        is_there
    }

    /// What follows at most three columns of white space; `None` where there are more.
    fn indentation(&mut self) -> Option<&'t str> {
        let place = self.place();
        let is_code = self.pass(4) == 4;
        let rest = self.rest;
        self.go_to(place);
        (!is_code).then_some(rest)
    }

    /// Moves over `length` bytes that are no white space.
    fn advance(&mut self, length: usize) {
        self.rest = &self.rest[length..];
        self.column += length;
        self.spare = 0;
    }

    /// Moves over the sign of a quotation, if there is one.
    fn quote(&mut self) -> bool {
        let place = self.place();
        if self.pass(4) < 4 && self.rest.starts_with('>') {
            self.advance(1);
            self.pass(1);
            return true;
        }
        self.go_to(place);
        false
    }

    /// Moves over the sign of an item of a list, if there is one; gives by how many columns its lines are indented. Within a paragraph
    /// only some count.
    fn item(&mut self, is_in_paragraph: bool) -> Option<usize> {
        let place = self.place();
        let columns = self.item_here(is_in_paragraph);
        if columns.is_none() {
            self.go_to(place);
        }
        columns
    }

    fn item_here(&mut self, is_in_paragraph: bool) -> Option<usize> {
        let indentation = self.pass(3);
        let digits = self.rest.bytes().take(10).take_while(u8::is_ascii_digit).count();
        let signs: &[u8] = if digits == 0 { b"-*+" } else { b".)" };
        let sign = self.rest.as_bytes().get(digits)?;
        let is_first = digits == 0 || self.rest[..digits].trim_start_matches('0') == "1";
        if digits > 9 || !signs.contains(sign) || (is_in_paragraph && !is_first) {
            return None;
        }
        self.advance(digits + 1);
        let marker = indentation + digits + 1;
        if self.is_blank() {
            return (!is_in_paragraph).then_some(marker + 1);
        }
        let behind = self.place();
        match self.pass(5) {
            0 => None,
            5 => {
                // One blank belongs to the sign, and the others make code of what follows.
                self.go_to(behind);
                self.pass(1);
                Some(marker + 1)
            }
            blanks => Some(marker + blanks),
        }
    }

    /// Whether nothing but signs of a rule follow, three or more.
    fn is_rule(&mut self) -> bool {
        let rest = self.rest.trim_start_matches([' ', '\t']);
        let Some(&sign) = rest.as_bytes().first() else { return false };
        let Some(known) = b"-*_".iter().position(|of| *of == sign) else { return false };
        let of_rule = [sign as char, ' ', '\t'];
        let from = *self.rules[known]
            .get_or_insert_with(|| self.rest.len() - self.rest.trim_end_matches(of_rule).len());
        rest.len() <= from && rest.bytes().filter(|byte| *byte == sign).take(3).count() == 3
    }
}

impl Until {
    fn is_met_by(self, cursor: &Cursor<'_>) -> bool {
        match self {
            Self::EmptyLine => cursor.is_blank(),
            Self::Line(ends) => ends.iter().any(|end| contains(cursor.rest, end)),
        }
    }
}

/// Whether a word of ASCII in small letters stands in a text, whatever its case there.
fn contains(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

fn begins(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

fn is_heading(rest: &str) -> bool {
    let level = rest.bytes().take_while(|byte| *byte == b'#').count();
    (1..=6).contains(&level) && rest[level..].chars().next().is_none_or(char::is_whitespace)
}

/// Names of tags that begin a block wherever they stand.
const TAGS: &str = " address article aside base basefont blockquote body caption center col colgroup dd details dialog dir div dl dt \
    fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hr html iframe legend li link main menu \
    menuitem nav noframes ol optgroup option p param search section summary table tbody td tfoot th thead title tr track ul ";

/// The end of the block of HTML that a line begins (section 4.6).
fn html(rest: &str, is_in_paragraph: bool) -> Option<Until> {
    const RAW: [&str; 4] = ["pre", "script", "style", "textarea"];
    let inner = rest.strip_prefix('<')?;
    let is_end = |rest: &str| rest.chars().next().is_none_or(|c| c == '>' || c.is_whitespace());
    if RAW.iter().any(|name| begins(inner, name) && is_end(&inner[name.len()..])) {
        return Some(Until::Line(&["</pre>", "</script>", "</style>", "</textarea>"]));
    }
    let declared: [(&str, &'static [&'static str]); 3] =
        [("!--", &["-->"]), ("?", &["?>"]), ("![CDATA[", &["]]>"])];
    if let Some((_, ends)) = declared.into_iter().find(|(start, _)| inner.starts_with(start)) {
        return Some(Until::Line(ends));
    }
    if inner.strip_prefix('!').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic())) {
        return Some(Until::Line(&[">"]));
    }
    let name = inner.strip_prefix('/').unwrap_or(inner);
    let length = name.bytes().take(20).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let after = &name[length..];
    let is_known = || TAGS.contains(&format!(" {} ", name[..length].to_ascii_lowercase()));
    if length > 0 && (is_end(after) || after.starts_with("/>")) && is_known() {
        return Some(Until::EmptyLine);
    }
    // Any other tag that stands alone in its line.
    let is_tag = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.trim_end().strip_suffix('>').is_some_and(|tag| !tag.contains(['<', '>']));
    (is_tag && !is_in_paragraph).then_some(Until::EmptyLine)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines in which a fence begins (`o`), begins behind another (`O`), is closed (`c`), or is left (`l`).
    fn check(text: &str, expected: &str) {
        let mut blocks = Blocks::new();
        let steps = text.split_inclusive('\n').map(|line| match blocks.take(line) {
            Step::None => '.',
            Step::Opens { ends_another: false } => 'o',
            Step::Opens { ends_another: true } => 'O',
            Step::Closes => 'c',
            Step::Leaves => 'l',
        });
        assert_eq!(steps.collect::<String>(), expected, "{text}");
    }

    #[test]
    fn fences_are_those_of_commonmark() {
        check("```\nx\n    ```\n  ```\ny", "o..c.");
        check("   ~~~ a\n````\n~~~~", "o.c");
        check("    ```\n\n\t```\n  \t```", "....");
        check("a\n    ```\n```\nb", "..o.");
        check("```a`b\n~~~a`b", ".o");
        check("\u{feff}```\nx\n```", "o.c");
    }

    #[test]
    fn fences_end_with_what_they_stand_in() {
        check("- ```\n  x\n\n  y\nz", "o...l");
        check("- ```\n x\n- ```\n  ```", "oloc");
        check("- ```\n- ```\n\n  x", "oO..");
        check("> ```\n> x\ny\n> ```", "o.lo");
        check("> - a\n>   ```\n>\n>   x\n> y", ".o..l");
        check("1. a\n\n   ```\n   x\n  y", "..o.l");
        check("10) ```\n   x\n- a\n\n\t```\n\tx\n  ```", "ol..o.c");
        check("-     ```\n\n- a\n\n      ```", ".....");
        check("* * *\n- - -\n- * *\n  - ```\n    x", "...o.");
    }

    #[test]
    fn paragraphs_go_on_without_the_signs_around_them() {
        check("a\n2. ```\n- ```\n  ```", "..oc");
        check("- a\n2. ```\n", ".o");
        check("> a\nb\n    ```\n> ```", "...o");
        check("# a\n2. ```", ".o");
    }

    #[test]
    fn blocks_of_html_have_no_fences() {
        check("<!--\n```\n\n```\n-->\n```", ".....o");
        check("<!-- a -->\n```", ".o");
        check("<pre>\n\n```\n</PRE>\n```", "....o");
        check("<div>\n```\n\n```", "...o");
        check("<a b='c'>\n```\n\nx\n<a>\n```", ".....o");
        check("<a> b\n```", ".o");
        check("- <!--\n```", ".o");
    }
}
