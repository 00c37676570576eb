//! Pieces of text that are made to take long when they are repeated: beginnings that never come to an end, packed text,
//! marks, and words that set off a search. Tests and the benchmark fill a megabyte with each.

/// The pieces.
pub const PIECES: &[&str] = &[
    "ignore ",
    "ignore all the ",
    "a@",
    "aaaa",
    "1234 ",
    "4111",
    "eyJ",
    "sk-",
    "password = ",
    "((((",
    "DE89",
    "\u{200b}",
    "é\u{301}",
    "i g ",
    "%69",
    "aWdub3Jl",
    ".- ",
    "01101001 ",
    "=\n",
    "&#",
    "<~",
    "begin ",
    "-----BEGIN ",
    "\u{e0041}",
    "erongi ",
    "ghp_",
    "1a",
    "I L L 1",
];

/// A text of at most a megabyte that repeats a piece.
pub fn megabyte(piece: &str) -> String {
    piece.repeat((1 << 20) / piece.len())
}
