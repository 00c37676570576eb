//! Pinned memory of the host through which bytes go to the device and come back.
//!
//! Writes fill chunks in turn; a chunk is used again when the stream has passed what was last written from it. So a write
//! returns once its bytes are copied here, and small writes wait for nothing.

use super::api::{Handle, Status};
use super::session::Session;

const CHUNK: usize = 4 << 20;
const CHUNKS: usize = 4;
/// Rather begin a new chunk than cut off less than this from a write.
const LEAST: usize = 256 << 10;
/// Where writes begin within a chunk.
const ALIGN: usize = 256;

struct Chunk {
    start: *mut u8,
    /// Recorded when the chunk was left.
    left: Handle,
    was_left: bool,
    used: usize,
}

/// Chunks, made when they are first needed.
#[derive(Default)]
pub struct Staging {
    chunks: Vec<Chunk>,
    current: usize,
    back: Option<*mut u8>,
}

impl Staging {
    /// Copies bytes to the device.
    ///
    /// # Safety
    /// The device's range exists.
    pub unsafe fn write(&mut self, session: &mut Session, to: u64, bytes: &[u8]) -> Result<(), Status> {
        let mut done = 0;
        while done < bytes.len() {
            let (place, room) = self.room(session, bytes.len() - done)?;
            let part = &bytes[done..done + room];
            // SAFETY: the chunk has this room, and the stream has passed its earlier content; the caller promises the target.
            unsafe {
                std::ptr::copy_nonoverlapping(part.as_ptr(), place, room);
                session.copy_in(to + done as u64, place, room)?;
            }
            done += room;
        }
        Ok(())
    }

    /// Copies bytes from the device, after everything on the stream.
    ///
    /// # Safety
    /// The device's range exists.
    pub unsafe fn read(&mut self, session: &mut Session, from: u64, out: &mut [u8]) -> Result<(), Status> {
        let back = match self.back {
            Some(back) => back,
            None => *self.back.insert(session.host_alloc(CHUNK)?),
        };
        for (index, part) in out.chunks_mut(CHUNK).enumerate() {
            let at = from + (index * CHUNK) as u64;
            // SAFETY: the part is no longer than the chunk, which is read after the stream has passed the copy.
            unsafe {
                session.copy_out(back, at, part.len())?;
                session.wait()?;
                std::ptr::copy_nonoverlapping(back, part.as_mut_ptr(), part.len());
            }
        }
        Ok(())
    }

    /// A place for up to `wanted` bytes.
    fn room(&mut self, session: &mut Session, wanted: usize) -> Result<(*mut u8, usize), Status> {
        if self.chunks.is_empty() {
            self.chunks.push(Chunk::new(session)?);
        }
        let left = CHUNK - self.chunks[self.current].used;
        if left < wanted && left < LEAST {
            self.next_chunk(session)?;
        }
        let chunk = &mut self.chunks[self.current];
        let room = wanted.min(CHUNK - chunk.used);
        // SAFETY: within the chunk.
        let place = unsafe { chunk.start.add(chunk.used) };
        chunk.used = (chunk.used + room).next_multiple_of(ALIGN).min(CHUNK);
        Ok((place, room))
    }

    fn next_chunk(&mut self, session: &mut Session) -> Result<(), Status> {
        let chunk = &mut self.chunks[self.current];
        // SAFETY: the event is the chunk's own.
        unsafe { session.record(chunk.left)? };
        chunk.was_left = true;
        let next = (self.current + 1) % CHUNKS;
        if next == self.chunks.len() {
            self.chunks.push(Chunk::new(session)?);
        }
        self.current = next;
        let chunk = &mut self.chunks[self.current];
        if chunk.was_left {
            // SAFETY: the event is the chunk's own.
            unsafe { session.wait_for(chunk.left)? };
        }
        chunk.used = 0;
        Ok(())
    }

    /// Gives everything back. The stream is empty.
    pub fn release(&mut self, session: &mut Session) {
        for chunk in self.chunks.drain(..) {
            // SAFETY: the stream is empty and the chunk is gone; failures have no one to tell.
            unsafe {
                let _ = session.drop_event(chunk.left);
                let _ = session.host_free(chunk.start);
            }
        }
        if let Some(back) = self.back.take() {
            // SAFETY: as above.
            let _ = unsafe { session.host_free(back) };
        }
    }
}

impl Chunk {
    fn new(session: &mut Session) -> Result<Self, Status> {
        Ok(Self { start: session.host_alloc(CHUNK)?, left: session.event()?, was_left: false, used: 0 })
    }
}
