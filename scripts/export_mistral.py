#!/usr/bin/env python3
"""Exports a Hugging Face folder (safetensors, config.json, tokenizer.json) to one native .bin file.

    scripts/export_mistral.py --model_dir Mistral-7B-v0.1 --out mistral.bin --quant f32

Needs Python 3.9 and numpy. `torchless convert` writes the same bytes. `--quant int8` stores the gate and up
projections as int8 with one f32 scale per 64 values (value = q / scale) and everything else as f32.

Layout: 8 bytes of header length (little-endian), a JSON header padded with spaces so that the payload begins at a
multiple of 64, then the tensors in the order of their names, each padded to 64 bytes; offsets in the header count
from the end of the header.
"""

import argparse
import json
import struct
import sys
from decimal import Decimal
from pathlib import Path

try:
    import numpy as np
except ImportError:
    sys.exit("numpy is needed: python3 -m pip install numpy")

ALIGNMENT = 64
GROUP = 64
QUANTISED = ("mlp.gate_proj.weight", "mlp.up_proj.weight")

# Keys of config.json that stand under another name in the header, as text.
RENAMED = {
    "hidden_act": "act_type",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "max_position_embeddings": "max_position_embeddings",
    "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers",
    "num_key_value_heads": "n_kv_heads",
    "rms_norm_eps": "norm_eps",
    "rope_theta": "rope_theta",
    "sliding_window": "sliding_window",
    "vocab_size": "vocab_size",
}

# The sliding window of models whose config.json leaves it to transformers.
WINDOWS = {"mistral": 4096}
# Others of which the layers decide: `torchless convert` knows them.
OTHER_WINDOWS = (
    "cohere2", "exaone4", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "gemma4", "gemma4_text",
    "gpt_oss", "olmo3",
)
# How the weights of the original are stored, which says nothing of a file in which they are decoded.
STORAGE = "quantization_config"


class ExportError(Exception):
    """Something in the model folder that cannot be exported."""


def number(value):
    """A number as text: whole ones below 10^15 as digits, others with the fewest digits that read back the same."""
    if isinstance(value, int):
        if -(2**63) <= value < 2**64:
            return str(value)
        value = float(value)
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    digits = "".join(map(str, digits))
    exponent += len(digits) - 1
    fraction = "." + digits[1:] if len(digits) > 1 else ""
    return f"{'-' if sign else ''}{digits[0]}{fraction}e{exponent}"


def canonical(value):
    """JSON in one form: sorted keys, no spaces, only needed escapes, numbers as `number` writes them."""
    if isinstance(value, dict):
        return "{" + ",".join(canonical(key) + ":" + canonical(value[key]) for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    return json.dumps(value, ensure_ascii=False)


def window(config):
    """The sliding window of a model whose config.json does not name one."""
    family = config.get("model_type")
    if family in OTHER_WINDOWS or config.get("use_sliding_window"):
        raise ExportError(f"config.json leaves sliding_window to the family '{family}': use torchless convert, or name it there")
    return WINDOWS.get(family, 0)


def ends(config, generation):
    """The ids that end a reply, of both files; None where the first has all."""

    def ids(source):
        value = source.get("eos_token_id")
        return [] if value is None else value if isinstance(value, list) else [value]

    own = ids(config)
    more = [end for end in dict.fromkeys(ids(generation)) if end not in own]
    return own + more if more else None


def metadata(config, generation, quant):
    """The documented keys as text, all others as they are."""

    def text(value):
        if value is None:
            return "0"
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number(value) if is_number else value

    out = {} if "sliding_window" in config else {"sliding_window": text(window(config))}
    for key, value in config.items():
        if key == STORAGE:
            continue
        if key in RENAMED:
            out[RENAMED[key]] = text(value)
        else:
            out[key] = value
    out["quant"] = quant
    end_ids = ends(config, generation)
    if end_ids is not None:
        out["eos_token_id"] = end_ids
    return out


def vocabulary_header(model):
    """Merges and vocabulary of a tokenizer's model, as every reader of this format knows them."""
    vocab = model.get("vocab")
    vocab = vocab if isinstance(vocab, dict) else {}
    merges = [" ".join(merge) if isinstance(merge, list) else merge for merge in model.get("merges") or []]
    by_id = sorted((index, token) for token, index in vocab.items())
    vocab = ",".join(canonical(token) + f":{index}" for index, token in by_id)
    return '"merges":' + canonical(merges) + ',"vocab":{' + vocab + "}"


def tokenizer_header(text, config, template):
    """The header's tokenizer: vocabulary and merges for other readers, the whole file, and what lies beside it."""
    if text is None:
        return '{"merges":[],"vocab":{}}'
    parts = []
    if template is not None:
        parts.append('"chat_template":' + canonical(template))
    if config is not None:
        parts.append('"config":' + canonical({key: value for key, value in config.items() if key != "chat_template"}))
    parts += ['"json":' + canonical(text), vocabulary_header(json.loads(text)["model"])]
    return "{" + ",".join(parts) + "}"


def quantise(values):
    """int8 codes and f32 scales: scale = 127 / max, ties to even; a group without a finite scale gets 1."""
    groups = values.reshape(-1, GROUP)
    with np.errstate(divide="ignore", over="ignore"):
        scales = np.float32(127) / np.abs(groups).max(axis=1)
    scales = np.where(np.isfinite(scales) & (scales > 0), scales, np.float32(1)).astype(np.float32)
    codes = np.rint(groups * scales[:, None]).clip(-127, 127).astype(np.int8)
    return codes, scales


def padded(size):
    return -(-size // ALIGNMENT) * ALIGNMENT


def plan(shapes, quant):
    """The header's entry of each tensor, by name; `shapes` maps names to shapes."""
    entries, end = {}, 0
    for name in sorted(shapes):
        shape = list(shapes[name])
        count = int(np.prod(shape, dtype=np.int64))
        if count == 0:
            raise ExportError(f"tensor '{name}' has no values")
        int8 = quant == "int8" and name.endswith(QUANTISED)
        entry = {"dtype": "int8" if int8 else "f32", "offset": end, "scale_offset": 0, "scale_size": 0, "shape": shape}
        end += padded(count if int8 else count * 4)
        if int8:
            if shape[-1] % GROUP:
                raise ExportError(f"tensor '{name}': rows of {shape[-1]} values are not whole groups of {GROUP} for int8: choose f32")
            entry.update(scale_offset=end, scale_size=count // GROUP)
            end += padded(entry["scale_size"] * 4)
        entries[name] = entry
    return entries


def write_native(out, header_metadata, tokenizer, shapes, load):
    """Writes a native file; `load(name)` returns a tensor as f32, one at a time."""
    entries = plan(shapes, header_metadata["quant"])
    header = '{"metadata":%s,"tensors":%s,"tokenizer":%s}' % (
        canonical(header_metadata),
        canonical(entries),
        tokenizer,
    )
    header = header.encode()
    header += b" " * (padded(len(header) + 8) - len(header) - 8)
    out.write(struct.pack("<Q", len(header)) + header)

    def put(array):
        data = array.tobytes()
        out.write(data + bytes(padded(len(data)) - len(data)))

    for name, entry in entries.items():
        values = np.ascontiguousarray(load(name), dtype="<f4")
        if entry["dtype"] == "int8":
            codes, scales = quantise(values)
            put(codes)
            put(scales.astype("<f4"))
        else:
            put(values)


class Safetensors:
    """One safetensors file, mapped; tensors are decoded to f32 when they are asked for."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            size = file.read(8)
            if len(size) < 8:
                raise ExportError(f"{path}: too short for a safetensors file")
            (size,) = struct.unpack("<Q", size)
            if size > 100_000_000:
                raise ExportError(f"{path}: the header's size {size} is above 100000000")
            self.header = json.loads(file.read(size))
        self.header.pop("__metadata__", None)
        self.start = 8 + size

    def load(self, name):
        info = self.header[name]
        start, end = info["data_offsets"]
        raw = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}.get(info["dtype"])
        if raw is None:
            raise ExportError(f"{self.path}: tensor '{name}' has the element type {info['dtype']}, not F32, F16 or BF16")
        values = np.memmap(self.path, dtype=np.uint8, mode="r", offset=self.start + start, shape=(end - start,))
        values = np.frombuffer(values.tobytes(), dtype=raw)
        if info["dtype"] == "BF16":
            values = (values.astype("<u4") << 16).view("<f4")
        return values.astype("<f4").reshape(info["shape"])


def open_tensors(folder):
    """The files of the tensors, by name."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        file = Safetensors(folder / "model.safetensors")
        return dict.fromkeys(file.header, file)
    weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    if any("/" in name or "\\" in name for name in weight_map.values()):
        raise ExportError(f"{index}: a shard lies outside the folder")
    files = {name: Safetensors(folder / name) for name in set(weight_map.values())}
    return {tensor: files[name] for tensor, name in weight_map.items()}


def read_text(path):
    """The text of a file as it is, None where there is none."""
    return path.read_bytes().decode("utf-8") if path.exists() else None


def read_object(path):
    """The JSON object in a file, None where there is none."""
    text = read_text(path)
    return None if text is None else json.loads(text)


def tokenizer_config(folder):
    """tokenizer_config.json; a role that it gives to no token has the one of special_tokens_map.json."""
    config, roles = (read_object(folder / name) for name in ("tokenizer_config.json", "special_tokens_map.json"))
    if config is None or roles is None:
        return config if roles is None else roles
    missing = {role: token for role, token in roles.items() if config.get(role) is None}
    return {**config, **missing}


def chat_template(folder, config):
    template = read_text(folder / "chat_template.jinja")
    if template is not None or config is None:
        return template
    template = config.get("chat_template")
    if isinstance(template, list):
        template = next((entry["template"] for entry in template if entry.get("name") == "default"), None)
    return template if isinstance(template, str) else None


def export(folder, out, quant):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    generation = read_object(folder / "generation_config.json") or {}
    files = open_tensors(folder)
    shapes = {name: file.header[name]["shape"] for name, file in files.items()}
    text, beside = read_text(folder / "tokenizer.json"), tokenizer_config(folder)
    tokenizer = tokenizer_header(text, beside, chat_template(folder, beside) if text is not None else None)
    header = metadata(config, generation, quant)
    with open(out, "wb") as file:
        write_native(file, header, tokenizer, shapes, lambda name: files[name].load(name))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_dir", required=True, type=Path, help="folder with config.json and safetensors files")
    parser.add_argument("--out", type=Path, default=Path("mistral.bin"), help="the file to write (mistral.bin)")
    parser.add_argument("--quant", choices=["f32", "int8"], default="f32", help="how weights are stored (f32)")
    args = parser.parse_args()
    try:
        export(args.model_dir, args.out, args.quant)
    except (ExportError, OSError, KeyError, ValueError) as error:
        sys.exit(f"export_mistral: {args.model_dir}: {error}")
    print(f"wrote {args.out} ({args.out.stat().st_size} bytes, {args.quant})")


if __name__ == "__main__":
    main()
