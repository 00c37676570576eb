"""Text to hashed features, for training. `crates/llamafirewall-ml/src/detector/features.rs` is the same in Rust, and
`assets/guard/golden.jsonl` holds both to it. Nothing here knows labels or weights.

A text is lower-cased, whitespace becomes one space, digits become `0`, and is cut into windows of words that overlap by
half. The features of a window are the set of its hashed n-grams, in two groups: of words (1 to 3, and pairs with one word
between them) and of characters (3 to 5).
"""

import numpy as np

BUCKET_BITS = 18
WINDOW_WORDS = 48
STRIDE_WORDS = 24
LONGEST_WORD = 32
CHARACTER_GRAMS = (3, 4, 5)
GAP = 0xFFFF_FFFF

PRIME = np.uint32(0x0100_0193)
WORD, CJK, SYMBOL, SPACE = 0, 1, 2, 3

SPACES = [(0x09, 0x0D), (0x1C, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029),
          (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)]
SYMBOLS = [(0x00, 0x08), (0x0E, 0x1B), (0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x84), (0x86, 0x9F), (0xA1, 0xBF),
           (0xD7, 0xD7), (0xF7, 0xF7), (0x200B, 0x2027), (0x202A, 0x202E), (0x2030, 0x205E), (0x2060, 0x206F),
           (0x2190, 0x2BFF), (0x3001, 0x303F), (0xFE00, 0xFE6F), (0xFF00, 0xFF0F), (0xFF1A, 0xFF20), (0x1F000, 0x1FAFF)]
SINGLES = [(0x0E00, 0x0E7F), (0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)]


def _class_table() -> np.ndarray:
    table = np.full(0x110000, WORD, dtype=np.uint8)
    for kind, ranges in ((SYMBOL, SYMBOLS), (CJK, SINGLES), (SPACE, SPACES)):
        for first, last in ranges:
            table[first:last + 1] = kind
    return table


CLASS = _class_table()


def mix(h: np.ndarray) -> np.ndarray:
    """The finaliser of MurmurHash3, 32 bits."""
    h = h ^ (h >> np.uint32(16))
    h = h * np.uint32(0x85EBCA6B)
    h = h ^ (h >> np.uint32(13))
    h = h * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def seed(kind: int) -> np.uint32:
    """Where the hash of a kind of feature starts."""
    with np.errstate(over="ignore"):
        return mix(np.uint32(0x811C9DC5) + np.uint32(kind))


def codepoints(text: str) -> np.ndarray:
    """Lower-cased code points with runs of whitespace as one space and digits as `0`."""
    lowered = text.replace("\u03a3", "\u03c3").lower()
    points = np.frombuffer(lowered.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    space = CLASS[points] == SPACE
    keep = ~space
    keep[1:] |= ~space[:-1]
    if len(keep):
        keep[0] = True
    points = np.where(space, np.uint32(0x20), points)[keep]
    return np.where((points >= 0x30) & (points <= 0x39), np.uint32(0x30), points)


def words(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and length of every word: a run of letters and digits of at most LONGEST_WORD, or one CJK character."""
    kind = CLASS[points]
    is_word = kind == WORD
    change = np.flatnonzero(np.diff(np.concatenate(([0], is_word.view(np.int8), [0]))))
    runs = change.reshape(-1, 2)
    long = (runs[:, 1] - runs[:, 0]) > LONGEST_WORD
    starts, lengths = [runs[~long, 0]], [runs[~long, 1] - runs[~long, 0]]
    for first, end in runs[long]:
        cut = np.arange(first, end, LONGEST_WORD)
        starts.append(cut)
        lengths.append(np.minimum(cut + LONGEST_WORD, end) - cut)
    single = np.flatnonzero(kind == CJK)
    starts.append(single)
    lengths.append(np.ones(len(single), dtype=np.int64))
    start, length = np.concatenate(starts), np.concatenate(lengths)
    order = np.argsort(start, kind="stable")
    return start[order], length[order]


def fold(state: np.ndarray, value: np.ndarray) -> np.ndarray:
    return (state ^ value) * PRIME


def word_hashes(points: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    h = np.full(len(start), seed(0), dtype=np.uint32)
    for k in range(int(length.max()) if len(length) else 0):
        live = length > k
        h[live] = fold(h[live], points[start[live] + k])
    return mix(h)


def grams(values: np.ndarray, offsets: tuple[int, ...], kind: int) -> np.ndarray:
    """Hash of the values at these offsets, for every place where all of them exist."""
    n = len(values) - offsets[-1]
    if n <= 0:
        return np.zeros(0, dtype=np.uint32)
    h = np.full(n, seed(kind), dtype=np.uint32)
    for offset in offsets:
        h = fold(h, values[offset:offset + n])
    return mix(h)


# Marks that part the fields of an output: no sentence goes on over them. An apostrophe does so beside anything but letters.
FENCES = np.frombuffer("\"{}[]<>|\\=;\t".encode("utf-32-le"), dtype=np.uint32)
FEWEST_WORDS = 3

WORD_KINDS = (((0,), 1), ((0, 1), 2), ((0, 1, 2), 3), ((0, 2), 4))


def windows(text: str, fields: bool = False) -> list[tuple[np.ndarray, np.ndarray]]:
    """Hashes of each window, (of words, of characters), each sorted and without repetition."""
    with np.errstate(over="ignore"):
        points = codepoints(text)
        start, length = words(points)
        hashes = word_hashes(points, start, length)
        out = []
        for first, last, whole in all_spans(points, start, length, fields):
            begin, end = edges_of(points, start, length, first, last, whole)
            part = hashes[first:last]
            of_words = np.concatenate([grams(part, offsets, kind) for offsets, kind in WORD_KINDS])
            cut = points[begin:end]
            of_characters = np.concatenate([grams(cut, tuple(range(n)), 8 + n) for n in CHARACTER_GRAMS])
            out.append((np.unique(of_words >> np.uint32(32 - BUCKET_BITS)),
                        np.unique(of_characters >> np.uint32(32 - BUCKET_BITS))))
        return out


def spans(n: int) -> list[tuple[int, int]]:
    """First and end word of every window; the last one ends with the text."""
    if n <= WINDOW_WORDS:
        return [(0, n)]
    firsts = list(range(0, n - WINDOW_WORDS, STRIDE_WORDS))
    return [(first, first + WINDOW_WORDS) for first in firsts] + [(n - WINDOW_WORDS, n)]


def parted(points: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Indices of words that a mark parts from the word before."""
    word = np.zeros(len(points) + 2, dtype=bool)
    word[1:-1] = (CLASS[points] == WORD) | (CLASS[points] == CJK)
    fence = np.isin(points, FENCES) | ((points == 0x27) & ~(word[:-2] & word[2:]))
    count = np.concatenate(([0], np.cumsum(fence)))
    return np.flatnonzero(count[start[1:]] > count[(start + length)[:-1]]) + 1 if len(start) else np.zeros(0, dtype=np.int64)


def all_spans(points: np.ndarray, start: np.ndarray, length: np.ndarray, fields: bool) -> list[tuple[int, int, bool]]:
    """Windows of the whole text, and where `fields` says so, those of each of its fields; the last item tells them apart."""
    out = [(first, last, True) for first, last in spans(len(start))]
    if not fields:
        return out
    for first, last in field_words(points, start, length):
        out += [(first + a, first + b, False) for a, b in spans(last - first)]
    return out


def field_words(points: np.ndarray, start: np.ndarray, length: np.ndarray) -> list[tuple[int, int]]:
    """First and end word of each field that has enough of them; none where no mark parts the text."""
    edges = [0, *parted(points, start, length).tolist(), len(start)]
    return [(first, end) for first, end in zip(edges, edges[1:]) if end - first >= FEWEST_WORDS] if len(edges) > 2 else []


def edges_of(points: np.ndarray, start: np.ndarray, length: np.ndarray, first: int, last: int, whole: bool) -> tuple[int, int]:
    """The characters of a window: of a whole text up to the next word, of a field up to the end of its last one."""
    if not whole:
        return int(start[first]), int(start[last - 1] + length[last - 1])
    return 0 if first == 0 else int(start[first]), len(points) if last == len(start) else int(start[last])
