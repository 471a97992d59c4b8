"""Bundles return what was put into them, and refuse what is damaged."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_tablestore_memory import InvalidArgumentError, StoredDataError
from langchain_tablestore_memory.langgraph.checkpoints.bundles import bundle, pack, unbundle, unpack

DESCRIPTIONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(DESCRIPTIONS, st.lists(st.binary(max_size=3000), max_size=6))
def test_what_is_put_in_comes_out(description, parts):
    assert unbundle(bundle(description, parts)) == (description, parts)


@given(st.binary(max_size=3000) | st.binary(max_size=30).map(lambda data: data * 200))
def test_bytes_come_out_as_they_were(data):
    assert unpack(pack(data)) == data


def test_what_compresses_is_compressed():
    assert len(pack(b"chat" * 2000)) < 200


def test_what_does_not_stays_as_it_is():
    data = random.Random(0).randbytes(5000)
    assert len(pack(data)) == len(data) + 1


@pytest.mark.parametrize("description", [{1: "a"}, {"\ud800": 1}, ["\udfff"], 2**64, ...], ids=ascii)
def test_what_json_does_not_hold_is_refused(description):
    with pytest.raises(InvalidArgumentError, match="cannot be stored"):
        bundle(description, [])


@pytest.mark.parametrize("kept", [0, 1, 3, 5, 10, -1])
def test_what_is_cut_off_is_noticed(kept):
    whole = bundle({"a": 1}, [b"some", b"parts"])
    with pytest.raises(StoredDataError):
        unbundle(whole[:kept])


def test_what_was_compressed_and_cut_off_is_noticed():
    whole = bundle({"a": 1}, [b"chat" * 1000])
    with pytest.raises(StoredDataError):
        unbundle(whole[:-3])


def test_what_another_tool_wrote_is_refused():
    with pytest.raises(StoredDataError, match="another tool"):
        unbundle(b'{"json": true}')
