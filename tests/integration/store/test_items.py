"""The contract of a store, item by item: put, get, delete, and several at once. The same answers in memory and here."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest
from core.support import MODES
from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, PutOp, SearchOp

from langchain_tablestore_memory import InvalidArgumentError

from .support import LABELS, keys_of

NS = ("users", "u1")

VALUES = [
    {},
    {"text": "", "n": 0, "none": None, "no": False, "list": [], "dict": {}},
    {"text": "用户 said \x00 \u2028 \ufeff 'quoted' \"twice\" \\ 🍵", "键": "值"},
    {"int": 2**53 + 1, "negative": -(2**63), "float": 0.1, "tiny": 5e-324, "whole": 1.0, "zero": -0.0},
    {"deep": [[[{"a": [{"b": {"c": [None, True, "x", 1, 1.5]}}]}]]]},
    {"": "a key without a name", "a.b": 1, "$gt": 2, "[0]": 3, "*": 4, "part": 5, "value": 6, "namespace": 7},
]


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


async def test_what_is_not_there(any_store):
    assert await any_store.list_namespaces() == []
    assert await any_store.get(NS, "k") is None
    assert await any_store.delete(NS, "k") is None
    assert await any_store.search(NS) == []
    assert await any_store.batch([]) == []


@pytest.mark.parametrize("value", VALUES, ids=lambda value: next(iter(value), "empty"))
async def test_what_is_put_is_got(any_store, value):
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    assert await any_store.put(NS, "k", value) is None
    item = await any_store.get(NS, "k")
    assert (item.namespace, item.key, item.value) == (NS, "k", value)
    assert repr(item.value) == repr(value)
    assert before <= item.created_at <= item.updated_at <= datetime.now(UTC)
    assert item.created_at.utcoffset() == timedelta(0)
    [found] = await any_store.search(NS)
    assert (found.namespace, found.key, found.value, found.score) == (NS, "k", value, None)
    assert (found.created_at, found.updated_at) == (item.created_at, item.updated_at)
    assert found.dict() == item.dict() | {"score": None}


async def test_a_mapping_that_is_no_dict(any_store):
    await any_store.put(NS, "k", MappingProxyType({"a": 1}))
    item = await any_store.get(NS, "k")
    assert item.value == {"a": 1}
    assert type(item.value) is dict


async def test_an_item_is_replaced_as_a_whole(any_store):
    await any_store.put(NS, "k", {"a": 1, "b": {"c": 2}})
    first = await any_store.get(NS, "k")
    await any_store.put(NS, "k", {"b": {"d": 3}})
    second = await any_store.get(NS, "k")
    assert second.value == {"b": {"d": 3}}
    assert second.updated_at >= first.updated_at
    assert [item.value for item in await any_store.search(NS)] == [{"b": {"d": 3}}]


async def test_deleted(any_store):
    await any_store.put(NS, "k", {"a": 1})
    await any_store.put(NS, "other", {"a": 2})
    await any_store.delete(NS, "k")
    assert await any_store.get(NS, "k") is None
    assert keys_of(await any_store.search(NS)) == ["other"]
    await any_store.delete(NS, "k")
    await any_store.put(NS, "k", {"a": 3})
    assert (await any_store.get(NS, "k")).value == {"a": 3}


async def test_a_put_without_a_value_deletes(any_store):
    await any_store.put(NS, "k", {"a": 1})
    await any_store.batch([PutOp(NS, "k", None)])
    assert await any_store.get(NS, "k") is None


async def test_none_is_no_value(store):
    """Known difference: called with None, `put` of `InMemoryStore` deletes. Here only an operation, or `delete`, does."""
    await store.put(NS, "k", {"a": 1})
    with pytest.raises(InvalidArgumentError, match="delete"):
        await store.put(NS, "k", None)
    assert (await store.get(NS, "k")).value == {"a": 1}


async def test_a_key_in_several_namespaces(any_store):
    namespaces = [("a",), ("a", "b"), ("ab",), ("a", "b", "c"), ("b", "a"), ("b",)]
    for namespace in namespaces:
        await any_store.put(namespace, "k", {"of": "/".join(namespace)})
    for namespace in namespaces:
        assert (await any_store.get(namespace, "k")).value == {"of": "/".join(namespace)}
    await any_store.delete(("a", "b"), "k")
    left = [await any_store.get(namespace, "k") for namespace in namespaces]
    assert [item and item.namespace for item in left] == [("a",), None, *namespaces[2:]]


async def test_names_of_any_characters(any_store):
    """As labels and as keys: each is itself and no other."""
    ops = [PutOp((label,), key, {"is": [label, key]}) for label in LABELS for key in (*LABELS, "a.b", "x" * 500)]
    await any_store.batch(ops)
    assert [
        (item.namespace, item.key, item.value) for item in await any_store.batch([GetOp(*op[:2]) for op in ops])
    ] == [(op.namespace, op.key, op.value) for op in ops]
    for label in LABELS:
        found = await any_store.search((label,), limit=100)
        assert sorted(keys_of(found)) == sorted((*LABELS, "a.b", "x" * 500))
        assert {item.namespace for item in found} == {(label,)}
    assert await any_store.list_namespaces() == sorted((label,) for label in LABELS)


async def test_keys_that_are_empty_or_hold_nul(any_store):
    keys = ["", "\x00", "a\x00", "a", "a\x00b", "\x00\x00"]
    for number, key in enumerate(keys):
        await any_store.put(NS, key, {"n": number})
    for number, key in enumerate(keys):
        assert (await any_store.get(NS, key)).value == {"n": number}
    await any_store.delete(NS, "a\x00")
    assert keys_of(await any_store.search(NS)) == [key for key in keys if key != "a\x00"]


async def test_a_key_that_is_no_text_is_made_so(any_store):
    """`BaseStore` does that."""
    await any_store.put(NS, 5, {"n": 5})
    assert (await any_store.get(NS, "5")).key == (await any_store.get(NS, 5)).key == "5"


async def test_results_in_the_order_of_the_operations(any_store):
    await any_store.put(NS, "one", {"n": 1})
    await any_store.put(NS, "two", {"n": 2})
    one, found, nothing, namespaces, absent, again, two = await any_store.batch(
        iter(
            [
                GetOp(NS, "one"),
                SearchOp(("users",), {"n": 2}),
                PutOp(NS, "three", {"n": 3}),
                ListNamespacesOp(),
                GetOp(NS, "absent"),
                GetOp(NS, "one"),
                GetOp(NS, "two"),
            ]
        )
    )
    assert (one.value, again.value, two.value) == ({"n": 1}, {"n": 1}, {"n": 2})
    assert (keys_of(found), nothing, namespaces, absent) == (["two"], None, [NS], None)


async def test_reads_of_a_batch_see_what_was_there_before(any_store):
    await any_store.put(NS, "old", {"n": 1})
    results = await any_store.batch(
        [
            PutOp(NS, "old", {"n": 2}),
            PutOp(NS, "new", {"n": 2}),
            PutOp(("other",), "new", {"n": 2}),
            GetOp(NS, "old"),
            GetOp(NS, "new"),
            SearchOp(()),
            ListNamespacesOp((MatchCondition("prefix", ("*",)),)),
        ]
    )
    assert results[:3] == [None] * 3
    assert (results[3].value, results[4]) == ({"n": 1}, None)
    assert [item.value for item in results[5]] == [{"n": 1}]
    assert results[6] == [NS]
    assert [item.value for item in await any_store.search(())] == [{"n": 2}] * 3


async def test_the_last_put_of_an_item_counts(any_store):
    a, b, c, d = ((NS, key) for key in "abcd")
    await any_store.batch([PutOp(*c, {"n": 0}), PutOp(*d, {"n": 0})])
    await any_store.batch(
        [
            PutOp(*a, {"n": 1}),
            PutOp(*b, {"n": 1}),
            PutOp(*a, {"n": 2}),
            PutOp(*b, None),
            PutOp(*c, None),
            PutOp(*c, {"n": 3}),
            PutOp(*d, {"n": 1}),
            PutOp(*d, None),
        ]
    )
    items = await any_store.batch([GetOp(*each) for each in (a, b, c, d)])
    assert [item and item.value for item in items] == [{"n": 2}, None, {"n": 3}, None]


async def test_several_hundred_at_once(any_store):
    """More than the service takes in one request, of reads and of writes."""
    keys = [f"k{n:03}" for n in range(450)]
    await any_store.batch([PutOp(NS, key, {"n": n}) for n, key in enumerate(keys)])
    items = await any_store.batch([GetOp(NS, key) for key in itertools.chain(keys, ["absent"], keys[::-1])])
    assert [item and item.key for item in items] == [*keys, None, *keys[::-1]]
    await any_store.batch([PutOp(NS, key, None) for key in keys[1:]])
    assert keys_of(await any_store.search(NS, limit=1000)) == keys[:1]


@pytest.mark.parametrize("op", ["get", None, ("users",), object()])
async def test_what_is_no_operation(any_store, op):
    with pytest.raises(ValueError):
        await any_store.batch([PutOp(NS, "k", {}), op])
    assert await any_store.get(NS, "k") is None


async def test_an_item_that_was_got_is_ones_own(store):
    """Known difference: `InMemoryStore` hands out what it holds."""
    value = {"list": [1]}
    await store.put(NS, "k", value)
    value["list"].append(2)
    (await store.get(NS, "k")).value["list"].append(3)
    assert (await store.get(NS, "k")).value == {"list": [1]}
    one, other, [found] = await store.batch([GetOp(NS, "k"), GetOp(NS, "k"), SearchOp(NS)])
    one.value["list"].append(4)
    assert other.value == found.value == {"list": [1]}


async def test_the_time_of_creation_is_kept(store):
    """Known difference: in `InMemoryStore`, an item that is overwritten was created when it was."""
    await store.put(NS, "k", {"n": 1})
    first = await store.get(NS, "k")
    await store.put(NS, "k", {"n": 2})
    second = await store.get(NS, "k")
    assert second.created_at == first.created_at == first.updated_at < second.updated_at
    await store.delete(NS, "k")
    await store.put(NS, "k", {"n": 3})
    third = await store.get(NS, "k")
    assert third.created_at == third.updated_at > second.updated_at
