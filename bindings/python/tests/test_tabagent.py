"""tabagent_model: hardware, and models that a libllama runs."""

from __future__ import annotations

import asyncio
import pathlib
import platform
import subprocess
import sys

import numpy
import pytest
from conftest import MODELS, STORY

import tabagent_model
import torchless

SYSTEM = {"Darwin": "macOS"}.get(platform.system(), platform.system())


@pytest.fixture(scope="session")
def model(library: pathlib.Path) -> tabagent_model.PyModel:
    made = tabagent_model.PyModel()
    made.load(dll_path=library, model_path=STORY, threads=1, context_size=512, kv_type="f32", flash_attention=False)
    return made


def builds(folder: pathlib.Path, library: pathlib.Path, variant: str) -> pathlib.Path:
    """A folder of builds with one of that name."""
    place = folder / "cpu" / SYSTEM / variant
    place.parent.mkdir(parents=True)
    place.symlink_to(library, target_is_directory=True)
    return folder


def test_the_machine_is_described() -> None:
    machine = tabagent_model.hardware_info()
    assert machine["cpu"]["cores"]["logical"] >= machine["cpu"]["cores"]["usable"] >= 1
    assert machine["memory"]["total"] > 1 << 20 and machine["os"] == SYSTEM
    variant = tabagent_model.get_cpu_variant()
    assert variant == "standard" or variant.startswith("bitnet-")


def test_a_build_is_chosen_with_a_reason(tmp_path: pathlib.Path) -> None:
    name = {"Windows": "llama.dll", "macOS": "libllama.dylib"}.get(SYSTEM, "libllama.so")
    for variant in ("standard", tabagent_model.get_cpu_variant()):
        folder = tmp_path / "cpu" / SYSTEM / variant
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    best = pathlib.Path(tabagent_model.get_optimal_binary(tmp_path))
    assert best.parent.name == tabagent_model.get_cpu_variant() and best.name == name
    choice = tabagent_model.choose_binary(tmp_path)
    assert choice["path"] == str(best) and choice["reason"]
    with pytest.raises(torchless.UsageError, match="there is no build of libllama"):
        tabagent_model.get_optimal_binary(MODELS)
    with pytest.raises(torchless.UsageError, match="no-such-folder"):
        tabagent_model.get_optimal_binary("no-such-folder")


def test_the_steps_of_the_documentation(library: pathlib.Path, tmp_path: pathlib.Path) -> None:
    cpu_variant = tabagent_model.get_cpu_variant()
    release = builds(tmp_path, library, cpu_variant)
    binary_path = f"{release}/cpu/{SYSTEM}/{cpu_variant}"

    model = tabagent_model.PyModel()
    try:
        model.load(dll_path=binary_path, model_path=str(STORY), gpu_layers=32, mlock=True)
    except torchless.UsageError as error:
        # Without a graphics processor, layers for one are an error that says what to do.
        assert "set GPU layers to 0" in str(error)
        model.load(dll_path=binary_path, model_path=str(STORY), gpu_layers=0, mlock=True)

    assert f"Vocab: {model.vocab_size()}" == "Vocab: 1280"
    assert f"Context: {model.context_train_size()}" == "Context: 512"
    output = model.generate("Hello", max_tokens=100)
    assert output


def test_the_best_build_of_a_folder_is_loaded(library: pathlib.Path, tmp_path: pathlib.Path) -> None:
    model = tabagent_model.PyModel()
    model.load(model_path=STORY, builds=builds(tmp_path, library, "standard"), threads=1)
    assert model.vocab_size() == 1280
    with pytest.raises(TypeError, match="not both"):
        model.load(dll_path=library, model_path=STORY, builds=tmp_path)


def test_a_model_says_what_it_is(model: tabagent_model.PyModel) -> None:
    assert (model.vocab_size(), model.context_train_size(), model.context_size()) == (1280, 512, 512)
    assert (model.embedding_dim(), model.layer_count()) == (128, 5)
    assert (model.token_bos(), model.token_eos()) == (1, 2)
    assert model.metadata()["general.architecture"] == "llama" and "llama" in model.description()
    assert model.is_loaded and "llama" in model.library_path() and model.parameter_count() > 0


def test_texts_are_those_of_the_native_engine(model: tabagent_model.PyModel, story: torchless.Model) -> None:
    for prompt in ("Once upon a time", "One day", "Lily"):
        # As far as both are sure of themselves.
        want = story.generate(prompt, temperature=0, max_tokens=16).text
        assert model.generate(prompt, temperature=0, max_tokens=16) == want


def test_tokens_and_logits_are_those_of_the_native_engine(
    model: tabagent_model.PyModel, story: torchless.Model
) -> None:
    ids = model.tokenize("Once upon a time")
    assert ids == story.tokenize("Once upon a time") and model.detokenize(ids[1:]).strip() == "Once upon a time"
    assert model.token_to_text(ids[-1]).strip() == "time"
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        model.detokenize([1.7])  # type: ignore[list-item]
    logits = model.logits(ids)
    assert logits.shape == (5, 1280) and logits.dtype == numpy.float32
    assert numpy.abs(logits - story.logits(ids)).max() < 0.2
    vector = model.embed("Once upon a time")
    assert vector.shape == (128,) and numpy.isfinite(vector).all()


def test_pieces_make_up_the_reply(model: tabagent_model.PyModel) -> None:
    want = model.generate("Once upon a time", max_tokens=20, seed=3)
    with model.stream("Once upon a time", max_tokens=20, seed=3) as stream:
        pieces = list(stream)
    assert len(pieces) > 5 and "".join(pieces) == want and stream.finish_reason == "length"

    async def read() -> str:
        return "".join([piece async for piece in model.stream("Once upon a time", max_tokens=20, seed=3)])

    assert asyncio.run(read()) == want
    assert "." not in model.generate("Once upon a time", stop=".", temperature=0)


def test_a_stream_that_is_left_makes_room(model: tabagent_model.PyModel) -> None:
    stream = model.stream("Once upon a time", max_tokens=400)
    next(stream)
    stream.cancel()
    list(stream)
    assert stream.finish_reason in ("cancelled", "stop", "length")
    assert model.generate("One day", max_tokens=2)


def test_a_reply_that_is_over_has_no_say_any_more(model: tabagent_model.PyModel) -> None:
    list(model.stream("Once upon a time", max_tokens=3))
    assert model.logits([1, 482]).shape == (2, 1280)
    with model.stream("Once upon a time", max_tokens=100) as stream:
        next(stream)
    assert model.logits([1, 482]).shape == (2, 1280)
    with pytest.raises(torchless.UsageError):
        model.generate("word " * 2000)
    assert model.logits([1, 482]).shape == (2, 1280)


def test_the_size_of_the_context_is_told_while_it_works(model: tabagent_model.PyModel) -> None:
    assert model.token_eos() is not None
    with model.stream("Once", max_tokens=400, logit_bias={model.token_eos() or 0: -100}) as stream:
        next(stream)
        assert model.context_size() == 512 and stream.finish_reason is None


def test_a_state_goes_there_and_back(model: tabagent_model.PyModel) -> None:
    model.clear()
    want = model.generate("Once upon a time", max_tokens=8, temperature=0)
    state = model.save_state()
    model.generate("Something else", max_tokens=4)
    model.restore_state(state)
    assert model.generate("Once upon a time", max_tokens=8, temperature=0) == want
    with pytest.raises(torchless.TorchlessError):
        model.restore_state(b"nonsense")


def test_what_cannot_be_loaded_says_why(library: pathlib.Path, tmp_path: pathlib.Path) -> None:
    model = tabagent_model.PyModel()
    with pytest.raises(torchless.UsageError, match="call load first"):
        model.vocab_size()
    with pytest.raises(TypeError, match="model_path"):
        model.load(dll_path=library)
    with pytest.raises(torchless.ModelError, match="does not exist"):
        model.load(dll_path=library, model_path=tmp_path / "no-such-model.gguf")
    with pytest.raises(tabagent_model.LibraryError, match=r"no-such-library.*\(dll_path, TORCHLESS_LLAMA_LIB\)"):
        model.load(dll_path=tmp_path / "no-such-library.so", model_path=STORY)
    with pytest.raises(tabagent_model.LibraryError):
        model.load(dll_path=STORY, model_path=STORY)
    with pytest.raises(torchless.ModelError, match="GGUF"):
        model.load(dll_path=library, model_path=MODELS / "test_model.bin")
    with pytest.raises(TypeError, match="flash_attention is 'yes', it has to be True or False"):
        model.load(dll_path=library, model_path=STORY, flash_attention="yes")  # type: ignore[arg-type]
    with pytest.raises(torchless.UsageError, match="context_size is 4294967296, it has to be 4294967295 at most"):
        model.load(dll_path=library, model_path=STORY, context_size=2**32)
    with pytest.raises(torchless.UsageError, match="threads is 100000, it has to be 1 to 512"):
        model.load(dll_path=library, model_path=STORY, threads=100_000)
    with pytest.raises(torchless.UsageError, match=r"without flash attention \(flash_attention\)"):
        model.load(dll_path=library, model_path=STORY, kv_type="q8_0")
    with pytest.raises(torchless.UsageError, match="q8_0"):
        model.load(dll_path=library, model_path=STORY, kv_type="f7")  # type: ignore[arg-type]
    assert not model.is_loaded


def test_options_of_replies_are_checked(model: tabagent_model.PyModel) -> None:
    with pytest.raises(torchless.UsageError, match="temperature is -1"):
        model.generate("x", temperature=-1)
    with pytest.raises(torchless.UsageError, match="torchless.Model"):
        model.generate("x", grammar="/a/")
    with pytest.raises(torchless.UsageError, match=r"do not fit the context of 512; .*\(context_size\)"):
        model.generate("word " * 1000)
    for call in (model.generate, model.stream, model.embed, model.tokenize):
        with pytest.raises(torchless.UsageError, match="half of a character"):
            call("\ud800")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way there")
def test_ctrl_c_is_heard(library: pathlib.Path) -> None:
    script = f"""
import os, signal, sys, threading
import tabagent_model

model = tabagent_model.PyModel()
model.load(dll_path={str(library)!r}, model_path={str(STORY)!r}, context_size=20000, threads=1)
main = threading.main_thread().ident

def press():
    while sys._current_frames()[main].f_code.co_name != "generate":
        pass
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=press, daemon=True).start()
try:
    model.generate("Once", max_tokens=15000, logit_bias={{model.token_eos(): -100}})
except KeyboardInterrupt:
    print("heard", flush=True)
    os._exit(0)
os._exit(9)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
