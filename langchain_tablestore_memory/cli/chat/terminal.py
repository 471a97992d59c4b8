"""The chat on a terminal: line editing, completion, colours, and answers that stream."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import platformdirs
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from langchain_tablestore_memory.cli.chat.commands import HELP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document
    from prompt_toolkit.key_binding import KeyPressEvent

    from langchain_tablestore_memory.cli.chat.chat import Chat

_PROMPT = "you> "
_KEYS = "Tab completes commands, the up arrow brings back what you typed, Alt-Enter begins a new line."
_CONTINUED = "\\"
_MENU_LINES = 4
"""Lines kept free below the prompt for what can be completed."""


_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}
"""Characters that would be commands to the terminal, whoever put them into a message."""


class TerminalScreen:
    """Shows the chat in colours. Nothing that is shown is taken for markup, or for a command to the terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._answering = False

    def greet(self, text: str) -> None:
        """Say where the chat takes place."""
        self._print(text, "dim")

    @contextlib.contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a progress bar."""
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("files")
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(title.replace("[", r"\["), total=total)
            yield lambda steps: progress.advance(task, steps)

    def note(self, text: str) -> None:
        """Say what was done."""
        self._print(text)

    def problem(self, text: str) -> None:
        """Say what went wrong."""
        self._print(" ".join(text.split()), "red")

    def recalled(self, title: str, items: Sequence[str]) -> None:
        """Show what is told to the model besides the conversation."""
        for item in items:
            self._print(f"[{title}] {' '.join(item.split())}", "yellow")

    def begin_answer(self) -> None:
        """The model begins to answer."""
        self._answering = True
        self._console.print("assistant> ", style="bold green", end="")

    def piece(self, text: str) -> None:
        """Some more of the answer."""
        self._console.print(text.translate(_CONTROLS), end="", markup=False, soft_wrap=True)

    def end_answer(self, *, stopped: bool) -> None:
        """The answer is complete, or was stopped."""
        if self._answering:
            self._console.print(" (stopped)" if stopped else "", style="dim")
        self._answering = False

    def _print(self, text: str, style: str | None = None) -> None:
        self._console.print(text.translate(_CONTROLS), style=style, markup=False, soft_wrap=True)


def run_terminal(chat: Chat, screen: TerminalScreen) -> int:
    """Chat until /quit or the end of input.

    Returns:
        The exit status: 0, or 1 where something could not be stored.
    """
    screen.greet(f"{HELP}\n{_KEYS}")
    session: PromptSession[str] = PromptSession(
        history=_history(screen),
        completer=_ChatCompleter(chat),
        complete_while_typing=True,
        key_bindings=_keys(),
        multiline=True,
        prompt_continuation="...> ",
        reserve_space_for_menu=_MENU_LINES,
    )
    while True:
        try:
            line = session.prompt(_PROMPT)
        except KeyboardInterrupt:
            screen.note("Nothing was sent. /quit or Ctrl-D leaves.")
            continue
        except EOFError:
            break
        try:
            if not chat.handle(line):
                break
        except KeyboardInterrupt:
            screen.end_answer(stopped=True)
            screen.problem("Interrupted.")
    stored = chat.close()
    screen.note("Bye!")
    return 0 if stored else 1


class _ChatCompleter(Completer):
    """Completes commands and conversations."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:  # noqa: ARG002
        typed = document.text_before_cursor
        for line, meaning in self._chat.completions(typed):
            yield Completion(line, start_position=-len(typed), display_meta=meaning)


def _keys() -> KeyBindings:
    """Enter sends, Alt-Enter and a backslash before Enter begin a new line."""
    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.current_line_before_cursor.endswith(_CONTINUED):
            buffer.delete_before_cursor()
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    return keys


def _history(screen: TerminalScreen) -> History:
    """The lines of earlier chats, in the user's own folder; only those of this one where it cannot be written."""
    try:
        folder = platformdirs.user_state_path("langchain-tablestore-memory", appauthor=False)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = folder / "chat_history"
        file.touch(mode=0o600)
    except OSError as error:
        screen.greet(f"The lines that you type are not kept for the next chat ({error.strerror or error}).")
        return InMemoryHistory()
    return FileHistory(str(file))
