"""Where LangChain's suites run: on the embedded engine in this process, and on it over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from langchain_tablestore_memory import Connection, connect

_numbers = count()


@pytest.fixture(params=["in process", "over HTTP"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    if request.param == "in process":
        settings = {"endpoint": "local::memory:"}
    else:
        keys = {"access_key_id": "local", "access_key_secret": "local"}
        settings = {
            "endpoint": request.getfixturevalue("server_url"),
            "instance_name": f"test-{next(_numbers)}",
            **keys,
        }
    with connect(**settings) as connection:
        yield connection
