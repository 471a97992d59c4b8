"""Calls of the embedded engine through the SDK, against bare sqlite3 calls that do the same.

Ours is an unmodified `tablestore.OTSClient` in front of the embedded engine: each call is encoded, signed, checked,
carried out, answered, verified and decoded, and what comes back are the SDK's rows. The bare side is the `sqlite3`
module and nothing else: a table with the same three key columns and one BLOB, which holds the row as the SDK encodes
it, so that both store the same bytes; what comes back is that BLOB. Both use the write-ahead log and the same
`PRAGMA synchronous`: FULL (an acknowledged write survives a power failure, the engine's default) and, for the writes,
NORMAL as well, because with FULL most of the time goes to the disk.

So the multiples say what the whole of Tablestore's protocol costs over the storage below it. Nothing is wanted of them.

Rows are chat messages of about 1 KB. One sample is several calls in a row, and the sides take turns.
"""

from __future__ import annotations

import itertools
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import tablestore
from tablestore import BatchWriteRowRequest, PutRowItem, Row, TableInBatchWriteRowItem
from tablestore.plainbuffer.plain_buffer_builder import PlainBufferBuilder

from benchmarks.conversation import turn
from benchmarks.harness import Comparison, describe, microseconds, multiple, take_turns
from langchain_tablestore_memory import message_codec
from langchain_tablestore_memory.local import Tablestore, ots_client

_BATCH = 200
_RANGE = 100
_STORED = 2000
"""Messages that are there when measuring begins, in one conversation."""

_INSERT = "INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?)"

Durability = Literal["full", "normal"]
Columns = list[tuple[str, Any]]


def run(*, quick: bool) -> list[Comparison]:
    rounds = 10 if quick else 40
    print("Calls of the embedded engine in this process, per call")
    comparisons: list[Comparison] = []
    with tempfile.TemporaryDirectory() as folder:
        for durability in ("full", "normal"):
            with Tablestore(Path(folder) / durability, durability=durability) as service:
                ours = _Embedded(ots_client(service))
                bare = _Bare(Path(folder) / f"{durability}.sqlite3", durability)
                comparisons += [_compare(call, ours, bare, rounds) for call in _calls(durability)]
                bare.close()
    return comparisons


class _Call(NamedTuple):
    """What is measured.

    Attributes:
        name: What the table calls it.
        method: What both sides call it.
        repeat: Calls per sample.
        rows: Rows that each call writes.
    """

    name: str
    method: str
    repeat: int
    rows: int = 0


def _calls(durability: Durability) -> list[_Call]:
    writes = [
        _Call(f"PutRow, synchronous={durability}", "put_row", 20, rows=1),
        _Call(f"BatchWriteRow of {_BATCH}, synchronous={durability}", "write_batch", 1, rows=_BATCH),
    ]
    reads = [_Call("GetRow", "get_row", 50), _Call(f"GetRange of {_RANGE}", "get_range", 5)]
    return [*writes, *reads] if durability == "full" else writes


def _compare(call: _Call, ours: _Embedded, bare: _Bare, rounds: int) -> Comparison:
    our_times, bare_times = take_turns(_sampler(call, ours), _sampler(call, bare), rounds=rounds)
    describe(f"ours: {call.name}", our_times, microseconds)
    describe(f"sqlite3: {call.name}", bare_times, microseconds)
    return multiple(call.name, statistics.median(our_times), statistics.median(bare_times), show=microseconds)


def _sampler(call: _Call, side: _Embedded | _Bare) -> Callable[[], float]:
    """Seconds per call. What is written is made beforehand."""
    method: Callable[[Any], None] = getattr(side, call.method)

    def argument() -> Any:
        return [side.make_row() for _ in range(call.rows)] if call.rows else side.some_place()

    def measure() -> float:
        arguments = [argument() for _ in range(call.repeat)]
        start = time.perf_counter()
        for each in arguments:
            method(each)
        return (time.perf_counter() - start) / call.repeat

    return measure


class _Messages:
    """Rows of one conversation, one after the other, and places in it that jump about, the same on both sides."""

    def __init__(self) -> None:
        self._written = itertools.count()
        self._read = itertools.count()

    def next(self) -> tuple[Columns, Columns]:
        """Primary key and columns."""
        number = next(self._written)
        text, body = message_codec.encode(turn(number)[number % 2])
        return self.key(number), [("content", text), ("lc_message", body)]

    def some_place(self) -> int:
        return next(self._read) * 7919 % (_STORED - _RANGE)

    @staticmethod
    def key(number: int) -> Columns:
        return [
            ("session_id", "4b1f2a0e-9f5c-4c7e-8a53-0d9b7a1c2e3f"),
            ("create_time", 1_760_000_000_000_000 + number),
            ("message_id", f"lc_run--{number:032x}"),
        ]


class _Embedded:
    def __init__(self, client: tablestore.OTSClient) -> None:
        self._client = client
        self._messages = _Messages()
        client.create_table(
            tablestore.TableMeta(
                "message", [("session_id", "STRING"), ("create_time", "INTEGER"), ("message_id", "STRING")]
            ),
            tablestore.TableOptions(),
            tablestore.ReservedThroughput(tablestore.CapacityUnit(0, 0)),
        )
        for _ in range(_STORED // _BATCH):
            self.write_batch([self.make_row() for _ in range(_BATCH)])

    def make_row(self) -> Row:
        return Row(*self._messages.next())

    def some_place(self) -> int:
        return self._messages.some_place()

    def put_row(self, rows: list[Row]) -> None:
        self._client.put_row("message", rows[0])

    def write_batch(self, rows: list[Row]) -> None:
        request = BatchWriteRowRequest()
        request.add(TableInBatchWriteRowItem("message", [PutRowItem(row, None) for row in rows]))
        assert self._client.batch_write_row(request).is_all_succeed()

    def get_row(self, place: int) -> None:
        _, row, _ = self._client.get_row("message", _Messages.key(place), max_version=1)
        assert row is not None

    def get_range(self, place: int) -> None:
        start, end = _Messages.key(place), _Messages.key(place + _RANGE)
        _, _, rows, _ = self._client.get_range("message", "FORWARD", start, end, limit=_RANGE, max_version=1)
        assert len(rows) == _RANGE


class _Bare:
    def __init__(self, path: Path, durability: Durability) -> None:
        self._messages = _Messages()
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
        self._connection.execute(f"PRAGMA synchronous = {durability}")
        self._connection.execute(
            "CREATE TABLE message (session_id TEXT, create_time INTEGER, message_id TEXT, row BLOB,"
            " PRIMARY KEY (session_id, create_time, message_id)) WITHOUT ROWID"
        )
        for _ in range(_STORED // _BATCH):
            self.write_batch([self.make_row() for _ in range(_BATCH)])

    def close(self) -> None:
        self._connection.close()

    def make_row(self) -> tuple[Any, ...]:
        key, columns = self._messages.next()
        return (*(value for _, value in key), PlainBufferBuilder.serialize_for_put_row(key, columns))

    def some_place(self) -> int:
        return self._messages.some_place()

    def put_row(self, rows: list[tuple[Any, ...]]) -> None:
        self._connection.execute(_INSERT, rows[0])

    def write_batch(self, rows: list[tuple[Any, ...]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(_INSERT, rows)
        self._connection.execute("COMMIT")

    def get_row(self, place: int) -> None:
        key = [value for _, value in _Messages.key(place)]
        found = self._connection.execute(
            "SELECT row FROM message WHERE session_id = ? AND create_time = ? AND message_id = ?", key
        ).fetchone()
        assert found is not None

    def get_range(self, place: int) -> None:
        (_, session_id), (_, start), _ = _Messages.key(place)
        rows = self._connection.execute(
            "SELECT row FROM message WHERE session_id = ? AND create_time >= ? AND create_time < ?"
            " ORDER BY create_time LIMIT ?",
            (session_id, start, start + _RANGE, _RANGE),
        ).fetchall()
        assert len(rows) == _RANGE
