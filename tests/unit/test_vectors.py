"""Vectors as JSON text: exact, short, and refused where they cannot be kept."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tablestore_memory.core.vectors import check_vector, decode_vector, encode_vector
from langchain_tablestore_memory.errors import InvalidArgumentError, StoredDataError

floats32 = st.floats(allow_nan=False, allow_infinity=False, width=32)


def check(vector, dimension=None):
    return check_vector(vector, dimension=dimension, what="The vector")


@given(st.lists(floats32, min_size=1, max_size=20))
def test_every_float32_returns_exactly(numbers):
    vector = np.array(numbers, dtype=np.float32)
    text = encode_vector(check(vector))
    assert np.array_equal(np.array(decode_vector(text, what="x"), dtype=np.float32), vector)
    # The service reads it with any JSON parser.
    assert [np.float32(number) for number in json.loads(text)] == list(vector)


@given(st.lists(floats32, min_size=1, max_size=20))
def test_no_shorter_decimal_reads_back_to_the_same_float32(numbers):
    for number in map(np.float32, numbers):
        (text,) = json.loads(encode_vector(check([number])).replace("[", '["').replace("]", '"]'))
        digits = len(text.partition("e")[0].replace(".", "").strip("-0"))
        shortest = len(np.format_float_scientific(number, unique=True).partition("e")[0].replace(".", "").strip("-0"))
        assert digits <= max(shortest, 1)


@pytest.mark.parametrize(
    "vector",
    [[1, 2], (1.0, 2.0), np.array([1, 2]), np.array([1.0, 2.0]), np.array([1, 2], dtype=np.float32), range(1, 3)],
)
def test_whatever_holds_numbers_is_a_vector(vector):
    assert encode_vector(check(vector, 2)) == "[1.0,2.0]"


def test_a_strided_view_is_a_vector():
    assert encode_vector(check(np.arange(6, dtype=np.float32)[::2])) == "[0.0,2.0,4.0]"


def test_a_thousand_dimensions_take_thirteen_kilobytes():
    vector = np.random.default_rng(7).standard_normal(1024)
    vector /= np.linalg.norm(vector)
    assert len(encode_vector(check(vector))) < 0.6 * len(json.dumps(vector.tolist()))


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        ([1, 2], "has 2 dimensions; this store has 3"),
        ([], "shape 0"),
        ([[1, 2, 3]], "shape 1x3"),
        ([[1], [2, 3]], "different lengths"),
        (["1", "2", "3"], "no numbers"),
        ([True, False, True], "no numbers"),
        ([None, 1, 2], "no numbers"),
        ([1, math.nan, 2], "nan at position 1"),
        ([1, 2, -math.inf], "-inf at position 2"),
        ([1e39, 0, 0], "position 0"),
        ("123", "is a str"),
        (None, "is a NoneType"),
        (5, "is a int"),
        (1j * np.ones(3), "no numbers"),
    ],
)
def test_what_is_no_vector_is_refused(vector, reason):
    with pytest.raises(InvalidArgumentError, match=f"The vector .*{reason}"):
        check(vector, 3)


def test_more_dimensions_than_the_service_takes_are_refused():
    with pytest.raises(InvalidArgumentError, match="at most 4096"):
        check(np.zeros(4097))


def test_what_other_tools_write_is_read():
    assert decode_vector("[1, 0.5, -2e-3]", what="x") == [1.0, 0.5, -0.002]


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1,", "[true]", '["a"]', "[null]", "1", None, 5])
def test_damaged_vectors_are_named(text):
    with pytest.raises(StoredDataError, match="The embedding of document 'd1'"):
        decode_vector(text, what="The embedding of document 'd1'")
