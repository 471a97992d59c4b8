"""Page cursors: where the next page begins, bound to the listing that gave them out.

A cursor holds a position inside one listing and a digest of the listing's scope (table, user, conversation, order).
The scope itself always comes from the caller, so a cursor that was edited can at worst move within what its holder
may read anyway; one from another user, conversation or listing is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence

import orjson

from langchain_tablestore_memory.errors import CursorError

_DIGEST_BYTES = 9  # a multiple of 3, so that base64 needs no padding after it

Position = Sequence[int | str]


def encode_cursor(scope: Sequence[str], position: Position) -> str:
    """Make a cursor for a position in the listing named by `scope`."""
    payload = orjson.dumps(list(position))
    return base64.urlsafe_b64encode(_digest(scope, payload) + payload).decode("ascii").rstrip("=")


def decode_cursor(cursor: str, scope: Sequence[str], kinds: Sequence[type]) -> list[int | str]:
    """Read a cursor that `encode_cursor` made for the same scope.

    Args:
        cursor: The cursor.
        scope: The listing in which it is used.
        kinds: The types of the position's parts.

    Raises:
        CursorError: It is malformed, or was made for another scope.
    """
    if not isinstance(cursor, str):
        raise CursorError(f"The cursor is a {type(cursor).__name__}. Give the str that came with the page before.")
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise CursorError("The cursor is malformed. Give the one that came with the page before, unchanged.") from error
    digest, payload = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if digest != _digest(scope, payload):
        raise CursorError(
            "The cursor belongs to another user, conversation or listing, or was changed. "
            "Give the one that came with the page before, with the same arguments; or none, to start again."
        )
    position = orjson.loads(payload)
    if [type(part) for part in position] != list(kinds):
        raise CursorError("The cursor is of another version of this package. Start again without one.")
    return list(position)


def check_position(time: int, first: int | None, last: int | None) -> None:
    """Refuse a position outside of the times that are asked for, both included; None is open.

    Raises:
        CursorError: The cursor came with other times.
    """
    if (first is not None and time < first) or (last is not None and time > last):
        raise CursorError("The cursor lies outside of the times asked for. Give those of the page before.")


def _digest(scope: Sequence[str], payload: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in scope:
        encoded = part.encode("utf-8")
        digest.update(len(encoded).to_bytes(4) + encoded)
    digest.update(payload)
    return digest.digest()
