"""Models: opening them, and what they make of texts."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, is_dataclass
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Optional,
    Sequence,
    SupportsIndex,
    Union,
    overload,
)

from . import _native
from ._errors import TorchlessError, UsageError
from ._options import (
    OPENING,
    GenerateOptions,
    OpenOptions,
    PathLike,
    check,
    policy_name,
    reply_options,
    token_ids,
    unwritable,
    written,
)
from ._pieces import Pieces
from ._threads import on_own_thread

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray
    from typing_extensions import Literal, Self, Unpack

    from .firewall import LlamaFirewall, Message

ChatMessage = Union[Mapping[str, Any], "Message"]
# Keys are paths; type checkers would take but one kind of these, or want both.
_Adapters = Mapping[Any, float]


@dataclass(frozen=True)
class ToolCall:
    """The model wants a tool to be called."""

    id: Optional[str]
    """What the model calls this call, where it does."""
    name: str
    """The tool."""
    arguments: Any
    """Arguments by name."""


@dataclass(frozen=True)
class Reply:
    """A whole reply; as a `str` it is its text."""

    text: str
    reasoning: str
    """What the model thought before it answered; no part of the text."""
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str
    """``stop``, ``length``, ``context_full`` or ``cancelled``."""
    prompt_tokens: int
    reply_tokens: int
    prompt_seconds: float
    reply_seconds: float
    token_ids: tuple[int, ...]
    seed: int
    """The seed that it was made with."""
    scan_failures: tuple[str, ...] = ()
    """Why parts of the prompt or the reply passed that could not be scanned, where the firewall's ``fail_mode`` is ``open``."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Event:
    """What happens while a reply is made.

    ``kind`` says what ``value`` is: of ``prompt`` a pair, tokens computed and tokens in all; of ``text`` and ``reasoning`` more
    of either; of ``tool_call`` a `ToolCall`; of ``done`` the whole `Reply`.
    """

    kind: Literal["prompt", "text", "reasoning", "tool_call", "done"]
    value: Any


@dataclass(frozen=True)
class Classes:
    """What a classifier says of a text or of a token: a number for each label, in their order."""

    label: str
    """The likeliest."""
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    """Between 0 and 1, unless the model computes a plain number."""
    logits: tuple[float, ...]
    """As the model computes them."""

    @property
    def score(self) -> float:
        """The score of the likeliest label."""
        return self.scores[self.labels.index(self.label)]


@dataclass(frozen=True)
class TokenClasses(Classes):
    """What a classifier says of one token."""

    token: int
    piece: str
    """As the vocabulary writes it."""


@dataclass(frozen=True)
class Ranked:
    """A document, by how well it answers."""

    index: int
    """Its place among those given."""
    score: float
    logit: float


@dataclass(frozen=True)
class ModelInfo:
    """What a model is, and the limits that it runs within."""

    architecture: str
    layers: int
    dim: int
    vocab_size: int
    trained_context_size: int
    context_size: int
    """Positions: prompt and reply together."""
    device: str
    guarded: bool
    """Whether texts have to pass a firewall."""


def _tool_call(parts: tuple[Optional[str], str, str]) -> ToolCall:
    return ToolCall(parts[0], parts[1], json.loads(parts[2]))


def _reply(made: Mapping[str, Any], calls: tuple[ToolCall, ...], seed: int) -> Reply:
    lists = {name: tuple(made[name]) for name in ("token_ids", "scan_failures")}
    return Reply(**{**made, **lists, "tool_calls": calls, "seed": seed})


class Stream(Pieces):
    """A reply while it is made: an iterator of pieces of its text, also for ``async for``.

    `cancel`, Ctrl-C or the end of a ``with`` block ends the reply, and so does dropping the stream. ``break`` alone does not: another
    loop would go on with it. ``reply`` holds the whole once it is complete, and `events` tells more than text.
    """

    def __init__(self, native: _native.Stream, seed: int, firewall: Optional[LlamaFirewall] = None) -> None:
        super().__init__(native)
        self._firewall = firewall
        self._native = native
        self._seed = seed
        self._made: dict[str, Any] = {"text": [], "reasoning": [], "tool_calls": []}
        self._over = False
        self.reply: Optional[Reply] = None

    def events(self) -> Iterator[Event]:
        """Everything that happens, the whole reply at last."""
        while True:
            event = self._next_event()
            if event is None:
                return
            yield event

    def _next_event(self) -> Optional[Event]:
        if self._over:
            return None
        try:
            told = self._native.next_event()
        except BaseException:
            self._over = True
            raise
        if told is None:
            self._over = True
            return None
        kind, value = told
        if kind == "tool_call":
            value = _tool_call(value)
            self._made["tool_calls"].append(value)
        elif kind == "done":
            self._over = True
            texts = {name: "".join(self._made[name]) for name in ("text", "reasoning")}
            value = self.reply = _reply({**value, **texts}, tuple(self._made["tool_calls"]), self._seed)
        elif kind != "prompt":
            self._made[kind].append(value)
        return Event(kind, value)

    def _next_text(self) -> Optional[str]:
        while True:
            event = self._next_event()
            if event is None:
                return None
            if event.kind == "text":
                text: str = event.value
                return text


def _messages(messages: Iterable[ChatMessage], tools: Optional[Sequence[Mapping[str, Any]]]) -> str:
    def plain(message: ChatMessage) -> Mapping[str, Any]:
        if isinstance(message, Mapping):
            return message
        if is_dataclass(message):
            said = {"role": message.role.value, "content": message.content}
            return dict(said, tool_calls=message.tool_calls) if message.tool_calls else said
        raise TypeError(f"a message is a dictionary with role and content, not {type(message).__name__}")

    if isinstance(messages, (str, Mapping)):
        raise TypeError("messages are a list of dictionaries with role and content")
    conversation: dict[str, Any] = {"messages": [plain(message) for message in messages]}
    if tools:
        conversation["tools"] = list(tools)
    return written(json.dumps(conversation, ensure_ascii=False), "the conversation")


class Model:
    """A model that is open; `Model.open` makes one.

    What completes text has `generate`, `stream`, `chat` and `logits`; an encoder has `embed`, `classify` and `rerank`. The other
    half raises `UsageError`. A model may be used by several threads at once.
    """

    def __init__(
        self, native: Union[_native.Model, _native.Encoder], firewall: Optional[LlamaFirewall] = None
    ) -> None:
        self._native: Optional[Union[_native.Model, _native.Encoder]] = native
        # Its scanners in Python live as long as it does.
        self._firewall = firewall

    @classmethod
    def open(
        cls,
        path: Optional[PathLike] = None,
        *,
        threads: Optional[int] = None,
        context_size: Optional[int] = None,
        sequences: int = 1,
        batch_tokens: Optional[int] = None,
        lazy: bool = False,
        memory_limit: Optional[int] = None,
        exact: bool = False,
        kv_dtype: Optional[Literal["f16", "f32", "bf16", "q8_0", "q4_0"]] = None,
        precision: Optional[Literal["f32", "bf16", "int8"]] = None,
        backend: Literal["auto", "cpu", "cuda", "rocm", "metal", "opencl"] = "auto",
        devices: Sequence[int] = (),
        gpu_layers: Optional[int] = None,
        split: Literal["layers", "tensor"] = "layers",
        gpu_memory_fraction: Optional[float] = None,
        lora: Union[PathLike, _Adapters, Sequence[PathLike]] = (),
        chat_template: Optional[PathLike] = None,
        architecture: Optional[str] = None,
        format: Optional[Literal["gguf", "safetensors", "bin"]] = None,
        policy: Optional[PathLike] = None,
        firewall: Optional[LlamaFirewall] = None,
        progress: Optional[Callable[[int, int], object]] = None,
    ) -> Self:
        """Opens a GGUF, a safetensors file or folder, or a native ``.bin``; without a path, the story model inside.

        :param threads: by default one for each physical core.
        :param context_size: positions of prompt and reply together; by default what the model was trained for.
        :param sequences: replies that are computed together, where several are asked for at once.
        :param batch_tokens: tokens of a step at most.
        :param lazy: uses the weights in the file instead of copying them into memory.
        :param memory_limit: bytes that the program should stay below; implies ``lazy``.
        :param exact: keeps activations and cache in f32.
        :param kv_dtype: element type of the KV cache; by default f16 where weights are quantised.
        :param precision: the numbers that an encoder computes with; by default f32.
        :param backend: where to run; ``auto`` is the first GPU, or else the CPU.
        :param devices: numbers of GPUs that share the model; by default the first.
        :param gpu_layers: layers on the GPU, counted from the last; by default all.
        :param split: what several GPUs share: the ``layers``, or every layer (``tensor``), of which each has a part.
        :param gpu_memory_fraction: the part of a GPU's memory that may be used; by default 0.9.
        :param lora: adapters to add to the weights, with a factor each where given as a mapping.
        :param chat_template: a built-in template's name, a template in Jinja, or a file of one, in place of the model's own.
        :param architecture: takes the model for this architecture, whatever its metadata names.
        :param format: reads the file in this format, whatever its content looks like.
        :param policy: a policy file, or the name of a preset, that prompts and replies have to pass.
        :param firewall: a `LlamaFirewall` that they have to pass; excludes ``policy``.
        :param progress: called with bytes loaded and bytes in all. What it raises ends opening.
        """
        if policy is not None and firewall is not None:
            raise TypeError("a model is behind a policy or behind a firewall, not both")
        guard = _guard(firewall) if firewall is not None else None
        if policy is not None:
            guard = _native.Firewall.from_policy(policy_name(policy))
        if isinstance(chat_template, os.PathLike):
            chat_template = os.fspath(chat_template)
        options = OpenOptions(
            path=path,
            threads=threads,
            context_size=context_size,
            sequences=sequences,
            batch_tokens=batch_tokens,
            lazy=lazy,
            memory_limit=memory_limit,
            exact=exact,
            kv_dtype=kv_dtype,
            precision=precision,
            backend=backend,
            devices=devices,
            gpu_layers=gpu_layers,
            split=split,
            gpu_memory_fraction=gpu_memory_fraction,
            lora=_adapters(lora),
            architecture=architecture,
            format=format,
            chat_template=chat_template,
            firewall=guard,
        )
        check(options, OPENING)
        return cls(_native.open(options, progress), firewall)

    def close(self) -> None:
        """Gives the model's memory back, once replies in progress have ended."""
        self._native = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._native is None:
            return "<torchless.Model, closed>"
        info = self.info
        return f"<torchless.Model {info.architecture}, {info.layers} layers, {info.dim} wide, on {info.device}>"

    @property
    def _open(self) -> Union[_native.Model, _native.Encoder]:
        if self._native is None:
            raise UsageError("the model is closed")
        return self._native

    @property
    def _completes(self) -> _native.Model:
        native = self._open
        if isinstance(native, _native.Encoder):
            raise UsageError("this model is an encoder, which completes no text: use embed, classify or rerank")
        return native

    @property
    def _encodes(self) -> _native.Encoder:
        native = self._open
        if isinstance(native, _native.Model):
            raise UsageError("this model completes text; embed, classify and rerank take an encoder, such as BERT")
        return native

    @property
    def is_encoder(self) -> bool:
        """Whether the model embeds or classifies, and does not complete text."""
        return isinstance(self._open, _native.Encoder)

    @property
    def info(self) -> ModelInfo:
        """What the model is, and the limits that it runs within."""
        return ModelInfo(**self._open.info())

    # Tokens.

    def tokenize(self, text: str, *, add_special: bool = True, parse_special: bool = False) -> list[int]:
        """Token ids of a text.

        :param add_special: adds the tokens that the model has around a text, such as one for its beginning.
        :param parse_special: takes special tokens that are spelled out in the text for such; never for text from strangers.
        """
        return self._open.tokenize(written(text), (add_special, parse_special))

    def detokenize(self, ids: Iterable[SupportsIndex]) -> str:
        """The text of token ids."""
        return self._open.detokenize(token_ids(ids))

    @property
    def bos_token(self) -> Optional[int]:
        """The token that begins a text, where there is one."""
        return self._completes.special_ids()[0]

    @property
    def eos_token(self) -> Optional[int]:
        """The token that ends a text, where there is one."""
        return self._completes.special_ids()[1]

    # Completing text.

    def generate(self, prompt: str, **options: Unpack[GenerateOptions]) -> Reply:
        """Completes a text, as it stands; `GenerateOptions` has the options."""
        return self._make(("text", prompt), options)

    def chat(
        self,
        messages: Iterable[ChatMessage],
        tools: Optional[Sequence[Mapping[str, Any]]] = None,
        **options: Unpack[GenerateOptions],
    ) -> Reply:
        """Answers a conversation: dictionaries with ``role`` and ``content``, through the model's chat template.

        :param tools: tools that the model may call, each with a JSON schema of its arguments.
        """
        return self._make(("chat", _messages(messages, tools)), options)

    def stream(self, prompt: str, **options: Unpack[GenerateOptions]) -> Stream:
        """Begins to complete a text, and gives it piece by piece."""
        return self._begin(("text", prompt), options)

    def chat_stream(
        self,
        messages: Iterable[ChatMessage],
        tools: Optional[Sequence[Mapping[str, Any]]] = None,
        **options: Unpack[GenerateOptions],
    ) -> Stream:
        """Begins to answer a conversation, and gives the answer piece by piece."""
        return self._begin(("chat", _messages(messages, tools)), options)

    async def generate_async(self, prompt: str, **options: Unpack[GenerateOptions]) -> Reply:
        """`generate`, for coroutines; cancelling the task ends the reply."""
        return await self._make_async(("text", prompt), options)

    async def chat_async(
        self,
        messages: Iterable[ChatMessage],
        tools: Optional[Sequence[Mapping[str, Any]]] = None,
        **options: Unpack[GenerateOptions],
    ) -> Reply:
        """`chat`, for coroutines; cancelling the task ends the reply."""
        return await self._make_async(("chat", _messages(messages, tools)), options)

    @overload
    def generate_many(self, prompts: Iterable[str], **options: Unpack[GenerateOptions]) -> list[Reply]: ...
    @overload
    def generate_many(
        self, prompts: Iterable[str], *, errors: Literal["raise"], **options: Unpack[GenerateOptions]
    ) -> list[Reply]: ...
    @overload
    def generate_many(
        self, prompts: Iterable[str], *, errors: Literal["return"], **options: Unpack[GenerateOptions]
    ) -> list[Union[Reply, TorchlessError]]: ...

    def generate_many(
        self,
        prompts: Iterable[str],
        *,
        errors: Literal["raise", "return"] = "raise",
        **options: Unpack[GenerateOptions],
    ) -> Union[list[Reply], list[Union[Reply, TorchlessError]]]:
        """Completes many texts, as many at once as the model was opened with ``sequences``; each as it would be alone.

        :param errors: ``raise`` raises the first error once all are done; ``return`` puts each in its reply's place.
        """
        if errors not in ("raise", "return"):
            raise ValueError(f"errors is {errors!r}, it has to be 'raise' or 'return'")
        if isinstance(prompts, str):
            raise TypeError("prompts are a list of texts; generate takes a single one")
        return self._make_all([("text", prompt) for prompt in prompts], options, errors)

    def _make_all(
        self, asked: list[tuple[str, str]], options: GenerateOptions, errors: str
    ) -> list[Union[Reply, TorchlessError]]:
        wanted = reply_options(options)
        refused = {at: error for at, (_, text) in enumerate(asked) if (error := unwritable(text, "the prompt"))}
        answers = iter(self._completes.complete([one for at, one in enumerate(asked) if at not in refused], wanted))
        replies: list[Union[Reply, TorchlessError]] = []
        for at in range(len(asked)):
            made = refused.get(at) or next(answers)
            if not isinstance(made, Exception):
                replies.append(_reply(made, tuple(map(_tool_call, made["tool_calls"])), wanted.seed))
            elif errors == "return" and isinstance(made, TorchlessError):
                replies.append(made)
            else:
                raise made
        return replies

    def _make(self, asked: tuple[str, str], options: GenerateOptions) -> Reply:
        reply = self._make_all([asked], options, "raise")[0]
        assert isinstance(reply, Reply)
        return reply

    def _begin(self, asked: tuple[str, str], options: GenerateOptions) -> Stream:
        wanted = reply_options(options)
        written(asked[1], "the prompt")
        return Stream(self._completes.stream(asked, wanted), wanted.seed, self._firewall)

    async def _make_async(self, asked: tuple[str, str], options: GenerateOptions) -> Reply:
        # Letting the prompt in takes a while where it is scanned.
        stream = await on_own_thread(lambda: self._begin(asked, options))
        async with stream:
            async for _ in stream:
                pass
        assert stream.reply is not None
        return stream.reply

    def render(self, messages: Iterable[ChatMessage], tools: Optional[Sequence[Mapping[str, Any]]] = None) -> str:
        """What the model sees of a conversation, through its chat template."""
        return self._completes.render(_messages(messages, tools))

    def logits(self, tokens: Union[str, Iterable[SupportsIndex]], *, start: int = 0) -> NDArray[numpy.float32]:
        """Logits after each token, ``[tokens, vocab]``, of ids or of a text.

        The first call opens the weights a second time, in place. No firewall is asked: nothing is made of the numbers here.

        :param start: leaves the positions before it out; -1 gives the last alone.
        """
        ids = self.tokenize(tokens) if isinstance(tokens, str) else token_ids(tokens)
        first = max(0, start + len(ids)) if start < 0 else start
        return _array(self._completes.logits(ids, first))

    # Encoders.

    def embed(
        self,
        texts: Union[str, Iterable[str]],
        *,
        pooling: Optional[str] = None,
        normalize: Optional[bool] = None,
    ) -> NDArray[numpy.float32]:
        """A vector for each text, ``[texts, dim]``; ``[dim]`` of a single text.

        :param pooling: how the vectors of tokens become one: ``mean``, ``cls``, ``max``, ``lasttoken``, ``weightedmean``,
            ``mean_sqrt_len_tokens`` or ``pooler``; by default as the model's folder says, or the mean.
        :param normalize: scales vectors to length 1; by default as the model's folder says.
        """
        vectors = _array(self._encodes.embed(_texts(texts), pooling, normalize))
        single: NDArray[numpy.float32] = vectors[0] if isinstance(texts, str) else vectors
        return single

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes; empty for a model that only embeds."""
        return tuple(self._encodes.labels()[0])

    @property
    def classifies_tokens(self) -> bool:
        """Whether tokens are classified, and not whole texts."""
        return self._encodes.labels()[1]

    @overload
    def classify(self, texts: str) -> Classes: ...  # type: ignore[overload-overlap]
    @overload
    def classify(self, texts: Iterable[str]) -> list[Classes]: ...

    def classify(self, texts: Union[str, Iterable[str]]) -> Union[Classes, list[Classes]]:
        """What a classifier says of a text, or of each of several."""
        labels = self.labels
        found = [_classes(labels, *row) for row in self._encodes.classify(_texts(texts))]
        return found[0] if isinstance(texts, str) else found

    @overload
    def classify_tokens(self, texts: str) -> list[TokenClasses]: ...  # type: ignore[overload-overlap]
    @overload
    def classify_tokens(self, texts: Iterable[str]) -> list[list[TokenClasses]]: ...

    def classify_tokens(
        self, texts: Union[str, Iterable[str]]
    ) -> Union[list[TokenClasses], list[list[TokenClasses]]]:
        """What a classifier of tokens says of each token of a text, or of each of several; special tokens are left out."""
        labels = self.labels

        def token(row: tuple[int, str, tuple[list[float], list[float]]]) -> TokenClasses:
            classes = _classes(labels, *row[2])
            return TokenClasses(classes.label, labels, classes.scores, classes.logits, row[0], row[1])

        found = [[token(row) for row in text] for text in self._encodes.classify_tokens(_texts(texts))]
        return found[0] if isinstance(texts, str) else found

    def rerank(self, query: str, documents: Iterable[str]) -> list[Ranked]:
        """Documents by how well they answer the query, the best first."""
        rows = self._encodes.rerank(written(query, "the query"), _texts(documents))
        ranked = [Ranked(index, scores[0], logits[0]) for index, (logits, scores) in enumerate(rows)]
        return sorted(ranked, key=lambda row: -row.logit)


def _guard(firewall: LlamaFirewall) -> _native.Firewall:
    from .firewall import LlamaFirewall

    if not isinstance(firewall, LlamaFirewall):
        raise TypeError(f"firewall is {firewall!r}, it has to be a LlamaFirewall; policy= takes a file or a preset's name")
    return firewall.native


def _adapters(given: Union[PathLike, _Adapters, Sequence[PathLike]]) -> list[tuple[PathLike, float]]:
    if isinstance(given, (str, os.PathLike)):
        return [(given, 1.0)]
    if isinstance(given, Mapping):
        return list(given.items())
    return [(path, 1.0) for path in given]


def _texts(texts: Union[str, Iterable[str]]) -> list[str]:
    listed = [texts] if isinstance(texts, str) else texts
    return [written(text, f"text {at}") for at, text in enumerate(listed)]


def _array(rows: tuple[bytearray, int, int]) -> NDArray[numpy.float32]:
    import numpy

    values, count, width = rows
    return numpy.frombuffer(values, dtype=numpy.float32).reshape(count, width)


def _classes(labels: tuple[str, ...], logits: list[float], scores: list[float]) -> Classes:
    best = max(range(len(logits)), key=logits.__getitem__)
    return Classes(labels[best], labels, tuple(scores), tuple(logits))
