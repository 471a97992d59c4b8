"""What makes the SDK clients of a connection: the service's address, an embedded folder, or a client handed in."""

from __future__ import annotations

import functools
import logging
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import tablestore
from tablestore.connection import ConnectionPool
from tablestore.retry import NoRetryPolicy
from typing_extensions import override

from langchain_tablestore_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_tablestore_memory.local import Tablestore

logger = logging.getLogger(__name__)

# The SDK formats every request into a debug message unless its logger has a level of its own, and logs what it could
# not parse, which is what users wrote. Every failure reaches the caller as an exception, so nothing is lost.
_SDK_LOGGER = "langchain_tablestore_memory.sdk"
logging.getLogger(_SDK_LOGGER).setLevel(logging.CRITICAL)

Durability = Literal["full", "normal"]

LOCAL = "local:"
MEMORY = "local::memory:"
LOCAL_INSTANCE = "local"


class Backend(ABC):
    """Makes the SDK clients of one connection."""

    @abstractmethod
    def describe(self) -> str:
        """The address, without secrets."""

    @abstractmethod
    def client(self) -> tablestore.OTSClient:
        """A sync client."""

    @abstractmethod
    def async_client(self) -> tablestore.AsyncOTSClient:
        """An async client for the running event loop."""

    @abstractmethod
    def owns_async_clients(self) -> bool:
        """Whether the connection has to close what `async_client` gives."""

    @abstractmethod
    def close(self) -> None:
        """Release what the backend opened."""


def _sdk_options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {"retry_policy": NoRetryPolicy(), "logger_name": _SDK_LOGGER, **options}


def _hasten(client: tablestore.OTSClient | tablestore.AsyncOTSClient) -> None:
    """Have a client encode rows as those of the embedded engine do, where the SDK has no native code for it."""
    from langchain_tablestore_memory.local.codec import use_fast_codec  # noqa: PLC0415 - only when a client is made

    use_fast_codec(client.protocol, enable_native=client.enable_native, native_fallback=client.native_fallback)


class Service(Backend):
    """The service, or a server that speaks its protocol."""

    def __init__(self, settings: Mapping[str, str], options: Mapping[str, Any]) -> None:
        self._endpoint = settings["endpoint"]
        self._options = {
            **_sdk_options(options),
            "end_point": self._endpoint,
            "instance_name": settings["instance_name"],
            "access_key_id": settings.get("access_key_id"),
            "access_key_secret": settings.get("access_key_secret"),
            "sts_token": settings.get("sts_token"),
        }

    @override
    def describe(self) -> str:
        return f"{self._endpoint}, instance {self._options['instance_name']}"

    @override
    def client(self) -> tablestore.OTSClient:
        client = tablestore.OTSClient(**self._options)
        # One policy repeats requests, that of the connection. urllib3's would also log a warning each time.
        client.connection.pool.connection_pool_kw["retries"] = False
        _hasten(client)
        return client

    @override
    def async_client(self) -> tablestore.AsyncOTSClient:
        client = tablestore.AsyncOTSClient(**self._options)
        _hasten(client)
        return client

    @override
    def owns_async_clients(self) -> bool:
        return True

    @override
    def close(self) -> None:
        """Nothing is open: the sync client's idle sockets end with it."""


class Embedded(Backend):
    """The embedded engine, in this process."""

    def __init__(self, name: str, service: Tablestore, instance_name: str, options: Mapping[str, Any]) -> None:
        self._name = name
        self._service = service
        self._instance_name = instance_name
        self._options = _sdk_options(options)

    @override
    def describe(self) -> str:
        return self._name if self._instance_name == LOCAL_INSTANCE else f"{self._name}, instance {self._instance_name}"

    @override
    def client(self) -> tablestore.OTSClient:
        from langchain_tablestore_memory.local import ots_client  # noqa: PLC0415 - only embedded users pay for it

        return ots_client(self._service, self._instance_name, **self._options)

    @override
    def async_client(self) -> tablestore.AsyncOTSClient:
        from langchain_tablestore_memory.local import async_ots_client  # noqa: PLC0415

        return async_ots_client(self._service, self._instance_name, **self._options)

    @override
    def owns_async_clients(self) -> bool:
        return True

    @override
    def close(self) -> None:
        _folders.release(self._service)


class DefaultFolder(Backend):
    """The embedded engine in the user's data folder, opened (and warned about) when first used."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._embedded: Embedded | None = None

    @override
    def describe(self) -> str:
        return f"{LOCAL}{default_folder()}"

    @override
    def client(self) -> tablestore.OTSClient:
        return self._open().client()

    @override
    def async_client(self) -> tablestore.AsyncOTSClient:
        return self._open().async_client()

    @override
    def owns_async_clients(self) -> bool:
        return True

    @override
    def close(self) -> None:
        with self._lock:
            if self._embedded is not None:
                self._embedded.close()
                self._embedded = None

    def _open(self) -> Embedded:
        with self._lock:
            if self._embedded is None:
                folder = default_folder()
                self._embedded = embedded(f"{LOCAL}{folder}", LOCAL_INSTANCE, self._options)
                _tell_of(folder)
            return self._embedded


_told_of: set[Path] = set()


def _tell_of(folder: Path) -> None:
    """Warn that data goes to a folder that nobody chose, once in a process."""
    if folder in _told_of:
        return
    _told_of.add(folder)
    logger.warning(
        "No Tablestore endpoint is set: data is kept by the embedded engine in %s. For the service set "
        "TABLESTORE_ENDPOINT, TABLESTORE_INSTANCE_NAME, TABLESTORE_ACCESS_KEY_ID and "
        'TABLESTORE_ACCESS_KEY_SECRET; to choose a folder, and not be told, use connect("local:PATH").',
        folder,
    )


class GivenClient(Backend):
    """A client that somebody else made and will close."""

    def __init__(self, client: tablestore.OTSClient | tablestore.AsyncOTSClient) -> None:
        self._given = client

    @override
    def describe(self) -> str:
        return f"{type(self._given).__name__} of {self._given.host}"

    @override
    def client(self) -> tablestore.OTSClient:
        if isinstance(self._given, tablestore.OTSClient):
            return _unrepeating(self._given)
        raise ConfigurationError(
            "This object was given an AsyncOTSClient, which serves only its async methods (aput_session, "
            "aget_messages, ...). For the others give an OTSClient, or a connection made by connect()."
        )

    @override
    def async_client(self) -> tablestore.AsyncOTSClient:
        given = self._given
        if isinstance(given, tablestore.AsyncOTSClient):
            return _unrepeating(given)
        if type(given.connection) is not ConnectionPool:
            raise ConfigurationError(
                "This object was given an OTSClient with a transport of its own, which serves only the sync methods. "
                "For the async ones give an AsyncOTSClient, or a connection made by connect()."
            )
        return tablestore.AsyncOTSClient(
            given.host + given.path,
            instance_name=given.protocol.instance_name,
            credentials_provider=given.credentials_provider,
            region=getattr(given._signer, "sign_region", None),  # noqa: SLF001 - kept nowhere else
            socket_timeout=given.socket_timeout,
            max_connection=given.max_connection,
            **_sdk_options({}),
        )

    @override
    def owns_async_clients(self) -> bool:
        return isinstance(self._given, tablestore.OTSClient)

    @override
    def close(self) -> None:
        """The client is its maker's to close."""


C = TypeVar("C", tablestore.OTSClient, tablestore.AsyncOTSClient)


def _unrepeating(client: C) -> C:
    """The client in all but its retry policy: whatever else it has, now or later, is shared.

    Policies such as `tablestore.WriteRetryPolicy` repeat a request of which it is not known whether it was carried out,
    whatever is in it, and messages would be counted twice.
    """
    kind: Any = type(client)
    twin: C = object.__new__(_unrepeating_kind(kind))
    twin.__dict__ = client.__dict__
    return twin


@functools.cache
def _unrepeating_kind(kind: type) -> Any:
    # A property goes before what is in an object's dictionary.
    return type(kind.__name__, (kind,), {"retry_policy": property(lambda _: NoRetryPolicy())})


class Folders:
    """Open embedded engines of this process, one per folder and its settings, shared by the connections to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[Path, Durability, float], Tablestore] = {}
        self._users: weakref.WeakKeyDictionary[Tablestore, int] = weakref.WeakKeyDictionary()

    def acquire(self, folder: Path | None, durability: Durability, index_delay: float) -> Tablestore:
        """The engine of a folder, opened for the first user; None for one that keeps nothing and is not shared.

        Raises:
            OSError: The folder cannot be written.
        """
        from langchain_tablestore_memory.local import Tablestore  # noqa: PLC0415 - only embedded users pay for it

        with self._lock:
            service = None if folder is None else self._open.get((folder, durability, index_delay))
            if service is None:
                service = Tablestore(folder, durability=durability, index_delay=index_delay)
                if folder is not None:
                    self._open[folder, durability, index_delay] = service
            self._users[service] = self._users.get(service, 0) + 1
            return service

    def release(self, service: Tablestore) -> None:
        """Say that one user is done; with the last one the engine is closed."""
        with self._lock:
            self._users[service] -= 1
            if self._users[service]:
                return
            del self._users[service]
            for place in [place for place, other in self._open.items() if other is service]:
                del self._open[place]
        service.close()


_folders = Folders()


def embedded(
    endpoint: str,
    instance_name: str,
    options: Mapping[str, Any],
    durability: Durability = "full",
    index_delay: float = 0.0,
) -> Embedded:
    """The embedded engine at `local:PATH` or `local::memory:`.

    Raises:
        ConfigurationError: The endpoint names no folder, or one that cannot be written.
    """
    if endpoint == MEMORY:
        return Embedded(MEMORY, _folders.acquire(None, durability, index_delay), instance_name, options)
    folder = endpoint.removeprefix(LOCAL)
    if not folder or folder.startswith(":"):
        raise ConfigurationError(
            f"The endpoint {endpoint!r} names no folder. Write local:PATH, or local::memory: to keep nothing."
        )
    try:
        path = Path(folder).expanduser().absolute()
        service = _folders.acquire(path, durability, index_delay)
    except (OSError, ValueError, RuntimeError) as error:
        # Beside what the system refuses: a NUL in a name, and the home of a user who does not exist.
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"The folder {folder!r} cannot be written ({reason}). Choose another one with "
            'connect("local:PATH"), or keep nothing with connect("local::memory:").'
        ) from error
    return Embedded(f"{LOCAL}{path}", service, instance_name, options)


def default_folder() -> Path:
    """Where the embedded engine keeps its data when nobody chose a folder."""
    import platformdirs  # noqa: PLC0415 - only users without any setting pay for it

    return platformdirs.user_data_path("langchain-tablestore-memory", appauthor=False)
