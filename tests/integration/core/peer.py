"""tablestore-for-agent-memory 1.1.3 as a client, without its pauses of a second after creating tables."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tablestore import AsyncOTSClient, OTSClient
from tablestore_for_agent_memory.base.base_memory_store import Message, Session
from tablestore_for_agent_memory.base.common import MetaType, Order
from tablestore_for_agent_memory.base.filter import Filters
from tablestore_for_agent_memory.memory import async_memory_store, memory_store

from .support import Face

__all__ = ["Filters", "Message", "MetaType", "Order", "PeerFace", "Session", "without_pauses"]


async def _no_time(_: float) -> None:
    pass


def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_store, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr(async_memory_store, "asyncio", SimpleNamespace(sleep=_no_time))


class PeerFace(Face):
    """Calls the peer's sync class, or its async one, whose methods have the same names."""

    def __init__(self, client: OTSClient | AsyncOTSClient, mode: str, **options: Any) -> None:
        kind = memory_store.MemoryStore if mode == "sync" else async_memory_store.AsyncMemoryStore
        super().__init__(kind(client, **options), mode)

    def twin(self, name: str) -> Any:
        return getattr(self.target, name)
