"""TablestoreSaver: LangGraph's checkpoints, kept in Tablestore."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)

from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.checks import check_text
from langchain_tablestore_memory.core.operations import listing, operation
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.ranges import MappedPages, Pages
from langchain_tablestore_memory.core.records import microseconds_timestamp
from langchain_tablestore_memory.core.schema import drop_table, ensure_table, with_table, with_tables
from langchain_tablestore_memory.core.sessions import SessionRegistry
from langchain_tablestore_memory.errors import ConfigurationError, InvalidArgumentError
from langchain_tablestore_memory.langgraph.checkpoints import removal
from langchain_tablestore_memory.langgraph.checkpoints.configs import (
    check_new_checkpoint,
    check_run,
    check_task,
    check_writes,
    checkpoint_of,
    config_of,
    line_of,
    metadata_of,
    run_of,
    several,
)
from langchain_tablestore_memory.langgraph.checkpoints.delta_history import DeltaHistory
from langchain_tablestore_memory.langgraph.checkpoints.expiry import Expiry, is_duration, microseconds
from langchain_tablestore_memory.langgraph.checkpoints.pages import (
    Ancestors,
    CheckpointPages,
    FilledPages,
    PreparedPages,
)
from langchain_tablestore_memory.langgraph.checkpoints.records import NewCheckpoint, StoredCheckpoint
from langchain_tablestore_memory.langgraph.checkpoints.rows import checkpoint_schema
from langchain_tablestore_memory.langgraph.checkpoints.selection import Selection
from langchain_tablestore_memory.langgraph.checkpoints.serialized import (
    delta_channels,
    dump,
    dump_value,
    load_checkpoint,
)
from langchain_tablestore_memory.langgraph.checkpoints.thread_sessions import connection_of, session_writes
from langchain_tablestore_memory.langgraph.checkpoints.thread_storage import ThreadStorage
from langchain_tablestore_memory.langgraph.checkpoints.values import Value
from langchain_tablestore_memory.runtime import check_thread

if TYPE_CHECKING:
    import tablestore
    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.serde.base import SerializerProtocol

T = TypeVar("T")


class TablestoreSaver(BaseCheckpointSaver[str]):
    """Checkpoints of LangGraph's graphs and LangChain's agents: threads go on where they stopped, in any process.

    **Setup.** Making one sends no request; the table is made when it is first needed, or by `setup`.

    ```python
    from langchain.agents import create_agent

    saver = TablestoreSaver(connect("local:./data"))
    agent = create_agent(model, tools, checkpointer=saver)
    ```

    **Talk.** A thread is named by its id. Another process, with a saver of its own, goes on with it. It has no owner,
    as LangGraph knows of none: who names a thread is given its state. Take ids that are unique over all users.

    ```python
    config = {"configurable": {"thread_id": "t1"}}
    agent.invoke({"messages": [("human", "Hello")]}, config)
    agent.get_state(config).values["messages"]
    ```

    **Async.** The same object, on as many event loops as there are; nothing blocks them.

    ```python
    await agent.ainvoke({"messages": [("human", "And now?")]}, config)
    ```

    **Resume.** A run that was interrupted, or whose process died, goes on after its last complete step that is stored.
    LangGraph stores a step while the next one runs already, unless it is run with ``durability="sync"``.

    ```python
    agent.invoke(Command(resume="yes"), config)  # after interrupt()
    agent.invoke(None, config)  # after a crash
    ```

    **Go back.** Each step of a thread can be run from again. The configuration of a step names the thread alone: give
    what else the run needs, such as the user, in the context, or add it.

    ```python
    earlier = list(agent.get_state_history(config))[2].config
    agent.invoke(state, {"configurable": {**earlier["configurable"], "user_id": "u1"}})
    ```

    **Delete.** A thread with all that is in it, the checkpoints of some runs, or all but the latest state.

    ```python
    saver.delete_thread("t1")
    saver.delete_for_runs(["run-7"])
    saver.prune(["t2", "t3"])
    ```

    **Expire.** With `ttl`, a thread in which nothing was written for so long is gone as a whole: nothing of it is read
    any more. What is left of it is deleted when the thread is written to again, or by `delete_idle`, which is meant to
    be scheduled.

    ```python
    saver = TablestoreSaver(connection, ttl=timedelta(days=30))
    saver.delete_idle()
    ```

    **List.** With `sessions`, threads of runs whose configuration names a user are listed as sessions: `user_id` in
    ``"configurable"``, as a saver is not shown the context. They have no title until `SessionRegistry.rename`. Agents
    with `TranscriptMiddleware` need none of it: that lists their threads with titles, counts and previews.

    ```python
    registry = SessionRegistry(connection)
    saver = TablestoreSaver(connection, sessions=registry)
    agent = create_agent(model, tools, checkpointer=saver)
    agent.invoke(state, {"configurable": {"thread_id": "t1", "user_id": "u1"}})
    [session.session_id for session in registry.list("u1").items]  # ["t1"]
    ```

    A channel's value is stored once per version and not copied into each checkpoint, and of a list that has grown only
    what is new; values are compressed where that pays, and cut into pieces where they are larger than a row.

    Ids of threads, namespaces, runs and tasks hold any characters, and up to 1 KB. Ids of checkpoints hold no NUL.

    Args:
        connection: What `connect` returns, an SDK client, or the default connection.
        table_name: The table.
        serde: What turns values into bytes; LangGraph's own serializer by default.
        ttl: After how long without a write a thread expires; never by default.
        sessions: Where threads are listed as sessions. It has to be on the same connection.
        clock: Tells the time in microseconds since 1970-01-01 UTC.

    Raises:
        ConfigurationError: `ttl` is no positive timedelta, or `sessions` is on another connection.
    """

    def __init__(
        self,
        connection: Connection | tablestore.OTSClient | tablestore.AsyncOTSClient | None = None,
        *,
        table_name: str = "checkpoint",
        serde: SerializerProtocol | None = None,
        ttl: timedelta | None = None,
        sessions: SessionRegistry | None = None,
        clock: Callable[[], int] = microseconds_timestamp,
    ) -> None:
        super().__init__(serde=serde)
        if ttl is not None and not is_duration(ttl):
            raise ConfigurationError(f"ttl is {ttl!r}. Give a positive timedelta, or None for ever.")
        self._connection = connection_of(connection, sessions)
        self._schema = checkpoint_schema(table_name)
        self._schemas = (self._schema,) if sessions is None else (self._schema, sessions.schema)
        self._sessions = sessions
        self._ttl = ttl
        self._expiry = Expiry(table_name, None if ttl is None else microseconds(ttl), clock)
        self._threads = ThreadStorage(table_name, self._expiry)
        self._reader = self._threads.reader

    @property
    def table_name(self) -> str:
        """The table."""
        return self._schema.name

    def _setup(self) -> Program[None]:
        """Create the table if it is missing, verify it, and wait until it is ready.

        Calling it is not necessary: the first request that meets no table does the same.

        Raises:
            SchemaMismatchError: A table of that name is not what is needed; says what differs.
        """
        for schema in self._schemas:
            yield from ensure_table(self._connection, schema)

    setup, asetup = operation(_setup)

    def _drop(self) -> Program[None]:
        """Delete the table with all threads. A missing one is fine. Sessions stay."""
        self._threads.forget()
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
        # All of it before the first request: the graph may go on meanwhile, and change what it handed over.
        line, parent_id = line_of(config), checkpoint_of(config)
        checkpoint_id = check_new_checkpoint(checkpoint, new_versions)
        skeleton = {key: value for key, value in checkpoint.items() if key not in _CHANNELS}
        values = dict(checkpoint["channel_values"])
        full = metadata_of(config, metadata)
        new = NewCheckpoint(
            line,
            checkpoint_id,
            parent_id,
            run_of(full),
            dump(self.serde, skeleton, "the checkpoint"),
            dump(self.serde, full, "the metadata"),
            dict(checkpoint["channel_versions"]),
            tuple(dict.fromkeys([*checkpoint["channel_versions"], *values])),
            frozenset(new_versions),
        )

        def dump_channel(channel: str) -> Value | None:
            return dump_value(self.serde, values[channel], f"channel {channel!r}") if channel in values else None

        self._threads.serialize(self.serde, new, values)
        now = self._expiry.now()
        session = None
        if self._sessions is not None:
            names = config["configurable"]
            session = session_writes(self._sessions.table_name, names, line, now, begins=parent_id is None)

        def store() -> Program[RunnableConfig]:
            yield from self._threads.put(new, now, session, dump_channel)
            return config_of(line, checkpoint_id)

        return self._prepared(store)

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
        line, checkpoint_id = line_of(config), checkpoint_of(config)
        if checkpoint_id is None:
            raise InvalidArgumentError("The configuration names no checkpoint_id: writes belong to a checkpoint.")
        task = check_task(checkpoint_id, task_id), check_text(task_path, "task_path")
        by_index = {
            WRITES_IDX_MAP.get(channel, index): (channel, dump(self.serde, value, f"channel {channel!r}"))
            for index, (channel, value) in enumerate(check_writes(writes))
        }
        return self._prepared(lambda: self._threads.put_writes(line, checkpoint_id, task, by_index))

    put_writes, aput_writes = operation(_put_writes)

    # Reading

    def _get_tuple(self, config: RunnableConfig) -> Program[CheckpointTuple | None]:
        """Read a checkpoint with its pending writes: the one that is named, or the latest one.

        Args:
            config: Names the thread, the namespace and, unless the latest is meant, the checkpoint.

        Returns:
            The checkpoint; None if there is none.

        Raises:
            InvalidArgumentError: No thread is named, or an id cannot be one.
        """
        line, checkpoint_id = line_of(config), checkpoint_of(config)
        found = yield from self._prepared(lambda: self._threads.get(line, checkpoint_id))
        if found is None:
            return None
        return load_checkpoint(self.serde, found, config if checkpoint_id else None)

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

        Raises:
            InvalidArgumentError: No thread is named, or an argument is of a wrong type.
        """
        wanted = Selection.of(config, filter, before, limit)
        expired: set[str] = set()

        def accept(found: StoredCheckpoint) -> Program[bool]:
            thread_id = found.line.thread_id
            if thread_id in expired or not wanted.has_id(found.checkpoint_id):
                return False
            if wanted.metadata and not wanted.has_metadata(self.serde.loads_typed(found.metadata)):
                return False
            if (yield from self._expiry.is_alive(thread_id, found.written)):
                return True
            expired.add(thread_id)
            return False

        pages = CheckpointPages(self._reader, *wanted.range(), page_size=wanted.page_size)
        filled = FilledPages(pages, accept, wanted.limit)
        return MappedPages(PreparedPages(filled, self._prepared), lambda found: load_checkpoint(self.serde, found))

    list, alist = listing(_list)

    def _delta_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Program[Mapping[str, DeltaChannelHistory]]:
        """What channels that store changes alone are put together from: their last value, and the writes since then.

        Args:
            config: Names the checkpoint whose state is wanted.
            channels: The channels.
        """
        line = line_of(config)
        channels = several(channels, "channels", "names of channels")
        if not channels:
            return {}
        checkpoint_id = checkpoint_of(config)
        target = yield from self._prepared(lambda: self._threads.get(line, checkpoint_id))
        history = DeltaHistory(channels)
        if target is not None:
            ancestors = Ancestors(self._reader, line, target.checkpoint_id)
            found = yield from ancestors.read(target.parent_id)
            while found is not None:
                yield from self._reader.fill([found], history.open)
                history.add(found)
                found = (yield from ancestors.read(found.parent_id)) if history.open else None
        return history.load(self.serde)

    get_delta_channel_history, aget_delta_channel_history = operation(_delta_history)

    # Removing and copying

    def _delete_thread(self, thread_id: str) -> Program[None]:
        """Delete all checkpoints and writes of a thread, the latest first. One that does not exist is fine.

        Its session, where it is listed as one, is deleted by `SessionRegistry.delete`: call that afterwards, so that a
        deletion that was interrupted can be repeated from the list.
        """
        thread_id = check_thread(thread_id)
        self._threads.forget(thread_id)
        yield from self._prepared(lambda: removal.delete_thread(self.table_name, thread_id))

    delete_thread, adelete_thread = operation(_delete_thread)

    def _delete_for_runs(self, run_ids: Sequence[str]) -> Program[None]:
        """Delete the checkpoints that some runs made, with their writes. Values that others need stay.

        On the service, the index of runs is a moment behind the table: call it a second after a run has ended.
        """
        ids = [check_run(run_id) for run_id in several(run_ids, "run_ids")]
        self._threads.forget()
        yield from with_table(
            self._connection,
            self._schema,
            lambda table: removal.delete_runs(self._reader, table.index(self._schema.indexes[0]).name, ids),
        )

    delete_for_runs, adelete_for_runs = operation(_delete_for_runs)

    def _copy_thread(self, source_thread_id: str, target_thread_id: str) -> Program[None]:
        """Copy all checkpoints and writes of a thread to another one.

        Interrupted, it can be called again.
        """
        source = check_thread(source_thread_id, "source_thread_id")
        target = check_thread(target_thread_id, "target_thread_id")
        if source == target or not (yield from self._prepared(lambda: self._expiry.is_alive(source, 0))):
            return
        yield from self._prepared(lambda: self._threads.begin(target))
        self._threads.forget(target)
        now = self._expiry.now()
        yield from self._prepared(lambda: removal.copy_thread(self.table_name, source, target, now))

    copy_thread, acopy_thread = operation(_copy_thread)

    def _prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> Program[None]:
        """Delete old checkpoints of threads. Interrupted, it can be called again.

        A run that goes on from an old checkpoint while that is deleted loses what it has not stored yet. For `ttl`, a
        thread is as old as what is left of it.

        Args:
            thread_ids: The threads.
            strategy: ``"keep_latest"`` keeps the latest checkpoint of each namespace, and what it needs; ``"delete"``
                keeps nothing.
        """
        if strategy not in ("keep_latest", "delete"):
            raise InvalidArgumentError(f"strategy is {strategy!r}. Give 'keep_latest' or 'delete'.")
        ids = [check_thread(thread_id) for thread_id in several(thread_ids, "thread_ids")]
        for thread_id in ids:
            self._threads.forget(thread_id)
            yield from self._prune_one(thread_id, strategy)

    prune, aprune = operation(_prune)

    def _delete_idle(self, older_than: timedelta | None = None) -> Program[int]:
        """Delete the threads to which nothing was written for some time, with all that is in them.

        Meant to be scheduled. It reads the keys of the whole table. Sessions stay; see `SessionRegistry.delete_idle`.

        Args:
            older_than: For how long; `ttl` by default.

        Returns:
            How many threads were deleted.

        Raises:
            InvalidArgumentError: It is no positive timedelta, or not given where the saver has no `ttl`.
        """
        duration = self._ttl if older_than is None else older_than
        if not is_duration(duration):
            raise InvalidArgumentError(f"older_than is {older_than!r}. Give a positive timedelta.")
        age = microseconds(duration)
        self._threads.forget()
        return (yield from self._prepared(lambda: self._expiry.delete_idle(age)))

    delete_idle, adelete_idle = operation(_delete_idle)

    def get_next_version(self, current: str | float | None, channel: None = None) -> str:  # noqa: ARG002
        """The version after one: a number that grows, and chance, so that two branches never share one."""
        number = int(str(current).split(".")[0]) if current is not None else 0
        return f"{number + 1:016}.{random.getrandbits(40):010x}"

    # Below here: the parts of the above

    def _prepared(self, make: Callable[[], Program[T]]) -> Program[T]:
        return with_tables(self._connection, self._schemas, make)

    def _prune_one(self, thread_id: str, strategy: str) -> Program[None]:
        def deltas(found: StoredCheckpoint) -> Collection[str]:
            return delta_channels(self.serde, found)

        def prune() -> Program[None]:
            if strategy == "delete":
                return removal.delete_thread(self.table_name, thread_id)
            return removal.keep_latest(self._reader, thread_id, deltas)

        return self._prepared(prune)


_CHANNELS = frozenset({"channel_values", "channel_versions"})
