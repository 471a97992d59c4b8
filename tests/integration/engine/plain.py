"""PlainBuffer written by hand, so that tests can send what the SDK's own encoder refuses to write.

Independent of the engine's codec and of the SDK's: what one of them gets wrong, this does not repeat.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER = 0x75
ROW_PK, ROW_DATA, CELL, NAME, VALUE, TYPE, TIMESTAMP, DELETE_MARKER, ROW_CHECKSUM, CELL_CHECKSUM = range(1, 11)

DELETE_ALL_VERSION, DELETE_ONE_VERSION, INCREMENT = 1, 3, 4

INF_MIN, INF_MAX, AUTO_INCREMENT = b"\x09", b"\x0a", b"\x0b"

OMIT = -1
"""A checksum that is left out."""


def _crc_table() -> bytes:
    table = bytearray()
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
        table.append(crc)
    return bytes(table)


_TABLE = _crc_table()


def crc8(data: bytes, crc: int = 0) -> int:
    for byte in data:
        crc = _TABLE[crc ^ byte]
    return crc


def variant(value: object) -> bytes:
    """A value as a type byte and its little-endian content; bytes are text, bytearrays are binary."""
    if isinstance(value, bool):
        return bytes([2, value])
    if isinstance(value, int):
        return b"\x00" + struct.pack("<q", value)
    if isinstance(value, float):
        return b"\x01" + struct.pack("<d", value)
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytearray):
        return b"\x07" + struct.pack("<i", len(value)) + bytes(value)
    if isinstance(value, bytes):
        return b"\x03" + struct.pack("<i", len(value)) + value
    raise TypeError(value)


@dataclass(frozen=True)
class Cell:
    """One cell; ``value`` is a Python value, or ``raw`` its variant form for what Python has no value for."""

    name: str | bytes | None
    value: object = None
    op: int | None = None
    timestamp: int | None = None
    raw: bytes | None = None
    checksum: int | None = None

    def encode(self) -> tuple[bytes, int]:
        """The cell's bytes and its true checksum."""
        out, crc = bytes([CELL]), 0
        if self.name is not None:
            name = self.name.encode() if isinstance(self.name, str) else self.name
            out += bytes([NAME]) + struct.pack("<i", len(name)) + name
            crc = crc8(name, crc)
        content = self.raw if self.raw is not None else None if self.value is None else variant(self.value)
        if content is not None:
            out += bytes([VALUE]) + struct.pack("<i", len(content)) + content
            crc = crc8(content, crc)
        if self.op is not None:
            out += bytes([TYPE, self.op])
        if self.timestamp is not None:
            stamp = struct.pack("<q", self.timestamp)
            out += bytes([TIMESTAMP]) + stamp
            crc = crc8(stamp, crc)
        if self.op is not None:
            crc = crc8(bytes([self.op]), crc)
        if self.checksum != OMIT:
            out += bytes([CELL_CHECKSUM, crc if self.checksum is None else self.checksum])
        return out, crc


def row(
    key: Sequence[Cell],
    attributes: Sequence[Cell] = (),
    *,
    delete_marker: bool = False,
    checksum: int | None = None,
    header: int = HEADER,
) -> bytes:
    """A row; ``checksum`` replaces the true one, or leaves it out (``OMIT``)."""
    out, crc = struct.pack("<i", header) + bytes([ROW_PK]), 0
    for cell in key:
        data, cell_crc = cell.encode()
        out += data
        crc = crc8(bytes([cell_crc]), crc)
    if attributes:
        out += bytes([ROW_DATA])
        for cell in attributes:
            data, cell_crc = cell.encode()
            out += data
            crc = crc8(bytes([cell_crc]), crc)
    if delete_marker:
        out += bytes([DELETE_MARKER])
    crc = crc8(bytes([delete_marker]), crc)
    if checksum != OMIT:
        out += bytes([ROW_CHECKSUM, crc if checksum is None else checksum])
    return out
