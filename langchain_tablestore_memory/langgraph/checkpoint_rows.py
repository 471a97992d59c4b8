"""Checkpoints as rows of the checkpoint table.

All rows of a thread are in one partition, and those of a checkpoint side by side, so that one range read gives a
checkpoint with its pending writes, backward the latest one. Within a thread and a namespace the key column `item` is,
for the checkpoint `C`:

| item | holds |
|---|---|
| `c C NUL ~` | the checkpoint: a bundle of its skeleton, its metadata, and the small values that are new with it |
| `c C NUL w TASK` | what one task wrote after it: a bundle, and special writes (errors, ...) in their own columns |
| `b C NUL NAME NUL NUMBER` | pieces of what does not fit into those rows, large values above all |
| `a C` | what is left of a checkpoint that was removed: values that others still need |

A channel's value is stored once per version, with the checkpoint that it is new with. Later checkpoints say where it
is: a `Place`. Of a list that has grown, such as the messages of a chat, only the new entries are stored (`lists.py`).
Pieces are written before the row that needs them, and that row last: what can be read is complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from langchain_tablestore_memory.core.checks import check_id
from langchain_tablestore_memory.core.ranges import KeyColumns, StoredRow
from langchain_tablestore_memory.core.schema import GlobalIndex, TableSchema
from langchain_tablestore_memory.core.writes import RowWrite, put_row
from langchain_tablestore_memory.errors import InvalidArgumentError

THREAD, NAMESPACE, ITEM = "thread_id", "checkpoint_ns", "item"
RUN = "run_id"
DATA = "data"
"""A bundle, where it fits into the row."""
PIECE = "piece"
"""A piece of a bundle or of a value."""
PIECES = "pieces"
"""Else the number of pieces that it is in."""
PARENT = "parent_id"
PATH = "task_path"
COUNT = "writes"
"""How many regular writes of a task there are."""

SPECIAL = {"error": -1, "scheduled": -2, "interrupt": -3, "resume": -4}
"""Columns of special writes, by the index that LangGraph gives them."""

PIECE_BYTES = 1024 * 1024
"""Bytes of one piece. Three fit into one request."""

MAX_INLINE = 48 * 1024
"""Bytes of a value that is kept in the row of its checkpoint; larger ones are in pieces of their own.

The latest checkpoint is read together with the row before it, which is mostly not needed: this bounds what that costs.
"""

MAX_REWRITTEN = 4 * 1024
"""Bytes of a list that is stored whole when it grows, so that the latest checkpoint is read in one request."""

MAX_CARRIED = 256
"""Bytes of a value that is copied into later checkpoints, so that reading these takes no second request."""

_REMAINS, _PIECE, _CHECKPOINT, _END = "a", "b", "c", "\x00"
"""In this order a copy of a thread, made row by row, never holds a checkpoint without its values."""
_SELF, _TASK = "~", "w"


def checkpoint_schema(table_name: str) -> TableSchema:
    """The checkpoint table as it is made where it does not exist."""
    return TableSchema(
        table_name,
        primary_key=((THREAD, "STRING"), (NAMESPACE, "STRING"), (ITEM, "STRING")),
        columns=((RUN, "STRING"),),
        indexes=(GlobalIndex(f"{table_name}_runs", (RUN, THREAD, NAMESPACE, ITEM)),),
    )


class Run(NamedTuple):
    """Parts that are side by side.

    Attributes:
        checkpoint_id: The checkpoint that they were new with.
        first: The number of the first one, in that checkpoint's bundle or in the pieces.
        length: How many there are.
        pieces: How many pieces they are in; 0 where they are in the bundle.
        name: What the pieces are called.
    """

    checkpoint_id: str
    first: int
    length: int
    pieces: int = 0
    name: str = ""


class Place(NamedTuple):
    """Where a value is.

    Attributes:
        is_list: Whether each part is an entry of a list; otherwise there is one part, which is the value.
        runs: Where the parts are, in order.
    """

    is_list: bool
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of checkpoints: a thread and a namespace.

    Attributes:
        thread_id: The thread.
        namespace: The namespace; the empty string for that of the graph itself.
    """

    thread_id: str
    namespace: str

    def key(self, item: Any) -> KeyColumns:
        """The key of a row."""
        return [(THREAD, self.thread_id), (NAMESPACE, self.namespace), (ITEM, item)]

    def checkpoint(self, checkpoint_id: str) -> KeyColumns:
        """The key of a checkpoint's own row."""
        return self.key(f"{_CHECKPOINT}{checkpoint_id}{_END}{_SELF}")

    def task(self, checkpoint_id: str, task_id: str) -> KeyColumns:
        """The key of what a task wrote."""
        return self.key(f"{_CHECKPOINT}{checkpoint_id}{_END}{_TASK}{task_id}")

    def remains(self, checkpoint_id: str) -> KeyColumns:
        """The key of what is left of a checkpoint that was removed."""
        return self.key(f"{_REMAINS}{checkpoint_id}")

    def piece(self, checkpoint_id: str, name: str, number: int) -> KeyColumns:
        """The key of a piece."""
        return self.key(f"{_PIECE}{checkpoint_id}{_END}{name}{_END}{number:06}")

    def of_checkpoint(self, checkpoint_id: str) -> tuple[KeyColumns, KeyColumns]:
        """The range of a checkpoint with its writes: from the first key, inclusive, to the second, exclusive."""
        return (
            self.key(f"{_CHECKPOINT}{checkpoint_id}{_END}"),
            self.key(f"{_CHECKPOINT}{checkpoint_id}\x01"),
        )

    def backward(self, before: str | None = None) -> tuple[KeyColumns, KeyColumns]:
        """The range of all checkpoints, to be read backward: those before one, all by default."""
        start = _after(_CHECKPOINT) if before is None else f"{_CHECKPOINT}{before}{_END}"
        return self.key(start), self.key(_CHECKPOINT)

    def aside(self) -> tuple[KeyColumns, KeyColumns]:
        """The range of all rows that are not checkpoints or writes: remains and pieces."""
        return self.key(_REMAINS), self.key(_CHECKPOINT)


def _after(prefix: str) -> str:
    return chr(ord(prefix) + 1)


@dataclass(slots=True)
class Item:
    """What the key column `item` says.

    Attributes:
        checkpoint_id: The checkpoint.
        listed: Whether this is the row of a checkpoint, which is there for readers.
        task_id: The task whose writes these are.
        piece: The name of what this is a piece of.
    """

    checkpoint_id: str
    listed: bool = False
    task_id: str | None = None
    piece: str | None = None

    @classmethod
    def of(cls, item: str) -> Item:
        """From the key column."""
        checkpoint_id, _, rest = item[1:].partition(_END)
        if item[0] == _PIECE:
            return cls(checkpoint_id, piece=rest.rpartition(_END)[0])
        if item[0] == _REMAINS:
            return cls(checkpoint_id)
        return cls(checkpoint_id, listed=True) if rest == _SELF else cls(checkpoint_id, task_id=rest[1:])


@dataclass(slots=True)
class Pieces:
    """Rows of pieces that are to be written before another row.

    Attributes:
        table: The table.
        line: The line of checkpoints.
        checkpoint_id: The checkpoint.
        writes: The rows so far.
    """

    table: str
    line: Line
    checkpoint_id: str
    writes: list[RowWrite] = field(default_factory=list)

    def add(self, name: str, data: bytes) -> int:
        """Cut bytes into pieces. Returns how many these are."""
        for number, start in enumerate(range(0, len(data), PIECE_BYTES)):
            key = self.line.piece(self.checkpoint_id, name, number)
            columns = [(PIECE, bytearray(data[start : start + PIECE_BYTES]))]
            self.writes.append(put_row(self.table, key, columns, name=f"a piece of {self.checkpoint_id!r}"))
        return -(-len(data) // PIECE_BYTES)

    def columns(self, name: str, data: bytes) -> list[tuple[str, Any]]:
        """The columns of a row for a bundle: with the bundle, or with the number of pieces that it is cut into."""
        if len(data) <= PIECE_BYTES:
            return [(DATA, bytearray(data))]
        return [(PIECES, self.add(name, data))]


def check_part(value: Any, name: str, *, empty: bool = False) -> str:
    """Check an id that becomes part of a key.

    Raises:
        InvalidArgumentError: It is no str, empty where it may not be, too long, or holds a NUL.
    """
    if empty and value == "":
        return ""
    checked = check_id(value, name)
    if _END in checked:
        raise InvalidArgumentError(f"{name} holds a NUL character. Give one without.")
    return checked


def line_of_row(row: StoredRow) -> Line:
    """The line of checkpoints that a row belongs to."""
    return Line(row.key[THREAD], row.key[NAMESPACE])


def line_of(configurable: Mapping[str, Any]) -> Line:
    """The line of checkpoints that a configuration names.

    Raises:
        InvalidArgumentError: It names no thread, or a name that cannot be one.
    """
    if "thread_id" not in configurable:
        raise InvalidArgumentError('The configuration names no thread. Give {"configurable": {"thread_id": ...}}.')
    thread_id = configurable["thread_id"]
    return Line(
        check_id(str(thread_id) if isinstance(thread_id, int) else thread_id, "thread_id"),
        check_namespace(configurable.get("checkpoint_ns") or ""),
    )


def check_namespace(namespace: Any) -> str:
    """Check a namespace of checkpoints; the empty one is that of the graph itself."""
    return "" if namespace == "" else check_id(namespace, "checkpoint_ns")
