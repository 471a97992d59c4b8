"""Fields of search indexes: how they are declared, what they are on the wire, and what column a value becomes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from tablestore import FieldSchema, VectorDataType, VectorMetricType, VectorOptions
from tablestore import FieldType as WireType

from langchain_tablestore_memory.core.vectors import MAX_DIMENSION
from langchain_tablestore_memory.errors import ConfigurationError, InvalidArgumentError
from langchain_tablestore_memory.filters import FieldKind, FieldType
from langchain_tablestore_memory.filters.numbers import INT64_MAX, INT64_MIN

if TYPE_CHECKING:
    from langchain_tablestore_memory.core.columns import ColumnValue

Filterable = Mapping[str, Any] | Sequence[FieldSchema]
"""Declared fields: names with types (`str`, `int`, `float`, `bool`, lists of them, ``"text"``, or a
`tablestore.FieldSchema`), or a list of `tablestore.FieldSchema`."""

MAX_LIST = 256
"""Elements of a list that is indexed (limits of the service)."""

_MAX_KEYWORD_BYTES = 4096
"""Bytes of a text that is indexed as a whole (limits of the service)."""

_WIRE_TYPES = {
    WireType.KEYWORD: FieldType.KEYWORD,
    WireType.TEXT: FieldType.TEXT,
    WireType.LONG: FieldType.LONG,
    WireType.DOUBLE: FieldType.DOUBLE,
    WireType.BOOLEAN: FieldType.BOOLEAN,
    WireType.VECTOR: FieldType.VECTOR,
}
_DECLARED = {str: WireType.KEYWORD, int: WireType.LONG, float: WireType.DOUBLE, bool: WireType.BOOLEAN}
_METRICS = {
    "cosine": VectorMetricType.VM_COSINE,
    "euclidean": VectorMetricType.VM_EUCLIDEAN,
    "dot_product": VectorMetricType.VM_DOT_PRODUCT,
}


def declared_fields(filterable: Filterable | None, *, analyzer: str) -> list[FieldSchema]:
    """The fields that a caller declares.

    Args:
        filterable: What was declared.
        analyzer: How fields of full text are cut into words.

    Raises:
        ConfigurationError: A type is none of those that can be declared; names the field and lists the types.
    """
    if filterable is None:
        return []
    if isinstance(filterable, Mapping):
        return [_declared_field(name, declared, analyzer) for name, declared in filterable.items()]
    if isinstance(filterable, list | tuple) and all(isinstance(field, FieldSchema) for field in filterable):
        return list(filterable)
    raise ConfigurationError(
        f"filterable is a {type(filterable).__name__}. Give names with types, such as "
        '{"year": int, "tags": list[str]}, or a list of tablestore.FieldSchema.'
    )


def _declared_field(name: Any, declared: Any, analyzer: str) -> FieldSchema:
    if isinstance(declared, FieldSchema):
        if declared.field_name != name:
            raise ConfigurationError(
                f"filterable[{name!r}] is a FieldSchema of {declared.field_name!r}. Name it alike."
            )
        return declared
    if declared == "text":
        return FieldSchema(name, WireType.TEXT, analyzer=analyzer)
    if isinstance(declared, type) and declared in _DECLARED:
        return FieldSchema(name, _DECLARED[declared], enable_sort_and_agg=True)
    element = getattr(declared, "__args__", ())
    if getattr(declared, "__origin__", None) is list and element and element[0] in _DECLARED:
        return FieldSchema(name, _DECLARED[element[0]], is_array=True)
    raise ConfigurationError(
        f"filterable[{name!r}] is {declared!r}. Give str, int, float, bool, a list of one of these such as list[str], "
        '"text" for full text, or a tablestore.FieldSchema.'
    )


def vector_field(name: str, dimension: int, metric: str | VectorMetricType) -> FieldSchema:
    """The field of embeddings.

    Raises:
        ConfigurationError: The dimension or the metric cannot be.
    """
    if type(dimension) is not int or not 1 <= dimension <= MAX_DIMENSION:
        raise ConfigurationError(f"The vector dimension is {dimension!r}. Give an int from 1 to {MAX_DIMENSION}.")
    options = VectorOptions(VectorDataType.VD_FLOAT_32, metric_type(metric), dimension)
    return FieldSchema(name, WireType.VECTOR, vector_options=options)


def metric_type(metric: str | VectorMetricType) -> VectorMetricType:
    """The metric, by its short name or as the SDK names it.

    Raises:
        ConfigurationError: There is no such metric.
    """
    if isinstance(metric, VectorMetricType):
        return metric
    if metric not in _METRICS:
        raise ConfigurationError(f"The vector metric is {metric!r}. Give one of {', '.join(map(repr, _METRICS))}.")
    return _METRICS[metric]


def metric_name(metric: int) -> str:
    """The short name of a metric."""
    return next(name for name, value in _METRICS.items() if value == metric)


def kind_of(field: FieldSchema) -> FieldKind:
    """What filters may ask of a field."""
    if field.index is False:
        return FieldKind(FieldType.OTHER, bool(field.is_array))
    return FieldKind(_WIRE_TYPES.get(field.field_type, FieldType.OTHER), bool(field.is_array))


def searchable_form(kind: FieldKind, value: Any, *, what: str) -> ColumnValue | None:
    """The column by which a value of metadata is found; None where the field's type cannot hold the value.

    A whole number becomes what the field holds, integer or double, so that filters compare numbers as numbers. Lists
    become JSON arrays, without the elements that the field's type cannot hold.

    Args:
        kind: What the field holds.
        value: The value.
        what: What it is called in errors.

    Raises:
        InvalidArgumentError: A list is longer than the service indexes, which would hide it from searches.
    """
    if not kind.is_list:
        return _scalar_form(kind.type, value)
    if not isinstance(value, list | tuple | set | frozenset):
        return None
    if len(value) > MAX_LIST:
        raise InvalidArgumentError(f"{what} has {len(value)} elements. A field of searches holds at most {MAX_LIST}.")
    elements = [
        form
        for element in value
        if (form := _scalar_form(kind.type, element)) is not None and not _is_too_long(kind.type, form)
    ]
    return orjson.dumps(sorted(elements) if isinstance(value, set | frozenset) else elements).decode()


def _scalar_form(kind: FieldType, value: Any) -> str | int | float | bool | None:
    match kind:
        case FieldType.KEYWORD | FieldType.TEXT if type(value) is str:
            return str(value)
        case FieldType.BOOLEAN if type(value) is bool:
            return bool(value)
        case FieldType.LONG if type(value) is int or (type(value) is float and value.is_integer()):
            return int(value) if INT64_MIN <= value <= INT64_MAX else None
        case FieldType.DOUBLE if type(value) is float:
            return float(value) if math.isfinite(value) else None
        case FieldType.DOUBLE if type(value) is int:
            # A number that no double equals is equal to none in a filter either.
            return float(value) if _fits_double(value) else None
        case FieldType.OTHER if type(value) in {str, int, float, bool}:
            # What it means is between the caller and the service: a date, a position, ...
            return value  # type: ignore[no-any-return]
    return None


def _is_too_long(kind: FieldType, form: str | float) -> bool:
    """Whether an element would hide the list that it is in."""
    return kind == FieldType.KEYWORD and isinstance(form, str) and len(form.encode()) > _MAX_KEYWORD_BYTES


def _fits_double(value: int) -> bool:
    try:
        return float(value) == value
    except OverflowError:
        return False


def list_from_column(text: Any) -> Any:
    """The list in the column of a list field that another tool wrote; the column's value where it is none."""
    try:
        value = orjson.loads(text)
    except (TypeError, ValueError):  # no text, or no JSON
        return text
    return value if isinstance(value, list) else text
