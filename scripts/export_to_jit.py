#!/usr/bin/env python3
"""Traces a classifier of Hugging Face's transformers into TorchScript, for the engine on libtorch.

    python3 scripts/export_to_jit.py --model meta-llama/Llama-Prompt-Guard-2-86M --output models/promptguard.pt --device cpu
    python3 scripts/export_to_jit.py --local-model FOLDER --output models/promptguard_mps.pt --device mps

Writes the module, and the tokenizer beside it. The module takes token ids and a mask (1 for tokens, 0 for padding), both
[texts, tokens], and gives logits [texts, labels]. Needs torch and transformers; sentencepiece and tiktoken for tokenizers that have no
tokenizer.json. With --model the weights are downloaded from Hugging Face.
"""

import argparse
import shutil
import sys
from pathlib import Path


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", metavar="NAME", help="name on Hugging Face")
    source.add_argument("--local-model", metavar="FOLDER", type=Path, help="folder with config.json and weights")
    parser.add_argument("--output", required=True, type=Path, help="file to write, such as models/promptguard.pt")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda", "mps"], help="where it will run (cpu)")
    return parser.parse_args()


def check_device(torch, device):
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[device]:
        sys.exit(f"this torch finds no {device}: --device cpu would work")


def traced(torch, name, device):
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(name, dtype=torch.float32).eval().to(device)

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    module = Logits().eval()
    # Two texts of odd lengths, one padded: what depends on shapes shows when the result is checked with others.
    ids = torch.arange(1, 47, device=device).reshape(2, 23) % model.config.vocab_size
    mask = torch.ones_like(ids)
    mask[1, 17:] = 0
    with torch.no_grad():
        script = torch.jit.trace(module, (ids, mask), check_trace=False)
        check(torch, module, script, model.config.vocab_size, device)
    return script


def check(torch, module, script, vocab, device):
    """The trace has to hold for other shapes than the one it was made with."""
    for texts, tokens in [(1, 5), (3, 64), (1, 200)]:
        ids = torch.arange(texts * tokens, device=device).reshape(texts, tokens) % vocab
        mask = torch.ones_like(ids)
        worst = (module(ids, mask) - script(ids, mask)).abs().max().item()
        if not worst < 1e-3:
            sys.exit(f"the traced module differs by {worst} for {texts} texts of {tokens} tokens: it does not hold for all shapes")


# What transformers makes a tokenizer.json of where there is none.
OTHER_TOKENIZERS = ("spm.model", "sentencepiece.bpe.model", "tokenizer.model", "vocab.txt", "vocab.json")


def write_tokenizer(name, folder):
    local = Path(name)
    if local.is_dir() and not (local / "tokenizer.json").exists():
        if not any((local / file).exists() for file in OTHER_TOKENIZERS):
            print(f"{name} has no tokenizer: the engine needs a tokenizer.json beside the model", file=sys.stderr)
            return
    if (local / "tokenizer.json").exists():
        for file in ("tokenizer.json", "tokenizer_config.json"):
            if (local / file).exists() and (local / file).resolve() != (folder / file).resolve():
                shutil.copyfile(local / file, folder / file)
        return
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(name).save_pretrained(folder)


def main():
    args = parse()
    import torch

    check_device(torch, args.device)
    name = str(args.local_model.expanduser()) if args.local_model else args.model
    args.output.parent.mkdir(parents=True, exist_ok=True)
    script = traced(torch, name, args.device)
    script.save(str(args.output))
    write_tokenizer(name, args.output.parent)
    print(f"{args.output} ({args.output.stat().st_size / 1e6:.0f} MB, {args.device})")


if __name__ == "__main__":
    main()
