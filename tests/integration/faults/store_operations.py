"""Operations on the items of a LangGraph store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from langgraph.store.base import GetOp, ListNamespacesOp, PutOp, SearchOp

from langchain_tablestore_memory import connect
from langchain_tablestore_memory.langgraph import TablestoreStore
from langchain_tablestore_memory.local import Tablestore

from .operation import Operation
from .worlds import LONG_AGO, World

A, B = ("a",), ("a", "b")
NAMED = "item {0[1]!r} of {0[0]!r}"
"""What errors call an item."""


def shelve(folder: Path) -> None:
    """Make a store with items of one and of several vectors, large ones, and ones that expire."""
    with connect(f"local:{folder}") as connection:
        world = World(Tablestore(None), connection)
        store = world.items()
        store.setup()
        for number, text in enumerate(("green tea", "black tea", "a bean", "bread"), 1):
            store.put(A, f"i{number}", {"text": text, "year": 2000 + number})
        store.put(B, "several", {"text": "leave", "more": ["a dream", "an apple", "bees"], "year": 2001})
        store.put(B, "large", {"text": "tea", "large": "x" * 100_000}, index=False)
        store.put(B, "lasting", {"text": "lasting tea", "year": 2003}, ttl=10_000)
        world.items(clock=lambda: LONG_AGO).put(B, "expired", {"text": "old", "more": ["tea", "bean"]}, ttl=1)
        world.service.close()


def _of(method: str, args: Callable[[], tuple[Any, ...]] = tuple, **options: Any) -> Operation:
    return Operation(TablestoreStore, method, args, calls=NAMED, **options)


def _cold(world: World) -> TablestoreStore:
    return world.items()


def _putting() -> list[Operation]:
    def value(text: str, **more: Any) -> dict[str, Any]:
        return {"text": text, "year": 1, **more}

    def mixed() -> list[Any]:
        return [
            GetOp(A, "i1"),
            PutOp(A, "i1", value("new")),
            SearchOp(A, {"year": {"$gt": 2002}}, refresh_ttl=False),
            PutOp(B, "n1", value("a tea", more=["one", "two"])),
            PutOp(B, "several", None),
            SearchOp(A, query="tea", limit=2, refresh_ttl=False),
            ListNamespacesOp(max_depth=1),
            GetOp(B, "lasting", refresh_ttl=False),
        ]

    several = {"text": "tea", "more": ["a bee", "a bean"]}
    many_texts = {"more": [f"{'a' * n} tea" for n in range(1, 231)]}
    many = tuple((A, f"x{n:03}") for n in range(201))
    return [
        _of("put", lambda: (A, "n1", value("a tea")), adds=((A, "n1"),)),
        _of("put", lambda: (A, "n1", dict(several)), note="several vectors", adds=((A, "n1"),)),
        _of("put", lambda: (B, "several", {"more": ["a bee"]}), note="fewer vectors"),
        _of("put", lambda: (A, "i2", dict(several)), note="more vectors"),
        _of("put", lambda: (B, "expired", value("anew")), note="expired"),
        _of("put", lambda: (B, "lasting", value("tea")), kwargs={"ttl": 5}, note="ttl"),
        _of("put", lambda: (A, "i1", {"large": "y" * 100_000}), note="large"),
        _of("put", lambda: (A, "i2", dict(many_texts)), note="two requests", large=True),
        _of(
            "put",
            lambda: (A, "n1", dict(several)),
            note="no tables",
            furnished=False,
            subject=_cold,
            adds=((A, "n1"),),
        ),
        _of("delete", lambda: (A, "i2")),
        _of("delete", lambda: (B, "several"), note="several vectors"),
        _of("delete", lambda: (A, "absent"), note="absent"),
        _of("batch", lambda: (mixed(),), adds=((B, "n1"),)),
        _of(
            "batch",
            lambda: ([PutOp(namespace, key, {"year": 1}) for namespace, key in many],),
            note="two requests",
            adds=many,
            large=True,
        ),
        _of(
            "batch",
            lambda: ([GetOp(B, "lasting"), PutOp(B, "n1", value("a tea")), PutOp(A, "i1", None)],),
            note="lets it last",
            adds=((B, "n1"),),
        ),
        _of("sweep_ttl"),
        _of("remove_unfinished"),
    ]


def _reading() -> list[Operation]:
    query = {"query": "a tea", "limit": 3}
    return [
        _of("get", lambda: (A, "i2")),
        _of("get", lambda: (B, "large"), note="large"),
        _of("get", lambda: (B, "lasting"), note="lets it last"),
        _of("get", lambda: (A, "i2"), note="no tables", furnished=False, subject=_cold),
        _of(
            "batch",
            lambda: ([GetOp(A, "i1"), GetOp(B, "large"), GetOp(B, "lasting"), GetOp(A, "absent")],),
            note="gets",
        ),
        _of("search", lambda: (A,), kwargs={"limit": 4, "offset": 1}),
        _of(
            "search", lambda: (A,), kwargs={"filter": {"year": {"$gte": 2002}, "text": {"$ne": "bread"}}}, note="filter"
        ),
        _of("search", lambda: (A,), kwargs=query, note="meaning"),
        _of("search", lambda: (A,), kwargs={**query, "filter": {"year": {"$lt": 2004}}}, note="meaning, filter"),
        _of("search", lambda: (A,), kwargs={**query, "search_type": "full_text"}, note="words"),
        _of("search", lambda: (A,), kwargs={**query, "search_type": "hybrid"}, note="both"),
        _of("search", lambda: (A,), kwargs=query, note="first call", subject=_cold),
        _of("search", lambda: (A,), kwargs=query, note="no tables", furnished=False, subject=_cold),
        _of("list_namespaces", kwargs={"suffix": ("b",)}),
    ]


STORE_OPERATIONS = [
    _of("setup"),
    _of("setup", note="no tables", furnished=False, subject=_cold),
    _of("drop"),
    _of("wait_until_searchable"),
    *_putting(),
    *_reading(),
]
