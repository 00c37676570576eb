"""Writes a trained checkpoint as a GGUF v3 file: matrices Q8_0, norms F32, tokenizer included.

The model is trained with rotary pairs `(2i, 2i+1)`, which is the order of GGUF's `llama` files, so rows keep theirs.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import argparse
import struct
from pathlib import Path

import numpy as np
import torch

from tokenizer import BOS_ID, EOS_ID, UNK_ID

ALIGNMENT = 32
F32, Q8_0 = 0, 8
BLOCK = 32
MOSTLY_Q8_0 = 7
U32, I32, FLOAT, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
SCALARS = {U32: "<I", I32: "<i", FLOAT: "<f", BOOL: "<?"}


def quantise_q8_0(x: np.ndarray) -> bytes:
    """Blocks of 32 along the last axis: an f16 scale `d = max|x| / 127`, then 32 signed bytes `round(x / d)`.

    As ggml does, the division uses `d` before it is rounded to f16, and halves round away from zero.
    """
    blocks = x.astype(np.float32).reshape(-1, BLOCK)
    d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    inverse = np.divide(np.float32(1), d, out=np.zeros_like(d), where=d > 0)
    scaled = (blocks * inverse).astype(np.float64)
    q = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled).astype(np.int8)
    packed = np.empty(len(blocks), dtype=[("d", "<f2"), ("q", "i1", BLOCK)])
    packed["d"], packed["q"] = d[:, 0].astype(np.float16), q
    return packed.tobytes()


def string(text: str) -> bytes:
    data = text.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def value(kind: int, content) -> bytes:
    return string(content) if kind == STRING else struct.pack(SCALARS[kind], content)


def entry(key: str, kind: int, content) -> bytes:
    """One metadata entry; a list becomes an array of `kind`."""
    if isinstance(content, list):
        body = struct.pack("<IIQ", ARRAY, kind, len(content)) + b"".join(value(kind, item) for item in content)
    else:
        body = struct.pack("<I", kind) + value(kind, content)
    return string(key) + body


def metadata(shape: dict, vocabulary: dict) -> list[tuple[str, int, object]]:
    return [
        ("general.architecture", STRING, "llama"),
        ("general.name", STRING, "torchless story"),
        ("general.author", STRING, "The torchless authors"),
        ("general.license", STRING, "mit"),
        ("general.alignment", U32, ALIGNMENT),
        ("general.file_type", U32, MOSTLY_Q8_0),
        ("general.quantization_version", U32, 2),
        ("llama.vocab_size", U32, shape["vocab"]),
        ("llama.context_length", U32, shape["context"]),
        ("llama.embedding_length", U32, shape["dim"]),
        ("llama.block_count", U32, shape["layers"]),
        ("llama.feed_forward_length", U32, shape["ffn"]),
        ("llama.rope.dimension_count", U32, shape["dim"] // shape["heads"]),
        ("llama.rope.freq_base", FLOAT, shape["rope_theta"]),
        ("llama.attention.head_count", U32, shape["heads"]),
        ("llama.attention.head_count_kv", U32, shape["kv_heads"]),
        ("llama.attention.layer_norm_rms_epsilon", FLOAT, shape["rms_eps"]),
        ("tokenizer.ggml.model", STRING, "llama"),
        ("tokenizer.ggml.pre", STRING, "default"),
        ("tokenizer.ggml.tokens", STRING, vocabulary["pieces"]),
        ("tokenizer.ggml.scores", FLOAT, vocabulary["scores"]),
        ("tokenizer.ggml.token_type", I32, vocabulary["types"]),
        ("tokenizer.ggml.bos_token_id", U32, BOS_ID),
        ("tokenizer.ggml.eos_token_id", U32, EOS_ID),
        ("tokenizer.ggml.unknown_token_id", U32, UNK_ID),
        ("tokenizer.ggml.add_bos_token", BOOL, True),
        ("tokenizer.ggml.add_eos_token", BOOL, False),
        ("tokenizer.ggml.add_space_prefix", BOOL, True),
    ]


def padding(length: int) -> bytes:
    return b"\0" * (-length % ALIGNMENT)


def gguf(checkpoint: dict) -> bytes:
    """The whole file. Dimensions are stored innermost first."""
    entries = [entry(*item) for item in metadata(checkpoint["shape"], checkpoint["tokenizer"])]
    infos, data = [], bytearray()
    for name, tensor in checkpoint["weights"].items():
        x = tensor.numpy().astype(np.float32)
        kind, body = (F32, x.astype("<f4").tobytes()) if x.ndim == 1 else (Q8_0, quantise_q8_0(x))
        dimensions = struct.pack(f"<I{x.ndim}Q", x.ndim, *reversed(x.shape))
        infos.append(string(name) + dimensions + struct.pack("<IQ", kind, len(data)))
        data += body + padding(len(body))
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(infos), len(entries))
    head = header + b"".join(entries) + b"".join(infos)
    return head + padding(len(head)) + bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    data = gguf(torch.load(args.checkpoint, weights_only=True))
    args.output.write_bytes(data)
    print(f"{args.output}: {len(data)} bytes")


if __name__ == "__main__":
    main()
