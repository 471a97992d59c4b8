"""Checks of arguments: what passes comes back as it is meant, what does not is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from enum import Enum

import pytest

from langchain_tablestore_memory.core.checks import (
    check_count,
    check_id,
    check_keys,
    check_mapping,
    check_optional_time,
    check_order,
    check_time,
    check_ttl,
)
from langchain_tablestore_memory.core.records import Order
from langchain_tablestore_memory.errors import InvalidArgumentError


@pytest.mark.parametrize("value", ["a", " ", "\x00", "会话", "🙂", "x" * 1024, "用" * 341])
def test_ids(value):
    assert check_id(value, "session_id") == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "empty"),
        (None, "NoneType"),
        (5, "int"),
        (b"a", "bytes"),
        ("x" * 1025, "1025 bytes"),
        ("用" * 342, "1026 bytes"),
        ("a\ud800", "surrogate"),
    ],
    ids=ascii,
)
def test_ids_that_are_none(value, reason):
    with pytest.raises(InvalidArgumentError, match=f"session_id.*{reason}"):
        check_id(value, "session_id")


class User(str, Enum):  # noqa: UP042 - the older way, in which str() gives the name
    ALICE = "alice"


def test_ids_become_plain_text():
    """Enums of str are sent as their values, and str() of them may be something else."""
    checked = check_id(User.ALICE, "user_id")
    assert checked == "alice"
    assert type(checked) is str


@pytest.mark.parametrize("value", [0, 1, -1, 2**63 - 1, -(2**63)])
def test_times(value):
    assert check_time(value, "since") == value
    assert check_optional_time(value, "since") == value


def test_no_time():
    assert check_optional_time(None, "since") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1),
        (datetime(2025, 4, 3, 8, 46, 6, 419_601, tzinfo=UTC), 1_743_669_966_419_601),
        (datetime(1970, 1, 1, 8, tzinfo=timezone(timedelta(hours=8))), 0),
        # Half a second more than float arithmetic on seconds keeps.
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), 253_402_300_799_999_999),
    ],
)
def test_datetimes_become_microseconds(value, expected):
    assert check_time(value, "since") == expected


@pytest.mark.parametrize(
    "value", [True, 1.0, "1", None, 2**63, -(2**63) - 1, datetime(2025, 1, 1), timedelta(1)], ids=repr
)
def test_times_that_are_none(value):
    with pytest.raises(InvalidArgumentError, match="since"):
        check_time(value, "since")


@pytest.mark.parametrize(("value", "at_most"), [(1, None), (1, 1), (5000, 5000), (10**9, None)])
def test_counts(value, at_most):
    assert check_count(value, "limit", at_most=at_most) == value


@pytest.mark.parametrize(
    ("value", "at_most", "reason"),
    [
        (0, None, "at least 1"),
        (-1, None, "at least 1"),
        (5001, 5000, "1 to 5000"),
        (0, 5000, "1 to 5000"),
        (True, None, "bool"),
        (1.0, None, "float"),
        ("1", None, "str"),
        (None, None, "NoneType"),
    ],
)
def test_counts_that_are_none(value, at_most, reason):
    with pytest.raises(InvalidArgumentError, match=f"limit.*{reason}"):
        check_count(value, "limit", at_most=at_most)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, -1),
        (86_400, 86_400),
        (timedelta(days=1), 86_400),
        (timedelta(days=30), 2_592_000),
        (2**31 - 1, 2**31 - 1),
    ],
)
def test_times_to_live(value, expected):
    assert check_ttl(value) == expected


@pytest.mark.parametrize(
    "value", [86_399, 0, -1, 2**31, True, 86_400.0, "1d", timedelta(hours=23), timedelta(days=-1)], ids=repr
)
def test_times_to_live_that_are_none(value):
    with pytest.raises(InvalidArgumentError, match="ttl"):
        check_ttl(value)


def test_orders():
    assert check_order(Order.ASC) is Order.ASC
    assert check_order(Order.DESC) is Order.DESC


class Other(Enum):
    ASC = Order.ASC.value


@pytest.mark.parametrize("value", [None, "ASC", "FORWARD", 1, Other.ASC, Order], ids=repr)
def test_orders_that_are_none(value):
    with pytest.raises(InvalidArgumentError, match="order is a"):
        check_order(value)


def test_mappings_are_copied():
    given = {"a": 1}
    checked = check_mapping(given, "metadata")
    assert checked == given
    assert checked is not given
    assert check_mapping(None, "metadata") == {}


@pytest.mark.parametrize("value", ["", "ab", 0, [], [("a", 1)]], ids=repr)
def test_mappings_that_are_none(value):
    with pytest.raises(InvalidArgumentError, match="metadata"):
        check_mapping(value, "metadata")


@pytest.mark.parametrize(
    "value", [["a", "b"], ("a", "b", "a"), {"a", "b"}, frozenset("ab")], ids=lambda v: type(v).__name__
)
def test_keys(value):
    assert check_keys(value, "remove") == {"a", "b"}


@pytest.mark.parametrize("value", ["ab", None, [1], 5, {"a": 1}, b"a"], ids=repr)
def test_keys_that_are_none(value):
    with pytest.raises(InvalidArgumentError, match="remove"):
        check_keys(value, "remove")
