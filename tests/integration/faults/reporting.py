"""What a failing test tells besides its assertion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def told_in_failures(what: str) -> Iterator[None]:
    """Add to any failure in this block what was being tried."""
    try:
        yield
    except BaseException as error:
        error.add_note(what)
        raise
