//! Remembers the ids of words, up to a bound; then forgets all and begins again.

use std::collections::HashMap;

const MAX_WORDS: usize = 1 << 16;
const MAX_IDS: usize = 1 << 19;

/// Ids by word. The hash is the seeded one of std, because words come from strangers.
#[derive(Debug, Default)]
pub(super) struct WordCache {
    places: HashMap<Box<[u8]>, (u32, u32)>,
    ids: Vec<u32>,
}

impl WordCache {
    pub(super) fn get(&self, word: &[u8]) -> Option<&[u32]> {
        let &(start, len) = self.places.get(word)?;
        Some(&self.ids[start as usize..][..len as usize])
    }

    pub(super) fn insert(&mut self, word: &[u8], ids: &[u32]) {
        if self.places.len() >= MAX_WORDS || self.ids.len() + ids.len() > MAX_IDS {
            self.places.clear();
            self.ids.clear();
        }
        self.places.insert(word.into(), (self.ids.len() as u32, ids.len() as u32));
        self.ids.extend_from_slice(ids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_bounded() {
        let mut cache = WordCache::default();
        for n in 0..3 * MAX_WORDS as u32 {
            cache.insert(&n.to_le_bytes(), &[n, n + 1]);
            assert_eq!(cache.get(&n.to_le_bytes()), Some(&[n, n + 1][..]));
        }
        assert!(cache.places.len() <= MAX_WORDS && cache.ids.len() <= MAX_IDS);
        assert_eq!(cache.get(b"none"), None);
    }
}
