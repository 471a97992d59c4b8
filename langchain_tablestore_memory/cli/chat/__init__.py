"""``tablestore-memory chat``: talk with a model that remembers."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_tablestore_memory.cli.chat.chat import Chat, Parts
from langchain_tablestore_memory.cli.chat.models import choose_model, choose_recall
from langchain_tablestore_memory.cli.chat.piped import PlainScreen, run_piped
from langchain_tablestore_memory.cli.chat.remembering import open_memory
from langchain_tablestore_memory.cli.places import open_place, place_of
from langchain_tablestore_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_tablestore_memory.cli.chat.knowledge import Knowledge
    from langchain_tablestore_memory.cli.chat.models import Recall
    from langchain_tablestore_memory.cli.chat.screen import Screen
    from langchain_tablestore_memory.connection import Connection

_SECONDS_PER_PIECE = 0.012
"""Pace of the stand-in on a terminal; elsewhere it does not wait."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line.

    Attributes:
        endpoint: The address.
        data: The folder of the embedded engine.
        user_id: Who chats.
        session: The conversation to go on with.
        model: The chat model.
        embedding: The embedding model.
        knowledge: A folder to look things up in.
    """

    endpoint: str | None
    data: Path | None
    user_id: str
    session: str | None
    model: str | None
    embedding: str | None
    knowledge: Path | None


def chat(options: Options) -> int:
    """Chat on the terminal, or with what comes through a pipe.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: Something that was asked for cannot be had; says what.
        ServiceError: The service refused, or cannot be reached.
    """
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    model = choose_model(options.model, delay=_SECONDS_PER_PIECE if on_terminal else 0)
    recall = choose_recall(options.embedding)
    with open_place(options.endpoint, options.data) as connection:
        memory, recall = open_memory(connection, recall)
        screen: Screen
        if on_terminal:
            from langchain_tablestore_memory.cli.chat.terminal import TerminalScreen, run_terminal

            screen = terminal = TerminalScreen()
        else:
            screen = plain = PlainScreen(sys.stdout, sys.stderr)
        screen.greet(f"{place_of(connection)}, user {options.user_id}. Memories are recalled {recall.description}.")
        screen.greet(f"Model: {model.description}")
        knowledge = _open_knowledge(connection, options.knowledge, recall, screen)
        parts = Parts(connection, options.user_id, model.model, memory, recall, knowledge, screen)
        conversation = Chat(parts)
        conversation.open(options.session)
        if on_terminal:
            return run_terminal(conversation, terminal)
        return run_piped(conversation, sys.stdin, plain)


def _open_knowledge(connection: Connection, folder: Path | None, recall: Recall, screen: Screen) -> Knowledge | None:
    """The knowledge in a folder, brought up to date with it."""
    if folder is None:
        return None
    from langchain_tablestore_memory.cli.chat.folder import LeftOut, text_files
    from langchain_tablestore_memory.cli.chat.knowledge import Knowledge

    try:
        folder = folder.expanduser().absolute()
    except RuntimeError as error:
        raise ConfigurationError(
            f"The folder {folder} has no place ({error}). Pass --knowledge another one."
        ) from error
    left_out = LeftOut()
    files = text_files(folder, left_out)
    knowledge = Knowledge(connection, folder, recall)
    with screen.progress(f"Reading {folder.name}", len(files)) as tell:
        changes = knowledge.update(files, left_out, tell)
    for line in left_out:
        screen.greet(line)
    screen.greet(f"Knowledge from {folder}: {changes}.")
    return knowledge
