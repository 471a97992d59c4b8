"""The file format of `export` and `import`: JSON lines, one conversation, message or memory in each.

What JSON has no value for, such as bytes and tuples in metadata, is written with tags (see `core.tagged_json`), so all
of it returns equal. The body of a message is the JSON text that the message table holds: type, tool calls and all else.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from langchain_tablestore_memory import message_codec
from langchain_tablestore_memory.core import tagged_json
from langchain_tablestore_memory.core.checks import check_id, check_time
from langchain_tablestore_memory.core.memories import (
    Memory,
    check_memory_metadata,
    check_memory_text,
)
from langchain_tablestore_memory.core.session_rows import check_title
from langchain_tablestore_memory.errors import TablestoreMemoryError

FORMAT = "tablestore-memory"
VERSION = 1

_SESSION, _MESSAGE, _MEMORY = "session", "message", "memory"
_CUSTOM_CLASS = '"$class"'
"""In bodies of messages whose class is the application's own. They are copied as they are."""


class BrokenLineError(Exception):
    """A line that cannot be read. Says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: what the file is."""


@dataclass(frozen=True, slots=True)
class SessionLine:
    """A conversation.

    Attributes:
        user_id: Whose it is.
        session_id: Its id.
        update_time: When it was last active, in microseconds since 1970-01-01 UTC.
        title: The name that was given to it; None where it has none but the beginning of its first message.
        metadata: What the application keeps with it.
    """

    user_id: str
    session_id: str
    update_time: int
    title: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MessageLine:
    """A message.

    Attributes:
        user_id: Whose conversation it belongs to.
        session_id: The conversation.
        message_id: Its id.
        create_time: Its place, in microseconds since 1970-01-01 UTC.
        content: Its text.
        body: All that its text does not say, as the message table holds it; None for messages of other tools.
        metadata: What the application keeps with it.
    """

    user_id: str
    session_id: str
    message_id: str
    create_time: int
    content: str | None = None
    body: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MemoryLine:
    """A memory.

    Attributes:
        user_id: Whose it is.
        memory: What is remembered.
    """

    user_id: str
    memory: Memory


Record = Header | SessionLine | MessageLine | MemoryLine

_MEMORY_FIELDS = tuple(each.name for each in dataclasses.fields(Memory) if each.name != "score")


def encode_line(record: Record) -> str:
    """A record as a line, its line feed included.

    Example:
        ```python
        encode_line(SessionLine("u1", "s1", 0))  # '{"kind":"session","user_id":"u1","session_id":"s1",...}'
        ```
    """
    if isinstance(record, Header):
        return tagged_json.dumps({"kind": FORMAT, "version": VERSION}) + "\n"
    if isinstance(record, MemoryLine):
        content = {"user_id": record.user_id, **{name: getattr(record.memory, name) for name in _MEMORY_FIELDS}}
        kind = _MEMORY
    else:
        content = {each.name: getattr(record, each.name) for each in dataclasses.fields(record)}
        kind = _SESSION if isinstance(record, SessionLine) else _MESSAGE
    kept = {name: value for name, value in content.items() if value is not None and value != {}}
    return tagged_json.dumps({"kind": kind, **kept}) + "\n"


def decode_line(line: bytes) -> Record:
    """The record in a line.

    Raises:
        BrokenLineError: There is none; says why.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise BrokenLineError(f"it is no UTF-8 text (byte {error.start})") from None
    try:
        content = tagged_json.loads(text, name="the line")
    except TablestoreMemoryError:
        raise BrokenLineError("it is no JSON") from None
    if not isinstance(content, dict):
        raise BrokenLineError("it is no JSON object")
    kind = content.pop("kind", None)
    fields = _Fields(content)
    try:
        record = _record(kind, fields)
        if fields.left:
            raise BrokenLineError(f"{', '.join(map(repr, sorted(fields.left)))} is nothing that a {kind} has")
    except TablestoreMemoryError as error:
        raise BrokenLineError(str(error)) from None
    return record


def _record(kind: Any, fields: _Fields) -> Record:
    if kind == FORMAT:
        version = fields.take("version", int)
        if version != VERSION:
            raise BrokenLineError(f"the format has version {version}, and only {VERSION} is known here")
        return Header()
    if kind not in {_SESSION, _MESSAGE, _MEMORY}:
        raise BrokenLineError(f"its kind is {kind!r}, not {_SESSION}, {_MESSAGE} or {_MEMORY}")
    user_id = check_id(fields.take("user_id", str), "user_id")
    if kind == _MEMORY:
        return MemoryLine(user_id, _memory(fields))
    session_id = check_id(fields.take("session_id", str), "session_id")
    if kind == _SESSION:
        title = fields.find("title", str)
        return SessionLine(
            user_id,
            session_id,
            check_time(fields.take("update_time", int), "update_time"),
            None if title is None else check_title(title),
            fields.find("metadata", dict) or {},
        )
    message = MessageLine(
        user_id,
        session_id,
        check_id(fields.take("message_id", str), "message_id"),
        check_time(fields.take("create_time", int), "create_time"),
        fields.find("content", str),
        fields.find("body", str),
        fields.find("metadata", dict) or {},
    )
    if message.body is not None and _CUSTOM_CLASS not in message.body:
        message_codec.decode(message.content, message.body, message_id=message.message_id)
    return message


def _memory(fields: _Fields) -> Memory:
    return Memory(
        check_id(fields.take("memory_id", str), "memory_id"),
        check_memory_text(fields.take("text", str)),
        session_id=fields.find("session_id", str),
        role=fields.find("role", str),
        message_id=fields.find("message_id", str),
        created_at=check_time(fields.take("created_at", int), "created_at"),
        updated_at=check_time(fields.take("updated_at", int), "updated_at"),
        expires_at=fields.find("expires_at", int),
        metadata=check_memory_metadata(fields.find("metadata", dict) or {}),
    )


class _Fields:
    """The fields of a line, taken one by one."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.left = content

    def take(self, name: str, kind: type) -> Any:
        """A field that has to be there."""
        if self.left.get(name) is None:
            raise BrokenLineError(f"it has no {name}")
        return self.find(name, kind)

    def find(self, name: str, kind: type) -> Any:
        """A field that may be missing; then None."""
        value = self.left.pop(name, None)
        if value is not None and type(value) is not kind:
            raise BrokenLineError(f"its {name} is a {type(value).__name__}, not a {kind.__name__}")
        return value
