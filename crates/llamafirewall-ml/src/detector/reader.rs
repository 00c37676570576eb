//! The second view of the detector: a small BERT, fine-tuned by the project from a general one, that reads windows of a text, with pieces
//! of words in other languages beside those that it was made with. It is a GGUF file of its own, run by the encoders of this project,
//! and knows neither labels nor limits: those stand with the weights of the first view.

use super::mixtures::Mixtures;
use super::weights::{DetectorError, Head};
use std::sync::Arc;
use torchless_base::TokenId;
use torchless_device::{CpuDevice, CpuOptions};
use torchless_formats::{Checkpoint, Metadata};
use torchless_kernels::{Precision, usual};
use torchless_model::encoder::{Encoder, EncoderOptions, EncoderPrecision, EncoderText, Want, load_encoder};
use torchless_tokenizer::{EncodeOptions, GgufVocab, Tokenizer};

/// The file that is part of the program.
pub(super) const INSIDE: &[u8] = include_bytes!("../../../../assets/guard/encoder.gguf");
/// Its size in bytes.
#[cfg(test)]
pub(super) const SIZE: usize = INSIDE.len();
/// Its word vectors.
const WORDS: &str = "token_embd.weight";
/// Letters per token of a word that is known, at least.
const FEWEST_LETTERS: usize = 3;
/// Tokens of a part that stand in the next one too.
const SHARED_TOKENS: usize = 32;
/// Parts of one window that are read. Its words fit; what is longer is a run of signs, which says nothing but takes time.
const MOST_PARTS: usize = 8;
/// Parts of all windows of a text; where there are more, each window gets fewer.
const MOST_PARTS_IN_ALL: usize = 200;
/// Windows that are computed together.
const TOGETHER: usize = 32;

/// The encoder with its tokenizer.
pub(super) struct Reader {
    tokenizer: Tokenizer,
    encoder: Encoder,
}

/// What a head gives most, and for which text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Highest {
    pub(super) value: f64,
    pub(super) text: usize,
}

impl Reader {
    /// The encoder that is part of the program.
    pub(super) fn inside() -> Result<Self, DetectorError> {
        Self::open(INSIDE, &Mixtures::inside()?)
    }

    fn open(file: &'static [u8], mixtures: &Mixtures<'_>) -> Result<Self, DetectorError> {
        let mut checkpoint = torchless_formats::open_bytes(Arc::new(file)).map_err(unusable)?;
        let words = mixtures.below(checkpoint.tensors.get(WORDS).map_err(unusable)?)?;
        checkpoint.tensors.replace(words);
        // Scans run side by side; one that waited for helpers would wait for the others.
        let cpu = CpuOptions { kernels: usual(), threads: 1, precision: Precision::Fast };
        let device = Box::new(CpuDevice::new(cpu));
        let options = EncoderOptions { precision: precision(usual().name), ..EncoderOptions::default() };
        let encoder = load_encoder(&checkpoint, device, &options, &mut |_, _| {});
        Ok(Self { tokenizer: tokenizer(&checkpoint, mixtures)?, encoder: encoder.map_err(unusable)? })
    }

    /// Numbers in what it makes of a token.
    pub(super) fn width(&self) -> usize {
        self.encoder.spec().dim
    }

    /// Most word pieces that are read at once, the two tokens around them not counted; longer windows are read in parts.
    pub(super) fn most_pieces(&self) -> usize {
        self.encoder.spec().context.saturating_sub(2)
    }

    /// Of how many word pieces a text is made.
    pub(super) fn pieces(&self, text: &str) -> usize {
        self.tokenizer.encode(text, EncodeOptions::TEXT).len().saturating_sub(2)
    }

    /// Whether a word is one that it was taught, or is made of large parts of such: letters that stand for others by chance are not.
    pub(super) fn knows(&self, word: &str) -> bool {
        let tokens = self.pieces(word);
        tokens > 0 && word.chars().count() >= FEWEST_LETTERS * tokens
    }

    /// The highest number that each of `heads` gives one of the texts, and which one; minus infinity where there is no text.
    pub(super) fn highest(&self, heads: &[&Head], texts: &[String]) -> Result<Vec<Highest>, DetectorError> {
        let mut highest = vec![Highest { value: f64::NEG_INFINITY, text: 0 }; heads.len()];
        let all: Vec<Vec<Vec<TokenId>>> = texts.iter().map(|text| self.parts(text).collect()).collect();
        let most = most_of_each(&all.iter().map(Vec::len).collect::<Vec<_>>());
        let parts = all
            .into_iter()
            .enumerate()
            .flat_map(|(i, parts)| parts.into_iter().take(most).map(move |ids| (i, ids)));
        let mut parts = parts.peekable();
        while parts.peek().is_some() {
            let now: Vec<(usize, Vec<TokenId>)> = parts.by_ref().take(TOGETHER).collect();
            for ((text, _), read) in now.iter().zip(self.read(&now)?) {
                for (head, highest) in heads.iter().zip(&mut highest) {
                    let value = head.reading(read.chunks_exact(self.width()));
                    if !value.is_finite() {
                        return Err(DetectorError::Encoder("it gave no finite number".to_owned()));
                    }
                    if value > highest.value {
                        *highest = Highest { value, text: *text };
                    }
                }
            }
        }
        Ok(highest)
    }

    /// What it makes of the tokens of each part, `[tokens, width]`.
    fn read(&self, parts: &[(usize, Vec<TokenId>)]) -> Result<Vec<Vec<f32>>, DetectorError> {
        let texts: Vec<_> = parts.iter().map(|(_, ids)| EncoderText { ids, types: &[] }).collect();
        self.encoder.encode(&texts, Want::Hidden).map_err(unusable)
    }

    /// The tokens of a text in parts that overlap, each between the two that BERT puts around.
    fn parts(&self, text: &str) -> impl Iterator<Item = Vec<TokenId>> + use<> {
        let ids = self.tokenizer.encode(text, EncodeOptions::TEXT);
        let (first, last) = (ids[0], ids[ids.len() - 1]);
        let inner = ids.len() - 2;
        let most = self.most_pieces();
        let end = inner.saturating_sub(most);
        let starts = (0..end).step_by(most - SHARED_TOKENS).chain([end]).take(MOST_PARTS);
        starts.map(move |start| {
            let part = &ids[1 + start..1 + inner.min(start + most)];
            std::iter::once(first).chain(part.iter().copied()).chain([last]).collect()
        })
    }
}

/// How many parts of each window are read, so that they are not too many in all; one of each at least.
fn most_of_each(counts: &[usize]) -> usize {
    let in_all = |most: usize| counts.iter().map(|count| most.min(*count)).sum::<usize>();
    (1..=MOST_PARTS).rev().find(|most| in_all(*most) <= MOST_PARTS_IN_ALL).unwrap_or(1)
}

/// The file's blocks of four bits; or bf16, which says the same, where there is a unit for matrices of it; or bytes with a scale per row where products of
/// these are the fastest, which moves logits by some tenths at most and the figures of the model card by nothing that can be told.
pub(super) fn precision(kernels: &str) -> EncoderPrecision {
    match kernels {
        "amx" => EncoderPrecision::Bf16,
        "avx512-vnni" => EncoderPrecision::Int8,
        _ => EncoderPrecision::F32,
    }
}

fn unusable(why: impl std::fmt::Display) -> DetectorError {
    DetectorError::Encoder(why.to_string())
}

/// The tokenizer in the file's metadata, with the pieces of other languages: a token stands before and one after every text.
fn tokenizer(checkpoint: &Checkpoint, mixtures: &Mixtures<'_>) -> Result<Tokenizer, DetectorError> {
    let Metadata::Gguf(meta) = &checkpoint.metadata else {
        return Err(unusable("it is no GGUF file"));
    };
    let id = |name: &str| meta.get::<u32>(&format!("tokenizer.ggml.{name}")).map_err(unusable);
    let tokens = meta.get::<&torchless_formats::StringTable>("tokenizer.ggml.tokens").map_err(unusable)?;
    let vocab = GgufVocab {
        model: "bert",
        tokens: tokens.iter().map(|token| token.as_bytes().to_vec()).chain(mixtures.tokens()).collect(),
        bos: Some(id("bos_token_id")?),
        sep: Some(id("seperator_token_id")?),
        unk: Some(id("unknown_token_id")?),
        pad: Some(id("padding_token_id")?),
        ..GgufVocab::default()
    };
    let tokenizer = Tokenizer::from_gguf(vocab).map_err(unusable)?;
    if tokenizer.encode("", EncodeOptions::TEXT).len() == 2 {
        Ok(tokenizer)
    } else {
        Err(unusable("its tokenizer does not put one token before a text and one after it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_overlap_and_hold_what_words_need() {
        let reader = Reader::inside().unwrap();
        let parts =
            |words: usize| reader.parts(&"river ".repeat(words)).map(|ids| ids.len()).collect::<Vec<_>>();
        assert_eq!(parts(0), [2]);
        assert_eq!(parts(190), [192]);
        assert_eq!(parts(191), [192, 192]);
        assert_eq!(parts(190 + 158 + 1), [192, 192, 192]);
        assert_eq!(parts(10_000).len(), MOST_PARTS);
    }

    #[test]
    fn words_are_told_from_letters_by_chance() {
        let reader = Reader::inside().unwrap();
        assert!(["ignore", "instructions", "jailbreak", "you"].iter().all(|word| reader.knows(word)));
        assert!(!["qa_o", "xbg", "zs", "", "tgbk"].iter().any(|word| reader.knows(word)));
    }

    #[test]
    fn runs_of_signs_do_not_take_the_time_of_words() {
        assert_eq!(most_of_each(&[1; 75]), MOST_PARTS);
        assert_eq!(most_of_each(&[8, 8, 1]), MOST_PARTS);
        assert_eq!(most_of_each(&[8; 75]), 2);
        assert_eq!(most_of_each(&[8; 400]), 1);
    }

    #[test]
    fn what_is_no_encoder_is_refused() {
        for file in [&b""[..], b"GGUF", &INSIDE[..1000], &INSIDE[..INSIDE.len() - 40]] {
            assert!(matches!(
                Reader::open(file, &Mixtures::inside().unwrap()),
                Err(DetectorError::Encoder(_))
            ));
        }
    }
}
