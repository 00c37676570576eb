//! Sets of characters and the alphabet of a pattern: characters that all its sets treat alike are one symbol.

use std::collections::HashMap;

use super::{PatternError, char_len};

/// Sorted, disjoint, inclusive ranges of code points.
pub(super) type CharSet = Vec<(u32, u32)>;

const BLOCK: usize = 256;
const BLOCKS: usize = 0x11_0000 / BLOCK;
/// Symbols are stored in a byte; the end of the text is one more.
const MAX_SYMBOLS: usize = 255;

/// Reads `source`, which must stand for exactly one character, as a set.
pub(super) fn char_set(source: &str, ignore_case: bool, at: usize) -> Result<CharSet, PatternError> {
    let bad = |what: String| PatternError::Syntax { at, what };
    let hir = regex_syntax::ParserBuilder::new()
        .case_insensitive(ignore_case)
        .nest_limit(32)
        .build()
        .parse(source)
        .map_err(|error| bad(format!("class {source:?}: {}", kind_of(&error))))?;
    match hir.kind() {
        regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => {
            Ok(class.iter().map(|r| (u32::from(r.start()), u32::from(r.end()))).collect())
        }
        regex_syntax::hir::HirKind::Literal(literal) => {
            let mut chars = std::str::from_utf8(&literal.0).unwrap_or_default().chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) => Ok(vec![(u32::from(c), u32::from(c))]),
                _ => Err(bad(format!("{source:?} is not one character"))),
            }
        }
        regex_syntax::hir::HirKind::Class(_) | regex_syntax::hir::HirKind::Empty => {
            Err(bad(format!("{source:?} matches no character")))
        }
        _ => Err(bad(format!("{source:?} is not a class"))),
    }
}

fn kind_of(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        _ => "cannot be read".to_owned(),
    }
}

/// Set of symbols, the end of the text included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Symbols([u64; 4]);

impl Symbols {
    pub(super) fn insert(&mut self, symbol: usize) {
        self.0[symbol / 64] |= 1 << (symbol % 64);
    }

    pub(super) fn contains(&self, symbol: usize) -> bool {
        self.0[symbol / 64] >> (symbol % 64) & 1 == 1
    }

    /// The complement among the first `width` symbols.
    pub(super) fn complement(&self, width: usize) -> Self {
        let mut out = Self::default();
        (0..width).filter(|&s| !self.contains(s)).for_each(|s| out.insert(s));
        out
    }
}

/// Maps characters to symbols.
#[derive(Debug, Clone)]
pub(super) struct Alphabet {
    ascii: [u8; 128],
    blocks: Vec<u16>,
    cells: Vec<u8>,
    /// Number of symbols; the end of the text has this one as its own.
    end: usize,
}

impl Alphabet {
    /// The coarsest alphabet that tells the members of each set from the others, and each set in its symbols.
    pub(super) fn new(sets: &[CharSet]) -> Result<(Self, Vec<Symbols>), PatternError> {
        let mut edges: Vec<(u32, usize)> = Vec::new();
        for (index, set) in sets.iter().enumerate() {
            for &(low, high) in set {
                edges.push((low, index));
                edges.push((high + 1, index));
            }
        }
        edges.sort_unstable();

        let mut members = vec![0_u64; sets.len().div_ceil(64)];
        let mut known: HashMap<Vec<u64>, u8> = HashMap::from([(members.clone(), 0)]);
        let mut symbols = vec![Symbols::default(); sets.len()];
        let mut flat = vec![0_u8; BLOCK * BLOCKS];
        let mut edge = 0;
        while edge < edges.len() {
            let from = edges[edge].0;
            while edge < edges.len() && edges[edge].0 == from {
                let set = edges[edge].1;
                members[set / 64] ^= 1 << (set % 64);
                edge += 1;
            }
            let to = edges.get(edge).map_or(flat.len(), |e| e.0 as usize);
            let next = known.len();
            let symbol = *known.entry(members.clone()).or_insert(next.min(MAX_SYMBOLS) as u8);
            if known.len() > MAX_SYMBOLS {
                return Err(PatternError::TooLarge { limit: MAX_SYMBOLS, unit: "kinds of characters" });
            }
            (0..sets.len())
                .filter(|set| members[set / 64] >> (set % 64) & 1 == 1)
                .for_each(|set| symbols[set].insert(symbol.into()));
            flat[from as usize..to].fill(symbol);
        }
        Ok((Self::folded(&flat, known.len()), symbols))
    }

    /// Keeps each distinct block once.
    fn folded(flat: &[u8], end: usize) -> Self {
        let (mut blocks, mut cells) = (Vec::with_capacity(BLOCKS), Vec::new());
        let mut seen: HashMap<&[u8], u16> = HashMap::new();
        for block in flat.chunks_exact(BLOCK) {
            let index = *seen.entry(block).or_insert_with(|| {
                cells.extend_from_slice(block);
                (cells.len() / BLOCK - 1) as u16
            });
            blocks.push(index);
        }
        let mut ascii = [0; 128];
        ascii.copy_from_slice(&flat[..128]);
        Self { ascii, blocks, cells, end }
    }

    /// Number of symbols with the end of the text.
    pub(super) fn width(&self) -> usize {
        self.end + 1
    }

    /// The symbol for the end of the text.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    fn symbol_of(&self, code: u32) -> u8 {
        let block = self.blocks[(code as usize / BLOCK).min(BLOCKS - 1)] as usize;
        self.cells[block * BLOCK + code as usize % BLOCK]
    }

    /// Symbol and length of the character at `pos` in valid UTF-8; length 0 at the end.
    pub(super) fn symbol_at(&self, text: &[u8], pos: usize) -> (usize, usize) {
        let Some(&lead) = text.get(pos) else { return (self.end, 0) };
        if lead < 0x80 {
            return (self.ascii[lead as usize].into(), 1);
        }
        let len = char_len(lead);
        let tail = text[pos + 1..].iter().take(len - 1);
        let code =
            tail.fold(u32::from(lead) & (0x7F >> len), |code, &byte| code << 6 | u32::from(byte & 0x3F));
        (self.symbol_of(code).into(), len)
    }
}

/// Sets of characters, asked all at once.
#[derive(Debug)]
pub(crate) struct Classes {
    alphabet: Alphabet,
    members: [u8; 256],
}

impl Classes {
    /// `sets` are classes of the program's own; one that cannot be read is empty.
    pub(crate) fn new(sets: &[&str]) -> Self {
        let sets: Vec<CharSet> = sets.iter().map(|set| char_set(set, false, 0).unwrap_or_default()).collect();
        let (alphabet, symbols) = Alphabet::new(&sets)
            .unwrap_or_else(|_| (Alphabet::folded(&vec![0; BLOCK * BLOCKS], 1), Vec::new()));
        let of = |symbol| {
            let member = |(at, set): (usize, &Symbols)| u8::from(set.contains(symbol)) << at;
            symbols.iter().take(8).enumerate().map(member).fold(0, |all, one| all | one)
        };
        Self { alphabet, members: std::array::from_fn(of) }
    }

    /// Equal for characters that are in the same sets; 0 in none.
    pub(crate) fn symbol(&self, c: char) -> u8 {
        self.alphabet.symbol_of(c.into())
    }

    /// Bit `n` says whether `c` is in the set `n`, for the first eight.
    pub(crate) fn of(&self, c: char) -> u8 {
        self.members[self.alphabet.symbol_of(c.into()) as usize]
    }
}
