"""Requests for rows that are refused: keys that do not fit, cells out of place, versions asked for in vain."""

from __future__ import annotations

import re

import pytest
from tablestore import INF_MAX, INF_MIN
from tablestore.protobuf import table_store_pb2 as pb

from . import plain
from .plain import Cell
from .support import (
    ANY,
    INVALID,
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
