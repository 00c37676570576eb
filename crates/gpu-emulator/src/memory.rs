//! Memory of the emulated device: it begins as NaN, its slack is marked, and the page behind it cannot be touched.
//!
//! A kernel that writes a little beyond an end is found out by the marks; one that reads or writes further ends the process.

use std::ptr::NonNull;

/// What allocations are aligned to, as CUDA's are.
const ALIGN: usize = 256;
const FILL: u8 = 0xff;
const MARK: u8 = 0xa5;

/// An allocation.
pub struct Memory {
    /// What it is for.
    pub what: String,
    mapping: NonNull<u8>,
    mapped: usize,
    start: usize,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone; nothing of it is tied to a thread.
unsafe impl Send for Memory {}

impl Memory {
    /// `bytes` bytes, `None` where the system has no room.
    pub fn new(bytes: u64, what: &str) -> Option<Self> {
        let page = page_size();
        let len = usize::try_from(bytes).ok()?;
        let room = len.max(1).checked_next_multiple_of(ALIGN)?;
        let body = room.checked_next_multiple_of(page)?;
        let mapped = body.checked_add(page)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh private mapping of memory that no other part of the program knows.
        let address = unsafe {
            libc::mmap(std::ptr::null_mut(), mapped, protection, libc::MAP_PRIVATE | libc::MAP_ANON, -1, 0)
        };
        if address == libc::MAP_FAILED {
            return None;
        }
        let mapping = NonNull::new(address.cast::<u8>())?;
        // SAFETY: the last page of the mapping that was just made, which starts at a multiple of the page size.
        unsafe { libc::mprotect(mapping.as_ptr().add(body).cast(), page, libc::PROT_NONE) };
        let mut memory = Self { what: what.to_owned(), mapping, mapped, start: body - room, len };
        memory.room().fill(FILL);
        memory.room()[len..].fill(MARK);
        Some(memory)
    }

    /// Bytes that were asked for.
    pub fn len(&self) -> u64 {
        self.len as u64
    }

    /// Where it lies.
    pub fn start(&self) -> *mut u8 {
        // SAFETY: `start` lies within the mapping.
        unsafe { self.mapping.as_ptr().add(self.start) }
    }

    /// `len` bytes from `offset` on. Panics if they lie beyond the memory.
    pub fn slice(&mut self, offset: u64, len: u64) -> &mut [u8] {
        let (what, end) = (self.what.clone(), self.len);
        let (offset, len) = (offset as usize, len as usize);
        assert!(offset <= end && len <= end - offset, "{what}: {len} bytes at {offset} lie beyond its {end}");
        &mut self.room()[offset..offset + len]
    }

    /// Whether a kernel wrote beyond the end.
    pub fn is_damaged(&self) -> bool {
        let slack = self.len.max(1).next_multiple_of(ALIGN) - self.len;
        // SAFETY: the bytes after `len` up to the alignment are mapped, and no kernel runs while this is asked.
        let slack = unsafe { std::slice::from_raw_parts(self.start().add(self.len), slack) };
        slack.iter().any(|byte| *byte != MARK)
    }

    fn room(&mut self) -> &mut [u8] {
        let room = self.len.max(1).next_multiple_of(ALIGN);
        // SAFETY: `room` bytes from the start on are mapped and end where the untouchable page begins; they are borrowed with `self`.
        unsafe { std::slice::from_raw_parts_mut(self.start(), room) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` with this length, and nothing points into it any more.
        unsafe { libc::munmap(self.mapping.as_ptr().cast(), self.mapped) };
    }
}

fn page_size() -> usize {
    // SAFETY: asks the system for a constant.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_beyond_the_end_is_noticed() {
        let mut memory = Memory::new(100, "rows").unwrap();
        assert_eq!(memory.slice(0, 100), [FILL; 100]);
        assert_eq!(memory.start() as usize % ALIGN, 0);
        assert!(!memory.is_damaged());
        memory.room()[100] = 0;
        assert!(memory.is_damaged());
    }

    #[test]
    #[should_panic(expected = "rows: 2 bytes at 99 lie beyond its 100")]
    fn a_place_beyond_the_memory_is_refused() {
        Memory::new(100, "rows").unwrap().slice(99, 2);
    }
}
