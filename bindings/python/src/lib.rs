//! The native half of the Python packages: models, the firewall and the command, for Python code that makes them
//! pleasant to use. Work is done without Python's lock, and on threads of its own, so that Ctrl-C is heard.

#![forbid(unsafe_code)]

mod arrays;
mod asking;
mod bulk;
mod command;
mod encoder;
mod failure;
mod firewall;
mod hardware;
mod llama;
mod model;
mod opened;
mod options;
mod places;
mod python_scanner;
mod reply;
mod stream;
mod waiting;

use pyo3::prelude::*;

/// What `torchless._native` has; its stub, `_native.pyi`, says more.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::asking::Told;
    #[pymodule_export]
    use crate::command::run_command;
    #[pymodule_export]
    use crate::encoder::Encoder;
    #[pymodule_export]
    use crate::firewall::{Firewall, Scanner};
    #[pymodule_export]
    use crate::hardware::{choose_binary, get_cpu_variant, hardware};
    #[pymodule_export]
    use crate::llama::{LlamaModel, LlamaStream};
    #[pymodule_export]
    use crate::model::{Model, open};
    #[pymodule_export]
    use crate::stream::Stream;

    /// Version of the library.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
