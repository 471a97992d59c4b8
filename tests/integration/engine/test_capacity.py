"""Consumed capacity units: 4 KB each, by the lengths of names and values, key included."""

from __future__ import annotations

import pytest
from tablestore import Condition, SingleColumnCondition

from .support import (
    EXPECT_EXIST,
    EXPECT_NOT_EXIST,
    create,
    delete,
    delete_item,
    every,
    put,
    put_item,
    read,
    update,
    update_item,
    write,
    write_results,
)

KB4 = 4096
BASE = len("pk") + len("k") + len("v")
"""Size of a row with the key ``k`` and one column ``v``, without the column's value."""


def units(consumed):
    return consumed.read, consumed.write


def text(size):
    """A value that makes the whole row this large."""
    return "x" * (size - BASE)


class TestWrites:
    @pytest.mark.parametrize(("size", "expected"), [(100, 1), (KB4, 1), (KB4 + 1, 2), (2 * KB4, 2), (2 * KB4 + 1, 3)])
    def test_put(self, client, size, expected):
        create(client)
        assert units(put(client, "t", "k", {"v": text(size)})[0]) == (0, expected)

    @pytest.mark.parametrize(("size", "expected"), [(100, 1), (KB4, 1), (KB4 + 1, 2)])
    def test_update(self, client, size, expected):
        create(client)
        assert units(update(client, "t", "k", {"put": [("v", text(size))]})[0]) == (0, expected)

    def test_two_columns_of_a_unit_each(self, client):
        create(client)
        assert units(put(client, "t", "k", {"a": "x" * KB4, "b": "x" * KB4})[0]) == (0, 3)

    @pytest.mark.parametrize(
        ("value", "length"),
        [
            pytest.param(7, 8, id="integer"),
            pytest.param(0.5, 8, id="double"),
            pytest.param(True, 1, id="boolean"),
            pytest.param("中", 3, id="text-in-bytes"),
            pytest.param(bytearray(b"1234"), 4, id="binary"),
        ],
    )
    def test_length_of_values(self, client, value, length):
        create(client)
        fill = KB4 - BASE - len("w") - length
        assert units(put(client, "t", "k", {"v": "x" * fill, "w": value})[0]) == (0, 1)
        assert units(put(client, "t", "k", {"v": "x" * (fill + 1), "w": value})[0]) == (0, 2)

    def test_integer_keys_count_eight_bytes(self, client):
        create(client, key=[("pk", "INTEGER")])
        fill = KB4 - len("pk") - 8 - len("v")
        assert units(put(client, "t", 1, {"v": "x" * fill})[0]) == (0, 1)
        assert units(put(client, "t", 1, {"v": "x" * (fill + 1)})[0]) == (0, 2)

    def test_a_row_of_its_key_alone(self, client):
        create(client)
        assert units(put(client, "t", "k")[0]) == (0, 1)

    def test_a_deleted_column_counts_its_name(self, client):
        create(client)
        put(client, "t", "k", {"v": 1})
        fill = text(KB4)
        assert units(update(client, "t", "k", {"put": [("v", fill)]})[0]) == (0, 1)
        assert units(update(client, "t", "k", {"put": [("v", fill)], "delete_all": ["w"]})[0]) == (0, 2)

    @pytest.mark.parametrize(
        ("condition", "read_units"),
        [
            pytest.param(None, 0, id="none"),
            pytest.param(EXPECT_EXIST, 1, id="expect-exist"),
            pytest.param(Condition("IGNORE", SingleColumnCondition("v", "old", 0)), 1, id="column"),
        ],
    )
    def test_a_condition_reads(self, client, condition, read_units):
        create(client)
        for call in (
            lambda: put(client, "t", "k", {"v": "new"}, condition),
            lambda: update(client, "t", "k", {"put": [("v", "new")]}, condition or Condition("IGNORE")),
            lambda: delete(client, "t", "k", condition or Condition("IGNORE")),
        ):
            put(client, "t", "k", {"v": "old"})
            assert units(call()[0]) == (read_units, 1)

    def test_expecting_no_row_reads(self, client):
        create(client)
        assert units(put(client, "t", "k", {"v": 1}, EXPECT_NOT_EXIST)[0]) == (1, 1)

    def test_a_long_condition_is_still_one_read(self, client):
        create(client)
        put(client, "t", "k", {"v": text(3 * KB4)})
        assert units(put(client, "t", "k", {"v": text(3 * KB4)}, EXPECT_EXIST)[0]) == (1, 3)

    def test_a_delete_is_one_whatever_the_row(self, client):
        create(client)
        put(client, "t", "k", {"v": text(3 * KB4)})
        assert units(delete(client, "t", "k")[0]) == (0, 1)
        assert units(delete(client, "t", "k")[0]) == (0, 1)


class TestReads:
    @pytest.mark.parametrize(("size", "expected"), [(100, 1), (KB4, 1), (KB4 + 1, 2), (10 * KB4, 10)])
    def test_get(self, client, size, expected):
        create(client)
        put(client, "t", "k", {"v": text(size)})
        consumed, _, _ = client.get_row("t", [("pk", "k")])
        assert units(consumed) == (expected, 0)

    def test_a_miss_is_one(self, client):
        create(client)
        consumed, _, _ = client.get_row("t", [("pk", "k")])
        assert units(consumed) == (1, 0)

    def test_a_row_that_a_filter_drops_is_billed(self, client):
        create(client)
        put(client, "t", "k", {"v": "x"})
        never = SingleColumnCondition("v", "y", 0)
        consumed, row, _ = client.get_row("t", [("pk", "k")], column_filter=never)
        assert row is None
        assert units(consumed) == (1, 0)

    @pytest.mark.parametrize(
        ("rows", "size", "expected"), [(1, 100, 1), (10, 100, 1), (4, 1024, 1), (5, 1024, 2), (3, KB4 + 1, 4)]
    )
    def test_a_range_counts_the_page_not_the_rows(self, client, rows, size, expected):
        create(client, key=[("pk", "INTEGER")])
        value = "x" * (size - len("pk") - 8 - len("v"))
        for number in range(rows):
            put(client, "t", number, {"v": value})
        assert units(every(client, "t").consumed) == (expected, 0)

    def test_a_range_counts_what_it_scanned(self, client):
        create(client, key=[("pk", "INTEGER")])
        for number in range(4):
            put(client, "t", number, {"v": "x" * KB4})
        never = SingleColumnCondition("v", "y", 0)
        found = every(client, "t", column_filter=never)
        assert found.rows == []
        assert units(found.consumed) == (5, 0)


class TestBatches:
    def test_reads_count_per_row(self, client):
        create(client)
        put(client, "t", "a", {"v": text(KB4 + 1)})
        put(client, "t", "b", {"v": "x"})
        found = read(client, "t", ["a", "b", "c"])
        assert [units(item.consumed) for item in found] == [(2, 0), (1, 0), (1, 0)]

    def test_writes_count_per_row(self, client):
        create(client)
        put(client, "t", "d", {"v": "x"})
        answer = write(
            client,
            {
                "t": [
                    put_item("a", {"v": text(KB4 + 1)}),
                    put_item("b", {"v": 1}, EXPECT_NOT_EXIST),
                    update_item("c", {"put": [("v", 1)]}),
                    delete_item("d"),
                    put_item("e", {"v": 1}, EXPECT_EXIST),
                ]
            },
        )
        results = write_results(answer)
        assert [row.is_ok for row in results] == [True] * 4 + [False]
        assert [units(row.consumed) for row in results] == [(0, 2), (1, 1), (0, 1), (0, 1), (1, 1)]
