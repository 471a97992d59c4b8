"""Exact nearest-neighbour search over the vectors of one field, kept in memory.

The matrix is loaded with one scan and then follows the index's log of changes, so that it also sees the writes of
other processes. Scores are those of the service, as far as they are known: cosine ``(1 + cos) / 2``, Euclidean
``1 / (1 + d²)``, dot product ``(1 + x·y) / 2`` and never less than 0 ("KNN vector query", Tablestore). Vectors
without a direction have a cosine of 0 to any other.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from langchain_tablestore_memory.local.messages import search

from .run import Outdated
from .scores import Docs, Scores, Values

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from .definitions import Field
    from .run import Condition, Run
    from .store import Store

_CHUNK: Final = 2000
_SPARE: Final = 1024
_FEW: Final = 8192
# Up to this share of the rows is picked out before multiplying; beyond it the whole matrix is multiplied.
_PICKED_SHARE: Final = 0.25
# Single precision is off by a few units of the seventh digit; what is this close to the best is looked at again.
_MARGIN: Final = 2e-5

# Of a condition that more documents meet than these, only the nearest documents are asked for.
_MAX_LISTED: Final = 2000
_NEAREST_SHARE: Final = 20

Vector = np.ndarray[Any, np.dtype[np.float32]]
_Rows = np.ndarray[Any, np.dtype[Any]]


class Matrix:
    """The vectors of one field.

    Args:
        store: The tables of the index.
        field: The field.
    """

    def __init__(self, store: Store, field: Field) -> None:
        self._store = store
        self._field = field
        self._lock = threading.Lock()
        self._seq = -1
        self._size = 0
        self._docs: Docs = np.empty(0, np.int64)
        self._rows: np.ndarray[Any, np.dtype[np.int32]] = np.empty(0, np.int32)
        self._vectors: Vector = np.empty((0, field.dimension), np.float32)
        self._squares: Vector = np.empty(0, np.float32)

    def nearest(self, run: Run, query: Vector, count: int, condition: Condition) -> Scores:
        """Find the documents with the best scores among those that meet a condition.

        Args:
            run: The state of the index to search.
            query: The vector to be near to.
            count: How many documents to find.
            condition: The condition.

        Returns:
            At most `count` documents.

        Raises:
            Outdated: The state is older than what is known here.
        """
        listed = None
        if not run.is_everything(condition):
            listed = run.documents(condition, _MAX_LISTED + 1)
        with self._lock:
            self._refresh(run.connection)
            if listed is not None and len(listed) > _MAX_LISTED:
                docs, values = self._nearest_of_many(run, query, count, condition)
            else:
                rows = None if listed is None else self._find_rows(listed)
                docs, values = self._nearest_of(query, count, rows, self._compare(query, rows))
        return _best(docs, values, count, run.by_key)

    def _nearest_of(
        self, query: Vector, count: int, rows: _Rows | None, coarse: np.ndarray[Any, Any]
    ) -> tuple[Docs, Values]:
        """Score the best rows, and those that cannot be told from them in single precision."""
        if len(coarse) > count:
            best = np.partition(coarse, len(coarse) - count)[len(coarse) - count]
            chosen = np.flatnonzero(coarse >= best - _MARGIN * self._scale(query))
        else:
            chosen = np.arange(len(coarse))
        if rows is not None:
            chosen = rows[chosen]
        return self._docs[chosen], self._score(query, self._vectors[chosen].astype(np.float64))

    def _nearest_of_many(self, run: Run, query: Vector, count: int, condition: Condition) -> tuple[Docs, Values]:
        """Find the best where many rows meet the condition: ask only for the nearest whether they do."""
        coarse = self._compare(query, None)
        wanted = min(count * _NEAREST_SHARE + _SPARE, len(coarse))
        if not wanted:
            return self._docs[:0], np.empty(0)
        cut = np.partition(coarse, len(coarse) - wanted)[len(coarse) - wanted]
        near = self._docs[np.flatnonzero(coarse >= cut)]
        near.sort()
        rows = self._find_rows(run.restrict(near, condition))
        if len(rows) >= count:
            worst = np.partition(coarse[rows], len(rows) - count)[len(rows) - count]
            if worst - _MARGIN * self._scale(query) > cut:
                return self._nearest_of(query, count, rows, coarse[rows])
        rows = self._find_rows(run.documents(condition))
        return self._nearest_of(query, count, rows, coarse[rows])

    def _find_rows(self, docs: Docs) -> _Rows:
        rows = self._rows[docs[docs < len(self._rows)]]
        return rows[rows >= 0]

    def _compare(self, query: Vector, rows: _Rows | None) -> np.ndarray[Any, Any]:
        """Compute a number for each row that rises with its score."""
        if rows is None:
            return self._relate(self._vectors[: self._size] @ query, self._squares[: self._size])
        if len(rows) <= self._size * _PICKED_SHARE:
            return self._relate(_multiply(self._vectors[rows], query), self._squares[rows])
        return self._relate((self._vectors[: self._size] @ query)[rows], self._squares[rows])

    def _relate(self, products: np.ndarray[Any, Any], squares: Vector) -> np.ndarray[Any, Any]:
        if self._field.metric == search.VM_DOT_PRODUCT:
            return products
        if self._field.metric == search.VM_EUCLIDEAN:
            return 2 * products - squares
        return products / np.sqrt(np.maximum(squares, np.float32(1e-37)))

    def _scale(self, query: Vector) -> float:
        """How large the numbers are whose rounding `_compare` suffers from."""
        length = math.sqrt(np.dot(query, query))
        if self._field.metric == search.VM_COSINE:
            return length
        largest = float(self._squares[: self._size].max())
        return length * math.sqrt(largest) + largest

    def _score(self, query: Vector, vectors: Values) -> Values:
        wanted = query.astype(np.float64)
        if self._field.metric == search.VM_EUCLIDEAN:
            distances: Values = ((vectors - wanted) ** 2).sum(axis=1)
            return 1 / (1 + distances)
        products: Values = _multiply(vectors, wanted)
        if self._field.metric == search.VM_DOT_PRODUCT:
            return np.maximum((1 + products) / 2, 0)
        lengths: Values = np.sqrt((vectors**2).sum(axis=1) * (wanted @ wanted))
        cosines: Values = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
        return (1 + cosines) / 2

    def _refresh(self, connection: sqlite3.Connection) -> None:
        first, last = self._store.log_range(connection)
        seq = self._seq
        if last == seq:
            return
        if last < seq:
            raise Outdated
        # What is interrupted half-way is loaded anew.
        self._seq = -1
        if seq < 0 or first > seq + 1 or last - seq > max(self._size // 4, _CHUNK):
            self._load(connection)
        else:
            self._follow(connection, seq)
        self._seq = last

    def _load(self, connection: sqlite3.Connection) -> None:
        table = self._store.vectors(self._field)
        # All documents, of which few have no vector: to count the vectors would be to read them all.
        (count,) = connection.execute(f"SELECT count(*) FROM {self._store.docs}").fetchone()  # noqa: S608
        (end,) = connection.execute(f"SELECT coalesce(max(doc), 0) + 1 FROM {table}").fetchone()  # noqa: S608
        self._docs = np.empty(count + _SPARE, np.int64)
        self._vectors = np.empty((count + _SPARE, self._field.dimension), np.float32)
        self._size = 0
        cursor = connection.execute(f"SELECT doc, vector FROM {table} ORDER BY doc")  # noqa: S608
        while found := cursor.fetchmany(_CHUNK):
            docs, blobs = zip(*found, strict=True)
            after = self._size + len(docs)
            self._docs[self._size : after] = docs
            self._vectors[self._size : after] = np.frombuffer(b"".join(blobs), "<f4").reshape(len(docs), -1)
            self._size = after
        self._squares = np.empty(len(self._docs), np.float32)
        used = self._vectors[: self._size]
        self._squares[: self._size] = np.einsum("ij,ij->i", used, used)
        self._rows = np.full(end + _SPARE, -1, np.int32)
        self._rows[self._docs[: self._size]] = np.arange(self._size, dtype=np.int32)

    def _follow(self, connection: sqlite3.Connection, seq: int) -> None:
        cursor = connection.execute(
            f"SELECT l.doc, v.vector FROM (SELECT DISTINCT doc FROM {self._store.log} WHERE seq > ?) l"  # noqa: S608
            f" LEFT JOIN {self._store.vectors(self._field)} v ON v.doc = l.doc",
            (seq,),
        )
        for doc, blob in cursor:
            if blob is None:
                self._remove(doc)
            else:
                self._put(doc, np.frombuffer(blob, "<f4"))

    def _put(self, doc: int, vector: Vector) -> None:
        if doc >= len(self._rows):
            grown = np.full(doc + doc // 8 + _SPARE, -1, np.int32)
            grown[: len(self._rows)] = self._rows
            self._rows = grown
        row = int(self._rows[doc])
        if row < 0:
            row = self._size
            if row == len(self._docs):
                self._grow()
            self._size += 1
            self._rows[doc] = row
            self._docs[row] = doc
        self._vectors[row] = vector
        self._squares[row] = np.dot(vector, vector)

    def _remove(self, doc: int) -> None:
        row = int(self._rows[doc]) if doc < len(self._rows) else -1
        if row < 0:
            return
        self._size -= 1
        last = self._size
        self._docs[row] = self._docs[last]
        self._vectors[row] = self._vectors[last]
        self._squares[row] = self._squares[last]
        self._rows[self._docs[row]] = row
        self._rows[doc] = -1

    def _grow(self) -> None:
        size = self._size + self._size // 8 + _SPARE
        docs, vectors, squares = self._docs, self._vectors, self._squares
        self._docs = np.empty(size, np.int64)
        self._vectors = np.empty((size, self._field.dimension), np.float32)
        self._squares = np.empty(size, np.float32)
        self._docs[: self._size] = docs[: self._size]
        self._vectors[: self._size] = vectors[: self._size]
        self._squares[: self._size] = squares[: self._size]


def _multiply(vectors: np.ndarray[Any, Any], query: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Compute dot products in this thread, where they are few.

    From some thousand numbers on BLAS shares the work with threads of its own, and waits for them. On a busy machine
    that takes a hundred times longer than the work.
    """
    products: np.ndarray[Any, Any] = np.einsum("ij,j->i", vectors, query) if len(vectors) <= _FEW else vectors @ query
    return products


def _best(docs: Docs, values: Values, count: int, break_ties: Callable[[Docs], Docs]) -> Scores:
    if len(docs) > count:
        order = np.argsort(-values, kind="stable")
        last = values[order[count - 1]]
        above = np.flatnonzero(values > last)
        tied = np.flatnonzero(values == last)
        wanted = count - len(above)
        if len(tied) > wanted:
            chosen = set(break_ties(docs[tied])[:wanted].tolist())
            tied = np.array([place for place in tied if int(docs[place]) in chosen], np.int64)
        kept = np.concatenate((above, tied))
        docs, values = docs[kept], values[kept]
    order = np.argsort(docs)
    return Scores(docs[order], values[order])
