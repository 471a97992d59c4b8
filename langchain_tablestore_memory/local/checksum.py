"""CRC-8 of PlainBuffer (polynomial x^8 + x^2 + x + 1, start value 0), fast without native code.

A byte-wise table loop costs about 35 ns a byte, which for a message of some kilobytes is more than everything
else that is done to it. But a CRC is the remainder of a polynomial division, and 127 is the order of x modulo
this
polynomial: x^127 leaves the remainder 1. So bits that lie a multiple of 127 apart may be added up (XOR)
before dividing. Python's big integers do that in C, in halving steps, until 127 bits are left; eight look-ups
finish it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_POLYNOMIAL = 0x107
_ORDER = 127
# Below this many bytes the loop is quicker than the folding.
_LOOP_LIMIT = 24

_words = struct.Struct(">8H")
_unpack_words: Callable[[bytes], tuple[int, ...]] = _words.unpack


def _remainder_table() -> bytes:
    remainders = bytearray()
    for byte in range(256):
        remainder = byte
        for _ in range(8):
            remainder = (remainder << 1) ^ (_POLYNOMIAL if remainder & 0x80 else 0)
        remainders.append(remainder)
    return bytes(remainders)


def _word_tables() -> list[bytes]:
    """Tables of the CRC of a 16-bit word that is followed by 0, 1, ... 7 further words of zeros."""
    advance_word = bytes(_TABLE[_TABLE[byte]] for byte in range(256))
    low = int.from_bytes(_TABLE, "big")
    ones = int.from_bytes(b"\x01" * 256, "big")
    # The CRC is linear, so the row of a high byte is the row of low bytes with one constant added to each.
    tables = [b"".join((low ^ (advance_word[high] * ones)).to_bytes(256, "big") for high in range(256))]
    while len(tables) < 8:  # noqa: PLR2004 - eight words hold 127 bits
        tables.append(tables[-1].translate(advance_word))
    return tables


_TABLE = _remainder_table()
_ADVANCE_EIGHT = _TABLE
for _ in range(7):
    _ADVANCE_EIGHT = _ADVANCE_EIGHT.translate(_TABLE)
_W0, _W1, _W2, _W3, _W4, _W5, _W6, _W7 = _word_tables()


def extend_crc8(crc: int, data: bytes) -> int:
    """Continue a CRC over a few more bytes.

    Args:
        crc: The CRC so far; 0 to start.
        data: The bytes that follow. Meant for short runs; see `crc8` for long ones.

    Returns:
        The CRC, 0 to 255.
    """
    table = _TABLE
    for byte in data:
        crc = table[crc ^ byte]
    return crc


def advance_eight_bytes(crc: int) -> int:
    """Continue a CRC over eight zero bytes; XOR the CRC of eight other bytes to have continued over those.

    Args:
        crc: The CRC so far.

    Returns:
        The CRC, 0 to 255.
    """
    return _ADVANCE_EIGHT[crc]


def crc8(data: bytes) -> int:
    """Compute the CRC-8 of `data`, of any length.

    Args:
        data: The bytes.

    Returns:
        The CRC, 0 to 255.
    """
    length = len(data)
    if length < _LOOP_LIMIT:
        return extend_crc8(0, data)
    bits = int.from_bytes(data, "big")
    width = _ORDER << (((length * 8 - 1) // _ORDER).bit_length() - 1)
    while width >= _ORDER:
        high = bits >> width
        bits ^= (high << width) ^ high
        width >>= 1
    a, b, c, d, e, f, g, h = _unpack_words(bits.to_bytes(16, "big"))
    return _W7[a] ^ _W6[b] ^ _W5[c] ^ _W4[d] ^ _W3[e] ^ _W2[f] ^ _W1[g] ^ _W0[h]
