//! The table of `GetLogicalProcessorInformationEx`: records of a kind and a size.

use crate::cores::{CoreKind, CoreSet, LogicalProcessor};
use crate::machine::{Cache, CacheKind, NumaNode};
use std::collections::BTreeMap;

/// What the table says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processors {
    /// Cores.
    pub cores: CoreSet,
    /// Caches.
    pub caches: Vec<Cache>,
    /// Nodes; their memory is not in the table.
    pub numa: Vec<NumaNode>,
}

const CORE: u32 = 0;
const NODE: u32 = 1;
const CACHE: u32 = 2;
/// Processors of a group.
const GROUP: usize = 64;

/// Reads the table; it ends where a record does not fit.
#[must_use]
pub fn parse_processors(table: &[u8]) -> Processors {
    let mut cores: Vec<(u8, Vec<usize>)> = Vec::new();
    let mut caches: BTreeMap<(u8, CacheKind, u64), usize> = BTreeMap::new();
    let mut numa = Vec::new();
    let mut rest = table;
    while let (Some(kind), Some(size)) = (u32_at(rest, 0), u32_at(rest, 4)) {
        let Some((record, after)) = rest.split_at_checked(size as usize).filter(|_| size >= 8) else { break };
        let body = &record[8..];
        match kind {
            // Flags, class, 20 bytes that are reserved, and the count of masks.
            CORE => cores.extend(class(body)),
            CACHE => {
                if let Some(cache) = cache(body) {
                    *caches.entry(cache).or_default() += 1;
                }
            }
            NODE => numa.extend(node(body)),
            _ => {}
        }
        rest = after;
    }
    let caches =
        caches.into_iter().map(|((level, kind, bytes), instances)| Cache { level, kind, bytes, instances });
    Processors { cores: core_set(&cores), caches: caches.collect(), numa }
}

fn class(body: &[u8]) -> Option<(u8, Vec<usize>)> {
    let count = u16_at(body, 22)?;
    Some((*body.get(1)?, masks(body, 24, count)))
}

/// Level, associativity, line, size, kind.
fn cache(body: &[u8]) -> Option<(u8, CacheKind, u64)> {
    let kind = match u32_at(body, 8)? {
        0 => CacheKind::Unified,
        1 => CacheKind::Instruction,
        2 => CacheKind::Data,
        _ => return None,
    };
    Some((*body.first()?, kind, u64::from(u32_at(body, 4)?)))
}

fn node(body: &[u8]) -> Option<NumaNode> {
    // Before Windows 11 the count is zero and one mask follows.
    let count = u16_at(body, 22)?.max(1);
    Some(NumaNode { number: u32_at(body, 0)? as usize, processors: masks(body, 24, count), memory: 0 })
}

/// Processors of masks, each a word of bits, the number of the group and six bytes that are reserved.
fn masks(body: &[u8], at: usize, count: u16) -> Vec<usize> {
    let mut found = Vec::new();
    for i in 0..usize::from(count) {
        let start = at + i * 16;
        let (Some(bits), Some(group)) = (u64_at(body, start), u16_at(body, start + 8)) else { break };
        let set = (0..GROUP).filter(|bit| bits >> bit & 1 == 1);
        found.extend(set.map(|bit| usize::from(group) * GROUP + bit));
    }
    found
}

/// A higher class is a faster core.
fn core_set(cores: &[(u8, Vec<usize>)]) -> CoreSet {
    let lowest = cores.iter().map(|(class, _)| *class).min().unwrap_or(0);
    let mixed = cores.iter().any(|(class, _)| *class != lowest);
    let kind = |class: u8| match (mixed, class == lowest) {
        (false, _) => None,
        (true, true) => Some(CoreKind::Efficiency),
        (true, false) => Some(CoreKind::Performance),
    };
    let of_core = |(class, processors): &(u8, Vec<usize>)| {
        let (first, kind) = (processors.first().copied().unwrap_or(0), kind(*class));
        let one = move |number: &usize| LogicalProcessor { number: *number, core: first, kind };
        processors.iter().map(one).collect::<Vec<_>>()
    };
    CoreSet(cores.iter().flat_map(of_core).collect())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u32, body: &[u8]) -> Vec<u8> {
        let mut record = kind.to_le_bytes().to_vec();
        record.extend((body.len() as u32 + 8).to_le_bytes());
        record.extend(body);
        record
    }

    fn core(class: u8, group: u16, mask: u64) -> Vec<u8> {
        let mut body = vec![1, class];
        body.extend([0; 20]);
        body.extend(1u16.to_le_bytes());
        body.extend(mask.to_le_bytes());
        body.extend(group.to_le_bytes());
        body.extend([0; 6]);
        record(CORE, &body)
    }

    fn cache(level: u8, kind: u32, bytes: u32) -> Vec<u8> {
        let mut body = vec![level, 8, 64, 0];
        body.extend(bytes.to_le_bytes());
        body.extend(kind.to_le_bytes());
        body.extend([0; 40]);
        record(CACHE, &body)
    }

    #[test]
    fn cores_of_two_classes_and_caches_are_read() {
        let table = [
            core(1, 0, 0b11),
            core(1, 0, 0b1100),
            core(0, 0, 1 << 4),
            cache(1, 2, 49152),
            cache(1, 2, 49152),
        ];
        let found = parse_processors(&table.concat());
        assert_eq!((found.cores.logical(), found.cores.physical(), found.cores.by_kind()), (5, 3, (2, 1)));
        assert_eq!(found.caches, [Cache { level: 1, kind: CacheKind::Data, bytes: 49152, instances: 2 }]);
    }

    #[test]
    fn groups_number_their_processors() {
        let found = parse_processors(&[core(0, 0, 1), core(0, 1, 2)].concat());
        assert_eq!(found.cores.0.iter().map(|p| p.number).collect::<Vec<_>>(), [0, 65]);
        assert_eq!(found.cores.by_kind(), (0, 0));
    }

    #[test]
    fn a_table_that_is_cut_ends_where_it_is_cut() {
        let whole = [core(1, 0, 1), core(0, 0, 2), cache(3, 0, 1 << 20)].concat();
        for end in 0..whole.len() {
            assert!(parse_processors(&whole[..end]).cores.logical() <= 2);
        }
        let mut endless = whole.clone();
        endless[4..8].fill(0);
        assert_eq!(parse_processors(&endless), Processors::default());
    }
}
