"""Short names for the SDK's search calls, and expected errors."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager

import pytest
from tablestore import (
    AnalyzerType,
    BatchWriteRowRequest,
    CapacityUnit,
    ColumnReturnType,
    ColumnsToGet,
    Condition,
    FieldSchema,
    FieldSort,
    FieldType,
    OTSServiceError,
    PutRowItem,
    ReservedThroughput,
    Row,
    ScoreSort,
    SearchIndexMeta,
    SearchQuery,
    Sort,
    SortOrder,
    TableInBatchWriteRowItem,
    TableMeta,
    TableOptions,
    VectorDataType,
    VectorMetricType,
    VectorOptions,
)

IGNORE = Condition("IGNORE")
INVALID = "OTSParameterInvalid"
STATUS = {INVALID: 400, "OTSMetaNotMatch": 400, "OTSObjectNotExist": 404, "OTSObjectAlreadyExist": 409}

BY_SCORE = Sort([ScoreSort()])
NOTHING = ColumnsToGet([], ColumnReturnType.NONE)
ALL = ColumnsToGet([], ColumnReturnType.ALL)
FROM_INDEX = ColumnsToGet([], ColumnReturnType.ALL_FROM_INDEX)


def only(*names):
    return ColumnsToGet(list(names), ColumnReturnType.SPECIFIED)


def vector_field(name, dimension=3, metric=VectorMetricType.VM_COSINE):
    options = VectorOptions(data_type=VectorDataType.VD_FLOAT_32, dimension=dimension, metric_type=metric)
    return FieldSchema(name, FieldType.VECTOR, vector_options=options)


def text_field(name, analyzer=AnalyzerType.SINGLEWORD, parameter=None):
    return FieldSchema(name, FieldType.TEXT, analyzer=analyzer, analyzer_parameter=parameter)


def by_field(name, order=SortOrder.ASC, mode=None):
    return Sort([FieldSort(name, order, mode)])


@contextmanager
def service_error(code, message=None):
    """Expect an `OTSServiceError` with this code and its HTTP status, and a message that this pattern is found in."""
    with pytest.raises(OTSServiceError) as caught:
        yield
    error = caught.value
    assert error.code == code, error.message
    assert error.http_status == STATUS[code]
    assert error.message
    if message is not None:
        assert re.search(message, error.message), error.message


def create_table(client, name="t", key=(("pk", "INTEGER"),), **options):
    client.create_table(TableMeta(name, list(key)), TableOptions(**options), ReservedThroughput(CapacityUnit(0, 0)))


def encode(columns):
    """Columns as SDK tuples: a list is stored as JSON, a missing value (None) is left out."""
    return [
        (name, json.dumps(value) if isinstance(value, list) else value)
        for name, value in columns.items()
        if value is not None
    ]


class Table:
    """A table whose key is one integer column ``pk``, with one search index."""

    def __init__(self, client, fields, *, name="t", rows=None, index="i", **meta):
        self.client, self.name, self.index = client, name, index
        create_table(client, name)
        if rows:
            self.put_many(rows)
        self.create_index(fields, **meta)

    def create_index(self, fields, **meta):
        self.client.create_search_index(self.name, self.index, SearchIndexMeta(list(fields), **meta))

    def put(self, key, **columns):
        self.client.put_row(self.name, Row([("pk", key)], encode(columns)), IGNORE)

    def update(self, key, **changes):
        self.client.update_row(self.name, Row([("pk", key)], changes), IGNORE)

    def delete(self, key):
        self.client.delete_row(self.name, Row([("pk", key)]), IGNORE)

    def put_many(self, rows):
        """Writes rows, given by key, in batches."""
        items = [PutRowItem(Row([("pk", key)], encode(columns)), IGNORE) for key, columns in rows.items()]
        for start in range(0, len(items), 200):
            request = BatchWriteRowRequest()
            request.add(TableInBatchWriteRowItem(self.name, items[start : start + 200]))
            assert self.client.batch_write_row(request).is_all_succeed()

    def search(self, query, columns=NOTHING, *, routing_keys=None, **options):
        """Searches; every answer is checked for what holds of every answer."""
        found = self.client.search(self.name, self.index, SearchQuery(query, **options), columns, routing_keys)
        assert found.is_all_succeed
        assert len(found.search_hits) == len(found.rows)
        assert [hit.row for hit in found.search_hits] == list(found.rows)
        return found

    def keys(self, query, **options):
        options.setdefault("limit", 1000)
        return [key_of(row) for row in self.search(query, **options).rows]

    def scores(self, query, **options):
        """Scores by key."""
        options.setdefault("limit", 1000)
        options.setdefault("sort", BY_SCORE)
        return {key_of(hit.row): hit.score for hit in self.search(query, **options).search_hits}

    def count(self, query):
        return self.search(query, limit=0, get_total_count=True).total_count


def key_of(row):
    return row[0][0][1]


def columns_of(row):
    return {name: value for name, value, *_ in row[1]}
