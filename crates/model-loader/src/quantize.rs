//! Model files in other types, made by the library.

use std::ffi::{CString, c_char, c_void};
use std::path::Path;

use crate::abi::call::{self, BLOB_BYTES, Blob};
use crate::model::path_text;
use crate::{Error, Library, logs};

/// What to make of a model file.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Quantization<'a> {
    /// `general.file_type`, which is also `enum llama_ftype`.
    pub file_type: u32,
    /// Threads; by default one per core.
    pub threads: Option<u32>,
    /// How much the columns of matrices matter.
    pub importance: &'a [ColumnWeights],
}

impl Quantization<'_> {
    /// A kind of file by its number.
    pub fn new(file_type: u32) -> Self {
        Self { file_type, ..Self::default() }
    }
}

/// How much each column of a matrix matters; of stacked matrices those of each, one after the other.
#[derive(Clone, Debug)]
pub struct ColumnWeights {
    /// The tensor's name.
    pub tensor: String,
    /// One number per column.
    pub values: Vec<f32>,
}

/// `llama_model_imatrix_data`.
#[repr(C)]
struct RawColumnWeights {
    name: *const c_char,
    data: *const f32,
    size: usize,
}

/// Where fields of `llama_model_quantize_params` lie. The first two have been there since 2023. The pointer follows four numbers of 4 bytes and
/// up to 8 flags.
const THREADS: usize = 0;
const FILE_TYPE: usize = 4;
const IMPORTANCE: usize = 24;
/// More than any `enum llama_ftype`.
const MOST_FILE_TYPES: i32 = 256;

impl Library {
    /// Writes the model file `input` as `output`, in the types that the library chooses for a kind of file.
    ///
    /// # Errors
    /// The file is no sound GGUF, the library has no such function or another one than it had so far, or it refuses.
    pub fn quantize(&self, input: &Path, output: &Path, how: &Quantization<'_>) -> Result<(), Error> {
        torchless_formats::open(input, &torchless_formats::OpenOptions::default())?;
        let f = self.functions();
        let what = "quantise files";
        let missing = |symbol| Error::Unsupported { what, symbol };
        let defaults = f.quantize_defaults.ok_or(missing("llama_model_quantize_default_params"))?;
        let quantize = f.quantize.ok_or(missing("llama_model_quantize"))?;
        let mut blob = Blob([0; BLOB_BYTES]);
        // SAFETY: a function of llama.h that takes nothing and returns a struct of C, which has had 32 to 80 bytes.
        unsafe { call::returned_into(defaults, &mut blob) };
        check(&blob)?;
        put(&mut blob, THREADS, &how.threads.unwrap_or(0).to_ne_bytes());
        put(&mut blob, FILE_TYPE, &how.file_type.to_ne_bytes());
        let no_text = |_| Error::Text { what: "a tensor's name", why: "has a zero byte".to_owned() };
        let name = |one: &ColumnWeights| CString::new(&*one.tensor).map_err(no_text);
        let names: Vec<CString> = how.importance.iter().map(name).collect::<Result<_, _>>()?;
        let mut rows: Vec<_> = how
            .importance
            .iter()
            .zip(&names)
            .map(|(one, name)| RawColumnWeights {
                name: name.as_ptr(),
                data: one.values.as_ptr(),
                size: one.values.len(),
            })
            .collect();
        // A row without a name ends the list.
        rows.push(RawColumnWeights { name: std::ptr::null(), data: std::ptr::null(), size: 0 });
        if !how.importance.is_empty() {
            // Before, this was a map of C++. Releases that say which they are have the list.
            self.version().ok_or(missing("llama_version"))?;
            put(&mut blob, IMPORTANCE, &(rows.as_ptr() as usize).to_ne_bytes());
        }
        let (from, to) = (path_text(input)?, path_text(output)?);
        let params: *const c_void = std::ptr::from_ref(&blob).cast();
        // SAFETY: two C strings and the library's own defaults with fields of the right size changed; what they point to outlives the call.
        let (status, said) = logs::during(|| unsafe { quantize(from.as_ptr(), to.as_ptr(), params) });
        if status == 0 { Ok(()) } else { Err(Error::Quantize { path: input.to_owned(), said }) }
    }
}

fn put(blob: &mut Blob, at: usize, bytes: &[u8]) {
    blob.0[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Defaults with all threads, some kind of file and no importance are of the struct that is known.
fn check(blob: &Blob) -> Result<(), Error> {
    let number = |at: usize| i32::from_ne_bytes(std::array::from_fn(|i| blob.0[at + i]));
    let pointer = &blob.0[IMPORTANCE..IMPORTANCE + size_of::<usize>()];
    let known = number(THREADS) == 0
        && (0..MOST_FILE_TYPES).contains(&number(FILE_TYPE))
        && pointer.iter().all(|byte| *byte == 0);
    let what = "quantise files with parameters in an order that is unknown";
    if known {
        Ok(())
    } else {
        Err(Error::Unsupported { what, symbol: "llama_model_quantize_default_params" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_of_another_order_are_told_apart() {
        let mut blob = Blob([0; BLOB_BYTES]);
        put(&mut blob, FILE_TYPE, &7u32.to_ne_bytes());
        assert!(check(&blob).is_ok());
        put(&mut blob, THREADS, &1u32.to_ne_bytes());
        assert!(check(&blob).is_err());
        put(&mut blob, THREADS, &0u32.to_ne_bytes());
        put(&mut blob, IMPORTANCE, &[1]);
        assert!(check(&blob).is_err());
    }
}
