//! Why a device could not do something.

/// An op that a device lacks, memory that it has not got, or a failure of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Reported while loading, never answered by a silent fall-back.
    #[error("{device} does not support {op}")]
    Unsupported {
        /// What was asked for.
        op: String,
        /// Who was asked.
        device: String,
    },
    /// An allocation that does not fit.
    #[error("{device} cannot allocate {bytes} bytes for {what}{holding}")]
    OutOfMemory {
        /// Who was asked.
        device: String,
        /// How much.
        bytes: u64,
        /// For what.
        what: String,
        /// What is free, what holds the rest and what would take less, as far as the device knows; goes on from the sentence.
        holding: String,
    },
    /// An allocation that is larger than the device makes any.
    #[error("{device} cannot allocate {bytes} bytes for {what}: one allocation has at most {most} bytes")]
    TooLarge {
        /// Who was asked.
        device: String,
        /// How much.
        bytes: u64,
        /// For what.
        what: String,
        /// The largest that it makes.
        most: u64,
    },
    /// Memory ran out within a call that asks for none by name.
    #[error("{0}")]
    Exhausted(String),
    /// A sequence with recurrent state goes on somewhere else than where it stopped.
    #[error("sequence {seq} goes on at position {asked}, its state has seen {seen}: start it anew")]
    Position {
        /// The sequence.
        seq: u32,
        /// Where it goes on.
        asked: usize,
        /// How far its state is.
        seen: usize,
    },
    /// The device or what leads to it failed.
    #[error("{0}")]
    Failed(String),
    /// Weights could not be read any more.
    #[error("reading the weights of {what} failed: {reason}")]
    Weights {
        /// Name of the matrix.
        what: String,
        /// In the system's words.
        reason: String,
    },
}

impl DeviceError {
    /// Whether memory is short, so that less work or another place would do.
    #[must_use]
    pub fn is_short_of_memory(&self) -> bool {
        matches!(self, Self::OutOfMemory { .. } | Self::TooLarge { .. } | Self::Exhausted(_))
    }
}
