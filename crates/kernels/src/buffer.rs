//! Memory aligned to cache lines, for weights, activations and scratch.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

const LINE: usize = 64;
/// From this size on memory comes from the system directly, aligned to its huge pages.
const HUGE: usize = 2 << 20;

/// A zero-initialised buffer of bytes, aligned to 64 bytes; from 2 MiB on in huge pages where the system has them.
pub struct AlignedBuf {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the buffer owns its memory, and nothing in it is tied to a thread.
unsafe impl Send for AlignedBuf {}
// SAFETY: a shared buffer can only be read.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// A buffer of `len` zero bytes. Aborts as `Vec` does when memory is short.
    pub fn zeroed(len: usize) -> Self {
        Self::try_zeroed(len).unwrap_or_else(|| handle_alloc_error(Self::layout(len)))
    }

    /// The same, or nothing where there is no room for it.
    fn try_zeroed(len: usize) -> Option<Self> {
        if len == 0 {
            return Some(Self::default());
        }
        let layout = Layout::from_size_align(len, LINE).ok()?;
        let start = if len >= HUGE { system::map(len) } else { allocate(layout) };
        start.map(|start| Self { start, len })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes from `start` on belong to this buffer.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The bytes, to write to.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// The first `len` values as `f32`, to write to. Panics where the buffer is shorter.
    pub fn as_mut_f32(&mut self, len: usize) -> &mut [f32] {
        assert!(len <= self.len / size_of::<f32>(), "buffer of {} bytes, {len} f32 wanted", self.len);
        // SAFETY: the length was checked, the alignment is at least 64, every bit pattern is an f32.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), len) }
    }

    /// The first `bytes` bytes (a multiple of 64), and what follows as `f32`, both to write to.
    /// Panics where the buffer is shorter.
    pub(crate) fn split_f32(&mut self, bytes: usize) -> (&mut [u8], &mut [f32]) {
        assert!(bytes.is_multiple_of(LINE), "a split at byte {bytes} would not be aligned");
        let (bytes, rest) = self.as_mut_slice().split_at_mut(bytes);
        let len = rest.len() / size_of::<f32>();
        // SAFETY: the start is a multiple of 64 bytes behind an aligned start, every bit pattern is an f32, and the slice
        // takes over the exclusive borrow of `rest`.
        (bytes, unsafe { std::slice::from_raw_parts_mut(rest.as_mut_ptr().cast(), len) })
    }

    /// The first `words` words, and as many `f32` behind them as make `total` of both, all to write to.
    /// Panics where the buffer is shorter.
    pub(crate) fn split_words(&mut self, words: usize, total: usize) -> (&mut [u32], &mut [f32]) {
        let (first, rest) = self.as_mut_f32(total).split_at_mut(words);
        // SAFETY: words are as large as floats, and any bits are a word; the slice takes over the exclusive borrow.
        (unsafe { std::slice::from_raw_parts_mut(first.as_mut_ptr().cast(), words) }, rest)
    }

    /// Makes the buffer at least `len` bytes long. Its content is lost where it has to grow.
    pub fn grow(&mut self, len: usize) {
        if len > self.len {
            *self = Self::zeroed(len);
        }
    }

    /// Bytes in the buffer.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the buffer has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    fn layout(len: usize) -> Layout {
        match Layout::from_size_align(len, LINE) {
            Ok(layout) => layout,
            Err(_) => panic!("a buffer of {len} bytes is more than the address space holds"),
        }
    }
}

/// Values in an [`AlignedBuf`]: vector registers read and write rows of them without crossing lines, and strides of pages stay
/// within few huge ones.
#[derive(Default)]
pub struct Floats {
    buf: AlignedBuf,
    len: usize,
}

impl Floats {
    /// `len` zeros. Panics where that is more than the address space holds; aborts as `Vec` does when memory is short.
    pub fn zeroed(len: usize) -> Self {
        let bytes = len.checked_mul(size_of::<f32>());
        let bytes = bytes.unwrap_or_else(|| panic!("{len} values are more than the address space holds"));
        Self { buf: AlignedBuf::zeroed(bytes), len }
    }

    /// The same, or nothing where there is no room for them.
    pub fn try_zeroed(len: usize) -> Option<Self> {
        let buf = AlignedBuf::try_zeroed(len.checked_mul(size_of::<f32>())?)?;
        Some(Self { buf, len })
    }

    /// The first `len` values. What they are is lost where there were fewer.
    pub fn room(&mut self, len: usize) -> &mut [f32] {
        if len > self.len {
            *self = Self::zeroed(len);
        }
        &mut self[..len]
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the buffer has `len` values, the alignment is at least 64, every bit pattern is an f32.
        unsafe { std::slice::from_raw_parts(self.buf.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        let len = self.len;
        self.buf.as_mut_f32(len)
    }
}

fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    // SAFETY: only layouts with a size above zero come here.
    NonNull::new(unsafe { alloc_zeroed(layout) })
}

impl Default for AlignedBuf {
    fn default() -> Self {
        Self { start: NonNull::<Line>::dangling().cast(), len: 0 }
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if self.len >= HUGE {
            // SAFETY: `zeroed` took a buffer of this size from `map`, and nobody uses it any more.
            unsafe { system::unmap(self.start, self.len) }
        } else if self.len > 0 {
            // SAFETY: allocated in `zeroed` with this very layout.
            unsafe { dealloc(self.start.as_ptr(), Self::layout(self.len)) }
        }
    }
}

#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "only its alignment matters")] [u8; LINE]);

/// Pages straight from the system: zeroed only when touched, and huge ones where it has them.
#[cfg(target_os = "linux")]
mod system {
    use super::HUGE;
    use std::ptr::{self, NonNull};

    pub(super) fn map(len: usize) -> Option<NonNull<u8>> {
        let room = len.checked_add(HUGE)?;
        // SAFETY: a private anonymous mapping at an address of the system's choice touches nothing that exists.
        let start = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(ptr::null_mut(), room, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return None;
        }
        let lead = start.align_offset(HUGE);
        // SAFETY: `lead < HUGE`, so both the aligned start and the parts given back lie in the mapping made above. A refused
        // advice changes nothing.
        unsafe {
            let aligned = start.byte_add(lead);
            if lead > 0 {
                libc::munmap(start, lead);
            }
            let end = len.next_multiple_of(page());
            libc::munmap(aligned.byte_add(end), room - lead - end);
            libc::madvise(aligned, end, libc::MADV_HUGEPAGE);
            NonNull::new(aligned.cast())
        }
    }

    /// # Safety
    /// `start` must come from [`map`] with this `len`, and nothing may use the memory any more.
    pub(super) unsafe fn unmap(start: NonNull<u8>, len: usize) {
        // SAFETY: this is the mapping that `map` left.
        unsafe { libc::munmap(start.as_ptr().cast(), len.next_multiple_of(page())) };
    }

    fn page() -> usize {
        // SAFETY: a query without side effects; every Linux answers it with a power of two no larger than a huge page.
        unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::AlignedBuf;
    use std::alloc::dealloc;
    use std::ptr::NonNull;

    pub(super) fn map(len: usize) -> Option<NonNull<u8>> {
        super::allocate(AlignedBuf::layout(len))
    }

    /// # Safety
    /// `start` must come from [`map`] with this `len`, and nothing may use the memory any more.
    pub(super) unsafe fn unmap(start: NonNull<u8>, len: usize) {
        // SAFETY: `map` allocated it with this very layout.
        unsafe { dealloc(start.as_ptr(), AlignedBuf::layout(len)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zeroed_aligned_and_writable() {
        for len in [0, 1, 63, 64, 4096, HUGE, HUGE + 1] {
            let mut buf = AlignedBuf::zeroed(len);
            assert_eq!((buf.len(), buf.is_empty()), (len, len == 0));
            assert_eq!(buf.as_ptr() as usize % LINE, 0);
            assert!(buf.as_slice().iter().all(|&b| b == 0));
            buf.as_mut_slice().fill(7);
            assert!(buf.as_slice().iter().all(|&b| b == 7));
            buf.as_mut_f32(len / 4).fill(1.5);
        }
    }

    #[test]
    fn growing_keeps_a_buffer_that_is_long_enough() {
        let mut buf = AlignedBuf::zeroed(100);
        buf.as_mut_slice()[0] = 1;
        buf.grow(50);
        assert_eq!((buf.len(), buf.as_slice()[0]), (100, 1));
        buf.grow(200);
        assert_eq!((buf.len(), buf.as_slice()[0]), (200, 0));
    }

    #[test]
    #[should_panic(expected = "f32 wanted")]
    fn too_many_floats_are_refused() {
        AlignedBuf::zeroed(7).as_mut_f32(2);
    }
}
