"""Sizes, counts and names: what is just within, and what is just beyond."""

from __future__ import annotations

import re

import pytest
from tablestore import INF_MAX, SecondaryIndexMeta, TableOptions

from .plain import Cell
from .support import (
    ANY,
    INVALID,
    accept,
    create,
    delete,
    every,
    get,
    page,
    put,
    put_item,
    raw_put,
    raw_update,
    read,
    refuse,
    service_error,
    update,
    write,
)

MB = 1024 * 1024
KEY = (Cell("pk", "a"),)

ROW_CALLS = (
    lambda client, key: put(client, "t", key, {"x": 1}),
    lambda client, key: update(client, "t", key, {"put": [("x", 1)]}),
    lambda client, key: delete(client, "t", key),
    lambda client, key: get(client, "t", key),
    lambda client, key: page(client, "t", key, [(name, INF_MAX) for name, _ in key]),
    lambda client, key: read(client, "t", [key]),
    lambda client, key: write(client, {"t": [put_item(key, {"x": 1})]}),
)
"""Every call that names a row: what is wrong with the row's own parameters fails the whole request."""


class TestTableNames:
    @pytest.mark.parametrize("name", ["a", "_", "T", "_0", "a" * 255, "Ab_9"], ids=lambda name: name[:8])
    def test_accepted(self, client, name):
        create(client, name)
        assert client.list_table() == (name,)
        put(client, name, "k", {"x": 1})
        assert get(client, name, "k") == {"x": 1}

    @pytest.mark.parametrize(
        "name",
        ["", "0", "#", "中文", "T#", "3t", "-", "a-b", "a.b", "a b", "a\n", "a'", "../a", "a" * 256],
        ids=repr,
    )
    def test_refused(self, client, name):
        with service_error(INVALID, f"Invalid table name: '{name}'."):
            create(client, name)
        assert client.list_table() == ()

    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda client: client.describe_table("0"), id="DescribeTable"),
            pytest.param(lambda client: client.update_table("0", TableOptions()), id="UpdateTable"),
            pytest.param(lambda client: client.delete_table("0"), id="DeleteTable"),
            pytest.param(lambda client: put(client, "0", "a", {"x": 1}), id="PutRow"),
            pytest.param(lambda client: update(client, "0", "a", {"put": [("x", 1)]}), id="UpdateRow"),
            pytest.param(lambda client: delete(client, "0", "a"), id="DeleteRow"),
            pytest.param(lambda client: get(client, "0", "a"), id="GetRow"),
            pytest.param(lambda client: page(client, "0"), id="GetRange"),
            pytest.param(lambda client: read(client, "0", ["a"]), id="BatchGetRow"),
            pytest.param(lambda client: write(client, {"0": [put_item("a")]}), id="BatchWriteRow"),
            pytest.param(lambda client: client.start_local_transaction("0", [("pk", "a")]), id="StartLocalTransaction"),
        ],
    )
    def test_refused_everywhere(self, client, call):
        with service_error(INVALID, "Invalid table name: '0'."):
            call(client)


class TestSchema:
    @pytest.mark.parametrize("count", [0, 5], ids=["none", "five"])
    def test_key_columns(self, client, count):
        with service_error(INVALID, "The number of primary key columns must be in range: [1, 4]."):
            create(client, key=[(f"k{n}", "STRING") for n in range(count)])

    def test_key_columns_of_a_row(self, client):
        create(client, key=[(f"k{n}", "STRING") for n in range(4)])
        key = [(f"k{n}", "a") for n in range(5)]
        for call in ROW_CALLS:
            with service_error(INVALID, "The number of primary key columns must be in range: [1, 4]."):
                call(client, key)

    def test_defined_columns(self, client):
        columns = [(f"c{n}", "STRING") for n in range(33)]
        with service_error(INVALID, "The number of defined columns must be in range: [0, 32]."):
            create(client, defined=columns)
        create(client, defined=columns[:32])
        assert len(client.describe_table("t").table_meta.defined_columns) == 32

    @pytest.mark.parametrize("name", ["", "#pk", "k" * 256], ids=["empty", "hash", "long"])
    def test_key_column_names(self, client, name):
        with service_error(INVALID):
            create(client, key=[(name, "STRING")])

    def test_a_defined_column_named_as_a_key(self, client):
        with service_error(INVALID):
            create(client, defined=[("pk", "STRING")])

    def test_tables_per_instance(self, client):
        """Index tables count too."""
        create(client, "first", defined=[("a", "STRING")], indexes=[SecondaryIndexMeta("i", ["a"], [])])
        for number in range(62):
            create(client, f"t{number}")
        with service_error("OTSQuotaExhausted", "Number of tables exceeds the quota:64."):
            create(client, "more")
        with service_error("OTSQuotaExhausted", "Number of tables exceeds the quota:64."):
            client.create_secondary_index("first", SecondaryIndexMeta("j", ["a"], []), False)
        client.delete_table("t0")
        create(client, "more")


class TestColumnNames:
    GOOD = (
        ".",
        ":",
        "'",
        '"',
        "$",
        "&",
        "*",
        "(",
        ")",
        "/",
        "\\",
        "\n",
        " ",
        "中文",
        "0",
        "-",
        "a#",
        "c" * 255,
    )

    @pytest.mark.parametrize("name", GOOD, ids=lambda name: repr(name[:8]))
    def test_accepted(self, client, name):
        create(client)
        accept(client, "PutRow", raw_put("t", KEY, [Cell(name, 1)]))
        accept(client, "UpdateRow", raw_update("t", KEY, [Cell(name, 2)]))
        assert get(client, "t", "a") == {name: 2}

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            pytest.param("#abc", "Invalid column name: '#abc'.", id="hash"),
            pytest.param("#", "Invalid column name: '#'.", id="hash-alone"),
            pytest.param("c" * 256, f"Invalid column name: '{'c' * 256}'.", id="long"),
            pytest.param("中" * 86, f"Invalid column name: '{'中' * 86}'.", id="long-in-bytes"),
            pytest.param("", re.compile(r"Invalid column name: ''\.|invalid name of column: empty name\."), id="empty"),
        ],
    )
    def test_refused(self, client, name, message):
        create(client)
        refuse(client, "PutRow", raw_put("t", KEY, [Cell(name, 1)]), message)
        refuse(client, "UpdateRow", raw_update("t", KEY, [Cell(name, 1)]), message)
        assert get(client, "t", "a") is None

    @pytest.mark.parametrize("name", ["#abc", "c" * 256], ids=["hash", "long"])
    def test_refused_in_reads(self, client, name):
        create(client)
        for call in (
            lambda: get(client, "t", "a", columns_to_get=["x", name]),
            lambda: every(client, "t", columns_to_get=["x", name]),
            lambda: read(client, "t", ["a"], columns_to_get=["x", name]),
        ):
            with service_error(INVALID, f"Invalid column name: '{name}'."):
                call()


class TestValueSizes:
    @pytest.mark.parametrize("kind", ["STRING", "BINARY"])
    def test_of_keys(self, client, kind):
        create(client, key=[("pk_0", kind)])
        longest = "k" * 1024 if kind == "STRING" else bytearray(1024)
        put(client, "t", [("pk_0", longest)], {"x": 1})
        assert get(client, "t", [("pk_0", longest)]) == {"x": 1}
        message = "The length of primary key column: 'pk_0' exceeds the MaxLength:1024 with CurrentLength:1025."
        for call in ROW_CALLS:
            with service_error(INVALID, message):
                call(client, [("pk_0", longest + longest[:1])])

    def test_of_keys_counts_bytes(self, client):
        create(client)
        put(client, "t", "中" * 341)
        with service_error(INVALID, re.compile(r".*exceeds the MaxLength:1024 with CurrentLength:1026\.")):
            put(client, "t", "中" * 342)

    @pytest.mark.parametrize("value", ["v", bytearray(b"v")], ids=["STRING", "BINARY"])
    def test_of_attributes(self, client, value):
        create(client)
        put(client, "t", "a", {"attr": value * (2 * MB)})
        assert len(get(client, "t", "a")["attr"]) == 2 * MB
        message = "The length of attribute column: 'attr' exceeds the MaxLength:2097152 with CurrentLength:2097153."
        with service_error(INVALID, message):
            put(client, "t", "b", {"attr": value * (2 * MB + 1)})
        with service_error(INVALID, message):
            update(client, "t", "b", {"put": [("attr", value * (2 * MB + 1))]})
        assert get(client, "t", "b") is None


class TestRequestSizes:
    def test_put_row(self, client):
        create(client)
        columns = {"a": "v" * (2 * MB), "b": "v" * (2 * MB), "c": "v"}
        message = re.compile(
            r"The total data size of PutRow request exceeds the limit, limit size: 4194304 ?, data size: \d+\."
        )
        with service_error(INVALID, message):
            put(client, "t", "k", columns)
        assert get(client, "t", "k") is None

    def test_update_row(self, client):
        create(client)
        columns = [("a", "v" * (2 * MB)), ("b", "v" * (2 * MB)), ("c", "v")]
        message = re.compile(
            r"The total data size of UpdateRow request exceeds the limit, limit size: 4194304 ?, data size: \d+\."
        )
        with service_error(INVALID, message):
            update(client, "t", "k", {"put": columns})
        assert get(client, "t", "k") is None

    def test_batch_write_row(self, client):
        """The size of a row is the lengths of its names and values, key included."""
        create(client)
        overhead = 4 * (len("pk") + 1 + len("c"))

        def items(total):
            sizes = [MB, MB, MB, total - overhead - 3 * MB]
            return {"t": [put_item(str(n), {"c": "v" * size}) for n, size in enumerate(sizes)]}

        assert write(client, items(4 * MB)).is_all_succeed()
        message = (
            "The total data size of BatchWriteRow request exceeds the limit, limit size: 4194304, data size: 4194305."
        )
        with service_error(INVALID, message):
            write(client, items(4 * MB + 1))

    def test_rows_grow_beyond_a_request(self, client):
        create(client)
        for name in "abc":
            update(client, "t", "k", {"put": [(name, "v" * (2 * MB))]})
        assert {name: len(value) for name, value in get(client, "t", "k").items()} == dict.fromkeys("abc", 2 * MB)


class TestCounts:
    MESSAGE = "The number of attribute columns exceeds the limit, limit count: 1024, column count: 1025."

    def test_columns_of_a_put(self, client):
        create(client)
        put(client, "t", "a", {f"c{n}": n for n in range(1024)})
        assert len(get(client, "t", "a")) == 1024
        with service_error(INVALID, self.MESSAGE):
            put(client, "t", "b", {f"c{n}": n for n in range(1025)})

    def test_columns_of_an_update(self, client):
        create(client)
        puts = [(f"c{n}", n) for n in range(1000)]
        update(client, "t", "a", {"put": puts, "delete_all": [f"d{n}" for n in range(24)]})
        with service_error(INVALID, self.MESSAGE):
            update(client, "t", "a", {"put": puts, "delete_all": [f"d{n}" for n in range(25)]})

    def test_columns_of_a_row_have_none(self, client):
        create(client)
        for start in (0, 1000, 2000):
            update(client, "t", "a", {"put": [(f"c{n}", n) for n in range(start, start + 1000)]})
        assert len(get(client, "t", "a")) == 3000

    def test_columns_to_get(self, client):
        create(client)
        put(client, "t", "a", {"c0": 1})
        names = [f"c{n}" for n in range(1025)]
        assert get(client, "t", "a", columns_to_get=names[:1024]) == {"c0": 1}
        message = "The number of columns from the request exceeds the limit, limit count: 1024, column count: 1025."
        with service_error(INVALID, message):
            get(client, "t", "a", columns_to_get=names)
        with service_error(INVALID, message):
            every(client, "t", columns_to_get=names)
        with service_error(INVALID, message):
            read(client, "t", ["a"], columns_to_get=names)

    def test_rows_of_a_batch_read(self, client):
        create(client)
        assert len(read(client, "t", [str(n) for n in range(100)])) == 100
        with service_error(INVALID, "Rows count exceeds the upper limit: 100."):
            read(client, "t", [str(n) for n in range(101)])

    def test_rows_of_a_batch_write(self, client):
        create(client)
        items = [put_item(str(n), {"x": n}) for n in range(201)]
        assert write(client, {"t": items[:200]}).is_all_succeed()
        with service_error(INVALID, "Rows count exceeds the upper limit: 200."):
            write(client, {"t": items})
        assert get(client, "t", "200") is None

    def test_rows_of_a_batch_over_tables(self, client):
        create(client)
        create(client, "u")
        items = [put_item(str(n), {"x": n}) for n in range(101)]
        with service_error(INVALID, "Rows count exceeds the upper limit: 200."):
            write(client, {"t": items, "u": items[:100]})


class TestValues:
    @pytest.mark.parametrize(
        ("value", "message"),
        [
            pytest.param(float("nan"), "NaN can't be set to double value.", id="nan"),
            pytest.param(float("inf"), "Infinity can't be set to double value.", id="infinity"),
            pytest.param(float("-inf"), "Infinity can't be set to double value.", id="minus-infinity"),
            pytest.param(b"\xff\xfe", re.compile(r"Value of column '?attr'? must be UTF8 encoding\."), id="not-utf8"),
            pytest.param(
                b"\xed\xa0\x80",
                re.compile(r"Value of column '?attr'? must be UTF8 encoding\."),
                id="surrogate",
            ),
        ],
    )
    def test_attributes_refused(self, client, value, message):
        create(client)
        refuse(client, "PutRow", raw_put("t", KEY, [Cell("attr", value)]), message)
        refuse(client, "UpdateRow", raw_update("t", KEY, [Cell("attr", value)]), message)
        assert get(client, "t", "a") is None

    def test_a_key_that_is_not_text(self, client):
        create(client)
        message = re.compile(r"Value of column '?pk'? must be UTF8 encoding\.")
        refuse(client, "PutRow", raw_put("t", [Cell("pk", b"\xff")], [Cell("x", 1)]), message)

    @pytest.mark.parametrize(
        "raw", [b"\x06", b"\x09", b"\x0a", b"\x0b", b"\x63"], ids=["null", "min", "max", "auto", "?"]
    )
    def test_attribute_types_refused(self, client, raw):
        create(client)
        refuse(client, "PutRow", raw_put("t", KEY, [Cell("attr", raw=raw)]), ANY)
        assert get(client, "t", "a") is None


class TestThroughput:
    @pytest.mark.parametrize("unit", [(-1, 0), (0, -1)], ids=["read", "write"])
    def test_negative(self, client, unit):
        with service_error(INVALID):
            create(client, throughput=unit)
