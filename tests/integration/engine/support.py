"""What the tests of this folder share: short names for SDK calls, hand-made requests, expected errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from tablestore import (
    INF_MAX,
    INF_MIN,
    BatchGetRowRequest,
    BatchWriteRowRequest,
    CapacityUnit,
    Condition,
    DeleteRowItem,
    OTSClient,
    OTSServiceError,
    PutRowItem,
    ReservedThroughput,
    Row,
    TableInBatchGetRowItem,
    TableInBatchWriteRowItem,
    TableMeta,
    TableOptions,
    UpdateRowItem,
)
from tablestore.auth import RequestContext
from tablestore.protobuf import table_store_filter_pb2 as filter_pb
from tablestore.protobuf import table_store_pb2 as pb

from . import plain

if TYPE_CHECKING:
    from google.protobuf.message import Message

IGNORE = Condition("IGNORE")
EXPECT_EXIST = Condition("EXPECT_EXIST")
EXPECT_NOT_EXIST = Condition("EXPECT_NOT_EXIST")

STATUS = {
    "OTSParameterInvalid": 400,
    "OTSInvalidPK": 400,
    "OTSObjectNotExist": 404,
    "OTSObjectAlreadyExist": 409,
    "OTSConditionCheckFail": 403,
    "OTSQuotaExhausted": 403,
    "OTSAuthFailed": 403,
    "OTSMethodNotAllowed": 405,
    "OTSRequestBodyTooLarge": 413,
    "OTSRowOperationConflict": 409,
}
"""HTTP status of each code that has a documented one."""

INVALID = "OTSParameterInvalid"
NO_TABLE = "Requested table does not exist."
CONDITION_FAILED = ("OTSConditionCheckFail", "Condition check failed.")

ANY = re.compile(".+", re.DOTALL)
"""Some message, where its wording is not known."""

Key = list[tuple[str, Any]]


@contextmanager
def service_error(code: str, message: str | re.Pattern[str] | None = None) -> Iterator[None]:
    """Expect an `OTSServiceError` with this code, the code's HTTP status, and this message (exact, or a pattern)."""
    with pytest.raises(OTSServiceError) as caught:
        yield
    error = caught.value
    check_error(error.code, error.message, code, message)
    if code in STATUS:
        assert error.http_status == STATUS[code]
    assert error.request_id


def allow(error: OTSServiceError, code: str) -> None:
    """Raise an error again unless it has this code."""
    if error.code != code:
        raise error


def check_error(actual_code: str, actual: str, code: str, message: str | re.Pattern[str] | None) -> None:
    assert actual_code == code, f"{actual_code}: {actual}"
    if isinstance(message, re.Pattern):
        assert message.fullmatch(actual), actual
    elif message is not None:
        assert actual == message


# Tables


def create(
    client: OTSClient,
    name: str = "t",
    key: Sequence[tuple[Any, ...]] = (("pk", "STRING"),),
    *,
    defined: Sequence[tuple[str, str]] = (),
    indexes: Sequence[Any] = (),
    options: TableOptions | None = None,
    throughput: tuple[int, int] = (0, 0),
) -> str:
    client.create_table(
        TableMeta(name, list(key), list(defined)),
        options or TableOptions(),
        ReservedThroughput(CapacityUnit(*throughput)),
        list(indexes),
    )
    return name


def create_versioned(client: OTSClient, name: str = "t", *, max_version: int = 10, **options: Any) -> str:
    return create(client, name, options=TableOptions(max_version=max_version, **options))


# Rows; a key is given as a value (of the one column "pk") or in full.


def key_of(key: Any) -> Key:
    return list(key) if isinstance(key, (list, tuple)) else [("pk", key)]


def put(client: OTSClient, table: str, key: Any, columns: Any = None, condition: Any = None, **options: Any) -> Any:
    """PutRow; columns as a dict or as SDK tuples. Returns (consumed, row)."""
    cells = list(columns.items()) if isinstance(columns, Mapping) else list(columns or [])
    return client.put_row(table, Row(key_of(key), cells), condition, **options)


def update(
    client: OTSClient, table: str, key: Any, changes: dict[str, Any], condition: Any = IGNORE, **options: Any
) -> Any:
    """UpdateRow, with the changes as the SDK takes them. Returns (consumed, row)."""
    return client.update_row(table, Row(key_of(key), changes), condition, **options)


def delete(client: OTSClient, table: str, key: Any, condition: Any = IGNORE, **options: Any) -> Any:
    return client.delete_row(table, Row(key_of(key)), condition, **options)


def fetch(client: OTSClient, table: str, key: Any, **options: Any) -> Row | None:
    return client.get_row(table, key_of(key), **options)[1]


def values(row: Row | None) -> dict[str, Any] | None:
    """A row's newest values by column name; None when there is no row."""
    if row is None:
        return None
    found: dict[str, Any] = {}
    for name, value, _ in row.attribute_columns or []:
        found.setdefault(name, value)
    return found


def cells(row: Row | None) -> list[tuple[str, Any, int]] | None:
    return None if row is None else [tuple(cell) for cell in row.attribute_columns or []]


def get(client: OTSClient, table: str, key: Any, **options: Any) -> dict[str, Any] | None:
    return values(fetch(client, table, key, **options))


# Ranges


@dataclass
class Page:
    consumed: CapacityUnit
    next_key: Key | None
    rows: list[Row]

    @property
    def keys(self) -> list[Any]:
        """Each row's key: the value, for a key of one column, else a tuple of values."""
        return [plain_key(row.primary_key) for row in self.rows]


def plain_key(key: Key) -> Any:
    found = tuple(bytes(value) if isinstance(value, bytearray) else value for _, value in key)
    return found[0] if len(found) == 1 else found


def page(
    client: OTSClient,
    table: str,
    start: Any = INF_MIN,
    end: Any = INF_MAX,
    direction: str = "FORWARD",
    **options: Any,
) -> Page:
    consumed, next_key, rows, _ = client.get_range(table, direction, key_of(start), key_of(end), **options)
    return Page(consumed, [tuple(column) for column in next_key] if next_key else None, rows)


def every(client: OTSClient, table: str, names: Sequence[str] = ("pk",), **options: Any) -> Page:
    """The first page of a whole table, whose key columns are named."""
    return page(client, table, [(n, INF_MIN) for n in names], [(n, INF_MAX) for n in names], **options)


# Batches


def put_item(key: Any, columns: Any = None, condition: Any = None, return_type: Any = None) -> PutRowItem:
    found = list(columns.items()) if isinstance(columns, Mapping) else list(columns or [])
    return PutRowItem(Row(key_of(key), found), condition, return_type)


def update_item(key: Any, changes: dict[str, Any], condition: Any = None, return_type: Any = None) -> UpdateRowItem:
    return UpdateRowItem(Row(key_of(key), changes), condition, return_type)


def delete_item(key: Any, condition: Any = None, return_type: Any = None) -> DeleteRowItem:
    return DeleteRowItem(Row(key_of(key)), condition, return_type)


def write(client: OTSClient, items: Mapping[str, Sequence[Any]], transaction_id: str | None = None) -> Any:
    request = BatchWriteRowRequest()
    for table, rows in items.items():
        request.add(TableInBatchWriteRowItem(table, list(rows)))
    if transaction_id is not None:
        request.set_transaction_id(transaction_id)
    return client.batch_write_row(request)


def write_results(response: Any) -> list[Any]:
    """All row results of one written table, in the order of the request."""
    found = [
        row
        for tables in (response.table_of_put, response.table_of_update, response.table_of_delete)
        for rows in tables.values()
        for row in rows
    ]
    return sorted(found, key=lambda row: row.index)


def read(client: OTSClient, table: str, keys: Sequence[Any], *, max_version: int | None = 1, **options: Any) -> Any:
    request = BatchGetRowRequest()
    request.add(TableInBatchGetRowItem(table, [key_of(key) for key in keys], max_version=max_version, **options))
    return client.batch_get_row(request).get_result_by_table(table)


# Hand-made requests


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> tuple[str, str]:
        found = pb.Error()
        found.ParseFromString(self.body)
        return found.code, found.message


def request_headers(client: OTSClient, api: str, body: bytes) -> dict[str, str]:
    """The headers that the client itself would send, signed."""
    context = RequestContext(client.credentials_provider.get_credentials())
    return dict(client.protocol._make_request_headers(body, "/" + api, client._signer, context))


def sign(client: OTSClient, api: str, headers: Mapping[str, str]) -> dict[str, str]:
    """These headers, signed again by the client's signer."""
    found = {k: v for k, v in headers.items() if not k.startswith("x-ots-signature")}
    context = RequestContext(client.credentials_provider.get_credentials())
    client._signer.make_request_signature_and_add_headers("/" + api, found, context)
    return found


def send(client: OTSClient, api: str, body: bytes | Message, headers: Mapping[str, str] | None = None) -> Answer:
    """Sends a request as it is through the client's connection."""
    data = body if isinstance(body, bytes) else body.SerializePartialToString()
    found = dict(headers) if headers is not None else request_headers(client, api, data)
    status, _, answer_headers, answer = client.connection.send_receive("/" + api, found, data)
    return Answer(status, {k.lower(): v for k, v in dict(answer_headers).items()}, bytes(answer))


def expect(answer: Answer, status: int, code: str, message: str) -> None:
    assert (answer.status, *answer.error) == (status, code, message)


def refuse(
    client: OTSClient, api: str, body: bytes | Message, message: str | re.Pattern[str], code: str = INVALID
) -> None:
    """Sends a hand-made request and expects it to be refused so."""
    answer = send(client, api, body)
    check_error(*answer.error, code, message)
    assert answer.status == STATUS[code]


def accept(client: OTSClient, api: str, body: bytes | Message) -> bytes:
    """Sends a hand-made request and expects success."""
    answer = send(client, api, body)
    assert answer.status == 200, answer.error
    return answer.body


def raw_put(
    table: str,
    key: Sequence[plain.Cell],
    attributes: Sequence[plain.Cell] = (),
    expectation: int = pb.IGNORE,
    **options: Any,
) -> pb.PutRowRequest:
    return pb.PutRowRequest(
        table_name=table,
        row=plain.row(key, attributes, **options),
        condition=pb.Condition(row_existence=expectation),
    )


def raw_update(
    table: str, key: Sequence[plain.Cell], attributes: Sequence[plain.Cell] = (), **options: Any
) -> pb.UpdateRowRequest:
    return pb.UpdateRowRequest(
        table_name=table,
        row_change=plain.row(key, attributes, **options),
        condition=pb.Condition(row_existence=pb.IGNORE),
    )


def raw_delete(
    table: str,
    key: Sequence[plain.Cell],
    attributes: Sequence[plain.Cell] = (),
    *,
    delete_marker: bool = True,
    **options: Any,
) -> pb.DeleteRowRequest:
    return pb.DeleteRowRequest(
        table_name=table,
        primary_key=plain.row(key, attributes, delete_marker=delete_marker, **options),
        condition=pb.Condition(row_existence=pb.IGNORE),
    )


def raw_get(table: str, key: Sequence[plain.Cell], **fields: Any) -> pb.GetRowRequest:
    fields.setdefault("max_versions", 1)
    fields = {name: value for name, value in fields.items() if value is not None}
    return pb.GetRowRequest(table_name=table, primary_key=plain.row(key), **fields)


def raw_range(table: str, start: Sequence[plain.Cell], end: Sequence[plain.Cell], **fields: Any) -> pb.GetRangeRequest:
    fields.setdefault("max_versions", 1)
    fields.setdefault("direction", pb.FORWARD)
    fields = {name: value for name, value in fields.items() if value is not None}
    return pb.GetRangeRequest(
        table_name=table,
        inclusive_start_primary_key=plain.row(start),
        exclusive_end_primary_key=plain.row(end),
        **fields,
    )


def single_filter(name: str = "a", value: bytes = b"\x00" + bytes(8), comparator: int = filter_pb.CT_EQUAL) -> bytes:
    return filter_pb.SingleColumnValueFilter(
        comparator=comparator,
        column_name=name,
        column_value=value,
        filter_if_missing=True,
        latest_version_only=True,
    ).SerializeToString()
