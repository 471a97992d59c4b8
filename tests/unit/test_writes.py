"""Row writes: how they are grouped, what is sent again, and what is said of rows that failed."""

from __future__ import annotations

import asyncio

import pytest
from tablestore import BatchWriteRowType
from tablestore.error import OTSServiceError
from tablestore.metadata import BatchWriteRowResponse, BatchWriteRowResponseItem

from langchain_tablestore_memory import (
    AuthenticationError,
    InvalidArgumentError,
    PermissionDeniedError,
    RetryPolicy,
    UnavailableError,
    WriteError,
)
from langchain_tablestore_memory.core.programs import arun, run
from langchain_tablestore_memory.core.writes import (
    MAX_BYTES,
    MAX_ROWS,
    delete_row,
    put_row,
    update_row,
    write_rows,
)

IMPATIENT = RetryPolicy(attempts=3, connect_attempts=3, first_delay=0, max_delay=0)
BROKEN = ConnectionResetError(104, "Connection reset by peer")
BUSY = OTSServiceError(503, "OTSServerBusy", "Server is busy.")

OK = (True, "", "")
ROW_BUSY = (False, "OTSServerBusy", "Server is busy.")
ROW_TIMEOUT = (False, "OTSTimeout", "Operation timeout.")
ROW_CHANGED = (False, "OTSConditionCheckFail", "Condition check failed.")
ROW_TOO_LARGE = (False, "OTSOutOfRowSizeLimit", "The total data size of columns in one row exceeded the limit.")


class Client:
    """Answers `batch_write_row` by a script of exceptions and functions from (table, key) to a row's outcome."""

    def __init__(self, *script):
        self.script = list(script)
        self.requests = []

    def batch_write_row(self, request):
        self.requests.append(request)
        outcome = self.script.pop(0) if self.script else lambda _table, _key: OK
        if isinstance(outcome, BaseException):
            raise outcome
        return BatchWriteRowResponse(
            request,
            {
                name: [
                    BatchWriteRowResponseItem(*outcome(name, item.row.primary_key[0][1]), None, None)
                    for item in table.row_items
                ]
                for name, table in request.items.items()
            },
        )

    def sent(self):
        """Keys by table, of each request."""
        return [
            {name: [item.row.primary_key[0][1] for item in table.row_items] for name, table in request.items.items()}
            for request in self.requests
        ]

    def items(self, number):
        return [item for table in self.requests[number].items.values() for item in table.row_items]


class AsyncClient(Client):
    async def batch_write_row(self, request):
        return super().batch_write_row(request)


@pytest.fixture(params=["sync", "async"])
def write(request):
    """Writes rows over a client with a script; gives the outcome and the client."""

    def write(rows, *script):
        if request.param == "sync":
            write.client = Client(*script)
            return run(write_rows(rows), write.client, IMPATIENT), write.client
        write.client = AsyncClient(*script)
        return asyncio.run(arun(write_rows(rows), write.client, IMPATIENT)), write.client

    return write


def put(key, table="message", text="text"):
    return put_row(table, [("id", key)], [("text", text)], name=f"message {key!r}")


def count(key="s1", by=2):
    return update_row(
        "session",
        [("id", key)],
        [("title", "new")],
        delete=["old"],
        increment=[("count", by)],
        name=f"session {key!r}",
    )


def failing(outcomes):
    return lambda _table, key: outcomes.get(key, OK)


# One request where that is possible


def test_nothing(write):
    outcome, client = write([])
    assert (outcome.stored, outcome.failed, client.requests) == ([], [], [])


def test_one_request_for_several_tables(write):
    rows = [put("a"), count(), put("b"), delete_row("message", [("id", "c")], name="message 'c'")]
    outcome, client = write(rows)
    assert client.sent() == [{"message": ["a", "b", "c"], "session": ["s1"]}]
    assert [item.type for item in client.items(0)] == [
        BatchWriteRowType.PUT,
        BatchWriteRowType.PUT,
        BatchWriteRowType.DELETE,
        BatchWriteRowType.UPDATE,
    ]
    assert {row.name for row in outcome.stored} == {row.name for row in rows}
    assert not outcome.doubted


def test_what_an_update_says(write):
    _, client = write([count(by=3)])
    [item] = client.items(0)
    assert item.row.attribute_columns == {
        "PUT": [("title", "new")],
        "DELETE_ALL": ["old"],
        "INCREMENT": [("count", 3)],
    }


@pytest.mark.parametrize(("rows", "requests"), [(199, 1), (MAX_ROWS, 1), (MAX_ROWS + 1, 2), (1000, 5)])
def test_no_more_rows_than_one_request_takes(write, rows, requests):
    _, client = write([put(str(n)) for n in range(rows)])
    sizes = sorted(len(client.items(n)) for n in range(len(client.requests)))
    assert len(sizes) == requests
    assert sum(sizes) == rows
    assert max(sizes) <= MAX_ROWS


def test_no_more_bytes_than_one_request_takes(write):
    rows = [put(str(n), text="x" * 1_500_000) for n in range(5)]
    _, client = write(rows)
    assert sorted(len(client.items(n)) for n in range(len(client.requests))) == [1, 2, 2]
    assert sorted(key for each in client.sent() for key in each["message"]) == ["0", "1", "2", "3", "4"]
    full = put("full", text="x" * (MAX_BYTES - len("idfulltext")))
    assert full.size == MAX_BYTES
    _, client = write([full, put("more")])
    assert len(client.requests) == 2


def test_sizes():
    # As the service counts: names and values, a key's too.
    assert put("a", text="四").size == len("id") + len("a") + len("text") + 3
    assert count().size == len("id") + len("s1") + len("title") + len("new") + len("count") + 8 + len("old") + 8


@pytest.mark.parametrize("write_row", [put_row, update_row])
def test_a_row_that_no_request_could_write_is_refused_by_name(write_row):
    text = "x" * (MAX_BYTES - len("idfulltext"))
    assert write_row("message", [("id", "full")], [("text", text)], name="message 'full'").size == MAX_BYTES
    with pytest.raises(InvalidArgumentError, match="message 'full' has 4194305 bytes; a row is written with at most"):
        write_row("message", [("id", "full")], [("text", text + "x")], name="message 'full'")


# What is sent again


def test_only_rows_that_failed_are_sent_again(write):
    rows = [put("a"), put("b"), put("c"), put("d")]
    script = [failing({"b": ROW_BUSY, "d": ROW_TIMEOUT}), failing({"d": ROW_BUSY})]
    outcome, client = write(rows, *script)
    assert client.sent() == [{"message": ["a", "b", "c", "d"]}, {"message": ["b", "d"]}, {"message": ["d"]}]
    assert sorted(row.name for row in outcome.stored) == [f"message '{key}'" for key in "abcd"]


@pytest.mark.parametrize("failure", [BROKEN, BUSY, TimeoutError()])
def test_a_request_that_fails_is_sent_again_as_a_whole(write, failure):
    outcome, client = write([put("a"), put("b")], failure, failure)
    assert client.sent() == [{"message": ["a", "b"]}] * 3
    assert len(outcome.stored) == 2


@pytest.mark.parametrize("failure", [BROKEN, failing({"s1": ROW_TIMEOUT})], ids=["request", "row"])
def test_an_increment_in_doubt_is_left_out(write, failure):
    outcome, client = write([put("a"), count()], failure)
    [again] = [item for item in client.items(1) if item.type == BatchWriteRowType.UPDATE]
    assert again.row.attribute_columns == {"PUT": [("title", "new")], "DELETE_ALL": ["old"]}
    assert outcome.doubted
    assert {row.name for row in outcome.stored} == {"message 'a'", "session 's1'"}


@pytest.mark.parametrize("failure", [BUSY, failing({"s1": ROW_BUSY})], ids=["request", "row"])
def test_an_increment_that_was_turned_away_is_sent_again(write, failure):
    outcome, client = write([put("a"), count()], failure, failure)
    [again] = [item for item in client.items(2) if item.type == BatchWriteRowType.UPDATE]
    assert again.row.attribute_columns["INCREMENT"] == [("count", 2)]
    assert not outcome.doubted


def test_an_increment_in_doubt_stays_out(write):
    outcome, client = write([count()], BROKEN, BUSY)
    assert [sorted(item.row.attribute_columns) for n in range(3) for item in client.items(n)] == [
        ["DELETE_ALL", "INCREMENT", "PUT"],
        ["DELETE_ALL", "PUT"],
        ["DELETE_ALL", "PUT"],
    ]
    assert outcome.doubted


def test_another_rows_doubt_is_not_an_increments(write):
    outcome, client = write([put("a"), count()], failing({"a": ROW_TIMEOUT}))
    assert client.sent()[1] == {"message": ["a"]}
    assert not outcome.doubted


# What is said of rows that failed


def test_rows_that_are_refused(write):
    rows = [put("a"), put("b"), put("c")]
    with pytest.raises(WriteError) as caught:
        write(rows, failing({"b": ROW_TOO_LARGE}))
    error = caught.value
    assert error.failed == ("message 'b'",)
    assert error.stored == ("message 'a'", "message 'c'")
    assert (error.api, error.code) == ("batch_write_row", "OTSOutOfRowSizeLimit")
    assert str(error).startswith("1 of 3 rows not stored: message 'b'. ")
    assert "The total data size of columns in one row exceeded the limit." in str(error)
    assert len(write.client.requests) == 1


def test_rows_that_are_refused_among_rows_that_are_sent_again(write):
    rows = [put(key) for key in "abcd"]
    with pytest.raises(WriteError) as caught:
        write(rows, failing({"a": ROW_TOO_LARGE, "c": ROW_BUSY}))
    assert caught.value.failed == ("message 'a'",)
    assert caught.value.stored == ("message 'b'", "message 'c'", "message 'd'")
    assert write.client.sent()[1] == {"message": ["c"]}


def test_rows_that_keep_failing(write):
    busy = failing({"b": ROW_BUSY})
    with pytest.raises(WriteError, match=r"^1 of 2 rows not stored: message 'b'\. Tablestore kept failing") as caught:
        write([put("a"), put("b")], busy, busy, busy)
    assert isinstance(caught.value.__cause__, UnavailableError)
    assert len(write.client.requests) == 3


def test_a_row_that_was_changed_hides_no_failure(write):
    """Who meets a changed row reads it again and goes on, and would pass over the row beside it."""
    changed = failing({"a": ROW_CHANGED, "b": ROW_BUSY})
    with pytest.raises(WriteError, match=r"^2 of 2 rows not stored: message 'a', message 'b'\. ") as caught:
        write([put("a"), put("b")], changed, changed, changed)
    assert caught.value.code == "OTSServerBusy"


def test_requests_that_keep_failing(write):
    with pytest.raises(WriteError, match=r"^2 of 2 rows may not be stored: message 'a', message 'b'\. ") as caught:
        write([put("a"), put("b")], BROKEN, BROKEN, BROKEN)
    assert caught.value.failed == ("message 'a'", "message 'b'")
    assert caught.value.stored == ()


def test_a_doubt_is_not_forgotten(write):
    """A first attempt that may have been carried out, and others that were turned away."""
    with pytest.raises(WriteError, match=r"^1 of 1 rows may not be stored: message 'a'\. "):
        write([put("a")], BROKEN, BUSY, BUSY)
    timeout, busy = failing({"a": ROW_TIMEOUT}), failing({"a": ROW_BUSY})
    with pytest.raises(WriteError, match=r"^1 of 1 rows may not be stored: message 'a'\. "):
        write([put("a")], timeout, busy, busy)


def test_many_rows_are_named_in_short(write):
    rows = [put(str(n)) for n in range(9)]
    with pytest.raises(WriteError, match=r"9 of 9 rows not stored: message '0', .* message '4' and 4 more") as caught:
        write(rows, lambda _table, _key: ROW_TOO_LARGE)
    assert caught.value.failed == tuple(f"message '{n}'" for n in range(9))


def test_one_of_several_requests_fails(write):
    rows = [put(str(n)) for n in range(MAX_ROWS * 3)]
    lost = {str(n) for n in range(MAX_ROWS, MAX_ROWS * 2)}

    def answer(_table, key):
        return ROW_TOO_LARGE if key in lost else OK

    with pytest.raises(WriteError) as caught:
        write(rows, *[answer] * 3)
    assert set(caught.value.failed) == {f"message '{key}'" for key in lost}
    assert len(caught.value.stored) == MAX_ROWS * 2


def test_refused_credentials(write):
    with pytest.raises(AuthenticationError):
        write([put("a")], OTSServiceError(403, "OTSAuthFailed", "Signature mismatch."))
    with pytest.raises(PermissionDeniedError):
        write([put("a")], OTSServiceError(403, "OTSNoPermissionAccess", "You have no permission."))


def test_credentials_that_are_refused_after_a_doubt(write):
    with pytest.raises(WriteError, match="1 of 1 rows may not be stored"):
        write([put("a")], BROKEN, OTSServiceError(403, "OTSAuthFailed", "Signature mismatch."))


def test_bugs_are_not_dressed_up(write):
    with pytest.raises(AttributeError, match="a bug"):
        write([put("a")], AttributeError("a bug"))
