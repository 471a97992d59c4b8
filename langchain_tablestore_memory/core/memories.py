"""Long-term memories as documents of a knowledge table, and back.

A memory is a document whose tenant is its user, so everything of one user lies in partitions of its own. What is known
about a memory besides its text is metadata under the names in `RESERVED`; the rest of the metadata is the caller's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from langchain_tablestore_memory import filters
from langchain_tablestore_memory.core.checks import check_id, check_mapping, check_optional_time
from langchain_tablestore_memory.core.documents import Document
from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.filters import Filter, Filters

SESSION = "session_id"
ROLE = "role"
MESSAGE = "message_id"
CREATED = "created_at"
UPDATED = "updated_at"
EXPIRES = "expires_at"
TEXT_ID = "text_id"
"""The id that a memory's text would have, where the text was changed since the memory got its own."""

FIELDS: Mapping[str, type] = {SESSION: str, ROLE: str, CREATED: int, UPDATED: int, EXPIRES: int, TEXT_ID: str}
"""What every memory can be filtered and sorted by."""

RESERVED = frozenset({*FIELDS, MESSAGE})
"""Metadata keys with a meaning of their own."""

MAX_TEXT = 100_000
"""Characters of one memory: what is longer is a document."""

_ID_BYTES = 15


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
    own = {name: metadata.pop(name, None) for name in RESERVED}
    created = own[CREATED] if isinstance(own[CREATED], int) else 0
    return Memory(
        document.document_id,
        document.text or "",
        session_id=own[SESSION],
        role=own[ROLE],
        message_id=own[MESSAGE],
        created_at=created,
        updated_at=own[UPDATED] if isinstance(own[UPDATED], int) else created,
        expires_at=own[EXPIRES],
        metadata=metadata,
        score=score,
    )


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


def check_memory_text(text: Any, name: str = "text") -> str:
    """Check what is to be remembered; returns it without space around it.

    Raises:
        InvalidArgumentError: It is no str, blank or too long.
    """
    if not isinstance(text, str):
        raise InvalidArgumentError(f"{name} is a {type(text).__name__}. Give a str.")
    stripped = text.strip()
    if not stripped:
        raise InvalidArgumentError(f"{name} is empty. Give something to remember.")
    if len(stripped) > MAX_TEXT:
        raise InvalidArgumentError(
            f"{name} has {len(stripped)} characters. A memory takes {MAX_TEXT}: keep longer texts in a vector store."
        )
    return stripped


def check_memory_metadata(metadata: Any) -> dict[str, Any]:
    """Check metadata of the caller.

    Raises:
        InvalidArgumentError: It is no mapping, or uses a name with a meaning of its own.
    """
    given = check_mapping(metadata, "metadata")
    taken = sorted(RESERVED.intersection(given))
    if taken:
        raise InvalidArgumentError(
            f"metadata has {', '.join(map(repr, taken))}, which memories use themselves. Rename it, or give it by the "
            "argument of that name."
        )
    return given


def check_lifetime(ttl: Any) -> int | None:
    """Check how long a memory is kept: seconds or a `timedelta`; returns microseconds, None for ever.

    Raises:
        InvalidArgumentError: It is neither, or not more than 0.
    """
    if ttl is None:
        return None
    if isinstance(ttl, timedelta):
        lifetime = ttl // timedelta(microseconds=1)
    elif isinstance(ttl, bool) or not isinstance(ttl, int | float) or ttl != ttl:  # noqa: PLR0124 - NaN
        raise InvalidArgumentError(f"ttl is {ttl!r}. Give seconds or a timedelta.")
    else:
        lifetime = int(min(ttl, 1e12) * 1_000_000)
    if lifetime <= 0:
        raise InvalidArgumentError(f"ttl is {ttl!r}. Give more than 0 seconds, or None for ever.")
    return lifetime


def check_memory_ids(memory_ids: Any) -> Sequence[str]:
    """Check ids of memories; one alone is taken as well."""
    if isinstance(memory_ids, str):
        memory_ids = [memory_ids]
    return [check_id(each, "memory_id") for each in memory_ids]
