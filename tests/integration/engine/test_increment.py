"""Atomic increments."""

from __future__ import annotations

import time

import pytest
from tablestore.plainbuffer.plain_buffer_coded_stream import PlainBufferCodedInputStream
from tablestore.plainbuffer.plain_buffer_stream import PlainBufferInputStream
from tablestore.protobuf import table_store_pb2 as pb

from . import plain
from .plain import Cell
from .support import (
    ANY,
    EXPECT_EXIST,
    INVALID,
    accept,
    create,
    get,
    put,
    raw_update,
    refuse,
    service_error,
    update,
)

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
TWO_KEYS = [("PK1", "STRING"), ("PK2", "INTEGER")]


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
