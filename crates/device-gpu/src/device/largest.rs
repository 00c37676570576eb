//! The largest values of rows, found on the device, so that not whole rows come to the host.

use super::programs::Family;
use super::queue::{Args, Grid};
use super::{Buffer, GpuDevice};
use crate::driver::Place;
use crate::host::int_bytes_mut;
use torchless_base::{Logits, Scored, TokenId};
use torchless_device::{DeviceError, Largest, Listed};

/// Threads of a group; the kernels' own number.
const THREADS: usize = 128;
/// Values of a row that a group looks through.
const PART: usize = 4096;
/// Values listed of a row at most: from a hundred or so on, the whole row is as cheap.
pub(super) const MOST: usize = 128;
/// Steps in which the length of lists grows, so that steps of a reply are the same launches while its penalties see more.
const STEP: usize = 16;

impl GpuDevice {
    pub(super) fn list_largest(&mut self, op: &Largest, lists: &mut Logits) -> Result<Listed, DeviceError> {
        let count = if op.count <= 1 { 1 } else { op.count.next_multiple_of(STEP).min(MOST) };
        self.look_for_largest(op, count)?;
        let mut found = std::mem::take(&mut self.found);
        found.resize(op.rows * (1 + 2 * count), 0);
        let read = self.read_found(&mut found);
        let listed = read.map(|()| take_lists(&found, count, lists));
        self.found = found;
        listed
    }

    fn look_for_largest(&mut self, op: &Largest, count: usize) -> Result<(), DeviceError> {
        let Buffer { memory, width } = self.buf(op.input);
        let parts = width.div_ceil(PART);
        let places = self.floats(|r| &mut r.largest, op.rows * parts * count, "the largest logits")?;
        let faults = self.floats(|r| &mut r.faults, op.rows * parts, "what is no logit")?;
        let found = self.floats(|r| &mut r.found, op.rows * (1 + 2 * count), "lists of logits")?;
        let args = Args::of(&[memory, places, faults]).ints(&[width, PART, count]);
        self.launch(Family::Largest, "largest_of_parts", Grid::Groups([parts, op.rows, 1], THREADS), args)?;
        let args = Args::of(&[memory, places, faults, found]).ints(&[width, parts, count]);
        self.launch(Family::Largest, "largest_of_rows", Grid::Groups([op.rows, 1, 1], THREADS), args)
    }

    fn read_found(&mut self, found: &mut [i32]) -> Result<(), DeviceError> {
        self.flush()?;
        match self.rooms.found.memory {
            Some(memory) => Ok(self.driver.read(Place { memory, offset: 0 }, int_bytes_mut(found))?),
            None => Ok(()),
        }
    }
}

/// Adds the lists of all rows, unless one of them has what is no logit.
fn take_lists(found: &[i32], count: usize, lists: &mut Logits) -> Listed {
    let rows = || found.chunks_exact(1 + 2 * count);
    if rows().any(|row| row[0] != 0) {
        return Listed::NotNumbers;
    }
    for row in rows() {
        let pairs = row[1..].chunks_exact(2).take_while(|pair| pair[0] >= 0);
        lists.push_list(
            pairs
                .map(|pair| Scored { token: TokenId(pair[0] as u32), logit: f32::from_bits(pair[1] as u32) }),
        );
    }
    Listed::All
}
