"""Savers on a fresh engine, whose requests are measured, in both modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from core.support import Face

from langchain_tablestore_memory import Connection
from langchain_tablestore_memory.langgraph import TablestoreSaver

from .support import MeasuredTablestore


@pytest.fixture
def engine() -> Iterator[MeasuredTablestore]:
    with MeasuredTablestore() as engine:
        yield engine


@pytest.fixture
def open_saver(connection: Connection, mode: str) -> Callable[..., Face]:
    """Makes a `TablestoreSaver` with the given options, as another process would have it."""

    def make(**options: Any) -> Face:
        return Face(TablestoreSaver(connection, **options), mode)

    return make


@pytest.fixture
def saver(open_saver: Callable[..., Face]) -> Face:
    return open_saver()
