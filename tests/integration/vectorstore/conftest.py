"""Vector stores, on a fresh engine and in both modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from core.support import SYNC_FIRST, Face

from langchain_tablestore_memory import Connection, TablestoreVectorStore

from .support import TopicEmbeddings

FILTERABLE = {"year": int, "lang": str, "tags": list[str]}


@pytest.fixture(params=SYNC_FIRST)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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
