//! Code among prose that no fence tells from it: what stands between empty lines. Read together with the prose around it, code is
//! often lost, since words join with what stands beside them.

use std::ops::Range;

use crate::language::Language;
use crate::texts;

/// How often parts are divided again, each time by its own indentation.
const DEEPEST: usize = 4;

/// What is asked of parts.
pub(crate) struct Asked<'a> {
    pub language: Language,
    /// Whether there is anything to look for in a part.
    pub is_wanted: &'a dyn Fn(&str) -> bool,
    /// Whether a part can be read from end to end.
    pub is_code: &'a dyn Fn(&str) -> bool,
}

/// Code in a text of which not all is code: as much of it as stands together, where there is anything to look for.
pub(crate) fn code(text: &str, asked: &Asked<'_>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    divide(text, 0..text.len(), (asked, DEEPEST), &mut found);
    found
}

fn divide(
    text: &str,
    whole: Range<usize>,
    (asked, depth): (&Asked<'_>, usize),
    found: &mut Vec<Range<usize>>,
) {
    let parts = parts(text, whole, asked.language);
    if parts.len() < 2 {
        return;
    }
    let is_code = |part: &Range<usize>| (asked.is_code)(&text[part.clone()]);
    // Up to where parts are known to be none or are found already.
    let mut known = 0;
    for at in 0..parts.len() {
        let part = &parts[at];
        if at < known || !(asked.is_wanted)(&text[part.clone()]) {
            continue;
        }
        if is_code(part) {
            let before = parts[known..at].iter().rev().take_while(|part| is_code(part)).count();
            let behind = parts[at + 1..].iter().take_while(|part| is_code(part)).count();
            found.push(parts[at - before].start..parts[at + behind].end);
            known = at + behind + 1;
            continue;
        }
        if depth > 0 {
            divide(text, part.clone(), (asked, depth - 1), found);
        }
        known = at + 1;
    }
}

/// What stands between empty lines, each with what is indented more behind it; where there is but one of these, its first lines and the
/// rest.
fn parts(text: &str, whole: Range<usize>, language: Language) -> Vec<Range<usize>> {
    let runs = runs(&text[whole.clone()], language);
    let least = runs.iter().map(|(_, columns)| *columns).min().unwrap_or(0);
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (run, columns) in &runs {
        let run = whole.start + run.start..whole.start + run.end;
        match parts.last_mut() {
            Some(last) if *columns > least || text[run.clone()].starts_with(['}', ')', ']']) => {
                last.end = run.end;
            }
            _ => parts.push(run),
        }
    }
    match (parts.as_slice(), runs.as_slice()) {
        ([only], [(first, _), (second, _), ..]) => {
            vec![only.start..whole.start + first.end, whole.start + second.start..only.end]
        }
        _ => parts,
    }
}

/// Lines between empty lines, and the columns of blanks that the first begins with. Empty lines in strings and comments divide nothing,
/// but where one never ends.
fn runs(text: &str, language: Language) -> Vec<(Range<usize>, usize)> {
    let mut lines = texts::Lines::of(language);
    let runs = runs_between(text, |line| lines.is_within(line));
    if lines.is_open() { runs_between(text, |_| false) } else { runs }
}

fn runs_between<'t>(text: &'t str, mut is_within: impl FnMut(&'t str) -> bool) -> Vec<(Range<usize>, usize)> {
    let mut runs: Vec<(Range<usize>, usize)> = Vec::new();
    let (mut at, mut is_open) = (0, false);
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        let is_empty = line.trim().is_empty();
        let is_inner = is_within(line);
        match runs.last_mut() {
            Some((run, _)) if is_open && (!is_empty || is_inner) => run.end = end,
            _ if is_empty => {}
            _ => runs.push((at..end, columns(line))),
        }
        is_open = !is_empty || (is_open && is_inner);
        at = end;
    }
    runs
}

/// How many columns of blanks a line begins with.
fn columns(line: &str) -> usize {
    line.bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).fold(0, |columns, byte| match byte {
        b'\t' => columns + 4 - columns % 4,
        _ => columns + 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found if code is what has no `!`, and what is looked for is an `x`.
    fn check(text: &str, expected: &[&str]) {
        let asked = Asked {
            language: Language::Python,
            is_wanted: &|part| part.contains('x'),
            is_code: &|part| !part.contains('!'),
        };
        let found: Vec<&str> = code(text, &asked).into_iter().map(|part| &text[part]).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn code_is_found_between_prose() {
        check("A!\n\nx\n\nB!\n", &["x\n"]);
        check("A!\n\na\n\nx\ny\n\nb\n\nB!\n\nc\n", &["a\n\nx\ny\n\nb\n"]);
        check("A!\n\n    x\n\n      y\n\nB!\n\n\tx\n", &["    x\n\n      y\n", "\tx\n"]);
        check("A!\n\n  x\n\n  B!\n\n    x\n  y\n", &["  x\n", "    x\n  y\n"]);
        check("A!\n\n{\n\n  x\n\n}\n\nB!", &["{\n\n  x\n\n}\n"]);
        check("A!\n\n'''\n\nx!\n\n'''\n", &[]);
        check("A!\n\n'''\n\nx\n", &["'''\n\nx\n"]);
        check("x!\ny", &[]);
        check("", &[]);
    }
}
