"""The session table: its rows read, written and listed, for whoever keeps sessions in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from tablestore import INF_MAX, INF_MIN, Condition, Row, RowExistenceExpectation

from langchain_tablestore_memory import filters
from langchain_tablestore_memory.core.checks import Time, check_id, check_optional_time
from langchain_tablestore_memory.core.columns import METADATA_COLUMN
from langchain_tablestore_memory.core.cursors import check_position, decode_cursor, encode_cursor
from langchain_tablestore_memory.core.failures import CONFLICT
from langchain_tablestore_memory.core.programs import Call, Program, Sleep
from langchain_tablestore_memory.core.ranges import KeyColumns, Scan, StoredRow, collect, read_rows
from langchain_tablestore_memory.core.records import MetadataFilter, Page, Session
from langchain_tablestore_memory.core.schema import (
    IndexScan,
    ManagedTable,
    PreparedScan,
    Table,
)
from langchain_tablestore_memory.core.session_rows import (
    OWN_COLUMNS,
    UPDATE_TIME,
    decode_session,
    encode_session,
    index_key,
    is_session_metadata,
    session_changes,
    session_key,
    session_name,
)
from langchain_tablestore_memory.core.writes import (
    RowWrite,
    column_unchanged,
    delete_row,
    put_row,
    update_row,
    write_rows,
)
from langchain_tablestore_memory.errors import InvalidArgumentError, ServiceError, SessionNotFoundError, WriteError

T = TypeVar("T")

UPDATE_ATTEMPTS = 10
"""How often a change is tried again that others got in the way of."""


class SessionTable(ManagedTable):
    """The rows of the session table."""

    # One row

    def read(self, session_id: str, user_id: str) -> Program[StoredRow | None]:
        """Read one row; None if there is none."""
        key = session_key(check_id(user_id, "user_id"), check_id(session_id, "session_id"))
        _, row, _ = yield from self.call("get_row", key, max_version=1)
        return None if row is None else StoredRow.of(row)

    def call(self, api: str, *args: Any, **options: Any) -> Program[Any]:
        """Call an SDK method for the session table, which is made where it is missing."""

        def call() -> Program[Any]:
            return (yield Call(api, self.name, *args, **options))

        return self.prepared(call)

    def change(self, session_id: str, user_id: str, columns: Sequence[tuple[str, Any]]) -> Program[None]:
        """Set columns of a row.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        key = session_key(check_id(user_id, "user_id"), check_id(session_id, "session_id"))
        exists = Condition(RowExistenceExpectation.EXPECT_EXIST)
        try:
            yield from self.call("update_row", Row(key, {"PUT": [*columns]}), exists)
        except ServiceError as error:
            if error.code == CONFLICT:
                raise SessionNotFoundError(no_session(session_id)) from error
            raise

    def put(self, session: Session) -> Program[None]:
        """Store a session; one that exists is replaced as a whole.

        Raises:
            InvalidArgumentError: It cannot be stored.
        """
        columns = encode_session(session)
        row = put_row(self.name, self._key(session), columns, name=session_name(session.session_id))
        yield from self.prepared(lambda: write_rows([row]))

    def merge(self, session: Session) -> Program[None]:
        """Set time and metadata of a session and leave the rest; it is made where it is not there.

        Raises:
            InvalidArgumentError: It cannot be stored.
        """
        columns, name = encode_session(session), session_name(session.session_id)
        if METADATA_COLUMN not in dict(columns):
            row = update_row(self.name, self._key(session), columns, name=name)
            yield from self.prepared(lambda: write_rows([row]))
            return
        # Metadata that shares one column has to be read, to leave the rest of it.
        absent = Condition(RowExistenceExpectation.EXPECT_NOT_EXIST)
        made = put_row(self.name, self._key(session), columns, name=name, condition=absent)
        while True:
            try:
                yield from self.update(
                    session.session_id, session.user_id, metadata=session.metadata, update_time=session.update_time
                )
            except SessionNotFoundError:
                try:
                    yield from self.prepared(lambda: write_rows([made]))
                except WriteError as error:
                    # Somebody else has made it meanwhile.
                    if error.code != CONFLICT:
                        raise
                    continue
            return

    def update(
        self,
        session_id: str,
        user_id: str,
        *,
        metadata: Mapping[str, Any],
        remove: Collection[str] = (),
        update_time: int | None = None,
    ) -> Program[Session]:
        """Change metadata and time of a session that is there, and leave the rest. Returns it as it is then.

        Raises:
            SessionNotFoundError: There is no such session.
        """
        for attempt in range(1, UPDATE_ATTEMPTS + 1):
            row = yield from self.read(session_id, user_id)
            if row is None:
                raise SessionNotFoundError(no_session(session_id))
            session = decode_session(row)
            session.metadata = {k: v for k, v in {**session.metadata, **metadata}.items() if k not in remove}
            session.update_time = session.update_time if update_time is None else update_time
            changes = session_changes(row, session)
            if not changes:
                return session
            # Only metadata that shares one column can collide with another writer's.
            condition = Condition(RowExistenceExpectation.EXPECT_EXIST, column_unchanged(row.columns, METADATA_COLUMN))
            try:
                yield Call("update_row", self.name, Row(self._key(session), changes), condition)
            except ServiceError as error:
                if error.code != CONFLICT:
                    raise
                yield Sleep(self.connection.retry.delay(attempt))
            else:
                return session
        raise ServiceError(
            f"Session {session_id!r} was changed by others each time it was to be updated. Try again.",
            api="update_row",
        )

    def delete(self, keys: Sequence[tuple[str, str]]) -> Program[None]:
        """Delete rows, each named by user and session; those that are not there are fine."""
        rows = [self._delete_write(*key) for key in keys]
        yield from self.prepared(lambda: write_rows(rows))

    # Many rows

    def listed(self, user_id: str, session_ids: Collection[str]) -> Program[set[str]]:
        """Which of these sessions a user has."""
        wanted = sorted(session_ids)
        keys = [session_key(user_id, session_id) for session_id in wanted]
        # Naming a key column gives rows without their attributes.
        rows = yield from self.prepared(lambda: read_rows(self.name, keys, columns=["user_id"]))
        return {session_id for session_id, row in zip(wanted, rows, strict=True) if row is not None}

    def scan(self, user_id: str | None, decode: Callable[[StoredRow], T | None], **options: Any) -> PreparedScan[T]:
        """Rows of a user, or of all, in the order of their ids."""
        low, high = (INF_MIN, INF_MAX) if user_id is None else (user_id, user_id)
        scan = Scan(self.name, session_key(low, INF_MIN), session_key(high, INF_MAX), decode, **options)
        return PreparedScan(self.connection, self.schema, scan)

    def in_order_of_ids(
        self, user_id: str | None, *, metadata_filter: MetadataFilter, limit: int | None, page_size: int | None
    ) -> PreparedScan[Session]:
        """The sessions of a user, or of all, that match a filter."""
        wanted = filters.parse(metadata_filter)
        wants = filters.predicate(wanted)

        def decode(row: StoredRow) -> Session | None:
            session = decode_session(row)
            return session if wants(session.metadata) else None

        return self.scan(
            user_id,
            decode,
            condition=filters.to_condition(wanted, columns=is_session_metadata, overflow_column=METADATA_COLUMN),
            limit=limit,
            drops=bool(filters.fields(wanted)),
            page_size=page_size,
        )

    def delete_all(self, user_id: str | None) -> Program[None]:
        """Delete the rows of a user, or of all."""
        # Keys alone: a row that cannot be read as a session can be deleted all the same.
        scan = self.scan(user_id, lambda row: (row.key["user_id"], row.key["session_id"]), columns=["user_id"])
        while not scan.finished:
            keys = yield from scan.fetch()
            yield from write_rows([self._delete_write(*key) for key in keys])

    def recent(
        self,
        user_id: str,
        *,
        since: Time | None,
        until: Time | None,
        metadata_filter: MetadataFilter,
        limit: int | None,
        start: Sequence[Any] | None = None,
        full: bool = False,
        needed: Collection[str] = tuple(OWN_COLUMNS),
        page_size: int | None = None,
    ) -> IndexScan[Session]:
        """Sessions of a user, the most recently active first; from `start` (time and session id) on where given.

        What is needed and not carried by the index (titles in tables that other tools made, metadata that is filtered
        by, all metadata where `full`) is read from the table.
        """
        check_id(user_id, "user_id")
        first, last = check_optional_time(since, "since"), check_optional_time(until, "until")
        if first is not None and last is not None and first > last:
            raise InvalidArgumentError(f"since ({first}) is later than until ({last}). Swap them.")
        wanted = filters.parse(metadata_filter)
        wants = filters.predicate(wanted)
        if start is not None:
            check_position(start[0], first, last)
        upper = (INF_MAX if last is None else last, INF_MAX) if start is None else tuple(start)
        lower = (INF_MIN if first is None else first, INF_MIN)
        asked = filters.fields(wanted)

        def wanted_session(row: StoredRow) -> Session | None:
            session = decode_session(row)
            return session if wants(session.metadata) else None

        def decide(rows: Sequence[StoredRow]) -> Program[Sequence[StoredRow | None]]:
            # A field that a row of the index lacks may be in the table all the same: not every value fits a column.
            whole: list[StoredRow | None] = [*rows]
            doubtful = [position for position, row in enumerate(rows) if not asked <= row.columns.keys()]
            found = yield from self._complete([rows[position] for position in doubtful])
            for position, row in zip(doubtful, found, strict=True):
                whole[position] = row
            return [row if full and wanted_session(full) else None for row, full in zip(rows, whole, strict=True)]

        def begin(table: Table) -> Scan[Session]:
            index = table.index(self.schema.indexes[0])
            carried = set(index.columns)
            covered = not full and {*needed, *asked} <= carried
            possible = filters.parse({"$or": [wanted, *(filters.Filters.exists(name, False) for name in asked)]})
            return Scan(
                index.name,
                index_key(user_id, *upper),
                index_key(user_id, *lower),
                decode_session if covered else wanted_session,
                backward=True,
                condition=filters.to_condition(possible, columns=is_session_metadata) if covered else None,
                limit=limit,
                drops=bool(asked),
                page_size=page_size,
                complete=(decide if asked else None) if covered else self._complete,
            )

        return IndexScan(self.connection, self.schema, begin)

    def recent_page(
        self,
        user_id: str,
        *,
        since: Time | None,
        until: Time | None,
        metadata_filter: MetadataFilter,
        limit: int,
        cursor: str | None,
        **options: Any,
    ) -> Program[Page[Session]]:
        """One page of `recent`.

        Raises:
            CursorError: The cursor is malformed or was given out for another user.
        """
        scope = ("recent sessions", self.name, check_id(user_id, "user_id"))
        scan = self.recent(
            user_id,
            since=since,
            until=until,
            metadata_filter=metadata_filter,
            limit=limit,
            start=None if cursor is None else decode_cursor(cursor, scope, (int, str)),
            **options,
        )
        sessions = yield from collect(scan)
        if scan.position is None:
            return Page(sessions)
        following = dict(scan.position)
        return Page(sessions, encode_cursor(scope, (following[UPDATE_TIME], following["session_id"])))

    # Below here: details

    def _complete(self, rows: Sequence[StoredRow]) -> Program[Sequence[StoredRow | None]]:
        """The rows of the table behind rows of the index."""
        return read_rows(self.name, [session_key(row.key["user_id"], row.key["session_id"]) for row in rows])

    @staticmethod
    def _key(session: Session) -> KeyColumns:
        return session_key(session.user_id, session.session_id)

    def _delete_write(self, user_id: str, session_id: str) -> RowWrite:
        return delete_row(self.name, session_key(user_id, session_id), name=session_name(session_id))


def no_session(session_id: str) -> str:
    """What is said of a session that is not there."""
    return f"There is no session {session_id!r} of this user. Create it, or check both ids."
