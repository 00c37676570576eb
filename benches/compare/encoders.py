#!/usr/bin/env python3
"""Runs torchless' encoders and ONNX Runtime in turn on the same classifiers and prints milliseconds and ratios.

    python3 benches/compare/encoders.py FOLDER... [--ours BENCH] [--texts 1x16,1x128,1x512,8x128] [--threads 2 | --cpu-time] [--rounds 9]

Each folder is one that export_encoder.py made. All engines are loaded first; then each round runs every engine once on every batch, one after
the other, with a pause in between for threads that spin to go to sleep. A ratio is formed within a round, and the table gives its median,
least and greatest value. Logits are compared with those of ONNX Runtime in single precision. See README.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

VOCAB = 4096
PAUSE = 0.05
PRECISIONS = ("f32", "bf16", "int8")
# What each of ours is compared with.
PEER = {"f32": "onnx-fp32", "bf16": "onnx-fp32", "int8": "onnx-int8"}


def ids(count, length):
    """The same tokens as the bench takes."""
    return [[i * 37 % VOCAB for i in range(length)] for _ in range(count)]


class Ours:
    """The bench `encoder` of the crate torchless, which answers a line `TEXTSxTOKENS` with milliseconds and logits."""

    def __init__(self, bench, folder, precision, threads, clock):
        command = [bench, "--model", str(folder), "--precision", precision, "--threads", str(threads), "--serve"]
        # The bench counts its thread's processor time where this is set.
        environment = {**os.environ, "CPU_TIME": "1"} if clock is time.thread_time else None
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.name = self.process.stdout.readline().strip()

    def run(self, count, length):
        self.process.stdin.write(f"{count}x{length}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().split()
        if len(line) != 1 + 2 * count:
            sys.exit(f"{self.process.args} answered {line}")
        numbers = [float(x) for x in line]
        return numbers[0], numbers[1:]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class OnnxRuntime:
    def __init__(self, path, threads, clock):
        import onnxruntime

        self.clock = clock
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.name = f"ONNX Runtime {onnxruntime.__version__}"
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, count, length):
        import numpy

        tokens = numpy.array(ids(count, length), dtype=numpy.int64)
        feed = {"input_ids": tokens, "attention_mask": numpy.ones_like(tokens)}
        start = self.clock()
        logits = self.session.run(["logits"], feed)[0]
        return (self.clock() - start) * 1e3, logits.flatten().tolist()

    def close(self):
        pass


def measure(engines, texts, rounds):
    """Milliseconds by engine and batch, the first round left out, and the logits."""
    times = {name: {text: [] for text in texts} for name in engines}
    logits = {name: {} for name in engines}
    for turn in range(rounds + 1):
        for text in texts:
            for name, engine in engines.items():
                time.sleep(PAUSE)
                took, logits[name][text] = engine.run(*text)
                if turn:
                    times[name][text].append(took)
    return times, logits


def report(folder, times, logits):
    print(f"\n### {folder.name}\n\n| texts | engine | ms | ratio | least | greatest | logits differ by |\n|---|---|---|---|---|---|---|")
    for text in next(iter(times.values())):
        for name, by_text in times.items():
            median = statistics.median(by_text[text])
            row = f"| {text[0]}x{text[1]} | {name} | {median:.1f} |"
            if name in PEER:
                ratios = [a / b for a, b in zip(by_text[text], times[PEER[name]][text])]
                row += f" {statistics.median(ratios):.2f} | {min(ratios):.2f} | {max(ratios):.2f} |"
            else:
                row += " | | |"
            exact = logits["onnx-fp32"][text]
            print(f"{row} {max(abs(a - b) for a, b in zip(logits[name][text], exact)):.1e} |")
    sys.stdout.flush()


def newest_bench():
    found = [p for p in Path("target/release/deps").glob("encoder-*") if p.suffix == ""]
    return str(max(found, key=lambda p: p.stat().st_mtime)) if found else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--ours", default=newest_bench(), help="the bench, default: the newest in target/release/deps")
    parser.add_argument("--precision", action="append", choices=PRECISIONS, help="default: all")
    parser.add_argument("--texts", default="1x16,1x128,1x512,8x128")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cpu-time", action="store_true", help="processor time of one thread, for a machine that is not quiet")
    parser.add_argument("--save", type=Path, help="every sample, as JSON")
    args = parser.parse_args()
    if not args.ours:
        sys.exit("no bench: build it with `cargo bench -p torchless --bench encoder --no-run`")
    texts = [tuple(int(n) for n in text.split("x")) for text in args.texts.split(",")]
    threads, clock = (1, time.thread_time) if args.cpu_time else (args.threads, time.perf_counter)
    samples = {}
    for folder in args.folders:
        engines = {p: Ours(args.ours, folder, p, threads, clock) for p in args.precision or PRECISIONS}
        engines["onnx-fp32"] = OnnxRuntime(folder / "model.onnx", threads, clock)
        engines["onnx-int8"] = OnnxRuntime(folder / "model_int8.onnx", threads, clock)
        print("; ".join(f"{name}: {engine.name}" for name, engine in engines.items()))
        times, logits = measure(engines, texts, args.rounds)
        report(folder, times, logits)
        samples[folder.name] = {n: {f"{a}x{b}": v for (a, b), v in by.items()} for n, by in times.items()}
        for engine in engines.values():
            engine.close()
    if args.save:
        args.save.write_text(json.dumps(samples, indent=1))


if __name__ == "__main__":
    main()
