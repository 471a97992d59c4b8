"""Operations of a store that are carried out together: checked, embedded, read, and written."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langgraph.store.base import GetOp, ListNamespacesOp, PutOp, Result, SearchOp

from langchain_tablestore_memory.core import tagged_json
from langchain_tablestore_memory.core.checks import MAX_KEY_BYTES
from langchain_tablestore_memory.core.hybrid import HybridSettings
from langchain_tablestore_memory.core.programs import Program, Together
from langchain_tablestore_memory.core.vectors import encode_vector
from langchain_tablestore_memory.core.writes import RowWrite
from langchain_tablestore_memory.errors import EmbeddingError, InvalidArgumentError
from langchain_tablestore_memory.langgraph.stores.filters import ItemFilter
from langchain_tablestore_memory.langgraph.stores.items import Identity, NewItem, StoredItem, item_name, new_put
from langchain_tablestore_memory.langgraph.stores.namespaces import (
    Listing,
    Namespace,
    check_namespace,
    check_number,
)
from langchain_tablestore_memory.langgraph.stores.parts import StoreParts, check_hybrid
from langchain_tablestore_memory.langgraph.stores.searches import (
    Found,
    ItemQuery,
    ItemSearches,
    SearchType,
    check_search_type,
)
from langchain_tablestore_memory.langgraph.stores.ttl import check_lifetime

if TYPE_CHECKING:
    from langchain_tablestore_memory.embedders import Vector


@dataclass(frozen=True, slots=True)
class _Get:
    identity: Identity
    refresh: bool


@dataclass(slots=True)
class Batch:
    """Operations, and what comes of them.

    Attributes:
        parts: The store.
    """

    parts: StoreParts
    _gets: dict[int, _Get] = field(default_factory=dict)
    _searches: dict[int, ItemQuery] = field(default_factory=dict)
    _listings: dict[int, Listing] = field(default_factory=dict)
    _changes: dict[Identity, NewItem | None] = field(default_factory=dict)
    _size: int = 0

    # Checking

    def add(self, op: Any) -> None:
        """Add one of LangGraph's operations.

        Raises:
            InvalidArgumentError: It is none, or has a wrong argument.
        """
        match op:
            case GetOp():
                self._gets[self._size] = _Get(_identity(op.namespace, op.key), op.refresh_ttl)
            case SearchOp():
                self.add_search(op)
                return
            case ListNamespacesOp():
                self._listings[self._size] = Listing.of(op)
            case PutOp():
                identity = _identity(op.namespace, op.key, new=op.value is not None)
                self._changes[identity] = None if op.value is None else self._new_item(identity, op)
            case _:
                raise InvalidArgumentError(
                    f"A {type(op).__name__} was given for an operation. Give a GetOp, SearchOp, ListNamespacesOp or "
                    "PutOp of langgraph.store.base."
                )
        self._size += 1

    def add_search(
        self, op: SearchOp, *, search_type: SearchType | None = None, hybrid: HybridSettings | None = None
    ) -> None:
        """Add a search.

        Args:
            op: The search.
            search_type: How to search; by default as the store is set up.
            hybrid: How a hybrid search combines the two; by default as the store is set up.

        Raises:
            InvalidArgumentError: It has a wrong argument.
        """
        self._searches[self._size] = self._query(op, search_type, hybrid)
        self._size += 1

    def _query(self, op: SearchOp, search_type: SearchType | None, hybrid: HybridSettings | None) -> ItemQuery:
        prefix = check_namespace(op.namespace_prefix)
        wanted = ItemFilter.of(op.filter)
        offset, limit = check_number(op.offset, "offset"), check_number(op.limit, "limit")
        _check_query(op.query)
        index = self.parts.index
        if index is None and not (search_type is None and hybrid is None):
            raise InvalidArgumentError(
                'search_type and hybrid need a store with an index. Give it index={"fields": ["text"]}, and "embed" in '
                "it for searches by meaning."
            )
        how: SearchType | None = None
        if index is not None:
            given = self.parts.search_type if search_type is None else search_type
            how = check_search_type(given, by_meaning=index.texts.embedder is not None)
        settings = self.parts.hybrid if hybrid is None else check_hybrid(hybrid)
        if index is None or how is None or not op.query:
            # As in LangGraph, a store without index does not look at the query.
            if wanted is not None:
                wanted.check_table()
            return ItemQuery(prefix, wanted, offset, limit, refresh=op.refresh_ttl)
        if wanted is not None:
            index.check_filter(wanted)
        query = ItemQuery(prefix, wanted, offset, limit, op.query, how, settings, op.refresh_ttl)
        query.check()
        return query

    def _new_item(self, identity: Identity, op: PutOp) -> NewItem:
        name = item_name(identity)
        if not isinstance(op.value, Mapping):
            raise InvalidArgumentError(f"The value of {name} is a {type(op.value).__name__}. Give a dict.")
        value = dict(op.value)
        text = tagged_json.dumps(value, name=f"the value of {name}")
        item = NewItem(identity, text, new_put(self.parts.clock.now()), check_lifetime(op.ttl))
        index = self.parts.index
        if index is not None:
            index.check_key(identity)
            item.texts = index.texts.texts(value, op.index, name=name)
            item.fields = index.columns(value, identity)
        item.check()
        return item

    # Carrying out

    def run(self) -> Program[list[Result]]:
        """Carry out the operations: all that read, then all that write.

        Returns:
            A result for each, in order.
        """
        now = self.parts.clock.now()
        expired_at = now if self.parts.lifetimes.omit_expired else None
        vectors = yield from self._embedded()
        results: list[Result] = [None] * self._size
        used = yield from self._read(results, vectors, expired_at)
        # What is put or deleted right after needs no refresh.
        refreshes = self.parts.table.refreshes([item for item in used if item.identity not in self._changes], now)
        yield from self._write(refreshes, expired_at)
        return results

    def _embedded(self) -> Program[Mapping[str, Vector]]:
        """Have the texts of items embedded, and queries. Returns the vectors of these."""
        index = self.parts.index
        if index is None or index.texts.embedder is None:
            return {}
        new = [item for item in self._changes.values() if item is not None and item.texts]
        queries = list(dict.fromkeys(query.text for query in self._searches.values() if query.needs_vector))
        texts = list(dict.fromkeys(text for item in new for text in item.texts))
        if not texts and not queries:
            return {}
        embedder = index.texts.embedder
        found = yield Together([embedder.documents(texts), *(embedder.query(str(query)) for query in queries)])
        dimension = yield from index.dimension()
        vectors, asked = found[0], found[1:]
        _check_dimension([*vectors, *asked], dimension, given=index.texts.dimension is not None)
        encoded = {text: encode_vector(vector) for text, vector in zip(texts, vectors, strict=True)}
        for item in new:
            item.vectors = [encoded[text] for text in item.texts]
        return dict(zip(map(str, queries), asked, strict=True))

    def _read(
        self, results: list[Result], vectors: Mapping[str, Vector], expired_at: int | None
    ) -> Program[list[StoredItem]]:
        """Carry out the operations that read. Returns the items that last from now on."""
        if not (self._gets or self._searches or self._listings):
            return []
        table = self.parts.table
        searches = [self._search(query, vectors, expired_at) for query in self._searches.values()]
        listings = [table.namespaces(listing, expired_at=expired_at) for listing in self._listings.values()]
        got, *found = yield Together([self._items(expired_at), *searches, *listings])
        used: list[StoredItem] = []
        first: dict[Identity, int] = {}
        for position, get in self._gets.items():
            if get.identity in got:
                item = got[get.identity]
                again = first.setdefault(get.identity, position) != position
                # What callers get is theirs to change, also where they get it twice.
                results[position] = copy.deepcopy(results[first[get.identity]]) if again else item.to_item()
                used += [item] if get.refresh else []
        for (position, query), hits in zip(self._searches.items(), found, strict=False):
            results[position] = [hit.item.to_search_item(hit.score) for hit in hits]
            used += [hit.item for hit in hits] if query.refresh else []
        for position, namespaces in zip(self._listings, found[len(searches) :], strict=True):
            results[position] = namespaces
        return used

    def _items(self, expired_at: int | None) -> Program[dict[Identity, StoredItem]]:
        table = self.parts.table
        identities = [get.identity for get in self._gets.values()]
        if not identities:
            return {}
        found = yield from table.prepared(lambda: table.read(identities))
        return {
            identity: item
            for identity, item in found.items()
            if expired_at is None or item.expires_at is None or item.expires_at > expired_at
        }

    def _search(self, query: ItemQuery, vectors: Mapping[str, Vector], expired_at: int | None) -> Program[list[Found]]:
        if query.text is not None and self.parts.index is not None:
            searches = ItemSearches(self.parts.table, self.parts.index)
            return (yield from searches.find(query, vectors.get(query.text), expired_at=expired_at))
        wanted = query.wanted
        items = yield from self.parts.table.page(
            query.prefix,
            None if wanted is None else lambda item: wanted.check(item.value),
            offset=query.offset,
            limit=query.limit,
            expired_at=expired_at,
        )
        return [Found(item, None) for item in items]

    def _write(self, refreshes: Sequence[RowWrite], expired_at: int | None) -> Program[None]:
        table, index = self.parts.table, self.parts.index
        if not self._changes:
            yield from table.refresh(refreshes)
            return

        def write() -> Program[None]:
            now = self.parts.clock.take(len(self._changes))
            yield from table.write(self._changes, now=now, expired_at=expired_at, refreshes=refreshes)

        if index is None:
            yield from table.prepared(write)
        else:
            yield from index.prepared(lambda _: write())


def _identity(namespace: Any, key: Any, *, new: bool = False) -> tuple[Namespace, str]:
    """What an item is told by.

    Raises:
        InvalidArgumentError: The namespace is none, or the key cannot be one.
    """
    checked = check_namespace(namespace, new=new)
    if not isinstance(key, str):
        raise InvalidArgumentError(f"The key is a {type(key).__name__}. Give a str.")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidArgumentError("The key holds a lone surrogate, which is no Unicode character.") from None
    if size > MAX_KEY_BYTES:
        raise InvalidArgumentError(f"The key takes {size} bytes in UTF-8. Tablestore allows {MAX_KEY_BYTES}.")
    return checked, str.__str__(key)


def _check_query(query: Any) -> None:
    if query is None:
        return
    if not isinstance(query, str):
        raise InvalidArgumentError(f"query is a {type(query).__name__}. Give a str.")
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"query has a lone surrogate at position {error.start}. No stored text has one."
        ) from None


def _check_dimension(vectors: Sequence[Vector], dimension: int, *, given: bool) -> None:
    """Refuse vectors that are not those of the index.

    Args:
        vectors: The vectors.
        dimension: Numbers in those of the index.
        given: Whether that is what the caller said.

    Raises:
        EmbeddingError: They have other dimensions.
    """
    for vector in vectors:
        if vector.size == dimension:
            continue
        returned = f"The embedding model returned a vector of {vector.size} dimensions"
        if given:
            raise EmbeddingError(
                f'{returned}; index["dims"] is {dimension}. Correct it, or leave it out. Where the table was made with '
                "it already, use another table, or `drop` this one."
            )
        raise EmbeddingError(
            f"{returned}; this store has {dimension}. Use the model that it was made for, or another table."
        )
