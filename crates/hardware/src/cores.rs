//! Which logical processors are one core, and of what kind.

use std::collections::{BTreeMap, BTreeSet};

/// What a core is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CoreKind {
    /// Speed.
    Performance,
    /// Saving power.
    Efficiency,
}

/// A thread that a processor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogicalProcessor {
    /// Its number.
    pub number: usize,
    /// The smallest number among those that share its core.
    pub core: usize,
    /// What its core is made for; `None` where all are alike.
    pub kind: Option<CoreKind>,
}

/// All logical processors of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreSet(pub Vec<LogicalProcessor>);

impl CoreSet {
    /// Processors in which each of `siblings` shares one core, and `kinds` has the kinds of some of them.
    #[must_use]
    pub fn new(siblings: &[Vec<usize>], kinds: &BTreeMap<usize, CoreKind>) -> Self {
        let of_core = |core: &Vec<usize>| {
            let first = core.iter().min().copied().unwrap_or(0);
            let processor =
                |&number: &usize| LogicalProcessor { number, core: first, kind: kinds.get(&number).copied() };
            core.iter().map(processor).collect::<Vec<_>>()
        };
        let mut all: Vec<LogicalProcessor> = siblings.iter().flat_map(of_core).collect();
        all.sort_by_key(|processor| processor.number);
        all.dedup_by_key(|processor| processor.number);
        Self(all)
    }

    /// How many cores of which kind there are, each with one thread: for systems that tell no more.
    #[must_use]
    pub fn counted(performance: usize, efficiency: usize, logical: usize) -> Self {
        let physical = performance + efficiency;
        let kind = |core: usize| match efficiency {
            0 => None,
            _ if core < performance => Some(CoreKind::Performance),
            _ => Some(CoreKind::Efficiency),
        };
        let processor = |number: usize| {
            let core = if physical == 0 { number } else { number % physical };
            LogicalProcessor { number, core, kind: kind(core) }
        };
        Self((0..logical.max(physical)).map(processor).collect())
    }

    /// Threads.
    #[must_use]
    pub fn logical(&self) -> usize {
        self.0.len()
    }

    /// Cores.
    #[must_use]
    pub fn physical(&self) -> usize {
        self.0.iter().map(|processor| processor.core).collect::<BTreeSet<_>>().len()
    }

    /// Cores made for speed and cores made for saving power; zeros where all are alike.
    #[must_use]
    pub fn by_kind(&self) -> (usize, usize) {
        let count = |kind| {
            let of_kind = self.0.iter().filter(|processor| processor.kind == Some(kind));
            of_kind.map(|processor| processor.core).collect::<BTreeSet<_>>().len()
        };
        match (count(CoreKind::Performance), count(CoreKind::Efficiency)) {
            (_, 0) | (0, _) => (0, 0),
            both => both,
        }
    }
}

/// Numbers of a list such as `0-3,8,10-11`; an empty list has none. `None` where it is no list, or one of more than 65,536 numbers.
#[must_use]
pub fn parse_list(text: &str) -> Option<Vec<usize>> {
    const MOST: usize = 1 << 16;
    let mut numbers = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        if last < first || last - first >= MOST || numbers.len() + (last - first) >= MOST {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(parse_list("0-3,8,10-11\n"), Some(vec![0, 1, 2, 3, 8, 10, 11]));
        assert_eq!(parse_list("\n"), Some(vec![]));
        for bad in ["a", "3-1", "0-", "-1", "0-99999999999", "1-70000"] {
            assert_eq!(parse_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn siblings_are_one_core() {
        let set = CoreSet::new(&[vec![0, 2], vec![1, 3], vec![2, 0]], &BTreeMap::new());
        assert_eq!((set.logical(), set.physical(), set.by_kind()), (4, 2, (0, 0)));
    }

    #[test]
    fn kinds_count_cores_and_not_threads() {
        let kinds =
            [(0, CoreKind::Performance), (1, CoreKind::Performance), (2, CoreKind::Efficiency)].into();
        let set = CoreSet::new(&[vec![0, 1], vec![2]], &kinds);
        assert_eq!((set.logical(), set.physical(), set.by_kind()), (3, 2, (1, 1)));
        let alike = CoreSet::new(&[vec![0, 1]], &[(0, CoreKind::Efficiency)].into());
        assert_eq!(alike.by_kind(), (0, 0));
    }

    #[test]
    fn counts_without_a_map_make_a_set() {
        let set = CoreSet::counted(4, 6, 10);
        assert_eq!((set.logical(), set.physical(), set.by_kind()), (10, 10, (4, 6)));
        let set = CoreSet::counted(8, 0, 16);
        assert_eq!((set.logical(), set.physical(), set.by_kind()), (16, 8, (0, 0)));
    }
}
