"""What is recorded of one thread: each message once, in order, and the thread's entry in the session list."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import orjson
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langchain_tablestore_memory import message_codec
from langchain_tablestore_memory.core.conversations import conversation_of
from langchain_tablestore_memory.core.failures import CONFLICT
from langchain_tablestore_memory.core.message_rows import SOURCE, message_keys
from langchain_tablestore_memory.core.messages import MessageStore
from langchain_tablestore_memory.core.programs import Program, Together
from langchain_tablestore_memory.core.ranges import StoredRow
from langchain_tablestore_memory.core.records import Message
from langchain_tablestore_memory.core.session_rows import (
    LAST_WRITE,
    OPENING,
    PREVIEW,
    WriteToken,
    excerpt,
)
from langchain_tablestore_memory.core.sessions import SessionRegistry
from langchain_tablestore_memory.core.writes import RowWrite, write_rows
from langchain_tablestore_memory.drafts import EARLIEST, Places, Tail, make_drafts
from langchain_tablestore_memory.errors import InvalidArgumentError, WriteError
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
        just_made: Whether a model has made it and the state was not seen with it so far: others may have changed it,
            and added to it, before there was anything to record.
    """

    time: int | None
    said: bytes | None
    just_made: bool = False


class _New(NamedTuple):
    """A message that is to be recorded, and how."""

    message: BaseMessage
    draft: Message
    row: RowWrite


class ThreadRecord:
    """Records the messages of one thread.

    What was recorded is remembered, so that a thread which only this object records costs one request for each record,
    and none where nothing is new:

    1. Before the first record, and where others have written, it looks: which messages are there, and does the session
       agree with them?
    2. What is new is written together with the session's row. The row carries a token of its last write: where others
       have written since, the row is refused, while the messages are stored. It is then written again, and messages
       that others recorded at the same time are merged.
    3. Where that happened, or it is in doubt what the session has counted, the messages are counted.
    4. What messages have become that nothing follows is put in their place.

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

    def record(self, messages: Sequence[BaseMessage], *, just_made: bool = False) -> Program[None]:
        """Record those messages that are new, and what a recorded one has become as long as nothing follows it.

        Args:
            messages: All messages of the state, or those that a model has just made. One without an id is given one.
            just_made: Whether they are those that a model has just made, which nobody else can have recorded.

        Raises:
            InvalidArgumentError: A message cannot be stored; none of them is written.
            WriteError: Some messages are not known to be stored; it names them.
        """
        for message in messages:
            if message.id is None:
                message.id = str(uuid.uuid4())
        if self._has_to_look(self._unrecorded(messages), just_made=just_made):
            yield from self._look(messages)
        # In this order: what another run of the thread records from here on is noticed when this one writes.
        last_write = self._last_write
        unrecorded = self._unrecorded(messages)
        if unrecorded:
            yield from self._store.verify_ttl()
            yield from self._add(unrecorded, last_write, just_made=just_made)
        if not just_made:
            yield from self._amend(messages)
            self._forget_all_but(messages)

    # What is new

    def _unrecorded(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        return list({each.id: each for each in messages if each.id not in self._recorded}.values())

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
        unrecorded, first = self._unrecorded(messages), self._tail is None
        limit = len(unrecorded) + _BESIDES
        row, keys = yield Together(
            [
                self._registry.table.read(self._thread_id, self._user_id),
                self._store.table.latest_keys(self._conversation, limit),
            ]
        )
        doubled = yield from self._remove_doubles(messages, keys)
        latest, complete = dict(keys), len(keys) < limit
        missing = [] if complete else [str(each.id) for each in unrecorded if each.id not in latest]
        times = {**latest, **(yield from self._store.table.latest_times(self._conversation, missing))}
        last_write = None if row is None else row.columns.get(LAST_WRITE)
        for name, time in times.items():
            self._recorded.setdefault(name, _Recorded(time, None))
        if first:
            self._pass_over_deleted(messages, times)
        if doubled or (first and not _in_step(last_write, latest)):
            self._summary.miscounted = True
        self._find_gaps(messages, times)
        # Only now, as another run of the thread takes it to say that it need not look.
        self._tail = self._seen_tail(row, latest, messages, complete=complete)
        self._last_write = last_write
        self._others_wrote = False

    def _remove_doubles(self, messages: Sequence[BaseMessage], keys: Sequence[tuple[str, int]]) -> Program[bool]:
        """Of messages that are stored more than once, leave the earliest. Who was to do so was interrupted.

        Args:
            messages: The messages; others are left alone.
            keys: Ids and times of what is stored, the latest one first.
        """
        ours, earliest = {message.id for message in messages}, dict(keys)
        doubles = [(name, time) for name, time in keys if name in ours and time > earliest[name]]
        yield from self._delete(doubles)
        return bool(doubles)

    def _delete(self, keys: Sequence[tuple[str, int]]) -> Program[None]:
        table = self._store.table
        yield from write_rows([table.delete(message_keys(self._conversation, time, name)) for name, time in keys])

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

    def _find_gaps(self, messages: Sequence[BaseMessage], times: Mapping[str, int]) -> None:
        """What is missing right before a recorded message goes there, and not to the end.

        Somebody was interrupted in the middle of a request, or did not record what others had said at the same time.
        """
        following: int | None = None
        for message in reversed(messages):
            message_id = str(message.id)
            if message_id in times:
                following = times[message_id]
            elif following is not None and message_id not in self._recorded:
                following -= 1
                self._places.unsettled.setdefault(message_id, following)

    def _forget_all_but(self, messages: Sequence[BaseMessage]) -> None:
        """Remember what the state holds, and some more."""
        for message in messages:
            # Another run of the thread may have let go of it.
            with contextlib.suppress(KeyError):
                self._recorded.move_to_end(str(message.id))
        while len(self._recorded) > len(messages) + _REMEMBERED:
            self._recorded.popitem(last=False)

    # Writing

    def _add(self, messages: Sequence[BaseMessage], last_write: str | None, *, just_made: bool) -> Program[None]:
        """Record messages that were new when a write was the last one, in their order."""
        assert self._tail is not None
        end = self._places.end(self._tail)
        # Each is checked before any is written.
        new = [self._prepare(message) for message in messages]
        # One request after the other, so that whoever is interrupted leaves no gap.
        for position in range(0, len(new), _AT_ONCE):
            last_write = yield from self._write(
                new[position : position + _AT_ONCE], end, last_write, just_made=just_made
            )

    def _prepare(self, message: BaseMessage) -> _New:
        """Give a message its place in the conversation."""
        assert self._tail is not None
        source = source_of(message)
        with _naming(message):
            drafts = make_drafts(
                self._conversation,
                [message],
                None if source is None else {SOURCE: source},
                None,
                types=self._reader.types,
            )
            # What was sent before and is not known to be stored goes to the same place again.
            resent = {name: self._places.unsettled[name] for name in drafts if name in self._places.unsettled}
            self._places.assign(drafts, resent, self._tail)
            [draft] = drafts.values()
            [row] = self._store.writes([draft])
        return _New(message, draft, row)

    def _write(self, new: Sequence[_New], end: int, last_write: str | None, *, just_made: bool) -> Program[str | None]:
        """Write messages with their session. Returns what marks the write after which messages that follow are new.

        Args:
            new: The messages.
            end: Where the conversation ended: what goes before that is no preview.
            last_write: What marked the session's last write when they were new.
            just_made: Whether nobody else can have recorded them.
        """
        assert self._tail is not None
        unlisted = self._tail.untitled and not self._tail.empty
        preview = text_from(end, [each.draft for each in new])
        token = WriteToken(_token(self._places.end(self._tail)), last_write)
        try:
            beaten = miscounted = yield from self._write_once(new, preview, token, just_made=just_made)
        except BaseException:
            # Also where the caller was cancelled or interrupted.
            self._places.unsettled.update({each.draft.message_id: each.draft.create_time or 0 for each in new})
            self._others_wrote = self._summary.miscounted = True
            raise
        for message, draft, _ in new:
            # What was sent before may have been counted then.
            miscounted |= self._places.unsettled.pop(draft.message_id, None) is not None
            self._recorded[draft.message_id] = _Recorded(draft.create_time, _said(message), just_made)
        # After that: who knows of the write takes what is not remembered to be new.
        self._last_write = token.token
        self._tail.empty = False
        if texts_of([each.message for each in new], HumanMessage):
            self._tail.untitled = False
        if miscounted or self._summary.miscounted:
            yield from self._summary.renew() if unlisted else self._summary.recount()
        # Others may have recorded those that follow, too: then these are to be merged as well.
        return last_write if beaten else token.token

    def _write_once(
        self, new: Sequence[_New], preview: str | None, token: WriteToken, *, just_made: bool
    ) -> Program[bool]:
        """Write messages and their session, also where others write at the same time.

        Returns whether others have written since: then the messages have to be counted.
        """
        count = sum(SOURCE not in each.draft.metadata for each in new)
        session = self._session(new, count, preview, token)
        beaten = False
        try:
            yield from self._summary.write([*(each.row for each in new), session])
        except WriteError as error:
            if error.code != CONFLICT or error.failed != (session.name,):
                raise
            # The messages are stored. Where only an answer was lost, the session is as well.
            if not (yield from self._wrote_last(token.token)):
                if not just_made:
                    yield from self._merge_doubles([each.draft for each in new])
                # Adding a number would be wrong where others have counted what is stored already.
                beaten = True
                yield from self._summary.write([self._session(new, 0, preview, replace(token, checked=False))])
        return beaten

    def _session(self, new: Sequence[_New], count: int, preview: str | None, token: WriteToken) -> RowWrite:
        assert self._tail is not None
        messages = [each.message for each in new]
        opening = opening_of(messages, untitled=self._tail.untitled, empty=self._tail.empty)
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
        elif OPENING in row.columns:
            self._tail.untitled = self._tail.empty = False
        return False

    def _merge_doubles(self, drafts: Sequence[Message]) -> Program[None]:
        """Of messages that others recorded at the same time, leave the earliest."""
        table = self._store.table
        found = yield Together([table.times_of(self._conversation, draft.message_id) for draft in drafts])
        doubles: list[tuple[str, int]] = []
        for draft, times in zip(drafts, found, strict=True):
            doubles += [(draft.message_id, time) for time in times[1:]]
            draft.create_time = times[0] if times else draft.create_time
        yield from self._delete(doubles)

    # What recorded messages become

    def _amend(self, messages: Sequence[BaseMessage]) -> Program[None]:
        """Record what has become of messages that nothing followed when it became of them."""
        unfollowed = {message.id for message in _unfollowed(messages)}
        for message in messages:
            recorded = self._recorded.get(str(message.id))
            if recorded is None or recorded.time is None or not (recorded.just_made or message.id in unfollowed):
                continue
            if recorded.said != _said(message):
                yield from self._replace(message, recorded.time)
                recorded.said = _said(message)
            recorded.just_made = False

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
        with _naming(message):
            stored.content, stored.body = message_codec.encode(message, types=self._reader.types)
            rows = self._store.writes([stored])
        shown, columns = excerpt(str(before.text)), {} if row is None else row.columns
        session = self._summary.activity(
            new_messages=0,
            opening=stored.content if columns.get(OPENING) == shown else None,
            preview=stored.content if columns.get(PREVIEW) == shown else None,
        )
        yield from self._summary.write([*rows, session])
        if not stored.content.strip():
            yield from self._summary.renew()


def _token(end: int) -> str:
    """What marks a write of the session: no other write is marked so, and where the conversation ends then."""
    return f"{uuid.uuid4().hex} {end}"


def _in_step(last_write: str | None, latest: Mapping[str, int]) -> bool:
    """Whether the session counts what the conversation holds, as far as their ends tell.

    Who was killed may have written one without the other; histories and other tools leave no token.
    """
    end = max(latest.values(), default=EARLIEST)
    return not latest if last_write is None else last_write.endswith(f" {end}")


@contextlib.contextmanager
def _naming(message: BaseMessage) -> Iterator[None]:
    """Tell which message cannot be stored, and how a thread goes on that holds it."""
    try:
        yield
    except InvalidArgumentError as error:
        raise InvalidArgumentError(
            f"The message {message.id!r} cannot be recorded: {error} If the thread holds it already, go on without it "
            f"by giving the agent RemoveMessage({message.id!r})."
        ) from error


def _unfollowed(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    """The messages that nothing follows: the last answer, with what its tools gave, or what was asked after it."""
    for position in range(len(messages) - 1, -1, -1):
        if isinstance(messages[position], AIMessage):
            following = messages[position + 1 :]
            return following if following and not isinstance(following[0], ToolMessage) else messages[position:]
    return messages


def _said(message: BaseMessage) -> bytes:
    """A digest of what a message says: its content and the calls of tools.

    Not of the rest, which checkpoints do not always give back as it was.
    """
    said = [message.content, getattr(message, "tool_calls", None)]
    try:
        text = orjson.dumps(said, default=repr, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        # It writes no integers of more than 64 bits, for one.
        text = repr(said).encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()
