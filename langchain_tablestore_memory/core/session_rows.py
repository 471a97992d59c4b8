"""Sessions as rows of the session table, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_tablestore_memory.core.checks import check_id, check_time
from langchain_tablestore_memory.core.columns import (
    METADATA_COLUMN,
    MetaType,
    continuation_columns,
    decode_metadata,
    encode_metadata,
    is_metadata_column,
)
from langchain_tablestore_memory.core.ranges import KeyColumns, StoredRow
from langchain_tablestore_memory.core.records import Session
from langchain_tablestore_memory.core.schema import LocalIndex, TableSchema
from langchain_tablestore_memory.core.writes import column_changes
from langchain_tablestore_memory.errors import ConfigurationError, InvalidArgumentError

UPDATE_TIME = "update_time"
TITLE = "lc_title"
"""The name that was given to the session."""
OPENING = "lc_opening"
"""The beginning of its first message, which names it where nobody did."""
PREVIEW = "lc_preview"
"""The beginning of its last message."""
MESSAGE_COUNT = "lc_message_count"
LAST_WRITE = "lc_last_write"
"""A token of the last write by those who have to know whether others like them have written since."""
CONVERSATION = "lc_conversation"
"""Where its messages are in the message table. Rows of other tools have no such column: there it is the session id."""

OWN_COLUMNS = {TITLE: "STRING", OPENING: "STRING", PREVIEW: "STRING", MESSAGE_COUNT: "INTEGER"}
"""What lists show of a session, besides its metadata."""

MAX_TITLE = 200
"""Characters of a title."""

_EXCERPT = 80
_KEY = ("user_id", "session_id")
_RESERVED = frozenset({*_KEY, UPDATE_TIME})
_METADATA_COLUMNS = (METADATA_COLUMN, *continuation_columns(METADATA_COLUMN))


@dataclass(frozen=True, slots=True)
class WriteToken:
    """Marks a write of a session's row, so that whoever wrote before can tell that it is not the last one any more.

    Attributes:
        token: What marks this write; no other one is marked so.
        known: What marked the last write that is known; None where there was none.
        checked: Whether to write only where that is still the last one. Such a write is harmless to repeat, and counts
            exactly once.
    """

    token: str
    known: str | None
    checked: bool = True


def session_schema(
    table_name: str,
    index_name: str | None,
    metadata_columns: Mapping[str, MetaType],
    *,
    own_columns: bool = True,
) -> TableSchema:
    """The session table as it is made where it does not exist.

    Args:
        table_name: The table.
        index_name: The local index by time; `{table_name}_secondary_index` by default.
        metadata_columns: Metadata that the index carries.
        own_columns: Whether it carries titles, counts and previews as well.

    Raises:
        ConfigurationError: A column cannot be carried.
    """
    for name, kind in metadata_columns.items():
        if not isinstance(name, str):
            raise ConfigurationError(f"The name of metadata column {name!r} is a {type(name).__name__}. Give a str.")
        if not isinstance(kind, MetaType):
            raise ConfigurationError(f"The type of metadata column {name!r} is {kind!r}. Give a MetaType.")
        if name != UPDATE_TIME and not is_session_metadata(name):
            raise ConfigurationError(
                f"Metadata {name!r} cannot be carried by an index: names of columns begin with a letter and hold "
                "letters, digits and underscores; lc_..., user_id and session_id are taken."
            )
    carried = {name: kind.value for name, kind in metadata_columns.items() if name != UPDATE_TIME}
    if own_columns:
        carried.update(OWN_COLUMNS)
    return TableSchema(
        table_name,
        primary_key=(("user_id", "STRING"), ("session_id", "STRING")),
        columns=(*carried.items(), (UPDATE_TIME, "INTEGER")),
        indexes=(
            LocalIndex(
                index_name or f"{table_name}_secondary_index",
                ("user_id", UPDATE_TIME, "session_id"),
                tuple(carried),
            ),
        ),
    )


def session_key(user_id: Any, session_id: Any) -> KeyColumns:
    """The key of a session's row."""
    return [("user_id", user_id), ("session_id", session_id)]


def session_name(session_id: str) -> str:
    """What a session is called in errors."""
    return f"session {session_id!r}"


def is_session_metadata(name: str) -> bool:
    """Whether metadata of this name can be a column of its own."""
    return is_metadata_column(name, reserved=_RESERVED)


def encode_session(session: Session) -> list[tuple[str, Any]]:
    """The columns for time and metadata.

    Raises:
        InvalidArgumentError: The session cannot be stored; says why.
    """
    if not isinstance(session, Session):
        raise InvalidArgumentError(
            f"A {type(session).__name__} was given for a session. Give a Session(user_id=..., session_id=...)."
        )
    check_id(session.user_id, "user_id")
    check_id(session.session_id, "session_id")
    columns = encode_metadata(session.metadata, reserved=_RESERVED)
    return [*columns, (UPDATE_TIME, check_time(session.update_time, UPDATE_TIME))]


def decode_session(row: StoredRow) -> Session:
    """The session in a row of the table or of its index, whoever wrote it."""
    columns = row.columns
    return Session(
        row.key["user_id"],
        row.key["session_id"],
        row.key[UPDATE_TIME] if UPDATE_TIME in row.key else columns.get(UPDATE_TIME, 0),
        decode_metadata(columns, reserved=_RESERVED),
        title=columns.get(TITLE) or columns.get(OPENING),
        message_count=columns.get(MESSAGE_COUNT),
        preview=columns.get(PREVIEW),
    )


def conversation_in(row: StoredRow) -> str:
    """Where the messages of the session in a row are."""
    return str(row.columns.get(CONVERSATION, row.key["session_id"]))


def session_changes(row: StoredRow, session: Session) -> dict[str, list[Any]]:
    """What to update in a row so that it holds the session's time and metadata; empty if nothing."""
    wanted = dict(encode_session(session))
    stored = {
        name: value
        for name, value in row.columns.items()
        if name == UPDATE_TIME or name in _METADATA_COLUMNS or not name.startswith("lc_")
    }
    put, delete = column_changes(stored, wanted)
    return {kind: list(columns) for kind, columns in (("PUT", put), ("DELETE_ALL", delete)) if columns}


def check_title(title: Any) -> str:
    """Check the name of a session.

    Raises:
        InvalidArgumentError: It is no str, blank, or longer than 200 characters.
    """
    if not isinstance(title, str) or not title.strip():
        raise InvalidArgumentError("The title is empty or no str. Give one that can be read.")
    if len(title) > MAX_TITLE:
        raise InvalidArgumentError(f"The title has {len(title)} characters. Give at most {MAX_TITLE}.")
    check_id(title, "title")
    return title.strip()


def excerpt(text: str) -> str:
    """The beginning of a text, on one line, for titles and previews."""
    line = " ".join(text[: 4 * _EXCERPT].split())
    return line if len(line) <= _EXCERPT else line[: _EXCERPT - 1].rstrip() + "…"


def index_key(user_id: Any, update_time: Any, session_id: Any) -> KeyColumns:
    """A key of the index by time."""
    return [("user_id", user_id), (UPDATE_TIME, update_time), ("session_id", session_id)]
