"""The commands of the chat, and how a line is read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

SLASH = "/"
_COMMAND = re.compile(r"/(\S*)\s*(.*)", re.DOTALL)


class UsageError(Exception):
    """A line that begins with a slash and is no command, or lacks an argument. Says what to write instead."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command.

    Attributes:
        name: Its name, without the slash.
        argument: What follows it: ``<needed>``, ``[optional]``, or nothing.
        help: What it does.
    """

    name: str
    argument: str
    help: str

    @property
    def usage(self) -> str:
        """How it is written."""
        return f"{SLASH}{self.name} {self.argument}".rstrip()


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was typed.

    Attributes:
        command: The command's name; empty where something is said to the model.
        text: What is said, or the command's argument.
    """

    command: str
    text: str


COMMANDS: Mapping[str, Command] = {
    command.name: command
    for command in (
        Command("new", "", "Begin a new conversation"),
        Command("sessions", "[more]", "List your conversations, the most recent first"),
        Command("load", "<id or number>", "Go on with a conversation of a list"),
        Command("rename", "<title>", "Give this conversation a title"),
        Command("delete", "<id or number>", "Delete a conversation with its messages"),
        Command("search", "<words>", "Find messages in all your conversations"),
        Command("history", "[number]", "Show the latest messages of this conversation"),
        Command("retry", "", "Ask again where a message has no answer"),
        Command("remember", "<text>", "Remember something in all conversations"),
        Command("memories", "[more]", "List what is remembered, the newest first"),
        Command("forget", "<number>", "Forget a memory of that list"),
        Command("export", "[file]", "Write this conversation to a file of JSON lines"),
        Command("help", "", "Show these commands"),
        Command("quit", "", "Leave"),
    )
}

_WIDTH = max(len(command.usage) for command in COMMANDS.values())

HELP = "\n".join(
    [
        "Commands:",
        *(f"  {command.usage:<{_WIDTH}}  {command.help}" for command in COMMANDS.values()),
        f"  {SLASH * 2}...".ljust(_WIDTH + 4) + f"Say something that begins with {SLASH}",
        "Anything else is said to the model. A line that ends with \\ goes on in the next one.",
        "Ctrl-C stops an answer and keeps what was said.",
    ]
)


def parse(line: str) -> Line | None:
    """Read a line: a command, or something to say. None where it is blank.

    Raises:
        UsageError: It is no command, or its argument is missing or too much.

    Example:
        ```python
        parse("/load 2")  # Line("load", "2")
        parse("Hello")  # Line("", "Hello")
        parse("//etc/hosts")  # Line("", "/etc/hosts")
        ```
    """
    line = line.strip()
    if not line:
        return None
    if not line.startswith(SLASH):
        return Line("", line)
    if line.startswith(SLASH * 2):
        return Line("", line.removeprefix(SLASH))
    match = _COMMAND.fullmatch(line)
    assert match is not None
    name, argument = match.groups()
    command = COMMANDS.get(name.lower())
    if command is None:
        raise UsageError(_unknown(name))
    if command.argument.startswith("<") and not argument:
        raise UsageError(f"{SLASH}{command.name} needs {command.argument[1:-1]}: {command.usage}")
    if not command.argument and argument:
        raise UsageError(f"{SLASH}{command.name} takes nothing after it.")
    return Line(command.name, argument)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), COMMANDS, n=1)
    meant = f" Did you mean {SLASH}{near[0]}?" if near else ""
    return (
        f"There is no command {SLASH}{name}.{meant} {SLASH}help lists them; what begins with // is said to the model."
    )
