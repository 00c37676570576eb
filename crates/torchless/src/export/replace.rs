//! Files that are there whole or not at all: written beside their place, and moved there once they are complete.

use super::temporary::Temporary;
use crate::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

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

/// Writes a file by `write`. What was at `path` is replaced once the new file is whole and on the disk; a link is followed, and what is no
/// file, such as a pipe or a device, is written to as it stands.
///
/// # Errors
/// `write` fails, or the system does; nothing is left behind then.
pub fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<u64, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    match Place::of(path).map_err(io)? {
        Place::Stream(file) => fill(file, path, write).map(|(_, bytes)| bytes),
        Place::File(place) => {
            let (part, file) = Temporary::file_in(folder_of(&place)).map_err(io)?;
            take_over(&place, &file).map_err(io)?;
            let (file, bytes) = fill(file, path, write)?;
            file.sync_all().map_err(io)?;
            part.keep_as(&place).map_err(io)?;
            Ok(bytes)
        }
    }
}

/// Writes a file in `folder` that is there as long as what is returned.
///
/// # Errors
/// As of [`write_whole`].
pub fn write_temporary(
    folder: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<Temporary, Error> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    let (made, file) = Temporary::file_in(folder).map_err(io)?;
    fill(file, made.path(), write)?;
    Ok(made)
}

/// Where that may lie which is there only while `output` is made: beside it, or where it is no file, in the folder for such things.
pub fn workplace(output: &Path) -> PathBuf {
    let is_file = std::fs::metadata(output).map_or(true, |there| there.is_file());
    if is_file { folder_of(&followed(output)).to_owned() } else { std::env::temp_dir() }
}

/// The error of writing, which is one of the file at `path`, whatever the writer called it.
pub(crate) fn of_output(error: Error, path: &Path) -> Error {
    let io = |source| Error::Io { path: path.to_owned(), source };
    match error {
        Error::Io { source, .. } => io(source),
        Error::Format(error) => error.into_io().map_or_else(Error::Format, io),
        other => other,
    }
}

/// Gives the file that is to replace what is at `place` the permissions of that, before anything is in it.
///
/// # Errors
/// What is there may not be written, which moving another file to its place would pass over.
fn take_over(place: &Path, file: &File) -> io::Result<()> {
    match File::options().write(true).open(place) {
        Ok(there) => share_as(&there.metadata()?, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Lets those read and write the file who could before, and nobody else.
#[cfg(unix)]
fn share_as(there: &std::fs::Metadata, file: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let new = file.metadata()?;
    let owned = new.uid() == there.uid() && new.gid() == there.gid();
    // Only root gives files away; a group that cannot be kept gets nothing.
    let group = owned
        || fchown(file, Some(there.uid()), Some(there.gid())).is_ok()
        || fchown(file, None, Some(there.gid())).is_ok();
    let mode = there.mode() & if group { 0o777 } else { 0o707 };
    if new.mode() & 0o777 == mode {
        return Ok(());
    }
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// What may not be written has been refused, and the rest goes by the folder.
#[cfg(not(unix))]
fn share_as(_: &std::fs::Metadata, _: &File) -> io::Result<()> {
    Ok(())
}

/// What is at a path, or will be.
enum Place {
    /// A file of this name, which is no link.
    File(PathBuf),
    /// A pipe, a device: something that takes bytes.
    Stream(File),
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        if let Some(file) = standard_output(path) {
            return file.map(Place::Stream);
        }
        match std::fs::metadata(path) {
            Ok(there) if !there.is_file() => File::options().write(true).open(path).map(Place::Stream),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Place::File(followed(path))),
        }
    }
}

/// Standard output under one of its names. It may be a file of the shell's, at whose end others write too.
#[cfg(unix)]
fn standard_output(path: &Path) -> Option<io::Result<File>> {
    use std::os::fd::AsFd;
    let names = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
    let is_named = names.iter().any(|name| path == Path::new(name));
    is_named.then(|| io::stdout().as_fd().try_clone_to_owned().map(File::from))
}

/// It has no name here.
#[cfg(not(unix))]
fn standard_output(_: &Path) -> Option<io::Result<File>> {
    None
}

/// What a link leads to, through whatever other links. The system has found that they end.
fn followed(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    while let Ok(to) = std::fs::read_link(&path) {
        path = folder_of(&path).join(to);
    }
    path
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// Large pieces, which the page cache keeps together: a model in place is then read through few large pages.
const BUFFER: usize = 8 << 20;

/// The file with all that `write` writes, and how many bytes that are.
fn fill(
    file: File,
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<(File, u64), Error> {
    let mut out = Counted { out: BufWriter::with_capacity(BUFFER, file), bytes: 0 };
    write(&mut out).map_err(|error| of_output(error, path))?;
    let Counted { out, bytes } = out;
    let file = out.into_inner().map_err(|e| Error::Io { path: path.to_owned(), source: e.into_error() })?;
    Ok((file, bytes))
}

/// Counts what is written.
struct Counted {
    out: BufWriter<File>,
    bytes: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, text: &str) -> Result<u64, Error> {
        write_whole(path, |out| put_into(out, text))
    }

    fn put_into(out: &mut dyn Write, text: &str) -> Result<(), Error> {
        out.write_all(text.as_bytes()).map_err(|source| Error::Io { path: "x".into(), source })
    }

    fn assert_names(folder: &Path, want: &[&str]) {
        let mut names: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, want);
    }

    #[test]
    fn of_two_that_write_one_file_the_last_to_end_has_it_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        std::fs::write(folder.path().join("out.part"), "somebody's").unwrap();
        let outer = write_whole(&path, |out| {
            put_into(out, "out")?;
            assert_eq!(put(&path, "inner").unwrap(), 5);
            assert_eq!(std::fs::read(&path).unwrap(), b"inner");
            put_into(out, "er one")
        });
        assert_eq!(outer.unwrap(), 9);
        assert_eq!(std::fs::read(&path).unwrap(), b"outer one");
        assert_names(folder.path(), &["out", "out.part"]);
        assert_eq!(std::fs::read(folder.path().join("out.part")).unwrap(), b"somebody's");
    }

    #[test]
    fn what_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        put(&path, "old").unwrap();
        let failed = write_whole(&path, |out| {
            put_into(out, "new")?;
            Err(Error::Io { path: "x".into(), source: io::Error::other("full") })
        });
        assert_eq!(failed.unwrap_err().to_string(), format!("{}: full", path.display()));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        let nowhere = folder.path().join("none/out");
        assert!(put(&nowhere, "x").unwrap_err().to_string().starts_with(nowhere.to_str().unwrap()));
        assert!(put(folder.path(), "x").is_err(), "a folder is no file");
        assert_names(folder.path(), &["out"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("far")).unwrap();
        symlink("middle", at("first")).unwrap();
        symlink("far/file", at("middle")).unwrap();
        // The first time there is no file yet.
        for text in ["one", "two"] {
            put(&at("first"), text).unwrap();
            assert_eq!(std::fs::read_to_string(at("far/file")).unwrap(), text);
        }
        assert!(at("first").is_symlink() && at("middle").is_symlink());
        assert_names(&at("far"), &["file"]);
        symlink("round", at("round")).unwrap();
        assert!(put(&at("round"), "x").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn permissions_stay() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
        for kept in [0o600, 0o640, 0o666] {
            std::fs::write(&path, "old").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(kept)).unwrap();
            write_whole(&path, |out| {
                let part = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path());
                let part = part.into_iter().find(|part| *part != path).unwrap();
                assert_eq!(part.metadata().unwrap().permissions().mode() & 0o777, kept, "from the beginning");
                put_into(out, "new")
            })
            .unwrap();
            assert_eq!((std::fs::read(&path).unwrap().as_slice(), mode()), (&b"new"[..], kept));
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
        // Root may write it.
        if File::options().write(true).open(&path).is_err() {
            assert!(put(&path, "newer").unwrap_err().to_string().contains("denied"));
            assert_eq!((std::fs::read(&path).unwrap().as_slice(), mode()), (&b"new"[..], 0o444));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_written_to() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let read = std::thread::scope(|scope| {
            let read = scope.spawn(|| std::fs::read_to_string(&pipe).unwrap());
            assert_eq!(put(&pipe, "through").unwrap(), 7);
            read.join().unwrap()
        });
        assert_eq!(read, "through");
        assert!(pipe.metadata().unwrap().file_type().is_fifo());
        assert_names(folder.path(), &["pipe"]);
    }
}
