//! Text in characters that nobody sees: tags, variation selectors as bytes, two invisible characters as bits.

use super::{Blob, as_text};

/// Fewer characters say nothing.
const FEWEST: usize = 3;

/// Whether such a character may stand in a text, by the bytes that it is written in.
pub(super) fn may_hide(text: &[u8]) -> bool {
    let begins = |bytes: &[u8]| match bytes {
        [0xef, 0xb8, _] => true,
        [0xe2, 0x80, last] => (0x8b..=0x8d).contains(last),
        [0xe2, 0x81, last] => (0xa2..=0xa4).contains(last),
        [first, ..] => *first == 0xf3,
        [] => false,
    };
    text.windows(3).any(begins)
}

/// Finds runs of such characters.
pub(super) fn find(text: &str, blobs: &mut Vec<Blob>) {
    find_bytes(text, "tag characters", tag, blobs);
    find_bytes(text, "variation selectors", selector, blobs);
    find_bits(text, blobs);
}

fn tag(c: char) -> Option<u8> {
    ('\u{e0020}'..='\u{e007e}').contains(&c).then(|| (c as u32 - 0xe0000) as u8)
}

fn selector(c: char) -> Option<u8> {
    match c {
        '\u{fe00}'..='\u{fe0f}' => Some((c as u32 - 0xfe00) as u8),
        '\u{e0100}'..='\u{e01ef}' => Some((c as u32 - 0xe0100 + 16) as u8),
        _ => None,
    }
}

fn find_bytes(text: &str, encoding: &'static str, byte: fn(char) -> Option<u8>, blobs: &mut Vec<Blob>) {
    let mut bytes = Vec::new();
    let mut start = 0;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match byte(c) {
            Some(value) => {
                if bytes.is_empty() {
                    start = at;
                }
                bytes.push(value);
            }
            None if bytes.is_empty() => {}
            None => {
                let read = (bytes.len() >= FEWEST).then(|| String::from_utf8_lossy(&bytes).into_owned());
                if let Some(read) = read.filter(|read| read.chars().any(char::is_alphanumeric)) {
                    blobs.push(Blob { range: start..at, encoding, text: Some(read) });
                }
                bytes.clear();
            }
        }
    }
}

/// Two kinds of invisible characters as the bits of bytes, whichever of them is the one.
fn find_bits(text: &str, blobs: &mut Vec<Blob>) {
    const PAIRS: [[char; 2]; 4] = [
        ['\u{200b}', '\u{200c}'],
        ['\u{200c}', '\u{200d}'],
        ['\u{200b}', '\u{200d}'],
        ['\u{2062}', '\u{2064}'],
    ];
    for pair in PAIRS {
        let (mut bits, mut start) = (Vec::new(), 0);
        for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
            if let Some(bit) = pair.iter().position(|one| *one == c) {
                if bits.is_empty() {
                    start = at;
                }
                bits.push(bit as u8);
            } else if !bits.is_empty() {
                let read = |flip: u8| {
                    let byte = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | (bit ^ flip));
                    as_text(&bits.chunks_exact(8).map(byte).collect::<Vec<u8>>())
                };
                if let Some(read) = read(0).or_else(|| read(1)).filter(|read| read.len() > FEWEST) {
                    blobs.push(Blob { range: start..at, encoding: "invisible bits", text: Some(read) });
                }
                bits.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hiding_place_is_read() {
        let tags: String = "ignore".chars().filter_map(|c| char::from_u32(0xe0000 + c as u32)).collect();
        let selectors: String =
            "ignore".bytes().filter_map(|b| char::from_u32(0xe0100 + u32::from(b) - 16)).collect();
        let bits = |zero: char, one: char| -> String {
            "ignore"
                .bytes()
                .flat_map(|b| (0..8).rev().map(move |i| if b >> i & 1 == 1 { one } else { zero }))
                .collect()
        };
        for hidden in [
            tags,
            selectors,
            bits('\u{2062}', '\u{2064}'),
            bits('\u{200b}', '\u{200c}'),
            bits('\u{200d}', '\u{200c}'),
        ] {
            let mut blobs = Vec::new();
            let text = format!("hello{hidden} world");
            assert!(may_hide(text.as_bytes()), "{text:?}");
            find(&text, &mut blobs);
            assert!(blobs.iter().any(|blob| blob.text.as_deref() == Some("ignore")), "{blobs:?}");
        }
    }
}
