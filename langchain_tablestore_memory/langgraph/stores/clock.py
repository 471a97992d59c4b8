"""The clock of a store."""

from __future__ import annotations

import threading
from collections.abc import Callable


class StoreClock:
    """Tells the time, and gives out times of which none is given out twice, so that items keep their order.

    Args:
        now: Tells the time in microseconds since 1970-01-01 UTC.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self._lock = threading.Lock()
        self._last = 0

    def take(self, count: int) -> int:
        """The first of `count` times in a row that nothing else gets."""
        with self._lock:
            first = max(self.now(), self._last + 1)
            self._last = first + count - 1
            return first
