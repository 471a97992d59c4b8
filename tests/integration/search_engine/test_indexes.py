"""The calls on search indexes, and keeping them up with every kind of write."""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from tablestore import (
    BatchWriteRowRequest,
    BoolQuery,
    Condition,
    DeleteRowItem,
    ExistsQuery,
    FieldSchema,
    FieldSort,
    FieldType,
    GeoDistanceQuery,
    GroupByField,
    IndexSetting,
    KnnVectorQuery,
    MatchAllQuery,
    MatchQuery,
    NestedQuery,
    PutRowItem,
    RangeQuery,
    Row,
    SearchIndexMeta,
    SearchQuery,
    Sort,
    SortOrder,
    SyncPhase,
    TableInBatchWriteRowItem,
    TableOptions,
    TermQuery,
)

from langchain_tablestore_memory.local import Tablestore, ots_client
from langchain_tablestore_memory.local.engine import Engine

from .support import BY_SCORE, EVERYTHING, FIELDS, Table, refused


class TestDefinitions:
    def test_describe_as_created(self, client):
        table = Table(
            client, index_setting=IndexSetting(["id"]), index_sort=Sort([FieldSort("number", SortOrder.DESC)])
        )
        found, state = client.describe_search_index("t", "i", include_sync_stat=True)
        assert [(field.field_name, field.field_type) for field in found.fields] == [
            (field.field_name, field.field_type) for field in table.meta.fields
        ]
        assert all(field.index and not field.enable_sort_and_agg for field in found.fields)
        assert found.index_setting.routing_fields == ["id"]
        assert found.index_sort.sorters[0].field_name == "number"
        assert found.time_to_live == -1
        assert state.sync_phase == SyncPhase.INCR
        assert state.current_sync_timestamp == pytest.approx(time.time_ns(), abs=10e9)

    def test_list(self, client, table):
        Table(client, name="u")
        assert client.list_search_index("t") == [("t", "i")]
        assert client.list_search_index() == [("t", "i"), ("u", "i")]
        with refused(containing="table [x] does not exist"):
            client.list_search_index("x")

    def test_delete_index_then_table(self, client, table):
        with refused(containing="Table[t] who has at least one search index"):
            client.delete_table("t")
        client.delete_search_index("t", "i")
        assert client.list_search_index("t") == []
        with refused("OTSMetaNotMatch", "search index [i] does not exist"):
            table.search(MatchAllQuery())
        client.delete_table("t")

    def test_nothing_is_left_of_what_is_deleted(self, tmp_path):
        def names():
            connection = sqlite3.connect(tmp_path / "local.sqlite3")
            found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
            connection.close()
            return found

        with Tablestore(tmp_path, index_delay=3600) as service:
            client = ots_client(service)
            client.list_table()
            empty = names()
            table = Table(client)
            table.put(1, word="a", text="tea", tags=["x"], vector=[1, 0])
            one = names()
            client.create_search_index("t", "j", table.meta)
            assert len(names()) == 2 * len(one) - len(empty) - len([name for name in one if "rows_" in name])
            client.delete_search_index("t", "j")
            # The table's own rows are renamed with each change of its definition.
            assert {name for name in names() if "rows_" not in name} == {name for name in one if "rows_" not in name}
            client.delete_search_index("t", "i")
            client.delete_table("t")
            assert names() == empty

    def test_several_indexes_of_a_table(self, client, table):
        table.put(1, word="a", text="green tea")
        fields = [FieldSchema("text", FieldType.KEYWORD), FieldSchema("number", FieldType.LONG)]
        client.create_search_index("t", "j", SearchIndexMeta(fields))
        table.put(2, word="a", text="green", number=5)

        def keys(index, query):
            return [row[0][0][1] for row in client.search("t", index, SearchQuery(query)).rows]

        assert keys("i", MatchQuery("text", "green")) == keys("i", TermQuery("word", "a")) == [1, 2]
        assert keys("j", TermQuery("text", "green tea")) == [1]
        assert keys("j", TermQuery("number", 5)) == [2]
        with refused(containing="word"):
            keys("j", TermQuery("word", "a"))
        client.delete_row("t", Row([("id", 1)]), None)
        assert keys("i", MatchAllQuery()) == keys("j", MatchAllQuery()) == [2]
        client.delete_search_index("t", "j")
        table.put(3, word="a")
        assert keys("i", TermQuery("word", "a")) == [2, 3]

    def test_same_name_again(self, client, table):
        with refused("OTSObjectAlreadyExist"):
            client.create_search_index("t", "i", table.meta)

    def test_rows_from_before_are_found(self, client):
        table = Table(client, before={n: {"word": "w", "text": "some text", "vector": [n, 1.0]} for n in range(10)})
        assert table.ids(TermQuery("word", "w")) == list(range(10))
        assert table.ids(MatchQuery("text", "text")) == list(range(10))

    @pytest.mark.parametrize(
        ("field", "message"),
        [
            (FieldSchema("x", FieldType.GEOPOINT), "GEO_POINT of field [x]"),
            (FieldSchema("x", FieldType.TEXT, analyzer="ngram"), "unknown analyzer [ngram]"),
            (FieldSchema("x", FieldType.DATE), "date field [x]"),
            (FieldSchema("x", FieldType.DATE, date_formats=["QQ"]), "date format [QQ]"),
            (FieldSchema("x", FieldType.VECTOR), "dimension of vector field [x]"),
            (FieldSchema("word", FieldType.LONG), "duplicate field name [word]"),
        ],
    )
    def test_refused(self, client, field, message):
        with refused(containing=message):
            Table(client, (*FIELDS, field))

    def test_routing_field_that_is_no_key(self, client):
        with refused(containing="routing field [word]"):
            Table(client, index_setting=IndexSetting(["word"]))


class TestUpkeep:
    def test_update_and_delete(self, client, table):
        table.put(1, word="old", text="old text", tags=["x", "x", "y"], vector=[1, 0])
        client.update_row("t", Row([("id", 1)], {"PUT": [("word", "new"), ("text", "new"), ("tags", '["z"]')]}), None)
        assert table.ids(TermQuery("word", "old")) == table.ids(MatchQuery("text", "old")) == []
        assert table.ids(TermQuery("tags", "x")) == []
        assert table.ids(TermQuery("tags", "z")) == table.ids(MatchQuery("text", "new")) == [1]
        assert table.ids(ExistsQuery("vector")) == [1]
        client.update_row("t", Row([("id", 1)], {"DELETE_ALL": ["vector"]}), None)
        assert table.ids(KnnVectorQuery("vector", 5, [1.0, 0.0])) == []
        client.delete_row("t", Row([("id", 1)]), None)
        assert table.ids(MatchAllQuery()) == []

    def test_batch_and_transaction(self, client, table):
        request = BatchWriteRowRequest()
        items = [PutRowItem(Row([("id", n)], [("number", n)]), Condition("IGNORE")) for n in range(3)]
        items.append(DeleteRowItem(Row([("id", 7)]), Condition("IGNORE")))
        request.add(TableInBatchWriteRowItem("t", items))
        assert client.batch_write_row(request).is_all_succeed()
        transaction = client.start_local_transaction("t", [("id", 9)])
        client.put_row("t", Row([("id", 9)], [("number", 9)]), None, None, transaction)
        assert table.ids(RangeQuery("number", 0)) == [0, 1, 2]
        client.commit_transaction(transaction)
        assert table.ids(RangeQuery("number", 0)) == [0, 1, 2, 9]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("word", 1),
            ("word", "x" * 4097),
            ("number", "1"),
            ("real", 1),
            ("flag", "true"),
            ("day", "2022-05-6"),
            ("tags", "no json"),
            ("tags", ["a", 1]),
            ("tags", ["a"] * 257),
            ("tags", []),
            ("numbers", [1, 2.5]),
            ("vector", [1.0]),
            ("vector", ["a", "b"]),
            ("vector", "[1e999, 0]"),
        ],
    )
    def test_value_that_does_not_fit_leaves_the_field_out(self, table, field, value):
        table.put(1, **{field: value})
        assert table.ids(MatchAllQuery()) == [1]
        assert table.ids(ExistsQuery(field)) == []
        assert table.ids(BoolQuery(must_not_queries=[ExistsQuery(field)])) == [1]

    def test_time_to_live(self):
        now = [1_000_000.0]
        engine = Engine(None, clock=lambda: now[0])

        class Service(Tablestore):
            def _engine(self, instance_name):
                return engine

        with Service(None) as service:
            client = ots_client(service)
            table = Table(
                client, options=TableOptions(86_400 * 3, allow_update=False), index_time_to_live=86_400, name="t"
            )
            table.put(1, text="tea", vector=[1, 0])
            now[0] += 86_000
            table.put(2, text="tea", vector=[1, 0])
            now[0] += 800
            for query in (MatchAllQuery(), MatchQuery("text", "tea"), KnnVectorQuery("vector", 5, [1.0, 0.0])):
                assert table.ids(query) == [2]
                assert list(table.scores(query)) == [2]
            client.update_search_index("t", "i", SearchIndexMeta([], time_to_live=86_400 * 2))
            assert table.ids(MatchAllQuery()) == [1, 2]
            now[0] += 86_400 * 3
            assert table.ids(MatchAllQuery()) == []
        engine.close()

    def test_time_to_live_needs_a_table_without_updates(self, client):
        with refused(containing="forbids updates"):
            Table(client, index_time_to_live=86_400)


class TestLag:
    def test_writes_are_seen_later(self, tmp_path):
        with Tablestore(tmp_path, index_delay=0.3) as service:
            client = ots_client(service)
            table = Table(client)
            table.put(1, word="a")
            assert table.ids(MatchAllQuery()) == []
            written = time.time_ns()
            assert client.describe_search_index("t", "i", include_sync_stat=True)[1].current_sync_timestamp < written
            time.sleep(0.35)
            assert table.ids(TermQuery("word", "a")) == [1]
            table.put(1, word="b")
            client.delete_row("t", Row([("id", 1)]), None)
            # The index still has the row as it was.
            found = table.search(TermQuery("word", "a"), EVERYTHING)
            assert [{name: value for name, value, _ in columns} for _, columns in found.rows] == [{"word": "a"}]
        # What waits is not lost, and an engine without delay does not wait for it.
        with Tablestore(tmp_path) as service:
            assert Table.ids(_open(ots_client(service)), MatchAllQuery()) == []

    def test_two_processes(self, tmp_path):
        """A vector that another process has written is found, though this one keeps the vectors in memory."""
        with Tablestore(tmp_path) as service, Tablestore(tmp_path) as other:
            table = Table(ots_client(service))
            table.put(1, vector=[1, 0])
            assert table.scores(KnnVectorQuery("vector", 5, [1.0, 0.0])) == {1: 1.0}
            writer = _open(ots_client(other))
            writer.put(1, vector=[0, 1])
            writer.put(2, vector=[1, 0])
            assert table.scores(KnnVectorQuery("vector", 5, [1.0, 0.0])) == {2: 1.0, 1: 0.5}
            ots_client(other).delete_search_index("t", "i")
            with refused("OTSMetaNotMatch"):
                table.ids(MatchAllQuery())


def _open(client):
    table = Table.__new__(Table)
    table.client, table.name = client, "t"
    return table


_WRITER = """
import sys
from pathlib import Path
from tablestore import Row
from langchain_tablestore_memory.local import Tablestore, ots_client
client = ots_client(Tablestore(Path(sys.argv[1])))
print("ready", flush=True)
for number in range(int(sys.argv[2]), 1 << 30):
    row = Row([("id", number % 50)], [("word", str(number)), ("text", f"word{number} same"), ("vector", f"[{number}, 1]")])
    client.put_row("t", row)
    if number % 3 == 0:
        client.delete_row("t", Row([("id", (number * 7) % 50)]), None)
"""


@pytest.mark.slow
def test_killed_while_writing(tmp_path):
    with Tablestore(tmp_path) as service:
        Table(ots_client(service))
    for attempt in range(20):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _WRITER, str(tmp_path), str(attempt * 1000)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02 + attempt * 0.004)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with Tablestore(tmp_path) as service:
            table = _open(ots_client(service))
            rows = {
                key[0][1]: {name: value for name, value, _ in columns}
                for key, columns in table.search(MatchAllQuery(), EVERYTHING, limit=100).rows
            }
            stored = {}
            for number in range(50):
                found = table.client.get_row("t", [("id", number)])[1]
                if found is not None:
                    stored[number] = {name: value for name, value, _ in found.attribute_columns}
            assert rows == stored
            assert table.ids(MatchQuery("text", "same")) == sorted(stored)
            assert sorted(table.scores(KnnVectorQuery("vector", 100, [1.0, 1.0]))) == sorted(stored)
            for number, columns in stored.items():
                assert table.ids(TermQuery("word", columns["word"])) == [number]
                assert table.ids(MatchQuery("text", "word" + columns["word"])) == [number]


class TestUnsupported:
    @pytest.mark.parametrize(
        ("query", "options", "name"),
        [
            (NestedQuery("a", MatchAllQuery()), {}, "NestedQuery"),
            (GeoDistanceQuery("word", "1,1", 5), {}, "GeoDistanceQuery"),
            (BoolQuery(filter_queries=[GeoDistanceQuery("word", "1,1", 5)]), {}, "GeoDistanceQuery"),
            (MatchAllQuery(), {"group_bys": [GroupByField("word")]}, "group-by"),
        ],
    )
    def test_is_named(self, table, query, options, name):
        with refused(containing=name):
            table.search(query, **options)

    def test_scores_are_nan_unless_sorted_by(self, table):
        table.put(1, text="tea")
        assert math.isnan(table.search(MatchQuery("text", "tea")).search_hits[0].score)
        assert table.search(MatchQuery("text", "tea"), sort=BY_SCORE).search_hits[0].score > 0
