"""Lists under metadata filters hold what a plain reading of the filter says, wherever the values are kept."""

from __future__ import annotations

import itertools
import operator
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_tablestore_memory import (
    FilterError,
    Filters,
    MemoryStore,
    Message,
    MessageStore,
    MetaType,
    Session,
    connect,
)

KEYS = ["a", "b", "页", "update_time", "content"]

numbers = st.sampled_from([-1, 0, 1, 2, 2**53, 2**53 + 1, 2**63 - 1, 2**70, -0.0, 0.5, 1.0, 2.0**53, float("inf")])
texts = st.sampled_from(["", "a", "ab", "abc", "b", "会", "会话", "%", "🙂"])
raw = st.sampled_from([b"", b"a", bytearray(b"a"), b"\xff"])
scalars = numbers | texts | raw | st.booleans() | st.none()
stored = scalars | st.just(float("nan")) | st.lists(scalars, max_size=3) | st.just({"a": 1})


def kind(value):
    for name, types in [
        ("bool", bool),
        ("number", (int, float)),
        ("text", str),
        ("bytes", (bytes, bytearray)),
        ("none", type(None)),
    ]:
        if isinstance(value, types):
            return name
    return None


def same(left, right):
    return kind(left) is not None and kind(left) == kind(right) and left == right


def compares(how):
    return lambda value, operand: kind(value) == kind(operand) and how(value, operand)


def like(value, pattern):
    regular = "".join({"%": ".*", "_": "."}.get(character, re.escape(character)) for character in pattern)
    return isinstance(value, str) and re.fullmatch(regular, value, re.DOTALL) is not None


# operator: operands, and whether a value that is there fulfils it
POSITIVE = {
    "$eq": (scalars, same),
    "$gt": (numbers | texts | raw, compares(operator.gt)),
    "$gte": (numbers | texts | raw, compares(operator.ge)),
    "$lt": (numbers | texts | raw, compares(operator.lt)),
    "$lte": (numbers | texts | raw, compares(operator.le)),
    "$in": (st.lists(scalars, min_size=1, max_size=4), lambda value, them: any(same(value, one) for one in them)),
    "$between": (
        st.tuples(numbers, numbers).map(list),
        lambda value, ends: kind(value) == "number" and ends[0] <= value <= ends[1],
    ),
    "$prefix": (texts, lambda value, prefix: isinstance(value, str) and value.startswith(prefix)),
    "$like": (st.sampled_from(["%", "_", "a%", "%b", "a_", "%会%", "_%", "ab"]), like),
    "$contains": (scalars, lambda value, one: isinstance(value, list) and any(same(item, one) for item in value)),
    "$contains_any": (
        st.lists(scalars, min_size=1, max_size=3),
        lambda value, them: isinstance(value, list) and any(same(item, one) for item in value for one in them),
    ),
    "$contains_all": (
        st.lists(scalars, min_size=1, max_size=3),
        lambda value, them: isinstance(value, list) and all(any(same(item, one) for item in value) for one in them),
    ),
}
NEGATIVE = {"$ne": "$eq", "$nin": "$in"}


@st.composite
def leaves(draw):
    """A condition on one field, and the plain function that it stands for."""
    key = draw(st.sampled_from(KEYS))
    name = draw(st.sampled_from([*POSITIVE, *NEGATIVE, "$exists", "bare"]))
    if name == "$exists":
        expected = draw(st.booleans())
        return {key: {"$exists": expected}}, lambda row: (key in row) is expected
    operands, fulfils = POSITIVE["$eq" if name == "bare" else NEGATIVE.get(name, name)]
    operand = draw(operands)
    if name in NEGATIVE:
        return {key: {name: operand}}, lambda row: not (key in row and fulfils(row[key], operand))
    return {key: operand if name == "bare" else {name: operand}}, lambda row: key in row and fulfils(row[key], operand)


def combine(inner):
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        several.map(
            lambda them: ({"$and": [one[0] for one in them]}, lambda row: all(accepts(row) for _, accepts in them))
        ),
        several.map(
            lambda them: ({"$or": [one[0] for one in them]}, lambda row: any(accepts(row) for _, accepts in them))
        ),
        inner.map(lambda one: ({"$not": one[0]}, lambda row: not one[1](row))),
    )


filters = st.recursive(leaves(), combine, max_leaves=6)
rows = st.lists(st.dictionaries(st.sampled_from(KEYS), stored, max_size=4), min_size=1, max_size=8)
users = itertools.count()


@pytest.fixture(scope="module")
def kept():
    with connect("local::memory:") as connection:
        yield connection


@pytest.fixture(scope="module")
def memory(kept):
    return MemoryStore(kept, session_secondary_index_meta={"a": MetaType.STRING, "b": MetaType.INTEGER})


@settings(max_examples=4 * settings.default.max_examples // 5, deadline=None)
@given(rows=rows, condition=filters, page_size=st.sampled_from([None, 1, 3]), max_count=st.sampled_from([None, 2]))
def test_lists_hold_what_the_filter_says(kept, memory, rows, condition, page_size, max_count):
    written, accepts = condition
    user = conversation = f"u{next(users)}"
    for number, metadata in enumerate(rows):
        memory.put_session(Session(user, f"s{number}", number, metadata))
    MessageStore(kept).put(
        [Message(conversation, f"m{number}", number, None, metadata) for number, metadata in enumerate(rows)]
    )
    expected = [number for number, metadata in enumerate(rows) if accepts(metadata)]
    options = {"metadata_filter": written, "max_count": max_count, "batch_size": page_size}
    assert [int(s.session_id[1:]) for s in memory.list_sessions(user, **options)] == expected[:max_count]
    newest_first = expected[::-1][:max_count]
    assert [s.update_time for s in memory.list_recent_sessions(user, **options)] == newest_first
    assert [m.create_time for m in memory.list_messages(conversation, **options)] == newest_first


@settings(max_examples=2 * settings.default.max_examples // 5, deadline=None)
@given(rows=rows, condition=filters)
def test_pages_hold_what_the_filter_says(kept, memory, rows, condition):
    written, accepts = condition
    conversation = f"u{next(users)}"
    MessageStore(kept).put(
        [Message(conversation, f"m{number}", number, None, metadata) for number, metadata in enumerate(rows)]
    )
    found, token = [], None
    while True:
        page = memory.list_messages_paginated(conversation, 2, token, metadata_filter=written)
        found += [message.create_time for message in page.hits]
        token = page.next_token
        if token is None:
            break
    assert found == [number for number, metadata in enumerate(rows) if accepts(metadata)][::-1]


CHINESE = [{"meta_使用哪个模型": "qwen.5", "页码": number, "标签": ["好", "新"][: number % 3]} for number in range(6)]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Filters.eq("meta_使用哪个模型", "qwen.5"), [5, 4, 3, 2, 1, 0]),
        (Filters.gt("页码", 3), [5, 4]),
        (Filters.logical_and([Filters.gte("页码", 2), Filters.lt("页码", 4)]), [3, 2]),
        (Filters.logical_or([Filters.eq("页码", 0), Filters.eq("页码", 5)]), [5, 0]),
        (Filters.logical_not([Filters.In("页码", [0, 1, 2, 3])]), [5, 4]),
        (Filters.contains("标签", "新"), [5, 2]),
        (Filters.contains_any("标签", ["新", "旧"]), [5, 2]),
        (Filters.contains_all("标签", ["好", "新"]), [5, 2]),
        (Filters.not_eq("页码", 1), [5, 4, 3, 2, 0]),
        (Filters.not_in("页码", [1, 5]), [4, 3, 2, 0]),
        (Filters.exists("旧", False), [5, 4, 3, 2, 1, 0]),
        (Filters.exists("旧"), []),
        (Filters.between("页码", 1, 2), [2, 1]),
        (Filters.prefix("meta_使用哪个模型", "qwen"), [5, 4, 3, 2, 1, 0]),
        (Filters.like("meta_使用哪个模型", "%.5"), [5, 4, 3, 2, 1, 0]),
        (Filters.lte("页码", 0), [0]),
    ],
    ids=repr,
)
async def test_chinese_keys_with_every_operator(store, condition, expected):
    for number, metadata in enumerate(CHINESE):
        await store.put_session(Session("u1", f"s{number}", number, metadata))
        await store.put_message(Message("c1", f"m{number}", number, None, metadata))
    assert [s.update_time for s in await store.list_recent_sessions("u1", metadata_filter=condition)] == expected
    assert [s.update_time for s in await store.list_sessions("u1", condition)] == expected[::-1]
    assert [m.create_time for m in await store.list_messages("c1", metadata_filter=condition)] == expected


@pytest.mark.parametrize(
    "condition",
    [
        {"a": {"$near": 1}},
        {"a": {"$gt": None}},
        {"a": [1]},
        {"$gt": 1},
        {"$and": []},
        {"a": {}},
        {"a": {"$eq": float("nan")}},
        {1: 2},
        "a = 1",
        5,
        Filters.text_match("a", "word"),
        {"a": {"$phrase": "word"}},
    ],
    ids=repr,
)
async def test_filters_that_are_none_are_refused_before_anything_is_asked(store, engine, condition):
    calls = [
        store.list_sessions("u1", condition),
        store.list_recent_sessions("u1", metadata_filter=condition),
        store.list_recent_sessions_paginated("u1", metadata_filter=condition),
        store.list_messages("s1", metadata_filter=condition),
        store.list_messages_paginated("s1", metadata_filter=condition),
    ]
    for call in calls:
        with pytest.raises(FilterError):
            await call
    assert engine.calls == []


async def test_a_filter_of_more_conditions_than_the_service_takes(store):
    for number in range(60):
        await store.put_message(Message("c1", f"m{number:02}", number, None, {"n": number}))
    wanted = list(range(0, 60, 2))
    any_of = Filters.logical_or([Filters.eq("n", number) for number in wanted])
    assert [m.create_time for m in await store.list_messages("c1", metadata_filter=any_of)] == wanted[::-1]
    none_of = Filters.logical_not([Filters.eq("n", number) for number in wanted])
    assert [m.create_time for m in await store.list_messages("c1", metadata_filter=none_of)] == list(range(59, 0, -2))


async def test_a_rare_match_costs_few_requests(store, engine, messages):
    await messages.put([Message("c1", f"m{number}", number, None, {"n": number}) for number in range(600)])
    engine.taken()
    (found,) = await store.list_messages("c1", metadata_filter={"n": 0}, max_count=1)
    assert found.create_time == 0
    assert len(engine.taken()) <= 3
