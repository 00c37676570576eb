#!/usr/bin/env python3
"""Makes DeBERTa-v2 classifiers of random weights in the shapes of Prompt Guard 2, for torchless and for ONNX Runtime.

    python3 benches/compare/export_encoder.py FOLDER [--shape 86m] [--shape 22m]

writes, for each shape, a folder that torchless opens (`config.json`, `model.safetensors`), `model.onnx` in single precision and
`model_int8.onnx`, made of it by ONNX Runtime's `quantize_dynamic` as its documentation shows it. The vocabulary is small: looking rows
up costs the same in a large one. Needs torch, transformers, onnx and onnxruntime; see README.md.
"""

import argparse
from pathlib import Path

# Layers, width, heads, inner width.
SHAPES = {"86m": (12, 768, 12, 3072), "22m": (12, 384, 6, 1536)}
VOCAB = 4096


def config(shape):
    from transformers import DebertaV2Config

    layers, width, heads, inner = SHAPES[shape]
    return DebertaV2Config(
        vocab_size=VOCAB, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=inner,
        max_position_embeddings=512, type_vocab_size=0, relative_attention=True, position_buckets=256,
        norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False,
        layer_norm_eps=1e-7, max_relative_positions=-1, num_labels=2,
    )


def export(shape, folder):
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from transformers import DebertaV2ForSequenceClassification

    torch.manual_seed(1)
    model = DebertaV2ForSequenceClassification(config(shape)).eval()
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    ids = torch.ones(2, 24, dtype=torch.long)
    axes = {0: "texts", 1: "tokens"}
    with torch.no_grad():
        torch.onnx.export(
            model, (ids, torch.ones_like(ids)), str(folder / "model.onnx"), dynamo=False, opset_version=17,
            input_names=["input_ids", "attention_mask"], output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "texts"}},
        )
    quantize_dynamic(folder / "model.onnx", folder / "model_int8.onnx", weight_type=QuantType.QInt8)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", action="append", choices=sorted(SHAPES), help="default: all")
    args = parser.parse_args()
    for shape in args.shape or SHAPES:
        export(shape, args.folder / shape)
        print(args.folder / shape)


if __name__ == "__main__":
    main()
