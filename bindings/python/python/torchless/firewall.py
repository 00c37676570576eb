"""The firewall, with the interface of Meta's LlamaFirewall for Python.

A program that says ``from llamafirewall import ...`` says ``from torchless.firewall import ...`` instead. Verdicts come from the scanners of
this project; the guide lists where they differ.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import traceback
import weakref
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Callable, Iterable, List, Mapping, Optional, Sequence, TypeVar, Union, cast

from . import _native
from ._errors import UsageError
from ._options import GUARDING, LONE_SURROGATE, FirewallOptions, PathLike, check, policy_name, written
from ._threads import on_own_thread

if TYPE_CHECKING:
    from typing_extensions import Literal, Self, TypeAlias

    from ._model import Model

__all__ = [
    "AssistantMessage",
    "Configuration",
    "Finding",
    "Firewall",
    "LlamaFirewall",
    "MemoryMessage",
    "Message",
    "Role",
    "ScanDecision",
    "ScanResult",
    "ScanStatus",
    "Scanner",
    "ScannerType",
    "SystemMessage",
    "ToolMessage",
    "Trace",
    "UseCase",
    "UserMessage",
    "register_llamafirewall_scanner",
]

_log = logging.getLogger(__name__)


class Role(Enum):
    """Who speaks."""

    TOOL = "tool"
    """The result of a tool."""
    USER = "user"
    ASSISTANT = "assistant"
    """The model."""
    MEMORY = "memory"
    """What was remembered from earlier conversations."""
    SYSTEM = "system"
    """The application's instructions."""


class ScannerType(Enum):
    """The scanners that come with the firewall."""

    CODE_SHIELD = "code_shield"
    """Insecure code."""
    PROMPT_GUARD = "prompt_guard"
    """Injections and jailbreaks, by a classifier: the detector inside, or a Prompt Guard of one's own."""
    AGENT_ALIGNMENT = "agent_alignment"
    """An agent that does not do what its user asked for, by a judge."""
    HIDDEN_ASCII = "hidden_ascii"
    """Text that nobody sees."""
    PII_DETECTION = "pii_detection"
    """Personal data, by a judge."""
    REGEX = "regex"
    """Patterns of injections and of personal data, in every form that they can be written down in."""
    SECRETS = "secrets"
    """Keys, tokens and passwords."""


class ScanDecision(Enum):
    """What is to happen with a message. The worst of several wins."""

    ALLOW = "allow"
    HUMAN_IN_THE_LOOP_REQUIRED = "human_in_the_loop_required"
    BLOCK = "block"


class ScanStatus(Enum):
    """Whether scanning worked."""

    SUCCESS = "success"
    ERROR = "error"
    """A scanner failed, ran out of time or did not see all; the fail mode decided in its place."""
    SKIPPED = "skipped"
    """No scanner looks at this role."""


class UseCase(Enum):
    """Uses that there is a policy for."""

    CHAT_BOT = "chatbot"
    CHATBOT = "chatbot"
    CODING_ASSISTANT = "coding_assistant"
    GENERAL = "general"
    """Everything that needs no model, for every role."""


@dataclass
class Message:
    """One message of a conversation."""

    role: Role
    content: str
    tool_calls: Optional[List[Mapping[str, Any]]] = None
    """Calls of tools, with ``name`` and ``arguments``, or as chat interfaces have them; all of it is scanned too."""

    def __str__(self) -> str:
        return f"{self.role}: {self.content}"


class SystemMessage(Message):
    """The application's instructions."""

    def __init__(self, content: str) -> None:
        super().__init__(Role.SYSTEM, content)


class UserMessage(Message):
    """A user's message."""

    def __init__(self, content: str) -> None:
        super().__init__(Role.USER, content)


class AssistantMessage(Message):
    """A model's message."""

    def __init__(self, content: Optional[str], tool_calls: Optional[List[Mapping[str, Any]]] = None) -> None:
        # Chat interfaces give no text beside calls.
        super().__init__(Role.ASSISTANT, "" if content is None and tool_calls else cast(str, content), tool_calls)


class ToolMessage(Message):
    """The result of a tool."""

    def __init__(self, content: str) -> None:
        super().__init__(Role.TOOL, content)


class MemoryMessage(Message):
    """Something remembered."""

    def __init__(self, content: str) -> None:
        super().__init__(Role.MEMORY, content)


Trace: TypeAlias = List[Message]

_CLASSES: Mapping[Role, Callable[[str], Message]] = {
    Role.SYSTEM: SystemMessage,
    Role.USER: UserMessage,
    Role.TOOL: ToolMessage,
    Role.MEMORY: MemoryMessage,
}


@dataclass(frozen=True)
class Finding:
    """One place that a scanner objects to, or wants to be known."""

    scanner: str
    """Whose it is; the firewall fills it in."""
    rule: str
    """What was found, never the text itself."""
    start: int
    end: int
    """The characters ``content[start:end]``."""
    decision: ScanDecision
    score: float
    seen_in: str
    """In which form of the text it was seen, such as ``base64``; empty for the text as it came."""


@dataclass
class ScanResult:
    """A verdict on a message."""

    decision: ScanDecision
    reason: str
    """Why, in words that do not quote the text."""
    score: float
    """How sure, from 0 to 1."""
    status: ScanStatus = ScanStatus.SUCCESS
    findings: Sequence[Finding] = ()
    coverage: float = 1.0
    """Share of the text that was seen. A scanner that saw less than all and does not block has failed."""

    @property
    def is_allowed(self) -> bool:
        """Whether the message may pass."""
        return self.decision is ScanDecision.ALLOW


class Scanner(ABC):
    """A scanner of one's own: subclass it, register the class by `register_llamafirewall_scanner` or put an instance in a
    configuration.

    It is made once and shared. What it raises is a failed scan, decided by the fail mode. Its type and place are logged, and at the level
    DEBUG all of it.
    """

    def __init__(self, scanner_name: str, block_threshold: float = 1.0) -> None:
        self.name = scanner_name
        self.block_threshold = block_threshold
        self.require_full_trace = False

    @abstractmethod
    async def scan(self, message: Message, past_trace: Optional[Trace] = None) -> ScanResult:
        """The verdict on a message, with those before it where they are known."""

    def __str__(self) -> str:
        return self.name


Configuration: TypeAlias = Mapping[Role, Sequence[Union[ScannerType, str, Scanner]]]

_ScannerClass = TypeVar("_ScannerClass", bound="type[Scanner]")
_registered: dict[str, Callable[[], Scanner]] = {}


def register_llamafirewall_scanner(scanner_name: str) -> Callable[[_ScannerClass], _ScannerClass]:
    """Registers a class of scanners, made without arguments, under a name that configurations may use."""

    def register(scanner: _ScannerClass) -> _ScannerClass:
        if not (isinstance(scanner, type) and issubclass(scanner, Scanner)):
            raise ValueError("what is registered as a scanner has to be a subclass of Scanner")
        _registered[scanner_name] = scanner
        return scanner

    return register


# Keys are scanners, or their names; type checkers would take but one of these kinds, or want both.
_Thresholds: TypeAlias = Mapping[Any, float]
_Judge: TypeAlias = Union["Model", Callable[[str, str, "dict[str, Any]"], Union[str, Mapping[str, Any]]]]

_DEFAULT: Configuration = {
    Role.TOOL: [ScannerType.CODE_SHIELD, ScannerType.PROMPT_GUARD],
    Role.USER: [ScannerType.PROMPT_GUARD],
    Role.SYSTEM: [],
    Role.ASSISTANT: [ScannerType.CODE_SHIELD],
    Role.MEMORY: [],
}
_JUDGED = (ScannerType.AGENT_ALIGNMENT, ScannerType.PII_DETECTION)


class LlamaFirewall:
    """Says of messages whether they may pass."""

    def __init__(
        self,
        scanners: Optional[Configuration] = None,
        *,
        prompt_guard: Optional[PathLike] = None,
        prompt_guard_threads: Optional[int] = None,
        judge: Optional[_Judge] = None,
        block_thresholds: Optional[_Thresholds] = None,
        fail_mode: Literal["closed", "human", "open"] = "closed",
        time_limit: float = 30.0,
        text_limit: int = 4 << 20,
        audit_log: Optional[PathLike] = None,
    ) -> None:
        """A firewall of these scanners.

        :param scanners: which scanners look at what each role says. Without, prompt_guard for users and tools, and code_shield
            for assistants and tools. A role that is not named is not scanned.
        :param prompt_guard: the folder of a Prompt Guard, or of another such classifier, in place of the detector inside.
        :param prompt_guard_threads: threads of that model; by default all cores.
        :param judge: a `Model` with a chat template, or a callable, that answers for agent_alignment and pii_detection: it is given
            instructions, what is judged, and the JSON schema of the answer, and gives JSON.
        :param block_thresholds: scores from which on a scanner blocks, in place of its own verdict.
        :param fail_mode: what a scanner that fails leads to: ``closed`` blocks, ``human`` asks for a person, ``open`` allows.
        :param time_limit: seconds for each scanner and message; 1e9, the most, is for ever.
        :param text_limit: bytes of a message; a longer one counts as a failure, nothing is cut.
        :param audit_log: a file that gets a line for each verdict, chained by hashes, without the text.
        """
        self.scanners: Configuration = _DEFAULT if scanners is None else scanners
        self._prompt_guard = (prompt_guard, prompt_guard_threads)
        self._judge = judge
        placed = self._placed()
        thresholds = [
            (role.value, _name(kind), score)
            for kind, score in (block_thresholds or {}).items()
            for role, kinds in placed.items()
            if kind in kinds
        ]
        missing = set(block_thresholds or {}) - {kind for kinds in placed.values() for kind in kinds}
        if missing:
            raise UsageError(f"a threshold for {_name(missing.pop())}, which looks at nobody")
        self._made: dict[Union[ScannerType, str, Scanner], Union[_native.Scanner, Scanner]] = {}
        for kinds in placed.values():
            for kind in kinds:
                if kind not in self._made:
                    self._made[kind] = self._make(kind)
        self._options = (placed, thresholds, fail_mode, time_limit, text_limit, audit_log)
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _native.Firewall] = (
            weakref.WeakKeyDictionary()
        )
        self._native = self._native_for(None)

    @classmethod
    def from_usecase(cls, usecase: UseCase) -> Self:
        """The firewall of the preset for a use."""
        if not isinstance(usecase, UseCase):
            raise TypeError(f"usecase is {usecase!r}, it has to be a UseCase; from_policy takes a preset by its name")
        return cls.from_policy(usecase.value.replace("_", "-"))

    @classmethod
    def from_policy(cls, policy: PathLike) -> Self:
        """The firewall of a policy file in TOML, or of a preset by its name. ``scanners`` has them by the names of the policy."""
        firewall = cls({})
        firewall._native = _native.Firewall.from_policy(policy_name(policy))
        firewall.scanners = {Role(role): [_kind(name) for name in names] for role, names in firewall._native.scanners}
        return firewall

    @property
    def native(self) -> _native.Firewall:
        """For models that are opened behind this firewall."""
        return self._native

    @property
    def is_open(self) -> bool:
        """Whether nothing is scanned."""
        return self._native.is_open

    def _placed(self) -> dict[Role, list[Union[ScannerType, str, Scanner]]]:
        placed: dict[Role, list[Union[ScannerType, str, Scanner]]] = {}
        for role, kinds in self.scanners.items():
            if not isinstance(role, Role):
                raise UsageError(f"a configuration goes by Role, not by {role!r}")
            if isinstance(kinds, str):
                raise UsageError(f"{role} has a list of scanners, not a text")
            # A scanner that is named twice looks once.
            placed[role] = list(dict.fromkeys(kinds))
        return placed

    def _make(self, kind: Union[ScannerType, str, Scanner]) -> Union[_native.Scanner, Scanner]:
        if isinstance(kind, Scanner):
            return kind
        if isinstance(kind, str):
            if kind not in _registered:
                known = ", ".join(sorted(_registered)) or "none"
                raise UsageError(f"no scanner is registered as {kind!r} (registered: {known})")
            return _registered[kind]()
        if not isinstance(kind, ScannerType):
            raise UsageError(f"{kind!r} is no scanner")
        folder, threads = self._prompt_guard
        if kind is ScannerType.PROMPT_GUARD and folder is not None:
            return _native.Scanner.prompt_guard(folder, threads)
        if kind not in _JUDGED:
            return _native.Scanner.builtin(kind.value)
        if self._judge is None:
            raise UsageError(f"{kind.value} asks a language model: name one by judge=, a Model or a callable")
        return _native.Scanner.judged(kind.value, _native_judge(self, self._judge))

    def _native_for(self, loop: Optional[asyncio.AbstractEventLoop]) -> _native.Firewall:
        """The firewall whose scanners in Python run on this loop; on loops of their own without one."""
        placed, thresholds, fail_mode, time_limit, text_limit, audit_log = self._options

        def native(kind: Union[ScannerType, str, Scanner]) -> _native.Scanner:
            made = self._made[kind]
            if isinstance(made, Scanner):
                return _native.Scanner.custom(_name(kind), _call(made, loop, time_limit))
            return made

        for kind in self._made:
            written(_name(kind), "the name of a scanner")
        entries = [(role.value, native(kind)) for role, kinds in placed.items() for kind in kinds]
        options = FirewallOptions(entries, thresholds, fail_mode, time_limit, text_limit, audit_log)
        check(options, GUARDING)
        return _native.Firewall(options)

    def _here(self) -> _native.Firewall:
        """The firewall for the loop that runs now."""
        if not any(isinstance(made, Scanner) for made in self._made.values()) or self._options[-1] is not None:
            # One log has one writer.
            return self._native
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            self._loops[loop] = self._native_for(loop)
        return self._loops[loop]

    def scan(self, input: Message, trace: Optional[Trace] = None) -> ScanResult:
        """The verdict on a message, with what was said before it where that is known."""
        return _scan(self._native, input, trace)

    async def scan_async(self, input: Message, trace: Optional[Trace] = None) -> ScanResult:
        """`scan`, for coroutines: the same verdict."""
        firewall = self._here()
        return await on_own_thread(lambda: _scan(firewall, input, trace))

    def scan_many(self, messages: Iterable[Message], *, threads: int = 1) -> list[ScanResult]:
        """Verdicts on messages that have nothing to do with each other."""
        found = self._native.scan_many([_said(message) for message in messages], threads)
        return [_result(verdict) for verdict in found]

    def scan_replay(self, trace: Trace) -> ScanResult:
        """Goes through a conversation: the first verdict that does not let a message pass, or else that of the last message."""
        return _result(self._native.scan_replay([_said(message) for message in trace]))

    async def scan_replay_async(self, trace: Trace) -> ScanResult:
        """`scan_replay`, for coroutines."""
        firewall, said = self._here(), [_said(message) for message in trace]
        return _result(await on_own_thread(lambda: firewall.scan_replay(said)))

    def scan_replay_build_trace(
        self, message: Message, stored_trace: Optional[Trace] = None
    ) -> tuple[ScanResult, Trace]:
        """The verdict on a message, and the trace to store: with the message where it may pass."""
        trace = [] if stored_trace is None else stored_trace
        return _with_trace(self.scan(message, trace), message, trace)

    async def scan_replay_build_trace_async(
        self, message: Message, stored_trace: Optional[Trace] = None
    ) -> tuple[ScanResult, Trace]:
        """`scan_replay_build_trace`, for coroutines."""
        trace = [] if stored_trace is None else stored_trace
        return _with_trace(await self.scan_async(message, trace), message, trace)


Firewall = LlamaFirewall


def _with_trace(result: ScanResult, message: Message, trace: Trace) -> tuple[ScanResult, Trace]:
    return result, [*trace, message] if result.is_allowed else trace


def _name(kind: Union[ScannerType, str, Scanner]) -> str:
    if isinstance(kind, ScannerType):
        return str(kind.value)
    return kind.name if isinstance(kind, Scanner) else kind


def _kind(name: str) -> Union[ScannerType, str]:
    return next((kind for kind in ScannerType if kind.value == name), name)


_Said = tuple[str, str, list[tuple[str, str]]]


def _text(text: str) -> str:
    """A text that can be written in UTF-8, as long as before."""
    return text if text.isascii() else LONE_SURROGATE.sub("\ufffd", text)


def _said(message: Message) -> _Said:
    if not isinstance(message, Message):
        raise TypeError(f"a message is a Message, such as UserMessage(text), not {type(message).__name__}")
    if not isinstance(message.role, Role):
        raise TypeError(f"the role of a message is a Role, such as Role.USER, not {message.role!r}")
    if not isinstance(message.content, str):
        kind = type(message.content).__name__
        raise TypeError(f"the content of a message is a text, not {kind}: join the texts of its parts")
    calls = [part for call in message.tool_calls or () for part in _call_parts(call)]
    return message.role.value, _text(message.content), calls


def _call_parts(call: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and arguments of a call, in the form that chat interfaces have or flat, or of both where both are there. What stands beside
    them is an argument too, and of a call of any other form all is."""
    if not isinstance(call, Mapping):
        raise TypeError(f"a call of a tool is a mapping with name and arguments, not {type(call).__name__}")
    function = call.get("function")
    levels = [call]
    if isinstance(function, Mapping):
        levels = [function, {key: value for key, value in call.items() if key != "function"}]
    forms = [level for level in levels if _CALL & level.keys()]
    if not any("arguments" in form for form in forms):
        return [("", _json(call))]
    parts = [(_text(str(form.get("name", ""))), _json(form.get("arguments", ""))) for form in forms]
    beside = [{key: value for key, value in level.items() if not _is_plain(key, value)} for level in levels]
    return parts + [(parts[0][0], _json(rest)) for rest in beside if rest]


_CALL = {"name", "arguments"}
_MARK = re.compile(r"[\w.:-]{0,64}")


def _is_plain(key: str, value: object) -> bool:
    """Whether this part of a call is scanned by itself, or marks the call and says nothing."""
    return key in _CALL or (key in ("id", "type", "index") and _MARK.fullmatch(str(value)) is not None)


def _json(value: object) -> str:
    return _text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _message(said: tuple[str, str, Sequence[tuple[str, str]]]) -> Message:
    role, content, calls = said
    if Role(role) is Role.ASSISTANT:
        return AssistantMessage(content, [{"name": name, "arguments": arguments} for name, arguments in calls] or None)
    return _CLASSES[Role(role)](content)


def _scan(firewall: _native.Firewall, message: Message, trace: Optional[Trace]) -> ScanResult:
    said = None if trace is None else [_said(before) for before in trace]
    return _result(firewall.scan(_said(message), said))


def _result(verdict: _native._Verdict) -> ScanResult:
    decision, reason, score, status, coverage, found = verdict
    findings = [
        Finding(scanner, rule, start, end, ScanDecision(one), sure, seen_in)
        for scanner, rule, start, end, one, sure, seen_in in found
    ]
    return ScanResult(ScanDecision(decision), reason, score, ScanStatus(status), findings, coverage)


def _plain(result: ScanResult) -> _native._Verdict:
    findings = [
        (one.scanner, one.rule, one.start, one.end, one.decision.value, float(one.score), one.seen_in)
        for one in result.findings
    ]
    coverage = float(result.coverage)
    return result.decision.value, result.reason, float(result.score), result.status.value, coverage, findings


_Answer = Callable[[_native.Told, "tuple[Any, ...]"], None]


def _answering(work: Callable[..., object]) -> _Answer:
    """What the native firewall asks, on a thread of its own."""

    def answer(told: _native.Told, asked: tuple[Any, ...]) -> None:
        try:
            told.give(work(*asked))
        except BaseException as error:
            told.fail(type(error).__name__)

    return answer


def _call(scanner: Scanner, loop: Optional[asyncio.AbstractEventLoop], time_limit: float) -> _Answer:
    """A scanner in Python as the native firewall asks it. That keeps neither alive: the collector of garbage does not see what is native."""
    itself, where = weakref.ref(scanner), None if loop is None else weakref.ref(loop)

    def call(said: Any, before: Any) -> _native._Verdict:
        scanner = itself()
        if scanner is None:
            raise ReferenceError("the firewall is gone")
        trace = None if before is None else [_message(one) for one in before]
        try:
            # Nobody waits any longer, so it must not go on either.
            verdict = asyncio.wait_for(scanner.scan(_message(said), trace), time_limit)
            running = where() if where is not None else None
            if running is not None:
                result = asyncio.run_coroutine_threadsafe(verdict, running).result()
            else:
                result = asyncio.run(verdict)
            return _plain(result)
        except Exception as error:
            _tell(f"scanner {scanner}", error)
            raise

    return _answering(call)


def _tell(who: str, error: Exception) -> None:
    """Logs a failure. What it says may quote the text, so that stands in the log only where somebody debugs."""
    *_, place = traceback.extract_tb(error.__traceback__)
    _log.error("%s failed: %s in %s, line %s", who, type(error).__name__, place.filename, place.lineno)
    _log.debug("%s failed", who, exc_info=error)


def _native_judge(firewall: LlamaFirewall, judge: _Judge) -> Union[_native.Model, _Answer]:
    """A judge as the native firewall asks it. A callable is kept alive by the firewall in Python alone, which may be part of it."""
    from ._model import Model

    if isinstance(judge, Model):
        return judge._completes
    owner = weakref.ref(firewall)

    def answer(system: str, user: str, schema: str) -> str:
        alive = owner()
        if alive is None:
            raise ReferenceError("the firewall is gone")
        ask: Any = alive._judge
        try:
            said = ask(system, user, json.loads(schema))
            return said if isinstance(said, str) else json.dumps(said)
        except Exception as error:
            _tell("the judge", error)
            raise

    return _answering(answer)
