//! The GPU device: an implementation of [`torchless_device::Device`] over small drivers.
//!
//! Libraries of vendors are loaded at run time: the program builds without a toolkit and starts without a GPU. Kernels are
//! written once in a dialect of C that each driver's prelude spells out; overlays replace some of them on hardware that has
//! better instructions. It knows no files and no architectures.

mod backend;
pub mod dequant;
mod device;
pub mod driver;
mod error;
mod host;
pub mod overlay;
mod source;

pub use backend::Backend;
pub use device::{GpuDevice, programs};
pub use error::GpuError;
pub use source::Program;
