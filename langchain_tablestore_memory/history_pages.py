"""Pages of a history, which lead to one another in both directions."""

from __future__ import annotations

import enum

from langchain_tablestore_memory.core.cursors import decode_cursor, encode_cursor
from langchain_tablestore_memory.core.messages import MessageStore
from langchain_tablestore_memory.core.programs import Program
from langchain_tablestore_memory.core.records import MetadataFilter, Order
from langchain_tablestore_memory.history_entries import EntryReader, HistoryPage


class _Way(enum.IntEnum):
    """Where a cursor leads, seen from the message that it names."""

    OLDER = -1
    NEWER = 1
    OLDER_FROM = -2
    """As `OLDER`, this message included."""
    NEWER_FROM = 2


def read_page(
    store: MessageStore,
    conversation: str,
    reader: EntryReader,
    *,
    limit: int,
    cursor: str | None,
    metadata_filter: MetadataFilter,
) -> Program[HistoryPage]:
    """Read the latest messages of a conversation, or those that a cursor leads to.

    Raises:
        CursorError: The cursor is malformed or was given out for another conversation.
        StoredDataError: A row cannot be turned back into a message.
    """
    scope = ("history", store.table_name, conversation)
    way, boundary = _Way.OLDER, None
    if cursor is not None:
        direction, *boundary = decode_cursor(cursor, scope, (int, int, str))
        way = _Way(int(direction))
    newer = way > 0
    rows, more = yield from store.beside(
        conversation,
        boundary,
        included=way in {_Way.OLDER_FROM, _Way.NEWER_FROM},
        order=Order.ASC if newer else Order.DESC,
        limit=limit,
        metadata_filter=metadata_filter,
    )

    def lead(way: _Way, time: int | str | None, message_id: int | str) -> str:
        return encode_cursor(scope, (int(way), time or 0, message_id))

    entries = [reader.entry(row) for row in (rows if newer else reversed(rows))]
    if entries:
        first, last = entries[0], entries[-1]
        return HistoryPage(
            entries,
            lead(_Way.OLDER, first.create_time, first.id) if newer or more else None,
            lead(_Way.NEWER, last.create_time, last.id) if (more if newer else cursor is not None) else None,
        )
    if boundary is None:
        return HistoryPage([])
    # What was here has been deleted since. The way back begins with the message that the cursor names.
    if newer:
        return HistoryPage([], older=lead(_Way.OLDER_FROM, *boundary))
    return HistoryPage([], newer=lead(_Way.NEWER_FROM, *boundary))
