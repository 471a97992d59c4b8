"""Search indexes as they are wanted and as they exist: create, attach, verify, wait until ready."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tablestore import FieldSchema, IndexSetting, SearchIndexMeta, SyncPhase

from langchain_tablestore_memory.core.failures import is_missing_table
from langchain_tablestore_memory.core.programs import Call, Program, Sleep
from langchain_tablestore_memory.core.schema import TableSchema, ensure_table
from langchain_tablestore_memory.core.search_fields import kind_of, metric_name
from langchain_tablestore_memory.errors import SchemaMismatchError, ServiceError, UnavailableError
from langchain_tablestore_memory.filters import FieldKind, FieldType

if TYPE_CHECKING:
    from langchain_tablestore_memory.connection import Connection

T = TypeVar("T")

_READY_WITHIN = 600.0
"""Seconds to wait for an index that is built over existing rows."""

_FIRST_POLL, _LAST_POLL = 0.02, 1.0
"""Seconds between looks at an index. They double from the first to the last."""

_ALREADY_EXISTS = "OTSObjectAlreadyExist"
_NO_INDEX = "OTSMetaNotMatch"
_GONE = re.compile(r"(table|index) \[[^\]]*\] does not exist")


@dataclass(frozen=True, slots=True)
class VectorSpace:
    """What vectors a field holds.

    Attributes:
        dimension: Numbers in a vector.
        metric: How two are compared: ``cosine``, ``euclidean`` or ``dot_product``.
    """

    dimension: int
    metric: str


@dataclass(frozen=True, slots=True)
class SearchIndex:
    """A search index as it exists.

    Attributes:
        table: The table.
        name: Its name.
        fields: What filters may ask of its fields.
        vectors: Its fields of vectors.
        routing: The key columns by which it is partitioned.
    """

    table: str
    name: str
    fields: Mapping[str, FieldKind]
    vectors: Mapping[str, VectorSpace]
    routing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchIndexSchema:
    """A search index as it is wanted.

    Attributes:
        table: Its table.
        name: Its name. None takes the index that the table has, or makes one named `{table}_search_index`.
        declared: Its fields.
        routing: The key columns by which it is partitioned, where it has to be made.
        optional: Fields that an index which exists may lack.
        advice: What has to be done, besides, where an index that exists lacks a field or has another; for errors.
    """

    table: TableSchema
    name: str | None
    declared: tuple[FieldSchema, ...] = field(compare=False)
    routing: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    advice: str = field(default="", compare=False)
    signature: tuple[Any, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "signature", tuple(map(_signature, self.declared)))

    @property
    def default_name(self) -> str:
        """What it is called where it has to be made."""
        return self.name or f"{self.table.name}_search_index"


def ensure_search_index(connection: Connection, schema: SearchIndexSchema) -> Program[SearchIndex]:
    """Create what is missing, the table included, attach to what exists, verify it, and wait until it is ready.

    Several processes may do so at once.

    Raises:
        SchemaMismatchError: What exists is not what is wanted; says what differs and what to do.
    """
    yield from ensure_table(connection, schema.table)
    found = yield from _find(schema)
    if found is None:
        yield from _create(schema)
        found = yield from _find(schema)
        if found is None:
            raise SchemaMismatchError(
                f"Search index {schema.default_name!r} was created and is gone again. Is another process deleting it?"
            )
    index, built = found
    if not built:
        yield from _wait_until_built(index)
    connection.search_indexes[schema] = index
    return index


def find_search_index(schema: SearchIndexSchema) -> Program[SearchIndex | None]:
    """The search index that exists and does for what is wanted; None where the table has none, or is not there.

    Raises:
        SchemaMismatchError: What exists is not what is wanted; says what differs and what to do.
    """
    found = yield from _find(schema)
    return None if found is None else found[0]


def existing_dimension(schema: SearchIndexSchema, field_name: str) -> Program[int | None]:
    """How many numbers the vectors in a field of the existing index have; None where there are none."""
    index = yield from find_search_index(schema)
    space = None if index is None else index.vectors.get(field_name)
    return None if space is None else space.dimension


def with_search_index(
    connection: Connection, schema: SearchIndexSchema, make: Callable[[SearchIndex], Program[T]]
) -> Program[T]:
    """Run a program that has to know the existing search index.

    It is looked up once per connection. Where it or its table has vanished since, it is made again.
    """
    known = connection.search_indexes.get(schema)
    if known is not None:
        try:
            return (yield from make(known))
        except ServiceError as error:
            if not is_missing(error):
                raise
    return (yield from make((yield from ensure_search_index(connection, schema))))


def drop_search_indexes(connection: Connection, schema: SearchIndexSchema) -> Program[None]:
    """Delete all search indexes of the table, which otherwise cannot be deleted. A missing table is fine."""
    connection.search_indexes.pop(schema, None)
    for name in (yield from _names(schema.table.name)):
        try:
            yield Call("delete_search_index", schema.table.name, name)
        except ServiceError as error:
            if not is_missing(error):
                raise


def is_missing(error: ServiceError) -> bool:
    """Whether a request failed because its table or search index does not exist."""
    return is_missing_table(error) or error.code == _NO_INDEX or _GONE.search(str(error)) is not None


def is_synced(connection: Connection, schema: SearchIndexSchema, *, timeout: float) -> Program[bool]:
    """Wait until the index holds what was written before the call, by this machine's clock.

    Args:
        connection: The connection.
        schema: The index.
        timeout: Seconds to wait.

    Returns:
        Whether it does.
    """
    written = time.time_ns()

    def look(index: SearchIndex) -> Program[bool]:
        _, state = yield Call("describe_search_index", index.table, index.name)
        return bool(state.sync_phase == SyncPhase.INCR and state.current_sync_timestamp >= written)

    return (yield from _poll(lambda: with_search_index(connection, schema, look), timeout))


def wait_until_synced(connection: Connection, schema: SearchIndexSchema, *, timeout: float) -> Program[None]:
    """Wait until the index holds what was written before the call.

    Raises:
        UnavailableError: It does not after `timeout` seconds.
    """
    if not (yield from is_synced(connection, schema, timeout=timeout)):
        raise UnavailableError(
            f"The search index of {schema.table.name!r} has not caught up with its table after {timeout} s. Wait "
            "longer, and compare this machine's clock with the time of day.",
            api="describe_search_index",
        )


def wait_until_visible(missing: Callable[[], Program[int]], *, timeout: float) -> Program[None]:
    """Wait until nothing is missing any more.

    Args:
        missing: Makes a program that counts what searches do not show yet.
        timeout: Seconds to wait.

    Raises:
        UnavailableError: Something is still missing after `timeout` seconds.
    """
    left = 0

    def look() -> Program[bool]:
        nonlocal left
        left = yield from missing()
        return left == 0

    if not (yield from _poll(look, timeout)):
        raise UnavailableError(
            f"{left} of the documents are not found by searches after {timeout} s. If they were stored, wait longer.",
            api="search",
        )


def _poll(look: Callable[[], Program[bool]], timeout: float) -> Program[bool]:
    """Look until the answer is yes, ever less often, for `timeout` seconds."""
    end = time.monotonic() + timeout
    pause = _FIRST_POLL
    while not (yield from look()):
        left = end - time.monotonic()
        if left <= 0:
            return False
        yield Sleep(min(pause, left))
        pause = min(2 * pause, _LAST_POLL)
    return True


def _names(table: str) -> Program[list[str]]:
    try:
        found = yield Call("list_search_index", table)
    except ServiceError as error:
        if is_missing(error):
            return []
        raise
    return [index for _, index in found]


def _find(schema: SearchIndexSchema) -> Program[tuple[SearchIndex, bool] | None]:
    """The index that does, and whether it holds the rows that the table had when it was made."""
    names = yield from _names(schema.table.name)
    if schema.name is not None:
        names = [name for name in names if name == schema.name]
    # Of several that would do, that of our own name is taken.
    names.sort(key=lambda name: name != schema.default_name)
    complaint = None
    for name in names:
        meta, state = yield Call("describe_search_index", schema.table.name, name)
        index = _existing(schema.table.name, name, meta)
        difference = _difference(schema, index, {declared.field_name: declared for declared in meta.fields})
        if difference is None:
            return index, state.sync_phase == SyncPhase.INCR
        complaint = complaint or f"Search index {name!r} of table {schema.table.name!r} {difference}"
    if complaint is not None:
        raise SchemaMismatchError(complaint)
    return None


def _existing(table: str, name: str, meta: SearchIndexMeta) -> SearchIndex:
    return SearchIndex(
        table,
        name,
        {declared.field_name: kind_of(declared) for declared in meta.fields},
        {
            declared.field_name: VectorSpace(
                declared.vector_options.dimension, metric_name(declared.vector_options.metric_type)
            )
            for declared in meta.fields
            if kind_of(declared).type is FieldType.VECTOR
        },
        tuple(meta.index_setting.routing_fields) if meta.index_setting else (),
    )


def _difference(schema: SearchIndexSchema, index: SearchIndex, existing: Mapping[str, FieldSchema]) -> str | None:
    """What an index lacks of what is wanted, in words; None for nothing."""
    if index.routing and not schema.routing:
        # Without naming one, searches would show everybody's rows.
        return f"is partitioned by {', '.join(index.routing)}: its rows have owners. Give enable_multi_tenant=True."
    if schema.routing and index.routing != schema.routing:
        # Whoever opens it without tenants would be shown the rows of all of them.
        owners = ", ".join(schema.routing)
        return f"is not partitioned by {owners}: its rows have no owners. Keep documents of tenants in another table."
    another = (
        "Give another search_index_name: a second index is then built over the rows that exist."
        f"{schema.advice and ' '}{schema.advice}"
    )
    for wanted in schema.declared:
        name = wanted.field_name
        found = existing.get(name)
        if found is None and name in schema.optional:
            continue
        if found is None:
            return f"lacks the field {name!r}; it has {', '.join(sorted(existing))}. {another}"
        if kind_of(found) != kind_of(wanted):
            kinds = f"{kind_of(found).describe()}, not for {kind_of(wanted).describe()}"
            return f"has a field {name!r} for {kinds}. {another}"
        if wanted.vector_options is None:
            continue
        space, asked = found.vector_options, wanted.vector_options
        if space.dimension != asked.dimension:
            return (
                f"has vectors of {space.dimension} dimensions, not {asked.dimension}. Use the embedding model that it "
                "was made for, or another table."
            )
        if space.metric_type != asked.metric_type:
            metrics = f"{metric_name(space.metric_type)}, not by {metric_name(asked.metric_type)}"
            return f"compares vectors by {metrics}. Ask for the former. {another}"
    return None


def _create(schema: SearchIndexSchema) -> Program[None]:
    meta = SearchIndexMeta(
        list(schema.declared), IndexSetting(list(schema.routing)), time_to_live=schema.table.time_to_live
    )
    try:
        yield Call("create_search_index", schema.table.name, schema.default_name, meta)
    except ServiceError as error:
        if error.code != _ALREADY_EXISTS:
            raise


def _wait_until_built(index: SearchIndex) -> Program[None]:
    def look() -> Program[bool]:
        _, state = yield Call("describe_search_index", index.table, index.name)
        return bool(state.sync_phase == SyncPhase.INCR)

    if not (yield from _poll(look, _READY_WITHIN)):
        raise UnavailableError(
            f"Search index {index.name!r} is still being built after {_READY_WITHIN:.0f} s. It goes on by itself: "
            "try again later.",
            api="describe_search_index",
        )


def _signature(declared: FieldSchema) -> tuple[Any, ...]:
    """What of a field has to be as wanted."""
    options = declared.vector_options
    space = None if options is None else (options.dimension, int(options.metric_type))
    return declared.field_name, kind_of(declared), space
