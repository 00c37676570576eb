//! Shapes of matrices by their roles, and which are parts of which: what a specification says of tensors that a checkpoint may hold otherwise.

use crate::roles::Role;
use crate::spec::{AttnSpec, DeltaSpec, Ffn, LatentSpec, Mixer, MlpSpec, ModelSpec, MoeSpec};
use crate::translate::delta_heads;
use std::ops::Range;
use torchless_device::HeadSharing;

/// Rows and columns of a role's matrix, of one expert's where it is of experts; `None` where the model has none.
pub(super) fn of(spec: &ModelSpec, role: Role, layer: Option<usize>) -> Option<[usize; 2]> {
    let dim = spec.dim;
    let Some(i) = layer else {
        return (role == Role::Head).then_some([spec.vocab, dim]);
    };
    let layer = &spec.layers[i];
    let mixer = match &layer.mixer {
        Mixer::Attention(attn) => of_attention(attn, role, dim),
        Mixer::Latent(latent) => of_latent(latent, role, dim),
        Mixer::Delta(delta) => of_delta(delta, role, dim),
    };
    let unit = || match &layer.ffn {
        Ffn::Dense(mlp) => of_unit(mlp, role, dim),
        Ffn::Experts(moe) => of_experts(moe, role, dim),
    };
    let inputs = spec.token_inputs.map(|inputs| inputs.width);
    let beside = || match role {
        Role::DetourDown => layer.detour.map(|rank| [rank, dim]),
        Role::DetourUp => layer.detour.map(|rank| [dim, rank]),
        Role::TokenGate => inputs.map(|width| [width, dim]),
        Role::TokenProjection => inputs.map(|width| [dim, width]),
        _ => None,
    };
    mixer.or_else(unit).or_else(beside)
}

/// Rows of queries with their gates, keys and values.
fn widths(a: &AttnSpec) -> [usize; 3] {
    let gates = if a.gated { 2 } else { 1 };
    [gates * a.heads * a.head_dim, a.kv_heads * a.head_dim, a.kv_heads * a.v_dim]
}

fn of_attention(a: &AttnSpec, role: Role, dim: usize) -> Option<[usize; 2]> {
    let [q, k, v] = widths(a);
    match role {
        Role::Query => Some([q, dim]),
        Role::Key => Some([k, dim]),
        Role::Value => Some([v, dim]),
        Role::FusedQkv => Some([q + k + v, dim]),
        Role::MixerOut => Some([dim, a.heads * a.v_dim]),
        _ => None,
    }
}

fn of_latent(a: &LatentSpec, role: Role, dim: usize) -> Option<[usize; 2]> {
    let q = a.heads * (a.plain + a.turned);
    match role {
        Role::Query if a.query_rank.is_none() => Some([q, dim]),
        Role::QueryDown => a.query_rank.map(|rank| [rank, dim]),
        Role::QueryUp => a.query_rank.map(|rank| [q, rank]),
        Role::LatentDown => Some([a.cached_values(), dim]),
        Role::LatentUp => Some([a.heads * (a.plain + a.value), a.latent]),
        Role::MixerOut => Some([dim, a.heads * a.value]),
        _ => None,
    }
}

fn of_delta(d: &DeltaSpec, role: Role, dim: usize) -> Option<[usize; 2]> {
    let heads = d.state.delta.value_heads;
    match role {
        Role::DeltaQkv => Some([d.qkv_width(), dim]),
        Role::DeltaZ => Some([d.out_width(), dim]),
        Role::DeltaQkvz => Some([d.qkv_width() + d.out_width(), dim]),
        Role::DeltaBeta | Role::DeltaAlpha => Some([heads, dim]),
        Role::DeltaBetaAlpha => Some([2 * heads, dim]),
        Role::DeltaOut => Some([dim, d.out_width()]),
        _ => None,
    }
}

fn of_unit(mlp: &MlpSpec, role: Role, dim: usize) -> Option<[usize; 2]> {
    match role {
        Role::Gate | Role::Up => Some([mlp.hidden, dim]),
        Role::FusedGateUp => Some([2 * mlp.hidden, dim]),
        Role::Down => Some([dim, mlp.hidden]),
        _ => None,
    }
}

fn of_experts(moe: &MoeSpec, role: Role, dim: usize) -> Option<[usize; 2]> {
    let of_all = |role| moe.shared.as_ref().and_then(|shared| of_unit(&shared.mlp, role, dim));
    match role {
        Role::Router => Some([moe.routing.experts, dim]),
        Role::ExpertGate | Role::ExpertsGate | Role::ExpertUp | Role::ExpertsUp => Some([moe.hidden, dim]),
        Role::ExpertsGateUp => Some([2 * moe.hidden, dim]),
        Role::ExpertDown | Role::ExpertsDown => Some([dim, moe.hidden]),
        Role::SharedGate | Role::SharedUp => of_all(Role::Up),
        Role::SharedDown => of_all(Role::Down),
        Role::SharedRouter => Some([1, dim]),
        _ => of_all(role),
    }
}

/// The matrices that lie one below the other in a fused one.
pub(super) fn parts(spec: &ModelSpec, role: Role, layer: Option<usize>) -> Vec<(Role, Range<usize>)> {
    let roles: &[Role] = match role {
        Role::FusedQkv => &[Role::Query, Role::Key, Role::Value],
        Role::FusedGateUp => &[Role::Gate, Role::Up],
        _ => &[],
    };
    let mut first = 0;
    let part = |role: &Role| {
        let rows = of(spec, *role, layer)?[0];
        first += rows;
        Some((*role, first - rows..first))
    };
    roles.iter().map_while(part).collect()
}

/// The fused matrix that a role's may be in, and which of its rows are these.
pub(super) fn fused(spec: &ModelSpec, role: Role, layer: Option<usize>) -> Option<(Role, Range<usize>)> {
    let fused = match role {
        Role::Query | Role::Key | Role::Value => Role::FusedQkv,
        Role::Gate | Role::Up => Role::FusedGateUp,
        _ => return None,
    };
    let own = parts(spec, fused, layer).into_iter().find(|(part, _)| *part == role)?;
    Some((fused, own.1))
}

/// Which row, or which column of the last matrix, comes where on the way to GGUF in linear attention; `None` where none moves.
pub(super) fn delta_order(role: Role, delta: &DeltaSpec, sharing: HeadSharing) -> Option<Vec<usize>> {
    let heads = delta_heads(delta, sharing)?;
    let shape = delta.state.delta;
    let dim = shape.value_dim;
    let values = || heads.iter().flat_map(|head| head * dim..(head + 1) * dim);
    let keys = 2 * shape.key_heads * shape.key_dim;
    match role {
        Role::DeltaQkv => Some((0..keys).chain(values().map(|i| keys + i)).collect()),
        Role::DeltaZ | Role::DeltaOut => Some(values().collect()),
        Role::DeltaBeta | Role::DeltaAlpha => Some(heads),
        _ => None,
    }
}
