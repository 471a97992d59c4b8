"""``tablestore-memory serve``: the embedded Tablestore over HTTP, until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import shlex
import signal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langchain_tablestore_memory.errors import ConfigurationError
from langchain_tablestore_memory.local.server import Server
from langchain_tablestore_memory.local.service import DEFAULT_ACCESS_KEY, Tablestore

if TYPE_CHECKING:
    from pathlib import Path

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - not listened on, translated
"""Addresses that mean "all of this machine's", and where a client on this machine finds them."""


class AccessKey(NamedTuple):
    """An access key.

    Attributes:
        id: Its id.
        secret: Its secret.
        is_default: Whether nobody chose it.
    """

    id: str
    secret: str
    is_default: bool


def access_key(key_id: str | None, secret: str | None) -> AccessKey:
    """The access key that two options, each of which may be missing, ask for."""
    if key_id is None and secret is None:
        return AccessKey(DEFAULT_ACCESS_KEY, DEFAULT_ACCESS_KEY, is_default=True)
    if not key_id or not secret:
        raise ConfigurationError(
            "An access key needs both --access-key-id and --access-key-secret, neither of them empty. "
            "Pass both, or none for local and local."
        )
    return AccessKey(key_id, secret, is_default=False)


def serve(
    *,
    host: str,
    port: int,
    folder: Path | None,
    access_key: AccessKey,
    durability: Literal["full", "normal"],
    index_delay: float,
    latency: float,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        host: The address to listen on.
        port: The port to listen on; 0 picks a free one.
        folder: Where data is kept; None keeps none.
        access_key: What requests must be signed with.
        durability: As for `Tablestore`.
        index_delay: As for `Tablestore`.
        latency: Seconds to add to every request.

    Raises:
        ConfigurationError: If the folder, the access key or the address cannot be used.
    """
    with _open(folder, access_key, durability, index_delay) as service:
        try:
            server = Server(service, host=host, port=port, latency=latency)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        asyncio.run(_serve(server, host, port, access_key))


def _open(
    folder: Path | None, access_key: AccessKey, durability: Literal["full", "normal"], index_delay: float
) -> Tablestore:
    try:
        return Tablestore(
            folder,
            access_key_id=access_key.id,
            access_key_secret=access_key.secret,
            durability=durability,
            index_delay=index_delay,
        )
    except OSError as error:
        raise ConfigurationError(
            f"The folder {folder} cannot be written ({_reason(error)}). Choose another one with --data, or "
            "keep nothing with --memory."
        ) from error
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


async def _serve(server: Server, host: str, port: int, access_key: AccessKey) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def request_stop(*_: Any) -> None:
        loop.call_soon_threadsafe(stop.set)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, request_stop)
    try:
        await server.start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"Port {port} of {host} is in use. Stop what listens there, or pass another --port."
        else:
            message = f"Listening on {host}:{port} failed ({_reason(error)}). Pass another --host or --port."
        raise ConfigurationError(message) from error
    try:
        _announce(server, host, access_key)
        await stop.wait()
    finally:
        await server.stop()


def _announce(server: Server, host: str, access_key: AccessKey) -> None:
    secret = access_key.secret if access_key.is_default else "the secret given with --access-key-secret"
    settings = {
        "ENDPOINT": f"http://{_ANY_ADDRESS[host]}:{server.port}" if host in _ANY_ADDRESS else server.url,
        "INSTANCE_NAME": "local",
        "ACCESS_KEY_ID": access_key.id,
        "ACCESS_KEY_SECRET": secret,
    }
    lines = [f"export TABLESTORE_{name}={shlex.quote(value)}" for name, value in settings.items()]
    print(f"Tablestore is listening on {server.url}", *lines, sep="\n", flush=True)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
