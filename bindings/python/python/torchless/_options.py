"""Options in the form in which the native module reads them, with their defaults."""

from __future__ import annotations

import json
import operator
import os
import re
import secrets
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Optional, Sequence, SupportsIndex, TypedDict, Union

from ._errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from . import _native

PathLike = Union[str, "os.PathLike[str]"]


@dataclass
class OpenOptions:
    """How a model is opened."""

    path: Optional[PathLike] = None
    threads: Optional[int] = None
    context_size: Optional[int] = None
    sequences: int = 1
    batch_tokens: Optional[int] = None
    lazy: bool = False
    memory_limit: Optional[int] = None
    exact: bool = False
    kv_dtype: Optional[str] = None
    precision: Optional[str] = None
    kernels: Optional[str] = field(default_factory=lambda: os.environ.get("TORCHLESS_KERNELS"))
    backend: str = "auto"
    devices: Sequence[int] = ()
    gpu_layers: Optional[int] = None
    split: str = "layers"
    gpu_memory_fraction: Optional[float] = None
    lora: Sequence[tuple[PathLike, float]] = ()
    architecture: Optional[str] = None
    format: Optional[str] = None
    chat_template: Optional[str] = None
    firewall: Optional[_native.Firewall] = None


class GenerateOptions(TypedDict, total=False):
    """What may be asked of a reply, as keywords of `Model.generate` and its kin."""

    max_tokens: Optional[int]
    """Tokens at most; by default a quarter of the context, 2048 at least (1024 below a context of 4096)."""
    temperature: float
    """Divides the logits; 0 takes the likeliest token. Default 0.7."""
    top_k: int
    """Keeps the k likeliest tokens; 0, the default, keeps all."""
    top_p: float
    """Keeps the likeliest tokens that together reach this probability; 1, the default, keeps all."""
    min_p: float
    """Keeps tokens with at least this share of the largest probability. Default 0."""
    repeat_penalty: float
    """Makes tokens of the last `repeat_last_n` less likely; 1, the default, changes nothing."""
    repeat_last_n: int
    """The window of the three penalties. Default 64."""
    presence_penalty: float
    """Subtracted once from the logits of tokens in the window. Default 0."""
    frequency_penalty: float
    """Subtracted from the logits of tokens for each time that they stand in the window. Default 0."""
    logit_bias: Mapping[int, float]
    """Added to the logits of these token ids; -100 bans one."""
    seed: Optional[int]
    """Seed of the choices. Default 0, so that two calls give the same reply; None takes another one each time."""
    stop: Union[str, Sequence[str]]
    """The reply ends before this text, or before any of these."""
    json_schema: Union[str, Mapping[str, Any]]
    """The reply is JSON that follows this schema."""
    grammar: str
    """The reply follows this grammar: GBNF, Lark, or a regular expression between slashes."""


@dataclass
class ReplyOptions:
    """What is asked of a reply."""

    max_tokens: Optional[int] = None
    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Sequence[tuple[int, float]] = ()
    seed: int = 0
    stop: Sequence[str] = ()
    json_schema: Optional[str] = None
    grammar: Optional[str] = None


def reply_options(asked: GenerateOptions) -> ReplyOptions:
    """Keywords as the native module reads them."""
    options: dict[str, Any] = dict(asked)
    unknown = options.keys() - ReplyOptions.__dataclass_fields__.keys()
    if unknown:
        known = ", ".join(ReplyOptions.__dataclass_fields__)
        raise TypeError(f"unknown option {sorted(unknown)[0]!r} (known: {known})")
    if options.get("json_schema") is not None and options.get("grammar") is not None:
        raise TypeError("a reply follows json_schema or grammar, not both")
    if options.get("seed", 0) is None:
        options["seed"] = secrets.randbits(32)
    if isinstance(options.get("stop"), str):
        options["stop"] = [options["stop"]]
    if isinstance(options.get("json_schema"), Mapping):
        options["json_schema"] = json.dumps(options["json_schema"], ensure_ascii=False)
    if not isinstance(options.get("json_schema"), (str, type(None))):
        raise _wrong("json_schema", options["json_schema"], "a mapping or a text")
    bias = options.get("logit_bias") or {}
    if not isinstance(bias, Mapping):
        raise _wrong("logit_bias", bias, "a mapping of token ids to numbers")
    options["logit_bias"] = list(bias.items())
    made = ReplyOptions(**options)
    check(made, _REPLYING)
    return made


LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def unwritable(text: str, what: str) -> Optional[UsageError]:
    """Why a text cannot be written in UTF-8, if so."""
    if not isinstance(text, str):
        raise TypeError(f"{what} is a text, not {type(text).__name__}")
    if text.isascii() or not LONE_SURROGATE.search(text):
        return None
    return UsageError(f"{what} has half of a character (a lone surrogate), so it is no text in Unicode")


def written(text: str, what: str = "the text") -> str:
    """The text, if it can be written in UTF-8."""
    error = unwritable(text, what)
    if error is not None:
        raise error
    return text


def token_ids(ids: Iterable[SupportsIndex]) -> list[int]:
    """Ids as plain numbers; what is no whole number is refused."""
    return [operator.index(token) for token in ids]


Check = Callable[[str, Any], None]
"""Looks at the value of an option, and raises what is wrong with it."""


def check(options: DataclassInstance, checks: Mapping[str, Check]) -> None:
    """Looks at options before the native module does, whose words do not say what would work."""
    for option in fields(options):
        value = getattr(options, option.name)
        if value is not None or not str(option.type).startswith("Optional"):
            checks[option.name](option.name, value)


def _wrong(name: str, value: object, wanted: str) -> TypeError:
    return TypeError(f"{name} is {value!r}, it has to be {wanted}")


def whole(most: int = 2**64 - 1) -> Check:
    """A whole number, none below 0."""

    def look(name: str, value: Any) -> None:
        if isinstance(value, bool) or not hasattr(type(value), "__index__"):
            raise _wrong(name, value, "a whole number from 0 on")
        if value < 0:
            raise UsageError(f"{name} is {value!r}, it has to be a whole number from 0 on")
        if value > most:
            raise UsageError(f"{name} is {value!r}, it has to be {most} at most")

    return look


def number(name: str, value: Any) -> None:
    """A number; the library says which ones."""
    if isinstance(value, bool) or not (hasattr(type(value), "__float__") or hasattr(type(value), "__index__")):
        raise _wrong(name, value, "a number")
    try:
        float(value)
    except OverflowError:
        raise UsageError(f"{name} is {value!r}, which is too large") from None


def flag(name: str, value: Any) -> None:
    """True or False, of Python or of NumPy."""
    if not type(value).__name__.startswith("bool"):
        raise _wrong(name, value, "True or False")


def text(name: str, value: Any) -> None:
    """A text."""
    if not isinstance(value, str):
        raise _wrong(name, value, "a text")
    written(value, name)


def path(name: str, value: Any) -> None:
    """A path."""
    if not isinstance(value, (str, os.PathLike)):
        raise _wrong(name, value, "a path")
    try:
        # Names that are no UTF-8 are names too; Python writes their bytes as halves of characters.
        os.fsencode(value)
    except UnicodeEncodeError:
        raise UsageError(f"{name} is {value!r}, which no path can be") from None


def policy_name(policy: Any) -> str:
    """A policy file, or a preset's name."""
    path("policy", policy)
    return written(os.fspath(policy), "policy")


def several(of: Check) -> Check:
    """Several such values, in a sequence."""

    def look(name: str, value: Any) -> None:
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            raise _wrong(name, value, "a list")
        for one in value:
            of(name, one)

    return look


def pair(first: Check, second: Check) -> Check:
    """A value of one kind and one of another."""

    def look(name: str, value: Any) -> None:
        first(name, value[0])
        second(name, value[1])

    return look


def anything(name: str, value: Any) -> None:
    """What is looked at elsewhere."""


OPENING: Mapping[str, Check] = {
    "path": path,
    "threads": whole(),
    "context_size": whole(),
    "sequences": whole(),
    "batch_tokens": whole(),
    "lazy": flag,
    "memory_limit": whole(),
    "exact": flag,
    "kv_dtype": text,
    "precision": text,
    "kernels": text,
    "backend": text,
    "devices": several(whole()),
    "gpu_layers": whole(),
    "split": text,
    "gpu_memory_fraction": number,
    "lora": several(pair(path, number)),
    "architecture": text,
    "format": text,
    "chat_template": text,
    "firewall": anything,
}

_REPLYING: Mapping[str, Check] = {
    "max_tokens": whole(),
    "temperature": number,
    "top_k": whole(),
    "top_p": number,
    "min_p": number,
    "repeat_penalty": number,
    "repeat_last_n": whole(),
    "presence_penalty": number,
    "frequency_penalty": number,
    "logit_bias": several(pair(whole(2**32 - 1), number)),
    "seed": whole(),
    "stop": several(text),
    "json_schema": text,
    "grammar": text,
}


@dataclass
class FirewallOptions:
    """What a firewall is made of."""

    scanners: Sequence[tuple[str, _native.Scanner]]
    thresholds: Sequence[tuple[str, str, float]] = ()
    fail_mode: str = "closed"
    time_limit: float = 30.0
    text_limit: int = 4 << 20
    audit_log: Optional[PathLike] = None


GUARDING: Mapping[str, Check] = {
    "scanners": anything,
    "thresholds": several(lambda name, value: number(f"the threshold for {value[1]}", value[2])),
    "fail_mode": text,
    "time_limit": number,
    "text_limit": whole(),
    "audit_log": path,
}
