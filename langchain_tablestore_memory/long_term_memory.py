"""LongTermMemory: what is remembered of a user beyond one conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from langchain_core.messages import BaseMessage
from tablestore import AnalyzerType, VectorMetricType

from langchain_tablestore_memory.connection import Connection
from langchain_tablestore_memory.core.checks import check_count, check_id, check_optional_time
from langchain_tablestore_memory.core.cursors import decode_cursor, encode_cursor
from langchain_tablestore_memory.core.documents import Document
from langchain_tablestore_memory.core.knowledge import KnowledgeStore
from langchain_tablestore_memory.core.memories import (
    CREATED,
    DOCUMENT,
    FIELDS,
    MAX_K,
    MESSAGE,
    TEXT_ID,
    UPDATED,
    Memory,
    check_lifetime,
    check_memory_ids,
    check_memory_metadata,
    check_memory_text,
    decode_memory,
    id_of_text,
    is_alive,
    is_same,
    listed_after,
    matching,
    question,
    told,
    words_of,
)
from langchain_tablestore_memory.core.memory_rows import MemoryRows
from langchain_tablestore_memory.core.operations import operation
from langchain_tablestore_memory.core.programs import Program, Together
from langchain_tablestore_memory.core.records import MetadataFilter, microseconds_timestamp
from langchain_tablestore_memory.core.search_index import existing_dimension
from langchain_tablestore_memory.embedders import Embedder, check_model
from langchain_tablestore_memory.errors import (
    ConfigurationError,
    InvalidArgumentError,
    MemoryNotFoundError,
)
from langchain_tablestore_memory.filters import parse

if TYPE_CHECKING:
    import tablestore
    from langchain_core.embeddings import Embeddings
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool

    from langchain_tablestore_memory.core.hybrid import HybridSettings
    from langchain_tablestore_memory.core.search_fields import Filterable

RecallType = Literal["vector", "full_text", "hybrid"]

Time = Any
"""Microseconds since 1970-01-01 UTC, or an aware `datetime`."""

Told = str | BaseMessage
"""What can be remembered."""


@dataclass(slots=True)
class MemoryPage:
    """One page of a user's memories.

    Attributes:
        items: The memories, newest first.
        cursor: Where the next page begins, to be given to the same call; None on the last page.
        total: How many there are on all pages.
    """

    items: list[Memory]
    cursor: str | None
    total: int


class LongTermMemory:
    """What is remembered of users beyond one conversation: told once, recalled by meaning or by words.

    Making one sends no request and calls no model. The table and its search index are made when they are first needed,
    or by `setup`. Every call names the user that it is about, and neither finds nor touches anything of another. The
    same text is stored once for a user, however often it is told.

    On the service, `recall`, `list` and `count` are a few seconds behind what was written (`wait_until_searchable`);
    `get` is not.

    Every call has an async twin that does not block: `aremember`, `arecall`, ...

    Args:
        embedding: The embedding model. None for a memory that is recalled by words only.
        connection: What `connect` returns, an SDK client, or the default connection.
        table_name: The table.
        dimension: Numbers in an embedding. By default the model is asked.
        metric: How embeddings are compared: ``"cosine"``, ``"euclidean"`` or ``"dot_product"``.
        filterable: Metadata that can be filtered by, besides `session_id`, `role`, `created_at`, `updated_at` and
            `expires_at`; see `TablestoreVectorStore`.
        search_index_name: The search index. By default the one that the table has, or `{table_name}_search_index`.
        analyzer: How text is cut into words where the index has to be made; see `tablestore.AnalyzerType`.
        embedding_batch_size: Texts in one call of the embedding model.
        clock: Tells the time in microseconds since 1970-01-01 UTC.

    Raises:
        ConfigurationError: Settings that contradict each other, or a field that cannot be declared.

    Example:
        ```python
        memory = LongTermMemory(embeddings, connection=connect("local:./data"))
        memory.remember("u1", "I like Sichuan food", session_id="s1")
        memory.recall("u1", "What should we eat?", k=3)[0].text
        memory.list("u1").total
        memory.forget("u1", session_id="s1")
        ```
    """

    def __init__(
        self,
        embedding: Embeddings | None = None,
        *,
        connection: Connection | tablestore.OTSClient | tablestore.AsyncOTSClient | None = None,
        table_name: str = "memory",
        dimension: int | None = None,
        metric: str | VectorMetricType = "cosine",
        filterable: Filterable | None = None,
        search_index_name: str | None = None,
        analyzer: str = AnalyzerType.MAXWORD,
        embedding_batch_size: int = 64,
        clock: Callable[[], int] = microseconds_timestamp,
    ) -> None:
        check_model(embedding)
        self._connection = Connection.of(connection)
        self._embedder = (
            None
            if embedding is None
            else Embedder(embedding, check_count(embedding_batch_size, "embedding_batch_size"))
        )
        self._now = clock
        self._options: dict[str, Any] = {
            "table_name": table_name,
            "search_index_name": search_index_name,
            "filterable": _declared(filterable),
            "vector_metric_type": metric,
            "analyzer": analyzer,
        }
        # Also where the dimension is not known yet, so that wrong settings are refused here and not by the first call.
        checked = self._store(1 if dimension is None and embedding is not None else dimension)
        self._knowledge = None if embedding is not None and dimension is None else checked

    # Setting up

    def _setup(self) -> Program[None]:
        """Create the table and its search index if they are missing, verify them, and wait until they are ready.

        Calling it is not necessary: the first request that meets no table or index does the same.

        Raises:
            SchemaMismatchError: The table or its index is not what this memory needs; says what differs.
        """
        knowledge = yield from self._opened()
        yield from knowledge._setup()  # noqa: SLF001 - a program of ours

    setup, asetup = operation(_setup)

    def _drop(self) -> Program[None]:
        """Delete the table with everything that is remembered of all users. A missing one is fine."""
        knowledge = yield from self._opened()
        yield from knowledge._drop()  # noqa: SLF001 - a program of ours

    drop, adrop = operation(_drop)

    def _wait_until_searchable(self, *, timeout: float = 60.0) -> Program[None]:
        """Wait until `recall`, `list` and `count` see what was written before.

        Args:
            timeout: Seconds to wait.

        Raises:
            UnavailableError: They do not after that time.
        """
        knowledge = yield from self._opened()
        yield from knowledge._wait_until_searchable(timeout=timeout)  # noqa: SLF001 - a program of ours

    wait_until_searchable, await_until_searchable = operation(_wait_until_searchable)

    # Remembering

    def _remember(
        self,
        user_id: str,
        content: Told | Iterable[Told],
        *,
        session_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: Any = None,
    ) -> Program[list[Memory]]:
        """Remember texts or messages.

        A text that is remembered already is not stored again: it keeps its id, time and session, gets the metadata that
        is given now on top of its own, and lasts as long as is asked for now. One that a memory got by `update` is
        recognised once searches show it.

        Args:
            user_id: Whose memories these are.
            content: A text or a message, or several. Of messages the text is remembered, with its role and id.
            session_id: The conversation that they come from.
            metadata: What to keep with each of them.
            ttl: After how many seconds they are forgotten, or a `timedelta`; never by default.

        Returns:
            What is remembered now, in order; each text once.

        Raises:
            InvalidArgumentError: A text is empty, or something cannot be stored; nothing is written.
            EmbeddingError: The model failed; nothing new is written.
            WriteError: Some are not known to be stored. Remembering them again is harmless.
        """
        check_id(user_id, "user_id")
        now = self._now()
        lifetime = check_lifetime(ttl)
        memories = told(
            content,
            Memory(
                "",
                "",
                session_id=None if session_id is None else check_id(session_id, "session_id"),
                created_at=now,
                updated_at=now,
                expires_at=None if lifetime is None else now + lifetime,
                metadata=check_memory_metadata(metadata),
            ),
        )
        if not memories:
            return []
        rows = yield from self._rows()
        return (yield from rows.store(user_id, memories, now))

    remember, aremember = operation(_remember)

    def _update(
        self,
        user_id: str,
        memory_id: str,
        *,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Program[Memory]:
        """Change a memory. It keeps its id, its session and the time when it was first remembered.

        Args:
            user_id: Whose memory it is.
            memory_id: The memory.
            text: What to remember instead.
            metadata: Metadata to set; other metadata stays.

        Returns:
            The memory as it is now.

        Raises:
            MemoryNotFoundError: This user has no such memory.
            InvalidArgumentError: Nothing is given to change, it cannot be stored, or another memory has this text.
            EmbeddingError: The model failed; nothing is changed.
        """
        if text is None and metadata is None:
            raise InvalidArgumentError("Nothing is given to change. Give a text or metadata.")
        check_id(user_id, "user_id")
        check_id(memory_id, "memory_id")
        given = check_memory_metadata(metadata)
        text = None if text is None else check_memory_text(text)
        memory = yield from self._existing(user_id, memory_id)
        after = replace(memory, text=text or memory.text, metadata={**memory.metadata, **given})
        if after.text == memory.text and is_same(after.metadata, memory.metadata):
            return memory
        after.updated_at = max(self._now(), memory.updated_at + 1)
        change = Document(memory_id, user_id, metadata={**given, UPDATED: after.updated_at})
        if after.text != memory.text:
            yield from self._refuse_known(user_id, after.text)
            change.text = after.text
            change.metadata[TEXT_ID] = id_of_text(after.text)
            if self._embedder is not None:
                [change.embedding] = yield from self._embedder.documents([after.text])
        knowledge = yield from self._opened()
        written = yield from knowledge._update_documents([change], create=False)  # noqa: SLF001 - a program of ours
        # Nothing was left to write where somebody has forgotten it, or where a lost answer told that it was written.
        return after if written else (yield from self._existing(user_id, memory_id))

    update, aupdate = operation(_update)

    # Recalling

    def _recall(
        self,
        user_id: str,
        query: Told | Sequence[BaseMessage],
        k: int = 5,
        *,
        search_type: RecallType | None = None,
        score_threshold: float | None = None,
        session_id: str | None = None,
        since: Time = None,
        until: Time = None,
        filter: MetadataFilter = None,  # noqa: A002 - what LangChain calls it
        settings: HybridSettings | None = None,
    ) -> Program[list[Memory]]:
        """The memories that fit a question best, best first, with their scores.

        Args:
            user_id: Whose memories.
            query: The question: a text, a message, or messages, of which the last one that a human said counts.
            k: How many, 1 to 1000.
            search_type: ``"vector"``, ``"full_text"`` or ``"hybrid"``. By default hybrid, or by words where there is no
                embedding model.
            score_threshold: Leaves out memories with lower scores. Not for hybrid, whose scores only order.
            session_id: Only memories from this conversation.
            since: Only memories from this time on.
            until: Only memories up to this time.
            filter: Which metadata; see `Filters`.
            settings: How a hybrid search combines the two.

        Raises:
            InvalidArgumentError: The question is empty, or something is out of range.
            FilterError: A field is not declared; lists those that are.
            EmbeddingError: The model failed.
        """
        check_id(user_id, "user_id")
        check_count(k, "k", at_most=MAX_K)
        text = question(query)
        search_type = self._search_type(search_type, score_threshold, settings)
        wanted = matching(now=self._now(), session_id=session_id, since=since, until=until, metadata_filter=filter)
        knowledge = yield from self._opened()
        words = words_of(text)
        if search_type == "full_text":
            page = yield from knowledge._full_text_search(  # noqa: SLF001 - a program of ours
                words, user_id, wanted, k, min_score=score_threshold
            )
        else:
            assert self._embedder is not None
            vector = yield from self._embedder.query(text)
            if search_type == "vector":
                page = yield from knowledge._vector_search(  # noqa: SLF001 - a program of ours
                    vector, k, user_id, wanted, min_score=score_threshold
                )
            else:
                page = yield from knowledge._hybrid_search(  # noqa: SLF001 - a program of ours
                    words, vector, user_id, wanted, k, settings=settings
                )
        return [decode_memory(hit.document, hit.score) for hit in page.items]

    recall, arecall = operation(_recall)

    def _get(self, user_id: str, memory_ids: str | Iterable[str]) -> Program[list[Memory | None]]:
        """Memories by their ids, in the order of these; None for those that do not exist or have expired."""
        check_id(user_id, "user_id")
        ids = check_memory_ids(memory_ids)
        knowledge = yield from self._opened()
        found = yield from knowledge._get_documents(  # noqa: SLF001 - a program of ours
            ids, user_id, include_embedding=False
        )
        now = self._now()
        memories = [None if document is None else decode_memory(document) for document in found]
        return [memory if memory is not None and is_alive(memory, now) else None for memory in memories]

    get, aget = operation(_get)

    def _list(
        self,
        user_id: str,
        *,
        session_id: str | None = None,
        since: Time = None,
        until: Time = None,
        filter: MetadataFilter = None,  # noqa: A002 - what LangChain calls it
        limit: int = 100,
        cursor: str | None = None,
    ) -> Program[MemoryPage]:
        """One page of a user's memories, newest first, and how many there are in all.

        Args:
            user_id: Whose memories.
            session_id: Only those from this conversation.
            since: Only those from this time on.
            until: Only those up to this time.
            filter: Which metadata.
            limit: Memories on the page, 1 to 1000.
            cursor: `MemoryPage.cursor` of the page before.

        Raises:
            CursorError: The cursor is malformed, or was given out for another user or other conditions.
        """
        check_id(user_id, "user_id")
        conditions = {
            "session": session_id,
            "since": check_optional_time(since, "since"),
            "until": check_optional_time(until, "until"),
            "filter": parse(filter),
        }
        scope = ["memories", str(self._options["table_name"]), user_id, *(f"{n}={v!r}" for n, v in conditions.items())]
        # All pages are of one time, so that nothing expires between two of them.
        now: Any = self._now()
        following = None
        if cursor is not None:
            now, created_at, memory_id = decode_cursor(cursor, scope, (int, int, str))
            following = listed_after(int(created_at), str(memory_id))
        wanted = matching(now=now, session_id=session_id, since=since, until=until, metadata_filter=filter)
        wanted_here = wanted if following is None else wanted & following
        counted = [wanted] if following is None else [wanted, wanted_here]
        knowledge = yield from self._opened()
        page, total, *left = yield Together(
            [
                knowledge._search_documents(  # noqa: SLF001 - a program of ours
                    user_id, wanted_here, limit, order_by=[f"-{CREATED}", DOCUMENT]
                ),
                *(knowledge._count_documents(user_id, each) for each in counted),  # noqa: SLF001 - the same
            ]
        )
        memories = [decode_memory(hit.document) for hit in page.items]
        # Whether a search names a next page does not say whether there is anything on it.
        more = memories and [total, *left][-1] > len(memories)
        last = [now, memories[-1].created_at, memories[-1].memory_id] if more else None
        return MemoryPage(memories, None if last is None else encode_cursor(scope, last), total)

    list, alist = operation(_list)

    def _count(
        self,
        user_id: str,
        *,
        session_id: str | None = None,
        since: Time = None,
        until: Time = None,
        filter: MetadataFilter = None,  # noqa: A002 - what LangChain calls it
    ) -> Program[int]:
        """How many memories of a user there are; see `list`."""
        check_id(user_id, "user_id")
        wanted = matching(now=self._now(), session_id=session_id, since=since, until=until, metadata_filter=filter)
        knowledge = yield from self._opened()
        return (yield from knowledge._count_documents(user_id, wanted))  # noqa: SLF001 - a program of ours

    count, acount = operation(_count)

    # Forgetting

    def _forget(
        self,
        user_id: str,
        memory_ids: str | Iterable[str] | None = None,
        *,
        session_id: str | None = None,
        since: Time = None,
        until: Time = None,
        filter: MetadataFilter = None,  # noqa: A002 - what LangChain calls it
    ) -> Program[int]:
        """Forget memories by their ids, or all that fulfil conditions, also those that searches do not show yet.

        Args:
            user_id: Whose memories.
            memory_ids: The memories. Those that do not exist are fine.
            session_id: In place of ids: those from this conversation.
            since: In place of ids: those from this time on.
            until: In place of ids: those up to this time.
            filter: In place of ids: those with this metadata.

        Returns:
            How many were forgotten.

        Raises:
            InvalidArgumentError: Neither ids nor a condition is given, or both are: `forget_user` forgets all.
            WriteError: Some are not known to be forgotten; `failed` names them.
        """
        check_id(user_id, "user_id")
        conditional = any(given is not None for given in (session_id, since, until, filter))
        if (memory_ids is None) != conditional:
            raise InvalidArgumentError(
                "forget takes memory_ids, or conditions (session_id, since, until, filter). To forget everything of a "
                "user, call forget_user."
            )
        if memory_ids is None:
            wanted = matching(session_id=session_id, since=since, until=until, metadata_filter=filter)
            knowledge = yield from self._opened()
            return (
                yield from knowledge._delete_by_filter(wanted, tenant_id=user_id)  # noqa: SLF001 - a program of ours
            )
        ids = [*dict.fromkeys(check_memory_ids(memory_ids))]
        found = yield from self._get(user_id, ids)
        knowledge = yield from self._opened()
        yield from knowledge._delete_documents(ids, user_id)  # noqa: SLF001 - a program of ours
        return sum(memory is not None for memory in found)

    forget, aforget = operation(_forget)

    def _forget_user(self, user_id: str) -> Program[int]:
        """Forget everything of a user.

        Returns:
            How many memories were forgotten.
        """
        check_id(user_id, "user_id")
        knowledge = yield from self._opened()
        return (yield from knowledge._delete_document_by_tenant(user_id))  # noqa: SLF001 - a program of ours

    forget_user, aforget_user = operation(_forget_user)

    def _forget_expired(self) -> Program[int]:
        """Remove memories of all users that have expired. They are not recalled anyway: this frees their space.

        To be called now and then, by a scheduled job. What searches do not show yet is removed by the next call, and
        what is told again meanwhile stays.

        Returns:
            How many were removed.
        """
        rows = yield from self._rows()
        return (yield from rows.remove_expired(self._now()))

    forget_expired, aforget_expired = operation(_forget_expired)

    # For agents and chains

    def tools(self, user_id: str | None = None, *, session_id: str | None = None, k: int = 5) -> Sequence[BaseTool]:
        """The tools `remember`, `recall` and `forget` for an agent. The model cannot choose the user.

        Args:
            user_id: Whose memories. By default the `user_id` of each call: of the context of the agent that runs, or of
                `config["configurable"]`.
            session_id: The conversation that memories come from. By default `config["configurable"]["thread_id"]`,
                if there is one.
            k: How many memories `recall` returns.
        """
        from langchain_tablestore_memory.memory_tools import memory_tools  # noqa: PLC0415 - imports this module

        return memory_tools(self, user_id, session_id=session_id, k=k)

    def as_runnable(
        self,
        user_id: str | None = None,
        *,
        input_key: str = "input",
        output_key: str = "memories",
        k: int = 5,
        **recall_options: Any,
    ) -> Runnable[Any, dict[str, Any]]:
        r"""A step of a chain that adds memories to the input of a prompt, one in a line.

        Args:
            user_id: Whose memories. By default the `user_id` of each call, as for `tools`.
            input_key: Where the question is in the input, which is a dict.
            output_key: Where the memories go: text, empty where there are none.
            k: How many memories.
            **recall_options: As for `recall`.

        Example:
            ```python
            prompt = ChatPromptTemplate([("system", "You know of the user:\n{memories}"), ("human", "{input}")])
            chain = memory.as_runnable(k=3) | prompt | model
            chain.invoke({"input": "What should we eat?"}, {"configurable": {"user_id": "u1"}})
            ```
        """
        from langchain_tablestore_memory.memory_tools import memory_step  # noqa: PLC0415 - imports this module

        return memory_step(self, user_id, input_key=input_key, output_key=output_key, k=k, **recall_options)

    # Below here: how to search, and the store underneath

    def _existing(self, user_id: str, memory_id: str) -> Program[Memory]:
        [memory] = yield from self._get(user_id, [memory_id])
        if memory is None:
            raise MemoryNotFoundError(
                f"User {user_id!r} has no memory {memory_id!r}, or it has expired. list() and recall() tell what there "
                "is."
            )
        return memory

    def _refuse_known(self, user_id: str, text: str) -> Program[None]:
        """Refuse a text that another memory has."""
        rows = yield from self._rows()
        known = (yield from rows.find(user_id, [text], self._now()))[text].memory
        if known is not None:
            raise InvalidArgumentError(
                f"Memory {known.memory_id!r} of user {user_id!r} has this text already. Forget one of the two."
            )

    def _search_type(
        self, search_type: RecallType | None, score_threshold: float | None, settings: HybridSettings | None
    ) -> RecallType:
        if search_type is None:
            search_type = "full_text" if self._embedder is None else "hybrid"
            if score_threshold is not None and search_type == "hybrid":
                search_type = "vector"
        if search_type not in get_args(RecallType):
            allowed = ", ".join(map(repr, get_args(RecallType)))
            raise InvalidArgumentError(f"search_type is {search_type!r}. Give one of {allowed}.")
        if search_type != "full_text" and self._embedder is None:
            raise InvalidArgumentError(
                f"search_type {search_type!r} needs an embedding model, and this memory has none. Give it one, or "
                "search by 'full_text'."
            )
        if search_type == "hybrid" and score_threshold is not None:
            raise InvalidArgumentError(
                "score_threshold is not for 'hybrid', whose scores only order. Give it with 'vector' or 'full_text'."
            )
        if search_type != "hybrid" and settings is not None:
            raise InvalidArgumentError(f"settings are for 'hybrid', and search_type is {search_type!r}.")
        return search_type

    def _opened(self) -> Program[KnowledgeStore]:
        """The store of documents, once it is known how many numbers their embeddings have."""
        if self._knowledge is None:
            assert self._embedder is not None
            # An index that exists says so too: what does not need the model works without it.
            dimension = yield from existing_dimension(self._store(None).index_schema, "embedding")
            self._knowledge = self._store(dimension or (yield from self._embedder.dimension()))
        return self._knowledge

    def _rows(self) -> Program[MemoryRows]:
        knowledge = yield from self._opened()
        return MemoryRows(knowledge._searches, self._embedder)  # noqa: SLF001 - a part of it

    def _store(self, dimension: int | None) -> KnowledgeStore:
        return KnowledgeStore(self._connection, dimension, enable_multi_tenant=True, **self._options)


def _declared(filterable: Filterable | None) -> Filterable:
    """The fields of memories, and those of the caller."""
    if filterable is None:
        return {**FIELDS}
    if not isinstance(filterable, Mapping):
        raise ConfigurationError('filterable is no dict. Give names and types: {"topic": str}.')
    taken = sorted({*FIELDS, MESSAGE}.intersection(filterable))
    if taken:
        raise ConfigurationError(
            f"filterable declares {', '.join(map(repr, taken))}, which memories use themselves. Leave it out."
        )
    return {**FIELDS, **filterable}
