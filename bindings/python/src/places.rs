//! Places in a text: Python counts characters, the firewall bytes.

/// Bytes between two places that are known from the start.
const BLOCK: usize = 64;

/// Finds places of a text without counting from its beginning each time.
pub struct Places<'a> {
    bytes: &'a [u8],
    /// Characters that begin before each block.
    before: Vec<usize>,
}

impl<'a> Places<'a> {
    /// Reads the text once.
    pub fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let count = |before: &mut usize, block: &[u8]| {
            let here = *before;
            *before += beginnings(block);
            Some(here)
        };
        Self { bytes, before: bytes.chunks(BLOCK).scan(0, count).collect() }
    }

    /// Characters that begin before this byte.
    pub fn character(&self, byte: usize) -> usize {
        let byte = byte.min(self.bytes.len());
        let block = (byte / BLOCK).min(self.before.len().saturating_sub(1));
        self.before.get(block).map_or(0, |before| before + beginnings(&self.bytes[block * BLOCK..byte]))
    }

    /// The byte that this character begins at, or the text's end for the one after the last.
    pub fn byte(&self, character: usize) -> Option<usize> {
        let block = self.before.partition_point(|before| *before <= character).saturating_sub(1);
        let mut missing = character - self.before.get(block).copied().unwrap_or(0);
        for (at, byte) in self.bytes.iter().enumerate().skip(block * BLOCK) {
            if is_beginning(*byte) {
                if missing == 0 {
                    return Some(at);
                }
                missing -= 1;
            }
        }
        (missing == 0).then_some(self.bytes.len())
    }
}

fn beginnings(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| is_beginning(**byte)).count()
}

/// Whether a character begins with this byte of UTF-8.
fn is_beginning(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}
