"""The trained encoder as a GGUF file of some megabytes, in the names and types of llama.cpp, and the same rounding in Python."""

import pathlib

import gguf
import numpy as np
import torch
from gguf.quants import dequantize, quantize
from tokenizers import Tokenizer

import encoder
import pieces

TYPES = gguf.GGMLQuantizationType
CONTROL = {"[PAD]": gguf.TokenType.CONTROL, "[CLS]": gguf.TokenType.CONTROL, "[SEP]": gguf.TokenType.CONTROL, "[UNK]": gguf.TokenType.UNKNOWN}


def matrices(model: encoder.Encoder) -> dict[str, tuple[torch.Tensor, TYPES]]:
    """Every matrix by its name in the file, with the type it gets."""
    out = {"token_embd.weight": (model.words[:model.listed], TYPES.Q4_0), "position_embd.weight": (model.places, TYPES.Q8_0)}
    for i, layer in enumerate(model.layers):
        query, key, value = layer.qkv.weight.data.chunk(3)
        of_layer = {"attn_q": query, "attn_k": key, "attn_v": value, "attn_output": layer.out.weight.data, "ffn_up": layer.up.weight.data, "ffn_down": layer.down.weight.data}
        out |= {f"blk.{i}.{name}.weight": (matrix, TYPES.Q4_0) for name, matrix in of_layer.items()}
    return out


def vectors(model: encoder.Encoder) -> dict[str, torch.Tensor]:
    out = {f"token_embd_norm.{end}": getattr(model.norm, end) for end in ("weight", "bias")}
    for i, layer in enumerate(model.layers):
        query, key, value = layer.qkv.bias.data.chunk(3)
        out |= {f"blk.{i}.attn_q.bias": query, f"blk.{i}.attn_k.bias": key, f"blk.{i}.attn_v.bias": value, f"blk.{i}.attn_output.bias": layer.out.bias}
        out |= {f"blk.{i}.ffn_up.bias": layer.up.bias, f"blk.{i}.ffn_down.bias": layer.down.bias}
        for name, norm in (("attn_output_norm", layer.attention_norm), ("layer_output_norm", layer.norm)):
            out |= {f"blk.{i}.{name}.{end}": getattr(norm, end) for end in ("weight", "bias")}
    return {name: value.data for name, value in out.items()}


def write(model: encoder.Encoder, tokenizer: Tokenizer, path: pathlib.Path) -> None:
    """All but the pieces that are mixtures of others."""
    file = gguf.GGUFWriter(path, "bert")
    file.add_name("torchless guard encoder")
    file.add_license("Apache-2.0")
    file.add_description("The first layers of all-MiniLM-L6-v2 (sentence-transformers, Apache-2.0), fine-tuned by torchless to tell attacks on models from other text")
    file.add_block_count(len(model.layers))
    file.add_context_length(pieces.POSITIONS)
    file.add_embedding_length(encoder.WIDTH)
    file.add_feed_forward_length(4 * encoder.WIDTH)
    file.add_head_count(encoder.HEADS)
    file.add_layer_norm_eps(1e-12)
    file.add_causal_attention(False)
    file.add_pooling_type(gguf.PoolingType.NONE)
    listed = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])[:model.listed]
    file.add_tokenizer_model("bert")
    file.add_token_list([piece if piece in CONTROL else piece[2:] if piece.startswith("##") and len(piece) > 2 else "\u2581" + piece for piece, _ in listed])
    file.add_token_types([CONTROL.get(piece, gguf.TokenType.NORMAL) for piece, _ in listed])
    file.add_bos_token_id(pieces.CLS)
    file.add_sep_token_id(pieces.SEP)
    file.add_unk_token_id(1)
    file.add_pad_token_id(0)
    for name, (matrix, kind) in matrices(model).items():
        values = matrix.float().numpy()
        rounded = values.astype(np.float16) if kind == TYPES.F16 else quantize(values, kind)
        file.add_tensor(name, rounded, raw_dtype=kind)
    for name, vector in vectors(model).items():
        file.add_tensor(name, vector.float().numpy())
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


class Reader:
    """The encoder as it ships: weights rounded, everything else in 32 bits."""

    def __init__(self, model: encoder.Encoder, tokenizer: Tokenizer):
        self.model, self.tokenizer = model.float().eval(), tokenizer
        for matrix, kind in matrices(model).values():
            values = matrix.float().numpy()
            rounded = values.astype(np.float16) if kind == TYPES.F16 else dequantize(quantize(values, kind), kind)
            matrix.copy_(torch.from_numpy(rounded.astype(np.float32)))
        self.model.number = torch.float32

    def read(self, text: str, role: str) -> list[float]:
        """The highest logit of the windows of a text, for each head."""
        row = {"text": text, "role": role, "label": 0, "core": None, "source": ""}
        return encoder.scores(self.model, pieces.windows([row], self.tokenizer))[0].tolist()
