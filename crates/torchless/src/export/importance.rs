//! Importance matrices: how much each column of a matrix matters, as the mean square of what it was multiplied with.

use crate::Error;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use torchless_formats::gguf::Array;
use torchless_formats::{Checkpoint, Metadata, OpenOptions, Tensor, open};

/// What follows on a tensor's name: sums of squares, and how many rows they are sums of.
pub(super) const SUMS: &str = ".in_sum2";
/// As above.
pub(super) const COUNTS: &str = ".counts";

/// Bytes of a file in the older format.
const LEGACY_BYTES: u64 = 4 << 30;

/// Mean squares per tensor, `[matrices, cols]`: one matrix, or one per expert.
#[derive(Clone, Debug)]
pub struct Importance {
    /// Where it comes from.
    pub path: PathBuf,
    /// The texts that it was computed on, as the file names them.
    pub datasets: Vec<String>,
    /// Parts of the text.
    pub chunks: u32,
    means: BTreeMap<String, Vec<f32>>,
}

impl Importance {
    /// Reads a file of llama.cpp's `imatrix`, GGUF or the older format.
    ///
    /// # Errors
    /// It cannot be read, is neither, or holds values that are no mean squares.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let mut magic = [0; 4];
        if !path.metadata().map_err(io)?.is_file() {
            // Others say no size, which what is read could be held to.
            return Err(wrong(path, "is no file: copy what it gives into one".to_owned()));
        }
        let mut file = std::fs::File::open(path).map_err(io)?;
        match std::io::Read::read_exact(&mut file, &mut magic) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(wrong(path, "is no importance matrix: it has fewer than 4 bytes".to_owned()));
            }
            read => read.map_err(io)?,
        }
        let found = if &magic == b"GGUF" {
            Self::from_gguf(path, &open(path, &OpenOptions::default())?)
        } else {
            let size = file.metadata().map_err(io)?.len();
            if size > LEGACY_BYTES {
                return Err(wrong(path, format!("{size} bytes are too many")));
            }
            Self::from_legacy(path, &std::fs::read(path).map_err(io)?)
        }?;
        let bad = found.means.iter().find(|(_, means)| means.iter().any(|v| !v.is_finite() || *v < 0.0));
        match bad {
            Some((name, _)) => Err(wrong(path, format!("the entry of '{name}' holds no mean squares"))),
            None => Ok(found),
        }
    }

    /// The means of a tensor.
    pub fn of(&self, tensor: &str) -> Option<&[f32]> {
        self.means.get(tensor).map(Vec::as_slice)
    }

    /// Tensors.
    pub fn len(&self) -> usize {
        self.means.len()
    }

    /// Whether it knows nothing.
    pub fn is_empty(&self) -> bool {
        self.means.is_empty()
    }

    /// Pairs of tensors: sums of squares and how many rows they are sums of.
    fn from_gguf(path: &Path, checkpoint: &Checkpoint) -> Result<Self, Error> {
        let Metadata::Gguf(meta) = &checkpoint.metadata else {
            return Err(wrong(path, "is no GGUF file".to_owned()));
        };
        let mut means = BTreeMap::new();
        for sums in checkpoint.tensors.iter() {
            let Some(name) = sums.name.strip_suffix(SUMS) else { continue };
            let counts = checkpoint.tensors.get(&format!("{name}{COUNTS}"))?;
            let (sums, counts) = (values(sums), values(counts));
            if counts.is_empty() || !sums.len().is_multiple_of(counts.len()) {
                let what = format!("'{name}' has {} sums and {} counts", sums.len(), counts.len());
                return Err(wrong(path, what));
            }
            let width = sums.len() / counts.len();
            let mean = |(i, sum): (usize, &f32)| match counts[i / width] {
                // An expert that was never asked: nothing is known of its columns.
                0.0 => 1.0,
                count => sum / count,
            };
            means.insert(name.to_owned(), sums.iter().enumerate().map(mean).collect());
        }
        if means.is_empty() {
            return Err(wrong(path, "holds no importance matrix: there is no tensor '*.in_sum2'".to_owned()));
        }
        let datasets = meta.opt::<&Array>("imatrix.datasets")?.and_then(Array::strings);
        let datasets = datasets.map(|table| table.iter().map(str::to_owned).collect()).unwrap_or_default();
        let chunks = meta.opt::<u32>("imatrix.chunk_count")?.unwrap_or(0);
        Ok(Self { path: path.to_owned(), datasets, chunks, means })
    }

    /// Little-endian: a count of entries, each a name, a count of calls and values that are sums over calls; then calls
    /// in all and the name of the text.
    fn from_legacy(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let mut rest = Rest { bytes, path };
        let mut means = BTreeMap::new();
        for _ in 0..rest.number()? {
            let name = rest.text()?;
            let (calls, count) = (rest.number()?, rest.number()?);
            let sums = rest.take(count.saturating_mul(4))?.as_chunks::<4>().0;
            let calls = calls.max(1) as f32;
            let mean = sums.iter().map(|sum| f32::from_le_bytes(*sum) / calls).collect();
            if means.insert(name.clone(), mean).is_some() {
                return Err(wrong(path, format!("the entry of '{name}' stands twice")));
            }
        }
        if means.is_empty() {
            return Err(wrong(path, "holds no entry".to_owned()));
        }
        let (chunks, datasets) = match rest.bytes {
            [] => (0, Vec::new()),
            _ => (rest.number()? as u32, if rest.bytes.is_empty() { Vec::new() } else { vec![rest.text()?] }),
        };
        Ok(Self { path: path.to_owned(), datasets, chunks, means })
    }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    let mut out = vec![0.0; tensor.len()];
    for (row, out) in out.chunks_mut(tensor.cols().max(1)).enumerate() {
        tensor.decode_row(row, out);
    }
    out
}

fn wrong(path: &Path, what: String) -> Error {
    Error::Mismatch(format!("{}: {what}", path.display()))
}

/// What is left of the older format.
struct Rest<'a> {
    bytes: &'a [u8],
    path: &'a Path,
}

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let what = || wrong(self.path, "is no importance matrix: it ends within an entry".to_owned());
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(what)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<usize, Error> {
        let bytes = self.take(4)?;
        let number = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        usize::try_from(number)
            .map_err(|_| wrong(self.path, format!("is no importance matrix: a count is {number}")))
    }

    fn text(&mut self) -> Result<String, Error> {
        let count = self.number()?;
        Ok(String::from_utf8_lossy(self.take(count)?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use torchless_formats::gguf::Header;
    use torchless_quant::TensorType;

    fn legacy() -> Vec<u8> {
        let mut bytes = 1i32.to_le_bytes().to_vec();
        bytes.extend(3i32.to_le_bytes());
        bytes.extend(b"a.b");
        for number in [4i32, 2] {
            bytes.extend(number.to_le_bytes());
        }
        for sum in [8.0f32, 2.0] {
            bytes.extend(sum.to_le_bytes());
        }
        bytes.extend(7i32.to_le_bytes());
        bytes.extend(1i32.to_le_bytes());
        bytes.extend(b"t");
        bytes
    }

    #[test]
    fn both_formats_give_mean_squares() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.dat");
        std::fs::write(&path, legacy()).unwrap();
        let old = Importance::open(&path).unwrap();
        assert_eq!((old.of("a.b"), old.of("a"), old.chunks), (Some(&[2.0, 0.5][..]), None, 7));
        assert_eq!(old.datasets, ["t"]);

        let mut header = Header::new();
        header.put("imatrix.chunk_count", 3u32).unwrap();
        header.tensor("a.b.in_sum2", TensorType::F32, &[2, 2]).unwrap();
        header.tensor("a.b.counts", TensorType::F32, &[2, 1]).unwrap();
        let mut writer = header.start(Vec::new()).unwrap();
        for value in [8.0f32, 2.0, 3.0, 3.0, 4.0, 0.0] {
            writer.write(&value.to_le_bytes()).unwrap();
        }
        let path = folder.path().join("m.gguf");
        std::fs::write(&path, writer.finish().unwrap()).unwrap();
        let new = Importance::open(&path).unwrap();
        assert_eq!((new.of("a.b"), new.chunks), (Some(&[2.0, 0.5, 1.0, 1.0][..]), 3));
    }

    #[test]
    fn what_is_no_importance_matrix_is_refused() {
        let path = Path::new("m.dat");
        let whole = legacy();
        for end in [0, 3, 6, 11, 20, 23] {
            assert!(Importance::from_legacy(path, &whole[..end]).is_err(), "{end}");
        }
        let mut negative = whole.clone();
        negative[4] = 255;
        negative[7] = 255;
        let error = Importance::from_legacy(path, &negative).unwrap_err().to_string();
        assert!(error.contains("m.dat: is no importance matrix"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.dat");
        let mut nan = whole;
        nan[19..23].copy_from_slice(&f32::NAN.to_le_bytes());
        std::fs::write(&path, nan).unwrap();
        assert!(Importance::open(&path).unwrap_err().to_string().contains("'a.b' holds no mean squares"));
    }
}
