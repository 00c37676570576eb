//! Lists of launches that came before, and the graphs that were made of those that came twice.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::api::Handle;
use crate::driver::{Arg, Launch, MemoryId};

/// Launches of the lists that are remembered: of some twenty steps. Where layers are shared by devices, a step is many short lists.
const KEPT: usize = 8192;
/// Shorter lists start as quickly by themselves.
const SHORTEST: usize = 4;

/// What to do with a list.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Start its kernels.
    Run,
    /// It came before: make a graph of it.
    Capture,
    /// Start its graph.
    Replay(Handle),
}

struct Entry {
    hash: u64,
    list: Vec<Launch>,
    graph: Option<Handle>,
    /// Graphs of this list were refused.
    refused: bool,
}

/// The lists, the one that was used last at the end.
#[derive(Default)]
pub struct Graphs {
    entries: Vec<Entry>,
    /// Graphs of lists that were forgotten, for their owner to destroy.
    pub forgotten: Vec<Handle>,
}

impl Graphs {
    /// What to do with this list.
    pub fn find(&mut self, list: &[Launch]) -> Found {
        if list.len() < SHORTEST {
            return Found::Run;
        }
        let hash = hash(list);
        let Some(at) = self.entries.iter().position(|entry| entry.hash == hash && entry.list == list) else {
            self.remember(Entry { hash, list: list.to_vec(), graph: None, refused: false });
            return Found::Run;
        };
        let entry = self.entries.remove(at);
        let found = match entry.graph {
            Some(graph) => Found::Replay(graph),
            None if entry.refused => Found::Run,
            None => Found::Capture,
        };
        self.entries.push(entry);
        found
    }

    /// Keeps the graph of the list that was found last, or that there is none.
    pub fn keep(&mut self, graph: Option<Handle>) {
        if let Some(entry) = self.entries.last_mut() {
            entry.graph = graph;
            entry.refused = graph.is_none();
        }
    }

    /// Forgets lists that mention a memory.
    pub fn forget(&mut self, memory: MemoryId) {
        let mentions =
            |entry: &Entry| entry.list.iter().any(|launch| launch.args.contains(&Arg::Memory(memory)));
        for entry in self.entries.extract_if(.., |entry| mentions(entry)) {
            self.forgotten.extend(entry.graph);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.forgotten.extend(self.entries.drain(..).filter_map(|entry| entry.graph));
    }

    fn remember(&mut self, entry: Entry) {
        self.entries.push(entry);
        let mut launches: usize = self.entries.iter().map(|entry| entry.list.len()).sum();
        let mut oldest = 0;
        while launches > KEPT && oldest + 1 < self.entries.len() {
            launches -= self.entries[oldest].list.len();
            oldest += 1;
        }
        self.forgotten.extend(self.entries.drain(..oldest).filter_map(|entry| entry.graph));
    }
}

fn hash(list: &[Launch]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for launch in list {
        (launch.kernel, launch.groups, launch.threads, launch.local).hash(&mut hasher);
        for arg in &launch.args {
            match arg {
                Arg::Memory(memory) => memory.hash(&mut hasher),
                Arg::Int(value) => value.hash(&mut hasher),
                Arg::Float(value) => value.to_bits().hash(&mut hasher),
            }
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::KernelId;

    fn list(last: Arg) -> Vec<Launch> {
        let launch = |arg| Launch {
            kernel: KernelId(1),
            groups: [1; 3],
            threads: [32, 1, 1],
            local: 0,
            args: vec![Arg::Memory(MemoryId(7)), arg],
        };
        (0..SHORTEST).map(|i| launch(if i + 1 == SHORTEST { last } else { Arg::Int(1) })).collect()
    }

    fn graph(number: usize) -> Handle {
        std::ptr::without_provenance_mut(number)
    }

    #[test]
    fn a_list_runs_then_is_captured_then_replayed() {
        let mut graphs = Graphs::default();
        assert_eq!(graphs.find(&list(Arg::Int(5))), Found::Run);
        assert_eq!(graphs.find(&list(Arg::Int(5))), Found::Capture);
        graphs.keep(Some(graph(8)));
        assert_eq!(graphs.find(&list(Arg::Int(6))), Found::Run);
        assert_eq!(graphs.find(&list(Arg::Float(5.0))), Found::Run);
        assert_eq!(graphs.find(&list(Arg::Int(5))), Found::Replay(graph(8)));
    }

    #[test]
    fn a_list_without_a_graph_is_not_captured_again() {
        let mut graphs = Graphs::default();
        graphs.find(&list(Arg::Int(5)));
        graphs.find(&list(Arg::Int(5)));
        graphs.keep(None);
        assert_eq!(graphs.find(&list(Arg::Int(5))), Found::Run);
    }

    #[test]
    fn short_lists_stay_as_they_are() {
        let mut graphs = Graphs::default();
        let short = &list(Arg::Int(5))[1..];
        assert_eq!(graphs.find(short), Found::Run);
        assert_eq!(graphs.find(short), Found::Run);
    }

    #[test]
    fn what_was_used_longest_ago_is_forgotten_first() {
        let mut graphs = Graphs::default();
        for number in 0..2 {
            graphs.find(&list(Arg::Int(number)));
            graphs.find(&list(Arg::Int(number)));
            graphs.keep(Some(graph(1 + number as usize)));
        }
        graphs.find(&list(Arg::Int(0)));
        for number in 2..(KEPT / SHORTEST) as i32 {
            graphs.find(&list(Arg::Int(number)));
        }
        assert!(graphs.forgotten.is_empty());
        graphs.find(&list(Arg::Int(-1)));
        assert_eq!(graphs.forgotten, [graph(2)]);
        assert_eq!(graphs.find(&list(Arg::Int(0))), Found::Replay(graph(1)));
    }

    #[test]
    fn a_graph_goes_with_the_memory_it_mentions() {
        let mut graphs = Graphs::default();
        graphs.find(&list(Arg::Memory(MemoryId(9))));
        graphs.find(&list(Arg::Memory(MemoryId(9))));
        graphs.keep(Some(graph(3)));
        graphs.forget(MemoryId(8));
        assert!(graphs.forgotten.is_empty());
        graphs.forget(MemoryId(9));
        assert_eq!(graphs.forgotten, [graph(3)]);
        assert_eq!(graphs.find(&list(Arg::Memory(MemoryId(9)))), Found::Run);
    }
}
