"""Chats in this process, and the command in an environment of its own."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from langchain_tablestore_memory import LongTermMemory, connect
from langchain_tablestore_memory.cli import app
from langchain_tablestore_memory.cli.chat.chat import Chat, Parts
from langchain_tablestore_memory.cli.chat.models import BY_WORDS

from .support import Done, RecordingScreen, ScriptedModel, Terminal

ROOT = Path(__file__).parents[3]


@pytest.fixture
def connection():
    with connect("local::memory:") as connection:
        yield connection


@pytest.fixture
def screen():
    return RecordingScreen()


@pytest.fixture
def model():
    return ScriptedModel(pieces=["Hello ", "there."], told=[])


@pytest.fixture
def make_chat(connection, screen, model):
    """Makes a chat that recalls by words."""

    def make(*, user_id="u1", connection=connection, model=model, screen=screen, knowledge=None, session=None):
        memory = LongTermMemory(connection=connection)
        chat = Chat(Parts(connection, user_id, model, memory, BY_WORDS, knowledge, screen))
        chat.open(session)
        return chat

    return make


@pytest.fixture
def chat(make_chat):
    return make_chat()


@pytest.fixture
def environment(tmp_path):
    """A home of its own, none of the user's settings, and a plain terminal."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TABLESTORE_", "DASHSCOPE_", "XDG_", "LANGSMITH_", "LANGCHAIN_"))
    }
    return kept | {
        "HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm",
        "COLUMNS": "200",
        # Nobody answers the question where the cursor is.
        "PROMPT_TOOLKIT_NO_CPR": "1",
    }


@pytest.fixture
def terminal(environment):
    """Starts commands on pseudo-terminals."""
    started = []

    def start(command, *arguments):
        terminal = Terminal([*command, *map(str, arguments)], environment)
        started.append(terminal)
        return terminal

    yield start
    for each in started:
        each.close()


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs a command in this process, with a text on its standard input."""

    def run(*arguments, typed=""):
        content = typed.encode() if isinstance(typed, str) else typed
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
        capsys.readouterr()
        status = app.run([*map(str, arguments)])
        return Done(status, *capsys.readouterr())

    return run
