"""Words in filters: a field of one word, asked for it, passes as a field that equals it does, wherever that stands."""

from __future__ import annotations

from itertools import product

import pytest
from core.support import WatchedTablestore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.store.base import PutOp, SearchOp

from langchain_tablestore_memory import FilterError, Filters
from langchain_tablestore_memory.langgraph import TablestoreStore

from .support import topic_index

NS = ("docs",)
FILTERABLE = {"note": "text", "word": str, "n": int, "tags": list[str], "meta.note": "text", "meta.word": str}
WORDS = ("red", "blue")

# One of each kind, where everything that is asked for may be missing.
VALUES = [
    {"text": "tea"}
    | ({} if word is None else {"note": word, "word": word, "meta": {"note": word, "word": word}})
    | ({} if n is None else {"n": n})
    | ({} if tags is None else {"tags": tags})
    for word, n, tags in product((*WORDS, None), (1, 2, None), (["x"], ["x", "y"], None))
]

words = st.sampled_from(WORDS)
asked = st.sampled_from(["$text", "$phrase"])

# Pairs: a filter that asks for words, and one that means the same and does not.
of_words = st.one_of(
    st.builds(lambda operator, word: ({"note": {operator: word}}, {"word": word}), asked, words),
    st.builds(
        lambda operator, word: ({"note": {"$not": {operator: word}}}, {"word": {"$not": {"$eq": word}}}), asked, words
    ),
    st.builds(lambda operator, word: ({"meta": {"note": {operator: word}}}, {"meta": {"word": word}}), asked, words),
    st.builds(lambda word: (Filters.logical_not([Filters.text_match("note", word)]), {"$not": {"word": word}}), words),
)
of_others = st.sampled_from(
    [{"n": 1}, {"n": {"$ne": 2}}, {"n": None}, {"tags": ["x"]}, {"tags": {"$contains": "y"}}, {"tags": None}]
).map(lambda same: (same, same))


def joined(inner):
    def within(operator):
        return st.lists(inner, min_size=1, max_size=3).map(
            lambda pairs: ({operator: [one for one, _ in pairs]}, {operator: [other for _, other in pairs]})
        )

    return st.one_of(
        within("$and"), within("$or"), within("$not"), inner.map(lambda pair: ({"$not": pair[0]}, {"$not": pair[1]}))
    )


pairs = st.recursive(of_words | of_others, joined, max_leaves=5)


def agree(examples):
    """Or the filter is refused, with and without a query: what is found is never less, and never more."""
    with WatchedTablestore() as engine:
        store = TablestoreStore(
            engine.connection("sync"), index=topic_index(), filterable=FILTERABLE, table_name="words"
        )
        store.batch([PutOp(NS, str(number), value) for number, value in enumerate(VALUES)])
        answered = []

        def found(wanted):
            return sorted(item.key for item in store.batch([SearchOp(NS, wanted, 100, query="tea")])[0])

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(pairs)
        def check(pair):
            asking, plain = pair
            try:
                answer = found(asking)
            except FilterError:
                answered.append(False)
                return
            answered.append(True)
            assert answer == found(plain), asking

        check()
        assert sum(answered) > len(answered) / 2


def test_words_agree_with_equality():
    agree(40)


@pytest.mark.slow
def test_more_words_agree_with_equality():
    agree(150)
