"""Random batches on LangGraph's store in memory and on this one, by both kinds of calls: the same answers."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from core.support import Face, WatchedTablestore
from faults.reporting import told_in_failures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.store.base import GetOp, ListNamespacesOp, MatchCondition, PutOp, SearchOp

from langchain_tablestore_memory.langgraph import TablestoreStore

from .support import CorrectedInMemoryStore, TopicEmbeddings, told, topic_index

EVERYTHING = 10**6
TEXTS = ("tea", "tea coffee", "coffee bread", "bread bread tea", "茶")

labels = st.sampled_from(["a", "ab", "b", "用"])
namespaces = st.lists(labels, min_size=1, max_size=3).map(tuple)
prefixes = st.lists(labels, max_size=2).map(tuple)
patterns = st.lists(labels | st.just("*"), min_size=1, max_size=3).map(tuple)
keys = st.sampled_from(["k1", "k2", "k", "", "k.1", "键"])
numbers = st.integers(-3, 3) | st.sampled_from([0.5, -2.5, 1.0])
words = st.sampled_from(["", "x", "y", "é"])
texts = st.sampled_from(TEXTS)

values = st.fixed_dictionaries(
    {"n": numbers, "s": words},
    optional={
        "text": texts | st.lists(texts, max_size=3) | st.none(),
        "flag": st.booleans(),
        "meta": st.fixed_dictionaries({}, optional={"n": numbers, "more": st.fixed_dictionaries({"s": words})}),
        "tags": st.lists(words, max_size=2),
    },
)

comparisons = st.sampled_from(["$gt", "$gte", "$lt", "$lte", "$eq", "$ne"])
# Fields that a search index has to know.
known = st.fixed_dictionaries(
    {},
    optional={
        "n": numbers | st.dictionaries(comparisons, numbers, min_size=1, max_size=2),
        "s": words | st.dictionaries(st.sampled_from(["$eq", "$ne"]), words, min_size=1),
        "flag": st.booleans() | st.fixed_dictionaries({"$ne": st.booleans()}),
    },
)
filters = known | st.fixed_dictionaries(
    {},
    optional={
        "meta": st.fixed_dictionaries({}, optional={"n": numbers, "more": st.fixed_dictionaries({"s": words})}),
        "tags": st.lists(words, max_size=2) | st.fixed_dictionaries({"$ne": st.lists(words, max_size=1)}),
    },
)
pages = st.fixed_dictionaries({"limit": st.integers(0, 6) | st.just(50), "offset": st.integers(0, 4)})

puts = st.tuples(
    namespaces, keys, values, st.sampled_from([None, None, False, ["text"], ["text[*]", "meta"], ["absent"]])
).map(lambda given: PutOp(*given))
deletes = st.tuples(namespaces, keys).map(lambda given: PutOp(*given, None))
gets = st.tuples(namespaces, keys).map(lambda given: GetOp(*given))
conditions = st.tuples(st.sampled_from(["prefix", "suffix"]), patterns).map(lambda given: MatchCondition(*given))
listings = st.builds(
    lambda wanted, depth, page: ListNamespacesOp(tuple(wanted), depth, **page),
    st.lists(conditions, max_size=2),
    st.none() | st.integers(1, 3),
    pages,
)
ops = st.one_of(
    puts,
    puts,
    deletes,
    gets,
    st.builds(lambda prefix, wanted, page: SearchOp(prefix, wanted, **page), prefixes, filters, pages),
    st.builds(
        lambda prefix, wanted, page, text: SearchOp(prefix, wanted, query=text, **page),
        prefixes,
        known,
        pages,
        texts | st.just(""),
    ),
    listings,
)
batches = st.lists(st.lists(ops, min_size=1, max_size=8), min_size=1, max_size=6)

FILTERABLE = {"n": float, "s": str, "flag": bool}


def check_ranked(answer: list[Any], expected: list[Any], ranking: list[Any]) -> None:
    """The scores are those expected, and each item has its own. Items of equal scores may come in any order."""
    ranked = {item[1:3]: item for item in ranking}
    assert [item[4] for item in answer] == pytest.approx([item[4] for item in expected], abs=1e-4)
    assert len({item[1:3] for item in answer}) == len(answer)
    for item in answer:
        assert item[:4] == ranked[item[1:3]][:4]
        assert item[4] == pytest.approx(ranked[item[1:3]][4], abs=1e-4)
    assert [item for item in answer if item[4] is None] == [item for item in expected if item[4] is None]


def live_through(steps: list[list[Any]], run: Any) -> None:
    fields = ["text", "text[*]"]
    model = CorrectedInMemoryStore(index=topic_index(fields=fields))
    with WatchedTablestore() as engine:
        faces = itertools.cycle(
            [
                Face(
                    TablestoreStore(
                        engine.connection(mode),
                        index=topic_index(TopicEmbeddings(), fields=fields),
                        filterable=FILTERABLE,
                    ),
                    mode,
                )
                for mode in ("sync", "async")
            ]
        )
        for batch, face in zip(steps, faces, strict=False):
            rankings = [
                told(model.batch([op._replace(limit=EVERYTHING, offset=0)])[0])
                if isinstance(op, SearchOp) and op.query
                else None
                for op in batch
            ]
            expected = told(model.batch(batch))
            answers = told(run(face.batch(batch)))
            for op, answer, wanted, ranking in zip(batch, answers, expected, rankings, strict=True):
                with told_in_failures(repr(op)):
                    if ranking is None:
                        assert answer == wanted
                    else:
                        check_ranked(answer, wanted, ranking)


def agree(examples: int) -> None:
    with asyncio.Runner() as runner:

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(batches)
        def check(steps: list[list[Any]]) -> None:
            live_through(steps, runner.run)

        check()


def test_random_batches():
    agree(15)


@pytest.mark.slow
def test_more_random_batches():
    agree(200)
