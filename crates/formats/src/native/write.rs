//! Writes a native file from a Hugging Face checkpoint.

use std::io::Write;

use serde_json::Value;
use torchless_quant::TensorType;

use super::{ALIGNMENT, HEADER_BYTES, read};
use crate::checkpoint::{Checkpoint, Metadata, TokenizerSource};
use crate::error::{FormatError, Place, Problem};
use crate::json;
use crate::safetensors::{check_header_size, unsupported};
use crate::tensor::{PlaneSizes, Tensor};

/// How the weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quant {
    /// Every tensor as `f32`.
    F32,
    /// Gate and up projections as int8 with a scale per 64 values, the rest as `f32`.
    Int8,
}

impl Quant {
    /// The name in the header and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Quant::F32 => "f32",
            Quant::Int8 => "int8",
        }
    }

    /// The choice of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Quant::F32, Quant::Int8].into_iter().find(|quant| quant.name() == name)
    }

    fn of(self, tensor: &str) -> TensorType {
        let is_gate_or_up =
            ["mlp.gate_proj.weight", "mlp.up_proj.weight"].iter().any(|end| tensor.ends_with(end));
        if self == Quant::Int8 && is_gate_or_up { TensorType::Int8G64 } else { TensorType::F32 }
    }
}

/// Keys of `config.json` that stand under another name in the header, as text.
const RENAMED: &[(&str, &str)] = &[
    ("hidden_act", "act_type"),
    ("hidden_size", "hidden_size"),
    ("intermediate_size", "intermediate_size"),
    ("max_position_embeddings", "max_position_embeddings"),
    ("num_attention_heads", "n_heads"),
    ("num_hidden_layers", "n_layers"),
    ("num_key_value_heads", "n_kv_heads"),
    ("rms_norm_eps", "norm_eps"),
    ("rope_theta", "rope_theta"),
    ("sliding_window", "sliding_window"),
    ("vocab_size", "vocab_size"),
];

/// A native file of a Hugging Face checkpoint: its header made, its values still where they are.
pub struct NativeFile<'a> {
    checkpoint: &'a Checkpoint,
    plans: Vec<Plan<'a>>,
    header: String,
}

impl<'a> NativeFile<'a> {
    /// Lays out `checkpoint`, read from safetensors with its `config.json`. `window` is the sliding window that the model has, for a
    /// `config.json` that leaves it to the family: the header has no defaults.
    ///
    /// # Errors
    /// It is no such checkpoint, or there is something in it that the format has no place for.
    pub fn new(checkpoint: &'a Checkpoint, quant: Quant, window: Option<usize>) -> Result<Self, FormatError> {
        let Metadata::HuggingFace { config: Value::Object(config), generation_config } = &checkpoint.metadata
        else {
            return Err(refuse(
                "only a safetensors checkpoint with its config.json can be written as native .bin",
            ));
        };
        if let Some(opaque) = checkpoint.tensors.opaque().next() {
            return Err(FormatError::tensor(&opaque.name, unsupported(opaque.dtype)));
        }
        let plans = plan(checkpoint, quant)?;
        let mut metadata = metadata(config, quant, window);
        if let Some(ends) = ends(config, generation_config.as_ref()) {
            metadata.insert(ENDS.to_owned(), ends);
        }
        let mut header = String::from("{\"metadata\":");
        json::write(&Value::Object(metadata), &mut header);
        header.push_str(",\"tensors\":");
        write_plans(&plans, &mut header);
        header.push_str(",\"tokenizer\":");
        write_tokenizer(&checkpoint.tokenizer, &mut header)?;
        header.push('}');
        while !(header.len() + 8).is_multiple_of(ALIGNMENT) {
            header.push(' ');
        }
        check_header_size(header.len() as u64, HEADER_BYTES)?;
        Ok(Self { checkpoint, plans, header })
    }

    /// What reading the file will give, with the values of the original.
    ///
    /// # Errors
    /// The file would be refused.
    pub fn read_back(&self) -> Result<Checkpoint, FormatError> {
        read::header(self.header.as_bytes(), |_| Ok(self.checkpoint.tensors.clone()))
    }

    /// Writes the file. One row at a time is decoded, so that memory is bounded by the largest one.
    ///
    /// The same checkpoint always gives the same bytes; `scripts/export_mistral.py` gives the same ones.
    ///
    /// # Errors
    /// `out` takes no more.
    pub fn write(&self, out: &mut dyn Write) -> Result<(), FormatError> {
        let mut out = Padded { out, written: 0 };
        out.put(&(self.header.len() as u64).to_le_bytes())?;
        out.put(self.header.as_bytes())?;
        self.plans.iter().try_for_each(|plan| plan.write(&mut out))
    }
}

fn refuse(why: &str) -> FormatError {
    FormatError::new(Place::File, Problem::Write(why.to_owned()))
}

/// What the header says of one tensor.
struct Plan<'a> {
    tensor: &'a Tensor,
    ty: TensorType,
    sizes: PlaneSizes,
    offset: usize,
    scale_offset: usize,
}

fn plan(checkpoint: &Checkpoint, quant: Quant) -> Result<Vec<Plan<'_>>, FormatError> {
    let mut end = 0usize;
    let mut place = |size: usize| {
        let start = end;
        end = start.checked_add(size)?.checked_next_multiple_of(ALIGNMENT)?;
        Some(start)
    };
    let one = |tensor| {
        let tensor: &Tensor = tensor;
        let ty = quant.of(&tensor.name);
        let sizes = PlaneSizes::of(ty, &tensor.shape).map_err(|_| {
            let why =
                format!("rows of {} values are not whole groups of 64 for int8: choose f32", tensor.cols());
            FormatError::tensor(&tensor.name, Problem::Write(why))
        })?;
        if sizes.data == 0 {
            return Err(FormatError::tensor(&tensor.name, Problem::Write("has no values".to_owned())));
        }
        let offset = place(sizes.data);
        let scale_offset = if sizes.scales > 0 { place(sizes.scales) } else { Some(0) };
        let (Some(offset), Some(scale_offset)) = (offset, scale_offset) else {
            return Err(FormatError::tensor(
                &tensor.name,
                Problem::Write("does not fit into a file".to_owned()),
            ));
        };
        Ok(Plan { tensor, ty, sizes, offset, scale_offset })
    };
    checkpoint.tensors.iter().map(one).collect()
}

fn write_plans(plans: &[Plan<'_>], header: &mut String) {
    header.push('{');
    for (at, plan) in plans.iter().enumerate() {
        header.push_str(if at > 0 { "," } else { "" });
        json::write_string(&plan.tensor.name, header);
        let dtype = if plan.ty == TensorType::Int8G64 { "int8" } else { "f32" };
        let shape: Vec<_> = plan.tensor.shape.iter().map(usize::to_string).collect();
        header.push_str(&format!(
            ":{{\"dtype\":\"{dtype}\",\"offset\":{},\"scale_offset\":{},\"scale_size\":{},\"shape\":[{}]}}",
            plan.offset,
            plan.scale_offset,
            plan.sizes.scales / 4,
            shape.join(","),
        ));
    }
    header.push('}');
}

impl Plan<'_> {
    fn write(&self, out: &mut Padded<'_>) -> Result<(), FormatError> {
        let (rows, cols) = (self.tensor.rows(), self.tensor.cols());
        let mut values = vec![0.0; cols];
        let mut data = vec![0; self.sizes.data / rows];
        let mut scales = Vec::with_capacity(self.sizes.scales);
        let mut row_scales = vec![0; self.sizes.scales / rows];
        for row in 0..rows {
            self.tensor.decode_row(row, &mut values);
            self.ty.encode(&values, &mut data, &mut row_scales);
            out.put(&data)?;
            scales.extend_from_slice(&row_scales);
        }
        out.pad()?;
        out.put(&scales)?;
        out.pad()
    }
}

/// Counts what is written, to pad it.
struct Padded<'a> {
    out: &'a mut dyn Write,
    written: usize,
}

impl Padded<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.written += bytes.len();
        self.out.write_all(bytes).map_err(|error| FormatError::new(Place::File, Problem::Io(error)))
    }

    fn pad(&mut self) -> Result<(), FormatError> {
        let missing = self.written.next_multiple_of(ALIGNMENT) - self.written;
        self.put(&[0; ALIGNMENT][..missing])
    }
}

/// The key for tokens that end a reply.
const ENDS: &str = "eos_token_id";

/// How the weights of the original are stored, which says nothing of a file in which they are decoded.
const STORAGE: &str = "quantization_config";

/// The documented keys as text, all others as they are.
fn metadata(
    config: &serde_json::Map<String, Value>,
    quant: Quant,
    window: Option<usize>,
) -> serde_json::Map<String, Value> {
    let mut metadata = serde_json::Map::new();
    for (key, value) in config.iter().filter(|(key, _)| *key != STORAGE) {
        match RENAMED.iter().find(|(from, _)| from == key) {
            Some((_, to)) => metadata.insert((*to).to_owned(), text(value)),
            None => metadata.insert(key.clone(), value.clone()),
        };
    }
    metadata.entry("sliding_window").or_insert_with(|| window.unwrap_or(0).to_string().into());
    metadata.insert("quant".to_owned(), quant.name().into());
    metadata
}

/// The ids of `config.json` and of `generation_config.json`, which the header has no other place for. `None` where the first has all.
fn ends(config: &serde_json::Map<String, Value>, generation_config: Option<&Value>) -> Option<Value> {
    let list = |value: Option<&Value>| match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(ids)) => ids.clone(),
        Some(id) => vec![id.clone()],
    };
    let mut all = list(config.get(ENDS));
    let own = all.len();
    for id in list(generation_config.and_then(|config| config.get(ENDS))) {
        if !all.contains(&id) {
            all.push(id);
        }
    }
    (all.len() > own).then_some(Value::Array(all))
}

/// A scalar as older readers want it: numbers as text, no window as `0`.
fn text(value: &Value) -> Value {
    match value {
        Value::Null => "0".into(),
        Value::Number(number) => json::number(number).into(),
        other => other.clone(),
    }
}

/// Vocabulary and merges for other readers; this one reads `json`, which says all that they do not, and `config`.
fn write_tokenizer(source: &TokenizerSource, header: &mut String) -> Result<(), FormatError> {
    let TokenizerSource::HuggingFace { tokenizer_json, tokenizer_config, chat_template } = source else {
        header.push_str("{\"merges\":[],\"vocab\":{}}");
        return Ok(());
    };
    let whole = std::str::from_utf8(tokenizer_json)
        .map_err(|_| FormatError::new(Place::File, Problem::NotUtf8("tokenizer.json")))?;
    let tokenizer: TokenizerJson = serde_json::from_str(whole).map_err(|error| {
        FormatError::new(Place::File, Problem::Json { what: "tokenizer.json", why: error.to_string() })
    })?;
    header.push('{');
    if let Some(template) = chat_template {
        header.push_str("\"chat_template\":");
        json::write_string(template, header);
        header.push(',');
    }
    if let Some(Value::Object(config)) = tokenizer_config {
        let mut config = config.clone();
        config.remove("chat_template");
        header.push_str("\"config\":");
        json::write(&Value::Object(config), header);
        header.push(',');
    }
    header.push_str("\"json\":");
    json::write_string(whole, header);
    header.push(',');
    tokenizer.write(header)?;
    header.push('}');
    Ok(())
}

/// What a native header says of a `tokenizer.json` in words of its own.
#[derive(serde::Deserialize)]
struct TokenizerJson {
    model: Model,
}

#[derive(serde::Deserialize)]
struct Model {
    #[serde(default)]
    vocab: Value,
    #[serde(default)]
    merges: Vec<Value>,
}

impl TokenizerJson {
    /// `"merges":[...],"vocab":{...}`, the vocabulary in the order of its ids.
    fn write(&self, header: &mut String) -> Result<(), FormatError> {
        header.push_str("\"merges\":[");
        for (at, merge) in self.model.merges.iter().enumerate() {
            header.push_str(if at > 0 { "," } else { "" });
            match merge {
                Value::Array(pair) => {
                    let halves: Vec<_> = pair.iter().filter_map(Value::as_str).collect();
                    json::write_string(&halves.join(" "), header);
                }
                other => json::write(other, header),
            }
        }
        header.push_str("],\"vocab\":{");
        for (at, (id, token)) in self.by_id()?.into_iter().enumerate() {
            header.push_str(if at > 0 { "," } else { "" });
            json::write_string(token, header);
            header.push_str(&format!(":{id}"));
        }
        header.push('}');
        Ok(())
    }

    /// The vocabulary in the order of its ids; empty for a tokenizer whose vocabulary is no object.
    fn by_id(&self) -> Result<Vec<(u32, &str)>, FormatError> {
        let tokens = self.model.vocab.as_object().into_iter().flatten();
        let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
        let pairs = tokens.map(|(token, value)| id(value).map(|id| (id, token.as_str())));
        let pairs: Option<Vec<_>> = pairs.collect();
        let mut pairs = pairs.ok_or_else(|| refuse("tokenizer.json has a token whose id is no number"))?;
        pairs.sort_unstable();
        Ok(pairs)
    }
}
