"""Rows in the SDK's requests and answers, without its byte-by-byte Python code.

On some interpreters (CPython 3.12 on Linux) the SDK encodes and decodes with native code. On others its rows cost more
than all that the embedded engine does with them: a checksum of a vector's text alone takes longer than storing it. So
the clients that this package makes encode the rows that they put with the engine's own functions, and decode search
results with the parser in C that the SDK has for its other reads. What comes out is the same to the last byte;
whatever is out of the ordinary is left to the SDK.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from tablestore import decoder, encoder
from tablestore.metadata import Condition, ReturnType, RowExistenceExpectation, SearchResponse

from .messages import search, tables
from .plainbuffer import HEADER, encode_requested_cell, encode_row, make_key_cell
from .values import encode_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .plainbuffer import Cell

_KEY_TYPES: Final = frozenset((str, int))
_COLUMN_TYPES: Final = frozenset((str, int, float, bool))
_KNOWN_SDK: Final = all(
    hasattr(owner, name)
    for owner, names in (
        (encoder, ("NATIVE_ENCODER_AVAILABLE",)),
        (encoder.OTSProtoBufferEncoder, ("_make_put_row_item", "_make_condition")),
        (decoder, ("NATIVE_DECODER_AVAILABLE", "NATIVE_PARSER_AVAILABLE", "parse_single_row")),
        (decoder.OTSProtoBufferDecoder, ("_decode_search", "_decode_search_hits")),
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
    def _make_put_row_item(self, proto: Any, put_row_item: Any) -> Any:
        row = put_row_item.row
        encoded = encode_put_row(row.primary_key, row.attribute_columns)
        if encoded is None:
            return super()._make_put_row_item(proto, put_row_item)
        condition = put_row_item.condition
        self._make_condition(proto.condition, _UNCONDITIONAL if condition is None else condition)
        if put_row_item.return_type == ReturnType.RT_PK:
            proto.return_content.return_type = tables.RT_PK
        proto.row_change = encoded
        proto.type = tables.PUT
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
