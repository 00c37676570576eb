//! Quantising a model file.

use super::convert;
use super::gguf::Book;
use super::importance::Importance;
use super::mixes::{self, Chooser, Facts, FileType, Overrides};
use super::replace::{refuse_same, write_whole};
use crate::Error;
use crate::open::Source;
use std::collections::BTreeSet;
use std::path::Path;
use tabagent_hardware::usable_cores;
use torchless_formats::gguf::Value;
use torchless_model::own_words;
use torchless_quant::TensorType;

/// How a model is quantised.
#[derive(Debug)]
pub struct Quantize<'a> {
    /// The kind of file to write.
    pub file: &'static FileType,
    /// What takes precedence over its rules.
    pub overrides: Overrides,
    /// Whether weights that are quantised already may be quantised again, to their loss.
    pub requantize: bool,
    /// Whether the head stays as it is.
    pub leave_output: bool,
    /// How much columns matter.
    pub importance: Option<&'a Importance>,
    /// Threads; by default one per physical core.
    pub threads: Option<usize>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantized {
    /// Tensors.
    pub tensors: usize,
    /// Bytes of weights before and after.
    pub bytes: (u64, u64),
    /// Values of all tensors.
    pub values: u64,
    /// Tensors of types of three bits and less without an entry in the importance matrix.
    pub blind: usize,
}

/// The version of the layouts of quantised types.
const QUANTIZATION_VERSION: u32 = 2;

/// Quantises `source` into the GGUF file `output`; `progress` is told of every tensor and the type it gets.
///
/// # Errors
/// It is no model file, a weight is not finite, weights are quantised already, a type does not fit a tensor, or the file cannot be
/// written; what was at `output` is still there then.
pub fn quantize(
    source: &Source,
    output: &Path,
    how: &Quantize<'_>,
    progress: &mut dyn FnMut(&str, TensorType),
) -> Result<Quantized, Error> {
    let checkpoint = source.checkpoint()?;
    let importance = how.importance.map(|matrix| matrix.path.as_path());
    refuse_same(output, checkpoint.read_from().chain(importance))?;
    let mut book = convert::book(source, &checkpoint, output)?;
    let mut done = choose(&mut book, how)?;
    describe(&mut book, how);
    let weights = |tensor: &str| how.importance.and_then(|matrix| matrix.of(tensor));
    let threads = how.threads.unwrap_or_else(usable_cores);
    write_whole(output, |out| book.write(out, &weights, threads, progress).map(drop))?;
    done.tensors = book.sheets.len();
    Ok(done)
}

/// Gives every tensor its type.
fn choose(book: &mut Book<'_>, how: &Quantize<'_>) -> Result<Quantized, Error> {
    let mut facts = facts(&book.metadata);
    facts.imatrix = how.importance.is_some();
    let names = || book.sheets.iter().map(|sheet| sheet.name.as_str());
    facts.tied = !names().any(|name| name == "output.weight");
    facts.values = Chooser::count_values(names());
    refuse_contradiction(how, facts.tied)?;
    let head = if facts.tied { "token_embd.weight" } else { "output.weight" };
    refuse_foreign(book, how.importance)?;
    let mut chooser = Chooser::new(how.file, facts, how.overrides);
    let mut done = Quantized::default();
    let mut read = BTreeSet::new();
    for sheet in &mut book.sheets {
        let source = sheet.source_type().unwrap_or(sheet.ty);
        let kept = how.leave_output && sheet.name == head;
        if mixes::is_quantised(&sheet.name, &sheet.shape) && !kept {
            sheet.ty = chooser.choose(&sheet.name, sheet.cols());
        } else if sheet.ty.info().scale_bytes > 0 || sheet.ty.info().ggml_id.is_none() {
            sheet.ty = TensorType::F32;
        }
        let error = |reason| Err(Error::Weights { tensor: sheet.name.clone(), reason });
        if sheet.ty != source && !is_float(source) && !how.requantize {
            return error(format!(
                "is {source} already: quantising it again loses more (--allow-requantize does it all the same)"
            ));
        }
        let cols = sheet.cols();
        let Some(row) = sheet.ty.row_bytes(cols) else {
            return error(format!("its rows of {cols} values are not whole blocks of {}", sheet.ty));
        };
        check_importance(sheet.ty, &sheet.name, &sheet.shape, how.importance, &mut done)?;
        let rows: usize = sheet.shape.iter().rev().skip(1).product();
        // What is fused in the source is a part of several.
        let new = sheet.parts.iter().filter(|part| read.insert(part.name.as_str()));
        done.bytes.0 += new.map(|part| part.byte_len() as u64).sum::<u64>();
        done.bytes.1 += (rows * row) as u64;
        done.values += (rows * cols) as u64;
    }
    Ok(done)
}

/// Refuses a type for what another option decides; `tied`: the embedding table is the head too.
fn refuse_contradiction(how: &Quantize<'_>, tied: bool) -> Result<(), Error> {
    let Overrides { output, embedding, .. } = how.overrides;
    let error = |what: String| Err(Error::Option(what));
    match (output, embedding) {
        (Some(ty), _) if how.leave_output => error(format!("the head is to stay as it is, and to be {ty}")),
        (_, Some(ty)) if how.leave_output && tied => error(format!(
            "the embedding table is this model's head, which is to stay as it is (--leave-output-tensor), and to be {ty} (--token-embedding-type): leave out one"
        )),
        (Some(a), Some(b)) if a != b && tied => error(format!(
            "the embedding table is this model's head, so that both are {a} (--output-tensor-type) or {b} (--token-embedding-type): leave out one"
        )),
        _ => Ok(()),
    }
}

/// Refuses an importance matrix that knows no tensor of the model.
fn refuse_foreign(book: &Book<'_>, importance: Option<&Importance>) -> Result<(), Error> {
    let Some(matrix) = importance else { return Ok(()) };
    if book.sheets.iter().any(|sheet| matrix.of(&sheet.name).is_some()) {
        return Ok(());
    }
    let path = matrix.path.display();
    Err(Error::Mismatch(format!("{path}: none of its {} entries names a tensor of this model", matrix.len())))
}

fn is_float(ty: TensorType) -> bool {
    use TensorType::{BF16, F8_E4M3, F8_E5M2, F16, F32, F64};
    matches!(ty, F32 | F16 | BF16 | F64 | F8_E4M3 | F8_E5M2)
}

/// Three bits and fewer, scales included, of which types of three bits have another tenth or more.
fn has_few_bits(ty: TensorType) -> bool {
    let info = ty.info();
    8 * 10 * info.block_bytes <= 31 * info.block_len
}

/// An entry has a value per column of each matrix. Types of few bits without any are counted.
fn check_importance(
    ty: TensorType,
    name: &str,
    shape: &[usize],
    importance: Option<&Importance>,
    done: &mut Quantized,
) -> Result<(), Error> {
    let embedding = matches!(name, "token_embd.weight" | "per_layer_token_embd.weight" | "output.weight");
    let Some(means) = importance.and_then(|matrix| matrix.of(name)) else {
        done.blind += usize::from(has_few_bits(ty) && !embedding);
        return Ok(());
    };
    let matrices: usize = shape.iter().rev().skip(2).product();
    let wanted = shape.last().copied().unwrap_or(1) * matrices;
    if means.len() == wanted {
        return Ok(());
    }
    let reason =
        format!("has {wanted} columns, its entry in the importance matrix {}: another model's", means.len());
    Err(Error::Weights { tensor: name.to_owned(), reason })
}

/// What the rules ask, from the metadata of whatever architecture.
fn facts(metadata: &[(String, Value)]) -> Facts {
    let value = |key: &str| metadata.iter().find(|(there, _)| there == key).map(|(_, value)| value);
    let named = |key: &str| match value(key) {
        Some(Value::String(arch)) => arch.as_str(),
        _ => "",
    };
    let arch = match named("general.architecture") {
        own_words::ARCHITECTURE => named(own_words::OF),
        arch => arch,
    };
    let number = |key: &str| largest(value(&format!("{arch}.{key}"))?);
    let layers = number("block_count").unwrap_or(0);
    let heads = number("attention.head_count").unwrap_or(0);
    let kv_heads = number("attention.head_count_kv").unwrap_or(heads);
    Facts {
        layers,
        experts: number("expert_count").unwrap_or(0),
        grouping: heads.checked_div(kv_heads).unwrap_or(0),
        is_70b: layers == 80 && heads != kv_heads && matches!(arch, "llama" | "qwen2" | "deci"),
        ..Facts::default()
    }
}

/// A number, or the greatest of an array with one per layer.
fn largest(value: &Value) -> Option<usize> {
    let number = match value {
        Value::Int(_, number) => Some(*number),
        Value::Array(array) => array.integers()?.max(),
        _ => None,
    };
    number.and_then(|number| usize::try_from(number).ok())
}

/// Says in the metadata what was done.
fn describe(book: &mut Book<'_>, how: &Quantize<'_>) {
    book.set("general.quantization_version", QUANTIZATION_VERSION);
    book.set("general.file_type", how.file.number);
    if let Some(matrix) = how.importance {
        book.set("quantize.imatrix.file", matrix.path.display().to_string().as_str());
        if let Some(dataset) = matrix.datasets.first() {
            book.set("quantize.imatrix.dataset", dataset.as_str());
        }
        book.set("quantize.imatrix.entries_count", matrix.len() as u32);
        book.set("quantize.imatrix.chunks_count", matrix.chunks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_bits_and_fewer_are_few() {
        let few = |name| TensorType::from_name(name).is_some_and(has_few_bits);
        assert!(["IQ1_S", "TQ1_0", "TQ2_0", "IQ2_XXS", "Q2_K", "IQ3_XXS"].into_iter().all(few));
        assert!(!["Q3_K", "IQ3_S", "Q4_0", "F16"].into_iter().any(few));
    }
}
