"""Namespaces as text in a key column: their order, their ranges, what is none, and which are listed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.base import InvalidNamespaceError as LangGraphInvalidNamespaceError
from langgraph.store.base import ListNamespacesOp, MatchCondition
from langgraph.store.memory import _does_match
from tablestore import INF_MAX, INF_MIN

from langchain_tablestore_memory import InvalidArgumentError
from langchain_tablestore_memory.core.ranges import StoredRow
from langchain_tablestore_memory.langgraph.stores.namespaces import (
    InvalidNamespaceError,
    Listing,
    check_namespace,
    decode_namespace,
    encode_namespace,
    list_namespaces,
    namespace_range,
)

LABELS = st.text(
    st.characters(codec="utf-8", exclude_characters=".\x00") | st.sampled_from("ab\x01*"), min_size=1, max_size=3
)
NAMESPACES = st.lists(LABELS, max_size=4).map(tuple)


@given(NAMESPACES)
def test_round_trip(namespace):
    assert decode_namespace(encode_namespace(namespace)) == namespace


@given(NAMESPACES, NAMESPACES)
def test_bytes_sort_as_tuples_do(one, other):
    assert (encode_namespace(one).encode() < encode_namespace(other).encode()) == (one < other)


@given(NAMESPACES, NAMESPACES)
def test_a_range_holds_what_begins_with_the_same_labels(prefix, namespace):
    first, last = namespace_range(prefix)
    if not prefix:
        assert (first, last) == (INF_MIN, INF_MAX)
        return
    inside = first.encode() <= encode_namespace(namespace).encode() < last.encode()
    assert inside == (namespace[: len(prefix)] == prefix)


@pytest.mark.parametrize(
    "namespace", [("",), ("a.b",), ("a\x00",), (1,), (None,), ("\udc00",), ("x" * 1024,), "a", None]
)
def test_what_is_none(namespace):
    with pytest.raises(InvalidNamespaceError) as caught:
        check_namespace(namespace)
    assert isinstance(caught.value, LangGraphInvalidNamespaceError)
    assert isinstance(caught.value, InvalidArgumentError)


def test_what_can_be_read_and_not_stored_in():
    for namespace in ((), ("langgraph",), ("langgraph", "x")):
        assert check_namespace(namespace) == namespace
        with pytest.raises(InvalidNamespaceError):
            check_namespace(namespace, new=True)
    assert check_namespace(["a", "langgraph"], new=True) == ("a", "langgraph")
    assert check_namespace(("x" * 1023,), new=True)


@given(
    NAMESPACES,
    st.lists(st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), NAMESPACES), max_size=3).map(tuple),
)
def test_conditions_are_langgraphs(namespace, conditions):
    listing = Listing.of(ListNamespacesOp(conditions))
    accepted = listing.accepts(namespace)
    assert accepted == all(_does_match(condition, namespace) for condition in conditions)
    if accepted:
        # So nothing is missed where only what begins so is read.
        assert namespace[: len(listing.prefix)] == listing.prefix


@pytest.mark.parametrize(
    "op",
    [
        ListNamespacesOp(limit=-1),
        ListNamespacesOp(offset=-1),
        ListNamespacesOp(max_depth=-1),
        ListNamespacesOp(limit=True),
        ListNamespacesOp((MatchCondition("middle", ("a",)),)),
        ListNamespacesOp((("prefix", ("a",)),)),
        ListNamespacesOp((MatchCondition("prefix", ("a.b",)),)),
    ],
)
def test_bad_listings(op):
    with pytest.raises(InvalidArgumentError):
        Listing.of(op)


class Rows:
    """Rows in order, given out as the service does, page by page; counts the requests."""

    def __init__(self, rows):
        self.keys = sorted((encode_namespace(namespace).encode(), key, live) for namespace, key, live in rows)
        self.requests = 0

    def answer(self, call):
        self.requests += 1
        _, _, start, end, _, limit = call.args
        inside = [row for row in self.keys if self._at(start) <= self._place(row) < self._at(end)]
        page, rest = inside[:limit], inside[limit:]
        following = [("namespace", rest[0][0].decode()), ("key", rest[0][1])] if rest else None
        return None, following, [Row(row) for row in page], None

    @staticmethod
    def _place(row):
        return ((1, row[0]), (1, row[1]))

    @staticmethod
    def _at(key):
        def place(value):
            if value is INF_MIN or value is INF_MAX:
                return (0, "") if value is INF_MIN else (2, "")
            return (1, value)

        (_, namespace), (_, item) = key
        place_of_namespace = place(namespace)
        if place_of_namespace[0] == 1:
            place_of_namespace = (1, namespace.encode())
        return (place_of_namespace, place(item))


class Row:
    def __init__(self, row):
        self.primary_key = [("namespace", row[0].decode()), ("key", row[1])]
        self.attribute_columns = [("live", row[2])]


def listed(rows, **listing):
    program = list_namespaces(
        Listing.of(ListNamespacesOp(**listing)), "t", ("namespace", "key"), lambda row: row.columns["live"], ["live"]
    )
    answer = None
    while True:
        try:
            answer = rows.answer(program.send(answer))
        except StopIteration as stop:
            return stop.value


@given(
    st.lists(st.tuples(NAMESPACES.filter(bool), st.integers(0, 400).map("{:03}".format), st.booleans()), max_size=30),
    st.integers(0, 4) | st.none(),
    st.integers(0, 3),
    st.integers(0, 5),
)
def test_listing(items, max_depth, offset, limit):
    items = list({item[:2]: item for item in items}.values())
    shown = sorted({namespace[:max_depth] for namespace, _, live in items if live})
    assert listed(Rows(items), max_depth=max_depth, offset=offset, limit=limit) == shown[offset : offset + limit]


def test_what_is_in_large_namespaces_is_not_read():
    rows = Rows([((name,), f"{number:05}", True) for name in "abc" for number in range(5000)])
    assert listed(rows) == [("a",), ("b",), ("c",)]
    assert rows.requests <= 4
    rows = Rows([(("users", f"{number:05}"), "k", True) for number in range(5000)] + [(("zoo",), "k", True)])
    assert listed(rows, max_depth=1) == [("users",), ("zoo",)]
    assert rows.requests <= 3


def test_rows_are_read_by_name():
    assert StoredRow.of(Row((b"a\x00", "k", True))) == StoredRow({"namespace": "a\x00", "key": "k"}, {"live": True})
