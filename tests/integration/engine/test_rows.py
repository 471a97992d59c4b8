"""PutRow, UpdateRow, DeleteRow, GetRow: what they do, and which requests they refuse."""

from __future__ import annotations

import re

import pytest
from tablestore import ReturnType

from . import plain
from .plain import Cell
from .support import (
    ANY,
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
    put,
    raw_put,
    raw_update,
    refuse,
    service_error,
    update,
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
