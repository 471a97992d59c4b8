"""Numbered lists: what a number that is typed refers to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from langchain_tablestore_memory.cli.display import typed_number

T = TypeVar("T")


class Listing(Generic[T]):
    """Items that were shown with numbers, page by page.

    Numbers refer to what was shown, whatever has changed since.
    """

    def __init__(self) -> None:
        self.items: list[T] = []
        self._fetch: Callable[[str | None], tuple[Sequence[T], str | None]] | None = None
        self._cursor: str | None = None

    def begin(self, fetch: Callable[[str | None], tuple[Sequence[T], str | None]]) -> Iterator[tuple[int, T]]:
        """Show a new list.

        Args:
            fetch: Reads a page: given its cursor (None for the first), returns its items and the next page's cursor.

        Returns:
            The first page, numbered from 1.
        """
        items, cursor = fetch(None)
        self.items, self._fetch, self._cursor = list(items), fetch, cursor
        return enumerate(items, start=1)

    def more(self) -> Iterator[tuple[int, T]]:
        """The next page of the list that was shown last; empty where there is none."""
        if self._fetch is None or self._cursor is None:
            return iter(())
        items, self._cursor = self._fetch(self._cursor)
        self.items.extend(items)
        return enumerate(items, start=len(self.items) - len(items) + 1)

    @property
    def has_more(self) -> bool:
        """Whether a further page follows."""
        return self._cursor is not None

    def called(self, number: str) -> T | None:
        """The item with a number, as typed; None where there is none."""
        position = typed_number(number)
        return None if position is None or not 1 <= position <= len(self.items) else self.items[position - 1]
