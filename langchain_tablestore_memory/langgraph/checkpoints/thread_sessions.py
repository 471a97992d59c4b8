"""Threads as sessions of the session table, so that a user's threads can be listed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tablestore import Condition, RowExistenceExpectation

from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.checks import check_id
from langchain_tablestore_memory.core.conversations import conversation_of
from langchain_tablestore_memory.core.session_rows import CONVERSATION, UPDATE_TIME, session_key, session_name
from langchain_tablestore_memory.core.sessions import SessionRegistry
from langchain_tablestore_memory.core.writes import RowWrite, update_row
from langchain_tablestore_memory.errors import ConfigurationError
from langchain_tablestore_memory.langgraph.checkpoints.rows import Line


class SessionWrites(NamedTuple):
    """The write that brings a session into being, or up to date.

    Attributes:
        first: What to write; it fails where the session is there though it should not be, or the other way round.
        otherwise: Then this is written.
    """

    first: RowWrite
    otherwise: RowWrite


def session_writes(
    table: str, configurable: Mapping[str, Any], line: Line, now: int, *, begins: bool
) -> SessionWrites | None:
    """What to write for a checkpoint; None for those of subgraphs, and where no user is named.

    A session that is there gets a new time and nothing else: titles, previews, counts and where its messages are is up
    to those who write messages.

    Args:
        table: The session table.
        configurable: What the configuration says.
        line: Where the checkpoint is.
        now: The time.
        begins: Whether the thread begins with this checkpoint.

    Raises:
        InvalidArgumentError: The user's id cannot be stored.
    """
    user_id = configurable.get("user_id")
    if line.namespace or user_id is None or user_id == "":
        return None
    user_id = check_id(str(user_id) if type(user_id) is int else user_id, "user_id")
    made = [(UPDATE_TIME, now), (CONVERSATION, conversation_of(user_id, line.thread_id))]
    touched = [(UPDATE_TIME, now)]

    def write(columns: list[tuple[str, Any]], expectation: str) -> RowWrite:
        key, name = session_key(user_id, line.thread_id), session_name(line.thread_id)
        return update_row(table, key, columns, name=name, condition=Condition(expectation))

    if begins:
        return SessionWrites(
            write(made, RowExistenceExpectation.EXPECT_NOT_EXIST), write(touched, RowExistenceExpectation.IGNORE)
        )
    return SessionWrites(
        write(touched, RowExistenceExpectation.EXPECT_EXIST), write(made, RowExistenceExpectation.IGNORE)
    )


def connection_of(connection: Any, sessions: SessionRegistry | None) -> Connection:
    """The connection of a saver that lists its threads.

    Raises:
        ConfigurationError: The sessions are no registry, or on another connection.
    """
    if sessions is None:
        return Connection.of(connection)
    if not isinstance(sessions, SessionRegistry):
        raise ConfigurationError(f"sessions is a {type(sessions).__name__}. Give a SessionRegistry.")
    theirs = sessions.table.connection
    # Connections over one client know the same tables.
    if connection is not None and Connection.of(connection).tables is not theirs.tables:
        raise ConfigurationError("sessions is on another connection. Give both the same one.")
    return theirs
