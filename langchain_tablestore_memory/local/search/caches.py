"""What is kept in memory of the indexes, to be found again by the next search."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .postings import Postings
from .vectors import Matrix

if TYPE_CHECKING:
    from .definitions import Field, SearchIndex
    from .store import Store


class IndexCaches:
    """What is kept of one index.

    Args:
        store: The tables of the index.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._matrices: dict[int, Matrix] = {}
        self._postings: dict[int, Postings] = {}

    def matrix(self, field: Field) -> Matrix:
        """The vectors of a field."""
        found = self._matrices.get(field.number)
        return found if found is not None else self._matrices.setdefault(field.number, Matrix(self._store, field))

    def postings(self, field: Field) -> Postings:
        """The common tokens of a field."""
        found = self._postings.get(field.number)
        return found if found is not None else self._postings.setdefault(field.number, Postings(self._store, field))


class Caches:
    """What is kept of all indexes of an instance."""

    def __init__(self) -> None:
        self._indexes: dict[str, IndexCaches] = {}
        self._process = os.getpid()

    def of(self, index: SearchIndex) -> IndexCaches:
        """What is kept of an index."""
        if self._process != os.getpid():
            # In a forked child locks may be held by threads that it does not have.
            self._indexes, self._process = {}, os.getpid()
        found = self._indexes.get(index.prefix)
        return found if found is not None else self._indexes.setdefault(index.prefix, IndexCaches(index.store))

    def drop(self, index: SearchIndex) -> None:
        """Forget an index."""
        self._indexes.pop(index.prefix, None)
