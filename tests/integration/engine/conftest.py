"""What else the tests of the engine ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from tablestore import AsyncOTSClient, NoRetryPolicy, OTSClient

from langchain_tablestore_memory.local import async_ots_client

from .support import create, every, get, put


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
