"""The three readings of a filter agree: as a predicate, as a condition on rows, as a query of the search index."""

from __future__ import annotations

import math

import pytest
import tablestore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langchain_tablestore_memory import Document, KnowledgeStore, connect
from langchain_tablestore_memory.core.columns import is_metadata_column
from langchain_tablestore_memory.filters import matches, parse, to_condition

from .conftest import FILTERABLE

texts = st.text("ab%_é😀", max_size=3)
numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**63 - 1]),
    st.integers(-6, 6).map(lambda half: half / 2),
)
metadata = st.fixed_dictionaries(
    {},
    optional={
        "lang": texts,
        "year": numbers.filter(lambda number: float(number).is_integer() and -(2**63) <= number < 2**63),
        "price": numbers.filter(lambda number: float(number) == number),
        "public": st.booleans(),
        "tags": st.lists(texts, min_size=1, max_size=3),
    },
)
comparison = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
operands = {"lang": texts, "year": numbers, "price": numbers}


def on(name):
    operand = operands[name]
    several = st.lists(operand, min_size=1, max_size=3)
    return st.one_of(
        st.builds(lambda op, value: {name: {op: value}}, comparison, operand),
        st.builds(lambda op, values: {name: {op: values}}, st.sampled_from(["$in", "$nin"]), several),
    )


leaves = st.one_of(
    st.sampled_from(sorted(operands)).flatmap(on),
    st.builds(
        lambda name, yes: {name: {"$exists": yes}}, st.sampled_from([*operands, "public", "tags"]), st.booleans()
    ),
    st.builds(lambda value: {"public": value}, st.booleans()),
    st.builds(
        lambda op, values: {"tags": {op: values}},
        st.sampled_from(["$contains_any", "$contains_all"]),
        st.lists(texts, min_size=1, max_size=3),
    ),
    st.builds(lambda op, text: {"lang": {op: text}}, st.sampled_from(["$prefix", "$like"]), texts),
)
written = st.recursive(
    leaves,
    lambda children: st.builds(
        lambda op, parts: {op: parts},
        st.sampled_from(["$and", "$or", "$not"]),
        st.lists(children, min_size=1, max_size=3),
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def store():
    with connect("local::memory:", durability="normal") as connection:
        yield KnowledgeStore(connection, 3, filterable=FILTERABLE)


@settings(
    deadline=None,
    max_examples=2 * settings.default.max_examples // 5,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(rows=st.lists(metadata, min_size=1, max_size=12), filters=st.lists(written, min_size=1, max_size=8))
def test_the_three_readings_agree(store, rows, filters):
    store.delete_all_documents()
    documents = {f"d{n}": row for n, row in enumerate(rows)}
    store.put_documents(Document(name, metadata=row) for name, row in documents.items())
    for wanted in map(parse, filters):
        expected = {name for name, row in documents.items() if matches(wanted, row)}
        found = store.search_documents(metadata_filter=wanted).items
        assert {hit.document.document_id for hit in found} == expected
        assert store.count_documents(metadata_filter=wanted) == len(expected)
        condition = to_condition(
            wanted, columns=lambda name: is_metadata_column(name) and name not in {"tags", *moved(rows)}
        )
        assert expected <= passed(store, condition)


def moved(rows):
    """Fields in which a row's number is written as another type, for the search index: conditions cannot see these."""
    return {
        name
        for row in rows
        for name, kind in (("year", int), ("price", float))
        if name in row and type(row[name]) is not kind
    }


def passed(store, condition):
    key = ("document_id", "tenant_id")
    _, _, rows, _ = store._connection.client.get_range(
        "knowledge",
        tablestore.Direction.FORWARD,
        [(name, tablestore.INF_MIN) for name in key],
        [(name, tablestore.INF_MAX) for name in key],
        column_filter=condition,
        max_version=1,
    )
    return {row.primary_key[0][1] for row in rows}


# Values of all kinds, in fields that hold only some of them

anything = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    st.sampled_from([2**63, -(2**63) - 1, 10**30, 1e300, -0.0, float("inf"), float("nan"), 2.0**53, 0.1]),
    st.sampled_from(
        ["", "a", "A", "\u00e9", "e\u0301", "ﬁ", "茶", "😀", "a\x00", " a", "1", "true", "null", "[1]", "%", "_"]
    ),
    st.lists(st.one_of(texts, st.integers(-2, 2), st.none(), st.booleans()), max_size=3),
    st.just({"nested": [1]}),
    st.just(b"a"),
)
odd_metadata = st.fixed_dictionaries({}, optional=dict.fromkeys(["lang", "year", "price", "public", "tags"], anything))
odd_texts = st.sampled_from(["", "a", "A", "\u00e9", "e\u0301", "茶", "😀", "a\x00", " a", "1", "%", "_"])
odd_leaves = st.one_of(
    leaves,
    st.builds(
        lambda name, op, value: {name: {op: value}},
        st.sampled_from(["year", "price"]),
        comparison,
        st.sampled_from([2**63, -(2**63) - 1, 10**30, -(10**30), 0.5, -0.0, 1e300, 2**53 + 1, float("inf")]),
    ),
    st.builds(lambda op, text: {"lang": {op: text}}, st.one_of(comparison, st.just("$prefix")), odd_texts),
    st.builds(lambda name, yes: {name: {"$exists": yes}}, st.sampled_from(["year", "price", "lang"]), st.booleans()),
    st.builds(lambda op, value: {"public": {op: value}}, st.sampled_from(["$eq", "$ne"]), st.booleans()),
)


def as_declared(row):
    """A row as the index sees it: what does not fit the type of its field is as good as missing."""
    fits = {
        "lang": lambda value: type(value) is str,
        "public": lambda value: type(value) is bool,
        "year": lambda value: type(value) in {int, float} and value == value // 1 and -(2**63) <= value < 2**63,
        "price": lambda value: type(value) in {int, float} and math.isfinite(value) and as_double(value) == value,
    }
    found = {name: value for name, value in row.items() if name in fits and fits[name](value)}
    if isinstance(row.get("tags"), list) and (tags := [each for each in row["tags"] if type(each) is str]):
        found["tags"] = tags
    return found


def as_double(value):
    try:
        return float(value)
    except OverflowError:
        return None


@settings(
    deadline=None,
    max_examples=3 * settings.default.max_examples // 5,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(rows=st.lists(odd_metadata, min_size=1, max_size=12), filters=st.lists(odd_leaves, min_size=1, max_size=8))
def test_values_that_do_not_fit_are_as_good_as_missing(store, rows, filters):
    store.delete_all_documents()
    documents = {f"d{n:02}": row for n, row in enumerate(rows)}
    store.put_documents(Document(name, metadata=row) for name, row in documents.items())
    for wanted in map(parse, filters):
        expected = [name for name, row in documents.items() if matches(wanted, as_declared(row))]
        found = store.search_documents(metadata_filter=wanted).items
        assert [hit.document.document_id for hit in found] == expected
        assert store.count_documents(metadata_filter=wanted) == len(expected)
    stored = store.get_documents(list(documents))
    assert list(map(repr, (document.metadata for document in stored))) == list(map(repr, rows))
