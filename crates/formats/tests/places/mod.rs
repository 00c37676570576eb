//! Where tests find files and put them.
#![expect(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};

use torchless_formats::{Checkpoint, OpenOptions, open};

/// The folder of the extra fixtures; `None`, said aloud, where there is none.
pub fn fixtures() -> Option<PathBuf> {
    let folder = std::env::var_os("TORCHLESS_FIXTURES").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: TORCHLESS_FIXTURES is not set");
    }
    folder
}

/// The root of the project.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Opens a model that must open.
pub fn open_ok(path: &Path) -> Checkpoint {
    open(path, &OpenOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// A folder of its own under the temporary folder, removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("torchless-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder can be made");
        Self(path)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("a file in the temporary folder can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
