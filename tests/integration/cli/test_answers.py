"""Answers that are stopped, fail or are empty, and a service that goes away and comes back: nothing is lost."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading

import pytest
from langchain_core.embeddings import Embeddings

from langchain_tablestore_memory import (
    LongTermMemory,
    RetryPolicy,
    SessionRegistry,
    TablestoreChatMessageHistory,
    connect,
)
from langchain_tablestore_memory.cli.chat.chat import Chat, Parts
from langchain_tablestore_memory.cli.chat.models import Recall
from langchain_tablestore_memory.local import Tablestore
from langchain_tablestore_memory.local.server import Server

from .support import ScriptedModel


class OtherError(Exception):
    pass


def interrupt():
    """Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


def texts(connection, user_id="u1"):
    [session] = SessionRegistry(connection).list(user_id).items
    history = TablestoreChatMessageHistory(session.session_id, user_id=user_id, connection=connection)
    assert session.message_count == len(history.messages)
    return [message.text for message in history.messages]


def messages(connection, user_id="u1"):
    [session] = SessionRegistry(connection).list(user_id).items
    return TablestoreChatMessageHistory(session.session_id, user_id=user_id, connection=connection).messages


def test_an_answer_that_is_stopped_is_kept_and_marked(chat, screen, model, connection):
    model.pieces = ["Once upon ", "a time ", interrupt, "there was"]
    assert chat.handle("Tell me a story")
    assert screen.answers == ["Once upon a time "]
    assert screen.stopped
    assert texts(connection) == ["Tell me a story", "Once upon a time "]
    answer = messages(connection)[1]
    assert answer.response_metadata["finish_reason"] == "interrupted"
    chat.handle("/history")
    assert screen.taken()[0].endswith("[assistant] Once upon a time (stopped)")
    model.pieces = ["Fine."]
    chat.handle("Go on")
    assert [message.text for message in model.told[-1][1:]] == ["Tell me a story", "Once upon a time ", "Go on"]


def test_an_answer_that_is_stopped_before_it_began_leaves_the_question(chat, screen, model, connection):
    model.pieces = [interrupt, "never"]
    assert chat.handle("Hello?")
    assert screen.taken() == ["Stopped before the answer began. /retry asks again."]
    assert texts(connection) == ["Hello?"]
    model.pieces = ["Here."]
    chat.handle("/retry")
    assert texts(connection) == ["Hello?", "Here."]


def test_an_interrupt_while_the_question_is_stored_stops_the_answer_and_not_the_storing(
    chat, screen, model, connection, monkeypatch
):
    add = TablestoreChatMessageHistory.add_messages

    def add_interrupted(self, added):
        interrupt()
        add(self, added)

    monkeypatch.setattr(TablestoreChatMessageHistory, "add_messages", add_interrupted)
    chat.handle("Hello?")
    assert texts(connection) == ["Hello?"]
    assert model.told == []
    assert screen.taken() == ["Stopped before the answer began. /retry asks again."]


def test_an_interrupt_while_the_answer_is_stored_does_not_lose_it(chat, model, connection, monkeypatch):
    add = TablestoreChatMessageHistory.add_messages

    def add_interrupted(self, added):
        if model.told:
            interrupt()
        add(self, added)

    monkeypatch.setattr(TablestoreChatMessageHistory, "add_messages", add_interrupted)
    chat.handle("Hello?")
    assert texts(connection) == ["Hello?", "Hello there."]


def test_a_second_interrupt_ends_what_hangs(chat, connection, monkeypatch):
    def hang(self, added):
        interrupt()
        interrupt()

    monkeypatch.setattr(TablestoreChatMessageHistory, "add_messages", hang)
    with pytest.raises(KeyboardInterrupt):
        chat.handle("Hello?")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    assert chat.close()
    assert texts(connection) == ["Hello?"]


def test_a_chat_outside_the_main_thread_leaves_signals_alone(chat, connection):
    thread = threading.Thread(target=chat.handle, args=("Hello?",))
    thread.start()
    thread.join()
    assert texts(connection) == ["Hello?", "Hello there."]


@pytest.mark.parametrize(
    ("pieces", "kept"),
    [
        ([OtherError("the key is\ninvalid")], "Nothing is stored as an answer"),
        (["It is ", "about", OtherError("the key is\ninvalid")], "What it said so far is not stored"),
    ],
    ids=["at once", "half-way"],
)
def test_a_model_that_fails_is_told_and_never_stored(chat, screen, model, connection, pieces, kept):
    model.pieces = pieces
    assert chat.handle("Hello?")
    assert screen.taken() == [f"The model failed. {kept}; /retry asks again. OtherError: the key is invalid"]
    assert texts(connection) == ["Hello?"]
    model.pieces = ["Yes."]
    chat.handle("/retry")
    assert texts(connection) == ["Hello?", "Yes."]
    assert [message.text for message in model.told[-1][1:]] == ["Hello?"]
    chat.handle("/retry")
    assert screen.taken() == ["Nothing to do: everything is stored, and the last message has its answer."]
    assert texts(connection) == ["Hello?", "Yes."]


def test_a_long_failure_is_told_in_one_line(chat, screen, model):
    model.pieces = [OtherError("x" * 5000)]
    chat.handle("Hello?")
    [problem] = screen.taken()
    assert len(problem) < 500


@pytest.mark.parametrize("pieces", [[""], ["  \n "]], ids=["empty", "blank"])
def test_an_empty_answer_is_told_and_not_stored(chat, screen, model, connection, pieces):
    model.pieces = pieces
    chat.handle("Hello?")
    assert screen.taken() == ["The model answered nothing, so nothing is stored. /retry asks again."]
    assert texts(connection) == ["Hello?"]


def test_the_question_is_stored_before_the_model_is_asked(chat, model, connection):
    seen = []
    model.pieces = [lambda: seen.extend(texts(connection)), "Yes."]
    chat.handle("Hello?")
    assert seen == ["Hello?"]


def test_a_message_that_can_never_be_stored_is_refused_and_does_not_stand_in_the_way(chat, screen, connection):
    chat.handle("bad \ud800 text")
    [problem] = screen.taken()
    assert problem.startswith("Your message is not stored, and not answered:")
    assert "/retry" not in problem
    chat.handle("good")
    assert texts(connection) == ["good", "Hello there."]
    assert chat.close()


class GoingAndComing:
    """A server that can be stopped and started at the same port."""

    def __init__(self, service):
        self._service = service
        self._running = contextlib.ExitStack()
        self.port = 0
        self.start()

    def start(self):
        self.port = self._running.enter_context(Server(self._service, port=self.port)).port

    def stop(self):
        self._running.close()


@pytest.fixture
def server():
    with Tablestore(None) as service:
        server = GoingAndComing(service)
        yield server
        server.stop()


@pytest.fixture
def remote(server):
    retry = RetryPolicy(attempts=2, connect_attempts=1, first_delay=0.01)
    keys = {"instance_name": "local", "access_key_id": "local", "access_key_secret": "local"}
    with connect(f"http://127.0.0.1:{server.port}", retry=retry, **keys) as connection:
        yield connection


@pytest.fixture
def remote_chat(make_chat, remote):
    return make_chat(connection=remote)


def test_what_is_said_while_the_service_is_away_waits_for_it(remote_chat, screen, model, remote, server):
    remote_chat.handle("one")
    server.stop()
    remote_chat.handle("two")
    remote_chat.handle("three")
    problems = screen.taken()
    assert len(problems) == 2
    for problem in problems:
        assert problem.startswith("Your message is not stored, and not answered:")
        assert problem.endswith("It is stored with the next message, or by /retry.")
        assert "\n" not in problem
    assert len(model.told) == 1
    server.start()
    remote_chat.handle("four")
    assert texts(remote) == ["one", "Hello there.", "two", "three", "four", "Hello there."]


def test_retry_sends_what_waits_and_asks_the_model(remote_chat, screen, model, remote, server):
    server.stop()
    remote_chat.handle("one")
    remote_chat.handle("/retry")
    assert "Try /retry again." in screen.taken()[-1]
    server.start()
    remote_chat.handle("/retry")
    assert screen.taken() == ["What was waiting is stored now."]
    assert texts(remote) == ["one", "Hello there."]


def test_an_answer_that_cannot_be_stored_waits(remote_chat, screen, model, remote, server):
    model.pieces = ["Hello ", server.stop, "there."]
    remote_chat.handle("one")
    assert screen.answers == ["Hello there."]
    [problem] = screen.taken()
    assert problem.startswith("The answer is not stored:")
    server.start()
    model.pieces = ["Bye."]
    remote_chat.handle("two")
    assert texts(remote) == ["one", "Hello there.", "two", "Bye."]


def test_what_waits_is_stored_at_the_end(remote_chat, screen, model, remote, server):
    model.pieces = ["Hello ", server.stop, "there."]
    remote_chat.handle("one")
    server.start()
    assert remote_chat.close()
    assert texts(remote) == ["one", "Hello there."]


def test_what_cannot_be_stored_at_the_end_is_told(remote_chat, screen, server):
    server.stop()
    remote_chat.handle("one")
    screen.taken()
    assert not remote_chat.close()
    [problem] = screen.taken()
    assert problem.startswith("1 message could not be stored:")


def test_what_waits_stays_in_its_conversation(remote_chat, screen, remote, server):
    server.stop()
    remote_chat.handle("for the first one")
    remote_chat.handle("/new")
    server.start()
    remote_chat.handle("for the second one")
    found = {session.title: session.message_count for session in SessionRegistry(remote).list("u1").items}
    assert found == {"for the first one": 1, "for the second one": 2}


def test_what_waits_for_a_conversation_that_is_deleted_is_dropped(remote_chat, screen, model, remote, server):
    remote_chat.handle("one")
    server.stop()
    remote_chat.handle("two")
    server.start()
    remote_chat.handle("/delete 1")
    assert remote_chat.close()
    assert SessionRegistry(remote).list("u1").items == []


@pytest.mark.parametrize(
    "line", ["/sessions", "/load s1", "/search x", "/history", "/memories", "/remember x", "/rename x", "/delete s1"]
)
def test_every_command_tells_in_one_line_that_the_service_is_away(remote_chat, screen, server, line):
    server.stop()
    assert remote_chat.handle(line)
    [problem] = screen.taken()
    assert "\n" not in problem
    assert "could not be reached" in problem or "connect" in problem


def test_answers_go_on_without_memories_that_cannot_be_recalled(make_chat, screen, connection):
    class Failing(Embeddings):
        def embed_documents(self, texts):
            raise OtherError("no embeddings today")

        def embed_query(self, text):
            raise OtherError("no embeddings today")

    recall = Recall(Failing(), 3, None, "failing")
    memory = LongTermMemory(recall.embeddings, connection=connection, dimension=3)
    chat = Chat(Parts(connection, "u1", ScriptedModel(pieces=["Yes."], told=[]), memory, recall, None, screen))
    chat.handle("Hello?")
    assert screen.answers == ["Yes."]
    [problem] = screen.taken()
    assert problem.startswith("Answering without memories: The embedding model failed")


@pytest.mark.slow
def test_a_chat_that_is_killed_in_mid_answer_has_kept_the_question(tmp_path, environment):
    program = (
        "import os, sys\n"
        "from langchain_tablestore_memory import connect, LongTermMemory\n"
        "from langchain_tablestore_memory.cli.chat.chat import Chat, Parts\n"
        "from langchain_tablestore_memory.cli.chat.models import BY_WORDS\n"
        "from tests.integration.cli.support import RecordingScreen, ScriptedModel\n"
        "connection = connect('local:' + sys.argv[1])\n"
        "model = ScriptedModel(pieces=['Once ', lambda: os.kill(os.getpid(), 9)], told=[])\n"
        "memory = LongTermMemory(connection=connection)\n"
        "Chat(Parts(connection, 'u1', model, memory, BY_WORDS, None, RecordingScreen())).handle('Tell me')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "data"], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    with connect(f"local:{tmp_path / 'data'}") as connection:
        assert texts(connection) == ["Tell me"]
