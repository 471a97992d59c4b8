"""The tables that the commands work on, and how they are looked at, made and verified."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_tablestore_memory.cli.chat.remembering import open_memory
from langchain_tablestore_memory.core.knowledge import KnowledgeStore
from langchain_tablestore_memory.core.memories import FIELDS
from langchain_tablestore_memory.core.messages import MessageStore
from langchain_tablestore_memory.core.programs import Call, Program
from langchain_tablestore_memory.core.record_searches import message_index
from langchain_tablestore_memory.core.search_index import SearchIndexSchema, ensure_search_index
from langchain_tablestore_memory.core.sessions import SessionRegistry

if TYPE_CHECKING:
    from langchain_tablestore_memory.cli.chat.models import Recall
    from langchain_tablestore_memory.connection import Connection
    from langchain_tablestore_memory.core.schema import TableSchema


@dataclass(frozen=True, slots=True)
class OwnTable:
    """A table that the commands work on.

    Attributes:
        schema: The table.
        index: Its search index; None where it needs none.
        purpose: What is in it.
        make: Makes what is missing, and verifies what exists.
    """

    schema: TableSchema
    index: SearchIndexSchema | None
    purpose: str
    make: Callable[[], object]


def own_tables(connection: Connection, recall: Recall) -> Sequence[OwnTable]:
    """The tables of conversations, messages and memories."""
    sessions = SessionRegistry(connection)
    messages = MessageStore(connection)
    searches = message_index(messages.schema, None, None)
    # Which vectors an index of memories holds is the concern of who embeds them, so none are asked for here.
    memories = KnowledgeStore(connection, enable_multi_tenant=True, table_name="memory", filterable=FIELDS).index_schema
    return (
        OwnTable(sessions.schema, None, "conversations", sessions.setup),
        OwnTable(
            messages.schema, searches, "messages", lambda: connection.run(ensure_search_index(connection, searches))
        ),
        OwnTable(memories.table, memories, "memories", lambda: open_memory(connection, recall)),
    )


def table_names(connection: Connection) -> Sequence[str]:
    """The tables of the instance.

    Raises:
        ServiceError: The service cannot be reached, or refuses.
    """

    def names() -> Program[Sequence[str]]:
        found: Sequence[str] = yield Call("list_table")
        return found

    return connection.run(names())


def initialise(connection: Connection, recall: Recall) -> None:
    """Create what is missing, verify what exists, and tell of each table.

    Raises:
        SchemaMismatchError: A table or an index is not what is needed; says what to do.
        ServiceError: The service cannot be reached, or refuses.
    """
    existing = table_names(connection)
    for table in own_tables(connection, recall):
        table.make()
        state = "verified" if table.schema.name in existing else "created"
        print(f"{table.schema.name:<10} {state:<9} for {table.purpose}", flush=True)
    _, found = open_memory(connection, recall)
    if found is not recall:
        print(f"Memories are found {found.description}.", file=sys.stderr)
