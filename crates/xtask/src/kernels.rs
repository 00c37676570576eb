//! The text of every program as files, for compilers that check them without a GPU.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use torchless_device_gpu::driver::Dialect;
use torchless_device_gpu::programs;

/// Folder, dialect and suffix of the files in it. CUDA's programs differ between capabilities, HIP's between sizes of waves.
pub const DIALECTS: &[(&str, Dialect, &str)] = &[
    ("cuda-75", Dialect::Cuda(7, 5), "cu"),
    ("cuda-80", Dialect::Cuda(8, 0), "cu"),
    ("cuda-90", Dialect::Cuda(9, 0), "cu"),
    ("cuda-100", Dialect::Cuda(10, 0), "cu"),
    ("hip-32", Dialect::Hip(32), "hip"),
    ("hip-64", Dialect::Hip(64), "hip"),
    ("opencl", Dialect::OpenCl, "cl"),
    ("metal", Dialect::Metal, "metal"),
];

/// Writes the programs of every dialect below `folder`, which must not have any yet.
///
/// # Errors
/// A file cannot be written, or two programs have one name.
pub fn write(folder: &Path) -> Result<()> {
    for (name, dialect, suffix) in DIALECTS {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let programs = programs::all(*dialect);
        for program in &programs {
            let path = folder.join(format!("{}.{suffix}", file_stem(&program.name)));
            ensure!(!path.exists(), "{} exists already", path.display());
            fs::write(&path, program.text(*dialect)).with_context(|| path.display().to_string())?;
        }
        eprintln!("{}: {} programs", folder.display(), programs.len());
    }
    Ok(())
}

/// The name of a program in the name of a file.
pub fn file_stem(program: &str) -> String {
    program.replace(|c: char| !c.is_ascii_alphanumeric(), "_").to_ascii_lowercase()
}
