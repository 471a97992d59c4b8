"""Exact comparison of a number with columns that hold either 64-bit integers or doubles.

A filter compares numbers by value, the service only with operands of the column's own type. So a comparison with
`2.5` becomes one with the integer 3 for INTEGER columns, and one with `10**17 + 1` one with the next double for DOUBLE
columns.
"""

from __future__ import annotations

import math
import sys

from langchain_tablestore_memory.filters.tree import Comparison

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
_DOUBLE_MAX = sys.float_info.max
_UPWARD = frozenset({Comparison.GT, Comparison.GTE})


def integer_bound(comparison: Comparison, value: float) -> int | None:
    """The operand for integers: the one equal to the value, the least that passes, or the greatest that passes.

    None where no integer of 64 bits passes.
    """
    if value in {math.inf, -math.inf}:
        value = math.copysign(2.0**64, value)
    least, greatest = math.ceil(value), math.floor(value)
    if comparison is Comparison.EQ:
        return least if least == greatest and INT64_MIN <= least <= INT64_MAX else None
    if comparison is Comparison.GT:
        least = greatest + 1
    elif comparison is Comparison.LT:
        greatest = least - 1
    if comparison in _UPWARD:
        return None if least > INT64_MAX else max(least, INT64_MIN)
    return None if greatest < INT64_MIN else min(greatest, INT64_MAX)


def double_bound(comparison: Comparison, value: float) -> float | None:
    """The same for doubles, which are never NaN or infinite."""
    least, greatest = _doubles_around(value)
    if comparison is Comparison.EQ:
        return least if least == greatest and math.isfinite(least) else None
    if comparison is Comparison.GT and least == value:
        least = math.nextafter(least, math.inf)
    elif comparison is Comparison.LT and greatest == value:
        greatest = math.nextafter(greatest, -math.inf)
    if comparison in _UPWARD:
        return None if least > _DOUBLE_MAX else max(least, -_DOUBLE_MAX)
    return None if greatest < -_DOUBLE_MAX else min(greatest, _DOUBLE_MAX)


def _doubles_around(value: float) -> tuple[float, float]:
    """The least double that is not below a number, and the greatest that is not above it."""
    try:
        nearest = float(value)
    except OverflowError:
        nearest = math.inf if value > 0 else -math.inf
    if nearest < value:
        return math.nextafter(nearest, math.inf), nearest
    if nearest > value:
        return nearest, math.nextafter(nearest, -math.inf)
    return nearest, nearest
