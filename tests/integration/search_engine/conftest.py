"""A service in memory for each test, and a table with a search index in it."""

from __future__ import annotations

import pytest

from langchain_tablestore_memory.local import Tablestore, ots_client

from .support import Table


@pytest.fixture
def client():
    with Tablestore(None) as service:
        yield ots_client(service)


@pytest.fixture
def table(client):
    return Table(client)
