"""Capacity units: what a call consumes.

A unit is 4 KB, begun ones count whole (Tablestore, "Read and write throughput"): a read is billed for the
primary key and the columns read, a write for the primary key and the columns written, and checking a
condition costs a read of the primary key.
"""

from __future__ import annotations

from typing import Final

_UNIT: Final = 4096


def units(size: int) -> int:
    """Convert a size to capacity units.

    Args:
        size: The size in bytes.

    Returns:
        The units, at least one.
    """
    return max(1, -(-size // _UNIT))
