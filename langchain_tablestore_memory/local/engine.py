"""The embedded engine: carries out Tablestore's calls on one instance, kept in one SQLite file."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Final

from .catalogue import Catalogue
from .errors import RequestError, StorageError, body_too_large, internal_error, parameter_invalid, server_busy
from .failures import refuse
from .limits import MAX_BODY_SIZE
from .reading import Reader
from .search.analysis import DictionaryMissing
from .search.calls import SearchIndexes
from .storage import Database
from .tables import Tables
from .transactions import Transactions
from .writing import Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .storage import Durability

# How often a call starts over because another process keeps changing the definitions that it works from.
_MAX_ATTEMPTS: Final = 10


class Engine:
    """One instance of the embedded Tablestore.

    Calls may come from any thread. Several engines, also in several processes, may share a file.

    Args:
        path: The file that the instance is kept in, made with its folder when it does not exist; None keeps
            it in memory, until it is closed.
        durability: ``"full"``: an acknowledged write survives a power failure. ``"normal"``: it survives the
            death of the process, and writing is several times faster.
        clock: Tells the time in seconds since 1970.
        index_delay: Seconds after which a write is seen by searches. The service's search indexes lag by up to
            a few seconds; here searches see a write at once, unless this rehearses the lag.

    Raises:
        StorageError: The file cannot be used.

    Example:
        >>> engine = Engine(None)
        >>> engine.execute("ListTable", b"")
        b''
        >>> engine.close()
    """

    def __init__(
        self,
        path: Path | None,
        *,
        durability: Durability = "full",
        clock: Callable[[], float] = time.time,
        index_delay: float = 0.0,
    ) -> None:
        self._database = Database(path, durability)
        self._catalogue = Catalogue()
        self._closed = False
        parts = self._database, self._catalogue, _Clock(clock)
        delay = round(index_delay * 1000)
        tables, reader = Tables(*parts), Reader(*parts)
        writer, transactions, indexes = Writer(*parts, delay), Transactions(*parts, delay), SearchIndexes(*parts, delay)
        self._calls: Final[dict[str, Callable[[bytes], bytes]]] = {
            "CreateTable": tables.create_table,
            "ListTable": tables.list_table,
            "DescribeTable": tables.describe_table,
            "UpdateTable": tables.update_table,
            "DeleteTable": tables.delete_table,
            "CreateIndex": tables.create_index,
            "DropIndex": tables.drop_index,
            "GetRow": reader.get_row,
            "BatchGetRow": reader.batch_get_row,
            "GetRange": reader.get_range,
            "PutRow": writer.put_row,
            "UpdateRow": writer.update_row,
            "DeleteRow": writer.delete_row,
            "BatchWriteRow": writer.batch_write_row,
            "CreateSearchIndex": indexes.create,
            "DescribeSearchIndex": indexes.describe,
            "ListSearchIndex": indexes.list,
            "UpdateSearchIndex": indexes.update,
            "DeleteSearchIndex": indexes.delete,
            "Search": indexes.search,
            "StartLocalTransaction": transactions.start,
            "CommitTransaction": transactions.commit,
            "AbortTransaction": transactions.abort,
        }

    def execute(self, api: str, body: bytes) -> bytes:
        """Carry out one call.

        Args:
            api: The name of the call, such as ``PutRow``.
            body: The request: an encoded protobuf message.

        Returns:
            The answer: an encoded protobuf message.

        Raises:
            RequestError: The call is refused, as the service would refuse it.
        """
        if self._closed:
            raise internal_error("The engine has been closed.")
        call = self._calls.get(api)
        if call is None:
            raise parameter_invalid(f"Unsupported operation: {api}.")
        if len(body) > MAX_BODY_SIZE:
            raise body_too_large()
        for _ in range(_MAX_ATTEMPTS):
            try:
                try:
                    return call(body)
                except RequestError:
                    if not self._was_outdated():
                        raise
            except sqlite3.Error as error:
                self._recover(error)
            except DictionaryMissing as error:
                raise parameter_invalid(str(error)) from error
            except StorageError as error:
                raise self._refuse(str(error), error.__cause__) from error
        raise server_busy()

    def close(self) -> None:
        """Close the file. Calls that follow are answered with an error; closing twice is fine."""
        self._closed = True
        self._database.close()

    def _was_outdated(self) -> bool:
        """Say whether a refusal may come of a definition that another process has changed meanwhile."""
        with self._database.read() as connection:
            return self._catalogue.refresh(connection)

    def _recover(self, error: sqlite3.Error) -> None:
        """Return where starting over will help; raise what to answer where it will not."""
        if _is_outdated(error):
            self._catalogue.forget()
            return
        raise self._refuse(self._database.diagnose(error), error) from error

    def _refuse(self, message: str, reason: BaseException | None) -> RequestError:
        return internal_error("The engine has been closed.") if self._closed else refuse(message, reason)


class _Clock:
    """Tells the time in milliseconds, and never an earlier one than before: versions of cells depend on it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._latest = 0

    def __call__(self) -> int:
        self._latest = max(self._latest, int(self._clock() * 1000))
        return self._latest


def _is_outdated(error: sqlite3.Error) -> bool:
    """Tell a definition that has changed since it was cached by its row table's being gone; see `catalogue`."""
    return isinstance(error, sqlite3.OperationalError) and str(error).startswith("no such table: ")


__all__ = ["Engine", "RequestError"]
