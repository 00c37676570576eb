//! From GGUF to the names and conventions of a checkpoint with `config.json`, for what both hold row by row: which tensor goes where.
//! The `config.json` is for whoever writes it; what happens to rows follows from it once it has been read back.

use super::{Change, attention, change, in_gguf, is_reordered, refused};
use crate::ModelError;
use crate::arch::{self, Family};
use crate::config::{Config, Dialect};
use crate::own_words;
use crate::roles::{Layout, Naming, Part, Role};
use crate::spec::{Ffn, LayerSpec, Mixer, ModelSpec};
use std::collections::BTreeSet;
use torchless_formats::Checkpoint;

/// A tensor of the new checkpoint and what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackPlace {
    /// Its name in the new checkpoint.
    pub name: String,
    /// The tensor of the GGUF file.
    pub from: String,
    /// Which of its matrices, or of its rows where these are vectors, where it holds several.
    pub matrix: Option<usize>,
    /// Outermost first.
    pub shape: Vec<usize>,
    role: Role,
    layer: Option<usize>,
    part: Part,
}

/// A GGUF file in the words of one `model_type`.
#[derive(Clone, Debug)]
pub struct BackTranslation {
    /// What the model is.
    pub spec: ModelSpec,
    /// Value of `model_type`.
    pub model_type: &'static str,
    /// The tensors.
    pub places: Vec<BackPlace>,
}

/// Keys for a number of experts.
const EXPERTS: &[&str] = &["num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"];

/// The ways to put a GGUF checkpoint that some `model_type` may have, likeliest first; which of them are right shows when
/// the `config.json` is read back.
///
/// # Errors
/// It is no GGUF model that runs here, or one whose tensors lie otherwise in every such checkpoint.
pub fn translate_back(checkpoint: &Checkpoint) -> Result<Vec<BackTranslation>, ModelError> {
    let config = Config::new(checkpoint, None)?;
    if config.dialect != Dialect::Gguf {
        return Err(refused("a checkpoint with config.json", "GGUF"));
    }
    // config.json has no word for how precisely a function is computed.
    let spec = own_words::with_exact_functions(arch::spec(checkpoint, None)?);
    let mut first_error = None;
    let mut all = Vec::new();
    let has_experts = spec.layers.iter().any(|layer| matches!(layer.ffn, Ffn::Experts(_)));
    let is_windowed =
        |layer: &LayerSpec| matches!(&layer.mixer, Mixer::Attention(attn) if attn.window.is_some());
    let has_windows = spec.layers.iter().any(is_windowed);
    let mut families = arch::in_json(config.family, &config.arch);
    // One architecture of GGUF may stand for several families, of which one has experts, and one windows.
    if has_experts && families.iter().any(|(_, family)| family.has_keys(EXPERTS)) {
        families.retain(|(_, family)| family.has_keys(EXPERTS));
    }
    families.sort_by_key(|(_, family)| has_windows && !family.has_keys(&["sliding_window"]));
    for (model_type, family) in families {
        match places(checkpoint, &spec, (config.family, family)) {
            Ok(places) => all.push(BackTranslation { spec: spec.clone(), model_type, places }),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match (all.is_empty(), first_error) {
        (true, error) => {
            Err(error.unwrap_or_else(|| refused(&config.arch, "architectures that config.json has")))
        }
        (false, _) => Ok(all),
    }
}

fn places(
    checkpoint: &Checkpoint,
    spec: &ModelSpec,
    (gguf, json): (&'static Family, &'static Family),
) -> Result<Vec<BackPlace>, ModelError> {
    let from = Naming::new(checkpoint, Dialect::Gguf, gguf);
    let to = Naming::new(checkpoint, Dialect::Json, json);
    if to.layout() != Layout::Rows {
        return Err(refused("matrices that lie otherwise than output by output", "others"));
    }
    let mut work = Work { checkpoint, spec, from, to, used: BTreeSet::new(), places: Vec::new() };
    for &role in Role::ALL {
        let layers =
            if role.is_of_layers() { (0..spec.layers.len()).map(Some).collect() } else { vec![None] };
        for layer in layers {
            for part in [Part::Weight, Part::Bias, Part::Bare] {
                work.place(role, layer, part)?;
            }
        }
    }
    let Work { used, places, .. } = work;
    let skipped = spec.skipped();
    let needless = |name: &str| from.is_redundant(name) || from.is_of_layers(name, &skipped);
    let left = |name: &&str| !used.contains(*name) && !needless(name);
    match checkpoint.tensors.names().find(left) {
        Some(name) => Err(refused(&format!("tensor '{name}' outside of GGUF"), "tensors with a place there")),
        None => Ok(places),
    }
}

struct Work<'a> {
    checkpoint: &'a Checkpoint,
    spec: &'a ModelSpec,
    from: Naming,
    to: Naming,
    used: BTreeSet<String>,
    places: Vec<BackPlace>,
}

impl Work<'_> {
    fn place(&mut self, role: Role, layer: Option<usize>, part: Part) -> Result<(), ModelError> {
        let Some(name) = self.from.find(role, layer, part) else { return Ok(()) };
        if !self.checkpoint.tensors.contains(&name)
            || self.used.contains(&name)
            || change(self.spec, role, layer, part).is_none()
        {
            return Ok(());
        }
        let shape = self.checkpoint.tensors.get(&name)?.shape.clone();
        if role == Role::Up && self.is_both_halves(layer, &name, &shape) {
            return Ok(());
        }
        let experts = layer.and_then(|i| match &self.spec.layers[i].ffn {
            Ffn::Experts(moe) => Some(moe.routing.experts),
            Ffn::Dense(_) => None,
        });
        let each = match role {
            Role::ExpertsGate => Some(Role::ExpertGate),
            Role::ExpertsUp => Some(Role::ExpertUp),
            Role::ExpertsDown => Some(Role::ExpertDown),
            _ => None,
        };
        let unknown = || refused(&format!("tensor '{name}' outside of GGUF"), "tensors with a place there");
        // Matrices that lie in one with others are not put together.
        if each.is_some() && self.to.has_own(Role::ExpertsGateUp) {
            return Err(unknown());
        }
        if let (Some(each), Some(experts), [count, rows, cols]) = (each, experts, &shape[..]) {
            let stem =
                self.to.find(each, layer, part).filter(|stem| stem.contains("{}") && *count == experts);
            let stem = stem.ok_or_else(unknown)?;
            for matrix in 0..experts {
                let name_of = stem.replacen("{}", &matrix.to_string(), 1);
                let shape = vec![*rows, *cols];
                self.push((role, layer, part), name_of, &name, (Some(matrix), shape));
            }
        } else {
            // Where the checkpoint's names have no ending, GGUF's have one.
            let bare_or_own = if part == Part::Bias { [Part::Bare, part] } else { [part, Part::Bare] };
            let target = bare_or_own.into_iter().find(|other| in_gguf(role, *other) == (role, part));
            let target = target.and_then(|part| self.to.find(role, layer, part)).ok_or_else(unknown)?;
            match &shape[..] {
                // Norms of single heads.
                [heads, each] if target.contains("{}") => {
                    for head in 0..*heads {
                        let name_of = target.replacen("{}", &head.to_string(), 1);
                        self.push((role, layer, part), name_of, &name, (Some(head), vec![*each]));
                    }
                }
                // ERNIE keeps room for the statistics of a second kind of tokens.
                [experts] if target.ends_with("moe_statics.e_score_correction_bias") => {
                    self.push((role, layer, part), target, &name, (None, vec![1, *experts]));
                }
                _ => self.push((role, layer, part), target, &name, (None, shape)),
            }
        }
        self.used.insert(name);
        Ok(())
    }

    /// Whether what could be one half of a gated unit is both, under a name that a family gives to both.
    fn is_both_halves(&self, layer: Option<usize>, name: &str, shape: &[usize]) -> bool {
        let Some(Ffn::Dense(mlp)) = layer.map(|i| &self.spec.layers[i].ffn) else { return false };
        let both = self.from.find(Role::FusedGateUp, layer, Part::Weight);
        both.as_deref() == Some(name) && shape.first() == Some(&(2 * mlp.hidden))
    }

    fn push(
        &mut self,
        (role, layer, part): (Role, Option<usize>, Part),
        name: String,
        from: &str,
        (matrix, shape): (Option<usize>, Vec<usize>),
    ) {
        self.places.push(BackPlace { name, from: from.to_owned(), matrix, shape, role, layer, part });
    }
}

impl BackPlace {
    /// What happens to the rows on the way to a checkpoint whose specification is `made`. Pairs of rotated rows that come apart are
    /// [`Change::Order`]; 1 that is taken away is [`Change::LessOne`].
    ///
    /// # Errors
    /// Rotated pairs lie otherwise than reordering rows can make them.
    pub fn change(&self, spec: &ModelSpec, made: &ModelSpec) -> Result<Change, ModelError> {
        let weights = |spec: &ModelSpec| change(spec, self.role, self.layer, self.part);
        match (weights(made), weights(spec), self.layer) {
            (Some(Change::AddOne), _, _) => Ok(Change::LessOne),
            (_, Some(Change::Rotated { head_dim }), Some(layer)) => match is_reordered(made, spec, layer) {
                Some(false) => Ok(Change::None),
                Some(true) => Ok(Change::Order(pairs_apart(self.shape[0], head_dim))),
                None if attention(&spec.layers[layer]).is_none() => Ok(Change::None),
                None => Err(refused(
                    &format!("'{}', whose pairs lie otherwise than reordering rows makes them", self.from),
                    "pairs of neighbours, or of values half a head apart",
                )),
            },
            _ => Ok(Change::None),
        }
    }
}

/// Rows whose pairs lie side by side in each head, such that they come to lie half a head apart.
fn pairs_apart(rows: usize, head_dim: usize) -> Vec<usize> {
    let half = head_dim / 2;
    (0..rows)
        .map(|row| row / head_dim * head_dim + row % head_dim % half * 2 + row % head_dim / half)
        .collect()
}
