"""A small part of the contract over HTTP: a server, and clients as they are."""

from __future__ import annotations

import asyncio

import pytest
from core.support import Face
from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, PutOp, SearchOp

from langchain_tablestore_memory import connect
from langchain_tablestore_memory.langgraph import TablestoreStore

from .support import LABELS, CorrectedInMemoryStore, told, topic_index

KEYS = {"access_key_id": "local", "access_key_secret": "local"}

STEPS = [
    [PutOp(("a", label), label, {"text": f"tea {n}", "n": n, "label": label}) for n, label in enumerate(LABELS)],
    [
        GetOp(("a", "é"), "é"),
        GetOp(("a", "é"), "absent"),
        SearchOp(("a",), {"n": {"$gte": 3}}, 5, 2),
        SearchOp((), query="tea bread", limit=100),
        ListNamespacesOp((MatchCondition("prefix", ("*", "用户")),)),
        ListNamespacesOp(max_depth=1),
    ],
    [
        PutOp(("a", "用户"), "large", {"text": "bread", "large": "茶" * 1_000_000, "n": -1}),
        PutOp(("a", "a"), "a", None),
    ],
    [
        GetOp(("a", "用户"), "large"),
        SearchOp(("a", "用户"), query="bread"),
        SearchOp(("a",), {"n": {"$lt": 2}}, query="bread", limit=3),
        ListNamespacesOp(limit=1000),
    ],
]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp's, of the SDK's requests
@pytest.mark.parametrize("search_type", ["similarity", "hybrid"])
async def test_the_same_over_http(server_url, instance_name, mode, search_type):
    expected = CorrectedInMemoryStore(index=topic_index())
    connection = connect(server_url, instance_name=instance_name, **KEYS)
    try:
        target = TablestoreStore(connection, index=topic_index(), filterable={"n": int}, search_type=search_type)
        store = Face(target, mode)
        for ops in STEPS:
            answers, wanted = told(await store.batch(ops)), told(expected.batch(ops))
            for op, answer, each in zip(ops, answers, wanted, strict=True):
                if getattr(op, "query", None) is None:
                    assert answer == each
                elif search_type == "similarity":
                    assert sorted(answer, key=str) == sorted(each, key=str)
                else:
                    assert {item[1:3] for item in answer} == {item[1:3] for item in each}
    finally:
        await connection.aclose()


async def test_many_at_once(server_url, instance_name):
    """Calls share a connection, and one item."""
    connection = connect(server_url, instance_name=instance_name, **KEYS)
    try:
        store = TablestoreStore(connection)
        await asyncio.gather(*(store.aput(("a",), f"k{n % 5}", {"n": n}) for n in range(20)))
        items = await store.asearch(("a",))
        assert sorted(item.key for item in items) == [f"k{n}" for n in range(5)]
        assert all(item.key == f"k{item.value['n'] % 5}" for item in items)
    finally:
        await connection.aclose()
