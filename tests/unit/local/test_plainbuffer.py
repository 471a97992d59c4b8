"""The PlainBuffer codec, held to the SDK's."""

from __future__ import annotations

import contextlib
import math
import struct

import pytest
from hypothesis import example, settings
from hypothesis import given as given_any
from hypothesis import strategies as st
from tablestore.plainbuffer.plain_buffer_builder import PlainBufferBuilder
from tablestore.plainbuffer.plain_buffer_coded_stream import (
    PlainBufferCodedInputStream,
    PlainBufferCodedOutputStream,
)
from tablestore.plainbuffer.plain_buffer_crc8 import PlainBufferCrc8
from tablestore.plainbuffer.plain_buffer_stream import PlainBufferInputStream, PlainBufferOutputStream

from langchain_tablestore_memory.local import plainbuffer
from langchain_tablestore_memory.local.catalogue import KeyColumn
from langchain_tablestore_memory.local.checksum import crc8, join_crc8
from langchain_tablestore_memory.local.errors import RequestError
from langchain_tablestore_memory.local.keys import KeyReader, encode_key
from langchain_tablestore_memory.local.request_rows import decode_request_row
from langchain_tablestore_memory.local.values import (
    BLOB,
    INTEGER,
    STRING,
    check_value,
    decode_value,
    encode_value,
    value_size,
)


def given(*strategies):
    """Hypothesis's `given`, without its time limit: these tests share a machine with others."""
    return lambda test: settings(deadline=None)(given_any(*strategies)(test))


INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
BINARY = st.binary(max_size=200).map(bytearray)
# The SDK's Python encoder writes the length of a name in characters, so only ASCII names come out right.
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), min_size=1, max_size=12)
VALUES = st.one_of(st.booleans(), INT64, FLOATS, TEXT, BINARY)
KEY_VALUES = st.one_of(INT64, TEXT, BINARY)
TIMES = st.integers(min_value=0, max_value=2**62)

KEYS = st.lists(st.tuples(NAMES, KEY_VALUES), min_size=1, max_size=4)
CELLS = st.lists(st.one_of(st.tuples(NAMES, VALUES), st.tuples(NAMES, VALUES, TIMES)), max_size=8)
UPDATES = st.fixed_dictionaries(
    {},
    optional={
        "PUT": st.lists(st.one_of(st.tuples(NAMES, VALUES), st.tuples(NAMES, VALUES, TIMES)), min_size=1, max_size=4),
        "DELETE": st.lists(st.tuples(NAMES, st.none(), TIMES), min_size=1, max_size=3),
        "DELETE_ALL": st.lists(NAMES, min_size=1, max_size=3),
        "INCREMENT": st.lists(st.tuples(NAMES, INT64), min_size=1, max_size=3),
    },
)

OPERATIONS = {
    "PUT": None,
    "DELETE": plainbuffer.DELETE_ONE_VERSION,
    "DELETE_ALL": plainbuffer.DELETE_ALL_VERSIONS,
    "INCREMENT": plainbuffer.INCREMENT,
}


def plain(value):
    """A decoded value as the SDK would hand it out."""
    if value is None:
        return None
    decoded = decode_value(value)
    if value[0] == STRING:
        return decoded.decode()
    return bytearray(decoded) if value[0] == BLOB else decoded


def changes_of(row):
    return [(name.decode(), plain(value), operation, time) for name, value, operation, time, _ in row.changes]


def read_with_sdk(data: bytes):
    return PlainBufferCodedInputStream(PlainBufferInputStream(data)).read_row()


def sdk_update_row(key, columns) -> bytes:
    """The SDK's encoding, with room enough: its own estimate of an update's size leaves out the timestamps."""
    output = PlainBufferOutputStream(1 << 20)
    stream = PlainBufferCodedOutputStream(output)
    stream.write_header()
    checksum = stream.write_update_columns(columns, stream.write_primary_key(key, 0))
    stream.write_row_checksum(PlainBufferCrc8.crc_int8(checksum, 0))
    return bytes(output.get_buffer())


def reader_for(key) -> KeyReader:
    kinds = {int: INTEGER, str: STRING, bytearray: BLOB}
    return KeyReader([KeyColumn(name.encode(), kinds[type(value)]) for name, value in key])


class TestChecksum:
    @given(st.binary(max_size=3000))
    @example(b"")
    @example(bytes(16))
    @example(b"\xff" * 127)
    @example(b"\xff" * 128)
    def test_is_the_sdks(self, data):
        assert crc8(data) == PlainBufferCrc8.crc_bytes(0, data)

    @pytest.mark.parametrize("length", [*range(200), 254, 255, 508, 1016, 1017, 65_536, 1_000_003])
    def test_of_every_length(self, length):
        data = bytes((index * 37 + index // 251 + 1) & 0xFF for index in range(length))
        assert crc8(data) == PlainBufferCrc8.crc_bytes(0, data)

    @given(st.binary(max_size=100), st.binary(min_size=8, max_size=8))
    def test_joined(self, data, following):
        assert join_crc8(crc8(data), crc8(following)) == crc8(data + following)


class TestValues:
    @given(VALUES)
    def test_round_trip(self, value):
        encoded = encode_value(bytes(value) if isinstance(value, bytearray) else value)
        assert encoded == bytes(PlainBufferBuilder.serialize_column_value(value))
        found = plain(encoded)
        assert type(found) is type(value)
        assert found == value
        assert check_value(encoded) is None

    @pytest.mark.parametrize(
        ("value", "size"),
        [(True, 1), (7, 8), (1.5, 8), ("", 0), ("é", 2), (b"", 0), (b"123", 3)],
        ids=repr,
    )
    def test_billed_size(self, value, size):
        assert value_size(encode_value(value)) == size

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"\x00", id="integer-without-data"),
            pytest.param(b"\x00" + bytes(7), id="integer-too-short"),
            pytest.param(b"\x00" + bytes(9), id="integer-too-long"),
            pytest.param(b"\x02", id="boolean-without-data"),
            pytest.param(b"\x03\x00\x00", id="string-without-length"),
            pytest.param(b"\x03" + struct.pack("<I", 4) + b"abc", id="string-too-short"),
            pytest.param(b"\x07" + struct.pack("<I", 2) + b"abc", id="binary-too-long"),
            pytest.param(b"\x06", id="null"),
            pytest.param(b"\x63", id="unknown"),
        ],
    )
    def test_malformed(self, value):
        assert check_value(value) is not None


class TestRequests:
    @given(KEYS, CELLS)
    def test_put(self, key, cells):
        body = bytes(PlainBufferBuilder.serialize_for_put_row(key, cells))
        row = decode_request_row(body, None)
        assert [(name.decode(), plain(value)) for name, value, _ in row.key] == key
        assert changes_of(row) == [(name, value, None, time[0] if time else None) for name, value, *time in cells]
        assert not row.deletes_row

    @given(KEYS, UPDATES)
    def test_update(self, key, columns):
        body = sdk_update_row(key, columns)
        expected = []
        for kind, cells in columns.items():
            for cell in cells:
                name, value, *time = (cell, None) if isinstance(cell, str) else cell
                expected.append((name, value, OPERATIONS[kind], time[0] if time else None))
        assert changes_of(decode_request_row(body, None)) == expected

    @given(KEYS)
    def test_delete(self, key):
        row = decode_request_row(bytes(PlainBufferBuilder.serialize_for_delete_row(key)), None)
        assert row.deletes_row
        assert row.changes == []

    @given(KEYS, CELLS)
    def test_a_reader_finds_what_reading_cell_by_cell_finds(self, key, cells):
        body = bytes(PlainBufferBuilder.serialize_for_put_row(key, cells))
        reader = reader_for(key)
        quick, slow = decode_request_row(body, reader), decode_request_row(body, None)
        assert quick.reader is reader
        assert slow.reader is None
        assert quick[:3] == slow[:3]
        assert quick.encoded_key == encode_key(slow.key)

    @given(KEYS, KEYS)
    def test_a_reader_of_another_schema_changes_nothing(self, key, other):
        body = bytes(PlainBufferBuilder.serialize_primary_key(key))
        row = decode_request_row(body, reader_for(other))
        assert row[:3] == decode_request_row(body, None)[:3]

    @given(KEYS, CELLS, st.data())
    def test_a_flipped_bit_of_a_value_is_refused(self, key, cells, data):
        body = bytearray(PlainBufferBuilder.serialize_for_put_row(key, [("marked", "0123456789" * 5), *cells]))
        place = body.index(b"0123456789" * 5) + data.draw(st.integers(0, 49))
        body[place] ^= 1 << data.draw(st.integers(0, 6))
        with pytest.raises(RequestError, match="checksum is mismatch"):
            decode_request_row(bytes(body), None)

    @given(KEYS, CELLS, st.data())
    def test_a_cut_row_is_refused(self, key, cells, data):
        body = bytes(PlainBufferBuilder.serialize_for_put_row(key, cells))
        cut = body[: data.draw(st.integers(0, len(body) - 1))]
        for reader in (None, reader_for(key)):
            with pytest.raises(RequestError) as caught:
                decode_request_row(cut, reader)
            assert caught.value.code == "OTSParameterInvalid"

    @given(KEYS, UPDATES, st.data())
    def test_any_damage_is_refused_or_harmless(self, key, columns, data):
        body = bytearray(sdk_update_row(key, columns))
        for _ in range(data.draw(st.integers(1, 4))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        for reader in (None, reader_for(key)):
            with contextlib.suppress(RequestError):
                row = decode_request_row(bytes(body), reader)
                assert all(value is None or check_value(value) is None for _, value, *_ in row.changes)

    @given(st.binary(max_size=60))
    def test_noise_is_refused(self, noise):
        for body in (noise, plainbuffer.HEADER + noise):
            with pytest.raises(RequestError):
                decode_request_row(body, None)


class TestStoredRows:
    @given(KEYS, st.dictionaries(NAMES, VALUES, max_size=8), TIMES)
    def test_the_sdk_reads_what_is_stored(self, key, columns, now):
        body = bytes(PlainBufferBuilder.serialize_for_put_row(key, list(columns.items())))
        request = decode_request_row(body, None)
        stamper = plainbuffer.Stamper(now)
        cells = [stamper.stamp(name, value, wire) for name, value, _, _, wire in request.changes]
        row = plainbuffer.encode_row(request.key, cells)
        found_key, found = read_with_sdk(plainbuffer.encode_answer(row))
        assert found_key == key
        assert found == [(name, value, now) for name, value in columns.items()]
        assert plainbuffer.decode_cells(row) == (request.key, cells)
        assert [plainbuffer.timestamp_of(cell) for cell in cells] == [now] * len(cells)

    @given(KEYS, st.dictionaries(NAMES, VALUES, max_size=6), TIMES)
    def test_made_cells_are_those_of_requests(self, key, columns, now):
        body = bytes(PlainBufferBuilder.serialize_for_put_row(key, list(columns.items())))
        request = decode_request_row(body, None)
        stamper = plainbuffer.Stamper(now)
        for name, value, wire in request.key:
            assert plainbuffer.make_key_cell(name, value) == (name, value, wire)
        for name, value, _, _, wire in request.changes:
            assert plainbuffer.make_cell(name, value, stamper) == stamper.stamp(name, value, wire)

    @given(KEYS, st.dictionaries(NAMES, VALUES, max_size=6))
    def test_values_by_name(self, key, columns):
        body = bytes(PlainBufferBuilder.serialize_for_put_row(key, list(columns.items())))
        request = decode_request_row(body, None)
        stamper = plainbuffer.Stamper(1)
        cells = [stamper.stamp(name, value, wire) for name, value, _, _, wire in request.changes]
        expected: dict[bytes, list[bytes]] = {}
        for name, value, _ in [*request.key, *cells]:
            expected.setdefault(name, []).append(value)
        assert plainbuffer.decode_values(plainbuffer.encode_row(request.key, cells)) == expected

    def test_times_and_size(self):
        key = [plainbuffer.make_key_cell(b"p", encode_value("ab"))]
        cells = [
            plainbuffer.make_cell(b"xy", encode_value(1), plainbuffer.Stamper(30)),
            plainbuffer.make_cell(b"xy", encode_value(True), plainbuffer.Stamper(10)),
        ]
        row = plainbuffer.make_row(key, cells)
        assert (row.size, row.oldest, row.newest) == (3 + 10 + 3, 10, 30)
        assert plainbuffer.make_row(key, [])[2:] == (3, None, None)

    def test_a_double_survives_to_the_last_bit(self):
        for number in (0.1, -0.0, math.nextafter(1.0, 2.0), 5e-324):
            assert struct.pack("<d", decode_value(encode_value(number))) == struct.pack("<d", number)
