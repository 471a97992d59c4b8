"""A file that an engine keeps its instance in."""

from __future__ import annotations

from pathlib import Path

import pytest

from langchain_tablestore_memory.local.engine import Engine


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "folder" / "instance.sqlite3"


@pytest.fixture
def engine(path):
    engine = Engine(path)
    yield engine
    engine.close()
