"""The commands about memories: remember, list and forget; and what is recalled for a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from langchain_tablestore_memory.cli.chat.commands import UsageError
from langchain_tablestore_memory.cli.chat.listing import Listing
from langchain_tablestore_memory.cli.chat.models import BY_WORDS
from langchain_tablestore_memory.cli.display import counted, shortened, show_time
from langchain_tablestore_memory.core.records import microseconds_timestamp
from langchain_tablestore_memory.errors import SchemaMismatchError
from langchain_tablestore_memory.long_term_memory import LongTermMemory

if TYPE_CHECKING:
    from langchain_tablestore_memory.cli.chat.models import Recall
    from langchain_tablestore_memory.cli.chat.screen import Screen
    from langchain_tablestore_memory.connection import Connection
    from langchain_tablestore_memory.core.memories import Memory

_RECALLED = 3
_PAGE = 20
_EXCERPT = 120
_QUESTION = 1000
"""Characters of a question by which memories are recalled."""


def open_memory(connection: Connection, recall: Recall) -> tuple[LongTermMemory, Recall]:
    """The users' memories, found as asked for, or by words where the table was made for another embedding model.

    Raises:
        ServiceError: The table cannot be reached or made.
    """
    memory = LongTermMemory(recall.embeddings, connection=connection, dimension=recall.dimension)
    try:
        memory.setup()
    except SchemaMismatchError:
        if recall.embeddings is None:
            raise
        reason = "by words, as their index was not made for this embedding model"
        memory, recall = LongTermMemory(connection=connection), replace(BY_WORDS, description=reason)
        memory.setup()
    return memory, recall


class Remembering:
    """A user's memories.

    Args:
        memory: Where they are.
        recall: How they are found.
        user_id: Whose they are.
        screen: Where they are shown.
    """

    def __init__(self, memory: LongTermMemory, recall: Recall, user_id: str, screen: Screen) -> None:
        self._memory = memory
        self._recall = recall
        self._user_id = user_id
        self._screen = screen
        self._listing: Listing[Memory] = Listing()

    def recall(self, question: str) -> Sequence[str]:
        """What is remembered about a question, best first."""
        found = self._memory.recall(
            self._user_id,
            question[:_QUESTION],
            _RECALLED,
            search_type=None if self._recall.embeddings is None or self._recall.score_threshold is None else "vector",
            score_threshold=self._recall.score_threshold,
        )
        return [memory.text for memory in found]

    def remember(self, text: str, session_id: str) -> None:
        """Remember something in all conversations."""
        before = microseconds_timestamp()
        [memory] = self._memory.remember(self._user_id, text, session_id=session_id)
        known = memory.created_at < before
        self._screen.note(f"{'Remembered already' if known else 'Memory saved'}: {memory.text}")

    def list(self, argument: str) -> None:
        """List memories, the newest first.

        Args:
            argument: ``more`` for the next page of the list that was shown last.
        """
        if argument not in {"", "more"}:
            raise UsageError("/memories takes nothing after it, or: /memories more")
        page = list(self._listing.more() if argument else self._listing.begin(self._newest))
        if not page:
            self._screen.note("There are no more memories." if argument else "No memories yet: /remember <text>")
            return
        more = "; /memories more shows the next ones" if self._listing.has_more else ""
        rows = [
            f"{number:>4}  {show_time(memory.created_at)}  {shortened(memory.text, _EXCERPT)}"
            for number, memory in page
        ]
        self._screen.note("\n".join([f"{counted(self._total, 'memory', 'memories')}{more}", *rows]))

    def forget(self, number: str) -> None:
        """Forget a memory.

        Args:
            number: Its number in the list that was shown last.

        Raises:
            UsageError: There is none.
        """
        if not self._listing.items:
            list(self._listing.begin(self._newest))
        memory = self._listing.called(number)
        if memory is None:
            raise UsageError(f"There is no memory {number}. /memories lists them with their numbers.")
        gone = self._memory.forget(self._user_id, memory.memory_id) == 0
        self._screen.note(f"{'Forgotten already' if gone else 'Forgotten'}: {shortened(memory.text, _EXCERPT)}")

    _total = 0

    def _newest(self, cursor: str | None) -> tuple[Sequence[Memory], str | None]:
        page = self._memory.list(self._user_id, limit=_PAGE, cursor=cursor)
        self._total = page.total
        return page.items, page.cursor
