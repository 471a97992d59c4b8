"""Stores to hold against each other: LangGraph's own in memory and this package's, sync and async."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from core.support import SYNC_FIRST, Face
from langgraph.store.memory import InMemoryStore
from memory.support import Clock

from langchain_tablestore_memory import Connection
from langchain_tablestore_memory.langgraph import TablestoreStore

from .support import TopicEmbeddings

KINDS = ("in memory", "tablestore")


@pytest.fixture(params=SYNC_FIRST)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Whose store a test of the contract is run on."""
    return str(request.param)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def model() -> TopicEmbeddings:
    return TopicEmbeddings()


@pytest.fixture
def open_any(kind: str, mode: str, request: pytest.FixtureRequest) -> Callable[..., Face]:
    """Makes a store of either kind with what both take; the rest is for this package's."""

    def make(index: Any = None, **options: Any) -> Face:
        if kind == "in memory":
            return Face(InMemoryStore(index=index if index and "embed" in index else None), mode)
        return Face(TablestoreStore(request.getfixturevalue("connection"), index=index, **options), mode)

    return make


@pytest.fixture
def any_store(open_any: Callable[..., Face]) -> Face:
    """A store of either kind without an index."""
    return open_any()


@pytest.fixture
def open_store(connection: Connection, mode: str) -> Callable[..., Face]:
    """Makes a `TablestoreStore` with the given options."""

    def make(**options: Any) -> Face:
        given = options.pop("connection", connection)
        return Face(TablestoreStore(given, **options), mode)

    return make


@pytest.fixture
def store(open_store: Callable[..., Face]) -> Face:
    return open_store()
