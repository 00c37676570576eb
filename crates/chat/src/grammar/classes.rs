//! Classes of characters in patterns for JSON strings. A class with all control characters, or all but `\n`, is written by
//! llguidance as one that may escape anything, `"` and `\` among it, whether it has these or not. Without one of the control
//! characters it means what it says, so that such a class loses U+0000, which no text needs.

use llguidance::derivre::RegexBuilder;
use llguidance::regex_to_lark;
use std::collections::{HashMap, HashSet};

/// The same pattern with classes that mean what they say.
pub(super) fn mended(pattern: &str) -> Result<String, String> {
    let mut builder = RegexBuilder::new();
    if !lets_slip(&mut builder, pattern) {
        return Ok(pattern.to_owned());
    }
    let mended = without_nul(&mut builder, pattern);
    mended.filter(|mended| !lets_slip(&mut builder, mended)).ok_or_else(|| refusal(pattern))
}

/// Refuses a pattern that would have to be mended.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    if lets_slip(&mut RegexBuilder::new(), pattern) { Err(refusal(pattern)) } else { Ok(()) }
}

fn refusal(pattern: &str) -> String {
    let shown: String = pattern.chars().take(60).collect();
    format!(
        "the pattern {shown:?} has all control characters in a place that excludes `\"` or `\\`, which cannot be enforced: exclude \\x00 there too"
    )
}

/// Whether there is such a class in it; what is no pattern is told by llguidance.
fn lets_slip(builder: &mut RegexBuilder, pattern: &str) -> bool {
    let Ok(root) = builder.mk_regex_for_serach(&regex_to_lark(pattern, "dw")) else { return false };
    let (mut seen, mut todo) = (HashSet::from([root]), vec![root]);
    while let Some(next) = todo.pop() {
        let expression = builder.exprset().get(next);
        let has = |byte: u8| !expression.surely_no_match(byte);
        if (0..b' ').filter(|byte| *byte != b'\n').all(has) && !(has(b'"') && has(b'\\')) {
            return true;
        }
        todo.extend(builder.exprset().get_args(next).iter().filter(|arg| seen.insert(**arg)));
    }
    false
}

/// The pattern with U+0000 taken out of every class that needs it; `None` where a class does not end.
fn without_nul(builder: &mut RegexBuilder, pattern: &str) -> Option<String> {
    let (mut text, mut rest) = (String::with_capacity(pattern.len()), pattern);
    let mut known = HashMap::new();
    while let Some(c) = rest.chars().next() {
        let class = match c {
            '[' => class_end(rest)?,
            '\\' => escape_end(rest),
            _ => c.len_utf8(),
        };
        let (class, after) = rest.split_at(class);
        let is_class = c == '[' || class.starts_with("\\p") || class.starts_with("\\P");
        let slips = || lets_slip(builder, &format!("^{class}$"));
        match is_class && *known.entry(class).or_insert_with(slips) {
            true => text.extend(["[", class, "&&[^\\x00]]"]),
            false => text.push_str(class),
        }
        rest = after;
    }
    Some(text)
}

/// Bytes of the escape that the text begins with, the name of a property included.
fn escape_end(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, 'p' | 'P')), Some((_, '{'))) => text.find('}').map_or(text.len(), |end| end + 1),
        (Some((_, 'p' | 'P')), Some((at, c))) => at + c.len_utf8(),
        (Some((at, c)), _) => at + c.len_utf8(),
        (None, _) => text.len(),
    }
}

/// Bytes of the class that the text begins with. In one, brackets nest, and one that closes it stands for itself at its beginning.
fn class_end(text: &str) -> Option<usize> {
    let (mut depth, mut at_start, mut escaped) = (0usize, false, false);
    for (at, c) in text.char_indices() {
        let first = std::mem::replace(&mut at_start, false);
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => (depth, at_start) = (depth + 1, true),
            '^' if first && text[..at].ends_with('[') => at_start = true,
            ']' if !first => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_lose_what_makes_them_wrong() {
        for (pattern, want) in [
            (r"^[^,]*$", r"^[^,]*$"),
            (r"^[^\x00]*.\P{L}$", r"^[^\x00]*.\P{L}$"),
            (r#"^[^"]$"#, r#"^[[^"]&&[^\x00]]$"#),
            (r#"\[[^"\\\]]+[a-z]["]"#, r#"\[[[^"\\\]]&&[^\x00]]+[a-z]["]"#),
            (r#"[^]"]|[^\w"]"#, r#"[[^]"]&&[^\x00]]|[[^\w"]&&[^\x00]]"#),
            (r#"[^-"][^[^\\"][:alpha:]]"#, r#"[[^-"]&&[^\x00]][^[^\\"][:alpha:]]"#),
            (r"\p{Cc}\p{L}\pC", r"[\p{Cc}&&[^\x00]]\p{L}[\pC&&[^\x00]]"),
            (r"[\x00-\x1f/]é", r"[[\x00-\x1f/]&&[^\x00]]é"),
            (r"[\x00-\x09\x0b-\x1f]", r"[[\x00-\x09\x0b-\x1f]&&[^\x00]]"),
            (r#"[^""#, r#"[^""#),
        ] {
            assert_eq!(mended(pattern).as_deref(), Ok(want), "{pattern}");
            assert_eq!(check(pattern).is_ok(), pattern == want, "{pattern}");
        }
        for pattern in [r#"[^"\x00]|\x00"#, r#"(?:[^"\x00]|ab|\x00)"#] {
            assert!(mended(pattern).unwrap_err().contains("exclude \\x00"), "{pattern}");
        }
    }
}
