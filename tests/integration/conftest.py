"""What the folders below share: an engine that is watched, both modes, and two fronts of one engine."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from core.support import MODES, WatchedTablestore
from tablestore import NoRetryPolicy, OTSClient, StaticCredentialsProvider

from langchain_tablestore_memory import Connection
from langchain_tablestore_memory.local import Tablestore, ots_client

_numbers = itertools.count()


# For each test an engine of its own: `connection` leads there, and each test that takes it runs in both modes.


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


# For all tests one engine, in which each has an instance: one that takes `client` runs in this process and over HTTP.


@pytest.fixture(scope="session")
def service() -> Iterator[Tablestore]:
    with Tablestore(None) as service:
        yield service


@pytest.fixture(scope="session")
def new_instance_name() -> Callable[[], str]:
    """Names an instance that no other test has used: 3 to 16 letters and digits."""
    return lambda: f"i{os.getpid() % 100000}x{next(_numbers)}"


@pytest.fixture
def instance_name(new_instance_name: Callable[[], str]) -> str:
    return new_instance_name()


@pytest.fixture(params=["in-process", pytest.param("http", marks=pytest.mark.slow)])
def front(request: pytest.FixtureRequest) -> str:
    """Both fronts hand requests to one engine: over HTTP only what is about the wire is among the fast tests."""
    return str(request.param)


@pytest.fixture
def open_client(front: str, request: pytest.FixtureRequest, instance_name: str) -> Iterator[Callable[..., OTSClient]]:
    """Makes clients of the test's instance; takes the SDK's options, and another instance or key pair."""
    pools = []

    def make(
        *, instance: str = instance_name, key_id: str = "local", secret: str = "local", **options: Any
    ) -> OTSClient:
        options.setdefault("retry_policy", NoRetryPolicy())
        if front == "http":
            url = request.getfixturevalue("server_url") + options.pop("path", "")
            client = OTSClient(url, key_id, secret, instance, **options)
            pools.append(client.connection.pool)
            return client
        client = ots_client(request.getfixturevalue("service"), instance, **options)
        if (key_id, secret) != ("local", "local"):
            client.credentials_provider = StaticCredentialsProvider(key_id, secret)
        return client

    yield make
    for pool in pools:
        pool.clear()


@pytest.fixture
def client(open_client: Callable[..., OTSClient]) -> OTSClient:
    return open_client()
