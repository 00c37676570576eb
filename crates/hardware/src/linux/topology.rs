//! Cores, caches and nodes of memory, out of `/sys/devices/system`.

use super::Files;
use crate::cores::{CoreKind, parse_list};
use crate::machine::{Cache, CacheKind, NumaNode};
use std::collections::{BTreeMap, BTreeSet};

const CPUS: &str = "/sys/devices/system/cpu";
const NODES: &str = "/sys/devices/system/node";
/// Intel's mixtures have a device for each kind.
const FAST: &str = "/sys/devices/cpu_core/cpus";
const SLOW: &[&str] = &["/sys/devices/cpu_atom/cpus", "/sys/devices/cpu_lowpower/cpus"];

/// The processors of each core.
pub fn siblings(files: &Files) -> Vec<Vec<usize>> {
    let list = |(_, name): (usize, String)| {
        let of = |file: &str| files.text(&format!("{CPUS}/{name}/topology/{file}"));
        parse_list(&of("core_cpus_list").or_else(|| of("thread_siblings_list"))?)
            .filter(|list| !list.is_empty())
    };
    files.numbered(CPUS, "cpu").into_iter().filter_map(list).collect()
}

/// What each processor's core is made for; empty where all are alike or nothing tells.
pub fn kinds(files: &Files) -> BTreeMap<usize, CoreKind> {
    let listed = |path: &str| files.text(path).and_then(|text| parse_list(&text)).unwrap_or_default();
    let slow: Vec<usize> = SLOW.iter().flat_map(|path| listed(path)).collect();
    if !slow.is_empty() {
        let fast = listed(FAST).into_iter().map(|number| (number, CoreKind::Performance));
        return fast.chain(slow.into_iter().map(|number| (number, CoreKind::Efficiency))).collect();
    }
    let capacity = |(number, name): (usize, String)| {
        Some((number, files.number::<u64>(&format!("{CPUS}/{name}/cpu_capacity"))?))
    };
    let capacities: Vec<(usize, u64)> =
        files.numbered(CPUS, "cpu").into_iter().filter_map(capacity).collect();
    let lowest = capacities.iter().map(|(_, capacity)| *capacity).min().unwrap_or(0);
    let mixed = capacities.iter().any(|(_, capacity)| *capacity != lowest);
    let kind = |capacity| if capacity == lowest { CoreKind::Efficiency } else { CoreKind::Performance };
    capacities.into_iter().filter(|_| mixed).map(|(number, capacity)| (number, kind(capacity))).collect()
}

/// Where the kinds of cores stand.
pub fn source(files: &Files) -> &'static str {
    match () {
        () if SLOW.iter().any(|path| files.exists(path)) => "/sys/devices/cpu_core",
        () if files.exists(&format!("{CPUS}/cpu0/cpu_capacity")) => "cpu_capacity",
        () => "/proc/cpuinfo",
    }
}

/// Caches, the fastest first.
pub fn caches(files: &Files) -> Vec<Cache> {
    // A cache is known by level, kind and the processors that share it: the same file stands below each of them.
    let mut found: BTreeSet<(u8, CacheKind, u64, String)> = BTreeSet::new();
    for (_, cpu) in files.numbered(CPUS, "cpu") {
        let folder = format!("{CPUS}/{cpu}/cache");
        for (_, index) in files.numbered(&folder, "index") {
            found.extend(cache(files, &format!("{folder}/{index}")));
        }
    }
    let mut alike: BTreeMap<(u8, CacheKind, u64), usize> = BTreeMap::new();
    for (level, kind, bytes, _) in found {
        *alike.entry((level, kind, bytes)).or_default() += 1;
    }
    alike
        .into_iter()
        .map(|((level, kind, bytes), instances)| Cache { level, kind, bytes, instances })
        .collect()
}

fn cache(files: &Files, folder: &str) -> Option<(u8, CacheKind, u64, String)> {
    let text = |file: &str| files.text(&format!("{folder}/{file}"));
    let kind = match text("type")?.trim() {
        "Data" => CacheKind::Data,
        "Instruction" => CacheKind::Instruction,
        "Unified" => CacheKind::Unified,
        _ => return None,
    };
    let shared = text("shared_cpu_list").unwrap_or_default();
    Some((
        files.number(&format!("{folder}/level"))?,
        kind,
        parse_size(&text("size")?)?,
        shared.trim().to_owned(),
    ))
}

/// Bytes of a size such as `48K` or `32M`.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, shift) = match text.char_indices().last()? {
        (at, 'K') => (&text[..at], 10),
        (at, 'M') => (&text[..at], 20),
        (at, 'G') => (&text[..at], 30),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Nodes of memory.
pub fn numa(files: &Files) -> Vec<NumaNode> {
    let node = |(number, name): (usize, String)| {
        let text = |file: &str| files.text(&format!("{NODES}/{name}/{file}"));
        let processors = parse_list(&text("cpulist")?)?;
        Some(NumaNode { number, processors, memory: total(&text("meminfo")?).unwrap_or(0) })
    };
    files.numbered(NODES, "node").into_iter().filter_map(node).collect()
}

/// `Node 0 MemTotal:       24684084 kB`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.contains("MemTotal:"))?;
    line.split_whitespace().rev().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("48K\n"), Some(48 << 10));
        assert_eq!(parse_size("32M"), Some(32 << 20));
        assert_eq!(parse_size("512"), Some(512));
        for bad in ["", "K", "-1K", "99999999999999999999G", "18446744073709551615K"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn memory_of_a_node_is_in_bytes() {
        assert_eq!(total("Node 0 MemTotal:       1024 kB\nNode 0 MemFree: 1 kB\n"), Some(1 << 20));
        assert_eq!(total("nothing"), None);
    }
}
