"""What is remembered of the latest checkpoints: where their values are, and what their lists looked like."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

from langchain_tablestore_memory.langgraph.checkpoints.entries import Seen
from langchain_tablestore_memory.langgraph.checkpoints.rows import Line
from langchain_tablestore_memory.langgraph.checkpoints.values import Held

_LINES = 256
_LISTS = 32
"""Fewer, because they hold the texts of messages."""


class HeldValues:
    """The values of two checkpoints of each line: the newest one, and the one that was written or read last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[Line, dict[str, Mapping[str, Held]]] = OrderedDict()

    def of(self, line: Line, checkpoint_id: str) -> Mapping[str, Held] | None:
        """The values of a checkpoint; None where they are not known."""
        with self._lock:
            return self._held.get(line, {}).get(checkpoint_id)

    def remember(self, line: Line, checkpoint_id: str, held: Mapping[str, Held]) -> None:
        """Remember the values of a checkpoint."""
        with self._lock:
            known = self._held.get(line, {})
            newest = max(known, default=checkpoint_id)
            self._held[line] = {newest: known.get(newest, held), checkpoint_id: held}
            self._held.move_to_end(line)
            while len(self._held) > _LINES:
                self._held.popitem(last=False)

    def forget_line(self, line: Line) -> None:
        """Forget the checkpoints of a line."""
        with self._lock:
            self._held.pop(line, None)

    def forget(self, thread_id: str | None = None) -> None:
        """Forget the checkpoints of a thread, or all."""
        with self._lock:
            for line in [line for line in self._held if thread_id in {None, line.thread_id}]:
                del self._held[line]


class SeenLists:
    """Lists as they were serialized last, by line and channel."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[Line, str], Seen] = OrderedDict()

    def of(self, line: Line, channel: str) -> Seen | None:
        """The list of a channel; None where it is not known."""
        with self._lock:
            return self._seen.get((line, channel))

    def remember(self, line: Line, channel: str, seen: Seen) -> None:
        """Remember the list of a channel."""
        with self._lock:
            self._seen[line, channel] = seen
            self._seen.move_to_end((line, channel))
            while len(self._seen) > _LISTS:
                self._seen.popitem(last=False)

    def forget(self, thread_id: str | None = None) -> None:
        """Forget the lists of a thread, or all."""
        with self._lock:
            for key in [key for key in self._seen if thread_id in {None, key[0].thread_id}]:
                del self._seen[key]
