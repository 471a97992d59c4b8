"""Encoded keys sort as the service sorts."""

from __future__ import annotations

import pytest
from hypothesis import example, settings
from hypothesis import given as given_any
from hypothesis import strategies as st

from langchain_tablestore_memory.local.catalogue import KeyColumn
from langchain_tablestore_memory.local.errors import RequestError
from langchain_tablestore_memory.local.keys import KeyUse, check_key, encode_key
from langchain_tablestore_memory.local.plainbuffer import make_key_cell
from langchain_tablestore_memory.local.values import (
    AUTO_INCREMENT,
    BLOB,
    DOUBLE,
    INF_MAX,
    INF_MIN,
    INTEGER,
    STRING,
    encode_value,
)


def given(*strategies):
    """Hypothesis's `given`, without its time limit: these tests share a machine with others."""
    return lambda test: settings(deadline=None)(given_any(*strategies)(test))


LOW, HIGH = bytes((INF_MIN,)), bytes((INF_MAX,))

INTEGERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
# Few different characters, among them the ones that the encoding treats specially, so that keys share prefixes.
TEXT = st.text(st.sampled_from("\x00\x01aé中\U0001f600"), max_size=5)
BINARY = st.lists(st.sampled_from([0x00, 0x01, 0x61, 0xFE, 0xFF]), max_size=5).map(bytes)


def key_of(*values) -> bytes:
    """Encodes a key; values that are bytes already encoded as bounds pass through."""
    return encode_key([make_key_cell(b"k", value if value in (LOW, HIGH) else encode_value(value)) for value in values])


def rank(*values) -> tuple:
    return tuple(value.encode() if isinstance(value, str) else value for value in values)


def order(left, right) -> int:
    return (left > right) - (left < right)


class TestOrder:
    @given(INTEGERS, INTEGERS)
    @example(-1, 0)
    @example(-(2**63), 2**63 - 1)
    @example(255, 256)
    def test_integers(self, left, right):
        assert order(key_of(left), key_of(right)) == order(left, right)

    @given(TEXT, TEXT)
    @example("", "\x00")
    @example("\x00", "\x00\x00")
    @example("a", "a\x00")
    def test_strings(self, left, right):
        assert order(key_of(left), key_of(right)) == order(rank(left), rank(right))

    @given(BINARY, BINARY)
    @example(b"\x00", b"\x00\xff")
    def test_binaries(self, left, right):
        assert order(key_of(left), key_of(right)) == order(left, right)

    @given(st.tuples(TEXT, INTEGERS, BINARY, TEXT), st.tuples(TEXT, INTEGERS, BINARY, TEXT))
    def test_columns_from_left_to_right(self, left, right):
        assert order(key_of(*left), key_of(*right)) == order(rank(*left), rank(*right))

    @given(TEXT, TEXT, TEXT)
    def test_a_column_does_not_run_into_the_next(self, first, second, third):
        left, right = key_of(first, second + third), key_of(first + second, third)
        assert order(left, right) == order(rank(first, second + third), rank(first + second, third))

    @given(st.one_of(INTEGERS, TEXT, BINARY))
    def test_bounds_enclose_every_value(self, value):
        assert key_of(LOW) < key_of(value) < key_of(HIGH)

    @given(TEXT, TEXT, INTEGERS)
    def test_bounds_enclose_what_shares_a_prefix(self, prefix, other, number):
        inside = key_of(prefix, LOW) < key_of(other, number) < key_of(prefix, HIGH)
        assert inside == (prefix == other)


class TestCheck:
    SCHEMA = (KeyColumn(b"a", STRING), KeyColumn(b"b", INTEGER, auto_increment=True), KeyColumn(b"c", BLOB))

    def refused(self, message, use, *columns):
        with pytest.raises(RequestError) as caught:
            check_key([make_key_cell(name, value) for name, value in columns], self.SCHEMA, use)
        assert caught.value.message == message
        return caught.value.code

    def accepted(self, use, *values):
        names = (b"a", b"b", b"c")
        check_key([make_key_cell(*column) for column in zip(names, values, strict=True)], self.SCHEMA, use)

    def test_order_of_the_checks(self):
        one, text = encode_value(1), encode_value("x")
        assert (
            self.refused("Validate PK size fail. Input: 2, Meta: 3.", KeyUse.READ, (b"z", one), (b"a", one))
            == "OTSInvalidPK"
        )
        self.refused("Validate PK name fail. Input: z, Meta: c.", KeyUse.READ, (b"a", one), (b"b", text), (b"z", one))
        self.refused(
            "Validate PK type fail. Input: VT_INTEGER, Meta: VT_STRING.",
            KeyUse.READ,
            *[(b"a", one), (b"b", text), (b"c", one)],
        )

    @pytest.mark.parametrize(
        ("kind", "name"), [(DOUBLE, "VT_DOUBLE"), (INF_MIN, "VT_INF_MIN"), (INF_MAX, "VT_INF_MAX")]
    )
    def test_types_of_no_key(self, kind, name):
        columns = [(b"a", bytes((kind,)) + bytes(8)), (b"b", encode_value(1)), (b"c", encode_value(b""))]
        for use in (KeyUse.READ, KeyUse.WRITE):
            self.refused(f"Validate PK type fail. Input: {name}, Meta: VT_STRING.", use, *columns)

    def test_bounds_only_in_ranges(self):
        self.accepted(KeyUse.RANGE, LOW, HIGH, LOW)
        self.accepted(KeyUse.RANGE, encode_value("x"), LOW, HIGH)

    def test_placeholders_only_in_writes(self):
        placeholder = bytes((AUTO_INCREMENT,))
        self.accepted(KeyUse.WRITE, encode_value("x"), placeholder, encode_value(b""))
        for use in (KeyUse.READ, KeyUse.RANGE):
            code = self.refused(
                "PKAutoIncr can't be used for read operations.",
                use,
                *[(b"a", encode_value("x")), (b"b", placeholder), (b"c", encode_value(b""))],
            )
            assert code == "OTSParameterInvalid"
