"""Local transactions: one partition key, seen by nobody until committed."""

from __future__ import annotations

import re
import threading
import time

import pytest
from tablestore import INF_MAX, INF_MIN, Condition, OTSServiceError, SecondaryIndexMeta, SecondaryIndexType
from tablestore.protobuf import table_store_pb2 as pb

from . import plain
from .plain import Cell
from .support import (
    INVALID,
    accept,
    allow,
    create,
    delete,
    delete_item,
    every,
    get,
    page,
    put,
    put_item,
    refuse,
    service_error,
    update,
    update_item,
    values,
    write,
    write_results,
)

KEY = [("p", "STRING"), ("n", "INTEGER")]
NO_SESSION = ("OTSSessionNotExist", "Session not exist or may be timeout.")


def key(p="a", n=1):
    return [("p", p), ("n", n)]


@pytest.fixture
def table(client):
    create(client, key=KEY)
    put(client, "t", key(), {"x": 0})
    return client


@pytest.fixture
def begin(table):
    def start(p="a"):
        return table.start_local_transaction("t", [("p", p)])

    return start


class TestVisibility:
    def test_writes_appear_at_commit(self, table, begin):
        tx = begin()
        put(table, "t", key(n=2), {"x": 2}, transaction_id=tx)
        update(table, "t", key(), {"put": [("x", 1)]}, transaction_id=tx)
        assert get(table, "t", key(n=2)) is None
        assert get(table, "t", key()) == {"x": 0}
        table.commit_transaction(tx)
        assert get(table, "t", key(n=2)) == {"x": 2}
        assert get(table, "t", key()) == {"x": 1}

    def test_abort_forgets_everything(self, table, begin):
        tx = begin()
        put(table, "t", key(n=2), {"x": 2}, transaction_id=tx)
        update(table, "t", key(), {"put": [("x", 1)]}, transaction_id=tx)
        delete(table, "t", key(), transaction_id=tx)
        table.abort_transaction(tx)
        assert get(table, "t", key()) == {"x": 0}
        assert get(table, "t", key(n=2)) is None

    def test_its_own_reads_see_its_writes(self, table, begin):
        tx = begin()
        put(table, "t", key(n=2), {"x": 2}, transaction_id=tx)
        delete(table, "t", key(), transaction_id=tx)
        assert values(table.get_row("t", key(n=2), transaction_id=tx)[1]) == {"x": 2}
        assert table.get_row("t", key(), transaction_id=tx)[1] is None
        low, high = [("p", "a"), ("n", INF_MIN)], [("p", "a"), ("n", INF_MAX)]
        assert page(table, "t", low, high, transaction_id=tx).keys == [("a", 2)]
        assert page(table, "t", low, high).keys == [("a", 1)]
        table.commit_transaction(tx)
        assert page(table, "t", low, high).keys == [("a", 2)]

    def test_conditions_see_its_writes(self, table, begin):
        tx = begin()
        put(table, "t", key(n=2), {"x": 2}, Condition("EXPECT_NOT_EXIST"), transaction_id=tx)
        with service_error("OTSConditionCheckFail"):
            put(table, "t", key(n=2), {"x": 3}, Condition("EXPECT_NOT_EXIST"), transaction_id=tx)
        table.commit_transaction(tx)
        assert get(table, "t", key(n=2)) == {"x": 2}

    def test_increments_add_up(self, table, begin):
        tx = begin()
        for _ in range(3):
            update(table, "t", key(), {"increment": [("x", 1)]}, transaction_id=tx)
        table.commit_transaction(tx)
        assert get(table, "t", key()) == {"x": 3}

    def test_batches(self, table, begin):
        tx = begin()
        answer = write(
            table,
            {
                "t": [
                    put_item(key(n=2), {"x": 2}),
                    update_item(key(n=3), {"put": [("x", 3)]}),
                    delete_item(key(n=1)),
                ]
            },
            tx,
        )
        assert answer.is_all_succeed()
        assert every(table, "t", "pn").keys == [("a", 1)]
        table.commit_transaction(tx)
        assert every(table, "t", "pn").keys == [("a", 2), ("a", 3)]

    def test_indexes_follow_at_commit(self, client):
        local = SecondaryIndexMeta("i", ["p", "x"], [], SecondaryIndexType.LOCAL_INDEX)
        create(client, key=KEY, defined=[("x", "INTEGER")], indexes=[local])
        tx = client.start_local_transaction("t", [("p", "a")])
        put(client, "t", key(), {"x": 5}, transaction_id=tx)
        assert every(client, "i", "pxn").keys == []
        client.commit_transaction(tx)
        assert every(client, "i", "pxn").keys == [("a", 5, 1)]


class TestLock:
    def test_a_write_without_the_id_is_refused(self, table, begin):
        tx = begin()
        message = "Transaction timeout because cannot acquire exclusive lock."
        for call in (
            lambda: put(table, "t", key(), {"x": 9}),
            lambda: update(table, "t", key(n=5), {"put": [("x", 9)]}),
            lambda: delete(table, "t", key()),
        ):
            with service_error("OTSRowOperationConflict", message):
                call()
        table.commit_transaction(tx)
        assert get(table, "t", key()) == {"x": 0}
        put(table, "t", key(), {"x": 9})

    def test_a_batch_without_the_id_fails_that_row(self, table, begin):
        tx = begin()
        try:
            answer = write(table, {"t": [put_item(key(), {"x": 9}), put_item(key("b"), {"x": 9})]})
        except OTSServiceError as error:
            allow(error, "OTSRowOperationConflict")
        else:
            locked, free = write_results(answer)
            assert (locked.is_ok, locked.error_code, free.is_ok) == (False, "OTSRowOperationConflict", True)
        table.commit_transaction(tx)
        assert get(table, "t", key()) == {"x": 0}

    def test_a_second_start_is_refused(self, table, begin):
        tx = begin()
        message = re.compile(r"Data is being modified by the other request\.|Failed to lock txn key: .*")
        with service_error("OTSRowOperationConflict", message):
            begin()
        table.abort_transaction(tx)
        table.abort_transaction(begin())

    def test_other_keys_and_tables_are_free(self, table, begin):
        create(table, "other", KEY)
        first, second = begin("a"), begin("b")
        put(table, "t", key("c"), {"x": 1})
        put(table, "other", key("a"), {"x": 1})
        put(table, "t", key("b"), {"x": 2}, transaction_id=second)
        table.commit_transaction(first)
        table.commit_transaction(second)
        assert get(table, "t", key("b")) == {"x": 2}

    def test_reads_are_free(self, table, begin):
        tx = begin()
        put(table, "t", key(), {"x": 1}, transaction_id=tx)
        started = time.monotonic()
        assert get(table, "t", key()) == {"x": 0}
        assert every(table, "t", "pn").keys == [("a", 1)]
        assert time.monotonic() - started < 2
        table.abort_transaction(tx)

    def test_two_threads_count_without_loss(self, table):
        def count():
            done = 0
            while done < 10:
                try:
                    tx = table.start_local_transaction("t", [("p", "a")])
                except OTSServiceError as error:
                    allow(error, "OTSRowOperationConflict")
                    time.sleep(0.002)
                    continue
                found = values(table.get_row("t", key(), transaction_id=tx)[1])["x"]
                put(table, "t", key(), {"x": found + 1}, transaction_id=tx)
                table.commit_transaction(tx)
                done += 1

        threads = [threading.Thread(target=count) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert get(table, "t", key()) == {"x": 20}


class TestScope:
    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda client, tx: put(client, "t", key("b"), {"x": 1}, transaction_id=tx), id="PutRow"),
            pytest.param(
                lambda client, tx: update(client, "t", key("b"), {"put": [("x", 1)]}, transaction_id=tx),
                id="UpdateRow",
            ),
            pytest.param(lambda client, tx: delete(client, "t", key("b"), transaction_id=tx), id="DeleteRow"),
            pytest.param(lambda client, tx: client.get_row("t", key("b"), transaction_id=tx), id="GetRow"),
        ],
    )
    def test_another_partition_key(self, table, begin, call):
        tx = begin()
        with service_error("OTSDataOutOfRange"):
            call(table, tx)
        table.commit_transaction(tx)
        assert get(table, "t", key("b")) is None

    def test_a_range_over_other_partition_keys(self, table, begin):
        tx = begin()
        with service_error("OTSDataOutOfRange"):
            page(table, "t", [("p", "a"), ("n", INF_MIN)], [("p", "b"), ("n", INF_MAX)], transaction_id=tx)
        table.abort_transaction(tx)

    def test_more_than_the_partition_key(self, table):
        with service_error(INVALID, "StartLocalTransaction support only one primary key."):
            table.start_local_transaction("t", key())

    def test_a_missing_table(self, client):
        with pytest.raises(OTSServiceError):
            client.start_local_transaction("t", [("p", "a")])

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("no", "a", "Validate PK name fail. Input: no, Meta: p."),
            ("p", 1, "Validate PK type fail. Input: VT_INTEGER, Meta: VT_STRING."),
        ],
    )
    def test_a_malformed_key(self, table, name, value, message):
        with service_error("OTSInvalidPK", message):
            table.start_local_transaction("t", [(name, value)])

    def test_too_much_data(self, table, begin):
        tx = begin()
        with service_error("OTSOutOfTransactionDataSizeLimit"):
            for number in range(5):
                put(table, "t", key(n=number), {"x": "v" * 1_000_000}, transaction_id=tx)
        table.abort_transaction(tx)
        assert get(table, "t", key()) == {"x": 0}


class TestEnd:
    @pytest.mark.parametrize("first", ["commit_transaction", "abort_transaction"])
    @pytest.mark.parametrize("second", ["commit_transaction", "abort_transaction"])
    def test_happens_once(self, table, begin, first, second):
        tx = begin()
        getattr(table, first)(tx)
        with service_error(*NO_SESSION):
            getattr(table, second)(tx)

    def test_then_the_id_is_of_no_use(self, table, begin):
        tx = begin()
        table.commit_transaction(tx)
        for call in (
            lambda: put(table, "t", key(), {"x": 1}, transaction_id=tx),
            lambda: table.get_row("t", key(), transaction_id=tx),
        ):
            with service_error(*NO_SESSION):
                call()
        assert get(table, "t", key()) == {"x": 0}

    @pytest.mark.parametrize("bad", ["x", "not a transaction", "0" * 200, "中文"])
    @pytest.mark.parametrize("api", ["CommitTransaction", "AbortTransaction"])
    def test_a_malformed_id(self, client, api, bad):
        message = pb.CommitTransactionRequest if api == "CommitTransaction" else pb.AbortTransactionRequest
        refuse(client, api, message(transaction_id=bad), "TransactionID is invalid.")

    def test_a_malformed_id_on_a_write(self, table):
        with service_error(INVALID, "TransactionID is invalid."):
            put(table, "t", key(), {"x": 1}, transaction_id="bad")
        assert get(table, "t", key()) == {"x": 0}

    def test_deleting_the_table_ends_it(self, table, begin):
        tx = begin()
        put(table, "t", key(), {"x": 1}, transaction_id=tx)
        table.delete_table("t")
        create(table, key=KEY)
        with pytest.raises(OTSServiceError):
            table.commit_transaction(tx)
        assert every(table, "t", "pn").rows == []


def test_start_answers_with_an_id(table):
    body = pb.StartLocalTransactionRequest(table_name="t", key=plain.row([Cell("p", "a")]))
    answer = pb.StartLocalTransactionResponse.FromString(accept(table, "StartLocalTransaction", body))
    assert answer.transaction_id
    table.abort_transaction(answer.transaction_id)
