"""Work for coroutines on threads of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Callable, TypeVar

_T = TypeVar("_T")


async def on_own_thread(work: Callable[[], _T]) -> _T:
    """Does something on a thread of its own and waits for it. The loop's pool is for others: what waits there for a scanner that needs
    a place in it would wait for itself, and a program that ends would wait for the pool.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def tell(set_outcome: Callable[[Any], None], outcome: Any) -> None:
        # Nobody waits any more where it was cancelled.
        if not done.done():
            set_outcome(outcome)

    def run() -> None:
        told: tuple[Callable[[Any], None], Any]
        try:
            told = (done.set_result, work())
        except BaseException as error:
            told = (done.set_exception, error)
        try:
            loop.call_soon_threadsafe(tell, *told)
        except RuntimeError:
            # The loop is closed, and whoever waited on it gone.
            pass

    threading.Thread(target=run, name="torchless-waiting", daemon=True).start()
    return await done
