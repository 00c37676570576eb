//! From a checkpoint with `config.json` to the names and conventions of GGUF: which tensor goes where, and what has to happen
//! to its rows on the way. The metadata is for whoever writes the file; [`same_model`] says whether it was right.

mod back;

pub use back::{BackPlace, BackTranslation, translate_back};

use crate::ModelError;
use crate::arch;
use crate::config::{Config, Dialect};
use crate::load::parts_together;
use crate::roles::{Layout, Naming, Part, Role};
use crate::rope;
use crate::spec::{
    AttnSpec, DeltaSpec, ExpertStorage, Ffn, LayerSpec, Mixer, ModelSpec, NormWeight, RopeScaling, RopeSpec,
};
use std::collections::BTreeSet;
use torchless_device::{DeltaShape, HeadSharing, Pairing};
use torchless_formats::{Checkpoint, Tensor};

/// A tensor of the GGUF file and what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name in GGUF.
    pub name: String,
    /// Tensors of the checkpoint, whose rows it has one after another.
    pub from: Vec<String>,
    /// Outermost first.
    pub shape: Vec<usize>,
    /// What happens to the rows.
    pub change: Change,
}

/// What happens to rows on their way to GGUF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// 1 is added: the weight of a norm that is stored less one.
    AddOne,
    /// 1 is taken away.
    LessOne,
    /// Rows of queries or keys, whose heads have so many: reordered where GGUF wants rotated pairs side by side.
    Rotated {
        /// Rows of a head.
        head_dim: usize,
    },
    /// These rows, in this order; of a vector, these values.
    Order(Vec<usize>),
    /// Of each row these values, in this order.
    Columns(Vec<usize>),
    /// Columns become rows, matrix by matrix: the column `first` of each and every `step`th after it.
    Turned {
        /// The first column.
        first: usize,
        /// From one column to the next.
        step: usize,
    },
    /// Logarithms of magnitudes become negative numbers, these in this order.
    Decay(Vec<usize>),
}

/// A checkpoint in the words of GGUF.
#[derive(Clone, Debug)]
pub struct Translation {
    /// What the model is.
    pub spec: ModelSpec,
    /// Value of `general.architecture`.
    pub arch: &'static str,
    /// The tensors.
    pub places: Vec<Place>,
}

/// Translates a checkpoint whose metadata is `config.json`, or that of the native format.
///
/// # Errors
/// It is no model that runs here, or one whose tensors GGUF holds in another arrangement.
pub fn translate(checkpoint: &Checkpoint) -> Result<Translation, ModelError> {
    let config = Config::new(checkpoint, None)?;
    if config.dialect == Dialect::Gguf {
        return Err(refused("GGUF", "config.json and native metadata"));
    }
    let spec = arch::spec(checkpoint, None)?;
    let (arch, family) = arch::in_gguf(config.family, &config.arch)
        .ok_or_else(|| refused(&format!("{} in GGUF", config.arch), "architectures that GGUF has"))?;
    let from = Naming::new(checkpoint, Dialect::Json, config.family);
    let to = Naming::new(checkpoint, Dialect::Gguf, family);
    let sharing = arch::delta_sharing(Dialect::Gguf, arch);
    let mut work =
        Work { checkpoint, spec: &spec, sharing, from, to, used: BTreeSet::new(), places: Vec::new() };
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
    if let Some(name) = checkpoint.tensors.names().find(left) {
        let tied = spec.tied_head && Some(name) == from.find(Role::Head, None, Part::Weight).as_deref();
        if !tied {
            return Err(refused(&format!("tensor '{name}' in GGUF"), "tensors that it has"));
        }
    }
    let (rows, mut spec) = (inputs_in_gguf(&spec), spec);
    if let (Some(inputs), Some(rows)) = (&mut spec.token_inputs, rows) {
        inputs.rows = rows;
    }
    Ok(Translation { spec, arch, places })
}

/// How many rows GGUF has where a checkpoint's inputs from tokens have another number of them: as many as there are tokens. A table that
/// lacks more rows than it has is left as it is, so that no file asks for an endless one.
fn inputs_in_gguf(spec: &ModelSpec) -> Option<usize> {
    let rows = spec.token_inputs?.rows;
    (rows != spec.vocab && spec.vocab / 2 <= rows).then_some(spec.vocab)
}

fn refused(what: &str, supported: &str) -> ModelError {
    ModelError::Unsupported { what: what.to_owned(), supported: supported.to_owned() }
}

/// A translation under way.
struct Work<'a> {
    checkpoint: &'a Checkpoint,
    spec: &'a ModelSpec,
    /// In which order GGUF wants the value heads of linear attention.
    sharing: HeadSharing,
    from: Naming,
    to: Naming,
    used: BTreeSet<String>,
    places: Vec<Place>,
}

impl Work<'_> {
    /// Finds a place for what the checkpoint has in a role.
    fn place(&mut self, role: Role, layer: Option<usize>, part: Part) -> Result<(), ModelError> {
        let Some(stem) = self.from.find(role, layer, part) else { return Ok(()) };
        let (target, count) = self.several(role, layer, &stem);
        let from: Vec<String> = match count {
            Some(count) => (0..count).map(|i| stem.replacen("{}", &i.to_string(), 1)).collect(),
            None => vec![stem],
        };
        let free = |name: &String| self.checkpoint.tensors.contains(name) && !self.used.contains(name);
        if from.is_empty() || !from.iter().all(free) {
            return Ok(());
        }
        let Some(change) = change(self.spec, role, layer, part) else { return Ok(()) };
        let tensor = self.checkpoint.tensors.get(&from[0])?;
        let mut shape = tensor.shape.clone();
        if count.is_some() {
            shape.insert(0, from.len());
        }
        if matches!(role, Role::ExpertsGateUp | Role::ExpertsGateUpBias) {
            self.halves(role, layer, tensor)?;
        } else {
            let change = self.arranged((role, layer), change, tensor, &mut shape);
            self.push((target, layer, part), from.clone(), shape, change)?;
        }
        self.used.extend(from);
        Ok(())
    }

    /// Where a role's tensors go, and how many there are where a checkpoint has several that GGUF has in one.
    fn several(&self, role: Role, layer: Option<usize>, name: &str) -> (Role, Option<usize>) {
        let experts = layer.and_then(|i| match &self.spec.layers[i].ffn {
            Ffn::Experts(moe) => Some(moe.routing.experts),
            Ffn::Dense(_) => None,
        });
        let streams = self.spec.streams.map(|streams| streams.count - 1);
        let attn = layer.and_then(|i| attention(&self.spec.layers[i]));
        let several = |count: Option<usize>| if name.contains("{}") { count.or(Some(0)) } else { None };
        match role {
            Role::ExpertGate => (Role::ExpertsGate, several(experts)),
            Role::ExpertUp => (Role::ExpertsUp, several(experts)),
            Role::ExpertDown => (Role::ExpertsDown, several(experts)),
            Role::StreamsInto | Role::StreamsOut => (role, several(streams)),
            // Norms of single heads.
            Role::QueryNorm => (role, several(attn.map(|attn| attn.heads))),
            Role::KeyNorm => (role, several(attn.map(|attn| attn.kv_heads))),
            _ => (role, None),
        }
    }

    /// Gate and up of all experts, which lie in one tensor: rows of each gate before those of its other half, or both by turns.
    fn halves(&mut self, role: Role, layer: Option<usize>, tensor: &Tensor) -> Result<(), ModelError> {
        let (name, by_turns) = (&tensor.name, layer.is_some_and(|i| self.has_columns(i)));
        let turned = by_turns && !is_packed(tensor);
        for (half, target) in [Role::ExpertsGate, Role::ExpertsUp].into_iter().enumerate() {
            let (part, shape, change) = match (role, &tensor.shape[..]) {
                (Role::ExpertsGateUpBias, &[experts, both]) => {
                    let own = (half..both).step_by(2).collect();
                    (Part::Bias, vec![experts, both / 2], Change::Columns(own))
                }
                (Role::ExpertsGateUp, &[experts, cols, both]) if turned => {
                    (Part::Weight, vec![experts, both / 2, cols], Change::Turned { first: half, step: 2 })
                }
                (Role::ExpertsGateUp, &[experts, both, cols]) => {
                    let hidden = both / 2;
                    let (start, step) = if by_turns { (half, 2) } else { (half * hidden, 1) };
                    let of = |e: usize| (0..hidden).map(move |i| e * both + start + i * step);
                    let rows = (0..experts).flat_map(of).collect();
                    (Part::Weight, vec![experts, hidden, cols], Change::Order(rows))
                }
                (_, shape) => {
                    let what = format!("tensor '{name}' of shape {shape:?} in GGUF");
                    return Err(refused(&what, "[experts, rows, cols]"));
                }
            };
            self.push((target, layer, part), vec![name.clone()], shape, change)?;
        }
        Ok(())
    }

    /// Whether the experts of a layer lie column by column.
    fn has_columns(&self, layer: usize) -> bool {
        matches!(&self.spec.layers[layer].ffn, Ffn::Experts(moe) if moe.storage == ExpertStorage::Columns)
    }

    /// What the arrangement of a checkpoint's matrices asks for beside.
    fn arranged(
        &self,
        (role, layer): (Role, Option<usize>),
        change: Change,
        tensor: &Tensor,
        shape: &mut Vec<usize>,
    ) -> Change {
        let whole = Change::Turned { first: 0, step: 1 };
        match (self.from.layout(), layer.map(|i| &self.spec.layers[i].mixer)) {
            (Layout::Columns, _) if shape.len() == 2 && layer.is_some() => {
                shape.reverse();
                whole
            }
            (Layout::HeadsTakeTurns, Some(Mixer::Attention(attn))) if role == Role::FusedQkv => {
                Change::Order(parts_together(attn.head_dim, shape[0]))
            }
            _ if role == Role::TokenInputs => self.inputs_of_tokens(shape).unwrap_or(change),
            _ if role == Role::ExpertsDown && layer.is_some_and(|i| self.has_columns(i)) => {
                if is_packed(tensor) || shape.len() != 3 {
                    return change;
                }
                shape.swap(1, 2);
                whole
            }
            (_, Some(Mixer::Delta(delta))) => {
                if role == Role::DeltaConv {
                    shape.retain(|n| *n != 1);
                }
                delta_change(role, delta, self.sharing).unwrap_or(change)
            }
            _ => change,
        }
    }

    /// Rows of inputs for all tokens: those that the table does not reach take its first one, here as in transformers.
    fn inputs_of_tokens(&self, shape: &mut [usize]) -> Option<Change> {
        let (rows, wanted) = (self.spec.token_inputs?.rows, inputs_in_gguf(self.spec)?);
        let there = shape.first_mut().filter(|there| **there == rows)?;
        *there = wanted;
        Some(Change::Order((0..wanted).map(|token| if token < rows { token } else { 0 }).collect()))
    }

    fn push(
        &mut self,
        (role, layer, part): (Role, Option<usize>, Part),
        from: Vec<String>,
        shape: Vec<usize>,
        change: Change,
    ) -> Result<(), ModelError> {
        let (role, part) = in_gguf(role, part);
        let name = self.to.find(role, layer, part);
        let first = from.first().map_or("", String::as_str);
        let name =
            name.ok_or_else(|| refused(&format!("tensor '{first}' in GGUF"), "tensors that it has"))?;
        self.places.push(Place { name, from, shape, change });
        Ok(())
    }
}

/// What GGUF calls a role, and how the name ends, where it has no ending in the checkpoint.
fn in_gguf(role: Role, part: Part) -> (Role, Part) {
    match (role, part) {
        (Role::ExpertsDownBias, _) => (Role::ExpertsDown, Part::Bias),
        (Role::ChoiceBias | Role::DeltaShift, _) => (role, Part::Bias),
        (Role::RouterScale | Role::ExpertFactors | Role::DeltaRate, _) => (role, Part::Bare),
        (_, Part::Bare) => (role, Part::Weight),
        _ => (role, part),
    }
}

/// Blocks of several values lie along rows that are multiplied, whatever a checkpoint does with whole values.
fn is_packed(tensor: &Tensor) -> bool {
    tensor.ty.info().block_len > 1
}

/// The order that GGUF has the value heads of linear attention in, where it is another one.
pub(crate) fn delta_heads(delta: &DeltaSpec, sharing: HeadSharing) -> Option<Vec<usize>> {
    let DeltaShape { key_heads, value_heads, .. } = delta.state.delta;
    let each = value_heads / key_heads;
    let heads: Vec<_> = (0..value_heads).map(|j| j % key_heads * each + j / key_heads).collect();
    (sharing == HeadSharing::Rounds && !heads.is_sorted()).then_some(heads)
}

/// What happens to a tensor of linear attention, whose value heads GGUF may want in another order.
fn delta_change(role: Role, delta: &DeltaSpec, sharing: HeadSharing) -> Option<Change> {
    let DeltaShape { key_heads, value_heads, key_dim, value_dim, .. } = delta.state.delta;
    let order = delta_heads(delta, sharing);
    let moved = order.is_some();
    let heads = order.unwrap_or_else(|| (0..value_heads).collect());
    let values = || heads.iter().flat_map(|head| head * value_dim..(head + 1) * value_dim);
    let keys = 2 * key_heads * key_dim;
    match role {
        Role::DeltaRate => Some(Change::Decay(heads)),
        Role::DeltaQkv | Role::DeltaConv if moved => {
            Some(Change::Order((0..keys).chain(values().map(|i| keys + i)).collect()))
        }
        Role::DeltaZ if moved => Some(Change::Order(values().collect())),
        Role::DeltaOut if moved => Some(Change::Columns(values().collect())),
        Role::DeltaBeta | Role::DeltaAlpha | Role::DeltaShift if moved => Some(Change::Order(heads)),
        _ => None,
    }
}

/// What a role's tensor needs; `None` where the model has no such role, and another has its name.
fn change(spec: &ModelSpec, role: Role, layer: Option<usize>, part: Part) -> Option<Change> {
    let of = |norm: NormWeight| {
        if part == Part::Weight && norm == NormWeight::LessOne { Change::AddOne } else { Change::None }
    };
    let Some(layer) = layer.map(|i| &spec.layers[i]) else {
        return Some(match role {
            Role::FinalNorm => of(spec.final_norm.weight),
            Role::Head if spec.tied_head && part == Part::Weight => return None,
            _ => Change::None,
        });
    };
    let (attn, wiring) = (attention(layer), layer.wiring);
    let head_norm = attn.and_then(|attn| attn.qk_norm).map_or(NormWeight::Plain, |n| n.norm.weight);
    Some(match role {
        Role::MixerNorm | Role::FfnNorm if !wiring.norms_inputs() => return None,
        Role::MixerPostNorm | Role::FfnPostNorm if !wiring.norms_outputs() => return None,
        Role::MixerNorm | Role::FfnNorm | Role::MixerPostNorm | Role::FfnPostNorm => of(layer.norm.weight),
        Role::QueryNorm | Role::KeyNorm => of(head_norm),
        Role::Query | Role::Key => match attn {
            Some(attn) => Change::Rotated { head_dim: attn.head_dim },
            None => Change::None,
        },
        _ => Change::None,
    })
}

/// Whether queries and keys of a layer lie otherwise in the second specification, so that rows have to be reordered: rotated
/// pairs side by side instead of halves apart. `None` where that cannot be had by reordering.
pub fn is_reordered(from: &ModelSpec, to: &ModelSpec, layer: usize) -> Option<bool> {
    let a = attention(&from.layers[layer])?;
    attention(&to.layers[layer])?;
    // Converters reorder the rows of layers without rotation too, where that changes nothing.
    let (rope_a, rope_b) = (rope_near(from, layer), rope_near(to, layer));
    match (rope_a.map(|rope| rope.pairing), rope_b.map(|rope| rope.pairing)) {
        (a, b) if a == b => Some(false),
        (Some(Pairing::Halves), Some(Pairing::Adjacent)) => {
            let whole = rope_a.is_some_and(|rope| rope.dims == a.head_dim);
            (whole && a.qk_norm.is_none()).then_some(true)
        }
        _ => None,
    }
}

/// The rotation of a layer, or where it has none of the first that has one.
fn rope_near(spec: &ModelSpec, layer: usize) -> Option<&RopeSpec> {
    let of = |layer| attention(layer).and_then(|attn| attn.rope.as_ref());
    of(&spec.layers[layer]).or_else(|| spec.layers.iter().find_map(of))
}

/// Whether both compute the same, but for the conventions of the two dialects: names, the arrangement of rotated pairs, norms that are
/// stored less one, and rotary frequencies that one writes as a rule and the other as numbers.
pub fn same_model(a: &ModelSpec, b: &ModelSpec) -> bool {
    let rope = |layer| attention(layer).and_then(|attn| attn.rope.as_ref());
    plain(a) == plain(b)
        && a.layers.iter().zip(&b.layers).all(|(a, b)| match (rope(a), rope(b)) {
            (Some(a), Some(b)) => same_rotation(a, b),
            (None, None) => true,
            _ => false,
        })
}

fn same_rotation(a: &RopeSpec, b: &RopeSpec) -> bool {
    let (a, b) = (rope::build(a), rope::build(b));
    let near = |a: &[f32], b: &[f32]| {
        // Pairs that do not turn are divided by something very large where there is no other word for it.
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * a.abs() + 1e-20)
    };
    let beyond = match (&a.beyond, &b.beyond) {
        (Some(a), Some(b)) => {
            a.tokens == b.tokens
                && near(&a.inv_freq, &b.inv_freq)
                && (a.magnitude - b.magnitude).abs() <= 1e-6 * a.magnitude
        }
        (None, None) => true,
        _ => false,
    };
    near(&a.inv_freq, &b.inv_freq) && (a.magnitude - b.magnitude).abs() <= 1e-6 * a.magnitude && beyond
}

/// The specification without what the dialects write differently.
fn plain(spec: &ModelSpec) -> ModelSpec {
    let mut spec = spec.clone();
    spec.arch.clear();
    spec.context_limit = None;
    // Layers that guess at tokens further on are nothing that is computed.
    spec.skipped_layers = 0;
    let whole = |weight: &mut NormWeight| {
        if *weight == NormWeight::LessOne {
            *weight = NormWeight::Plain;
        }
    };
    whole(&mut spec.final_norm.weight);
    for layer in &mut spec.layers {
        whole(&mut layer.norm.weight);
        if let Ffn::Experts(moe) = &mut layer.ffn {
            moe.storage = ExpertStorage::Rows;
            if let Some(norm) = &mut moe.apart {
                whole(&mut norm.weight);
            }
        }
        match &mut layer.mixer {
            Mixer::Attention(attn) => {
                attn.rope = None;
                // One that nothing falls out of is none.
                attn.window = attn.window.filter(|window| *window < spec.context);
                if let Some(norm) = &mut attn.qk_norm {
                    whole(&mut norm.norm.weight);
                }
            }
            // What follows from the order of heads, which the translation has seen to.
            Mixer::Delta(delta) => delta.state.delta.sharing = HeadSharing::Runs,
            Mixer::Latent(_) => {}
        }
    }
    spec
}

/// The attention of a layer.
fn attention(layer: &LayerSpec) -> Option<&AttnSpec> {
    match &layer.mixer {
        Mixer::Attention(attn) => Some(attn),
        Mixer::Latent(_) | Mixer::Delta(_) => None,
    }
}

/// In what two specifications are not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The first such thing, in the words of the specification.
    pub first: String,
    /// How many lines of it are others.
    pub lines: usize,
}

/// In what the model `a` would become another one by becoming `b`; `None` where they are the same.
pub fn difference(a: &ModelSpec, b: &ModelSpec) -> Option<Difference> {
    if same_model(a, b) {
        return None;
    }
    let (a, b) = (format!("{:#?}", plain(a)), format!("{:#?}", plain(b)));
    let differing = || a.lines().zip(b.lines()).filter(|(a, b)| a != b);
    let (first, other) = differing().next().unwrap_or(("its rotary embedding", "another one"));
    let first =
        format!("{} would become {}", first.trim().trim_end_matches(','), other.trim().trim_end_matches(','));
    let unequal = a.lines().count().abs_diff(b.lines().count());
    Some(Difference { first, lines: differing().count() + unequal })
}

/// Divides frequencies of pairs that do not turn.
const STILL: f32 = 1e30;

/// Divisors of the rotary frequencies that give those of `spec` from the plain ones, where it is stretched by parts as LLaMA 3 is.
pub fn rope_divisors(spec: &RopeSpec) -> Vec<f32> {
    let plain = RopeSpec { scaling: RopeScaling::None, factors: None, ..spec.clone() };
    let (plain, own) = (rope::build(&plain), rope::build(spec));
    let divisor = |(plain, own): (&f32, &f32)| if *own == 0.0 { STILL } else { plain / own };
    plain.inv_freq.iter().zip(&own.inv_freq).map(divisor).collect()
}
