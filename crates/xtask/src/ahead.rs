//! The store of compiled programs in the crate of the device: code that compilers left in a folder, in one piece, and its table.

use crate::kernels::file_stem;
use anyhow::{Context, Result};
use brotli::enc::BrotliEncoderParams;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use torchless_device_gpu::driver::ahead::{IMAGES, Image, TARGETS, Target, digest};
use torchless_device_gpu::{Program, programs};

/// Writes the text of every program that the store does not hold as it stands, in a folder per architecture.
///
/// # Errors
/// A file cannot be written.
pub fn write_stale(folder: &Path) -> Result<()> {
    for (program, source, target) in wanted() {
        if held(&source, target).is_some() {
            continue;
        }
        let folder = folder.join(architecture(target));
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let path = folder.join(format!("{}.cu", file_stem(&program.name)));
        fs::write(&path, source).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Makes the store anew out of what it holds and of `folder`, where `PROGRAM.ARCHITECTURE` is the code of a program, in PTX for
/// `compute_NN`.
///
/// # Errors
/// The code of a program is in neither, or a file cannot be written.
pub fn embed(folder: &Path) -> Result<()> {
    let mut table = String::from("// Made by scripts/compile_ahead.sh.\n&[\n");
    let (mut images, mut code) = (0, Vec::new());
    for (program, source, target) in wanted() {
        let image = match held(&source, target) {
            Some(image) => image.code().to_vec(),
            None => compiled(folder, &program, target)?,
        };
        writeln!(
            table,
            "    Image {{ program: {:?}, source: {:#018x}, target: Target::{target:?}, start: {}, len: {} }},",
            program.name,
            digest(&source),
            code.len(),
            image.len()
        )?;
        code.extend(image);
        images += 1;
    }
    table.push_str("]\n");
    let (store, packed) = (store(), packed(&code)?);
    fs::write(store.join("images.rs"), table).with_context(|| store.display().to_string())?;
    fs::write(store.join("images.br"), &packed)?;
    eprintln!(
        "{}: {images} images, {} KiB in {} KiB",
        store.display(),
        code.len() / 1024,
        packed.len() / 1024
    );
    Ok(())
}

/// Every program that is kept for a target, with its text.
fn wanted() -> Vec<(Program, String, Target)> {
    let of_target = |(dialect, target): &(_, Target)| {
        let (dialect, target) = (*dialect, *target);
        let programs = programs::all(dialect).into_iter().filter(move |program| target.suits(program));
        programs.map(move |program| {
            let text = program.text(dialect);
            (program, text, target)
        })
    };
    TARGETS.iter().flat_map(of_target).collect()
}

fn held(source: &str, target: Target) -> Option<&'static Image> {
    let source = digest(source);
    IMAGES.iter().find(|image| image.source == source && image.target == target)
}

fn store() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../device-gpu/kernels/compiled")
}

fn architecture(target: Target) -> String {
    match target {
        Target::Machine(name) => name.to_owned(),
        Target::Ptx(capability) => format!("compute_{capability}"),
    }
}

fn compiled(folder: &Path, program: &Program, target: Target) -> Result<Vec<u8>> {
    let path = folder.join(format!("{}.{}", file_stem(&program.name), architecture(target)));
    let mut code = fs::read(&path).with_context(|| path.display().to_string())?;
    if matches!(target, Target::Ptx(_)) {
        // The driver reads PTX up to a zero.
        code.push(0);
    }
    Ok(code)
}

/// With a window that sees every earlier program.
fn packed(code: &[u8]) -> Result<Vec<u8>> {
    let params = BrotliEncoderParams { quality: 11, lgwin: 24, size_hint: code.len(), ..Default::default() };
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut &code[..], &mut packed, &params)?;
    Ok(packed)
}
