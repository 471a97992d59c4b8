"""Every exception of this package.

All derive from `TablestoreMemoryError`. Each message says what was wrong and what to do about it; none contains
a secret or what a user wrote.

```
TablestoreMemoryError
├── ConfigurationError        settings: endpoint, credentials, folder, missing extra   (also a ValueError)
├── InvalidArgumentError      an argument of a call, before anything was sent          (also a ValueError)
│   ├── FilterError           a filter: operator, value, or a field that cannot be filtered on
│   └── CursorError           a page cursor that is malformed or belongs elsewhere
├── SchemaMismatchError       an existing table or index is not what was asked for
├── SessionNotFoundError      the session to change does not exist                     (also a LookupError)
├── MessageNotFoundError      the message to change does not exist                     (also a LookupError)
├── MemoryNotFoundError       the memory to change does not exist                      (also a LookupError)
├── StoredDataError           a stored message, session or document was damaged and cannot be read
├── EmbeddingError            the embedding model failed half-way, or returned no vector for each text
└── ServiceError              the service refused, or could not be reached
    ├── AuthenticationError   the key, its secret or the signature was refused
    ├── PermissionDeniedError the key may not do this
    ├── UnavailableError      network failures, time-outs, throttling and 5xx, after all retries
    └── WriteError            some rows of a write are not known to be stored; names them
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class TablestoreMemoryError(Exception):
    """Base of every exception that this package raises on purpose."""


class ConfigurationError(TablestoreMemoryError, ValueError):
    """Settings that cannot work: endpoint, credentials, folder, or an extra that is not installed."""


class InvalidArgumentError(TablestoreMemoryError, ValueError):
    """An argument of a wrong type or value. Nothing was sent."""


class FilterError(InvalidArgumentError):
    """A filter that cannot be read, or that its target cannot answer."""


class CursorError(InvalidArgumentError):
    """A page cursor that is malformed, or was given out for another user, conversation or listing."""


class SchemaMismatchError(TablestoreMemoryError):
    """An existing table or index differs from what was asked for."""


class SessionNotFoundError(TablestoreMemoryError, LookupError):
    """The session to change does not exist."""


class MessageNotFoundError(TablestoreMemoryError, LookupError):
    """The message to change does not exist."""


class MemoryNotFoundError(TablestoreMemoryError, LookupError):
    """The memory to change does not exist, or has expired."""


class StoredDataError(TablestoreMemoryError):
    """A stored message, session or document that cannot be turned back into what it was: it was damaged.

    Or it holds an object of a class that is not among those that the reader allows.
    """


class EmbeddingError(TablestoreMemoryError):
    """The embedding model failed while documents were added, or did not return one vector for each text.

    Attributes:
        failed: Ids of the documents that are not stored, in the order of the call.
        stored: Ids of the documents that are stored, in the order of the call.
    """

    def __init__(self, message: str, *, failed: Sequence[str] = (), stored: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.failed = tuple(failed)
        self.stored = tuple(stored)


class ServiceError(TablestoreMemoryError):
    """The service refused a request, or could not be reached.

    Attributes:
        api: The SDK method that was called, such as ``put_row``.
        code: The service's error code, such as ``OTSParameterInvalid``; empty where it never answered.
        status: The HTTP status; 0 where it never answered.
        request_id: The service's id of the request, for its support; empty where it never answered.
    """

    def __init__(self, message: str, *, api: str = "", code: str = "", status: int = 0, request_id: str = "") -> None:
        super().__init__(message)
        self.api = api
        self.code = code
        self.status = status
        self.request_id = request_id


class AuthenticationError(ServiceError):
    """The access key, its secret or the signature was refused."""


class PermissionDeniedError(ServiceError):
    """The access key is valid, but may not do this."""


class UnavailableError(ServiceError):
    """Network failures, time-outs, throttling or 5xx answers that outlasted all retries."""


class WriteError(ServiceError):
    """Some rows of a write are not known to be stored.

    Attributes:
        failed: Names of the rows that are not known to be stored, in the order of the call.
        stored: Names of the rows that are stored, in the order of the call.
    """

    def __init__(
        self,
        message: str,
        *,
        failed: Sequence[str] = (),
        stored: Sequence[str] = (),
        api: str = "",
        code: str = "",
        status: int = 0,
        request_id: str = "",
    ) -> None:
        super().__init__(message, api=api, code=code, status=status, request_id=request_id)
        self.failed = tuple(failed)
        self.stored = tuple(stored)

    @classmethod
    def over(
        cls, error: ServiceError, message: str, *, failed: Sequence[str] = (), stored: Sequence[str] = ()
    ) -> WriteError:
        """What the failure of a request means for the rows of a write, with all that the service said of it."""
        return cls(
            message,
            failed=failed,
            stored=stored,
            api=error.api,
            code=error.code,
            status=error.status,
            request_id=error.request_id,
        )
