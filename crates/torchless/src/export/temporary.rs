//! Files and folders that are there only while something is made: they go when that fails, and when a signal ends the program.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A file or folder of its own, which is removed when this is dropped.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// A new file in `folder`, under a name that nothing has.
    ///
    /// # Errors
    /// The system refuses.
    pub fn file_in(folder: &Path) -> io::Result<(Self, File)> {
        Self::new_in(folder, |path| std::fs::remove_file(path), |path| File::create_new(path))
    }

    /// A new folder in `folder`, under a name that nothing has.
    ///
    /// # Errors
    /// The system refuses.
    pub fn folder_in(folder: &Path) -> io::Result<Self> {
        let made =
            Self::new_in(folder, |path| std::fs::remove_dir_all(path), |path| std::fs::create_dir(path));
        made.map(|(made, ())| made)
    }

    /// The folder `path`, with those that it lies in. It goes only while it is empty; `None` where it was there already.
    ///
    /// # Errors
    /// The system refuses.
    pub fn folder_at(path: &Path) -> io::Result<Option<Self>> {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        match Self::new(path.to_owned(), |path| std::fs::remove_dir(path), &|path| std::fs::create_dir(path))
        {
            Ok((made, ())) => Ok(Some(made)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn new_in<T>(
        folder: &Path,
        remove: Remove,
        make: impl Fn(&Path) -> io::Result<T>,
    ) -> io::Result<(Self, T)> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!(".torchless-{}-{number}.part", std::process::id());
            match Self::new(folder.join(name), remove, &make) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made,
            }
        }
    }

    fn new<T>(
        path: PathBuf,
        remove: Remove,
        make: &impl Fn(&Path) -> io::Result<T>,
    ) -> io::Result<(Self, T)> {
        let mut there = there();
        let made = make(&path)?;
        there.push((path.clone(), remove));
        Ok((Self { path }, made))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets it stay.
    pub fn keep(self) {
        there().retain(|(path, _)| *path != self.path);
    }

    /// Lets it stay under another name, in place of what has that name.
    ///
    /// # Errors
    /// The system refuses; it is removed then.
    pub fn keep_as(self, name: &Path) -> io::Result<()> {
        let mut there = there();
        std::fs::rename(&self.path, name)?;
        there.retain(|(path, _)| *path != self.path);
        Ok(())
    }

    /// Moves what is in this folder to `folder`, `last` behind everything else.
    ///
    /// # Errors
    /// The system refuses; what was not moved is removed then.
    pub fn empty_into(self, folder: &Path, last: &str) -> io::Result<()> {
        // No signal ends the program half-way.
        let _there = there();
        let names = std::fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name()));
        let mut names = names.collect::<io::Result<Vec<OsString>>>()?;
        names.sort_by_key(|name| name == last);
        names.iter().try_for_each(|name| std::fs::rename(self.path.join(name), folder.join(name)))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let mut there = there();
        if let Some(at) = there.iter().position(|(path, _)| *path == self.path) {
            let (path, remove) = there.remove(at);
            // Where this fails nothing but room is lost.
            let _ = remove(&path);
        }
    }
}

/// Removes all that are there, and calls `end`, which is to end the program: until it returns none is made, and none becomes what
/// it was made for.
pub fn discard_temporaries(end: impl FnOnce()) {
    let mut there = there();
    discard(&mut there);
    end();
}

/// How one is removed.
type Remove = fn(&Path) -> io::Result<()>;

/// Those that are there, in the order in which they were made.
type There = Vec<(PathBuf, Remove)>;

/// A signal comes to the process, so that the list is the process's.
fn there() -> MutexGuard<'static, There> {
    static THERE: Mutex<There> = Mutex::new(Vec::new());
    THERE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last first: a folder is empty once what was made in it is gone.
fn discard(there: &mut There) {
    for (path, remove) in there.drain(..).rev() {
        // There is nobody left to tell.
        let _ = remove(&path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        let mut names: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn they_go_unless_they_are_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let (one, _) = Temporary::file_in(scratch.path()).unwrap();
        let (two, _) = Temporary::file_in(scratch.path()).unwrap();
        let folder = Temporary::folder_in(scratch.path()).unwrap();
        std::fs::write(folder.path().join("inside"), "").unwrap();
        assert_eq!(names(scratch.path()).len(), 3);
        two.keep_as(&scratch.path().join("kept")).unwrap();
        drop((one, folder));
        assert_eq!(names(scratch.path()), ["kept"]);
    }

    #[test]
    fn a_folder_is_filled_from_one_within() {
        let scratch = tempfile::tempdir().unwrap();
        let outer = scratch.path().join("a/b");
        let made = Temporary::folder_at(&outer).unwrap().unwrap();
        assert!(Temporary::folder_at(&outer).unwrap().is_none());
        let within = Temporary::folder_in(&outer).unwrap();
        for name in ["x", "y"] {
            std::fs::write(within.path().join(name), name).unwrap();
        }
        within.empty_into(&outer, "x").unwrap();
        assert_eq!(names(&outer), ["x", "y"]);
        // It holds something now.
        drop(made);
        assert_eq!(names(&outer), ["x", "y"]);
    }

    #[test]
    fn what_is_discarded_is_gone_with_the_folder_around() {
        let scratch = tempfile::tempdir().unwrap();
        let (outer, within) = (scratch.path().join("outer"), scratch.path().join("outer/within"));
        std::fs::create_dir_all(&within).unwrap();
        std::fs::write(within.join("inside"), "").unwrap();
        let mut there: There =
            vec![(outer, |path| std::fs::remove_dir(path)), (within, |path| std::fs::remove_dir_all(path))];
        discard(&mut there);
        assert!(there.is_empty() && names(scratch.path()).is_empty());
    }
}
