"""What is put comes back as it was: types, sizes, times, and in another process."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import uuid
from decimal import Decimal

import pytest
from langgraph.store.base import GetOp, PutOp

from langchain_tablestore_memory import connect
from langchain_tablestore_memory.langgraph import TablestoreStore

from .support import keys_of, topic_index

NS = ("exact",)

VALUES = {
    "tuple": (1, (2, "x"), []),
    "set": {1, 2},
    "frozenset": frozenset("a"),
    "bytes": bytes(range(256)),
    "datetime": dt.datetime(2026, 11, 21, 15, 5, 7, 123456, tzinfo=dt.timezone(dt.timedelta(hours=8))),
    "naive": dt.datetime(2026, 11, 21),
    "date": dt.date(2026, 11, 21),
    "timedelta": dt.timedelta(days=-1, microseconds=1),
    "uuid": uuid.UUID(int=5),
    "decimal": Decimal("1.10"),
    "large int": 10**40,
    "int64": [2**63 - 1, -(2**63), 2**63],
    "floats": [0.1 + 0.2, 1e308, 5e-324, float("inf"), float("-inf"), -0.0],
    "keys": {1: "a", (1, 2): "b", None: "c", "$tag": "d"},
    "like a tag": {"__tuple__": [1]},
    "text": "\x00\ud7ff\ue000\U0010ffff \u200b é e\u0301",
}


async def test_types(store):
    await store.batch([PutOp(NS, key, {"v": value}) for key, value in VALUES.items()])
    items = await store.batch([GetOp(NS, key) for key in VALUES])
    for (key, value), item in zip(VALUES.items(), items, strict=True):
        assert (item.key, repr(item.value)) == (key, repr({"v": value}))
    assert {item.key: item.value["v"] for item in await store.search(NS, limit=100)} == VALUES
    await store.put(NS, "nan", {"v": float("nan")})
    assert repr((await store.get(NS, "nan")).value) == "{'v': nan}"


async def test_keys_keep_their_order(store):
    value = dict.fromkeys("zyxabc", 0)
    await store.put(NS, "k", value)
    assert list((await store.get(NS, "k")).value) == list(value)


SIZES = [32 * 1024 - 20, 32 * 1024, 40_000, 2**21 - 20, 2**21, pytest.param(3_000_000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("char", ["x", pytest.param("茶", marks=pytest.mark.slow)])
async def test_sizes(store, size, char):
    """About where a value no longer fits the index, or a column."""
    value = {"text": char * (size // len(char.encode())), "more": [1, None]}
    await store.put(NS, "large", value)
    await store.put(NS, "small", {"n": 1})
    assert (await store.get(NS, "large")).value == value
    [found, small] = await store.search(NS)
    assert (found.value, small.value) == (value, {"n": 1})
    assert keys_of(await store.search(NS, filter={"more": [1, None]})) == ["large"]
    await store.put(NS, "large", {"n": 2})
    assert [item.value for item in await store.search(NS)] == [{"n": 2}, {"n": 1}]


@pytest.mark.slow
async def test_many_large_values(store):
    """Together more than one answer of the service holds."""
    values = {f"k{n}": {"text": f"{n}" * 900_000} for n in range(9)}
    await store.batch([PutOp(NS, key, value) for key, value in values.items()])
    assert {item.key: item.value for item in await store.search(NS, limit=100)} == values
    items = await store.batch([GetOp(NS, key) for key in values])
    assert {item.key: item.value for item in items} == values


async def test_a_large_value_with_vectors(open_store):
    store = open_store(index=topic_index(fields=["texts[*]"]))
    value = {"texts": ["tea", "bread", "rice"], "large": "x" * 3_000_000}
    await store.put(NS, "k", value)
    await store.put(NS, "other", {"texts": ["coffee"]})
    [best] = await store.search(NS, query="bread", limit=1)
    assert best.value == value


async def test_times(open_store, clock):
    store = open_store(clock=clock)
    begun = dt.datetime.fromtimestamp(clock.now / 1e6, dt.UTC)
    await store.put(NS, "k", {"n": 1})
    clock.pass_seconds(60)
    await store.put(NS, "k", {"n": 2})
    item = await store.get(NS, "k")
    created = item.created_at
    assert begun <= created < begun + dt.timedelta(milliseconds=1)
    assert item.updated_at == begun + dt.timedelta(seconds=60)
    # A clock that was set back does not make an item older than it is.
    clock.pass_seconds(-3600)
    await open_store(clock=clock).put(NS, "k", {"n": 3})
    item = await store.get(NS, "k")
    assert item.created_at == created <= item.updated_at


PROGRAM = """
import sys
from langchain_tablestore_memory import connect
from langchain_tablestore_memory.langgraph import TablestoreStore

with connect("local:" + sys.argv[1]) as connection:
    store = TablestoreStore(connection, index={"fields": ["text"]}, filterable={"n": int})
    item = store.get(("a", "b"), "k")
    print(item.value, item.created_at.isoformat())
    print([found.key for found in store.search((), query="kettle", filter={"n": 1}) if found.score is not None])
    print(store.list_namespaces())
    store.put(("a", "b"), "k", {"text": "changed"})
"""


@pytest.mark.slow
def test_another_process(tmp_path):
    with connect(f"local:{tmp_path}") as connection:
        store = TablestoreStore(connection, index={"fields": ["text"]}, filterable={"n": int})
        store.put(("a", "b"), "k", {"text": "a kettle", "n": 1, "t": (1,)})
        store.put(("a",), "other", {"text": "tea", "n": 1})
        before = store.get(("a", "b"), "k")
        told = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=100, check=False
        )
        assert told.returncode == 0, told.stderr
        assert told.stdout.splitlines() == [
            f"{before.value} {before.created_at.isoformat()}",
            "['k']",
            "[('a',), ('a', 'b')]",
        ]
        after = store.get(("a", "b"), "k")
        assert (after.value, after.created_at) == ({"text": "changed"}, before.created_at)
        assert [item.key for item in store.search((), query="kettle") if item.score is not None] == []
