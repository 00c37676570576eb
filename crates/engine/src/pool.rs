//! Hands out blocks of the KV cache and remembers what full ones hold. Bookkeeping only: no tensors, no clock.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use torchless_base::{BlockCopy, BlockId, TokenId};

/// What a full block holds: its tokens, and through its predecessor all tokens before them. Never used twice, so
/// that equal ids mean equal sequences of tokens, not merely equal hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Content(u64);

impl Content {
    /// What stands before the first block of a sequence: nothing.
    pub const NONE: Self = Self(0);
    /// The same before a sequence beyond the runner's turning point: its blocks hold something else.
    pub const NONE_BEYOND: Self = Self(1);
}

/// Where to look for a block: what comes before it, and a hash of its tokens. A hit is compared token by token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    before: Content,
    hash: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sealed {
    key: Key,
    content: Content,
}

#[derive(Clone, Copy, Debug)]
struct Meta {
    /// Sequences that use the block; free at 0.
    users: u32,
    sealed: Option<Sealed>,
    /// Neighbours in the list of free blocks.
    prev: u32,
    next: u32,
}

const END: u32 = u32::MAX;

/// Blocks with counts of their users. A full block can be *sealed*: found again by what it holds, also after its
/// last user released it, until it is handed out anew. Free blocks without content go first, then those that
/// have been free for longest.
///
/// After [`BlockPool::new`] nothing allocates.
#[derive(Debug)]
pub struct BlockPool {
    block_len: usize,
    meta: Vec<Meta>,
    /// Tokens of sealed blocks, `[blocks, block_len]`.
    tokens: Vec<TokenId>,
    index: HashMap<Key, BlockId>,
    first_free: u32,
    last_free: u32,
    free: usize,
    contents: u64,
}

impl BlockPool {
    /// A pool of `blocks` free blocks, each for `block_len` positions.
    ///
    /// # Panics
    /// If there are 2^32 blocks or more.
    pub fn new(blocks: usize, block_len: usize) -> Self {
        assert!(blocks < END as usize, "a pool has fewer than 2^32 blocks");
        let mut pool = Self {
            block_len,
            meta: vec![Meta { users: 0, sealed: None, prev: END, next: END }; blocks],
            tokens: vec![TokenId(0); blocks * block_len],
            // Twice the room that is ever filled lets the map clear its tombstones in place.
            index: HashMap::with_capacity(2 * blocks + 2),
            first_free: END,
            last_free: END,
            free: 0,
            contents: Content::NONE_BEYOND.0,
        };
        for block in (0..blocks).rev() {
            pool.link_first(block as u32);
        }
        pool
    }

    /// Positions in a block.
    pub fn block_len(&self) -> usize {
        self.block_len
    }

    /// Blocks that no one uses.
    pub fn free(&self) -> usize {
        self.free
    }

    /// A block with one user and nothing in it; none if all are in use.
    pub fn allocate(&mut self) -> Option<BlockId> {
        let block = self.first_free;
        if block == END {
            return None;
        }
        self.unlink(block);
        self.forget(block);
        self.meta[block as usize].users = 1;
        Some(BlockId(block))
    }

    /// Whether a block has more than one user.
    pub fn is_shared(&self, block: BlockId) -> bool {
        self.meta[block.index()].users > 1
    }

    /// One more user for a block, which may be a free one that [`BlockPool::find`] returned.
    pub fn share(&mut self, block: BlockId) {
        if self.meta[block.index()].users == 0 {
            self.unlink(block.0);
        }
        self.meta[block.index()].users += 1;
    }

    /// One user less. Who releases a sequence does so from its last block to its first: then a block is handed
    /// out anew before those that lead to it.
    ///
    /// # Panics
    /// If the block has no user.
    pub fn release(&mut self, block: BlockId) {
        let meta = &mut self.meta[block.index()];
        assert!(meta.users > 0, "block {block} is released more often than it was taken");
        meta.users -= 1;
        if meta.users == 0 {
            if meta.sealed.is_some() { self.link_last(block.0) } else { self.link_first(block.0) }
        }
    }

    /// A block in place of `block` that its user may write into: itself where no one else uses it (its seal is
    /// broken), else a new one and the copy to make. None, and nothing changed, if that takes a block and none
    /// is free.
    pub fn writable(&mut self, block: BlockId) -> Option<(BlockId, Option<BlockCopy>)> {
        if self.meta[block.index()].users == 1 {
            self.forget(block.0);
            return Some((block, None));
        }
        let to = self.allocate()?;
        self.release(block);
        Some((to, Some(BlockCopy { from: block, to })))
    }

    /// The block that holds `tokens` after `before`, and its content. It has no new user yet.
    pub fn find(&self, before: Content, tokens: &[TokenId]) -> Option<(BlockId, Content)> {
        let &block = self.index.get(&key(before, tokens))?;
        let sealed = self.meta[block.index()].sealed?;
        (self.tokens_of(block) == tokens).then_some((block, sealed.content))
    }

    /// Records that `block` is full, with `tokens` after `before`. Returns its content and the block to use from
    /// now on: where another block already holds the same, that one, and `block` is released.
    ///
    /// # Panics
    /// If `tokens` does not fill a block.
    pub fn seal(&mut self, block: BlockId, before: Content, tokens: &[TokenId]) -> (BlockId, Content) {
        assert_eq!(tokens.len(), self.block_len, "only full blocks are sealed");
        if let Some((same, content)) = self.find(before, tokens) {
            if same != block {
                self.share(same);
                self.release(block);
            }
            return (same, content);
        }
        self.contents += 1;
        let content = Content(self.contents);
        let key = key(before, tokens);
        // Two different contents under one key: the first stays, the second is merely not found again.
        if !self.index.contains_key(&key) {
            self.forget(block.0);
            let at = block.index() * self.block_len;
            self.tokens[at..at + self.block_len].copy_from_slice(tokens);
            self.index.insert(key, block);
            self.meta[block.index()].sealed = Some(Sealed { key, content });
        }
        (block, content)
    }

    /// Breaks every seal: nothing that was computed so far is found again.
    pub fn forget_all(&mut self) {
        for block in 0..self.meta.len() {
            self.forget(block as u32);
        }
    }

    fn tokens_of(&self, block: BlockId) -> &[TokenId] {
        &self.tokens[block.index() * self.block_len..][..self.block_len]
    }

    fn forget(&mut self, block: u32) {
        if let Some(sealed) = self.meta[block as usize].sealed.take() {
            self.index.remove(&sealed.key);
        }
    }

    fn link_first(&mut self, block: u32) {
        let next = std::mem::replace(&mut self.first_free, block);
        self.link(block, END, next);
    }

    fn link_last(&mut self, block: u32) {
        let prev = std::mem::replace(&mut self.last_free, block);
        self.link(block, prev, END);
    }

    fn link(&mut self, block: u32, prev: u32, next: u32) {
        let meta = &mut self.meta[block as usize];
        (meta.prev, meta.next) = (prev, next);
        if prev == END {
            self.first_free = block
        } else {
            self.meta[prev as usize].next = block
        }
        if next == END {
            self.last_free = block
        } else {
            self.meta[next as usize].prev = block
        }
        self.free += 1;
    }

    fn unlink(&mut self, block: u32) {
        let Meta { prev, next, .. } = self.meta[block as usize];
        if prev == END {
            self.first_free = next
        } else {
            self.meta[prev as usize].next = next
        }
        if next == END {
            self.last_free = prev
        } else {
            self.meta[next as usize].prev = prev
        }
        self.free -= 1;
    }
}

fn key(before: Content, tokens: &[TokenId]) -> Key {
    let mut hasher = DefaultHasher::new();
    tokens.hash(&mut hasher);
    Key { before, hash: hasher.finish() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use torchless_sampler::Rng;

    const LEN: usize = 2;

    fn tokens(of: u64) -> [TokenId; LEN] {
        [TokenId(of as u32), TokenId(of as u32 + 1)]
    }

    /// Every block is free or used, exactly once, and the index names what is sealed and nothing else.
    fn account(pool: &BlockPool, uses: &[u32]) {
        let mut listed = vec![false; uses.len()];
        let (mut at, mut prev) = (pool.first_free, END);
        while at != END {
            assert!(!std::mem::replace(&mut listed[at as usize], true), "block {at} is listed twice");
            assert_eq!(pool.meta[at as usize].prev, prev);
            (prev, at) = (at, pool.meta[at as usize].next);
        }
        assert_eq!(pool.last_free, prev);
        assert_eq!(pool.free, listed.iter().filter(|&&l| l).count());
        for (block, &n) in uses.iter().enumerate() {
            assert_eq!(pool.meta[block].users, n, "block {block}");
            assert_eq!(listed[block], n == 0, "block {block}");
        }
        let sealed = pool.meta.iter().filter(|meta| meta.sealed.is_some()).count();
        assert_eq!(pool.index.len(), sealed);
        for (key, block) in &pool.index {
            assert_eq!(pool.meta[block.index()].sealed.map(|s| s.key), Some(*key));
        }
    }

    /// Random operations against a plain count of users.
    #[test]
    fn nothing_leaks() {
        for seed in 0..60 {
            let mut rng = Rng::new(seed);
            let blocks = 1 + (rng.next_u64() % 9) as usize;
            let mut pool = BlockPool::new(blocks, LEN);
            let mut uses = vec![0u32; blocks];
            let mut held: Vec<BlockId> = Vec::new();
            for _ in 0..300 {
                let at = |n: usize, rng: &mut Rng| (rng.next_u64() % n as u64) as usize;
                match rng.next_u64() % 5 {
                    0 => match pool.allocate() {
                        Some(block) => {
                            assert_eq!(std::mem::replace(&mut uses[block.index()], 1), 0);
                            held.push(block);
                        }
                        None => assert!(uses.iter().all(|&n| n > 0)),
                    },
                    1 if !held.is_empty() => {
                        let block = held.swap_remove(at(held.len(), &mut rng));
                        pool.release(block);
                        uses[block.index()] -= 1;
                    }
                    2 => {
                        if let Some((block, _)) = pool.find(Content::NONE, &tokens(rng.next_u64() % 4)) {
                            pool.share(block);
                            uses[block.index()] += 1;
                            held.push(block);
                        }
                    }
                    3 if !held.is_empty() => {
                        let i = at(held.len(), &mut rng);
                        if let Some((block, copy)) = pool.writable(held[i]) {
                            assert_eq!(copy.is_some(), uses[held[i].index()] > 1);
                            uses[held[i].index()] -= 1;
                            uses[block.index()] += 1;
                            held[i] = block;
                        }
                    }
                    4 if !held.is_empty() => {
                        let i = at(held.len(), &mut rng);
                        if uses[held[i].index()] == 1 {
                            let (block, _) = pool.writable(held[i]).unwrap();
                            let (now, _) = pool.seal(block, Content::NONE, &tokens(rng.next_u64() % 4));
                            uses[held[i].index()] -= 1;
                            uses[now.index()] += 1;
                            held[i] = now;
                        }
                    }
                    _ => {}
                }
                account(&pool, &uses);
            }
            held.drain(..).for_each(|block| pool.release(block));
            assert_eq!(pool.free(), blocks);
        }
    }

    #[test]
    fn a_sealed_block_is_found_until_it_is_handed_out_anew() {
        let mut pool = BlockPool::new(3, LEN);
        let [a, b] = std::array::from_fn(|_| pool.allocate().unwrap());
        let (_, first) = pool.seal(a, Content::NONE, &tokens(1));
        let (_, second) = pool.seal(b, first, &tokens(5));
        assert_eq!(pool.find(Content::NONE, &tokens(1)), Some((a, first)));
        assert_eq!(pool.find(first, &tokens(5)), Some((b, second)));
        assert_eq!(pool.find(Content::NONE, &tokens(5)), None);
        pool.release(b);
        pool.release(a);
        assert_eq!(pool.find(first, &tokens(5)), Some((b, second)));
        // The empty block goes first, then the end of the chain, then its start.
        assert_ne!(pool.allocate(), Some(b));
        assert_eq!(pool.allocate(), Some(b));
        assert_eq!(pool.find(first, &tokens(5)), None);
        assert_eq!(pool.find(Content::NONE, &tokens(1)), Some((a, first)));
        assert_eq!((pool.allocate(), pool.allocate()), (Some(a), None));
        assert_eq!(pool.find(Content::NONE, &tokens(1)), None);
    }

    #[test]
    fn equal_content_is_kept_once() {
        let mut pool = BlockPool::new(2, LEN);
        let [a, b] = std::array::from_fn(|_| pool.allocate().unwrap());
        let (kept, content) = pool.seal(a, Content::NONE, &tokens(1));
        assert_eq!(pool.seal(b, Content::NONE, &tokens(1)), (kept, content));
        assert_eq!((kept, pool.free()), (a, 1));
        let (copy, made) = pool.writable(a).unwrap();
        assert_eq!(made, Some(BlockCopy { from: a, to: b }));
        assert_eq!(pool.writable(a), Some((a, None)));
        assert_eq!(pool.find(Content::NONE, &tokens(1)), None, "written into, so no longer what it was");
        assert_eq!(copy, b);
    }

    #[test]
    fn blocks_whose_hashes_collide_are_told_apart() {
        let mut pool = BlockPool::new(2, LEN);
        let [a, b] = std::array::from_fn(|_| pool.allocate().unwrap());
        let (_, first) = pool.seal(a, Content::NONE, &tokens(1));
        // As if other tokens had the hash of these.
        pool.tokens[a.index() * LEN] = TokenId(99);
        assert_eq!(pool.find(Content::NONE, &tokens(1)), None);
        let (kept, second) = pool.seal(b, Content::NONE, &tokens(1));
        assert_eq!(kept, b);
        assert_ne!(first, second);
        account(&pool, &[1, 1]);
    }

    #[test]
    fn forgetting_keeps_the_users() {
        let mut pool = BlockPool::new(2, LEN);
        let a = pool.allocate().unwrap();
        pool.seal(a, Content::NONE, &tokens(1));
        pool.forget_all();
        assert_eq!(pool.find(Content::NONE, &tokens(1)), None);
        account(&pool, &[1, 0]);
    }
}
