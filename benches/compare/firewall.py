#!/usr/bin/env python3
"""Times torchless' scanners and the Python LlamaFirewall on the same messages, and prints microseconds and the ratio.

    python3 benches/compare/firewall.py --ours BENCH [--rounds 5] [--count 1000]

Scanners `regex` and `hidden_ascii` run in both, through `scan`, on messages cut out of this repository's texts; each message counts with its
best of the rounds. CodeShield runs here alone, on the same messages and on insecure and harmless code in which a rule of the original's
semgrep may find something (its `prescan_regex`), as messages with a fence. Needs the package llamafirewall, and codeshield for the rules;
neither torch nor semgrep. BENCH is the bench `scan` of the crate llamafirewall. See README.md.
"""

import argparse
import importlib.util
import json
import logging
import pathlib
import random
import re
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CASES = ROOT / "crates" / "llamafirewall-codeshield" / "tests" / "cases"
LANGUAGES = ("c", "csharp", "java", "javascript", "python")
SEED = 5


def messages(count):
    """Pieces of 100 to 2200 characters of the repository's documents and sources."""
    paths = [path for pattern in ("docs/**/*.md", "*.md", "crates/*/src/**/*.rs", "training/**/*.py") for path in sorted(ROOT.glob(pattern))]
    texts = [text for text in (path.read_text() for path in paths) if len(text) > 400]
    rng, out = random.Random(SEED), []
    for _ in range(count):
        text = rng.choice(texts)
        first = rng.randrange(len(text) - 200)
        out.append(text[first:first + rng.randint(100, 2200)])
    return out


def prescans(language):
    """What the original looks for before it starts semgrep."""
    folder = pathlib.Path(importlib.util.find_spec("codeshield").submodule_search_locations[0]) / "insecure_code_detector" / "rules" / "semgrep" / "_generated_"
    rules = json.loads((folder / f"{language}_codeshield.json").read_text())["rules"]
    return [re.compile(rule["metadata"]["prescan_regex"]) for rule in rules if "prescan_regex" in rule["metadata"]]


def code():
    """Pieces of code, each as a message, for which the original would start semgrep."""
    out = []
    for language in LANGUAGES:
        looked_for = prescans(language)
        pieces = re.split(r"(?m)^== .*\n", (CASES / f"{language}.txt").read_text())[1:]
        found = [piece for piece in pieces if any(regex.search(piece) for regex in looked_for)]
        out += [f"This does it:\n```{language}\n{piece}```\n" for piece in found]
    return out


def original(texts, rounds):
    """Microseconds of each message in the original."""
    from llamafirewall import LlamaFirewall, Role, ScannerType, UserMessage

    logging.disable(logging.CRITICAL)
    firewall = LlamaFirewall({Role.USER: [ScannerType.REGEX, ScannerType.HIDDEN_ASCII]})
    best = [float("inf")] * len(texts)
    for _ in range(rounds):
        for i, text in enumerate(texts):
            start = time.perf_counter()
            firewall.scan(UserMessage(text))
            best[i] = min(best[i], (time.perf_counter() - start) * 1e6)
    return best


def ours(bench, kind, texts, rounds):
    """The same here; `kind` is `patterns` or `code_shield`."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(texts, file)
        file.flush()
        done = subprocess.run([bench, "--messages", file.name, "--scanners", kind, "--rounds", str(rounds)], check=True, capture_output=True, text=True)
    times = [float(line) for line in done.stdout.split()]
    assert len(times) == len(texts), done.stdout[:200]
    return times


def row(name, times):
    ordered = sorted(times)
    return f"{name:40} {len(times):6} {statistics.fmean(times):10.1f} {statistics.median(times):10.1f} {ordered[int(0.99 * len(ordered))]:10.1f} {ordered[-1]:10.1f}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--ours", required=True, metavar="BENCH", help="target/release/deps/scan-...")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--count", type=int, default=1000)
    given = arguments.parse_args()
    texts, pieces = messages(given.count), code()
    print(f"{'microseconds':40} {'n':>6} {'mean':>10} {'median':>10} {'p99':>10} {'most':>10}")
    python = original(texts, given.rounds)
    print(row("regex, hidden_ascii: the original", python))
    here = ours(given.ours, "patterns", texts, given.rounds)
    print(row("regex, hidden_ascii: torchless", here))
    print(f"ratio of means {statistics.fmean(python) / statistics.fmean(here):.1f}, of medians {statistics.median(python) / statistics.median(here):.1f}")
    print(row("code_shield, the same messages", ours(given.ours, "code_shield", texts, given.rounds)))
    print(row("code_shield, where semgrep would start", ours(given.ours, "code_shield", pieces, given.rounds)))


if __name__ == "__main__":
    main()
