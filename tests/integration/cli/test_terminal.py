"""The chat on a pseudo-terminal, typed at as people do."""

from __future__ import annotations

import json
import stat

import pytest

from .support import COMMAND
from .test_piped import SCRIPTED, conversations


@pytest.fixture
def chat(terminal, tmp_path):
    """Starts a chat on a terminal, with a model that says what it is told to where pieces are given."""

    def start(*arguments, pieces=None):
        command = COMMAND if pieces is None else [*SCRIPTED, json.dumps(pieces)]
        started = terminal(command, "chat", "--data", tmp_path / "data", "--embedding", "none", *arguments)
        started.greeting = started.ready()
        return started

    return start


def test_every_command(chat, tmp_path):
    terminal = chat()
    assert "New conversation: session_" in terminal.greeting
    assert "Model: offline stand-in" in terminal.greeting
    assert "/sessions [more]" in terminal.greeting
    for line, shown in (
        ("Hi! My name is Mei.", "Nice to meet you, Mei."),
        ("What is my name?", "Your name is Mei."),
        ("/sessions", "1 conversation"),
        ("/history", "[you] What is my name?"),
        ("/remember I like Sichuan food", "Memory saved: I like Sichuan food"),
        ("/memories", "1 memory"),
        ("/rename About me", "This conversation is now called “About me”."),
        ("/new", "New conversation: session_"),
        ("What kind of food do I like?", "[Memory] I like Sichuan food"),
        ("/load 1", "Loaded conversation: session_"),
        ("/search name", "3 messages; /load opens one by its number"),
        (f"/export {tmp_path / 'out.jsonl'}", "Wrote 1 conversation, 4 messages to"),
        ("/retry", "Nothing to do"),
        ("/forget 1", "Forgotten: I like Sichuan food"),
        ("/forget", "/forget needs number: /forget <number>"),
        ("/bogus", "There is no command /bogus."),
        ("/delete nowhere", "There is no conversation nowhere."),
        ("/delete 1", "1 is the number of a message that was found."),
        ("/sessions", "2 conversations"),
        ("/delete 2", "Deleted conversation: session_"),
        ("/help", "Ctrl-C stops an answer and keeps what was said."),
    ):
        terminal.type(line)
        terminal.expect(shown)
        terminal.ready()
    terminal.type("/quit")
    terminal.expect("Bye!")
    assert terminal.status() == 0
    assert list(conversations(tmp_path)) == ["What kind of food do I like?"]


def test_ctrl_c_stops_an_answer_and_keeps_what_was_said(chat, tmp_path):
    terminal = chat(pieces=["Once upon ", {"sleep": 60}, "a time"])
    terminal.type("Tell me a story")
    terminal.expect("assistant> Once upon ")
    terminal.press("\x03")
    terminal.expect("(stopped)")
    terminal.ready()
    terminal.type("/history")
    terminal.expect("[assistant] Once upon (stopped)")
    terminal.ready()
    terminal.press("\x04")
    terminal.expect("Bye!")
    assert terminal.status() == 0
    assert conversations(tmp_path) == {"Tell me a story": ["Tell me a story", "Once upon "]}


@pytest.mark.slow
def test_ctrl_c_and_the_end_of_input_at_the_prompt(chat, tmp_path):
    terminal = chat()
    terminal.press("half a line")
    terminal.press("\x03")
    terminal.expect("Nothing was sent. /quit or Ctrl-D leaves.")
    terminal.ready()
    terminal.press("\x04")
    terminal.expect("Bye!")
    assert terminal.status() == 0
    assert conversations(tmp_path) == {}


@pytest.mark.slow
def test_a_model_that_fails(chat, tmp_path):
    terminal = chat(pieces=["It is ", {"fail": "quota exceeded"}])
    terminal.type("Hello?")
    terminal.expect("The model failed. What it said so far is not stored; /retry asks again.")
    terminal.expect("RuntimeError: quota exceeded")
    assert "Traceback" not in terminal.ready()
    terminal.type("/quit")
    assert terminal.status() == 0
    assert conversations(tmp_path) == {"Hello?": ["Hello?"]}


@pytest.mark.slow
def test_lines_are_completed_remembered_and_continued(chat, tmp_path, environment):
    terminal = chat()
    terminal.press("/mem")
    terminal.expect("memories")
    terminal.press("\t")
    terminal.expect("/memories")
    terminal.press("\r")
    terminal.expect("No memories yet")
    terminal.ready()
    terminal.press("one\x1b\rtwo\\\rthree\r")
    terminal.expect("assistant>")
    terminal.ready()
    terminal.press("\x1b[A")
    terminal.expect("three")
    terminal.press("\x03")
    terminal.ready()
    terminal.type("/quit")
    assert terminal.status() == 0
    [said] = conversations(tmp_path).values()
    assert said[0] == "one\ntwo\nthree"
    [kept] = (tmp_path / "home").rglob("chat_history")
    assert "three" in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.slow
def test_lines_that_cannot_be_kept_are_told(chat, tmp_path):
    state = tmp_path / "home" / ".local" / "state"
    state.parent.mkdir(parents=True)
    state.write_text("in the way")
    assert "The lines that you type are not kept for the next chat (Not a directory)." in chat().greeting


@pytest.mark.slow
def test_what_is_shown_is_neither_markup_nor_a_command_to_the_terminal(chat):
    terminal = chat(pieces=["[bold]not\x1b]0;title\x07 bold[/bold] [/]"])
    terminal.type("[red]Hello[/red]")
    terminal.expect("assistant> [bold]not]0;title bold[/bold] [/]")
    terminal.ready()
    terminal.type("/history")
    terminal.expect("[you] [red]Hello[/red]")


@pytest.mark.slow
def test_indexing_a_folder_shows_how_far_it_is_and_can_be_interrupted(terminal, tmp_path):
    (tmp_path / "notes").mkdir()
    for number in range(300):
        (tmp_path / "notes" / f"{number}.md").write_text(f"Note {number} " * 500)
    started = terminal(
        COMMAND, "chat", "--data", tmp_path / "data", "--embedding", "none", "--knowledge", tmp_path / "notes"
    )
    started.expect("Reading notes")
    started.expect("/300 files")
    started.press("\x03")
    assert started.status() == 130
    assert "Traceback" not in started.shown


@pytest.mark.slow
def test_a_server_that_goes_away_and_comes_back(terminal, environment, tmp_path):
    environment |= {f"TABLESTORE_{name}": "local" for name in ("INSTANCE_NAME", "ACCESS_KEY_ID", "ACCESS_KEY_SECRET")}

    def serve(port=0):
        server = terminal(COMMAND, "serve", "--port", port, "--data", tmp_path / "data")
        server.expect("Tablestore is listening on http://127.0.0.1:")
        port = server.expect("\n").strip()
        server.expect("TABLESTORE_ACCESS_KEY_SECRET=local")
        return server, port

    server, port = serve()
    command = [*SCRIPTED, json.dumps(["Answer."])]
    chat = terminal(command, "chat", "--endpoint", f"http://127.0.0.1:{port}", "--embedding", "none")
    chat.ready()
    chat.type("one")
    chat.expect("Answer.")
    chat.ready()
    server.press("\x03")
    assert server.status() == 0
    chat.type("two")
    chat.expect("Your message is not stored, and not answered:")
    chat.expect("It is stored with the next message, or by /retry.")
    chat.ready()
    chat.type("/sessions")
    chat.expect("could not be reached")
    chat.ready()
    server, _ = serve(port)
    chat.type("/retry")
    chat.expect("What was waiting is stored now.")
    chat.expect("Answer.")
    assert "Traceback" not in chat.ready()
    chat.type("/quit")
    assert chat.status() == 0
    server.press("\x03")
    assert server.status() == 0
    assert conversations(tmp_path) == {"one": ["one", "Answer.", "two", "Answer."]}
