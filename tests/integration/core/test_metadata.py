"""Metadata of sessions and messages: back exactly as given, whatever becomes of it meanwhile."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tablestore import OTSClient

from langchain_tablestore_memory import InvalidArgumentError, MemoryStore, Message, Session, connect
from langchain_tablestore_memory.local import ots_client

from .support import metadata_with_types

EXACT = [
    None,
    True,
    False,
    0,
    -1,
    2**63 - 1,
    -(2**63),
    2**63,
    -(10**40),
    0.0,
    -0.0,
    1e-320,
    1.7976931348623157e308,
    math.inf,
    -math.inf,
    math.nan,
    "",
    "文字",
    "\x00",
    "{",
    b"",
    b"\xff\x00",
    b"utf-8 too",
    bytearray(b"\xff\x00"),
    bytearray(),
    [],
    {},
    ["a", 1, None, [b"x"]],
    (1, (2,)),
    {1, 2},
    {"a": {"b": [1, 2.5, None]}},
    {"$py:tuple": [1]},
    {1: "a", None: "b"},
    Decimal("1.10"),
    UUID(int=7),
    dt.datetime(2025, 1, 2, 3, tzinfo=dt.UTC),
    dt.timedelta(days=1, microseconds=1),
]

AWKWARD_KEYS = [
    "content",
    "update_time",
    "create_time",
    "session_id",
    "message_id",
    "user_id",
    "id",
    "lc_title",
    "lc_metadata",
    "lc_metadata_1",
    "lc_message",
    "lc_content_1",
    "lc_conversation",
    "lc_message_count",
    "title",
    "metadata",
    "meta_使用哪个模型",
    "页码",
    "page-number",
    "a.b",
    "$eq",
    "",
    " ",
    "1st",
    "_",
    "x" * 255,
    "x" * 256,
    "🙂",
    "\x00",
]


async def both_round_trips(store, metadata):
    await store.put_session(Session("u1", "s1", 5, dict(metadata)))
    await store.put_message(Message("s1", "m1", 5, "text", dict(metadata)))
    session = await store.get_session("u1", "s1")
    message = await store.get_message("s1", "m1")
    expected = metadata_with_types(metadata)
    assert metadata_with_types(session.metadata) == expected
    assert metadata_with_types(message.metadata) == expected
    assert (session.user_id, session.session_id, session.update_time) == ("u1", "s1", 5)
    assert (message.message_id, message.create_time, message.content) == ("m1", 5, "text")
    assert (session.title, session.preview, session.message_count, message.body) == (None,) * 4
    for listed in (await store.list_sessions("u1"), await store.list_messages("s1")):
        assert metadata_with_types(listed[0].metadata) == expected


@pytest.mark.parametrize("value", EXACT, ids=lambda value: f"{type(value).__name__}-{value!r}"[:40])
async def test_values_return_exactly(store, value):
    await both_round_trips(store, {"key": value})


@pytest.mark.parametrize("key", AWKWARD_KEYS, ids=lambda key: ascii(key)[:30])
async def test_keys_that_no_column_can_have(store, key):
    await both_round_trips(store, {key: 7})
    await both_round_trips(store, {key: "text"})


async def test_all_awkward_keys_at_once(store):
    await both_round_trips(store, {key: position for position, key in enumerate(AWKWARD_KEYS)})


async def test_hundreds_of_keys(store):
    await both_round_trips(store, {f"key_{number}": number for number in range(1500)})


async def test_updates_of_awkward_keys_reach_metadata_and_nothing_else(store):
    """As columns, these keys would be the record's own fields, or a primary key's."""
    await store.put_session(Session("u1", "s1", 5, {"a": 1}))
    await store.put_message(Message("s1", "m1", 5, "text", {"a": 1}))
    metadata = {key: f"value {key}" for key in AWKWARD_KEYS}
    await store.update_session(Session("u1", "s1", 6, metadata))
    await store.update_message(Message("s1", "m1", 5, None, metadata))
    expected = dict(sorted({"a": 1, **metadata}.items()))
    assert await store.get_session("u1", "s1") == Session("u1", "s1", 6, expected)
    assert await store.get_message("s1", "m1") == Message("s1", "m1", 5, "text", expected)


# A scalar has a column of its own, a list does not: between the two a value moves.
MOVES = [
    (1, [1]),
    ([1], 1),
    ([1], [2]),
    (1, 2),
    (1, "1"),
    ("x", None),
    (None, "x"),
    (2**70, 7),
    (7, 2**70),
    (bytearray(b"x"), b"x"),
    (math.nan, 1.0),
]


@pytest.mark.parametrize(("before", "after"), MOVES, ids=repr)
async def test_values_that_move_to_another_column(store, before, after):
    rest = {"other": 1, "页": 2}
    await store.put_session(Session("u1", "s1", 1, {"key": before, **rest}))
    await store.put_message(Message("s1", "m1", 1, "text", {"key": before, **rest}))
    for value in (after, before, after):
        await store.update_session(Session("u1", "s1", 1, {"key": value}))
        await store.update_message(Message("s1", "m1", 1, None, {"key": value}))
        expected = metadata_with_types({"key": value, **rest})
        assert metadata_with_types((await store.get_session("u1", "s1")).metadata) == expected
        assert metadata_with_types((await store.get_message("s1", "m1")).metadata) == expected


async def test_a_session_whose_metadata_moved_is_found_by_what_it_holds_now(store):
    await store.put_session(Session("u1", "s1", 1, {"key": [1]}))
    await store.put_message(Message("s1", "m1", 1, "text", {"key": [1]}))
    await store.update_session(Session("u1", "s1", 1, {"key": 5}))
    await store.update_message(Message("s1", "m1", 1, None, {"key": 5}))
    for condition, count in [({"key": 5}, 1), ({"key": {"$contains": 1}}, 0), ({"key": {"$lt": 5}}, 0)]:
        assert len(await store.list_sessions("u1", condition)) == count
        assert len(await store.list_recent_sessions("u1", metadata_filter=condition)) == count
        assert len(await store.list_messages("s1", metadata_filter=condition)) == count


async def test_scalars_are_columns_that_other_tools_can_read(store, engine):
    scalars = {"raw": bytearray(b"x"), "real": 1.5, "text": "a", "whole": 3, "yes": True}
    await store.put_session(Session("u1", "s1", 5, scalars))
    await store.put_message(Message("s1", "m1", 6, "hello", scalars))
    client: OTSClient = ots_client(engine)
    _, row, _ = client.get_row("session", [("user_id", "u1"), ("session_id", "s1")], max_version=1)
    assert {name: value for name, value, _ in row.attribute_columns} == {**scalars, "update_time": 5}
    key = [("session_id", "s1"), ("create_time", 6), ("message_id", "m1")]
    _, row, _ = client.get_row("message", key, max_version=1)
    assert {name: value for name, value, _ in row.attribute_columns} == {**scalars, "content": "hello"}


class Unknown:
    def __repr__(self):
        return "Unknown()"


@pytest.mark.parametrize(
    "metadata",
    [{"key": Unknown()}, {"key": [Unknown()]}, {"key": "\ud800"}, {"\ud800": 1}, {1: 2}, {None: 1}, None, "ab", 5, [1]],
    ids=repr,
)
@pytest.mark.parametrize("call", ["put", "update"])
async def test_what_cannot_be_kept_is_refused_and_nothing_is_written(store, engine, metadata, call):
    with pytest.raises(InvalidArgumentError):
        await getattr(store, f"{call}_session")(Session("u1", "s1", 1, metadata))
    with pytest.raises(InvalidArgumentError):
        await getattr(store, f"{call}_message")(Message("s1", "m1", 1, "text", metadata))
    assert engine.writes == []


async def test_errors_name_the_value_but_do_not_show_it(store):
    with pytest.raises(InvalidArgumentError, match="secret_key") as caught:
        await store.put_message(Message("s1", "m1", 1, "what a user said", {"secret_key": {"inner": Unknown()}}))
    assert "what a user said" not in str(caught.value)


keys = st.sampled_from(["a", "b", "页", "content", "update_time", "lc_x"])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.binary(max_size=5).map(bytearray),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)
changes = st.lists(st.tuples(st.sampled_from(["put", "update"]), st.dictionaries(keys, values, max_size=4)), max_size=5)


@pytest.fixture(scope="module")
def memory():
    with connect("local::memory:") as connection:
        yield MemoryStore(connection)


@settings(max_examples=3 * settings.default.max_examples // 5, deadline=None)
@given(changes)
def test_any_changes_leave_what_a_dict_would_hold(memory, changes):
    memory.delete_session("u1", "s1")
    memory.delete_messages("s1")
    expected = {}
    for kind, metadata in changes:
        expected = dict(metadata) if kind == "put" else {**expected, **metadata}
        getattr(memory, f"{kind}_session")(Session("u1", "s1", 1, metadata))
        getattr(memory, f"{kind}_message")(Message("s1", "m1", 1, None, metadata))
    if changes:
        expected = metadata_with_types(expected)
        assert metadata_with_types(memory.get_session("u1", "s1").metadata) == expected
        assert metadata_with_types(memory.get_message("s1", "m1").metadata) == expected
