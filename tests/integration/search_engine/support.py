"""Short names for the SDK's search calls."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from tablestore import (
    CapacityUnit,
    ColumnReturnType,
    ColumnsToGet,
    FieldSchema,
    FieldType,
    OTSServiceError,
    ReservedThroughput,
    Row,
    ScoreSort,
    SearchIndexMeta,
    SearchQuery,
    Sort,
    TableMeta,
    TableOptions,
    VectorDataType,
    VectorMetricType,
    VectorOptions,
)

NOTHING = ColumnsToGet([], ColumnReturnType.NONE)
EVERYTHING = ColumnsToGet([], ColumnReturnType.ALL)
BY_SCORE = Sort([ScoreSort()])

FIELDS = (
    FieldSchema("word", FieldType.KEYWORD),
    FieldSchema("number", FieldType.LONG),
    FieldSchema("real", FieldType.DOUBLE),
    FieldSchema("flag", FieldType.BOOLEAN),
    FieldSchema("text", FieldType.TEXT),
    FieldSchema("day", FieldType.DATE, date_formats=["yyyy-MM-dd"]),
    FieldSchema("tags", FieldType.KEYWORD, is_array=True),
    FieldSchema("numbers", FieldType.LONG, is_array=True),
    FieldSchema(
        "vector",
        FieldType.VECTOR,
        vector_options=VectorOptions(
            data_type=VectorDataType.VD_FLOAT_32, dimension=2, metric_type=VectorMetricType.VM_COSINE
        ),
    ),
)


class Table:
    """One table with one search index, and what tests ask of it."""

    def __init__(self, client, fields=FIELDS, *, name="t", options=None, index_time_to_live=-1, before=None, **meta):
        self.client = client
        self.name = name
        client.create_table(
            TableMeta(name, [("id", "INTEGER")]),
            options or TableOptions(),
            ReservedThroughput(CapacityUnit(0, 0)),
        )
        for number, columns in (before or {}).items():
            self.put(number, **columns)
        self.meta = SearchIndexMeta(list(fields), time_to_live=index_time_to_live, **meta)
        client.create_search_index(name, "i", self.meta)

    def put(self, number, /, **columns):
        encoded = [(k, json.dumps(v) if isinstance(v, list) else v) for k, v in columns.items()]
        self.client.put_row(self.name, Row([("id", number)], encoded))

    def search(self, query, columns=NOTHING, **options):
        return self.client.search(self.name, "i", SearchQuery(query, **options), columns)

    def ids(self, query, **options):
        options.setdefault("limit", 100)
        return [row[0][0][1] for row in self.search(query, **options).rows]

    def scores(self, query, **options):
        options.setdefault("limit", 100)
        found = self.search(query, sort=BY_SCORE, **options)
        return {hit.row[0][0][1]: hit.score for hit in found.search_hits}


@contextmanager
def refused(code="OTSParameterInvalid", containing=""):
    with pytest.raises(OTSServiceError) as caught:
        yield
    assert caught.value.code == code
    assert containing in caught.value.message
