"""Memories as rows: which are there already, written unless somebody else was faster, and removed when they expired.

The same text is stored once for a user, so the id of a memory is made of its text. A memory whose text was changed
keeps its id, and one that meets such a memory at its place takes another one. These two say in a column which id their
text would have, and are looked up by a search. All others are looked up in the table, which shows every write at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tablestore import ComparatorType, Condition, RowExistenceExpectation, SingleColumnCondition

from langchain_tablestore_memory import filters
from langchain_tablestore_memory.core.columns import METADATA_COLUMN
from langchain_tablestore_memory.core.document_searches import DocumentSearches
from langchain_tablestore_memory.core.documents import Document
from langchain_tablestore_memory.core.failures import CONFLICT
from langchain_tablestore_memory.core.memories import (
    EXPIRES,
    TEXT_ID,
    UPDATED,
    Memory,
    decode_memory,
    encode_memory,
    id_of_text,
    is_alive,
    is_same,
)
from langchain_tablestore_memory.core.programs import Program, Together
from langchain_tablestore_memory.core.ranges import StoredRow, collect
from langchain_tablestore_memory.core.search import Search
from langchain_tablestore_memory.core.search_index import SearchIndex
from langchain_tablestore_memory.core.writes import RowWrite, column_unchanged, write_unless_changed
from langchain_tablestore_memory.errors import WriteError
from langchain_tablestore_memory.filters import Filters

if TYPE_CHECKING:
    from langchain_tablestore_memory.embedders import Embedder

_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text is stored, or would be.

    Attributes:
        memory_id: The id.
        row: The row as it was read; None where there is none.
        memory: The memory with this text that is there; None where there is none, or it has expired.
    """

    memory_id: str
    row: StoredRow | None = None
    memory: Memory | None = None


class MemoryRows:
    """The rows of all users' memories.

    Args:
        searches: The table that holds them.
        embedder: Their embedding model, if they have one.
    """

    def __init__(self, searches: DocumentSearches, embedder: Embedder | None) -> None:
        self._searches = searches
        self._documents = searches.documents
        self._embedder = embedder

    # Finding

    def find(self, user_id: str, texts: Iterable[str], now: int) -> Program[Mapping[str, Place]]:
        """Where some texts of a user are stored, or would be.

        Args:
            user_id: The user.
            texts: The texts, unique.
            now: The present time. What has expired leaves its place to others.
        """
        # Where there is no table yet, it is made once for all that is asked at the same time.
        wanted = list(texts)
        return (yield from self._searches.with_index(lambda _: self._find(user_id, wanted, now)))

    def _find(self, user_id: str, wanted: Sequence[str], now: int) -> Program[Mapping[str, Place]]:
        pending = wanted
        ids = {text: id_of_text(text) for text in pending}
        at_ids, elsewhere = yield Together(
            [self._read(user_id, ids.values()), self._with_text_ids(user_id, ids.values(), now)]
        )
        places: dict[str, Place] = {}
        attempt = 0
        while pending:
            taken = []
            for text, row in zip(pending, at_ids, strict=True):
                there = None if row is None else self._decode(row)
                if there is not None and is_alive(there, now) and there.text == text:
                    places[text] = Place(there.memory_id, row, there)
                elif text in elsewhere:
                    places[text] = elsewhere[text]
                elif there is None or not is_alive(there, now):
                    places[text] = Place(id_of_text(text, attempt), row)
                else:
                    taken.append(text)
            pending, attempt = taken, attempt + 1
            at_ids = yield from self._read(user_id, [id_of_text(text, attempt) for text in pending])
        return places

    def _with_text_ids(self, user_id: str, ids: Iterable[str], now: int) -> Program[dict[str, Place]]:
        """By text, the memories that are not at the id of their text. The table says whether they still are."""
        keys = yield from collect(self._searches.keys(user_id, Filters.In(TEXT_ID, list(ids))))
        rows = yield from self._read(user_id, [key[0][1] for key in keys])
        memories = [(row, self._decode(row)) for row in rows if row is not None]
        return {memory.text: Place(memory.memory_id, row, memory) for row, memory in memories if is_alive(memory, now)}

    def _read(self, user_id: str, ids: Iterable[str]) -> Program[list[StoredRow | None]]:
        keys = self._documents.keys(list(ids), user_id)
        return (yield from self._searches.with_index(lambda index: self._documents.read_rows(keys, index)))

    def _decode(self, row: StoredRow) -> Memory:
        return decode_memory(self._documents.decode(row, include_embedding=False))

    # Storing

    def store(self, user_id: str, told: Sequence[Memory], now: int) -> Program[list[Memory]]:
        """Store memories, or bring those up to date that are stored already.

        Args:
            user_id: Whose.
            told: The memories, each text once, without ids.
            now: The present time.

        Returns:
            What is stored now, in order.

        Raises:
            InvalidArgumentError: Something cannot be stored; nothing is written.
            EmbeddingError: The model failed; nothing new is written.
            WriteError: Some are not known to be stored.
        """
        stored: dict[str, Memory] = {}
        vectors: dict[str, Any] = {}
        pending = list(told)
        for _ in range(_ATTEMPTS):
            places = yield from self.find(user_id, [memory.text for memory in pending], now)
            fresh = [memory for memory in pending if places[memory.text].memory is None]
            if self._embedder is not None:
                texts = [memory.text for memory in fresh if memory.text not in vectors]
                vectors.update(zip(texts, (yield from self._embedder.documents(texts)), strict=True))
            stored.update((yield from self._put(user_id, fresh, places, vectors)))
            stored.update((yield from self._renew(user_id, pending, places)))
            pending = [memory for memory in pending if memory.text not in stored]
            if not pending:
                return [stored[memory.text] for memory in told]
        raise WriteError(
            f"{len(pending)} memories were changed by somebody else each time that they were read. Try again.",
            failed=[f"document {places[memory.text].memory_id!r} of tenant {user_id!r}" for memory in pending],
            api="batch_write_row",
            code=CONFLICT,
        )

    def _put(
        self, user_id: str, fresh: Sequence[Memory], places: Mapping[str, Place], vectors: Mapping[str, Any]
    ) -> Program[dict[str, Memory]]:
        """Write memories to places that are free. Returns those, by text, where nobody else was faster."""
        for memory in fresh:
            memory.memory_id = places[memory.text].memory_id

        def put(index: SearchIndex) -> Program[dict[str, Memory]]:
            writes = {
                memory.text: self._write(user_id, memory, vectors.get(memory.text), places[memory.text].row, index)
                for memory in fresh
            }
            refused = yield from write_unless_changed(list(writes.values()))
            return {memory.text: memory for memory in fresh if writes[memory.text].name not in refused}

        return (yield from self._searches.with_index(put))

    def _write(
        self, user_id: str, memory: Memory, vector: Any, before: StoredRow | None, index: SearchIndex
    ) -> RowWrite:
        document = encode_memory(memory, user_id, embedding=vector)
        if memory.memory_id != id_of_text(memory.text):
            document.metadata[TEXT_ID] = id_of_text(memory.text)
        write = self._documents.put(document, index)
        if before is None:
            write.item.condition = Condition(RowExistenceExpectation.EXPECT_NOT_EXIST)
        else:
            unchanged = column_unchanged(before.columns, METADATA_COLUMN)
            write.item.condition = Condition(RowExistenceExpectation.EXPECT_EXIST, unchanged)
        return write

    def _renew(self, user_id: str, told: Sequence[Memory], places: Mapping[str, Place]) -> Program[dict[str, Memory]]:
        """Bring up to date what is told again: metadata on top of its own, and the time that is left.

        Returns:
            What is stored now, by text, without what somebody else has removed meanwhile.
        """
        renewed: dict[str, Memory] = {}
        changes: dict[str, Document] = {}
        for memory in told:
            before = places[memory.text].memory
            if before is None:
                continue
            after = replace(before, metadata={**before.metadata, **memory.metadata}, expires_at=memory.expires_at)
            if after.expires_at != before.expires_at or not is_same(after.metadata, before.metadata):
                after.updated_at = max(memory.updated_at, before.updated_at + 1)
                changed = {**memory.metadata, EXPIRES: after.expires_at, UPDATED: after.updated_at}
                changes[memory.text] = Document(after.memory_id, user_id, metadata=changed)
            renewed[memory.text] = after
        if changes:
            written = yield from self._searches.with_index(
                lambda index: self._documents.update(list(changes.values()), index, create=False)
            )
            if written < len(changes):
                # Which of them are gone is seen when they are read again. The others have nothing left to change then.
                return {text: memory for text, memory in renewed.items() if text not in changes}
        return renewed

    # Removing

    def remove_expired(self, now: int) -> Program[int]:
        """Remove what has expired, of all users, as far as searches show it. What was told again meanwhile stays.

        Returns:
            How many were removed.
        """
        return (yield from self._searches.with_index(lambda index: self._remove_expired(index, now)))

    def _remove_expired(self, index: SearchIndex, now: int) -> Program[int]:
        # Without naming a partition key, all partitions are searched, which are those of all users.
        expired = Search(index, filters.to_query(Filters.lte(EXPIRES, now), index.fields))
        removed, token = 0, None
        while True:
            found = yield from expired.request(expired.most, token)
            keys = [list(hit.row.key.items()) for hit in found.hits]
            rows = yield from self._documents.read_rows(keys, index)
            writes = [self._removal(row) for row in rows if row is not None and not is_alive(self._decode(row), now)]
            refused = yield from write_unless_changed(writes)
            removed += len(writes) - len(refused)
            token = found.token
            if token is None:
                return removed

    def _removal(self, row: StoredRow) -> RowWrite:
        write = self._documents.delete(list(row.key.items()))
        column = METADATA_COLUMN if METADATA_COLUMN in row.columns else EXPIRES
        # A removal that is repeated because its answer was lost meets no row, which is fine.
        unchanged = SingleColumnCondition(column, row.columns[column], ComparatorType.EQUAL, pass_if_missing=True)
        write.item.condition = Condition(RowExistenceExpectation.IGNORE, unchanged)
        return replace(write, name=f"{write.name} of tenant {row.key[self._documents.tenant_field or '']!r}")
