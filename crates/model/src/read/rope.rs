//! Rotary embeddings and how they are stretched.

use super::MAX_CONTEXT;
use crate::ModelError;
use crate::config::{Config, Dialect, Key, key};
use crate::spec::{RopeScaling, RopeSpec};
use torchless_device::Pairing;

const DIMS: Key = key("rope.dimension_count", &[]);
const SCALINGS: &str = "default, linear, dynamic, yarn, longrope, proportional, llama3";

/// What a rotary embedding depends on beside its own keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RopeAsk<'a> {
    /// Values in a head.
    pub head_dim: usize,
    /// Positions that the model was trained for.
    pub context: usize,
    /// How pairs lie in this dialect.
    pub pairing: Pairing,
    /// Kind of layers, where `config.json` may have parameters for each kind.
    pub layer_type: Option<&'a str>,
}

/// A rotary embedding, and the positions that it is defined for where that is fewer than one might ask for.
pub(crate) fn rope(c: &Config<'_>, ask: RopeAsk<'_>) -> Result<(RopeSpec, Option<usize>), ModelError> {
    let keys = Keys { c, layer_type: ask.layer_type };
    let theta = keys.positive("theta")?.unwrap_or(10000.0);
    if let Some(scaling) = keys.proportional(ask.head_dim)? {
        let (dims, wave_dims, pairing) = (ask.head_dim, ask.head_dim, ask.pairing);
        return Ok((RopeSpec { theta, dims, wave_dims, pairing, scaling, factors: None }, None));
    }
    let (dims, wave_dims) = dims(c, &keys, ask.head_dim)?;
    let (scaling, limit) = keys.scaling(ask.context, dims / 2)?;
    let factors = factors(c, "rope_freqs.weight", dims / 2)?;
    Ok((RopeSpec { theta, dims, wave_dims, pairing: ask.pairing, scaling, factors }, limit))
}

/// The rotary embedding of layers that slide: parameters of their own where `config.json` has such, otherwise a plain one
/// whose base is in `theta`, or `usual`.
pub(crate) fn local_rope(
    c: &Config<'_>,
    ask: RopeAsk<'_>,
    (theta, usual): (Key<'_>, f32),
) -> Result<RopeSpec, ModelError> {
    let nested =
        ["rope_parameters.sliding_attention.rope_theta", "rope_parameters.sliding_attention.rope_type"];
    if c.states(key("", &nested)) {
        let ask = RopeAsk { layer_type: Some("sliding_attention"), ..ask };
        let (spec, _) = rope(c, ask)?;
        let stated = c.states(key("", &nested[..1]));
        return Ok(if stated {
            spec
        } else {
            RopeSpec { theta: c.positive(theta)?.unwrap_or(usual), ..spec }
        });
    }
    let keys = Keys { c, layer_type: None };
    let (dims, wave_dims) = dims(c, &keys, ask.head_dim)?;
    let theta = c.positive(theta)?.unwrap_or(usual);
    let (pairing, scaling) = (ask.pairing, RopeScaling::None);
    Ok(RopeSpec { theta, dims, wave_dims, pairing, scaling, factors: None })
}

/// Rotated dimensions, and those over which exponents run: an odd number of them is rotated with one more.
fn dims(c: &Config<'_>, keys: &Keys<'_, '_>, head_dim: usize) -> Result<(usize, usize), ModelError> {
    let dims = match c.dialect {
        Dialect::Gguf => c.size(DIMS, head_dim)?.unwrap_or(head_dim),
        Dialect::Json => {
            let part = keys.positive("partial")?.unwrap_or(1.0);
            (head_dim as f64 * f64::from(part)) as usize
        }
    };
    let even = dims.next_multiple_of(2);
    if even == 0 || even > head_dim || (c.dialect == Dialect::Gguf && even != dims) {
        let expected = format!("an even part of the {head_dim} values of a head");
        return Err(match c.dialect {
            Dialect::Gguf => c.bad(DIMS, &expected),
            Dialect::Json => c.bad(key("", &["head_dim", "partial_rotary_factor"]), &expected),
        });
    }
    Ok((even, dims))
}

/// GGUF carries LLaMA 3's scaling, and both sets of longrope, as tensors of one divisor per pair.
fn factors(c: &Config<'_>, name: &str, pairs: usize) -> Result<Option<Vec<f32>>, ModelError> {
    if c.dialect != Dialect::Gguf || !c.has_tensor(name) {
        return Ok(None);
    }
    let values = crate::load::vector(c.checkpoint().tensors.get(name)?, pairs)?;
    all_divide(name, &values)?;
    Ok(Some(values))
}

fn all_divide(name: &str, values: &[f32]) -> Result<(), ModelError> {
    if values.iter().all(|f| f.is_finite() && *f > 0.0) {
        return Ok(());
    }
    let (key, found) = (name.to_owned(), "a divisor that is not above 0".to_owned());
    Err(ModelError::BadValue { key, found, expected: "finite divisors above 0".to_owned() })
}

const ORIGINAL: &str = "original_max_position_embeddings";

/// Name here, in GGUF, in the objects of `config.json`, and the older spellings beside them.
const FIELDS: &[(&str, &str, &str, &[&str])] = &[
    ("theta", "rope.freq_base", "rope_theta", &["rope_theta", "rotary_emb_base"]),
    ("partial", "", "partial_rotary_factor", &["partial_rotary_factor", "rotary_pct", "rope_pct"]),
    ("type", "rope.scaling.type", "rope_type", &[]),
    ("factor", "rope.scaling.factor", "factor", &[]),
    ("original", "rope.scaling.original_context_length", ORIGINAL, &[]),
    ("short_factor", "", "short_factor", &[]),
    ("long_factor", "", "long_factor", &[]),
    ("low", "", "low_freq_factor", &[]),
    ("high", "", "high_freq_factor", &[]),
    ("beta_fast", "rope.scaling.yarn_beta_fast", "beta_fast", &[]),
    ("beta_slow", "rope.scaling.yarn_beta_slow", "beta_slow", &[]),
    ("attention_factor", "rope.scaling.attn_factor", "attention_factor", &[]),
    ("mscale", "", "mscale", &[]),
    ("mscale_all_dim", "", "mscale_all_dim", &[]),
    ("truncate", "", "truncate", &[]),
];

/// The keys of one rotary embedding.
struct Keys<'a, 'c> {
    c: &'a Config<'c>,
    layer_type: Option<&'a str>,
}

impl Keys<'_, '_> {
    /// Calls `f` with the key of a field, in every spelling.
    fn with<T>(&self, field: &str, f: impl FnOnce(Key<'_>) -> T) -> T {
        let (_, gguf, name, older) = FIELDS.iter().find(|(n, ..)| *n == field).unwrap_or(&FIELDS[0]);
        let mut spellings = Vec::new();
        if *name == ORIGINAL && self.layer_type.is_none() {
            // Beside the object it is the one that counts.
            spellings.push(ORIGINAL.to_owned());
        }
        if let Some(ty) = self.layer_type {
            spellings.push(format!("rope_parameters.{ty}.{name}"));
        }
        for object in ["rope_parameters", "rope_scaling"] {
            spellings.push(format!("{object}.{name}"));
            if *name == "rope_type" {
                spellings.push(format!("{object}.type"));
            }
        }
        let json: Vec<&str> = spellings.iter().map(String::as_str).chain(older.iter().copied()).collect();
        f(key(gguf, &json))
    }

    fn positive(&self, field: &str) -> Result<Option<f32>, ModelError> {
        self.with(field, |k| self.c.positive(k))
    }

    fn need(&self, field: &str) -> Result<f32, ModelError> {
        self.with(field, |k| self.c.need_positive(k))
    }

    /// How far positions are stretched; in GGUF files of 2023 under another name.
    fn factor(&self) -> Result<Option<f32>, ModelError> {
        let older = self.c.positive(key("rope.scale_linear", &[]))?;
        Ok(self.positive("factor")?.or(older))
    }

    fn need_factor(&self) -> Result<f32, ModelError> {
        self.factor()?.map_or_else(|| self.need("factor"), Ok)
    }

    fn original(&self) -> Result<Option<usize>, ModelError> {
        self.with("original", |k| self.c.size(k, MAX_CONTEXT))
    }

    fn scaling(&self, context: usize, pairs: usize) -> Result<(RopeScaling, Option<usize>), ModelError> {
        let kind = self.with("type", |k| self.c.text(k).map(|t| t.map(str::to_owned)))?;
        let original = self.original()?;
        if let Some(stretched) = self.longrope(original.unwrap_or(context), context, pairs)? {
            return Ok((stretched, None));
        }
        match kind.as_deref() {
            None if self.c.dialect == Dialect::Gguf => {
                // As in llama.cpp: a factor without a type is that of linear scaling.
                let linear = |factor| RopeScaling::Linear { factor };
                Ok((self.factor()?.map_or(RopeScaling::None, linear), None))
            }
            None | Some("default") => Ok((RopeScaling::None, None)),
            // A factor says nothing beside it.
            Some("none") => self.factor().map(|_| (RopeScaling::None, None)),
            Some("linear") => Ok((RopeScaling::Linear { factor: self.need_factor()? }, None)),
            // Frequencies depend on the length of the text beyond the original context, and what is in the cache
            // would have to turn again: within it nothing changes, beyond it is an error.
            Some("dynamic") => {
                self.need_factor().map(|_| (RopeScaling::None, Some(original.unwrap_or(context))))
            }
            Some("yarn") => Ok((self.yarn(original.unwrap_or(context))?, None)),
            Some("llama3") => Ok((self.llama3(original.unwrap_or(context))?, None)),
            _ => Err(self.with("type", |k| self.c.unsupported(k, SCALINGS))),
        }
    }

    /// Whole heads turn, but the pairs beyond a part of them by nothing.
    fn proportional(&self, head_dim: usize) -> Result<Option<RopeScaling>, ModelError> {
        if self.with("type", |k| self.c.text(k).map(|t| t != Some("proportional")))? {
            return Ok(None);
        }
        let part = self.positive("partial")?.unwrap_or(1.0).min(1.0);
        let pairs = (f64::from(part) * head_dim as f64 / 2.0) as usize;
        Ok(Some(RopeScaling::Proportional { pairs, factor: self.positive("factor")?.unwrap_or(1.0) }))
    }

    /// Known by its two lists of divisors, whatever it is called: `su` and `yarn` are older names.
    fn longrope(
        &self,
        original: usize,
        context: usize,
        pairs: usize,
    ) -> Result<Option<RopeScaling>, ModelError> {
        let list = |field, tensor: &str| match self.with(field, |k| self.c.numbers(k, pairs))? {
            Some(values) => all_divide(field, &values).map(|()| Some(values)),
            None => factors(self.c, tensor, pairs),
        };
        let lists = (
            list("short_factor", "rope_factors_short.weight")?,
            list("long_factor", "rope_factors_long.weight")?,
        );
        let (Some(short), Some(long)) = lists else { return Ok(None) };
        let given = self.positive("attention_factor")?;
        let factor = self.positive("factor")?.unwrap_or(context as f32 / original as f32);
        let stretch = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (original as f32).ln()).sqrt() };
        let usual = if self.c.dialect == Dialect::Gguf { 1.0 } else { stretch };
        let magnitude = given.unwrap_or(usual);
        Ok(Some(RopeScaling::LongRope { short, long, original, magnitudes: (magnitude, magnitude) }))
    }

    fn llama3(&self, original: usize) -> Result<RopeScaling, ModelError> {
        let (factor, low, high) = (self.need("factor")?, self.need("low")?, self.need("high")?);
        if high <= low {
            return Err(
                self.with("high", |k| self.c.bad(k, &format!("more than low_freq_factor, which is {low}")))
            );
        }
        Ok(RopeScaling::Llama3 { factor, low, high, original })
    }

    fn yarn(&self, original: usize) -> Result<RopeScaling, ModelError> {
        let factor = self.need_factor()?;
        let stretch = |mscale: f32| if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
        let given = self.positive("attention_factor")?;
        let [mscale, all] = ["mscale", "mscale_all_dim"].map(|field| self.positive_or_zero(field));
        let magnitude = match (self.c.dialect, given, mscale?, all?) {
            (Dialect::Gguf, given, ..) => given.unwrap_or(1.0) * stretch(1.0),
            (Dialect::Json, Some(given), ..) => given,
            (Dialect::Json, None, Some(mscale), Some(all)) => stretch(mscale) / stretch(all),
            (Dialect::Json, None, ..) => stretch(1.0),
        };
        Ok(RopeScaling::Yarn {
            factor,
            original,
            beta_fast: self.positive("beta_fast")?.unwrap_or(32.0),
            beta_slow: self.positive("beta_slow")?.unwrap_or(1.0),
            magnitude,
            truncate: self.with("truncate", |k| self.c.flag(k))?.unwrap_or(true),
        })
    }

    /// 0 is as good as absent.
    fn positive_or_zero(&self, field: &str) -> Result<Option<f32>, ModelError> {
        match self.with(field, |k| self.c.count(k, 0)) {
            Ok(_) => Ok(None),
            Err(_) => self.positive(field),
        }
    }
}
