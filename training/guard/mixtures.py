"""Pieces of words in other languages, which the encoder's vocabulary lacks, as mixtures of English words that mean nearly the same. What means the same is known
from the word vectors of the multilingual Universal Sentence Encoder (Yang et al. 2020), which stand close in all its sixteen languages; the vector of a piece is then
the mean of those words of the encoder that it is closest to ("WECHSEL", Minixhofer et al. 2022). So the encoder reads what it never learnt, and nothing is stored but which
words and how much of each."""

import collections
import dataclasses
import json
import pathlib
import struct

import numpy as np
import sentencepiece
import torch
from tokenizers import Tokenizer

import pieces

PARTS, SCALE = 3, 160  # Words of a mixture, and what a weight of one is stored as.
MOST, FEWER = 16_000, 640  # Pieces that are added, and those of before that are hardly ever met and make room for them.
NEAREST, WARMTH = 0.35, 0.1  # A piece is as close to a word at least; how much more the closest ones count.
CHUNKS, CHUNK_ROWS = 17, 7530  # In how many parts the package holds its vectors.
RARE = 8  # Ends of words in plain letters that fewer foreign texts hold are none of other languages.
KNOWN_WORDS, FOREIGN_SHARE = 2600, 0.33
RECORD = struct.Struct(f"<{PARTS}H{PARTS}B")


@dataclasses.dataclass
class Mixtures:
    """`pieces` as the tokenizer has them, with the places of their words in the vocabulary `[pieces, PARTS]` and the weights of these, in units of 1 / SCALE."""

    pieces: list[str]
    words: np.ndarray
    weights: np.ndarray

    def vectors(self, table: torch.Tensor) -> torch.Tensor:
        """`[pieces, width]`."""
        shares = torch.from_numpy(self.weights.astype(np.float32)) / SCALE
        each = table[torch.from_numpy(self.words.astype(np.int64))] * shares[..., None]
        return each.sum(1)

    def write(self, path: pathlib.Path) -> None:
        """The number of pieces, a record of each, and the pieces, one a line."""
        records = b"".join(RECORD.pack(*words, *weights) for words, weights in zip(self.words.tolist(), self.weights.tolist()))
        path.write_bytes(struct.pack("<I", len(self.pieces)) + records + "\n".join(self.pieces).encode())

    @classmethod
    def read(cls, path: pathlib.Path) -> "Mixtures":
        content = path.read_bytes()
        count, first = struct.unpack_from("<I", content)[0], 4
        rest = first + count * RECORD.size
        records = np.array(list(RECORD.iter_unpack(content[first:rest])))
        return cls(content[rest:].decode().split("\n"), records[:, :PARTS], records[:, PARTS:])


@dataclasses.dataclass
class Multilingual:
    """The pieces of the multilingual encoder with how common they are, and their vectors of unit length, `[pieces, 512]`."""

    vectors: np.ndarray
    model: sentencepiece.SentencePieceProcessor

    @classmethod
    def read(cls, folder: pathlib.Path) -> "Multilingual":
        """From `resources` of the package."""
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sp.model"))
        stored = np.load(folder / "weights.npz")
        codes = np.empty((CHUNKS * CHUNK_ROWS, stored["q1"].shape[1]), dtype=np.uint8)
        for i in range(CHUNKS):
            codes[i::CHUNKS] = stored[f"q{i + 1}"]
        chunk = np.arange(model.vocab_size()) % CHUNKS
        values = codes[:len(chunk)] * stored["scale"][chunk][:, None] + stored["lo"][chunk][:, None]
        return cls(unit(values - values.mean(0)), model)

    def grouped(self, tokenizer: Tokenizer) -> dict[str, list[int]]:
        """Its pieces by what they are as word pieces: lower case, without accents, at the beginning of a word or within."""
        out = collections.defaultdict(list)
        for i in range(self.model.vocab_size()):
            listed = self.model.id_to_piece(i)
            piece = normal(listed.lstrip("\u2581"), tokenizer)
            if piece and any(map(str.isalpha, piece)) and not self.model.is_control(i) and not self.model.is_unknown(i):
                for place in places(piece, listed.startswith("\u2581")):
                    out[place].append(i)
        return dict(out)

    def of(self, group: list[int]) -> np.ndarray:
        """The vector of pieces that are one word piece, common ones counting more."""
        share = np.exp([self.model.get_score(i) for i in group])
        return (self.vectors[group] * (share / share.sum())[:, None]).sum(0)

    def common(self, group: list[int]) -> float:
        return float(np.logaddexp.reduce([self.model.get_score(i) for i in group]))


def unit(values: np.ndarray) -> np.ndarray:
    return values / (np.linalg.norm(values, axis=1, keepdims=True) + 1e-9)


def ideograph(piece: str) -> bool:
    """One of the signs that each are a word to BERT."""
    return len(piece) == 1 and "\u3400" <= piece <= "\u9fff"


def normal(piece: str, tokenizer: Tokenizer) -> str | None:
    """A piece as the tokenizer sees it; none where that is several words."""
    out = tokenizer.normalizer.normalize_str(piece).strip()
    return out if out and len(tokenizer.pre_tokenizer.pre_tokenize_str(out)) == 1 else None


def places(piece: str, first: bool) -> set[str]:
    """Where words are not parted by spaces, every piece may begin one."""
    if ideograph(piece):
        return {piece}
    if any("\u0e00" <= c <= "\u0e7f" or "\u3040" <= c <= "\u30ff" for c in piece):
        return {piece, "##" + piece}
    return {piece if first else "##" + piece}


def foreign_text(text: str, known: set[str]) -> bool:
    """Whether a text is, by its letters and its most frequent words, in another language than English."""
    letters = [c for c in text[:1500] if c.isalpha()]
    if sum(ord(c) > 0x2ff for c in letters) > 0.15 * len(letters):
        return True
    words = [word for word in "".join(c.lower() if c.isalpha() else " " for c in text[:1500]).split() if len(word) <= 12]
    return len(words) >= 4 and any(ord(c) > 0x7f for c in letters) and sum(word in known for word in words) < FOREIGN_SHARE * len(words)


def seen(rows: list[dict], wide: Tokenizer, known: set[str]) -> tuple[collections.Counter, collections.Counter, float]:
    """In how many texts of other languages each piece stands and in how many others, and how many of these come on one of the first."""
    foreign, other, count = collections.Counter(), collections.Counter(), 0
    for first in range(0, len(rows), 4000):
        part = rows[first:first + 4000]
        for row, found in zip(part, wide.encode_batch([row["text"][:4000] for row in part], add_special_tokens=False)):
            of_other = foreign_text(row["text"], known)
            count += of_other
            (foreign if of_other else other).update(set(found.tokens))
    return foreign, other, (len(rows) - count) / max(1, count)


def chosen(candidates: dict[str, float], foreign: collections.Counter, other: collections.Counter, ratio: float) -> list[str]:
    """The most common pieces, by the multilingual encoder and by the rows, that are not those of English text."""
    def english(piece: str) -> bool:
        times = foreign[piece], other[piece] / ratio
        return piece.removeprefix("##").isascii() and (any(times) and times[0] < 2 * times[1] or piece.startswith("##") and times[0] < RARE)

    worth = {piece: common + np.log1p(foreign[piece]) for piece, common in candidates.items() if not english(piece)}
    return sorted(sorted(worth, key=worth.get, reverse=True)[:MOST])


def widened(tokenizer: Tokenizer, more: list[str]) -> Tokenizer:
    """With these pieces behind those that it has."""
    description = json.loads(tokenizer.to_str())
    vocabulary = description["model"]["vocab"]
    vocabulary |= {piece: len(vocabulary) + i for i, piece in enumerate(more)}
    return Tokenizer.from_str(json.dumps(description))


def only(tokenizer: Tokenizer, kept: list[int]) -> Tokenizer:
    """With the pieces of these ids, in their order."""
    description = json.loads(tokenizer.to_str())
    pieces_of = {i: piece for piece, i in description["model"]["vocab"].items()}
    description["model"]["vocab"] = {pieces_of[old]: new for new, old in enumerate(kept)}
    return Tokenizer.from_str(json.dumps(description))


def mixed(names: list[str], groups: dict[str, list[int]], words: dict[str, int], table: np.ndarray, source: Multilingual) -> Mixtures:
    """Each piece as the PARTS words closest to it; `words` are those to mix with their places in `table`, whose vectors all mixtures are as long as, on average."""
    anchors = list(words.values())
    known, length = unit(np.stack([source.of(groups[word]) for word in words])), np.linalg.norm(table[anchors], axis=1).mean()
    of, weights = np.zeros((len(names), PARTS), dtype=np.int64), np.zeros((len(names), PARTS), dtype=np.int64)
    for first in range(0, len(names), 2000):
        near = unit(np.stack([source.of(groups[name]) for name in names[first:first + 2000]])) @ known.T
        best = np.argsort(-near, axis=1)[:, :PARTS]
        value = np.take_along_axis(near, best, 1)
        share = np.exp((value - value[:, :1]) / WARMTH)
        sums = (table[np.array(anchors)[best]] * share[..., None]).sum(1)
        of[first:first + 2000] = np.array(anchors)[best]
        weights[first:first + 2000] = np.rint(share * (length / np.linalg.norm(sums, axis=1))[:, None] * SCALE).clip(0, 255)
    return Mixtures(names, of, weights)


def closest(groups: dict[str, list[int]], words: dict[str, int], source: Multilingual) -> dict[str, float]:
    """How close each piece comes to one of `words`."""
    known = unit(np.stack([source.of(groups[word]) for word in words]))
    names, out = list(groups), {}
    for first in range(0, len(names), 2000):
        near = unit(np.stack([source.of(groups[name]) for name in names[first:first + 2000]])) @ known.T
        out |= dict(zip(names[first:first + 2000], near.max(1)))
    return out


def idle(own: dict[str, int], pieces_met: collections.Counter, many: int) -> set[str]:
    """The pieces that are met least; single letters stay, for words of any language are made of them."""
    letters = {piece for piece in own if len(piece.removeprefix("##")) == 1 and piece.removeprefix("##").isalnum()}
    rest = [piece for piece in own if piece not in letters and piece not in pieces.SPECIAL and not (len(piece) == 1 and piece.isascii())]
    return set(sorted(rest, key=lambda piece: pieces_met[own[piece]])[:many])


def grown(tokenizer: Tokenizer, table: np.ndarray, rows: list[dict], source: Multilingual) -> tuple[Mixtures, list[int]]:
    """What to add to a tokenizer's vocabulary, whose vectors are `table`, and which of its own pieces stay: signs of Chinese within words, where they never are, go,
    those for which there is a mixture, since an English encoder has hardly seen them, and the FEWER that are met least."""
    groups, own = source.grouped(tokenizer), tokenizer.get_vocab()
    words = {piece: i for piece, i in own.items() if piece in groups and piece.isascii() and piece.isalpha() and len(piece) > 1}
    near = closest(groups, words, source)
    candidates = {piece: source.common(group) for piece, group in groups.items() if near[piece] >= NEAREST and (piece not in own or ideograph(piece))}
    known = {piece for piece in words if own[piece] < KNOWN_WORDS}
    more = chosen(candidates, *seen(rows, widened(tokenizer, [piece for piece in candidates if piece not in own]), known))
    gone = {piece for piece in own if piece.startswith("##") and ideograph(piece[2:])} | set(more)
    gone |= idle({piece: i for piece, i in own.items() if piece not in gone}, pieces.counts(rows, widened(tokenizer, [piece for piece in more if piece not in own])), FEWER)
    kept = sorted(i for piece, i in own.items() if piece not in gone)
    moved = {old: new for new, old in enumerate(kept)}
    return mixed(more, groups, {word: moved[i] for word, i in words.items() if word not in gone}, table[kept], source), kept
