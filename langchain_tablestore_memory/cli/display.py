"""How texts, times, counts and conversations are shown, in lists and in single lines."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_tablestore_memory.core.records import Session

_TITLE = 60
_UNTITLED = "(untitled)"
_ELLIPSIS = "…"
_DIGITS = 9


def shortened(text: str, characters: int) -> str:
    """A text on one line, cut off where it is longer than so many characters."""
    line = " ".join(text[: 4 * characters].split())
    return line if len(line) <= characters else line[: characters - 1].rstrip() + _ELLIPSIS


def counted(number: int, one: str, several: str | None = None) -> str:
    """A number with what it counts, in the singular or the plural."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def typed_number(text: str) -> int | None:
    """A number that was typed; None for what is none, or is longer than any number of a list."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def show_time(microseconds: int) -> str:
    """A time as the user's clock shows it; the bare number where it is none, as some tools have it."""
    try:
        return f"{datetime.fromtimestamp(microseconds / 1_000_000).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return str(microseconds)


def title_of(session: Session) -> str:
    """What a conversation is called in lists."""
    return shortened(session.title or _UNTITLED, _TITLE)


def describe_session(session: Session) -> str:
    """A conversation in a line: when it was last active, how many messages it holds, its title and its id."""
    count = "" if session.message_count is None else str(session.message_count)
    return f"{show_time(session.update_time)} {count:>5}  {title_of(session)}  [{session.session_id}]"
