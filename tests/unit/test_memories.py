"""Long-term memories as documents, and what may be said of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langchain_tablestore_memory import Filters, InvalidArgumentError
from langchain_tablestore_memory.core.documents import Document
from langchain_tablestore_memory.core.memories import (
    FIELDS,
    RESERVED,
    Memory,
    check_lifetime,
    check_memory_ids,
    check_memory_metadata,
    check_memory_text,
    decode_memory,
    encode_memory,
    id_of_text,
    is_alive,
    is_same,
    listed_after,
    matching,
    question,
    told,
    words_of,
)
from langchain_tablestore_memory.filters import matches

texts = st.text("ab_ 1.汉é🎂\n", min_size=1, max_size=8)
times = st.integers(0, 2**62)
names = st.none() | texts
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(
    memory=st.builds(
        Memory,
        texts,
        texts,
        session_id=names,
        role=names,
        message_id=names,
        created_at=times,
        updated_at=times.filter(bool),
        expires_at=st.none() | times,
        metadata=st.dictionaries(texts.filter(lambda key: key not in RESERVED), values, max_size=4),
    )
)
def test_a_memory_survives_its_document(memory):
    document = encode_memory(memory, "u1", embedding=[1.0])
    assert (document.document_id, document.tenant_id) == (memory.memory_id, "u1")
    assert (document.text, document.embedding) == (memory.text, [1.0])
    assert None not in {document.metadata.get(name, "absent") for name in RESERVED}
    assert decode_memory(document) == memory
    assert decode_memory(document, 0.5).score == 0.5


def test_what_other_tools_wrote():
    assert decode_memory(Document("d1", "u1")) == Memory("d1", "")
    odd = {"session_id": 5, "role": ["x"], "created_at": "now", "updated_at": True, "expires_at": "later", "more": 1}
    assert decode_memory(Document("d1", "u1", "text", metadata=odd)) == Memory("d1", "text", metadata={"more": 1})
    assert odd["created_at"] == "now"


def test_every_field_that_is_filtered_by_is_reserved():
    assert set(FIELDS) < RESERVED


# Ids


def test_ids_of_texts_never_change():
    """They are in tables."""
    assert id_of_text("I like Sichuan food") == "memory-2fc2f36d0545589dd8eb0622c33a22"


@given(st.lists(st.tuples(texts, st.integers(0, 5)), unique=True))
def test_ids_differ(pairs):
    ids = [id_of_text(text, attempt) for text, attempt in pairs]
    assert len(set(ids)) == len(ids)
    assert all(each.isascii() and len(each) == 37 for each in ids)


@pytest.mark.parametrize(
    ("given_ids", "expected"),
    [("m1", ["m1"]), (["m1", "m2", "m1"], ["m1", "m2", "m1"]), (iter("ab"), ["a", "b"]), ([], [])],
)
def test_ids_that_are_given(given_ids, expected):
    assert check_memory_ids(given_ids) == expected


@pytest.mark.parametrize("given_ids", [None, 5, b"m1", {"m1": 1}, [5], ["m1", ""], "\ud800"])
def test_ids_that_are_none(given_ids):
    with pytest.raises(InvalidArgumentError, match="memory_id"):
        check_memory_ids(given_ids)


# Lifetimes


@pytest.mark.parametrize(
    ("ttl", "expected"),
    [
        (None, None),
        (1, 1_000_000),
        (0.5, 500_000),
        (1e-6, 1),
        (timedelta(days=1), 86_400_000_000),
        (timedelta(microseconds=1), 1),
        (timedelta.max, 10**18),
        (1e300, 10**18),
        (math.inf, 10**18),
    ],
)
def test_lifetimes(ttl, expected):
    assert check_lifetime(ttl) == expected


@pytest.mark.parametrize("ttl", [0, -1, 1e-7, -math.inf, math.nan, True, "1", timedelta(0), timedelta(-1), [1]])
def test_lifetimes_that_cannot_be(ttl):
    with pytest.raises(InvalidArgumentError, match=r"^ttl is .*Give "):
        check_lifetime(ttl)


@pytest.mark.parametrize(("expires_at", "alive"), [(None, True), (11, True), (10, False), (9, False)])
def test_alive(expires_at, alive):
    memory = Memory("m1", "text", expires_at=expires_at)
    assert is_alive(memory, 10) is alive
    assert matches(matching(now=10), {} if expires_at is None else {"expires_at": expires_at}) is alive


# Conditions


@given(
    created=st.integers(0, 5),
    session=st.sampled_from(["s1", "s2"]),
    since=st.none() | st.integers(0, 5),
    until=st.none() | st.integers(0, 5),
    wanted=st.sampled_from([None, "s1", "s2"]),
    topic=st.sampled_from([None, "x"]),
)
def test_conditions(created, session, since, until, wanted, topic):
    condition = matching(
        session_id=wanted,
        since=since,
        until=until,
        metadata_filter=None if topic is None else {"topic": topic},
    )
    row = {"created_at": created, "session_id": session, "topic": "y"}
    expected = (
        wanted in {None, session}
        and (since is None or created >= since)
        and (until is None or created <= until)
        and topic is None
    )
    assert matches(condition, row) is expected


def test_no_conditions():
    assert matching() == Filters.all()
    assert matches(matching(since=datetime(1970, 1, 1, tzinfo=UTC)), {"created_at": 0})


@given(
    rows=st.lists(st.tuples(st.integers(1, 3) | st.none(), st.sampled_from("abcdef")), unique_by=lambda row: row[1]),
    position=st.integers(0, 5),
)
def test_what_follows_in_a_list(rows, position):
    ordered = sorted(rows, key=lambda row: (-(row[0] or 0), row[1]))
    if position >= len(ordered):
        return
    time, memory_id = ordered[position]
    following = listed_after(time or 0, memory_id)
    found = [
        row
        for row in ordered
        if matches(following, {"document_id": row[1]} | ({} if row[0] is None else {"created_at": row[0]}))
    ]
    assert found == ordered[position + 1 :]


# Metadata and texts


def test_metadata():
    given_metadata = {"a": [1, None]}
    checked = check_memory_metadata(given_metadata)
    assert checked == given_metadata
    assert checked is not given_metadata
    assert check_memory_metadata(None) == {}
    for name in RESERVED:
        with pytest.raises(InvalidArgumentError, match=f"metadata has '{name}', which memories use themselves"):
            check_memory_metadata({name: 1})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {}, True),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, False),
        ({"a": (1,)}, {"a": [1]}, False),
        ({"a": math.nan}, {"a": math.nan}, True),
        ({"a": {"b": [None]}}, {"a": {"b": [None]}}, True),
        ({"a": None}, {}, False),
    ],
)
def test_same_metadata(one, other, same):
    assert is_same(one, other) is same
    assert is_same(other, one) is same


@pytest.mark.parametrize("text", ["a", " a\n", "\u3000汉字\t", "x" * 100_000, f"{'x' * 100_000}   "])
def test_texts(text):
    assert check_memory_text(text) == text.strip()


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), ("\u3000 ", "is empty"), (5, "is a int"), ("x" * 100_001, "100001"), ("\ud800", "surrogate")],
)
def test_texts_that_cannot_be(text, message):
    with pytest.raises(InvalidArgumentError, match=f"^it .*{message}"):
        check_memory_text(text, "it")


def test_what_is_told():
    common = Memory("", "", session_id="s1", created_at=10, updated_at=10, metadata={"a": 1})
    said = [HumanMessage("one", id="m1"), " one", SystemMessage("two"), "three", AIMessage("three")]
    memories = told(iter(said), common)
    assert [(m.text, m.role, m.message_id, m.created_at, m.updated_at) for m in memories] == [
        ("one", "human", "m1", 10, 10),
        ("two", "system", None, 11, 11),
        ("three", None, None, 12, 12),
    ]
    assert {m.session_id for m in memories} == {"s1"}
    memories[0].metadata["b"] = 2
    assert memories[1].metadata == common.metadata == {"a": 1}
    assert told("one", common) == told(["one"], common)
    assert told([], common) == []


@pytest.mark.parametrize("content", [None, 5, {"a": 1}, b"x"])
def test_what_cannot_be_told(content):
    with pytest.raises(InvalidArgumentError, match="Give a text, a message, or a list of them"):
        told(content, Memory("", ""))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (" food ", "food"),
        (HumanMessage("food"), "food"),
        ([HumanMessage("one"), HumanMessage("two"), AIMessage("three")], "two"),
        ((AIMessage("one"), SystemMessage("two")), "two"),
    ],
)
def test_questions(query, expected):
    assert question(query) == expected


@pytest.mark.parametrize("query", ["", None, 5, [], ["x"], [HumanMessage("x"), "x"], {"x": 1}, HumanMessage("")])
def test_questions_that_are_none(query):
    with pytest.raises(InvalidArgumentError, match="query"):
        question(query)


def test_words_of_a_question():
    assert words_of("short") == "short"
    assert len(words_of("汉" * 100_000)) == 4096
