"""A conversation's entry in the session list: what names it, what was said last, and how many messages it holds."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from langchain_tablestore_memory.core.messages import MessageStore
from langchain_tablestore_memory.core.programs import Program, Together
from langchain_tablestore_memory.core.ranges import collect
from langchain_tablestore_memory.core.records import Order
from langchain_tablestore_memory.core.schema import with_tables
from langchain_tablestore_memory.core.session_rows import WriteToken
from langchain_tablestore_memory.core.sessions import SessionRegistry
from langchain_tablestore_memory.core.writes import RowWrite, WriteOutcome, write_rows
from langchain_tablestore_memory.errors import ServiceError, SessionNotFoundError, WriteError
from langchain_tablestore_memory.excerpts import opening_of, preview_of
from langchain_tablestore_memory.history_entries import EntryReader

EXCERPTED = 20
"""Messages at either end of a conversation in which its title and its preview are looked for."""


class SessionSummary:
    """Keeps the entry of one conversation current.

    Args:
        registry: The session list.
        store: The messages.
        reader: Reads them.
        user_id: Whose conversation it is.
        session_id: Its session.
        conversation: Where its messages are.

    Attributes:
        session_id: As given.
        miscounted: Whether the message count may differ from the number of messages, because a write failed.
    """

    def __init__(
        self,
        registry: SessionRegistry,
        store: MessageStore,
        reader: EntryReader,
        *,
        user_id: str,
        session_id: str,
        conversation: str,
    ) -> None:
        self._registry = registry
        self._store = store
        self._reader = reader
        self._user_id = user_id
        self.session_id = session_id
        self._conversation = conversation
        self.miscounted = False

    def activity(
        self,
        *,
        new_messages: int,
        opening: str | None,
        preview: str | None,
        title: str | None = None,
        token: WriteToken | None = None,
    ) -> RowWrite:
        """The write that goes with new messages; see `SessionRegistry.activity`."""
        return self._registry.activity(
            self._user_id,
            self.session_id,
            self._conversation,
            new_messages=new_messages,
            opening=opening,
            preview=preview,
            title=title,
            token=token,
        )

    def write(self, rows: Sequence[RowWrite]) -> Program[bool]:
        """Write messages with their session. Returns whether it is in doubt that they were counted once."""
        partly = False

        def write() -> Program[WriteOutcome]:
            nonlocal partly
            try:
                return (yield from write_rows(rows))
            except WriteError as error:
                # Where a table was missing, all is written again.
                partly = bool(error.stored)
                raise

        outcome = yield from with_tables(
            self._store.table.connection, (self._registry.schema, self._store.schema), write
        )
        return outcome.doubted or partly

    def recount(self) -> Program[None]:
        """Bring the message count up to date."""
        self.miscounted = True
        # Who deleted the session meanwhile wants no count.
        with contextlib.suppress(SessionNotFoundError):
            yield from self._registry._recount(self.session_id, self._user_id)  # noqa: SLF001 - a program of ours
        self.miscounted = False

    def renew(self) -> Program[None]:
        """Bring the opening, the preview and the message count up to date."""
        self.miscounted = True
        first, latest = yield Together(
            [
                collect(self._store.list_from(self._conversation, None, order=order, limit=EXCERPTED))
                for order in (Order.ASC, Order.DESC)
            ]
        )
        # A conversation that nothing was ever added to by a history has no entry in the list.
        with contextlib.suppress(SessionNotFoundError):
            yield from self._registry.summarize(
                self._user_id,
                self.session_id,
                opening=opening_of(self._reader.readable(first)),
                preview=preview_of(self._reader.readable(latest[::-1])),
            )
        self.miscounted = False

    def erase(self) -> Program[None]:
        """Delete the entry with all messages, these first."""
        yield from self._store._delete_conversation(self._conversation)  # noqa: SLF001 - a program of ours
        yield from self._registry._delete(self.session_id, self._user_id, messages=False)  # noqa: SLF001

    @staticmethod
    def following(rows: Sequence[RowWrite], program: Program[None]) -> Program[None]:
        """Run `recount` or `renew` after rows were stored, the session's among them as the last.

        Raises:
            WriteError: It failed; says that the messages are stored.
        """
        try:
            yield from program
        except ServiceError as error:
            *messages, session = (row.name for row in rows)
            raise WriteError.over(
                error,
                f"The messages are stored, but {session} may not count them all: {error} "
                "Adding the same messages again, or others, sets it right.",
                failed=[session],
                stored=messages,
            ) from error
