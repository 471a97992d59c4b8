"""What is to be stored of messages that are added: checked, and each in its place in the conversation."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage

from langchain_tablestore_memory import message_codec
from langchain_tablestore_memory.core.checks import check_id, check_time
from langchain_tablestore_memory.core.records import Message, microseconds_timestamp
from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.excerpts import texts_of

EARLIEST, LATEST = -(2**63), 2**63 - 1

_OWN_ID = "lc-"
"""How the ids begin that are given here to messages without one: short, and not mistaken for LangChain's own."""


@dataclass(slots=True)
class Tail:
    """What is known about the end of the conversation.

    Attributes:
        last_time: The time of its last message.
        known: Times of messages by id, of those that were read or written.
        empty: Whether it held nothing when it was read.
        untitled: Whether all of it was read, and no human has said anything so far.
        foreign: Whether messages were seen that other tools wrote, and did not count.
    """

    last_time: int
    known: dict[str, int]
    empty: bool
    untitled: bool
    foreign: bool

    @classmethod
    def of(cls, latest_first: Sequence[Message], messages: Sequence[BaseMessage], *, complete: bool) -> Tail:
        """What the latest rows, and the messages in them, tell; `complete` where there are no others."""
        return cls(
            last_time=latest_first[0].create_time or 0 if latest_first else EARLIEST,
            known={row.message_id: row.create_time or 0 for row in latest_first},
            empty=complete and not latest_first,
            untitled=complete and not texts_of(messages, HumanMessage),
            foreign=any(row.body is None for row in latest_first),
        )


def make_drafts(
    conversation: str,
    messages: list[BaseMessage],
    metadata: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
    create_times: Sequence[int | datetime] | None,
    *,
    types: Collection[type],
) -> dict[str, Message]:
    """The records to store, by id; of two messages with one id the later one, in the place of the earlier one.

    Raises:
        InvalidArgumentError: A message, its metadata or its time cannot be stored; it is named.
    """
    if metadata is None or isinstance(metadata, Mapping):
        metadata = [metadata or {}] * len(messages)
    each = _one_for_each(metadata, "metadata", messages)
    times = [None] * len(messages) if create_times is None else _one_for_each(create_times, "create_times", messages)
    drafts: dict[str, Message] = {}
    for message, its_metadata, time in zip(messages, each, times, strict=True):
        text, body = message_codec.encode(message, types=types)
        check_metadata(its_metadata)
        message_id = check_id(message.id, "The id of a message") if message.id else f"{_OWN_ID}{uuid.uuid4()}"
        drafts[message_id] = Message(
            conversation,
            message_id,
            None if time is None else check_time(time, "create_times"),
            text,
            dict(its_metadata),
            body=body,
        )
    return drafts


def _keep_apart(messages: Sequence[Message]) -> None:
    """Let messages of equal times keep their order, which would be that of their ids otherwise."""
    ordered = sorted(messages, key=lambda message: message.create_time or 0)
    for before, message in itertools.pairwise(ordered):
        message.create_time = max(message.create_time or 0, (before.create_time or 0) + 1)


class Places:
    """Gives messages their places in a conversation, each later than all that is known of it.

    Attributes:
        unsettled: Times of messages, by id, that were sent and are not known to be stored: sent again, they go to the
            same place.
    """

    def __init__(self) -> None:
        self.unsettled: dict[str, int] = {}
        self._last = EARLIEST
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Let go of what was given: somebody else may have deleted it."""
        self._last = EARLIEST

    def end(self, tail: Tail) -> int:
        """The latest time that is known."""
        return max(tail.last_time, self._last)

    def assign(self, drafts: Mapping[str, Message], known: Mapping[str, int], tail: Tail) -> list[Message]:
        """Give each message its time, and return those that are new.

        Args:
            drafts: The messages, by id.
            known: Times of those that the conversation holds already, by id.
            tail: The end of the conversation.

        Raises:
            InvalidArgumentError: There is no later time.
        """
        new = [message for message_id, message in drafts.items() if message_id not in known]
        for message_id, time in known.items():
            drafts[message_id].create_time = time
        _keep_apart([message for message in new if message.create_time is not None])
        with self._lock:
            # Two threads that add at once get different times, so that each keeps its order.
            last = self.end(tail)
            following = max(microseconds_timestamp(), last + 1)
            for message in new:
                if message.create_time is None:
                    message.create_time, following = following, following + 1
            last = max([last, *(message.create_time or 0 for message in new)])
            if last > LATEST:
                raise InvalidArgumentError("The conversation ends at the latest time there is: nothing can follow.")
            self._last = last
        return new


def check_messages(messages: Any) -> list[BaseMessage]:
    """Check that these are some messages, not one, and not text."""
    if isinstance(messages, str | bytes | Mapping | BaseMessage) or not isinstance(messages, Iterable):
        raise InvalidArgumentError(f"messages is a {type(messages).__name__}. Give a list of messages.")
    return list(messages)


def _one_for_each(values: Any, name: str, messages: Sequence[BaseMessage]) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise InvalidArgumentError(f"{name} is a {type(values).__name__}. Give a list with one for each message.")
    each = list(values)
    if len(each) != len(messages):
        raise InvalidArgumentError(f"{name} has {len(each)} entries for {len(messages)} messages. Give one for each.")
    return each


def check_metadata(metadata: Any) -> None:
    """Check that metadata is a mapping."""
    if not isinstance(metadata, Mapping):
        raise InvalidArgumentError(f"The metadata of a message is a {type(metadata).__name__}. Give a dict.")


def check_types(types: Any) -> tuple[type, ...]:
    """Check that these are classes."""
    checked = tuple(types) if isinstance(types, Iterable) else (types,)
    if not isinstance(types, Iterable) or not all(isinstance(each, type) for each in checked):
        raise InvalidArgumentError("artifact_types takes a list of classes, such as [Shape, Color].")
    return checked
