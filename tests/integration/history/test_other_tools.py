"""Tables shared with tablestore-for-agent-memory."""

from __future__ import annotations

import pytest
import tablestore_for_agent_memory.base.base_memory_store as peer
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from tablestore_for_agent_memory.memory.memory_store import MemoryStore as PeerStore

from langchain_tablestore_memory import Message, MessageStore, SessionRegistry, connect
from langchain_tablestore_memory.local import Tablestore, ots_client
from langchain_tablestore_memory.local.server import Server

from .conftest import connect_to
from .support import Caller, Chats, unique

ROLES = [
    ({"role": "user"}, HumanMessage),
    ({"role": "assistant"}, AIMessage),
    ({"role": "system"}, SystemMessage),
    ({"role": "Assistant"}, AIMessage),
    ({"type": "ai"}, AIMessage),
    ({"type": "human"}, HumanMessage),
    ({"message_type": "assistant"}, AIMessage),
    ({"messageType": "ASSISTANT"}, AIMessage),
    ({"role": "somebody"}, HumanMessage),
    ({"role": 5}, HumanMessage),
    ({}, HumanMessage),
]


@pytest.fixture(scope="module", params=["embedded", pytest.param("http", marks=pytest.mark.slow)])
def world(request):
    """Histories, and the peer's store on the same tables."""
    with Tablestore(None) as service:
        store = PeerStore(ots_client(service))
        store.init_table()
        if request.param == "embedded":
            yield Chats(ots_client(service), Caller(None)), store
            return
        with Server(service, port=0) as server, connect_to(server) as connection:
            yield Chats(connection, Caller(None)), store


def put(store, session_id, *texts, user_id=None):
    if user_id is not None:
        store.put_session(peer.Session(user_id=user_id, session_id=session_id))
    for text, metadata in texts:
        store.put_message(peer.Message(session_id=session_id, message_id=f"id {text}", content=text, metadata=metadata))


def test_roles_are_read_from_metadata(world):
    chats, store = world
    session_id = unique("s")
    put(store, session_id, *((f"text {number}", metadata) for number, (metadata, _) in enumerate(ROLES)))
    chat = chats(session_id, user_id="default")
    assert chat.messages == [kind(f"text {number}", id=f"id text {number}") for number, (_, kind) in enumerate(ROLES)]
    assert [entry.metadata for entry in chat.entries()] == [metadata for metadata, _ in ROLES]
    assert chat.page(limit=3).entries == chat.entries()[-3:]


@pytest.mark.parametrize(("role", "kind"), [("大模型", AIMessage), ("用户", HumanMessage)])
def test_roles_are_read_from_chinese_metadata(embedded, role, kind):
    """Written by our own store: the SDK's Python codec breaks on names of columns that are not ASCII."""
    conversation = unique("s")
    MessageStore(embedded).put([Message(conversation, "m", content="你好", metadata={"meta_消息分类": role})])
    assert Chats(embedded, Caller(None))(conversation, user_id="default").messages == [kind("你好", id="m")]


def test_rows_without_content(world):
    chats, store = world
    session_id = unique("s")
    put(store, session_id, ("x", {}))
    store.put_message(
        peer.Message(session_id=session_id, message_id="empty", content=None, metadata={"role": "assistant"})
    )
    assert chats(session_id, user_id="default").messages == [HumanMessage("x", id="id x"), AIMessage("", id="empty")]


@pytest.mark.parametrize("user", ["default", "named"])
def test_its_conversations_are_continued(world, user):
    chats, store = world
    session_id = unique("s")
    put(store, session_id, ("question", {"role": "user"}), ("answer", {"role": "assistant"}), user_id=user)
    chat = chats(session_id, user_id=user, isolate_users=False)
    assert len(chat.messages) == 2
    chat.add_messages([HumanMessage("more", id="3"), AIMessage("much more", id="4")])
    assert chat.texts == ["question", "answer", "more", "much more"]
    # What it wrote itself was never counted, so all are counted then.
    session = chats.session(chat)
    assert (session.message_count, session.preview) == (4, "much more")
    put(store, session_id, ("theirs again", {"role": "user"}))
    chats.again(chat, isolate_users=False).add_messages([AIMessage("ours again")])
    assert chats.session(chat).message_count == 6
    read = list(store.list_messages(session_id))
    assert [message.content for message in reversed(read)] == [*chat.texts]
    assert chats(session_id, user_id="somebody else").messages == []


def test_its_session_metadata_stays(world):
    chats, store = world
    session_id, user = unique("s"), unique("u")
    store.put_session(peer.Session(user_id=user, session_id=session_id, metadata={"model": "qwen", "n": 5, "ok": True}))
    put(store, session_id, ("question", {"role": "user"}))
    chats(session_id, user_id=user, isolate_users=False).add_messages([AIMessage("answer")])
    session = store.get_session(user, session_id)
    assert {key: session.metadata[key] for key in ("model", "n", "ok")} == {"model": "qwen", "n": 5, "ok": True}


def test_its_messages_can_be_edited_deleted_and_forked(world):
    chats, store = world
    session_id = unique("s")
    put(store, session_id, ("one", {"role": "user"}), ("two", {"role": "assistant"}), ("three", {}), user_id="default")
    chat = chats(session_id, user_id="default")
    chat.edit("id two", ToolMessage("TWO", tool_call_id="c", artifact=(1,)))
    assert chat.get("id two").message == ToolMessage("TWO", tool_call_id="c", artifact=(1,))
    assert store.get_message(session_id, "id two").content == "TWO"
    fork = chat.fork("id two")
    chat.delete("id one")
    assert [message.content for message in store.list_messages(session_id)] == ["three", "TWO"]
    assert fork.texts == ["one", "TWO"]
    assert [message.content for message in store.list_messages(fork.conversation)] == ["TWO", "one"]
    chat.clear()
    assert list(store.list_messages(session_id)) == []
    assert chats.session(chat).message_count == 0


@pytest.mark.parametrize("user", ["default", "李雷"])
def test_it_reads_ours(world, user):
    chats, store = world
    session_id = unique("s")
    chat = chats(session_id, user_id=user)
    call = {"name": "f", "args": {}, "id": "c", "type": "tool_call"}
    chat.add_messages(
        [HumanMessage("你好", id="1"), AIMessage("", tool_calls=[call], id="2"), ToolMessage("r", tool_call_id="c")],
        metadata=[{"来源": "网页", "n": 1}, {"score": 0.5}, {}],
    )
    read = list(store.list_messages(chat.conversation))[::-1]
    assert [message.content for message in read] == ["你好", "", "r"]
    assert [message.message_id for message in read][:2] == ["1", "2"]
    assert [message.create_time for message in read] == [entry.create_time for entry in chat.entries()]
    assert read[0].metadata["n"] == 1
    assert read[1].metadata["score"] == 0.5
    session = next(iter(store.list_recent_sessions(user)))
    assert (session.user_id, session.session_id) == (user, session_id)
    assert session.update_time == chats.session(chat).update_time


def test_what_it_changes_in_ours(world):
    """It overwrites the text alone; the newer text counts, with what we know besides."""
    chats, store = world
    session_id = unique("s")
    chat = chats(session_id, user_id="default")
    chat.add_messages([AIMessage("old", id="1", response_metadata={"model": "qwen"})], metadata={"a": 1})
    store.update_message(peer.Message(session_id=session_id, message_id="1", content="new", metadata={"b": 2}))
    assert chats.again(chat).messages == [AIMessage("new", id="1", response_metadata={"model": "qwen"})]
    store.delete_message(session_id, "1")
    assert chats.again(chat).messages == []


def test_what_it_makes_of_a_long_text_of_ours(world):
    chats, store = world
    session_id = unique("s")
    chat = chats(session_id, user_id="default")
    chat.add_messages([HumanMessage("x" * 3_000_000, id="1")])
    store.update_message(peer.Message(session_id=session_id, message_id="1", content="short"))
    assert chats.again(chat).messages == [HumanMessage("short", id="1")]


def test_tables_that_it_made_are_used_as_they_are(world):
    """Its session index carries none of our columns; titles are listed all the same."""
    chats, _ = world
    session_id, user = unique("s"), unique("u")
    chat = chats(session_id, user_id=user)
    chat.add_messages([HumanMessage("Title here"), AIMessage("Preview here")])
    (session,) = chats.sessions(user)
    assert (session.title, session.preview, session.message_count) == ("Title here", "Preview here", 2)


def test_tables_that_we_made_are_used_by_it():
    with Tablestore(None) as service, Server(service, port=0) as server, connect_to(server) as connection:
        chats = Chats(connection, Caller(None))
        chats("ours", user_id="u1").add_messages([HumanMessage("Hi")])
        store = PeerStore(ots_client(service))
        store.init_table()
        put(store, "theirs", ("question", {}), user_id="u1")
        assert [session.session_id for session in store.list_recent_sessions("u1")] == ["theirs", "ours"]
        assert [session.session_id for session in chats.sessions("u1")] == ["theirs", "ours"]
        assert chats("theirs", user_id="u1", isolate_users=False).texts == ["question"]


def test_deleting_a_user_deletes_what_either_wrote():
    with connect("local::memory:") as connection:
        store = PeerStore(connection.client)
        store.init_table()
        put(store, "theirs", ("question", {}), user_id="u1")
        put(store, "others", ("stays", {}), user_id="u2")
        chats = Chats(connection, Caller(None))
        chats("ours", user_id="u1").add_messages([HumanMessage("Hi")])
        assert SessionRegistry(connection).delete_user("u1") == 2
        assert [message.content for message in store.list_all_messages()] == ["stays"]
