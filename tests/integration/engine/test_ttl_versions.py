"""Expiry of cells and the number of versions that are kept, also after the table's options change."""

from __future__ import annotations

import re
import time

import pytest
from tablestore import SecondaryIndexMeta, TableOptions

from .support import cells, create, create_versioned, every, fetch, get, put, read, service_error, update

DAY = 86400
FAR = 10**12
"""A deviation, in seconds, that allows any version."""


def ago(seconds):
    return int((time.time() - seconds) * 1000)


class TestTimeToLive:
    def test_a_version_older_than_it_is_refused(self, client):
        create_versioned(client, time_to_live=DAY, max_time_deviation=FAR)
        with service_error("OTSParameterInvalid", re.compile(r"Invalid timestamp\. Cell: ?x\.")):
            put(client, "t", "k", [("x", 1, ago(DAY + 60))])
        put(client, "t", "k", [("x", 1, ago(DAY - 60))])
        assert get(client, "t", "k") == {"x": 1}

    def test_expired_cells_vanish_from_every_read(self, client):
        create_versioned(client, max_time_deviation=FAR)
        put(client, "t", "k", [("old", 1, ago(2 * DAY)), ("new", 2, ago(60))])
        client.update_table("t", TableOptions(DAY, 10, FAR))
        assert get(client, "t", "k") == {"new": 2}
        assert [cell[0] for cell in cells(every(client, "t").rows[0])] == ["new"]
        assert [cell[0] for cell in cells(read(client, "t", ["k"])[0].row)] == ["new"]
        assert fetch(client, "t", "k", columns_to_get=["old"]) is None

    def test_expired_versions_do_not_hide_newer_ones(self, client):
        create_versioned(client, max_time_deviation=FAR)
        put(client, "t", "k", [("x", 1, ago(3 * DAY)), ("x", 2, ago(60))])
        client.update_table("t", TableOptions(DAY, 10, FAR))
        assert [cell[1] for cell in cells(fetch(client, "t", "k", max_version=99))] == [2]

    def test_an_expired_counter_starts_from_zero(self, client):
        create_versioned(client, max_time_deviation=FAR)
        put(client, "t", "k", [("n", 100, ago(2 * DAY))])
        client.update_table("t", TableOptions(DAY, 10, FAR))
        update(client, "t", "k", {"increment": [("n", 1)]})
        assert get(client, "t", "k") == {"n": 1}

    def test_cells_within_it_stay(self, client):
        create_versioned(client, time_to_live=DAY, max_time_deviation=FAR)
        put(client, "t", "k", [("x", 1, ago(DAY / 2)), ("y", 2)])
        assert get(client, "t", "k") == {"x": 1, "y": 2}

    def test_none_keeps_everything(self, client):
        create_versioned(client, max_time_deviation=FAR)
        put(client, "t", "k", [("x", 1, ago(1000 * DAY))])
        assert get(client, "t", "k") == {"x": 1}

    def test_an_index_needs_a_table_without_it_or_without_updates(self, client):
        index = SecondaryIndexMeta("i", ["a"], [])
        defined = [("a", "STRING")]
        with service_error("OTSParameterInvalid"):
            create(client, defined=defined, indexes=[index], options=TableOptions(time_to_live=DAY))
        create(
            client,
            defined=defined,
            indexes=[index],
            options=TableOptions(time_to_live=DAY, allow_update=False),
        )
        put(client, "t", "k", {"a": "v"})
        assert len(every(client, "i", ["a", "pk"]).rows) == 1


class TestMaxVersions:
    @pytest.mark.parametrize("kept", [1, 2, 3])
    def test_older_versions_are_dropped(self, client, kept):
        create_versioned(client, max_version=kept, max_time_deviation=FAR)
        for number in range(1, 5):
            update(client, "t", "k", {"put": [("x", number, number * 1000)]})
        found = cells(fetch(client, "t", "k", max_version=99))
        assert [value for _, value, _ in found] == [4, 3, 2, 1][:kept]

    def test_more_versions_in_one_put_than_are_kept(self, client):
        create_versioned(client, max_version=2, max_time_deviation=FAR)
        put(client, "t", "k", [("x", number, number * 1000) for number in range(1, 5)])
        assert [value for _, value, _ in cells(fetch(client, "t", "k", max_version=99))] == [4, 3]

    def test_lowering_hides_the_older(self, client):
        create_versioned(client, max_version=5, max_time_deviation=FAR)
        put(client, "t", "k", [("x", number, number * 1000) for number in range(1, 5)])
        client.update_table("t", TableOptions(-1, 2, FAR))
        assert [value for _, value, _ in cells(fetch(client, "t", "k", max_version=99))] == [4, 3]
        found = fetch(client, "t", "k", max_version=None, time_range=(0, 3000))
        assert cells(found) == []

    @pytest.mark.parametrize("versions", [2, 100])
    def test_an_index_needs_a_table_of_one(self, client, versions):
        index = SecondaryIndexMeta("i", ["a"], [])
        with service_error("OTSParameterInvalid"):
            create(client, defined=[("a", "STRING")], indexes=[index], options=TableOptions(max_version=versions))
        create(client, defined=[("a", "STRING")], options=TableOptions(max_version=versions))
        with service_error("OTSParameterInvalid"):
            client.create_secondary_index("t", index, False)
