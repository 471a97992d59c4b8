"""A filter means the same wherever it is read: by the table, by the search index, and by LangGraph's store in memory."""

from __future__ import annotations

import pytest
from core.support import WatchedTablestore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.store.base import PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from langchain_tablestore_memory import Filters
from langchain_tablestore_memory.langgraph import TablestoreStore

from .support import topic_index

NS = ("docs",)
FILTERABLE = {
    "n": float,
    "s": str,
    "flag": bool,
    "tags": list[str],
    "meta.k": str,
    "meta.more.n": int,
    "meta.o": int,
    "a b": int,
}

numbers = st.integers(-2, 3) | st.sampled_from([0.5, -1.5, 2.0])
words = st.sampled_from(["", "x", "xy", "y", "é", "%", "x_"])
small = st.integers(0, 3)

values = st.fixed_dictionaries(
    {},
    optional={
        "n": numbers | st.none(),
        "s": words | st.none(),
        "flag": st.booleans(),
        "tags": st.lists(words, max_size=3),
        "meta": st.fixed_dictionaries(
            {}, optional={"k": words | st.none(), "more": st.fixed_dictionaries({}, optional={"n": small}), "o": small}
        ),
        "a b": small,
    },
)


def operators(of, *, ordered=True):
    """What a field of scalars can be asked."""
    names = ["$eq", "$ne"] + (["$gt", "$gte", "$lt", "$lte"] if ordered else [])
    several = st.lists(of, min_size=1, max_size=3)
    return st.one_of(
        of,
        st.none(),
        st.dictionaries(st.sampled_from(names), of, min_size=1, max_size=2),
        st.fixed_dictionaries({}, optional={"$in": several, "$nin": several, "$exists": st.booleans()}).filter(bool),
        st.builds(lambda inner: {"$not": inner}, st.dictionaries(st.sampled_from(names), of, min_size=1, max_size=1)),
        st.sampled_from([{"$eq": None}, {"$ne": None}]),
    )


lists = st.one_of(
    st.lists(words, max_size=2),
    st.builds(lambda word: {"$contains": word}, words),
    st.builds(lambda some: {"$contains_any": some}, st.lists(words, min_size=1, max_size=2)),
    st.builds(lambda some: {"$contains_all": some}, st.lists(words, min_size=1, max_size=2)),
    st.builds(lambda some: {"$ne": some}, st.lists(words, max_size=2)),
)
texts = (
    operators(words) | st.builds(lambda word: {"$prefix": word}, words) | st.builds(lambda w: {"$like": w + "%"}, words)
)
fields = st.one_of(
    st.tuples(
        st.just("n"),
        operators(numbers) | st.builds(lambda a, b: {"$between": [min(a, b), max(a, b)]}, numbers, numbers),
    ),
    st.tuples(st.just("s"), texts),
    st.tuples(st.just("flag"), operators(st.booleans(), ordered=False)),
    st.tuples(st.just("tags"), lists),
    st.tuples(st.just("meta"), st.fixed_dictionaries({}, optional={"k": texts, "o": small})),
    st.tuples(st.just("meta"), st.fixed_dictionaries({"more": st.fixed_dictionaries({"n": operators(small)})})),
    st.tuples(st.just("meta.k"), words),
    st.tuples(st.just("a b"), operators(small)),
)
leaves = st.lists(fields, min_size=1, max_size=2).map(dict)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda some: {"$and": some}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda some: {"$or": some}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda one: {"$not": one}, inner),
        st.builds(lambda one, other: {**one, "$not": other}, leaves, inner),
    ),
    max_leaves=3,
)


def in_memory(store, wanted):
    """What LangGraph's store finds; None where it has no such operator, or compares what is not there."""
    try:
        return sorted(item.key for item in store.search(NS, filter=wanted, limit=100))
    except (ValueError, TypeError):
        return None


def agree(examples):
    with WatchedTablestore() as engine:
        store = TablestoreStore(
            engine.connection("sync"), index=topic_index(fields=["$"]), filterable=FILTERABLE, table_name="filtered"
        )

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(st.lists(values, min_size=1, max_size=6), st.lists(filters, min_size=3, max_size=10))
        def check(items, wanted):
            memory = InMemoryStore()
            memory.batch([PutOp(NS, str(number), value) for number, value in enumerate(items)])
            before = [PutOp(NS, item.key, None) for item in store.search(NS, limit=100)]
            store.batch([*before, *(PutOp(NS, str(number), value) for number, value in enumerate(items))])
            for each in wanted:
                plain, near, whole = store.batch(
                    [SearchOp(NS, each, 100), SearchOp(NS, each, 100, query="tea"), SearchOp(NS, None, 100)]
                )
                found = sorted(item.key for item in plain)
                assert sorted(item.key for item in near) == found, each
                # The negation is the rest.
                others = store.search(NS, filter={"$not": each}, limit=100)
                assert sorted([*found, *(item.key for item in others)]) == sorted(item.key for item in whole), each
                # LangGraph knows no name of a nested field, nor what joins filters.
                if not each.keys() & {"meta.k", "$and", "$or", "$not"}:
                    theirs = in_memory(memory, each)
                    assert theirs in (None, found), each

        check()


def test_filters_agree():
    agree(15)


@pytest.mark.slow
def test_more_filters_agree():
    agree(200)


async def test_built_filters_are_written_ones(open_store):
    """`Filters` and dicts; a name with periods is of what is nested."""
    store = open_store(index=topic_index(fields=["$"]), filterable=FILTERABLE)
    await store.put(NS, "one", {"n": 1, "meta": {"k": "x", "more": {"n": 2}}})
    await store.put(NS, "two", {"n": 2, "meta": {"k": "y"}})
    for query in (None, "tea"):
        for built, written in (
            (Filters.eq("meta.k", "x"), {"meta": {"k": "x"}}),
            (Filters.gt("meta.more.n", 1), {"meta": {"more": {"n": {"$gt": 1}}}}),
            (Filters.not_eq("n", 2), {"n": {"$ne": 2}}),
        ):
            for wanted in (built, written):
                assert [item.key for item in await store.search(NS, query=query, filter=wanted)] == ["one"]
