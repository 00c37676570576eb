"""Types: a user's script passes mypy --strict, and the stubs are what the modules have."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("mypy", reason="mypy is installed for one Python")

# Every type that a user would write down is written down here: mypy says where one is wrong.
SCRIPT = '''
from typing import Any, Optional

import numpy
from numpy.typing import NDArray

import torchless
import torchless.ray
from torchless.firewall import LlamaFirewall, Message, Role, ScanDecision, Scanner, ScannerType, ScanResult, Trace, UserMessage


def complete(model: torchless.Model) -> str:
    reply: torchless.Reply = model.generate("Once", max_tokens=3, temperature=0.5, stop=["."], seed=None)
    pieces: list[str] = [piece for piece in model.stream("Once", max_tokens=3)]
    ids: list[int] = model.tokenize(reply.text)
    logits: NDArray[numpy.float32] = model.logits(ids)
    calls: tuple[torchless.ToolCall, ...] = model.chat([{"role": "user", "content": "hi"}]).tool_calls
    several: list[torchless.Reply] = model.generate_many(["a", "b"], max_tokens=1)
    for one in model.generate_many(["a"], errors="return"):
        text: str = str(one) if isinstance(one, torchless.TorchlessError) else one.text
    return model.detokenize(ids) + pieces[0] + str(logits.shape) + text + str(calls) + several[0].text


async def read(model: torchless.Model) -> str:
    text = ""
    async for piece in model.stream("Once"):
        text += piece
    return text + (await model.generate_async("Once", max_tokens=1)).text


def read_encoder(model: torchless.Model) -> list[str]:
    vectors: NDArray[numpy.float32] = model.embed(["a", "b"])
    one: torchless.Classes = model.classify("a")
    best: int = model.rerank("q", ["a"])[0].index
    return [classes.label for classes in model.classify(["a", "b"])] + [one.label, str(best), str(vectors)]


class Mine(Scanner):
    def __init__(self) -> None:
        super().__init__("mine")

    async def scan(self, message: Message, past_trace: Optional[Trace] = None) -> ScanResult:
        return ScanResult(ScanDecision.ALLOW, "fine", 0.0)


def judge(system: str, user: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"conclusion": schema == {}}


def with_others(model: torchless.Model, factors: dict[str, float], thresholds: dict[ScannerType, float]) -> str:
    torchless.Model.open("model.gguf", lora=factors)
    LlamaFirewall(judge=judge, block_thresholds=thresholds)
    LlamaFirewall(judge=lambda system, user, schema: "{}", block_thresholds={"regex": 0.5, ScannerType.REGEX: 0.5})
    return model.detokenize([numpy.int64(1)]) + model.detokenize(numpy.array([1]))


def scan() -> bool:
    firewall = LlamaFirewall(scanners={Role.USER: [ScannerType.PROMPT_GUARD, Mine(), "other"]})
    result: ScanResult = firewall.scan(UserMessage(content="hello"))
    decision: ScanDecision = result.decision
    return decision == ScanDecision.ALLOW and result.score < 0.5


try:
    with torchless.Model.open("model.gguf", policy="chatbot", backend="cpu") as opened:
        complete(opened)
except torchless.RefusedError as error:
    print(error.role, error.reason)
'''

WRONG = '''
import torchless

torchless.Model.open(threads="two")
torchless.Model.open().generate("Once", temprature=1.0)
torchless.Model.open().generate("Once").txt
'''


def mypy(folder: pathlib.Path, script: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(script)
    words = [sys.executable, "-m", "mypy", "--strict", "script.py"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)


def test_a_users_script_passes(tmp_path: pathlib.Path) -> None:
    done = mypy(tmp_path, SCRIPT)
    assert done.returncode == 0, done.stdout


def test_wrong_types_are_found(tmp_path: pathlib.Path) -> None:
    done = mypy(tmp_path, WRONG)
    assert done.stdout.count("error:") == 3, done.stdout


@pytest.mark.parametrize("module", ["torchless", "tabagent_model"])
def test_the_stubs_are_what_there_is(module: str, tmp_path: pathlib.Path) -> None:
    words = [sys.executable, "-m", "mypy.stubtest", module]
    environment = {**os.environ, "MYPY_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout
