"""Reads a GGUF file of the story model and runs it in numpy: the reference for the check, f32 on dequantised weights.

Written from the format and the conventions of GGUF's `llama` files alone, apart from the code that trains and exports,
so that a mistake there shows. Not here: speed, and any tensor type but F32 and Q8_0.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from grammar import SplitMix64
from tokenizer import Tokenizer

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
F32, Q8_0 = 0, 8


class Reader:
    """A cursor over the file."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def scalar(self, form: str):
        (found,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return found

    def string(self) -> str:
        length = self.scalar("<Q")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8")

    def value(self, kind: int):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            kind, length = self.scalar("<I"), self.scalar("<Q")
            return [self.value(kind) for _ in range(length)]
        return self.scalar(SCALARS[kind])


def read_gguf(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Metadata, and tensors as f32 with the outermost dimension first."""
    reader = Reader(Path(path).read_bytes())
    if reader.data[:4] != b"GGUF":
        raise ValueError(f"{path}: no GGUF file")
    reader.at = 8
    tensor_count, entry_count = reader.scalar("<Q"), reader.scalar("<Q")
    meta = {}
    for _ in range(entry_count):
        key = reader.string()
        meta[key] = reader.value(reader.scalar("<I"))
    infos = []
    for _ in range(tensor_count):
        name = reader.string()
        dims = [reader.scalar("<Q") for _ in range(reader.scalar("<I"))]
        infos.append((name, dims[::-1], reader.scalar("<I"), reader.scalar("<Q")))
    align = meta.get("general.alignment", 32)
    base = -(-reader.at // align) * align
    return meta, {name: tensor(reader.data, dims, kind, base + at) for name, dims, kind, at in infos}


def tensor(data: bytes, dims: list[int], kind: int, at: int) -> np.ndarray:
    count = int(np.prod(dims))
    if kind == F32:
        return np.frombuffer(data, "<f4", count, at).reshape(dims)
    if kind == Q8_0:
        blocks = np.frombuffer(data, [("d", "<f2"), ("q", "i1", 32)], count // 32, at)
        return (blocks["d"].astype(np.float32)[:, None] * blocks["q"].astype(np.float32)).reshape(dims)
    raise ValueError(f"tensor type {kind} is neither F32 nor Q8_0")


def rms_norm(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(eps)) * weight


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Runner:
    """A batch of sequences of equal length, fed one token each per step."""

    def __init__(self, path: Path) -> None:
        self.meta, self.weights = read_gguf(path)
        vocabulary = (self.meta[f"tokenizer.ggml.{key}"] for key in ("tokens", "scores", "token_type"))
        self.tokenizer = Tokenizer(*vocabulary)
        self.heads = self._key("attention.head_count")
        self.kv_heads = self._key("attention.head_count_kv")
        self.head_dim = self._key("embedding_length") // self.heads
        self.eps = self._key("attention.layer_norm_rms_epsilon")
        half = np.arange(0, self.head_dim, 2) / self.head_dim
        self.frequency = self._key("rope.freq_base") ** -half

    def _key(self, name: str):
        return self.meta[f"llama.{name}"]

    def start(self, batch: int) -> None:
        """Forgets everything and makes room for `batch` sequences."""
        self.length = 0
        shape = (self._key("block_count"), 2, batch, self.kv_heads, self._key("context_length"), self.head_dim)
        self.cache = np.zeros(shape, np.float32)

    def rope(self, x: np.ndarray) -> np.ndarray:
        """Turns neighbours `(2i, 2i+1)` by `position * theta^(-2i/head_dim)`."""
        angle = self.length * self.frequency
        cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        out = np.empty_like(x)
        out[..., 0::2] = x[..., 0::2] * cos - x[..., 1::2] * sin
        out[..., 1::2] = x[..., 0::2] * sin + x[..., 1::2] * cos
        return out

    def step(self, ids: list[int]) -> np.ndarray:
        """Feeds `ids`, one per sequence; logits `[batch, vocab]` for the next token."""
        w = self.weights
        x = w["token_embd.weight"][ids]
        for i in range(self._key("block_count")):
            x = x + self.attention(i, rms_norm(x, w[f"blk.{i}.attn_norm.weight"], self.eps))
            h = rms_norm(x, w[f"blk.{i}.ffn_norm.weight"], self.eps)
            gate = h @ w[f"blk.{i}.ffn_gate.weight"].T
            up = h @ w[f"blk.{i}.ffn_up.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * up) @ w[f"blk.{i}.ffn_down.weight"].T
        self.length += 1
        x = rms_norm(x, w["output_norm.weight"], self.eps)
        return x @ w.get("output.weight", w["token_embd.weight"]).T

    def attention(self, layer: int, h: np.ndarray) -> np.ndarray:
        batch, at = len(h), self.length
        q, k, v = (h @ self.weights[f"blk.{layer}.attn_{n}.weight"].T for n in "qkv")
        keys, values = self.cache[layer]
        keys[:, :, at] = self.rope(k.reshape(batch, self.kv_heads, self.head_dim))
        values[:, :, at] = v.reshape(batch, self.kv_heads, self.head_dim)
        q = self.rope(q.reshape(batch, self.heads, self.head_dim))
        q = q.reshape(batch, self.kv_heads, self.heads // self.kv_heads, self.head_dim)
        scores = q @ keys[:, :, : at + 1].swapaxes(2, 3) / np.float32(self.head_dim**0.5)
        mixed = softmax(scores) @ values[:, :, : at + 1]
        return mixed.reshape(batch, -1) @ self.weights[f"blk.{layer}.attn_output.weight"].T


def choose(logits: np.ndarray, rng: SplitMix64, temperature: float, top_k: int, top_p: float) -> int:
    """Temperature, then the `top_k` best, then the smallest set that holds `top_p` of what is left (0 and 1: all)."""
    order = np.argsort(-logits, kind="stable")[: top_k or None]
    p = softmax(logits[order].astype(np.float64) / temperature)
    if top_p < 1:
        p = p[: int(np.searchsorted(np.cumsum(p), top_p)) + 1]
    point = (rng.next() >> 11) / 2**53 * p.sum()
    return int(order[min(int(np.searchsorted(np.cumsum(p), point, side="right")), len(p) - 1)])


def sample(runner: Runner, seeds: list[int], prompt: list[int], count: int, settings: dict) -> list[list[int]]:
    """`count` tokens or fewer after `prompt` for each seed; a sequence that ends keeps its EOS as last token."""
    eos = runner.meta["tokenizer.ggml.eos_token_id"]
    rngs = [SplitMix64(seed) for seed in seeds]
    out: list[list[int]] = [[] for _ in seeds]
    runner.start(len(seeds))
    for id in prompt:
        logits = runner.step([id] * len(seeds))
    for _ in range(count):
        for i, ids in enumerate(out):
            if eos not in ids:
                ids.append(choose(logits[i], rngs[i], **settings))
        if all(eos in ids for ids in out):
            break
        logits = runner.step([ids[-1] for ids in out])
    return out
