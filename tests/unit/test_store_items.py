"""Items of a store as rows, and back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tablestore_memory import InvalidArgumentError, StoredDataError
from langchain_tablestore_memory.core import tagged_json
from langchain_tablestore_memory.core.ranges import StoredRow
from langchain_tablestore_memory.langgraph.stores.items import (
    EMBEDDING,
    EXPIRES,
    LARGE,
    MAX_INLINE,
    PART,
    PUT,
    SIZE,
    TEXT,
    VALUE,
    VECTORS,
    NewItem,
    StoredItem,
    identity_of,
    is_expired,
    is_large,
    item_key,
    new_put,
    part_names,
    put_of_row,
    time_of_put,
    to_datetime,
)

IDENTITY = (("users", "u1"), "k")


def new_item(value=None, **options):
    return NewItem(IDENTITY, tagged_json.dumps({} if value is None else value), new_put(5), **options)


def row_of(write):
    """The row as it is read back."""
    row = write.item.row
    return StoredRow(dict(row.primary_key), dict(row.attribute_columns))


values = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=5)
        | st.binary(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.tuples(inner, inner)
            | st.dictionaries(st.text(max_size=3), inner, max_size=2)
        ),
    ),
    max_size=4,
)


@given(values, st.integers(0, 2**52), st.none() | st.integers(1, 2**50))
def test_round_trip(value, now, lifetime):
    write = new_item(value, lifetime=lifetime).write("t", created_at=now, now=now + 5, condition=None)
    found = StoredItem.of(row_of(write))
    assert found.value == value
    assert repr(found.value) == repr(value)
    assert (found.identity, found.created_at, found.updated_at) == (IDENTITY, now, now + 5)
    assert found.expires_at == (None if lifetime is None else now + 5 + lifetime)
    assert found.lifetime == lifetime
    item = found.to_search_item(0.5)
    assert (item.namespace, item.key, item.score) == (*IDENTITY, 0.5)
    assert item.created_at == to_datetime(now)
    assert item.created_at.tzinfo is UTC


def test_times_are_exact():
    assert to_datetime(1_760_000_000_123_457) == datetime(2025, 10, 9, 8, 53, 20, 123457, UTC)
    assert to_datetime(-1) == datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)


def test_a_clock_that_was_set_back():
    """An item was never changed before it was made."""
    found = StoredItem.of(row_of(new_item().write("t", created_at=100, now=50, condition=None)))
    assert (found.created_at, found.updated_at) == (100, 100)


def test_a_large_value():
    value = {"text": "茶" * 1_000_000}
    row = row_of(new_item(value).write("t", created_at=1, now=1, condition=None))
    assert VALUE not in row.columns
    assert row.columns[SIZE] == len(tagged_json.dumps(value).encode())
    assert len(row.columns[LARGE].encode()) <= 2 * 1024 * 1024
    assert StoredItem.of(row).value == value
    assert not is_large(row)
    assert is_large(StoredRow(row.key, {SIZE: 5}))
    small = {"text": "x" * (MAX_INLINE - 11)}
    assert VALUE in row_of(new_item(small).write("t", created_at=1, now=1, condition=None)).columns


def test_too_large():
    for item in (new_item({"text": "x" * 4_200_000}), new_item({"a": "x" * 2_200_000}, texts=["y" * 2_000_000])):
        with pytest.raises(InvalidArgumentError, match=r"'k' of \('users', 'u1'\)"):
            item.check()
    with pytest.raises(InvalidArgumentError, match="index=False"):
        new_item(texts=["y" * 2_200_000]).check()


def test_vectors():
    item = new_item(texts=["a", "b", "c"], vectors=["[1]", "[2]", "[3]"], fields=[("field_n", 1)])
    row = row_of(item.write("t", created_at=1, now=1, condition=None))
    assert (row.columns[EMBEDDING], row.columns[TEXT], row.columns[VECTORS], row.columns["field_n"]) == (
        "[1]",
        "a\nb\nc",
        3,
        1,
    )
    assert row.key[PART] == ""
    parts = [row_of(write) for write in item.parts("t")]
    assert [part.columns for part in parts] == [
        {PUT: item.put_id, EMBEDDING: vector, "field_n": 1} for vector in ("[2]", "[3]")
    ]
    assert [part.key[PART] for part in parts] == part_names(item.put_id, 3)
    # All of them say which put they are from, and of what.
    assert {put_of_row(each) for each in (row, *parts)} == {item.put_id}
    assert {identity_of(each) for each in (row, *parts)} == {IDENTITY}
    assert new_item().put_id != new_item().put_id
    assert time_of_put(new_item().put_id) == 5
    assert part_names("p", 0) == part_names("p", 1) == []


def test_expiry():
    assert is_expired({EXPIRES: 5}, 5)
    assert not is_expired({EXPIRES: 6}, 5)
    assert not is_expired({}, 5)


@pytest.mark.parametrize(
    "columns",
    [{}, {VALUE: "{}"}, {VALUE: "[]", "created_at": 1}, {VALUE: "{", "created_at": 1}, {VALUE: 5, "created_at": 1}],
)
def test_damaged(columns):
    with pytest.raises(StoredDataError):
        StoredItem.of(StoredRow(dict(item_key(IDENTITY)), {PUT: "p", **columns}))
