//! A machine under macOS, out of what `sysctl` and `vm_stat` print.

mod sysctl;

pub use sysctl::{Sysctl, available_memory};
