"""The entries of a list, serialized as far as it takes.

With each step of a chat, all its messages are handed over again, and mostly all but the last are what they were.
Serializing them to find that out would take most of the time that storing a checkpoint takes. So it is noted what
messages looked like when they were serialized; one that still looks so serializes to the same bytes.

What is noted of a message are all its fields: texts as they are, and numbers, dicts and lists as bytes that tell
everything in them, their types included. Messages that hold anything else, and all other objects, are serialized again.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, cast, overload

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_tablestore_memory.langgraph.checkpoints.values import Part, digest

_CLASSES = frozenset(
    (AIMessage, AIMessageChunk, ChatMessage, FunctionMessage, HumanMessage, SystemMessage, ToolMessage)
)
"""Those of which it is known that they serialize to what their fields hold."""

_EXTRA = attrgetter("__pydantic_extra__")

_MARSHAL_VERSION = 0
"""The one whose bytes depend on nothing but the values."""


@dataclass(slots=True, eq=False)
class Look:
    """What a message looked like.

    Attributes:
        kind: Its class.
        fields: Its fields.
        others: The names of those that are neither texts nor empty.
        told: What these hold, as bytes.
    """

    kind: type
    fields: dict[str, Any]
    others: tuple[str, ...]
    told: bytes

    @classmethod
    def of(cls, entry: Any) -> Look | None:
        """The look of an entry; None for what is no message, or holds what cannot be told."""
        kind = type(entry)
        if kind not in _CLASSES or entry.__pydantic_extra__:
            return None
        fields: dict[str, Any] = dict(entry.__dict__)
        others = []
        for name, value in fields.items():
            if value == {} and type(value) is dict:
                fields[name] = {}
            elif value == [] and type(value) is list:
                fields[name] = []
            elif type(value) is not str and value is not None:
                others.append(name)
        try:
            told = marshal.dumps([fields[name] for name in others], _MARSHAL_VERSION)
        except ValueError:
            return None
        # Copies: what is in the message may change.
        fields.update(zip(others, marshal.loads(told), strict=True))  # noqa: S302 - made above
        return cls(kind, fields, tuple(others), told)

    def is_of(self, entry: Any) -> bool:
        """Whether an entry still looks so."""
        # Ordered by what it costs: this is asked for each message of a chat with each step.
        try:
            return (
                type(entry) is self.kind
                and entry.__dict__ == self.fields
                and (not self.others or self._tells(entry.__dict__))
                and not getattr(entry, "__pydantic_extra__", None)
            )
        except ValueError:
            return False

    def _tells(self, fields: dict[str, Any]) -> bool:
        # What is equal may still be of another type, such as 1 and True.
        return marshal.dumps([fields[name] for name in self.others], _MARSHAL_VERSION) == self.told


@dataclass(frozen=True, slots=True)
class Seen:
    """A list as it was serialized.

    Attributes:
        looks: What its entries looked like.
        digests: What the serialized entries are told by.
        sizes: Bytes of the serialized entries.
    """

    looks: list[Look | None]
    digests: list[bytes]
    sizes: list[int]

    def same(self, entries: list[Any]) -> int:
        """How many entries at the beginning of a list look as before."""
        known = self.looks.index(None) if None in self.looks else len(self.looks)
        head, looks = entries[:known], cast("list[Look]", self.looks[: min(known, len(entries))])
        if _all_same(head, looks):
            return len(head)
        same = 0
        for entry, look in zip(head, looks, strict=True):
            if not look.is_of(entry):
                break
            same += 1
        return same


def _all_same(entries: list[Any], looks: list[Look]) -> bool:
    """Whether all entries look as before: what `Look.is_of` asks, for a whole list at once, which is the usual case."""
    try:
        return (
            list(map(type, entries)) == [look.kind for look in looks]
            and [entry.__dict__ for entry in entries] == [look.fields for look in looks]
            and all(look.is_of(entry) for entry, look in zip(entries, looks, strict=True) if look.others)
            and not any(map(_EXTRA, entries))
        )
    except (AttributeError, ValueError):
        return False


class Entries(Sequence[Part]):
    """The serialized entries of a list. Those that look as before are serialized when they are asked for.

    Args:
        entries: The list.
        dump: Serializes an entry.
        seen: The list as it was serialized before.

    Attributes:
        seen: The list as it is now.
    """

    def __init__(self, entries: Sequence[Any], dump: Callable[[Any], Part], seen: Seen | None) -> None:
        self._entries = list(entries)
        self._dump = dump
        before = seen or Seen([], [], [])
        same = before.same(self._entries)
        looks, digests, sizes = before.looks[:same], before.digests[:same], before.sizes[:same]
        self._parts: list[Part | None] = [None] * same
        for number in range(same, len(self._entries)):
            entry = self._entries[number]
            look = before.looks[number] if number < len(before.looks) else None
            if look is not None and look.is_of(entry):
                self._parts.append(None)
                digests.append(before.digests[number])
                sizes.append(before.sizes[number])
            else:
                look = Look.of(entry)
                part = dump(entry)
                self._parts.append(part)
                digests.append(digest(part))
                sizes.append(len(part[1]))
            looks.append(look)
        self.seen = Seen(looks, digests, sizes)

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> Part: ...
    @overload
    def __getitem__(self, index: slice) -> list[Part]: ...
    def __getitem__(self, index: int | slice) -> Part | list[Part]:
        if isinstance(index, slice):
            return [self._part(number) for number in range(*index.indices(len(self._parts)))]
        return self._part(range(len(self._parts))[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def _part(self, number: int) -> Part:
        part = self._parts[number]
        if part is None:
            part = self._parts[number] = self._dump(self._entries[number])
        return part
