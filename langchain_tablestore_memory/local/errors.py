"""The exceptions of the embedded engine.

The service answers a refused request with an HTTP status and a protobuf body of a code and a message; so does
the embedded engine, from a `RequestError` raised anywhere below its entry point. Trouble with the file that
the data is kept in, when opening it, is a `StorageError`.
"""

from __future__ import annotations

from typing import Final

CONDITION_CHECK_FAIL: Final = "OTSConditionCheckFail"


class RequestError(Exception):
    """A request that the service would refuse, with the answer that it would give.

    Args:
        status: The HTTP status of the answer.
        code: The error code, such as ``OTSParameterInvalid``.
        message: The error message, as the service words it.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class StorageError(OSError):
    """The file that an instance is kept in cannot be used; the message names it and says what to do."""


def parameter_invalid(message: str) -> RequestError:
    """400 ``OTSParameterInvalid``: the request itself is wrong, whatever the data is."""
    return RequestError(400, "OTSParameterInvalid", message)


def broken_message() -> RequestError:
    """400 ``OTSParameterInvalid``: the body is not the protobuf message that it should be."""
    return parameter_invalid("Parse PBMessage from RawString failed.")


def invalid_primary_key(message: str) -> RequestError:
    """400 ``OTSInvalidPK``: the primary key does not fit the table's schema."""
    return RequestError(400, "OTSInvalidPK", message)


def table_not_exist() -> RequestError:
    """404 ``OTSObjectNotExist``: the answer of table and write calls to an unknown table."""
    return RequestError(404, "OTSObjectNotExist", "Requested table does not exist.")


def read_table_not_exist() -> RequestError:
    """400 ``OTSParameterInvalid``: the answer of the read calls to an unknown table."""
    return parameter_invalid("Request table not exist")


def already_exists() -> RequestError:
    """409 ``OTSObjectAlreadyExist``: the name is taken by a table or an index."""
    return RequestError(409, "OTSObjectAlreadyExist", "Requested table already exists.")


def quota_exhausted(message: str) -> RequestError:
    """403 ``OTSQuotaExhausted``: one more of these is not allowed."""
    return RequestError(403, "OTSQuotaExhausted", message)


def condition_check_failed() -> RequestError:
    """403 ``OTSConditionCheckFail``: the row is not as the request expects it."""
    return RequestError(403, CONDITION_CHECK_FAIL, "Condition check failed.")


def row_operation_conflict(message: str) -> RequestError:
    """409 ``OTSRowOperationConflict``: a local transaction holds the partition key."""
    return RequestError(409, "OTSRowOperationConflict", message)


def data_out_of_range(message: str) -> RequestError:
    """400 ``OTSDataOutOfRange``: the row lies outside the transaction's or the atomic batch's partition key."""
    return RequestError(400, "OTSDataOutOfRange", message)


def session_not_exist() -> RequestError:
    """404 ``OTSSessionNotExist``: the local transaction has ended or expired."""
    return RequestError(404, "OTSSessionNotExist", "Session not exist or may be timeout.")


def body_too_large() -> RequestError:
    """413 ``OTSRequestBodyTooLarge``: the request has more bytes than any request may have."""
    return RequestError(413, "OTSRequestBodyTooLarge", "The size of POST data is too large.")


def server_busy() -> RequestError:
    """503 ``OTSServerBusy``: another process has kept the file locked for longer than a request may wait."""
    return RequestError(503, "OTSServerBusy", "Server is busy.")


def storage_unusable(message: str) -> RequestError:
    """400 ``OTSStorageUnusable``: the file cannot be used, nothing has been written, and asking again does not help.

    The service has no such code; the message says what does help.
    """
    return RequestError(400, "OTSStorageUnusable", message)


def internal_error(message: str) -> RequestError:
    """500 ``OTSInternalServerError``: the request may be right, carrying it out failed."""
    return RequestError(500, "OTSInternalServerError", message)
