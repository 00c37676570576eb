//! The file of the detector: a line of JSON that says what it is, and weights in int8.

use super::features::{BUCKET_BITS, STRIDE_WORDS, WINDOW_WORDS};
use serde::Deserialize;

const MAGIC: &[u8] = b"TLGUARD1";
/// Weights per head: of words, then of characters.
const PER_HEAD: usize = 2 << BUCKET_BITS;
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
}

#[derive(Deserialize)]
struct Header {
    bucket_bits: u32,
    window_words: usize,
    stride_words: usize,
    heads: Vec<HeadHeader>,
}

#[derive(Deserialize)]
struct HeadHeader {
    name: String,
    scale: f64,
    bias: f64,
    slope: f64,
    offset: f64,
    typed: Option<Line>,
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

    /// Whether it rises, with numbers that can be computed with.
    fn rises(self) -> bool {
        self.slope.is_finite() && self.slope > 0.0 && self.offset.is_finite()
    }
}

/// One logistic regression: weights of `scale * q * |q|`, and how a sum becomes a score.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) name: String,
    codes: Vec<i8>,
    scale: f64,
    bias: f64,
    from_sum: Line,
    /// From the logit that the text would have as a typed one to the logit that it has here at least.
    pub(super) typed: Option<Line>,
}

impl Head {
    /// What the features of a window come to, before it is a score.
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

    /// The logit of a sum: 0 is one half.
    pub(super) fn logit(&self, sum: f64) -> f64 {
        self.from_sum.at(sum)
    }
}

fn squared(code: i8) -> i64 {
    let code = i64::from(code);
    code * code.abs()
}

/// The heads of the file that is part of the program.
pub(super) fn inside() -> Result<Vec<Head>, DetectorError> {
    read(INSIDE)
}

fn read(file: &[u8]) -> Result<Vec<Head>, DetectorError> {
    let damaged = |why: &str| DetectorError::Damaged(why.to_owned());
    let rest = file.strip_prefix(MAGIC).ok_or_else(|| damaged("it does not begin with TLGUARD1"))?;
    let (length, rest) = rest.split_first_chunk().ok_or_else(|| damaged("it ends before its header"))?;
    let length = u32::from_le_bytes(*length) as usize;
    let (header, weights) =
        rest.split_at_checked(length).ok_or_else(|| damaged("it ends within its header"))?;
    let header: Header = serde_json::from_slice(header).map_err(|e| damaged(&e.to_string()))?;
    let named = |bits, window, stride| format!("{bits} bits, windows of {window} words every {stride}");
    let found = named(header.bucket_bits, header.window_words, header.stride_words);
    let wanted = named(BUCKET_BITS, WINDOW_WORDS, STRIDE_WORDS);
    if found != wanted {
        return Err(DetectorError::OtherFeatures { found, wanted });
    }
    if weights.len() != header.heads.len() * PER_HEAD {
        return Err(damaged("it has not as many weights as its header says"));
    }
    let heads = header.heads.into_iter().zip(weights.chunks_exact(PER_HEAD));
    heads.map(|(head, weights)| checked(head, weights)).collect()
}

fn checked(head: HeadHeader, weights: &[u8]) -> Result<Head, DetectorError> {
    let HeadHeader { name, scale, bias, slope, offset, typed } = head;
    let from_sum = Line { slope, offset };
    if !scale.is_finite() || !bias.is_finite() || !from_sum.rises() || !typed.is_none_or(Line::rises) {
        return Err(DetectorError::Damaged(format!("head {name} has no usable numbers")));
    }
    Ok(Head {
        name,
        codes: weights.iter().map(|byte| byte.cast_signed()).collect(),
        scale,
        bias,
        from_sum,
        typed,
    })
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
        assert!(refused(b"TLGUARD1\xff").contains("before its header"));
        assert!(refused(b"TLGUARD1\xff\xff\xff\xff{}").contains("within its header"));
        assert!(refused(b"TLGUARD1\x02\0\0\0{}").contains("missing field"));
        assert!(refused(&INSIDE[..INSIDE.len() - 1]).contains("not as many weights"));
    }

    #[test]
    fn features_of_another_kind_are_named() {
        let header = br#"{"bucket_bits":3,"window_words":9,"stride_words":1,"heads":[]}"#;
        let mut file = MAGIC.to_vec();
        file.extend((header.len() as u32).to_le_bytes());
        file.extend(header);
        assert!(refused(&file).contains("3 bits, windows of 9 words every 1"));
    }

    #[test]
    fn the_file_inside_is_small() {
        assert!(INSIDE.len() < 8 << 20);
    }
}
