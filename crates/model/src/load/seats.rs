//! Where the pairs of adapters belong: in the names and the order of rows of the checkpoint, whichever dialect each of them is in.

use super::experts::flat;
use super::tensors::parts_together;
use super::{ScaledAdapter, seat_shapes as shapes};
use crate::ModelError;
use crate::arch::{self, Family};
use crate::config::Dialect;
use crate::roles::{Layout, Naming, Part, Role};
use crate::spec::{ExpertStorage, Ffn, Mixer, ModelSpec, MoeSpec};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use torchless_formats::{Adapter, AdapterPair, AdapterScale, Checkpoint, Format};

/// A matrix of an expert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OfExpert {
    Gate,
    Up,
    Down,
}

/// What a pair is added to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seat {
    /// A tensor of the checkpoint.
    Tensor(String),
    /// One matrix of one expert, wherever the checkpoint has it.
    Expert { layer: usize, matrix: OfExpert, expert: usize },
}

/// A pair in the order that the checkpoint has, with all factors in `up`.
#[derive(Clone, Debug)]
pub(super) struct Seated {
    /// Which adapter it is of.
    pub adapter: usize,
    /// The name there.
    pub name: String,
    pub rank: usize,
    /// `[rank, cols]`.
    pub down: Vec<f32>,
    /// `[rows, rank]`.
    pub up: Vec<f32>,
}

impl Seated {
    pub(super) fn cols(&self) -> usize {
        self.down.len() / self.rank
    }

    pub(super) fn rows(&self) -> usize {
        self.up.len() / self.rank
    }

    /// The same with the rows that `from` names; none gives a row of nothing.
    fn with_rows(&self, from: impl Iterator<Item = Option<usize>>) -> Self {
        let mut up = Vec::new();
        for row in from {
            match row {
                Some(row) => up.extend_from_slice(&self.up[row * self.rank..(row + 1) * self.rank]),
                None => up.resize(up.len() + self.rank, 0.0),
            }
        }
        Self { up, name: self.name.clone(), down: self.down.clone(), ..*self }
    }

    fn in_order(&self, order: &[usize]) -> Self {
        self.with_rows(order.iter().map(|row| Some(*row)))
    }

    /// The same with its inputs in that order.
    fn with_cols(&self, order: &[usize]) -> Self {
        let cols = self.cols();
        let row = |r: usize| order.iter().map(move |col| self.down[r * cols + col]);
        let down = (0..self.rank).flat_map(row).collect();
        Self { down, up: self.up.clone(), name: self.name.clone(), ..*self }
    }

    /// Adds the product of both halves to a matrix of that shape.
    pub(super) fn add_to(&self, values: &mut [f32]) {
        let cols = self.cols();
        for (values, up) in values.chunks_exact_mut(cols).zip(self.up.chunks_exact(self.rank)) {
            for (down, factor) in self.down.chunks_exact(cols).zip(up) {
                values.iter_mut().zip(down).for_each(|(value, down)| *value += factor * down);
            }
        }
    }
}

/// All pairs of all adapters by what they are added to.
pub(super) type Seats = BTreeMap<Seat, Vec<Seated>>;

/// Finds seats for the pairs of all adapters.
///
/// # Errors
/// An adapter is for another architecture, or a pair for nothing that this model has.
pub(super) fn find(
    checkpoint: &Checkpoint,
    (naming, spec): (Naming, &ModelSpec),
    adapters: &[ScaledAdapter],
) -> Result<Seats, ModelError> {
    let mut seats = Seats::new();
    for (i, scaled) in adapters.iter().enumerate() {
        let usher = Usher::new(checkpoint, (naming, spec), &scaled.adapter)?;
        for (name, pair) in &scaled.adapter.pairs {
            let whose = (i, scaled.scale);
            let found = usher
                .seat(name, pair, whose)
                .map_err(|what| ModelError::Adapter { path: scaled.adapter.path.clone(), what })?;
            for (seat, seated) in found {
                seats.entry(seat).or_default().push(seated);
            }
        }
    }
    Ok(seats)
}

/// The checkpoint's name for what an adapter has whole under a name; `None` where it has no such tensor.
///
/// # Errors
/// The adapter is for another architecture.
pub(super) fn tensor_of(
    checkpoint: &Checkpoint,
    own: (Naming, &ModelSpec),
    (adapter, name): (&Adapter, &str),
) -> Result<Option<String>, ModelError> {
    let usher = Usher::new(checkpoint, own, adapter)?;
    let (module, part) = match name.strip_suffix(".bias") {
        Some(module) => (module, Part::Bias),
        None => (name, Part::Weight),
    };
    let there = |place: Place| {
        let name = usher.own.find(place.role, place.layer, part)?;
        checkpoint.tensors.contains(&name).then_some(name)
    };
    Ok(usher.direct(name).or_else(|| usher.places(module).into_iter().find_map(there)))
}

/// What is wrong with a pair that has no place.
pub(super) fn no_matrix(name: &str) -> String {
    format!(
        "has a pair for '{name}', which is no matrix of this model that one can be added to (attention, feed-forward units, experts, \
         routers and the head can)"
    )
}

/// A role in a layer, and which expert's.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    role: Role,
    layer: Option<usize>,
    expert: Option<usize>,
}

/// Leads the pairs of one adapter to their seats.
struct Usher<'a> {
    checkpoint: &'a Checkpoint,
    spec: &'a ModelSpec,
    /// Of the checkpoint.
    own: Naming,
    adapter: &'a Adapter,
    /// The dialect of its names.
    theirs: Dialect,
    /// Roles by the names that they may have there.
    roles: HashMap<String, Vec<(Role, Option<usize>)>>,
    /// How their matrices lie in safetensors, whichever of both is safetensors.
    layout: Layout,
    /// What GGUF calls the architecture.
    arch: &'static str,
}

impl<'a> Usher<'a> {
    fn new(
        checkpoint: &'a Checkpoint,
        (own, spec): (Naming, &'a ModelSpec),
        adapter: &'a Adapter,
    ) -> Result<Self, ModelError> {
        let theirs = if adapter.format == Format::Gguf { Dialect::Gguf } else { Dialect::Json };
        let family = arch::family(own.dialect(), &spec.arch)?;
        let in_gguf = match own.dialect() {
            Dialect::Gguf => family.gguf.iter().find(|name| **name == spec.arch).map(|name| (*name, family)),
            Dialect::Json => arch::in_gguf(family, &spec.arch),
        };
        let refused = |what: String| ModelError::Adapter { path: adapter.path.clone(), what };
        let arch = in_gguf.map_or("", |(name, _)| name);
        if let Some(named) = adapter.architecture.as_deref().filter(|named| *named != arch) {
            let own = if arch.is_empty() { &spec.arch } else { arch };
            return Err(refused(format!("is for the architecture {named}, and the model is {own}")));
        }
        let families: Vec<&'static Family> = match (own.dialect(), theirs) {
            (Dialect::Gguf, Dialect::Json) => {
                arch::in_json(family, &spec.arch).into_iter().map(|(_, family)| family).collect()
            }
            (Dialect::Json, Dialect::Gguf) => in_gguf.map(|(_, family)| family).into_iter().collect(),
            _ => vec![family],
        };
        let json = if own.dialect() == Dialect::Json { Some(&family) } else { families.first() };
        let layout = json.map_or(Layout::Rows, |family| family.names.layout);
        let roles = names(theirs, &families, spec.layers.len());
        Ok(Self { checkpoint, spec, own, adapter, theirs, roles, layout, arch })
    }

    /// Where a pair goes, in as many parts as the checkpoint has; what is wrong with it where there is no place.
    fn seat(
        &self,
        name: &str,
        pair: &AdapterPair,
        (adapter, scale): (usize, f32),
    ) -> Result<Vec<(Seat, Seated)>, String> {
        let places = self.places(name);
        if let Some(half) =
            [&pair.down, &pair.up].into_iter().find(|half| flat(half).iter().any(|v| !v.is_finite()))
        {
            return Err(format!("has a value in '{}' that is not finite: it is damaged", half.name));
        }
        let seated = |own: AdapterScale| {
            move |Halves { rank, down, mut up }| {
                let factor = own.of(rank) * scale;
                up.iter_mut().for_each(|value| *value *= factor);
                Seated { adapter, name: name.to_owned(), rank, down, up }
            }
        };
        let of_experts = places.iter().find_map(|place| {
            let moe = self.mixture(*place)?;
            let parts = self.by_expert(*place, (pair, moe))?;
            let seated = seated(self.scale(name, pair, *place));
            Some(self.of_experts(*place, moe, parts.into_iter().map(seated).collect()))
        });
        if let Some(found) = of_experts {
            return Ok(found);
        }
        let misfit = || self.misfit(name, pair, &places);
        if pair.down.shape.len() != 2 {
            return Err(misfit());
        }
        let halves = || Halves { rank: pair.up.cols(), down: flat(&pair.down), up: flat(&pair.up) };
        let single = places.iter().filter(|place| self.mixture(**place).is_none());
        let mut found = single
            .filter_map(|place| self.of_tensor(*place, &seated(self.scale(name, pair, *place))(halves())));
        let direct = || {
            let whole = seated(pair.scale)(halves());
            self.direct(name).map(|tensor| vec![(Seat::Tensor(tensor), whole)])
        };
        found.next().or_else(direct).ok_or_else(misfit)
    }

    /// How a pair is scaled that is for a place: as the parameter that is there, where the adapter names such, or else as its module.
    fn scale(&self, name: &str, pair: &AdapterPair, place: Place) -> AdapterScale {
        let module = AdapterPair::module(name);
        let is_there = |parameter: &str| {
            let whole = format!("{module}.{parameter}");
            let found = self.roles.get(whole.strip_suffix(".weight").unwrap_or(&whole));
            found.is_some_and(|roles| roles.contains(&(place.role, place.layer)))
        };
        let own = pair.parameters.iter().find(|(parameter, _)| is_there(parameter));
        own.map_or(pair.scale, |(_, scale)| *scale)
    }

    fn misfit(&self, name: &str, pair: &AdapterPair, places: &[Place]) -> String {
        let (down, up) = (&pair.down.shape, &pair.up.shape);
        let of_experts =
            places.iter().find_map(|place| Some((place.expert, self.mixture(*place)?.routing.experts)));
        match (of_experts, &down[..]) {
            (Some((Some(expert), all)), _) if expert >= all => {
                return format!("has a pair for '{name}', and the model has {all} experts, from 0 on");
            }
            (Some((None, all)), [experts, ..]) if down.len() == 3 && *experts != all => {
                return format!("has pairs of {experts} experts for '{name}', and the model has {all}");
            }
            _ => {}
        }
        match places.iter().find_map(|place| shapes::of(self.spec, place.role, place.layer)) {
            Some([rows, cols]) => {
                format!("has {down:?} and {up:?} for '{name}', which is {rows} x {cols} in the model")
            }
            None => no_matrix(name),
        }
    }

    /// What a name may be for.
    fn places(&self, name: &str) -> Vec<Place> {
        let name = if self.theirs == Dialect::Json { AdapterPair::module(name) } else { name };
        let name = name.strip_suffix(".weight").unwrap_or(name);
        let place = |expert| {
            move |(role, layer): &(Role, Option<usize>)| Place { role: *role, layer: *layer, expert }
        };
        if let Some(found) = self.roles.get(name) {
            return found.iter().map(place(None)).collect();
        }
        // The number of an expert.
        let dots: Vec<usize> = name.match_indices('.').map(|(at, _)| at).collect();
        for (start, end) in dots.iter().zip(dots.iter().skip(1).copied().chain([name.len()])) {
            let Ok(expert) = name[start + 1..end].parse() else { continue };
            let general = format!("{}.{{}}{}", &name[..*start], &name[end..]);
            if let Some(found) = self.roles.get(&general) {
                return found.iter().map(place(Some(expert))).collect();
            }
        }
        Vec::new()
    }

    /// The tensor of the checkpoint that has this very name.
    fn direct(&self, name: &str) -> Option<String> {
        let own = |tensor: &&str| *tensor == name || self.own.unwrapped(tensor) == name;
        let same = self.theirs == self.own.dialect();
        same.then(|| self.checkpoint.tensors.names().find(own).map(str::to_owned)).flatten()
    }

    /// The experts that a place is of.
    fn mixture(&self, place: Place) -> Option<&'a MoeSpec> {
        let moe = place.layer.and_then(|layer| match &self.spec.layers[layer].ffn {
            Ffn::Experts(moe) => Some(moe),
            Ffn::Dense(_) => None,
        });
        moe.filter(|_| matrix_of(place.role).is_some() || place.role == Role::ExpertsGateUp)
    }

    /// The halves of each expert's pair, in the order of experts; nothing where the shapes are of another place.
    fn by_expert(&self, place: Place, (pair, moe): (&AdapterPair, &MoeSpec)) -> Option<Vec<Halves>> {
        let shape = shapes::of(self.spec, place.role, place.layer)?;
        let (down, up) = (flat(&pair.down), flat(&pair.up));
        let halves = match (place.expert, &pair.down.shape[..]) {
            (Some(expert), [rank, _]) if expert < moe.routing.experts => {
                vec![Halves { rank: *rank, down, up }]
            }
            (None, [experts, rank, cols]) if *experts == moe.routing.experts => {
                let (down, up) = (down.chunks_exact(rank * cols), up.chunks_exact(up.len() / experts));
                down.zip(up)
                    .map(|(down, up)| Halves { rank: *rank, down: down.to_vec(), up: up.to_vec() })
                    .collect()
            }
            (None, [all, cols]) if all.is_multiple_of(moe.routing.experts) => {
                let swapped = match [*cols, pair.up.rows()] {
                    [cols, rows] if rows == cols && shape == [rows, cols] => {
                        swaps_squares(self.adapter.peft_version, arch::expert_storage(self.arch))
                    }
                    [cols, rows] => shape != [rows, cols],
                };
                stacked((&down, &up), moe.routing.experts, (*all, swapped))
            }
            _ => return None,
        };
        let fits =
            |one: &Halves| one.down.len() == one.rank * shape[1] && one.up.len() == one.rank * shape[0];
        halves.iter().all(fits).then_some(halves)
    }

    /// Seats of pairs of experts: of one, or of all of them.
    fn of_experts(&self, place: Place, moe: &MoeSpec, parts: Vec<Seated>) -> Vec<(Seat, Seated)> {
        let Some(layer) = place.layer else { return Vec::new() };
        let mut all = Vec::new();
        for (expert, part) in (place.expert.unwrap_or(0)..).zip(parts) {
            let mut put = |matrix, part| all.push((Seat::Expert { layer, matrix, expert }, part));
            match matrix_of(place.role) {
                Some(matrix) => put(matrix, part),
                None => {
                    // GGUF never has them by turns.
                    let by_turns = self.theirs == Dialect::Json
                        && arch::expert_storage(self.arch) == ExpertStorage::Columns;
                    let own =
                        |half: usize, i: usize| if by_turns { 2 * i + half } else { half * moe.hidden + i };
                    for (half, matrix) in [OfExpert::Gate, OfExpert::Up].into_iter().enumerate() {
                        put(matrix, part.with_rows((0..moe.hidden).map(|i| Some(own(half, i)))));
                    }
                }
            }
        }
        all
    }

    /// Seats of a pair for a matrix that is no expert's: the tensor of that role, a part of one, or the parts of it.
    fn of_tensor(&self, place: Place, seated: &Seated) -> Option<Vec<(Seat, Seated)>> {
        let Place { role, layer, .. } = place;
        let [rows, cols] = shapes::of(self.spec, role, layer)?;
        if seated.rows() != rows || seated.cols() != cols {
            return None;
        }
        let seated = self.reordered(place, seated);
        if let Some(name) = self.tensor(role, layer) {
            return Some(vec![(Seat::Tensor(name), self.by_turns(role, layer, seated)?)]);
        }
        let parts = shapes::parts(self.spec, role, layer);
        let of_part = |(role, range): &(Role, Range<usize>)| {
            let name = self.tensor(*role, layer)?;
            Some((Seat::Tensor(name), seated.with_rows(range.clone().map(Some))))
        };
        if !parts.is_empty() {
            return parts.iter().map(of_part).collect();
        }
        let (fused, range) = shapes::fused(self.spec, role, layer)?;
        let name = self.tensor(fused, layer)?;
        let [all, _] = shapes::of(self.spec, fused, layer)?;
        let row = |i: usize| range.contains(&i).then(|| i - range.start);
        let padded = seated.with_rows((0..all).map(row));
        Some(vec![(Seat::Tensor(name), self.by_turns(fused, layer, padded)?)])
    }

    /// The checkpoint's tensor of a role; a tied head has a name all the same.
    fn tensor(&self, role: Role, layer: Option<usize>) -> Option<String> {
        let name = self.own.find(role, layer, Part::Weight)?;
        (role == Role::Head || self.checkpoint.tensors.contains(&name)).then_some(name)
    }

    /// A pair whose rows are in the order that all dialects share, from the adapter's: queries and keys rotated half a head apart, parts of
    /// fused matrices one after the other; then, where the checkpoint's dialect is another one, in that one's.
    fn reordered(&self, place: Place, seated: &Seated) -> Seated {
        let (role, same) = (place.role, self.theirs == self.own.dialect());
        let mixer = place.layer.map(|layer| &self.spec.layers[layer].mixer);
        match mixer {
            Some(Mixer::Attention(attn)) if role == Role::FusedQkv => {
                let turns = self.theirs == Dialect::Json && self.layout == Layout::HeadsTakeTurns;
                if turns {
                    seated.in_order(&parts_together(attn.head_dim, seated.rows()))
                } else {
                    seated.clone()
                }
            }
            Some(Mixer::Attention(attn)) if !same && matches!(role, Role::Query | Role::Key) => {
                if !arch::reorders_rows(self.arch) {
                    return seated.clone();
                }
                let together = pairs_together(seated.rows(), attn.head_dim);
                let apart = || inverse(&together);
                seated.in_order(&if self.theirs == Dialect::Json { together.clone() } else { apart() })
            }
            Some(Mixer::Delta(delta)) if !same => {
                let sharing = arch::delta_sharing(Dialect::Gguf, self.arch);
                let to_gguf = shapes::delta_order(role, delta, sharing);
                let order = to_gguf.map(|order| match self.theirs {
                    Dialect::Json => order,
                    Dialect::Gguf => inverse(&order),
                });
                match order {
                    Some(order) if role == Role::DeltaOut => seated.with_cols(&order),
                    Some(order) => seated.in_order(&order),
                    None => seated.clone(),
                }
            }
            _ => seated.clone(),
        }
    }

    /// Rows of a fused matrix as the checkpoint has them.
    fn by_turns(&self, role: Role, layer: Option<usize>, seated: Seated) -> Option<Seated> {
        if role != Role::FusedQkv || self.own.layout() != Layout::HeadsTakeTurns {
            return Some(seated);
        }
        match &self.spec.layers[layer?].mixer {
            Mixer::Attention(attn) => {
                Some(seated.in_order(&inverse(&parts_together(attn.head_dim, seated.rows()))))
            }
            Mixer::Latent(_) | Mixer::Delta(_) => None,
        }
    }
}

/// One expert's pair.
struct Halves {
    rank: usize,
    down: Vec<f32>,
    up: Vec<f32>,
}

/// Pairs of all experts from what PEFT has of a parameter with three dimensions: below one another in the first half, side by side for each rank
/// in the second. With `swapped`, the first half is of outputs and the second of inputs.
fn stacked((a, b): (&[f32], &[f32]), experts: usize, (all, swapped): (usize, bool)) -> Vec<Halves> {
    let (rank, width) = (all / experts, a.len() / all);
    let height = b.len() / all;
    let one = |e: usize| {
        let below = &a[e * rank * width..(e + 1) * rank * width];
        let beside = |row: usize, r: usize| b[row * all + r * experts + e];
        match swapped {
            false => {
                let up = (0..height).flat_map(|row| (0..rank).map(move |r| beside(row, r))).collect();
                Halves { rank, down: below.to_vec(), up }
            }
            true => {
                let down = (0..rank).flat_map(|r| (0..height).map(move |row| beside(row, r))).collect();
                let up = (0..width).flat_map(|col| (0..rank).map(move |r| below[r * width + col])).collect();
                Halves { rank, down, up }
            }
        }
    };
    (0..experts).map(one).collect()
}

/// Whether the first half is of outputs where the shape does not say so. PEFT took the second dimension of a parameter for its inputs, whatever it was;
/// then, in one release, always the outputs; since then, what they are.
fn swaps_squares(version: Option<[u32; 3]>, storage: ExpertStorage) -> bool {
    match version.unwrap_or([0, 0, 0]) {
        version if version >= [0, 19, 1] => false,
        [0, 19, 0] => true,
        _ => storage == ExpertStorage::Rows,
    }
}

fn matrix_of(role: Role) -> Option<OfExpert> {
    match role {
        Role::ExpertGate | Role::ExpertsGate => Some(OfExpert::Gate),
        Role::ExpertUp | Role::ExpertsUp => Some(OfExpert::Up),
        Role::ExpertDown | Role::ExpertsDown => Some(OfExpert::Down),
        _ => None,
    }
}

/// Which row comes where so that rows half a head apart come to lie side by side.
fn pairs_together(rows: usize, head_dim: usize) -> Vec<usize> {
    let half = head_dim / 2;
    (0..rows).map(|row| row / head_dim * head_dim + row % 2 * half + row % head_dim / 2).collect()
}

fn inverse(order: &[usize]) -> Vec<usize> {
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(to, from)| back[*from] = to);
    back
}

/// Roles of matrices by their names without endings. Stacked matrices of experts are known by the module that they are in, too.
fn names(
    dialect: Dialect,
    families: &[&'static Family],
    layers: usize,
) -> HashMap<String, Vec<(Role, Option<usize>)>> {
    let mut all: HashMap<String, Vec<(Role, Option<usize>)>> = HashMap::new();
    for naming in families.iter().flat_map(|family| Naming::possible(dialect, family)) {
        for &role in Role::ALL {
            let layers = if role.is_of_layers() { (0..layers).map(Some).collect() } else { vec![None] };
            for layer in layers {
                let Some(name) = naming.find(role, layer, Part::Bare) else { continue };
                let module = match role {
                    Role::ExpertsGateUp | Role::ExpertsDown if dialect == Dialect::Json => {
                        name.rsplit_once('.').map(|(module, _)| module.to_owned())
                    }
                    _ => None,
                };
                for name in module.into_iter().chain([name]) {
                    let roles = all.entry(name).or_default();
                    if !roles.contains(&(role, layer)) {
                        roles.push((role, layer));
                    }
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_undone_by_their_inverses() {
        let order = pairs_together(8, 4);
        assert_eq!(order, [0, 2, 1, 3, 4, 6, 5, 7]);
        for order in [pairs_together(24, 6), parts_together(2, 12)] {
            let back = inverse(&order);
            assert!(order.iter().enumerate().all(|(to, from)| back[*from] == to));
        }
    }

    /// Two experts, rank 1, 2 inputs, 3 outputs.
    #[test]
    fn halves_of_experts_are_taken_apart() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
        let parts = stacked((&a, &b), 2, (2, false));
        assert_eq!((&parts[1].down, &parts[1].up), (&vec![3.0, 4.0], &vec![10.0, 20.0, 30.0]));
        let parts = stacked((&a, &b), 2, (2, true));
        assert_eq!((&parts[1].down, &parts[1].up), (&vec![10.0, 20.0, 30.0], &vec![3.0, 4.0]));
        assert!(!swaps_squares(Some([0, 19, 1]), ExpertStorage::Rows));
        assert!(swaps_squares(Some([0, 19, 0]), ExpertStorage::Columns));
        assert!(swaps_squares(None, ExpertStorage::Rows) && !swaps_squares(None, ExpertStorage::Columns));
    }

    #[test]
    fn a_pair_is_added_to_a_matrix() {
        let pair = Seated {
            adapter: 0,
            name: String::new(),
            rank: 2,
            down: vec![1.0, 2.0, 3.0, 4.0],
            up: vec![1.0, 0.0, 1.0, 10.0],
        };
        let mut values = vec![0.5; 4];
        pair.add_to(&mut values);
        assert_eq!(values, [1.5, 2.5, 31.5, 42.5]);
    }
}
