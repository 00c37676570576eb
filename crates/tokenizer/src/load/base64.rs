//! Bytes written in base64 (RFC 4648, the standard alphabet), as tokenizer files hold them.

/// The bytes of `text`, whose padding may be left out; `None` if it is no base64.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let body = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if body.len() % 4 == 1 || (body.len() != text.len() && !text.len().is_multiple_of(4)) {
        return None;
    }
    let mut out = Vec::with_capacity(body.len() / 4 * 3 + 2);
    for chunk in body.chunks(4) {
        let mut bits = 0_u32;
        for &sign in chunk {
            bits = bits << 6 | digit(sign)?;
        }
        bits <<= 6 * (4 - chunk.len());
        out.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    Some(out)
}

/// The text of `bytes`, with padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn digit(sign: u8) -> Option<u32> {
    Some(u32::from(match sign {
        b'A'..=b'Z' => sign - b'A',
        b'a'..=b'z' => sign - b'a' + 26,
        b'0'..=b'9' => sign - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn the_examples_of_the_standard_are_read() {
        let text = |encoded: &str| decode(encoded.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
        for (encoded, plain) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm8", "fo")]
        {
            assert_eq!(text(encoded).as_deref(), Some(plain));
            assert_eq!(decode(encode(plain.as_bytes()).as_bytes()), Some(plain.as_bytes().to_vec()));
        }
        assert_eq!((encode(b"fo"), encode(&[0xFB, 0xFF])), ("Zm8=".to_owned(), "+/8=".to_owned()));
        assert_eq!(decode(b"+/8="), Some(vec![0xFB, 0xFF]));
        for bad in ["Z", "Zg=", "Zm9v=", "Zm9 ", "Zg==Zg==", "====", "Zm9-"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }
}
