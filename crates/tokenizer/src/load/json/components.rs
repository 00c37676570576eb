//! What the components of tokenizer.json have in common: chains, patterns, and how they are read.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::TokenizerError;
use crate::error::excerpt;
use crate::load::ruby_pattern;
use crate::normalize::Needle;
use crate::pretokenize::PrependScheme;

/// Most components in one chain.
const MAX_STEPS: usize = 32;
/// By what factor a chain may make text longer, short of Unicode's own forms.
const MAX_GROWTH: usize = 256;

/// The `type` of a component.
pub(super) fn name(value: &Value) -> Option<String> {
    value.get("type")?.as_str().map(|name| excerpt(name.as_bytes()))
}

pub(super) fn unknown(place: &'static str, found: &str, known: &str) -> TokenizerError {
    TokenizerError::Unknown { place, found: excerpt(found.as_bytes()), known: known.to_owned() }
}

pub(super) fn read<T: DeserializeOwned>(place: &'static str, value: &Value) -> Result<T, TokenizerError> {
    T::deserialize(value).map_err(|error| TokenizerError::Json {
        file: place,
        what: format!("{}: {}", name(value).unwrap_or_default(), excerpt(error.to_string().as_bytes())),
    })
}

/// The components of `value` in order, with `Sequence` (whose list is called `list`) unfolded.
pub(super) fn chain<'v>(
    place: &'static str,
    value: Option<&'v Value>,
    list: &str,
) -> Result<Vec<(&'v str, &'v Value)>, TokenizerError> {
    let (mut steps, mut stack) = (Vec::new(), Vec::new());
    stack.extend(value.filter(|value| !value.is_null()));
    while let Some(value) = stack.pop() {
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
        if kind == "Sequence" {
            let inner = value.get(list).and_then(Value::as_array);
            let inner = inner.ok_or_else(|| unknown(place, "Sequence without its list", list))?;
            stack.extend(inner.iter().rev());
        } else {
            steps.push((kind, value));
        }
        if steps.len() + stack.len() > MAX_STEPS {
            let found = steps.len() + stack.len();
            return Err(TokenizerError::TooMany { what: place, found, limit: MAX_STEPS });
        }
    }
    Ok(steps)
}

/// `{"String": ...}` or `{"Regex": ...}`.
#[derive(Deserialize)]
pub(super) enum PatternJson {
    String(String),
    Regex(String),
}

pub(super) fn needle(place: &'static str, from: PatternJson) -> Result<Needle, TokenizerError> {
    match from {
        PatternJson::String(text) if text.is_empty() => {
            Err(unknown(place, "an empty pattern", "any other text"))
        }
        PatternJson::String(text) => Ok(Needle::Literal(text)),
        PatternJson::Regex(source) => Ok(Needle::Pattern(Box::new(ruby_pattern(place, &source)?))),
    }
}

/// A chain must not turn a short text into one that fills the memory; `growths` are the factors of its steps.
pub(super) fn check_growth(
    what: &'static str,
    growths: impl Iterator<Item = usize>,
) -> Result<(), TokenizerError> {
    let found = growths.fold(1, usize::saturating_mul);
    if found > MAX_GROWTH {
        return Err(TokenizerError::TooMany { what, found, limit: MAX_GROWTH });
    }
    Ok(())
}

#[derive(Deserialize)]
pub(super) struct MetaspaceJson {
    pub(super) replacement: char,
    prepend_scheme: Option<String>,
    add_prefix_space: Option<bool>,
    pub(super) split: Option<bool>,
}

impl MetaspaceJson {
    pub(super) fn prepend(&self, place: &'static str) -> Result<PrependScheme, TokenizerError> {
        match (self.prepend_scheme.as_deref(), self.add_prefix_space) {
            (Some("always"), _) | (None, None | Some(true)) => Ok(PrependScheme::Always),
            (Some("first"), _) => Ok(PrependScheme::First),
            (Some("never"), _) | (None, Some(false)) => Ok(PrependScheme::Never),
            (Some(other), _) => Err(unknown(place, other, "always, first, never")),
        }
    }
}
