//! Takes the libraries out of a package. What is in it is a stranger's: sizes are limited, and no name leads out of the folder.

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, EntryType};

/// More than any of these packages has.
const MOST_FILES: usize = 4096;
/// Bytes of all files together; the largest package, with CUDA, has less than a tenth.
const MOST_BYTES: u64 = 16 << 30;
/// Where packages have their libraries, below a folder of the platform's name.
const LIBRARIES: &str = "package/bins";
/// Texts that have to stay with them.
const TEXTS: &[&str] = &["package/LICENSE", "package/LICENSE.md"];

/// Writes the libraries of a package, and its licence, into a folder that is empty. Gives how many files that were.
///
/// # Errors
/// It is no package, is larger than the limits, or has links or names that lead elsewhere. What was written until then stays.
pub fn unpack(package: &Path, folder: &Path) -> Result<usize> {
    let file = File::open(package).with_context(|| package.display().to_string())?;
    let mut archive = Archive::new(GzDecoder::new(io::BufReader::new(file)));
    let (mut seen, mut written, mut left) = (0, 0, MOST_BYTES);
    for entry in archive.entries()? {
        let mut entry = entry.context("the package is damaged")?;
        seen += 1;
        if seen > MOST_FILES {
            bail!("the package has more than {MOST_FILES} files");
        }
        let path = entry.path().context("the package has a name that cannot be read")?.into_owned();
        let Some(target) = target(&path)? else { continue };
        match entry.header().entry_type() {
            EntryType::Regular => {}
            EntryType::Directory => continue,
            other => bail!("the package has '{}', which is no file ({other:?})", path.display()),
        }
        let target = folder.join(target);
        left = write(&mut entry, &target, left)?;
        written += 1;
    }
    Ok(written)
}

/// Where a file goes, below the folder; `None` for what is of no use here.
fn target(path: &Path) -> Result<Option<PathBuf>> {
    let plain =
        path.components().all(|component| matches!(component, Component::Normal(_) | Component::CurDir));
    if !plain {
        bail!("the package has '{}', which leads out of it", path.display());
    }
    if TEXTS.iter().any(|text| path == Path::new(text)) {
        return Ok(path.file_name().map(PathBuf::from));
    }
    let Ok(below) = path.strip_prefix(LIBRARIES) else { return Ok(None) };
    // The binding for another program is of no use.
    if below.extension().is_some_and(|extension| extension == "node") {
        return Ok(None);
    }
    // The folder of the platform's name is left out: ours has one.
    let inner: PathBuf = below.components().skip(1).collect();
    Ok(Some(inner).filter(|inner| !inner.as_os_str().is_empty()))
}

/// Writes a file and gives how many bytes others may have.
fn write(entry: &mut impl Read, target: &Path, left: u64) -> Result<u64> {
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let context = || target.display().to_string();
    // A name that comes twice, or differs in capitals only, must not overwrite what was checked first.
    let mut file = File::create_new(target).with_context(context)?;
    let written = io::copy(&mut entry.take(left + 1), &mut file).with_context(context)?;
    left.checked_sub(written).with_context(|| format!("the package has more than {MOST_BYTES} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    struct Entry<'a>(&'a str, EntryType, &'a [u8]);

    /// A package with these names as they stand, which the library itself would refuse to write.
    fn package(folder: &Path, entries: &[Entry]) -> PathBuf {
        let path = folder.join("package.tgz");
        let mut builder = Builder::new(GzEncoder::new(File::create(&path).unwrap(), Compression::fast()));
        for Entry(name, kind, bytes) in entries {
            let mut header = Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            header.set_mode(0o6755);
            if *kind == EntryType::Symlink {
                header.as_old_mut().linkname[..4].copy_from_slice(b"/etc");
            }
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
        path
    }

    fn unpacked(entries: &[Entry]) -> (tempfile::TempDir, Result<usize>) {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        let result = unpack(&package(folder.path(), entries), &out);
        (folder, result)
    }

    const FILE: EntryType = EntryType::Regular;

    #[test]
    fn libraries_and_the_licence_are_taken() {
        let (folder, result) = unpacked(&[
            Entry("package/package.json", FILE, b"{}"),
            Entry("package/LICENSE", FILE, b"MIT"),
            Entry("package/bins/linux-x64/libllama.so", FILE, b"library"),
            Entry("package/bins/linux-x64/fallback/libggml.so", FILE, b"more"),
            Entry("package/bins/linux-x64/llama-addon.node", FILE, b"addon"),
            Entry("package/dist/index.js", FILE, b""),
        ]);
        assert_eq!(result.unwrap(), 3);
        let out = folder.path().join("out");
        assert_eq!(fs::read(out.join("libllama.so")).unwrap(), b"library");
        assert!(out.join("fallback/libggml.so").is_file() && out.join("LICENSE").is_file());
        assert!(!out.join("llama-addon.node").exists() && !out.join("package.json").exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(out.join("libllama.so")).unwrap().permissions().mode();
            assert_eq!(mode & 0o6000, 0, "no file changes who runs it");
        }
    }

    fn refused(entries: &[Entry], words: &str) {
        let (folder, result) = unpacked(entries);
        let error = format!("{:#}", result.unwrap_err());
        assert!(error.contains(words), "{error}");
        let names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "nothing beside the folder: {names:?}");
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        refused(&[Entry("package/bins/x/../../../../evil.so", FILE, b"")], "leads out of it");
        refused(&[Entry("/tmp/evil.so", FILE, b"")], "leads out of it");
        refused(&[Entry("../evil.so", FILE, b"")], "leads out of it");
    }

    #[test]
    fn links_are_refused() {
        refused(
            &[Entry("package/bins/x/libllama.so", EntryType::Symlink, b"")],
            "which is no file (Symlink)",
        );
        refused(&[Entry("package/bins/x/libllama.so", EntryType::Link, b"")], "which is no file (Link)");
    }

    #[test]
    fn a_name_that_comes_twice_is_refused() {
        let twice = "package/bins/x/libllama.so";
        refused(&[Entry(twice, FILE, b"a"), Entry(twice, FILE, b"b")], "libllama.so");
        refused(&[Entry(twice, FILE, b"a"), Entry("package/bins/y/libllama.so", FILE, b"b")], "libllama.so");
    }

    #[test]
    fn what_is_no_package_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not.tgz");
        for bytes in [&b""[..], b"no gzip", &[0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 1]] {
            fs::write(&path, bytes).unwrap();
            assert!(unpack(&path, folder.path()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn more_files_than_there_can_be_are_refused() {
        let names: Vec<String> = (0..=MOST_FILES).map(|i| format!("package/{i}")).collect();
        let entries: Vec<Entry> = names.iter().map(|name| Entry(name, FILE, b"")).collect();
        refused(&entries, "more than 4096 files");
    }
}
