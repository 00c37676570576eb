//! Models that embed, classify and rerank texts.
//!
//! Text goes through the firewall, as it does for replies; ids alone do not.

mod embedding;
mod tokens;

pub use embedding::Embedding;

use crate::open::{ModelOptions, Source};
use crate::placement::place_encoder;
use crate::vocabulary::tokenizer;
use crate::{Error, fits_vocab};
use llamafirewall_core::{Admitted, Content, Firewall, Message};
use torchless_base::TokenId;
use torchless_device::{EncoderDevice, Recorder};
use torchless_formats::Checkpoint;
use torchless_model::encoder::{
    EncoderOptions, EncoderSpec, EncoderText, HeadLevel, Scores, Want, encoder_spec, load_encoder,
};
use torchless_tokenizer::Tokenizer;

/// Texts for an encoder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts(pub Vec<String>);

impl Content for Texts {
    fn visit(&self, visit: &mut dyn FnMut(Message)) {
        self.0.iter().map(Message::user).for_each(visit);
    }
}

/// A question and the documents that may answer it. Documents come from elsewhere, as a tool's results do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// What is asked.
    pub query: String,
    /// What may answer.
    pub documents: Vec<String>,
}

impl Content for Candidates {
    fn visit(&self, visit: &mut dyn FnMut(Message)) {
        visit(Message::user(&self.query));
        self.documents.iter().map(Message::tool).for_each(visit);
    }
}

/// What a classifier says of a text or of a token, one number per label of [`Encoder::labels`].
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    /// As the model computes them.
    pub logits: Vec<f32>,
    /// Between 0 and 1 where the model has such; see [`Scores`].
    pub scores: Vec<f32>,
}

impl Classes {
    fn new(logits: &[f32], kind: Scores) -> Self {
        let sigmoid = |x: &f32| 1.0 / (1.0 + (-x).exp());
        let scores = match kind {
            Scores::Identity => logits.to_vec(),
            Scores::Sigmoid => logits.iter().map(sigmoid).collect(),
            Scores::Softmax => {
                let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let weights: Vec<_> = logits.iter().map(|x| (x - most).exp()).collect();
                let sum: f32 = weights.iter().sum();
                weights.iter().map(|w| w / sum).collect()
            }
        };
        Self { logits: logits.to_vec(), scores }
    }

    /// The label with the largest logit, the first of equals.
    pub fn best(&self) -> usize {
        let better = |best: usize, i: usize| if self.logits[i] > self.logits[best] { i } else { best };
        (1..self.logits.len()).fold(0, better)
    }
}

/// A token of a text and what a classifier says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenClasses {
    /// The token.
    pub token: TokenId,
    /// As the vocabulary writes it.
    pub piece: String,
    /// What is said of it.
    pub classes: Classes,
}

/// A model that embeds, classifies or reranks texts. Threads share it; those that use it at the same time do not wait for each other.
pub struct Encoder {
    model: torchless_model::encoder::Encoder,
    tokenizer: Option<Tokenizer>,
    embedding: Embedding,
    firewall: Firewall,
}

impl Encoder {
    /// Opens an encoder; `progress` is told bytes done and bytes in all. A model without a tokenizer works on ids.
    /// Of `options`, those for caches and contexts have no meaning here.
    ///
    /// # Errors
    /// It is no encoder that runs here, memory is short, or the options do not fit.
    pub fn open(
        source: &Source,
        options: &ModelOptions,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, Error> {
        if !options.adapters.is_empty() {
            return Err(Error::Option("adapters go with models that complete text".to_owned()));
        }
        let checkpoint = source.checkpoint()?;
        if !Self::is_one(&checkpoint) && crate::spec(source, &checkpoint).is_ok() {
            return Err(Error::Decoder { path: source.name().to_owned() });
        }
        let fault = |e| Error::Model { path: source.name().to_owned(), source: e };
        let spec = encoder_spec(&checkpoint).map_err(fault)?;
        let tokenizer = tokenizer(&checkpoint)?;
        if let Some(tokenizer) = &tokenizer {
            fits_vocab(tokenizer, spec.vocab)?;
        }
        let embedding = Embedding::read(&checkpoint).map_err(|error| match error {
            Error::Mismatch(what) => Error::Mismatch(format!("{}: {what}", source.name().display())),
            error => error,
        })?;
        let batch_tokens = options.max_batch_tokens.unwrap_or(0);
        let precision = options.encoder_precision;
        let load = EncoderOptions { residency: options.residency, precision, batch_tokens };
        let device = place_encoder(&checkpoint, options)?;
        let model = load_encoder(&checkpoint, device, &load, progress).map_err(fault)?;
        tracing::info!(arch = spec.arch, layers = spec.layers.len(), context = spec.context, "opened");
        Ok(Self { model, tokenizer, embedding, firewall: Firewall::open() })
    }

    /// Tries everything that opening does but for the weights: names, shapes and types of all tensors.
    ///
    /// # Errors
    /// A tensor is missing, unused, or of another shape or type than the model needs; or it is no encoder.
    pub fn check(source: &Source, checkpoint: &Checkpoint) -> Result<EncoderSpec, Error> {
        let device: Box<dyn EncoderDevice> = Box::new(Recorder::new());
        let options = EncoderOptions::default();
        load_encoder(checkpoint, device, &options, &mut |_, _| {})
            .map(|encoder| encoder.spec().clone())
            .map_err(|e| Error::Model { path: source.name().to_owned(), source: e })
    }

    /// Whether a checkpoint is one of these models.
    pub fn is_one(checkpoint: &Checkpoint) -> bool {
        torchless_model::encoder::is_encoder(checkpoint)
    }

    /// What the model is.
    pub fn spec(&self) -> &EncoderSpec {
        self.model.spec()
    }

    /// Names of the classes; empty for a model that only embeds.
    pub fn labels(&self) -> &[String] {
        self.spec().labels()
    }

    /// Whether the model classifies tokens, and not whole texts.
    pub fn classifies_tokens(&self) -> bool {
        self.spec().head.as_ref().is_some_and(|head| head.level == HeadLevel::Token)
    }

    /// Where it runs.
    pub fn device_name(&self) -> String {
        self.model.device_name()
    }

    /// Text to ids, where the model has a tokenizer.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// How texts become vectors: as the model's folder says, or the mean of all tokens.
    pub fn embedding(&self) -> Embedding {
        self.embedding
    }

    /// Changes how texts become vectors.
    pub fn set_embedding(&mut self, embedding: Embedding) {
        self.embedding = embedding;
    }

    /// Puts a firewall before the model; without one, everything is let in.
    pub fn set_firewall(&mut self, firewall: Firewall) {
        self.firewall = firewall;
    }

    /// Offers texts to the firewall.
    ///
    /// # Errors
    /// One is refused.
    pub fn admit<T: Content>(&self, content: T) -> Result<Admitted<T>, Error> {
        Ok(self.firewall.admit(content)?)
    }

    fn need_tokenizer(&self) -> Result<&Tokenizer, Error> {
        self.tokenizer.as_ref().ok_or(Error::NoTokenizer)
    }

    /// The tokens that the model will see of each text.
    ///
    /// # Errors
    /// The model has no tokenizer, or holds far fewer tokens than a text has.
    pub fn tokens(&self, texts: &Admitted<Texts>) -> Result<Vec<Vec<TokenId>>, Error> {
        let (tokenizer, spec) = (self.need_tokenizer()?, self.spec());
        let texts = texts.get().0.iter().map(String::as_str).enumerate();
        texts.map(|text| tokens::encode(tokenizer, spec, text)).collect()
    }

    /// One vector per text.
    ///
    /// # Errors
    /// The model has no tokenizer, a text is too long, or the device fails.
    pub fn embed(&self, texts: &Admitted<Texts>) -> Result<Vec<Vec<f32>>, Error> {
        let ids = self.tokens(texts)?;
        self.embed_ids(&plain(&ids))
    }

    /// One vector per text in ids.
    ///
    /// # Errors
    /// A text is too long or has unknown ids, or the device fails.
    pub fn embed_ids(&self, texts: &[EncoderText<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        let mut vectors = self.encode(texts, Want::Pooled(self.embedding.pooling))?;
        if self.embedding.normalize {
            vectors.iter_mut().for_each(|vector| embedding::normalize(vector));
        }
        Ok(vectors)
    }

    /// What a classifier says of each text.
    ///
    /// # Errors
    /// The model classifies no texts or has no tokenizer, a text is too long, or the device fails.
    pub fn classify(&self, texts: &Admitted<Texts>) -> Result<Vec<Classes>, Error> {
        let scores = self.head(HeadLevelName::Text)?;
        let ids = self.tokens(texts)?;
        let logits = self.logits_ids(&plain(&ids))?;
        Ok(logits.iter().map(|row| Classes::new(row, scores)).collect())
    }

    /// What a classifier says of each token of each text, special tokens left out.
    ///
    /// # Errors
    /// The model classifies no tokens or has no tokenizer, a text is too long, or the device fails.
    pub fn classify_tokens(&self, texts: &Admitted<Texts>) -> Result<Vec<Vec<TokenClasses>>, Error> {
        let scores = self.head(HeadLevelName::Token)?;
        let labels = self.labels().len();
        let ids = self.tokens(texts)?;
        let logits = self.logits_ids(&plain(&ids))?;
        let tokenizer = self.need_tokenizer()?;
        let one = |(&token, row): (&TokenId, &[f32])| TokenClasses {
            token,
            piece: tokenizer.piece(token).unwrap_or_default().into_owned(),
            classes: Classes::new(row, scores),
        };
        // Words that the vocabulary cannot write are words all the same.
        let unknown = tokenizer.special_ids().unk;
        let around = |id: TokenId| tokenizer.is_control(id) && unknown != Some(id);
        let of_text = |(ids, rows): (&Vec<TokenId>, &Vec<f32>)| {
            let all = ids.iter().zip(rows.chunks_exact(labels));
            all.filter(|(id, _)| !around(**id)).map(one).collect()
        };
        Ok(ids.iter().zip(&logits).map(of_text).collect())
    }

    /// How well each document answers the query: one score per document, in their order.
    ///
    /// # Errors
    /// The model has not one label for texts, or no tokenizer; a pair is too long, or the device fails.
    pub fn rerank(&self, candidates: &Admitted<Candidates>) -> Result<Vec<Classes>, Error> {
        let scores = self.head(HeadLevelName::Text)?;
        if self.labels().len() != 1 {
            let n = self.labels().len();
            let why = format!("a reranker has one label, this model has {n}: it classifies");
            return Err(Error::Option(why));
        }
        let Candidates { query, documents } = candidates.get();
        let (tokenizer, spec) = (self.need_tokenizer()?, self.spec());
        let pairs: Result<Vec<_>, _> = documents
            .iter()
            .enumerate()
            .map(|(i, text)| tokens::pair(tokenizer, spec, (i, (query, text))))
            .collect();
        let pairs = pairs?;
        let texts: Vec<_> =
            pairs.iter().map(|(ids, types)| EncoderText { ids: &ids[..], types: &types[..] }).collect();
        let logits = self.logits_ids(&texts)?;
        Ok(logits.iter().map(|row| Classes::new(row, scores)).collect())
    }

    /// Logits of each text in ids: `[labels]`, or `[tokens, labels]` of a classifier of tokens.
    ///
    /// # Errors
    /// The model does not classify, a text is too long or has unknown ids, or the device fails.
    pub fn logits_ids(&self, texts: &[EncoderText<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        self.encode(texts, Want::Logits)
    }

    /// The last hidden states of each text in ids, `[tokens, dim]`.
    ///
    /// # Errors
    /// A text is too long or has unknown ids, or the device fails.
    pub fn hidden_ids(&self, texts: &[EncoderText<'_>]) -> Result<Vec<Vec<f32>>, Error> {
        self.encode(texts, Want::Hidden)
    }

    fn encode(&self, texts: &[EncoderText<'_>], want: Want) -> Result<Vec<Vec<f32>>, Error> {
        let found = self.model.encode(texts, want)?;
        match found.iter().position(|values| values.iter().any(|v| !v.is_finite())) {
            Some(text) => Err(Error::NotFinite { what: format!("what text {} comes to is", text + 1) }),
            None => Ok(found),
        }
    }

    /// The kind of scores of a head at this level.
    fn head(&self, wanted: HeadLevelName) -> Result<Scores, Error> {
        let head = self.spec().head.as_ref().map(|head| (head.level, head.scores));
        match (head, wanted) {
            (Some((HeadLevel::Text(_), scores)), HeadLevelName::Text) => Ok(scores),
            (Some((HeadLevel::Token, scores)), HeadLevelName::Token) => Ok(scores),
            (Some((HeadLevel::Token, _)), _) => {
                Err(Error::Option("this model classifies tokens, not texts".to_owned()))
            }
            (Some(_), _) => Err(Error::Option("this model classifies texts, not tokens".to_owned())),
            (None, _) => Err(Error::Option("this model has no classes: it embeds texts".to_owned())),
        }
    }
}

/// What a caller wants classified.
#[derive(Clone, Copy, PartialEq)]
enum HeadLevelName {
    Text,
    Token,
}

/// Texts whose tokens are all of type 0.
fn plain(ids: &[Vec<TokenId>]) -> Vec<EncoderText<'_>> {
    ids.iter().map(|ids| EncoderText { ids, types: &[] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_follow_their_kind() {
        let logits = [0.0, 2f32.ln()];
        let scores = |kind| Classes::new(&logits, kind).scores;
        assert_eq!(scores(Scores::Identity), logits);
        let softmax = scores(Scores::Softmax);
        assert!((softmax[0] - 1.0 / 3.0).abs() < 1e-6 && (softmax[1] - 2.0 / 3.0).abs() < 1e-6);
        let sigmoid = scores(Scores::Sigmoid);
        assert!((sigmoid[0] - 0.5).abs() < 1e-6 && (sigmoid[1] - 2.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn the_first_of_equals_is_best() {
        assert_eq!(Classes::new(&[1.0, 3.0, 3.0], Scores::Softmax).best(), 1);
    }

    #[test]
    fn large_logits_give_scores() {
        let scores = Classes::new(&[1e30, 0.0], Scores::Softmax).scores;
        assert_eq!(scores, [1.0, 0.0]);
    }

    #[test]
    fn the_firewall_sees_every_text_and_whose_it_is() {
        let mut seen = Vec::new();
        let candidates =
            Candidates { query: "q".to_owned(), documents: vec!["a".to_owned(), "b".to_owned()] };
        candidates.visit(&mut |message| seen.push(message));
        Texts(vec!["t".to_owned()]).visit(&mut |message| seen.push(message));
        assert_eq!(seen, [Message::user("q"), Message::tool("a"), Message::tool("b"), Message::user("t")]);
    }
}
