#!/usr/bin/env python3
"""Runs the whole comparison: every row of the performance log's closing table, ours beside two peers, in turn.

    benches/compare/table.py --llama llama.cpp/build/bin --ik ik_llama.cpp/build/bin --models FOLDER [ROW...]

Models that are missing are written to FOLDER first, with random weights (`torchless bench --shape`). Rows are named by what
they measure, see ROWS; without names all are run. Each row is measured as compare.py does, and the ratio is that to the
better of the peers in the same round. See README.md.
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import compare

# 16 tokens in the vocabulary of the random models: the opening one, three bytes of a space sign, twelve letters.
SIXTEEN_TOKENS = "abcdefghijkl"


@dataclass(frozen=True)
class Row:
    """One comparison: the models it is made on and what of them is measured."""

    name: str
    models: tuple  # of (shape, type)
    prompt: int = 0
    generate: int = 0
    depth: int = 0
    sequences: int = 1
    start: bool = False
    busy: bool = False
    target: "float | None" = None  # ratio to the better peer; of seconds, the greatest that is wanted
    ours: tuple = ()  # further options of torchless
    peers: bool = True


SMALL = tuple((shape, ty) for shape in ("llama-3.2-1b", "qwen2.5-0.5b") for ty in ("Q4_0", "Q8_0", "Q4_K_M", "Q6_K"))
ONE = (("llama-3.2-1b", "Q4_0"),)
SEVEN = (("mistral-7b", "Q4_0"), ("mistral-7b", "Q4_K_M"))
MIXTURE = (("qwen3-30b-a3b-4-layers", "Q4_0"),)

ROWS = (
    Row("prefill-512", SMALL, prompt=512, target=1.4),
    Row("prefill-512-halves", (("llama-3.2-1b", "F16"), ("llama-3.2-1b", "BF16")), prompt=512, target=1.15),
    Row("prefill-128-7b", SEVEN, prompt=128, target=1.4),
    Row("decode", SMALL + (("llama-3.2-1b", "F16"), ("llama-3.2-1b", "BF16")), generate=48, target=1.15),
    Row("decode-7b", SEVEN, generate=16, target=1.15),
    Row("decode-4096", ONE, generate=32, depth=4096, target=1.5),
    Row("prefill-4096", ONE, prompt=4096, target=1.5),
    Row("sequences-4", ONE, generate=32, sequences=4, target=1.8),
    Row("sequences-8", ONE, generate=32, sequences=8, target=1.8),
    Row("sequences-16", ONE, generate=32, sequences=16, target=1.8),
    Row("start", ONE, start=True, target=0.6),
    Row("busy", ONE, generate=24, busy=True, target=3.0),
    Row("experts-prefill", MIXTURE, prompt=512, target=1.3),
    Row("experts-decode", MIXTURE, generate=48, target=1.3),
    Row("lazy-7b", SEVEN[:1], generate=16, ours=("--lazy",), peers=False),
    Row("limit-7b", SEVEN[:1], generate=16, ours=("--memory-limit", "2G"), peers=False),
)


def engines(row, options):
    """Ours, and the program of each peer that measures such a row."""
    ours = compare.Engine("torchless", (options.ours, *row.ours), "torchless")
    if not row.peers:
        return [ours, compare.Engine("torchless, resident", (options.ours,), "torchless")]
    llama, ik = Path(options.llama), Path(options.ik)
    if row.start:
        quick = ("--no-warmup",)
        return [ours,
                compare.Engine("llama.cpp", (str(llama / "llama-completion"), "-no-cnv", *quick), "llama-bench"),
                compare.Engine("ik_llama.cpp", (str(ik / "llama-cli"), *quick), "llama-bench")]
    name = "llama-batched-bench" if row.sequences > 1 else "llama-bench"
    return [ours, compare.Engine("llama.cpp", (str(llama / name),), "llama-bench"),
            compare.Engine("ik_llama.cpp", (str(ik / name),), "ik-bench")]


def model_path(options, shape, ty):
    """The file of a model, written where it is not there yet."""
    path = Path(options.models) / f"{shape}-{ty}.gguf"
    if not path.exists():
        partial = path.with_suffix(".partial")
        command = [options.ours, "bench", "--shape", shape, "--type", ty, "--write", str(partial)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        partial.rename(path)
    return path


def measured(row, model, options):
    """The row of the table for one model, and everything that was measured."""
    plan = compare.Plan(row.prompt, row.generate, row.depth, options.threads, options.repetitions, options.timeout,
                        row.sequences, SIXTEEN_TOKENS if row.start else "", row.busy)
    series = compare.compare(engines(row, options), model, plan, options.rounds)
    (test,) = plan.tests()
    speeds = [one.speeds(test) for one in series]
    best = (min if row.start else max)
    ratio = compare.ratios(speeds[0], [best(peers) for peers in zip(*speeds[1:])])
    middle = statistics.median(ratio)
    met = "" if row.target is None else ("yes" if (middle <= row.target if row.start else middle >= row.target) else "no")
    cells = [row.name, model.stem]
    cells += [compare.spread(values, 2 if row.start else 1) for values in speeds]
    cells += [""] * (5 - len(cells))
    cells += [compare.spread(ratio, 2), "" if row.target is None else str(row.target), met]
    cells += ["/".join(f"{statistics.median(of(one)):.0f}" for one in series if of(one))
              for of in (compare.Series.peaks, compare.Series.anonymous)]
    return cells, {"row": row.name, **compare.record(model, series, plan)}


def arguments(argv):
    """The parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(row.name for row in ROWS)} (default: all)")
    parser.add_argument("--ours", default="target/release/torchless", help="(default: %(default)s)")
    parser.add_argument("--llama", required=True, metavar="FOLDER", help="programs of llama.cpp")
    parser.add_argument("--ik", required=True, metavar="FOLDER", help="programs of ik_llama.cpp")
    parser.add_argument("--models", required=True, metavar="FOLDER", help="where models are, or are written to")
    parser.add_argument("--only", metavar="TEXT", default="", help="models with this in their names alone")
    parser.add_argument("-t", "--threads", type=compare.count(1), default=compare.available_threads())
    parser.add_argument("-r", "--repetitions", type=compare.count(1), default=2)
    parser.add_argument("--rounds", type=compare.count(1), default=3)
    parser.add_argument("--timeout", type=float, default=1800)
    parser.add_argument("--save", type=Path, metavar="FILE", help="add every sample as a line of JSON")
    options = parser.parse_args(argv)
    unknown = set(options.rows) - {row.name for row in ROWS}
    if unknown:
        parser.error(f"unknown rows: {', '.join(sorted(unknown))}")
    return options


HEADER = ["row", "model", "torchless", "llama.cpp", "ik_llama.cpp", "ratio to the better", "target", "met",
          "peak MB", "own MB"]


def main(argv):
    """Runs the rows; returns the exit status."""
    options = arguments(argv)
    body, failures = [], 0
    for row in ROWS:
        if options.rows and row.name not in options.rows:
            continue
        for shape, ty in row.models:
            if options.only not in f"{shape}-{ty}":
                continue
            try:
                cells, record = measured(row, model_path(options, shape, ty), options)
            except (compare.Failure, OSError, subprocess.CalledProcessError) as error:
                print(f"error: {row.name}: {error}", file=sys.stderr)
                failures += 1
                continue
            body.append(cells)
            print(compare.table(HEADER, [cells]).splitlines()[-1], file=sys.stderr, flush=True)
            if options.save:
                with open(options.save, "a") as file:
                    file.write(json.dumps(record) + "\n")
    print(compare.table(HEADER, body))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
