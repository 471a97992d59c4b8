"""Checks of arguments, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from langchain_tablestore_memory.core.records import Order
from langchain_tablestore_memory.errors import InvalidArgumentError

MAX_KEY_BYTES = 1024
"""Bytes of one string in a primary key (limits of the service)."""

Time = int | datetime
"""Microseconds since 1970-01-01 UTC, or an aware `datetime`."""

_INT64 = range(-(2**63), 2**63)


def check_id(value: Any, name: str) -> str:
    """Check an id that becomes part of a primary key.

    Raises:
        InvalidArgumentError: It is no str, empty, no valid Unicode, or longer than 1024 bytes in UTF-8.
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{name} is a {type(value).__name__}. Give a str.")
    if not value:
        raise InvalidArgumentError(f"{name} is empty. Give at least one character.")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{name} holds a lone surrogate, which is no Unicode character.") from None
    if size > MAX_KEY_BYTES:
        raise InvalidArgumentError(f"{name} takes {size} bytes in UTF-8. Tablestore allows {MAX_KEY_BYTES}.")
    # Of an enum of str the value, which is what is sent, and not the name, which is what str() gives.
    return str.__str__(value)


def check_text(value: Any, name: str) -> str:
    """Check a text, which may be empty.

    Raises:
        InvalidArgumentError: It is no str, or no valid Unicode.
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{name} is a {type(value).__name__}. Give a str.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{name} holds a lone surrogate, which is no Unicode character.") from None
    return value


def check_time(value: Any, name: str) -> int:
    """Check a time: microseconds since 1970-01-01 UTC, or an aware `datetime`, which is turned into them.

    Raises:
        InvalidArgumentError: It is neither, or does not fit 64 bits.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidArgumentError(f"{name} is a datetime without time zone. Give one, such as timezone.utc.")
        return _since_epoch(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgumentError(
            f"{name} is a {type(value).__name__}. Give microseconds since 1970-01-01 UTC as an int, or a datetime."
        )
    if value not in _INT64:
        raise InvalidArgumentError(f"{name} does not fit 64 bits. Give microseconds since 1970-01-01 UTC.")
    return int(value)


def check_optional_time(value: Any, name: str) -> int | None:
    """`check_time`, where None is allowed."""
    return None if value is None else check_time(value, name)


def check_order(value: Any) -> Order:
    """Check the order of a listing.

    Raises:
        InvalidArgumentError: It is no `Order` of this package.
    """
    if not isinstance(value, Order):
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise InvalidArgumentError(f"order is a {kind}. Give Order.ASC or Order.DESC of langchain_tablestore_memory.")
    return value


def check_mapping(value: Any, name: str) -> dict[str, Any]:
    """Check metadata that may be left out; returns a copy, empty for None. What is in it is checked when it is encoded.

    Raises:
        InvalidArgumentError: It is no mapping.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(f"{name} is a {type(value).__name__}. Give a dict.")
    return dict(value)


def check_keys(value: Any, name: str) -> frozenset[str]:
    """Check some metadata keys.

    Raises:
        InvalidArgumentError: It is no list, tuple or set of str.
    """
    if not isinstance(value, list | tuple | set | frozenset) or not all(isinstance(key, str) for key in value):
        raise InvalidArgumentError(f"{name} is no list of keys, which are str.")
    return frozenset(value)


def check_count(value: Any, name: str, *, at_most: int | None = None) -> int:
    """Check a number of things: an int, at least 1.

    Raises:
        InvalidArgumentError: It is not, or more than `at_most`.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgumentError(f"{name} is a {type(value).__name__}. Give an int.")
    if value < 1 or (at_most is not None and value > at_most):
        allowed = "at least 1" if at_most is None else f"1 to {at_most}"
        raise InvalidArgumentError(f"{name} is {value}. Give {allowed}.")
    return value


def check_optional_count(value: Any, name: str, *, at_most: int | None = None) -> int | None:
    """`check_count`, where None is allowed."""
    return None if value is None else check_count(value, name, at_most=at_most)


def check_ttl(value: Any) -> int:
    """Check a time to live: whole seconds or a `timedelta`; None becomes -1, which is for ever.

    Raises:
        InvalidArgumentError: It is neither, or less than one day, which is the least that the service takes.
    """
    if value is None:
        return -1
    if isinstance(value, timedelta):
        value = int(value.total_seconds())
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgumentError(f"ttl is a {type(value).__name__}. Give whole seconds or a timedelta.")
    if value < 86_400 or value > 2**31 - 1:  # noqa: PLR2004
        raise InvalidArgumentError(
            f"ttl is {value} s. Tablestore takes one day (86400 s) to 68 years; None is for ever."
        )
    return value


def _since_epoch(value: datetime) -> int:
    return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
