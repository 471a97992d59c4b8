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
from langchain_tablestore_memory.core.knowledge import KnowledgeStore, MetadataFilter
from langchain_tablestore_memory.core.memories import (
    CREATED,
    EXPIRES,
    FIELDS,
    MESSAGE,
    TEXT_ID,
    UPDATED,
    Memory,
    check_lifetime,
    check_memory_ids,
    check_memory_metadata,
    check_memory_text,
    decode_memory,
    encode_memory,
    id_of_text,
    is_alive,
    matching,
)
from langchain_tablestore_memory.core.operations import operation
from langchain_tablestore_memory.core.programs import Program, Together
from langchain_tablestore_memory.core.records import microseconds_timestamp
from langchain_tablestore_memory.embedders import Embedder
from langchain_tablestore_memory.errors import (
    ConfigurationError,
    InvalidArgumentError,
    MemoryNotFoundError,
)
from langchain_tablestore_memory.filters import Filters, parse

if TYPE_CHECKING:
    import tablestore
    from langchain_core.embeddings import Embeddings
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool

    from langchain_tablestore_memory.core.hybrid import HybridSettings
    from langchain_tablestore_memory.core.search_fields import Filterable

RecallType = Literal["vector", "full_text", "hybrid"]

MAX_K = 1000
"""Memories that one call returns at the most (limits of the service)."""

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

        A text that is remembered already is not stored again: it keeps its id and time, gets the metadata that is given
        now on top of its own, and lasts as long as is asked for now.

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
        told = _told(
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
        if not told:
            return []
        knowledge = yield from self._opened()
        known = yield from self._known(knowledge, user_id, told)
        fresh, again = [], []
        for memory in told:
            before = known.get(memory.text)
            memory.memory_id = before.memory_id if before is not None else memory.memory_id
            if before is None or not before.text or not is_alive(before, now):
                fresh.append(memory)
            else:
                again.append((before, memory))
        yield from self._store_fresh(knowledge, user_id, fresh)
        kept = yield from self._keep(knowledge, user_id, again)
        return [kept.get(memory.memory_id, memory) for memory in told]

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
            InvalidArgumentError: Nothing is given to change, or it cannot be stored.
        """
        if text is None and metadata is None:
            raise InvalidArgumentError("Nothing is given to change. Give a text or metadata.")
        given = check_memory_metadata(metadata)
        text = None if text is None else check_memory_text(text)
        [memory] = yield from self._get(user_id, [memory_id])
        if memory is None:
            raise MemoryNotFoundError(
                f"User {user_id!r} has no memory {memory_id!r}, or it has expired. list() and recall() tell what there "
                "is."
            )
        memory.updated_at = max(self._now(), memory.updated_at + 1)
        memory.metadata.update(given)
        changes = {**given, UPDATED: memory.updated_at}
        vector = None
        if text is not None and text != memory.text:
            memory.text = text
            changes[TEXT_ID] = id_of_text(text)
            if self._embedder is not None:
                [vector] = yield from self._embedder.documents([text])
        knowledge = yield from self._opened()
        change = Document(memory.memory_id, user_id, memory.text if TEXT_ID in changes else None, vector, changes)
        if not (yield from knowledge._update_documents([change], create=False)):  # noqa: SLF001 - a program of ours
            raise MemoryNotFoundError(f"Memory {memory_id!r} of user {user_id!r} was forgotten meanwhile.")
        return memory

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
        text = _question(query)
        search_type = self._search_type(search_type, score_threshold, settings)
        wanted = matching(now=self._now(), session_id=session_id, since=since, until=until, metadata_filter=filter)
        knowledge = yield from self._opened()
        if search_type == "full_text":
            page = yield from knowledge._full_text_search(  # noqa: SLF001 - a program of ours
                text, user_id, wanted, k, min_score=score_threshold
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
                    text, vector, user_id, wanted, k, settings=settings
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
        scope = [
            str(self._options["table_name"]),
            user_id,
            *(f"{name}={value!r}" for name, value in conditions.items()),
        ]
        # All pages are of one time, so that nothing expires between two of them.
        now: Any = self._now()
        token: Any = None
        if cursor is not None:
            now, token = decode_cursor(cursor, scope, (int, str))
        wanted = matching(now=now, session_id=session_id, since=since, until=until, metadata_filter=filter)
        knowledge = yield from self._opened()
        page, total = yield Together(
            [
                knowledge._search_documents(  # noqa: SLF001 - a program of ours
                    user_id, wanted, limit, token, order_by=[f"-{CREATED}"]
                ),
                knowledge._count_documents(user_id, wanted),  # noqa: SLF001 - a program of ours
            ]
        )
        following = None if page.cursor is None else encode_cursor(scope, [now, page.cursor])
        return MemoryPage([decode_memory(hit.document) for hit in page.items], following, total)

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
        ids = list(dict.fromkeys(check_memory_ids(memory_ids)))
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

        To be called now and then, by a scheduled job.

        Returns:
            How many were removed.
        """
        dimension = (yield from self._opened()).vector_dimension
        everyone = self._store(dimension, multi_tenant=False)
        return (yield from everyone._delete_by_filter(Filters.lte(EXPIRES, self._now())))  # noqa: SLF001 - ours

    forget_expired, aforget_expired = operation(_forget_expired)

    # For agents and chains

    def tools(self, user_id: str | None = None, *, session_id: str | None = None, k: int = 5) -> Sequence[BaseTool]:
        """The tools `remember`, `recall` and `forget` for an agent. The model cannot choose the user.

        Args:
            user_id: Whose memories. By default `config["configurable"]["user_id"]` of each call.
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
            user_id: Whose memories. By default `config["configurable"]["user_id"]` of each call.
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

    # Below here: what is known already, and the store underneath

    def _known(self, knowledge: KnowledgeStore, user_id: str, told: Sequence[Memory]) -> Program[dict[str, Memory]]:
        """By text, what is remembered already. Gives each of `told` an id that is free, or that of its text."""
        found: dict[str, Memory] = {}
        # A memory whose text was changed is not at the id of its text.
        edited = Filters.In(TEXT_ID, [id_of_text(memory.text) for memory in told])
        pending, attempt = list(told), 0
        while pending:
            ids = [id_of_text(memory.text, attempt) for memory in pending]
            lookups: list[Program[Any]] = [
                knowledge._get_documents(ids, user_id, include_embedding=False)  # noqa: SLF001 - a program of ours
            ]
            if not attempt:
                lookups.append(knowledge._search_documents(user_id, edited, MAX_K))  # noqa: SLF001 - the same
            documents, *pages = yield Together(lookups)
            for page in pages:
                changed = [decode_memory(hit.document) for hit in page.items]
                found.update({memory.text: memory for memory in changed})
            taken = []
            for memory, free_id, document in zip(pending, ids, documents, strict=True):
                memory.memory_id = free_id
                if document is not None and document.text == memory.text:
                    found[memory.text] = decode_memory(document)
                elif document is not None and memory.text not in found:
                    taken.append(memory)
            pending, attempt = taken, attempt + 1
        return found

    def _store_fresh(self, knowledge: KnowledgeStore, user_id: str, memories: Sequence[Memory]) -> Program[None]:
        if not memories:
            return
        vectors: Sequence[Any] = [None] * len(memories)
        if self._embedder is not None:
            vectors = yield from self._embedder.documents([memory.text for memory in memories])
        documents = [
            encode_memory(memory, user_id, embedding=vector) for memory, vector in zip(memories, vectors, strict=True)
        ]
        yield from knowledge._put_documents(documents)  # noqa: SLF001 - a program of ours

    def _keep(
        self, knowledge: KnowledgeStore, user_id: str, again: Sequence[tuple[Memory, Memory]]
    ) -> Program[dict[str, Memory]]:
        """What becomes of memories that are told again: metadata on top of their own, and the time that is left."""
        kept, changes = {}, []
        for before, told in again:
            now = replace(before, metadata={**before.metadata, **told.metadata}, expires_at=told.expires_at)
            if now != before:
                now.updated_at = max(told.updated_at, before.updated_at + 1)
                changed = {**told.metadata, EXPIRES: now.expires_at, UPDATED: now.updated_at}
                changes.append(Document(now.memory_id, user_id, metadata=changed))
            kept[now.memory_id] = now
        if changes:
            yield from knowledge._update_documents(changes, create=False)  # noqa: SLF001 - a program of ours
        return kept

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
            self._knowledge = self._store((yield from self._embedder.dimension()))
        return self._knowledge

    def _store(self, dimension: int | None, *, multi_tenant: bool = True) -> KnowledgeStore:
        return KnowledgeStore(self._connection, dimension, enable_multi_tenant=multi_tenant, **self._options)


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


def _told(content: Any, common: Memory) -> list[Memory]:
    """What is to be remembered, each text once."""
    several = [content] if isinstance(content, str | BaseMessage) else content
    if not isinstance(several, Iterable) or isinstance(several, Mapping | bytes):
        raise InvalidArgumentError(f"content is a {type(content).__name__}. Give a text, a message, or a list of them.")
    memories: dict[str, Memory] = {}
    for position, each in enumerate(several):
        name = "content" if each is content else f"content[{position}]"
        if isinstance(each, BaseMessage):
            text = check_memory_text(str(each.text), f"The text of {name}")
            memory = replace(common, text=text, role=each.type, message_id=each.id, metadata=dict(common.metadata))
        else:
            memory = replace(common, text=check_memory_text(each, name), metadata=dict(common.metadata))
        memories.setdefault(memory.text, memory)
    return [*memories.values()]


def _question(query: Any) -> str:
    """The text to search by."""
    if isinstance(query, BaseMessage):
        return check_memory_text(str(query.text), "The text of query")
    if isinstance(query, Sequence) and not isinstance(query, str | bytes):
        messages = [message for message in query if isinstance(message, BaseMessage)]
        if not messages:
            raise InvalidArgumentError("query holds no messages. Give a text, a message, or a list of messages.")
        said = [message for message in messages if message.type == "human"]
        return _question((said or messages)[-1])
    return check_memory_text(query, "query")
