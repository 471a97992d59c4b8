"""Requests and answers of the engine, by way of the SDK's encoder and decoder."""

from __future__ import annotations

from typing import Any

from tablestore import (
    INF_MAX,
    INF_MIN,
    CapacityUnit,
    Condition,
    ReservedThroughput,
    Row,
    SecondaryIndexMeta,
    SecondaryIndexType,
    TableMeta,
    TableOptions,
)
from tablestore.decoder import OTSProtoBufferDecoder
from tablestore.encoder import OTSProtoBufferEncoder

from langchain_tablestore_memory.local.engine import Engine

# The bounds of all rows of a table made by `create`.
EVERYTHING = ([("p", INF_MIN), ("n", INF_MIN)], [("p", INF_MAX), ("n", INF_MAX)])

_encoder = OTSProtoBufferEncoder("utf-8", enable_native=False)
_decoder = OTSProtoBufferDecoder("utf-8", enable_native=False)


def call(engine: Engine, api: str, *arguments: Any) -> Any:
    body = _encoder.encode_request(api, *arguments).SerializeToString()
    answer, _ = _decoder.decode_response(api, engine.execute(api, body), "request")
    return answer


def create(
    engine: Engine,
    name: str = "t",
    *,
    key: list[tuple] | None = None,
    options: TableOptions | None = None,
    index: str | None = None,
) -> None:
    """Makes a table with a defined INTEGER column `d`, and a local index on it if one is named."""
    meta = TableMeta(name, key or [("p", "STRING"), ("n", "INTEGER")], [("d", "INTEGER")])
    indexes = [SecondaryIndexMeta(index, ["p", "d"], [], SecondaryIndexType.LOCAL_INDEX)] if index else []
    throughput = ReservedThroughput(CapacityUnit(0, 0))
    call(engine, "CreateTable", meta, options or TableOptions(), throughput, None, indexes)


def put(
    engine: Engine, key: list[tuple], columns: list[tuple], name: str = "t", *, transaction_id: str | None = None
) -> None:
    call(engine, "PutRow", name, Row(key, columns), Condition("IGNORE"), None, transaction_id)


def update(engine: Engine, key: list[tuple], columns: dict[str, list], name: str = "t") -> None:
    call(engine, "UpdateRow", name, Row(key, columns), Condition("IGNORE"), None, None)


def get(engine: Engine, key: list[tuple], name: str = "t") -> dict[str, Any] | None:
    _, row, _ = call(engine, "GetRow", name, key, None, None, 1, None, None, None, None, None)
    return None if row is None else {column: value for column, value, _ in row.attribute_columns}


def scan(engine: Engine, start: list[tuple], end: list[tuple], name: str = "t") -> list[list[tuple]]:
    """Reads the primary keys of a range, over all its pages."""
    keys: list[list[tuple]] = []
    while start is not None:
        _, start, rows, _ = call(engine, "GetRange", name, "FORWARD", start, end, None, None, None, 1, *(None,) * 5)
        keys += [row.primary_key for row in rows]
    return keys
