"""Where the data lives: the service, a local server or an embedded folder, behind one object."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, get_args
from urllib.parse import urlparse

import tablestore
from typing_extensions import override

from langchain_tablestore_memory.backends import (
    LOCAL,
    LOCAL_INSTANCE,
    Backend,
    DefaultFolder,
    Durability,
    GivenClient,
    Service,
    embedded,
)
from langchain_tablestore_memory.core.closing import Closing
from langchain_tablestore_memory.core.programs import Program, RetryPolicy, arun, run
from langchain_tablestore_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_tablestore_memory.core.ranges import Pages
    from langchain_tablestore_memory.core.schema import Table, TableSchema
    from langchain_tablestore_memory.core.search_index import SearchIndex, SearchIndexSchema

T = TypeVar("T")

_VARIABLES = {
    "endpoint": "TABLESTORE_ENDPOINT",
    "instance_name": "TABLESTORE_INSTANCE_NAME",
    "access_key_id": "TABLESTORE_ACCESS_KEY_ID",
    "access_key_secret": "TABLESTORE_ACCESS_KEY_SECRET",
    "sts_token": "TABLESTORE_STS_TOKEN",
}
_OPTIONAL = {"sts_token"}
_CLIENT_OPTIONS = frozenset(
    {
        "auto_update_v4_sign",
        "enable_native",
        "encoding",
        "extra_headers",
        "force_close",
        "keepalive_timeout",
        "logger_name",
        "max_connection",
        "native_fallback",
        "sign_date",
        "socket_timeout",
        "ssl_version",
    }
)
"""What the SDK's clients take besides, and ignore if it is misspelt. Not `retry_policy`: one policy is enough."""


class Connection(Closing):
    """The way to one Tablestore instance. Made by `connect`.

    Owns one `tablestore.OTSClient` and one `tablestore.AsyncOTSClient` per running event loop, each made when first
    needed. Safe to share between threads, tasks and event loops; survives any number of `asyncio.run`.

    Example:
        ```python
        with connect("local:./data") as connection:
            history = TablestoreChatMessageHistory("session-1", connection=connection)
        ```

    Attributes:
        retry: How failed requests are repeated.
        tables: Tables that are known to exist, by what was asked for.
        search_indexes: Search indexes that are known to exist, the same.
    """

    def __init__(self, backend: Backend, *, retry: RetryPolicy | None = None) -> None:
        self._backend = backend
        self.retry = retry or RetryPolicy()
        self.tables: dict[TableSchema, Table] = {}
        self.search_indexes: dict[SearchIndexSchema, SearchIndex] = {}
        self._lock = threading.Lock()
        self._client: tablestore.OTSClient | None = None
        self._async_clients: dict[asyncio.AbstractEventLoop, _LoopClient] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"Connection({self._backend.describe()!r})"

    @classmethod
    def of(cls, connection: Connection | tablestore.OTSClient | tablestore.AsyncOTSClient | None) -> Connection:
        """The connection given, or one over the client given, or the shared default one.

        Raises:
            ConfigurationError: It is none of these.
        """
        if connection is None:
            return default_connection()
        if isinstance(connection, Connection):
            return connection
        if isinstance(connection, tablestore.OTSClient | tablestore.AsyncOTSClient):
            given = cls(GivenClient(connection))
            # What was learnt about tables is kept for the next object that is made with the same client.
            known = _known_to_clients.setdefault(connection, (given.tables, given.search_indexes))
            given.tables, given.search_indexes = known
            return given
        raise ConfigurationError(
            f"connection is a {type(connection).__name__}. Give what connect() returns, an OTSClient or an "
            "AsyncOTSClient."
        )

    @property
    def client(self) -> tablestore.OTSClient:
        """The sync SDK client."""
        with self._lock:
            self._refuse_closed()
            if self._client is None:
                self._client = self._backend.client()
            return self._client

    async def async_client(self) -> tablestore.AsyncOTSClient:
        """The async SDK client of the running event loop."""
        self._refuse_closed()
        loop = asyncio.get_running_loop()
        known = self._async_clients.get(loop)
        if known is not None:
            return known.client
        # Copied in one go, because other threads have loops too.
        for other in list(self._async_clients):
            if other.is_closed():
                # It was closed without shutting down its async generators.
                self._async_clients.pop(other, None)
        client = await asyncio.to_thread(self._backend.async_client)
        if loop not in self._async_clients:  # another task may have been faster
            known = _LoopClient(client, self._close_with_loop(loop, client))
            self._async_clients[loop] = known
            await anext(known.guard)
        return self._async_clients[loop].client

    async def _close_with_loop(
        self, loop: asyncio.AbstractEventLoop, client: tablestore.AsyncOTSClient
    ) -> AsyncGenerator[None]:
        """Closes the client when its loop ends: `asyncio.run` closes the async generators of its loop last."""
        try:
            yield
        finally:
            self._async_clients.pop(loop, None)
            if self._backend.owns_async_clients():
                # The SDK's client would open a session anew for whoever is still in the middle of something.
                client._get_or_create_connection = _refuse_closed  # noqa: SLF001 - there is no public way
                await client.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def run(self, program: Program[T]) -> T:
        """Carry out a program and return its result."""
        return run(program, self.client, self.retry)

    async def arun(self, program: Program[T]) -> T:
        """Carry out a program without blocking the event loop and return its result."""
        return await arun(program, await self.async_client(), self.retry)

    def iterate(self, pages: Pages[T]) -> Iterator[T]:
        """Read pages as they are needed and yield what is on them."""
        while not pages.finished:
            yield from self.run(pages.fetch())

    async def aiterate(self, pages: Pages[T]) -> AsyncIterator[T]:
        """Read pages as they are needed and yield what is on them."""
        while not pages.finished:
            for item in await self.arun(pages.fetch()):
                yield item

    @override
    def close(self) -> None:
        """Release the clients. Repeating it is harmless. Clients that were handed in stay open.

        Async clients of event loops that are still running are closed by `aclose` on their loop, or with the loop.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                self._client = None
                self._backend.close()

    @override
    async def aclose(self) -> None:
        """Release the clients, that of the running event loop included."""
        known = self._async_clients.get(asyncio.get_running_loop())
        if known is not None:
            await known.guard.aclose()
        await asyncio.to_thread(self.close)

    def _refuse_closed(self) -> None:
        if self._closed:
            _refuse_closed()


def _refuse_closed() -> NoReturn:
    raise ConfigurationError("This connection is closed. Make a new one with connect().")


@dataclass(frozen=True, slots=True)
class _LoopClient:
    client: tablestore.AsyncOTSClient
    guard: AsyncGenerator[None]


def connect(
    endpoint: str | None = None,
    *,
    instance_name: str | None = None,
    access_key_id: str | None = None,
    access_key_secret: str | None = None,
    sts_token: str | None = None,
    credentials_provider: Any = None,
    region: str | None = None,
    retry: RetryPolicy | None = None,
    durability: Durability = "full",
    index_delay: float = 0.0,
    **client_options: Any,
) -> Connection:
    """Connect to Tablestore, or to the embedded engine.

    | endpoint | means |
    |---|---|
    | `https://...`, `http://...` | the service, or a local server |
    | `local:PATH` | the embedded engine, data kept in folder PATH |
    | `local::memory:` | the embedded engine, nothing kept |
    | none, `TABLESTORE_*` variables set | the service |
    | none, no such variable set | the embedded engine in the user's data folder, with a warning |

    No request is sent: a wrong address or key shows with the first operation.

    Args:
        endpoint: The address, as above.
        instance_name: The instance; `local` for the embedded engine.
        access_key_id: The access key's id.
        access_key_secret: The access key's secret.
        sts_token: The token of temporary credentials.
        credentials_provider: A `tablestore.credentials.CredentialsProvider`, in place of the three above.
        region: The region, such as `cn-hangzhou`; requests are then signed with signature version 4.
        retry: How failed requests are repeated.
        durability: Of the embedded engine: with `"full"` what was written survives a power failure, with `"normal"` the
            end of the process, and writing is faster.
        index_delay: Of the embedded engine at `local:PATH`: seconds after which searches see a write. The service's
            search indexes lag by up to a few seconds; here they do not, unless this rehearses it.
        **client_options: Further options of `tablestore.OTSClient`, such as `socket_timeout=50` (seconds).

    What is not given is taken from the environment: `TABLESTORE_ENDPOINT`, `TABLESTORE_INSTANCE_NAME`,
    `TABLESTORE_ACCESS_KEY_ID`, `TABLESTORE_ACCESS_KEY_SECRET` and optionally `TABLESTORE_STS_TOKEN`.

    Returns:
        A connection, to be closed or used as a context manager.

    Raises:
        ConfigurationError: The settings are incomplete or contradict each other, or the folder cannot be written.

    Example:
        ```python
        connection = connect("local:./data")
        connection = connect("https://my-instance.cn-hangzhou.ots.aliyuncs.com", instance_name="my-instance")
        ```
    """
    given = {
        "endpoint": endpoint,
        "instance_name": instance_name,
        "access_key_id": access_key_id,
        "access_key_secret": access_key_secret,
        "sts_token": sts_token,
    }
    _check_arguments({**given, "region": region}, retry, durability, client_options)
    _check_index_delay(endpoint, index_delay)
    if endpoint is not None and endpoint.startswith(LOCAL):
        credentials = [name for name in ("access_key_id", "access_key_secret", "sts_token") if given[name] is not None]
        if credentials or credentials_provider is not None:
            raise ConfigurationError(
                f"{', '.join(credentials) or 'credentials_provider'} given for {endpoint!r}. "
                "The embedded engine takes no credentials: leave them out."
            )
        backend = embedded(endpoint, instance_name or LOCAL_INSTANCE, client_options, durability, index_delay)
        return Connection(backend, retry=retry)
    settings = _settings(given, os.environ, needs_key=credentials_provider is None)
    if settings is None:
        if credentials_provider is not None or region is not None:
            raise ConfigurationError("No endpoint. Give endpoint=, or set TABLESTORE_ENDPOINT.")
        return Connection(DefaultFolder(client_options), retry=retry)
    options = {**client_options, "region": region, "credentials_provider": credentials_provider}
    return Connection(Service(settings, options), retry=retry)


_known_to_clients: weakref.WeakKeyDictionary[
    Any, tuple[dict[TableSchema, Table], dict[SearchIndexSchema, SearchIndex]]
] = weakref.WeakKeyDictionary()

_default_lock = threading.Lock()
_defaults: dict[tuple[str | None, ...], Connection] = {}


def default_connection() -> Connection:
    """What `connect()` returns, shared by everything in this process that is given no connection."""
    key = tuple(os.environ.get(variable) for variable in _VARIABLES.values())
    with _default_lock:
        known = _defaults.get(key)
        if known is None or known.closed:
            known = _defaults[key] = connect()
        return known


def _settings(
    given: Mapping[str, str | None], environment: Mapping[str, str], *, needs_key: bool
) -> dict[str, str] | None:
    """The settings of the service, from arguments and environment; None where nothing is set at all."""
    found = {name: given[name] or environment.get(variable) or None for name, variable in _VARIABLES.items()}
    present = {name: value for name, value in found.items() if value is not None}
    if not present:
        return None
    if "endpoint" in present:
        # First of all: a folder's name wants another remedy than the missing keys.
        _check_address(present["endpoint"])
    needed = set(_VARIABLES) - _OPTIONAL
    if not needs_key:
        needed -= {"access_key_id", "access_key_secret"}
    missing = [name for name in _VARIABLES if name in needed and name not in present]
    if missing:
        raise ConfigurationError(
            f"Incomplete settings: {', '.join(sorted(present))} set, {', '.join(missing)} missing. "
            f"Give {', '.join(f'{name}=' for name in missing)} "
            f"or set {', '.join(_VARIABLES[name] for name in missing)}; "
            'or use the embedded engine with connect("local:PATH").'
        )
    return present


def _check_arguments(texts: Mapping[str, Any], retry: Any, durability: Any, options: Mapping[str, Any]) -> None:
    for name, value in texts.items():
        if value is not None and not isinstance(value, str):
            raise ConfigurationError(f"{name} is a {type(value).__name__}. Give a str.")
    if retry is not None and not isinstance(retry, RetryPolicy):
        raise ConfigurationError(f"retry is a {type(retry).__name__}. Give a RetryPolicy.")
    if durability not in get_args(Durability):
        raise ConfigurationError(f"durability is {durability!r}. Give 'full' or 'normal'.")
    unknown = sorted(set(options) - _CLIENT_OPTIONS)
    if unknown:
        raise ConfigurationError(
            f"There is no option {', '.join(unknown)}. How requests are repeated is said with retry=. Besides its own "
            f"arguments connect() takes these options of tablestore.OTSClient: {', '.join(sorted(_CLIENT_OPTIONS))}."
        )


def _check_index_delay(endpoint: str | None, delay: Any) -> None:
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay < math.inf:
        raise ConfigurationError(f"index_delay is {delay!r}. Give seconds, 0 for none.")
    if delay and (endpoint is None or not endpoint.startswith(LOCAL)):
        raise ConfigurationError(
            'index_delay is for the embedded engine, at connect("local:PATH"). The service has its own; a local server '
            "is given one with tablestore-memory serve --index-delay."
        )


def _check_address(endpoint: str) -> None:
    parts = urlparse(endpoint)
    if "@" in parts.netloc:
        raise ConfigurationError(
            "The endpoint holds a user name or password before its @. Give only the address there, and the keys as "
            "access_key_id and access_key_secret."
        )
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(
            f"The endpoint {endpoint!r} is no address. It begins with https:// or http://, as in "
            "https://my-instance.cn-hangzhou.ots.aliyuncs.com, or with local: for the embedded engine."
        )
