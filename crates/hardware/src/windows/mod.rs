//! A machine under Windows, out of what its calls return and what `reg query` prints.

#[cfg(windows)]
mod calls;
mod processors;
mod registry;

#[cfg(windows)]
pub use calls::{memory, processor_table};
pub use processors::{Processors, parse_processors};
pub use registry::{Registry, display_adapters};
