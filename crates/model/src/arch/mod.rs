//! One file per family: metadata in, specification out. Adding one is a file and a line in [`FAMILIES`].

mod bitnet;
mod cohere;
mod deepseek;
mod ernie;
mod exaone4;
mod gemma;
mod gemma3n;
mod gemma4;
mod glm;
mod glm4_moe;
mod gpt2;
mod gpt_neox;
mod gpt_oss;
mod granite;
mod llama;
mod mixtral;
mod olmo;
mod olmoe;
mod phi;
mod phi3;
mod phimoe;
mod qwen;
mod qwen_moe;
mod qwen_next;
mod seed_oss;
mod smollm3;
mod stablelm;
mod starcoder2;

pub(crate) use qwen_next::sharing as delta_sharing;

use crate::ModelError;
use crate::config::{Config, Dialect, Fallback};
use crate::own_words;
use crate::roles::Names;
use crate::spec::{ExpertStorage, ModelSpec};
use torchless_formats::Checkpoint;

/// Architectures that share one translation.
#[derive(Debug)]
pub(crate) struct Family {
    /// Values of GGUF's `general.architecture`.
    pub gguf: &'static [&'static str],
    /// Values of `model_type` in `config.json`.
    pub json: &'static [&'static str],
    /// Where tensors are named otherwise than usual.
    pub names: Names,
    /// What transformers takes for keys that `config.json` leaves out.
    pub defaults: &'static [(&'static str, Fallback)],
    /// The translation.
    pub spec: fn(&Config<'_>) -> Result<ModelSpec, ModelError>,
}

impl Family {
    /// Whether transformers' class has one of these keys, with a value where it is left out.
    pub(crate) fn has_keys(&self, keys: &[&str]) -> bool {
        self.defaults.iter().any(|(key, _)| keys.contains(key))
    }
}

const FAMILIES: &[&[Family]] = &[
    bitnet::FAMILIES,
    cohere::FAMILIES,
    deepseek::FAMILIES,
    ernie::FAMILIES,
    exaone4::FAMILIES,
    gemma::FAMILIES,
    gemma3n::FAMILIES,
    gemma4::FAMILIES,
    glm::FAMILIES,
    glm4_moe::FAMILIES,
    gpt2::FAMILIES,
    gpt_neox::FAMILIES,
    gpt_oss::FAMILIES,
    granite::FAMILIES,
    llama::FAMILIES,
    mixtral::FAMILIES,
    olmo::FAMILIES,
    olmoe::FAMILIES,
    phi::FAMILIES,
    phi3::FAMILIES,
    phimoe::FAMILIES,
    qwen::FAMILIES,
    qwen_moe::FAMILIES,
    qwen_next::FAMILIES,
    seed_oss::FAMILIES,
    smollm3::FAMILIES,
    stablelm::FAMILIES,
    starcoder2::FAMILIES,
];

/// Architectures of `config.json` that have another name in GGUF than those of their family.
const ELSEWHERE: &[(&str, &str)] =
    &[("bitnet", "bitnet-b1.58"), ("deepseek_v3", "deepseek2"), ("olmo3", "olmo2")];

/// Architectures of GGUF whose rows of queries and keys converters reorder, so that rotated pairs lie side by side: those that read
/// [`crate::read::reordered`]. In the others, pairs lie there as they do elsewhere.
const REORDERED: &[&str] = &["deepseek", "granite", "granitemoe", "llama", "olmo", "smollm3"];

/// Whether rows of queries and keys come in another order in GGUF than elsewhere.
pub(crate) fn reorders_rows(arch: &str) -> bool {
    REORDERED.contains(&arch)
}

/// How experts lie in safetensors of an architecture of GGUF.
pub(crate) fn expert_storage(arch: &str) -> ExpertStorage {
    if arch == "gpt-oss" { ExpertStorage::Columns } else { ExpertStorage::Rows }
}

fn families() -> impl Iterator<Item = &'static Family> {
    FAMILIES.iter().copied().flatten()
}

/// Names of all architectures, as GGUF and `config.json` spell them, sorted.
pub fn known_architectures() -> Vec<&'static str> {
    let mut names: Vec<_> = families().flat_map(|f| f.gguf.iter().chain(f.json)).copied().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The family of an architecture.
///
/// # Errors
/// There is none.
pub(crate) fn family(dialect: Dialect, arch: &str) -> Result<&'static Family, ModelError> {
    let named = |f: &&Family| match dialect {
        Dialect::Gguf => f.gguf.contains(&arch),
        Dialect::Json => f.json.contains(&arch),
    };
    families().find(named).ok_or_else(|| {
        let known = known_architectures().join(", ");
        ModelError::UnknownArchitecture { name: arch.to_owned(), known }
    })
}

/// What GGUF calls an architecture of `config.json`, and the family that reads it there: the same, or one with the same translation.
pub(crate) fn in_gguf(family: &'static Family, arch: &str) -> Option<(&'static str, &'static Family)> {
    let same = families().filter(|f| std::ptr::fn_addr_eq(f.spec, family.spec) && !f.gguf.is_empty());
    let candidates: Vec<_> = same.collect();
    let own = candidates.iter().find_map(|f| Some((*f.gguf.iter().find(|name| **name == arch)?, *f)));
    let first = |f: &'static Family| Some((*f.gguf.first()?, f));
    let elsewhere = || {
        let (_, gguf) = ELSEWHERE.iter().find(|(json, _)| *json == arch)?;
        families().find(|f| f.gguf.contains(gguf)).map(|f| (*gguf, f))
    };
    elsewhere().or(own).or_else(|| first(family)).or_else(|| first(candidates.first()?))
}

/// What `config.json` may call an architecture of GGUF, with the families that read it there, likeliest first.
pub(crate) fn in_json(family: &'static Family, arch: &str) -> Vec<(&'static str, &'static Family)> {
    let named: Vec<_> = families().flat_map(|f| f.json.iter().map(move |name| (*name, f))).collect();
    let elsewhere = |name: &str| ELSEWHERE.iter().any(|(json, gguf)| *json == name && *gguf == arch);
    let same = |f: &Family| std::ptr::fn_addr_eq(f.spec, family.spec);
    let plain = arch.replace(['-', '_'], "");
    // Where a family reads images too, a class of its own has what is left without these.
    let rank = |(name, f): &(&'static str, &'static Family)| match name.replace('_', "") {
        name if name == format!("{plain}text") => Some(0),
        name if name == plain => Some(1),
        _ if elsewhere(name) => Some(2),
        _ if same(f) => Some(3),
        _ => None,
    };
    let mut all: Vec<_> = named.into_iter().filter(|one| rank(one).is_some()).collect();
    all.sort_by_key(rank);
    all
}

pub(crate) fn spec(checkpoint: &Checkpoint, architecture: Option<&str>) -> Result<ModelSpec, ModelError> {
    read(&Config::new(checkpoint, architecture)?)
}

/// Keys of a checkpoint that its family does not read, and that say nothing by the value that they have.
pub(crate) fn idle_keys(checkpoint: &Checkpoint) -> Result<Vec<String>, ModelError> {
    let config = Config::new(checkpoint, None)?;
    read(&config)?;
    Ok(config.idle())
}

fn read(config: &Config<'_>) -> Result<ModelSpec, ModelError> {
    let mut spec = (config.family.spec)(config)?;
    own_words::amend(config, &mut spec)?;
    config.finish()?;
    Ok(spec)
}
