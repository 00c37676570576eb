"""The detector as it ships, read back from its files, and its golden scores by PyTorch: what they are can be computed anew without training."""

import argparse
import json
import pathlib
import struct

import gguf
import numpy as np
import torch
from gguf.quants import dequantize
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

import encoder
import export
import mixtures
import shrink

# Parts of a layer by their names in the file and in BERT.
PARTS = {"attn_q": "attention.self.query", "attn_k": "attention.self.key", "attn_v": "attention.self.value", "attn_output": "attention.output.dense", "ffn_up": "intermediate.dense",
         "ffn_down": "output.dense", "attn_output_norm": "attention.output.LayerNorm", "layer_output_norm": "output.LayerNorm"}


def weights(file: gguf.GGUFReader) -> dict[str, torch.Tensor]:
    """All of them by their names in BERT; what was added to places is part of them."""
    out = {}
    for tensor in file.tensors:
        values = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
        name, end = tensor.name.rsplit(".", 1)
        if name.startswith("blk."):
            _, layer, part = name.split(".")
            out[f"encoder.layer.{layer}.{PARTS[part]}.{end}"] = values
        else:
            kind = {"token_embd": "word_embeddings", "position_embd": "position_embeddings", "token_embd_norm": "LayerNorm"}[name]
            out[f"embeddings.{kind}.{end}"] = values
    out["embeddings.token_type_embeddings.weight"] = torch.zeros(1, encoder.WIDTH)
    return out


def tokenizer(file: gguf.GGUFReader) -> Tokenizer:
    """Word pieces as BERT has them, without those around a text."""
    listed = file.fields["tokenizer.ggml.tokens"].contents()
    piece = lambda token: token if token in shrink.CONTROL else token[1:] if token[0] == "\u2581" else token if token.startswith("##") else "##" + token
    out = Tokenizer(models.WordPiece({piece(token): i for i, token in enumerate(listed)}, unk_token="[UNK]"))
    out.normalizer, out.pre_tokenizer, out.decoder = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    return out


def load(folder: pathlib.Path) -> tuple[export.Counted, list[export.Head], shrink.Reader]:
    """Both views and their heads."""
    content = (folder / "detector.bin").read_bytes()
    begin = len(export.MAGIC) + 4
    end = begin + struct.unpack("<I", content[begin - 4:begin])[0]
    header = json.loads(content[begin:end])
    first = export.Counted.of(np.frombuffer(content[end:], dtype=np.int8), header["scale"], header["bias"])
    heads = [export.Head.of(entry) for entry in header["heads"]]
    file = gguf.GGUFReader(folder / "encoder.gguf")
    found = tokenizer(file)
    model = encoder.Encoder(weights(file), list(range(found.get_vocab_size())))
    if (folder / "mixtures.bin").exists():  # What shipped at first had none.
        mixed = mixtures.Mixtures.read(folder / "mixtures.bin")
        model.grow(list(range(model.listed)), mixed)
        found = mixtures.widened(found, mixed.pieces)
    model.head.weight.data = torch.tensor([head.weights for head in heads])
    model.head.bias.data = torch.tensor([head.bias for head in heads])
    return first, heads, shrink.Reader(model, found)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=pathlib.Path, help="what ships: detector.bin, encoder.gguf and mixtures.bin; golden.jsonl is written there")
    given = arguments.parse_args()
    export.write_golden(export.golden(*load(given.folder)), given.folder)


if __name__ == "__main__":
    main()
