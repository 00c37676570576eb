"""Runs GGUF models with a libllama: the shared library of llama.cpp, or of a fork such as BitNet's.

    import tabagent_model

    model = tabagent_model.PyModel()
    model.load(dll_path="libllama.so", model_path="model.gguf", gpu_layers=32, mlock=True)
    print(model.generate("Hello", max_tokens=100))

`get_cpu_variant` and `get_optimal_binary` name the build of the library that suits this machine. No firewall stands before these models;
package `torchless` has one.
"""

from __future__ import annotations

import json
import os
from typing import Any, Union

from torchless import _native

__all__ = ["get_cpu_variant", "get_optimal_binary", "hardware_info"]


def get_cpu_variant() -> str:
    """Name of the build that was made for this machine's processor, such as ``bitnet-amd-zen2``; ``standard`` where none was."""
    return _native.get_cpu_variant()


def get_optimal_binary(folder: Union[str, os.PathLike[str]]) -> str:
    """Path of the best library for this machine among the builds of a folder, ``cpu/{Windows,Linux,macOS}/{variant}/`` and the same with
    ``gpu``: BitNet on a GPU before standard on a GPU, BitNet on the CPU, standard on the CPU.
    """
    path: str = choose_binary(folder)["path"]
    return path


def choose_binary(folder: Union[str, os.PathLike[str]]) -> dict[str, Any]:
    """The choice of `get_optimal_binary` with its reasons: ``path``, ``kind``, ``variant``, ``reason``, and what was ``passed_over`` and why."""
    choice: dict[str, Any] = json.loads(_native.choose_binary(folder))
    return choice


def hardware_info() -> dict[str, Any]:
    """What this machine is: processor, memory, graphics processors, as ``torchless doctor`` sees it."""
    machine: dict[str, Any] = json.loads(_native.hardware())
    return machine
