"""The postings of a TEXT field: in which documents a token is, how often, and what BM25 makes of it.

FTS5 keeps them, and lists a token's places quickly; its own ``bm25()`` looks up the length of every document, which
takes four times as long, and has another idf. So the lengths of all documents are kept in memory here, as well as the
postings of common tokens from their first search on. Both follow the index's log of changes.

The service scores as older Lucene does: ``idf · f · (k1 + 1) / (f + k1 · (1 - b + b · length / average))`` with
``k1 = 1.2`` and ``b = 0.75``.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from .run import Outdated, read_array, to_json
from .scores import Docs, Scores
from .values import GAP, WORD_END

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from .definitions import Field
    from .store import Store

K1: Final = 1.2
B: Final = 0.75
# Tokens with fewer places are asked for anew each time.
COMMON: Final = 1000
# How many entries are kept, at 12 bytes each.
_MAX_ENTRIES: Final = 4_000_000
# After more changes than this all is forgotten, which costs less than following them.
_MAX_CHANGES: Final = 2000

_SEPARATORS: Final = (GAP, WORD_END)

Counts = np.ndarray[Any, np.dtype[np.int32]]


class _Entry(NamedTuple):
    """The documents that have a token, in rising order, and how often each has it."""

    docs: Docs
    counts: Counts


class Postings:
    """The common tokens of one field.

    Args:
        store: The tables of the index.
        field: The field.
    """

    def __init__(self, store: Store, field: Field) -> None:
        self._store = store
        self._field = field
        self._lock = threading.Lock()
        self._seq = -1
        self._lengths: Counts = np.zeros(0, np.int32)
        # How many documents have a token, and how many tokens there are.
        self._count = 0
        self._total = 0
        self._norms: np.ndarray[Any, Any] | None = None
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def token(self, connection: sqlite3.Connection, token: str) -> Scores:
        """Score the documents that have a token.

        Args:
            connection: A connection whose view of the data is searched.
            token: The token in FTS5's form.

        Returns:
            The documents with BM25's scores.

        Raises:
            Outdated: The view is older than what is known here.
        """
        with self._lock:
            self._refresh(connection)
            docs, counts = self._entry(connection, token)
            return self._scores(docs, counts, lucene_idf(self._count, len(docs)))

    def phrase(self, connection: sqlite3.Connection, tokens: Sequence[str], docs: Docs, counts: Counts) -> Scores:
        """Score the documents that have a phrase, whose idf is the sum of its tokens'.

        Args:
            connection: A connection whose view of the data is searched.
            tokens: The tokens of the phrase in FTS5's form.
            docs: The documents that have it.
            counts: How often.

        Returns:
            The documents with BM25's scores.

        Raises:
            Outdated: The view is older than what is known here.
        """
        sql = f"SELECT doc FROM {self._store.terms(self._field)} WHERE term = ?"  # noqa: S608 - the name is ours
        found = {token: connection.execute(sql, (token,)).fetchone() for token in set(tokens)}
        with self._lock:
            self._refresh(connection)
            idf = sum(lucene_idf(self._count, 0 if found[token] is None else found[token][0]) for token in tokens)
            return self._scores(docs, counts, idf)

    def _scores(self, docs: Docs, counts: Counts, idf: float) -> Scores:
        if self._norms is None:
            # Where no document has a word there is nothing to score, and nothing to divide by.
            average = self._total / max(1, self._count) or 1.0
            self._norms = K1 * (1 - B + B * self._lengths / average)
        return Scores(docs, idf * (K1 + 1) * counts / (counts + self._norms[docs]))

    def _entry(self, connection: sqlite3.Connection, token: str) -> _Entry:
        known = self._entries.get(token)
        if known is not None:
            self._entries.move_to_end(token)
            return known
        sql = f"SELECT json_group_array(doc) FROM {self._store.places(self._field)} WHERE term = ?"  # noqa: S608 - ours
        places = read_array(connection, sql, (token,))
        docs, counts = np.unique(places, return_counts=True)
        entry = _Entry(docs, counts.astype(np.int32))
        if len(places) >= COMMON:
            self._entries[token] = entry
            while len(self._entries) > 1 and sum(len(kept.docs) for kept in self._entries.values()) > _MAX_ENTRIES:
                self._entries.popitem(last=False)
        return entry

    def _refresh(self, connection: sqlite3.Connection) -> None:
        """Follow the changes."""
        first, last = self._store.log_range(connection)
        seq = self._seq
        if last == seq:
            return
        if last < seq:
            raise Outdated
        # What is interrupted half-way is loaded anew.
        self._seq = -1
        if seq < 0 or first > seq + 1 or last - seq > _MAX_CHANGES:
            self._load(connection)
        else:
            self._follow(connection, seq)
        self._seq = last

    def _load(self, connection: sqlite3.Connection) -> None:
        self._norms = None
        self._entries.clear()
        table = f"{self._store.text(self._field)}_docsize"
        found = connection.execute(f"SELECT id, sz FROM {table} ORDER BY id").fetchall()  # noqa: S608
        docs = np.fromiter([doc for doc, _ in found], np.int64, len(found))
        lengths = {size: read_number(size) for size in {size for _, size in found}}
        self._lengths = np.zeros(int(docs[-1]) + 1 if found else 1, np.int32)
        self._lengths[docs] = [lengths[size] for _, size in found]
        self._total = int(self._lengths.sum())
        self._count = int(np.count_nonzero(self._lengths))

    def _follow(self, connection: sqlite3.Connection, seq: int) -> None:
        changes = connection.execute(
            f"SELECT DISTINCT doc FROM {self._store.log} WHERE seq > ? ORDER BY doc",  # noqa: S608
            (seq,),
        ).fetchall()
        docs = np.array([doc for (doc,) in changes], np.int64)
        texts = connection.execute(
            f"SELECT id, c0 FROM {self._store.text(self._field)}_content"  # noqa: S608
            " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
            (to_json(docs),),
        ).fetchall()
        tokens = {doc: _split(text) for doc, text in texts}
        if docs[-1] >= len(self._lengths):
            grown = np.zeros(int(docs[-1]) + len(self._lengths) // 8 + 1, np.int32)
            grown[: len(self._lengths)] = self._lengths
            self._lengths = grown
        self._total -= int(self._lengths[docs].sum())
        self._count -= int(np.count_nonzero(self._lengths[docs]))
        self._lengths[docs] = [len(tokens.get(doc, ())) for (doc,) in changes]
        self._total += int(self._lengths[docs].sum())
        self._count += int(np.count_nonzero(self._lengths[docs]))
        self._norms = None
        for token, entry in self._entries.items():
            self._entries[token] = _changed(entry, docs, {doc: words.count(token) for doc, words in tokens.items()})


def _changed(entry: _Entry, docs: Docs, counts: dict[int, int]) -> _Entry:
    """Replace the entries of some documents."""
    places = np.searchsorted(entry.docs, docs)
    inside = places < len(entry.docs)
    gone = places[inside][entry.docs[places[inside]] == docs[inside]]
    new = [(doc, count) for doc, count in counts.items() if count]
    # Most changes are of documents that never had the token.
    if not new and not len(gone):
        return entry
    kept_docs, kept_counts = np.delete(entry.docs, gone), np.delete(entry.counts, gone)
    if not new:
        return _Entry(kept_docs, kept_counts)
    new_docs = np.array([doc for doc, _ in new], np.int64)
    places = np.searchsorted(kept_docs, new_docs)
    return _Entry(np.insert(kept_docs, places, new_docs), np.insert(kept_counts, places, [count for _, count in new]))


def _split(text: str) -> list[str]:
    for separator in _SEPARATORS:
        text = text.replace(separator, " ")
    return text.split(" ")


def read_number(record: bytes) -> int:
    """Read the first number of a record of FTS5: seven bits in each byte, the highest first."""
    number = 0
    for byte in record:
        number = number << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a number
            break
    return number


def lucene_idf(total: int, count: int) -> float:
    """How much the rarity of a token counts, as Lucene has it."""
    return math.log(1 + (total - count + 0.5) / (count + 0.5))
