"""What can go wrong between an SDK client and the service, and a wire on which it does.

A `Fault` looks at a request and either answers it in the service's place, or passes it on and spoils the answer, or
breaks the connection. `Faults` decides which requests meet one. The wire itself is in-process here (`FaultyBackend`)
and a proxy in `proxy.py`; the SDK clients on one end and the embedded engine on the other are unmodified.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import aiohttp
import urllib3.exceptions
from tablestore.protobuf import table_store_pb2 as messages
from tablestore.retry import NoRetryPolicy
from typing_extensions import override

from langchain_tablestore_memory.backends import Backend
from langchain_tablestore_memory.local import Tablestore, async_ots_client, ots_client

SECRET = "local"


class Request(NamedTuple):
    """A request on its way to the service."""

    api: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """An answer on its way back, in the order in which the SDK takes it from a connection."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


class Broken(enum.Enum):
    """What a client meets where no answer comes."""

    REFUSED = "connection refused"
    DROPPED = "connection closed before an answer"
    SILENT = "no answer in time"


Forward = Callable[[Request], Answer]
Effect = Callable[[Request, Forward], Answer | Broken]


@dataclass(frozen=True)
class Fault:
    """One way in which a request fails.

    Attributes:
        name: What it is called in test ids.
        effect: What happens to a request.
        apis: The calls that it can happen to; all where empty.
    """

    name: str
    effect: Effect
    apis: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.name

    def concerns(self, request: Request) -> bool:
        return not self.apis or request.api in self.apis


class Faults:
    """Decides which requests fail, and remembers what was asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decide: Callable[[int, Request], Fault | None] = _nothing
        self._position = 0
        self.requests: list[Request] = []
        self.spoilt: list[Request] = []

    @property
    def met(self) -> int:
        """How many requests met a fault."""
        return len(self.spoilt)

    @contextmanager
    def at(self, position: int, fault: Fault) -> Iterator[None]:
        """Within this block, that request (from 0) of those that the fault concerns fails."""
        seen = 0

        def decide(_: int, request: Request) -> Fault | None:
            nonlocal seen
            if not fault.concerns(request):
                return None
            seen += 1
            return fault if seen == position + 1 else None

        with self.deciding(decide):
            yield

    @contextmanager
    def deciding(self, decide: Callable[[int, Request], Fault | None]) -> Iterator[None]:
        """Within this block, a function of the request and its number (from 0) names the fault that it meets."""
        with self._lock:
            self._decide, self._position = decide, 0
            self.requests, self.spoilt = [], []
        try:
            yield
        finally:
            with self._lock:
                self._decide = _nothing

    def answer(self, request: Request, forward: Forward) -> Answer | Broken:
        with self._lock:
            self.requests.append(request)
            fault = self._decide(self._position, request)
            self._position += 1
            if fault is not None:
                self.spoilt.append(request)
        return forward(request) if fault is None else fault.effect(request, forward)


def _nothing(_: int, __: Request) -> None:
    return None


# Faults of whole requests


def refusal(status: int, code: str, message: str) -> Answer:
    """An error as the service words it."""
    body = messages.Error(code=code, message=message).SerializeToString()
    return Answer(status, "", {"x-ots-requestid": "0005ae78-fault"}, body)


def page(status: int) -> Answer:
    """An error as a gateway in between words it."""
    text = f"<html><head><title>{status}</title></head><body><h1>{status} Bad Gateway</h1></body></html>"
    return Answer(status, "Bad Gateway", {"content-type": "text/html"}, text.encode())


def _instead(outcome: Answer | Broken) -> Effect:
    return lambda _request, _forward: outcome


def _afterwards(outcome: Answer | Broken) -> Effect:
    def effect(request: Request, forward: Forward) -> Answer | Broken:
        forward(request)
        return outcome

    return effect


CUT = "x-cut-from"
"""The header that tells a wire over HTTP what length to announce."""


def _cut_short(request: Request, forward: Forward) -> Answer:
    answer = forward(request)
    half = answer.body[: len(answer.body) // 2] if answer.body else b"\x0a"
    return answer._replace(body=half, headers={**answer.headers, CUT: str(len(answer.body) or 2)})


INTERNAL = refusal(500, "OTSInternalServerError", "Internal server error.")
BUSY = refusal(503, "OTSServerBusy", "Server is busy.")
NO_CAPACITY = refusal(403, "OTSNotEnoughCapacityUnit", "Remaining capacity unit is not enough.")
FORBIDDEN = refusal(
    403,
    "OTSNoPermissionAccess",
    "You have no permission to access the requested resource, please contact the resource owner",
)
GATEWAY_PAGE = page(502)

# Faults of rows in a batch


class RowFailure(NamedTuple):
    """How a row of a batch fails."""

    code: str
    message: str
    written: bool


PASSING_ROW_FAILURES = {
    "busy": RowFailure("OTSServerBusy", "Server is busy.", written=False),
    "timeout unwritten": RowFailure("OTSTimeout", "Operation timeout.", written=False),
    "timeout written": RowFailure("OTSTimeout", "Operation timeout.", written=True),
}
LASTING_ROW_FAILURE = RowFailure(
    "OTSOutOfRowSizeLimit", "The total data size of columns in one row exceeded the limit.", written=False
)

Pick = Callable[[int], set[int]]
"""Which rows fail, of how many."""

PICKS: dict[str, Pick] = {
    "first": lambda _count: {0},
    "last": lambda count: {count - 1},
    "all": lambda count: set(range(count)),
}


def _rows_fail(failure: RowFailure, pick: Pick) -> Effect:
    def effect(request: Request, forward: Forward) -> Answer:
        if request.api == "BatchGetRow":
            return _unread(request, forward, failure, pick)
        return _unwritten(request, forward, failure, pick)

    return effect


def _unwritten(request: Request, forward: Forward, failure: RowFailure, pick: Pick) -> Answer:
    asked = messages.BatchWriteRowRequest.FromString(request.body)
    failing = pick(sum(len(table.rows) for table in asked.tables))
    passed_on = messages.BatchWriteRowRequest()
    number = 0
    for table in asked.tables:
        rows = [row for i, row in enumerate(table.rows, number) if failure.written or i not in failing]
        number += len(table.rows)
        if rows:
            passed_on.tables.add(table_name=table.table_name, rows=rows)
    done = {}
    if passed_on.tables:
        answer = forward(resigned(request, passed_on.SerializeToString()))
        if answer.status != 200:
            return answer
        answered = messages.BatchWriteRowResponse.FromString(answer.body)
        done = {table.table_name: iter(table.rows) for table in answered.tables}
    result = messages.BatchWriteRowResponse()
    number = 0
    for table in asked.tables:
        rows = result.tables.add(table_name=table.table_name).rows
        for i in range(number, number + len(table.rows)):
            answered = next(done[table.table_name]) if failure.written or i not in failing else None
            rows.append(_failed(messages.RowInBatchWriteRowResponse, failure) if i in failing else answered)
        number += len(table.rows)
    return signed(request.api, result.SerializeToString())


def _unread(request: Request, forward: Forward, failure: RowFailure, pick: Pick) -> Answer:
    answer = forward(request)
    if answer.status != 200:
        return answer
    result = messages.BatchGetRowResponse.FromString(answer.body)
    rows = [row for table in result.tables for row in table.rows]
    for i in pick(len(rows)):
        rows[i].CopyFrom(_failed(messages.RowInBatchGetRowResponse, failure))
    return signed(request.api, result.SerializeToString())


def _failed(kind: Any, failure: RowFailure) -> Any:
    row = kind(is_ok=False)
    row.error.code, row.error.message = failure.code, failure.message
    return row


# Signatures, as the SDK makes and checks them (version 2)


def resigned(request: Request, body: bytes) -> Request:
    """The request with another body."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    headers["x-ots-contentmd5"] = _md5(body)
    headers.pop("x-ots-signature", None)
    text = f"/{request.api}\nPOST\n\n{_header_lines(headers)}\n"
    headers["x-ots-signature"] = _hmac(text)
    headers.pop("content-length", None)
    return Request(request.api, headers, body)


def signed(api: str, body: bytes) -> Answer:
    """An answer that a client accepts."""
    headers = {
        "x-ots-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "x-ots-requestid": "0005ae78-fault",
        "x-ots-contenttype": "protocol buffer",
        "x-ots-contentmd5": _md5(body),
    }
    headers["authorization"] = f"OTS {SECRET}:" + _hmac(f"{_header_lines(headers)}\n/{api}")
    return Answer(200, "OK", headers, body)


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def _header_lines(headers: Mapping[str, str]) -> str:
    return "\n".join(sorted(f"{name}:{value.strip()}" for name, value in headers.items() if name.startswith("x-ots-")))


def _hmac(text: str) -> str:
    return base64.b64encode(hmac.new(SECRET.encode(), text.encode(), hashlib.sha1).digest()).decode()


# All of them

WRITES = frozenset(
    {
        "CreateTable",
        "CreateIndex",
        "DeleteTable",
        "CreateSearchIndex",
        "DeleteSearchIndex",
        "PutRow",
        "UpdateRow",
        "DeleteRow",
        "BatchWriteRow",
    }
)


CONNECTION_FAULTS = [
    Fault("dropped before", _instead(Broken.DROPPED)),
    # For what only reads these are the same as the first one.
    Fault("dropped after", _afterwards(Broken.DROPPED), apis=WRITES),
    Fault("silent before", _instead(Broken.SILENT), apis=WRITES),
    Fault("silent after", _afterwards(Broken.SILENT), apis=WRITES),
    Fault("refused connection", _instead(Broken.REFUSED)),
    Fault("cut short", _cut_short),
]
"""Faults that the two kinds of clients report each in its own way."""

PASSING_FAULTS = [
    *CONNECTION_FAULTS,
    Fault("internal error before", _instead(INTERNAL)),
    Fault("internal error after", _afterwards(INTERNAL), apis=WRITES),
    Fault("gateway page before", _instead(GATEWAY_PAGE)),
    Fault("gateway page after", _afterwards(GATEWAY_PAGE), apis=WRITES),
    Fault("busy", _instead(BUSY)),
    Fault("no capacity", _instead(NO_CAPACITY), apis=WRITES),
]
"""Faults of a request of any kind after which it can be repeated."""

_BATCHES = frozenset({"BatchWriteRow", "BatchGetRow"})

PASSING_ROW_FAULTS = [
    Fault(f"{which} rows {name}", _rows_fail(failure, pick), apis=_BATCHES)
    for name, failure in PASSING_ROW_FAILURES.items()
    for which, pick in PICKS.items()
]
"""Faults of rows in a batch after which the rows can be repeated."""

SOME_PASSING_FAULTS = [
    fault
    for fault in (*PASSING_FAULTS, *PASSING_ROW_FAULTS)
    if str(fault) in {"dropped after", "busy", "last rows timeout written"}
]
"""One of each kind: nothing is done, all is done and nobody hears of it, and some of it is."""

FORBIDDEN_FAULT = Fault("forbidden", _instead(FORBIDDEN))
"""What repeating does not mend."""

LASTING_ROW_FAULTS = [
    Fault(f"{which} rows too large", _rows_fail(LASTING_ROW_FAILURE, pick), apis=_BATCHES)
    for which, pick in PICKS.items()
]
"""Faults of rows in a batch that repeating does not mend."""


# The wire in one process


class FaultyBackend(Backend):
    """Clients of an embedded Tablestore, on a wire with faults."""

    def __init__(self, service: Tablestore, faults: Faults) -> None:
        self._service = service
        self._faults = faults

    @override
    def describe(self) -> str:
        return "a faulty wire"

    @override
    def client(self) -> Any:
        return ots_client(Wire(self._service, self._faults, sync_error), retry_policy=NoRetryPolicy())

    @override
    def async_client(self) -> Any:
        return async_ots_client(Wire(self._service, self._faults, async_error), retry_policy=NoRetryPolicy())

    @override
    def owns_async_clients(self) -> bool:
        return True

    @override
    def close(self) -> None:
        """The service is closed by whoever opened it."""


@dataclass
class Wire:
    """Stands where the clients expect the service."""

    service: Tablestore
    faults: Faults
    error: Callable[[Broken], Exception]
    access_key_id: str = field(default=SECRET)
    access_key_secret: str = field(default=SECRET, repr=False)

    def handle(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        outcome = self.faults.answer(Request(path.removeprefix("/"), headers, body), self._forward)
        if isinstance(outcome, Broken):
            raise self.error(outcome)
        return outcome

    def _forward(self, request: Request) -> Answer:
        return Answer(*self.service.handle(f"/{request.api}", request.headers, request.body))


def sync_error(broken: Broken) -> Exception:
    """What urllib3 raises."""
    pool = urllib3.HTTPConnectionPool("embedded.invalid")
    match broken:
        case Broken.REFUSED:
            connection = urllib3.connection.HTTPConnection("embedded.invalid")
            reason = urllib3.exceptions.NewConnectionError(connection, "[Errno 111] Connection refused")
            return urllib3.exceptions.MaxRetryError(pool, "/", reason)
        case Broken.DROPPED:
            return urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError(104, "reset by peer"))
        case Broken.SILENT:
            return urllib3.exceptions.ReadTimeoutError(pool, "/", "Read timed out. (read timeout=50)")


def async_error(broken: Broken) -> Exception:
    """What aiohttp raises."""
    match broken:
        case Broken.REFUSED:
            key = aiohttp.client_reqrep.ConnectionKey("embedded.invalid", 80, False, True, None, None, None)
            return aiohttp.ClientConnectorError(key, OSError(111, "Connect call failed"))
        case Broken.DROPPED:
            return aiohttp.ServerDisconnectedError
        case Broken.SILENT:
            return aiohttp.SocketTimeoutError("Timeout on reading data from socket")
