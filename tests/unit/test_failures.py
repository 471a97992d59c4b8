"""What the SDK raises, as this package reads it: may it be repeated, and what is the caller told?"""

from __future__ import annotations

import ssl

import aiohttp
import pytest
import urllib3.exceptions
from google.protobuf.message import DecodeError
from tablestore.error import OTSClientError, OTSServiceError

from langchain_tablestore_memory.core.failures import Failure, is_missing_table
from langchain_tablestore_memory.errors import (
    AuthenticationError,
    InvalidArgumentError,
    PermissionDeniedError,
    SchemaMismatchError,
    ServiceError,
    UnavailableError,
)

POOL = urllib3.HTTPConnectionPool("somewhere")
REFUSED = urllib3.exceptions.NewConnectionError(urllib3.connection.HTTPConnection("somewhere"), "refused")
KEY = aiohttp.client_reqrep.ConnectionKey("somewhere", 80, False, True, None, None, None)

NOT_DONE = [
    (409, "OTSRowOperationConflict", "Data is being modified by the other request."),
    (403, "OTSNotEnoughCapacityUnit", "Remaining capacity unit is not enough."),
    (404, "OTSTableNotReady", "The table is not ready."),
    (503, "OTSPartitionUnavailable", "The partition is not available."),
    (503, "OTSServerBusy", "Server is busy."),
    (409, "OTSOperationConflict", "Conflict."),
    (403, "OTSOperationThrottled", "Throttled."),
    (403, "OTSQuotaExhausted", "Too frequent table operations."),
]
UNSURE = [
    (503, "OTSTimeout", "Operation timeout."),
    (500, "OTSInternalServerError", "Internal server error."),
    (503, "OTSServerUnavailable", "Server is not available."),
    (408, "OTSRequestTimeout", "Request timeout."),
    (502, "", ""),
    (504, "OTSSomethingNew", "A code that nobody knows yet."),
]
LASTING = [
    (400, "OTSParameterInvalid", "Invalid column type."),
    (400, "OTSInvalidPK", "Validate PK name fail."),
    (403, "OTSConditionCheckFail", "Condition check failed."),
    (403, "OTSQuotaExhausted", "Number of tables exceeded the quota."),
    (403, "OTSCapacityUnitExhausted", "Capacity unit is not enough."),
    (404, "OTSObjectNotExist", "Requested table does not exist."),
    (409, "OTSObjectAlreadyExist", "Requested table already exists."),
    (413, "OTSRequestBodyTooLarge", "The size of POST data is too large."),
    (405, "OTSMethodNotAllowed", "Only POST method for requests is supported."),
]


def answered(status, code, message):
    return Failure.of(OTSServiceError(status, code, message, "request-7"))


@pytest.mark.parametrize(("status", "code", "message"), NOT_DONE)
def test_refused_for_the_moment(status, code, message):
    failure = answered(status, code, message)
    assert (failure.transient, failure.ambiguous, failure.unconnected) == (True, False, False)
    error = failure.to_error("put_row")
    assert isinstance(error, UnavailableError)
    assert str(error).endswith("Try again later, or raise the reserved throughput.")
    assert "not known whether" not in str(error)
    # A row of a batch comes without a status.
    assert Failure.of_code(code, message) == Failure(code, message, transient=True)


@pytest.mark.parametrize(("status", "code", "message"), UNSURE)
def test_in_doubt(status, code, message):
    failure = answered(status, code, message)
    assert (failure.transient, failure.ambiguous, failure.unconnected) == (True, True, False)
    error = failure.to_error("put_row")
    assert isinstance(error, UnavailableError)
    assert "It is not known whether the request was carried out." in str(error)


@pytest.mark.parametrize(("status", "code", "message"), UNSURE[:4])
def test_a_row_of_a_batch_in_doubt(status, code, message):
    assert Failure.of_code(code, message) == Failure(code, message, transient=True, ambiguous=True)


@pytest.mark.parametrize(("status", "code", "message"), LASTING)
def test_refused_for_good(status, code, message):
    failure = answered(status, code, message)
    assert (failure.transient, failure.ambiguous) == (False, False)
    error = failure.to_error("put_row")
    assert type(error) is ServiceError
    assert (error.api, error.code, error.status, error.request_id) == ("put_row", code, status, "request-7")
    assert str(error) == f"Tablestore refused the request (put_row): {code}: {message} [request request-7]"


def test_credentials():
    error = answered(403, "OTSAuthFailed", "Signature mismatch.").to_error("get_row")
    assert isinstance(error, AuthenticationError)
    assert "Check the instance name, the access key id and secret, and the clock" in str(error)
    assert error.status == 403


@pytest.mark.parametrize("code", ["OTSNoPermissionAccess", "OTSOperationForbidden"])
def test_permissions(code):
    error = answered(403, code, "You have no permission.").to_error("get_row")
    assert isinstance(error, PermissionDeniedError)
    assert "Grant its RAM user the action" in str(error)


@pytest.mark.parametrize(
    "error",
    [
        urllib3.exceptions.ProtocolError("Connection aborted."),
        urllib3.exceptions.ReadTimeoutError(POOL, "/", "Read timed out."),
        urllib3.exceptions.IncompleteRead(3, 7),
        aiohttp.ServerDisconnectedError(),
        aiohttp.SocketTimeoutError("Timeout on reading data from socket"),
        aiohttp.ClientPayloadError("Response payload is not completed"),
        aiohttp.ClientOSError(104, "Connection reset by peer"),
        TimeoutError(),
        ConnectionResetError(104, "Connection reset by peer"),
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        DecodeError("Error parsing message"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_connection_that_breaks(error):
    failure = Failure.of(error)
    assert (failure.transient, failure.ambiguous, failure.unconnected) == (True, True, False)
    told = failure.to_error("put_row")
    assert isinstance(told, UnavailableError)
    assert type(error).__name__ in str(told)
    assert (told.code, told.status, told.request_id) == ("", 0, "")


@pytest.mark.parametrize(
    "error",
    [
        REFUSED,
        urllib3.exceptions.MaxRetryError(POOL, "/", REFUSED),
        urllib3.exceptions.ConnectTimeoutError("timed out"),
        urllib3.exceptions.MaxRetryError(POOL, "/", urllib3.exceptions.ConnectTimeoutError("timed out")),
        aiohttp.ClientConnectorError(KEY, OSError(111, "refused")),
        aiohttp.ConnectionTimeoutError("Connection timeout to host"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_connection(error):
    failure = Failure.of(error)
    assert (failure.transient, failure.ambiguous, failure.unconnected) == (True, False, True)
    told = failure.to_error("put_row")
    assert isinstance(told, UnavailableError)
    assert str(told).startswith("Tablestore could not be reached (put_row)")
    assert str(told).endswith("Check the endpoint and that the server is running.")


def test_retries_of_urllib3_that_ended_in_a_broken_connection():
    broken = urllib3.exceptions.ProtocolError("Connection aborted.")
    failure = Failure.of(urllib3.exceptions.MaxRetryError(POOL, "/", broken))
    assert (failure.transient, failure.ambiguous, failure.unconnected) == (True, True, False)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_error_page_of_a_gateway(status):
    failure = Failure.of(OTSClientError(f"HTTP status: {status}, reason: Bad Gateway.", status))
    assert (failure.transient, failure.ambiguous) == (True, True)
    assert isinstance(failure.to_error("put_row"), UnavailableError)


@pytest.mark.parametrize("status", [301, 404, 405])
def test_an_error_page_of_something_else(status):
    failure = Failure.of(OTSClientError(f"HTTP status: {status}, reason: Not Found.", status))
    assert (failure.transient, failure.ambiguous) == (False, False)
    error = failure.to_error("put_row")
    assert type(error) is ServiceError
    assert "did not answer as Tablestore does" in str(error)
    assert error.status == status


@pytest.mark.parametrize("status", [200, 400, 404, 500])
def test_a_damaged_answer(status):
    failure = Failure.of(OTSClientError(f"MD5 mismatch in response. HTTP status: {status}.", status))
    assert (failure.transient, failure.ambiguous) == (True, True)


def test_arguments_that_the_sdk_refuses():
    failure = Failure.of(OTSClientError("Invalid type for a column value."))
    assert (failure.transient, failure.ambiguous) == (False, False)
    error = failure.to_error("put_row")
    assert isinstance(error, InvalidArgumentError)
    assert "Invalid type for a column value." in str(error)


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RuntimeError("x"), KeyboardInterrupt()])
def test_what_is_no_failure_of_a_request(error):
    assert Failure.of(error) is None


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        (answered(404, "OTSObjectNotExist", "Requested table does not exist.").to_error("put_row"), True),
        (answered(400, "OTSParameterInvalid", "Request table not exist").to_error("get_range"), True),
        (answered(400, "OTSParameterInvalid", "Invalid column type.").to_error("get_range"), False),
        (answered(404, "OTSTableNotReady", "The table is not ready.").to_error("get_range"), False),
        (SchemaMismatchError("OTSObjectNotExist"), False),
        (OTSServiceError(404, "OTSObjectNotExist", "Requested table does not exist."), False),
    ],
)
def test_a_missing_table(error, missing):
    assert is_missing_table(error) is missing
