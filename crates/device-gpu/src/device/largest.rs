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
/// Numbers before the pairs of a list: whether there is what is no logit, and the mass of the row.
const HEAD: usize = 2;
/// Values of a row that a group looks through.
const PART: usize = 4096;
/// Values listed of a row at most: from a hundred or so on, the whole row is as cheap.
pub(super) const MOST: usize = 128;
/// Steps in which the length of lists grows, so that steps of a reply are the same launches while its penalties see more.
const STEP: usize = 16;

impl GpuDevice {
    pub(super) fn list_largest(
        &mut self,
        op: &Largest<'_>,
        lists: &mut Logits,
    ) -> Result<Listed, DeviceError> {
        let count = if op.count <= 1 { 1 } else { op.count.next_multiple_of(STEP).min(MOST) };
        self.look_for_largest(op, count)?;
        let mut found = std::mem::take(&mut self.found);
        found.resize(op.rows * (HEAD + 2 * count), 0);
        let read = self.read_found(&mut found);
        let listed = read.map(|()| take_lists(&found, (count, op.temperatures), lists));
        self.found = found;
        listed
    }

    fn look_for_largest(&mut self, op: &Largest<'_>, count: usize) -> Result<(), DeviceError> {
        let Buffer { memory, width } = self.buf(op.input);
        let parts = width.div_ceil(PART);
        let places = self.floats(|r| &mut r.largest, op.rows * parts * count, "the largest logits")?;
        let faults = self.floats(|r| &mut r.faults, op.rows * parts, "what is no logit")?;
        let masses = self.floats(|r| &mut r.masses, op.rows * parts, "masses of parts of rows")?;
        let found = self.floats(|r| &mut r.found, op.rows * (HEAD + 2 * count), "lists of logits")?;
        let temperature = |row| op.temperatures.get(row).map_or(0, |t: &f32| t.to_bits() as usize);
        let at = self.list((0..op.rows).map(temperature))?;
        let step = self.ints_memory()?;
        let args = Args::of(&[memory, step, places, faults, masses]).ints(&[width, PART, count, at]);
        self.launch(Family::Largest, "largest_of_parts", Grid::Groups([parts, op.rows, 1], THREADS), args)?;
        let args = Args::of(&[memory, step, places, faults, masses, found]).ints(&[width, parts, count, at]);
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

/// Adds the lists of all rows, and the masses of those with a temperature, unless one of them has what is no logit.
fn take_lists(found: &[i32], (count, temperatures): (usize, &[f32]), lists: &mut Logits) -> Listed {
    let rows = || found.chunks_exact(HEAD + 2 * count);
    if rows().any(|row| row[0] != 0) {
        return Listed::NotNumbers;
    }
    for (i, row) in rows().enumerate() {
        let pairs = row[HEAD..].chunks_exact(2).take_while(|pair| pair[0] >= 0);
        lists.push_list(
            pairs
                .map(|pair| Scored { token: TokenId(pair[0] as u32), logit: f32::from_bits(pair[1] as u32) }),
        );
        if temperatures.get(i).is_some_and(|t| *t > 0.0) {
            lists.weigh_last(f32::from_bits(row[1] as u32));
        }
    }
    Listed::All
}
