//! Recognises files that people hand over by mistake, by their first bytes, and says what would have worked.

use crate::error::{Foreign, FormatError, Place, Problem};

const CONVERT_FROM_PYTORCH: &str = "pickled weights can run code and are never read: take the safetensors files of \
     the same model, or convert it with transformers' save_pretrained(safe_serialization=True)";
const CONVERT_TO_GGUF: &str = "convert the original model to GGUF (version 3) or safetensors";

/// GGUF with the other byte order.
pub(crate) const BIG_ENDIAN_GGUF: Foreign = Foreign {
    what: "a big-endian GGUF file",
    hint: "only little-endian files are read: convert it with gguf-py's gguf-convert-endian, or download the \
           little-endian file",
};

const LLAMA2C: Foreign = Foreign {
    what: "a llama2.c checkpoint, not a native .bin file of this program",
    hint: "give the Hugging Face folder or the GGUF file of the same model; `torchless convert` writes native .bin \
           files from safetensors",
};

/// A JSON file that is no index of shards.
pub(crate) const JSON: Foreign = Foreign {
    what: "a JSON file without weights",
    hint: "give the folder that it lies in, or the safetensors file beside it",
};

/// An index of shards without a folder to find them in.
pub(crate) const INDEX_ALONE: Foreign =
    Foreign { what: "an index of shards, which are not here", hint: "open it by its path" };

/// What a file with these first bytes is, where it is something known that holds no readable model.
struct Signature {
    magic: &'static [u8],
    foreign: Foreign,
}

const fn signature(magic: &'static [u8], what: &'static str, hint: &'static str) -> Signature {
    Signature { magic, foreign: Foreign { what, hint } }
}

const UNPACK: &str = "unpack it and give the model file inside";
const DOWNLOAD: &str = "the download went wrong: fetch the file itself (with Git LFS: `git lfs pull`)";

/// In the order in which they are tried.
const SIGNATURES: &[Signature] = &[
    Signature { magic: b"FUGG", foreign: BIG_ENDIAN_GGUF },
    signature(
        b"PK\x03\x04",
        "a zip archive, such as a pickled PyTorch model or an .npz file",
        CONVERT_FROM_PYTORCH,
    ),
    signature(b"\x80\x02", "a Python pickle, such as an old PyTorch model", CONVERT_FROM_PYTORCH),
    signature(b"\x80\x03", "a Python pickle", CONVERT_FROM_PYTORCH),
    signature(b"\x80\x04", "a Python pickle", CONVERT_FROM_PYTORCH),
    signature(b"\x80\x05", "a Python pickle", CONVERT_FROM_PYTORCH),
    signature(b"\x93NUMPY", "a NumPy array", CONVERT_TO_GGUF),
    signature(b"\x89HDF", "an HDF5 file", CONVERT_TO_GGUF),
    signature(b"lmgg", "a GGML file, the format before GGUF", CONVERT_TO_GGUF),
    signature(b"fmgg", "a GGMF file, a format before GGUF", CONVERT_TO_GGUF),
    signature(b"tjgg", "a GGJT file, a format before GGUF", CONVERT_TO_GGUF),
    signature(b"GGJT", "a GGJT file, a format before GGUF", CONVERT_TO_GGUF),
    signature(b"algg", "a GGLA adapter, a format before GGUF", CONVERT_TO_GGUF),
    signature(
        b"MOG\0",
        "a MOG file, a later format of the program that the native .bin comes from",
        CONVERT_TO_GGUF,
    ),
    Signature { magic: b"24ka", foreign: LLAMA2C },
    signature(b"\x1f\x8b", "a gzip archive", UNPACK),
    signature(b"\xfd7zXZ", "an xz archive", UNPACK),
    signature(b"\x28\xb5\x2f\xfd", "a Zstandard archive", UNPACK),
    signature(b"version https://git-lfs", "a Git LFS pointer, not the file it stands for", DOWNLOAD),
    signature(b"\x7fELF", "a program", "give a model file"),
];

const HTML: Foreign = Foreign { what: "an HTML page", hint: DOWNLOAD };

/// The error for bytes that are no model: by what they are, or by what they begin with.
pub(crate) fn refuse(bytes: &[u8]) -> FormatError {
    let problem = if bytes.is_empty() {
        Problem::Empty
    } else if let Some(foreign) = recognise(bytes) {
        Problem::Foreign(foreign)
    } else {
        let first: String =
            bytes.iter().take(8).flat_map(|&byte| std::ascii::escape_default(byte)).map(char::from).collect();
        Problem::Unknown(format!("\"{first}\""))
    };
    FormatError::new(Place::File, problem)
}

fn recognise(bytes: &[u8]) -> Option<&'static Foreign> {
    let by_magic = SIGNATURES.iter().find(|signature| bytes.starts_with(signature.magic));
    if let Some(signature) = by_magic {
        return Some(&signature.foreign);
    }
    if is_html(bytes) {
        return Some(&HTML);
    }
    looks_like_llama2c(bytes).then_some(&LLAMA2C)
}

fn is_html(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    [&b"<!doctype"[..], b"<html", b"<?xml"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag)))
}

/// The first llama2.c format has no magic: seven i32 (dim, hidden, layers, heads, kv heads, ±vocabulary, context).
fn looks_like_llama2c(bytes: &[u8]) -> bool {
    let fields: Vec<i32> =
        bytes.as_chunks::<4>().0.iter().take(7).map(|bytes| i32::from_le_bytes(*bytes)).collect();
    let [dim, hidden, layers, heads, kv_heads, vocab, context] = fields[..] else { return false };
    let within = |value: i32, most: i32| (1..=most).contains(&value);
    within(dim, 1 << 20)
        && within(hidden, 1 << 22)
        && within(layers, 4096)
        && within(heads, 4096)
        && within(kv_heads, 4096)
        && within(vocab.saturating_abs(), 1 << 24)
        && within(context, 1 << 24)
}

/// The name of a GGUF element type for an error, also of those that are not read.
pub(crate) fn ggml_type_name(id: u32) -> String {
    const NAMES: &[(u32, &str)] = &[
        (4, "Q4_2 (removed from GGUF)"),
        (5, "Q4_3 (removed from GGUF)"),
        (9, "Q8_1"),
        (31, "Q4_0_4_4 (removed from GGUF)"),
        (32, "Q4_0_4_8 (removed from GGUF)"),
        (33, "Q4_0_8_8 (removed from GGUF)"),
        (37, "IQ4_NL_4_8 (removed from GGUF)"),
        (38, "IQ4_NL_8_8 (removed from GGUF)"),
    ];
    match NAMES.iter().find(|(known, _)| *known == id) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("number {id} (unknown)"),
    }
}
