"""GetRange: bounds, order, pages."""

from __future__ import annotations

import re

import pytest
from tablestore import INF_MAX, INF_MIN, PK_AUTO_INCR, CapacityUnit, SingleColumnCondition
from tablestore.protobuf import table_store_pb2 as pb

from .plain import AUTO_INCREMENT, Cell
from .support import (
    INVALID,
    accept,
    create,
    every,
    key_of,
    page,
    put,
    put_item,
    raw_range,
    refuse,
    service_error,
    update,
    write,
)

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
BEGIN_LESS = re.compile(r"Begin key must less than end key in FORWARD\.?")
BEGIN_MORE = re.compile(r"Begin key must more than end key in BACKWARD\.?")


def fill(client, count, table="t", key=int, **columns):
    """Rows numbered from 0."""
    for start in range(0, count, 200):
        items = [put_item(key(n), {"n": n, **columns}) for n in range(start, min(start + 200, count))]
        assert write(client, {table: items}).is_all_succeed()


def walk(client, start, end, direction="FORWARD", **options):
    """All pages of a range."""
    found = []
    while start is not None:
        current = page(client, "t", start, end, direction, **options)
        found.append(current)
        start = current.next_key
    return found


@pytest.fixture
def numbers(client):
    """A table with the keys 0 to 9."""
    create(client, key=[("pk", "INTEGER")])
    fill(client, 10)
    return client


class TestOrder:
    @pytest.mark.parametrize(
        ("kind", "keys"),
        [
            pytest.param("INTEGER", [INT_MIN, -256, -255, -1, 0, 1, 127, 128, 255, 256, 65536, INT_MAX], id="integers"),
            pytest.param(
                "STRING",
                [
                    "",
                    "\x00",
                    "\x00\x00",
                    "\x00a",
                    "\x01",
                    "A",
                    "B",
                    "a",
                    "a\x00",
                    "a\x00b",
                    "a\x01",
                    "aa",
                    "b",
                    "\x7f",
                    "é",
                    "中",
                    "中文",
                    "\uffff",
                    "🎉",
                ],
                id="strings-by-byte",
            ),
            pytest.param(
                "BINARY",
                [bytearray(b) for b in (b"", b"\x00", b"\x00\x00", b"\x00\x01", b"\x00\xff", b"\x01", b"\xfe\xff")]
                + [bytearray(b"\xff"), bytearray(b"\xff\x00"), bytearray(b"\xff\xff")],
                id="binary-by-byte",
            ),
        ],
    )
    def test_of_one_column(self, client, kind, keys):
        create(client, key=[("pk", kind)])
        for key in keys[::2] + keys[1::2][::-1]:
            put(client, "t", key)
        expected = [bytes(key) if isinstance(key, bytearray) else key for key in keys]
        assert every(client, "t").keys == expected
        assert page(client, "t", INF_MAX, INF_MIN, "BACKWARD").keys == expected[::-1]
        for position, key in enumerate(keys):
            assert page(client, "t", key, INF_MAX).keys == expected[position:]
            if position:
                assert page(client, "t", INF_MIN, key).keys == expected[:position]
                assert page(client, "t", key, INF_MIN, "BACKWARD").keys == expected[position:0:-1] + expected[:1]

    def test_columns_compare_from_the_left(self, client):
        create(client, key=[("a", "STRING"), ("b", "INTEGER"), ("c", "STRING")])
        keys = [(a, b, c) for a in ("", "a", "a\x00", "aa", "b") for b in (-1, 0, 5) for c in ("", "x")]
        for a, b, c in reversed(keys):
            put(client, "t", [("a", a), ("b", b), ("c", c)])
        assert every(client, "t", "abc").keys == keys
        low, high = [(n, INF_MIN) for n in "abc"], [(n, INF_MAX) for n in "abc"]
        assert page(client, "t", high, low, "BACKWARD").keys == keys[::-1]


class TestBounds:
    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            pytest.param(3, 6, [3, 4, 5], id="half-open"),
            pytest.param(INF_MIN, 2, [0, 1], id="from-first"),
            pytest.param(8, INF_MAX, [8, 9], id="to-last"),
            pytest.param(INF_MIN, INF_MAX, list(range(10)), id="all"),
            pytest.param(-5, 1, [0], id="before-first"),
            pytest.param(9, 50, [9], id="after-last"),
            pytest.param(20, 30, [], id="nothing"),
            pytest.param(4, 5, [4], id="one"),
        ],
    )
    def test_forward(self, numbers, start, end, expected):
        found = page(numbers, "t", start, end)
        assert found.keys == expected
        assert found.next_key is None

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            pytest.param(6, 3, [6, 5, 4], id="half-open"),
            pytest.param(INF_MAX, 7, [9, 8], id="from-last"),
            pytest.param(1, INF_MIN, [1, 0], id="to-first"),
            pytest.param(INF_MAX, INF_MIN, list(range(9, -1, -1)), id="all"),
            pytest.param(50, 8, [9], id="after-last"),
            pytest.param(30, 20, [], id="nothing"),
        ],
    )
    def test_backward(self, numbers, start, end, expected):
        found = page(numbers, "t", start, end, "BACKWARD")
        assert found.keys == expected
        assert found.next_key is None

    @pytest.mark.parametrize(
        ("start", "end", "direction", "message"),
        [
            pytest.param(5, 5, "FORWARD", BEGIN_LESS, id="equal"),
            pytest.param(6, 5, "FORWARD", BEGIN_LESS, id="wrong-way"),
            pytest.param(INF_MAX, INF_MIN, "FORWARD", BEGIN_LESS, id="infinities"),
            pytest.param(INF_MIN, INF_MIN, "FORWARD", BEGIN_LESS, id="equal-infinities"),
            pytest.param(5, 5, "BACKWARD", BEGIN_MORE, id="backward-equal"),
            pytest.param(5, 6, "BACKWARD", BEGIN_MORE, id="backward-wrong-way"),
            pytest.param(INF_MIN, INF_MAX, "BACKWARD", BEGIN_MORE, id="backward-infinities"),
        ],
    )
    def test_refused(self, numbers, start, end, direction, message):
        with service_error(INVALID, message):
            page(numbers, "t", start, end, direction)

    def test_prefixes(self, client):
        create(client, key=[("a", "STRING"), ("b", "INTEGER"), ("c", "STRING")])
        keys = [(a, b, c) for a in "xyz" for b in (1, 2, 3) for c in "pq"]
        for a, b, c in keys:
            put(client, "t", [("a", a), ("b", b), ("c", c)])

        def between(start, end, direction="FORWARD"):
            return page(
                client,
                "t",
                list(zip("abc", start, strict=True)),
                list(zip("abc", end, strict=True)),
                direction,
            ).keys

        assert between(("y", INF_MIN, INF_MIN), ("y", INF_MAX, INF_MAX)) == [k for k in keys if k[0] == "y"]
        assert between(("y", 2, INF_MIN), ("y", 2, INF_MAX)) == [("y", 2, "p"), ("y", 2, "q")]
        assert between(("y", 2, INF_MAX), ("y", 3, INF_MAX)) == [("y", 3, "p"), ("y", 3, "q")]
        assert between(("y", INF_MAX, INF_MIN), ("z", INF_MIN, INF_MAX)) == []
        assert between(("x", INF_MAX, INF_MAX), ("y", 1, "q")) == [("y", 1, "p")]
        expected = [k for k in reversed(keys) if k[0] == "y"]
        assert between(("y", INF_MAX, INF_MAX), ("y", INF_MIN, INF_MIN), "BACKWARD") == expected
        assert between(("z", 1, "p"), ("y", 3, "p"), "BACKWARD") == [("z", 1, "p"), ("y", 3, "q")]

    @pytest.mark.parametrize(
        ("key", "code", "message"),
        [
            pytest.param([("no", 1)], "OTSInvalidPK", "Validate PK name fail. Input: no, Meta: pk.", id="name"),
            pytest.param([("pk", 1), ("b", 1)], "OTSInvalidPK", "Validate PK size fail. Input: 2, Meta: 1.", id="size"),
        ],
    )
    @pytest.mark.parametrize("side", ["start", "end"])
    def test_malformed_key(self, numbers, key, code, message, side):
        start, end = (key, [("pk", INF_MAX)]) if side == "start" else ([("pk", INF_MIN)], key)
        with service_error(code, message):
            page(numbers, "t", start, end)

    @pytest.mark.parametrize(("start", "end"), [("a", INF_MAX), (INF_MIN, "a"), (1, "a"), ("a", "b")], ids=repr)
    def test_key_of_another_type(self, numbers, start, end):
        from tablestore import OTSServiceError

        with pytest.raises(OTSServiceError) as caught:
            page(numbers, "t", start, end)
        assert caught.value.http_status == 400
        assert caught.value.code in {"OTSInvalidPK", INVALID}

    def test_auto_increment_placeholder(self, client):
        create(client, key=[("pk", "STRING"), ("n", "INTEGER", PK_AUTO_INCR)])
        start = [Cell("pk", "a"), Cell("n", raw=AUTO_INCREMENT)]
        end = [Cell("pk", "b"), Cell("n", raw=b"\x0a")]
        refuse(client, "GetRange", raw_range("t", start, end), "PKAutoIncr can't be used for read operations.")


class TestPages:
    @pytest.mark.parametrize(("limit", "expected_next"), [(1, 1), (5, 5), (9, 9), (10, None), (11, None), (5000, None)])
    def test_limit(self, numbers, limit, expected_next):
        found = page(numbers, "t", limit=limit)
        assert found.keys == list(range(min(limit, 10)))
        assert found.next_key == (None if expected_next is None else [("pk", expected_next)])

    @pytest.mark.parametrize(("limit", "expected_next"), [(1, 8), (9, 0), (10, None)])
    def test_limit_backward(self, numbers, limit, expected_next):
        found = page(numbers, "t", INF_MAX, INF_MIN, "BACKWARD", limit=limit)
        assert found.keys == list(range(9, 9 - limit, -1))
        assert found.next_key == (None if expected_next is None else [("pk", expected_next)])

    def test_next_key_stays_within_the_range(self, numbers):
        assert page(numbers, "t", 0, 5, limit=5).next_key is None
        assert page(numbers, "t", 0, 6, limit=5).next_key == [("pk", 5)]

    def test_next_key_is_whole(self, client):
        create(client, key=[("a", "STRING"), ("b", "INTEGER"), ("c", "BINARY")])
        for number in range(2):
            put(client, "t", [("a", "x"), ("b", number), ("c", bytearray(b"\x00"))], {"v": 1})
        found = every(client, "t", "abc", limit=1)
        assert found.next_key == [("a", "x"), ("b", 1), ("c", bytearray(b"\x00"))]

    @pytest.mark.parametrize("limit", [1, 3, 7])
    @pytest.mark.parametrize(
        ("start", "end", "direction"), [(INF_MIN, INF_MAX, "FORWARD"), (INF_MAX, INF_MIN, "BACKWARD")]
    )
    def test_walk(self, numbers, limit, start, end, direction):
        found = [key for current in walk(numbers, start, end, direction, limit=limit) for key in current.keys]
        assert found == (list(range(10)) if direction == "FORWARD" else list(range(9, -1, -1)))

    @pytest.mark.parametrize("limit", [-1, -5000])
    def test_a_negative_limit_is_refused(self, numbers, limit):
        with service_error(INVALID, "The limit must be greater than 0."):
            page(numbers, "t", limit=limit)

    def test_limit_zero_sent_is_refused(self, numbers):
        request = raw_range("t", [Cell("pk", raw=b"\x09")], [Cell("pk", raw=b"\x0a")], limit=0)
        refuse(numbers, "GetRange", request, "The limit must be greater than 0.")

    def test_empty_table(self, client):
        create(client)
        found = every(client, "t")
        assert (found.rows, found.next_key) == ([], None)
        assert (found.consumed.read, found.consumed.write) == (1, 0)

    def test_an_empty_answer_is_an_empty_string(self, client):
        create(client)
        body = accept(client, "GetRange", raw_range("t", [Cell("pk", raw=b"\x09")], [Cell("pk", raw=b"\x0a")]))
        answer = pb.GetRangeResponse.FromString(body)
        assert answer.rows == b""
        assert not answer.next_start_primary_key

    def test_rows_lacking_the_named_columns_are_skipped(self, client):
        create(client, key=[("pk", "INTEGER")])
        for number in range(6):
            put(client, "t", number, {"even" if number % 2 == 0 else "odd": number})
        assert every(client, "t", columns_to_get=["even"]).keys == [0, 2, 4]
        assert every(client, "t", columns_to_get=["pk"]).keys == list(range(6))
        assert every(client, "t", columns_to_get=["none"]).rows == []

    def test_a_limited_page_counts_scanned_rows(self, numbers):
        none = SingleColumnCondition("n", 100, 0, pass_if_missing=False)
        found = page(numbers, "t", column_filter=none, limit=4)
        assert (found.rows, found.next_key) == ([], [("pk", 4)])
        last = SingleColumnCondition("n", 9, 0, pass_if_missing=False)
        pages = walk(numbers, INF_MIN, INF_MAX, column_filter=last, limit=4)
        assert [current.keys for current in pages] == [[], [], [9]]

    def test_xget_range(self, numbers):
        counter = CapacityUnit(0, 0)
        found = list(numbers.xget_range("t", "FORWARD", key_of(INF_MIN), key_of(INF_MAX), counter, count=7))
        assert [row.primary_key[0][1] for row in found] == list(range(7))
        assert counter.read >= 1


class TestPageSize:
    def test_by_rows(self, client):
        create(client, key=[("pk", "INTEGER")])
        fill(client, 5001)
        first = page(client, "t")
        assert (len(first.rows), first.next_key) == (5000, [("pk", 5000)])
        assert page(client, "t", first.next_key, INF_MAX).keys == [5000]
        backward = page(client, "t", INF_MAX, INF_MIN, "BACKWARD")
        assert (len(backward.rows), backward.next_key) == (5000, [("pk", 0)])
        capped = page(client, "t", limit=100_000)
        assert (len(capped.rows), capped.next_key) == (5000, [("pk", 5000)])
        exact = page(client, "t", 0, 5000)
        assert (len(exact.rows), exact.next_key) == (5000, None)
        none = SingleColumnCondition("n", -1, 0, pass_if_missing=False)
        filtered = walk(client, INF_MIN, INF_MAX, column_filter=none)
        assert [(current.keys, current.next_key) for current in filtered] == [
            ([], [("pk", 5000)]),
            ([], None),
        ]
        some = SingleColumnCondition("n", 4999, 3, pass_if_missing=False)
        assert [current.keys for current in walk(client, INF_MIN, INF_MAX, column_filter=some)] == [
            [4999],
            [5000],
        ]

    def test_by_bytes(self, client):
        """A page reads at most 4 MB; what was read but filtered out counts too."""
        create(client, key=[("pk", "INTEGER")])
        for number in range(6):
            put(client, "t", number, {"n": number, "data": "x" * 1_000_000})
        assert [current.keys for current in walk(client, INF_MIN, INF_MAX)] == [[0, 1, 2, 3], [4, 5]]
        backward = walk(client, INF_MAX, INF_MIN, "BACKWARD")
        assert [current.keys for current in backward] == [[5, 4, 3, 2], [1, 0]]
        none = SingleColumnCondition("n", -1, 0, pass_if_missing=False)
        assert [current.keys for current in walk(client, INF_MIN, INF_MAX, column_filter=none)] == [[], []]

    def test_one_row_that_is_larger_than_a_page(self, client):
        create(client, key=[("pk", "INTEGER")])
        for part in range(3):
            update(client, "t", 0, {"put": [(f"part{part}", "x" * 2_000_000)]})
        put(client, "t", 1)
        assert [current.keys for current in walk(client, INF_MIN, INF_MAX)] == [[0], [1]]
