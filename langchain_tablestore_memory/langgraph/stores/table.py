"""Reading and writing items in the store table, as programs. Knows rows, and nothing of searches and models."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tablestore import INF_MAX, INF_MIN

from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.programs import Program, Sleep, Together
from langchain_tablestore_memory.core.ranges import MAX_PAGE, KeyColumns, Scan, StoredRow, collect, read_rows
from langchain_tablestore_memory.core.schema import ManagedTable, Table, with_table
from langchain_tablestore_memory.core.writes import (
    MAX_BYTES,
    MAX_ROWS,
    RowWrite,
    delete_row,
    write_rows,
    write_unless_changed,
)
from langchain_tablestore_memory.errors import WriteError
from langchain_tablestore_memory.langgraph.stores.items import (
    CREATED,
    EXPIRES,
    HEAD_COLUMNS,
    ITEM_COLUMNS,
    KEY,
    PART,
    PUT,
    SIZE,
    SMALL_COLUMNS,
    VECTORS,
    Identity,
    NewItem,
    StoredItem,
    delete_item,
    delete_parts,
    follows,
    identity_of,
    is_expired,
    is_large,
    item_key,
    item_name,
    put_of_row,
    refresh_item,
    store_schema,
    time_of_put,
)
from langchain_tablestore_memory.langgraph.stores.namespaces import (
    Listing,
    Namespace,
    list_namespaces,
    namespace_range,
)

_PATIENCE = 10
"""How often somebody else may be faster to write an item. Then it is written whatever is there.

Of an item with several vectors, that may leave rows behind that count for nothing (`remove_unfinished`).
"""

_PAUSE, _LONGEST_PAUSE = 0.01, 0.2
"""Seconds to wait at the most after the first of these attempts, doubled with each further one; and after any."""

_SWEPT_AT_A_TIME = 100

_FILTERED_PAGE = 200
"""Rows to read at least where a filter may drop some."""

_FILTERED_BYTES = 8 * MAX_BYTES
"""Bytes of large values that are read at once to be looked at by a filter."""

Accepts = Callable[[StoredItem], bool]


class ItemTable(ManagedTable):
    """The store table.

    Args:
        connection: The connection.
        name: The table.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        super().__init__(connection, store_schema(name))
        self._created, self._expiring = self.schema.indexes

    # Reading

    def read(self, identities: Iterable[Identity]) -> Program[dict[Identity, StoredItem]]:
        """Items by what they are told by; those that do not exist are left out."""
        wanted = list(dict.fromkeys(identities))
        keys = [item_key(identity) for identity in wanted]
        # Of several, large values are read apart, so that no answer grows beyond what a request gives.
        rows = yield from read_rows(self.name, keys, columns=SMALL_COLUMNS if len(keys) > 1 else ITEM_COLUMNS)
        complete = yield from self._completed([row for row in rows if row is not None])
        return {item.identity: item for item in map(StoredItem.of, filter(None, complete))}

    def _completed(self, rows: Sequence[StoredRow]) -> Program[list[StoredRow | None]]:
        """Rows that were read without large values, with these; None for those that are gone."""
        large = [row for row in rows if is_large(row)]
        if not large:
            return list(rows)
        groups = list(_slices(large, MAX_BYTES))
        found = yield Together(
            [
                read_rows(self.name, [item_key(identity_of(row)) for row in group], columns=ITEM_COLUMNS)
                for group in groups
            ]
        )
        complete = iter([row for group in found for row in group])
        return [next(complete) if is_large(row) else row for row in rows]

    def page(
        self, prefix: Namespace, accepts: Accepts | None, *, offset: int, limit: int, expired_at: int | None
    ) -> Program[list[StoredItem]]:
        """One page of the items below a prefix: by namespace, and within one in the order in which they were made.

        Args:
            prefix: What their namespaces begin with.
            accepts: Which of them; all by default.
            offset: How many to pass over.
            limit: How many at the most.
            expired_at: The time at which expired ones are left out.
        """
        if not limit:
            return []

        def read(table: Table) -> Program[list[StoredItem]]:
            return (yield from self._page(table, prefix, accepts, offset, limit, expired_at))

        return (yield from with_table(self.connection, self.schema, read))

    def _page(
        self,
        table: Table,
        prefix: Namespace,
        accepts: Accepts | None,
        offset: int,
        limit: int,
        expired_at: int | None,
    ) -> Program[list[StoredItem]]:
        def is_there(row: StoredRow) -> StoredRow | None:
            return None if expired_at is not None and is_expired(row.columns, expired_at) else row

        index = table.index(self._created)
        start, end = self._range(prefix)
        if offset and accepts is None:
            # Of what is passed over, the values are not read.
            passed = Scan(index.name, start, end, is_there, columns=[KEY, EXPIRES], limit=offset)
            yield from collect(passed)
            if passed.position is None:
                return []
            start, offset = passed.position, 0
        wanted = offset + limit
        page_size = min(wanted if accepts is None else max(wanted, _FILTERED_PAGE), MAX_PAGE)
        rows = Scan(index.name, start, end, is_there, page_size=page_size)
        # What is deleted and put again while this is read moves to the end, and is met twice.
        items: dict[Identity, StoredItem] = {}
        while not rows.finished and len(items) < wanted:
            for some in _slices((yield from rows.fetch()), _FILTERED_BYTES if accepts is not None else None):
                complete = [row for row in (yield from self._completed(some)) if row is not None and is_there(row)]
                items |= {item.identity: item for item in filter(accepts, map(StoredItem.of, complete))}
                if len(items) >= wanted:
                    break
        return list(items.values())[offset:wanted]

    def namespaces(self, listing: Listing, *, expired_at: int | None) -> Program[list[Namespace]]:
        """The namespaces that hold items.

        Args:
            listing: Which of them.
            expired_at: The time at which expired items are left out.
        """
        if not listing.limit:
            return []

        def is_there(row: StoredRow) -> bool:
            return expired_at is None or not is_expired(row.columns, expired_at)

        def read(table: Table) -> Program[list[Namespace]]:
            index = table.index(self._created)
            return (yield from list_namespaces(listing, index.name, index.primary_key, is_there, [EXPIRES]))

        return (yield from with_table(self.connection, self.schema, read))

    def _range(self, prefix: Namespace) -> tuple[KeyColumns, KeyColumns]:
        """The range of the local index that holds the items below a prefix."""
        names = self._created.primary_key
        first, last = namespace_range(prefix)
        return (
            [(names[0], first), *((name, INF_MIN) for name in names[1:])],
            [(names[0], last), *((name, INF_MAX if last is INF_MAX else INF_MIN) for name in names[1:])],
        )

    # Writing

    def write(
        self,
        changes: Mapping[Identity, NewItem | None],
        *,
        now: int,
        expired_at: int | None,
        refreshes: Sequence[RowWrite] = (),
    ) -> Program[None]:
        """Put items, and delete those for which there is None. The last one who writes an item wins as a whole.

        Args:
            changes: What is to be.
            now: The time. Items that are new get times after each other, so that they keep their order.
            expired_at: The time at which an expired item is as good as none.
            refreshes: What is written along, of other items.

        Raises:
            WriteError: Some are not known to be written; it names them.
        """
        pending = dict(changes)
        attempts = 0
        while pending:
            writes = yield from self._writes(pending, now, expired_at, anyway=attempts >= _PATIENCE)
            writes.items += refreshes
            refreshes = ()
            failed = yield from writes.carry_out()
            pending = {identity: new for identity, new in pending.items() if item_name(identity) in failed}
            if pending:
                attempts += 1
                # Who was slower together should not try again together.
                longest = min(_PAUSE * 2 ** (attempts - 1), _LONGEST_PAUSE)
                yield Sleep(random.random() * longest)  # noqa: S311 - spreading load, not keeping a secret

    def _writes(
        self, changes: Mapping[Identity, NewItem | None], now: int, expired_at: int | None, *, anyway: bool
    ) -> Program[_Writes]:
        """What is to be written, as items are now.

        Args:
            changes: What is to be.
            now: The time.
            expired_at: The time at which an expired item is as good as none.
            anyway: Whether it is written also where items are changed meanwhile.
        """
        rows = yield from read_rows(self.name, [item_key(each) for each in changes], columns=HEAD_COLUMNS)
        writes = _Writes()
        for position, ((identity, new), row) in enumerate(zip(changes.items(), rows, strict=True)):
            columns: Mapping[str, Any] = {} if row is None else row.columns
            before = columns.get(PUT)
            if new is None:
                if row is None:
                    continue
                writes.items.append(delete_item(self.name, identity, None if anyway else before))
            elif before == new.put_id:
                # It was written, and the answer was lost.
                continue
            else:
                gone = row is None or (expired_at is not None and is_expired(columns, expired_at))
                created_at = now + position if gone else columns[CREATED]
                condition = None if anyway else follows(before)
                writes.items.append(
                    new.write(self.name, created_at=created_at, now=now + position, condition=condition)
                )
                writes.new_parts += new.parts(self.name)
            if before is not None:
                writes.old_parts += delete_parts(self.name, identity, before, columns.get(VECTORS, 0))
        return writes

    def refresh(self, refreshes: Sequence[RowWrite]) -> Program[None]:
        """Write refreshes, in as few requests as possible. Items that were changed meanwhile are left.

        Raises:
            WriteError: Some are not known to last longer.
        """
        yield from write_unless_changed(refreshes)

    def refreshes(self, items: Iterable[StoredItem], now: int) -> list[RowWrite]:
        """The writes that let items last from now on, for those that do not last for ever anyway."""
        unique = {item.identity: item for item in items if item.lifetime is not None}
        return [refresh_item(self.name, item, now) for item in unique.values()]

    def sweep(self, now: int) -> Program[int]:
        """Delete the items that have expired. Returns how many these were."""

        def sweep(table: Table) -> Program[int]:
            return (yield from self._sweep(table.index(self._expiring).name, now))

        return (yield from with_table(self.connection, self.schema, sweep))

    def _sweep(self, index: str, now: int) -> Program[int]:
        names = self._expiring.primary_key
        start: KeyColumns = [(name, INF_MIN) for name in names]
        end: KeyColumns = [(names[0], now + 1), *((name, INF_MIN) for name in names[1:])]
        expired = Scan(index, start, end, lambda row: row, page_size=_SWEPT_AT_A_TIME)
        removed = 0
        while not expired.finished:
            # The index may be behind: what has been read or put meanwhile lasts.
            identities = [identity_of(row) for row in (yield from expired.fetch())]
            rows = yield from read_rows(self.name, [item_key(each) for each in identities], columns=HEAD_COLUMNS)
            heads: list[RowWrite] = []
            parts: dict[str, list[RowWrite]] = {}
            for row in rows:
                if row is None or not is_expired(row.columns, now):
                    continue
                identity = identity_of(row)
                heads.append(delete_item(self.name, identity, row.columns[PUT], expires_at=row.columns[EXPIRES]))
                parts[item_name(identity)] = delete_parts(
                    self.name, identity, row.columns[PUT], row.columns.get(VECTORS, 0)
                )
            kept = yield from write_unless_changed(heads)
            yield from write_rows([write for name, writes in parts.items() if name not in kept for write in writes])
            removed += len(heads) - len(kept)
        return removed

    def remove_unfinished(self, before: int) -> Program[int]:
        """Delete vectors of puts that were never finished. Returns how many these were.

        Args:
            before: The time from which on a put may still be under way.
        """
        key = [name for name, _ in self.schema.primary_key]
        start: KeyColumns = [(name, INF_MIN) for name in key]
        end: KeyColumns = [(name, INF_MAX) for name in key]
        rows = Scan(self.name, start, end, lambda row: row, columns=[KEY, PUT])
        current: tuple[Identity, str] | None = None
        removed = 0
        while not rows.finished:
            left: list[RowWrite] = []
            for row in (yield from rows.fetch()):
                identity, put_id, part = identity_of(row), put_of_row(row), row.key[PART]
                if not part:
                    # An item's own row comes before those of its vectors.
                    current = (identity, put_id)
                elif current != (identity, put_id) and time_of_put(put_id) < before:
                    left.append(
                        delete_row(self.name, item_key(identity, part), name=f"{part} of {item_name(identity)}")
                    )
            yield from write_rows(left)
            removed += len(left)
        return removed


def _slices(rows: Sequence[StoredRow], most: int | None) -> Iterator[Sequence[StoredRow]]:
    """Rows side by side whose large values have so many bytes at the most; all of them where there is no limit."""
    some: list[StoredRow] = []
    size = 0
    for row in rows:
        large = row.columns.get(SIZE, 0)
        if most is not None and some and size + large > most:
            yield some
            some, size = [], 0
        some.append(row)
        size += large
    if some:
        yield some


@dataclass(slots=True)
class _Writes:
    """Rows that are written together.

    Attributes:
        new_parts: Vectors that items will name.
        items: The items' own rows.
        old_parts: Vectors that items have named.
    """

    new_parts: list[RowWrite] = field(default_factory=list)
    items: list[RowWrite] = field(default_factory=list)
    old_parts: list[RowWrite] = field(default_factory=list)

    def carry_out(self) -> Program[frozenset[str]]:
        """Write the rows. Returns the names of the items that somebody else has changed meanwhile.

        Where one request does not take all, what can be read is complete in between.

        Raises:
            WriteError: Some are not known to be written; it names the items, and perhaps vectors of them.
        """
        together = [*self.new_parts, *self.items, *self.old_parts]
        if len(together) <= MAX_ROWS and sum(row.size for row in together) <= MAX_BYTES:
            return (yield from write_unless_changed(together))
        names = [row.name for row in self.items]
        try:
            yield from write_rows(self.new_parts)
        except WriteError as error:
            # What callers know is items.
            error.failed = (*error.failed, *names)
            raise
        failed = yield from write_unless_changed(self.items)
        try:
            yield from write_rows(self.old_parts)
        except WriteError as error:
            error.failed = (*error.failed, *(name for name in names if name in failed))
            error.stored = (*error.stored, *(name for name in names if name not in failed))
            raise
        return failed
