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
        let end = end(text, from);
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

/// Where the code that begins at `from` ends: before the first `</pre` or `</code`.
fn end(text: &str, from: usize) -> usize {
    let closes = |at: &usize| {
        let rest = &text.as_bytes()[at + 2..];
        let begins = |name: &str| {
            rest.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
        };
        begins("pre") || begins("code")
    };
    let mut ends = text[from..].match_indices("</").map(|(at, _)| from + at);
    ends.find(closes).unwrap_or(text.len())
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
    }
}
