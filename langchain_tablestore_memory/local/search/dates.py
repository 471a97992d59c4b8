"""Dates in an index: text and numbers in the formats of a DATE field, as nanoseconds since 1970.

Patterns are made of the letters that the service documents ("Date data type", Tablestore), which mean what they mean in
Java's ``DateTimeFormatter``. A time without an offset is read as Beijing time, as the documentation's example shows.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from langchain_tablestore_memory.local.errors import parameter_invalid

_EPOCHS: Final = {
    "epoch_second": 1_000_000_000,
    "epoch_millis": 1_000_000,
    "epoch_micros": 1000,
    "epoch_nanos": 1,
}
_END: Final = 1 << 63
_DEFAULT_ZONE: Final = timezone(timedelta(hours=8))
_HALF_DAY: Final = 12
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TWO_DIGITS: Final = {1: r"\d{1,2}", 2: r"\d{2}"}
_OFFSETS: Final = {
    1: r"[+-]\d{2}(?:\d{2})?",
    2: r"[+-]\d{4}",
    3: r"[+-]\d{2}:\d{2}",
    4: r"[+-]\d{4}(?:\d{2})?",
    5: r"[+-]\d{2}:\d{2}(?::\d{2})?",
}
_ZERO_OR_OFFSETS: Final = {count: f"Z|{offset}" for count, offset in _OFFSETS.items()}
# The group that a letter fills, and what it stands for when it is there so many times.
_PARTS: Final[dict[str, tuple[str, dict[int, str]]]] = {
    "y": ("year", {2: r"\d{2}", 4: r"\d{4}"}),
    "M": ("month", _TWO_DIGITS),
    "d": ("day", _TWO_DIGITS),
    "H": ("hour", _TWO_DIGITS),
    "K": ("half_day_hour", _TWO_DIGITS),
    "a": ("half", {1: "AM|PM"}),
    "m": ("minute", _TWO_DIGITS),
    "s": ("second", _TWO_DIGITS),
    "S": ("fraction", {count: rf"\d{{{count}}}" for count in range(1, 10)}),
    "X": ("offset", _ZERO_OR_OFFSETS),
    "x": ("offset", _OFFSETS),
}
_TOKEN: Final = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']")


@dataclass(frozen=True, slots=True)
class DateFormat:
    """One format of a DATE field.

    Attributes:
        text: As it was given.
        scale: Nanoseconds in the unit of a number, 0 for a pattern.
    """

    text: str
    scale: int

    @classmethod
    def parse(cls, text: str, field_name: str) -> DateFormat:
        """Check a format.

        Args:
            text: A pattern, or the name of a unit since 1970.
            field_name: The field, for the message.

        Returns:
            The format.

        Raises:
            RequestError: ``OTSParameterInvalid``.
        """
        if text not in _EPOCHS and _pattern(text) is None:
            raise parameter_invalid(f"date format [{text}] of field [{field_name}] is not supported")
        return cls(text, _EPOCHS.get(text, 0))

    def read(self, value: int | str) -> int | None:
        """Read a date.

        Args:
            value: A number for a unit; text for a pattern, or digits for a unit.

        Returns:
            Nanoseconds since 1970, or None where the value is no date in this format.
        """
        if self.scale:
            if isinstance(value, str):
                if not value.isdecimal():
                    return None
                value = int(value)
            nanoseconds = value * self.scale
            return nanoseconds if 0 <= nanoseconds < _END else None
        return _read_text(self.text, value) if isinstance(value, str) else None


@functools.cache
def _pattern(text: str) -> re.Pattern[str] | None:
    parts: list[str] = []
    end = 0
    for match in _TOKEN.finditer(text):
        if match.start() != end:
            return None
        end = match.end()
        letter = match[2]
        if letter is None:
            literal = match[1].replace("''", "'") or "'" if match[1] is not None else match[0]
            parts.append(re.escape(literal))
        elif letter in _PARTS and len(match[0]) in _PARTS[letter][1]:
            name, forms = _PARTS[letter]
            parts.append(f"(?P<{name}>{forms[len(match[0])]})")
        else:
            return None
    try:
        return re.compile("".join(parts)) if end == len(text) and text else None
    except re.error:
        # A part that is there twice.
        return None


def _read_text(text: str, value: str) -> int | None:
    pattern = _pattern(text)
    match = None if pattern is None else pattern.fullmatch(value)
    if match is None:
        return None
    parts = match.groupdict()
    try:
        moment = datetime(
            _year(parts.get("year") or "1970"),
            int(parts.get("month") or 1),
            int(parts.get("day") or 1),
            _hour(parts),
            int(parts.get("minute") or 0),
            int(parts.get("second") or 0),
            tzinfo=_zone(parts.get("offset")),
        )
    except ValueError:
        return None
    since = moment - _START
    fraction = int((parts.get("fraction") or "0").ljust(9, "0")[:9])
    nanoseconds = (since.days * 86_400 + since.seconds) * 1_000_000_000 + fraction
    return nanoseconds if 0 <= nanoseconds < _END else None


def _year(digits: str) -> int:
    # Two digits are a year of this century, as Java has it.
    return int(digits) + (2000 if len(digits) == 2 else 0)  # noqa: PLR2004


def _hour(parts: dict[str, str | None]) -> int:
    half_day_hour = parts.get("half_day_hour")
    if half_day_hour is None:
        return int(parts.get("hour") or 0)
    if int(half_day_hour) >= _HALF_DAY:
        raise ValueError(half_day_hour)
    return int(half_day_hour) + (_HALF_DAY if parts.get("half") == "PM" else 0)


def _zone(offset: str | None) -> timezone:
    if offset is None:
        return _DEFAULT_ZONE
    if offset == "Z":
        return UTC
    digits = offset[1:].replace(":", "").ljust(6, "0")
    span = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]), seconds=int(digits[4:]))
    return timezone(-span if offset[0] == "-" else span)
