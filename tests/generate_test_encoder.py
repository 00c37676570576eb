#!/usr/bin/env python3
"""Generates tests/fixtures/test_encoder and tests/fixtures/test_reranker: tiny RoBERTas with random weights.

    tests/generate_test_encoder.py [FOLDER]

Needs nothing but Python; the same bytes on every machine. One classifies texts as SAFE or INJECTION, the other has one
label. The tokenizer writes each byte as a token of its own. The weights say nothing; the models are for testing that
files load and that code agrees.
"""

import json
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIM, HIDDEN, LAYERS, POSITIONS = 8, 12, 2, 66
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]


def alphabet():
    """The letters that stand for the bytes 0 to 255 in GPT-2's byte-level BPE."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    letters = {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(others)}
    return [letters[b] for b in range(256)]


VOCAB = SPECIALS + alphabet()


def config(labels):
    return {
        "architectures": ["RobertaForSequenceClassification"],
        "bos_token_id": 0,
        "eos_token_id": 2,
        "hidden_act": "gelu",
        "hidden_size": DIM,
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "intermediate_size": HIDDEN,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": POSITIONS,
        "model_type": "roberta",
        "num_attention_heads": 2,
        "num_hidden_layers": LAYERS,
        "pad_token_id": 1,
        "type_vocab_size": 1,
        "vocab_size": len(VOCAB),
    }


def tokenizer():
    special = [
        {"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for i, text in enumerate(SPECIALS)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": ["</s>", 2],
            "cls": ["<s>", 0],
            "trim_offsets": True,
            "add_prefix_space": False,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {text: i for i, text in enumerate(VOCAB)},
            "merges": [],
        },
    }


def shapes(labels):
    """Names and shapes of all tensors; norms are marked."""

    def linear(name, rows, cols):
        yield f"{name}.weight", (rows, cols), False
        yield f"{name}.bias", (rows,), False

    def norm(name):
        yield f"{name}.weight", (DIM,), True
        yield f"{name}.bias", (DIM,), False

    embeddings = "roberta.embeddings"
    yield f"{embeddings}.word_embeddings.weight", (len(VOCAB), DIM), False
    yield f"{embeddings}.position_embeddings.weight", (POSITIONS, DIM), False
    yield f"{embeddings}.token_type_embeddings.weight", (1, DIM), False
    yield from norm(f"{embeddings}.LayerNorm")
    for i in range(LAYERS):
        layer = f"roberta.encoder.layer.{i}"
        for part in ("query", "key", "value"):
            yield from linear(f"{layer}.attention.self.{part}", DIM, DIM)
        yield from linear(f"{layer}.attention.output.dense", DIM, DIM)
        yield from norm(f"{layer}.attention.output.LayerNorm")
        yield from linear(f"{layer}.intermediate.dense", HIDDEN, DIM)
        yield from linear(f"{layer}.output.dense", DIM, HIDDEN)
        yield from norm(f"{layer}.output.LayerNorm")
    yield from linear("classifier.dense", DIM, DIM)
    yield from linear("classifier.out_proj", labels, DIM)


def weights(labels, seed):
    state = seed

    def value():
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        return ((state >> 40) / 2**23 - 1) * 0.8

    header, data = {}, b""
    for name, shape, is_norm in shapes(labels):
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [(1 if is_norm else 0) + value() * (0.25 if is_norm else 1) for _ in range(count)]
        start = len(data)
        data += struct.pack(f"<{count}f", *values)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, len(data)]}
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + data


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests" / "fixtures"
    for name, labels, seed in (("test_encoder", ["SAFE", "INJECTION"], 1), ("test_reranker", ["RELEVANCE"], 2)):
        out = folder / name
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.json").write_text(json.dumps(config(labels), indent=1) + "\n")
        (out / "tokenizer.json").write_text(json.dumps(tokenizer(), ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
        (out / "model.safetensors").write_bytes(weights(len(labels), seed))


if __name__ == "__main__":
    main()
