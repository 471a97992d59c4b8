"""Threads as sessions of the session table, so that a user's threads can be listed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tablestore import ComparatorType, Condition, RowExistenceExpectation, SingleColumnCondition

from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.checks import check_id
from langchain_tablestore_memory.core.conversations import conversation_of
from langchain_tablestore_memory.core.session_rows import CONVERSATION, UPDATE_TIME, session_key, session_name
from langchain_tablestore_memory.core.sessions import SessionRegistry
from langchain_tablestore_memory.core.writes import RowWrite, update_row
from langchain_tablestore_memory.errors import ConfigurationError
from langchain_tablestore_memory.langgraph.checkpoint_rows import Line


class SessionWrites(NamedTuple):
    """The write that brings a session into being, or up to date.

    Attributes:
        first: It also says where the session's messages are. It fails where the session has them elsewhere.
        otherwise: Then this is written.
    """

    first: RowWrite
    otherwise: RowWrite


def session_writes(table: str, configurable: Mapping[str, Any], line: Line, now: int) -> SessionWrites | None:
    """What to write for a checkpoint; None for those of subgraphs, and where no user is named.

    Only the time is set: titles, previews and counts are kept by those who write messages.

    Args:
        table: The session table.
        configurable: What the configuration says.
        line: Where the checkpoint is.
        now: The time.

    Raises:
        InvalidArgumentError: The user's id cannot be stored.
    """
    user_id = configurable.get("user_id")
    if line.namespace or user_id is None or user_id == "":
        return None
    user_id = check_id(str(user_id) if type(user_id) is int else user_id, "user_id")
    conversation = conversation_of(user_id, line.thread_id)
    key, name = session_key(user_id, line.thread_id), session_name(line.thread_id)
    same = SingleColumnCondition(CONVERSATION, conversation, ComparatorType.EQUAL, pass_if_missing=True)
    return SessionWrites(
        update_row(
            table,
            key,
            [(UPDATE_TIME, now), (CONVERSATION, conversation)],
            name=name,
            condition=Condition(RowExistenceExpectation.IGNORE, same),
        ),
        update_row(table, key, [(UPDATE_TIME, now)], name=name),
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
