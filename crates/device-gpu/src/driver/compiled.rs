//! Compiled programs on disk, so that a compiler runs once per source, device and compiler.
//!
//! An entry holds everything it depends on, whole, and is used only for exactly that. What is damaged, of another version or
//! unreadable counts as absent: the program is compiled again. A folder that cannot be written costs time, not the run.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const MAGIC: &[u8; 8] = b"tlkern01";
/// No driver makes programs of this size out of ours; what claims to be larger is not ours.
const LARGEST: u64 = 256 << 20;

/// What compiled code depends on.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The whole text.
    pub source: &'a str,
    /// Options of the compiler.
    pub options: &'a str,
    /// Device, driver and compiler, with versions.
    pub target: &'a str,
}

impl Key<'_> {
    fn bytes(&self) -> Vec<u8> {
        [self.target, "\0", self.options, "\0", self.source].concat().into_bytes()
    }
}

/// A folder of compiled programs, or none.
#[derive(Clone, Debug, Default)]
pub struct CompiledPrograms {
    folder: Option<PathBuf>,
}

impl CompiledPrograms {
    /// Those of a folder, which need not exist.
    #[must_use]
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// What was compiled for this key, if it is there and whole.
    #[must_use]
    pub fn get(&self, key: Key<'_>) -> Option<Vec<u8>> {
        let key = key.bytes();
        let path = self.folder.as_ref()?.join(file_name(&key));
        let found = fs::metadata(&path).ok()?;
        // What is no file, such as a pipe, may never end.
        if !found.is_file() || found.len() > LARGEST {
            return None;
        }
        let payload = parse(&fs::read(&path).ok()?, &key);
        if payload.is_none() {
            tracing::warn!("{} is damaged or of another version; compiling again", path.display());
        }
        payload
    }

    /// Keeps what was compiled. Another process sees all of it or nothing.
    pub fn put(&self, key: Key<'_>, payload: &[u8]) {
        let Some(folder) = &self.folder else { return };
        let key = key.bytes();
        if let Err(error) = write(folder, &file_name(&key), &entry(&key, payload)) {
            tracing::warn!("compiled kernels cannot be kept in {}: {error}", folder.display());
        }
    }
}

/// Where compiled programs are kept unless something else is asked for: `torchless/kernels` in the user's folder for caches.
#[must_use]
pub fn usual_folder() -> Option<PathBuf> {
    folder_by(|name| env::var_os(name).map(PathBuf::from))
}

/// By these variables. Relative paths count as absent, as the XDG Base Directory Specification asks: code would be loaded from wherever
/// the program is started.
fn folder_by(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|path| path.is_absolute());
    let caches = set("XDG_CACHE_HOME").or_else(|| set("LOCALAPPDATA")).or_else(|| {
        set("HOME").map(|home| home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }))
    })?;
    Some(caches.join("torchless").join("kernels"))
}

fn file_name(key: &[u8]) -> String {
    format!("{:016x}.kernel", hash(key))
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

fn entry(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for number in [key.len() as u64, payload.len() as u64, hash(payload)] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(key);
    bytes.extend(payload);
    bytes
}

fn parse(bytes: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (numbers, rest) = rest.split_at_checked(24)?;
    let number = |at: usize| Some(u64::from_le_bytes(numbers.get(at * 8..at * 8 + 8)?.try_into().ok()?));
    let payload = rest.strip_prefix(key)?;
    let whole =
        number(0)? == key.len() as u64 && number(1)? == payload.len() as u64 && number(2)? == hash(payload);
    whole.then(|| payload.to_vec())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    create_private(folder)?;
    let unfinished = folder.join(format!("{name}.{}.part", std::process::id()));
    let done = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, folder.join(name)));
    if done.is_err() {
        // The first error says more than one about what was left behind.
        let _ = fs::remove_file(&unfinished);
    }
    done
}

/// Code is loaded from there: nobody else may write it.
fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key<'_> = Key { source: "kernel", options: "-O", target: "gpu 1" };

    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("torchless-compiled-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn only_file(folder: &Path) -> PathBuf {
        fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
    }

    #[test]
    fn a_program_is_found_under_its_own_key_only() {
        let folder = folder("key");
        let programs = CompiledPrograms::new(Some(folder.clone()));
        assert_eq!(programs.get(KEY), None);
        programs.put(KEY, b"code");
        assert_eq!(programs.get(KEY).as_deref(), Some(&b"code"[..]));
        assert_eq!(programs.get(Key { target: "gpu 2", ..KEY }), None);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_entry_under_the_wrong_name_is_not_used() {
        let folder = folder("name");
        let programs = CompiledPrograms::new(Some(folder.clone()));
        programs.put(KEY, b"code");
        let other = Key { options: "-g", ..KEY };
        fs::rename(only_file(&folder), folder.join(file_name(&other.bytes()))).unwrap();
        assert_eq!(programs.get(other), None);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let whole = entry(&KEY.bytes(), b"code");
        assert!(parse(&whole, &KEY.bytes()).is_some());
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(parse(&damaged, &KEY.bytes()), None, "byte {at}");
            assert_eq!(parse(&whole[..at], &KEY.bytes()), None, "{at} bytes");
        }
    }

    #[test]
    #[cfg(unix)]
    fn what_is_no_file_is_no_entry() {
        let folder = folder("pipe");
        let programs = CompiledPrograms::new(Some(folder.clone()));
        programs.put(KEY, b"code");
        let path = only_file(&folder);
        fs::remove_file(&path).unwrap();
        if !std::process::Command::new("mkfifo").arg(&path).status().is_ok_and(|status| status.success()) {
            eprintln!("skipped: there is no mkfifo");
            return;
        }
        assert_eq!(programs.get(KEY), None);
        programs.put(KEY, b"code");
        assert_eq!(programs.get(KEY).as_deref(), Some(&b"code"[..]));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    #[cfg(unix)]
    fn relative_folders_count_as_absent() {
        let by = |caches: &'static str, home: &'static str| {
            folder_by(|name| match name {
                "XDG_CACHE_HOME" => Some(caches.into()),
                "HOME" => Some(home.into()),
                _ => None,
            })
        };
        assert_eq!(by("/caches", "/home/x"), Some("/caches/torchless/kernels".into()));
        assert!(by("caches", "/home/x").unwrap().starts_with("/home/x"));
        assert!(by("", "/home/x").unwrap().starts_with("/home/x"));
        assert_eq!(by("caches", "x"), None);
    }

    #[test]
    fn without_a_folder_nothing_is_kept() {
        let programs = CompiledPrograms::default();
        programs.put(KEY, b"code");
        assert_eq!(programs.get(KEY), None);
    }
}
