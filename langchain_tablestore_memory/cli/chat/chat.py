"""The chat without a terminal: a line goes in, and what comes of it is shown on a screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_tablestore_memory.cli.chat.answering import Answering
from langchain_tablestore_memory.cli.chat.commands import COMMANDS, HELP, SLASH, UsageError, parse
from langchain_tablestore_memory.cli.chat.conversations import Conversations
from langchain_tablestore_memory.cli.chat.outbox import Outbox
from langchain_tablestore_memory.cli.chat.remembering import Remembering
from langchain_tablestore_memory.cli.display import counted, shortened
from langchain_tablestore_memory.cli.interrupts import Interrupts
from langchain_tablestore_memory.errors import ConfigurationError, TablestoreMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.language_models import BaseChatModel

    from langchain_tablestore_memory.cli.chat.knowledge import Knowledge
    from langchain_tablestore_memory.cli.chat.models import Recall
    from langchain_tablestore_memory.cli.chat.screen import Screen
    from langchain_tablestore_memory.connection import Connection
    from langchain_tablestore_memory.long_term_memory import LongTermMemory

_TAKING_CONVERSATIONS = frozenset({"load", "delete"})
_SHOWN_TITLE = 40


@dataclass(frozen=True, slots=True)
class Parts:
    """What a chat is made of.

    Attributes:
        connection: Where everything is kept.
        user_id: Who chats.
        model: What answers.
        memory: What is remembered of users.
        recall: How that is found.
        knowledge: A folder of documents; None for none.
        screen: Where everything is shown.
    """

    connection: Connection
    user_id: str
    model: BaseChatModel
    memory: LongTermMemory
    recall: Recall
    knowledge: Knowledge | None
    screen: Screen


class Chat:
    """A chat of one user: commands, and talk with a model.

    What goes wrong is shown in one line, and the chat goes on. Messages that could not be stored wait for the next
    time that something is.

    Args:
        parts: What it is made of.

    Example:
        ```python
        chat = Chat(parts)
        chat.handle("Hello")
        chat.handle("/sessions")
        chat.close()
        ```
    """

    def __init__(self, parts: Parts) -> None:
        self._screen = parts.screen
        self._outbox = Outbox()
        self._conversations = Conversations(parts.connection, parts.user_id, parts.screen, self._outbox)
        self._remembering = Remembering(parts.memory, parts.recall, parts.user_id, parts.screen)
        self._answering = Answering(
            parts.model, self._remembering, parts.knowledge, self._outbox, parts.screen, Interrupts()
        )
        self._actions: Mapping[str, Callable[[str], None]] = {
            "": lambda text: self._answering.say(self._conversations.current, text),
            "new": lambda _: self._conversations.new(),
            "sessions": self._conversations.list,
            "load": self._conversations.load,
            "rename": self._conversations.rename,
            "delete": self._conversations.delete,
            "search": self._conversations.search,
            "history": self._conversations.show,
            "export": self._conversations.export,
            "retry": lambda _: self._answering.retry(self._conversations.current),
            "remember": lambda text: self._remembering.remember(text, self._conversations.current.session_id),
            "memories": self._remembering.list,
            "forget": self._remembering.forget,
            "help": lambda _: self._screen.note(HELP),
        }

    def open(self, reference: str | None) -> None:
        """Begin a conversation, or go on with one.

        Args:
            reference: The id or the number of an existing one; None for a new one.

        Raises:
            ConfigurationError: There is no such conversation.
        """
        if reference is None:
            self._screen.greet(f"New conversation: {self._conversations.current.session_id}")
            return
        try:
            self._conversations.load(reference, self._screen.greet)
        except UsageError:
            raise ConfigurationError(
                f"There is no conversation {reference} of this user. `tablestore-memory sessions` lists them; without "
                "--session a new one begins."
            ) from None

    def handle(self, line: str) -> bool:
        """Do what a line says.

        Returns:
            Whether the chat goes on.

        Raises:
            KeyboardInterrupt: A command was interrupted; an answer that is interrupted ends without.
        """
        try:
            read = parse(line)
            if read is None:
                return True
            if read.command == "quit":
                return False
            self._actions[read.command](read.text)
        except UsageError as error:
            self._screen.problem(str(error))
        except TablestoreMemoryError as error:
            self._screen.problem(str(error))
        return True

    def close(self) -> bool:
        """Store what is still waiting.

        Returns:
            Whether everything is stored.
        """
        try:
            self._outbox.flush()
        except TablestoreMemoryError as error:
            self._screen.problem(f"{counted(len(self._outbox), 'message')} could not be stored: {error}")
            return False
        return True

    def completions(self, line: str) -> Iterator[tuple[str, str]]:
        """How a line that is being typed may go on: what it would be, and what that means. Sends no request."""
        if not line.startswith(SLASH):
            return
        name, space, argument = line.removeprefix(SLASH).partition(" ")
        if not space:
            for command in COMMANDS.values():
                if command.name.startswith(name.lower()):
                    yield f"{SLASH}{command.name}", command.help
        elif name in _TAKING_CONVERSATIONS:
            for number, session in enumerate(self._conversations.known, start=1):
                if session.session_id.startswith(argument) or str(number) == argument:
                    yield f"{SLASH}{name} {session.session_id}", shortened(session.title or "", _SHOWN_TITLE)
