"""A connection for each test, and how much it tries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from langchain_tablestore_memory import Connection, connect


@pytest.fixture
def connection() -> Iterator[Connection]:
    with connect("local::memory:", durability="normal") as connection:
        yield connection


@pytest.fixture(params=[100, pytest.param(1000, marks=pytest.mark.slow)])
def queries(request: pytest.FixtureRequest) -> int:
    """How many random queries to try."""
    return int(request.param)
