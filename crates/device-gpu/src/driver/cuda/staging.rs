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

/// What comes back in one copy, and how many of them are on their way at once.
const BACK: usize = 2 << 20;
const BACKS: usize = 8;

/// Memory for one copy on its way back.
struct Back {
    start: *mut u8,
    /// Recorded after the copy.
    arrived: Handle,
}

/// Chunks, made when they are first needed.
#[derive(Default)]
pub struct Staging {
    chunks: Vec<Chunk>,
    current: usize,
    backs: Vec<Back>,
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
        for (turn, group) in out.chunks_mut(BACK * BACKS).enumerate() {
            while self.backs.len() < group.len().div_ceil(BACK) {
                self.backs.push(Back { start: session.host_alloc(BACK)?, arrived: session.event()? });
            }
            let at = from + (turn * BACK * BACKS) as u64;
            // SAFETY: the caller promises the range; what was in the chunks was copied out of them before this turn.
            unsafe { read_group(&self.backs, session, at, group)? };
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
        for back in self.backs.drain(..) {
            // SAFETY: as above.
            unsafe {
                let _ = session.drop_event(back.arrived);
                let _ = session.host_free(back.start);
            }
        }
    }
}

/// Starts all copies, then takes them as they arrive; what is more than one is taken by threads, since one of them copies more slowly
/// than the device sends.
///
/// # Safety
/// The device's range exists, there is memory for every part of `out`, and nothing else uses it.
unsafe fn read_group(backs: &[Back], session: &mut Session, from: u64, out: &mut [u8]) -> Result<(), Status> {
    let lens: Vec<usize> = out.chunks(BACK).map(<[u8]>::len).collect();
    for (i, (back, len)) in backs.iter().zip(&lens).enumerate() {
        // SAFETY: the part is no longer than the chunk, which is not read before the event.
        unsafe {
            session.copy_out(back.start, from + (i * BACK) as u64, *len)?;
            session.record(back.arrived)?;
        }
    }
    std::thread::scope(|scope| {
        for (back, part) in backs.iter().zip(out.chunks_mut(BACK)) {
            // SAFETY: the event is the chunk's own.
            unsafe { session.wait_for(back.arrived)? };
            // SAFETY: the copy has arrived, and nothing writes the chunk before the next read.
            let arrived = unsafe { std::slice::from_raw_parts(back.start, part.len()) };
            match lens.len() {
                1 => part.copy_from_slice(arrived),
                _ => drop(scope.spawn(move || part.copy_from_slice(arrived))),
            }
        }
        Ok(())
    })
}

impl Chunk {
    fn new(session: &mut Session) -> Result<Self, Status> {
        Ok(Self { start: session.host_alloc(CHUNK)?, left: session.event()?, was_left: false, used: 0 })
    }
}
