"""TablestoreStore: LangGraph's store of long-term memory, kept in Tablestore."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, cast

from langgraph.store.base import (
    NOT_PROVIDED,
    BaseStore,
    GetOp,
    IndexConfig,
    Item,
    ListNamespacesOp,
    MatchCondition,
    NamespacePath,
    NotProvided,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
)
from tablestore import AnalyzerType

from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.hybrid import HybridSettings
from langchain_tablestore_memory.core.operations import operation
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.records import MetadataFilter, microseconds_timestamp
from langchain_tablestore_memory.core.schema import drop_table, ensure_table
from langchain_tablestore_memory.core.search_index import (
    SearchIndexSchema,
    drop_search_indexes,
    ensure_search_index,
    wait_until_synced,
)
from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.langgraph.stores.batches import Batch
from langchain_tablestore_memory.langgraph.stores.namespaces import Namespace
from langchain_tablestore_memory.langgraph.stores.parts import StoreParts
from langchain_tablestore_memory.langgraph.stores.searches import SearchType
from langchain_tablestore_memory.langgraph.stores.ttl import Lifetimes, Sweeper

if TYPE_CHECKING:
    import asyncio

    import tablestore

    from langchain_tablestore_memory.core.search_fields import Filterable


class TablestoreStore(BaseStore):
    """LangGraph's store: what agents remember beyond one thread, found by its place, by meaning, by words, or by both.

    Making one sends no request; the table and its search index are made when they are first needed, or by `setup`. Sync
    and async calls are of one object: use it with `invoke` and `ainvoke`, on as many event loops as there are.

    Items have a value, a key and a namespace, and are read as they were put:

    ```python
    store = TablestoreStore(connect("local:./data"))
    store.put(("users", "u1"), "profile", {"name": "Li", "age": 30})
    store.get(("users", "u1"), "profile").value
    store.search(("users",), filter={"age": {"$gte": 18}}, limit=20)
    store.list_namespaces(prefix=("users",), max_depth=2)
    ```

    With an index they are found by meaning, by words, or by both. Fields that such searches filter by are declared:

    ```python
    store = TablestoreStore(
        connect("local:./data"),
        index={"embed": embeddings, "dims": 1024, "fields": ["text", "tags[*]"]},
        filterable={"year": int, "meta.lang": str, "tags": list[str]},
    )
    store.put(("docs",), "d1", {"text": "Tea is a drink", "tags": ["tea"], "year": 2024})
    store.search(("docs",), query="something to drink")
    store.search(("docs",), query="tea", search_type="full_text")
    store.search(("docs",), query="tea", search_type="hybrid", filter={"year": {"$gte": 2020}})
    ```

    Items last for ever, or for some minutes after they were last put or read:

    ```python
    store = TablestoreStore(connect("local:./data"), ttl={"default_ttl": 60})
    store.put(("cache",), "k", {"answer": 42}, ttl=5)
    store.sweep_ttl()  # or start_ttl_sweeper(), once in a process
    ```

    Every call has an async twin: `aput`, `aget`, `asearch`, ... An agent is given the store as it is:

    ```python
    agent = create_agent(model, tools, store=store)
    ```

    An item takes up to 4 MB, a namespace or a key 1 KB (960 bytes together where there is an index). LangGraph forbids
    periods in the labels of a namespace, and so e-mail addresses.

    On the service, the search index is a few seconds behind the table: searches with a query see a write after that
    (`wait_until_searchable`), though they never show what was deleted or replaced meanwhile. Everything else sees each
    write at once.

    Args:
        connection: What `connect` returns, an SDK client, or the default connection.
        index: How items are found by a query: ``embed`` is the embedding model, ``dims`` the numbers in its vectors (by
            default the model is asked), ``fields`` the paths of the texts in a value (``["$"]``, all of it, by
            default). Without ``embed`` they are found by words only. By default there is none, and `query` is passed
            over. Items that were put before there was one have to be put again to be found by it.
        ttl: How long items last, in minutes: ``default_ttl``; ``refresh_on_read``, whether reading counts as use (True
            by default); ``omit_expired``, whether expired items are as good as gone before they are swept (True by
            default); ``sweep_interval_minutes``.
        table_name: The table.
        filterable: Fields of values that searches with a query filter by, with their types: `str`, `int`, `float`,
            `bool`, lists of these, and ``"text"``. What is in a dict is named with a period. A value of another type is
            as good as none, and so is what the search index does not hold: text of more than 4 KB, an int beyond 64
            bits, infinity. Searches without a query filter by any field and value. Items that were put before a field
            was declared have to be put again to be found by it.
        search_type: How searches with a query search, where a call does not say: ``"similarity"`` (the default with a
            model), ``"full_text"`` or ``"hybrid"``.
        hybrid: How hybrid searches combine the two.
        search_index_name: The search index. By default the one that the table has, or `{table_name}_search_index`.
        analyzer: How text is cut into words where the index has to be made; see `tablestore.AnalyzerType`.
        embedding_batch_size: Texts in one call of the embedding model.
        clock: Tells the time in microseconds since 1970-01-01 UTC.

    Raises:
        ConfigurationError: Settings that contradict each other, or that cannot be.
    """

    supports_ttl = True

    def __init__(
        self,
        connection: Connection | tablestore.OTSClient | tablestore.AsyncOTSClient | None = None,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        table_name: str = "store",
        filterable: Filterable | None = None,
        search_type: SearchType | None = None,
        hybrid: HybridSettings | None = None,
        search_index_name: str | None = None,
        analyzer: str = AnalyzerType.MAXWORD,
        embedding_batch_size: int = 64,
        clock: Callable[[], int] = microseconds_timestamp,
    ) -> None:
        self._connection = Connection.of(connection)
        self._parts = StoreParts.of(
            self._connection,
            index=index,
            ttl=ttl,
            table_name=table_name,
            filterable=filterable,
            search_type=search_type,
            hybrid=hybrid,
            search_index_name=search_index_name,
            analyzer=analyzer,
            embedding_batch_size=embedding_batch_size,
            clock=clock,
        )
        self.ttl_config = None if ttl is None else ttl.copy()
        self._sweeper = Sweeper(self.sweep_ttl, self.asweep_ttl)

    @property
    def table_name(self) -> str:
        """The table."""
        return self._parts.table.name

    # Setting up

    def _setup(self) -> Program[None]:
        """Create the table, and the search index of a store with one, if they are missing; verify them; wait for them.

        Calling it is not necessary: the first request that meets no table or index does the same.

        Raises:
            SchemaMismatchError: The table or its index is not what this store needs; says what differs.
            EmbeddingError: ``dims`` is not given, so the model was asked, and failed.
        """
        if self._parts.index is None:
            yield from ensure_table(self._connection, self._parts.table.schema)
        else:
            schema = yield from self._parts.index.schema()
            yield from ensure_search_index(self._connection, schema)

    setup, asetup = operation(_setup)

    def _drop(self) -> Program[None]:
        """Delete the table with all items, and its search indexes. A missing one is fine."""
        schema, index = self._parts.table.schema, self._parts.index
        # Others may have made an index that this store does not use.
        searched = SearchIndexSchema(schema, None, ()) if index is None else index.known_schema
        yield from drop_search_indexes(self._connection, searched)
        yield from drop_table(self._connection, schema)

    drop, adrop = operation(_drop)

    def _wait_until_searchable(self, *, timeout: float = 60.0) -> Program[None]:
        """Wait until searches with a query see what was written before.

        On the service they are a few seconds behind. Everything else sees each write at once.

        Args:
            timeout: Seconds to wait.

        Raises:
            UnavailableError: They do not after that time.
        """
        if self._parts.index is not None:
            schema = yield from self._parts.index.schema()
            yield from wait_until_synced(self._connection, schema, timeout=timeout)

    wait_until_searchable, await_until_searchable = operation(_wait_until_searchable)

    # Several operations

    def _batch(self, ops: Iterable[Op]) -> Program[list[Result]]:
        """Carry out operations: all that read, then all that write. They share requests and calls of the model.

        Of several that put or delete one item, the last counts.

        Args:
            ops: LangGraph's `GetOp`, `SearchOp`, `ListNamespacesOp` and `PutOp`.

        Returns:
            A result for each, in order.

        Raises:
            InvalidArgumentError: One of them is none, or has a wrong argument; nothing is sent.
            EmbeddingError: The model failed; nothing is written.
            WriteError: Some items are not known to be written; it names them.
        """
        given: Any = ops
        if not isinstance(given, Iterable):
            raise InvalidArgumentError(f"ops is a {type(given).__name__}. Give a list of operations.")
        # Values are read here and now: afterwards they are the caller's again, to change.
        batch = Batch(self._parts)
        for op in given:
            batch.add(op)
        return batch.run()

    batch, abatch = operation(_batch)

    # One operation

    def _get(self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None) -> Program[Item | None]:
        """Read one item.

        Args:
            namespace: Its namespace.
            key: Its key.
            refresh_ttl: Whether an item that expires lasts anew from now on; by default as the store is set up.

        Returns:
            The item; None if there is none.

        Raises:
            InvalidNamespaceError: The namespace is none.
        """
        return _only(self._batch([GetOp(namespace, str(key), self._refreshes(refresh_ttl))]))

    get, aget = operation(_get)

    def _search(
        self,
        namespace_prefix: Namespace,
        /,
        *,
        query: str | None = None,
        filter: MetadataFilter = None,  # noqa: A002 - what LangGraph calls it
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
        search_type: SearchType | None = None,
        hybrid: HybridSettings | None = None,
    ) -> Program[list[SearchItem]]:
        """Find items in a namespace and all below it.

        Without `query`: every item that matches, by namespace, and within one in the order in which they were first
        put. With `query`, in a store with an index: best first. A store without an index passes over `query`,
        as LangGraph's own do.

        Args:
            namespace_prefix: The namespace; the empty tuple for all.
            query: What to look for.
            filter: Which values: LangGraph's operators, or any of `Filters`. With `query` the fields have to be in
                `filterable`.
            limit: How many items at the most.
            offset: How many to pass over.
            refresh_ttl: Whether items that expire last anew from now on; by default as the store is set up.
            search_type: ``"similarity"``, ``"full_text"`` or ``"hybrid"``; by default as the store is set up.
            hybrid: How a hybrid search combines the two; by default as the store is set up.

        Returns:
            The items, with their scores: the cosine of ``"similarity"`` (None for items without a vector, which come
            last), BM25 of ``"full_text"``, and of ``"hybrid"`` a number that only orders.

        Raises:
            InvalidNamespaceError: The namespace is none.
            FilterError: The filter cannot be read, or a field is not in `filterable`; lists those that are.
            InvalidArgumentError: A number is out of range, or the store has no index for such a search.
            EmbeddingError: The model failed.
        """
        op = SearchOp(namespace_prefix, cast("Any", filter), limit, offset, query, self._refreshes(refresh_ttl))
        batch = Batch(self._parts)
        batch.add_search(op, search_type=search_type, hybrid=hybrid)
        return _only(batch.run())

    search, asearch = operation(_search)

    def _put(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | Sequence[str] | None = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> Program[None]:
        """Store an item; one that is there is replaced as a whole, and keeps the time when it was made.

        Args:
            namespace: Its namespace.
            key: Its key.
            value: Its value: JSON, and what else has an exact form in it: tuples, sets, bytes, times, decimals, ...
            index: The paths of the texts that it is found by; False for none; by default those of the store.
            ttl: Minutes after which it expires, unless it is read or put meanwhile; None for never; by default as the
                store is set up.

        Raises:
            InvalidNamespaceError: The namespace is none, is empty, or begins with ``"langgraph"``.
            InvalidArgumentError: The value cannot be stored; says which part. Nothing is written.
            EmbeddingError: The model failed; nothing is written.
            WriteError: It is not known to be stored.
        """
        minutes = (self.ttl_config or {}).get("default_ttl") if isinstance(ttl, NotProvided) else ttl
        if value is None:
            raise InvalidArgumentError("The value is None. Give a dict, or call delete.")
        return _only(self._batch([PutOp(namespace, str(key), value, index=cast("Any", index), ttl=minutes)]))

    put, aput = operation(_put)

    def _delete(self, namespace: Namespace, key: str) -> Program[None]:
        """Delete an item. One that does not exist is fine.

        Raises:
            InvalidNamespaceError: The namespace is none.
            WriteError: It is not known to be deleted.
        """
        return _only(self._batch([PutOp(namespace, str(key), None)]))

    delete, adelete = operation(_delete)

    def _list_namespaces(
        self,
        *,
        prefix: NamespacePath | None = None,
        suffix: NamespacePath | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> Program[list[Namespace]]:
        """The namespaces that hold items, in order. What large ones hold is not read.

        Args:
            prefix: What they begin with; ``"*"`` stands for any label.
            suffix: What they end with.
            max_depth: How many labels to show of each; those that look the same then are shown once.
            limit: How many at the most.
            offset: How many to pass over.

        Raises:
            InvalidNamespaceError: The prefix or the suffix is none.
        """
        conditions = []
        if prefix:
            conditions.append(MatchCondition("prefix", prefix))
        if suffix:
            conditions.append(MatchCondition("suffix", suffix))
        return _only(self._batch([ListNamespacesOp(tuple(conditions), max_depth, limit, offset)]))

    list_namespaces, alist_namespaces = operation(_list_namespaces)

    # Tidying up

    def _remove_unfinished(self, *, older_than: timedelta = timedelta(hours=1)) -> Program[int]:
        """Remove what puts left behind that were cut off: vectors beyond an item's first, which count for nothing.

        Reads the keys of the whole table. To be called now and then where processes are killed often.

        Args:
            older_than: How long ago a put began that is not under way any more.

        Returns:
            How many were removed.
        """
        given: Any = older_than
        if not isinstance(given, timedelta) or given < timedelta(minutes=2):
            raise InvalidArgumentError(f"older_than is {given!r}. Give a timedelta of at least 2 minutes.")
        table, before = self._parts.table, self._parts.clock.now() - given // timedelta(microseconds=1)
        return (yield from table.prepared(lambda: table.remove_unfinished(before)))

    remove_unfinished, aremove_unfinished = operation(_remove_unfinished)

    def _sweep_ttl(self) -> Program[int]:
        """Remove the items that have expired. They are not found anyway: this frees their space.

        Returns:
            How many were removed.
        """
        return (yield from self._parts.table.sweep(self._parts.clock.now()))

    sweep_ttl, asweep_ttl = operation(_sweep_ttl)

    def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> concurrent.futures.Future[None]:
        """Sweep now and then, in a thread of its own, until `stop_ttl_sweeper` or the end of the process.

        Args:
            sweep_interval_minutes: Minutes between two sweeps; by default those of the configuration, or 5.

        Returns:
            What is done when the thread has ended; cancelling it ends the thread.
        """
        return self._sweeper.start(self._interval(sweep_interval_minutes))

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """Stop sweeping.

        Args:
            timeout: Seconds to wait for a sweep that is under way; as long as it takes by default.

        Returns:
            Whether the thread has ended.
        """
        return self._sweeper.stop(timeout)

    async def astart_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> asyncio.Task[None]:
        """Sweep now and then, in a task of the running event loop, until `astop_ttl_sweeper` or the loop's end.

        Args:
            sweep_interval_minutes: Minutes between two sweeps; by default those of the configuration, or 5.

        Returns:
            The task.
        """
        return self._sweeper.astart(self._interval(sweep_interval_minutes))

    async def astop_ttl_sweeper(self) -> None:
        """Stop the task that sweeps."""
        await self._sweeper.astop()

    def _interval(self, minutes: float | None) -> float:
        if minutes is None:
            return self._parts.lifetimes.sweep_interval
        return Lifetimes.of({"sweep_interval_minutes": cast("int", minutes)}).sweep_interval

    def _refreshes(self, refresh_ttl: bool | None) -> bool:
        if refresh_ttl is not None:
            return refresh_ttl
        return (self.ttl_config or {}).get("refresh_on_read", True)


def _only(results: Program[list[Result]]) -> Program[Any]:
    """The one result of a batch of one operation."""
    [result] = yield from results
    return result
