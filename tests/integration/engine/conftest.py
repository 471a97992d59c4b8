"""Two fronts of one engine: every test that takes ``client`` runs in the same process and over HTTP."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest
from tablestore import AsyncOTSClient, NoRetryPolicy, OTSClient

from langchain_tablestore_memory.local import Tablestore, async_ots_client, ots_client

from .support import create, every, get, put

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

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
    return f"i{os.getpid() % 100000}x{next(_numbers)}"


@pytest.fixture(params=["in-process", "http"])
def front(request: pytest.FixtureRequest) -> str:
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
            from tablestore import StaticCredentialsProvider

            client.credentials_provider = StaticCredentialsProvider(key_id, secret)
        return client

    yield make
    for pool in pools:
        pool.clear()


@pytest.fixture
def client(open_client: Callable[..., OTSClient]) -> OTSClient:
    return open_client()


@pytest.fixture
def intact(client: OTSClient) -> Iterator[OTSClient]:
    """A client whose one table has one row; whatever the test sends must leave them as they are."""
    create(client)
    put(client, "t", "a", {"x": 1})
    yield client
    assert get(client, "t", "a") == {"x": 1}
    assert every(client, "t").keys == ["a"]
    assert client.list_table() == ("t",)


@pytest.fixture
async def async_client(front: str, request: pytest.FixtureRequest, instance_name: str) -> AsyncIterator[AsyncOTSClient]:
    options = {"retry_policy": NoRetryPolicy()}
    if front == "http":
        url = request.getfixturevalue("server_url")
        found = AsyncOTSClient(url, "local", "local", instance_name, **options)
    else:
        found = async_ots_client(request.getfixturevalue("service"), instance_name, **options)
    async with found:
        yield found
