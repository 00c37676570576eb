//! Finds the library: the path that was given, `TORCHLESS_LLAMA_LIB`, builds that the user installed, where the system keeps libraries.

use std::env;
use std::path::{Path, PathBuf};

use tabagent_hardware::{Isa, OperatingSystem, installed_libraries, libraries_folder, newest_library};

use crate::Error;

/// The environment variable that names the library or its folder.
pub const VARIABLE: &str = "TORCHLESS_LLAMA_LIB";

/// Where to look, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// A file or folder that somebody named; nothing else is looked at then.
    pub explicit: Option<PathBuf>,
    /// The value of [`VARIABLE`]; a file or folder, and again nothing else is looked at.
    pub variable: Option<PathBuf>,
    /// Folders that may hold a library for this hardware, best first.
    pub folders: Vec<PathBuf>,
    /// Folders where the system keeps libraries.
    pub system: Vec<PathBuf>,
}

impl Places {
    /// What this process's environment, the user's folder of installed builds and the system name.
    pub fn here() -> Self {
        let variable = env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self { explicit: None, variable, folders: installed(), system: system_folders() }
    }

    /// With a file or folder that somebody named.
    pub fn with_explicit(mut self, path: Option<PathBuf>) -> Self {
        self.explicit = path;
        self
    }

    /// With folders that may hold a library for this hardware, best first.
    pub fn with_folders(mut self, folders: impl IntoIterator<Item = PathBuf>) -> Self {
        self.folders.extend(folders);
        self
    }

    /// The library's file.
    ///
    /// # Errors
    /// There is none in these places; the error lists them.
    pub fn find(&self) -> Result<PathBuf, Error> {
        let named = [("the path given", &self.explicit), (VARIABLE, &self.variable)];
        for (name, path) in named {
            if let Some(path) = path {
                return within(path).ok_or_else(|| not_there(name, path));
            }
        }
        let places = self.folders.iter().chain(&self.system);
        let found = places.clone().find_map(|folder| within(folder));
        found.ok_or_else(|| Error::NoLibrary { looked: looked(&self.folders, &self.system) })
    }
}

/// Folders of builds that `torchless libllama install` put there, the newest first.
fn installed() -> Vec<PathBuf> {
    let found = libraries_folder()
        .map(|folder| installed_libraries(&folder, OperatingSystem::here(), Isa::here()))
        .unwrap_or_default();
    found.iter().filter_map(|build| build.path.parent().map(Path::to_owned)).collect()
}

/// The file itself, or the library in the folder.
fn within(path: &Path) -> Option<PathBuf> {
    if path.is_file() { Some(path.to_owned()) } else { newest_library(OperatingSystem::here(), path) }
}

fn not_there(name: &str, path: &Path) -> Error {
    let what = if path.is_dir() { "holds no libllama" } else { "does not exist" };
    Error::NoLibrary { looked: vec![format!("{name}, '{}', {what}", path.display())] }
}

fn looked(folders: &[PathBuf], system: &[PathBuf]) -> Vec<String> {
    let shown = |folder: &PathBuf| format!("'{}'", folder.display());
    let mut looked = vec![format!("{VARIABLE} is not set")];
    looked.extend(folders.iter().chain(system).filter(|folder| folder.is_dir()).map(shown));
    looked
}

/// Folders that the dynamic loader would look into, and those where package managers put libraries.
fn system_folders() -> Vec<PathBuf> {
    let variable = if cfg!(windows) {
        "PATH"
    } else if cfg!(target_vendor = "apple") {
        "DYLD_LIBRARY_PATH"
    } else {
        "LD_LIBRARY_PATH"
    };
    let mut folders: Vec<PathBuf> =
        env::var_os(variable).map(|value| env::split_paths(&value).collect()).unwrap_or_default();
    folders.extend(env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned)));
    if cfg!(unix) {
        let fixed = ["/usr/local/lib", "/opt/homebrew/lib", "/usr/lib", "/usr/lib64", "/lib"];
        folders.extend(fixed.map(PathBuf::from));
        folders.push(Path::new("/usr/lib").join(format!("{}-linux-gnu", env::consts::ARCH)));
    }
    folders.retain(|folder| folder.is_absolute());
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(name: &str, files: &[&str]) -> PathBuf {
        let folder = env::temp_dir().join(format!("torchless-lookup-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        files.iter().for_each(|file| fs::write(folder.join(file), b"").unwrap());
        folder
    }

    fn library() -> &'static str {
        if cfg!(windows) {
            "llama.dll"
        } else if cfg!(target_vendor = "apple") {
            "libllama.dylib"
        } else {
            "libllama.so"
        }
    }

    #[test]
    fn places_are_asked_in_order() {
        let (a, b) = (folder("a", &[library()]), folder("b", &[library()]));
        let places = Places { system: vec![b.clone()], ..Places::default() };
        assert_eq!(places.find().unwrap(), b.join(library()));
        let places = places.with_folders([a.join("none"), a.clone()]);
        assert_eq!(places.find().unwrap(), a.join(library()));
        let places = Places { variable: Some(b.clone()), ..places };
        assert_eq!(places.find().unwrap(), b.join(library()));
        let places = places.with_explicit(Some(a.join(library())));
        assert_eq!(places.find().unwrap(), a.join(library()));
        [a, b].iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
    }

    #[test]
    fn what_was_named_and_is_not_there_is_no_reason_to_look_elsewhere() {
        let (full, empty) =
            (folder("full", &[library()]), folder("empty", &["libllama-common.so", "notes.txt"]));
        let places = Places { system: vec![full.clone()], ..Places::default() };
        let said = places.clone().with_explicit(Some(empty.clone())).find().unwrap_err().to_string();
        assert!(said.contains("the path given") && said.contains("holds no libllama"), "{said}");
        let said = Places { variable: Some(full.join("gone.so")), ..places }.find().unwrap_err().to_string();
        assert!(said.contains(VARIABLE) && said.contains("does not exist"), "{said}");
        let said =
            Places { system: vec![empty.clone()], ..Places::default() }.find().unwrap_err().to_string();
        assert!(said.contains("is not set") && said.contains(&*empty.to_string_lossy()), "{said}");
        [full, empty].iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
    }
}
