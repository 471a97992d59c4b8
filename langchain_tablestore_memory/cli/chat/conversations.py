"""The commands about conversations: begin, list, load, name, delete, search and show them."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_core.messages import AIMessage, HumanMessage

from langchain_tablestore_memory.chat_history import TablestoreChatMessageHistory
from langchain_tablestore_memory.cli.chat.commands import UsageError
from langchain_tablestore_memory.cli.chat.listing import Listing
from langchain_tablestore_memory.cli.display import (
    counted,
    describe_session,
    shortened,
    show_time,
    title_of,
    typed_number,
)
from langchain_tablestore_memory.cli.exporting import Selection, export
from langchain_tablestore_memory.cli.files import new_file
from langchain_tablestore_memory.core.sessions import SessionRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langchain_core.messages import BaseMessage

    from langchain_tablestore_memory.cli.chat.outbox import Outbox
    from langchain_tablestore_memory.cli.chat.screen import Screen
    from langchain_tablestore_memory.connection import Connection
    from langchain_tablestore_memory.core.records import Session
    from langchain_tablestore_memory.history_entries import HistoryEntry

WINDOW = 40
"""Messages that are told to the model at the most."""
MAX_TOKENS = 8000
"""Tokens of them at the most, by LangChain's approximation."""

INTERRUPTED = "interrupted"
"""The `finish_reason` of an answer that was stopped."""

_PAGE = 20
_EXCERPT = 200


class Conversations:
    """A user's conversations, one of them open.

    Args:
        connection: Where they are kept.
        user_id: Whose they are.
        screen: Where they are shown.
        outbox: Messages that are not stored yet.
    """

    def __init__(self, connection: Connection, user_id: str, screen: Screen, outbox: Outbox) -> None:
        self._connection = connection
        self._user_id = user_id
        self._screen = screen
        self._outbox = outbox
        self._registry = SessionRegistry(connection)
        self._listing: Listing[Session] = Listing()
        self._listed_hits = False
        self.current = self._history(_new_id())

    # Opening

    def new(self) -> None:
        """Begin a new conversation. It is listed once something is said in it."""
        self.current = self._history(_new_id())
        self._screen.note(f"New conversation: {self.current.session_id}")

    def load(self, reference: str, say: Callable[[str], None] | None = None) -> None:
        """Go on with a conversation.

        Args:
            reference: Its id, or its number in the list that was shown last.
            say: Where to show it; on the screen by default.

        Raises:
            UsageError: There is none.
        """
        session = self._found(reference)
        self.current = self._history(session.session_id)
        entries = self.current.page(limit=2).entries
        lines = [
            f"Loaded conversation: {session.session_id}, {_messages(session.message_count)}, “{title_of(session)}”"
        ]
        lines += [f"  {_described(entry)}" for entry in entries]
        if entries and is_unanswered(entries[-1].message):
            lines.append("The last message has no answer yet: /retry asks for one.")
        (say or self._screen.note)("\n".join(lines))

    # Listing and searching

    def list(self, argument: str) -> None:
        """List conversations, the most recent first.

        Args:
            argument: ``more`` for the next page of the list that was shown last.
        """
        if _wants_more(argument, "/sessions"):
            page = list(self._listing.more())
            if not page:
                self._screen.note("There are no more conversations.")
                return
        else:
            page = list(self._listing.begin(self._recent))
            self._listed_hits = False
        if not page:
            self._screen.note("No conversations yet. Say something, and this one is kept.")
            return
        number = len(self._listing.items)
        more = ", and more: /sessions more" if self._listing.has_more else ""
        self._screen.note("\n".join([f"{counted(number, 'conversation')}{more}", *self._rows(page)]))

    def search(self, words: str) -> None:
        """Find messages in all conversations, best first. /load takes their numbers."""
        found = self.current.search(words, scope="user", limit=_PAGE).items
        sessions: dict[str, Session] = {}
        for hit in found:
            if hit.session_id not in sessions:
                session = self._registry.get(hit.session_id, self._user_id)
                if session is not None:
                    sessions[hit.session_id] = session
        shown = [(hit, sessions[hit.session_id]) for hit in found if hit.session_id in sessions]
        if not shown:
            self._screen.note("Nothing was found.")
            return
        list(self._listing.begin(lambda _: ([session for _, session in shown], None)))
        self._listed_hits = True
        lines = [f"{counted(len(shown), 'message')}; /load opens one by its number"]
        for number, (hit, session) in enumerate(shown, start=1):
            lines.append(f"{number:>4}  {_described(hit.entry)}")
            lines.append(f"      in {session.session_id}, “{title_of(session)}”")
        self._screen.note("\n".join(lines))

    def show(self, argument: str) -> None:
        """Show the latest messages of the open conversation.

        Args:
            argument: How many, as typed; 20 where empty.
        """
        number = typed_number(argument) if argument else _PAGE
        if number is None or not 1 <= number <= 1000:  # noqa: PLR2004 - named in the text
            raise UsageError("/history takes a number from 1 to 1000.")
        page = self.current.page(limit=number)
        session = self._registry.get(self.current.session_id, self._user_id)
        title = f", “{title_of(session)}”" if session is not None else ""
        lines = [f"Current conversation: {self.current.session_id}{title}"]
        if page.older is not None:
            lines.append("  (earlier messages are left out)")
        lines += [f"  {_described(entry)}" for entry in page.entries] or ["  (nothing was said yet)"]
        self._screen.note("\n".join(lines))

    # Changing

    def rename(self, title: str) -> None:
        """Give the open conversation a title."""
        if self._registry.get(self.current.session_id, self._user_id) is None:
            self._registry.create(self._user_id, self.current.session_id, title=title)
        else:
            self._registry.rename(self.current.session_id, title, self._user_id)
        self._screen.note(f"This conversation is now called “{title.strip()}”.")

    def delete(self, reference: str) -> None:
        """Delete a conversation with its messages.

        Args:
            reference: Its id, or its number in the list of conversations.

        Raises:
            UsageError: There is none, or the numbers that were shown last are those of found messages.
        """
        if reference.isdecimal() and self._listed_hits:
            raise UsageError(
                f"{reference} is the number of a message that was found. /sessions tells the numbers of conversations."
            )
        session = self._found(reference)
        self._registry.delete(session.session_id, self._user_id)
        self._outbox.drop(session.session_id)
        self._screen.note(
            f"Deleted conversation: {session.session_id}, {_messages(session.message_count)}, “{title_of(session)}”"
        )
        if session.session_id == self.current.session_id:
            self.new()

    def export(self, file: str) -> None:
        """Write the open conversation to a new file.

        Args:
            file: Its name; one after the conversation's id where empty.

        Raises:
            UsageError: It exists, or cannot be written.
        """
        if self._registry.get(self.current.session_id, self._user_id) is None:
            raise UsageError("Nothing was said in this conversation yet, so there is nothing to export.")
        path = Path(file or f"{_file_name(self.current.session_id)}.jsonl")
        try:
            path = path.expanduser()
            with new_file(path) as lines:
                written = export(self._connection, Selection(self._user_id, self.current.session_id), lines)
        except FileExistsError:
            raise UsageError(f"The file {path} exists. Name another one: /export FILE") from None
        except (OSError, ValueError, RuntimeError) as error:
            # Beside what the system refuses: a NUL in a name, and the home of a user who does not exist.
            reason = getattr(error, "strerror", None) or error
            raise UsageError(f"The file {path} cannot be written ({reason}). Name another one: /export FILE") from None
        self._screen.note(f"Wrote {written} to {path}")

    @property
    def known(self) -> Sequence[Session]:
        """The conversations that were listed last."""
        return self._listing.items

    # Below here: how they are found and shown

    def _history(self, session_id: str) -> TablestoreChatMessageHistory:
        return TablestoreChatMessageHistory(
            session_id, user_id=self._user_id, connection=self._connection, window=WINDOW, max_tokens=MAX_TOKENS
        )

    def _found(self, reference: str) -> Session:
        if reference.isdecimal() and not self._listing.items:
            list(self._listing.begin(self._recent))
            self._listed_hits = False
        session = self._listing.called(reference)
        # What was listed may have changed, or gone, since.
        current = self._registry.get(reference if session is None else session.session_id, self._user_id)
        if current is None:
            raise UsageError(f"There is no conversation {reference}. /sessions lists them with their numbers and ids.")
        return current

    def _recent(self, cursor: str | None) -> tuple[Sequence[Session], str | None]:
        page = self._registry.list(self._user_id, limit=_PAGE, cursor=cursor)
        return page.items, page.cursor

    def _rows(self, numbered: Sequence[tuple[int, Session]]) -> Iterator[str]:
        for number, session in numbered:
            here = "*" if session.session_id == self.current.session_id else " "
            yield f"{number:>4}{here} {describe_session(session)}"


def is_unanswered(message: BaseMessage) -> bool:
    """Whether a conversation that ends with this message waits for an answer."""
    return isinstance(message, HumanMessage)


def was_stopped(message: BaseMessage) -> bool:
    """Whether this is an answer that was stopped."""
    return isinstance(message, AIMessage) and message.response_metadata.get("finish_reason") == INTERRUPTED


def _new_id() -> str:
    return f"session_{uuid.uuid4().hex[:8]}"


def _described(entry: HistoryEntry) -> str:
    message = entry.message
    role = {"human": "you", "ai": "assistant"}.get(message.type, message.type)
    stopped = " (stopped)" if was_stopped(message) else ""
    return f"{show_time(entry.create_time)} [{role}] {shortened(str(message.text), _EXCERPT)}{stopped}"


def _messages(number: int | None) -> str:
    return "messages not counted" if number is None else counted(number, "message")


def _wants_more(argument: str, command: str) -> bool:
    if argument not in {"", "more"}:
        raise UsageError(f"{command} takes nothing after it, or: {command} more")
    return bool(argument)


def _file_name(session_id: str) -> str:
    return "".join(character if character.isalnum() or character in "-_." else "_" for character in session_id)[:100]
