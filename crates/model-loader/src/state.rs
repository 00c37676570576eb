//! Saving what a context has computed, and going on from there.

use torchless_base::TokenId;

use crate::Error;
use crate::context::Context;

/// First bytes of a saved state.
const MAGIC: &[u8; 8] = b"TLLAMA1\n";

/// What a context had computed: the library's own bytes, and what they belong to.
///
/// The library trusts these bytes. Only restore states that you saved yourself: the checksum finds damage, not malice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Model, library and sizes, in words.
    belongs_to: String,
    sequences: Vec<Vec<TokenId>>,
    data: Vec<u8>,
}

impl State {
    /// Its bytes, to be stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        put(&mut bytes, self.belongs_to.as_bytes());
        bytes.extend((self.sequences.len() as u64).to_le_bytes());
        for sequence in &self.sequences {
            let ids: Vec<u8> = sequence.iter().flat_map(|token| token.0.to_le_bytes()).collect();
            put(&mut bytes, &ids);
        }
        put(&mut bytes, &self.data);
        let sum = checksum(&bytes);
        bytes.extend(sum.to_le_bytes());
        bytes
    }

    /// Reads what [`State::to_bytes`] made.
    ///
    /// # Errors
    /// The bytes are no state, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let damaged = || Error::State("its bytes are damaged".to_owned());
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| Error::State("these are not the bytes of a state".to_owned()))?;
        let sum = rest.len().checked_sub(8).ok_or_else(damaged)?;
        let (mut rest, sum) = rest.split_at(sum);
        if checksum(&bytes[..bytes.len() - 8]).to_le_bytes() != sum {
            return Err(damaged());
        }
        let belongs_to =
            String::from_utf8(take(&mut rest).ok_or_else(damaged)?.to_vec()).map_err(|_| damaged())?;
        let (count, after) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        rest = after;
        let ids = |bytes: &[u8]| {
            let words = bytes.as_chunks::<4>().0.iter();
            words.map(|&word| TokenId(u32::from_le_bytes(word))).collect::<Vec<_>>()
        };
        let mut sequences = Vec::new();
        for _ in 0..u64::from_le_bytes(*count) {
            sequences.push(ids(take(&mut rest).ok_or_else(damaged)?));
        }
        let data = take(&mut rest).ok_or_else(damaged)?.to_vec();
        Ok(Self { belongs_to, sequences, data })
    }
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend((part.len() as u64).to_le_bytes());
    bytes.extend(part);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk::<8>()?;
    let len = usize::try_from(u64::from_le_bytes(*len)).ok().filter(|&len| len <= after.len())?;
    let (part, after) = after.split_at(len);
    *rest = after;
    Some(part)
}

/// FNV-1a over words of eight bytes.
fn checksum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x100_0000_01b3);
    let sum = words.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &word| mix(sum, u64::from_le_bytes(word)));
    rest.iter().fold(sum, |sum, &byte| mix(sum, u64::from(byte)))
}

impl Context<'_> {
    /// What this context has computed so far.
    ///
    /// # Errors
    /// The library gives nothing.
    pub fn save_state(&mut self) -> Result<State, Error> {
        let f = self.f();
        // SAFETY: a live context.
        let size = unsafe { (f.state_size)(self.raw()) };
        let mut data = vec![0; size];
        // SAFETY: a live context, and room of the size that it asked for.
        let written = unsafe { (f.state_get)(self.raw(), data.as_mut_ptr(), data.len()) };
        if written == 0 || written > size {
            return Err(Error::State("llama.cpp gave none".to_owned()));
        }
        data.truncate(written);
        let sequences = (0..self.sequence_count()).map(|at| self.tokens(at as u32).to_vec()).collect();
        Ok(State { belongs_to: self.identity(), sequences, data })
    }

    /// Goes back to a saved state. Logits are not part of it: decode a token first.
    ///
    /// # Errors
    /// It was saved by another model, library or size of context. If the library fails, the context is empty.
    pub fn restore_state(&mut self, state: &State) -> Result<(), Error> {
        let identity = self.identity();
        if state.belongs_to != identity {
            return Err(Error::State(format!("it belongs to {}, and this is {identity}", state.belongs_to)));
        }
        self.clear();
        // SAFETY: a live context, and bytes with their length that a context of the same model, library and size made.
        let (read, said) = crate::logs::during(|| unsafe {
            (self.f().state_set)(self.raw(), state.data.as_ptr(), state.data.len())
        });
        if read == 0 {
            self.clear();
            return Err(Error::State(said));
        }
        self.set_sequences(state.sequences.clone());
        Ok(())
    }

    /// Everything that a state depends on, in words.
    fn identity(&self) -> String {
        let (model, limits) = (self.model(), self.limits());
        let library = model.library();
        format!(
            "'{}' of {} parameters and {} bytes with a context of {} positions, {} sequences, {} tokens a call and {:?} keys, on libllama {} with layouts {}",
            model.description(),
            model.parameter_count(),
            model.size(),
            limits.positions,
            self.sequence_count(),
            limits.batch,
            self.kv_type(),
            library.version().unwrap_or_else(|| "without a version".to_owned()),
            library.layouts(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let sequences = vec![vec![TokenId(1), TokenId(500)], vec![]];
        State { belongs_to: "a model".into(), sequences, data: (0..=255).collect() }
    }

    #[test]
    fn states_come_back_from_their_bytes() {
        assert_eq!(State::from_bytes(&state().to_bytes()).unwrap(), state());
    }

    #[test]
    fn every_damaged_byte_and_every_cut_is_found() {
        let bytes = state().to_bytes();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(State::from_bytes(&damaged).is_err(), "byte {at}");
            assert!(State::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
