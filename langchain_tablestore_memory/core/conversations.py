"""The names of conversations in the message table, and to whom they belong.

The message table is keyed by a string and a time (the layout of tablestore-for-agent-memory, where that string is the
bare session id). Two users may well call a session by the same id, so here the string holds the user too. Only the
conversations of the user for whom nobody was named, `DEFAULT_USER`, are stored under the bare session id: they are what
tablestore-for-agent-memory reads and writes.
"""

from __future__ import annotations

from langchain_tablestore_memory.core.checks import MAX_KEY_BYTES, check_id
from langchain_tablestore_memory.core.records import DEFAULT_USER
from langchain_tablestore_memory.errors import InvalidArgumentError
from langchain_tablestore_memory.filters import Filter, Filters

_PREFIX = "user:"


def conversation_of(user_id: str, session_id: str, *, isolated: bool = True) -> str:
    """The conversation of a user's session: different for different users and sessions, whatever their ids hold.

    Args:
        user_id: The user.
        session_id: The session.
        isolated: False for the bare session id, whoever the user is.

    Raises:
        InvalidArgumentError: An id cannot be stored, or a bare session id would be another user's conversation.

    Example:
        ```python
        conversation_of("default", "s1")  # "s1"
        conversation_of("李雷", "s1")  # "user:2:李雷/s1"
        ```
    """
    user_id, session_id = check_id(user_id, "user_id"), check_id(session_id, "session_id")
    reserved = session_id.startswith(_PREFIX)
    if not isolated and reserved:
        raise InvalidArgumentError(
            f"The session id {session_id!r} begins with {_PREFIX!r}, which marks conversations of named users. "
            "Choose another one, or leave isolate_users on."
        )
    if not isolated or (user_id == DEFAULT_USER and not reserved):
        return session_id
    conversation = f"{_user_prefix(user_id)}{session_id}"
    if len(conversation.encode()) > MAX_KEY_BYTES:
        raise InvalidArgumentError(
            f"user_id and session_id together take {len(conversation.encode())} bytes in UTF-8. "
            f"Tablestore allows {MAX_KEY_BYTES}: shorten one of them."
        )
    return conversation


def user_conversations(user_id: str) -> tuple[str, str]:
    """The range of names, from the first one included to the second one excluded, that hold this user."""
    prefix = _user_prefix(check_id(user_id, "user_id"))
    return prefix, prefix.removesuffix("/") + "0"  # "0" is what follows "/" in UTF-8


def session_in(conversation: str) -> str:
    """The session id in the name of a conversation."""
    if not conversation.startswith(_PREFIX):
        return conversation
    length, _, rest = conversation.removeprefix(_PREFIX).partition(":")
    return rest[int(length) + 1 :]


def of_user(user_id: str, *, field: str) -> Filter:
    """The filter for all conversations of a user.

    Args:
        user_id: The user.
        field: The field that holds their names.
    """
    first, end = user_conversations(user_id)
    theirs = Filters.gte(field, first) & Filters.lt(field, end)
    # Most conversations of the user for whom nobody was named are stored under bare session ids.
    return theirs | ~Filters.prefix(field, _PREFIX) if user_id == DEFAULT_USER else theirs


def _user_prefix(user_id: str) -> str:
    # With the length first, no user id can be mistaken for the beginning of another one.
    return f"{_PREFIX}{len(user_id)}:{user_id}/"
