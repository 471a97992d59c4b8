"""JSON that gives back what it was given: same values, same types.

JSON itself holds `None`, `bool`, `str`, lists, dicts with `str` keys, integers of 64 bits and finite floats.
Everything else is written as a dict with one key, its *tag*: `(1, 2)` becomes `{"$py:tuple": [1, 2]}`. A dict
that looks like a tag itself is written as one too, so nothing is ever mistaken. Most values need no tag, and
then text and time are those of plain `orjson`.

Nothing is converted to something similar: a value of an unknown type, a subclass of a known one among them,
is refused with the path to it. Only `message.text` of LangChain is stored as the str that it stands for.
Nothing is imported, called or unpickled because stored text says so: besides the types of this module, only
classes that the caller passes as `types` are restored.
"""

from __future__ import annotations

import base64
import collections
import dataclasses
import datetime as dt
import enum
import io
import math
import re
import uuid
import zoneinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import orjson

from langchain_tablestore_memory.core.object_state import (
    core_class,
    core_label,
    dataclass_state,
    is_core_text,
    is_restorable,
    labels_of,
    model_state,
    restore_dataclass,
    restore_model,
)
from langchain_tablestore_memory.errors import InvalidArgumentError, StoredDataError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    import numpy as np
    from pydantic import BaseModel

_TAG = "$py:"
_QUOTED_TAG = f'"{_TAG}'

DAMAGED = "Another program changed it: write it again, or delete it."
"""Advice for stored text that this package cannot have written."""

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

# orjson writes at most 254 levels. The rest is room for the tag of the innermost value.
_MAX_DEPTH = 248


def dumps(value: Any, *, types: Collection[type] | None = None, name: str = "value") -> str:
    """Write a value as JSON text that `loads` reads back to an equal value of the same type.

    Kept are JSON's own types, `tuple`, `set`, `frozenset`, `bytes`, `bytearray`, `complex`, integers of any
    size, NaN and infinities, dicts with keys of any of these types, `OrderedDict`, `deque` without a length
    limit, `Decimal`, `UUID`, `date`, `time`, `datetime` and `timedelta` (zones: `datetime.timezone` and
    `zoneinfo`), numpy arrays and scalars, LangChain documents and messages, and objects of the classes in
    `types`.

    Args:
        value: What to write.
        types: Dataclasses, pydantic models and enums of yours that may occur in it. `None` means that there
            is no way of naming any, which changes only the advice given in an error.
        name: What `value` is called in an error.

    Raises:
        InvalidArgumentError: Something in it cannot be kept exactly. The message holds its path and type.
    """
    labels = labels_of(types or ())
    try:
        packed = _Packer(labels).pack(value, _MAX_DEPTH)
    except _RefusedError as error:
        raise _refusal(error, name, allow_types=types is not None) from None
    except RecursionError:
        raise InvalidArgumentError(f"{name} {_TOO_DEEP}") from None
    try:
        return orjson.dumps(packed).decode()
    except orjson.JSONEncodeError:
        # Only text that is no UTF-8 is left to be refused; look for it where time does not matter.
        try:
            _Packer(labels, check_text=True).pack(value, _MAX_DEPTH)
        except _RefusedError as error:
            raise _refusal(error, name, allow_types=types is not None) from None
        raise


def loads(text: str, *, types: Collection[type] = (), name: str = "value") -> Any:
    """Read what `dumps` wrote.

    Args:
        text: The JSON text.
        types: The classes given to `dumps`; one that the text needs and that is not here is an error.
        name: What the text is called in an error.

    Raises:
        StoredDataError: The text is not JSON, or has tags that cannot be read.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise StoredDataError(f"{name} is not valid JSON. {DAMAGED}") from None
    if _QUOTED_TAG not in text:
        return value
    try:
        return _Unpacker({label: cls for cls, label in labels_of(types).items()}).unpack(value)
    except StoredDataError as error:
        raise StoredDataError(f"{name} {error}") from None
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        raise StoredDataError(
            f"{name} holds a tagged value that cannot be read ({type(error).__name__}). {DAMAGED}"
        ) from None


# --- Refusing -----------------------------------------------------------------------------------------------

_MAX_STEPS = 8
_TOO_DEEP = f"contains itself, or is nested more than {_MAX_DEPTH} levels deep."


class _RefusedError(Exception):
    """A value that cannot be written; collects its path on the way up."""

    def __init__(self, reason: str, *, unknown: type | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unknown = unknown
        self.path: list[str] = []

    def within(self, step: str) -> _RefusedError:
        self.path.append(step)
        return self


def _refusal(error: _RefusedError, name: str, *, allow_types: bool) -> InvalidArgumentError:
    steps = error.path[::-1]
    where = name + "".join(steps if len(steps) <= _MAX_STEPS else [*steps[:_MAX_STEPS], " and deeper"])
    if error.unknown is None:
        return InvalidArgumentError(f"{where} {error.reason}")
    cls = error.unknown
    if issubclass(cls, enum.Enum):
        advice = "Store its value instead"
    elif (base := next((base for base in cls.__mro__ if base in _UNTAGGED or base in _PACKERS), None)) is not None:
        advice = f"Convert it to a plain {base.__name__}"
    else:
        advice = "Convert it to text, numbers, bytes, lists and dicts"
    if allow_types and is_restorable(cls):
        advice += f", or allow its class by artifact_types=[{cls.__name__}]"
    return InvalidArgumentError(
        f"{where} is of type {cls.__module__}.{cls.__qualname__}, which cannot be stored exactly. {advice}."
    )


def _step(key: Any) -> str:
    return f"[{key!r}]" if isinstance(key, str | int) else f"[a key of type {type(key).__name__}]"


# --- Writing ------------------------------------------------------------------------------------------------

# Types that are packed without a tag, where their values allow it.
_UNTAGGED = (str, int, float, bool, type(None), dict, list)


_STR_ONLY = frozenset({str})


class _Packer:
    """Turns a value into what orjson writes exactly."""

    __slots__ = ("check_text", "labels")

    def __init__(self, labels: Mapping[type, str], *, check_text: bool = False) -> None:
        self.labels = labels
        self.check_text = check_text

    def pack(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            if self.check_text:
                check_text(value)
            return value
        if kind is bool or value is None:
            return value
        if kind is int:
            return value if INT64_MIN <= value <= INT64_MAX else {f"{_TAG}int": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {f"{_TAG}float": repr(value)}
        if depth <= 0:
            raise _RefusedError(_TOO_DEEP)
        if kind is dict:
            return self._pack_dict(value, depth)
        if kind is list:
            return self.pack_items(value, depth)
        packer = _PACKERS.get(kind)
        if packer is not None:
            tag, pack = packer
            return {tag: pack(self, value, depth - 1)}
        return self._pack_object(value, depth - 1)

    def _pack_dict(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        if not _STR_ONLY.issuperset(map(type, value)) or (len(value) == 1 and next(iter(value)).startswith(_TAG)):
            return {f"{_TAG}dict": self.pack_pairs(value, depth - 1)}
        packed = {}
        key = ""
        try:
            for key, item in value.items():
                packed[key] = self.pack(item, depth - 1)
        except _RefusedError as error:
            raise error.within(_step(key)) from None
        if self.check_text:
            for key in packed:
                check_text(key, "has a key that")
        return packed

    def pack_items(self, values: Iterable[Any], depth: int) -> list[Any]:
        packed: list[Any] = []
        try:
            for item in values:
                packed.append(self.pack(item, depth - 1))  # noqa: PERF401 - a refusal names the index
        except _RefusedError as error:
            raise error.within(f"[{len(packed)}]") from None
        return packed

    def pack_members(self, values: Iterable[Any], depth: int) -> list[Any]:
        try:
            return [self.pack(item, depth - 1) for item in values]
        except _RefusedError as error:
            raise error.within("[a member]") from None

    def pack_pairs(self, value: Mapping[Any, Any], depth: int) -> list[list[Any]]:
        pairs = []
        key: Any = ""
        try:
            for key, item in value.items():
                pairs.append([self.pack(key, depth - 2), self.pack(item, depth - 2)])
        except _RefusedError as error:
            raise error.within(_step(key)) from None
        return pairs

    def pack_fields(self, fields: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """Fields of an object: never mistaken for a tag, because their names are identifiers."""
        packed = {}
        name = ""
        try:
            for name, item in fields.items():
                packed[name] = self.pack(item, depth - 1)
        except _RefusedError as error:
            raise error.within(f".{name}") from None
        return packed

    def _pack_object(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if is_core_text(kind):
            return self.pack(str(value), depth)
        if kind.__module__.partition(".")[0] == "numpy":
            return _pack_numpy(value)
        label = self.labels.get(kind) or core_label(kind)
        if label is None:
            raise _RefusedError("", unknown=kind)
        if isinstance(value, enum.Enum):
            if value.name not in kind.__members__:
                raise _RefusedError("is a combination of flags, which cannot be stored. Store its value instead.")
            return {f"{_TAG}enum": [label, value.name]}
        if dataclasses.is_dataclass(value):
            fields, lost = dataclass_state(value)
            if lost:
                raise _RefusedError(f"has attributes that are no fields of its dataclass and would be lost: {lost}.")
            return {f"{_TAG}object": [label, self.pack_fields(fields, depth - 1)]}
        fields, extra, private = model_state(value)
        state = [label, self.pack_fields(fields, depth - 1)]
        if extra or private:
            state += [self.pack(extra, depth - 1), self.pack_fields(private, depth - 1)]
        return {f"{_TAG}object": state}


def check_text(text: str, subject: str = "") -> None:
    """Refuse text that UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        reason = f"has a lone surrogate at position {error.start}, which UTF-8 cannot hold. Remove or replace it."
        raise _RefusedError(f"{subject} {reason}".strip()) from None


def _pack_bytes(_: _Packer, value: bytes | bytearray, __: int) -> str:
    return base64.b64encode(value).decode()


def _pack_deque(packer: _Packer, value: collections.deque[Any], depth: int) -> list[Any]:
    if value.maxlen is not None:
        raise _RefusedError("is a deque with a length limit, which cannot be stored. Convert it to a list.")
    return packer.pack_items(value, depth)


def _pack_zone(zone: dt.tzinfo | None) -> Any:
    match zone:
        case None:
            return None
        case zoneinfo.ZoneInfo(key=str(key)) if type(zone) is zoneinfo.ZoneInfo:
            return key
        case dt.timezone():
            offset = zone.utcoffset(None)
            name = zone.tzname(None)
            parts = [offset.days, offset.seconds, offset.microseconds]
            return parts if name == dt.timezone(offset).tzname(None) else [*parts, name]
    raise _RefusedError(
        f"has a time zone of type {type(zone).__module__}.{type(zone).__qualname__}, which cannot be stored. "
        "Use datetime.timezone or zoneinfo.ZoneInfo(name)."
    )


def _pack_moment(_: _Packer, value: dt.datetime | dt.time, __: int) -> list[Any]:
    return [value.replace(tzinfo=None).isoformat(), value.fold, _pack_zone(value.tzinfo)]


def _pack_uuid(_: _Packer, value: uuid.UUID, __: int) -> str:
    return value.hex


_PACKERS: dict[type, tuple[str, Callable[[_Packer, Any, int], Any]]] = {
    tuple: (f"{_TAG}tuple", _Packer.pack_items),
    set: (f"{_TAG}set", _Packer.pack_members),
    frozenset: (f"{_TAG}frozenset", _Packer.pack_members),
    bytes: (f"{_TAG}bytes", _pack_bytes),
    bytearray: (f"{_TAG}bytearray", _pack_bytes),
    complex: (f"{_TAG}complex", lambda _, value, __: [repr(value.real), repr(value.imag)]),
    collections.OrderedDict: (f"{_TAG}ordereddict", _Packer.pack_pairs),
    collections.deque: (f"{_TAG}deque", _pack_deque),
    Decimal: (f"{_TAG}decimal", lambda _, value, __: str(value)),
    uuid.UUID: (f"{_TAG}uuid", _pack_uuid),
    dt.datetime: (f"{_TAG}datetime", _pack_moment),
    dt.time: (f"{_TAG}time", _pack_moment),
    dt.date: (f"{_TAG}date", lambda _, value, __: value.isoformat()),
    dt.timedelta: (f"{_TAG}timedelta", lambda _, value, __: [value.days, value.seconds, value.microseconds]),
}


def _pack_numpy(value: Any) -> dict[str, Any]:
    import numpy as np  # noqa: PLC0415 - costs 0.1 s, and a value of its own has loaded it

    kind: type = type(value)
    if kind is not np.ndarray and not isinstance(value, np.generic):
        raise _RefusedError("", unknown=kind)
    if not _is_portable(value.dtype):
        raise _RefusedError(f"is a numpy value of dtype {value.dtype}, which cannot be stored. Convert it to a list.")
    array = np.asarray(value)
    if isinstance(value, np.character) and array[()] != value:
        raise _RefusedError(
            "is numpy text that ends in NUL, which cannot be stored. Convert it to a plain str or bytes."
        )
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    tag = f"{_TAG}ndarray" if kind is np.ndarray else f"{_TAG}npscalar"
    return {tag: base64.b64encode(file.getvalue()).decode()}


def _is_portable(dtype: np.dtype[Any]) -> bool:
    """Whether numpy's file format gives this dtype back; it writes types of other packages as raw bytes."""
    import numpy as np  # noqa: PLC0415 - as above

    if dtype.hasobject or dtype.kind == "T" or dtype.metadata:
        return False
    return bool(np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype)) == dtype)


# --- Reading ------------------------------------------------------------------------------------------------


class _Unpacker:
    """Turns what orjson read into the value that was written."""

    __slots__ = ("classes",)

    def __init__(self, classes: Mapping[str, type]) -> None:
        self.classes = classes

    def unpack(self, value: Any) -> Any:
        if type(value) is dict:
            if len(value) == 1:
                (key,) = value
                if key.startswith(_TAG):
                    return self._unpack_tag(key, value[key])
            return {key: self.unpack(item) for key, item in value.items()}
        if type(value) is list:
            return [self.unpack(item) for item in value]
        return value

    def _unpack_tag(self, tag: str, payload: Any) -> Any:
        unpacker = _UNPACKERS.get(tag)
        if unpacker is None:
            raise StoredDataError(
                "holds a tagged value of an unknown kind: it was written by a newer version of this package, "
                "which has to be installed to read it."
            )
        return unpacker(self, payload)

    def unpack_pairs(self, payload: Any) -> list[tuple[Any, Any]]:
        return [(self.unpack(key), self.unpack(item)) for key, item in payload]

    def class_called(self, label: str) -> type:
        cls = self.classes.get(label) or core_class(label)
        if cls is None:
            shown = label if re.fullmatch(r"[\w.:<>\[\], ]{1,200}", label) else "an unreadable name"
            raise StoredDataError(
                f"holds an object of the class {shown}, which is not among the allowed ones. "
                "Pass the class in `artifact_types`."
            )
        return cls

    def unpack_object(self, payload: Any) -> Any:
        cls = self.class_called(payload[0])
        fields = {name: self.unpack(item) for name, item in payload[1].items()}
        if dataclasses.is_dataclass(cls):
            return restore_dataclass(cls, fields)
        extra, private = payload[2:] or ({}, {})
        return restore_model(
            cast("type[BaseModel]", cls),
            fields,
            self.unpack(extra),
            {name: self.unpack(item) for name, item in private.items()},
        )

    def unpack_enum(self, payload: Any) -> Any:
        label, name = payload
        return cast("type[enum.Enum]", self.class_called(label))[name]


def _unpack_zone(payload: Any) -> dt.tzinfo | None:
    match payload:
        case None:
            return None
        case str(key):
            return zoneinfo.ZoneInfo(key)
        case [days, seconds, microseconds, *name]:
            return dt.timezone(dt.timedelta(days, seconds, microseconds), *name)
    raise ValueError(payload)


def _unpack_datetime(_: _Unpacker, payload: Any) -> dt.datetime:
    text, fold, zone = payload
    return dt.datetime.fromisoformat(text).replace(fold=fold, tzinfo=_unpack_zone(zone))


def _unpack_time(_: _Unpacker, payload: Any) -> dt.time:
    text, fold, zone = payload
    return dt.time.fromisoformat(text).replace(fold=fold, tzinfo=_unpack_zone(zone))


def _unpack_array(_: _Unpacker, payload: str) -> np.ndarray[Any, Any]:
    import numpy as np  # noqa: PLC0415 - costs 0.1 s, for those who store arrays

    return cast(
        "np.ndarray[Any, Any]",
        np.lib.format.read_array(io.BytesIO(_unpack_bytes(_, payload)), allow_pickle=False),
    )


def _unpack_bytes(_: _Unpacker, payload: str) -> bytes:
    return base64.b64decode(payload, validate=True)


_UNPACKERS: dict[str, Callable[[_Unpacker, Any], Any]] = {
    f"{_TAG}dict": lambda unpacker, payload: dict(unpacker.unpack_pairs(payload)),
    f"{_TAG}ordereddict": lambda unpacker, payload: collections.OrderedDict(unpacker.unpack_pairs(payload)),
    f"{_TAG}tuple": lambda unpacker, payload: tuple(unpacker.unpack(payload)),
    f"{_TAG}set": lambda unpacker, payload: set(unpacker.unpack(payload)),
    f"{_TAG}frozenset": lambda unpacker, payload: frozenset(unpacker.unpack(payload)),
    f"{_TAG}deque": lambda unpacker, payload: collections.deque(unpacker.unpack(payload)),
    f"{_TAG}int": lambda _, payload: int(payload, 16),
    f"{_TAG}float": lambda _, payload: float(payload),
    f"{_TAG}complex": lambda _, payload: complex(*map(float, payload)),
    f"{_TAG}bytes": _unpack_bytes,
    f"{_TAG}bytearray": lambda unpacker, payload: bytearray(_unpack_bytes(unpacker, payload)),
    f"{_TAG}decimal": lambda _, payload: Decimal(payload),
    f"{_TAG}uuid": lambda _, payload: uuid.UUID(hex=payload),
    f"{_TAG}datetime": _unpack_datetime,
    f"{_TAG}time": _unpack_time,
    f"{_TAG}date": lambda _, payload: dt.date.fromisoformat(payload),
    f"{_TAG}timedelta": lambda _, payload: dt.timedelta(*payload),
    f"{_TAG}ndarray": _unpack_array,
    f"{_TAG}npscalar": lambda unpacker, payload: _unpack_array(unpacker, payload)[()],
    f"{_TAG}object": _Unpacker.unpack_object,
    f"{_TAG}enum": _Unpacker.unpack_enum,
}
