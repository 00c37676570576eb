//! From the text of a program to a library: which compiler there is, how it is called, and what it made before.

use crate::library::Library;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::{env, fs};
use torchless_device_gpu::driver::Dialect;
use torchless_device_gpu::{Program, overlay};

const EMULATE: &str = include_str!("../../device-gpu/kernels/prelude/emulate.h");
/// Parts that are instructions, and what stands in their place.
const INSTRUCTIONS: [(&str, &str); 4] = [
    (overlay::INTRINSICS, include_str!("../../device-gpu/kernels/cuda/emulated.h")),
    (overlay::HOPPER, ""),
    (overlay::HIP_INSTRUCTIONS, include_str!("../../device-gpu/kernels/hip/emulated.h")),
    (overlay::SIMDGROUP, include_str!("../../device-gpu/kernels/metal/emulated.h")),
];

/// Single operations, rounded each on its own, as the drivers ask their compilers for too.
const OPTIONS: &[&str] = &[
    "-std=c++20",
    "-O2",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-w",
    "-shared",
    "-fPIC",
    // Variables of templates are otherwise one for all libraries of a process, whose locks know nothing of each other.
    "-fvisibility=hidden",
    "-x",
    "c++",
];

/// A C++ compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    program: String,
    /// The first line of what it says of its version.
    pub version: String,
}

/// `TORCHLESS_CXX` if it is set, else the first of `g++` and `clang++` that is there.
///
/// # Errors
/// None is, in words for whoever reads why a test was skipped.
pub fn find_compiler() -> Result<Compiler, String> {
    let named = env::var("TORCHLESS_CXX").ok();
    let candidates = named.as_deref().map_or(vec!["g++", "clang++"], |name| vec![name]);
    let found = candidates.iter().find_map(|program| {
        let output = Command::new(program).arg("--version").output().ok().filter(|o| o.status.success())?;
        let version = String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned();
        Some(Compiler { program: (*program).to_owned(), version })
    });
    found.ok_or_else(|| format!("none of {} can be started", candidates.join(", ")))
}

/// Libraries are shared by all drivers of a process: the variables of a loaded library exist once.
static LOADED: LazyLock<Mutex<HashMap<u64, Arc<Library>>>> = LazyLock::new(Mutex::default);

impl Compiler {
    /// The program, compiled and loaded.
    pub(crate) fn load(&self, program: &Program, dialect: Dialect) -> Result<Arc<Library>, String> {
        let text = emulated_text(program, dialect);
        let mut hasher = DefaultHasher::new();
        (&self.program, &self.version, OPTIONS, &text).hash(&mut hasher);
        let key = hasher.finish();
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = loaded.get(&key) {
            return Ok(library.clone());
        }
        let path = folder()?.join(format!("{key:016x}.so"));
        if !path.exists() {
            self.compile(&text, &path)?;
        }
        let library = Arc::new(Library::open(&path, kernel_names(&text))?);
        loaded.insert(key, library.clone());
        Ok(library)
    }

    fn compile(&self, text: &str, path: &Path) -> Result<(), String> {
        let unfinished = path.with_extension(format!("{}.part", std::process::id()));
        let source = path.with_extension("cpp");
        fs::write(&source, text).map_err(|error| format!("{}: {error}", source.display()))?;
        let output = Command::new(&self.program)
            .args(OPTIONS)
            .arg(&source)
            .arg("-o")
            .arg(&unfinished)
            .output()
            .map_err(|error| format!("{}: {error}", self.program))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(words.lines().take(40).collect::<Vec<_>>().join("\n"));
        }
        fs::rename(&unfinished, path).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// A folder for this user alone: code is loaded from there.
fn folder() -> Result<PathBuf, String> {
    let mut folder = env::current_exe().map_err(|error| error.to_string())?;
    folder.pop();
    folder.push("emulated-kernels");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// The program after the emulation, and a function per kernel that takes its arguments from an array.
fn emulated_text(program: &Program, dialect: Dialect) -> String {
    let mut program = program.clone();
    for part in &mut program.parts {
        let emulated = INSTRUCTIONS.iter().find(|(instructions, _)| instructions == part);
        *part = emulated.map_or(*part, |(_, emulated)| *emulated);
    }
    // What the C++ of Metal and HIP has of its own is in the parts that were replaced.
    let (body, kind) = match dialect {
        Dialect::Cuda(major, minor) => (program.text(dialect), format!("__CUDA_ARCH__ {major}{minor}0")),
        Dialect::Hip(wave) => (program.text(dialect), format!("WAVE_LANES {wave}")),
        Dialect::Metal | Dialect::OpenCl => (program.text(Dialect::Hip(32)), "WAVE_LANES 32".to_owned()),
    };
    let mut text = format!("#define {kind}\n{EMULATE}{body}");
    for name in kernel_names(&body) {
        text.push_str(&format!(
            "extern \"C\" __attribute__((visibility(\"default\"))) bool launch_{name}(const emulator::Shape *shape, void **arguments, \
             const int *kinds, int count) {{\n    \
             return emulator::launch({name}, *shape, arguments, kinds, count);\n}}\n"
        ));
    }
    text
}

/// Every name in `KERNEL(name)`.
fn kernel_names(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let starts = code.flat_map(|line| line.split("KERNEL(").skip(1));
    let names = starts.filter_map(|rest| rest.split_once(')')).map(|(name, _)| name.trim().to_owned());
    names.filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).collect()
}
