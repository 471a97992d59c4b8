"""The interactive demo of the seed's guide, line by line, and the defects of what it was written with."""

from __future__ import annotations

import re

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langchain_tablestore_memory import LongTermMemory, MessageStore, SessionRegistry, TablestoreChatMessageHistory


def start(make_chat, screen, **options):
    """A chat, and a function that handles a line and returns what was shown for it."""
    chat = make_chat(**options)

    def handle(line):
        screen.answers.clear()
        screen.recollections.clear()
        goes_on = chat.handle(line)
        return goes_on, [*screen.taken(), *screen.answers]

    return handle


def test_the_demo_line_by_line(make_chat, screen, connection):
    handle = start(make_chat, screen, user_id="cli_user")
    # "New session created: session_..."
    [opened] = [text for text in screen.greetings if text.startswith("New conversation: session_")]
    first = opened.split()[-1]
    assert re.fullmatch(r"session_[0-9a-f]{8}", first)
    # "Commands: /new ... /quit"
    _, [text] = handle("/help")
    for name in ("/new", "/sessions", "/load <id", "/remember <text>", "/memories", "/history", "/help", "/quit"):
        assert name in text
    # "Memory saved: ..."
    assert handle("/remember I like Sichuan food") == (True, ["Memory saved: I like Sichuan food"])
    assert handle("/remember My birthday is March 15th") == (True, ["Memory saved: My birthday is March 15th"])
    # "Total 2 memories:" and each, without an ellipsis where nothing is left out
    _, [text] = handle("/memories")
    head, *rows = text.splitlines()
    assert head == "2 memories"
    assert [row.rpartition("  ")[2] for row in rows] == ["My birthday is March 15th", "I like Sichuan food"]
    # "[Memory] Found related memories:" and "Assistant: ..."
    assert handle("What kind of food do I like?")[1] == ["Hello there."]
    assert screen.recollections == [("Memory", ["I like Sichuan food"])]
    # "Current session: ..." and " [role] text"
    _, [text] = handle("/history")
    head, asked, answered = text.splitlines()
    assert head.startswith(f"Current conversation: {first}")
    assert asked.endswith("[you] What kind of food do I like?")
    assert answered.endswith("[assistant] Hello there.")
    # "New session created: ..."
    _, [text] = handle("/new")
    assert text.startswith("New conversation: session_")
    assert first not in text
    handle("Hello, my name is John Doe")
    # "Total 2 sessions:", the most recent first
    _, [text] = handle("/sessions")
    head, *rows = text.splitlines()
    assert head == "2 conversations"
    assert rows[1].endswith(f"[{first}]")
    # "Loaded session: ..., 2 messages"
    _, [text] = handle(f"/load {first}")
    assert text.splitlines()[0].startswith(f"Loaded conversation: {first}, 2 messages")
    assert handle("   ") == (True, [])
    # "Bye!" is the terminal's to say
    assert handle("/quit") == (False, [])


def test_half_of_the_tables_is_no_reason_to_delete_the_other_half(make_chat, screen, connection):
    TablestoreChatMessageHistory("s1", user_id="u1", connection=connection).add_messages([HumanMessage("kept")])
    SessionRegistry(connection).drop()
    handle = start(make_chat, screen)
    handle("hello")
    history = TablestoreChatMessageHistory("s1", user_id="u1", connection=connection)
    assert [message.text for message in history.messages] == ["kept"]


def test_two_users_with_one_session_id_do_not_see_each_other(make_chat, screen, connection):
    for user in ("user_001", "evil"):
        history = TablestoreChatMessageHistory("session_003", user_id=user, connection=connection)
        history.add_messages([HumanMessage(f"of {user}")])
    handle = start(make_chat, screen, user_id="evil")
    _, [text] = handle("/load session_003")
    assert "of evil" in text
    assert "of user_001" not in text
    handle("/delete session_003")
    history = TablestoreChatMessageHistory("session_003", user_id="user_001", connection=connection)
    assert [message.text for message in history.messages] == ["of user_001"]


def test_the_number_of_memories_is_that_of_all_and_each_can_be_forgotten(make_chat, screen, connection):
    memory = LongTermMemory(connection=connection)
    memory.remember("u1", [f"fact {number}" for number in range(150)])
    handle = start(make_chat, screen)
    assert handle("/memories")[1][0].startswith("150 memories")
    handle("/forget 1")
    assert handle("/memories")[1][0].startswith("149 memories")


def test_a_long_conversation_is_deleted_as_a_whole(make_chat, screen, connection):
    history = TablestoreChatMessageHistory("long", user_id="u1", connection=connection)
    history.add_messages([HumanMessage(str(number)) for number in range(450)])
    handle = start(make_chat, screen)
    assert handle("/delete long")[1] == ["Deleted conversation: long, 450 messages, “0”"]
    assert list(MessageStore(connection).list_all()) == []


@pytest.mark.parametrize("text", ["123", "true", "null", '{"a": 1}', "[1, 2]", "1e5", '"quoted"'])
def test_what_looks_like_a_number_or_json_stays_text(make_chat, screen, connection, model, text):
    model.pieces = [text]
    handle = start(make_chat, screen)
    handle(text)
    handle(f"/remember {text}")
    [session] = SessionRegistry(connection).list("u1").items
    messages = TablestoreChatMessageHistory(session.session_id, user_id="u1", connection=connection).messages
    assert [message.content for message in messages] == [text, text]
    assert [memory.text for memory in LongTermMemory(connection=connection).list("u1").items] == [text]
    assert session.title == text


def test_words_alone_need_no_key_and_no_embedding_model(run, tmp_path):
    done = run("chat", "--data", tmp_path / "data", "--embedding", "none", typed="/remember tea\nDo I like tea?")
    assert (done.status, done.errors) == (0, [])
    assert "[Memory] tea" in done.out


def test_turns_stay_in_their_order(make_chat, screen, connection):
    handle = start(make_chat, screen)
    for number in range(30):
        handle(f"question {number}")
    [session] = SessionRegistry(connection).list("u1").items
    history = TablestoreChatMessageHistory(session.session_id, user_id="u1", connection=connection)
    said = [message.text for message in history.messages]
    assert said[::2] == [f"question {number}" for number in range(30)]
    assert all(isinstance(message, AIMessage) for message in history.messages[1::2])
    # The model is told the latest of them, not all.
    assert session.message_count == 60
