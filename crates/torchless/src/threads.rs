//! How many threads are worth having.

use std::collections::BTreeSet;
use std::thread::available_parallelism;

/// Physical cores that this process may run on; siblings of one core add nothing to arithmetic that fills it.
pub fn default_threads() -> usize {
    let allowed = available_parallelism().map_or(1, usize::from);
    physical_cores().map_or(allowed, |cores| cores.min(allowed)).max(1)
}

/// Linux names the siblings of each logical processor.
fn physical_cores() -> Option<usize> {
    let mut cores = BTreeSet::new();
    for entry in std::fs::read_dir("/sys/devices/system/cpu").ok()? {
        let path = entry.ok()?.path().join("topology/thread_siblings_list");
        if let Ok(siblings) = std::fs::read_to_string(path) {
            cores.insert(siblings);
        }
    }
    (!cores.is_empty()).then_some(cores.len())
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_at_least_one() {
        assert!(super::default_threads() >= 1);
    }
}
