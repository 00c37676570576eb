"""Checks a story model file: samples it, recognises what it tells, and counts how much of that it has read before.

Fails when fewer than nine in ten samples are prefixes of stories, or when half or more of their 12-grams, of words or
of tokens, stand in the training text.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from gguf_forward import Runner, sample
from grammar import Grammar, Recogniser
from tokenizer import BOS_ID, EOS_ID

N = 12
LEAST_ACCEPTED, MOST_SEEN = 0.9, 0.5
SAMPLERS = {
    "temperature 0.7": {"temperature": 0.7, "top_k": 0, "top_p": 1.0},
    "temperature 0.7, top-k 40, top-p 0.9": {"temperature": 0.7, "top_k": 40, "top_p": 0.9},
}


def grams(items: list) -> list[int]:
    """Hashes of all runs of twelve."""
    return [hash(tuple(items[i : i + N])) for i in range(len(items) - N + 1)]


def seen_share(samples: list[list], known: set[int]) -> float:
    found = [gram in known for items in samples for gram in grams(items)]
    return sum(found) / max(1, len(found))


def acceptable(recogniser: Recogniser, text: str, ended: bool) -> bool:
    """A sample that ended must be a whole story; any other must be a prefix of one."""
    verdict = recogniser.check(text)
    return verdict.complete if ended else verdict.prefix


def torch_difference(runner: Runner, checkpoint: Path, story: str) -> float:
    """Largest difference of logits between the numpy forward and the PyTorch model on the same dequantised weights."""
    import torch

    from model import Shape, StoryModel

    torch.set_num_threads(1)
    model = StoryModel(Shape(**torch.load(checkpoint, weights_only=True)["shape"]))
    model.load_state_dict({name: torch.from_numpy(x.copy()) for name, x in runner.weights.items()})
    ids = [BOS_ID, *runner.tokenizer.encode(story)]
    runner.start(1)
    ours = np.stack([runner.step([id])[0] for id in ids])
    with torch.no_grad():
        theirs = model(torch.tensor([ids]))[0][0].numpy()
    return float(np.abs(ours - theirs).max())


def package_agrees(path: Path, runner: Runner) -> bool:
    """Does the `gguf` package read the same tensors, dequantised to the same bits?"""
    from gguf import GGUFReader
    from gguf.quants import dequantize

    theirs = {t.name: dequantize(t.data, t.tensor_type).reshape(t.shape[::-1]) for t in GGUFReader(path).tensors}
    return theirs.keys() == runner.weights.keys() and all(
        np.array_equal(theirs[name], x) for name, x in runner.weights.items()
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--checkpoint", type=Path, help="also compare logits with PyTorch")
    parser.add_argument("--seeds", type=int, default=20, help="samples per sampler, from seed 0 up")
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--prompt", default="", help="text to continue; the whole must be a prefix of a story")
    parser.add_argument("--samples", type=Path, help="write what the model told")
    args = parser.parse_args()

    grammar = Grammar.load()
    recogniser, runner = Recogniser(grammar), Runner(args.model)
    tokenizer = runner.tokenizer
    text = list(grammar.stories(grammar.corpus["seed"], grammar.corpus["stories"]))
    known_words = {gram for story in text for gram in grams(story.split(" "))}
    known_tokens = {gram for story in text for gram in grams(tokenizer.encode(story))}

    good, report = True, []
    if args.checkpoint:
        difference = torch_difference(runner, args.checkpoint, text[0])
        agrees = package_agrees(args.model, runner)
        good = good and difference < 1e-3 and agrees
        print(f"logits differ from PyTorch by at most {difference:.1e}; the gguf package agrees: {agrees}")
    prompt = tokenizer.encode(args.prompt) if args.prompt else []
    for name, settings in SAMPLERS.items():
        told = sample(runner, list(range(args.seeds)), [BOS_ID, *prompt], args.tokens, settings)
        texts = [tokenizer.decode(prompt + ids) for ids in told]
        accepted = [acceptable(recogniser, t, ids[-1] == EOS_ID) for t, ids in zip(texts, told)]
        words = seen_share([tokenizer.decode(ids).split(" ") for ids in told], known_words)
        tokens = seen_share([ids for ids in told], known_tokens)
        good = good and np.mean(accepted) >= LEAST_ACCEPTED and max(words, tokens) < MOST_SEEN
        line = f"{name}: {sum(accepted)} of {len(told)} accepted; "
        line += f"12-grams seen in training: words {words:.1%}, tokens {tokens:.1%}"
        print(line)
        report.append(f"# {line}\n")
        for seed, (t, yes, ids) in enumerate(zip(texts, accepted, told)):
            end = " [end of story]" if ids[-1] == EOS_ID else ""
            report.append(f"seed {seed}, {'accepted' if yes else 'REJECTED'}: {t}{end}\n")
            if not yes:
                read = recogniser.check(t).read
                print(f"  seed {seed} rejected after {t[:read]!r}, then {t[read : read + 30]!r}")
    if args.samples:
        args.samples.write_text("\n".join(report), encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
