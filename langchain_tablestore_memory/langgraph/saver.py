"""TablestoreSaver: LangGraph's checkpoints, kept in Tablestore."""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from tablestore import INF_MAX, INF_MIN

from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.checks import check_count, check_id
from langchain_tablestore_memory.core.operations import listing, operation
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import MappedPages, Pages
from langchain_tablestore_memory.core.schema import drop_table, ensure_table, with_table, with_tables
from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.langgraph import checkpoint_removal as removal
from langchain_tablestore_memory.langgraph.checkpoint_rows import (
    ITEM,
    NAMESPACE,
    THREAD,
    Line,
    check_part,
    checkpoint_schema,
    line_of,
)
from langchain_tablestore_memory.langgraph.checkpoint_store import (
    CheckpointTable,
    NewCheckpoint,
    StoredCheckpoint,
    StoredWrite,
)
from langchain_tablestore_memory.langgraph.values import Held, Part, Value

if TYPE_CHECKING:
    import tablestore
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.serde.base import SerializerProtocol

_REMEMBERED = 256
"""Checkpoints of which it is remembered where their values are."""


class TablestoreSaver(BaseCheckpointSaver[str]):
    """Checkpoints of LangGraph's graphs and LangChain's agents: threads go on where they stopped, in any process.

    Making one sends no request; the table is made when it is first needed, or by `setup`. Sync and async calls are of
    one object: use it with `invoke` and `ainvoke`, on as many event loops as there are.

    A channel's value is stored once per version and not copied into each checkpoint; values are compressed where that
    pays, and cut into pieces where they are larger than a row.

    Args:
        connection: What `connect` returns, an SDK client, or the default connection.
        table_name: The table.
        serde: What turns values into bytes; LangGraph's own serializer by default.

    Example:
        ```python
        saver = TablestoreSaver(connect("local:./data"))
        agent = create_agent(model, tools, checkpointer=saver)
        agent.invoke({"messages": [("human", "Hello")]}, {"configurable": {"thread_id": "t1"}})
        ```
    """

    def __init__(
        self,
        connection: Connection | tablestore.OTSClient | tablestore.AsyncOTSClient | None = None,
        *,
        table_name: str = "checkpoint",
        serde: SerializerProtocol | None = None,
    ) -> None:
        super().__init__(serde=serde)
        self._connection = Connection.of(connection)
        self._schema = checkpoint_schema(table_name)
        self._table = CheckpointTable(table_name)
        self._places = _Places()

    @property
    def table_name(self) -> str:
        """The table."""
        return self._table.name

    def _setup(self) -> Program[None]:
        """Create the table if it is missing, verify it, and wait until it is ready.

        Calling it is not necessary: the first request that meets no table does the same.

        Raises:
            SchemaMismatchError: A table of that name is not what is needed; says what differs.
        """
        yield from ensure_table(self._connection, self._schema)

    setup, asetup = operation(_setup)

    def _drop(self) -> Program[None]:
        """Delete the table with all threads. A missing one is fine."""
        yield from drop_table(self._connection, self._schema)

    drop, adrop = operation(_drop)

    # Writing

    def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> Program[RunnableConfig]:
        """Store a checkpoint.

        Args:
            config: Names the thread, the namespace, and the checkpoint before this one.
            checkpoint: The checkpoint.
            metadata: Its metadata.
            new_versions: The channels that are new with it, with their versions.

        Returns:
            The configuration that names the stored checkpoint.

        Raises:
            InvalidArgumentError: No thread is named, or a value cannot be stored; nothing is written.
            WriteError: It is not known to be stored.
        """
        line = line_of(config["configurable"])
        checkpoint_id = check_part(checkpoint["id"], "checkpoint_id")
        parent_id = get_checkpoint_id(config)
        versions = checkpoint["channel_versions"]
        values = checkpoint["channel_values"]
        full = get_checkpoint_metadata(config, metadata)
        skeleton = {
            key: value for key, value in checkpoint.items() if key not in {"channel_values", "channel_versions"}
        }
        before = yield from self._before(line, parent_id)
        fresh: dict[str, Value] = {}
        kept: dict[str, Held] = {}
        for channel, version in versions.items():
            held = before.get(channel)
            if channel not in new_versions and held is not None and held.version == version:
                kept[channel] = held
            elif channel in values and (channel in new_versions or parent_id is None):
                fresh[channel] = self._serialize(values[channel], f"channel {channel!r}")
        run_id = full.get("run_id")
        new = NewCheckpoint(
            line,
            checkpoint_id,
            parent_id,
            run_id if isinstance(run_id, str) else None,
            self._dump(skeleton, "the checkpoint"),
            self._dump(full, "the metadata"),
            versions,
            fresh,
            kept,
            before,
        )
        held_now = yield from self._prepared(lambda: self._table.put(new))
        self._places.remember(line, checkpoint_id, held_now)
        return _config(line, checkpoint_id)

    put, aput = operation(_put)

    def _put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> Program[None]:
        """Store what a task wrote after a checkpoint. Storing it again changes nothing.

        Args:
            config: Names the thread, the namespace and the checkpoint.
            writes: Channels and values.
            task_id: The task.
            task_path: The task's path, by which writes are ordered.

        Raises:
            InvalidArgumentError: No checkpoint is named, or a value cannot be stored; nothing is written.
            WriteError: They are not known to be stored.
        """
        line = line_of(config["configurable"])
        checkpoint_id = get_checkpoint_id(config)
        if not checkpoint_id:
            raise InvalidArgumentError("The configuration names no checkpoint_id: writes belong to a checkpoint.")
        check_part(checkpoint_id, "checkpoint_id")
        check_id(task_id, "task_id")
        if not writes:
            return
        by_index = {
            WRITES_IDX_MAP.get(channel, index): (channel, self._dump(value, f"channel {channel!r}"))
            for index, (channel, value) in enumerate(writes)
        }
        yield from self._prepared(lambda: self._table.put_writes(line, checkpoint_id, task_id, task_path, by_index))

    put_writes, aput_writes = operation(_put_writes)

    # Reading

    def _get_tuple(self, config: RunnableConfig) -> Program[CheckpointTuple | None]:
        """Read a checkpoint with its pending writes: the one that is named, or the latest one.

        Args:
            config: Names the thread, the namespace and, unless the latest is meant, the checkpoint.

        Returns:
            The checkpoint; None if there is none.
        """
        line = line_of(config["configurable"])
        checkpoint_id = get_checkpoint_id(config)
        found = yield from self._prepared(lambda: self._table.get(line, checkpoint_id or None))
        if found is None:
            return None
        self._places.remember(line, found.checkpoint_id, found.held())
        return self._tuple(found, config if checkpoint_id else None)

    get_tuple, aget_tuple = operation(_get_tuple)

    def _list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - what LangGraph calls it
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Pages[CheckpointTuple]:
        """Iterate over checkpoints, newest first within each namespace of each thread.

        Args:
            config: Names the thread, and the namespace and the checkpoint where only these are meant; None for
                everything that there is.
            filter: What their metadata holds.
            before: Only those before the checkpoint that this names.
            limit: How many at the most.
        """
        configurable = config["configurable"] if config else {}
        checkpoint_id = get_checkpoint_id(config) if config else None
        last = get_checkpoint_id(before) if before else None

        def accept(found: StoredCheckpoint) -> bool:
            if checkpoint_id and found.checkpoint_id != checkpoint_id:
                return False
            if last and found.checkpoint_id >= last:
                return False
            if not filter:
                return True
            metadata = self.serde.loads_typed(found.metadata)
            return all(metadata.get(key) == value for key, value in filter.items())

        if config is None:
            thread: Any = None
            start, end = ([(THREAD, bound), (NAMESPACE, bound), (ITEM, bound)] for bound in (INF_MAX, INF_MIN))
        elif configurable.get("checkpoint_ns") is None:
            thread = line_of(configurable).thread_id
            start, end = ([(THREAD, thread), (NAMESPACE, bound), (ITEM, bound)] for bound in (INF_MAX, INF_MIN))
        elif checkpoint_id:
            end, start = line_of(configurable).of_checkpoint(checkpoint_id)
        else:
            start, end = line_of(configurable).backward(last)
        if limit is not None:
            check_count(limit, "limit") if limit else None
        pages = self._table.pages(start, end, accept, limit=limit)
        return MappedPages(_Prepared(self, pages), self._tuple)

    list, alist = listing(_list)

    def _delta_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Program[Mapping[str, DeltaChannelHistory]]:
        """What channels that store changes alone are put together from: their last value, and the writes since then.

        Args:
            config: Names the checkpoint whose state is wanted.
            channels: The channels.
        """
        if not channels:
            return {}
        line = line_of(config["configurable"])
        target = yield from self._prepared(lambda: self._table.get(line, get_checkpoint_id(config)))
        history = _History(channels)
        current = None if target is None else target.parent_id
        pages = self._table.pages(*line.backward(target.checkpoint_id if target else None), lambda _: True, fill=False)
        while current is not None and history.open and not pages.finished:
            for found in (yield from pages.fetch()):
                if found.checkpoint_id == current:
                    yield from self._table.fill([found], history.open)
                    history.add(found)
                    current = found.parent_id
        return history.load(self.serde)

    get_delta_channel_history, aget_delta_channel_history = operation(_delta_history)

    # Removing and copying

    def _delete_thread(self, thread_id: str) -> Program[None]:
        """Delete all checkpoints and writes of a thread. One that does not exist is fine."""
        check_id(thread_id, "thread_id")
        self._places.forget()
        yield from self._prepared(lambda: removal.delete_thread(self._table, thread_id))

    delete_thread, adelete_thread = operation(_delete_thread)

    def _delete_for_runs(self, run_ids: Sequence[str]) -> Program[None]:
        """Delete the checkpoints that some runs made, with their writes. Values that others need stay.

        On the service, the index of runs is a moment behind the table: call it a second after a run has ended.
        """
        ids = [check_id(run_id, "run_id") for run_id in run_ids]
        self._places.forget()
        yield from with_table(
            self._connection,
            self._schema,
            lambda table: removal.delete_runs(self._table, table.index(self._schema.indexes[0]).name, ids),
        )

    delete_for_runs, adelete_for_runs = operation(_delete_for_runs)

    def _copy_thread(self, source_thread_id: str, target_thread_id: str) -> Program[None]:
        """Copy all checkpoints and writes of a thread to another one."""
        check_id(source_thread_id, "source_thread_id")
        check_id(target_thread_id, "target_thread_id")
        if source_thread_id == target_thread_id:
            return
        yield from self._prepared(lambda: removal.copy_thread(self._table, source_thread_id, target_thread_id))

    copy_thread, acopy_thread = operation(_copy_thread)

    def _prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> Program[None]:
        """Delete old checkpoints of threads.

        Args:
            thread_ids: The threads.
            strategy: ``"keep_latest"`` keeps the latest checkpoint of each namespace, and what it needs; ``"delete"``
                keeps nothing.
        """
        if strategy not in {"keep_latest", "delete"}:
            raise InvalidArgumentError(f"strategy is {strategy!r}. Give 'keep_latest' or 'delete'.")
        ids = [check_id(thread_id, "thread_id") for thread_id in thread_ids]
        self._places.forget()
        for thread_id in ids:
            if strategy == "delete":
                yield from self._prepared(lambda thread_id=thread_id: removal.delete_thread(self._table, thread_id))
            else:
                yield from self._prepared(
                    lambda thread_id=thread_id: removal.keep_latest(self._table, thread_id, self._deltas)
                )

    prune, aprune = operation(_prune)

    def get_next_version(self, current: str | float | None, channel: None = None) -> str:  # noqa: ARG002
        """The version after one: a number that grows, and chance, so that two branches never share one."""
        number = int(str(current).split(".")[0]) if current is not None else 0
        return f"{number + 1:016}.{random.getrandbits(40):010x}"

    # Below here: values, and what becomes of them

    def _deltas(self, found: StoredCheckpoint) -> Collection[str]:
        """The channels of which not every checkpoint holds the value."""
        return self.serde.loads_typed(found.metadata).get("counters_since_delta_snapshot") or ()

    def _before(self, line: Line, parent_id: str | None) -> Program[Mapping[str, Held]]:
        """Where the values of the checkpoint before are."""
        if parent_id is None:
            return {}
        held = self._places.of(line, parent_id)
        if held is None:
            found = yield from self._prepared(lambda: self._table.get(line, parent_id))
            held = {} if found is None else found.held()
        return held

    def _prepared(self, make: Any) -> Program[Any]:
        return with_tables(self._connection, (self._schema,), make)

    def _serialize(self, value: Any, name: str) -> Value:
        # An empty list has no entries that could be told from another value's.
        if type(value) is list and value:
            return Value(True, [self._dump(entry, name) for entry in value])
        return Value(False, [self._dump(value, name)])

    def _dump(self, value: Any, name: str) -> Part:
        try:
            return self.serde.dumps_typed(value)
        except Exception as error:
            raise InvalidArgumentError(f"The value of {name} cannot be serialized: {error}") from error

    def _tuple(self, found: StoredCheckpoint, config: RunnableConfig | None = None) -> CheckpointTuple:
        load = self.serde.loads_typed
        checkpoint = {
            **load(found.skeleton),
            "channel_versions": found.versions,
            "channel_values": {channel: _load(found.values[channel], self.serde) for channel in found.places},
        }
        return CheckpointTuple(
            config or _config(found.line, found.checkpoint_id),
            cast("Checkpoint", checkpoint),
            load(found.metadata),
            _config(found.line, found.parent_id) if found.parent_id else None,
            [_pending(write, self.serde) for write in found.writes],
        )


class _History:
    """What channels are put together from, while checkpoints are read from the latest backward."""

    def __init__(self, channels: Sequence[str]) -> None:
        self.open = set(channels)
        self._writes: dict[str, list[StoredWrite]] = {channel: [] for channel in channels}
        self._seeds: dict[str, Value] = {}

    def add(self, found: StoredCheckpoint) -> None:
        for write in reversed(found.writes):
            if write.channel in self.open:
                self._writes[write.channel].append(write)
        seeds = {channel: found.values[channel] for channel in self.open if channel in found.values}
        self._seeds.update(seeds)
        self.open -= seeds.keys()

    def load(self, serde: SerializerProtocol) -> Mapping[str, DeltaChannelHistory]:
        history: dict[str, DeltaChannelHistory] = {}
        for channel, writes in self._writes.items():
            entry: DeltaChannelHistory = {"writes": [_pending(write, serde) for write in reversed(writes)]}
            if channel in self._seeds:
                entry["seed"] = _load(self._seeds[channel], serde)
            history[channel] = entry
        return history


class _Places:
    """Where the values of the last checkpoints are, so that the next ones need not ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[Line, str], Mapping[str, Held]] = OrderedDict()

    def of(self, line: Line, checkpoint_id: str) -> Mapping[str, Held] | None:
        with self._lock:
            return self._held.get((line, checkpoint_id))

    def remember(self, line: Line, checkpoint_id: str, held: Mapping[str, Held]) -> None:
        with self._lock:
            self._held[line, checkpoint_id] = held
            self._held.move_to_end((line, checkpoint_id))
            while len(self._held) > _REMEMBERED:
                self._held.popitem(last=False)

    def forget(self) -> None:
        with self._lock:
            self._held.clear()


class _Prepared:
    """Pages of a table that is made where the first request finds none."""

    def __init__(self, saver: TablestoreSaver, pages: Pages[StoredCheckpoint]) -> None:
        self._saver = saver
        self._pages = pages

    @property
    def finished(self) -> bool:
        return self._pages.finished

    def fetch(self) -> Program[Sequence[StoredCheckpoint]]:
        return self._saver._prepared(self._pages.fetch)  # noqa: SLF001 - a part of it


def _load(value: Value, serde: SerializerProtocol) -> Any:
    entries = [serde.loads_typed(part) for part in value.parts]
    return entries if value.is_list else entries[0]


def _pending(write: StoredWrite, serde: SerializerProtocol) -> PendingWrite:
    return write.task_id, write.channel, serde.loads_typed(write.value)


def _config(line: Line, checkpoint_id: str) -> RunnableConfig:
    return {
        "configurable": {
            "thread_id": line.thread_id,
            "checkpoint_ns": line.namespace,
            "checkpoint_id": checkpoint_id,
        }
    }
