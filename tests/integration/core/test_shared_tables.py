"""tablestore-for-agent-memory and this package on the same tables: each reads what the other writes."""

from __future__ import annotations

import logging

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from tablestore import AsyncOTSClient, NoRetryPolicy, OTSClient

from langchain_tablestore_memory import (
    Filters,
    MemoryStore,
    Message,
    MetaType,
    Order,
    Session,
    SessionRegistry,
    TablestoreChatMessageHistory,
    connect,
)
from langchain_tablestore_memory.local import Server, Tablestore, async_ots_client, ots_client

from . import peer
from .peer import PeerFace
from .support import Face, metadata_with_types

SCALARS = {"raw": bytearray(b"\xff\x00"), "real": 6.6, "text": "四", "whole": -(2**63), "yes": True}
META = {"raw": "BINARY", "real": "DOUBLE", "text": "STRING", "whole": "INTEGER", "yes": "BOOLEAN"}


@pytest.fixture
async def sides(front, mode, monkeypatch, caplog):
    """Both packages on one new instance, without any table: theirs, ours, and our connection."""
    peer.without_pauses(monkeypatch)
    caplog.set_level(logging.CRITICAL, logger="tablestore_for_agent_memory")
    options = {"retry_policy": NoRetryPolicy()}
    with Tablestore(None) as service:
        if front == "http":
            with Server(service, port=0) as server:
                credentials = ("local", "local", "local")
                if mode == "sync":
                    client = OTSClient(server.url, *credentials, **options)
                else:
                    client = AsyncOTSClient(server.url, *credentials, **options)
                connection = connect(
                    server.url, instance_name="local", access_key_id="local", access_key_secret="local"
                )
                async with connection:
                    yield Sides(client, connection, mode)
                if mode == "sync":
                    client.connection.pool.clear()
                else:
                    await client.close()
        else:
            client = ots_client(service, **options) if mode == "sync" else async_ots_client(service, **options)
            from langchain_tablestore_memory import Connection

            yield Sides(client, Connection.of(client), mode)


class Sides:
    def __init__(self, client, connection, mode):
        self.connection = connection
        self.mode = mode
        theirs = {name: peer.MetaType[kind] for name, kind in META.items()}
        self.theirs = PeerFace(client, mode, session_secondary_index_meta=theirs)
        ours = {name: MetaType[kind] for name, kind in META.items()}
        self.ours = Face(MemoryStore(connection, session_secondary_index_meta=ours), mode)
        self.registry = Face(SessionRegistry(connection), mode)

    def history(self, *args, **options):
        history = TablestoreChatMessageHistory(*args, connection=self.connection, **options)

        class HistoryFace(Face):
            async def read(self):
                return history.messages if self.mode == "sync" else await history.aget_messages()

            async def add(self, messages):
                return history.add_messages(messages) if self.mode == "sync" else await history.aadd_messages(messages)

        return HistoryFace(history, self.mode)


@pytest.fixture(params=["their tables", "our tables"])
async def tables(request, sides):
    maker = sides.theirs if request.param == "their tables" else sides.ours
    await maker.init_table()
    return sides


def session_fields(session):
    return (session.user_id, session.session_id, session.update_time, metadata_with_types(session.metadata))


def message_fields(message):
    return (
        message.session_id,
        message.message_id,
        message.create_time,
        message.content,
        metadata_with_types(message.metadata),
    )


async def test_sessions_that_they_write_are_read_here(tables):
    theirs, ours = tables.theirs, tables.ours
    for number, time in enumerate([5, 1, 9, 9, 0]):
        await theirs.put_session(peer.Session("u1", f"s{number}", time, {**SCALARS, "n": number}))
    await theirs.put_session(peer.Session("u2", "s0", 3, {}))
    expected = session_fields(Session("u1", "s2", 9, {"n": 2, **SCALARS}))
    assert session_fields(await ours.get_session("u1", "s2")) == expected
    assert [s.session_id for s in await ours.list_sessions("u1")] == ["s0", "s1", "s2", "s3", "s4"]
    assert [s.session_id for s in await ours.list_recent_sessions("u1")] == ["s3", "s2", "s0", "s1", "s4"]
    recent = await ours.list_recent_sessions("u1", 9, 1, max_count=3)
    assert [s.update_time for s in recent] == [9, 9, 5]
    assert metadata_with_types(recent[0].metadata) == metadata_with_types(SCALARS)
    assert len(await ours.list_all_sessions()) == 6
    for condition in (Filters.gte("n", 3), Filters.logical_and([Filters.eq("yes", True), Filters.gte("n", 3)])):
        assert [s.session_id for s in await ours.list_recent_sessions("u1", metadata_filter=condition)] == ["s3", "s4"]
        assert [s.session_id for s in await ours.list_sessions("u1", condition)] == ["s3", "s4"]


async def test_sessions_that_we_write_are_read_there(tables):
    theirs, ours = tables.theirs, tables.ours
    for number, time in enumerate([5, 1, 9, 9, 0]):
        await ours.put_session(Session("u1", f"s{number}", time, {**SCALARS, "n": number}))
    await ours.put_session(Session("u2", "s0", 3))
    expected = session_fields(Session("u1", "s2", 9, {"n": 2, **SCALARS}))
    assert session_fields(await theirs.get_session("u1", "s2")) == expected
    assert [s.session_id for s in await theirs.list_sessions("u1")] == ["s0", "s1", "s2", "s3", "s4"]
    assert [s.session_id for s in await theirs.list_recent_sessions("u1")] == ["s3", "s2", "s0", "s1", "s4"]
    assert [s.update_time for s in await theirs.list_recent_sessions("u1", 9, 1, max_count=3)] == [9, 9, 5]
    assert len(await theirs.list_all_sessions()) == 6
    condition = peer.Filters.logical_and([peer.Filters.eq("yes", True), peer.Filters.gte("n", 3)])
    assert [s.session_id for s in await theirs.list_sessions("u1", condition)] == ["s3", "s4"]


async def test_messages_that_they_write_are_read_here(tables):
    theirs, ours = tables.theirs, tables.ours
    for number, time in enumerate([5, 1, 9, 9, 3]):
        content = None if number == 1 else f"text {number}"
        await theirs.put_message(peer.Message("会话", f"m{number}", time, content, {**SCALARS, "n": number}))
    expected = message_fields(Message("会话", "m2", 9, "text 2", {"n": 2, **SCALARS}))
    assert message_fields(await ours.get_message("会话", "m2")) == expected
    assert message_fields(await ours.get_message("会话", "m2", 9)) == expected
    assert (await ours.get_message("会话", "m1")).content is None
    assert [m.message_id for m in await ours.list_messages("会话")] == ["m3", "m2", "m0", "m4", "m1"]
    between = await ours.list_messages("会话", 3, 9, Order.ASC, Filters.gt("n", 0), 2)
    assert [m.message_id for m in between] == ["m4", "m2"]
    assert len(await ours.list_all_messages()) == 5


async def test_messages_that_we_write_are_read_there(tables):
    theirs, ours = tables.theirs, tables.ours
    for number, time in enumerate([5, 1, 9, 9, 3]):
        content = None if number == 1 else f"text {number}"
        await ours.put_message(Message("会话", f"m{number}", time, content, {**SCALARS, "n": number}))
    expected = message_fields(Message("会话", "m2", 9, "text 2", {"n": 2, **SCALARS}))
    assert message_fields(await theirs.get_message("会话", "m2")) == expected
    assert message_fields(await theirs.get_message("会话", "m2", 9)) == expected
    assert [m.message_id for m in await theirs.list_messages("会话")] == ["m3", "m2", "m0", "m4", "m1"]
    between = await theirs.list_messages("会话", 3, 9, peer.Order.ASC, peer.Filters.gt("n", 0), 2)
    assert [m.message_id for m in between] == ["m4", "m2"]
    assert len(await theirs.list_all_messages()) == 5


async def test_updates_and_deletes_cross_over(tables):
    theirs, ours = tables.theirs, tables.ours
    for one, other, session, message in (
        (theirs, ours, peer.Session, peer.Message),
        (ours, theirs, Session, Message),
    ):
        await one.put_session(session("u1", "s1", 1, {"a": 1, "b": 1}))
        await one.put_message(message("s1", "m1", 1, "one", {"a": 1, "b": 1}))
        own = Session if other is ours else peer.Session
        text = Message if other is ours else peer.Message
        await other.update_session(own("u1", "s1", 2, {"b": 2, "c": 2}))
        await other.update_message(text("s1", "m1", None, "two", {"b": 2, "c": 2}))
        read = await one.get_session("u1", "s1")
        assert (read.update_time, read.metadata) == (2, {"a": 1, "b": 2, "c": 2})
        read = await one.get_message("s1", "m1")
        assert (read.create_time, read.content, read.metadata) == (1, "two", {"a": 1, "b": 2, "c": 2})
        await other.put_message(text("s1", "m2", 2, "x"))
        await other.delete_message("s1", "m1")
        assert [m.message_id for m in await one.list_messages("s1")] == ["m2"]
        await other.delete_session_and_messages("u1", "s1")
        assert await one.get_session("u1", "s1") is None
        assert await one.list_messages("s1") == []


async def test_what_they_overwrite_is_read_as_they_wrote_it(tables):
    """Their update sets a column; the value that we kept elsewhere under that key is older."""
    theirs, ours = tables.theirs, tables.ours
    await ours.put_session(Session("u1", "s1", 1, {"a": [1], "b": [2]}))
    await ours.put_message(Message("s1", "m1", 1, "x" * 10, {"a": [1], "b": [2]}))
    await theirs.update_session(peer.Session("u1", "s1", 2, {"a": 5}))
    await theirs.update_message(peer.Message("s1", "m1", 1, "short", {"a": 5}))
    assert (await ours.get_session("u1", "s1")).metadata == {"a": 5, "b": [2]}
    read = await ours.get_message("s1", "m1")
    assert (read.content, read.metadata) == ("short", {"a": 5, "b": [2]})


async def test_pages_on_either_side(tables):
    theirs, ours = tables.theirs, tables.ours
    for number in range(5):
        await theirs.put_session(peer.Session("u1", f"s{number}", number))
        await ours.put_message(Message("c1", f"m{number}", number + 1))
    for side, order in ((ours, Order.ASC), (theirs, peer.Order.ASC)):
        first = await side.list_recent_sessions_paginated("u1", 3)
        second = await side.list_recent_sessions_paginated("u1", 3, first.next_token)
        assert [s.update_time for s in first.hits + second.hits] == [4, 3, 2, 1, 0]
        first = await side.list_messages_paginated("c1", 3, order=order)
        second = await side.list_messages_paginated("c1", 3, first.next_token, order=order)
        assert [m.create_time for m in first.hits + second.hits] == [1, 2, 3, 4, 5]


async def test_the_registry_over_sessions_that_they_wrote(tables):
    """Their rows have no title, count or preview, and their index carries none."""
    theirs, registry = tables.theirs, tables.registry
    for number in range(3):
        await theirs.put_session(peer.Session("u1", f"s{number}", number, {"n": number, "text": "x"}))
        await theirs.put_message(peer.Message(f"s{number}", "m1", 1, "hello"))
    page = await registry.list("u1", limit=2)
    assert [(s.session_id, s.title, s.message_count, s.preview) for s in page.items] == [
        ("s2", None, None, None),
        ("s1", None, None, None),
    ]
    assert [s.session_id for s in (await registry.list("u1", cursor=page.cursor)).items] == ["s0"]
    assert [s.metadata["n"] for s in await registry.iterate("u1", full=True)] == [2, 1, 0]
    assert [s.session_id for s in await registry.iterate("u1", metadata_filter={"n": 1})] == ["s1"]
    assert (await registry.get("s1", "u1")).metadata == {"n": 1, "text": "x"}
    await registry.rename("s1", "Named here", "u1")
    assert [s.title for s in await registry.iterate("u1")] == [None, "Named here", None]
    changed = await registry.update("s1", "u1", metadata={"n": 7}, remove=["text"])
    assert changed.metadata == {"n": 7}
    assert (await theirs.get_session("u1", "s1")).metadata["n"] == 7
    assert await registry.recount("s1", "u1") == 1
    await registry.touch("s0", "u1", 50)
    assert [s.session_id for s in await theirs.list_recent_sessions("u1")] == ["s0", "s2", "s1"]
    await registry.delete("s0", "u1")
    assert await theirs.list_messages("s0") == []
    assert len(await theirs.list_messages("s1")) == 1
    assert await registry.delete_user("u1") == 2
    assert await theirs.list_all_messages() == []


async def test_the_history_over_messages_that_they_wrote(tables):
    theirs = tables.theirs
    await theirs.put_session(peer.Session("default", "s1", 1, {"n": 1}))
    await theirs.put_message(peer.Message("s1", "m1", 1, "你好", {"role": "user"}))
    await theirs.put_message(peer.Message("s1", "m2", 2, "你好!", {"role": "assistant"}))
    await theirs.put_message(peer.Message("s1", "m3", 3, "and now?"))
    history = tables.history("s1")
    assert [(type(m), m.content, m.id) for m in await history.read()] == [
        (HumanMessage, "你好", "m1"),
        (AIMessage, "你好!", "m2"),
        (HumanMessage, "and now?", "m3"),
    ]
    await history.add([AIMessage("this")])
    assert [m.content for m in await theirs.list_messages("s1")] == ["this", "and now?", "你好!", "你好"]
    session = await tables.registry.get("s1")
    assert (session.message_count, session.preview, session.metadata) == (4, "this", {"n": 1})


async def test_named_users_of_theirs_are_continued_without_isolation(tables):
    await tables.theirs.put_session(peer.Session("u1", "s1", 1))
    await tables.theirs.put_message(peer.Message("s1", "m1", 1, "hello", {"role": "user"}))
    history = tables.history("s1", user_id="u1", isolate_users=False)
    await history.add([AIMessage("hi")])
    assert [m.content for m in await history.read()] == ["hello", "hi"]
    assert [m.content for m in await tables.theirs.list_messages("s1")] == ["hi", "hello"]
    assert await tables.history("s1", user_id="u1").read() == []


@pytest.mark.parametrize("user_id", ["default", "u1"])
async def test_they_read_what_the_history_wrote(tables, user_id):
    """Under the name that the message table has for the conversation."""
    history = tables.history("s1", user_id=user_id)
    await history.add(
        [
            HumanMessage("What is 2 + 2?", id="q"),
            AIMessage("", tool_calls=[{"name": "add", "args": {"a": 2, "b": 2}, "id": "c1"}], id="call"),
            ToolMessage("4", tool_call_id="c1", artifact={"exact": 4}, id="result"),
            AIMessage("4", id="answer"),
        ]
    )
    conversation = history.target.conversation
    assert conversation == ("s1" if user_id == "default" else "user:2:u1/s1")
    read = await tables.theirs.list_messages(conversation, order=peer.Order.ASC)
    assert [(m.message_id, m.content or "") for m in read] == [
        ("q", "What is 2 + 2?"),
        ("call", ""),
        ("result", "4"),
        ("answer", "4"),
    ]
    times = [m.create_time for m in read]
    assert times == sorted(set(times))
    assert (await tables.theirs.get_message(conversation, "answer")).content == "4"
    (session,) = await tables.theirs.list_recent_sessions(user_id)
    assert session.session_id == "s1"
    assert session.update_time == (await tables.registry.get("s1", user_id)).update_time


async def test_their_message_in_the_middle_of_a_history_keeps_its_place(tables):
    history = tables.history("s1")
    await history.add([HumanMessage("one", id="m1")])
    await tables.theirs.put_message(peer.Message("s1", "m2", None, "two", {"role": "assistant"}))
    history.target.refresh()
    await history.add([HumanMessage("three", id="m3")])
    assert [m.content for m in await history.read()] == ["one", "two", "three"]
    assert (await tables.registry.get("s1")).message_count == 3


async def test_an_index_made_after_their_tables(sides):
    """They create a table and its index in two steps; whoever comes between finds no index."""
    if sides.mode == "sync":
        sides.theirs.target._create_session_table()
        sides.theirs.target._create_message_table()
    else:
        await sides.theirs.target._create_session_table()
        await sides.theirs.target._create_message_table()
    await sides.theirs.put_session(peer.Session("u1", "s1", 1, {"text": "x"}))
    assert [s.metadata for s in await sides.ours.list_recent_sessions("u1")] == [{"text": "x"}]
    await sides.theirs.init_table()
    assert [s.session_id for s in await sides.theirs.list_recent_sessions("u1")] == ["s1"]


async def test_their_setting_up_after_ours_changes_nothing(sides):
    await sides.ours.init_table()
    await sides.ours.put_session(Session("u1", "s1", 1, dict(SCALARS)))
    await sides.theirs.init_table()
    await sides.ours.init_table()
    assert len(await sides.theirs.list_recent_sessions("u1")) == 1


async def test_names_of_indexes_that_they_chose(sides, front):
    """The names by default are those of the demonstration of another package on the same layout."""
    theirs = PeerFace(
        sides.theirs.target._client,
        sides.mode,
        session_table_name="chat_session",
        session_secondary_index_name="fixed_session_index",
        message_table_name="chat_message",
        message_secondary_index_name="fixed_message_index",
    )
    await theirs.init_table()
    await theirs.put_session(peer.Session("u1", "s1", 4))
    await theirs.put_message(peer.Message("s1", "m1", 4, "x"))
    ours = Face(
        MemoryStore(sides.connection, session_table_name="chat_session", message_table_name="chat_message"), sides.mode
    )
    assert [s.update_time for s in await ours.list_recent_sessions("u1")] == [4]
    assert (await ours.get_message("s1", "m1")).create_time == 4
