//! Scores of token sequences that were seen before: the same chunk of the same document is not computed twice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use torchless_base::TokenId;

/// Logits by tokens, the oldest forgotten first. Hits are by the whole sequence, never by a hash alone.
pub(crate) struct ScoreCache {
    room: usize,
    logits: HashMap<Arc<[TokenId]>, Vec<f32>>,
    order: VecDeque<Arc<[TokenId]>>,
}

impl ScoreCache {
    /// A cache of at most `room` sequences.
    pub(crate) fn new(room: usize) -> Self {
        Self { room, logits: HashMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn get(&self, ids: &[TokenId]) -> Option<Vec<f32>> {
        self.logits.get(ids).cloned()
    }

    pub(crate) fn put(&mut self, ids: &[TokenId], logits: &[f32]) {
        if self.room == 0 || self.logits.contains_key(ids) {
            return;
        }
        if self.order.len() == self.room
            && let Some(oldest) = self.order.pop_front()
        {
            self.logits.remove(&oldest);
        }
        let ids: Arc<[TokenId]> = ids.into();
        self.order.push_back(ids.clone());
        self.logits.insert(ids, logits.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut cache = ScoreCache::new(2);
        let ids = |n: u32| [TokenId(n)];
        for n in 0..3 {
            cache.put(&ids(n), &[n as f32]);
        }
        assert_eq!(cache.get(&ids(0)), None);
        assert_eq!(cache.get(&ids(1)), Some(vec![1.0]));
        assert_eq!(cache.get(&ids(2)), Some(vec![2.0]));
    }

    #[test]
    fn a_cache_without_room_keeps_nothing() {
        let mut cache = ScoreCache::new(0);
        cache.put(&[TokenId(1)], &[1.0]);
        assert_eq!(cache.get(&[TokenId(1)]), None);
    }
}
