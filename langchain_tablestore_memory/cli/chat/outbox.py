"""Messages on their way into their conversations, kept until they are stored."""

from __future__ import annotations

from langchain_core.messages import BaseMessage

from langchain_tablestore_memory.chat_history import TablestoreChatMessageHistory
from langchain_tablestore_memory.errors import InvalidArgumentError


class Outbox:
    """Stores messages in order, and keeps those that could not be stored for the next time.

    Each message has an id, so storing it again is harmless where it is not known whether it was stored.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[TablestoreChatMessageHistory, BaseMessage]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def deliver(self, history: TablestoreChatMessageHistory, message: BaseMessage) -> None:
        """Store what is waiting, and then a message.

        Raises:
            InvalidArgumentError: The message can never be stored. It is dropped.
            ServiceError: Not all of them are known to be stored. They stay here, in order.
        """
        self._waiting.append((history, message))
        try:
            self.flush()
        except InvalidArgumentError:
            self._waiting.pop()
            raise

    def flush(self) -> None:
        """Store what is waiting.

        Raises:
            ServiceError: Not all of it is known to be stored. It stays here.
        """
        while self._waiting:
            history = self._waiting[0][0]
            count = next((i for i, (other, _) in enumerate(self._waiting) if other is not history), len(self._waiting))
            history.add_messages([message for _, message in self._waiting[:count]])
            del self._waiting[:count]

    def drop(self, session_id: str) -> None:
        """Let go of what is waiting for a conversation that is no more."""
        self._waiting = [each for each in self._waiting if each[0].session_id != session_id]
