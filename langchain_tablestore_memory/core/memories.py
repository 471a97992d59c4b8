"""Long-term memories as documents of a knowledge table, and back.

A memory is a document whose tenant is its user, so everything of one user lies in partitions of its own. What is known
about a memory besides its text is metadata under the names in `RESERVED`; the rest of the metadata is the caller's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage

from langchain_tablestore_memory import filters
from langchain_tablestore_memory.core import tagged_json
from langchain_tablestore_memory.core.checks import check_id, check_mapping, check_optional_time
from langchain_tablestore_memory.core.documents import Document
from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.filters import Filter, Filters
from langchain_tablestore_memory.filters.search import MAX_TEXT as MAX_WORDS

T = TypeVar("T")

SESSION = "session_id"
ROLE = "role"
MESSAGE = "message_id"
CREATED = "created_at"
UPDATED = "updated_at"
EXPIRES = "expires_at"
TEXT_ID = "text_id"
"""The id that a memory's text would have, where the memory has another one."""

DOCUMENT = "document_id"
"""What the table calls the id of a memory."""

FIELDS: Mapping[str, type] = {SESSION: str, ROLE: str, CREATED: int, UPDATED: int, EXPIRES: int, TEXT_ID: str}
"""What every memory can be filtered and sorted by."""

RESERVED = frozenset({*FIELDS, MESSAGE})
"""Metadata keys with a meaning of their own."""

MAX_K = 1000
"""Memories that one call returns at the most (limits of the service)."""

MAX_TEXT = 100_000
"""Characters of one memory: what is longer is a document."""

_ID_BYTES = 15
_MICROSECOND = timedelta(microseconds=1)
_LONGEST_LIFETIME = 10**18
"""Microseconds, some 30,000 years: what ends later still fits 64 bits."""


@dataclass(slots=True)
class Memory:
    """Something that is remembered of a user.

    Attributes:
        memory_id: Its id, unique for this user.
        text: What is remembered.
        session_id: The conversation that it comes from; None where none was named.
        role: Who said it, as LangChain calls message types: ``"human"``, ``"ai"``, ...; None for plain texts.
        message_id: The message that it was; None for plain texts.
        created_at: When it was first remembered, in microseconds since 1970-01-01 UTC.
        updated_at: When it was last changed; `created_at` where it never was.
        expires_at: When it is forgotten by itself; None for never.
        metadata: What the application wants to keep with it. Returns exactly as given.
        score: How well it fits the question, higher is better; None where nothing was asked.
    """

    memory_id: str
    text: str
    session_id: str | None = field(default=None, kw_only=True)
    role: str | None = field(default=None, kw_only=True)
    message_id: str | None = field(default=None, kw_only=True)
    created_at: int = field(default=0, kw_only=True)
    updated_at: int = field(default=0, kw_only=True)
    expires_at: int | None = field(default=None, kw_only=True)
    metadata: dict[str, Any] = field(default_factory=dict, kw_only=True)
    score: float | None = field(default=None, kw_only=True)


def id_of_text(text: str, attempt: int = 0) -> str:
    """The id of a memory that is told by its text alone, so that the same text is stored once.

    Args:
        text: The text.
        attempt: Tells apart texts that want one id: a memory keeps its id when its text is changed.
    """
    salt = f"{attempt}:" if attempt else ""
    return "memory-" + hashlib.blake2b((salt + text).encode("utf-8"), digest_size=_ID_BYTES).hexdigest()


def encode_memory(memory: Memory, user_id: str, *, embedding: Any = None) -> Document:
    """A memory as a document. What is None is left out."""
    own = {
        SESSION: memory.session_id,
        ROLE: memory.role,
        MESSAGE: memory.message_id,
        CREATED: memory.created_at,
        UPDATED: memory.updated_at,
        EXPIRES: memory.expires_at,
    }
    metadata = {**memory.metadata, **{name: value for name, value in own.items() if value is not None}}
    return Document(memory.memory_id, user_id, memory.text, embedding, metadata)


def decode_memory(document: Document, score: float | None = None) -> Memory:
    """The memory in a document. One that another tool wrote has no times: they are 0."""
    metadata = dict(document.metadata)
    texts = {name: _only(str, metadata.pop(name, None)) for name in (SESSION, ROLE, MESSAGE, TEXT_ID)}
    times = {name: _only(int, metadata.pop(name, None)) for name in (CREATED, UPDATED, EXPIRES)}
    created = times[CREATED] or 0
    return Memory(
        document.document_id,
        document.text or "",
        session_id=texts[SESSION],
        role=texts[ROLE],
        message_id=texts[MESSAGE],
        created_at=created,
        updated_at=times[UPDATED] or created,
        expires_at=times[EXPIRES],
        metadata=metadata,
        score=score,
    )


def _only(kind: type[T], value: Any) -> T | None:
    """What another tool stored under a name of ours counts where it is of our type."""
    return value if type(value) is kind else None


def is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether metadata is stored as the same: 1 is neither True nor 1.0.

    Raises:
        InvalidArgumentError: Something in it cannot be stored.
    """
    return tagged_json.dumps(dict(one), name="metadata") == tagged_json.dumps(dict(other), name="metadata")


def is_alive(memory: Memory, now: int) -> bool:
    """Whether a memory has not expired."""
    return memory.expires_at is None or memory.expires_at > now


def matching(
    *,
    now: int | None = None,
    session_id: str | None = None,
    since: Any = None,
    until: Any = None,
    metadata_filter: Any = None,
) -> Filter:
    """The filter for memories of a session, a time and some metadata.

    Args:
        now: The present time: what has expired by then is left out. None includes it.
        session_id: The session; all by default.
        since: The first `created_at`, in microseconds or as an aware datetime.
        until: The last `created_at`, included.
        metadata_filter: A filter on metadata.

    Raises:
        InvalidArgumentError: The session or a time cannot be one.
    """
    since, until = check_optional_time(since, "since"), check_optional_time(until, "until")
    conditions = [filters.parse(metadata_filter)] if metadata_filter is not None else []
    if session_id is not None:
        conditions.append(Filters.eq(SESSION, check_id(session_id, "session_id")))
    if since is not None:
        conditions.append(Filters.gte(CREATED, since))
    if until is not None:
        conditions.append(Filters.lte(CREATED, until))
    if now is not None:
        # What never expires has no such field, which no comparison matches.
        conditions.append(~Filters.lte(EXPIRES, now))
    if not conditions:
        return Filters.all()
    return conditions[0] if len(conditions) == 1 else Filters.logical_and(conditions)


def listed_after(created_at: int, memory_id: str) -> Filter:
    """The filter for what comes after a memory in a list, newest first and by ids where the time is the same.

    Args:
        created_at: Its time; 0 where it has none, as those of other tools, which come last.
        memory_id: Its id.
    """
    later_id = Filters.gt(DOCUMENT, memory_id)
    if not created_at:
        return ~Filters.gt(CREATED, 0) & later_id
    return ~Filters.gte(CREATED, created_at) | (Filters.eq(CREATED, created_at) & later_id)


def check_memory_text(text: Any, name: str = "text") -> str:
    """Check what is to be remembered; returns it without space around it.

    Raises:
        InvalidArgumentError: It is no str, blank or too long.
    """
    if not isinstance(text, str):
        raise InvalidArgumentError(f"{name} is a {type(text).__name__}. Give a str.")
    stripped = text.strip()
    if not stripped:
        raise InvalidArgumentError(f"{name} is empty. Give at least one character besides white space.")
    if len(stripped) > MAX_TEXT:
        raise InvalidArgumentError(
            f"{name} has {len(stripped)} characters. A memory takes {MAX_TEXT}: keep longer texts in a vector store."
        )
    try:
        stripped.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{name} holds a lone surrogate, which is no Unicode character.") from None
    return stripped


def check_memory_metadata(metadata: Any) -> dict[str, Any]:
    """Check metadata of the caller.

    Raises:
        InvalidArgumentError: It is no mapping, uses a name with a meaning of its own, or cannot be stored.
    """
    given = check_mapping(metadata, "metadata")
    taken = sorted(RESERVED.intersection(given))
    if taken:
        raise InvalidArgumentError(
            f"metadata has {', '.join(map(repr, taken))}, which memories use themselves. Rename it, or give it by the "
            "argument of that name."
        )
    # Otherwise it is refused only after the embedding model has been asked.
    tagged_json.dumps(given, name="metadata")
    return given


def check_lifetime(ttl: Any) -> int | None:
    """Check how long a memory is kept: seconds or a `timedelta`; returns microseconds, None for ever.

    Raises:
        InvalidArgumentError: It is neither, or not more than 0.
    """
    if ttl is None:
        return None
    if isinstance(ttl, timedelta):
        lifetime: float = ttl // _MICROSECOND
    elif isinstance(ttl, bool) or not isinstance(ttl, int | float) or ttl != ttl:  # noqa: PLR0124 - NaN
        raise InvalidArgumentError(f"ttl is {ttl!r}. Give seconds or a timedelta.")
    else:
        lifetime = ttl * 1_000_000
    lifetime = int(max(0, min(lifetime, _LONGEST_LIFETIME)))
    if not lifetime:
        raise InvalidArgumentError(f"ttl is {ttl!r}. Give more than 0 seconds, or None for ever.")
    return lifetime


def check_memory_ids(memory_ids: Any) -> list[str]:
    """Check ids of memories; one alone is taken as well.

    Raises:
        InvalidArgumentError: They are no ids.
    """
    if isinstance(memory_ids, str):
        memory_ids = [memory_ids]
    if not isinstance(memory_ids, Iterable) or isinstance(memory_ids, Mapping | bytes):
        raise InvalidArgumentError(f"memory_ids is a {type(memory_ids).__name__}. Give an id, or a list of them.")
    return [check_id(each, "memory_id") for each in memory_ids]


def told(content: Any, common: Memory) -> list[Memory]:
    """What is to be remembered, each text once, each a microsecond after the one before, so that they have an order.

    Args:
        content: A text or a message, or several.
        common: What they have in common.

    Raises:
        InvalidArgumentError: Something is no text or message, or has no text.
    """
    several = [content] if isinstance(content, str | BaseMessage) else content
    if not isinstance(several, Iterable) or isinstance(several, Mapping | bytes):
        raise InvalidArgumentError(f"content is a {type(content).__name__}. Give a text, a message, or a list of them.")
    memories: dict[str, Memory] = {}
    for position, each in enumerate(several):
        name = "content" if each is content else f"content[{position}]"
        if isinstance(each, BaseMessage):
            text = check_memory_text(str(each.text), f"The text of {name}")
            memory = replace(common, text=text, role=each.type, message_id=each.id)
        else:
            memory = replace(common, text=check_memory_text(each, name))
        time = common.created_at + len(memories)
        memories.setdefault(
            memory.text, replace(memory, created_at=time, updated_at=time, metadata=dict(common.metadata))
        )
    return [*memories.values()]


def question(query: Any) -> str:
    """The text to search by: of messages, the last one that a human said, or else the last one.

    Raises:
        InvalidArgumentError: It is no text or message, or has no text.
    """
    if isinstance(query, BaseMessage):
        return check_memory_text(str(query.text), "The text of query")
    if isinstance(query, Sequence) and not isinstance(query, str | bytes):
        if not query or not all(isinstance(message, BaseMessage) for message in query):
            raise InvalidArgumentError("query is no list of messages. Give a text, a message, or a list of messages.")
        said = [message for message in query if message.type == "human"]
        return question((said or query)[-1])
    return check_memory_text(query, "query")


def words_of(query: str) -> str:
    """As much of a question as a search by words takes."""
    return query[:MAX_WORDS]
