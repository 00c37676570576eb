//! The file of the detector: a line of JSON that says what it is, with the heads that join both views, and weights in int8.

use super::features::{BUCKET_BITS, LEAST_READ, SHARED_PIECES, STRIDE_WORDS, WINDOW_WORDS};
use serde::Deserialize;

const MAGIC: &[u8] = b"TLGUARD3";
/// Weights: of words, then of characters.
const WEIGHTS: usize = 2 << BUCKET_BITS;
/// The file that is part of the program.
const INSIDE: &[u8] = include_bytes!("../../../../assets/guard/detector.bin");

/// Why the weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DetectorError {
    /// The file is none, or not whole.
    #[error("the detector's weights are damaged: {0}")]
    Damaged(String),
    /// It was made for other features than this program computes.
    #[error("the detector's weights are for {found}, this program computes {wanted}")]
    OtherFeatures {
        /// What the file says.
        found: String,
        /// What would have worked.
        wanted: String,
    },
    /// The encoder beside the weights cannot be loaded, or failed.
    #[error("the detector's encoder cannot be used: {0}")]
    Encoder(String),
}

#[derive(Deserialize)]
struct Header {
    bucket_bits: u32,
    window_words: usize,
    stride_words: usize,
    shared_pieces: usize,
    scale: f64,
    bias: f64,
    heads: Vec<Head>,
}

/// What decides on one kind of text.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    pub(super) name: String,
    /// Word pieces that are read at once.
    pub(super) pieces: usize,
    weights: Vec<f32>,
    bias: f64,
    counted: f64,
    read: f64,
    offset: f64,
    /// From the logit that a text has as a typed one to the one that it has here at least.
    pub(super) typed: Option<Line>,
}

/// A straight line.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Line {
    slope: f64,
    offset: f64,
}

impl Line {
    /// Its height at `x`.
    pub(super) fn at(self, x: f64) -> f64 {
        self.slope * x + self.offset
    }
}

impl Head {
    /// A number for what the encoder made of the tokens of a window, each as many values as [`Head::width`]: the mean of their logits, weighted by their
    /// softmax, so that the worst tokens decide.
    pub(super) fn reading<'a>(&self, tokens: impl Iterator<Item = &'a [f32]>) -> f64 {
        let product = |(w, x): (&f32, &f32)| f64::from(*w) * f64::from(*x);
        let logit = |values: &[f32]| self.bias + self.weights.iter().zip(values).map(product).sum::<f64>();
        let logits: Vec<f64> = tokens.map(logit).collect();
        let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weigh = |(sum, total), logit: &f64| {
            let weight = (logit - most).exp();
            (sum + weight * logit, total + weight)
        };
        let (sum, total) = logits.iter().fold((0.0, 0.0), weigh);
        sum / total
    }

    /// Values of a token that [`Head::reading`] asks for.
    pub(super) fn width(&self) -> usize {
        self.weights.len()
    }

    /// The logit of a text from the highest sum of its n-grams and the highest number of what was read, and whether the latter counted
    /// for more.
    pub(super) fn logit(&self, counted: f64, read: f64) -> (f64, bool) {
        let (counted, read) = (self.counted * counted, self.read * read);
        (counted + read + self.offset, read > counted || self.counted <= 0.0)
    }

    /// Whether what it is given raises it, with numbers that can be computed with.
    fn is_sound(&self) -> bool {
        let line = self.typed.unwrap_or(Line { slope: 1.0, offset: 0.0 });
        let numbers = [self.bias, self.offset, line.offset].iter().all(|x| x.is_finite());
        let rises = [self.read, line.slope].iter().all(|x| x.is_finite() && *x > 0.0);
        let counts = self.counted.is_finite() && self.counted >= 0.0;
        let reads = self.pieces >= LEAST_READ;
        numbers && rises && counts && reads && self.weights.iter().all(|w| w.is_finite())
    }
}

/// A logistic regression with weights of `scale * q * |q|`.
#[derive(Debug)]
pub(super) struct Counter {
    codes: Vec<i8>,
    scale: f64,
    bias: f64,
}

impl Counter {
    /// What the features of a window come to.
    pub(super) fn sum(&self, words: &[u32], characters: &[u32]) -> f64 {
        let (of_words, of_characters) = self.codes.split_at(1 << BUCKET_BITS);
        let mut sum = self.bias;
        for (codes, features) in [(of_words, words), (of_characters, characters)] {
            if !features.is_empty() {
                let total: i64 = features.iter().map(|&at| squared(codes[at as usize])).sum();
                sum += self.scale * total as f64 / (features.len() as f64).sqrt();
            }
        }
        sum
    }
}

fn squared(code: i8) -> i64 {
    let code = i64::from(code);
    code * code.abs()
}

/// The weights and heads that are part of the program.
pub(super) fn inside() -> Result<(Counter, Vec<Head>), DetectorError> {
    read(INSIDE)
}

fn read(file: &[u8]) -> Result<(Counter, Vec<Head>), DetectorError> {
    let damaged = |why: &str| DetectorError::Damaged(why.to_owned());
    let rest = file.strip_prefix(MAGIC).ok_or_else(|| damaged("it does not begin with TLGUARD3"))?;
    let (length, rest) = rest.split_first_chunk().ok_or_else(|| damaged("it ends before its header"))?;
    let length = u32::from_le_bytes(*length) as usize;
    let (header, weights) =
        rest.split_at_checked(length).ok_or_else(|| damaged("it ends within its header"))?;
    let header: Header = serde_json::from_slice(header).map_err(|e| damaged(&e.to_string()))?;
    let named = |bits, [window, stride, shared]: [usize; 3]| {
        format!("{bits} bits, windows of {window} words every {stride}, {shared} pieces read again")
    };
    let Header { bucket_bits, window_words, stride_words, shared_pieces, .. } = header;
    let found = named(bucket_bits, [window_words, stride_words, shared_pieces]);
    let wanted = named(BUCKET_BITS, [WINDOW_WORDS, STRIDE_WORDS, SHARED_PIECES]);
    if found != wanted {
        return Err(DetectorError::OtherFeatures { found, wanted });
    }
    if weights.len() != WEIGHTS {
        return Err(damaged(&format!("it has {} weights, {WEIGHTS} were expected", weights.len())));
    }
    if !header.scale.is_finite() || !header.bias.is_finite() {
        return Err(damaged("its scale or bias is no number"));
    }
    if let Some(head) = header.heads.iter().find(|head| !head.is_sound()) {
        return Err(damaged(&format!("head {} has no usable numbers", head.name)));
    }
    let codes = weights.iter().map(|byte| byte.cast_signed()).collect();
    Ok((Counter { codes, scale: header.scale, bias: header.bias }, header.heads))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(file: &[u8]) -> String {
        read(file).unwrap_err().to_string()
    }

    #[test]
    fn damaged_files_are_refused() {
        assert!(refused(b"").contains("does not begin"));
        assert!(refused(b"TLGUARD3\xff").contains("before its header"));
        assert!(refused(b"TLGUARD3\xff\xff\xff\xff{}").contains("within its header"));
        assert!(refused(b"TLGUARD3\x02\0\0\0{}").contains("missing field"));
        assert!(refused(&INSIDE[..INSIDE.len() - 1]).contains("weights, "));
    }

    #[test]
    fn heads_that_cannot_be_computed_with_are_refused() {
        let file = |head: &str| {
            let header = format!(
                r#"{{"bucket_bits":{BUCKET_BITS},"window_words":48,"stride_words":24,"shared_pieces":20,"scale":1,"bias":0,"heads":[{head}]}}"#
            );
            let length = header.len() as u32;
            [MAGIC, &length.to_le_bytes(), header.as_bytes(), &vec![0; WEIGHTS]].concat()
        };
        let head = r#"{"name":"user","pieces":160,"weights":[1.0],"bias":0,"counted":1,"read":1,"offset":0}"#;
        assert!(read(&file(head)).is_ok());
        for [sound, broken] in [["read\":1", "read\":-1"], ["counted\":1", "counted\":-1"], [":160", ":25"]] {
            let said = refused(&file(&head.replace(sound, broken)));
            assert!(said.contains("head user has no usable numbers"), "{said}");
        }
    }

    #[test]
    fn the_worst_tokens_decide() {
        let head =
            r#"{"name":"user","pieces":160,"weights":[1.0,2.0],"bias":0.5,"counted":1,"read":1,"offset":0}"#;
        let head: Head = serde_json::from_str(head).unwrap();
        let of = |tokens: &[[f32; 2]]| head.reading(tokens.iter().map(|token| &token[..]));
        assert_eq!(of(&[[1.0, 2.0]]), 5.5);
        // e^5.5 and e^0.5 as weights of 5.5 and 0.5.
        assert!((of(&[[1.0, 2.0], [0.0, 0.0]]) - 5.466_536).abs() < 1e-6);
        let many = [[[0.0, 0.0]; 100].as_slice(), &[[100.0, 200.0]]].concat();
        assert_eq!(of(&many), 500.5);
        assert!(of(&[[f32::NAN, 0.0], [1.0, 2.0]]).is_nan());
    }

    #[test]
    fn features_of_another_kind_are_named() {
        let header = br#"{"bucket_bits":3,"window_words":9,"stride_words":1,"shared_pieces":2,"scale":1,"bias":0,"heads":[]}"#;
        let mut file = MAGIC.to_vec();
        file.extend((header.len() as u32).to_le_bytes());
        file.extend(header);
        assert!(refused(&file).contains("3 bits, windows of 9 words every 1, 2 pieces read again"));
    }

    #[test]
    fn the_file_inside_is_small() {
        assert!(INSIDE.len() + super::super::reader::SIZE + super::super::mixtures::SIZE < 8_000_000);
    }
}
