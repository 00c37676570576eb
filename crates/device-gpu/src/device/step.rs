//! What all ops of a step share, as one list of numbers on the device: rows, slices, the table of blocks, lists of rows.

use torchless_base::StepPlan;

/// Numbers of a slice: first row, rows, first position, first entry of the table of blocks, known tokens.
const SLICE: usize = 5;

/// Where the parts of the list begin. They depend on the number of rows and slices alone, so that steps of the same shape are
/// the same launches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub tokens: usize,
    pub positions: usize,
    pub slice_of: usize,
    pub slots: usize,
    pub slices: usize,
    pub lists: usize,
    pub blocks: usize,
}

/// The step at hand.
#[derive(Default)]
pub(super) struct Step {
    pub rows: usize,
    pub count: usize,
    pub at: Places,
    pub ints: Vec<i32>,
    /// Where the next list goes.
    list: usize,
    /// Whether the device has an older list.
    pub is_stale: bool,
}

impl Step {
    /// Writes a plan down.
    pub(super) fn set(&mut self, plan: &StepPlan) {
        let (rows, count) = (plan.tokens.len(), plan.slices.len());
        let lists = 3 * rows + (1 + SLICE) * count;
        self.at = Places {
            tokens: 0,
            positions: rows,
            slice_of: 2 * rows,
            slots: 3 * rows,
            slices: 3 * rows + count,
            lists,
            blocks: lists + 4 * rows + 64,
        };
        (self.rows, self.count, self.list, self.is_stale) = (rows, count, lists, true);
        self.ints.clear();
        self.ints.resize(self.at.blocks, 0);
        self.ints.extend(plan.blocks.iter().map(|b| b.0 as i32));
        for (i, token) in plan.tokens.iter().enumerate() {
            self.ints[i] = token.0 as i32;
        }
        for (n, slice) in plan.slices.iter().enumerate() {
            for (i, row) in slice.tokens.clone().enumerate() {
                self.ints[self.at.positions + row] = (slice.start + i) as i32;
                self.ints[self.at.slice_of + row] = n as i32;
            }
            let numbers =
                [slice.tokens.start, slice.tokens.len(), slice.start, slice.blocks.start, slice.known];
            let to = &mut self.ints[self.at.slices + n * SLICE..][..SLICE];
            to.iter_mut().zip(numbers).for_each(|(to, x)| *to = x as i32);
        }
    }

    /// The numbers of the slices.
    fn slices(&self) -> impl Iterator<Item = &[i32]> {
        self.ints[self.at.slices..self.at.lists].chunks_exact(SLICE)
    }

    /// Rows of the slice that has most.
    pub(super) fn longest_slice(&self) -> usize {
        self.slices().map(|s| s[1] as usize).max().unwrap_or(0)
    }

    /// Every slice in tiles of so many rows: slice and first row of it.
    pub(super) fn tiles(&self, rows: usize) -> Vec<usize> {
        let firsts = |(i, s): (usize, &[i32])| {
            (0..s[1] as usize).step_by(rows).flat_map(move |f| [i, f]).collect::<Vec<_>>()
        };
        self.slices().enumerate().flat_map(firsts).collect()
    }

    /// Says where slice `n` finds its recurrent state.
    pub(super) fn set_slot(&mut self, n: usize, slot: usize) {
        self.ints[self.at.slots + n] = slot as i32;
    }

    /// Whether a list of `len` numbers still fits.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.list + len <= self.at.blocks
    }

    /// Makes room for a list of `len` numbers, where nothing waits that knows the table of blocks by its old place.
    pub(super) fn grow(&mut self, len: usize) {
        let missing = (self.list + len).saturating_sub(self.at.blocks);
        let table = self.ints.split_off(self.at.blocks);
        self.at.blocks += missing;
        self.ints.resize(self.at.blocks, 0);
        self.ints.extend(table);
        self.is_stale = true;
    }

    /// Starts lists anew: what was asked for with the earlier ones is on its way.
    pub(super) fn forget_lists(&mut self) {
        self.list = self.at.lists;
    }

    /// Adds a list; returns where it begins.
    pub(super) fn list(&mut self, values: impl ExactSizeIterator<Item = usize>) -> usize {
        let at = self.list;
        self.list += values.len();
        self.is_stale = true;
        self.ints[at..self.list].iter_mut().zip(values).for_each(|(to, x)| *to = x as i32);
        at
    }
}
