"""The word pieces of a pretrained BERT that are worth their room, and rows as windows of them. Words that lose their piece fall into
smaller ones by the same rule of the longest match, for every single character that was a piece stays one."""

import collections
import dataclasses
import json
import pathlib
from collections.abc import Callable

import numpy as np
from tokenizers import Tokenizer

import features
import lists

# The first pieces of BERT's vocabulary are the most frequent: these many stay even if unseen, and these many if seen at all.
ALWAYS, IF_SEEN, OFTEN = 3500, 5000, 70
OWN_TABLES_COUNT, LISTED_COUNT = 0.25, 0.5
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
CLS, SEP = 2, 3
# Pieces that are read at once, of what is typed and of what tools return, where a quiet order drowns more easily; those that are read again with what follows,
# and room for the words at the edges of a window.
MOST, SHARED, EDGES = {"user": 160, "tool": 144}, 20, 6
POSITIONS = 192  # Of the encoder, with a piece before and one after a window.
PART, STRIDE = POSITIONS - 2, POSITIONS - 34  # Where the pieces of a window are more than those of its words.
MOST_PARTS = 8  # What is longer is a run of signs: the words of a window fit.


def counts(rows: list[dict], whole: Tokenizer) -> collections.Counter:
    """In how many rows each piece stands; those of our own tables count less, and so do those of lists, which are long and of every kind."""
    out = collections.Counter()
    for first in range(0, len(rows), 2000):
        part = rows[first:first + 2000]
        for row, found in zip(part, whole.encode_batch([row["text"] for row in part], add_special_tokens=False)):
            weight = weight_of(row["source"])
            for piece in set(found.ids):
                out[piece] += weight
    return out


def weight_of(source: str) -> float:
    if source == "generated-crossed":
        return 0  # Made of texts that are counted where they come from.
    return OWN_TABLES_COUNT if source.startswith("generated") else LISTED_COUNT if source in lists.RULES else 1


def pruned(folder: pathlib.Path, rows: list[dict]) -> tuple[Tokenizer, list[int]]:
    """A tokenizer of the pieces that stay, and their ids in the pretrained vocabulary."""
    description = json.loads((folder / "tokenizer.json").read_text())
    description["truncation"] = description["padding"] = None
    seen = counts(rows, Tokenizer.from_str(json.dumps(description)))
    vocabulary = sorted(description["model"]["vocab"].items(), key=lambda item: item[1])
    stays = [(piece, i) for piece, i in vocabulary if not piece.startswith("[unused") and (
        piece in SPECIAL or len(piece.removeprefix("##")) == 1 or i < ALWAYS or i < IF_SEEN and seen[i] or seen[i] >= OFTEN)]
    own = {piece: n for n, (piece, _) in enumerate(stays)}
    description["model"]["vocab"] = own
    description["added_tokens"] = [dict(token, id=own[token["content"]]) for token in description["added_tokens"] if token["content"] in own]
    for token in description["post_processor"]["special_tokens"].values():
        token["ids"] = [own[token["id"]]]
    assert own["[CLS]"] == CLS and own["[SEP]"] == SEP
    return Tokenizer.from_str(json.dumps(description)), [i for _, i in stays]


def texts(row: dict, count: Callable[[list[str]], list[int]]) -> tuple[list[str], list[bool]]:
    """What the encoder reads of a row, window by window: the whole, or its fields where a tool's output has some; and which of them hold a good part of
    what was injected. `count` says of how many pieces each of some texts is made."""
    points = features.codepoints(row["text"])
    start, length = features.words(points)
    fields = features.field_words(points, start, length) if row["role"] == "tool" else []
    between = lambda first, end: points[first:end].tobytes().decode("utf-32-le", "replace")
    edges = lambda first, end, whole: features.edges_of(points, start, length, first, end, whole)
    spans = []
    for first, end in fields or [(0, len(start))]:
        if end - first <= 1 or count([between(*edges(first, end, True))])[0] <= MOST[row["role"]]:
            spans.append((first, end))
        else:
            each = count([between(*edges(word, word + 1, True)) for word in range(first, end)])
            spans += [(first + a, first + b) for a, b in read_spans(each, MOST[row["role"]])]
    edges = [edges(*span, not fields) for span in spans]
    cut = [between(*edge) for edge in edges]
    place = located(points, row["core"]) if row["label"] and row["core"] and len(edges) > 1 else None
    if not place:
        return cut, [True] * len(cut)
    first, last = place
    return cut, [min(end, last) - max(begin, first) >= min(24, last - first, end - begin) for begin, end in edges]


def read_spans(each: list[int], most: int) -> list[tuple[int, int]]:
    """First and end of the words of so many pieces each in windows that are read: as few as hold all words, of about one length, each with SHARED pieces
    of the one before or more."""
    ends = np.cumsum(each)
    total = int(ends[-1])
    count = max(1, -(-(total - SHARED) // (most - EDGES - SHARED)))
    length = -(-(total + (count - 1) * SHARED) // count)
    starts = np.arange(count) * (length - SHARED)
    firsts = np.searchsorted(ends, starts, "right").tolist()
    lasts = (np.searchsorted(ends, starts + length, "left") + 1).tolist()
    firsts[0], lasts[-1] = 0, len(each)  # Words of no piece too.
    return list(zip(firsts, lasts))


def located(points: np.ndarray, core: str) -> tuple[int, int] | None:
    """Where the injected part stands, also where a format escaped some of it."""
    whole = points.tobytes().decode("utf-32-le", "replace")
    part = features.codepoints(core).tobytes().decode("utf-32-le", "replace")
    at = whole.find(part[:60])
    if at >= 0:
        return at, at + len(part)
    letters = [i for i, c in enumerate(whole) if c.isalnum() and not (c in "nu" and i and whole[i - 1] == "\\")]
    wanted = "".join(c for c in part if c.isalnum())
    at = "".join(whole[i] for i in letters).find(wanted[:50])
    if at < 0 or not wanted:
        return None
    return letters[at], letters[min(len(letters) - 1, at + len(wanted) - 1)] + 1


def parts(n: int) -> list[tuple[int, int]]:
    """First and end piece of each part of a window; nearly always it is one."""
    if n <= PART:
        return [(0, n)]
    return ([(first, first + PART) for first in range(0, n - PART, STRIDE)] + [(n - PART, n)])[:MOST_PARTS]


@dataclasses.dataclass
class Windows:
    """Pieces of all windows in a row, where each begins and ends, whose it is, and whether it holds the attack of its row."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    row: np.ndarray
    touched: np.ndarray

    def pieces(self, window: int) -> np.ndarray:
        return self.ids[self.starts[window]:self.ends[window]]

    @property
    def lengths(self) -> np.ndarray:
        """With the pieces before and after."""
        return self.ends - self.starts + 2


def windows(rows: list[dict], tokenizer: Tokenizer) -> Windows:
    """The windows of all rows, for training and for judging."""
    cut, owner, hit = [], [], []
    count = lambda found: [len(encoding.ids) for encoding in tokenizer.encode_batch(found, add_special_tokens=False)]
    for i, row in enumerate(rows):
        found, touched = texts(row, count)
        cut += found
        hit += touched
        owner += [i] * len(found)
    ids, ends, row_of, touched = [], [0], [], []
    for first in range(0, len(cut), 4000):
        for found, i, h in zip(tokenizer.encode_batch(cut[first:first + 4000], add_special_tokens=False), owner[first:], hit[first:]):
            for begin, end in parts(len(found.ids)):
                ids += found.ids[begin:end]
                ends.append(len(ids))
                row_of.append(i)
                touched.append(h)
    ends = np.array(ends)
    return Windows(np.array(ids, dtype=np.int16), ends[:-1], ends[1:], np.array(row_of), np.array(touched))
