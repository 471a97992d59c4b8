"""What queries compare fields with: values of a request, read as the field's type, and conditions made of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from langchain_tablestore_memory.local.errors import parameter_invalid
from langchain_tablestore_memory.local.messages import search
from langchain_tablestore_memory.local.values import BLOB, check_value, decode_value, is_utf8

from .run import NONE, Condition
from .values import read_date

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_tablestore_memory.local.errors import RequestError

    from .definitions import Field
    from .run import Run

Operand = bool | int | float | str

_BOOLEANS: Final = {"true": 1, "false": 0}
# SQLite compares integers of 64 bits; a bound beyond them is a double.
_INT64: Final = range(-(1 << 63), 1 << 63)


def decode_variant(value: bytes, query_name: str) -> Operand:
    """Decode a value of a query.

    Args:
        value: The encoded value.
        query_name: The query's name, for the message.

    Returns:
        The value.

    Raises:
        RequestError: ``OTSParameterInvalid``: it is no value, or one that no field holds.
    """
    problem = check_value(value)
    if problem is None and value[0] == BLOB:
        problem = "a binary value cannot be searched for."
    if problem is None:
        decoded = decode_value(value)
        if not isinstance(decoded, bytes):
            return decoded
        if is_utf8(value):
            return decoded.decode()
        problem = "a string must be UTF8 encoding."
    raise parameter_invalid(f"[{query_name}] {problem}")


def term_condition(run: Run, field: Field, values: Sequence[Operand], query_name: str) -> Condition:
    """The condition that a field, or an element of it, equals one of some values.

    Args:
        run: The state of the index.
        field: A field that is not TEXT.
        values: The values of the request.
        query_name: The query's name, for messages.

    Returns:
        The condition.

    Raises:
        RequestError: ``OTSParameterInvalid``: a value cannot be one of the field's type.
    """
    operands = tuple(read_operand(field, value, query_name) for value in values)
    if not operands:
        return NONE
    if len(operands) == 1:
        return like(run, field, "{0} = ?", operands)
    return like(run, field, f"{{0}} IN ({', '.join('?' * len(operands))})", operands)


def bound_condition(
    run: Run, field: Field, lower: tuple[Operand, bool] | None, upper: tuple[Operand, bool] | None
) -> Condition:
    """The condition that a field, or an element of it, lies within bounds.

    Args:
        run: The state of the index.
        field: A field that is not TEXT.
        lower: The least value, and whether it is included; None for no bound.
        upper: The greatest value likewise.

    Returns:
        The condition.

    Raises:
        RequestError: ``OTSParameterInvalid``: a bound cannot be a value of the field's type.
    """
    tests: list[str] = ["{0} IS NOT NULL"]
    operands = []
    for bound, operator in ((lower, ">"), (upper, "<")):
        if bound is not None:
            value, included = bound
            tests.append(f"{{0}} {operator}{'=' if included else ''} ?")
            operands.append(read_operand(field, value, "range query"))
    return like(run, field, " AND ".join(tests), tuple(operands))


def like(run: Run, field: Field, test: str, params: tuple[object, ...]) -> Condition:
    """The condition that a field, or an element of an array, meets a test.

    Args:
        run: The state of the index.
        field: A field that is neither TEXT nor VECTOR.
        test: SQL with ``{0}`` for the value.
        params: Its parameters.

    Returns:
        The condition.
    """
    if not field.is_array:
        return Condition(f"({test.format('d.' + run.store.column(field))})", params)
    inner = f"SELECT doc FROM {run.store.values} WHERE field = {field.number} AND {test.format('value')}"  # noqa: S608
    return Condition(f"d.doc IN ({inner})", params)


def read_operand(field: Field, value: Operand, query_name: str) -> int | float | str:
    """Read a value of a request as a field's type.

    Args:
        field: A field that is neither TEXT nor VECTOR.
        value: The value.
        query_name: The query's name, for the message.

    Returns:
        The value as the index holds it.

    Raises:
        RequestError: ``OTSParameterInvalid``: it cannot be one of the field's type.
    """
    found: int | float | str | None = None
    if field.type == search.KEYWORD:
        found = value if isinstance(value, str) else None
    elif field.type == search.BOOLEAN:
        found = int(value) if isinstance(value, bool) else _BOOLEANS.get(value) if isinstance(value, str) else None
    elif isinstance(value, bool):
        found = None
    elif field.type == search.DATE:
        found = _read_date(field, value)
    elif field.type in (search.LONG, search.DOUBLE):
        found = _read_number(value)
    if found is None:
        raise _mismatch(field, value, query_name)
    return found


def _read_number(value: float | str) -> int | float | None:
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                return None
    if isinstance(value, float) and math.isnan(value):
        return None
    return value if isinstance(value, float) or value in _INT64 else float(value)


def _read_date(field: Field, value: float | str) -> int | None:
    if isinstance(value, float):
        return None
    return read_date(field, value)


def _mismatch(field: Field, value: Operand, query_name: str) -> RequestError:
    kind = type(value).__name__
    return parameter_invalid(
        f"[{query_name}] field: {field.name} is a {field.type_name} and cannot be compared with this {kind} value"
    )


def minimum_should_match(message: Any, count: int, default: int) -> int:
    """Read how many clauses must match.

    Args:
        message: A message with both forms of the setting.
        count: How many clauses there are.
        default: What holds where nothing is given.

    Returns:
        The number, 0 for none; more than `count` where it cannot be met.

    Raises:
        RequestError: ``OTSParameterInvalid``: the text is neither a number nor a percentage.
    """
    if message.HasField("new_minimum_should_match"):
        given = message.new_minimum_should_match.strip()
        number = given.removesuffix("%")
        try:
            value = int(number)
        except ValueError:
            raise parameter_invalid(
                f"minimum_should_match [{given}] must be a number such as 2 or -1, or a percentage such as 75%"
            ) from None
        if given.endswith("%"):
            value = int(count * value / 100)
            return max(0, count + value) if number.startswith("-") else value
    elif message.HasField("minimum_should_match"):
        value = message.minimum_should_match
    else:
        return default
    return max(0, count + value) if value < 0 else value


def weight_of(message: Any) -> float:
    """Read what a query's scores are multiplied by.

    Args:
        message: A message with a weight.

    Returns:
        The weight, 1 where none is given.

    Raises:
        RequestError: ``OTSParameterInvalid``: it is negative, infinite or no number.
    """
    weight = message.weight if message.HasField("weight") else 1.0
    if not 0 <= weight < float("inf"):
        raise parameter_invalid(f"weight must be a number of at least 0, not {weight}")
    return float(weight)
