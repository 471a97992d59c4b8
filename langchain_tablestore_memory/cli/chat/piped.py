"""The chat without a terminal: lines come from a pipe or a file, and plain text goes out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from langchain_tablestore_memory.cli.chat.chat import Chat

_CONTINUED = "\\"


class PlainScreen:
    """Writes answers and what was done to one stream; greetings, and what went wrong, to another.

    Attributes:
        troubled: Whether anything went wrong.
        stopped: Whether an answer was stopped.
    """

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self.troubled = False
        self.stopped = False
        self._answering = False

    def greet(self, text: str) -> None:
        """Say where the chat takes place."""
        print(text, file=self._err, flush=True)

    def progress(self, title: str, total: int) -> AbstractContextManager[Callable[[int], None]]:  # noqa: ARG002
        """Show nothing: a script waits."""
        return nullcontext(lambda _: None)

    def note(self, text: str) -> None:
        """Say what was done."""
        self._write(f"{text}\n")

    def problem(self, text: str) -> None:
        """Say what went wrong."""
        self.troubled = True
        print("Error:", " ".join(text.split()), file=self._err, flush=True)

    def recalled(self, title: str, items: Sequence[str]) -> None:
        """Show what is told to the model besides the conversation."""
        self._write("".join(f"[{title}] {' '.join(item.split())}\n" for item in items))

    def begin_answer(self) -> None:
        """The model begins to answer."""
        self._answering = True

    def piece(self, text: str) -> None:
        """Some more of the answer."""
        self._write(text)

    def end_answer(self, *, stopped: bool) -> None:
        """The answer is complete, or was stopped."""
        self.stopped = self.stopped or stopped
        if self._answering:
            self._write("\n")
        self._answering = False

    def _write(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except BrokenPipeError:
            # Nobody reads on. What was asked is answered and stored all the same.
            self._out = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - until the process ends
            sys.stdout = self._out


def joined(lines: Iterable[str]) -> Iterator[str]:
    """Lines, those that end with a backslash joined with the next one."""
    waiting = ""
    for line in lines:
        text = line.rstrip("\r\n")
        if text.endswith(_CONTINUED):
            waiting += text.removesuffix(_CONTINUED) + "\n"
            continue
        yield waiting + text
        waiting = ""
    if waiting:
        yield waiting


def run_piped(chat: Chat, lines: Iterable[str], screen: PlainScreen) -> int:
    """Chat until the lines end or one of them is /quit.

    Returns:
        The exit status: 0, 1 where anything went wrong, 130 where it was interrupted.
    """
    try:
        for line in joined(lines):
            if not chat.handle(line) or screen.stopped:
                break
    except KeyboardInterrupt:
        screen.stopped = True
    chat.close()
    if screen.stopped:
        return 130
    return 1 if screen.troubled else 0
