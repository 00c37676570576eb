//! Making an importance matrix: what each matrix of a model is multiplied with while it reads a text, as sums of squares per column.

use super::importance::{COUNTS, SUMS};
use super::mixes::layer_of;
use super::replace::{refuse_same, write_whole};
use crate::Error;
use crate::open::{ModelOptions, Source, open_shown};
use crate::score::Scorer;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use torchless_base::TokenId;
use torchless_device::Witness;
use torchless_formats::gguf::Header;
use torchless_formats::{Checkpoint, Format, StringTable};
use torchless_quant::TensorType;

/// Sums over the rows that one matrix has met.
#[derive(Clone, Debug, Default)]
struct Sums {
    /// Of squares, per column.
    squares: Vec<f64>,
    /// Rows.
    count: u64,
}

/// Sums of all matrices, by the names that the device has for them.
#[derive(Clone, Debug, Default)]
struct Collected(Arc<Mutex<BTreeMap<String, Sums>>>);

impl Witness for Collected {
    fn met(&mut self, matrix: &str, x: &[f32], cols: usize) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(matrix) {
            all.insert(matrix.to_owned(), Sums { squares: vec![0.0; cols], count: 0 });
        }
        let Some(sums) = all.get_mut(matrix) else { return };
        for row in x.chunks_exact(cols) {
            sums.squares.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x) * f64::from(*x));
            sums.count += 1;
        }
    }
}

/// What an importance matrix is made from.
#[derive(Clone, Copy, Debug)]
pub struct Calibration<'a> {
    /// The text.
    pub ids: &'a [TokenId],
    /// The text's name, for the file.
    pub dataset: &'a str,
    /// Tokens of a stretch: each is read from the start of the context.
    pub context: usize,
    /// What takes the place of each stretch's first token.
    pub bos: Option<TokenId>,
    /// Whether the head is of interest too; llama.cpp leaves it out unless asked.
    pub with_output: bool,
}

/// What was made.
#[derive(Clone, Copy, Debug)]
pub struct Calibrated {
    /// Tensors with an entry.
    pub tensors: usize,
    /// Stretches that were read.
    pub chunks: usize,
    /// Matrices of experts that no token of the text met.
    pub unmet: usize,
}

/// Reads a text with a model in GGUF and writes an importance matrix as llama.cpp does, in GGUF. `progress` is told of stretches done and in
/// all.
///
/// # Errors
/// The model is not GGUF or does not run, a stretch has no token of the text, the text is shorter than one, or the file cannot be written.
pub fn write_importance(
    source: &Source,
    output: &Path,
    from: &Calibration<'_>,
    options: &ModelOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Calibrated, Error> {
    let checkpoint = source.checkpoint()?;
    if checkpoint.format != Format::Gguf {
        let what = format!(
            "{} is {}: importance goes by the names that tensors have in GGUF, which `torchless convert` makes",
            source.name().display(),
            checkpoint.format.name()
        );
        return Err(Error::Mismatch(what));
    }
    refuse_same(output, checkpoint.read_from())?;
    let least = 1 + usize::from(from.bos.is_some());
    if from.context < least {
        return Err(Error::Option(format!(
            "a context of {} positions has no token of the text: {least} are needed",
            from.context
        )));
    }
    let chunks = from.ids.len() / from.context;
    if chunks == 0 {
        let (have, need) = (from.ids.len(), from.context);
        let what = format!(
            "the text has {have} tokens: a stretch takes {need}; give a longer text, or a shorter context"
        );
        return Err(Error::Option(what));
    }
    let collected = Collected::default();
    let options = ModelOptions { max_seq_len: Some(from.context), ..options.clone() };
    let runner = open_shown(source, &checkpoint, &options, Box::new(collected.clone()))?;
    let mut scorer = Scorer::of(runner);
    let mut input = Vec::with_capacity(from.context);
    for (number, stretch) in from.ids.chunks_exact(from.context).enumerate() {
        input.clear();
        input.extend_from_slice(stretch);
        if let Some(bos) = from.bos {
            input[0] = bos;
        }
        scorer.score(&input, &mut |_| Ok(()))?;
        progress(number + 1, chunks);
    }
    let all = std::mem::take(&mut *collected.0.lock().unwrap_or_else(PoisonError::into_inner));
    let entries = entries(&checkpoint, all, from.with_output);
    if let Some((name, _)) = entries.iter().find(|(_, e)| e.squares.iter().any(|v| !v.is_finite())) {
        let reason = "met values that are not finite".to_owned();
        return Err(Error::Weights { tensor: name.clone(), reason });
    }
    let unmet = entries.values().flat_map(|entry| &entry.counts).filter(|count| **count == 0).count();
    write(output, &entries, from, chunks)?;
    Ok(Calibrated { tensors: entries.len(), chunks, unmet })
}

/// One tensor's sums, matrix by matrix, and how many rows each has met.
struct Entry {
    squares: Vec<f32>,
    counts: Vec<u64>,
    cols: usize,
}

/// Brings the matrices of each tensor together. The device's names are those of tensors, where several matrices lie in one with what they
/// are behind it: the number of an expert or head, or a part that meets the same rows as the other parts.
fn entries(
    checkpoint: &Checkpoint,
    all: BTreeMap<String, Sums>,
    with_output: bool,
) -> BTreeMap<String, Entry> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for (matrix, sums) in all {
        let (name, part) = matrix.split_once(' ').unwrap_or((&matrix, ""));
        let wanted = layer_of(name).is_some() || (with_output && name == "output.weight");
        let Ok(tensor) = checkpoint.tensors.get(name) else { continue };
        let matrices: usize = tensor.shape.iter().rev().skip(2).product();
        let member = part.split(' ').find_map(|word| word.parse().ok()).unwrap_or(0);
        let cols = sums.squares.len();
        if !wanted || tensor.cols() != cols || member >= matrices {
            continue;
        }
        let empty = || Entry { squares: vec![0.0; cols * matrices], counts: vec![0; matrices], cols };
        let entry = entries.entry(name.to_owned()).or_insert_with(empty);
        let to = entry.squares[member * cols..(member + 1) * cols].iter_mut();
        to.zip(&sums.squares).for_each(|(to, sum)| *to = *sum as f32);
        entry.counts[member] = sums.count;
    }
    entries
}

fn write(
    output: &Path,
    entries: &BTreeMap<String, Entry>,
    from: &Calibration<'_>,
    chunks: usize,
) -> Result<(), Error> {
    let mut header = Header::new();
    header.put("general.type", "imatrix")?;
    let mut datasets = StringTable::new();
    if !datasets.push(from.dataset) {
        return Err(Error::Option(format!("a name of {} bytes is too long", from.dataset.len())));
    }
    header.put("imatrix.datasets", datasets)?;
    header.put("imatrix.chunk_count", chunks as u32)?;
    header.put("imatrix.chunk_size", from.context as u32)?;
    for (name, entry) in entries {
        header.tensor(&format!("{name}{SUMS}"), TensorType::F32, &[entry.counts.len(), entry.cols])?;
        header.tensor(&format!("{name}{COUNTS}"), TensorType::F32, &[entry.counts.len(), 1])?;
    }
    write_whole(output, |out| {
        let mut writer = header.start(out)?;
        for entry in entries.values() {
            let counts: Vec<f32> = entry.counts.iter().map(|count| *count as f32).collect();
            for values in [&entry.squares, &counts] {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                writer.write(&bytes)?;
            }
        }
        writer.finish()?.flush().map_err(|source| Error::Io { path: output.to_owned(), source })
    })
    .map(drop)
}
