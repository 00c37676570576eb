//! What a library's defaults look like in memory: which bytes it writes, and what it writes there.

use std::fmt;

use super::call::{BLOB_BYTES, Blob, ReturnsStruct, returned_into};

/// The bytes of a struct of defaults, told apart from those that nothing wrote.
#[derive(Clone)]
pub struct Footprint {
    values: Blob,
    written: [bool; BLOB_BYTES],
    size: usize,
}

impl Footprint {
    /// Asks for the defaults twice, over two patterns without a bit in common: bytes that differ afterwards were not written.
    ///
    /// # Safety
    /// As for [`returned_into`].
    pub unsafe fn of(function: ReturnsStruct) -> Self {
        let over = |fill: u8| {
            let mut blob = Blob([fill; BLOB_BYTES]);
            // SAFETY: passed on.
            unsafe { returned_into(function, &mut blob) };
            blob
        };
        Self::told_apart(&over(0xAA), &over(0x55))
    }

    fn told_apart(first: &Blob, second: &Blob) -> Self {
        let mut footprint = Self { values: Blob([0; BLOB_BYTES]), written: [false; BLOB_BYTES], size: 0 };
        for (at, (&a, &b)) in first.0.iter().zip(&second.0).enumerate() {
            if a == b {
                footprint.values.0[at] = a;
                footprint.written[at] = true;
                footprint.size = at + 1;
            }
        }
        footprint
    }

    /// Bytes up to the last that was written.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The defaults, with zeros where nothing was written: what the library takes back when nothing is to be changed.
    pub fn defaults(&self) -> Blob {
        self.values.clone()
    }

    /// The value of `bytes` bytes from `at` on, or `None` if not all of them were written.
    pub fn value(&self, at: usize, bytes: usize) -> Option<u64> {
        let range = at..at.checked_add(bytes)?;
        let all = self.written.get(range.clone())?.iter().all(|&written| written);
        let mut value = [0; 8];
        value.get_mut(..bytes)?.copy_from_slice(self.values.0.get(range)?);
        all.then_some(u64::from_le_bytes(value))
    }

    /// Whether the byte at `at` can be padding: not written, or cleared along the way.
    pub fn may_be_padding(&self, at: usize) -> bool {
        !self.written[at] || self.values.0[at] == 0
    }
}

/// Size, gaps and a checksum of the values: the key under which a layout that nobody knows can be reported.
impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.size)?;
        let mut at = 0;
        while let Some(gap) = (at..self.size).find(|&at| !self.written[at]) {
            at = (gap..self.size).find(|&at| self.written[at]).unwrap_or(self.size);
            write!(f, ", gap at {gap}..{at}")?;
        }
        let checksum = self.values.0[..self.size].iter().fold(0xcbf2_9ce4_8422_2325, |sum: u64, &byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        write!(f, ", values {checksum:016x}")
    }
}

impl fmt::Debug for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Footprint({self})")
    }
}

/// A footprint as a library with `bytes` would leave it, where `None` is a byte that is not written.
#[cfg(test)]
pub fn footprint_of(bytes: &[Option<u8>]) -> Footprint {
    let over = |fill: u8| {
        let mut blob = Blob([fill; BLOB_BYTES]);
        bytes.iter().enumerate().for_each(|(at, byte)| blob.0[at] = byte.unwrap_or(fill));
        blob
    };
    Footprint::told_apart(&over(0xAA), &over(0x55))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_nothing_wrote_are_told_from_those_that_hold_the_pattern() {
        let footprint =
            footprint_of(&[Some(0xAA), Some(0x55), None, None, Some(7), Some(0), Some(0), Some(0)]);
        assert_eq!(footprint.size(), 8);
        assert_eq!(footprint.value(0, 2), Some(0x55AA));
        assert_eq!(footprint.value(4, 4), Some(7));
        assert_eq!(footprint.value(0, 4), None);
        assert_eq!(footprint.value(510, 4), None);
        assert!(footprint.may_be_padding(2) && footprint.may_be_padding(5) && !footprint.may_be_padding(4));
        assert_eq!(footprint.defaults().0[..5], [0xAA, 0x55, 0, 0, 7]);
    }

    #[test]
    fn a_report_names_size_and_gaps() {
        let report = footprint_of(&[Some(1), None, None, Some(1)]).to_string();
        assert!(report.starts_with("4 bytes, gap at 1..3, values "), "{report}");
        assert_ne!(report, footprint_of(&[Some(1), None, None, Some(2)]).to_string());
    }
}
