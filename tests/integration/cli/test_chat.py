"""The chat's commands, one by one, and what is said to the model."""

from __future__ import annotations

import re
import time

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langchain_tablestore_memory import LongTermMemory, SessionRegistry, TablestoreChatMessageHistory
from langchain_tablestore_memory.cli.chat.commands import COMMANDS
from langchain_tablestore_memory.errors import ConfigurationError


@pytest.fixture
def registry(connection):
    return SessionRegistry(connection)


def current(screen):
    """The id of the conversation that was opened last."""
    return re.search(r"conversation: (\S+)", [*screen.greetings, *screen.notes][-1])[1]


def stored(connection, session_id, user_id="u1"):
    return TablestoreChatMessageHistory(session_id, user_id=user_id, connection=connection).messages


def talk(connection, session_id, *texts, user_id="u1"):
    history = TablestoreChatMessageHistory(session_id, user_id=user_id, connection=connection)
    history.add_messages([HumanMessage(text) for text in texts])


def test_what_is_said_is_answered_and_both_are_kept(chat, screen, connection):
    assert chat.handle("Hi, I am Mei.")
    assert screen.answers == ["Hello there."]
    session_id = current(screen)
    question, answer = stored(connection, session_id)
    assert (question.text, answer.text) == ("Hi, I am Mei.", "Hello there.")
    assert isinstance(question, HumanMessage)
    assert type(answer) is AIMessage


def test_the_model_is_told_the_conversation(chat, model):
    chat.handle("one")
    chat.handle("two")
    instructions, *told = model.told[-1]
    assert isinstance(instructions, SystemMessage)
    assert [message.text for message in told] == ["one", "Hello there.", "two"]


def test_a_blank_line_is_nothing(chat, screen, model):
    assert chat.handle("")
    assert chat.handle("   \t")
    assert (screen.taken(), model.told) == ([], [])


def test_conversations_are_titled_by_themselves_and_listed_by_their_last_activity(chat, screen, registry):
    chat.handle("About tea")
    first = current(screen)
    chat.handle("/new")
    second = current(screen)
    chat.handle("About coffee")
    chat.handle(f"/load {first}")
    chat.handle("More about tea")
    screen.taken()
    chat.handle("/sessions")
    [shown] = screen.taken()
    head, one, two = shown.splitlines()
    assert head == "2 conversations"
    assert re.fullmatch(rf"   1\* \d{{4}}-\d\d-\d\d \d\d:\d\d     4  About tea  \[{first}\]", one)
    assert re.fullmatch(rf"   2  \d{{4}}-\d\d-\d\d \d\d:\d\d     2  About coffee  \[{second}\]", two)
    assert [session.session_id for session in registry.list("u1").items] == [first, second]


def test_a_conversation_in_which_nothing_was_said_is_not_listed(chat, screen, registry):
    chat.handle("/new")
    chat.handle("/new")
    screen.taken()
    chat.handle("/sessions")
    assert screen.taken() == ["No conversations yet. Say something, and this one is kept."]
    assert registry.list("u1").items == []


def test_lists_are_paged(chat, screen, connection):
    for number in range(23):
        talk(connection, f"s{number:02}", "x")
    chat.handle("/sessions")
    head, *rows = screen.taken()[0].splitlines()
    assert head == "20 conversations, and more: /sessions more"
    assert len(rows) == 20
    chat.handle("/sessions more")
    head, *rows = screen.taken()[0].splitlines()
    assert head == "23 conversations"
    assert [row.split()[0] for row in rows] == ["21", "22", "23"]
    chat.handle("/load 23")
    assert "Loaded conversation: s00" in screen.taken()[0]
    chat.handle("/sessions more")
    assert screen.taken() == ["There are no more conversations."]
    chat.handle("/sessions all")
    assert screen.taken() == ["/sessions takes nothing after it, or: /sessions more"]


@pytest.mark.parametrize("reference", ["1", "s-tea"], ids=["number", "id"])
def test_a_conversation_is_gone_on_with(chat, screen, connection, model, reference):
    talk(connection, "s-tea", "I like tea", "and cake")
    chat.handle(f"/load {reference}")
    loaded, first, last, unanswered = screen.taken()[0].splitlines()
    assert loaded == "Loaded conversation: s-tea, 2 messages, “I like tea”"
    assert first.endswith("[you] I like tea")
    assert last.endswith("[you] and cake")
    assert unanswered == "The last message has no answer yet: /retry asks for one."
    chat.handle("hm")
    assert [message.text for message in model.told[-1][1:]] == ["I like tea", "and cake", "hm"]


@pytest.mark.parametrize("command", ["/load", "/delete"])
@pytest.mark.parametrize("reference", ["nowhere", "1", "0", "-1", "99999999999999999999", "1 2"])
def test_a_conversation_that_is_not_there_is_refused_and_not_made(chat, screen, registry, command, reference):
    before = current(screen)
    chat.handle(f"{command} {reference}")
    assert screen.taken() == [f"There is no conversation {reference}. /sessions lists them with their numbers and ids."]
    chat.handle("/history")
    assert before in screen.taken()[0]
    assert registry.list("u1").items == []


def test_a_conversation_of_another_user_is_not_there(chat, screen, connection):
    talk(connection, "theirs", "secret", user_id="u2")
    for line in ("/load theirs", "/delete theirs", "/search secret", "/sessions", "/load 1"):
        chat.handle(line)
    assert "secret" not in "\n".join(screen.taken())
    assert [message.text for message in stored(connection, "theirs", "u2")] == ["secret"]


def test_numbers_mean_what_was_shown(chat, screen, connection):
    talk(connection, "s1", "one")
    talk(connection, "s2", "two")
    chat.handle("/sessions")
    talk(connection, "s3", "three")
    screen.taken()
    chat.handle("/load 1")
    assert "s2" in screen.taken()[0]


def test_a_number_before_any_list_is_that_of_the_most_recent(chat, screen, connection):
    talk(connection, "s1", "one")
    time.sleep(0.001)
    talk(connection, "s2", "two")
    chat.handle("/load 1")
    assert "s2" in screen.taken()[0]


def test_a_conversation_is_renamed(chat, screen, registry):
    chat.handle("/rename  Trip to Hangzhou ")
    chat.handle("hello")
    chat.handle("/rename Trip")
    assert screen.taken() == [
        "This conversation is now called “Trip to Hangzhou”.",
        "This conversation is now called “Trip”.",
    ]
    [session] = registry.list("u1").items
    assert (session.title, session.message_count) == ("Trip", 2)
    chat.handle("/rename " + "x" * 201)
    assert "at most 200" in screen.taken()[0]


def test_a_conversation_is_deleted_with_its_messages(chat, screen, connection, registry):
    talk(connection, "old", "one")
    chat.handle("/delete old")
    assert screen.taken() == ["Deleted conversation: old, 1 message, “one”"]
    assert registry.list("u1").items == []
    assert stored(connection, "old") == []


def test_after_the_open_conversation_is_deleted_a_new_one_is_open(chat, screen, connection):
    chat.handle("hello")
    before = current(screen)
    chat.handle(f"/delete {before}")
    after = current(screen)
    assert after != before
    chat.handle("again")
    assert stored(connection, before) == []
    assert len(stored(connection, after)) == 2


def test_messages_are_found_in_all_conversations(chat, screen, connection):
    talk(connection, "s1", "We fly to Hangzhou")
    talk(connection, "s2", "Nothing of the kind")
    chat.handle("/search hangzhou")
    head, hit, place = screen.taken()[0].splitlines()
    assert head == "1 message; /load opens one by its number"
    assert hit.startswith("   1  ")
    assert hit.endswith("[you] We fly to Hangzhou")
    assert place == "      in s1, “We fly to Hangzhou”"
    chat.handle("/load 1")
    assert "Loaded conversation: s1" in screen.taken()[0]
    chat.handle("/search Xanadu")
    assert screen.taken() == ["Nothing was found."]


def test_the_history_of_the_open_conversation_is_shown(chat, screen, connection):
    session_id = current(screen)
    chat.handle("/history")
    assert screen.taken() == [f"Current conversation: {session_id}\n  (nothing was said yet)"]
    chat.handle("short")
    chat.handle("long " * 100)
    chat.handle("/history")
    head, one, two, three, _ = screen.taken()[0].splitlines()
    assert head == f"Current conversation: {session_id}, “short”"
    assert one.endswith("[you] short")
    assert two.endswith("[assistant] Hello there.")
    assert three.endswith("long long…")
    chat.handle("/history 2")
    assert "(earlier messages are left out)" in screen.taken()[0]
    for wrong in ("0", "1001", "all", "-1", "1.5", "9" * 5000):
        chat.handle(f"/history {wrong}")
        assert screen.taken() == ["/history takes a number from 1 to 1000."]


def test_what_is_remembered_is_recalled_in_other_conversations_and_shown(chat, screen, model):
    chat.handle("/remember I like Sichuan food")
    assert screen.taken() == ["Memory saved: I like Sichuan food"]
    chat.handle("/new")
    chat.handle("What kind of food do I like?")
    assert screen.recollections == [("Memory", ["I like Sichuan food"])]
    assert "I like Sichuan food" in model.told[-1][0].text


def test_the_same_is_remembered_once(chat, screen, connection):
    chat.handle("/remember tea")
    chat.handle("/remember tea")
    assert screen.taken() == ["Memory saved: tea", "Remembered already: tea"]
    assert LongTermMemory(connection=connection).count("u1") == 1


def test_memories_are_listed_newest_first_with_their_true_number(chat, screen, connection):
    chat.handle("/memories")
    assert screen.taken() == ["No memories yet: /remember <text>"]
    memory = LongTermMemory(connection=connection)
    for number in range(23):
        memory.remember("u1", f"fact {number}")
    chat.handle("/memories")
    head, *rows = screen.taken()[0].splitlines()
    assert head == "23 memories; /memories more shows the next ones"
    assert rows[0].endswith("fact 22")
    assert len(rows) == 20
    chat.handle("/memories more")
    head, *rows = screen.taken()[0].splitlines()
    assert head == "23 memories"
    assert [row.rpartition("  ")[2] for row in rows] == ["fact 2", "fact 1", "fact 0"]
    chat.handle("/forget 23")
    assert screen.taken() == ["Forgotten: fact 0"]
    assert memory.count("u1") == 22


def test_a_memory_is_forgotten_by_its_number(chat, screen, connection):
    for text in ("one", "two", "three"):
        chat.handle(f"/remember {text}")
    screen.taken()
    chat.handle("/forget 2")
    chat.handle("/forget 2")
    assert screen.taken() == ["Forgotten: two", "Forgotten already: two"]
    texts = [memory.text for memory in LongTermMemory(connection=connection).list("u1").items]
    assert texts == ["three", "one"]
    for wrong in ("4", "0", "two", "-1", "9" * 5000):
        chat.handle(f"/forget {wrong}")
        assert screen.taken() == [f"There is no memory {wrong}. /memories lists them with their numbers."]


def test_the_conversation_is_exported_once(chat, screen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chat.handle("/export")
    assert screen.taken() == ["Nothing was said in this conversation yet, so there is nothing to export."]
    assert list(tmp_path.iterdir()) == []
    chat.handle("hello")
    session_id = current(screen)
    chat.handle("/export")
    assert screen.taken() == [f"Wrote 1 conversation, 2 messages to {session_id}.jsonl"]
    assert len((tmp_path / f"{session_id}.jsonl").read_text().splitlines()) == 4
    chat.handle("/export")
    assert screen.taken() == [f"The file {session_id}.jsonl exists. Name another one: /export FILE"]
    chat.handle("/export no/such/folder.jsonl")
    assert "cannot be written (No such file or directory)" in screen.taken()[0]


def test_help_names_every_command(chat, screen):
    chat.handle("/help")
    [text] = screen.taken()
    assert all(command.usage in text and command.help in text for command in COMMANDS.values())


def test_quit_ends_the_chat(chat):
    assert chat.handle("hello")
    assert not chat.handle("/quit")
    assert chat.close()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/sesions", "There is no command /sesions. Did you mean /sessions? /help lists them"),
        ("/", "There is no command /."),
        ("/xyzzy and more", "There is no command /xyzzy."),
        ("/load", "/load needs id or number: /load <id or number>"),
        ("/remember", "/remember needs text: /remember <text>"),
        ("/remember    ", "/remember needs text"),
        ("/forget", "/forget needs number"),
        ("/rename", "/rename needs title"),
        ("/search", "/search needs words"),
        ("/delete", "/delete needs id or number"),
        ("/new now", "/new takes nothing after it."),
        ("/quit now", "/quit takes nothing after it."),
    ],
)
def test_what_is_no_command_is_told_and_not_said_to_the_model(chat, screen, model, line, words):
    assert chat.handle(line)
    [shown] = screen.taken()
    assert words in shown
    assert "\n" not in shown
    assert model.told == []


def test_what_begins_with_a_slash_can_be_said(chat, model):
    chat.handle("//etc/hosts, what is it?")
    assert model.told[0][-1].text == "/etc/hosts, what is it?"


@pytest.mark.parametrize("text", ["???", "。", "x" * 60_000, "tea " * 20_000, "\U0001f375", "a\x00b"])
def test_odd_texts_are_answered_and_kept(chat, screen, model, connection, text):
    chat.handle("/remember I like tea")
    screen.taken()
    chat.handle(text)
    assert screen.taken() == []
    assert model.told[0][-1].text == text.strip()
    [session] = SessionRegistry(connection).list("u1").items
    assert [message.text for message in stored(connection, session.session_id)] == [text.strip(), "Hello there."]


def test_an_existing_conversation_is_opened_at_the_start(make_chat, connection, screen):
    talk(connection, "s1", "before")
    chat = make_chat(session="1")
    assert screen.greetings[0].startswith("Loaded conversation: s1, 1 message, “before”")
    chat.handle("after")
    assert [message.text for message in stored(connection, "s1")] == ["before", "after", "Hello there."]


def test_an_unknown_conversation_at_the_start_is_refused(make_chat, registry):
    with pytest.raises(ConfigurationError, match="There is no conversation nowhere of this user"):
        make_chat(session="nowhere")
    assert registry.list("u1").items == []


def test_commands_and_listed_conversations_are_completed(chat, connection):
    talk(connection, "s1", "About tea")
    assert [line for line, _ in chat.completions("/re")] == ["/rename", "/retry", "/remember"]
    assert list(chat.completions("hello")) == []
    assert list(chat.completions("/load ")) == []
    chat.handle("/sessions")
    assert list(chat.completions("/load s")) == [("/load s1", "About tea")]
    assert list(chat.completions("/delete 1")) == [("/delete s1", "About tea")]
    assert list(chat.completions("/rename s")) == []
