"""Two fronts of one engine: every test that takes ``client`` runs in the same process and over HTTP."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import pytest
from tablestore import NoRetryPolicy, OTSClient

from langchain_tablestore_memory.local import Tablestore, ots_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_numbers = itertools.count()


@pytest.fixture(scope="session")
def service() -> Iterator[Tablestore]:
    found = Tablestore(None)
    yield found
    found.close()


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    from langchain_tablestore_memory.local.server import Server

    found = Tablestore(None)
    with Server(found, port=0) as server:
        yield server.url
    found.close()


@pytest.fixture
def instance_name() -> str:
    """An instance that no other test has used: 3 to 16 letters and digits."""
    return f"s{os.getpid() % 100000}x{next(_numbers)}"


@pytest.fixture(params=["in-process", "http"])
def front(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_client(front: str, request: pytest.FixtureRequest) -> Iterator[Callable[[str], OTSClient]]:
    """Makes a client of a named instance."""
    pools = []

    def make(instance: str) -> OTSClient:
        if front == "http":
            url = request.getfixturevalue("server_url")
            client = OTSClient(url, "local", "local", instance, retry_policy=NoRetryPolicy())
            pools.append(client.connection.pool)
            return client
        return ots_client(request.getfixturevalue("service"), instance, retry_policy=NoRetryPolicy())

    yield make
    for pool in pools:
        pool.clear()


@pytest.fixture
def client(open_client: Callable[[str], OTSClient], instance_name: str) -> OTSClient:
    return open_client(instance_name)


@pytest.fixture
def fresh_client(open_client: Callable[[str], OTSClient]) -> Callable[[], OTSClient]:
    """A client of an instance of its own at each call, for tests that try many examples."""

    def make() -> OTSClient:
        return open_client(f"h{os.getpid() % 100000}x{next(_numbers)}")

    return make
