//! Code in the HTML of a message: `<pre>`, and `<code>` that names its language.

use std::ops::Range;

use crate::language::Named;

/// A tag that code may follow.
struct Tag<'t> {
    is_code: bool,
    attributes: &'t str,
    end: usize,
}

/// Where code stands in HTML, and what its tags name it. A block that is never closed reaches to the end.
pub(crate) fn blocks(text: &str) -> Vec<(Range<usize>, Named)> {
    let mut found = Vec::new();
    let last_comment = text.rfind("-->").unwrap_or(0);
    let mut at = 0;
    while let Some(next) = text[at..].find('<') {
        at += next + 1;
        let Some(tag) = tag(text, at - 1) else { continue };
        let (mut from, mut named) = (tag.end, language(tag.attributes));
        if tag.is_code && named == Named::Nothing {
            continue;
        }
        let inner = text.len() - text[from..].trim_start().len();
        if let Some(inner) = self::tag(text, inner).filter(|inner| inner.is_code && !tag.is_code) {
            from = inner.end;
            named =
                Some(language(inner.attributes)).filter(|inner| *inner != Named::Nothing).unwrap_or(named);
        }
        let end = end(text, from, last_comment);
        found.push((from..end, named));
        at = end;
    }
    found
}

/// The tag `<pre ...>` or `<code ...>` at a place.
fn tag(text: &str, at: usize) -> Option<Tag<'_>> {
    /// Longest attributes that are read.
    const LONGEST: usize = 400;
    let rest = text[at..].strip_prefix('<')?;
    let begins = |name: &str| rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let name = ["pre", "code"].into_iter().find(|name| begins(name))?;
    let attributes = &rest[name.len()..];
    if !attributes.starts_with(|c: char| c == '>' || c.is_whitespace()) {
        return None;
    }
    let length = attributes[..attributes.floor_char_boundary(LONGEST)].find('>')?;
    let end = text.len() - attributes.len() + length + 1;
    Some(Tag { is_code: name == "code", attributes: &attributes[..length], end })
}

/// What a class (`language-python`, `lang-js`, `python`) or the attribute `lang` names.
fn language(attributes: &str) -> Named {
    let is_between = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '=' | ';' | ':' | ',');
    let name = |word: &str| match word.strip_prefix("language-").or_else(|| word.strip_prefix("lang-")) {
        Some(name) => Named::by(name),
        None => Named::by(word).language().map_or(Named::Nothing, Named::Known),
    };
    let mut names = attributes.split(is_between).filter(|word| !word.is_empty()).map(name);
    names.find(|named| *named != Named::Nothing).unwrap_or(Named::Nothing)
}

/// Where the code that begins at `from` ends: before the first `</pre` or `</code` outside of comments, or where it is not closed before
/// the next block. The last comment ends at `last_comment`: one that does not end is none.
fn end(text: &str, from: usize, last_comment: usize) -> usize {
    let begins = |at: usize, name: &str| {
        let word = text.as_bytes().get(at..at + name.len());
        word.is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
    };
    let mut at = from;
    while let Some(next) = text[at..].find('<') {
        let place = at + next;
        let is_closed = begins(place, "</pre") || begins(place, "</code");
        if is_closed || begins(place, "<pre") && is_block(text, from, place) {
            return place;
        }
        at = place + 1;
        if begins(place, "<!--") && place < last_comment {
            at = text[place + 2..].find("-->").map_or(at, |end| place + 2 + end);
        }
    }
    text.len()
}

/// Whether a tag `<pre>` is one of the message, and not in a string of code that begins at `from`: it begins a line, or has its `<code>`.
fn is_block(text: &str, from: usize, at: usize) -> bool {
    let begins_line = text[from..at].trim_end_matches([' ', '\t', '>']).ends_with('\n');
    tag(text, at).is_some_and(|pre| {
        let inner = text.len() - text[pre.end..].trim_start().len();
        begins_line || tag(text, inner).is_some_and(|inner| inner.is_code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    fn check(text: &str, expected: &[(&str, Option<Language>)]) {
        let found = blocks(text);
        let found: Vec<_> =
            found.iter().map(|(range, named)| (&text[range.clone()], named.language())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn blocks_of_code_are_found_by_their_tags() {
        let python = Some(Language::Python);
        check("<pre><code class=\"language-python\">x\ny</code></pre>z", &[("x\ny", python)]);
        check("a <PRE lang='py'>x</PRE> b <pre>y</pre>", &[("x", python), ("y", None)]);
        check("<pre class=\"brush: python\">\n <code>x", &[("x", python)]);
        check("<code class=\"hljs lang-py\">x</code>", &[("x", python)]);
        check("<code>x</code> <prefix>x <pre", &[]);
        check("<pre><code class=\"language-klingon\">x</code>", &[("x", None)]);
        check("<pre></pre>", &[("", None)]);
        check("<pre>a <!-- </pre> --> b</pre>", &[("a <!-- </pre> --> b", None)]);
        check("<pre>a <!-- </pre> b", &[("a <!-- ", None)]);
        let sql = "<pre><code class=\"language-sql\">SELECT 1\n\n";
        check(
            &format!("{sql}<pre><code class=\"language-python\">x"),
            &[("SELECT 1\n\n", None), ("x", python)],
        );
        check("<pre lang=py>s = '<pre>' + x</pre>", &[("s = '<pre>' + x", python)]);
    }
}
