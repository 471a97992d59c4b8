"""Checkpoints as rows of the checkpoint table.

All rows of a thread are in one partition, and those of a checkpoint side by side, so that one range read gives a
checkpoint with its pending writes, backward the latest one. Within a thread and a namespace the key column `item` is,
for the checkpoint `C`:

| item | holds |
|---|---|
| `c C NUL ~` | the checkpoint: a bundle of its skeleton, its metadata, and the small values that are new with it |
| `c C NUL w TASK` | what one task wrote after it: a bundle, and special writes (errors, ...) in columns of their own |
| `b C NUL NAME NUL NUMBER` | pieces of what does not fit into those rows, large values above all |
| `a C` | what is left of a checkpoint that was removed: values that others still need |

A channel's value is stored once per version, with the checkpoint that it is new with. Later checkpoints say where it
is: a `Place`. Of a list that has grown, such as the messages of a chat, only the new entries are stored (`values.py`).

What can be read is complete: pieces are written before the row that needs them, and a row is written in one go. The
name of pieces is made of their content, so that pieces are never overwritten with others.

Each row says when it was written. A thread is as old as its youngest row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tablestore import INF_MAX, INF_MIN

from langchain_tablestore_memory.core.ranges import KeyColumns, StoredRow
from langchain_tablestore_memory.core.schema import GlobalIndex, TableSchema
from langchain_tablestore_memory.core.writes import RowWrite, put_row

THREAD, NAMESPACE, ITEM = "thread_id", "checkpoint_ns", "item"
RUN = "run_id"
WRITTEN = "written"
"""When the row was written, in microseconds since 1970-01-01 UTC."""
DATA = "data"
"""A bundle; or, as text, where its pieces are."""
PIECE = "piece"
"""A piece of a bundle."""
PATH = "task_path"
"""What a task's writes are ordered by, but for those that say so themselves: the special ones, and those put apart."""
COUNT = "writes"
"""How many regular writes of a task there are."""

SPECIAL = {"error": -1, "scheduled": -2, "interrupt": -3, "resume": -4}
"""Columns of special writes, by the index that LangGraph gives them. They hold what `DATA` does."""

BUNDLES = (*SPECIAL, DATA)
"""Columns that hold bundles."""

PIECE_BYTES = 1024 * 1024
"""Bytes of one piece. Three fit into one request."""

MAX_IN_ROW = 256 * 1024
"""Bytes of a bundle that is kept in its row; a task's row holds up to five, and is written in one request of 4 MB."""

PIECE_NAME_LENGTH = 24
"""Characters of the name of pieces: hexadecimal digits of a digest of what is in them."""

_CHECKPOINT, _PIECE, _REMAINS = "c", "b", "a"
"""In this order a copy of a thread, made row by row, never holds a checkpoint without its values."""
_END = "\x00"
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
        first: The number of the first one in that checkpoint's bundle, or in the bundle that is in pieces.
        length: How many there are.
        pieces: Where the pieces are; empty where the parts are in the row of the checkpoint.
    """

    checkpoint_id: str
    first: int
    length: int
    pieces: str = ""


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

    @classmethod
    def of(cls, row: StoredRow) -> Line:
        """The line of checkpoints that a row belongs to."""
        return cls(row.key[THREAD], row.key[NAMESPACE])

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
        """The range of a checkpoint with its writes, to be read backward."""
        return self.key(f"{_CHECKPOINT}{checkpoint_id}\x01"), self.key(f"{_CHECKPOINT}{checkpoint_id}{_END}")

    def backward(self, before: str | None = None) -> tuple[KeyColumns, KeyColumns]:
        """The range of all checkpoints, to be read backward: those before one, all by default."""
        start = chr(ord(_CHECKPOINT) + 1) if before is None else f"{_CHECKPOINT}{before}{_END}"
        return self.key(start), self.key(_CHECKPOINT)

    def aside(self) -> tuple[KeyColumns, KeyColumns]:
        """The range of all rows that are not checkpoints or writes: remains and pieces."""
        return self.key(_REMAINS), self.key(_CHECKPOINT)


@dataclass(frozen=True, slots=True)
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

    @property
    def readable(self) -> bool:
        """Whether this is the row of a checkpoint or of what a task wrote."""
        return self.listed or self.task_id is not None

    @classmethod
    def of(cls, row: StoredRow) -> Item:
        """From the key of a row."""
        item: str = row.key[ITEM]
        checkpoint_id, _, rest = item[1:].partition(_END)
        if item[0] == _PIECE:
            return cls(checkpoint_id, piece=rest.partition(_END)[0])
        if item[0] == _REMAINS:
            return cls(checkpoint_id)
        return cls(checkpoint_id, listed=True) if rest == _SELF else cls(checkpoint_id, task_id=rest[1:])


class Pieces(NamedTuple):
    """Where the pieces of a bundle are.

    Attributes:
        line: The line of checkpoints.
        checkpoint_id: The checkpoint that they were written with.
        where: Their number and their name.
    """

    line: Line
    checkpoint_id: str
    where: str

    @property
    def number(self) -> int:
        """How many there are."""
        return int(self.where.partition(":")[0])

    @property
    def name(self) -> str:
        """What they are called."""
        return self.where.partition(":")[2]

    def keys(self) -> Iterator[KeyColumns]:
        """The keys of their rows."""
        return (self.line.piece(self.checkpoint_id, self.name, number) for number in range(self.number))


@dataclass(slots=True)
class NewPieces:
    """Rows of pieces that are to be written before the row that needs them.

    Attributes:
        table: The table.
        line: The line of checkpoints.
        checkpoint_id: The checkpoint.
        now: The time.
        writes: The rows so far.
    """

    table: str
    line: Line
    checkpoint_id: str
    now: int
    writes: list[RowWrite] = field(default_factory=list)

    def add(self, data: bytes) -> str:
        """Cut a bundle into pieces. Returns where they are, as `Pieces.where` has it."""
        count = -(-len(data) // PIECE_BYTES)
        where = f"{count}:{hashlib.blake2b(data, digest_size=PIECE_NAME_LENGTH // 2).hexdigest()}"
        pieces = Pieces(self.line, self.checkpoint_id, where)
        for number, key in enumerate(pieces.keys()):
            piece = bytearray(data[number * PIECE_BYTES : (number + 1) * PIECE_BYTES])
            columns = [(PIECE, piece), (WRITTEN, self.now)]
            self.writes.append(put_row(self.table, key, columns, name=f"a piece of checkpoint {self.checkpoint_id!r}"))
        return where

    def column(self, name: str, data: bytes) -> tuple[str, Any]:
        """The column that holds a bundle, or says where its pieces are."""
        return (name, bytearray(data)) if len(data) <= MAX_IN_ROW else (name, self.add(data))


def written(row: StoredRow) -> int:
    """When a row was written."""
    return int(row.columns.get(WRITTEN, 0))


def whole(thread_id: Any = None, namespace: Any = None) -> tuple[KeyColumns, KeyColumns]:
    """The range of all rows: of a namespace of a thread, of a thread, or of the table."""
    low, high = (
        [
            (THREAD, bound if thread_id is None else thread_id),
            (NAMESPACE, bound if namespace is None else namespace),
            (ITEM, bound),
        ]
        for bound in (INF_MIN, INF_MAX)
    )
    return low, high
