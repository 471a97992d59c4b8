"""The index follows every kind of write, at once or after the delay that was asked for."""

from __future__ import annotations

import time

import pytest
from tablestore import (
    BatchWriteRowRequest,
    DeleteRowItem,
    FieldSchema,
    FieldType,
    MatchAllQuery,
    MatchQuery,
    NoRetryPolicy,
    PutRowItem,
    Row,
    TableInBatchWriteRowItem,
    TermQuery,
    UpdateRowItem,
)

from langchain_tablestore_memory.local import Tablestore, ots_client

from .support import IGNORE, Table, text_field

FIELDS = [FieldSchema("k", FieldType.KEYWORD), FieldSchema("ks", FieldType.KEYWORD, is_array=True), text_field("text")]


def found(table, word):
    return (
        table.keys(TermQuery("k", word)),
        table.keys(TermQuery("ks", word)),
        table.keys(MatchQuery("text", word)),
    )


def cells(word):
    return {"k": word, "ks": [word, "x"], "text": f"{word} here"}


@pytest.fixture
def table(client):
    return Table(client, FIELDS)


class TestWrites:
    def test_rows_that_were_there_before(self, client):
        table = Table(client, FIELDS, rows={1: cells("old"), 2: cells("new")})
        assert found(table, "old") == ([1],) * 3
        assert table.keys(MatchAllQuery()) == [1, 2]

    def test_put_replaces(self, table):
        table.put(1, **cells("old"))
        table.put(1, **cells("new"))
        assert found(table, "old") == ([],) * 3
        assert found(table, "new") == ([1],) * 3
        table.put(1)
        assert found(table, "new") == ([],) * 3
        assert table.keys(MatchAllQuery()) == [1]

    def test_update(self, table):
        table.put(1, **cells("old"))
        table.update(1, put=[("k", "new")], delete_all=["text"])
        assert found(table, "new") == ([1], [], [])
        assert found(table, "old") == ([], [1], [])
        table.update(2, put=[("k", "new")])
        assert found(table, "new") == ([1, 2], [], [])

    def test_delete(self, table):
        table.put(1, **cells("old"))
        table.delete(1)
        assert found(table, "old") == ([],) * 3
        assert table.keys(MatchAllQuery()) == []

    def test_batch(self, table):
        table.put_many({1: cells("old"), 2: cells("old"), 3: cells("old")})
        request = BatchWriteRowRequest()
        items = [
            PutRowItem(Row([("pk", 4)], [("k", "new")]), IGNORE),
            UpdateRowItem(Row([("pk", 2)], {"put": [("k", "new")]}), IGNORE),
            DeleteRowItem(Row([("pk", 1)]), IGNORE),
        ]
        request.add(TableInBatchWriteRowItem("t", items))
        assert table.client.batch_write_row(request).is_all_succeed()
        assert found(table, "new") == ([2, 4], [], [])
        assert found(table, "old") == ([3], [2, 3], [2, 3])

    def test_transaction(self, table):
        for end, expected in (("abort_transaction", []), ("commit_transaction", [1])):
            transaction = table.client.start_local_transaction("t", [("pk", 1)])
            table.client.put_row("t", Row([("pk", 1)], [("k", "new")]), IGNORE, transaction_id=transaction)
            assert found(table, "new")[0] == []
            getattr(table.client, end)(transaction)
            assert found(table, "new")[0] == expected

    def test_all_indexes_of_a_table(self, table):
        table.index = "j"
        table.create_index(FIELDS[:1])
        table.put(1, **cells("new"))
        for index in ("i", "j"):
            table.index = index
            assert table.keys(TermQuery("k", "new")) == [1]


class TestDelay:
    def test_a_write_is_found_late(self):
        service = Tablestore(None, index_delay=0.4)
        table = Table(ots_client(service, retry_policy=NoRetryPolicy()), FIELDS)
        begin = time.monotonic()
        table.put(1, **cells("new"))
        early = found(table, "new")
        if time.monotonic() - begin < 0.4:
            assert early == ([],) * 3
        time.sleep(max(0.0, begin + 0.5 - time.monotonic()))
        assert found(table, "new") == ([1],) * 3
        table.delete(1)
        time.sleep(0.5)
        assert table.keys(MatchAllQuery()) == []
        service.close()

    def test_the_index_says_how_far_it_is(self):
        """Also where something is due by now and something else is not."""
        with Tablestore(None, index_delay=0.4) as service:
            table = Table(ots_client(service, retry_policy=NoRetryPolicy()), FIELDS)

            def caught_up(moment):
                _, state = table.client.describe_search_index("t", "i")
                return state.current_sync_timestamp >= moment

            assert caught_up(time.time_ns() - 10**9)
            table.put(1, **cells("new"))
            time.sleep(0.45)
            before = time.time()
            table.put(2, **cells("new"))
            after = time.time_ns() + 10**6
            # Nobody has searched in between.
            early = caught_up(after)
            if time.time() < before + 0.4:
                assert not early
            while not caught_up(after):
                time.sleep(0.01)
            assert found(table, "new") == ([1, 2],) * 3

    def test_what_is_late_survives_reopening(self, tmp_path):
        service = Tablestore(tmp_path, index_delay=0.3)
        table = Table(ots_client(service, retry_policy=NoRetryPolicy()), FIELDS)
        table.put(1, **cells("new"))
        service.close()
        time.sleep(0.35)
        service = Tablestore(tmp_path)
        table.client = ots_client(service, retry_policy=NoRetryPolicy())
        assert found(table, "new") == ([1],) * 3
        service.close()
