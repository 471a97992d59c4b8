"""What queries are carried out on: one state of one index, for the length of one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import orjson

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from .caches import IndexCaches
    from .definitions import SearchIndex
    from .scores import Docs
    from .store import Store

# Of more documents than this, all that meet a condition are read instead of asking for each.
_MAX_ASKED = 20_000


class Condition(NamedTuple):
    """An SQL condition on a row ``d`` of the table of documents; true, false or NULL, which counts as false."""

    sql: str
    params: tuple[object, ...] = ()


ALL = Condition("1")
NONE = Condition("0")


def join(parts: Sequence[Condition], operator: str) -> Condition:
    """Join conditions, as a balanced tree: SQLite limits the depth of an expression to 1000.

    Args:
        parts: One or more conditions.
        operator: ``AND``, ``OR`` or ``+``.

    Returns:
        The condition.
    """
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    left, right = join(parts[:middle], operator), join(parts[middle:], operator)
    return Condition(f"({left.sql} {operator} {right.sql})", left.params + right.params)


def is_not(condition: Condition) -> Condition:
    """Turn a condition round, so that NULL becomes true."""
    return Condition(f"({condition.sql}) IS NOT TRUE", condition.params)


def one_of(docs: Docs) -> Condition:
    """The condition that a document is one of a list."""
    return Condition("d.doc IN (SELECT value FROM json_each(?))", (to_json(docs),))


class Outdated(Exception):  # noqa: N818 - no failure: the search begins anew
    """A search sees a state of the index that is older than what is kept in memory of it."""


def read_array(connection: sqlite3.Connection, sql: str, params: tuple[object, ...] = ()) -> Docs:
    """Read many integers in less than half of the time that a row for each of them takes.

    Args:
        connection: A connection.
        sql: A SELECT of one ``json_group_array``.
        params: Its parameters.

    Returns:
        The integers.
    """
    return np.array(orjson.loads(connection.execute(sql, params).fetchone()[0]), np.int64)


def to_json(numbers: Docs) -> str:
    """Write an array of integers as JSON, for ``json_each``."""
    return orjson.dumps(np.ascontiguousarray(numbers), option=orjson.OPT_SERIALIZE_NUMPY).decode()


class Run:
    """One state of an index.

    Args:
        connection: A connection that sees this state.
        index: The index.
        store: Its tables.
        live: What a document must meet to be found at all, where time-to-live is set.
        limit: How many results the call asks for.
        caches: What is kept in memory of the index.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        index: SearchIndex,
        store: Store,
        live: Condition | None,
        limit: int,
        caches: IndexCaches,
    ) -> None:
        self.connection = connection
        self.index = index
        self.store = store
        self.live = live
        self.limit = limit
        self.caches = caches

    def where(self, condition: Condition) -> Condition:
        """Add what a document must meet to be found at all."""
        return condition if self.live is None else join([self.live, condition], "AND")

    def is_everything(self, condition: Condition) -> bool:
        """Say whether a condition is known to hold for all documents."""
        return condition is ALL and self.live is None

    def documents(self, condition: Condition, limit: int = -1) -> Docs:
        """Find the documents that meet a condition.

        Args:
            condition: The condition.
            limit: How many to find, -1 for all.

        Returns:
            The documents in rising order.
        """
        sql, params = self.where(condition)
        docs = read_array(
            self.connection,
            f"SELECT json_group_array(doc) FROM (SELECT d.doc FROM {self.store.docs} d WHERE {sql} LIMIT ?)",  # noqa: S608
            (*params, limit),
        )
        docs.sort()
        return docs

    def restrict(self, docs: Docs, condition: Condition) -> Docs:
        """Keep those of some documents that meet a condition.

        Args:
            docs: The documents in rising order.
            condition: The condition.

        Returns:
            The documents that meet it, in rising order.
        """
        if self.is_everything(condition):
            return docs
        if len(docs) > _MAX_ASKED:
            return np.intersect1d(docs, self.documents(condition), assume_unique=True)
        sql, params = self.where(condition)
        kept = read_array(
            self.connection,
            f"SELECT json_group_array(d.doc) FROM json_each(?) s CROSS JOIN {self.store.docs} d ON d.doc = s.value"  # noqa: S608
            f" WHERE {sql}",
            (to_json(docs), *params),
        )
        kept.sort()
        return kept

    def by_key(self, docs: Docs) -> Docs:
        """Put documents in the order of their primary keys."""
        found = self.connection.execute(
            f"SELECT d.doc FROM json_each(?) s CROSS JOIN {self.store.docs} d ON d.doc = s.value ORDER BY d.key",  # noqa: S608
            (to_json(docs),),
        ).fetchall()
        return np.fromiter([doc for (doc,) in found], np.int64, len(found))
