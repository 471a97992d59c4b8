"""SDK clients that reach an embedded Tablestore in the same process.

They are the SDK's own clients, and encode, sign, decode and retry as ever. Only the connection is another: it hands
each request to the service instead of to a socket, so what comes back can only come from there, and its signature is
not verified. And where the SDK encodes rows in Python, `codec` does so faster.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tablestore import AsyncOTSClient, OTSClient
from tablestore.auth import SignV2
from tablestore.protocol import OTSProtocol

from .codec import use_fast_codec
from .service import Tablestore
from .signing import SigningKey, content_md5, format_second, request_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .service import Response

# A name that never resolves: no request can leave the process by mistake.
_ENDPOINT = "http://embedded.invalid"
_LOGGER_NAME = "langchain_tablestore_memory.sdk"


class _Protocol(OTSProtocol):  # type: ignore[misc]  # the SDK is untyped
    """The SDK's protocol, faster: making and verifying headers takes it as long as the service takes for the call."""

    def _make_request_headers(self, body: bytes, query: str, signer: Any, request_context: Any) -> dict[str, str]:
        """The headers that the SDK sends; where they are the usual ones, signed with a key that is at hand."""
        credentials = request_context.get_credentials()
        if type(signer) is not SignV2 or self.extra_headers or credentials.get_security_token() is not None:
            return super()._make_request_headers(body, query, signer, request_context)  # type: ignore[no-any-return]
        headers = {
            "x-ots-accesskeyid": credentials.get_access_key_id(),
            "x-ots-apiversion": self.api_version,
            "x-ots-contentmd5": content_md5(body),
            "x-ots-date": f"{format_second(int(time.time()))}.000Z",
            "x-ots-instancename": self.instance_name,
        }
        key = _signing_key(credentials.get_access_key_secret().encode(self.encoding))
        headers["x-ots-signature"] = key.sign_v2(request_text(query, "", headers))
        headers["User-Agent"] = self.user_agent
        return headers

    def handle_error(self, api_name: str, query: str, status: int, *answer: Any) -> None:
        """Raise what the service refuses. What it grants is taken as it is: nobody else could have answered."""
        if status != HTTPStatus.OK or self.logger.level <= logging.DEBUG:
            super().handle_error(api_name, query, status, *answer)


_signing_key = lru_cache(maxsize=16)(SigningKey)


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
    _adapt(client, service)
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
    _adapt(client, service)
    return client


def _adapt(client: Any, service: Tablestore) -> None:
    native = {"enable_native": client.enable_native, "native_fallback": client.native_fallback}
    # Whatever else stands in its place, such as a faulty network, may break what it answers.
    if isinstance(service, Tablestore):
        given = client.protocol
        client.protocol = _Protocol(given.instance_name, given.encoding, given.logger, given.extra_headers, **native)
    use_fast_codec(client.protocol, **native)


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
