"""Items of a store as rows of the store table, and back.

The key columns are the namespace, the key and a part. The row of the part `""` is the item: its value, its times, the
vector of its first text, all of its texts for searches by words, and the fields that searches filter by. Every put has
a token (`put_id`), which all of its rows hold. Each further vector is in a row of its own, whose part begins with that
token. Those of which the item's row has another token do not count: the item was put anew, or its put was never
finished.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from langgraph.store.base import Item, SearchItem
from tablestore import (
    ComparatorType,
    CompositeColumnCondition,
    Condition,
    LogicalOperator,
    RowExistenceExpectation,
    SingleColumnCondition,
)

from langchain_tablestore_memory.core import tagged_json
from langchain_tablestore_memory.core.columns import continuation_columns, join_text, split_text
from langchain_tablestore_memory.core.ranges import KeyColumns, StoredRow
from langchain_tablestore_memory.core.schema import GlobalIndex, LocalIndex, TableSchema
from langchain_tablestore_memory.core.writes import (
    RowWrite,
    column_unchanged,
    delete_row,
    put_row,
    update_row,
)
from langchain_tablestore_memory.errors import InvalidArgumentError, StoredDataError
from langchain_tablestore_memory.langgraph.stores.namespaces import Namespace, decode_namespace, encode_namespace

NAMESPACE, KEY, PART = "namespace", "key", "part"
CREATED, UPDATED = "created_at", "updated_at"
"""Microseconds since 1970-01-01 UTC, as all times here."""
EXPIRES = "expires_at"
LIFETIME = "lifetime"
"""For how many microseconds the item lasts, from when it was last written or read."""
PUT = "put_id"
VECTORS = "vectors"
"""How many vectors the item has, over all of its rows."""
VALUE = "value"
"""The value as JSON, up to `MAX_INLINE` bytes."""
LARGE, SIZE = "large_value", "large_bytes"
"""A larger value, which is in more than one column where needed, and how many bytes it has."""
TEXT, EMBEDDING = "text", "embedding"

MAX_INLINE = 32 * 1024
"""Bytes of a value that the local index carries too. A hundred rows with such values fit into one request."""

SMALL_COLUMNS = (CREATED, UPDATED, EXPIRES, LIFETIME, PUT, VECTORS, VALUE, SIZE)
"""The columns of an item without a large value, and without what only searches need."""
ITEM_COLUMNS = (*SMALL_COLUMNS, LARGE, *continuation_columns(LARGE))
"""The same with a large value."""
HEAD_COLUMNS = (CREATED, PUT, VECTORS, EXPIRES)
"""What a put has to know of the item that is there."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_DIGITS = 14
_TOKEN_BYTES = 6
_PART_SEPARATOR = "-"

Identity = tuple[Namespace, str]
"""What an item is told by: its namespace and its key."""


def store_schema(table_name: str) -> TableSchema:
    """The store table as it is made where it does not exist.

    The local index has the items in the order in which they were made; the global one those that expire, by when. Rows
    of further vectors have neither time, so they are in neither index.
    """
    return TableSchema(
        table_name,
        primary_key=((NAMESPACE, "STRING"), (KEY, "STRING"), (PART, "STRING")),
        columns=(
            *((column, "INTEGER") for column in (CREATED, UPDATED, EXPIRES, LIFETIME, VECTORS, SIZE)),
            (PUT, "STRING"),
            (VALUE, "STRING"),
        ),
        indexes=(
            LocalIndex(
                f"{table_name}_created",
                (NAMESPACE, CREATED, KEY, PART),
                (UPDATED, EXPIRES, LIFETIME, PUT, VECTORS, VALUE, SIZE),
            ),
            GlobalIndex(f"{table_name}_expiring", (EXPIRES, NAMESPACE, KEY, PART), (PUT, VECTORS)),
        ),
    )


def item_key(identity: Identity, part: Any = "") -> KeyColumns:
    """The key of a row."""
    namespace, key = identity
    return [(NAMESPACE, encode_namespace(namespace)), (KEY, key), (PART, part)]


def identity_of(row: StoredRow) -> Identity:
    """The item that a row belongs to."""
    return decode_namespace(row.key[NAMESPACE]), row.key[KEY]


def item_name(identity: Identity) -> str:
    """What an item is called in errors."""
    namespace, key = identity
    return f"item {key!r} of {namespace!r}"


def put_of_row(row: StoredRow) -> str:
    """The token of the put that wrote a row."""
    return str(row.columns.get(PUT, ""))


def new_put(now: int) -> str:
    """The token of a new put: its time, and chance."""
    return f"{max(now, 0):0{_TIME_DIGITS}x}{secrets.token_hex(_TOKEN_BYTES)}"


def time_of_put(put_id: str) -> int:
    """The time of the put that a token is of."""
    return int(put_id[:_TIME_DIGITS], 16)


def part_names(put_id: str, vectors: int) -> list[str]:
    """The parts that hold the vectors of a put beyond the first."""
    return [f"{put_id}{_PART_SEPARATOR}{number}" for number in range(1, vectors)]


@dataclass(slots=True)
class StoredItem:
    """An item as it is stored.

    Attributes:
        identity: Its namespace and key.
        created_at: When it was first put.
        updated_at: When it was last put.
        expires_at: When it expires; None for never.
        lifetime: For how long it lasts after each use.
        put_id: The token of the put that it is from.
        vectors: How many vectors it has.
        value: Its value.
    """

    identity: Identity
    created_at: int
    updated_at: int
    expires_at: int | None
    lifetime: int | None
    put_id: str
    vectors: int
    value: dict[str, Any]

    @classmethod
    def of(cls, row: StoredRow) -> StoredItem:
        """From its row, or from that of the local index.

        Raises:
            StoredDataError: The row was damaged.
        """
        identity = identity_of(row)
        # In the local index, the time of making is in the key.
        columns = {**row.key, **row.columns}
        text = join_text(VALUE if VALUE in columns else LARGE, columns)
        if text is None or CREATED not in columns:
            raise StoredDataError(f"The row of {item_name(identity)} is no item. {tagged_json.DAMAGED}")
        value = tagged_json.loads(text, name=f"the value of {item_name(identity)}")
        if type(value) is not dict:
            raise StoredDataError(f"The value of {item_name(identity)} is no JSON object. {tagged_json.DAMAGED}")
        created_at = columns[CREATED]
        return cls(
            identity,
            created_at,
            columns.get(UPDATED, created_at),
            columns.get(EXPIRES),
            columns.get(LIFETIME),
            columns.get(PUT, ""),
            columns.get(VECTORS, 0),
            value,
        )

    def to_item(self) -> Item:
        """The item as LangGraph's `get` gives it."""
        namespace, key = self.identity
        return Item(
            value=self.value,
            key=key,
            namespace=namespace,
            created_at=to_datetime(self.created_at),
            updated_at=to_datetime(self.updated_at),
        )

    def to_search_item(self, score: float | None = None) -> SearchItem:
        """The item as LangGraph's `search` gives it."""
        namespace, key = self.identity
        return SearchItem(namespace, key, self.value, to_datetime(self.created_at), to_datetime(self.updated_at), score)


def is_expired(columns: Any, now: int) -> bool:
    """Whether the item in a row has expired."""
    expires_at = columns.get(EXPIRES)
    return expires_at is not None and expires_at <= now


def is_large(row: StoredRow) -> bool:
    """Whether a row was read without the item's value, which is large."""
    return VALUE not in row.columns and LARGE not in row.columns


def to_datetime(microseconds: int) -> datetime:
    """A time as LangGraph shows it."""
    return _EPOCH + timedelta(microseconds=microseconds)


@dataclass(slots=True)
class NewItem:
    """An item that is to be put.

    Attributes:
        identity: Its namespace and key.
        value: Its value as JSON.
        put_id: The token of this put.
        lifetime: For how many microseconds it lasts.
        texts: What it is found by.
        fields: The columns that searches filter by.
        vectors: The vectors of its texts, as columns hold them; none where there is no embedding model.
    """

    identity: Identity
    value: str
    put_id: str
    lifetime: int | None = None
    texts: Sequence[str] = ()
    fields: Sequence[tuple[str, Any]] = ()
    vectors: Sequence[str] = ()

    def check(self) -> None:
        """Refuse an item that no row can hold.

        Raises:
            InvalidArgumentError: It is too large.
        """
        put_row("", item_key(self.identity), self._columns(0, 0), name=item_name(self.identity))

    def write(self, table: str, *, created_at: int, now: int, condition: Condition | None) -> RowWrite:
        """The write of its own row.

        Args:
            table: The table.
            created_at: When it was first put.
            now: The time.
            condition: What has to be there; None for whatever.
        """
        columns = self._columns(created_at, now)
        return put_row(table, item_key(self.identity), columns, name=item_name(self.identity), condition=condition)

    def parts(self, table: str) -> list[RowWrite]:
        """The writes of the rows of its further vectors."""
        names = part_names(self.put_id, len(self.vectors))
        return [
            put_row(
                table,
                item_key(self.identity, name),
                [(PUT, self.put_id), (EMBEDDING, vector), *self.fields],
                name=f"a vector of {item_name(self.identity)} ({name})",
            )
            for name, vector in zip(names, self.vectors[1:], strict=True)
        ]

    def _columns(self, created_at: int, now: int) -> list[tuple[str, Any]]:
        columns: list[tuple[str, Any]] = [
            (CREATED, created_at),
            (UPDATED, max(now, created_at)),
            (PUT, self.put_id),
            (VECTORS, len(self.vectors)),
        ]
        if self.lifetime is not None:
            columns += [(EXPIRES, now + self.lifetime), (LIFETIME, self.lifetime)]
        size = len(self.value.encode())
        if size <= MAX_INLINE:
            columns.append((VALUE, self.value))
        else:
            columns += [*_cut(LARGE, self.value, self.identity), (SIZE, size)]
        if self.texts:
            columns += self._text()
        if self.vectors:
            columns.append((EMBEDDING, self.vectors[0]))
        return [*columns, *self.fields]

    def _text(self) -> list[tuple[str, Any]]:
        columns = _cut(TEXT, "\n".join(self.texts), self.identity)
        if len(columns) > 1:
            raise InvalidArgumentError(
                f"The texts that {item_name(self.identity)} is found by have more than 2 MB. Name the fields to search "
                "with index=[...], or give index=False."
            )
        return columns


def delete_item(table: str, identity: Identity, put_before: str | None, *, expires_at: int | None = None) -> RowWrite:
    """The write that deletes an item's own row, unless it was put anew.

    Args:
        table: The table.
        identity: The item.
        put_before: The token of its put; None to delete it whatever is there.
        expires_at: When it expires, where it is to be deleted only if it still does.
    """
    # A deletion that is repeated because its answer was lost meets no row, which is fine.
    tests = [
        SingleColumnCondition(column, value, ComparatorType.EQUAL, pass_if_missing=True)
        for column, value in ((PUT, put_before), (EXPIRES, expires_at))
        if value is not None
    ]
    condition: Any = tests[0] if tests else None
    if len(tests) > 1:
        condition = CompositeColumnCondition(LogicalOperator.AND)
        for test in tests:
            condition.add_sub_condition(test)
    unchanged = Condition(RowExistenceExpectation.IGNORE, condition)
    return delete_row(table, item_key(identity), name=item_name(identity), condition=unchanged)


def delete_parts(table: str, identity: Identity, put_id: str, vectors: int) -> list[RowWrite]:
    """The writes that delete the rows of a put's further vectors."""
    return [
        delete_row(table, item_key(identity, name), name=f"a vector of {item_name(identity)} ({name})")
        for name in part_names(put_id, vectors)
    ]


def refresh_item(table: str, item: StoredItem, now: int) -> RowWrite:
    """The write that lets an item last from now on, unless it was put anew or deleted."""
    assert item.lifetime is not None
    return update_row(
        table,
        item_key(item.identity),
        [(EXPIRES, now + item.lifetime)],
        name=item_name(item.identity),
        condition=Condition(RowExistenceExpectation.EXPECT_EXIST, column_unchanged({PUT: item.put_id}, PUT)),
    )


def follows(put_before: str | None) -> Condition:
    """The condition that an item is still from the put of this token, or, for None, still not there."""
    return Condition(RowExistenceExpectation.IGNORE, column_unchanged({PUT: put_before}, PUT))


def _cut(column: str, text: str, identity: Identity) -> list[tuple[str, Any]]:
    try:
        return list(split_text(column, text))
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{item_name(identity)} cannot be stored: {error}") from None
