"""Memories on a fresh engine, with a clock that is set, in both modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from core.support import SYNC_FIRST, Face

from langchain_tablestore_memory import Connection, LongTermMemory

from .support import Clock, WordEmbeddings


@pytest.fixture(params=SYNC_FIRST)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def embeddings() -> WordEmbeddings:
    return WordEmbeddings()


@pytest.fixture
def open_memory(connection: Connection, mode: str, clock: Clock) -> Callable[..., Face]:
    """Makes a `LongTermMemory` with the given model and options."""

    def make(embedding: Any = None, **options: Any) -> Face:
        return Face(LongTermMemory(embedding, **{"connection": connection, "clock": clock} | options), mode)

    return make


@pytest.fixture
def memory(open_memory: Callable[..., Face], embeddings: WordEmbeddings) -> Face:
    return open_memory(embeddings, filterable={"topic": str, "year": int, "tags": list[str]})


@pytest.fixture
def words(open_memory: Callable[..., Face]) -> Face:
    """A memory without an embedding model."""
    return open_memory()
