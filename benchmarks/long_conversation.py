"""A conversation of 1,000 turns on this machine, against langchain-community's history on SQLite.

Each turn does what `RunnableWithMessageHistory` does: make a history object, read its messages, add a question and an
answer. Ours is the embedded engine in a folder, with the default durability: every acknowledged turn survives a power
failure. The peer is `SQLChatMessageHistory` on a SQLite file with the same: `PRAGMA synchronous=FULL`. Of SQLite's two
journals it gets the faster one, the write-ahead log (`journal_mode=WAL`; the default, `DELETE`, syncs three times per
turn instead of once), and one SQLAlchemy engine for all turns, not one per object, as a connection string would make.

The peer has no window: each turn reads the whole conversation. That is how it works, and why it slows down; ours reads
the last 20 messages. Ours also keeps the session list up to date, which the peer does not have.

They take turns, ten chat turns each, so that both see the same disk and the same noise. Ten turns before the first
timed one fill the window. Growth, the one figure that compares two ends of the run, when the machine may be busy in
different degrees, is taken between the fastest turns of the first and the last 100.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy

from benchmarks.conversation import turn
from benchmarks.harness import Comparison, describe, faster, milliseconds, take_turns
from langchain_tablestore_memory import Connection, TablestoreChatMessageHistory, connect

with warnings.catch_warnings():
    # It says with every import that langchain-community is no longer developed.
    warnings.simplefilter("ignore", DeprecationWarning)
    from langchain_community.chat_message_histories import SQLChatMessageHistory

_WINDOW = 20
_BLOCK = 10
"""Chat turns that one side does before it is the other's turn."""

_FLAT = 1.25
"""How many times as long as at the beginning a turn may take at the end, and count as the same."""


def run(*, quick: bool) -> list[Comparison]:
    turns = 200 if quick else 1000
    part = turns // 10
    print(f"Long conversation: {turns:,} turns on this machine, each on disk when it returns")
    print(f"  ours reads the last {_WINDOW} messages; the peer has no window and reads them all")
    with tempfile.TemporaryDirectory() as folder, connect(f"local:{folder}/ours") as connection:
        ours = _Conversation(lambda: _ours(connection))
        engine = _sqlite(Path(folder) / "peer.sqlite3")
        peer = _Conversation(lambda: SQLChatMessageHistory("s1", connection=engine))
        for side in (ours, peer):
            side.fill_window()
        our_times, peer_times = take_turns(ours.advance, peer.advance, rounds=turns // _BLOCK, block=_BLOCK)
        engine.dispose()
    for label, times in (("ours", our_times), ("SQLChatMessageHistory, WAL", peer_times)):
        describe(f"{label}, turns 1-{part}", times[:part], milliseconds)
        describe(f"{label}, turns {turns - part + 1}-{turns}", times[-part:], milliseconds)
    first = [times[:part] for times in (our_times, peer_times)]
    last = [times[-part:] for times in (our_times, peer_times)]
    our_growth, peer_growth = (min(late) / min(early) for early, late in zip(first, last, strict=True))
    return [
        faster(
            f"{turns:,} turns on disk: total",
            sum(our_times),
            sum(peer_times),
            show="{:.2f} s".format,
            # So much is said of 1,000 turns.
            at_least=None if quick else 8.0,
        ),
        faster(f"  median of turns 1-{part}", *map(statistics.median, first), show=milliseconds),
        faster(f"  median of turns {turns - part + 1}-{turns}", *map(statistics.median, last), show=milliseconds),
        Comparison(
            "  growth between those, fastest turns",
            f"{our_growth:.2f}x",
            f"{peer_growth:.2f}x",
            f"{peer_growth / our_growth:.1f}x less",
            f"ours at most {_FLAT:g}x",
            our_growth <= _FLAT,
        ),
    ]


class _Conversation:
    """Goes on with one conversation, turn by turn."""

    def __init__(self, make_history: Callable[[], Any]) -> None:
        self._make_history = make_history
        self._done = 0

    def fill_window(self) -> None:
        for _ in range(_WINDOW // 2):
            self.advance()

    def advance(self) -> float:
        """One turn; gives the seconds that it took."""
        added = turn(self._done)
        start = time.perf_counter()
        history = self._make_history()
        read = history.messages
        history.add_messages(added)
        seconds = time.perf_counter() - start
        assert len(read) in {2 * self._done, min(2 * self._done, _WINDOW)}
        self._done += 1
        return seconds


def _ours(connection: Connection) -> TablestoreChatMessageHistory:
    return TablestoreChatMessageHistory("s1", connection=connection, window=_WINDOW)


def _sqlite(path: Path) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")

    @sqlalchemy.event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute("PRAGMA synchronous=FULL")

    return engine
