#!/usr/bin/env python3
"""Generates tests/fixtures/test_model.bin: a tiny Mistral with random weights and a real tokenizer.

    tests/generate_test_model.py [OUT]

Needs numpy. The same bytes on every machine: weights come from an integer generator, the vocabulary from counting
pairs in the text below. The weights say nothing; the model is for testing that files load and that code agrees.
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import export_mistral  # noqa: E402  (needs the path above)

CONFIG = {
    "model_type": "mistral",
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "sliding_window": 64,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-05,
    "hidden_act": "silu",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}

TEXT = """The quick brown fox jumps over the lazy dog. The dog sleeps in the warm sun, and the fox runs home.
Paris is the capital of France. One day a small bird sat on the window and sang a song to the children.
They listened, they laughed, and then they went to the garden to look for the bird, but the bird was gone."""

MERGES = 33
SPACE = "\u2581"


def train_tokenizer():
    """Byte-pair merges over words with a metaspace in front: the most frequent pair first, ties by the pair."""
    words = Counter(SPACE + word for word in TEXT.split())
    words = {tuple(word): count for word, count in words.items()}
    merges = []
    for _ in range(MERGES):
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = {join(word, best): count for word, count in words.items()}
    letters = sorted({SPACE} | set("".join(TEXT.split())))
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokens += ["".join(pair) for pair in merges] + letters
    assert len(set(tokens)) == len(tokens)
    return {token: index for index, token in enumerate(tokens)}, [" ".join(pair) for pair in merges]


def join(word, pair):
    out = []
    for symbol in word:
        if out and (out[-1], symbol) == pair:
            out[-1] += symbol
        else:
            out.append(symbol)
    return tuple(out)


def tensor_shapes(vocab_size):
    dim, hidden = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    kv = dim // CONFIG["num_attention_heads"] * CONFIG["num_key_value_heads"]
    shapes = {"model.embed_tokens.weight": [vocab_size, dim], "model.norm.weight": [dim], "lm_head.weight": [vocab_size, dim]}
    for layer in range(CONFIG["num_hidden_layers"]):
        for name, shape in {
            "input_layernorm": [dim],
            "self_attn.q_proj": [dim, dim],
            "self_attn.k_proj": [kv, dim],
            "self_attn.v_proj": [kv, dim],
            "self_attn.o_proj": [dim, dim],
            "post_attention_layernorm": [dim],
            "mlp.gate_proj": [hidden, dim],
            "mlp.up_proj": [hidden, dim],
            "mlp.down_proj": [dim, hidden],
        }.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    return shapes


def uniform(count, seed):
    """`count` values between -1 and 1 from SplitMix64: exact integer arithmetic, no library's random stream."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)


def weights(name, shape, seed):
    """Norms around 1, matrices with a spread of about 1 / sqrt(columns)."""
    values = uniform(int(np.prod(shape)), seed).reshape(shape)
    if "norm" in name:
        return np.float32(1) + values / np.float32(8)
    return values * np.float32(0.25 if "embed" in name else 0.375)


def main():
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests/fixtures/test_model.bin"
    vocab, merges = train_tokenizer()
    shapes = tensor_shapes(len(vocab))
    seeds = {name: index << 32 for index, name in enumerate(sorted(shapes), start=1)}
    tokenizer = "{" + export_mistral.vocabulary_header({"vocab": vocab, "merges": merges}) + "}"
    metadata = export_mistral.metadata({**CONFIG, "vocab_size": len(vocab)}, {}, "f32")
    with open(out, "wb") as file:
        export_mistral.write_native(
            file, metadata, tokenizer, shapes, lambda name: weights(name, shapes[name], seeds[name])
        )
    print(f"wrote {out} ({out.stat().st_size} bytes, {len(vocab)} tokens)")


if __name__ == "__main__":
    main()
