//! Which sequence's recurrent state lies where, and how far it is. No memory of states is here: devices keep that.

use crate::DeviceError;
use std::collections::HashMap;
use torchless_base::SeqId;

/// Slots for the states of sequences: as many as there were sequences at once.
#[derive(Debug, Default)]
pub struct Slots {
    by_seq: HashMap<SeqId, Slot>,
    free: Vec<usize>,
    made: usize,
    step: Vec<(SeqId, usize)>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    index: usize,
    /// Positions that the state has seen; none while a step is under way.
    seen: Option<usize>,
}

/// Where a slice finds its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its slot.
    pub index: usize,
    /// Whether the sequence begins: its state has to be emptied.
    pub is_new: bool,
}

impl Slots {
    /// Slots that there have been so far: what memory is needed for.
    pub fn made(&self) -> usize {
        self.made
    }

    /// Begins a step.
    pub fn begin(&mut self) {
        self.step.clear();
    }

    /// Finds the slot of the step's next slice, which has `len` tokens from position `start` on.
    ///
    /// # Errors
    /// The sequence goes on at another position than its state has reached.
    pub fn enter(&mut self, seq: SeqId, start: usize, len: usize) -> Result<Begun, DeviceError> {
        let slot = match self.by_seq.get(&seq) {
            Some(slot) => *slot,
            None => self.make(),
        };
        let is_new = start == 0;
        if !is_new && slot.seen != Some(start) {
            return Err(DeviceError::Position { seq: seq.0, asked: start, seen: slot.seen.unwrap_or(0) });
        }
        self.by_seq.insert(seq, Slot { index: slot.index, seen: None });
        self.step.push((seq, start + len));
        Ok(Begun { index: slot.index, is_new })
    }

    fn make(&mut self) -> Slot {
        let index = self.free.pop().unwrap_or_else(|| {
            self.made += 1;
            self.made - 1
        });
        Slot { index, seen: Some(0) }
    }

    /// Notes how far the step's sequences are.
    pub fn end(&mut self) {
        for (seq, seen) in self.step.drain(..) {
            if let Some(slot) = self.by_seq.get_mut(&seq) {
                slot.seen = Some(seen);
            }
        }
    }

    /// Makes `to` as far as `from`; which state has to be copied over which, if there is one.
    pub fn fork(&mut self, from: SeqId, to: SeqId) -> Option<(usize, usize)> {
        let source = *self.by_seq.get(&from)?;
        let target = self.by_seq.get(&to).copied().unwrap_or_else(|| self.make());
        self.by_seq.insert(to, Slot { index: target.index, seen: source.seen });
        Some((source.index, target.index))
    }

    /// There is one state per sequence: going back means starting anew.
    pub fn rewind(&mut self, seq: SeqId, len: usize) -> usize {
        match self.by_seq.get_mut(&seq) {
            Some(slot) if slot.seen == Some(len) => len,
            Some(slot) => {
                slot.seen = Some(0);
                0
            }
            None => 0,
        }
    }

    /// Gives the slot of a sequence back.
    pub fn forget(&mut self, seq: SeqId) {
        if let Some(slot) = self.by_seq.remove(&seq) {
            self.free.push(slot.index);
        }
    }
}
