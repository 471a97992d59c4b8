"""A plain-Python reading of queries: what each one finds among rows, and what text and vector scores must be.

A query here is a tuple ``(kind, field, argument...)``; `to_sdk` turns it into the SDK's query, `matches` reads it.
"""

from __future__ import annotations

import fnmatch
import json
import math
import re
from datetime import date
from typing import Any

import tablestore
from tablestore import (
    AnalyzerType,
    BoolQuery,
    FieldSchema,
    FieldType,
    MatchAllQuery,
    MatchPhraseQuery,
    MatchQuery,
    PrefixQuery,
    QueryOperator,
    RangeQuery,
    TermQuery,
    TermsQuery,
    WildcardQuery,
)

KINDS = {
    "word": str,
    "number": int,
    "real": float,
    "flag": bool,
    "day": date,
    "text": "text",
    "words": str,
    "numbers": int,
    "reals": float,
    "flags": bool,
    "texts": "text",
}
ARRAYS = ("words", "numbers", "reals", "flags", "texts")
FIELD_TYPES = {
    str: FieldType.KEYWORD,
    int: FieldType.LONG,
    float: FieldType.DOUBLE,
    bool: FieldType.BOOLEAN,
    date: FieldType.DATE,
    "text": FieldType.TEXT,
}


def field_schema(name: str) -> FieldSchema:
    kind = KINDS[name]
    return FieldSchema(
        name,
        FIELD_TYPES[kind],
        is_array=name in ARRAYS or None,
        analyzer=AnalyzerType.SINGLEWORD if kind == "text" else None,
        date_formats=["yyyy-MM-dd"] if kind is date else None,
    )


FIELDS = [field_schema(name) for name in KINDS]


def tokens(text: str) -> list[str]:
    """Section 17, ``single_word``: one token per Chinese character, runs of letters and digits in lower case."""
    return re.findall(r"[\u4e00-\u9fff]|[a-z0-9]+", text.lower())


def indexed(name: str, cell: Any) -> list[Any]:
    """What a row's cell means to a field: its values, none when the cell does not fit (section 16)."""
    kind = KINDS[name]
    if name in ARRAYS:
        if not isinstance(cell, list):
            return []
        found = [_value(kind, part) for part in cell]
        return [] if None in found else found
    value = _value(kind, cell)
    return [] if value is None else [value]


def _value(kind: Any, cell: Any) -> Any:
    if kind is date:
        try:
            return date.fromisoformat(cell) if re.fullmatch(r"\d{4}-\d\d-\d\d", cell) else None
        except (TypeError, ValueError):
            return None
    fits = {str: str, "text": str, int: int, float: float, bool: bool}[kind]
    return cell if type(cell) is fits else None


def to_sdk(query: tuple[Any, ...]) -> tablestore.Query:
    kind, *rest = query
    if kind == "all":
        return MatchAllQuery()
    if kind == "bool":
        must, filters, should, must_not, least = rest
        return BoolQuery(
            [to_sdk(part) for part in must],
            [to_sdk(part) for part in must_not],
            [to_sdk(part) for part in filters],
            [to_sdk(part) for part in should],
            least,
        )
    if kind == "match":
        field, text, operator, least = rest
        return MatchQuery(field, text, least, None if operator is None else QueryOperator[operator])
    if kind == "range":
        field, low, high, with_low, with_high = rest
        return RangeQuery(field, _operand(low), _operand(high), with_low, with_high)
    if kind == "exists":
        return tablestore.ExistsQuery(rest[0])
    field, argument = rest
    if kind == "terms":
        return TermsQuery(field, [_operand(part) for part in argument])
    kinds = {"term": TermQuery, "phrase": MatchPhraseQuery, "prefix": PrefixQuery, "wildcard": WildcardQuery}
    return kinds[kind](field, _operand(argument))


def _operand(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def matches(query: tuple[Any, ...], row: dict[str, Any]) -> bool:
    """Whether a row, as it was written, is found by a query (section 18)."""
    kind, *rest = query
    if kind == "all":
        return True
    if kind == "bool":
        must, filters, should, must_not, least = rest
        if least is None:
            least = 1 if should and not must and not filters else 0
        return (
            all(matches(part, row) for part in must + filters)
            and not any(matches(part, row) for part in must_not)
            and sum(matches(part, row) for part in should) >= least
        )
    field, *arguments = rest
    found = indexed(field, row.get(field))
    if kind == "exists":
        return bool(found)
    if KINDS[field] == "text":
        if kind == "match":
            return _text_matches(found, *arguments)
        if kind == "phrase":
            return _has_phrase(found, tokens(arguments[0]))
        found = [token for text in found for token in tokens(text)]
    return any(_value_matches(kind, value, *arguments) for value in found)


def _text_matches(texts: list[str], text: str, operator: str | None, least: int | None) -> bool:
    # As in Lucene, a word that is asked for twice counts twice.
    asked = tokens(text)
    had = {token for value in texts for token in tokens(value)}
    needed = len(asked) if operator == "AND" else max(1, least or 1)
    return bool(asked) and sum(token in had for token in asked) >= needed


def _has_phrase(texts: list[str], phrase: list[str]) -> bool:
    return any(
        tokens(text)[start : start + len(phrase)] == phrase for text in texts for start in range(len(tokens(text)))
    )


def _value_matches(kind: str, value: Any, *arguments: Any) -> bool:
    if kind == "terms":
        return value in arguments[0]
    if kind == "match":
        return str(value) == arguments[0]
    if kind == "prefix":
        return value.startswith(arguments[0])
    if kind == "wildcard":
        return fnmatch.fnmatchcase(value, arguments[0])
    if kind == "range":
        low, high, with_low, with_high = arguments
        key = value.encode() if isinstance(value, str) else value
        low, high = (bound.encode() if isinstance(bound, str) else bound for bound in (low, high))
        above = low is None or key > low or (with_low and key == low)
        below = high is None or key < high or (with_high and key == high)
        return above and below
    return value == arguments[0]


# Scores


class Corpus:
    """Lucene's older BM25 (section 19) over analysed texts; a document without text is None."""

    def __init__(self, documents: dict[Any, list[str] | None], k1: float = 1.2, b: float = 0.75) -> None:
        self.documents = {key: found for key, found in documents.items() if found is not None}
        self.k1, self.b = k1, b
        total = sum(len(found) for found in self.documents.values())
        self.average = total / len(self.documents) if self.documents else 0.0

    def idf(self, term: str) -> float:
        holders = sum(term in found for found in self.documents.values())
        return math.log(1 + (len(self.documents) - holders + 0.5) / (holders + 0.5))

    def saturated(self, frequency: float, length: int) -> float:
        share = self.k1 * (1 - self.b + self.b * length / self.average)
        return frequency * (self.k1 + 1) / (frequency + share)

    def scores(self, terms: list[str]) -> dict[Any, float]:
        """Each document that has one of these terms; one that is there twice counts twice."""
        return {
            key: sum(self.idf(term) * self.saturated(found.count(term), len(found)) for term in terms if term in found)
            for key, found in self.documents.items()
            if set(terms) & set(found)
        }


def float32(vector: list[float]) -> list[float]:
    import struct

    return list(struct.unpack(f"<{len(vector)}f", struct.pack(f"<{len(vector)}f", *vector)))


def vector_score(metric: str, left: list[float], right: list[float]) -> float:
    """Section 20, on the 32-bit values."""
    left, right = float32(left), float32(right)
    product = math.fsum(a * b for a, b in zip(left, right, strict=True))
    if metric == "COSINE":
        return (1 + product / (math.hypot(*left) * math.hypot(*right))) / 2
    if metric == "EUCLIDEAN":
        return 1 / (1 + math.fsum((a - b) ** 2 for a, b in zip(left, right, strict=True)))
    return max(0.0, (1 + product) / 2)


def stored(row: dict[str, Any]) -> dict[str, Any]:
    """A row's columns as they are stored: lists as JSON, missing ones left out."""
    return {k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items() if v is not None}
