"""Operations on documents: of the knowledge store, of the vector store and of the retriever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.documents import Document as Chunk

from langchain_tablestore_memory import (
    Document,
    Filters,
    KnowledgeStore,
    TablestoreRetriever,
    TablestoreVectorStore,
)

from .operation import Operation, knowing
from .worlds import World

LATE = {"year": {"$gte": 2003}}
"""A filter that three documents match."""

Arguments = Callable[[], tuple[Any, ...]]


def document(name: str, tenant: str = "__default", **metadata: Any) -> Document:
    return Document(name, tenant, f"tea of {name}", [1.0, 2.0], {"year": 2024, **metadata})


def _of_one() -> list[Operation]:
    """On a table of nobody in particular."""

    def of(method: str, args: Arguments = tuple, **options: Any) -> Operation:
        return Operation(KnowledgeStore, method, args, calls="document {!r}", **options)

    def cold(world: World) -> KnowledgeStore:
        return world.knowledge()

    def three() -> list[Document]:
        return [document("n1", deep=[None]), document("d2"), Document("n2", text="bare")]

    many = tuple(f"x{n:03}" for n in range(201))
    return [
        of("setup"),
        of("setup", note="no tables", furnished=False, subject=cold),
        of("drop"),
        of("index", subject=cold),
        of("put_document", lambda: (document("n1"),), adds=("n1",)),
        of(
            "put_document",
            lambda: (document("n1"),),
            note="no tables",
            furnished=False,
            subject=cold,
            adds=("n1",),
        ),
        of("put_documents", lambda: (three(),), adds=("n1", "n2")),
        of("put_documents", lambda: (map(Document, many),), note="two requests", adds=many, large=True),
        of("update_document", lambda: (Document("d2", metadata={"year": 1, "nested": {"m": 0}}),)),
        of("update_document", lambda: (document("n1"),), note="absent", adds=("n1",)),
        of("update_documents", lambda: (three(),), adds=("n1", "n2")),
        of(
            "update_documents",
            lambda: ([document("d1"), document("n1")],),
            kwargs={"create": False},
            note="known",
        ),
        of("update_by_filter", lambda: (LATE, {"lang": "en"})),
        of("update_by_filter", lambda: (LATE, {"year": 1}), note="of what is asked for"),
        of("delete_document", lambda: ("d2",)),
        of("delete_documents", lambda: (["d2", "absent", "d4"],)),
        of("delete_by_filter", lambda: (LATE,)),
        of("delete_by_filter", lambda: ({"text": {"$text": "tea"}},), note="words, first call", subject=cold),
        of("delete_all_documents"),
        of("get_document", lambda: ("d2",)),
        of("get_documents", lambda: (["d3", "absent", "d1"],), kwargs={"include_embedding": False}),
        of("get_all_documents"),
        of("list_documents", lambda: (None, LATE), kwargs={"order_by": ["-year"]}),
        of("count_documents", lambda: (None, LATE)),
        of("search_documents", lambda: (None, LATE, 2)),
        of("full_text_search", lambda: ("green tea",), kwargs={"limit": 1}),
        of("vector_search", lambda: ([1.0, 2.0], 2), kwargs={"metadata_filter": {"tags": {"$contains": "x"}}}),
        of("hybrid_search", lambda: ("bean", [1.0, 2.0])),
        of("hybrid_search", lambda: ("bean", [1.0, 2.0]), note="first call", subject=cold),
        of("wait_until_searchable"),
        of("wait_until_searchable", lambda: (["d1", "d2"],), note="ids"),
    ]


def _of_tenants() -> list[Operation]:
    """On a table of several tenants."""

    def of(method: str, args: Arguments, **options: Any) -> Operation:
        return Operation(
            KnowledgeStore,
            method,
            args,
            note="tenant",
            subject=lambda world: knowing(world.shared_knowledge()),
            calls="document {!r} of tenant 't1'",
            **options,
        )

    return [
        of("put_documents", lambda: ([document("n1", "t1"), document("d2", "t1")],), adds=("n1",)),
        of("update_by_filter", lambda: (Filters.all(), {"lang": "en"}), kwargs={"tenant_id": "t1"}),
        of("delete_by_filter", lambda: (LATE,), kwargs={"tenant_id": "t1"}),
        of("delete_document_by_tenant", lambda: ("t1",)),
        of("search_documents", lambda: ("t1", LATE)),
    ]


def _of_vectors() -> list[Operation]:
    def of(method: str, args: Arguments = tuple, **options: Any) -> Operation:
        return Operation(TablestoreVectorStore, method, args, calls="{}", **options)

    def cold(world: World) -> TablestoreVectorStore:
        return world.vectors()

    def adding(ids: Sequence[str], **options: Any) -> dict[str, Any]:
        new = tuple(i for i in ids if not i.startswith("d"))
        return {"kwargs": {"ids": list(ids), **options}, "adds": new}

    def chunks() -> list[Chunk]:
        return [Chunk("a tea", id="n1", metadata={"year": 1, "none": None}), Chunk("new bread", id="d4")]

    texts = ["a tea", "some bread", "a bean"]
    one_by_one = {"batch_size": 1, "embedding_batch_size": 1, "concurrency": 1}
    return [
        of("setup"),
        of("drop"),
        of("wait_until_searchable", lambda: (["d1"],)),
        of("add_texts", lambda: (texts,), **adding(["n1", "d2", "n2"])),
        of("add_texts", lambda: (texts,), note="one by one", **adding(["n1", "d2", "n2"], **one_by_one)),
        of(
            "add_texts",
            lambda: (texts,),
            note="no tables",
            furnished=False,
            subject=cold,
            **adding(["a", "b", "c"]),
        ),
        of("add_documents", lambda: (chunks(),), adds=("n1",)),
        of("add_embeddings", lambda: ([("a tea", [1.0, 2.0]), ("a bean", [2.0, 1.0])],), **adding(["n1", "d2"])),
        of("update_metadata", lambda: ({"d1": {"year": 1}, "absent": {"year": 1}},)),
        of("update_metadata_by_filter", lambda: (LATE, {"lang": "en"})),
        of("delete", lambda: (["d1", "absent"],)),
        of("delete", kwargs={"filter": LATE}, note="filter"),
        of("get_by_ids", lambda: (["d3", "absent", "d1"],)),
        of("similarity_search", lambda: ("tea",), kwargs={"k": 2, "filter": LATE}),
        of("similarity_search", lambda: ("tea",), note="first call", subject=cold),
        of("similarity_search_with_score", lambda: ("tea",)),
        of("similarity_search_with_relevance_scores", lambda: ("tea",), kwargs={"score_threshold": 0.9}),
        of("similarity_search_by_vector", lambda: ([1.0, 2.0],)),
        of("similarity_search_with_score_by_vector", lambda: ([1.0, 2.0],)),
        of("max_marginal_relevance_search", lambda: ("tea", 2)),
        of("max_marginal_relevance_search_by_vector", lambda: ([1.0, 2.0], 2)),
        of("full_text_search", lambda: ("tea",)),
        of("full_text_search_with_score", lambda: ("tea",)),
        of("hybrid_search", lambda: ("tea",)),
        of("hybrid_search_with_score", lambda: ("tea",)),
        of("search", lambda: ("tea", "hybrid")),
    ]


DOCUMENT_OPERATIONS = [
    *_of_one(),
    *_of_tenants(),
    *_of_vectors(),
    Operation(TablestoreRetriever, "invoke", lambda: ("tea",)),
]
