"""What the tests of the core ask for, on a fresh engine and in both modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from langchain_tablestore_memory import Connection, MemoryStore, MessageStore, SessionRegistry

from .support import SYNC_FIRST, Face


@pytest.fixture(params=SYNC_FIRST)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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
