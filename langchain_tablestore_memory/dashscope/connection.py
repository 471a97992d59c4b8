"""The way to DashScope: one key, one address, and clients for threads and event loops."""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr
from typing_extensions import Unpack

from langchain_tablestore_memory.core.programs import Program, RetryPolicy, arun, run
from langchain_tablestore_memory.dashscope.loops import LoopClients
from langchain_tablestore_memory.dashscope.sdk import load_sdk
from langchain_tablestore_memory.errors import ConfigurationError

if TYPE_CHECKING:
    import dashscope

T = TypeVar("T")

KEY_VARIABLE = "DASHSCOPE_API_KEY"
DEFAULT_TIMEOUT = 60.0

_making = threading.Lock()

Resource = Literal["embeddings", "rerank"]
"""What of the SDK's clients a program's requests are made of."""


class ConnectionOptions(TypedDict, total=False):
    """How to reach DashScope. All optional; what is not given is taken from the SDK's settings.

    Attributes:
        api_key: The key; by default what `DASHSCOPE_API_KEY` says, or else the SDK's own files (`~/.dashscope`).
        base_url: The address, such as ``https://dashscope-intl.aliyuncs.com/api/v1``; by default what
            `DASHSCOPE_BASE_URL` or `DASHSCOPE_HTTP_BASE_URL` says, or else Beijing.
        workspace: The workspace whose gateway is asked; by default what `DASHSCOPE_WORKSPACE` says.
        region: The region, such as ``ap-southeast-1``, where `base_url` is not given; by default what
            `DASHSCOPE_REGION` says.
        timeout: Seconds to wait for an answer; 60 by default.
        retry: How failed requests are repeated.
    """

    api_key: str | SecretStr | None
    base_url: str | None
    workspace: str | None
    region: str | None
    timeout: float
    retry: RetryPolicy | None


class DashScopeConnection:
    """Runs programs over the SDK's clients: one `dashscope.Client`, and one `dashscope.AsyncClient` per event loop.

    Everything that holds a connection has its own key: nothing goes through the SDK's global settings. The key is
    neither in its repr nor in its pickle; where a pickle is loaded, the key is taken from `DASHSCOPE_API_KEY`.

    Args:
        **options: As `ConnectionOptions` says.

    Raises:
        ConfigurationError: An option is wrong, or there is no key.
    """

    def __init__(self, **options: Unpack[ConnectionOptions]) -> None:
        _check_names(options)
        self._settings = {name: _text(options.get(name), name) for name in ("base_url", "workspace", "region")}
        _check_address(self._settings["base_url"])
        self._timeout = _seconds(options.get("timeout", DEFAULT_TIMEOUT))
        retry = options.get("retry")
        if retry is not None and not isinstance(retry, RetryPolicy):
            raise ConfigurationError(f"retry is a {type(retry).__name__}. Give a RetryPolicy.")
        self.retry = retry or RetryPolicy()
        self._open(_key(options.get("api_key")))

    def _open(self, key: str | None) -> None:
        self._lock = threading.Lock()
        self._client: dashscope.Client | None = None
        self._slots: dict[asyncio.AbstractEventLoop, _Slot] = {}
        load_sdk()
        self.api_key = SecretStr(key or self._stored_key())

    def __repr__(self) -> str:
        given = [f"{name}={value!r}" for name, value in self._settings.items() if value is not None]
        return f"DashScopeConnection({', '.join(given)})"

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": self._settings, "timeout": self._timeout, "retry": self.retry}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._settings, self._timeout, self.retry = state["settings"], state["timeout"], state["retry"]
        self._open(_key(None))

    def __deepcopy__(self, _: Any) -> DashScopeConnection:
        # Nothing of it ever changes, and a copy by way of its pickled state would have another key.
        return self

    def run(self, resource: Resource, program: Program[T]) -> T:
        """Carry out a program whose requests are calls of this resource."""
        with self._lock:
            if self._client is None:
                self._client = self._make("Client", self.api_key.get_secret_value())
                weakref.finalize(self, self._client.close)
            client = self._client
        return run(program, getattr(client, resource), self.retry)

    async def arun(self, resource: Resource, program: Program[T]) -> T:
        """Carry out a program without blocking the event loop."""
        return await arun(program, getattr(await self._async_client(), resource), self.retry)

    async def _async_client(self) -> dashscope.AsyncClient:
        loop = asyncio.get_running_loop()
        slot = self._slots.get(loop)
        if slot is None:
            # Copied in one go, because other threads have loops too.
            for other in list(self._slots):
                if other.is_closed():
                    self._slots.pop(other, None)
            slot = self._slots[loop] = _Slot()
        async with slot.lock:
            if slot.client is None:
                # It reads certificates and the SDK's files.
                client = await asyncio.to_thread(self._make, "AsyncClient", self.api_key.get_secret_value())
                await (await LoopClients.of_running_loop()).adopt(client, owner=self)
                slot.client = client
            return slot.client

    def _make(self, kind: Literal["Client", "AsyncClient"], key: str | None) -> Any:
        try:
            # Without a workspace the SDK advises one; the shared gateway works as well. One at a time, because the
            # filters of warnings belong to the whole process.
            with _making, warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                return getattr(load_sdk(), kind)(
                    api_key=key,
                    timeout=self._timeout,
                    # How often is decided in one place for all of this package.
                    max_retries=0,
                    **self._settings,
                )
        except ValueError as error:
            raise ConfigurationError(f"The DashScope SDK refused its settings: {error}.") from error

    def _stored_key(self) -> str:
        """The key that the SDK finds in its own files."""
        with self._make("Client", None) as client:
            key = client.config.api_key
        if not key:
            raise ConfigurationError(f"There is no DashScope key. Set {KEY_VARIABLE}, or give api_key=.")
        return _checked_key(key, "the SDK's files")


@dataclass(slots=True)
class _Slot:
    """The client of one event loop, which is made once also where many tasks ask for it at the same time."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    client: dashscope.AsyncClient | None = None


# Checks


def _check_names(options: Mapping[str, Any]) -> None:
    unknown = sorted(options.keys() - ConnectionOptions.__annotations__.keys())
    if unknown:
        raise ConfigurationError(
            f"There is no option {', '.join(unknown)}. How DashScope is reached is said with "
            f"{', '.join(ConnectionOptions.__annotations__)}."
        )


def _key(given: Any) -> str | None:
    """The key that was given or is in the environment."""
    if isinstance(given, SecretStr):
        given = given.get_secret_value()
    if given is None:
        key = os.environ.get(KEY_VARIABLE)
        return _checked_key(key, KEY_VARIABLE) if key else None
    if not isinstance(given, str):
        raise ConfigurationError(f"api_key is a {type(given).__name__}. Give a str or a SecretStr.")
    return _checked_key(given, "api_key")


def _checked_key(key: str, source: str) -> str:
    key = key.strip()
    if not key:
        raise ConfigurationError(f"{source} is empty. Set {KEY_VARIABLE}, or give api_key=.")
    if not (key.isascii() and key.isprintable()) or " " in key:
        # It could not be sent, and what refused it would print it.
        raise ConfigurationError(f"{source} holds characters that no key has. Copy the key again.")
    return key


def _text(value: Any, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{name} is a {type(value).__name__}. Give a str.")
    return value or None


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < threading.TIMEOUT_MAX:
        raise ConfigurationError(f"timeout is {value!r}. Give seconds, more than 0.")
    return float(value)


def _check_address(base_url: str | None) -> None:
    if base_url is None:
        return
    try:
        parts = urlsplit(base_url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid or "@" in base_url:
        raise ConfigurationError(
            "base_url is no address of DashScope. Give one such as https://dashscope.aliyuncs.com/api/v1 (Beijing) or "
            "https://dashscope-intl.aliyuncs.com/api/v1 (Singapore), and the key as api_key=."
        )
