#!/usr/bin/env python3
"""Runs torchless and other engines in turn on the same models and prints their speeds and ratios.

Speeds move from machine to machine and from minute to minute, so a figure means something only beside another engine's
figure taken at the same time. Each round runs every engine once, one after the other; the ratio is formed within a round,
and the table gives its median, least and greatest value over the rounds. Needs Python 3.9 and nothing else. See README.md.
"""

import argparse
import contextlib
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

# `pp512`, `tg64`, and what an engine may append for depth or company: `tg64@d4096`, `tg64 @ d4096`, `tg64x8`.
TEST_NAME = re.compile(r"^(pp|tg)(\d+)(?!\d)")
MEGABYTE = 1e6
BATCHED_PROMPT = 16


# Seconds, where the others are tokens per second.
START = "seconds to the first token"


class Failure(Exception):
    """A run that gave no figures, or figures that cannot be compared."""


@dataclass(frozen=True)
class Engine:
    """A program to measure: its name in the table, its command, and which command line and output it speaks."""

    name: str
    command: tuple
    dialect: str  # "torchless", "llama-bench" or "ik-bench" (llama-bench as ik_llama.cpp has it: depth by -gp)

    def arguments(self, model, plan):
        """The full command line for one run of `plan` on `model`."""
        program, *extra = self.command
        if plan.start:
            return [program, *self.first_token(model, plan), *extra]
        if plan.sequences > 1 and self.dialect != "torchless":
            return [program, *batched(model, plan), *extra]
        repetitions = [] if plan.repetitions is None else ["-r", str(plan.repetitions)]
        if self.dialect == "ik-bench" and plan.depth > 0:
            tests = ["-p", "0", "-n", "0", "-gp", f"{plan.depth},{plan.generate}", "-t", str(plan.threads)]
        else:
            depth = ["-d", str(plan.depth)] if self.dialect != "ik-bench" else []
            tests = ["-p", str(plan.prompt), "-n", str(plan.generate), *depth, "-t", str(plan.threads)]
        if self.dialect == "torchless":
            company = ["-b", str(plan.sequences)] if plan.sequences > 1 else []
            return [program, "bench", str(model), *tests, *company, *repetitions, "--json", *extra]
        return [program, "-m", str(model), *tests, *repetitions, "-o", "json", *extra]

    def first_token(self, model, plan):
        """Arguments of a run that ends with its first token."""
        if self.dialect == "torchless":
            return [str(model), "--prompt", plan.start, "--max-tokens", "1", "--quiet", "--threads", str(plan.threads)]
        return ["-m", str(model), "-p", plan.start, "-n", "1", "-t", str(plan.threads)]


def batched(model, plan):
    """Arguments of llama-batched-bench: a short prompt for each sequence, then all of them generate together."""
    context = plan.sequences * (BATCHED_PROMPT + plan.generate)
    return ["-m", str(model), "-c", str(context), "-b", "2048", "-ub", "512", "-npp", str(BATCHED_PROMPT),
            "-ntg", str(plan.generate), "-npl", str(plan.sequences), "-t", str(plan.threads)]


@dataclass(frozen=True)
class Plan:
    """What one run measures: tokens to prefill and to generate (0 leaves the test out), at which depth, how often."""

    prompt: int
    generate: int
    depth: int
    threads: int
    repetitions: "int | None"
    timeout: float
    sequences: int = 1
    start: str = ""
    busy: bool = False

    def tests(self):
        """The names of the tests a run must report."""
        if self.start:
            return [START]
        return [f"{kind}{n}" for kind, n in (("pp", self.prompt), ("tg", self.generate)) if n > 0]


@dataclass
class Run:
    """One run's figures: tokens per second per test, every repetition, and the greatest resident memory in bytes."""

    samples: dict
    threads: "int | None"
    peak_bytes: "int | None"
    anonymous_bytes: "int | None" = None


@dataclass
class Series:
    """One engine's runs on one model, in the order they were made."""

    engine: Engine
    runs: list = field(default_factory=list)

    def speeds(self, test):
        """The median tokens per second of each run."""
        return [statistics.median(run.samples[test]) for run in self.runs]

    def peaks(self):
        """The greatest resident memory of each run in megabytes."""
        return [run.peak_bytes / MEGABYTE for run in self.runs if run.peak_bytes]

    def anonymous(self):
        """The greatest memory of its own that was seen in each run, in megabytes."""
        return [run.anonymous_bytes / MEGABYTE for run in self.runs if run.anonymous_bytes]


def test_key(name):
    """`tg64 @ d4096` -> `tg64`; anything that is not a test name is refused."""
    match = TEST_NAME.match(name)
    if not match:
        raise Failure(f"unknown test {name!r} (known: ppN, tgN)")
    return match.group(0)


def parse_torchless(report):
    """Reads `torchless bench --json`: one object with `results`, each a test and its repetitions."""
    samples = {}
    for result in report["results"]:
        samples[test_key(result["test"])] = [float(x) for x in result["tokens_per_second"]]
    return Run(samples, report.get("threads"), report.get("peak_rss_bytes"))


def parse_llama_bench(report):
    """Reads `llama-bench -o json`: a list with one object per test. A combined `-pg` test is refused."""
    samples, threads = {}, None
    for entry in report:
        prompt, generate = entry["n_prompt"], entry["n_gen"]
        if prompt and generate and entry.get("test", "").startswith("tg"):
            prompt = 0  # ik_llama.cpp: generated after a prompt that is not part of the time
        if bool(prompt) == bool(generate):
            raise Failure(f"a test of {prompt} prompt and {generate} generated tokens is neither ppN nor tgN")
        test = f"pp{prompt}" if prompt else f"tg{generate}"
        samples[test] = [float(x) for x in entry.get("samples_ts") or [entry["avg_ts"]]]
        threads = entry.get("n_threads", threads)
    return Run(samples, threads, None)


def parse_batched_bench(text):
    """Reads the table of llama-batched-bench: the total of generated tokens per second is its eighth column."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 10 and cells[0].isdigit():
            return Run({f"tg{cells[1]}": [float(cells[7])]}, None, None)
    raise Failure("no row of a table was printed")


def parse(text):
    """Recognises either output by its outermost shape."""
    try:
        report = json.loads(text)
    except ValueError as error:
        raise Failure(f"no JSON on standard output ({error})") from error
    try:
        if isinstance(report, list):
            return parse_llama_bench(report)
        return parse_torchless(report)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Failure(f"unexpected JSON: {error!r}") from error


class Watch(threading.Thread):
    """Looks at a process from time to time: the most memory of its own, not of files, that it had resident."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.status, self.over, self.most = Path(f"/proc/{pid}/status"), threading.Event(), 0

    def run(self):
        while not self.over.wait(0.05):
            try:
                found = re.search(r"^RssAnon:\s+(\d+) kB", self.status.read_text(), re.M)
            except OSError:
                return
            if found:
                self.most = max(self.most, int(found.group(1)) * 1024)


@dataclass
class Finished:
    """What is known of a command that has ended."""

    status: int
    out: str
    err: str
    seconds: float
    peak_bytes: int
    anonymous_bytes: "int | None"


def spawn(arguments, timeout):
    """Runs a command to its end."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.monotonic()
        try:
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        except OSError as error:
            raise Failure(str(error)) from error
        watch = Watch(process.pid)
        watch.start()
        timer = threading.Timer(timeout, process.kill)
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
            watch.over.set()
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        unit = 1 if sys.platform == "darwin" else 1024
        out.seek(0)
        err.seek(0)
        return Finished(process.returncode, out.read(), err.read(), seconds, usage.ru_maxrss * unit, watch.most or None)


@contextlib.contextmanager
def company(wanted):
    """Keeps one core busy with another process meanwhile."""
    if not wanted:
        yield
        return
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        other.kill()
        other.wait()


def measure(engine, model, plan):
    """Runs `engine` once. Every test of the plan must be reported, with positive speeds, on the asked number of threads."""
    arguments = engine.arguments(model, plan)
    with company(plan.busy):
        done = spawn(arguments, plan.timeout)
    if done.status != 0:
        last = "\n  ".join(done.err.strip().splitlines()[-5:])
        raise Failure(f"exit status {done.status}\n  command: {shlex.join(arguments)}\n  {last}")
    if plan.start:
        run = Run({START: [done.seconds]}, None, None)
    elif plan.sequences > 1 and engine.dialect != "torchless":
        # llama.cpp prints the table on one stream, ik_llama.cpp on the other.
        run = parse_batched_bench(done.out + "\n" + done.err)
    else:
        run = parse(done.out)
    for test in plan.tests():
        speeds = run.samples.get(test)
        if not speeds or any(not 0 < x < float("inf") for x in speeds):
            raise Failure(f"{test} is missing or not a speed: {speeds}")
    if run.threads is not None and run.threads != plan.threads:
        raise Failure(f"ran on {run.threads} threads where {plan.threads} were asked for")
    # The system's count is taken for all, so that nobody's own idea of memory decides.
    run.peak_bytes, run.anonymous_bytes = done.peak_bytes, done.anonymous_bytes
    return run


def warm(model):
    """Reads the file once, so that no engine's first run pays for the disk."""
    with open(model, "rb", buffering=0) as file:
        buffer = bytearray(1 << 22)
        while file.readinto(buffer):
            pass


def compare(engines, model, plan, rounds):
    """Runs every engine once per round, in turn; returns one Series per engine."""
    warm(model)
    series = [Series(engine) for engine in engines]
    for number in range(rounds):
        for one in series:
            print(f"{model.name}: round {number + 1}/{rounds}: {one.engine.name}", file=sys.stderr, flush=True)
            try:
                one.runs.append(measure(one.engine, model, plan))
            except Failure as failure:
                raise Failure(f"{one.engine.name} on {model}: {failure}") from failure
    return series


def spread(values, digits):
    """`median (least..greatest)`."""
    low, mid, high = min(values), statistics.median(values), max(values)
    return f"{mid:.{digits}f} ({low:.{digits}f}..{high:.{digits}f})"


def ratios(ours, theirs):
    """Ours over theirs, round by round."""
    return [a / b for a, b in zip(ours, theirs)]


def rows(model, series, plan):
    """Table rows of one model: for each test and for memory, ours, then each peer with the ratio to ours."""
    ours, *peers = series
    suffix = (f"@d{plan.depth}" if plan.depth else "") + (f"x{plan.sequences}" if plan.sequences > 1 else "")
    suffix += " beside a busy process" if plan.busy else ""
    for test in plan.tests():
        mine = ours.speeds(test)
        what, digits = (test, 2) if plan.start else (f"{test}{suffix} tok/s", 1)
        row = [model.stem, what, spread(mine, digits)]
        for peer in peers:
            row += [spread(peer.speeds(test), digits), spread(ratios(mine, peer.speeds(test)), 2)]
        yield row
    for what, of in (("peak memory MB", Series.peaks), ("of its own MB", Series.anonymous)):
        if all(of(one) for one in series):
            row = [model.stem, what, spread(of(ours), 0)]
            for peer in peers:
                row += [spread(of(peer), 0), spread(ratios(of(ours), of(peer)), 2)]
            yield row


def table(header, body):
    """A Markdown table with padded columns."""
    lines = [header, *body]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]

    def render(line):
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([render(header), rule, *map(render, body)])


def record(model, series, plan):
    """Everything measured on one model, for `--save`."""
    return {
        "model": model.name,
        "threads": plan.threads,
        "depth": plan.depth,
        "engines": [
            {
                "name": one.engine.name,
                "command": shlex.join(one.engine.arguments(model, plan)),
                "runs": [
                    {"tokens_per_second": run.samples, "peak_rss_bytes": run.peak_bytes,
                     "peak_anonymous_bytes": run.anonymous_bytes}
                    for run in one.runs
                ],
            }
            for one in series
        ],
    }


def named(text, dialect):
    """`NAME=COMMAND ARGUMENTS...` or `COMMAND ARGUMENTS...`, named after its file then."""
    match = re.match(r"^([\w.+-]+)=(.+)$", text, re.S)
    words = shlex.split(match.group(2) if match else text)
    if not words:
        raise argparse.ArgumentTypeError("an engine needs a path")
    return Engine(match.group(1) if match else Path(words[0]).name, tuple(words), dialect)


def count(least):
    """An argument type: a whole number from `least` on."""

    def convert(text):
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        return value

    convert.__name__ = "whole number"
    return convert


def available_threads():
    """Processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def arguments(argv):
    """The parsed command line."""
    parser = argparse.ArgumentParser(
        description="Runs torchless and other engines in turn and prints ratios (above 1: ours is faster, or takes more memory)."
    )
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="GGUF files")
    parser.add_argument("--ours", default="torchless=target/release/torchless", metavar="[NAME=]PATH [ARGS]",
                        help="the torchless to measure (default: %(default)s)")
    parser.add_argument("--peer", action="append", default=[], metavar="[NAME=]PATH [ARGS]",
                        help="a program that takes llama-bench's options and prints its JSON; may be repeated")
    parser.add_argument("--ik", action="append", default=[], metavar="[NAME=]PATH [ARGS]",
                        help="as --peer, for the llama-bench of ik_llama.cpp; may be repeated")
    parser.add_argument("--build", action="append", default=[], metavar="[NAME=]PATH [ARGS]",
                        help="another build of torchless, for before and after; may be repeated")
    parser.add_argument("-p", "--prompt", type=count(0), default=512, help="tokens to prefill (default: %(default)s, 0: none)")
    parser.add_argument("-n", "--generate", type=count(0), default=64, help="tokens to generate (default: %(default)s, 0: none)")
    parser.add_argument("-d", "--depth", type=count(0), default=0, help="tokens already in the cache (default: %(default)s)")
    parser.add_argument("-b", "--sequences", type=count(1), default=1,
                        help="sequences at once; peers are programs like llama-batched-bench then (default: %(default)s)")
    parser.add_argument("--start", metavar="PROMPT", default="",
                        help="measure seconds from the start of a process to its end after one token instead; "
                             "peers are programs like llama-cli then")
    parser.add_argument("--busy", action="store_true", help="keep one core busy with another process meanwhile")
    parser.add_argument("-t", "--threads", type=count(1), default=available_threads(), help="threads (default here: %(default)s)")
    parser.add_argument("-r", "--repetitions", type=count(1), help="repetitions within a run (default: each engine's own)")
    parser.add_argument("--rounds", type=count(1), default=3, help="times every engine is run (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=1800, metavar="SECONDS", help="longest run (default: %(default)s)")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write every sample as JSON")
    options = parser.parse_args(argv)
    if not options.peer and not options.build and not options.ik:
        parser.error("nothing to compare with: give --peer, --ik or --build")
    if options.prompt == 0 and options.generate == 0:
        parser.error("nothing to measure: -p and -n are both 0")
    return options


def engines_of(options):
    """Ours first, then the other builds, then the peers; names must differ."""
    engines = [named(options.ours, "torchless")]
    engines += [named(text, "torchless") for text in options.build]
    engines += [named(text, "llama-bench") for text in options.peer]
    engines += [named(text, "ik-bench") for text in options.ik]
    names = [engine.name for engine in engines]
    if len(set(names)) != len(names):
        raise Failure(f"two engines have one name ({', '.join(names)}); name them as NAME=PATH")
    return engines


def main(argv):
    """Runs the comparison; returns the exit status."""
    options = arguments(argv)
    prompt = 0 if options.sequences > 1 else options.prompt
    plan = Plan(prompt, options.generate, options.depth, options.threads, options.repetitions, options.timeout,
                options.sequences, options.start, options.busy)
    body, records = [], []
    try:
        engines = engines_of(options)
        load = os.getloadavg()[0]
        for model in options.models:
            series = compare(engines, model, plan, options.rounds)
            body += rows(model, series, plan)
            records.append(record(model, series, plan))
        if options.save:
            options.save.write_text(json.dumps(records, indent=1) + "\n")
    except (Failure, OSError, argparse.ArgumentTypeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    header = ["model", "what", engines[0].name]
    for engine in engines[1:]:
        header += [engine.name, f"{engines[0].name} / {engine.name}"]
    print(table(header, body))
    print(f"\nmedian (least..greatest) of {options.rounds} rounds in turn, {plan.threads} threads, load {load:.1f} before the start")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
