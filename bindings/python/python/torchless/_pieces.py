"""A reply's text in pieces, for loops and for coroutines."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Optional, Protocol

if TYPE_CHECKING:
    from typing_extensions import Self


class _Native(Protocol):
    def cancel(self) -> None: ...


class Pieces:
    """An iterator of pieces of text; what makes them stands in a subclass. Dropping it ends the reply."""

    def __init__(self, native: _Native) -> None:
        self._making = native
        self._waiting: Optional[ThreadPoolExecutor] = None

    def _next_text(self) -> Optional[str]:
        """The next piece, or None at the end."""
        raise NotImplementedError

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        piece = self._next_text()
        if piece is None:
            raise StopIteration
        return piece

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        if self._waiting is None:
            # A thread of its own: many streams at once must not wait for each other.
            self._waiting = ThreadPoolExecutor(1, "torchless-stream")
        try:
            piece = await asyncio.get_running_loop().run_in_executor(self._waiting, self._next_text)
        except BaseException:
            self.cancel()
            raise
        if piece is None:
            self._end_waiting()
            raise StopAsyncIteration
        return piece

    def cancel(self) -> None:
        """Ends the reply. What was made already is still told."""
        self._making.cancel()
        self._end_waiting()

    def _end_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.shutdown(wait=False)
            self._waiting = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()
