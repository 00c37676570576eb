"""torchless.ray on a cluster of two nodes on this machine, with one thread each: the same results as in one process."""

from __future__ import annotations

import pathlib
import sys
from typing import Any, Iterator

import numpy
import pytest

ray = pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = pytest.mark.filterwarnings("default")

import ray.data  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

import torchless.ray  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[4]
MODELS = ROOT / "tests" / "fixtures"
sys.path.insert(0, str(ROOT / "examples"))

import scan_parquet  # noqa: E402

NODE = {"num_cpus": 1, "resources": {"worker": 1}}
ONE = {"threads": 1}
TWO = ray.data.ActorPoolStrategy(size=2)

# Workers cannot import a module of tests.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    cluster.add_node(**NODE)
    ray.init(address=cluster.address)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield cluster
    ray.shutdown()
    cluster.shutdown()


class ScanSomewhere(torchless.ray.Scan):
    """Says where it ran, too."""

    def __call__(self, batch: torchless.ray.Batch) -> torchless.ray.Batch:
        node = ray.get_runtime_context().get_node_id()
        return {**super().__call__(batch), "node": numpy.array([node] * len(batch["id"]), dtype=object)}


def rows(dataset: Any) -> list[dict[str, Any]]:
    return sorted(dataset.take_all(), key=lambda row: row["id"])


def test_ten_thousand_rows_of_a_parquet_file(cluster: Any, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "texts.parquet"
    scan_parquet.make(path, 10_000, 12)
    texts = scan_parquet.read(path)
    how = {"policy": "general", "column": "text"}
    scanned = texts.map_batches(
        ScanSomewhere, fn_constructor_kwargs=how, batch_size=250, compute=TWO, **scan_parquet.places("worker")
    )
    found = rows(scanned)
    assert [row["id"] for row in found] == list(range(10_000))
    assert len({row["node"] for row in found}) == 2

    worker = torchless.ray.Scan(**how)
    batch = {"text": numpy.array([row["text"] for row in found], dtype=object)}
    alone = worker(batch)
    for name in ("decision", "reason", "score", "status"):
        assert [row[name] for row in found] == alone[name].tolist(), name
    assert {"allow", "block"} == set(alone["decision"].tolist())


@pytest.mark.parametrize(
    ("worker", "how", "column"),
    [
        (torchless.ray.Generate, {"column": "text", "open_options": ONE, "max_tokens": 4}, "reply"),
        (torchless.ray.Embed, {"model": str(MODELS / "test_encoder"), "open_options": ONE}, "embedding"),
        (torchless.ray.Classify, {"model": str(MODELS / "test_encoder"), "open_options": ONE}, "score"),
    ],
)
def test_every_kind_of_work(cluster: Any, worker: Any, how: dict[str, Any], column: str) -> None:
    texts = [f"text {i}" for i in range(120)]
    given = ray.data.from_items([{"id": i, "text": text} for i, text in enumerate(texts)], override_num_blocks=6)
    done = given.map_batches(worker, fn_constructor_kwargs=how, batch_size=20, compute=TWO, **scan_parquet.places("worker"))
    alone = worker(**how)({"text": numpy.array(texts, dtype=object)})[column]
    assert numpy.array([row[column] for row in rows(done)]).tolist() == alone.tolist()


def test_a_worker_has_as_many_threads_as_its_node(cluster: Any) -> None:
    threads = ray.remote(num_cpus=1)(torchless.ray._threads).remote()
    assert ray.get(threads) == 1
