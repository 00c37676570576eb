"""A further stage of training: goes on from what ships, with texts that were written since, and writes what ships then. On all other texts it is held to what it
said of them before. The n-grams, and how both views come together, stay as they are."""

import argparse
import copy
import json
import pathlib

import numpy as np
import torch

import dataset
import encoder
import export
import pieces
import shipped
import shrink

# Written since what ships was trained.
SINCE = tuple(f"written-hard_{name}" for name in ("abroad", "buried", "crowd", "fields", "pages", "places", "plain", "shifts", "tongues", "world"))
# What was known in the company that longer windows hold, then all of it.
COURSES = (encoder.Course(8e-5, 1, 30_000, 0.35, 16, (), 0.5, 0.5), encoder.Course(1e-4, 1, 60_000, 0.35, 17, SINCE, 0.4, 1.0))


def learn(model: encoder.Encoder, rows: list[dict], windows: pieces.Windows, steps: int | None) -> None:
    """Each course is held to what came out of the one before."""
    keep = np.ones(len(rows), dtype=bool)
    for course in COURSES:
        before = copy.deepcopy(model).eval()
        known = keep & ~np.isin([row["source"] for row in rows], [] if course.more else SINCE)
        torch.manual_seed(course.seed)
        encoder.train(model, rows, windows, known, course, steps, before)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=pathlib.Path, required=True)
    arguments.add_argument("--assets", type=pathlib.Path, required=True, help="what ships")
    arguments.add_argument("--steps", type=int, help="stop each course after so many steps, to see that it runs")
    arguments.add_argument("--output", type=pathlib.Path, required=True)
    given = arguments.parse_args()
    first, heads, reader = shipped.load(given.assets)
    model, rows = reader.model, dataset.load(given.rows)
    model.number = encoder.NUMBER
    learn(model, rows, pieces.windows(rows, reader.tokenizer), given.steps)
    for i, head in enumerate(heads):
        head.weights, head.bias = model.head.weight[i].tolist(), model.head.bias[i].item()
    given.output.mkdir(parents=True, exist_ok=True)
    shrink.write(model, reader.tokenizer, given.output / "encoder.gguf")
    export.write(first, heads, given.output / "detector.bin")
    export.write_golden(export.golden(first, heads, shrink.Reader(model, reader.tokenizer)), given.output)
    log = json.loads((given.assets / "training_log.json").read_text())
    export.write_log(log | {"rows": export.counts(rows)}, given.output)


if __name__ == "__main__":
    main()
