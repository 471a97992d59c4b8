"""The contract of a store: the list of namespaces."""

from __future__ import annotations

import pytest
from langgraph.store.base import ListNamespacesOp, MatchCondition, PutOp

from .support import LABELS

NAMESPACES = [
    ("a",),
    ("a", "b"),
    ("a", "b", "c"),
    ("a", "b", "d", "e"),
    ("a", "b", "d", "i"),
    ("a", "b", "f"),
    ("a", "c", "f"),
    ("ab", "c"),
    ("b", "a", "f"),
    ("users", "u1", "v1"),
    ("users", "u2", "v1"),
    ("users", "u2", "v2"),
]


@pytest.fixture
async def filled(any_store):
    await any_store.batch([PutOp(namespace, key, {}) for namespace in reversed(NAMESPACES) for key in "21"])
    return any_store


CASES = [
    ({}, NAMESPACES),
    ({"prefix": ("a",)}, NAMESPACES[:7]),
    ({"prefix": ("a", "b")}, NAMESPACES[1:6]),
    ({"prefix": ("a", "b", "d", "i")}, [NAMESPACES[4]]),
    ({"prefix": ("a", "b", "d", "i", "x")}, []),
    ({"prefix": ("x",)}, []),
    ({"prefix": ()}, NAMESPACES),
    ({"suffix": ("f",)}, [("a", "b", "f"), ("a", "c", "f"), ("b", "a", "f")]),
    ({"suffix": ("b",)}, [("a", "b")]),
    ({"suffix": ("a", "f")}, [("b", "a", "f")]),
    ({"suffix": ("a", "b", "c", "d", "e")}, []),
    ({"prefix": ("a",), "suffix": ("f",)}, [("a", "b", "f"), ("a", "c", "f")]),
    ({"prefix": ("a", "b"), "suffix": ("b", "f")}, [("a", "b", "f")]),
    # One condition may overlap with the other.
    ({"prefix": ("a", "b"), "suffix": ("a", "b")}, [("a", "b")]),
    ({"prefix": ("users", "*", "v1")}, [("users", "u1", "v1"), ("users", "u2", "v1")]),
    ({"prefix": ("*",)}, NAMESPACES),
    ({"prefix": ("*", "c")}, [("a", "c", "f"), ("ab", "c")]),
    ({"prefix": ("*", "*", "f")}, [("a", "b", "f"), ("a", "c", "f"), ("b", "a", "f")]),
    ({"suffix": ("b", "*")}, [("a", "b", "c"), ("a", "b", "f")]),
    ({"suffix": ("*", "d", "*")}, [("a", "b", "d", "e"), ("a", "b", "d", "i")]),
    ({"max_depth": 1}, [("a",), ("ab",), ("b",), ("users",)]),
    ({"prefix": ("a", "b"), "max_depth": 3}, [("a", "b"), ("a", "b", "c"), ("a", "b", "d"), ("a", "b", "f")]),
    # What matches is the whole, what is listed is its beginning.
    ({"suffix": ("i",), "max_depth": 2}, [("a", "b")]),
    ({"suffix": ("v1",), "max_depth": 1}, [("users",)]),
    ({"max_depth": 9}, NAMESPACES),
]


async def test_conditions(filled):
    for asked, expected in CASES:
        assert await filled.list_namespaces(**asked) == expected, asked
        for limit in (2, 5):
            paged = []
            for offset in range(0, len(expected) + limit, limit):
                page = await filled.list_namespaces(**asked, limit=limit, offset=offset)
                assert page == expected[offset : offset + limit], asked
                paged += page
            assert paged == expected, asked


async def test_several_conditions_of_one_kind(filled):
    [found, none, everything] = await filled.batch(
        [
            ListNamespacesOp(
                (
                    MatchCondition("prefix", ("a",)),
                    MatchCondition("prefix", ("*", "b")),
                    MatchCondition("suffix", ("*", "*", "*")),
                    MatchCondition("suffix", ("f",)),
                )
            ),
            ListNamespacesOp((MatchCondition("prefix", ("a",)), MatchCondition("prefix", ("b",)))),
            ListNamespacesOp((), limit=1000),
        ]
    )
    assert (found, none, everything) == ([("a", "b", "f")], [], NAMESPACES)


async def test_no_more_than_a_hundred_unless_asked(any_store):
    namespaces = [("n", f"{n:03}") for n in range(150)]
    await any_store.batch([PutOp(namespace, "k", {}) for namespace in namespaces])
    assert await any_store.list_namespaces() == namespaces[:100]
    assert await any_store.list_namespaces(limit=1000) == namespaces
    assert await any_store.list_namespaces(limit=100, offset=100) == namespaces[100:]
    assert await any_store.list_namespaces(limit=0) == []
    assert await any_store.list_namespaces(offset=150) == []


async def test_labels_of_any_characters(any_store):
    namespaces = [(one, other) for one in LABELS for other in LABELS]
    await any_store.batch([PutOp(namespace, "k", {}) for namespace in namespaces])
    assert await any_store.list_namespaces(limit=1000) == sorted(namespaces)
    assert await any_store.list_namespaces(max_depth=1) == sorted((label,) for label in LABELS)
    for label in LABELS[::3]:
        assert await any_store.list_namespaces(prefix=(label,)) == sorted((label, other) for other in LABELS)
        assert await any_store.list_namespaces(suffix=(label,)) == sorted((other, label) for other in LABELS)


async def test_a_namespace_is_there_as_long_as_it_has_items(store):
    """Known difference: `InMemoryStore` lists namespaces that were read from, and those whose last item is gone."""
    assert await store.get(("read",), "k") is None
    assert await store.list_namespaces() == []
    await store.put(("a", "b"), "1", {})
    await store.put(("a", "b"), "2", {})
    await store.delete(("a", "b"), "1")
    assert await store.list_namespaces() == [("a", "b")]
    await store.delete(("a", "b"), "2")
    assert await store.list_namespaces() == []


async def test_many_items_of_few_namespaces(any_store):
    await any_store.batch([PutOp((f"n{n % 3}",), str(n), {"text": "x" * 100}) for n in range(350)])
    assert await any_store.list_namespaces() == [("n0",), ("n1",), ("n2",)]
    assert await any_store.list_namespaces(limit=1, offset=1) == [("n1",)]


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_a_depth_up_to_that_of_the_prefix(any_store, depth):
    """Where there are more items than one request reads, too."""
    await any_store.batch([PutOp(("a", "b", f"{n % 2}"), str(n), {}) for n in range(70)])
    await any_store.put(("a", "c"), "k", {})
    listed = await any_store.list_namespaces(prefix=("a", "b"), max_depth=depth)
    assert listed == [[("a",)], [("a", "b")], [("a", "b", "0"), ("a", "b", "1")]][depth - 1]
