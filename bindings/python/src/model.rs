//! Models that complete text.

use crate::arrays::{RawRows, Rows};
use crate::bulk;
use crate::encoder::Encoder;
use crate::failure::Failure;
use crate::opened::Opened;
use crate::options::{OpenOptions, ReplyOptions};
use crate::reply::{Reply, prompt};
use crate::stream::Stream;
use crate::waiting::{detached, lock, wait_for, wait_hearing};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::{Arc, Mutex};
use torchless::{
    Around, EncodeOptions, ModelOptions, Residency, Scorer, Source, Special, TokenId, Tokenizer, check_ids,
};

/// Positions that there is room for at least where logits are asked for.
const FEWEST_SCORED: usize = 512;

/// A model that completes text.
#[pyclass(frozen, module = "torchless._native")]
pub struct Model {
    model: Opened<torchless::Model>,
    source: Source,
    options: ModelOptions,
    /// What computes logits, opened when it is first asked for, and its positions.
    scorer: Opened<Mutex<Option<(Scorer, usize)>>>,
}

/// Opens a model: one that completes text, or an encoder. `progress` is called with bytes done and bytes in all.
#[pyfunction]
#[pyo3(signature = (options, progress = None))]
pub fn open(py: Python<'_>, options: OpenOptions, progress: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
    let (source, opened) = (options.source()?, options.model_options()?);
    let (from, how) = (source.clone(), opened.clone());
    let is_encoder = detached(py, || Ok(torchless::Encoder::is_one(&source.checkpoint()?)))?;
    let firewall = options.firewall.as_ref().map(|firewall| firewall.get().library());
    let hear = |done: (u64, u64)| progress.as_ref().map_or(Ok(()), |call| call.call1(py, done).map(drop));
    if is_encoder {
        options.check_encoder()?;
        let encoder = wait_hearing(py, hear, move |abandoned, tell| {
            Ok(torchless::Encoder::open(&from, &how, &mut |done, total| {
                abandoned.leave();
                tell((done, total));
            })?)
        });
        return Encoder::new(encoder?, firewall).into_py_any(py);
    }
    if options.precision.is_some() {
        let wanted = "precision is for models that embed, classify or rerank; others have exact and kv_dtype";
        return Err(Failure::Usage(wanted.to_owned()).into());
    }
    let template = options.template()?;
    let model = wait_hearing(py, hear, move |abandoned, tell| {
        let mut model = torchless::Model::open(&from, &how, &mut |done, total| {
            abandoned.leave();
            tell((done, total));
        })?;
        if let Some(template) = template {
            model.set_chat_template(&template)?;
        }
        if let Some(firewall) = firewall {
            model.set_firewall(firewall);
        }
        Ok(model)
    });
    let scorer = Opened::new(Mutex::new(None));
    Model { model: Opened::new(model?), source, options: opened, scorer }.into_py_any(py)
}

impl Model {
    /// The model as the library has it.
    ///
    /// # Errors
    /// It was opened in another process.
    pub fn library(&self) -> Result<Arc<torchless::Model>, Failure> {
        self.model.working()
    }
}

#[pymethods]
impl Model {
    /// What the model is, and the limits that it runs within.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let limits = self.model.info();
        let info = PyDict::new(py);
        info.set_item("architecture", self.model.architecture())?;
        if let Some(spec) = self.model.spec() {
            info.set_item("layers", spec.layers.len())?;
            info.set_item("dim", spec.dim)?;
        }
        info.set_item("vocab_size", limits.vocab)?;
        info.set_item("trained_context_size", self.model.trained_context())?;
        info.set_item("context_size", limits.max_seq_len)?;
        info.set_item("device", self.model.device_name())?;
        info.set_item("guarded", !self.model.firewall().is_open())?;
        Ok(info)
    }

    /// Ids of the tokens that begin and end a text, as far as the model has such.
    fn special_ids(&self) -> (Option<u32>, Option<u32>, Vec<u32>) {
        let tokenizer = self.model.tokenizer();
        let ends = tokenizer.end_ids().iter().map(|id| id.0).collect();
        (tokenizer.bos().map(|id| id.0), tokenizer.eos().map(|id| id.0), ends)
    }

    /// Token ids of a text.
    fn tokenize(&self, py: Python<'_>, text: String, special: (bool, bool)) -> PyResult<Vec<u32>> {
        detached(py, || Ok(tokenize(self.model.tokenizer(), &text, special)))
    }

    /// The text of token ids.
    fn detokenize(&self, py: Python<'_>, ids: Vec<u32>) -> PyResult<String> {
        detached(py, || detokenize(self.model.tokenizer(), &ids))
    }

    /// What the model sees of a conversation.
    fn render(&self, py: Python<'_>, messages: String) -> PyResult<String> {
        detached(py, || match prompt(("chat".to_owned(), messages))? {
            torchless::Prompt::Conversation(conversation) => Ok(self.model.render(&conversation)?.text()),
            _ => Err(Failure::Internal("messages that are no conversation")),
        })
    }

    /// Begins a reply.
    fn stream(&self, py: Python<'_>, asked: (String, String), options: ReplyOptions) -> PyResult<Stream> {
        Stream::begin(py, self.model.working()?, prompt(asked)?, options.generate_options())
    }

    /// Makes replies to all of these prompts: a dictionary for each, or the exception.
    fn complete<'py>(
        &self,
        py: Python<'py>,
        asked: Vec<(String, String)>,
        options: ReplyOptions,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let (model, options) = (self.model.working()?, options.generate_options());
        let made = bulk::each(py, asked, self.options.sequences, move |asked, abandoned| {
            Reply::make(&model, prompt(asked)?, &options, &|| !abandoned.get())
        })?;
        let python = |done: Result<Reply, Failure>| match done {
            Ok(reply) => reply.to_python(py).map(Bound::into_any),
            Err(failure) => failure.exception(py),
        };
        made.into_iter().map(python).collect()
    }

    /// Logits of the positions from `first` on.
    fn logits<'py>(&self, py: Python<'py>, ids: Vec<u32>, first: usize) -> PyResult<RawRows<'py>> {
        let (scorer, source, options) = (self.scorer.working()?, self.source.clone(), self.options.clone());
        let (vocab, limit) = (self.model.info().vocab, self.model.info().max_seq_len);
        let rows = wait_for(py, move |_| {
            let ids: Vec<TokenId> = ids.into_iter().map(TokenId).collect();
            check_ids(&ids, vocab)?;
            if ids.len() > limit {
                return Err(torchless::Error::PromptTooLong { tokens: ids.len(), limit }.into());
            }
            let mut scorer = lock(&scorer);
            let room = scorer.as_ref().map_or(0, |(_, room)| *room);
            if room < ids.len() || scorer.is_none() {
                // The old one goes before the new one comes.
                *scorer = None;
                let room = ids.len().next_power_of_two().max(FEWEST_SCORED).min(limit);
                *scorer = Some((open_scorer(&source, &options, room)?, room));
            }
            let Some((scorer, _)) = &mut *scorer else { return Err(Failure::Internal("no scorer")) };
            let mut rows = Rows::new(vocab);
            scorer.score_from(&ids, first, &mut |logits| {
                rows.extend(logits);
                Ok(())
            })?;
            Ok(rows)
        })?;
        Ok(rows.into_python(py))
    }
}

/// A second runner over the same weights. They are used in place, so that they do not lie in memory twice.
fn open_scorer(source: &Source, options: &ModelOptions, room: usize) -> Result<Scorer, Failure> {
    let residency = match options.residency {
        Residency::Resident => Residency::Mapped { limit: None },
        mapped => mapped,
    };
    let options = ModelOptions { residency, max_seq_len: Some(room), sequences: 1, ..options.clone() };
    Ok(Scorer::open(source, &options, &mut |_, _| {})?)
}

/// Token ids; `special` says whether those around a text are added, and whether those spelled out in it are taken as such.
pub fn tokenize(tokenizer: &Tokenizer, text: &str, special: (bool, bool)) -> Vec<u32> {
    let around = if special.0 { Around::ModelDefault } else { Around::Nothing };
    let special = if special.1 { Special::Parse } else { Special::Text };
    tokenizer.encode(text, EncodeOptions { special, around }).iter().map(|id| id.0).collect()
}

/// The text of ids.
///
/// # Errors
/// One is not in the vocabulary.
pub fn detokenize(tokenizer: &Tokenizer, ids: &[u32]) -> Result<String, Failure> {
    let ids: Vec<TokenId> = ids.iter().copied().map(TokenId).collect();
    check_ids(&ids, tokenizer.vocab_size())?;
    Ok(tokenizer.decode(&ids))
}
