//! A GGUF file in the making: metadata, and tensors whose rows come from tensors that are there.

use crate::Error;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use torchless_formats::gguf::{Header, Value};
use torchless_formats::{Checkpoint, Metadata, Tensor};
use torchless_quant::TensorType;

/// Values that all threads together hold in single precision.
const SLAB_VALUES: usize = 8 << 20;

/// Where encoded rows go.
pub(crate) type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Error> + 'a;

/// What happens to the rows of a tensor.
#[derive(Debug, PartialEq)]
pub(crate) enum Rows {
    /// Nothing.
    AsTheyAre,
    /// This is added to every value.
    Plus(f32),
    /// Of each head, row `i` and row `i + head_dim / 2` come to lie side by side. A vector's values are its rows.
    PairsTogether { head_dim: usize },
    /// These, in this order. A vector's values are its rows.
    Order(Vec<usize>),
    /// This one alone, as a vector.
    One(usize),
    /// Of each row these values, in this order.
    Columns(Vec<usize>),
    /// They are columns of the one tensor, matrix by matrix: the column `first` of each and every `step`th after it.
    Turned { first: usize, step: usize },
    /// Logarithms of magnitudes, which become negative numbers: these values of the one row, in this order.
    Decay(Vec<usize>),
    /// They are these values, and no other tensor's.
    Values(Vec<f32>),
}

/// A tensor of the new file.
#[derive(Debug)]
pub(crate) struct Sheet<'a> {
    /// The name in GGUF.
    pub name: String,
    /// Outermost dimension first.
    pub shape: Vec<usize>,
    /// The tensors whose rows these are, one after another.
    pub parts: Vec<&'a Tensor>,
    /// What happens to them.
    pub change: Rows,
    /// The type to write.
    pub ty: TensorType,
}

impl<'a> Sheet<'a> {
    /// A tensor as it is.
    pub(crate) fn of(tensor: &'a Tensor) -> Self {
        let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
        Self { name, shape, parts: vec![tensor], change: Rows::AsTheyAre, ty: tensor.ty }
    }

    pub(crate) fn cols(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// The type of the rows that are there.
    pub(crate) fn source_type(&self) -> Option<TensorType> {
        self.parts.first().map(|part| part.ty)
    }

    /// Row `row` in single precision.
    fn decode_row(&self, row: usize, out: &mut [f32]) {
        match &self.change {
            Rows::AsTheyAre => self.decode_source(row, out),
            Rows::Plus(more) => {
                self.decode_source(row, out);
                out.iter_mut().for_each(|v| *v += more);
            }
            Rows::PairsTogether { head_dim } if self.shape.len() == 1 => {
                self.pick(row, out, |i| apart(i, *head_dim));
            }
            Rows::PairsTogether { head_dim } => self.decode_source(apart(row, *head_dim), out),
            Rows::Order(order) if self.shape.len() == 1 => self.pick(row, out, |i| order[i]),
            Rows::Order(order) => self.decode_source(order[row], out),
            Rows::One(row) => self.decode_source(*row, out),
            Rows::Columns(order) => self.pick(row, out, |i| order[i]),
            Rows::Decay(order) => {
                self.pick(row, out, |i| order[i]);
                out.iter_mut().for_each(|v| *v = -v.exp());
            }
            // Only `turned` has something to decode.
            Rows::Turned { .. } => out.fill(f32::NAN),
            Rows::Values(values) => out.copy_from_slice(&values[row * out.len()..(row + 1) * out.len()]),
        }
    }

    /// Of a row that is there the values that `from` names.
    fn pick(&self, row: usize, out: &mut [f32], from: impl Fn(usize) -> usize) {
        let mut values = vec![0.0; self.parts.first().map_or(0, |part| part.cols())];
        self.decode_source(row, &mut values);
        out.iter_mut().enumerate().for_each(|(i, out)| *out = values[from(i)]);
    }

    fn decode_source(&self, mut row: usize, out: &mut [f32]) {
        for part in &self.parts {
            if row < part.rows() {
                return part.decode_row(row, out);
            }
            row -= part.rows();
        }
    }

    /// Matrix `matrix` with columns that have become rows, in memory.
    fn turned(&self, matrix: usize) -> Option<Sheet<'a>> {
        let (&Rows::Turned { first, step }, [part], [.., rows, cols]) =
            (&self.change, &self.parts[..], &self.shape[..])
        else {
            return None;
        };
        let (rows, cols) = (*rows, *cols);
        let (mut values, mut row) = (vec![0.0; rows * cols], vec![0.0; part.cols()]);
        for j in 0..cols {
            part.decode_row(matrix * cols + j, &mut row);
            let picked = row.iter().skip(first).step_by(step).take(rows);
            picked.enumerate().for_each(|(i, value)| values[i * cols + j] = *value);
        }
        let name = self.name.clone();
        Some(Sheet {
            name,
            shape: vec![rows, cols],
            parts: Vec::new(),
            change: Rows::Values(values),
            ty: self.ty,
        })
    }

    /// How many matrices it is.
    fn matrices(&self) -> usize {
        self.shape.iter().rev().skip(2).product()
    }

    /// Writes it in its type; `importance` has the weights of the columns of each matrix, or nothing.
    pub(crate) fn encode(
        &self,
        importance: &[f32],
        threads: usize,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        if !matches!(self.change, Rows::Turned { .. }) {
            return encode(self, importance, threads, sink);
        }
        // One matrix at a time is held, not all of a layer's.
        for matrix in 0..self.matrices() {
            let own = importance.chunks_exact(self.cols()).nth(matrix).unwrap_or(&[]);
            if let Some(sheet) = self.turned(matrix) {
                encode(&sheet, own, threads, sink)?;
            }
        }
        Ok(())
    }

    /// Whether the bytes are those of the tensors as they are.
    fn is_copy(&self) -> bool {
        self.change == Rows::AsTheyAre
            && self.ty.info().scale_bytes == 0
            && self.parts.iter().all(|part| part.ty == self.ty)
    }
}

/// Where row `row` comes from whose pairs were half a head apart.
fn apart(row: usize, head_dim: usize) -> usize {
    let (head, within) = (row / head_dim, row % head_dim);
    head * head_dim + within % 2 * (head_dim / 2) + within / 2
}

/// All of a file.
#[derive(Debug)]
pub(crate) struct Book<'a> {
    /// Keys and values in the file's order.
    pub metadata: Vec<(String, Value)>,
    /// The tensors in the file's order.
    pub sheets: Vec<Sheet<'a>>,
    /// Whether the metadata's tokenizer does not give the original's ids in every case.
    pub tokens_differ: bool,
}

impl<'a> Book<'a> {
    /// What a GGUF checkpoint holds, with tensors in the order of layers; parts of a split model in one.
    pub(crate) fn of_gguf(checkpoint: &'a Checkpoint) -> Result<Self, Error> {
        let Metadata::Gguf(metadata) = &checkpoint.metadata else {
            return Err(Error::Mismatch(format!("is {}, not GGUF", checkpoint.format.name())));
        };
        let own = metadata.iter().filter(|(key, _)| !key.starts_with("split."));
        let metadata = own.map(|(key, value)| (key.to_owned(), value.clone())).collect();
        let mut sheets: Vec<_> = checkpoint.tensors.iter().map(Sheet::of).collect();
        sheets.sort_by_cached_key(|sheet| (super::mixes::layer_of(&sheet.name), sheet.name.clone()));
        Ok(Self { metadata, sheets, tokens_differ: false })
    }

    /// Sets a key, which then is the last one.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.metadata.retain(|(there, _)| there != key);
        self.metadata.push((key.to_owned(), value.into()));
    }

    fn header(&self) -> Result<Header, Error> {
        let mut header = Header::new();
        for (key, value) in &self.metadata {
            header.put(key, value.clone())?;
        }
        for sheet in &self.sheets {
            // A type that GGUF cannot hold will be written as another one.
            let info = sheet.ty.info();
            let ty = if info.ggml_id.is_some() && info.scale_bytes == 0 { sheet.ty } else { TensorType::F32 };
            header.tensor(&sheet.name, ty, &sheet.shape)?;
        }
        Ok(header)
    }

    /// Writes metadata, sizes and the values that are no other tensor's: in place of weights the file has a hole.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write_sizes(&self, path: &Path) -> Result<(), Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let (header, offsets) = self.header()?.encoded()?;
        std::fs::write(path, &header).map_err(io)?;
        let mut file = File::options().write(true).open(path).map_err(io)?;
        let start = header.len() as u64;
        file.set_len(start + offsets.last().copied().unwrap_or(0)).map_err(io)?;
        for (sheet, offset) in self.sheets.iter().zip(offsets) {
            if let Rows::Values(values) = &sheet.change {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                file.seek(SeekFrom::Start(start + offset))
                    .and_then(|_| file.write_all(&bytes))
                    .map_err(io)?;
            }
        }
        Ok(())
    }

    /// Writes the file; `importance` gives the weights of a tensor's columns, and `progress` is told of every tensor.
    ///
    /// # Errors
    /// A value is not finite, a type does not fit, or `out` fails.
    pub(crate) fn write<W: Write>(
        &self,
        out: W,
        importance: &dyn Fn(&str) -> Option<&'a [f32]>,
        threads: usize,
        progress: &mut dyn FnMut(&str, TensorType),
    ) -> Result<W, Error> {
        let mut writer = self.header()?.start(out)?;
        for sheet in &self.sheets {
            progress(&sheet.name, sheet.ty);
            if sheet.is_copy() {
                check_values(sheet, threads)?;
                sheet.parts.iter().try_for_each(|part| writer.write(&part.data))?;
            } else {
                let mut sink = |bytes: &[u8]| Ok(writer.write(bytes)?);
                sheet.encode(importance(&sheet.name).unwrap_or(&[]), threads, &mut sink)?;
            }
            sheet.parts.iter().for_each(|part| part.data.release());
        }
        Ok(writer.finish()?)
    }
}

/// A run of rows on its way.
struct Slab<'a> {
    sheet: &'a Sheet<'a>,
    importance: &'a [f32],
    first: usize,
    rows: usize,
}

impl Slab<'_> {
    /// Decodes the rows and encodes them into `out`, which has room for exactly these.
    fn encode(&self, out: &mut [u8]) -> Result<(), Error> {
        let (cols, ty) = (self.sheet.cols(), self.sheet.ty);
        let matrix_rows = self.sheet.shape.iter().rev().nth(1).copied().unwrap_or(1);
        let mut values = vec![0.0; cols];
        for (row, out) in out.chunks_exact_mut(out.len() / self.rows).enumerate() {
            let row = self.first + row;
            self.sheet.decode_row(row, &mut values);
            check_row(&self.sheet.name, row, &values)?;
            let matrix = row / matrix_rows;
            let weights = self.importance.chunks_exact(cols).nth(matrix).unwrap_or(&[]);
            if !ty.encode_weighted(&values, weights, out, &mut []) {
                let reason = format!("nothing can be written as {ty} here");
                return Err(Error::Weights { tensor: self.sheet.name.clone(), reason });
            }
            check_written(self.sheet, row, &values, out)?;
        }
        Ok(())
    }

    /// The same by several threads.
    fn encode_by(&self, threads: usize, out: &mut [u8]) -> Result<(), Error> {
        let row_bytes = out.len() / self.rows;
        let each = self.rows.div_ceil(threads);
        std::thread::scope(|scope| {
            let parts = out.chunks_mut(each * row_bytes).enumerate().map(|(i, out)| {
                let part = Slab { first: self.first + i * each, rows: out.len() / row_bytes, ..*self };
                scope.spawn(move || part.encode(out))
            });
            let parts: Vec<_> = parts.collect();
            // A panic in a thread is one here.
            parts
                .into_iter()
                .try_for_each(|part| part.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
        })
    }
}

fn check_row(tensor: &str, row: usize, values: &[f32]) -> Result<(), Error> {
    // The sum of what is finite times zero is zero.
    if values.iter().map(|v| v * 0.0).sum::<f32>() == 0.0 {
        return Ok(());
    }
    let col = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
    let reason = format!("row {row}, column {col} is {}: weights have to be finite", values[col]);
    Err(Error::Weights { tensor: tensor.to_owned(), reason })
}

/// No scale of a row is too large for half precision whose values are not larger than this: it is at most their largest, or little more.
const SAFE: f32 = 16384.0;

/// Large values may become infinite or be cut off, where a type or the scale of its blocks has too few bits.
fn check_written(sheet: &Sheet<'_>, row: usize, values: &[f32], written: &[u8]) -> Result<(), Error> {
    let largest = values.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    if largest <= SAFE {
        return Ok(());
    }
    let mut back = vec![0.0; values.len()];
    sheet.ty.decode(written, &[], &mut back);
    let kept =
        |(v, back): (&f32, &f32)| back.is_finite() && (v.abs() < largest || back.abs() >= 0.5 * largest);
    if values.iter().zip(&back).all(kept) {
        return Ok(());
    }
    let reason = format!("row {row} has a value of {largest:e}, too large for {}: F32 holds it", sheet.ty);
    Err(Error::Weights { tensor: sheet.name.clone(), reason })
}

/// Tensors that are copied may not hold what is not finite either.
fn check_values(sheet: &Sheet<'_>, threads: usize) -> Result<(), Error> {
    let (rows, cols) = (sheet.rows(), sheet.cols());
    let each = rows.div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..rows)
            .step_by(each)
            .map(|first| {
                scope.spawn(move || {
                    let mut values = vec![0.0; cols];
                    (first..(first + each).min(rows)).try_for_each(|row| {
                        sheet.decode_row(row, &mut values);
                        check_row(&sheet.name, row, &values)
                    })
                })
            })
            .collect();
        parts.into_iter().try_for_each(|part| part.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
    })
}

fn encode(sheet: &Sheet<'_>, importance: &[f32], threads: usize, sink: &mut Sink<'_>) -> Result<(), Error> {
    let (rows, cols) = (sheet.rows(), sheet.cols());
    let row_bytes = sheet.ty.row_bytes(cols).ok_or_else(|| Error::Weights {
        tensor: sheet.name.clone(),
        reason: format!("its rows of {cols} values are not whole blocks of {}", sheet.ty),
    })?;
    let step = (SLAB_VALUES / cols.max(1)).clamp(1, rows.max(1));
    let mut out = vec![0; step * row_bytes];
    for first in (0..rows).step_by(step) {
        let count = step.min(rows - first);
        let out = &mut out[..count * row_bytes];
        Slab { sheet, importance, first, rows: count }.encode_by(threads.clamp(1, count), out)?;
        sink(out)?;
    }
    Ok(())
}
