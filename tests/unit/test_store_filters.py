"""Filters of a store: LangGraph's with LangGraph's answers, ours with ours, and what searches ask of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.memory import _compare_values

from langchain_tablestore_memory import FilterError, Filters
from langchain_tablestore_memory.filters import matches
from langchain_tablestore_memory.langgraph.stores.filters import ItemFilter, ValueFields

# 0 and 1 equal False and True for Python, and not here; dots lead into dicts here, and not in LangGraph.
NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.sampled_from([2, 3, 2.0, 2.5, "x", "y", "", True, False, None])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=3)
NUMBERS = st.sampled_from([1, 2, 2.5, 3])
OPERATORS = st.fixed_dictionaries({}, optional={"$eq": VALUES, "$ne": VALUES}).filter(bool)
WANTED = st.recursive(
    SCALARS | OPERATORS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2)
)


def accepts(wanted, value):
    found = ItemFilter.of(wanted)
    return found is None or found.check(value)


@given(DOCUMENTS, st.dictionaries(NAMES, WANTED, max_size=2))
def test_langgraphs_answers(value, wanted):
    expected = all(_compare_values(value.get(name), each) for name, each in wanted.items())
    assert accepts(wanted, value) == expected


@given(st.dictionaries(NAMES, NUMBERS), NUMBERS, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]))
def test_order_of_numbers(value, bound, operator):
    expected = "a" in value and _compare_values(value["a"], {operator: bound})
    assert accepts({"a": {operator: bound}}, value) == expected


@given(DOCUMENTS, st.dictionaries(NAMES, WANTED, max_size=2), st.booleans())
def test_searches_leave_nothing_out(value, wanted, negated):
    """What they ask may pass more than the filter, never less."""
    found = ItemFilter.of({"$not": wanted} if negated else wanted)
    if found is None:
        return
    passes = matches(found.tree, ValueFields(_without_none(value)))
    if found.check(value):
        assert passes
    elif found.is_exact:
        assert not passes


def _without_none(value):
    """A value as a search index sees it: None is as good as missing."""
    if isinstance(value, dict):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    return value


def test_types_are_kept():
    assert not accepts({"a": 1}, {"a": True})
    assert not accepts({"a": 1}, {"a": "1"})
    assert accepts({"a": 1}, {"a": 1.0})
    assert accepts({"a": {"$gt": 9}}, {"a": 10})
    assert accepts({"a": {"$gt": "b"}}, {"a": "c"})
    assert not accepts({"a": {"$gt": 1}}, {"a": "c"})
    assert not accepts({"a": {"$gt": 1}}, {})
    assert not accepts({"a": {"$eq": [True]}}, {"a": [1]})


def test_ours():
    value = {"n": 3, "s": "Tea", "tags": ["x", "y"], "meta": {"lang": "zh", "a.b": 1}}
    assert accepts({"n": {"$in": [1, 3]}, "tags": {"$contains": "y"}}, value)
    assert accepts({"$or": [{"n": 1}, {"meta": {"lang": "zh"}}]}, value)
    assert not accepts({"$not": {"meta": {"lang": "zh"}}}, value)
    assert accepts(Filters.eq("meta.lang", "zh") & Filters.prefix("s", "T"), value)
    assert accepts({"$and": [Filters.eq("meta.lang", "zh"), {"n": 3}]}, value)
    assert accepts({"meta.a.b": 1}, value)
    assert accepts({"meta": {"absent": {"$exists": False}}}, value)
    assert accepts({"n": {"$not": {"$gt": 3}}}, value)


def test_a_name_with_a_period_is_looked_up_as_it_is_first():
    assert accepts({"a.b": 1}, {"a.b": 1, "a": {"b": 2}})
    assert accepts({"a.b": 2}, {"a": {"b": 2}})
    assert not accepts({"a.b": 2}, {"a": 2})


def test_what_is_within_is_found_by_labels():
    """As in LangGraph: a period in a name of the value leads nowhere."""
    assert accepts({"a": {"b": 2}}, {"a.b": 1, "a": {"b": 2}})
    assert not accepts({"a": {"b": 1}}, {"a.b": 1, "a": {}})
    assert not accepts({"a": {"b": 1}}, {"a.b": 1})


def test_everything():
    for wanted in (None, {}, Filters.all()):
        assert ItemFilter.of(wanted) is None


@pytest.mark.parametrize(
    "wanted",
    [
        5,
        "n",
        [],
        {"n": {"$foo": 1}},
        {"$foo": 1},
        {"$and": []},
        {"$or": [None]},
        {"$not": 5},
        {"": 1},
        {5: 1},
        {"n": {"$gt": None}},
        {"n": {"$gt": 1, "m": 2}},
        {"n": {1: 2}},
        {"n": {"m"}},
        {"n": float("nan")},
        {"n": {"$eq": [...]}},
        {"n": [...]},
        {"n": ...},
    ],
    ids=str,
)
def test_what_cannot_be_read(wanted):
    with pytest.raises(FilterError):
        ItemFilter.of(wanted)


def test_a_filter_that_contains_itself():
    wanted = {"a": {}}
    wanted["a"]["b"] = wanted
    with pytest.raises(FilterError, match="contains itself"):
        ItemFilter.of(wanted)


def test_words_are_for_searches():
    found = ItemFilter.of({"s": {"$text": "tea"}, "n": 1})
    assert found.needs_search
    with pytest.raises(FilterError, match="searches only"):
        found.check_table()
    ItemFilter.of({"n": 1}).check_table()


def test_fields_are_named():
    wanted = {"a": 1, "b": {"c": [1], "d": None}, "$or": [{"e": {"$ne": {}}}, Filters.eq("f.g", 1)]}
    assert ItemFilter.of(wanted).fields == {"a", "b.c", "b.d", "e", "f.g"}
