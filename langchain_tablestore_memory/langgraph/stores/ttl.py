"""How long items last: what is configured, and the sweeping of those that have expired."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import math
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langgraph.store.base import TTLConfig

from langchain_tablestore_memory.errors import ConfigurationError, InvalidArgumentError

_MICROSECONDS = 60_000_000
"""In a minute."""

_KEYS = ("refresh_on_read", "omit_expired", "default_ttl", "sweep_interval_minutes")
_DEFAULT_INTERVAL = 5.0
"""Minutes between two sweeps."""

_MAX_MINUTES = 2**62 / _MICROSECONDS

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long items last.

    Attributes:
        omit_expired: Whether items that have expired are as good as gone, also before they are swept.
        sweep_interval: Minutes between two sweeps.
    """

    omit_expired: bool = True
    sweep_interval: float = _DEFAULT_INTERVAL

    @classmethod
    def of(cls, config: TTLConfig | None) -> Lifetimes:
        """From LangGraph's configuration.

        Raises:
            ConfigurationError: A setting is unknown, or cannot be.
        """
        if config is None:
            return cls()
        if not isinstance(config, Mapping):
            raise ConfigurationError(f'ttl is a {type(config).__name__}. Give a dict: {{"default_ttl": 60}} (minutes).')
        unknown = sorted(set(config).difference(_KEYS))
        if unknown:
            raise ConfigurationError(f"ttl has {', '.join(map(repr, unknown))}. There are: {', '.join(_KEYS)}.")
        for name in ("refresh_on_read", "omit_expired"):
            if not isinstance(config.get(name, True), bool):
                raise ConfigurationError(f"ttl[{name!r}] is {config.get(name)!r}. Give True or False.")
        for name in ("default_ttl", "sweep_interval_minutes"):
            minutes: Any = config.get(name)
            if minutes is not None and not _is_minutes(minutes):
                raise ConfigurationError(f"ttl[{name!r}] is {minutes!r}. Give minutes, a number above 0, or None.")
        return cls(config.get("omit_expired", True), float(config.get("sweep_interval_minutes") or _DEFAULT_INTERVAL))


def check_lifetime(minutes: Any) -> int | None:
    """A time to live in microseconds; None for ever.

    Raises:
        InvalidArgumentError: It is no number of minutes above 0.
    """
    if minutes is None:
        return None
    if not _is_minutes(minutes):
        raise InvalidArgumentError(f"ttl is {minutes!r}. Give minutes, a number above 0, or None for ever.")
    return max(1, round(float(minutes) * _MICROSECONDS))


def _is_minutes(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and 0 < value <= _MAX_MINUTES


class Sweeper:
    """Sweeps now and then: in a thread of its own, or in a task of an event loop.

    A sweep that fails is logged, and the next one is made all the same.

    Args:
        sweep: Sweeps once, and returns how many items it has removed.
        asweep: Its async twin.
    """

    def __init__(self, sweep: Callable[[], int], asweep: Callable[[], Awaitable[int]]) -> None:
        self._sweep = sweep
        self._asweep = asweep
        self._lock = threading.Lock()
        self._running: tuple[threading.Thread, threading.Event, concurrent.futures.Future[None]] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, minutes: float) -> concurrent.futures.Future[None]:
        """Sweep in a thread. Where that is so already, nothing changes.

        Returns:
            What is done when the thread has ended; cancelling it ends the thread.
        """
        with self._lock:
            if self._running is not None and self._running[0].is_alive() and not self._running[1].is_set():
                return self._running[2]
            stop = threading.Event()
            future: concurrent.futures.Future[None] = concurrent.futures.Future()
            future.add_done_callback(lambda _: stop.set())

            def work() -> None:
                while not stop.wait(minutes * 60):
                    try:
                        _log(self._sweep())
                    except Exception:
                        logger.exception("A sweep of expired items failed. The next one is in %s minutes.", minutes)
                # Whoever waits for one that was cancelled is told by this, too.
                if future.set_running_or_notify_cancel():
                    future.set_result(None)

            thread = threading.Thread(target=work, name="tablestore-store-sweeper", daemon=True)
            self._running = (thread, stop, future)
            thread.start()
            return future

    def stop(self, timeout: float | None) -> bool:
        """End the thread. Returns whether it has ended, for which is waited up to `timeout` seconds."""
        with self._lock:
            if self._running is None:
                return True
            thread, stop, _ = self._running
        stop.set()
        thread.join(timeout)
        return not thread.is_alive()

    def astart(self, minutes: float) -> asyncio.Task[None]:
        """Sweep in a task of the running event loop. Where there is one already, nothing changes."""

        async def work() -> None:
            while True:
                await asyncio.sleep(minutes * 60)
                try:
                    _log(await self._asweep())
                except Exception:
                    logger.exception("A sweep of expired items failed. The next one is in %s minutes.", minutes)

        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(work(), name="tablestore-store-sweeper")
        return self._task

    async def astop(self) -> None:
        """End the task."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])


def _log(removed: int) -> None:
    if removed:
        logger.info("%d expired items were removed.", removed)
