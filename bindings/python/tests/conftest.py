"""What tests share: the repository's models, and the folder of fixtures that is not part of it."""

from __future__ import annotations

import os
import pathlib
from typing import Iterator

import pytest

import torchless

ROOT = pathlib.Path(__file__).resolve().parents[3]
MODELS = ROOT / "tests" / "fixtures"
STORY = ROOT / "assets" / "story" / "story.gguf"


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
