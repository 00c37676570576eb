//! The decoders of tokenizer.json: what they make of each token, and what of a whole text.

use super::{End, Start};
use crate::alphabet::{self, byte_token};
use crate::normalize::{Needle, Rewrite};

/// One step of decoding.
#[derive(Debug, Clone)]
pub(crate) enum DecodeStep {
    Replace(Box<Rewrite>),
    ByteFallback,
    ByteLevel,
    /// From here on the text is one.
    Fuse,
    Strip {
        content: char,
        start: usize,
        stop: usize,
    },
    Metaspace {
        sign: char,
        strips_first: bool,
    },
    /// A space before each token but the first.
    Words,
    /// A space before each token that does not continue a word.
    WordPiece {
        prefix: String,
        cleanup: bool,
    },
    /// The end of a word becomes a space, but for the last.
    WordEnd {
        suffix: String,
    },
    /// Speech: a token that is repeated counts once, and one stands for silence.
    Ctc {
        pad: String,
        delimiter: String,
        cleanup: bool,
    },
}

impl DecodeStep {
    /// Its `type` in tokenizer.json.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Replace(_) => "Replace",
            Self::ByteFallback => "ByteFallback",
            Self::ByteLevel => "ByteLevel",
            Self::Fuse => "Fuse",
            Self::Strip { .. } => "Strip",
            Self::Metaspace { .. } => "Metaspace",
            Self::Words => "none",
            Self::WordPiece { .. } => "WordPiece",
            Self::WordEnd { .. } => "BPEDecoder",
            Self::Ctc { .. } => "CTC",
        }
    }

    /// Whether what tokens of bytes have become stays as it is, unless several in a row spell what is replaced.
    fn leaves_bytes(&self) -> bool {
        match self {
            Self::ByteFallback | Self::Fuse => true,
            Self::Metaspace { sign, .. } => !sign.is_ascii(),
            Self::Replace(rewrite) => {
                matches!(&**rewrite, Rewrite::Replace(Needle::Literal(from), _) if !from.is_ascii())
            }
            _ => false,
        }
    }
}

/// Steps in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct DecodeSteps(pub(crate) Vec<DecodeStep>);

impl DecodeSteps {
    /// `sign` becomes a space.
    pub(crate) fn signs(sign: char) -> Self {
        let sign = Needle::Literal(sign.to_string());
        Self(vec![DecodeStep::Replace(Box::new(Rewrite::Replace(sign, " ".to_owned())))])
    }

    /// The steps that see single tokens, and those that see the whole text, as all do behind `ByteLevel`.
    fn halves(&self) -> (&[DecodeStep], &[DecodeStep]) {
        let end = self.0.iter().enumerate().find_map(|(at, step)| match step {
            DecodeStep::Fuse => Some(at),
            DecodeStep::ByteLevel => Some(at + 1),
            _ => None,
        });
        self.0.split_at(end.unwrap_or(self.0.len()))
    }

    /// What a token contributes to a text, at its start or later.
    pub(crate) fn token_bytes(&self, text: &[u8], is_first: bool) -> Vec<u8> {
        let mut text = String::from_utf8_lossy(text).into_owned();
        for step in self.halves().0 {
            match step {
                DecodeStep::ByteFallback => {
                    if let Some(byte) = byte_token(text.as_bytes()) {
                        return vec![byte];
                    }
                }
                DecodeStep::ByteLevel => {
                    return alphabet::to_bytes(&text).unwrap_or_else(|| text.into_bytes());
                }
                DecodeStep::Replace(replace) => text = replace.apply(&text).unwrap_or(text),
                DecodeStep::Strip { content, start, stop } => {
                    text = stripped(&text, *content, *start, *stop);
                }
                DecodeStep::Metaspace { sign, strips_first } => {
                    text = text.replace(*sign, if is_first && *strips_first { "" } else { " " });
                }
                DecodeStep::Words if is_first => {}
                DecodeStep::Words => text.insert(0, ' '),
                DecodeStep::WordPiece { prefix, cleanup } => {
                    if !is_first {
                        text = match text.strip_prefix(prefix.as_str()) {
                            Some(rest) => rest.to_owned(),
                            None => format!(" {text}"),
                        };
                    }
                    text = if *cleanup { cleaned(&text) } else { text };
                }
                DecodeStep::WordEnd { suffix } => text = text.replace(suffix.as_str(), " "),
                DecodeStep::Ctc { pad, delimiter, cleanup } => {
                    text = text.replace(pad.as_str(), "");
                    if *cleanup {
                        text = cleaned(&text).replace(delimiter.as_str(), " ");
                    }
                }
                DecodeStep::Fuse => {}
            }
        }
        text.into_bytes()
    }

    /// Whether the first token of a text is written unlike others.
    fn first_differs(&self) -> bool {
        self.halves().0.iter().any(|step| {
            matches!(
                step,
                DecodeStep::Metaspace { strips_first: true, .. }
                    | DecodeStep::Words
                    | DecodeStep::WordPiece { .. }
            )
        })
    }

    /// Whether a token right after itself is left out.
    pub(crate) fn drops_repeats(&self) -> bool {
        self.0.iter().any(|step| matches!(step, DecodeStep::Ctc { .. }))
    }

    /// What the steps do to the ends of a whole text; the step that cannot be done as an error.
    pub(crate) fn ends(&self) -> Result<(Start, End), &DecodeStep> {
        let (single, whole) = self.halves();
        let mut behind = single.iter().skip_while(|step| !matches!(step, DecodeStep::ByteFallback)).skip(1);
        if let Some(step) = behind.find(|step| !step.leaves_bytes()) {
            return Err(step);
        }
        let first_differs = self.first_differs();
        let mut start = if first_differs { Start::Steps(self.clone()) } else { Start::KEEP };
        let mut end = End::default();
        if single.iter().any(|step| matches!(step, DecodeStep::WordEnd { .. })) {
            end = End { byte: b' ', count: 1 };
        }
        for step in whole {
            match step {
                DecodeStep::Fuse => {}
                DecodeStep::Strip { content, start: head, stop } if content.is_ascii() => {
                    let byte = *content as u8;
                    if *head > 0 {
                        start = match start {
                            Start::Strip { count: 0, .. } => Start::Strip { byte, count: *head },
                            _ => return Err(step),
                        };
                    }
                    if *stop > 0 {
                        end = if end.count == 0 { End { byte, count: *stop } } else { return Err(step) };
                    }
                }
                other => return Err(other),
            }
        }
        Ok((start, end))
    }
}

fn stripped(text: &str, content: char, start: usize, stop: usize) -> String {
    let mut text = text;
    for _ in 0..start.min(text.len()) {
        text = text.strip_prefix(content).unwrap_or(text);
    }
    for _ in 0..stop.min(text.len()) {
        text = text.strip_suffix(content).unwrap_or(text);
    }
    text.to_owned()
}

/// Takes away the space before signs and short forms of English.
fn cleaned(text: &str) -> String {
    const PAIRS: [(&str, &str); 11] = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" do not", " don't"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    PAIRS.iter().fold(text.to_owned(), |text, (from, to)| match text.contains(from) {
        true => text.replace(from, to),
        false => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(steps: &DecodeSteps, token: &str, is_first: bool) -> String {
        String::from_utf8(steps.token_bytes(token.as_bytes(), is_first)).unwrap()
    }

    #[test]
    fn word_pieces_join() {
        let steps = DecodeSteps(vec![DecodeStep::WordPiece { prefix: "##".to_owned(), cleanup: true }]);
        assert_eq!(text(&steps, "un", true), "un");
        assert_eq!(text(&steps, "un", false), " un");
        assert_eq!(text(&steps, "##able", false), "able");
        assert_eq!(text(&steps, "##able", true), "##able");
        assert_eq!(text(&steps, ".", false), ".");
        assert!(matches!(steps.ends(), Ok((Start::Steps(_), End { count: 0, .. }))));
    }

    #[test]
    fn the_ends_of_a_text_are_stripped_after_it_is_one() {
        let strip = |content, start, stop| DecodeStep::Strip { content, start, stop };
        let steps = |last| DecodeSteps(vec![DecodeStep::Fuse, last]);
        let ends = steps(strip(' ', 2, 1));
        let (start, end) = ends.ends().unwrap();
        assert!(matches!(start, Start::Strip { byte: b' ', count: 2 }));
        assert_eq!(end, End { byte: b' ', count: 1 });
        assert!(steps(strip('é', 1, 0)).ends().is_err());
        assert!(steps(DecodeStep::ByteLevel).ends().is_err());
    }

    #[test]
    fn what_cannot_be_done_to_joined_tokens_or_bytes_is_refused() {
        let strip = || DecodeStep::Strip { content: ' ', start: 1, stop: 0 };
        let bytes = |last| DecodeSteps(vec![DecodeStep::ByteLevel, last]);
        assert!(matches!(bytes(strip()).ends(), Ok((Start::Strip { byte: b' ', count: 1 }, _))));
        assert_eq!(
            bytes(DecodeStep::WordEnd { suffix: "a".to_owned() }).ends().unwrap_err().name(),
            "BPEDecoder"
        );
        let fallback = |last| DecodeSteps(vec![DecodeStep::ByteFallback, last, DecodeStep::Fuse]);
        assert_eq!(fallback(strip()).ends().unwrap_err().name(), "Strip");
        assert!(fallback(DecodeStep::Metaspace { sign: '▁', strips_first: true }).ends().is_ok());
    }
}
