"""What the table of a LangGraph store holds, read without this package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tablestore import (
    INF_MAX,
    INF_MIN,
    ColumnReturnType,
    ColumnsToGet,
    Direction,
    MatchAllQuery,
    OTSClient,
    SearchQuery,
)

TABLE = "store"
KEY = ("namespace", "key", "part")
CREATED_KEY = ("namespace", "created_at", "key", "part")
EXPIRING_KEY = ("expires_at", "namespace", "key", "part")

Items = list[tuple[tuple[tuple[str, ...], str], dict[str, Any]]]
"""Namespace and key of each item, and its columns."""

Vectors = dict[tuple[tuple[str, ...], str], list[str]]


def read_items(client: OTSClient, faults: list[str]) -> tuple[Items, Vectors]:
    """Items, and the vectors that count for them.

    Rows of vectors that no item names are not told: nothing finds them.
    """
    rows = list(_rows(client, TABLE, KEY))
    heads = {key[:2]: columns for key, columns in rows if key[2] == ""}
    items: Items = []
    vectors: Vectors = {}
    for (namespace, key), columns in heads.items():
        identity = (tuple(namespace.split("\x00")[:-1]), key)
        token = columns["put_id"]
        more = {part: other for (n, k, part), other in rows if (n, k) == (namespace, key) and part.startswith(token)}
        vectors[identity] = [columns[name] for name in ("embedding",) if name in columns]
        vectors[identity] += [more[part]["embedding"] for part in sorted(more, key=lambda p: int(p.split("-")[1]))]
        known = {name: value for name, value in columns.items() if name not in {"put_id", "updated_at", "embedding"}}
        known["expires_at"] = columns.get("expires_at") is not None
        items.append((identity, {**known, "created_at": columns["created_at"] is not None}))
    _check_indexes(client, rows, faults)
    return items, vectors


def _check_indexes(client: OTSClient, rows: list[tuple[tuple[Any, ...], dict[str, Any]]], faults: list[str]) -> None:
    created = {(n, columns["created_at"], k, part) for (n, k, part), columns in rows if "created_at" in columns}
    expiring = {(columns["expires_at"], n, k, part) for (n, k, part), columns in rows if "expires_at" in columns}
    for name, key, entries in (
        (f"{TABLE}_created", CREATED_KEY, created),
        (f"{TABLE}_expiring", EXPIRING_KEY, expiring),
    ):
        indexed = {entry for entry, _ in _rows(client, name, key)}
        faults += [f"{name} and {TABLE} differ in {entry}" for entry in indexed ^ entries]
    for _, index in client.list_search_index(TABLE):
        if _found(client, index) != {(key, columns.get("put_id")) for key, columns in rows}:
            faults.append(f"{index} and {TABLE} differ")


def _found(client: OTSClient, index: str) -> set[tuple[Any, Any]]:
    hits: set[tuple[Any, Any]] = set()
    token = None
    while True:
        query = SearchQuery(MatchAllQuery(), limit=100, next_token=token)
        answer = client.search(TABLE, index, query, ColumnsToGet(return_type=ColumnReturnType.ALL))
        for key, cells in answer.rows:
            hits.add((tuple(value for _, value in key), {cell[0]: cell[1] for cell in cells}.get("put_id")))
        token = answer.next_token
        if not token:
            return hits


def _rows(client: OTSClient, table: str, key: tuple[str, ...]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    start: Any = [(name, INF_MIN) for name in key]
    while start is not None:
        _, start, rows, _ = client.get_range(table, Direction.FORWARD, start, [(name, INF_MAX) for name in key])
        for row in rows:
            yield (
                tuple(value for _, value in row.primary_key),
                {column[0]: column[1] for column in row.attribute_columns},
            )
