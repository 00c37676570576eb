//! Shared ranges of bytes: a mapped file, or memory that somebody owns.
//!
//! A mapping is read-only and private. Where another process shortens the file while it is mapped, reading the lost
//! pages ends this process with SIGBUS; the length is checked right after mapping, later changes are not seen.
//! Whoever must open files that others rewrite uses [`Access::Read`](crate::Access::Read).

use std::fmt;
use std::fs::File;
use std::ops::{Deref, Range};
use std::sync::Arc;

use memmap2::Mmap;

/// Memory that can back [`Bytes`]: for example `Vec<u8>` or `&'static [u8]`.
pub type Shared = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A range of bytes that keeps its owner alive; cloning copies no bytes.
#[derive(Clone)]
pub struct Bytes {
    owner: Owner,
    range: Range<usize>,
}

#[derive(Clone)]
enum Owner {
    Mapped(Arc<Mapping>),
    Shared(Shared),
}

/// A mapped file that can still be read.
struct Mapping {
    map: Mmap,
    #[cfg_attr(not(unix), expect(dead_code, reason = "read by position on Unix alone"))]
    file: File,
}

/// Page advice is given for ranges of this size and alignment: a multiple of the page size wherever it runs.
#[cfg(any(unix, test))]
const PAGE: usize = if cfg!(target_arch = "x86_64") { 4096 } else { 65536 };

impl Bytes {
    /// All bytes of `owner`, whose length must not change afterwards (a `Vec` behind an `Arc` cannot).
    pub fn new(owner: Shared) -> Self {
        let range = 0..(*owner).as_ref().len();
        Self { owner: Owner::Shared(owner), range }
    }

    /// Maps a regular file of `len` bytes.
    pub(crate) fn map(file: &File, len: usize) -> std::io::Result<Self> {
        // SAFETY: the mapping is private and read-only and lives in this Mmap; nothing here writes through it.
        // Another process that changes the file meanwhile is outside what a program can exclude; the module's
        // documentation says what happens then, and every value read from the mapping is checked after reading.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(file)? };
        // Pages of 2 MiB where the system's cache has them: weights are read faster than small pages can be looked up.
        // Advice that the system does not take changes nothing but speed.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let mapping = Mapping { map, file: file.try_clone()? };
        Ok(Self { owner: Owner::Mapped(Arc::new(mapping)), range: 0..len })
    }

    /// The bytes `range` of these, `None` where it does not lie within.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        let start = self.range.start + range.start;
        Some(Self { owner: self.owner.clone(), range: start..start + range.len() })
    }

    /// Whether these bytes are pages of a file that the system reads when they are touched.
    pub fn is_mapped(&self) -> bool {
        matches!(self.owner, Owner::Mapped(_))
    }

    /// Asks the system to read the pages of a mapping ahead; does nothing for owned memory.
    pub fn advise_will_need(&self) {
        #[cfg(unix)]
        if let Owner::Mapped(mapping) = &self.owner {
            // Advice that the system does not take changes nothing but speed.
            let _ = mapping.map.advise_range(memmap2::Advice::WillNeed, self.range.start, self.range.len());
        }
    }

    /// Makes the pages of a mapping resident at once, which costs less than to let each read of the next page ask the
    /// system for it. `false`, and nothing done, for owned memory and where the system cannot (Linux before 5.14, others).
    ///
    /// # Errors
    /// The file cannot be read any more or has shrunk.
    pub fn populate(&self) -> std::io::Result<bool> {
        #[cfg(target_os = "linux")]
        if let Owner::Mapped(mapping) = &self.owner {
            let advice = memmap2::Advice::PopulateRead;
            return match mapping.map.advise_range(advice, self.range.start, self.range.len()) {
                Ok(()) => Ok(true),
                Err(e) if e.kind() == std::io::ErrorKind::InvalidInput => Ok(false),
                Err(e) => Err(e),
            };
        }
        Ok(false)
    }

    /// Gives the pages that this range of a mapping touches back to the system, which reads them from the file
    /// again when they are touched; does nothing for owned memory.
    pub fn release(&self) {
        #[cfg(unix)]
        if let Owner::Mapped(mapping) = &self.owner {
            let pages = touched_pages(&self.range, mapping.map.len());
            if !pages.is_empty() {
                // SAFETY: the mapping is private, read-only and backed by a file, so that dropped pages come back
                // with the same bytes; references into it stay valid. The pages lie within the mapping.
                let _ = unsafe {
                    let (start, len) = (pages.start, pages.len());
                    mapping.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, len)
                };
            }
        }
    }
}

impl Bytes {
    /// Copies the bytes from `offset` on into `out` by reading the file, so that no page of the mapping becomes resident.
    /// `false` where there is no file behind these bytes, or no way to read by position; nothing is copied then.
    ///
    /// # Errors
    /// The range does not lie within these bytes, or the file cannot be read or has shrunk.
    pub fn read_at(&self, offset: usize, out: &mut [u8]) -> std::io::Result<bool> {
        let end = offset.checked_add(out.len()).filter(|&end| end <= self.len());
        if end.is_none() {
            return Err(std::io::Error::other(format!("bytes {offset}.. ({}) of {}", out.len(), self.len())));
        }
        match &self.owner {
            #[cfg(unix)]
            Owner::Mapped(mapping) => {
                use std::os::unix::fs::FileExt;
                mapping.file.read_exact_at(out, (self.range.start + offset) as u64)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

/// The pages of a mapping of `len` bytes that `range` touches; empty where it is.
#[cfg(any(unix, test))]
fn touched_pages(range: &Range<usize>, len: usize) -> Range<usize> {
    if range.is_empty() { 0..0 } else { range.start / PAGE * PAGE..range.end.next_multiple_of(PAGE).min(len) }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let all = match &self.owner {
            Owner::Mapped(mapping) => mapping.map.as_ref(),
            Owner::Shared(shared) => (**shared).as_ref(),
        };
        &all[self.range.clone()]
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(Arc::new(bytes))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_mapped() { "mapped" } else { "owned" };
        write!(f, "Bytes({kind} {}..{})", self.range.start, self.range.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_stay_within() {
        let bytes = Bytes::from(vec![0, 1, 2, 3, 4, 5]);
        let middle = bytes.slice(1..5).unwrap();
        assert_eq!(&*middle, [1, 2, 3, 4]);
        assert_eq!(&*middle.slice(1..3).unwrap(), [2, 3]);
        assert_eq!(&*middle.slice(4..4).unwrap(), [0; 0]);
        assert!(middle.slice(0..5).is_none());
        assert!(middle.slice(5..usize::MAX).is_none());
        assert!(middle.slice(Range { start: 3, end: 2 }).is_none());
    }

    #[test]
    fn advice_leaves_the_bytes_as_they_are() {
        let path = std::env::temp_dir().join(format!("torchless-bytes-{}", std::process::id()));
        let content: Vec<u8> = (0..10 * PAGE + 77).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let mapped = Bytes::map(&File::open(&path).unwrap(), content.len()).unwrap();
        std::fs::remove_file(&path).unwrap();
        for bytes in [mapped.clone(), mapped.slice(5..3 * PAGE + 5).unwrap(), Bytes::from(content.clone())] {
            bytes.advise_will_need();
            bytes.release();
            assert_eq!(bytes.populate().unwrap(), bytes.is_mapped() && cfg!(target_os = "linux"));
        }
        assert_eq!(&*mapped, content);
    }

    #[cfg(unix)]
    #[test]
    fn a_mapped_file_can_be_read_without_touching_pages() {
        let path = std::env::temp_dir().join(format!("torchless-read-{}", std::process::id()));
        std::fs::write(&path, b"0123456789").unwrap();
        let mapped = Bytes::map(&File::open(&path).unwrap(), 10).unwrap();
        std::fs::remove_file(&path).unwrap();
        let part = mapped.slice(2..8).unwrap();
        let mut out = [0; 3];
        assert!(part.read_at(3, &mut out).unwrap());
        assert_eq!(&out, b"567");
        assert!(part.read_at(4, &mut out).is_err(), "beyond the part, though within the file");
        assert!(!Bytes::from(vec![1, 2, 3]).read_at(0, &mut out).unwrap());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_has_shrunk_is_an_error_and_no_signal() {
        let path = std::env::temp_dir().join(format!("torchless-shrunk-{}", std::process::id()));
        std::fs::write(&path, vec![1; 3 * PAGE]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mapped = Bytes::map(&file, 3 * PAGE).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(mapped.populate().unwrap());
        file.set_len(PAGE as u64).unwrap();
        assert!(mapped.slice(PAGE..2 * PAGE).unwrap().populate().is_err());
        assert!(mapped.slice(0..PAGE).unwrap().populate().unwrap());
    }

    #[test]
    fn whole_pages_are_given_back() {
        let len = 5 * PAGE + 7;
        assert_eq!(touched_pages(&(1..3 * PAGE + 1), len), 0..4 * PAGE);
        assert_eq!(touched_pages(&(PAGE + 1..PAGE + 2), len), PAGE..2 * PAGE);
        assert_eq!(touched_pages(&(PAGE..len), len), PAGE..len);
        assert!(touched_pages(&(PAGE + 1..PAGE + 1), len).is_empty());
    }
}
