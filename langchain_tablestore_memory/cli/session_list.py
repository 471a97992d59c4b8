"""``tablestore-memory sessions``: a user's conversations."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from langchain_tablestore_memory.cli.display import describe_session
from langchain_tablestore_memory.core.sessions import SessionRegistry

if TYPE_CHECKING:
    from langchain_tablestore_memory.connection import Connection
    from langchain_tablestore_memory.core.records import Session


def print_sessions(connection: Connection, user_id: str, *, limit: int, as_json: bool) -> None:
    """Print conversations, the most recently active first.

    Args:
        connection: Where they are.
        user_id: Whose.
        limit: How many at the most.
        as_json: As JSON lines, with all that is known.

    Raises:
        ServiceError: The service cannot be reached.
    """
    registry = SessionRegistry(connection)
    found = list(registry.iterate(user_id, limit=limit + 1))
    for number, session in enumerate(found[:limit], start=1):
        print(_as_json(session) if as_json else f"{number:>4}  {describe_session(session)}")
    # What reads JSON reads nothing else.
    beside = sys.stderr if as_json else sys.stdout
    if not found:
        begin = f"`tablestore-memory chat --user {user_id}` begins one"
        print(f"User {user_id} has no conversations. {begin}.", file=beside)
    elif len(found) > limit:
        print(f"There are more: pass --limit, more than {limit}.", file=beside)


def _as_json(session: Session) -> str:
    shown = {
        "session_id": session.session_id,
        "title": session.title,
        "message_count": session.message_count,
        "update_time": session.update_time,
        "preview": session.preview,
    }
    return json.dumps(shown, ensure_ascii=False)
