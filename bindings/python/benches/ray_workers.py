#!/usr/bin/env python3
"""How much faster two workers are than one, on a cluster of two nodes with one thread each on this machine.

    python bindings/python/benches/ray_workers.py generate --rows 10000 --rounds 3

Work is `generate` (32 tokens of the story model for each row) or `scan` (a classifier reads documents of 12 KB). Prints seconds of each
round in turn, from asking to the last result with the workers' start, and the ratio of the medians. Needs the wheel with its extra `ray`.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import sys
import tempfile
import time
from typing import Any

import pyarrow.parquet
import ray
import ray.data
from ray.cluster_utils import Cluster

import torchless.ray
from torchless.firewall import Role, ScannerType

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "examples"))

import scan_parquet  # noqa: E402

NODE = {"num_cpus": 1, "resources": {"worker": 1}}
# The class, its keywords, sentences of each row.
WORK: dict[str, tuple[type, dict[str, Any], int]] = {
    "generate": (torchless.ray.Generate, {"column": "text", "max_tokens": 32, "open_options": {"threads": 1}}, 1),
    "scan": (torchless.ray.Scan, {"scanners": {Role.USER: [ScannerType.PROMPT_GUARD]}}, 200),
}


def seconds(path: pathlib.Path, workers: int, work: str) -> float:
    """From asking to the last result."""
    worker, keywords, _ = WORK[work]
    start = time.perf_counter()
    compute = ray.data.ActorPoolStrategy(size=workers)
    where = scan_parquet.places("worker")
    done = scan_parquet.read(path).map_batches(
        worker, fn_constructor_kwargs=keywords, batch_size=scan_parquet.ROWS_AT_ONCE, compute=compute, **where
    )
    count = done.drop_columns(["text"]).materialize().count()
    taken = time.perf_counter() - start
    assert count > 0
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=WORK)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    worker, keywords, sentences = WORK[options.work]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "texts.parquet"
        scan_parquet.make(path, options.rows, sentences)
        texts = pyarrow.parquet.read_table(path)["text"].to_numpy()
        alone = worker(**keywords)
        start = time.perf_counter()
        alone({"text": texts})
        print(f"without Ray, one thread: {time.perf_counter() - start:.1f} s", flush=True)

        cluster = Cluster(initialize_head=True, head_node_args=NODE)
        cluster.add_node(**NODE)
        ray.init(address=cluster.address)
        ray.data.DataContext.get_current().enable_progress_bars = False
        taken: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(options.rounds):
            for workers in taken:
                taken[workers].append(seconds(path, workers, options.work))
                print(f"{workers} worker(s): {taken[workers][-1]:.1f} s", flush=True)
        ratio = statistics.median(taken[1]) / statistics.median(taken[2])
        print(f"two workers are {ratio:.2f} times as fast as one")
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
