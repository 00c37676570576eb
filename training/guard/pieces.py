"""The word pieces of a pretrained BERT that are worth their room, and rows as windows of them. Words that lose their piece fall into
smaller ones by the same rule of the longest match, for every single character that was a piece stays one."""

import collections
import dataclasses
import json
import pathlib

import numpy as np
from tokenizers import Tokenizer

import features

# The first pieces of BERT's vocabulary are the most frequent: these many stay even if unseen, and these many if seen at all.
ALWAYS, IF_SEEN, OFTEN = 7000, 9000, 8
OWN_TABLES_COUNT = 0.25
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
CLS, SEP = 2, 3
MOST, STRIDE = 126, 94
MOST_PARTS = 4  # What is longer is a run of signs: the words of a window fit.


def counts(rows: list[dict], whole: Tokenizer) -> collections.Counter:
    """In how many rows each piece stands; those of our own tables count less."""
    out = collections.Counter()
    for first in range(0, len(rows), 2000):
        part = rows[first:first + 2000]
        for row, found in zip(part, whole.encode_batch([row["text"] for row in part], add_special_tokens=False)):
            for piece in set(found.ids):
                out[piece] += OWN_TABLES_COUNT if row["source"].startswith("generated") else 1
    return out


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


def texts(row: dict) -> tuple[list[str], list[bool]]:
    """The windows of a row as `features.py` cuts them, or those of its fields where a tool's output has some, and which of them hold a good
    part of what was injected."""
    points = features.codepoints(row["text"])
    start, length = features.words(points)
    spans = features.all_spans(points, start, length, row["role"] == "tool")
    spans = [span for span in spans if not span[2]] or spans
    edges = [features.edges_of(points, start, length, *span) for span in spans]
    cut = [points[first:end].tobytes().decode("utf-32-le", "replace") for first, end in edges]
    place = located(points, row["core"]) if row["label"] and row["core"] and len(edges) > 1 else None
    if not place:
        return cut, [True] * len(cut)
    first, last = place
    return cut, [min(end, last) - max(begin, first) >= min(24, last - first, end - begin) for begin, end in edges]


def runs(row: dict) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], list[tuple[int, int]]]:
    """The points of a text, where its words start and how long they are; and first and end word of each field, or of the whole."""
    points = features.codepoints(row["text"])
    start, length = features.words(points)
    found = features.field_words(points, start, length) if row["role"] == "tool" else []
    return (points, start, length), found or [(0, len(start))]


def worth_reading(row: dict) -> list[bool]:
    """Which of the windows are judged where sentences are judged beside them: what two windows share is read with its sentence, so that of a
    field or text with sentences every other window is enough, and the last one."""
    words, found = runs(row)
    out = []
    for first, end in found:
        count, whole = len(features.spans(end - first)), not features.sentence_words(*words, first, end)
        out += [whole or i % 2 == 0 or i + 1 == count for i in range(count)]
    return out


def sentences(row: dict) -> list[str]:
    """Each sentence of a row, or of its fields, by itself. They are judged beside the windows; those of harmless rows are trained on, for that they are
    harmless is certain, while of an attack a sentence may be."""
    (points, start, length), found = runs(row)
    found = [span for run in found for span in features.sentence_words(points, start, length, *run)]
    cut = [(first + a, first + b) for first, end in found for a, b in features.spans(end - first)]
    return [points[start[a]:start[b - 1] + length[b - 1]].tobytes().decode("utf-32-le", "replace") for a, b in cut]


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
    if n <= MOST:
        return [(0, n)]
    return ([(first, first + MOST) for first in range(0, n - MOST, STRIDE)] + [(n - MOST, n)])[:MOST_PARTS]


@dataclasses.dataclass
class Windows:
    """Pieces of all windows in a row, where each begins and ends, whose it is, and whether it holds the attack of its row."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    row: np.ndarray
    touched: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """With the pieces before and after."""
        return self.ends - self.starts + 2


def windows(rows: list[dict], tokenizer: Tokenizer) -> Windows:
    """What is trained on: the windows of a row, and the sentences of a harmless one."""
    return _tokens([texts(row) if row["label"] else (texts(row)[0] + sentences(row), []) for row in rows], tokenizer)


def judged(rows: list[dict], tokenizer: Tokenizer) -> Windows:
    """What is judged: windows and each sentence."""
    read = lambda row: [text for text, worth in zip(texts(row)[0], worth_reading(row)) if worth]
    return _tokens([(read(row) + sentences(row), []) for row in rows], tokenizer)


def _tokens(rows: list[tuple[list[str], list[bool]]], tokenizer: Tokenizer) -> Windows:
    cut, owner, hit = [], [], []
    for i, (found, touched) in enumerate(rows):
        touched = touched or [True] * len(found)
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
