//! The tables of kernels and the choice among them.

use std::sync::OnceLock;

/// One implementation of all operations, for one level of instruction set.
pub struct Kernels {
    /// What options and reports call it: `scalar`, `avx2`, `avx512`, `avx512-vnni`, `neon`.
    pub name: &'static str,
}

static SCALAR: Kernels = Kernels { name: "scalar" };

/// The tables that this processor can run, from the slowest to the fastest; `scalar` is always the first.
pub fn available() -> &'static [&'static Kernels] {
    static FOUND: OnceLock<Vec<&'static Kernels>> = OnceLock::new();
    FOUND.get_or_init(|| vec![&SCALAR])
}

/// The fastest table that this processor can run.
pub fn best() -> &'static Kernels {
    available().last().unwrap_or(&&SCALAR)
}

/// The available table of this name.
pub fn by_name(name: &str) -> Option<&'static Kernels> {
    available().iter().copied().find(|table| table.name == name)
}
