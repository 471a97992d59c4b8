"""Requests to DashScope: how they are repeated, and what the caller is told when they fail."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, TypeVar

import httpx

from langchain_tablestore_memory.core.programs import Attempt, Program, RetryPolicy, Sleep, Together
from langchain_tablestore_memory.dashscope.connection import KEY_VARIABLE
from langchain_tablestore_memory.errors import (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    ServiceError,
    TablestoreMemoryError,
    UnavailableError,
)

B = TypeVar("B")
T = TypeVar("T")

LONGEST_PAUSE = 60.0
"""Seconds. Who is told to come back later than this is better told so than kept waiting."""

_TRANSIENT = frozenset({408, 409, 429, 500, 502, 503, 504})
"""HTTP statuses that the SDK itself repeats."""

_TRANSIENT_CODES = ("Throttling", "InternalError", "ServiceUnavailable", "GatewayTimeout", "RequestTimeOut")
"""How the codes of passing failures begin; they also come with the status 200 (error codes of Model Studio)."""

_UNKNOWN_MODEL = ("modelnotfound", "model_not_found", "model.notexist", "model not exist", "url error")
"""How DashScope says that it has no such model, or not for this purpose."""

_SHOWN = 300
"""Characters of what DashScope said. A gateway in between may answer with a whole page."""


@dataclass(frozen=True, slots=True)
class Create:
    """A call of the method `create` of one of the SDK's resources.

    Attributes:
        what: What is asked for, as errors call it, such as ``embeddings``.
        options: The arguments. They name the model.
    """

    what: str
    options: Mapping[str, Any]

    def attempts(self, policy: RetryPolicy) -> Generator[Attempt | Sleep, Any, Any]:
        """Attempt until answered, refused, or out of attempts. Repeating it is harmless: it changes nothing."""
        attempt = 1
        while True:
            try:
                return (yield Attempt("create", (), dict(self.options)))
            except Exception as error:
                failure = _Failure.of(error)
                if failure is None:
                    raise
                if not failure.worth_another(policy, attempt):
                    raise failure.to_error(self.what, str(self.options["model"])) from error
                pause = max(policy.delay(attempt), failure.retry_after)
            yield Sleep(pause)
            attempt += 1


def in_lanes(batches: Sequence[B], work: Callable[[B], Program[T]], lanes: int) -> Program[list[T]]:
    """Do the same with many batches, so many at a time.

    A batch that fails ends it: those under way are finished, the others are not begun.

    Args:
        batches: The batches.
        work: Makes the program for one of them.
        lanes: How many are under way at once, 1 to 8.

    Returns:
        The results, in the order of the batches.
    """
    waiting = deque(enumerate(batches))
    results: dict[int, T] = {}

    def lane() -> Program[None]:
        while True:
            try:
                number, batch = waiting.popleft()
            except IndexError:
                return
            try:
                results[number] = yield from work(batch)
            except BaseException:
                waiting.clear()
                raise

    try:
        yield Together([lane() for _ in range(min(lanes, len(batches)))])
    finally:
        # Threads go on for a while when their caller is interrupted.
        waiting.clear()
    return [results[number] for number in range(len(batches))]


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failed attempt.

    Attributes:
        message: What DashScope, the network or the SDK said.
        code: DashScope's error code; empty where it gave none.
        status: The HTTP status; 0 where there was none.
        request_id: DashScope's id of the request.
        retry_after: Seconds that DashScope asks to wait.
        transient: The same request may succeed later.
        unconnected: No connection could be made.
        unreadable: An answer came that is none of DashScope's.
    """

    message: str
    code: str = ""
    status: int = 0
    request_id: str = ""
    retry_after: float = 0.0
    transient: bool = False
    unconnected: bool = False
    unreadable: bool = False

    @classmethod
    def of(cls, error: Exception) -> _Failure | None:
        """Read what the SDK raised; None for what is no failure of a request, such as a bug."""
        from dashscope.v2.errors import APIConnectionError, DashScopeError  # noqa: PLC0415 - an extra

        if isinstance(error, APIConnectionError):
            cause = error.__cause__
            unconnected = isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout)
            message = f"{type(cause).__name__}: {cause}" if cause is not None and str(cause) else type(cause).__name__
            return cls(_one_line(message), transient=True, unconnected=unconnected)
        if isinstance(error, DashScopeError):
            code, status = error.code or "", error.status_code or 0
            return cls(
                _one_line(error.message),
                code,
                status,
                error.request_id or "",
                _retry_after(error.headers),
                transient=status in _TRANSIENT or code.startswith(_TRANSIENT_CODES),
            )
        if isinstance(error, UnicodeEncodeError):
            return None
        # The SDK reads an answer as JSON of the right shape, and raises whatever comes of it where it is not.
        if isinstance(error, httpx.HTTPError | ValueError | AttributeError):
            return cls(f"it cannot be read ({type(error).__name__})", transient=True, unreadable=True)
        return None

    def worth_another(self, policy: RetryPolicy, attempt: int) -> bool:
        """Whether to attempt again after attempt number `attempt` (from 1)."""
        limit = policy.connect_attempts if self.unconnected or self.unreadable else policy.attempts
        return self.transient and attempt < limit and self.retry_after <= LONGEST_PAUSE

    def to_error(self, what: str, model: str) -> TablestoreMemoryError:
        """The exception that a caller gets."""
        details: dict[str, Any] = {
            "api": what,
            "code": self.code,
            "status": self.status,
            "request_id": self.request_id,
        }
        said = self._describe()
        if self.unreadable:
            return ServiceError(
                f"The answer to a request for {what} is none of DashScope's: {self.message}. Check base_url.", **details
            )
        if self.unconnected:
            return UnavailableError(
                f"DashScope could not be reached ({what}): {said}. Check base_url and the network.", **details
            )
        if self.transient:
            wait = f" It asks to wait for {self.retry_after:.0f} s." if self.retry_after > LONGEST_PAUSE else ""
            return UnavailableError(
                f"DashScope kept failing ({what}): {said}.{wait} Try again later, or with less at a time.", **details
            )
        if self.status == httpx.codes.UNAUTHORIZED or self.code == "InvalidApiKey":
            return AuthenticationError(
                f"DashScope refused the key ({what}): {said}. Check {KEY_VARIABLE} or api_key=, and that the key "
                "belongs to the region of base_url.",
                **details,
            )
        if any(sign in f"{self.code} {self.message}".lower() for sign in _UNKNOWN_MODEL):
            return ConfigurationError(
                f"DashScope has no model {model!r} for {what}: {said}. Check model=, and that the region of base_url "
                "offers it."
            )
        if self.status == httpx.codes.FORBIDDEN or self.code.startswith(("AccessDenied", "Arrearage")):
            return PermissionDeniedError(
                f"The DashScope key may not do this ({what}): {said}. Look in the console of Model Studio whether the "
                "model is activated and the account is in credit.",
                **details,
            )
        return ServiceError(f"DashScope refused the request ({what}): {said}.", **details)

    def _describe(self) -> str:
        where = f" [request {self.request_id}]" if self.request_id else ""
        what = f"{self.code}: {self.message}" if self.code else self.message or f"HTTP status {self.status}"
        return what.rstrip(". ") + where


def _one_line(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that an answer asks to wait, given as a number or as a date; 0 where it does not."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time()
        except ValueError:  # neither, and the wait that is usual will do
            return 0.0
    return seconds if seconds > 0 else 0.0  # nothing is greater than NaN
