"""``tablestore-memory demo``: conversations are kept and resumed, documents searched, and answers made of both."""
# ruff: noqa: RUF001 - Chinese punctuation is meant

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import ConfigurableFieldSpec, RunnablePassthrough
from langchain_core.runnables.history import RunnableWithMessageHistory
from rich.console import Console
from rich.table import Table

from langchain_tablestore_memory import OfflineChatModel, SessionRegistry, TablestoreChatMessageHistory, connect
from langchain_tablestore_memory.cli.demo_knowledge import QUESTIONS, Knowledge

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable, RunnableConfig

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
INFORMED = (
    Conversation(ENGLISH.session_id, ("What could I do at the weekend?",)),
    Conversation(CHINESE.session_id, ("我旅行的时候吃什么好？",)),
)


def demo(folder: Path | None) -> int:
    """Run the demonstration.

    Args:
        folder: Where the conversations are kept; None for a temporary folder, removed at the end.

    Returns:
        The exit status: that of the second process.

    Raises:
        ConfigurationError: If the folder cannot be written.
    """
    # A missing dictionary is worth a warning in a log; here it is told along with what else is missing.
    logging.getLogger("langchain_tablestore_memory").setLevel(logging.ERROR)
    console = Console(highlight=False)
    with contextlib.ExitStack() as stack:
        kept_in = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tablestore-memory-")))
        with connect(f"local:{kept_in}") as connection:
            _remember(console, connection, kept_in)
        _heading(console, f"4. Another process opens the folder and resumes “{RESUMED.session_id}”")
        sys.stdout.flush()
        status = _run_again(RESUME, "--data", str(kept_in))
        if status == 0:
            _caption(console, "The answers came from the stored messages alone.")
            with connect(f"local:{kept_in}") as connection:
                _retrieve(console, connection)
            rest = "The temporary folder is removed now; --data DIR keeps one." if folder is None else f"See {kept_in}."
            _caption(console, rest)
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
        _talk(console, _remembering(connection, _answering(console)), RESUMED)


def _remember(console: Console, connection: Connection, kept_in: Path) -> None:
    """The first part: conversations are kept and listed."""
    console.rule("[bold]A chat that remembers")
    _caption(
        console,
        "The model is an offline stand-in: a set of rules, no language model. "
        f"The store is the embedded Tablestore, in {kept_in}.",
    )
    for number, conversation in enumerate((ENGLISH, CHINESE), start=1):
        _heading(console, f"{number}. Conversation “{conversation.session_id}”, in process {os.getpid()}")
        _talk(console, _remembering(connection, _answering(console)), conversation)
    _heading(console, "3. The user's conversations, the most recently active first")
    console.print(_listing(connection))


def _retrieve(console: Console, connection: Connection) -> None:
    """The last part: documents are searched, and answers made of what they say and of what the user said."""
    knowledge = Knowledge(connection)
    documents, paragraphs = knowledge.add()
    _heading(console, f"5. Questions to {documents} documents in English and Chinese, {paragraphs} paragraphs in all")
    if knowledge.missing:
        _caption(console, f"They are searched by words alone, as there is no embedding model. {knowledge.missing}")
    table = Table("Question", *knowledge.searches)
    for question in QUESTIONS:
        table.add_row(question, *(knowledge.found(question, kind) or "–" for kind in knowledge.searches.values()))
    console.print(table)
    if not knowledge.missing:
        _caption(console, "Meaning crosses languages, words are exact, and both together miss neither.")
    _heading(console, "6. Answers from both: what the user said, and what the documents say")
    for conversation in INFORMED:
        _talk(console, _remembering(connection, _answering(console, knowledge)), conversation)
    _caption(console, "In brackets: the document that an answer is from.")


def _talk(console: Console, chain: Runnable[Any, Any], conversation: Conversation) -> None:
    """Say the lines of a conversation, each answer streamed as it comes and both kept."""
    config: RunnableConfig = {"configurable": {"user_id": USER, "session_id": conversation.session_id}}
    for line in conversation.said:
        console.print("[bold cyan]     you[/]  ", end="")
        console.print(line, markup=False)
        console.print("[bold green]stand-in[/]  ", end="")
        for chunk in chain.stream({"question": line}, config):
            console.print(chunk.text, end="", markup=False, soft_wrap=True)
        console.print()


def _answering(console: Console, knowledge: Knowledge | None = None) -> Runnable[Any, Any]:
    """A prompt and the model; with knowledge, the prompt holds what it says on the conversation."""
    model = OfflineChatModel(delay=_SECONDS_PER_PIECE if console.is_terminal else 0)
    conversation = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{question}")])
    if knowledge is None:
        return conversation | model
    prompt = ChatPromptTemplate.from_messages([("system", "{passages}"), conversation])
    return RunnablePassthrough.assign(passages=knowledge.passages) | prompt | model


def _remembering(connection: Connection, answering: Runnable[Any, Any]) -> RunnableWithMessageHistory:
    def history(user_id: str, session_id: str) -> TablestoreChatMessageHistory:
        return TablestoreChatMessageHistory(session_id, user_id=user_id, connection=connection)

    with warnings.catch_warnings():
        # langchain-core would rather see LangGraph's state used; chains of this kind are what is shown here.
        warnings.filterwarnings("ignore", message=r".*RunnableWithMessageHistory")
        return RunnableWithMessageHistory(
            answering,
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
