"""Stores of documents, on a fresh engine and in both modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from core.support import SYNC_FIRST, Face

from langchain_tablestore_memory import Connection, KnowledgeStore

FILTERABLE = {"year": int, "price": float, "lang": str, "public": bool, "tags": list[str], "title": "text"}


@pytest.fixture(params=SYNC_FIRST)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_store(connection: Connection, mode: str) -> Callable[..., Face]:
    """Makes a `KnowledgeStore` of three dimensions with the given options."""

    def make(**options: Any) -> Face:
        options = {"vector_dimension": 3, "filterable": FILTERABLE} | options
        return Face(KnowledgeStore(connection, **options), mode)

    return make


@pytest.fixture
def store(open_store: Callable[..., Face]) -> Face:
    return open_store()


@pytest.fixture
def tenants(open_store: Callable[..., Face]) -> Face:
    """A store with tenants."""
    return open_store(enable_multi_tenant=True, table_name="shared")
