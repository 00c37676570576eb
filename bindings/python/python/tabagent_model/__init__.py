"""Runs GGUF models with a libllama: the shared library of llama.cpp, or of a fork such as BitNet's.

    import tabagent_model

    model = tabagent_model.PyModel()
    model.load(dll_path="libllama.so", model_path="model.gguf", gpu_layers=32, mlock=True)
    print(model.generate("Hello", max_tokens=100))

`get_cpu_variant` and `get_optimal_binary` name the build of the library that suits this machine. No firewall stands before these models;
package `torchless` has one, and the exceptions that are raised here.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Optional, Sequence, SupportsIndex, Union

from torchless import _native
from torchless._errors import LibraryError, UsageError
from torchless._options import (
    Check,
    GenerateOptions,
    check,
    flag,
    number,
    path,
    reply_options,
    several,
    text,
    token_ids,
    whole,
    written,
)
from torchless._pieces import Pieces

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray
    from typing_extensions import Literal, Unpack

__all__ = [
    "LibraryError",
    "PyModel",
    "TextStream",
    "choose_binary",
    "get_cpu_variant",
    "get_optimal_binary",
    "hardware_info",
]

_Path = Union[str, "os.PathLike[str]"]


@dataclass
class _LoadOptions:
    """How a model is loaded, as the native module reads it."""

    model_path: _Path
    dll_path: Optional[_Path]
    builds: Optional[_Path]
    gpu_layers: Optional[int]
    mlock: Optional[bool]
    mmap: Optional[bool]
    context_size: Optional[int]
    batch_size: Optional[int]
    threads: Optional[int]
    kv_type: Optional[str]
    flash_attention: Optional[bool]
    tensor_split: Sequence[float]


_COUNT = whole(2**32 - 1)
_LOADING: Mapping[str, Check] = {
    "model_path": path,
    "dll_path": path,
    "builds": path,
    "gpu_layers": _COUNT,
    "mlock": flag,
    "mmap": flag,
    "context_size": _COUNT,
    "batch_size": _COUNT,
    "threads": _COUNT,
    "kv_type": text,
    "flash_attention": flag,
    "tensor_split": several(number),
}


class TextStream(Pieces):
    """A reply while it is made: an iterator of pieces of its text, also for ``async for``. `cancel`, Ctrl-C, the end of a
    ``with`` block and dropping it end the reply."""

    def __init__(self, native: _native.LlamaStream) -> None:
        super().__init__(native)
        self._native = native
        self._over = False

    @property
    def finish_reason(self) -> Optional[str]:
        """``stop``, ``length``, ``context_full`` or ``cancelled``, once the reply has ended."""
        return self._native.finish_reason

    def _next_text(self) -> Optional[str]:
        piece = None if self._over else self._native.next_piece()
        self._over = piece is None
        return piece


class PyModel:
    """A GGUF model and the libllama that runs it. Empty until `load`."""

    def __init__(self) -> None:
        self._native: Optional[_native.LlamaModel] = None

    def load(
        self,
        dll_path: Optional[_Path] = None,
        model_path: Optional[_Path] = None,
        gpu_layers: Optional[int] = None,
        mlock: Optional[bool] = None,
        *,
        builds: Optional[_Path] = None,
        mmap: Optional[bool] = None,
        context_size: Optional[int] = None,
        batch_size: Optional[int] = None,
        threads: Optional[int] = None,
        kv_type: Optional[Literal["f32", "f16", "bf16", "q8_0", "q5_0", "q4_0"]] = None,
        flash_attention: Optional[bool] = None,
        tensor_split: Sequence[float] = (),
    ) -> None:
        """Loads a model, in place of one that was loaded before. What is not given, the library decides.

        :param dll_path: the library, or its folder; without, ``TORCHLESS_LLAMA_LIB``, the user's data folder and the system's paths are
            searched.
        :param model_path: a GGUF file.
        :param gpu_layers: layers on a GPU.
        :param mlock: keeps the weights from being swapped out.
        :param builds: a folder of builds, out of which the one that suits this machine is taken; excludes ``dll_path``.
        :param mmap: uses the weights in the mapped file.
        :param context_size: positions of the context; by default what the model was trained for, 4096 at most.
        :param batch_size: tokens that one call decodes at most.
        :param threads: by default the cores that this process may use.
        :param kv_type: type of cached keys and values.
        :param flash_attention: whether attention is computed in the fused way.
        :param tensor_split: shares of the model for each GPU.
        """
        if model_path is None:
            raise TypeError("model_path is missing: the GGUF file to load")
        if dll_path is not None and builds is not None:
            raise TypeError("a library is named by dll_path or chosen from builds, not both")
        options = _LoadOptions(
            model_path,
            dll_path,
            builds,
            gpu_layers,
            mlock,
            mmap,
            context_size,
            batch_size,
            threads,
            kv_type,
            flash_attention,
            tensor_split,
        )
        check(options, _LOADING)
        self._native = None
        self._native = _native.LlamaModel.load(options)

    def unload(self) -> None:
        """Gives the model's memory back."""
        self._native = None

    @property
    def is_loaded(self) -> bool:
        """Whether there is a model."""
        return self._native is not None

    @property
    def _loaded(self) -> _native.LlamaModel:
        if self._native is None:
            raise UsageError("no model is loaded: call load first")
        return self._native

    def library_path(self) -> str:
        """The library that runs the model."""
        return os.fspath(self._loaded.library()[0])

    def library_version(self) -> Optional[str]:
        """Its version, where it tells one."""
        return self._loaded.library()[1]

    def vocab_size(self) -> int:
        """Tokens in the vocabulary."""
        return self._loaded.numbers()[0]

    def context_train_size(self) -> int:
        """Positions that the model was trained for."""
        return self._loaded.numbers()[1]

    def context_size(self) -> int:
        """Positions of the context."""
        return self._loaded.context_size()

    def embedding_dim(self) -> int:
        """Values in the vector of a token inside the model."""
        return self._loaded.numbers()[2]

    def layer_count(self) -> int:
        """Layers."""
        return self._loaded.numbers()[3]

    def head_count(self) -> int:
        """Attention heads, in the first layer."""
        return self._loaded.numbers()[4]

    def parameter_count(self) -> int:
        """Weights, in numbers."""
        return self._loaded.numbers()[5]

    def size(self) -> int:
        """Weights, in bytes."""
        return self._loaded.numbers()[6]

    def token_bos(self) -> Optional[int]:
        """The token that begins texts, where there is one."""
        return self._loaded.special_tokens()[0]

    def token_eos(self) -> Optional[int]:
        """The token that ends texts, where there is one."""
        return self._loaded.special_tokens()[1]

    def token_nl(self) -> Optional[int]:
        """The token of a line's end, where there is one."""
        return self._loaded.special_tokens()[2]

    def description(self) -> str:
        """What the model is, in the library's words."""
        return self._loaded.description()

    def metadata(self) -> dict[str, str]:
        """The file's metadata as text."""
        return dict(self._loaded.metadata())

    def chat_template(self) -> Optional[str]:
        """The model's chat template, in Jinja."""
        return self._loaded.chat_template()

    def tokenize(self, text: str, add_special: bool = True) -> list[int]:
        """Token ids of a text; names of control tokens in it stay text."""
        return self._loaded.tokenize(written(text), add_special)

    def detokenize(self, ids: Iterable[SupportsIndex]) -> str:
        """The text of token ids."""
        return self._loaded.detokenize(token_ids(ids))

    def token_to_text(self, token: SupportsIndex) -> str:
        """The text of one token; control tokens have none."""
        return self.detokenize([token])

    def generate(self, prompt: str, **options: Unpack[GenerateOptions]) -> str:
        """Completes a text. Options are those of `torchless.Model.generate`, without ``json_schema`` and ``grammar``."""
        model = self._loaded
        return model.generate(self.tokenize(prompt), _checked(options))[0]

    def stream(self, prompt: str, **options: Unpack[GenerateOptions]) -> TextStream:
        """Begins to complete a text, and gives it piece by piece. One reply at a time: the next one waits for its end."""
        model = self._loaded
        return TextStream(model.stream(self.tokenize(prompt), _checked(options)))

    def embed(self, text: str) -> NDArray[numpy.float32]:
        """The vector of a text, as the model's file says how, or the mean of its tokens'."""
        model = self._loaded
        vector: NDArray[numpy.float32] = _array(model.embed(self.tokenize(text)))[0]
        return vector

    def logits(self, ids: Iterable[SupportsIndex]) -> NDArray[numpy.float32]:
        """Logits after each token, ``[tokens, vocab]``. The context forgets what it held."""
        return _array(self._loaded.logits(token_ids(ids)))

    def clear(self) -> None:
        """Forgets what was computed; without, what a prompt has in common with the last one is used again."""
        self._loaded.clear()

    def save_state(self) -> bytes:
        """What was computed so far."""
        return self._loaded.save_state()

    def restore_state(self, state: bytes) -> None:
        """Goes back to a saved state, of the same model, library and size of context."""
        self._loaded.restore_state(state)


def _checked(asked: GenerateOptions) -> Any:
    options = reply_options(asked)
    if options.json_schema is not None or options.grammar is not None:
        raise UsageError("replies are held to a schema or a grammar by torchless.Model, not here")
    return options


def _array(rows: tuple[bytearray, int, int]) -> NDArray[numpy.float32]:
    import numpy

    values, count, width = rows
    return numpy.frombuffer(values, dtype=numpy.float32).reshape(count, width)


def get_cpu_variant() -> str:
    """Name of the build that was made for this machine's processor, such as ``bitnet-amd-zen2``; ``standard`` where none was."""
    return _native.get_cpu_variant()


def get_optimal_binary(folder: _Path) -> str:
    """Path of the best library for this machine among the builds of a folder, ``cpu/{Windows,Linux,macOS}/{variant}/`` and the same with
    ``gpu``: BitNet on a GPU before standard on a GPU, BitNet on the CPU, standard on the CPU.
    """
    path: str = choose_binary(folder)["path"]
    return path


def choose_binary(folder: _Path) -> dict[str, Any]:
    """The choice of `get_optimal_binary` with its reasons: ``path``, ``kind``, ``variant``, ``reason``, and what was ``passed_over``."""
    choice: dict[str, Any] = json.loads(_native.choose_binary(folder))
    return choice


def hardware_info() -> dict[str, Any]:
    """What this machine is: processor, memory, graphics processors."""
    machine: dict[str, Any] = json.loads(_native.hardware())
    return machine
