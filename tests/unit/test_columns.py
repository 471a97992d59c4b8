"""Metadata as columns: returned exactly as given, or refused by name."""

from __future__ import annotations

import datetime as dt
import math
from types import MappingProxyType

import numpy as np
import pytest
import tablestore
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from tablestore_for_agent_memory.base.common import MetaType as PeerMetaType

from langchain_tablestore_memory.core.columns import (
    MAX_METADATA_COLUMNS,
    MAX_ROW_BYTES,
    MAX_VALUE_BYTES,
    METADATA_COLUMN,
    MetaType,
    check_row_size,
    continuation_columns,
    decode_metadata,
    encode_metadata,
    is_metadata_column,
    join_text,
    row_size,
    split_text,
)
from langchain_tablestore_memory.errors import InvalidArgumentError, StoredDataError
from langchain_tablestore_memory.local import Tablestore, ots_client

# Machines that run tests are busy: how long an example takes says nothing.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])

RESERVED = frozenset({"session_id", "update_time", "content"})


def round_trip(metadata, reserved=RESERVED):
    return decode_metadata(dict(encode_metadata(metadata, reserved=reserved)), reserved=reserved)


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(max_size=5),
        st.binary(max_size=5),
        st.binary(max_size=5).map(bytearray),
        st.datetimes(),
        st.decimals(allow_nan=False),
        st.uuids(),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
keys = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        [*RESERVED, "lc_metadata", "lc_message", "a", "A_1", "页码", "a.b", "", "$py:tuple", "#x", "x" * 256]
    ),
)


@unhurried
@given(st.dictionaries(keys, values, max_size=5))
@example({"$py:dict": 1})
def test_metadata_returns_exactly_as_given_and_sorted(metadata):
    returned = round_trip(metadata)
    assert returned == metadata
    assert {key: type(value) for key, value in returned.items()} == {key: type(metadata[key]) for key in metadata}
    assert list(returned) == sorted(metadata)


@unhurried
@given(st.dictionaries(keys, values, max_size=5))
def test_columns_are_what_the_sdk_and_the_service_take(metadata):
    columns = encode_metadata(metadata, reserved=RESERVED)
    names = [name for name, _ in columns]
    assert len(set(names)) == len(names)
    for name, value in columns:
        assert name == METADATA_COLUMN or is_metadata_column(name, reserved=RESERVED)
        assert name not in RESERVED
        assert type(value) in {str, int, float, bool, bytearray}


@pytest.fixture(scope="module")
def client():
    client = ots_client(Tablestore(None))
    client.create_table(
        tablestore.TableMeta("rows", [("session_id", "STRING")]),
        tablestore.TableOptions(),
        tablestore.ReservedThroughput(tablestore.CapacityUnit(0, 0)),
    )
    return client


def through_engine(client, metadata):
    key = [("session_id", "s")]
    client.put_row("rows", tablestore.Row(key, encode_metadata(metadata, reserved=RESERVED)))
    _, row, _ = client.get_row("rows", key, max_version=1)
    return decode_metadata({column[0]: column[1] for column in row.attribute_columns}, reserved=RESERVED)


@unhurried
@given(st.dictionaries(keys, values, max_size=5))
@example({"empty": "", "none": bytearray(), "zero": -0.0, "least": -(2**63), "nul": "\x00", "tiny": 5e-324})
def test_metadata_returns_from_a_table(client, metadata):
    returned = through_engine(client, metadata)
    assert repr(returned) == repr(dict(sorted(metadata.items())))


def test_long_values_return_from_a_table(client):
    metadata = {"text": "中" * 800_000, "bytes": bytearray(b"x" * 100_000), "many": list(range(10_000))}
    assert through_engine(client, metadata) == metadata


def test_scalars_become_columns_and_the_rest_one_json_column():
    columns = encode_metadata(
        {
            "s": "x",
            "b": True,
            "i": 5,
            "f": 1.5,
            "y": bytearray(b"China"),
            "l": [1],
            "n": None,
            "content": "mine",
            "页码": 3,
        },
        reserved=RESERVED,
    )
    assert columns == [
        ("s", "x"),
        ("b", True),
        ("i", 5),
        ("f", 1.5),
        ("y", bytearray(b"China")),
        (METADATA_COLUMN, '{"l":[1],"n":null,"content":"mine","页码":3}'),
    ]
    assert [type(value) for _, value in columns[1:3]] == [bool, int]


def test_the_metadata_given_is_not_changed():
    metadata = {"a": [1], "b": {"c": None}}
    encode_metadata(MappingProxyType(metadata))
    assert metadata == {"a": [1], "b": {"c": None}}


def test_numbers_that_no_column_holds():
    metadata = {"big": 2**63, "small": -(2**63) - 1, "inf": math.inf, "most": 2**63 - 1, "least": -(2**63)}
    assert [name for name, _ in encode_metadata(metadata)] == ["most", "least", METADATA_COLUMN]
    assert round_trip(metadata) == metadata
    assert math.isnan(round_trip({"nan": math.nan})["nan"])
    assert math.copysign(1, round_trip({"zero": -0.0})["zero"]) == -1


def test_numpy_scalars_stay_what_they_are():
    returned = round_trip({"a": np.float64(1.5), "b": np.int64(3)})
    assert [type(value) for value in returned.values()] == [np.float64, np.int64]


def test_the_text_of_a_message_is_text():
    text = AIMessage("tea").text
    columns = encode_metadata({"said": text, "all": [text, {"x": text}]})
    assert columns[0] == ("said", "tea")
    assert type(columns[0][1]) is str
    assert decode_metadata(dict(columns)) == {"all": ["tea", {"x": "tea"}], "said": "tea"}


def test_columns_of_other_tools_are_read_unchanged():
    row = {
        "content": "hi",
        "update_time": 5,
        "meta_string": "x",
        "meta_bytes": bytearray(b"y"),
        "页码": 7,
        "lc_other": "?",
    }
    assert decode_metadata(row, reserved=RESERVED) == {"meta_bytes": bytearray(b"y"), "meta_string": "x", "页码": 7}


def test_a_column_written_later_by_another_tool_counts():
    assert decode_metadata({METADATA_COLUMN: '{"a":null,"b":[1]}', "a": 5}) == {"a": 5, "b": [1]}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "metadata is of type NoneType; a dict"),
        ([("a", 1)], "metadata is of type list; a dict"),
        ({1: "a"}, "metadata has a key of type int; keys are plain str"),
        ({"a": object()}, r"metadata\['a'\] is of type builtins.object, which cannot be stored exactly"),
        ({"a": {"b": [1, print]}}, r"metadata\['a'\]\['b'\]\[1\] is of type builtins.builtin_function_or_method"),
        ({"a": "x\ud800"}, r"metadata\['a'\] has a lone surrogate at position 1"),
        ({"页\ud800": "x"}, r"metadata has a key that has a lone surrogate at position 1"),
        ({"a": ["\ud800"]}, r"metadata\['a'\]\[0\] has a lone surrogate at position 0"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(metadata, message):
    with pytest.raises(InvalidArgumentError, match=message):
        encode_metadata(metadata)


def test_advice_names_no_option_that_does_not_exist():
    class Moment(dt.datetime):
        pass

    with pytest.raises(InvalidArgumentError) as caught:
        encode_metadata({"a": Moment(2024, 1, 1)})
    assert str(caught.value).endswith("which cannot be stored exactly. Convert it to a plain datetime.")


@pytest.mark.parametrize("text", ["[1]", "5", "{", '{"a":{"$py:new":1}}'])
def test_a_damaged_metadata_column_is_named(text):
    with pytest.raises(StoredDataError, match=f"the column '{METADATA_COLUMN}'"):
        decode_metadata({METADATA_COLUMN: text})
    with pytest.raises(StoredDataError, match="holds int where text is expected"):
        decode_metadata({METADATA_COLUMN: 5})


def test_very_many_keys_fit_one_write():
    metadata = {f"k{number}": number for number in range(3000)}
    columns = encode_metadata(metadata)
    assert len(columns) == MAX_METADATA_COLUMNS + 1
    assert round_trip(metadata) == metadata


# --- Long text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("character", ["x", "é", "中", "😀"])
@pytest.mark.parametrize("shift", ["", "x", "xx", "xxx"])
@pytest.mark.parametrize("size", [MAX_VALUE_BYTES - 8, MAX_VALUE_BYTES, MAX_VALUE_BYTES + 8, MAX_ROW_BYTES - 8])
def test_long_text_is_cut_between_characters(character, shift, size):
    text = shift + character * (size // len(character.encode()))
    columns = split_text("content", text)
    assert [name for name, _ in columns] == ["content", "lc_content_1", "lc_content_2"][: len(columns)]
    assert all(len(chunk.encode()) <= MAX_VALUE_BYTES for _, chunk in columns)
    assert join_text("content", dict(columns)) == text
    assert (len(columns) == 1) == (len(text.encode()) <= MAX_VALUE_BYTES)


def test_continuation_columns_are_ours():
    assert continuation_columns("content") == ("lc_content_1", "lc_content_2")
    assert continuation_columns("lc_message") == ("lc_message_1", "lc_message_2")
    assert not any(is_metadata_column(name) for name in continuation_columns("content"))


def test_what_is_left_of_longer_text_is_not_appended():
    row = dict(split_text("content", "x" * (MAX_VALUE_BYTES + 10)))
    assert join_text("content", {**row, "content": "new"}) == "new"
    assert join_text("content", {**row, "content": "y" * 1_000_000}) == "y" * 1_000_000
    assert join_text("content", {}) is None
    assert join_text("content", {"content": ""}) == ""


def test_long_metadata_returns():
    metadata = {"text": "中" * 800_000, "bytes": bytearray(b"x" * (MAX_VALUE_BYTES // 2)), "long": bytearray(b"y")}
    columns = encode_metadata(metadata)
    assert [name for name, _ in columns] == ["bytes", "long", METADATA_COLUMN, "lc_metadata_1"]
    assert round_trip(metadata) == metadata


def test_text_that_no_row_holds_is_refused():
    with pytest.raises(InvalidArgumentError, match="content has 4194305 bytes; a row is written with at most 4194304"):
        split_text("content", "x" * (MAX_ROW_BYTES + 1))
    with pytest.raises(InvalidArgumentError, match="content has a lone surrogate at position 2"):
        split_text("content", "ab\udc00")


def test_row_size_is_the_services():
    key = [("session_id", "s1"), ("create_time", 1)]
    columns = [("content", "你好"), ("f", 1.5), ("b", True), ("y", bytearray(b"abc"))]
    assert row_size(key, columns) == (10 + 2) + (11 + 8) + (7 + 6) + (1 + 8) + (1 + 1) + (1 + 3)


def test_a_row_over_the_limit_is_refused_before_it_is_sent():
    key = [("k", "v")]
    fitting = [("a", "x" * 2_000_000), ("b", "x" * (MAX_ROW_BYTES - 2_000_000 - 4))]
    assert check_row_size(key, fitting) == MAX_ROW_BYTES
    with pytest.raises(
        InvalidArgumentError, match="message 'm1' has 4194305 bytes; a row is written with at most 4194304"
    ):
        check_row_size(key, [*fitting, ("", "x")], what="message 'm1'")


def test_types_of_columns_have_the_names_of_the_peer():
    assert {kind.name: kind.value for kind in MetaType} == {kind.name: kind.value for kind in PeerMetaType}
