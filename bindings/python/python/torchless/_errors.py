"""What can go wrong, by kind. The messages are the library's."""

from __future__ import annotations


class TorchlessError(Exception):
    """Anything that torchless could not do."""


class UsageError(TorchlessError, ValueError):
    """Asked for in a way that cannot be answered, such as a prompt that is longer than the context."""


class ModelError(TorchlessError):
    """The model is at fault: missing, damaged, or nothing that runs here."""


class ResourceError(TorchlessError):
    """Memory or another resource is short."""


class EngineError(TorchlessError, RuntimeError):
    """Failed while running."""


class LibraryError(TorchlessError):
    """No libllama was found that can be used here."""


class RefusedError(TorchlessError):
    """The firewall did not let a text pass.

    ``role`` says whose text it was, ``decision`` whether it is blocked or a person has to decide (in the words of
    `ScanDecision`), ``reason`` why. None of them repeats the text.
    """

    def __init__(self, message: str, role: str, decision: str, reason: str) -> None:
        super().__init__(message)
        self.role = role
        self.decision = decision
        self.reason = reason

    def __reduce__(self) -> tuple[type[RefusedError], tuple[str, str, str, str]]:
        return RefusedError, (str(self), self.role, self.decision, self.reason)
