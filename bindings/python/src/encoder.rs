//! Models that embed, classify and rerank texts.

use crate::arrays::{RawRows, Rows};
use crate::failure::Failure;
use crate::model::{detokenize, tokenize};
use crate::opened::Opened;
use crate::waiting::{Abandoned, detached, lock, wait_for};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Mutex;
use torchless::{
    Candidates, Classes, Embedding, EncoderSpec, Error, Firewall, Texts, TokenClasses, Tokenizer,
};

/// Texts that are given to the model at once; between two such groups Ctrl-C ends the work.
const GROUP: usize = 32;

/// Logits and scores, a value for each label.
type PlainClasses = (Vec<f32>, Vec<f32>);

/// A model that embeds, classifies or reranks texts.
#[pyclass(frozen, module = "torchless._native")]
pub struct Encoder {
    encoder: Opened<Mutex<torchless::Encoder>>,
    firewall: Firewall,
    /// What it is, to be told while it works too.
    spec: EncoderSpec,
    device: String,
    labels: Vec<String>,
    classifies_tokens: bool,
}

impl Encoder {
    /// Open already; texts have to pass the firewall where there is one.
    pub fn new(encoder: torchless::Encoder, firewall: Option<Firewall>) -> Self {
        Self {
            spec: encoder.spec().clone(),
            device: encoder.device_name(),
            labels: encoder.labels().to_vec(),
            classifies_tokens: encoder.classifies_tokens(),
            encoder: Opened::new(Mutex::new(encoder)),
            firewall: firewall.unwrap_or_else(Firewall::open),
        }
    }

    /// Does `work` with the texts, some at a time.
    fn grouped<T, W>(&self, py: Python<'_>, texts: Vec<String>, work: W) -> PyResult<Vec<T>>
    where
        T: Send + 'static,
        W: Fn(&mut torchless::Encoder, Texts, &Firewall) -> Result<Vec<T>, Error> + Send + 'static,
    {
        let (encoder, firewall) = (self.encoder.working()?, self.firewall.clone());
        wait_for(py, move |abandoned: &Abandoned| {
            let mut results = Vec::with_capacity(texts.len());
            for group in texts.chunks(GROUP) {
                if abandoned.get() {
                    return Err(Failure::Internal("nobody waits for these texts"));
                }
                results.extend(work(&mut lock(&encoder), Texts(group.to_vec()), &firewall)?);
            }
            Ok(results)
        })
    }

    fn with_tokenizer<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Tokenizer) -> Result<T, Failure> + Send,
    ) -> PyResult<T> {
        detached(py, || {
            let encoder = self.encoder.working()?;
            let encoder = lock(&encoder);
            work(encoder.tokenizer().ok_or(Error::NoTokenizer)?)
        })
    }
}

fn plain(classes: Classes) -> PlainClasses {
    (classes.logits, classes.scores)
}

#[pymethods]
impl Encoder {
    /// What the model is.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let spec = &self.spec;
        let info = PyDict::new(py);
        info.set_item("architecture", &spec.arch)?;
        info.set_item("layers", spec.layers.len())?;
        info.set_item("dim", spec.dim)?;
        info.set_item("vocab_size", spec.vocab)?;
        info.set_item("trained_context_size", spec.context)?;
        info.set_item("context_size", spec.context)?;
        info.set_item("device", &self.device)?;
        info.set_item("guarded", !self.firewall.is_open())?;
        Ok(info)
    }

    /// Names of the classes, and whether tokens are classified instead of texts.
    fn labels(&self) -> (Vec<String>, bool) {
        (self.labels.clone(), self.classifies_tokens)
    }

    /// Token ids of a text.
    fn tokenize(&self, py: Python<'_>, text: String, special: (bool, bool)) -> PyResult<Vec<u32>> {
        self.with_tokenizer(py, |tokenizer| Ok(tokenize(tokenizer, &text, special)))
    }

    /// The text of token ids.
    fn detokenize(&self, py: Python<'_>, ids: Vec<u32>) -> PyResult<String> {
        self.with_tokenizer(py, |tokenizer| detokenize(tokenizer, &ids))
    }

    /// A vector for each text; `pooling` and `normalize` as the model's files say unless given.
    fn embed<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<String>,
        pooling: Option<String>,
        normalize: Option<bool>,
    ) -> PyResult<RawRows<'py>> {
        let pooling = pooling.as_deref().map(Embedding::pooling_named).transpose().map_err(Failure::from)?;
        let vectors = self.grouped(py, texts, move |encoder, texts, firewall| {
            let texts = firewall.admit(texts)?;
            let usual = encoder.embedding();
            encoder.set_embedding(Embedding {
                pooling: pooling.unwrap_or(usual.pooling),
                normalize: normalize.unwrap_or(usual.normalize),
            });
            let vectors = encoder.embed(&texts);
            encoder.set_embedding(usual);
            vectors
        })?;
        let mut rows = Rows::new(self.spec.dim);
        vectors.iter().for_each(|vector| rows.extend(vector));
        Ok(rows.into_python(py))
    }

    /// What a classifier says of each text.
    fn classify(&self, py: Python<'_>, texts: Vec<String>) -> PyResult<Vec<PlainClasses>> {
        self.grouped(py, texts, |encoder, texts, firewall| {
            Ok(encoder.classify(&firewall.admit(texts)?)?.into_iter().map(plain).collect())
        })
    }

    /// What a classifier says of each token of each text: id, piece, logits and scores.
    fn classify_tokens(
        &self,
        py: Python<'_>,
        texts: Vec<String>,
    ) -> PyResult<Vec<Vec<(u32, String, PlainClasses)>>> {
        let token = |token: TokenClasses| (token.token.0, token.piece, plain(token.classes));
        self.grouped(py, texts, move |encoder, texts, firewall| {
            let found = encoder.classify_tokens(&firewall.admit(texts)?)?;
            Ok(found.into_iter().map(|text| text.into_iter().map(token).collect()).collect())
        })
    }

    /// How well each document answers the query.
    fn rerank(&self, py: Python<'_>, query: String, documents: Vec<String>) -> PyResult<Vec<PlainClasses>> {
        let (encoder, firewall) = (self.encoder.working()?, self.firewall.clone());
        wait_for(py, move |abandoned| {
            let mut results = Vec::with_capacity(documents.len());
            for group in documents.chunks(GROUP) {
                if abandoned.get() {
                    return Err(Failure::Internal("nobody waits for these documents"));
                }
                let candidates = Candidates { query: query.clone(), documents: group.to_vec() };
                let candidates = firewall.admit(candidates).map_err(Error::from)?;
                results.extend(lock(&encoder).rerank(&candidates)?.into_iter().map(plain));
            }
            Ok(results)
        })
    }
}
