"""What a store is made of, and how its settings become that."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langgraph.store.base import IndexConfig, TTLConfig

from langchain_tablestore_memory.core.checks import check_count
from langchain_tablestore_memory.core.hybrid import HybridSettings
from langchain_tablestore_memory.errors import ConfigurationError, InvalidArgumentError
from langchain_tablestore_memory.langgraph.stores.clock import StoreClock
from langchain_tablestore_memory.langgraph.stores.index import ItemIndex
from langchain_tablestore_memory.langgraph.stores.searches import SearchType, check_search_type
from langchain_tablestore_memory.langgraph.stores.table import ItemTable
from langchain_tablestore_memory.langgraph.stores.texts import TextSettings
from langchain_tablestore_memory.langgraph.stores.ttl import Lifetimes

if TYPE_CHECKING:
    from langchain_tablestore_memory.connection import Connection
    from langchain_tablestore_memory.core.search_fields import Filterable

_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,239}")
"""Names of up to 255 characters are allowed; those of the indexes are made of it."""


@dataclass(frozen=True, slots=True)
class StoreParts:
    """What a store is made of.

    Attributes:
        table: The table.
        index: Its search index, where searches take a query.
        lifetimes: How long items last.
        hybrid: How a hybrid search combines the two, where nothing else is said.
        search_type: How searches with a query search, where nothing else is said.
        clock: The clock.
    """

    table: ItemTable
    index: ItemIndex | None
    lifetimes: Lifetimes
    hybrid: HybridSettings
    search_type: SearchType | None
    clock: StoreClock

    @classmethod
    def of(
        cls,
        connection: Connection,
        *,
        index: IndexConfig | None,
        ttl: TTLConfig | None,
        table_name: str,
        filterable: Filterable | None,
        search_type: SearchType | None,
        hybrid: HybridSettings | None,
        search_index_name: str | None,
        analyzer: str,
        embedding_batch_size: int,
        clock: Callable[[], int],
    ) -> StoreParts:
        """From the settings of `TablestoreStore`.

        Raises:
            ConfigurationError: Settings that contradict each other, or that cannot be.
        """
        lifetimes = Lifetimes.of(ttl)
        table = ItemTable(connection, _checked_name(table_name))
        batch_size = check_count(embedding_batch_size, "embedding_batch_size")
        if index is None:
            _refuse_useless(filterable=filterable, search_type=search_type, search_index_name=search_index_name)
            return cls(table, None, lifetimes, check_hybrid(hybrid), None, StoreClock(clock))
        texts = TextSettings.of(index, batch_size)
        searched = ItemIndex(
            connection, table.schema, texts, filterable=filterable, name=search_index_name, analyzer=analyzer
        )
        how = check_search_type(search_type, by_meaning=texts.embedder is not None)
        return cls(table, searched, lifetimes, check_hybrid(hybrid), how, StoreClock(clock))


def check_hybrid(settings: Any) -> HybridSettings:
    """How a hybrid search combines the two.

    Raises:
        InvalidArgumentError: It is something else.
    """
    if settings is None:
        return HybridSettings()
    if not isinstance(settings, HybridSettings):
        raise InvalidArgumentError(f"hybrid is a {type(settings).__name__}. Give HybridSettings(...).")
    return settings


def _refuse_useless(**given: Any) -> None:
    """Refuse settings that only an index has a use for."""
    useless = [name for name, value in given.items() if value is not None]
    if useless:
        raise ConfigurationError(
            f'{", ".join(useless)} needs an index. Give index={{"fields": ["text"]}} for searches by words, and '
            '"embed" in it for searches by meaning.'
        )


def _checked_name(table_name: Any) -> str:
    if not isinstance(table_name, str) or not _TABLE_NAME.fullmatch(table_name):
        raise ConfigurationError(
            f"table_name is {table_name!r}. Names begin with a letter or underscore and hold letters, digits and "
            "underscores, 1 to 240 of them."
        )
    return table_name
