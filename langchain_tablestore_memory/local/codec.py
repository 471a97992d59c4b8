"""Rows in the SDK's requests and answers, without its byte-by-byte Python code.

On some interpreters (CPython 3.12 on Linux) the SDK encodes and decodes with native code. On others its rows cost more
than all that the embedded engine does with them: a checksum of a vector's text alone takes longer than storing it. So
the clients that this package makes encode the rows that they put or update, and the keys of ranges, with the engine's
own functions, and decode search results and batches with the parser in C that the SDK has for its other reads. What
comes out is the same to the last byte; whatever is out of the ordinary is left to the SDK.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from tablestore import decoder, encoder
from tablestore.metadata import (
    INF_MAX,
    INF_MIN,
    Condition,
    ReturnType,
    RowDataItem,
    RowExistenceExpectation,
    SearchResponse,
)

from . import values
from .messages import search, tables
from .plainbuffer import HEADER, encode_requested_cell, encode_row, make_key_cell
from .values import encode_value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .plainbuffer import Cell

    _Encode = Callable[[Any, Any], bytes | None]

_KEY_TYPES: Final = frozenset((str, int))
_COLUMN_TYPES: Final = frozenset((str, int, float, bool, bytearray))
_BOUNDS: Final = {INF_MIN: bytes((values.INF_MIN,)), INF_MAX: bytes((values.INF_MAX,))}
_ENCODER_METHODS: Final = (
    "_encode_get_range",
    "_encode_put_row",
    "_encode_update_row",
    "_make_condition",
    "_make_put_row_item",
    "_make_update_row_item",
)
_DECODER_METHODS: Final = ("_decode_search", "_decode_search_hits", "_parse_capacity_unit", "_parse_get_row_item")
_KNOWN_SDK: Final = all(
    hasattr(owner, name)
    for owner, names in (
        (encoder, ("NATIVE_ENCODER_AVAILABLE",)),
        (encoder.OTSProtoBufferEncoder, _ENCODER_METHODS),
        (decoder, ("NATIVE_DECODER_AVAILABLE", "NATIVE_PARSER_AVAILABLE", "parse_single_row")),
        (decoder.OTSProtoBufferDecoder, _DECODER_METHODS),
    )
    for name in names
)
"""Whether the SDK is built as it was when this was written. Where it is not, it is left as it is: slower, and right."""
_UNCONDITIONAL: Final = Condition(RowExistenceExpectation.IGNORE)


def use_fast_codec(protocol: Any, *, enable_native: bool, native_fallback: bool) -> None:
    """Give an SDK client this codec, as far as it has none in native code.

    Args:
        protocol: The client's ``OTSProtocol``.
        enable_native: As for the client: whether native code may be used at all.
        native_fallback: As for the client.
    """
    if not _KNOWN_SDK:
        return
    options = {"enable_native": enable_native, "native_fallback": native_fallback}
    if not encoder.NATIVE_ENCODER_AVAILABLE:
        protocol.encoder = _Encoder(protocol.encoding, **options)
    if not decoder.NATIVE_DECODER_AVAILABLE and decoder.NATIVE_PARSER_AVAILABLE and enable_native:
        protocol.decoder = _Decoder(protocol.encoding, **options)


def encode_put_row(primary_key: Any, columns: Any) -> bytes | None:
    """Encode a row to put.

    Args:
        primary_key: Names and values.
        columns: Names and values.

    Returns:
        The row as the SDK would encode it; None where that is better asked itself, be it for an error.
    """
    try:
        if type(primary_key) is not list or type(columns) is not list:
            return None
        key = [make_key_cell(*encoded) for encoded in _encode_pairs(primary_key, _KEY_TYPES)]
        cells: Sequence[Cell] = [encode_requested_cell(*encoded) for encoded in _encode_pairs(columns, _COLUMN_TYPES)]
    except _Unusual:
        return None
    return HEADER + encode_row(key, cells)


def encode_update_row(primary_key: Any, changes: Any) -> bytes | None:
    """Encode a row to update, where columns are set and nothing else.

    Args:
        primary_key: Names and values.
        changes: Names and values to set, by the kind of change.

    Returns:
        The row as the SDK would encode it; None where that is better asked itself, be it for an error.
    """
    if type(changes) is not dict or list(changes) != ["PUT"]:
        return None
    columns = changes["PUT"]
    if type(columns) is not list or not columns or not all(type(column) is tuple for column in columns):
        return None
    # Columns to set are written as those of a row to put.
    return encode_put_row(primary_key, columns)


def encode_bound(primary_key: Any) -> bytes | None:
    """Encode an end of a range.

    Args:
        primary_key: Names and values; values may be `INF_MIN` and `INF_MAX`.

    Returns:
        The key as the SDK would encode it; None where that is better asked itself, be it for an error.
    """
    if type(primary_key) is not list:
        return None
    try:
        key = []
        for pair in primary_key:
            if len(pair) == 2 and isinstance(pair[1], type) and pair[1] in _BOUNDS and type(pair[0]) is str:  # noqa: PLR2004
                key.append(make_key_cell(pair[0].encode(), _BOUNDS[pair[1]]))
            else:
                [encoded] = _encode_pairs([pair], _KEY_TYPES)
                key.append(make_key_cell(*encoded))
    except (_Unusual, UnicodeEncodeError):
        return None
    return HEADER + encode_row(key, [])


class _Unusual(Exception):  # noqa: N818 - leaves a row to the SDK
    pass


def _encode_pairs(pairs: list[Any], types: frozenset[type]) -> list[tuple[bytes, bytes]]:
    encoded = []
    for pair in pairs:
        if len(pair) != 2:  # noqa: PLR2004 - a name and a value
            raise _Unusual
        name, value = pair
        if type(value) not in types or type(name) is not str or not name.isascii():
            raise _Unusual
        try:
            encoded.append((name.encode(), encode_value(value)))
        except (struct.error, UnicodeEncodeError):
            raise _Unusual from None
    return encoded


class _Encoder(encoder.OTSProtoBufferEncoder):  # type: ignore[misc]  # the SDK is untyped
    def _make_put_row_item(self, proto: Any, item: Any) -> Any:
        return self._make_item(proto, item, encode_put_row, tables.PUT) or super()._make_put_row_item(proto, item)

    def _make_update_row_item(self, proto: Any, item: Any) -> Any:
        made = self._make_item(proto, item, encode_update_row, tables.UPDATE)
        return made or super()._make_update_row_item(proto, item)

    def _make_item(self, proto: Any, item: Any, encode: _Encode, kind: int) -> Any:
        encoded = encode(item.row.primary_key, item.row.attribute_columns)
        if encoded is None:
            return None
        proto.row_change = encoded
        proto.type = kind
        return self._describe(proto, item.condition, item.return_type)

    def _encode_put_row(self, table_name: Any, row: Any, condition: Any, return_type: Any, transaction_id: Any) -> Any:
        encoded = encode_put_row(row.primary_key, row.attribute_columns)
        if encoded is None or transaction_id is not None or type(table_name) is not str:
            return super()._encode_put_row(table_name, row, condition, return_type, transaction_id)
        proto = tables.PutRowRequest(table_name=table_name, row=encoded)
        return self._describe(proto, condition, return_type)

    def _encode_update_row(
        self, table_name: Any, row: Any, condition: Any, return_type: Any, transaction_id: Any
    ) -> Any:
        encoded = encode_update_row(row.primary_key, row.attribute_columns)
        if encoded is None or transaction_id is not None or type(table_name) is not str:
            return super()._encode_update_row(table_name, row, condition, return_type, transaction_id)
        proto = tables.UpdateRowRequest(table_name=table_name, row_change=encoded)
        return self._describe(proto, condition, return_type)

    def _encode_get_range(self, table_name: Any, direction: Any, start: Any, end: Any, *options: Any) -> Any:
        bounds = encode_bound(start), encode_bound(end)
        if None in bounds:
            return super()._encode_get_range(table_name, direction, start, end, *options)
        proto = super()._encode_get_range(table_name, direction, [], [], *options)
        proto.inclusive_start_primary_key, proto.exclusive_end_primary_key = bounds
        return proto

    def _describe(self, proto: Any, condition: Any, return_type: Any) -> Any:
        self._make_condition(proto.condition, _UNCONDITIONAL if condition is None else condition)
        if return_type == ReturnType.RT_PK:
            proto.return_content.return_type = tables.RT_PK
        return proto


class _Decoder(decoder.OTSProtoBufferDecoder):  # type: ignore[misc]  # the SDK is untyped
    def _decode_search(self, body: bytes, request_id: str) -> tuple[Any, Any]:
        proto = search.SearchResponse.FromString(body)
        if proto.aggs or proto.group_bys or len(proto.search_hits) != len(proto.rows):
            return super()._decode_search(body, request_id)  # type: ignore[no-any-return]
        rows = [decoder.parse_single_row(row) for row in proto.rows]
        hits: list[Any] = []
        self._decode_search_hits(proto.search_hits, rows, hits, request_id)
        response = SearchResponse(rows, [], [], proto.next_token, proto.is_all_succeed, proto.total_hits, hits)
        response.set_request_id(request_id)
        return response, proto

    def _parse_get_row_item(self, proto: Any, table_name: Any) -> list[Any]:
        items = []
        for item in proto:
            if not (item.is_ok and item.row):
                items += super()._parse_get_row_item([item], table_name)
                continue
            consumed = self._parse_capacity_unit(item.consumed.capacity_unit)
            items.append(RowDataItem(True, None, None, table_name, consumed, *decoder.parse_single_row(item.row)))
        return items
