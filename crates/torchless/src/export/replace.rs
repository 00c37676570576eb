//! Files that are there whole or not at all: written beside their place, and moved there once they are complete.

use crate::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// Refuses to write over one of the files that are read.
///
/// # Errors
/// `output` is one of `inputs`, by whatever path.
pub fn refuse_same<'a>(output: &Path, inputs: impl Iterator<Item = &'a Path>) -> Result<(), Error> {
    let Some(there) = identity(output) else { return Ok(()) };
    for input in inputs {
        if identity(input).is_some_and(|input| input == there) {
            let what = format!("{} is read from: give the output another name", output.display());
            return Err(Error::Option(what));
        }
    }
    Ok(())
}

/// What two paths to the same file have in common; `None` where there is none.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// As above.
#[cfg(not(unix))]
fn identity(path: &Path) -> Option<std::path::PathBuf> {
    std::fs::canonicalize(path).ok()
}

/// Writes a file by `write`. What was at `path` is replaced once the new file is whole and on the disk.
///
/// # Errors
/// `write` fails, or the system does; nothing is left behind then.
pub fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), Error>,
) -> Result<u64, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut part = path.to_owned().into_os_string();
    part.push(".part");
    let done = File::create(&part).map_err(io).and_then(|file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        write(&mut out)?;
        let file = out.into_inner().map_err(|e| io(e.into_error()))?;
        file.sync_all().map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        std::fs::rename(&part, path).map_err(io)?;
        Ok(bytes)
    });
    if done.is_err() {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&part);
    }
    done
}
