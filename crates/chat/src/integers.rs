//! Integers of JSON that its reader would round: they are put between quotation marks before it reads them.

use std::borrow::Cow;

/// Whether neither a signed nor an unsigned integer of 64 bits holds `digits`.
pub(crate) fn is_long(digits: &str) -> bool {
    digits.parse::<i64>().is_err() && digits.parse::<u64>().is_err()
}

/// `json` with quotation marks around every integer that is `lost`, and which of its strings, keys included, these are.
pub(crate) fn quoted(json: &str, lost: impl Fn(&str) -> bool) -> (Cow<'_, str>, Vec<usize>) {
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    let (mut within, mut escaped) = (false, false);
    let (mut strings, mut integers) = (0, Vec::new());
    while let Some(byte) = json.as_bytes().get(at) {
        if !within && (byte.is_ascii_digit() || *byte == b'-') {
            let rest = &json[at..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)));
            let number = &rest[..end.unwrap_or(rest.len())];
            if is_integer(number) && lost(number) {
                out.extend([&json[copied..at], "\"", number, "\""]);
                copied = at + number.len();
                integers.push(strings);
                strings += 1;
            }
            at += number.len();
            continue;
        }
        if *byte == b'"' && !escaped {
            strings += usize::from(!within);
            within = !within;
        }
        escaped = within && *byte == b'\\' && !escaped;
        at += 1;
    }
    match integers.is_empty() {
        true => (Cow::Borrowed(json), integers),
        false => (Cow::Owned(out + &json[copied..]), integers),
    }
}

/// As JSON has them: no zero in front.
fn is_integer(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.is_empty()
        && (digits == "0" || !digits.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lost_integers_are_quoted() {
        let long = "12345678901234567890123";
        for (json, want, which) in [
            (format!("[1, {long}, -{long}]"), format!("[1, \"{long}\", \"-{long}\"]"), vec![0, 1]),
            (format!("{{\"{long}\": {long}}}"), format!("{{\"{long}\": \"{long}\"}}"), vec![1]),
            (format!("[\"\\\"{long}\", {long}]"), format!("[\"\\\"{long}\", \"{long}\"]"), vec![1]),
            (format!("[{long}.0, {long}e1, 0{long}, {}]", u64::MAX), String::new(), vec![]),
        ] {
            let (quoted, integers) = quoted(&json, is_long);
            assert_eq!(quoted, if which.is_empty() { &json } else { &want }.as_str());
            assert_eq!(integers, which, "{json}");
        }
    }
}
