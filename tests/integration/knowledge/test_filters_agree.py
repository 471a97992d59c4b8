"""The three readings of a filter agree: as a predicate, as a condition on rows, as a query of the search index."""

from __future__ import annotations

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


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
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
