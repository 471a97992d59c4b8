"""Ingest over HTTP: 5,000 documents with vectors of 1,024 dimensions, against the packages that write such tables.

All three talk to one `tablestore-memory serve` in a process of its own, which adds 5 ms to every request, and write the
same texts, metadata and vectors, each into its own table with its own search index. The vectors are given: the two
LangChain stores get them from an embedding model that looks them up, `tablestore-for-agent-memory` has them in its
documents. Bytes are counted where the SDK hands a request to its connection pool: request line, headers and body.

The peers send one row per request, so each of them writes once; ours writes before, between and after them, each time
into a new table. Afterwards every table is asked how many documents its index holds.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import tablestore
from langchain_community.vectorstores import TablestoreVectorStore as CommunityVectorStore
from tablestore_for_agent_memory.base.base_knowledge_store import Document  # type: ignore[import-untyped]
from tablestore_for_agent_memory.knowledge.knowledge_store import KnowledgeStore  # type: ignore[import-untyped]

from benchmarks import corpus
from benchmarks.harness import Comparison, describe, faster, multiple, seconds
from benchmarks.serving import ACCESS, Traffic, connect_to, server
from langchain_tablestore_memory import TablestoreVectorStore

_LATENCY = 5
"""Milliseconds that the server adds to every request."""

_DIMENSION = 1024


@dataclass(frozen=True, slots=True)
class _Documents:
    texts: list[str]
    metadatas: list[dict[str, Any]]
    ids: list[str]
    vectors: list[list[float]]
    embedding: corpus.Given = field(default_factory=corpus.Given)

    @classmethod
    def make(cls, count: int) -> _Documents:
        documents = cls(
            corpus.texts(0, count),
            [corpus.metadata(number) for number in range(count)],
            [f"document-{number}" for number in range(count)],
            corpus.vectors(0, count, _DIMENSION),
        )
        documents.embedding.give(documents.texts, documents.vectors)
        return documents


@dataclass(frozen=True, slots=True)
class _Written:
    """What writing all documents took: seconds, bytes, requests."""

    seconds: float
    bytes: int
    requests: int


def run(*, quick: bool) -> list[Comparison]:
    documents = _Documents.make(500 if quick else 5000)
    count = len(documents.texts)
    print(f"Ingest over HTTP: {count:,} documents of {_DIMENSION} dimensions; {_LATENCY} ms per request added")
    print(f"  load of the machine before: {os.getloadavg()[0]:.1f}")
    with server(latency=_LATENCY) as url:
        ours = [_ours(url, documents)]
        community = _community(url, documents)
        ours.append(_ours(url, documents))
        agent_memory = _agent_memory(url, documents)
        ours.append(_ours(url, documents))
    print(f"  load of the machine after: {os.getloadavg()[0]:.1f}")
    peers = {"langchain-community": community, "tablestore-for-agent-memory": agent_memory}
    describe("ours", [each.seconds for each in ours], seconds)
    for name, written in {"ours": ours[-1], **peers}.items():
        print(
            f"  {name:<44} {seconds(written.seconds)}, {count / written.seconds:,.0f} documents a second, "
            f"{written.requests:,} requests, {written.bytes / count:,.0f} bytes a document"
        )
    duration = statistics.median(each.seconds for each in ours)
    return [
        *(
            faster(f"ingest: time, {name}", duration, written.seconds, show=seconds, at_least=5.0)
            for name, written in peers.items()
        ),
        *(
            multiple(f"ingest: bytes, {name}", ours[-1].bytes, written.bytes, show=_megabytes, at_most=0.6)
            for name, written in peers.items()
        ),
    ]


def _ours(url: str, documents: _Documents) -> _Written:
    with connect_to(url) as connection:
        traffic = Traffic(connection.client)
        store = TablestoreVectorStore(
            documents.embedding,
            connection=connection,
            table_name="ours",
            dimension=_DIMENSION,
            filterable={"group": int, "year": int, "source": str},
        )
        store.setup()
        written = _measure(traffic, lambda: store.add_texts(documents.texts, documents.metadatas, ids=documents.ids))
        _check(connection.client, "ours", documents)
        store.drop()
        return written


def _community(url: str, documents: _Documents) -> _Written:
    store = CommunityVectorStore(
        documents.embedding,
        endpoint=url,
        **ACCESS,
        table_name="community",
        index_name="community_index",
        vector_dimension=_DIMENSION,
        metadata_mappings=_fields(),
    )
    store.create_table_if_not_exist()
    store.create_search_index_if_not_exist()
    client = store._TablestoreVectorStore__tablestore_client
    written = _measure(
        Traffic(client), lambda: store.add_texts(documents.texts, documents.metadatas, ids=documents.ids)
    )
    _check(client, "community", documents)
    return written


def _agent_memory(url: str, documents: _Documents) -> _Written:
    with connect_to(url) as connection:
        store = KnowledgeStore(connection.client, _DIMENSION, table_name="agent_memory", search_index_schema=_fields())
        store.init_table()

        def put() -> None:
            for text, metadata, document_id, vector in zip(
                documents.texts, documents.metadatas, documents.ids, documents.vectors, strict=True
            ):
                store.put_document(Document(document_id, text=text, embedding=vector, metadata=dict(metadata)))

        written = _measure(Traffic(connection.client), put)
        _check(connection.client, "agent_memory", documents)
        return written


def _fields() -> list[tablestore.FieldSchema]:
    kinds = {
        "group": tablestore.FieldType.LONG,
        "year": tablestore.FieldType.LONG,
        "source": tablestore.FieldType.KEYWORD,
    }
    return [tablestore.FieldSchema(name, kind) for name, kind in kinds.items()]


def _measure(traffic: Traffic, write: Callable[[], object]) -> _Written:
    traffic.reset()
    start = time.perf_counter()
    write()
    return _Written(time.perf_counter() - start, traffic.bytes, traffic.requests)


def _check(client: tablestore.OTSClient, table: str, documents: _Documents) -> None:
    """Fail where the index of a table does not hold all documents."""
    [(_, index)] = client.list_search_index(table)
    query = tablestore.SearchQuery(tablestore.MatchAllQuery(), limit=0, get_total_count=True)
    found = client.search(table, index, query).total_count
    assert found == len(documents.texts), f"{table} holds {found} documents"


def _megabytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB"
