"""What the SDK raises, read for two questions: may the request be repeated, and what is the caller told?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp
import urllib3.exceptions
from google.protobuf.message import DecodeError
from tablestore.error import OTSClientError, OTSServiceError

from langchain_tablestore_memory.errors import (
    AuthenticationError,
    InvalidArgumentError,
    PermissionDeniedError,
    ServiceError,
    TablestoreMemoryError,
    UnavailableError,
)

CONFLICT = "OTSConditionCheckFail"
"""The code of a write whose condition was not fulfilled."""

# "Come back later", said before anything was done: safe to repeat whatever the request was.
# The list is that of the SDK's retry.RetryUtil.should_retry_no_matter_which_api.
_NOT_DONE = frozenset(
    {
        "OTSRowOperationConflict",
        "OTSNotEnoughCapacityUnit",
        "OTSTableNotReady",
        "OTSPartitionUnavailable",
        "OTSServerBusy",
        "OTSOperationConflict",
        "OTSOperationThrottled",
    }
)
# The service does not know, or does not say, whether it was done.
_UNSURE = frozenset({"OTSTimeout", "OTSInternalServerError", "OTSServerUnavailable", "OTSRequestTimeout"})
_TOO_FREQUENT = "Too frequent table operations."

_NETWORK = (
    urllib3.exceptions.HTTPError,
    aiohttp.ClientError,
    asyncio.TimeoutError,
    OSError,
    # An answer that was cut short.
    DecodeError,
)
_NEVER_CONNECTED = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
)

_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt of a request.

    Attributes:
        code: The service's error code; empty where it never answered.
        message: What the service, the network or the SDK said.
        status: The HTTP status; 0 where there was none.
        request_id: The service's id of the request.
        transient: The same request may succeed later.
        ambiguous: The request may have been carried out all the same.
        unconnected: No connection could be made, so nothing was carried out.
    """

    code: str
    message: str
    status: int = 0
    request_id: str = ""
    transient: bool = False
    ambiguous: bool = False
    unconnected: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Failure | None:
        """Read what an SDK call raised; None for what is no failure of a request, such as a bug."""
        if isinstance(error, OTSServiceError):
            return cls.of_code(error.code, error.message, error.http_status or 0, error.request_id or "")
        if isinstance(error, OTSClientError):
            # With a status, an answer came that the SDK could not accept: a gateway's error page, a wrong checksum.
            status = error.get_http_status() or 0
            damaged = "MD5 mismatch" in str(error)
            broken_answer = damaged or status >= _SERVER_ERROR or 200 <= status < 300  # noqa: PLR2004
            return cls("", str(error), status, transient=broken_answer, ambiguous=broken_answer)
        if isinstance(error, _NETWORK):
            unconnected = _never_connected(error)
            message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return cls("", message, transient=True, ambiguous=not unconnected, unconnected=unconnected)
        return None

    @classmethod
    def of_code(cls, code: str, message: str, status: int = 0, request_id: str = "") -> Failure:
        """Read an error code, of a whole request or of one row of a batch."""
        not_done = code in _NOT_DONE or (code == "OTSQuotaExhausted" and message == _TOO_FREQUENT)
        unsure = not not_done and (code in _UNSURE or status >= _SERVER_ERROR)
        return cls(code, message, status, request_id, transient=not_done or unsure, ambiguous=unsure)

    def to_error(self, api: str) -> TablestoreMemoryError:
        """The exception that a caller gets for this failure."""
        details: dict[str, Any] = {
            "api": api,
            "code": self.code,
            "status": self.status,
            "request_id": self.request_id,
        }
        if self.transient:
            advice = (
                "Check the endpoint and that the server is running."
                if self.unconnected
                else "It is not known whether the request was carried out."
                if self.ambiguous
                else "Try again later, or raise the reserved throughput."
            )
            what = "could not be reached" if self.unconnected else "kept failing"
            return UnavailableError(f"Tablestore {what} ({api}): {self.describe()}. {advice}", **details)
        if not self.code and not self.status:
            return InvalidArgumentError(f"The Tablestore SDK refused the arguments of {api}: {self.message}")
        if self.code == "OTSAuthFailed":
            return AuthenticationError(
                f"Tablestore refused the credentials ({api}): {self.describe()}. Check the instance name, the access "
                "key id and secret, and the clock of this machine.",
                **details,
            )
        if self.code in {"OTSNoPermissionAccess", "OTSOperationForbidden"}:
            return PermissionDeniedError(
                f"The access key may not do this ({api}): {self.describe()}. Grant its RAM user the action.",
                **details,
            )
        if not self.code:
            return ServiceError(
                f"The endpoint did not answer as Tablestore does ({api}): {self.message} Check the endpoint.",
                **details,
            )
        return ServiceError(f"Tablestore refused the request ({api}): {self.describe()}", **details)

    def describe(self) -> str:
        """Code and message in a few words."""
        where = f" [request {self.request_id}]" if self.request_id else ""
        return f"{self.code}: {self.message}{where}" if self.code else self.message


def _never_connected(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _NEVER_CONNECTED):
            return True
        # urllib3 keeps what ended its own retries in `reason`.
        reason = getattr(cause, "reason", None)
        cause = reason if isinstance(reason, BaseException) else None
    return False


def is_missing_table(error: BaseException) -> bool:
    """Whether a request failed because its table or index does not exist.

    The service says so in two ways: ``OTSObjectNotExist``, and for reads ``OTSParameterInvalid`` with a text.
    """
    if not isinstance(error, ServiceError):
        return False
    return error.code == "OTSObjectNotExist" or (
        error.code == "OTSParameterInvalid" and "table not exist" in str(error)
    )
