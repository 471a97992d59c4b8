"""Rows with vectors take less space, and come back as they were."""

from __future__ import annotations

import json
import struct

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tablestore_memory.local.packing import pack_row, read_numbers, unpack_cells, unpack_row
from langchain_tablestore_memory.local.plainbuffer import Stamper, encode_row, make_cell, make_key_cell, make_row
from langchain_tablestore_memory.local.values import encode_value

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def make(columns, now=1_700_000_000_000):
    stamper = Stamper(now)
    cells = [make_cell(name.encode(), encode_value(value), stamper) for name, value in columns.items()]
    return make_row([make_key_cell(b"k", encode_value("a"))], cells)


def text_of(numbers):
    return orjson.dumps(np.array(numbers, np.float32), option=orjson.OPT_SERIALIZE_NUMPY).decode()


def comes_back(columns):
    row = make(columns)
    stored = pack_row(row)
    plain = encode_row(row.key, row.cells)
    assert unpack_row(stored) == plain
    assert unpack_cells(stored) == (row.key, row.cells)
    return len(plain) - len(stored)


@given(st.integers(0, 2**32), st.lists(FLOATS, max_size=3), st.text(max_size=20), st.integers(0, 3))
def test_vectors(seed, first, text, place):
    """Any float32, which Hypothesis would take long to draw in such numbers."""
    bits = np.random.default_rng(seed).integers(0, 1 << 32, 100, np.uint32).view(np.float32)
    numbers = [*first, *bits[np.isfinite(bits)].tolist()]
    columns = list({"a": text, "b": 5, "c": 0.5}.items())
    columns.insert(place, ("vector", text_of(numbers)))
    assert comes_back(dict(columns)) > 0


@given(
    st.lists(st.one_of(FLOATS, st.floats(), st.integers(), st.booleans(), st.text(max_size=5)), min_size=1, max_size=5)
)
def test_any_array(elements):
    text = json.dumps(elements * 60)
    comes_back({"array": text, "tight": text.replace(" ", "")})


def test_how_much():
    numbers = np.random.default_rng(1).standard_normal(512).astype(np.float32)
    assert comes_back({"vector": text_of(numbers), "text": "tea"}) > 3500
    assert comes_back({"one": text_of(numbers), "two": text_of(-numbers)}) > 7000
    assert read_numbers(encode_value(text_of(numbers))) == numbers.tobytes()


@pytest.mark.parametrize(
    "text",
    [
        "[" + "x" * 300,
        "[" + ",".join(["1"] * 300) + "]",
        "[" + ", ".join(["1.5"] * 300) + "]",
        "[" + ",".join(["0.1234567890123"] * 300) + "]",
        "[" + ",".join(["1e300"] * 300) + "]",
        "[" + ",".join(["1" * 400] * 2) + "]",
        "[" + ",".join(["null"] * 300) + "]",
        "[" + ",".join(["[1.5]"] * 300) + "]",
        "[1.5" + " " * 300 + "]",
        json.dumps({str(number): 1.5 for number in range(100)}),
        json.dumps("x" * 300),
    ],
)
def test_other_text_stays(text):
    assert comes_back({"text": text}) == 0


def test_binary_stays():
    assert comes_back({"raw": struct.pack("<300f", *[0.5] * 300)}) == 0
    assert read_numbers(encode_value(b"[1.5]")) is None


def test_short_vectors_stay():
    assert comes_back({"vector": text_of([0.25] * 20)}) == 0
