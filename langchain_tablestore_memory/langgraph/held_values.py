"""Where the values of the latest checkpoints are, remembered so that the next ones need not ask."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

from langchain_tablestore_memory.langgraph.checkpoint_rows import Line
from langchain_tablestore_memory.langgraph.values import Held

_LINES = 256


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

    def forget(self, thread_id: str | None = None) -> None:
        """Forget the checkpoints of a thread, or all."""
        with self._lock:
            for line in [line for line in self._held if thread_id in {None, line.thread_id}]:
                del self._held[line]
