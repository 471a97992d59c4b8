"""The codec of in-process clients writes and reads what the SDK's own writes and reads."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tablestore import (
    INF_MIN,
    PK_AUTO_INCR,
    BatchWriteRowRequest,
    CapacityUnit,
    ColumnReturnType,
    ColumnsToGet,
    Condition,
    FieldSchema,
    FieldType,
    MatchQuery,
    OTSClient,
    PutRowItem,
    ReservedThroughput,
    ReturnType,
    Row,
    RowExistenceExpectation,
    ScoreSort,
    SearchIndexMeta,
    SearchQuery,
    SingleColumnCondition,
    Sort,
    TableInBatchWriteRowItem,
    TableMeta,
    TableOptions,
    decoder,
    encoder,
)
from tablestore.metadata import ComparatorType
from tablestore.plainbuffer.plain_buffer_builder import PlainBufferBuilder

from langchain_tablestore_memory.local import Tablestore, async_ots_client, ots_client
from langchain_tablestore_memory.local.codec import encode_put_row

INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1)
NAMES = st.text(st.characters(codec="ascii"), max_size=20)
VALUES = st.one_of(st.text(max_size=300), INTEGERS, st.floats(), st.booleans())
KEYS = st.lists(st.tuples(NAMES, st.one_of(st.text(max_size=50), INTEGERS)), max_size=4)

pytestmark = pytest.mark.skipif(
    encoder.NATIVE_ENCODER_AVAILABLE, reason="the SDK has native code here, and in-process clients use it"
)


def by_sdk(primary_key, columns):
    return bytes(PlainBufferBuilder.serialize_for_put_row(primary_key, columns))


class TestEncoding:
    @given(KEYS, st.lists(st.tuples(NAMES, VALUES), max_size=6))
    def test_the_same_bytes(self, primary_key, columns):
        assert encode_put_row(primary_key, columns) == by_sdk(primary_key, columns)

    @pytest.mark.parametrize(
        ("primary_key", "columns"),
        [
            ([("k", "a")], [("c", "x", 1_700_000_000_000)]),
            ([("k", "a")], [("c", bytearray(b"x"))]),
            ([("k", "a")], [("c", None)]),
            ([("k", "a")], [("c", 1 << 63)]),
            ([("k", "a")], [("c", "\ud800")]),
            ([("k", "a")], [("列", "x")]),
            ([("k", PK_AUTO_INCR)], []),
            ([("k", INF_MIN)], []),
            ([("k", True)], []),
            ([("k", "a")], None),
            ((("k", "a"),), []),
        ],
    )
    def test_what_is_unusual_is_left_to_the_sdk(self, primary_key, columns):
        assert encode_put_row(primary_key, columns) is None

    @pytest.mark.parametrize("return_type", [None, ReturnType.RT_PK])
    @pytest.mark.parametrize(
        "condition",
        [
            None,
            Condition(RowExistenceExpectation.EXPECT_NOT_EXIST),
            Condition("IGNORE", SingleColumnCondition("c", 1, ComparatorType.EQUAL)),
        ],
    )
    def test_the_same_request(self, condition, return_type):
        items = [
            PutRowItem(Row([("k", "a")], [("c", "x"), ("n", 0.5)]), condition, return_type),
            PutRowItem(Row([("k", PK_AUTO_INCR)], [("c", "x")]), condition, return_type),
        ]
        request = BatchWriteRowRequest()
        request.add(TableInBatchWriteRowItem("t", items))
        with Tablestore(None) as service:
            ours = ots_client(service).protocol.encoder.encode_request("BatchWriteRow", request)
        theirs = encoder.OTSProtoBufferEncoder("utf8").encode_request("BatchWriteRow", request)
        assert ours.SerializeToString() == theirs.SerializeToString()


class TestDecoding:
    @pytest.fixture
    def service(self):
        with Tablestore(None) as service:
            client = ots_client(service)
            client.create_table(
                TableMeta("t", [("k", "STRING")]), TableOptions(), ReservedThroughput(CapacityUnit(0, 0))
            )
            client.create_search_index("t", "i", SearchIndexMeta([FieldSchema("text", FieldType.TEXT)]))
            row = [("text", "green 茶"), ("n", -5), ("real", 0.1), ("flag", True), ("raw", bytearray(b"\x00\xff"))]
            client.put_row("t", Row([("k", "鍵")], row))
            client.put_row("t", Row([("k", "b")], [("text", "green")]))
            yield service

    def search(self, client, **options):
        return client.search(
            "t", "i", SearchQuery(MatchQuery("text", "green"), **options), ColumnsToGet([], ColumnReturnType.ALL)
        )

    @pytest.mark.parametrize("sort", [None, Sort([ScoreSort()])], ids=["no sort", "by score"])
    @pytest.mark.parametrize("limit", [0, 1, 10])
    def test_the_same_response(self, service, sort, limit):
        ours = self.search(ots_client(service), sort=sort, limit=limit, get_total_count=True)
        plain = ots_client(service)
        plain.protocol.decoder = decoder.OTSProtoBufferDecoder("utf8")
        theirs = self.search(plain, sort=sort, limit=limit, get_total_count=True)
        assert ours.rows == theirs.rows
        assert [[type(value) for _, value, *_ in columns] for _, columns in ours.rows] == [
            [type(value) for _, value, *_ in columns] for _, columns in theirs.rows
        ]
        for name in ("next_token", "is_all_succeed", "total_count", "agg_results", "group_by_results"):
            assert getattr(ours, name) == getattr(theirs, name)
        for one, other in zip(ours.search_hits, theirs.search_hits, strict=True):
            assert one.row == other.row
            assert one.score == other.score or (math.isnan(one.score) and math.isnan(other.score))
            assert vars(one.highlight_result) == vars(other.highlight_result)
            assert (one.search_inner_hits, one.nested_doc_offset) == (other.search_inner_hits, other.nested_doc_offset)
        assert ours.request_id

    def test_async(self, service):
        found = asyncio.run(self.search(async_ots_client(service)))
        assert found.rows == self.search(ots_client(service)).rows


def test_other_clients_are_left_alone():
    with Tablestore(None) as service:
        ots_client(service)
    client = OTSClient("http://127.0.0.1:1", "id", "secret", "instance")
    assert type(client.protocol.encoder) is encoder.OTSProtoBufferEncoder
    assert type(client.protocol.decoder) is decoder.OTSProtoBufferDecoder
