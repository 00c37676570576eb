//! Dense feed-forward units.

use super::{MAX_WIDTH, bias};
use crate::ModelError;
use crate::config::{Config, Dialect, Key, key};
use crate::own_words;
use crate::roles::Role;
use crate::spec::{MlpForm, MlpSpec};
use torchless_device::Activation;

const HIDDEN: Key = key("feed_forward_length", &["intermediate_size", "n_inner"]);
const ACT: Key = key(own_words::ACTIVATION, &["hidden_act", "hidden_activation", "activation_function"]);
const MLP_BIAS: Key = key("", &["mlp_bias"]);

/// The activation that `config.json` names, by transformers' names. GGUF names none, so that there it is what llama.cpp computes where
/// it is usually `usual`, unless a key of our own names it.
pub(crate) fn activation(c: &Config<'_>, usual: Activation) -> Result<Activation, ModelError> {
    Ok(match (c.text(ACT)?, usual) {
        // All decoders there have one GELU.
        (None, Activation::Gelu | Activation::GeluTanh) if c.dialect == Dialect::Gguf => {
            Activation::GeluTanhHalf
        }
        (None, usual) => usual,
        (Some(name), _) => named(name).ok_or_else(|| c.unsupported(ACT, &names()))?,
    })
}

/// Functions by transformers' names; of several names for one, the first is the one to write.
const FUNCTIONS: &[(Activation, &[&str])] = &[
    (Activation::Silu, &["silu", "swish"]),
    (Activation::Gelu, &["gelu", "gelu_python"]),
    (
        Activation::GeluTanh,
        &["gelu_pytorch_tanh", "gelu_new", "gelu_fast", "gelu_accurate", "gelu_python_tanh"],
    ),
    (Activation::GeluQuick, &["quick_gelu"]),
    (Activation::Relu, &["relu"]),
    (Activation::ReluSquared, &["relu2"]),
];

fn named(name: &str) -> Option<Activation> {
    FUNCTIONS.iter().find(|(_, names)| names.contains(&name)).map(|(function, _)| *function)
}

fn names() -> String {
    FUNCTIONS.iter().map(|(_, names)| names[0]).collect::<Vec<_>>().join(", ")
}

/// What `config.json` calls a function, whatever precision it is computed in; `None` where it has no name there.
pub fn activation_name(function: Activation) -> Option<&'static str> {
    let function = if function == Activation::GeluTanhHalf { Activation::GeluTanh } else { function };
    FUNCTIONS.iter().find(|(known, _)| *known == function).map(|(_, names)| names[0])
}

/// Gated units of layers whose widths may differ.
pub(crate) fn glus(c: &Config<'_>, usual: Activation, layers: usize) -> Result<Vec<MlpSpec>, ModelError> {
    let Some(widths) = c.counts(HIDDEN, layers, MAX_WIDTH * 16)? else { return Err(c.missing(HIDDEN)) };
    if widths.contains(&0) {
        return Err(c.bad(HIDDEN, "widths of at least 1"));
    }
    let unit = gated(c, usual, 0)?;
    Ok(widths.into_iter().map(|hidden| MlpSpec { hidden, ..unit.clone() }).collect())
}

/// The inner width of dense units.
pub(crate) fn hidden(c: &Config<'_>) -> Result<usize, ModelError> {
    c.need_size(HIDDEN, MAX_WIDTH * 16)
}

/// Marks the inner width of dense units as read.
pub(crate) fn pass_hidden(c: &Config<'_>) {
    c.pass(HIDDEN);
    c.pass(MLP_BIAS);
}

/// A gated unit whose biases depend on `mlp_bias`.
pub(crate) fn glu(c: &Config<'_>, usual: Activation) -> Result<MlpSpec, ModelError> {
    gated(c, usual, c.need_size(HIDDEN, MAX_WIDTH * 16)?)
}

fn gated(c: &Config<'_>, usual: Activation, hidden: usize) -> Result<MlpSpec, ModelError> {
    Ok(MlpSpec {
        hidden,
        form: MlpForm::Glu(activation(c, usual)?),
        cut: None,
        bias: bias(c, Role::Gate, MLP_BIAS)?,
        inner_norm: None,
        down_bias: bias(c, Role::Down, MLP_BIAS)?,
    })
}

/// A unit without a gate, with biases.
pub(crate) fn plain_mlp(
    c: &Config<'_>,
    usual: Activation,
    hidden: Option<usize>,
) -> Result<MlpSpec, ModelError> {
    let hidden = match hidden {
        Some(usual) => c.size(HIDDEN, MAX_WIDTH * 16)?.unwrap_or(usual),
        None => c.need_size(HIDDEN, MAX_WIDTH * 16)?,
    };
    let form = MlpForm::Plain(activation(c, usual)?);
    Ok(MlpSpec { hidden, form, cut: None, bias: true, inner_norm: None, down_bias: true })
}
