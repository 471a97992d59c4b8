"""Values of channels as parts: how lists that grow are stored without storing again what they held.

The entries of a list are parts of their own. A version of a list that goes on from an earlier one refers to the parts
that are stored already, in runs, and adds a run of new ones. Runs that have become short beside what follows are
written again together with it, as in a binary counter: so a list of n entries is in at most log2(n) + 1 runs, and each
entry is written at most log2(n) times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from langchain_tablestore_memory.langgraph.checkpoints.rows import Place, Run

Version = str | int | float

Part = tuple[str, bytes]
"""What a serializer makes of an object: what kind it is, and its bytes."""

GONE: Part = ("", b"")
"""In place of a part that nobody needed when its checkpoint was removed."""

MAX_REWRITTEN = 4 * 1024
"""Bytes of a list that is stored whole when it grows, so that the latest checkpoint is read in one request."""

MAX_CARRIED = 256
"""Bytes of a value that is copied into later checkpoints, so that reading these takes no second request."""

_DIGEST_BYTES = 16


@dataclass(slots=True)
class Value:
    """The value of a channel, serialized.

    Attributes:
        is_list: Whether each part is an entry of a list; otherwise there is one part, which is the value.
        parts: The parts.
    """

    is_list: bool
    parts: Sequence[Part]
    _told: bytes | None = field(default=None, repr=False, compare=False)
    _size: int | None = field(default=None, repr=False, compare=False)

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        if self._size is None:
            self._size = sum(len(data) for _, data in self.parts)
        return self._size

    def serialize_from(self, first: int) -> None:
        """Serialize the parts from one on, where that is put off until they are asked for."""
        for number in range(first, len(self.parts)):
            self.parts[number]

    def told(self) -> bytes:
        """What the parts are told by, one after the other."""
        if self._told is None:
            self._told = b"".join(map(digest, self.parts))
        return self._told


@dataclass(frozen=True, slots=True)
class Held:
    """A value that is stored.

    Attributes:
        version: Its version; None where none was given.
        place: Where it is.
        told: Of a list, what its entries are told by, one after the other; empty where that is not known.
        value: The value, where it is so small that later checkpoints carry it along.
    """

    version: Version | None
    place: Place
    told: bytes = b""
    value: Value | None = None

    @classmethod
    def of(cls, version: Version | None, place: Place, value: Value | None) -> Held:
        """What is to be remembered of a value; None where it was not read."""
        if value is None:
            return cls(version, place)
        size = value.size
        told = value.told() if value.is_list and size > MAX_REWRITTEN else b""
        return cls(version, place, told, value if size <= MAX_CARRIED else None)

    def shared(self, value: Value) -> int:
        """How many entries are the same at the beginning of both lists."""
        ours, theirs = self.told, value.told()
        low, high = 0, min(len(ours), len(theirs)) // _DIGEST_BYTES
        if ours.startswith(theirs[: high * _DIGEST_BYTES]):
            return high
        while low < high:
            middle = (low + high + 1) // 2
            if ours.startswith(theirs[: middle * _DIGEST_BYTES]):
                low = middle
            else:
                high = middle - 1
        return low


def stored_runs(value: Value, before: Held | None) -> tuple[list[Run], int]:
    """What of a value is stored already.

    Args:
        value: The value.
        before: The version of it before.

    Returns:
        Runs of stored parts, and how many parts they hold: the rest has to be written.
    """
    if before is None or not (value.is_list and before.place.is_list) or value.size <= MAX_REWRITTEN:
        return [], 0
    same = before.shared(value)
    runs = _first(before.place.runs, same)
    while runs and runs[-1].length <= len(value.parts) - same:
        same -= runs.pop().length
    return runs, same


def _first(runs: Sequence[Run], count: int) -> list[Run]:
    """The runs of the first parts."""
    taken: list[Run] = []
    for run in runs:
        if not count:
            break
        taken.append(run._replace(length=min(run.length, count)))
        count -= taken[-1].length
    return taken


def digest(part: Part) -> bytes:
    """What a part is told by."""
    kind, data = part
    told = hashlib.blake2b(kind.encode(), digest_size=_DIGEST_BYTES)
    told.update(b"\x00")
    told.update(data)
    return told.digest()
