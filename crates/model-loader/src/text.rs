//! Bytes of tokens to text that can be shown: whole characters, and nothing that may become a stop string.

use torchless_tokenizer::{StopStrings, Watched};

/// What comes out for a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown {
    /// Text, perhaps none yet.
    Text(String),
    /// The text before a stop string.
    Stopped(String),
}

/// A stream of text made of the bytes of tokens.
pub struct TextStream {
    /// Bytes that are no whole character yet.
    open: Vec<u8>,
    stops: StopStrings,
}

impl TextStream {
    /// A stream that ends before any of `stops`.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        Self { open: Vec::new(), stops: StopStrings::new(stops) }
    }

    /// Takes the bytes of the next token. Bytes that can become no character are U+FFFD.
    pub fn push(&mut self, bytes: &[u8]) -> Shown {
        self.open.extend_from_slice(bytes);
        let text = self.whole();
        match self.stops.push(&text) {
            Watched::Text(text) => Shown::Text(text),
            Watched::Stopped(text) => Shown::Stopped(text),
        }
    }

    /// The text that the open bytes hold, without the beginning of a character at their end.
    fn whole(&mut self) -> String {
        let mut text = String::with_capacity(self.open.len());
        let mut kept = 0;
        for chunk in self.open.utf8_chunks() {
            text.push_str(chunk.valid());
            let end = kept + chunk.valid().len() + chunk.invalid().len();
            let may_go_on = end == self.open.len()
                && std::str::from_utf8(chunk.invalid()).is_err_and(|e| e.error_len().is_none());
            if may_go_on {
                kept += chunk.valid().len();
                break;
            }
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
            kept = end;
        }
        self.open.drain(..kept);
        text
    }

    /// What was held back.
    pub fn finish(&mut self) -> String {
        let rest = if self.open.is_empty() { "" } else { "\u{FFFD}" };
        self.open.clear();
        let mut text = match self.stops.push(rest) {
            Watched::Text(text) | Watched::Stopped(text) => text,
        };
        text.push_str(&self.stops.finish());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pieces: &[&[u8]], stops: &[&str]) -> (Vec<String>, String) {
        let mut stream = TextStream::new(stops.iter().map(ToString::to_string));
        let shown = pieces.iter().map(|piece| match stream.push(piece) {
            Shown::Text(text) => text,
            Shown::Stopped(text) => format!("{text}|"),
        });
        (shown.collect(), stream.finish())
    }

    #[test]
    fn characters_come_whole() {
        let bytes = "aé€🦀".as_bytes();
        let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
        let (shown, rest) = run(&pieces, &[]);
        assert_eq!(shown, ["a", "", "é", "", "", "€", "", "", "", "🦀"]);
        assert_eq!(rest, "");
    }

    #[test]
    fn what_is_no_character_is_replaced() {
        assert_eq!(run(&[b"\xFFa", b"\xE2\x82", b"b"], &[]).0.concat(), "\u{FFFD}a\u{FFFD}b");
        assert_eq!(run(&[b"a\xE2\x82"], &[]), (vec!["a".to_owned()], "\u{FFFD}".to_owned()));
    }

    #[test]
    fn nothing_of_a_stop_string_is_shown() {
        assert_eq!(run(&[b"one ST", b"OP two"], &["STOP"]).0, ["one ", "|"]);
        assert_eq!(run(&[b"one ST", b"AY"], &["STOP"]).0.concat(), "one STAY");
        assert_eq!(run(&[b"one ST"], &["STOP"]), (vec!["one ".to_owned()], "ST".to_owned()));
    }
}
