//! The two ways in which vocabularies write bytes: GPT-2's printable alphabet and `<0xHH>` tokens.

use std::sync::OnceLock;

/// Character that stands for each byte in byte-level vocabularies: printable Latin-1 stands for itself, the
/// rest for U+0100 onwards in order. Radford et al. 2019, encoder of GPT-2.
fn chars() -> &'static [char; 256] {
    static CHARS: OnceLock<[char; 256]> = OnceLock::new();
    CHARS.get_or_init(|| {
        let mut chars = ['\0'; 256];
        let mut next = 0x100_u32;
        for byte in 0..=255_u8 {
            let printable = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
            let code = if printable { u32::from(byte) } else { next };
            next += u32::from(!printable);
            chars[byte as usize] = char::from_u32(code).unwrap_or('\0');
        }
        chars
    })
}

/// The byte that `c` stands for, if it belongs to the alphabet.
pub(crate) fn byte_of(c: char) -> Option<u8> {
    match u32::from(c) {
        code @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => Some(code as u8),
        code @ 0x100..=0x120 => Some((code - 0x100) as u8),
        code @ 0x121..=0x142 => Some((code - 0x121 + 0x7F) as u8),
        0x143 => Some(0xAD),
        _ => None,
    }
}

/// Writes `text` in the alphabet.
pub(crate) fn to_chars(text: &str) -> String {
    of_bytes(text.as_bytes())
}

/// Writes bytes in the alphabet.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| chars()[*byte as usize]).collect()
}

/// Reads a text of the alphabet back; `None` if a character does not belong to it.
pub(crate) fn to_bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(byte_of).collect()
}

/// The byte that a token named `<0xHH>` stands for; `None` for every other text.
pub(crate) fn byte_token(text: &[u8]) -> Option<u8> {
    let [b'<', b'0', b'x', high @ ..] = text else { return None };
    let [high, low, b'>'] = high else { return None };
    let digit = |c: &u8| char::from(*c).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_printable_character() {
        for byte in 0..=255_u8 {
            let c = chars()[byte as usize];
            assert_eq!(byte_of(c), Some(byte));
            assert!(!c.is_control() && !c.is_whitespace());
        }
        assert_eq!(to_chars(" \n"), "ĠĊ");
        assert_eq!(to_bytes("Ġé"), Some(vec![b' ', 0xE9]));
        assert_eq!(to_bytes("a b"), None);
    }

    #[test]
    fn only_two_digits_make_a_byte_token() {
        assert_eq!(byte_token(b"<0x0A>"), Some(10));
        assert_eq!(byte_token(b"<0xff>"), Some(255));
        for text in ["<0x-1>", "<0x1>", "<0x100>", "<0xG0>", "0x0A", "<0x+1>", "<0x 1>", ""] {
            assert_eq!(byte_token(text.as_bytes()), None, "{text}");
        }
    }
}
