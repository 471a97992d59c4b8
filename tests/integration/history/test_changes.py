"""Edit, delete, clear and fork, and the session list right after each of them."""

from __future__ import annotations

import pytest
from core.support import Face
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_tablestore_memory import (
    InvalidArgumentError,
    MessageNotFoundError,
    MessageStore,
    Order,
    SessionRegistry,
    TablestoreChatMessageHistory,
    WriteError,
    microseconds_timestamp,
)
from langchain_tablestore_memory.local.errors import RequestError

from .support import unique

TALK = [
    SystemMessage("You are helpful.", id="s"),
    HumanMessage("Hello, who are you?", id="h1"),
    AIMessage("An assistant.", id="a1"),
    HumanMessage("What is Tablestore?", id="h2"),
    AIMessage("A table store.", id="a2"),
]


@pytest.fixture
def talk(chats):
    chat = chats()
    chat.add_messages(TALK, metadata=[{"n": number, "nested": {"键": [number]}} for number in range(5)])
    return chat


@pytest.fixture
def local_talk(local_chats):
    chat = local_chats()
    chat.add_messages(TALK, metadata=[{"n": number, "nested": {"键": [number]}} for number in range(5)])
    return chat


def ids(chat):
    return [entry.id for entry in chat.entries()]


# The session list


def test_the_session_list_after_adding(chats):
    chat = chats()
    before = microseconds_timestamp()
    chat.add_messages(TALK)
    session = chats.session(chat)
    assert (session.user_id, session.session_id) == (chat.user_id, chat.session_id)
    assert session.title == "Hello, who are you?"
    assert session.preview == "A table store."
    assert session.message_count == 5
    assert before <= session.update_time <= microseconds_timestamp()
    (listed,) = chats.sessions(chat.user_id)
    assert (listed.title, listed.preview, listed.message_count) == (session.title, session.preview, 5)
    chat.add_messages([HumanMessage("More"), AIMessage("Much more")])
    later = chats.session(chat)
    assert (later.title, later.preview, later.message_count) == (session.title, "Much more", 7)
    assert later.update_time > session.update_time


def test_the_conversation_that_was_added_to_last_is_listed_first(chats):
    user = unique("u")
    first, second = chats(user_id=user), chats(user_id=user)
    for chat in (first, second, first):
        chat.add_messages([HumanMessage("Hi")])
    assert [session.session_id for session in chats.sessions(user)] == [first.session_id, second.session_id]


def test_titles_and_previews_are_one_short_line(local_chats):
    chat = local_chats()
    chat.add_messages([HumanMessage("  一\n\n二\t三 " + "long " * 500), AIMessage("答" * 50_000)])
    session = local_chats.session(chat)
    assert session.title.startswith("一 二 三 long long")
    for text in (session.title, session.preview):
        assert len(text) <= 100
        assert "\n" not in text


def test_messages_without_text_leave_the_preview_alone(local_chats):
    chat = local_chats()
    call = {"name": "f", "args": {}, "id": "c", "type": "tool_call"}
    chat.add_messages([HumanMessage("Weather?"), AIMessage("", tool_calls=[call])])
    assert local_chats.session(chat).preview == "Weather?"
    chat.add_messages([HumanMessage([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}])])
    assert local_chats.session(chat).preview == "Weather?"
    assert local_chats.session(chat).message_count == 3


def test_multimodal_messages_are_shown_by_their_text(local_chats):
    chat = local_chats()
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    chat.add_messages([HumanMessage([{"type": "text", "text": "这是什么？"}, image])])
    session = local_chats.session(chat)
    assert (session.title, session.preview) == ("这是什么？", "这是什么？")


@pytest.mark.parametrize("first", [SystemMessage("Be kind."), AIMessage("Welcome! How can I help?")])
@pytest.mark.parametrize("same_object", [True, False])
def test_the_title_is_what_the_human_said_first_also_where_another_message_came_before(local_chats, first, same_object):
    chat = local_chats()
    chat.add_messages([first])
    chat = chat if same_object else local_chats.again(chat)
    chat.add_messages([HumanMessage("My question")])
    chat.add_messages([HumanMessage("Another question")])
    assert local_chats.session(chat).title == "My question"


def test_reading_makes_no_session(chats):
    chat = chats()
    assert chat.messages == []
    assert chat.page().entries == []
    assert chat.get("x") is None
    assert chats.session(chat) is None
    assert chats.sessions(chat.user_id) == []


def test_the_callers_session_metadata_and_title_stay(local_chats):
    user, session_id = unique("u"), unique("s")
    registry, call = local_chats.registry, local_chats.call
    call(registry, "create", user, session_id, title="行程", metadata={"model": "qwen-plus", "nested": {"a": [1]}})
    chat = local_chats(session_id, user_id=user)
    chat.add_messages([HumanMessage("Hi", id="1"), AIMessage("Hello", id="2")])
    chat.edit("1", HumanMessage("Hi there"))
    chat.delete("2")
    chat.clear()
    session = local_chats.session(chat)
    assert session.title == "行程"
    assert session.metadata == {"model": "qwen-plus", "nested": {"a": [1]}}
    assert (session.message_count, session.preview) == (0, None)


# Edit


def test_edit_replaces_a_message_where_it_is(talk, chats):
    before = talk.get("a1")
    talk.edit("a1", AIMessage("A model.", id="a1", usage_metadata=None))
    assert talk.messages == [*TALK[:2], AIMessage("A model.", id="a1"), *TALK[3:]]
    after = talk.get("a1")
    assert (after.id, after.create_time, after.metadata) == ("a1", before.create_time, before.metadata)
    assert chats.session(talk).message_count == 5


def test_edit_may_change_class_and_metadata(local_talk):
    local_talk.edit("a1", ToolMessage("r", tool_call_id="c", artifact={1, 2}), metadata={"edited": [1, None]})
    entry = local_talk.get("a1")
    assert entry.message == ToolMessage("r", tool_call_id="c", artifact={1, 2})
    assert (entry.id, entry.metadata) == ("a1", {"edited": [1, None]})
    local_talk.edit("a1", AIMessage("x"), metadata={})
    assert local_talk.get("a1").metadata == {}


def test_edit_of_a_message_that_was_given_its_id(local_chats):
    chat = local_chats()
    chat.add_messages([HumanMessage("a"), HumanMessage("b")])
    chat.edit(chat.entries()[1].id, HumanMessage("B"))
    assert chat.messages == [HumanMessage("a"), HumanMessage("B")]


def test_the_session_list_after_an_edit(talk, chats):
    before = chats.session(talk)
    talk.edit("a2", AIMessage("A serverless table store.", id="a2"))
    session = chats.session(talk)
    assert (session.title, session.preview, session.message_count) == (
        "Hello, who are you?",
        "A serverless table store.",
        5,
    )
    talk.edit("h1", HumanMessage("你好", id="h1"))
    session = chats.session(talk)
    assert (session.title, session.preview) == ("你好", "A serverless table store.")
    assert session.update_time >= before.update_time


def test_edit_of_what_is_not_there(talk):
    with pytest.raises(MessageNotFoundError, match="nobody"):
        talk.edit("nobody", HumanMessage("x"))
    assert talk.messages == TALK


def test_an_edit_that_cannot_be_stored_changes_nothing(local_talk, local_chats):
    session = local_chats.session(local_talk)
    for wrong in (HumanMessage("x" * 5_000_000), HumanMessage("\ud800"), "text", None, ["a"]):
        with pytest.raises(InvalidArgumentError):
            local_talk.edit("a1", wrong)
    for metadata in ({"a": object()}, {5: "x"}, 5, "ab", [("a", 1)]):
        with pytest.raises(InvalidArgumentError):
            local_talk.edit("a1", HumanMessage("x"), metadata=metadata)
    assert local_talk.messages == TALK
    assert local_chats.session(local_talk) == session


# Delete


def test_delete_messages(talk, chats):
    talk.delete("a1")
    assert talk.messages == [*TALK[:2], *TALK[3:]]
    assert chats.session(talk).message_count == 4
    talk.delete("h2", "nobody", "a2")
    assert talk.messages == TALK[:2]
    session = chats.session(talk)
    assert (session.message_count, session.title, session.preview) == (2, "Hello, who are you?", "Hello, who are you?")
    talk.delete("h1")
    talk.delete("s")
    assert talk.messages == []
    assert (chats.session(talk).message_count, chats.session(talk).preview) == (0, None)


def test_delete_what_is_not_there(local_talk, local_chats):
    local_talk.delete("nobody")
    local_talk.delete()
    local_talk.delete("a1", "a1")
    assert ids(local_talk) == ["s", "h1", "h2", "a2"]
    assert local_chats.session(local_talk).message_count == 4
    nobody = local_chats()
    nobody.delete("x")
    assert local_chats.session(nobody) is None


def test_a_deleted_id_is_free_again(local_talk):
    local_talk.delete("h1")
    local_talk.add_messages([HumanMessage("again", id="h1")])
    assert ids(local_talk) == ["s", "a1", "h2", "a2", "h1"]


def test_the_preview_after_deleting_is_that_of_the_last_message_with_text(local_chats):
    chat = local_chats()
    call = {"name": "f", "args": {}, "id": "c", "type": "tool_call"}
    chat.add_messages([HumanMessage("One", id="1"), AIMessage("Two", id="2"), AIMessage("", tool_calls=[call], id="3")])
    chat.add_messages([ToolMessage("Three", tool_call_id="c", id="4")])
    chat.delete("4")
    session = local_chats.session(chat)
    assert (session.title, session.preview, session.message_count) == ("One", "Two", 3)


@pytest.mark.parametrize("wrong", [None, "", "x" * 1025, 5, b"h1", ["h1"]])
def test_a_wrong_id_deletes_nothing(local_talk, wrong):
    with pytest.raises(InvalidArgumentError):
        local_talk.delete("h1", wrong)
    assert local_talk.messages == TALK


# Clear


def test_clear(talk, chats):
    talk.clear()
    assert talk.messages == []
    assert talk.entries() == []
    assert talk.get("h1") is None
    session = chats.session(talk)
    assert (session.message_count, session.preview) == (0, None)
    talk.clear()
    talk.add_messages([HumanMessage("New start", id="h1")])
    session = chats.session(talk)
    assert (session.title, session.preview, session.message_count) == ("New start", "New start", 1)


def test_clear_of_nothing(chats):
    chat = chats()
    chat.clear()
    assert chat.messages == []
    assert chats.session(chat) is None


@pytest.mark.slow
def test_clear_of_many_messages(local_chats):
    chat = local_chats()
    chat.add_messages([HumanMessage(str(number)) for number in range(1700)])
    neighbour = local_chats(chat.session_id + "x", user_id=chat.user_id)
    neighbour.add_messages([HumanMessage("stays")])
    chat.clear()
    assert chat.messages == []
    assert local_chats.session(chat).message_count == 0
    assert neighbour.texts == ["stays"]


def test_what_another_object_does_after_a_clear(local_chats):
    chat = local_chats()
    chat.add_messages([HumanMessage("old", id="1")])
    other = local_chats.again(chat)
    assert len(other.messages) == 1
    chat.clear()
    other.add_messages([HumanMessage("new")])
    assert chat.texts == ["new"]
    assert local_chats.session(chat).message_count == 1


# Fork


def test_fork_keeps_ids_times_and_metadata(talk, chats):
    fork = talk.fork("a1")
    assert fork.session_id != talk.session_id
    assert fork.user_id == talk.user_id
    assert fork.messages == TALK[:3]
    assert fork.entries() == talk.entries()[:3]
    session = chats.session(fork)
    assert (session.message_count, session.title, session.preview) == (3, "Hello, who are you?", "An assistant.")
    assert {session.session_id for session in chats.sessions(talk.user_id)} == {talk.session_id, fork.session_id}


def test_fork_of_everything_with_id_and_title(local_talk, local_chats):
    name = unique("fork")
    fork = local_talk.fork(session_id=name, title="Another way")
    assert fork.session_id == name
    assert fork.entries() == local_talk.entries()
    session = local_chats.session(fork)
    assert (session.title, session.preview, session.message_count) == ("Another way", "A table store.", 5)


def test_a_fork_is_independent(talk, chats):
    fork = talk.fork("h1")
    fork.add_messages([AIMessage("Somebody else.", id="a1")])
    fork.edit("s", SystemMessage("Be rude.", id="s"))
    assert talk.messages == TALK
    talk.delete("h1")
    talk.add_messages([HumanMessage("Bye")])
    assert fork.messages == [SystemMessage("Be rude.", id="s"), TALK[1], AIMessage("Somebody else.", id="a1")]
    talk.clear()
    assert len(fork.entries()) == 3
    assert chats.session(fork).message_count == 3
    fork.clear()
    assert fork.messages == []


def test_a_fork_reads_and_writes_like_its_origin(local_chats):
    chat = local_chats(window=2)
    chat.add_messages(TALK)
    fork = chat.fork()
    assert fork.messages == TALK[-2:]
    assert len(fork.entries()) == 5


def test_fork_with_equal_times(local_chats):
    chat = local_chats()
    chat.add_messages([HumanMessage(name, id=name) for name in "abcd"], create_times=[1, 2, 3, 4])
    local_chats.again(chat).add_messages([HumanMessage("b2", id="b2")], create_times=[2])
    assert ids(chat) == ["a", "b", "b2", "c", "d"]
    assert ids(chat.fork("b")) == ["a", "b"]
    assert ids(chat.fork("b2")) == ["a", "b", "b2"]


def test_fork_from_an_unknown_message_or_into_an_existing_session(talk, chats):
    with pytest.raises(MessageNotFoundError, match="nobody"):
        talk.fork("nobody")
    other = chats(user_id=talk.user_id)
    other.add_messages([HumanMessage("mine")])
    for taken in (other.session_id, talk.session_id):
        with pytest.raises(InvalidArgumentError, match="exists"):
            talk.fork("a1", session_id=taken)
    assert other.messages == [HumanMessage("mine")]
    assert talk.messages == TALK
    assert len(chats.sessions(talk.user_id)) == 2


def test_fork_into_messages_without_a_session(local_chats, embedded):
    """Another tool wrote messages and no session: they are not mixed up with the fork."""
    chat = local_chats(user_id="default")
    chat.add_messages(TALK)
    taken = unique("s")
    from langchain_tablestore_memory import Message

    MessageStore(embedded).put([Message(taken, "theirs", content="theirs")])
    with pytest.raises(InvalidArgumentError, match="exists"):
        chat.fork(session_id=taken)
    assert [message.content for message in MessageStore(embedded).list(taken)] == ["theirs"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"session_id": ""},
        {"session_id": 5},
        {"session_id": "x" * 1025},
        {"title": ""},
        {"title": "x" * 500},
        {"title": 5},
        {"message_id": 5},
        {"message_id": ""},
    ],
    ids=str,
)
def test_wrong_arguments_of_fork(local_talk, local_chats, arguments):
    with pytest.raises(InvalidArgumentError):
        local_talk.fork(**arguments)
    assert len(local_chats.sessions(local_talk.user_id)) == 1


def test_fork_of_an_empty_conversation(local_chats):
    fork = local_chats().fork()
    assert fork.messages == []
    assert local_chats.session(fork).message_count in {None, 0}


@pytest.mark.slow
def test_fork_of_many_messages(local_chats):
    chat = local_chats()
    messages = [HumanMessage(str(number)) for number in range(450)]
    chat.add_messages(messages)
    fork = chat.fork()
    assert fork.messages == messages
    assert local_chats.session(fork).message_count == 450
    assert [e.create_time for e in fork.entries(order=Order.DESC)] == [e.create_time for e in chat.entries()][::-1]


class Interrupted(BaseException):
    """What a pressed key raises, but for ending the tests."""


class TestForkThatFails:
    """250 messages are two requests, and the session is in the second."""

    @pytest.fixture(params=[True, False], ids=["isolated", "shared"])
    def history(self, request, engine, mode):
        history = TablestoreChatMessageHistory(
            "s1", user_id="u1", connection=engine.connection("sync"), isolate_users=request.param
        )
        history.add_messages([HumanMessage(str(number), id=f"m{number}") for number in range(250)])
        aside = TablestoreChatMessageHistory(
            "s1", user_id="u1", connection=engine.connection(mode), isolate_users=request.param
        )
        return Face(aside, mode)

    def stored(self, engine, session_id="s2"):
        """The fork's messages, and its session, seen by somebody else."""
        engine.before = None
        connection = engine.connection("sync")
        conversations = [message.session_id for message in MessageStore(connection).list_all()]
        session = SessionRegistry(connection).get(session_id, "u1")
        return [name for name in conversations if name.endswith(session_id)], session

    async def test_nothing_is_left(self, engine, history):
        engine.fail_at("BatchWriteRow", 2)
        with pytest.raises(WriteError, match="what was written of it is deleted again") as raised:
            await history.fork(session_id="s2")
        assert (len(raised.value.failed), raised.value.stored) == (251, ())
        assert self.stored(engine) == ([], None)
        fork = await history.fork(session_id="s2")
        assert (fork.session_id, len(self.stored(engine)[0])) == ("s2", 250)

    async def test_what_is_left_is_said(self, engine, history):
        writes = 0

        def before(api):
            nonlocal writes
            writes += api == "BatchWriteRow"
            if api == "BatchWriteRow" and writes > 1:
                raise RequestError(403, "OTSNoPermissionAccess", "You have no permission.")

        engine.before = before
        with pytest.raises(
            WriteError, match=r"could not be deleted again .* session 's2'\. Delete that session"
        ) as raised:
            await history.fork(session_id="s2")
        messages, session = self.stored(engine)
        assert 0 < len(messages) == len([name for name in raised.value.stored if name.startswith("message")])
        assert (session is not None) == ("session 's2'" in raised.value.stored)

    async def test_an_interrupted_one_leaves_nothing(self, engine, history):
        writes = 0

        def before(api):
            nonlocal writes
            writes += api == "BatchWriteRow"
            if api == "BatchWriteRow" and writes == 2:
                raise Interrupted

        engine.before = before
        with pytest.raises(Interrupted):
            await history.fork(session_id="s2")
        assert self.stored(engine) == ([], None)


def test_a_deleted_session_leaves_nothing(chats):
    chat = chats()
    chat.add_messages(TALK)
    chats.call(chats.registry, "delete", chat.session_id, chat.user_id)
    assert chats.session(chat) is None
    fresh = chats.again(chat)
    assert fresh.messages == []
    fresh.add_messages([HumanMessage("Back", id="h1")])
    session = chats.session(chat)
    assert (session.title, session.message_count) == ("Back", 1)
