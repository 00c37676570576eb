//! Why a checkpoint is not a model that runs here.

use std::path::PathBuf;
use torchless_device::DeviceError;

/// What is wrong, where, and what would have worked.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The metadata names an architecture that has no entry.
    #[error("unknown architecture '{name}' (known: {known})")]
    UnknownArchitecture {
        /// As the file spells it.
        name: String,
        /// All that would have worked.
        known: String,
    },
    /// A key that the architecture needs is absent.
    #[error("the metadata lacks '{key}', which {arch} needs")]
    MissingKey {
        /// The key as this format spells it.
        key: String,
        /// Who needs it.
        arch: String,
    },
    /// A key holds something else than it should.
    #[error("'{key}' is {found}, expected {expected}")]
    BadValue {
        /// The key.
        key: String,
        /// What it holds.
        found: String,
        /// What would have worked.
        expected: String,
    },
    /// A key that nobody reads and that may change the result.
    #[error(
        "unknown key '{key}' = {value} may change what {arch} computes; remove it only if you know that it does not"
    )]
    UnknownKey {
        /// The key.
        key: String,
        /// Its value, shortened.
        value: String,
        /// The architecture.
        arch: String,
    },
    /// A feature that is known and not built.
    #[error("{what} is not supported (supported: {supported})")]
    Unsupported {
        /// The feature as the file spells it.
        what: String,
        /// What would have worked.
        supported: String,
    },
    /// A tensor that the specification needs is absent.
    #[error("tensor '{name}' is missing")]
    MissingTensor {
        /// Its name in this format.
        name: String,
    },
    /// Tensors that nothing uses: the specification would compute something else than the model.
    #[error(
        "{count} tensors are unused, the first is '{first}': this is not the model that the metadata describes"
    )]
    UnusedTensors {
        /// How many.
        count: usize,
        /// The first by name.
        first: String,
    },
    /// A tensor of another shape than the metadata implies.
    #[error("tensor '{name}' is {found:?}, the metadata asks for {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// Its shape, outermost first.
        found: Vec<usize>,
        /// What would have worked.
        expected: Vec<usize>,
    },
    /// An adapter that does not go with the model.
    #[error("the adapter {path} {what}", path = path.display())]
    Adapter {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// More positions than the arithmetic is defined for.
    #[error("a context of {asked} is more than the {limit} positions that this model is defined for")]
    Context {
        /// Asked for.
        asked: usize,
        /// Possible.
        limit: usize,
    },
    /// A limit that leaves no room to work in.
    #[error(
        "a memory limit of {limit} bytes is too low: the program, activations, logits and cache alone take {least} bytes"
    )]
    MemoryLimit {
        /// What was asked for.
        limit: u64,
        /// What is needed without any weights.
        least: u64,
    },
    /// The file itself is at fault.
    #[error(transparent)]
    Format(#[from] torchless_formats::FormatError),
    /// The device refused.
    #[error(transparent)]
    Device(#[from] DeviceError),
}
