"""Vectors <-> JSON text, the form in which a column holds an embedding.

The service computes with float32. So a vector is written with the shortest numbers that read back to the same float32:
for 1024 dimensions that is 13 KB, against 23 KB for what `json.dumps` makes of Python's floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from langchain_tablestore_memory.errors import InvalidArgumentError, StoredDataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_DIMENSION = 4096
"""Numbers in a vector (limits of the service)."""


def check_vector(vector: Any, *, dimension: int | None, what: str) -> NDArray[np.float32]:
    """Check a vector and turn it into float32.

    Args:
        vector: A list of numbers or a one-dimensional numpy array.
        dimension: Numbers that it must have; None for any number of them, up to 4096.
        what: What it is called in errors, such as ``the embedding of document 'd1'``.

    Raises:
        InvalidArgumentError: It is no vector, has another dimension, or a number that float32 cannot hold.
    """
    if isinstance(vector, str | bytes | bytearray) or not isinstance(vector, Sequence | np.ndarray):
        raise InvalidArgumentError(f"{what} is a {type(vector).__name__}. Give a list of numbers or a numpy array.")
    try:
        # Without casting, text such as "1" would become a number.
        given = np.asarray(vector)
    except ValueError:
        raise InvalidArgumentError(f"{what} is a list of lists of different lengths. Give a flat list.") from None
    if given.ndim != 1 or not given.size:
        shape = "x".join(map(str, given.shape))
        raise InvalidArgumentError(f"{what} has the shape {shape}. Give a flat list of numbers.")
    if given.dtype.kind not in "fiu":
        raise InvalidArgumentError(f"{what} holds values that are no numbers. Give floats.")
    if dimension is not None and given.size != dimension:
        raise InvalidArgumentError(
            f"{what} has {given.size} dimensions; this store has {dimension}. Use the embedding model that the store "
            "was made for, or another table."
        )
    if given.size > MAX_DIMENSION:
        raise InvalidArgumentError(f"{what} has {given.size} dimensions. Tablestore takes at most {MAX_DIMENSION}.")
    with np.errstate(over="ignore"):
        converted = given.astype(np.float32)
    if not np.isfinite(converted).all():
        position = int(np.flatnonzero(~np.isfinite(converted))[0])
        raise InvalidArgumentError(
            f"{what} has {given[position]} at position {position}. Give finite numbers within float32."
        )
    return converted


def encode_vector(vector: NDArray[np.float32]) -> str:
    """A vector as JSON text, with the shortest numbers that read back to the same float32."""
    return orjson.dumps(np.ascontiguousarray(vector), option=orjson.OPT_SERIALIZE_NUMPY).decode("ascii")


def decode_vector(text: Any, *, what: str) -> list[float]:
    """Read a vector from JSON text, whichever tool wrote it.

    Raises:
        StoredDataError: It is none.
    """
    try:
        vector = orjson.loads(text)
        if isinstance(vector, list) and vector and not any(isinstance(number, bool) for number in vector):
            return [float(number) for number in vector]
    except (TypeError, ValueError):  # no text, no JSON, or no numbers
        pass
    raise StoredDataError(f"{what} is no JSON array of numbers. Was it written by another program?")
