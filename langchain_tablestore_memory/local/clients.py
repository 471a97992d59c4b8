"""SDK clients that reach an embedded Tablestore in the same process.

They are the SDK's own clients, and encode, sign, verify, decode and retry as ever. Only the connection is
another: it hands each request to the service instead of to a socket. And where the SDK encodes rows in Python, `codec`
does so faster.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from tablestore import AsyncOTSClient, OTSClient

from .codec import use_fast_codec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_tablestore_memory.local.service import Response, Tablestore

# A name that never resolves: no request can leave the process by mistake.
_ENDPOINT = "http://embedded.invalid"
_LOGGER_NAME = "langchain_tablestore_memory.sdk"


class InProcessConnection:
    """Takes the place of the SDK's connection pool.

    Args:
        service: Answers the requests.

    Attributes:
        in_process: Tells that there is no network to wait for.
    """

    in_process = True

    def __init__(self, service: Tablestore) -> None:
        self._service = service

    def send_receive(self, url: str, request_headers: Mapping[str, str], request_body: bytes) -> Response:
        """Answer a request in the calling thread."""
        return self._service.handle(url, request_headers, request_body)


class AsyncInProcessConnection:
    """Takes the place of the SDK's connection pool for asyncio. Belongs to no event loop.

    Args:
        service: Answers the requests.
    """

    def __init__(self, service: Tablestore) -> None:
        self._service = service

    async def send_receive(self, url: str, request_headers: Mapping[str, str], request_body: bytes) -> Response:
        """Answer a request in a worker thread of the running loop, which stays free meanwhile."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self._service.handle, url, request_headers, request_body)


class _InProcessAsyncOTSClient(AsyncOTSClient):  # type: ignore[misc]  # the SDK is untyped
    """The SDK's client, except for where connections come from.

    As the SDK never gets to hold a connection, its ``close()`` finds nothing to close and the client stays
    usable, on this event loop or the next.
    """

    def __init__(self, service: Tablestore, **options: Any) -> None:
        super().__init__(_ENDPOINT, **options)
        self._in_process = AsyncInProcessConnection(service)

    def _get_or_create_connection(self) -> AsyncInProcessConnection:
        return self._in_process


def ots_client(service: Tablestore, instance_name: str = "local", **sdk_options: Any) -> OTSClient:
    """An `OTSClient` that talks to an embedded Tablestore.

    ```python
    client = ots_client(Tablestore(None))
    client.list_table()
    ```

    Args:
        service: The embedded Tablestore; closing it is up to the caller.
        instance_name: The instance to use: 3 to 16 letters, digits and hyphens, starting with a letter.
        **sdk_options: Passed on to the SDK, such as ``retry_policy`` or ``region`` (which turns V4 signatures
            on). Unless given, the access key is the service's own and the logger is
            ``langchain_tablestore_memory.sdk``, which is off until its level is set: every failure is raised.
    """
    client = OTSClient(_ENDPOINT, **_with_defaults(service, instance_name, sdk_options))
    use_fast_codec(client.protocol, enable_native=client.enable_native, native_fallback=client.native_fallback)
    client.connection = InProcessConnection(service)
    return client


def async_ots_client(service: Tablestore, instance_name: str = "local", **sdk_options: Any) -> AsyncOTSClient:
    """An `AsyncOTSClient` that talks to an embedded Tablestore.

    May be made outside of an event loop, shared between loops, and used after its ``close()``, which does
    nothing.

    Args:
        service: The embedded Tablestore; closing it is up to the caller.
        instance_name: As for `ots_client`.
        **sdk_options: As for `ots_client`.
    """
    client = _InProcessAsyncOTSClient(service, **_with_defaults(service, instance_name, sdk_options))
    use_fast_codec(client.protocol, enable_native=client.enable_native, native_fallback=client.native_fallback)
    return client


def _with_defaults(service: Tablestore, instance_name: str, sdk_options: Mapping[str, Any]) -> dict[str, Any]:
    options = {"instance_name": instance_name, "logger_name": _LOGGER_NAME, **sdk_options}
    if options.get("credentials_provider") is None:
        options.setdefault("access_key_id", service.access_key_id)
        options.setdefault("access_key_secret", service.access_key_secret)
    if options["logger_name"] == _LOGGER_NAME:
        _quiet(logging.getLogger(_LOGGER_NAME))
    return options


def _quiet(logger: logging.Logger) -> None:
    """Turn a logger off unless somebody set its level.

    At its own level "not set" the SDK would also format every request for a debug line that nobody asked for.
    """
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)
