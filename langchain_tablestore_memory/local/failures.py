"""What SQLite's errors mean to whoever uses the engine: what to say of them, and what to answer."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from .errors import RequestError, internal_error, server_busy, storage_unusable

if TYPE_CHECKING:
    from pathlib import Path

# Somebody else uses the file, and will not for ever.
_CONTENTION: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
# Nothing has been written, and asking again will not help.
_UNUSABLE: Final = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
_NOT_WRITABLE: Final = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})


def error_code(error: sqlite3.Error) -> int | None:
    """Find out what kind of error SQLite reports.

    Args:
        error: The error.

    Returns:
        SQLite's primary result code, None for an error that Python's module raises itself.
    """
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def diagnosis(path: Path | None, error: sqlite3.Error) -> str:
    """Say what an error means and what to do about it.

    Args:
        path: The file, None for an instance in memory.
        error: The error.

    Returns:
        One or two sentences.
    """
    if path is None:
        return f"The instance has failed ({error})."
    code = error_code(error)
    if code == sqlite3.SQLITE_NOTADB:
        return f"{path} is not a database file. Move it away, or choose another folder."
    if code == sqlite3.SQLITE_CORRUPT:
        return f"{path} is damaged ({error}). Restore it from a copy, or choose another folder."
    if code == sqlite3.SQLITE_BUSY:
        return f"{path} is locked by another program. Close that, or choose another folder."
    if code == sqlite3.SQLITE_FULL:
        return f"The disk with {path} is full. Make room and try again; what has been acknowledged is kept."
    if code == sqlite3.SQLITE_IOERR:
        return f"{path} cannot be read or written ({error}). See whether the disk is full or damaged, and try again."
    advice = " Make the file and its folder writable, or choose another folder." if code in _NOT_WRITABLE else ""
    return f"{path} cannot be used ({error}).{advice}"


def refuse(message: str, reason: BaseException | None) -> RequestError:
    """Choose the answer where the file cannot be used.

    Args:
        message: What is wrong with it, and what to do.
        reason: The error that says so, if there is one.

    Returns:
        The answer.
    """
    code = error_code(reason) if isinstance(reason, sqlite3.Error) else None
    if code in _CONTENTION:
        return server_busy()
    if code in _UNUSABLE or not isinstance(reason, sqlite3.Error):
        return storage_unusable(message)
    # Whether something has been written is not known.
    return internal_error(message)
