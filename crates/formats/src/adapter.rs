//! Adapters: pairs of narrow matrices whose products are added to matrices of a model (LoRA, Hu et al. 2021, arXiv 2106.09685). PEFT
//! writes them as safetensors with an `adapter_config.json`, llama.cpp as GGUF.

use crate::checkpoint::{Checkpoint, Format, Metadata};
use crate::error::{FormatError, Place, Problem, shown};
use crate::hugging_face::folder_of;
use crate::open::{OpenOptions, open};
use crate::tensor::Tensor;
use crate::{document_beside, gguf};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT puts before the names of the model's own modules.
const PREFIX: &str = "base_model.model.";
/// Modules that PEFT writes whole where it thinks that tokens were added.
const TABLES: &[&str] = &["embed_tokens", "lm_head", "wte", "embed_in", "embed_out"];
/// Values of `init_lora_weights` that leave the model's own weights as they are; others of PEFT (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) change them.
const STARTS: &[&str] = &["gaussian", "eva", "orthogonal", "mica"];

/// An adapter as it lies in its file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Adapter {
    /// The file.
    pub path: PathBuf,
    /// Whose names it uses: those of GGUF, or of safetensors.
    pub format: Format,
    /// The architecture that it was made for, where the file says so.
    pub architecture: Option<String>,
    /// The version of PEFT that wrote it, where the file says so.
    pub peft_version: Option<[u32; 3]>,
    /// The pairs, by the tensor of the model that each is for.
    pub pairs: BTreeMap<String, AdapterPair>,
    /// Whole tensors by the model's names for them: PEFT writes some of the model's own, unchanged or not.
    pub whole: BTreeMap<String, Tensor>,
}

/// What is added to a matrix: `scale * up * down`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdapterPair {
    /// `[rank, in]`; in GGUF for all experts at once `[experts, rank, in]`. In safetensors those lie one below the other in one matrix,
    /// `[experts * rank, in]`.
    pub down: Tensor,
    /// `[out, rank]`, and `[experts, out, rank]`. In safetensors `[out, rank * experts]`, the experts of each rank side by side.
    pub up: Tensor,
    /// As the file says.
    pub scale: AdapterScale,
    /// In safetensors, parameters of the module that the pair may be for instead of the module's own matrix, each with what the file says then.
    pub parameters: Vec<(String, AdapterScale)>,
}

impl AdapterPair {
    /// The module that a target in safetensors belongs to. Where several parameters of one have pairs, as the stacked matrices of experts do,
    /// the file does not say which pair is whose; their targets have `#` and a number at the end.
    pub fn module(target: &str) -> &str {
        let target = target.rsplit_once(WRAPPED).map_or(target, |(module, _)| module);
        target.strip_suffix(".weight").unwrap_or(target)
    }
}

/// How the factor of a pair follows from its rank.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum AdapterScale {
    /// Not at all.
    Fixed(f32),
    /// This, divided by the rank.
    OverRank(f32),
    /// This, divided by the root of the rank.
    OverRoot(f32),
}

impl AdapterScale {
    /// The factor of a pair of this rank.
    pub fn of(self, rank: usize) -> f32 {
        match self {
            Self::Fixed(factor) => factor,
            Self::OverRank(alpha) => alpha / rank as f32,
            Self::OverRoot(alpha) => alpha / (rank as f32).sqrt(),
        }
    }
}

/// The files of an adapter: its weights, and for one of PEFT what says how they are scaled.
pub fn adapter_files(path: &Path) -> [PathBuf; 2] {
    let weights = weights_at(path);
    let config = folder_of(&weights).join(CONFIG);
    [weights, config]
}

fn weights_at(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(WEIGHTS) } else { path.to_owned() }
}

/// Opens an adapter: a GGUF file, a safetensors file, or the folder of one.
///
/// # Errors
/// It is none, it holds something else than pairs of matrices, or asks for another arithmetic than theirs.
pub fn open_adapter(path: &Path) -> Result<Adapter, FormatError> {
    let path = &weights_at(path);
    let checkpoint = open(path, &OpenOptions::default())?;
    let read = match &checkpoint.metadata {
        Metadata::Gguf(metadata) => of_gguf(&checkpoint, metadata),
        Metadata::HuggingFace { .. } => of_peft(&checkpoint, path),
        Metadata::Native(_) => Err(header("is a native .bin file, which holds no adapter".to_owned())),
    };
    let (origin, Found { pairs, whole }) = read.map_err(|error| error.in_file(path))?;
    let Origin { architecture, peft_version } = origin;
    let (path, format) = (path.to_owned(), checkpoint.format);
    Ok(Adapter { path, format, architecture, peft_version, pairs, whole })
}

type Read = (Origin, Found);

/// What an adapter says of where it comes from.
#[derive(Default)]
struct Origin {
    architecture: Option<String>,
    peft_version: Option<[u32; 3]>,
}

/// What an adapter is made of.
struct Found {
    pairs: BTreeMap<String, AdapterPair>,
    whole: BTreeMap<String, Tensor>,
}

fn header(why: String) -> FormatError {
    FormatError::new(Place::File, Problem::Header(why))
}

/// Which of a pair a tensor is, or that it is a whole one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Down,
    Up,
    Both,
}

/// How the pair for a target is scaled, and how those of parameters that it may have.
type Scales = (AdapterScale, Vec<(String, AdapterScale)>);

/// Brings halves together; `scale` gives the factors of the pair for a target.
fn pair(
    checkpoint: &Checkpoint,
    split: impl Fn(&str) -> Option<(String, Half)>,
    scale: impl Fn(&str) -> Scales,
) -> Result<Found, FormatError> {
    let mut whole = BTreeMap::new();
    let mut halves: BTreeMap<String, [Option<&Tensor>; 2]> = BTreeMap::new();
    for name in checkpoint.tensors.names() {
        let tensor = checkpoint.tensors.get(name)?;
        let Some((target, half)) = split(name) else {
            let why = "is no half of a pair of matrices, and nothing else is applied".to_owned();
            return Err(FormatError::tensor(name, Problem::Header(why)));
        };
        if half == Half::Both {
            whole.insert(target, tensor.clone());
            continue;
        }
        let slot = &mut halves.entry(target).or_default()[usize::from(half == Half::Up)];
        if slot.replace(tensor).is_some() {
            return Err(FormatError::tensor(name, Problem::Duplicate("this half of a pair")));
        }
    }
    let joined = |(target, halves): (String, [Option<&Tensor>; 2])| {
        let [Some(down), Some(up)] = halves else {
            let there = halves.iter().flatten().next().map_or("", |tensor| tensor.name.as_str());
            return Err(FormatError::tensor(there, Problem::Set("has no other half".to_owned())));
        };
        let fit = match (&down.shape[..], &up.shape[..]) {
            ([rank, _], [_, also]) => rank == also,
            ([experts, rank, _], [matrices, _, also]) => experts == matrices && rank == also,
            _ => false,
        };
        let empty = down.shape.iter().chain(&up.shape).any(|size| *size == 0);
        if !fit || empty {
            let why =
                format!("is {:?} and its other half {:?}: no product of two matrices", down.shape, up.shape);
            return Err(FormatError::tensor(&down.name, Problem::Shape(why)));
        }
        let (scale, parameters) = scale(&target);
        Ok((target, AdapterPair { down: down.clone(), up: up.clone(), scale, parameters }))
    };
    let pairs: BTreeMap<_, _> = halves.into_iter().map(joined).collect::<Result<_, _>>()?;
    if pairs.is_empty() {
        return Err(header("holds no pair of matrices".to_owned()));
    }
    Ok(Found { pairs, whole })
}

fn of_gguf(checkpoint: &Checkpoint, metadata: &gguf::GgufMetadata) -> Result<Read, FormatError> {
    let is = |key: &str, want: &str| match metadata.opt::<&str>(key)? {
        Some(found) if found == want => Ok(()),
        other => Err(header(format!(
            "is no LoRA adapter: its '{key}' is {}, not \"{want}\"",
            other.map_or("missing".to_owned(), shown)
        ))),
    };
    is("general.type", "adapter")?;
    is("adapter.type", "lora")?;
    if metadata.value("adapter.alora.invocation_tokens").is_some() {
        return Err(header("applies only after certain tokens, which is not supported".to_owned()));
    }
    let alpha = metadata.opt::<f32>("adapter.lora.alpha")?.unwrap_or(0.0);
    if !alpha.is_finite() {
        return Err(header(format!("has the alpha {alpha}")));
    }
    let scale = if alpha == 0.0 { AdapterScale::Fixed(1.0) } else { AdapterScale::OverRank(alpha) };
    let split = |name: &str| {
        let (target, half) = name.rsplit_once('.')?;
        let half = match half {
            "lora_a" => Half::Down,
            "lora_b" => Half::Up,
            _ => return None,
        };
        Some((target.to_owned(), half))
    };
    let architecture = metadata.opt::<&str>("general.architecture")?.map(str::to_owned);
    Ok((Origin { architecture, ..Origin::default() }, pair(checkpoint, split, |_| (scale, Vec::new()))?))
}

/// `[base_model.model.]MODULE.lora_A[.NAME].weight` is half of what is for `MODULE.weight`; `MODULE.base_layer.weight`, a bias beside it and
/// tables of embeddings are the model's own.
fn split_peft(name: &str) -> Option<(String, Half)> {
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    if let Some(own) = name.strip_suffix(".base_layer.bias") {
        return Some((format!("{own}.bias"), Half::Both));
    }
    let name = name.strip_suffix(".weight")?;
    let own = name.strip_suffix(".base_layer");
    if let Some(own) = own.or_else(|| Some(name).filter(|name| TABLES.iter().any(|end| name.ends_with(end))))
    {
        return Some((format!("{own}.weight"), Half::Both));
    }
    let found = [(".lora_A", Half::Down), (".lora_B", Half::Up)]
        .into_iter()
        .find_map(|(mark, half)| Some((name.rsplit_once(mark)?, half)));
    let ((module, adapter), half) = found?;
    // Several parameters of one module are wrapped one around the other.
    let (module, depth) = unwrapped(module);
    let named = adapter.strip_prefix('.').is_some_and(|name| !name.is_empty() && !name.contains('.'));
    let end = if depth > 0 { format!("{WRAPPED}{depth}") } else { String::new() };
    (adapter.is_empty() || named).then(|| (format!("{module}.weight{end}"), half))
}

/// Comes behind the name of a module whose parameters have several pairs, before which of them it is.
const WRAPPED: &str = "#";

/// A module without what it is wrapped in, and how often it was.
fn unwrapped(module: &str) -> (&str, usize) {
    let mut own = (module, 0);
    while let Some(inner) = own.0.strip_suffix(".base_layer") {
        own = (inner, own.1 + 1);
    }
    own
}

fn of_peft(checkpoint: &Checkpoint, path: &Path) -> Result<Read, FormatError> {
    let config = document_beside(checkpoint, CONFIG)?.ok_or_else(|| {
        let folder = folder_of(path).display().to_string();
        header(format!("has no {CONFIG} beside it (in {}), which says how it is scaled", shown(&folder)))
    })?;
    let scaling = Scaling::new(&config)?;
    let peft_version = config["peft_version"].as_str().and_then(version);
    Ok((
        Origin { peft_version, ..Origin::default() },
        pair(checkpoint, split_peft, |target| scaling.of(target))?,
    ))
}

/// The three numbers that a version begins with.
fn version(text: &str) -> Option<[u32; 3]> {
    let digits = |part: &str| part.bytes().take_while(u8::is_ascii_digit).count();
    let mut numbers = text.splitn(3, '.').map(|part| part[..digits(part)].parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

/// What `adapter_config.json` says of the factors.
struct Scaling {
    alpha: f32,
    /// Ends of names with the alpha of what ends so; the first counts.
    own: Vec<(String, f32)>,
    by_root: bool,
    /// Parameters with pairs of their own: the end of the module's name, and theirs in it.
    parameters: Vec<(String, String)>,
}

impl Scaling {
    fn new(config: &Value) -> Result<Self, FormatError> {
        let wrong = |key: &str, expected: &str| {
            let found = shown(&config[key].to_string());
            header(format!("{CONFIG}: '{key}' is {found}, expected {expected}"))
        };
        if config["peft_type"].as_str() != Some("LORA") {
            return Err(wrong("peft_type", "\"LORA\""));
        }
        for key in ["use_dora", "lora_bias"] {
            if !matches!(config[key], Value::Null | Value::Bool(false)) {
                return Err(wrong(key, "false: nothing but the product of both matrices is added"));
            }
        }
        for key in ["layer_replication", "alora_invocation_tokens", "megatron_config"] {
            if !config[key].is_null() {
                return Err(wrong(key, "null"));
            }
        }
        let as_it_was = match &config["init_lora_weights"] {
            Value::Null | Value::Bool(_) => true,
            start => start.as_str().is_some_and(|start| STARTS.contains(&start)),
        };
        if !as_it_was {
            let expected = "a start that leaves the model's own weights as they are";
            return Err(wrong("init_lora_weights", expected));
        }
        let number = |key: &str, value: &Value| {
            let number = value.as_f64().map(|n| n as f32).filter(|n| n.is_finite());
            number.ok_or_else(|| wrong(key, "finite numbers"))
        };
        let alpha = match &config["lora_alpha"] {
            Value::Null => 8.0,
            alpha => number("lora_alpha", alpha)?,
        };
        let mut own = Vec::new();
        if !matches!(config["alpha_pattern"], Value::Null | Value::Object(_)) {
            return Err(wrong("alpha_pattern", "an object of names and numbers"));
        }
        for (pattern, alpha) in config["alpha_pattern"].as_object().into_iter().flatten() {
            let end = end_of_names(pattern).ok_or_else(|| {
                let found = shown(pattern);
                header(format!("{CONFIG}: 'alpha_pattern' has {found}, expected names, not patterns"))
            })?;
            own.push((end, number("alpha_pattern", alpha)?));
        }
        let parameters = match &config["target_parameters"] {
            Value::Null => Vec::new(),
            Value::Array(names) => names.iter().filter_map(Value::as_str).map(module_and_parameter).collect(),
            _ => return Err(wrong("target_parameters", "a list of names")),
        };
        let by_root = match &config["use_rslora"] {
            Value::Null => false,
            value => value.as_bool().ok_or_else(|| wrong("use_rslora", "true or false"))?,
        };
        Ok(Self { alpha, own, by_root, parameters })
    }

    /// PEFT looks for the alpha of a parameter under the name of that, and not of its module.
    fn of(&self, target: &str) -> Scales {
        let module = AdapterPair::module(target);
        let those = self.parameters.iter().filter(|(end, _)| end.is_empty() || ends_with(module, end));
        let own = those.map(|(_, name)| (name.clone(), self.scale(&format!("{module}.{name}"))));
        (self.scale(module), own.collect())
    }

    fn scale(&self, name: &str) -> AdapterScale {
        let own = self.own.iter().find(|(end, _)| ends_with(name, end));
        let alpha = own.map_or(self.alpha, |(_, alpha)| *alpha);
        if self.by_root { AdapterScale::OverRoot(alpha) } else { AdapterScale::OverRank(alpha) }
    }
}

/// Whether `end` is the last names of `name`, or all of them.
fn ends_with(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The end of names that a pattern asks for: it is one, or has the form in which PEFT itself writes them, `.*\.gate_up_proj`.
fn end_of_names(pattern: &str) -> Option<String> {
    let end = pattern.strip_prefix(r".*\.").unwrap_or(pattern).replace(r"\.", ".");
    end.bytes().all(|b| b.is_ascii_alphanumeric() || b"._".contains(&b)).then_some(end)
}

/// `mlp.experts` and `down_proj` of `mlp.experts.down_proj`; a parameter alone may be any module's.
fn module_and_parameter(target: &str) -> (String, String) {
    let (module, parameter) = target.rsplit_once('.').unwrap_or(("", target));
    (module.to_owned(), parameter.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_of_halves_are_taken_apart() {
        let down = |target: &str| Some((target.to_owned(), true));
        let split = |name: &str| split_peft(name).map(|(target, half)| (target, half == Half::Down));
        let whole = split_peft("base_model.model.lm_head.base_layer.weight");
        assert!(whole == Some(("lm_head.weight".to_owned(), Half::Both)));
        assert!(split_peft("lm_head.base_layer.bias") == Some(("lm_head.bias".to_owned(), Half::Both)));
        assert!(split_peft("model.embed_tokens.weight").is_some_and(|(_, half)| half == Half::Both));
        assert_eq!(
            split("base_model.model.model.layers.0.q_proj.lora_A.weight"),
            down("model.layers.0.q_proj.weight")
        );
        assert_eq!(split("lm_head.lora_A.default.weight"), down("lm_head.weight"));
        assert_eq!(split("a.lora_B.weight"), Some(("a.weight".to_owned(), false)));
        assert_eq!(split("a.experts.base_layer.lora_A.weight"), down("a.experts.weight#1"));
        assert_eq!(AdapterPair::module("a.experts.weight#1"), "a.experts");
        for name in [
            "a.weight",
            "a.bias",
            "a.lora_B.bias",
            "a.lora_embedding_A",
            "a.lora_A.x.y.weight",
            "a.lora_magnitude_vector",
        ] {
            assert_eq!(split(name), None, "{name}");
        }
    }

    #[test]
    fn versions_are_three_numbers() {
        assert_eq!(version("0.19.1"), Some([0, 19, 1]));
        assert_eq!(version("0.21.2.dev0"), Some([0, 21, 2]));
        assert_eq!((version("0.19"), version("main")), (None, None));
    }

    #[test]
    fn factors_follow_the_configuration() {
        let config = json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "alpha_pattern": {"q_proj": 2}});
        let scaling = Scaling::new(&config).unwrap();
        let of = |target, rank| scaling.of(target).0.of(rank);
        assert_eq!((of("a.v_proj.weight", 4), of("a.q_proj.weight", 4)), (2.0, 0.5));
        assert_eq!((of("a.bq_proj.weight", 2), of("a.q_proj.weight#1", 4)), (4.0, 0.5));
        let root = json!({"peft_type": "LORA", "lora_alpha": 8, "use_rslora": true});
        assert_eq!(Scaling::new(&root).unwrap().of("a.weight").0.of(16), 2.0);
    }

    #[test]
    fn a_parameter_has_the_factor_of_its_own_name() {
        let factors = |targets: Value, pattern: Value, target: &str| {
            let config = json!({"peft_type": "LORA", "lora_alpha": 8, "alpha_pattern": pattern,
                "target_parameters": targets});
            let (module, parameters) = Scaling::new(&config).unwrap().of(target);
            let parameters = parameters.into_iter().map(|(name, scale)| (name, scale.of(1)));
            (module.of(1), parameters.collect::<Vec<_>>())
        };
        let named = |name: &str, factor: f32| (name.to_owned(), factor);
        let both = json!(["mlp.experts.down_proj", "gate_up_proj"]);
        let experts = "l.0.mlp.experts.weight#1";
        for (pattern, module, down, gate_up) in [
            (json!({"gate_up_proj": 32}), 8.0, 8.0, 32.0),
            (json!({"experts": 32}), 32.0, 8.0, 8.0),
            (json!({"mlp.experts.down_proj": 2, "q_proj": 4}), 8.0, 2.0, 8.0),
            (json!({r".*\.gate_up_proj": 16}), 8.0, 8.0, 16.0),
            (json!({r".*\.experts\.down_proj": 16}), 8.0, 16.0, 8.0),
        ] {
            let want = (module, vec![named("down_proj", down), named("gate_up_proj", gate_up)]);
            assert_eq!(factors(both.clone(), pattern, experts), want);
        }
        let gate = factors(json!(["mlp.gate.weight"]), json!({"gate.weight": 32}), "l.0.mlp.gate.weight");
        assert_eq!(gate, (8.0, vec![named("weight", 32.0)]));
        let other = factors(json!(["mlp.gate.weight"]), json!({"gate.weight": 32}), "l.0.q_proj.weight");
        assert_eq!(other, (8.0, vec![]));
    }

    #[test]
    fn other_arithmetic_is_refused_by_name() {
        for (key, value) in [
            ("peft_type", json!("IA3")),
            ("use_dora", json!(true)),
            ("lora_bias", json!(true)),
            ("lora_alpha", json!("x")),
            ("layer_replication", json!([[0, 4]])),
            ("init_lora_weights", json!("pissa_niter_4")),
            ("init_lora_weights", json!("lora_ga")),
            ("init_lora_weights", json!("tomorrow's")),
            ("alpha_pattern", json!({".*q_proj": 2})),
            ("alpha_pattern", json!("q_proj")),
            ("target_parameters", json!("experts.down_proj")),
        ] {
            let mut config = json!({"peft_type": "LORA"});
            config[key] = value;
            let error = Scaling::new(&config).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(&format!("'{key}'")), "{key}: {error}");
        }
    }

    /// A pair of these shapes, in a file of safetensors.
    fn read(down: &[usize], up: &[usize]) -> Result<Found, FormatError> {
        let (first, second) = (4 * down.iter().product::<usize>(), 4 * up.iter().product::<usize>());
        let header = json!({
            "a.lora_A.weight": {"dtype": "F32", "shape": down, "data_offsets": [0, first]},
            "a.lora_B.weight": {"dtype": "F32", "shape": up, "data_offsets": [first, first + second]},
        })
        .to_string();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.resize(file.len() + first + second, 0);
        let checkpoint = crate::open_bytes(std::sync::Arc::new(file))?;
        pair(&checkpoint, split_peft, |_| (AdapterScale::Fixed(1.0), Vec::new()))
    }

    #[test]
    fn halves_have_a_product() {
        assert!(read(&[2, 3], &[4, 2]).is_ok());
        assert!(read(&[5, 2, 3], &[5, 4, 2]).is_ok());
        let not: [[&[usize]; 2]; 6] = [
            [&[2, 3], &[4, 3]],
            [&[0, 3], &[4, 0]],
            [&[2, 0], &[4, 2]],
            [&[5, 2, 0], &[5, 4, 2]],
            [&[5, 2, 3], &[5, 0, 2]],
            [&[5, 2, 3], &[4, 4, 2]],
        ];
        for [down, up] in not {
            let said = read(down, up).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(said.contains("no product of two matrices"), "{down:?} {up:?}: {said}");
        }
    }
}
