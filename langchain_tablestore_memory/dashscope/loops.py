"""Async clients and the event loops to which they belong.

A client of httpx works in one event loop only, and has to be closed there. Nobody closes an embedding model, though. So
the clients of a loop are closed with it, and those whose owner is gone when the loop gets its next client.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncGenerator
from typing import Protocol


class Closable(Protocol):
    """What is closed by awaiting."""

    async def aclose(self) -> None:
        """Close it."""
        ...


class LoopClients:
    """The open clients of one event loop."""

    def __init__(self) -> None:
        self._open: set[Closable] = set()
        self._abandoned: deque[Closable] = deque()
        self._guard = self._close_with_loop()

    @classmethod
    async def of_running_loop(cls) -> LoopClients:
        """Those of the running event loop."""
        loop = asyncio.get_running_loop()
        found = _of_loops.get(loop)
        if found is None:
            # Copied in one go, because other threads have loops too.
            for other in list(_of_loops):
                if other.is_closed():
                    _of_loops.pop(other, None)
            found = _of_loops[loop] = cls()
            await anext(found._guard)
        return found

    async def adopt(self, client: Closable, owner: object) -> None:
        """Close a client when the loop ends, or some time after its owner is gone."""
        self._open.add(client)
        # It runs wherever the owner happens to be collected, where nothing can be awaited.
        weakref.finalize(owner, self._abandoned.append, client).atexit = False
        while self._abandoned:
            abandoned = self._abandoned.popleft()
            self._open.discard(abandoned)
            await abandoned.aclose()

    async def _close_with_loop(self) -> AsyncGenerator[None]:
        """Closes the clients when the loop ends: `asyncio.run` closes the async generators of its loop last."""
        try:
            yield
        finally:
            for client in self._open:
                await client.aclose()


_of_loops: dict[asyncio.AbstractEventLoop, LoopClients] = {}
