"""A SentencePiece-style BPE tokenizer with byte fallback: training, encoding and decoding.

Encoding repeats one step until nothing changes: of all adjacent pairs whose joined text is a piece, merge the one with
the highest score, the leftmost among equals. That is how readers of GGUF's `tokenizer.ggml.model = "llama"` encode, so
training and running see the same ids. Not here: any normalisation beyond spaces, which become U+2581.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter, defaultdict
from typing import Iterable

SPACE = "\u2581"
UNKNOWN, CONTROL, NORMAL, BYTE = 2, 3, 1, 6
UNK_ID, BOS_ID, EOS_ID = 0, 1, 2
FIRST_BYTE_ID = 3
# Pieces are words or runs of punctuation, each with at most one space in front; no merge crosses such a border.
CHUNK = re.compile(f"{SPACE}?[A-Za-z]+|{SPACE}?[^A-Za-z{SPACE}]+|{SPACE}")


class Tokenizer:
    """Pieces, scores and types by id. `<unk>`, `<s>` and `</s>` come first, then the 256 bytes, then text."""

    def __init__(self, pieces: list[str], scores: list[float], types: list[int]) -> None:
        self.pieces, self.scores, self.types = pieces, scores, types
        self.ids = {piece: i for i, piece in enumerate(pieces) if types[i] == NORMAL}
        self._chunks: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self.pieces)

    @classmethod
    def train(cls, text: Iterable[str], size: int) -> Tokenizer:
        """Byte-pair encoding (Sennrich et al. 2016) up to `size` pieces; fewer if no pair occurs twice.

        Characters that the text does not hold get no piece of their own: the bytes stand for them.
        """
        counts: Counter[str] = Counter()
        for line in text:
            counts.update(CHUNK.findall(escape(line)))
        alphabet = sorted({char for chunk in counts for char in chunk})
        merges = learn_merges(counts, size - FIRST_BYTE_ID - 256 - len(alphabet))
        learned = merges + alphabet
        pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + learned
        scores = [0.0] * (FIRST_BYTE_ID + 256) + [-float(rank) for rank in range(len(learned))]
        types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(learned)
        return cls(pieces, scores, types)

    def encode(self, text: str) -> list[int]:
        """Ids of `text` with the space prefix, without BOS."""
        out: list[int] = []
        for chunk in CHUNK.findall(escape(text)):
            if chunk not in self._chunks:
                self._chunks[chunk] = self.merge(chunk)
            out += self._chunks[chunk]
        return out

    def merge(self, text: str) -> list[int]:
        """Ids of already escaped text by the merging rule alone; characters without a piece fall back to bytes."""
        symbols: list[str | None] = list(text)
        left, right = list(range(-1, len(symbols) - 1)), list(range(1, len(symbols) + 1))
        queue: list[tuple[float, int, str, int]] = []

        def offer(i: int) -> None:
            j = right[i] if i >= 0 else len(symbols)
            if j < len(symbols) and (joined := symbols[i] + symbols[j]) in self.ids:
                heapq.heappush(queue, (-self.scores[self.ids[joined]], i, joined, j))

        for i in range(len(symbols)):
            offer(i)
        while queue:
            _, i, joined, j = heapq.heappop(queue)
            if symbols[i] is None or symbols[j] is None or right[i] != j or symbols[i] + symbols[j] != joined:
                continue
            symbols[i], symbols[j] = joined, None
            right[i] = right[j]
            if right[i] < len(symbols):
                left[right[i]] = i
            offer(i)
            offer(left[i])
        return [id for symbol in symbols if symbol is not None for id in self._fallback(symbol)]

    def _fallback(self, symbol: str) -> list[int]:
        if symbol in self.ids:
            return [self.ids[symbol]]
        return [FIRST_BYTE_ID + byte for byte in symbol.encode("utf-8")]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids` without control tokens and without the space prefix; broken UTF-8 becomes U+FFFD."""
        out = bytearray()
        for id in ids:
            if self.types[id] == BYTE:
                out.append(id - FIRST_BYTE_ID)
            elif self.types[id] == NORMAL:
                out += self.pieces[id].replace(SPACE, " ").encode("utf-8")
        text = out.decode("utf-8", errors="replace")
        return text[1:] if text.startswith(" ") else text


def escape(text: str) -> str:
    """`text` with the space prefix, spaces as U+2581."""
    return SPACE + text.replace(" ", SPACE)


def learn_merges(counts: Counter[str], limit: int) -> list[str]:
    """The `limit` most useful merged pieces, best first; ties go to the piece that sorts first."""
    words = [(list(chunk), n) for chunk, n in sorted(counts.items())]
    pairs: Counter[tuple[str, str]] = Counter()
    where: dict[tuple[str, str], set[int]] = defaultdict(set)
    for w, (symbols, n) in enumerate(words):
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += n
            where[pair].add(w)
    merges: list[str] = []
    while len(merges) < limit and pairs:
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if pairs[best] < 2:
            break
        piece = best[0] + best[1]
        # Readers merge by the joined text, so every pair that spells this piece merges now.
        same = [pair for pair in pairs if pair[0] + pair[1] == piece]
        if piece not in merges:
            merges.append(piece)
        for w in sorted(set().union(*(where[pair] for pair in same))):
            symbols, n = words[w]
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] -= n
            joined = join(symbols, piece)
            for pair in zip(joined, joined[1:]):
                pairs[pair] += n
                where[pair].add(w)
            words[w] = (joined, n)
        for pair in [pair for pair, n in pairs.items() if n <= 0]:
            del pairs[pair], where[pair]
    return merges


def join(symbols: list[str], piece: str) -> list[str]:
    """`symbols` with each adjacent pair that spells `piece` merged, from the left."""
    out: list[str] = []
    i = 0
    while i < len(symbols):
        if i + 1 < len(symbols) and symbols[i] + symbols[i + 1] == piece:
            out.append(piece)
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out
