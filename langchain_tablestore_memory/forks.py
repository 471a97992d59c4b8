"""Filling a new conversation with messages of another one: wholly, or not at all."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.writes import RowWrite, some_of, write_rows
from langchain_tablestore_memory.errors import TablestoreMemoryError, WriteError
from langchain_tablestore_memory.session_summary import SessionSummary


def fill(rows: Sequence[RowWrite], summary: SessionSummary) -> Program[None]:
    """Write the messages and the session of a conversation that does not exist yet.

    Args:
        rows: The messages, and as the last row the session.
        summary: The session.

    Raises:
        WriteError: It failed. What was written of it is deleted again; where that failed too, it says what is left.
    """
    try:
        outcome = yield from write_rows(rows)
    except WriteError as error:
        raise (yield from _undone(error, summary)) from error
    except BaseException:
        # Also where the caller was cancelled or interrupted.
        yield from summary.erase()
        raise
    if outcome.doubted:
        yield from summary.following(rows, summary.recount())


def _undone(error: WriteError, summary: SessionSummary) -> Program[WriteError]:
    """Delete what was written. Returns the error that says so, or what is left."""
    failed: Sequence[str] = (*error.failed, *error.stored)
    stored: Sequence[str] = ()
    state = f"what was written of it is deleted again: {some_of(failed)}"
    try:
        yield from summary.erase()
    except TablestoreMemoryError as hindrance:
        failed, stored = error.failed, error.stored
        state = (
            f"what was written of it could not be deleted again ({hindrance}): `stored` names what is in session "
            f"{summary.session_id!r}. Delete that session"
        )
    return WriteError.over(
        error,
        f"The conversation was not copied, and {state}. {error}",
        failed=failed,
        stored=stored,
    )
