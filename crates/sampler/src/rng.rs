//! A seeded generator whose numbers are the same on every platform. Not for secrets.

/// xoshiro256++ (Blackman and Vigna 2018, arXiv 1805.01407), seeded through splitmix64 as its authors advise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The generator of `seed`; every seed is a good one.
    pub fn new(seed: u64) -> Self {
        let mut at = seed;
        Self { state: std::array::from_fn(|_| splitmix64(&mut at)) }
    }

    /// Continues from a state that [`Rng::state`] returned. All zeros, the one state without successors, becomes
    /// that of seed 0.
    pub fn from_state(state: [u64; 4]) -> Self {
        if state == [0; 4] { Self::new(0) } else { Self { state } }
    }

    /// The state, to continue from elsewhere.
    pub fn state(&self) -> [u64; 4] {
        self.state
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// The next number in [0, 1), a multiple of 2^-53.
    pub fn next_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

/// Steele, Lea and Flood 2014, 'Fast splittable pseudorandom number generators'.
fn splitmix64(at: &mut u64) -> u64 {
    *at = at.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *at;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sequences_come_out() {
        let mut rng = Rng::from_state([1, 2, 3, 4]);
        let first: [u64; 6] = std::array::from_fn(|_| rng.next_u64());
        let published = [
            41943041,
            58720359,
            3588806011781223,
            3591011842654386,
            9228616714210784205,
            9973669472204895162,
        ];
        assert_eq!(first, published);
        let mut at = 1234567;
        let first: [u64; 3] = std::array::from_fn(|_| splitmix64(&mut at));
        assert_eq!(first, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
    }

    #[test]
    fn a_state_continues_where_it_was_taken() {
        let mut rng = Rng::new(9);
        rng.next_u64();
        let mut copy = Rng::from_state(rng.state());
        assert_eq!(rng.next_u64(), copy.next_u64());
        assert_ne!(Rng::from_state([0; 4]).next_u64(), 0);
    }

    #[test]
    fn numbers_fill_the_unit_interval() {
        let mut rng = Rng::new(1);
        let mut tenths = [0; 10];
        for _ in 0..10_000 {
            tenths[(rng.next_f64() * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|&n| (850..1150).contains(&n)), "{tenths:?}");
    }
}
