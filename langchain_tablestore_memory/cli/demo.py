"""``tablestore-memory demo``: conversations that are kept, listed, and resumed by another process."""
# ruff: noqa: RUF001 - Chinese punctuation is meant

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import warnings
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import ConfigurableFieldSpec
from langchain_core.runnables.history import RunnableWithMessageHistory
from rich.console import Console
from rich.table import Table

from langchain_tablestore_memory import OfflineChatModel, SessionRegistry, TablestoreChatMessageHistory, connect

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

    from langchain_tablestore_memory import Connection

USER = "demo"
RESUME = "demo-resume"
"""The hidden command that the second process runs."""

_SECONDS_PER_PIECE = 0.012
"""Pace of the stand-in on a terminal; elsewhere it does not wait."""


class Conversation(NamedTuple):
    """A conversation of the script.

    Attributes:
        session_id: Its id.
        said: What the user says in it, one line per turn.
    """

    session_id: str
    said: tuple[str, ...]


ENGLISH = Conversation(
    "english",
    (
        "Hi! My name is Mei, I live in Hangzhou and I work as a data engineer.",
        "I love green tea and hiking, and I have a cat called Mochi.",
        "Which city do I live in?",
    ),
)
CHINESE = Conversation("chinese", ("你好，我叫小林，我喜欢吃小笼包。", "我下个月打算去西安旅行。", "我喜欢吃什么？"))
RESUMED = Conversation(ENGLISH.session_id, ("What is my cat called?", "How many questions did I ask so far?"))


def demo(folder: Path | None) -> int:
    """Run the demonstration.

    Args:
        folder: Where the conversations are kept; None for a temporary folder, removed at the end.

    Returns:
        The exit status: that of the second process.

    Raises:
        ConfigurationError: If the folder cannot be written.
    """
    console = Console(highlight=False)
    with contextlib.ExitStack() as stack:
        kept_in = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tablestore-memory-")))
        with connect(f"local:{kept_in}") as connection:
            console.rule("[bold]A chat that remembers")
            _caption(
                console,
                "The model is an offline stand-in: a set of rules, no language model. "
                f"The store is the embedded Tablestore, in {kept_in}.",
            )
            for number, conversation in enumerate((ENGLISH, CHINESE), start=1):
                _heading(console, f"{number}. Conversation “{conversation.session_id}”, in process {os.getpid()}")
                _talk(console, connection, conversation)
            _heading(console, "3. The user's conversations, the most recently active first")
            console.print(_listing(connection))
        _heading(console, f"4. Another process opens the folder and resumes “{RESUMED.session_id}”")
        sys.stdout.flush()
        status = _run_again(RESUME, "--data", str(kept_in))
        if status == 0:
            rest = "The temporary folder is removed now; --data DIR keeps one." if folder is None else f"See {kept_in}."
            _caption(console, f"The answers came from the stored messages alone. {rest}")
    return status


def resume(folder: Path) -> None:
    """The second process: continue a conversation that the first one began.

    Args:
        folder: Where the conversations are kept.
    """
    console = Console(highlight=False)
    with connect(f"local:{folder}") as connection:
        history = TablestoreChatMessageHistory(RESUMED.session_id, user_id=USER, connection=connection)
        _caption(console, f"Process {os.getpid()} finds {len(history.messages)} messages.")
        _talk(console, connection, RESUMED)


def _talk(console: Console, connection: Connection, conversation: Conversation) -> None:
    """Say the lines of a conversation, each answer streamed as it comes and both kept."""
    chain = _chain(connection, OfflineChatModel(delay=_SECONDS_PER_PIECE if console.is_terminal else 0))
    config: RunnableConfig = {"configurable": {"user_id": USER, "session_id": conversation.session_id}}
    for line in conversation.said:
        console.print("[bold cyan]     you[/]  ", end="")
        console.print(line, markup=False)
        console.print("[bold green]stand-in[/]  ", end="")
        for chunk in chain.stream({"question": line}, config):
            console.print(chunk.text, end="", markup=False, soft_wrap=True)
        console.print()


def _chain(connection: Connection, model: OfflineChatModel) -> RunnableWithMessageHistory:
    def history(user_id: str, session_id: str) -> TablestoreChatMessageHistory:
        return TablestoreChatMessageHistory(session_id, user_id=user_id, connection=connection)

    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{question}")])
    with warnings.catch_warnings():
        # langchain-core would rather see LangGraph's state used; chains of this kind are what is shown here.
        warnings.filterwarnings("ignore", message=r".*RunnableWithMessageHistory")
        return RunnableWithMessageHistory(
            prompt | model,
            history,
            input_messages_key="question",
            history_messages_key="history",
            history_factory_config=[
                ConfigurableFieldSpec(id=name, annotation=str, is_shared=True) for name in ("user_id", "session_id")
            ],
        )


def _listing(connection: Connection) -> Table:
    table = Table("Title", "Messages", "Last active")
    table.columns[1].justify = "right"
    for session in SessionRegistry(connection).list(USER).items:
        active = datetime.fromtimestamp(session.update_time / 1_000_000).astimezone()
        table.add_row(session.title, str(session.message_count), f"{active:%Y-%m-%d %H:%M:%S}")
    return table


def _run_again(*arguments: str) -> int:
    """Run this command line in a process of its own, on the same terminal."""
    return subprocess.run(  # noqa: S603 - this interpreter, this package
        [sys.executable, "-m", "langchain_tablestore_memory.cli", *arguments], check=False
    ).returncode


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(text, style="bold", markup=False)


def _caption(console: Console, text: str) -> None:
    console.print(text, style="dim", markup=False)
