"""A fresh engine for each test, and each test in both modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from langchain_tablestore_memory import Connection, MemoryStore, MessageStore, SessionRegistry

from .support import MODES, Face, WatchedTablestore


@pytest.fixture
def engine() -> Iterator[WatchedTablestore]:
    with WatchedTablestore() as engine:
        yield engine


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connection(engine: WatchedTablestore, mode: str) -> Connection:
    return engine.connection(mode)


@pytest.fixture
def open_store(connection: Connection, mode: str) -> Callable[..., Face]:
    """Makes a `MemoryStore` with the given options."""

    def make(**options: Any) -> Face:
        return Face(MemoryStore(connection, **options), mode)

    return make


@pytest.fixture
def store(open_store: Callable[..., Face]) -> Face:
    return open_store()


@pytest.fixture
def registry(connection: Connection, mode: str) -> Face:
    return Face(SessionRegistry(connection), mode)


@pytest.fixture
def messages(connection: Connection, mode: str) -> Face:
    return Face(MessageStore(connection), mode)
