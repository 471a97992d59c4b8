"""Threads in the checkpoint table: their checkpoints written and read, as far as they have not expired."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from langchain_tablestore_memory.core.failures import is_missing_table
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.errors import ServiceError
from langchain_tablestore_memory.langgraph.checkpoints.expiry import Expiry
from langchain_tablestore_memory.langgraph.checkpoints.held_values import HeldValues, SeenLists
from langchain_tablestore_memory.langgraph.checkpoints.pages import read_latest, read_one
from langchain_tablestore_memory.langgraph.checkpoints.reading import CheckpointReader
from langchain_tablestore_memory.langgraph.checkpoints.records import NewCheckpoint, StoredCheckpoint
from langchain_tablestore_memory.langgraph.checkpoints.rows import Line
from langchain_tablestore_memory.langgraph.checkpoints.serialized import dump_list, dump_value
from langchain_tablestore_memory.langgraph.checkpoints.thread_sessions import SessionWrites
from langchain_tablestore_memory.langgraph.checkpoints.values import Held, Part, Value, stored_runs
from langchain_tablestore_memory.langgraph.checkpoints.writing import CheckpointWriter

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

_LONG = 16
"""Entries of a list from which on it pays to notice which of them are as they were."""


class ThreadStorage:
    """Writes and reads the checkpoints of threads, and remembers where their values are.

    Args:
        table: The checkpoint table.
        expiry: Tells which threads have expired.

    Attributes:
        reader: Reads the table.
        expiry: Tells which threads have expired.
    """

    def __init__(self, table: str, expiry: Expiry) -> None:
        self.reader = CheckpointReader(table)
        self.expiry = expiry
        self._writer = CheckpointWriter(self.reader)
        self._held = HeldValues()
        self._seen = SeenLists()

    def serialize(self, serde: SerializerProtocol, new: NewCheckpoint, values: Mapping[str, Any]) -> None:
        """Serialize what may be new of a checkpoint, at once: what is handed over may change later.

        Args:
            serde: The serializer.
            new: The checkpoint.
            values: The values of its channels.

        Raises:
            InvalidArgumentError: A value cannot be serialized.
        """
        before: Mapping[str, Held] = {}
        if new.parent_id is not None:
            before = self._held.of(new.line, new.parent_id) or {}
        for channel, value in values.items():
            held, name = before.get(channel), f"channel {channel!r}"
            if new.keeps(channel, held):
                continue
            if type(value) is not list or len(value) < _LONG:
                new.fresh[channel] = dump_value(serde, value, name)
                continue
            new.fresh[channel], seen = dump_list(serde, value, name, self._seen.of(new.line, channel))
            self._seen.remember(new.line, channel, seen)
            new.fresh[channel].serialize_from(stored_runs(new.fresh[channel], held)[1])

    def put(
        self, new: NewCheckpoint, now: int, session: SessionWrites | None, dump: Callable[[str], Value | None]
    ) -> Program[None]:
        """Store a checkpoint.

        Args:
            new: The checkpoint, with the values that may be new with it.
            now: The time.
            session: The session to bring up to date.
            dump: Gives the value of a channel that was to be kept, where it turns out that it is not stored any more.
        """
        yield from self.begin(new.line.thread_id)
        new.before = yield from self._before(new.line, new.parent_id)
        new.kept.clear()
        for channel in new.channels:
            held = new.before.get(channel)
            if held is not None and new.keeps(channel, held):
                new.kept[channel] = held
                new.fresh.pop(channel, None)
            elif channel not in new.fresh and (value := dump(channel)) is not None:
                new.fresh[channel] = value
        try:
            held_now = yield from self._writer.put(new, now, session)
        except ServiceError as error:
            if is_missing_table(error):
                # It is made and this run again: then nothing is stored of what is remembered.
                self.forget()
            raise
        self._held.remember(new.line, new.checkpoint_id, held_now)
        self.expiry.note(new.line.thread_id, now)

    def put_writes(
        self, line: Line, checkpoint_id: str, task: tuple[str, str], writes: Mapping[int, tuple[str, Part]]
    ) -> Program[None]:
        """Store what a task, named by id and path, wrote; by index."""
        if not writes:
            return
        yield from self.begin(line.thread_id)
        now = self.expiry.now()
        yield from self._writer.put_writes(line, checkpoint_id, task, writes, now)
        self.expiry.note(line.thread_id, now)

    def get(self, line: Line, checkpoint_id: str | None) -> Program[StoredCheckpoint | None]:
        """Read a checkpoint with its writes and values; the latest one where none is named."""

        def alive(found: StoredCheckpoint) -> Program[bool]:
            return self.expiry.is_alive(line.thread_id, found.written)

        if checkpoint_id is None:
            found = yield from read_latest(self.reader, line, alive)
        else:
            found = yield from read_one(self.reader, line, checkpoint_id, alive)
        if found is None:
            # Somebody else may have deleted it: what goes on from it finds nothing stored.
            self._held.forget_line(line)
        else:
            self._held.remember(line, found.checkpoint_id, found.held())
        return found

    def begin(self, thread_id: str) -> Program[None]:
        """Prepare to write to a thread: where it has expired, it begins afresh."""
        if (yield from self.expiry.begin(thread_id)):
            self._held.forget(thread_id)

    def forget(self, thread_id: str | None = None) -> None:
        """Forget what is remembered of a thread, or of all."""
        self._held.forget(thread_id)
        self._seen.forget(thread_id)
        self.expiry.forget(thread_id)

    def _before(self, line: Line, parent_id: str | None) -> Program[Mapping[str, Held]]:
        """Where the values of the checkpoint before are."""
        if parent_id is None:
            return {}
        held = self._held.of(line, parent_id)
        if held is not None:
            return held
        found = yield from self.reader.bare(line, parent_id)
        return {} if found is None else found.held()
