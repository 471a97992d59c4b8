"""BatchWriteRow and BatchGetRow: order, results per row, and what fails the whole request."""

from __future__ import annotations

import re

import pytest
from tablestore import (
    BatchGetRowRequest,
    Condition,
    ReturnType,
    SingleColumnCondition,
    TableInBatchGetRowItem,
)
from tablestore.protobuf import table_store_pb2 as pb

from . import plain
from .plain import Cell
from .support import (
    ANY,
    CONDITION_FAILED,
    EXPECT_EXIST,
    EXPECT_NOT_EXIST,
    INVALID,
    accept,
    create,
    delete_item,
    every,
    get,
    put,
    put_item,
    read,
    refuse,
    service_error,
    update_item,
    values,
    write,
    write_results,
)


class TestWrite:
    def test_puts_updates_and_deletes(self, client):
        create(client)
        put(client, "t", "u", {"x": 1})
        put(client, "t", "d", {"x": 1})
        answer = write(
            client,
            {"t": [put_item("p", {"x": 1}), update_item("u", {"put": [("y", 2)]}), delete_item("d")]},
        )
        assert answer.is_all_succeed()
        assert [row.is_ok for row in write_results(answer)] == [True] * 3
        assert get(client, "t", "p") == {"x": 1}
        assert get(client, "t", "u") == {"x": 1, "y": 2}
        assert get(client, "t", "d") is None

    def test_several_tables(self, client):
        create(client, "a")
        create(client, "b", [("pk", "INTEGER")])
        answer = write(client, {"b": [put_item(1, {"x": 1})], "a": [put_item("k", {"y": 2})]})
        assert list(answer.table_of_put) == ["b", "a"]
        assert get(client, "a", "k") == {"y": 2}
        assert get(client, "b", 1) == {"x": 1}

    def test_each_row_is_on_its_own(self, client):
        create(client)
        put(client, "t", "b", {"x": 0})
        answer = write(
            client,
            {
                "t": [
                    put_item("a", {"x": 1}, EXPECT_NOT_EXIST),
                    put_item("b", {"x": 1}, EXPECT_NOT_EXIST),
                    update_item("c", {"put": [("x", 1)]}, EXPECT_EXIST),
                    delete_item("d", EXPECT_EXIST),
                    put_item("e", {"x": 1}, Condition("IGNORE", SingleColumnCondition("x", 1, 0, False))),
                    put_item("f", {"x": 1}),
                ]
            },
        )
        results = write_results(answer)
        assert [row.is_ok for row in results] == [True, False, False, False, False, True]
        for row in results[1:5]:
            assert (row.error_code, row.error_message) == CONDITION_FAILED
        assert every(client, "t").keys == ["a", "b", "f"]
        assert get(client, "t", "b") == {"x": 0}

    def test_a_wrong_key_fails_its_row_only(self, client):
        create(client, key=[("PK1", "STRING"), ("PK2", "INTEGER")])
        good = [("PK1", "a"), ("PK2", 1)]
        answer = write(
            client,
            {
                "t": [
                    put_item(good, {"x": 1}),
                    put_item([("PK1", "a")], {"x": 1}),
                    update_item([("PK2", 1), ("PK1", "a")], {"put": [("x", 1)]}),
                    delete_item([("PK1", 1), ("PK2", 1)]),
                ]
            },
        )
        results = write_results(answer)
        assert [row.is_ok for row in results] == [True, False, False, False]
        assert {row.error_code for row in results[1:]} == {"OTSInvalidPK"}
        assert [row.error_message for row in results[1:]] == [
            "Validate PK size fail. Input: 1, Meta: 2.",
            "Validate PK name fail. Input: PK2, Meta: PK1.",
            "Validate PK type fail. Input: VT_INTEGER, Meta: VT_STRING.",
        ]
        assert get(client, "t", good) == {"x": 1}

    @pytest.mark.parametrize(
        "bad",
        [
            pytest.param(put_item("b", {"#x": 1}), id="column-name"),
            pytest.param(put_item("b" * 1025, {"x": 1}), id="key-length"),
            pytest.param(put_item("b", {"x": "v" * (2 * 1024 * 1024 + 1)}), id="value-length"),
            pytest.param(update_item("b", {}), id="update-of-nothing"),
        ],
    )
    def test_a_wrong_parameter_fails_the_request(self, client, bad):
        create(client)
        with service_error(INVALID):
            write(client, {"t": [put_item("a", {"x": 1}), bad]})
        assert every(client, "t").rows == []

    def test_a_missing_table_fails_the_request(self, client):
        create(client)
        with service_error("OTSObjectNotExist", "Requested table does not exist."):
            write(client, {"t": [put_item("a", {"x": 1})], "no": [put_item("a", {"x": 1})]})
        assert every(client, "t").rows == []

    def test_returns_keys_where_asked(self, client):
        create(client, key=[("a", "STRING"), ("b", "INTEGER")])
        key = [("a", "k"), ("b", 1)]
        answer = write(
            client,
            {
                "t": [
                    put_item(key, {"x": 1}, return_type=ReturnType.RT_PK),
                    put_item([("a", "k"), ("b", 2)], {"x": 1}),
                    update_item([("a", "k"), ("b", 3)], {"put": [("x", 1)]}, return_type=ReturnType.RT_PK),
                    delete_item([("a", "k"), ("b", 4)], return_type=ReturnType.RT_PK),
                ]
            },
        )
        keys = [row.row.primary_key for row in write_results(answer)]
        assert [list(map(tuple, found)) if found else None for found in keys] == [
            key,
            None,
            [("a", "k"), ("b", 3)],
            [("a", "k"), ("b", 4)],
        ]

    def test_no_rows(self, client):
        create(client)
        with service_error(INVALID, "No row is specified in BatchWriteRow."):
            write(client, {})

    def test_a_table_without_rows(self, client):
        create(client)
        create(client, "u")
        with service_error(INVALID, "No operation is specified for table: 't'."):
            write(client, {"u": [put_item("a", {"x": 1})], "t": []})
        assert every(client, "u").rows == []

    def test_a_table_named_twice(self, client):
        create(client)
        row = pb.RowInBatchWriteRowRequest(
            type=pb.PUT,
            row_change=plain.row([Cell("pk", "a")], [Cell("x", 1)]),
            condition=pb.Condition(row_existence=pb.IGNORE),
        )
        table = pb.TableInBatchWriteRowRequest(table_name="t", rows=[row])
        message = re.compile(r"Duplicated table name: '?t'?\.")
        refuse(client, "BatchWriteRow", pb.BatchWriteRowRequest(tables=[table, table]), message)
        assert every(client, "t").rows == []

    def test_an_unknown_type_of_row(self, client):
        create(client)
        row = pb.RowInBatchWriteRowRequest(
            type=pb.DELETE,
            row_change=plain.row([Cell("pk", "a")], [Cell("x", 1)]),
            condition=pb.Condition(row_existence=pb.IGNORE),
        )
        body = pb.BatchWriteRowRequest(
            tables=[pb.TableInBatchWriteRowRequest(table_name="t", rows=[row])]
        ).SerializeToString()
        unknown = body.replace(b"\x08\x03\x12", b"\x08\x09\x12", 1)
        assert unknown != body
        refuse(client, "BatchWriteRow", unknown, ANY)
        assert every(client, "t").rows == []

    def test_writes_of_an_index_table(self, client):
        from tablestore import SecondaryIndexMeta

        create(client, defined=[("a", "STRING")], indexes=[SecondaryIndexMeta("i", ["a"], [])])
        with service_error(INVALID, re.compile(r"Can't write index table directly\.?")):
            write(client, {"i": [put_item([("a", "v"), ("pk", "k")], {"x": 1})]})


class TestRepeatedRows:
    def test_the_last_put_wins(self, client):
        create(client)
        assert write(client, {"t": [put_item("a", {"x": n}) for n in range(10)]}).is_all_succeed()
        assert get(client, "t", "a") == {"x": 9}

    def test_updates_merge(self, client):
        create(client)
        items = [update_item("a", {"put": [(f"c{n}", n)]}) for n in range(10)]
        assert write(client, {"t": items}).is_all_succeed()
        assert get(client, "t", "a") == {f"c{n}": n for n in range(10)}

    def test_the_last_update_of_a_column_wins(self, client):
        create(client)
        assert write(client, {"t": [update_item("a", {"put": [("x", n)]}) for n in range(10)]}).is_all_succeed()
        assert get(client, "t", "a") == {"x": 9}

    @pytest.mark.parametrize(
        "item",
        [put_item("a", {"x": 1}, EXPECT_EXIST), put_item("a", {"x": 1}, EXPECT_NOT_EXIST)],
        ids=["expect-exist", "expect-not-exist"],
    )
    def test_with_an_expectation(self, client, item):
        create(client)
        message = "Repeated rows do not support row exist expectation check in BatchModify."
        with service_error(INVALID, message):
            write(client, {"t": [put_item("a", {"x": 0}), item]})
        assert get(client, "t", "a") is None

    def test_with_a_condition(self, client):
        create(client)
        item = put_item("a", {"x": 1}, Condition("IGNORE", SingleColumnCondition("x", 1, 0)))
        with service_error(INVALID, "Repeated rows do not support row condition check in BatchModify."):
            write(client, {"t": [item, put_item("a", {"x": 0})]})
        assert get(client, "t", "a") is None

    def test_with_an_increment(self, client):
        create(client)
        increment = update_item("a", {"increment": [("n", 1)]})
        with service_error(INVALID):
            write(client, {"t": [increment, put_item("a", {"n": 5})]})
        with service_error(INVALID):
            write(client, {"t": [increment, increment]})
        assert get(client, "t", "a") is None
        assert write(client, {"t": [increment, put_item("b", {"n": 5})]}).is_all_succeed()
        assert get(client, "t", "a") == {"n": 1}


class TestRead:
    def test_keeps_the_order_of_keys(self, client):
        create(client)
        for key in "abc":
            put(client, "t", key, {"x": key})
        found = read(client, "t", ["c", "a", "no", "b"])
        assert [values(item.row) for item in found] == [{"x": "c"}, {"x": "a"}, None, {"x": "b"}]
        assert [item.is_ok for item in found] == [True] * 4

    def test_several_tables(self, client):
        create(client, "a")
        create(client, "b", [("pk", "INTEGER")])
        put(client, "a", "k", {"x": 1})
        put(client, "b", 1, {"y": 2})
        request = BatchGetRowRequest()
        request.add(TableInBatchGetRowItem("b", [[("pk", 1)]], max_version=1))
        request.add(TableInBatchGetRowItem("a", [[("pk", "k")]], max_version=1, columns_to_get=["x"]))
        answer = client.batch_get_row(request)
        assert list(answer.items) == ["b", "a"]
        assert values(answer.get_result_by_table("b")[0].row) == {"y": 2}
        assert values(answer.get_result_by_table("a")[0].row) == {"x": 1}
        assert answer.is_all_succeed()

    def test_the_same_key_twice(self, client):
        create(client)
        put(client, "t", "a", {"x": 1})
        assert [values(item.row) for item in read(client, "t", ["a", "a"])] == [{"x": 1}] * 2

    def test_a_filter_applies_to_each_row(self, client):
        create(client)
        for number in range(4):
            put(client, "t", f"k{number}", {"x": number})
        found = read(
            client,
            "t",
            [f"k{number}" for number in range(5)],
            column_filter=SingleColumnCondition("x", 2, 3, pass_if_missing=False),
        )
        assert [values(item.row) for item in found] == [None, None, {"x": 2}, {"x": 3}, None]

    def test_a_wrong_key_fails_its_row_only(self, client):
        create(client)
        put(client, "t", "a", {"x": 1})
        found = read(client, "t", ["a", [("pk", 1)], [("no", "a")], [("pk", "a"), ("b", 1)]])
        assert [item.is_ok for item in found] == [True, False, False, False]
        assert [(item.error_code, item.error_message) for item in found[1:]] == [
            ("OTSInvalidPK", "Validate PK type fail. Input: VT_INTEGER, Meta: VT_STRING."),
            ("OTSInvalidPK", "Validate PK name fail. Input: no, Meta: pk."),
            ("OTSInvalidPK", "Validate PK size fail. Input: 2, Meta: 1."),
        ]
        assert values(found[0].row) == {"x": 1}

    def test_no_tables(self, client):
        with service_error(INVALID, "No row specified in the request of BatchGetRow."):
            client.batch_get_row(BatchGetRowRequest())

    def test_a_table_without_keys_beside_another(self, client):
        create(client)
        create(client, "u")
        put(client, "t", "a", {"x": 1})
        request = BatchGetRowRequest()
        request.add(TableInBatchGetRowItem("u", [], max_version=1))
        request.add(TableInBatchGetRowItem("t", [[("pk", "a")]], max_version=1))
        answer = client.batch_get_row(request)
        assert values(answer.get_result_by_table("t")[0].row) == {"x": 1}
        assert not answer.get_result_by_table("u")

    def test_a_missing_table_fails_the_request(self, client):
        create(client)
        put(client, "t", "a", {"x": 1})
        request = BatchGetRowRequest()
        request.add(TableInBatchGetRowItem("t", [[("pk", "a")]], max_version=1))
        request.add(TableInBatchGetRowItem("no", [[("pk", "a")]], max_version=1))
        with service_error(INVALID):
            client.batch_get_row(request)

    def test_a_table_named_twice(self, client):
        create(client)
        table = pb.TableInBatchGetRowRequest(table_name="t", primary_key=[plain.row([Cell("pk", "a")])], max_versions=1)
        message = re.compile(r"Duplicated table name: '?t'?\.")
        refuse(client, "BatchGetRow", pb.BatchGetRowRequest(tables=[table, table]), message)

    def test_repeats_the_requests_shape(self, client):
        """The SDK matches answers to the request by position, so failed and absent rows keep their places."""
        create(client)
        request = pb.BatchGetRowRequest(
            tables=[
                pb.TableInBatchGetRowRequest(
                    table_name="t",
                    primary_key=[plain.row([Cell("pk", k)]) for k in ("a", "b")],
                    max_versions=1,
                )
            ]
        )
        answer = pb.BatchGetRowResponse.FromString(accept(client, "BatchGetRow", request))
        assert [table.table_name for table in answer.tables] == ["t"]
        assert [(row.is_ok, row.row) for row in answer.tables[0].rows] == [(True, b"")] * 2
