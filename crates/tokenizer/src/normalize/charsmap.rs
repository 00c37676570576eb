//! The precompiled character map of SentencePiece: a double array that leads from pieces of text to what
//! replaces them. Comes from strangers, so a walk that leaves the array ends there.
//!
//! Layout: the length of the array in bytes (`u32`), the array of `u32`, then all replacements, each with a zero
//! byte behind it. A unit has its label in bits 0-7, bit 8 says that a value stands at the next place, bits 9-30
//! lead to that place; a unit with bit 31 is a value. As in the library darts-clone.

use unicode_segmentation::UnicodeSegmentation;

use super::ascii_runs;
use crate::TokenizerError;

/// Longest replacement in bytes; the longest of Unicode's own forms has 33.
const MAX_REPLACEMENT: usize = 256;
/// Clusters of this many bytes or more are replaced character by character.
const CLUSTER: usize = 6;

/// A character map.
#[derive(Debug, Clone)]
pub(crate) struct Charsmap {
    units: Vec<u32>,
    replacements: String,
    /// Whether the ASCII character alone is replaced.
    replaces: [bool; 128],
    longest: usize,
}

impl Charsmap {
    /// Reads the blob of a model.
    ///
    /// # Errors
    /// One that is cut off, whose replacements are no text, or whose values lead out of them.
    pub(crate) fn new(blob: &[u8]) -> Result<Self, TokenizerError> {
        let bad = |why| TokenizerError::Charsmap { why };
        let (size, rest) = blob.split_first_chunk::<4>().ok_or(bad("it has fewer than 4 bytes"))?;
        let size = u32::from_le_bytes(*size) as usize;
        let array = rest.get(..size).ok_or(bad("its table is longer than the whole"))?;
        if !size.is_multiple_of(4) || size == 0 {
            return Err(bad("the length of its table is no multiple of 4, or is 0"));
        }
        let units: Vec<u32> = array.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        let replacements =
            String::from_utf8(rest[size..].to_vec()).map_err(|_| bad("its replacements are not UTF-8"))?;
        let leads_out = |unit: &&u32| **unit >> 31 == 1 && replacements.get(value(**unit)..).is_none();
        if units.iter().any(|unit| leads_out(&unit)) {
            return Err(bad("a value leads out of its replacements"));
        }
        let longest = replacements.split('\0').map(str::len).max().unwrap_or(0);
        if longest > MAX_REPLACEMENT {
            let what = "bytes of a replacement of precompiled_charsmap";
            return Err(TokenizerError::TooMany { what, found: longest, limit: MAX_REPLACEMENT });
        }
        let mut map = Self { units, replacements, replaces: [false; 128], longest };
        for byte in 0..128_u8 {
            map.replaces[byte as usize] = map.shortest(&[byte]).is_some();
        }
        Ok(map)
    }

    /// By what factor a text can grow, at most. What is replaced is looked up where it has one or two bytes; the long replacements of
    /// Unicode's own forms are for characters of three.
    pub(crate) fn growth(&self) -> usize {
        let ascii = || (0..0x80_u8).map(char::from);
        let pairs = ascii().flat_map(|first| ascii().map(move |second| format!("{first}{second}")));
        let chars = ('\u{80}'..'\u{800}').map(String::from);
        let mut growth = self.longest.div_ceil(3).max(1);
        for text in pairs.chain(chars) {
            self.prefixes(text.as_bytes(), |len, replacement| {
                growth = growth.max(replacement.len().div_ceil(len));
                true
            });
        }
        growth
    }

    /// Calls `found` with the length and the replacement of each prefix of `text` that has one.
    fn prefixes<'m>(&'m self, text: &[u8], mut found: impl FnMut(usize, &'m str) -> bool) {
        let unit = |place: usize| self.units.get(place).copied();
        let Some(root) = unit(0) else { return };
        let mut place = offset(root);
        for (at, &byte) in text.iter().enumerate() {
            place ^= byte as usize;
            let Some(next) =
                unit(place).filter(|next| byte != 0 && next & (1 << 31 | 0xFF) == u32::from(byte))
            else {
                return;
            };
            place ^= offset(next);
            if next >> 8 & 1 == 1 {
                let Some(replacement) = unit(place).and_then(|unit| self.replacements.get(value(unit)..))
                else {
                    return;
                };
                let end = replacement.find('\0').unwrap_or(replacement.len());
                if !found(at + 1, &replacement[..end]) {
                    return;
                }
            }
        }
    }

    fn shortest(&self, text: &[u8]) -> Option<&str> {
        let mut first = None;
        self.prefixes(text, |_, replacement| {
            first = Some(replacement);
            false
        });
        first
    }

    /// The longest prefix of `text` that is replaced, and by what.
    pub(super) fn longest(&self, text: &[u8]) -> Option<(usize, &str)> {
        let mut last = None;
        self.prefixes(text, |len, replacement| {
            last = Some((len, replacement));
            true
        });
        last
    }

    pub(super) fn replaces_ascii(&self, byte: u8) -> bool {
        self.replaces.get(byte as usize).copied().unwrap_or(true)
    }

    /// Rewrites `text` as the `Precompiled` of tokenizer.json does: short clusters of characters as a whole, by
    /// the shortest entry that they begin with, all others character by character.
    pub(super) fn by_cluster(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for (run, is_ascii) in ascii_runs(text) {
            // A carriage return and what follows are one cluster.
            if is_ascii && !run.contains('\r') {
                self.ascii(run, &mut out);
            } else {
                run.graphemes(true).for_each(|cluster| self.cluster(cluster, &mut out));
            }
        }
        out
    }

    fn ascii(&self, run: &str, out: &mut String) {
        let mut done = 0;
        for (at, byte) in run.bytes().enumerate().filter(|(_, byte)| self.replaces[*byte as usize]) {
            out.push_str(&run[done..at]);
            out.push_str(self.shortest(&[byte]).unwrap_or_default());
            done = at + 1;
        }
        out.push_str(&run[done..]);
    }

    fn cluster(&self, cluster: &str, out: &mut String) {
        if cluster.len() < CLUSTER
            && let Some(replacement) = self.shortest(cluster.as_bytes())
        {
            return out.push_str(replacement);
        }
        for c in cluster.chars() {
            let mut buffer = [0; 4];
            let utf8 = c.encode_utf8(&mut buffer);
            out.push_str(self.shortest(utf8.as_bytes()).unwrap_or(utf8));
        }
    }
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize
}

fn value(unit: u32) -> usize {
    (unit & !(1 << 31)) as usize
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::testing::Random;

    /// A blob that replaces single bytes: the root leads to places 256 and up, each label with a value behind it.
    pub(crate) fn blob(entries: &[(u8, &str)]) -> Vec<u8> {
        let mut units = vec![0_u32; 1024];
        // Places of the root's children are 256 ^ label, those of their values 512 + 256 above.
        units[0] = 256 << 10;
        let mut replacements = String::new();
        for &(label, to) in entries {
            let place = 256 ^ usize::from(label);
            let at = 768 ^ usize::from(label);
            units[place] = u32::from(label) | 1 << 8 | ((place ^ at) as u32) << 10;
            units[at] = 1 << 31 | replacements.len() as u32;
            replacements += to;
            replacements.push('\0');
        }
        let mut blob = (units.len() as u32 * 4).to_le_bytes().to_vec();
        blob.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        blob.extend(replacements.bytes());
        blob
    }

    #[test]
    fn entries_are_replaced() {
        let map = Charsmap::new(&blob(&[(b'A', "a"), (b'\t', " "), (b'&', "and"), (1, "")])).unwrap();
        assert_eq!(map.by_cluster("A\tB & \u{1}é\r\nA"), "a B and é\r\na");
        assert_eq!(map.longest(b"Ab"), Some((1, "a")));
        assert_eq!(map.longest(b"b"), None);
        assert_eq!(map.growth(), 3);
        // A short cluster goes as a whole, even where only its first character is known.
        assert_eq!(map.by_cluster("A\u{301}"), "a");
        assert_eq!(map.by_cluster("A\u{301}\u{302}\u{303}"), "a\u{301}\u{302}\u{303}");
    }

    #[test]
    fn broken_maps_are_refused() {
        let refused = |blob: &[u8]| Charsmap::new(blob).unwrap_err().to_string();
        assert!(refused(&[1, 2, 3]).contains("fewer than 4 bytes"));
        assert!(refused(&[8, 0, 0, 0, 1]).contains("longer than the whole"));
        assert!(refused(&[0, 0, 0, 0]).contains("multiple of 4"));
        assert!(refused(&[4, 0, 0, 0, 9, 0, 0, 0x80, b'a']).contains("leads out"));
        assert!(refused(&[4, 0, 0, 0, 0, 0, 0, 0, 0xFF]).contains("UTF-8"));
        assert!(refused(&blob(&[(b'x', &"y".repeat(257))])).contains("limit of 256"));
    }

    #[test]
    fn garbage_leads_nowhere() {
        let mut random = Random::new(19);
        let good = blob(&[(b'A', "a"), (b'b', "bb"), (0xC3, "é")]);
        for _ in 0..2000 {
            let mut bad = good.clone();
            for _ in 0..1 + random.below(8) {
                let at = 4 + random.below(bad.len() - 4);
                bad[at] = random.below(256) as u8;
            }
            if let Ok(map) = Charsmap::new(&bad) {
                assert!(map.by_cluster("Ab é x\r\n").len() < 4000);
                map.longest("éAb".as_bytes());
            }
        }
    }
}
