"""Runs open-weight language models on this machine, with the firewall built in.

`Model.open` opens a model; it completes text (`Model.generate`, `Model.stream`), answers conversations (`Model.chat`), or embeds,
classifies and reranks texts where it is an encoder. `LlamaFirewall`, also called `Firewall`, scans messages, and stands before and
behind a model that is opened with one. `torchless.ray` does the same on many machines, and ``python -m torchless`` is the command.
"""

from . import _native
from ._errors import EngineError, LibraryError, ModelError, RefusedError, ResourceError, TorchlessError, UsageError
from ._model import (
    Classes,
    Event,
    Model,
    ModelInfo,
    Ranked,
    Reply,
    Stream,
    TokenClasses,
    ToolCall,
)
from ._options import GenerateOptions
from .firewall import (
    AssistantMessage,
    Finding,
    Firewall,
    LlamaFirewall,
    MemoryMessage,
    Message,
    Role,
    ScanDecision,
    Scanner,
    ScannerType,
    ScanResult,
    ScanStatus,
    SystemMessage,
    ToolMessage,
    Trace,
    UseCase,
    UserMessage,
    register_llamafirewall_scanner,
)

__version__: str = _native.VERSION

__all__ = [
    "AssistantMessage",
    "Classes",
    "EngineError",
    "Event",
    "Finding",
    "Firewall",
    "GenerateOptions",
    "LibraryError",
    "LlamaFirewall",
    "MemoryMessage",
    "Message",
    "Model",
    "ModelError",
    "ModelInfo",
    "Ranked",
    "RefusedError",
    "Reply",
    "ResourceError",
    "Role",
    "ScanDecision",
    "ScanResult",
    "ScanStatus",
    "Scanner",
    "ScannerType",
    "Stream",
    "SystemMessage",
    "TokenClasses",
    "ToolCall",
    "ToolMessage",
    "TorchlessError",
    "Trace",
    "UsageError",
    "UseCase",
    "UserMessage",
    "register_llamafirewall_scanner",
]
