//! Kinds of quantised files and the tensor types that each gives to its tensors, as llama.cpp defines them: the type in the
//! name for most, a larger one where an error costs more.

use torchless_quant::TensorType::{self, *};

/// A kind of file.
#[derive(Debug)]
pub struct FileType {
    /// Its name.
    pub name: &'static str,
    /// Its number in `general.file_type`.
    pub number: u32,
    /// The type of tensors without a rule.
    pub ty: TensorType,
}

const fn file(name: &'static str, number: u32, ty: TensorType) -> FileType {
    FileType { name, number, ty }
}

/// All kinds of files that can be written.
pub const FILE_TYPES: &[FileType] = &[
    file("F32", 0, F32),
    file("F16", 1, F16),
    file("BF16", 32, BF16),
    file("Q8_0", 7, Q8_0),
    file("Q6_K", 18, Q6_K),
    file("Q5_K_M", 17, Q5_K),
    file("Q5_K_S", 16, Q5_K),
    file("Q5_1", 9, Q5_1),
    file("Q5_0", 8, Q5_0),
    file("Q4_K_M", 15, Q4_K),
    file("Q4_K_S", 14, Q4_K),
    file("Q4_1", 3, Q4_1),
    file("Q4_0", 2, Q4_0),
    file("IQ4_NL", 25, IQ4_NL),
    file("IQ4_XS", 30, IQ4_XS),
    file("MXFP4_MOE", 38, MXFP4),
    file("Q3_K_L", 13, Q3_K),
    file("Q3_K_M", 12, Q3_K),
    file("Q3_K_S", 11, Q3_K),
    file("IQ3_M", 27, IQ3_S),
    file("IQ3_S", 26, IQ3_S),
    file("IQ3_XS", 22, IQ3_S),
    file("IQ3_XXS", 23, IQ3_XXS),
    file("Q2_K", 10, Q2_K),
    file("Q2_K_S", 21, Q2_K),
    file("IQ2_M", 29, IQ2_S),
    file("IQ2_S", 28, IQ2_XS),
    file("IQ2_XS", 20, IQ2_XS),
    file("IQ2_XXS", 19, IQ2_XXS),
    file("TQ2_0", 37, TQ2_0),
    file("TQ1_0", 36, TQ1_0),
    file("IQ1_M", 31, IQ1_M),
    file("IQ1_S", 24, IQ1_S),
];

/// Shorter names.
const ALIASES: &[(&str, &str)] =
    &[("Q3_K", "Q3_K_M"), ("Q4_K", "Q4_K_M"), ("Q5_K", "Q5_K_M"), ("MXFP4", "MXFP4_MOE")];

impl FileType {
    /// The kind of this name, in upper or lower case.
    pub fn from_name(name: &str) -> Option<&'static Self> {
        let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
        let name = alias.map_or(name, |(_, full)| full);
        FILE_TYPES.iter().find(|file| file.name.eq_ignore_ascii_case(name))
    }
}

/// What a tensor is for, as far as the choice of its type asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Embedding,
    Output,
    /// Attention's values, also fused with queries and keys.
    Value,
    Key,
    Query,
    AttentionOut,
    Up,
    Gate,
    Down,
    Other,
}

/// Parts by what occurs in the name; the first that does.
const PARTS: &[(&str, Part)] = &[
    ("attn_qkv.weight", Part::Value),
    ("attn_kv_b.weight", Part::Value),
    ("attn_v.weight", Part::Value),
    ("attn_k.weight", Part::Key),
    ("attn_q.weight", Part::Query),
    ("attn_output.weight", Part::AttentionOut),
    ("ffn_up", Part::Up),
    ("ffn_gate", Part::Gate),
    ("ffn_down", Part::Down),
];

fn part(name: &str) -> Part {
    match name {
        "output.weight" => Part::Output,
        "token_embd.weight" | "per_layer_token_embd.weight" => Part::Embedding,
        _ => PARTS.iter().find(|(within, _)| name.contains(within)).map_or(Part::Other, |(_, part)| *part),
    }
}

/// Names of matrices that stay as they are contain one of these.
const KEPT: &[&str] = &[
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "conv_dw",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    ".position_embd",
    ".patch_embd",
    ".patch_merger",
    ".rel_pos",
];

/// Whether a tensor is quantised at all: matrices are, but for some small ones. `shape` has the outermost dimension first.
pub(crate) fn is_quantised(name: &str, shape: &[usize]) -> bool {
    let dims = shape.iter().skip_while(|dim| **dim == 1).count();
    dims >= 2
        && name.ends_with("weight")
        && !matches!(name, "position_embd.weight" | "token_types.weight")
        && !KEPT.iter().any(|within| name.contains(within))
}

/// When a rule holds.
#[derive(Clone, Copy)]
enum When {
    Always,
    /// In the first layers: one in so many.
    Early(usize),
    /// In so many first tensors of the part.
    First(usize),
    /// In the first and the last eighth of the layers, and in every third between.
    Often,
    /// In the layers between the first and the last eighth.
    Between,
    /// At least four query heads share a value head.
    Grouped,
    /// As `Grouped`, or there are four experts or more.
    GroupedOrExperts,
    EightExperts,
    NotEightExperts,
    EightExpertsOften,
    NoImatrix,
    NoImatrixEarly(usize),
    ImatrixEarly(usize),
}

/// The type of a part in some kinds of files.
struct Rule {
    part: Part,
    files: &'static [&'static str],
    when: When,
    ty: TensorType,
}

const fn rule(part: Part, files: &'static [&'static str], when: When, ty: TensorType) -> Rule {
    Rule { part, files, when, ty }
}

const LOWEST: &[&str] = &["IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M", "IQ2_S", "IQ2_M"];

/// The first rule that holds counts. `Output` stands also for an embedding table that is the head too.
const RULES: &[Rule] = {
    use Part::{AttentionOut, Down, Embedding, Gate, Key, Output, Query, Up, Value};
    use When::*;
    &[
        rule(Output, &["MXFP4_MOE"], Always, Q8_0),
        rule(Output, &["IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ2_S", "IQ2_M", "IQ1_M"], Always, Q5_K),
        rule(Embedding, &["IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"], Always, Q2_K),
        rule(Embedding, &["IQ2_S", "IQ2_M", "IQ3_XXS"], Always, IQ3_S),
        rule(Embedding, &["TQ1_0", "TQ2_0"], Always, Q4_K),
        rule(Value, LOWEST, GroupedOrExperts, Q4_K),
        rule(Value, &["IQ2_S", "IQ2_M"], Always, IQ3_S),
        rule(Value, LOWEST, Always, Q2_K),
        rule(Key, LOWEST, EightExperts, Q4_K),
        rule(Down, &["IQ2_S", "IQ2_M"], Early(8), IQ3_S),
        rule(Down, LOWEST, Early(8), Q2_K),
        rule(AttentionOut, LOWEST, EightExperts, Q5_K),
        rule(AttentionOut, &["IQ1_S", "IQ1_M"], Always, IQ2_XXS),
        rule(AttentionOut, &["IQ2_S", "IQ2_M"], Always, IQ3_S),
        rule(Value, &[], EightExperts, Q8_0),
        rule(Value, &["Q2_K", "Q2_K_S", "IQ3_XXS", "IQ3_XS", "IQ3_S"], Grouped, Q4_K),
        rule(Value, &["Q2_K"], Always, Q3_K),
        rule(Value, &["IQ3_XXS"], NoImatrix, IQ3_S),
        rule(Value, &["IQ3_M"], Always, Q4_K),
        rule(Value, &["Q3_K_M"], First(2), Q5_K),
        rule(Value, &["Q3_K_M"], Always, Q4_K),
        rule(Value, &["Q3_K_L"], Always, Q5_K),
        rule(Value, &["IQ4_NL", "IQ4_XS"], Grouped, Q5_K),
        rule(Value, &["Q4_K_M", "Q5_K_M"], Often, Q6_K),
        rule(Value, &["Q4_K_S"], First(4), Q5_K),
        rule(Key, &[], EightExperts, Q8_0),
        rule(Key, &["IQ3_XS"], Always, IQ3_XXS),
        rule(Key, &["IQ3_XXS"], Always, IQ2_S),
        rule(Query, &["IQ3_XS"], Always, IQ3_XXS),
        rule(Query, &["IQ3_XXS"], Always, IQ2_S),
        rule(Down, &["Q2_K"], Always, Q3_K),
        rule(Down, &["Q2_K_S"], Early(8), Q4_K),
        rule(Down, &["IQ3_XXS"], NoImatrixEarly(8), Q4_K),
        rule(Down, &["IQ3_XXS"], NoImatrix, Q3_K),
        rule(Down, &["Q3_K_M"], Early(16), Q5_K),
        rule(Down, &["Q3_K_M"], Always, Q4_K),
        rule(Down, &["IQ3_M"], Early(8), Q4_K),
        rule(Down, &["IQ3_M"], EightExpertsOften, Q4_K),
        rule(Down, &["Q3_K_L"], Always, Q5_K),
        rule(Down, &["Q4_K_M", "Q5_K_M"], Often, Q6_K),
        rule(Down, &["IQ4_NL", "IQ4_XS"], NoImatrixEarly(8), Q5_K),
        rule(Down, &["Q4_K_S"], Early(8), Q5_K),
        rule(Down, &["Q4_0"], ImatrixEarly(8), Q4_1),
        rule(Down, &["Q5_0"], ImatrixEarly(8), Q5_1),
        rule(
            AttentionOut,
            &[
                "Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ3_S",
                "IQ3_M", "IQ4_XS",
            ],
            EightExperts,
            Q5_K,
        ),
        rule(AttentionOut, &["Q2_K"], Always, Q3_K),
        rule(AttentionOut, &["IQ3_XXS"], Always, IQ3_S),
        rule(AttentionOut, &["Q3_K_M", "IQ3_M"], Always, Q4_K),
        rule(AttentionOut, &["Q3_K_L"], NotEightExperts, Q5_K),
        rule(Gate, &["IQ3_XS"], Between, IQ3_XXS),
        rule(Up, &["IQ3_XS"], Between, IQ3_XXS),
    ]
};

/// What the rules ask about a model.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    pub layers: usize,
    pub experts: usize,
    /// Query heads per value head.
    pub grouping: usize,
    /// LLaMA's largest shape, and those like it: 80 layers, grouped heads.
    pub is_70b: bool,
    pub imatrix: bool,
    pub tied: bool,
    /// Tensors whose part is [`Part::Value`].
    pub values: usize,
}

/// Overrides of the rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    /// The type of the head, or of the embedding table where that is the head too.
    pub output: Option<TensorType>,
    /// The type of the embedding table.
    pub embedding: Option<TensorType>,
    /// Whether all matrices get the same type.
    pub pure: bool,
}

/// Chooses tensor by tensor, in the order of layers.
pub(crate) struct Chooser {
    file: &'static FileType,
    facts: Facts,
    overrides: Overrides,
    /// Tensors so far of the parts that are counted.
    values: usize,
    downs: usize,
    gates: usize,
    ups: usize,
}

impl Chooser {
    pub(crate) fn new(file: &'static FileType, facts: Facts, overrides: Overrides) -> Self {
        Self { file, facts, overrides, values: 0, downs: 0, gates: 0, ups: 0 }
    }

    /// How many of `names` count as values.
    pub(crate) fn count_values<'a>(names: impl Iterator<Item = &'a str>) -> usize {
        names.filter(|name| part(name) == Part::Value).count()
    }

    /// The type of a tensor that [`is_quantised`], `cols` wide.
    pub(crate) fn choose(&mut self, name: &str, cols: usize) -> TensorType {
        let part = part(name);
        match (part, self.overrides.embedding, self.overrides.output) {
            (Part::Embedding, Some(ty), _) | (Part::Output, _, Some(ty)) => return ty,
            (Part::Embedding, None, Some(ty)) if self.facts.tied && name == "token_embd.weight" => return ty,
            _ => {}
        }
        if matches!(self.file.ty, F32 | F16 | BF16) {
            return self.file.ty;
        }
        let wanted = if self.overrides.pure { self.file.ty } else { self.by_rules(name, part, cols) };
        fallback(wanted, cols)
    }

    fn by_rules(&mut self, name: &str, part: Part, cols: usize) -> TensorType {
        let index = self.count(part);
        let low = LOWEST.contains(&self.file.name);
        let layer = if self.facts.experts > 1 && !low { layer_of(name).unwrap_or(index) } else { index };
        // Values are counted among themselves, everything else by layers.
        let (at, of) =
            if part == Part::Value { (index, self.facts.values) } else { (layer, self.facts.layers) };
        if part == Part::Output || part == Part::Embedding && self.facts.tied {
            return self.overrides.output.unwrap_or_else(|| self.head(cols));
        }
        if self.file.name == "MXFP4_MOE" {
            let expert = name.contains("_exps.") || name.contains("_chexps.");
            return if expert { MXFP4 } else { Q8_0 };
        }
        let fits = |rule: &&Rule| {
            let file = if rule.files.is_empty() { !low } else { rule.files.contains(&self.file.name) };
            rule.part == part && file && self.holds(rule.when, at, of)
        };
        let ty = RULES.iter().find(fits).map_or(self.file.ty, |rule| rule.ty);
        let larger = part == Part::Value && self.facts.is_70b && !low;
        if larger && self.facts.experts != 8 && matches!(ty, Q3_K | Q4_K) { Q5_K } else { ty }
    }

    fn head(&self, cols: usize) -> TensorType {
        let rule = RULES.iter().find(|r| r.part == Part::Output && r.files.contains(&self.file.name));
        match rule {
            Some(rule) if rule.ty == Q8_0 => Q8_0,
            _ if !cols.is_multiple_of(self.file.ty.info().block_len) => Q8_0,
            Some(rule) => rule.ty,
            None if self.file.ty == Q8_0 => Q8_0,
            None => Q6_K,
        }
    }

    /// The number of this tensor among those of its part.
    fn count(&mut self, part: Part) -> usize {
        let counter = match part {
            Part::Value => &mut self.values,
            Part::Down => &mut self.downs,
            Part::Gate => &mut self.gates,
            Part::Up => &mut self.ups,
            _ => return 0,
        };
        *counter += 1;
        *counter - 1
    }

    /// Whether a rule holds for number `at` of `of`.
    fn holds(&self, when: When, at: usize, of: usize) -> bool {
        let Facts { experts, grouping, imatrix, .. } = self.facts;
        let often = || at < of / 8 || at >= 7 * of / 8 || (at - of / 8) % 3 == 2;
        match when {
            When::Always => true,
            When::Early(n) => at < of / n,
            When::First(n) => at < n,
            When::Often => often(),
            When::Between => at >= of / 8 && at < 7 * of / 8,
            When::Grouped => grouping >= 4,
            When::GroupedOrExperts => grouping >= 4 || experts >= 4,
            When::EightExperts => experts == 8,
            When::NotEightExperts => experts != 8,
            When::EightExpertsOften => experts == 8 && often(),
            When::NoImatrix => !imatrix,
            When::NoImatrixEarly(n) => !imatrix && at < of / n,
            When::ImatrixEarly(n) => imatrix && at < of / n,
        }
    }
}

/// `3` of `blk.3.ffn_down.weight`.
pub(crate) fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
}

/// The type for rows of `cols` values that `ty` has no whole blocks for.
pub(crate) fn fallback(ty: TensorType, cols: usize) -> TensorType {
    let fits = |ty: TensorType| cols.is_multiple_of(ty.info().block_len);
    if fits(ty) {
        return ty;
    }
    let smaller = match ty {
        IQ1_S | IQ1_M | IQ2_XXS | IQ2_XS | IQ2_S | IQ3_XXS | IQ3_S | IQ4_XS => IQ4_NL,
        Q2_K | Q3_K | TQ1_0 | TQ2_0 => Q4_0,
        Q4_K => Q5_0,
        Q5_K => Q5_1,
        Q6_K => Q8_0,
        other => other,
    };
    if fits(smaller) { smaller } else { F16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layers whose `part` gets `ty` in a file of 16 layers with four query heads to a value head.
    fn layers(file: &str, part: &str, ty: TensorType) -> Vec<usize> {
        let facts = Facts { layers: 16, grouping: 4, values: 16, ..Facts::default() };
        let file = FileType::from_name(file).expect("a known kind of file");
        let mut chooser = Chooser::new(file, facts, Overrides::default());
        (0..16).filter(|i| chooser.choose(&format!("blk.{i}.{part}.weight"), 2048) == ty).collect()
    }

    #[test]
    fn larger_types_go_where_llama_cpp_puts_them() {
        let often = [0, 1, 4, 7, 10, 13, 14, 15];
        assert_eq!(layers("Q4_K_M", "attn_v", Q6_K), often);
        assert_eq!(layers("q4_k", "ffn_down", Q6_K), often);
        assert_eq!(layers("Q5_K_M", "ffn_down", Q6_K), often);
        assert_eq!(layers("Q4_K_S", "attn_v", Q5_K), [0, 1, 2, 3]);
        assert_eq!(layers("Q4_K_S", "ffn_down", Q5_K), [0, 1]);
        assert_eq!(layers("Q3_K_M", "attn_v", Q5_K), [0, 1]);
        assert_eq!(layers("Q3_K_M", "ffn_down", Q5_K), [0]);
        assert_eq!(layers("Q2_K", "attn_v", Q4_K).len(), 16);
        assert_eq!(layers("IQ3_XS", "ffn_up", IQ3_S), [0, 1, 14, 15]);
        assert_eq!(layers("Q4_0", "ffn_down", Q4_0).len(), 16);
        assert_eq!(layers("IQ2_S", "ffn_down", IQ3_S), [0, 1]);
    }

    #[test]
    fn the_head_gets_more_bits() {
        let facts = Facts { tied: true, ..Facts::default() };
        let choose = |file, cols, overrides| {
            let file = FileType::from_name(file).expect("a known kind of file");
            let mut chooser = Chooser::new(file, facts, overrides);
            (chooser.choose("output.weight", cols), chooser.choose("token_embd.weight", cols))
        };
        let none = Overrides::default();
        assert_eq!(choose("Q4_0", 256, none), (Q6_K, Q6_K));
        assert_eq!(choose("Q4_0", 64, none), (Q8_0, Q8_0));
        assert_eq!(choose("Q4_K_S", 64, none), (Q8_0, Q8_0));
        assert_eq!(choose("IQ2_XS", 256, none), (Q5_K, Q5_K));
        assert_eq!(choose("F16", 256, none), (F16, F16));
        let own = Overrides { output: Some(Q4_1), embedding: Some(Q5_0), pure: false };
        assert_eq!(choose("Q4_0", 256, own), (Q4_1, Q5_0));
        let head = Overrides { output: Some(Q4_1), ..none };
        assert_eq!(choose("F16", 256, head), (Q4_1, Q4_1));
        assert_eq!(choose("Q4_0", 256, Overrides { pure: true, ..head }), (Q4_1, Q4_1));
        assert_eq!(choose("Q4_K_M", 64, Overrides { pure: true, ..none }), (Q5_0, Q5_0));
        assert_eq!(choose("Q4_K_M", 33, Overrides { pure: true, ..none }), (F16, F16));
    }

    #[test]
    fn small_and_single_rows_stay_as_they_are() {
        for (name, shape) in [
            ("blk.0.attn_norm.weight", &[64][..]),
            ("blk.0.attn_q.bias", &[64]),
            ("blk.0.x.weight", &[1, 64]),
            ("blk.0.ffn_gate_inp.weight", &[8, 64]),
            ("position_embd.weight", &[9, 64]),
        ] {
            assert!(!is_quantised(name, shape), "{name}");
        }
        assert!(is_quantised("blk.0.ffn_gate_exps.weight", &[8, 2, 64]));
    }
}
