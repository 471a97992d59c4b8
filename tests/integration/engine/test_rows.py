"""PutRow, UpdateRow, DeleteRow, GetRow: what they do, and which requests they refuse."""

from __future__ import annotations

import re
import time

import pytest
from tablestore import INF_MAX, INF_MIN, ReturnType
from tablestore.plainbuffer.plain_buffer_coded_stream import PlainBufferCodedInputStream
from tablestore.plainbuffer.plain_buffer_stream import PlainBufferInputStream
from tablestore.protobuf import table_store_pb2 as pb

from . import plain
from .plain import Cell
from .support import (
    ANY,
    EXPECT_EXIST,
    EXPECT_NOT_EXIST,
    IGNORE,
    INVALID,
    NO_TABLE,
    accept,
    cells,
    create,
    delete,
    every,
    fetch,
    get,
    page,
    put,
    raw_delete,
    raw_get,
    raw_put,
    raw_range,
    raw_update,
    refuse,
    send,
    service_error,
    update,
    values,
)

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
TWO_KEYS = [("PK1", "STRING"), ("PK2", "INTEGER")]


class TestMissingTable:
    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda client: put(client, "t", "a", {"x": 1}), id="PutRow"),
            pytest.param(lambda client: update(client, "t", "a", {"put": [("x", 1)]}), id="UpdateRow"),
            pytest.param(lambda client: delete(client, "t", "a"), id="DeleteRow"),
        ],
    )
    def test_write(self, client, call):
        with service_error("OTSObjectNotExist", NO_TABLE):
            call(client)

    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda client: get(client, "t", "a"), id="GetRow"),
            pytest.param(lambda client: every(client, "t"), id="GetRange"),
        ],
    )
    def test_read(self, client, call):
        with service_error(INVALID, re.compile(r"Request table not exist\.?")):
            call(client)


class TestKeyCheck:
    """The key is checked by size, then name, then type, position by position."""

    CASES = (
        pytest.param([("PK1", "a")], "Validate PK size fail. Input: 1, Meta: 2.", id="too-few"),
        pytest.param(
            [("PK1", "a"), ("PK2", 1), ("PK3", 1)], "Validate PK size fail. Input: 3, Meta: 2.", id="too-many"
        ),
        pytest.param([("no", 1)], "Validate PK size fail. Input: 1, Meta: 2.", id="size-before-name-and-type"),
        pytest.param([("PK2", 1), ("PK1", "a")], "Validate PK name fail. Input: PK2, Meta: PK1.", id="other-order"),
        pytest.param([("PK1", "a"), ("no", 1)], "Validate PK name fail. Input: no, Meta: PK2.", id="second-name"),
        pytest.param([("no", 1), ("PK2", 1)], "Validate PK name fail. Input: no, Meta: PK1.", id="name-before-type"),
        pytest.param([("pk1", "a"), ("PK2", 1)], "Validate PK name fail. Input: pk1, Meta: PK1.", id="case"),
        pytest.param(
            [("PK1", 1), ("PK2", 1)],
            "Validate PK type fail. Input: VT_INTEGER, Meta: VT_STRING.",
            id="integer",
        ),
        pytest.param(
            [("PK1", "a"), ("PK2", "1")],
            "Validate PK type fail. Input: VT_STRING, Meta: VT_INTEGER.",
            id="string",
        ),
        pytest.param(
            [("PK1", bytearray(b"a")), ("PK2", 1)],
            "Validate PK type fail. Input: VT_BLOB, Meta: VT_STRING.",
            id="binary",
        ),
    )

    @pytest.mark.parametrize(("key", "message"), CASES)
    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda client, key: put(client, "t", key, {"x": 1}), id="PutRow"),
            pytest.param(lambda client, key: update(client, "t", key, {"put": [("x", 1)]}), id="UpdateRow"),
            pytest.param(lambda client, key: delete(client, "t", key), id="DeleteRow"),
            pytest.param(lambda client, key: get(client, "t", key), id="GetRow"),
        ],
    )
    def test_refuses(self, client, call, key, message):
        create(client, key=TWO_KEYS)
        with service_error("OTSInvalidPK", message):
            call(client, key)
        assert every(client, "t", ["PK1", "PK2"]).rows == []

    @pytest.mark.parametrize("value", [INF_MIN, INF_MAX], ids=["INF_MIN", "INF_MAX"])
    def test_refuses_bounds_as_values(self, client, value):
        create(client)
        name = "VT_INF_MIN" if value is INF_MIN else "VT_INF_MAX"
        for call in (
            lambda: put(client, "t", [("pk", value)], {"x": 1}),
            lambda: get(client, "t", [("pk", value)]),
            lambda: delete(client, "t", [("pk", value)]),
        ):
            with service_error("OTSInvalidPK", f"Validate PK type fail. Input: {name}, Meta: VT_STRING."):
                call()


class TestValues:
    @pytest.mark.parametrize(
        "value",
        [
            0,
            -1,
            INT_MIN,
            INT_MAX,
            0.0,
            -0.5,
            1e308,
            5e-324,
            True,
            False,
            "",
            "text",
            "中文 🎉 \u0000 \n",
            bytearray(b""),
            bytearray(bytes(range(256))),
            "x" * 100_000,
        ],
        ids=lambda value: f"{type(value).__name__}-{str(value)[:12]!r}",
    )
    def test_come_back_as_they_went(self, client, value):
        create(client)
        put(client, "t", "a", {"v": value})
        found = get(client, "t", "a")["v"]
        assert found == value
        assert type(found) is type(value)

    def test_integers_doubles_and_booleans_stay_apart(self, client):
        create(client)
        put(client, "t", "a", {"i": 1, "d": 1.0, "b": True})
        found = get(client, "t", "a")
        assert {name: type(value) for name, value in found.items()} == {"i": int, "d": float, "b": bool}

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            ("STRING", ""),
            ("STRING", "中"),
            ("STRING", "a\x00b"),
            ("INTEGER", 0),
            ("INTEGER", INT_MIN),
            ("INTEGER", INT_MAX),
            ("BINARY", bytearray(b"")),
            ("BINARY", bytearray(b"\x00\xff")),
        ],
        ids=repr,
    )
    def test_keys_come_back_as_they_went(self, client, kind, value):
        create(client, key=[("pk", kind)])
        put(client, "t", value)
        found = fetch(client, "t", value)
        assert list(map(tuple, found.primary_key)) == [("pk", value)]
        assert type(found.primary_key[0][1]) is type(value)

    def test_keys_that_look_alike_are_different(self, client):
        create(client)
        keys = ["a", "A", "a ", " a", "a\x00", "á", "a\u0301", "a%", "a_", "a'"]
        for number, key in enumerate(keys):
            put(client, "t", key, {"n": number})
        assert [get(client, "t", key) for key in keys] == [{"n": number} for number in range(len(keys))]

    def test_cells_come_sorted_by_name_and_carry_a_time(self, client):
        create(client)
        put(client, "t", "a", [("b", 1), ("_", 1), ("a", 1), ("B", 1), ("ab", 1), ("a1", 1)])
        found = cells(fetch(client, "t", "a"))
        assert [name for name, _, _ in found] == ["B", "_", "a", "a1", "ab", "b"]
        assert len({stamp for _, _, stamp in found}) == 1

    def test_column_names_of_any_script(self, client):
        create(client)
        names = ["页码", "a.b", "a:b", "a b", "a'b", 'a"b', "$&*()/\\", "new\nline", "a#"]
        request = raw_put("t", [Cell("pk", "k")], [Cell(name, number) for number, name in enumerate(names)])
        accept(client, "PutRow", request)
        assert get(client, "t", "k") == {name: number for number, name in enumerate(names)}


class TestPut:
    def test_replaces_the_whole_row(self, client):
        create(client)
        put(client, "t", "a", {"x": 1, "y": 2})
        put(client, "t", "a", {"z": 3})
        assert get(client, "t", "a") == {"z": 3}

    @pytest.mark.parametrize("columns", [{}, None], ids=["empty", "none"])
    def test_without_attributes_makes_a_row_of_its_key(self, client, columns):
        create(client)
        put(client, "t", "a", columns)
        found = fetch(client, "t", "a")
        assert list(map(tuple, found.primary_key)) == [("pk", "a")]
        assert cells(found) == []

    def test_without_attributes_clears_the_row(self, client):
        create(client)
        put(client, "t", "a", {"x": 1})
        put(client, "t", "a")
        assert get(client, "t", "a") == {}

    def test_returns_nothing_by_default(self, client):
        create(client)
        assert put(client, "t", "a", {"x": 1})[1] is None

    def test_refuses_an_attribute_named_as_a_key(self, client):
        create(client)
        with service_error(INVALID, "Duplicated attribute column name with primary key column: pk."):
            put(client, "t", "a", {"pk": 1})
        assert get(client, "t", "a") is None


class TestReturnPrimaryKey:
    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda client, key, **o: put(client, "t", key, {"x": 1}, **o), id="PutRow"),
            pytest.param(lambda client, key, **o: update(client, "t", key, {"put": [("x", 1)]}, **o), id="UpdateRow"),
            pytest.param(lambda client, key, **o: delete(client, "t", key, **o), id="DeleteRow"),
        ],
    )
    def test_gives_the_whole_key_and_no_attributes(self, client, call):
        create(client, key=TWO_KEYS)
        key = [("PK1", "a"), ("PK2", 7)]
        _, found = call(client, key, return_type=ReturnType.RT_PK)
        assert list(map(tuple, found.primary_key)) == key
        assert not found.attribute_columns
        _, found = call(client, key, return_type=ReturnType.RT_NONE)
        assert found is None


class TestUpdate:
    def test_merges(self, client):
        create(client)
        put(client, "t", "a", {"x": 1, "y": 2})
        update(client, "t", "a", {"put": [("y", 3), ("z", 4)]})
        assert get(client, "t", "a") == {"x": 1, "y": 3, "z": 4}

    def test_changes_a_columns_type(self, client):
        create(client)
        put(client, "t", "a", {"x": 1})
        update(client, "t", "a", {"put": [("x", "one")]})
        assert get(client, "t", "a") == {"x": "one"}

    def test_creates_an_absent_row(self, client):
        create(client)
        update(client, "t", "a", {"put": [("x", 1)]})
        assert get(client, "t", "a") == {"x": 1}

    @pytest.mark.parametrize("changes", [{"delete_all": ["x"]}, {"delete": [("x", None, 1)]}], ids=["all", "one"])
    def test_that_only_deletes_creates_no_row(self, client, changes):
        create(client)
        update(client, "t", "a", changes)
        assert get(client, "t", "a") is None
        assert every(client, "t").rows == []

    def test_puts_and_deletes_at_once(self, client):
        create(client)
        put(client, "t", "a", {"x": 1, "y": 2, "n": 5})
        update(client, "t", "a", {"put": [("z", 3)], "delete_all": ["x"], "increment": [("n", 2)]})
        assert get(client, "t", "a") == {"y": 2, "z": 3, "n": 7}

    def test_deleting_every_column_keeps_the_row(self, client):
        create(client)
        put(client, "t", "a", {"x": 1, "y": 2})
        update(client, "t", "a", {"delete_all": ["x", "y"]})
        assert get(client, "t", "a") == {}
        assert every(client, "t").keys == ["a"]
        with service_error("OTSConditionCheckFail"):
            put(client, "t", "a", None, EXPECT_NOT_EXIST)

    def test_deleting_an_absent_column_is_fine(self, client):
        create(client)
        put(client, "t", "a", {"x": 1})
        update(client, "t", "a", {"delete_all": ["no"]})
        assert get(client, "t", "a") == {"x": 1}

    def test_deleting_a_column_twice_is_fine(self, client):
        create(client)
        put(client, "t", "a", {"x": 1, "y": 2})
        update(client, "t", "a", {"delete_all": ["x", "x"]})
        assert get(client, "t", "a") == {"y": 2}

    @pytest.mark.parametrize("changes", [{}, {"put": []}], ids=["nothing", "empty-put"])
    def test_refuses_no_change(self, client, changes):
        create(client)
        with service_error(INVALID, "Attribute column is missing."):
            update(client, "t", "a", changes)

    def test_refuses_an_attribute_named_as_a_key(self, client):
        create(client)
        with service_error(INVALID, "Duplicated attribute column name with primary key column: pk."):
            update(client, "t", "a", {"put": [("pk", 1)]})

    @pytest.mark.parametrize(
        ("cell", "message"),
        [
            pytest.param(
                Cell("x", op=plain.DELETE_ONE_VERSION),
                "Timestamp must be given when type is DELETE_ONE_VERSION.",
                id="one-version-without-time",
            ),
            pytest.param(
                Cell("x", op=plain.DELETE_ALL_VERSION, timestamp=1),
                "Timestamp cannot be given when type is DELETE_ALL_VERSION.",
                id="all-versions-with-time",
            ),
            pytest.param(
                Cell("x", 1, op=plain.DELETE_ALL_VERSION),
                "Column value cannot be given when type is DELETE_ONE_VERSION,DELETE_ALL_VERSION.",
                id="all-versions-with-value",
            ),
            pytest.param(
                Cell("x", 1, op=plain.DELETE_ONE_VERSION, timestamp=1),
                "Column value cannot be given when type is DELETE_ONE_VERSION,DELETE_ALL_VERSION.",
                id="one-version-with-value",
            ),
            pytest.param(Cell("x"), "No value is given for column name.", id="no-value"),
            pytest.param(Cell("x", op=plain.INCREMENT), ANY, id="increment-without-value"),
            pytest.param(Cell("x", 1, op=9), ANY, id="unknown-type"),
            pytest.param(Cell(None, 1), ANY, id="no-name"),
        ],
    )
    def test_refuses_a_malformed_cell(self, client, cell, message):
        create(client)
        put(client, "t", "a", {"x": 1})
        refuse(client, "UpdateRow", raw_update("t", [Cell("pk", "a")], [cell]), message)
        assert get(client, "t", "a") == {"x": 1}


class TestIncrement:
    def test_counts_from_zero(self, client):
        create(client)
        update(client, "t", "a", {"increment": [("n", 5)]})
        update(client, "t", "a", {"increment": [("n", -7)]})
        assert get(client, "t", "a") == {"n": -2}

    def test_several_columns(self, client):
        create(client)
        put(client, "t", "a", {"n": 1, "m": 2})
        update(client, "t", "a", {"increment": [("n", 10), ("m", 20), ("o", 30)]})
        assert get(client, "t", "a") == {"n": 11, "m": 22, "o": 30}

    def test_by_zero(self, client):
        create(client)
        update(client, "t", "a", {"increment": [("n", 0)]})
        assert get(client, "t", "a") == {"n": 0}

    @pytest.mark.parametrize("value", ["1", 1.0, True, bytearray(b"1")], ids=lambda value: type(value).__name__)
    def test_refuses_another_type(self, client, value):
        create(client)
        put(client, "t", "a", {"n": value})
        with service_error(INVALID):
            update(client, "t", "a", {"increment": [("n", 1)]})
        assert get(client, "t", "a") == {"n": value}

    @pytest.mark.parametrize("amount", ["1", 1.0, True], ids=lambda value: type(value).__name__)
    def test_refuses_an_amount_of_another_type(self, client, amount):
        create(client)
        with service_error(INVALID):
            update(client, "t", "a", {"increment": [("n", amount)]})
        assert get(client, "t", "a") is None

    @pytest.mark.parametrize(("start", "amount"), [(INT_MAX, 1), (INT_MIN, -1)], ids=["over", "under"])
    def test_refuses_overflow(self, client, start, amount):
        create(client)
        put(client, "t", "a", {"n": start})
        with service_error(INVALID):
            update(client, "t", "a", {"increment": [("n", amount)], "put": [("x", 1)]})
        assert get(client, "t", "a") == {"n": start}

    @pytest.mark.parametrize(
        "changes",
        [{"put": [("n", 1)]}, {"delete_all": ["n"]}, {"delete": [("n", None, 1)]}],
        ids=["put", "delete-all", "delete"],
    )
    def test_refuses_another_change_of_the_column(self, client, changes):
        create(client)
        put(client, "t", "a", {"n": 1})
        with service_error(INVALID):
            update(client, "t", "a", changes | {"increment": [("n", 1)]})
        assert get(client, "t", "a") == {"n": 1}

    def test_refuses_a_timestamp(self, client):
        create(client)
        cell = Cell("n", 1, op=plain.INCREMENT, timestamp=int(time.time() * 1000))
        refuse(client, "UpdateRow", raw_update("t", [Cell("pk", "a")], [cell]), ANY)
        assert get(client, "t", "a") is None

    def test_refuses_a_key_column(self, client):
        create(client, key=[("pk", "INTEGER")])
        with service_error(INVALID):
            update(client, "t", [("pk", 1)], {"increment": [("pk", 1)]})

    def test_returns_new_values_where_asked(self, client):
        """The SDK's own encoder cannot ask for them."""
        create(client)
        put(client, "t", "a", {"n": 1, "m": 1})
        request = raw_update(
            "t", [Cell("pk", "a")], [Cell("n", 5, op=plain.INCREMENT), Cell("m", 1, op=plain.INCREMENT)]
        )
        request.return_content.return_type = pb.RT_AFTER_MODIFY
        request.return_content.return_column_names.append("n")
        row = pb.UpdateRowResponse.FromString(accept(client, "UpdateRow", request)).row
        _, attributes = PlainBufferCodedInputStream(PlainBufferInputStream(row)).read_row()
        assert [(name, value) for name, value, _ in attributes] == [("n", 6)]

    def test_under_a_condition(self, client):
        create(client)
        with service_error("OTSConditionCheckFail"):
            update(client, "t", "a", {"increment": [("n", 1)]}, EXPECT_EXIST)
        assert get(client, "t", "a") is None


class TestDelete:
    def test_removes_the_row(self, client):
        create(client)
        put(client, "t", "a", {"x": 1})
        put(client, "t", "b", {"x": 1})
        delete(client, "t", "a")
        assert every(client, "t").keys == ["b"]

    @pytest.mark.parametrize("condition", [IGNORE, EXPECT_NOT_EXIST, None], ids=["ignore", "expect-none", "none"])
    def test_of_an_absent_row_is_fine(self, client, condition):
        create(client)
        delete(client, "t", "a", condition)
        assert get(client, "t", "a") is None

    def test_then_put_starts_anew(self, client):
        create(client)
        put(client, "t", "a", {"x": 1})
        delete(client, "t", "a")
        put(client, "t", "a", {"y": 2})
        assert get(client, "t", "a") == {"y": 2}


class TestGet:
    def test_an_absent_row(self, client):
        create(client)
        consumed, row, token = client.get_row("t", [("pk", "a")])
        assert row is None
        assert not token
        assert (consumed.read, consumed.write) == (1, 0)

    def test_a_key_in_schema_order(self, client):
        create(client, key=[("z", "STRING"), ("a", "INTEGER")])
        put(client, "t", [("z", "k"), ("a", 1)], {"m": 1})
        found = fetch(client, "t", [("z", "k"), ("a", 1)])
        assert list(map(tuple, found.primary_key)) == [("z", "k"), ("a", 1)]


class TestShape:
    """Rows whose PlainBuffer is sound but which hold what the call has no use for."""

    KEY = (Cell("pk", "a"),)

    @pytest.mark.parametrize(
        ("api", "request_", "message"),
        [
            pytest.param(
                "PutRow",
                raw_put("t", KEY, [Cell("x", 1, op=plain.INCREMENT)]),
                re.compile(r"OpType cannot be given for column name: ?x in PutRow\."),
                id="put-type",
            ),
            pytest.param("PutRow", raw_put("t", KEY, [Cell("x", 1)], delete_marker=True), ANY, id="put-marker"),
            pytest.param(
                "UpdateRow", raw_update("t", KEY, [Cell("x", 1)], delete_marker=True), ANY, id="update-marker"
            ),
            pytest.param("PutRow", raw_put("t", KEY, [Cell("x")]), ANY, id="put-no-value"),
            pytest.param("PutRow", raw_put("t", [Cell(None, "a")]), ANY, id="key-no-name"),
            pytest.param("PutRow", raw_put("t", [Cell("pk")]), ANY, id="key-no-value"),
            pytest.param(
                "PutRow",
                raw_put("t", [Cell("pk", "a", timestamp=1)]),
                re.compile(r"(OpType/)?Timestamp cannot be given for primary key name ?: ?pk\."),
                id="key-timestamp",
            ),
            pytest.param(
                "PutRow",
                raw_put("t", [Cell("pk", "a", op=plain.INCREMENT)]),
                re.compile(r"OpType(/Timestamp)? cannot be given for primary key name ?: ?pk\."),
                id="key-type",
            ),
            pytest.param("DeleteRow", raw_delete("t", KEY, [Cell("x", 1)]), ANY, id="delete-cells"),
            pytest.param("DeleteRow", raw_delete("t", KEY, delete_marker=False), ANY, id="delete-no-marker"),
            pytest.param(
                "GetRow",
                pb.GetRowRequest(table_name="t", primary_key=plain.row(KEY, [Cell("x", 1)]), max_versions=1),
                "Attribute column cannot be given while reading data.",
                id="get-cells",
            ),
            pytest.param(
                "GetRow",
                pb.GetRowRequest(table_name="t", primary_key=plain.row(KEY, delete_marker=True), max_versions=1),
                "Delete marker cannot be given.",
                id="get-marker",
            ),
        ],
    )
    def test_refused(self, client, api, request_, message):
        create(client)
        put(client, "t", "a", {"x": 1})
        refuse(client, api, request_, message)
        assert get(client, "t", "a") == {"x": 1}

    @pytest.mark.parametrize("value", [1.5, True], ids=["double", "boolean"])
    def test_a_key_of_a_type_that_keys_never_have(self, client, value):
        create(client)
        answer = send(client, "PutRow", raw_put("t", [Cell("pk", value)]))
        assert answer.status == 400
        assert answer.error[0] in {INVALID, "OTSInvalidPK"}
        assert every(client, "t").rows == []

    def test_an_unknown_row_existence_expectation(self, client):
        create(client)
        request = raw_put("t", self.KEY, [Cell("x", 1)])
        body = request.SerializeToString().replace(b"\x1a\x02\x08\x00", b"\x1a\x02\x08\x09")
        refuse(
            client,
            "PutRow",
            body,
            re.compile(
                r"Invalid row-existence expectation: .*|Invalid condition: ?.*|Parse PBMessage.*|Cannot deserialize.*"
            ),
        )
        assert get(client, "t", "a") is None


class TestReadRequests:
    KEY = (Cell("pk", "a"),)
    LOW, HIGH = (Cell("pk", raw=plain.INF_MIN),), (Cell("pk", raw=plain.INF_MAX),)
    BOTH_TIMES = pb.TimeRange(start_time=0, end_time=10)
    ONE_TIME = pb.TimeRange(specific_time=5)

    CASES = (
        pytest.param({"max_versions": None}, "No version condition is specified.", id="nothing"),
        pytest.param(
            {"max_versions": None, "time_range": pb.TimeRange(start_time=0)},
            "Start and end time must be given at the same time.",
            id="start-alone",
        ),
        pytest.param(
            {"max_versions": None, "time_range": pb.TimeRange(end_time=10)},
            "Start and end time must be given at the same time.",
            id="end-alone",
        ),
        pytest.param(
            {"max_versions": None, "time_range": pb.TimeRange(specific_time=-1)},
            re.compile(r"Specific timestamp cannot be less than 0\.+"),
            id="negative-time",
        ),
        pytest.param(
            {"max_versions": 1, "time_range": ONE_TIME},
            "Specific tiemstamp and max versions cannot be given at the same time.",
            id="time-and-versions",
        ),
        pytest.param(
            {"max_versions": None, "time_range": pb.TimeRange(start_time=0, end_time=10, specific_time=5)},
            "Specific tiemstamp and time range cannot be given at the same time.",
            id="time-and-range",
        ),
        pytest.param(
            {"max_versions": 0},
            re.compile(r"Invalid max versions: 0 ?\. Reason: Max versions must be positive\."),
            id="zero",
        ),
        pytest.param(
            {"max_versions": -3},
            re.compile(r"Invalid max versions: -3 ?\. Reason: Max versions must be positive\."),
            id="negative",
        ),
    )

    @pytest.mark.parametrize(("fields", "message"), CASES)
    def test_version_conditions(self, client, fields, message):
        create(client)
        put(client, "t", "a", {"x": 1})
        refuse(client, "GetRow", raw_get("t", self.KEY, **fields), message)
        refuse(client, "GetRange", raw_range("t", self.LOW, self.HIGH, **fields), message)

    def test_all_three_version_conditions(self, client):
        create(client)
        fields = {"max_versions": 1, "time_range": pb.TimeRange(start_time=0, end_time=10, specific_time=5)}
        refuse(
            client,
            "GetRow",
            raw_get("t", self.KEY, **fields),
            re.compile("Specific .* cannot be given at the same time."),
        )

    def test_a_negative_version_count_is_refused_by_the_row_only_read_too(self, client):
        create(client)
        with service_error(INVALID):
            page(client, "t", max_version=0)
        assert values(fetch(client, "t", "a")) is None
