"""What the tests of the core share: an engine that is watched and that fails on demand, and one face for both modes."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tablestore import AsyncOTSClient, NoRetryPolicy, OTSClient

from langchain_tablestore_memory import Connection, RetryPolicy
from langchain_tablestore_memory.local import Tablestore, async_ots_client, ots_client
from langchain_tablestore_memory.local.errors import RequestError
from langchain_tablestore_memory.local.service import Response, error_body, response_headers

MODES = ("sync", "async")
SYNC_FIRST = ("sync", pytest.param("async", marks=pytest.mark.slow))
"""Both modes run one program: of all that is asked, the fast tests ask only some in both."""


class WatchedTablestore(Tablestore):
    """An embedded Tablestore in memory that keeps the names of the calls made, and fails when told to.

    Attributes:
        calls: The calls so far, such as ``GetRange``.
        before: Called with the name of a call before it is carried out; an error that it raises is the answer.
    """

    def __init__(self) -> None:
        super().__init__(None)
        self.calls: list[str] = []
        self.before: Callable[[str], None] | None = None

    def handle(self, path: str, headers: Any, body: bytes) -> Response:
        api = path.rsplit("/", 1)[-1]
        self.calls.append(api)
        if self.before is not None:
            try:
                self.before(api)
            except RequestError as error:
                body = error_body(error)
                return Response(error.status, error.code, response_headers(body), body)
        return super().handle(path, headers, body)

    def taken(self) -> list[str]:
        """The calls since the last time that this was asked."""
        calls, self.calls = self.calls, []
        return calls

    @property
    def writes(self) -> list[str]:
        """The calls so far that change rows."""
        return [api for api in self.calls if api in {"PutRow", "UpdateRow", "DeleteRow", "BatchWriteRow"}]

    def fail_at(self, api: str, number: int, error: RequestError | None = None) -> None:
        """Refuse call number `number` (from 1) of `api`, as somebody without permission, before it takes effect."""
        seen = 0

        def before(name: str) -> None:
            nonlocal seen
            seen += name == api
            if name == api and seen == number:
                raise error or RequestError(403, "OTSNoPermissionAccess", "You have no permission.")

        self.before = before

    def connection(self, mode: str) -> Connection:
        """A connection in the given mode, which does not wait long between attempts."""
        client: OTSClient | AsyncOTSClient
        if mode == "sync":
            client = ots_client(self, retry_policy=NoRetryPolicy())
        else:
            client = async_ots_client(self, retry_policy=NoRetryPolicy())
        connection = Connection.of(client)
        connection.retry = RetryPolicy(attempts=3, first_delay=0.001, max_delay=0.002)
        return connection


class Face:
    """Calls the sync methods of an object or their async twins, so that one test shows both.

    Every call is awaited; what iterates is read into a list.
    """

    def __init__(self, target: Any, mode: str) -> None:
        self.target = target
        self.mode = mode

    def twin(self, name: str) -> Callable[..., Any]:
        """The method of this name for the mode."""
        found: Callable[..., Any] = getattr(self.target, f"a{name}" if self.mode == "async" else name)
        return found

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = self.twin(name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if self.mode == "async":
                # Nothing async may do its work before it is awaited.
                assert inspect.isawaitable(result) or isinstance(result, AsyncIterator), name
            if inspect.isawaitable(result):
                result = await result
            if isinstance(result, AsyncIterator):
                return [item async for item in result]
            if isinstance(result, Iterator):
                return list(result)
            return result

        return call


def metadata_with_types(metadata: dict[str, Any]) -> dict[str, tuple[type, str]]:
    """Metadata in a form in which 1, 1.0 and True differ, and NaN equals itself."""
    return {key: (type(value), repr(value)) for key, value in metadata.items()}
