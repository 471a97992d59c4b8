"""The SDK's protobuf messages: the one place where this package touches modules without types.

The messages are the wire format's; what reads them converts what it finds to types of its own at once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from google.protobuf.message import DecodeError
from tablestore.protobuf import search_pb2 as search
from tablestore.protobuf import table_store_filter_pb2 as filters
from tablestore.protobuf import table_store_pb2 as tables

from .errors import broken_message

__all__ = ["bytes_field", "consumed", "filters", "name_bytes", "parse", "search", "tables"]


def parse(message_type: Any, body: bytes) -> Any:
    """Parse a request.

    Args:
        message_type: A generated message class.
        body: The encoded message.

    Returns:
        The message.

    Raises:
        RequestError: ``OTSParameterInvalid``: the bytes are no such message, or a required field is missing.
    """
    message = message_type()
    try:
        message.ParseFromString(body)
    except DecodeError:
        raise broken_message() from None
    if not message.IsInitialized():
        raise broken_message()
    return message


def name_bytes(text: str | bytes) -> bytes:
    """Take the UTF-8 of a text field; the protobuf library hands out invalid UTF-8 as bytes.

    Args:
        text: The field's value.

    Returns:
        The bytes, for the checks of names to judge.
    """
    return text.encode() if isinstance(text, str) else text


@lru_cache(maxsize=1024)
def consumed(read: int, write: int) -> bytes:
    """Encode field 1 of an answer to a row call: the capacity units that it consumed.

    In protobuf, encodings of parts of a message can be joined; this part is mostly one of a few.

    Args:
        read: Read capacity units.
        write: Write capacity units.

    Returns:
        The encoded field.
    """
    answer = tables.GetRowResponse()
    answer.consumed.capacity_unit.read = read
    answer.consumed.capacity_unit.write = write
    return bytes(answer.SerializePartialToString())


def bytes_field(number: int, *parts: bytes) -> bytes:
    """Encode a field of type bytes, without copying its parts more than once.

    Args:
        number: The field's number, below 16.
        parts: The content, in pieces.

    Returns:
        The encoded field.
    """
    length = sum(map(len, parts))
    head = bytearray((number << 3 | 2,))
    while length > 0x7F:  # noqa: PLR2004 - seven bits in each byte, the eighth says that more follow
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return b"".join((head, *parts))
