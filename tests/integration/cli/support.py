"""The chat as tests drive it: in this process with a screen that remembers, and as a process on a pipe or a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

COMMAND = [sys.executable, "-m", "langchain_tablestore_memory.cli"]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x08")


class ScriptedModel(BaseChatModel):
    """Answers in pieces, as a script says.

    Attributes:
        pieces: What it says, a piece at a time; exceptions among them are raised, functions called.
        told: The messages that it was given, each time.
    """

    pieces: list[Any] = ["Hello ", "there."]  # noqa: RUF012 - a pydantic field
    told: list[list[BaseMessage]] = []  # noqa: RUF012 - the same

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        text = "".join(chunk.text for chunk in self._stream(messages))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        self.told.append(messages)
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            if callable(piece):
                piece()
                continue
            yield ChatGenerationChunk(message=AIMessageChunk(piece))


class RecordingScreen:
    """Remembers what was shown.

    Attributes:
        notes: What was done.
        problems: What went wrong.
        recollections: What the model was told besides the conversation.
        answers: What the model said.
        stopped: Whether the last answer was stopped.
        steps: Steps of progress that were told.
    """

    def __init__(self) -> None:
        self.greetings: list[str] = []
        self.notes: list[str] = []
        self.problems: list[str] = []
        self.recollections: list[tuple[str, list[str]]] = []
        self.answers: list[str] = []
        self.stopped: bool | None = None
        self.steps = 0

    def greet(self, text: str) -> None:
        self.greetings.append(text)

    @contextlib.contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        def tell(steps: int) -> None:
            self.steps += steps

        yield tell

    def note(self, text: str) -> None:
        self.notes.append(text)

    def problem(self, text: str) -> None:
        self.problems.append(text)

    def recalled(self, title: str, items: Sequence[str]) -> None:
        self.recollections.append((title, list(items)))

    def begin_answer(self) -> None:
        self.answers.append("")

    def piece(self, text: str) -> None:
        self.answers[-1] += text

    def end_answer(self, *, stopped: bool) -> None:
        self.stopped = stopped

    def taken(self) -> list[str]:
        """The notes and problems since the last call of this."""
        taken = [*self.notes, *self.problems]
        self.notes, self.problems = [], []
        return taken


class Terminal:
    """A command on a pseudo-terminal, typed at and read like one.

    Attributes:
        shown: All that was shown since the last `expect`, without escape sequences.
    """

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            os.execvpe(arguments[0], list(arguments), environment)
        self.shown = ""
        self._status: int | None = None

    def expect(self, text: str, *, within: float = 30.0) -> str:
        """Wait until a text is shown; returns what was shown up to it."""
        end = time.monotonic() + within
        while text not in self.shown:
            if time.monotonic() > end or not self._read():
                raise AssertionError(f"{text!r} was not shown, but {self.shown!r}")
        before, _, self.shown = self.shown.partition(text)
        return before + text

    def ready(self) -> str:
        """Wait until the next line can be typed; returns what was shown before."""
        shown = self.expect("you>")
        # It is drawn before keys are read.
        while self._read(0.05):
            pass
        return shown

    def type(self, line: str) -> None:
        """Type a line."""
        self.press(line + "\r")

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self._file, keys.encode())

    def status(self) -> int:
        """Wait for the end; returns the exit status."""
        while self._read(10.0):
            pass
        return self._wait()

    def close(self) -> None:
        """End the command, if it has not ended."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._wait()
        os.close(self._file)

    def _wait(self) -> int:
        if self._status is None:
            _, status = os.waitpid(self.pid, 0)
            self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def _read(self, within: float = 1.0) -> bool:
        if not select.select([self._file], [], [], within)[0]:
            return within >= 1.0 and self._status is None
        try:
            data = os.read(self._file, 65536)
        except OSError:
            return False  # it has ended
        self.shown += ESCAPES.sub("", data.decode(errors="replace")).replace("\r", "")
        return bool(data)


class Done(NamedTuple):
    """A command that has ended.

    Attributes:
        status: Its exit status.
        out: What it wrote to standard output.
        err: What it wrote to standard error.
    """

    status: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines about what went wrong."""
        return [line for line in self.err.splitlines() if line.startswith("Error: ")]
