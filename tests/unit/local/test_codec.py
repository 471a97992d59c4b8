"""The codec of in-process clients writes and reads what the SDK's own writes and reads."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tablestore import (
    INF_MAX,
    INF_MIN,
    PK_AUTO_INCR,
    BatchGetRowRequest,
    BatchWriteRowRequest,
    CapacityUnit,
    ColumnReturnType,
    ColumnsToGet,
    Condition,
    Direction,
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
    TableInBatchGetRowItem,
    TableInBatchWriteRowItem,
    TableMeta,
    TableOptions,
    UpdateRowItem,
    decoder,
    encoder,
)
from tablestore.metadata import ComparatorType
from tablestore.plainbuffer.plain_buffer_builder import PlainBufferBuilder

from langchain_tablestore_memory.local import Tablestore, async_ots_client, ots_client
from langchain_tablestore_memory.local.codec import encode_bound, encode_put_row, encode_update_row

INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1)
NAMES = st.text(st.characters(codec="ascii"), max_size=20)
VALUES = st.one_of(st.text(max_size=300), INTEGERS, st.floats(), st.booleans(), st.binary(max_size=300).map(bytearray))
KEYS = st.lists(st.tuples(NAMES, st.one_of(st.text(max_size=50), INTEGERS)), max_size=4)

pytestmark = pytest.mark.skipif(
    encoder.NATIVE_ENCODER_AVAILABLE, reason="the SDK has native code here, and in-process clients use it"
)


def by_sdk(primary_key, columns):
    return bytes(PlainBufferBuilder.serialize_for_put_row(primary_key, columns))


def assert_same_request(api, *arguments):
    with Tablestore(None) as service:
        ours = ots_client(service).protocol.encoder.encode_request(api, *arguments)
    theirs = encoder.OTSProtoBufferEncoder("utf8").encode_request(api, *arguments)
    assert ours.SerializeToString() == theirs.SerializeToString()


class TestEncoding:
    @given(KEYS, st.lists(st.tuples(NAMES, VALUES), max_size=6))
    def test_the_same_bytes(self, primary_key, columns):
        assert encode_put_row(primary_key, columns) == by_sdk(primary_key, columns)

    @pytest.mark.parametrize(
        ("primary_key", "columns"),
        [
            ([("k", "a")], [("c", "x", 1_700_000_000_000)]),
            ([("k", "a")], [("c", b"x")]),
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

    @given(KEYS, st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=6))
    def test_the_same_bytes_of_an_update(self, primary_key, columns):
        by_sdk = PlainBufferBuilder.serialize_for_update_row(primary_key, {"PUT": columns})
        assert encode_update_row(primary_key, {"PUT": columns}) == bytes(by_sdk)

    @pytest.mark.parametrize(
        "changes",
        [
            {"PUT": [("c", "x")], "DELETE_ALL": ["d"]},
            {"DELETE_ALL": ["d"]},
            {"INCREMENT": [("n", 1)]},
            {"put": [("c", "x")]},
            {"PUT": (("c", "x"),)},
            {"PUT": [["c", "x"]]},
            {"PUT": []},
            {"PUT": [("c", "x", 1_700_000_000_000)]},
            {},
            [("c", "x")],
        ],
    )
    def test_an_unusual_update_is_left_to_the_sdk(self, changes):
        assert encode_update_row([("k", "a")], changes) is None

    @given(st.lists(st.tuples(NAMES, st.one_of(st.text(max_size=50), INTEGERS, st.sampled_from([INF_MIN, INF_MAX])))))
    def test_the_same_bytes_of_the_end_of_a_range(self, key):
        assert encode_bound(key) == bytes(PlainBufferBuilder.serialize_primary_key(key))

    @pytest.mark.parametrize("key", [(("k", "a"),), [("k", PK_AUTO_INCR)], [("k", None)], [("k", 0.5)], [("k",)]])
    def test_an_unusual_end_of_a_range_is_left_to_the_sdk(self, key):
        assert encode_bound(key) is None

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
            UpdateRowItem(Row([("k", "a")], {"PUT": [("c", "x"), ("n", 0.5)]}), condition, return_type),
            UpdateRowItem(Row([("k", "a")], {"DELETE_ALL": ["c"]}), condition, return_type),
        ]
        request = BatchWriteRowRequest()
        request.add(TableInBatchWriteRowItem("t", items))
        assert_same_request("BatchWriteRow", request)
        for api, item in zip(("PutRow", "PutRow", "UpdateRow", "UpdateRow"), items, strict=True):
            assert_same_request(api, "t", item.row, condition, return_type, None)

    @pytest.mark.parametrize("bound", [INF_MIN, "a", bytearray(b"a")])
    def test_the_same_request_for_a_range(self, bound):
        ends = [("k", bound)], [("k", INF_MAX)]
        condition = SingleColumnCondition("c", 1, ComparatorType.EQUAL)
        assert_same_request(
            "GetRange", "t", Direction.FORWARD, *ends, ["c"], 10, condition, 1, None, None, None, None, None
        )


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

    def test_the_same_rows_of_a_batch(self, service):
        keys = [[("k", "鍵")], [("k", "none")], [("k", "b")]]

        def read(client):
            request = BatchGetRowRequest()
            request.add(TableInBatchGetRowItem("t", keys, max_version=1))
            return client.batch_get_row(request).get_result_by_table("t")

        ours = read(ots_client(service))
        plain = ots_client(service)
        plain.protocol.decoder = decoder.OTSProtoBufferDecoder("utf8")
        for one, other in zip(ours, read(plain), strict=True):
            assert (one.is_ok, one.error_code, one.error_message) == (
                other.is_ok,
                other.error_code,
                other.error_message,
            )
            assert one.consumed.read == other.consumed.read
            assert (one.row is None) == (other.row is None)
            if one.row is not None:
                assert one.row.primary_key == other.row.primary_key
                assert one.row.attribute_columns == other.row.attribute_columns
                assert list(map(type, dict(c[:2] for c in one.row.attribute_columns).values())) == list(
                    map(type, dict(c[:2] for c in other.row.attribute_columns).values())
                )

    def test_async(self, service):
        found = asyncio.run(self.search(async_ots_client(service)))
        assert found.rows == self.search(ots_client(service)).rows


def test_other_clients_are_left_alone():
    with Tablestore(None) as service:
        ots_client(service)
    client = OTSClient("http://127.0.0.1:1", "id", "secret", "instance")
    assert type(client.protocol.encoder) is encoder.OTSProtoBufferEncoder
    assert type(client.protocol.decoder) is decoder.OTSProtoBufferDecoder
