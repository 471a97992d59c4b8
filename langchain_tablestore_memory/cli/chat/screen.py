"""What a conversation shows, whatever it is shown on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol


class Screen(Protocol):
    """Where a conversation is shown: a terminal, a pipe, or a list in a test."""

    def greet(self, text: str) -> None:
        """Say where the chat takes place, before it begins; one line or several."""

    def progress(self, title: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show how far something is that takes long. What is returned is told of so many more steps."""

    def note(self, text: str) -> None:
        """Say what was done; one line or several."""

    def problem(self, text: str) -> None:
        """Say what went wrong and what to do, in one line."""

    def recalled(self, title: str, items: Sequence[str]) -> None:
        """Show what is told to the model besides the conversation."""

    def begin_answer(self) -> None:
        """The model begins to answer."""

    def piece(self, text: str) -> None:
        """Some more of the answer."""

    def end_answer(self, *, stopped: bool) -> None:
        """The answer is complete, or was stopped."""
