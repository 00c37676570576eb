"""Rows as matrices of hashed features, one row per window, and which rows are nearly the same text."""

import functools
import json
import multiprocessing
import pathlib
import re

import numpy as np
import scipy.sparse as sparse

import features


def load(path: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().split("\n") if line]


def grams_of(text: str, n: int = 5) -> set[int]:
    """Hashes of runs of `n` words; shorter texts give one hash of all."""
    found = re.findall(r"\w+", text.lower())
    return {hash(tuple(found[i:i + n])) for i in range(max(1, len(found) - n + 1))}


def near_duplicates(test: list[str], train: list[str], share: float = 0.5) -> np.ndarray:
    """Which texts of `train` share at least this part of their runs of five words with one text of `test`."""
    owners: dict[int, list[int]] = {}
    for i, text in enumerate(test):
        for gram in grams_of(text):
            owners.setdefault(gram, []).append(i)
    out = np.zeros(len(train), dtype=bool)
    for i, text in enumerate(train):
        grams, counts = grams_of(text), {}
        for gram in grams:
            for owner in owners.get(gram, ()):
                counts[owner] = counts.get(owner, 0) + 1
        out[i] = bool(counts) and max(counts.values()) >= share * len(grams)
    return out


def window_texts_touch(row: dict, fields: bool = False) -> list[bool]:
    """Which windows of an attacked text hold a good part of what was injected; all, where all of it is the attack."""
    points = features.codepoints(row["text"])
    start, length = features.words(points)
    spans = features.all_spans(points, start, length, fields)
    if not row["core"] or len(spans) == 1:
        return [True] * len(spans)
    core = features.codepoints(row["core"]).tobytes()
    whole = points.tobytes()
    found = whole.find(core[: min(len(core), 4 * 40)])
    if found < 0:
        return [True] * len(spans)
    first, last = found // 4, found // 4 + len(core) // 4
    windows = (features.edges_of(points, start, length, *span) for span in spans)
    return [min(end, last) - max(begin, first) >= min(24, last - first, end - begin) for begin, end in windows]


def featurise(row: dict, fields: bool) -> tuple[list, list[bool]]:
    with np.errstate(over="ignore"):
        return features.windows(row["text"], fields), window_texts_touch(row, fields)


class Windows:
    """`matrix` is `[windows, 2 * 2**BUCKET_BITS]`: words, then characters; `row` says whose window it is."""

    def __init__(self, rows: list[dict], fields: bool = False):
        with multiprocessing.Pool(2) as pool:
            found = pool.map(functools.partial(featurise, fields=fields), rows, chunksize=200)
        indices, values, lengths, owner, touched = [], [], [], [], []
        size = np.uint32(1 << features.BUCKET_BITS)
        for i, (windows, touch) in enumerate(found):
            for (of_words, of_characters), hit in zip(windows, touch):
                indices += [of_words, of_characters + size]
                values += [scaled(of_words), scaled(of_characters)]
                lengths.append(len(of_words) + len(of_characters))
                owner.append(i)
                touched.append(hit)
        pointers = np.concatenate(([0], np.cumsum(lengths)))
        shape = (len(owner), 2 << features.BUCKET_BITS)
        self.matrix = sparse.csr_matrix((np.concatenate(values), np.concatenate(indices).astype(np.int32), pointers), shape=shape)
        self.row, self.touched = np.array(owner), np.array(touched)


def scaled(group: np.ndarray) -> np.ndarray:
    return np.full(len(group), 1 / np.sqrt(max(1, len(group))), dtype=np.float32)
