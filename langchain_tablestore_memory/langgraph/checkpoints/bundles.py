"""Bundles: some description and some byte strings, as one byte string that is compressed where that pays.

Layout: one byte that says whether the rest is compressed (zlib); then 4 bytes with the length of the description; the
description as JSON, whose last entry is the list of the lengths of the parts; the parts one after the other.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import orjson

from langchain_tablestore_memory.errors import InvalidArgumentError, StoredDataError

_PLAIN, _ZLIB = b"\x00", b"\x01"

_LEAST_COMPRESSED = 4096
"""Bytes below which compressing does not pay: the service counts what is written and read in units of 4 KB."""

_LEVEL = 1
"""Of zlib: the fastest. Higher ones take several times as long for a few percent."""


def pack(data: bytes) -> bytes:
    """Compress bytes where that makes them smaller by a tenth or more."""
    if len(data) >= _LEAST_COMPRESSED:
        compressed = zlib.compress(data, _LEVEL)
        if len(compressed) < 0.9 * len(data):
            return _ZLIB + compressed
    return _PLAIN + data


def unpack(packed: bytes) -> bytes:
    """What `pack` was given.

    Raises:
        StoredDataError: These bytes are not from `pack`.
    """
    packed = bytes(packed)
    if packed[:1] == _ZLIB:
        try:
            return zlib.decompress(packed[1:])
        except zlib.error as error:
            raise StoredDataError(f"Stored data of a checkpoint is damaged: {error}.") from error
    if packed[:1] == _PLAIN:
        return packed[1:]
    raise StoredDataError("Stored data of a checkpoint is damaged, or was written by another tool.")


def bundle(description: Any, parts: Sequence[bytes]) -> bytes:
    """Put a description (anything that JSON holds) and parts into one byte string.

    Raises:
        InvalidArgumentError: JSON does not hold the description.
    """
    try:
        head = orjson.dumps([description, [len(part) for part in parts]])
    except TypeError as error:
        raise InvalidArgumentError(
            f"A checkpoint has a channel name or a version that cannot be stored: {error}. Names are str of valid "
            "Unicode, versions str, int of 64 bits or float."
        ) from error
    return pack(b"".join([len(head).to_bytes(4), head, *parts]))


def unbundle(packed: bytes) -> tuple[Any, list[bytes]]:
    """The description and the parts that `bundle` was given.

    Raises:
        StoredDataError: These bytes are not from `bundle`.
    """
    data = unpack(packed)
    start = 4 + int.from_bytes(data[:4])
    try:
        description, lengths = orjson.loads(data[4:start])
    except ValueError as error:
        raise StoredDataError("Stored data of a checkpoint is damaged: its description cannot be read.") from error
    parts = []
    for length in lengths:
        parts.append(data[start : start + length])
        start += length
    if start != len(data):
        raise StoredDataError("Stored data of a checkpoint is damaged: some of it is missing.")
    return description, parts
