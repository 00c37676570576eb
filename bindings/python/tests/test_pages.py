"""Python on the pages that people read: the blocks of a page run in order, in a folder with the files of the examples."""

from __future__ import annotations

import pathlib
import re
import shutil

import pytest
from conftest import MODELS, ROOT, STORY, libllama

FILES = [STORY, MODELS / "test_model.bin"]
FOLDERS = [MODELS / "test_encoder", MODELS / "test_reranker"]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def pages() -> list[pathlib.Path]:
    written = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "bindings" / "python" / "README.md"]
    return [page for page in written if BLOCK.search(page.read_text(encoding="utf-8"))]


def test_there_are_pages_with_python() -> None:
    names = {page.relative_to(ROOT).as_posix() for page in pages()}
    assert {"docs/python.md", "README.md"} <= names


@pytest.fixture(autouse=True)
def named_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets blocks find a libllama, where one is to be had."""
    library = libllama()
    if library is not None:
        monkeypatch.setenv("TORCHLESS_LLAMA_LIB", str(library))


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_blocks_run(page: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in FILES:
        shutil.copy(file, tmp_path)
    for folder in FOLDERS:
        shutil.copytree(folder, tmp_path / folder.name)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__page__"}
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        # Line numbers of an error are those of the page.
        code = compile("\n" * line + found.group(1), str(page), "exec")
        exec(code, names)
