//! Mixtures of experts: routers, units, and which layers have them.

use super::{MAX_LAYERS, MAX_WIDTH, Sizes, ffn};
use crate::ModelError;
use crate::config::{Config, Dialect, Key, key};
use crate::roles::{Part, Role};
use crate::spec::{ExpertStorage, Ffn, MlpForm, MlpSpec, MoeSpec, SharedNamed, SharedSpec};
use torchless_device::{Activation, Gating, GroupLimit, GroupScore, Routing, Score};

/// More experts than any model has in a layer.
const MAX_EXPERTS: usize = 1 << 14;

const EXPERTS: Key =
    key("expert_count", &["num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"]);
const CHOSEN: Key = key("expert_used_count", &["num_experts_per_tok", "moe_k", "top_k_experts"]);
const HIDDEN: Key = key("expert_feed_forward_length", &["moe_intermediate_size"]);
const SHARED_COUNT: Key = key("expert_shared_count", &["n_shared_experts", "moe_num_shared_experts"]);
const SHARED_HIDDEN: Key = key("expert_shared_feed_forward_length", &["shared_expert_intermediate_size"]);
const SCALE: Key = key("expert_weights_scale", &["routed_scaling_factor"]);
const NORMALISE: Key = key("expert_weights_norm", &["norm_topk_prob"]);
const FUNCTION: Key = key("expert_gating_func", &["scoring_func"]);
const GROUPS: Key = key("expert_group_count", &["n_group"]);
const GROUPS_CHOSEN: Key = key("expert_group_used_count", &["topk_group"]);
const DENSE_FIRST: Key = key("leading_dense_block_count", &["first_k_dense_replace"]);
/// What matters while a router is trained.
const TRAINING: &[&str] = &[
    "output_router_logits",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "input_jitter_noise",
    "aux_loss_alpha",
    "seq_aux",
    "ep_size",
];

/// Whether there are experts at all.
pub(crate) fn has_experts(c: &Config<'_>) -> Result<bool, ModelError> {
    let experts = c.count(EXPERTS, MAX_EXPERTS)?.unwrap_or(0) > 0;
    if !experts {
        c.pass(CHOSEN);
    }
    Ok(experts)
}

/// A router without groups whose weights stay as they are.
pub(crate) fn routing(c: &Config<'_>, score: Score) -> Result<Routing, ModelError> {
    TRAINING.iter().for_each(|name| c.pass(key("", &[name])));
    let experts = c.need_size(EXPERTS, MAX_EXPERTS)?;
    let chosen = c.need_size(CHOSEN, experts)?;
    Ok(Routing { experts, chosen, score, groups: None, normalise: None, scale: 1.0 })
}

/// What the chosen weights are divided by: their sum, or at least `least`, where the file or else `usual` says so.
pub(crate) fn normalise(c: &Config<'_>, usual: bool, least: f32) -> Result<Option<f32>, ModelError> {
    Ok(c.flag(NORMALISE)?.unwrap_or(usual).then_some(least))
}

/// The factor of the weights; in GGUF 0 is as good as absent.
pub(crate) fn weight_scale(c: &Config<'_>) -> Result<f32, ModelError> {
    match c.count(SCALE, 0) {
        Ok(Some(0)) if c.dialect == Dialect::Gguf => Ok(1.0),
        _ => Ok(c.positive(SCALE)?.unwrap_or(1.0)),
    }
}

/// The function of the scores that the file names, or else the usual one.
pub(crate) fn score(c: &Config<'_>, usual: Score) -> Result<Score, ModelError> {
    match c.dialect {
        Dialect::Gguf => match c.count(FUNCTION, 16)? {
            None | Some(0) => Ok(usual),
            Some(1) => Ok(Score::Softmax),
            Some(2) => Ok(Score::Sigmoid),
            Some(3) => Ok(Score::SoftmaxOfChosen),
            Some(_) => Err(c.unsupported(FUNCTION, "1 (softmax), 2 (sigmoid), 3 (softmax of the chosen)")),
        },
        Dialect::Json => match c.text(FUNCTION)? {
            None => Ok(usual),
            Some("softmax") => Ok(Score::Softmax),
            Some("sigmoid") => Ok(Score::Sigmoid),
            Some(_) => Err(c.unsupported(FUNCTION, "softmax, sigmoid")),
        },
    }
}

/// The groups that experts are chosen from; one group is none.
pub(crate) fn groups(c: &Config<'_>, by: GroupScore) -> Result<Option<GroupLimit>, ModelError> {
    let groups = c.count(GROUPS, MAX_EXPERTS)?.unwrap_or(1);
    let chosen = c.count(GROUPS_CHOSEN, MAX_EXPERTS)?.unwrap_or(groups);
    Ok((groups > 1).then_some(GroupLimit { groups, chosen, by }))
}

/// Routed units of `routing` with the width that the file gives experts, or else the dense one.
pub(crate) fn experts(c: &Config<'_>, routing: Routing) -> Result<MoeSpec, ModelError> {
    if let Some(fault) = routing.fault() {
        return Err(c.bad(CHOSEN, &format!("a choice that can be made, not {fault}")));
    }
    let hidden = match c.size(HIDDEN, MAX_WIDTH)? {
        Some(hidden) => hidden,
        None => ffn::hidden(c)?,
    };
    if c.dialect == Dialect::Gguf {
        // Files name the width of dense units even where there is none.
        ffn::pass_hidden(c);
    }
    Ok(MoeSpec {
        hidden,
        routing,
        router_bias: false,
        choice_bias: false,
        gating: Gating::Plain(ffn::activation(c, Activation::Silu)?),
        bias: false,
        storage: ExpertStorage::Rows,
        shared: None,
        apart: None,
    })
}

/// The same for families where llama.cpp divides the dense width by the experts of a token: GGUF files of before June 2024 name no other.
pub(crate) fn experts_or_parts(c: &Config<'_>, routing: Routing) -> Result<MoeSpec, ModelError> {
    let mut unit = experts(c, routing)?;
    if c.dialect == Dialect::Gguf && !c.states(HIDDEN) {
        unit.hidden /= unit.routing.chosen;
        if unit.hidden == 0 {
            return Err(c.missing(HIDDEN));
        }
    }
    Ok(unit)
}

/// A unit for all tokens, as wide as so many experts.
pub(crate) fn shared_by_count(c: &Config<'_>, moe: &MoeSpec) -> Result<Option<SharedSpec>, ModelError> {
    let count = c.count(SHARED_COUNT, MAX_EXPERTS)?.unwrap_or(0);
    Ok((count > 0).then(|| shared(moe, count * moe.hidden)))
}

/// A unit for all tokens of a width that the file names, or else the dense one.
pub(crate) fn shared_by_width(c: &Config<'_>, moe: &MoeSpec) -> Result<SharedSpec, ModelError> {
    let hidden = match c.size(SHARED_HIDDEN, MAX_WIDTH)? {
        Some(hidden) => hidden,
        None => ffn::hidden(c)?,
    };
    Ok(SharedSpec { gated: true, ..shared(moe, hidden) })
}

/// A unit for all tokens of a width that the file names, without a gate; none where it names none or 0.
pub(crate) fn shared_by_width_if_any(
    c: &Config<'_>,
    moe: &MoeSpec,
) -> Result<Option<SharedSpec>, ModelError> {
    c.pass(SHARED_COUNT);
    let hidden = c.count(SHARED_HIDDEN, MAX_WIDTH)?.unwrap_or(0);
    Ok((hidden > 0).then(|| shared(moe, hidden)))
}

fn shared(moe: &MoeSpec, hidden: usize) -> SharedSpec {
    let act = match moe.gating {
        Gating::Plain(act) => act,
        Gating::Clamped { .. } => Activation::Silu,
    };
    let form = MlpForm::Glu(act);
    SharedSpec {
        mlp: MlpSpec { hidden, form, cut: None, bias: false, inner_norm: None, down_bias: false },
        gated: false,
        named: SharedNamed::Expert,
    }
}

/// Whether something is added where experts are chosen: in GGUF as the tensors of some layer say.
pub(crate) fn choice_bias(c: &Config<'_>, layer: usize, stated: bool) -> bool {
    match c.dialect {
        Dialect::Gguf => c.has(Role::ChoiceBias, Some(layer), Part::Bias),
        Dialect::Json => stated,
    }
}

/// Layers before the first with experts.
pub(crate) fn dense_first(c: &Config<'_>) -> Result<usize, ModelError> {
    Ok(c.count(DENSE_FIRST, MAX_LAYERS)?.unwrap_or(0))
}

/// The feed-forward part of each layer: experts where `sparse` says so.
pub(crate) fn mixed_layers(
    c: &Config<'_>,
    sizes: &Sizes,
    moe: MoeSpec,
    sparse: impl Fn(usize) -> bool,
) -> Result<Vec<Ffn>, ModelError> {
    let dense = match (0..sizes.layers).all(&sparse) {
        true => None,
        false => Some(ffn::glu(c, Activation::Silu)?),
    };
    // A width that no layer uses may stand there all the same.
    ffn::pass_hidden(c);
    let part = |i| match &dense {
        Some(dense) if !sparse(i) => Ffn::Dense(dense.clone()),
        _ => Ffn::Experts(moe.clone()),
    };
    Ok((0..sizes.layers).map(part).collect())
}
