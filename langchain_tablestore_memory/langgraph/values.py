"""Values of channels as parts: how lists that grow are stored without storing again what they held.

The entries of a list are parts of their own. A version of a list that goes on from an earlier one refers to the parts
that are stored already, in runs, and adds a run of new ones. Runs that have become short beside what follows are
written again together with it, as in a binary counter: so a list of n entries is in at most log2(n) + 1 runs, and each
entry is written at most log2(n) times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_tablestore_memory.langgraph.checkpoint_rows import MAX_CARRIED, MAX_REWRITTEN, Place, Run

Version = str | int | float

Part = tuple[str, bytes]
"""What a serializer makes of an object: what kind it is, and its bytes."""

_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a channel, serialized.

    Attributes:
        is_list: Whether each part is an entry of a list; otherwise there is one part, which is the value.
        parts: The parts.
    """

    is_list: bool
    parts: Sequence[Part]

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(len(data) for _, data in self.parts)


@dataclass(frozen=True, slots=True)
class Held:
    """A value that is stored.

    Attributes:
        version: Its version.
        place: Where it is.
        digests: Of a list, what its entries are told by.
        value: The value, where it is so small that later checkpoints carry it along.
    """

    version: Version
    place: Place
    digests: Sequence[bytes] = ()
    value: Value | None = None

    @classmethod
    def of(cls, version: Version, place: Place, value: Value | None) -> Held:
        """What is to be remembered of a value; None where it was not read."""
        if value is None:
            return cls(version, place)
        digests = [digest(part) for part in value.parts] if value.is_list else ()
        return cls(version, place, digests, value if value.size <= MAX_CARRIED else None)


def digest(part: Part) -> bytes:
    """What a part is told by."""
    return hashlib.blake2b(part[1], digest_size=_DIGEST_BYTES, key=part[0].encode()[:64]).digest()


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
    same = 0
    for part, told in zip(value.parts, before.digests, strict=False):
        if digest(part) != told:
            break
        same += 1
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
