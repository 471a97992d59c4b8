"""Scored documents as NumPy arrays, and how the scores of several clauses are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

# From so many documents on, if their numbers reach no further than so many times as high.
_MANY: Final = 20_000
_SPREAD: Final = 16

Docs = np.ndarray[Any, np.dtype[np.int64]]
Values = np.ndarray[Any, np.dtype[np.float64]]


class Scores(NamedTuple):
    """Documents in rising order, and the score of each."""

    docs: Docs
    values: Values

    def weighted(self, weight: float) -> Scores:
        """Multiply all scores."""
        return self if weight == 1.0 else Scores(self.docs, self.values * weight)

    def only(self, docs: Docs) -> Scores:
        """Keep the documents that are also in a rising list."""
        if len(docs) == len(self.docs):
            return self
        kept = contains(docs, self.docs)
        return Scores(self.docs[kept], self.values[kept])


def constant(docs: Docs, score: float) -> Scores:
    """Give all documents one score."""
    return Scores(docs, np.full(len(docs), score))


def union(parts: Sequence[Scores], minimum: int = 1) -> Scores:
    """Add up the scores of documents that are in at least so many parts.

    Args:
        parts: The parts.
        minimum: In how many of them a document must be.

    Returns:
        The documents and the sums.
    """
    if len(parts) == 1 and minimum <= 1:
        return parts[0]
    if minimum > len(parts) or not parts:
        return constant(np.empty(0, np.int64), 0.0)
    docs = np.concatenate([part.docs for part in parts])
    if not len(docs):
        return constant(docs, 0.0)
    end = int(docs.max()) + 1
    if len(docs) > _MANY and end < len(docs) * _SPREAD:
        return _dense_union(parts, minimum, end)
    # The parts are in order already, which a stable sort makes use of.
    order = np.argsort(docs, kind="stable")
    docs = docs[order]
    first = np.empty(len(docs), bool)
    first[0] = True
    np.not_equal(docs[1:], docs[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    sums = np.add.reduceat(np.concatenate([part.values for part in parts])[order], starts)
    docs = docs[starts]
    if minimum > 1:
        kept = np.diff(starts, append=len(order)) >= minimum
        return Scores(docs[kept], sums[kept])
    return Scores(docs, sums)


def _dense_union(parts: Sequence[Scores], minimum: int, end: int) -> Scores:
    """Add up in arrays with a place for every document: quicker where most have one."""
    sums = np.zeros(end)
    counts = np.zeros(end, np.int32)
    for part in parts:
        sums[part.docs] += part.values
        counts[part.docs] += 1
    docs = np.flatnonzero(counts >= minimum)
    return Scores(docs, sums[docs])


def add_to(base: Scores, extra: Scores) -> Scores:
    """Add scores to the documents that have them, leaving out documents that the base does not have."""
    if not len(base.docs) or not len(extra.docs):
        return base
    places = np.searchsorted(base.docs, extra.docs)
    places[places == len(base.docs)] = 0
    found = base.docs[places] == extra.docs
    values = base.values.copy()
    values[places[found]] += extra.values[found]
    return Scores(base.docs, values)


def contains(docs: Docs, wanted: Docs) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Say which of some documents are in a rising list."""
    if not len(docs):
        return np.zeros(len(wanted), bool)
    places = np.searchsorted(docs, wanted)
    places[places == len(docs)] = 0
    found: np.ndarray[Any, np.dtype[np.bool_]] = docs[places] == wanted
    return found
