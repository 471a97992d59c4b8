"""Which columns and which versions a read returns."""

from __future__ import annotations

import re
import time

import pytest
from tablestore import SingleColumnCondition

from .support import (
    cells,
    create,
    create_versioned,
    every,
    fetch,
    get,
    put,
    read,
    service_error,
    update,
)

ROW = {"a": 1, "b": 2, "c": 3}
LONG_AGO = 10**12
"""A deviation, in seconds, that allows any version."""


def read_all_ways(client, key, **options):
    """The row by GetRow, GetRange and BatchGetRow, which must agree; None when it is not returned."""
    one = fetch(client, "t", key, **options)
    ranged = [row for row in every(client, "t", **options).rows if row.primary_key[0][1] == key]
    batch = read(client, "t", [key], **options)[0].row
    found = cells(one)
    assert (cells(ranged[0]) if ranged else None) == found
    assert cells(batch) == found
    return found


def names(found):
    return None if found is None else [name for name, _, _ in found]


class TestColumnsToGet:
    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            pytest.param(None, ["a", "b", "c"], id="none"),
            pytest.param([], ["a", "b", "c"], id="empty"),
            pytest.param(["b"], ["b"], id="one"),
            pytest.param(["c", "a"], ["a", "c"], id="sorted"),
            pytest.param(["a", "a", "a"], ["a"], id="repeated"),
            pytest.param(["a", "no"], ["a"], id="one-absent"),
            pytest.param(["A"], None, id="case"),
            pytest.param(["no"], None, id="all-absent"),
            pytest.param(["pk"], [], id="key"),
            pytest.param(["pk", "no"], [], id="key-and-absent"),
            pytest.param(["pk", "b"], ["b"], id="key-and-present"),
        ],
    )
    def test_selection(self, client, wanted, expected):
        create(client)
        put(client, "t", "k", ROW)
        assert names(read_all_ways(client, "k", columns_to_get=wanted)) == expected

    def test_the_key_always_comes_whole(self, client):
        create(client, key=[("z", "STRING"), ("a", "INTEGER")])
        put(client, "t", [("z", "k"), ("a", 1)], {"b": 2})
        for wanted in (["a"], ["z"], ["b"], None):
            found = fetch(client, "t", [("z", "k"), ("a", 1)], columns_to_get=wanted)
            assert list(map(tuple, found.primary_key)) == [("z", "k"), ("a", 1)]

    def test_a_row_of_its_key_alone(self, client):
        create(client)
        put(client, "t", "k")
        assert read_all_ways(client, "k") == []
        assert read_all_ways(client, "k", columns_to_get=["a"]) is None
        assert read_all_ways(client, "k", columns_to_get=["pk"]) == []

    def test_an_absent_row(self, client):
        create(client)
        assert read_all_ways(client, "k", columns_to_get=["pk"]) is None

    def test_filter_sees_only_selected_columns(self, client):
        create(client)
        put(client, "t", "k", ROW)
        strict = SingleColumnCondition("a", 1, 0, pass_if_missing=False)
        assert names(read_all_ways(client, "k", columns_to_get=["a"], column_filter=strict)) == ["a"]
        assert read_all_ways(client, "k", columns_to_get=["b"], column_filter=strict) is None


class TestColumnRange:
    """``start_column`` inclusive to ``end_column`` exclusive, by name."""

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            pytest.param("a", "c", ["a", "b", "bb"], id="half-open"),
            pytest.param("b", None, ["b", "bb", "c"], id="start"),
            pytest.param(None, "b", ["a"], id="end"),
            pytest.param("ba", "bz", ["bb"], id="between-names"),
        ],
    )
    def test_selection(self, client, start, end, expected):
        create(client)
        put(client, "t", "k", {"a": 1, "b": 2, "bb": 3, "c": 4})
        found = fetch(client, "t", "k", start_column=start, end_column=end)
        assert names(cells(found)) == expected
        ranged = every(client, "t", start_column=start, end_column=end).rows
        assert names(cells(ranged[0])) == expected

    def test_together_with_columns_to_get(self, client):
        create(client)
        put(client, "t", "k", ROW)
        found = fetch(client, "t", "k", columns_to_get=["a", "c"], start_column="b", end_column="d")
        assert names(cells(found)) == ["c"]


class TestVersions:
    @pytest.fixture
    def versions(self, client):
        """Column x with versions 1000 to 5000 and column y with 3000."""
        create_versioned(client, max_version=5, max_time_deviation=LONG_AGO)
        put(client, "t", "k", [("x", n, n * 1000) for n in range(1, 6)] + [("y", "y", 3000)])
        return client

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            pytest.param({"max_version": 1}, [("x", 5, 5000), ("y", "y", 3000)], id="newest"),
            pytest.param({"max_version": 2}, [("x", 5, 5000), ("x", 4, 4000), ("y", "y", 3000)], id="two"),
            pytest.param(
                {"max_version": 99},
                [*(("x", n, n * 1000) for n in (5, 4, 3, 2, 1)), ("y", "y", 3000)],
                id="all",
            ),
            pytest.param(
                {"max_version": None, "time_range": (2000, 4000)},
                [("x", 3, 3000), ("x", 2, 2000), ("y", "y", 3000)],
                id="range",
            ),
            pytest.param(
                {"max_version": 1, "time_range": (2000, 4000)},
                [("x", 3, 3000), ("y", "y", 3000)],
                id="range-newest",
            ),
            pytest.param({"max_version": None, "time_range": 2000}, [("x", 2, 2000)], id="one-time"),
            pytest.param(
                {"max_version": None, "time_range": 2000, "columns_to_get": ["y", "pk"]},
                [],
                id="one-time-key",
            ),
            pytest.param({"max_version": None, "time_range": (6000, 7000)}, [], id="nothing-in-range"),
            pytest.param({"max_version": None, "time_range": 1}, [], id="nothing-at-time"),
            pytest.param({"max_version": None, "time_range": (0, 1)}, [], id="before"),
        ],
    )
    def test_selection(self, versions, options, expected):
        assert read_all_ways(versions, "k", **options) == expected

    def test_a_time_range_hides_a_row_whose_named_columns_are_outside(self, versions):
        found = read_all_ways(versions, "k", max_version=None, time_range=(4000, 9000), columns_to_get=["y"])
        assert found is None

    def test_no_condition_is_refused(self, versions):
        with service_error("OTSParameterInvalid", "No version condition is specified."):
            fetch(versions, "t", "k", max_version=None)
        with service_error("OTSParameterInvalid", "No version condition is specified."):
            every(versions, "t", max_version=None)
        with service_error("OTSParameterInvalid", "No version condition is specified while querying row."):
            read(versions, "t", ["k"], max_version=None)

    def test_versions_count_per_column(self, versions):
        update(versions, "t", "k", {"put": [("z", "z", 1)]})
        assert ("z", "z", 1) in read_all_ways(versions, "k", max_version=1)

    def test_an_update_adds_a_version(self, versions):
        update(versions, "t", "k", {"put": [("x", 6, 6000)]})
        found = read_all_ways(versions, "k", max_version=99, columns_to_get=["x"])
        assert found == [("x", n, n * 1000) for n in (6, 5, 4, 3, 2)]

    def test_an_older_version_takes_its_place(self, client):
        create_versioned(client, max_version=2, max_time_deviation=LONG_AGO)
        put(client, "t", "k", [("x", 5, 5000)])
        update(client, "t", "k", {"put": [("x", 1, 1000)]})
        update(client, "t", "k", {"put": [("x", 3, 3000)]})
        assert read_all_ways(client, "k", max_version=99) == [("x", 5, 5000), ("x", 3, 3000)]

    def test_the_same_version_is_overwritten(self, versions):
        update(versions, "t", "k", {"put": [("x", "new", 3000)]})
        assert read_all_ways(versions, "k", max_version=None, time_range=3000) == [
            ("x", "new", 3000),
            ("y", "y", 3000),
        ]

    def test_put_replaces_all_versions(self, versions):
        put(versions, "t", "k", [("x", 0, 9000)])
        assert read_all_ways(versions, "k", max_version=99) == [("x", 0, 9000)]

    def test_delete_of_one_version(self, versions):
        for stamp in (5000, 2000, 1234):
            update(versions, "t", "k", {"delete": [("x", None, stamp)]})
        found = read_all_ways(versions, "k", max_version=99, columns_to_get=["x"])
        assert found == [("x", n, n * 1000) for n in (4, 3, 1)]

    def test_delete_of_all_versions(self, versions):
        update(versions, "t", "k", {"delete_all": ["x"]})
        assert read_all_ways(versions, "k", max_version=99) == [("y", "y", 3000)]

    def test_delete_of_a_columns_last_version(self, versions):
        update(versions, "t", "k", {"delete": [("y", None, 3000)]})
        assert read_all_ways(versions, "k", columns_to_get=["y"]) is None

    def test_an_increment_adds_a_version_to_the_newest_value(self, client):
        create_versioned(client)
        now = int(time.time() * 1000)
        put(client, "t", "k", [("n", 1, now - 2000), ("n", 10, now - 1000)])
        update(client, "t", "k", {"increment": [("n", 5)]})
        assert [value for _, value, _ in read_all_ways(client, "k", max_version=99)] == [15, 10, 1]


class TestTimestamps:
    def test_default_to_the_servers_clock(self, client):
        create(client)
        before = int(time.time() * 1000)
        put(client, "t", "k", ROW)
        after = int(time.time() * 1000)
        found = cells(fetch(client, "t", "k"))
        assert all(before - 1 <= stamp <= after + 1 for _, _, stamp in found)

    def test_only_the_newest_is_kept_by_default(self, client):
        create(client)
        now = int(time.time() * 1000)
        update(client, "t", "k", {"put": [("x", "new", now)]})
        update(client, "t", "k", {"put": [("x", "old", now - 1000)]})
        assert get(client, "t", "k", max_version=9) == {"x": "new"}

    @pytest.mark.parametrize("shift", [-5, 0, 5])
    def test_within_the_deviation_are_accepted(self, client, shift):
        create_versioned(client, max_time_deviation=10)
        stamp = int(time.time() * 1000) + shift * 1000
        put(client, "t", "k", [("x", 1, stamp)])
        assert cells(fetch(client, "t", "k")) == [("x", 1, stamp)]

    @pytest.mark.parametrize("shift", [-15, 15])
    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda client, stamp: put(client, "t", "k", [("cell", 1, stamp)]), id="PutRow"),
            pytest.param(lambda client, stamp: update(client, "t", "k", {"put": [("cell", 1, stamp)]}), id="UpdateRow"),
        ],
    )
    def test_beyond_the_deviation_are_refused(self, client, write, shift):
        create_versioned(client, max_time_deviation=10)
        with service_error("OTSParameterInvalid", re.compile(r"Invalid timestamp\. Cell: ?cell\.")):
            write(client, int(time.time() * 1000) + shift * 1000)
        assert fetch(client, "t", "k") is None

    @pytest.mark.parametrize("stamp", [-1, (2**63 - 1) // 1000, 2**63 - 1], ids=["negative", "limit", "largest"])
    def test_out_of_range_are_refused(self, client, stamp):
        create_versioned(client, max_time_deviation=LONG_AGO)
        with service_error("OTSParameterInvalid", "Timestamp must be in range [0, INT64_MAX/1000)."):
            put(client, "t", "k", [("x", 1, stamp)])

    @pytest.mark.parametrize("stamp", [0, 1])
    def test_zero_is_a_version(self, client, stamp):
        create_versioned(client, max_time_deviation=LONG_AGO)
        put(client, "t", "k", [("x", 1, stamp)])
        assert read_all_ways(client, "k", max_version=None, time_range=stamp) == [("x", 1, stamp)]
