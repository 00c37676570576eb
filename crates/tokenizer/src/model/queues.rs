//! Places ordered by rank, then from left to right. Faster than one heap of pairs, because the places of a rank
//! mostly come in order already.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::hash::PairState;

/// The rank of what is never joined.
pub(super) const NO_RANK: u32 = u32::MAX;

/// A queue of places per rank.
#[derive(Debug, Default)]
pub(super) struct Queues {
    waiting: HashMap<u64, Queue, PairState>,
    /// Ranks that have a queue in `waiting`; one may stand here twice.
    ranks: BinaryHeap<Reverse<u32>>,
    current: Option<(u32, Queue)>,
}

#[derive(Debug, Default)]
struct Queue {
    places: Vec<usize>,
    /// How many of the places are done; those before the first pop may be unsorted.
    done: usize,
    open: bool,
    /// What came after the first pop.
    late: BinaryHeap<Reverse<usize>>,
}

impl Queues {
    /// Adds a place, unless its rank is [`NO_RANK`].
    pub(super) fn push(&mut self, rank: u32, place: usize) {
        if rank == NO_RANK {
            return;
        }
        match &mut self.current {
            Some((current, queue)) if *current == rank => return queue.push(place),
            Some((current, _)) if *current > rank => self.give_way(),
            _ => {}
        }
        let ranks = &mut self.ranks;
        let queue = self.waiting.entry(rank.into()).or_insert_with(|| {
            ranks.push(Reverse(rank));
            Queue::default()
        });
        queue.push(place);
    }

    /// Takes the leftmost place of the best rank.
    pub(super) fn pop(&mut self) -> Option<(u32, usize)> {
        loop {
            if let Some((rank, queue)) = &mut self.current {
                if let Some(place) = queue.pop() {
                    return Some((*rank, place));
                }
                self.current = None;
            }
            let Reverse(rank) = self.ranks.pop()?;
            self.current = self.waiting.remove(&rank.into()).map(|queue| (rank, queue));
        }
    }

    /// A better rank than the current one has come.
    fn give_way(&mut self) {
        if let Some((rank, queue)) = self.current.take() {
            self.ranks.push(Reverse(rank));
            self.waiting.insert(rank.into(), queue);
        }
    }
}

impl Queue {
    fn push(&mut self, place: usize) {
        if self.open { self.late.push(Reverse(place)) } else { self.places.push(place) }
    }

    fn pop(&mut self) -> Option<usize> {
        if !std::mem::replace(&mut self.open, true) {
            self.places.sort_unstable();
        }
        let next = self.places.get(self.done).copied();
        match (next, self.late.peek()) {
            (Some(place), Some(&Reverse(late))) if late < place => {
                self.late.pop().map(|Reverse(place)| place)
            }
            (Some(place), _) => {
                self.done += 1;
                Some(place)
            }
            (None, _) => self.late.pop().map(|Reverse(place)| place),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn queues_give_what_one_heap_gives() {
        let mut random = Random::new(9);
        for _ in 0..200 {
            let (mut queues, mut heap) = (Queues::default(), BinaryHeap::new());
            for _ in 0..random.below(300) {
                if random.below(3) == 0 {
                    assert_eq!(queues.pop(), heap.pop().map(|Reverse(entry)| entry));
                } else {
                    let (rank, place) = (random.below(6) as u32, random.below(50));
                    queues.push(rank, place);
                    heap.push(Reverse((rank, place)));
                }
            }
            while let Some(Reverse(entry)) = heap.pop() {
                assert_eq!(queues.pop(), Some(entry));
            }
            assert_eq!(queues.pop(), None);
            queues.push(NO_RANK, 1);
            assert_eq!(queues.pop(), None);
        }
    }
}
