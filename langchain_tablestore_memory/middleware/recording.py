"""What is recorded of one thread: each message once, in order, and the thread's entry in the session list."""

from __future__ import annotations

import hashlib
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_tablestore_memory import message_codec
from langchain_tablestore_memory.core.conversations import conversation_of
from langchain_tablestore_memory.core.failures import CONFLICT
from langchain_tablestore_memory.core.message_rows import SOURCE, message_keys
from langchain_tablestore_memory.core.messages import MessageStore
from langchain_tablestore_memory.core.programs import Program, Together
from langchain_tablestore_memory.core.ranges import StoredRow, collect
from langchain_tablestore_memory.core.records import Message
from langchain_tablestore_memory.core.session_rows import (
    LAST_WRITE,
    MESSAGE_COUNT,
    OPENING,
    PREVIEW,
    WriteToken,
    excerpt,
)
from langchain_tablestore_memory.core.sessions import SessionRegistry
from langchain_tablestore_memory.core.writes import RowWrite, write_rows
from langchain_tablestore_memory.drafts import EARLIEST, Places, Tail, make_drafts
from langchain_tablestore_memory.errors import WriteError
from langchain_tablestore_memory.excerpts import opening_of, source_of, text_from, texts_of
from langchain_tablestore_memory.history_entries import EntryReader
from langchain_tablestore_memory.session_summary import SessionSummary

_BESIDES = 64
"""Messages to look at besides as many as a state holds: what others recorded, or what was trimmed from the state."""

_AT_ONCE = 150
"""Messages of one request; with the session they are few enough for one."""

_REMEMBERED = 1000
"""Messages of one thread to remember besides those of its state."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Where transcripts are.

    Attributes:
        registry: The session list.
        store: The messages.
        reader: Reads them.
        isolated: Whether conversations hold their user; see `conversation_of`.
    """

    registry: SessionRegistry
    store: MessageStore
    reader: EntryReader
    isolated: bool


@dataclass(slots=True)
class _Recorded:
    """A message that need not be recorded any more.

    Attributes:
        time: Its time; None where it was passed over.
        said: What it said, digested; None where that was not read.
    """

    time: int | None
    said: bytes | None


class ThreadRecord:
    """Records the messages of one thread.

    What was recorded is remembered, so that a thread which only this object records costs one request for each record,
    and none where nothing is new. The session's row carries a token of the last write: where others have written since,
    the write of the row fails, and what they wrote is looked at.

    Args:
        tables: Where to record.
        user_id: Whose thread it is.
        thread_id: The thread, which is its session too.

    Raises:
        InvalidArgumentError: The ids cannot be stored.
    """

    def __init__(self, tables: Tables, user_id: str, thread_id: str) -> None:
        self._store, self._reader = tables.store, tables.reader
        self._registry = tables.registry
        self._user_id, self._thread_id = user_id, thread_id
        self._conversation = conversation_of(user_id, thread_id, isolated=tables.isolated)
        self._summary = SessionSummary(
            self._registry,
            self._store,
            self._reader,
            user_id=user_id,
            session_id=thread_id,
            conversation=self._conversation,
        )
        self._recorded: OrderedDict[str, _Recorded] = OrderedDict()
        self._places = Places()
        # What is known of the conversation's end; None before it was looked at.
        self._tail: Tail | None = None
        self._last_write: str | None = None
        self._others_wrote = False
        # Whether the session's count may differ from the number of messages.
        self._miscounted = False

    def record(self, messages: Sequence[BaseMessage], *, just_made: bool = False) -> Program[None]:
        """Record those messages that are new, and what a recorded one has become as long as nothing follows it.

        Args:
            messages: All messages of the state, or those that a model has just made. One without an id is given one.
            just_made: Whether they are those that a model has just made, which nobody else can have recorded.

        Raises:
            InvalidArgumentError: A message cannot be stored; nothing is written.
            WriteError: Some messages are not known to be stored; it names them.
        """
        for message in messages:
            if message.id is None:
                message.id = str(uuid.uuid4())
        if self._has_to_look(self._new(messages), just_made=just_made):
            yield from self._look(messages)
        new = self._new(messages)
        if new:
            yield from self._store.verify_ttl()
        # One after the other, so that whoever is interrupted leaves no gap.
        for position in range(0, len(new), _AT_ONCE):
            yield from self._write(new[position : position + _AT_ONCE], just_made=just_made)
        if not just_made:
            yield from self._amend(_unfollowed(messages))
            self._forget_beyond(len(messages) + _REMEMBERED)

    # What is new

    def _new(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        return [message for message in messages if message.id not in self._recorded]

    def _has_to_look(self, new: Sequence[BaseMessage], *, just_made: bool) -> bool:
        """Whether it is not certain enough that nobody else has recorded these messages."""
        if not new:
            return False
        if self._tail is None:
            return True
        # Answers of a model that this object has not seen being made come from elsewhere.
        return not just_made and (self._others_wrote or any(isinstance(message, AIMessage) for message in new))

    def _look(self, messages: Sequence[BaseMessage]) -> Program[None]:
        """Find out which messages are recorded."""
        new, first = self._new(messages), self._tail is None
        limit = len(new) + _BESIDES
        row, keys = yield Together(
            [
                self._registry.table.read(self._thread_id, self._user_id),
                self._store.table.latest_keys(self._conversation, limit),
            ]
        )
        latest, complete = dict(reversed(keys)), len(keys) < limit
        missing = [] if complete else [str(message.id) for message in new if message.id not in latest]
        times = {**latest, **(yield from self._store.table.latest_times(self._conversation, missing))}
        self._tail = self._seen_tail(row, latest, messages, complete=complete)
        if latest and (row is None or MESSAGE_COUNT not in row.columns):
            # Other tools write messages and count none; who has just begun to record counts them in a moment.
            rows = yield from collect(self._store.list_from(self._conversation, None, limit=1))
            self._miscounted |= any(each.body is None for each in rows)
        self._last_write = None if row is None else row.columns.get(LAST_WRITE)
        self._others_wrote = False
        self._remember_found(messages, times)
        if first:
            self._pass_over_deleted(messages, times)

    def _seen_tail(
        self, row: StoredRow | None, latest: Mapping[str, int], messages: Sequence[BaseMessage], *, complete: bool
    ) -> Tail:
        """What is known of the conversation's end."""
        there = [message for message in messages if message.id in latest]
        entitled = row is not None and OPENING in row.columns
        return Tail(
            last_time=max(latest.values(), default=EARLIEST),
            known={},
            empty=complete and not latest,
            untitled=not entitled or (complete and len(there) == len(latest) and not texts_of(there, HumanMessage)),
            foreign=False,
        )

    def _remember_found(self, messages: Sequence[BaseMessage], times: Mapping[str, int]) -> None:
        for message in messages:
            message_id = str(message.id)
            if message_id in times:
                self._recorded.setdefault(message_id, _Recorded(times[message_id], None))

    def _pass_over_deleted(self, messages: Sequence[BaseMessage], times: Mapping[str, int]) -> None:
        """What was deleted from the transcript stays deleted, though the state still has it.

        No model is asked before all that it is given is stored: what is missing before an answer that is stored was
        there once. An object that has recorded in this thread itself knows it, or sees it for the first time.
        """
        answered = False
        for message in reversed(messages):
            message_id = str(message.id)
            if message_id in times:
                answered = answered or isinstance(message, AIMessage)
            elif answered and source_of(message) is None:
                self._recorded.setdefault(message_id, _Recorded(None, None))

    def _forget_beyond(self, number: int) -> None:
        while len(self._recorded) > number:
            self._recorded.popitem(last=False)

    # Writing

    def _write(self, new: Sequence[BaseMessage], *, just_made: bool) -> Program[None]:
        assert self._tail is not None
        metadata = [{} if (source := source_of(message)) is None else {SOURCE: source} for message in new]
        drafts = make_drafts(self._conversation, [*new], metadata, None, types=self._reader.types)
        # What was sent before and is not known to be stored goes to the same place again.
        resent = {message_id: time for message_id, time in self._places.unsettled.items() if message_id in drafts}
        end = self._places.end(self._tail)
        self._places.assign(drafts, resent, self._tail)
        try:
            yield from self._write_once(new, drafts, preview=text_from(end, drafts.values()), just_made=just_made)
        except BaseException:
            # Also where the caller was cancelled or interrupted.
            self._places.unsettled.update({name: draft.create_time or 0 for name, draft in drafts.items()})
            self._others_wrote = self._miscounted = True
            raise
        for message in new:
            message_id = str(message.id)
            self._places.unsettled.pop(message_id, None)
            self._recorded[message_id] = _Recorded(drafts[message_id].create_time, _said(message))
        self._tail.empty = False
        if texts_of(new, HumanMessage):
            self._tail.untitled = False
        if self._miscounted:
            yield from self._summary.recount()
            self._miscounted = False

    def _write_once(
        self, new: Sequence[BaseMessage], drafts: Mapping[str, Message], *, preview: str | None, just_made: bool
    ) -> Program[None]:
        """Write messages and their session, also where others write at the same time."""
        count = sum(SOURCE not in draft.metadata for draft in drafts.values())
        token = uuid.uuid4().hex
        session = self._session(new, count, preview, WriteToken(token, self._last_write))
        try:
            yield from self._summary.write([*self._store.writes([*drafts.values()]), session])
        except WriteError as error:
            if error.code != CONFLICT or error.failed != (session.name,):
                raise
            # The messages are stored. Where only an answer was lost, the session is as well.
            if not (yield from self._wrote_last(token)):
                if not just_made:
                    count -= yield from self._merge_doubles(drafts)
                session = self._session(new, count, preview, WriteToken(token, None, checked=False))
                if (yield from self._summary.write([session])):
                    self._miscounted = True
        self._last_write = token

    def _session(self, new: Sequence[BaseMessage], count: int, preview: str | None, token: WriteToken) -> RowWrite:
        assert self._tail is not None
        opening = opening_of(new, untitled=self._tail.untitled, empty=self._tail.empty)
        return self._summary.activity(new_messages=count, opening=opening, preview=preview, token=token)

    def _wrote_last(self, token: str) -> Program[bool]:
        """Whether a write of this token was the session's last one. If not, others have written since."""
        assert self._tail is not None
        row = yield from self._registry.table.read(self._thread_id, self._user_id)
        if row is not None and row.columns.get(LAST_WRITE) == token:
            return True
        self._others_wrote = True
        if row is None:
            # The session was deleted meanwhile: it begins anew.
            self._tail.untitled = self._tail.empty = True
        return False

    def _merge_doubles(self, drafts: Mapping[str, Message]) -> Program[int]:
        """Of messages that others recorded at the same time, leave the earliest. Returns how many others counted."""
        found = yield Together([self._store.table.times_of(self._conversation, name) for name in drafts])
        doubles: list[RowWrite] = []
        counted = 0
        for (name, draft), times in zip(drafts.items(), found, strict=True):
            doubles += [self._store.table.delete(message_keys(self._conversation, each, name)) for each in times[1:]]
            if len(times) > 1 and times[0] == draft.create_time:
                # Whether the others counted it depends on who wrote the session first.
                self._miscounted = True
            elif len(times) > 1:
                counted += SOURCE not in draft.metadata
                draft.create_time = times[0]
        yield from write_rows(doubles)
        return counted

    # What recorded messages become

    def _amend(self, messages: Sequence[BaseMessage]) -> Program[None]:
        """Record what has become of messages that nothing follows yet."""
        for message in messages:
            recorded = self._recorded.get(str(message.id))
            if recorded is not None and recorded.time is not None and recorded.said != _said(message):
                yield from self._replace(message, recorded.time)
                recorded.said = _said(message)

    def _replace(self, message: BaseMessage, time: int) -> Program[None]:
        """Put a message in the place of what it was, also where it is the title or the preview."""
        stored, row = yield Together(
            [
                self._store._get(self._conversation, str(message.id), time),  # noqa: SLF001 - a program of ours
                self._registry.table.read(self._thread_id, self._user_id),
            ]
        )
        if stored is None:
            # Somebody has deleted it.
            return
        before = self._reader.message(stored)
        if _said(before) == _said(message):
            return
        stored.content, stored.body = message_codec.encode(message, types=self._reader.types)
        shown, columns = excerpt(str(before.text)), {} if row is None else row.columns
        session = self._summary.activity(
            new_messages=0,
            opening=stored.content if columns.get(OPENING) == shown else None,
            preview=stored.content if columns.get(PREVIEW) == shown else None,
        )
        yield from self._summary.write([*self._store.writes([stored]), session])
        if not stored.content.strip():
            yield from self._summary.renew()


def _unfollowed(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    """The messages that nothing follows: the last answer, with results of its tools, or what was asked after it."""
    for position in range(len(messages) - 1, -1, -1):
        message = messages[position]
        if isinstance(message, AIMessage):
            results = all(isinstance(each, ToolMessage) for each in messages[position + 1 :])
            return messages[position:] if results else messages[position + 1 :]
    return messages


def _said(message: BaseMessage) -> bytes:
    """A digest of what a message says: its content and the calls of tools.

    Not of the rest, which checkpoints do not always give back as it was.
    """
    calls: Any = getattr(message, "tool_calls", None)
    text = orjson.dumps([message.content, calls], default=repr, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.blake2b(text, digest_size=16).digest()
