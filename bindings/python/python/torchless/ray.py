"""Bulk work on many machines: classes for ``map_batches`` of Ray Data. A worker opens its model once.

    dataset.map_batches(
        torchless.ray.Scan,
        fn_constructor_kwargs={"policy": "general", "column": "text"},
        compute=ray.data.ActorPoolStrategy(size=4),
    )

Batches are dictionaries of NumPy arrays, Ray's default. Rows keep their order and their columns, and get further ones; a row's result
does not depend on the batch that it came in. A worker uses as many threads as Ray gave it CPUs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Union

import numpy
from numpy.typing import NDArray

from ._errors import TorchlessError
from ._model import Model
from ._options import GenerateOptions, PathLike, reply_options
from .firewall import Configuration, LlamaFirewall, Message, Role

if TYPE_CHECKING:
    from typing_extensions import Literal, TypeAlias, Unpack

__all__ = ["Batch", "Classify", "Embed", "Generate", "Scan"]

Batch: TypeAlias = Dict[str, NDArray[Any]]


def _threads() -> Optional[int]:
    """Threads of this worker; outside of Ray, as many as there are cores."""
    try:
        ray = importlib.import_module("ray")
    except ImportError:
        return None
    if not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    # The program that asks the workers is none itself.
    if context.worker.mode != ray.WORKER_MODE:
        return None
    return max(1, int(context.get_assigned_resources().get("CPU", 1)))


def _open(path: Optional[PathLike], options: Optional[Mapping[str, Any]]) -> Model:
    return Model.open(path, **{"threads": _threads(), **(options or {})})


def _column(batch: Batch, name: str) -> list[str]:
    if name not in batch:
        raise KeyError(f"there is no column {name!r} (there are: {', '.join(batch)})")
    return [_text(value, name, row) for row, value in enumerate(batch[name].tolist())]


def _text(value: object, name: str, row: int) -> str:
    if not isinstance(value, str):
        raise TypeError(f"column {name!r} has {type(value).__name__} in row {row} of a batch, where text is wanted")
    return value


def _kept(column: str, *outputs: str) -> str:
    """The column that is read, if none of those that are written has its name."""
    if column in outputs:
        raise ValueError(f"column {column!r} would be overwritten: give what is read another name than {', '.join(outputs)}")
    return column


def _texts(values: list[Any]) -> NDArray[Any]:
    array = numpy.empty(len(values), dtype=object)
    array[:] = values
    return array


class Generate:
    """Completes the texts of a column."""

    def __init__(
        self,
        model: Optional[PathLike] = None,
        *,
        column: str = "prompt",
        output: str = "reply",
        errors: Literal["raise", "column"] = "raise",
        open_options: Optional[Mapping[str, Any]] = None,
        **options: Unpack[GenerateOptions],
    ) -> None:
        """Opens the model.

        :param model: a path that every worker can read; without, the story model inside.
        :param output: the column that replies go to.
        :param errors: ``raise`` ends the work with the first row that fails; ``column`` leaves its reply empty and says why in the
            column ``error``.
        :param open_options: keywords of `Model.open`; ``sequences`` makes so many replies at once.
        """
        if errors not in ("raise", "column"):
            raise ValueError(f"errors is {errors!r}, it has to be 'raise' or 'column'")
        # What is misspelt is told before there are rows.
        reply_options(options)
        self._columns = (_kept(column, output, *(["error"] if errors == "column" else [])), output)
        self._model = _open(model, open_options)
        self._errors = errors
        self._options = options

    def __call__(self, batch: Batch) -> Batch:
        column, output = self._columns
        prompts = _column(batch, column)
        if self._errors == "raise":
            replies = self._model.generate_many(prompts, **self._options)
            return {**batch, output: _texts([reply.text for reply in replies])}
        made = self._model.generate_many(prompts, errors="return", **self._options)
        texts = ["" if isinstance(one, TorchlessError) else one.text for one in made]
        errors = [str(one) if isinstance(one, TorchlessError) else "" for one in made]
        return {**batch, output: _texts(texts), "error": _texts(errors)}


class Embed:
    """Makes a vector of each text of a column."""

    def __init__(
        self,
        model: PathLike,
        *,
        column: str = "text",
        output: str = "embedding",
        pooling: Optional[str] = None,
        normalize: Optional[bool] = None,
        open_options: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Opens the encoder, a path that every worker can read."""
        self._columns = (_kept(column, output), output)
        self._model = _open(model, open_options)
        self._how = (pooling, normalize)

    def __call__(self, batch: Batch) -> Batch:
        column, output = self._columns
        pooling, normalize = self._how
        vectors = self._model.embed(_column(batch, column), pooling=pooling, normalize=normalize)
        return {**batch, output: vectors}


class Classify:
    """Says which class each text of a column belongs to: the columns ``label`` and ``score``."""

    def __init__(
        self,
        model: PathLike,
        *,
        column: str = "text",
        open_options: Optional[Mapping[str, Any]] = None,
    ) -> None:
        """Opens the classifier, a path that every worker can read."""
        self._column = _kept(column, "label", "score")
        self._model = _open(model, open_options)

    def __call__(self, batch: Batch) -> Batch:
        found = self._model.classify(_column(batch, self._column))
        labels = _texts([classes.label for classes in found])
        scores = numpy.array([classes.score for classes in found], dtype=numpy.float32)
        return {**batch, "label": labels, "score": scores}


class Scan:
    """Scans the texts of a column: the columns ``decision``, ``reason``, ``score`` and ``status``."""

    def __init__(
        self,
        scanners: Optional[Configuration] = None,
        *,
        policy: Optional[PathLike] = None,
        column: str = "text",
        role: Union[Role, str] = Role.USER,
        **options: Any,
    ) -> None:
        """Makes the firewall.

        :param scanners: as for `LlamaFirewall`, whose other keywords are taken too.
        :param policy: a policy file, or the name of a preset, in their place.
        :param role: who says what is in the column.
        """
        self._column = _kept(column, "decision", "reason", "score", "status")
        if policy is None:
            self._firewall = LlamaFirewall(scanners, **options)
        elif scanners is not None or options:
            raise TypeError("a policy says everything: no scanners and options beside it")
        else:
            self._firewall = LlamaFirewall.from_policy(policy)
        self._role = Role(role)
        self._threads = _threads() or 1

    def __call__(self, batch: Batch) -> Batch:
        messages = [Message(self._role, text) for text in _column(batch, self._column)]
        found = self._firewall.scan_many(messages, threads=self._threads)
        return {
            **batch,
            "decision": _texts([result.decision.value for result in found]),
            "reason": _texts([result.reason for result in found]),
            "score": numpy.array([result.score for result in found], dtype=numpy.float32),
            "status": _texts([result.status.value for result in found]),
        }
