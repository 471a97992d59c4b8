"""Where the commands find their data: options and environment turned into a connection."""

from __future__ import annotations

import os
from pathlib import Path

from langchain_tablestore_memory.backends import LOCAL, default_folder
from langchain_tablestore_memory.connection import Connection, connect
from langchain_tablestore_memory.errors import ConfigurationError

_ENDPOINT = "TABLESTORE_ENDPOINT"
_NEEDED = ("TABLESTORE_INSTANCE_NAME", "TABLESTORE_ACCESS_KEY_ID", "TABLESTORE_ACCESS_KEY_SECRET")


def open_place(endpoint: str | None, data: Path | None) -> Connection:
    """Connect to where the user wants to work.

    Args:
        endpoint: The address, as `connect` takes it; by default that of the environment, and without one the embedded
            engine in the user's data folder.
        data: The folder of the embedded engine, in place of an address.

    Raises:
        ConfigurationError: Both are given, or settings are missing; says which.
    """
    if data is not None:
        if endpoint is not None:
            raise ConfigurationError("--data names a folder and --endpoint an address. Pass one of them.")
        return connect(f"{LOCAL}{data}")
    address = endpoint or os.environ.get(_ENDPOINT)
    if endpoint == "" or (address is None and not any(os.environ.get(name) for name in _NEEDED)):
        return connect(f"{LOCAL}{default_folder()}")
    if address is not None and not address.startswith(("http://", "https://")):
        # The embedded engine needs no keys; what is no address is refused for that, not for want of them.
        return connect(address)
    missing = [name for name in _NEEDED if not os.environ.get(name)]
    if address is None:
        missing.insert(0, _ENDPOINT)
    if missing:
        # Keys have no options: command lines are shown to everybody on the machine and kept by shells.
        raise ConfigurationError(
            f"{', '.join(missing)} not set. `tablestore-memory serve` prints what a local server needs, the console of "
            "Alibaba Cloud what the service needs; or pass --data DIR for the embedded engine."
        )
    return connect(address)


def place_of(connection: Connection) -> str:
    """Where a connection leads to, without secrets."""
    return repr(connection).removeprefix("Connection('").removesuffix("')")
