"""Agents on a fresh engine, in both modes."""

from __future__ import annotations

import pytest

from langchain_tablestore_memory import Connection

from .support import Runs


@pytest.fixture
def run(connection: Connection, mode: str) -> Runs:
    return Runs(connection, mode)
