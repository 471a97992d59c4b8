"""A fresh engine for each test, and each test in both modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from core.support import MODES, Face, WatchedTablestore

from langchain_tablestore_memory import Connection, TablestoreVectorStore

from .support import TopicEmbeddings

FILTERABLE = {"year": int, "lang": str, "tags": list[str]}


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
def model() -> TopicEmbeddings:
    return TopicEmbeddings()


@pytest.fixture
def open_store(connection: Connection, mode: str, model: TopicEmbeddings) -> Callable[..., Face]:
    """Makes a `TablestoreVectorStore` with the given options."""

    def make(**options: Any) -> Face:
        options = {"embedding": model, "connection": connection, "filterable": FILTERABLE} | options
        return Face(TablestoreVectorStore(**options), mode)

    return make


@pytest.fixture
def store(open_store: Callable[..., Face]) -> Face:
    return open_store()
