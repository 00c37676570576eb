//! Keys that the encoders' `config.json` files share, with the defaults of transformers.

use super::spec::{HeadLevel, HeadSpec, LayerNorm, Pooling, Scores, Transform};
use crate::ModelError;
use crate::config::{Config, Key, key};
use serde_json::Value as Json;
use torchless_device::Activation;
use torchless_formats::Metadata;

/// Bounds of what a file may claim; hidden states and tables are allocated by them.
pub(super) const MOST_LAYERS: usize = 1024;
pub(super) const MOST_WIDTH: usize = 1 << 20;
pub(super) const MOST_VOCAB: usize = 1 << 26;
pub(super) const MOST_POSITIONS: usize = 1 << 17;
const MOST_LABELS: usize = 1 << 20;

/// Keys of encoders that say nothing about the arithmetic of a forward pass.
const HARMLESS: &[&str] = &[
    "add_cross_attention",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "classifier_dropout",
    "cls_dropout",
    "cls_token_id",
    "decoder_bias",
    "deterministic_flash_attn",
    "directionality",
    "dropout",
    "embd_pdrop",
    "embedding_dropout",
    "gradient_checkpointing",
    "hidden_dropout_prob",
    "initializer_cutoff_factor",
    "label2id",
    "language",
    "legacy",
    "mask_token_id",
    "mlp_dropout",
    "model_max_length",
    "name",
    "output_past",
    "pooler_dropout",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "qa_dropout",
    "reference_compile",
    "repad_logits_with_grad",
    "resid_pdrop",
    "seq_classif_dropout",
    "sinusoidal_pos_embds",
    "sparse_pred_ignore_index",
    "sparse_prediction",
    "summary_activation",
    "summary_first_dropout",
    "summary_last_dropout",
    "summary_type",
    "summary_use_proj",
    "task_specific_params",
    "tie_weights_",
    "tie_word_embeddings",
];

pub(super) const VOCAB: Key<'static> = key("", &["vocab_size"]);
pub(super) const POSITIONS: Key<'static> = key("", &["max_position_embeddings"]);
const ARCHITECTURES: &str = "architectures";

/// A `config.json` in the words of the encoders.
pub(super) struct Keys<'a> {
    pub config: &'a Config<'a>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(config: &'a Config<'a>) -> Self {
        config.disregard(HARMLESS);
        Self { config }
    }

    /// A size, or the default of transformers.
    pub(super) fn size(&self, key: Key<'_>, default: usize, limit: usize) -> Result<usize, ModelError> {
        Ok(self.config.size(key, limit)?.unwrap_or(default))
    }

    pub(super) fn flag(&self, key: Key<'_>, default: bool) -> Result<bool, ModelError> {
        Ok(self.config.flag(key)?.unwrap_or(default))
    }

    /// A flag of which one value is built.
    pub(super) fn only(&self, names: &'static [&'static str], built: bool) -> Result<(), ModelError> {
        for name in names {
            let key = Key { gguf: "", json: std::slice::from_ref(name) };
            if self.config.flag(key)?.is_some_and(|value| value != built) {
                return Err(self.config.unsupported(key, &built.to_string()));
            }
        }
        Ok(())
    }

    /// A text of which one value is built.
    pub(super) fn only_text(&self, key: Key<'_>, built: &str) -> Result<(), ModelError> {
        match self.config.text(key)? {
            Some(text) if text != built => Err(self.config.unsupported(key, built)),
            _ => Ok(()),
        }
    }

    /// A norm.
    pub(super) fn norm(&self, eps: Key<'_>, default: f32, bias: bool) -> Result<LayerNorm, ModelError> {
        Ok(LayerNorm { eps: self.config.positive(eps)?.unwrap_or(default), bias })
    }

    /// A function by transformers' name for it.
    pub(super) fn activation(&self, key: Key<'_>, default: Activation) -> Result<Activation, ModelError> {
        Ok(match self.config.text(key)? {
            None => default,
            Some("gelu" | "gelu_python") => Activation::Gelu,
            Some("gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_accurate") => {
                Activation::GeluTanh
            }
            Some("quick_gelu") => Activation::GeluQuick,
            Some("relu") => Activation::Relu,
            Some("relu2") => Activation::ReluSquared,
            Some("silu" | "swish") => Activation::Silu,
            Some("tanh") => Activation::Tanh,
            Some(_) => {
                let known = "gelu, gelu_new, quick_gelu, relu, relu2, silu, tanh";
                return Err(self.config.unsupported(key, known));
            }
        })
    }

    /// What lies under a key of the outermost object, lists and objects included.
    pub(super) fn json(&self, name: &'static str) -> Option<&'a Json> {
        self.config.disregard(&[name]);
        match &self.config.checkpoint().metadata {
            Metadata::HuggingFace { config, .. } => config.get(name).filter(|v| !v.is_null()),
            _ => None,
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self, name: &'static str) -> Result<Option<Vec<&'a str>>, ModelError> {
        let Some(value) = self.json(name) else { return Ok(None) };
        let texts = value.as_array().and_then(|list| list.iter().map(Json::as_str).collect());
        texts.map(Some).ok_or_else(|| bad(name, value, "a list of texts"))
    }

    /// What the first of `architectures` says is on top of the model.
    pub(super) fn task(&self) -> Result<Task, ModelError> {
        let Some(name) = self.texts(ARCHITECTURES)?.and_then(|list| list.first().copied()) else {
            return match self.config.checkpoint().tensors.names().find(|n| n.starts_with("classifier.")) {
                None => Ok(Task::Base),
                Some(_) => {
                    let arch = "a model with a classifier".to_owned();
                    Err(ModelError::MissingKey { key: ARCHITECTURES.to_owned(), arch })
                }
            };
        };
        Ok(match name {
            n if n.ends_with("ForSequenceClassification") => Task::Text,
            n if n.ends_with("ForTokenClassification") => Task::Token,
            n if ["Model", "ForMaskedLM", "ForPreTraining"].iter().any(|end| n.ends_with(end)) => Task::Base,
            _ => {
                let supported = "...Model, ...ForMaskedLM, ...ForPreTraining, ...ForSequenceClassification, \
                     ...ForTokenClassification"
                    .to_owned();
                return Err(ModelError::Unsupported { what: format!("architecture {name}"), supported });
            }
        })
    }

    /// The head of this task: `text` is how this family classifies texts, `token` what it does to each token first.
    pub(super) fn head(
        &self,
        text: (Pooling, Option<Transform>),
        token: Option<Transform>,
    ) -> Result<Option<HeadSpec>, ModelError> {
        let (level, transform) = match self.task()? {
            Task::Base => {
                for name in ["id2label", "num_labels", "problem_type", "sentence_transformers"] {
                    self.json(name);
                }
                return Ok(None);
            }
            Task::Text => (HeadLevel::Text(text.0), text.1),
            Task::Token => (HeadLevel::Token, token),
        };
        let labels = self.labels()?;
        let scores = self.scores(level, labels.len())?;
        Ok(Some(HeadSpec { level, transform, labels, scores }))
    }

    /// Names of the classes; two without names where the file says nothing.
    fn labels(&self) -> Result<Vec<String>, ModelError> {
        let count = self.config.size(key("", &["num_labels"]), MOST_LABELS)?;
        let Some(value) = self.json("id2label") else {
            return Ok((0..count.unwrap_or(2)).map(|i| format!("LABEL_{i}")).collect());
        };
        let wrong = |what: &str| bad("id2label", value, what);
        let map = value.as_object().ok_or_else(|| wrong("an object of names by number"))?;
        let names: Option<Vec<_>> =
            (0..map.len()).map(|i| Some(map.get(&i.to_string())?.as_str()?.to_owned())).collect();
        let names = names.ok_or_else(|| wrong("names for the numbers from 0 on, without gaps"))?;
        if names.is_empty() || count.is_some_and(|n| n != names.len()) {
            return Err(wrong("as many names as num_labels, one at least"));
        }
        Ok(names)
    }

    /// As pipelines of transformers do it; cross-encoders may name their function.
    fn scores(&self, level: HeadLevel, labels: usize) -> Result<Scores, ModelError> {
        let named =
            self.json("sentence_transformers").and_then(|v| v.get("activation_fn")).and_then(Json::as_str);
        match named {
            Some("torch.nn.modules.linear.Identity") => return Ok(Scores::Identity),
            Some("torch.nn.modules.activation.Sigmoid") => return Ok(Scores::Sigmoid),
            Some("torch.nn.modules.activation.Softmax") | None => {}
            Some(other) => {
                let what = format!("sentence_transformers.activation_fn = {other}");
                let supported = "Identity, Sigmoid and Softmax of torch.nn".to_owned();
                return Err(ModelError::Unsupported { what, supported });
            }
        }
        let problem = key("", &["problem_type"]);
        Ok(match self.config.text(problem)? {
            Some("regression") => Scores::Identity,
            Some("multi_label_classification") => Scores::Sigmoid,
            Some("single_label_classification") | None if labels == 1 && level != HeadLevel::Token => {
                Scores::Sigmoid
            }
            Some("single_label_classification") | None => Scores::Softmax,
            Some(_) => {
                let known = "regression, single_label_classification, multi_label_classification";
                return Err(self.config.unsupported(problem, known));
            }
        })
    }
}

/// What is on top of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Nothing, or a head that is for training.
    Base,
    /// A classifier of texts.
    Text,
    /// A classifier of tokens.
    Token,
}

/// The error of a key that holds something else than it should.
pub(super) fn bad(key: &str, value: &Json, expected: &str) -> ModelError {
    let found = value.to_string().chars().take(80).collect();
    ModelError::BadValue { key: key.to_owned(), found, expected: expected.to_owned() }
}
