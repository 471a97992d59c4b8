"""Users with the same session ids, and ids made to be mistaken for others'."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from langchain_tablestore_memory import (
    CursorError,
    InvalidArgumentError,
    MemoryStore,
    MessageNotFoundError,
    MessageStore,
    SessionRegistry,
    TablestoreChatMessageHistory,
)

from .support import unique


@pytest.fixture
def pair(chats):
    """Two users who call their sessions by the same id, and their messages too."""
    session = unique("s")
    mine, theirs = chats(session, user_id=unique("u")), chats(session, user_id=unique("u"))
    for chat, name in ((mine, "mine"), (theirs, "theirs")):
        chat.add_messages([HumanMessage(f"{name} 1", id="1"), AIMessage(f"{name} 2", id="2")], metadata={"of": name})
    return mine, theirs


def untouched(chats, theirs):
    again = chats.again(theirs)
    assert again.messages == [HumanMessage("theirs 1", id="1"), AIMessage("theirs 2", id="2")]
    assert [entry.metadata for entry in again.entries()] == [{"of": "theirs"}] * 2
    session = chats.session(theirs)
    assert (session.title, session.preview, session.message_count) == ("theirs 1", "theirs 2", 2)
    assert [session.session_id for session in chats.sessions(theirs.user_id)] == [theirs.session_id]


def test_neither_sees_the_others(pair, chats):
    mine, theirs = pair
    assert mine.messages == [HumanMessage("mine 1", id="1"), AIMessage("mine 2", id="2")]
    assert mine.get("1").message == HumanMessage("mine 1", id="1")
    assert mine.page(metadata_filter={"of": "theirs"}).entries == []
    assert [session.title for session in chats.sessions(mine.user_id)] == ["mine 1"]
    with pytest.raises(CursorError):
        mine.page(cursor=theirs.page(limit=1).older)
    untouched(chats, theirs)


@pytest.mark.parametrize("change", ["add", "edit", "delete", "clear", "fork", "delete session", "delete user"])
def test_neither_changes_the_others(pair, chats, change):
    mine, theirs = pair
    match change:
        case "add":
            mine.add_messages([HumanMessage("new", id="1"), HumanMessage("more")])
        case "edit":
            mine.edit("1", HumanMessage("edited"))
        case "delete":
            mine.delete("1", "2")
        case "clear":
            mine.clear()
        case "fork":
            mine.fork("1").clear()
        case "delete session":
            chats.call(chats.registry, "delete", mine.session_id, mine.user_id)
        case "delete user":
            assert chats.call(chats.registry, "delete_user", mine.user_id) == 1
            assert mine.entries() == []
    untouched(chats, theirs)


def test_what_only_the_other_has(pair, chats):
    mine, theirs = pair
    theirs.add_messages([HumanMessage("secret", id="x")])
    assert mine.get("x") is None
    mine.delete("x")
    for refused in (lambda: mine.edit("x", HumanMessage("y")), lambda: mine.fork("x")):
        with pytest.raises(MessageNotFoundError):
            refused()
    assert theirs.texts == ["theirs 1", "theirs 2", "secret"]


TRICKY = [
    "a",
    "a/b",
    "b",
    "/",
    ":",
    "user:",
    "user:1:a/b",
    "user:1:a/",
    "1:a",
    "default",
    "é",
    "e\u0301",
]


@pytest.mark.slow
def test_ids_that_might_be_mistaken_for_others(local_chats):
    space = unique("t")
    pairs = [(f"{space}{user}", session) for user, session in itertools.product(TRICKY, repeat=2)]
    # And users and sessions whose ids together read the same.
    pairs += [("user:1:a", "b"), ("user:1", "a/b"), ("user", "1:a/b"), ("a", "user:1:a/b"), ("default", "user:1:a/b")]
    chats = {pair: local_chats(pair[1], user_id=pair[0]) for pair in dict.fromkeys(pairs)}
    assert len({chat.conversation for chat in chats.values()}) == len(chats)
    for pair, chat in chats.items():
        chat.add_messages([HumanMessage(repr(pair), id="m")])
    for pair, chat in chats.items():
        assert local_chats.again(chat).messages == [HumanMessage(repr(pair), id="m")]
        assert local_chats.session(chat).message_count == 1
    deleted = f"{space}a"
    assert local_chats.call(local_chats.registry, "delete_user", deleted) == len(TRICKY)
    for pair, chat in chats.items():
        assert len(chat.entries()) == (0 if pair[0] == deleted else 1), pair


ids = st.text(alphabet=st.sampled_from("a1:/us er\x00é𠀀-0"), min_size=1, max_size=12) | st.sampled_from(
    [*TRICKY, "user:7:default/x", "user:4:user/1"]
)


@settings(max_examples=3 * settings.default.max_examples // 2, deadline=None)
@given(first=st.tuples(ids, ids), second=st.tuples(ids, ids))
def test_different_pairs_of_ids_are_different_conversations(embedded, first, second):
    assume(first != second)
    one, other = (
        TablestoreChatMessageHistory(session, user_id=user, connection=embedded) for user, session in (first, second)
    )
    assert one.conversation != other.conversation


@settings(max_examples=15, deadline=None)
@given(first=st.tuples(ids, ids), second=st.tuples(ids, ids))
def test_what_one_does_leaves_the_other_alone(embedded, first, second):
    assume(first != second)
    tables = {
        "session_table": unique("session").replace("-", "_"),
        "message_table": unique("message").replace("-", "_"),
    }
    one, other = (
        TablestoreChatMessageHistory(session, user_id=user, connection=embedded, **tables)
        for user, session in (first, second)
    )
    registry = SessionRegistry(embedded, **tables)
    other.add_messages([HumanMessage("other", id="m")])
    one.add_messages([HumanMessage("one", id="m")])
    registry.delete(first[1], first[0])
    assert (list(one.entries()), [entry.message.text for entry in other.entries()]) == ([], ["other"])
    one.add_messages([HumanMessage("one", id="m")])
    if first[0] != second[0]:
        registry.delete_user(first[0])
        assert list(one.entries()) == []
    assert [entry.message.text for entry in other.entries()] == ["other"]
    assert registry.get(second[1], second[0]).message_count == 1
    registry.drop()
    MessageStore(embedded, table_name=tables["message_table"]).drop()


def test_the_default_user_and_a_named_one(local_chats):
    session = unique("s")
    nobody = TablestoreChatMessageHistory(session, connection=local_chats.connection)
    default, named = local_chats(session, user_id="default"), local_chats(session)
    assert nobody.user_id == "default"
    assert nobody.conversation == session
    nobody.add_messages([HumanMessage("for all")])
    named.add_messages([HumanMessage("named")])
    assert default.texts == ["for all"]
    assert named.texts == ["named"]
    named.clear()
    local_chats.call(local_chats.registry, "delete_user", named.user_id)
    assert default.texts == ["for all"]
    assert local_chats.session(default).message_count == 1


def test_the_default_user_cannot_reach_a_named_users_conversation_by_its_name(local_chats, embedded):
    named = local_chats(unique("s"))
    named.add_messages([HumanMessage("secret")])
    intruder = local_chats(named.conversation, user_id="default")
    assert intruder.messages == []
    intruder.add_messages([HumanMessage("intruder")])
    intruder.clear()
    local_chats.call(local_chats.registry, "delete", named.conversation, "default")
    assert named.texts == ["secret"]
    with pytest.raises(InvalidArgumentError, match="user:"):
        local_chats(named.conversation, user_id="default", isolate_users=False)


def test_without_isolation_the_session_id_is_all(local_chats):
    """The layout of tablestore-for-agent-memory: who knows the session id reads it."""
    session = unique("s")
    one = local_chats(session, user_id=unique("u"), isolate_users=False)
    other = local_chats(session, user_id=unique("u"), isolate_users=False)
    isolated = local_chats(session, user_id=one.user_id)
    assert one.conversation == other.conversation == session != isolated.conversation
    one.add_messages([HumanMessage("one")])
    other.add_messages([HumanMessage("other")])
    isolated.add_messages([HumanMessage("isolated")])
    assert one.texts == other.texts == ["one", "other"]
    assert isolated.texts == ["isolated"]
    fork = one.fork()
    assert fork.conversation == fork.session_id
    assert fork.texts == ["one", "other"]


def test_the_same_users_sessions_in_other_tables(local_chats):
    chat = local_chats()
    chat.add_messages([HumanMessage("here")])
    tables = {"session_table": "session_elsewhere", "message_table": "message_elsewhere"}
    elsewhere = local_chats.again(chat, **tables)
    assert elsewhere.messages == []
    elsewhere.add_messages([HumanMessage("there")])
    fork = elsewhere.fork()
    fork.add_messages([HumanMessage("fork")])
    assert chat.texts == ["here"]
    assert local_chats(fork.session_id, user_id=fork.user_id).messages == []
    registry = SessionRegistry(local_chats.connection, **tables)
    assert {s.session_id for s in registry.list(chat.user_id).items} == {chat.session_id, fork.session_id}


def test_sessions_of_a_user_are_listed_by_the_memory_store_too(embedded):
    history = TablestoreChatMessageHistory(unique("s"), user_id=unique("u"), connection=embedded)
    history.add_messages([HumanMessage("Hi", id="1")])
    store = MemoryStore(embedded)
    (session,) = list(store.list_recent_sessions(history.user_id))
    assert session.session_id == history.session_id
    assert [message.content for message in store.list_messages(history.conversation)] == ["Hi"]
